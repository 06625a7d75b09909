"""Writes a trace: in memory until the recording begins, then into its file, in transactions; or in memory only.

Owns the numbering of items and outputs, the open row of checkpoints, the open row of a stream's bytes, and which pages
of RAM the file has. All of it can be put back to a mark. What the rows mean is in format.py, how they are packed in
packing.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minstret.emu.clock import ClockType
from minstret.emu.door.door import Position
from minstret.emu.errors import TraceError
from minstret.emu.newfile import NewFile
from minstret.emu.trace.format import (
    APPLICATION_ID,
    CHUNK_MAX,
    FORMAT_VERSION,
    NUMBER_MAX,
    OUTPUT_MAX,
    PAGE_SIZE,
    ROW_SIZE_MAX,
    SCHEMA,
    Kind,
    Output,
    Snapshot,
)
from minstret.emu.trace.packing import OpenChunk, pack_parts, pack_state, page_packer

_IN_MEMORY = "the recording in memory"
_PAGES_AT_ONCE = 8192
"""Pages of RAM that are packed before any is written: some 16 MiB."""


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """A place in a trace that is being written, see TraceWriter.mark."""

    next_seq: int
    next_output: int
    snapshot: int
    """The last snapshot's id."""
    drop: int
    """The id of the snapshot where a ring begins."""
    last: Position
    """Of the last event or answer."""
    chunk: OpenChunk
    stream: tuple[str, Position, bytes] | None


class OpenRows:
    """The tables of a trace that is being written, for TraceReader. Nobody else writes them, so they are trusted."""

    size_bytes = 1 << 62

    def __init__(self, path: str, db: Callable[[], sqlite3.Connection]) -> None:
        self.path = path
        self._db = db

    def rows(self, sql: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """What a query finds."""
        for row in self._db().execute(sql, values):  # noqa: UP028  # it would close the cursor after the database
            yield row

    def damaged(self, what: object) -> TraceError:
        """What to say where something is not as it should be."""
        return TraceError(f"{self.path}: {what}")

    def close(self) -> None:
        """The writer closes them."""


class TraceWriter:
    """Writes one trace. Until ``begin`` it is in memory, and the path as it was; later each ``commit`` adds to it."""

    def __init__(self, path: str | None, meta: Mapping[str, Any], blobs: Mapping[bytes, bytes], *, shift: int,
                 overwrite: bool = False) -> None:  # fmt: skip
        """Look whether the file can be made.

        Args:
            path: Where; None: in memory only.
            meta: What a replay must know, JSON-like.
            blobs: Files by their SHA-256.
            shift: The icount shift, with which virtual time follows from icount.
            overwrite: Replace an existing file.
        Raises:
            TraceError: it exists, is being recorded, or can't be written.
        """
        self.path = _IN_MEMORY if path is None else path
        self._shift = shift
        self._next_seq = 0
        self._reached = Position(0, 0)
        self._last = Position(0, 0)  # of the last event or answer
        self._chunk = OpenChunk()
        self._next_output = 1
        self._stream: tuple[str, Position, bytearray] | None = None
        self._last_snapshot = 0
        self._marks: list[Mark] = []  # those that are valid, in the order of their places
        self._drop = 0  # the snapshot before which all is to be dropped; _base says how far that is done
        self._page_hashes: dict[int, bytes] = {}
        self._page_uses: dict[bytes, int] = {}  # rows of snapshot_pages that name it
        self._base = 0
        self._base_pages: dict[int, tuple[int, bytes]] = {}  # the row of each page up to snapshot _base, after a drop
        self._failure: TraceError | None = None
        self._file = None if path is None else NewFile(path, overwrite)
        self._has_begun = False
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        self._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, ROW_SIZE_MAX)
        self._db.executescript(
            f"PRAGMA page_size={PAGE_SIZE}; PRAGMA application_id={APPLICATION_ID};"
            f"PRAGMA user_version={FORMAT_VERSION}; {SCHEMA} BEGIN;"
        )
        for key, value in {"format": FORMAT_VERSION, **meta}.items():
            self._db.execute("INSERT INTO meta VALUES (?, ?)", (key, json.dumps(value, sort_keys=True)))
        self._db.executemany("INSERT INTO blobs VALUES (?, ?, ?, ?)", pack_parts(blobs))
        self._db.execute("INSERT INTO reached VALUES (0, 0, 0, 0)")

    def begin(self) -> None:
        """Put what there is so far at the path, whole: a trace that goes up to instruction 0.

        Raises:
            TraceError: it can't be written; what was at the path is there still.
        """
        if self._has_begun:
            return
        self._has_begun = True
        if self._file is None:
            return
        self._execute("COMMIT", ())
        with closing(self._db) as db:
            self._file.publish(_file_of(db))
        self._db = sqlite3.connect(os.path.abspath(self.path), isolation_level=None)
        self._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, ROW_SIZE_MAX)
        for pragma in ("locking_mode=EXCLUSIVE", "synchronous=OFF", "journal_mode=DELETE"):
            self._execute(f"PRAGMA {pragma}", ())
        self._execute("BEGIN EXCLUSIVE", ())

    def begin_with(self, snapshot: Snapshot, pages: Mapping[int, bytes]) -> None:
        """Begin with a snapshot in place of power-on; ``pages`` are those that differ from power-on, by number.

        Raises:
            TraceError: it can't be written; what was at the path is there still.
        """
        self.add_snapshot(snapshot, pages)
        self.put_meta("first_snapshot", snapshot.id)
        self._go_up_to(snapshot.position)
        self.begin()

    @property
    def next_seq(self) -> int:
        """The number of the next item."""
        return self._next_seq

    def add_event(self, kind: Kind, position: Position, name: str, data: bytes, registers: int) -> None:
        """Write an event or an answer."""
        assert position >= self._last and position >= self._chunk.last, (position, self._last, self._chunk.last)
        self._last = position
        self._close_chunk()
        row = (self._next_seq, kind, position.icount, position.virtual_ns, name, data, registers)
        self._execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        self._next_seq += 1

    def add_checkpoint(self, position: Position, clock: ClockType, value: int, registers: int) -> None:
        """Note that a pass of ``clock``'s timers begins; ``value`` is its time where the host decides that."""
        self._chunk.add(position, clock, value, registers, self._shift)
        self._next_seq += 1
        if self._chunk.count >= CHUNK_MAX:
            self._close_chunk()

    def checkpoint_size(self, position: Position, clock: ClockType) -> int:
        """Bytes that a checkpoint here would take, before compression."""
        return self._chunk.size_of(position, clock, self._shift)

    def put_meta(self, key: str, value: Any) -> None:
        """Write, or write anew, something about the whole recording."""
        self._execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value, sort_keys=True)))

    def add_blob(self, data: bytes) -> str:
        """Keep ``data`` as a file; its SHA-256, in hex."""
        sha256 = hashlib.sha256(data).digest()
        self._execute_many("INSERT OR REPLACE INTO blobs VALUES (?, ?, ?, ?)", pack_parts({sha256: data}))
        return sha256.hex()

    def _close_chunk(self) -> None:
        chunk = self._chunk
        if not chunk.count:
            return
        row = (self._next_seq - chunk.count, chunk.count, chunk.start.icount, chunk.start.virtual_ns, chunk.packed(),
               chunk.registers)  # fmt: skip
        self._execute("INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, ?)", row)
        self._chunk = OpenChunk(last=chunk.last)

    def goes_on(self, stream: str, data: bytes) -> bool:
        """Join what the guest sent to the bytes before, if those are the same stream's; whether that was done."""
        row = self._stream
        if row is None or row[0] != stream or len(row[2]) >= OUTPUT_MAX:
            return False
        row[2].extend(data)
        return True

    def add_output(self, stream: str, position: Position, data: bytes, is_message: bool) -> None:
        """Write what the guest sent; bytes that are no message of their own are joined to those before."""
        if is_message:
            self._close_stream()
            self._write_output(Output(stream, position, data))
        elif not self.goes_on(stream, data):
            self._close_stream()
            self._stream = (stream, position, bytearray(data))

    def add_some(self, stream: str, position: Position, data: bytes) -> int:
        """Write so much of what the guest sent, byte by byte, as belongs together; how much that was.

        ``position`` is that of the first byte.
        """
        self.add_output(stream, position, data[:1], is_message=False)
        assert self._stream is not None
        gathered = self._stream[2]
        more = data[1 : 1 + max(0, OUTPUT_MAX - len(gathered))]
        gathered.extend(more)
        return 1 + len(more)

    def _close_stream(self) -> None:
        if self._stream is not None:
            stream, position, data = self._stream
            self._stream = None
            self._write_output(Output(stream, position, bytes(data)))

    def _write_output(self, output: Output) -> None:
        at = output.position
        row = (self._next_output, output.stream, at.icount, at.virtual_ns, output.data)
        self._execute("INSERT INTO outputs VALUES (?, ?, ?, ?, ?)", row)
        self._next_output += 1

    def add_snapshot(self, snapshot: Snapshot, pages: Mapping[int, bytes | memoryview]) -> None:
        """Write a snapshot; ``pages`` are those that have changed since the one before, by number."""
        at = snapshot.position
        row = (snapshot.id, snapshot.seq, at.icount, at.virtual_ns, snapshot.registers,
               pack_state(snapshot.machine), pack_state(snapshot.host))  # fmt: skip
        self._execute("INSERT INTO snapshots VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        rows: list[tuple[int, int, bytes]] = []
        self._execute_many("INSERT INTO pages VALUES (?, ?)", self._new_pages(snapshot.id, pages, rows))
        self._execute_many("INSERT INTO snapshot_pages VALUES (?, ?, ?)", rows)
        self._last_snapshot = snapshot.id

    def _new_pages(
        self, snapshot_id: int, pages: Mapping[int, bytes | memoryview], rows: list[tuple[int, int, bytes]]
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pages that are not in the file yet, by hash; ``rows`` becomes what each page of RAM is now.

        They come in batches, each in the order of the hashes: the table is a tree in that order, and inserting them at
        random takes twice as long.
        """
        pack_page = page_packer()
        batch: list[tuple[bytes, bytes]] = []
        for number, page in pages.items():
            sha256 = hashlib.sha256(page).digest()
            if self._page_hashes.get(number) == sha256:  # written, but as before
                continue
            self._page_hashes[number] = sha256
            rows.append((snapshot_id, number, sha256))
            uses = self._page_uses.get(sha256, 0)
            self._page_uses[sha256] = uses + 1
            if not uses:
                batch.append((sha256, pack_page(page)))
            if len(batch) >= _PAGES_AT_ONCE:
                yield from sorted(batch)
                batch.clear()
        yield from sorted(batch)

    def drop_before(self, snapshot_id: int) -> None:
        """Forget everything before a snapshot: the trace then starts there.

        While a mark needs it, it stays in the file.
        """
        self._close_chunk()
        self._close_stream()
        self._drop = snapshot_id
        self._drop_what_no_mark_needs()

    def _drop_what_no_mark_needs(self) -> None:
        snapshot_id = self._marks[0].drop if self._marks else self._drop
        if snapshot_id <= self._base:
            return
        query = "SELECT seq, icount FROM snapshots WHERE id = ?"
        seq, icount = self._execute(query, (snapshot_id,)).fetchone()
        self._execute("DELETE FROM events WHERE seq < ?", (seq,))
        self._execute("DELETE FROM checkpoints WHERE first_seq < ? AND first_seq + count <= ?", (seq, seq))
        query = "SELECT id FROM outputs WHERE icount >= ? ORDER BY id LIMIT 1"
        first_kept = self._execute(query, (icount,)).fetchone()
        self._execute("DELETE FROM outputs WHERE id < ?", first_kept or (NUMBER_MAX,))
        self._execute("DELETE FROM snapshots WHERE id < ?", (snapshot_id,))
        self._drop_pages_before(snapshot_id)
        self.put_meta("first_snapshot", snapshot_id)

    def _drop_pages_before(self, snapshot_id: int) -> None:
        """Keep of each page what it is in the oldest snapshot kept: the row of the last one that changed it."""
        query = ("SELECT snapshot, page, sha256 FROM snapshot_pages WHERE snapshot > ? AND snapshot <= ?"
                 " ORDER BY snapshot, page")  # fmt: skip
        superseded, unused = [], []
        for snapshot, page, sha256 in self._execute(query, (self._base, snapshot_id)):
            if (older := self._base_pages.get(page)) is not None:
                superseded.append((older[0], page))
                if self._stops_using(older[1]):
                    unused.append((older[1],))
            self._base_pages[page] = (snapshot, sha256)
        self._base = snapshot_id
        self._execute_many("DELETE FROM snapshot_pages WHERE snapshot = ? AND page = ?", superseded)
        self._execute_many("DELETE FROM pages WHERE sha256 = ?", sorted(unused))

    # ---- read while it is written

    def split(self) -> tuple[int, int]:
        """Begin new rows: the numbers of the next item and of the next output."""
        self._close_stream()
        return self._next_seq, self._next_output

    def rows_up_to(self, position: Position) -> OpenRows:
        """For a reader in this process: what was written up to ``position``, where the recording now is."""
        self._go_up_to(position)
        return OpenRows(self.path, lambda: self._db)

    # ---- going back

    def mark(self) -> Mark:
        """This place, to come back to with ``rewind``.

        It is valid until it is released, or the trace is put back to an earlier place. Each valid mark holds the open
        rows in memory, and while there are any, a ring drops nothing that it had at the oldest of them.
        """
        stream = None if self._stream is None else (self._stream[0], self._stream[1], bytes(self._stream[2]))
        mark = Mark(
            self._next_seq, self._next_output, self._last_snapshot, self._drop, self._last, self._chunk.copy(), stream
        )
        self._marks.append(mark)
        return mark

    def rewind(self, mark: Mark) -> None:
        """Put the trace back to ``mark``: what is written from here on makes the trace that never went further.

        Marks of later places become invalid; ``mark`` itself stays valid. What ``add_snapshot`` is given next must
        again be the pages that have changed since the last snapshot before the mark. The file shows it with the next
        commit: until then a killed recording has what it had before.

        Raises:
            TraceError: the file can't be written.
        """
        self._marks = self._marks[: self._index_of(mark) + 1]
        self._execute("DELETE FROM events WHERE seq >= ?", (mark.next_seq,))
        self._execute("DELETE FROM checkpoints WHERE first_seq >= ?", (mark.next_seq - mark.chunk.count,))
        self._execute("DELETE FROM outputs WHERE id >= ?", (mark.next_output,))
        if self._last_snapshot != mark.snapshot:
            self._execute("DELETE FROM snapshots WHERE id > ?", (mark.snapshot,))
            self._take_back_pages(mark.snapshot)
        self._drop, self._last = mark.drop, mark.last
        self._next_seq, self._next_output, self._last_snapshot = mark.next_seq, mark.next_output, mark.snapshot
        self._chunk = mark.chunk.copy()
        self._stream = None if mark.stream is None else (mark.stream[0], mark.stream[1], bytearray(mark.stream[2]))

    def release(self, mark: Mark) -> None:
        """Nobody will come back to ``mark``."""
        del self._marks[self._index_of(mark)]
        self._drop_what_no_mark_needs()

    def is_valid(self, mark: Mark) -> bool:
        """Whether the trace can be put back there."""
        return mark in self._marks

    def _index_of(self, mark: Mark) -> int:
        assert mark in self._marks, "this mark was released, or the trace was put back to an earlier place"
        return self._marks.index(mark)

    def _take_back_pages(self, snapshot_id: int) -> None:
        """Forget the pages of the snapshots after ``snapshot_id``."""
        unused: list[tuple[bytes]] = []
        query = "SELECT sha256 FROM snapshot_pages WHERE snapshot > ? ORDER BY snapshot, page"
        for (sha256,) in self._execute(query, (snapshot_id,)):
            if self._stops_using(sha256):
                unused.append((sha256,))
        self._execute("DELETE FROM snapshot_pages WHERE snapshot > ?", (snapshot_id,))
        self._execute_many("DELETE FROM pages WHERE sha256 = ?", unused)
        query = "SELECT page, sha256, max(snapshot) FROM snapshot_pages GROUP BY page"
        self._page_hashes = {page: sha256 for page, sha256, _ in self._execute(query, ())}

    def _stops_using(self, sha256: bytes) -> bool:
        """Count one row less that names a page; whether that was the last."""
        self._page_uses[sha256] -= 1
        if self._page_uses[sha256]:
            return False
        del self._page_uses[sha256]
        return True

    # ---- into the file

    def commit(self, position: Position) -> None:
        """Put everything so far into the file, with the position as how far it goes.

        Raises:
            TraceError: it can't be; what was committed before stays good.
        """
        self.begin()
        self._go_up_to(position)
        self._execute("COMMIT", ())
        self._reached = position
        self._execute("BEGIN", ())

    def _go_up_to(self, position: Position) -> None:
        """Write the rows that are open, and how far the recording goes."""
        self._close_chunk()
        self._close_stream()
        row = (self._next_seq, position.icount, position.virtual_ns)
        self._execute("UPDATE reached SET seq = ?, icount = ?, virtual_ns = ?", row)

    def finish(self, end: Mapping[str, Any], position: Position) -> None:
        """Write how the recording ended, and close the file."""
        self._marks = []
        self._drop_what_no_mark_needs()
        self.put_meta("end", dict(end))
        self.commit(position)
        self.close()

    def close(self) -> None:
        """Close the file; what was not committed is gone."""
        with suppress(sqlite3.Error):
            self._db.rollback()
        self._db.close()
        if self._file is not None:
            self._file.close()

    def _execute(self, sql: str, row: tuple[Any, ...]) -> sqlite3.Cursor:
        return self._safely(self._db.execute, sql, row)

    def _execute_many(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self._safely(self._db.executemany, sql, rows)

    def _safely(self, execute: Callable[[str, Any], sqlite3.Cursor], sql: str, values: Any) -> sqlite3.Cursor:
        if self._failure is not None:  # SQLite has taken back the transaction: nothing may be written outside of one
            raise self._failure
        try:
            return execute(sql, values)
        except sqlite3.Error as error:
            why = str(error).rstrip(".")
            self._failure = TraceError(
                f"{self.path}: can't write it: {why}; the recording is good up to icount {self._reached.icount:,}"
            )
            raise self._failure from None


def _file_of(db: sqlite3.Connection) -> bytes:
    """The bytes of a file with the database."""
    if hasattr(db, "serialize"):
        return db.serialize()
    with tempfile.TemporaryDirectory(prefix="minstret-") as folder:  # SQLite before 3.36
        path = os.path.join(folder, "trace")
        with closing(sqlite3.connect(path)) as copy:
            db.backup(copy)
        return Path(path).read_bytes()
