"""Snapshots: the whole machine in, the same machine out; and the host side separate from it."""

from __future__ import annotations

import copy
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import asm
from support.recordings import (
    RAM,
    Hand,
    OneFile,
    Recorded,
    assert_replays,
    finish_code,
    record,
    setup_of_code,
    setup_of_image,
    tamper,
    typed,
)
from support.smp_guests import setup_of_busy

from minstret.devices.board.board import Board, Setup
from minstret.devices.board.config import HostAnswers
from minstret.devices.board.traced import Replay
from minstret.devices.hostside.hostinput.parsing import parse_script
from minstret.emu.clock import ClockType
from minstret.emu.door.live import LivePlace
from minstret.emu.errors import TraceError
from minstret.emu.machine import StopReason
from minstret.emu.recorded import saved_snapshot
from minstret.emu.session import LiveSession
from minstret.emu.state import canonical_bytes
from minstret.emu.timers import TimerAttribute
from minstret.emu.trace.format import Snapshot
from minstret.emu.trace.reader import TraceReader
from minstret.emu.trace.snapshot import snapshot_state, split_state, take_snapshot

SEED = 20181001
TYPING = 'AT 1ms: type "two words"\nAT 60ms: hold shift\nAT 70ms: press esc'


def loaded(setup: Setup, reader: TraceReader, number: int, *, with_host: bool = False) -> Board:
    """A live board in the state of a snapshot."""
    session = LiveSession(lambda door: setup.make(door=door))
    session.restore(saved_snapshot(session, reader, reader.snapshot(number), LivePlace(), with_host=with_host))
    return session.board


# ---- in and out


@pytest.mark.parametrize("image", ["ticks", "rtos", "paging", "dhcp-wfi"])
@pytest.mark.parametrize("xlen", [64, 32])
def test_machine_loaded_from_a_snapshot_is_the_machine_that_was_saved(image: str, xlen: int, tmp_path: Path) -> None:
    setup = setup_of_image(image, xlen)
    recorded = record(tmp_path, setup, every=30_011, icount=100_000)

    with recorded.reader() as reader:
        for number, position in reader.snapshot_positions():
            live = setup.make()
            live.run_until(icount=position.icount)
            board = loaded(setup, reader, number, with_host=True)
            assert board.position == position
            assert board.digest() == live.digest()
            assert canonical_bytes(board.machine.save_state()) == canonical_bytes(live.machine.save_state())
            assert bytes(board.machine.memory.ram) == bytes(live.machine.memory.ram)


def test_snapshot_of_a_loaded_machine_is_the_snapshot(tmp_path: Path) -> None:
    setup = setup_of_image("dhcp-wfi")
    recorded = record(tmp_path, setup, every=20_000)

    with recorded.reader() as reader:
        for number in recorded.snapshots():
            snapshot = reader.snapshot(number)
            board = loaded(setup, reader, number, with_host=True)
            dirty = board.machine.memory.dirty_pages()
            again, pages = take_snapshot(board.machine, dirty, number, snapshot.seq, snapshot.registers)
            assert again == snapshot
            assert pages == {}
            for page, data in reader.pages(number):
                assert board.memory[RAM + page * 4096 : RAM + (page + 1) * 4096] == data


def test_pages_are_those_written_since_the_last_snapshot() -> None:
    board = setup_of_code(asm.code(asm.LOOP)).make()
    dirty = board.machine.memory.dirty_pages()
    for address in (RAM + 0x3FFF, RAM + 0x3000, RAM + 0x9000):
        board.memory[address : address + 1] = b"x"

    _, pages = take_snapshot(board.machine, dirty, 1, 0, 0)
    assert sorted(pages) == [3, 9]
    assert bytes(pages[3]) == b"x" + bytes(4094) + b"x"
    _, pages = take_snapshot(board.machine, dirty, 2, 0, 0)
    assert pages == {}


def test_page_written_back_to_what_it_was_is_right_in_each_snapshot(tmp_path: Path) -> None:
    """Pages are stored once each, by what is in them."""
    recorded = record(tmp_path, setup_of_code(asm.code(asm.LOOP)), every=100, icount=650, drive=flip)

    with recorded.reader() as reader:
        found = [dict(reader.pages(number)).get(8, bytes(4096))[:1] for number in recorded.snapshots()]
    assert found == [b"a", b"b", b"a", b"\0", b"a", b"a"]
    # a replay knows nothing of what the test wrote, and says so at the end


def flip(board: Board) -> None:
    for number, text in enumerate((b"a", b"b", b"a", b"\0", b"a")):
        board.run_until(icount=50 + 100 * number)
        board.memory[RAM + 0x8000 : RAM + 0x8001] = text


# ---- host-side


def test_state_is_split_at_the_door() -> None:
    board = setup_of_image("dhcp").make()
    while not on_the_link(board):
        board.run_until(icount=board.position.icount + 100)
    board.clint.write(0x4000, 8, 1 << 40)  # mtimecmp: a timer of the guest's

    guest, host = split_state(board.machine)

    assert [name for name, _, _ in guest["timers"]["armed"]] == ["clint.mtimecmp"]
    assert "usernet.link" in [name for name, _, _ in host["timers"]]
    names = ["expectations", "input", "input.script", "input.script.match", "uart0.line", "usernet"]
    assert sorted(host["parts"]) == names
    assert "host" not in guest
    external = [timer.name for timer in board.machine.virtual_timers.timers() if timer.is_external]
    assert not any(name in json.dumps(guest) for name in external)


def on_the_link(board: Board) -> int:
    """How many frames are under way to the guest."""
    assert board.host_side is not None
    assert board.host_side.network is not None
    return len(board.host_side.network.state.link.frames)


def arrivals(setup: Setup, path: Path) -> list[int]:
    """Where the guest gets frames: in a guest that sleeps, inside its WFI."""
    return [item.position.icount for item in record(path, setup).items() if item.name == "net0.rx"]


@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("image", ["dhcp", "dhcp-wfi", "tftp"])
def test_live_board_goes_on_with_a_frame_on_the_link_as_the_recording_did(
    image: str, before: int, tmp_path: Path
) -> None:
    setup = setup_of_image(image)
    icounts = arrivals(setup, tmp_path)
    for icount in (icounts[0], icounts[len(icounts) // 2]):
        recorded = record(tmp_path, setup, every=icount - before)
        with recorded.reader() as reader:
            board, frames = loaded(setup, reader, 1, with_host=True), list[bytes]()
        assert on_the_link(board) > 0
        assert board.hart.waiting == (image != "dhcp" and before == 0)
        board.on_frame = frames.append
        assert (board.run(), board.position, board.digest()) == (
            recorded.end.outcome, recorded.end.position, recorded.end.digest
        )  # fmt: skip
        assert recorded.console.endswith(board.console)
        assert frames == recorded.frames[-len(frames) :]


def test_live_board_without_the_host_section_waits_for_a_frame_in_vain(tmp_path: Path) -> None:
    """What is on the link is host-side: without it, the answer is lost and the guest asks again."""
    setup = setup_of_image("dhcp-wfi")
    recorded = record(tmp_path, setup, every=arrivals(setup, tmp_path)[0])

    with recorded.reader() as reader:
        board = loaded(setup, reader, 1)
    assert on_the_link(board) == 0
    board.run()
    assert board.position.virtual_ns > recorded.end.position.virtual_ns + 1_000_000_000


@pytest.mark.parametrize("chaos", [None, 7])
def test_live_board_goes_on_typing_from_a_snapshot(chaos: int | None, tmp_path: Path) -> None:
    """With keys in the queue, one of them down, and lines of the script still to come."""
    setup = replace(setup_of_image("keys", chaos_seed=chaos), script=tuple(parse_script(TYPING, "test")))
    recorded = record(tmp_path, setup, every=2000)
    assert recorded.end.outcome.reason is StopReason.FINISHED

    with recorded.reader() as reader:
        numbers = recorded.snapshots()
        for number in numbers[-24::6]:
            board = loaded(setup, reader, number, with_host=True)
            assert (board.run(), board.position, board.digest()) == (
                recorded.end.outcome, recorded.end.position, recorded.end.digest
            )  # fmt: skip


# ---- awkward moments


def test_snapshot_between_lr_and_sc_keeps_the_reservation(tmp_path: Path) -> None:
    guest = asm.code(
        asm.li(asm.T0, RAM + 0x1000), asm.lr_w(asm.T1, asm.T0), asm.NOP, asm.NOP, asm.sc_w(asm.A0, asm.T0, asm.T0)
    )
    recorded = record(tmp_path, setup_of_code(guest + finish_code(0x5555)), every=1)

    for number in recorded.snapshots():
        assert_replays(recorded, snapshot=number)
    with recorded.reader() as reader:
        assert any(
            reader.snapshot(n).machine["harts"][0]["words"]["load_res"] == RAM + 0x1000 for n in recorded.snapshots()
        )


def test_snapshot_with_a_byte_in_the_uart_and_more_held_back_resumes_the_same(tmp_path: Path) -> None:
    hand = Hand(stays=True)

    def drive(board: Board) -> None:
        board.run_until(icount=60)
        hand.give(typed(b"all of it, as it comes."))
        board.run_until(icount=90)

    recorded = record(tmp_path, setup_of_image("echo"), source=hand, every=61, drive=drive)
    for number in recorded.snapshots():
        assert_replays(recorded, snapshot=number)


class AlarmClock(Hand):
    """A host's wall clock that goes on by 777 ns at each reading, and by each wait."""

    def __init__(self) -> None:
        super().__init__(stays=True)
        self.now_ns = 1_600_000_000_000_000_000

    def wall_ns(self) -> int:
        self.now_ns += 777
        return self.now_ns

    def wait(self, timeout_ns: int | None) -> int:
        assert timeout_ns is not None
        self.now_ns += timeout_ns
        return timeout_ns


def test_snapshot_keeps_an_alarm_in_host_time(tmp_path: Path) -> None:
    host = AlarmClock()
    setup = setup_of_image("rtc", rtc_follows_host=True)
    recorded = record(tmp_path, setup, source=host, host=HostAnswers(wall_ns=host.wall_ns), every=101)

    with recorded.reader() as reader:
        armed = [n for n in recorded.snapshots() if reader.snapshot(n).machine["devices"]["rtc"]["alarm_is_set"]]
        assert armed
        for number in armed:
            assert list(loaded(setup, reader, number).machine.timers[ClockType.HOST].armed())
    for number in armed[::3]:
        assert_replays(recorded, snapshot=number)


# ---- what does not fit


@pytest.fixture
def ticks(tmp_path: Path) -> Recorded:
    return record(tmp_path, setup_of_image("ticks"), every=10_000)


def spoil(state: dict[str, Any], path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    state = copy.deepcopy(state)
    at: Any = state
    for key in path[:-1]:
        at = at[key]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return state


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        (("harts", 0, "xlen"), 32, "the hart is another"),
        (("harts", 0, "x"), [0] * 31, "the hart has other registers"),
        (("harts", 0, "x"), [-1] * 32, "a register beyond 64 bits"),
        (("harts", 0, "words", "priv"), 2, "the hart is in no known mode"),
        (("harts", 0, "icount"), 9999, "it is of icount 9999"),
        (("devices", "plic"), None, "it has other devices"),
        (("devices", "clint", "mtime_delta"), "soon", "expected int"),
        (("timers", "armed"), [["clint.mtimecmp", 5, 0], ["clint.mtimecmp", 6, 1]], "a timer is armed twice"),
        (("timers", "armed"), [["clint.mtimecmp", 5, 1 << 40]], "a timer was armed at no possible time"),
        (("timers", "armed"), [["clint.mtimecmp", -5, 0]], "a timer was armed at no possible time"),
        (("timers", "armed"), [["clint.mtimecmp", 1 << 63, 0]], "a timer was armed at no possible time"),
        (("clock", "warp_ns"), -100, "virtual time is behind the instruction count"),
        (("timers", "armed"), [["egg", 5, 0]], "it has other timers: egg"),
        (("lines",), {}, "KeyError("),
        (("clock",), {}, "VirtualClockState: expected the fields ['warp_ns'], got []"),
        (("exit_code",), "nine", "the exit code is none"),
    ],
)
def test_snapshot_that_does_not_fit_is_refused(
    path: tuple[str | int, ...], value: object, text: str, ticks: Recorded
) -> None:
    with ticks.reader() as reader:
        snapshot = reader.snapshot(1)
        broken = replace(snapshot, machine=spoil(snapshot.machine, path, value))
        board = setup_of_image("ticks").make()

        with pytest.raises(TraceError) as raised:
            snapshot_state(board.machine, reader, broken)
    message = str(raised.value)
    assert message.startswith(f"{ticks.path}: snapshot 1 does not fit this board: ")
    assert text in message


QUANTUM = 100


@pytest.fixture
def harts(tmp_path: Path) -> Recorded:
    """Three of them, at icount 2000."""
    return record(tmp_path / "harts.mst", setup_of_busy(64, 3, quantum=QUANTUM), every=2000, icount=3000)


@pytest.fixture
def chaotic(tmp_path: Path) -> Recorded:
    return record(tmp_path / "chaotic.mst", setup_of_busy(64, 3, chaos_seed=5), every=2000, icount=3000)


def refusal(recorded: Recorded, path: tuple[str | int, ...], value: object) -> str:
    with recorded.reader() as reader:
        snapshot = reader.snapshot(1)
        broken = replace(snapshot, machine=spoil(snapshot.machine, path, value))
        with pytest.raises(TraceError) as raised:
            snapshot_state(Replay(reader).board.machine, reader, broken)
    message = str(raised.value)
    start = f"{recorded.path}: snapshot 1 does not fit this board: "
    assert message.startswith(start)
    assert len(message.splitlines()) == 1
    return message.removeprefix(start)


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        (("schedule",), None, "KeyError("),
        (("schedule", "turn"), None, "ScheduleState: expected the fields"),
        (("schedule", "running"), 3, "a hart runs that is not there"),
        (("schedule", "running"), -1, "a hart runs that is not there"),
        (("schedule", "turn"), 3, "a hart runs that is not there"),
        (("schedule", "turn"), "1", "expected int"),
        (("schedule", "left"), [0] * 2, "its schedule is of other harts"),
        (("schedule", "left"), [0] * 4, "its schedule is of other harts"),
        (("schedule", "left"), [0, 0, QUANTUM + 1], "a hart has more left than its quantum"),
        (("schedule", "left"), [0, 0, -1], "a hart has more left than its quantum"),
        (("schedule", "left"), [0, 0, 0.5], "expected int"),
        (("schedule", "woken"), [], "its schedule is of other harts"),
        (("schedule", "woken"), [-1, -1, -2], "a hart was woken at no possible time"),
        (("schedule", "woken"), [-1, -1, 1 << 40], "a hart was woken at no possible time"),
        (("schedule", "rank"), [0, 1, 2], "its schedule is of other harts"),
        (("schedule", "changes"), [3000], "its schedule is of other harts"),
        (("schedule", "epoch"), 1, "its schedule is of other harts"),
        (("harts", 1), None, "it has 2 harts"),
        (("harts", 1, "icount"), 1, "its harts have counted differently"),
        (("harts", 2, "words", "priv"), 2, "the hart is in no known mode"),
    ],
)
def test_snapshot_with_an_impossible_schedule_is_refused(
    path: tuple[str | int, ...], value: object, text: str, harts: Recorded
) -> None:
    assert text in refusal(harts, path, value)


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        (("schedule", "running"), 3, "a hart runs that is not there"),
        (("schedule", "turn"), 1, "its schedule is of other harts"),
        (("schedule", "left"), [0, 0, 0], "its schedule is of other harts"),
        (("schedule", "woken"), [-1, -1, -1], "its schedule is of other harts"),
        (("schedule", "rank"), [0, 1], "its schedule is of other harts"),
        (("schedule", "changes"), [], "its schedule changes at no possible time"),
        (("schedule", "changes"), [1], "its schedule changes at no possible time"),
        (("schedule", "changes"), [4000, 3000], "its schedule changes at no possible time"),
        (("schedule", "changes"), [*range(3000, 300_000)], "its schedule changes at no possible time"),
        (("schedule", "epoch"), 0, "ranks were never drawn"),
    ],
)
def test_snapshot_with_an_impossible_schedule_of_chaos_is_refused(
    path: tuple[str | int, ...], value: object, text: str, chaotic: Recorded
) -> None:
    assert text in refusal(chaotic, path, value)


def test_snapshot_of_one_hart_with_a_schedule_is_refused(ticks: Recorded, harts: Recorded) -> None:
    with harts.reader() as reader:
        schedule = reader.snapshot(1).machine["schedule"]
    assert "it has another number of harts" in refusal(ticks, ("schedule",), schedule)


def test_snapshot_with_a_page_outside_ram_is_refused(ticks: Recorded) -> None:
    with ticks.reader() as reader:
        setup = setup_of_code(asm.code(asm.LOOP), ram_size=8192)
        with pytest.raises(TraceError, match=r"a damaged trace: snapshot 1 has a page outside RAM"):
            loaded(setup, reader, 1)


def test_snapshot_that_is_not_there_is_refused(ticks: Recorded) -> None:
    with ticks.reader() as reader, pytest.raises(TraceError, match=r"there is no snapshot 77"):
        reader.snapshot(77)


def test_external_timers_of_a_snapshot_keep_their_place_among_equals(tmp_path: Path) -> None:
    """Guest-side and host-side timers of one moment are stored apart, and fire in their old order again."""
    setup = setup_of_image("dhcp-wfi")
    recorded = record(tmp_path, setup, every=9000)
    mixed = 0
    with recorded.reader() as reader:
        for number in recorded.snapshots():
            board = loaded(setup, reader, number, with_host=True)
            armed = [(timer.expire_ns, timer.serial) for timer in board.machine.virtual_timers.armed()]
            kinds = {timer.attributes for timer in board.machine.virtual_timers.armed()}
            mixed += kinds == {TimerAttribute.NONE, TimerAttribute.EXTERNAL}
            assert armed == sorted(armed)
    assert mixed


def test_snapshot_at_random_instructions_resumes_the_same(tmp_path: Path) -> None:
    generator = random.Random(SEED)
    for image in ("ticks", "dhcp-wfi", "rtc"):
        every = generator.randrange(1000, 4000)
        recorded = record(tmp_path, setup_of_image(image), every=every)
        for number in generator.sample(recorded.snapshots(), 3):
            assert_replays(recorded, snapshot=number, slice_insns_max=generator.choice((97, 1009, None)))


def test_snapshot_is_no_part_of_the_truth(tmp_path: Path) -> None:
    """A replay from power-on does not look at snapshots."""
    recorded = record(tmp_path, setup_of_image("ticks"), every=5000)
    with recorded.reader() as reader:
        assert isinstance(reader.snapshot(1), Snapshot)
    for table in ("snapshots", "snapshot_pages", "pages"):
        tamper(recorded.path, f"DELETE FROM {table}")

    assert_replays(recorded)


def test_tftp_goes_on_with_the_file_of_the_live_board(tmp_path: Path) -> None:
    setup = setup_of_image("tftp")
    recorded = record(tmp_path, setup, every=9000)
    with recorded.reader() as reader:
        board = loaded(replace(setup, files=OneFile(b"")), reader, recorded.snapshots()[0], with_host=True)
        board.run()
    assert board.digest() != recorded.end.digest
