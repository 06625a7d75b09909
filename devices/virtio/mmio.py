"""The virtio-mmio transport; so far only what an empty slot answers.

Source: Virtual I/O Device (VIRTIO) Version 1.1, "Virtio Over MMIO".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

MAGIC = int.from_bytes(b"virt", "little")
VERSION = 2
VENDOR_ID = int.from_bytes(b"QEMU", "little")


class Reg(IntEnum):
    """Register offsets."""

    MAGIC_VALUE = 0x000
    VERSION = 0x004
    DEVICE_ID = 0x008
    VENDOR_ID = 0x00C


@dataclass(slots=True)
class EmptySlotState:
    """It remembers nothing."""


class EmptySlot:
    """A slot with no device: DeviceID 0, at which a driver turns away."""

    size_bytes = 0x1000

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = EmptySlotState()

    def read(self, offset: int, size: int) -> int:
        registers: dict[int, int] = {Reg.MAGIC_VALUE: MAGIC, Reg.VERSION: VERSION, Reg.VENDOR_ID: VENDOR_ID}
        return registers.get(offset, 0)

    def write(self, offset: int, size: int, value: int) -> None:
        pass

    def reset(self) -> None:
        pass
