"""A hart's state between two instructions, as snapshots keep it."""

from __future__ import annotations

from dataclasses import dataclass, field

from minstret.emu.hart.cpu import Cpu
from minstret.emu.hart.pmp import PmpState
from minstret.emu.hart.spec import MENVCFG_ADUE
from minstret.emu.hart.traps import TrapRecord
from minstret.emu.hart.triggers import TriggerState

WORDS = (
    "pc", "load_res", "load_val", "frm", "priv", "mstatus", "mie", "mideleg", "satp", "stval", "mtval", "medeleg",
    "stvec", "sepc", "scause", "mtvec", "mepc", "mcause", "scounteren", "mcounteren", "sscratch", "mscratch",
)  # fmt: skip
"""State words kept in Unicorn's CPU state, in the order they are saved."""


@dataclass(slots=True)
class LaterCsrs:
    """CSRs since version 1.12 of the privileged specification, and Sstc's."""

    menvcfg: int = 0
    senvcfg: int = 0
    mcountinhibit: int = 0
    stimecmp: int = (1 << 64) - 1


def later_csrs(cpu: Cpu) -> LaterCsrs | None:
    """Those of a hart at a reset, where it has them: Svadu is on, as it always was here."""
    if not cpu.has("sm1p12"):
        return None
    return LaterCsrs(menvcfg=MENVCFG_ADUE if cpu.has("svadu") else 0)


@dataclass(slots=True)
class HartState:
    """All that a hart is, but for RAM. Counts in instructions."""

    xlen: int
    icount: int
    x: list[int]
    f: list[int]
    words: dict[str, int]
    fflags: int
    lines: int
    soft_mip: int
    waiting: bool
    mcycle_offset: int
    minstret_offset: int
    traps_in_place: int
    traps_icount: int
    last_trap: TrapRecord | None = None
    first_trap: TrapRecord | None = None
    pmp: PmpState = field(default_factory=PmpState)
    triggers: TriggerState = field(default_factory=TriggerState)
    later: LaterCsrs | None = None
