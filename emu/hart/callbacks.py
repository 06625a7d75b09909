"""The hart's callbacks in Python: the twin of ``_callbacks.c``, for machines without a compiler.

Function by function the same as the C file, with the same results; a test compares whole runs. (Counter reads and
accesses to satp have no twin: what C does for speed, csr.py and the CLINT do here.) Hundreds of times slower, so it
serves small firmware, and as the readable description of what the C file does.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from minstret.emu.hart.csr import value_written
from minstret.emu.hart.csr_table import CSR_OF, MSTATUS_BOGUS, OURS_OF, CsrRow, Ours
from minstret.emu.hart.memory import GuestMemory, PageNotes
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
    Shared,
    Stop,
)
from minstret.emu.hart.spec import (
    INSN_C_EBREAK,
    INSN_EBREAK,
    INSN_ECALL,
    INSN_MRET,
    INSN_SRET,
    INSN_WFI,
    MSTATUS_FS,
    MSTATUS_MIE,
    MSTATUS_MPP_SHIFT,
    MSTATUS_MPRV,
    MSTATUS_MXR,
    MSTATUS_SIE,
    MSTATUS_SUM,
    MSTATUS_TSR,
    MSTATUS_TW,
    MSTATUS_UXL,
    OP_FMADD,
    OP_FMSUB,
    OP_FNMADD,
    OP_FNMSUB,
    OP_FP,
    OP_SYSTEM,
    PRIV_M,
    PRIV_S,
    PRIV_U,
    PTE_A,
    PTE_D,
    PTE_R,
    PTE_U,
    PTE_V,
    PTE_W,
    PTE_X,
    S_INTERRUPTS,
    FpOp,
)

_FUSED = (OP_FMADD, OP_FMSUB, OP_FNMSUB, OP_FNMADD)
_WATCHED = PageFlag.CODE | PageFlag.TABLE | PageFlag.SLOW
_ALL = int(Prot.R | Prot.W | Prot.X)
_R, _W, _X, _MIXED = int(Prot.R), int(Prot.W), int(Prot.X), int(Prot.MIXED)
_CODE, _TABLE, _SLOW, _DIRTY = (int(flag) for flag in (PageFlag.CODE, PageFlag.TABLE, PageFlag.SLOW, PageFlag.DIRTY))
_SLOW_READ = int(PageFlag.SLOW_READ)


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
    on_exception: int = 0
    keep: Any = None


class Translation(NamedTuple):
    """Where a virtual address leads: ``perms`` are the page's, from the tables alone."""

    pa: int
    perms: int
    fault: Fault


_PAGE_FAULT = Translation(0, 0, Fault.PAGE)
_ACCESS_FAULT = Translation(0, 0, Fault.ACCESS)


def is_skipped(env: Any, xlen: int, insn: int) -> bool:
    """Whether Unicorn skips a compressed instruction that has to trap: reserved ones, and loads and stores of
    floating-point registers while FS is off.
    """
    quadrant, funct3, funct2, bit12 = insn & 3, insn >> 13 & 7, insn >> 10 & 3, insn >> 12 & 1
    if quadrant == 1:  # shifts by 32 and more on rv32; what is beside C.SUBW and C.ADDW, which rv32 lacks
        if funct3 != 4 or not bit12:
            return False
        return xlen == 32 or bool(insn >> 6 & 1) if funct2 == 3 else xlen == 32 and funct2 <= 1
    if funct3 == 4:
        return quadrant == 0
    if funct3 == 0:
        return quadrant == 2 and bool(bit12) and xlen == 32
    is_float = funct3 & 3 == 1 or (funct3 & 3 == 3 and xlen == 32)
    return is_float and not env.mstatus & MSTATUS_FS


def is_floating(insn: int) -> bool:
    """Whether ``insn`` computes with floating point registers, or may."""
    return insn & 0x7F == OP_FP or insn & 0x7F in _FUSED


def is_special_floating(env: Any, insn: int) -> bool:
    """Whether Unicorn has a floating point instruction wrong: it knows no NaN boxing, and little else is wrong with
    double precision. Its FSGNJ.D does not trap while FS is off.
    """
    operation, form = insn >> 27, insn >> 25 & 3
    if insn & 0x7F == OP_FP and form == 1 and operation == FpOp.SGNJ:
        return not env.mstatus & MSTATUS_FS
    if form > 1 or insn & 0x7F != OP_FP:
        return form <= 1
    if form == 0:
        return operation != FpOp.CLASS or insn >> 12 & 7 != 0  # but FMV.X.W
    return operation in (FpOp.MINMAX, FpOp.FROM_FLOAT, FpOp.COMPARE, FpOp.TO_INT)


def is_special(env: Any, xlen: int, insn: int) -> bool:
    """Whether the hart executes ``insn`` itself: ECALL, EBREAK, WFI, the CSRs that csr.py owns, compressed
    instructions that trap, and floating point that Unicorn has wrong.

    MRET, SRET and some of the others are among them only sometimes: see ``is_ours_now``. With our functions in
    Unicorn's place (_helpers.c) the C callbacks leave floating point, its CSRs and sstatus to them.
    """
    if insn & 3 != 3:
        return insn & 0xFFFF == INSN_C_EBREAK or is_skipped(env, xlen, insn)
    if is_floating(insn):
        return is_special_floating(env, insn)
    if insn & 0x7F != OP_SYSTEM:
        return False
    if insn >> 12 & 3 == 0:
        return insn in (INSN_ECALL, INSN_EBREAK, INSN_WFI, INSN_SRET, INSN_MRET)
    number = insn >> 20
    is_read_only, sets_bits = number >> 10 == 3, insn >> 13 & 1 == 1 and insn >> 15 & 31 != 0
    return number in OURS_OF or (is_read_only and sets_bits)


def is_floating_ours_now(env: Any, insn: int) -> bool:
    """Whether Unicorn has a floating point instruction that it may have wrong wrong, with the operands it has."""
    infinity, quiet, box = 0x7FF0 << 48, 1 << 51, 0xFFFFFFFF << 32
    a, b = env.f[insn >> 15 & 31], env.f[insn >> 20 & 31]
    size_a, size_b = a & ~(1 << 63), b & ~(1 << 63)
    if insn >> 25 & 3 == 0:
        return True
    if insn & 0x7F != OP_FP:
        return (size_a, size_b) in ((infinity, 0), (0, infinity))
    operation = insn >> 27
    if operation == FpOp.MINMAX:
        return (size_a > infinity and not a & quiet) or (size_b > infinity and not b & quiet)
    if operation == FpOp.FROM_FLOAT:
        return bool(a < box)
    if operation in (FpOp.COMPARE, FpOp.TO_INT):
        return bool(env.mstatus & MSTATUS_FS != MSTATUS_FS)
    return True


def is_ours_now(env: Any, insn: int) -> bool:
    """Whether a special instruction is ours in the state the hart is in.

    What Unicorn does wrong is ours, and only that. It has TW and TSR at other bits of mstatus, keeps MPRV, and what it
    allowed, when a trap handler returns, and lets all this be written: a bogus pair of bits and a privilege that does
    not exist in mstatus, bit 0 of mepc and sepc, interrupts and exceptions of a hypervisor, interrupts that are not
    delegated in sie, the upper half of the counter-enable registers. It does not make FS Dirty when an instruction
    only raises flags, nor SD follow FS when a floating point CSR is written, and does not show UXL in sstatus. Setting
    or clearing no bits by a register is no write to it.
    """
    mstatus = env.mstatus
    if is_floating(insn):
        return is_floating_ours_now(env, insn)
    if insn in (INSN_SRET, INSN_MRET):
        return bool(mstatus & MSTATUS_MPRV or (insn == INSN_SRET and mstatus & MSTATUS_TSR))
    if insn & 0x7F != OP_SYSTEM or insn >> 12 & 3 == 0:
        return True
    row = CSR_OF.get(insn >> 20)
    return row is None or _is_csr_ours_now(env, insn, row)


def _is_csr_ours_now(env: Any, insn: int, row: CsrRow) -> bool:
    """Whether a CSR instruction on one of our CSRs is ours in the state the hart is in."""
    mstatus = env.mstatus
    if row.ours is Ours.WRONG_BITS:
        return bool(value_written(env.x, insn, getattr(env, row.word)) & ~row.mask)
    if row.ours is Ours.FLOAT:
        return bool(mstatus & MSTATUS_FS) and not mstatus >> 8 * type(env).mstatus.size - 1
    if row.ours is Ours.SSTATUS:
        return bool(mstatus & MSTATUS_UXL)
    if row.ours is Ours.SIE:
        written = value_written(env.x, insn, env.mie & env.mideleg)
        return bool((written | env.mie) & ~env.mideleg & S_INTERRUPTS)
    if row.ours is Ours.MSTATUS:
        written = value_written(env.x, insn, mstatus)
        wrong = (written ^ mstatus) & (MSTATUS_TW | MSTATUS_TSR) or written & MSTATUS_BOGUS
        return bool(wrong) or written >> MSTATUS_MPP_SHIFT & 3 == 2
    return True


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
            if mode == PRIV_M and not s.pmp_cfg[i] & 0x80:
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
            ignore_accessed: With ``quiet``, do not mind a clear A bit (for debuggers).
        Source: the same volume, "Virtual Address Translation Process".
        """
        s, env, memory = self.s, self.env, self.memory
        satp, mstatus = env.satp, env.mstatus
        rv64 = s.xlen_bytes == 8
        va &= (1 << 8 * s.xlen_bytes) - 1
        if mode == PRIV_M or (satp >> 60 if rv64 else satp >> 31) == 0:
            return Translation(va, _ALL, Fault.NONE)

        levels, index_bits, pte_bytes = (3, 9, 8) if rv64 else (2, 10, 4)
        table = (satp & ((1 << 44) - 1 if rv64 else (1 << 22) - 1)) << PAGE_BITS
        if rv64 and va >> 38 not in (0, (1 << 26) - 1):
            return _PAGE_FAULT
        for level in reversed(range(levels)):
            index = va >> (PAGE_BITS + index_bits * level) & ((1 << index_bits) - 1)
            pte_pa = table + index * pte_bytes
            offset = pte_pa - s.ram_base
            if not 0 <= offset < s.ram_size:
                return _ACCESS_FAULT
            allowed = self.pmp_allows(pte_pa, pte_bytes, PRIV_S)
            if not allowed & _R:
                return _ACCESS_FAULT
            page = offset >> PAGE_BITS
            if not quiet:
                s.new_entry = NOWHERE
                self.notes.write_count[page] = 0
                self.mark_page(page, _TABLE)
            pte = int.from_bytes(memory.ram[offset : offset + pte_bytes], "little")
            if not pte & PTE_V or pte & (PTE_R | PTE_W) == PTE_W or (rv64 and pte >> 54):
                return _PAGE_FAULT
            ppn = pte >> 10 & ((1 << 44) - 1)
            if not pte & (PTE_R | PTE_X):
                if pte & (PTE_U | PTE_A | PTE_D):
                    return _PAGE_FAULT
                table = ppn << PAGE_BITS
                continue
            user = bool(pte & PTE_U)
            data_ok = (mode == PRIV_U or bool(mstatus & MSTATUS_SUM)) if user else mode == PRIV_S
            fetch_ok = mode == (PRIV_U if user else PRIV_S)
            readable = data_ok and bool(pte & PTE_R or (mstatus & MSTATUS_MXR and pte & PTE_X))
            writable = data_ok and bool(pte & PTE_W)
            executable = fetch_ok and bool(pte & PTE_X)
            if not {Access.FETCH: executable, Access.WRITE: writable}.get(Access(access), readable):
                return _PAGE_FAULT
            span_pages = (1 << (index_bits * level)) - 1
            if ppn & span_pages:
                return _PAGE_FAULT
            marked = pte | PTE_A | (PTE_D if access == Access.WRITE else 0)
            if marked != pte and not quiet:
                if not allowed & _W:
                    return _ACCESS_FAULT
                self._before_marking(offset, access)
                memory.ram[offset : offset + pte_bytes] = marked.to_bytes(pte_bytes, "little")
                memory.page_flags[page] |= _DIRTY
                pte = marked
            if quiet and not pte & PTE_A and not ignore_accessed:
                return _PAGE_FAULT
            pa = (ppn | (va >> PAGE_BITS & span_pages)) << PAGE_BITS | (va & (PAGE_SIZE - 1))
            perms = (_R if readable else 0) | (_W if writable and pte & PTE_D else 0) | (_X if executable else 0)
            return Translation(pa, perms, Fault.NONE)
        return _PAGE_FAULT

    def _before_marking(self, offset: int, access: int) -> None:
        """The walk is about to set A or D in the entry at ``offset``: is it code as well?"""
        if not self.memory.page_flags[offset >> PAGE_BITS] & _CODE or not self.memory.holds_code(offset, 1):
            return
        if access != Access.FETCH:
            self.note_instruction_under_way()
        self.s.must_forget_blocks = self.s.resync = 1
        self.s.fast_limit = 0
        self.s.stale_blocks += 1

    def data_mode(self) -> int:
        """The privilege that loads and stores have now: MPRV lets M-mode borrow another's."""
        mode = int(self.env.priv)
        if mode == PRIV_M and self.env.mstatus & MSTATUS_MPRV:
            return int(self.env.mstatus >> MSTATUS_MPP_SHIFT & 3)
        return mode

    def fetch(self, va: int) -> int | None:
        """The instruction at ``va`` (16 or 32 bits), or None where it can't plainly be fetched."""
        low = self._fetch_parcel(va)
        if low is None or low & 3 != 3:
            return low
        high = self._fetch_parcel(va + 2)  # perhaps at 0
        return None if high is None else low | high << 16

    def note_instruction_under_way(self) -> None:
        """A piece of a store is about to overwrite code or a page table entry: perhaps the very instruction, or what
        maps it, and another piece may fault.
        """
        s, pc, icount = self.s, int(self.env.pc), int(self.s.icount)
        if s.rewritten_pc != pc or s.rewritten_icount != icount:
            s.rewritten_insn, s.rewritten_pc, s.rewritten_icount = self.fetch(pc) or 0, pc, icount

    def in_mixed_page(self, va: int) -> bool:
        """Whether PMP rights to execute differ within the page of ``va``."""
        if self.s.pmp_count == 0:
            return False
        mode = int(self.env.priv)
        t = self.translate(va, Access.FETCH, mode, quiet=True)
        return t.fault == Fault.NONE and self.pmp_allows(t.pa & ~(PAGE_SIZE - 1), PAGE_SIZE, mode) == _MIXED

    def parcel_offset(self, va: int) -> int | None:
        """Where in RAM the parcel at ``va`` is, or None (ROM, device, nothing)."""
        t = self.translate(va, Access.FETCH, int(self.env.priv), quiet=True)
        offset = t.pa - self.s.ram_base
        return offset if t.fault == Fault.NONE and 0 <= offset < self.s.ram_size else None

    def _fetch_parcel(self, va: int) -> int | None:
        t = self.translate(va, Access.FETCH, int(self.env.priv), quiet=True)
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


class PythonCallbacks:
    """The four callbacks; ``callback_set()`` gives what Unicorn needs."""

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
            if insn is None or self._is_ours(insn) or self._mmu.in_mixed_page(pc):
                s.special_insn = insn or 0
                return Stop.SPECIAL
        return Stop.NONE

    def _is_ours(self, insn: int) -> bool:
        return is_special(self._env, 8 * self._s.xlen_bytes, insn) and is_ours_now(self._env, insn)

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
            perms &= _X if flags[page] & _SLOW_READ else ~_W
        elif flags[page] & _SLOW_READ:
            result.paddr = offset + s.slow_window
            perms &= _R | _W
        elif access == Access.WRITE and flags[page] & _WATCHED:
            result.paddr = offset + (s.slow_window if flags[page] & _SLOW else s.watch_window)
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
        mixed = mmu.in_mixed_page(va)
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
            if mixed or is_special(self._env, 8 * self._s.xlen_bytes, insn) or self._s.is_break_pc(va):
                self._notes.special_marks[(va >> 1 & SPECIAL_MASK) >> 3] |= 1 << (va >> 1 & 7)
            va += size


def interrupt_is_takeable(mip: int, env: Any) -> bool:
    """Whether a pending interrupt is enabled in the state the hart is in."""
    pending = mip & env.mie
    if not pending:
        return False
    mideleg, mstatus, priv = env.mideleg, env.mstatus, env.priv
    if pending & ~mideleg and (priv < PRIV_M or mstatus & MSTATUS_MIE):
        return True
    return bool(pending & mideleg and (priv < PRIV_S or (priv == PRIV_S and mstatus & MSTATUS_SIE)))
