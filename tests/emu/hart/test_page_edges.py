"""Where pages and the address space begin and end: what lies before the first and after the last."""

from __future__ import annotations

import pytest
from support.asm import (
    A0,
    A1,
    EBREAK,
    ECALL,
    LOOP,
    MRET,
    T0,
    T1,
    T2,
    T3,
    WFI,
    ZERO,
    addi,
    auipc,
    code,
    csrr,
    csrw,
    jal,
    lui,
    sw,
)  # fmt: skip
from support.harts import RAM, ROM_INSNS, board_of

from minstret.devices.board.board import Board

PAGE, TABLES, TOP, BOTTOM = 0x1000, 0x10000, 0x2000, 0x3000
HANDLER = 0x800


@pytest.mark.parametrize("slice_insns", [1, None])
def test_interrupt_before_an_illegal_instruction_at_the_start_of_a_page_finds_its_handler_in_the_page_before(
    counting: str, slice_insns: int | None
) -> None:
    # Unicorn looks at the page before a block of size 0, and must not keep what it was told of it
    main = code(auipc(T1, 1), csrw("mtvec", T1), addi(T2, ZERO, 8), csrw("mie", T2), lui(T3, 0x2000),
                addi(T2, ZERO, 1), sw(T2, T3, 0), auipc(T0, 2), addi(T0, T0, -28 - 0x100), csrw("mepc", T0),
                lui(T0, 2), addi(T0, T0, -0x780), csrw("mstatus", T0), MRET)  # fmt: skip
    handler = code(addi(A0, ZERO, 1), addi(A0, A0, 1), sw(ZERO, T3, 0), LOOP)
    illegal = code(0)
    board = board_of(
        code(jal(ZERO, 0x100)), (0x100, main), (PAGE + 0x100, handler), (2 * PAGE, illegal),
        counting=counting, slice_insns=slice_insns,
    )  # fmt: skip
    board.run_until(icount=ROM_INSNS + 1 + 14 + 3)
    assert board.registers["pc"] == RAM + PAGE + 0x100 + 12
    assert board.registers["a0"] == 2


def board_at_the_top(insn: int, xlen: int, counting: str, slice_insns: int | None, has_bottom: bool) -> Board:
    """In S-mode, two instructions before one of which the last half is at virtual address 0."""
    first, last = code(addi(A0, ZERO, 1), addi(A0, A0, 1), insn)[:10], code(insn)[2:] + code(addi(A1, ZERO, 5), LOOP)
    board = board_of(
        (HANDLER, code(LOOP)), (TOP + PAGE - 10, first), (BOTTOM, last), xlen=xlen, counting=counting,
        slice_insns=slice_insns,
    )  # fmt: skip
    size, per_table = (8, 512) if xlen == 64 else (4, 1024)
    levels = 3 if xlen == 64 else 2

    def entry(table: int, index: int, page: int, bits: int) -> None:
        at = RAM + TABLES + table * PAGE + index * size
        board.memory.write(at, ((RAM + page >> 2) | bits).to_bytes(size, "little"))

    for side, (index, page) in enumerate(((per_table - 1, TOP), (0, BOTTOM))):
        for level in range(levels - 1):
            table = 0 if level == 0 else 2 * level - 1 + side
            entry(table, index, TABLES + (2 * level + 1 + side) * PAGE, 1)
        if page == TOP or has_bottom:
            entry(2 * levels - 3 + side, index, page, 0xCF)
    board.run_until(icount=ROM_INSNS)
    hart = board.hart
    hart.env.satp = (8 << 60 if xlen == 64 else 1 << 31) | RAM + TABLES >> 12
    hart.env.priv, hart.env.mtvec, board.registers["pc"] = 1, RAM + HANDLER, (1 << xlen) - 10
    hart.pmp.write_addr(0, (1 << (54 if xlen == 64 else 32)) - 1)
    hart.pmp.write_cfg(0, 0x1F)
    hart.core.pmp_changed()
    return board


EITHER = pytest.mark.parametrize("xlen", [64, 32])
SLICED = pytest.mark.parametrize("slice_insns", [1, None])


@EITHER
@SLICED
@pytest.mark.parametrize(("insn", "cause"), [(ECALL, 9), (EBREAK, 3), (0xFFFFFFFF, 2), (csrr(A0, "mstatus"), 2)])
def test_instruction_across_the_end_of_the_address_space_traps(
    counting: str, xlen: int, slice_insns: int | None, insn: int, cause: int
) -> None:
    board = board_at_the_top(insn, xlen, counting, slice_insns, has_bottom=True)
    board.run_until(icount=ROM_INSNS + 3)
    env = board.hart.env
    assert (env.mcause, env.mepc, env.priv) == (cause, (1 << xlen) - 2, 3)
    assert env.mtval == {2: insn, 3: (1 << xlen) - 2, 9: 0}[cause]
    assert board.registers["a0"] == 2


@EITHER
@SLICED
@pytest.mark.parametrize("insn", [addi(A0, A0, 0), WFI])
def test_instruction_across_the_end_of_the_address_space_goes_on_at_0(
    counting: str, xlen: int, slice_insns: int | None, insn: int
) -> None:
    board = board_at_the_top(insn, xlen, counting, slice_insns, has_bottom=True)
    board.hart.env.mie = 2
    board.hart.env.mideleg = 2
    board.hart.core.set_soft_mip(2)  # so there is nothing to wait for
    board.run_until(icount=ROM_INSNS + 4)
    assert (board.registers["pc"], board.registers["a1"], board.registers["a0"]) == (6, 5, 2)


@EITHER
@SLICED
def test_instruction_that_ends_at_a_missing_page_0_faults_there(
    counting: str, xlen: int, slice_insns: int | None
) -> None:
    board = board_at_the_top(addi(A0, A0, 1), xlen, counting, slice_insns, has_bottom=False)
    board.run_until(icount=ROM_INSNS + 3)
    env = board.hart.env
    assert (env.mcause, env.mepc, env.mtval, board.registers["a0"]) == (12, (1 << xlen) - 2, 0, 2)


@EITHER
def test_code_at_0_is_known_as_code_where_an_instruction_begins_at_the_end(counting: str, xlen: int) -> None:
    board = board_at_the_top(addi(A0, A0, 1), xlen, counting, None, has_bottom=True)
    board.run_until(icount=ROM_INSNS + 3)
    assert board.registers["a0"] == 3
    board.memory.write(RAM + BOTTOM, code(addi(A0, A0, 0x20))[2:])
    board.registers["pc"] = (1 << xlen) - 2
    board.run_until(icount=ROM_INSNS + 4)
    assert board.registers["a0"] == 3 + 0x20
