"""Reads ELF executables: the segments to load, and the symbols.

Every size, count and offset in a file is checked against the file before it is used. So whatever a file contains, the
time and memory to read it are bounded by its size.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from minstret.emu.errors import ConfigError
from minstret.emu.images.dwarf import DwarfFile
from minstret.emu.images.image import Firmware, ImageFile, Segment, Symbol, SymbolTable
from minstret.emu.images.lines import LineTable

MAGIC = b"\x7fELF"

_EM_RISCV = 243
_TYPES = ("ET_NONE", "ET_REL", "ET_EXEC", "ET_DYN", "ET_CORE")
_PT_LOAD, _PT_NOTE = 1, 4
_SHT_SYMTAB, _SHT_NOTE, _SHT_DYNSYM = 2, 7, 11
_SEGMENTS_MAX, _SECTIONS_MAX, _NOTES_MAX = 1024, 16_384, 64
_SYMBOLS_MAX = 500_000
_SYMBOL_NAME_MAX, _SYMBOL_NAMES_MAX = 4096, 64 << 20
"""Bytes for one name (a longer one is cut), and for all names: many symbols may share one long name."""
_PN_XNUM, _SHN_XINDEX = 0xFFFF, 0xFFFF
_HEADER_SIZE = {True: 64, False: 52}
"""By whether it is a 64-bit file: bytes."""
_UNWIND_NAMES = (b".eh_frame\0", b".eh_frame_hdr\0")
_HIDDEN_NAMES = ("$", ".L")
"""Prefixes of mapping symbols and local labels, which are left out."""
_STB_LOCAL = 0
_STT_OBJECT, _STT_FILE = 1, 4
_STT_READ = (0, _STT_OBJECT, 2, _STT_FILE)
"""Symbols without a type, objects, functions, and names of source files."""


def load_elf(file: ImageFile) -> Firmware:
    """Read an ELF executable for RISC-V.

    Raises:
        ConfigError: it is something else, or damaged.
    """
    try:
        return _Elf(file).firmware()
    except (ConfigError, OSError):  # the data is in memory: an OSError is a problem of the host, not of the file
        raise
    except Exception as error:  # whatever a damaged file may still raise
        raise ConfigError(f"{file.name}: a damaged ELF file: {error}") from None


@dataclass(frozen=True, slots=True)
class _Table:
    """Where a table of headers is."""

    offset: int
    entry_size: int
    count: int

    def offsets(self) -> Iterator[int]:
        return iter(range(self.offset, self.offset + self.entry_size * self.count, self.entry_size or 1))


class _Program(NamedTuple):
    """A segment's header."""

    type: int
    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int


class _Section(NamedTuple):
    """A section's header."""

    offset: int
    size: int
    link: int
    entsize: int


class _Elf:
    """One file, and the tables in it.

    Read without pyelftools, which takes 30 ms to import, 15 us for each symbol, and does not check what it reads.
    """

    def __init__(self, file: ImageFile) -> None:
        self._file, self._data = file, file.data
        if len(self._data) < 20 or self._data[4] not in (1, 2) or self._data[5] not in (1, 2):
            raise self._damaged("its header is cut short, or neither 32-bit nor 64-bit")
        self._is_64 = self._data[4] == 2
        self._order = "<" if self._data[5] == 1 else ">"
        self._segments, self._sections = self._tables()

    def firmware(self) -> Firmware:
        name, file = self._file.name, self._file
        number, machine = struct.unpack_from(f"{self._order}HH", self._data, 16)
        if machine != _EM_RISCV:
            raise ConfigError(f"{name}: an executable for {self._machine()}, not for RISC-V")
        kind = _TYPES[number] if number < len(_TYPES) else number
        if kind not in ("ET_EXEC", "ET_DYN"):
            hint = ": link it first" if kind == "ET_REL" else ""
            raise ConfigError(f"{name}: not an executable ({kind}){hint}")
        if self._order != "<":
            raise ConfigError(f"{name}: big-endian; only little-endian RISC-V is supported")
        programs = [self._program(at) for at in self._segments.offsets()]
        loads = [program for program in programs if program.type == _PT_LOAD and program.memsz]
        if not loads:
            raise ConfigError(f"{name}: it has nothing to load (no PT_LOAD segment)")
        spare = self._spare(programs)
        segments = tuple(self._segment(load, spare) for load in loads)
        symbols = self._symbols()
        tohost, xlen = symbols.find("tohost"), 64 if self._is_64 else 32
        return Firmware(
            name, xlen, self._entry(loads), segments, symbols, tohost.address if tohost else None, file
        )  # fmt: skip

    def _machine(self) -> str:
        """What the file is for."""
        from io import BytesIO

        from elftools.elf.elffile import ELFFile

        return str(ELFFile(BytesIO(self._data)).get_machine_arch())

    # ---- tables

    def _tables(self) -> tuple[_Table, _Table]:
        """The tables of segments and sections, found in the header and checked."""
        order = self._order
        word, segment_size, section_size = ("Q", 56, 64) if self._is_64 else ("I", 32, 40)
        if len(self._data) < _HEADER_SIZE[self._is_64]:
            raise self._damaged("its header is cut short")
        fields = struct.unpack_from(f"{order}{word}{word}{word}I6H", self._data, 24)
        _, segments_at, sections_at, _, _, segment_entry, segments, section_entry, sections, _ = fields
        if sections_at and not sections:  # too many for this field: their number is in the first section's header
            self._check_table("section headers", _Table(sections_at, section_entry, 1), section_size, 1)
            sections = struct.unpack_from(f"{order}{word}", self._data, sections_at + (32 if self._is_64 else 20))[0]
        if segments == _PN_XNUM:
            raise ConfigError(f"{self._file.name}: too many segments; an executable has at most {_SEGMENTS_MAX:,}")
        tables = _Table(segments_at, segment_entry, segments), _Table(sections_at, section_entry, sections)
        self._check_table("segments", tables[0], segment_size, _SEGMENTS_MAX)
        self._check_table("sections", tables[1], section_size, _SECTIONS_MAX)
        return tables

    def _check_table(self, what: str, table: _Table, entry_size: int, count_max: int) -> None:
        if not table.count:
            return
        if table.entry_size != entry_size:
            raise self._damaged(f"the table of its {what} has entries of {table.entry_size} bytes, not {entry_size}")
        if table.count > count_max:
            raise ConfigError(f"{self._file.name}: {table.count:,} {what}; at most {count_max:,} are supported")
        self._check_range(f"the table of its {what}", table.offset, table.entry_size * table.count)

    def _check_range(self, what: str, offset: int, size: int) -> None:
        if offset + size > len(self._data):
            raise self._damaged(f"{what} is cut short")

    def _damaged(self, why: str) -> ConfigError:
        return ConfigError(f"{self._file.name}: a damaged ELF file: {why}")

    def _program(self, at: int) -> _Program:
        """One entry of the table of segments."""
        if self._is_64:
            kind, _, offset, vaddr, paddr, filesz, memsz = struct.unpack_from(f"{self._order}II5Q", self._data, at)
        else:
            kind, offset, vaddr, paddr, filesz, memsz = struct.unpack_from(f"{self._order}6I", self._data, at)
        return _Program(kind, offset, vaddr, paddr, filesz, memsz)

    def _section(self, at: int) -> _Section:
        """One entry of the table of sections."""
        layout = "IIQQQQIIQQ" if self._is_64 else "10I"
        _, _, _, _, offset, size, link, _, _, entsize = struct.unpack_from(self._order + layout, self._data, at)
        return _Section(offset, size, link, entsize)

    # ---- segments

    def _segment(self, program: _Program, spare: list[tuple[int, int]]) -> Segment:
        address, offset, size = program.paddr, program.offset, program.filesz
        what = f"the segment at {address:#x}"
        self._check_range(what, offset, size)
        if size > program.memsz:
            raise self._damaged(f"{what} is longer than its memory")
        inside = tuple(
            (max(0, start - offset), min(size, end - offset))
            for start, end in spare if start < offset + size and end > offset
        )  # fmt: skip
        return Segment(address, memoryview(self._data)[offset : offset + size], program.memsz, inside)

    def _spare(self, programs: list[_Program]) -> list[tuple[int, int]]:
        """Ranges of the file that a linker may put into a segment although no program needs them.

        These are headers, notes, and tables for unwinding the stack. A program that unwinds its stack has its tables
        in RAM, where they are loaded anyway.
        """
        notes = [(program.offset, program.filesz) for program in programs if program.type == _PT_NOTE]
        sections = [*self._sections_of_type(_SHT_NOTE), *self._unwind_tables()]
        tables = [(table.offset, table.entry_size * table.count) for table in (self._segments, self._sections)]
        found = [(0, _HEADER_SIZE[self._is_64]), *tables, *notes[:_NOTES_MAX]]
        found += [(section.offset, section.size) for section in sections]
        return [(offset, offset + size) for offset, size in found]

    def _entry(self, loads: list[_Program]) -> int:
        """The entry point's physical address."""
        entry: int = struct.unpack_from(self._order + ("Q" if self._is_64 else "I"), self._data, 24)[0]
        for load in loads:
            if load.vaddr <= entry < load.vaddr + load.memsz:
                return entry - load.vaddr + load.paddr
        return entry

    # ---- sections

    def _sections_of_type(self, kind: int) -> Iterator[_Section]:
        """The headers of the first few sections of a type."""
        code = struct.pack(self._order + "I", kind)
        found = (at for at in self._sections.offsets() if self._data[at + 4 : at + 8] == code)
        return (self._section(at) for at in islice(found, _NOTES_MAX))

    def _unwind_tables(self) -> Iterator[_Section]:
        number = struct.unpack_from(f"{self._order}H", self._data, _HEADER_SIZE[self._is_64] - 2)[0]
        if number == _SHN_XINDEX and self._sections.count:  # too large for its field
            number = self._section(self._sections.offset).link
        if not number < self._sections.count:
            return iter(())
        names_at = self._section(self._sections.offset + number * self._sections.entry_size).offset
        found = (
            at for at in self._sections.offsets()
            if self._data.startswith(_UNWIND_NAMES, names_at + struct.unpack_from(self._order + "I", self._data, at)[0])
        )  # fmt: skip
        return (self._section(at) for at in islice(found, _NOTES_MAX))

    def _symbols(self) -> SymbolTable:
        """The symbols of the symbol table, or else of the dynamic one."""
        for kind in (_SHT_SYMTAB, _SHT_DYNSYM):
            for section in self._sections_of_type(kind):
                debug = DwarfFile(self._data)
                return SymbolTable.of(list(self._symbols_of(section)), (LineTable(debug),), (debug,))
        return SymbolTable()

    def _symbols_of(self, section: _Section) -> Iterator[Symbol]:
        layout = struct.Struct("<IBBHQQ" if self._is_64 else "<IIIBBH")
        offset, size, link = section.offset, section.size, section.link
        self._check_range("its symbol table", offset, size)
        if section.entsize != layout.size or size % layout.size or link >= self._sections.count:
            raise self._damaged("its symbol table is malformed")
        if size // layout.size > _SYMBOLS_MAX:
            raise ConfigError(f"{self._file.name}: more than {_SYMBOLS_MAX:,} symbols; strip the file")
        names = self._section(self._sections.offset + link * self._sections.entry_size)
        self._check_range("the names of its symbols", names.offset, names.size)
        names_at, names_end, names_left = names.offset, names.offset + names.size, _SYMBOL_NAMES_MAX
        file = ""
        for fields in layout.iter_unpack(memoryview(self._data)[offset : offset + size]):
            if self._is_64:
                at, info, _, section_number, address, symbol_size = fields
            else:
                at, address, symbol_size, info, _, section_number = fields
            kind, is_local = info & 0xF, info >> 4 == _STB_LOCAL
            if not section_number or kind not in _STT_READ:
                continue
            start = names_at + at
            limit = min(names_end, start + _SYMBOL_NAME_MAX)
            end = self._data.find(b"\0", start, limit)
            name = self._data[start : limit if end < 0 else end].decode(errors="replace")
            names_left -= len(name)
            if names_left < 0:
                raise ConfigError(f"{self._file.name}: more than 64 MiB of symbol names; strip the file")
            if kind == _STT_FILE:  # it is before the local symbols of that file
                file = name
            elif name and not name.startswith(_HIDDEN_NAMES):
                yield Symbol(address, symbol_size, name, kind == _STT_OBJECT, file if is_local else "")
