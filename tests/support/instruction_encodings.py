"""Programs that execute one instruction after the other, each from the same registers: every encoding of a kind."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from support.asm import MRET, T0, T5, T6, ZERO, addi, andi, auipc, csrr, csrrc, csrrs, csrw, jal, jalr, lhu, lui
from support.generated_code import Text

from minstret.emu.hart.extensions import ROWS, Form

HANDLER, SET_UP, VALUES, CODE, MEMORY = 0x1000, 0x2000, 0x3000, 0x10000, 0x80_0000
"""Offsets in RAM."""
_NE = 1
_X10, _X11, _X12, _X13, _X29 = 10, 11, 12, 13, 29
_OPERANDS = _X10 << 7 | _X11 << 15 | _X12 << 20
OPERAND_VALUES = {
    16: 1 << 63 | 1 << 31, 17: (1 << 63) - 1, 18: 0xFFFF_FFFF, 19: 0x0000_8000_0000_0080, 20: 0x0123_4567_89AB_CDEF,
    21: 0x80, 22: 0x8000, 23: 0xFF00_FF00_0001_0000, 24: 31, 25: 32, 26: 63, 27: 64, 28: 1 << 32,
}  # fmt: skip
OPERANDS = (0, 3, 6, *OPERAND_VALUES)
"""Registers whose values are at some edge: zero, 5, -7, and those above."""
_FENCES, _CONTROL = (0x0F,), (0x63, 0x67, 0x6F)
_SATP = 0x180
_WFI, _MRET, _SRET = 0x10500073, 0x30200073, 0x10200073


def program(
    insns: Iterable[int], xlen: int, *, floats: str = "d", privilege: int = 3, before: Iterable[int] = ()
) -> tuple[bytes, int]:
    """An image for the start of RAM, and the offset where it ends in a loop.

    Args:
        insns: What to execute.
        xlen: 32 or 64.
        floats: "d" or "s", what the floating-point registers hold.
        privilege: 3, 1 or 0; 0 and 1 see the counters and all of memory.
        before: What M-mode executes first.
    """
    start = Text(0, xlen)
    start.constant(T0, 3 << 13 | 3 << 11)
    start.emit(csrw("mstatus", T0))
    for register in range(32):
        start.emit(addi(T0, ZERO, (0, 3, -7, 2, 5)[register % 5]))
        start.emit((0xD2007053 if floats == "d" else 0xD0007053) | T0 << 15 | register << 7)  # fcvt.[ds].w
    start.ram(T0, HANDLER)
    start.emit(csrw("mtvec", T0))
    start.emit(addi(T0, ZERO, 7), csrw("mcounteren", T0), csrw("scounteren", T0))
    start.emit(addi(T0, ZERO, 0x1F), csrw("pmpcfg0", T0), addi(T0, ZERO, -1), csrw("pmpaddr0", T0))
    start.emit(*before)
    start.ram(T0, CODE)
    start.emit(csrw("mepc", T0))
    start.constant(T6, 3 << 11)
    start.emit(csrrc(ZERO, "mstatus", T6))
    start.constant(T6, privilege << 11)
    start.emit(csrrs(ZERO, "mstatus", T6), MRET)
    pieces = [start, _handler(xlen, privilege), _set_up(xlen), _body(insns, xlen)]
    end = pieces[-1].here - 4
    image = bytearray(end + 4)
    for offset, data in (piece.finish() for piece in pieces):
        image[offset : offset + len(data)] = data
    values = b"".join((value & (1 << xlen) - 1).to_bytes(xlen // 8, "little") for value in OPERAND_VALUES.values())
    image[VALUES : VALUES + len(values)] = values
    return bytes(image), end


def _handler(xlen: int, privilege: int) -> Text:
    """Goes on behind the instruction that trapped."""
    text = Text(HANDLER, xlen)
    text.emit(csrr(T5, "mepc"), lhu(T6, T5, 0), andi(T6, T6, 3), addi(T6, T6, -3), addi(T5, T5, 2))
    text.branch(_NE, T6, ZERO, "short")
    text.emit(addi(T5, T5, 2))
    text.label("short")
    text.emit(csrw("mepc", T5))
    text.constant(T6, 3 << 11)
    text.emit(csrrc(ZERO, "mstatus", T6))
    text.constant(T6, privilege << 11)
    text.emit(csrrs(ZERO, "mstatus", T6), MRET)
    return text


def _set_up(xlen: int) -> Text:
    """Called through t0 before each instruction."""
    text = Text(SET_UP, xlen)
    for register in (2, *range(8, 16)):
        text.ram(register, MEMORY + 64 * register)
    text.emit(addi(3, ZERO, 5), lui(4, 0x12345), addi(6, ZERO, -7), lui(7, 0x89ABC))
    text.ram(_X29, MEMORY + 0x1259)
    text.ram(T6, VALUES)
    for at, register in enumerate(OPERAND_VALUES):
        text.load(register, T6, at * xlen // 8)
    text.emit(jalr(ZERO, T0, 0))
    return text


def _body(insns: Iterable[int], xlen: int) -> Text:
    text = Text(CODE, xlen)
    for insn in insns:
        distance = SET_UP - text.here
        if distance > -(1 << 20):
            text.emit(jal(T0, distance))
        else:
            text.emit(auipc(T0, distance + 0x800 >> 12), jalr(T0, T0, distance))
        text.emit(insn)
        if insn & 3 != 3:
            text.emit(0x0001)
    text.label("end")
    text.jump("end")
    return text


def compressed(xlen: int) -> Iterator[int]:
    """All but jumps and branches."""
    for insn in range(1 << 16):
        quadrant, funct3 = insn & 3, insn >> 13
        is_jump = quadrant == 1 and (funct3 >= 5 or (funct3 == 1 and xlen == 32))
        is_jump_to_register = quadrant == 2 and funct3 == 4 and insn >> 2 & 31 == 0 and insn >> 7 & 31 != 0
        if quadrant != 3 and not is_jump and not is_jump_to_register:
            yield insn


def integer() -> Iterator[int]:
    """Arithmetic, loads, stores, fences, and opcodes that nobody has: each function, some operands."""
    pick = random.Random(20181001)
    for opcode in (0x33, 0x3B):
        for function in range(1 << 10):
            yield opcode | (function & 7) << 12 | function >> 3 << 25 | _OPERANDS
    for opcode in (0x13, 0x1B):
        for funct3 in range(8):
            for imm in range(1 << 12) if funct3 in (1, 5) else (0, 1, 0x7FF, 0x800, 0xFFF):
                yield opcode | funct3 << 12 | imm << 20 | _X10 << 7 | _X11 << 15
    for opcode in (0x03, 0x23, 0x07, 0x27, 0x0F):
        for funct3 in range(8):
            for imm in (0, 1, 0xFF, 0x100):
                yield opcode | funct3 << 12 | imm << 20 | 8 << 7 | 9 << 15
    known = (0x33, 0x3B, 0x13, 0x1B, 0x03, 0x23, 0x07, 0x27, 0x0F, 0x37, 0x17, 0x2F, 0x73, 0x53, 0x43, 0x47, 0x4B, 0x4F)
    for opcode in range(3, 128, 4):
        if opcode not in known + _CONTROL and opcode & 0x1F != 0x1F:
            yield from (opcode | pick.getrandbits(25) << 7 for _ in range(20))


def extension(xlen: int) -> Iterator[int]:
    """Each instruction of extensions.py that computes, on each pair of registers with special values.

    rd is another register, either of the operands, or x0.
    """
    for row in ROWS:
        if row.form is Form.OTHER or row.only_xlen not in (0, xlen):
            continue
        seconds = {Form.REGISTERS: OPERANDS, Form.SHIFT: range(32 if row.mask >> 25 & 1 else 64)}.get(row.form, (0,))
        for rs1 in OPERANDS:
            for number, second in enumerate(seconds):
                rd = (_X10, rs1, second if row.form is Form.REGISTERS else _X11, 0)[(number + rs1) % 4]
                yield row.match | second << 20 | rs1 << 15 | rd << 7


def cache_blocks() -> Iterator[int]:
    """Instructions on cache blocks in RAM, aligned or not, and where nothing is; and their kin that are none."""
    for kind in range(8):
        for rs1 in (2, 8, 15, _X29, *OPERANDS):
            yield 0x200F | kind << 20 | rs1 << 15
    for other in (0x80, 1 << 31, 0x1000):
        yield 0x0040_200F | 8 << 15 | other


def atomic() -> Iterator[int]:
    """LR, SC, AMO: all functions."""
    for function in range(1 << 10):
        for rs2 in (0, _X12):
            yield 0x2F | (function & 7) << 12 | function >> 3 << 25 | _X10 << 7 | _X11 << 15 | rs2 << 20


def floating(fmt: int) -> Iterator[int]:
    """OP-FP and the four multiply-adds with one format, 0 single or 1 double, and all rounding modes."""
    conversions = (0x20, 0x21)  # fcvt.s.d, fcvt.d.s: an operand of the other format
    for opcode in (0x43, 0x47, 0x4B, 0x4F):
        for rounding in range(8):
            yield opcode | rounding << 12 | fmt << 25 | _OPERANDS | _X13 << 27
    for funct7 in range(128):
        if funct7 & 3 == fmt and funct7 not in conversions:
            for rs2 in range(32):
                for rounding in range(8):
                    yield 0x53 | funct7 << 25 | rs2 << 20 | rounding << 12 | _X10 << 7 | _X11 << 15


def system() -> Iterator[int]:
    """SYSTEM without CSRs, but for what ends or changes everything."""
    pick = random.Random(20181001)
    for imm in range(1 << 12):
        for operands in (0, 1 << 7, 1 << 15):
            insn = 0x73 | imm << 20 | operands
            if insn not in (_WFI, _MRET, _SRET):
                yield insn
    yield from (0x4073 | pick.getrandbits(12) << 20 | pick.getrandbits(5) << 15 for _ in range(50))


def csr_reads() -> Iterator[int]:
    """Each CSR read, but for those that only Spike has, or only the board here."""
    spike = {0x10A, 0x30A, 0x31A, 0x320, 0x5A8, 0x7A0, 0x7A1, 0x7A2, 0x7A3, 0x7A4, 0x7A8, 0xF15}
    spike |= {*range(0x3A4, 0x3B0), *range(0x3C0, 0x3F0)}  # triggers, and version 1.12
    here = {*range(0xC03, 0xC20), *range(0xC83, 0xCA0)}  # Zihpm: they read 0
    for csr in range(1 << 12):
        if csr not in spike | here:
            yield 0x2073 | csr << 20 | _X10 << 7


def later_csrs() -> Iterator[int]:
    """The CSRs of version 1.12 of the privileged specification and of Sstc, and those that are not there: all ways."""
    for csr in (0x10A, 0x30A, 0x31A, 0x14D, 0x15D, 0xF15, 0x747, 0x757):
        for rs1 in (6, 7, 4, 3, 8, 0):
            for operation in (1, 2, 3, 5, 6, 7):
                yield 0x73 | csr << 20 | operation << 12 | rs1 << 15 | _X10 << 7
                yield 0x2073 | csr << 20 | _X10 << 7


def csr_writes(privilege: int = 3) -> Iterator[int]:
    """Each CSR that both have written and read, in all three ways, with four patterns."""
    pmpcfg = range(0x3A0, 0x3A4)
    csrs = (1, 2, 3, 0x100, 0x104, 0x106, *range(0x140, 0x145), 0x180, 0x302, 0x303, 0x304, 0x306, *range(0x340, 0x345),
            0x3B0, 0x3B1, 0x3BF, *pmpcfg, 0x301, 0xF14)  # fmt: skip
    for csr in csrs:
        if csr == _SATP and privilege < 3:
            continue  # there would be no code any more
        for rs1 in (3, 4) if csr in pmpcfg else (6, 7, 4, 3, 8, 0):
            for operation in (1, 2, 3):
                yield 0x73 | csr << 20 | operation << 12 | rs1 << 15 | _X10 << 7
                yield 0x2073 | csr << 20 | _X10 << 7
        yield 0x1073 | csr << 20
