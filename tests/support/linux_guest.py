"""Debian's Linux in its initramfs, as tools/get-guests puts them together, for tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from support.recordings import Hand, typed

from minstret.devices.board.board import Board, Setup
from minstret.devices.board.config import BoardConfig
from minstret.devices.hostside.side import INPUTS, NetConfig
from minstret.devices.hostside.usernet.network import UserNetConfig
from minstret.emu.images.loader import read_image
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.units import NS_PER_S

GUESTS = Path(os.environ.get("MINSTRET_GUESTS") or Path(__file__).parents[2] / ".cache" / "guests")
"""Where tools/get-guests has put them."""

OPENSBI, OPENSBI_RV32 = GUESTS / "opensbi.bin", GUESTS / "opensbi-rv32.bin"
KERNEL, INITRD = GUESTS / "Image", GUESTS / "rootfs.cpio"
WHAT = "Debian's Linux (tools/get-guests)"
PROMPT = "guest:~# "
KEYBOARD_EVENTS = "/dev/input/event1"
RAM_SIZE = 256 << 20
WAIT_NS = 60 * NS_PER_S


def is_here() -> bool:
    """Whether tools/get-guests has fetched it."""
    return all(file.exists() for file in (OPENSBI, OPENSBI_RV32, KERNEL, INITRD))


def linux_setup(append: str = "", **config: object) -> Setup:
    """The board that Linux boots on, with everything it has."""
    values = {"ram_size": RAM_SIZE, "net": NetConfig(UserNetConfig(restrict=True)), "inputs": INPUTS} | config
    return Setup(
        BoardConfig(**values), read_image(OPENSBI), kernel=read_image(KERNEL), initrd=read_image(INITRD),
        append=f"console=ttyS0 {append}".strip(),
    )  # fmt: skip


@dataclass
class Shell:
    """Somebody at the guest's console."""

    board: Board
    hand: Hand = field(default_factory=lambda: Hand(stays=True))

    def wait_for(self, text: str) -> Outcome:
        """Run until the guest has sent ``text`` since the call."""
        start = len(self.board.console)
        outcome = self.board.run_until(uart=text, virtual_ns=self.board.position.virtual_ns + WAIT_NS)
        assert text.encode() in self.board.console[start:], self.board.console[start:].decode()
        assert outcome.reason is StopReason.REACHED
        return outcome

    def type(self, line: str) -> None:
        self.hand.give(typed(line.encode() + b"\r"))

    def command(self, line: str, meanwhile: Callable[[], None] = lambda: None) -> str:
        """Type a command, do something ``meanwhile``, and give what the guest printed."""
        start = len(self.board.console)
        self.type(line)
        meanwhile()
        self.wait_for(PROMPT)
        return self.board.console[start:].decode()
