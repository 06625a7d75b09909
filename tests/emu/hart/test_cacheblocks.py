"""Instructions on cache blocks: zeros are stored, rights are checked, as each way of counting does it."""

from __future__ import annotations

import pytest
from support import asm
from support.harts import RAM, board_of, run_insns

from minstret.devices.board.board import Board
from minstret.emu.hart import cacheblocks
from minstret.emu.hart.csr import IllegalInstruction
from minstret.emu.hart.extensions import Op
from minstret.emu.hart.spec import CACHE_BLOCK, PRIV_M, PRIV_S, PRIV_U, Cause
from minstret.emu.hart.watches import WatchKind

DATA = 0x4000
CBZE, CBCFE, CBIE = 1 << 7, 1 << 6, 3 << 4


def board_with_data() -> Board:
    board = board_of(asm.code(asm.LOOP), (DATA, bytes([0xAA] * 256)))
    run_insns(board, 0)
    return board


def execute(board: Board, op: Op, va: int) -> tuple[Cause, int] | None:
    hart = board.hart
    return cacheblocks.execute(hart.core, hart._mmu, hart._accesses, op, va)


@pytest.mark.parametrize("inside", [0, 1, 40, 63])
def test_zero_clears_the_block_around_its_address(inside: int) -> None:
    board = board_with_data()

    assert execute(board, Op.CBO_ZERO, RAM + DATA + CACHE_BLOCK + inside) is None

    data = board.hart.read_physical(RAM + DATA, 3 * CACHE_BLOCK)
    assert data == b"\xaa" * CACHE_BLOCK + bytes(CACHE_BLOCK) + b"\xaa" * CACHE_BLOCK


@pytest.mark.parametrize("op", [Op.CBO_INVAL, Op.CBO_CLEAN, Op.CBO_FLUSH])
def test_others_change_nothing(op: Op) -> None:
    board = board_with_data()

    assert execute(board, op, RAM + DATA) is None

    assert board.hart.read_physical(RAM + DATA, 256) == b"\xaa" * 256


@pytest.mark.parametrize("op", [Op.CBO_ZERO, Op.CBO_CLEAN])
@pytest.mark.parametrize("address", [0x1000_0000, 0x1000, 0x4000_0000])
def test_block_that_is_not_in_ram_is_an_access_fault(op: Op, address: int) -> None:
    tval = address if op is Op.CBO_ZERO else address + 5
    assert execute(board_with_data(), op, address + 5) == (Cause.STORE_ACCESS, tval)


@pytest.mark.parametrize(
    ("op", "bits"), [(Op.CBO_ZERO, CBZE), (Op.CBO_CLEAN, CBCFE), (Op.CBO_FLUSH, CBCFE), (Op.CBO_INVAL, CBIE)]
)
@pytest.mark.parametrize(("priv", "of_machine", "of_supervisor", "may"), [
    (PRIV_M, False, False, True), (PRIV_S, False, True, False), (PRIV_S, True, False, True),
    (PRIV_U, True, False, False), (PRIV_U, False, True, False), (PRIV_U, True, True, True),
])  # fmt: skip
def test_lower_privileges_need_leave(
    op: Op, bits: int, priv: int, of_machine: bool, of_supervisor: bool, may: bool
) -> None:
    board = board_with_data()
    shared = board.hart._shared
    shared.menvcfg, shared.senvcfg = bits * of_machine, bits * of_supervisor
    board.hart.env.priv = priv

    if may:
        trap = None if priv == PRIV_M else (Cause.STORE_ACCESS, RAM + DATA)  # PMP allows nothing
        assert execute(board, op, RAM + DATA) == trap
    else:
        with pytest.raises(IllegalInstruction):
            execute(board, op, RAM + DATA)


def test_watch_is_told_of_the_whole_block() -> None:
    board, told = board_with_data(), []
    board.hart.watches.add(
        WatchKind.STORE, RAM + DATA + 8, 4, lambda address, size: told.append((address, size, board.position.icount))
    )
    icount = board.position.icount

    execute(board, Op.CBO_ZERO, RAM + DATA + 5)

    assert told == [(RAM + DATA, CACHE_BLOCK, icount)]
