"""Boards with hand-made code in them, for tests."""

from __future__ import annotations

from minstret.devices.board import Base, Board, BoardConfig
from minstret.emu.loader import Firmware, Segment

RAM = int(Base.RAM)
ROM_INSNS = 6
"""Instructions the boot ROM takes before the entry point."""


def board_of(
    *pieces: bytes | tuple[int, bytes],
    xlen: int = 64,
    callbacks: str = "C",
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
        BoardConfig(
            xlen=xlen, ram_size=ram_size, slice_insns_max=slice_insns, python_callbacks=callbacks == "Python", **config
        ),
    )


def run_insns(board: Board, insns: int) -> None:
    """Run so many instructions of the program (those of the boot ROM not counted)."""
    board.run_until(icount=ROM_INSNS + insns)
