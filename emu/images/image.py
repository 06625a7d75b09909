"""Images to boot: the file as it was read, and what is in it: segments, symbols, an entry point."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from minstret.emu.text import printable

_NAME_SHOWN_MAX = 200
_PIECE_SIZE = 1 << 20


@dataclass(frozen=True, slots=True)
class ImageFile:
    """The content of a file to boot from."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes at a physical address. If ``size`` is larger than ``data``, the rest is zeros.

    ``spare`` are ranges [start, end) of ``data`` that no program needs, such as file headers and notes.
    """

    address: int
    data: bytes | memoryview
    size: int
    spare: tuple[tuple[int, int], ...] = field(default=(), compare=False)

    @property
    def end(self) -> int:
        """The first address after it."""
        return self.address + self.size

    def needs(self, start: int, end: int) -> bool:
        """Whether the data's range [start, end) has bytes that a program may need: neither spare nor zero."""
        at = start
        for spare_start, spare_end in (*sorted(self.spare), (end, end)):
            if at < spare_start and not _is_zero(self.data, at, min(spare_start, end)):
                return True
            at = max(at, spare_end)
        return False

    def without_head(self, size: int) -> Segment:
        """The segment without its first ``size`` bytes."""
        return Segment(self.address + size, memoryview(self.data)[size:], self.size - size)


def _is_zero(data: bytes | memoryview, start: int, end: int) -> bool:
    view = memoryview(data)[start:end]
    pieces = (bytes(view[at : at + _PIECE_SIZE]) for at in range(0, len(view), _PIECE_SIZE))
    return all(piece.count(0) == len(piece) for piece in pieces)


class Symbol(NamedTuple):
    """A name for ``[address, address + size)``."""

    address: int
    size: int
    name: str


@dataclass(frozen=True, slots=True)
class SymbolTable:
    """Symbols by address."""

    symbols: tuple[Symbol, ...] = ()
    addresses: tuple[int, ...] = ()

    @classmethod
    def of(cls, symbols: list[Symbol]) -> SymbolTable:
        ordered = sorted(symbols, key=attrgetter("address", "size", "name"))
        return cls(tuple(ordered), tuple(symbol.address for symbol in ordered))

    def describe(self, address: int) -> str:
        """``name+0x12`` for an address in a known function or object, else ``""``; safe to show on a terminal."""
        index = bisect_right(self.addresses, address) - 1
        if index < 0:
            return ""
        if not self.symbols[index].size:  # symbols at one address are sorted by size: take the first of those without
            index = bisect_left(self.addresses, self.addresses[index])
        symbol = self.symbols[index]
        distance = address - symbol.address
        if symbol.size and distance >= symbol.size:
            return ""
        return printable(symbol.name, _NAME_SHOWN_MAX) + (f"+{distance:#x}" if distance else "")

    def with_others(self, *others: Firmware | None) -> SymbolTable:
        """This table, with the symbols of other images added."""
        more = [symbol for other in others if other is not None for symbol in other.symbols.symbols]
        return SymbolTable.of([*self.symbols, *more]) if more else self

    def find(self, name: str) -> Symbol | None:
        return next((symbol for symbol in self.symbols if symbol.name == name), None)


@dataclass(frozen=True, slots=True)
class Firmware:
    """What to load and where to start. ``xlen`` is None if the file does not tell, ``file`` if there is no file."""

    name: str
    xlen: int | None
    entry: int
    segments: tuple[Segment, ...]
    symbols: SymbolTable = field(default_factory=SymbolTable)
    tohost: int | None = None
    file: ImageFile | None = field(default=None, compare=False)
