"""What is waited for, and where in the output it is."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest

from minstret.emu.errors import ConfigError
from minstret.emu.expect import WINDOW, Expected, Search, parse_expected


def found(expected: Expected, data: bytes, pieces: random.Random | None = None) -> tuple[str, int] | None:
    """What a search finds, and how many bytes are used up to there."""
    search, match, at = Search(expected), None, 0
    while at < len(data) and match is None:
        size = len(data) if pieces is None else pieces.randrange(1, 5)
        match, at = search.feed(data[at : at + size]), at + size
    match = match or search.settle()
    return None if match is None else (match[0], search.used)


@pytest.mark.parametrize(
    ("pattern", "data", "wanted"),
    [
        ("=> ", b"U-Boot\r\n=> help", ("=> ", 11)),
        ("> $", b"a > b\r\n> ", ("> ", 4)),  # at that moment it was the last that had come
        (r"t=(\d+)", b"t=123;", ("t=123", 5)),
        (r"t=(\d+)", b"t=123", ("t=123", 5)),
        (r"\w+\b", b"ab cd", ("ab", 2)),
        ("a|abc", b"abc", ("a", 1)),
        (r"x.*z", b"x1z2z3\n", ("x1z", 3)),
        ("^ok$", b"not ok\r\nok\r\n", ("ok", 10)),
        ("\u00e4+b", "\u00e4\u00e4b".encode(), ("\u00e4\u00e4b", 5)),
        ("b", b"\xffb", ("b", 2)),
        ("c", b"ab", None),
    ],
)
def test_match_is_the_first_that_the_characters_give(
    pattern: str, data: bytes, wanted: tuple[str, int] | None
) -> None:  # fmt: skip
    assert found(Expected.regex(pattern), data) == wanted


def test_match_does_not_depend_on_how_output_is_cut() -> None:
    pick = random.Random(20181001)
    patterns = [r"\d+", "ab?c*", r"b+$", r"(?<=a)b", r"\bcab", "a[^b]*b", "cc", r"^\w+", r"(a|ab)(c|bcd)*"]
    for _ in range(300):
        data = bytes(pick.choice(b"abc 12\n") for _ in range(pick.randrange(40)))
        expected = Expected.regex(pick.choice(patterns))
        assert found(expected, data, pick) == found(expected, data), (expected.shown, data)


@pytest.mark.parametrize(
    ("pattern", "stays"),
    [
        (r"\w+ login: ", True), (r"^(\w+)=(\d+)$", True), (r"(a|b)+.*c", True), (r"[a-z 0-9]{2,}", True),
        (r"a\s+b", False), (r"[^a]+", False), (r"\D+", False), ("(?s).+", False), ("a+\nb", False), (r"[\0-x]+", False),
    ],
)  # fmt: skip
def test_pattern_that_has_no_end_of_a_line_in_it_is_looked_for_in_a_line(pattern: str, stays: bool) -> None:
    expected = Expected.regex(pattern)
    assert expected.in_a_line is stays
    pick = random.Random(20181001)
    for _ in range(50):
        data = bytes(pick.choice(b"abc =1\n") for _ in range(pick.randrange(60)))
        whole = replace(expected, in_a_line=False, window=WINDOW)
        assert found(expected, data) == found(whole, data), data


def test_text_is_looked_for_as_it_is() -> None:
    assert found(Expected.text("a.c (x)"), b"abc (x) a.c (x)") == ("a.c (x)", 15)


def test_match_is_found_behind_much_output() -> None:
    data = b"no line like it\r\n" * 5_000 + b"temperature 21 C\r\n"
    match = found(Expected.regex(r"^temperature \d+ C"), data)
    assert match is not None and match[0] == "temperature 21 C"


def test_match_that_goes_on_for_ever_is_taken_at_the_end_of_the_window() -> None:
    match = found(Expected.regex("(?s)a.*"), b"a" + b"x" * 3 * WINDOW)
    assert match is not None and len(match[0]) == WINDOW


@pytest.mark.parametrize("text", ["/=> $/", "=> ", "/", "a/b/", "/bin/sh"])
def test_what_is_between_slashes_is_a_regular_expression(text: str) -> None:
    is_regex = text == "/=> $/"
    assert (parse_expected(text, "--until").shown == text) is is_regex


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "--until: expected a text or a regular expression to wait for, got nothing"),
        ("/x(/", "--until: /x(/: not a regular expression: missing ), unterminated subpattern at position 1"),
        ("/x*/", "--until: /x*/: it matches where nothing was said"),
        ("/a.b", r"--until: /a.b: its last / is missing: give /a.b/, or for just this text /\/a\.b/"),
    ],
)
def test_error_says_what_is_wrong_with_it(text: str, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_expected(text, "--until")
    assert str(caught.value) == error


def test_expression_for_bytes_is_refused() -> None:
    with pytest.raises(ConfigError, match="got one for bytes"):
        Expected.regex(re.compile(b"x"))  # type: ignore[arg-type]


def test_text_with_one_slash_is_found_as_the_error_says() -> None:
    assert found(parse_expected(r"/\/a\.b/", "--until"), b"x /a.b") == ("/a.b", 6)
