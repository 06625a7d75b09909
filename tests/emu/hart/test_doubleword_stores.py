"""Stores of 8 bytes, which come to the hart's callbacks as two halves, are done once and whole."""

from __future__ import annotations

import pytest
from support.asm import (
    A0,
    A1,
    A2,
    A3,
    LOOP,
    NOP,
    RA,
    S0,
    T0,
    T1,
    ZERO,
    add,
    addi,
    auipc,
    bne,
    code,
    jalr,
    ld,
    sd,
    slli,
    sw,
)
from support.harts import RAM, board_of, run_insns

SLICES = [1, 3, None]
PLACE = 0x400
HIGH_ONE = [addi(A1, ZERO, 1), slli(A1, A1, 32), addi(A1, A1, 1)]
"""a1 = 0x1_0000_0001."""


def amoadd_d(rd: int, rs2: int, rs1: int) -> int:
    return rs2 << 20 | rs1 << 15 | 3 << 12 | rd << 7 | 0x2F


def lr_d(rd: int, rs1: int) -> int:
    return 2 << 27 | rs1 << 15 | 3 << 12 | rd << 7 | 0x2F


def sc_d(rd: int, rs2: int, rs1: int) -> int:
    return 3 << 27 | rs2 << 20 | rs1 << 15 | 3 << 12 | rd << 7 | 0x2F


@pytest.mark.parametrize("slice_insns", SLICES)
@pytest.mark.parametrize("code_half", [0, 4])
def test_amo_on_a_doubleword_that_is_half_code_is_done_once(
    counting: str, code_half: int, slice_insns: int | None
) -> None:
    # the half that is code is called first, so it is translated: addi a5, a5, 1
    words = [0, addi(15, 15, 1)] if code_half else [addi(15, 15, 1), jalr(ZERO, RA, 0)]
    place = b"".join(word.to_bytes(4, "little") for word in (*words, jalr(ZERO, RA, 0)))
    program = code(
        auipc(S0, 0), addi(S0, S0, PLACE), jalr(RA, S0, code_half), HIGH_ONE, NOP, NOP, amoadd_d(A2, A1, S0),
        ld(A3, S0, 0), LOOP,
    )  # fmt: skip
    board = board_of(program, (PLACE, place), counting=counting, slice_insns=slice_insns)
    run_insns(board, 14)
    before = int.from_bytes(place[:8], "little")
    assert board.registers["a2"] == before
    assert board.registers["a3"] == before + 0x1_0000_0001


@pytest.mark.parametrize("slice_insns", SLICES)
def test_counter_beside_code_counts_every_amo(counting: str, slice_insns: int | None) -> None:
    # 200 AMOs and a store come by the number of writes at which the page changes its role between two halves
    program = code(
        auipc(S0, 0), addi(A1, ZERO, 1), addi(T0, ZERO, 200), sw(ZERO, S0, 136),
        amoadd_d(A2, A1, T1), addi(T0, T0, -1), bne(T0, ZERO, -8), ld(A3, S0, 128), LOOP,
    )  # fmt: skip
    board = board_of(program, counting=counting, slice_insns=slice_insns)
    board.registers["t1"] = RAM + 128
    run_insns(board, 4 + 3 * 200 + 1)
    assert board.registers["a3"] == 200


@pytest.mark.parametrize("slice_insns", SLICES)
@pytest.mark.parametrize("succeeds", [True, False])
def test_sc_on_a_doubleword_that_is_half_code(counting: str, succeeds: bool, slice_insns: int | None) -> None:
    place = bytes(4) + code(addi(15, 15, 1), jalr(ZERO, RA, 0))
    other = NOP if succeeds else sc_d(ZERO, ZERO, T0)  # which ends the reservation
    program = code(
        auipc(S0, 0), addi(S0, S0, PLACE), addi(T0, S0, 64), jalr(RA, S0, 4), HIGH_ONE, lr_d(A0, S0), add(A0, A0, A1),
        other, sc_d(A2, A0, S0), ld(A3, S0, 0), LOOP,
    )  # fmt: skip
    board = board_of(program, (PLACE, place), counting=counting, slice_insns=slice_insns)
    run_insns(board, 16)
    before = int.from_bytes(place[:8], "little")
    assert bool(board.registers["a2"]) is not succeeds
    assert board.registers["a3"] == before + (0x1_0000_0001 if succeeds else 0)


@pytest.mark.parametrize("slice_insns", SLICES)
def test_amo_that_makes_a_used_page_table_entry_is_done_once(counting: str, slice_insns: int | None) -> None:
    # the entry's high half, where nothing has to be flushed before, comes after its low half has made it valid
    root, leaves, entry = 0x10000, 0x12000, 0x12000 + 8 * 20
    program = code(
        HIGH_ONE[0], slli(A1, A1, 33), add(A1, A1, A3), NOP, amoadd_d(A2, A1, S0), amoadd_d(A0, ZERO, S0), LOOP
    )  # fmt: skip
    board = board_of((0, program), counting=counting, slice_insns=slice_insns)
    board.memory.write(RAM + root + 16, (RAM + root + 4096 >> 2 | 1).to_bytes(8, "little"))
    board.memory.write(RAM + root + 4096, (RAM + leaves >> 2 | 1).to_bytes(8, "little"))
    for page in range(20):
        board.memory.write(RAM + leaves + 8 * page, (RAM + page * 4096 >> 2 | 0xCF).to_bytes(8, "little"))
    run_insns(board, 0)
    hart = board.hart
    hart.env.satp, hart.env.priv = 8 << 60 | RAM + root >> 12, 1
    hart.pmp.write_addr(0, (1 << 54) - 1)
    hart.pmp.write_cfg(0, 0x1F)
    hart.core.pmp_changed()
    board.registers["s0"], board.registers["a3"] = RAM + entry, 0xCF
    run_insns(board, 7)
    assert board.registers["a2"] == 0
    assert board.registers["a0"] == 1 << 33 | 0xCF


@pytest.mark.parametrize("slice_insns", SLICES)
def test_store_across_a_page_with_code_and_a_plain_one(counting: str, slice_insns: int | None) -> None:
    # as bytes, some of them twice where the code has to be alone; what is there in the end is the doubleword
    program = code(
        auipc(S0, 1), addi(S0, S0, -4), jalr(RA, S0, 4), HIGH_ONE, sd(A1, S0, 0), sd(A1, S0, 1), ld(A3, S0, 1), LOOP
    )
    board = board_of(program, (4096, code(jalr(ZERO, RA, 0))), counting=counting, slice_insns=slice_insns)
    run_insns(board, 10)
    assert board.registers["a3"] == 0x1_0000_0001
    assert board.memory[RAM + 4092 : RAM + 4102] == bytes([1, 1, 0, 0, 0, 1, 0, 0, 0, 0])


@pytest.mark.parametrize("slice_insns", SLICES)
def test_store_that_is_refused_after_it_has_overwritten_itself(counting: str, slice_insns: int | None) -> None:
    # bytes up to the end of the instruction are stored, PMP forbids the next one: what faulted was the store
    place = 0x3000
    program = code([NOP] * 2, sd(A1, S0, -3), NOP, LOOP)
    board = board_of((0, code(LOOP)), (place, program), counting=counting, slice_insns=slice_insns)
    run_insns(board, 0)
    hart, at = board.hart, RAM + place + 8
    hart.pmp.write_addr(0, at + 4 >> 2)
    hart.pmp.write_addr(1, (1 << 54) - 1)
    hart.pmp.write_cfg(0, 0x1F15)  # 4 bytes: read and execute; all else: everything
    hart.core.pmp_changed()
    hart.env.mtvec, hart.env.priv = RAM, 0
    board.registers["pc"], board.registers["s0"] = RAM + place, at
    board.registers["a1"] = NOP << 24
    run_insns(board, 3)
    assert (hart.env.mcause, hart.env.mepc, hart.env.mtval) == (7, at, at - 3)
    assert board.memory[at : at + 8] == code(NOP, NOP)


@pytest.mark.parametrize("slice_insns", SLICES)
def test_store_that_overwrites_itself_and_ends_in_nothing(counting: str, slice_insns: int | None) -> None:
    # at the end of the last page of RAM: page by page the second one is looked at first, so nothing is stored
    size = 1 << 20
    program = code(NOP, sd(A1, S0, -3))
    board = board_of(
        (0, code(LOOP)), (size - len(program), program), counting=counting, slice_insns=slice_insns, ram_size=size
    )
    run_insns(board, 0)
    hart, at = board.hart, RAM + size - 4
    hart.env.mtvec = RAM
    board.registers["pc"], board.registers["s0"], board.registers["a1"] = at - 4, at, NOP << 24
    run_insns(board, 2)
    assert (hart.env.mcause, hart.env.mepc) == (7, at)
    assert board.memory[at : at + 4] == code(sd(A1, S0, -3))
