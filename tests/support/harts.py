"""Boards with hand-made code in them, for tests."""

from __future__ import annotations

from support import asm

from minstret.devices.board.board import Board
from minstret.devices.board.config import BoardConfig
from minstret.devices.board.console import CONSOLE_TARGET
from minstret.devices.board.map import Base
from minstret.emu.door.door import Event
from minstret.emu.hart.shared import Counting
from minstret.emu.images.loader import Firmware, Segment

RAM = int(Base.RAM)
ROM_INSNS = 6
"""Instructions the boot ROM takes before the entry point."""
_PROGRAM_SIZE = 0x1000


def board_of(
    *pieces: bytes | tuple[int, bytes],
    xlen: int = 64,
    counting: str = "code",
    slice_insns: int | None = None,
    ram_size: int = 1 << 20,
    **config: object,
) -> Board:
    """A board with ``pieces`` in RAM: bytes for its start, or (offset in RAM, bytes)."""
    segments = []
    for piece in pieces:
        offset, data = (0, piece) if isinstance(piece, bytes) else piece
        segments.append(Segment(RAM + offset, data, len(data)))
    firmware = Firmware("test", xlen, RAM, tuple(segments))
    return Board(
        firmware,
        BoardConfig(xlen=xlen, ram_size=ram_size, slice_insns_max=slice_insns, counting=Counting(counting), **config),
    )


def run_insns(board: Board, insns: int) -> None:
    """Run so many instructions of the program (those of the boot ROM not counted)."""
    board.run_until(icount=ROM_INSNS + insns)


class Typist:
    """A host whose only input is what a test types."""

    is_open = True

    def __init__(self) -> None:
        self._typed: list[Event] = []

    def type(self, text: str) -> None:
        self._typed.append(Event(CONSOLE_TARGET, text.encode()))

    def poll(self, wants_input: bool) -> list[Event]:
        typed, self._typed = self._typed, []
        return typed

    def wait(self, timeout_ns: int | None) -> int:
        raise AssertionError("the guest waits for input that the test does not type")


def programs_of(*programs: bytes) -> bytes:
    """An image for several harts: each runs the program with its number, which begins at ``program_at`` of it."""
    start = asm.code(
        asm.csrr(asm.A0, "mhartid"), asm.auipc(asm.T0, 0), asm.addi(asm.T1, asm.A0, 1), asm.slli(asm.T1, asm.T1, 12),
        asm.add(asm.T0, asm.T0, asm.T1), asm.jalr(0, asm.T0, -4),
    )  # fmt: skip
    return b"".join(piece.ljust(_PROGRAM_SIZE, b"\0") for piece in (start, *programs))


def program_at(hart: int) -> int:
    """Where the program of a hart begins: see ``programs_of``."""
    return RAM + _PROGRAM_SIZE * (hart + 1)
