"""The live door: asks the host once a turn, and delivers events as they come, in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from minstret.emu.door.door import Diversion, Event, HostSchedule, Position, Sink


class Source(Protocol):
    """The host side of the door."""

    @property
    def is_open(self) -> bool:
        """Whether input may still come."""
        ...

    def poll(self, wants_input: bool) -> Iterable[Event]:
        """What has come since the last call. Never waits.

        Without ``wants_input`` nothing for the console: that stays with the host while the guest has no use for it.
        """
        ...

    def wait(self, timeout_ns: int | None) -> int:
        """Wait for something to come, at most ``timeout_ns``; how long it took, ns."""
        ...


@dataclass(frozen=True, slots=True)
class LivePlace:
    """Where a live door is; by default at power-on."""

    waiting: tuple[Event, ...] = ()
    has_asked: bool = True
    has_arrivals: bool = False
    has_met_host: bool = False


class LiveDoor:
    """Delivers events as they come, in their order."""

    next_ns: int | None = None
    may_be_over = False

    def __init__(self, source: Source | None = None) -> None:
        self._source = source
        self.schedule: HostSchedule | None = None
        self.diversion: Diversion | None = None
        """Asked about all that comes from the source."""
        self._sinks: dict[str, Sink] = {}
        self._waiting: deque[Event] = deque()
        self._has_asked = True
        """Whether the source was last asked for input too."""
        self.has_arrivals = False
        self.has_met_host = False
        """Whether anything has come from the host. If not, the run is the same each time."""

    @property
    def is_open(self) -> bool:
        is_diverted = self.diversion is not None and self.diversion.holds_input
        return bool(self._waiting) or is_diverted or self.source_is_open

    @property
    def source_is_open(self) -> bool:
        """Whether the host may still give something."""
        return self._source is not None and self._source.is_open

    @property
    def holds_input(self) -> bool:
        return bool(self._waiting)

    @property
    def next_icount(self) -> int | None:
        return None if self.schedule is None else self.schedule.next_icount

    @property
    def call_must_wait(self) -> bool:
        return self.holds_input

    def attach(self, machine: Any) -> None:
        """A live door needs nothing of the machine."""

    def use(self, *, schedule: HostSchedule | None = None, diversion: Diversion | None = None) -> None:
        self.schedule = schedule or self.schedule
        self.diversion = diversion or self.diversion

    def connect(self, target: str, sink: Sink) -> None:
        self._sinks[target] = sink

    def post(self, event: Event) -> None:
        self._waiting.append(event)
        self.has_arrivals = True

    def give(self, event: Event) -> None:
        """Take an event as if the source had given it: it enters at the next turn, what is typed by the line."""
        self.host_acts()
        if not self._diverts(event):
            self.post(event)

    def host_acts(self) -> None:
        """Note that the host decides something here: the run is no longer the same each time."""
        self.has_met_host = True

    def look(self) -> None:
        """Ask the source for more at the next turn, before any instruction."""
        self.has_arrivals = True

    def is_over(self, position: Position) -> bool:
        return False

    def admit(self, position: Position) -> bool:
        if self._source is not None:
            self._poll(self._source)
        if self.schedule is not None:
            self.schedule.run_due(position.icount)
        self.has_arrivals = False
        if not self._waiting:
            return False
        admitted = False
        held_back: list[Event] = []
        blocked: set[str] = set()
        while self._waiting:  # one at a time: with a second clock, another thread posts meanwhile
            event = self._waiting.popleft()
            taken = 0 if event.target in blocked else self._let_in(position, event.target, event.data)
            admitted |= taken > 0
            if taken < len(event.data):  # order within one target is kept
                blocked.add(event.target)
                held_back.append(Event(event.target, event.data[taken:]))
        self._waiting.extendleft(reversed(held_back))
        return admitted

    def _poll(self, source: Source) -> None:
        self._has_asked = self._wants_input()
        events = list(source.poll(self._has_asked))
        self.has_met_host |= bool(events)
        self._waiting.extend(event for event in events if not self._diverts(event))

    def _wants_input(self) -> bool:
        is_empty = not self._waiting
        return is_empty if self.diversion is None else self.diversion.wants_input(is_empty)

    def _diverts(self, event: Event) -> bool:
        return self.diversion is not None and self.diversion.divert(event)

    def _let_in(self, position: Position, target: str, data: bytes) -> int:
        return self._sinks[target](data)

    def wait(self, timeout_ns: int | None) -> int:
        if timeout_ns is None and self.diversion is not None and self.diversion.recall():
            return 0
        if self._source is None:  # there is nobody who could end the wait early
            return timeout_ns or 0
        if self._wants_input() and not self._has_asked:  # something may be there already
            return 0
        return self._source.wait(timeout_ns)

    def ask(self, name: str, live: Callable[[], bytes]) -> bytes:
        self.has_met_host = True
        return live()

    def save(self) -> Any:
        return LivePlace(tuple(self._waiting), self._has_asked, self.has_arrivals, self.has_met_host)

    def restore(self, saved: Any) -> None:
        """The host is not put back: what it has given since does not come again."""
        self._waiting = deque(saved.waiting)
        self._has_asked, self.has_arrivals = saved.has_asked, saved.has_arrivals
        self.has_met_host = saved.has_met_host

    def mark(self, name: str) -> None:
        """There is no trace to write it to."""

    def sent(self, stream: str, data: bytes, is_message: bool = False) -> None:
        """There is no trace to write it to."""

    def sent_late(self, stream: str, data: bytes, position: Callable[[int], Position]) -> None:
        """There is no trace to write it to."""
