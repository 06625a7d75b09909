"""What is in memory at power-on: the boot ROM, and the images where they were placed."""

from __future__ import annotations

from minstret.devices.board.map import Base
from minstret.devices.board.placement import Placement
from minstret.emu import units
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.shared import PAGE_SIZE
from minstret.emu.hart.spec import PRIV_S

_CLEARED_SIZE = 64 * units.KIB
_FW_DYNAMIC_MAGIC, _FW_DYNAMIC_VERSION = 0x4942534F, 2


def load_images(hart: Hart, placement: Placement) -> None:
    """Put images and boot ROM into memory, at power-on or anew."""
    for segment in placement.segments:
        hart.write_physical(segment.address, segment.data)
        _clear(hart, segment.address + len(segment.data), segment.end)
    rom = boot_rom(hart.xlen, placement)
    hart.memory.rom[: len(rom)] = rom


def page_of_images(placement: Placement, page: int) -> bytes:
    """What the images put into a page of RAM, by number from the start of RAM."""
    start, data = Base.RAM + page * PAGE_SIZE, bytearray(PAGE_SIZE)
    for segment in placement.segments:
        first, last = max(start, segment.address), min(start + PAGE_SIZE, segment.address + len(segment.data))
        if first < last:
            data[first - start : last - start] = segment.data[first - segment.address : last - segment.address]
    return bytes(data)


def _clear(hart: Hart, start: int, end: int) -> None:
    """Make [start, end) zero. What is zero is left alone: it takes no memory of the host until written."""
    for at in range(start, end, _CLEARED_SIZE):
        size = min(_CLEARED_SIZE, end - at)
        if hart.read_physical(at, size).count(0) < size:
            hart.write_physical(at, bytes(size))


def boot_rom(xlen: int, placement: Placement) -> bytes:
    """What runs first: a0 = hart id, a1 = device tree, a2 = OpenSBI's fw_dynamic_info, then the entry point.

    Source: QEMU hw/riscv/boot.c, riscv_setup_rom_reset_vec.
    """
    load = 0x3000 if xlen == 64 else 0x2000  # funct3: ld or lw
    code = (
        0x00000297,  # auipc t0, 0
        0x02828613,  # addi  a2, t0, 40
        0xF1402573,  # csrr  a0, mhartid
        0x02028583 | load,  # l{d,w} a1, 32(t0)
        0x01828283 | load,  # l{d,w} t0, 24(t0)
        0x00028067,  # jr    t0
    )
    words = b"".join(word.to_bytes(4, "little") for word in code)
    addresses = placement.entry.to_bytes(8, "little") + placement.tree.to_bytes(8, "little")
    info = (_FW_DYNAMIC_MAGIC, _FW_DYNAMIC_VERSION, placement.next_entry, PRIV_S, 0, 0)
    return words + addresses + b"".join(word.to_bytes(xlen // 8, "little") for word in info)
