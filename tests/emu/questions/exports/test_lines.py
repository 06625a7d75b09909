"""Lines of the console with their times."""

from __future__ import annotations

from minstret.emu.questions.exports.lines import ConsoleLines


def lines_of(*sent: tuple[int, bytes]) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    lines = ConsoleLines(lambda at, line: found.append((at, line)))
    for at, data in sent:
        lines.add(at, data)
    lines.flush()
    return found


def test_line_has_the_time_of_its_first_character() -> None:
    assert lines_of((5, b"a"), (7, b"b\n"), (9, b"c"), (11, b"d")) == [(5, "ab"), (9, "cd")]


def test_carriage_returns_at_the_end_are_no_part_of_it() -> None:
    assert lines_of((1, b"one\r\n\r\ntwo\r\n")) == [(1, "one"), (1, ""), (1, "two")]


def test_endless_line_is_cut() -> None:
    assert [len(line) for _, line in lines_of((1, b"x" * 10_000))] == [4096, 4096, 1808]


def test_what_is_no_text_is_shown_as_such() -> None:
    assert lines_of((1, b"a\xff\n")) == [(1, "a\ufffd")]
