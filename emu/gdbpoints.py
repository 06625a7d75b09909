"""The breakpoints and watchpoints of one debugger, by the addresses that it knows, on a timeline.

A watchpoint is a range of virtual addresses, and becomes one watch or several of physical ones. It stays with these
when page tables change: a debugger removes its watchpoints at each stop, and inserts them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from minstret.emu.hart.watches import Watch, WatchHit, WatchKind
from minstret.emu.timeline import Timeline

SIZE_MAX = 1 << 24
"""The longest range that may be watched, bytes."""


class PointType(IntEnum):
    """The types of the protocol, by their numbers there."""

    SOFTWARE_BREAKPOINT = 0
    HARDWARE_BREAKPOINT = 1
    WRITE_WATCHPOINT = 2
    READ_WATCHPOINT = 3
    ACCESS_WATCHPOINT = 4

    @property
    def is_watchpoint(self) -> bool:
        return self in _KINDS

    @property
    def reason(self) -> str:
        """What a stop for such a point is called in the protocol."""
        return _REASONS[self]


_KINDS = {
    PointType.WRITE_WATCHPOINT: WatchKind.STORE,
    PointType.READ_WATCHPOINT: WatchKind.LOAD,
    PointType.ACCESS_WATCHPOINT: WatchKind.ACCESS,
}
_REASONS = ("swbreak", "hwbreak", "watch", "rwatch", "awatch")


class Point(NamedTuple):
    """A breakpoint or a watchpoint: its virtual address, and how many bytes are watched."""

    type: PointType
    address: int
    size: int = 0


class Piece(NamedTuple):
    """Part of a range of virtual addresses: where it is in physical memory, and its size in bytes."""

    address: int
    physical: int
    size: int


class _Place(NamedTuple):
    """Which part of a watchpoint a watch is."""

    point: Point
    address: int


class Points:
    """What one debugger has set. A point is there once, however often it was inserted."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._breakpoints: dict[int, set[PointType]] = {}
        self._watches: dict[Point, list[Watch]] = {}
        self._places: dict[Watch, _Place] = {}

    def __contains__(self, point: Point) -> bool:
        return point in self._watches or point.type in self._breakpoints.get(point.address, ())

    def add_breakpoint(self, point: Point) -> None:
        """Stop before an instruction.

        Raises:
            ValueError: no instruction can be there.
        """
        if point.address not in self._breakpoints:
            self._timeline.add_breakpoint(point.address)
        self._breakpoints.setdefault(point.address, set()).add(point.type)

    def add_watchpoint(self, point: Point, pieces: Iterable[Piece]) -> None:
        """Stop for accesses to a range that is where ``pieces`` say.

        Raises:
            ValueError: it can't be watched, and is not; the text says why.
        """
        if point in self._watches:
            return
        if not 0 < point.size <= SIZE_MAX:
            raise ValueError(f"{point.size} bytes can't be watched, but 1 to {SIZE_MAX}")
        runs = _joined(pieces)
        size = sum(run.size for run in runs)
        if size < point.size:
            raise ValueError(f"nothing is mapped at {point.address + size:#x}")
        self._watches[point] = []
        kind = _KINDS[point.type]
        try:
            for run in runs:
                watch = self._timeline.add_watch(
                    kind, run.physical, run.size, sees_devices=bool(kind & WatchKind.STORE)
                )  # fmt: skip
                self._watches[point].append(watch)
                self._places[watch] = _Place(point, run.address)
        except ValueError:
            self.remove(point)
            raise

    def remove(self, point: Point) -> None:
        """Stop there no more; it need not be there."""
        for watch in self._watches.pop(point, ()):
            del self._places[watch]
            self._timeline.remove_watch(watch)
        types = self._breakpoints.get(point.address, set())
        if point.type in types:
            types.remove(point.type)
            if not types:
                del self._breakpoints[point.address]
                self._timeline.remove_breakpoint(point.address)

    def clear(self) -> None:
        """Remove all."""
        for point in [*self._watches, *(Point(kind, at) for at, kinds in self._breakpoints.items() for kind in kinds)]:
            self.remove(point)

    def breakpoint_type(self, address: int) -> PointType | None:
        """The type of the breakpoint there; of two types the first."""
        return min(self._breakpoints.get(address, ()), default=None)

    def hit(self, hits: Sequence[WatchHit]) -> list[tuple[Point, int]]:
        """The watchpoints whose ranges were accessed, and where each: by the addresses that the debugger knows."""
        found = []
        for hit in hits:
            place = self._places.get(hit.watch)
            if place is not None:
                found.append((place.point, place.address + max(0, hit.address - hit.watch.address)))
        return found


def _joined(pieces: Iterable[Piece]) -> list[Piece]:
    """The same range in as few pieces as can be: those that follow one another in physical memory too are one."""
    runs: list[Piece] = []
    for piece in pieces:
        if runs and runs[-1].physical + runs[-1].size == piece.physical:
            runs[-1] = runs[-1]._replace(size=runs[-1].size + piece.size)
        else:
            runs.append(piece)
    return runs
