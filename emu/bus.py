"""The map from physical addresses to devices."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from functools import partial
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

OnRead = Callable[[int, int, int], None]
"""Told address, size and value of a read."""


class DeviceBus:
    """Decodes addresses. Windows don't overlap.

    A page with one window on it, as nearly all are, is found at once; where there are more they are searched.
    """

    def __init__(self) -> None:
        self._windows: list[Window] = []
        self._bases: list[int] = []
        self._by_page: dict[int, _Decoded | None] = {}
        self._on_read: OnRead | None = None

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
        self._decode()

    def tell_reads(self, on_read: OnRead | None) -> None:
        """Call ``on_read(address, size, value)`` with what each read has given, from now on; None: nobody."""
        self._on_read = on_read
        self._decode()

    def _decode(self) -> None:
        self._by_page = {}
        for window in self._windows:
            decoded = self._decoded(window)
            for page in range(window.base >> _PAGE_BITS, (window.base + window.size - 1 >> _PAGE_BITS) + 1):
                self._by_page[page] = None if page in self._by_page else decoded

    def _decoded(self, window: Window) -> _Decoded:
        read, on_read = window.device.read, self._on_read
        if on_read is not None:
            read = partial(_read_and_tell, window, on_read)
        return window.base, window.base + window.size, read, window.device.write

    @property
    def windows(self) -> tuple[Window, ...]:
        return tuple(self._windows)

    def _search(self, address: int, size: int) -> _Decoded:
        index = bisect_right(self._bases, address) - 1
        if index >= 0:
            window = self._windows[index]
            if address + size <= window.base + window.size:
                return self._decoded(window)
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


def _read_and_tell(window: Window, on_read: OnRead, offset: int, size: int) -> int:
    value = window.device.read(offset, size)
    on_read(window.base + offset, size, value & _MASKS[size])
    return value
