"""Every CSR there is: its number and name, where its value is kept, which bits exist, and who executes an access.

The one description of them. csr.py reads and writes by it, special.py decides by it which CSR instructions the hart
executes itself, and contract.py makes from it the table by which the C callbacks decide the same.
"""

from __future__ import annotations

from enum import Enum, IntEnum, auto
from typing import NamedTuple

from minstret.emu.hart.cpu import NOTHING_MORE, Cpu, Feature
from minstret.emu.hart.spec import COUNTER_CY, COUNTER_IR, DELEGABLE, M_INTERRUPTS, S_INTERRUPTS, Csr

PMP_ENTRIES = 16
MSTATUS_BOGUS = 3 << 29 | 3 << 38
"""The bits of mstatus at which Unicorn has TW and TSR, and two of the hypervisor extension."""
_ALL_BITS = (1 << 64) - 1
_COUNTERS = 32
"""Counters of a kind: cycle, time, instret, and from 3 on those of events."""


class Owner(Enum):
    """Where the value of a CSR is kept, which says how it is read and written."""

    WORD = auto()  # the word of Unicorn's CPU state that `word` names; its `mask` bits exist
    VECTOR = auto()  # such a word, in which modes 2 and 3 do not exist: writing them changes nothing
    MSTATUS = auto()
    SSTATUS = auto()  # a part of mstatus
    SIE = auto()  # a part of mie
    FLOAT = auto()  # fcsr and its parts
    MIP = auto()
    SIP = auto()  # a part of mip
    SATP = auto()
    PMP_CFG = auto()
    PMP_ADDR = auto()
    TRIGGER = auto()
    COUNTER = auto()  # follows from icount and virtual time
    INHIBIT = auto()  # which counters stand still
    ENVCFG = auto()  # the word of shared.py that `word` names; which bits exist depends on the extensions
    STIMECMP = auto()
    MISA = auto()
    FIXED = auto()  # always reads as 0
    HART_ID = auto()
    ABSENT = auto()  # not there, though Unicorn has it


class Ours(IntEnum):
    """When the hart executes a CSR instruction itself, because Unicorn would do it wrong.

    A write to a read-only CSR by a register is always the hart's: see is_special.
    """

    NEVER = 0
    ALWAYS = 1
    WRONG_BITS = 2  # when it would write bits that do not exist
    FLOAT = 3  # when SD has to follow FS
    SSTATUS = 4  # when there is a UXL to show
    SIE = 5  # when it would write interrupts that are not delegated
    MSTATUS = 6  # when it would write TW or TSR, which Unicorn has elsewhere, or what does not exist


class CsrRow(NamedTuple):
    """One CSR."""

    number: int
    name: str
    owner: Owner
    ours: Ours = Ours.NEVER
    word: str = ""
    mask: int = _ALL_BITS
    only_xlen: int = 0  # 0: on both
    needs: Feature = NOTHING_MORE

    def exists(self, cpu: Cpu) -> bool:
        """Whether such a hart has it."""
        return self.owner is not Owner.ABSENT and self.only_xlen in (0, cpu.xlen) and self.needs in cpu.features

    @property
    def lowest_priv(self) -> int:
        """The lowest privilege that may access it."""
        return self.number >> 8 & 3

    @property
    def is_read_only(self) -> bool:
        """Whether its number says that it can't be written."""
        return self.number >> 10 == 3


def _row(csr: Csr, owner: Owner, ours: Ours = Ours.NEVER, **more: object) -> CsrRow:
    return CsrRow(int(csr), csr.name.lower(), owner, ours, **more)  # type: ignore[arg-type]


def _word(csr: Csr, mask: int | None = None) -> CsrRow:
    """A word of Unicorn's CPU state, which Unicorn lets be written freely: with a mask, too freely."""
    name = csr.name.lower()
    if mask is None:
        return CsrRow(int(csr), name, Owner.WORD, word=name)
    return CsrRow(int(csr), name, Owner.WORD, Ours.WRONG_BITS, word=name, mask=mask)


def _event_counters() -> list[CsrRow]:
    """The counters of events, which count nothing: they read as 0."""
    rows = []
    for i in range(3, _COUNTERS):
        rows.append(CsrRow(Csr.MHPMEVENT3 + i - 3, f"mhpmevent{i}", Owner.FIXED))
        for first, name, only in (
            (Csr.MHPMCOUNTER3, f"mhpmcounter{i}", 0),
            (Csr.MHPMCOUNTER3H, f"mhpmcounter{i}h", 32),
            (Csr.HPMCOUNTER3, f"hpmcounter{i}", 0),
            (Csr.HPMCOUNTER3H, f"hpmcounter{i}h", 32),
        ):
            rows.append(CsrRow(first + i - 3, name, Owner.COUNTER, Ours.ALWAYS, only_xlen=only))
    return rows


def _pmp() -> list[CsrRow]:
    cfg = [
        CsrRow(Csr.PMPCFG0 + i, f"pmpcfg{i}", Owner.PMP_CFG, Ours.ALWAYS, only_xlen=32 * (i % 2))
        for i in range(PMP_ENTRIES // 4)
    ]
    addr = [CsrRow(Csr.PMPADDR0 + i, f"pmpaddr{i}", Owner.PMP_ADDR, Ours.ALWAYS) for i in range(PMP_ENTRIES)]
    return cfg + addr


def _later() -> list[CsrRow]:
    """Those that came after version 1.10 of the privileged specification."""
    at, wide = Feature.SM1P12, {"only_xlen": 32}
    return [
        _row(Csr.SENVCFG, Owner.ENVCFG, Ours.ALWAYS, word="senvcfg", needs=at),
        _row(Csr.MENVCFG, Owner.ENVCFG, Ours.ALWAYS, word="menvcfg", needs=at),
        _row(Csr.MENVCFGH, Owner.ENVCFG, Ours.ALWAYS, word="menvcfg", needs=at, **wide),
        _row(Csr.MCOUNTINHIBIT, Owner.INHIBIT, Ours.ALWAYS, mask=COUNTER_CY | COUNTER_IR, needs=at),
        _row(Csr.MCONFIGPTR, Owner.FIXED, Ours.ALWAYS, needs=at),
        _row(Csr.STIMECMP, Owner.STIMECMP, Ours.ALWAYS, needs=Feature.SSTC),
        _row(Csr.STIMECMPH, Owner.STIMECMP, Ours.ALWAYS, needs=Feature.SSTC, **wide),
    ]


CSRS: tuple[CsrRow, ...] = tuple(sorted((
    _row(Csr.FFLAGS, Owner.FLOAT, Ours.FLOAT),
    _row(Csr.FRM, Owner.FLOAT, Ours.FLOAT),
    _row(Csr.FCSR, Owner.FLOAT, Ours.FLOAT),
    _row(Csr.SSTATUS, Owner.SSTATUS, Ours.SSTATUS),
    _row(Csr.SIE, Owner.SIE, Ours.SIE),
    _row(Csr.STVEC, Owner.VECTOR, word="stvec"),
    _word(Csr.SCOUNTEREN, 0xFFFF_FFFF),
    _word(Csr.SSCRATCH),
    _word(Csr.SEPC, _ALL_BITS - 1),
    _word(Csr.SCAUSE),
    _word(Csr.STVAL),
    _row(Csr.SIP, Owner.SIP, Ours.ALWAYS),
    _row(Csr.SATP, Owner.SATP, Ours.ALWAYS),
    _row(Csr.MSTATUS, Owner.MSTATUS, Ours.MSTATUS),
    _row(Csr.MISA, Owner.MISA, Ours.ALWAYS),
    _word(Csr.MEDELEG, DELEGABLE),
    _word(Csr.MIDELEG, S_INTERRUPTS),
    _word(Csr.MIE, M_INTERRUPTS | S_INTERRUPTS),
    _row(Csr.MTVEC, Owner.VECTOR, word="mtvec"),
    _word(Csr.MCOUNTEREN, 0xFFFF_FFFF),
    _row(Csr.MSTATUSH, Owner.FIXED, Ours.ALWAYS, only_xlen=32),
    _row(Csr.MSCOUNTEREN, Owner.ABSENT, Ours.ALWAYS),
    _word(Csr.MSCRATCH),
    _word(Csr.MEPC, _ALL_BITS - 1),
    _word(Csr.MCAUSE),
    _word(Csr.MTVAL),
    _row(Csr.MIP, Owner.MIP, Ours.ALWAYS),
    *_pmp(),
    *(_row(csr, Owner.TRIGGER, Ours.ALWAYS) for csr in (Csr.TSELECT, Csr.TDATA1, Csr.TDATA2, Csr.TDATA3, Csr.TINFO)),
    _row(Csr.MCYCLE, Owner.COUNTER, Ours.ALWAYS),
    CsrRow(0xB01, "mtime", Owner.ABSENT, Ours.ALWAYS),
    _row(Csr.MINSTRET, Owner.COUNTER, Ours.ALWAYS),
    _row(Csr.MCYCLEH, Owner.COUNTER, Ours.ALWAYS, only_xlen=32),
    CsrRow(0xB81, "mtimeh", Owner.ABSENT, Ours.ALWAYS),
    _row(Csr.MINSTRETH, Owner.COUNTER, Ours.ALWAYS, only_xlen=32),
    _row(Csr.CYCLE, Owner.COUNTER, Ours.ALWAYS),
    _row(Csr.TIME, Owner.COUNTER, Ours.ALWAYS),
    _row(Csr.INSTRET, Owner.COUNTER, Ours.ALWAYS),
    _row(Csr.CYCLEH, Owner.COUNTER, Ours.ALWAYS, only_xlen=32),
    _row(Csr.TIMEH, Owner.COUNTER, Ours.ALWAYS, only_xlen=32),
    _row(Csr.INSTRETH, Owner.COUNTER, Ours.ALWAYS, only_xlen=32),
    *_event_counters(),
    *_later(),
    _row(Csr.MVENDORID, Owner.FIXED),
    _row(Csr.MARCHID, Owner.FIXED),
    _row(Csr.MIMPID, Owner.FIXED),
    _row(Csr.MHARTID, Owner.HART_ID, Ours.ALWAYS),
), key=lambda row: row.number))  # fmt: skip
"""In the order of their numbers, each number once."""

CSR_OF: dict[int, CsrRow] = {row.number: row for row in CSRS}
OURS_OF: dict[int, Ours] = {row.number: row.ours for row in CSRS if row.ours is not Ours.NEVER}


def csrs_by_name(cpu: Cpu) -> dict[str, CsrRow]:
    """The CSRs that such a hart has."""
    return {row.name: row for row in CSRS if row.exists(cpu)}
