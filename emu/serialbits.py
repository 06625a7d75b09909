"""How characters are on a serial line: bits in time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class SerialFormat(NamedTuple):
    """The form of a character: its bits last ``bit_ns``; ``parity`` is ``N``, ``E``, ``O``, ``1`` or ``0``.

    ``stop_bits`` is 1 or 2.
    """

    bit_ns: int
    data_bits: int
    parity: str
    stop_bits: int

    @property
    def character_ns(self) -> int:
        """How long a character takes, from its start bit to the end of its stop bits."""
        return self.bit_ns * (1 + self.data_bits + (self.parity != "N") + self.stop_bits)


def levels(form: SerialFormat, character: int) -> Iterator[int]:
    """The levels of a character, bit by bit: start, data from the lowest on, parity. The stop bits, 1, come after."""
    bits = [character >> at & 1 for at in range(form.data_bits)]
    yield 0
    yield from bits
    if form.parity != "N":
        yield {"E": sum(bits) & 1, "O": ~sum(bits) & 1, "1": 1, "0": 0}[form.parity]
