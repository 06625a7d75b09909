"""``check_device``: what it finds in a device that breaks the contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import pytest

from minstret import AccessFault, Device, check_device

BASE = 0x1006_0000


@dataclass(slots=True)
class CounterState:
    reads: int = 0


class Counter(Device):
    """Counts its reads, in its state."""

    def __init__(self, base: int = BASE) -> None:
        super().__init__(base)
        self.state = CounterState()

    def read(self, offset: int, size: int) -> int:
        self.state.reads += 1
        return self.state.reads


class Forgets(Counter):
    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def read(self, offset: int, size: int) -> int:
        self.reads += 1
        self.last_offset = offset
        return 0


class LooksElsewhere(Counter):
    """What it reads is no function of its state; a clock of the host would be another example."""

    elsewhere = count()

    def read(self, offset: int, size: int) -> int:
        return next(self.elsewhere)


class TakesWordsOnly(Counter):
    def read(self, offset: int, size: int) -> int:
        return super().read(offset, size) if size == 4 else self.refuse()

    def write(self, offset: int, size: int, value: int) -> None:
        if size != 4:
            self.refuse()

    def refuse(self) -> int:
        raise AccessFault("words only")


@pytest.mark.parametrize("kind", [Counter, TakesWordsOnly])
def test_device_that_keeps_the_contract_passes(kind: Callable[[], Device]) -> None:
    check_device(kind())


def test_what_is_not_in_the_state_is_named() -> None:
    with pytest.raises(AssertionError, match=r"^forgets0: last_offset, reads changed, and it is"):
        check_device(Forgets())


def test_read_that_is_another_one_on_a_restored_board_is_found() -> None:
    with pytest.raises(
        AssertionError,
        match=r"^lookselsewhere0: a read at offset 0x0 gives \d+, and \d+ on a restored board in the same state",
    ):
        check_device(LooksElsewhere())
