"""The host: real clocks, the terminal, signals. No other file may use them.

What comes from here reaches the guest only through the door.
"""

from __future__ import annotations

import errno
import os
import resource
import select
import signal
import stat
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import TextIO

from minstret.emu.door.door import Event
from minstret.emu.errors import ConfigError, HostError, Terminated
from minstret.emu.machine import STOP_TARGET, StopReason, stop_request
from minstret.emu.timers import TimerList

_READ_MAX = 4096
_WAIT_MAX_NS = 86_400 * 1_000_000_000
"""A single wait lasts a day at most: poll takes milliseconds in 32 bits, which is less than a month."""
_FULL_NS = 5_000_000
"""When to try again to write to a terminal that is full, and says that it is not."""

_BACKGROUND_NS = 100_000_000
"""How often to check whether this process is in the foreground of the terminal again."""

_HEAD_START_NS = 100_000_000
"""How long a pipe may be empty. If its writer takes longer, its data is taken when it comes, as typed input is."""


realtime_ns: Callable[[], int] = time.monotonic_ns
"""Monotonic host time."""

wall_ns: Callable[[], int] = time.time_ns
"""Wall-clock time since 1970."""


def user_ns() -> int:
    """CPU time this process has spent in user mode."""
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_utime * 1_000_000_000)


def entropy(size: int) -> bytes:
    """Random bytes from the host."""
    return os.urandom(size)


class TimerThread:
    """Runs a timer list in a thread of its own, which polls the clock, as the main loop of another emulator would.

    This is for the rejected timer model virtual-ext, kept for comparison: the host's scheduler decides when its timers
    fire.
    """

    _POLL_S = 20e-6

    def __init__(self, timers: TimerList, on_ran: Callable[[], None]) -> None:
        """Make it. ``on_ran`` is called in the thread after timers have fired."""
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
    """Read access to the regular files below one folder, by relative name. No name leads out of the folder."""

    def __init__(self, path: str) -> None:
        """Give access to the folder ``path``.

        Raises:
            ConfigError: there is no such folder.
        """
        if not os.path.isdir(path):
            raise ConfigError(f"--net: tftp: {path} is not a folder")
        self._root = os.path.realpath(path)

    def _find(self, name: str) -> str | None:
        try:
            path = os.path.realpath(os.path.join(self._root, name))
            is_inside = os.path.commonpath([path, self._root]) == self._root
            return path if is_inside and os.path.isfile(path) else None
        except (OSError, ValueError):
            return None

    def size(self, name: str) -> int | None:
        """The file's size in bytes; None if there is no such readable file."""
        path = self._find(name)
        try:
            return os.path.getsize(path) if path is not None and os.access(path, os.R_OK) else None
        except OSError:
            return None

    def read(self, name: str, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset``; fewer at the end of the file, none if the file is gone."""
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
Ctrl-A k   send keys to the guest's keyboard (--input keyboard), or to its console again
Ctrl-A h   this help
Ctrl-A Ctrl-A   send Ctrl-A
"""


class EscapeKeys:
    """Filters Ctrl-A and the key after it out of typed bytes. Bytes in, bytes and command keys out."""

    def __init__(self) -> None:
        self._escaped = False

    def feed(self, data: bytes) -> Iterator[tuple[bytes, str]]:
        """Pairs of bytes for the guest and the command key after them; the last pair has no key ("")."""
        out = bytearray()
        for byte in data:
            if self._escaped and byte != _CTRL_A:
                yield bytes(out), chr(byte)
                out.clear()
            elif self._escaped or byte != _CTRL_A:
                out.append(byte)
            self._escaped = byte == _CTRL_A and not self._escaped
        yield bytes(out), ""


STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that ask the process to end."""

_KEY_SIGNALS = (signal.SIGINT, signal.SIGQUIT)
"""Those that keys of the terminal send, to all processes of a job."""

HANG_UP, INTERRUPT, NO_READER = int(signal.SIGHUP), int(signal.SIGINT), int(signal.SIGPIPE)
"""The signals for a terminal that is gone, for Ctrl-C, and for a pipe without a reader."""

_LISTENS_NS = 2_000_000_000
"""If the run has not handled a signal after this time, it is stuck: another signal ends the process at once."""


def signal_name(number: int) -> str:
    """``SIGTERM`` for 15."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def failed_by(error: OSError) -> int:
    """The signal that corresponds to a write error; 0 if there is none."""
    return {errno.EIO: HANG_UP, errno.EPIPE: NO_READER}.get(error.errno or 0, 0)


def is_terminal(file: TextIO | None) -> bool:
    """Whether ``file`` is a terminal."""
    try:
        return file is not None and file.isatty()
    except (OSError, ValueError):
        return False


def takes_text(file: TextIO | None) -> bool:
    """Whether a few lines can be written to ``file`` without waiting for its reader."""
    try:
        return file is None or is_ready(file.fileno(), select.POLLOUT)
    except (OSError, ValueError):  # it is closed
        return True


class Signals:
    """Notes signals that ask the process to end, until the run handles them.

    The handlers only note the signal, so that whatever is being done, such as a write to a trace, is completed.
    """

    def __init__(self, on_signal: Callable[[], None] = lambda: None) -> None:
        """Make it. ``on_signal`` is called by the handlers, so at any point of the Python program."""
        self.number: int | None = None
        """The first signal that was not handled yet."""
        self._on_signal = on_signal
        self._noted_ns = 0
        self._wakeup_fd = -1

    def take(self) -> int | None:
        """The noted signal, which then counts as handled; None if there is none."""
        number, self.number = self.number, None
        return number

    def _note(self, number: int, frame: FrameType | None) -> None:
        now_ns = realtime_ns()
        if self.number is None:
            self.number, self._noted_ns = number, now_ns
            self._on_signal()
        elif now_ns - self._noted_ns > _LISTENS_NS:
            raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)

    def _drop(self, number: int, frame: FrameType | None) -> None:
        """A handler that does nothing. A process that is started does not inherit it, as it would SIG_IGN."""

    @contextmanager
    def caught(self, *, keys_are_ours: bool = True) -> Iterator[None]:
        """Note signals meanwhile. Signals that the parent process ignores stay ignored.

        Within itself it does nothing.

        Args:
            keys_are_ours: Whether Ctrl-C and Ctrl-\\ are for this process. Otherwise they do nothing here, and a
                process that is started meanwhile gets them as usual.
        Raises:
            HostError: there are no file descriptors left.
        """
        if self._wakeup_fd >= 0:
            yield
            return
        with ExitStack() as stack:
            self._wakeup_fd, wakeup_write = _pipe()  # a signal must end a wait; Python's poll continues by itself
            stack.callback(self._close, self._wakeup_fd, wakeup_write)
            stack.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(wakeup_write, warn_on_full_buffer=False))
            for number in STOP_SIGNALS:
                if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:
                    handler = self._note if keys_are_ours or number not in _KEY_SIGNALS else self._drop
                    stack.callback(signal.signal, number, signal.signal(number, handler))
            yield

    def _close(self, *files: int) -> None:
        self._wakeup_fd = -1
        for fd in files:
            os.close(fd)

    def wait(self, files: Iterable[int], timeout_ns: int | None, events: int = select.POLLIN) -> bool:
        """Wait for ``events`` on one of ``files``; False if a signal or the timeout came first."""
        poll, end_ns = select.poll(), None if timeout_ns is None else realtime_ns() + timeout_ns
        for fd in files:
            poll.register(fd, events)
        if self._wakeup_fd >= 0:
            poll.register(self._wakeup_fd, select.POLLIN)
        while self.number is None:
            left_ns = None if end_ns is None else max(0, end_ns - realtime_ns())
            ready = poll.poll(None if left_ns is None else min(left_ns, _WAIT_MAX_NS) // 1_000_000)
            if any(fd != self._wakeup_fd for fd, _ in ready):
                return True
            if ready:  # a signal that does not ask the process to end
                os.read(self._wakeup_fd, _READ_MAX)
            elif left_ns is not None and left_ns < 1_000_000:  # poll takes whole milliseconds
                time.sleep(left_ns / 1e9)
                return False
        return False


def _pipe() -> tuple[int, int]:
    try:
        read_fd, write_fd = os.pipe()
    except OSError as error:
        raise HostError(f"can't make a pipe: {error.strerror}; see ulimit -n") from None
    os.set_blocking(read_fd, False)
    os.set_blocking(write_fd, False)
    return read_fd, write_fd


def is_ready(fd: int, events: int) -> bool:
    """Whether reading or writing would return at once, also if it would fail."""
    poll = select.poll()
    poll.register(fd, events)
    return bool(poll.poll(0))


def _stdout_fd() -> int | None:
    if sys.stdout is None:  # closed by the parent process
        return None
    sys.stdout.flush()
    return sys.stdout.fileno()


class Output:
    """Standard output, or another file. A run can end even if the reader of its output does not read."""

    _WRITE_MAX, _TERMINAL_MAX = 4096, 256
    """Bytes that can be written to a pipe or a terminal without waiting when poll says that it is writable."""

    def __init__(
        self, signals: Signals, deadline_ns: Callable[[], int | None] = lambda: None,
        file: Callable[[], int | None] = _stdout_fd,
    ) -> None:  # fmt: skip
        """Make it. A write waits for the reader until a signal comes, or until host time ``deadline_ns()``.

        ``file`` gives the descriptor; None where what is written is dropped.
        """
        self._signals = signals
        self._deadline_ns = deadline_ns
        self._file = file
        self.is_ending = False
        """Whether to write only what can be written without waiting."""

    def write(self, data: bytes) -> int:
        """Write as much as possible before the run must end. Returns the number of bytes written.

        Raises:
            OSError: it can't be written.
        """
        fd = self._file()
        if fd is None:
            return len(data)
        if not os.isatty(fd):
            return self._write(fd, data, self._WRITE_MAX)
        with _never_waiting(fd) as terminal_fd:
            return self._write(terminal_fd, data, self._TERMINAL_MAX)

    def _write(self, fd: int, data: bytes, size: int) -> int:
        done = 0
        while done < len(data) and self._may_write(fd):
            try:
                done += os.write(fd, data[done : done + size])
            except BlockingIOError:  # poll calls a terminal writable that has room for half the end of a line
                if self.is_ending or self._signals.number is not None or self._left_ns() == 0:
                    break
                self._signals.wait((), _FULL_NS)
        return done

    def _may_write(self, fd: int) -> bool:
        if is_ready(fd, select.POLLOUT):
            return True
        return not self.is_ending and self._signals.wait([fd], self._left_ns(), select.POLLOUT)

    def _left_ns(self) -> int | None:
        deadline_ns = self._deadline_ns()
        return None if deadline_ns is None else max(0, deadline_ns - realtime_ns())


@contextmanager
def _never_waiting(fd: int) -> Iterator[int]:
    """The terminal ``fd``, opened once more, so that it never makes a write wait; as it is where it has no name."""
    try:
        name = os.ttyname(fd)
        own = fd if name.endswith("ptmx") else os.open(name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        own = fd
    try:
        yield own
    finally:
        if own != fd:
            os.close(own)


def _is_elsewhere(fd: int) -> bool:
    """Whether another job is in the foreground of a terminal: to set its modes or to read it stops this process."""
    try:
        return os.tcgetpgrp(fd) != os.getpgrp()
    except OSError:  # not the terminal that controls us
        return False


class Terminal:
    """A terminal in raw mode: each key is read at once, without echo. While stopped, its old modes are restored."""

    def __init__(self, fd: int, *, takes_signals: bool) -> None:
        """Use the terminal at ``fd``. With ``takes_signals``, Ctrl-C, Ctrl-Z and the like send signals as usual."""
        self._fd = fd
        self._takes_signals = takes_signals
        self._saved: list[object] | None = None

    @contextmanager
    def raw(self) -> Iterator[None]:
        """Raw mode meanwhile. While Ctrl-Z or SIGTSTP stops this process, the old modes are restored."""
        with ExitStack() as stack:
            for number, handler in ((signal.SIGTSTP, self._stop), (signal.SIGCONT, self._go_on)):
                if signal.getsignal(number) != signal.SIG_IGN:
                    stack.callback(signal.signal, number, signal.signal(number, handler))
            stack.callback(self._leave)
            self._enter()
            yield

    def _enter(self) -> None:
        if _is_elsewhere(self._fd):
            return
        try:
            modes = termios.tcgetattr(self._fd)
            if self._saved is None:
                self._saved = [*modes[:6], list(modes[6])]
            modes[0] &= ~(termios.ICRNL | termios.IXON)
            modes[3] &= ~(termios.ICANON | termios.ECHO | termios.IEXTEN)
            if not self._takes_signals:
                modes[3] &= ~termios.ISIG
            modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
            termios.tcsetattr(self._fd, termios.TCSANOW, modes)
        except termios.error:  # it is gone
            pass

    def _leave(self) -> None:
        if self._saved is None or _is_elsewhere(self._fd):
            return
        with suppress(termios.error):  # it is gone
            termios.tcsetattr(self._fd, termios.TCSANOW, self._saved)  # type: ignore[arg-type]
        self._saved = None

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._leave()
        if self._takes_signals:  # the default action, which does not stop an orphaned process group
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTSTP)
            signal.signal(signal.SIGTSTP, self._stop)
        else:
            os.kill(os.getpid(), signal.SIGSTOP)
        self._enter()

    def _go_on(self, number: int, frame: FrameType | None) -> None:
        self._enter()


@contextmanager
def keys_dropped() -> Iterator[None]:
    """At a terminal, ignore and hide what is typed, except Ctrl-A x, which acts like SIGINT."""
    if not is_terminal(sys.stdin):
        yield
        return
    fd = sys.stdin.fileno()
    done_fd, close_fd = _pipe()
    with ExitStack() as stack:
        stack.callback(os.close, done_fd)
        thread = threading.Thread(target=_drop_keys, args=(fd, done_fd), name="keys", daemon=True)
        stack.callback(thread.join)
        stack.callback(os.close, close_fd)
        stack.enter_context(Terminal(fd, takes_signals=True).raw())
        thread.start()
        yield


def _drop_keys(fd: int, done_fd: int) -> None:
    """Read the terminal until the other end of ``done_fd`` is closed, or the terminal is gone."""
    keys, poll = EscapeKeys(), select.poll()
    poll.register(fd, select.POLLIN)
    poll.register(done_fd, select.POLLIN)
    with suppress(OSError):
        while not any(ready == done_fd for ready, _ in poll.poll()):
            if _is_elsewhere(fd):
                time.sleep(_BACKGROUND_NS / 1e9)
                continue
            data = os.read(fd, _READ_MAX)
            if not data:
                return
            if any(key == "x" for _, key in keys.feed(data)):
                os.kill(os.getpid(), signal.SIGINT)


class HostSource:
    """What the host side decides live: console input, signals, and the time limit."""

    def __init__(
        self, *, console_target: str | None, timeout_ns: int | None = None, ctrl_c_stops: bool = False,
        reads_stdin: bool = True,
    ) -> None:  # fmt: skip
        """Make a source of events for the door.

        Args:
            console_target: The door's target for console input; None: don't read standard input.
            timeout_ns: Ask the machine to stop after this much host time, counted from ``listening``.
            ctrl_c_stops: At a terminal, Ctrl-C, Ctrl-Z and Ctrl-backslash send signals as usual; otherwise they go to
                the guest.
            reads_stdin: Whether the console's input is standard input.
        """
        self._console_target = console_target
        self._timeout_ns = timeout_ns
        self.deadline_ns = None if timeout_ns is None else realtime_ns() + timeout_ns
        self._has_timed_out = False
        self._failed_by: int | None = None
        self.signals = Signals()
        self._ctrl_c_stops = ctrl_c_stops
        self._escape_keys = EscapeKeys()
        self.on_command: Callable[[str], None] = lambda key: None
        """Called with the key after Ctrl-A, except for x, which ends the run."""
        self.has_stopped = False
        """Whether the machine was asked to stop."""
        self._last_stop: Event | None = None
        """What asked it, other than the time limit: then nobody is waited for."""
        self.was_left = False
        """Whether it was asked to stop by Ctrl-A x."""
        self.keys_go_to_keyboard = False
        self.on_keys: Callable[[bytes], None] = lambda data: None
        """Called with what is typed at a terminal while ``keys_go_to_keyboard``."""
        self._fd = sys.stdin.fileno() if console_target is not None and reads_stdin else -1
        self.has_escape_keys = self._is_at_terminal = self.is_terminal
        """Whether Ctrl-A is a command key in what is typed."""
        self._is_live = self.is_terminal
        """Whether input is taken when it comes. Otherwise reading waits a moment for the writer at the other end."""
        self._wants_input = False
        self._held: list[Event | bytes] = []
        """What has come while the guest stood still; typed bytes are not given to it yet."""
        self.on_poll: Callable[[], None] = lambda: None
        """Called once a turn."""
        self.more_files: Callable[[], Iterable[int]] = tuple
        """What else ends a wait, so that there is a turn."""

    @property
    def is_terminal(self) -> bool:
        """Whether input comes from a terminal, where a person may type."""
        return self._fd >= 0 and os.isatty(self._fd)

    @property
    def has_writer(self) -> bool:
        """Whether somebody may be at the other end of the input: it is neither a file nor the null device."""
        if self._fd < 0:
            return False
        found = os.fstat(self._fd)
        return not stat.S_ISREG(found.st_mode) and not os.path.samestat(found, os.stat(os.devnull))

    @property
    def _is_in_background(self) -> bool:
        """Whether the terminal's keys are another job's, perhaps gdb's."""
        return self.is_terminal and _is_elsewhere(self._fd)

    @property
    def keys_go_to(self) -> str:
        """``keyboard`` or ``console``."""
        return "keyboard" if self.keys_go_to_keyboard else "console"

    def output_failed(self, error: OSError) -> None:
        """Ask the machine to stop: the console can't be written."""
        self._failed_by = failed_by(error)

    def poll(self, wants_input: bool) -> Iterable[Event]:
        self.on_poll()
        events = [*(self._take_held() if self._held else ()), *self._stops()]
        self._wants_input = wants_input
        if not events and (wants_input or self._is_at_terminal) and self._fd >= 0 and self._has_input():
            events += self._read_input()
        return events

    def _has_input(self) -> bool:
        """Whether there is data, or the end of input. Waits a moment for it, until once nothing has come."""
        if self._is_live:
            return is_ready(self._fd, select.POLLIN) and not self._is_in_background
        self._is_live = not self.signals.wait([self._fd], _HEAD_START_NS)
        return not self._is_live

    def _stops(self) -> list[Event]:
        """A reason to stop, at most one at a time."""
        if (number := self.signals.take()) is not None:
            return [self.stop(StopReason.INTERRUPTED if number == signal.SIGINT else StopReason.TERMINATED, number)]
        if not self._has_timed_out and self.deadline_ns is not None and realtime_ns() >= self.deadline_ns:
            self._has_timed_out = True
            return [self.stop(StopReason.TIMEOUT)]
        if self._failed_by is not None:
            number, self._failed_by = self._failed_by, None
            return [self.stop(StopReason.TERMINATED, number)]
        return []

    def stop(self, reason: StopReason, number: int = 0) -> Event:
        """The event that asks the machine to stop."""
        self.has_stopped = True
        event = Event(STOP_TARGET, stop_request(reason, number if reason is StopReason.TERMINATED else 0))
        if reason is not StopReason.TIMEOUT:
            self._last_stop = event
        return event

    @property
    def is_open(self) -> bool:
        """Whether input may still come."""
        return self._fd >= 0

    def _read_input(self) -> list[Event]:
        data = self._read()
        return self.filtered(data) if self.has_escape_keys else self.typed(data)

    def filtered(self, data: bytes) -> list[Event]:
        """What comes of typed bytes, with Ctrl-A as a command key."""
        events = []
        for typed, key in self._escape_keys.feed(data):
            events += [*self.typed(typed), *self.obey(key)]
        return events

    def _read(self) -> bytes:
        """What is there to read; nothing, and then the source is closed, at its end."""
        try:
            data = os.read(self._fd, _READ_MAX)
        except OSError:  # the terminal is gone
            data = b""
        if not data:
            self._fd = -1
        return data

    def obey(self, key: str) -> list[Event]:
        """Do what the key after Ctrl-A asks for, if there is one."""
        if key == "x":
            self.was_left = True
            return [self.stop(StopReason.INTERRUPTED)]
        if key:
            self.on_command(key)
        return []

    def typed(self, data: bytes) -> list[Event]:
        """Pass typed bytes on: at once to the keyboard, or as an event to the console."""
        if self.keys_go_to_keyboard:
            self.on_keys(data)
            return []
        return [Event(self._console_target or "", data)] if data else []

    def wait(self, timeout_ns: int | None) -> int:
        start_ns = realtime_ns()
        limits_ns = [min(n, _WAIT_MAX_NS) for n in (timeout_ns, self._until_deadline_ns()) if n is not None]
        if self._is_in_background:
            limits_ns.append(_BACKGROUND_NS)
        self.signals.wait([*self.input_files(), *self.more_files()], min(limits_ns) if limits_ns else None)
        return realtime_ns() - start_ns

    def input_files(self) -> list[int]:
        """What input may come from while the guest waits."""
        has_use = self._fd >= 0 and (self._wants_input or self.is_terminal)
        return [self._fd] if has_use and not self._is_in_background else []

    def _until_deadline_ns(self) -> int | None:
        if self.deadline_ns is None or self._has_timed_out:
            return None
        return max(0, self.deadline_ns - realtime_ns())

    @property
    def typed_files(self) -> list[int]:
        """What to wait for while the guest stands still, before ``attend``."""
        return [self._fd] if self.is_terminal and not self._is_in_background else []

    def attend(self) -> bool:
        """While the guest stands still: obey Ctrl-A, and keep the keys for it.

        Returns:
            Whether somebody wants the run to end; the time limit does not.
        """
        if self.is_terminal and self._has_input():
            for typed, key in self._escape_keys.feed(self._read()):
                self._held += [typed, *self.obey(key)]
        return self._last_stop is not None or self.signals.number is not None

    def _take_held(self) -> Iterator[Event]:
        held, self._held = self._held, []
        for each in held:
            yield from self.typed(each) if isinstance(each, bytes) else [each]

    def ask_to_end(self) -> None:
        """End the run as was asked for already, else as Ctrl-C does."""
        if self.signals.number is None:
            self._held.append(self._last_stop or self.stop(StopReason.INTERRUPTED))

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """The time limit does not count this time."""
        begin_ns = realtime_ns()
        try:
            yield
        finally:
            if self.deadline_ns is not None:
                self.deadline_ns += realtime_ns() - begin_ns

    @contextmanager
    def listening(self) -> Iterator[None]:
        """The run begins. Meanwhile a terminal is in raw mode: every key is read at once, without echo."""
        if self._timeout_ns is not None:  # starting may take long on a busy machine, and is not the guest's time
            self.deadline_ns = realtime_ns() + self._timeout_ns
        if self.is_terminal:
            with Terminal(self._fd, takes_signals=self._ctrl_c_stops).raw():
                yield
        else:
            yield
