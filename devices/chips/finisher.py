"""sifive_test: a register whose write ends or resets the machine.

Source: QEMU hw/misc/sifive_test.c, include/hw/misc/sifive_test.h.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

_PASS_CODE = 0


class Command(IntEnum):
    """The low 16 bits of a write to offset 0; FAIL's code is in the high 16."""

    FAIL = 0x3333
    PASS = 0x5555
    RESET = 0x7777


@dataclass(slots=True)
class FinisherState:
    """It remembers nothing."""


class Finisher:
    """Calls ``on_exit(code)`` or ``on_reset()``; other writes are ignored, reads give 0."""

    size_bytes = 0x1000

    def __init__(self, name: str, on_exit: Callable[[int], None], on_reset: Callable[[], None]) -> None:
        self.name = name
        self.state = FinisherState()
        self._on_exit = on_exit
        self._on_reset = on_reset

    def read(self, offset: int, size: int) -> int:
        return 0

    def write(self, offset: int, size: int, value: int) -> None:
        if offset != 0 or size < 2:
            return
        command = value & 0xFFFF
        if command == Command.PASS:
            self._on_exit(_PASS_CODE)
        elif command == Command.FAIL:
            self._on_exit(value >> 16 & 0xFFFF)
        elif command == Command.RESET:
            self._on_reset()

    def reset(self) -> None:
        pass
