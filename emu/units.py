"""Units: time is ``int`` nanoseconds, counts are ``int``; no floats anywhere in the machine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from minstret.emu.errors import ConfigError

if TYPE_CHECKING:
    from fractions import Fraction

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

_FLAGS = re.IGNORECASE | re.ASCII
_SIZE_UNITS = {"": MIB, "K": KIB, "M": MIB, "G": GIB}
_COUNT_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


def parse_size_bytes(text: str, what: str) -> int:
    """A memory size such as ``128M``, ``1G`` or ``64`` (MiB, as in QEMU), in bytes."""
    match = re.fullmatch(r"(\d{1,18})([KMG]?)(?:i?B)?", text.strip(), _FLAGS)
    if match is None:
        raise ConfigError(f"{what}: expected a size such as 128M or 1G, got {text!r}")
    return int(match[1]) * _SIZE_UNITS[match[2].upper()]


def parse_count(text: str, what: str) -> int:
    """A count such as ``1000000``, ``0x100``, ``5M`` or ``1_000``."""
    match = re.fullmatch(r"(0x[0-9a-f_]{1,18}|[\d_]{1,24})([KMG]?)", text.strip(), _FLAGS)
    if match is None:
        raise ConfigError(f"{what}: expected a count such as 1000000 or 5M, got {text!r}")
    try:
        number: int = int(match[1], 0 if match[1].lower().startswith("0x") else 10)
        return number * _COUNT_UNITS[match[2].upper()]
    except ValueError:
        raise ConfigError(f"{what}: expected a count such as 1000000 or 5M, got {text!r}") from None


_TIME_UNITS = {"ns": 1, "us": NS_PER_US, "ms": NS_PER_MS, "s": NS_PER_S}


def parse_time_ns(text: str, what: str) -> int:
    """A time such as ``50us``, ``1.5s`` or ``0``, in ns. Fractions of a nanosecond are refused."""
    match = re.fullmatch(r"(\d{1,12})(?:\.(\d{1,9}))?(ns|us|ms|s)", text.strip(), _FLAGS)
    if text.strip() == "0":
        return 0
    if match is None:
        raise ConfigError(f"{what}: expected a time such as 50us or 1.5s, got {text!r}")
    unit_ns, fraction = _TIME_UNITS[match[3].lower()], match[2] or ""
    fraction_ns, rest = divmod(int(fraction or 0) * unit_ns, int("1" + "0" * len(fraction)))
    if rest:
        raise ConfigError(f"{what}: {text!r} is finer than a nanosecond")
    return int(match[1]) * unit_ns + fraction_ns


def parse_percent(text: str, what: str) -> Fraction | None:
    """A percentage such as ``12.5%`` as a part of 1; None where it is none.

    Raises:
        ConfigError: it is more than 100%.
    """
    from fractions import Fraction  # imported here: few runs have a percentage

    match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,18})?|\.\d{1,18})\s*%", text, re.ASCII)
    part = None if match is None else Fraction(match[1]) / 100
    if part is not None and part > 1:
        raise ConfigError(f"{what}: the end is at 100%, got {text!r}")
    return part
