"""Going back while recording: the trace is then the one that never went further."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.written_traces import at, end_at, page, snapshot, ticks, writer_at

from minstret.emu.clock import ClockType
from minstret.emu.trace.format import CHUNK_MAX, Kind
from minstret.emu.trace.reader import TraceReader
from minstret.emu.trace.writer import Mark, TraceWriter

TABLES = ("meta", "events", "checkpoints", "outputs", "reached", "snapshots", "snapshot_pages", "pages")
RING = 2


def tables(path: Path) -> dict[str, list[Any]]:
    """Every row of a trace; a reader finds it good."""
    reader = TraceReader(str(path))
    assert len(list(reader.items())) == sum(reader.counts().values())
    for number, _ in reader.snapshot_positions():
        list(reader.pages(number))
    with closing(sqlite3.connect(path)) as db:
        return {table: db.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in TABLES}


@dataclass
class Recorder:
    """Records what a script says. Its own state can be put back too, as a recording door's would be."""

    writer: TraceWriter
    ring: int = 0
    icount: int = 0
    snapshots: list[int] = field(default_factory=list)
    dirty: dict[int, int] = field(default_factory=dict)

    def save(self) -> tuple[Mark, int, list[int], dict[int, int]]:
        return self.writer.mark(), self.icount, list(self.snapshots), dict(self.dirty)

    def restore(self, saved: tuple[Mark, int, list[int], dict[int, int]]) -> None:
        mark, self.icount, snapshots, dirty = saved
        self.snapshots, self.dirty = list(snapshots), dict(dirty)
        self.writer.rewind(mark)

    def step(self, what: str, number: int) -> None:
        self.icount += number
        position = at(self.icount)
        if what == "event":
            self.writer.add_event(Kind.EVENT, position, "uart0.rx", b"%d" % number, number)
        elif what == "checkpoints":
            for clock in (ClockType.VIRTUAL, ClockType.VIRTUAL, ClockType.HOST):
                self.writer.add_checkpoint(position, clock, number, number)
        elif what == "bytes":
            self.writer.add_output("uart0.tx", position, b"%d" % number, is_message=False)
        elif what == "message":
            self.writer.add_output("net0.tx", position, b"%d" % number, is_message=True)
        elif what == "store":
            self.dirty[number % 3] = number % 2
        elif what == "commit":
            self.writer.commit(position)
        else:
            self.snapshot()

    def snapshot(self) -> None:
        position, number = at(self.icount), self.snapshots[-1] + 1 if self.snapshots else 1
        self.writer.commit(position)
        pages = {number: page(fill) for number, fill in self.dirty.items()}
        self.writer.add_snapshot(snapshot(number, position, self.writer.next_seq), pages)
        self.dirty = {}
        self.snapshots.append(number)
        if self.ring and len(self.snapshots) > self.ring:
            self.snapshots = self.snapshots[-self.ring :]
            self.writer.drop_before(self.snapshots[0])
        self.writer.commit(position)

    def finish(self) -> None:
        self.writer.finish(end_at(at(self.icount)), at(self.icount))


STEP = st.tuples(
    st.sampled_from(["event", "checkpoints", "checkpoints", "bytes", "bytes", "message", "store", "snapshot"]),
    st.integers(0, 3),
)
STEPS = st.lists(STEP, max_size=8)
DETOURS = st.lists(st.one_of(STEP, st.tuples(st.just("commit"), st.integers(0, 3))), max_size=8)


@settings(max_examples=150, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
@given(
    stretches=st.lists(st.tuples(STEPS, st.lists(DETOURS, max_size=2), st.booleans()), min_size=1, max_size=4),
    last=STEPS, ring=st.sampled_from([0, 1, RING]),
)  # fmt: skip
def test_trace_that_went_back_is_the_one_that_never_went_further(
    stretches: list[tuple[list[tuple[str, int]], list[list[tuple[str, int]]], bool]], last: list[tuple[str, int]],
    ring: int,
) -> None:  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("straight.mst", "wandering.mst")]
        straight, wandering = (Recorder(writer_at(path), ring) for path in paths)
        for steps, detours, is_released in stretches:
            for step in steps:
                straight.step(*step)
                wandering.step(*step)
            saved = wandering.save()
            for detour in detours:
                for step in detour:
                    wandering.step(*step)
                wandering.restore(saved)
            if is_released:
                wandering.writer.release(saved[0])
        for step in last:
            straight.step(*step)
            wandering.step(*step)

        straight.finish()
        wandering.finish()

        assert tables(paths[1]) == tables(paths[0])


def test_trace_goes_back_over_full_rows_of_checkpoints_into_an_open_one(path: Path) -> None:
    paths = [path.with_name(name) for name in ("straight.mst", "wandering.mst")]
    for one in paths:
        writer = writer_at(one)
        end = ticks(writer, CHUNK_MAX + 100)
        if one == paths[1]:
            mark = writer.mark()
            for number in range(2 * CHUNK_MAX):
                writer.add_checkpoint(at(end.icount + number, end.icount << 20), ClockType.HOST, number, number)
            writer.rewind(mark)
        writer.add_event(Kind.EVENT, end, "uart0.rx", b"x", 0)
        writer.finish(end_at(end), end)

    assert tables(paths[1]) == tables(paths[0])


def test_trace_goes_back_to_before_its_file_was_there(path: Path) -> None:
    writer = writer_at(path)
    writer.add_event(Kind.EVENT, at(1), "uart0.rx", b"kept", 0)
    mark = writer.mark()
    writer.begin()
    writer.add_event(Kind.EVENT, at(2), "uart0.rx", b"gone", 0)
    writer.commit(at(3))

    writer.rewind(mark)
    writer.finish(end_at(at(2)), at(2))

    assert [item.data for item in TraceReader(str(path)).items()] == [b"kept"]


def abandoned(recorder: Recorder) -> None:
    recorder.writer.add_event(Kind.EVENT, at(300), "uart0.rx", b"later", 0)


def went_back(recorder: Recorder) -> None:
    mark = recorder.writer.mark()
    for what in ("event", "snapshot", "bytes"):
        recorder.step(what, 1)
    recorder.writer.rewind(mark)
    recorder.writer.add_event(Kind.EVENT, at(300), "uart0.rx", b"other", 0)


@pytest.mark.parametrize("what", [abandoned, went_back])
def test_recording_killed_after_going_back_has_what_it_had_at_its_last_commit(
    path: Path, what: Callable[[Recorder], None]
) -> None:
    recorder = Recorder(writer_at(path))
    recorder.step("event", 100)
    mark = recorder.writer.mark()
    recorder.step("event", 100)
    recorder.step("commit", 0)
    recorder.writer.rewind(mark)
    recorder.writer.add_event(Kind.EVENT, at(150), "uart0.rx", b"other", 0)
    killed = path.with_name("killed.mst")
    shutil.copy(path, killed)
    if (journal := path.with_name("run.mst-journal")).exists():
        shutil.copy(journal, killed.with_name("killed.mst-journal"))

    before = [item.position.icount for item in TraceReader(str(killed)).items()]
    what(recorder)
    recorder.writer.commit(at(400))
    recorder.writer.close()

    assert before == [100, 200]
    assert [item.position.icount for item in TraceReader(str(path)).items()][:2] == [100, 150]


def test_mark_of_a_later_place_is_void_after_going_back(path: Path) -> None:
    writer = writer_at(path)
    early, late = writer.mark(), writer.mark()
    writer.rewind(late)
    writer.rewind(early)

    with pytest.raises(AssertionError, match="was put back to an earlier place"):
        writer.rewind(late)
    writer.rewind(early)
    writer.release(early)
    with pytest.raises(AssertionError, match="was released"):
        writer.rewind(early)
    writer.close()


def test_ring_drops_nothing_that_a_mark_may_need(path: Path) -> None:
    recorder = Recorder(writer_at(path), ring=1)
    recorder.step("event", 10)
    saved = recorder.save()
    for _ in range(3):
        recorder.step("event", 10)
        recorder.step("snapshot", 10)

    recorder.restore(saved)
    recorder.step("event", 5)
    recorder.finish()

    assert [item.position.icount for item in TraceReader(str(path)).items()] == [10, 15]


def test_ring_drops_at_once_when_the_last_mark_is_released(path: Path) -> None:
    recorder = Recorder(writer_at(path), ring=1)
    mark = recorder.writer.mark()
    for _ in range(3):
        recorder.step("event", 10)
        recorder.step("snapshot", 10)
    recorder.writer.release(mark)
    recorder.writer.commit(at(recorder.icount))
    recorder.writer.close()

    reader = TraceReader(str(path))

    assert [number for number, _ in reader.snapshot_positions()] == [3]
    assert list(reader.items()) == []
