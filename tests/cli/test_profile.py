"""``minstret profile``: what a run has executed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from support.commands import Command
from support.needs import Need
from support.recordings import record, setup_of_image

from minstret.firmware import image_path

SOURCES = Path(__file__).parents[2]
HELLO_INSNS = {32: 603, 64: 640}


@pytest.fixture(scope="module")
def hello(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(record(tmp_path_factory.mktemp("hello") / "hello.mst", setup_of_image("hello")).path)


def test_functions_of_a_run_add_up_to_it(inside: Command, hello: Path) -> None:
    done = inside("profile", "--format", "json", hello)
    facts = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, b"")
    assert facts["insns"] == sum(row["self"] for row in facts["functions"]) == HELLO_INSNS[64]
    rows = {row["function"]: row for row in facts["functions"]}
    assert (rows["print"]["self"], rows["print"]["calls"]) == (592, 2)
    assert rows["main"]["total"] == rows["main"]["self"] + rows["print"]["total"]
    assert rows["main"]["source"] == "firmware/hello/main.c:7"


def test_table_has_so_many_rows(inside: Command, hello: Path) -> None:
    lines = inside("profile", "--top", "1", hello).stdout.decode().splitlines()
    assert lines[0] == "640 instructions, from icount 0 to 640"
    assert lines[-2].split() == ["592", "92.5", "592", "92.5", "2", "M", "print"]
    assert lines[-1] == "and 4 more, with 7.5 % of the instructions"


def test_stretch_of_a_run(inside: Command, hello: Path) -> None:
    facts = json.loads(inside("profile", "--format", "json", "--from", "100", "--to", "50%", hello).stdout)
    assert (facts["from"]["icount"], facts["to"]["icount"], facts["insns"]) == (100, 320, 220)
    assert sum(row["self"] for row in facts["functions"]) == 220


def test_source_lines_and_instructions(inside: Command, hello: Path) -> None:
    for by, key in (("line", "insns"), ("insn", "count")):
        facts = json.loads(inside("profile", "--format", "json", "--by", by, hello).stdout)
        assert sum(row[key] for row in facts[f"{by}s"]) == HELLO_INSNS[64]


def test_stacks_go_to_a_file(inside: Command, hello: Path, tmp_path: Path) -> None:
    speedscope, collapsed = tmp_path / "hello.speedscope.json", tmp_path / "hello.txt"
    for form, path in (("speedscope", speedscope), ("collapsed", collapsed)):
        done = inside("profile", "--format", form, "-o", path, hello)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert "_start;main;print 592" in collapsed.read_text().splitlines()
    assert json.loads(speedscope.read_text())["profiles"][0]["endValue"] == HELLO_INSNS[64]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "400", "--to", "300"], "--to: 300 is before --from 400"),
        (["--from", "641"], "--from: 641 is beyond icount 640, where this trace ends"),
        (["--format", "collapsed", "--by", "line"],
         "--format collapsed: it has all stacks of functions, so --by and --top don't go with it"),
        (["-o", "nowhere/out"], "-o: can't write nowhere/out: there is no folder nowhere"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_one_line(inside: Command, hello: Path, words: list[str], message: str) -> None:
    done = inside("profile", *words, hello)
    assert (done.returncode, done.stdout, done.stderr.decode()) == (125, b"", f"minstret: {message}\n")


def test_trace_is_not_written_over(inside: Command, hello: Path) -> None:
    content = hello.read_bytes()
    done = inside("profile", "-o", hello, hello)
    assert done.returncode == 125
    assert b"which is read as the trace" in done.stderr
    assert hello.read_bytes() == content


@pytest.mark.parametrize("words", [["profile", "-o"], ["profile", "--coverage"], ["report", "-o"],
                                   ["export", "--format", "jsonl", "-o"]])  # fmt: skip
def test_symbols_are_not_written_over(inside: Command, hello: Path, tmp_path: Path, words: list[str]) -> None:
    symbols, content = tmp_path / "hello.elf", Path(image_path("hello", 64)).read_bytes()
    symbols.write_bytes(content)
    done = inside(*words, symbols, "--symbols", symbols, hello)
    assert done.returncode == 125
    assert b"which is read as --symbols; give another name" in done.stderr
    assert symbols.read_bytes() == content


def test_coverage_is_what_genhtml_opens(inside: Command, hello: Path, tmp_path: Path, need: Need) -> None:
    need("genhtml (lcov)", shutil.which("genhtml"))
    info, pages = tmp_path / "hello.info", tmp_path / "pages"
    done = inside("profile", "--coverage", info, hello, hello)
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr == b"minstret: 33 of 44 lines executed (75.0 %)\n"
    shown = subprocess.run(
        ["genhtml", "--legend", "-o", pages, info], cwd=SOURCES, capture_output=True, check=False
    )  # fmt: skip
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert b"75.0% (33 of 44 lines)" in shown.stdout
    assert (pages / "index.html").exists()


def test_coverage_of_several_traces_is_their_sum(inside: Command, hello: Path) -> None:
    one, two = (inside("profile", "-q", "--coverage", "-", *[hello] * times).stdout for times in (1, 2))
    assert b"FNDA:2,print\n" in one
    assert b"FNDA:4,print\n" in two
    assert [line for line in one.splitlines() if line.startswith(b"LH")] == [
        line for line in two.splitlines() if line.startswith(b"LH")
    ]


def test_coverage_goes_with_no_table(inside: Command, hello: Path) -> None:
    done = inside("profile", "--coverage", "-", "--by", "line", hello)
    assert (done.returncode, done.stderr) == (125, b"minstret: --by: does not go with --coverage\n")
    done = inside("profile", hello, hello)
    assert done.stderr == b"minstret: expected one trace, got 2; only --coverage takes several\n"
