"""What is in a trace: the version of the format, its tables and limits, and the values a reader gives back.

A trace is one SQLite file:

    meta            key, value (JSON): format, versions, configuration, and once the recording has ended: end
    blobs           firmware, kernel, initrd and further files, by SHA-256, in parts of 4 MiB; the host side at the end
    events          what the host decided: seq, kind, position, name, data, registers
    checkpoints     runs of timer passes between two events, packed (packing.py)
    outputs         what the guest sent: stream, position, data
    reached         one row: how far the recording had come at the last commit
    snapshots, snapshot_pages, pages    machine states; each page of RAM once

It is written in transactions, so a recording that was killed replays up to its last commit (writer.py). While it is
recorded nobody else can read it: a reader would hold up the writer. Untrusted files are opened read-only and checked
in full: schema, types, sizes, hashes, and the order of what they list; nothing is ever written next to them
(untrusted.py, reader.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

from minstret.emu.clock import ClockType
from minstret.emu.door.door import Position

FORMAT_VERSION = 4
SUFFIX = ".mst"
APPLICATION_ID = int.from_bytes(b"MSTR", "big")

PAGE_SIZE = 4096
"""Bytes in a page of RAM, and in one of the file."""
CHUNK_MAX = 4096
"""Checkpoints in one row at most."""
OUTPUT_MAX = 64 * 1024
"""Bytes of a stream in one row: with that many the next bytes begin a new row."""
ROW_SIZE_MAX = 1 << 24
"""Bytes in one value of the database. The writer keeps to it too."""
PART_SIZE_MAX = 1 << 22
"""Bytes of a file in one row."""
BLOB_SIZE_MAX = 1 << 30
BLOB_GAIN_MAX = 128 << 20
"""Bytes that compression may save in all files of a trace together. Beyond that, parts are stored as they are."""
META_ROWS_MAX, META_SIZE_MAX = 100, 1 << 20
NUMBER_MAX = (1 << 63) - 1
NAME_MAX = 64

HOST_AT_END = "host_at_end"
"""The key in meta for the SHA-256 of the host side's state where the recording ends, which is one of the blobs."""

SCHEMA = """
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

CLOCK_TYPES = tuple(ClockType)
"""The clocks by the number they have in packed checkpoints."""

DECIDED_BY_HOST = (ClockType.HOST, ClockType.VIRTUAL_RT)
"""Clocks whose value is in the trace."""


class Kind(IntEnum):
    """What an item of the trace is."""

    EVENT = 0
    ANSWER = 1
    CHECKPOINT = 2


class Item(NamedTuple):
    """One thing that must happen in a replay at the recorded position.

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


class Checkpoints(NamedTuple):
    """Checkpoints that follow each other, as one: ``first``, where the last one is, how many, and of which clocks."""

    first: Item
    last: Position
    total: int
    clocks: frozenset[str]

    def joined(self, later: Checkpoints) -> Checkpoints:
        """With those that follow right behind."""
        return Checkpoints(self.first, later.last, self.total + later.total, self.clocks | later.clocks)


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
    """How far a recording had come: the number of its next item, and the position."""

    seq: int
    position: Position


@dataclass(frozen=True, slots=True)
class Output:
    """What the guest sent on one stream: a frame, or bytes of a console."""

    stream: str
    position: Position
    data: bytes
