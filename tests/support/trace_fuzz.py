"""Traces of a small guest that does all that a trace can hold, and ways to spoil them."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from support import asm
from support.elf_files import FINISHER, RAM, UART0, Load, elf_bytes
from support.harts import Typist

from minstret.devices.board.board import Setup
from minstret.devices.board.config import BoardConfig, HostAnswers
from minstret.devices.board.golive import go_live
from minstret.devices.board.traced import Recording, Replay
from minstret.emu.cli import inspect
from minstret.emu.door.recording import RecordOptions
from minstret.emu.images.loader import ImageFile
from minstret.emu.trace.listing import entry_line
from minstret.emu.trace.reader import TraceReader

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

RTC, CLINT = 0x0010_1000, 0x0200_0000
DATA = RAM + 0x1_0000

_POLL = (
    asm.lb(asm.T1, asm.T0, 5),  # LSR
    0x00137313,  # andi t1, t1, 1: DATA_READY
    asm.beq(asm.T1, 0, -8),
    asm.lb(asm.T1, asm.T0, 0),
    asm.sb(asm.T1, asm.T0, 0),
    asm.lw(asm.A3, asm.A0, 0),  # the time: the host is asked
    asm.addi(asm.A3, asm.A3, 1000),
    asm.sw(0, asm.A0, 12),
    asm.sw(asm.A3, asm.A0, 8),  # an alarm: a timer in the host's time
    asm.ld(asm.A4, asm.A5, 0),
    asm.addi(asm.A4, asm.A4, 1),
    asm.sd(asm.A4, asm.A1, 0),  # mtimecmp: a timer in virtual time
    asm.sd(asm.A4, asm.S0, 0),
)
GUEST = asm.code(
    asm.li(asm.T0, UART0), asm.li(asm.T3, FINISHER), asm.li(asm.T4, 0x5555), asm.addi(asm.T2, 0, ord("q")),
    asm.li(asm.A0, RTC), asm.li(asm.A1, CLINT + 0x4000), asm.li(asm.A5, CLINT + 0xBFF8), asm.li(asm.S0, DATA),
    *_POLL, asm.bne(asm.T1, asm.T2, -4 * len(_POLL)), asm.sw(asm.T4, asm.T3, 0), asm.LOOP,
)  # fmt: skip
"""Echoes up to a ``q``; for each byte it asks the time, sets two timers and writes to RAM."""

TYPED = "a stranger's tracq"


def setup(**config: Any) -> Setup:
    """A board with GUEST."""
    image = ImageFile("guest.elf", elf_bytes(Load(RAM, GUEST)))
    return Setup(replace(BoardConfig(ram_size=1 << 20, rtc_follows_host=True), **config), image)


class Pacer:
    """A clock that goes on by ``step_ns`` whenever it is read."""

    def __init__(self, step_ns: int) -> None:
        self._now_ns, self._step_ns = 0, step_ns

    def __call__(self) -> int:
        self._now_ns += self._step_ns
        return self._now_ns


def record(path: Path, *, ring: int = 0, snapshot_every: int = 500, stops_at: int | None = None) -> Path:
    """Record the guest; with ``stops_at`` as if it had been killed there, or soon after."""
    typist = Typist()
    typist.type(TYPED)
    recording = Recording(
        str(path), setup(), source=typist, options=RecordOptions(snapshot_every, ring), overwrite=True,
        realtime_ns=Pacer(300_000_000), host=HostAnswers(wall_ns=Pacer(600)),
    )  # fmt: skip
    board = recording.board
    with recording:
        outcome = board.run_until(icount=stops_at)
        if stops_at is None:
            recording.finish(outcome)
    return path


def look_at_everything(path: Path) -> None:
    """Do with a trace all that the commands do."""
    reader = TraceReader(str(path))
    try:
        for entry in inspect._entries(reader.items(), reader, 0, None):
            entry_line(entry)
        json.dumps(inspect.trace_facts(reader))
        inspect.timer_table(inspect.timer_table_facts(reader))
        Replay(reader).run()
        for number, position in reader.snapshot_positions()[:1]:
            Replay(reader, snapshot=number).run()
            go_live(reader, snapshot=number).run(icount=position.icount + 2_000)
    finally:
        reader.close()


# ---- bytes


def spoil_bytes(data: bytes, pick: random.Random) -> tuple[bytes, str]:
    """The file with something wrong in it, and what that is."""
    used = [at for at, byte in enumerate(data) if byte]
    spoilt = bytearray(data)
    at = pick.choice(used) if pick.random() < 0.9 else pick.randrange(len(data))
    what = pick.choice(["bit", "bit", "byte", "byte", "word", "cut", "insert", "zeros", "copy", "remove"])
    if what == "bit":
        spoilt[at] ^= 1 << pick.randrange(8)
    elif what == "byte":
        spoilt[at] = pick.choice([0, 1, 0x7F, 0x80, 0xFF, pick.randrange(256)])
    elif what == "word":
        spoilt[at : at + 4] = pick.choice([0, 1, 0x7FFF_FFFF, 0xFFFF_FFFF, pick.getrandbits(32)]).to_bytes(4, "big")
    elif what == "cut":
        del spoilt[at:]
    elif what == "insert":
        spoilt[at:at] = pick.randbytes(pick.choice([1, 7, 4096]))
    elif what == "zeros":
        size = pick.choice([8, 100, 4096])
        spoilt[at : at + size] = bytes(len(spoilt[at : at + size]))
    elif what == "copy":
        source, size = pick.choice(used), pick.choice([8, 100, 4096])
        spoilt[at : at + size] = data[source : source + size]
    else:
        del spoilt[at : at + pick.choice([1, 8, 4096])]
    return bytes(spoilt), f"{what} at {at}"


# ---- pages of SQLite's trees

PAGE = 4096
INNER_BY_KEY, INNER_BY_ROWID, LEAF_BY_KEY, LEAF_BY_ROWID = 2, 5, 10, 13


def inner_page(kind: int, children: list[int], cell: bytes) -> bytes:
    """A page that lists others; ``cell`` is what comes between two of them."""
    cells = [struct.pack(">I", child) + cell for child in children[:-1]]
    starts, content = [], b""
    for one in cells:
        content = one + content
        starts.append(PAGE - len(content))
    head = struct.pack(">BHHHBI", kind, 0, len(cells), PAGE - len(content), 0, children[-1])
    pointers = b"".join(struct.pack(">H", start) for start in starts)
    return (head + pointers)[: PAGE - len(content)].ljust(PAGE - len(content), b"\0") + content


def spoil_tree(data: bytes, pick: random.Random) -> tuple[bytes, str]:
    """The file with pages that lead elsewhere: in circles, to other tables, to nowhere."""
    pages = bytearray(data) + b"".join(bytes(PAGE) for _ in range(pick.choice([0, 0, 1, 8])))
    count, done = len(pages) // PAGE, []
    for _ in range(pick.choice([1, 1, 2, 8])):
        number = pick.randrange(count)
        at = number * PAGE
        what = pick.choice(["inner", "inner", "link", "copy", "kind", "cell", "count", "size"])
        if what == "inner" and number:
            width, cell = (
                pick.choice([2, 10, 400]),
                pick.choice([b"\1", b"\2\2\1", b"\x7f", pages[at + 4000 : at + 4040]]),
            )
            children = [pick.choice([number + 1, number + 2, pick.randrange(1, count + 2)])] * width
            kind = pick.choice([INNER_BY_KEY, INNER_BY_ROWID])
            pages[at : at + PAGE] = inner_page(kind, children[: 4000 // (6 + len(cell))], cell)
        elif what == "link":  # of a long value's pages
            pages[at : at + 4] = pick.choice([0, number + 1, pick.randrange(count + 2), 1 << 31]).to_bytes(4, "big")
        elif what == "copy":
            source = pick.randrange(1, count) * PAGE
            pages[at : at + PAGE] = pages[source : source + PAGE]
        elif what == "kind":
            pages[at + 100 * (not number)] = pick.choice([INNER_BY_KEY, INNER_BY_ROWID, LEAF_BY_KEY, LEAF_BY_ROWID, 0])
        elif what == "cell":
            cell_at = at + pick.choice([8, 10, 12]) + 100 * (not number)
            pages[cell_at : cell_at + 2] = pick.randrange(PAGE).to_bytes(2, "big")
        elif what == "count":
            cell_at = at + 3 + 100 * (not number)
            pages[cell_at : cell_at + 2] = pick.choice([0, 1, 2, 500, 0xFFFF]).to_bytes(2, "big")
        elif what == "size":
            pages[28:32] = pick.choice([0, 1, count, count + 1, 1 << 31]).to_bytes(4, "big")
        done.append(f"{what} {number}")
    return bytes(pages), ", ".join(done)


def put_journal(path: Path, pick: random.Random) -> str:
    """Put something next to a trace that SQLite might take for its journal."""
    journal, what = (
        Path(f"{path}-journal"),
        pick.choice(["pipe", "folder", "link", "random", "pages", "pages", "pages"]),
    )
    if what == "pipe":
        os.mkfifo(journal)
    elif what == "folder":
        journal.mkdir()
    elif what == "link":
        journal.symlink_to(pick.choice(["/dev/zero", path, "/nowhere", "/proc/self/mem"]))
    elif what == "random":
        journal.write_bytes(JOURNAL_MAGIC + pick.randbytes(pick.choice([0, 20, 6000])))
    else:
        data, nonce = path.read_bytes(), pick.getrandbits(32)
        count, sector = pick.choice([-1, 0, 1, 1 << 30]), pick.choice([512, 512, 4096, 1 << 16, 3])
        first_size = pick.choice([len(data) // PAGE, 0, 1, 1 << 20, (1 << 32) - 1])
        head = JOURNAL_MAGIC + struct.pack(
            ">iIIII", count, nonce, first_size, sector, pick.choice([PAGE, PAGE, 512, 7])
        )
        records = b""
        for _ in range(pick.randrange(4)):
            number = pick.randrange(1, len(data) // PAGE + 2)
            source = pick.randrange(len(data) // PAGE) * PAGE
            page = data[source : source + PAGE]
            checksum = nonce + sum(page[PAGE - 200 * i] for i in range(1, PAGE // 200 + 1) if PAGE - 200 * i > 0)
            records += struct.pack(">I", number) + page + struct.pack(">I", checksum & 0xFFFFFFFF)
        journal.write_bytes(head.ljust(min(sector, 1 << 16), b"\0") + records)
    return f"a journal: {what}"


JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")


# ---- tables

NUMBERS = [0, 1, 2, 3, -1, 7, 255, 4096, 4097, 1 << 31, 1 << 32, 1 << 62, (1 << 63) - 1, -(1 << 63)]
BOMB = zstd.compress(bytes(1 << 27), 19)
"""Some kilobytes that become 128 MiB."""
BYTES = [
    b"", b"\0", b"x", bytes(5), bytes(8), b"\xff" * 9, b"r" + b"\x80" * 80, b"z", b"timeout", b"reached", BOMB,
    b"z" + BOMB, bytes(5_000_000), zstd.compress(b"{}") + b"x",
    zstd.compress(b"{}"), zstd.compress(b"[]"), zstd.compress(b"[" * 100_000), bytes(20_000),
]  # fmt: skip
TEXTS = [
    "", "x", "uart0.rx", "machine.stop", "virtual", "\x1b[2J", "ü", "x" * 1000, "12", "{}", "[]", "null", "1e999",
    "[" * 100_000, '{"a":' * 5000, "9" * 5000, "nan", '"\\ud800"',
]  # fmt: skip
VALUES: list[Any] = [*NUMBERS, *BYTES, *TEXTS, 0.5, -1.5, 1e300, float("inf")]
TABLES = {
    "events": ("seq", "kind", "icount", "virtual_ns", "name", "data", "registers"),
    "checkpoints": ("first_seq", "count", "icount", "virtual_ns", "data", "registers"),
    "outputs": ("id", "stream", "icount", "virtual_ns", "data"),
    "reached": ("id", "seq", "icount", "virtual_ns"),
    "blobs": ("sha256", "part", "size", "data"),
    "snapshots": ("id", "seq", "icount", "virtual_ns", "registers", "machine", "host"),
    "pages": ("sha256", "data"),
    "snapshot_pages": ("snapshot", "page", "sha256"),
    "meta": ("key", "value"),
}


def spoil_table(db: sqlite3.Connection, pick: random.Random) -> str:
    """Change something in one table."""
    table = pick.choice(list(TABLES))
    key = TABLES[table][0]
    keys = [row[0] for row in db.execute(f"SELECT {key} FROM {table} ORDER BY {key}")]
    if not keys:
        return "nothing"
    row, column = pick.choice(keys), pick.choice(TABLES[table])
    what = pick.choice(["set", "set", "set", "set", "set", "near", "near", "delete", "swap", "double", "many"])
    if what == "set":
        value = pick.choice(VALUES)
        with suppress(sqlite3.IntegrityError):  # a key that must be a number
            db.execute(f"UPDATE OR IGNORE {table} SET {column} = ? WHERE {key} = ?", (value, row))
        return f"{table}.{column} of {row!r} = {value!r:.40}"
    if what == "near":
        by = pick.choice([-1, 1, 2, 100])
        db.execute(f"UPDATE OR IGNORE {table} SET {column} = {column} + ? WHERE {key} = ?", (by, row))
        return f"{table}.{column} of {row!r} += {by}"
    if what == "delete":
        db.execute(f"DELETE FROM {table} WHERE {key} = ?", (row,))
        return f"{table} without {row!r}"
    if what == "swap":
        other = pick.choice(keys)
        sql = f"UPDATE OR IGNORE {table} SET {column} = (SELECT {column} FROM {table} WHERE {key} = ?) WHERE {key} = ?"
        db.execute(sql, (other, row))
        return f"{table}.{column} of {row!r} = that of {other!r}"
    columns = ", ".join(TABLES[table][1:])
    if what == "many":
        count, at = pick.choice([100, 20_000]), pick.choice([row, max(keys)])
        new_keys = [(at + i if isinstance(at, int) else f"{i}".encode() if isinstance(at, bytes) else f"{i}", row)
                    for i in range(count)]  # fmt: skip
        db.execute("BEGIN")
        db.executemany(f"INSERT OR IGNORE INTO {table} ({key}, {columns})"
                       f" SELECT ?, {columns} FROM {table} WHERE {key} = ?", new_keys)  # fmt: skip
        db.execute("COMMIT")
        return f"{table}: {row!r} {count} times from {at!r}"
    new_key: Any = max(keys) + 1 if isinstance(row, int) else b"another" if isinstance(row, bytes) else "another"
    db.execute(f"INSERT OR IGNORE INTO {table} ({key}, {columns}) SELECT ?, {columns} FROM {table} WHERE {key} = ?",
               (new_key, row))  # fmt: skip
    return f"{table}: {row!r} again as {new_key!r}"


# ---- JSON

JSON_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 3, 64, 1 << 31, 1 << 64, -(1 << 64), 1 << 70, 0.5, "", "x", "00" * 32, "\x1b[2J", [],
    {}, [0], [[0]], {"hex": "zz"}, {"hex": "00"}, {"hex": 5}, [None] * 40, "timeout", "reached",
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in a JSON value something can be changed."""
    found = [path]
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        found += places(child, (*path, key))
    return found


def spoil_json(value: Any, pick: random.Random) -> tuple[Any, str]:
    """The value with something wrong in it, and what that is."""
    value = json.loads(json.dumps(value))
    path = pick.choice(places(value))
    new = pick.choice(JSON_VALUES)
    if not path:
        return new, f"all = {new!r:.40}"
    parent = value
    for key in path[:-1]:
        parent = parent[key]
    what = pick.choice(["set", "set", "set", "remove", "add", "near"])
    if what == "near" and isinstance(parent[path[-1]], int):
        parent[path[-1]] += pick.choice([-1, 1, 1 << 20])
    elif what == "remove":
        del parent[path[-1]]
    elif what == "add":
        if isinstance(parent, dict):
            parent["more"] = new
        else:
            parent.append(new)
    else:
        what = "set"
        parent[path[-1]] = new
    return value, f"{what} {path} {new!r:.40}"


def spoil_meta(db: sqlite3.Connection, pick: random.Random) -> str:
    """Change something in what the trace says of itself."""
    key, text = pick.choice(db.execute("SELECT key, value FROM meta ORDER BY key").fetchall())
    value, what = spoil_json(json.loads(text), pick)
    db.execute("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(value), key))
    return f"meta {key}: {what}"


def spoil_state(db: sqlite3.Connection, pick: random.Random) -> str:
    """Change something in the state of the first snapshot, the machine's or the host's."""
    column = pick.choice(["machine", "machine", "machine", "host"])
    number, data = db.execute(f"SELECT id, {column} FROM snapshots ORDER BY id").fetchone()
    value, what = spoil_json(json.loads(zstd.decompress(data)), pick)
    db.execute(f"UPDATE snapshots SET {column} = ? WHERE id = ?", (zstd.compress(json.dumps(value).encode()), number))
    return f"snapshot {number}, {column}: {what}"


Spoil = Callable[[sqlite3.Connection, random.Random], str]
SPOILERS: dict[str, Spoil] = {"table": spoil_table, "meta": spoil_meta, "state": spoil_state}


def spoil_copy(path: Path, copy: Path, spoil: Callable[[sqlite3.Connection], Any]) -> Any:
    """Copy a trace, and change it."""
    copy.unlink(missing_ok=True)
    copy.write_bytes(path.read_bytes())
    db = sqlite3.connect(copy, isolation_level=None)
    try:
        return spoil(db)
    finally:
        db.close()


# ---- a guest without an end

_ENDLESS = (
    asm.ld(asm.A4, asm.A5, 0),
    asm.addi(asm.A4, asm.A4, 5),
    asm.sd(asm.A4, asm.A1, 0),  # mtimecmp: a timer soon
    asm.lw(asm.A3, asm.A0, 0),  # the time: the host is asked
    asm.sb(asm.T1, asm.T0, 0),
    asm.addi(asm.T2, 0, 500),
    asm.sd(asm.T2, asm.S0, 0),
    asm.addi(asm.T2, asm.T2, -1),
    asm.bne(asm.T2, 0, -8),
    asm.add(asm.S0, asm.S0, asm.S1),
    asm.bne(asm.S0, asm.T6, 8),
    asm.addi(asm.S0, asm.A2, 0),
)
ENDLESS = asm.code(
    asm.li(asm.T0, UART0), asm.li(asm.T1, ord("x")), asm.li(asm.A0, RTC), asm.li(asm.A1, CLINT + 0x4000),
    asm.li(asm.A5, CLINT + 0xBFF8), asm.li(asm.A2, DATA), asm.addi(asm.S0, asm.A2, 0), asm.li(asm.S1, 0x1000),
    asm.li(asm.T6, DATA + 0x8_0000), *_ENDLESS, asm.jal(0, -4 * len(_ENDLESS)),
)  # fmt: skip
"""Sets timers, asks the time, sends bytes and writes to one page of RAM after the other, forever."""


def endless_setup() -> Setup:
    """A board with ENDLESS."""
    return replace(setup(), bios=ImageFile("endless.elf", elf_bytes(Load(RAM, ENDLESS))))
