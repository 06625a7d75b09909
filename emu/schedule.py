"""Which hart runs when, on a machine with several: round robin, and at once whoever an interrupt wakes.

A function of the configuration and of what the guest does, never of the host and never of where a slice ends. So
nothing of it is recorded: a replay comes to the same.

In a *round* each hart may retire up to one quantum of instructions, in the order of their ids. A hart that waits gives
way; what is left of its quantum it may use when an interrupt wakes it within the round: then it runs at once, before
the others. When no hart that could run has anything left, the next round begins; also when virtual time was skipped
because all wait. So an interrupt is as exact as with one hart, and two harts that wake each other all the time keep no
third one from running.

With a chaos seed there are no rounds: the harts have ranks, drawn anew from time to time, and the highest one that
could run does. Now and then the one that runs becomes the lowest. See ChaosSchedule.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from minstret.emu.hart.hart import Hart, HartStop
from minstret.emu.state import copied

DEFAULT_QUANTUM = 50_000
"""Instructions. A switch costs 4 us of host time, and cold caches: with 10,000 four harts in Linux's shell take almost
twice as long. A hart that waits in a loop for another uses its quantum up: so a longer one makes handing over slow.
docs/performance.md has figures."""
QUANTUM_MAX = 1 << 32
_SWITCHES_MAX = 16
"""After so many quanta the machine gets a word in, and with it the host."""
_NOT_WOKEN = -1
_EPOCH_MIN, _EPOCH_BITS = 256, range(8, 18)
"""The length of an epoch, instructions: at least, and the sizes of what is added."""
_FALLS_MAX = 3


@dataclass(slots=True)
class ScheduleState:
    """Who runs, and who comes next. Lists are by hart.

    Attributes:
        running: The hart that runs, or ran last.
        turn: Whose turn it is in the round; another may run that was woken.
        left: How many instructions each may retire in this round.
        woken: The icount at which an interrupt woke it in this round; -1 where none did.
        rank: With chaos: of those that could run the one with the highest rank does.
        changes: With chaos: the icounts at which the one that runs gets the lowest rank, in order; at the last one all
            ranks are drawn anew.
        epoch: With chaos: how often ranks were drawn.
    """

    running: int = 0
    turn: int = 0
    left: list[int] = field(default_factory=list)
    woken: list[int] = field(default_factory=list)
    rank: list[int] = field(default_factory=list)
    changes: list[int] = field(default_factory=list)
    epoch: int = 0


class Schedule:
    """Runs several harts as if they were one: ``run``, ``stop_by`` and ``end_slice`` are those of ``Hart``.

    How is here. Which one is next, and for how long, its two kinds decide: RoundRobin and ChaosSchedule.
    """

    def __init__(self, harts: Sequence[Hart], on_switch: Callable[[Hart], None]) -> None:
        """Begin with hart 0.

        Args:
            harts: In the order of their ids.
            on_switch: Called with the hart that runs from now on.
        """
        self._harts = harts
        self._on_switch = on_switch
        self._limit = 0
        self._ready: list[int] | None = None
        """Which harts do not wait; None where that has to be looked at."""
        self._woken: list[Hart] = []
        """Whose wait has ended with the last choice."""
        self.awaited: int | None = None
        """The run comes back once the hart of this id has executed an instruction."""
        self.has_awaited = False
        """Whether it has, in the last run."""
        self.hart = harts[0]
        """The hart that runs, or ran last."""
        self.state = ScheduleState()
        self.reset()

    def reset(self) -> None:
        """All harts begin anew."""
        raise NotImplementedError

    def load_state(self, state: ScheduleState) -> None:
        """Become ``state``; the harts have got theirs."""
        self.state = copied(state)
        self.be_on(self._harts[state.running])

    def be_on(self, hart: Hart) -> None:
        """Let ``hart`` be the one that runs, or that has stopped: the next run begins with a choice."""
        self.hart.tell_what_is_stale()
        hart.enter(self.hart.icount)
        self.hart = hart
        self._on_switch(hart)

    def check(self, state: ScheduleState, icount: int) -> None:
        """Raise ValueError where ``state`` is none of this schedule's at that icount."""
        count = len(self._harts)
        if not all(0 <= number < count for number in (state.running, state.turn)):
            raise ValueError("a hart runs that is not there")
        self._check_lists(state, count, icount)

    def _check_lists(self, state: ScheduleState, count: int, icount: int) -> None:
        """The same for its lists, of ``count`` harts."""
        raise NotImplementedError

    # ---- running

    def run(self, limit: int) -> HartStop:
        """Run one hart after the other until ``icount == limit``, or sooner; see ``Hart.run``.

        WAITING: all of them do.
        """
        self._limit, self._ready, self.has_awaited = limit, None, False
        if self.hart.has_found:
            return self.hart.run(limit)
        now = self.hart.icount
        for _ in range(_SWITCHES_MAX):
            if now >= self._limit:
                break
            before = self._kept()
            hart = self._choose(now)
            if hart is None:
                return HartStop.WAITING
            end = min(self._limit, self._end(now))
            if hart.hart_id == self.awaited:
                end = min(end, now + 1)
            stop = hart.run(end)
            before_icount, now = now, hart.read_icount()
            if now == before_icount and not hart.has_just_trapped:
                self._take_back(before)
            else:
                self._go_through_with(before, now - before_icount)
                self.has_awaited = hart.hart_id == self.awaited and now > before_icount
            if stop is HartStop.LIMIT:
                if now < end or self.has_awaited:
                    break
            elif stop is not HartStop.WAITING:
                return stop
            if hart.waiting:  # its last instruction was a WFI
                self._ready = None
        return HartStop.LIMIT

    def stop_by(self, icount: int) -> None:
        """Make ``run`` come back before the instruction at ``icount``, or before the next one if that is later."""
        self._limit = min(self._limit, icount)
        self.hart.stop_by(icount)

    def end_slice(self) -> None:
        """Make ``run`` come back before the next instruction."""
        self._limit, self._ready = 0, None
        self.hart.end_slice()

    # ---- a choice, and what comes of it

    def _kept(self) -> ScheduleState:
        """The state before a choice, which replaces lists where it changes them."""
        state = self.state
        return ScheduleState(
            state.running, state.turn, state.left, state.woken, state.rank, state.changes, state.epoch
        )  # fmt: skip

    def _go_through_with(self, before: ScheduleState, insns: int) -> None:
        """The chosen hart has executed so many instructions, or has trapped: another one's reservation is over."""
        if before.running != self.state.running:
            self._harts[before.running].end_reservation()
        self._spend(insns)

    def _take_back(self, before: ScheduleState) -> None:
        """The chosen hart has executed nothing, as with a breakpoint where it begins: be as before the choice.

        A run that does not stop here lets the host side in first, and that may lead to another choice. ``hart`` stays
        the one that was chosen: it is the one that has stopped.
        """
        self.state, self._ready = before, None
        for hart in self._woken:
            hart.waiting = True

    # ---- choosing

    def _choose(self, now: int) -> Hart | None:
        """Let the right hart run from ``now`` on; None where all wait. Again at once, this chooses the same."""
        ready = self._ready
        if ready is None:
            ready = self._ready = self._wake(now)
        elif self._woken:
            self._woken = []
        if not ready:
            return None
        self.state.running = number = self._next(ready, now)
        hart = self._harts[number]
        if hart is not self.hart:
            self.be_on(hart)
        return hart

    def _wake(self, now: int) -> list[int]:
        """End the waits that have come to an end; which harts do not wait."""
        ready = []
        self._woken = []
        for number, hart in enumerate(self._harts):
            if hart.waiting:
                if not hart.has_wake_up:
                    continue
                hart.be_at(now)
                hart.wake()
                self._woken.append(hart)
                self._note_woken(number, now)
            ready.append(number)
        return ready

    # ---- what a kind of schedule decides

    def _next(self, ready: list[int], now: int) -> int:
        """Which of these, by id, is to run."""
        raise NotImplementedError

    def _end(self, now: int) -> int:
        """Before which icount another is to be chosen."""
        raise NotImplementedError

    def _note_woken(self, number: int, now: int) -> None:
        """An interrupt has ended a hart's wait."""

    def _spend(self, insns: int) -> None:
        """The one that runs has executed so many instructions."""

    def time_was_skipped(self) -> None:
        """All harts wait, and virtual time has gone on."""


class RoundRobin(Schedule):
    """Rounds, in which each hart may retire one quantum of instructions. The module's docstring has the rules."""

    def __init__(self, harts: Sequence[Hart], quantum: int, on_switch: Callable[[Hart], None]) -> None:
        """Begin a round; ``quantum`` in instructions."""
        self._quantum = quantum
        super().__init__(harts, on_switch)

    def reset(self) -> None:
        """Hart 0 begins a round."""
        self.load_state(ScheduleState())
        self._begin_round()

    def _check_lists(self, state: ScheduleState, count: int, icount: int) -> None:
        if not len(state.left) == len(state.woken) == count or state.rank or state.changes or state.epoch:
            raise ValueError("its schedule is of other harts")
        if not all(0 <= left <= self._quantum for left in state.left):
            raise ValueError("a hart has more left than its quantum")
        if not all(_NOT_WOKEN <= woken <= icount for woken in state.woken):
            raise ValueError("a hart was woken at no possible time")

    def _end(self, now: int) -> int:
        return now + self.state.left[self.state.running]

    def _note_woken(self, number: int, now: int) -> None:
        self.state.woken = [*self.state.woken]
        self.state.woken[number] = now

    def _spend(self, insns: int) -> None:
        self.state.left[self.state.running] -= insns

    def time_was_skipped(self) -> None:
        """What each ran before keeps it from nothing."""
        self._begin_round()

    def _begin_round(self) -> None:
        count = len(self._harts)
        self.state.left, self.state.woken = [self._quantum] * count, [_NOT_WOKEN] * count

    def _next(self, ready: list[int], now: int) -> int:
        state = self.state
        able = [number for number in ready if state.left[number] > 0]
        if not able:
            self._begin_round()
            able = ready
            state.turn = (state.turn + 1) % len(self._harts)
        if max(state.woken) != _NOT_WOKEN:
            woken = max(state.woken[number] for number in able)
            if woken != _NOT_WOKEN:
                return next(number for number in able if state.woken[number] == woken)
        for number in able:
            if number >= state.turn:
                break
        else:
            number = able[0]
        state.turn = number
        return number


class ChaosSchedule(Schedule):
    """Lets rare interleavings happen: few preemptions, each at an instruction that follows from a seed.

    In an *epoch* of 256 to 131,072 instructions the harts have ranks, and the highest that could run does. One to three
    times in it, at instructions drawn beforehand, the one that runs falls to the lowest rank. A bug that needs few
    preemptions, but these at the right places, is found so with a probability that the number of all interleavings
    does not make small.

    Source: Burckhardt, Kothari, Musuvathi, Nagarakatte, "A Randomized Scheduler with Probabilistic Guarantees of
    Finding Bugs" (ASPLOS 2010): probabilistic concurrency testing (PCT). There the one epoch is the whole program, and
    its length is known.
    """

    def __init__(self, harts: Sequence[Hart], seed: int, on_switch: Callable[[Hart], None]) -> None:
        """Begin an epoch; ``seed`` decides what happens in it and in all others."""
        self._seed = seed
        super().__init__(harts, on_switch)

    def reset(self) -> None:
        self.load_state(ScheduleState(epoch=self.state.epoch))
        self._begin_epoch(self.hart.icount)

    def _check_lists(self, state: ScheduleState, count: int, icount: int) -> None:
        if len(state.rank) != count or state.left or state.woken or state.turn:
            raise ValueError("its schedule is of other harts")
        changes = state.changes
        if not 0 < len(changes) <= _FALLS_MAX + 1 or changes != sorted(changes) or changes[0] < icount:
            raise ValueError("its schedule changes at no possible time")
        if state.epoch < 1:
            raise ValueError("ranks were never drawn")

    def _end(self, now: int) -> int:
        return self.state.changes[0]

    def _next(self, ready: list[int], now: int) -> int:
        state = self.state
        while state.changes[0] <= now:
            state.changes = state.changes[1:]
            if not state.changes:
                self._begin_epoch(now)
            else:
                state.rank = [*state.rank]
                state.rank[state.running] = min(state.rank) - 1
        return max(ready, key=lambda number: state.rank[number])

    def _begin_epoch(self, now: int) -> None:
        state = self.state
        state.epoch += 1
        draw = hashlib.sha256(f"{self._seed}/schedule/{state.epoch}".encode()).digest()
        length = _draw(draw, 8, 1 << _EPOCH_BITS[draw[29] % len(_EPOCH_BITS)]) + _EPOCH_MIN
        falls = [1 + _draw(draw, 12 + 4 * number, length - 1) for number in range(1 + draw[28] % _FALLS_MAX)]
        state.changes = [now + at for at in sorted({*falls, length})]
        by_rank = sorted(range(len(self._harts)), key=lambda number: (draw[number], number))
        state.rank = [by_rank.index(number) for number in range(len(self._harts))]


def _draw(bits: bytes, at: int, below: int) -> int:
    """A number from 0 to ``below`` - 1 from four of these bytes."""
    return int.from_bytes(bits[at : at + 4], "little") % below
