"""Source lines of addresses, from the DWARF line tables of an ELF file.

A file is looked at only when somebody asks, as most runs end well. Whatever is in it, there is no exception, and time
and memory are bounded: of a kernel, one compilation unit is read where the file says which one an address is in.
"""

from __future__ import annotations

import posixpath
from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice, pairwise
from operator import itemgetter
from typing import Any, NamedTuple

from minstret.emu.images.dwarf import DwarfFile, ranges_of
from minstret.emu.text import printable

_UNITS_MAX = 5000
"""How many compilation units are asked whether an address is in them, where no table tells: a second."""
_OVERLAPS_MAX = 100
"""How many ranges before an address are looked at: in one file they hardly overlap."""
_PROGRAM_MAX = 512 << 10
"""Bytes of a unit's line program; those of kernels have a quarter of that."""
_PATH_MAX = 1000


class SourceLine(NamedTuple):
    """A line of a source file, whose path is as the compiler has written it."""

    file: str
    line: int

    @property
    def short(self) -> str:
        """``smash/main.c:31``: the file and its folder."""
        return f"{'/'.join(self.file.split('/')[-2:])}:{self.line}"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class LineEntry(NamedTuple):
    """Where code of a line begins; ``is_stmt``: a statement of it does, and not the rest of one."""

    address: int
    file: str
    line: int
    is_stmt: bool


class _Row(NamedTuple):
    """What a line program says of the addresses from ``start`` up to ``end``."""

    start: int
    end: int
    line: int
    file: int


class LineTable:
    """The line tables of one ELF file."""

    def __init__(self, file: DwarfFile) -> None:
        """Of a file, which is not looked at yet."""
        self.file = file
        self._dwarf: Any = None
        self._is_read = False
        self._ranges: Any = None
        self._units: list[tuple[int, int, Any]] | None = None
        self._found: dict[int, SourceLine | None] = {}
        self._rows: dict[int, list[_Row]] = {}

    def find(self, address: int) -> SourceLine | None:
        """The line that the instruction at ``address`` comes from; None if the file does not tell."""
        if address not in self._found:
            try:
                self._found[address] = self._find(address)
            except OSError:  # the data is in memory: a problem of the host
                raise
            except Exception:  # pyelftools does not check its input: a damaged file can raise any exception
                self._found[address] = None
        return self._found[address]

    def entries(self) -> Iterator[LineEntry]:
        """All rows of the tables, unit by unit, in the order of the file; of a damaged file those up to the damage.

        Code that the linker has thrown away is left out: it is at address 0.
        """
        try:
            yield from self._entries()
        except OSError:
            raise
        except Exception:  # as in find
            return

    def _entries(self) -> Iterator[LineEntry]:
        info = self.file.info
        if info is None or info.debug_line_sec is None:
            return
        for unit in islice(info.iter_CUs(), _UNITS_MAX):
            program = info.line_program_for_CU(unit)
            if program is None:
                continue
            paths: dict[int, str] = {}
            for sequence in _sequences(program):
                if not sequence[0].address:
                    continue
                for this, following in pairwise(sequence):
                    if this.line and this.address < following.address:
                        if this.file not in paths:
                            paths[this.file] = _path(program, this.file)
                        yield LineEntry(this.address, paths[this.file], this.line, this.is_stmt)

    def _find(self, address: int) -> SourceLine | None:
        if not self._is_read:
            self._is_read = True
            info = self.file.info
            self._dwarf = None if info is None or info.debug_line_sec is None else info
            self._ranges = None if self._dwarf is None else self._dwarf.get_aranges()
        if self._dwarf is None:
            return None
        unit = self._unit_at(address)
        program = None if unit is None else self._dwarf.line_program_for_CU(unit)
        if program is None:
            return None
        offset = program.program_start_offset
        if offset not in self._rows:
            self._rows[offset] = sorted(_rows(program))
        rows = self._rows[offset]
        for row in reversed(rows[: bisect_right(rows, (address, 1 << 64))]):
            if address < row.end:
                return SourceLine(_path(program, row.file), row.line) if row.line else None
        return None

    def _unit_at(self, address: int) -> Any:
        """The compilation unit of an address, or None. The table of ranges need not have all of them."""
        ranges = self._ranges
        offset = ranges.cu_offset_at_addr(address) if ranges is not None and ranges.entries else None
        if offset is not None:
            return self._dwarf.get_CU_at(offset)
        if self._units is None:
            self._units = _known_extents(self._dwarf)
        at = bisect_right(self._units, address, key=itemgetter(0))
        for start, end, unit in reversed(self._units[max(0, at - _OVERLAPS_MAX) : at]):
            if start <= address < end:
                return unit
        return None


def _known_extents(dwarf: Any) -> list[tuple[int, int, Any]]:
    """The addresses of compilation units, in order; of a damaged file up to what is damaged."""
    found: list[tuple[int, int, Any]] = []
    try:
        found.extend(_extents(dwarf))
    except OSError:
        raise
    except Exception:  # as in LineTable.find
        pass
    return sorted(found, key=itemgetter(0))


def _extents(dwarf: Any) -> Iterator[tuple[int, int, Any]]:
    """The addresses of compilation units: start, end, unit."""
    for unit in islice(dwarf.iter_CUs(), _UNITS_MAX):
        yield from ((start, end, unit) for start, end in ranges_of(dwarf, unit.get_top_DIE()))


def _sequences(program: Any) -> Iterator[list[Any]]:
    """The states of a line program, one list for each piece of code that lies together."""
    if program.program_end_offset - program.program_start_offset > _PROGRAM_MAX:
        return
    states: list[Any] = []
    for entry in program.get_entries():
        if entry.state is not None:
            states.append(entry.state)
            if entry.state.end_sequence:
                yield states
                states = []


def _rows(program: Any) -> Iterator[_Row]:
    if program.program_end_offset - program.program_start_offset > _PROGRAM_MAX:
        return
    states = (entry.state for entry in program.get_entries() if entry.state is not None)
    for this, following in pairwise(states):
        if not this.end_sequence and this.address < following.address:
            yield _Row(this.address, following.address, this.line, this.file)


def _path(program: Any, number: int) -> str:
    """The path of a file, from the folder in which it was compiled, or an absolute one.

    Source: DWARF 5, 6.2.4: it counts files and folders from 0; before, files are counted from 1.
    """
    first = 0 if program["version"] >= 5 else 1
    entry = program["file_entry"][number - first]
    folder = b""
    if entry.dir_index:
        folder = program["include_directory"][entry.dir_index - first]
    path = posixpath.normpath(posixpath.join(_text(folder), _text(entry.name)))
    return printable(path, _PATH_MAX)


def _text(name: bytes | str) -> str:
    return name if isinstance(name, str) else name.decode(errors="replace")
