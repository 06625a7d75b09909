"""What somebody asks about: bytes of memory, by a name or an address, as they are where a walk stands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from minstret.emu.errors import ConfigError
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.memory import by_page
from minstret.emu.hart.spec import PRIV_S, PRIV_U
from minstret.emu.images.image import SymbolTable
from minstret.emu.images.types import Array, Character, CType, Enumeration, Pointer, Struct
from minstret.emu.images.variables import Variables
from minstret.emu.text import printable

EXPECTED = "an address such as 0x80001000:8, phys:0x80001000:8, or a name such as cfg.mode or buffer:16"
_NUMBER = r"0[xX][0-9a-fA-F_]+|[0-9][0-9_]*"
_ADDRESS = re.compile(rf"(?P<physical>phys:)?(?P<address>{_NUMBER})(?::(?P<size>.*))?", re.DOTALL)
_NAME = re.compile(rf"(?P<path>.*[^:]):(?P<size>[-+]?(?:{_NUMBER}))", re.DOTALL)
_PAGES_MAX = 4096


@dataclass(frozen=True)
class Target:
    """Bytes of memory.

    Attributes:
        label: As messages call it.
        address: Where it begins: virtual, or physical of one that was asked for so.
        size: Bytes.
        pieces: The same in physical memory: address and size of each piece, in order.
        type: Its C type, where debug information says it.
    """

    label: str
    address: int
    size: int
    pieces: tuple[tuple[int, int], ...]
    type: CType | None = None

    def __str__(self) -> str:
        if not self.is_named:
            return self.label
        return f"{self.label} ({self.address:#x}, {bytes_text(self.size)})"

    @property
    def is_named(self) -> bool:
        return not self.label[:1].isdecimal() and not self.label.startswith("phys:")

    @property
    def is_physical(self) -> bool:
        return self.label.startswith("phys:")

    def offset_of(self, physical: int) -> int | None:
        """How far from its beginning a physical address is; None where that is not in it."""
        offset = 0
        for at, size in self.pieces:
            if at <= physical < at + size:
                return offset + physical - at
            offset += size
        return None

    def overlaps(self, physical: int, size: int) -> bool:
        """Whether a physical range has any of its bytes."""
        return any(at < physical + size and physical < at + length for at, length in self.pieces)

    def read(self, hart: Hart) -> bytes:
        """What is there now."""
        return b"".join(hart.read_physical(at, size) for at, size in self.pieces)


def bytes_text(count: int) -> str:
    return f"{count:,} byte{'' if count == 1 else 's'}"


def find_target(text: str, what: str, hart: Hart, symbols: SymbolTable) -> Target:
    """The bytes that ``text`` names, as ``hart`` sees them now.

    Args:
        text: See EXPECTED. An address is virtual without ``phys:``. Names are as for ``board.read``; a length of an
            address is 1 by default, that of a name its size.
        what: The option it comes from, for messages.
        hart: Whose address translation counts.
        symbols: Names and their types.
    Raises:
        ConfigError: there is no such thing, or it is not in RAM.
    """
    try:
        return _find(text.strip(), hart, symbols)
    except ConfigError as error:
        raise ConfigError(f"{what}: {error}") from None


def _find(text: str, hart: Hart, symbols: SymbolTable) -> Target:
    numbers = _ADDRESS.fullmatch(text)
    if numbers is not None:
        address, size = _number(numbers["address"]), 1 if numbers["size"] is None else _size(numbers["size"])
        is_physical = numbers["physical"] is not None
        last = f"..{address + size - 1:#x}" if size > 1 else ""
        label = f"{'phys:' * is_physical}{address:#x}{last}"
        return Target(label, address, size, _pieces(label, address, size, hart, is_physical=is_physical))
    if not text or text.startswith("phys:"):
        raise ConfigError(f"expected {EXPECTED}; got '{printable(text)}'")
    sized = _NAME.fullmatch(text)
    path = text if sized is None else sized["path"]
    place, kind = Variables(symbols).typed(path, lambda address, size: _load(hart, address, size))
    given = None if sized is None else _size(sized["size"])
    size = place.size if given is None else given
    if not size:
        raise ConfigError(f"{printable(path)}: nothing says how large it is; say how many bytes: {printable(path)}:4")
    is_whole = given is None or given == place.size
    pieces = _pieces(printable(path), place.address, size, hart, is_physical=False)
    return Target(printable(text), place.address, size, pieces, kind if is_whole else None)


def _number(text: str) -> int:
    return int(text.replace("_", ""), 16 if text[:2] in ("0x", "0X") else 10)


def _size(text: str) -> int:
    if re.fullmatch(_NUMBER, text) is None or not 0 < (size := _number(text)) <= _PAGES_MAX << 12:
        raise ConfigError(f"expected a length from 1 to {_PAGES_MAX << 12:,} bytes, got '{printable(text)}'")
    return size


def _load(hart: Hart, address: int, size: int) -> bytes:
    for priv in (None, PRIV_S, PRIV_U):
        data = hart.read_virtual(address, size, priv)
        if data is not None:
            return data
    raise ConfigError(f"there is no memory at {address:#x} where the question looks from")


def _pieces(label: str, address: int, size: int, hart: Hart, *, is_physical: bool) -> tuple[tuple[int, int], ...]:
    pages = list(_pages(label, address, size, hart, is_physical=is_physical))
    return tuple(pages if len(pages) == 2 else _joined(pages))  # of an access across two pages each watch sees its part


def _pages(label: str, address: int, size: int, hart: Hart, *, is_physical: bool) -> Iterator[tuple[int, int]]:
    for at, length in by_page(address, size):
        pa = at if is_physical else _translated(hart, at & hart.xlen_mask, length)
        if pa is None or not hart.memory.has_ram(pa, length):
            memory = hart.memory
            where = label if label == f"{at:#x}" else f"{label}: {at:#x}"
            ram = f"RAM is {memory.ram_base:#x}..{memory.ram_base + memory.ram_size - 1:#x}"
            raise ConfigError(f"{where} is not in RAM where the question looks from; {ram}")
        yield pa, length


def _translated(hart: Hart, address: int, size: int) -> int | None:
    """Where an address is: as the hart's loads see it, or else as those of its supervisor or user."""
    for priv in (None, PRIV_S, PRIV_U):
        pa = hart.translate(address, priv)
        if pa is not None and hart.memory.has_ram(pa, size):
            return pa
    return None


def _joined(pieces: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Pieces that follow each other as one."""
    start = end = 0
    for at, size in pieces:
        if at != end or start == end:
            if start < end:
                yield start, end - start
            start = at
        end = at + size
    yield start, end - start


def part_of(kind: CType, path: str, offset: int, size: int) -> tuple[str, CType, int]:
    """The smallest part of a variable that has these bytes: how C calls it, its type, and its offset.

    Args:
        kind: The variable's type.
        path: Its name.
        offset: Where the bytes begin in it.
        size: How many they are.
    """
    begin = 0
    while True:
        inner = _inner(kind, offset - begin, size)
        if inner is None:
            return path, kind, begin
        step, at, kind = inner
        path, begin = path + step, begin + at


def _inner(kind: CType, offset: int, size: int) -> tuple[str, int, CType] | None:
    if isinstance(kind, Array) and kind.element.size:
        index = offset // kind.element.size
        if offset + size <= (index + 1) * kind.element.size:
            return f"[{index}]", index * kind.element.size, kind.element
    if isinstance(kind, Struct):
        for member in kind.members:
            if member.offset <= offset and offset + size <= member.offset + member.type.size:
                return f".{member.name}", member.offset, member.type
    return None


def value_text(data: bytes, kind: CType | None = None) -> str:
    """A value for people: by its type, else one number, else bytes."""
    if kind is not None:
        value = decoded(data, kind)
        if isinstance(value, int) and not isinstance(value, bool) and not isinstance(kind, Character):
            return _number_text(value, kind)
        if isinstance(value, bool | float):
            return str(value)
    if len(data) in (1, 2, 4, 8):
        return f"{int.from_bytes(data, 'little'):#0{2 * len(data) + 2}x}"
    shown = data[:32].hex(" ", 4)
    return shown + (" ..." if len(data) > 32 else "")


def _number_text(value: int, kind: CType) -> str:
    if isinstance(kind, Enumeration):
        name = next((name for name, number in kind.enumerators.items() if number == value), None)
        if name is not None:
            return f"{name} ({value})"
    if isinstance(kind, Pointer):
        return f"{value:#x}"
    return f"{value:,} ({value & (1 << 8 * kind.size) - 1:#x})" if abs(value) > 9 else str(value)


def decoded(data: bytes, kind: CType | None) -> Any:
    """The value of these bytes by a type; None where that says nothing."""
    if kind is None or kind.size != len(data):
        return None
    try:
        return kind.decode(data)
    except ConfigError:
        return None
