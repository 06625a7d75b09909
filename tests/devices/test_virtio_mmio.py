"""virtio-mmio: what a slot without a device answers."""

from __future__ import annotations

import asm
import pytest
from harts import board_of, run_insns

from minstret.devices.map import VIRTIO_SLOTS, virtio_base
from minstret.devices.virtio.mmio import EmptySlot, Reg
from minstret.emu.device import Device

SLOTS = range(VIRTIO_SLOTS)


def test_slot_is_a_device() -> None:
    slot = EmptySlot("virtio3")

    assert isinstance(slot, Device)
    assert (slot.name, slot.size_bytes) == ("virtio3", 0x1000)


def test_slot_shows_magic_and_version_and_no_device() -> None:
    slot = EmptySlot("virtio0")

    assert slot.read(Reg.MAGIC_VALUE, 4) == 0x74726976
    assert slot.read(Reg.MAGIC_VALUE, 4).to_bytes(4, "little") == b"virt"
    assert slot.read(Reg.VERSION, 4) == 2
    assert slot.read(Reg.DEVICE_ID, 4) == 0
    assert slot.read(Reg.VENDOR_ID, 4).to_bytes(4, "little") == b"QEMU"


@pytest.mark.parametrize("offset", [0x010, 0x034, 0x060, 0x070, 0x0FC, 0x100, 0xFFC])
def test_other_registers_read_zero(offset: int) -> None:
    assert EmptySlot("virtio0").read(offset, 4) == 0


def test_writes_and_reset_change_nothing() -> None:
    slot = EmptySlot("virtio0")
    before = [slot.read(offset, 4) for offset in range(0, 0x1000, 4)]

    for offset in range(0, 0x1000, 4):
        slot.write(offset, 4, 0xFFFF_FFFF)
    slot.reset()

    assert [slot.read(offset, 4) for offset in range(0, 0x1000, 4)] == before


@pytest.mark.parametrize("slot", SLOTS)
def test_board_has_eight_slots_a_page_apart_behind_the_uart(slot: int) -> None:
    base = 0x1000_1000 + 0x1000 * slot
    assert virtio_base(slot) == base
    board = board_of(
        asm.code(
            asm.li(asm.T0, base), asm.sw(asm.T0, asm.T0, 0x70), asm.lw(asm.A0, asm.T0, 0), asm.lw(asm.A1, asm.T0, 8)
        )
    )

    run_insns(board, 8)

    assert (board.registers["a0"], board.registers["a1"]) == (0x74726976, 0)


def test_behind_the_last_slot_nothing_answers() -> None:
    board = board_of(asm.code(asm.li(asm.T0, virtio_base(VIRTIO_SLOTS)), asm.lw(asm.A0, asm.T0, 0)))

    board.run_until(icount=100)

    assert board.hart.first_trap is not None
    assert board.hart.first_trap.tval == virtio_base(VIRTIO_SLOTS)
