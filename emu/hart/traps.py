"""Trap entry and return: causes, delegation, vectors; and which of several interrupts comes first.

Source: The RISC-V Instruction Set Manual, Volume II, "Machine-Level ISA" and "Supervisor-Level ISA".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from minstret.emu.hart.shared import Shared
from minstret.emu.hart.spec import (
    MSTATUS_MIE,
    MSTATUS_MPIE,
    MSTATUS_MPP,
    MSTATUS_MPP_SHIFT,
    MSTATUS_MPRV,
    MSTATUS_SIE,
    MSTATUS_SPIE,
    MSTATUS_SPP,
    PRIV_M,
    PRIV_S,
    PRIV_U,
    Interrupt,
)

_PRIORITY = (Interrupt.MEI, Interrupt.MSI, Interrupt.MTI, Interrupt.SEI, Interrupt.SSI, Interrupt.STI)


@dataclass(frozen=True, slots=True)
class TrapRecord:
    """One trap as it was taken, for reports.

    Attributes:
        cause: The code of an exception or an interrupt.
        ra, sp, fp: x1, x2 and x8 at that moment, from which one finds who called.
    """

    cause: int
    epc: int
    tval: int
    priv: int
    icount: int
    is_interrupt: bool = False
    ra: int = 0
    sp: int = 0
    fp: int = 0


def last_trap(s: Shared) -> TrapRecord | None:
    """The last trap that was taken, be it an exception or an interrupt; None since a reset."""
    if not s.has_last:
        return None
    return TrapRecord(
        int(s.last_code), int(s.last_epc), int(s.last_tval), int(s.last_priv), int(s.last_icount),
        bool(s.last_is_interrupt), int(s.last_ra), int(s.last_sp), int(s.last_fp),
    )  # fmt: skip


class HandlerEntry(NamedTuple):
    """The first instruction of a trap handler, at one icount: its pc, and how many exceptions were taken there."""

    pc: int
    exceptions: int


def interrupt_is_takeable(mip: int, env: Any) -> bool:
    """Whether a pending interrupt is enabled in the state the hart is in."""
    pending = mip & env.mie
    if not pending:
        return False
    mideleg, mstatus, priv = env.mideleg, env.mstatus, env.priv
    if pending & ~mideleg and (priv < PRIV_M or mstatus & MSTATUS_MIE):
        return True
    return bool(pending & mideleg and (priv < PRIV_S or (priv == PRIV_S and mstatus & MSTATUS_SIE)))


def highest_interrupt(mip: int, env: Any) -> Interrupt | None:
    """The interrupt to take now, or None: those for M-mode before those for S-mode, then by priority."""
    pending, mideleg, mstatus, priv = mip & env.mie, env.mideleg, env.mstatus, env.priv
    to_machine = pending & ~mideleg if priv < PRIV_M or mstatus & MSTATUS_MIE else 0
    to_supervisor = pending & mideleg if priv == PRIV_U or (priv == PRIV_S and mstatus & MSTATUS_SIE) else 0
    for candidates in (to_machine, to_supervisor):
        for interrupt in _PRIORITY:
            if candidates >> interrupt & 1:
                return interrupt
    return None


def enter_trap(env: Any, xlen: int, code: int, tval: int, *, is_interrupt: bool) -> None:
    """Move the hart from ``env.pc`` into its trap handler.

    Drops the reservation, as every change of privilege does.
    """
    priv, mstatus, mask = env.priv, env.mstatus, (1 << xlen) - 1
    cause = code | (1 << (xlen - 1) if is_interrupt else 0)
    delegated = priv < PRIV_M and (env.mideleg if is_interrupt else env.medeleg) >> code & 1
    if delegated:
        env.sepc, env.scause, env.stval, vector = env.pc, cause, tval & mask, env.stvec
        mstatus &= ~(MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP)
        mstatus |= (MSTATUS_SPIE if env.mstatus & MSTATUS_SIE else 0) | (MSTATUS_SPP if priv else 0)
        env.priv = PRIV_S
    else:
        env.mepc, env.mcause, env.mtval, vector = env.pc, cause, tval & mask, env.mtvec
        mstatus &= ~(MSTATUS_MIE | MSTATUS_MPIE | MSTATUS_MPP)
        mstatus |= (MSTATUS_MPIE if env.mstatus & MSTATUS_MIE else 0) | priv << MSTATUS_MPP_SHIFT
        env.priv = PRIV_M
    env.mstatus = mstatus
    env.load_res = mask
    env.pc = (vector & ~3) + (4 * code if is_interrupt and vector & 1 else 0) & mask


def leave_trap(env: Any, xlen: int, *, is_mret: bool) -> None:
    """Go back where ``enter_trap`` came from: MRET or SRET, which is allowed.

    Clears MPRV when that is not M-mode, as the specification says since version 1.12.
    """
    mstatus, mask = env.mstatus, (1 << xlen) - 1
    if is_mret:
        enable, previous, env.pc = MSTATUS_MIE, MSTATUS_MPIE, env.mepc & mask
        priv = mstatus >> MSTATUS_MPP_SHIFT & 3
        mstatus &= ~MSTATUS_MPP
    else:
        enable, previous, priv, env.pc = (
            MSTATUS_SIE,
            MSTATUS_SPIE,
            PRIV_S if mstatus & MSTATUS_SPP else PRIV_U,
            env.sepc & mask,
        )
        mstatus &= ~MSTATUS_SPP
    mstatus = mstatus & ~enable | previous | (enable if mstatus & previous else 0)
    if priv != PRIV_M:
        mstatus &= ~MSTATUS_MPRV
    env.mstatus, env.priv = mstatus, priv
    env.load_res = mask
