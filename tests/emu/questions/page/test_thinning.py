from __future__ import annotations

from random import Random

import pytest

from minstret.emu.questions.page.thinning import Span, Spans, Thinned


def thinned(count: int, edge: int = 3, middle: int = 4) -> Thinned[int]:
    events = Thinned[int](edge, middle)
    for event in range(count):
        events.add(event)
    return events


@pytest.mark.parametrize("count", [0, 1, 5, 6, 10])
def test_few_events_are_all_kept(count: int) -> None:
    assert [*thinned(count).kept()] == [(event, 0) for event in range(count)]


@pytest.mark.parametrize("count", [11, 12, 100, 1_000, 12_345])
def test_of_many_the_edges_are_kept_and_all_are_counted(count: int) -> None:
    events = thinned(count)

    kept = [event for event, _ in events.kept()]
    assert kept[:3] == [0, 1, 2]
    assert kept[-3:] == [count - 3, count - 2, count - 1]
    assert 6 < len(kept) <= 10
    assert kept == sorted(set(kept))
    assert sum(1 + more for _, more in events.kept()) == events.count == count


def test_what_is_kept_says_how_many_come_before_the_next() -> None:
    for event, more in thinned(1_000).kept():
        assert more >= 0
        assert event + more < 1_000


def test_without_a_middle_only_the_edges_are_kept() -> None:
    assert [*thinned(100, middle=0).kept()] == [(0, 0), (1, 0), (2, 94), (97, 0), (98, 0), (99, 0)]


def test_spans_are_as_they_were_turned() -> None:
    spans = Spans()
    for icount, is_on in ((0, True), (10, False), (30, True)):
        spans.turn(icount, 8 * icount, is_on, icount)

    assert spans.kept(50, 400) == [Span(0, 0, 10, 80, 0, 0), Span(10, 80, 0, 0, 0, 10), Span(30, 240, 20, 160, 0, 30)]


def test_span_without_length_is_none() -> None:
    spans = Spans()
    spans.turn(0, 0, True, 1)
    spans.turn(5, 5, False, 2)
    spans.turn(5, 5, True, 3)

    assert [one.icount for one in spans.kept(9, 9)] == [0, 5]


def test_turning_to_what_it_is_changes_nothing() -> None:
    spans = Spans()
    for icount in range(10):
        spans.turn(icount, icount, True, icount)

    assert spans.kept(10, 10) == [Span(0, 0, 10, 10, 0, 0)]
    assert spans.turns == 1


def test_many_spans_are_taken_together_and_no_time_is_lost() -> None:
    random, spans, icount, on, turns = Random(7), Spans(limit=16), 0, 0, 0
    for turn in range(999):
        spans.turn(icount, 3 * icount, turn % 2 == 0, turn)
        step = random.randrange(1, 50)
        on += step * (turn % 2 == 0)
        icount, turns = icount + step, turns + 1

    kept = spans.kept(icount, 3 * icount)

    assert len(kept) <= 16
    assert sum(one.on_icount for one in kept) == on
    assert sum(one.on_ns for one in kept) == 3 * on
    assert sum(1 + one.more for one in kept) == turns
    assert [one.icount for one in kept] == sorted({one.icount for one in kept})
