"""Traces that were cut off, spoilt, or made by somebody who means no good."""

from __future__ import annotations

import json
import os
import random
import resource
import sqlite3
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support import trace_fuzz
from support.commands import PATIENCE_S
from support.footprint import cpu_limit
from support.hostile_traces import huge_bomb
from support.random_cases import SEED_FAST, SEED_SLOW, TIMES
from support.trace_fuzz import (
    BOMB,
    SPOILERS,
    look_at_everything,
    put_journal,
    spoil_bytes,
    spoil_copy,
    spoil_tree,
    zstd,
)

from minstret.devices.board.traced import Replay
from minstret.emu.cli import inspect
from minstret.emu.door.door import Position
from minstret.emu.errors import DivergenceError, MinstretError, TraceError
from minstret.emu.machine import StopReason
from minstret.emu.trace.format import FORMAT_VERSION, Kind
from minstret.emu.trace.reader import TraceReader
from minstret.emu.trace.writer import TraceWriter

CASE_CPU_S_MAX = 20
"""Longer is a hang: a case takes some milliseconds."""
MEMORY_MAX = 400 << 20
"""What a process may take to find out that a trace is bad, bytes."""
HELPERS = str(Path(__file__).parents[2])


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One that ended, one that was killed, a ring."""
    folder = tmp_path_factory.mktemp("traces")
    return {
        "ended": trace_fuzz.record(folder / "ended.mst"),
        "killed": trace_fuzz.record(folder / "killed.mst", stops_at=1100),
        "ring": trace_fuzz.record(folder / "ring.mst", ring=1),
    }


@pytest.fixture
def trace(traces: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the one that ended."""
    copy = tmp_path / "run.mst"
    copy.write_bytes(traces["ended"].read_bytes())
    return copy


def change(path: Path, sql: str, *values: Any) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute(sql, values)
    finally:
        db.close()


def change_meta(path: Path, key: str, how: Callable[[Any], Any]) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        value = json.loads(db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0])
        db.execute("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(how(value)), key))
    finally:
        db.close()


def refusal(path: Path) -> str:
    """What everything that reads the trace says, its path left away."""
    with pytest.raises(MinstretError) as caught:
        look_at_everything(path)
    text = str(caught.value)
    assert "\n" not in text
    return text.removeprefix(f"{path}: ").removeprefix("a damaged trace: ")


def test_traces_are_good_before_they_are_spoilt(traces: dict[str, Path]) -> None:
    for path in traces.values():
        look_at_everything(path)

    reader = TraceReader(str(traces["ended"]))
    counts = Counter(item.kind for item in reader.items())
    assert min(counts[kind] for kind in Kind) > 10
    assert len(reader.snapshot_positions()) == 2
    assert TraceReader(str(traces["killed"])).end is None
    assert TraceReader(str(traces["ring"])).meta["first_snapshot"] == 2


# ---- anything wrong anywhere


def assert_is_refused_or_good(path: Path, case: str) -> str:
    """The trace is played, or refused in one line."""
    with cpu_limit(CASE_CPU_S_MAX):
        try:
            look_at_everything(path)
        except MinstretError as error:
            refused = error
        except Exception as error:
            raise AssertionError(f"{case}: {error!r}") from error
        else:
            return "good"
    assert str(refused).isprintable(), f"{case}: {refused!r}"
    return type(refused).__name__


def run_cases(
    kind: str, count: int, seed: int, traces: dict[str, Path], copy: Path, announce: Callable[[str], None]
) -> None:
    ends: Counter[str] = Counter()
    for number in range(count):
        pick = random.Random(f"{seed}/{kind}/{number}")
        name = pick.choice(sorted(traces))
        remove(copy)
        remove(Path(f"{copy}-journal"))
        if kind in ("bytes", "tree"):
            data, what = BYTE_SPOILERS[kind](traces[name].read_bytes(), pick)
            copy.write_bytes(data)
        elif kind == "journal":
            copy.write_bytes(traces[name].read_bytes())
            what = put_journal(copy, pick)
        else:
            what = spoil_copy(traces[name], copy, lambda db, pick=pick: SPOILERS[kind](db, pick))  # type: ignore[misc]
        ends[assert_is_refused_or_good(copy, f"seed {seed}, case {number}: {name}: {what}")] += 1
    announce(f"{kind}: {count} cases, seed {seed}: " + ", ".join(f"{n} {what}" for what, n in sorted(ends.items())))
    assert ends["TraceError"] > count / (5 if kind == "journal" else 4)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


BYTE_SPOILERS = {"bytes": spoil_bytes, "tree": spoil_tree}
CASES = {"bytes": 200, "tree": 120, "journal": 60, "table": 120, "meta": 60, "state": 60}


@pytest.mark.parametrize("kind", CASES)
def test_spoilt_trace_is_refused_in_one_line_or_good(
    kind: str, traces: dict[str, Path], tmp_path: Path, announce: Callable[[str], None]
) -> None:
    run_cases(kind, CASES[kind], SEED_FAST, traces, tmp_path / "spoilt.mst", announce)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CASES)
def test_many_spoilt_traces_are_refused_or_good(
    kind: str, traces: dict[str, Path], tmp_path: Path, announce: Callable[[str], None]
) -> None:
    run_cases(kind, 150 * TIMES, SEED_SLOW, traces, tmp_path / "spoilt.mst", announce)


# ---- not a trace at all


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a trace (made by minstret record)"),
        (b"\x7fELF" + bytes(100), "not a trace (made by minstret record)"),
        (b"SQLite format 3", "not a trace (made by minstret record)"),
        (b"SQLite format 3\0", "a damaged trace: it is in WAL mode"),
    ],
)
def test_file_that_is_no_trace_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x.mst"
    path.write_bytes(content)

    with pytest.raises(TraceError) as caught:
        TraceReader(str(path))

    assert str(caught.value) == f"{path}: {reason}"


def test_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    change(path, "CREATE TABLE meta (key TEXT)")

    assert refusal(path) == "not a trace (made by minstret record)"


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    assert refusal(tmp_path) == "is a folder; give a trace"
    assert refusal(tmp_path / "none.mst") == "No such file or directory"
    assert refusal(tmp_path / "fifo") == "is not a regular file; give a trace"


@pytest.mark.parametrize("size", [16, 99, 100, 4096, 12288, -4096, -1])
def test_trace_cut_short_is_refused(trace: Path, size: int) -> None:
    data = trace.read_bytes()
    trace.write_bytes(data[:size])

    assert_is_refused_or_good(trace, f"cut to {size}")
    assert refusal(trace)


def test_newer_format_is_refused_by_name(trace: Path) -> None:
    change(trace, f"PRAGMA user_version={FORMAT_VERSION + 1}")

    with pytest.raises(TraceError) as caught:
        TraceReader(str(trace))

    assert str(caught.value) == (
        f"{trace}: a trace of format {FORMAT_VERSION + 1}; this minstret reads format {FORMAT_VERSION}: "
        "use the one that recorded it"
    )


def test_trace_of_another_unicorn_can_be_read_but_not_replayed(trace: Path) -> None:
    ours = TraceReader(str(trace)).meta["unicorn"]
    change_meta(trace, "unicorn", lambda _: "2.9.9")

    assert inspect.trace_facts(TraceReader(str(trace)))["counts"]["events"] == 18
    with pytest.raises(TraceError) as caught:
        Replay(str(trace))

    assert str(caught.value) == (
        f"{trace}: recorded with unicorn 2.9.9, and here is {ours}: install that one to replay it"
    )


def test_trace_of_another_minstret_is_replayed(trace: Path) -> None:
    change_meta(trace, "minstret", lambda _: "0.0.9")

    look_at_everything(trace)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE VIEW more AS SELECT * FROM meta",
        "CREATE TRIGGER more AFTER INSERT ON meta BEGIN SELECT 1; END",
        "CREATE TABLE more (x)",
        "CREATE INDEX more ON events (name)",
        "DROP TABLE outputs",
        "ALTER TABLE events ADD COLUMN more INTEGER",
        "ALTER TABLE events RENAME COLUMN data TO bytes",
        "CREATE VIRTUAL TABLE more USING fts5(x)",
        "ANALYZE",
    ],
)
def test_other_tables_are_refused(trace: Path, sql: str) -> None:
    try:
        change(trace, sql)
    except sqlite3.OperationalError as error:
        pytest.skip(f"this SQLite can't make it: {error}")

    assert refusal(trace) == "its tables are not those of a trace"


def test_view_in_the_place_of_a_table_is_refused(trace: Path) -> None:
    change(trace, "DROP TABLE meta")
    change(trace, "CREATE VIEW meta AS SELECT 'a' AS key, 'b' AS value")

    assert refusal(trace) == "its tables are not those of a trace"


# ---- what it says of itself


@pytest.mark.parametrize("key", ["minstret", "unicorn", "config", "images"])
def test_missing_meta_is_told(trace: Path, key: str) -> None:
    change(trace, "DELETE FROM meta WHERE key = ?", key)

    assert refusal(trace) == f"it lacks {key}"


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("config", [], "it: 'config' is [], not a object"),
        ("config", {}, "config: 'icount_shift' is None, not a count"),
        ("config", {"icount_shift": 11}, "config: icount_shift is 11"),
        ("config", {"icount_shift": 1 << 80}, "config: icount_shift is 1208925819614629174706176"),
        ("config", {"icount_shift": True}, "config: 'icount_shift' is True, not a count"),
        ("images", {}, "images: 'append' is None, not a text"),
        ("images", {"append": "", "bios": 5}, "images: 'bios' is 5, not a object"),
        ("images", {"append": "", "bios": {"name": "x"}}, "images: 'bios': 'sha256' is None, not a name"),
        ("unicorn", "\x1b[2J", r"it: 'unicorn' is '\x1b[2J', not a name"),
        ("end", {}, "end: 'reason' is None, not a name"),
        ("end", None, "it: 'end' is None, not a object"),
        ("timers", [{"name": 5}], "its list of timers is malformed"),
        ("timers", {}, "its list of timers is malformed"),
    ],
)
def test_meta_of_a_wrong_shape_is_told(trace: Path, key: str, value: Any, reason: str) -> None:
    change_meta(trace, key, lambda _: value)

    assert refusal(trace) == reason


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        ("ram_size", "128M", "makes none"), ("ram_size", 0, "not a positive multiple"), ("ram_size", 5, "not a pos"),
        ("ram_size", 1 << 50, "is too much"), ("ram_size", 1 << 80, "is too much"), ("ram_size", -4096, "not a pos"),
        ("xlen", 128, "no such board"), ("xlen", 32, "no such board"), ("net", {}, "makes none"),
        ("cpu", "rv32", "no such board"), ("cpu", 64, "makes none"), ("cpu", "rv64,zqq=on", "not known here"),
        ("net", [1], "makes none"), ("inputs", "keyboard", "makes none"), ("inputs", ["mouse"], "got 'mouse'"),
        ("inputs", ["tablet", "tablet"], "given once"), ("entropy", "dice", "got 'dice'"),
        ("seed", {}, "makes none"), ("timer_model", "x", "got 'x'"), ("rtc_base_ns", None, "makes none"),
        ("more", 1, "makes none"),
    ],
)  # fmt: skip
def test_impossible_board_is_refused_in_one_line(trace: Path, key: str, value: Any, part: str) -> None:
    change_meta(trace, "config", lambda config: config | {key: value})

    assert part in refusal(trace)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("reason", "boredom", "its end is 'boredom'"),
        ("reason", "x" * 100, "end: 'reason' is 'xxxxxxxxxxxx...xxxxxxxxxxxxx', not a name"),
        ("exit_code", "0", "end: 'exit_code' is '0', not a code"),
        ("icount", -1, "end: 'icount' is -1, not a count"),
        ("icount", 1 << 62, "it ends at icount 4611686018427387904, and goes up to 1210"),
        ("digest", None, "end: 'digest' is None, not a name"),
    ],
)
def test_impossible_end_is_told(trace: Path, field: str, value: Any, reason: str) -> None:
    change_meta(trace, "end", lambda end: end | {field: value})

    assert refusal(trace) == reason


@pytest.mark.parametrize("field", ["digest", "registers", "exit_code", "reason"])
def test_another_end_than_recorded_is_a_divergence(trace: Path, field: str) -> None:
    other = {"digest": "0" * 64, "registers": 5, "exit_code": 3, "reason": "timeout"}
    change_meta(trace, "end", lambda end: end | {field: other[field]})

    with pytest.raises(DivergenceError, match=rf"^end at icount 1_210: expected .*{other[field]}, got "):
        Replay(str(trace)).run()


def test_snapshot_that_a_ring_begins_with_must_be_there(traces: dict[str, Path], tmp_path: Path) -> None:
    copy = tmp_path / "ring.mst"
    for number in (0, 1, 3, 1 << 62):
        spoil_copy(traces["ring"], copy, lambda db, n=number: db.execute(  # type: ignore[misc]
            "UPDATE meta SET value = ? WHERE key = 'first_snapshot'", (str(n),)))  # fmt: skip

        assert refusal(copy) == f"it begins with snapshot {number}, which is not in it"


# ---- images


def test_missing_image_is_told(trace: Path) -> None:
    sha256 = TraceReader(str(trace)).meta["images"]["bios"]["sha256"]
    change(trace, "DELETE FROM blobs")

    assert refusal(trace) == f"the file {sha256[:16]} is not in it"


def test_exchanged_image_is_told(trace: Path) -> None:
    other = b"other firmware"
    change(trace, "UPDATE blobs SET data = ?, size = ?", zstd.compress(other), len(other))

    assert refusal(trace) == "a file in it has another hash"


@pytest.mark.parametrize("size", [0, 1 << 20, 1 << 62])
def test_image_of_another_size_is_told(trace: Path, size: int) -> None:
    change(trace, "UPDATE blobs SET size = ?", size)

    assert refusal(trace) in (
        "a compressed part is larger than it may be, or cut short",
        "a file in it has another hash",
        f"a part of {size} bytes in it",
        "a file in it has another size",
    )


# ---- items


def chunk(*numbers: int) -> bytes:
    out = bytearray()
    for number in numbers:
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
    return b"r" + bytes(out)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 where 1 are announced"),
        (b"r", "0 where 1 are announced"),
        (chunk(1 * 4 + 1, 0), "a number without an end"),
        (chunk(2 * 4 + 1, 0, 0), "a run of an impossible length"),
        (chunk(0 * 4 + 1, 0, 0), "a run of an impossible length"),
        (chunk((1 << 62) + 1, 0, 0), "a run of an impossible length"),
        (chunk(1 * 4 + 2, 0, 0, 1 << 66), "a number beyond 64 bits"),
        (b"r" + b"\xff" * 30, "a number without an end"),
        (b"z" + BOMB, "a compressed part is larger than it may be, or cut short"),
    ],
)
def test_impossible_checkpoints_are_told(trace: Path, data: bytes, reason: str) -> None:
    first = next(item for item in TraceReader(str(trace)).items() if item.kind is Kind.CHECKPOINT)
    change(trace, "UPDATE checkpoints SET data = ?, count = 1 WHERE first_seq = ?", data, first.seq)

    assert refusal(trace) == f"checkpoints from {first.seq}: {reason}"


def test_few_bytes_do_not_become_endless_checkpoints(trace: Path) -> None:
    first = next(item for item in TraceReader(str(trace)).items() if item.kind is Kind.CHECKPOINT)
    data = b"z" + zstd.compress(chunk(4096 * 4 + 1, 0, 0)[1:] * 20_000, 19)
    change(trace, "UPDATE checkpoints SET data = ?, count = 4096 WHERE first_seq = ?", data, first.seq)
    change(trace, "DELETE FROM events WHERE seq > ?", first.seq)
    change(trace, "DELETE FROM checkpoints WHERE first_seq > ?", first.seq)
    change(trace, "UPDATE reached SET seq = 1 << 40")

    with cpu_limit(5):
        assert refusal(trace) == f"checkpoints from {first.seq}: a run of an impossible length"


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("DELETE FROM events WHERE seq = 30", "item 31 where 30 should be"),
        ("UPDATE reached SET seq = seq + 1", "item 125 is missing, of 126"),
        ("UPDATE reached SET seq = seq - 1", "item 124 behind its end"),
        ("UPDATE events SET icount = 0, virtual_ns = 0 WHERE seq = 30", "item 30 is out of order"),
        ("UPDATE events SET virtual_ns = virtual_ns + 1 WHERE seq = 30", "item 31 is out of order"),
        ("UPDATE events SET virtual_ns = 0 WHERE seq = 30", "item 30 is out of order"),
        ("UPDATE events SET icount = 1 << 60, virtual_ns = 1 << 61 WHERE seq = 30", "item 30 is out of order"),
        ("UPDATE events SET kind = 2 WHERE seq = 30", "item 30 is of no known kind"),
        ("UPDATE events SET name = x'00' WHERE seq = 30", r"b'\x00' where a name should be"),
        ("UPDATE events SET name = char(27) || '[2J' WHERE seq = 30", r"'\x1b[2J' where a name should be"),
        ("UPDATE events SET data = 'text' WHERE seq = 30", "'text' where bytes should be"),
        ("UPDATE events SET registers = -1 WHERE seq = 30", "-1 where a count should be"),
        ("UPDATE outputs SET icount = 1 << 62 WHERE id = 3", "output 3 is out of order"),
        ("UPDATE outputs SET id = -1 WHERE id = 3", "output -1 is out of order"),
        ("UPDATE outputs SET data = 5 WHERE id = 3", "5 where bytes should be"),
        ("DELETE FROM reached", "it does not say how far it goes"),
    ],
)
def test_impossible_items_are_told(trace: Path, sql: str, reason: str) -> None:
    change(trace, sql)

    assert refusal(trace) == reason


@pytest.mark.parametrize(
    ("target", "data", "reason"),
    [
        ("machine.stop", b"boredom", "item {}: 'boredom' is not a valid StopReason"),
        ("machine.stop", b"\xff", "item {}: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        ("machine.stop", b"trap-loop", "item {}: the host can't ask for an end by trap-loop"),
        ("machine.stop", b"timeout 15", "item {}: the host can't ask for an end by timeout 15"),
        ("machine.stop", b"terminated 65", "item {}: the host can't ask for an end by terminated 65"),
        (
            "machine.stop",
            b"terminated " + b"9" * 99,
            "item {}: the host can't ask for an end by terminated " + "9" * 16,
        ),
    ],
)
def test_event_that_makes_no_sense_is_told(trace: Path, target: str, data: bytes, reason: str) -> None:
    event = next(item for item in TraceReader(str(trace)).items() if item.kind is Kind.EVENT)
    change(trace, "UPDATE events SET name = ?, data = ? WHERE seq = ?", target, data, event.seq)

    assert refusal(trace) == reason.format(event.seq)


def test_event_for_an_unknown_device_is_a_divergence(trace: Path) -> None:
    event = next(item for item in TraceReader(str(trace)).items() if item.kind is Kind.EVENT)
    change(trace, "UPDATE events SET name = 'net0.rx' WHERE seq = ?", event.seq)

    with pytest.raises(DivergenceError, match=r"^net0.rx at icount .* got no device of that name; look closer: "):
        Replay(str(trace)).run()


# ---- snapshots


def change_state(path: Path, how: Callable[[dict[str, Any]], Any], column: str = "machine") -> None:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        state = json.loads(zstd.decompress(db.execute(f"SELECT {column} FROM snapshots").fetchone()[0]))
        how(state)
        db.execute(f"UPDATE snapshots SET {column} = ? WHERE id = 1", (zstd.compress(json.dumps(state).encode()),))
    finally:
        db.close()


def put(*path: Any) -> Callable[[dict[str, Any]], None]:
    """Sets what is at ``path``, all but its last element, to that."""

    def change_it(state: Any) -> None:
        for key in path[:-2]:
            state = state[key]
        state[path[-2]] = path[-1]

    return change_it


put_hart = partial(put, "harts", 0)


@pytest.mark.parametrize(
    "how",
    [
        put("harts", []), put_hart("words", "priv", 2), put_hart("words", "priv", 12345), put_hart("words", "frm", 8),
        put_hart("words", {}), put_hart("words", "more", 1), put_hart("x", [0] * 31), put_hart("f", []),
        put_hart("x", 5, 1 << 64), put_hart("x", 5, -1), put_hart("x", 5, "0"), put_hart("xlen", 32),
        put_hart("icount", 99), put("clock", "warp_ns", 1), put_hart("pmp", "cfg", [0]),
        put_hart("fflags", None), put_hart("lines", -1), put("timers", "armed", [["none", 5, 0]]),
        put_hart("later", None), put_hart("later", "menvcfg", 1 << 64), put_hart("later", "more", 1),
        put("timers", "armed", [["clint.mtimecmp", -5, 0]]), put("timers", "armed", [["clint.mtimecmp", 5, 1 << 40]]),
        put("timers", "armed", [["clint.mtimecmp", 5, 0]] * 2), put("timers", "armed", [["clint.mtimecmp", "5", 0]]),
        put("timers", "armed", [5]), put("devices", {}), put("devices", "more", {}), put("devices", "uart0", None),
        put("devices", "uart0", "rx_fifo", {"hex": "zz"}), put("devices", "uart0", "lcr", "3"), put("lines", {}),
        put("exit_code", "0"), put("host_timers", "armed", [["rtc.alarm", 5, 0], ["rtc.alarm", 6, 1]]),
    ],
)  # fmt: skip
def test_impossible_state_is_refused_before_anything_runs(trace: Path, how: Callable[[Any], Any]) -> None:
    change_state(trace, how)

    with pytest.raises(TraceError) as caught:
        Replay(str(trace), snapshot=1)

    assert str(caught.value).startswith(f"{trace}: snapshot 1 does not fit this board: ")


def test_state_that_a_device_stumbles_over_is_refused_when_it_does(trace: Path) -> None:
    change_state(trace, put("devices", "plic", "enable", []))
    change_state(trace, put("devices", "uart0", "ier", 1))  # interrupts, which go to the PLIC

    with pytest.raises(TraceError) as caught:
        Replay(str(trace), snapshot=1).run()

    assert str(caught.value).startswith(f"{trace}: snapshot 1 does not fit this board: ValueError")


@pytest.mark.parametrize(
    "data",
    [b"", b"x", BOMB, *map(zstd.compress, (b"5", b"[", b"[" * 10**6, b'{"a": ' * 10**5, b"\xff\xfe"))],
)
@pytest.mark.parametrize("column", ["machine", "host"])
def test_state_that_is_none_is_refused(trace: Path, data: bytes, column: str) -> None:
    change(trace, f"UPDATE snapshots SET {column} = ? WHERE id = 1", data)

    with pytest.raises(TraceError, match=r": a damaged trace: "):
        Replay(str(trace), snapshot=1)


def test_replay_from_power_on_needs_no_snapshot(trace: Path) -> None:
    change(trace, "UPDATE snapshots SET machine = x'00', host = x'00'")
    change(trace, "DELETE FROM pages")

    assert Replay(str(trace)).run().reason is StopReason.FINISHED


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("DELETE FROM pages", "page 16 of snapshot 1 is not in it"),
        ("UPDATE pages SET data = zeroblob(50)", "Unable to decompress"),
        ("UPDATE snapshot_pages SET page = -1", "-1 where a count should be"),
        ("UPDATE snapshot_pages SET page = 'x'", "'x' where a count should be"),
        ("UPDATE snapshot_pages SET page = 1 << 50", "snapshot 1 has a page outside RAM"),
        ("UPDATE snapshot_pages SET page = 256", "snapshot 1 has a page outside RAM"),
        ("UPDATE snapshot_pages SET sha256 = 'x'", "page 16 of snapshot 1 is not in it"),
    ],
)
def test_impossible_pages_are_told(trace: Path, sql: str, reason: str) -> None:
    change(trace, sql)

    with pytest.raises(TraceError) as caught:
        Replay(str(trace), snapshot=1)

    assert str(caught.value).startswith(f"{trace}: a damaged trace: {reason}")


@pytest.mark.parametrize("content", [b"", b"short", bytes(4095), bytes(4097)])
def test_page_of_another_size_is_told(trace: Path, content: bytes) -> None:
    change(trace, "UPDATE pages SET data = ?", zstd.compress(content))

    with pytest.raises(TraceError, match=r"page 16 has another hash$|larger than it may be"):
        Replay(str(trace), snapshot=1)


def test_unknown_snapshot_is_told(trace: Path) -> None:
    with pytest.raises(TraceError) as caught:
        Replay(str(trace), snapshot=3)

    assert str(caught.value) == f"{trace}: there is no snapshot 3"


# ---- bounded memory, bounded time


LOOKER = """
import resource, sys
from pathlib import Path
from support import trace_fuzz
from support.footprint import cpu_limit, high_water
from minstret.emu.errors import MinstretError

resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
for path in sys.argv[1:]:
    try:
        with cpu_limit(30):
            trace_fuzz.look_at_everything(Path(path))
        print("good")
    except MinstretError as error:
        print(str(error).removeprefix(path + ": a damaged trace: "))
print(high_water())
"""


def refusals_in_a_process(*paths: Path) -> list[str]:
    """The same as ``refusal`` for each, with little memory and in a bounded time."""
    done = subprocess.run(
        [sys.executable, "-c", LOOKER, *map(str, paths)], capture_output=True, timeout=PATIENCE_S, check=False,
        env=os.environ | {"PYTHONPATH": HELPERS},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    *reasons, high_water = done.stdout.decode().splitlines()
    assert int(high_water) < MEMORY_MAX, reasons
    return reasons


BOMB_PLACES = (
    "UPDATE pages SET data = ?", "UPDATE snapshots SET machine = ?", "UPDATE snapshots SET host = ?",
    "UPDATE blobs SET data = ?", "UPDATE checkpoints SET data = CAST(x'7a' || ? AS BLOB)",
    "INSERT INTO meta VALUES ('more', CAST(zeroblob(50000000 + 0 * length(?)) AS TEXT))",
)  # fmt: skip


def test_bombs_do_not_go_off_and_huge_memory_is_not_to_be_had(trace: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.mst" for number in range(len(BOMB_PLACES))]
    huge = tmp_path / "huge.mst"
    huge.write_bytes(trace.read_bytes())
    change_meta(huge, "config", lambda config: config | {"ram_size": 200 << 30})
    for path, sql in zip(paths, BOMB_PLACES, strict=True):
        path.write_bytes(trace.read_bytes())
        change(path, sql, huge_bomb())

    page_reason, *reasons, json_reason, memory_reason = refusals_in_a_process(*paths, huge)

    too_large = "a compressed part is larger than it may be, or cut short"
    assert page_reason == "page 16 is larger than it may be"
    assert reasons[:-1] == [f"snapshot 1: {too_large}"] * 2 + [too_large]
    assert reasons[-1].endswith(f": {too_large}")
    assert json_reason == "string or blob too big"
    assert memory_reason.startswith("no 214748364800 bytes of memory for the guest: ")


def test_deeply_nested_json_is_refused(trace: Path) -> None:
    change(trace, "INSERT INTO meta VALUES ('more', ?)", "[" * 500_000)

    assert "recursion" in refusal(trace)


def test_tables_that_go_round_in_circles_are_given_up(trace: Path) -> None:
    """Inner pages of a table that list each other a thousand times, in layers: more rows than anybody can count."""
    db = sqlite3.connect(trace)
    root = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'outputs'").fetchone()[0]
    db.close()
    data = bytearray(trace.read_bytes())
    leaf = bytes(data[(root - 1) * 4096 : root * 4096])
    first = len(data) // 4096 + 1
    layers, width = 8, 500

    def inner_page(child: int) -> bytes:
        header = struct.pack(">BHHHBI", 5, 0, width, 4096 - 8, 0, child)
        pointers = struct.pack(">H", 4096 - 8) * width
        return (header + pointers).ljust(4096 - 8, b"\0") + struct.pack(">IB", child, 1) + bytes(3)

    data[(root - 1) * 4096 : root * 4096] = inner_page(first)
    for layer in range(layers):
        data += inner_page(first + layer + 1)
    data += leaf
    data[28:32] = (len(data) // 4096).to_bytes(4, "big")
    trace.write_bytes(data)

    assert refusals_in_a_process(trace) == ["output 1 is out of order"]


# ---- nothing is written, nothing else is touched


def state_of(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.stat().st_size, path.read_bytes()) for path in folder.iterdir()}


def test_reading_writes_nothing_next_to_the_trace(trace: Path) -> None:
    before = state_of(trace.parent)

    look_at_everything(trace)

    assert state_of(trace.parent) == before


@pytest.mark.parametrize("version", [b"\2\2", b"\1\2", b"\2\1"])
def test_trace_made_to_need_side_files_makes_none(trace: Path, version: bytes) -> None:
    data = bytearray(trace.read_bytes())
    data[18:20] = version
    trace.write_bytes(data)
    before = state_of(trace.parent)

    assert refusal(trace) == "it is in WAL mode"
    assert state_of(trace.parent) == before


def test_rolling_back_a_journal_writes_nothing_next_to_the_trace(tmp_path: Path) -> None:
    path = half_written(tmp_path / "run.mst")
    before = state_of(tmp_path)

    reader = TraceReader(str(path))

    assert len(list(reader.items())) == 100
    assert state_of(tmp_path) == before
    assert not list(Path(tmp_path.parent).glob("minstret-*"))


def test_read_only_folder_is_enough(tmp_path: Path) -> None:
    path = half_written(tmp_path / "folder" / "run.mst")
    path.parent.chmod(0o555)
    try:
        assert len(list(TraceReader(str(path)).items())) == 100
    finally:
        path.parent.chmod(0o755)


def test_journal_that_names_another_file_does_not_delete_it(tmp_path: Path) -> None:
    """SQLite deletes the file that a journal of several databases names, when nothing in it is a journal any more."""
    path = half_written(tmp_path / "run.mst")
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    name = str(victim).encode()
    with open(f"{path}-journal", "ab") as journal:
        journal.write(struct.pack(">I", (1 << 30) // 4096 + 1) + name)
        journal.write(struct.pack(">II", len(name), sum(name)) + JOURNAL_MAGIC)

    assert refusal(path) == "its journal is that of several files"
    assert victim.read_bytes() == b"precious"


JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")


@pytest.mark.parametrize("content", [b"", b"x" * 5000, bytes(5000), JOURNAL_MAGIC + b"\xff" * 5000])
def test_any_journal_is_survived(trace: Path, content: bytes) -> None:
    Path(f"{trace}-journal").write_bytes(content)

    assert_is_refused_or_good(trace, "journal")


# ---- recordings that were cut off


def half_written(path: Path) -> Path:
    """A trace as it lies there when its recording was killed in the middle of a large transaction."""
    path.parent.mkdir(exist_ok=True)
    original = path.with_name("original")
    meta = {"minstret": "0.1.0", "unicorn": "2.1.4", "config_version": 1,
            "config": {"icount_shift": 1}, "images": {"append": ""}}  # fmt: skip
    writer = TraceWriter(str(original), meta, {}, shift=1)
    for number in range(100):
        writer.add_event(Kind.EVENT, Position(number, 2 * number), "uart0.rx", bytes(3000), 0)
    writer.commit(Position(100, 200))
    writer._db.execute("PRAGMA cache_size=5")  # what does not fit goes into the file before the commit
    for number in range(100, 200):
        writer.add_event(Kind.EVENT, Position(number, 2 * number), "uart0.rx", bytes(3000), 0)
    for suffix in ("", "-journal"):
        Path(f"{path}{suffix}").write_bytes(Path(f"{original}{suffix}").read_bytes())
    writer.close()
    original.unlink()
    return path


def test_transaction_cut_off_is_rolled_back(tmp_path: Path) -> None:
    path = half_written(tmp_path / "run.mst")
    assert path.stat().st_size > 150 * 4096  # the second half is there

    reader = TraceReader(str(path))

    assert [item.seq for item in reader.items()] == list(range(100))
    assert reader.reached().position == Position(100, 200)
    assert reader.end is None


def test_half_written_trace_without_its_journal_shows_nothing_uncommitted(tmp_path: Path) -> None:
    path = half_written(tmp_path / "run.mst")
    Path(f"{path}-journal").unlink()

    try:
        read = len(list(TraceReader(str(path)).items()))
    except TraceError:
        return
    assert read == 100


RECORDER = """
import os, signal, sys
from support import trace_fuzz
from minstret.devices.board.config import HostAnswers
from minstret.devices.board.traced import Recording
from minstret.emu.door.recording import RecordOptions

recording = Recording(sys.argv[1], trace_fuzz.endless_setup(), options=RecordOptions(20_000, int(sys.argv[2])),
                      realtime_ns=trace_fuzz.Pacer(400_000_000), host=HostAnswers(wall_ns=trace_fuzz.Pacer(600)))
with recording:
    print("ready", flush=True)
    recording.run()
"""


@contextmanager
def recording_process(path: Path, ring: int = 0, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that records a guest without an end, and commits every now and then."""
    process = subprocess.Popen(
        [sys.executable, "-c", RECORDER, str(path), str(ring)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": HELPERS}, **options,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.communicate()


def assert_plays_to_its_last_commit(path: Path) -> Position:
    """No divergence, from the start and from the last snapshot; how far it goes."""
    reader = TraceReader(str(path))
    reached = reader.reached().position
    assert reader.end is None
    numbers = [number for number, _ in reader.snapshot_positions()]
    for number in (None, *numbers[-1:]):
        replay = Replay(reader, snapshot=number)
        assert replay.run().reason is StopReason.REACHED
        assert replay.board.position == reached
    return reached


@pytest.mark.parametrize("size_kib", [100, 250])
def test_full_disk_ends_the_recording_in_one_line_and_leaves_it_good(
    size_kib: int, tmp_path: Path, announce: Callable[[str], None]
) -> None:
    path = tmp_path / "full.mst"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_kib << 10, size_kib << 10))

    with recording_process(path, preexec_fn=limit) as process:
        _, errors = process.communicate(timeout=PATIENCE_S)

    reached = assert_plays_to_its_last_commit(path)
    last = errors.decode().splitlines()[-1]
    announce(f"full at {size_kib} KiB: {last.rpartition(': ')[2]}")
    assert last.endswith(f"; the recording is good up to icount {reached.icount:,}")
    assert f"TraceError: {path}: can't write it: " in last
    assert path.stat().st_size <= size_kib << 10


def test_no_room_even_for_the_start_leaves_no_file(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from minstret.emu.trace.writer import TraceWriter\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        "TraceWriter(sys.argv[1], {}, {}, shift=1).begin()"
    )

    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.mst")], capture_output=True, check=False)

    assert b"can't write it: " in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_failed_writer_writes_nothing_more(tmp_path: Path) -> None:
    """Where SQLite takes a transaction back, what comes after would be in the file without what was before."""
    path = tmp_path / "run.mst"
    meta = {"minstret": "0.1.0", "unicorn": "2.1.4", "config_version": 1,
            "config": {"icount_shift": 1}, "images": {"append": ""}}  # fmt: skip
    writer = TraceWriter(str(path), meta, {}, shift=1)
    writer.add_event(Kind.EVENT, Position(1, 2), "uart0.rx", b"x", 0)
    writer.commit(Position(2, 4))
    writer.add_event(Kind.EVENT, Position(3, 6), "uart0.rx", b"y", 0)
    writer._db.execute("PRAGMA max_page_count=1")  # as full as a disk can be

    with pytest.raises(TraceError, match=r": can't write it: .*; the recording is good up to icount 2$"):
        writer.add_event(Kind.EVENT, Position(4, 8), "uart0.rx", bytes(100_000), 0)
    writer._db.execute("PRAGMA max_page_count=1000000")
    with pytest.raises(TraceError, match=r"; the recording is good up to icount 2$"):
        writer.commit(Position(5, 10))
    writer.close()

    reader = TraceReader(str(path))
    assert [item.data for item in reader.items()] == [b"x"]
    assert reader.reached().position == Position(2, 4)
