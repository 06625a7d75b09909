"""Text of strangers at a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minstret.emu.text import did_you_mean, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("main+0x12", "main+0x12"), ("größe 日本.elf", "größe 日本.elf"), (r"C:\x1b", r"C:\x1b"), ("", ""),
        ("\x1b[2Jx", r"\x1b[2Jx"), ("\x9b2J", r"\x9b2J"), ("a\nb\tc\r\x07\x7f", r"a\nb\tc\r\x07\x7f"),
        ("fdp.\u202eexe", r"fdp.\u202eexe"), ("\u2066x\u2069\u200f\u200b", r"\u2066x\u2069\u200f\u200b"),
        ("a\u2028b\xa0c", r"a\u2028b\xa0c"), ("\udcff.elf", r"\udcff.elf"), ("\U000e0041", r"\U000e0041"),
    ],
)  # fmt: skip
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters()))
def test_any_text_becomes_one_printable_line_of_its_own(text: str) -> None:
    shown = printable(text)

    assert shown.isprintable()
    assert shown.encode().decode() == shown
    assert printable(shown) == shown
    assert (shown == text) == text.isprintable()


def test_long_text_is_cut() -> None:
    assert printable("x" * 11, 10) == "x" * 10 + "..."
    assert printable("x" * 10, 10) == "x" * 10
    assert printable("\x1b" * 10**7, 3) == r"\x1b\x1b\x1b..."


@pytest.mark.parametrize(
    ("name", "said"), [("helo", "; did you mean hello?"), ("xyz", ""), ("tiks", "; did you mean ticks or tick?")]
)
def test_similar_names_are_named(name: str, said: str) -> None:
    assert did_you_mean(name, ("hello", "tick", "ticks")) == said
