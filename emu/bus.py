"""The map from physical addresses to devices."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple, Protocol

from minstret.emu.errors import AccessFault


class Bus(Protocol):
    """Where a hart's loads and stores outside RAM and ROM go.

    Addresses are physical, sizes 1, 2 or 4: Unicorn splits an 8-byte access in two, low half first.
    """

    def read(self, address: int, size: int) -> int: ...

    def write(self, address: int, size: int, value: int) -> None: ...


class BusDevice(Protocol):
    """What the bus needs of a device: registers at offsets within its window."""

    @property
    def name(self) -> str: ...

    @property
    def size_bytes(self) -> int: ...

    def read(self, offset: int, size: int) -> int: ...

    def write(self, offset: int, size: int, value: int) -> None: ...


class Window(NamedTuple):
    """Where a device answers: ``[base, base + size)``."""

    base: int
    size: int
    device: BusDevice


_MASKS = {size: (1 << 8 * size) - 1 for size in (1, 2, 4, 8)}
_PAGE_BITS = 12

_Decoded = tuple[int, int, Callable[[int, int], int], Callable[[int, int, int], None]]
"""Where a window begins and ends, and its device's ``read`` and ``write``."""


class DeviceBus:
    """Decodes addresses. Windows don't overlap.

    A page with one window on it, as nearly all are, is found at once; where there are more they are searched.
    """

    def __init__(self) -> None:
        self._windows: list[Window] = []
        self._bases: list[int] = []
        self._by_page: dict[int, _Decoded | None] = {}

    def attach(self, base: int, device: BusDevice) -> None:
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
        decoded = _decoded(new)
        for page in range(base >> _PAGE_BITS, (base + new.size - 1 >> _PAGE_BITS) + 1):
            self._by_page[page] = None if page in self._by_page else decoded

    @property
    def windows(self) -> tuple[Window, ...]:
        return tuple(self._windows)

    def _search(self, address: int, size: int) -> _Decoded:
        index = bisect_right(self._bases, address) - 1
        if index >= 0:
            window = self._windows[index]
            if address + size <= window.base + window.size:
                return _decoded(window)
        raise AccessFault(f"nothing answers at {address:#x}")

    def read(self, address: int, size: int) -> int:
        found = self._by_page.get(address >> _PAGE_BITS)
        if found is None or address < found[0] or address + size > found[1]:
            found = self._search(address, size)
        return found[2](address - found[0], size) & _MASKS[size]

    def write(self, address: int, size: int, value: int) -> None:
        found = self._by_page.get(address >> _PAGE_BITS)
        if found is None or address < found[0] or address + size > found[1]:
            found = self._search(address, size)
        found[3](address - found[0], size, value & _MASKS[size])


def _decoded(window: Window) -> _Decoded:
    return window.base, window.base + window.size, window.device.read, window.device.write
