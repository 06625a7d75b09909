"""Times that 63 or 64 bits can't hold: deadlines there never come, and where virtual time ends the run does."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from support import asm
from support.recordings import (
    PASS,
    RAM,
    Hand,
    Recorded,
    assert_replays,
    finish_code,
    record,
    setup_of_code,
    setup_of_image,
)

from minstret.devices.board.board import Setup
from minstret.devices.board.config import DEFAULT_RTC_BASE_NS, HostAnswers
from minstret.devices.board.map import IRQ, Base
from minstret.devices.board.traced import Replay
from minstret.devices.chips.clint import Reg as ClintReg
from minstret.devices.chips.rtc import Reg as RtcReg
from minstret.emu.clock import NS_PER_TICK, VIRTUAL_NS_MAX
from minstret.emu.door.live import LiveDoor
from minstret.emu.hart.shared import Counting
from minstret.emu.machine import StopReason

U64 = (1 << 64) - 1
WALL_NS = DEFAULT_RTC_BASE_NS
LAST_TICK = VIRTUAL_NS_MAX // NS_PER_TICK
DATA = 0x800
"""Where the programs keep words, from the start of RAM."""
MEIE, MTIE = 0x800, 0x80
each_xlen = pytest.mark.parametrize("xlen", [64, 32])


def store(address: int, value: int) -> bytes:
    """Store a word."""
    return asm.code(asm.li(asm.T0, address), asm.li(asm.T1, value), asm.sw(asm.T1, asm.T0, 0))


def store_wide(address: int, value: int) -> bytes:
    """Store 8 bytes in halves, the high one first."""
    return store(address + 4, value >> 32) + store(address, value & 0xFFFF_FFFF)


def enable(bits: int) -> bytes:
    return asm.code(asm.li(asm.T0, bits), asm.csrw("mie", asm.T0))


def alarm_at(alarm_ns: int) -> bytes:
    """Let the RTC interrupt at a time of its own, and wait."""
    return (
        store(Base.RTC + RtcReg.ALARM_HIGH, alarm_ns >> 32) + store(Base.RTC + RtcReg.ALARM_LOW, alarm_ns & 0xFFFF_FFFF)
        + store(Base.RTC + RtcReg.IRQ_ENABLED, 1) + store(Base.PLIC + 4 * IRQ.RTC, 1)
        + store(Base.PLIC + 0x2000, 1 << IRQ.RTC) + enable(MEIE) + asm.code(asm.WFI)
    )  # fmt: skip


def noting(count: int) -> bytes:
    """Note so often what the counters show, from S0 on."""
    csrs = ("cycle", "cycleh", "time", "timeh", "instret", "instreth")
    body = [word for at, csr in enumerate(csrs) for word in (asm.csrr(asm.T1, csr), asm.sw(asm.T1, asm.S0, 4 * at))]
    mtime = [*asm.li(asm.T2, Base.CLINT + ClintReg.MTIME), asm.lw(asm.T1, asm.T2, 0), asm.sw(asm.T1, asm.S0, 24)]
    step = [*body, *mtime, asm.addi(asm.S0, asm.S0, 28), asm.addi(asm.A0, asm.A0, -1)]
    start = asm.code(asm.li(asm.S0, RAM + DATA), asm.addi(asm.A0, asm.ZERO, count))
    return start + asm.code(step, asm.bne(asm.A0, asm.ZERO, -4 * len(step)), asm.LOOP)


def rv64(code: bytes) -> bytes:
    """The same without the high halves of counters, which rv64 lacks."""
    high = {asm.csrr(asm.T1, csr) for csr in ("cycleh", "timeh", "instreth")}
    words = (int.from_bytes(code[at : at + 4], "little") for at in range(0, len(code), 4))
    return asm.code(asm.srli(asm.T1, asm.T1, 32) if word in high else word for word in words)


def setup_of(code: bytes, xlen: int, **config: object) -> Setup:
    return setup_of_code(rv64(code) if xlen == 64 else code, xlen=xlen, **config)


def assert_one_run(recorded: Recorded) -> None:
    """The recording, however it is counted and cut, and each of its snapshots."""
    for counting in Counting:
        assert_replays(recorded, counting=counting)
    assert_replays(recorded, slice_insns_max=1)
    assert_replays(recorded, to_icount=recorded.end.position.icount)
    for snapshot in recorded.snapshots():
        assert_replays(recorded, snapshot=snapshot)


# ---- never


@each_xlen
@pytest.mark.parametrize("sleep", [False, True], ids=["awake", "asleep"])
@pytest.mark.parametrize("follows_host", [False, True], ids=["vm", "host"])
@pytest.mark.parametrize("alarm_ns", [U64, (1 << 63) + WALL_NS, VIRTUAL_NS_MAX + WALL_NS])
def test_alarm_beyond_the_end_of_time_never_comes(
    xlen: int, sleep: bool, follows_host: bool, alarm_ns: int, tmp_path: Path
) -> None:
    setup = setup_of(alarm_at(alarm_ns), xlen, sleep=sleep, rtc_follows_host=follows_host)
    recorded = record(tmp_path, setup, host=HostAnswers(wall_ns=lambda: WALL_NS), every=20)

    assert recorded.end.outcome.reason is StopReason.WAITS_FOREVER
    assert recorded.end.position.virtual_ns < 1000
    assert_one_run(recorded)


@each_xlen
@pytest.mark.parametrize("mtimecmp", [LAST_TICK, 1 << 63, U64])
def test_mtimecmp_beyond_the_end_of_time_is_never_reached(xlen: int, mtimecmp: int, tmp_path: Path) -> None:
    code = store_wide(Base.CLINT + ClintReg.MTIMECMP, mtimecmp) + enable(MTIE) + asm.code(asm.WFI)
    recorded = record(tmp_path, setup_of(code, xlen), every=20)

    assert recorded.end.outcome.reason is StopReason.WAITS_FOREVER
    assert_one_run(recorded)


@pytest.mark.parametrize("wall_ns", [-5, 0, (1 << 63) - 1, U64, 1 << 70])
def test_host_with_its_clock_set_to_anything_is_recorded_and_replayed(wall_ns: int, tmp_path: Path) -> None:
    readings = itertools.count(wall_ns, 1000)
    setup = setup_of_image("rtc", rtc_follows_host=True)
    recorded = record(tmp_path, setup, host=HostAnswers(wall_ns=lambda: next(readings)), icount=3000)

    answers = [int.from_bytes(item.data, "little") for item in recorded.items() if item.name == "clock.host"]
    assert answers[0] == min(max(0, wall_ns), U64)
    assert_replays(recorded)


# ---- the end of time


def wait_until_near_the_end(by: str, left_ns: int) -> bytes:
    """Wait until so much virtual time is left, for the CLINT or the RTC."""
    if by == "rtc":
        return alarm_at(WALL_NS + VIRTUAL_NS_MAX - left_ns)
    until = store_wide(Base.CLINT + ClintReg.MTIMECMP, LAST_TICK - left_ns // NS_PER_TICK)
    return until + enable(MTIE) + asm.code(asm.WFI)


@each_xlen
@pytest.mark.parametrize("shift", [0, 1, 10])
@pytest.mark.parametrize("by", ["clint", "rtc"])
def test_run_ends_where_virtual_time_does(xlen: int, shift: int, by: str, tmp_path: Path) -> None:
    left_ns = 500 << shift
    code = wait_until_near_the_end(by, left_ns) + noting(3) + asm.code(asm.LOOP)
    recorded = record(tmp_path, setup_of(code, xlen, icount_shift=shift), every=100)

    assert recorded.end.outcome.reason is StopReason.END_OF_TIME
    assert VIRTUAL_NS_MAX <= recorded.end.position.virtual_ns < VIRTUAL_NS_MAX + (1 << shift)
    assert len(recorded.snapshots()) >= 5
    assert_one_run(recorded)


@each_xlen
@pytest.mark.parametrize("counting", Counting)
def test_counters_near_the_end_of_time_are_functions_of_it(xlen: int, counting: Counting) -> None:
    code = wait_until_near_the_end("clint", 10_000) + noting(1)
    board = setup_of(code, xlen, counting=counting).make()
    board.run_until(virtual_ns=VIRTUAL_NS_MAX - 10_000)
    waited_icount = board.position.icount
    board.run_until(virtual_ns=VIRTUAL_NS_MAX)

    noted = board.memory[RAM + DATA : RAM + DATA + 28]
    cycle, time, instret = (int.from_bytes(noted[at : at + 8], "little") for at in (0, 8, 16))
    assert instret == waited_icount + 6 + 8  # before the note are six instructions, and eight of the note
    assert cycle == VIRTUAL_NS_MAX - 10_000 + 2 * 6 >> 1
    assert time == (VIRTUAL_NS_MAX - 10_000 + 2 * (6 + 4)) // NS_PER_TICK
    assert int.from_bytes(noted[24:28], "little") == time & 0xFFFF_FFFF


def test_wait_for_a_time_beyond_the_end_ends_there() -> None:
    board = setup_of_image("echo").make(door=LiveDoor(Hand(stays=True)))
    board.run_until(uart="full stop\n")

    assert board.run_until(virtual_ns=1 << 70).reason is StopReason.END_OF_TIME
    assert board.position.virtual_ns == VIRTUAL_NS_MAX


# ---- mtime that wraps


@each_xlen
def test_mtime_that_wraps_takes_its_interrupt_back(xlen: int, tmp_path: Path) -> None:
    note = [asm.csrr(asm.T1, "mip"), asm.sw(asm.T1, asm.S0, 0), asm.addi(asm.S0, asm.S0, 4)]
    code = (
        asm.code(asm.li(asm.S0, RAM + DATA)) + store_wide(Base.CLINT + ClintReg.MTIMECMP, 9)
        + store_wide(Base.CLINT + ClintReg.MTIME, U64 - 1) + asm.code(note) + asm.code([asm.NOP] * 100, note)
        + enable(MTIE) + asm.code(asm.WFI, note) + finish_code(PASS)
    )  # fmt: skip
    recorded = record(tmp_path, setup_of_code(code, xlen=xlen), every=50)

    with recorded.reader() as reader:
        replay = Replay(reader)
        replay.run()
        assert replay.board.memory[RAM + DATA : RAM + DATA + 12] == b"".join(
            bits.to_bytes(4, "little") for bits in (MTIE, 0, MTIE)
        )
    assert_one_run(recorded)
