"""Special instructions: those that the hart executes itself, because Unicorn would do them wrong or not at all.

The same as ``is_special`` and ``is_ours_now`` in _callbacks.c.
"""

from __future__ import annotations

from typing import Any

from minstret.emu.hart.csr import value_written
from minstret.emu.hart.csr_table import CSR_OF, MSTATUS_BOGUS, OURS_OF, CsrRow, Ours
from minstret.emu.hart.extensions import extension_insn
from minstret.emu.hart.spec import (
    INSN_C_EBREAK,
    INSN_EBREAK,
    INSN_ECALL,
    INSN_MRET,
    INSN_SRET,
    INSN_WFI,
    MSTATUS_FS,
    MSTATUS_MPP_SHIFT,
    MSTATUS_MPRV,
    MSTATUS_TSR,
    MSTATUS_TW,
    MSTATUS_UXL,
    OP_FMADD,
    OP_FMSUB,
    OP_FNMADD,
    OP_FNMSUB,
    OP_FP,
    OP_SYSTEM,
    S_INTERRUPTS,
    Csr,
    FpOp,
)

_FUSED = (OP_FMADD, OP_FMSUB, OP_FNMSUB, OP_FNMADD)


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


def needs_floating(insn: int, xlen: int) -> bool:
    """Whether ``insn`` is illegal while FS is off: floating-point arithmetic, loads, stores, and its CSRs."""
    if insn & 3 != 3:
        return insn & 1 == 0 and (insn >> 13 & 3 == 1 or (insn >> 13 & 3 == 3 and xlen == 32))
    if insn & 0x5F == 0x07:  # loads and stores; those of other widths are of vectors
        return insn >> 12 & 7 in (2, 3)
    is_csr_access = insn & 0x7F == OP_SYSTEM and insn >> 12 & 3 != 0
    return is_floating(insn) or (is_csr_access and Csr.FFLAGS <= insn >> 20 <= Csr.FCSR)


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


def is_of_extension(xlen: int, insn: int, features: int) -> bool:
    """Whether ``insn`` is one that Unicorn does not know, of an extension that the hart has."""
    row = extension_insn(insn, xlen)
    return row is not None and bool(row.feature & features)


def is_special(env: Any, xlen: int, insn: int, features: int) -> bool:
    """Whether the hart executes ``insn`` itself: ECALL, EBREAK, WFI, the CSRs that csr.py owns, compressed
    instructions that trap, floating point that Unicorn has wrong, and those that it does not know.

    MRET, SRET and some of the others are among them only sometimes: see ``is_ours_now``. With our functions in
    Unicorn's place (_helpers.c) the C callbacks leave floating point, its CSRs and sstatus to them, and what
    Unicorn's translator then makes code for. ``features`` are those of the hart: see cpu.py.
    """
    if insn & 3 != 3:
        return insn & 0xFFFF == INSN_C_EBREAK or is_skipped(env, xlen, insn)
    if is_floating(insn):
        return is_special_floating(env, insn)
    if is_of_extension(xlen, insn, features):
        return True
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


def is_ours_now(env: Any, insn: int, *, tells_returns: int = 0) -> bool:
    """Whether a special instruction is ours in the state the hart is in; with ``tells_returns`` MRET and SRET are.

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
        return bool(mstatus & MSTATUS_MPRV or (insn == INSN_SRET and mstatus & MSTATUS_TSR) or tells_returns)
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
