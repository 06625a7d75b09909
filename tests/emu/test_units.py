"""Sizes and counts as the user writes them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minstret.emu.errors import ConfigError
from minstret.emu.units import GIB, KIB, MIB, parse_count, parse_percent, parse_size_bytes


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("64", 64 * MIB), ("128M", 128 * MIB), ("128m", 128 * MIB), ("1G", GIB), ("512K", 512 * KIB),
        ("2GiB", 2 * GIB), ("2GB", 2 * GIB), ("3MiB", 3 * MIB), (" 1G ", GIB), ("0", 0),
    ],
)  # fmt: skip
def test_size_is_read_in_binary_units_with_mib_by_default(text: str, size_bytes: int) -> None:
    assert parse_size_bytes(text, "--memory") == size_bytes


@pytest.mark.parametrize("text", ["", "M", "1.5G", "-1G", "1T", "1 G", "0x10", "12Q", "1GG", "1e3", "G1"])
def test_odd_size_is_a_config_error_that_says_what_was_expected(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_size_bytes(text, "--memory")

    assert str(caught.value) == f"--memory: expected a size such as 128M or 1G, got {text!r}"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0), ("1000000", 10**6), ("1_000", 1000), ("5M", 5 * 10**6), ("5m", 5 * 10**6), ("2G", 2 * 10**9),
        ("3k", 3000), ("0x100", 256), ("0XfF", 255), ("0x1_0", 16), ("007", 7), (" 8 ", 8),
    ],
)  # fmt: skip
def test_count_is_read_in_decimal_units(text: str, count: int) -> None:
    assert parse_count(text, "--max-insns") == count


@pytest.mark.parametrize("text", ["", "M", "-5", "1.5", "1e6", "_", "1__0", "0x", "0x_", "five", "5MB", "0b11"])
def test_odd_count_is_a_config_error_that_says_what_was_expected(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_count(text, "--max-insns")

    assert str(caught.value) == f"--max-insns: expected a count such as 1000000 or 5M, got {text!r}"


numberish = st.text(max_size=12) | st.text("0123456789_xXkKmMgGiB .-+\u212a\u0131\u0661", max_size=8)


@pytest.mark.parametrize("parse", [parse_size_bytes, parse_count])
@given(text=numberish)
def test_any_text_is_a_number_or_a_config_error(parse: object, text: str) -> None:
    try:
        number = parse(text, "--option")  # type: ignore[operator]
    except ConfigError:
        return
    assert type(number) is int
    assert number >= 0


@pytest.mark.parametrize("parse", [parse_size_bytes, parse_count])
@pytest.mark.parametrize("text", ["1\u212a", "9" * 5000])  # the Kelvin sign; more digits than int() takes
def test_hostile_number_is_a_config_error(parse: object, text: str) -> None:
    with pytest.raises(ConfigError):
        parse(text, "--option")  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "part"),
    [("0%", 0), ("50%", Fraction(1, 2)), ("12.5 %", Fraction(1, 8)), (".1%", Fraction(1, 1000)), ("100%", 1),
     ("50", None), ("-1%", None), ("1e1%", None), ("%", None), ("\u0661%", None)],
)  # fmt: skip
def test_percentage_is_a_part_of_one_and_other_text_is_none(text: str, part: Fraction | None) -> None:
    assert parse_percent(text, "--at") == part


def test_more_than_all_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"^--at: the end is at 100%, got '100\.01%'$"):
        parse_percent("100.01%", "--at")
