"""How QEMU writes the values of its options, and how a value is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence

from minstret.emu.errors import ConfigError
from minstret.emu.text import printable

_SHOWN_MAX = 120


def settings(text: str, implied: str | None = None, flags: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Pairs of ``a=b,c=d``, as QEMU splits them: a doubled comma is one in a value.

    Args:
        text: Such as ``id=net0,restrict=on``.
        implied: The key of a first value that has none.
        flags: Keys that may stand alone, which is ``on``; with ``no`` before them, ``off``.
    """
    pairs = []
    for number, part in enumerate(_parts(text)):
        key, equals, value = part.partition("=")
        if equals:
            pairs.append((key, value))
        elif key in flags:
            pairs.append((key, "on"))
        elif key.startswith("no") and key[2:] in flags:
            pairs.append((key[2:], "off"))
        elif number == 0 and implied is not None:
            pairs.append((implied, part))
        else:
            pairs.append((key, ""))
    return pairs


def _parts(text: str) -> list[str]:
    parts = re.findall(r"(?:[^,]|,,)+", text)
    return [part.replace(",,", ",") for part in parts]


def shown(text: str) -> str:
    """What was typed, for a message of one line."""
    return printable(text, _SHOWN_MAX)


def refused(option: str, value: str, why: str) -> ConfigError:
    """The error that refuses ``value``: ``-m 1x: why``."""
    return ConfigError(f"{shown(f'{option} {value}'.rstrip())}: {why}")


def check_keys(option: str, value: str, pairs: Sequence[tuple[str, str]], known: Sequence[str]) -> dict[str, str]:
    """The pairs by key.

    Raises:
        ConfigError: there is another key than the ``known`` ones, or one twice.
    """
    found: dict[str, str] = {}
    for key, text in pairs:
        if key not in known:
            expected = ", ".join(f"{each}=" for each in known)
            raise refused(option, value, f"{shown(key)!r} is not known here; expected {expected}")
        if key in found:
            raise refused(option, value, f"{key}= is given twice")
        found[key] = text
    return found


def switch(option: str, value: str, key: str, text: str) -> bool:
    """Whether ``key=text`` switches it on.

    Raises:
        ConfigError: it is no switch.
    """
    if text not in ("on", "off", "yes", "no", "true", "false", "y", "n"):
        raise refused(option, value, f"{key}: expected on or off, got {shown(text)!r}")
    return text in ("on", "yes", "true", "y")
