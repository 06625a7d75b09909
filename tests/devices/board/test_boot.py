"""Power-on: what the boot ROM hands over, and memory after a reset."""

from __future__ import annotations

import pytest
from support import asm
from support.elf_files import Load, elf_bytes
from support.harts import RAM, ROM_INSNS, board_of
from support.recordings import RAM_SIZE, RESET, finish_code

from minstret.devices.board.board import Setup
from minstret.devices.board.config import BoardConfig
from minstret.devices.board.map import Base
from minstret.emu.images.loader import ImageFile

each_xlen = pytest.mark.parametrize("xlen", [64, 32])
FDT_MAGIC = b"\xd0\x0d\xfe\xed"
OPENSBI_MAGIC = b"OSBI"
"""Source: OpenSBI include/sbi/fw_dynamic.h."""


@each_xlen
def test_guest_starts_with_hart_device_tree_and_what_opensbi_asks_for(xlen: int) -> None:
    board = board_of(asm.code(asm.LOOP), xlen=xlen)
    assert board.registers["pc"] == Base.BOOT_ROM
    board.run_until(icount=ROM_INSNS)

    assert board.registers["pc"] == RAM
    assert board.registers["a0"] == 0
    tree, info = board.registers["a1"], board.registers["a2"]
    assert board.memory[tree : tree + 4] == FDT_MAGIC
    size = int.from_bytes(board.memory[tree + 4 : tree + 8], "big")
    assert board.memory[tree : tree + size] == board.device_tree
    words = [int.from_bytes(board.memory[at : at + xlen // 8], "little") for at in (info, info + xlen // 8)]
    assert words == [int.from_bytes(OPENSBI_MAGIC[::-1], "big"), 2]


@each_xlen
def test_reset_puts_images_back_and_clears_what_is_zero_in_them(xlen: int) -> None:
    count_at, bss_at = RAM + 0x2000, RAM + 0x1000  # the first outside all segments
    spoils = asm.code(
        asm.li(asm.T0, count_at), asm.lw(asm.T1, asm.T0, 0), asm.addi(asm.T1, asm.T1, 1), asm.sw(asm.T1, asm.T0, 0),
        asm.li(asm.T2, bss_at), asm.lw(asm.S0, asm.T2, 0), asm.lw(asm.S1, asm.T2, 0x100), asm.sw(asm.T1, asm.T2, 0),
        asm.sw(asm.T1, asm.T2, 0x100), asm.addi(asm.A3, asm.ZERO, 3),
    )  # fmt: skip
    resets = finish_code(RESET)
    code = spoils + asm.code(asm.beq(asm.T1, asm.A3, len(resets) + 4)) + resets + asm.code(asm.LOOP)
    image = elf_bytes(Load(RAM, code), Load(bss_at, b"data", memory_size=0x800), xlen=xlen)
    board = Setup(BoardConfig(ram_size=RAM_SIZE), ImageFile("fw.elf", image)).make()
    board.run_until(icount=1000)

    assert board.memory[count_at : count_at + 4] == (3).to_bytes(4, "little")  # three boots
    assert board.registers["s0"] == int.from_bytes(b"data", "little")
    assert board.registers["s1"] == 0
