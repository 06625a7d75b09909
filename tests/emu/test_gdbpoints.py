"""Breakpoints and watchpoints by the addresses that a debugger knows."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import asm
from support.gdb_clients import timeline_of_code
from support.harts import RAM

from minstret.emu.gdbpoints import SIZE_MAX, Piece, Point, Points, PointType
from minstret.emu.past import TraceTimeline
from minstret.emu.timeline import Why

SOFTWARE, HARDWARE = PointType.SOFTWARE_BREAKPOINT, PointType.HARDWARE_BREAKPOINT
WRITE, READ, ACCESS = PointType.WRITE_WATCHPOINT, PointType.READ_WATCHPOINT, PointType.ACCESS_WATCHPOINT
UART = 0x1000_0000
LOOP_AT, WORD = RAM + 4, RAM + 0x1FFC


@pytest.fixture
def timeline(tmp_path: Path) -> TraceTimeline:
    """Stores a counter in the two words around the end of a page, again and again."""
    code = asm.code(
        asm.auipc(asm.S0, 2), asm.addi(asm.A0, asm.A0, 1), asm.sw(asm.A0, asm.S0, -4), asm.sw(asm.A0, asm.S0, 0),
        asm.jal(asm.ZERO, -12),
    )  # fmt: skip
    return timeline_of_code(tmp_path, code, insns=60)


def plain(point: Point) -> list[Piece]:
    """Where it is without translation, in pieces of a page."""
    middle = min(point.address + point.size, (point.address | 0xFFF) + 1)
    pieces = [(point.address, middle), (middle, point.address + point.size)]
    return [Piece(start, start, end - start) for start, end in pieces if end > start]


def test_breakpoint_of_two_types_stays_until_both_are_removed(timeline: TraceTimeline) -> None:
    points = Points(timeline)
    for kind in (HARDWARE, SOFTWARE, SOFTWARE):
        points.add_breakpoint(Point(kind, LOOP_AT))
    assert points.breakpoint_type(LOOP_AT) is SOFTWARE
    points.remove(Point(SOFTWARE, LOOP_AT))
    assert points.breakpoint_type(LOOP_AT) is HARDWARE
    assert timeline.run().why is Why.BREAKPOINT
    points.remove(Point(HARDWARE, LOOP_AT))
    points.remove(Point(HARDWARE, LOOP_AT))
    assert points.breakpoint_type(LOOP_AT) is None
    assert timeline.run().why is Why.END


def test_breakpoint_where_no_instruction_can_be_is_refused(timeline: TraceTimeline) -> None:
    points = Points(timeline)
    with pytest.raises(ValueError, match="no instruction can be at 0x80000005"):
        points.add_breakpoint(Point(SOFTWARE, RAM + 5))
    assert Point(SOFTWARE, RAM + 5) not in points


def test_range_that_goes_on_in_physical_memory_is_one_watch(timeline: TraceTimeline) -> None:
    points, point = Points(timeline), Point(WRITE, WORD, 8)
    points.add_watchpoint(point, plain(point))
    stops = [timeline.run() for _ in range(2)]
    assert [points.hit(stop.hits) for stop in stops] == [[(point, WORD)], [(point, WORD + 4)]]
    assert stops[0].hits[0].watch is stops[1].hits[0].watch


def test_hit_is_told_by_the_address_that_the_debugger_knows(timeline: TraceTimeline) -> None:
    points, point = Points(timeline), Point(WRITE, 0x4000_0FFE, 6)
    points.add_watchpoint(point, [Piece(0x4000_0FFE, WORD + 2, 2), Piece(0x4000_1000, WORD + 4, 4)])
    stops = [timeline.run() for _ in range(2)]
    assert [points.hit(stop.hits) for stop in stops] == [[(point, 0x4000_0FFE)], [(point, 0x4000_1000)]]


def test_every_watchpoint_that_an_access_hits_is_told(timeline: TraceTimeline) -> None:
    points = Points(timeline)
    word, byte, read = Point(ACCESS, WORD, 4), Point(WRITE, WORD + 3, 1), Point(READ, WORD, 4)
    for point in (word, byte, read):
        points.add_watchpoint(point, plain(point))
    assert points.hit(timeline.run().hits) == [(word, WORD), (byte, WORD + 3)]


def test_hit_of_somebody_else_s_watch_is_none_of_ours(timeline: TraceTimeline) -> None:
    points, point = Points(timeline), Point(WRITE, WORD, 4)
    points.add_watchpoint(point, plain(point))
    other = Points(timeline)
    assert other.hit(timeline.run().hits) == []


@pytest.mark.parametrize(
    ("point", "pieces", "message"),
    [
        (Point(WRITE, UART, 4), [Piece(UART, UART, 4)], "not in RAM"),
        (Point(WRITE, WORD, 8), [Piece(WORD, WORD, 4), Piece(WORD + 4, UART, 4)], "not in RAM"),
        (Point(WRITE, WORD, 8), [Piece(WORD, WORD, 4)], "nothing is mapped at 0x80002000"),
        (Point(WRITE, WORD, 0), [], "0 bytes can't be watched"),
        (Point(WRITE, RAM, SIZE_MAX + 1), [], "can't be watched"),
    ],
)
def test_watchpoint_that_is_refused_leaves_nothing_behind(
    timeline: TraceTimeline, point: Point, pieces: list[Piece], message: str
) -> None:
    points = Points(timeline)
    with pytest.raises(ValueError, match=message):
        points.add_watchpoint(point, pieces)
    assert point not in points
    assert timeline.run().why is Why.END


def test_clearing_removes_all(timeline: TraceTimeline) -> None:
    points, point = Points(timeline), Point(ACCESS, WORD, 8)
    points.add_watchpoint(point, plain(point))
    points.add_breakpoint(Point(SOFTWARE, LOOP_AT))
    points.add_breakpoint(Point(HARDWARE, LOOP_AT))
    points.clear()
    assert point not in points
    assert timeline.run().why is Why.END
