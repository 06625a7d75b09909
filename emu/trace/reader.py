"""Reads a trace, and checks what it reads: the file may come from anybody.

Every method raises TraceError where the file is not what it should be. What is checked about any file before and while
SQLite reads it is in untrusted.py; what the rows mean is in format.py, how they are packed in packing.py.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sqlite3
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from minstret.emu.door.door import Position
from minstret.emu.errors import TraceError
from minstret.emu.text import printable
from minstret.emu.trace.format import (
    APPLICATION_ID,
    BLOB_GAIN_MAX,
    BLOB_SIZE_MAX,
    CHUNK_MAX,
    FORMAT_VERSION,
    HOST_AT_END,
    META_ROWS_MAX,
    META_SIZE_MAX,
    NAME_MAX,
    NUMBER_MAX,
    PAGE_SIZE,
    PART_SIZE_MAX,
    SCHEMA,
    Checkpoints,
    Item,
    Kind,
    Output,
    Reached,
    Snapshot,
)
from minstret.emu.trace.packing import PACKED_PAGE_MAX, Chunk, unpack_page, unpack_part, unpack_state
from minstret.emu.trace.untrusted import Order, UntrustedDatabase, check_meta, is_count, is_name, shown

_SNAPSHOT_BYTES_MIN = 512
"""A snapshot takes more than this many bytes, which bounds how many a file can have."""


class _Stretch(NamedTuple):
    """Of the items those from one to another, both included, by number and by icount."""

    first_seq: int = 0
    last_seq: int = NUMBER_MAX
    first_icount: int = 0
    last_icount: int = NUMBER_MAX

    def holds(self, seq: int, icount: int) -> bool:
        return self.first_seq <= seq <= self.last_seq and self.first_icount <= icount <= self.last_icount

    def is_before(self, seq: int, icount: int) -> bool:
        return seq > self.last_seq or icount > self.last_icount


class Rows(Protocol):
    """What a reader asks: a stranger's file, or the tables of a recording under way."""

    size_bytes: int

    def rows(self, sql: str, *values: Any) -> Iterator[tuple[Any, ...]]: ...

    def damaged(self, what: object) -> TraceError: ...

    def close(self) -> None: ...


def reached_so_far(path: str) -> Position | None:
    """How far a recording of our own has come that is being written; None where that can't be told just now.

    For showing it: nothing is checked, and nothing locked.
    """
    try:
        with closing(sqlite3.connect(f"{Path(path).as_uri()}?mode=ro&immutable=1", timeout=0, uri=True)) as db:
            row = db.execute("SELECT icount, virtual_ns FROM reached").fetchone()
    except sqlite3.Error:
        return None
    return None if row is None else Position(*row)


class TraceReader:
    """Reads one trace. Every method raises TraceError where the file is not what it should be."""

    def __init__(self, path: str, rows: Rows | None = None) -> None:
        """Open and check the file.

        Args:
            path: Where it is, also for messages.
            rows: Its tables, where they are open already.
        Raises:
            TraceError: no such file, no trace, a damaged one, or one of another format version.
        """
        self.path = path
        self._blobs: dict[str, bytes] = {}
        self._gain = 0  # bytes that compression has saved in the blobs read so far
        self._db: Rows = UntrustedDatabase(path) if rows is None else rows
        try:
            self._check()
        except (ValueError, TypeError, RecursionError) as error:
            self.close()
            raise self._damaged(error) from None
        except TraceError:
            self.close()
            raise

    def _damaged(self, what: object) -> TraceError:
        return self._db.damaged(what)

    def _check(self) -> None:
        if next(self._rows("PRAGMA application_id"))[0] != APPLICATION_ID:
            raise TraceError(f"{self.path}: not a trace (made by minstret record)")
        version = next(self._rows("PRAGMA user_version"))[0]
        if version == 0:
            raise self.nothing_recorded()
        if version != FORMAT_VERSION:
            raise TraceError(
                f"{self.path}: a trace of format {version}; this minstret reads format {FORMAT_VERSION}:"
                " use the one that recorded it"
            )
        query = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name LIMIT 100"
        with closing(sqlite3.connect(":memory:")) as wanted:
            wanted.executescript(SCHEMA)
            if list(self._rows(query)) != wanted.execute(query).fetchall():
                raise ValueError("its tables are not those of a trace")
        self.meta = self._read_meta()
        check_meta(self.meta)
        reached, end = self.reached(), self.end
        if end is not None and Position(end["icount"], end["virtual_ns"]) != reached.position:
            raise ValueError(f"it ends at icount {end['icount']}, and goes up to {reached.position.icount}")
        self._first_seq = 0
        if (first := self.meta.get("first_snapshot")) is not None:
            self._first_seq = self._snapshot_seq(first)

    def _read_meta(self) -> dict[str, Any]:
        sql = f"SELECT key, CASE WHEN length(value) <= {META_SIZE_MAX} THEN value END FROM meta"
        texts: dict[str, str] = {}
        for key, value in self._rows(sql):
            texts[self._name(key)] = value
            if value is None or len(texts) > META_ROWS_MAX or sum(map(len, texts.values())) > META_SIZE_MAX:
                raise ValueError("what it says of itself is too long")
        return {key: json.loads(value) for key, value in texts.items()}

    def _snapshot_seq(self, number: int) -> int:
        for (seq,) in self._rows("SELECT seq FROM snapshots WHERE id = ?", number):
            return self._number(seq)
        raise ValueError(f"it begins with snapshot {number}, which is not in it")

    def close(self) -> None:
        self._db.close()

    def _rows(self, sql: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        return self._db.rows(sql, *values)

    @property
    def shift(self) -> int:
        return int(self.meta["config"]["icount_shift"])

    @property
    def to_type(self) -> str:
        """What a command needs to replay it: the classes of the user's devices, and its path."""
        classes = dict.fromkeys(str(facts["class"]) for facts in self.meta.get("devices", []))
        return "".join(f"--device {name} " for name in classes) + self.path

    @property
    def end(self) -> dict[str, Any] | None:
        """How the recording ended; None where it was killed."""
        return self.meta.get("end")

    @property
    def is_of_nothing(self) -> bool:
        """Whether the recording was killed before its first instruction, or before the first commit behind that."""
        return self.end is None and self.reached().position == Position(0, 0)

    def nothing_recorded(self) -> TraceError:
        """What to say of such a trace."""
        return TraceError(f"{self.path}: nothing was recorded yet: the recording was killed in its first moments")

    def reached(self) -> Reached:
        """How far it goes."""
        for seq, icount, virtual_ns in self._rows("SELECT seq, icount, virtual_ns FROM reached"):
            return Reached(self._number(seq), self._position(icount, virtual_ns))
        raise self._damaged("it does not say how far it goes")

    def _number(self, value: Any) -> int:
        if not is_count(value):
            raise self._damaged(f"{shown(value)} where a count should be")
        return int(value)

    def _name(self, value: Any) -> str:
        """A name that can be shown at a terminal."""
        if not isinstance(value, str) or not is_name(value):
            raise self._damaged(f"{shown(value)} where a name should be")
        return value

    def _data(self, value: Any) -> bytes:
        if not isinstance(value, bytes):
            raise self._damaged(f"{shown(value)} where bytes should be")
        return value

    def _position(self, icount: Any, virtual_ns: Any) -> Position:
        return Position(self._number(icount), self._number(virtual_ns))

    def blob(self, sha256: str) -> bytes:
        """A file by its hash, in hex."""
        try:
            key = bytes.fromhex(sha256)
        except (ValueError, TypeError):
            raise self._damaged(f"{shown(sha256)} is no hash") from None
        if sha256 in self._blobs:
            return self._blobs[sha256]
        content, count = io.BytesIO(), 0
        for number, size, data in self._rows("SELECT part, size, data FROM blobs WHERE sha256 = ? ORDER BY part", key):
            if number != count:
                raise self._damaged(f"part {count} of a file is not in it")
            if not 0 <= self._number(size) <= PART_SIZE_MAX:
                raise self._damaged(f"a part of {size} bytes in it")
            self._gain += size - len(self._data(data))
            if self._gain > BLOB_GAIN_MAX or content.tell() + size > BLOB_SIZE_MAX:
                raise self._damaged("a file in it is larger than it may be")
            try:
                content.write(unpack_part(data, size))
            except ValueError as error:
                raise self._damaged(error) from None
            count += 1
        if not count:
            raise self._damaged(f"the file {printable(sha256, NAME_MAX)[:16]} is not in it")
        raw = content.getvalue()
        if hashlib.sha256(raw).digest() != key:
            raise self._damaged("a file in it has another hash")
        self._blobs[sha256] = raw
        return raw

    def items(self, first_seq: int = 0) -> Iterator[Item]:
        """All items from ``first_seq`` on, in order, without a gap."""
        for one in self._pieces(max(first_seq, self._first_seq)):
            if isinstance(one, Item):
                yield one
            else:
                yield from one.items(first_seq)

    def groups(self, from_icount: int = 0, to_icount: int | None = None) -> Iterator[Item | Checkpoints]:
        """Items of a stretch of icount, both ends included; checkpoints that follow each other as one, not listed."""
        last = NUMBER_MAX if to_icount is None else to_icount
        return self._groups(self._first_seq, _Stretch(first_icount=from_icount, last_icount=last))

    def groups_before(self, seq: int, count: int) -> list[Item | Checkpoints]:
        """The last ``count`` of ``groups`` before item ``seq``, in order; fewer where there are no more."""
        sql = "SELECT seq FROM events WHERE seq < ? ORDER BY seq DESC LIMIT ?"
        events = [self._number(number) for (number,) in self._rows(sql, seq, count)]
        first = max(self._first_seq, events[-1] if len(events) == count else 0)
        return list(deque(self._groups(first, _Stretch(last_seq=seq - 1)), maxlen=count))

    def groups_from(self, seq: int) -> Iterator[Item | Checkpoints]:
        """``groups`` from item ``seq`` on."""
        return self._groups(max(seq, self._first_seq), _Stretch(first_seq=seq))

    def seq_at(self, position: Position) -> int:
        """The number of the first item at a position or behind it; of the next one to be where there is none."""
        for one in self._pieces(self._first_seq):
            if isinstance(one, Item):
                if one.position >= position:
                    return one.seq
            elif one.last >= position:
                return next(item.seq for item in one.items(self._first_seq) if item.position >= position)
        return self.reached().seq

    def _groups(self, first_seq: int, stretch: _Stretch) -> Iterator[Item | Checkpoints]:
        """What is in ``stretch`` from item ``first_seq`` on."""
        run: Checkpoints | None = None
        for one in self._pieces(first_seq):
            if isinstance(one, Chunk):
                found = self._part_of(one, stretch)
                if found is not None:
                    run = found if run is None else run.joined(found)
                continue
            if stretch.is_before(one.seq, one.position.icount):
                break
            if stretch.holds(one.seq, one.position.icount):
                if run is not None:
                    yield run
                    run = None
                yield one
        if run is not None:
            yield run

    def _part_of(self, chunk: Chunk, stretch: _Stretch) -> Checkpoints | None:
        """Those within a stretch as one; None where there are none."""
        whole = chunk.counted()
        first, last_seq = whole.first, chunk.seq + chunk.count - 1
        if (
            chunk.seq >= self._first_seq
            and stretch.holds(first.seq, first.position.icount)
            and stretch.holds(last_seq, whole.last.icount)
        ):
            return whole
        found = [item for item in chunk.items(self._first_seq) if stretch.holds(item.seq, item.position.icount)]
        if not found:
            return None
        return Checkpoints(found[0], found[-1].position, len(found), frozenset(item.name for item in found))

    def _pieces(self, first_seq: int) -> Iterator[Item | Chunk]:
        """Events and rows of checkpoints from ``first_seq`` on, which may be within a row; checked to be in order."""
        reached = self.reached()
        seq, order = first_seq, Order(self.shift, reached.position)
        for one in self._merged(seq):
            count = 1
            positions = [one.position] if isinstance(one, Item) else [one.start, one.last]
            start = one.seq
            if isinstance(one, Chunk):
                start = max(one.seq, first_seq)
                count = one.seq + one.count - start
            if start != seq:
                raise self._damaged(f"item {start} where {seq} should be")
            seq += count
            if seq > reached.seq:
                raise self._damaged(f"item {reached.seq} behind its end")
            if not all(order.accepts(position) for position in positions):  # within a row time can't go back
                raise self._damaged(f"item {start} is out of order")
            yield one
        if seq < reached.seq:
            raise self._damaged(f"item {seq} is missing, of {reached.seq}")

    def _merged(self, first_seq: int) -> Iterator[Item | Chunk]:
        """Events one by one, checkpoints a row at a time, by number."""
        events = self._events(first_seq)
        event = next(events, None)
        for chunk in self._chunks(first_seq):
            while event is not None and event.seq < max(chunk.seq, first_seq):
                yield event
                event = next(events, None)
            yield chunk
        while event is not None:
            yield event
            event = next(events, None)

    def _events(self, first_seq: int) -> Iterator[Item]:
        sql = "SELECT seq, kind, icount, virtual_ns, name, data, registers FROM events WHERE seq >= ? ORDER BY seq"
        for seq, kind, icount, virtual_ns, name, data, registers in self._rows(sql, first_seq):
            if kind not in (Kind.EVENT, Kind.ANSWER):
                raise self._damaged(f"item {seq} is of no known kind")
            position = self._position(icount, virtual_ns)
            yield Item(seq, Kind(kind), position, self._name(name), self._data(data), self._number(registers))

    def _chunks(self, first_seq: int) -> Iterator[Chunk]:
        sql = ("SELECT first_seq, count, icount, virtual_ns, data, registers FROM checkpoints"
               " WHERE first_seq > ? AND first_seq + count > ? ORDER BY first_seq")  # fmt: skip
        for start, count, icount, virtual_ns, data, registers in self._rows(sql, first_seq - CHUNK_MAX, first_seq):
            at = self._position(icount, virtual_ns)
            count, data, registers = self._number(count), self._data(data), self._number(registers)
            try:
                chunk = Chunk(self._number(start), count, at, data, registers, self.shift)
            except ValueError as error:
                raise self._damaged(f"checkpoints from {start}: {error}") from None
            yield chunk

    def outputs(self, from_icount: int = 0) -> Iterator[Output]:
        """What the guest sent from ``from_icount`` on, in order."""
        for _, output in self.numbered_outputs(self.first_output(from_icount)):
            yield output

    def first_output(self, from_icount: int) -> int:
        """The id of the first output from ``from_icount`` on; where there is none, one that no output has."""
        sql = "SELECT id FROM outputs WHERE icount >= ? ORDER BY id LIMIT 1"
        return next((int(number) for (number,) in self._rows(sql, from_icount)), NUMBER_MAX)

    def numbered_outputs(self, first_id: int) -> Iterator[tuple[int, Output]]:
        """(id, output) from output ``first_id`` on, in order."""
        sql = "SELECT id, stream, icount, virtual_ns, data FROM outputs WHERE id >= ? ORDER BY id"
        last_id, order = 0, Order(self.shift, self.reached().position)
        for number, name, icount, virtual_ns, data in self._rows(sql, first_id):
            position = self._position(icount, virtual_ns)
            if number <= last_id or not order.accepts(position):
                raise self._damaged(f"output {number} is out of order")
            yield number, Output(self._name(name), position, self._data(data))
            last_id = number

    def last_snapshot(self, icount: int) -> int | None:
        """The id of the last snapshot up to an icount; None where there is none, so that one begins at power-on."""
        return next((number for number, at in reversed(self.snapshot_positions()) if at.icount <= icount), None)

    def snapshot_positions(self) -> list[tuple[int, Position]]:
        """(id, position) of every snapshot, in order."""
        found: list[tuple[int, Position]] = []
        order = Order(self.shift, self.reached().position)
        for number, icount, virtual_ns in self._rows("SELECT id, icount, virtual_ns FROM snapshots ORDER BY id"):
            position = self._position(icount, virtual_ns)
            if number <= (found[-1][0] if found else -1) or not order.accepts(position):
                raise self._damaged(f"snapshot {number} is out of order")
            found.append((number, position))
            if len(found) * _SNAPSHOT_BYTES_MIN > self._db.size_bytes:
                raise self._damaged("more snapshots than it has room for")
        return found

    def snapshot(self, number: int) -> Snapshot:
        """A snapshot by its id."""
        sql = "SELECT seq, icount, virtual_ns, registers, machine, host FROM snapshots WHERE id = ?"
        for seq, icount, virtual_ns, registers, machine, host in self._rows(sql, number):
            return Snapshot(
                number, self._number(seq), self._position(icount, virtual_ns), self._number(registers),
                self._state(number, machine), self._state(number, host),
            )  # fmt: skip
        raise TraceError(f"{self.path}: there is no snapshot {number}")

    def host_at_end(self) -> dict[str, Any] | None:
        """The host side's state where the recording ends; None where it is not in the trace."""
        sha256 = self.meta.get(HOST_AT_END)
        return None if sha256 is None else self._unpacked("the host side at its end", self.blob(sha256))

    def _state(self, number: int, data: Any) -> dict[str, Any]:
        return self._unpacked(f"snapshot {number}", self._data(data))

    def _unpacked(self, what: str, data: bytes) -> dict[str, Any]:
        try:
            state = unpack_state(data)
        except (ValueError, RecursionError) as error:
            raise self._damaged(f"{what}: {error}") from None
        if not isinstance(state, dict):
            raise self._damaged(f"{what} is none")
        return state

    def pages(self, number: int) -> Iterator[tuple[int, bytes]]:
        """The pages that differ from RAM at power-on in snapshot ``number``, checked against their hashes."""
        sql = ("SELECT page, max(snapshot), CASE WHEN length(sha256) = 32 THEN sha256 END FROM snapshot_pages"
               " WHERE snapshot <= ? GROUP BY page ORDER BY page")  # fmt: skip
        page_sql = f"SELECT CASE WHEN length(data) <= {PACKED_PAGE_MAX} THEN data END FROM pages WHERE sha256 = ?"
        for page, _, sha256 in self._rows(sql, number):
            for (data,) in self._rows(page_sql, sha256):
                if data is None:
                    raise self._damaged(f"page {shown(page)} is larger than it may be")
                try:
                    raw = unpack_page(self._data(data))
                except ValueError as error:
                    raise self._damaged(error) from None
                if len(raw) != PAGE_SIZE or hashlib.sha256(raw).digest() != sha256:
                    raise self._damaged(f"page {shown(page)} has another hash")
                yield self._number(page), raw
                break
            else:
                raise self._damaged(f"page {shown(page)} of snapshot {number} is not in it")

    def next_answer(self, name: str, first_seq: int) -> bytes | None:
        """What the host answered next to a question of that name, from item ``first_seq`` on; None: nothing more."""
        sql = "SELECT data FROM events WHERE seq >= ? AND kind = ? AND name = ? ORDER BY seq LIMIT 1"
        return next((self._data(data) for (data,) in self._rows(sql, first_seq, Kind.ANSWER, name)), None)

    def last_event(self, name: str, before_seq: int, kind: Kind = Kind.EVENT) -> tuple[int, Position] | None:
        """Number and position of the last event, or answer, before item ``before_seq``; of that name, or any with an
        empty one.
        """
        sql = ("SELECT seq, icount, virtual_ns FROM events WHERE seq < ? AND seq >= ? AND kind = ? AND ? IN ('', name)"
               " ORDER BY seq DESC LIMIT 1")  # fmt: skip
        for seq, icount, virtual_ns in self._rows(sql, before_seq, self._first_seq, kind, name):
            return self._number(seq), self._position(icount, virtual_ns)
        return None

    def counts(self) -> dict[str, int]:
        """How many items of each kind there are, without reading them. Their sum is checked."""
        first = self._first_seq
        sql = "SELECT total(kind = ?), total(kind = ?) FROM events WHERE seq >= ?"
        events, answers = map(int, next(self._rows(sql, Kind.EVENT, Kind.ANSWER, first)))
        sql = ("SELECT total(min(count, first_seq + count - ?)), min(count), max(count) FROM checkpoints"
               " WHERE first_seq + count > ?")  # fmt: skip
        checkpoints, least, most = next(self._rows(sql, first, first))
        if least is not None and not (is_count(least) and is_count(most) and 0 < least <= most <= CHUNK_MAX):
            raise self._damaged(f"checkpoints from {shown(least)} to {shown(most)} at once")
        counted, expected = events + answers + int(checkpoints), self.reached().seq - first
        if counted != expected:
            raise self._damaged(f"{counted} items, of {expected}")
        return {"events": events, "answers": answers, "checkpoints": int(checkpoints)}

    def first_stop(self, first_seq: int) -> tuple[int, Position] | None:
        """Number and position of the first item from ``first_seq`` on that is no answer."""
        sql = "SELECT seq, icount, virtual_ns FROM events WHERE seq >= ? AND kind <> ? ORDER BY seq LIMIT 1"
        found = [(self._number(seq), self._position(icount, virtual_ns))
                 for seq, icount, virtual_ns in self._rows(sql, first_seq, Kind.ANSWER)]  # fmt: skip
        chunk = next(self._chunks(first_seq), None)
        if chunk is not None:
            item = chunk.items(first_seq)[0]
            found.append((item.seq, item.position))
        return min(found, default=None)

    def sizes(self) -> dict[str, int]:
        """Bytes of data in each table, and of the file."""
        queries = {
            "events": "SELECT total(length(data) + length(name)) FROM events",
            "checkpoints": "SELECT total(length(data)) FROM checkpoints",
            "outputs": "SELECT total(length(data)) FROM outputs",
            "images": "SELECT total(length(data)) FROM blobs",
            "snapshots": "SELECT total(length(machine) + length(host)) FROM snapshots",
            "pages": "SELECT total(length(data)) FROM pages",
        }
        sizes = {name: int(next(self._rows(sql))[0]) for name, sql in queries.items()}
        return sizes | {"file": os.path.getsize(self.path)}
