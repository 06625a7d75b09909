"""A new file is at its path whole or not at all, one process writes it, and nothing is left beside it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from minstret.emu.errors import TraceError
from minstret.emu.newfile import NewFile, is_being_written

HOLDS = """
import sys
from minstret.emu.newfile import NewFile
file = NewFile(sys.argv[1], overwrite=False)
file.publish(b"theirs")
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.mst"


@contextmanager
def held_by_another_process(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", HOLDS, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        try:
            yield process
        finally:
            process.kill()


def test_file_is_there_once_it_is_published_and_not_before(path: Path) -> None:
    file = NewFile(str(path), overwrite=False)
    assert not path.exists()

    file.publish(b"data")

    assert path.read_bytes() == b"data"
    file.close()
    assert os.listdir(path.parent) == ["run.mst"]


def test_file_that_is_not_published_leaves_nothing(path: Path) -> None:
    NewFile(str(path), overwrite=False).close()

    assert os.listdir(path.parent) == []


def test_old_file_stays_until_the_new_one_is_whole(path: Path) -> None:
    path.write_bytes(b"old")
    file = NewFile(str(path), overwrite=True)
    assert path.read_bytes() == b"old"

    file.publish(b"new")

    assert path.read_bytes() == b"new"
    file.close()
    assert os.listdir(path.parent) == ["run.mst"]


def test_old_files_journal_goes_with_it(path: Path) -> None:
    path.write_bytes(b"old")
    journal = path.with_name("run.mst-journal")
    journal.write_bytes(b"of the old one")
    file = NewFile(str(path), overwrite=True)
    assert journal.exists()

    file.publish(b"new")

    assert not journal.exists()
    file.close()


@pytest.mark.parametrize(
    ("make", "overwrite", "text"),
    [
        (
            lambda path: path.write_bytes(b"old"),
            False,
            "exists already; give another name with -o, or -f to overwrite it",
        ),
        (lambda path: path.mkdir(), True, "is a folder; give a file"),
        (lambda path: os.mkfifo(path), True, "is not a regular file; give another name with -o"),
        (
            lambda path: path.symlink_to("nowhere"),
            False,
            "exists already; give another name with -o, or -f to overwrite it",
        ),
    ],
    ids=["file", "folder", "fifo", "link"],
)
def test_what_may_not_be_overwritten_is_refused_at_once(path: Path, make: object, overwrite: bool, text: str) -> None:
    make(path)  # type: ignore[operator]

    with pytest.raises(TraceError) as caught:
        NewFile(str(path), overwrite=overwrite)

    assert str(caught.value) == f"{path}: {text}"
    assert os.listdir(path.parent) == ["run.mst"]


def test_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"/none/run\.mst: can't write it: No such file or directory$"):
        NewFile(str(tmp_path / "none" / "run.mst"), overwrite=False)


def test_file_that_came_meanwhile_is_not_overwritten(path: Path) -> None:
    file = NewFile(str(path), overwrite=False)
    path.write_bytes(b"somebody else's")

    with pytest.raises(TraceError, match="exists"):
        file.publish(b"mine")

    file.close()
    assert path.read_bytes() == b"somebody else's"
    assert os.listdir(path.parent) == ["run.mst"]


def test_file_that_another_process_writes_is_left_to_it(path: Path) -> None:
    with held_by_another_process(path):
        assert is_being_written(str(path))
        with pytest.raises(TraceError, match="is being recorded by another process"):
            NewFile(str(path), overwrite=True)
        assert path.read_bytes() == b"theirs"


def test_lock_ends_with_a_process_that_is_killed(path: Path) -> None:
    with held_by_another_process(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()

        assert not is_being_written(str(path))
        file = NewFile(str(path), overwrite=True)
        file.publish(b"mine")
        assert is_being_written(str(path))
        file.close()

    assert path.read_bytes() == b"mine"
    assert not is_being_written(str(path))


def test_file_that_this_process_writes_is_not_opened_a_second_time(path: Path) -> None:
    first = NewFile(str(path), overwrite=False)
    first.publish(b"first")

    with pytest.raises(TraceError, match="is being recorded"):
        NewFile(str(path), overwrite=True)

    assert is_being_written(str(path))
    first.close()
    assert not is_being_written(str(path))


def test_sqlite_can_write_what_is_locked_for_this_process(path: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE t (x)")
        data = db.serialize()
    file = NewFile(str(path), overwrite=False)
    file.publish(data)

    with closing(sqlite3.connect(path)) as db:
        db.execute("INSERT INTO t VALUES (1)")
        db.commit()

    file.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT x FROM t").fetchall() == [(1,)]
