"""Random numbers that go back with the run: they follow from a seed and from how many were drawn."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

_BLOCK_BITS = 256
_DOUBLE_BITS = 53


@dataclass(slots=True)
class GeneratorState:
    """How many blocks of random bits were drawn."""

    drawn: int = 0


class Generator(random.Random):
    """Python's random generator, with ``state`` as a part has it. A reset leaves that as it is."""

    version = 1

    def __init__(self, seed: str) -> None:
        """Numbers that follow from ``seed``."""
        super().__init__(0)
        self.state = GeneratorState()
        self._seed = seed

    def getrandbits(self, k: int, /) -> int:
        """The next ``k`` random bits."""
        blocks = -(-k // _BLOCK_BITS)
        value = int.from_bytes(b"".join(map(self._block, range(blocks))), "little")
        self.state.drawn += blocks
        return value >> blocks * _BLOCK_BITS - k

    def _block(self, number: int) -> bytes:
        return hashlib.sha256(f"{self._seed}/{self.state.drawn + number}".encode()).digest()

    def random(self) -> float:
        """The next number in [0, 1)."""
        return self.getrandbits(_DOUBLE_BITS) / (1 << _DOUBLE_BITS)

    def gauss(self, mu: float = 0.0, sigma: float = 1.0) -> float:
        """A number of the normal distribution. Python's own keeps every second one for later."""
        return self.normalvariate(mu, sigma)
