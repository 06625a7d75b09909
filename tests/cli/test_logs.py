"""``--log``: what happens in a run or a replay, on standard error or in a file, in order with the console."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from support.commands import Command, minstret

TICK = re.compile(r"^ *[\d,]+ +0\.\d{9}  interrupt machine timer interrupt \(7\) at 0x[0-9a-f]+ <main\+")
EXEC = re.compile(r"^ *[\d,]+ +0\.\d{9}  exec      0x[0-9a-f]+")


@pytest.fixture
def run(inside: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command within this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return inside


def test_interrupts_are_lines_on_standard_error(run: Command) -> None:
    done = run("run", "-q", "ticks", "--log", "irq")

    lines = done.stderr.decode().splitlines()
    assert done.returncode == 0
    assert len(lines) == 100
    assert all(TICK.match(line) for line in lines)
    assert done.stdout.endswith(b"100 ticks\n")


def test_lines_come_in_order_with_the_console_where_both_go_to_one_place() -> None:
    lines = minstret("run", "-q", "ticks", "--log", "traps", stderr=subprocess.STDOUT).stdout.decode().splitlines()

    kinds = "".join("t" if TICK.match(line) else "c" for line in lines)
    assert kinds == ("t" * 10 + "c") * 10 + "c"


def test_line_of_the_console_that_is_not_complete_is_ended_before_a_line_of_the_log() -> None:
    text = minstret("run", "-q", "hello", "--log", "exec", stderr=subprocess.STDOUT).stdout.decode()

    pieces = [line for line in text.splitlines() if not EXEC.match(line)]
    assert len(pieces) > 10
    assert "".join(pieces) == minstret("run", "-q", "hello").stdout.decode().replace("\n", "")


def test_replay_logs_what_happened_though_nobody_looked_when_it_was_recorded(run: Command) -> None:
    recorded = run("record", "-q", "ticks", "--log", "traps,unmapped", "-o", "with.mst")
    run("record", "-q", "ticks", "-o", "without.mst")
    done = run("replay", "-q", "--log", "traps,unmapped", "without.mst")

    assert done.returncode == 0
    assert done.stderr == recorded.stderr
    assert len(done.stderr.splitlines()) == 100


def test_replay_that_goes_on_live_logs_both_parts(run: Command) -> None:
    run("record", "-q", "ticks", "--max-insns", "10K", "-o", "begun.mst")
    done = run("replay", "-q", "--live", "--no-input", "--log", "irq", "-D", "out.log", "begun.mst")

    assert done.returncode == 0
    assert [int(float(line.split()[1]) * 1000) for line in Path("out.log").read_text().splitlines()] == [*range(1, 101)]


@pytest.mark.parametrize("option", ["--log-file", "-D"])
def test_log_goes_to_a_file(run: Command, option: str) -> None:
    done = run("run", "-q", "crash", "--log", "unmapped", option, "out.log")

    lines = Path("out.log").read_text().splitlines()
    assert done.stderr == b""
    assert len(lines) == 1000
    assert lines[0].endswith(
        "unmapped  store of 4 bytes at 0x40000000: nothing is there; by 0x800004ae <store_word+0x8>"
    )


def test_log_on_standard_output_sends_the_console_to_standard_error() -> None:
    done = minstret("run", "-q", "ticks", "--log", "exec", "--log-file", "-", "--max-insns", "200")

    lines = done.stdout.decode().splitlines()
    assert [line.split()[:3:2] for line in lines[:2]] == [["0", "exec"], ["1", "exec"]]
    assert len(lines) == 200


def test_hart_is_told_where_there_are_several(run: Command) -> None:
    done = run("run", "-q", "smp", "--smp", "2", "--log", "traps")

    assert {line.split()[2] for line in done.stderr.decode().splitlines()} == {"hart0", "hart1"}


def test_log_that_does_not_exist_is_refused_with_those_that_do(run: Command) -> None:
    def error(*arguments: str) -> str:
        done = run("run", "ticks", *arguments)
        assert done.returncode == 125
        return done.stderr.decode()

    known = "minstret: --log: expected some of traps, unmapped, irq, exec, got"
    assert error("--log", "irk") == f"{known} 'irk'; did you mean irq?\n"
    assert error("--log", "traps,") == f"{known} ''\n"
    assert error("--log-file", "x") == (
        "minstret: --log-file: goes with --log, which says what to write: --log traps,unmapped,irq\n"
    )
    assert error("--log", "irq", "--log-file", "no/x") == (
        "minstret: --log-file: can't write no/x: No such file or directory\n"
    )
    assert error("--log", "irq", "-D", "/dev/full", "-q").endswith(
        "minstret: --log-file: can't write /dev/full: No space left on device\n"
    )
    assert error("--log", "irq", "--log-file", "x", "--json", "x").startswith("minstret: --log-file: can't write x, wh")
