"""What came to the harts of a machine: each trap, each change to another hart, each value of a device, as one number.

Two machines with the same bytes in memory that are told the same go the same way.
"""

from __future__ import annotations

import struct
from functools import partial
from zlib import crc32

from minstret.emu.hart.observers import TrapTaken
from minstret.emu.machine import Machine

_PACKED = struct.Struct("<QQQQQ")
_U64 = (1 << 64) - 1


class Inputs:
    """Listens to one machine.

    Attributes:
        sum: Of all that was told since ``forget``: the same for the same in the same order.
        count: Of how much.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.sum = self.count = 0

    def listen(self) -> None:
        """Be told from now on."""
        for hart in self._machine.harts:
            hart.observers.tell(partial(self._on_trap, hart.hart_id), None)
            hart.answers_devices(False)
        self._machine.on_switch = self._on_switch
        self._machine.bus.tell_reads(self._on_read)

    def ignore(self) -> None:
        """Be told nothing more."""
        for hart in self._machine.harts:
            hart.observers.tell(None, None)
            hart.answers_devices(True)
        self._machine.on_switch = lambda icount, hart: None
        self._machine.bus.tell_reads(None)

    def forget(self) -> None:
        """Begin anew."""
        self.sum = self.count = 0

    @property
    def told(self) -> tuple[int, int]:
        """What tells apart what was told."""
        return self.sum, self.count

    def _add(self, kind: int, icount: int, who: int, what: int, where: int) -> None:
        self.sum = crc32(_PACKED.pack(kind, icount, who, what & _U64, where), self.sum)
        self.count += 1

    def _on_trap(self, hart: int, taken: TrapTaken) -> None:
        trap = taken.trap
        self._add(1 + trap.is_interrupt, trap.icount, hart, trap.cause << 32 ^ trap.tval, trap.epc)

    def _on_switch(self, icount: int, hart: int) -> None:
        self._add(0, icount, hart, 0, 0)

    def _on_read(self, address: int, size: int, value: int) -> None:
        self._add(2 + size, self._machine.hart.read_icount(), 0, value, address)
