"""Reading and writing CSRs by the table of them, and the CSR instructions that the hart executes itself.

Counters are functions of icount and virtual time alone; Unicorn would show the host's clock instead.
"""

from __future__ import annotations

from collections.abc import Callable

from minstret.emu.hart.core import Core
from minstret.emu.hart.cpu import Cpu, Feature
from minstret.emu.hart.csr_table import CSR_OF, CsrRow, Owner
from minstret.emu.hart.layout import fflags_from_softfloat, softfloat_from_fflags
from minstret.emu.hart.pagetables import satp_modes
from minstret.emu.hart.spec import (
    COUNTER_TM,
    CSRRS,
    CSRRW,
    ENVCFG_CBCFE,
    ENVCFG_CBIE,
    ENVCFG_CBZE,
    ENVCFG_FIOM,
    MENVCFG_ADUE,
    MENVCFG_PBMTE,
    MENVCFG_STCE,
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
    SATP_MODE_SHIFT,
    Csr,
    Interrupt,
)


class IllegalInstruction(Exception):
    """The access is not allowed, or there is no such CSR: raise an illegal instruction exception."""


_SSIP, _STIP = 1 << Interrupt.SSI, 1 << Interrupt.STI
_MIP_WRITABLE = S_INTERRUPTS
_U64 = (1 << 64) - 1
# SIE MIE SPIE MPIE SPP MPP FS MPRV SUM MXR TVM TW TSR
_MSTATUS_WRITABLE = 0x0000_79AA | 0x007E_0000
_SSTATUS_WRITABLE = 0x0000_6122 | MSTATUS_SUM | MSTATUS_MXR  # SIE SPIE SPP FS SUM MXR
_MSTATUS_FOR_ACCESSES = MSTATUS_MPRV | MSTATUS_SUM | MSTATUS_MXR | MSTATUS_MPP
_FRM_SHIFT, _FFLAGS_MASK, _FRM_MASK = 5, 31, 7
_HIGH_HALF = 0x80
_CYCLE, _TIME, _INSTRET = range(3)
_OFFSETS = {_CYCLE: "mcycle_offset", _INSTRET: "minstret_offset"}
"""What a counter has beside the count; while it is inhibited that is all it has."""
_CBIE_RESERVED = 2 << 4
_ENVCFG_OF = (
    (Feature.ZICBOM, ENVCFG_CBIE | ENVCFG_CBCFE, 0), (Feature.ZICBOZ, ENVCFG_CBZE, 0), (Feature.SVADU, 0, MENVCFG_ADUE),
    (Feature.SVPBMT, 0, MENVCFG_PBMTE), (Feature.SSTC, 0, MENVCFG_STCE),
)  # fmt: skip
"""What an extension has in menvcfg and senvcfg, and in menvcfg alone."""


def execute(core: Core, insn: int) -> None:
    """Carry out a CSR instruction on one of our CSRs.

    Raises:
        IllegalInstruction: nothing was changed.
    """
    number, operation, rd, rs1 = insn >> 20, insn >> 12 & 3, insn >> 7 & 31, insn >> 15 & 31
    row = CSR_OF.get(number)
    writes = operation == CSRRW or rs1 != 0
    if row is None or not row.exists(core.cpu):
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
    if row.owner is Owner.STIMECMP:
        return env.priv == PRIV_M or bool(env.mcounteren & COUNTER_TM and core.shared.menvcfg & MENVCFG_STCE)
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
        value = core.count_of(_CYCLE) + int(core.shared.mcycle_offset)
    elif index == _TIME:
        value = core.time()
    elif index == _INSTRET:
        value = core.count_of(_INSTRET) + int(core.shared.minstret_offset)
    else:
        value = 0  # no event counters
    value &= _U64
    return value >> 32 if row.number & _HIGH_HALF else value


def _read_envcfg(core: Core, row: CsrRow) -> int:
    value = int(getattr(core.shared, row.word))
    return value >> 32 if row.number == Csr.MENVCFGH else value


def _read_stimecmp(core: Core, row: CsrRow) -> int:
    value = int(core.shared.stimecmp)
    return value >> 32 if row.number == Csr.STIMECMPH else value


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
    Owner.INHIBIT: lambda core, row: int(core.shared.mcountinhibit),
    Owner.ENVCFG: _read_envcfg,
    Owner.STIMECMP: _read_stimecmp,
    Owner.MISA: lambda core, row: core.cpu.misa,
    Owner.FIXED: lambda core, row: 0,
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
    elif row.owner is Owner.INHIBIT:
        _write_inhibit(core, value & row.mask, insns_later)
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
        mode = value >> SATP_MODE_SHIFT
        if mode not in satp_modes(core.cpu.features):  # WARL: a write that asks for another changes nothing
            core.refuse_satp(mode)
            return
    core.env.satp = value
    core.flush_tlb()


def _write_pmp_cfg(core: Core, row: CsrRow, value: int) -> None:
    core.pmp.write_cfg(row.number - Csr.PMPCFG0, value)
    core.pmp_changed()


def _write_pmp_addr(core: Core, row: CsrRow, value: int) -> None:
    core.pmp.write_addr(row.number - Csr.PMPADDR0, value)
    core.pmp_changed()


def _write_counter(core: Core, row: CsrRow, value: int, insns_later: int) -> None:
    index = row.number & 0x1F
    if index not in _OFFSETS:
        return
    count, name = core.count_of(index), _OFFSETS[index]
    if core.shared.mcountinhibit >> index & 1:
        insns_later = 0
    if core.xlen == 32:
        now = (count + getattr(core.shared, name)) & _U64
        is_high = row.number & _HIGH_HALF
        value = value << 32 | now & 0xFFFFFFFF if is_high else now & ~0xFFFFFFFF | value
    setattr(core.shared, name, (value - count - insns_later) & _U64)


def _write_inhibit(core: Core, value: int, insns_later: int) -> None:
    """Let counters stand still, or go on: the instruction that does so counts as it did before."""
    s, changed = core.shared, core.shared.mcountinhibit ^ value
    for index, name in _OFFSETS.items():
        if changed >> index & 1:
            now = core.counted(index) + insns_later
            setattr(s, name, getattr(s, name) + (now if value >> index & 1 else -now) & _U64)
    s.mcountinhibit = value


def _write_envcfg(core: Core, row: CsrRow, value: int) -> None:
    """Write menvcfg, a half of it, or senvcfg; the reserved CBIE becomes 0."""
    s, exists = core.shared, _envcfg_bits(core.cpu, is_menvcfg=row.word == "menvcfg")
    old = int(getattr(s, row.word))
    if core.xlen == 32:
        value = value << 32 | old & 0xFFFF_FFFF if row.number == Csr.MENVCFGH else old & ~0xFFFF_FFFF | value
    if value & ENVCFG_CBIE == _CBIE_RESERVED:
        value &= ~ENVCFG_CBIE
    value &= exists
    setattr(s, row.word, value)
    if (value ^ old) & (MENVCFG_ADUE | MENVCFG_PBMTE):
        core.flush_tlb()
    if (value ^ old) & MENVCFG_STCE:
        core.set_soft_mip(core.soft_mip & ~_STIP)
        core.on_stimecmp()


def _envcfg_bits(cpu: Cpu, *, is_menvcfg: bool) -> int:
    """The bits of menvcfg or senvcfg that exist."""
    bits = ENVCFG_FIOM
    for feature, both, machine in _ENVCFG_OF:
        if feature in cpu.features:
            bits |= both | (machine if is_menvcfg else 0)
    return bits


def _write_stimecmp(core: Core, row: CsrRow, value: int) -> None:
    s = core.shared
    if core.xlen == 32:
        old = int(s.stimecmp)
        value = value << 32 | old & 0xFFFF_FFFF if row.number == Csr.STIMECMPH else old & ~0xFFFF_FFFF | value
    s.stimecmp = value
    core.on_stimecmp()


def _write_mip(core: Core, row: CsrRow, value: int) -> None:
    writable = _MIP_WRITABLE & ~(_STIP if core.shared.menvcfg & MENVCFG_STCE else 0)
    core.set_soft_mip(value & writable)


def _write_nothing(core: Core, row: CsrRow, value: int) -> None:
    """The CSR can be written, and stays as it is."""


_WRITERS: dict[Owner, Callable[[Core, CsrRow, int], None]] = {
    Owner.WORD: _write_word,
    Owner.VECTOR: _write_vector,
    Owner.MSTATUS: _write_mstatus,
    Owner.SSTATUS: _write_sstatus,
    Owner.SIE: _write_sie,
    Owner.FLOAT: _write_float,
    Owner.MIP: _write_mip,
    Owner.SIP: _write_sip,
    Owner.SATP: _write_satp,
    Owner.PMP_CFG: _write_pmp_cfg,
    Owner.PMP_ADDR: _write_pmp_addr,
    Owner.TRIGGER: lambda core, row, value: core.triggers.write(row.number, value),
    Owner.ENVCFG: _write_envcfg,
    Owner.STIMECMP: _write_stimecmp,
    Owner.MISA: _write_nothing,
    Owner.FIXED: _write_nothing,
}
