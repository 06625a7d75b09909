"""Trap entry and return, and which of several interrupts comes first. C does the same: whole runs compare both."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from support import asm
from support.harts import RAM, board_of, run_insns

from minstret.emu.hart import traps
from minstret.emu.hart.spec import (
    CAUSE_TEXT,
    INTERRUPT_TEXT,
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
    Cause,
    Interrupt,
)

HANDLER, S_HANDLER, PC = 0x8000_0100, 0x8000_0200, 0x8000_1234


def hart_in(priv: int, **words: int) -> Any:
    """The words of a hart that traps look at."""
    fixed = {"pc": PC, "mtvec": HANDLER, "stvec": S_HANDLER, "mepc": 0, "sepc": 0, "mcause": 0, "scause": 0, "mtval": 0,
             "stval": 0, "mstatus": 0, "mie": 0, "mideleg": 0, "medeleg": 0, "load_res": RAM}  # fmt: skip
    return SimpleNamespace(priv=priv, **{**fixed, **words})


@pytest.mark.parametrize("priv", [PRIV_U, PRIV_S, PRIV_M])
def test_trap_and_return_leave_the_hart_as_it_was(priv: int) -> None:
    env = hart_in(priv, mstatus=MSTATUS_MIE)
    traps.enter_trap(env, 64, Cause.BREAKPOINT, 0, is_interrupt=False)
    assert (env.priv, env.pc, env.mepc, env.mcause) == (PRIV_M, HANDLER, PC, Cause.BREAKPOINT)
    assert env.mstatus == MSTATUS_MPIE | priv << MSTATUS_MPP_SHIFT
    traps.leave_trap(env, 64, is_mret=True)
    assert (env.priv, env.pc, env.mstatus) == (priv, PC, MSTATUS_MIE | MSTATUS_MPIE)


@pytest.mark.parametrize(("priv", "spp"), [(PRIV_U, 0), (PRIV_S, MSTATUS_SPP)])
def test_delegated_trap_goes_to_s_mode_and_back(priv: int, spp: int) -> None:
    env = hart_in(priv, mstatus=MSTATUS_SIE, medeleg=1 << Cause.ECALL_FROM_U | 1 << Cause.ILLEGAL_INSTRUCTION)
    traps.enter_trap(env, 64, Cause.ILLEGAL_INSTRUCTION, 0xFFFF, is_interrupt=False)
    assert (env.priv, env.pc, env.sepc, env.scause, env.stval) == (PRIV_S, S_HANDLER, PC, 2, 0xFFFF)
    assert env.mstatus == MSTATUS_SPIE | spp
    traps.leave_trap(env, 64, is_mret=False)
    assert (env.priv, env.pc, env.mstatus) == (priv, PC, MSTATUS_SIE | MSTATUS_SPIE)


def test_trap_in_m_mode_is_never_delegated() -> None:
    env = hart_in(PRIV_M, medeleg=1 << Cause.LOAD_ACCESS)
    traps.enter_trap(env, 64, Cause.LOAD_ACCESS, 0, is_interrupt=False)
    assert (env.priv, env.pc) == (PRIV_M, HANDLER)


@pytest.mark.parametrize("xlen", [32, 64])
def test_vectored_handler_is_for_interrupts_alone(xlen: int) -> None:
    env = hart_in(PRIV_M, mtvec=HANDLER | 1)
    traps.enter_trap(env, xlen, Interrupt.MTI, 0, is_interrupt=True)
    assert (env.pc, env.mcause) == (HANDLER + 4 * 7, 1 << xlen - 1 | 7)
    env = hart_in(PRIV_M, mtvec=HANDLER | 1)
    traps.enter_trap(env, xlen, Cause.LOAD_ACCESS, 0, is_interrupt=False)
    assert env.pc == HANDLER


@pytest.mark.parametrize("enter", [True, False])
def test_change_of_privilege_ends_the_reservation(enter: bool) -> None:
    env = hart_in(PRIV_M)
    if enter:
        traps.enter_trap(env, 64, Cause.BREAKPOINT, 0, is_interrupt=False)
    else:
        traps.leave_trap(env, 64, is_mret=True)
    assert env.load_res == (1 << 64) - 1


@pytest.mark.parametrize(("mpp", "stays"), [(PRIV_M, True), (PRIV_S, False), (PRIV_U, False)])
def test_return_clears_mprv_where_it_leaves_m_mode(mpp: int, stays: bool) -> None:
    env = hart_in(PRIV_M, mstatus=MSTATUS_MPRV | mpp << MSTATUS_MPP_SHIFT)
    traps.leave_trap(env, 64, is_mret=True)
    assert bool(env.mstatus & MSTATUS_MPRV) is stays
    assert not env.mstatus & MSTATUS_MPP


def test_machine_interrupts_come_first_and_then_by_priority() -> None:
    every = sum(1 << interrupt for interrupt in Interrupt)
    env, found, pending = hart_in(PRIV_U, mie=every, mideleg=0x222), [], every
    while (interrupt := traps.highest_interrupt(pending, env)) is not None:
        found.append(interrupt.name)
        pending &= ~(1 << interrupt)
    assert found == ["MEI", "MSI", "MTI", "SEI", "SSI", "STI"]


@pytest.mark.parametrize(
    ("priv", "mstatus", "delegated", "is_taken"),
    [
        (PRIV_M, 0, False, False), (PRIV_M, MSTATUS_MIE, False, True), (PRIV_M, MSTATUS_MIE | MSTATUS_SIE, True, False),
        (PRIV_S, 0, False, True), (PRIV_S, 0, True, False), (PRIV_S, MSTATUS_SIE, True, True), (PRIV_U, 0, True, True),
    ],
)  # fmt: skip
def test_interrupt_is_taken_where_it_is_enabled(priv: int, mstatus: int, delegated: bool, is_taken: bool) -> None:
    bit = 1 << Interrupt.STI
    env = hart_in(priv, mstatus=mstatus, mie=bit, mideleg=bit if delegated else 0)
    assert (traps.highest_interrupt(bit, env) is not None) is is_taken


def test_every_cause_has_a_text() -> None:
    assert set(CAUSE_TEXT) == set(Cause)
    assert set(INTERRUPT_TEXT) == set(Interrupt)


@pytest.mark.parametrize("priv", [PRIV_U, PRIV_S, PRIV_M])
def test_environment_call_says_where_from(counting: str, priv: int) -> None:
    ecall = 0x00000073
    program = [
        *asm.li(asm.T0, priv << MSTATUS_MPP_SHIFT), asm.csrw("mstatus", asm.T0), *asm.li(asm.T0, 0xFFFFFFFF),
        asm.csrw("pmpaddr0", asm.T0), asm.addi(asm.T0, 0, 0x1F), asm.csrw("pmpcfg0", asm.T0), asm.auipc(asm.T0, 0),
        asm.addi(asm.T0, asm.T0, 16), asm.csrw("mepc", asm.T0), asm.MRET, ecall,
    ]  # fmt: skip
    board = board_of(asm.code(*program), counting=counting)
    run_insns(board, len(program) - 1)
    assert board.registers["priv"] == priv
    board.run_until(icount=board.position.icount + 1)
    assert board.hart.first_trap is not None
    assert (board.hart.first_trap.cause, board.hart.first_trap.priv) == (Cause.ECALL_FROM_U + priv, priv)


@pytest.mark.parametrize("xlen", [64, 32])
def test_trap_is_noted_with_the_registers_from_which_one_finds_the_caller(counting: str, xlen: int) -> None:
    """Those of the moment: what the handler does with them comes after."""
    high = 1 << (xlen - 4)
    sets = [*asm.li(asm.RA, 0x123), *asm.li(asm.SP, 0x456), *asm.li(asm.S0, 7), asm.slli(asm.S0, asm.S0, xlen - 4)]
    handler = asm.code(asm.li(asm.RA, 1), asm.li(asm.SP, 2), asm.li(asm.S0, 3), asm.LOOP)
    code = asm.code(asm.auipc(asm.T0, 0), asm.addi(asm.T0, asm.T0, 0x100), asm.csrw("mtvec", asm.T0), sets, 0xFFFFFFFF)
    board = board_of(code, (0x100, handler), xlen=xlen, counting=counting)
    board.run_until(icount=60)

    assert board.registers["s0"] == 3
    for trap in (board.hart.last_trap, board.hart.first_trap):
        assert trap is not None
        assert (trap.ra, trap.sp, trap.fp) == (0x123, 0x456, 7 * high)
