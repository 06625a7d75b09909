"""Which memory an instruction touches: what trap values and fine-grained PMP checks need to know."""

from __future__ import annotations

from typing import NamedTuple

from minstret.emu.hart.spec import (
    AMO_LR,
    AMO_SC,
    CACHE_BLOCK,
    INSN_CBO_ZERO,
    OP_AMO,
    OP_LOAD,
    OP_LOAD_FP,
    OP_STORE,
    OP_STORE_FP,
)


class MemoryAccess(NamedTuple):
    """The data access of one instruction: address ``x[rs1] + imm``, ``size`` bytes; see ``first_byte``."""

    rs1: int
    imm: int
    size: int
    is_store: bool  # faults are store/AMO faults; an AMO counts as a store
    is_atomic: bool  # AMO, LR or SC
    is_conditional: bool = False  # SC: stores only what it may, and does not load
    is_block: bool = False  # CBO.ZERO: all of the cache block that the address is in

    def first_byte(self, address: int) -> int:
        """Where what is accessed begins, if ``address`` is that of the instruction."""
        return address & -self.size if self.is_block else address


_SP = 2


def insn_size(insn: int) -> int:
    """Bytes of an instruction: the low two bits of its first parcel, or of its first byte, tell."""
    return 4 if insn & 3 == 3 else 2


def insn_bytes(insn: int) -> bytes:
    """An instruction as memory has it."""
    return insn.to_bytes(insn_size(insn), "little")


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


def memory_access(insn: int, xlen: int) -> MemoryAccess | None:
    """The data access of ``insn``, or None where it has none.

    Args:
        insn: 16 or 32 bits; the low two bits tell which.
        xlen: 32 or 64: some compressed encodings differ.
    Source: The RISC-V Instruction Set Manual, Volume I, "RV32/64G Instruction Set Listings" and "C".
    """
    if insn & 3 == 3:
        return _wide(insn)
    if insn & 3 == 0:
        return _compressed_register(insn, xlen)
    if insn & 3 == 2:
        return _compressed_stack(insn, xlen)
    return None


def _wide(insn: int) -> MemoryAccess | None:
    opcode, funct3, rs1 = insn & 0x7F, insn >> 12 & 7, insn >> 15 & 31
    if opcode in (OP_LOAD, OP_LOAD_FP):
        return MemoryAccess(rs1, _signed(insn >> 20, 12), 1 << (funct3 & 3), False, False)
    if opcode in (OP_STORE, OP_STORE_FP):
        return MemoryAccess(rs1, _signed(insn >> 25 << 5 | insn >> 7 & 31, 12), 1 << (funct3 & 3), True, False)
    if opcode == OP_AMO:
        return MemoryAccess(rs1, 0, 1 << (funct3 & 3), insn >> 27 != AMO_LR, True, insn >> 27 == AMO_SC)
    if insn & ~(31 << 15) == INSN_CBO_ZERO:
        return MemoryAccess(rs1, 0, CACHE_BLOCK, True, False, is_block=True)
    return None


def _compressed_register(insn: int, xlen: int) -> MemoryAccess | None:
    funct3, rs1 = insn >> 13, 8 + (insn >> 7 & 7)
    if funct3 in (0, 4):
        return None
    word_imm = (insn >> 10 & 7) << 3 | (insn >> 6 & 1) << 2 | (insn >> 5 & 1) << 6
    double_imm = (insn >> 10 & 7) << 3 | (insn >> 5 & 3) << 6
    is_word = funct3 & 3 == 2 or (funct3 & 3 == 3 and xlen == 32)  # 3: c.flw and c.fsw, or c.ld and c.sd
    return MemoryAccess(rs1, word_imm if is_word else double_imm, 4 if is_word else 8, funct3 > 4, False)


def _compressed_stack(insn: int, xlen: int) -> MemoryAccess | None:
    funct3 = insn >> 13
    if funct3 in (0, 4):
        return None
    is_word = funct3 & 3 == 2 or (funct3 & 3 == 3 and xlen == 32)
    if funct3 > 4:
        imm = (insn >> 9 & 15) << 2 | (insn >> 7 & 3) << 6 if is_word else (insn >> 10 & 7) << 3 | (insn >> 7 & 7) << 6
        return MemoryAccess(_SP, imm, 4 if is_word else 8, True, False)
    high = insn >> 12 & 1
    imm = (
        high << 5 | (insn >> 4 & 7) << 2 | (insn >> 2 & 3) << 6
        if is_word
        else high << 5 | (insn >> 5 & 3) << 3 | (insn >> 2 & 7) << 6
    )
    return MemoryAccess(_SP, imm, 4 if is_word else 8, False, False)
