"""Traces that a test writes itself, without a machine."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from minstret.emu.clock import ClockType
from minstret.emu.door.door import Position
from minstret.emu.trace.format import PAGE_SIZE, Snapshot
from minstret.emu.trace.writer import TraceWriter

META = {
    "minstret": "0.1.0", "unicorn": "2.1.4", "config_version": 1, "config": {"icount_shift": 1},
    "images": {"append": ""},
}  # fmt: skip
SHIFT = 1
START = Position(0, 0)


def writer_at(path: Path, **options: Any) -> TraceWriter:
    """A new trace at ``path``; ``options`` as for TraceWriter."""
    return TraceWriter(str(path), META, options.pop("blobs", {}), shift=SHIFT, **options)


def end_at(position: Position) -> dict[str, object]:
    """What a trace says of a run that finished there."""
    return {
        "reason": "finished", "exit_code": 0, "icount": position.icount, "virtual_ns": position.virtual_ns,
        "digest": "d" * 64, "uart_sha256": "a" * 64, "registers": 5,
    }  # fmt: skip


def at(icount: int, warp_ns: int = 0) -> Position:
    """Where ``icount`` is, after so much virtual time skipped."""
    return Position(icount, (icount << SHIFT) + warp_ns)


def count_rows(path: Path, table: str) -> int:
    """How many rows a table of the trace has."""
    db = sqlite3.connect(path)
    try:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    finally:
        db.close()


def ticks(writer: TraceWriter, count: int, insns: int = 500, warp_ns: int = 999_000) -> Position:
    """A regular tick, so often; where the last one was."""
    for number in range(1, count + 1):
        writer.add_checkpoint(at(number * insns, number * warp_ns), ClockType.VIRTUAL, 0, number)
    return at(count * insns, count * warp_ns)


def page(fill: int) -> bytes:
    """A page of the same byte."""
    return bytes((fill,)) * PAGE_SIZE


def snapshot(number: int, position: Position, seq: int = 0) -> Snapshot:
    """A snapshot whose states say nothing but ``number``."""
    return Snapshot(number, seq, position, 7, {"hart": [number]}, {"parts": {}})
