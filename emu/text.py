"""Text for messages: what is safe to show on a terminal, and names that a mistyped one may have meant.

Names of files, symbols and timers, and what a parser quotes, may contain anything: escape sequences that move the
cursor or change the title, marks that reverse the direction of writing, line ends. The guest's console output is not
changed.
"""

from __future__ import annotations

from collections.abc import Iterable


def printable(text: str, chars_max: int | None = None) -> str:
    r"""``text`` as one line without anything that a terminal would obey.

    Characters that are not printable by Unicode's rules (control characters, marks of direction and of formatting, line
    separators, single surrogates, unassigned characters) become ``\x1b``, ``\u202e`` and so on. Printable text,
    including backslashes, is returned unchanged.

    Args:
        text: Any text.
        chars_max: Characters of ``text`` to keep; a longer text is cut and then ends in ``...``. None for no limit.
    """
    is_cut = chars_max is not None and len(text) > chars_max
    shown = text[:chars_max] if is_cut else text
    if not shown.isprintable():
        shown = "".join(char if char.isprintable() else _escaped(char) for char in shown)
    return f"{shown}..." if is_cut else shown


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean hello?``, or an empty text if no known name is similar."""
    found = nearest(name, known)
    return f"; did you mean {' or '.join(found)}?" if found else ""


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Up to two similar names among the known ones, the most similar first."""
    from difflib import get_close_matches  # imported only after an error

    return get_close_matches(name, sorted(set(known)), n=2, cutoff=0.6)
