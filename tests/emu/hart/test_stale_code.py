"""No stale code: whatever changes an instruction, the next fetch sees the new one, however the run is sliced."""

from __future__ import annotations

import pytest
from asm import A0, LOOP, NOP, T0, T1, ZERO, addi, auipc, bne, code, ld, lw, sd, slli, sw
from harts import RAM, board_of, run_insns

SLICES = [1, 3, None]


@pytest.mark.parametrize("slice_insns", SLICES)
def test_store_to_the_next_instruction_takes_effect_at_once(counting: str, slice_insns: int | None) -> None:
    program = code(auipc(T0, 0), lw(T1, T0, 64), sw(T1, T0, 12), addi(A0, ZERO, 1), LOOP)
    board = board_of(program, (64, code(addi(A0, ZERO, 2))), counting=counting, slice_insns=slice_insns)
    run_insns(board, 5)
    assert board.registers["a0"] == 2


@pytest.mark.parametrize("slice_insns", SLICES)
def test_loop_that_patches_itself_runs_each_version(counting: str, slice_insns: int | None) -> None:
    # each round adds the immediate of the patched instruction, then replaces that with one larger by one
    patched = addi(A0, A0, 1)
    program = code(
        auipc(T0, 0), addi(5 + 2, ZERO, 20),
        patched, lw(T1, T0, 8), auipc(28, 256), addi(29, ZERO, 1), slli(29, 29, 20),
        (0x00 << 25 | 29 << 20 | T1 << 15 | 0 << 12 | T1 << 7 | 0x33),  # add t1, t1, t4
        sw(T1, T0, 8), addi(7, 7, -1), bne(7, ZERO, -32), LOOP,
    )  # fmt: skip
    board = board_of(program, counting=counting, slice_insns=slice_insns, ram_size=4 << 20)
    run_insns(board, 2 + 20 * 9)
    assert board.registers["a0"] == sum(range(1, 21))


def test_data_beside_code_keeps_the_code_translated(counting: str) -> None:
    rounds = 300  # more than enough writes to make the page change its role
    program = code(
        auipc(T0, 0), addi(T1, ZERO, rounds),
        sd(T1, T0, 512), ld(A0, T0, 512), addi(T1, T1, -1), bne(T1, ZERO, -12), LOOP,
    )  # fmt: skip
    board = board_of(program, counting=counting)
    run_insns(board, 2 + 4 * rounds)
    assert board.registers["a0"] == 1
    assert board.registers["pc"] == RAM + 24
    assert board.hart.statistics["invalidations"] <= 3


def test_host_write_to_code_is_seen_by_the_next_fetch(counting: str) -> None:
    board = board_of(code([NOP, NOP, addi(A0, ZERO, 1), addi(T0, T0, 1), LOOP]), counting=counting)
    run_insns(board, 1)
    board.memory.write(RAM + 8, code(addi(A0, ZERO, 7)))
    run_insns(board, 4)
    assert board.registers["a0"] == 7
