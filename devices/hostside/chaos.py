"""Chaos: delays events on their way to the door by pseudo-random times, so that rare orderings occur.

Each delay is a function of the seed and of the number of events before, so a run without live input is the same each
time. The order within one target is kept: one frame does not overtake another. The delays of console characters are
computed here too; the line that holds them (serial_line.py) adds each to the moment at which the character could enter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from minstret.emu.door.door import Event
from minstret.emu.timers import Timer, TimerAttribute, TimerList
from minstret.emu.units import NS_PER_MS, NS_PER_US

_SHORT_NS, _LONG_NS = 200 * NS_PER_US, 20 * NS_PER_MS
_LONG_OF = 8
"""One of this many events is delayed for long."""


def delay_ns(seed: int, stream: str, number: int) -> int:
    """The delay of an event, ns, by its number. Each stream has delays of its own."""
    draw = hashlib.sha256(f"{seed}/{stream}/{number}".encode()).digest()
    longest_ns = _LONG_NS if draw[0] % _LONG_OF == 0 else _SHORT_NS
    return int.from_bytes(draw[1:9], "big") % longest_ns


@dataclass(slots=True)
class Delayed:
    """A delayed event, and the time at which it is delivered, ns."""

    due_ns: int
    target: str
    data: bytes


@dataclass(slots=True)
class ChaosState:
    """The delayed events, ordered by time, and how many events there were so far."""

    waiting: list[Delayed] = field(default_factory=list)
    count: int = 0


class Chaos:
    """Delays events."""

    def __init__(self, name: str, seed: int, timers: TimerList, deliver: Callable[[Event], None]) -> None:
        """Make it.

        Args:
            name: The name of its timer.
            seed: Seed of the delays.
            timers: The timer list of the virtual clock.
            deliver: Called with each event after its delay.
        """
        self.state = ChaosState()
        self._seed = seed
        self._timers = timers
        self._deliver = deliver
        self._timer = Timer(name, timers, self._on_timer, TimerAttribute.EXTERNAL)

    def take(self, event: Event) -> None:
        """Delay ``event``."""
        state = self.state
        state.count += 1
        due_ns = self._timers.clock.now_ns() + delay_ns(self._seed, "chaos", state.count)
        due_ns = max([due_ns, *(one.due_ns for one in state.waiting if one.target == event.target)])
        state.waiting.append(Delayed(due_ns, event.target, event.data))
        state.waiting.sort(key=lambda one: one.due_ns)  # keeps the order of equal ones
        self._keep_armed()

    def _keep_armed(self) -> None:
        if self.state.waiting:
            self._timer.arm(self.state.waiting[0].due_ns)
        else:
            self._timer.cancel()

    def _on_timer(self, late_ns: int) -> None:
        now_ns, waiting = self._timers.clock.now_ns(), self.state.waiting
        while waiting and waiting[0].due_ns <= now_ns:
            one = waiting.pop(0)
            self._deliver(Event(one.target, one.data))
        self._keep_armed()
