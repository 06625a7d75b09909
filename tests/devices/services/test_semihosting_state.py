"""What semihosting remembers is part of the machine's state."""

from __future__ import annotations

from support.asm import A0, EBREAK, LOOP, NOP, ZERO, addi, code
from support.harts import Typist, board_of

from minstret.devices.board.board import Board
from minstret.devices.board.config import BoardConfig
from minstret.devices.services.semihosting import Op, SemihostingState
from minstret.emu.door.live import LiveDoor
from minstret.emu.images.loader import Firmware

_READC = (0x01F01013, EBREAK, 0x40705013)


def reading_board() -> tuple[Board, Typist]:
    """A board whose guest reads one character, with nobody typing yet."""
    program = code(addi(A0, ZERO, Op.READC), _READC, NOP, LOOP)
    firmware: Firmware = board_of(program).firmware
    typist = Typist()
    return Board(firmware, BoardConfig(ram_size=1 << 20), door=LiveDoor(typist)), typist


def test_read_that_waits_survives_save_and_load() -> None:
    board, typist = reading_board()
    typist.type("xy")
    board.run_until(icount=6 + 5)
    assert board.registers["a0"] == ord("x")
    other, _ = reading_board()

    other.machine.hart.write_physical(0x8000_0000, bytes(board.machine.memory.ram))
    other.machine.load_state(board.machine.save_state())

    assert other.semihosting.state == board.semihosting.state
    assert other.semihosting.state.has_console
    assert other.digest() == board.digest()


def test_reset_gives_the_console_back_to_the_uart() -> None:
    board, typist = reading_board()
    typist.type("x")
    board.run_until(icount=6 + 5)

    board.reset()

    assert board.semihosting.state == SemihostingState()
