"""The trace's writer and reader: what goes in comes out, packed small."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from minstret.emu.clock import ClockType
from minstret.emu.door.door import Position
from minstret.emu.errors import TraceError
from minstret.emu.trace.format import PAGE_SIZE, Item, Kind, Output, Reached, Snapshot
from minstret.emu.trace.reader import TraceReader
from minstret.emu.trace.writer import TraceWriter

META = {
    "minstret": "0.1.0", "unicorn": "2.1.4", "config": {"icount_shift": 1}, "images": {"append": ""},
}  # fmt: skip
SHIFT = 1
START = Position(0, 0)
CHUNK_MAX = 4096
OUTPUT_MAX = 64 * 1024
DECIDED = (ClockType.HOST, ClockType.VIRTUAL_RT)
"""Clocks whose value is in the trace."""


def writer_at(path: Path, **options: Any) -> TraceWriter:
    return TraceWriter(str(path), META, options.pop("blobs", {}), shift=SHIFT, **options)


def end_at(position: Position) -> dict[str, object]:
    return {
        "reason": "finished", "exit_code": 0, "icount": position.icount, "virtual_ns": position.virtual_ns,
        "digest": "d" * 64, "uart_sha256": "a" * 64, "registers": 5,
    }  # fmt: skip


def at(icount: int, warp_ns: int = 0) -> Position:
    return Position(icount, (icount << SHIFT) + warp_ns)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.mst"


def count_rows(path: Path, table: str) -> int:
    db = sqlite3.connect(path)
    try:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    finally:
        db.close()


# ---- round trip


@dataclass(frozen=True)
class Step:
    """One call of the writer. ``insns`` and ``warp_ns`` are distances from the step before."""

    what: str
    insns: int
    warp_ns: int
    name: str
    data: bytes
    clock: ClockType
    value: int
    registers: int


def steps() -> st.SearchStrategy[list[Step]]:
    distance = st.one_of(st.sampled_from([0, 0, 500, 127, 128]), st.integers(0, 1 << 40))
    return st.lists(
        st.builds(
            Step,
            what=st.sampled_from(["event", "answer", "checkpoint", "checkpoint", "checkpoint", "commit"]),
            insns=distance, warp_ns=distance, name=st.sampled_from(["uart0.rx", "net0.rx", "clock.host"]),
            data=st.binary(max_size=80), clock=st.sampled_from(ClockType),
            value=st.one_of(st.sampled_from([0, 1]), st.integers(0, (1 << 63) - 1)),
            registers=st.integers(0, (1 << 32) - 1),
        ),
        max_size=60,
    )  # fmt: skip


def write_step(writer: TraceWriter, step: Step, position: Position) -> Item | None:
    """Do ``step``, and say which item must come out."""
    seq, name, data, kind = writer.next_seq, step.name, step.data, Kind.EVENT
    if step.what == "commit":
        writer.commit(position)
        return None
    if step.what == "checkpoint":
        writer.add_checkpoint(position, step.clock, step.value, step.registers)
        is_told = step.clock in DECIDED and step.value
        data, name, kind = step.value.to_bytes(8, "little") if is_told else b"", step.clock.value, Kind.CHECKPOINT
    else:
        kind = Kind.EVENT if step.what == "event" else Kind.ANSWER
        writer.add_event(kind, position, name, data, step.registers)
    return Item(seq, kind, position, name, data, step.registers)


def assert_is(read: Item, written: Item) -> None:
    """Checkpoints amid others keep no hash; all else comes back."""
    assert read._replace(registers=0) == written._replace(registers=0)
    assert read.registers == written.registers or (read.kind is Kind.CHECKPOINT and read.registers is None)


@settings(max_examples=100, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
@given(steps(), st.data())
def test_items_written_come_back_from_any_number_on(script: list[Step], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.mst"
        writer, icount, warp_ns, written = writer_at(path), 0, 0, []
        for step in script:
            icount, warp_ns = icount + step.insns, warp_ns + step.warp_ns
            item = write_step(writer, step, at(icount, warp_ns))
            written += [] if item is None else [item]
        writer.finish(end_at(at(icount, warp_ns)), at(icount, warp_ns))
        first_seq = data.draw(st.integers(0, len(written) + 1), "first_seq")

        reader = TraceReader(str(path))
        read = list(reader.items(first_seq))

        assert len(read) == max(0, len(written) - first_seq)
        for one, other in zip(read, written[first_seq:], strict=True):
            assert_is(one, other)
        assert reader.reached() == Reached(len(written), at(icount, warp_ns))


def test_last_of_a_run_of_checkpoints_keeps_its_register_hash(path: Path) -> None:
    writer = writer_at(path)
    for number in range(3):
        writer.add_checkpoint(at(100 * number), ClockType.VIRTUAL, 0, 1000 + number)
    writer.add_event(Kind.EVENT, at(300), "uart0.rx", b"x", 2000)
    writer.finish(end_at(at(300)), at(300))

    assert [item.registers for item in TraceReader(str(path)).items()] == [None, None, 1002, 2000]


def test_virtual_checkpoint_carries_no_value(path: Path) -> None:
    writer = writer_at(path)
    for clock in (ClockType.VIRTUAL, ClockType.HOST, ClockType.VIRTUAL_RT):
        writer.add_checkpoint(at(100), clock, 77, 0)
    writer.finish(end_at(at(100)), at(100))

    values = [(item.name, item.data) for item in TraceReader(str(path)).items()]

    value = (77).to_bytes(8, "little")
    assert values == [("virtual", b""), ("host", value), ("virtual_rt", value)]


def test_checkpoints_at_one_position_stay_apart(path: Path) -> None:
    writer = writer_at(path)
    for warp_ns in (5, 5, 900):
        writer.add_checkpoint(at(100, warp_ns), ClockType.VIRTUAL, 0, 0)
    writer.finish(end_at(at(100, 900)), at(100, 900))

    positions = [item.position for item in TraceReader(str(path)).items()]

    assert positions == [at(100, 5), at(100, 5), at(100, 900)]


# ---- packing


def ticks(writer: TraceWriter, count: int, insns: int = 500, warp_ns: int = 999_000) -> Position:
    """A regular tick, so often; where the last one was."""
    for number in range(1, count + 1):
        writer.add_checkpoint(at(number * insns, number * warp_ns), ClockType.VIRTUAL, 0, number)
    return at(count * insns, count * warp_ns)


def test_regular_ticks_take_a_fraction_of_a_byte_each(path: Path) -> None:
    writer = writer_at(path)
    end = ticks(writer, 1000)
    writer.finish(end_at(end), end)

    reader = TraceReader(str(path))

    assert reader.sizes()["checkpoints"] < 50
    assert sum(1 for _ in reader.items()) == 1000
    assert count_rows(path, "checkpoints") == 1


def test_ticks_that_alternate_take_less_than_a_byte_each_too(path: Path) -> None:
    writer, position = writer_at(path), at(0)
    for number in range(2000):
        position = at(position.icount + 500 + number % 2, position.virtual_ns - 2 * position.icount + 999)
        writer.add_checkpoint(position, ClockType.VIRTUAL, 0, 0)
    writer.finish(end_at(position), position)

    assert TraceReader(str(path)).sizes()["checkpoints"] < 2000


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


@pytest.mark.parametrize("first_seq", [0, 1, 9, 10, 11, CHUNK_MAX, CHUNK_MAX + 9, CHUNK_MAX + 10])
def test_reading_begins_in_the_middle_of_a_row_of_checkpoints(path: Path, first_seq: int) -> None:
    writer = writer_at(path)
    for number in range(10):
        writer.add_event(Kind.EVENT, at(number), "uart0.rx", b"x", 0)
    end = ticks(writer, CHUNK_MAX + 100)
    writer.finish(end_at(end), end)

    items = TraceReader(str(path)).items(first_seq)

    assert [item.seq for item in items] == list(range(first_seq, CHUNK_MAX + 110))


@pytest.mark.parametrize("clock", [ClockType.VIRTUAL, ClockType.HOST])
@pytest.mark.parametrize("insns", [0, 127, 128, 1 << 40])
def test_size_of_a_checkpoint_is_told_without_writing_it(path: Path, clock: ClockType, insns: int) -> None:
    writer = writer_at(path)
    writer.add_checkpoint(at(1), ClockType.VIRTUAL, 0, 0)

    size = writer.checkpoint_size(at(1 + insns), clock)

    varint = 1 if insns < 128 else -(-insns.bit_length() // 7)
    assert size == 2 + varint
    assert writer.next_seq == 1
    writer.close()


# ---- outputs


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


def test_outputs_are_read_from_an_icount_on(path: Path) -> None:
    writer = writer_at(path)
    for icount in (10, 20, 20, 30):
        writer.add_output("net0.tx", at(icount), b"%d" % icount, is_message=True)
    writer.finish(end_at(at(30)), at(30))

    assert [output.data for output in TraceReader(str(path)).outputs(20)] == [b"20", b"20", b"30"]


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


def page(fill: int) -> bytes:
    return bytes((fill,)) * PAGE_SIZE


def snapshot(number: int, position: Position, seq: int = 0) -> Snapshot:
    return Snapshot(number, seq, position, 7, {"hart": [number]}, {"parts": {}})


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


# ---- where the file goes


@pytest.fixture
def taken(path: Path) -> Path:
    """A file that somebody has there already."""
    path.write_bytes(b"precious")
    return path


def test_existing_file_is_left_alone(taken: Path) -> None:
    with pytest.raises(TraceError) as caught:
        writer_at(taken)

    assert str(caught.value) == f"{taken}: exists; give another name with -o, or -f to overwrite it"
    assert taken.read_bytes() == b"precious"


def test_file_appears_when_the_recording_begins(path: Path) -> None:
    writer = writer_at(path)
    assert os.listdir(path.parent) == []

    writer.begin()
    writer.close()

    assert os.listdir(path.parent) == ["run.mst"]
    assert TraceReader(str(path)).reached() == Reached(0, START)


def test_file_is_overwritten_when_the_recording_begins_and_not_before(taken: Path) -> None:
    Path(f"{taken}-journal").write_bytes(b"old")

    writer = writer_at(taken, overwrite=True)
    writer.add_event(Kind.EVENT, at(5), "uart0.rx", b"x", 0)
    writer.close()

    assert taken.read_bytes() == b"precious"
    assert sorted(os.listdir(taken.parent)) == ["run.mst", "run.mst-journal"]


def test_file_that_came_up_meanwhile_is_left_alone(path: Path) -> None:
    writer = writer_at(path)
    path.write_bytes(b"precious")

    with pytest.raises(TraceError, match=r": exists; give another name with -o, or -f to overwrite it$"):
        writer.begin()
    writer.close()

    assert path.read_bytes() == b"precious"
    assert os.listdir(path.parent) == ["run.mst"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_file_system_without_nameless_files_will_do(
    path: Path, overwrite: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY)  # what the system makes of it where it does not know it
    if overwrite:
        path.write_bytes(b"old")
    writer_at(path, overwrite=overwrite).close()
    assert os.listdir(path.parent) == ["run.mst"] * overwrite

    writer = writer_at(path, overwrite=overwrite)
    writer.finish(end_at(START), START)

    assert os.listdir(path.parent) == ["run.mst"]
    assert TraceReader(str(path)).end == end_at(START)


def test_trace_may_be_written_by_a_group_as_the_umask_says(path: Path) -> None:
    before = os.umask(0o002)
    try:
        writer_at(path).finish(end_at(START), START)
    finally:
        os.umask(before)

    assert path.stat().st_mode & 0o777 == 0o664


@pytest.mark.parametrize("name", ["run.mst", "link.mst", "hard.mst"])
def test_trace_that_is_being_recorded_is_not_overwritten(path: Path, name: str) -> None:
    first = writer_at(path)
    first.begin()
    path.with_name("link.mst").symlink_to(path)
    path.with_name("hard.mst").hardlink_to(path)

    with pytest.raises(TraceError, match=rf"{name}: is being recorded by another process; give another name with -o$"):
        writer_at(path.with_name(name), overwrite=True)
    first.add_event(Kind.EVENT, at(5), "uart0.rx", b"x", 0)
    first.finish(end_at(at(5)), at(5))

    assert len(list(TraceReader(str(path)).items())) == 1
    writer_at(path, overwrite=True).finish(end_at(START), START)
    assert list(TraceReader(str(path)).items()) == []


def test_second_of_two_that_began_to_overwrite_is_refused(taken: Path) -> None:
    first, second = writer_at(taken, overwrite=True), writer_at(taken, overwrite=True)
    first.begin()

    with pytest.raises(TraceError, match=r": is being recorded by another process; "):
        second.begin()
    second.close()
    first.finish(end_at(START), START)

    assert TraceReader(str(taken)).end == end_at(START)
    assert os.listdir(taken.parent) == ["run.mst"]


ANOTHER = """
import sys
from minstret.emu.trace.writer import TraceWriter

writer = TraceWriter(sys.argv[1], {}, {}, shift=1, overwrite=True)
if sys.argv[2] == "begin":
    writer.begin()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how_far", ["make", "begin"])
def test_killed_process_leaves_neither_lock_nor_half_a_file(path: Path, how_far: str) -> None:
    command = [sys.executable, "-c", ANOTHER, str(path), how_far]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        if how_far == "begin":
            with pytest.raises(TraceError, match=r": is being recorded by another process; "):
                writer_at(path, overwrite=True)
        other.kill()
        other.wait()

    assert set(os.listdir(path.parent)) <= ({"run.mst", "run.mst-journal"} if how_far == "begin" else set())
    writer_at(path, overwrite=True).finish(end_at(START), START)
    assert os.listdir(path.parent) == ["run.mst"]
    assert TraceReader(str(path)).end == end_at(START)


def test_trace_that_was_killed_in_its_first_moments_says_so(path: Path) -> None:
    writer = writer_at(path)
    writer.begin()
    writer.close()
    text = f"{path}: nothing was recorded yet: the recording was killed in its first moments"

    reader = TraceReader(str(path))
    assert reader.is_of_nothing
    assert str(reader.nothing_recorded()) == text
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=0")  # as 0.1.0 left it there
    db.close()
    with pytest.raises(TraceError) as caught:
        TraceReader(str(path))
    assert str(caught.value) == text


def test_existing_file_is_overwritten_when_asked(taken: Path) -> None:
    writer = writer_at(taken, overwrite=True)
    writer.finish(end_at(START), START)

    assert TraceReader(str(taken)).end == end_at(START)


def test_journal_of_an_overwritten_trace_does_not_roll_back_the_new_one(path: Path) -> None:
    old = writer_at(path)
    old.add_event(Kind.EVENT, at(5), "uart0.rx", b"old", 0)
    old.commit(at(6))
    old.add_event(Kind.EVENT, at(7), "uart0.rx", b"old", 0)
    journal = path.with_name("run.mst-journal")
    leftover = journal.read_bytes()
    old.close()
    journal.write_bytes(leftover)

    writer = writer_at(path, overwrite=True)
    writer.finish(end_at(START), START)

    assert list(TraceReader(str(path)).items()) == []
    assert os.listdir(path.parent) == ["run.mst"]


def test_folder_is_no_place_for_a_trace(tmp_path: Path) -> None:
    for overwrite in (False, True):
        with pytest.raises(TraceError, match=r": is a folder; give a file$"):
            writer_at(tmp_path, overwrite=overwrite)


def test_device_is_not_overwritten(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    with pytest.raises(TraceError, match=r": is no ordinary file; give another name with -o$"):
        writer_at(fifo, overwrite=True)

    assert fifo.exists()


def test_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"none/run.mst: can't write it: No such file or directory$"):
        writer_at(tmp_path / "none" / "run.mst")


@pytest.mark.parametrize("name", [":memory:", "a b?c#d%41.mst", "ünïcødé.mst", "-o", "\udcff.mst"])
def test_any_name_is_a_file_name(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    writer = TraceWriter(name, META, {}, shift=SHIFT)
    writer.add_event(Kind.EVENT, at(5), "uart0.rx", b"x", 0)
    writer.finish(end_at(at(5)), at(5))

    assert os.listdir() == [name]
    assert len(list(TraceReader(name).items())) == 1


def test_symbolic_link_to_a_trace_is_read(path: Path) -> None:
    writer = writer_at(path)
    writer.finish(end_at(START), START)
    link = path.with_name("link.mst")
    link.symlink_to(path)

    assert TraceReader(str(link)).end == end_at(START)


# ---- one writes, others look


def test_reader_never_holds_up_a_recording(path: Path) -> None:
    writer = writer_at(path)
    ticks(writer, 10)
    writer.commit(at(5000, 9_990_000))

    with pytest.raises(TraceError) as caught:
        TraceReader(str(path))

    assert str(caught.value) == f"{path}: is being recorded; read it when that has ended"
    writer.finish(end_at(at(5000, 9_990_000)), at(5000, 9_990_000))
    assert len(list(TraceReader(str(path)).items())) == 10


def test_two_readers_read_at_once(path: Path) -> None:
    writer = writer_at(path)
    end = ticks(writer, 10)
    writer.finish(end_at(end), end)

    one, other = TraceReader(str(path)), TraceReader(str(path))

    assert list(zip(one.items(), other.items(), strict=True)) == [(item, item) for item in one.items()]
