"""Harts as the specification has them: a small interpreter, which shares nothing with the harts of the emulator.

RV32IMA and RV64IMA in machine and supervisor mode with Sv32 and Sv39, a few compressed instructions, one memory for
all harts, and a software interrupt and a timer each. Whoever uses it says which hart executes the next instruction, so
every interleaving can be had. A store counts at once, for every hart, also one to code or to page tables.

Source: The RISC-V Instruction Set Manual, Volumes I and II. tests/test_cosim_harts.py compares it with Spike.
"""

from __future__ import annotations

from collections.abc import Callable

MSIP, MTIMECMP, MTIME = 0x0200_0000, 0x0200_4000, 0x0200_BFF8
"""The addresses of hart 0's software interrupt register, 4 bytes each; of its timer, 8 bytes each; of the time."""

_FETCH_MISALIGNED, _FETCH_ACCESS, _ILLEGAL, _BREAKPOINT, _LOAD_MISALIGNED, _LOAD_ACCESS = range(6)
_STORE_MISALIGNED, _STORE_ACCESS, _ECALL = range(6, 9)
_FETCH_PAGE, _LOAD_PAGE, _STORE_PAGE = 12, 13, 15
_MSI, _MTI = 3, 7
_U64 = (1 << 64) - 1
_S, _M = 1, 3
_SIE, _MIE, _SPIE, _MPIE, _SPP, _MPP = 1 << 1, 1 << 3, 1 << 5, 1 << 7, 1 << 8, 3 << 11
_STVEC, _SCOUNTEREN, _SSCRATCH, _SEPC, _SCAUSE, _STVAL, _SATP = 0x105, 0x106, 0x140, 0x141, 0x142, 0x143, 0x180
_MSTATUS, _MEDELEG, _MIE_CSR, _MTVEC, _MCOUNTEREN = 0x300, 0x302, 0x304, 0x305, 0x306
_MSCRATCH, _MEPC, _MCAUSE, _MTVAL, _MIP, _MHARTID = 0x340, 0x341, 0x342, 0x343, 0x344, 0xF14
_PMPCFG0, _PMPADDR0 = 0x3A0, 0x3B0
_MCYCLE, _MINSTRET, _CYCLE, _TIME, _INSTRET = 0xB00, 0xB02, 0xC00, 0xC01, 0xC02
_KEPT = (
    _STVEC, _SCOUNTEREN, _SSCRATCH, _SEPC, _SCAUSE, _STVAL, _SATP, _MSTATUS, _MEDELEG, _MIE_CSR, _MTVEC, _MCOUNTEREN,
    _MSCRATCH, _MEPC, _MCAUSE, _MTVAL, _PMPCFG0, _PMPADDR0,
)  # fmt: skip
"""CSRs that read as what was written. Nothing depends on PMP: the first entry has to allow everything."""
_PAGE_BITS = 12
_V, _R, _W, _X, _U, _A, _D = 1, 2, 4, 8, 16, 64, 128
_FAULTS = {_R: (_LOAD_PAGE, _LOAD_ACCESS), _W: (_STORE_PAGE, _STORE_ACCESS), _X: (_FETCH_PAGE, _FETCH_ACCESS)}
"""What a page fault and an access fault are for an access that needs that right."""


class _Trap(Exception):
    def __init__(self, cause: int, tval: int = 0) -> None:
        self.cause, self.tval = cause, tval


class PlainMemory:
    """RAM from ``base`` on, software interrupts, and timers by ``time``, in ticks."""

    def __init__(self, base: int, image: bytes, harts: int) -> None:
        self.base, self.ram = base, bytearray(image)
        self.msip = [0] * harts
        self.mtimecmp = [_U64] * harts
        self.time: Callable[[], int] = lambda: 0

    def load(self, address: int, size: int) -> int | None:
        """None where nothing answers."""
        at = address - self.base
        if 0 <= at <= len(self.ram) - size:
            return int.from_bytes(self.ram[at : at + size], "little")
        if size < 4 or address % size:
            return None
        if size == 4 and MSIP <= address < MSIP + 4 * len(self.msip):
            return self.msip[(address - MSIP) // 4]
        shift, mask = address % 8 * 8, (1 << 8 * size) - 1
        if MTIME <= address < MTIME + 8:
            return self.time() >> shift & mask
        if MTIMECMP <= address < MTIMECMP + 8 * len(self.msip):
            return self.mtimecmp[(address - MTIMECMP) // 8] >> shift & mask
        return None

    def store(self, address: int, size: int, value: int) -> bool:
        """False where nothing answers."""
        at, mask = address - self.base, (1 << 8 * size) - 1
        if 0 <= at <= len(self.ram) - size:
            self.ram[at : at + size] = (value & mask).to_bytes(size, "little")
            return True
        if size < 4 or address % size:
            return False
        if size == 4 and MSIP <= address < MSIP + 4 * len(self.msip):
            self.msip[(address - MSIP) // 4] = value & 1
            return True
        if MTIMECMP <= address < MTIMECMP + 8 * len(self.msip):
            hart, shift = (address - MTIMECMP) // 8, address % 8 * 8
            self.mtimecmp[hart] = self.mtimecmp[hart] & ~(mask << shift) | (value & mask) << shift
            return True
        return False


class PlainHart:
    """One hart; ``clock`` gives its cycle CSR."""

    def __init__(self, xlen: int, memory: PlainMemory, hart_id: int, clock: Callable[[], int]) -> None:
        self.xlen, self.memory, self.hart_id, self.clock = xlen, memory, hart_id, clock
        self.mask = (1 << xlen) - 1
        self.pc = memory.base
        self.x = [0] * 32
        self.privilege = _M
        self.csrs = dict.fromkeys(_KEPT, 0)
        self.retired = 0
        self._written = {_MINSTRET: 0, _MCYCLE: 0}
        self.waiting = False
        self.reservation: int | None = None

    @property
    def mip(self) -> int:
        memory = self.memory
        is_due = memory.time() >= memory.mtimecmp[self.hart_id]
        return memory.msip[self.hart_id] << _MSI | is_due << _MTI

    @property
    def can_run(self) -> bool:
        """Whether it does not wait, or has been woken."""
        return not self.waiting or bool(self.mip & self.csrs[_MIE_CSR])

    def run(self, insns: int) -> int:
        """Run until so many instructions have retired, or it waits; the number of them."""
        begin = self.retired
        while self.retired - begin < insns and self.can_run:
            self.step()
        return self.retired - begin

    def step(self) -> None:
        """Take the traps that are due, and execute one instruction, which retires."""
        assert self.can_run
        self.waiting = False
        before = self.retired
        while self.retired == before:
            pending = self.mip & self.csrs[_MIE_CSR]
            if pending and (self.privilege < _M or self.csrs[_MSTATUS] & _MIE):
                self._enter_trap((_MSI if pending >> _MSI & 1 else _MTI) | 1 << self.xlen - 1, 0)
            try:
                self._execute()
            except _Trap as trap:
                self._enter_trap(trap.cause, trap.tval)
            else:
                self.retired += 1

    def leave(self) -> None:
        """Another hart runs from here on: the reservation is lost."""
        self.reservation = None

    def _enter_trap(self, cause: int, tval: int) -> None:
        status, csrs = self.csrs[_MSTATUS], self.csrs
        if self.privilege < _M and cause < self.xlen and csrs[_MEDELEG] >> cause & 1:
            csrs[_MSTATUS] = status & ~(_SIE | _SPIE | _SPP) | (_SPIE if status & _SIE else 0) | self.privilege * _SPP
            csrs[_SEPC], csrs[_SCAUSE], csrs[_STVAL], self.pc = self.pc, cause, tval, csrs[_STVEC]
            self.privilege = _S
        else:
            csrs[_MSTATUS] = status & ~(_MIE | _MPIE | _MPP) | (_MPIE if status & _MIE else 0) | self.privilege << 11
            csrs[_MEPC], csrs[_MCAUSE], csrs[_MTVAL], self.pc = self.pc, cause, tval, csrs[_MTVEC]
            self.privilege = _M
        self.reservation = None

    # ---- memory as the hart sees it

    def translate(self, va: int, right: int) -> int:
        """The physical address, for an access that needs the right R, W or X; sets A and D as hardware does."""
        satp = self.csrs[_SATP]
        if self.privilege == _M or not satp >> self.xlen - 1:
            return va
        page_fault = _Trap(_FAULTS[right][0], va)
        size = self.xlen // 8
        index_bits, levels, ppn_mask = (9, 3, (1 << 44) - 1) if size == 8 else (10, 2, (1 << 22) - 1)
        va_bits = _PAGE_BITS + index_bits * levels
        if size == 8 and _signed(va & (1 << va_bits) - 1, va_bits) & self.mask != va:
            raise page_fault
        table = satp & ppn_mask
        for level in reversed(range(levels)):
            shift = _PAGE_BITS + index_bits * level
            at = (table << _PAGE_BITS) + size * (va >> shift & (1 << index_bits) - 1)
            pte = self.memory.load(at, size)
            if pte is None:
                raise _Trap(_FAULTS[right][1], va)
            if not pte & _V or (pte & _W and not pte & _R):
                raise page_fault
            table = pte >> 10 & ppn_mask
            if pte & (_R | _X):
                break
            if level == 0:
                raise page_fault
        offset_mask = (1 << shift) - 1
        if not pte & right or pte & _U or table & offset_mask >> _PAGE_BITS:
            raise page_fault
        new = pte | _A | (_D if right == _W else 0)
        if new != pte:
            self.memory.store(at, size, new)
        return (table << _PAGE_BITS) & ~offset_mask | va & offset_mask

    def load(self, va: int, size: int, right: int = _R) -> int:
        """What is there; an access may go across two pages."""
        value = at = 0
        while at < size:
            piece = min(size - at, (1 << _PAGE_BITS) - (va + at) % (1 << _PAGE_BITS))
            part = self.memory.load(self.translate(va + at & self.mask, right), piece)
            if part is None:
                raise _Trap(_FAULTS[right][1], va + at & self.mask)
            value, at = value | part << 8 * at, at + piece
        return value

    def store(self, va: int, size: int, value: int) -> None:
        """Store, perhaps across two pages: then the first bytes are stored also if the second page faults."""
        at = 0
        while at < size:
            piece = min(size - at, (1 << _PAGE_BITS) - (va + at) % (1 << _PAGE_BITS))
            if not self.memory.store(self.translate(va + at & self.mask, _W), piece, value >> 8 * at):
                raise _Trap(_STORE_ACCESS, va + at & self.mask)
            at += piece

    # ---- instructions

    def _execute(self) -> None:
        low = self.load(self.pc, 2, _X)
        if low & 3 != 3:
            self._compressed(low)
            return
        insn = self.load(self.pc + 2 & self.mask, 2, _X) << 16 | low
        execute = _BY_OPCODE.get(insn & 0x7F)
        if execute is None:
            raise _Trap(_ILLEGAL, insn)
        self.pc = execute(self, insn) & self.mask

    def _compressed(self, insn: int) -> None:
        rd, rs2 = insn >> 7 & 31, insn >> 2 & 31
        imm = _signed(insn >> 7 & 32 | insn >> 2 & 31, 6)
        if insn == 0:
            raise _Trap(_ILLEGAL, 0)
        if insn & 0xE003 == 0x0001:  # C.ADDI, C.NOP
            self._set(rd, self.x[rd] + imm)
        elif insn & 0xE003 == 0x4001:  # C.LI
            self._set(rd, imm)
        elif insn & 0xF003 == 0x8002 and rs2:  # C.MV
            self._set(rd, self.x[rs2])
        elif insn & 0xF003 == 0x9002 and rs2:  # C.ADD
            self._set(rd, self.x[rd] + self.x[rs2])
        else:
            raise NotImplementedError(f"compressed instruction {insn:#06x} at {self.pc:#x}")
        self.pc = self.pc + 2 & self.mask

    def _set(self, rd: int, value: int) -> None:
        if rd:
            self.x[rd] = value & self.mask

    def _s(self, register: int) -> int:
        return _signed(self.x[register], self.xlen)

    def _lui(self, insn: int) -> int:
        self._set(insn >> 7 & 31, _signed(insn & 0xFFFFF000, 32))
        return self.pc + 4

    def _auipc(self, insn: int) -> int:
        self._set(insn >> 7 & 31, self.pc + _signed(insn & 0xFFFFF000, 32))
        return self.pc + 4

    def _jal(self, insn: int) -> int:
        imm = (insn >> 31) << 20 | (insn >> 12 & 0xFF) << 12 | (insn >> 20 & 1) << 11 | (insn >> 21 & 0x3FF) << 1
        self._set(insn >> 7 & 31, self.pc + 4)
        return self.pc + _signed(imm, 21)

    def _jalr(self, insn: int) -> int:
        if insn >> 12 & 7:
            raise _Trap(_ILLEGAL, insn)
        target = self.x[insn >> 15 & 31] + _signed(insn >> 20, 12) & ~1
        self._set(insn >> 7 & 31, self.pc + 4)
        return target

    def _branch(self, insn: int) -> int:
        rs1, rs2, condition = insn >> 15 & 31, insn >> 20 & 31, insn >> 13 & 3
        if condition == 1:
            raise _Trap(_ILLEGAL, insn)
        if condition == 0:
            is_true = self.x[rs1] == self.x[rs2]
        elif condition == 2:
            is_true = self._s(rs1) < self._s(rs2)
        else:
            is_true = self.x[rs1] < self.x[rs2]
        if is_true == bool(insn >> 12 & 1):
            return self.pc + 4
        imm = (insn >> 31) << 12 | (insn >> 7 & 1) << 11 | (insn >> 25 & 0x3F) << 5 | (insn >> 8 & 15) << 1
        return self.pc + _signed(imm, 13)

    def _load(self, insn: int) -> int:
        funct3 = insn >> 12 & 7
        size = 1 << (funct3 & 3)
        if funct3 == 7 or (self.xlen == 32 and funct3 in (3, 6)):
            raise _Trap(_ILLEGAL, insn)
        address = self.x[insn >> 15 & 31] + _signed(insn >> 20, 12) & self.mask
        value = self.load(address, size)
        self._set(insn >> 7 & 31, value if funct3 & 4 else _signed(value, 8 * size))
        return self.pc + 4

    def _store(self, insn: int) -> int:
        funct3 = insn >> 12 & 7
        if funct3 > (3 if self.xlen == 64 else 2):
            raise _Trap(_ILLEGAL, insn)
        address = self.x[insn >> 15 & 31] + _signed(insn >> 25 << 5 | insn >> 7 & 31, 12) & self.mask
        self.store(address, 1 << funct3, self.x[insn >> 20 & 31])
        return self.pc + 4

    def _op_imm(self, insn: int) -> int:
        imm, funct3 = _signed(insn >> 20, 12), insn >> 12 & 7
        if funct3 in (1, 5):
            shift_bits = 6 if self.xlen == 64 else 5
            kind = insn >> 20 + shift_bits << shift_bits - 5
            if kind not in ((0,) if funct3 == 1 else (0, 0x20)):
                raise _Trap(_ILLEGAL, insn)
            imm = insn >> 20 & (1 << shift_bits) - 1
            self._set(insn >> 7 & 31, _alu(funct3, kind == 0x20, self.x[insn >> 15 & 31], imm, self.xlen))
        else:
            self._set(insn >> 7 & 31, _alu(funct3, False, self.x[insn >> 15 & 31], imm & self.mask, self.xlen))
        return self.pc + 4

    def _op(self, insn: int) -> int:
        self._set(insn >> 7 & 31, self._register_operation(insn, self.xlen))
        return self.pc + 4

    def _register_operation(self, insn: int, bits: int) -> int:
        a, b = self.x[insn >> 15 & 31] & (1 << bits) - 1, self.x[insn >> 20 & 31] & (1 << bits) - 1
        funct7, funct3 = insn >> 25, insn >> 12 & 7
        if funct7 == 1:
            return _multiply_or_divide(funct3, a, b, bits)
        if funct7 not in ((0, 0x20) if funct3 in (0, 5) else (0,)):
            raise _Trap(_ILLEGAL, insn)
        return _alu(funct3, funct7 == 0x20, a, b & bits - 1 if funct3 in (1, 5) else b, bits)

    def _op_imm_32(self, insn: int) -> int:
        funct3, imm, a = insn >> 12 & 7, _signed(insn >> 20, 12), self.x[insn >> 15 & 31] & 0xFFFFFFFF
        if self.xlen == 32 or funct3 not in (0, 1, 5) or (funct3 and insn >> 25 not in (0, 0x20 * (funct3 == 5))):
            raise _Trap(_ILLEGAL, insn)
        result = _alu(funct3, funct3 == 5 and insn >> 25 == 0x20, a, imm & (31 if funct3 else 0xFFFFFFFF), 32)
        self._set(insn >> 7 & 31, _signed(result & 0xFFFFFFFF, 32))
        return self.pc + 4

    def _op_32(self, insn: int) -> int:
        funct3, is_m = insn >> 12 & 7, insn >> 25 == 1
        if self.xlen == 32 or funct3 not in ((0, 4, 5, 6, 7) if is_m else (0, 1, 5)):
            raise _Trap(_ILLEGAL, insn)
        self._set(insn >> 7 & 31, _signed(self._register_operation(insn, 32) & 0xFFFFFFFF, 32))
        return self.pc + 4

    def _fence(self, insn: int) -> int:
        if insn >> 12 & 7 > 1:
            raise _Trap(_ILLEGAL, insn)
        return self.pc + 4

    # ---- atomics

    def _atomic(self, insn: int) -> int:
        funct3, operation = insn >> 12 & 7, insn >> 27
        address, rs2 = self.x[insn >> 15 & 31], insn >> 20 & 31
        known = operation in (0, 1, 3, 4, 8, 12, 16, 20, 24, 28) or (operation == 2 and rs2 == 0)
        if funct3 not in (2, 3) or (funct3 == 3 and self.xlen == 32) or not known:
            raise _Trap(_ILLEGAL, insn)
        size, rd = 1 << funct3, insn >> 7 & 31
        if address % size:
            raise _Trap(_LOAD_MISALIGNED if operation == 2 else _STORE_MISALIGNED, address)
        pa = self.translate(address, _R if operation == 2 else _W)
        old = self.memory.load(pa, size)
        if old is None:
            raise _Trap(_LOAD_ACCESS if operation == 2 else _STORE_ACCESS, address)
        if operation == 3:
            self._store_conditional(rd, pa, size, self.x[rs2])
            return self.pc + 4
        if operation == 2:
            self.reservation = pa
        else:
            self.memory.store(pa, size, _amo(operation, old, self.x[rs2] & (1 << 8 * size) - 1, 8 * size))
        self._set(rd, _signed(old, 8 * size))
        return self.pc + 4

    def _store_conditional(self, rd: int, pa: int, size: int, value: int) -> None:
        has_reservation, self.reservation = self.reservation == pa, None
        if has_reservation:
            self.memory.store(pa, size, value)
        self._set(rd, 0 if has_reservation else 1)

    # ---- system

    def _system(self, insn: int) -> int:
        if insn >> 12 & 7:
            return self._csr(insn)
        if insn == 0x00000073:
            raise _Trap(_ECALL + self.privilege)
        if insn == 0x00100073:
            raise _Trap(_BREAKPOINT, self.pc)
        if insn == 0x30200073 and self.privilege == _M:
            return self._return(_MIE, _MPIE, _MPP, self.csrs[_MSTATUS] >> 11 & 3, _MEPC)
        if insn == 0x10200073:
            return self._return(_SIE, _SPIE, _SPP, self.csrs[_MSTATUS] >> 8 & 1, _SEPC)
        if insn == 0x10500073:  # WFI
            self.waiting = not self.mip & self.csrs[_MIE_CSR]
            return self.pc + 4
        if insn & 0xFE007FFF == 0x12000073:  # SFENCE.VMA
            return self.pc + 4
        raise _Trap(_ILLEGAL, insn)

    def _return(self, enable: int, previous: int, privileges: int, privilege: int, epc: int) -> int:
        status = self.csrs[_MSTATUS]
        self.csrs[_MSTATUS] = status & ~(enable | privileges) | previous | (enable if status & previous else 0)
        self.privilege, self.reservation = privilege, None
        return self.csrs[epc]

    def _csr(self, insn: int) -> int:
        number, kind, source = insn >> 20, insn >> 12 & 3, insn >> 15 & 31
        writes = kind == 1 or source != 0
        if number >> 8 & 3 > self.privilege or (writes and number >> 10 == 3):
            raise _Trap(_ILLEGAL, insn)
        if _CYCLE <= number <= _INSTRET and self.privilege < _M and not self.csrs[_MCOUNTEREN] >> number - _CYCLE & 1:
            raise _Trap(_ILLEGAL, insn)
        if writes and number not in self.csrs and number not in self._written:
            raise NotImplementedError(f"a write to CSR {number:#x} at {self.pc:#x}")
        old = self._csr_value(number)
        operand = source if insn >> 14 & 1 else self.x[source]
        if writes:
            value = (operand, old | operand, old & ~operand)[kind - 1] & self.mask
            masks = {
                _MSTATUS: _SIE | _MIE | _SPIE | _MPIE | _SPP | _MPP, _MIE_CSR: 0xAAA, _MEPC: self.mask - 1,
                _SEPC: self.mask - 1, _MTVEC: self.mask - 3, _STVEC: self.mask - 3,
            }  # fmt: skip
            if number in self._written:
                self._write_counter(number, value)
            else:
                self.csrs[number] = value & masks.get(number, self.mask)
        self._set(insn >> 7 & 31, old)
        return self.pc + 4

    @property
    def minstret(self) -> int:
        return self.retired + self._written[_MINSTRET] & _U64

    @property
    def mcycle(self) -> int:
        return self.clock() + self._written[_MCYCLE] & _U64

    def _write_counter(self, number: int, value: int) -> None:
        """The next instruction reads ``value``; on rv32 the upper half stays."""
        old = self.minstret if number == _MINSTRET else self.mcycle
        self._written[number] += (old & ~self.mask | value) - old - 1

    def _csr_value(self, number: int) -> int:
        if number in self.csrs:
            return self.csrs[number]
        if number in (_MINSTRET, _INSTRET):
            return self.minstret & self.mask
        if number in (_MCYCLE, _CYCLE):
            return self.mcycle & self.mask
        if number == _TIME:
            return self.memory.time() & self.mask
        if number == _MHARTID:
            return self.hart_id
        if number == _MIP:
            return self.mip
        raise NotImplementedError(f"CSR {number:#x} at {self.pc:#x}")


_BY_OPCODE: dict[int, Callable[[PlainHart, int], int]] = {
    0x37: PlainHart._lui, 0x17: PlainHart._auipc, 0x6F: PlainHart._jal, 0x67: PlainHart._jalr, 0x63: PlainHart._branch,
    0x03: PlainHart._load, 0x23: PlainHart._store, 0x13: PlainHart._op_imm, 0x33: PlainHart._op,
    0x1B: PlainHart._op_imm_32, 0x3B: PlainHart._op_32, 0x0F: PlainHart._fence, 0x2F: PlainHart._atomic,
    0x73: PlainHart._system,
}  # fmt: skip


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> bits - 1 & 1 else value


def _alu(funct3: int, is_other: bool, a: int, b: int, bits: int) -> int:
    """``is_other``: SUB instead of ADD, SRA instead of SRL."""
    if funct3 == 0:
        return a - b if is_other else a + b
    if funct3 == 1:
        return a << b
    if funct3 == 2:
        return int(_signed(a, bits) < _signed(b, bits))
    if funct3 == 3:
        return int(a < b)
    if funct3 == 4:
        return a ^ b
    if funct3 == 5:
        return (_signed(a, bits) if is_other else a) >> b
    return a | b if funct3 == 6 else a & b


def _multiply_or_divide(funct3: int, a: int, b: int, bits: int) -> int:
    sa, sb = _signed(a, bits), _signed(b, bits)
    if funct3 < 4:
        return (sa * sb, sa * sb >> bits, sa * b >> bits, a * b >> bits)[funct3]
    dividend, divisor = (a, b) if funct3 & 1 else (sa, sb)
    if divisor == 0:
        return -1 if funct3 < 6 else dividend
    quotient = abs(dividend) // abs(divisor) * (-1 if (dividend < 0) != (divisor < 0) else 1)
    return quotient if funct3 < 6 else dividend - quotient * divisor


def _amo(operation: int, old: int, operand: int, bits: int) -> int:
    signed = _signed(old, bits), _signed(operand, bits)
    return {
        0: old + operand, 1: operand, 4: old ^ operand, 8: old | operand, 12: old & operand, 16: min(signed),
        20: max(signed), 24: min(old, operand), 28: max(old, operand),
    }[operation]  # fmt: skip
