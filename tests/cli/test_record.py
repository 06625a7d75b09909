"""The commands around a trace: record, replay, info, log, timers, verify.

Streams, signals and the end of the process are tested in a process of its own; all else runs within this one.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import asm, elf_files, footprint, trace_fuzz
from support.commands import PATIENCE_S, Command, Done, cpu_s, minstret, started, wait_until_ended
from support.elf_files import FINISHER, RAM, fails_with, says, write_elf
from support.recordings import TIMEOUT, Hand, record, setup_of_code, without_end

from minstret.devices.board.board import Setup
from minstret.devices.board.config import BoardConfig
from minstret.devices.board.traced import Recording, trace_meta
from minstret.emu.cli.verify import first_difference
from minstret.emu.clock import ClockType
from minstret.emu.door.door import Position
from minstret.emu.hart.cpu import default_cpu
from minstret.emu.images.loader import ImageFile, read_image
from minstret.emu.trace.format import FORMAT_VERSION
from minstret.emu.trace.reader import TraceReader
from minstret.emu.trace.writer import TraceWriter
from minstret.emu.units import NS_PER_S
from minstret.firmware import image_path

SEEN_CPU_S_MAX = 2.0
"""How much processor time it may take from Ctrl-C to the report of it."""


@pytest.fixture
def run(inside: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command within this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return inside


@pytest.fixture
def guest(tmp_path: Path) -> Callable[[bytes], Path]:
    """Makes an ELF file with the given code in it: guest.elf."""
    return lambda code: write_elf(tmp_path / "guest.elf", code)


def assert_is_one_line_error(done: Done, text: str) -> None:
    """Exit status 125, and exactly this on standard error."""
    assert done.stderr.decode() == f"minstret: {text}\n"
    assert done.returncode == 125
    assert done.stdout == b""


def change(path: Path, sql: str, *values: Any) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute(sql, values)
    finally:
        db.close()


SPINS = asm.code(asm.addi(asm.T0, asm.T0, 1), asm.jal(0, -4))
"""Counts in t0, forever."""

TYPED = b"ab\x01cq"


@pytest.fixture(scope="module")
def echoes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trace of a guest that sends back what it got: ``TYPED``."""
    folder = tmp_path_factory.mktemp("echoes")
    elf = write_elf(folder / "echo.elf", elf_files.ECHOES)
    path = folder / "echo.mst"
    done = minstret("record", "-q", "-m", "4M", "--slice-insns", "500", "-o", path, elf, stdin=TYPED)
    assert (done.returncode, done.stdout, done.stderr) == (0, TYPED, b"")
    return path


@pytest.fixture
def echo(echoes: Path, tmp_path: Path) -> Path:
    """A copy of ``echoes`` that may be changed."""
    copy = tmp_path / "echo.mst"
    copy.write_bytes(echoes.read_bytes())
    return copy


# ---- how a run ends is how its replay ends

ENDS = {
    "passes": (elf_files.PASSES, [], 0, "finished"),
    "fails": (fails_with(7), [], 7, "finished"),
    "fails with a large code": (fails_with(300), [], 119, "finished"),
    "crashes": (asm.code(asm.lui(asm.T0, 0x40000), asm.jalr(0, asm.T0, 0x10)), [], 121, "trap-loop"),
    "waits forever": (elf_files.WAITS, [], 120, "waits-forever"),
    "is stopped by a count": (SPINS, ["--max-insns", "12345"], 123, "max-insns"),
    "is stopped at once": (SPINS, ["--max-insns", "0"], 123, "max-insns"),
    "is stopped by a timeout": (SPINS, ["--timeout", "0.05", "--slice-insns", "50k"], 124, "timeout"),
    "is stopped while it waits": (SPINS, ["--timeout", "0.00001"], 124, "timeout"),
}


@pytest.mark.parametrize("how", ENDS)
def test_replay_ends_as_the_recording_did(run: Command, guest: Any, how: str) -> None:
    code, options, status, reason = ENDS[how]
    recorded = run("record", "-q", "-m", "4M", "--json", "one.json", *options, guest(code))

    replayed = run("replay", "-q", "--json", "two.json", "guest.mst")

    assert (recorded.returncode, replayed.returncode) == (status, status)
    assert (recorded.stderr, replayed.stderr) == (b"", b"")
    one, two = (json.loads(Path(name).read_text()) for name in ("one.json", "two.json"))
    assert one["stop_reason"] == reason
    for key in ("exit_code", "stop_reason", "icount", "virtual_ns", "digest", "uart_sha256", "message"):
        assert one[key] == two[key]


def test_recording_that_can_not_be_replayed_says_so_at_its_start(run: Command) -> None:
    options = ["-m", "4M", "--input", "keyboard", "--keys", "a", "--timer-model", "no-attributes", "--no-input"]
    recorded, quiet = run("record", *options, "hello"), run("record", "-q", "-f", *options, "hello")
    text = (
        "can't be replayed: with --timer-model no-attributes a replay needs the host side too, and a trace"
        " has not --keys or an input script"
    )

    assert recorded.stderr.decode().startswith(f"minstret: this recording {text}\n")
    assert (recorded.returncode, quiet.returncode, quiet.stderr) == (0, 0, b"")
    assert_is_one_line_error(run("replay", "hello.mst"), f"hello.mst: {text}")


def test_replay_shows_what_the_guest_sent_and_how_it_ended(echoes: Path, run: Command) -> None:
    done = run("replay", echoes)

    assert done.stdout == TYPED
    lines = done.stderr.decode().splitlines()
    assert lines[1] == "minstret: guest finished with 0"
    assert lines[2].startswith("minstret: 350 instructions, 0.000001 s virtual, ")


def test_recording_says_where_the_trace_is_and_how_to_play_it(run: Command, guest: Any) -> None:
    done = run("record", "-m", "4M", guest(says(b"hi\n") + elf_files.PASSES))

    size = Path("guest.mst").stat().st_size
    assert done.stdout == b"hi\n"
    last = done.stderr.decode().splitlines()[-1]
    assert last == f"minstret: recorded guest.mst, {size / 1024:,.0f} KiB; to replay it: minstret replay guest.mst"


def test_quiet_commands_say_nothing_on_standard_error(run: Command, guest: Any) -> None:
    recorded = run("record", "-q", "-m", "4M", guest(says(b"hi\n") + fails_with(3)))
    replayed = run("replay", "-q", "guest.mst")

    for done in (recorded, replayed):
        assert (done.returncode, done.stdout, done.stderr) == (3, b"hi\n", b"")


@pytest.mark.parametrize("options", [["--slice-insns", "1"], ["--slice-insns", "7"], ["--counting", "python"]])
def test_replay_may_run_in_another_way(echoes: Path, run: Command, options: list[str]) -> None:
    done = run("replay", "-q", *options, echoes)

    assert (done.returncode, done.stdout) == (0, TYPED)


def test_recording_in_another_way_is_the_same_trace(run: Command, guest: Any) -> None:
    for number, options in enumerate(([], ["--slice-insns", "3"], ["--counting", "python"])):
        run("record", "-q", "-m", "4M", "-o", f"{number}.mst", *options, guest(says(b"hello\n") + fails_with(1)))

    assert first_difference("0.mst", "1.mst") is None
    assert first_difference("0.mst", "2.mst") is None


def test_runs_that_sent_other_bytes_are_told_apart_by_these(run: Command, guest: Any) -> None:
    for number, text in enumerate((b"a fine day\n", b"a fine way\n")):
        run("record", "-q", "-m", "4M", "-o", f"{number}.mst", guest(says(text) + fails_with(1)))

    difference = first_difference("0.mst", "1.mst")

    assert difference is not None
    assert re.fullmatch(r"uart0\.tx, sent from icount \d+ on, at byte 7: expected 'day\\n', got 'way\\n'", difference)


def test_replay_needs_no_other_file(run: Command, guest: Any) -> None:
    file = guest(says(b"hi\n") + elf_files.PASSES)
    run("record", "-q", "-m", "4M", file)
    file.unlink()

    assert run("replay", "-q", "guest.mst").stdout == b"hi\n"


@pytest.mark.parametrize("image", ["hello", "ticks", "crash", "clocks", "rtos", "rtc"])
def test_image_that_comes_along_is_recorded_and_replayed(run: Command, image: str) -> None:
    recorded = run("record", "-q", "-m", "16M", "--json", "one.json", "-o", "run.mst", image)
    replayed = run("replay", "-q", "--json", "two.json", "run.mst")

    assert (replayed.returncode, replayed.stdout) == (recorded.returncode, recorded.stdout)
    assert replayed.stderr == b""
    one, two = (json.loads(Path(name).read_text()) for name in ("one.json", "two.json"))
    assert (one["icount"], one["digest"]) == (two["icount"], two["digest"])


# ---- a replay that differs


def test_changed_event_ends_the_replay_with_122_and_says_who_where_and_what(echo: Path, run: Command) -> None:
    change(echo, "UPDATE events SET data = x'58' WHERE seq = 1")

    done = run("replay", "-q", echo)

    assert done.returncode == 122
    assert done.stderr.count(b"\n") == 1
    text = done.stderr.decode().removeprefix("minstret: ")
    assert text.startswith("uart0.tx at icount 155: expected item 2: 'b', got 'X'")
    assert text.endswith(f"; look closer: minstret replay --to 154 {echo}; minstret log {echo}\n")


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("UPDATE outputs SET data = x'6162016372'", "uart0.tx at icount 347: expected item 5: 'r', got 'q'"),
        ("UPDATE outputs SET data = x'616201637100'",
         "uart0.tx at icount 350: expected item 5: 0x00, got the end (finished)"),
        ("UPDATE outputs SET data = x'61620163'",
         "uart0.tx at icount 347: expected item 5: nothing more on uart0.tx, got 0x71"),
        ("UPDATE events SET name = 'net0.rx' WHERE seq = 2",
         "net0.rx at icount 214: expected item 2: event 'net0.rx 0x01', got no device of that name"),
        ("UPDATE events SET data = x'010203' WHERE seq = 2",
         "uart0.rx at icount 214: expected item 2: event 'uart0.rx 0x010203', got room for 1 of 3 bytes"),
        ("UPDATE events SET kind = 1 WHERE seq = 2",
         "uart0.rx at icount 214: expected item 2: answer 'uart0.rx 0x01', got nothing of the kind up to icount 279"),
    ],
)  # fmt: skip
def test_other_differences_are_told_as_exactly(echo: Path, run: Command, sql: str, text: str) -> None:
    change(echo, sql)

    done = run("replay", "-q", echo)

    assert done.returncode == 122
    assert done.stderr.decode().startswith(f"minstret: {text}; look closer: ")
    assert done.stderr.count(b"\n") == 1


def test_replay_up_to_the_difference_works(echo: Path, run: Command) -> None:
    change(echo, "UPDATE events SET data = x'58' WHERE seq = 1")

    assert run("replay", "-q", "--to", "154", echo).returncode == 0


# ---- stopping and starting in the middle


@pytest.mark.parametrize(("text", "icount"), [("0", 0), ("1", 1), ("26", 26), ("52", 52), ("0x10", 16)])
def test_replay_stops_before_an_instruction(echoes: Path, run: Command, text: str, icount: int) -> None:
    done = run("replay", "--to", text, "--json", "run.json", echoes)

    assert done.returncode == 0
    result = json.loads(Path("run.json").read_text())
    assert (result["icount"], result["stop_reason"]) == (icount, "reached")
    assert "minstret: the guest was at pc 0x" in done.stderr.decode()


def test_replay_stops_at_a_virtual_time(echoes: Path, run: Command) -> None:
    done = run("replay", "--to", "0.1us", "--json", "run.json", echoes)

    assert done.returncode == 0
    result = json.loads(Path("run.json").read_text())
    assert (result["icount"], result["virtual_ns"], result["stop_reason"]) == (50, 100, "reached")
    assert b"minstret: stopped by --to\n" in done.stderr


def test_replay_to_the_end_ends_as_recorded(echoes: Path, run: Command) -> None:
    done = run("replay", "--to", "350", echoes)

    assert done.returncode == 0
    assert b"minstret: guest finished with 0\n" in done.stderr


@pytest.mark.parametrize("option", ["--to", "--from"])
@pytest.mark.parametrize("text", ["351", "1G"])
def test_replay_beyond_the_end_is_refused(echoes: Path, run: Command, option: str, text: str) -> None:
    icount = {"351": 351, "1G": 10**9}[text]

    assert_is_one_line_error(
        run("replay", option, text, echoes), f"{option}: {icount} is beyond icount 350, where this trace ends"
    )


def test_log_from_beyond_the_end_is_refused_and_up_to_there_is_whole(echoes: Path, run: Command) -> None:
    assert_is_one_line_error(
        run("log", "--from", "351", echoes), "--from: 351 is beyond icount 350, where this trace ends"
    )
    assert run("log", "--from", "350", echoes).returncode == 0
    assert run("log", "--to", "1G", echoes).stdout == run("log", echoes).stdout


@pytest.mark.parametrize("option", ["--to", "--from"])
def test_replay_beyond_where_a_recording_was_killed_is_refused(option: str, run: Command, tmp_path: Path) -> None:
    trace_fuzz.record(tmp_path / "killed.mst", stops_at=270)

    assert run("replay", option, "270", "killed.mst").returncode == 0
    assert_is_one_line_error(
        run("replay", option, "271", "killed.mst"), f"{option}: 271 is beyond icount 270, where this trace ends"
    )


@pytest.fixture(scope="module")
def spins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trace of 9,999 instructions with a snapshot every 1,000."""
    folder = tmp_path_factory.mktemp("spins")
    path, elf = folder / "spins.mst", write_elf(folder / "spins.elf", SPINS, symbols={"spin": (RAM, 8)})
    done = minstret("record", "-q", "-m", "4M", "--max-insns", "9999", "--snapshot-every", "1k", "-o", path, elf)
    assert done.returncode == 123
    return path


@pytest.mark.parametrize(("start", "begins"), [("0", 0), ("999", 0), ("1000", 1000), ("5500", 5000), ("9998", 9000)])
def test_replay_begins_at_the_last_snapshot_before(spins: Path, run: Command, start: str, begins: int) -> None:
    whole = run("replay", "--to", "9998", "--json", "whole.json", spins)
    part = run("replay", "--from", start, "--to", "9998", "--json", "part.json", spins)

    assert (whole.returncode, part.returncode) == (0, 0)
    one, two = (json.loads(Path(name).read_text()) for name in ("whole.json", "part.json"))
    assert (one["icount"], one["digest"]) == (two["icount"], two["digest"])
    assert TraceReader(str(spins)).last_snapshot(int(start)) == (begins // 1000 or None)


def test_replay_from_a_snapshot_ends_as_recorded(spins: Path, run: Command) -> None:
    done = run("replay", "--from", "9500", spins)

    assert done.returncode == 123
    assert b"minstret: stopped by --max-insns\n" in done.stderr


def test_replay_names_the_function_where_it_stops(spins: Path, run: Command) -> None:
    done = run("replay", "--to", "100", spins)

    assert done.stderr.startswith(
        b"minstret: stopped by --to\nminstret: the guest was at pc 0x80000000 <spin>, in M-mode; "
    )


def test_replay_of_a_killed_recording_says_that_there_is_no_more(run: Command, tmp_path: Path) -> None:
    trace_fuzz.record(tmp_path / "killed.mst", stops_at=270)

    done = run("replay", "killed.mst")

    assert done.returncode == 0
    assert b"minstret: the trace ends here: its recording was killed\n" in done.stderr
    assert b"minstret: 270 instructions, " in done.stderr


# ---- what is recorded, and where


@pytest.mark.parametrize(
    ("options", "name"),
    [([], "guest.mst"), (["-o", "other.mst"], "other.mst"), (["--output", "no suffix"], "no suffix")],
)
def test_trace_goes_where_it_is_told_to(run: Command, guest: Any, options: list[str], name: str) -> None:
    run("record", "-q", "-m", "4M", *options, guest(elf_files.PASSES))

    assert sorted(os.listdir()) == sorted(["guest.elf", name])


def test_default_name_is_that_of_the_image(run: Command) -> None:
    run("record", "-q", "hello")

    assert os.listdir() == ["hello.mst"]


def test_existing_trace_is_left_alone_without_force(run: Command, guest: Any) -> None:
    Path("guest.mst").write_bytes(b"precious")

    done = run("record", "-m", "4M", guest(elf_files.PASSES))

    assert_is_one_line_error(done, "guest.mst: exists already; give another name with -o, or -f to overwrite it")
    assert Path("guest.mst").read_bytes() == b"precious"


def test_force_overwrites(run: Command, guest: Any) -> None:
    Path("guest.mst").write_bytes(b"precious")

    assert run("record", "-q", "-f", "-m", "4M", guest(elf_files.PASSES)).returncode == 0
    assert run("replay", "-q", "guest.mst").returncode == 0


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("none/x.mst", "none/x.mst: can't write it: No such file or directory"),
        (".", ".: is a folder; give a file"),
        ("/proc/x.mst", "/proc/x.mst: can't write it: No such file or directory"),
        ("guest.elf/x.mst", "guest.elf/x.mst: can't write it: Not a directory"),
    ],
)
def test_place_that_can_not_be_written_is_told(run: Command, guest: Any, path: str, text: str) -> None:
    for force in ([], ["-f"]):
        assert_is_one_line_error(run("record", *force, "-m", "4M", "-o", path, guest(elf_files.PASSES)), text)


def test_second_recording_to_one_path_is_refused_and_the_first_goes_on(guest: Any, tmp_path: Path) -> None:
    path, firmware = tmp_path / "x.mst", guest(elf_files.CHATTERS)
    with started("record", "-m", "4M", "-o", path, firmware) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"x\n"  # it runs, so the file is there

        second = minstret("record", "-f", "-m", "4M", "-o", path, firmware)
        reader = minstret("info", path)

        assert_is_one_line_error(second, f"{path}: is being recorded by another process; give another name with -o")
        assert_is_one_line_error(reader, f"{path}: is being recorded; read it when that has ended")
        assert first.poll() is None
    third = minstret("record", "-q", "-f", "-m", "4M", "-o", path, guest(elf_files.PASSES))
    assert (third.returncode, third.stderr) == (0, b"")


def test_firmware_that_can_not_run_leaves_no_trace(run: Command, guest: Any) -> None:
    done = run("record", "-m", "4M", "--cpu", "rv32", guest(elf_files.PASSES))

    assert done.returncode == 125
    assert os.listdir() == ["guest.elf"]


@pytest.mark.parametrize(
    ("options", "firmware"),
    [
        (["--cpu", "rv32"], "guest.elf"), (["--net", "user", "--pcap", "none/x.pcap"], "guest.elf"), ([], "none.elf"),
        (["-m", "200G"], "guest.elf"), (["--json", "none/x.json"], "guest.elf"), ([], "empty.elf"),
    ],
)  # fmt: skip
def test_start_that_fails_leaves_the_old_trace(run: Command, guest: Any, options: list[str], firmware: str) -> None:
    guest(elf_files.PASSES)
    run("record", "-m", "4M", "-o", "x.mst", "guest.elf")
    Path("empty.elf").touch()
    old = Path("x.mst").read_bytes()

    done = run("record", "-f", "-m", "4M", "-o", "x.mst", *options, firmware)

    assert done.returncode == 125
    assert Path("x.mst").read_bytes() == old
    assert sorted(os.listdir()) == ["empty.elf", "guest.elf", "x.mst"]


@pytest.mark.parametrize(
    ("code", "is_kept"), [(elf_files.PASSES, False), (fails_with(1), True), (elf_files.WAITS, True)]
)
def test_keep_failure_keeps_the_trace_of_a_failure_only(run: Command, guest: Any, code: bytes, is_kept: bool) -> None:
    done = run("record", "-m", "4M", "--keep", "failure", guest(code))

    assert Path("guest.mst").exists() == is_kept
    last = done.stderr.decode().splitlines()[-1]
    assert (last == "minstret: exit status 0: the trace is deleted (--keep failure)") == (not is_kept)
    assert not Path("guest.mst-journal").exists()


@pytest.mark.parametrize(
    ("every", "taken"), [("0", []), ("3000", [3000, 6000, 9000]), ("4k", [4000, 8000]), ("10k", []), ("500M", [])]
)
def test_snapshots_are_taken_as_often_as_asked(run: Command, guest: Any, every: str, taken: list[int]) -> None:
    run("record", "-q", "-m", "4M", "--max-insns", "9999", "--snapshot-every", every, guest(SPINS))

    facts = json.loads(run("info", "--json", "guest.mst").stdout)

    assert [snapshot["icount"] for snapshot in facts["snapshots"]] == taken


def test_ring_keeps_the_last_snapshots_and_plays_from_there(run: Command, guest: Any) -> None:
    run("record", "-q", "-m", "4M", "--max-insns", "9999", "--snapshot-every", "1k", "--ring", "3", guest(SPINS))

    facts = json.loads(run("info", "--json", "guest.mst").stdout)
    replayed = run("replay", "guest.mst")

    assert [snapshot["icount"] for snapshot in facts["snapshots"]] == [7000, 8000, 9000]
    assert replayed.returncode == 123
    assert b"minstret: 9,999 instructions, " in replayed.stderr
    assert_is_one_line_error(
        run("replay", "--to", "6999", "guest.mst"), "--to: 6999 is before icount 7000, where this trace begins"
    )
    assert run("replay", "--to", "7000", "guest.mst").returncode == 0


# ---- looking into a trace


def test_info_tells_what_the_trace_is_of(echoes: Path, run: Command) -> None:
    reader = TraceReader(str(echoes))
    end, meta = reader.end, reader.meta
    assert end is not None
    cpu = " ".join(("rv64gc", *default_cpu(64).extensions))

    done = run("info", echoes)

    assert done.stdout.decode() == (
        f"{echoes}: format {FORMAT_VERSION}, recorded by minstret {meta['minstret']}, unicorn {meta['unicorn']}\n"
        f"  bios       echo.elf  sha256 {meta['images']['bios']['sha256'][:16]}\n"
        "  board      rv64, 4 MiB, shift 1, sleep off, seed 0\n"
        f"  cpu        {cpu}\n"
        f"  end        finished with 0, digest {end['digest'][:16]}\n"
        "  reached    350 instructions, 0.000001 s virtual\n"
        "  items      5 events, 0 answers, 0 checkpoints\n"
        "  snapshots  0\n"
        f"  bytes      events 45, checkpoints 0, outputs 5, images {reader.sizes()['images']}, snapshots 0, pages 0,"
        f" file {echoes.stat().st_size:,}\n"
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_info_of_a_killed_recording_says_so(run: Command, tmp_path: Path) -> None:
    trace_fuzz.record(tmp_path / "killed.mst", stops_at=270)

    text = run("info", "killed.mst").stdout.decode()

    assert "  end        none: the recording was killed; it replays up to the position below\n" in text
    assert "  reached    270 instructions, 0.000001 s virtual\n" in text


def test_recording_of_nothing_is_told_in_one_line(run: Command, tmp_path: Path) -> None:
    writer = TraceWriter("x.mst", *trace_meta(trace_fuzz.setup()), shift=1)
    writer.begin()
    writer.close()

    for command in ("replay", "verify"):
        assert_is_one_line_error(
            run(command, "x.mst"), "x.mst: nothing was recorded yet: the recording was killed in its first moments"
        )
    text = run("info", "x.mst").stdout.decode()
    assert "  end        none: the recording was killed before anything was recorded\n" in text
    assert run("log", "x.mst").returncode == 0


def test_info_shows_no_control_characters_of_a_stranger(echo: Path, run: Command) -> None:
    change(echo, "UPDATE meta SET value = replace(value, 'echo.elf', 'x\\u001b[2J') WHERE key = 'images'")

    text = run("info", echo).stdout.decode()

    assert r"  bios       x\x1b[2J  sha256 " in text
    assert "\x1b" not in text


def test_cells_of_the_timer_table_are_no_markup(echo: Path, run: Command) -> None:
    change(echo, "UPDATE meta SET value = replace(value, 'clint.mtimecmp', '[/red]') WHERE key = 'timers'")
    change(echo, """UPDATE meta SET value = replace(value, '"fired": 0', '"fired": 1') WHERE key = 'timers'""")

    done = run("timers", echo)

    assert done.returncode == 0
    assert "[/red]" in done.stdout.decode()


ESCAPES = "\x1b[2J\u202e\udcff\n"
SHOWN_ESCAPES = r"\x1b[2J\u202e\udcff\n"


@pytest.mark.parametrize("command", ["run", "record", "replay", "info", "log", "timers", "verify"])
def test_names_of_files_are_escaped_in_errors(command: str, run: Command) -> None:
    name = f"{ESCAPES}.bin"
    Path(name).write_bytes(b"")

    done = run(command, name)

    assert done.returncode == 125
    assert done.stderr.decode().startswith(f"minstret: {SHOWN_ESCAPES}.bin: ")
    assert done.stderr.decode().removesuffix("\n").isprintable()


def test_names_of_files_are_escaped_in_what_commands_say(echo: Path, run: Command) -> None:
    firmware, trace = f"{ESCAPES}.elf", f"{ESCAPES}2.mst"
    write_elf(Path(firmware), fails_with(0))

    said = [run("record", firmware), run("record", firmware, "-o", trace), run("info", trace), run("log", trace)]

    text = b"".join(done.stdout + done.stderr for done in said).decode()
    assert [done.returncode for done in said] == [0] * 4
    assert text.replace("\n", "").isprintable()
    assert f"to replay it: minstret replay '{SHOWN_ESCAPES}2.mst'\n" in text
    assert f"  bios       {SHOWN_ESCAPES}.elf  sha256 " in text


def test_name_that_the_encoding_of_standard_output_lacks_is_escaped(echo: Path, tmp_path: Path) -> None:
    change(echo, "UPDATE meta SET value = replace(value, 'echo.elf', 'größe日.elf') WHERE key = 'images'")

    done = minstret("info", echo, env=os.environ | {"PYTHONIOENCODING": "latin-1"})

    assert done.returncode == 0
    assert r"  bios       größe\u65e5.elf  sha256 " in done.stdout.decode("latin-1")


def test_info_as_json_has_it_all(echoes: Path, run: Command) -> None:
    facts = json.loads(run("info", "--json", echoes).stdout)

    assert list(facts) == [
        "format", "minstret", "unicorn", "config", "images", "end", "reached", "counts", "snapshots", "sizes",
    ]  # fmt: skip
    assert facts["counts"] == {"events": 5, "answers": 0, "checkpoints": 0}
    assert facts["reached"] == {"seq": 5, "icount": 350, "virtual_ns": 700}
    assert facts["end"]["reason"] == "finished"
    assert facts["config"]["ram_size"] == 4 << 20


LOG = """\
       0              86     0.000000172  <- uart0.rx         'a'
       1             150     0.000000300  <- uart0.rx         'b'
       2             214     0.000000428  <- uart0.rx         0x01
       3             278     0.000000556  <- uart0.rx         'c'
       4             342     0.000000684  <- uart0.rx         'q'
"""
SENT = "                      92     0.000000184  -> uart0.tx         0x6162016371\n"


def test_log_lists_what_came_in(echoes: Path, run: Command) -> None:
    done = run("log", echoes)

    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, LOG, b"")


def test_log_of_everything_has_what_went_out_too(echoes: Path, run: Command) -> None:
    lines = LOG.splitlines(keepends=True)

    assert run("log", "--all", echoes).stdout.decode() == "".join([*lines[:1], SENT, *lines[1:]])


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--from", "151"], 3),
        (["--to", "150"], 2),
        (["--from=150", "--to=150"], 1),
        (["--from", "343"], 0),
        (["--to=86"], 1),
    ],
)
def test_log_is_cut_to_a_range(echoes: Path, run: Command, options: list[str], count: int) -> None:
    assert run("log", *options, echoes).stdout.count(b"\n") == count


def test_log_as_json_is_one_object_a_line(echoes: Path, run: Command) -> None:
    lines = [json.loads(line) for line in run("log", "--json", echoes).stdout.splitlines()]

    assert lines[0] == {"seq": 0, "kind": "event", "icount": 86, "virtual_ns": 172, "name": "uart0.rx", "data": "61"}
    assert lines[1] == {"kind": "output", "icount": 92, "virtual_ns": 184, "name": "uart0.tx", "data": "6162016371"}
    assert len(lines) == 6


@pytest.fixture
def ticks(run: Command) -> Path:
    """A trace of the image ``ticks``: 100 timer interrupts."""
    assert run("record", "-q", "-m", "4M", "-o", "ticks.mst", "ticks").returncode == 0
    return Path("ticks.mst")


def test_log_shows_a_run_of_checkpoints_as_one_line(ticks: Path, run: Command) -> None:
    items = list(TraceReader(str(ticks)).items())
    first, last = items[0].position, items[-1].position

    text = run("log", ticks).stdout.decode()

    assert text == (
        f"       0  {first.icount:>14,}  {first.virtual_ns / 1e9:>14.9f}"
        f"  100 checkpoints (virtual) up to icount {last.icount:,}\n"
    )
    everything = run("log", "--all", ticks).stdout.decode()
    assert everything.count("  checkpoint virtual\n") == 100
    assert (
        everything.splitlines()[0]
        == f"       0  {first.icount:>14,}  {first.virtual_ns / 1e9:>14.9f}  checkpoint virtual"
    )


def test_timers_lists_those_that_fired(ticks: Path, run: Command) -> None:
    lines = run("timers", ticks).stdout.decode().splitlines()

    assert [line.split() for line in lines] == [
        ["timer", "clock", "attributes", "fired", "checkpoints", "written", "checkpoints", "saved", "bytes", "saved"],
        ["clint.mtimecmp", "virtual", "-", "100", "100", "0", "0"],
    ]


def test_timers_as_json_lists_all_of_them(ticks: Path, run: Command) -> None:
    rows = json.loads(run("timers", "--json", ticks).stdout)

    fired = {row["name"]: (row["clock"], row["external"], row["fired"], row["checkpoints"]) for row in rows}
    assert fired["clint.mtimecmp"] == ("virtual", False, 100, 100)
    assert fired["input.delay"] == ("virtual", True, 0, 0)


def test_long_log_takes_no_memory(tmp_path: Path) -> None:
    """Many checkpoints in a few rows: shown as one line, and never all in memory."""
    meta = {"minstret": "0", "unicorn": "0", "config_version": 1,
            "config": {"icount_shift": 1}, "images": {"append": ""}}  # fmt: skip
    writer = TraceWriter(str(tmp_path / "long.mst"), meta, {}, shift=1)
    for number in range(60_000):
        writer.add_checkpoint(Position(number, 2 * number), ClockType.VIRTUAL, 0, 0)
    writer.commit(Position(60_000, 120_000))
    writer.close()
    code = (
        "import sys, minstret.emu.cli.inspect; from minstret.emu.cli.group import run_command\n"
        "from support.footprint import high_water\n"
        "before = high_water()\n"
        "assert run_command(['log', sys.argv[1]]) == 0\n"
        "print(high_water() - before)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "long.mst")], capture_output=True, timeout=PATIENCE_S, check=True,
        env=os.environ | {"PYTHONPATH": str(Path(footprint.__file__).parents[1])},
    )  # fmt: skip

    line, more_bytes = done.stdout.decode().splitlines()
    assert line.endswith("  60,000 checkpoints (virtual) up to icount 59,999")
    assert int(more_bytes) < 5 << 20


# ---- bad input

BAD_TRACES: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "bad.mst: No such file or directory"),
    "empty": (b"", "bad.mst: not a trace (made by minstret record)"),
    "text": (b"hello\n" * 100, "bad.mst: not a trace (made by minstret record)"),
    "SQLite's head alone": (b"SQLite format 3\0\x10\0\x01\x01", "bad.mst: a damaged trace: file is not a database"),
}
READERS = (["replay"], ["replay", "--from", "5"], ["info"], ["info", "--json"], ["log"], ["log", "--json"], ["timers"])


@pytest.mark.parametrize("kind", BAD_TRACES)
@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_bad_trace_is_one_line_and_125(run: Command, command: list[str], kind: str) -> None:
    content, text = BAD_TRACES[kind]
    if content is not None:
        Path("bad.mst").write_bytes(content)

    assert_is_one_line_error(run(*command, "bad.mst"), text)


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_folder_is_no_trace(run: Command, command: list[str]) -> None:
    assert_is_one_line_error(run(*command, "."), ".: is a folder; give a trace")


@pytest.mark.parametrize("size", [100, 4096, 20000])
@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_trace_cut_short_is_one_line_and_125(run: Command, echo: Path, command: list[str], size: int) -> None:
    echo.write_bytes(echo.read_bytes()[:size])

    done = run(*command, echo)

    assert done.returncode == 125
    assert done.stderr.decode().startswith(f"minstret: {echo}: a damaged trace: ")
    assert done.stderr.count(b"\n") == 1


def test_trace_of_another_unicorn_is_told(run: Command, echo: Path) -> None:
    ours = TraceReader(str(echo)).meta["unicorn"]
    change(echo, "UPDATE meta SET value = '\"2.0.1\"' WHERE key = 'unicorn'")

    assert_is_one_line_error(
        run("replay", echo),
        f"{echo}: recorded with unicorn 2.0.1, and here is {ours}: install that one to replay it",
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["replay", "--to", "x", "T"], "--to: expected a count such as 1000000 or 5M, or a time such as 5ms, got 'x'"),
        (["replay", "--to", "9s", "T"], "--to: 9000000000 ns is beyond 700 ns, where this trace ends"),
        (["replay", "--from", "-1", "T"], "--from: expected a count such as 1000000 or 5M, got '-1'"),
        (["replay", "--from", "5", "--to", "4", "T"], "--to: 4 is before --from 5"),
        (["replay", "--slice-insns", "0", "T"], "--slice-insns: expected 1 or more, got 0"),
        (["replay", "--slice-insns", "x", "T"], "--slice-insns: expected a count such as 1000000 or 5M, got 'x'"),
        (["replay", "--json", "none/x.json", "T"], "--json: can't write none/x.json: there is no folder none"),
        (["log", "--from", "", "T"], "--from: expected a count such as 1000000 or 5M, got ''"),
        (["log", "--from", "5", "--to", "4", "T"], "--to: 4 is before --from 5"),
        (["replay"], "Missing argument 'TRACE'; see minstret replay --help"),
        (["info"], "Missing argument 'TRACE'; see minstret info --help"),
        (["info", "T", "T"], None),
        (["record"], "nothing to boot; give FIRMWARE, --bios or --kernel; see minstret record --help"),
        (["record", "--snapshot-every", "x", "hello"],
         "--snapshot-every: expected a count such as 1000000 or 5M, got 'x'"),
        (["record", "--ring", "2", "--snapshot-every", "0", "hello"],
         "--ring: it keeps snapshots, and --snapshot-every 0 makes none; leave out one of the two"),
        (["record", "--ring", "-1", "hello"], None),
        (["record", "--ring", "x", "hello"], None),
        (["record", "--keep", "x", "hello"], None),
        (["record", "none.elf"], None),
        (["record", "--timeout", "0", "hello"], "--timeout: expected a number of seconds above 0, got 0"),
        (["record", "--json", "none/x.json", "hello"], "--json: can't write none/x.json: there is no folder none"),
        (["verify", "--runs", "0", "hello"], None),
        (["verify", "--runs", "2", "none.mst"], None),
    ],
)  # fmt: skip
def test_usage_error_is_one_line_and_125(run: Command, echoes: Path, arguments: list[str], text: str | None) -> None:
    done = run(*(str(echoes) if argument == "T" else argument for argument in arguments))

    assert (done.returncode, done.stdout) == (125, b"")
    assert done.stderr.startswith(b"minstret: ")
    assert done.stderr.count(b"\n") == 1
    assert text is None or done.stderr.decode() == f"minstret: {text}\n"
    assert os.listdir() == []


# ---- signals and streams


@pytest.mark.parametrize(
    "code", [says(b"ready\n") + SPINS, says(b"ready\n") + elf_files.CHATTERS], ids=["busy", "chatty"]
)
def test_ctrl_c_is_recorded_and_ends_the_replay_the_same_way(
    code: bytes, guest: Any, tmp_path: Path, announce: Callable[[str], None]
) -> None:
    path = tmp_path / "run.mst"
    with started(
        "record", "-m", "4M", "--no-input", "-o", path, "--json", tmp_path / "one.json", guest(code)
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        sent_s = cpu_s(process)
        assert process.stderr is not None
        first = process.stderr.readline().strip() or process.stderr.readline().strip()
        seen_s = cpu_s(process) - sent_s
        _, errors = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 130
    assert first == b"minstret: stopped by Ctrl-C"
    assert f"minstret: recorded {path}, ".encode() in errors
    announce(f"Ctrl-C while recording: reported after {seen_s * 1e3:.0f} ms of processor time")
    assert seen_s < SEEN_CPU_S_MAX

    done = minstret("replay", "--json", tmp_path / "two.json", path)

    assert done.returncode == 130
    assert b"minstret: stopped by Ctrl-C\n" in done.stderr
    one, two = (json.loads((tmp_path / name).read_text()) for name in ("one.json", "two.json"))
    assert (one["icount"], one["digest"], one["stop_reason"]) == (two["icount"], two["digest"], "interrupted")


@pytest.fixture(scope="module")
def long_traces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Traces that take a while to replay, of a guest that computes, and one that sends."""
    folder = tmp_path_factory.mktemp("long")
    traces = {}
    for name, code in (("busy", SPINS), ("chatty", elf_files.CHATTERS)):
        path = traces[name] = folder / f"{name}.mst"
        setup = trace_fuzz.setup()
        elf = write_elf(folder / f"{name}.elf", says(b"ready\n") + code)
        setup = type(setup)(setup.config, ImageFile(elf.name, elf.read_bytes()))
        with Recording(str(path), setup) as recording:
            recording.run(icount=100)
        without_end(str(path))
        sent = recording.board.console
        rest = b"\nx" if sent.endswith(b"x") else b"x\n"
        change(path, "UPDATE outputs SET data = data || ?", rest * 5_000_000 if name == "chatty" else b"")
        change(path, "UPDATE outputs SET data = CAST(data AS BLOB)")
    return traces


@pytest.mark.parametrize("name", ["busy", "chatty"])
def test_ctrl_c_ends_a_replay_with_130(long_traces: dict[str, Path], name: str) -> None:
    with started("replay", long_traces[name]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        sent_s = cpu_s(process)
        wait_until_ended(process)
        seen_s = cpu_s(process) - sent_s
        _, errors = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 130
    assert b"Traceback" not in errors
    assert seen_s < SEEN_CPU_S_MAX


def test_recording_whose_output_nobody_reads_is_still_good(guest: Any, tmp_path: Path) -> None:
    path = tmp_path / "run.mst"
    with started("record", "-m", "4M", "-o", path, guest(elf_files.CHATTERS)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"x\n"
        process.stdout.close()
        process.wait(timeout=PATIENCE_S)

        assert process.returncode == 125

    replayed = minstret("replay", "-q", path)
    assert (replayed.returncode, replayed.stderr) == (125, b"")
    assert replayed.stdout.startswith(b"x\nx\n")
    end = TraceReader(str(path)).end
    assert end is not None
    assert end["reason"] == "terminated"


def test_wait_that_a_timeout_ended_takes_the_replay_no_time(tmp_path: Path) -> None:
    after_an_hour = Hand(TIMEOUT, nap_of=lambda timeout_ns: 3600 * NS_PER_S)
    recorded = record(tmp_path, setup_of_code(elf_files.SLEEPS, sleep=True), source=after_an_hour)

    replayed = minstret("replay", recorded.path)

    assert replayed.returncode == 124
    assert b"minstret: stopped by --timeout\n" in replayed.stderr


# ---- verify

TELLS_THE_TIME = asm.code(
    asm.li(asm.A0, 0x10_1000), asm.li(asm.T0, FINISHER), asm.li(asm.T1, 0x3333),
    asm.lw(asm.A1, asm.A0, 0), asm.slli(asm.A1, asm.A1, 16), asm.add(asm.A1, asm.A1, asm.T1),
    asm.sw(asm.A1, asm.T0, 0), asm.LOOP,
)  # fmt: skip
"""Fails with some bits of the wall clock."""


def but_notice(said: bytes) -> bytes:
    """Standard error without what ``verify`` says when the first run takes more than two seconds, as on a busy host."""
    return re.sub(rb"minstret: the first run has not ended yet; .*\n", b"", said)


def test_verify_of_the_same_run_gives_0(run: Command, guest: Any) -> None:
    done = run("verify", "--runs", "2", "--no-input", "-m", "4M", guest(says(b"hi\n") + fails_with(3)))

    assert (done.returncode, but_notice(done.stderr)) == (0, b"")
    assert done.stdout.decode().startswith("the same run 2 times: finished, ")
    assert os.listdir() == ["guest.elf"]


def test_verify_of_a_run_that_depends_on_the_host_gives_1_and_says_where(run: Command, guest: Any) -> None:
    done = run("verify", "--runs", "2", "-m", "4M", "--rtc", "clock=host", guest(TELLS_THE_TIME))

    text = done.stdout.decode()
    assert (done.returncode, but_notice(done.stderr)) == (1, b"")
    assert text.startswith("minstret: run 2 differs from run 1: at icount 21: expected answer 'clock.host 0x")
    assert text.count("answer 'clock.host 0x") == 2
    lines = text.splitlines()
    assert lines[1].startswith("A: run 1, B: run 2: the first difference is at icount 2")
    assert "register" not in lines[1]


def test_verify_of_a_run_that_sleeps_gives_0(run: Command) -> None:
    done = run("verify", "--runs", "3", "-m", "4M", "--icount", "sleep=on", "ticks")

    assert (done.returncode, but_notice(done.stderr)) == (0, b"")
    assert done.stdout.startswith(b"the same run 3 times: finished, ")


def test_timers_show_what_paces_idle_time(run: Command) -> None:
    run("record", "-q", "--no-input", "-m", "4M", "--icount", "sleep=on", "ticks")

    done = run("timers", "ticks.mst")

    row = next(line.split() for line in done.stdout.decode().splitlines() if line.startswith("idle.pace"))
    assert row[:3] == ["idle.pace", "virtual_rt", "-"]
    assert int(row[3]) == int(row[4]) > 5


def test_verify_of_a_guest_that_does_not_end_says_how_far_it_came(run: Command, guest: Any) -> None:
    done = run("verify", "--runs", "2", "-m", "4M", "--timeout", "0.2", guest(SPINS).name)

    said = but_notice(done.stderr)
    assert done.returncode == 125
    assert said.startswith(b"minstret: a run has not ended after 0.2 s and ")
    assert b" instructions; compare its start with --max-insns" in said
    assert said.count(b"\n") == 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--cpu", "rv32"], "guest.elf: an rv64 executable, but --cpu asks for rv32"),
    ],
)
def test_verify_that_can_not_find_out_gives_125(run: Command, guest: Any, options: list[str], text: str) -> None:
    file = guest(SPINS)

    done = run("verify", "--runs", "2", "-m", "4M", *options, file.name)

    assert_is_one_line_error(done, text)


def test_verify_of_a_trace_replays_it_from_everywhere(run: Command, spins: Path) -> None:
    done = run("verify", "--runs", "2", spins)

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"the same run 2 times, and from each of 9 snapshots\n"


def test_verify_knows_a_trace_by_its_content(run: Command, spins: Path) -> None:
    Path("trace").write_bytes(spins.read_bytes())

    assert run("verify", "--runs", "1", "trace").stdout.startswith(b"the same run 1 times, and from each of 9 ")


def test_verify_of_a_trace_that_differs_gives_1(run: Command, echo: Path) -> None:
    change(echo, "UPDATE outputs SET data = x'6162016372'")

    done = run("verify", "--runs", "1", echo)

    assert (done.returncode, done.stderr) == (1, b"")
    assert done.stdout.startswith(b"minstret: uart0.tx at icount 347: expected item 5: 'r', got 'q'; ")


def test_verify_of_a_trace_that_differs_tells_which_snapshots_fit(run: Command, spins: Path) -> None:
    Path("spins.mst").write_bytes(spins.read_bytes())
    change(Path("spins.mst"), "UPDATE meta SET value = json_set(value, '$.digest', ?) WHERE key = 'end'", "0" * 64)

    done = run("verify", "--runs", "1", "spins.mst")

    first, known = done.stdout.decode().splitlines()
    assert (done.returncode, done.stderr) == (1, b"")
    assert first.startswith("minstret: end at icount 9_999")
    assert known == "at the snapshot at icount 9_000 it was still what was recorded"


def test_verify_of_a_damaged_trace_gives_125(run: Command, echo: Path) -> None:
    change(echo, "DELETE FROM blobs")

    done = run("verify", "--runs", "1", echo)

    assert (done.returncode, done.stdout) == (125, b"")
    assert b": a damaged trace: the file " in done.stderr


def test_commits_at_other_moments_are_no_difference(tmp_path: Path) -> None:
    """When host time says so, a row of checkpoints ends, and its last one keeps a hash."""
    names = []
    for step_ns in (1, 50_000_000, 700_000_000):
        setup = Setup(BoardConfig(ram_size=4 << 20), read_image(image_path("ticks")))
        pacer = trace_fuzz.Pacer(step_ns)
        with Recording(str(tmp_path / f"{step_ns}.mst"), setup, realtime_ns=pacer) as recording:
            recording.run()
        names.append(recording.path)
    kept = [sum(item.registers is not None for item in TraceReader(name).items()) for name in names]
    assert len(set(kept)) > 1

    assert first_difference(names[0], names[1]) is None
    assert first_difference(names[0], names[2]) is None
