"""minstret insns."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from support.commands import COMMAND, PATIENCE_S, minstret


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of ``smash``, which ends in a trap."""
    path = tmp_path_factory.mktemp("insns") / "smash.mst"
    minstret("record", "-q", "--no-input", "-o", path, "smash")
    return path


def insns(trace: Path, *arguments: object) -> list[str]:
    done = minstret("insns", *arguments, trace)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode().splitlines()


def test_last_hundred_instructions_are_the_default(trace: Path) -> None:
    lines = insns(trace)

    assert len(lines) == 101
    assert lines[-1].endswith("wfi")
    (trap,) = (line for line in lines if "-- trap" in line)
    assert "instruction access fault (1) at 0x296874756f7328" in trap
    assert "handler 0x8000049c <on_trap>" in trap


def test_from_and_to_and_count(trace: Path) -> None:
    whole = insns(trace, "--from", "1000", "--to", "1010")

    assert [line.split()[0] for line in whole] == [f"1,{number:03}" for number in range(10)]
    assert insns(trace, "--from", "1000", "--count", "10") == whole
    assert insns(trace, "--to", "1010", "--count", "10") == whole
    assert insns(trace, "--from", "start", "--to", "1010")[-10:] == whole


def test_json_is_one_object_a_line(trace: Path) -> None:
    facts = [json.loads(line) for line in insns(trace, "--json", "--mem", "--source", "--count", "12")]

    assert [each["kind"] for each in facts].count("trap") == 1
    assert facts[-1]["assembler"] == "wfi"
    assert any(each.get("memory") for each in facts)


def test_calls_of_the_end(trace: Path) -> None:
    lines = insns(trace, "--calls", "--count", "400")
    facts = [json.loads(line) for line in insns(trace, "--calls", "--json", "--count", "400")]

    assert lines[0].split() == ["icount", "insns", "self", "call"]
    assert any("on_trap [trap: instruction access fault]" in line for line in lines)
    assert sum(each["self"] for each in facts) == 400


def test_spike_format(trace: Path) -> None:
    lines = insns(trace, "--format", "spike", "--count", "11")

    assert lines[0].startswith("core   0: ")
    assert "core   0: exception trap_instruction_access_fault, epc 0x00296874756f7328" in lines
    assert lines[-1] == "core   0: 3 0x00000000800004ba (0x10500073)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "10", "--to", "20", "--count", "3"], "--count: goes with --from or with --to, not with both"),
        (["--from", "20", "--to", "10"], "--to: 10 is before --from 20"),
        (["--hart", "3"], "--hart: there is no hart 3; the board has 1"),
        (["--calls", "--mem"], "--calls: it shows calls only; leave out --mem and --source"),
        (["--format", "spike", "--json"], "--format spike: it has a form of its own"),
        (["--from", "1G"], "--from: 1000000000 is beyond icount"),
    ],
)
def test_what_can_not_be_is_refused_in_one_line(arguments: list[str], message: str, trace: Path) -> None:
    done = minstret("insns", *arguments, trace)

    assert (done.returncode, done.stdout) == (125, b"")
    assert done.stderr.decode().startswith(f"minstret: {message}")
    assert done.stderr.count(b"\n") == 1


def test_reader_that_goes_away_ends_it_quietly(trace: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "insns", "--from", "start", "--to", "20000", str(trace)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(100)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE_S) == 125


def test_page_of_questions_shows_what_there_is(trace: Path) -> None:
    """The transcripts in docs/questions.md, "What ran?"."""
    page = (Path(__file__).parents[2] / "docs" / "questions.md").read_text()
    section = page.partition("## What ran?\n")[2].partition("\n## ")[0]
    shown = re.findall(r"    \$ minstret insns (.*) smash\.mst\n((?:    .*\n)+)", section)

    assert len(shown) == 2
    for arguments, text in shown:
        assert insns(trace, *arguments.split()) == [line[4:] for line in text.splitlines()]
