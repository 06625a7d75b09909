"""Scripts: what is typed, pressed and pointed at when, and what the guest is expected to say.

How they are written is in parsing.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minstret.devices.hostside.hostinput.queue import InputQueue
from minstret.devices.hostside.matcher import ConsoleMatcher
from minstret.emu.expect import Expected
from minstret.emu.timers import Timer, TimerAttribute, TimerList
from minstret.emu.units import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from minstret.devices.hostside.hostinput.keymap import Chord

EXPECT_NS = 10 * NS_PER_S
"""How long EXPECT waits where the line does not say it."""

Action = Callable[[InputQueue], None]


@dataclass(frozen=True, slots=True)
class Send:
    """Type this at the console."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Expect:
    """Wait until the guest has sent this, but no longer than so many ns."""

    expected: Expected
    within_ns: int = EXPECT_NS


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait for so many ns."""

    ns: int


Step = Action | Send | Expect | Sleep

KEYS_AT_NS = 100 * NS_PER_MS
"""When ``--keys`` begins to type. Not at once: keys are lost if the guest is not ready for them."""


@dataclass(frozen=True, slots=True)
class ScriptLine:
    """What is done, and the earliest moment for it: a virtual time or an icount, never both; neither: at once.

    ``source`` says where the line is, and what is there, for messages.
    """

    step: Step
    at_ns: int | None = None
    at_icount: int | None = None
    source: str = ""

    @property
    def needs_input_device(self) -> bool:
        """Whether a board without a keyboard or tablet has no use for it."""
        return not isinstance(self.step, Send | Expect | Sleep)


def keys_line(chords: Sequence[Chord], at_ns: int = KEYS_AT_NS) -> ScriptLine:
    """A line that types ``chords``."""
    return ScriptLine(lambda queue: queue.type(chords), at_ns=at_ns, source="--keys")


# ---- running


@dataclass(slots=True)
class InputScriptState:
    """The index of the line that comes next, or that is under way: a SLEEP or an EXPECT has begun."""

    next_line: int = 0
    is_under_way: bool = False


class InputScript:
    """Plays ``lines``. A timer is armed for a line with a time; the machine asks for icounts.

    Attributes:
        matcher: Looks for what is expected, in all that the guest sends to its console.
        limit: The timer of the time in which that has to come.
    """

    version = 2

    def __init__(self, name: str, lines: Sequence[ScriptLine], queue: InputQueue, timers: TimerList) -> None:
        """Make a script that begins with ``start``. ``name`` is its timer's, which is on the virtual clock's list."""
        self.name = name
        self.state = InputScriptState()
        self.send: Callable[[bytes], None] = lambda data: None
        """Types at the console."""
        self.on_missed: Callable[[str], None] = lambda text: None
        """Called where what is expected has not come, with a text that says so. No further line is done."""
        self._lines = tuple(lines)
        self._last_expect = self._last(Expect)
        self._last_send = self._last(Send)
        self._queue = queue
        self._timers = timers
        self._timer = Timer(name, timers, self._on_time, TimerAttribute.EXTERNAL)
        self.limit = Timer(f"{name}.limit", timers, self._on_limit, TimerAttribute.EXTERNAL)
        self.matcher = ConsoleMatcher(f"{name}.match", timers, self._wanted, lambda number: self._end_line())

    def _last(self, kind: type) -> int:
        """The index of the last line of a kind; -1 if there is none."""
        return max((n for n, line in enumerate(self._lines) if isinstance(line.step, kind)), default=-1)

    def start(self) -> None:
        """Wait for the first line. Lines that are due at once are done in the machine's first turn."""
        self._await_line()

    def go_on(self) -> None:
        """Wait for the next line, after a state was loaded whose script may have been another one."""
        line = self._line()
        kind, under_way = (Sleep, self._timer) if self._timer.pending else (Expect, self.limit)
        if self.state.is_under_way and line is not None and isinstance(line.step, kind) and under_way.pending:
            return
        self.state.is_under_way = False
        self.limit.cancel()
        self.matcher.stop()
        at_ns = None if line is None else self._moment_ns(line)
        if at_ns is None:
            self._timer.cancel()
        elif self._timer.expire_ns != at_ns:
            self._timer.arm(at_ns)

    @property
    def next_icount(self) -> int | None:
        """The icount of the next line; None if that has a time, or there is no next line."""
        line = self._line()
        return None if line is None or self.state.is_under_way else line.at_icount

    def run_due(self, icount: int) -> None:
        """Do the lines whose moment is ``icount`` or earlier."""
        while (next_icount := self.next_icount) is not None and next_icount <= icount:
            self._begin_line()

    def hear(self, data: bytes) -> None:
        """The guest has sent ``data`` to its console."""
        if self.state.next_line <= self._last_expect:
            self.matcher.hear(data)

    # ---- what may still come of it

    @property
    def uses_console(self) -> bool:
        """Whether it has a line that types at the console, or waits for it."""
        return not all(line.needs_input_device for line in self._lines)

    @property
    def expects(self) -> bool:
        """Whether it has a line that expects something."""
        return self._last_expect >= 0

    @property
    def will_send(self) -> bool:
        """Whether it goes on at a known time, and something is to be typed at the console then or later."""
        return self.state.next_line <= self._last_send and (self._timer.pending or self.matcher.is_due)

    def hurry(self) -> bool:
        """The guest waits for its console in a call, in which no time passes: go on at once to what is to be typed.

        Returns:
            Whether there is something.
        """
        if not self.will_send:
            return False
        if self._timer.pending:
            self._timer.arm(self._timers.clock.now_ns())
        self.matcher.settle()
        return True

    def settle(self) -> bool:
        """The guest sends no more. Whether it has sent what was expected: then the script goes on."""
        return self.matcher.settle()

    def open_line(self) -> str | None:
        """The first line that still expects something, for messages."""
        lines = (line for line in self._lines[self.state.next_line :] if isinstance(line.step, Expect))
        return next((line.source for line in lines), None)

    # ---- line by line

    def _line(self) -> ScriptLine | None:
        return self._lines[self.state.next_line] if self.state.next_line < len(self._lines) else None

    def _wanted(self) -> tuple[Expected, ...]:
        line = self._line()
        return (line.step.expected,) if line is not None and isinstance(line.step, Expect) else ()

    def _moment_ns(self, line: ScriptLine) -> int | None:
        """When it begins; None where it is not time that says that."""
        if line.at_icount is not None:
            return None
        return self._timers.clock.now_ns() if line.at_ns is None else line.at_ns

    def _on_time(self, late_ns: int) -> None:
        if self.state.is_under_way:
            self._end_line()
        else:
            self._begin_line()

    def _begin_line(self) -> None:
        line = self._line()
        assert line is not None
        step = line.step
        if isinstance(step, Sleep):
            self.state.is_under_way = True
            self._timer.arm(self._timers.clock.now_ns() + step.ns)
        elif isinstance(step, Expect):
            self.state.is_under_way = True
            self.limit.arm(self._timers.clock.now_ns() + step.within_ns)
            self.matcher.start()
        else:
            self._end_line()
            if isinstance(step, Send):
                self.send(step.data)
            else:
                step(self._queue)

    def _end_line(self) -> None:
        self.state.next_line += 1
        self.state.is_under_way = False
        self.limit.cancel()
        self._await_line()

    def _await_line(self) -> None:
        line = self._line()
        at_ns = None if line is None else self._moment_ns(line)
        if at_ns is not None:
            self._timer.arm(at_ns)

    def _on_limit(self, late_ns: int) -> None:
        line = self._line()
        if line is None or not isinstance(line.step, Expect) or self.matcher.settle():
            return
        self.matcher.stop()
        self.state = InputScriptState(len(self._lines))
        self.on_missed(f"{line.source}: not said in time")
