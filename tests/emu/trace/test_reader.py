"""The reader: what the writer has written comes back, from any place on."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.written_traces import START, at, end_at, ticks, writer_at

from minstret.emu.clock import ClockType
from minstret.emu.door.door import Position
from minstret.emu.errors import TraceError
from minstret.emu.trace.format import CHUNK_MAX, Checkpoints, Item, Kind, Reached
from minstret.emu.trace.reader import TraceReader
from minstret.emu.trace.writer import TraceWriter

DECIDED = (ClockType.HOST, ClockType.VIRTUAL_RT)
"""Clocks whose value is in the trace."""


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


# ---- from a place on


@pytest.mark.parametrize("first_seq", [0, 1, 9, 10, 11, CHUNK_MAX, CHUNK_MAX + 9, CHUNK_MAX + 10])
def test_reading_begins_in_the_middle_of_a_row_of_checkpoints(path: Path, first_seq: int) -> None:
    writer = writer_at(path)
    for number in range(10):
        writer.add_event(Kind.EVENT, at(number), "uart0.rx", b"x", 0)
    end = ticks(writer, CHUNK_MAX + 100)
    writer.finish(end_at(end), end)

    items = TraceReader(str(path)).items(first_seq)

    assert [item.seq for item in items] == list(range(first_seq, CHUNK_MAX + 110))


def test_outputs_are_read_from_an_icount_on(path: Path) -> None:
    writer = writer_at(path)
    for icount in (10, 20, 20, 30):
        writer.add_output("net0.tx", at(icount), b"%d" % icount, is_message=True)
    writer.finish(end_at(at(30)), at(30))

    assert [output.data for output in TraceReader(str(path)).outputs(20)] == [b"20", b"20", b"30"]


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


# ---- checkpoints counted


def groups_of(items: list[Item]) -> list[Item | Checkpoints]:
    """What ``groups`` must say of these items."""
    found: list[Item | Checkpoints] = []
    for is_run, run in groupby(items, key=lambda item: item.kind is Kind.CHECKPOINT):
        listed = list(run)
        if is_run:
            clocks = frozenset(item.name for item in listed)
            found.append(Checkpoints(listed[0], listed[-1].position, len(listed), clocks))
        else:
            found += listed
    return found


def without_hash(groups: list[Item | Checkpoints]) -> list[Item | Checkpoints]:
    """The hash of a checkpoint depends on where its row ends."""
    return [
        group if isinstance(group, Item) else group._replace(first=group.first._replace(registers=None))
        for group in groups
    ]


def trace_of(path: Path, script: list[Step]) -> TraceReader:
    """A trace of these steps."""
    writer, icount, warp_ns = writer_at(path), 0, 0
    for step in script:
        icount, warp_ns = icount + step.insns, warp_ns + step.warp_ns
        write_step(writer, step, at(icount, warp_ns))
    writer.finish(end_at(at(icount, warp_ns)), at(icount, warp_ns))
    return TraceReader(str(path))


@settings(max_examples=100, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
@given(steps(), st.data())
def test_groups_are_the_items_of_a_stretch_with_checkpoints_counted(script: list[Step], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        reader = trace_of(Path(folder, "run.mst"), script)
        items, end = list(reader.items()), reader.reached().position
        places = st.sampled_from([0, *(item.position.icount for item in items), end.icount + 1])
        first, last = data.draw(places, "first"), data.draw(st.one_of(st.none(), places), "last")

        groups = list(reader.groups(first, last))

        inside = [
            item for item in items if first <= item.position.icount and (last is None or item.position.icount <= last)
        ]
        assert without_hash(groups) == without_hash(groups_of(inside))


@settings(max_examples=100, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
@given(steps(), st.data())
def test_groups_around_an_item_are_those_before_and_from_it_on(script: list[Step], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        reader = trace_of(Path(folder, "run.mst"), script)
        items, end = list(reader.items()), reader.reached().position
        seq = data.draw(st.integers(0, len(items)), "seq")
        count = data.draw(st.integers(1, 4), "count")

        before, after = reader.groups_before(seq, count), list(reader.groups_from(seq))

        assert without_hash(before) == without_hash(groups_of(items[:seq]))[-count:]
        assert without_hash(after) == without_hash(groups_of(items[seq:]))
        for position in (*(item.position for item in items), end, end._replace(icount=end.icount + 1), START):
            wanted = next((item.seq for item in items if item.position >= position), len(items))
            assert reader.seq_at(position) == wanted


def test_many_checkpoints_are_counted_without_being_listed(path: Path) -> None:
    writer = writer_at(path)
    end = ticks(writer, 50 * CHUNK_MAX)
    writer.finish(end_at(end), end)
    reader = TraceReader(str(path))

    calls = 0

    def count_calls(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count_calls)
    try:
        (run,) = reader.groups()
    finally:
        sys.setprofile(None)

    assert isinstance(run, Checkpoints)
    assert (run.total, run.last) == (50 * CHUNK_MAX, end)
    assert calls < 50 * 100
