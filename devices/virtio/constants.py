"""The numbers of the virtio specification that more than one file needs, in one table.

Bits are IntEnums too: arithmetic of IntFlag takes a microsecond, and these are used with each access.

Source: Virtual I/O Device (VIRTIO) Version 1.2; names as there, or as in Linux's uapi headers.
"""

from __future__ import annotations

from enum import IntEnum


class DeviceId(IntEnum):
    """Section 5, "Device Types"."""

    NONE = 0
    NET = 1
    ENTROPY = 4
    INPUT = 18


class Status(IntEnum):
    """Device status, section 2.1. Bits."""

    ACKNOWLEDGE = 1
    DRIVER = 2
    DRIVER_OK = 4
    FEATURES_OK = 8
    NEEDS_RESET = 0x40
    FAILED = 0x80


class Feature(IntEnum):
    """Feature bits that any device may offer, section 6. Bit numbers."""

    ANY_LAYOUT = 27
    """Legacy only: descriptors may cut a request anywhere. Modern devices always allow it."""
    INDIRECT_DESC = 28
    EVENT_IDX = 29
    VERSION_1 = 32


class DescFlag(IntEnum):
    """Flags of a descriptor, section 2.7.5. Bits."""

    NEXT = 1
    WRITE = 2
    INDIRECT = 4


class AvailFlag(IntEnum):
    """Flags of the available ring, section 2.7.6. Bits."""

    NO_INTERRUPT = 1


class Interrupt(IntEnum):
    """InterruptStatus, section 4.2.2. Bits."""

    USED_BUFFER = 1
    CONFIG_CHANGE = 2


class Reg(IntEnum):
    """virtio-mmio registers, sections 4.2.2 and 4.2.4 (the legacy ones)."""

    MAGIC_VALUE = 0x000
    VERSION = 0x004
    DEVICE_ID = 0x008
    VENDOR_ID = 0x00C
    DEVICE_FEATURES = 0x010
    DEVICE_FEATURES_SEL = 0x014
    DRIVER_FEATURES = 0x020
    DRIVER_FEATURES_SEL = 0x024
    GUEST_PAGE_SIZE = 0x028  # legacy
    QUEUE_SEL = 0x030
    QUEUE_NUM_MAX = 0x034
    QUEUE_NUM = 0x038
    QUEUE_ALIGN = 0x03C  # legacy
    QUEUE_PFN = 0x040  # legacy
    QUEUE_READY = 0x044
    QUEUE_NOTIFY = 0x050
    INTERRUPT_STATUS = 0x060
    INTERRUPT_ACK = 0x064
    STATUS = 0x070
    QUEUE_DESC_LOW = 0x080
    QUEUE_DESC_HIGH = 0x084
    QUEUE_AVAIL_LOW = 0x090
    QUEUE_AVAIL_HIGH = 0x094
    QUEUE_USED_LOW = 0x0A0
    QUEUE_USED_HIGH = 0x0A4
    SHM_SEL = 0x0AC
    SHM_LEN_LOW = 0x0B0
    SHM_LEN_HIGH = 0x0B4
    SHM_BASE_LOW = 0x0B8
    SHM_BASE_HIGH = 0x0BC
    CONFIG_GENERATION = 0x0FC
    CONFIG = 0x100


MAGIC = int.from_bytes(b"virt", "little")
VENDOR_ID = int.from_bytes(b"QEMU", "little")

QUEUE_SIZE_MAX = 1024
"""Every queue may be so large, as QEMU's, and no chain of descriptors is longer."""

ROUND_CHAINS_MAX, ROUND_DESCRIPTORS_MAX = 64, 1024
"""Limits of one round over a queue: after this many chains, or descriptors, it takes no further chain."""
ROUND_NS = 10_000
"""Virtual time from a round that left chains behind to the next one."""
