"""The image ``smash`` overwrites a return address and uses it a million instructions later: something to debug."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.recordings import RAM_SIZE, assert_replays, record, setup_of_image

from minstret.devices.board.board import Board
from minstret.emu.hart.watches import WatchHit, WatchKind
from minstret.emu.machine import StopReason

XLENS = (64, 32)
NAME = b"rain water tank behind the boiler house (south)"

each_board = pytest.mark.parametrize(("xlen", "harts"), [(xlen, harts) for xlen in XLENS for harts in (1, 2, 4)])


def board_of_smash(xlen: int, harts: int) -> Board:
    return setup_of_image("smash", xlen, ram_size=RAM_SIZE, smp=harts).make()


def address_of(board: Board, name: str) -> int:
    symbol = board.symbols.find(name)
    assert symbol is not None
    return symbol.address


def third_survey(board: Board) -> None:
    """Run to where the survey begins that does not come back."""
    board.breakpoints.add(address_of(board, "survey_tank"))
    for _ in range(3):
        assert board.run().reason is StopReason.BREAKPOINT
    board.breakpoints.clear()


@each_board
def test_smash_waits_forever_after_a_trap_at_an_address_that_is_text(xlen: int, harts: int) -> None:
    board = board_of_smash(xlen, harts)

    outcome = board.run()

    trap = board.harts[0].last_trap
    assert outcome.reason is StopReason.WAITS_FOREVER
    assert board.console.decode().startswith(f"smash: rv{xlen}, harts: {harts}\n")
    assert NAME in board.console
    assert trap is not None
    assert (trap.cause, trap.is_interrupt) == (1, False)
    assert trap.epc.to_bytes(xlen // 8, "little").rstrip(b"\0")[1:] in NAME  # jalr clears the lowest bit
    assert board.symbols.describe(board.harts[0].pc).startswith("on_trap")


@each_board
def test_culprit_is_set_title_a_million_instructions_before(xlen: int, harts: int) -> None:
    board = board_of_smash(xlen, harts)
    third_survey(board)
    size = xlen // 8
    board.watches.add(WatchKind.STORE, board.registers_of(0)["sp"] - size, size)
    hits: list[tuple[int, WatchHit]] = []
    while (outcome := board.run()).reason is StopReason.WATCH:
        hits += [(board.position.icount, hit) for hit in outcome.hits]

    (_, saves), *smashes = hits[: 1 + size]
    assert board.symbols.describe(saves.pc).startswith("survey_tank")
    assert {board.symbols.describe(hit.pc).partition("+")[0] for _, hit in smashes} == {"set_title"}
    assert {hit.hart for _, hit in smashes} == {1 if harts > 1 else 0}
    assert 1_000_000 < board.position.icount - smashes[-1][0] < 1_200_000


@each_board
def test_smash_replays(xlen: int, harts: int, tmp_path: Path) -> None:
    assert_replays(record(tmp_path, setup_of_image("smash", xlen, smp=harts)))
