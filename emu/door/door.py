"""The door: the only way in for anything the host decides.

The host side is on one side of it, the guest side on the other. The machine opens it once a turn, so an event reaches
the guest at an exact icount. Live, it polls the host, and takes what host-side parts of the machine post (the user
network's frames, keys from the input queue); a recorder and a replayer can take its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol


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


class Schedule(Protocol):
    """What is to happen on the host side when the guest has come so far: a script of keys."""

    @property
    def next_icount(self) -> int | None:
        """When it wants to be run next; None while it waits for nothing, or for a time."""
        ...

    def run_due(self, icount: int) -> None:
        """Do what is due at ``icount``."""
        ...


class Diversion(Protocol):
    """Takes away what comes from the host, to post it later."""

    @property
    def holds_input(self) -> bool:
        """Whether it has some now."""
        ...

    def wants_input(self, is_door_empty: bool) -> bool:
        """Whether the guest could have used more by now; ``is_door_empty``: nothing posted waits for room."""
        ...

    def divert(self, event: Event) -> bool:
        """Take ``event``; False leaves it."""
        ...

    def recall(self) -> bool:
        """Post at once what the guest reads while time stands still: it would never be due. Whether there was any."""
        ...


class Door(Protocol):
    """What machine and board ask of a door, be it live, recording or replaying."""

    # ---- each turn

    @property
    def has_arrivals(self) -> bool:
        """Whether something was posted since the last ``admit``: the next turn comes before any instruction."""
        ...

    @property
    def holds_input(self) -> bool:
        """Whether something has come that found no room yet."""
        ...

    @property
    def call_must_wait(self) -> bool:
        """Whether a call of the guest's that reads input has to wait here: there is more for it than it has.

        Live: something found no room. In a replay: the recording had a call begin to wait here.
        """
        ...

    @property
    def is_open(self) -> bool:
        """Whether input may still come."""
        ...

    @property
    def next_icount(self) -> int | None:
        """The icount of the next ``admit`` that must not be missed, if that is known."""
        ...

    @property
    def next_ns(self) -> int | None:
        """In a replay: virtual time of the next item of the trace. Bounds warps while the hart waits."""
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

    # ---- when something happens

    def ask(self, name: str, live: Callable[[], bytes]) -> bytes:
        """What the host answers to a question that the guest's action brought up: ``live()``, or what it was once."""
        ...

    def mark(self, name: str) -> None:
        """For the log: this happens now, after what was admitted at this position and before what will be."""
        ...

    def sent(self, stream: str, data: bytes, is_message: bool = False) -> None:
        """For the log: the guest has sent ``data``, bytes of a stream, or a message such as a frame."""
        ...

    # ---- going back

    def save(self) -> Any:
        """Where the door is, between two turns: what waits in it, and its place in the trace."""
        ...

    def restore(self, saved: Any) -> None:
        """Put the door back to where it was; the machine is put back apart."""
        ...

    # ---- putting it together

    def attach(self, machine: Any) -> None:
        """Stand before ``machine``, a Machine that is whole but for its devices.

        A door that logs connects to the machine's timers; one that replays decides too which of them run, and how far
        a waiting hart skips.
        """
        ...

    def connect(self, target: str, sink: Sink) -> None:
        """Let what comes for ``target`` go to ``sink``."""
        ...

    def post(self, event: Event) -> None:
        """Hand over what a host-side part of the machine has for the guest; it enters at the next turn."""
        ...

    def look(self) -> None:
        """Ask the host for more at the next turn, before any instruction."""
        ...

    @property
    def source_is_open(self) -> bool:
        """Whether the host may still give something."""
        ...

    def use(self, *, schedule: Schedule | None = None, diversion: Diversion | None = None) -> None:
        """Ask these too, from now on. A replay, which asks nobody, leaves them alone."""
        ...
