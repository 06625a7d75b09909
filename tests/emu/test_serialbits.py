"""Characters as bits on a line."""

from __future__ import annotations

import pytest

from minstret.emu.serialbits import SerialFormat, levels


def test_character_is_a_start_bit_and_data_with_the_lowest_first() -> None:
    form = SerialFormat(bit_ns=8_680, data_bits=8, parity="N", stop_bits=1)

    assert list(levels(form, 0x53)) == [0, 1, 1, 0, 0, 1, 0, 1, 0]
    assert form.character_ns == 10 * 8_680


def test_data_bits_that_a_character_has_beyond_are_not_sent() -> None:
    assert list(levels(SerialFormat(1, 5, "N", 1), 0xE1)) == [0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(("parity", "one_bit", "two_bits"), [("E", 1, 0), ("O", 0, 1), ("1", 1, 1), ("0", 0, 0)])
def test_parity_follows_the_data(parity: str, one_bit: int, two_bits: int) -> None:
    form = SerialFormat(1, 7, parity, 2)

    assert list(levels(form, 0b0000100))[-1] == one_bit
    assert list(levels(form, 0b0000101))[-1] == two_bits
    assert form.character_ns == 1 + 7 + 1 + 2
