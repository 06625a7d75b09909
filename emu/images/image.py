"""Images to boot: the file as it was read, and what is in it: segments, symbols, an entry point."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from minstret.emu.errors import ConfigError
from minstret.emu.images.dwarf import DwarfFile
from minstret.emu.images.lines import LineTable, SourceLine
from minstret.emu.text import printable

_NAME_SHOWN_MAX = 200
LABEL_REACH = 1 << 20
"""Bytes: what lies further behind a symbol without a size has nothing to do with it."""
_PIECE_SIZE = 1 << 20
_NEAR_MAX = 5000
"""Names that are compared with one that is not there: each takes some us."""
_LENGTHS_APART = 4
_LIKENESS = 0.6


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


class Extent(NamedTuple):
    """The addresses ``[start, stop)`` of a function; ``is_sized``: its symbol says how long it is."""

    start: int
    stop: int
    is_sized: bool


class Symbol(NamedTuple):
    """A name for ``[address, address + size)``; ``is_object``: that is data.

    ``file``: the source file, without its folder, of a name that is only for that file; ``""`` if it is for all.
    """

    address: int
    size: int
    name: str
    is_object: bool = False
    file: str = ""


@dataclass(frozen=True, slots=True)
class SymbolTable:
    """Symbols by address, and what tells source lines, types and variables.

    As a mapping it gives symbols by name: ``table["main"].address``, ``"main" in table``; iteration gives the names.
    """

    symbols: tuple[Symbol, ...] = ()
    addresses: tuple[int, ...] = ()
    lines: tuple[LineTable, ...] = field(default=(), compare=False, repr=False)
    debug: tuple[DwarfFile, ...] = field(default=(), compare=False, repr=False)
    _by_name: dict[str, list[Symbol]] = field(default_factory=dict, init=False, compare=False, repr=False)

    @classmethod
    def of(
        cls, symbols: list[Symbol], lines: tuple[LineTable, ...] = (), debug: tuple[DwarfFile, ...] = ()
    ) -> SymbolTable:
        ordered = sorted(symbols, key=attrgetter("address", "size", "name"))
        return cls(tuple(ordered), tuple(symbol.address for symbol in ordered), lines, debug)

    def describe(self, address: int) -> str:
        """``name+0x12`` for an address in a known function or object, else ``""``; safe to show on a terminal."""
        symbol = self._at(address)
        if symbol is None:
            return ""
        distance = address - symbol.address
        return printable(symbol.name, _NAME_SHOWN_MAX) + (f"+{distance:#x}" if distance else "")

    def _at(self, address: int) -> Symbol | None:
        index = bisect_right(self.addresses, address) - 1
        if index < 0:
            return None
        if not self.symbols[index].size:  # symbols at one address are sorted by size: take the first of those without
            index = bisect_left(self.addresses, self.addresses[index])
        symbol = self.symbols[index]
        return symbol if address - symbol.address < (symbol.size or LABEL_REACH) else None

    def extent(self, address: int) -> Extent | None:
        """The function in which an address is; one without a size goes up to the next symbol."""
        symbol = self._at(address)
        if symbol is None or symbol.is_object:
            return None
        if symbol.size:
            return Extent(symbol.address, symbol.address + symbol.size, True)
        following = bisect_right(self.addresses, symbol.address)
        stop = self.addresses[following] if following < len(self.addresses) else address + 1
        return Extent(symbol.address, stop, False)

    def source(self, address: int) -> SourceLine | None:
        """The source line that the instruction at an address comes from, where an image has line tables."""
        return next((found for table in self.lines if (found := table.find(address)) is not None), None)

    def with_others(self, *others: Firmware | None) -> SymbolTable:
        """This table, with the symbols and source lines of other images added."""
        tables = [other.symbols for other in others if other is not None and other.symbols.symbols]
        if not tables:
            return self
        tables.insert(0, self)
        symbols = [symbol for table in tables for symbol in table.symbols]
        lines = tuple(lines for table in tables for lines in table.lines)
        return SymbolTable.of(symbols, lines, tuple(debug for table in tables for debug in table.debug))

    def find(self, name: str) -> Symbol | None:
        return next(iter(self.named(name)), None)

    def named(self, name: str) -> list[Symbol]:
        """All symbols of a name, by address: functions and variables of one file may have that of another file's."""
        if not self._by_name:
            for symbol in self.symbols:
                self._by_name.setdefault(symbol.name, []).append(symbol)
        return self._by_name.get(name, [])

    def __getitem__(self, name: str) -> Symbol:
        """The first symbol of a name.

        Raises:
            ConfigError: there is none; names like it are named.
        """
        if not isinstance(name, str):
            raise ConfigError(f"expected the name of a symbol, got {name!r:.{_NAME_SHOWN_MAX}}")
        found = self.find(name)
        if found is None:
            raise ConfigError(f"{printable(name, _NAME_SHOWN_MAX)}: no such symbol{self.hint(name)}")
        return found

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.find(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(symbol.name for symbol in self.symbols))

    def hint(self, name: str) -> str:
        """``: did you mean rx_count?`` for a message about a name that is not there."""
        from difflib import get_close_matches

        if not self.symbols:
            return ": the image has no symbols; boot an ELF file that is not stripped"
        wanted, others = name.lower(), {other.lower(): other for other in self}
        near = [
            other for other in others if other[:1] == wanted[:1] and abs(len(other) - len(wanted)) <= _LENGTHS_APART
        ]
        near += [other for other in others if wanted in other]
        found = get_close_matches(wanted, dict.fromkeys(near[:_NEAR_MAX]), cutoff=_LIKENESS)
        shown = " or ".join(printable(others[other], _NAME_SHOWN_MAX) for other in found)
        return f": did you mean {shown}?" if shown else ""


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
