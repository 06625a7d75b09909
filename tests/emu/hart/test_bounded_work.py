"""A slice ends after a bounded amount of work, however few instructions that takes: the host wants a word in."""

from __future__ import annotations

import pytest
from support.asm import (
    A0,
    A1,
    ECALL,
    LOOP,
    MRET,
    NOP,
    S0,
    T0,
    T1,
    ZERO,
    addi,
    auipc,
    code,
    csrr,
    csrw,
    jal,
    lui,
    lw,
    sw,
    xor,
)
from support.generated_code import RAM_SIZE, generate
from support.harts import board_of, run_insns

from minstret.devices.board.board import Board
from minstret.emu.hart.hart import HartStop
from minstret.emu.hart.shared import WORK_MAX, Counting

FAR = 1 << 40
ILLEGAL = 0xFFFFFFFF


def insns_of_a_slice(board: Board) -> int:
    """How many instructions it takes, when it is not asked to end."""
    run_insns(board, 0)
    before = board.hart.icount
    assert board.hart.run(FAR) is HartStop.LIMIT
    return board.hart.icount - before


@pytest.mark.parametrize("xlen", [64, 32])
def test_slice_of_stores_to_code_is_short(counting: str, xlen: int) -> None:
    loop = [xor(A0, A0, A1), sw(A0, S0, 28), NOP, addi(T0, T0, 1), jal(ZERO, -16)]
    program = code(auipc(S0, 0), lw(A0, S0, 28), lui(A1, 1), addi(T1, ZERO, 0), *loop)
    board = board_of(program, xlen=xlen, counting=counting)
    assert insns_of_a_slice(board) < 10 * WORK_MAX


@pytest.mark.parametrize("xlen", [64, 32])
def test_slice_of_code_that_stops_and_begins_to_decode_is_short(counting: str, xlen: int) -> None:
    # the instruction at 16 is written over, illegal and legal in turn; the handler goes on behind it
    program = code(auipc(S0, 0), lui(A1, 0x100), addi(A0, ZERO, 0x13), addi(T0, S0, 64), csrw("mtvec", T0), NOP)
    loop = code(xor(A0, A0, A1), sw(A0, S0, 20), jal(ZERO, 20 - 32))
    handler = code(csrr(T1, "mepc"), addi(T1, T1, 4), csrw("mepc", T1), MRET)
    board = board_of(program + loop, (64, handler), xlen=xlen, counting=counting)
    assert insns_of_a_slice(board) < WORK_MAX


@pytest.mark.parametrize("xlen", [64, 32])
def test_slice_of_traps_is_short(counting: str, xlen: int) -> None:
    handler = code(csrr(T1, "mepc"), addi(T1, T1, 4), csrw("mepc", T1), MRET)
    board = board_of(
        code(auipc(T0, 0), addi(T0, T0, 64), csrw("mtvec", T0), ILLEGAL, ECALL, jal(ZERO, -8)), (64, handler),
        xlen=xlen, counting=counting,
    )  # fmt: skip
    assert insns_of_a_slice(board) < 10 * WORK_MAX


@pytest.mark.parametrize("counting", [Counting.CODE.value, Counting.INSTRUCTIONS.value])
def test_slice_of_new_code_is_short(counting: str) -> None:
    # straight code that runs once: translating it is the work
    insns = 400_000
    board = board_of(code(NOP) * insns, (4 * insns, code(LOOP)), counting=counting, ram_size=4 << 20)
    assert insns_of_a_slice(board) < 10 * WORK_MAX


@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("number", range(6))
def test_slice_that_work_ends_is_where_a_run_to_that_icount_stops(counting: str, xlen: int, number: int) -> None:
    """Before a trap, never between it and its handler: what comes in there must find the same state in a replay."""
    program = generate(f"work/{number}", xlen)
    few = 300 if counting == Counting.PYTHON.value else 1500

    def board() -> Board:
        config = {"ram_size": RAM_SIZE, "icount_shift": program.icount_shift, "counting": counting}
        return board_of(program.image().rstrip(b"\0"), xlen=xlen, **config)

    worked, told = board(), board()
    for work_max in (1, 2, 3, 7) * (few // 4):
        worked.hart.work_max = work_max
        worked.machine._turn(few, None)
        icount = worked.position.icount
        if icount >= few or worked.hart.waiting:
            break
        for each in (told, worked):
            each.run_until(icount=icount)
        assert told.hart.save_state() == worked.hart.save_state()
