"""C types: bytes to values and back."""

from __future__ import annotations

import struct

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minstret.emu.errors import ConfigError
from minstret.emu.images.types import (
    VOID,
    Array,
    BitField,
    Boolean,
    Character,
    CType,
    Enumeration,
    Float,
    Integer,
    Member,
    Pointer,
    Raw,
    Struct,
    listed,
    untyped,
)

INTEGERS = st.builds(Integer, st.just("int"), st.sampled_from((1, 2, 4, 8, 16)), st.booleans())
SCALARS = st.one_of(
    INTEGERS,
    st.builds(Float, st.just("float"), st.sampled_from((2, 4, 8))),
    st.builds(Character, st.just("char"), st.just(1), st.booleans()),
    st.builds(Enumeration, st.just("enum"), st.sampled_from((1, 4)), st.booleans(), st.just({"ON": 1})),
    st.builds(Raw, st.just("raw"), st.integers(0, 5)),
)


@st.composite
def bit_fields(draw: st.DrawFn) -> BitField:
    base = draw(INTEGERS)
    bits, shift = draw(st.integers(1, 8 * base.size)), draw(st.integers(0, 7))
    return BitField("bits", (shift + bits + 7) // 8, base, shift, bits)


@st.composite
def structs(draw: st.DrawFn, parts: st.SearchStrategy[CType]) -> Struct:
    """Members one after the other with gaps, or, in a union, over each other."""
    types, is_union = draw(st.lists(st.one_of(parts, bit_fields()), max_size=4)), draw(st.booleans())
    members, at = [], 0
    for number, kind in enumerate(types):
        members.append(Member(f"m{number}", 0 if is_union else at, kind))
        at += kind.size + draw(st.integers(0, 2))
    return Struct("struct", sum(kind.size + 2 for kind in types), tuple(members))


TYPES = st.recursive(
    SCALARS, lambda parts: structs(parts) | st.builds(Array.of, parts, st.integers(0, 3)), max_leaves=8
)  # fmt: skip


@given(TYPES, st.data())
def test_what_is_decoded_is_encoded_as_the_same_bytes(kind: CType, data: st.DataObject) -> None:
    before = data.draw(st.binary(min_size=kind.size, max_size=kind.size))
    value = kind.decode(before)
    assume("nan" not in repr(value))

    assert kind.encode(value, before, "x") == before


@given(INTEGERS, st.data())
def test_integer_takes_what_fits_and_nothing_else(kind: Integer, data: st.DataObject) -> None:
    value = data.draw(st.integers(-(1 << 129), 1 << 129))
    low = -(1 << 8 * kind.size - 1) if kind.is_signed else 0
    if low <= value < low + (1 << 8 * kind.size):
        assert kind.decode(kind.encode(value, bytes(kind.size), "x")) == value
    else:
        with pytest.raises(ConfigError, match=f"x: int holds {low} to "):
            kind.encode(value, bytes(kind.size), "x")


@given(bit_fields(), st.data())
def test_bit_field_leaves_other_bits(kind: BitField, data: st.DataObject) -> None:
    old, new = (data.draw(st.binary(min_size=kind.size, max_size=kind.size)) for _ in range(2))
    mask = (1 << kind.bits) - 1 << kind.shift

    written = int.from_bytes(kind.encode(kind.decode(new), old, "x"), "little")

    assert written & mask == int.from_bytes(new, "little") & mask
    assert written & ~mask == int.from_bytes(old, "little") & ~mask


def test_bool_is_a_bool_unless_memory_has_something_else() -> None:
    kind = Boolean("_Bool", 1)

    assert kind.decode(b"\1") is True
    assert kind.decode(b"\0") is False
    assert kind.decode(b"\7") == 7


@pytest.mark.parametrize(("size", "code"), [(2, "<e"), (4, "<f"), (8, "<d")])
def test_float_of_each_size(size: int, code: str) -> None:
    assert Float.of("float", size).encode(-1.5, bytes(size), "x") == struct.pack(code, -1.5)
    assert Float.of("long double", 16) == Raw("long double", 16)


def test_void_is_neither_read_nor_written() -> None:
    with pytest.raises(ConfigError, match=r"^a value of type void can't be read$"):
        VOID.decode(b"")
    with pytest.raises(ConfigError, match=r"^x: a value of type void can't be written$"):
        VOID.encode(1, b"", "x")


def test_values_are_counted_without_making_them() -> None:
    node: CType = Integer("int", 4)
    for _ in range(200):
        node = Struct("union", 4, (Member("a", 0, node), Member("b", 0, node)))

    assert node.values > 1 << 200
    assert Array.of(Character("char", 1), 1 << 40).values == 1
    assert Array.of(VOID, 1 << 40).values == 1 << 40


def test_dimensions_are_named_as_in_c() -> None:
    assert Array.of(Array.of(Integer("int", 4), 3), 2).name == "int[2][3]"
    assert Array.of(Integer("int", 4), 0).name == "int[]"


def test_pointer_is_an_address_and_may_lead_to_its_own_type() -> None:
    node: Pointer = Pointer("node *", 4, target=lambda: node)

    assert node.decode(b"\0\0\0\x80") == 0x8000_0000
    assert node.target() is node


def test_size_alone_gives_an_integer_or_bytes() -> None:
    assert untyped(8).decode(b"\xff" * 8) == (1 << 64) - 1
    assert untyped(3).decode(b"abc") == b"abc"


def test_many_names_are_cut_in_messages() -> None:
    assert listed([str(number) for number in range(25)]).endswith("18, 19 and 5 more")
