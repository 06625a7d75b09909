"""Reading and writing CSRs by the table of them, and the CSR instructions that the hart executes itself.

Counters are functions of icount and virtual time alone; Unicorn would show the host's clock instead.
"""

from __future__ import annotations

from collections.abc import Callable

from minstret.emu.hart.core import Core
from minstret.emu.hart.csr_table import CSR_OF, CsrRow, Owner
from minstret.emu.hart.layout import fflags_from_softfloat, softfloat_from_fflags
from minstret.emu.hart.spec import (
    CSRRS,
    CSRRW,
    MSTATUS_FS,
    MSTATUS_MPP,
    MSTATUS_MPP_SHIFT,
    MSTATUS_MPRV,
    MSTATUS_MXR,
    MSTATUS_SUM,
    MSTATUS_TVM,
    MSTATUS_UXL,
    PRIV_M,
    PRIV_S,
    PRIV_U,
    S_INTERRUPTS,
    Csr,
    Interrupt,
)


class IllegalInstruction(Exception):
    """The access is not allowed, or there is no such CSR: raise an illegal instruction exception."""


_SSIP = 1 << Interrupt.SSI
_MIP_WRITABLE = S_INTERRUPTS
_U64 = (1 << 64) - 1
# SIE MIE SPIE MPIE SPP MPP FS MPRV SUM MXR TVM TW TSR
_MSTATUS_WRITABLE = 0x0000_79AA | 0x007E_0000
_SSTATUS_WRITABLE = 0x0000_6122 | MSTATUS_SUM | MSTATUS_MXR  # SIE SPIE SPP FS SUM MXR
_MSTATUS_FOR_ACCESSES = MSTATUS_MPRV | MSTATUS_SUM | MSTATUS_MXR | MSTATUS_MPP
_FRM_SHIFT, _FFLAGS_MASK, _FRM_MASK = 5, 31, 7
_SATP_MODES_64 = (0, 8)  # Bare and Sv39
_HIGH_HALF = 0x80
_CYCLE, _TIME, _INSTRET = range(3)


def execute(core: Core, insn: int) -> None:
    """Carry out a CSR instruction on one of our CSRs.

    Raises:
        IllegalInstruction: nothing was changed.
    """
    number, operation, rd, rs1 = insn >> 20, insn >> 12 & 3, insn >> 7 & 31, insn >> 15 & 31
    row = CSR_OF.get(number)
    writes = operation == CSRRW or rs1 != 0
    if row is None or not row.exists(core.xlen):
        raise IllegalInstruction
    if core.env.priv < row.lowest_priv or (writes and row.is_read_only) or not _may_access(core, row):
        raise IllegalInstruction
    old = read(core, row)
    if writes:
        base = old
        if row.owner is Owner.MIP:  # a line that is up must not become a written bit
            base = core.soft_mip | old & ~_MIP_WRITABLE
        write(core, row, value_written(core.env.x, insn, base) & core.xlen_mask, insns_later=1)
    if rd:
        core.env.x[rd] = old & core.xlen_mask


def value_written(x: list[int], insn: int, old: int) -> int:
    """What a CSR instruction makes of ``old``, before the CSR has its say. ``x``: the integer registers."""
    operation, rs1 = insn >> 12 & 3, insn >> 15 & 31
    operand = int(rs1 if insn >> 14 & 1 else x[rs1])
    return operand if operation == CSRRW else old | operand if operation == CSRRS else old & ~operand


def _may_access(core: Core, row: CsrRow) -> bool:
    """Whether other registers let the privilege that the hart has access the CSR."""
    env = core.env
    if row.owner is Owner.FLOAT:
        return bool(env.mstatus & MSTATUS_FS)
    if row.owner is Owner.SATP:
        return not (env.priv == PRIV_S and env.mstatus & MSTATUS_TVM)
    if row.owner is Owner.COUNTER and row.is_read_only:
        index = row.number & 0x1F
        if env.priv < PRIV_M and not env.mcounteren >> index & 1:
            return False
        return env.priv != PRIV_U or bool(env.scounteren >> index & 1)
    return True


# ---- reading


def read(core: Core, row: CsrRow) -> int:
    """The value of a CSR that exists, as M-mode sees it. Changes nothing."""
    return _READERS[row.owner](core, row) & core.xlen_mask


def _read_word(core: Core, row: CsrRow) -> int:
    return int(getattr(core.env, row.word))


def _read_sstatus(core: Core, row: CsrRow) -> int:
    return int(core.env.mstatus & (_SSTATUS_WRITABLE | MSTATUS_UXL | 1 << core.xlen - 1))


def _read_float(core: Core, row: CsrRow) -> int:
    fflags, frm = fflags_from_softfloat(core.env.softfloat_flags), int(core.env.frm)
    return {Csr.FFLAGS: fflags, Csr.FRM: frm}.get(Csr(row.number), frm << _FRM_SHIFT | fflags)


def _read_pmp_addr(core: Core, row: CsrRow) -> int:
    return core.pmp.state.addr[row.number - Csr.PMPADDR0]


def _read_counter(core: Core, row: CsrRow) -> int:
    index = row.number & 0x1F
    if index == _CYCLE:
        value = core.cycles() + int(core.shared.mcycle_offset)
    elif index == _TIME:
        value = core.time()
    elif index == _INSTRET:
        value = core.icount + int(core.shared.minstret_offset)
    else:
        value = 0  # no event counters
    value &= _U64
    return value >> 32 if row.number & _HIGH_HALF else value


_READERS: dict[Owner, Callable[[Core, CsrRow], int]] = {
    Owner.WORD: _read_word,
    Owner.VECTOR: _read_word,
    Owner.MSTATUS: lambda core, row: int(core.env.mstatus),
    Owner.SSTATUS: _read_sstatus,
    Owner.SIE: lambda core, row: int(core.env.mie & core.env.mideleg),
    Owner.FLOAT: _read_float,
    Owner.MIP: lambda core, row: core.mip,
    Owner.SIP: lambda core, row: int(core.mip & core.env.mideleg),
    Owner.SATP: lambda core, row: int(core.env.satp),
    Owner.PMP_CFG: lambda core, row: core.pmp.read_cfg(row.number - Csr.PMPCFG0),
    Owner.PMP_ADDR: _read_pmp_addr,
    Owner.TRIGGER: lambda core, row: core.triggers.read(row.number),
    Owner.COUNTER: _read_counter,
    Owner.FIXED: lambda core, row: row.fixed[core.xlen == 64],
    Owner.HART_ID: lambda core, row: core.hart_id,
}


# ---- writing


def write(core: Core, row: CsrRow, value: int, insns_later: int = 0) -> None:
    """Write a CSR that exists and is not read-only, as M-mode does: bits that do not exist stay as they are.

    Args:
        core: The hart's registers.
        row: Which CSR.
        value: XLEN bits.
        insns_later: A counter has this value after so many more instructions: 1 where an instruction writes it.
    """
    if row.owner is Owner.COUNTER:
        _write_counter(core, row, value, insns_later)
    else:
        _WRITERS[row.owner](core, row, value)


def _write_word(core: Core, row: CsrRow, value: int) -> None:
    setattr(core.env, row.word, value & row.mask)


def _write_vector(core: Core, row: CsrRow, value: int) -> None:
    if value & 3 < 2:
        setattr(core.env, row.word, value)


def _write_mstatus(core: Core, row: CsrRow, value: int) -> None:
    old = int(core.env.mstatus)
    mstatus = old & ~_MSTATUS_WRITABLE | value & _MSTATUS_WRITABLE
    if mstatus >> MSTATUS_MPP_SHIFT & 3 == 2:  # there is no such privilege: WARL
        mstatus &= ~MSTATUS_MPP
    sd = 1 << (core.xlen - 1)
    core.env.mstatus = mstatus | sd if mstatus & MSTATUS_FS == MSTATUS_FS else mstatus & ~sd
    if (mstatus ^ old) & _MSTATUS_FOR_ACCESSES:
        core.flush_tlb()


def _write_sstatus(core: Core, row: CsrRow, value: int) -> None:
    _write_mstatus(core, row, core.env.mstatus & ~_SSTATUS_WRITABLE | value & _SSTATUS_WRITABLE)


def _write_sie(core: Core, row: CsrRow, value: int) -> None:
    core.env.mie = core.env.mie & ~core.env.mideleg | value & core.env.mideleg


def _write_float(core: Core, row: CsrRow, value: int) -> None:
    if row.number != Csr.FRM:
        core.env.softfloat_flags = softfloat_from_fflags(value & _FFLAGS_MASK)
    if row.number != Csr.FFLAGS:
        core.env.frm = (value >> _FRM_SHIFT if row.number == Csr.FCSR else value) & _FRM_MASK
    core.make_fs_dirty()


def _write_sip(core: Core, row: CsrRow, value: int) -> None:
    writable = _SSIP & core.env.mideleg
    core.set_soft_mip((core.soft_mip & ~writable) | (value & writable))


def _write_satp(core: Core, row: CsrRow, value: int) -> None:
    if core.xlen == 64:
        if value >> 60 not in _SATP_MODES_64:  # WARL: a write that asks for another changes nothing
            core.refuse_satp(value >> 60)
            return
        value &= (0xF << 60) | (0xFFFF << 44) | ((1 << 44) - 1)
    core.env.satp = value
    core.flush_tlb()


def _write_pmp_cfg(core: Core, row: CsrRow, value: int) -> None:
    core.pmp.write_cfg(row.number - Csr.PMPCFG0, value)
    core.pmp_changed()


def _write_pmp_addr(core: Core, row: CsrRow, value: int) -> None:
    core.pmp.write_addr(row.number - Csr.PMPADDR0, value)
    core.pmp_changed()


def _write_counter(core: Core, row: CsrRow, value: int, insns_later: int) -> None:
    counters = {_CYCLE: (core.cycles(), "mcycle_offset"), _INSTRET: (core.icount, "minstret_offset")}
    if row.number & 0x1F not in counters:
        return
    count, name = counters[row.number & 0x1F]
    if core.xlen == 32:
        now = (count + getattr(core.shared, name)) & _U64
        is_high = row.number & _HIGH_HALF
        value = value << 32 | now & 0xFFFFFFFF if is_high else now & ~0xFFFFFFFF | value
    setattr(core.shared, name, (value - count - insns_later) & _U64)


def _write_nothing(core: Core, row: CsrRow, value: int) -> None:
    """The CSR can be written, and stays as it is."""


_WRITERS: dict[Owner, Callable[[Core, CsrRow, int], None]] = {
    Owner.WORD: _write_word,
    Owner.VECTOR: _write_vector,
    Owner.MSTATUS: _write_mstatus,
    Owner.SSTATUS: _write_sstatus,
    Owner.SIE: _write_sie,
    Owner.FLOAT: _write_float,
    Owner.MIP: lambda core, row, value: core.set_soft_mip(value & _MIP_WRITABLE),
    Owner.SIP: _write_sip,
    Owner.SATP: _write_satp,
    Owner.PMP_CFG: _write_pmp_cfg,
    Owner.PMP_ADDR: _write_pmp_addr,
    Owner.TRIGGER: lambda core, row, value: core.triggers.write(row.number, value),
    Owner.FIXED: _write_nothing,
}
