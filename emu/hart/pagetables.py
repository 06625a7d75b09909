"""Page tables as satp names them: how many levels there are, which addresses, and what an entry means.

For the walk (mmu.py), for who lists what is mapped (mappings.py), and for satp itself (csr.py). ``translate`` in
_callbacks.c has the same.

Source: The RISC-V Instruction Set Manual, Volume II, "Sv32" to "Sv57", "Svnapot", "Svpbmt", "Svadu".
"""

from __future__ import annotations

from enum import Enum, auto
from functools import lru_cache
from typing import NamedTuple

from minstret.emu.hart.cpu import Feature
from minstret.emu.hart.shared import PAGE_BITS
from minstret.emu.hart.spec import (
    MENVCFG_ADUE,
    MENVCFG_PBMTE,
    PTE_A,
    PTE_D,
    PTE_N,
    PTE_PBMT,
    PTE_R,
    PTE_U,
    PTE_V,
    PTE_W,
    PTE_X,
    SATP_MODE_SHIFT,
    SATP_SV39,
    SATP_SV48,
    SATP_SV57,
)

SATP_MODES = {0: "Bare", SATP_SV39: "Sv39", SATP_SV48: "Sv48", SATP_SV57: "Sv57", 11: "Sv64"}
"""Names of the modes of satp on rv64."""
_LEVELS = {SATP_SV48: 4, SATP_SV57: 5}
_PPN_MASK = (1 << 44) - 1
_RESERVED = (1 << 64) - (1 << 54)
_NAPOT_PAGES, _NAPOT_PPN = 16, 8


def satp_modes(features: int) -> tuple[int, ...]:
    """The modes that satp of an rv64 hart with these features can have."""
    more = (SATP_SV48, Feature.SV48), (SATP_SV57, Feature.SV57)
    return 0, SATP_SV39, *(mode for mode, feature in more if feature & features)


class PageTables(NamedTuple):
    """Page tables. ``root`` is the physical address of the first one, level 0 that of the last ones."""

    name: str
    root: int
    levels: int
    index_bits: int
    entry_bytes: int

    @property
    def va_bits(self) -> int:
        """How many bits of a virtual address are translated."""
        return PAGE_BITS + self.index_bits * self.levels

    def address(self, va: int) -> int:
        """The address whose translated bits are those of ``va``: on rv64 the last one goes on in all above."""
        va &= (1 << self.va_bits) - 1
        is_high = self.entry_bytes == 8 and va >> self.va_bits - 1
        return va | (1 << 64) - (1 << self.va_bits) if is_high else va

    def index_of(self, va: int, level: int) -> int:
        """Which entry of a table of that level ``va`` leads to."""
        return va >> PAGE_BITS + self.index_bits * level & (1 << self.index_bits) - 1

    def span_pages(self, level: int) -> int:
        """How many pages a leaf of that level maps."""
        return 1 << self.index_bits * level


def tables_of(satp: int, xlen: int) -> PageTables | None:
    """What satp names; None where it is Bare."""
    if xlen == 32:
        return PageTables("Sv32", (satp & (1 << 22) - 1) << PAGE_BITS, 2, 10, 4) if satp >> 31 else None
    mode = satp >> SATP_MODE_SHIFT
    if mode == 0:
        return None
    return PageTables(SATP_MODES.get(mode, ""), (satp & _PPN_MASK) << PAGE_BITS, _LEVELS.get(mode, 3), 9, 8)


class Kind(Enum):
    """What a page table entry is to the walk."""

    FAULT = auto()
    POINTER = auto()
    LEAF = auto()


def kind_of(entry: int, level: int, tables: PageTables, features: int, menvcfg: int = 0) -> Kind:
    """What an entry of a table of that level is, whatever its rights."""
    reserved = _reserved(tables.entry_bytes, features, menvcfg)
    if not entry & PTE_V or entry & (PTE_R | PTE_W) == PTE_W or entry & reserved:
        return Kind.FAULT
    if entry & PTE_PBMT == PTE_PBMT:
        return Kind.FAULT
    if not entry & (PTE_R | PTE_X):
        return Kind.FAULT if level == 0 or entry & (PTE_U | PTE_A | PTE_D | PTE_N | PTE_PBMT) else Kind.POINTER
    if entry & PTE_N:
        return Kind.LEAF if level == 0 and ppn_of(entry) % _NAPOT_PAGES == _NAPOT_PPN else Kind.FAULT
    return Kind.FAULT if ppn_of(entry) & tables.span_pages(level) - 1 else Kind.LEAF


@lru_cache(maxsize=64)
def _reserved(entry_bytes: int, features: int, menvcfg: int) -> int:
    """The bits of an entry that must be 0."""
    if entry_bytes == 4:
        return 0
    bits = _RESERVED
    if features & Feature.SVNAPOT:
        bits &= ~PTE_N
    if features & Feature.SVPBMT and menvcfg & MENVCFG_PBMTE:
        bits &= ~PTE_PBMT
    return bits


def sets_accessed_and_dirty(features: int, menvcfg: int) -> bool:
    """Whether the walk sets A and D itself; else it faults where they are missing."""
    return not features & Feature.SVADU or bool(menvcfg & MENVCFG_ADUE)


def ppn_of(entry: int) -> int:
    """The page number that an entry has."""
    return entry >> 10 & _PPN_MASK


def leaf_ppn(entry: int, level: int, tables: PageTables, va: int) -> int:
    """The page that a leaf leads to from ``va``."""
    ppn, pages = ppn_of(entry), tables.span_pages(level)
    if entry & PTE_N:
        ppn, pages = ppn - _NAPOT_PPN, _NAPOT_PAGES
    return ppn | va >> PAGE_BITS & pages - 1
