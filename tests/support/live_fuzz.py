"""Traces whose host side was spoilt, for going live from them: at their end, and in a snapshot."""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from support.own_devices import busy_setup
from support.recordings import Hand, record, setup_of_image, typed
from support.trace_fuzz import places, spoil_json, zstd

from minstret.devices.board.board import Setup
from minstret.devices.board.golive import go_live
from minstret.devices.hostside.hostinput.parsing import parse_script
from minstret.emu.trace.format import HOST_AT_END

RUNS_INSNS = 60_000
"""How far a live run goes, in instructions."""


def _keys() -> Setup:
    script = tuple(parse_script('AT 1ms: type "some words"\nAT 2ms: hold shift\nAT icount 5M: press esc', "fuzz"))
    return replace(setup_of_image("keys", chaos_seed=5), script=script)


GUESTS: dict[str, tuple[Callable[[], Setup], dict[str, int]]] = {
    "tftp": (lambda: setup_of_image("tftp", chaos_seed=5), {"icount": 40_000}),
    "dhcp": (lambda: setup_of_image("dhcp"), {"icount": 60_000}),
    "keys": (_keys, {"virtual_ns": 3_000_000}),
    "busy": (busy_setup, {"icount": 1_000}),
    "echo": (lambda: setup_of_image("echo", sleep=True), {"icount": 9_000}),
}
"""Guests with much on the host side, and where they are cut."""


def good_trace(name: str, folder: Path) -> Path:
    """The recording of a guest, with a snapshot shortly before its end."""
    make, end = GUESTS[name]
    path, setup = folder / f"{name}.mst", make()
    hand = Hand(typed(b"more than a FIFO of sixteen bytes has room for"), stays=True)
    every = end["icount"] // 2 if "icount" in end else 50_000
    record(path, setup, source=hand, every=every, drive=lambda board: board.run_until(**end))  # type: ignore[arg-type]
    return path


def host_of(db: sqlite3.Connection) -> dict[str, Any]:
    ((text,),) = db.execute("SELECT value FROM meta WHERE key = ?", (HOST_AT_END,)).fetchall()
    ((data,),) = db.execute("SELECT data FROM blobs WHERE sha256 = ?", (bytes.fromhex(json.loads(text)),)).fetchall()
    host: dict[str, Any] = json.loads(zstd.decompress(data))
    return host


def put_blob(db: sqlite3.Connection, data: bytes) -> None:
    """Let ``data`` be the host side at the end."""
    sha256 = hashlib.sha256(data).digest()
    db.execute("INSERT OR REPLACE INTO blobs VALUES (?, 0, ?, ?)", (sha256, len(data), data))
    db.execute("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(sha256.hex()), HOST_AT_END))


def put_host(db: sqlite3.Connection, host: Any) -> None:
    put_blob(db, zstd.compress(json.dumps(host).encode()))


def spoil(path: Path, copy: Path, change: Callable[[Any], Any], *, at_end: bool) -> None:
    """Copy a trace, and change the host side at its end, or in its first snapshot."""
    copy.write_bytes(path.read_bytes())
    with closing(sqlite3.connect(copy, isolation_level=None)) as db:
        if at_end:
            put_host(db, change(host_of(db)))
            return
        number, data = db.execute("SELECT id, host FROM snapshots ORDER BY id").fetchone()
        packed = zstd.compress(json.dumps(change(json.loads(zstd.decompress(data)))).encode())
        db.execute("UPDATE snapshots SET host = ? WHERE id = ?", (packed, number))


def spoilt_at_random(path: Path, copy: Path, pick: random.Random) -> str:
    """Copy a trace and spoil its host side in one place or two; says where."""
    said: list[str] = []

    def change(host: Any) -> Any:
        for _ in range(pick.choice((1, 1, 2))):
            host, what = spoil_json(host, pick)
            said.append(what)
            if not places(host)[1:]:
                break
        return host

    at_end = pick.random() < 0.6
    spoil(path, copy, change, at_end=at_end)
    return f"{'end' if at_end else 'snapshot'}: {'; '.join(said)}"


def go_on(name: str, path: Path, *, at_end: bool, output: Path | None = None) -> None:
    """Go live from it, and run on for a while, with a host that types."""
    setup = GUESTS[name][0]()
    hand = Hand(typed(b"abc"), typed(b"def."), stays=True)
    with go_live(
        path, snapshot=None if at_end else 1, output=output, overwrite=True, source=hand, files=setup.files,
        script=setup.script, devices=[type(device) for device in setup.devices],
    ) as session:  # fmt: skip
        session.run(icount=session.board.position.icount + RUNS_INSNS, virtual_ns=2_000_000_000)
