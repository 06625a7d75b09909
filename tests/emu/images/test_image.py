"""Segments, and symbols by address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.elf_files import RAM

from minstret.emu.errors import ConfigError
from minstret.emu.images.image import Extent, Firmware, Segment, Symbol, SymbolTable
from minstret.emu.images.loader import load_firmware
from minstret.firmware import image_path

TABLE = SymbolTable.of(
    [
        Symbol(0x120, 0, "label"),
        Symbol(0x100, 0x20, "first"),
        Symbol(0x100, 0, "_start"),
        Symbol(0x200, 0x10, "second"),
    ]
)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (0xFF, ""), (0x100, "first"), (0x11F, "first+0x1f"), (0x120, "label"), (0x1FF, "label+0xdf"),
        (0x200, "second"), (0x20F, "second+0xf"), (0x210, ""), (1 << 63, ""),
    ],
)  # fmt: skip
def test_address_is_described_by_the_symbol_it_lies_in(address: int, text: str) -> None:
    assert TABLE.describe(address) == text


def test_label_names_nothing_that_is_far_behind_it() -> None:
    last = SymbolTable.of([Symbol(RAM, 0, "stack_top")])

    assert last.describe(RAM + 0xF_FFFF) == "stack_top+0xfffff"
    assert last.describe(RAM + 0x10_0000) == ""


def test_extent_of_a_function_is_what_its_symbol_says_or_goes_up_to_the_next() -> None:
    assert TABLE.extent(0x11F) == Extent(0x100, 0x120, is_sized=True)
    assert TABLE.extent(0x1FF) == Extent(0x120, 0x200, is_sized=False)
    assert TABLE.extent(0xFF) is TABLE.extent(0x210) is None
    assert SymbolTable.of([Symbol(0x100, 8, "data", is_object=True)]).extent(0x100) is None


def test_empty_table_describes_nothing() -> None:
    assert SymbolTable().describe(0x100) == ""
    assert SymbolTable().find("main") is None


@given(st.lists(st.builds(Symbol, st.integers(0, 40), st.integers(0, 20), st.sampled_from("abc")), max_size=8))
def test_order_of_symbols_in_the_file_does_not_matter(symbols: list[Symbol]) -> None:
    forward, backward = SymbolTable.of(symbols), SymbolTable.of(symbols[::-1])

    assert [forward.describe(at) for at in range(64)] == [backward.describe(at) for at in range(64)]


def test_tables_of_several_files_are_one() -> None:
    other = Firmware("kernel", 64, 0x400, (), SymbolTable.of([Symbol(0x400, 8, "kernel_start")]))

    both = TABLE.with_others(None, other)

    assert (both.describe(0x404), both.describe(0x11F)) == ("kernel_start+0x4", "first+0x1f")
    assert TABLE.with_others(None) is TABLE
    assert other.symbols.find("first") is None


def test_source_lines_of_several_files_are_asked_one_after_the_other() -> None:
    one, two = (load_firmware(image_path(name), None) for name in ("hello", "paging-s"))
    both = one.symbols.with_others(two)

    for firmware in (one, two):
        address = firmware.symbols.find("main")
        assert address is not None
        assert both.source(address.address) == firmware.symbols.source(address.address) is not None
    assert SymbolTable().source(RAM) is None


# ---- segments


def test_segment_needs_what_is_neither_zero_nor_spare() -> None:
    data = bytearray(100)
    data[10:20], data[50] = b"header....", 1
    segment = Segment(RAM, bytes(data), 200, spare=((8, 20), (60, 100)))

    assert [segment.needs(*where) for where in ((0, 50), (0, 51), (50, 51), (51, 100), (20, 20))] == [
        False, True, True, False, False,
    ]  # fmt: skip
    assert Segment(RAM, bytes(data), 200).needs(0, 20)


def test_segment_without_its_head_begins_behind_it() -> None:
    rest = Segment(RAM, b"headbody", 16).without_head(4)

    assert (rest.address, bytes(rest.data), rest.size, rest.end) == (RAM + 4, b"body", 12, RAM + 16)


def test_table_is_a_mapping_of_names() -> None:
    assert TABLE["first"] == Symbol(0x100, 0x20, "first")
    assert "second" in TABLE
    assert "third" not in TABLE
    assert 0x100 not in TABLE
    assert [*TABLE] == ["_start", "first", "label", "second"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("secnd", "secnd: no such symbol: did you mean second?"),
        ("START", "START: no such symbol: did you mean _start?"),
        ("nothing", "nothing: no such symbol"),
        ("", ": no such symbol"),
        ("\x1b", "\\x1b: no such symbol"),
    ],
)
def test_name_that_is_not_there_is_refused_with_those_like_it(name: str, problem: str) -> None:
    with pytest.raises(ConfigError) as raised:
        TABLE[name]
    assert str(raised.value) == problem


def test_table_without_symbols_says_so() -> None:
    with pytest.raises(
        ConfigError, match="main: no such symbol: the image has no symbols; boot an ELF file that is not"
    ):
        SymbolTable()["main"]


def test_names_of_a_whole_kernel_are_searched_in_no_time() -> None:
    kernel = SymbolTable.of([Symbol(RAM + at, 1, f"function_{at}") for at in range(200_000)])

    assert kernel.hint("function_x").startswith(": did you mean function_")


def test_symbols_of_one_name_are_all_found() -> None:
    count, other = Symbol(0x100, 4, "count", True, "a.c"), Symbol(0x200, 4, "count", True, "b.c")

    assert SymbolTable.of([other, count]).named("count") == [count, other]
    assert SymbolTable.of([other, count])["count"] == count
