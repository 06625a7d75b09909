"""Which entries of DWARF are found, and how many are read for it."""

from __future__ import annotations

import pytest
from elftools.elf.elffile import ELFFile
from support.elf_files import RAM, Load, elf_bytes
from support.variables import CLANG

from minstret.emu.images.dwarf import DwarfFile, children
from minstret.emu.images.loader import load_firmware
from minstret.firmware import image_path


def file_of(image: str) -> DwarfFile:
    return DwarfFile(CLANG.read_bytes() if image == "clang" else image_path(image, 64).read_bytes())


def address_of(image: str, name: str) -> int:
    return load_firmware(CLANG if image == "clang" else image_path(image, 64), None).symbols[name].address


@pytest.mark.parametrize(("image", "name"), [("clang", "queue"), ("clang", "rx.calls"), ("thermostat", "room")])
def test_variable_is_found_by_its_address_with_what_it_is_in(image: str, name: str) -> None:
    (entry,) = file_of(image).entries_at(address_of(image, name))

    assert entry.die.tag == "DW_TAG_variable"
    assert entry.die.attributes["DW_AT_name"].value.decode() == name.rpartition(".")[2]
    tags = ["DW_TAG_compile_unit", "DW_TAG_subprogram"] if "." in name else ["DW_TAG_compile_unit"]
    assert [parent.tag for parent in entry.parents] == tags


def test_address_of_no_variable_has_no_entry() -> None:
    file = file_of("thermostat")

    assert [*file.entries_at(address_of("thermostat", "main"))] == []
    assert [*file.entries_at(1 << 64)] == []


@pytest.mark.parametrize("image", ["clang", "thermostat"])
def test_structure_is_found_by_its_name(image: str) -> None:
    name = {"clang": "opaque", "thermostat": "ring"}[image]

    found = [die for die in file_of(image).entries_named(name) if die.tag == "DW_TAG_structure_type"]

    assert any("DW_AT_declaration" not in die.attributes for die in found)
    whole = next(die for die in found if "DW_AT_declaration" not in die.attributes)
    names = [child.attributes["DW_AT_name"].value.decode() for child in children(whole)]
    assert names == {"clang": ["secret"], "thermostat": ["bytes", "put", "taken"]}[image]


@pytest.mark.parametrize("data", [b"", b"\x7fELF", elf_bytes(Load(RAM, bytes(16)), symbols={})])
def test_file_without_debug_sections_has_none(data: bytes) -> None:
    assert DwarfFile(data).info is None


def test_only_the_unit_of_a_variable_is_read() -> None:
    with image_path("thermostat", 64).open("rb") as stream:
        sections = {section.name: section.data() for section in ELFFile(stream).iter_sections()}
    (entry,) = file_of("thermostat").entries_at(address_of("thermostat", "rx_count"))
    info = bytearray(sections[".debug_info"])
    for unit in file_of("thermostat").info.iter_CUs():
        if unit.cu_offset != entry.die.cu.cu_offset:
            info[unit.cu_die_offset : unit.cu_offset + unit.size] = b"\xff" * (unit.size - 11)
    names = (".debug_info", ".debug_abbrev", ".debug_str")
    loads = [Load(RAM + at, bytes(info) if not at else sections[name], section=name) for at, name in enumerate(names)]

    (found,) = DwarfFile(elf_bytes(*loads)).entries_at(address_of("thermostat", "rx_count"))

    assert found.die.offset == entry.die.offset
