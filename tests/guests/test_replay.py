"""What a replay must do: a recorded session plays back bit for bit, whole or from any snapshot, without its host."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from support import asm
from support.needs import Need
from support.random_cases import SEED_SLOW
from support.recordings import (
    CTRL_C,
    FAIL,
    NET_IMAGES,
    PASS,
    RAM,
    TERMINATED,
    TIMEOUT,
    Hand,
    OneFile,
    Recorded,
    assert_replays,
    call,
    finish_code,
    reader_code,
    record,
    resetter_code,
    setup_of_code,
    setup_of_image,
    tamper,
    typed,
)

from minstret.devices.board.board import Board, Setup
from minstret.devices.board.config import BoardConfig, HostAnswers
from minstret.devices.board.map import Base
from minstret.devices.board.placement import PACKAGED
from minstret.devices.board.traced import Recording, Replay
from minstret.devices.chips.clint import Reg as ClintReg
from minstret.devices.chips.rtc import Reg as RtcReg
from minstret.devices.hostside.expectations import Ending, fail_on, until
from minstret.devices.hostside.hostinput.parsing import parse_script
from minstret.devices.hostside.side import KEYBOARD, NetConfig, input_target
from minstret.devices.hostside.timer_models import TIMER_MODELS
from minstret.devices.hostside.usernet.network import UserNetConfig
from minstret.devices.services.semihosting import Op
from minstret.devices.virtio.input_codes import EVENT_SIZE
from minstret.emu import host as real_host
from minstret.emu.clock import NS_PER_TICK, VIRTUAL_NS_MAX, ClockType
from minstret.emu.door.door import Event
from minstret.emu.door.recording import RecordOptions
from minstret.emu.errors import DivergenceError, TraceError
from minstret.emu.expect import Expected
from minstret.emu.hart.shared import Counting
from minstret.emu.hart.watches import WatchKind
from minstret.emu.images.loader import read_image
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.timers import Timer, TimerAttribute
from minstret.emu.trace.format import Kind
from minstret.emu.trace.reader import TraceReader
from minstret.emu.units import NS_PER_MS
from minstret.firmware import IMAGES, image_path

XLENS = (64, 32)
QUICK = ("hello", "ticks", "echo", "rtc", "crash", "keys", "mix", "thermostat", "bits")
"""Images that take well under a second in slices of 7, and with the Python twins."""
SHORT = ("hello", "ticks", "echo", "rtc", "crash")
LONG = ("traps", "paging", "clocks", "rtos", "dhcp")
BARE = tuple(image for image in IMAGES if image != "paging-s")
LONGEST, BENCH_INSNS = ("bench", "kernels"), 500_000
"""Images that are run so far, and not to their ends."""
KEYS_SCRIPT = """
AT 1ms: type "Hi"
AT icount 140000: press ctrl-c for 3ms
AT 80ms: move 5 32767
AT 85ms: click left
AT 200ms: wheel up
AT 201ms: press esc
"""
SEED = 20181001


def record_image(path: Path, image: str, xlen: int, *, every: int = 0, **config: object) -> Recorded:
    """A whole run of an image, with somebody to type where it wants that."""
    setup = setup_of_image(image, xlen, **config)
    if image == "keys":
        setup = replace(setup, script=tuple(parse_script(KEYS_SCRIPT, "test")))
    return record(path, setup, source=typist(image), every=every, icount=BENCH_INSNS if image in LONGEST else None)


def typist(image: str) -> Hand | None:
    """Who types what an image waits for."""
    if image == "echo":
        return Hand(*[typed(bytes((byte,))) for byte in b"type "], typed(b"ahead, and more than fits."))
    if image == "thermostat":
        hand = Hand()
        hand.give(typed(b"get mode\rset mode 2\rtemp\rhalt\r"))
        return hand
    return None


def each_but_slow_of_one_width(*fast: str) -> pytest.MarkDecorator:
    """The fast images in both widths, and the others, slow, in one: every second one of them on rv32."""
    slow = [image for image in BARE if image not in fast]
    cases = [pytest.param(image, xlen) for image in fast for xlen in XLENS]
    cases += [pytest.param(image, XLENS[number % 2], marks=pytest.mark.slow) for number, image in enumerate(slow)]
    return pytest.mark.parametrize(("image", "xlen"), cases)


each_xlen = pytest.mark.parametrize("xlen", XLENS)
each_image = pytest.mark.parametrize("image", BARE)
each_image_quick_on_rv64 = pytest.mark.parametrize(
    ("image", "xlen"),
    [pytest.param(i, x, marks=pytest.mark.slow if i in LONG and x == 32 else ()) for i in BARE for x in XLENS],
)
each_quick_image = each_but_slow_of_one_width(*QUICK)
each_short_image = each_but_slow_of_one_width(*SHORT)


# ---- every image


@each_image_quick_on_rv64
def test_image_recorded_replays_the_same_in_other_slices(image: str, xlen: int, tmp_path: Path) -> None:
    recorded = record_image(tmp_path, image, xlen)

    assert_replays(recorded, slice_insns_max=997)
    if image not in LONG:
        assert_replays(recorded)


@each_quick_image
def test_image_recorded_replays_the_same_in_slices_of_seven(image: str, xlen: int, tmp_path: Path) -> None:
    assert_replays(record_image(tmp_path, image, xlen), slice_insns_max=7)


@each_quick_image
def test_image_recorded_replays_the_same_with_the_python_twins(image: str, xlen: int, tmp_path: Path) -> None:
    assert_replays(record_image(tmp_path, image, xlen), counting=Counting.PYTHON)


@each_short_image
def test_image_recorded_in_small_slices_or_by_the_twins_is_the_same_recording(
    image: str, xlen: int, tmp_path: Path
) -> None:
    whole = record_image(tmp_path / "whole.mst", image, xlen)
    small = record_image(tmp_path / "small.mst", image, xlen, slice_insns_max=7)
    twins = record_image(tmp_path / "twins.mst", image, xlen, counting=Counting.PYTHON)

    assert whole.end == small.end == twins.end
    assert whole.items() == small.items() == twins.items()
    assert whole.frames == small.frames == twins.frames


@each_image_quick_on_rv64
def test_image_resumed_from_a_snapshot_ends_the_same(image: str, xlen: int, tmp_path: Path) -> None:
    insns = record_image(tmp_path, image, xlen).end.position.icount
    recorded = record_image(tmp_path, image, xlen, every=insns // 3 - 1)

    snapshots = recorded.snapshots()
    assert len(snapshots) >= 3
    for snapshot in snapshots[-1:] if image in LONG else snapshots:
        assert_replays(recorded, snapshot=snapshot)


@pytest.mark.slow
@each_xlen
@each_image
def test_image_resumed_from_each_of_many_snapshots_ends_the_same(image: str, xlen: int, tmp_path: Path) -> None:
    insns = record_image(tmp_path, image, xlen).end.position.icount
    pick = random.Random(f"{SEED_SLOW}/{image}/{xlen}")
    recorded = record_image(tmp_path, image, xlen, every=max(3, insns // pick.randint(8, 12)))

    for snapshot in recorded.snapshots():
        assert_replays(recorded, snapshot=snapshot, slice_insns_max=random.Random(snapshot).choice((101, 10_000, None)))


@pytest.mark.parametrize("image", ["ticks", "dhcp-wfi", "echo", "keys"])
def test_image_resumed_from_the_oldest_snapshot_of_a_ring_ends_the_same(image: str, tmp_path: Path) -> None:
    setup = replace(setup_of_image(image), script=tuple(parse_script(KEYS_SCRIPT, "test")) if image == "keys" else ())
    source = Hand(*[typed(bytes((byte,))) for byte in b"a ring."]) if image == "echo" else None
    recorded = record(tmp_path, setup, source=source, every=211 if image == "echo" else 5000, ring=3)

    assert len(recorded.snapshots()) == 3
    for snapshot in (None, *recorded.snapshots()):
        assert_replays(recorded, snapshot=snapshot)


def test_replay_stopped_anywhere_goes_on_to_the_same_end(tmp_path: Path) -> None:
    recorded = record_image(tmp_path, "dhcp-wfi", 64)
    stops = sorted(random.Random(SEED).sample(range(1, recorded.end.position.icount), 40))

    def drive(board: Board) -> None:
        for stop in stops:
            board.run_until(icount=stop)
            assert board.position.icount == stop

    assert_replays(recorded, drive=drive)


@pytest.mark.slow
def test_opensbi_with_a_payload_replays_and_resumes_the_same(need: Need, tmp_path: Path) -> None:
    opensbi = Path(PACKAGED["opensbi"][64])
    need("fw_dynamic.bin (package opensbi)", opensbi.exists())
    setup = Setup(BoardConfig(ram_size=8 << 20), read_image(opensbi), kernel=read_image(image_path("paging-s")))

    recorded = record(tmp_path, setup, every=1_000_000)

    assert b"checks, all ok" in recorded.console
    assert_replays(recorded)
    assert_replays(recorded, snapshot=recorded.snapshots()[-1])


# ---- U-Boot

UBOOT = Path(PACKAGED["u-boot"][64])
COMMANDS = ("version", "dhcp", "ping 10.0.2.2", "md.b 0x80000000 0x20", "virtio info")


@pytest.fixture(scope="module")
def uboot_session(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Two boots: commands, a reset, and power off."""
    hand = Hand(stays=True)

    def drive(board: Board) -> None:
        def wait_for(text: str) -> None:
            board.run_until(uart=text, virtual_ns=board.position.virtual_ns + 20_000 * NS_PER_MS)
            assert board.console.endswith(text.encode())

        def to_prompt() -> None:
            wait_for("Hit any key to stop autoboot")
            hand.give(typed(b" "))
            wait_for("=> ")

        to_prompt()
        for command in COMMANDS:
            hand.give(typed(command.encode() + b"\r"))
            wait_for("\n=> ")
        hand.give(typed(b"reset\r"))
        to_prompt()
        hand.give(typed(b"echo again\r"))
        wait_for("\n=> ")
        hand.give(typed(b"poweroff\r"))

    config = BoardConfig(net=NetConfig(UserNetConfig(restrict=True)))
    return record(
        tmp_path_factory.mktemp("uboot"), Setup(config, read_image(UBOOT)), source=hand, every=20_000_000, drive=drive
    )


@pytest.fixture
def uboot(need: Need, request: pytest.FixtureRequest) -> Recorded:
    need("u-boot.bin (package u-boot-qemu)", UBOOT.exists())
    recorded: Recorded = request.getfixturevalue("uboot_session")
    return recorded


def test_uboot_session_replays_the_same(uboot: Recorded) -> None:
    assert uboot.end.outcome == Outcome(StopReason.FINISHED, 0)
    assert b"DHCP client bound to address 10.0.2.15" in uboot.console
    assert b"host 10.0.2.2 is alive" in uboot.console
    assert uboot.console.count(b"Hit any key") == 2
    assert_replays(uboot, slice_insns_max=99_991)


def test_uboot_session_resumed_from_snapshots_ends_the_same(uboot: Recorded) -> None:
    snapshots = uboot.snapshots()
    for snapshot in (snapshots[len(snapshots) // 2], snapshots[-1]):
        assert_replays(uboot, snapshot=snapshot)


@pytest.mark.slow
def test_uboot_session_resumed_from_every_snapshot_ends_the_same(uboot: Recorded) -> None:
    for snapshot in uboot.snapshots():
        assert_replays(uboot, snapshot=snapshot, slice_insns_max=random.Random(snapshot).choice((9973, None)))


# ---- DHCP, in every way


def assert_one_digest(path: Path, image: str, sleep: bool, restrict: bool, runs: int) -> None:
    found = set()
    for _ in range(runs):
        net = NetConfig(UserNetConfig(restrict=restrict))
        source = real_host.HostSource(console_target=None)  # it sleeps in real time
        recorded = record(path, setup_of_image(image, net=net, sleep=sleep), source=source)
        assert_replays(recorded)
        found.add((recorded.end, recorded.console, tuple(recorded.frames)))
    assert len(found) == 1
    assert recorded.end.outcome.exit_code == 0


@pytest.mark.parametrize("runs", [2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("image", ["dhcp", "dhcp-wfi"])
@pytest.mark.parametrize("restrict", [True, False], ids=["restrict", "open"])
@pytest.mark.parametrize("sleep", [True, False], ids=["sleep", "no-sleep"])
def test_dhcp_recorded_again_and_again_has_one_digest(
    sleep: bool, restrict: bool, image: str, runs: int, tmp_path: Path
) -> None:
    assert_one_digest(tmp_path, image, sleep, restrict, runs)


@pytest.mark.parametrize("image", ["dhcp", "dhcp-wfi"])
def test_dhcp_is_the_same_run_with_and_without_sleep(image: str, tmp_path: Path) -> None:
    net = NetConfig(UserNetConfig(restrict=True))
    ends = [
        record(tmp_path, setup_of_image(image, net=net, sleep=sleep), source=Hand()).end.digest
        for sleep in (True, False)
    ]
    assert ends[0] == ends[1]


def test_sleep_without_a_host_ends_as_it_does_without_sleep(tmp_path: Path) -> None:
    asleep, awake = (record(tmp_path, setup_of_image("ticks", sleep=sleep)).end for sleep in (True, False))

    assert asleep == awake


def test_sleep_cut_short_by_input_replays_the_same(tmp_path: Path) -> None:
    naps = random.Random(SEED)
    keys = [Event(input_target(KEYBOARD), bytes(EVENT_SIZE * (1 + number % 3))) for number in range(12)]
    hand = Hand(*keys, nap_of=lambda ns: naps.randrange(ns + 1))
    recorded = record(tmp_path, setup_of_image("ticks", sleep=True, inputs=(KEYBOARD,)), source=hand)

    times = [item.position.virtual_ns for item in recorded.items() if item.kind is Kind.EVENT]
    assert len(times) == 12
    assert any(ns % NS_PER_MS > 100_000 for ns in times)  # ticks come each millisecond
    assert_replays(recorded)
    assert_replays(recorded, slice_insns_max=7)


class Sleeper(Hand):
    """A host whose waits take what ``nap_of`` says, given how many there were."""

    def __init__(self, nap_of: Callable[[int, int], int]) -> None:
        super().__init__()
        self._nap = nap_of
        self.waits: list[tuple[int, int]] = []

    def wait(self, timeout_ns: int | None) -> int:
        assert timeout_ns is not None
        self.waits.append((timeout_ns, self._nap(timeout_ns, len(self.waits))))
        return self.waits[-1][1]


def oversleeper() -> Sleeper:
    """Waits take longer than they should, by a different time each."""
    return Sleeper(lambda timeout_ns, number: timeout_ns + 1000 + 7 * number)


def test_sleep_is_paced_by_virtual_rt_which_goes_on_by_what_the_host_waited(tmp_path: Path) -> None:
    host = oversleeper()
    boards: list[Board] = []
    recorded = record(tmp_path, setup_of_image("ticks", sleep=True), source=host, every=5000, drive=boards.append)

    marks = [item for item in recorded.items() if item.name == ClockType.VIRTUAL_RT.value]
    waited_ns = list(accumulate(waited_ns for _, waited_ns in host.waits))
    assert len(marks) == len(host.waits) > 5
    assert [int.from_bytes(mark.data, "little") for mark in marks] == [
        mark.position.virtual_ns + waited for mark, waited in zip(marks, waited_ns, strict=True)
    ]
    assert boards[0].machine.virtual_rt.state.waited_ns == waited_ns[-1]
    with recorded.reader() as reader:
        facts = {row["name"]: row for row in reader.meta["timers"]}
        replay = Replay(reader)
        replay.run()
        paced = {timer.name: timer.counts.fired for timer in replay.board.machine.timers[ClockType.VIRTUAL_RT].timers()}
    assert (facts["idle.pace"]["clock"], facts["idle.pace"]["checkpoints"]) == ("virtual_rt", len(marks))
    assert paced == {"idle.pace": len(marks)}
    assert_replays(recorded)
    for snapshot in recorded.snapshots():
        assert_replays(recorded, snapshot=snapshot)


def test_sleep_cut_short_leaves_no_mark_of_its_end(tmp_path: Path) -> None:
    moods = random.Random(SEED)
    host = Sleeper(lambda timeout_ns, number: timeout_ns if moods.random() < 0.5 else timeout_ns // 2)
    recorded = record(tmp_path, setup_of_image("ticks", sleep=True), source=host)

    marks = [item for item in recorded.items() if item.name == ClockType.VIRTUAL_RT.value]
    assert 5 < len(marks) == sum(waited == timeout for timeout, waited in host.waits) < len(host.waits)
    assert_replays(recorded)


def test_machine_that_does_not_sleep_has_no_pace(tmp_path: Path) -> None:
    recorded = record(tmp_path, setup_of_image("ticks"), source=oversleeper())

    assert not [item for item in recorded.items() if item.name == ClockType.VIRTUAL_RT.value]


# ---- ends


@pytest.mark.parametrize(("value", "exit_code"), [(0x5555, 0), (7 << 16 | FAIL, 7)])
def test_guest_that_finishes_replays_with_its_exit_code(value: int, exit_code: int, tmp_path: Path) -> None:
    recorded = record(tmp_path, setup_of_code(finish_code(value)))

    assert recorded.end.outcome == Outcome(StopReason.FINISHED, exit_code)
    assert_replays(recorded)


@each_xlen
def test_trap_loop_replays_with_its_first_trap(xlen: int, tmp_path: Path) -> None:
    recorded = record_image(tmp_path, "crash", xlen)

    assert recorded.end.outcome.reason is StopReason.TRAP_LOOP
    assert recorded.end.outcome.first_trap is not None
    assert_replays(recorded)  # compares first_trap too


def test_wait_that_nothing_can_end_replays_as_one(tmp_path: Path) -> None:
    recorded = record(tmp_path, setup_of_code(asm.code(asm.WFI, asm.LOOP)))

    assert recorded.end.outcome.reason is StopReason.WAITS_FOREVER
    assert_replays(recorded)


def test_wait_that_nothing_can_end_any_more_replays_as_one(tmp_path: Path) -> None:
    recorded = record(tmp_path, setup_of_image("echo"), source=Hand(typed(b"no stop")))

    assert recorded.end.outcome.reason is StopReason.WAITS_FOREVER
    assert recorded.console.endswith(b"NO STOP")
    assert_replays(recorded)


@pytest.mark.parametrize("icount", [1, 26_541, 26_542, 10**9])
def test_recording_of_so_many_instructions_replays_up_to_there(icount: int, tmp_path: Path) -> None:
    recorded = record(tmp_path, setup_of_image("ticks"), icount=icount)

    assert recorded.end.position.icount == min(icount, 26_542)
    assert_replays(recorded, slice_insns_max=7)


def test_recording_stopped_by_max_insns_replays_with_that_reason(tmp_path: Path) -> None:
    def drive(board: Board) -> Outcome:
        board.run_until(icount=5000)
        return Outcome(StopReason.MAX_INSNS)

    recorded = record(tmp_path, setup_of_image("ticks"), drive=drive)

    assert_replays(recorded)


@pytest.mark.parametrize("virtual_ns", [500_000, 1_500_000, 1_999_999])
def test_recording_that_ends_while_the_guest_waits_replays_up_to_there(virtual_ns: int, tmp_path: Path) -> None:
    recorded = record(tmp_path, setup_of_image("ticks"), drive=lambda board: board.run_until(virtual_ns=virtual_ns))

    assert recorded.end.position.virtual_ns == virtual_ns
    assert_replays(recorded)


@pytest.mark.parametrize("stop", [TIMEOUT, CTRL_C], ids=["timeout", "ctrl-c"])
@pytest.mark.parametrize("when", [0, 1, 300, 536])
def test_end_that_the_host_asked_for_replays_at_the_same_instruction(when: int, stop: Event, tmp_path: Path) -> None:
    hand = Hand(stays=True)

    def drive(board: Board) -> None:
        board.run_until(icount=when)
        hand.give(stop)

    recorded = record(tmp_path, setup_of_image("echo"), source=hand, drive=drive)

    assert recorded.end.outcome.reason in (StopReason.TIMEOUT, StopReason.INTERRUPTED)
    assert recorded.end.position.icount == when
    assert_replays(recorded)


def test_end_asked_for_while_the_guest_waits_replays_at_the_same_time(tmp_path: Path) -> None:
    hand = Hand(CTRL_C, nap_of=lambda timeout_ns: timeout_ns // 3)
    recorded = record(tmp_path, setup_of_image("ticks", sleep=True), source=hand)

    assert recorded.end.outcome.reason is StopReason.INTERRUPTED
    assert recorded.end.position.virtual_ns % NS_PER_MS
    assert_replays(recorded)


LAST_TICK = VIRTUAL_NS_MAX // NS_PER_TICK
WAITS_UNTIL_TIME_ENDS = asm.code(
    asm.li(asm.T0, Base.CLINT + ClintReg.MTIMECMP), asm.li(asm.T1, LAST_TICK >> 32), asm.sw(asm.T1, asm.T0, 4),
    asm.li(asm.T1, LAST_TICK - 5), asm.sw(asm.T1, asm.T0, 0), asm.addi(asm.T1, 0, 128), asm.csrw("mie", asm.T1),
    asm.WFI, asm.LOOP,
)  # fmt: skip


def ends_of_every_kind(folder: Path) -> dict[str, Recorded]:
    """Short recordings, by how they end."""

    def stopped_by(stop: Event, image: str, icount: int) -> Recorded:
        hand = Hand(stays=True)

        def drive(board: Board) -> None:
            board.run_until(icount=icount)
            hand.give(stop)

        return record(folder / f"{stop.data.decode()}.mst", setup_of_image(image), source=hand, drive=drive)

    def of_code(name: str, code: bytes, **options: Any) -> Recorded:
        return record(folder / f"{name}.mst", setup_of_code(code), **options)

    def stopped_by_max_insns(board: Board) -> Outcome:
        board.run_until(icount=5000)
        return Outcome(StopReason.MAX_INSNS)

    def stopped_at_a_breakpoint(board: Board) -> Outcome:
        board.run_until(icount=5000)
        board.hart.breakpoints.add(board.hart.pc)
        return board.run()

    def stopped_by_a_watch(board: Board) -> Outcome:
        memory = board.machine.memory
        board.hart.watches.add(WatchKind.ACCESS, memory.ram_base, memory.ram_size)
        assert board.run().hits
        return Outcome(StopReason.WATCH)

    def stopped_by_max_time(board: Board) -> Outcome:
        assert board.run_until(virtual_ns=1_500_000).reason is StopReason.REACHED
        return Outcome(StopReason.MAX_TIME)

    def ended_by(name: str, image: str, *endings: Ending, **options: Any) -> Recorded:
        return record(folder / f"{name}.mst", replace(setup_of_image(image), endings=endings), **options)

    asleep = Hand(CTRL_C, nap_of=lambda timeout_ns: timeout_ns // 3)
    return {
        "--until": ended_by("until", "hello", *until(Expected.text("hart"))),
        "--fail-on": ended_by("fail", "hello", *fail_on(Expected.text("hart"))),
        "--until is missed by a guest that waits": ended_by("waits-on", "echo", *until(Expected.text("no"))),
        "--until is missed by a guest that finishes": ended_by("ended", "hello", *until(Expected.text("no"))),
        "--max-time in a wait": ended_by("max-time", "ticks", drive=stopped_by_max_time),
        "finished": of_code("finished", finish_code(PASS)),
        "trap loop": record(folder / "loop.mst", setup_of_image("crash")),
        "trap loop at power-on": of_code("loop0", bytes(4)),
        "waits forever": of_code("waits", asm.code(asm.WFI, asm.LOOP)),
        "waits forever behind timers": record(folder / "echo.mst", setup_of_image("echo"), source=Hand(typed(b"no"))),
        "end of time": of_code("time-ends", WAITS_UNTIL_TIME_ENDS),
        "Ctrl-C": stopped_by(CTRL_C, "echo", 300),
        "timeout": stopped_by(TIMEOUT, "echo", 536),
        "SIGTERM": stopped_by(TERMINATED, "echo", 400),
        "Ctrl-C in a wait": record(folder / "asleep.mst", setup_of_image("ticks", sleep=True), source=asleep),
        "--max-insns": record(folder / "limit.mst", setup_of_image("ticks"), drive=stopped_by_max_insns),
        "an icount": record(folder / "icount.mst", setup_of_image("ticks"), icount=5000),
        "a breakpoint": record(folder / "break.mst", setup_of_image("ticks"), drive=stopped_at_a_breakpoint),
        "a watch": record(folder / "watch.mst", setup_of_image("ticks"), drive=stopped_by_a_watch),
        "a time in a wait": record(
            folder / "time.mst", setup_of_image("ticks"), drive=lambda board: board.run_until(virtual_ns=1_500_000)
        ),
    }  # fmt: skip


def test_replay_up_to_the_very_end_is_whole_whatever_ended_the_recording(tmp_path: Path) -> None:
    ends = ends_of_every_kind(tmp_path)

    assert {recorded.end.outcome.reason for recorded in ends.values()} == set(StopReason)
    for what, recorded in ends.items():
        icount = recorded.end.position.icount
        for to_icount in (icount, icount + 1):
            try:
                assert_replays(recorded, to_icount=to_icount)
            except DivergenceError as error:
                raise AssertionError(f"{what}: {error}") from error


def test_busy_guest_whose_end_is_missing_diverges_and_does_not_run_on_forever(tmp_path: Path) -> None:
    hand = Hand()
    hand.give(CTRL_C)
    recorded = record(tmp_path, setup_of_code(asm.code(asm.LOOP)), source=hand, drive=lambda b: b.run_until(icount=99))
    with recorded.reader() as reader:
        replay = Replay(reader)
        assert replay.run().reason is StopReason.INTERRUPTED

        with pytest.raises(
            DivergenceError, match=r"end at icount 1: expected item 1: the end at icount 0, got the gue"
        ):
            replay.board.run()


def test_session_that_goes_on_behind_ctrl_c_replays_to_its_end(tmp_path: Path) -> None:
    hand = Hand(stays=True)

    def drive(board: Board) -> None:
        board.run_until(uart="full stop\n")
        for stop in (CTRL_C, TIMEOUT, TERMINATED, CTRL_C):
            hand.give(stop)
            assert board.run().reason.value.encode() == stop.data.split()[0]
        hand.give(typed(b"that was\n"))
        board.run_until(uart="WAS\n")
        hand.give(CTRL_C)
        board.run()
        hand.give(typed(b"nothing."))

    recorded = record(tmp_path, setup_of_image("echo"), source=hand, drive=drive)

    assert recorded.console.count(b"THAT WAS\nNOTHING\n") == 1
    assert_replays(recorded)


# ---- resets


TRAPS = {"ebreak": asm.EBREAK, "illegal": 0xFFFFFFFF, "load": asm.lw(asm.A0, asm.ZERO, 0)}


class Late(Hand):
    """Types when it is asked for the so-manieth time."""

    def __init__(self, polls: int) -> None:
        super().__init__(stays=True)
        self._left = polls

    def poll(self, wants_input: bool) -> Iterable[Event]:
        self._left -= 1
        if self._left == 0:
            self.give(typed(b"x"))
        return super().poll(wants_input)


@pytest.mark.parametrize("polls", range(20, 24))
@pytest.mark.parametrize("kind", TRAPS)
def test_input_where_work_ends_the_slice_replays_the_same_among_traps(kind: str, polls: int, tmp_path: Path) -> None:
    # a slice that a trap has worn out must not end between the trap and its handler: a replay stops before the trap
    handler = asm.code(asm.csrr(asm.T1, "mepc"), asm.addi(asm.T1, asm.T1, 4), asm.csrw("mepc", asm.T1), asm.MRET)
    start = asm.code(
        asm.auipc(asm.T0, 0), asm.addi(asm.T0, asm.T0, 0x100), asm.csrw("mtvec", asm.T0),
        asm.lui(asm.A1, 0x10000), asm.lb(asm.A0, asm.A1, 5), [TRAPS[kind]] * 3, asm.jal(asm.ZERO, -12),
    )  # fmt: skip

    def drive(board: Board) -> Outcome | None:
        board.hart.work_max = 10
        return board.run_until(icount=1000)

    recorded = record(tmp_path, setup_of_code(start, (0x100, handler)), source=Late(polls), drive=drive)
    assert len(recorded.items()) == 1
    assert_replays(recorded)


@pytest.mark.parametrize("slice_insns", [1, 7, 1000, 1_000_000])
def test_session_with_resets_and_typing_around_them_replays_the_same(slice_insns: int, tmp_path: Path) -> None:
    hand = Hand(stays=True)

    def drive(board: Board) -> None:
        for icount, text in ((200, b"ab"), (300, b"rcdr"), (800, b"er"), (1200, b"x."), (20_000, b"y.")):
            board.run_until(icount=icount)
            hand.give(typed(text))

    recorded = record(
        tmp_path, setup_of_code(resetter_code(), slice_insns_max=slice_insns), source=hand, drive=drive, every=97
    )

    assert recorded.end.outcome == Outcome(StopReason.FINISHED, 0)
    assert [bytes((byte,)) for byte in recorded.console if byte in b"123456789"] == [b"1", b"2", b"3", b"4"]
    assert_replays(recorded, slice_insns_max=5)
    for snapshot in recorded.snapshots()[:20]:
        assert_replays(recorded, snapshot=snapshot)


def test_input_right_behind_a_reset_replays_behind_it(tmp_path: Path) -> None:
    """The reset clears what the UART holds: which of the two came first matters."""
    hand = Hand(stays=True)
    at_reset: list[int] = []

    def find_reset(board: Board) -> None:
        hand.give(typed(b"r"))
        while board.console.count(b"2") == 0:
            before = board.position.icount
            board.run_until(icount=before + 1)
            if board.hart.pc == Base.BOOT_ROM and before > 10:
                at_reset.append(before + 1)
        hand.give(typed(b"."))

    record(tmp_path, setup_of_code(resetter_code()), source=hand, drive=find_reset)
    assert len(at_reset) == 1

    def drive(board: Board) -> None:
        hand.give(typed(b"r"))
        board.run_until(icount=at_reset[0])
        assert board.hart.pc == Base.BOOT_ROM
        hand.give(typed(b"."))

    recorded = record(tmp_path, setup_of_code(resetter_code()), source=hand, drive=drive)

    assert recorded.console == b"1r2."
    assert_replays(recorded)
    assert_replays(recorded, slice_insns_max=1)


def test_input_that_has_come_before_a_reset_is_there_behind_it(tmp_path: Path) -> None:
    ends = []
    for slice_insns in (1, 7, 1_000_000):
        hand = Hand()
        hand.give(typed(b"rabc."))
        recorded = record(tmp_path, setup_of_code(resetter_code(), slice_insns_max=slice_insns), source=hand)
        assert recorded.console == b"1r2abc."
        assert_replays(recorded)
        ends.append((recorded.end, recorded.items()))
    assert ends[0] == ends[1] == ends[2]


# ---- semihosting: a guest that stands still until something comes


@pytest.mark.parametrize(
    "planned",
    [
        (b"a", b"b", b"."),
        (b"all at once.",),
        (b"first", b" and then", b" the rest."),
        (b"no full stop, just the end",),
        (),
    ],
)
def test_guest_that_stands_still_for_input_replays_the_same(planned: tuple[bytes, ...], tmp_path: Path) -> None:
    hand = Hand(*[typed(text) for text in planned])
    recorded = record(tmp_path, setup_of_code(reader_code()), source=hand, every=50)

    assert recorded.console == b"".join(planned).removesuffix(b".")
    assert recorded.end.outcome == Outcome(StopReason.FINISHED, 0)
    assert_replays(recorded, slice_insns_max=3)
    for snapshot in recorded.snapshots():
        assert_replays(recorded, snapshot=snapshot)


@pytest.mark.parametrize(
    "text", [b"x", b"hello there", b"exactly twenty bytes", b"and here are more than twenty of them"]
)
@pytest.mark.parametrize("slice_insns", [1, 1_000_000])
def test_read_of_several_bytes_gets_what_is_held_back_in_a_replay_too(
    text: bytes, slice_insns: int, tmp_path: Path
) -> None:
    """A byte is in the UART, the rest on the host side: the call takes them all, as far as it has room."""
    block = b"".join(word.to_bytes(8, "little") for word in (1, RAM + 0x3000, 20))
    read = call(Op.READ, RAM + 0x1000)
    hand = Hand(typed(b"the second"))
    hand.give(typed(text))
    setup = setup_of_code(read + read + finish_code(0x5555), (0x1000, block), slice_insns_max=slice_insns)

    recorded = record(tmp_path, setup, source=hand)

    assert recorded.end.outcome == Outcome(StopReason.FINISHED, 0)
    assert b"".join(item.data for item in recorded.items()).startswith(text)
    assert_replays(recorded)
    assert_replays(recorded, slice_insns_max=1)


@pytest.mark.parametrize("stop", [CTRL_C, TIMEOUT, TERMINATED], ids=["ctrl-c", "timeout", "sigterm"])
def test_end_asked_for_while_the_guest_stands_still_replays_the_same(stop: Event, tmp_path: Path) -> None:
    hand = Hand(typed(b"ab"), stop)
    recorded = record(tmp_path, setup_of_code(reader_code()), source=hand)

    assert recorded.end.outcome.exit_code is None
    assert_replays(recorded)


def test_input_before_a_guest_first_reads_by_semihosting_replays_the_same(tmp_path: Path) -> None:
    hand = Hand()
    hand.give(typed(b"more than the UART has room for."))
    recorded = record(tmp_path, setup_of_code(reader_code()), source=hand)

    assert recorded.console == b"more than the UART has room for"
    assert_replays(recorded)
    assert_replays(recorded, slice_insns_max=1)


# ---- the host's clock and entropy


class IrregularHost(Hand):
    """A host whose wall clock goes by fits and starts, and whose waits end at any time."""

    def __init__(self, seed: int) -> None:
        super().__init__(stays=True)
        self._random = random.Random(seed)
        self._now_ns = 1_600_000_000_000_000_000
        self.readings = 0

    def wall_ns(self) -> int:
        self.readings += 1
        self._now_ns += self._random.choice((0, 1, 999, 123_457))
        return self._now_ns

    def wait(self, timeout_ns: int | None) -> int:
        assert timeout_ns is not None
        waited_ns = self._random.randrange(2 * timeout_ns + 1)
        self._now_ns += waited_ns
        return waited_ns

    def answers(self) -> HostAnswers:
        return HostAnswers(wall_ns=self.wall_ns)


@pytest.mark.parametrize("seed", [1, 2, 3])
@each_xlen
def test_alarms_in_host_time_replay_where_they_came(seed: int, xlen: int, tmp_path: Path) -> None:
    host = IrregularHost(seed)
    setup = setup_of_image("rtc", xlen, rtc_follows_host=True, slice_insns_max=1000)
    recorded = record(tmp_path, setup, source=host, host=host.answers(), every=2999)

    assert b"rtc: 27 checks" in recorded.console
    items = recorded.items()
    assert sum(item.kind is Kind.ANSWER and item.name == "clock.host" for item in items) > 20
    assert sum(item.kind is Kind.CHECKPOINT and item.name == "host" for item in items) == 3
    readings = host.readings
    assert_replays(recorded)
    assert_replays(recorded, slice_insns_max=7)
    for snapshot in recorded.snapshots():
        assert_replays(recorded, snapshot=snapshot)
    assert host.readings == readings


def alarm_guest(alarm_after_ns: int, timer_after_ticks: int) -> bytes:
    """Sets an alarm and mtimecmp, waits for one of them, and passes."""
    return asm.code(
        asm.li(asm.S0, int(Base.RTC)), asm.li(asm.S1, int(Base.CLINT)),
        asm.lw(asm.A0, asm.S0, RtcReg.TIME_LOW), asm.lw(asm.A1, asm.S0, RtcReg.TIME_HIGH),
        asm.li(asm.T0, alarm_after_ns), asm.add(asm.A0, asm.A0, asm.T0),
        asm.sw(asm.A1, asm.S0, RtcReg.ALARM_HIGH), asm.sw(asm.A0, asm.S0, RtcReg.ALARM_LOW),
        asm.li(asm.T0, timer_after_ticks), asm.li(asm.T1, 0x4000), asm.add(asm.S1, asm.S1, asm.T1),
        asm.sd(asm.T0, asm.S1, 0), asm.li(asm.T0, 0x80), asm.csrw("mie", asm.T0), asm.WFI,
    ) + finish_code(0x5555)  # fmt: skip


def test_wait_for_an_alarm_in_host_time_does_not_run_past_guest_timers(tmp_path: Path) -> None:
    """The host's wait ends late, as waits do; mtimecmp is due at its own time all the same."""
    setup = setup_of_code(alarm_guest(50_000_000, timer_after_ticks=100_000), rtc_follows_host=True)
    ends = []
    for seed in range(10):
        host = IrregularHost(seed)
        recorded = record(tmp_path, setup, source=host, host=host.answers())
        woken = [item for item in recorded.items() if item.kind is Kind.CHECKPOINT and item.name == "virtual"]
        assert [item.position.virtual_ns for item in woken] == [10 * NS_PER_MS]
        assert_replays(recorded)
        ends.append(recorded.end.position)
    assert len(set(ends)) == 1


ENTROPY_COUNT = 40


def entropy_setup(source: str) -> Setup:
    """Firmware that draws entropy again and again: U-Boot's is too slow, so a driver in Python is used."""
    return setup_of_code(asm.code(asm.LOOP), entropy=source)


def draw(board: Board) -> Outcome:
    """Draw entropy as the guest's driver would make the device do, at various instructions."""
    drawn = b""
    for number in range(ENTROPY_COUNT):
        board.run_until(icount=100 + 37 * number)
        drawn += board.part("rng0").draw(0, 16)
    board.memory[RAM + 0x1000 : RAM + 0x1000 + len(drawn)] = drawn
    return board.run_until(icount=5000)


def test_entropy_of_the_host_is_logged_and_replayed_without_it(tmp_path: Path) -> None:
    generator = random.Random(SEED)
    asked: list[int] = []

    def entropy(size: int) -> bytes:
        asked.append(size)
        return generator.randbytes(size)

    recorded = record(tmp_path, entropy_setup("host"), host=HostAnswers(entropy=entropy), drive=draw)

    answers = [item.data for item in recorded.items()]
    assert asked == [16] * ENTROPY_COUNT
    assert len(set(answers)) == ENTROPY_COUNT
    with recorded.reader() as reader:
        replay = Replay(reader)
        assert draw(replay.board).reason is StopReason.REACHED
        assert replay.board.memory[RAM + 0x1000 : RAM + 0x1000 + 16 * ENTROPY_COUNT] == b"".join(answers)
        assert replay.board.digest() == recorded.end.digest
        assert replay.run().reason is StopReason.REACHED


def test_entropy_of_the_seed_is_not_logged(tmp_path: Path) -> None:
    assert record(tmp_path, entropy_setup("seed"), drive=draw).items() == []


# ---- checkpoints

CLOCKS = (ClockType.VIRTUAL, ClockType.HOST, ClockType.VIRTUAL_RT)
GUEST, EXTERNAL = TimerAttribute.NONE, TimerAttribute.EXTERNAL


class TickingHost(Hand):
    """A wall clock that goes on by 1 µs at each reading."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 0

    def wall_ns(self) -> int:
        self.now_ns += 1000
        return self.now_ns


def add_timers(board: Board, clock: ClockType, kinds: tuple[TimerAttribute, ...], fired: list[str]) -> None:
    """Timers that go off together every 10 µs, five times."""

    def make(number: int, attributes: TimerAttribute) -> None:
        left = [5]

        def callback(late_ns: int) -> None:
            fired.append(f"{number}")
            left[0] -= 1
            if left[0]:
                timer.arm(timer_due_ns[0] + 10_000 * (6 - left[0]))

        timer = Timer(f"test.{number}", board.machine.timers[clock], callback, attributes)
        timer_due_ns = [10_000]
        timer.arm(timer_due_ns[0])

    for number, attributes in enumerate(kinds):
        make(number, attributes)


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize(
    ("kinds", "count"),
    [
        ((GUEST,), 5), ((EXTERNAL,), 0), ((GUEST, GUEST), 5), ((EXTERNAL, EXTERNAL), 0),
        ((GUEST, EXTERNAL), 5), ((EXTERNAL, GUEST), 5), ((EXTERNAL, GUEST, EXTERNAL, GUEST), 5),
    ],
)  # fmt: skip
def test_each_pass_with_a_guest_side_timer_has_one_checkpoint_that_replay_comes_by(
    kinds: tuple[TimerAttribute, ...], count: int, clock: ClockType, tmp_path: Path
) -> None:
    host, fired, fired_again = TickingHost(), list[str](), list[str]()

    def drive(board: Board) -> Outcome:
        add_timers(board, clock, kinds, fired)
        return board.run_until(icount=100_000)

    setup = setup_of_code(asm.code(asm.LOOP), slice_insns_max=1009)
    recorded = record(tmp_path, setup, host=HostAnswers(wall_ns=host.wall_ns), drive=drive)

    assert len(fired) == 5 * len(kinds)
    items = recorded.items()
    assert [(item.kind, item.name) for item in items] == [(Kind.CHECKPOINT, clock.value)] * count
    assert_replays(recorded, prepare=lambda board: add_timers(board, clock, kinds, fired_again))
    assert len(fired_again) == 5 * kinds.count(GUEST)


@pytest.mark.parametrize("clock", CLOCKS)
def test_checkpoint_whose_timer_is_gone_diverges(clock: ClockType, tmp_path: Path) -> None:
    def drive(board: Board) -> Outcome:
        add_timers(board, clock, (GUEST,), [])
        return board.run_until(icount=100_000)

    host = TickingHost()
    recorded = record(tmp_path, setup_of_code(asm.code(asm.LOOP), slice_insns_max=1009),
                      host=HostAnswers(wall_ns=host.wall_ns), drive=drive)  # fmt: skip

    with pytest.raises(DivergenceError, match=rf"^{clock.value} at icount .*: expected item 0: checkpoint of the "):
        assert_replays(recorded)


def test_timer_without_its_checkpoint_diverges(tmp_path: Path) -> None:
    recorded = record(tmp_path, setup_of_code(asm.code(asm.LOOP)), icount=100_000)

    with pytest.raises(DivergenceError, match=r"^timers at icount 5_000: .* the end of the trace, got a checkpoint of"):
        assert_replays(recorded, prepare=lambda board: add_timers(board, ClockType.VIRTUAL, (GUEST,), []))


# ---- timer models


def test_external_timers_without_attributes_are_checkpointed_and_replay(tmp_path: Path) -> None:
    plain = record(tmp_path / "plain.mst", setup_of_image("dhcp"))
    logged = record(tmp_path / "logged.mst", setup_of_image("dhcp", timer_model="no-attributes"), every=5000)

    assert not [item for item in plain.items() if item.kind is Kind.CHECKPOINT]
    assert len([item for item in logged.items() if item.kind is Kind.CHECKPOINT]) >= len(plain.frames) // 2
    assert (logged.end.position, logged.console) == (plain.end.position, plain.console)
    assert_replays(logged, slice_insns_max=997)
    for snapshot in logged.snapshots()[1::6]:  # with leases, frames on the link, a ping under way
        assert_replays(logged, snapshot=snapshot)


@pytest.mark.parametrize("timer_model", TIMER_MODELS)
def test_what_is_typed_and_delayed_by_chaos_replays_in_every_timer_model(timer_model: str, tmp_path: Path) -> None:
    setup = setup_of_image("echo", timer_model=timer_model, chaos_seed=1)
    recorded = record(tmp_path, setup, source=Hand(typed(b"some "), typed(b"words"), typed(b" and a stop.")), every=500)

    assert b"SOME WORDS AND A STOP\n21 bytes\n" in recorded.console
    assert_replays(recorded)
    for snapshot in recorded.snapshots():
        assert_replays(recorded, snapshot=snapshot)


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        ({"script": tuple(parse_script("AT 1ms: press a", "script"))}, "--keys or an input script"),
        ({"files": OneFile()}, "the files of tftp="),
    ],
)
def test_recording_that_lacks_what_a_replay_needs_is_refused_in_one_line(
    extra: dict[str, Any], what: str, tmp_path: Path
) -> None:
    setup = replace(setup_of_image("hello", timer_model="no-attributes", inputs=(KEYBOARD,)), **extra)
    recorded = record(tmp_path, setup)

    with recorded.reader() as reader, pytest.raises(TraceError) as raised:
        Replay(reader)
    assert str(raised.value) == (
        f"{recorded.path}: can't be replayed: with --timer-model no-attributes a replay needs the host side too,"
        f" and a trace has not {what}"
    )
    assert_replays(record(tmp_path, replace(setup, config=replace(setup.config, timer_model="attributes"))))


@pytest.mark.parametrize("lacks", ['"script"', "[1]", '["sugar"]', "{}", "null"])
def test_trace_that_says_it_lacks_what_nobody_knows_is_refused(lacks: str, tmp_path: Path) -> None:
    recorded = record(tmp_path, setup_of_image("hello"))
    tamper(recorded.path, "INSERT INTO meta VALUES ('lacks', ?)", lacks)

    with recorded.reader() as reader, pytest.raises(TraceError, match=r"a damaged trace: what it lacks is no such"):
        Replay(reader)


@pytest.mark.parametrize("image", ["dhcp", "dhcp-wfi"])
def test_timers_run_by_a_host_thread_still_replay(image: str, tmp_path: Path) -> None:
    for _ in range(3):  # each its own run
        recorded = record(tmp_path, setup_of_image(image, timer_model="virtual-ext"), drive=run_with_second_clock)
        assert_replays(recorded)


def run_with_second_clock(board: Board) -> Outcome:
    assert board.host_side is not None
    thread = real_host.TimerThread(board.host_side.timers, board.machine.hart.end_slice)
    board.host_side.lock = thread.lock
    with thread.running():
        return board.run()


# ---- a killed recording


class Killed(Exception):
    pass


@pytest.mark.parametrize("sent", [5, 17, 30])
def test_recording_that_an_error_ends_replays_up_to_its_last_commit(sent: int, tmp_path: Path) -> None:
    seen = bytearray()

    def on_console(data: bytes) -> None:
        seen.extend(data)
        if len(seen) == sent:
            raise Killed

    path = str(tmp_path / "killed.mst")
    options = RecordOptions(snapshot_every_insns=50)
    setup = setup_of_image("hello")
    with suppress(Killed), Recording(path, setup, options=options, on_console=on_console) as recording:
        recording.run()

    assert len(seen) == sent
    with closing(TraceReader(path)) as reader:
        assert reader.end is None
        snapshots = [number for number, _ in reader.snapshot_positions()]
        for snapshot in (None, *snapshots):
            replay = Replay(reader, snapshot=snapshot)
            assert replay.run().reason is StopReason.REACHED
            assert replay.board.position == reader.reached().position
            assert replay.board.console in bytes(seen)
        assert snapshots


@pytest.mark.parametrize("image", NET_IMAGES)
def test_replay_of_a_guest_with_a_network_has_no_outside(image: str, tmp_path: Path) -> None:
    recorded = record_image(tmp_path, image, 64)
    with recorded.reader() as reader:
        assert Replay(reader).board.host_side is None
    assert recorded.frames
