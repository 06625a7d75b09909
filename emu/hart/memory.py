"""Guest RAM, the boot ROM, and what is known about each page of RAM: the same for all harts.

What a hart derives from memory (translated code, address translations) is its own; the flags that say that some hart
has done so are the page's. ``GuestMemory.write`` tells every hart to drop what came from the old bytes.
"""

from __future__ import annotations

import ctypes
import mmap
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Protocol
from weakref import WeakSet

from minstret.emu import checks
from minstret.emu.errors import AccessFault, HostError
from minstret.emu.hart.shared import PAGE_BITS, PAGE_SIZE, SPECIAL_BITS, PageFlag, Shared

_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
"""Pages that are only read take no memory: a digest looks at all of RAM."""


_CODE, _TABLE = int(PageFlag.CODE), int(PageFlag.TABLE)
_SLOW, _DIRTY, _UNDECODED = int(PageFlag.SLOW), int(PageFlag.DIRTY), int(PageFlag.UNDECODED)
_LOOK_PAGES = 16
"""How many pages are looked at together."""
_IS_DIRTY = bytes(bits & _DIRTY != 0 for bits in range(256))
_NOT_DIRTY = bytes(bits & ~_DIRTY & 0xFF for bits in range(256))


def area(size: int) -> memoryview:
    """``size`` bytes of zeroes that C can use while the view lives; they take no memory until written.

    Raises:
        HostError: the host does not have that much.
    """
    try:
        pages = mmap.mmap(-1, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE, flags=_PRIVATE)
    except (OSError, ValueError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise HostError(f"no {size} bytes of memory for the guest: {why}; try a smaller --memory") from None
    return memoryview(pages)[:size]


def address_of(view: memoryview) -> int:
    """The address of the first byte of ``view``."""
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


def by_page(address: int, size: int) -> Iterator[tuple[int, int]]:
    """A range cut where pages end: address and size of each piece, bytes."""
    end = address + size
    while address < end:
        length = min(end - address, PAGE_SIZE - address % PAGE_SIZE)
        yield address, length
        address += length


def _pages_with(marks: bytes) -> list[int]:
    """The numbers of the bytes that are 1."""
    pages, page = [], marks.find(1)
    while page >= 0:
        pages.append(page)
        page = marks.find(1, page + 1)
    return pages


class PageNotes:
    """What one hart notes about the memory it runs on. Each hart has its own.

    Attributes:
        special_marks: One bit for each parcel of an address's low bits: a special instruction may be there. Used only
            where instructions are counted one by one.
        write_generation: For each page of RAM: the generation of the hart's TLB in which it could store there
            unwatched.
        write_count: For each page of RAM: how many stores to it were watched since it was last used as code or table.
    """

    def __init__(self, ram_size: int) -> None:
        pages = ram_size >> PAGE_BITS
        self.special_marks = area(1 << SPECIAL_BITS >> 3)
        self.write_generation = area(pages * 4).cast("I")
        self.write_count = area(pages * 2).cast("H")

    def bind(self, shared: Shared) -> None:
        """Tell the hart's callbacks where everything is."""
        for name in ("special_marks", "write_generation", "write_count"):
            setattr(shared, name, address_of(getattr(self, name)))


class DerivedFromMemory(Protocol):
    """What one hart has derived from memory, and can be told to drop."""

    def flush_tlb(self) -> None:
        """Forget all address translations."""

    def drop_code(self, offset: int, size: int, is_undecoded: bool) -> None:
        """Forget the blocks made of RAM ``[offset, offset + size)``, within one page, before the next instruction.

        Args:
            offset: From the start of RAM, bytes.
            size: Bytes.
            is_undecoded: The page may hold an instruction that did not decode: see PageFlag.UNDECODED.
        """

    def drop_translations(self) -> None:
        """A page table was written: forget all address translations, before the next instruction."""

    def became_stale(self, code_pages: Iterable[int] | None) -> None:
        """Another hart's guest has made stale what this one must forget before it runs: all address translations.

        Args:
            code_pages: And what was translated from these pages of RAM, by number; None: from all.
        """


class DirtyPages:
    """The pages of RAM that were written since this was made, or since it was last asked.

    There may be any number of these over one memory, each with its own "since I last asked". A store costs nothing
    more for them: a page has one flag, and whoever collects the flags notes the pages for all.
    """

    def __init__(self, memory: GuestMemory) -> None:
        self._memory = memory
        self.noted: set[int] = set()

    def take(self) -> list[int]:
        """Those pages, by number, in rising order. They count as unwritten from now on."""
        self._memory.collect_dirty_flags()
        pages, self.noted = sorted(self.noted), set()
        return pages


class GuestMemory:
    """The bytes of RAM and ROM, with per-page flags, all at addresses that C can use.

    Guests store to ``ram`` directly, through the harts; everybody else uses ``write``.
    """

    def __init__(self, ram_base: int, ram_size: int, rom_base: int, rom_size: int, io_size: int) -> None:
        self.ram_base, self.ram_size = ram_base, ram_size
        self.rom_base, self.rom_size = rom_base, rom_size
        self._harts: list[DerivedFromMemory] = []
        self._dirty_pages: WeakSet[DirtyPages] = WeakSet()
        self._collected: set[int] = set()
        self._watched: Counter[int] = Counter()
        self.ram = area(ram_size)
        self.rom = area(rom_size)
        self.page_flags = area(ram_size >> PAGE_BITS)
        self.code_bits = area(ram_size // 16)  # one bit for each 16-bit parcel
        self.io_pages = area(io_size >> PAGE_BITS)

    def bind(self, shared: Shared) -> None:
        """Tell a hart's callbacks where everything is."""
        for name in ("ram", "rom", "page_flags", "code_bits", "io_pages"):
            setattr(shared, name, address_of(getattr(self, name)))
        shared.ram_base, shared.ram_size = self.ram_base, self.ram_size
        shared.rom_base, shared.rom_size = self.rom_base, self.rom_size

    def map_io(self, base: int, size: int) -> None:
        """Let loads and stores to ``[base, base + size)`` reach the bus, on every hart."""
        assert base >= 0 and base + size <= len(self.io_pages) << PAGE_BITS
        for page in range(base >> PAGE_BITS, (base + size - 1 >> PAGE_BITS) + 1):
            self.io_pages[page] = 1

    # ---- the harts

    def attach(self, hart: DerivedFromMemory) -> None:
        """Add a hart that runs on this memory."""
        self._harts.append(hart)

    def is_stale(self, hart: DerivedFromMemory, code_pages: Iterable[int] | None) -> None:
        """The guest of ``hart`` has made stale what the other harts derived from memory: see ``became_stale``."""
        for other in self._harts:
            if other is not hart:
                other.became_stale(code_pages)

    def watch_pages(self, pages: Iterable[int]) -> None:
        """Let every hart look at accesses to these pages, by number, one by one.

        Each call is undone by one of ``unwatch_pages``.
        """
        for page in pages:
            self._watched[page] += 1
            self.page_flags[page] |= _SLOW
        self._flush_tlbs()

    def unwatch_pages(self, pages: Iterable[int]) -> None:
        """Undo what ``watch_pages`` did with the same pages."""
        for page in pages:
            self._watched[page] -= 1
            if not self._watched[page]:
                del self._watched[page]
                self.page_flags[page] &= ~_SLOW & 0xFF
        self._flush_tlbs()

    def _flush_tlbs(self) -> None:
        for hart in self._harts:
            hart.flush_tlb()

    def dirty_pages(self) -> DirtyPages:
        """A new record of which pages are written from now on."""
        self.collect_dirty_flags()
        pages = DirtyPages(self)
        self._dirty_pages.add(pages)
        return pages

    def collect_dirty_flags(self) -> None:
        """Note the pages whose DIRTY flag is set for every DirtyPages, and clear the flags."""
        flags = bytes(self.page_flags)
        dirty = _pages_with(flags.translate(_IS_DIRTY))
        if not dirty:
            return
        self.page_flags[:] = flags.translate(_NOT_DIRTY)
        self._collected.update(dirty)
        for pages in self._dirty_pages:
            pages.noted.update(dirty)
        self._flush_tlbs()  # the next store to these pages is seen again

    def written_pages(self) -> list[int]:
        """The pages of RAM that somebody has written since power-on, by number, in rising order. The rest are zeros.

        Clears no flags, so no DirtyPages hears of it.
        """
        dirty = _pages_with(bytes(self.page_flags).translate(_IS_DIRTY))
        pages = sorted(self._collected.union(dirty))
        assert not checks.is_on or self._has_only_zeros_beside(pages)
        return pages

    def _has_only_zeros_beside(self, pages: list[int]) -> bool:
        zeros, start = bytes(_LOOK_PAGES << PAGE_BITS), 0
        for page in (*pages, self.ram_size >> PAGE_BITS):
            for begin in range(start, page, _LOOK_PAGES):
                end = min(page, begin + _LOOK_PAGES)
                if not zeros.startswith(self.ram[begin << PAGE_BITS : end << PAGE_BITS].tobytes()):
                    return False
            start = page + 1
        return True

    def write(self, address: int, data: bytes | memoryview) -> None:
        """Write RAM: the one way in for loader, devices, debugger and restore.

        Every hart drops the translated code and the address translations that came from the old bytes.

        Raises:
            AccessFault: some of it is not RAM.
        """
        offset, size = address - self.ram_base, len(data)
        if not 0 <= offset <= self.ram_size - size:
            raise AccessFault(address)
        self.ram[offset : offset + size] = data
        end = offset + size
        for page in range(offset >> PAGE_BITS, (end - 1 >> PAGE_BITS) + 1 if size else 0):
            flags = self.page_flags[page]
            self.page_flags[page] = flags | _DIRTY
            if flags & (_CODE | _TABLE):
                start = max(offset, page << PAGE_BITS)
                self._drop_derived(start, min(end, page + 1 << PAGE_BITS) - start)

    def _drop_derived(self, offset: int, size: int) -> None:
        page = offset >> PAGE_BITS
        flags = self.page_flags[page]
        if flags & _CODE and self.holds_code(offset, size):
            self.page_flags[page] &= ~_UNDECODED & 0xFF
            for hart in self._harts:
                hart.drop_code(offset, size, bool(flags & _UNDECODED))
        if flags & _TABLE:
            for hart in self._harts:
                hart.drop_translations()

    def has_ram(self, address: int, size: int) -> bool:
        """Whether all of a range is RAM."""
        return 0 <= address - self.ram_base <= self.ram_size - size

    def peek(self, pa: int, size: int) -> bytes | None:
        """``size`` bytes at physical ``pa``, or None where that is neither RAM nor ROM."""
        if 0 <= pa - self.ram_base <= self.ram_size - size:
            return bytes(self.ram[pa - self.ram_base : pa - self.ram_base + size])
        if 0 <= pa - self.rom_base <= self.rom_size - size:
            return bytes(self.rom[pa - self.rom_base : pa - self.rom_base + size])
        return None

    def mark_code(self, offset: int, size: int, is_code: bool) -> None:
        """Note that the parcels in RAM ``[offset, offset + size)`` are, or are no longer, translated."""
        first, last = offset // 2, (offset + size + 1) // 2
        at = slice(first >> 3, last + 7 >> 3)
        parcels = (1 << last - first) - 1 << (first & 7)
        before = int.from_bytes(self.code_bits[at], "little")
        after = before | parcels if is_code else before & ~parcels
        self.code_bits[at] = after.to_bytes(at.stop - at.start, "little")

    def holds_code(self, offset: int, size: int) -> bool:
        """Whether any parcel in RAM ``[offset, offset + size)`` was translated."""
        first, last = offset // 2, (offset + size + 1) // 2
        bits = int.from_bytes(self.code_bits[first >> 3 : last + 7 >> 3], "little")
        return bits >> (first & 7) & (1 << last - first) - 1 != 0
