"""A board's memory from Python: ``board.memory``."""

from __future__ import annotations

from typing import Any

import pytest

from minstret.devices.board.board import Board
from minstret.firmware import image_path

RAM = 0x8000_0000


@pytest.mark.parametrize("where", [RAM, slice(RAM, None), slice(None, RAM), slice(RAM, RAM + 8, 2), "pc"])
def test_memory_without_a_range_is_refused_by_name(where: Any) -> None:
    board = Board(image_path("hello"))

    with pytest.raises(TypeError, match=r"^memory is asked for by a range of addresses: "):
        board.memory[where]


def test_memory_is_written_from_an_address_on() -> None:
    board = Board(image_path("hello"))

    board.memory[RAM + 0x10000 :] = b"ok"

    assert board.memory[RAM + 0x10000 : RAM + 0x10003] == b"ok\0"
