"""Every page table entry, for every privilege, SUM and MXR, against the specification's rules written down again."""

from __future__ import annotations

from itertools import product

import pytest
from support import asm
from support.harts import RAM, board_of

from minstret.devices.board.board import Board
from minstret.emu.hart.spec import PTE_A, PTE_D, PTE_R, PTE_U, PTE_V, PTE_W, PTE_X, Cause

TABLE, PAGE = RAM + 0x10000, RAM + 0x20000
VA = 0x4000_5000
PRIV_U, PRIV_S = 0, 1
MPRV, SUM, MXR, MPP_SHIFT = 1 << 17, 1 << 18, 1 << 19, 11
LOAD, STORE, HANDLER = RAM, RAM + 8, RAM + 16
PROGRAM = asm.code(asm.lw(asm.A0, asm.T0, 0), asm.LOOP, asm.sw(asm.A1, asm.T0, 0), asm.LOOP, asm.LOOP)
DATA = 0x5A5A_1234
MODES = list(product((PRIV_U, PRIV_S), (False, True), (False, True), (False, True)))
"""Privilege of the access, whether it stores, SUM, MXR."""


def paging_board(xlen: int, counting: str) -> Board:
    """A board whose M-mode program loads and stores at VA as another privilege, through tables of one leaf."""
    board = board_of(PROGRAM, xlen=xlen, counting=counting)
    board.run_until(icount=10)
    registers, size = board.registers, xlen // 8
    registers["pmpaddr0"], registers["pmpcfg0"] = -1, 0x1F
    registers["mtvec"], registers["t0"], registers["a1"] = HANDLER, VA, DATA
    registers["satp"] = (8 << 60 if xlen == 64 else 1 << 31) | TABLE >> 12
    bits = 9 if xlen == 64 else 10
    for level, table in enumerate(range(TABLE, TABLE + 0x1000 * (1 if xlen == 32 else 2), 0x1000)):
        shift = 12 + bits * ((1 if xlen == 32 else 2) - level)
        index = VA >> shift & (1 << bits) - 1
        board.memory[table + index * size :] = (table + 0x1000 >> 12 << 10 | PTE_V).to_bytes(size, "little")
    return board


def leaf_address(xlen: int) -> int:
    bits, size = (9, 8) if xlen == 64 else (10, 4)
    return TABLE + (0x2000 if xlen == 64 else 0x1000) + (VA >> 12 & (1 << bits) - 1) * size


def is_allowed(pte: int, privilege: int, stores: bool, sum_: bool, mxr: bool) -> bool:
    """Source: The RISC-V Instruction Set Manual, Volume II, "Virtual Address Translation Process"; A, D set by us."""
    if not pte & PTE_V or (pte & PTE_W and not pte & PTE_R) or not pte & (PTE_R | PTE_X):
        return False  # the last level has to be a leaf
    if bool(pte & PTE_U) != (privilege == PRIV_U) and not (privilege == PRIV_S and sum_):
        return False
    if stores:
        return bool(pte & PTE_W)
    return bool(pte & PTE_R) or (mxr and bool(pte & PTE_X))


@pytest.mark.parametrize("xlen", [64, 32])
def test_every_leaf_allows_what_the_specification_says_and_gets_its_bits(counting: str, xlen: int) -> None:
    board, leaf, size = paging_board(xlen, counting), leaf_address(xlen), xlen // 8
    registers, allowed = board.registers, 0
    for flags in range(256):
        pte = PAGE >> 12 << 10 | flags
        for privilege, stores, sum_, mxr in MODES:
            board.memory[leaf:] = pte.to_bytes(size, "little")
            board.memory[PAGE:] = (77).to_bytes(4, "little")
            registers["mstatus"] = MPRV | privilege << MPP_SHIFT | sum_ * SUM | mxr * MXR
            registers["pc"], registers["mcause"], registers["a0"] = STORE if stores else LOAD, 0, 0
            board.run_until(icount=board.position.icount + 1)

            case = f"pte {flags:#04x}, privilege {privilege}, stores {stores}, SUM {sum_}, MXR {mxr}"
            after = int.from_bytes(board.memory[leaf : leaf + size], "little")
            value = int.from_bytes(board.memory[PAGE : PAGE + 4], "little")
            if is_allowed(pte, privilege, stores, sum_, mxr):
                allowed += 1
                assert registers["pc"] == (STORE if stores else LOAD) + 4, case
                assert (registers["a0"], value) == ((0, DATA) if stores else (77, 77)), case
                assert after == pte | PTE_A | (PTE_D if stores else 0), case
            else:
                wanted = Cause.STORE_PAGE_FAULT if stores else Cause.LOAD_PAGE_FAULT
                assert (registers["pc"], registers["mcause"], registers["mtval"]) == (HANDLER, wanted, VA), case
                assert (registers["a0"], value, after) == (0, 77, pte), case

    assert allowed == sum(is_allowed(flags, *mode) for flags in range(256) for mode in MODES)


@pytest.mark.parametrize("xlen", [64, 32])
def test_debuggers_read_what_the_guest_would_and_change_nothing(xlen: int) -> None:
    board, leaf, size = paging_board(xlen, "code"), leaf_address(xlen), xlen // 8
    pte = PAGE >> 12 << 10 | PTE_V | PTE_R | PTE_U
    board.memory[leaf:] = pte.to_bytes(size, "little")
    board.memory[PAGE:] = b"seen"
    board.registers["mstatus"] = MPRV | PRIV_U << MPP_SHIFT

    assert board.memory.read_virtual(VA, 4) == b"seen"
    assert board.memory[leaf : leaf + size] == pte.to_bytes(size, "little")  # no A bit for a look
    with pytest.raises(IndexError, match=f"nothing is mapped at virtual address {RAM:#x}"):
        board.memory.read_virtual(RAM, 4)
