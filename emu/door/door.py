"""The door: the only way in for anything the host decides.

Host sources stand before it, guest devices behind it. The machine opens it once a turn, so an event reaches
the guest at an exact icount. Live, it polls the host, and takes what host-side parts of the machine post (the user
network's frames, keys from the input queue); a recorder and a replayer can take its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from minstret.emu.clock import ClockType


class Position(NamedTuple):
    """Where a run is; icount alone stands still while the hart waits."""

    icount: int
    virtual_ns: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something the host decided: bytes for ``target``, for example ``uart0.rx``."""

    target: str
    data: bytes


class Observed(Protocol):
    """What a door may look at in the machine behind it."""

    @property
    def position(self) -> Position: ...

    def registers_hash(self, previous: int) -> int:
        """A short hash of the hart's registers, chained to an earlier one."""
        ...


BLOCKED_MARK, RESET_MARK = "hart.blocked", "machine.reset"
"""What happens between two slices, and changes what becomes of an event: see Door.mark."""

Sink = Callable[[bytes], int]
"""Takes the bytes it has room for, and says how many."""


class Door(Protocol):
    """What the machine needs of a door, be it live, recording or replaying."""

    @property
    def logs(self) -> bool:
        """Whether it wants to hear of checkpoints."""
        ...

    @property
    def is_replay(self) -> bool:
        """Whether a trace decides everything, and the host nothing."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether input may still come."""
        ...

    @property
    def holds_input(self) -> bool:
        """Whether something has come that found no room yet."""
        ...

    @property
    def has_arrivals(self) -> bool:
        """Whether something was posted since the last ``admit``: the next turn comes before any instruction."""
        ...

    @property
    def next_icount(self) -> int | None:
        """The icount of the next ``admit`` that must not be missed, if that is known."""
        ...

    @property
    def next_ns(self) -> int | None:
        """In a replay: virtual time at which the next thing happens, though the hart waits."""
        ...

    def attach(self, machine: Observed) -> None:
        """Stand before ``machine``."""
        ...

    def connect(self, target: str, sink: Sink) -> None: ...

    def post(self, event: Event) -> None:
        """Hand over what a host-side part of the machine has for the guest; it enters at the next turn."""
        ...

    def is_over(self, position: Position) -> bool:
        """Whether nothing is known beyond ``position``: a replay has come to where its recording was killed."""
        ...

    def admit(self, position: Position) -> bool:
        """Deliver what may enter now; whether anything did."""
        ...

    def wait(self, timeout_ns: int | None) -> int:
        """Let the host pass time until something comes; see Source.wait."""
        ...

    def ask(self, name: str, live: Callable[[], bytes]) -> bytes:
        """What the host answers to a question that the guest's action brought up: ``live()``, or what it was once."""
        ...

    def mark(self, name: str) -> None:
        """This happens now, after what was admitted at this position and before what will be."""
        ...

    def sent(self, stream: str, data: bytes, is_message: bool = False) -> None:
        """The guest has sent ``data``: bytes of a stream, or a message such as a frame."""
        ...

    def checkpoint(self, clock_type: ClockType, now_ns: int) -> None:
        """Timers of a clock begin to fire, at this time of theirs, and not EXTERNAL ones alone."""
        ...

    def spared(self, clock_type: ClockType) -> int:
        """EXTERNAL timers alone have fired: how many bytes their checkpoint would have taken."""
        ...

    def may_run(self, clock_type: ClockType) -> bool:
        """Whether timers whose clock is the host's decision may fire now."""
        ...

    def clock_ns(self, clock_type: ClockType, live: Callable[[], int]) -> int:
        """What a clock that is the host's decision shows to its own timers."""
        ...
