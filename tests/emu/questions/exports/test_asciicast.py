"""The console as a cast."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.exported import exported, facts_of_recorded
from support.recordings import Recorded

from minstret.emu.door.door import Position
from minstret.emu.questions.exports.asciicast import Asciicast
from minstret.emu.questions.happenings import ConsoleIn, ConsoleOut, Happening, Reset


def events_of(cast: bytes) -> tuple[dict[str, object], list[tuple[float, str, str]]]:
    header, *events = (json.loads(line) for line in cast.splitlines())
    return header, [tuple(event) for event in events]


def cast_of(recorded: Recorded, *happenings: Happening) -> list[tuple[float, str, str]]:
    pieces: list[bytes] = []
    cast = Asciicast(facts_of_recorded(recorded), pieces.append)
    for happening in happenings:
        cast.add(happening)
    cast.finish(Position(100, 10_000_000))
    return events_of(b"".join(pieces))[1]


def sent(ms: float, data: bytes) -> ConsoleOut:
    return ConsoleOut(int(ms * 1000), int(ms * 1_000_000), 0, data)


def test_cast_has_a_header_and_the_console_in_order(recorded: Recorded) -> None:
    header, events = events_of(exported(recorded, "asciicast"))

    assert header == {
        "version": 2, "width": 80, "height": 24, "title": "run.mst", "env": {"TERM": "xterm-256color"},
    }  # fmt: skip
    times = [time for time, _, _ in events]
    assert times == sorted(times)
    assert all(time >= 0 for time in times)
    shown = "".join(text for _, code, text in events if code == "o")
    assert shown.replace("\r\n", "\n") == recorded.console.decode().replace("\r\n", "\n")
    assert times[-1] == pytest.approx(recorded.end.position.virtual_ns / 1e9)


def test_what_was_typed_is_input(guest: Callable[[str], Recorded]) -> None:
    _, events = events_of(exported(guest("echo"), "asciicast"))

    assert "".join(text for _, code, text in events if code == "i") == "hé\n."


def test_character_is_never_cut(guest: Callable[[str], Recorded]) -> None:
    euro = "€".encode()

    events = cast_of(guest("ticks"), sent(0, euro[:1]), sent(5, euro[1:2]), sent(10, euro[2:] + b"!"))

    assert events == [(0.01, "o", "€!")]


def test_half_a_character_at_the_end_is_shown_as_one_that_is_none(guest: Callable[[str], Recorded]) -> None:
    events = cast_of(guest("ticks"), sent(0, b"a"), sent(2, "€".encode()[:2]))

    assert events == [(0.0, "o", "a"), (0.002, "o", "\ufffd")]


def test_line_feed_returns_the_carriage_once(guest: Callable[[str], Recorded]) -> None:
    events = cast_of(guest("ticks"), sent(0, b"a\n"), sent(2, b"b\r"), sent(4, b"\nc\r\n\n"))

    assert [text for _, _, text in events] == ["a\r\n", "b\r", "\nc\r\n\r\n"]


def test_input_and_output_stay_in_order(guest: Callable[[str], Recorded]) -> None:
    typed = ConsoleIn(1, 1000, None, b"x")

    events = cast_of(guest("ticks"), sent(0, b"a"), typed, sent(0.002, b"x"), Reset(3, 3_000, None))

    assert events == [(0.0, "o", "a"), (1e-6, "i", "x"), (2e-6, "o", "x"), (3e-6, "m", "reset")]
