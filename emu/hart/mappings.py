"""What page tables map: their leaves as ranges, for people who look at them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from minstret.emu.hart.mmu import Mmu
from minstret.emu.hart.pagetables import Kind, PageTables, kind_of, leaf_ppn, ppn_of, tables_of
from minstret.emu.hart.shared import PAGE_BITS, PAGE_SIZE, Prot
from minstret.emu.hart.spec import PRIV_S, PTE_A, PTE_D, PTE_G, PTE_R, PTE_U, PTE_W, PTE_X

_TABLES_MAX = 4096
"""Tables that are looked at: a table may be in itself, and then there is no end of them."""
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
        self._tables = tables_of(int(mmu.env.satp), 8 * mmu.s.xlen_bytes)
        self._tables_left = _TABLES_MAX
        self.is_whole = True

    def leaves(self) -> Iterator[Mapping]:
        tables = self._tables
        if tables is not None:
            for leaf in self._leaves_of(tables, tables.root, tables.levels - 1, 0):
                yield leaf._replace(va=tables.address(leaf.va))

    def _leaves_of(self, tables: PageTables, table: int, level: int, va_of_table: int) -> Iterator[Mapping]:
        """Those below ``table``, whose entries are of this level."""
        if not self._tables_left:
            self.is_whole = False
            return
        self._tables_left -= 1
        size = PAGE_SIZE * tables.span_pages(level)
        for index, entry in enumerate(self._entries(table, tables.entry_bytes)):
            kind, va = self._kind_of(entry, level, tables), va_of_table + index * size
            if kind is Kind.LEAF:
                flags = "".join(letter if entry & bit else "-" for bit, letter in _FLAGS)
                yield Mapping(va, leaf_ppn(entry, level, tables, va) << PAGE_BITS, size, flags)
            elif kind is Kind.POINTER:
                yield from self._leaves_of(tables, ppn_of(entry) << PAGE_BITS, level - 1, va)

    def _kind_of(self, entry: int, level: int, tables: PageTables) -> Kind:
        return kind_of(entry, level, tables, self._mmu.s.features, self._mmu.s.menvcfg)

    def _entries(self, table: int, size: int) -> Iterator[int]:
        """The entries of a table; 0 for those that the hart can't read, and nothing where it is not in RAM."""
        mmu = self._mmu
        offset = table - mmu.s.ram_base
        if not 0 <= offset <= mmu.s.ram_size - PAGE_SIZE:
            return
        content = bytes(mmu.memory.ram[offset : offset + PAGE_SIZE])
        rights = mmu.pmp_allows(table, PAGE_SIZE, PRIV_S)
        is_mixed = rights == Prot.MIXED
        for at in range(0, PAGE_SIZE, size):
            allowed = mmu.pmp_allows(table + at, size, PRIV_S) if is_mixed else rights
            yield int.from_bytes(content[at : at + size], "little") if allowed & Prot.R else 0
