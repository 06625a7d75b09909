"""Where Unicorn departs from the specification and the hart does not: found beside Spike (tools/cosim)."""

from __future__ import annotations

from collections.abc import Callable

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
    ZERO,
    addi,
    auipc,
    bne,
    code,
    csrr,
    csrrc,
    csrrs,
    csrw,
    jalr,
    li,
    lw,
    slli,
    xor,
)
from support.harts import RAM, ROM_INSNS, board_of, run_insns

from minstret.devices.board.board import Board

C_FLD, C_FSD, C_FLDSP, C_FSDSP = 0x2004, 0xA004, 0x2402, 0xA422
C_FLW, C_FSW, C_FLWSP, C_FSWSP = 0x6004, 0xE004, 0x6402, 0xE422
ILLEGAL, LOAD_PAGE_FAULT = 2, 13
HANDLER = 0x800
FS, MPRV, MPP_S, MPP_M = 0x6000, 1 << 17, 0x0800, 0x1800


def traps_at(board: Board, insns: int) -> tuple[int, int, int] | None:
    """Cause, PC and tval of the last trap, after so many instructions."""
    run_insns(board, insns)
    trap = board.hart.first_trap
    return None if trap is None else (trap.cause, trap.epc, trap.tval)


@pytest.mark.parametrize("insn", [C_FLD, C_FSD, C_FLDSP, C_FSDSP, C_FLW, C_FSW, C_FLWSP, C_FSWSP], ids=hex)
def test_compressed_load_or_store_of_floats_traps_while_fs_is_off(counting: str, insn: int) -> None:
    board = board_of(code(auipc(S0, 0), addi(2, S0, 0), insn, LOOP), xlen=32, counting=counting)
    assert traps_at(board, 3) == (ILLEGAL, RAM + 8, insn)


def test_fs_is_asked_each_time(counting: str) -> None:
    """The same code with FS on and off, again and again: the handler counts how often it was off."""
    program = code(
        auipc(S0, 0), addi(T0, S0, 0x400), csrw("mtvec", T0), addi(S0, S0, 0x500), li(T1, FS), addi(A1, ZERO, 20),
        csrr(T2, "mstatus"), xor(T2, T2, T1), csrw("mstatus", T2), C_FLD, addi(A1, A1, -1), bne(A1, ZERO, -18), LOOP,
    )  # fmt: skip
    handler = code(addi(A0, A0, 1), csrr(A2, "mepc"), addi(A2, A2, 2), csrw("mepc", A2), MRET)
    board = board_of(program, (0x400, handler), counting=counting)
    board.run_until(icount=ROM_INSNS + 300)
    assert (board.registers["a1"], board.registers["a0"]) == (0, 10)


@pytest.mark.parametrize(
    ("xlen", "insn"),
    [(64, 0x8050), (64, 0x9C41), (64, 0x9C61), (32, 0x8050), (32, 0x9C01), (32, 0x9C21), (32, 0x9C41), (32, 0x9C61),
     (32, 0x1082), (32, 0x9005), (32, 0x9405)],
)  # fmt: skip
def test_reserved_compressed_instruction_traps(counting: str, xlen: int, insn: int) -> None:
    board = board_of(code(NOP, NOP, insn, LOOP), xlen=xlen, counting=counting)
    assert traps_at(board, 3) == (ILLEGAL, RAM + 8, insn)


@pytest.mark.parametrize("insn", [0x3B0042F3, 0x3210_2573], ids=["system-funct3-4", "csr-0x321"])
def test_what_is_no_instruction_traps(counting: str, insn: int) -> None:
    board = board_of(code(NOP, insn, LOOP), counting=counting)
    assert traps_at(board, 2) == (ILLEGAL, RAM + 4, insn)


@pytest.mark.parametrize(
    ("csr", "expected"),
    [("mie", 0xAAA), ("mideleg", 0x222), ("medeleg", 0xB3FF), ("mcounteren", 0xFFFFFFFF), ("scounteren", 0xFFFFFFFF),
     ("mepc", 2**64 - 2), ("sepc", 2**64 - 2), ("sie", 0)],
)  # fmt: skip
def test_csr_keeps_the_bits_it_has(counting: str, csr: str, expected: int) -> None:
    """All ones are written; none is delegated, so sie takes nothing."""
    board = board_of(code(addi(T0, ZERO, -1), csrw(csr, T0), csrr(A0, csr), LOOP), counting=counting)
    run_insns(board, 3)
    assert board.registers["a0"] == expected


@pytest.mark.parametrize("make", [csrrs, csrrc], ids=["csrrs", "csrrc"])
def test_setting_no_bits_is_a_write_nevertheless(counting: str, make: Callable[[int, str, int], int]) -> None:
    """By a register that is not x0, whatever it holds: a read-only CSR traps."""
    board = board_of(code(make(A0, "mhartid", ZERO), make(A0, "mhartid", A1), LOOP), counting=counting)
    assert traps_at(board, 2) == (ILLEGAL, RAM + 4, make(A0, "mhartid", A1))


def test_sie_leaves_what_is_not_delegated(counting: str) -> None:
    program = code(
        li(T0, 0x222), csrw("mie", T0), li(T0, 0x020), csrw("mideleg", T0), csrw("sie", ZERO), csrr(A0, "mie"),
        csrw("sie", T0), csrr(A1, "mie"), LOOP,
    )  # fmt: skip
    board = board_of(program, counting=counting)
    run_insns(board, 16)
    assert (board.registers["a0"], board.registers["a1"]) == (0x202, 0x222)


def test_there_is_no_privilege_2(counting: str) -> None:
    board = board_of(code(li(T0, 0x1000), csrw("mstatus", T0), csrr(A0, "mstatus"), LOOP), counting=counting)
    run_insns(board, 7)
    assert board.registers["a0"] & MPP_M == 0


# ---- MPRV


def translated(program: bytes, counting: str, handler: bytes = b"", xlen: int = 64) -> Board:
    """M-mode code with a table at 0x1000 in RAM, in which S-mode has RAM where it is, and U-mode nothing."""
    leaf = (RAM >> 2) | 0xCF
    at = 0x1000 + (RAM >> 30) * 8
    return board_of(program, (HANDLER, handler), (at, leaf.to_bytes(8, "little")), xlen=xlen, counting=counting)


SET_UP = (
    auipc(S0, 0), addi(T0, S0, 0x7F0), addi(T0, T0, 0x10), csrw("mtvec", T0), li(T0, 0x1F), csrw("pmpcfg0", T0),
    addi(T0, ZERO, -1), csrw("pmpaddr0", T0), addi(T1, ZERO, 8), slli(T1, T1, 60), li(T0, RAM + 0x1000 >> 12),
    xor(T1, T1, T0), csrw("satp", T1), li(T1, MPRV),
)  # fmt: skip
"""29 instructions: a handler, PMP that allows everything, Sv39; t1 is MPRV."""


def count(*parts: object) -> int:
    return len(code(*parts)) // 4  # type: ignore[arg-type]


def test_load_beside_code_has_the_rights_of_the_borrowed_mode(counting: str) -> None:
    """Code that M-mode runs, on a page that U-mode does not have: a load under MPRV faults there, however it got
    into the translation buffer."""
    program = code(*SET_UP, csrw("mstatus", T1), NOP, lw(A0, S0, 0), LOOP)
    board = translated(program, counting, code(LOOP))
    assert traps_at(board, count(*SET_UP) + 4) == (LOAD_PAGE_FAULT, RAM + 4 * count(*SET_UP) + 8, RAM)


def test_return_to_m_mode_keeps_mprv_and_changes_what_it_means(counting: str) -> None:
    """Loads go through MPP before MRET, M-mode's; after it, U-mode's."""
    before = (*SET_UP, li(T0, MPP_M), csrrs(ZERO, "mstatus", T0), csrrs(ZERO, "mstatus", T1), lw(A0, S0, 0))
    at = 4 * (count(*before) + 3)
    program = code(*before, addi(T0, S0, at), csrw("mepc", T0), MRET, lw(A1, S0, 0), LOOP)
    board = translated(program, counting, code(LOOP))
    assert traps_at(board, count(*before) + 5) == (LOAD_PAGE_FAULT, RAM + at, RAM)
    assert board.hart.env.mstatus & MPRV


@pytest.mark.parametrize("insn", [MRET, SRET], ids=["mret", "sret"])
def test_return_to_s_mode_clears_mprv(counting: str, insn: int) -> None:
    before = (*SET_UP, li(T0, MPP_S | 0x100), csrrs(ZERO, "mstatus", T0), csrrs(ZERO, "mstatus", T1))
    at = 4 * (count(*before) + 4)
    program = code(*before, addi(T0, S0, at), csrw("mepc", T0), csrw("sepc", T0), insn, lw(A1, S0, 0), LOOP)
    board = translated(program, counting)
    run_insns(board, count(*before) + 5)
    assert (board.hart.env.priv, board.hart.env.mstatus & MPRV) == (1, 0)
    assert board.registers["a1"] == int.from_bytes(program[:4], "little")
    assert board.hart.first_trap is None


def test_sret_in_u_mode_is_illegal_even_with_mprv(counting: str) -> None:
    before = (*SET_UP, csrrc(ZERO, "mstatus", T0), csrw("satp", ZERO))
    at = 4 * (count(*before) + 5)
    program = code(
        *before, li(T0, 0) [:1], csrw("mstatus", ZERO), addi(T0, S0, at), csrw("mepc", T0), MRET, SRET, LOOP
    )  # fmt: skip
    board = translated(program, counting, code(jalr(ZERO, ZERO, 0)))
    run_insns(board, count(*before) + 5)
    board.hart.env.mstatus |= MPRV
    assert traps_at(board, count(*before) + 6) == (ILLEGAL, RAM + at, SRET)
