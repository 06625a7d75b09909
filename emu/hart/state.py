"""A hart's state between two instructions, as snapshots keep it."""

from __future__ import annotations

from dataclasses import dataclass, field

from minstret.emu.hart.pmp import PmpState
from minstret.emu.hart.traps import TrapRecord
from minstret.emu.hart.triggers import TriggerState

WORDS = (
    "pc", "load_res", "load_val", "frm", "priv", "mstatus", "mie", "mideleg", "satp", "stval", "mtval", "medeleg",
    "stvec", "sepc", "scause", "mtvec", "mepc", "mcause", "scounteren", "mcounteren", "sscratch", "mscratch",
)  # fmt: skip
"""State words kept in Unicorn's CPU state, in the order they are saved."""


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
