"""The host's clocks, terminal, pipes and signals, each a real one."""

from __future__ import annotations

import errno
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from minstret.emu import host
from minstret.emu.door.door import Event
from minstret.emu.errors import ConfigError
from minstret.emu.host import EscapeKeys, HostFolder, HostSource, Output, Signals, Terminal
from minstret.emu.machine import STOP_TARGET
from minstret.emu.units import NS_PER_MS, NS_PER_S

CONSOLE = "uart0.rx"
LFLAG, CC = 3, 6
"""Where tcgetattr has the local modes and the control characters."""
FOREVER_NS = 300 * NS_PER_S

Files = tuple[int, int]
"""Two file descriptors: the end that a test has, and the end that is looked at."""


@contextmanager
def standard_input(monkeypatch: pytest.MonkeyPatch, fd: int) -> Iterator[None]:
    with os.fdopen(os.dup(fd)) as file, monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", file)
        yield


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Standard input is a pipe; its other end."""
    read_fd, write_fd = os.pipe()
    with os.fdopen(write_fd, "wb", buffering=0) as other_end:
        with standard_input(monkeypatch, read_fd):
            yield other_end.fileno()
        os.close(read_fd)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    """Standard input is a terminal; its two ends."""
    ends = pty.openpty()
    with standard_input(monkeypatch, ends[1]):
        yield ends
    for fd in ends:
        os.close(fd)


def soon(*actions: Callable[[], object]) -> None:
    """Do that while this process waits."""
    threading.Timer(0.05, lambda: [action() for action in actions]).start()


# ---- Ctrl-A


@pytest.mark.parametrize(
    ("typed", "given"),
    [
        (b"", [(b"", "")]),
        (b"abc", [(b"abc", "")]),
        (b"ab\x01xcd", [(b"ab", "x"), (b"cd", "")]),
        (b"\x01c\x01h", [(b"", "c"), (b"", "h"), (b"", "")]),
        (b"a\x01\x01b", [(b"a\x01b", "")]),
        (b"\x01\x01\x01x", [(b"\x01", "x"), (b"", "")]),
        (bytes(range(2, 256)), [(bytes(range(2, 256)), "")]),
    ],
)
def test_ctrl_a_takes_the_key_after_it(typed: bytes, given: list[tuple[bytes, str]]) -> None:
    assert list(EscapeKeys().feed(typed)) == given


@pytest.mark.parametrize("cut", range(8))
def test_keys_may_come_in_any_pieces(cut: int) -> None:
    typed, keys = b"a\x01\x01\x01cbd", EscapeKeys()
    pieces = [*keys.feed(typed[:cut]), *keys.feed(typed[cut:])]

    assert b"".join(piece for piece, _ in pieces) == b"a\x01bd"
    assert [key for _, key in pieces if key] == ["c"]


# ---- signals


@pytest.mark.parametrize("number", host.STOP_SIGNALS)
def test_signal_is_noted_until_it_is_taken(number: signal.Signals) -> None:
    heard = []
    signals = Signals(lambda: heard.append(number))
    before = signal.getsignal(number)
    with signals.caught():
        assert signals.take() is None
        os.kill(os.getpid(), number)
        assert signals.number == number
        assert signals.take() == number
        assert signals.take() is None

    assert heard == [number]
    assert signal.getsignal(number) is before


def test_first_of_several_signals_counts() -> None:
    signals = Signals()
    with signals.caught():
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(os.getpid(), number)
        assert signals.take() == signal.SIGTERM
        assert signals.take() is None


def test_ignored_signal_stays_ignored_but_for_ctrl_c() -> None:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGHUP, signal.SIGINT)}
    try:
        signals = Signals()
        with signals.caught():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signals.number is None
            os.kill(os.getpid(), signal.SIGINT)
            assert signals.number == signal.SIGINT
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_keys_of_another_process_at_the_terminal_are_nothing_to_us_and_not_ignored_by_it() -> None:
    signals = Signals()
    with signals.caught(keys_are_ours=False):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGQUIT)
        child = subprocess.run(["sh", "-c", "kill -INT $$"], check=False)
        assert signals.number is None
        os.kill(os.getpid(), signal.SIGTERM)

    assert signals.number == signal.SIGTERM
    assert child.returncode == -signal.SIGINT


def test_signal_ends_a_wait() -> None:
    signals = Signals()
    with signals.caught():
        soon(lambda: os.kill(os.getpid(), signal.SIGTERM))

        assert not signals.wait([], FOREVER_NS)
        assert signals.number == signal.SIGTERM
        assert not signals.wait([], None)  # it is not taken yet


def test_signal_that_asks_for_no_end_ends_no_wait() -> None:
    before = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    read_fd, write_fd = os.pipe()
    try:
        signals = Signals()
        with signals.caught():
            soon(lambda: os.kill(os.getpid(), signal.SIGUSR1), lambda: os.write(write_fd, b"x"))

            assert signals.wait([read_fd], FOREVER_NS)
    finally:
        signal.signal(signal.SIGUSR1, before)
        os.close(read_fd)
        os.close(write_fd)


@pytest.mark.parametrize("timeout_ns", [0, 1, 999_999, 3 * NS_PER_MS + 1])
def test_wait_is_never_shorter_than_asked_for(timeout_ns: int) -> None:
    start_ns = host.realtime_ns()

    assert not Signals().wait([], timeout_ns)

    assert host.realtime_ns() - start_ns >= timeout_ns


def test_signals_caught_within_themselves_are_caught_to_the_outer_end() -> None:
    signals = Signals()
    with signals.caught():
        with signals.caught():
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    assert signals.take() == signal.SIGTERM


def test_names_of_signals() -> None:
    assert [host.signal_name(number) for number in (2, 15, 63, 1000)] == [
        "SIGINT",
        "SIGTERM",
        "signal 63",
        "signal 1000",
    ]


# ---- the terminal


@pytest.mark.parametrize("takes_signals", [True, False])
def test_terminal_is_raw_meanwhile_and_as_it_was_before(terminal: Files, takes_signals: bool) -> None:
    _, fd = terminal
    odd = termios.tcgetattr(fd)
    odd[LFLAG] &= ~termios.ECHOK
    odd[CC][termios.VMIN] = 3
    termios.tcsetattr(fd, termios.TCSANOW, odd)
    before = termios.tcgetattr(fd)

    with Terminal(fd, takes_signals=takes_signals).raw():
        modes = termios.tcgetattr(fd)
        assert not modes[LFLAG] & (termios.ICANON | termios.ECHO | termios.IEXTEN)
        assert bool(modes[LFLAG] & termios.ISIG) == takes_signals
        assert (modes[CC][termios.VMIN], modes[CC][termios.VTIME]) in ((1, 0), (b"\x01", b"\x00"))

    assert termios.tcgetattr(fd) == before


def test_terminal_is_as_it_was_after_an_error_too(terminal: Files) -> None:
    _, fd = terminal
    before = termios.tcgetattr(fd)

    with pytest.raises(ZeroDivisionError), Terminal(fd, takes_signals=False).raw():
        raise ZeroDivisionError

    assert termios.tcgetattr(fd) == before


# ---- standard input


def test_key_at_a_terminal_comes_at_once_and_wait_ends_with_it(terminal: Files) -> None:
    keyboard, _ = terminal
    source = HostSource(console_target=CONSOLE)
    assert source.is_terminal
    with source.listening():
        assert list(source.poll(True)) == []
        soon(lambda: os.write(keyboard, b"k"))

        assert source.wait(FOREVER_NS) < FOREVER_NS
        assert list(source.poll(True)) == [Event(CONSOLE, b"k")]
        assert source.is_open


def test_long_paste_at_a_terminal_comes_whole(terminal: Files) -> None:
    text = bytes(range(2, 256)) * 400
    typist = threading.Thread(target=os.write, args=(terminal[0], text), daemon=True)
    source, taken = HostSource(console_target=CONSOLE), bytearray()
    with source.signals.caught(), source.listening():
        typist.start()
        while len(taken) < len(text) and source.wait(FOREVER_NS) < FOREVER_NS:
            taken += b"".join(event.data for event in source.poll(wants_input=False))

    assert taken == text


def test_escape_keys_at_a_terminal_are_commands(terminal: Files) -> None:
    keyboard, _ = terminal
    source = HostSource(console_target=CONSOLE)
    commands: list[str] = []
    source.on_command = commands.append
    with source.listening():
        os.write(keyboard, b"a\x01cb\x03\x01xz")

        events = list(source.poll(True))

    assert events == [
        Event(CONSOLE, b"a"), Event(CONSOLE, b"b\x03"), Event(STOP_TARGET, b"interrupted"), Event(CONSOLE, b"z"),
    ]  # fmt: skip
    assert commands == ["c"]
    assert source.has_stopped
    assert source.was_left


def test_keys_go_to_the_keyboard_where_that_is_asked_for(terminal: Files) -> None:
    keyboard, _ = terminal
    source = HostSource(console_target=CONSOLE)
    keys: list[bytes] = []
    source.on_keys = keys.append
    with source.listening():
        for to_keyboard, text in ((False, b"one"), (True, b"two"), (False, b"three")):
            source.keys_go_to_keyboard = to_keyboard
            assert source.keys_go_to == ("keyboard" if to_keyboard else "console")
            os.write(keyboard, text)
            assert list(source.poll(True)) == ([] if to_keyboard else [Event(CONSOLE, text)])

    assert keys == [b"two"]


def test_terminal_is_read_though_the_guest_wants_nothing(terminal: Files) -> None:
    keyboard, _ = terminal
    source = HostSource(console_target=CONSOLE)
    with source.listening():
        os.write(keyboard, b"\x01x")

        assert list(source.poll(False)) == [Event(STOP_TARGET, b"interrupted")]


def test_pipe_is_read_when_the_guest_wants_more_and_up_to_its_end(pipe: int) -> None:
    source = HostSource(console_target=CONSOLE)
    assert not source.is_terminal
    os.write(pipe, b"text \x01x")

    assert list(source.poll(False)) == []
    assert list(source.poll(True)) == [Event(CONSOLE, b"text \x01x")]  # Ctrl-A is a byte like others
    assert list(source.poll(True)) == []
    assert source.is_open


def test_end_of_a_pipe_closes_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    read_fd, write_fd = os.pipe()
    with standard_input(monkeypatch, read_fd):
        source = HostSource(console_target=CONSOLE)
        os.write(write_fd, b"last")
        os.close(write_fd)

        assert list(source.poll(True)) == [Event(CONSOLE, b"last")]
        assert source.is_open
        assert list(source.poll(True)) == []
        assert not source.is_open
        assert list(source.poll(True)) == []
    os.close(read_fd)


def test_source_without_a_console_leaves_standard_input_alone(pipe: int) -> None:
    os.write(pipe, b"for somebody else")
    source = HostSource(console_target=None)

    assert list(source.poll(True)) == []
    assert not source.is_open
    assert os.read(sys.stdin.fileno(), 100) == b"for somebody else"


# ---- while the guest stands still


def test_keys_that_come_while_the_guest_stands_still_are_kept_for_it(terminal: Files) -> None:
    keyboard, _ = terminal
    source = HostSource(console_target=CONSOLE)
    commands: list[str] = []
    source.on_command = commands.append
    with source.listening():
        assert not source.attend()
        os.write(keyboard, b"one\x01ctwo")
        assert not source.attend()
        os.write(keyboard, b"three")

        assert commands == ["c"]
        assert list(source.poll(False)) == [Event(CONSOLE, b"one"), Event(CONSOLE, b"two")]
        assert list(source.poll(False)) == [Event(CONSOLE, b"three")]


def test_keys_for_the_keyboard_wait_too_until_the_guest_goes_on(terminal: Files) -> None:
    keyboard, _ = terminal
    source = HostSource(console_target=CONSOLE)
    keys: list[bytes] = []
    source.on_keys, source.keys_go_to_keyboard = keys.append, True
    with source.listening():
        os.write(keyboard, b"one")
        source.attend()
        assert keys == []

        assert list(source.poll(False)) == []
    assert b"".join(keys) == b"one"


def test_run_can_be_left_while_the_guest_stands_still(terminal: Files) -> None:
    keyboard, _ = terminal
    source = HostSource(console_target=CONSOLE)
    with source.listening():
        assert source.typed_files == [sys.stdin.fileno()]
        os.write(keyboard, b"\x01x")

        assert source.attend()
        assert source.was_left
        assert list(source.poll(False)) == [Event(STOP_TARGET, b"interrupted")]


def test_pipe_is_not_read_while_the_guest_stands_still(pipe: int) -> None:
    source = HostSource(console_target=CONSOLE)
    os.write(pipe, b"text")

    assert source.typed_files == []
    assert not source.attend()
    assert list(source.poll(True)) == [Event(CONSOLE, b"text")]


def test_signal_ends_a_run_that_stands_still() -> None:
    source = HostSource(console_target=None)
    with source.signals.caught():
        assert not source.attend()
        os.kill(os.getpid(), signal.SIGTERM)

        assert source.attend()
        assert list(source.poll(False)) == [Event(STOP_TARGET, b"terminated 15")]


def test_time_limit_does_not_count_while_the_guest_stands_still() -> None:
    source = HostSource(console_target=None, timeout_ns=NS_PER_S)
    before_ns = source.deadline_ns
    assert before_ns is not None
    start_ns = host.realtime_ns()
    with source.standing_still():
        Signals().wait([], 20 * NS_PER_MS)
    passed_ns = host.realtime_ns() - start_ns

    assert source.deadline_ns is not None
    assert 20 * NS_PER_MS <= source.deadline_ns - before_ns <= passed_ns


def test_request_to_end_is_like_ctrl_c() -> None:
    source = HostSource(console_target=None)
    source.ask_to_end()

    assert source.has_stopped
    assert list(source.poll(False)) == [Event(STOP_TARGET, b"interrupted")]


def test_other_files_end_a_wait(pipe: int) -> None:
    source = HostSource(console_target=None)
    polls: list[str] = []
    source.more_files, source.on_poll = lambda: [sys.stdin.fileno()], lambda: polls.append("polled")
    soon(lambda: os.write(pipe, b"x"))

    assert source.wait(FOREVER_NS) < FOREVER_NS
    source.poll(False)
    assert polls == ["polled"]


# ---- reasons to stop


def test_timeout_is_told_once_and_bounds_waits() -> None:
    source = HostSource(console_target=None, timeout_ns=5 * NS_PER_MS)
    waited_ns = source.wait(None)

    assert list(source.poll(False)) == [Event(STOP_TARGET, b"timeout")]
    assert list(source.poll(False)) == []
    assert waited_ns > 0


@pytest.mark.parametrize(
    ("number", "request_"),
    [(signal.SIGINT, b"interrupted"), (signal.SIGTERM, b"terminated 15"), (signal.SIGHUP, b"terminated 1")],
)
def test_signal_becomes_a_request_to_stop(number: signal.Signals, request_: bytes) -> None:
    source = HostSource(console_target=None)
    with source.signals.caught():
        os.kill(os.getpid(), number)

        assert list(source.poll(False)) == [Event(STOP_TARGET, request_)]
        assert list(source.poll(False)) == []


@pytest.mark.parametrize(
    ("number", "request_"),
    [(errno.EIO, b"terminated 1"), (errno.EPIPE, b"terminated 13"), (errno.ENOSPC, b"terminated")],
)
def test_console_that_cannot_be_written_becomes_a_request_to_stop(number: int, request_: bytes) -> None:
    source = HostSource(console_target=None)
    source.output_failed(OSError(number, "no"))

    assert list(source.poll(False)) == [Event(STOP_TARGET, request_)]
    assert list(source.poll(False)) == []


def test_reason_to_stop_comes_before_input(pipe: int) -> None:
    source = HostSource(console_target=CONSOLE, timeout_ns=0)
    os.write(pipe, b"text")

    assert list(source.poll(True)) == [Event(STOP_TARGET, b"timeout")]
    assert list(source.poll(True)) == [Event(CONSOLE, b"text")]


# ---- standard output


@contextmanager
def standard_output(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Standard output is a pipe; the end to read."""
    read_fd, write_fd = os.pipe()
    with os.fdopen(write_fd, "w") as file, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", file)
        yield read_fd
    os.close(read_fd)


def test_output_is_written_whole_where_somebody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    data, got = os.urandom(1_000_000), bytearray()

    def read_all(fd: int) -> None:
        while len(got) < len(data):
            got.extend(os.read(fd, 65_536))

    with standard_output(monkeypatch) as fd:
        reader = threading.Thread(target=read_all, args=(fd,))
        reader.start()
        assert Output(Signals()).write(data) == len(data)
        reader.join()

    assert got == data


def test_output_gives_up_at_its_deadline_where_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    with standard_output(monkeypatch) as fd:
        written = Output(Signals(), host.realtime_ns).write(bytes(1 << 20))

        assert 0 < written < 1 << 20
        assert len(os.read(fd, 1 << 20)) == written


def test_output_at_the_end_of_a_run_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    output = Output(Signals())
    output.is_ending = True
    with standard_output(monkeypatch):
        first = output.write(bytes(1 << 20))

        assert 0 < first < 1 << 20
        assert output.write(b"more") == 0


def test_signal_ends_a_write_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    signals = Signals()
    with standard_output(monkeypatch), signals.caught():
        soon(lambda: os.kill(os.getpid(), signal.SIGTERM))

        assert Output(signals).write(bytes(1 << 20)) < 1 << 20


def test_output_that_is_closed_takes_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)

    assert Output(Signals()).write(b"nobody sees it") == 14


# ---- a folder for TFTP


def test_folder_gives_its_regular_files_and_nothing_else(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "file").write_bytes(b"0123456789")
    (root / "sub" / "deep").write_bytes(b"deep")
    (root / "link-in").symlink_to("sub/deep")
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "link-out").symlink_to("../secret")
    os.mkfifo(root / "fifo")
    folder = HostFolder(str(root))

    assert (folder.size("file"), folder.read("file", 3, 4), folder.read("file", 8, 4)) == (10, b"3456", b"89")
    assert (folder.size("sub/deep"), folder.size("link-in"), folder.size("sub/../file")) == (4, 4, 10)
    for name in ("../secret", "link-out", str(tmp_path / "secret"), "sub", "", ".", "fifo", "no", "a\0b", "../root2/x"):
        assert folder.size(name) is None, name
        assert folder.read(name, 0, 10) == b"", name


def test_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--net: tftp: .* is not a folder"):
        HostFolder(str(tmp_path / "none"))


# ---- clocks


def test_clocks_go_on_and_entropy_is_new_each_time() -> None:
    assert host.realtime_ns() <= host.realtime_ns()
    assert host.wall_ns() > 1_700_000_000 * NS_PER_S
    before_ns = host.user_ns()
    while host.user_ns() == before_ns:  # it goes on only while we compute
        pass
    assert len(host.entropy(16)) == 16
    assert host.entropy(16) != host.entropy(16)
