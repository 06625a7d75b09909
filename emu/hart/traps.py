"""Trap entry and return: causes, delegation, vectors; and which of several interrupts comes first.

Source: The RISC-V Instruction Set Manual, Volume II, "Machine-Level ISA" and "Supervisor-Level ISA".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from minstret.emu.hart.callbacks import MSTATUS_MPRV, PRIV_M, PRIV_S, PRIV_U


class Cause(IntEnum):
    """Exception codes."""

    FETCH_MISALIGNED = 0
    FETCH_ACCESS = 1
    ILLEGAL_INSTRUCTION = 2
    BREAKPOINT = 3
    LOAD_MISALIGNED = 4
    LOAD_ACCESS = 5
    STORE_MISALIGNED = 6
    STORE_ACCESS = 7
    ECALL_FROM_U = 8
    ECALL_FROM_S = 9
    ECALL_FROM_M = 11
    FETCH_PAGE_FAULT = 12
    LOAD_PAGE_FAULT = 13
    STORE_PAGE_FAULT = 15


CAUSE_TEXT: dict[int, str] = {
    Cause.FETCH_MISALIGNED: "instruction address misaligned",
    Cause.FETCH_ACCESS: "instruction access fault",
    Cause.ILLEGAL_INSTRUCTION: "illegal instruction",
    Cause.BREAKPOINT: "breakpoint",
    Cause.LOAD_MISALIGNED: "load address misaligned",
    Cause.LOAD_ACCESS: "load access fault",
    Cause.STORE_MISALIGNED: "store/AMO address misaligned",
    Cause.STORE_ACCESS: "store/AMO access fault",
    Cause.ECALL_FROM_U: "environment call from U-mode",
    Cause.ECALL_FROM_S: "environment call from S-mode",
    Cause.ECALL_FROM_M: "environment call from M-mode",
    Cause.FETCH_PAGE_FAULT: "instruction page fault",
    Cause.LOAD_PAGE_FAULT: "load page fault",
    Cause.STORE_PAGE_FAULT: "store/AMO page fault",
}


class Interrupt(IntEnum):
    """Interrupt codes, which are also bit numbers in mip and mie."""

    SSI = 1
    MSI = 3
    STI = 5
    MTI = 7
    SEI = 9
    MEI = 11


INTERRUPT_TEXT: dict[int, str] = {
    Interrupt.SSI: "supervisor software interrupt",
    Interrupt.MSI: "machine software interrupt",
    Interrupt.STI: "supervisor timer interrupt",
    Interrupt.MTI: "machine timer interrupt",
    Interrupt.SEI: "supervisor external interrupt",
    Interrupt.MEI: "machine external interrupt",
}


_PRIORITY = (Interrupt.MEI, Interrupt.MSI, Interrupt.MTI, Interrupt.SEI, Interrupt.SSI, Interrupt.STI)

_SIE, _MIE, _SPIE, _MPIE, _SPP = 1 << 1, 1 << 3, 1 << 5, 1 << 7, 1 << 8
_MPP_SHIFT = 11


@dataclass(frozen=True, slots=True)
class TrapRecord:
    """One trap as it was taken, for reports. ``cause`` is the code of an exception or an interrupt."""

    cause: int
    epc: int
    tval: int
    priv: int
    icount: int
    is_interrupt: bool = False


def highest_interrupt(mip: int, env: Any) -> Interrupt | None:
    """The interrupt to take now, or None: those for M-mode before those for S-mode, then by priority."""
    pending, mideleg, mstatus, priv = mip & env.mie, env.mideleg, env.mstatus, env.priv
    to_machine = pending & ~mideleg if priv < PRIV_M or mstatus & _MIE else 0
    to_supervisor = pending & mideleg if priv == PRIV_U or (priv == PRIV_S and mstatus & _SIE) else 0
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
        mstatus = mstatus & ~(_SIE | _SPIE | _SPP) | (_SPIE if mstatus & _SIE else 0) | (_SPP if priv else 0)
        env.priv = PRIV_S
    else:
        env.mepc, env.mcause, env.mtval, vector = env.pc, cause, tval & mask, env.mtvec
        mstatus = mstatus & ~(_MIE | _MPIE | 3 << _MPP_SHIFT)
        mstatus |= (_MPIE if env.mstatus & _MIE else 0) | priv << _MPP_SHIFT
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
        enable, previous, priv, env.pc = _MIE, _MPIE, mstatus >> _MPP_SHIFT & 3, env.mepc & mask
        mstatus &= ~(3 << _MPP_SHIFT)
    else:
        enable, previous, priv, env.pc = _SIE, _SPIE, PRIV_S if mstatus & _SPP else PRIV_U, env.sepc & mask
        mstatus &= ~_SPP
    mstatus = mstatus & ~enable | previous | (enable if mstatus & previous else 0)
    if priv != PRIV_M:
        mstatus &= ~MSTATUS_MPRV
    env.mstatus, env.priv = mstatus, priv
    env.load_res = mask
