"""Boards for the images that need a network card or input devices, with the same host side each time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from support.recordings import OneFile

from minstret.devices.board.board import Board, Setup
from minstret.devices.board.config import BoardConfig
from minstret.devices.hostside.hostinput.parsing import parse_script
from minstret.devices.hostside.side import KEYBOARD, TABLET, NetConfig
from minstret.devices.hostside.usernet.network import UserNetConfig
from minstret.emu.hart.shared import Counting
from minstret.emu.images.loader import read_image
from minstret.emu.machine import Machine, MachineState, StopReason
from minstret.firmware import image_path

RAM_SIZE = 1 << 20
BOOTFILE = "boot.bin"
FILE = bytes(at * at >> 3 & 0xFF for at in range(2500))
"""Two blocks and a half of those that ``tftp`` asks for."""

RESTRICTED, OPEN = NetConfig(UserNetConfig(restrict=True)), NetConfig()
BOOTS = NetConfig(UserNetConfig(restrict=True, bootfile=BOOTFILE))

KEYS_SCRIPT = """
AT 1ms: hold a
AT icount 113500: move 100 200   # while the guest prints the line about a
AT 2ms: hold shift
AT 5ms: click left
AT 120ms: release a
AT 121ms: release shift
AT 122ms: wheel down
AT 123ms: press esc
"""
KEYS_SEEN = (
    "keyboard: KEY 30 press", "led on", "tablet: ABS x 100", "tablet: ABS y 200", "keyboard: KEY 42 press", "led off",
    "tablet: KEY 272 press", "tablet: KEY 272 release", "keyboard: KEY 30 release", "keyboard: KEY 42 release",
    "tablet: REL wheel -1", "keyboard: KEY 1 press", "led on", "10 events",
)  # fmt: skip
"""What ``keys`` prints about the script."""


_CONFIG: dict[str, dict[str, Any]] = {
    "dhcp": {"net": RESTRICTED},
    "dhcp-wfi": {"net": RESTRICTED},
    "tftp": {"net": BOOTS},
    "keys": {"inputs": (KEYBOARD, TABLET)},
}
_OUTSIDE: dict[str, dict[str, Any]] = {
    "tftp": {"files": OneFile(BOOTFILE, FILE)},
    "keys": {"script": tuple(parse_script(KEYS_SCRIPT, "script"))},
}


def setup_of(image: str, xlen: int = 64, counting: str = "code", **config: Any) -> Setup:
    """The board for ``image``; ``config`` changes its configuration."""
    made = BoardConfig(ram_size=RAM_SIZE, slice_insns_max=None, counting=Counting(counting))
    made = replace(made, **_CONFIG.get(image, {}) | config)
    return Setup(made, read_image(image_path(image, xlen)), **_OUTSIDE.get(image, {}))


def summary(board: Board, outcome: object) -> tuple[object, ...]:
    """What must be equal in two runs."""
    return outcome, board.position, board.digest(), bytes(board.console)


def run_cut(
    setup: Setup, cuts: list[int], look: Callable[[Board], None] = lambda board: None, *, by: str = "icount"
) -> tuple[object, ...]:
    """Run, but at each of ``cuts`` (icounts, or times with ``by`` "virtual_ns") save and continue with a new board.

    ``look`` sees each board saved.
    """
    board, console = setup.make(), b""
    for cut in sorted(set(cuts)):
        assert board.run_until(**{by: cut}).reason is StopReason.REACHED  # type: ignore[arg-type]
        look(board)
        console += bytes(board.console)
        board = restored(board, setup)
    outcome, position, digest, rest = summary(board, board.run())
    return outcome, position, digest, console + rest  # type: ignore[operator]


def restored(board: Board, setup: Setup) -> Board:
    """A new board in the state of ``board``, host side included."""
    state, ram = board.machine.save_state(), bytes(board.machine.memory.ram)
    fresh = setup.make()
    load(fresh.machine, state, ram)
    assert fresh.digest() == board.digest()
    assert fresh.machine.save_state() == state
    return fresh


def load(machine: Machine, state: MachineState, ram: bytes) -> None:
    """Put ``machine`` into a saved state."""
    machine.hart.write_physical(machine.memory.ram_base, ram)
    machine.load_state(state)
