"""System.map, and what ``nm`` prints: symbols as lines of an address, a letter for the kind, and a name."""

from __future__ import annotations

import re

from minstret.emu.errors import ConfigError
from minstret.emu.images.image import ImageFile, Symbol

_LINE = re.compile(rb"([0-9a-fA-F]{8,16}) (?:[0-9a-fA-F]{8,16} )?([A-Za-z?]) (\S*)(?:\t.*|  *\[.*\])?\s*")
_NO_PLACE = frozenset("aAUuNw")
"""Letters of absolute values, of what is undefined, and of debugging symbols."""
_FUNCTIONS = frozenset("tTWi")
_HEAD_LINES = 3


def is_system_map(data: bytes) -> bool:
    """Whether a file begins as such a list does."""
    lines = [line for line in data[:4096].split(b"\n", _HEAD_LINES)[:_HEAD_LINES] if line.strip()]
    return bool(lines) and all(_LINE.fullmatch(line) or line.lstrip()[:2] in (b"U ", b"w ") for line in lines)


def read_system_map(file: ImageFile) -> list[Symbol]:
    """The symbols of functions and objects; without sizes, so each goes up to the next.

    Raises:
        ConfigError: a line is none of such a list; the text begins with the file's name.
    """
    found = []
    for number, line in enumerate(file.data.split(b"\n"), 1):
        if not line.strip() or line.lstrip()[:2] in (b"U ", b"w "):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigError(
                f"{file.name}:{number}: expected a line such as 'ffffffff80000000 T _start',"
                f" got {line[:60].decode(errors='replace')!r}"
            )
        symbol = symbol_of(int(match[1], 16), match[2].decode(), match[3].decode(errors="replace"))
        if symbol is not None:
            found.append(symbol)
    return found


def symbol_of(address: int, kind: str, name: str) -> Symbol | None:
    """A symbol by the letter that ``nm`` has for its kind; None for what has no place, and for mapping symbols."""
    if kind in _NO_PLACE or not name or name.startswith(("$", ".L")):
        return None
    return Symbol(address, 0, name, is_object=kind not in _FUNCTIONS)
