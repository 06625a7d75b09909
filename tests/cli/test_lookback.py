"""The second look at a run that got stuck, and what it finds: the last instructions before."""

from __future__ import annotations

from pathlib import Path

from support import asm
from support.harts import RAM, ROM_INSNS, program_at, programs_of
from support.recordings import record, setup_of_code

from minstret.devices.board.board import Board
from minstret.devices.board.map import Base
from minstret.emu.cli.lookback import INSNS, in_live_run, in_trace
from minstret.emu.hart.shared import Counting

TURNS = asm.code(asm.NOP, asm.NOP, asm.jal(asm.ZERO, -4))


def board_at(icount: int, code: bytes, **config: object) -> Board:
    board = setup_of_code(code, **config).make()
    board.run_until(icount=icount)
    return board


def test_last_instructions_are_found_by_running_again() -> None:
    board = board_at(ROM_INSNS + 10, TURNS)

    past = in_live_run(board)(board.hart, ROM_INSNS + 6)

    assert past is not None
    assert past.recent[-6:] == [RAM, RAM + 4, RAM + 8, RAM + 4, RAM + 8, RAM + 4]
    assert (past.hart.icount, past.hart.pc) == (ROM_INSNS + 6, RAM + 8)
    assert past.hart is not board.hart
    assert board.position.icount == ROM_INSNS + 10


def test_look_at_the_beginning_finds_what_there_was() -> None:
    board = board_at(100, TURNS)

    past = in_live_run(board)(board.hart, 2)

    assert past is not None
    assert past.recent == [Base.BOOT_ROM, Base.BOOT_ROM + 4]


def test_last_instructions_of_one_of_two_harts_are_its_own() -> None:
    """Its last turn is two instructions old; before that another hart had one of a hundred."""
    spins = asm.code(asm.NOP, asm.NOP, asm.jal(asm.ZERO, -8))
    board = board_at(302, programs_of(spins, spins), smp=2, quantum=100)
    done = 102 - ROM_INSNS - 6

    past = in_live_run(board)(board.harts[1], 302)

    assert past is not None
    assert (past.hart.name, past.hart.minstret) == ("hart1", 102)
    assert past.recent == [program_at(1) + 4 * (insn % 3) for insn in range(done - INSNS, done)]


def test_recorded_run_is_looked_at_in_its_trace(tmp_path: Path) -> None:
    path = record(tmp_path, setup_of_code(TURNS), every=1000, icount=5000).path
    board = board_at(5000, TURNS)

    past = in_trace(path, Counting.CODE)(board.hart, 4000)

    live = in_live_run(board)(board.hart, 4000)
    assert past is not None
    assert live is not None
    assert (past.recent, past.hart.pc) == (live.recent, live.hart.pc)


def test_what_takes_long_to_run_again_is_not_looked_at() -> None:
    board = board_at(100, TURNS)

    assert in_live_run(board)(board.hart, 200_000_000) is None
