"""Harts as the specification has them: a small interpreter, which shares nothing with the harts of the emulator.

RV32IMA and RV64IMA in machine mode, with a few compressed instructions, one memory for all harts, and a software
interrupt each. Whoever uses it says which hart executes the next instruction, so every interleaving can be had. A
store counts at once, for every hart and also for code.

Source: The RISC-V Instruction Set Manual, Volumes I and II. tests/test_cosim_harts.py compares it with Spike.
"""

from __future__ import annotations

from collections.abc import Callable

MSIP = 0x0200_0000
"""The address of hart 0's software interrupt register, 4 bytes each."""

_FETCH_ACCESS, _ILLEGAL, _BREAKPOINT, _LOAD_ACCESS, _STORE_ACCESS, _ECALL = 1, 2, 3, 5, 7, 11
_LOAD_MISALIGNED, _STORE_MISALIGNED = 4, 6
_MSI = 3
_MIE, _MPIE = 1 << 3, 1 << 7
_MSTATUS, _MIE_CSR, _MTVEC, _MSCRATCH, _MEPC, _MCAUSE, _MTVAL, _MIP, _MHARTID = (
    0x300, 0x304, 0x305, 0x340, 0x341, 0x342, 0x343, 0x344, 0xF14,
)  # fmt: skip
_MCYCLE, _MINSTRET, _CYCLE, _TIME, _INSTRET = 0xB00, 0xB02, 0xC00, 0xC01, 0xC02


class _Trap(Exception):
    def __init__(self, cause: int, tval: int = 0) -> None:
        self.cause, self.tval = cause, tval


class PlainMemory:
    """RAM from ``base`` on, and the software interrupts."""

    def __init__(self, base: int, image: bytes, harts: int) -> None:
        self.base, self.ram = base, bytearray(image)
        self.msip = [0] * harts

    def load(self, address: int, size: int) -> int | None:
        """None where nothing answers."""
        at = address - self.base
        if 0 <= at <= len(self.ram) - size:
            return int.from_bytes(self.ram[at : at + size], "little")
        if size == 4 and address % 4 == 0 and MSIP <= address < MSIP + 4 * len(self.msip):
            return self.msip[(address - MSIP) // 4]
        return None

    def store(self, address: int, size: int, value: int) -> bool:
        """False where nothing answers."""
        at = address - self.base
        if 0 <= at <= len(self.ram) - size:
            self.ram[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        elif size == 4 and address % 4 == 0 and MSIP <= address < MSIP + 4 * len(self.msip):
            self.msip[(address - MSIP) // 4] = value & 1
        else:
            return False
        return True


class PlainHart:
    """One hart; ``clock`` gives its cycle CSR, and ``time`` its time CSR."""

    def __init__(self, xlen: int, memory: PlainMemory, hart_id: int, clock: Callable[[], int] = lambda: 0,
                 time: Callable[[], int] = lambda: 0) -> None:  # fmt: skip
        self.xlen, self.memory, self.hart_id = xlen, memory, hart_id
        self.clock, self.time = clock, time
        self.mask = (1 << xlen) - 1
        self.pc = memory.base
        self.x = [0] * 32
        self.csrs = dict.fromkeys((_MSTATUS, _MIE_CSR, _MTVEC, _MSCRATCH, _MEPC, _MCAUSE, _MTVAL), 0)
        self.retired = 0
        self.waiting = False
        self.reservation: int | None = None

    @property
    def mip(self) -> int:
        return self.memory.msip[self.hart_id] << _MSI

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
            if self.mip & self.csrs[_MIE_CSR] and self.csrs[_MSTATUS] & _MIE:
                self._enter_trap(_MSI | 1 << self.xlen - 1, 0)
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
        status = self.csrs[_MSTATUS]
        self.csrs[_MSTATUS] = status & ~(_MIE | _MPIE) | (_MPIE if status & _MIE else 0)
        self.csrs[_MEPC], self.csrs[_MCAUSE], self.csrs[_MTVAL] = self.pc, cause, tval
        self.pc = self.csrs[_MTVEC]
        self.reservation = None

    # ---- instructions

    def _execute(self) -> None:
        low = self.memory.load(self.pc, 2)
        if low is None:
            raise _Trap(_FETCH_ACCESS, self.pc)
        if low & 3 != 3:
            self._compressed(low)
            return
        high = self.memory.load(self.pc + 2, 2)
        if high is None:
            raise _Trap(_FETCH_ACCESS, self.pc + 2)
        insn = high << 16 | low
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
        value = self.memory.load(address, size)
        if value is None:
            raise _Trap(_LOAD_ACCESS, address)
        self._set(insn >> 7 & 31, value if funct3 & 4 else _signed(value, 8 * size))
        return self.pc + 4

    def _store(self, insn: int) -> int:
        funct3 = insn >> 12 & 7
        if funct3 > (3 if self.xlen == 64 else 2):
            raise _Trap(_ILLEGAL, insn)
        address = self.x[insn >> 15 & 31] + _signed(insn >> 25 << 5 | insn >> 7 & 31, 12) & self.mask
        if not self.memory.store(address, 1 << funct3, self.x[insn >> 20 & 31]):
            raise _Trap(_STORE_ACCESS, address)
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
        if operation == 3:
            self._store_conditional(rd, address, size, self.x[rs2])
            return self.pc + 4
        old = self.memory.load(address, size)
        if old is None:
            raise _Trap(_LOAD_ACCESS if operation == 2 else _STORE_ACCESS, address)
        if operation == 2:
            self.reservation = address
        else:
            self.memory.store(address, size, _amo(operation, old, self.x[rs2] & (1 << 8 * size) - 1, 8 * size))
        self._set(rd, _signed(old, 8 * size))
        return self.pc + 4

    def _store_conditional(self, rd: int, address: int, size: int, value: int) -> None:
        if self.memory.load(address, size) is None:
            raise _Trap(_STORE_ACCESS, address)
        has_reservation, self.reservation = self.reservation == address, None
        if has_reservation:
            self.memory.store(address, size, value)
        self._set(rd, 0 if has_reservation else 1)

    # ---- system

    def _system(self, insn: int) -> int:
        if insn >> 12 & 7:
            return self._csr(insn)
        if insn == 0x00000073:
            raise _Trap(_ECALL)
        if insn == 0x00100073:
            raise _Trap(_BREAKPOINT, self.pc)
        if insn == 0x30200073:  # MRET
            status = self.csrs[_MSTATUS]
            self.csrs[_MSTATUS] = status & ~_MIE | _MPIE | (_MIE if status & _MPIE else 0)
            self.reservation = None
            return self.csrs[_MEPC]
        if insn == 0x10500073:  # WFI
            self.waiting = not self.mip & self.csrs[_MIE_CSR]
            return self.pc + 4
        if insn & 0xFE007FFF == 0x12000073:  # SFENCE.VMA
            return self.pc + 4
        raise _Trap(_ILLEGAL, insn)

    def _csr(self, insn: int) -> int:
        number, kind, source = insn >> 20, insn >> 12 & 3, insn >> 15 & 31
        writes = kind == 1 or source != 0
        if writes and number not in self.csrs:
            if number >> 10 == 3:
                raise _Trap(_ILLEGAL, insn)
            raise NotImplementedError(f"a write to CSR {number:#x} at {self.pc:#x}")
        old = self._csr_value(number)
        operand = source if insn >> 14 & 1 else self.x[source]
        if writes:
            value = (operand, old | operand, old & ~operand)[kind - 1] & self.mask
            masks = {_MSTATUS: _MIE | _MPIE, _MIE_CSR: 0xAAA, _MEPC: self.mask - 1, _MTVEC: self.mask - 3}
            self.csrs[number] = value & masks.get(number, self.mask)
        self._set(insn >> 7 & 31, old)
        return self.pc + 4

    def _csr_value(self, number: int) -> int:
        if number in self.csrs:
            return self.csrs[number]
        if number in (_MINSTRET, _INSTRET):
            return self.retired & self.mask
        if number in (_MCYCLE, _CYCLE):
            return self.clock() & self.mask
        if number == _TIME:
            return self.time() & self.mask
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
