"""A recording as replays know it that only go forward: where breakpoints and watches stop, and what is seen where.

What a walk on a timeline comes to is compared with this.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import NamedTuple

from support.recordings import Recorded

from minstret.devices.board.board import Board
from minstret.devices.board.traced import Replay
from minstret.emu.door.door import Position
from minstret.emu.hart.traps import TrapRecord
from minstret.emu.hart.watches import WatchHit, WatchKind
from minstret.emu.machine import StopReason
from minstret.emu.part import Part
from minstret.emu.recorded import ReplaySession
from minstret.emu.timeline import Why
from minstret.emu.trace.format import Kind
from minstret.emu.trace.reader import TraceReader

EVENTS_MAX = 400
"""A breakpoint or watch that is met more often is not set."""
_SAMPLES = 24
STOPPED = {StopReason.BREAKPOINT: Why.BREAKPOINT, StopReason.WATCH: Why.WATCH}


class Spec(NamedTuple):
    """What to watch."""

    kind: WatchKind
    address: int
    size: int


class Place(NamedTuple):
    """Where a run has stopped: what tells that from the other places of the run."""

    position: Position
    pc: int
    hart: int
    has_trapped: bool
    exceptions: int


class Hit(NamedTuple):
    """A WatchHit by its values."""

    spec: Spec
    kind: WatchKind
    address: int
    size: int
    pc: int
    old: bytes | None
    new: bytes | None
    is_by_device: bool
    hart: int
    icount: int


class At(NamedTuple):
    """Before an instruction: where going back to a breakpoint or to an access ends."""

    icount: int
    pc: int
    hart: int


class Event(NamedTuple):
    """A stop of a straight run with breakpoints and watches."""

    why: Why
    place: Place
    hits: tuple[Hit, ...] = ()

    @property
    def is_by_turn(self) -> bool:
        """Whether a device wrote at the beginning of a turn, and no instruction accessed."""
        return bool(self.hits) and self.hits[0].icount == self.place.position.icount

    @property
    def last_icount(self) -> int:
        """Of the instruction before which it is, or which accessed."""
        return self.hits[0].icount if self.hits else self.place.position.icount

    @property
    def before(self) -> At:
        """Where going back to it ends, unless a device wrote at the beginning of a turn."""
        if self.hits:
            return At(self.hits[0].icount, self.hits[0].pc, self.hits[0].hart)
        return At(self.place.position.icount, self.place.pc, self.place.hart)


class View(NamedTuple):
    """What is seen at a place."""

    position: Position
    digest: str
    next_seq: int
    hart: int
    last_traps: tuple[TrapRecord | None, ...]


class Retired(NamedTuple):
    """An instruction: where the hart was that ran last before it, and which hart retires it."""

    pc_before: int
    hart: int


class TooManyError(Exception):
    """A breakpoint or a watch is met too often."""


def place_of(board: Board) -> Place:
    hart = board.machine.hart
    return Place(board.position, hart.pc, hart.hart_id, hart.has_just_trapped, hart.handler_entry.exceptions)


def view_of(replay: ReplaySession[Board]) -> View:
    """What is seen where a session is."""
    board = replay.board
    return View(
        board.position, board.digest(), replay.door.next_seq, board.machine.hart.hart_id,
        tuple(hart.last_trap for hart in board.harts),
    )  # fmt: skip


def facts_of(hits: Sequence[WatchHit]) -> tuple[Hit, ...]:
    return tuple(
        Hit(
            Spec(hit.watch.kind, hit.watch.address, hit.watch.size), hit.kind, hit.address, hit.size, hit.pc, hit.old,
            hit.new, hit.is_by_device, hit.hart, hit.icount,
        )
        for hit in hits
    )  # fmt: skip


class StraightRuns:
    """A recording."""

    def __init__(self, recorded: Recorded, seed: str, devices: Sequence[type[Part]] = ()) -> None:
        """Look through a recording.

        Args:
            recorded: The recording; one that was killed has no end.
            seed: Of which addresses of code and data are looked at.
            devices: The classes of users' devices in it.
        """
        self.path, self.recorded, self.devices = recorded.path, recorded, tuple(devices)
        with recorded.reader() as reader:
            self.start = Replay(reader, devices=devices).board.position
            self.end = reader.reached().position
            self.was_killed = reader.end is None
            self.items = [item for item in reader.items() if item.kind is Kind.EVENT]
        self._events: dict[tuple[frozenset[int], tuple[Spec, ...]], tuple[Event, ...]] = {}
        self._retired: list[Retired] | None = None
        self._arrivals: dict[int, Position] = {}
        self.pcs, self.addresses = self._sample(random.Random(seed))

    @property
    def insns(self) -> int:
        return self.end.icount - self.start.icount

    @contextmanager
    def replay(self) -> Iterator[Replay]:
        reader = TraceReader(self.path)
        try:
            yield Replay(reader, devices=self.devices)
        finally:
            reader.close()

    def _sample(self, pick: random.Random) -> tuple[list[int], list[int]]:
        """Addresses of code and of data that occur on the way."""
        pcs: set[int] = set()
        addresses: set[int] = set()
        with self.replay() as replay:
            board, memory = replay.board, replay.board.machine.memory
            for icount in sorted(pick.randint(self.start.icount, self.end.icount) for _ in range(_SAMPLES)):
                replay.play(icount=icount)
                for hart in board.harts:
                    pcs.add(hart.pc)
                    values = [int(value) for value in hart.env.x]
                    addresses.update(v for v in values if memory.ram_base <= v < memory.ram_base + memory.ram_size - 64)
        return sorted(pcs), sorted(addresses)

    def events(
        self, breakpoints: frozenset[int], watches: tuple[Spec, ...], events_max: int | None = EVENTS_MAX
    ) -> tuple[Event, ...]:  # fmt: skip
        """All stops of a run from start to end, in order.

        Raises:
            TooManyError: there are more than ``events_max``.
        """
        key = breakpoints, watches
        if key not in self._events:
            self._events[key] = tuple(self._find(breakpoints, watches, events_max))
        found = self._events[key]
        if events_max is not None and len(found) > events_max:  # they were asked for before, with another limit
            raise TooManyError
        return found

    def _find(self, breakpoints: frozenset[int], watches: tuple[Spec, ...], events_max: int | None) -> Iterator[Event]:
        with self.replay() as replay:
            arm(replay.board, breakpoints, watches)
            for found in count():
                outcome = replay.run()
                if outcome.reason not in STOPPED:
                    return
                if found == events_max:
                    raise TooManyError
                yield Event(STOPPED[outcome.reason], place_of(replay.board), facts_of(outcome.hits))

    def retired(self) -> list[Retired]:
        """Every instruction, from the start on."""
        if self._retired is None:
            self._retired = list(self._retire_one_by_one())
        return self._retired

    def _retire_one_by_one(self) -> Iterator[Retired]:
        with self.replay() as replay:
            board, switches = replay.board, list[tuple[int, int]]()
            board.machine.on_switch = lambda at, hart: switches.append((at, hart))
            for icount in range(self.start.icount, self.end.icount):
                pc, before = board.hart.pc, [hart.minstret for hart in board.harts]
                switches[:] = [(icount, board.hart.hart_id)]
                replay.play(icount=icount + 1)
                changed = [n for n, hart in enumerate(board.harts) if hart.minstret != before[n]]
                ran = [hart for at, hart in switches if at == icount][-1]
                yield Retired(pc, changed[0] if len(changed) == 1 else ran)  # a reset changes all of them

    def arrival(self, icount: int) -> Position:
        """Where a straight run to an icount is."""
        if icount not in self._arrivals:
            with self.replay() as replay:
                replay.play(icount=icount)
                self._arrivals[icount] = replay.board.position
        return self._arrivals[icount]

    def before_turn(self, position: Position) -> int:
        """The icount of the last arrival before what happens at a position."""
        before = position.icount if self.arrival(position.icount) < position else position.icount - 1
        return max(before, self.start.icount)


def arm(board: Board, breakpoints: frozenset[int], watches: tuple[Spec, ...]) -> None:
    for address in sorted(breakpoints):
        board.breakpoints.add(address)
    for spec in watches:
        board.watches.add(*spec, sees_devices=bool(spec.kind & WatchKind.STORE))
