"""Goldfish RTC: what time it shows, and the exact time at which its alarm fires."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import asm
from support.bench_wiring import BenchWiring
from support.harts import ROM_INSNS, board_of, run_insns

from minstret.devices.board.config import DEFAULT_RTC_BASE_NS
from minstret.devices.board.map import IRQ
from minstret.devices.board.map import Base as At
from minstret.devices.chips.plic import Base as PlicBase
from minstret.devices.chips.rtc import GoldfishRtc, Reg, RtcState
from minstret.emu.clock import VirtualClock
from minstret.emu.timers import TimerList

BASE_NS = 0x1566_7788_FFFF_FF00  # the low half is about to overflow
ICOUNT, SHIFT = 1_000_003, 1
"""An odd start: a mixed-up clock shows at once."""
U64 = (1 << 64) - 1


@dataclass
class Bench:
    """An RTC with a clock that follows ``icount``."""

    icount: int = ICOUNT
    base_ns: int = BASE_NS

    def __post_init__(self) -> None:
        self.clock = VirtualClock(lambda: self.icount, SHIFT)
        self.timers = TimerList(self.clock)
        self.rtc = GoldfishRtc(start_ns=self.base_ns)
        self.line = BenchWiring(self.rtc, self.timers).lines["irq"]

    def read(self, reg: int) -> int:
        return self.rtc.read(reg, 4)

    def write(self, reg: int, value: int) -> None:
        self.rtc.write(reg, 4, value)

    def read_time_ns(self) -> int:
        low = self.read(Reg.TIME_LOW)
        return self.read(Reg.TIME_HIGH) << 32 | low

    def write_time_ns(self, time_ns: int) -> None:
        self.write(Reg.TIME_HIGH, time_ns >> 32)
        self.write(Reg.TIME_LOW, time_ns & 0xFFFF_FFFF)

    def set_alarm_ns(self, time_ns: int) -> None:
        self.write(Reg.ALARM_HIGH, time_ns >> 32)
        self.write(Reg.ALARM_LOW, time_ns & 0xFFFF_FFFF)

    def go_to_ns(self, virtual_ns: int) -> None:
        self.clock.warp_to(virtual_ns)
        self.timers.run_expired()

    @property
    def now_ns(self) -> int:
        return self.clock.now_ns()


@pytest.fixture
def bench() -> Bench:
    return Bench()


# ---- the time


def test_time_is_the_base_plus_virtual_time(bench: Bench) -> None:
    assert bench.read_time_ns() == BASE_NS + ICOUNT * 2

    bench.icount += 1
    assert bench.read_time_ns() == BASE_NS + ICOUNT * 2 + 2
    bench.clock.warp_to(5_000_000_000)
    assert bench.read_time_ns() == BASE_NS + 5_000_000_000


def test_reading_time_low_latches_time_high() -> None:
    bench = Bench(icount=0)
    assert bench.read(Reg.TIME_LOW) == 0xFFFF_FF00

    bench.clock.warp_to(0x200)

    assert bench.read(Reg.TIME_HIGH) == 0x1566_7788
    assert bench.read(Reg.TIME_LOW) == 0x100
    assert bench.read(Reg.TIME_HIGH) == 0x1566_7789


def test_written_time_goes_on_from_there(bench: Bench) -> None:
    bench.write_time_ns(0x1234_5678_9ABC_DEF0)
    assert bench.read_time_ns() == 0x1234_5678_9ABC_DEF0

    bench.icount += 50
    assert bench.read_time_ns() == 0x1234_5678_9ABC_DEF0 + 100


@pytest.mark.parametrize("time_ns", [0, 1, U64 - 1000, BASE_NS - 1])
def test_any_time_can_be_written(bench: Bench, time_ns: int) -> None:
    bench.write_time_ns(time_ns)

    assert bench.read_time_ns() == time_ns


def test_writing_one_half_keeps_the_other(bench: Bench) -> None:
    now_ns = bench.rtc.time_ns()

    bench.write(Reg.TIME_LOW, 0x1111_1111)
    assert bench.rtc.time_ns() == now_ns & ~0xFFFF_FFFF | 0x1111_1111

    bench.write(Reg.TIME_HIGH, 0x2222_2222)
    assert bench.rtc.time_ns() == 0x2222_2222_1111_1111


def test_time_past_64_bits_starts_again_at_0() -> None:
    bench = Bench(icount=0)
    bench.write_time_ns(U64)

    bench.clock.warp_to(3)

    assert bench.read_time_ns() == 2


# ---- the alarm


def test_alarm_fires_at_its_exact_time_and_once(bench: Bench) -> None:
    bench.write(Reg.IRQ_ENABLED, 1)
    start_ns = bench.now_ns

    bench.set_alarm_ns(bench.rtc.time_ns() + 12_345)

    assert bench.timers.expire_ns() == start_ns + 12_345
    assert bench.read(Reg.ALARM_STATUS) == 1
    bench.go_to_ns(start_ns + 12_344)
    assert not bench.line.level
    bench.go_to_ns(start_ns + 12_345)
    assert bench.line.level
    assert bench.read(Reg.ALARM_STATUS) == 0
    assert bench.timers.expire_ns() is None


def test_alarm_is_set_by_its_low_half(bench: Bench) -> None:
    time_ns = bench.rtc.time_ns() + (1 << 33)

    bench.write(Reg.ALARM_HIGH, time_ns >> 32)
    assert bench.timers.expire_ns() is None

    bench.write(Reg.ALARM_LOW, time_ns & 0xFFFF_FFFF)
    assert bench.timers.expire_ns() == bench.now_ns + (1 << 33)
    assert (bench.read(Reg.ALARM_HIGH), bench.read(Reg.ALARM_LOW)) == (time_ns >> 32, time_ns & 0xFFFF_FFFF)


@pytest.mark.parametrize("distance_ns", [0, -1, -(1 << 40)])
def test_alarm_in_the_past_fires_at_once(bench: Bench, distance_ns: int) -> None:
    bench.write(Reg.IRQ_ENABLED, 1)

    bench.set_alarm_ns(bench.rtc.time_ns() + distance_ns)

    assert bench.line.level
    assert bench.read(Reg.ALARM_STATUS) == 0
    assert bench.timers.expire_ns() is None


def test_cleared_alarm_does_not_fire(bench: Bench) -> None:
    bench.write(Reg.IRQ_ENABLED, 1)
    bench.set_alarm_ns(bench.rtc.time_ns() + 1000)

    bench.write(Reg.CLEAR_ALARM, 1)

    assert bench.read(Reg.ALARM_STATUS) == 0
    bench.go_to_ns(bench.now_ns + 2000)
    assert not bench.line.level


def test_alarm_set_anew_replaces_the_old(bench: Bench) -> None:
    bench.write(Reg.IRQ_ENABLED, 1)
    start_ns, time_ns = bench.now_ns, bench.rtc.time_ns()
    bench.set_alarm_ns(time_ns + 1000)

    bench.set_alarm_ns(time_ns + 3000)

    bench.go_to_ns(start_ns + 2999)
    assert not bench.line.level
    bench.go_to_ns(start_ns + 3000)
    assert bench.line.level


def test_irq_enable_masks_the_line_and_keeps_what_is_pending(bench: Bench) -> None:
    bench.set_alarm_ns(0)
    assert not bench.line.level

    bench.write(Reg.IRQ_ENABLED, 1)
    assert bench.line.level
    assert bench.read(Reg.IRQ_ENABLED) == 1

    bench.write(Reg.IRQ_ENABLED, 0)
    assert not bench.line.level


def test_clear_interrupt_lowers_the_line_and_leaves_the_next_alarm(bench: Bench) -> None:
    bench.write(Reg.IRQ_ENABLED, 1)
    bench.set_alarm_ns(0)
    bench.set_alarm_ns(bench.rtc.time_ns() + 1000)

    bench.write(Reg.CLEAR_INTERRUPT, 1)

    assert not bench.line.level
    bench.go_to_ns(bench.now_ns + 1000)
    assert bench.line.level


def test_clear_alarm_leaves_a_pending_interrupt(bench: Bench) -> None:
    bench.write(Reg.IRQ_ENABLED, 1)
    bench.set_alarm_ns(0)

    bench.write(Reg.CLEAR_ALARM, 1)

    assert bench.line.level


def test_time_set_forward_past_the_alarm_fires_it(bench: Bench) -> None:
    bench.write(Reg.IRQ_ENABLED, 1)
    alarm_ns = bench.rtc.time_ns() + 1000
    bench.set_alarm_ns(alarm_ns)

    bench.write(Reg.TIME_HIGH, (alarm_ns >> 32) + 1)

    assert bench.line.level


def test_time_set_back_moves_the_alarm_away(bench: Bench) -> None:
    bench.write(Reg.IRQ_ENABLED, 1)
    time_ns, start_ns = bench.rtc.time_ns(), bench.now_ns
    bench.set_alarm_ns(time_ns + 1000)

    bench.write(Reg.TIME_HIGH, (time_ns >> 32) - 1)

    assert bench.timers.expire_ns() == start_ns + 1000 + (1 << 32)
    assert not bench.line.level


@given(distance_ns=st.integers(1, 1 << 40), insns=st.integers(0, 1 << 38))
def test_alarm_is_up_from_the_first_instruction_at_or_after_its_time(distance_ns: int, insns: int) -> None:
    bench = Bench()
    bench.write(Reg.IRQ_ENABLED, 1)
    alarm_ns = bench.rtc.time_ns() + distance_ns
    bench.set_alarm_ns(alarm_ns)

    bench.icount += insns
    bench.timers.run_expired()

    assert bench.line.level == (bench.rtc.time_ns() >= alarm_ns)


# ---- the rest


def test_reset_forgets_the_alarm_and_the_time_goes_on(bench: Bench) -> None:
    bench.write_time_ns(12345)
    bench.write(Reg.IRQ_ENABLED, 1)
    bench.set_alarm_ns(0)
    bench.set_alarm_ns(99_999)

    bench.rtc.reset()

    assert not bench.line.level
    assert bench.timers.expire_ns() is None
    assert bench.read_time_ns() == 12345
    assert bench.rtc.state == RtcState(offset_ns=bench.rtc.state.offset_ns)


@pytest.mark.parametrize("offset", [0x20, 0x100, 0xFFC, Reg.CLEAR_ALARM, Reg.CLEAR_INTERRUPT])
def test_offset_without_something_to_read_gives_zero(bench: Bench, offset: int) -> None:
    bench.set_alarm_ns(BASE_NS + (1 << 40))

    assert bench.read(offset) == 0


def test_writes_beyond_the_registers_change_nothing(bench: Bench) -> None:
    before = repr(bench.rtc.state)

    for offset in (0x20, 0x100, 0xFFC, Reg.ALARM_STATUS):
        bench.write(offset, 0xFFFF_FFFF)

    assert repr(bench.rtc.state) == before


# ---- on a board

READS_TIME = asm.code(
    asm.li(asm.T0, At.RTC), asm.lw(asm.A0, asm.T0, Reg.TIME_LOW), asm.lw(asm.A1, asm.T0, Reg.TIME_HIGH)
)


@pytest.mark.parametrize("base_ns", [None, 0, 1_700_000_000_123_456_789])
@pytest.mark.parametrize("slice_insns", [1, 7, None])
def test_guest_reads_the_boards_base_plus_the_time_of_the_load(base_ns: int | None, slice_insns: int | None) -> None:
    config = {} if base_ns is None else {"rtc_base_ns": base_ns}
    board = board_of(READS_TIME, slice_insns=slice_insns, **config)

    run_insns(board, 7)

    at_load_ns = (ROM_INSNS + 5) * 2
    expected_ns = (DEFAULT_RTC_BASE_NS if base_ns is None else base_ns) + at_load_ns
    registers = board.registers
    assert registers["a1"] << 32 | registers["a0"] & 0xFFFF_FFFF == expected_ns


ALARM_NS = 100_000
WAITS_FOR_ALARM = asm.code(
    asm.li(asm.T0, At.RTC), asm.sw(asm.ZERO, asm.T0, Reg.ALARM_HIGH),
    asm.li(asm.T1, ALARM_NS), asm.sw(asm.T1, asm.T0, Reg.ALARM_LOW),
    asm.addi(asm.T1, asm.ZERO, 1), asm.sw(asm.T1, asm.T0, Reg.IRQ_ENABLED),
    asm.li(asm.T2, At.PLIC + PlicBase.PRIORITY + 4 * IRQ.RTC), asm.sw(asm.T1, asm.T2, 0),
    asm.li(asm.T2, At.PLIC + PlicBase.ENABLE), asm.li(asm.T1, 1 << IRQ.RTC), asm.sw(asm.T1, asm.T2, 0),
    asm.li(asm.T1, 1 << 11), asm.csrw("mie", asm.T1),  # MEIE, but not enabled: WFI goes on by itself
    asm.WFI,
    asm.LOOP,
)  # fmt: skip


def test_alarm_wakes_the_hart_through_the_plic_at_its_time_for_all_slice_limits() -> None:
    ends = set()
    for slice_insns in (1, 7, None):
        board = board_of(WAITS_FOR_ALARM, slice_insns=slice_insns, rtc_base_ns=0)
        board.run_until(virtual_ns=ALARM_NS - 1)
        assert board.hart.waiting
        assert not board.machine.lines["rtc.irq"].level
        board.run_until(icount=board.position.icount + 1)
        assert board.machine.lines["rtc.irq"].level
        assert board.machine.lines["plic.meip"].level
        assert board.position.virtual_ns == ALARM_NS + 2
        ends.add((board.position, board.digest()))

    assert len(ends) == 1
