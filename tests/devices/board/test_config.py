"""What no board can be made of is refused in one line that says what was expected."""

from __future__ import annotations

from typing import Any

import pytest
from support import asm
from support.recordings import setup_of_code

from minstret.emu.errors import ConfigError

LOOPS = asm.code(asm.LOOP)
GIB = 1 << 30


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"ram_size": 0}, "memory: 0 bytes is not a positive multiple of 4096"),
        ({"ram_size": -4096}, "memory: -4096 bytes is not a positive multiple of 4096"),
        ({"ram_size": (1 << 20) + 1}, "memory: 1048577 bytes is not a positive multiple of 4096"),
        ({"ram_size": GIB << 20}, "memory: 1073741824 MiB is too much; rv64 takes up to "),
        ({"ram_size": 4 * GIB, "xlen": 32}, "memory: 4096 MiB is too much; rv32 takes up to "),
        ({"entropy": "dice"}, "entropy: expected seed, host, none, got 'dice'"),
        ({"net": "user"}, "net: expected a NetConfig, got 'user'"),
        ({"counting": "blocks"}, "counting: expected a Counting such as Counting.CODE, got 'blocks'"),
        ({"timer_model": "x"}, "timer model: expected attributes, "),
        ({"inputs": ("mouse",)}, "input: expected keyboard or tablet, got 'mouse'"),
        ({"inputs": ("tablet", "tablet")}, "input: tablet, tablet: each input device may be given once"),
    ],
)
def test_impossible_board_is_refused_in_one_line(config: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        setup_of_code(LOOPS, **config).make()

    assert str(caught.value).startswith(text)
    assert "\n" not in str(caught.value)


def test_smallest_board_has_a_few_pages() -> None:
    board = setup_of_code(LOOPS, ram_size=64 << 10).make()
    board.run_until(icount=100)

    assert board.position.icount == 100
