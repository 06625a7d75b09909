"""HTIF: an ELF's ``tohost`` word, through which tests for Spike end the run or print a character.

The word lies in RAM. Stores to its page are looked at one by one, so a run ends at the very instruction,
wherever slices end.
Source: riscv-isa-sim, fesvr/device.cc: bits 63..56 device, 55..48 command, 47..0 payload; device 0 command 0
with bit 0 of the payload set is exit, device 1 command 1 a character.
"""

from __future__ import annotations

from collections.abc import Callable

from minstret.emu.hart.hart import Hart

_SIZE = 8
_SYSCALL, _CONSOLE = 0, 1
_PUTCHAR = 1


class Htif:
    """Watches ``tohost`` for one hart."""

    def __init__(self, hart: Hart, tohost: int, on_exit: Callable[[int], None], on_tx: Callable[[int], None]) -> None:
        self._hart = hart
        self._tohost = tohost
        self._on_exit = on_exit
        self._on_tx = on_tx
        hart.watch_stores(tohost, self._on_store)

    def _on_store(self, address: int, size: int) -> None:
        if not (address < self._tohost + _SIZE and self._tohost < address + size):
            return
        value = int.from_bytes(self._hart.read_physical(self._tohost, _SIZE), "little")
        device, command, payload = value >> 56, value >> 48 & 0xFF, value & ((1 << 48) - 1)
        if device == _SYSCALL and command == 0 and payload & 1:
            self._on_exit(payload >> 1)
        elif device == _CONSOLE and command == _PUTCHAR:
            self._hart.write_physical(self._tohost, bytes(_SIZE))
            self._on_tx(payload & 0xFF)
