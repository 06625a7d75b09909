"""Registers at some events: of each lane the last ones, and of each place what has changed since the one before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from minstret.emu.hart.hart import Hart
from minstret.emu.hart.spec import ABI_NAMES

PLACES_MAX = 2000
NAMES = ("pc", *ABI_NAMES[1:])


class HartState(NamedTuple):
    """Where a hart is, and its integer registers as they are in memory: little-endian, 8 bytes each."""

    pc: int
    x: bytes

    @classmethod
    def of(cls, hart: Hart) -> HartState:
        """That of a hart between two instructions, or within an access of one."""
        return cls(hart.pc, bytes(hart.env.x))

    def values(self) -> list[int]:
        """By the names in NAMES."""
        size = len(self.x) // 32
        registers = [int.from_bytes(self.x[at : at + size], "little") for at in range(size, 32 * size, size)]
        return [self.pc, *registers]


def chosen(lanes: Iterable[Sequence[tuple[int, HartState | None]]], limit: int = PLACES_MAX) -> dict[int, HartState]:
    """The states to keep, by serial number and in its order: of each lane the last ones, as many of one as of another.

    Args:
        lanes: Of each, its events: serial number, and the state there.
        limit: How many to keep.
    """
    ranked = [
        (rank, -serial, state)
        for lane in lanes
        for rank, (serial, state) in enumerate((serial, state) for serial, state in reversed(lane) if state is not None)
    ]
    ranked.sort(key=lambda one: one[:2])
    return dict(sorted((-serial, state) for _, serial, state in ranked[:limit]))


def packed(states: Iterable[HartState]) -> dict[str, Any]:
    """Them for the page: the names, and of each place the indexes and hexadecimal values of what has changed."""
    rows, before = [], [0] * len(NAMES)
    for state in states:
        values, row = state.values(), list[int | str]()
        for at, (old, new) in enumerate(zip(before, values, strict=True)):
            if old != new:
                row += [at, f"{new:x}"]
        rows.append(row)
        before = values
    return {"names": list(NAMES) if rows else [], "rows": rows}
