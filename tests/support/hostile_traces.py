"""Traces, and other files given as traces, that are made to attack the host; and what it costs to read each of them.

python hostile_traces.py WHAT FILE...    look at each in a child of its own, with little memory: a line of JSON for each
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import sqlite3
import struct
import sys
from collections.abc import Callable
from contextlib import closing, redirect_stdout, suppress
from functools import cache
from pathlib import Path
from typing import Any

from support import trace_fuzz
from support.commands import PATIENCE_S
from support.footprint import high_water, reset_high_water
from support.trace_fuzz import zstd

from minstret.devices.board.golive import go_live
from minstret.devices.board.traced import Replay
from minstret.emu.cli import inspect
from minstret.emu.cli.group import load_command
from minstret.emu.errors import MinstretError
from minstret.emu.trace.listing import entry_line
from minstret.emu.trace.reader import TraceReader

MORE_MEMORY_MAX = 200 << 20
"""Memory that reading may take beyond the size of the file, bytes."""
CASE_CPU_S_MAX = 20
"""Far above what a case takes: this finds what has no end."""
PAGE = 4096
GIB = 1 << 30

Make = Callable[[Path, Path], None]
"""Makes a file at the second path of the good trace at the first."""
HOSTILE: dict[str, Make] = {}


@cache
def huge_bomb() -> bytes:
    """1 GiB of zeros, compressed."""
    return zstd.compress(bytes(GIB), 3)


def hostile(name: str) -> Callable[[Make], Make]:
    def add(make: Make) -> Make:
        HOSTILE[name] = make
        return make

    return add


def copied(trace: Path, path: Path, sql: str = "", *values: Any, many: Any = None) -> Path:
    path.write_bytes(trace.read_bytes())
    if sql:
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA journal_mode=OFF")
            if many is None:
                db.execute(sql, values)
            else:
                db.executemany(sql, many)
            db.commit()
    return path


# ---- no files

HOSTILE["a pipe"] = lambda trace, path: os.mkfifo(path)
HOSTILE["a folder"] = lambda trace, path: path.mkdir()
HOSTILE["/dev/zero"] = lambda trace, path: path.symlink_to("/dev/zero")
HOSTILE["a link to a pipe"] = lambda trace, path: (os.mkfifo(f"{path}.pipe"), path.symlink_to(f"{path}.pipe"))[1]
HOSTILE["a link to itself"] = lambda trace, path: path.symlink_to(path)


# ---- holes


@hostile("8 GiB of nothing")
def make_nothing(trace: Path, path: Path) -> None:
    path.touch()
    os.truncate(path, 8 * GIB)


@hostile("a trace with 8 GiB of nothing behind it")
def make_long(trace: Path, path: Path) -> None:
    copied(trace, path)
    os.truncate(path, 8 * GIB)


@hostile("a trace with 8 GiB of nothing and a crumb behind each MiB")
def make_crumbs(trace: Path, path: Path) -> None:
    copied(trace, path)
    with open(path, "r+b") as file:
        for at in range(1, 8192):
            file.seek(at << 20)
            file.write(b"x")


@hostile("loops in 8 GiB of nothing")
def make_long_loop(trace: Path, path: Path) -> None:
    copied(trace, path)
    loop_table(path, "outputs")
    os.truncate(path, 8 * GIB)


# ---- journals


def with_journal(make: Callable[[Path], Any]) -> Make:
    def make_it(trace: Path, path: Path) -> None:
        copied(trace, path)
        make(Path(f"{path}-journal"))

    return make_it


JOURNAL_HEAD = bytes.fromhex("d9d505f920a163d7")
HOT = JOURNAL_HEAD + struct.pack(">iIIII", -1, 0, 10, 512, PAGE)


def write_sparse(path: Path, head: bytes) -> None:
    path.write_bytes(head)
    os.truncate(path, 8 * GIB)


HOSTILE["a journal that is a pipe"] = with_journal(lambda path: os.mkfifo(path))
HOSTILE["a journal that is a folder"] = with_journal(lambda path: path.mkdir())
HOSTILE["a journal that is a link to /dev/zero"] = with_journal(lambda path: path.symlink_to("/dev/zero"))
HOSTILE["a journal that is a link to another file"] = with_journal(
    lambda path: (Path(f"{path}.other").write_bytes(HOT.ljust(5000, b"x")), path.symlink_to(f"{path}.other"))
)
HOSTILE["a journal of 8 GiB of nothing"] = with_journal(lambda path: write_sparse(path, b"x"))
HOSTILE["a journal of 8 GiB that looks like one"] = with_journal(lambda path: write_sparse(path, HOT))
HOSTILE["a journal that makes the file 8 TiB long"] = with_journal(
    lambda path: path.write_bytes((JOURNAL_HEAD + struct.pack(">iIIII", -1, 0, 1 << 31, 512, PAGE)).ljust(512, b"\0"))
)
HOSTILE["a journal of large sectors"] = with_journal(
    lambda path: path.write_bytes((JOURNAL_HEAD + struct.pack(">iIIII", -1, 0, 9, 1 << 31, 1 << 31)).ljust(9000, b"\0"))
)


# ---- tables that go round in circles

TABLES_BY_ROWID = ("events", "checkpoints", "outputs", "reached", "snapshots")
TABLES_BY_KEY = ("meta", "blobs", "pages", "snapshot_pages")


def loop_table(path: Path, table: str, width: int = 400, layers: int = 8) -> None:
    """Inner pages that each list the next layer ``width`` times: far too many rows to count."""
    with closing(sqlite3.connect(path)) as db:
        (root,) = (1,) if table == "schema" else db.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()  # fmt: skip
    data = bytearray(path.read_bytes())
    head = 100 if root == 1 else 0
    leaf = bytes(data[(root - 1) * PAGE : root * PAGE])
    first = len(data) // PAGE + 1
    is_by_key = table in TABLES_BY_KEY
    cell = b"" if not is_by_key else cell_of(leaf)

    def inner_page(child: int, prefix: bytes) -> bytes:
        content = struct.pack(">I", child) + (cell if is_by_key else b"\1")
        start = PAGE - len(content)
        count = min(width, (start - len(prefix) - 12) // 2)
        page = prefix + struct.pack(">BHHHBI", 2 if is_by_key else 5, 0, count, start, 0, child)
        return (page + struct.pack(">H", start) * count).ljust(start, b"\0") + content

    data[(root - 1) * PAGE : root * PAGE] = inner_page(first, leaf[:head])
    for layer in range(layers):
        data += inner_page(first + layer + 1, b"")
    data += leaf if root != 1 else bytes(PAGE)
    data[28:32] = (len(data) // PAGE).to_bytes(4, "big")
    path.write_bytes(data)


def cell_of(leaf: bytes) -> bytes:
    """The first cell of a leaf of a table by key, its payload and all; short ones only."""
    (at,) = struct.unpack_from(">H", leaf, 8)
    size = leaf[at]
    return leaf[at : at + 1 + size] if size < 0x80 else b"\x04\x02\x09\x09\x00"


for _table in (*TABLES_BY_ROWID, *TABLES_BY_KEY, "schema"):
    HOSTILE[f"loops in {_table}"] = lambda trace, path, table=_table: loop_table(copied(trace, path), table)  # type: ignore[misc]


# ---- rows that go round in circles: a value whose pages follow each other forever


def loop_value(path: Path, size: int) -> None:
    """Let the last row that was written, of ``size`` bytes, link back to itself after a page."""
    data = bytearray(path.read_bytes())
    pages = len(data) // PAGE
    chain = [page for page in range(1, pages) if 1 < int.from_bytes(data[page * PAGE : page * PAGE + 4], "big") <= pages
             and data[page * PAGE + 4 : page * PAGE + 4000] == b"A" * 3996]  # fmt: skip
    if not chain:
        return
    first = chain[0]
    data[first * PAGE : first * PAGE + 4] = (first + 1).to_bytes(4, "big")
    del data[(max(first, 12) + 1) * PAGE :]
    path.write_bytes(data)


def value_loops(sql: str, size: int) -> Make:
    def make(trace: Path, path: Path) -> None:
        copied(trace, path, sql, b"A" * size)
        loop_value(path, size)

    return make


_VALUES = {
    "an output": "INSERT INTO outputs (stream, icount, virtual_ns, data) VALUES ('uart0.tx', 295, 1000, ?)",
    "an event": "UPDATE events SET data = ? WHERE seq = (SELECT max(seq) FROM events)",
    "meta": "INSERT INTO meta VALUES ('zzz', CAST(? AS TEXT))",
    "a page": "UPDATE pages SET data = ?",
    "a page's hash": "UPDATE snapshot_pages SET sha256 = ?",
    "a state": "UPDATE snapshots SET machine = ?",
    "an image": "UPDATE blobs SET data = ?",
    "checkpoints": "UPDATE checkpoints SET data = CAST('z' || ? AS BLOB)",
}
for _name, _sql in _VALUES.items():
    HOSTILE[f"{_name} of 20 MiB in a loop"] = value_loops(_sql, 20 << 20)


# ---- what is small and becomes large


def add_image(path: Path, count: int, part: bytes, roles: int = 1) -> None:
    """Put an image of ``count`` times ``part`` in as ``--load``, under several roles."""
    sha256, packed = hashlib.sha256(), zstd.compress(part, 9)
    for _ in range(count):
        sha256.update(part)
    key = sha256.digest()
    with closing(sqlite3.connect(path)) as db:
        db.executemany("INSERT INTO blobs VALUES (?, ?, ?, ?)", ((key, i, len(part), packed) for i in range(count)))
        facts = json.loads(db.execute("SELECT value FROM meta WHERE key = 'images'").fetchone()[0])
        for _ in range(roles):
            at = sum(name.startswith("load") for name in facts)
            facts[f"load{at}"] = {"name": "x", "sha256": key.hex(), "address": 0x8000_0000 + (at << 4)}
        db.execute("UPDATE meta SET value = ? WHERE key = 'images'", (json.dumps(facts),))
        db.commit()


@hostile("an image of 1 GiB of zeros")
def make_zeros(trace: Path, path: Path) -> None:
    add_image(copied(trace, path), 256, bytes(1 << 22))


@hostile("an image of 100 MiB of zeros, loaded 2,000 times")
def make_again(trace: Path, path: Path) -> None:
    add_image(copied(trace, path), 25, bytes(1 << 22), roles=2000)


@hostile("40 images of 100 MiB")
def make_many_images(trace: Path, path: Path) -> None:
    copied(trace, path)
    for number in range(40):
        add_image(path, 25, bytes((number,)) * (1 << 22))


@hostile("an image of a million empty parts")
def make_parts(trace: Path, path: Path) -> None:
    copied(trace, path, "DELETE FROM blobs")
    with closing(sqlite3.connect(path)) as db:
        facts = json.loads(db.execute("SELECT value FROM meta WHERE key = 'images'").fetchone()[0])
        key = bytes.fromhex(facts["bios"]["sha256"])
        db.executemany("INSERT INTO blobs VALUES (?, ?, 0, x'')", ((key, i) for i in range(1_000_000)))
        db.commit()


for _name, _sql in {
    "pages": "UPDATE pages SET data = ?", "a machine": "UPDATE snapshots SET machine = ?",
    "a host": "UPDATE snapshots SET host = ?", "an image": "UPDATE blobs SET data = ?",
    "checkpoints": "UPDATE checkpoints SET data = CAST(x'7a' || ? AS BLOB)",
}.items():  # fmt: skip
    HOSTILE[f"{_name} of 1 GiB, packed"] = lambda trace, path, sql=_sql: copied(trace, path, sql, huge_bomb())  # type: ignore[misc]

for _name, _value in {
    "text": "x" * 15_000_000, "lists": "[" + "[]," * 300_000 + "0]", "more lists": "[" + "[]," * 5_000_000 + "0]",
    "depth": "[" * 1_000_000, "a number": "9" * 1_000_000,
}.items():  # fmt: skip
    HOSTILE[f"meta: {_name}"] = lambda trace, path, value=_value: copied(  # type: ignore[misc]
        trace, path, "INSERT INTO meta VALUES ('more', ?)", value)  # fmt: skip
HOSTILE["meta: 300,000 rows"] = lambda trace, path: copied(
    trace, path, "INSERT INTO meta VALUES (?, '0')", many=((f"k{i}",) for i in range(300_000))
)
HOSTILE["meta: 90 rows of a MB of lists"] = lambda trace, path: copied(
    trace, path, "INSERT INTO meta VALUES (?, ?)", many=((f"k{i}", "[" + "[]," * 300_000 + "0]") for i in range(90))
)
HOSTILE["states of lists"] = lambda trace, path: copied(
    trace, path, "UPDATE snapshots SET machine = ?1, host = ?1", zstd.compress(b"[" + b"[]," * 1_390_000 + b"0]")
)
HOSTILE["RAM of 64 GiB"] = lambda trace, path: copied(
    trace, path, "UPDATE meta SET value = replace(value, '1048576', '68719476736') WHERE key = 'config'"
)


# ---- many


def shift_of(path: Path) -> tuple[int, int, int]:
    """(seq, icount, virtual_ns) of the first answer."""
    with closing(sqlite3.connect(path)) as db:
        row: tuple[int, int, int] = db.execute(
            "SELECT seq, icount, virtual_ns FROM events WHERE kind = 1 ORDER BY seq").fetchone()  # fmt: skip
    return row


def repeat_answer(path: Path, count: int) -> None:
    """Repeat the first answer ``count`` times at one position, and remove everything after it."""
    seq, _, _ = shift_of(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=OFF")
        db.execute("DELETE FROM events WHERE seq > ?", (seq,))
        db.execute("DELETE FROM checkpoints WHERE first_seq > ?", (seq,))
        db.executemany(
            "INSERT INTO events SELECT ?, kind, icount, virtual_ns, name, data, registers FROM events WHERE seq = ?",
            ((seq + 1 + i, seq) for i in range(count)),
        )
        db.execute("UPDATE reached SET seq = ?", (seq + 1 + count,))
        db.commit()


HOSTILE["300,000 answers at one position"] = lambda trace, path: repeat_answer(copied(trace, path), 300_000)


@hostile("a billion checkpoints")
def make_checkpoints(trace: Path, path: Path) -> None:
    copied(trace, path)
    data = bytearray(b"r")
    for number in (4096 * 4 + 1, 0, 0):
        while number > 0x7F:
            data.append(number & 0x7F | 0x80)
            number >>= 7
        data.append(number)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=OFF")
        db.execute("DELETE FROM events")
        db.execute("DELETE FROM checkpoints")
        rows = ((i * 4096, 4096, 0, 0, bytes(data), 0) for i in range(250_000))
        db.executemany("INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, ?)", rows)
        db.execute("UPDATE reached SET seq = ?", (250_000 * 4096,))
        db.commit()


HOSTILE["500,000 snapshots"] = lambda trace, path: copied(
    trace, path, "INSERT INTO snapshots VALUES (?, 0, 1100, 2200, 0, x'', x'')", many=((i,) for i in range(9, 500_000))
)
HOSTILE["500,000 outputs of strange streams"] = lambda trace, path: copied(
    trace, path, "INSERT INTO outputs VALUES (?, ?, 0, 0, x'00')", many=((-i, f"s{i}") for i in range(500_000))
)
HOSTILE["20,000 tables"] = lambda trace, path: copied(
    trace, path, "CREATE TABLE more (x)"
) and more_tables(path, 20_000)  # fmt: skip


def more_tables(path: Path, count: int) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA writable_schema=ON")
        root, sql = db.execute("SELECT rootpage, sql FROM sqlite_master WHERE name = 'more'").fetchone()
        names = (f"more{number}" for number in range(count))
        db.executemany("INSERT INTO sqlite_master VALUES ('table', ?, ?, ?, ?)",
                       ((name, name, root, sql.replace("more", name)) for name in names))  # fmt: skip
        db.commit()


# ---- looking at them


def look(what: str, path: str) -> None:
    """Do with a trace what the command of that name does."""
    reader = TraceReader(path)
    if what == "info":
        json.dumps(inspect.trace_facts(reader))
    elif what == "log":
        for entry in inspect._entries(reader.items(), reader, 0, None):
            entry_line(entry)
    elif what == "timers":
        inspect.timer_table(inspect.timer_table_facts(reader))
    elif what == "questions":
        ask(path)
    else:
        Replay(reader).run()
        for number, position in reader.snapshot_positions()[:2]:
            Replay(reader, snapshot=number).run()
            go_live(reader, snapshot=number).run(icount=position.icount + 2_000)


QUESTIONS = {
    "why": ("--write", "0x80000000", "--all"), "diff": (), "insns": ("--mem",),
    "profile": ("--format", "collapsed", "-o", "/dev/null"), "export": ("--format", "perfetto", "-o", "/dev/null"),
    "report": ("-o", "/dev/null"),
}  # fmt: skip
"""Commands that replay it, and their options."""


def ask(path: str) -> None:
    """Ask a trace one of them, by the number that its file is called by."""
    name = list(QUESTIONS)[int(Path(path).stem) % len(QUESTIONS)]
    traces = (path, path) if name == "diff" else (path,)
    load_command(name).main(["-q", *QUESTIONS[name], *traces], standalone_mode=False)


def said_by_child(what: str, path: str) -> dict[str, Any]:
    """Read the trace in a child process. Returns its output, and the time and memory it took."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(PATIENCE_S)  # the limit of processor time does not end what waits
        with suppress(BaseException):
            facts = cost_of(what, path)
            os.write(write_end, json.dumps(facts).encode())
        os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as file:
        text = file.read()
    _, status, usage = os.wait4(child, 0)
    facts = json.loads(text) if text else {"said": f"ended with status {status}"}
    return facts | {"cpu_s": usage.ru_utime + usage.ru_stime, "what": what, "path": path}


def cost_of(what: str, path: str) -> dict[str, Any]:
    size = min(os.path.getsize(path), os.stat(path).st_blocks * 512) if os.path.isfile(path) else 0
    reset_high_water()
    before = high_water()
    if what not in ("replay", "questions"):  # a board takes address space that it never uses
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + size + MORE_MEMORY_MAX,) * 2)
    signal.signal(signal.SIGPROF, on_time_out)
    signal.setitimer(signal.ITIMER_PROF, CASE_CPU_S_MAX)
    try:
        with open(os.devnull, "w") as null, redirect_stdout(null):
            look(what, path)
        said = "good"
    except MinstretError as error:
        said = str(error)
    except BaseException as error:
        said = f"CRASH {error!r}"
    return {"said": said[:500], "more_memory": high_water() - before - size}


def on_time_out(*_: object) -> None:
    raise TimeoutError(f"more than {CASE_CPU_S_MAX} s")


def main(arguments: list[str]) -> None:
    board = trace_fuzz.setup().make()  # modules that are imported late, and Unicorn's memory for code
    del board
    for path in arguments[1:]:
        print(json.dumps(said_by_child(arguments[0], path)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
