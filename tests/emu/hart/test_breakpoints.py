"""Breakpoints stop a run before an instruction, and change nothing that the guest or a digest can see."""

from __future__ import annotations

import random

import pytest
from support.asm import (
    A0,
    A1,
    A2,
    C_NOP,
    EBREAK,
    ECALL,
    LOOP,
    MRET,
    NOP,
    S0,
    T0,
    WFI,
    ZERO,
    addi,
    auipc,
    bne,
    code,
    csrr,
    csrrs,
    csrw,
    jal,
    jalr,
    lw,
    sw,
)  # fmt: skip
from support.generated_code import RAM_SIZE, Program, generate
from support.harts import RAM, ROM_INSNS, board_of, run_insns
from support.needs import Need

from minstret.devices.board.board import Board
from minstret.emu.hart.compiled import c_callbacks
from minstret.emu.hart.hart import HartStop
from minstret.emu.hart.traps import Interrupt
from minstret.emu.machine import StopReason
from minstret.emu.timers import Timer

BREAKPOINT, REACHED = StopReason.BREAKPOINT, StopReason.REACHED


def stops(board: Board, insns: int) -> list[tuple[int, int]]:
    """Run so many instructions of the program; where it stopped for breakpoints: offset in RAM, instructions run."""
    seen = []
    while (outcome := board.run_until(icount=ROM_INSNS + insns)).reason is BREAKPOINT:
        seen.append((board.hart.pc - RAM, board.position.icount - ROM_INSNS))
    assert outcome.reason is REACHED
    return seen


def break_at(board: Board, *offsets: int) -> None:
    for offset in offsets:
        board.hart.breakpoints.add(RAM + offset)


def test_run_stops_before_the_instruction_and_the_next_run_goes_past(counting: str) -> None:
    board = board_of(code([addi(A0, A0, 1)] * 4, LOOP), counting=counting)
    break_at(board, 8)
    assert board.run_until(icount=ROM_INSNS + 20).reason is BREAKPOINT
    assert (board.hart.pc, board.position.icount, board.registers["a0"]) == (RAM + 8, ROM_INSNS + 2, 2)
    assert board.run_until(icount=ROM_INSNS + 20).reason is REACHED
    assert board.registers["a0"] == 4


def test_every_turn_of_a_loop_stops(counting: str) -> None:
    program = code(addi(T0, ZERO, 5), C_NOP, addi(T0, T0, -1), bne(T0, ZERO, -6), LOOP)
    board = board_of(program, counting=counting)
    break_at(board, 4)  # a compressed one
    assert stops(board, 30) == [(4, 1 + 3 * turn) for turn in range(5)]


def test_instruction_that_jumps_to_itself_stops_each_time(counting: str) -> None:
    board = board_of(code(NOP, LOOP), counting=counting)
    break_at(board, 4)
    assert stops(board, 4) == [(4, 1), (4, 2), (4, 3)]


def test_breakpoint_in_the_middle_of_code_that_has_run(counting: str) -> None:
    board = board_of(code([NOP] * 7, jal(ZERO, -28)), counting=counting)
    run_insns(board, 8 * 50 + 3)
    break_at(board, 0, 20)
    assert stops(board, 8 * 52) == [(20, 405), (0, 408), (20, 413)]


def test_several_in_a_row(counting: str) -> None:
    board = board_of(code([C_NOP] * 6, LOOP), counting=counting)
    break_at(board, 2, 4, 6, 8)
    assert stops(board, 8) == [(2, 1), (4, 2), (6, 3), (8, 4)]


@pytest.mark.parametrize("slice_insns", [1, 2, 7])
def test_a_slice_that_ends_at_a_breakpoint_does_not_hide_it(counting: str, slice_insns: int) -> None:
    board = board_of(code([NOP] * 7, jal(ZERO, -28)), counting=counting, slice_insns=slice_insns)
    break_at(board, 8, 28)
    assert stops(board, 24) == [(8, 2), (28, 7), (8, 10), (28, 15), (8, 18), (28, 23)]


def test_a_run_that_begins_at_a_breakpoint_stops_there_at_once(counting: str) -> None:
    board = board_of(code([NOP] * 4, LOOP), counting=counting)
    break_at(board, 8)
    run_insns(board, 2)
    assert stops(board, 5) == [(8, 2)]


def test_skip_breakpoint_goes_past_one_that_has_not_stopped_the_run(counting: str) -> None:
    board = board_of(code([NOP] * 4, LOOP), counting=counting)
    break_at(board, 8)
    run_insns(board, 2)
    board.hart.skip_breakpoint()
    assert stops(board, 5) == []


def test_a_restored_state_stops_again(counting: str) -> None:
    board = board_of(code([NOP] * 4, LOOP), counting=counting)
    break_at(board, 8)
    assert board.run_until(icount=ROM_INSNS + 20).reason is BREAKPOINT
    board.machine.load_state(board.machine.save_state())
    assert stops(board, 5) == [(8, 2)]


def test_removed_breakpoint_stops_no_more_and_leaves_no_cut(counting: str) -> None:
    board = board_of(code([NOP] * 7, jal(ZERO, -28)), counting=counting)
    break_at(board, 12)
    assert stops(board, 8) == [(12, 3)]
    board.hart.breakpoints.remove(RAM + 12)
    assert list(board.hart.breakpoints) == []
    run_insns(board, 8 * 100)
    cuts = board.hart.statistics["cuts"]
    assert stops(board, 8 * 200) == []
    assert board.hart.statistics["cuts"] <= cuts + 2


def test_breakpoints_taken_out_and_put_back_at_each_stop_translate_nothing_anew(counting: str) -> None:
    board = board_of(code([NOP] * 7, jal(ZERO, -28)), counting=counting)
    break_at(board, 12)
    stops(board, 80)
    edges = board.hart.statistics["edges"]
    for turn in range(10, 20):
        assert board.run_until(icount=ROM_INSNS + 8 * turn + 7).reason is BREAKPOINT
        board.hart.breakpoints.clear()
        assert board.run_until(icount=board.position.icount + 1).reason is REACHED
        break_at(board, 12)
    assert board.hart.statistics["edges"] <= edges + 4


def test_address_where_no_instruction_can_be_is_refused() -> None:
    board = board_of(code(LOOP), xlen=32)
    for address in (RAM + 1, 1 << 32, -2):
        with pytest.raises(ValueError, match="no instruction"):
            board.hart.breakpoints.add(address)
    with pytest.raises(KeyError):
        board.hart.breakpoints.remove(RAM)


# ---- instructions of the hart's own, and such that trap


@pytest.mark.parametrize("insn", [csrr(A1, "mcycle"), csrr(A1, "satp"), WFI, csrr(A1, "pmpcfg0"), 0x0000100F])
def test_special_instruction_is_stopped_at_once_and_done_once(counting: str, insn: int) -> None:
    board = board_of(code(NOP, csrrs(ZERO, "mie", A2), insn, addi(A0, A0, 1), LOOP), counting=counting)
    run_insns(board, 0)
    break_at(board, 8)
    board.registers["a2"] = 0x80
    board.hart.set_line(Interrupt.MTI, True)  # pending, and not taken: a WFI goes on
    assert stops(board, 5) == [(8, 2)]
    assert board.registers["a0"] == 1


@pytest.mark.parametrize("insn", [ECALL, EBREAK, 0xFFFFFFFF, 0x0000, lw(A1, ZERO, 8)])
def test_instruction_that_traps_stops_before_the_trap(counting: str, insn: int) -> None:
    handler = code(csrr(T0, "mepc"), addi(T0, T0, 4), csrw("mepc", T0), MRET)
    program = code(
        auipc(T0, 0), addi(T0, T0, 0x100), csrw("mtvec", T0), NOP, insn, *([C_NOP] if insn == 0 else []), LOOP
    )
    board = board_of(program, (0x100, handler), counting=counting)
    break_at(board, 16, 0x100)
    assert stops(board, 12) == [(16, 4), (0x100, 4)]
    assert board.hart.last_trap is not None and board.hart.last_trap.epc == RAM + 16


def test_trap_handler_that_comes_back_stops_again(counting: str) -> None:
    program = code(auipc(T0, 0), addi(T0, T0, 0x100), csrw("mtvec", T0), ECALL, LOOP)
    board = board_of(program, (0x100, code(MRET)), counting=counting)
    break_at(board, 12)
    assert stops(board, 6) == [(12, 3), (12, 4), (12, 5)]


@pytest.mark.parametrize("ours", [False, True])
def test_return_from_a_trap_at_the_end_of_a_block(counting: str, ours: bool) -> None:
    program = code(auipc(T0, 0), addi(T0, T0, 0x100), csrw("mepc", T0), csrrs(ZERO, "mstatus", A2), NOP, NOP, MRET)
    board = board_of(program, (0x100, code(LOOP)), counting=counting)
    run_insns(board, 0)
    board.registers["a2"] = (1 << 17 if ours else 0) | 3 << 11
    break_at(board, 24)
    assert stops(board, 10) == [(24, 6)]


def test_interrupt_that_is_due_comes_first(counting: str) -> None:
    program = code(
        auipc(T0, 0), addi(T0, T0, 0x100), csrw("mtvec", T0), addi(T0, ZERO, 0x80), csrw("mie", T0),
        csrrs(ZERO, "mstatus", A2), addi(A0, A0, 1), LOOP,
    )  # fmt: skip
    board = board_of(program, (0x100, code(csrw("mie", ZERO), MRET)), counting=counting)
    run_insns(board, 0)
    board.registers["a2"] = 8
    board.hart.set_line(Interrupt.MTI, True)
    break_at(board, 24)
    assert stops(board, 12) == [(24, 8)]
    assert board.hart.last_trap is not None and board.hart.last_trap.epc == RAM + 24


def test_instruction_that_cannot_be_fetched_stops_before_the_fault(counting: str) -> None:
    program = code(auipc(T0, 0), addi(T0, T0, 0x100), csrw("mtvec", T0), jalr(ZERO, ZERO, 0x100))
    board = board_of(program, (0x100, code(LOOP)), counting=counting)
    board.hart.breakpoints.add(0x100)
    outcome = board.run_until(icount=ROM_INSNS + 10)
    assert (outcome.reason, board.hart.pc, board.position.icount) == (BREAKPOINT, 0x100, ROM_INSNS + 4)
    assert board.hart.last_trap is None
    assert board.run_until(icount=ROM_INSNS + 10).reason is REACHED
    assert board.registers["pc"] == RAM + 0x100


def test_call_that_waits_for_input_stops_once(counting: str) -> None:
    readc = code(addi(A0, ZERO, 7), NOP, 0x01F01013, EBREAK, 0x40705013, LOOP)
    board = board_of(readc, counting=counting)
    break_at(board, 12)
    hart = board.hart
    hart.on_semihosting = lambda a0, a1: None
    assert board.run_until(icount=ROM_INSNS + 8).reason is BREAKPOINT
    assert [hart.run(ROM_INSNS + 8) for _ in range(2)] == [HartStop.BLOCKED] * 2


def test_trap_that_is_stopped_before_its_handler_lets_nothing_in_between(counting: str) -> None:
    program = code(auipc(T0, 0), addi(T0, T0, 0x100), csrw("mtvec", T0), ECALL)
    board = board_of(program, (0x100, code([NOP] * 3, LOOP)), counting=counting)
    break_at(board, 0x100)
    fired: list[int] = []
    timer = board.machine.virtual_timers
    later = Timer("test", timer, lambda late_ns: fired.append(board.position.icount))
    assert board.run_until(icount=ROM_INSNS + 3).reason is REACHED
    assert board.run_until(icount=ROM_INSNS + 9).reason is BREAKPOINT
    later.arm(0)
    assert board.run_until(icount=ROM_INSNS + 9).reason is REACHED
    assert fired == [ROM_INSNS + 4]


# ---- code that is written, and paging


def test_code_that_is_rewritten_keeps_its_breakpoint(counting: str) -> None:
    program = code(
        auipc(S0, 0), lw(T0, S0, 0x80), addi(A1, ZERO, 3),
        addi(A0, A0, 1), addi(A1, A1, -1), sw(T0, S0, 12), bne(A1, ZERO, -12), LOOP,
    )  # fmt: skip
    board = board_of(program, (0x80, code(addi(A0, A0, 100))), counting=counting)
    break_at(board, 12)
    assert stops(board, 16) == [(12, 3), (12, 7), (12, 11)]
    assert board.registers["a0"] == 201


@pytest.mark.parametrize("xlen", [32, 64])
def test_virtual_address_matches_under_every_mapping(counting: str, xlen: int) -> None:
    """Two pages of the same code at one virtual address, one after the other; the physical ones don't match."""
    board = board_of(
        (0x3000, code([addi(A0, A0, 1)] * 4, LOOP)),
        (0x4000, code([addi(A0, A0, 2)] * 4, LOOP)),
        xlen=xlen,
        counting=counting,
    )
    run_insns(board, 0)
    hart, virtual = board.hart, 0x40000000
    hart.pmp.write_addr(0, (1 << 54) - 1 if xlen == 64 else 0xFFFFFFFF)
    hart.pmp.write_cfg(0, 0x1F)
    hart.core.pmp_changed()
    hart.breakpoints.add(virtual + 8)
    hart.breakpoints.add(RAM + 0x300C)
    seen = []
    for target in (0x3000, 0x4000):
        map_page(board, virtual, RAM + target)
        hart.env.pc, hart.env.priv = virtual, 1
        end = board.position.icount + 6
        while board.run_until(icount=end).reason is BREAKPOINT:
            seen.append((hart.pc, board.registers["a0"]))
    assert seen == [(virtual + 8, 2), (virtual + 8, 8)]


def map_page(board: Board, virtual: int, physical: int) -> None:
    """Let one virtual page (with the next one after it) lead to a physical one, with tables at RAM + 0x10000."""
    hart, tables = board.hart, RAM + 0x10000
    word, bits, levels = (8, 9, 3) if board.hart.xlen == 64 else (4, 10, 2)
    for level in reversed(range(levels)):
        index = virtual >> 12 + bits * level & (1 << bits) - 1
        target, flags = (physical, 0xCF) if level == 0 else (tables + 0x1000, 1)
        board.memory.write(tables + index * word, (target >> 2 | flags).to_bytes(word, "little"))
        tables += 0x1000
    hart.env.satp = (8 << 60 if hart.xlen == 64 else 1 << 31) | RAM + 0x10000 >> 12
    hart.core.flush_tlb()


# ---- generated programs

Stops = list[tuple[int, int]]


@pytest.mark.parametrize("xlen", [32, 64])
@pytest.mark.parametrize("number", range(8))
def test_generated_program_with_random_breakpoints_is_the_same_run(need: Need, number: int, xlen: int) -> None:
    need("the C extension (a C compiler at install time)", c_callbacks)
    seed = f"breakpoints/{number}"
    program = generate(seed, xlen)
    end = 600 if number % 4 == 0 else 2000
    plain, visited = run_program(program, "instructions", end, [])
    expected, stops = run_program(program, "instructions", end, visited)
    assert expected == plain, seed
    assert stops or len(visited) < 10, f"{seed}: this program shows nothing"
    assert run_program(program, "code", end, visited) == (plain, stops), seed
    if number % 4 == 0:
        assert run_program(program, "python", end, visited) == (plain, stops), seed


def run_program(program: Program, counting: str, end: int, visited: Stops) -> tuple[tuple[object, ...], Stops]:
    """How the run ended, and where it was cut; with ``visited``, where it stopped for breakpoints at some of these."""
    shift, pick = program.icount_shift, random.Random(program.seed)
    board = board_of(b"", xlen=program.xlen, counting=counting, ram_size=RAM_SIZE, icount_shift=shift)
    board.memory.write(RAM, program.image())
    breakpoints = board.hart.breakpoints
    stops: Stops = []
    while True:
        for _ in range(pick.randrange(4) if visited else 0):
            breakpoints.add(pick.choice(visited)[0])
        while len(breakpoints) > 8 or (len(breakpoints) and pick.random() < 0.3):
            breakpoints.remove(pick.choice(list(breakpoints)))
        reason = board.run_until(icount=min(end, board.position.icount + pick.choice((1, 5, 20, 50, 400)))).reason
        where = board.hart.pc, board.position.icount
        if not visited or reason is BREAKPOINT:
            stops.append(where)
        if reason is BREAKPOINT:
            assert board.hart.pc in breakpoints
        elif reason is not REACHED or board.position.icount >= end:
            return (reason, board.position, board.digest(), board.hart.last_trap, bytes(board.console)), stops
