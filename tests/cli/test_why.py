"""``minstret why``: answers as lines and as JSON, and what it says of what can't be asked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.commands import Command, minstret

from minstret.emu.cli.invocation import invocation


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("why")
    assert minstret("record", "-q", "--no-input", "-o", path / "smash.mst", "smash").returncode == 120
    return path


@pytest.fixture
def why(inside: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command within this process, in the folder of traces."""
    monkeypatch.chdir(folder)
    return lambda *arguments: inside("why", *arguments)


def test_last_write_is_told_with_place_callers_and_values(why: Command) -> None:
    done = why("smash.mst", "--write", "surveys_done", "--before", "2000000")
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert re.fullmatch(
        r"surveys_done \(0x80[0-9a-f]{6}, 4 bytes\) was last written at icount 1,128,371, virtual time 0.002256742 s",
        lines[0],
    )
    assert re.fullmatch(r"  hart0: pc 0x8\w+ <survey_tank\+0x\w+> \(smash/main.c:\d+\): sw a1, .*", lines[1])
    assert lines[-2].startswith("  stored 4 bytes at 0x80")
    assert lines[-2].endswith(": surveys_done: 0 -> 1")
    assert lines[-1] == f"  look there: {invocation()} debug --at 1128371 smash.mst"


def test_command_that_looks_there_can_be_typed_as_it_is(why: Command, folder: Path) -> None:
    (folder / "my run.mst").write_bytes((folder / "smash.mst").read_bytes())

    lines = why("my run.mst", "--write", "surveys_done", "--before", "2000000").stdout.decode().splitlines()

    assert lines[-1].endswith(" debug --at 1128371 'my run.mst'")


def test_json_has_it_for_a_program(why: Command) -> None:
    facts = json.loads(why("--json", "smash.mst", "--write", "surveys_done").stdout)
    assert (facts["by"], facts["access"], facts["old_value"], facts["new_value"]) == ("instruction", "store", 2, 3)
    assert facts["symbol"].startswith("survey_tank+")
    assert facts["target_size"] == facts["size"] == 4


def test_all_are_a_line_each_in_order(why: Command) -> None:
    facts = [
        json.loads(line) for line in why("smash.mst", "--write", "surveys_done", "--all", "--json").stdout.splitlines()
    ]
    assert [fact["new_value"] for fact in facts] == [0, 0, 1, 2, 3]
    assert facts[0]["by"] == "image"
    assert len(why("smash.mst", "--write", "surveys_done", "--all").stdout.splitlines()) == 5
    some = why("smash.mst", "--write", "surveys_done", "--all", "--before", "2M", "--json").stdout.splitlines()
    assert len(some) == 3


def test_last_read_is_told(why: Command) -> None:
    lines = why("smash.mst", "--read", "surveys_done").stdout.decode().splitlines()
    assert "was last read at icount" in lines[0]
    assert lines[-2].endswith(": surveys_done: 2")
    assert why("smash.mst", "--read", "0x80100000:8").stdout == b"0x80100000..0x80100007 was never read\n"


def test_what_nobody_wrote_is_said(why: Command) -> None:
    assert why("smash.mst", "--write", "phys:0x80100000:4").stdout == (
        b"phys:0x80100000..0x80100003 was never written: it is as at power-on, 0x00000000\n"
    )
    done = why("smash.mst", "--write", "tanks:4")
    assert done.stdout.startswith(b"tanks:4 (0x8")
    assert b" was not written since power-on: smash-rv64.elf was loaded there: 0x8" in done.stdout


def test_trap_leads_to_the_planted_line(why: Command) -> None:
    text = why("smash.mst", "--trap").stdout.decode()
    assert text.startswith("hart0 took its last trap at icount 3,371,122, virtual time 0.006742244 s\n")
    assert re.search(r"it came from pc 0x\w+ <survey_tank\+0x\w+> \(smash/main.c:\d+\): c.jr ra\n", text)
    assert re.search(r"hart0: pc 0x\w+ <set_title\+0x\w+> \(smash/main.c:63\): sb ", text)
    facts = json.loads(why("smash.mst", "--trap", "--json").stdout)
    assert facts["written_by"]["symbol"].startswith("set_title+")
    assert facts["set_by"]["register"] == "ra"


def test_last_write_of_a_register_is_told(why: Command) -> None:
    lines = why("smash.mst", "--reg", "mcause").stdout.decode().splitlines()
    assert lines[0] == "mcause of hart0 was last written at icount 3,371,122, virtual time 0.006742244 s"
    assert lines[1].endswith(": taking a trap: instruction access fault")
    assert lines[2] == "  wrote 0x1"
    assert json.loads(why("smash.mst", "--reg", "sp", "--json").stdout)["by"] == "instruction"


def test_without_a_question_it_says_where_each_hart_is(why: Command) -> None:
    lines = why("smash.mst").stdout.decode().splitlines()
    assert re.match(r"hart0: pc 0x8\w+ <on_trap\+0x\w+> \(smash/main.c:\d+\), in M-mode, in WFI", lines[0])
    assert lines[1].startswith("its last trap: instruction access fault (1)")
    assert re.match(r"  it came from 0x8\w+ <survey_tank\+0x\w+> \(smash/main.c:\d+\): c.jr ra", lines[3])

    (hart,) = json.loads(why("smash.mst", "--json").stdout)["harts"]
    assert hart["where"]["symbol"].startswith("on_trap+")
    assert hart["last_trap"]["cause"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--write", "surveys_dome"), "--write: surveys_dome: no such variable: did you mean surveys_done"),
        (("--read", "0x10"), "--read: 0x10 is not in RAM where the question looks from; RAM is 0x80000000.."),
        (("--write", "surveys_done:0"), "--write: expected a length from 1 to"),
        (("--write", "surveys_done", "--before", "5M"), "--before: 5000000 is beyond icount 3371132"),
        (("--write", "surveys_done", "--before", "soon"), "--before: expected an icount"),
        (("--write", "surveys_done", "--read", "surveys_done"), "--read: can't be asked together with --write"),
        (("--reg", "a00"), "--reg: rv64 has no register 'a00'"),
        (("--reg", "a0", "--trap"), "--trap: can't be asked together with --reg"),
        (("--all",), "--all: goes with --write or --read"),
        (("--write", "surveys_done", "--hart", "1"), "--hart: there is no hart 1; the board has 1"),
    ],
)  # fmt: skip
def test_what_can_not_be_asked_is_one_line(why: Command, arguments: tuple[str, ...], message: str) -> None:
    done = why("smash.mst", *arguments)
    assert done.returncode == 125
    assert done.stdout == b""
    assert message in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
