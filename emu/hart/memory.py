"""Guest RAM, the boot ROM, and what the hart keeps about each page of RAM."""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

from minstret.emu.errors import HostError
from minstret.emu.hart.shared import PAGE_BITS, PAGE_SIZE, SITE_BITS, Shared

_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
"""Pages that are only read take no memory: a digest looks at all of RAM."""


class GuestMemory:
    """The bytes of RAM and ROM, with per-page flags, all at addresses that C can use.

    Only the hart writes here; everybody else writes through ``Hart.write_physical``, which also drops what
    was derived from the old bytes.
    """

    def __init__(self, ram_base: int, ram_size: int, rom_base: int, rom_size: int, io_size: int) -> None:
        self.ram_base, self.ram_size = ram_base, ram_size
        self.rom_base, self.rom_size = rom_base, rom_size
        pages = ram_size >> PAGE_BITS
        self._owners: list[Any] = []
        self.ram = self.area(ram_size)
        self.rom = self.area(rom_size)
        self.page_flags = self.area(pages)
        self.code_bits = self.area(ram_size // 16)  # one bit for each 16-bit parcel
        self.sites = self.area(1 << SITE_BITS >> 3)
        self.io_pages = self.area(io_size >> PAGE_BITS)
        self.write_generation = self.area(pages * 4).cast("I")
        self.write_count = self.area(pages * 2).cast("H")

    def area(self, size: int) -> memoryview:
        """``size`` bytes of zeroes that live as long as this; they take no memory until written."""
        try:
            area = mmap.mmap(-1, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE, flags=_PRIVATE)
        except (OSError, ValueError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise HostError(f"no {size} bytes of memory for the guest: {why}; try a smaller --memory") from None
        self._owners.append(area)
        return memoryview(area)[:size]

    @staticmethod
    def address(view: memoryview) -> int:
        """The address of the first byte of ``view``."""
        return ctypes.addressof(ctypes.c_char.from_buffer(view))

    def bind(self, shared: Shared) -> None:
        """Tell the callbacks where everything is."""
        for name in ("ram", "rom", "page_flags", "code_bits", "sites", "io_pages", "write_generation", "write_count"):
            setattr(shared, name, self.address(getattr(self, name)))
        shared.ram_base, shared.ram_size = self.ram_base, self.ram_size
        shared.rom_base, shared.rom_size = self.rom_base, self.rom_size

    def peek(self, pa: int, size: int) -> bytes | None:
        """``size`` bytes at physical ``pa``, or None where that is neither RAM nor ROM."""
        if 0 <= pa - self.ram_base <= self.ram_size - size:
            return bytes(self.ram[pa - self.ram_base : pa - self.ram_base + size])
        if 0 <= pa - self.rom_base <= self.rom_size - size:
            return bytes(self.rom[pa - self.rom_base : pa - self.rom_base + size])
        return None

    def mark_code(self, offset: int, size: int, is_code: bool) -> None:
        """Note that the parcels in RAM ``[offset, offset + size)`` are, or are no longer, translated."""
        if size == PAGE_SIZE and not is_code:
            self.code_bits[offset >> 4 : (offset + size) >> 4] = bytes(size >> 4)
            return
        for half in range(offset // 2, (offset + size + 1) // 2):
            if is_code:
                self.code_bits[half >> 3] |= 1 << (half & 7)
            else:
                self.code_bits[half >> 3] &= ~(1 << (half & 7)) & 0xFF

    def holds_code(self, offset: int, size: int) -> bool:
        """Whether any parcel in RAM ``[offset, offset + size)`` was translated."""
        return any(self.code_bits[half >> 3] >> (half & 7) & 1 for half in range(offset // 2, (offset + size + 1) // 2))
