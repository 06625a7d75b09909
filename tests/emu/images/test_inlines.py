"""Copies of functions within others, from the debug information of bundled images."""

from __future__ import annotations

from minstret.emu.images.dwarf import DwarfFile
from minstret.emu.images.inlines import inlined_in
from minstret.emu.images.loader import load_firmware
from minstret.firmware import image_path


def file_of(image: str) -> DwarfFile:
    return load_firmware(image_path(image, 64), None).symbols.debug[0]


def test_copies_are_found_with_what_they_are_in() -> None:
    copies = list(inlined_in(file_of("hello")))
    names = [copy.name for copy in copies]
    assert {"finish", "put_format", "put_char", "put_conversion"} <= set(names)
    char = copies[names.index("put_char")]
    assert copies[char.within].name == "put_format"
    [(start, end)] = char.ranges
    assert any(low <= start < end <= high for low, high in copies[char.within].ranges)


def test_outermost_copy_is_in_none() -> None:
    finish = next(copy for copy in inlined_in(file_of("hello")) if copy.name == "finish")
    assert finish.within == -1


def test_copies_that_the_linker_has_thrown_away_are_left_out() -> None:
    assert all(start > 0 for copy in inlined_in(file_of("hello")) for start, _ in copy.ranges)


def test_damaged_file_has_what_is_before_the_damage() -> None:
    data = load_firmware(image_path("hello", 64), None).file
    assert data is not None
    whole = len(list(inlined_in(DwarfFile(data.data))))
    for cut in range(1000, len(data.data), 3000):
        assert len(list(inlined_in(DwarfFile(data.data[:cut])))) <= whole
    assert list(inlined_in(DwarfFile(b"no ELF file"))) == []
