"""Where functions were put into others, from the DWARF entries of an ELF file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from minstret.emu.images.dwarf import DwarfFile, entries_of, ranges_of

_UNITS_MAX = 5000
_ENTRIES_MAX = 2_000_000
"""Of all entries, so many are looked at: a minute."""
_ORIGINS_MAX = 8


class Inlined(NamedTuple):
    """One copy of a function within another.

    Attributes:
        name: The function's; "" where the file does not tell.
        entry: Its first instruction; None where the file does not tell.
        ranges: Its addresses, [start, end) each, in the order of the file.
        within: The place in the list of the copy that it is in, which is before its own; -1 where it is in none.
    """

    name: str
    entry: int | None
    ranges: tuple[tuple[int, int], ...]
    within: int


def inlined_in(file: DwarfFile) -> Iterator[Inlined]:
    """All such copies in a file; of a damaged file those up to the damage."""
    try:
        yield from _inlined(file)
    except OSError:  # the data is in memory: a problem of the host
        raise
    except Exception:  # pyelftools does not check its input: a damaged file can raise any exception
        return


def _inlined(file: DwarfFile) -> Iterator[Inlined]:
    if file.info is None:
        return
    left, count = _ENTRIES_MAX, 0
    for unit in islice(file.info.iter_CUs(), _UNITS_MAX):
        around: list[tuple[int, int]] = []  # depth and place of the copies around an entry
        for die, depth in entries_of(unit):
            left -= 1
            if left < 0:
                return
            while around and around[-1][0] >= depth:
                around.pop()
            if die.tag != "DW_TAG_inlined_subroutine":
                continue
            ranges = tuple((start, end) for start, end in ranges_of(file.info, die) if 0 < start < end)
            if ranges:
                yield Inlined(_name_of(file, die), _entry_of(die), ranges, around[-1][1] if around else -1)
                around.append((depth, count))
                count += 1


def _entry_of(die: Any) -> int | None:
    entry = die.attributes.get("DW_AT_entry_pc")
    return int(entry.value) if entry is not None and entry.form == "DW_FORM_addr" else None


def _name_of(file: DwarfFile, die: Any) -> str:
    for _ in range(_ORIGINS_MAX):
        for attribute in ("DW_AT_linkage_name", "DW_AT_name"):
            if attribute in die.attributes:
                return str(die.attributes[attribute].value.decode(errors="replace"))
        origin = next((a for a in ("DW_AT_abstract_origin", "DW_AT_specification") if a in die.attributes), None)
        if origin is None:
            break
        die = file.referred(die, origin)
    return ""
