"""What page tables map: the leaves of Sv32 and Sv39 as ranges, for people who look at them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from minstret.emu.hart.mmu import Mmu
from minstret.emu.hart.shared import PAGE_BITS, PAGE_SIZE, Prot
from minstret.emu.hart.spec import PRIV_S, PTE_A, PTE_D, PTE_G, PTE_R, PTE_U, PTE_V, PTE_W, PTE_X

_TABLES_MAX = 4096
"""Tables that are looked at: a table may be in itself, and then there is no end of them."""
_LEAF = PTE_R | PTE_X
_FLAGS = ((PTE_R, "r"), (PTE_W, "w"), (PTE_X, "x"), (PTE_U, "u"), (PTE_G, "g"), (PTE_A, "a"), (PTE_D, "d"))


class Mapping(NamedTuple):
    """Virtual addresses from ``va`` on that lead to physical ones from ``pa`` on; ``size`` is in bytes.

    ``flags`` are those of the entries: ``rwxugad``, with ``-`` for each that is not set.
    """

    va: int
    pa: int
    size: int
    flags: str


class Mapped(NamedTuple):
    """What a hart's satp maps; without ``is_whole`` there is more."""

    ranges: list[Mapping]
    is_whole: bool


def mapped(mmu: Mmu, ranges_max: int) -> Mapped:
    """The ranges that satp maps, in the order of their addresses as unsigned numbers; none where it is Bare.

    What PMP and the privilege allow of it is left aside; but a table that PMP keeps from the hart is not there.
    """
    walk, ranges = _Walk(mmu), list[Mapping]()
    for leaf in walk.leaves():
        last = ranges[-1] if ranges else None
        if last is not None and _follows(last, leaf):
            ranges[-1] = last._replace(size=last.size + leaf.size)
        elif len(ranges) == ranges_max:
            return Mapped(ranges, is_whole=False)
        else:
            ranges.append(leaf)
    return Mapped(ranges, walk.is_whole)


def _follows(last: Mapping, leaf: Mapping) -> bool:
    return (last.va + last.size, last.pa + last.size, last.flags) == (leaf.va, leaf.pa, leaf.flags)


class _Walk:
    """One walk over all tables."""

    def __init__(self, mmu: Mmu) -> None:
        self._mmu = mmu
        self._is_rv64 = mmu.s.xlen_bytes == 8
        self._index_bits, self._entry_bytes = (9, 8) if self._is_rv64 else (10, 4)
        self._tables_left = _TABLES_MAX
        self.is_whole = True

    def leaves(self) -> Iterator[Mapping]:
        satp = int(self._mmu.env.satp)
        if (satp >> 60 if self._is_rv64 else satp >> 31) == 0:
            return
        root, level = (satp & (1 << 44) - 1, 2) if self._is_rv64 else (satp & (1 << 22) - 1, 1)
        for leaf in self._leaves_of(root << PAGE_BITS, level, 0):
            is_high = self._is_rv64 and leaf.va >> 38 == 1  # bit 38 goes on in all bits above
            yield leaf._replace(va=leaf.va | ((1 << 25) - 1) << 39) if is_high else leaf

    def _leaves_of(self, table: int, level: int, va_of_table: int) -> Iterator[Mapping]:
        """Those below ``table``, whose entries are of this level."""
        if not self._tables_left:
            self.is_whole = False
            return
        self._tables_left -= 1
        size = PAGE_SIZE << self._index_bits * level
        for index, entry in enumerate(self._entries(table)):
            if not entry & PTE_V or entry & (PTE_R | PTE_W) == PTE_W or (self._is_rv64 and entry >> 54):
                continue
            ppn, va = entry >> 10 & (1 << 44) - 1, va_of_table + index * size
            if entry & _LEAF:
                if not ppn << PAGE_BITS & size - 1:
                    flags = "".join(letter if entry & bit else "-" for bit, letter in _FLAGS)
                    yield Mapping(va, ppn << PAGE_BITS, size, flags)
            elif level and not entry & (PTE_U | PTE_A | PTE_D):
                yield from self._leaves_of(ppn << PAGE_BITS, level - 1, va)

    def _entries(self, table: int) -> Iterator[int]:
        """The entries of a table; 0 for those that the hart can't read, and nothing where it is not in RAM."""
        mmu, size = self._mmu, self._entry_bytes
        offset = table - mmu.s.ram_base
        if not 0 <= offset <= mmu.s.ram_size - PAGE_SIZE:
            return
        content = bytes(mmu.memory.ram[offset : offset + PAGE_SIZE])
        rights = mmu.pmp_allows(table, PAGE_SIZE, PRIV_S)
        is_mixed = rights == Prot.MIXED
        for at in range(0, PAGE_SIZE, size):
            allowed = mmu.pmp_allows(table + at, size, PRIV_S) if is_mixed else rights
            yield int.from_bytes(content[at : at + size], "little") if allowed & Prot.R else 0
