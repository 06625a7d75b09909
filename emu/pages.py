"""The contents of RAM at many moments, kept in memory. A page that is the same at several moments is kept once.

Going back writes only the pages that differ, so what was translated from the others stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from minstret.emu.hart.memory import GuestMemory
from minstret.emu.hart.shared import PAGE_BITS, PAGE_SIZE

_CHUNK_PAGES = 64
_Chunk = tuple[bytes | None, ...]


@dataclass(frozen=True, slots=True)
class SavedPages:
    """What was in RAM: chunks of pages, None for what is as at power-on. Two of these share what is the same."""

    chunks: tuple[_Chunk | None, ...]

    def __getitem__(self, page: int) -> bytes | None:
        chunk = self.chunks[page // _CHUNK_PAGES]
        return None if chunk is None else chunk[page % _CHUNK_PAGES]

    def changed_to(self, pages: Mapping[int, bytes | None]) -> SavedPages:
        """The same with other contents in some pages, given by number."""
        by_chunk: dict[int, dict[int, bytes | None]] = {}
        for page, data in pages.items():
            by_chunk.setdefault(page // _CHUNK_PAGES, {})[page % _CHUNK_PAGES] = data
        chunks = list(self.chunks)
        for number, changes in by_chunk.items():
            chunk = list(chunks[number] or (None,) * _CHUNK_PAGES)
            for at, data in changes.items():
                chunk[at] = data
            chunks[number] = tuple(chunk)
        return SavedPages(tuple(chunks))

    def differing(self, other: SavedPages) -> Iterator[int]:
        """The pages, by number, that are not known to be the same."""
        for number, (ours, theirs) in enumerate(zip(self.chunks, other.chunks, strict=True)):
            if ours is theirs:
                continue
            for at in range(_CHUNK_PAGES):
                if (None if ours is None else ours[at]) is not (None if theirs is None else theirs[at]):
                    yield number * _CHUNK_PAGES + at


class PageKeeper:
    """Saves and restores the RAM of one machine, from when this is made on."""

    def __init__(self, memory: GuestMemory, at_power_on: Callable[[int], bytes]) -> None:
        """Begin to keep; nothing may have written RAM since power-on.

        Args:
            memory: The machine's.
            at_power_on: What was in a page then, by number.
        """
        self._memory = memory
        self._at_power_on = at_power_on
        self._dirty = memory.dirty_pages()
        self.power_on = SavedPages((None,) * -(-memory.ram_size // PAGE_SIZE // _CHUNK_PAGES))
        """RAM as it was at power-on."""
        self._known = self.power_on

    def save(self) -> SavedPages:
        """What is in RAM now."""
        self._learn(self._dirty.take())
        return self._known

    def restore(self, saved: SavedPages) -> None:
        """Put RAM back to what it was; pages that are as they were are left alone."""
        self._learn(self._dirty.take())
        for page in self._known.differing(saved):
            wanted = self._content(saved[page], page)
            if wanted != self._content(self._known[page], page):
                self._memory.write(self._memory.ram_base + (page << PAGE_BITS), wanted)
        self._known = saved
        self._dirty.take()

    def _learn(self, dirty: Iterable[int]) -> None:
        """Look at pages that were written."""
        changes: dict[int, bytes | None] = {}
        for page in dirty:
            data = bytes(self._memory.ram[page << PAGE_BITS : (page << PAGE_BITS) + PAGE_SIZE])
            if data != self._content(self._known[page], page):
                changes[page] = data
        if changes:
            self._known = self._known.changed_to(changes)

    def _content(self, data: bytes | None, page: int) -> bytes:
        return self._at_power_on(page) if data is None else data
