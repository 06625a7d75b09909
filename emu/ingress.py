"""The door: the only way in for anything the host decides.

Host sources stand before it, guest devices behind it. The machine opens it once a turn, so an event reaches
the guest at an exact icount. Live, it polls the host; a recorder and a replayer can take its place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Event:
    """Something the host decided: bytes for ``target``, for example ``uart0.rx``."""

    target: str
    data: bytes


class Source(Protocol):
    """The host's side of the door."""

    @property
    def is_open(self) -> bool:
        """Whether input may still come."""
        ...

    def poll(self, wants_input: bool) -> Iterable[Event]:
        """What has come since the last call. Never waits.

        Without ``wants_input`` only what ends the run: bytes stay with the host while the guest has no room.
        """
        ...

    def wait(self, timeout_ns: int | None) -> int:
        """Wait for something to come, at most ``timeout_ns``; how long it took, ns."""
        ...


Sink = Callable[[bytes], int]
"""Takes the bytes it has room for, and says how many."""


class Door(Protocol):
    """What the machine needs of a door, be it live, recording or replaying."""

    @property
    def is_open(self) -> bool:
        """Whether input may still come."""
        ...

    @property
    def holds_input(self) -> bool:
        """Whether something has come that found no room yet."""
        ...

    def connect(self, target: str, sink: Sink) -> None: ...

    def admit(self) -> bool:
        """Deliver what may enter now; whether anything did."""
        ...

    def wait(self, timeout_ns: int | None) -> int:
        """Let the host pass time until something comes; see Source.wait."""
        ...


class LiveDoor:
    """Delivers events as they come, in their order."""

    def __init__(self, source: Source | None = None) -> None:
        self._source = source
        self._sinks: dict[str, Sink] = {}
        self._waiting: deque[Event] = deque()
        self.events_admitted = 0

    @property
    def is_open(self) -> bool:
        return bool(self._waiting) or (self._source is not None and self._source.is_open)

    @property
    def holds_input(self) -> bool:
        return bool(self._waiting)

    def connect(self, target: str, sink: Sink) -> None:
        self._sinks[target] = sink

    def admit(self) -> bool:
        before = self.events_admitted
        if self._source is not None:
            self._waiting.extend(self._source.poll(wants_input=not self._waiting))
        held_back: deque[Event] = deque()
        blocked: set[str] = set()
        for event in self._waiting:
            taken = 0 if event.target in blocked else self._sinks[event.target](event.data)
            self.events_admitted += taken > 0
            if taken < len(event.data):  # order within one target is kept
                blocked.add(event.target)
                held_back.append(Event(event.target, event.data[taken:]))
        self._waiting = held_back
        return self.events_admitted > before

    def wait(self, timeout_ns: int | None) -> int:
        return 0 if self._source is None else self._source.wait(timeout_ns)
