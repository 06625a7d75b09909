"""Interrupts are taken exactly: before the first instruction at which they are pending and enabled."""

from __future__ import annotations

import pytest
from support.asm import (
    A0,
    A1,
    A2,
    LOOP,
    MRET,
    NOP,
    S0,
    SRET,
    T0,
    T1,
    T2,
    T3,
    WFI,
    ZERO,
    add,
    addi,
    auipc,
    code,
    csrr,
    csrrci,
    csrrs,
    csrrsi,
    csrw,
    jal,
    li,
    lr_w,
    lui,
    lw,
    sc_w,
    sd,
    slli,
    sw,
)  # fmt: skip
from support.harts import RAM, ROM_INSNS, board_of, run_insns

from minstret.emu.hart.spec import Interrupt
from minstret.emu.machine import StopReason

SLICES = [1, 7, None]
CLINT_MSIP, CLINT_MTIMECMP = 0x2000, 0x2004  # for lui
MTIE, MSIE = 7, 3
HANDLER = 2000


def to_handler() -> list[int]:
    """mtvec = RAM + HANDLER, from the program's third instruction on; uses t0."""
    return [auipc(T0, 0), addi(T0, T0, HANDLER), csrw("mtvec", T0)]


def enable(bit: int) -> list[int]:
    return [addi(T1, ZERO, 1), slli(T1, T1, bit), csrw("mie", T1)]


@pytest.mark.parametrize("slice_insns", SLICES)
@pytest.mark.parametrize("ticks", [1, 2, 3])
def test_timer_fires_at_the_first_instruction_at_its_time(counting: str, slice_insns: int | None, ticks: int) -> None:
    # shift=1: an instruction lasts 2 ns, a tick 100 ns
    start = [*to_handler(), *enable(MTIE), csrrsi(ZERO, "mstatus", 8), lui(T2, CLINT_MTIMECMP), addi(A1, ZERO, ticks),
             sd(A1, T2, 0)]  # fmt: skip
    board = board_of(code(start, [NOP] * 200, LOOP), (HANDLER, code(csrr(A0, "mepc"), LOOP)), counting=counting,
                     slice_insns=slice_insns)  # fmt: skip
    run_insns(board, 200)
    due_icount = ticks * 50
    assert board.registers["a0"] == RAM + 4 * (due_icount - ROM_INSNS)
    assert board.registers["mcause"] == 1 << 63 | Interrupt.MTI


@pytest.mark.parametrize("slice_insns", SLICES)
def test_pending_interrupt_is_taken_right_after_it_is_enabled(counting: str, slice_insns: int | None) -> None:
    start = [*to_handler(), lui(T2, CLINT_MSIP), addi(A1, ZERO, 1), sw(A1, T2, 0), *enable(MSIE), NOP, NOP,
             csrrsi(ZERO, "mstatus", 8), addi(S0, S0, 1), LOOP]  # fmt: skip
    board = board_of(code(start), (HANDLER, code(csrr(A0, "mepc"), LOOP)), counting=counting, slice_insns=slice_insns)
    run_insns(board, 40)
    assert board.registers["a0"] == RAM + 4 * 12
    assert board.registers["s0"] == 0


@pytest.mark.parametrize("slice_insns", SLICES)
def test_mret_into_enabled_interrupts_takes_one_before_the_next_instruction(
    counting: str, slice_insns: int | None
) -> None:
    # msip stays up: the handler returns into it, and each return retires nothing but the handler's own
    start = [*to_handler(), lui(T2, CLINT_MSIP), addi(A1, ZERO, 1), sw(A1, T2, 0), *enable(MSIE),
             csrrsi(ZERO, "mstatus", 8), addi(S0, S0, 1), LOOP]  # fmt: skip
    board = board_of(code(start), (HANDLER, code(addi(A0, A0, 1), MRET)), counting=counting, slice_insns=slice_insns)
    run_insns(board, 10 + 2 * 25)
    assert board.registers["a0"] == 25
    assert board.registers["s0"] == 0


def test_priorities_are_those_of_the_specification(counting: str) -> None:
    # all six raised at once; the handler masks the one it got and notes its code
    srli_a1 = 0x0015D593  # srli a1, a1, 1
    add_a0 = add(A0, A0, A1)
    one_shifted = [addi(T1, ZERO, 1), 0x00B31333]  # sll t1, t1, a1
    handler = code(csrr(A1, "mcause"), slli(A0, A0, 4), slli(A1, A1, 1), srli_a1, add_a0, one_shifted,
                   0x30433073, MRET)  # csrrc zero, mie, t1  # fmt: skip
    all_bits = [*li(T1, 0xAAA), csrw("mie", T1)]
    program = code([*to_handler(), *all_bits, csrrsi(ZERO, "mstatus", 8), LOOP])
    board = board_of(program, (HANDLER, handler), counting=counting)
    for interrupt in (Interrupt.MSI, Interrupt.MTI, Interrupt.MEI, Interrupt.SEI):
        board.hart.set_line(interrupt, True)
    board.hart.core.set_soft_mip(1 << Interrupt.SSI | 1 << Interrupt.STI)
    run_insns(board, 120)
    assert f"{board.registers['a0']:x}" == "b37915"  # MEI MSI MTI SEI SSI STI


def test_mip_shows_the_lines_and_keeps_written_bits_apart(counting: str) -> None:
    # csrs of SSIP while the SEIP line is up must not make SEIP a written bit
    program = code(addi(T1, ZERO, 2), csrrs(A0, "mip", T1), csrr(A1, "mip"), NOP, csrr(A2, "mip"), LOOP)
    board = board_of(program, counting=counting)
    board.hart.set_line(Interrupt.SEI, True)
    run_insns(board, 4)
    board.hart.set_line(Interrupt.SEI, False)
    run_insns(board, 5)
    assert [board.registers[r] for r in ("a0", "a1", "a2")] == [0x200, 0x202, 0x2]


def test_vectored_interrupt_enters_at_four_times_its_code(counting: str) -> None:
    start = [auipc(T0, 0), addi(T0, T0, HANDLER + 1), csrw("mtvec", T0), lui(T2, CLINT_MSIP), addi(A1, ZERO, 1),
             sw(A1, T2, 0), *enable(MSIE), csrrsi(ZERO, "mstatus", 8), LOOP]  # fmt: skip
    table = code(*[jal(ZERO, 0) for _ in range(12)])
    board = board_of(code(start), (HANDLER, table), counting=counting)
    run_insns(board, 20)
    assert board.registers["pc"] == RAM + HANDLER + 4 * Interrupt.MSI


@pytest.mark.parametrize("slice_insns", SLICES)
def test_wfi_wakes_for_an_enabled_interrupt_even_if_mie_is_off(counting: str, slice_insns: int | None) -> None:
    start = [*enable(MTIE), lui(T2, CLINT_MTIMECMP), addi(A1, ZERO, 1000), sd(A1, T2, 0), WFI, csrr(A0, "time"), LOOP]
    board = board_of(code(start), counting=counting, slice_insns=slice_insns)
    run_insns(board, 8)
    assert board.registers["a0"] == 1000
    assert board.position.virtual_ns == 1000 * 100 + 2
    assert board.registers["mcause"] == 0


def test_wfi_with_nothing_to_wait_for_ends_the_run(counting: str) -> None:
    board = board_of(code(NOP, WFI, LOOP), counting=counting)
    outcome = board.run()
    assert outcome.reason is StopReason.WAITS_FOREVER
    assert board.registers["pc"] == RAM + 8
    assert board.position.icount == ROM_INSNS + 2  # WFI retires when it starts to wait


def test_cancelled_timer_is_nothing_to_wait_for(counting: str) -> None:
    start = [*enable(MTIE), lui(T2, CLINT_MTIMECMP), addi(A1, ZERO, 1000), sd(A1, T2, 0), addi(A1, ZERO, -1),
             sd(A1, T2, 0), WFI, LOOP]  # fmt: skip
    board = board_of(code(start), counting=counting)
    assert board.run().reason is StopReason.WAITS_FOREVER


@pytest.mark.parametrize("slice_insns", SLICES)
def test_reservation_survives_a_cut_between_lr_and_sc(counting: str, slice_insns: int | None) -> None:
    start = [auipc(T0, 0), addi(T0, T0, 256), lr_w(A0, T0), NOP, NOP, addi(A1, A0, 1), sc_w(A2, A1, T0), lw(T3, T0, 0)]
    board = board_of(code(start, LOOP), (256, (41).to_bytes(4, "little")), counting=counting, slice_insns=slice_insns)
    run_insns(board, 9)
    assert [board.registers[r] for r in ("a2", "t3")] == [0, 42]


@pytest.mark.parametrize("slice_insns", SLICES)
def test_trap_between_lr_and_sc_drops_the_reservation(counting: str, slice_insns: int | None) -> None:
    start = [*to_handler(), lui(T2, CLINT_MSIP), addi(A1, ZERO, 1), *enable(MSIE), csrrsi(ZERO, "mstatus", 8),
             lr_w(A0, T0), sw(A1, T2, 0), sc_w(A2, A1, T0), LOOP]  # fmt: skip
    handler = code(sw(ZERO, T2, 0), MRET)
    board = board_of(code(start), (HANDLER, handler), counting=counting, slice_insns=slice_insns)
    run_insns(board, 30)
    assert board.registers["a2"] == 1


def test_counter_reads_do_not_drop_the_reservation(counting: str) -> None:
    start = [auipc(T0, 0), addi(T0, T0, 256), lr_w(A0, T0), csrr(A1, "cycle"), csrr(A1, "mip"), csrr(A1, "satp"),
             sc_w(A2, A1, T0), LOOP]  # fmt: skip
    board = board_of(code(start), counting=counting)
    run_insns(board, 8)
    assert board.registers["a2"] == 0


def test_interrupt_for_s_mode_is_delegated(counting: str) -> None:
    # delegate SSI, drop to S-mode with SIE on, and set SSIP there through sip
    to_s = [*li(T1, 0x0800), csrw("mstatus", T1)]
    start = [addi(T1, ZERO, -1), csrw("pmpaddr0", T1), addi(T1, ZERO, 0x1F), csrw("pmpcfg0", T1), auipc(T0, 0),
             addi(T0, T0, 1024 - 16), csrw("stvec", T0), addi(T1, ZERO, 2), csrw("mideleg", T1),
             csrw("mie", T1)]  # fmt: skip
    supervisor = [csrrsi(ZERO, "sstatus", 2), csrrsi(ZERO, "sip", 2), addi(S0, S0, 1), LOOP]
    handler = code(csrr(A0, "scause"), csrr(A1, "sepc"), csrrci(ZERO, "sip", 2), SRET)
    program = code(start, to_s, auipc(T0, 0), addi(T0, T0, 20), csrw("mepc", T0), MRET, NOP, supervisor)
    board = board_of(program, (1024, handler), counting=counting)
    run_insns(board, 60)
    assert board.registers["a0"] == 1 << 63 | Interrupt.SSI
    assert board.registers["s0"] == 1


@pytest.mark.parametrize("xlen", [64, 32])
def test_wfi_with_an_enabled_interrupt_pending_does_not_wait(counting: str, xlen: int) -> None:
    # mstatus.MIE is off: it is not taken either
    board = board_of(code(addi(T0, ZERO, 2), csrw("mie", T0), csrw("mip", T0), WFI, LOOP), xlen=xlen, counting=counting)
    run_insns(board, 4)
    assert not board.hart.waiting
    assert board.position.icount == ROM_INSNS + 4


@pytest.mark.parametrize("xlen", [64, 32])
def test_wfi_with_nothing_pending_waits(counting: str, xlen: int) -> None:
    board = board_of(code(addi(T0, ZERO, 2), csrw("mie", T0), NOP, WFI, LOOP), xlen=xlen, counting=counting)
    run_insns(board, 4)
    assert board.hart.waiting
