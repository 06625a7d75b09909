"""Types from DWARF: of files that tell too much, too little, or what can't be."""

from __future__ import annotations

import os
import random
import struct
from contextlib import suppress
from io import BytesIO

import pytest
from elftools.elf.elffile import ELFFile
from support.elf_files import RAM, Load, elf_bytes
from support.variables import CLANG, Guest

from minstret.emu.errors import ConfigError
from minstret.emu.images.dwarf import DwarfFile
from minstret.emu.images.image import ImageFile, Segment, Symbol, SymbolTable
from minstret.emu.images.loader import Firmware, load_firmware
from minstret.firmware import image_path

UNIT, VARIABLE, STRUCT, MEMBER, INT, ARRAY, RANGE, POINTER, SKIPPED = range(1, 10)
_STRING, _REF4, _EXPRLOC, _DATA1, _DATA4, _UDATA = 0x08, 0x13, 0x18, 0x0B, 0x06, 0x0F
_ABBREVIATIONS = {
    UNIT: (0x11, True, [(0x03, _STRING)]),
    VARIABLE: (0x34, False, [(0x03, _STRING), (0x49, _REF4), (0x02, _EXPRLOC)]),
    STRUCT: (0x13, True, [(0x0B, _DATA4)]),
    MEMBER: (0x0D, False, [(0x03, _STRING), (0x49, _REF4), (0x38, _DATA1)]),
    INT: (0x24, False, [(0x03, _STRING), (0x3E, _DATA1), (0x0B, _DATA1)]),
    ARRAY: (0x01, True, [(0x49, _REF4)]),
    RANGE: (0x21, False, [(0x37, _UDATA)]),
    POINTER: (0x0F, False, [(0x49, _REF4)]),
    SKIPPED: (0x2E, True, [(0x01, _REF4)]),
}
"""Source: DWARF 5, 7.5: tag, whether it has children, and attributes with their forms."""
HEADER_SIZE = 11


class Dwarf:
    """One unit of DWARF 4, written entry by entry."""

    def __init__(self) -> None:
        self.data = bytearray(bytes((UNIT,)) + b"main.c\0")

    def add(self, code: int, *values: bytes) -> int:
        """Add an entry; gives its offset in the unit."""
        self.data += bytes((code,)) + b"".join(values)
        return HEADER_SIZE + len(self.data) - sum(map(len, values)) - 1

    def end(self) -> None:
        """No more children."""
        self.data.append(0)

    def guest(self, size: int, memory: bytes = bytes(64)) -> Guest:
        """A guest with one variable, ``x``, and ``size`` bytes of it."""
        table = b""
        for code, (tag, has_children, attributes) in _ABBREVIATIONS.items():
            table += bytes((code, tag, has_children, *(part for pair in attributes for part in pair), 0, 0))
        info = struct.pack("<HIB", 4, 0, 8) + bytes(self.data) + b"\0"
        info = struct.pack("<I", len(info)) + info
        file = elf_bytes(
            Load(RAM + 0x1000, info, section=".debug_info"), Load(RAM + 0x2000, table + b"\0", section=".debug_abbrev")
        )  # fmt: skip
        symbols = SymbolTable.of([Symbol(RAM, size, "x", True)], (), (DwarfFile(file),))
        return Guest(Firmware("x", 64, RAM, (Segment(RAM, memory, len(memory)),), symbols))


def text(name: str) -> bytes:
    return name.encode() + b"\0"


def ref(offset: int) -> bytes:
    return struct.pack("<I", offset)


LOCATION = bytes((9, 3)) + struct.pack("<Q", RAM)


def test_structure_with_an_array_and_a_pointer_to_itself() -> None:
    dwarf = Dwarf()
    number = dwarf.add(INT, text("int"), bytes((5, 4)))
    array = dwarf.add(ARRAY, ref(number))
    dwarf.add(RANGE, bytes((3,)))
    dwarf.end()
    node = dwarf.add(STRUCT, struct.pack("<I", 24))
    pointer = HEADER_SIZE + len(dwarf.data) + (1 + 5 + 4 + 1) + (1 + 7 + 4 + 1) + 1
    dwarf.add(MEMBER, text("next"), ref(pointer), bytes((0,)))
    dwarf.add(MEMBER, text("values"), ref(array), bytes((8,)))
    dwarf.end()
    assert dwarf.add(POINTER, ref(node)) == pointer
    dwarf.add(VARIABLE, text("x"), ref(node), LOCATION)
    guest = dwarf.guest(
        24, struct.pack("<QiiiI", RAM + 24, 1, -2, 3, 0) + struct.pack("<QiiiI", 0, 4, 5, 6, 0) + bytes(16)
    )

    assert guest.read("x") == {"next": RAM + 24, "values": [1, -2, 3]}
    assert guest.read("x.next->values[2]") == 6


def test_structure_within_itself_is_a_variable_without_a_type() -> None:
    dwarf = Dwarf()
    node = dwarf.add(STRUCT, struct.pack("<I", 8))
    dwarf.add(MEMBER, text("self"), ref(node), bytes((0,)))
    dwarf.end()
    dwarf.add(VARIABLE, text("x"), ref(node), LOCATION)

    assert dwarf.guest(8).read("x") == 0


def test_structure_of_endless_values_is_not_read() -> None:
    dwarf = Dwarf()
    part = dwarf.add(INT, text("int"), bytes((5, 4)))
    for _ in range(60):
        whole = dwarf.add(STRUCT, struct.pack("<I", 4))
        dwarf.add(MEMBER, text("a"), ref(part), bytes((0,)))
        dwarf.add(MEMBER, text("b"), ref(part), bytes((0,)))
        dwarf.end()
        part = whole
    dwarf.add(VARIABLE, text("x"), ref(part), LOCATION)
    guest = dwarf.guest(4)

    assert guest.problem("x") == "x: 4 bytes are too many at once; name a part"
    assert guest.read("x" + ".a" * 60) == 0


@pytest.mark.parametrize(
    ("size", "offset", "count"), [(4, 1, 1), (8, 0, 1 << 40), (1 << 31, 0, 1), (3, 0, 1), (8, 255, 0)]
)
def test_structure_that_can_not_be_is_a_variable_without_a_type(size: int, offset: int, count: int) -> None:
    dwarf = Dwarf()
    number = dwarf.add(INT, text("int"), bytes((5, 4)))
    array = dwarf.add(ARRAY, ref(number))
    dwarf.add(RANGE, uleb(count))
    dwarf.end()
    node = dwarf.add(STRUCT, struct.pack("<I", size))
    dwarf.add(MEMBER, text("a"), ref(array), bytes((offset,)))
    dwarf.end()
    dwarf.add(VARIABLE, text("x"), ref(node), LOCATION)

    assert dwarf.guest(4, b"\1\2\3\4").read("x") == 0x04030201


def uleb(number: int) -> bytes:
    return bytes(number >> 7 * at & 0x7F | 0x80 for at in range(9)) + b"\0"


def test_array_of_unknown_length_is_as_long_as_its_symbol() -> None:
    dwarf = Dwarf()
    number = dwarf.add(INT, text("int"), bytes((5, 4)))
    array = dwarf.add(ARRAY, ref(number))
    dwarf.end()
    dwarf.add(VARIABLE, text("x"), ref(array), LOCATION)

    assert dwarf.guest(12, bytes(8) + b"\xff" * 4).read("x") == [0, 0, -1]


@pytest.mark.parametrize("sibling", [0, HEADER_SIZE, 20])
def test_sibling_that_leads_back_ends_the_search(sibling: int) -> None:
    dwarf = Dwarf()
    dwarf.add(SKIPPED, ref(sibling))
    dwarf.end()
    number = dwarf.add(INT, text("int"), bytes((5, 4)))
    dwarf.add(VARIABLE, text("x"), ref(number), LOCATION)

    assert dwarf.guest(4, b"\xff" * 64).read("x") == 0xFFFFFFFF


@pytest.mark.parametrize("target", [0, 3, HEADER_SIZE, 1 << 31])
def test_type_that_is_none_gives_a_variable_without_one(target: int) -> None:
    dwarf = Dwarf()
    dwarf.add(VARIABLE, text("x"), ref(target), LOCATION)

    assert dwarf.guest(4, b"\xff" * 64).read("x") == 0xFFFFFFFF


@pytest.mark.parametrize("image", ["clang", "thermostat"])
def test_damaged_file_gives_some_value_or_a_config_error(image: str) -> None:
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    pick, path = random.Random(seed), CLANG if image == "clang" else image_path(image, 32)
    whole, names = path.read_bytes(), ["cfg", "cfg.mode", "head->next->id", "queue", "room.log[3].ms", "rx::calls"]
    places = [(at, at + size) for at, size in debug_sections(whole)]
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(pick.choice((1, 3, 30, 300))):
            data[pick.randrange(*pick.choice(places))] = pick.choice((0, 1, 0x7F, 0x80, 0xFF, pick.randrange(256)))
        try:
            guest = Guest(load_firmware(ImageFile("damaged.elf", bytes(data)), None))
        except ConfigError:
            continue
        for name in names:
            with suppress(ConfigError):
                guest.write(name, guest.read(name))


def debug_sections(data: bytes) -> list[tuple[int, int]]:
    """Where the debug sections are in the file."""

    sections = ELFFile(BytesIO(data)).iter_sections()
    return [(section["sh_offset"], section["sh_size"]) for section in sections if section.name.startswith(".debug")]
