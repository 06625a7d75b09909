"""A move forward: playing on until something stops it, with moments kept on the way.

What a walk in a trace and the present of a live run have in common. A moment is a first arrival at an icount: the place
to which ``Machine.run(icount=...)`` comes from before. What was admitted and which timers fired at that icount has
happened there. A run can stop at other places of the same icount: at a breakpoint behind a wait or a trap, or after a
watched access.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import NamedTuple, Self

from minstret.emu.door.door import Position
from minstret.emu.hart.watches import Watch, WatchKind
from minstret.emu.machine import Machine, Outcome, StopReason
from minstret.emu.moments import Moments
from minstret.emu.session import Saved
from minstret.emu.timeline import Stop, Timeline, Why

STRIDE_INSNS = 8_000_000
"""From one kept moment to the next: ten to twenty ms of host time, of which keeping takes a few percent."""
POLL_INSNS, POLL_TURNS = 1_000_000, 16
"""From one call of ``on_stride`` to the next, at most. A turn in which Python does much takes some tens of ms."""
_IGNORED_MAX = 2000
"""After so many stops at breakpoints nobody asked for, they are taken out: that makes all blocks be translated anew."""


class PlaceKind(Enum):
    """What a place is among those of its icount."""

    ARRIVAL = "arrival"  # the first: see above
    TIME = "time"  # at a virtual time, perhaps within a wait
    STOP = "stop"  # where a breakpoint, a watch or an interruption has stopped the run
    END = "end"  # of the recording, or of the run


class Place(NamedTuple):
    """What tells a place from the others of the run."""

    position: Position
    exceptions: int
    has_trapped: bool
    hart: int
    pc: int

    @classmethod
    def of(cls, machine: Machine) -> Self:
        """Where a machine is."""
        hart = machine.hart
        return cls(machine.position, hart.handler_entry.exceptions, hart.has_just_trapped, hart.hart_id, hart.pc)


class Walk(Timeline):
    """Moves forward of one session.

    Attributes:
        moments: What is kept to go back to.
        kind: What the place is where it stands.
        over: How the last move has ended, where nothing comes after.
    """

    def __init__(self, moments: Moments) -> None:
        super().__init__()
        self.moments = moments
        self.kind = PlaceKind.ARRIVAL
        self.over: Stop | None = None
        self._is_interrupted = False
        self._ignores_breakpoints = False
        self._ignored = 0

    # ---- what the two kinds of it do

    def _play(self, icount: int, virtual_ns: int | None, hart: int | None, turns: int | None) -> Outcome:
        """Run the session: see ``Machine.run``."""
        raise NotImplementedError

    def _save(self) -> Saved:
        """The moment here, for a replay."""
        raise NotImplementedError

    def _bound(self, icount: int, virtual_ns: int | None) -> int:
        """No further than this at once, of an icount to go to."""
        raise NotImplementedError

    def _at_bound(self) -> Stop | None:
        """What there is to say where the session has come to its bound; None: it goes on."""
        raise NotImplementedError

    def _end_of(self, outcome: Outcome) -> Outcome:
        """How the run has ended, where the session ended with ``outcome``."""
        raise NotImplementedError

    @property
    def _keeps_moments(self) -> bool:
        return True

    # ---- where

    @property
    def _machine(self) -> Machine:
        machine: Machine = self.board.machine
        return machine

    @property
    def position(self) -> Position:
        return self._machine.position

    @property
    def is_at_end(self) -> bool:
        return self.over is not None

    @property
    def is_diverted(self) -> bool:
        return False

    def place(self) -> Place:
        """Where it is."""
        return Place.of(self._machine)

    # ---- moves

    def run(self) -> Stop:
        self._skip_breakpoint()
        return self._ended(self._go_on())

    def step(self, insns: int = 1, hart: int | None = None) -> Stop:
        assert insns > 0, "the present has no way back of its own"
        if hart is not None and len(self.board.harts) > 1:
            return self._ended(self._step_hart(insns, hart))
        self._skip_breakpoint()
        return self._ended(self._go_on(self.position.icount + insns))

    def _step_hart(self, insns: int, hart: int) -> Stop | None:
        self._skip_breakpoint()
        for _ in range(insns):
            stop = self._go_on(hart=hart)
            if stop is not None:
                return stop
        return None

    def interrupt(self) -> None:
        self._is_interrupted = True
        self._machine.reach()

    def _ended(self, stop: Stop | None) -> Stop:
        self._is_interrupted = False
        return stop or self._stop(Why.REACHED)

    def _stop(self, why: Why) -> Stop:
        return Stop(why, self._machine.hart.hart_id)

    def _skip_breakpoint(self) -> None:
        """A run that begins at a breakpoint goes past it."""
        self._machine.hart.skip_breakpoint()

    def _go_on(
        self, icount: int | None = None, *, virtual_ns: int | None = None, hart: int | None = None
    ) -> Stop | None:
        """Play on, no further than that; what stopped it before, or None where it has come there.

        Args:
            icount: Up to there.
            virtual_ns: Up to the first instruction boundary at or after that.
            hart: Until that hart, of several, has retired an instruction.
        """
        while self.over is None:
            self.on_stride()
            if self._is_interrupted:
                return self._stop(Why.INTERRUPTED)
            before = self.position.icount
            limit = min(before + POLL_INSNS, self._next_moment(before))
            if icount is not None:
                limit = min(limit, icount)
            turns = POLL_TURNS if hart is None else None
            outcome = self._play(self._bound(limit, virtual_ns), virtual_ns, hart, turns)
            stop = self._stop_of(outcome)
            if stop is not None:
                if self._ignores(stop):
                    continue
                return stop
            now = self.position
            if self._machine.has_run_out:
                self.kind = PlaceKind.TIME
                continue
            if now.icount > before:
                self.kind = PlaceKind.ARRIVAL
            if self._is_interrupted:
                continue
            if hart is not None and now.icount > before and self._has_run_awaited():
                return None
            if icount is not None and now.icount >= icount:
                return None
            if virtual_ns is not None and now.virtual_ns >= virtual_ns:
                self.kind = PlaceKind.TIME
                return None
            stop = self._at_bound()
            if stop is not None and not self._ignores(stop):
                return stop
        return self.over

    def _has_run_awaited(self) -> bool:
        schedule = self._machine.schedule
        return schedule is not None and schedule.has_awaited

    def _next_moment(self, now: int) -> int:
        """At which icount to keep one. If that is here, one is kept."""
        if not self._keeps_moments:
            return now + POLL_INSNS
        kept = self.moments.at_or_before(now)
        due = now if kept is None else kept.position.icount + STRIDE_INSNS
        if due > now:
            return due
        if self.kind is PlaceKind.ARRIVAL:
            self.moments.add(self._save())
        return now + STRIDE_INSNS

    def _stop_of(self, outcome: Outcome) -> Stop | None:
        """What an outcome means for a move; None where it has come as far as it was to."""
        if outcome.reason is StopReason.REACHED:
            return None
        if outcome.reason is StopReason.BREAKPOINT:
            self.kind = PlaceKind.STOP
            return self._stop(Why.BREAKPOINT)
        if outcome.reason is StopReason.WATCH:
            self.kind = PlaceKind.STOP
            return Stop(Why.WATCH, self._machine.hart.hart_id, outcome.hits)
        return self._is_over(self._end_of(outcome))

    def _is_over(self, outcome: Outcome) -> Stop:
        self.kind = PlaceKind.END
        self.over = Stop(Why.END, self._machine.hart.hart_id, outcome=outcome)
        return self.over

    # ---- breakpoints and watches

    def add_breakpoint(self, address: int) -> None:
        self._machine.breakpoints.add(address)
        self._breakpoints.add(address)

    def remove_breakpoint(self, address: int) -> None:
        self._breakpoints.remove(address)
        self._machine.breakpoints.remove(address)

    def add_watch(self, kind: WatchKind, address: int, size: int, *, sees_devices: bool = True) -> Watch:
        watch = self._machine.watches.add(
            kind, address, size, sees_devices=sees_devices and bool(kind & WatchKind.STORE)
        )
        self._watches.append(watch)
        return watch

    def remove_watch(self, watch: Watch) -> None:
        self._watches.remove(watch)
        self._machine.watches.remove(watch)

    @contextmanager
    def _disarmed(self) -> Iterator[None]:
        """Meanwhile no watch and no breakpoint stops a move."""
        if self._ignores_breakpoints:
            yield
            return
        breakpoints, watches = self._machine.breakpoints, self._machine.watches
        for watch in self._watches:
            watches.remove(watch)
        self._ignores_breakpoints, self._ignored = True, 0
        try:
            yield
        finally:
            self._ignores_breakpoints = False
            for watch in self._watches:
                watches.add_watch(watch)
            if self._ignored > _IGNORED_MAX:
                for address in self._breakpoints:
                    breakpoints.add(address)

    def _ignores(self, stop: Stop) -> bool:
        """Whether a move goes on all the same."""
        if stop.why is not Why.BREAKPOINT or not self._ignores_breakpoints:
            return False
        self._ignored += 1
        if self._ignored > _IGNORED_MAX:
            self._machine.breakpoints.clear()
        return True

    @contextmanager
    def _breakpoint_at(self, pc: int) -> Iterator[None]:
        """Meanwhile there is a breakpoint at ``pc``."""
        breakpoints = self._machine.breakpoints
        breakpoints.add(pc)
        try:
            yield
        finally:
            if pc not in self._breakpoints:
                breakpoints.remove(pc)
