"""A guest that reads and prints by HTIF, for tests."""

from __future__ import annotations

from typing import Any

from support import asm
from support.elf_files import RAM, Load, elf_bytes

from minstret.devices.board.board import Setup
from minstret.devices.board.config import BoardConfig
from minstret.emu.images.loader import ImageFile

TOHOST = RAM + 0x1000
FROMHOST = TOHOST + 8


def exit_with(code: int) -> int:
    """What a guest writes to tohost to end with an exit code."""
    return code << 1 | 1


def echo_firmware() -> bytes:
    """Asks for a character, waits for it, prints it; ends after a full stop."""
    setup = asm.code(
        asm.li(asm.T0, TOHOST), asm.li(asm.T2, 1), asm.slli(asm.T2, asm.T2, 56), asm.li(asm.T3, 1),
        asm.slli(asm.T3, asm.T3, 48), asm.li(asm.A3, ord(".")),
    )  # fmt: skip
    ask = asm.code(asm.sd(asm.T2, asm.T0, 0), asm.ld(asm.T1, asm.T0, 8), asm.beq(asm.T1, asm.ZERO, -4))
    take = asm.code(asm.sd(asm.ZERO, asm.T0, 8), asm.andi(asm.T1, asm.T1, 0xFF))
    show = asm.code(
        asm.add(asm.A0, asm.T1, asm.T2), asm.add(asm.A0, asm.A0, asm.T3), asm.sd(asm.A0, asm.T0, 0)
    )  # fmt: skip
    body = ask + take + show
    loop = asm.code(asm.bne(asm.T1, asm.A3, -len(body)))
    return setup + body + loop + asm.code(asm.addi(asm.T1, asm.ZERO, exit_with(3)), asm.sd(asm.T1, asm.T0, 0), asm.LOOP)


def echo_setup(**config: Any) -> Setup:
    """A board with ``echo_firmware``."""
    symbols = {"tohost": (TOHOST, 8), "fromhost": (FROMHOST, 8)}
    image = elf_bytes(Load(RAM, echo_firmware()), Load(TOHOST, bytes(16)), symbols=symbols)
    return Setup(BoardConfig(**{"ram_size": 1 << 20} | config), ImageFile("echo.elf", image))
