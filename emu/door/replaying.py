"""The replaying door: gives the guest what the trace says, and compares what the guest does with it.

The host is never asked. Items are taken strictly in their order; the first difference is a DivergenceError.

In a *diversion* somebody has changed the guest, so what it does is no recording: nothing is compared, what it sends is
dropped, and what comes in is what somebody types. It ends when the door is put back to a place before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeGuard

from minstret.emu.changes import CHANGES_TARGET
from minstret.emu.clock import ClockType, HostClock
from minstret.emu.door.door import BLOCKED_MARK, Diversion, Event, HostSchedule, Observed, Position, Sink
from minstret.emu.errors import DivergenceError, TraceError
from minstret.emu.idle import ReplayIdle
from minstret.emu.machine import PAUSED, STOP_TARGET, Machine, StopReason, stop_request
from minstret.emu.timers import TimerAttribute
from minstret.emu.trace.cursor import ItemCursor, OutputCursor, OutputPlace
from minstret.emu.trace.format import DECIDED_BY_HOST, Item, Kind, Snapshot, describe
from minstret.emu.trace.reader import TraceReader

_AHEAD_ITEMS_MAX, _AHEAD_BYTES_MAX = 1000, 1 << 20
"""Limits on what is read ahead: items, and bytes in them. One item more may be read."""


_WAITED = stop_request(StopReason.WAITS_FOREVER)


def _is_of_a_driver(item: Item) -> bool:
    """Whether an event is what a test did between two runs: it changed something, gave something, or was told that the
    guest waits."""
    return item.name == CHANGES_TARGET or _is_wait(item) or _is_pause(item)


def _is_wait(item: Item) -> bool:
    """Whether it marks that a run had come back, as the guest waits forever."""
    return item.name == STOP_TARGET and item.data == _WAITED


def _is_pause(item: Item) -> bool:
    """Whether it marks that a run had stopped, and something came in before the next one."""
    return item.name == STOP_TARGET and item.data == PAUSED


@dataclass(slots=True)
class BenchRun:
    """A run of a test that goes through the trace: what the recording's test did comes in when this one does it.

    Attributes:
        stops_at: Whether the run stops at a position: what was done there waits, as the test looks before it does that.
        meets_waits: Whether it comes back where a run of the recording did, as the guest waited forever.
        is_at_wait: Whether it is there: nothing more comes in.
    """

    stops_at: Callable[[Position], bool]
    meets_waits: bool = False
    is_at_wait: bool = False


@dataclass(frozen=True, slots=True)
class ReplayPlace:
    """Where a replaying door is: the next item's number, the place among the outputs, the chained register hash."""

    seq: int
    outputs: OutputPlace
    registers: int


def place_in_trace(reader: TraceReader, snapshot: Snapshot | None = None) -> ReplayPlace:
    """The place of a snapshot, or of power-on."""
    if snapshot is None:
        return ReplayPlace(0, OutputPlace(reader.first_output(0), ()), 0)
    return ReplayPlace(snapshot.seq, OutputPlace(reader.first_output(snapshot.position.icount), ()), snapshot.registers)


class ReplayDoor:
    """Delivers the events of a trace and nothing else."""

    is_open = False
    source_is_open = False

    def __init__(self, reader: TraceReader, place: ReplayPlace | None = None) -> None:
        """Replay ``reader`` from a place on, by default from its start."""
        place = place or place_in_trace(reader)
        self._reader = reader
        self._items = ItemCursor(reader, place.seq)
        self._next: Item | None = None
        self._registers = place.registers
        self._sinks: dict[str, Sink] = {}
        self._machine: Observed
        self._expected = ExpectedOutputs(reader, place.outputs)
        self._was_killed = reader.end is None
        self._reached = reader.reached().position
        self._stop: tuple[int, Position] | None = None
        self.next_icount: int | None = 0
        self.next_ns: int | None = 0
        self._typed: deque[Event] | None = None
        """In a diversion: what somebody typed, and has found no room yet."""
        self._look_ahead()
        self._ran_last: Callable[[], str] = str
        self._is_running: Callable[[], bool] = bool
        self.bench_run: BenchRun | None = None
        """Where a test goes through the trace, and a run of it is under way."""
        self._has_acted = False
        """Whether a test has given something that the recording has let in behind a mark, which was not met yet."""
        self.changes = 0
        """How many changes were let in."""
        self.on_item: Callable[[Item], None] | None = None
        """Called with each item of the trace that happens, before what it does."""
        self.is_discarding = False
        """Whether what host-side parts post is thrown away (timer model no-attributes). Else that they do is a bug."""

    def observe(self, machine: Observed) -> None:
        """Compare what ``machine`` does with the trace."""
        self._machine = machine

    def attach(self, machine: Machine) -> None:
        self.observe(machine)
        self._ran_last, self._is_running = (lambda: machine.ran_last), (lambda: machine.is_running)
        machine.idle = ReplayIdle(machine.clock, machine.timers, machine.pace, self)
        for timers in machine.timers:
            timers.on_checkpoint = self.checkpoint
            timers.runnable = TimerAttribute.NONE
            if timers.clock.type in DECIDED_BY_HOST:
                timers.clock = HostClock(timers.clock.type, self._logged_ns)
                timers.may_run = self.may_run

    def connect(self, target: str, sink: Sink) -> None:
        self._sinks[target] = sink

    # ---- what comes next

    def _look_ahead(self) -> None:
        """Find the next item at which a turn of the loop must end: any but an answer, which is asked for within a turn.

        The answers before it are kept in memory, up to a limit, as there may be any number of them.
        """
        self._next = first = self._items.next
        if first is not None and first.kind is not Kind.ANSWER:
            self._stop = first.seq, first.position
            self.next_icount, self.next_ns = first.position
            return
        self._stop, size = None, 0
        for count, item in enumerate(self._items.ahead(), start=1):
            size += len(item.data)
            if item.kind is not Kind.ANSWER:
                self._stop = item.seq, item.position
                break
            if count >= _AHEAD_ITEMS_MAX or size >= _AHEAD_BYTES_MAX:
                self._stop = self._reader.first_stop(item.seq + 1)
                break
        self.next_icount, self.next_ns = self._reached if self._stop is None else self._stop[1]

    @property
    def next_seq(self) -> int:
        """The number of the next item."""
        return self._items.tell()

    def _take(self, position: Position) -> Item:
        """Go past the next item, at ``position``, which is where the machine is."""
        item = self._items.take()
        assert item.position == position, (item, position)
        self._next = self._items.next
        if self._next is None or (self._stop is not None and item.seq == self._stop[0]):
            self._look_ahead()
        if self.on_item is not None:
            self.on_item(item)
        return item

    @property
    def holds_input(self) -> bool:
        """Input that found no room was not recorded; its item comes at the position where there was room."""
        return bool(self._typed)

    may_be_over = True

    def is_over(self, position: Position) -> bool:
        if not self._was_killed or self._next is not None or self.is_diverted:
            return False
        return position >= self._reached

    @property
    def has_arrivals(self) -> bool:
        item = self._next
        return item is not None and item.kind is Kind.EVENT and self._is_due(item, self._machine.position)

    def _is_due(self, item: Item | None, position: Position) -> TypeGuard[Item]:
        """Whether an item is an event that comes in now."""
        if item is None or item.kind is not Kind.EVENT or item.position != position:
            return False
        run = self.bench_run
        if run is None:
            return True
        if run.is_at_wait:
            return False
        return (self._has_acted and _is_pause(item)) or not (_is_of_a_driver(item) and run.stops_at(position))

    @property
    def is_at_wait(self) -> bool:
        """Whether a test's run is where one of the recording's came back, as the guest waits forever."""
        return self.bench_run is not None and self.bench_run.is_at_wait

    @property
    def holds_what_a_test_did(self) -> bool:
        """Whether the recording was not over here: its test did something where it had stopped."""
        item = self._next
        return item is not None and item.position == self._machine.position and _is_of_a_driver(item)

    @property
    def call_must_wait(self) -> bool:
        item = self._next
        return item is not None and item.name == BLOCKED_MARK and item.position == self._machine.position

    # ---- going back

    def save(self) -> ReplayPlace:
        assert not self.is_diverted, "a diversion has no place in the trace"
        return ReplayPlace(self._items.tell(), self._expected.outputs.tell(), self._registers)

    def restore(self, saved: ReplayPlace) -> None:
        self._items.seek(saved.seq)
        self._expected.outputs.seek(saved.outputs)
        self._registers = saved.registers
        self._typed, self._has_acted = None, False
        self._reached = self._reader.reached().position  # of a recording under way that is further now
        self._look_ahead()

    # ---- a diversion

    @property
    def is_diverted(self) -> bool:
        """Whether this is a diversion."""
        return self._typed is not None

    def divert(self) -> None:
        """Begin a diversion here. It ends with ``restore``."""
        self._typed = deque()
        self._next = self._stop = self.next_icount = self.next_ns = None

    def _admit_typed(self, typed: deque[Event]) -> bool:
        """Deliver what was typed, as far as there is room."""
        admitted = False
        while typed:
            event = typed.popleft()
            taken = self._sinks[event.target](event.data)
            admitted |= taken > 0
            if taken < len(event.data):
                typed.appendleft(Event(event.target, event.data[taken:]))
                break
        return admitted

    # ---- in

    def post(self, event: Event) -> None:
        if self._typed is not None:
            self._typed.append(event)
        else:
            assert self.is_discarding, f"{event.target}: a part of the host side runs in a replay"

    def admit(self, position: Position) -> bool:
        if self._typed is not None:
            return self._admit_typed(self._typed)
        if self._stop is None or self._stop[1] < position:
            self._check_not_passed(position)
        admitted = False
        while self._is_due(item := self._next, position):
            self._check_registers(self._take(position))
            taken = self._deliver(item)
            if taken != len(item.data):
                where = "no device of that name" if taken is None else f"room for {taken} of {len(item.data)} bytes"
                raise self._divergence(item.name, position, str(item), where, item.seq)
            self.changes += item.name == CHANGES_TARGET
            self._has_acted &= not _is_pause(item)
            if self.bench_run is not None:
                self.bench_run.is_at_wait = self.bench_run.meets_waits and _is_wait(item)
            admitted = True
        return admitted

    def _deliver(self, item: Item) -> int | None:
        """How much of an event was taken; None if no device takes events of that name."""
        sink = self._sinks.get(item.name)
        try:
            return None if sink is None else sink(item.data)
        except ValueError as error:
            raise TraceError(f"{self._reader.path}: a damaged trace: item {item.seq}: {error}") from None

    def _check_not_passed(self, position: Position) -> None:
        if self._stop is None:
            if position.icount > self._reached.icount:
                raise self._divergence("end", position, f"the end at {_text(self._reached)}", "the guest running on")
        else:
            first = self._next
            assert first is not None
            raise self._divergence(
                first.name, first.position, str(first), f"nothing of the kind up to {_text(position)}"
            )

    def ask(self, name: str, live: Callable[[], bytes]) -> bytes:
        if self.is_diverted:
            answer = self._reader.next_answer(name, self._items.tell())
            return live() if answer is None else answer  # a replay's board is made with a host that has nothing
        item, position = self._next, self._machine.position
        wanted = f"a question for '{name}'"
        if item is None:
            raise self._divergence(name, position, "the end of the trace", wanted)
        if item.kind is not Kind.ANSWER or item.name != name or item.position != position:
            raise self._divergence(name, position, f"{item} at {_text(item.position)}", wanted)
        self._check_registers(self._take(position))
        return item.data

    def mark(self, name: str) -> None:
        if not self.is_diverted:
            self.ask(name, bytes)

    def may_run(self, clock_type: ClockType) -> bool:
        """Whether timers whose clock is the host's decision fire now."""
        item = self._next
        if item is None or item.kind is not Kind.CHECKPOINT or item.name != clock_type.value:
            return False
        return item.position == self._machine.position

    def _logged_ns(self) -> int:
        """What a clock that is the host's decision shows to its own timers."""
        item = self._next
        return int.from_bytes(item.data, "little") if item is not None else 0

    def checkpoint(self, clock_type: ClockType, now_ns: int) -> None:
        if self.is_diverted:
            return
        item, position = self._next, self._machine.position
        is_checkpoint = item is not None and item.kind is Kind.CHECKPOINT and item.position == position
        if item is None or not is_checkpoint or item.name != clock_type.value:
            expected = "the end of the trace" if item is None else f"{item} at {_text(item.position)}"
            raise self._divergence("timers", position, expected, f"a checkpoint of the {clock_type.value} clock")
        self._check_registers(self._take(position))

    def _check_registers(self, item: Item) -> None:
        self._registers = self._machine.registers_hash(self._registers)
        if item.registers is not None and item.registers != self._registers:
            raise self._divergence(
                "hart", self._machine.position, f"{item} with register hash {item.registers:#010x}",
                f"register hash {self._registers:#010x}", item.seq,
            )  # fmt: skip

    def give(self, event: Event) -> None:
        """A replay takes all from its trace."""
        raise AssertionError(f"{event.target}: a replay was given an event")

    def host_acts(self) -> None:
        """A test does what it did in the recording: what came of it is in the trace."""
        self._has_acted |= not self._is_running()

    def look(self) -> None:
        """There is no host to ask."""

    def use(self, *, schedule: HostSchedule | None = None, diversion: Diversion | None = None) -> None:
        """A replay asks neither."""

    def wait(self, timeout_ns: int | None) -> int:
        return 0

    # ---- out

    def sent(self, stream: str, data: bytes, is_message: bool = False) -> None:
        if self.is_diverted:
            return
        difference = self._expected.compare(stream, data)
        if difference is not None:
            raise self._divergence(stream, self._machine.position, *difference)

    def sent_late(self, stream: str, data: bytes, position: Callable[[int], Position]) -> None:
        if self.is_diverted or self._expected.compare(stream, data) is None:
            return
        for at in range(len(data)):
            difference = self._expected.compare(stream, data[at : at + 1])
            if difference is not None:
                raise self._divergence(stream, position(at), *difference)

    def has_more(self) -> bool:
        """Whether the recording went on after this position."""
        return self._next is not None or self._machine.position < self._reached

    def check_end(self, wanted: str) -> None:
        """Raise DivergenceError for an item or output of the trace that the replay has not come to by its end.

        ``wanted`` says what the replay has come to.
        """
        item, position = self._next, self._machine.position
        if item is not None:
            raise self._divergence(item.name, position, f"{item} at {_text(item.position)}", wanted)
        missing = self._expected.missing()
        if missing is not None:
            raise self._divergence(missing[0], position, missing[1], wanted)

    def registers_hash(self) -> int:
        """The chained register hash, as at the end of a recording."""
        return self._machine.registers_hash(self._registers)

    def _divergence(
        self, who: str, position: Position, expected: str, got: str, seq: int | None = None
    ) -> DivergenceError:
        before, number = max(0, position.icount - 1), self.next_seq if seq is None else seq
        return DivergenceError(
            f"{who} at {_text(position)}{self._ran_last()}: expected item {number}: {expected}, got {got};"
            f" look closer: minstret replay --to {before} {self._reader.to_type}; minstret log {self._reader.path}"
        )


class ExpectedOutputs:
    """What the trace says the guest sends, by stream."""

    def __init__(self, reader: TraceReader, place: OutputPlace) -> None:
        self.outputs = OutputCursor(reader)
        self.outputs.seek(place)

    def compare(self, stream: str, data: bytes) -> tuple[str, str] | None:
        """None if ``data`` is what comes next, else (expected, got)."""
        expected = self.outputs.next(stream, len(data))
        if expected is None:
            return f"nothing more on {stream}", describe(data)
        if expected != data:
            return _difference(stream, expected, data)
        self.outputs.take(stream, len(data))
        return None

    def missing(self) -> tuple[str, str] | None:
        """(stream, what) of something that was not sent, if there is any."""
        left = self.outputs.left()
        return None if left is None else (left[0], describe(left[1]))


def _difference(stream: str, expected: bytes, got: bytes) -> tuple[str, str]:
    if len(expected) == 1 == len(got):
        return f"{expected!r}"[1:], f"{got!r}"[1:]
    at = next((i for i, (a, b) in enumerate(zip(expected, got, strict=False)) if a != b), min(len(expected), len(got)))
    return f"{len(expected)} bytes with {describe(expected[at : at + 4])} at {at}", (
        f"{len(got)} bytes with {describe(got[at : at + 4])} there"
    )


def _text(position: Position) -> str:
    return f"icount {position.icount:_}"
