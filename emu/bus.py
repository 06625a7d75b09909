"""The map from physical addresses to devices."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Protocol

from minstret.emu.device import Device
from minstret.emu.errors import AccessFault


class Bus(Protocol):
    """Where a hart's loads and stores outside RAM and ROM go.

    Addresses are physical, sizes 1, 2 or 4: Unicorn splits an 8-byte access in two, low half first.
    """

    def read(self, address: int, size: int) -> int: ...

    def write(self, address: int, size: int, value: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Window:
    """Where a device answers: ``[base, base + size)``."""

    base: int
    size: int
    device: Device


class DeviceBus:
    """Decodes addresses. Windows don't overlap."""

    def __init__(self) -> None:
        self._windows: list[Window] = []
        self._bases: list[int] = []

    def attach(self, base: int, device: Device) -> None:
        """Let ``device`` answer from ``base`` on.

        Raises:
            ValueError: another device answers there already.
        """
        new = Window(base, device.size_bytes, device)
        for window in self._windows:
            if window.base < base + new.size and base < window.base + window.size:
                raise ValueError(f"{device.name} at {base:#x} overlaps {window.device.name} at {window.base:#x}")
        self._windows = sorted([*self._windows, new], key=lambda window: window.base)
        self._bases = [window.base for window in self._windows]

    @property
    def windows(self) -> tuple[Window, ...]:
        return tuple(self._windows)

    def _find(self, address: int, size: int) -> Window:
        index = bisect_right(self._bases, address) - 1
        if index >= 0:
            window = self._windows[index]
            if address + size <= window.base + window.size:
                return window
        raise AccessFault(f"nothing answers at {address:#x}")

    def read(self, address: int, size: int) -> int:
        window = self._find(address, size)
        return window.device.read(address - window.base, size) & ((1 << 8 * size) - 1)

    def write(self, address: int, size: int, value: int) -> None:
        window = self._find(address, size)
        window.device.write(address - window.base, size, value & ((1 << 8 * size) - 1))
