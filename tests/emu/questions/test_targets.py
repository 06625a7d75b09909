"""What is asked about: addresses and names, as a hart sees them."""

from __future__ import annotations

import pytest

from minstret.emu.images.types import Array, Character, Enumeration, Integer, Member, Pointer, Struct, untyped
from minstret.emu.questions.targets import Target, part_of, value_text

U32, CHAR = Integer("unsigned int", 4), Character("char", 1)
INNER = Struct("struct inner", 8, (Member("a", 0, U32), Member("b", 4, U32)))
OUTER = Struct("struct outer", 40, (Member("list", 0, Array.of(INNER, 4)), Member("name", 32, Array.of(CHAR, 8))))


@pytest.mark.parametrize(
    ("offset", "size", "path", "begin"),
    [
        (0, 4, "v.list[0].a", 0), (12, 4, "v.list[1].b", 12), (13, 1, "v.list[1].b", 12), (8, 8, "v.list[1]", 8),
        (35, 1, "v.name[3]", 35), (34, 2, "v.name", 32), (30, 4, "v", 0), (4, 8, "v.list", 0),
    ],
)  # fmt: skip
def test_smallest_part_that_has_the_bytes(offset: int, size: int, path: str, begin: int) -> None:
    assert part_of(OUTER, "v", offset, size)[::2] == (path, begin)


@pytest.mark.parametrize(
    ("data", "kind", "text"),
    [
        (b"\x29", None, "0x29"), (b"\x01\x02", None, "0x0201"), (b"abc", None, "616263"),
        (b"\x05\0\0\0", U32, "5"), (b"\xe8\x03\0\0", U32, "1,000 (0x3e8)"), (b"a", CHAR, "0x61"),
        (b"\xff\xff\xff\xff", Integer("int", 4, True), "-1"),
        (b"\xf0\xff\xff\xff", Integer("int", 4, True), "-16 (0xfffffff0)"),
        (b"\x01\0\0\0", Enumeration("enum mode", 4, False, {"OFF": 0, "ON": 1}), "ON (1)"),
        (b"\0\x10\0\x80\0\0\0\0", Pointer("void *", 8, target=lambda: untyped(0)), "0x80001000"),
        (bytes(40), OUTER, f"{'00000000 ' * 7}00000000 ..."),
    ],
)  # fmt: skip
def test_values_read_by_their_type(data: bytes, kind: object, text: str) -> None:
    assert value_text(data, kind) == text  # type: ignore[arg-type]


def test_target_knows_its_bytes() -> None:
    target = Target("v", 0xFF8, 16, ((0x8000_0FF8, 8), (0x8000_5000, 8)))
    assert [target.offset_of(at) for at in (0x8000_0FF8, 0x8000_0FFF, 0x8000_1000, 0x8000_5001)] == [0, 7, None, 9]
    assert target.overlaps(0x8000_4FFF, 2)
    assert not target.overlaps(0x8000_1000, 0x4000)
    assert str(target) == "v (0xff8, 16 bytes)"
