"""PLIC: which source interrupts which context, from request over claim to completion."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.bench_wiring import BenchWiring

from minstret.devices.chips.plic import PRIORITY_MAX, SOURCES, Base, Plic, PlicState
from minstret.emu.clock import VirtualClock
from minstret.emu.timers import TimerList

M, S = 0, 1


def priority_at(source: int) -> int:
    return Base.PRIORITY + 4 * source


def pending_at(word: int) -> int:
    return Base.PENDING + 4 * word


def enable_at(context: int, word: int) -> int:
    return Base.ENABLE + 0x80 * context + 4 * word


def threshold_at(context: int) -> int:
    return Base.CONTEXT + 0x1000 * context


def claim_at(context: int) -> int:
    return Base.CONTEXT + 0x1000 * context + 4


@dataclass
class Bench:
    """A PLIC and its two lines."""

    def __post_init__(self) -> None:
        self.plic = Plic()
        lines = BenchWiring(self.plic, TimerList(VirtualClock(lambda: 0, 1))).lines
        self.lines = lines["meip"], lines["seip"]

    def read(self, offset: int) -> int:
        return self.plic.read(offset, 4) & 0xFFFF_FFFF  # as the bus does

    def write(self, offset: int, value: int) -> None:
        self.plic.write(offset, 4, value)

    def set_up(self, source: int, priority: int = 1, context: int = M) -> None:
        """Give a source a priority, and enable it for a context."""
        self.write(priority_at(source), priority)
        at = enable_at(context, source // 32)
        self.write(at, self.read(at) | 1 << source % 32)

    def request(self, *sources: int) -> None:
        for source in sources:
            self.plic.set_source(source, True)

    def pulse(self, source: int) -> None:
        self.plic.set_source(source, True)
        self.plic.set_source(source, False)

    def is_pending(self, source: int) -> bool:
        return bool(self.read(pending_at(source // 32)) >> source % 32 & 1)

    def claim(self, context: int = M) -> int:
        return self.read(claim_at(context))

    def complete(self, source: int, context: int = M) -> None:
        self.write(claim_at(context), source)

    @property
    def levels(self) -> tuple[bool, bool]:
        return self.lines[M].level, self.lines[S].level


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_plic_powers_on_with_nothing_enabled_and_all_zero(bench: Bench) -> None:
    bench.request(*range(1, SOURCES + 1))

    assert bench.levels == (False, False)
    assert bench.claim(M) == bench.claim(S) == 0
    assert [bench.read(priority_at(source)) for source in range(SOURCES + 1)] == [0] * (SOURCES + 1)
    assert [bench.read(enable_at(context, word)) for context in (M, S) for word in (0, 1)] == [0] * 4
    assert bench.read(threshold_at(M)) == bench.read(threshold_at(S)) == 0


# ---- which source


def test_claim_gives_the_highest_priority_first(bench: Bench) -> None:
    for source, priority in ((3, 2), (10, 7), (40, 5)):
        bench.set_up(source, priority)
    bench.request(3, 10, 40)

    assert [bench.claim() for _ in range(4)] == [10, 40, 3, 0]


def test_claim_gives_the_lowest_number_among_equal_priorities(bench: Bench) -> None:
    for source in (53, 32, 31, 7):
        bench.set_up(source, 4)
    bench.request(53, 32, 31, 7)

    assert [bench.claim() for _ in range(5)] == [7, 31, 32, 53, 0]


@pytest.mark.parametrize("source", [1, 31, 32, SOURCES])
def test_every_source_up_to_the_last_interrupts(bench: Bench, source: int) -> None:
    bench.set_up(source)

    bench.request(source)

    assert bench.levels == (True, False)
    assert bench.is_pending(source)
    assert bench.claim() == source
    assert not bench.is_pending(source)
    assert bench.levels == (False, False)


def test_priority_0_is_pending_but_never_interrupts_nor_is_claimed(bench: Bench) -> None:
    bench.set_up(5, priority=0)

    bench.request(5)

    assert bench.is_pending(5)
    assert bench.levels == (False, False)
    assert bench.claim() == 0
    assert bench.is_pending(5)


def test_priority_given_to_a_pending_source_raises_the_line(bench: Bench) -> None:
    bench.set_up(5, priority=0)
    bench.request(5)

    bench.write(priority_at(5), 1)

    assert bench.levels == (True, False)


def test_source_0_has_no_priority_and_cannot_be_enabled_or_completed(bench: Bench) -> None:
    bench.write(priority_at(0), 7)
    bench.write(enable_at(M, 0), 0xFFFF_FFFF)
    bench.complete(0)

    assert bench.read(priority_at(0)) == 0
    assert bench.read(enable_at(M, 0)) == 0xFFFF_FFFE
    assert bench.claim() == 0


def test_sources_past_the_last_are_not_there(bench: Bench) -> None:
    bench.write(priority_at(SOURCES + 1), 7)
    bench.write(enable_at(M, 1), 0xFFFF_FFFF)

    assert bench.read(priority_at(SOURCES + 1)) == 0
    assert bench.read(enable_at(M, 1)) == (1 << SOURCES - 31) - 1
    for source in (SOURCES + 1, 64, 1023, 0xFFFF_FFFF):
        bench.complete(source)


def test_priority_and_threshold_keep_three_bits(bench: Bench) -> None:
    bench.write(priority_at(9), 0xFFFF_FFFD)
    bench.write(threshold_at(S), 0xFFFF_FFFE)

    assert bench.read(priority_at(9)) == 5
    assert bench.read(threshold_at(S)) == 6


# ---- which context


def test_enables_are_apart_for_each_context(bench: Bench) -> None:
    bench.set_up(1, context=M)
    bench.set_up(2, context=S)

    bench.request(2)
    assert bench.levels == (False, True)
    assert bench.claim(M) == 0

    bench.request(1)
    assert bench.levels == (True, True)
    assert (bench.claim(S), bench.claim(M)) == (2, 1)


def test_source_enabled_for_both_contexts_is_claimed_once(bench: Bench) -> None:
    bench.set_up(4, context=M)
    bench.set_up(4, context=S)
    bench.request(4)
    assert bench.levels == (True, True)

    assert bench.claim(S) == 4

    assert bench.levels == (False, False)
    assert bench.claim(M) == 0


def test_disabling_a_pending_source_lowers_the_line_and_keeps_it_pending(bench: Bench) -> None:
    bench.set_up(4)
    bench.request(4)

    bench.write(enable_at(M, 0), 0)

    assert bench.levels == (False, False)
    assert bench.is_pending(4)
    bench.write(enable_at(M, 0), 1 << 4)
    assert bench.levels == (True, False)


# ---- threshold


@pytest.mark.parametrize("threshold", range(PRIORITY_MAX + 1))
@pytest.mark.parametrize("priority", [1, 4, 7])
def test_line_is_up_for_a_priority_above_the_threshold_only(bench: Bench, priority: int, threshold: int) -> None:
    bench.set_up(6, priority)
    bench.write(threshold_at(M), threshold)

    bench.request(6)

    assert bench.levels == (priority > threshold, False)


def test_claim_does_not_look_at_the_threshold(bench: Bench) -> None:
    bench.set_up(6, priority=2)
    bench.write(threshold_at(M), 7)
    bench.request(6)
    assert bench.levels == (False, False)

    assert bench.claim() == 6


def test_lowered_threshold_raises_the_line_at_once(bench: Bench) -> None:
    bench.set_up(6, priority=2)
    bench.write(threshold_at(M), 2)
    bench.request(6)

    bench.write(threshold_at(M), 1)

    assert bench.levels == (True, False)


# ---- requests, claims, completions


def test_request_stays_pending_until_claimed_though_the_line_drops(bench: Bench) -> None:
    bench.set_up(8)

    bench.pulse(8)

    assert bench.is_pending(8)
    assert bench.levels == (True, False)
    assert bench.claim() == 8
    assert bench.levels == (False, False)


def test_claimed_source_does_not_interrupt_again_while_its_line_stays_up(bench: Bench) -> None:
    bench.set_up(8)
    bench.request(8)
    bench.claim()

    bench.request(8)

    assert bench.levels == (False, False)
    assert bench.claim() == 0


def test_completion_with_the_line_still_up_makes_it_pending_again(bench: Bench) -> None:
    bench.set_up(8)
    bench.request(8)
    bench.claim()

    bench.complete(8)

    assert bench.is_pending(8)
    assert bench.levels == (True, False)
    assert bench.claim() == 8


def test_completion_with_the_line_down_leaves_it_quiet_until_the_next_request(bench: Bench) -> None:
    bench.set_up(8)
    bench.pulse(8)
    bench.claim()

    bench.complete(8)
    assert bench.levels == (False, False)

    bench.pulse(8)
    assert bench.levels == (True, False)


def test_pulse_between_claim_and_completion_is_lost(bench: Bench) -> None:
    """The gateway forwards no request before the last one is completed, and a line that is down asks for nothing."""
    bench.set_up(8)
    bench.pulse(8)
    bench.claim()

    bench.pulse(8)
    bench.complete(8)

    assert not bench.is_pending(8)


def test_completion_of_a_source_that_is_not_enabled_is_ignored(bench: Bench) -> None:
    bench.set_up(8, context=M)
    bench.request(8)
    bench.claim(M)

    bench.complete(8, context=S)
    assert not bench.is_pending(8)

    bench.write(enable_at(M, 0), 0)
    bench.complete(8, context=M)
    assert not bench.is_pending(8)

    bench.write(enable_at(M, 0), 1 << 8)
    bench.complete(8, context=M)
    assert bench.is_pending(8)


def test_completion_by_another_context_that_enables_the_source_counts(bench: Bench) -> None:
    bench.set_up(8, context=M)
    bench.set_up(8, context=S)
    bench.request(8)
    bench.claim(M)

    bench.complete(8, context=S)

    assert bench.is_pending(8)


def test_completion_of_a_source_that_was_not_claimed_changes_nothing(bench: Bench) -> None:
    bench.set_up(8)
    bench.request(8)
    before = repr(bench.plic.state)

    bench.complete(8)

    assert repr(bench.plic.state) == before


def test_second_claim_before_completion_takes_the_next_source(bench: Bench) -> None:
    bench.set_up(1, 3)
    bench.set_up(2, 2)
    bench.request(1, 2)

    assert (bench.claim(), bench.claim(), bench.claim()) == (1, 2, 0)
    bench.complete(1)
    assert bench.claim() == 1


# ---- registers


def test_pending_is_read_only(bench: Bench) -> None:
    bench.request(1, 40)

    for word in (0, 1):
        bench.write(pending_at(word), 0)
        bench.write(pending_at(word), 0xFFFF_FFFF)

    assert [bench.read(pending_at(word)) for word in (0, 1)] == [1 << 1, 1 << 8]


@pytest.mark.parametrize("size", [1, 2, 8])
def test_access_other_than_32_bits_reads_zero_and_changes_nothing(bench: Bench, size: int) -> None:
    bench.set_up(3, 5)
    bench.write(threshold_at(M), 2)
    bench.request(3)
    before = repr(bench.plic.state)

    for offset in (priority_at(3), pending_at(0), enable_at(M, 0), threshold_at(M), claim_at(M)):
        assert bench.plic.read(offset, size) == 0
        bench.plic.write(offset, size, 7)

    assert repr(bench.plic.state) == before
    assert bench.levels == (True, False)


def test_misaligned_access_reads_zero_and_changes_nothing(bench: Bench) -> None:
    bench.set_up(3, 5)
    before = repr(bench.plic.state)

    for offset in (priority_at(3) + 1, enable_at(M, 0) + 2, threshold_at(M) + 3):
        assert bench.read(offset) == 0
        bench.write(offset, 7)

    assert repr(bench.plic.state) == before


@pytest.mark.parametrize(
    "offset",
    [pending_at(2), enable_at(M, 2), enable_at(2, 0), threshold_at(2), claim_at(2),
     Base.CONTEXT + 8, Base.CONTEXT - 4, 0x5FFFFC],
)  # fmt: skip
def test_offset_without_a_register_reads_zero_and_ignores_writes(bench: Bench, offset: int) -> None:
    before = repr(bench.plic.state)

    bench.write(offset, 0xFFFF_FFFF)

    assert bench.read(offset) == 0
    assert repr(bench.plic.state) == before


def test_reset_forgets_all_but_the_sources_levels(bench: Bench) -> None:
    bench.set_up(3, 5)
    bench.set_up(4, 6, context=S)
    bench.request(3)
    bench.pulse(4)
    bench.write(threshold_at(M), 2)

    bench.plic.reset()

    assert bench.plic.state == PlicState(levels=1 << 3, pending=1 << 3, enable=[0, 0], threshold=[0, 0])
    assert bench.levels == (False, False)


def test_source_that_stays_up_over_a_reset_interrupts_again_once_enabled(bench: Bench) -> None:
    """Its level is still there: whoever sets the PLIC up anew must hear of it."""
    bench.set_up(3)
    bench.request(3)
    bench.plic.reset()

    bench.set_up(3)

    assert bench.levels == (True, False)
    assert bench.claim() == 3


# ---- against a model


class Model:
    """The same in the plainest way: sets of sources, and a search through all of them."""

    def __init__(self) -> None:
        self.up: set[int] = set()
        self.pending: set[int] = set()
        self.served: set[int] = set()
        self.enabled: list[set[int]] = [set(), set()]
        self.priority = dict.fromkeys(range(SOURCES + 1), 0)
        self.threshold = [0, 0]

    def set_source(self, source: int, level: bool) -> None:
        if not level:
            self.up.discard(source)
            return
        self.up.add(source)
        if source not in self.served:
            self.pending.add(source)

    def claim(self, context: int) -> int:
        ready = [s for s in self.pending & self.enabled[context] if self.priority[s] > 0]
        if not ready:
            return 0
        source = min(ready, key=lambda s: (-self.priority[s], s))
        self.pending.remove(source)
        self.served.add(source)
        return source

    def complete(self, context: int, source: int) -> None:
        if source in self.served and source in self.enabled[context]:
            self.served.remove(source)
            if source in self.up:
                self.pending.add(source)

    def level(self, context: int) -> bool:
        ready = self.pending & self.enabled[context]
        return any(self.priority[s] > self.threshold[context] for s in ready)


few_sources = st.sampled_from([1, 2, 10, 31, 32, 33, SOURCES])
contexts = st.integers(0, 1)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("level"), few_sources, st.booleans()),
        st.tuples(st.just("priority"), few_sources, st.integers(0, PRIORITY_MAX)),
        st.tuples(st.just("enable"), contexts, st.sets(few_sources)),
        st.tuples(st.just("threshold"), contexts, st.integers(0, PRIORITY_MAX)),
        st.tuples(st.just("claim"), contexts, st.none()),
        st.tuples(st.just("complete"), contexts, few_sources),
    ),
    max_size=60,
)


def prepared() -> tuple[Bench, Model]:
    """Both with everything enabled at priorities 0..6: most steps then matter."""
    bench, model = Bench(), Model()
    for i, source in enumerate((1, 2, 10, 31, 32, 33, SOURCES)):
        bench.write(priority_at(source), i)
        model.priority[source] = i
        for context in (M, S):
            bench.set_up(source, i, context)
            model.enabled[context].add(source)
    return bench, model


def apply(bench: Bench, model: Model, step: tuple[str, int, object]) -> None:
    what, which, value = step
    if what == "level":
        bench.plic.set_source(which, bool(value))
        model.set_source(which, bool(value))
    elif what == "priority":
        assert isinstance(value, int)
        bench.write(priority_at(which), value)
        model.priority[which] = value
    elif what == "enable":
        assert isinstance(value, set)
        mask = sum(1 << source for source in value)
        bench.write(enable_at(which, 0), mask & 0xFFFF_FFFF)
        bench.write(enable_at(which, 1), mask >> 32)
        model.enabled[which] = value
    elif what == "threshold":
        assert isinstance(value, int)
        bench.write(threshold_at(which), value)
        model.threshold[which] = value
    elif what == "claim":
        assert bench.claim(which) == model.claim(which)
    else:
        assert isinstance(value, int)
        bench.complete(value, which)
        model.complete(which, value)


@settings(max_examples=200, deadline=None, print_blob=True)
@given(steps)
def test_any_sequence_of_steps_agrees_with_a_naive_model(steps: list[tuple[str, int, object]]) -> None:
    bench, model = prepared()

    for step in steps:
        apply(bench, model, step)
        assert bench.levels == (model.level(M), model.level(S)), step
        pending = bench.read(pending_at(0)) | bench.read(pending_at(1)) << 32
        assert {source for source in range(64) if pending >> source & 1} == model.pending, step
