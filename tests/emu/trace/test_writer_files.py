"""The writer: where the file goes, when it is there, and what becomes of one that was there."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from support.written_traces import META, SHIFT, START, at, end_at, writer_at

from minstret.emu.errors import TraceError
from minstret.emu.trace.format import Kind, Reached
from minstret.emu.trace.reader import TraceReader
from minstret.emu.trace.writer import TraceWriter


@pytest.fixture
def taken(path: Path) -> Path:
    """A file that somebody has there already."""
    path.write_bytes(b"precious")
    return path


def test_existing_file_is_left_alone(taken: Path) -> None:
    with pytest.raises(TraceError) as caught:
        writer_at(taken)

    assert str(caught.value) == f"{taken}: exists already; give another name with -o, or -f to overwrite it"
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

    with pytest.raises(TraceError, match=r": exists already; give another name with -o, or -f to overwrite it$"):
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

    with pytest.raises(TraceError, match=r": is not a regular file; give another name with -o$"):
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
