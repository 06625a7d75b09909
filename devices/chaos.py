"""Chaos: what comes from outside reaches the door after a seeded jitter, so that rare orders come up.

Each delay is a function of the seed and of how many events came before, so a run without a live host is still the
same run each time. Order within one target is kept: bytes of a console don't overtake each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from minstret.emu.ingress import Event
from minstret.emu.machine import STOP_TARGET
from minstret.emu.timers import Timer, TimerAttribute, TimerList
from minstret.emu.units import NS_PER_MS, NS_PER_US

_SHORT_NS, _LONG_NS = 200 * NS_PER_US, 20 * NS_PER_MS
_LONG_OF = 8
"""One event of so many waits long."""


@dataclass(slots=True)
class Delayed:
    """An event, when it goes on, ns, and whether it came from the host and not from a part of the machine."""

    due_ns: int
    target: str
    data: bytes
    is_from_host: bool


@dataclass(slots=True)
class ChaosState:
    """What waits, by due time, and how many came."""

    waiting: list[Delayed] = field(default_factory=list)
    count: int = 0


class Chaos:
    """Holds events back for a while."""

    def __init__(self, name: str, seed: int, timers: TimerList, deliver: Callable[[Event], None]) -> None:
        """Delay what ``take`` gets, on ``timers`` (the VIRTUAL ones), then ``deliver`` it."""
        self.state = ChaosState()
        self._seed = seed
        self._timers = timers
        self._deliver = deliver
        self._timer = Timer(name, timers, self._on_timer, TimerAttribute.EXTERNAL)

    @property
    def holds_input(self) -> bool:
        """Whether something of the host's waits."""
        return any(one.is_from_host for one in self.state.waiting)

    def divert(self, event: Event) -> bool:
        """Take an event of the host's, unless it ends the run."""
        if event.target == STOP_TARGET:
            return False
        self._hold(event, is_from_host=True)
        return True

    def recall(self) -> None:
        """Deliver what is the host's at once: the guest reads it while time stands still, so it would never be due."""
        held, self.state.waiting = self.state.waiting, [one for one in self.state.waiting if not one.is_from_host]
        self._keep_armed()
        for one in held:
            if one.is_from_host:
                self._deliver(Event(one.target, one.data))

    def take(self, event: Event) -> None:
        """Hold ``event`` back."""
        self._hold(event, is_from_host=False)

    def _hold(self, event: Event, is_from_host: bool) -> None:
        state = self.state
        due_ns = self._timers.clock.now_ns() + self._delay_ns()
        due_ns = max([due_ns, *(one.due_ns for one in state.waiting if one.target == event.target)])
        state.waiting.append(Delayed(due_ns, event.target, event.data, is_from_host))
        state.waiting.sort(key=lambda one: one.due_ns)  # keeps the order of equal ones
        self._keep_armed()

    def _keep_armed(self) -> None:
        if self.state.waiting:
            self._timer.arm(self.state.waiting[0].due_ns)
        else:
            self._timer.cancel()

    def _delay_ns(self) -> int:
        self.state.count += 1
        draw = hashlib.sha256(f"{self._seed}/chaos/{self.state.count}".encode()).digest()
        longest_ns = _LONG_NS if draw[0] % _LONG_OF == 0 else _SHORT_NS
        return int.from_bytes(draw[1:9], "big") % longest_ns

    def _on_timer(self, late_ns: int) -> None:
        now_ns, waiting = self._timers.clock.now_ns(), self.state.waiting
        while waiting and waiting[0].due_ns <= now_ns:
            one = waiting.pop(0)
            self._deliver(Event(one.target, one.data))
        self._keep_armed()
