"""CLINT: registers, lines, and the exact time at which the timer fires."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import asm
from support.bench_wiring import BenchWiring
from support.harts import RAM, ROM_INSNS, board_of

from minstret.devices.board.map import Base
from minstret.devices.chips.clint import NS_PER_TICK, Clint, Reg
from minstret.emu.clock import VirtualClock
from minstret.emu.timers import TimerList

U64_MAX = (1 << 64) - 1
ICOUNT, SHIFT = 1_000_003, 1
"""An odd start: a mixed-up clock shows at once."""


@dataclass
class Bench:
    """A CLINT with a clock that follows ``icount``."""

    icount: int = ICOUNT
    shift: int = SHIFT

    def __post_init__(self) -> None:
        self.clock = VirtualClock(lambda: self.icount, self.shift)
        self.timers = TimerList(self.clock)
        self.clint = Clint()
        lines = BenchWiring(self.clint, self.timers).lines
        self.msip, self.mtip = lines["msip"], lines["mtip"]

    @property
    def now_ticks(self) -> int:
        return self.clock.now_ns() // NS_PER_TICK


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_clint_powers_on_quiet_with_mtimecmp_at_never(bench: Bench) -> None:
    assert bench.clint.read(Reg.MTIMECMP, 8) == U64_MAX
    assert bench.clint.read(Reg.MSIP, 4) == 0
    assert not bench.mtip.level
    assert not bench.msip.level
    assert bench.timers.deadline_ns() == -1


# ---- mtime


def test_mtime_counts_10_mhz_of_virtual_time(bench: Bench) -> None:
    assert bench.clint.read(Reg.MTIME, 8) == bench.clint.mtime() == 2_000_006 // 100

    bench.icount += 46
    assert bench.clint.mtime() == 20_000
    bench.icount += 1  # 2_000_100 ns
    assert bench.clint.mtime() == 20_001


def test_mtime_follows_the_warp(bench: Bench) -> None:
    bench.clock.warp_to(5_000_000_000)

    assert bench.clint.mtime() == 50_000_000


def test_written_mtime_goes_on_from_there(bench: Bench) -> None:
    bench.clint.write(Reg.MTIME, 8, 5)
    assert bench.clint.read(Reg.MTIME, 8) == 5

    bench.clock.warp_to(bench.now_ticks * NS_PER_TICK + 3 * NS_PER_TICK)
    assert bench.clint.read(Reg.MTIME, 8) == 8


def test_written_mtime_wraps_at_64_bits(bench: Bench) -> None:
    bench.clint.write(Reg.MTIME, 8, U64_MAX)
    assert bench.clint.read(Reg.MTIME, 8) == U64_MAX

    bench.clock.warp_to((bench.now_ticks + 1) * NS_PER_TICK)
    assert bench.clint.read(Reg.MTIME, 8) == 0


def test_mtime_written_in_halves_is_the_whole(bench: Bench) -> None:
    bench.clint.write(Reg.MTIME, 4, 0x89AB_CDEF)
    bench.clint.write(Reg.MTIME + 4, 4, 0x0123_4567)

    assert bench.clint.read(Reg.MTIME, 8) == 0x0123_4567_89AB_CDEF


def test_writing_mtime_moves_the_deadline(bench: Bench) -> None:
    bench.clint.write(Reg.MTIMECMP, 8, bench.now_ticks + 1000)

    bench.clint.write(Reg.MTIME, 8, bench.now_ticks + 900)

    assert bench.timers.expire_ns() == (bench.now_ticks + 100) * NS_PER_TICK
    assert not bench.mtip.level


def test_writing_mtime_past_mtimecmp_raises_the_line_and_back_lowers_it(bench: Bench) -> None:
    bench.clint.write(Reg.MTIMECMP, 8, bench.now_ticks + 1000)

    bench.clint.write(Reg.MTIME, 8, bench.now_ticks + 1000)
    assert bench.mtip.level
    bench.clint.write(Reg.MTIME, 8, bench.now_ticks + 999)
    assert not bench.mtip.level
    assert bench.timers.expire_ns() == (bench.now_ticks + 1) * NS_PER_TICK


# ---- mtimecmp


@pytest.mark.parametrize("pieces", [[(0, 8)], [(0, 4), (4, 4)], [(4, 4), (0, 4)], [(i, 1) for i in range(8)]])
def test_mtimecmp_is_written_and_read_in_pieces_of_any_size(bench: Bench, pieces: list[tuple[int, int]]) -> None:
    value = 0x0123_4567_89AB_CDEF
    for at, size in pieces:
        bench.clint.write(Reg.MTIMECMP + at, size, value >> 8 * at & ((1 << 8 * size) - 1))

    assert bench.clint.state.mtimecmp == [value]
    for at, size in pieces:
        assert bench.clint.read(Reg.MTIMECMP + at, size) == value >> 8 * at & ((1 << 8 * size) - 1)


@pytest.mark.parametrize("ticks_ago", [0, 1, 20_000])
def test_mtimecmp_not_in_the_future_raises_the_line_at_once(bench: Bench, ticks_ago: int) -> None:
    bench.clint.write(Reg.MTIMECMP, 8, bench.now_ticks - ticks_ago)

    assert bench.mtip.level
    assert bench.timers.deadline_ns() == -1


def test_mtimecmp_in_the_future_lowers_the_line(bench: Bench) -> None:
    bench.clint.write(Reg.MTIMECMP, 8, 0)

    bench.clint.write(Reg.MTIMECMP, 8, bench.now_ticks + 1)

    assert not bench.mtip.level
    assert bench.timers.deadline_ns() > 0


@pytest.mark.parametrize("mtimecmp", [U64_MAX, 1 << 63])
def test_mtimecmp_of_never_arms_no_timer(bench: Bench, mtimecmp: int) -> None:
    bench.clint.write(Reg.MTIMECMP, 8, bench.now_ticks + 5)

    bench.clint.write(Reg.MTIMECMP, 8, mtimecmp)

    assert bench.timers.deadline_ns() == -1
    assert not bench.mtip.level


def test_mtimecmp_written_low_half_first_stays_quiet_while_the_high_half_says_never(bench: Bench) -> None:
    bench.clint.write(Reg.MTIMECMP, 4, 0)
    assert not bench.mtip.level
    assert bench.timers.deadline_ns() == -1

    bench.clint.write(Reg.MTIMECMP + 4, 4, 0)
    assert bench.mtip.level


@given(
    icount=st.integers(0, 1 << 40),
    shift=st.integers(0, 10),
    ahead_ticks=st.integers(1, 1 << 40),
    mtime=st.none() | st.integers(0, 1 << 62),
)
def test_line_rises_at_the_first_ns_at_which_mtime_reaches_mtimecmp(
    icount: int, shift: int, ahead_ticks: int, mtime: int | None
) -> None:
    bench = Bench(icount, shift)
    if mtime is not None:
        bench.clint.write(Reg.MTIME, 8, mtime)
    target = bench.clint.mtime() + ahead_ticks
    bench.clint.write(Reg.MTIMECMP, 8, target)
    expire_ns = bench.timers.expire_ns()
    assert expire_ns == (bench.now_ticks + ahead_ticks) * NS_PER_TICK

    bench.clock.warp_to(expire_ns - 1)
    bench.timers.run_expired()
    assert (bench.mtip.level, bench.clint.mtime()) == (False, target - 1)
    bench.clock.warp_to(expire_ns)
    bench.timers.run_expired()
    assert (bench.mtip.level, bench.clint.mtime()) == (True, target)


NEAR_THE_ENDS = st.integers(0, 3000) | st.integers(U64_MAX - 3000, U64_MAX) | st.integers(0, U64_MAX)
STEPS = st.one_of(
    st.tuples(st.just("advance"), st.integers(0, 4000)),
    st.tuples(st.just("mtime"), NEAR_THE_ENDS),
    st.tuples(st.just("mtimecmp"), NEAR_THE_ENDS),
    st.tuples(st.just("mtimecmp beside mtime"), st.integers(-3000, 3000)),
)


@given(shift=st.integers(0, 10), steps=st.lists(STEPS, max_size=12))
def test_line_is_up_while_mtime_has_reached_mtimecmp_also_when_mtime_wraps(
    shift: int, steps: list[tuple[str, int]]
) -> None:
    bench = Bench(shift=shift)
    clint = bench.clint
    for what, value in steps:
        if what == "mtimecmp beside mtime":
            clint.write(Reg.MTIMECMP, 8, clint.mtime() + value & U64_MAX)
        elif what != "advance":
            clint.write(Reg.MTIME if what == "mtime" else Reg.MTIMECMP, 8, value)
        for _ in range(value if what == "advance" else 0):
            bench.icount += 1
            bench.timers.run_expired()
            assert bench.mtip.level == (clint.mtime() >= clint.state.mtimecmp[0])
        assert bench.mtip.level == (clint.mtime() >= clint.state.mtimecmp[0])


def test_mtime_that_wraps_lowers_the_line(bench: Bench) -> None:
    bench.clint.write(Reg.MTIMECMP, 8, 5)
    bench.clint.write(Reg.MTIME, 8, U64_MAX)
    assert bench.mtip.level

    bench.clock.warp_to((bench.now_ticks + 1) * NS_PER_TICK)
    bench.timers.run_expired()
    assert (bench.mtip.level, bench.clint.mtime()) == (False, 0)
    bench.clock.warp_to((bench.now_ticks + 5) * NS_PER_TICK)
    bench.timers.run_expired()
    assert (bench.mtip.level, bench.clint.mtime()) == (True, 5)


def test_rewriting_mtimecmp_fires_at_the_new_time_only(bench: Bench) -> None:
    bench.clint.write(Reg.MTIMECMP, 8, bench.now_ticks + 10)
    bench.clint.write(Reg.MTIMECMP, 8, bench.now_ticks + 20)

    bench.clock.warp_to((bench.now_ticks + 10) * NS_PER_TICK)
    assert not bench.timers.run_expired()
    assert not bench.mtip.level
    bench.clock.warp_to((bench.now_ticks + 10) * NS_PER_TICK)
    bench.timers.run_expired()
    assert bench.mtip.level


# ---- msip, holes, reset


def test_msip_is_bit_0_and_drives_its_line(bench: Bench) -> None:
    bench.clint.write(Reg.MSIP, 4, 0xFFFF_FFFF)
    assert (bench.msip.level, bench.clint.read(Reg.MSIP, 4)) == (True, 1)

    bench.clint.write(Reg.MSIP, 4, 0xFFFF_FFFE)
    assert (bench.msip.level, bench.clint.read(Reg.MSIP, 4)) == (False, 0)
    assert not bench.mtip.level


@pytest.mark.parametrize("offset", [0x4, 0x3FFC, 0x4008, 0xBFF0, 0xC000, 0xFFFC])
def test_holes_read_zero_and_ignore_writes(bench: Bench, offset: int) -> None:
    before = repr(bench.clint.state)

    bench.clint.write(offset, 4, 0xFFFF_FFFF)

    assert bench.clint.read(offset, 4) == 0
    assert repr(bench.clint.state) == before
    assert not bench.msip.level
    assert not bench.mtip.level


def test_reset_lowers_the_lines_and_lets_mtime_go_on(bench: Bench) -> None:
    bench.clint.write(Reg.MTIME, 8, 77)
    bench.clint.write(Reg.MTIMECMP, 8, 0)
    bench.clint.write(Reg.MSIP, 4, 1)

    bench.clint.reset()

    assert not bench.msip.level
    assert not bench.mtip.level
    assert bench.clint.mtime() == 77
    assert bench.clint.read(Reg.MTIMECMP, 8) == U64_MAX
    assert bench.timers.deadline_ns() == -1


# ---- on a board


@pytest.mark.parametrize("slice_insns", [1, 7, None])
@pytest.mark.parametrize("shift", [0, 1, 3, 10])
def test_guest_is_interrupted_at_the_first_instruction_boundary_after_the_deadline(
    shift: int, slice_insns: int | None
) -> None:
    ticks = 50
    board = board_of(
        asm.code(
            asm.li(asm.T0, RAM + 0x100), asm.csrw("mtvec", asm.T0),
            asm.li(asm.T0, Base.CLINT + Reg.MTIMECMP), asm.addi(asm.T1, 0, ticks),
            asm.sw(asm.T1, asm.T0, 0), asm.sw(0, asm.T0, 4),
            asm.addi(asm.T1, 0, 128), asm.csrw("mie", asm.T1),  # MTIE
            asm.csrrsi(0, "mstatus", 8),  # MIE
            asm.LOOP,
        ),
        (0x100, asm.code(asm.LOOP)),
        slice_insns=slice_insns, icount_shift=shift,
    )  # fmt: skip
    due = max(-(-ticks * NS_PER_TICK >> shift), ROM_INSNS + 17)  # rounded up, or as soon as all is enabled

    board.run_until(icount=due)
    assert board.registers["pc"] < RAM + 0x100
    board.run_until(icount=due + 1)

    assert board.registers["pc"] == RAM + 0x100
    assert board.registers["mcause"] == 1 << 63 | 7
    assert board.machine.lines["clint.mtip"].level


@pytest.mark.parametrize("slice_insns", [1, 7, None])
def test_msip_written_by_the_guest_interrupts_before_the_next_instruction(slice_insns: int | None) -> None:
    board = board_of(
        asm.code(
            asm.li(asm.T0, RAM + 0x100), asm.csrw("mtvec", asm.T0),
            asm.addi(asm.T1, 0, 8), asm.csrw("mie", asm.T1),  # MSIE
            asm.csrrsi(0, "mstatus", 8),  # MIE
            asm.li(asm.T0, Base.CLINT), asm.addi(asm.T1, 0, 1),
            asm.sw(asm.T1, asm.T0, 0),  # the 16th instruction
            asm.addi(asm.T2, 0, 99),
        ),
        (0x100, asm.code(asm.LOOP)),
        slice_insns=slice_insns,
    )  # fmt: skip

    board.run_until(icount=ROM_INSNS + 20)

    assert board.registers["t2"] == 0
    assert board.registers["mcause"] == 1 << 63 | 3
    assert board.registers["mepc"] == RAM + 4 * 16


@pytest.mark.parametrize(("xlen", "load"), [(64, asm.ld), (32, asm.lw)])
def test_guest_reads_mtime_as_time(xlen: int, load: object) -> None:
    board = board_of(
        asm.code(
            asm.li(asm.T0, Base.CLINT + Reg.MTIME),
            [asm.NOP] * 500,
            load(asm.T1, asm.T0, 0),  # type: ignore[operator]
            asm.csrr(asm.T2, "time"),
            asm.LOOP,
        ),
        xlen=xlen, icount_shift=10,
    )  # fmt: skip

    board.run_until(icount=ROM_INSNS + 510)

    at = ROM_INSNS + 505  # instructions retired before the load
    assert board.registers["t1"] == (at << 10) // NS_PER_TICK
    assert board.registers["t2"] == (at + 1 << 10) // NS_PER_TICK


@pytest.mark.parametrize(("load", "at"), [(asm.lw, -4), (asm.lw, -8), (asm.lhu, -2), (asm.lb, -1), (asm.lw, 8)])
@pytest.mark.parametrize("xlen", [64, 32])
def test_loads_beside_mtime_read_zero(counting: str, xlen: int, load: Callable[[int, int, int], int], at: int) -> None:
    mtime = Base.CLINT + Reg.MTIME
    program = asm.code(
        asm.lui(asm.S0, mtime + 0x800 >> 12), asm.addi(asm.S0, asm.S0, mtime), asm.addi(asm.A0, asm.ZERO, -1),
        asm.sw(asm.A0, asm.S0, 0), asm.sw(asm.A0, asm.S0, 4), load(asm.A0, asm.S0, at), asm.LOOP,
    )  # fmt: skip
    board = board_of(program, xlen=xlen, counting=counting)
    board.run_until(icount=ROM_INSNS + 6)
    assert board.registers["a0"] == 0
