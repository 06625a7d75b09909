"""The writer: rows and their limits, snapshots, rings."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.written_traces import META, SHIFT, START, at, count_rows, end_at, page, snapshot, ticks, writer_at

from minstret.emu.clock import ClockType
from minstret.emu.door.door import Position
from minstret.emu.trace.format import CHUNK_MAX, OUTPUT_MAX, Kind, Output, Reached
from minstret.emu.trace.reader import TraceReader

# ---- rows


@pytest.mark.parametrize("count", [CHUNK_MAX - 1, CHUNK_MAX, CHUNK_MAX + 1, 3 * CHUNK_MAX])
def test_row_of_checkpoints_has_an_upper_size(path: Path, count: int) -> None:
    writer = writer_at(path)
    end = ticks(writer, count)
    writer.finish(end_at(end), end)

    items = list(TraceReader(str(path)).items())

    assert count_rows(path, "checkpoints") == -(-count // CHUNK_MAX)
    assert [item.seq for item in items] == list(range(count))
    assert items[-1].position == end
    hashes = [item.seq for item in items if item.registers is not None]
    assert hashes == [*range(CHUNK_MAX - 1, count - 1, CHUNK_MAX), count - 1]


def outputs_of(path: Path) -> list[Output]:
    return list(TraceReader(str(path)).outputs())


def test_bytes_of_one_stream_are_joined_at_the_first_ones_position(path: Path) -> None:
    writer = writer_at(path)
    for number, byte in enumerate(b"hello"):
        writer.add_output("uart0.tx", at(10 + number), bytes((byte,)), is_message=False)
    writer.finish(end_at(at(20)), at(20))

    assert outputs_of(path) == [Output("uart0.tx", at(10), b"hello")]


def test_messages_stay_apart_and_between_the_bytes_around_them(path: Path) -> None:
    writer = writer_at(path)
    writer.add_output("uart0.tx", at(1), b"a", is_message=False)
    writer.add_output("net0.tx", at(2), b"frame one", is_message=True)
    writer.add_output("net0.tx", at(2), b"frame two", is_message=True)
    writer.add_output("uart0.tx", at(3), b"b", is_message=False)
    writer.add_output("uart0.tx", at(4), b"c", is_message=False)
    writer.finish(end_at(at(20)), at(20))

    assert outputs_of(path) == [
        Output("uart0.tx", at(1), b"a"), Output("net0.tx", at(2), b"frame one"),
        Output("net0.tx", at(2), b"frame two"), Output("uart0.tx", at(3), b"bc"),
    ]  # fmt: skip


def test_bytes_of_another_stream_end_the_row(path: Path) -> None:
    writer = writer_at(path)
    for number, stream in enumerate(("one", "one", "two", "one")):
        writer.add_output(stream, at(number), b"x", is_message=False)
    writer.finish(end_at(at(20)), at(20))

    assert [(output.stream, output.data) for output in outputs_of(path)] == [
        ("one", b"xx"),
        ("two", b"x"),
        ("one", b"x"),
    ]


def test_row_of_output_has_an_upper_size(path: Path) -> None:
    writer = writer_at(path)
    for number in range(OUTPUT_MAX // 1024 + 1):
        writer.add_output("uart0.tx", at(number), bytes(1024), is_message=False)
    writer.finish(end_at(at(100)), at(100))

    assert [len(output.data) for output in outputs_of(path)] == [OUTPUT_MAX, 1024]


# ---- what is in the file when


def test_nothing_is_in_the_file_before_a_commit(path: Path) -> None:
    writer = writer_at(path)
    writer.begin()
    writer.add_event(Kind.EVENT, at(5), "uart0.rx", b"x", 0)
    writer.add_output("uart0.tx", at(6), b"y", is_message=False)
    writer.close()

    reader = TraceReader(str(path))

    assert list(reader.items()) == []
    assert list(reader.outputs()) == []
    assert (reader.reached(), reader.end) == (Reached(0, START), None)


def test_commit_puts_everything_into_the_file_but_no_end(path: Path) -> None:
    writer = writer_at(path)
    writer.add_event(Kind.EVENT, at(5), "uart0.rx", b"x", 0)
    writer.add_checkpoint(at(6), ClockType.VIRTUAL, 0, 0)
    writer.add_output("uart0.tx", at(6), b"y", is_message=False)
    writer.commit(at(9))
    writer.add_event(Kind.EVENT, at(10), "uart0.rx", b"lost", 0)
    writer.close()

    reader = TraceReader(str(path))

    assert [item.name for item in reader.items()] == ["uart0.rx", "virtual"]
    assert [output.data for output in reader.outputs()] == [b"y"]
    assert (reader.reached(), reader.end) == (Reached(2, at(9)), None)


def test_meta_comes_back_and_the_end_with_it(path: Path) -> None:
    writer = writer_at(path)
    writer.put_meta("timers", [{"name": "clint.mtimecmp"}])
    writer.put_meta("timers", [{"name": "rtc.alarm"}])
    writer.finish(end_at(at(20)), at(20))

    reader = TraceReader(str(path))

    assert reader.meta["timers"] == [{"name": "rtc.alarm"}]
    assert {key: reader.meta[key] for key in META} == META
    assert reader.end == end_at(at(20))
    assert reader.shift == SHIFT


def test_blobs_come_back_by_their_hash(path: Path) -> None:
    data = b"firmware" * 10_000
    sha256 = hashlib.sha256(data).digest()
    writer = writer_at(path, blobs={sha256: data})
    writer.finish(end_at(START), START)

    reader = TraceReader(str(path))

    assert reader.blob(sha256.hex()) == data
    assert reader.sizes()["images"] < 200


def test_trace_is_one_file_that_sqlite3_opens(path: Path) -> None:
    writer = writer_at(path)
    end = ticks(writer, 10)
    writer.finish(end_at(end), end)

    assert os.listdir(path.parent) == ["run.mst"]
    assert count_rows(path, "checkpoints") == 1


# ---- snapshots


def test_snapshot_comes_back(path: Path) -> None:
    writer = writer_at(path)
    written = replace(snapshot(1, at(50, 3)), machine={"deep": {"list": [1, None, True, "x"]}})
    writer.add_snapshot(written, {0: page(1), 9: page(2)})
    writer.finish(end_at(at(60, 3)), at(60, 3))

    reader = TraceReader(str(path))

    assert reader.snapshot(1) == written
    assert list(reader.pages(1)) == [(0, page(1)), (9, page(2))]
    assert reader.snapshot_positions() == [(1, at(50, 3))]


def test_pages_of_a_snapshot_are_those_of_all_before_with_the_last_first(path: Path) -> None:
    writer = writer_at(path)
    writer.add_snapshot(snapshot(1, at(10)), {0: page(1), 1: page(1)})
    writer.add_snapshot(snapshot(2, at(20)), {1: page(2), 2: page(3)})
    writer.add_snapshot(snapshot(3, at(30)), {0: page(4)})
    writer.finish(end_at(at(30)), at(30))

    reader = TraceReader(str(path))

    assert dict(reader.pages(1)) == {0: page(1), 1: page(1)}
    assert dict(reader.pages(2)) == {0: page(1), 1: page(2), 2: page(3)}
    assert dict(reader.pages(3)) == {0: page(4), 1: page(2), 2: page(3)}


def test_equal_pages_are_stored_once(path: Path) -> None:
    writer = writer_at(path)
    writer.add_snapshot(snapshot(1, at(10)), {number: page(1) for number in range(50)})
    writer.add_snapshot(snapshot(2, at(20)), {number: page(2) for number in range(50)})
    writer.add_snapshot(snapshot(3, at(30)), {number: page(1) for number in range(50)})
    writer.finish(end_at(at(30)), at(30))

    reader = TraceReader(str(path))

    assert count_rows(path, "pages") == 2
    assert dict(reader.pages(3)) == dict.fromkeys(range(50), page(1))


def test_page_that_was_written_but_is_as_before_is_left_away(path: Path) -> None:
    writer = writer_at(path)
    writer.add_snapshot(snapshot(1, at(10)), {0: page(1), 1: page(1)})
    writer.add_snapshot(snapshot(2, at(20)), {0: page(1), 1: page(2)})
    writer.finish(end_at(at(20)), at(20))

    assert count_rows(path, "snapshot_pages") == 3
    assert dict(TraceReader(str(path)).pages(2)) == {0: page(1), 1: page(2)}


def test_page_that_goes_back_to_what_it_was_is_written_again(path: Path) -> None:
    writer = writer_at(path)
    for number, fill in enumerate((1, 2, 1), start=1):
        writer.add_snapshot(snapshot(number, at(10 * number)), {0: page(fill)})
    writer.finish(end_at(at(30)), at(30))

    reader = TraceReader(str(path))

    assert [dict(reader.pages(number)) for number in (1, 2, 3)] == [{0: page(1)}, {0: page(2)}, {0: page(1)}]
    assert count_rows(path, "pages") == 2


def test_pages_as_memoryviews_are_taken_as_they_are_now(path: Path) -> None:
    ram = bytearray(page(1))
    writer = writer_at(path)
    writer.add_snapshot(snapshot(1, at(10)), {0: memoryview(ram)})
    ram[:] = page(2)
    writer.finish(end_at(at(20)), at(20))

    assert dict(TraceReader(str(path)).pages(1)) == {0: page(1)}


# ---- ring


def soak(path: Path, laps: int, keep: int, writes: list[list[int]]) -> tuple[Position, list[dict[int, bytes]]]:
    """Record in a ring: each lap a snapshot, an event, ticks and an output. The end, and RAM at each snapshot."""
    writer, ram, memories = writer_at(path), dict[int, bytes](), []
    numbers: list[int] = []
    for lap in range(1, laps + 1):
        start = lap * 1000
        changed = {number: page(lap % 5 + 1) for number in writes[lap % len(writes)]}
        ram |= changed
        memories.append(dict(ram))
        writer.commit(at(start))
        writer.add_snapshot(snapshot(lap, at(start), writer.next_seq), changed)
        numbers.append(lap)
        if len(numbers) > keep:
            numbers = numbers[-keep:]
            writer.drop_before(numbers[0])
        writer.commit(at(start))
        writer.add_event(Kind.EVENT, at(start + 10), "uart0.rx", b"%d" % lap, lap)
        writer.add_output("uart0.tx", at(start + 10), b"%d" % lap, is_message=False)
        for tick in range(20):
            writer.add_checkpoint(at(start + 20 + tick * 5), ClockType.VIRTUAL, 0, 0)
    end = at(laps * 1000 + 500)
    writer.finish(end_at(end), end)
    return end, memories


@given(
    laps=st.integers(1, 8), keep=st.integers(1, 4),
    writes=st.lists(st.lists(st.integers(0, 5), max_size=4, unique=True), min_size=1, max_size=4),
)  # fmt: skip
@example(laps=5, keep=2, writes=[[0, 1], [1], [], [0]])
@settings(max_examples=40, deadline=None, print_blob=True)
def test_ring_keeps_what_follows_its_oldest_snapshot_and_no_more(laps: int, keep: int, writes: list[list[int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ring.mst"
        _, memories = soak(path, laps, keep, writes)

        reader = TraceReader(str(path))

        kept = list(range(max(1, laps - keep + 1), laps + 1))
        assert reader.snapshot_positions() == [(number, at(number * 1000)) for number in kept]
        assert reader.meta.get("first_snapshot") == (kept[0] if laps > keep else None)
        for number in kept:
            assert dict(reader.pages(number)) == memories[number - 1]
        items = list(reader.items())
        assert [item.seq for item in items] == list(range((kept[0] - 1) * 21, laps * 21))
        assert [item.data for item in items if item.kind is Kind.EVENT] == [b"%d" % number for number in kept]
        assert [output.data for output in reader.outputs()] == [b"%d" % number for number in kept]
        assert count_rows(path, "pages") == len({p for number in kept for p in memories[number - 1].values()})


def test_ring_stays_small_however_long_it_turns(path: Path) -> None:
    short, long = path.with_name("short.mst"), path.with_name("long.mst")
    soak(short, 10, 3, [[0, 1, 2], [3], [4, 5]])
    soak(long, 200, 3, [[0, 1, 2], [3], [4, 5]])

    assert long.stat().st_size <= 2 * short.stat().st_size


def sqlite_steps_of_a_lap(path: Path, first: int, each: int) -> int:
    """Steps of SQLite's machine for a snapshot in a ring that is full: ``first`` pages at first, ``each`` a lap."""
    writer, steps = writer_at(path, overwrite=True), 0

    def count() -> int:
        nonlocal steps
        steps += 100
        return 0

    for lap in range(1, 6):
        if lap == 5:
            writer._db.set_progress_handler(count, 100)
        pages = {number: b"%d %d" % (lap, number) for number in range(first if lap == 1 else each)}
        writer.add_snapshot(snapshot(lap, at(lap), 0), pages)
        if lap > 2:
            writer.drop_before(lap - 1)
        writer.commit(at(lap))
    writer.close()
    return steps


def test_snapshot_in_a_ring_takes_work_in_proportion_to_the_pages_it_has(path: Path) -> None:
    assert sqlite_steps_of_a_lap(path, 4000, 4000) < 6 * sqlite_steps_of_a_lap(path, 1000, 1000)


def test_snapshot_of_few_pages_in_a_ring_takes_no_longer_where_ram_is_large(path: Path) -> None:
    assert sqlite_steps_of_a_lap(path, 8000, 100) < 2 * sqlite_steps_of_a_lap(path, 1000, 100)


def test_items_of_a_ring_read_from_one_of_its_snapshots(path: Path) -> None:
    soak(path, 6, 3, [[0]])
    reader = TraceReader(str(path))
    last = reader.snapshot(6)

    assert [item.seq for item in reader.items(last.seq)] == list(range(last.seq, last.seq + 21))


@pytest.mark.parametrize("position", [at(9), at(10), Position(10, 0)])
def test_event_before_the_last_item_is_a_mistake_of_ours(position: Position, tmp_path: Path) -> None:
    for add in ("event", "checkpoint"):
        writer = writer_at(tmp_path / f"{add}.mst")
        if add == "event":
            writer.add_event(Kind.EVENT, at(10, warp_ns=5), "uart0.rx", b"a", 1)
        else:
            writer.add_checkpoint(at(10, warp_ns=5), ClockType.VIRTUAL, 0, 1)

        with pytest.raises(AssertionError):
            writer.add_event(Kind.EVENT, position, "uart0.rx", b"b", 2)
        writer.close()
