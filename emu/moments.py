"""Moments of a run that are kept in memory, to go back to: many near the present, few far from it.

Owns which ones are kept. What they take is bounded: pages that two of them share count once.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from minstret.emu.hart.shared import PAGE_SIZE
from minstret.emu.session import Saved

STATE_BYTES = 24 << 10
"""What a moment takes without its pages: registers, devices, and the lists of what is shared."""
_KEPT = 3, 4
"""Thinning out goes on down to this part of the limit, so that it is not done each time."""
_FRACTION_BITS = 20


class Moments:
    """First arrivals at instruction counts, in their order. The first one is kept always."""

    def __init__(self, limit_bytes: int) -> None:
        """Keep as many as take about ``limit_bytes``, but at least two."""
        self._limit = limit_bytes
        self._icounts: list[int] = []
        self._moments: list[Saved] = []
        self._costs: list[int] = []
        self.size_bytes = 0
        """About what they take."""

    def __len__(self) -> int:
        return len(self._moments)

    def __iter__(self) -> Iterator[Saved]:
        return iter(self._moments)

    def add(self, moment: Saved) -> None:
        """Keep one more; it counts as the present, near which many are kept. One of the same icount stays instead."""
        icount = moment.position.icount
        at = bisect_left(self._icounts, icount)
        if at < len(self._icounts) and self._icounts[at] == icount:
            return
        self._icounts.insert(at, icount)
        self._moments.insert(at, moment)
        self._costs.insert(at, 0)
        self._count(at)
        self._count(at + 1)
        if self.size_bytes > self._limit:
            self._thin_out(icount)

    def at_or_before(self, icount: int) -> Saved | None:
        """The last one up to an icount."""
        at = bisect_right(self._icounts, icount)
        return self._moments[at - 1] if at else None

    def _count(self, at: int) -> None:
        """Count anew what one takes that the one before it does not."""
        if not at < len(self._moments):
            return
        pages = sum(1 for _ in self._moments[at].pages.differing(self._moments[at - 1].pages)) if at else 0
        cost = STATE_BYTES + pages * PAGE_SIZE
        self.size_bytes += cost - self._costs[at]
        self._costs[at] = cost

    def _thin_out(self, present: int) -> None:
        """Let go of those whose gap would be small, measured by how far they are from the present."""
        wanted = self._limit // _KEPT[1] * _KEPT[0]
        while len(self._moments) > 2 and self.size_bytes > wanted:
            worth = [self._worth(at, present) for at in range(len(self._moments))]
            gone: set[int] = set()
            for at in sorted(range(1, len(worth)), key=worth.__getitem__):
                if at - 1 not in gone and at + 1 not in gone:  # the worth of these is another now
                    gone.add(at)
                    self.size_bytes -= self._costs[at]
                    if self.size_bytes <= wanted:
                        break
            kept = [at for at in range(len(worth)) if at not in gone]
            self._icounts = [self._icounts[at] for at in kept]
            self._moments = [self._moments[at] for at in kept]
            self._costs = [self._costs[at] for at in kept]
            for at, was in enumerate(kept):
                if was - 1 in gone:
                    self._count(at)

    def _worth(self, at: int, present: int) -> int:
        """How much farther than now one would run for want of this one, by the distance to the present."""
        icount = self._icounts[at]
        following = self._icounts[at + 1] if at + 1 < len(self._icounts) else max(present, icount) + 1
        return (following - self._icounts[at - 1] << _FRACTION_BITS) // (abs(present - icount) + 1)
