"""The MMU: the walk of page tables with their A and D bits, PMP, MPRV, SUM and MXR.

The same as ``translate``, ``pmp_allows`` and ``fetch`` in _callbacks.c. The hart and debuggers use it however
instructions are counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from minstret.emu.hart.memory import GuestMemory, PageNotes
from minstret.emu.hart.pagetables import Kind, kind_of, leaf_ppn, ppn_of, sets_accessed_and_dirty, tables_of
from minstret.emu.hart.shared import (
    NOWHERE,
    PAGE_BITS,
    PAGE_SIZE,
    Access,
    Fault,
    PageFlag,
    Prot,
    Shared,
)
from minstret.emu.hart.spec import (
    MSTATUS_MPP_SHIFT,
    MSTATUS_MPRV,
    MSTATUS_MXR,
    MSTATUS_SUM,
    PMP_LOCKED,
    PRIV_M,
    PRIV_S,
    PRIV_U,
    PTE_A,
    PTE_D,
    PTE_R,
    PTE_U,
    PTE_W,
    PTE_X,
)

_ALL = int(Prot.R | Prot.W | Prot.X)
_R, _W, _X, _MIXED = int(Prot.R), int(Prot.W), int(Prot.X), int(Prot.MIXED)
_CODE, _TABLE, _DIRTY = int(PageFlag.CODE), int(PageFlag.TABLE), int(PageFlag.DIRTY)


class Translation(NamedTuple):
    """Where a virtual address leads: ``perms`` are the page's, from the tables alone."""

    pa: int
    perms: int
    fault: Fault


_PAGE_FAULT = Translation(0, 0, Fault.PAGE)
_ACCESS_FAULT = Translation(0, 0, Fault.ACCESS)


def crosses_page(va: int, insn: int) -> bool:
    """Whether the second half of the instruction at ``va`` is in the next page."""
    return insn & 3 == 3 and va % PAGE_SIZE == PAGE_SIZE - 2


class Mmu:
    """Address translation and PMP over the shared state; used by the callbacks and by the hart itself."""

    def __init__(
        self, shared: Shared, env: Any, memory: GuestMemory, notes: PageNotes, flush_tlb: Callable[[], None]
    ) -> None:
        self.s = shared
        self.env = env
        self.memory = memory
        self.notes = notes
        self.flush_tlb = flush_tlb

    def pmp_allows(self, low: int, size: int, mode: int) -> int:
        """What PMP allows in ``[low, low + size)`` from ``mode``.

        Prot.MIXED when an entry matches part of it, which fails an access whatever the entry permits, in M-mode
        too.

        Source: The RISC-V Instruction Set Manual, Volume II, "Physical Memory Protection".
        """
        s = self.s
        for i in range(s.pmp_count):
            if low + size <= s.pmp_low[i] or low >= s.pmp_high[i]:
                continue
            if low < s.pmp_low[i] or low + size > s.pmp_high[i]:
                return _MIXED
            if mode == PRIV_M and not s.pmp_cfg[i] & PMP_LOCKED:
                return _ALL
            return int(s.pmp_cfg[i] & 7)
        return _ALL if mode == PRIV_M else 0

    def translate(self, va: int, access: int, mode: int, quiet: bool, ignore_accessed: bool = False) -> Translation:
        """Walk the tables for ``va``. With ``quiet`` nothing changes, neither memory nor page flags.

        Args:
            va: Virtual address; what is beyond the last one wraps.
            access: An Access.
            mode: Effective privilege.
            quiet: Change nothing, and fail where something would have to change.
            ignore_accessed: With ``quiet``, translate although the A bit is clear (for debuggers).
        Source: the same volume, "Virtual Address Translation Process".
        """
        s, env, memory = self.s, self.env, self.memory
        mstatus, xlen = env.mstatus, 8 * s.xlen_bytes
        va &= (1 << xlen) - 1
        tables = None if mode == PRIV_M else tables_of(env.satp, xlen)
        if tables is None:
            return Translation(va, _ALL, Fault.NONE)

        size, table = tables.entry_bytes, tables.root
        if va != tables.address(va):
            return _PAGE_FAULT
        for level in reversed(range(tables.levels)):
            pte_pa = table + tables.index_of(va, level) * size
            offset = pte_pa - s.ram_base
            if not 0 <= offset < s.ram_size:
                return _ACCESS_FAULT
            allowed = self.pmp_allows(pte_pa, size, PRIV_S)
            if not allowed & _R:
                return _ACCESS_FAULT
            page = offset >> PAGE_BITS
            if not quiet:
                s.new_entry = NOWHERE
                self.notes.write_count[page] = 0
                self.mark_page(page, _TABLE)
            pte = int.from_bytes(memory.ram[offset : offset + size], "little")
            kind = kind_of(pte, level, tables, s.features, s.menvcfg)
            if kind is Kind.FAULT:
                return _PAGE_FAULT
            if kind is Kind.POINTER:
                table = ppn_of(pte) << PAGE_BITS
                continue
            user = bool(pte & PTE_U)
            data_ok = (mode == PRIV_U or bool(mstatus & MSTATUS_SUM)) if user else mode == PRIV_S
            fetch_ok = mode == (PRIV_U if user else PRIV_S)
            readable = data_ok and bool(pte & PTE_R or (mstatus & MSTATUS_MXR and pte & PTE_X))
            writable = data_ok and bool(pte & PTE_W)
            executable = fetch_ok and bool(pte & PTE_X)
            if not (executable if access == Access.FETCH else writable if access == Access.WRITE else readable):
                return _PAGE_FAULT
            marked = pte | PTE_A | (PTE_D if access == Access.WRITE else 0)
            if marked != pte and not quiet:
                if not sets_accessed_and_dirty(s.features, s.menvcfg):
                    return _PAGE_FAULT
                if not allowed & _W:
                    return _ACCESS_FAULT
                self._before_marking(offset, access)
                memory.ram[offset : offset + size] = marked.to_bytes(size, "little")
                memory.page_flags[page] |= _DIRTY
                pte = marked
            if quiet and not pte & PTE_A and not ignore_accessed:
                return _PAGE_FAULT
            pa = leaf_ppn(pte, level, tables, va) << PAGE_BITS | va & PAGE_SIZE - 1
            perms = (_R if readable else 0) | (_W if writable and pte & PTE_D else 0) | (_X if executable else 0)
            return Translation(pa, perms, Fault.NONE)
        raise AssertionError("the last level has no pointers")

    def _before_marking(self, offset: int, access: int) -> None:
        """The walk is about to set A or D in the entry at ``offset``: is it code as well?"""
        if not self.memory.page_flags[offset >> PAGE_BITS] & _CODE or not self.memory.holds_code(offset, 1):
            return
        if access != Access.FETCH:
            self.note_instruction_under_way()
        self.s.must_forget_blocks = self.s.resync = 1
        self.s.fast_limit = 0
        self.s.all_code_is_stale()

    def data_mode(self) -> int:
        """The privilege that loads and stores have now: MPRV lets M-mode borrow another's."""
        mode = int(self.env.priv)
        if mode == PRIV_M and self.env.mstatus & MSTATUS_MPRV:
            return int(self.env.mstatus >> MSTATUS_MPP_SHIFT & 3)
        return mode

    def fetch(self, va: int, priv: int | None = None, *, ignore_accessed: bool = False) -> int | None:
        """The instruction at ``va`` (16 or 32 bits), or None where it can't plainly be fetched; in the hart's mode, or
        in that of ``priv``. ``ignore_accessed``: also where the A bit of its page is clear.
        """
        mode = int(self.env.priv) if priv is None else priv
        low = self._fetch_parcel(va, mode, ignore_accessed)
        if low is None or low & 3 != 3:
            return low
        high = self._fetch_parcel(va + 2, mode, ignore_accessed)  # perhaps at 0
        return None if high is None else low | high << 16

    def note_instruction_under_way(self) -> None:
        """A piece of a store is about to overwrite code or a page table entry: perhaps the very instruction, or what
        maps it, and another piece may fault.
        """
        s, pc, icount = self.s, int(self.env.pc), int(self.s.icount)
        if s.rewritten_pc != pc or s.rewritten_icount != icount:
            s.rewritten_insn, s.rewritten_pc, s.rewritten_icount = self.fetch(pc) or 0, pc, icount

    def in_mixed_page(self, va: int, insn: int) -> bool:
        """Whether PMP rights to execute differ within a page that the instruction at ``va`` is in."""
        return self.is_mixed_page(va) or (crosses_page(va, insn) and self.is_mixed_page(va + 2))

    def is_mixed_page(self, va: int) -> bool:
        """Whether PMP rights to execute differ within the page of ``va``."""
        if not self._has_rights_within_pages():
            return False
        mode = int(self.env.priv)
        t = self.translate(va, Access.FETCH, mode, quiet=True)
        return t.fault == Fault.NONE and self.pmp_allows(t.pa & ~(PAGE_SIZE - 1), PAGE_SIZE, mode) == _MIXED

    def _has_rights_within_pages(self) -> bool:
        """Whether an entry of PMP begins or ends within a page: only there rights differ within it."""
        s = self.s
        return any((s.pmp_low[i] | s.pmp_high[i]) & PAGE_SIZE - 1 for i in range(s.pmp_count))

    def parcel_offset(self, va: int) -> int | None:
        """Where in RAM the parcel at ``va`` is, or None (ROM, device, nothing)."""
        t = self.translate(va, Access.FETCH, int(self.env.priv), quiet=True)
        offset = t.pa - self.s.ram_base
        return offset if t.fault == Fault.NONE and 0 <= offset < self.s.ram_size else None

    def _fetch_parcel(self, va: int, mode: int, ignore_accessed: bool) -> int | None:
        t = self.translate(va, Access.FETCH, mode, quiet=True, ignore_accessed=ignore_accessed)
        if t.fault != Fault.NONE:
            return None
        data = self.memory.peek(t.pa, 2)
        return None if data is None else int.from_bytes(data, "little")

    def mark_page(self, page: int, flag: int) -> None:
        """Note that a page holds code or tables: from now on stores to it are watched."""
        if self.memory.page_flags[page] & flag:
            return
        self.memory.page_flags[page] |= flag
        self.s.stale_tlbs += 1
        if self.notes.write_generation[page] == self.s.generation & 0xFFFFFFFF:
            self.flush_tlb()
