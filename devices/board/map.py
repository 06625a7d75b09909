"""The board's memory map and interrupt numbers: those of QEMU's ``virt`` board.

Source: QEMU hw/riscv/virt.c, include/hw/riscv/virt.h.
"""

from __future__ import annotations

from enum import IntEnum


class Base(IntEnum):
    """Physical addresses."""

    BOOT_ROM = 0x0000_1000
    FINISHER = 0x0010_0000
    RTC = 0x0010_1000
    CLINT = 0x0200_0000
    PLIC = 0x0C00_0000
    UART0 = 0x1000_0000
    VIRTIO0 = 0x1000_1000
    RAM = 0x8000_0000


class IRQ(IntEnum):
    """PLIC sources."""

    VIRTIO0 = 1
    UART0 = 10
    RTC = 11


BOOT_ROM_SIZE = 0xF000
VIRTIO_SLOTS = 8
_VIRTIO_STRIDE = 0x1000


def virtio_base(slot: int) -> int:
    """Where virtio-mmio slot 0..7 is."""
    return Base.VIRTIO0 + slot * _VIRTIO_STRIDE
