"""DWARF: the debug sections of an ELF file, and the entries of variables and types in them.

pyelftools reads an entry; which entries are read is decided here. A kernel has millions, so one is found by searching
the section for the bytes that it must contain, such as a variable's address, and the unit around them is walked to it.
Files may be damaged: what is here may raise any exception, after a bounded number of entries.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import cached_property
from io import BytesIO
from itertools import islice
from typing import Any, NamedTuple

_UNITS_MAX = 20_000
"""Compilation units that are looked at; a kernel has 4,000."""
_ENTRIES_MAX = 200_000
"""Entries that are read to find one: some seconds."""
_HITS_MAX = 1000
_SECTION_MAX = 256 << 20
"""Bytes that a compressed section may unpack to."""
_ELFCOMPRESS_ZLIB = 1
_SECTIONS = (
    "abbrev", "addr", "aranges", "info", "line", "line_str", "ranges", "rnglists", "str", "str_offsets", "types",
)  # fmt: skip
"""Those that are needed: ``.debug_info`` and so on."""
_OP_ADDR, _OP_ADDRX = 0x03, (0xA1, 0xFB)
"""DW_OP_addr; DW_OP_addrx, and what GNU had before it."""
_REFERENCES = ("DW_FORM_ref1", "DW_FORM_ref2", "DW_FORM_ref4", "DW_FORM_ref8", "DW_FORM_ref_udata")


class Entry(NamedTuple):
    """A debugging information entry of pyelftools, and those around it, the unit's own first."""

    die: Any
    parents: tuple[Any, ...]


class DwarfFile:
    """The debug sections of one ELF file, which is not looked at before somebody asks."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._outlines: dict[int, _Outline] = {}
        self._type_units: dict[int, Any] | None = None

    @cached_property
    def info(self) -> Any:
        """What reads the sections, a ``DWARFInfo``; None where there are none, or the file is damaged."""
        try:
            return _dwarf_of(self._data)
        except OSError:  # the data is in memory: a problem of the host
            raise
        except Exception:  # pyelftools does not check its input: a damaged file can raise any exception
            return None

    def entries_at(self, address: int) -> Iterator[Entry]:
        """The entries whose location is an address: those of variables."""
        size = self.info.config.default_address_size
        if address >> 8 * size:
            return
        wanted = address.to_bytes(size, "little")
        hits = _hits(self._content("info"), bytes((1 + size, _OP_ADDR)) + wanted)
        for unit, index in self._indices("addr", wanted, ("DW_AT_addr_base", "DW_AT_GNU_addr_base")):
            number = _uleb128(index)
            for code in _OP_ADDRX:
                location = bytes((1 + len(number), code)) + number
                hits += _hits(self._content("info"), location, unit.cu_offset, unit.cu_offset + unit.size)
        yield from self._entries("DW_AT_location", sorted(hits))

    def entries_named(self, name: str) -> Iterator[Any]:
        """Entries of a name, among which are those of all types outside of functions."""
        text = name.encode() + b"\0"
        info, strings = self._content("info"), _hits(self._content("str"), text)
        offsets = [offset.to_bytes(4, "little") for offset in strings]
        hits = {hit for wanted in (text, *offsets) for hit in _hits(info, wanted)}
        yield from (entry.die for entry in self._entries("DW_AT_name", sorted(hits)))
        for wanted in offsets:
            for unit, _ in self._indices("str_offsets", wanted, ("DW_AT_str_offsets_base",)):
                yield from (die for die in children(unit.get_top_DIE()) if _is_named(die, name))

    def referred(self, die: Any, attribute: str) -> Any:
        """The entry to which an attribute refers.

        pyelftools knows units of types in .debug_types alone. Source: DWARF 5, 7.5.1.3: since, they are in .debug_info.
        """
        reference = die.attributes[attribute]
        if reference.form == "DW_FORM_ref_sig8":
            if self._type_units is None:
                units = [unit for unit in self._units() if "type_signature" in unit.header]
                self._type_units = {unit["type_signature"]: unit for unit in units}
            unit = self._type_units.get(reference.value)
            if unit is not None:
                return unit.get_DIE_from_refaddr(unit.cu_offset + unit["type_offset"])
        return die.get_DIE_from_attribute(attribute)

    def _indices(self, section: str, wanted: bytes, bases: tuple[str, ...]) -> Iterator[tuple[Any, int]]:
        """Where a value is in the tables that units have in a section: the unit, and the index there.

        Source: DWARF 5, 7.26 and 7.27. clang writes locations and names as such indices.
        """
        places = [at for at in _hits(self._content(section), wanted) if at % 4 == 0]
        tables = sorted(
            (attributes[base].value, unit.cu_offset, unit)
            for unit in (self._units() if places else ()) if (attributes := unit.get_top_DIE().attributes)
            for base in bases if base in attributes
        )  # fmt: skip
        for place in places:
            at = bisect_left(tables, (place + 1,)) - 1
            if at >= 0:
                start, _, unit = tables[at]
                yield unit, (place - start) // len(wanted)

    def _content(self, name: str) -> bytes:
        section = getattr(self.info, f"debug_{name}_sec")
        return b"" if section is None else section.stream.getvalue()

    def _units(self) -> Iterator[Any]:
        return islice(self.info.iter_CUs(), _UNITS_MAX)

    def _entries(self, attribute: str, hits: list[int]) -> Iterator[Entry]:
        """The entries that have this attribute at one of these offsets into the section, which are in order."""
        budget = iter(range(_ENTRIES_MAX))
        for unit in self._units() if hits else ():
            start, end = unit.cu_offset, unit.cu_offset + unit.size
            for hit in hits[bisect_left(hits, start) : bisect_left(hits, end)]:
                outline = self._outlines.setdefault(start, _Outline(unit))
                yield from _path_to(unit, outline.start_of(hit, budget), attribute, hit, budget)


def entries_of(unit: Any) -> Iterator[tuple[Any, int]]:
    """All entries of a unit, in order, and how deep each is."""
    top = unit.get_top_DIE()
    at, end, depth = top.offset, unit.cu_offset + unit.size, 0
    while at < end:
        die = _entry(unit, at)
        at += die.size
        if die.is_null():
            depth -= 1
            continue
        yield die, depth
        depth += bool(die.has_children)


def ranges_of(info: Any, die: Any) -> Iterator[tuple[int, int]]:
    """The addresses of an entry, [start, end) each, in the order of the file."""
    attributes = die.attributes
    low = attributes["DW_AT_low_pc"].value if "DW_AT_low_pc" in attributes else None
    if "DW_AT_ranges" in attributes:
        base = _low_pc(die.cu.get_top_DIE()) if low is None else low
        entries = info.range_lists().get_range_list_at_offset(attributes["DW_AT_ranges"].value, cu=die.cu)
        yield from _ranges(entries, base)
    elif low is not None and "DW_AT_high_pc" in attributes:
        high = attributes["DW_AT_high_pc"]
        yield low, high.value if high.form == "DW_FORM_addr" else low + high.value


def _low_pc(die: Any) -> int:
    return int(die.attributes["DW_AT_low_pc"].value) if "DW_AT_low_pc" in die.attributes else 0


def _ranges(entries: list[Any], base: int) -> Iterator[tuple[int, int]]:
    for entry in entries:
        if hasattr(entry, "base_address"):
            base = entry.base_address
        elif entry.is_absolute:
            yield entry.begin_offset, entry.end_offset
        else:
            yield base + entry.begin_offset, base + entry.end_offset


class _Outline:
    """Where the entries right below that of a unit begin: as far as somebody has asked."""

    def __init__(self, unit: Any) -> None:
        self._unit = unit
        self._starts: list[int] = []

    def start_of(self, offset: int, budget: Iterator[int]) -> int:
        """Where the entry begins that an offset is in, or one below it; behind it if there is none."""
        starts, top = self._starts, self._unit.get_top_DIE()
        if not starts or starts[-1] <= offset:
            ahead = _children(top, starts.pop() if starts else top.offset + top.size, budget)
            for child in ahead:
                starts.append(child.offset)
                if child.offset > offset:
                    break
        at = bisect_right(starts, offset)
        return starts[at - 1] if at else offset + 1


def children(die: Any) -> Iterator[Any]:
    """The entries right below one."""
    return _children(die, die.offset + die.size, iter(range(_ENTRIES_MAX)))


def _children(die: Any, at: int, budget: Iterator[int]) -> Iterator[Any]:
    """The entries right below one, from that at an offset on."""
    depth = 0
    while die.has_children:
        _spend(budget)
        child = _entry(die.cu, at)
        at += child.size
        if child.is_null():
            depth -= 1
            if depth < 0:
                return
            continue
        if not depth:
            yield child
        if child.has_children:
            sibling = _sibling(child)
            at, depth = (at, depth + 1) if sibling is None else (sibling, depth)


def _path_to(unit: Any, at: int, attribute: str, hit: int, budget: Iterator[int]) -> Iterator[Entry]:
    """The entry that has this attribute at the offset ``hit``, if it is the one at ``at`` or below that."""
    parents = [unit.get_top_DIE()]
    while at <= hit and parents:
        _spend(budget)
        die = _entry(unit, at)
        at += die.size
        if die.is_null():
            parents.pop()
            continue
        if attribute in die.attributes and die.attributes[attribute].offset == hit:
            yield Entry(die, tuple(parents))
        if die.has_children:
            sibling = _sibling(die)
            if sibling is None or sibling > hit:
                parents.append(die)
            else:
                at = sibling


def _entry(unit: Any, offset: int) -> Any:
    """The entry at an offset into the section. pyelftools would keep each that it is asked for."""
    from elftools.dwarf.die import DIE

    return DIE(unit, unit.get_top_DIE().stream, offset)


def _sibling(die: Any) -> int | None:
    """Where the next entry of the same parent is, if the entry says so."""
    attribute = die.attributes.get("DW_AT_sibling")
    if attribute is None or attribute.form not in _REFERENCES:
        return None
    offset = int(attribute.value) + int(die.cu.cu_offset)
    if offset <= die.offset + die.size:
        raise ValueError("a sibling that is not behind its entry")
    return offset


def _spend(budget: Iterator[int]) -> None:
    if next(budget, None) is None:
        raise ValueError("too many entries")


def _is_named(die: Any, name: str) -> bool:
    attribute = die.attributes.get("DW_AT_name")
    return attribute is not None and attribute.value == name.encode()


def _hits(content: bytes, wanted: bytes, start: int = 0, end: int | None = None) -> list[int]:
    """Where ``wanted`` is: the first thousand places."""
    found: list[int] = []
    end = len(content) if end is None else end
    at = content.find(wanted, start, end)
    while at >= 0 and len(found) < _HITS_MAX:
        found.append(at)
        at = content.find(wanted, at + 1, end)
    return found


def _uleb128(number: int) -> bytes:
    pieces = bytearray()
    while number >> 7:
        pieces.append(number & 0x7F | 0x80)
        number >>= 7
    pieces.append(number)
    return bytes(pieces)


def _dwarf_of(data: bytes) -> Any:
    """What reads the DWARF sections of a file, or None where it has none."""
    from inspect import signature  # imported here: all of it takes 50 ms

    from elftools.dwarf.dwarfinfo import DebugSectionDescriptor, DwarfConfig, DWARFInfo
    from elftools.elf.elffile import ELFFile

    elf = ELFFile(BytesIO(data))
    names = [name for name in signature(DWARFInfo.__init__).parameters if name.endswith("_sec")]
    sections: dict[str, Any] = dict.fromkeys(names)
    wanted = {f".debug_{name}": f"debug_{name}_sec" for name in _SECTIONS}
    for section in elf.iter_sections():
        name = wanted.get(section.name)
        if name is not None and section["sh_type"] != "SHT_NOBITS":
            content = _unpacked(elf, section, data)
            sections[name] = DebugSectionDescriptor(BytesIO(content), section.name, None, len(content), 0)
    if sections["debug_info_sec"] is None:
        return None
    return DWARFInfo(
        config=DwarfConfig(elf.little_endian, elf.get_machine_arch(), elf.elfclass // 8), **sections
    )  # fmt: skip


def _unpacked(elf: Any, section: Any, data: bytes) -> bytes:
    """What is in a section. Raises an exception of any kind if it can't be unpacked."""
    start, size = section["sh_offset"], section["sh_size"]
    if not section.compressed:
        return data[start : start + size]
    header = elf.structs.Elf_Chdr.parse(data[start : start + elf.structs.Elf_Chdr.sizeof()])
    if header["ch_type"] not in (_ELFCOMPRESS_ZLIB, "ELFCOMPRESS_ZLIB") or header["ch_size"] > _SECTION_MAX:
        raise ValueError("packed in another way, or too large")
    packed = data[start + elf.structs.Elf_Chdr.sizeof() : start + size]
    return zlib.decompressobj().decompress(packed, header["ch_size"])
