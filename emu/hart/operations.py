"""What an instruction does with integer registers and where it goes on, as far as one needs it to follow a function."""

from __future__ import annotations

from enum import Enum, auto
from functools import lru_cache
from typing import NamedTuple

from minstret.emu.hart.decode import memory_access
from minstret.emu.hart.spec import INSN_MRET, INSN_SRET, REG_RA, REG_SP


class OpKind(Enum):
    """What an instruction does."""

    OTHER = auto()  # changes rd, if that is not x0
    ADD_IMMEDIATE = auto()
    ADD_WORD = auto()  # 32 bits of the sum, on rv64
    SHIFT_LEFT = auto()  # by imm
    ADD = auto()
    SUBTRACT = auto()
    CONSTANT = auto()
    PC_CONSTANT = auto()
    LOAD = auto()  # of XLEN bits
    STORE = auto()  # of XLEN bits
    BRANCH = auto()
    JUMP = auto()
    JUMP_REGISTER = auto()
    TRAP_RETURN = auto()


class Op(NamedTuple):
    """An instruction. ``imm`` is signed; of a branch or a jump it is the distance, in bytes."""

    size: int
    kind: OpKind
    rd: int = 0
    rs1: int = 0
    rs2: int = 0
    imm: int = 0


@lru_cache(maxsize=1 << 16)
def operation_of(insn: int, xlen: int) -> Op:
    """What an instruction does with integer registers.

    Args:
        insn: 16 or 32 bits; the low two bits tell which.
        xlen: 32 or 64.
    Source: The RISC-V Instruction Set Manual, Volume I, "RV32/64G Instruction Set Listings" and "C".
    """
    if insn & 3 == 3:
        return _wide(insn, xlen)
    op = (_compressed_memory, _compressed_arithmetic, _compressed_stack)[insn & 3](insn, xlen)
    return op._replace(size=2)


def signed(value: int, bits: int) -> int:
    """The number that ``bits`` bits are in two's complement."""
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


def _field(insn: int, *pieces: tuple[int, int, int]) -> int:
    """Bits put together: of each piece, from which bit of the instruction, how many, to which bit."""
    return sum((insn >> at & (1 << size) - 1) << to for at, size, to in pieces)


def _wide(insn: int, xlen: int) -> Op:
    opcode, rd, funct3 = insn & 0x7F, insn >> 7 & 31, insn >> 12 & 7
    rs1, rs2, funct7 = insn >> 15 & 31, insn >> 20 & 31, insn >> 25
    word = 3 if xlen == 64 else 2
    immediate = signed(insn >> 20, 12)
    match opcode:
        case 0x13 if funct3 == 0:
            return Op(4, OpKind.ADD_IMMEDIATE, rd, rs1, 0, immediate)
        case 0x13 if funct3 == 1 and funct7 < 2:
            return Op(4, OpKind.SHIFT_LEFT, rd, rs1, 0, insn >> 20 & 63)
        case 0x1B if funct3 == 0:
            return Op(4, OpKind.ADD_WORD, rd, rs1, 0, immediate)
        case 0x33 if funct3 == 0 and funct7 in (0, 0x20):
            return Op(4, OpKind.SUBTRACT if funct7 else OpKind.ADD, rd, rs1, rs2)
        case 0x37 | 0x17:
            return Op(
                4, OpKind.CONSTANT if opcode == 0x37 else OpKind.PC_CONSTANT, rd, 0, 0, signed(insn >> 12, 20) << 12
            )
        case 0x03 if funct3 == word:
            return Op(4, OpKind.LOAD, rd, rs1, 0, immediate)
        case 0x23:
            stored = signed(funct7 << 5 | rd, 12)
            return Op(4, OpKind.STORE, 0, rs1, rs2, stored) if funct3 == word else Op(4, OpKind.OTHER)
        case 0x63:
            distance = signed(_field(insn, (8, 4, 1), (25, 6, 5), (7, 1, 11), (31, 1, 12)), 13)
            return Op(4, OpKind.BRANCH, 0, rs1, rs2, distance)
        case 0x6F:
            distance = signed(_field(insn, (21, 10, 1), (20, 1, 11), (12, 8, 12), (31, 1, 20)), 21)
            return Op(4, OpKind.JUMP, rd, 0, 0, distance)
        case 0x67:
            return Op(4, OpKind.JUMP_REGISTER, rd, rs1, 0, immediate)
        case 0x73 if insn in (INSN_MRET, INSN_SRET):
            return Op(4, OpKind.TRAP_RETURN)
        case 0x53 if funct7 >> 2 not in (0x14, 0x18, 0x1C):  # the others write an f register
            return Op(4, OpKind.OTHER)
        case 0x07 | 0x27 | 0x43 | 0x47 | 0x4B | 0x4F:
            return Op(4, OpKind.OTHER)
        case _:
            return Op(4, OpKind.OTHER, rd)


def _moved(insn: int, xlen: int, register: int) -> Op:
    """A compressed load or store, of ``register``."""
    access = memory_access(insn, xlen)
    is_float = insn >> 13 & 3 == 1 or (insn >> 13 & 3 == 3 and xlen == 32)
    if access is None or is_float:
        return Op(2, OpKind.OTHER)
    if access.size * 8 != xlen:
        return Op(2, OpKind.OTHER, 0 if access.is_store else register)
    if access.is_store:
        return Op(2, OpKind.STORE, 0, access.rs1, register, access.imm)
    return Op(2, OpKind.LOAD, register, access.rs1, 0, access.imm)


def _compressed_memory(insn: int, xlen: int) -> Op:
    register = 8 + (insn >> 2 & 7)
    if insn >> 13 == 0:
        return Op(
            2, OpKind.ADD_IMMEDIATE, register, REG_SP, 0, _field(insn, (11, 2, 4), (7, 4, 6), (6, 1, 2), (5, 1, 3))
        )
    return _moved(insn, xlen, register)


def _compressed_arithmetic(insn: int, xlen: int) -> Op:
    funct3, rd, immediate = insn >> 13, insn >> 7 & 31, signed(_field(insn, (2, 5, 0), (12, 1, 5)), 6)
    match funct3:
        case 0:
            return Op(2, OpKind.ADD_IMMEDIATE, rd, rd, 0, immediate)
        case 1 if xlen == 64:
            return Op(2, OpKind.ADD_WORD, rd, rd, 0, immediate)
        case 2:
            return Op(2, OpKind.CONSTANT, rd, 0, 0, immediate)
        case 3 if rd == REG_SP:
            distance = signed(_field(insn, (6, 1, 4), (2, 1, 5), (5, 1, 6), (3, 2, 7), (12, 1, 9)), 10)
            return Op(2, OpKind.ADD_IMMEDIATE, REG_SP, REG_SP, 0, distance)
        case 3:
            return Op(2, OpKind.CONSTANT, rd, 0, 0, immediate << 12)
        case 4:
            return Op(2, OpKind.OTHER, 8 + (rd & 7))
        case 1 | 5:
            pieces = (3, 3, 1), (11, 1, 4), (2, 1, 5), (7, 1, 6), (6, 1, 7), (9, 2, 8), (8, 1, 10), (12, 1, 11)
            return Op(2, OpKind.JUMP, REG_RA if funct3 == 1 else 0, 0, 0, signed(_field(insn, *pieces), 12))
        case _:
            distance = signed(_field(insn, (3, 2, 1), (10, 2, 3), (2, 1, 5), (5, 2, 6), (12, 1, 8)), 9)
            return Op(2, OpKind.BRANCH, 0, 8 + (rd & 7), 0, distance)


def _compressed_stack(insn: int, xlen: int) -> Op:
    funct3, rd, rs2 = insn >> 13, insn >> 7 & 31, insn >> 2 & 31
    if funct3 == 0:
        return Op(2, OpKind.SHIFT_LEFT, rd, rd, 0, _field(insn, (2, 5, 0), (12, 1, 5)))
    if funct3 != 4:
        return _moved(insn, xlen, rs2 if funct3 > 4 else rd)
    is_linked = insn >> 12 & 1
    if rs2 == 0:
        return Op(2, OpKind.JUMP_REGISTER, REG_RA if is_linked else 0, rd) if rd else Op(2, OpKind.OTHER)
    if is_linked:
        return Op(2, OpKind.ADD, rd, rd, rs2)
    return Op(2, OpKind.ADD_IMMEDIATE, rd, rs2)
