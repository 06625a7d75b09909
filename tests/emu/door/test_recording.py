"""The recording door: what it writes down, when, and in which order; and that recording changes nothing."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support import asm
from support.recordings import (
    CTRL_C,
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
    typed,
)

from minstret.devices.board.board import Board
from minstret.devices.board.config import HostAnswers
from minstret.devices.board.traced import Recording
from minstret.emu.door.door import Position
from minstret.emu.door.live import LiveDoor
from minstret.emu.door.recording import COMMIT_EVERY_NS
from minstret.emu.errors import ConfigError, DivergenceError, TraceError
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.trace.format import Kind
from minstret.emu.trace.reader import TraceReader

LOOPS = asm.code(asm.LOOP)


def typed_at(path: Path, *when: tuple[int, bytes], code: bytes | None = None, every: int = 0) -> Recorded:
    """Type at given instructions; then a full stop."""
    hand = Hand(stays=True)

    def drive(board: Board) -> None:
        for icount, text in (*when, (1000, b".")):
            board.run_until(icount=icount)
            hand.give(typed(text))

    return record(path, setup_of_code(code or resetter_code()), source=hand, drive=drive, every=every)


# ---- events


def test_event_is_written_with_the_position_at_which_the_guest_got_it(tmp_path: Path) -> None:
    items = typed_at(tmp_path, (200, b"a"), (377, b"b")).items()

    assert [(item.seq, item.kind, item.name, item.data, item.position) for item in items] == [
        (0, Kind.EVENT, "uart0.rx", b"a", Position(200, 400)),
        (1, Kind.EVENT, "uart0.rx", b"b", Position(377, 754)),
        (2, Kind.EVENT, "uart0.rx", b".", Position(1000, 2000)),
    ]


def test_event_that_finds_no_room_is_written_when_it_enters_and_only_so_much_of_it(tmp_path: Path) -> None:
    items = typed_at(tmp_path, (200, b"abc")).items()

    assert [item.data for item in items] == [b"a", b"b", b"c", b"."]
    assert items[0].position.icount == 200
    assert 200 < items[1].position.icount < items[2].position.icount < 1000


def test_events_that_find_no_room_keep_their_order(tmp_path: Path) -> None:
    hand = Hand(stays=True)
    for text in (b"ab", b"cd", b"ef."):
        hand.give(typed(text))
    recorded = record(tmp_path, setup_of_code(resetter_code()), source=hand)

    assert recorded.console == b"1abcdef."


def test_event_that_finds_no_room_up_to_the_end_is_not_written(tmp_path: Path) -> None:
    hand = Hand(stays=True)
    hand.give(typed(b"abc"))
    looks = asm.code(asm.li(asm.T0, UART), asm.lb(asm.T1, asm.T0, 5))
    recorded = record(tmp_path, setup_of_code(looks + LOOPS), source=hand, icount=1000)

    assert [item.data for item in recorded.items()] == [b"a"]
    assert_replays(recorded)


def test_register_hash_of_an_event_covers_registers_pc_and_all_hashes_before(tmp_path: Path) -> None:
    hashes, others, again = (
        [item.registers for item in typed_at(tmp_path, (icount, b"a"), (500, b"b")).items()]
        for icount in (200, 201, 200)
    )

    assert len({*hashes}) == 3
    assert hashes[0] != others[0]
    assert hashes[1] != others[1]  # same place, same registers, another past
    assert hashes == again


def test_end_that_the_host_asks_for_is_an_event(tmp_path: Path) -> None:
    hand = Hand(stays=True)
    hand.give(CTRL_C)
    recorded = record(tmp_path, setup_of_code(LOOPS), source=hand)

    assert [(item.name, item.data) for item in recorded.items()] == [("machine.stop", b"interrupted")]
    assert recorded.end.outcome == Outcome(StopReason.INTERRUPTED)


# ---- what happens between two slices


def test_reset_is_marked_between_what_came_before_and_behind_it(tmp_path: Path) -> None:
    recorded = typed_at(tmp_path, (200, b"rxy"))

    names = [(item.name, item.data) for item in recorded.items()]
    assert names == [
        ("uart0.rx", b"r"), ("machine.reset", b""), ("uart0.rx", b"x"), ("uart0.rx", b"y"), ("uart0.rx", b".")
    ]  # fmt: skip
    assert_replays(recorded)


def test_guest_that_stands_still_is_marked_once_for_each_call(tmp_path: Path) -> None:
    recorded = record(tmp_path, setup_of_code(reader_code()), source=Hand(typed(b"ab"), typed(b"c")))

    names = [item.name for item in recorded.items()]
    assert names == ["hart.blocked", "uart0.rx"] * 3 + ["hart.blocked"]  # the last one meets the end of input


# ---- answers


def test_answers_are_written_in_the_order_asked(tmp_path: Path) -> None:
    numbers = iter(range(1, 100))

    def drive(board: Board) -> Outcome:
        for icount in (10, 20):
            board.run_until(icount=icount)
            board.part("rng0").draw(0, 3)
            board.machine.host_clock.now_ns()
        return board.run_until(icount=30)

    recorded = record(
        tmp_path, setup_of_code(LOOPS, entropy="host"), drive=drive,
        host=HostAnswers(wall_ns=lambda: next(numbers), entropy=lambda size: bytes((next(numbers),)) * size),
    )  # fmt: skip

    assert [(item.kind, item.name, item.data, item.position.icount) for item in recorded.items()] == [
        (Kind.ANSWER, "rng0.entropy", b"\1\1\1", 10),
        (Kind.ANSWER, "clock.host", (2).to_bytes(8, "little"), 10),
        (Kind.ANSWER, "rng0.entropy", b"\3\3\3", 20),
        (Kind.ANSWER, "clock.host", (4).to_bytes(8, "little"), 20),
    ]


# ---- outputs


def test_what_the_guest_sends_is_written_whole(tmp_path: Path) -> None:
    recorded = record(tmp_path, setup_of_image("dhcp"))

    with recorded.reader() as reader:
        outputs = list(reader.outputs())
    assert b"".join(output.data for output in outputs if output.stream == "uart0.tx") == recorded.console
    frames = [output for output in outputs if output.stream == "net0.tx"]
    assert [output.data for output in frames] == [f for f in recorded.frames if f[6:12] == b"\x52\x54\0\x12\x34\x56"]
    assert len({output.position for output in frames}) == len(frames)


def test_output_has_the_position_of_the_instruction_that_sends(tmp_path: Path) -> None:
    store = asm.code(asm.li(asm.T0, 0x1000_0000), asm.sb(asm.T0, asm.T0, 0))
    recorded = record(tmp_path, setup_of_code(store + finish_code(0x5555)))

    with recorded.reader() as reader:
        (output,) = reader.outputs()
    assert output.position == Position(6 + 5, 2 * 11)  # the boot ROM's six instructions, and five for the address


# ---- recording changes nothing


@pytest.mark.parametrize("image", ["hello", "ticks", "dhcp", "dhcp-wfi", "rtc"])
def test_recorded_run_is_the_run_that_is_not_recorded(image: str, tmp_path: Path) -> None:
    setup = setup_of_image(image)
    board = setup.make(door=LiveDoor())
    outcome = board.run()

    for every in (0, 1777):
        end = record(tmp_path, setup, every=every).end
        assert (end.outcome, end.position, end.digest) == (outcome, board.position, board.digest())


def test_recording_again_gives_the_same_rows(tmp_path: Path) -> None:
    dumps = []
    for name in ("one", "two"):
        recorded = record(tmp_path / f"{name}.mst", setup_of_image("dhcp-wfi"), every=10_000)
        with closing(sqlite3.connect(recorded.path)) as db:
            dumps.append(list(db.iterdump()))
    assert dumps[0] == dumps[1]


# ---- snapshots and commits


@pytest.mark.parametrize("every", [100, 1000, 9999])
def test_snapshots_come_at_multiples_of_their_distance(every: int, tmp_path: Path) -> None:
    recorded = record(tmp_path, setup_of_image("ticks"), every=every)

    with recorded.reader() as reader:
        found = reader.snapshot_positions()
    assert [number for number, _ in found] == list(range(1, len(found) + 1))
    assert [position.icount for _, position in found] == list(range(every, recorded.end.position.icount, every))


def test_no_snapshots_are_written_without_being_asked_for(tmp_path: Path) -> None:
    assert record(tmp_path, setup_of_image("ticks")).snapshots() == []


@pytest.mark.parametrize("ring", [1, 2, 5])
def test_ring_keeps_so_many_snapshots_and_nothing_before_them(ring: int, tmp_path: Path) -> None:
    recorded = record(tmp_path, setup_of_image("ticks"), every=1000, ring=ring)

    with recorded.reader() as reader:
        positions = [position.icount for _, position in reader.snapshot_positions()]
        seqs = [item.seq for item in reader.items()]
        first_seq = reader.snapshot(reader.meta["first_snapshot"]).seq
    assert positions == list(range(27_000 - 1000 * ring, 27_000, 1000))
    assert seqs == list(range(first_seq, 100))
    assert_replays(recorded)


def test_recording_without_a_snapshot_yet_in_its_ring_replays_from_power_on(tmp_path: Path) -> None:
    assert_replays(record(tmp_path, setup_of_image("ticks"), every=10**9, ring=2))


class SlowClock:
    """Host time that goes on by a fifth of the time between two commits at each reading."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        self.now_ns += COMMIT_EVERY_NS // 5
        return self.now_ns


def test_recording_reaches_the_file_about_once_a_second_of_host_time(tmp_path: Path) -> None:
    path = str(tmp_path / "run.mst")
    with Recording(path, setup_of_code(LOOPS, slice_insns_max=100), realtime_ns=SlowClock()) as recording:
        recording.board.run_until(icount=10_000)
        recording.door._writer.close()  # as if the process had been killed
    with closing(TraceReader(path)) as reader:
        reached = reader.reached().position
        assert reader.end is None
    assert 9000 <= reached.icount <= 10_000


# ---- the file


def test_recording_over_a_file_needs_to_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "run.mst"
    path.write_bytes(b"precious")

    with pytest.raises(TraceError, match=r"exists already; give another name with -o, or -f to overwrite it"):
        Recording(str(path), setup_of_code(LOOPS))
    assert path.read_bytes() == b"precious"


def test_board_that_can_not_be_made_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "run.mst"

    with pytest.raises(ConfigError, match=r"entropy: expected seed, host, none, got 'dice'"):
        Recording(str(path), setup_of_code(LOOPS, entropy="dice"))
    assert list(tmp_path.iterdir()) == []


def test_trace_has_what_the_images_decided(tmp_path: Path) -> None:
    recorded = record(tmp_path, setup_of_image("hello", xlen=32))

    with recorded.reader() as reader:
        assert reader.meta["config"]["xlen"] == 32
        assert reader.meta["images"]["bios"]["name"] == "hello-rv32.elf"
        assert reader.end is not None
        assert reader.end["digest"] == recorded.end.digest


def test_replay_needs_no_file_but_the_trace(tmp_path: Path) -> None:
    """Not even a folder that the firmware was in."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    recorded = record(folder, setup_of_image("dhcp-wfi"))
    moved = tmp_path / "moved.mst"
    Path(recorded.path).rename(moved)
    folder.rmdir()

    assert_replays(Recorded(str(moved), recorded.end, recorded.console, recorded.frames))


def test_memory_that_a_test_writes_is_not_in_a_recording(tmp_path: Path) -> None:
    """The host's hand in the guest's memory is no event: a replay says that it is another run."""
    generator = random.Random(1)

    def drive(board: Board) -> None:
        board.run_until(icount=50)
        board.memory[RAM + 0x8000 : RAM + 0x8010] = generator.randbytes(16)

    recorded = record(tmp_path, setup_of_code(LOOPS), drive=drive, icount=100)

    with pytest.raises(DivergenceError, match=r"^end at icount 100: expected digest "):
        assert_replays(recorded)
