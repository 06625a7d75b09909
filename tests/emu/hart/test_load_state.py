"""A state put into a hart that has run on: exactly as into one just made, though translated code stays."""

from __future__ import annotations

import random
from typing import Any

import pytest
from support import asm
from support.generated_code import generate
from support.harts import RAM, board_of, run_insns

from minstret.devices.board.board import Board
from minstret.emu.hart.shared import PAGE_SIZE

SEEDS = range(6)
SNAPSHOTS, INSNS = 5, 3000


def pages_of(ram: memoryview) -> list[bytes]:
    return [bytes(ram[at : at + PAGE_SIZE]) for at in range(0, len(ram), PAGE_SIZE)]


def go_back(board: Board, state: Any, pages: list[bytes]) -> None:
    """Put RAM and machine back; of RAM only the pages that differ are written, so that the others' code stays."""
    memory = board.machine.memory
    for number, page in enumerate(pages):
        at = number * PAGE_SIZE
        if memory.ram[at : at + PAGE_SIZE] != page:
            memory.write(memory.ram_base + at, page)
    board.machine.load_state(state)


@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("seed", SEEDS)
def test_going_back_and_on_is_the_same_run(counting: str, xlen: int, seed: int) -> None:
    """Generated code with traps, paging, PMP and code that writes code: to and fro between its snapshots."""
    program = generate(f"load {seed}", xlen)
    ram_size = 1 << 20
    assert len(program.image()) <= ram_size
    board = board_of(
        program.image(), xlen=xlen, counting=counting, ram_size=ram_size, icount_shift=program.icount_shift
    )
    pick = random.Random(seed)
    cuts = sorted(pick.sample(range(20, INSNS), SNAPSHOTS))
    saved, digests = [], []
    for cut in cuts:
        board.run_until(icount=cut)
        saved.append((board.machine.save_state(), pages_of(board.machine.memory.ram)))
        digests.append(board.digest())

    for _ in range(12):
        start = pick.randrange(SNAPSHOTS)
        go_back(board, *saved[start])
        assert (board.digest(), board.machine.save_state()) == (digests[start], saved[start][0])
        for number in range(start + 1, pick.randrange(start, SNAPSHOTS) + 1):
            board.run_until(icount=cuts[number])
            assert (board.digest(), board.machine.save_state()) == (digests[number], saved[number][0]), (seed, number)


def test_translated_code_of_pages_that_stay_is_kept(counting: str) -> None:
    board = board_of(asm.code(*[asm.addi(asm.A0, asm.A0, 1)] * 50, asm.LOOP), counting=counting)
    state = board.machine.save_state()
    run_insns(board, 60)
    digest, translated = board.digest(), board.hart.statistics["edges"]
    board.machine.load_state(state)
    run_insns(board, 60)

    assert board.digest() == digest
    assert board.hart.statistics["edges"] == translated


def test_first_trap_is_part_of_the_state(counting: str) -> None:
    board = board_of(asm.code(asm.csrw("mtvec", asm.ZERO), 0x00000073), counting=counting)
    run_insns(board, 1)
    before = board.machine.save_state()
    for _ in range(2):
        board.machine.load_state(before)
        assert board.hart.first_trap is None
        board.run()
        assert board.hart.first_trap is not None
        assert (board.hart.first_trap.cause, board.hart.first_trap.epc) == (11, RAM + 4)
        after = board.machine.save_state()
        assert after.harts[0].first_trap == board.hart.first_trap
