"""Attributed timers: the API, a naive model, and the checkpoint rules."""

from __future__ import annotations

import itertools
import tracemalloc
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support import timer_rules
from support.timer_rules import EXTERNAL, GUEST, RULES, Pass

from minstret.emu import units
from minstret.emu.clock import VIRTUAL_NS_MAX, ClockType, HostClock
from minstret.emu.errors import DeviceError
from minstret.emu.state import canonical_bytes, from_plain, to_plain
from minstret.emu.timers import ALL_ATTRIBUTES, IDLE, Timer, TimerAttribute, TimerGroup, TimerList, TimerListState

START_NS = 1_000_003
"""An odd start: a mixed-up clock shows at once."""


@dataclass
class FakeClock:
    """A clock set by hand that counts how often it is read."""

    type: ClockType = ClockType.VIRTUAL
    ns: int = START_NS
    reads: int = 0

    def now_ns(self) -> int:
        self.reads += 1
        return self.ns


@dataclass
class Bench:
    """A list with a fake clock, and a log of what it did: names of timers and ``*`` for a checkpoint."""

    clock: FakeClock = field(default_factory=FakeClock)
    log: list[str] = field(default_factory=list)
    late_ns: list[int] = field(default_factory=list)
    checkpoints: list[tuple[ClockType, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.timers = TimerList(self.clock)
        self.timers.on_checkpoint = self._on_checkpoint

    def timer(self, name: str, attributes: TimerAttribute = GUEST, **options: Any) -> Timer:
        def callback(late_ns: int) -> None:
            self.log.append(name)
            self.late_ns.append(late_ns)

        return Timer(name, self.timers, callback, attributes, **options)

    def _on_checkpoint(self, clock_type: ClockType, now_ns: int) -> None:
        self.log.append("*")
        self.checkpoints.append((clock_type, now_ns))

    @property
    def fired(self) -> list[str]:
        return [name for name in self.log if name != "*"]


@pytest.fixture
def bench() -> Bench:
    return Bench()


# ---- one timer


def test_new_timer_is_idle(bench: Bench) -> None:
    timer = bench.timer("a")

    assert not timer.pending
    assert timer.expire_ns == IDLE == -1
    assert not timer.expired(1 << 62)


def test_timer_fires_at_its_time_and_not_one_ns_before(bench: Bench) -> None:
    bench.timer("a").arm(START_NS + 10)

    bench.clock.ns = START_NS + 9
    assert not bench.timers.run_expired()
    assert bench.log == []
    bench.clock.ns = START_NS + 10
    assert bench.timers.run_expired()

    assert bench.fired == ["a"]
    assert bench.late_ns == [0]


def test_fired_timer_is_idle_within_and_after_its_callback(bench: Bench) -> None:
    seen: list[bool] = []
    timer = Timer("a", bench.timers, lambda late_ns: seen.append(timer.pending))
    timer.arm(0)

    bench.timers.run_expired()

    assert seen == [False]
    assert not timer.pending
    assert not bench.timers.run_expired()


def test_late_timer_is_told_by_how_much(bench: Bench) -> None:
    bench.timer("a").arm(START_NS - 41)
    bench.timer("b").arm(START_NS - 2)

    bench.timers.run_expired()

    assert bench.late_ns == [41, 2]


@pytest.mark.parametrize("expire_ns", [-1, -2, -(1 << 70)])
def test_negative_time_means_zero(bench: Bench, expire_ns: int) -> None:
    timer = bench.timer("a")

    timer.arm(expire_ns)

    assert timer.pending
    assert timer.expire_ns == 0


@pytest.mark.parametrize("expire_ns", [VIRTUAL_NS_MAX, (1 << 63) - 1, 1 << 64, 1 << 100])
def test_time_at_the_end_of_virtual_time_or_later_is_never(bench: Bench, expire_ns: int) -> None:
    timer, other = bench.timer("a"), bench.timer("b")

    for _ in range(2):
        timer.arm(expire_ns)
        other.arm_earlier(expire_ns)
        assert not timer.pending
        assert not other.pending
        assert bench.timers.deadline_ns() == IDLE
        timer.arm(START_NS)

    assert bench.timers.run_expired()
    timer.arm(VIRTUAL_NS_MAX - 1)
    assert bench.timers.expire_ns() == VIRTUAL_NS_MAX - 1


@pytest.mark.parametrize("scale_ns", [1, units.NS_PER_US, units.NS_PER_MS])
def test_arm_scaled_counts_in_the_timers_unit(bench: Bench, scale_ns: int) -> None:
    timer = bench.timer("a", scale_ns=scale_ns)

    timer.arm_scaled(7)
    assert timer.expire_ns == 7 * scale_ns
    timer.arm_scaled(-7)
    assert timer.expire_ns == 0


def test_arm_earlier_arms_an_idle_timer(bench: Bench) -> None:
    timer = bench.timer("a")

    timer.arm_earlier(55)

    assert timer.expire_ns == 55


def test_arm_earlier_moves_only_closer(bench: Bench) -> None:
    timer = bench.timer("a")
    timer.arm(100)

    timer.arm_earlier(101)
    assert timer.expire_ns == 100
    timer.arm_earlier(99)
    assert timer.expire_ns == 99
    timer.arm_earlier(-5)
    assert timer.expire_ns == 0


def test_arm_earlier_for_the_same_time_keeps_the_place_among_ties(bench: Bench) -> None:
    first, second = bench.timer("first"), bench.timer("second")
    first.arm(5)
    second.arm(5)

    first.arm_earlier(5)
    bench.timers.run_expired()

    assert bench.fired == ["first", "second"]


def test_arm_earlier_to_a_negative_time_keeps_the_place_of_a_timer_at_zero(bench: Bench) -> None:
    first, second = bench.timer("first"), bench.timer("second")
    first.arm(0)
    second.arm(0)

    first.arm_earlier(-9)
    bench.timers.run_expired()

    assert bench.fired == ["first", "second"]


def test_cancelled_timer_does_not_fire(bench: Bench) -> None:
    kept, cancelled = bench.timer("kept"), bench.timer("cancelled")
    cancelled.arm(0)
    kept.arm(1)

    cancelled.cancel()
    bench.timers.run_expired()

    assert bench.fired == ["kept"]
    assert cancelled.expire_ns == IDLE


def test_cancelling_twice_and_when_idle_is_harmless(bench: Bench) -> None:
    timer = bench.timer("a")
    timer.cancel()
    timer.arm(3)
    timer.cancel()
    timer.cancel()

    assert not timer.pending
    assert list(bench.timers.armed()) == []


def test_timer_cancelled_by_an_earlier_callback_of_the_pass_does_not_fire(bench: Bench) -> None:
    victim = bench.timer("victim")
    Timer("killer", bench.timers, lambda late_ns: victim.cancel()).arm(1)
    victim.arm(2)

    bench.timers.run_expired()

    assert bench.fired == []


def test_expired_is_true_from_the_deadline_on(bench: Bench) -> None:
    timer = bench.timer("a")
    timer.arm(100)

    assert [timer.expired(ns) for ns in (99, 100, 101)] == [False, True, True]


def test_is_external_tells_the_attribute(bench: Bench) -> None:
    assert bench.timer("outside", EXTERNAL).is_external
    assert not bench.timer("inside").is_external


# ---- the order of firing


def test_timers_fire_by_time_and_not_by_order_of_arming(bench: Bench) -> None:
    for name, expire_ns in (("c", 30), ("a", 10), ("b", 20)):
        bench.timer(name).arm(expire_ns)

    bench.timers.run_expired()

    assert bench.fired == ["a", "b", "c"]


def test_equal_deadlines_fire_first_in_first_out(bench: Bench) -> None:
    names = [f"t{i}" for i in range(50, 0, -1)]
    for name in names:
        bench.timer(name).arm(7)

    bench.timers.run_expired()

    assert bench.fired == names


def test_negative_deadlines_tie_with_zero(bench: Bench) -> None:
    for name, expire_ns in (("zero", 0), ("minus five", -5), ("also zero", 0)):
        bench.timer(name).arm(expire_ns)

    bench.timers.run_expired()

    assert bench.fired == ["zero", "minus five", "also zero"]


def test_rearming_for_the_same_time_moves_to_the_tail_of_the_ties(bench: Bench) -> None:
    first, second, third = (bench.timer(name) for name in ("first", "second", "third"))
    for timer in (first, second, third, first):
        timer.arm(7)

    bench.timers.run_expired()

    assert bench.fired == ["second", "third", "first"]


def test_armed_lists_timers_in_the_order_in_which_they_then_fire(bench: Bench) -> None:
    for name, expire_ns in (("c", 30), ("a", 10), ("b", 20), ("a2", 10)):
        bench.timer(name, EXTERNAL if name == "b" else GUEST).arm(expire_ns)
    order = [timer.name for timer in bench.timers.armed()]

    bench.timers.run_expired()

    assert order == bench.fired == ["a", "a2", "b", "c"]


def test_guest_and_external_timers_fire_in_one_common_order(bench: Bench) -> None:
    bench.timer("g1").arm(1)
    bench.timer("x", EXTERNAL).arm(1)
    bench.timer("g2").arm(1)

    bench.timers.run_expired()

    assert bench.fired == ["g1", "x", "g2"]


# ---- running a list


def test_run_expired_reads_the_clock_once(bench: Bench) -> None:
    for i in range(5):
        bench.timer(f"t{i}").arm(i)
    reads = bench.clock.reads

    bench.timers.run_expired()

    assert len(bench.fired) == 5
    assert bench.clock.reads == reads + 1


def test_clock_moved_by_a_callback_fires_nothing_more_in_this_pass(bench: Bench) -> None:
    def jump(late_ns: int) -> None:
        bench.clock.ns += 1000

    Timer("jump", bench.timers, jump).arm(START_NS)
    bench.timer("after").arm(START_NS + 1)

    bench.timers.run_expired()
    assert bench.fired == []
    bench.timers.run_expired()
    assert bench.fired == ["after"]


def test_callback_that_arms_a_past_time_runs_again_in_the_same_pass(bench: Bench) -> None:
    rounds: list[int] = []

    def again(late_ns: int) -> None:
        rounds.append(late_ns)
        if len(rounds) < 3:
            timer.arm(START_NS - 10 * len(rounds))

    timer = Timer("again", bench.timers, again)
    timer.arm(START_NS)

    bench.timers.run_expired()

    assert rounds == [0, 10, 20]
    assert not timer.pending


def test_timer_that_arms_itself_for_the_past_forever_is_told(bench: Bench) -> None:
    def again(late_ns: int) -> None:
        timer.arm(bench.clock.ns)

    timer = Timer("gpio0.blink", bench.timers, again)
    timer.arm(bench.clock.ns)

    with pytest.raises(DeviceError, match=r"^gpio0.blink: the timer arms itself for a time that is already past"):
        bench.timers.run_expired()


def test_callback_that_arms_now_lets_others_of_that_time_go_first(bench: Bench) -> None:
    def again(late_ns: int) -> None:
        bench.log.append("again")
        if bench.log.count("again") == 1:
            timer.arm(START_NS)

    timer = Timer("again", bench.timers, again)
    timer.arm(START_NS)
    bench.timer("other").arm(START_NS)

    bench.timers.run_expired()

    assert bench.fired == ["again", "other", "again"]


def test_callback_that_arms_the_future_waits_for_it(bench: Bench) -> None:
    timer = Timer("tick", bench.timers, lambda late_ns: timer.arm(START_NS + 1))
    timer.arm(START_NS)

    bench.timers.run_expired()

    assert timer.expire_ns == START_NS + 1
    assert bench.timers.deadline_ns() == 1


def test_run_expired_tells_whether_any_timer_fired(bench: Bench) -> None:
    assert not bench.timers.run_expired()
    bench.timer("later").arm(START_NS + 1)
    assert not bench.timers.run_expired()
    bench.timer("now").arm(START_NS)
    assert bench.timers.run_expired()


def test_exception_in_a_callback_comes_out_and_leaves_the_rest_armed(bench: Bench) -> None:
    def fail(late_ns: int) -> None:
        raise RuntimeError("device bug")

    failing = Timer("failing", bench.timers, fail)
    failing.arm(1)
    bench.timer("other").arm(2)

    with pytest.raises(RuntimeError, match="device bug"):
        bench.timers.run_expired()

    assert not failing.pending
    bench.timers.run_expired()
    assert bench.fired == ["other"]


# ---- deadlines


def test_deadline_without_timers_is_minus_one(bench: Bench) -> None:
    assert bench.timers.deadline_ns() == -1
    assert bench.timers.expire_ns() is None
    assert list(bench.timers.armed()) == []


@pytest.mark.parametrize(("offset_ns", "deadline_ns"), [(1, 1), (0, 0), (-1, 0), (-START_NS, 0), (1 << 62, 1 << 62)])
def test_deadline_is_the_distance_and_zero_when_overdue(bench: Bench, offset_ns: int, deadline_ns: int) -> None:
    bench.timer("a").arm(START_NS + offset_ns)

    assert bench.timers.deadline_ns() == deadline_ns
    assert bench.timers.expire_ns() == START_NS + offset_ns


def test_deadline_follows_rearming_and_cancelling(bench: Bench) -> None:
    near, far = bench.timer("near"), bench.timer("far")
    near.arm(START_NS + 5)
    far.arm(START_NS + 50)

    near.arm(START_NS + 70)
    assert bench.timers.deadline_ns() == 50
    far.cancel()
    assert bench.timers.deadline_ns() == 70
    near.cancel()
    assert bench.timers.deadline_ns() == -1


def test_disabled_list_neither_fires_nor_has_a_deadline(bench: Bench) -> None:
    bench.timer("a").arm(START_NS - 1)

    bench.timers.enabled = False
    assert not bench.timers.run_expired()
    assert bench.log == []
    assert bench.timers.deadline_ns() == -1
    assert bench.timers.expire_ns() is None
    assert len(list(bench.timers.armed())) == 1

    bench.timers.enabled = True
    assert bench.timers.deadline_ns() == 0
    bench.timers.run_expired()
    assert bench.fired == ["a"]


def test_mask_leaves_out_timers_with_attributes_outside_it(bench: Bench) -> None:
    bench.timer("outside", EXTERNAL).arm(START_NS + 10)
    bench.timer("inside").arm(START_NS + 20)

    assert bench.timers.deadline_ns() == 10
    assert bench.timers.deadline_ns(ALL_ATTRIBUTES) == 10
    assert bench.timers.deadline_ns(TimerAttribute.NONE) == 20
    assert bench.timers.expire_ns(TimerAttribute.NONE) == START_NS + 20


def test_mask_with_only_external_timers_gives_no_deadline(bench: Bench) -> None:
    bench.timer("outside", EXTERNAL).arm(0)

    assert bench.timers.deadline_ns(TimerAttribute.NONE) == -1
    assert bench.timers.expire_ns(TimerAttribute.NONE) is None
    assert bench.timers.deadline_ns() == 0


def test_mask_sees_past_cancelled_and_rearmed_timers(bench: Bench) -> None:
    outside, moved, gone = bench.timer("outside", EXTERNAL), bench.timer("moved"), bench.timer("gone")
    outside.arm(START_NS + 1)
    moved.arm(START_NS + 2)
    gone.arm(START_NS + 3)

    moved.arm(START_NS + 9)
    gone.cancel()

    assert bench.timers.deadline_ns(TimerAttribute.NONE) == 9


def test_unrunnable_timers_neither_fire_nor_bound(bench: Bench) -> None:
    bench.timer("outside", EXTERNAL).arm(START_NS - 5)
    bench.timer("inside").arm(START_NS + 20)

    bench.timers.runnable = TimerAttribute.NONE

    assert bench.timers.deadline_ns() == 20
    assert bench.timers.expire_ns() == START_NS + 20
    assert not bench.timers.run_expired()
    bench.clock.ns += 20
    assert bench.timers.run_expired()
    assert bench.fired == ["inside"]
    bench.timers.runnable = ALL_ATTRIBUTES
    bench.timers.run_expired()
    assert bench.fired == ["inside", "outside"]


def test_runnable_timers_behind_unrunnable_ones_fire_in_order(bench: Bench) -> None:
    bench.timers.runnable = TimerAttribute.NONE
    bench.timer("x1", EXTERNAL).arm(1)
    for name, expire_ns in (("b", 3), ("a", 2), ("b2", 3)):
        bench.timer(name).arm(expire_ns)
    bench.timer("x2", EXTERNAL).arm(2)

    bench.timers.run_expired()

    assert bench.fired == ["a", "b", "b2"]
    assert [timer.name for timer in bench.timers.armed()] == ["x1", "x2"]


# ---- on_earlier


def watched(bench: Bench) -> list[int]:
    """The list that grows by the new deadline whenever ``on_earlier`` is called."""
    calls: list[int] = []
    bench.timers.on_earlier = lambda expire_ns: calls.append(expire_ns - bench.clock.now_ns())
    return calls


def test_on_earlier_hears_of_the_first_deadline_and_of_closer_ones_only(bench: Bench) -> None:
    calls, a, b = watched(bench), bench.timer("a"), bench.timer("b")

    a.arm(START_NS + 100)
    assert calls == [100]
    b.arm(START_NS + 100)
    b.arm(START_NS + 200)
    a.arm(START_NS + 150)
    assert calls == [100]
    b.arm(START_NS + 149)
    assert calls == [100, 149]


def test_on_earlier_does_not_hear_of_cancelling_or_firing(bench: Bench) -> None:
    a, b = bench.timer("a"), bench.timer("b")
    a.arm(START_NS)
    b.arm(START_NS + 5)
    calls = watched(bench)

    bench.timers.run_expired()
    b.cancel()

    assert bench.fired == ["a"]
    assert calls == []


def test_on_earlier_hears_of_external_timers_when_they_run(bench: Bench) -> None:
    calls = watched(bench)

    bench.timer("outside", EXTERNAL).arm(START_NS + 3)

    assert calls == [3]


def test_on_earlier_compares_with_runnable_timers_only(bench: Bench) -> None:
    bench.timers.runnable = TimerAttribute.NONE
    bench.timer("outside", EXTERNAL).arm(START_NS + 3)
    calls = watched(bench)

    bench.timer("inside").arm(START_NS + 10)

    assert calls == [10]


def test_on_earlier_does_not_hear_of_timers_that_do_not_run(bench: Bench) -> None:
    bench.timers.runnable = TimerAttribute.NONE
    bench.timer("inside").arm(START_NS + 10)
    calls = watched(bench)

    bench.timer("outside", EXTERNAL).arm(START_NS + 3)

    assert calls == []


# ---- names, memory


def test_two_timers_of_one_name_on_one_list_are_refused(bench: Bench) -> None:
    bench.timer("clint.mtimecmp")

    with pytest.raises(ValueError, match=r"two timers named 'clint\.mtimecmp' on the virtual clock"):
        bench.timer("clint.mtimecmp")


def test_two_lists_may_each_have_a_timer_of_one_name() -> None:
    assert Bench().timer("a").name == Bench().timer("a").name


def test_timer_rearmed_ever_closer_takes_no_ever_growing_memory(bench: Bench) -> None:
    timer = bench.timer("a")
    tracemalloc.start()
    try:
        for i in range(20_000):  # what a guest may do: 20_000 writes of mtimecmp
            timer.arm(1_000_000 - i)
        grown_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert grown_bytes < 200_000


# ---- state


def rebuilt(bench: Bench, *timers: tuple[str, TimerAttribute]) -> Bench:
    """Another bench with the same timers, idle, made in another order."""
    other = Bench()
    for name, attributes in reversed(timers):
        other.timer(name, attributes)
    other.timers.load_state(from_plain(TimerListState, to_plain(bench.timers.save_state())))
    return other


def test_loaded_timers_keep_the_order_of_ties(bench: Bench) -> None:
    a, b, c = bench.timer("a"), bench.timer("b", EXTERNAL), bench.timer("c")
    for timer in (a, b, c, a):
        timer.arm(START_NS)

    other = rebuilt(bench, ("a", GUEST), ("b", EXTERNAL), ("c", GUEST))
    other.timers.run_expired()

    assert other.fired == ["b", "c", "a"]


def test_timer_armed_after_loading_goes_behind_loaded_ties() -> None:
    bench = Bench()
    timer = bench.timer("a")
    for _ in range(5):
        timer.arm(START_NS)
        timer.cancel()
    timer.arm(START_NS)

    other = rebuilt(bench, ("a", GUEST))
    other.timer("b").arm(START_NS)
    other.timers.run_expired()

    assert other.timers.save_state().next_serial == bench.timers.save_state().next_serial + 1
    assert other.fired == ["a", "b"]


def test_loading_arms_exactly_the_saved_timers(bench: Bench) -> None:
    a, b = bench.timer("a"), bench.timer("b")
    a.arm(START_NS + 10)
    saved = bench.timers.save_state()
    a.arm(START_NS + 99)
    b.arm(START_NS + 1)

    bench.timers.load_state(saved)

    assert (a.expire_ns, b.expire_ns) == (START_NS + 10, IDLE)
    assert bench.timers.deadline_ns() == 10


def test_loading_calls_nothing(bench: Bench) -> None:
    bench.timer("a").arm(0)
    saved = bench.timers.save_state()
    bench.timers.load_state(TimerListState())
    calls = watched(bench)

    bench.timers.load_state(saved)

    assert calls == []
    assert bench.log == []


def test_saved_state_is_not_changed_by_what_happens_later(bench: Bench) -> None:
    timer = bench.timer("a")
    timer.arm(START_NS)
    saved = bench.timers.save_state()
    before = canonical_bytes(saved)

    bench.timers.run_expired()
    timer.arm(START_NS + 5)

    assert canonical_bytes(saved) == before


# ---- groups


def group_of(now_ns: dict[ClockType, int]) -> TimerGroup:
    return TimerGroup([FakeClock(clock_type, ns) for clock_type, ns in now_ns.items()])


def test_groups_deadline_is_the_nearest_distance_over_all_lists() -> None:
    group = group_of({ClockType.VIRTUAL: 1000, ClockType.HOST: 5_000_000})
    Timer("a", group[ClockType.VIRTUAL], print).arm(1300)
    Timer("a", group[ClockType.HOST], print).arm(5_000_200)

    assert group.deadline_ns() == 200
    group[ClockType.HOST].enabled = False
    assert group.deadline_ns() == 300


def test_groups_deadline_takes_an_attribute_mask() -> None:
    group = group_of({ClockType.VIRTUAL: 1000, ClockType.HOST: 5000})
    Timer("guest", group[ClockType.VIRTUAL], print).arm(1300)
    Timer("link", group[ClockType.HOST], print, EXTERNAL).arm(5010)

    assert group.deadline_ns() == 10
    assert group.deadline_ns(TimerAttribute.NONE) == 300


def test_groups_deadline_without_timers_is_minus_one() -> None:
    assert group_of(dict.fromkeys(ClockType, 0)).deadline_ns() == -1


def test_group_runs_every_list_even_after_one_that_fired() -> None:
    group, fired = group_of(dict.fromkeys(ClockType, 100)), []
    for timers in group:
        kind = timers.clock.type
        Timer("a", timers, lambda late_ns, kind=kind: fired.append(kind)).arm(100)

    assert group.run_expired()
    assert fired == list(ClockType)
    assert not group.run_expired()


# ---- checkpoints


def test_checkpoint_tells_the_clock_and_the_time_of_the_pass() -> None:
    bench = Bench(FakeClock(ClockType.HOST))
    bench.timer("a").arm(START_NS - 7)

    bench.timers.run_expired()

    assert bench.log == ["*", "a"]
    assert bench.checkpoints == [(ClockType.HOST, START_NS)]


def test_each_pass_has_its_own_checkpoint(bench: Bench) -> None:
    timer = bench.timer("a")
    for _ in range(2):
        timer.arm(START_NS)
        bench.timers.run_expired()

    assert bench.log == ["*", "a", "*", "a"]


def test_list_without_a_listener_runs_without_checkpoints(bench: Bench) -> None:
    bench.timers.on_checkpoint = None
    bench.timer("a").arm(0)

    assert bench.timers.run_expired()
    assert bench.log == ["a"]


def test_host_clock_reads_what_it_was_given_once_a_pass() -> None:
    readings = iter([70, 80])
    timers, fired = TimerList(HostClock(ClockType.HOST, lambda: next(readings))), []
    Timer("a", timers, fired.append).arm(70)
    Timer("b", timers, fired.append).arm(71)

    timers.run_expired()
    assert fired == [0]
    timers.run_expired()
    assert fired == [0, 9]


V, H, RT, REAL = ClockType.VIRTUAL, ClockType.HOST, ClockType.VIRTUAL_RT, ClockType.REALTIME

# What each rule does, in the order of RULES: before the series, VIRTUAL_EXT, the series as merged, the series with
# its last part (ours), every callback.
SITUATIONS: dict[str, tuple[Pass, list[list[int]]]] = {
    "nothing_armed": (Pass(V), [[], [], [], [], []]),
    "one_guest_timer_fires": (Pass(V, (GUEST,)), [[0], [0], [0], [0], [0]]),
    "one_external_timer_fires": (Pass(V, (EXTERNAL,)), [[0], [], [], [], []]),
    "guest_timer_waits": (Pass(V, (), (GUEST,)), [[0], [0], [], [], []]),
    "external_timer_waits": (Pass(V, (), (EXTERNAL,)), [[0], [], [], [], []]),
    "external_fires_while_guest_waits": (Pass(V, (EXTERNAL,), (GUEST,)), [[0], [0], [], [], []]),
    "external_before_guest": (Pass(V, (EXTERNAL, GUEST)), [[0], [0], [1], [1], [1]]),
    "guest_before_external": (Pass(V, (GUEST, EXTERNAL)), [[0], [0], [0], [0], [0]]),
    "two_guest_timers": (Pass(V, (GUEST, GUEST)), [[0], [0], [0], [0], [0, 1]]),
    "guest_after_two_external_then_guest": (
        Pass(V, (EXTERNAL, EXTERNAL, GUEST, EXTERNAL, GUEST)),
        [[0], [0], [2], [2], [2, 4]],
    ),
    "host_guest_timer_fires": (Pass(H, (GUEST,)), [[0], [0], [0], [0], [0]]),
    "host_external_timer_fires": (Pass(H, (EXTERNAL,)), [[0], [0], [0], [], [0]]),
    "host_guest_timer_waits": (Pass(H, (), (GUEST,)), [[0], [0], [0], [], [0]]),
    "host_external_before_guest": (Pass(H, (EXTERNAL, GUEST)), [[0], [0], [0], [1], [0]]),
    "virtual_rt_external_timer_fires": (Pass(RT, (EXTERNAL,)), [[0], [0], [0], [], [0]]),
    "virtual_rt_guest_timer_waits": (Pass(RT, (), (GUEST,)), [[0], [0], [0], [], [0]]),
    "virtual_rt_external_before_guest": (Pass(RT, (EXTERNAL, GUEST)), [[0], [0], [0], [1], [0]]),
    "realtime_guest_timers_fire": (Pass(REAL, (GUEST, GUEST)), [[], [], [], [], []]),
    "realtime_guest_timer_waits": (Pass(REAL, (), (GUEST,)), [[], [], [], [], []]),
}


def observed(run: Pass) -> list[int]:
    """Where our list writes checkpoints in ``run``."""
    bench = Bench(FakeClock(run.clock))
    for i, attributes in enumerate(run.fired):
        bench.timer(f"fires{i}", attributes).arm(START_NS - len(run.fired) + i)
    for i, attributes in enumerate(run.waiting):
        bench.timer(f"waits{i}", attributes).arm(START_NS + 1 + i)
    bench.timers.run_expired()
    assert bench.fired == [f"fires{i}" for i in range(len(run.fired))]
    return positions(bench.log)


def positions(log: list[str]) -> list[int]:
    """How many timers had fired when each checkpoint was written."""
    return [len([name for name in log[:at] if name != "*"]) for at, name in enumerate(log) if name == "*"]


@pytest.mark.parametrize("name", SITUATIONS)
def test_each_historical_rule_in_a_named_situation(name: str) -> None:
    run, expected = SITUATIONS[name]

    assert {rule: RULES[rule](run) for rule in RULES} == dict(zip(RULES, expected, strict=True))


@pytest.mark.parametrize("name", SITUATIONS)
def test_our_list_follows_the_series_with_its_last_part_in_a_named_situation(name: str) -> None:
    run, _ = SITUATIONS[name]

    assert observed(run) == timer_rules.series(run)


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(RULES, 2)))
def test_any_two_rules_differ_in_a_named_situation(one: str, other: str) -> None:
    assert [name for name, (run, _) in SITUATIONS.items() if RULES[one](run) != RULES[other](run)]


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("before_the_series", "one_external_timer_fires"),
        ("virtual_ext", "external_fires_while_guest_waits"),
        ("virtual_ext", "external_before_guest"),
        ("series_upstream", "host_external_timer_fires"),
        ("series_upstream", "virtual_rt_guest_timer_waits"),
        ("every_callback", "two_guest_timers"),
    ],
)
def test_our_list_does_not_follow_another_rule_where_they_differ(rule: str, name: str) -> None:
    run, _ = SITUATIONS[name]

    assert observed(run) != RULES[rule](run)


attributes = st.sampled_from([GUEST, EXTERNAL])
passes = st.builds(
    Pass,
    st.sampled_from(ClockType),
    st.lists(attributes, max_size=6).map(tuple),
    st.lists(attributes, max_size=3).map(tuple),
)


@given(passes)
def test_our_list_follows_the_series_with_its_last_part_in_every_pass(run: Pass) -> None:
    assert observed(run) == timer_rules.series(run)


@given(passes)
def test_the_series_never_writes_more_checkpoints_than_any_other_rule(run: Pass) -> None:
    assert all(len(timer_rules.series(run)) <= len(rule(run)) for rule in RULES.values())


@given(
    st.sampled_from(ClockType),
    st.lists(st.tuples(attributes, st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=6),
)
def test_rearming_within_a_pass_changes_nothing_about_its_one_checkpoint(
    clock_type: ClockType, timers: list[tuple[TimerAttribute, int, int]]
) -> None:
    bench, fired = Bench(FakeClock(clock_type)), []

    def add(i: int, attributes: TimerAttribute, expire_ns: int, rearms: int) -> None:
        left = [rearms]

        def callback(late_ns: int) -> None:
            bench.log.append(timer.name)
            fired.append(attributes)
            if left[0]:
                left[0] -= 1
                timer.arm(START_NS)

        timer = Timer(f"t{i}", bench.timers, callback, attributes)
        timer.arm(expire_ns)

    for i, (attribute, expire_ns, rearms) in enumerate(timers):
        add(i, attribute, expire_ns, rearms)
    bench.timers.run_expired()

    assert len(fired) == sum(1 + rearms for _, _, rearms in timers)
    assert positions(bench.log) == timer_rules.series(Pass(clock_type, tuple(fired)))


# ---- a naive model


@dataclass
class ModelTimer:
    name: str
    attributes: TimerAttribute
    expire_ns: int | None = None
    armed_as: int = 0
    rearm_to_past: bool = False


class TimersAgainstModel(RuleBasedStateMachine):
    """The list against the plainest thing that could work: sort everything, every time."""

    @initialize(
        kinds=st.lists(attributes, min_size=1, max_size=6), clock_type=st.sampled_from([ClockType.VIRTUAL, H, REAL])
    )
    def make(self, kinds: list[TimerAttribute], clock_type: ClockType) -> None:
        self.clock = FakeClock(clock_type, ns=50)
        self.timers = TimerList(self.clock)
        self.timers.on_checkpoint = lambda kind, ns: self.log.append("*")
        self.timers.on_earlier = lambda expire_ns: self.earlier.append(True)
        self.log: list[str] = []
        self.earlier: list[bool] = []
        self.next_armed_as = 0
        self.runnable = ALL_ATTRIBUTES
        self.enabled = True
        self.model = [ModelTimer(f"t{i}", kind) for i, kind in enumerate(kinds)]
        self.real = [Timer(m.name, self.timers, self._callback(m), m.attributes) for m in self.model]
        self.saved: tuple[TimerListState, list[tuple[int | None, int]], int] | None = None

    def _callback(self, model: ModelTimer) -> Any:
        def callback(late_ns: int) -> None:
            self.log.append(f"{model.name} late {late_ns}")
            if model.rearm_to_past:
                model.rearm_to_past = False
                self.real[self.model.index(model)].arm(3)

        return callback

    def _model_arm(self, model: ModelTimer, expire_ns: int) -> None:
        model.expire_ns = None if expire_ns >= VIRTUAL_NS_MAX else max(0, expire_ns)
        model.armed_as = self.next_armed_as
        self.next_armed_as += 1

    def _model_armed(self, mask: TimerAttribute = ALL_ATTRIBUTES) -> list[ModelTimer]:
        armed = [m for m in self.model if m.expire_ns is not None and not m.attributes & ~mask]
        return sorted(armed, key=lambda m: (m.expire_ns, m.armed_as))

    def _pick(self, index: int) -> tuple[Timer, ModelTimer]:
        return self.real[index % len(self.real)], self.model[index % len(self.model)]

    times = st.integers(-3, 120) | st.sampled_from((VIRTUAL_NS_MAX - 1, VIRTUAL_NS_MAX, (1 << 64) - 1, 1 << 64))
    indices = st.integers(0, 5)

    @rule(index=indices, expire_ns=times)
    def arm(self, index: int, expire_ns: int) -> None:
        timer, model = self._pick(index)
        before = [m.expire_ns for m in self._model_armed(self.runnable)][:1]
        self.earlier.clear()
        timer.arm(expire_ns)
        self._model_arm(model, expire_ns)
        if not model.attributes & ~self.runnable:
            is_nearer = expire_ns < VIRTUAL_NS_MAX and (not before or max(0, expire_ns) < before[0])
            assert bool(self.earlier) == is_nearer

    @rule(index=indices, expire_ns=times)
    def arm_earlier(self, index: int, expire_ns: int) -> None:
        timer, model = self._pick(index)
        timer.arm_earlier(expire_ns)
        if model.expire_ns is None or max(0, expire_ns) < model.expire_ns:
            self._model_arm(model, expire_ns)

    @rule(index=indices)
    def cancel(self, index: int) -> None:
        timer, model = self._pick(index)
        timer.cancel()
        model.expire_ns = None

    @rule(distance_ns=st.integers(0, 60), index=indices, rearms=st.booleans())
    def advance_and_run(self, distance_ns: int, index: int, rearms: bool) -> None:
        self.clock.ns += distance_ns
        _, rearming = self._pick(index)
        rearming.rearm_to_past = rearms
        self.log.clear()
        self.timers.run_expired()
        log = list(self.log)
        rearming.rearm_to_past = rearms
        assert log == self._model_run()
        rearming.rearm_to_past = False

    def _model_run(self) -> list[str]:
        log: list[str] = []
        while self.enabled:
            due = [m for m in self._model_armed(self.runnable) if m.expire_ns <= self.clock.ns]
            if not due:
                break
            first = due[0]
            if not first.attributes & EXTERNAL and "*" not in log and self.clock.type is not REAL:
                log.append("*")
            log.append(f"{first.name} late {self.clock.ns - first.expire_ns}")
            first.expire_ns = None
            if first.rearm_to_past:
                first.rearm_to_past = False
                self._model_arm(first, 3)
        return log

    @rule(enabled=st.booleans())
    def enable(self, enabled: bool) -> None:
        self.enabled = self.timers.enabled = enabled

    @rule(runnable=st.sampled_from([ALL_ATTRIBUTES, TimerAttribute.NONE]))
    def set_runnable(self, runnable: TimerAttribute) -> None:
        self.runnable = self.timers.runnable = runnable

    @rule()
    def save(self) -> None:
        state = from_plain(TimerListState, to_plain(self.timers.save_state()))
        self.saved = state, [(m.expire_ns, m.armed_as) for m in self.model], self.next_armed_as

    @precondition(lambda self: self.saved is not None)
    @rule()
    def load(self) -> None:
        assert self.saved is not None
        state, timers, self.next_armed_as = self.saved
        self.timers.load_state(state)
        for model, (expire_ns, armed_as) in zip(self.model, timers, strict=True):
            model.expire_ns, model.armed_as = expire_ns, armed_as
        assert canonical_bytes(self.timers.save_state()) == canonical_bytes(state)

    @invariant()
    def agrees(self) -> None:
        assert [t.name for t in self.timers.armed()] == [m.name for m in self._model_armed()]
        assert [t.expire_ns for t in self.real] == [IDLE if m.expire_ns is None else m.expire_ns for m in self.model]
        for mask in (ALL_ATTRIBUTES, TimerAttribute.NONE):
            armed = self._model_armed(mask & self.runnable) if self.enabled else []
            assert self.timers.expire_ns(mask) == (armed[0].expire_ns if armed else None)
            assert self.timers.deadline_ns(mask) == (max(0, armed[0].expire_ns - self.clock.ns) if armed else -1)


TestTimersAgainstModel = TimersAgainstModel.TestCase
TestTimersAgainstModel.settings = settings(max_examples=100, stateful_step_count=30, deadline=None, print_blob=True)
