"""Virtual time is a function of the instruction count and the warp."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minstret.emu.clock import (
    ICOUNT_SHIFT_MAX,
    VIRTUAL_NS_MAX,
    ClockType,
    HostClock,
    VirtualClock,
    VirtualClockState,
    VirtualRtClock,
)
from minstret.emu.errors import ConfigError

SHIFTS = range(ICOUNT_SHIFT_MAX + 1)


class FakeHart:
    """Something with an instruction count."""

    def __init__(self, icount: int = 0) -> None:
        self.icount = icount

    def clock(self, shift: int) -> VirtualClock:
        return VirtualClock(lambda: self.icount, shift)


@pytest.mark.parametrize("shift", SHIFTS)
def test_instruction_lasts_two_to_the_shift_ns(shift: int) -> None:
    hart = FakeHart()
    clock = hart.clock(shift)
    assert clock.now_ns() == 0

    hart.icount = 1_000_003

    assert clock.now_ns() == 1_000_003 * 2**shift


@pytest.mark.parametrize("shift", [-1, 11, 64])
def test_shift_out_of_range_is_a_config_error(shift: int) -> None:
    with pytest.raises(ConfigError) as caught:
        FakeHart().clock(shift)

    assert str(caught.value) == f"icount shift: expected 0..10, got {shift}"


icounts = st.integers(0, 1 << 50)
warps_ns = st.integers(0, 1 << 60)
distances_ns = st.integers(-5000, 5000) | st.integers(0, 1 << 62)


@pytest.mark.parametrize("shift", SHIFTS)
@given(icount=icounts, warp_ns=warps_ns, distance_ns=distances_ns)
def test_deadline_is_there_at_its_icount_and_not_one_before(
    shift: int, icount: int, warp_ns: int, distance_ns: int
) -> None:
    hart = FakeHart(icount)
    clock = hart.clock(shift)
    clock.state.warp_ns = warp_ns
    deadline_ns = clock.now_ns() + distance_ns

    hart.icount = clock.icount_at(deadline_ns)

    assert clock.now_ns() >= deadline_ns
    hart.icount -= 1
    assert clock.now_ns() < deadline_ns


@pytest.mark.parametrize(("distance_ns", "insns"), [(-1, 0), (0, 0), (1, 1), (8, 1), (9, 2), (16, 2), (17, 3)])
def test_icount_of_a_deadline_is_rounded_up(distance_ns: int, insns: int) -> None:
    clock = FakeHart(1_000_003).clock(3)

    assert clock.icount_at(clock.now_ns() + distance_ns) == 1_000_003 + insns


@pytest.mark.parametrize("shift", SHIFTS)
@given(icount=icounts, targets_ns=st.lists(st.integers(-100, 1 << 62), max_size=5))
def test_warp_to_goes_exactly_there_and_never_back(shift: int, icount: int, targets_ns: list[int]) -> None:
    clock = FakeHart(icount).clock(shift)

    for target_ns in targets_ns:
        before_ns = clock.now_ns()
        clock.warp_to(target_ns)
        assert clock.now_ns() == max(before_ns, target_ns)


def test_warp_moves_time_and_not_the_instruction_count() -> None:
    hart = FakeHart(100)
    clock = hart.clock(1)

    clock.warp_to(1234)
    hart.icount += 1

    assert clock.now_ns() == 1236
    assert clock.state.warp_ns == 1034
    assert hart.icount == 101


def test_warp_goes_no_further_than_the_end_of_time() -> None:
    clock = FakeHart(77).clock(5)

    clock.warp_to(1 << 70)
    assert clock.now_ns() == VIRTUAL_NS_MAX
    clock.warp_to(1 << 70)
    assert clock.now_ns() == VIRTUAL_NS_MAX


def test_restored_state_gives_the_same_time() -> None:
    clock, other = FakeHart(77).clock(5), FakeHart(77).clock(5)
    clock.warp_to(1_000_003)

    other.state = VirtualClockState(clock.state.warp_ns)

    assert other.now_ns() == clock.now_ns() == 1_000_003


def test_host_clock_gives_what_it_is_given() -> None:
    readings = iter([5, 3])
    clock = HostClock(ClockType.HOST, lambda: next(readings))

    assert clock.type is ClockType.HOST
    assert [clock.now_ns(), clock.now_ns()] == [5, 3]


def test_virtual_rt_is_virtual_plus_the_time_waited() -> None:
    hart = FakeHart(1000)
    virtual = hart.clock(1)
    clock = VirtualRtClock(virtual)
    assert clock.type is ClockType.VIRTUAL_RT
    assert clock.now_ns() == virtual.now_ns() == 2000

    clock.state.waited_ns = 300
    assert clock.now_ns() == 2300
    hart.icount += 1
    virtual.warp_to(5000)
    assert clock.now_ns() == 5300
    assert virtual.now_ns() == 5000


@given(shift=st.integers(0, 10), warp_ns=st.integers(0, 10**12), deadline_ns=st.integers(0, 10**12))
def test_icount_at_is_the_first_at_which_the_deadline_is_there(shift: int, warp_ns: int, deadline_ns: int) -> None:
    clock = VirtualClock(lambda: 0, shift)
    clock.state.warp_ns = warp_ns

    icount = clock.icount_at(deadline_ns)

    assert (icount << shift) + warp_ns >= deadline_ns
    assert (icount - 1 << shift) + warp_ns < deadline_ns
