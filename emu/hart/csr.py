"""The CSRs that are ours: counters, mip and sip, satp, PMP, and those that Unicorn lets be written wrongly.

Counters are functions of icount and virtual time alone; Unicorn would show the host's clock instead.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from minstret.emu.hart.callbacks import (
    CSR_MSCOUNTEREN,
    CSRRW,
    MASKED_CSRS,
    MSTATUS_FS,
    MSTATUS_MPP_SHIFT,
    MSTATUS_MPRV,
    MSTATUS_MXR,
    MSTATUS_SUM,
    MSTATUS_TVM,
    MSTATUS_UXL,
    PRIV_M,
    PRIV_S,
    PRIV_U,
    value_written,
)
from minstret.emu.hart.layout import fflags_from_softfloat, softfloat_from_fflags

if TYPE_CHECKING:
    from minstret.emu.hart.hart import Hart


class Csr(IntEnum):
    """CSR numbers, named as in the specification."""

    FFLAGS = 0x001
    FRM = 0x002
    FCSR = 0x003
    SSTATUS = 0x100
    SIE = 0x104
    SIP = 0x144
    SATP = 0x180
    MSTATUS = 0x300
    MIP = 0x344
    PMPCFG0 = 0x3A0
    PMPADDR0 = 0x3B0
    MCYCLE = 0xB00
    MINSTRET = 0xB02
    MCYCLEH = 0xB80
    MINSTRETH = 0xB82
    CYCLE = 0xC00
    TIME = 0xC01
    INSTRET = 0xC02
    CYCLEH = 0xC80
    TIMEH = 0xC81
    INSTRETH = 0xC82


class IllegalInstruction(Exception):
    """The access is not allowed, or there is no such CSR: raise an illegal instruction exception."""


_SSIP, _STIP, _SEIP = 1 << 1, 1 << 5, 1 << 9
_MIP_WRITABLE = _SSIP | _STIP | _SEIP
_U64 = (1 << 64) - 1
# SIE MIE SPIE MPIE SPP MPP FS MPRV SUM MXR TVM TW TSR
_MSTATUS_WRITABLE = 0x0000_79AA | 0x007E_0000
_SSTATUS_WRITABLE = 0x0000_6122 | MSTATUS_SUM | MSTATUS_MXR  # SIE SPIE SPP FS SUM MXR
_MSTATUS_FOR_ACCESSES = MSTATUS_MPRV | MSTATUS_SUM | MSTATUS_MXR | 3 << MSTATUS_MPP_SHIFT
_FRM_SHIFT, _FFLAGS_MASK, _FRM_MASK = 5, 31, 7


def execute(hart: Hart, insn: int) -> None:
    """Carry out a CSR instruction on one of our CSRs.

    Raises:
        IllegalInstruction: nothing was changed.
    """
    number, operation, rd, rs1 = insn >> 20, insn >> 12 & 3, insn >> 7 & 31, insn >> 15 & 31
    writes = operation == CSRRW or rs1 != 0
    if hart.env.priv < number >> 8 & 3 or (writes and number >> 10 == 3) or number == CSR_MSCOUNTEREN:
        raise IllegalInstruction
    old = read(hart, number)
    if writes:
        base = hart.soft_mip if number == Csr.MIP else old
        if number == Csr.MIP:  # a line that is up must not become a written bit
            base |= old & ~_MIP_WRITABLE
        write(hart, number, value_written(hart.env, insn, base) & hart.xlen_mask)
    if rd:
        hart.env.x[rd] = old & hart.xlen_mask


def read(hart: Hart, number: int) -> int:
    """The value of one of our CSRs, as the privilege the hart has may see it."""
    env, is_rv32 = hart.env, hart.xlen == 32
    if number == Csr.MSTATUS:
        return int(env.mstatus)
    if number == Csr.SSTATUS:
        return int(env.mstatus & (_SSTATUS_WRITABLE | MSTATUS_UXL | 1 << hart.xlen - 1))
    if Csr.FFLAGS <= number <= Csr.FCSR:
        return _read_float_csr(hart, number)
    if number in MASKED_CSRS:
        return int(getattr(env, MASKED_CSRS[number][0]))
    if number == Csr.SIE:
        return int(env.mie & env.mideleg)
    if number == Csr.MIP:
        return hart.mip
    if number == Csr.SIP:
        return int(hart.mip & env.mideleg)
    if number == Csr.SATP:
        _check_satp_access(hart)
        return int(env.satp)
    if Csr.PMPCFG0 <= number < Csr.PMPCFG0 + 4:
        if not hart.pmp.has_cfg(number - Csr.PMPCFG0):
            raise IllegalInstruction
        return hart.pmp.read_cfg(number - Csr.PMPCFG0)
    if Csr.PMPADDR0 <= number < Csr.PMPADDR0 + 16:
        return hart.pmp.state.addr[number - Csr.PMPADDR0]
    return _read_counter(hart, number, is_rv32)


def _read_counter(hart: Hart, number: int, is_rv32: bool) -> int:
    index, is_high, is_user = number & 0x1F, bool(number & 0x80), number >> 8 == 0xC
    if is_high and not is_rv32:
        raise IllegalInstruction
    if is_user:
        _check_counter_access(hart, index)
    elif index == 1:
        raise IllegalInstruction  # there is no mtime CSR
    if index == 0:
        value = hart.cycles() + hart.mcycle_offset
    elif index == 1:
        value = hart.time()
    elif index == 2:
        value = hart.icount + hart.minstret_offset
    else:
        value = 0  # no event counters
    value &= _U64
    return value >> 32 if is_high else value & hart.xlen_mask


def _check_counter_access(hart: Hart, index: int) -> None:
    env = hart.env
    if env.priv < PRIV_M and not env.mcounteren >> index & 1:
        raise IllegalInstruction
    if env.priv == PRIV_U and not env.scounteren >> index & 1:
        raise IllegalInstruction


def _check_satp_access(hart: Hart) -> None:
    if hart.env.priv == PRIV_S and hart.env.mstatus & MSTATUS_TVM:
        raise IllegalInstruction


def write(hart: Hart, number: int, value: int) -> None:
    """Write one of our CSRs; the access was checked by reading it."""
    if number == Csr.MSTATUS:
        _write_mstatus(hart, value)
    elif number == Csr.SSTATUS:
        _write_mstatus(hart, hart.env.mstatus & ~_SSTATUS_WRITABLE | value & _SSTATUS_WRITABLE)
    elif Csr.FFLAGS <= number <= Csr.FCSR:
        _write_float_csr(hart, number, value)
    elif number in MASKED_CSRS:
        name, mask = MASKED_CSRS[number]
        setattr(hart.env, name, value & mask)
    elif number == Csr.SIE:
        hart.env.mie = hart.env.mie & ~hart.env.mideleg | value & hart.env.mideleg
    elif number == Csr.MIP:
        hart.set_soft_mip(value & _MIP_WRITABLE)
    elif number == Csr.SIP:
        writable = _SSIP & hart.env.mideleg
        hart.set_soft_mip((hart.soft_mip & ~writable) | (value & writable))
    elif number == Csr.SATP:
        _write_satp(hart, value)
    elif Csr.PMPCFG0 <= number < Csr.PMPCFG0 + 4:
        hart.pmp.write_cfg(number - Csr.PMPCFG0, value)
        hart.pmp_changed()
    elif Csr.PMPADDR0 <= number < Csr.PMPADDR0 + 16:
        hart.pmp.write_addr(number - Csr.PMPADDR0, value)
        hart.pmp_changed()
    else:
        _write_counter(hart, number, value)


def _write_mstatus(hart: Hart, value: int) -> None:
    mstatus = hart.env.mstatus & ~_MSTATUS_WRITABLE | value & _MSTATUS_WRITABLE
    if mstatus >> MSTATUS_MPP_SHIFT & 3 == 2:  # there is no such privilege: WARL
        mstatus &= ~(3 << MSTATUS_MPP_SHIFT)
    sd, changed = 1 << (hart.xlen - 1), mstatus ^ hart.env.mstatus
    hart.env.mstatus = mstatus | sd if mstatus & MSTATUS_FS == MSTATUS_FS else mstatus & ~sd
    if changed & _MSTATUS_FOR_ACCESSES:
        hart.flush_tlb()


def _read_float_csr(hart: Hart, number: int) -> int:
    env = hart.env
    if not env.mstatus & MSTATUS_FS:
        raise IllegalInstruction
    fflags, frm = fflags_from_softfloat(env.softfloat_flags), int(env.frm)
    return {Csr.FFLAGS: fflags, Csr.FRM: frm}.get(Csr(number), frm << _FRM_SHIFT | fflags)


def _write_float_csr(hart: Hart, number: int, value: int) -> None:
    if number != Csr.FRM:
        hart.env.softfloat_flags = softfloat_from_fflags(value & _FFLAGS_MASK)
    if number != Csr.FFLAGS:
        hart.env.frm = (value >> _FRM_SHIFT if number == Csr.FCSR else value) & _FRM_MASK
    hart.make_fs_dirty()


def _write_satp(hart: Hart, value: int) -> None:
    if hart.xlen == 64:
        if value >> 60 not in (0, 8):  # WARL: Bare and Sv39; a write that asks for another changes nothing
            hart.refuse_satp(value >> 60)
            return
        value &= (0xF << 60) | (0xFFFF << 44) | ((1 << 44) - 1)
    hart.env.satp = value
    hart.flush_tlb()


def _write_counter(hart: Hart, number: int, value: int) -> None:
    # The instruction after the write reads what was written: one instruction, and one cycle, later.
    is_high = bool(number & 0x80)
    counters = {0: (hart.cycles() + 1, "mcycle_offset"), 2: (hart.icount + 1, "minstret_offset")}
    if number & 0x1F not in counters:
        return
    later, name = counters[number & 0x1F]
    if hart.xlen == 32:
        now = (later - 1 + getattr(hart, name)) & _U64
        value = value << 32 | now & 0xFFFFFFFF if is_high else now & ~0xFFFFFFFF | value
    setattr(hart, name, (value - later) & _U64)
