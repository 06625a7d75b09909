"""Which hart runs when, on a machine with several: round robin, and at once whoever an interrupt wakes.

A function of the configuration and of what the guest does, never of the host and never of where a slice ends. So
nothing of it is recorded: a replay comes to the same.

In a *round* each hart may retire up to one quantum of instructions, in the order of their ids. A hart that waits gives
way; what is left of its quantum it may use when an interrupt wakes it within the round: then it runs at once, before
the others. When no hart that could run has anything left, the next round begins. So an interrupt is as exact as with
one hart, and two harts that wake each other all the time keep no third one from running.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from minstret.emu.hart.hart import Hart, HartStop

DEFAULT_QUANTUM = 10_000
QUANTUM_MAX = 1 << 32
HARTS_MAX = 8
_SWITCHES_MAX = 16
"""After so many quanta the machine gets a word in, and with it the host."""
_NOT_WOKEN = -1


@dataclass(slots=True)
class ScheduleState:
    """Who runs, and who comes next. Lists are by hart.

    Attributes:
        running: The hart that runs, or ran last.
        turn: Whose turn it is in the round; another may run that was woken.
        left: How many instructions each may retire in this round.
        woken: The icount at which an interrupt woke it in this round; -1 where none did.
    """

    running: int = 0
    turn: int = 0
    left: list[int] = field(default_factory=list)
    woken: list[int] = field(default_factory=list)


class Schedule:
    """Runs several harts as if they were one: ``run``, ``stop_by`` and ``end_slice`` are those of ``Hart``."""

    def __init__(self, harts: Sequence[Hart], quantum: int, on_switch: Callable[[Hart], None]) -> None:
        """Begin with hart 0.

        Args:
            harts: In the order of their ids.
            quantum: Instructions.
            on_switch: Called with the hart that runs from now on.
        """
        self._harts = harts
        self._quantum = quantum
        self._on_switch = on_switch
        self._limit = 0
        self.hart = harts[0]
        """The hart that runs, or ran last."""
        self.state: ScheduleState
        self.reset()

    def reset(self) -> None:
        """Hart 0 begins a round."""
        count = len(self._harts)
        self.load_state(ScheduleState(left=[self._quantum] * count, woken=[_NOT_WOKEN] * count))

    def load_state(self, state: ScheduleState) -> None:
        """Become ``state``; the harts have got theirs."""
        self.state = ScheduleState(state.running, state.turn, list(state.left), list(state.woken))
        self.hart = self._harts[state.running]
        self._on_switch(self.hart)

    # ---- running

    def run(self, limit: int) -> HartStop:
        """Run one hart after the other until ``icount == limit``, or sooner; see ``Hart.run``.

        WAITING: all of them do.
        """
        self._limit = limit
        if self.hart.has_found:
            return self.hart.run(limit)
        left = self.state.left
        for _ in range(_SWITCHES_MAX):
            now = self.hart.icount
            if now >= self._limit:
                break
            hart = self._choose(now)
            if hart is None:
                return HartStop.WAITING
            number = self.state.running
            end = min(self._limit, now + left[number])
            stop = hart.run(end)
            icount = hart.icount
            left[number] -= icount - now
            if stop is HartStop.LIMIT:
                if icount < end:
                    break
            elif stop is not HartStop.WAITING:
                return stop
            left = self.state.left
        return HartStop.LIMIT

    def stop_by(self, icount: int) -> None:
        """Make ``run`` come back before the instruction at ``icount``, or before the next one if that is later."""
        self._limit = min(self._limit, icount)
        self.hart.stop_by(icount)

    def end_slice(self) -> None:
        """Make ``run`` come back before the next instruction."""
        self._limit = 0
        self.hart.end_slice()

    # ---- choosing

    def _choose(self, now: int) -> Hart | None:
        """Let the right hart run from ``now`` on; None where all wait. Again at once, this chooses the same."""
        state = self.state
        ready = []
        for number, hart in enumerate(self._harts):
            if hart.waiting:
                if not hart.has_wake_up:
                    continue
                hart.be_at(now)
                hart.wake()
                state.woken[number] = now
            ready.append(number)
        if not ready:
            return None
        number = self._next(ready)
        if number != state.running:
            self._switch(number, now)
        return self.hart

    def _next(self, ready: list[int]) -> int:
        """Which of these is to run."""
        state = self.state
        able = [number for number in ready if state.left[number] > 0]
        if not able:
            count = len(self._harts)
            state.left, state.woken = [self._quantum] * count, [_NOT_WOKEN] * count
            able = ready
            state.turn = (state.turn + 1) % count
        woken = max(state.woken[number] for number in able)
        if woken != _NOT_WOKEN:
            return next(number for number in able if state.woken[number] == woken)
        state.turn = next((number for number in able if number >= state.turn), able[0])
        return state.turn

    def _switch(self, number: int, now: int) -> None:
        self.hart.leave()
        self.state.running = number
        self.hart = hart = self._harts[number]
        hart.enter(now)
        self._on_switch(hart)
