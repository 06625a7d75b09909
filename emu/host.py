"""The host: real clocks, the terminal, signals. The only file that may look at them.

What comes from here reaches the guest through the door alone.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from minstret.emu.errors import ConfigError
from minstret.emu.ingress import Event
from minstret.emu.machine import STOP_TARGET, StopReason
from minstret.emu.timers import TimerList

_READ_MAX = 4096
_WAIT_MAX_NS = 86_400 * 1_000_000_000
"""One wait of the system's takes a day at most: what counts ms in 32 bits has no room for a month."""


realtime_ns: Callable[[], int] = time.monotonic_ns
"""Monotonic host time."""

wall_ns: Callable[[], int] = time.time_ns
"""Wall-clock time since 1970."""


def user_ns() -> int:
    """CPU time this process has spent in user mode."""
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_utime * 1_000_000_000)


def entropy(size: int) -> bytes:
    """Random bytes, as good as the host has them."""
    return os.urandom(size)


class TimerThread:
    """Runs a list of timers in a thread of its own, which polls their clock, as a main loop beside the hart would.

    This is the rejected timer model, kept for comparison: when its timers fire depends on the host's scheduler.
    """

    _POLL_S = 20e-6

    def __init__(self, timers: TimerList, on_ran: Callable[[], None]) -> None:
        """Make it; ``on_ran`` is called after timers have fired, in the thread."""
        self.lock = threading.Lock()
        self._timers = timers
        self._on_ran = on_ran
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="second-clock", daemon=True)

    def _loop(self) -> None:
        while not self._stop.wait(self._POLL_S):
            with self.lock:
                has_run = self._timers.run_expired()
            if has_run:
                self._on_ran()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the timers meanwhile."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()


class HostFolder:
    """The regular files below one folder, read-only, by relative name. No name leads out of it."""

    def __init__(self, path: str) -> None:
        """Offer what is in ``path``.

        Raises:
            ConfigError: there is no such folder.
        """
        if not os.path.isdir(path):
            raise ConfigError(f"tftp: no folder {path}")
        self._root = os.path.realpath(path)

    def _find(self, name: str) -> str | None:
        try:
            path = os.path.realpath(os.path.join(self._root, name))
            is_inside = os.path.commonpath([path, self._root]) == self._root
            return path if is_inside and os.path.isfile(path) else None
        except (OSError, ValueError):
            return None

    def size(self, name: str) -> int | None:
        """How long the file is, bytes; None where there is none that can be read."""
        path = self._find(name)
        try:
            return os.path.getsize(path) if path is not None and os.access(path, os.R_OK) else None
        except OSError:
            return None

    def read(self, name: str, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset``, fewer at the end, none where the file is gone."""
        path = self._find(name)
        if path is None:
            return b""
        try:
            with open(path, "rb") as file:
                file.seek(offset)
                return file.read(size)
        except OSError:
            return b""


_CTRL_A = 0x01

ESCAPE_HELP = """\
Ctrl-A x   end the run
Ctrl-A c   say where the guest is
Ctrl-A k   keys go to the keyboard (--input keyboard), and back to the console
Ctrl-A h   this help
Ctrl-A Ctrl-A   send Ctrl-A
"""


class EscapeKeys:
    """Takes Ctrl-A and the key after it out of what is typed. Bytes in, bytes and commands out."""

    def __init__(self) -> None:
        self._escaped = False

    def feed(self, data: bytes) -> Iterator[tuple[bytes, str]]:
        """Bytes for the guest, and the command key behind them; the last ones have none ("")."""
        out = bytearray()
        for byte in data:
            if self._escaped and byte != _CTRL_A:
                yield bytes(out), chr(byte)
                out.clear()
            elif self._escaped or byte != _CTRL_A:
                out.append(byte)
            self._escaped = byte == _CTRL_A and not self._escaped
        yield bytes(out), ""


class HostSource:
    """Keyboard input for the console, Ctrl-C, and the time limit."""

    def __init__(self, *, console_target: str | None, timeout_ns: int | None = None) -> None:
        """Listen to standard input (if ``console_target`` names where it goes) and to the clock.

        Args:
            console_target: The door's target for typed bytes; None leaves standard input alone.
            timeout_ns: Ask the machine to stop after so much host time.
        """
        self._console_target = console_target
        self._deadline_ns = None if timeout_ns is None else realtime_ns() + timeout_ns
        self._interrupted = False
        self._escape_keys = EscapeKeys()
        self.on_command: Callable[[str], None] = lambda key: None
        """Called with the key after Ctrl-A, but for x, which ends the run."""
        self.keys_go_to_keyboard = False
        self.on_keys: Callable[[bytes], None] = lambda data: None
        """Called with what is typed at a terminal while ``keys_go_to_keyboard``."""
        self._fd = sys.stdin.fileno() if console_target is not None else -1
        self._wakeup_fd = -1

    @property
    def is_terminal(self) -> bool:
        """Whether a person may be typing."""
        return self._fd >= 0 and os.isatty(self._fd)

    @property
    def keys_go_to(self) -> str:
        """``keyboard`` or ``console``."""
        return "keyboard" if self.keys_go_to_keyboard else "console"

    def poll(self, wants_input: bool) -> Iterable[Event]:
        events = []
        if self._interrupted:
            self._interrupted = False
            events.append(_stop(StopReason.INTERRUPTED))
        if self._deadline_ns is not None and realtime_ns() >= self._deadline_ns:
            self._deadline_ns = None
            events.append(_stop(StopReason.TIMEOUT))
        if (wants_input or self.is_terminal) and self._fd >= 0 and select.select([self._fd], [], [], 0)[0]:
            events += self._read_input()
        return events

    @property
    def is_open(self) -> bool:
        """Whether input may still come."""
        return self._fd >= 0

    def _read_input(self) -> list[Event]:
        try:
            data = os.read(self._fd, _READ_MAX)
        except OSError:  # the terminal is gone
            data = b""
        if not data:
            self._fd = -1
            return []
        if not os.isatty(self._fd):
            return self._typed(data)
        events = []
        for typed, key in self._escape_keys.feed(data):
            events += self._typed(typed)
            if key == "x":
                events.append(_stop(StopReason.INTERRUPTED))
            elif key:
                self.on_command(key)
        return events

    def _typed(self, data: bytes) -> list[Event]:
        """Keys go to the keyboard at once, text to the console as an event."""
        if self.keys_go_to_keyboard:
            self.on_keys(data)
            return []
        return [Event(self._console_target or "", data)] if data else []

    def wait(self, timeout_ns: int | None) -> int:
        start_ns = realtime_ns()
        limits_ns = [min(n, _WAIT_MAX_NS) for n in (timeout_ns, self._until_deadline_ns()) if n is not None]
        files = [fd for fd in (self._fd, self._wakeup_fd) if fd >= 0]
        if not self._interrupted:
            select.select(files, [], [], min(limits_ns) / 1e9 if limits_ns else None)
        return realtime_ns() - start_ns

    def _until_deadline_ns(self) -> int | None:
        return None if self._deadline_ns is None else max(0, self._deadline_ns - realtime_ns())

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Ctrl-C becomes an event, and a terminal hands over every key at once, without echo."""

        def on_interrupt(number: int, frame: FrameType | None) -> None:
            if self._interrupted:  # a second one: the machine did not listen
                raise KeyboardInterrupt
            self._interrupted = True

        self._wakeup_fd, wakeup_write = os.pipe()  # a signal must end a wait: select by itself goes on
        os.set_blocking(wakeup_write, False)
        previous_fd = signal.set_wakeup_fd(wakeup_write, warn_on_full_buffer=False)
        previous = signal.signal(signal.SIGINT, on_interrupt)
        saved = None
        if self._fd >= 0 and os.isatty(self._fd):
            saved = termios.tcgetattr(self._fd)
            raw = termios.tcgetattr(self._fd)
            raw[0] &= ~termios.ICRNL
            raw[3] &= ~(termios.ICANON | termios.ECHO)
            raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
            termios.tcsetattr(self._fd, termios.TCSANOW, raw)
        try:
            yield
        finally:
            if saved is not None:
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, saved)
            signal.signal(signal.SIGINT, previous)
            signal.set_wakeup_fd(previous_fd)
            os.close(wakeup_write)
            os.close(self._wakeup_fd)
            self._wakeup_fd = -1


@contextmanager
def interruptible(on_interrupt: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C calls ``on_interrupt`` meanwhile, a second one raises KeyboardInterrupt."""
    seen = False

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal seen
        if seen:
            raise KeyboardInterrupt
        seen = True
        on_interrupt()

    previous = signal.signal(signal.SIGINT, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _stop(reason: StopReason) -> Event:
    return Event(STOP_TARGET, reason.value.encode())
