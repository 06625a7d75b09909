"""The door: the only way from the host side to the guest side.

The machine asks it once a turn what may enter, so an event reaches the guest at an exact icount. There are three doors.
A live one (live.py) polls the host, and takes what parts of the host side post: frames of the user network, keys of the
input queue. A recording one (recording.py) also writes that into a trace. A replaying one (replaying.py) takes
everything from a trace.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol


class Position(NamedTuple):
    """Where a run is; icount alone stands still while all harts wait."""

    icount: int
    virtual_ns: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something the host decided: bytes for ``target``, for example ``uart0.rx``."""

    target: str
    data: bytes


class Observed(Protocol):
    """What a door may look at in its machine."""

    @property
    def position(self) -> Position: ...

    def registers_hash(self, previous: int) -> int:
        """A short hash of the harts' registers, chained to an earlier one."""
        ...


BLOCKED_MARK, RESET_MARK = "hart.blocked", "machine.reset"
"""Marks: a semihosting call began to wait, the board was reset. Both change what an event does: see Door.mark."""

Sink = Callable[[bytes], int]
"""Takes the bytes it has room for, and says how many."""


class HostSchedule(Protocol):
    """What the host side does at given instruction counts: a script of keys."""

    @property
    def next_icount(self) -> int | None:
        """The icount at which it next has something to do; None where there is none planned by icount."""
        ...

    def run_due(self, icount: int) -> None:
        """Do what is due at ``icount``."""
        ...


class Diversion(Protocol):
    """Takes what comes from the host before it enters, and posts it later: the serial line."""

    @property
    def holds_input(self) -> bool:
        """Whether it has taken something that it has not posted yet."""
        ...

    def wants_input(self, is_door_empty: bool) -> bool:
        """Whether the guest could use more input now; ``is_door_empty``: nothing that was posted waits for room."""
        ...

    def divert(self, event: Event) -> bool:
        """Take ``event``, or give False: then it enters as it is."""
        ...

    def recall(self) -> bool:
        """Post what is held at once, if the guest waits for it in a call during which no time passes.

        Returns:
            Whether there was anything to post.
        """
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
        """In a replay: virtual time of the next item of the trace. Bounds warps while all harts wait."""
        ...

    may_be_over: bool
    """Whether ``is_over`` may say so: False of a live run, which asks at each turn."""

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
        """The host's answer to a question that something the guest did has raised.

        Args:
            name: Of the question, such as ``clock.host``.
            live: Asks the host. In a replay it is not called: the trace has what it gave.
        """
        ...

    def mark(self, name: str) -> None:
        """For the trace: ``name`` happens now, after what was admitted at this position and before what will be."""
        ...

    def sent(self, stream: str, data: bytes, is_message: bool = False) -> None:
        """For the trace: the guest has sent ``data``, bytes of a stream, or a message such as a frame."""
        ...

    def sent_late(self, stream: str, data: bytes, position: Callable[[int], Position]) -> None:
        """The same for bytes of a stream which the guest has sent since Python's last turn, each at its position."""
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
        """Get to know ``machine``, a Machine that is whole but for its devices.

        A door that records is told by the machine's timers when they run. One that replays also decides which of them
        run, and how far time skips while all harts wait.
        """
        ...

    def connect(self, target: str, sink: Sink) -> None:
        """Let what comes for ``target`` go to ``sink``."""
        ...

    def post(self, event: Event) -> None:
        """Take an event from a part of the host side; it enters at the next turn."""
        ...

    def give(self, event: Event) -> None:
        """Take an event that comes from the host at this moment: it enters at the next turn."""
        ...

    def host_acts(self) -> None:
        """Something comes from the host by a part of the host side, which posts it."""
        ...

    def look(self) -> None:
        """Ask the host for more at the next turn, before any instruction."""
        ...

    @property
    def source_is_open(self) -> bool:
        """Whether the host may still give something."""
        ...

    def use(self, *, schedule: HostSchedule | None = None, diversion: Diversion | None = None) -> None:
        """Ask these too, from now on. A replay, which asks nobody, leaves them alone."""
        ...
