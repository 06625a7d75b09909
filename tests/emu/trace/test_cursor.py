"""Cursors: what comes next, and going back to where one was."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.written_traces import START, at, end_at, ticks, writer_at

from minstret.emu.trace.cursor import ItemCursor, OutputCursor
from minstret.emu.trace.format import CHUNK_MAX, Kind
from minstret.emu.trace.reader import TraceReader

STREAMS = ("uart0.tx", "net0.tx", "monitor")


@pytest.fixture
def long_trace(path: Path) -> TraceReader:
    """Checkpoints in two rows, and an event behind them."""
    writer = writer_at(path)
    end = ticks(writer, CHUNK_MAX + 100)
    writer.add_event(Kind.EVENT, end, "uart0.rx", b"x", 0)
    writer.finish(end_at(end), end)
    return TraceReader(str(path))


# ---- items


def test_items_are_taken_in_order_up_to_the_end(long_trace: TraceReader) -> None:
    cursor, taken = ItemCursor(long_trace), []
    while cursor.next is not None:
        taken.append(cursor.take())

    assert taken == list(long_trace.items())
    assert cursor.tell() == len(taken)


@pytest.mark.parametrize("seq", [0, 1, CHUNK_MAX - 1, CHUNK_MAX, CHUNK_MAX + 1, CHUNK_MAX + 100])
def test_item_cursor_goes_to_earlier_and_later_items(long_trace: TraceReader, seq: int) -> None:
    cursor = ItemCursor(long_trace, 50)
    for elsewhere in (0, CHUNK_MAX + 99):
        cursor.seek(elsewhere)
        cursor.take()

        cursor.seek(seq)

        assert cursor.tell() == seq
        assert cursor.next == next(long_trace.items(seq))


def test_items_ahead_are_looked_at_without_going_past_them(long_trace: TraceReader) -> None:
    cursor = ItemCursor(long_trace, 10)
    ahead = cursor.ahead()

    seen = [next(ahead).seq for _ in range(5)]

    assert (seen, cursor.tell()) == ([10, 11, 12, 13, 14], 10)
    assert [cursor.take().seq for _ in range(7)] == [10, 11, 12, 13, 14, 15, 16]
    assert [item.seq for item in cursor.ahead()] == list(range(17, CHUNK_MAX + 101))


def test_nothing_is_taken_at_the_end(long_trace: TraceReader) -> None:
    cursor = ItemCursor(long_trace, CHUNK_MAX + 101)

    assert cursor.next is None
    with pytest.raises(AssertionError, match="no item 4197"):
        cursor.take()


# ---- outputs


def trace_with_outputs(path: Path, outputs: list[tuple[str, bytes]]) -> TraceReader:
    """Each a row of its own, at icount 10, 20, 30 ..."""
    writer = writer_at(path)
    for number, (stream, data) in enumerate(outputs, start=1):
        writer.add_output(stream, at(10 * number), data, is_message=True)
    end = at(10 * len(outputs) + 10)
    writer.finish(end_at(end), end)
    return TraceReader(str(path))


def test_bytes_of_an_output_are_taken_in_pieces(path: Path) -> None:
    cursor = OutputCursor(trace_with_outputs(path, [("uart0.tx", b"hello"), ("uart0.tx", b"world")]))

    assert cursor.next("uart0.tx", 2) == b"he"
    cursor.take("uart0.tx", 2)
    assert cursor.next("uart0.tx", 100) == b"llo"
    assert cursor.left() == ("uart0.tx", b"llo")
    cursor.take("uart0.tx", 3)
    assert cursor.next("uart0.tx", 5) == b"world"


def test_output_of_no_bytes_is_one_too(path: Path) -> None:
    cursor = OutputCursor(trace_with_outputs(path, [("net0.tx", b""), ("net0.tx", b"frame")]))

    assert cursor.next("net0.tx", 0) == b""
    cursor.take("net0.tx", 0)
    assert cursor.next("net0.tx", 5) == b"frame"


def test_streams_take_turns(path: Path) -> None:
    cursor = OutputCursor(trace_with_outputs(path, [("uart0.tx", b"a"), ("net0.tx", b"frame"), ("uart0.tx", b"b")]))

    assert cursor.next("net0.tx", 9) == b"frame"
    cursor.take("net0.tx", 5)
    assert cursor.next("net0.tx", 9) is None
    for byte in (b"a", b"b"):
        assert cursor.next("uart0.tx", 9) == byte
        cursor.take("uart0.tx", 1)
    assert cursor.left() is None


def test_outputs_begin_at_an_icount(path: Path) -> None:
    reader = trace_with_outputs(path, [("uart0.tx", b"a"), ("uart0.tx", b"b")])

    assert OutputCursor(reader, 11).next("uart0.tx", 1) == b"b"
    assert OutputCursor(reader, 20).next("uart0.tx", 1) == b"b"
    assert OutputCursor(reader, 21).next("uart0.tx", 1) is None
    assert OutputCursor(reader, 21).left() is None


def test_place_of_a_trace_without_outputs_can_be_gone_back_to(path: Path) -> None:
    writer = writer_at(path)
    writer.finish(end_at(START), START)
    cursor = OutputCursor(TraceReader(str(path)))

    cursor.seek(cursor.tell())

    assert cursor.left() is None


def take_some(cursor: OutputCursor, steps: list[tuple[str, int]]) -> list[bytes | None]:
    seen = []
    for stream, size in steps:
        data = cursor.next(stream, size)
        seen.append(data)
        if data:
            cursor.take(stream, len(data))
    return seen


STEPS = st.lists(st.tuples(st.sampled_from(STREAMS), st.integers(1, 6)), max_size=12)


@settings(max_examples=60, deadline=None, print_blob=True)
@given(
    outputs=st.lists(st.tuples(st.sampled_from(STREAMS), st.binary(min_size=1, max_size=8)), max_size=12),
    before=STEPS, detour=STEPS, after=STEPS,
)  # fmt: skip
def test_outputs_go_on_from_a_place_as_they_did(
    outputs: list[tuple[str, bytes]], before: list[tuple[str, int]], detour: list[tuple[str, int]],
    after: list[tuple[str, int]],
) -> None:  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        reader = trace_with_outputs(Path(folder) / "run.mst", outputs)
        straight, wandering, other = OutputCursor(reader), OutputCursor(reader), OutputCursor(reader)
        take_some(straight, before)
        take_some(wandering, before)
        place = wandering.tell()
        expected = take_some(straight, after)

        take_some(wandering, detour)
        wandering.seek(place)
        take_some(other, detour)
        other.seek(place)

        assert wandering.tell() == other.tell() == place
        assert take_some(wandering, after) == take_some(other, after) == expected
        assert wandering.left() == straight.left()
