"""Guests that give a network card far too much to do at one kick, for tests."""

from __future__ import annotations

from support import asm
from support.guest_boards import RESTRICTED
from support.recordings import FINISHER, PASS, RAM, setup_of_code
from support.virtio_driver import descriptor

from minstret.devices.board.board import Setup
from minstret.devices.board.map import virtio_base
from minstret.devices.virtio.constants import DescFlag, Feature, Reg

SLOT, TRANSMIT = 7, 1
QUEUE_SIZE = 256
DESC, AVAIL, USED, TABLE, BUFFER = 0x1_0000, 0x1_4000, 0x1_6000, 0x1_8000, 0x2_0000
ARP = bytes.fromhex("ffffffffffff525400123456080600010800060400015254001234560a00020f0000000000000a000202")
"""Who has 10.0.2.2? Each one gets an answer, for which the guest has no buffer."""


def started(chains: int) -> bytes:
    """Set up the transmit queue, and offer and kick so many chains."""
    features = 1 << Feature.INDIRECT_DESC
    writes = [
        (Reg.STATUS, 0), (Reg.STATUS, 3), (Reg.DRIVER_FEATURES_SEL, 1), (Reg.DRIVER_FEATURES, 1),
        (Reg.DRIVER_FEATURES_SEL, 0), (Reg.DRIVER_FEATURES, features), (Reg.STATUS, 11), (Reg.QUEUE_SEL, TRANSMIT),
        (Reg.QUEUE_NUM, QUEUE_SIZE), (Reg.QUEUE_DESC_LOW, RAM + DESC), (Reg.QUEUE_AVAIL_LOW, RAM + AVAIL),
        (Reg.QUEUE_USED_LOW, RAM + USED), (Reg.QUEUE_READY, 1), (Reg.STATUS, 15),
    ]  # fmt: skip
    parts = [asm.li(asm.S1, virtio_base(SLOT)), asm.li(asm.A2, RAM + USED), asm.li(asm.A3, RAM + AVAIL)]
    parts += [[*asm.li(asm.T0, value), asm.sw(asm.T0, asm.S1, offset)] for offset, value in writes]
    parts += [asm.li(asm.T1, chains), asm.li(asm.T2, TRANSMIT)]
    return asm.code(*parts) + kick()


def kick() -> bytes:
    """T1 chains are offered in all."""
    return asm.code(asm.sh(asm.T1, asm.A3, 2), asm.sw(asm.T2, asm.S1, Reg.QUEUE_NOTIFY))


def all_used() -> bytes:
    """Wait until they came back."""
    return asm.code(asm.lhu(asm.T0, asm.A2, 2), asm.bne(asm.T0, asm.T1, -4))


def rings(descriptors: int, size: int) -> list[tuple[int, bytes]]:
    """Every chain is one table of so many descriptors, each of which leads to the same ``size`` bytes."""
    last = descriptors - 1
    table = b"".join(
        descriptor(RAM + BUFFER, size, 0 if at == last else DescFlag.NEXT, at + 1) for at in range(descriptors)
    )
    chain = descriptor(RAM + TABLE, 16 * descriptors, DescFlag.INDIRECT)
    heads = b"".join(at.to_bytes(2, "little") for at in range(QUEUE_SIZE))
    return [(DESC, chain * QUEUE_SIZE), (AVAIL, bytes(4) + heads), (TABLE, table), (BUFFER, bytes(12) + ARP)]


def finishing(chains: int, descriptors: int, size: int) -> Setup:
    """One kick; finishes when all has come back."""
    end = asm.code(asm.li(asm.T3, FINISHER), asm.li(asm.T4, PASS), asm.sw(asm.T4, asm.T3, 0), asm.LOOP)
    return setup_of_code(started(chains) + all_used() + end, *rings(descriptors, size), net=RESTRICTED)


def endless() -> Setup:
    """Kicks a full queue of 256 descriptors a chain whenever the last one is done."""
    loop = all_used() + asm.code(asm.addi(asm.T1, asm.T1, QUEUE_SIZE), asm.slli(asm.T1, asm.T1, 48))
    loop += asm.code(asm.srli(asm.T1, asm.T1, 48)) + kick()
    code = started(QUEUE_SIZE) + loop + asm.code(asm.jal(asm.ZERO, -len(loop)))
    return setup_of_code(code, *rings(256, 255), net=RESTRICTED)
