"""Where the instructions of code are, and what they are."""

from __future__ import annotations

import struct

from support import asm
from support.harts import RAM, board_of

from minstret.emu.hart.spec import PRIV_M, PRIV_S, PRIV_U
from minstret.emu.questions.code import Code

LONG, SHORT = asm.code(asm.NOP), struct.pack("<H", asm.C_NOP)


def test_instructions_of_both_sizes_are_found() -> None:
    code = Code(board_of(LONG + SHORT + SHORT + LONG).hart)
    assert code.insns_from(RAM, PRIV_M, 4) == [RAM, RAM + 4, RAM + 6, RAM + 8]


def test_instruction_across_the_end_of_a_page() -> None:
    code = Code(board_of((0xFFC, SHORT + LONG + SHORT)).hart)
    assert code.insns_from(RAM + 0xFFC, PRIV_M, 3) == [RAM + 0xFFC, RAM + 0xFFE, RAM + 0x1002]
    assert code.insn_at(RAM + 0xFFE, PRIV_M) == LONG
    assert code.insn_at(RAM + 0x1002, PRIV_M) == SHORT


def test_instructions_end_where_no_memory_is() -> None:
    code = Code(board_of(LONG, ram_size=1 << 20).hart)
    end = RAM + (1 << 20)
    assert code.insns_from(end - 4, PRIV_M, 5) == [end - 4, end - 2]
    assert code.insn_at(end, PRIV_M) == b""


def test_supervisor_code_that_is_not_mapped_any_more_is_read_where_it_was_before_paging() -> None:
    board = board_of(LONG)
    board.hart.env.satp = 8 << 60 | RAM + 0x10000 >> 12  # no page is mapped
    code = Code(board.hart)
    assert code.insns_from(RAM, PRIV_S, 1) == [RAM]
    assert code.insns_from(RAM, PRIV_U, 1) == []
    assert code.is_known(RAM, PRIV_S)
    assert not code.is_known(RAM, PRIV_U)
