"""Exact instruction counts and exact stops, against counts made independently."""

from __future__ import annotations

import pytest
from support.asm import (
    A0,
    A1,
    C_NOP,
    EBREAK,
    ECALL,
    LOOP,
    MRET,
    NOP,
    T0,
    T1,
    T2,
    ZERO,
    add,
    addi,
    auipc,
    bne,
    code,
    csrr,
    csrw,
    jal,
    jalr,
    li,
    slli,
    sw,
)  # fmt: skip
from support.harts import RAM, ROM_INSNS, board_of, run_insns

from minstret.emu.hart.shared import Shared
from minstret.emu.machine import StopReason


def test_straight_line_counts_every_instruction(counting: str) -> None:
    board = board_of(code([addi(A0, A0, 1)] * 100, LOOP), counting=counting)
    for insns in (1, 2, 50, 99, 100):
        run_insns(board, insns)
        assert board.registers["a0"] == insns
        assert board.registers["pc"] == RAM + 4 * insns


@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("slice_insns", [1, 7, None])
def test_loop_counts_match_arithmetic(counting: str, xlen: int, slice_insns: int | None) -> None:
    rounds = 200
    program = code(addi(T0, ZERO, rounds), addi(T1, T1, 3), addi(T0, T0, -1), bne(T0, ZERO, -8), LOOP)
    board = board_of(program, xlen=xlen, counting=counting, slice_insns=slice_insns)
    insns = 1 + 3 * rounds
    run_insns(board, insns - 1)
    assert board.registers["pc"] == RAM + 12  # at the last branch, not past it
    assert board.registers["t0"] == 0
    run_insns(board, insns)
    assert board.registers["pc"] == RAM + 16
    assert board.registers["t1"] == 3 * rounds


def test_compressed_code_counts_instructions_not_bytes(counting: str) -> None:
    board = board_of(code([C_NOP, NOP] * 50, LOOP), counting=counting)
    run_insns(board, 51)
    assert board.registers["pc"] == RAM + 50 // 2 * 6 + 2


@pytest.mark.parametrize("xlen", [64, 32])
def test_illegal_instruction_at_virtual_address_0_traps(counting: str, xlen: int) -> None:
    """What Unicorn takes for the page before is the last one of the address space."""
    leaf, table = (RAM >> 2) | 0xCF, 0x1000  # virtual 0 is the start of RAM
    entry_mode = 8 << 60 if xlen == 64 else 1 << 31
    program = code(
        auipc(T2, 0), sw(ZERO, T2, 0), li(T0, 0x1F), csrw("pmpcfg0", T0), addi(T0, ZERO, -1), csrw("pmpaddr0", T0),
        addi(T1, ZERO, entry_mode >> xlen - 4), slli(T1, T1, xlen - 4), li(T0, RAM + table >> 12), add(T1, T1, T0),
        csrw("satp", T1), li(T0, 0x800), csrw("mstatus", T0), csrw("mepc", ZERO),
        csrw("stvec", ZERO), addi(T0, ZERO, 1 << 2), csrw("medeleg", T0), MRET,
    )  # fmt: skip
    board = board_of(program, (table, leaf.to_bytes(4, "little")), xlen=xlen, counting=counting)
    outcome = board.run_until(icount=ROM_INSNS + 50)
    trap = board.hart.first_trap
    assert trap is not None
    assert (trap.cause, trap.epc, trap.priv) == (2, 0, 1)
    assert outcome.reason is StopReason.TRAP_LOOP


def test_trapping_instructions_do_not_retire(counting: str) -> None:
    # handler: mepc += 4; mret -- four instructions a trap, the trapping ones count nothing
    handler = code(csrr(T1, "mepc"), addi(T1, T1, 4), csrw("mepc", T1), MRET)
    bad_load = 0x00002003  # lw zero, 0(zero): nothing answers at 0
    main = [auipc(T2, 0), addi(T2, T2, 256), csrw("mtvec", T2), ECALL, EBREAK, 0xFFFFFFFF, bad_load, NOP, LOOP]
    board = board_of(code(main), (256, handler), counting=counting)
    run_insns(board, 3 + 4 * 4 + 1)
    assert board.registers["pc"] == RAM + 8 * 4
    assert board.position.icount == ROM_INSNS + 3 + 16 + 1


def test_counters_read_the_instructions_before_them(counting: str) -> None:
    program = code(csrr(A0, "instret"), NOP, NOP, csrr(A1, "minstret"), csrr(T0, "cycle"), LOOP)
    board = board_of(program, counting=counting)
    run_insns(board, 5)
    assert [board.registers[r] for r in ("a0", "a1", "t0")] == [ROM_INSNS, ROM_INSNS + 3, ROM_INSNS + 4]


def test_written_counter_is_read_back_by_the_next_instruction(counting: str) -> None:
    program = code(addi(T0, ZERO, 1000), csrw("minstret", T0), csrr(A0, "minstret"), csrr(A1, "instret"),
                   csrw("mcycle", T0), NOP, csrr(T1, "cycle"), LOOP)  # fmt: skip
    board = board_of(program, counting=counting)
    run_insns(board, 7)
    assert [board.registers[r] for r in ("a0", "a1", "t1")] == [1000, 1001, 1001]


def test_rv32_counter_halves_make_one_64_bit_counter(counting: str) -> None:
    program = code(addi(T0, ZERO, -1), csrw("minstret", T0), csrr(A0, "minstreth"), csrw("minstreth", ZERO),
                   csrw("minstret", T0), csrr(T1, "minstret"), csrr(T2, "minstret"),
                   csrr(A1, "instreth"), LOOP)  # fmt: skip
    board = board_of(program, xlen=32, counting=counting)
    run_insns(board, 8)
    assert board.registers["t1"] == 0xFFFFFFFF
    assert board.registers["t2"] == 0
    assert board.registers["a1"] == 1


def test_stop_at_the_same_place_again_runs_nothing(counting: str) -> None:
    board = board_of(code([NOP] * 10, LOOP), counting=counting)
    run_insns(board, 5)
    before = board.digest()
    run_insns(board, 5)
    assert board.digest() == before


def test_jump_into_a_block_stops_exactly(counting: str) -> None:
    # the block from 0 is translated whole; then a jump enters it in the middle
    program = code([addi(A0, A0, 1)] * 8, jal(ZERO, -16), LOOP)
    board = board_of(program, counting=counting)
    run_insns(board, 9 + 2)
    assert board.registers["pc"] == RAM + 6 * 4
    assert board.registers["a0"] == 10


def test_computed_jump_counts_once(counting: str) -> None:
    program = code(auipc(T0, 0), jalr(T1, T0, 12), LOOP, addi(A0, A0, 1), jalr(ZERO, T1, 0))
    board = board_of(program, counting=counting)
    run_insns(board, 4)
    assert board.registers["pc"] == RAM + 8
    assert board.registers["a0"] == 1


@pytest.mark.parametrize("insn", [0x0000, 0xFFFFFFFF])
@pytest.mark.parametrize("xlen", [64, 32])
def test_illegal_instruction_at_the_start_of_a_page_is_just_that(counting: str, xlen: int, insn: int) -> None:
    board = board_of((4096, code(LOOP)), (0, code(insn)), xlen=xlen, counting=counting)
    board.registers["pc"] = RAM
    board.hart.env.mtvec = RAM + 4096
    board.run_until(icount=3)
    assert [board.hart.env.mcause, board.hart.env.mepc, board.hart.env.mtval] == [2, RAM, insn]


def test_slice_ended_by_another_thread_ends_at_the_count_though_a_block_is_just_being_looked_at() -> None:
    """As the clock of the timer model virtual-ext does, while generated code has the mark of such a block in icount."""
    shared = Shared()
    shared.icount, shared.limit, shared.fast_limit = 1000 | 1 << 63, 5000, 5000
    shared.end_slice()
    assert (shared.limit, shared.fast_limit) == (1000, 0)
