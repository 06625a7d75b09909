"""The moves that one client of gdb's remote protocol asks for, where they are to end, and what it is told of that.

A packet that asks for a move is answered by a ``Move``; who serves the client makes it when there is time for it.

Harts stop together, and which of them goes on is the board's matter: a step of one thread goes on until its hart has
retired an instruction, whatever the others do meanwhile.

Source: GDB manual, Remote Protocol: Packets, Stop Reply Packets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from minstret.emu.door.door import Position
from minstret.emu.gdbpackets import OK, UNKNOWN, Refused, error_reply, number_of, numbers_of
from minstret.emu.gdbpoints import Point, Points, PointType
from minstret.emu.gdbtarget import PC_NUMBER, SP_NUMBER
from minstret.emu.gdbview import View
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.traps import TrapRecord
from minstret.emu.timeline import Stop, Timeline, Why

_SIGNAL_0, _SIGINT, _SIGTRAP = 0, 2, 5
_ACTION = re.compile(rb"([cst]|[CS][0-9a-fA-F]{2}|r([0-9a-fA-F]+),([0-9a-fA-F]+))(?::([-.0-9a-fA-Fp]+))?")


@dataclass(frozen=True, slots=True)
class Move:
    """A move that a client has asked for, and not made yet.

    Attributes:
        make: Makes it.
        is_backward: Whether it goes back.
        expects_text: Whether the client expects text meanwhile.
        has_reply: Whether the client is told where it has ended.
        is_interruptible: Whether Ctrl-C keeps it from being made; else that is for the next one.
    """

    make: Callable[[], Stop]
    is_backward: bool = False
    expects_text: bool = True
    has_reply: bool = True
    is_interruptible: bool = True


class _Action(NamedTuple):
    """What a thread is to do: the action's letter, where it is to be stepped, and for which thread that is."""

    letter: bytes
    bounds: range | None
    thread: bytes | None


def _action_of(text: bytes) -> _Action:
    match = _ACTION.fullmatch(text)
    if match is None:
        raise Refused
    letter, bounds = match[1][:1], None
    if letter == b"r":
        bounds = range(number_of(match[2]), number_of(match[3]))
    elif letter in b"sS":
        bounds = range(0)
    return _Action(letter, bounds, match[4])


class _ToldWatch(NamedTuple):
    """A stop for watchpoints, as the client was told of it."""

    hart: int
    is_backward: bool
    points: tuple[Point, ...]


class _Passed(NamedTuple):
    """That other harts have met breakpoints or watchpoints while one was stepped alone.

    Attributes:
        before: The icount at which the step began.
        after: Where it ended.
        insns: 1, or -1 for a step back.
    """

    before: int
    after: Position
    insns: int
    hart: int


class Moves:
    """The moves of one client.

    Attributes:
        points: Its breakpoints and watchpoints.
        known_reasons: Which reasons for a stop at a breakpoint it knows.
        is_interrupted: It wants what is under way, or is to be, to stop.
    """

    def __init__(self, timeline: Timeline, view: View) -> None:
        """Move in ``timeline``. Where a move stops decides at which hart ``view`` looks."""
        self.points = Points(timeline)
        self.known_reasons: frozenset[str] = frozenset()
        self.is_interrupted = False
        self._timeline = timeline
        self._view = view
        self._interrupt_move: Callable[[], None] | None = None
        self._told_watch: _ToldWatch | None = None  # its last stop was for watchpoints
        self._passed: _Passed | None = None  # by its last step, as it expected no other hart to stop

    def handlers(self) -> dict[bytes, Callable[[bytes], bytes | Move]]:
        """What answers a packet, by its name; each gets the rest of it."""
        return {
            b"bc": self._run_back, b"bs": self._step_back,
            b"c": partial(self._resume, is_step=False, has_signal=False),
            b"C": partial(self._resume, is_step=False, has_signal=True),
            b"s": partial(self._resume, is_step=True, has_signal=False),
            b"S": partial(self._resume, is_step=True, has_signal=True), b"vCont": self._go_on,
            b"vCont?": lambda rest: b"vCont;c;C;s;S;t;r", b"z": self._remove, b"Z": self._insert,
        }  # fmt: skip

    # ---- for who serves the client

    def make(self, move: Move) -> Stop:
        """Make a move that the client can interrupt, unless it has done so before it began."""
        if self.is_interrupted and move.is_interruptible:
            return self.stop_here(Why.INTERRUPTED)
        with self.interruptible():
            return move.make()

    @contextmanager
    def interruptible(self, interrupt: Callable[[], None] | None = None) -> Iterator[None]:
        """While this lasts, ``interrupt`` reaches the timeline, or is that one."""
        self._interrupt_move = interrupt or self._timeline.interrupt
        try:
            yield
        finally:
            self._interrupt_move = None

    def interrupt(self) -> None:
        """Let what is under way, or is to be, stop soon. ``is_interrupted`` stays so until it is reset."""
        self.is_interrupted = True
        if self._interrupt_move is not None:
            self._interrupt_move()

    def stop_here(self, why: Why = Why.REACHED) -> Stop:
        """A stop where nothing has moved, or nobody knows how far."""
        return Stop(why, self._timeline.board.hart.hart_id)

    def forget_watch(self) -> None:
        """Somebody else may move: the next step is one, whatever the last stop was for."""
        self._told_watch = None

    def reply_for(self, stop: Stop, *, is_backward: bool) -> bytes:
        """What the client is told of a move's end. From now on it looks at the hart that has stopped."""
        self._view.general = stop.hart
        signal, reason = _SIGTRAP, ""
        if stop.why is Why.INTERRUPTED:
            signal = _SIGINT
        elif stop.why is Why.BREAKPOINT:
            reason = self._breakpoint_reason(stop.hart)
        elif stop.why is Why.WATCH:
            reason = self._watch_reason(stop, is_backward)
        elif stop.why is Why.START:
            reason = "replaylog:begin;"
        elif stop.why is Why.END:
            reason = "replaylog:end;"
        return self._stop_reply(signal, stop.hart, reason)

    def last_reply(self) -> bytes:
        """Where the run stands, for a client that has just come."""
        return self._stop_reply(_SIGTRAP, self._view.general)

    # ---- from the start again

    def restart(self) -> Move:
        """Go to the start; the client takes it for granted, and wants no reply."""
        self._told_watch, self.is_interrupted = None, False
        return Move(self._go_to_start, expects_text=False, has_reply=False, is_interruptible=False)

    def begin_anew(self, go_to_place: Callable[[], object] | None = None) -> Move:
        """Go to the start, and from there to a place. Text for the user is shown with the next move."""
        self._told_watch, self.is_interrupted = None, False
        return Move(partial(self._go_to_start, go_to_place), expects_text=False, is_interruptible=False)

    def _go_to_start(self, go_to_place: Callable[[], object] | None = None) -> Stop:
        self._timeline.seek(self._timeline.start.icount)
        if go_to_place is not None:
            go_to_place()
        self._view.general = self._timeline.board.hart.hart_id
        return self.stop_here()

    # ---- breakpoints and watchpoints

    def _point(self, rest: bytes) -> Point | None:
        """Type, address and size; what comes after these is not for us. None: there is no such type."""
        number, _, where = rest.partition(b";")[0].partition(b",")
        address, size = numbers_of(where)
        if number_of(number) not in list(PointType):
            return None
        kind, address = PointType(number_of(number)), address & self._view.hart.xlen_mask
        return Point(kind, address, size if kind.is_watchpoint else 0)

    def _insert(self, rest: bytes) -> bytes:
        point = self._point(rest)
        if point is None:
            return UNKNOWN
        try:
            if point.type.is_watchpoint:
                self.points.add_watchpoint(point, self._view.pieces(point.address, point.size))
            else:
                self.points.add_breakpoint(point)
        except ValueError as error:
            raise Refused(error_reply(str(error))) from None
        return OK

    def _remove(self, rest: bytes) -> bytes:
        point = self._point(rest)
        if point is None:
            return UNKNOWN
        self.points.remove(point)
        return OK

    # ---- going on

    def _go_on(self, rest: bytes) -> bytes | Move:
        """An action for each thread, the first that names it. All go on; the first that is to be stepped is."""
        actions = [_action_of(action) for action in rest[1:].split(b";")]
        harts = [None if action.thread is None else self._view.hart_of(action.thread) for action in actions]
        for action, hart in zip(actions, harts, strict=True):
            if action.bounds is not None:
                is_alone = hart is not None and set(harts) == {hart}
                return self._step(self._view.general if hart is None else hart, action.bounds, is_alone=is_alone)
        if all(action.letter == b"t" for action in actions):
            return self._stop_reply(_SIGNAL_0, self._view.general)
        return self._begin(self._run)

    def _resume(self, rest: bytes, *, is_step: bool, has_signal: bool) -> Move:
        """The older packets: with or without a signal, which no hart takes, and an address to go on from."""
        address = rest.partition(b";")[2] if has_signal else rest
        if address:
            self._view.set_pc(number_of(address))
        if is_step:
            return self._step(self._view.hart_to_step, range(0), is_alone=self._view.for_resume is not None)
        return self._begin(self._run)

    def _begin(self, make: Callable[[], Stop], *, is_backward: bool = False) -> Move:
        self._told_watch = None
        return Move(make, is_backward)

    def _run(self) -> Stop:
        return self._meet_passed(1) or self._timeline.run()

    def _run_back(self, rest: bytes) -> Move:
        return self._begin(lambda: self._meet_passed(-1) or self._timeline.run_back(), is_backward=True)

    # ---- steps

    def _step(self, hart: int, bounds: range, *, is_alone: bool) -> Move:
        """Step once, and on while pc is within ``bounds``.

        Args:
            is_alone: The client expects no other hart to stop.
        """
        if self._has_passed_watch(hart, is_backward=False):
            return self._step_made_before(hart)
        return self._begin(partial(self._step_within, hart, bounds, is_alone))

    def _step_back(self, rest: bytes) -> Move:
        hart, is_alone = self._view.hart_to_step, self._view.for_resume is not None
        if self._has_passed_watch(hart, is_backward=True):
            return self._step_made_before(hart)
        return self._begin(partial(self._step_once, -1, hart, is_alone), is_backward=True)

    def _step_made_before(self, hart: int) -> Move:
        self._told_watch = None
        return Move(lambda: Stop(Why.REACHED, hart), is_interruptible=False)

    def _has_passed_watch(self, hart: int, *, is_backward: bool) -> bool:
        """Whether the step that the client asks for was made before it was told to have stopped.

        gdb expects a RISC-V hart to stop before an access that is watched. So it removes the watchpoint, steps over the
        access, and only then compares what it knows with what is in memory. A timeline has the access behind it when it
        stops, or, going back, has undone it; so that step is answered without a move.
        """
        told = self._told_watch
        return (
            told is not None
            and (told.hart, told.is_backward) == (hart, is_backward)
            and not any(point in self.points for point in told.points)
        )

    def _step_within(self, hart: int, bounds: range, is_alone: bool) -> Stop:
        while True:
            icount, pc = self._timeline.position.icount, self._timeline.board.harts[hart].pc
            stop = self._step_once(1, hart, is_alone)
            trap = self._timeline.board.harts[hart].last_trap
            if bounds and trap is not None and trap.is_interrupt and trap.epc == pc and trap.icount >= icount:
                stop = self._return_from(trap, hart) if stop.why is Why.REACHED else stop
            if stop.why is not Why.REACHED:
                return stop
            pc = self._timeline.board.harts[hart].pc
            if pc not in bounds:
                return Stop(Why.REACHED, hart)
            if self.points.breakpoint_type(pc) is not None:  # the next step would begin there, and go past
                return Stop(Why.BREAKPOINT, hart)
            if self.is_interrupted:
                return Stop(Why.INTERRUPTED, hart)

    def _return_from(self, interrupt: TrapRecord, hart: int) -> Stop:
        """Go on until an interrupt is over, as who steps over a line does not mean to step into a handler.

        gdb would take the handler for a function that the line has called, and wait where that does not return to.
        """
        pc = interrupt.epc
        is_ours = self.points.breakpoint_type(pc) is None
        if is_ours:
            self._timeline.add_breakpoint(pc)
        try:
            while True:
                stop = self._timeline.run()
                env = self._timeline.board.harts[stop.hart].env
                if stop.why is not Why.BREAKPOINT or env.pc != pc:
                    return stop
                if (stop.hart, env.priv, env.x[SP_NUMBER]) == (hart, interrupt.priv, interrupt.sp):
                    return Stop(Why.REACHED, hart)
                if not is_ours:
                    return stop
        finally:
            if is_ours:
                self._timeline.remove_breakpoint(pc)

    def _step_once(self, insns: int, hart: int, is_alone: bool) -> Stop:
        """Step a hart by an instruction.

        To step over a breakpoint, gdb takes it away and steps that hart alone; it fails where another one stops. But
        the others run too, as it was recorded. So what they meet does not end the step: ``_meet_passed`` comes to it.
        """
        timeline, before = self._timeline, self._timeline.position.icount
        stop = timeline.step(insns, hart)
        if not is_alone or stop.hart == hart:
            return stop
        has_passed = False
        while stop.hart != hart and stop.why in (Why.BREAKPOINT, Why.WATCH):
            if self.is_interrupted:
                return Stop(Why.INTERRUPTED, hart)
            has_passed = True
            stop = timeline.step(insns, hart)
        if has_passed:
            self._passed = _Passed(before, timeline.position, insns, hart)
        return replace(stop, hart=hart)

    def _meet_passed(self, insns: int) -> Stop | None:
        """Go to what the last step of one hart has passed; None where that is nothing, or no more."""
        timeline, passed = self._timeline, self._passed
        self._passed = None
        if passed is None or (passed.insns, passed.after) != (insns, timeline.position) or timeline.is_diverted:
            return None
        stop = timeline.seek(passed.before)
        if stop.why is not Why.INTERRUPTED:
            stop = timeline.step(insns, passed.hart)
        return None if stop.why is Why.REACHED else stop

    # ---- stops

    def _stop_reply(self, signal: int, hart_id: int, reason: str = "") -> bytes:
        """A stop, with the registers that a client looks at first."""
        hart: Hart = self._timeline.board.harts[hart_id]
        size = hart.xlen // 8
        pc, sp = (value.to_bytes(size, "little").hex() for value in (hart.pc, int(hart.env.x[SP_NUMBER])))
        text = f"T{signal:02x}{reason}thread:{hart_id + 1:x};{SP_NUMBER:02x}:{sp};{PC_NUMBER:02x}:{pc};"
        return text.encode()

    def _breakpoint_reason(self, hart: int) -> str:
        kind = self.points.breakpoint_type(self._timeline.board.harts[hart].pc)
        return f"{kind.reason}:;" if kind is not None and kind.reason in self.known_reasons else ""

    def _watch_reason(self, stop: Stop, is_backward: bool) -> str:
        """The first of the client's watchpoints that were hit, and where."""
        ours = self.points.hit(stop.hits)
        if not ours:
            return ""
        self._told_watch = _ToldWatch(stop.hart, is_backward, tuple(point for point, _ in ours))
        point, address = ours[0]
        return f"{point.type.reason}:{address:x};"
