"""Which registers an instruction that has retired wrote, and which it stored, as its bits say."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from minstret.emu.hart.decode import MemoryAccess, memory_access
from minstret.emu.hart.operations import operation_of
from minstret.emu.hart.spec import (
    CSRRW,
    INSN_MRET,
    INSN_SRET,
    OP_FMADD,
    OP_FMSUB,
    OP_FNMADD,
    OP_FNMSUB,
    OP_FP,
    OP_LOAD_FP,
    OP_STORE_FP,
    OP_SYSTEM,
    Csr,
)

_INSNS_KEPT = 1 << 16
_FUSED = frozenset((OP_FMADD, OP_FMSUB, OP_FNMSUB, OP_FNMADD))
_FP_TO_X = frozenset((0x14, 0x18, 0x1C))
"""funct5 of comparisons, of conversions to integers, and of FMV.X and FCLASS."""


class Written(NamedTuple):
    """What one instruction does to registers.

    Attributes:
        x, f: The integer or floating-point register that it writes; None for none, and for x0.
        csr: The number of the CSR that it writes, be it a CSR instruction or a return from a trap.
        is_floating: It computes with floats, so it may raise flags.
        access: Its data access.
        stored: The register whose value it stores, or an AMO's operand: an integer register unless ``stores_f``.
    """

    x: int | None
    f: int | None = None
    csr: int | None = None
    is_floating: bool = False
    access: MemoryAccess | None = None
    stored: int | None = None
    stores_f: bool = False


@lru_cache(_INSNS_KEPT)
def written(insn: int, xlen: int) -> Written:
    """What an instruction writes.

    Args:
        insn: 16 or 32 bits; the low two bits tell which.
        xlen: 32 or 64.
    Source: The RISC-V Instruction Set Manual, Volume I, "RV32/64G Instruction Set Listings" and "C".
    """
    x, access = operation_of(insn, xlen).rd or None, memory_access(insn, xlen)
    if insn & 3 == 3:
        return _wide(insn, x, access)
    if access is None:
        return Written(x)
    is_float = insn >> 13 & 3 == 1 or (insn >> 13 & 3 == 3 and xlen == 32)
    register = 8 + (insn >> 2 & 7) if insn & 3 == 0 else insn >> 2 & 31 if access.is_store else insn >> 7 & 31
    if access.is_store:
        return Written(None, access=access, stored=register, stores_f=is_float)
    return Written(x, register if is_float else None, access=access)


def _wide(insn: int, x: int | None, access: MemoryAccess | None) -> Written:
    opcode, rd = insn & 0x7F, insn >> 7 & 31
    if opcode == OP_SYSTEM:
        return Written(x, csr=_csr(insn))
    if opcode in _FUSED or opcode == OP_FP:
        return Written(x, None if opcode == OP_FP and insn >> 27 in _FP_TO_X else rd, is_floating=True)
    if opcode == OP_LOAD_FP:
        return Written(None, rd, access=access)
    if access is not None and access.is_store:
        return Written(
            x, access=access, stored=0 if access.is_block else insn >> 20 & 31, stores_f=opcode == OP_STORE_FP
        )
    return Written(x, access=access)


def _csr(insn: int) -> int | None:
    """The CSR that an instruction of the opcode SYSTEM writes."""
    if insn in (INSN_MRET, INSN_SRET):
        return int(Csr.MSTATUS if insn == INSN_MRET else Csr.SSTATUS)
    writes = insn >> 12 & 3 and (insn >> 12 & 3 == CSRRW or insn >> 15 & 31)
    return insn >> 20 if writes else None
