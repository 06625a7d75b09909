"""Guards on the bytes that differ: a run stops once it has read one, and tells where one may have been executed.

The two runs are the same up to there, so it is enough that one of them has guards. Nothing of this is visible to it.
"""

from __future__ import annotations

from minstret.emu.hart.shared import PAGE_BITS, PAGE_SIZE
from minstret.emu.hart.watches import Watch, WatchKind
from minstret.emu.machine import Machine
from minstret.emu.questions.diffing.differing import Range

_RANGES_MAX = 256
_NEAR = 64
"""Watched ranges are looked through one by one, so of more than that those are joined that are so near, bytes."""


class Guards:
    """What guards ranges of one machine's RAM."""

    def __init__(self, machine: Machine) -> None:
        self._machine, self._memory = machine, machine.memory
        self._ranges: list[Range] = []
        self._watches: list[Watch] = []
        self._exact_pages: set[int] = set()

    def put_on(self, ranges: list[Range]) -> None:
        """Guard these ranges, and no others."""
        if ranges != self._ranges:
            self.take_off()
            self._ranges = ranges
            watched = ranges if len(ranges) <= _RANGES_MAX else self._joined(ranges)
            add = self._machine.watches.add
            self._watches = [add(WatchKind.LOAD, each.address, each.size) for each in watched]
        self._forget_code()

    def take_off(self) -> None:
        """Guard nothing."""
        for watch in self._watches:
            self._machine.watches.remove(watch)
        self._ranges, self._watches = [], []

    def _forget_code(self) -> None:
        """Drop what was translated from the ranges, so that ``has_new_code`` tells what will be."""
        memory = self._memory
        for address, size in self._ranges:
            offset = address - memory.ram_base
            if memory.holds_code(offset, size):
                for at in range(offset, offset + size, PAGE_SIZE):
                    length = min(PAGE_SIZE, offset + size - at)
                    memory.write(memory.ram_base + at, memory.ram[at : at + length].tobytes())
                memory.mark_code(offset, size, is_code=False)

    def has_new_code(self) -> bool:
        """Whether anything in the ranges was translated, which happens just before it is executed."""
        base = self._memory.ram_base
        return any(self._memory.holds_code(address - base, size) for address, size in self._ranges)

    def be_exact(self, address: int) -> None:
        """Something near ``address`` was read that does not differ: watch no more there than what does."""
        self._exact_pages.add(address >> PAGE_BITS)
        self.take_off()

    def _joined(self, ranges: list[Range]) -> list[Range]:
        found: list[Range] = []
        for each in ranges:
            is_near = bool(found) and each.address - sum(found[-1]) < _NEAR
            if is_near and self._exact_pages.isdisjoint((each.address >> PAGE_BITS, found[-1].address >> PAGE_BITS)):
                found[-1] = Range(found[-1].address, each.address + each.size - found[-1].address)
            else:
                found.append(each)
        return found
