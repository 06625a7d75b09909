"""Which bytes of RAM differ between two runs, kept up to date by the pages that either has written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from minstret.emu.hart.memory import GuestMemory
from minstret.emu.hart.shared import PAGE_BITS, PAGE_SIZE

_RUN = re.compile(rb"[^\0]+")
_ONES = bytes(1) + b"\xff" * 255


class Range(NamedTuple):
    """A range of physical memory, bytes."""

    address: int
    size: int


class DifferingBytes:
    """The bytes that are not the same in both memories, by page; what only one of them has is not compared."""

    def __init__(self, one: GuestMemory, other: GuestMemory) -> None:
        """Look through both."""
        assert one.ram_base == other.ram_base
        self._one, self._other = one, other
        self._dirty = one.dirty_pages(), other.dirty_pages()
        self._pages_max = min(one.ram_size, other.ram_size) >> PAGE_BITS
        self.pages: dict[int, int] = {}
        """For each page that differs the exclusive or of both, as one little-endian number."""
        self._ranges: dict[int, list[Range]] = {}
        for page in sorted({*one.written_pages(), *other.written_pages()}):
            if page < self._pages_max:
                self._look_at(page)

    def _look_at(self, page: int) -> bool:
        """Compare one page anew; whether a byte differs in it that did not, or that did in another way."""
        at = slice(page << PAGE_BITS, (page << PAGE_BITS) + PAGE_SIZE)
        ours, theirs = self._one.ram[at].tobytes(), self._other.ram[at].tobytes()
        before = self.pages.pop(page, 0)
        self._ranges.pop(page, None)
        if ours == theirs:
            return False
        now = int.from_bytes(ours, "little") ^ int.from_bytes(theirs, "little")
        self.pages[page] = now
        differs = int.from_bytes(now.to_bytes(PAGE_SIZE, "little").translate(_ONES), "little")
        return now != before & differs

    def update(self) -> bool:
        """Look at what was written since; whether a byte differs that did not, or that did in another way."""
        pages = {page for dirty in self._dirty for page in dirty.take() if page < self._pages_max}
        found = [self._look_at(page) for page in sorted(pages)]  # all of them
        return any(found)

    def save(self) -> dict[int, int]:
        """What differs, to come back to with ``restore``."""
        return dict(self.pages)

    def restore(self, saved: dict[int, int]) -> None:
        """Both memories were put back to what they were when that was saved."""
        for dirty in self._dirty:
            dirty.take()
        self.pages, self._ranges = dict(saved), {}

    def ranges(self) -> list[Range]:
        """The ranges that differ, in order."""
        found: list[Range] = []
        for page in sorted(self.pages):
            for each in self._ranges_of(page):
                if found and each.address == sum(found[-1]):
                    found[-1] = Range(found[-1].address, each.address + each.size - found[-1].address)
                else:
                    found.append(each)
        return found

    def _ranges_of(self, page: int) -> list[Range]:
        if page not in self._ranges:
            base = self._one.ram_base + (page << PAGE_BITS)
            self._ranges[page] = [Range(base + start, end - start) for start, end in self._runs(page)]
        return self._ranges[page]

    def _runs(self, page: int) -> Iterator[tuple[int, int]]:
        for run in _RUN.finditer(self.pages[page].to_bytes(PAGE_SIZE, "little")):
            yield run.span()
