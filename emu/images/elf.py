"""Reads ELF executables: the segments to load, and the symbols.

Every size, count and offset in a file is checked against the file before it is used. So whatever a file contains, the
time and memory to read it are bounded by its size.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from typing import Any

from elftools.common.utils import struct_parse
from elftools.elf.enums import ENUM_SH_TYPE_BASE
from elftools.elf.structs import ELFStructs  # the class ELFFile would import all that reads DWARF: 30 ms

from minstret.emu.errors import ConfigError
from minstret.emu.images.dwarf import DwarfFile
from minstret.emu.images.image import Firmware, ImageFile, Segment, Symbol, SymbolTable
from minstret.emu.images.lines import LineTable

MAGIC = b"\x7fELF"

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
    except Exception as error:  # pyelftools does not check its input: a damaged file can raise any exception
        raise ConfigError(f"{file.name}: a damaged ELF file: {error}") from None


@dataclass(frozen=True, slots=True)
class _Table:
    """Where a table of headers is."""

    offset: int
    entry_size: int
    count: int

    def offsets(self) -> Iterator[int]:
        return iter(range(self.offset, self.offset + self.entry_size * self.count, self.entry_size or 1))


class _Elf:
    """One file, and the tables in it."""

    def __init__(self, file: ImageFile) -> None:
        self._file, self._data = file, file.data
        if len(self._data) < 20 or self._data[4] not in (1, 2) or self._data[5] not in (1, 2):
            raise self._damaged("its header is cut short, or neither 32-bit nor 64-bit")
        self._is_64 = self._data[4] == 2
        self._order = "<" if self._data[5] == 1 else ">"
        self._segments, self._sections = self._tables()
        self._stream = BytesIO(self._data)
        self._structs = ELFStructs(little_endian=self._order == "<", elfclass=64 if self._is_64 else 32)
        self._structs.create_basic_structs()
        self._elf = self._header("Elf_Ehdr", 0)
        self._structs.create_advanced_structs(
            self._elf["e_type"], self._elf["e_machine"], self._elf["e_ident"]["EI_OSABI"]
        )

    def firmware(self) -> Firmware:
        name, elf, file = self._file.name, self._elf, self._file
        if elf["e_machine"] != "EM_RISCV":
            raise ConfigError(f"{name}: an executable for {self._machine()}, not for RISC-V")
        if elf["e_type"] not in ("ET_EXEC", "ET_DYN"):
            hint = ": link it first" if elf["e_type"] == "ET_REL" else ""
            raise ConfigError(f"{name}: not an executable ({elf['e_type']}){hint}")
        if self._order != "<":
            raise ConfigError(f"{name}: big-endian; only little-endian RISC-V is supported")
        programs = [self._header("Elf_Phdr", at) for at in self._segments.offsets()]
        loads = [program for program in programs if program["p_type"] == "PT_LOAD" and program["p_memsz"]]
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
        from elftools.elf.elffile import ELFFile

        return str(ELFFile(self._stream).get_machine_arch())

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

    def _header(self, kind: str, offset: int) -> Any:
        """One entry of a table."""
        return struct_parse(getattr(self._structs, kind), self._stream, stream_pos=offset)

    # ---- segments

    def _segment(self, program: Any, spare: list[tuple[int, int]]) -> Segment:
        address, offset, size = program["p_paddr"], program["p_offset"], program["p_filesz"]
        what = f"the segment at {address:#x}"
        self._check_range(what, offset, size)
        if size > program["p_memsz"]:
            raise self._damaged(f"{what} is longer than its memory")
        inside = tuple(
            (max(0, start - offset), min(size, end - offset))
            for start, end in spare if start < offset + size and end > offset
        )  # fmt: skip
        return Segment(address, memoryview(self._data)[offset : offset + size], program["p_memsz"], inside)

    def _spare(self, programs: list[Any]) -> list[tuple[int, int]]:
        """Ranges of the file that a linker may put into a segment although no program needs them.

        These are headers, notes, and tables for unwinding the stack. A program that unwinds its stack has its tables
        in RAM, where they are loaded anyway.
        """
        notes = [(program["p_offset"], program["p_filesz"]) for program in programs if program["p_type"] == "PT_NOTE"]
        sections = [*self._sections_of_type("SHT_NOTE"), *self._unwind_tables()]
        tables = [(table.offset, table.entry_size * table.count) for table in (self._segments, self._sections)]
        found = [(0, _HEADER_SIZE[self._is_64]), *tables, *notes[:_NOTES_MAX]]
        found += [(section["sh_offset"], section["sh_size"]) for section in sections]
        return [(offset, offset + size) for offset, size in found]

    def _entry(self, loads: list[Any]) -> int:
        """The entry point's physical address."""
        entry: int = self._elf["e_entry"]
        for load in loads:
            if load["p_vaddr"] <= entry < load["p_vaddr"] + load["p_memsz"]:
                return int(entry - load["p_vaddr"] + load["p_paddr"])
        return entry

    # ---- sections

    def _sections_of_type(self, kind: str) -> Iterator[Any]:
        """The headers of the first few sections of a type."""
        code = struct.pack(self._order + "I", ENUM_SH_TYPE_BASE[kind])
        found = (at for at in self._sections.offsets() if self._data[at + 4 : at + 8] == code)
        return (self._header("Elf_Shdr", at) for at in islice(found, _NOTES_MAX))

    def _unwind_tables(self) -> Iterator[Any]:
        number = self._elf["e_shstrndx"]
        if number == _SHN_XINDEX and self._sections.count:  # too large for its field
            number = self._header("Elf_Shdr", self._sections.offset)["sh_link"]
        if not number < self._sections.count:
            return iter(())
        names_at = self._header("Elf_Shdr", self._sections.offset + number * self._sections.entry_size)["sh_offset"]
        found = (
            at for at in self._sections.offsets()
            if self._data.startswith(_UNWIND_NAMES, names_at + struct.unpack_from(self._order + "I", self._data, at)[0])
        )  # fmt: skip
        return (self._header("Elf_Shdr", at) for at in islice(found, _NOTES_MAX))

    def _symbols(self) -> SymbolTable:
        """The symbols of the symbol table, or else of the dynamic one.

        Read without pyelftools, which takes 15 us for each symbol and does not limit the length of names.
        """
        for kind in ("SHT_SYMTAB", "SHT_DYNSYM"):
            for section in self._sections_of_type(kind):
                debug = DwarfFile(self._data)
                return SymbolTable.of(list(self._symbols_of(section)), (LineTable(debug),), (debug,))
        return SymbolTable()

    def _symbols_of(self, section: Any) -> Iterator[Symbol]:
        layout = struct.Struct("<IBBHQQ" if self._is_64 else "<IIIBBH")
        offset, size, link = section["sh_offset"], section["sh_size"], section["sh_link"]
        self._check_range("its symbol table", offset, size)
        if section["sh_entsize"] != layout.size or size % layout.size or link >= self._sections.count:
            raise self._damaged("its symbol table is malformed")
        if size // layout.size > _SYMBOLS_MAX:
            raise ConfigError(f"{self._file.name}: more than {_SYMBOLS_MAX:,} symbols; strip the file")
        names = self._header("Elf_Shdr", self._sections.offset + link * self._sections.entry_size)
        self._check_range("the names of its symbols", names["sh_offset"], names["sh_size"])
        names_at, names_end, names_left = names["sh_offset"], names["sh_offset"] + names["sh_size"], _SYMBOL_NAMES_MAX
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
