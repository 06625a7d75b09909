"""Segments, and symbols by address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.elf_files import RAM

from minstret.emu.images.image import Firmware, Segment, Symbol, SymbolTable

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
