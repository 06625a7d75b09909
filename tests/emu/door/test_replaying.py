"""The replaying door: every difference between a trace and what the guest does is a DivergenceError that says what."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import asm
from support.harts import programs_of
from support.recordings import (
    RAM,
    UART,
    Hand,
    Recorded,
    assert_replays,
    finish_code,
    reader_code,
    record,
    resetter_code,
    setup_of_code,
    setup_of_image,
    tamper,
    typed,
)

from minstret.devices.board.board import Board
from minstret.devices.board.config import HostAnswers
from minstret.devices.board.map import Base
from minstret.devices.board.traced import Replay, trace_meta
from minstret.emu.clock import ClockType
from minstret.emu.door.door import Event, Position
from minstret.emu.door.replaying import ReplayDoor, place_in_trace
from minstret.emu.errors import DivergenceError, TraceError
from minstret.emu.hart.shared import Counting
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.trace import packing
from minstret.emu.trace.format import CLOCK_TYPES, Item, Kind
from minstret.emu.trace.reader import TraceReader
from minstret.emu.trace.writer import TraceWriter

SHAPE = r"^[a-z0-9.]+( clock)? at icount [0-9_]+( \(hart[0-7] ran last\))?: expected .+, got .+; look closer: minstret "
"""Who, where, what was expected, what came instead, and what to do."""


def replay(path: str, **options: Any) -> Outcome:
    with closing(TraceReader(path)) as reader:
        return Replay(reader, **options).run()


def assert_diverges(path: str, text: str, **options: Any) -> None:
    """From the start, in other slices, and with the Python twins."""
    for more in ({}, {"slice_insns_max": 7}, {"counting": Counting.PYTHON}):
        with pytest.raises(DivergenceError, match=text) as raised:
            replay(path, **options | more)
        assert_shape(str(raised.value))


def assert_shape(message: str) -> None:
    assert re.match(SHAPE, message), message
    assert "\n" not in message


# ---- a session to spoil: two bytes typed to a guest that polls


@pytest.fixture
def session(tmp_path: Path) -> Recorded:
    """Types ``ab`` at icount 200, ``c`` at 300 and a full stop at 400; the guest echoes by polling."""
    hand = Hand(stays=True)

    def drive(board: Board) -> None:
        for icount, text in ((200, b"a"), (300, b"c"), (400, b".")):
            board.run_until(icount=icount)
            hand.give(typed(text))

    recorded = record(tmp_path, setup_of_code(resetter_code()), source=hand, drive=drive)
    assert [item.position.icount for item in recorded.items()] == [200, 300, 400]
    assert_replays(recorded)
    return recorded


def test_event_with_another_byte_diverges_where_the_guest_sends_it(session: Recorded) -> None:
    tamper(session.path, "UPDATE events SET data = ? WHERE seq = 1", b"x")

    assert_diverges(session.path, r"^uart0.tx at icount 3\d\d: expected item 2: 'c', got 'x'; look closer: ")


def test_event_that_ends_the_run_early_diverges(session: Recorded) -> None:
    tamper(session.path, "UPDATE events SET data = ? WHERE seq = 0", b".")

    assert_diverges(session.path, r"^uart0.tx at icount 2\d\d: expected item 1: 'a', got '.'")


def test_event_that_is_missing_diverges(session: Recorded) -> None:
    tamper(session.path, "DELETE FROM events WHERE seq = 1")
    with pytest.raises(TraceError, match="item 2 where 1 should be"):
        replay(session.path)

    tamper(session.path, "UPDATE events SET seq = 1 WHERE seq = 2")
    tamper(session.path, "UPDATE reached SET seq = 2")

    assert_diverges(session.path, r"^hart at icount 400: expected item 1: event 'uart0.rx 0x2e' with register hash 0x")


def test_event_that_is_missing_at_the_end_diverges(session: Recorded) -> None:
    tamper(session.path, "DELETE FROM events WHERE seq = 2")
    with pytest.raises(TraceError, match="item 2 is missing, of 3"):
        replay(session.path)

    tamper(session.path, "UPDATE reached SET seq = 2")

    end = session.end.position.icount
    assert_diverges(session.path, rf"^end at icount {end + 1}: expected item 2: the end at icount {end}, got the guest")


def test_event_too_many_diverges(session: Recorded) -> None:
    tamper(session.path, "UPDATE events SET seq = 3 WHERE seq = 2")
    tamper(session.path, "INSERT INTO events SELECT 2, kind, 350, 700, name, data, registers FROM events WHERE seq = 1")
    tamper(session.path, "UPDATE reached SET seq = 4")

    assert_diverges(session.path, r"^hart at icount 350: expected item 2: event 'uart0.rx 0x63' with register hash 0x")


def test_event_for_nobody_diverges(session: Recorded) -> None:
    tamper(session.path, "UPDATE events SET name = 'net0.rx' WHERE seq = 1")

    assert_diverges(session.path, r"^net0.rx at icount 300: .*'net0.rx 0x63', got no device of that name")


def test_event_with_more_than_there_is_room_for_diverges(session: Recorded) -> None:
    tamper(session.path, "UPDATE events SET data = ? WHERE seq = 1", b"cc")

    assert_diverges(session.path, r"^uart0.rx at icount 300: .*'uart0.rx 0x6363', got room for 1 of 2 bytes")


@pytest.mark.parametrize("by", [-1, 1])
def test_event_moved_by_one_instruction_diverges(by: int, session: Recorded) -> None:
    tamper(session.path, "UPDATE events SET icount = icount + ?, virtual_ns = virtual_ns + 2 * ? WHERE seq = 1", by, by)

    assert_diverges(
        session.path, rf"^hart at icount {300 + by}: expected item 1: event 'uart0.rx 0x63' with register hash"
    )


@pytest.mark.parametrize("by_ns", [1, 1000])
def test_event_moved_in_time_alone_diverges(by_ns: int, session: Recorded) -> None:
    """The guest does not wait there: no time passes at one instruction."""
    tamper(session.path, "UPDATE events SET virtual_ns = virtual_ns + ? WHERE seq >= 1", by_ns)
    tamper(session.path, "UPDATE reached SET virtual_ns = virtual_ns + ?", by_ns)
    change_end(session.path, virtual_ns=session.end.position.virtual_ns + by_ns)

    assert_diverges(session.path, r"^uart0.rx at icount 300: .*, got nothing of the kind up to icount 30\d")


def test_events_that_changed_places_diverge(session: Recorded) -> None:
    tamper(session.path, "UPDATE events SET data = ? WHERE seq = 0", b"c")
    tamper(session.path, "UPDATE events SET data = ? WHERE seq = 1", b"a")

    assert_diverges(session.path, r"^uart0.tx at icount 2\d\d: .*'a', got 'c'")


def test_registers_of_another_hash_diverge(session: Recorded) -> None:
    tamper(session.path, "UPDATE events SET registers = registers + 1 WHERE seq = 1")

    assert_diverges(
        session.path, r"^hart at icount 300: .*with register hash 0x[0-9a-f]{8}, got register hash 0x[0-9a-f]{8}"
    )


def test_divergence_of_several_harts_names_the_one_that_ran_last(tmp_path: Path) -> None:
    polls = asm.code(asm.li(asm.T0, UART), asm.lb(asm.T1, asm.T0, 0), asm.jal(asm.ZERO, -4))
    setup = setup_of_code(programs_of(polls, polls), smp=2, quantum=100)
    hand = Hand(stays=True)

    def drive(board: Board) -> None:
        board.run_until(icount=350)
        hand.give(typed(b"a"))
        board.run_until(icount=360)
        board.machine.request_exit(0)

    recorded = record(tmp_path, setup, source=hand, drive=drive)
    tamper(recorded.path, "UPDATE events SET registers = registers + 1")

    assert_diverges(
        recorded.path, r"^hart at icount 350 \(hart1 ran last\): expected item 0: event 'uart0.rx 0x61' with "
    )


@pytest.mark.parametrize("at", range(4))
def test_output_with_another_byte_diverges(at: int, session: Recorded) -> None:
    assert session.console == b"1ac."
    data = bytearray(session.console)
    data[at] ^= 1
    tamper(session.path, "UPDATE outputs SET data = ?", bytes(data))

    expected = repr(bytes(data[at : at + 1]))[1:]
    assert_diverges(session.path, rf"^uart0.tx at icount \d+: expected item {max(0, at)}: {expected}, got '")


def test_output_that_is_missing_diverges(session: Recorded) -> None:
    tamper(session.path, "UPDATE outputs SET data = ?", session.console[:-1])

    assert_diverges(session.path, r"^uart0.tx at icount 4\d\d: expected item 3: nothing more on uart0.tx, got 0x2e")


def test_output_too_many_diverges(session: Recorded) -> None:
    tamper(session.path, "UPDATE outputs SET data = ?", session.console + b"!")

    assert_diverges(session.path, r"^uart0.tx at icount 4\d\d: expected item 3: 0x21, got the end \(finished\)")


def change_end(path: str, **changes: Any) -> None:
    with closing(sqlite3.connect(path)) as db:
        (text,) = db.execute("SELECT value FROM meta WHERE key = 'end'").fetchone()
        db.execute("UPDATE meta SET value = ? WHERE key = 'end'", (json.dumps(json.loads(text) | changes),))
        db.commit()


@pytest.mark.parametrize(
    ("what", "value", "text"),
    [
        ("digest", "0" * 64, "expected digest 0{64}, got [0-9a-f]{64}"),
        ("exit_code", 1, "expected exit code 1, got 0"),
        ("reason", "waits-forever", "expected reason waits-forever, got finished"),
        ("registers", 1, "expected register hash 1, got [0-9]+"),
    ],
)
def test_end_that_is_another_diverges(what: str, value: object, text: str, session: Recorded) -> None:
    change_end(session.path, **{what: value})

    assert_diverges(session.path, rf"^end at icount {session.end.position.icount}: {text}; look closer: minstret")


@pytest.mark.parametrize("by", [-3, 1])
def test_end_at_another_instruction_diverges(by: int, session: Recorded) -> None:
    position = session.end.position
    changes = {"icount": position.icount + by, "virtual_ns": position.virtual_ns + 2 * by}
    change_end(session.path, **changes)
    tamper(session.path, "UPDATE reached SET icount = :icount, virtual_ns = :virtual_ns", *changes.values())

    assert_diverges(session.path, r"^end at icount 4\d\d: expected (item 3: the end|icount)")


# ---- the firmware


def test_firmware_that_is_damaged_is_refused(session: Recorded) -> None:
    other = packed(b"another firmware")
    tamper(session.path, "UPDATE blobs SET data = ?, size = 16", other)

    with pytest.raises(TraceError, match="a file in it has another hash"):
        replay(session.path)


def test_firmware_that_was_swapped_diverges(session: Recorded) -> None:
    """Whole and with its own hash, but not what was recorded."""
    code = resetter_code()
    other = code.replace(asm.code(asm.addi(asm.T1, asm.T1, ord("0"))), asm.code(asm.addi(asm.T1, asm.T1, ord("1"))))
    assert other != code
    sha256 = hashlib.sha256(other).digest()
    tamper(session.path, "INSERT INTO blobs VALUES (?, 0, ?, ?)", sha256, len(other), packed(other))
    with closing(sqlite3.connect(session.path)) as db:
        (text,) = db.execute("SELECT value FROM meta WHERE key = 'images'").fetchone()
        images = json.loads(text)
        images["bios"]["sha256"] = sha256.hex()
        db.execute("UPDATE meta SET value = ? WHERE key = 'images'", (json.dumps(images),))
        db.commit()

    assert_diverges(session.path, r"^uart0.tx at icount \d+: expected item 0: '1', got '2'")


def test_board_of_another_size_diverges(session: Recorded) -> None:
    with closing(sqlite3.connect(session.path)) as db:
        (text,) = db.execute("SELECT value FROM meta WHERE key = 'config'").fetchone()
        config = json.loads(text) | {"ram_size": 2 << 20}
        db.execute("UPDATE meta SET value = ? WHERE key = 'config'", (json.dumps(config),))
        db.commit()

    assert_diverges(session.path, r"^hart at icount 200: ")  # a1 has the address of the device tree


# ---- checkpoints


def rewritten(recorded: Recorded, path: Path, items: list[Item]) -> str:
    """The same trace with other items: their numbers and register hashes follow from their order."""
    with recorded.reader() as reader:
        outputs, reached, end = list(reader.outputs()), reader.reached().position, reader.end
        meta = {key: value for key, value in reader.meta.items() if key not in ("format", "end")}
        blobs = {}
        for image in reader.meta["images"].values():
            if isinstance(image, dict):
                blobs[bytes.fromhex(image["sha256"])] = reader.blob(image["sha256"])
        shift = reader.shift
    writer = TraceWriter(str(path), meta, blobs, shift=shift)
    for item in items:
        if item.kind is Kind.CHECKPOINT:
            clock = next(clock for clock in CLOCK_TYPES if clock.value == item.name)
            value = int.from_bytes(item.data, "little")
            writer.add_checkpoint(item.position, clock, value, item.registers or 0)
        else:
            writer.add_event(item.kind, item.position, item.name, item.data, item.registers or 0)
    for output in outputs:
        writer.add_output(output.stream, output.position, output.data, is_message=True)
    assert end is not None
    writer.finish(end, reached)
    return str(path)


def packed(data: bytes) -> bytes:
    """A file as a trace has it."""
    zstd: Any = packing.zstd  # type: ignore[attr-defined]
    return bytes(zstd.compress(data))


@pytest.fixture
def ticks(tmp_path: Path) -> Recorded:
    recorded = record(tmp_path, setup_of_image("ticks"))
    items = recorded.items()
    assert {(item.kind, item.name) for item in items} == {(Kind.CHECKPOINT, "virtual")}
    assert len(items) == 100
    return recorded


def test_trace_rewritten_as_it_was_replays(ticks: Recorded, tmp_path: Path) -> None:
    assert replay(rewritten(ticks, tmp_path / "again.mst", ticks.items())) == ticks.end.outcome


@pytest.mark.parametrize("number", [0, 1, 50, 98])
def test_checkpoint_that_is_missing_diverges(number: int, ticks: Recorded, tmp_path: Path) -> None:
    items = ticks.items()
    at = items[number].position.icount
    path = rewritten(ticks, tmp_path / "less.mst", items[:number] + items[number + 1 :])

    with pytest.raises(DivergenceError, match=SHAPE) as raised:
        replay(path)
    assert str(raised.value).startswith(f"timers at icount {at:_}: expected item {number}: checkpoint of the virtual")


def test_last_checkpoint_that_is_missing_diverges(tmp_path: Path) -> None:
    """No later item has a hash that would tell."""
    arm = asm.code(asm.li(asm.T0, int(Base.CLINT) + 0x4000), asm.addi(asm.T1, asm.ZERO, 2), asm.sd(asm.T1, asm.T0, 0))
    code = arm + asm.code([asm.NOP] * 100) + finish_code(0x5555)
    recorded = record(tmp_path, setup_of_code(code))
    assert [str(item) for item in recorded.items()] == ["checkpoint of the virtual clock"]
    path = rewritten(recorded, tmp_path / "less.mst", [])

    with pytest.raises(
        DivergenceError, match=r"^timers at icount 100: expected item 0: the end of the trace, got a chec"
    ):
        replay(path)


@pytest.mark.parametrize("number", [0, 1, 50, 100])
def test_checkpoint_too_many_diverges(number: int, ticks: Recorded, tmp_path: Path) -> None:
    items = ticks.items()
    before = items[number - 1].position if number else (0, 0)
    extra = Item(0, Kind.CHECKPOINT, type(items[0].position)(before[0] + 10, before[1] + 20), "virtual", b"", 0)
    path = rewritten(ticks, tmp_path / "more.mst", [*items[:number], extra, *items[number:]])

    with pytest.raises(DivergenceError, match=rf"^virtual at icount {before[0] + 10:_}: expected item {number}: check"):
        replay(path)


@pytest.mark.parametrize("clock", [ClockType.HOST, ClockType.VIRTUAL_RT])
def test_checkpoint_of_another_clock_diverges(clock: ClockType, ticks: Recorded, tmp_path: Path) -> None:
    items = ticks.items()
    items[7] = items[7]._replace(name=clock.value)
    path = rewritten(ticks, tmp_path / "other.mst", items)

    with pytest.raises(DivergenceError, match=rf"^timers at .*item 7: checkpoint of the {clock.value} clock at icount"):
        replay(path)


@pytest.mark.parametrize("by", [-1, 1])
def test_checkpoint_moved_by_one_instruction_diverges(by: int, ticks: Recorded, tmp_path: Path) -> None:
    items = ticks.items()
    at = items[7].position
    items[7] = items[7]._replace(position=type(at)(at.icount + by, at.virtual_ns + 2 * by))
    path = rewritten(ticks, tmp_path / "moved.mst", items)

    with pytest.raises(DivergenceError, match=r"^(timers|virtual) at icount .*item 7: checkpoint of the virtual clock"):
        replay(path)


def test_register_hash_of_a_run_of_checkpoints_that_is_another_diverges(ticks: Recorded) -> None:
    tamper(ticks.path, "UPDATE checkpoints SET registers = registers + 1")

    with pytest.raises(DivergenceError, match=r"^hart at icount [0-9_]+: expected item 99: checkpoint of the virtual"):
        replay(ticks.path)


# ---- answers


def answers_session(tmp_path: Path) -> Recorded:
    """A guest without a driver: the host's entropy is asked for between its instructions."""

    def drive(board: Board) -> Outcome:
        return ask_thrice(board)

    return record(tmp_path, setup_of_code(asm.code(asm.LOOP), entropy="host"), drive=drive,
                  host=HostAnswers(entropy=lambda size: b"\x07" * size))  # fmt: skip


def ask_thrice(board: Board) -> Outcome:
    for icount in (10, 20, 30):
        board.run_until(icount=icount)
        board.part("rng0").draw(0, 4)
    return board.run_until(icount=40)


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("UPDATE events SET name = 'clock.host' WHERE seq = 1",
         r"^rng0.entropy at icount 20: expected item 1: answer 'clock.host 0x07070707' at icount 20, got a question "),
        ("UPDATE events SET icount = 21, virtual_ns = 42 WHERE seq = 1",
         r"^rng0.entropy at icount 20: expected item 1: answer 'rng0.entropy 0x07070707' at icount 21, got a "),
        ("UPDATE events SET kind = 0 WHERE seq = 1", r"^rng0.entropy at icount 20: .*, got no device of that name"),
        ("DELETE FROM events WHERE seq = 2", r"^rng0.entropy at icount 30: expected item 2: the end of the trace, "),
    ],
)  # fmt: skip
def test_answer_that_is_not_the_one_asked_for_diverges(sql: str, text: str, tmp_path: Path) -> None:
    recorded = answers_session(tmp_path)
    tamper(recorded.path, sql)
    if sql.startswith("DELETE"):
        tamper(recorded.path, "UPDATE reached SET seq = 2")

    with closing(TraceReader(recorded.path)) as reader, pytest.raises(DivergenceError, match=text) as raised:
        ask_thrice(Replay(reader).board)
    assert_shape(str(raised.value))


def test_answer_that_nobody_asks_for_diverges(tmp_path: Path) -> None:
    with pytest.raises(
        DivergenceError, match=r"^rng0.entropy at icount 40: expected item 0: answer .*, got the end \(reached"
    ):
        replay(answers_session(tmp_path).path)


# ---- what happens between two slices


@pytest.mark.parametrize("code", [reader_code, resetter_code])
def test_mark_that_is_missing_diverges(code: Any, tmp_path: Path) -> None:
    hand = Hand(typed(b"a."), stays=True)
    if code is resetter_code:
        hand.give(typed(b"rx."))  # the reset loses the x
    recorded = record(tmp_path, setup_of_code(code()), source=hand)
    marks = [item for item in recorded.items() if item.kind is Kind.ANSWER]
    assert marks
    rest = [item for item in recorded.items() if item.seq != marks[0].seq]
    path = rewritten(recorded, tmp_path / "less.mst", rest)

    with pytest.raises(DivergenceError, match=SHAPE):
        replay(path)


def test_mark_too_many_diverges(tmp_path: Path) -> None:
    recorded = record(tmp_path, setup_of_code(finish_code(0x5555)))
    at = type(recorded.end.position)(3, 6)
    extra = Item(0, Kind.ANSWER, at, "machine.reset", b"", 0)
    path = rewritten(recorded, tmp_path / "more.mst", [extra])

    with pytest.raises(
        DivergenceError, match=r"^machine.reset at icount \d+: expected item 0: answer 'machine.reset 0 "
    ):
        replay(path)


# ---- the door by itself


class Still:
    """A machine that is where it is."""

    def __init__(self, icount: int, virtual_ns: int) -> None:
        self.position = Position(icount, virtual_ns)

    def registers_hash(self, previous: int) -> int:
        return previous + 1


def test_host_is_never_asked_by_a_replay(session: Recorded) -> None:
    def never() -> Any:
        raise AssertionError("the host was asked")

    with session.reader() as reader:
        door = ReplayDoor(reader)
        door.observe(Still(0, 0))
        with pytest.raises(DivergenceError):
            door.ask("clock.host", never)
        board = setup_of_code(asm.code(asm.LOOP)).make(door=ReplayDoor(reader), host=HostAnswers(wall_ns=never))
        assert board.machine.timers[ClockType.HOST].clock.now_ns() == ord("a")
        assert (door.wait(None), door.is_open) == (0, False)


def test_replay_knows_where_the_next_item_is(session: Recorded) -> None:
    with session.reader() as reader:
        for first, expected in ((0, 200), (1, 300), (2, 400), (3, session.end.position.icount)):
            door = ReplayDoor(reader, replace(place_in_trace(reader), seq=first))
            assert (door.next_seq, door.next_icount, door.next_ns) == (first, expected, 2 * expected)


def test_what_a_host_side_part_posts_in_a_replay_is_a_mistake_of_ours(session: Recorded) -> None:
    with session.reader() as reader:
        door = ReplayDoor(reader)
        with pytest.raises(AssertionError, match=r"net0\.rx: a part of the host side runs in a replay"):
            door.post(Event("net0.rx", b""))
        door.is_discarding = True
        door.post(Event("net0.rx", b""))


def test_streams_are_compared_each_by_itself(tmp_path: Path) -> None:
    """A stream's bytes may come in any pieces, and between those of another."""
    setup = setup_of_code(finish_code(0x5555))
    meta, blobs = trace_meta(setup)
    path = str(tmp_path / "streams.mst")
    writer = TraceWriter(path, meta, blobs, shift=1)
    at = Still(5, 10).position
    for stream, data, is_message in (("a", b"12", False), ("b", b"frame", True), ("a", b"345", False)):
        writer.add_output(stream, at, data, is_message)
    writer.commit(at)
    writer.close()
    with closing(TraceReader(path)) as reader:
        door = ReplayDoor(reader)
        door.observe(Still(5, 10))
        for stream, data in (("a", b"1"), ("a", b"2"), ("a", b"3"), ("b", b"frame"), ("a", b"45")):
            door.sent(stream, data)
        door.check_end("the end")
        with pytest.raises(DivergenceError, match=r"^b at icount 5: expected item 0: nothing more on b, got 0x78"):
            door.sent("b", b"x")


def test_replay_up_to_an_instruction_stops_there_and_compares_no_end(session: Recorded) -> None:
    change_end(session.path, digest="0" * 64)
    with session.reader() as reader:
        playing = Replay(reader)
        assert playing.run(icount=350) == Outcome(StopReason.REACHED)
        assert playing.board.position.icount == 350
        assert playing.board.memory[RAM : RAM + 4] != bytes(4)
