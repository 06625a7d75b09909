"""sifive_test: a register whose write ends or resets the machine.

Source: QEMU hw/misc/sifive_test.c, include/hw/misc/sifive_test.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from minstret.emu.fdt import Value
from minstret.emu.part import Device, Phandle, Wiring

_PASS_CODE = 0


class Command(IntEnum):
    """The low 16 bits of a write to offset 0; FAIL's code is in the high 16."""

    FAIL = 0x3333
    PASS = 0x5555
    RESET = 0x7777


@dataclass(slots=True)
class FinisherState:
    """It remembers nothing."""


class Finisher(Device):
    """Ends the run or resets the board; other writes are ignored, reads give 0."""

    name = "finisher"
    node_name = "test"
    compatible = ("sifive,test1", "sifive,test0", "syscon")

    def __init__(self, base: int = 0) -> None:
        super().__init__(base)
        self.state: FinisherState = FinisherState()

    def attach(self, wiring: Wiring) -> None:
        self._on_exit = wiring.request_exit
        self._on_reset = wiring.request_reset

    def properties(self) -> dict[str, Value]:
        return {"phandle": Phandle.TEST}

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
