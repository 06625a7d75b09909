"""The trace: one SQLite file with everything a replay needs. Reader and writer side by side, with the format's version.

    meta            key, value (JSON): format, versions, configuration, and once the recording has ended: end
    blobs           firmware, kernel, initrd and further files, by SHA-256, in parts of 4 MiB
    events          what the host decided: seq, kind, position, name, data, registers
    checkpoints     runs of timer passes between two events, packed (see _pack)
    outputs         what the guest sent: stream, position, data
    reached         one row: how far the recording had come at the last commit
    snapshots, snapshot_pages, pages    machine states; each page of RAM once

Written in transactions, so a recording that was killed replays up to its last commit. While it is recorded nobody
else can read it: a reader would hold up the writer. A stranger's file is opened read-only and believed in nothing:
schema, types, sizes, hashes, and the order of what it lists are checked; nothing is ever written next to it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import reprlib
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

from minstret.emu.clock import ICOUNT_SHIFT_MAX, ClockType
from minstret.emu.door.door import Position
from minstret.emu.errors import TraceError
from minstret.emu.newfile import NewFile
from minstret.emu.text import printable
from minstret.emu.trace.untrusted import ROW_SIZE_MAX, UntrustedDatabase, has_database_head

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FORMAT_VERSION = 3
SUFFIX = ".mst"
APPLICATION_ID = int.from_bytes(b"MSTR", "big")

PAGE_SIZE = 4096
_PAGE_LEVEL, _BLOB_LEVEL = 1, 9
_CHUNK_MAX = 4096
"""Checkpoints in one row at most."""
_OUTPUT_MAX = 64 * 1024
_PART_SIZE_MAX = 1 << 22
_BLOB_SIZE_MAX = 1 << 30
_BLOB_GAIN_MAX = 128 << 20
"""Bytes that compression may spare the files of a trace in all: what is all zeros beyond that is kept as it is."""
_STATE_SIZE_MAX = 1 << 22
_CHUNK_SIZE_MAX = 1 << 18
_META_ROWS_MAX, _META_SIZE_MAX = 100, 1 << 20
_PACKED_PAGE_MAX = 2 * PAGE_SIZE
_SNAPSHOT_BYTES_MIN = 512
"""A snapshot takes more, so a file has room for so many."""
_NUMBER_MAX = (1 << 63) - 1
_NAME_MAX = 64

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE blobs (sha256 BLOB NOT NULL, part INTEGER NOT NULL, size INTEGER NOT NULL, data BLOB NOT NULL,
 PRIMARY KEY (sha256, part)) WITHOUT ROWID;
CREATE TABLE events (seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL, icount INTEGER NOT NULL,
 virtual_ns INTEGER NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL, registers INTEGER NOT NULL);
CREATE TABLE checkpoints (first_seq INTEGER PRIMARY KEY, count INTEGER NOT NULL, icount INTEGER NOT NULL,
 virtual_ns INTEGER NOT NULL, data BLOB NOT NULL, registers INTEGER NOT NULL);
CREATE TABLE outputs (id INTEGER PRIMARY KEY, stream TEXT NOT NULL, icount INTEGER NOT NULL,
 virtual_ns INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE reached (id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, icount INTEGER NOT NULL,
 virtual_ns INTEGER NOT NULL);
CREATE TABLE snapshots (id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, icount INTEGER NOT NULL,
 virtual_ns INTEGER NOT NULL, registers INTEGER NOT NULL, machine BLOB NOT NULL, host BLOB NOT NULL);
CREATE TABLE pages (sha256 BLOB PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE snapshot_pages (snapshot INTEGER NOT NULL, page INTEGER NOT NULL, sha256 BLOB NOT NULL,
 PRIMARY KEY (snapshot, page)) WITHOUT ROWID;
"""


class Kind(IntEnum):
    """What an item of the trace is."""

    EVENT = 0
    ANSWER = 1
    CHECKPOINT = 2


class Item(NamedTuple):
    """One thing that replay must come by.

    ``name`` is the event's target, the answer's name or the checkpoint's clock; ``data`` what came, or the clock's
    value where that is the host's decision. ``registers`` is the chained register hash with this item, where it was
    kept: for the last checkpoint of a run of them.
    """

    seq: int
    kind: Kind
    position: Position
    name: str
    data: bytes
    registers: int | None

    def __str__(self) -> str:
        if self.kind is Kind.CHECKPOINT:
            return f"checkpoint of the {self.name} clock"
        what = "event" if self.kind is Kind.EVENT else "answer"
        return f"{what} '{self.name} {describe(self.data)}'"


def describe(data: bytes) -> str:
    """A few bytes as hex; more as a count."""
    return f"0x{data.hex()}" if 0 < len(data) <= 8 else f"{len(data)} bytes"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole machine between two turns; pages of RAM apart. ``seq`` is the number of the next item."""

    id: int
    seq: int
    position: Position
    registers: int
    machine: dict[str, Any]
    host: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a recording had come."""

    seq: int
    position: Position


@dataclass(frozen=True, slots=True)
class Output:
    """What the guest sent on one stream: a frame, or bytes of a console."""

    stream: str
    position: Position
    data: bytes


CLOCK_TYPES = tuple(ClockType)
_DECIDED_BY_HOST = (ClockType.HOST, ClockType.VIRTUAL_RT)


# ---- packed checkpoints


class _Pass(NamedTuple):
    """A checkpoint as distances from the one before: instructions, and virtual ns beyond those instructions' own."""

    clock: int
    insns: int
    warp_ns: int
    value: int


def _put_varint(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


class _Varints:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def next(self) -> int:
        value = shift = 0
        while True:
            if self._at >= len(self._data) or shift > 63:
                raise ValueError("a number without an end")
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if value >= 1 << 64:
            raise ValueError("a number beyond 64 bits")
        return value


def pack_checkpoints(passes: list[tuple[_Pass, int]]) -> bytes:
    """Runs of equal passes, each as varints: count * 4 + clock, instructions, warp, value; zstd where that is less."""
    out = bytearray()
    for one, count in passes:
        _put_varint(out, count * len(CLOCK_TYPES) + one.clock)
        _put_varint(out, one.insns)
        _put_varint(out, one.warp_ns)
        if CLOCK_TYPES[one.clock] in _DECIDED_BY_HOST:
            _put_varint(out, one.value)
    packed = zstd.compress(bytes(out), _BLOB_LEVEL)
    return b"z" + packed if len(packed) < len(out) else b"r" + bytes(out)


def _unpack_checkpoints(data: bytes) -> Iterator[tuple[_Pass, int]]:
    raw = _decompress(data[1:], _CHUNK_SIZE_MAX) if data[:1] == b"z" else data[1:]
    numbers = _Varints(raw)
    while numbers:
        count, clock = divmod(numbers.next(), len(CLOCK_TYPES))
        insns, warp_ns = numbers.next(), numbers.next()
        has_value = CLOCK_TYPES[clock] in _DECIDED_BY_HOST
        yield _Pass(clock, insns, warp_ns, numbers.next() if has_value else 0), count


def _decompress(data: bytes, size_max: int) -> bytes:
    decompressor = zstd.ZstdDecompressor()
    out = decompressor.decompress(data, max_length=size_max + 1)
    if len(out) > size_max or not decompressor.eof or decompressor.unused_data:
        raise ValueError("a compressed part is larger than it may be, or cut short")
    return out


# ---- writing


class TraceWriter:
    """Writes one trace. Until ``begin`` it is in memory, and the path as it was; later each ``commit`` adds to it."""

    def __init__(self, path: str, meta: Mapping[str, Any], blobs: Mapping[bytes, bytes], *, shift: int,
                 overwrite: bool = False) -> None:  # fmt: skip
        """Look whether the file can be made.

        Args:
            path: Where.
            meta: What a replay must know, JSON-like.
            blobs: Files by their SHA-256.
            shift: The icount shift, with which virtual time follows from icount.
            overwrite: Replace an existing file.
        Raises:
            TraceError: it exists, is being recorded, or can't be written.
        """
        self.path = path
        self._shift = shift
        self._next_seq = 0
        self._reached = Position(0, 0)
        self._passes: list[tuple[_Pass, int]] = []  # but for the last run of equal ones
        self._pass = (0, 0, 0, 0)
        self._pass_count = 0
        self._chunk_count = 0
        self._chunk_start = Position(0, 0)
        self._last_checkpoint = Position(0, 0)
        self._chunk_registers = 0
        self._stream: tuple[str, Position, bytearray] | None = None
        self._page_hashes: dict[int, bytes] = {}
        self._page_uses: dict[bytes, int] = {}  # rows of snapshot_pages that name it
        self._base = 0
        self._base_pages: dict[int, tuple[int, bytes]] = {}  # the row of each page up to snapshot _base, after a drop
        self._failure: TraceError | None = None
        self._file = NewFile(path, overwrite)
        self._has_begun = False
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        self._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, ROW_SIZE_MAX)
        self._db.executescript(
            f"PRAGMA page_size={PAGE_SIZE}; PRAGMA application_id={APPLICATION_ID};"
            f"PRAGMA user_version={FORMAT_VERSION}; {_SCHEMA} BEGIN;"
        )
        for key, value in {"format": FORMAT_VERSION, **meta}.items():
            self._db.execute("INSERT INTO meta VALUES (?, ?)", (key, json.dumps(value, sort_keys=True)))
        self._db.executemany("INSERT INTO blobs VALUES (?, ?, ?, ?)", _parts(blobs))
        self._db.execute("INSERT INTO reached VALUES (0, 0, 0, 0)")

    def begin(self) -> None:
        """Put what there is so far at the path, whole: a trace that goes up to instruction 0.

        Raises:
            TraceError: it can't be written; what was at the path is there still.
        """
        if self._has_begun:
            return
        self._execute("COMMIT", ())
        with closing(self._db) as db:
            self._file.publish(_file_of(db))
        self._has_begun = True
        self._db = sqlite3.connect(os.path.abspath(self.path), isolation_level=None)
        self._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, ROW_SIZE_MAX)
        for pragma in ("locking_mode=EXCLUSIVE", "synchronous=OFF", "journal_mode=DELETE"):
            self._execute(f"PRAGMA {pragma}", ())
        self._execute("BEGIN EXCLUSIVE", ())

    @property
    def next_seq(self) -> int:
        """The number of the next item."""
        return self._next_seq

    def add_event(self, kind: Kind, position: Position, name: str, data: bytes, registers: int) -> None:
        """Write an event or an answer."""
        self._close_chunk()
        row = (self._next_seq, kind, position.icount, position.virtual_ns, name, data, registers)
        self._execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        self._next_seq += 1

    def add_checkpoint(self, position: Position, clock: ClockType, value: int, registers: int) -> None:
        """Note that a pass of ``clock``'s timers begins; ``value`` is its time where the host decides that."""
        if not self._chunk_count:
            self._chunk_start = self._last_checkpoint = position
        icount, virtual_ns = position
        last_icount, last_ns = self._last_checkpoint
        insns = icount - last_icount
        warp_ns = virtual_ns - last_ns - (insns << self._shift)
        one = (CLOCK_TYPES.index(clock), insns, warp_ns, value if clock in _DECIDED_BY_HOST else 0)
        if one == self._pass:
            self._pass_count += 1
        else:
            self._close_pass()
            self._pass, self._pass_count = one, 1
        self._chunk_count += 1
        self._next_seq += 1
        self._last_checkpoint, self._chunk_registers = position, registers
        if self._chunk_count >= _CHUNK_MAX:
            self._close_chunk()

    def _close_pass(self) -> None:
        if self._pass_count:
            self._passes.append((_Pass(*self._pass), self._pass_count))
            self._pass_count = 0

    def checkpoint_size(self, position: Position, clock: ClockType) -> int:
        """Bytes that a checkpoint here would take, before compression."""
        out, last = bytearray(), self._last_checkpoint
        insns = position.icount - last.icount
        _put_varint(out, len(CLOCK_TYPES) + CLOCK_TYPES.index(clock))
        _put_varint(out, insns)
        _put_varint(out, max(0, position.virtual_ns - last.virtual_ns - (insns << self._shift)))
        return len(out)

    def put_meta(self, key: str, value: Any) -> None:
        """Write, or write anew, something about the whole recording."""
        self._execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value, sort_keys=True)))

    def _close_chunk(self) -> None:
        if not self._chunk_count:
            return
        self._close_pass()
        start = self._chunk_start
        row = (self._next_seq - self._chunk_count, self._chunk_count, start.icount, start.virtual_ns,
               pack_checkpoints(self._passes), self._chunk_registers)  # fmt: skip
        self._execute("INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, ?)", row)
        self._passes, self._chunk_count = [], 0

    def add_output(self, stream: str, position: Position, data: bytes, is_message: bool) -> None:
        """Write what the guest sent; bytes that are no message of their own are joined to those before."""
        if is_message:
            self._close_stream()
            self._write_output(Output(stream, position, data))
            return
        if self._stream is not None and (self._stream[0] != stream or len(self._stream[2]) >= _OUTPUT_MAX):
            self._close_stream()
        if self._stream is None:
            self._stream = (stream, position, bytearray())
        self._stream[2].extend(data)

    def _close_stream(self) -> None:
        if self._stream is not None:
            stream, position, data = self._stream
            self._stream = None
            self._write_output(Output(stream, position, bytes(data)))

    def _write_output(self, output: Output) -> None:
        at = output.position
        row = (output.stream, at.icount, at.virtual_ns, output.data)
        self._execute("INSERT INTO outputs (stream, icount, virtual_ns, data) VALUES (?, ?, ?, ?)", row)

    def add_snapshot(self, snapshot: Snapshot, pages: Mapping[int, bytes | memoryview]) -> None:
        """Write a snapshot; ``pages`` are those that have changed since the one before, by number."""
        at = snapshot.position
        row = (snapshot.id, snapshot.seq, at.icount, at.virtual_ns, snapshot.registers,
               _pack_state(snapshot.machine), _pack_state(snapshot.host))  # fmt: skip
        self._execute("INSERT INTO snapshots VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        rows: list[tuple[int, int, bytes]] = []
        self._execute_many("INSERT INTO pages VALUES (?, ?)", self._new_pages(snapshot.id, pages, rows))
        self._execute_many("INSERT INTO snapshot_pages VALUES (?, ?, ?)", rows)

    def _new_pages(
        self, snapshot_id: int, pages: Mapping[int, bytes | memoryview], rows: list[tuple[int, int, bytes]]
    ) -> Iterator[tuple[bytes, bytes]]:
        """Pages that are not in the file yet, by hash, one by one; ``rows`` becomes what each page of RAM is now."""
        compressor = zstd.ZstdCompressor(_PAGE_LEVEL)
        for number, page in pages.items():
            sha256 = hashlib.sha256(page).digest()
            if self._page_hashes.get(number) == sha256:  # written, but as before
                continue
            self._page_hashes[number] = sha256
            rows.append((snapshot_id, number, sha256))
            uses = self._page_uses.get(sha256, 0)
            self._page_uses[sha256] = uses + 1
            if not uses:
                yield sha256, compressor.compress(page, zstd.ZstdCompressor.FLUSH_FRAME)

    def drop_before(self, snapshot_id: int) -> None:
        """Forget everything before a snapshot: the trace then starts there."""
        self._close_chunk()
        self._close_stream()
        query = "SELECT seq, icount FROM snapshots WHERE id = ?"
        seq, icount = self._execute(query, (snapshot_id,)).fetchone()
        self._execute("DELETE FROM events WHERE seq < ?", (seq,))
        self._execute("DELETE FROM checkpoints WHERE first_seq < ? AND first_seq + count <= ?", (seq, seq))
        query = "SELECT id FROM outputs WHERE icount >= ? ORDER BY id LIMIT 1"
        first_kept = self._execute(query, (icount,)).fetchone()
        self._execute("DELETE FROM outputs WHERE id < ?", first_kept or (_NUMBER_MAX,))
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
                self._page_uses[older[1]] -= 1
                if not self._page_uses[older[1]]:
                    del self._page_uses[older[1]]
                    unused.append((older[1],))
            self._base_pages[page] = (snapshot, sha256)
        self._base = snapshot_id
        self._execute_many("DELETE FROM snapshot_pages WHERE snapshot = ? AND page = ?", superseded)
        self._execute_many("DELETE FROM pages WHERE sha256 = ?", sorted(unused))

    def commit(self, position: Position) -> None:
        """Put everything so far into the file, with the position as how far it goes.

        Raises:
            TraceError: it can't be; what was committed before stays good.
        """
        self.begin()
        self._close_chunk()
        self._close_stream()
        row = (self._next_seq, position.icount, position.virtual_ns)
        self._execute("UPDATE reached SET seq = ?, icount = ?, virtual_ns = ?", row)
        self._execute("COMMIT", ())
        self._reached = position
        self._execute("BEGIN", ())

    def finish(self, end: Mapping[str, Any], position: Position) -> None:
        """Write how the recording ended, and close the file."""
        self.put_meta("end", dict(end))
        self.commit(position)
        self.close()

    def close(self) -> None:
        """Close the file; what was not committed is gone."""
        with suppress(sqlite3.Error):
            self._db.rollback()
        self._db.close()
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
            self._failure = TraceError(
                f"{self.path}: can't write it: {error}; the recording is good up to icount {self._reached.icount:,}"
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


def _parts(blobs: Mapping[bytes, bytes]) -> Iterator[tuple[bytes, int, int, bytes]]:
    """The rows of files: each part compressed, but where that spares nothing, or too much in all."""
    gain = 0
    for sha256, data in blobs.items():
        for number, at in enumerate(range(0, len(data), _PART_SIZE_MAX)):
            part = data[at : at + _PART_SIZE_MAX]
            packed = zstd.compress(part, _BLOB_LEVEL) if gain < _BLOB_GAIN_MAX - _PART_SIZE_MAX else part
            if len(packed) >= len(part):
                packed = part
            gain += len(part) - len(packed)
            yield sha256, number, len(part), packed


def _pack_state(state: dict[str, Any]) -> bytes:
    text = json.dumps(state, sort_keys=True, separators=(",", ":")).encode()
    if len(text) > _STATE_SIZE_MAX:
        raise TraceError(f"the machine's state takes {len(text)} bytes, more than a snapshot holds")
    return zstd.compress(text, _PAGE_LEVEL)


# ---- reading


class TraceReader:
    """Reads one trace. Every method raises TraceError where the file is not what it should be."""

    def __init__(self, path: str) -> None:
        """Open and check the file.

        Raises:
            TraceError: no such file, no trace, a damaged one, or one of another format version.
        """
        self.path = path
        self._blobs: dict[str, bytes] = {}
        self._gain = 0  # what compression has spared the blobs read so far
        self._db = UntrustedDatabase(path)
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
            wanted.executescript(_SCHEMA)
            if list(self._rows(query)) != wanted.execute(query).fetchall():
                raise ValueError("its tables are not those of a trace")
        self.meta = self._read_meta()
        _check_meta(self.meta)
        reached, end = self.reached(), self.end
        if end is not None and Position(end["icount"], end["virtual_ns"]) != reached.position:
            raise ValueError(f"it ends at icount {end['icount']}, and goes up to {reached.position.icount}")
        self._first_seq = 0
        if (first := self.meta.get("first_snapshot")) is not None:
            self._first_seq = self._snapshot_seq(first)

    def _read_meta(self) -> dict[str, Any]:
        sql = f"SELECT key, CASE WHEN length(value) <= {_META_SIZE_MAX} THEN value END FROM meta"
        texts: dict[str, str] = {}
        for key, value in self._rows(sql):
            texts[self._name(key)] = value
            if value is None or len(texts) > _META_ROWS_MAX or sum(map(len, texts.values())) > _META_SIZE_MAX:
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
        if not _is_count(value):
            raise self._damaged(f"{_short(value)} where a count should be")
        return int(value)

    def _name(self, value: Any) -> str:
        """A name that can be shown at a terminal."""
        if not isinstance(value, str) or not _is_name(value):
            raise self._damaged(f"{_short(value)} where a name should be")
        return value

    def _data(self, value: Any) -> bytes:
        if not isinstance(value, bytes):
            raise self._damaged(f"{_short(value)} where bytes should be")
        return value

    def _position(self, icount: Any, virtual_ns: Any) -> Position:
        return Position(self._number(icount), self._number(virtual_ns))

    def blob(self, sha256: str) -> bytes:
        """A file by its hash, in hex."""
        try:
            key = bytes.fromhex(sha256)
        except (ValueError, TypeError):
            raise self._damaged(f"{_short(sha256)} is no hash") from None
        if sha256 in self._blobs:
            return self._blobs[sha256]
        content, count = io.BytesIO(), 0
        for number, size, data in self._rows("SELECT part, size, data FROM blobs WHERE sha256 = ? ORDER BY part", key):
            if number != count:
                raise self._damaged(f"part {count} of a file is not in it")
            if not 0 <= self._number(size) <= _PART_SIZE_MAX:
                raise self._damaged(f"a part of {size} bytes in it")
            self._gain += size - len(self._data(data))
            if self._gain > _BLOB_GAIN_MAX or content.tell() + size > _BLOB_SIZE_MAX:
                raise self._damaged("a file in it is larger than it may be")
            part = data if len(data) == size else self._unpacked(data, size)
            if len(part) != size:
                raise self._damaged("a file in it has another size")
            content.write(part)
            count += 1
        if not count:
            raise self._damaged(f"the file {printable(sha256, _NAME_MAX)[:16]} is not in it")
        raw = content.getvalue()
        if hashlib.sha256(raw).digest() != key:
            raise self._damaged("a file in it has another hash")
        self._blobs[sha256] = raw
        return raw

    def _unpacked(self, data: Any, size_max: int) -> bytes:
        try:
            return _decompress(self._data(data), size_max)
        except (zstd.ZstdError, ValueError) as error:
            raise self._damaged(error) from None

    def items(self, first_seq: int = 0) -> Iterator[Item]:
        """All items from ``first_seq`` on, in order, without a gap."""
        reached = self.reached()
        seq, order = max(first_seq, self._first_seq), _Order(self.shift, reached.position)
        for items in self._merged(seq):
            if items[0].seq != seq:
                raise self._damaged(f"item {items[0].seq} where {seq} should be")
            if seq + len(items) > reached.seq:
                raise self._damaged(f"item {reached.seq} behind its end")
            for item in (items[0], items[-1]):  # time can't go back between them
                if not order.accepts(item.position):
                    raise self._damaged(f"item {item.seq} is out of order")
            yield from items
            seq += len(items)
        if seq < reached.seq:
            raise self._damaged(f"item {seq} is missing, of {reached.seq}")

    def _merged(self, first_seq: int) -> Iterator[Sequence[Item]]:
        """Events one by one, checkpoints a row at a time: numbered without a gap, at positions that go up."""
        events = self._events(first_seq)
        event = next(events, None)
        for checkpoints in self._checkpoints(first_seq):
            while event is not None and event.seq < checkpoints[0].seq:
                yield (event,)
                event = next(events, None)
            yield checkpoints
        while event is not None:
            yield (event,)
            event = next(events, None)

    def _events(self, first_seq: int) -> Iterator[Item]:
        sql = "SELECT seq, kind, icount, virtual_ns, name, data, registers FROM events WHERE seq >= ? ORDER BY seq"
        for seq, kind, icount, virtual_ns, name, data, registers in self._rows(sql, first_seq):
            if kind not in (Kind.EVENT, Kind.ANSWER):
                raise self._damaged(f"item {seq} is of no known kind")
            position = self._position(icount, virtual_ns)
            yield Item(seq, Kind(kind), position, self._name(name), self._data(data), self._number(registers))

    def _checkpoints(self, first_seq: int) -> Iterator[list[Item]]:
        sql = ("SELECT first_seq, count, icount, virtual_ns, data, registers FROM checkpoints"
               " WHERE first_seq + count > ? ORDER BY first_seq")  # fmt: skip
        for start, count, icount, virtual_ns, data, registers in self._rows(sql, first_seq):
            at = self._position(icount, virtual_ns)
            count, data, registers = self._number(count), self._data(data), self._number(registers)
            try:
                chunk = self._chunk(self._number(start), count, at, data, registers, first_seq)
            except (ValueError, zstd.ZstdError) as error:
                raise self._damaged(f"checkpoints from {start}: {error}") from None
            yield chunk

    def _chunk(self, start: int, count: int, at: Position, data: bytes, registers: int,
               first_seq: int) -> list[Item]:  # fmt: skip
        if not 0 < count <= _CHUNK_MAX:
            raise ValueError(f"{count} of them")
        icount, virtual_ns, seq, end = at.icount, at.virtual_ns, start, start + count
        items, shift = [], self.shift
        for one, repeats in _unpack_checkpoints(data):
            if not 0 < repeats <= end - seq:
                raise ValueError("a run of an impossible length")
            clock = CLOCK_TYPES[one.clock].value
            value = one.value.to_bytes(8, "little") if one.value else b""
            insns, step_ns = one.insns, (one.insns << shift) + one.warp_ns
            for _ in range(repeats):
                icount += insns
                virtual_ns += step_ns
                if seq >= first_seq:
                    position = Position(icount, virtual_ns)
                    items.append(Item(seq, Kind.CHECKPOINT, position, clock, value, None))
                seq += 1
        if seq != end:
            raise ValueError(f"{seq - start} where {count} are announced")
        items[-1] = items[-1]._replace(registers=registers)
        return items

    def outputs(self, from_icount: int = 0) -> Iterator[Output]:
        """What the guest sent from ``from_icount`` on, in order."""
        sql = "SELECT id, stream, icount, virtual_ns, data FROM outputs WHERE icount >= ? ORDER BY id"
        last_id, order = 0, _Order(self.shift, self.reached().position)
        for number, name, icount, virtual_ns, data in self._rows(sql, from_icount):
            position = self._position(icount, virtual_ns)
            if number <= last_id or not order.accepts(position):
                raise self._damaged(f"output {number} is out of order")
            yield Output(self._name(name), position, self._data(data))
            last_id = number

    def snapshot_positions(self) -> list[tuple[int, Position]]:
        """(id, position) of every snapshot, in order."""
        found: list[tuple[int, Position]] = []
        order = _Order(self.shift, self.reached().position)
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

    def _state(self, number: int, data: Any) -> dict[str, Any]:
        try:
            state = json.loads(self._unpacked(data, _STATE_SIZE_MAX))
        except (ValueError, RecursionError) as error:
            raise self._damaged(f"snapshot {number}: {error}") from None
        if not isinstance(state, dict):
            raise self._damaged(f"snapshot {number} is none")
        return state

    def pages(self, number: int) -> Iterator[tuple[int, bytes]]:
        """The pages that differ from RAM at power-on in snapshot ``number``, checked against their hashes."""
        sql = ("SELECT page, max(snapshot), CASE WHEN length(sha256) = 32 THEN sha256 END FROM snapshot_pages"
               " WHERE snapshot <= ? GROUP BY page ORDER BY page")  # fmt: skip
        page_sql = f"SELECT CASE WHEN length(data) <= {_PACKED_PAGE_MAX} THEN data END FROM pages WHERE sha256 = ?"
        for page, _, sha256 in self._rows(sql, number):
            for (data,) in self._rows(page_sql, sha256):
                if data is None:
                    raise self._damaged(f"page {_short(page)} is larger than it may be")
                raw = self._unpacked(data, PAGE_SIZE)
                if len(raw) != PAGE_SIZE or hashlib.sha256(raw).digest() != sha256:
                    raise self._damaged(f"page {_short(page)} has another hash")
                yield self._number(page), raw
                break
            else:
                raise self._damaged(f"page {_short(page)} of snapshot {number} is not in it")

    def counts(self) -> dict[str, int]:
        """How many items of each kind there are, without reading them; together, so many as it says."""
        first = self._first_seq
        sql = "SELECT total(kind = ?), total(kind = ?) FROM events WHERE seq >= ?"
        events, answers = map(int, next(self._rows(sql, Kind.EVENT, Kind.ANSWER, first)))
        sql = ("SELECT total(min(count, first_seq + count - ?)), min(count), max(count) FROM checkpoints"
               " WHERE first_seq + count > ?")  # fmt: skip
        checkpoints, least, most = next(self._rows(sql, first, first))
        if least is not None and not (_is_count(least) and _is_count(most) and 0 < least <= most <= _CHUNK_MAX):
            raise self._damaged(f"checkpoints from {_short(least)} to {_short(most)} at once")
        counted, expected = events + answers + int(checkpoints), self.reached().seq - first
        if counted != expected:
            raise self._damaged(f"{counted} items, of {expected}")
        return {"events": events, "answers": answers, "checkpoints": int(checkpoints)}

    def first_stop(self, first_seq: int) -> tuple[int, Position] | None:
        """Number and position of the first item from ``first_seq`` on that is no answer."""
        sql = "SELECT seq, icount, virtual_ns FROM events WHERE seq >= ? AND kind <> ? ORDER BY seq LIMIT 1"
        found = [(self._number(seq), self._position(icount, virtual_ns))
                 for seq, icount, virtual_ns in self._rows(sql, first_seq, Kind.ANSWER)]  # fmt: skip
        chunk = next(self._checkpoints(first_seq), None)
        if chunk is not None:
            found.append((chunk[0].seq, chunk[0].position))
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


class _Order:
    """Checks that positions never go back, and stay within a recording."""

    def __init__(self, shift: int, end: Position) -> None:
        self._shift, self._end = shift, end
        self._icount = self._warp_ns = 0

    def accepts(self, position: Position) -> bool:
        """Whether ``position`` may come next."""
        icount, warp_ns = position.icount, position.virtual_ns - (position.icount << self._shift)
        if icount < self._icount or warp_ns < self._warp_ns:
            return False
        self._icount, self._warp_ns = icount, warp_ns
        return icount <= self._end.icount and position.virtual_ns <= self._end.virtual_ns


def has_trace_head(path: str) -> bool:
    """Whether a file looks like a trace, whatever its name."""
    return has_database_head(path)


_END_KINDS = {
    "reason": "name", "exit_code": "code", "icount": "count", "virtual_ns": "count", "digest": "name",
    "uart_sha256": "name", "registers": "count",
}  # fmt: skip


def _check_meta(meta: dict[str, Any]) -> None:
    """Raise ValueError where ``meta`` lacks something, or has something of another kind."""
    for key in ("minstret", "unicorn", "config", "images"):
        if key not in meta:
            raise ValueError(f"it lacks {key}")
    _check_kinds("it", meta, {
        "minstret": "name", "unicorn": "name", "config": "object", "images": "object",
        **({"end": "object"} if "end" in meta else {}),
        **({"first_snapshot": "count"} if "first_snapshot" in meta else {}),
    })  # fmt: skip
    _check_kinds("config", meta["config"], {"icount_shift": "count"})
    if meta["config"]["icount_shift"] > ICOUNT_SHIFT_MAX:
        raise ValueError(f"config: icount_shift is {_short(meta['config']['icount_shift'])}")
    _check_kinds("images", meta["images"], {"append": "text"})
    for role in meta["images"].keys() - {"append"}:
        _check_kinds("images", meta["images"], {role: "object"})
        _check_kinds(f"images: {_short(role)}", meta["images"][role], {"name": "text", "sha256": "name"})
    if "end" in meta:
        _check_kinds("end", meta["end"], _END_KINDS)


def _check_kinds(what: str, found: dict[str, Any], kinds: Mapping[str, str]) -> None:
    for key, kind in kinds.items():
        if key not in found or not _KINDS[kind](found[key]):
            raise ValueError(f"{what}: {_short(key)} is {_short(found.get(key))}, not a {kind}")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable() and 0 < len(value) <= _NAME_MAX


_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "count": _is_count,
    "code": lambda value: value is None or (isinstance(value, int) and not isinstance(value, bool)),
    "name": _is_name,
    "text": lambda value: isinstance(value, str),
    "object": lambda value: isinstance(value, dict),
}


def _short(value: object) -> str:
    """``value`` for a line of text, whatever it is."""
    return reprlib.repr(value)
