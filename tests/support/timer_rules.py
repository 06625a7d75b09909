"""QEMU's four rules for replay checkpoints, as small pure functions: the executable specification.

A *pass* is one run of one clock's timer list. A rule tells where in the pass checkpoints are written: ``i`` stands
for "just before the i-th timer that fires", and 0 in a pass in which none fires for "up front".
Source: QEMU util/qemu-timer.c, timerlist_run_timers, at the times named below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from minstret.emu.clock import ClockType
from minstret.emu.timers import TimerAttribute

GUEST, EXTERNAL = TimerAttribute.NONE, TimerAttribute.EXTERNAL


@dataclass(frozen=True)
class Pass:
    """One run of one list: what fires, in this order, and what is armed for later."""

    clock: ClockType
    fired: tuple[TimerAttribute, ...] = ()
    waiting: tuple[TimerAttribute, ...] = ()

    @property
    def guest_positions(self) -> list[int]:
        return [i for i, attributes in enumerate(self.fired) if not attributes & EXTERNAL]


Rule = Callable[[Pass], list[int]]


def before_the_series(run: Pass) -> list[int]:
    """Rule 1: up front, whenever a list with timers on it is run."""
    return _up_front(run.clock, *run.fired, *run.waiting)


def virtual_ext(run: Pass) -> list[int]:
    """Rule 2: as rule 1, but EXTERNAL timers of VIRTUAL are on a list of their own, which has no checkpoints."""
    if run.clock is not ClockType.VIRTUAL:
        return before_the_series(run)
    return _up_front(run.clock, *(a for a in (*run.fired, *run.waiting) if not a & EXTERNAL))


def series_upstream(run: Pass) -> list[int]:
    """Rule 3 as merged: VIRTUAL once, before the first guest-side timer; HOST and VIRTUAL_RT still up front."""
    return series(run) if run.clock is ClockType.VIRTUAL else before_the_series(run)


def series(run: Pass) -> list[int]:
    """Rule 3 with its last part: once a pass, before the first guest-side timer, whatever the clock."""
    return [] if run.clock is ClockType.REALTIME else run.guest_positions[:1]


def every_callback(run: Pass) -> list[int]:
    """Rule 4, since 2020: VIRTUAL before every guest-side timer; HOST and VIRTUAL_RT still up front."""
    return run.guest_positions if run.clock is ClockType.VIRTUAL else before_the_series(run)


def _up_front(clock: ClockType, *timers: TimerAttribute) -> list[int]:
    return [0] if timers and clock is not ClockType.REALTIME else []


RULES: dict[str, Rule] = {
    rule.__name__: rule for rule in (before_the_series, virtual_ext, series_upstream, series, every_callback)
}
