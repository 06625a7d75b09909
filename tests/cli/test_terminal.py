"""The command at a terminal: keys, Ctrl-A, Ctrl-C, and a terminal that is left as it was found."""

from __future__ import annotations

import json
import re
import shlex
import signal
import sqlite3
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import asm, elf_files
from support.commands import COMMAND, PATIENCE_S, cpu_s, minstret, started
from support.harts import programs_of
from support.recordings import without_end
from support.terminals import LFLAG, Terminal

from minstret.emu.units import NS_PER_S

BANNER = b"echo: type, end with a full stop"
CTRL_A, CTRL_C = b"\x01", b"\x03"

StartTerminal = Callable[..., Terminal]


@pytest.fixture
def start() -> Iterator[StartTerminal]:
    """Starts the command at a terminal."""
    started: list[Terminal] = []

    def start_one(*arguments: object, **options: Any) -> Terminal:
        started.append(Terminal(*arguments, **options))
        return started[-1]

    yield start_one
    for terminal in started:
        terminal.close()


@pytest.fixture
def echo(start: StartTerminal) -> Terminal:
    """``run echo`` that has said its banner."""
    terminal = start("run", "echo")
    terminal.wait_for(BANNER)
    return terminal


def is_raw(terminal: Terminal) -> bool:
    return not terminal.attributes()[LFLAG] & (termios.ICANON | termios.ECHO)


# ---- typing


def test_typed_keys_come_back_from_the_guest_one_by_one_and_only_from_it(echo: Terminal) -> None:
    for key, answer in ((b"a", b"A"), (b"b", b"B"), (b"1", b"1"), (b"z", b"Z")):
        echo.type(key)
        assert echo.wait_for(answer).strip() == b""  # no echo of the terminal's own

    echo.type(b".")

    assert echo.end() == 0
    assert b"4 bytes" in echo.shown


def test_carriage_return_reaches_the_guest_as_it_is(echo: Terminal) -> None:
    echo.type(b"x\ry.")

    assert echo.end() == 0
    assert b"X\rY" in echo.shown


def test_paste_longer_than_the_fifo_comes_back_whole(echo: Terminal) -> None:
    echo.type(b"the quick brown fox jumps over the lazy dog" * 5 + b".")

    assert echo.end() == 0
    assert b"THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG" * 5 in echo.shown


def test_key_comes_back_at_once_whatever_the_terminal_wanted_before(start: StartTerminal) -> None:
    terminal = start("run", "echo", vmin=3)
    terminal.wait_for(BANNER)

    terminal.type(b"a")

    terminal.wait_for(b"A")


# ---- Ctrl-A and Ctrl-C


def test_ctrl_a_h_lists_the_keys_and_the_guest_goes_on(echo: Terminal) -> None:
    echo.type(CTRL_A + b"h")

    echo.wait_for(b"Ctrl-A x   end the run")
    echo.wait_for(b"Ctrl-A Ctrl-A")
    echo.type(b"a.")
    assert echo.end() == 0
    assert b"1 bytes" in echo.shown


def test_ctrl_a_and_an_unknown_key_lists_the_keys_and_sends_nothing(echo: Terminal) -> None:
    echo.type(CTRL_A + b"q")
    echo.wait_for(b"Ctrl-A Ctrl-A   send Ctrl-A")
    echo.type(b".")

    assert echo.end() == 0
    assert b"0 bytes" in echo.shown


def test_ctrl_a_c_says_where_the_guest_is_and_that_it_waits(echo: Terminal) -> None:
    echo.type(CTRL_A + b"c")

    echo.wait_for(b"minstret: the guest waits at pc 0x8000")
    assert b" instructions, " in echo.wait_for(b" s virtual")
    echo.type(b"a.")
    assert echo.end() == 0
    assert b"1 bytes" in echo.shown


def test_ctrl_a_c_says_that_a_busy_guest_runs(start: StartTerminal, tmp_path: Path) -> None:
    code = elf_files.says(b"go\n") + elf_files.LOOPS
    elf = elf_files.write_elf(tmp_path / "guest.elf", code, symbols={"spin": (elf_files.RAM, len(code))})
    terminal = start("run", elf)
    terminal.wait_for(b"go")

    terminal.type(CTRL_A + b"c")

    terminal.wait_for(b"minstret: the guest runs at pc 0x8000")
    terminal.wait_for(b"<spin+0x")


def test_ctrl_a_c_says_of_each_hart_where_it_is(start: StartTerminal, tmp_path: Path) -> None:
    image = tmp_path / "guest.bin"
    image.write_bytes(programs_of(elf_files.says(b"go\n") + elf_files.LOOPS, elf_files.WAITS, elf_files.WAITS))
    terminal = start("run", "--smp", 3, image)
    terminal.wait_for(b"go")

    terminal.type(CTRL_A + b"c")

    terminal.wait_for(b"minstret: the guest runs, ")
    assert terminal.wait_for(b"minstret: hart0").endswith(b" s virtual\r\n")
    assert terminal.wait_for(b"minstret: hart1").endswith(b", in M-mode; it has taken no trap\r\n")
    assert b": pc 0x80002004, in M-mode, in WFI with no " in terminal.wait_for(b"minstret: hart2")
    terminal.wait_for(b": pc 0x8000300")


# ---- Ctrl-A k: keys go to the keyboard

LISTENS = b"keys: type, end with Esc"
ESC = b"\x1b"


def test_ctrl_a_k_sends_keys_to_the_keyboard_until_the_next(start: StartTerminal) -> None:
    terminal = start("run", "keys", "--input", "keyboard")
    terminal.wait_for(LISTENS)

    terminal.type(b"a")  # to the console, where the guest leaves it
    terminal.type(CTRL_A + b"k")
    before = terminal.wait_for(b"minstret: keys go to the keyboard")
    terminal.type(b"b")
    seen = terminal.wait_for(b"keyboard: KEY 48 release")
    terminal.type(CTRL_A + b"k")
    terminal.wait_for(b"minstret: keys go to the console")
    terminal.type(b"c")
    terminal.type(CTRL_A + b"k" + ESC)
    after = terminal.wait_for(b"keyboard: KEY 1 press")

    assert terminal.end() == 0
    assert b"KEY" not in before
    assert b"keyboard: KEY 48 press" in seen
    assert b"KEY" not in after
    assert b"3 events" in terminal.shown


def test_ctrl_a_k_types_capitals_and_arrows_as_a_person_would(start: StartTerminal) -> None:
    terminal = start("run", "keys", "--input", "keyboard,tablet")
    terminal.wait_for(LISTENS)
    terminal.type(CTRL_A + b"k")
    terminal.wait_for(b"keys go to the keyboard")

    terminal.type(b"B")
    for key, action in ((42, b"press"), (48, b"press"), (48, b"release"), (42, b"release")):
        assert b"KEY" not in terminal.wait_for(b"KEY %d %s" % (key, action))
    terminal.type(b"\x1b[A")
    for action in (b"press", b"release"):
        assert b"KEY" not in terminal.wait_for(b"KEY 103 %s" % action)

    terminal.type(CTRL_A + b"x")
    assert terminal.end() == 130
    assert not is_raw(terminal)


def test_ctrl_a_k_without_a_keyboard_says_so_and_sends_nothing(echo: Terminal) -> None:
    echo.type(CTRL_A + b"k")
    echo.wait_for(b"minstret: there is no keyboard; add --input keyboard")
    echo.type(b"ab.")

    assert echo.end() == 0
    assert b"AB" in echo.shown
    assert b"2 bytes" in echo.shown


def test_ctrl_a_k_is_refused_where_a_replay_would_lack_the_keys(start: StartTerminal, tmp_path: Path) -> None:
    trace = tmp_path / "keys.mst"
    terminal = start("record", "-o", trace, "keys", "--input", "keyboard", "--timer-model", "no-attributes")
    terminal.wait_for(LISTENS)

    terminal.type(CTRL_A + b"k")
    terminal.wait_for(b"minstret: not while recording with --timer-model no-attributes: the replay would have no keys")


# ---- the end of a run


def test_ctrl_a_x_ends_the_run_with_130_and_restores_the_terminal(echo: Terminal) -> None:
    assert is_raw(echo)

    echo.type(CTRL_A + b"x")

    assert echo.end() == 130
    assert b"minstret: stopped by Ctrl-A x\r\n" in echo.shown
    assert echo.attributes() == echo.attributes_before


def test_ctrl_a_x_ends_a_busy_guest_that_reads_nothing(start: StartTerminal, tmp_path: Path) -> None:
    elf = elf_files.write_elf(tmp_path / "guest.elf", elf_files.says(b"go\n") + elf_files.LOOPS)
    terminal = start("run", elf)
    terminal.wait_for(b"go")

    terminal.type(CTRL_A)
    terminal.type(b"x")

    assert terminal.end() == 130
    assert terminal.attributes() == terminal.attributes_before


def test_ctrl_a_x_behind_typed_keys_still_ends_the_run(start: StartTerminal, tmp_path: Path) -> None:
    """With a guest that never reads, typed text stays on the host side; Ctrl-A x must not wait for it."""
    elf = elf_files.write_elf(tmp_path / "guest.elf", elf_files.says(b"go\n") + elf_files.LOOPS)
    terminal = start("run", elf)
    terminal.wait_for(b"go")

    terminal.type(b"hello?" + CTRL_A + b"x")

    assert terminal.end() == 130


def test_ctrl_a_x_typed_after_unread_keys_still_ends_the_run(start: StartTerminal, tmp_path: Path) -> None:
    elf = elf_files.write_elf(tmp_path / "guest.elf", elf_files.says(b"go\n") + elf_files.LOOPS)
    terminal = start("run", "--slice-insns", "100k", elf)
    terminal.wait_for(b"go")
    terminal.type(CTRL_A + b"c" + b"hello?")
    terminal.wait_for(b"s virtual")  # the keys are taken from the terminal, and the guest has no room for them

    terminal.type(CTRL_A + b"x")

    assert terminal.end() == 130


def test_ctrl_a_twice_sends_one_ctrl_a(echo: Terminal) -> None:
    echo.type(CTRL_A + CTRL_A + b"b.")

    assert echo.end() == 0
    assert b"\x01B" in echo.shown
    assert b"2 bytes" in echo.shown


def test_ctrl_c_ctrl_z_and_other_keys_of_the_terminal_go_to_the_guest(echo: Terminal) -> None:
    keys = b"\x03\x1a\x1c\x11\x13\x16\x0f"  # Ctrl-C, -Z, -backslash, -Q, -S, -V, -O

    echo.type(keys + b"a.")

    assert echo.end() == 0
    assert keys + b"A" in echo.shown
    assert b"8 bytes" in echo.shown


def test_ctrl_c_stop_ends_with_130_and_restores_the_terminal(start: StartTerminal) -> None:
    terminal = start("run", "--ctrl-c", "stop", "echo")
    terminal.wait_for(BANNER)

    terminal.type(CTRL_C)

    assert terminal.end() == 130
    assert b"minstret: stopped by Ctrl-C" in terminal.shown
    assert b"Traceback" not in terminal.shown
    assert terminal.attributes() == terminal.attributes_before


def test_ctrl_backslash_with_ctrl_c_stop_ends_with_131(start: StartTerminal) -> None:
    terminal = start("run", "--ctrl-c", "stop", "echo")
    terminal.wait_for(BANNER)

    terminal.type(b"\x1c")

    assert terminal.end() == 131
    assert b"minstret: stopped by SIGQUIT" in terminal.shown
    assert terminal.attributes() == terminal.attributes_before


@pytest.mark.parametrize(("options", "is_said"), [((), True), (("-q",), False), (("--no-input",), False)])
def test_start_says_how_to_get_out_where_the_terminal_is_the_guests(
    start: StartTerminal, options: tuple[str, ...], is_said: bool
) -> None:
    terminal = start("run", *options, "echo")

    before = terminal.wait_for(BANNER)

    assert (b"minstret: Ctrl-A x ends the run" in before) == is_said


@pytest.mark.parametrize(("shift", "insns"), [(1, b"500,000,000"), (3, b"125,000,000")])
def test_verbose_start_says_how_long_a_guests_second_is(start: StartTerminal, shift: int, insns: bytes) -> None:
    terminal = start("run", "-v", "--icount", f"shift={shift}", "echo")

    assert b"in a busy loop executes %s instructions; with --icount shift=N" % insns in terminal.wait_for(BANNER)


# ---- signals


@pytest.mark.parametrize("command", ["run", "record"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT])
def test_signal_restores_the_terminal_and_finishes_what_was_begun(
    start: StartTerminal, tmp_path: Path, command: str, number: signal.Signals
) -> None:
    trace, facts = tmp_path / "echo.mst", tmp_path / "echo.json"
    options = ("-o", trace) if command == "record" else ()
    terminal = start(command, *options, "--json", facts, "echo")
    terminal.wait_for(BANNER)

    terminal.process.send_signal(number)

    assert terminal.end() == 128 + number
    assert terminal.attributes() == terminal.attributes_before
    reason = "interrupted" if number == signal.SIGINT else "terminated"
    result = json.loads(facts.read_text())
    assert result["stop_reason"] == reason
    assert result["where"]["waiting"] is True
    if command == "record":
        assert not (tmp_path / "echo.mst-journal").exists()
        replayed = minstret("replay", "-q", "--json", tmp_path / "two.json", trace)
        assert (replayed.returncode, replayed.stderr) == (128 + number, b"")
        assert json.loads((tmp_path / "two.json").read_text())["digest"] == result["digest"]


def test_terminal_that_is_hung_up_ends_a_recording_with_129(tmp_path: Path) -> None:
    trace = tmp_path / "echo.mst"
    terminal = Terminal("record", "-o", trace, "echo")
    terminal.wait_for(BANNER)

    terminal.hang_up()

    assert terminal.process.wait(PATIENCE_S) == 129
    assert minstret("replay", "-q", trace).returncode == 129


def test_busy_chatty_guest_ends_when_its_terminal_is_hung_up(tmp_path: Path) -> None:
    terminal = Terminal("run", elf_files.write_elf(tmp_path / "guest.elf", elf_files.CHATTERS))
    terminal.wait_for(b"x")

    terminal.hang_up()

    assert terminal.process.wait(PATIENCE_S) == 129


def state_of(terminal: Terminal) -> str:
    return Path(f"/proc/{terminal.process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline


def test_stopped_run_leaves_the_terminal_as_it_was_and_comes_back_raw(echo: Terminal) -> None:
    for _ in range(2):
        echo.process.send_signal(signal.SIGTSTP)
        wait_until(lambda: state_of(echo) == "T")
        assert echo.attributes() == echo.attributes_before

        echo.process.send_signal(signal.SIGCONT)
        wait_until(lambda: is_raw(echo))

    echo.type(b"a.")
    assert echo.end() == 0
    assert b"A" in echo.shown
    assert echo.attributes() == echo.attributes_before


def test_ctrl_z_with_ctrl_c_stop_gives_the_shell_its_terminal_and_goes_on_with_fg(start: StartTerminal) -> None:
    run = shlex.join((*COMMAND, "run", "--ctrl-c", "stop", "echo"))
    shell = start("-c", f"set -m; {run}; echo status $?; stty -a; fg; echo status $?", command=("bash",))
    shell.wait_for(BANNER)

    shell.type(b"\x1a")
    shell.wait_for(b"status 148")
    assert b" icanon" in shell.wait_for(b"echoke")
    shell.wait_for(b" run --ctrl-c stop echo")
    wait_until(lambda: is_raw(shell))
    shell.type(b"ab.")

    shell.wait_for(b"AB")
    shell.wait_for(b"status 0")


def test_run_that_was_stopped_by_force_comes_back_raw(echo: Terminal) -> None:
    echo.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: state_of(echo) == "T")
    echo.set_attributes(echo.attributes_before)  # as a shell does

    echo.process.send_signal(signal.SIGCONT)

    wait_until(lambda: is_raw(echo))
    echo.type(CTRL_A + b"x")
    assert echo.end() == 130


def test_sigterm_ends_a_run_whose_terminal_nobody_reads(start: StartTerminal, tmp_path: Path) -> None:
    guest = elf_files.write_elf(tmp_path / "guest.elf", elf_files.CHATTERS)
    terminal = start("run", "-q", guest)
    terminal.wait_for(b"x")
    wait_until(lambda: state_of(terminal) == "S")  # the terminal is full

    terminal.process.send_signal(signal.SIGTERM)

    assert terminal.process.wait(PATIENCE_S) == 143


# ---- how far it is


CLEARED = b"\r\x1b[K"


def recorded(folder: Path, code: bytes) -> Path:
    """A trace that takes a while to play."""
    guest = elf_files.write_elf(folder / "guest.elf", code)
    trace = folder / "run.mst"
    assert minstret("record", "-q", "-m", "4M", "--max-insns", "50M", "-o", trace, guest).returncode == 123
    return trace


def test_replay_says_how_far_it_is_and_clears_that(start: StartTerminal, tmp_path: Path) -> None:
    trace = recorded(tmp_path, elf_files.LOOPS)
    without_end(str(trace))
    terminal = start("replay", trace)
    terminal.wait_for(b"\rreplaying \x1b[")
    terminal.wait_for(b" % ")
    assert terminal.wait_for(b" instructions").replace(b",", b"").isdigit()

    terminal.process.send_signal(signal.SIGTERM)

    assert terminal.end() == 143
    assert terminal.attributes() == terminal.attributes_before
    assert terminal.shown.rpartition(CLEARED)[2].startswith(b"minstret: stopped by SIGTERM")


def test_replay_says_how_far_it_is_though_the_guest_has_begun_a_line(start: StartTerminal, tmp_path: Path) -> None:
    trace = recorded(tmp_path, elf_files.says(b"ready\nprompt> ") + elf_files.LOOPS)
    without_end(str(trace))
    terminal = start("replay", trace)
    terminal.wait_for(b"ready\r\n")
    terminal.wait_for(b"\rreplaying \x1b[")

    terminal.process.send_signal(signal.SIGTERM)

    assert terminal.end() == 143
    assert CLEARED + b"prompt> \r\nminstret: stopped by SIGTERM" in terminal.shown


def test_quiet_replay_does_not_say_how_far_it_is(start: StartTerminal, tmp_path: Path) -> None:
    trace = recorded(tmp_path, elf_files.says(b"ready\n") + elf_files.LOOPS)
    without_end(str(trace))
    terminal = start("replay", "-q", trace)
    terminal.wait_for(b"ready")
    until = time.monotonic() + 1.7  # the first comes after a second
    while time.monotonic() < until:
        terminal.shows_more(0.1)

    assert terminal.process.poll() is None
    assert b" %" not in terminal.shown


def test_verify_says_which_replay_it_is_at_and_clears_that(start: StartTerminal, tmp_path: Path) -> None:
    terminal = start("verify", "--runs", "1000", recorded(tmp_path, elf_files.LOOPS))
    terminal.wait_for(b"\rreplay ")
    terminal.wait_for(b" of 1000 \x1b[")
    terminal.wait_for(b" left")

    terminal.process.send_signal(signal.SIGTERM)

    assert terminal.end() == 143
    said = terminal.shown.rpartition(CLEARED)[2]
    assert re.fullmatch(
        rb"minstret: stopped by SIGTERM during replay \d+ of 1000(; the \d+ before w\w+ as recorded)?\r\n", said
    )


def test_verify_says_how_far_its_first_run_is_and_what_limits_it(start: StartTerminal, tmp_path: Path) -> None:
    guest = elf_files.write_elf(tmp_path / "guest.elf", elf_files.LOOPS)
    terminal = start("verify", "--runs", "2", "-m", "4M", "--max-insns", "100G", guest)
    terminal.wait_for(b"minstret: the first run has not ended yet; it ends after 100,000,000,000 instructions or 60 s")
    terminal.wait_for(b"\rrun 1 of 2 \x1b[")
    while not terminal.wait_for(b" instructions").split()[-1].replace(b",", b"").strip(b"0"):
        pass  # nothing is known of the first second

    terminal.type(CTRL_C)

    assert terminal.end() == 130
    assert terminal.shown.endswith(CLEARED + b"minstret: stopped by Ctrl-C during run 1 of 2\r\n")


def endless_trace(path: Path, elf: Path) -> Path:
    """A trace of a guest that goes on for hours, if one believes what it says of its end."""
    assert minstret("record", "-q", "--no-input", "--max-insns", "1000", "-o", path, elf).returncode == 123
    with closing(sqlite3.connect(path)) as db:
        ((text,),) = db.execute("SELECT value FROM meta WHERE key = 'end'")
        end = json.dumps(json.loads(text) | {"icount": 10**14, "virtual_ns": 2 * 10**14})
        db.execute("UPDATE meta SET value = ? WHERE key = 'end'", (end,))
        db.execute("UPDATE reached SET icount = ?, virtual_ns = ?", (10**14, 2 * 10**14))
        db.commit()
    return path


@pytest.mark.parametrize("keys", [CTRL_A + b"x", CTRL_C])
def test_replay_shows_no_key_and_ends_by_ctrl_a_x_and_ctrl_c(start: StartTerminal, tmp_path: Path, keys: bytes) -> None:
    elf = elf_files.write_elf(tmp_path / "guest.elf", elf_files.says(b"go\n") + elf_files.LOOPS)
    terminal = start("replay", endless_trace(tmp_path / "run.mst", elf))
    terminal.wait_for(b"go")
    assert is_raw(terminal)

    terminal.type(b"zzz\r" + CTRL_A + b"c" + keys)

    assert terminal.end() == 130
    assert b"zzz" not in terminal.shown
    assert terminal.attributes() == terminal.attributes_before


# ---- the terminal afterwards


def test_terminal_is_raw_during_the_run_and_as_before_after_the_guests_end(echo: Terminal) -> None:
    assert is_raw(echo)

    echo.type(b".")

    assert echo.end() == 0
    assert echo.attributes() == echo.attributes_before


def test_terminal_is_as_before_after_a_crash(start: StartTerminal) -> None:
    terminal = start("run", "crash")

    assert terminal.end() == 121
    assert b"trap loop" in terminal.shown
    assert terminal.attributes() == terminal.attributes_before


def test_terminal_is_as_before_after_a_timeout(start: StartTerminal) -> None:
    terminal = start("run", "--timeout", "0.5", "echo")

    assert terminal.end() == 124
    assert terminal.attributes() == terminal.attributes_before


def test_terminal_is_as_before_after_max_insns(start: StartTerminal) -> None:
    terminal = start("run", "--max-insns", "100", "echo")

    assert terminal.end() == 123
    assert terminal.attributes() == terminal.attributes_before


def test_terminal_is_as_before_after_a_usage_error(start: StartTerminal) -> None:
    terminal = start("run", "--icount", "shift=11", "echo")

    assert terminal.end() == 125
    assert terminal.attributes() == terminal.attributes_before


def test_no_input_leaves_the_terminal_alone(start: StartTerminal) -> None:
    terminal = start("run", "--no-input", "echo")

    assert terminal.end() == 120  # nothing can come: it waits forever
    assert b"waits forever" in terminal.shown
    assert terminal.attributes() == terminal.attributes_before


# ---- sleeping


def test_idle_guest_burns_no_cpu(echo: Terminal) -> None:
    while echo.shows_more(0.1):  # the line's end
        pass
    before_s, start = cpu_s(echo.process), time.monotonic()

    assert not echo.shows_more(1.0)

    assert cpu_s(echo.process) - before_s < (time.monotonic() - start) / 2


def waits_for(virtual_ns: int) -> bytes:
    """Waits on the CLINT's timer for so long, then passes."""
    return asm.code(
        asm.li(asm.T0, elf_files.CLINT + 0x4000),
        asm.li(asm.T1, virtual_ns // 100), asm.sw(asm.T1, asm.T0, 0), asm.sw(asm.ZERO, asm.T0, 4),
        asm.addi(asm.T2, asm.ZERO, 128), asm.csrw("mie", asm.T2),  # MTIE, but not enabled: WFI goes on by itself
        asm.WFI,
    ) + elf_files.PASSES  # fmt: skip


@pytest.mark.parametrize(
    ("options", "nap_s", "sleeps"), [([], 1, True), (["--icount", "sleep=off"], 200, False)], ids=["on", "off"]
)
def test_guest_at_a_terminal_waits_in_real_time_unless_told_not_to(
    start: StartTerminal, tmp_path: Path, options: list[str], nap_s: int, sleeps: bool
) -> None:
    path = tmp_path / "run.json"
    elf = elf_files.write_elf(tmp_path / "guest.elf", waits_for(nap_s * NS_PER_S))

    terminal = start("run", "--json", path, *options, elf)

    assert terminal.end() == 0
    result = json.loads(path.read_text())
    assert result["virtual_ns"] >= nap_s * NS_PER_S
    assert (result["wall_s"] >= nap_s * 0.99) == sleeps
    assert result["user_s"] < 0.5


# ---- without a terminal


def test_piped_text_is_echoed_and_the_run_finishes() -> None:
    done = minstret("run", "echo", stdin=b"abc def.")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(BANNER + b"\nABC DEF\n7 bytes\n")


@pytest.mark.parametrize("chaos", [[], ["--chaos", "7"]])
def test_piped_text_is_the_same_run_each_time_and_that_of_a_file(tmp_path: Path, chaos: list[str]) -> None:
    text = b"the quick brown fox jumps over the lazy dog " * 100 + b"."
    path = tmp_path / "text"
    path.write_bytes(text)
    runs = []
    for slice_insns, stdin in (("1M", None), ("1M", text), ("777", text), ("100k", text)):
        result = tmp_path / "run.json"
        options = ("-q", "--json", result, "--slice-insns", slice_insns, *chaos)
        with path.open("rb") as file:
            done = minstret("run", *options, "echo", stdin=file if stdin is None else stdin)
        assert done.returncode == 0, done.stderr
        facts = json.loads(result.read_text())
        runs.append([facts[name] for name in ("digest", "icount", "virtual_ns", "uart_sha256")])

    assert runs[1:] == runs[:1] * 3


def test_piped_ctrl_a_and_ctrl_c_are_bytes_like_others() -> None:
    done = minstret("run", "echo", stdin=b"a\x01x\x03b.")

    assert done.returncode == 0, done.stderr
    assert b"A\x01X\x03B\n5 bytes\n" in done.stdout


def test_text_longer_than_the_fifo_is_echoed_while_the_pipe_stays_open() -> None:
    with started("run", "echo", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"a" * 100 + b".")

        assert process.wait(timeout=PATIENCE_S) == 0


def test_piped_text_without_an_end_leaves_a_guest_that_waits_forever() -> None:
    done = minstret("run", "echo", stdin=b"abc")

    assert done.returncode == 120
    assert b"ABC" in done.stdout
    assert b"waits forever" in done.stderr


def test_sleep_on_and_off_are_the_same_run_without_input(tmp_path: Path) -> None:
    runs = []
    for sleep in ("on", "off"):
        path = tmp_path / f"{sleep}.json"
        assert (
            minstret("run", "-q", "--no-input", "--icount", f"sleep={sleep}", "--json", path, "ticks").returncode == 0
        )
        result = json.loads(path.read_text())
        runs.append([result[name] for name in ("digest", "icount", "virtual_ns", "uart_sha256")])

    assert runs[0] == runs[1]


def test_run_in_the_background_leaves_the_keys_to_the_job_in_the_foreground(start: StartTerminal) -> None:
    script = f'set -m; {shlex.join(COMMAND)} run echo & read line; echo "got $line"; jobs; kill %1; wait; echo over'
    terminal = start(command=["bash", "-c", script])
    terminal.wait_for(BANNER)
    terminal.type(b"for bash\n")

    terminal.wait_for(b"got for bash")
    assert b"Running" in terminal.wait_for(b"over")
