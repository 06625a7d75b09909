"""State as plain values, and its canonical bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minstret.emu.state import canonical_bytes, copied, from_plain, to_plain


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 0
    HIGH = 7


@dataclass(slots=True)
class Inner:
    count: int = 0
    data: bytes = b""


@dataclass(slots=True)
class Outer:
    flag: bool = False
    name: str = ""
    maybe: int | None = None
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    inner: Inner = field(default_factory=Inner)
    inners: list[Inner] = field(default_factory=list)
    pair: tuple[int, bytes] = (0, b"")
    many: tuple[int, ...] = ()
    by_number: dict[int, Inner] = field(default_factory=dict)
    buffer: bytearray = field(default_factory=bytearray)
    maybe_inner: Inner | None = None


inners = st.builds(Inner, st.integers(0, 1 << 64), st.binary(max_size=8))
outers = st.builds(
    Outer,
    st.booleans(), st.text(max_size=8), st.none() | st.integers(), st.sampled_from(Colour), st.sampled_from(Level),
    inners, st.lists(inners, max_size=3), st.tuples(st.integers(), st.binary(max_size=4)),
    st.lists(st.integers(), max_size=3).map(tuple), st.dictionaries(st.integers(0, 99), inners, max_size=3),
    st.binary(max_size=5).map(bytearray), st.none() | inners,
)  # fmt: skip


@given(outers)
def test_state_comes_back_from_plain_values_through_json(state: Outer) -> None:
    plain = json.loads(json.dumps(to_plain(state)))

    back = from_plain(Outer, plain)

    assert back == state
    assert type(back.buffer) is bytearray
    assert type(back.level) is Level
    assert type(back.many) is tuple
    assert canonical_bytes(back) == canonical_bytes(state)


@given(outers, outers)
def test_canonical_bytes_are_equal_exactly_for_equal_states(one: Outer, other: Outer) -> None:
    assert (canonical_bytes(one) == canonical_bytes(other)) == (one == other)


def test_canonical_bytes_are_these() -> None:
    assert canonical_bytes(Inner(5, b"\x00\xff")) == b'{"count":5,"data":{"hex":"00ff"}}'


def test_canonical_bytes_do_not_depend_on_the_order_of_a_dict() -> None:
    assert canonical_bytes({"b": 1, "a": 2}) == canonical_bytes({"a": 2, "b": 1}) == b'{"a":2,"b":1}'


def test_canonical_bytes_tell_a_flag_from_a_number() -> None:
    assert canonical_bytes([True, False]) != canonical_bytes([1, 0])


def test_plain_values_of_a_state_share_nothing_with_it() -> None:
    state = Outer(inners=[Inner(1)], buffer=bytearray(b"a"))
    plain = to_plain(state)
    before = json.dumps(plain)

    state.inners[0].count = 2
    state.inners.append(Inner(3))
    state.buffer += b"b"

    assert json.dumps(plain) == before


@pytest.mark.parametrize("value", [1.5, {1, 2}, object(), Inner, memoryview(b"a")])
def test_what_a_state_may_not_hold_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="a state can't hold a"):
        to_plain([value])


@pytest.mark.parametrize(
    "plain", [{}, {"count": 1}, {"count": 1, "data": {"hex": ""}, "more": 1}, {"count": 1, "date": {"hex": ""}}]
)
def test_plain_values_with_other_fields_are_refused(plain: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Inner: expected the fields \['count', 'data'\], got"):
        from_plain(Inner, plain)


def test_tuple_of_another_length_is_refused() -> None:
    plain = to_plain(Outer())
    plain["pair"] = [1, {"hex": ""}, 3]

    with pytest.raises(ValueError):
        from_plain(Outer, plain)


def test_canonical_bytes_do_not_depend_on_the_hash_seed() -> None:
    code = "from minstret.emu.state import canonical_bytes; print(canonical_bytes(dict.fromkeys('xyzabc', 1)))"

    outputs = {
        subprocess.check_output([sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed})
        for seed in ("0", "1", "4242")
    }

    assert outputs == {b'b\'{"a":1,"b":1,"c":1,"x":1,"y":1,"z":1}\'\n'}


@dataclass
class Loose:
    """A user's, without slots."""

    items: list[int] = field(default_factory=list)


@pytest.mark.parametrize(
    "value",
    [Outer(inner=Inner(3, b"x")), Inner(1), [[1, 2], [b"3", None]], {"a": [1]}, Loose([1]), Colour.RED, (1, [2])],
)
def test_copy_is_equal_and_shares_nothing_that_changes(value: Any) -> None:
    copy = copied(value)
    assert copy == value
    assert type(copy) is type(value)
    if isinstance(value, Outer):
        assert copy.inner is not value.inner
    if isinstance(value, list | Loose | dict):
        assert copy is not value


def test_copy_of_a_dataclass_with_more_than_its_fields_has_these_too() -> None:
    loose = Loose([1])
    loose.more = [2]  # type: ignore[attr-defined]
    copy = copied(loose)
    assert copy.more == [2]  # type: ignore[attr-defined]
    assert copy.items is not loose.items
