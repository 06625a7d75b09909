"""``minstret demo``: what it shows, what it says of QEMU, and that it would notice."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.commands import COMMAND, PATIENCE_S
from support.gdb import need_gdb
from support.needs import Need

from minstret.emu.cli.demo import (
    Folder,
    Run,
    Screen,
    culprit_found,
    distinct,
    every_core_busy,
    flaws_found,
    recorded_and_replayed,
    same_run_under_load,
    what_attributes_save,
)
from minstret.emu.cli.exits import Exit

RUNS = 4
"""Runs of each model, two in each process."""

FAKE_QEMU = """#!/bin/sh
if [ "$1" = --version ]; then echo "QEMU emulator version 7.9.1 (Fake)"; exit; fi
echo "t: cycle 1: discover at 1 ns, offer at $(($$ + 1000)) ns, ack at 3 ns"
for cycle in 2 3 4; do echo "t: cycle $cycle: discover at 4 ns, offer at 5 ns, ack at 6 ns"; done
"""


def run_demo(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command with ``path`` as its PATH, and there."""
    return subprocess.run(
        [*COMMAND, "demo", *arguments], cwd=path, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=PATIENCE_S, env=os.environ | {"PATH": str(path)},
    )  # fmt: skip


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """A short demo with a QEMU of which every run comes out in another way."""
    folder = tmp_path_factory.mktemp("path")
    qemu = folder / "qemu-system-riscv64"
    qemu.write_text(FAKE_QEMU)
    qemu.chmod(0o755)
    return run_demo(folder, "--runs", str(RUNS))


def row(text: str, name: str) -> list[str]:
    """The cells of the first line of ``text`` that begins with ``name``."""
    line = next(line for line in text.splitlines() if line.startswith(name + " "))
    return re.split(r"  +", line)


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture
def no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """No program is found, so no QEMU."""
    monkeypatch.setenv("PATH", "")


def some_run(fingerprint: str = "a", offer_ns: int = 1000) -> Run:
    return Run(fingerprint, (offer_ns, 2000, 3000, 4000), True)


# ---- what it shows


def test_demo_shows_its_six_parts_and_exits_0(shown: subprocess.CompletedProcess[str]) -> None:
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert shown.stderr == ""
    assert [line[:2] for line in shown.stdout.splitlines() if re.match(r"[0-9]\. ", line)] == [
        "1.",
        "2.",
        "3.",
        "4.",
        "5.",
        "6.",
    ]
    assert shown.stdout.splitlines()[-1].startswith("Now yours: ")


def test_demos_last_commands_work_as_printed(shown: subprocess.CompletedProcess[str], tmp_path: Path) -> None:
    record, replay = shown.stdout.splitlines()[-1].removeprefix("Now yours: ").split(" && ")

    for command in (record.replace("your.elf", "hello"), replay.replace("your.mst", "hello.mst")):
        place = {"cwd": tmp_path, "env": os.environ | {"PATH": os.defpath}}
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=PATIENCE_S, **place)
        assert done.returncode == 0, done.stderr


def test_demo_is_readable_without_a_terminal(shown: subprocess.CompletedProcess[str]) -> None:
    lines = shown.stdout.splitlines()
    assert "\x1b" not in shown.stdout
    assert max(len(line) for line in lines if " replay " not in line and not line.startswith("$ ")) <= 100
    assert "…" not in shown.stdout
    assert all(line == line.rstrip() for line in lines)


def test_runs_with_attributes_come_out_in_one_way(shown: subprocess.CompletedProcess[str]) -> None:
    assert row(shown.stdout, "attributes") == ["attributes", str(RUNS), "1", "153,600", "0"]


def test_runs_of_the_other_models_are_counted_too(shown: subprocess.CompletedProcess[str]) -> None:
    assert row(shown.stdout, "virtual-ext")[1] == str(RUNS)
    assert row(shown.stdout, "no-attributes")[1:3] == [str(RUNS), "1"]


def test_qemu_runs_there_and_then(shown: subprocess.CompletedProcess[str]) -> None:
    name, runs, ways, first, apart = row(shown.stdout, "QEMU")
    assert (name, runs, ways) == ("QEMU 7.9.1", str(RUNS), str(RUNS))
    low, high = (int(text.replace(",", "")) for text in first.split(" .. "))
    assert high - low == int(apart.replace(",", "")) > 0


def test_replay_is_the_recording(shown: subprocess.CompletedProcess[str]) -> None:
    ticks = re.findall(r"^(.+?)  +\S.*  ✓$", shown.stdout, re.MULTILINE)
    assert len(ticks) == 6
    assert "console, bytes" in ticks


def test_attributes_spare_every_checkpoint_of_the_network_and_the_script(
    shown: subprocess.CompletedProcess[str],
) -> None:
    fired, checkpoints, saved, _, without = row(shown.stdout, "dhcp   usernet.link")[-5:]
    assert (checkpoints, saved, without) == ("0", fired, fired)
    fired, checkpoints, saved, _, without = row(shown.stdout, "keys   input.delay")[-5:]
    assert (checkpoints, saved, without) == ("0", fired, fired)


def test_changed_byte_is_found_and_the_error_says_where(shown: subprocess.CompletedProcess[str]) -> None:
    text = " ".join(shown.stdout.split("4. One byte")[1].split())
    assert re.search(r"minstret: uart0.tx at icount [0-9_]+: expected .*, got .*; look closer", text)
    assert re.search(r"minstret: hart at icount [0-9_]+: expected .* net0.rx .*", text.replace("'", " "))


def test_race_is_found_and_replayed(shown: subprocess.CompletedProcess[str]) -> None:
    text = shown.stdout.split("5. A race")[1]
    failures = re.findall(r"^race: lost update: .*$", text, re.MULTILINE)
    assert "all right" in text
    assert len(failures) == 2
    assert failures[0] == failures[1]


def test_without_qemu_the_demo_says_so(screen: Screen, no_path: None, capsys: pytest.CaptureFixture[str]) -> None:
    same_run_under_load(screen, 2, lambda model, runs: [some_run()] * runs)
    assert row(capsys.readouterr().out, "QEMU")[:2] == ["QEMU", "not installed"]


def test_without_gdb_the_demo_says_so(shown: subprocess.CompletedProcess[str]) -> None:
    text = shown.stdout.split("6. Back")[1]
    assert "Left out, as there is no gdb for RISC-V: install gdb-multiarch." in text


def test_gdb_goes_back_from_the_crash_to_its_cause(
    screen: Screen, need: Need, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need_gdb(need)

    assert culprit_found(screen, Folder(str(tmp_path)))

    said = capsys.readouterr().out
    assert re.search(r"^\(gdb\) reverse-continue$", said, re.MULTILINE)
    assert "survey->title[at] = name[at];" in said
    assert max(len(line) for line in said.splitlines() if not line.startswith("$ ")) <= 100


# ---- what it would notice


def test_runs_are_distinct_by_their_fingerprint() -> None:
    assert distinct([some_run("a"), some_run("b"), some_run("a")]) == 2


@pytest.mark.parametrize(("fingerprints", "is_good"), [("aaa", True), ("aba", False)])
def test_only_runs_with_attributes_have_to_agree(
    screen: Screen, no_path: None, capsys: pytest.CaptureFixture[str], fingerprints: str, is_good: bool
) -> None:
    def runs_of(model: str, runs: int) -> list[Run]:
        return [some_run(name) for name in (fingerprints if model == "attributes" else "xyz")]

    assert same_run_under_load(screen, 3, runs_of) is is_good
    assert ("DIFFER" in capsys.readouterr().out) is not is_good


def test_spread_is_that_of_the_widest_cycle(screen: Screen, no_path: None, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [Run("a", (10, 20, 30, 40), True), Run("b", (11, 25, 31, 41), False), Run("c", (), True)]
    same_run_under_load(screen, 3, lambda model, count: runs)
    assert row(capsys.readouterr().out, "attributes") == ["attributes", "3, 1 failed", "3", "10 .. 11", "5"]


class FakeFolder(Folder):
    """A folder in which every replay ends with one status."""

    status = 0

    def minstret(self, *arguments: str, expected: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[bytes]:
        if arguments[0] == "replay":
            return subprocess.CompletedProcess(arguments, self.status, b"", b"minstret: who: expected a, got b\n")
        return super().minstret(*arguments, expected=expected)


@pytest.fixture
def folder(tmp_path: Path) -> FakeFolder:
    folder = FakeFolder(str(tmp_path))
    for guest in ("dhcp", "keys"):
        folder.record(guest, "attributes")
    return folder


def test_replay_that_diverges_is_no_success(screen: Screen, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = FakeFolder(str(tmp_path))
    folder.status = Exit.DIVERGED
    assert not recorded_and_replayed(screen, folder)
    assert "who: expected a, got b" in capsys.readouterr().out
    what_attributes_save(screen, folder)


def test_gdb_that_finds_nothing_is_no_success(
    screen: Screen, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gdb = tmp_path / "gdb-multiarch"
    gdb.write_text("#!/bin/sh\necho '(gdb) reverse-continue'\n")
    gdb.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert not culprit_found(screen, Folder(str(tmp_path)))
    assert "DID NOT FIND" in capsys.readouterr().out


def test_changed_byte_that_goes_unnoticed_is_no_success(
    screen: Screen, folder: FakeFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.status = 0
    assert not flaws_found(screen, folder)
    assert "NOT NOTICED" in capsys.readouterr().out


# ---- the load


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_load_is_a_loop_for_each_core_and_ends_with_the_block() -> None:
    before = set(children_of(os.getpid()))
    with every_core_busy() as cores:
        assert len(set(children_of(os.getpid())) - before) == cores == len(os.sched_getaffinity(0))
    assert not set(children_of(os.getpid())) - before


def test_load_ends_though_its_parent_is_killed() -> None:
    code = "from minstret.emu.cli.demo import every_core_busy\nwith every_core_busy(): print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        loops = children_of(parent.pid)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert loops
    deadline = time.monotonic() + PATIENCE_S
    while any(Path(f"/proc/{loop}").exists() for loop in loops):
        assert time.monotonic() < deadline, "a busy loop goes on"
        time.sleep(0.05)
