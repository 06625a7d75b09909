"""The hart's callbacks in Python: the same as ``_callbacks.c``, for hosts without a C compiler.

Function by function they do what the C file does, with the same results; tests compare whole runs. What is in C for
speed alone (reads of counters, accesses to satp) is left to csr.py and the CLINT here. They are hundreds of times
slower, so they serve small firmware, and as a readable description of the C file.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minstret.emu.hart.mmu import Mmu, Translation, crosses_page
from minstret.emu.hart.shared import (
    DEMOTE_AFTER_WRITES,
    NOWHERE,
    PAGE_BITS,
    PAGE_SIZE,
    SPECIAL_MASK,
    WORK_OF_INVALIDATION,
    Access,
    Fault,
    PageFlag,
    Prot,
    Stop,
)
from minstret.emu.hart.spec import (
    MSTATUS_MPRV,
    PTE_V,
)
from minstret.emu.hart.special import is_ours_now, is_special
from minstret.emu.hart.traps import interrupt_is_takeable

_WATCHED = PageFlag.CODE | PageFlag.TABLE
_R, _W, _X, _MIXED = int(Prot.R), int(Prot.W), int(Prot.X), int(Prot.MIXED)
_CODE, _TABLE, _SLOW, _DIRTY = int(PageFlag.CODE), int(PageFlag.TABLE), int(PageFlag.SLOW), int(PageFlag.DIRTY)


class UcTb(ctypes.Structure):
    """Unicorn's ``uc_tb``: a translated block."""

    _fields_ = (("pc", ctypes.c_uint64), ("icount", ctypes.c_uint16), ("size", ctypes.c_uint16))


class UcTlbEntry(ctypes.Structure):
    """Unicorn's ``uc_tlb_entry``."""

    _fields_ = (("paddr", ctypes.c_uint64), ("perms", ctypes.c_uint32))


_p, _u64, _u32 = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32
ON_INSTRUCTION = ctypes.CFUNCTYPE(None, _p, _u64, _u32, _p)
ON_TLB_FILL = ctypes.CFUNCTYPE(ctypes.c_bool, _p, _u64, ctypes.c_int, ctypes.POINTER(UcTlbEntry), _p)
ON_NEW_BLOCK = ctypes.CFUNCTYPE(None, _p, ctypes.POINTER(UcTb), ctypes.POINTER(UcTb), _p)
ON_MMIO_READ = ctypes.CFUNCTYPE(_u64, _p, _u64, ctypes.c_uint, _p)
ON_MMIO_WRITE = ctypes.CFUNCTYPE(None, _p, _u64, ctypes.c_uint, _u64, _p)


@dataclass(frozen=True, slots=True)
class CallbackSet:
    """Addresses to register with Unicorn, and what has to stay alive while they are."""

    on_instruction: int
    on_tlb_fill: int
    on_new_block: int
    on_watched_write: int
    on_watched_read: int
    on_io_read: int = 0  # 0, here and below: the hart's own handler will do
    on_io_write: int = 0
    on_slow_read: int = 0
    on_slow_write: int = 0
    on_block: int = 0
    on_uncounted_block: int = 0
    on_exception: int = 0
    keep: Any = None


class PythonCallbacks:
    """The callbacks; ``callback_set()`` gives what Unicorn needs."""

    def __init__(
        self,
        mmu: Mmu,
        emu_stop: Callable[[], None],
        code_was_written: Callable[[int, int], None],
        guard: Callable[[Callable[..., Any]], Callable[..., Any]],
    ) -> None:
        self._mmu = mmu
        self._s = mmu.s
        self._env = mmu.env
        self._memory = mmu.memory
        self._notes = mmu.notes
        self._emu_stop = emu_stop
        self._code_was_written = code_was_written
        self._guard = guard

    def callback_set(self) -> CallbackSet:
        guard = self._guard
        keep = (
            ON_INSTRUCTION(guard(self._on_instruction)),
            ON_TLB_FILL(guard(self._on_tlb_fill)),
            ON_NEW_BLOCK(guard(self._on_new_block)),
            ON_MMIO_WRITE(guard(self._on_watched_write)),
            ON_MMIO_READ(guard(self._on_watched_read)),
        )
        instruction, fill, block, write, read = (ctypes.cast(f, ctypes.c_void_p).value or 0 for f in keep)
        return CallbackSet(instruction, fill, block, write, read, keep=keep)

    def _on_instruction(self, uc: int, pc: int, size: int, data: int) -> None:
        s = self._s
        if (
            s.icount < s.fast_limit
            and not self._notes.special_marks[(pc >> 1 & SPECIAL_MASK) >> 3] >> (pc >> 1 & 7) & 1
        ):
            s.icount += 1
            return
        reason = self._stop_reason_at(pc)
        if reason == Stop.NONE:
            s.step_over = NOWHERE
            s.icount += 1
            return
        s.stop_reason = reason
        self._emu_stop()

    def _stop_reason_at(self, pc: int) -> Stop:
        s = self._s
        if s.icount >= s.limit:
            return Stop.LIMIT
        if s.resync:
            return Stop.RESYNC
        if s.mip and interrupt_is_takeable(s.mip, self._env):
            return Stop.INTERRUPT
        if not self._notes.special_marks[(pc >> 1 & SPECIAL_MASK) >> 3] >> (pc >> 1 & 7) & 1:
            return Stop.NONE
        if s.must_break(pc):
            return Stop.BREAKPOINT
        if pc != s.step_over:
            insn = self._mmu.fetch(pc)
            if insn is None or self._is_ours(insn) or self._mmu.in_mixed_page(pc, insn):
                s.special_insn = NOWHERE if insn is None else insn
                return Stop.SPECIAL
        return Stop.NONE

    def _is_ours(self, insn: int) -> bool:
        return is_special(self._env, 8 * self._s.xlen_bytes, insn, self._s.features) and is_ours_now(
            self._env, insn, tells_returns=self._s.tells_returns
        )

    def _fault(self, kind: Fault, va: int, access: int) -> bool:
        s = self._s
        s.fault, s.fault_va, s.fault_type, s.stop_reason = kind, va, access, Stop.FAULT
        return False

    def _on_tlb_fill(self, uc: int, va: int, access: int, entry: Any, data: int) -> bool:
        s, result = self._s, entry.contents
        if s.in_system_view:
            result.paddr, result.perms = va, _R | _X
            return True
        stop = s.stop_reason, s.fault, s.fault_va, s.fault_type
        if s.stop_reason != Stop.NONE and not (s.stop_reason == Stop.EXCEPTION and access == Access.WRITE):
            return False  # Unicorn tidying up after a run: none of the guest's business
        is_there = self._fill_tlb(va, access, result)
        if stop[0] != Stop.NONE:  # the rest of a store of which a device refused a piece
            s.stop_reason, s.fault, s.fault_va, s.fault_type = stop
        if not is_there:
            return False
        if self._env.mstatus & MSTATUS_MPRV or s.trigger_page_count:
            # a fetch and a load may mean different things by one address, or a load may have to be seen
            result.perms &= _X if access == Access.FETCH else _R | _W
        return True

    def _fill_tlb(self, va: int, access: int, result: Any) -> bool:
        s, mmu, memory = self._s, self._mmu, self._memory
        s.fills += 1
        mode = int(self._env.priv) if access == Access.FETCH else mmu.data_mode()
        if s.xlen_bytes == 4:
            va &= 0xFFFFFFFF
        if access == Access.FETCH:
            pc, mask = self._env.pc, (1 << 8 * s.xlen_bytes) - 1
            is_before = va >> PAGE_BITS == (pc - PAGE_SIZE & mask) >> PAGE_BITS
            is_after = va >> PAGE_BITS == (pc + PAGE_SIZE & mask) >> PAGE_BITS
            if is_before or (is_after and not pc & (PAGE_SIZE - 1)):
                # Unicorn takes a block of size 0 (an illegal instruction at the start of a page) to end on the page
                # before (at address 0 that is the last one), and asks for that when it makes the block, and for the
                # page behind when it looks for it: none of the guest's business. No block is as long as a page.
                s.has_bogus_entry = 1
                result.paddr, result.perms = s.ram_base, _X
                return True
            if (
                va >> PAGE_BITS != pc >> PAGE_BITS
                and pc & (PAGE_SIZE - 1) != PAGE_SIZE - 2
                and not self._is_fetchable(va, mode)
            ):
                return self._fault(Fault.CROSSING, va, access)
        elif s.trigger_page_count and self._may_fire(va):
            return self._fault(Fault.TRIGGER, va, access)
        t = mmu.translate(va, access, mode, quiet=False)
        if t.fault != Fault.NONE:
            return self._fault(t.fault, va, access)

        allowed = mmu.pmp_allows(t.pa, PAGE_SIZE, mode)
        wanted = {Access.FETCH: _X, Access.WRITE: _W}.get(Access(access), _R)
        offset = t.pa - s.ram_base
        if 0 <= offset < s.ram_size:
            return self._fill_ram(va, t, access, allowed, wanted, offset, result)
        perms = t.perms & (0 if allowed == _MIXED else allowed)
        if 0 <= t.pa - s.rom_base < s.rom_size:
            perms &= _R | _X
            result.paddr = t.pa - s.rom_base + s.rom_window
        elif t.pa < s.io_size and memory.io_pages[t.pa >> PAGE_BITS]:
            perms &= _R | _W
            result.paddr = t.pa
        else:
            return self._fault(Fault.ACCESS, va, access)
        if not perms & wanted:
            return self._fault(Fault.ACCESS, va, access)
        result.perms = perms
        return True

    def _may_fire(self, va: int) -> bool:
        """Whether a load or store to the page may fire a trigger of the guest's, and is not let pass."""
        s = self._s
        if s.icount == s.trigger_passed_icount and self._env.pc == s.trigger_passed_pc:
            return False
        return va >> PAGE_BITS in self._s.trigger_pages[: self._s.trigger_page_count]

    def _is_fetchable(self, va: int, mode: int) -> bool:
        s, t = self._s, self._mmu.translate(va, Access.FETCH, mode, quiet=True)
        if t.fault != Fault.NONE:
            return False
        allowed = self._mmu.pmp_allows(t.pa, PAGE_SIZE, mode)
        if 0 <= t.pa - s.ram_base < s.ram_size:
            return bool(allowed & (_X | _MIXED))
        return 0 <= t.pa - s.rom_base < s.rom_size and bool(allowed & _X)

    def _fill_ram(
        self, va: int, t: Translation, access: int, allowed: int, wanted: int, offset: int, result: Any
    ) -> bool:
        s, flags = self._s, self._memory.page_flags
        page = offset >> PAGE_BITS
        if allowed == _MIXED:
            if access == Access.FETCH:
                self._mmu.mark_page(page, _CODE)
                result.paddr, result.perms = t.pa, _X
            else:
                result.paddr, result.perms = offset + s.slow_window, t.perms & (_R | _W)
            return True
        perms = t.perms & allowed
        if not perms & wanted:
            return self._fault(Fault.ACCESS, va, access)
        result.paddr = t.pa
        if access == Access.FETCH:
            self._notes.write_count[page] = 0
            self._mmu.mark_page(page, _CODE)
            perms &= _X if flags[page] & _SLOW else ~_W
        elif flags[page] & _SLOW:
            result.paddr = offset + s.slow_window
            perms &= _R | _W
        elif access == Access.WRITE and flags[page] & _WATCHED:
            result.paddr = offset + s.watch_window
            perms = _W
        else:
            if access == Access.WRITE:
                flags[page] |= _DIRTY
            if not flags[page] & _CODE:
                perms &= ~_X
            if flags[page] & _WATCHED or not flags[page] & _DIRTY:
                perms &= ~_W
            if perms & _W:
                self._notes.write_generation[page] = s.generation & 0xFFFFFFFF
        result.perms = perms
        return True

    def _on_watched_write(self, uc: int, offset: int, size: int, value: int, data: int) -> None:
        s, memory = self._s, self._memory
        page = offset >> PAGE_BITS
        flags = memory.page_flags[page]
        new = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        s.watched_writes += 1
        memory.page_flags[page] |= _DIRTY
        if memory.ram[offset : offset + size] != new:
            was_valid = flags & _TABLE and memory.ram[offset & ~(s.xlen_bytes - 1)] & PTE_V
            was_code = flags & _CODE and memory.holds_code(offset, size)
            if was_code or was_valid:
                self._mmu.note_instruction_under_way()
            memory.ram[offset : offset + size] = new
            if was_valid:
                s.stale_tlbs += 1
                self._mmu.flush_tlb()
                self._resync_after_this_instruction()
            if was_code:
                self._code_was_written(offset, size)
                s.charge(WORK_OF_INVALIDATION)
                self._resync_after_this_instruction()
        self._notes.write_count[page] += 1
        if self._notes.write_count[page] >= DEMOTE_AFTER_WRITES:
            self._demote_page(page)

    def _on_watched_read(self, uc: int, offset: int, size: int, data: int) -> int:
        return int.from_bytes(self._memory.ram[offset : offset + size], "little")

    def _resync_after_this_instruction(self) -> None:
        self._s.resync = 1
        self._s.fast_limit = 0

    def _demote_page(self, page: int) -> None:
        memory = self._memory
        if memory.page_flags[page] & _CODE:
            self._code_was_written(page << PAGE_BITS, PAGE_SIZE)
            memory.mark_code(page << PAGE_BITS, PAGE_SIZE, False)
            self._resync_after_this_instruction()
        memory.page_flags[page] &= ~(_CODE | _TABLE) & 0xFF
        self._notes.write_count[page] = 0
        self._s.stale_tlbs += 1
        self._mmu.flush_tlb()

    def _on_new_block(self, uc: int, block: Any, previous: Any, data: int) -> None:
        mmu, memory = self._mmu, self._memory
        va = block.contents.pc
        end = va + block.contents.size
        mixed = mmu.is_mixed_page(va)
        self._s.edges += 1
        for _ in range(block.contents.icount):  # the last may be one that does not decode, and begin at `end`
            insn = mmu.fetch(va)
            if insn is None:
                return
            size = 4 if insn & 3 == 3 else 2
            for half in range(0, size, 2):
                offset = mmu.parcel_offset(va + half)
                if offset is not None:
                    memory.mark_code(offset, 2, True)
                    if va >= end:
                        memory.page_flags[offset >> PAGE_BITS] |= PageFlag.UNDECODED
            is_mixed = mixed or (crosses_page(va, insn) and mmu.is_mixed_page(va + 2))
            is_ours = is_special(self._env, 8 * self._s.xlen_bytes, insn, self._s.features)
            if is_mixed or is_ours or self._s.is_break_pc(va):
                self._notes.special_marks[(va >> 1 & SPECIAL_MASK) >> 3] |= 1 << (va >> 1 & 7)
            va += size
