"""Counts are those of a walk that looks at each instruction, and counting changes nothing."""

from __future__ import annotations

import pytest
from support import asm
from support.calling_program import calling_board, calling_stretch
from support.generated_code import RAM_SIZE, Program, generate
from support.harts import RAM, ROM_INSNS, board_of, program_at, programs_of
from support.naive_flow import NaiveFlow

from minstret.devices.board.board import Board
from minstret.emu.hart.spec import PRIV_M
from minstret.emu.questions.counts import Place, Stretch, count_insns, measure

INSNS = 4_000


def counted(board: Board, insns: int = INSNS) -> Stretch:
    return measure(board.machine, lambda: board.run_until(icount=insns), calls=True, traps=True)


def generated_board(program: Program) -> Board:
    board = board_of(b"", xlen=program.xlen, ram_size=RAM_SIZE, icount_shift=program.icount_shift)
    board.memory.write(RAM, program.image())
    return board


@pytest.mark.parametrize("xlen", [32, 64])
@pytest.mark.parametrize("seed", range(4))
def test_counts_of_generated_programs_are_those_of_a_naive_walk(xlen: int, seed: int) -> None:
    program = generate(f"counts/{seed}", xlen)
    board, watched = generated_board(program), generated_board(program)
    stretch = counted(board)
    naive = NaiveFlow(watched.hart)
    naive.count(True)
    watched.run_until(icount=INSNS)
    found = count_insns(stretch.harts)
    assert sum(found.counts.values()) + sum(found.unread.values()) == stretch.insns == sum(naive.insns.values())
    assert board.digest() == watched.digest()
    assert stretch.harts[0].by_priv() == naive.by_priv()


def test_each_instruction_of_code_that_stays_is_counted() -> None:
    stretch, _ = calling_stretch(64)
    board, _ = calling_board(64)
    naive = NaiveFlow(board.hart)
    naive.count(True)
    board.run_until(icount=stretch.end.icount)
    assert count_insns(stretch.harts).counts == naive.insns


def test_environment_calls_are_counted_apart_as_they_never_retire() -> None:
    stretch, main_insns = calling_stretch(64)
    [(place, count)] = stretch.harts[0].trapped.items()
    assert (place, count) == (Place(RAM + 4 * main_insns, PRIV_M), 1)
    assert place not in count_insns(stretch.harts).counts


def test_time_in_wfi_is_apart() -> None:
    code = asm.code(
        asm.li(asm.T0, 0x2004000), asm.li(asm.T1, 100_000), asm.sw(asm.T1, asm.T0, 0), asm.sw(asm.ZERO, asm.T0, 4),
        asm.addi(asm.T2, asm.ZERO, 0x80), asm.csrw("mie", asm.T2), asm.WFI, asm.LOOP,
    )  # fmt: skip
    board = board_of(code)
    stretch = counted(board, 100)
    assert stretch.executing_ns == 100 << stretch.shift
    assert stretch.waiting_ns == board.position.virtual_ns - stretch.executing_ns > 9_000_000


def test_each_hart_has_its_own() -> None:
    spin = asm.code(asm.addi(asm.A0, asm.A0, 1), asm.jal(asm.ZERO, -4))
    board = board_of(programs_of(spin, spin), smp=2, quantum=100)
    stretch = counted(board, 1_000)
    assert [hart.hart.hart_id for hart in stretch.harts] == [0, 1]
    assert sum(hart.insns for hart in stretch.harts) == stretch.insns == 1_000
    for number, hart in enumerate(stretch.harts):
        assert Place(program_at(number), PRIV_M) in count_insns([hart]).counts
        assert Place(program_at(1 - number), PRIV_M) not in count_insns([hart]).counts


def test_only_what_is_between_counts() -> None:
    board, _ = calling_board(64)
    board.run_until(icount=ROM_INSNS + 10)
    stretch = measure(board.machine, lambda: board.run_until(icount=ROM_INSNS + 15))
    assert (stretch.start.icount, stretch.end.icount, stretch.insns) == (ROM_INSNS + 10, ROM_INSNS + 15, 5)
    assert stretch.harts[0].insns == 5
