from __future__ import annotations

from itertools import accumulate
from typing import Any

import pytest
from support.invented_runs import COMMAND, NO_SYMBOLS, data_of, few_happenings, lanes_of, many_happenings

from minstret.emu.door.door import Position
from minstret.emu.images.image import Symbol, SymbolTable
from minstret.emu.questions import happenings as h
from minstret.emu.questions.page.lanes import CONSOLE_EDGE, GROUPS, KINDS, OTHERS, ROWS_MAX, Lanes


def rows_of(data: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(group["id"], row["name"]): row for group in data["groups"] for row in group["rows"]}


def texts_of(data: dict[str, Any], row: dict[str, Any]) -> list[str]:
    return [data["strings"][number] for number in row["text"]]


def test_every_kind_of_happening_has_its_lane() -> None:
    data = data_of(few_happenings())

    assert {type(happening) for happening in few_happenings()} == KINDS
    assert [group["id"] for group in data["groups"]] == [group for group in GROUPS if group != "external"]
    assert {name for _, name in rows_of(data)} >= {
        "hart0", "hart1", "illegal instruction", "machine timer interrupt", "clint.mtip", "uart0", "clint.mtimecmp",
        "written", "typed", "keyboard0", "sent", "received", "gpio0.out", "gpio0.led", "machine.power",
        "answer: rtc.now", "keyboard0.leds", "checkpoint, virtual", "snapshot", "reset", "paused", "end",
    }  # fmt: skip


def test_event_has_its_place_its_text_and_its_registers() -> None:
    data = data_of(few_happenings())
    row = rows_of(data)["traps", "illegal instruction"]

    assert (row["icount"], row["ns"], row["count"], row["hart"]) == ([4_000], [32_000], 1, [0])
    assert texts_of(data, row)[0].startswith("illegal instruction (2) at 0x80000020, tval 0xffffffff")
    assert data["strings"][row["place"][0]] == "0x80000020"
    assert data["registers"]["names"][0] == "pc"
    assert row["registers"][0] >= 0


def test_places_have_symbols() -> None:
    symbols = SymbolTable.of([Symbol(0x8000_0000, 0x100, "main")])
    data = lanes_of(few_happenings()).data("run.mst", COMMAND, Position(23_000, 184_000), symbols)

    assert "0x80000020 <main+0x20>" in data["strings"]


def test_columns_are_differences() -> None:
    happenings = many_happenings(2_000)
    data = data_of(happenings)
    fired = [one for one in happenings if isinstance(one, h.TimerFired) and one.name == "timer3"]
    row = rows_of(data)["timers", "timer3"]

    assert [*accumulate(row["icount"])] == [one.icount for one in fired]
    assert [*accumulate(row["ns"])] == [one.virtual_ns for one in fired]


def test_hart_runs_until_it_waits_or_another_runs() -> None:
    lanes = Lanes(Position(0, 0), 2)
    lanes.take(h.HartSwitched(0, 0, 0))
    lanes.take(h.HartSwitched(100, 800, 1))
    lanes.take(h.HartWaits(150, 1_200, 1, True, 0))
    lanes.take(h.HartWaits(150, 9_200, 1, False, 0))
    rows = rows_of(lanes.data("run.mst", COMMAND, Position(200, 9_600), NO_SYMBOLS))

    assert rows["harts", "hart0"]["on_ns"] == [800, 0]
    assert rows["harts", "hart1"]["on_ns"] == [0, 400, 0, 400]
    assert rows["harts", "hart1"]["on_icount"] == [0, 50, 0, 50]


def test_line_was_the_opposite_before_it_changed_first() -> None:
    lines = [h.LineChanged(10, 80, 0, "a", False), h.LineChanged(20, 160, 0, "b", True)]
    rows = rows_of(data_of([*lines, h.Reset(50, 400, None)]))

    assert rows["lines", "a"]["on_icount"] == [10, 0]
    assert rows["lines", "b"]["on_icount"] == [0, 30]


def test_external_timers_say_what_their_attribute_saved() -> None:
    lanes = lanes_of(few_happenings())
    counts = {"fired": 12, "checkpoints": 0, "checkpoints_saved": 11, "bytes_saved": 1234}
    lanes.add_timers([
        {"name": "net0.link", "clock": "virtual", "external": True, **counts},
        {"name": "clint.mtimecmp", "clock": "virtual", "external": False, **counts, "checkpoints": 12},
        {"name": "never", "clock": "virtual", "external": True, **dict.fromkeys(counts, 0)},
    ])  # fmt: skip
    rows = rows_of(lanes.data("run.mst", COMMAND, Position(23_000, 184_000), NO_SYMBOLS))

    assert rows["external", "net0.link"]["count"] == 12
    assert "saved 11 checkpoints, 1,234 bytes" in rows["external", "net0.link"]["note"]
    assert rows["timers", "clint.mtimecmp"]["note"].endswith("12 checkpoints")
    assert ("external", "never") not in rows


def test_many_names_share_a_lane_and_lose_no_event() -> None:
    lanes = Lanes(Position(0, 0))
    for number in range(100):
        lanes.take(h.TimerFired(number, 8 * number, None, f"timer{number}", "virtual", False, 0))
    group = next(
        group for group in lanes.data("a", COMMAND, Position(100, 800), NO_SYMBOLS)["groups"] if group["id"] == "timers"
    )

    assert len(group["rows"]) == ROWS_MAX + 1
    assert group["rows"][-1]["name"] == OTHERS
    assert sum(row["count"] for row in group["rows"]) == 100


@pytest.mark.parametrize("count", [40_000])
def test_of_a_dense_lane_all_are_counted_and_some_kept(count: int) -> None:
    lanes = Lanes(Position(0, 0))
    for number in range(count):
        lanes.take(h.TimerFired(10 * number, 80 * number, None, "tick", "virtual", False, 0))
    row = rows_of(lanes.data("a", COMMAND, Position(10 * count, 80 * count), NO_SYMBOLS))["timers", "tick"]

    assert row["count"] == count == sum(1 + more for more in row["more"])
    assert 4_000 < len(row["icount"]) <= 8_000
    assert sum(row["icount"]) == 10 * (count - 1)


def test_console_keeps_its_beginning_and_its_end() -> None:
    lanes = Lanes(Position(0, 0))
    for number in range(2 * CONSOLE_EDGE + 7):
        lanes.take(h.ConsoleOut(number, 8 * number, 0, f"line {number}\n".encode()))
    console = lanes.data("a", COMMAND, Position(20_000, 160_000), NO_SYMBOLS)["console"]

    assert (console["left_out"], console["left_out_at"]) == (7, CONSOLE_EDGE)
    assert (console["text"][0], console["text"][-1]) == ("line 0", f"line {2 * CONSOLE_EDGE + 6}")
    assert console["text"][CONSOLE_EDGE] == f"line {CONSOLE_EDGE + 7}"


def test_what_is_typed_is_marked_in_the_console() -> None:
    console = data_of(few_happenings())["console"]

    assert console["text"] == ["hello <script>alert(1)</script>", "yes"]
    assert console["typed"] == [1]
