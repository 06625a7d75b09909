"""Text that comes from files, made fit for a terminal.

Names of files, symbols, timers, and what a parser quotes may hold anything: escape sequences that move the cursor or
change the title, marks that turn the direction of writing around, line ends. The guest's own console is left alone.
"""

from __future__ import annotations


def printable(text: str, chars_max: int | None = None) -> str:
    r"""``text`` in one line that a terminal shows as it stands.

    What Unicode does not count as printable (control characters, marks of direction and of formatting, line
    separators, halves of surrogate pairs, characters without a meaning) becomes ``\x1b``, ``\u202e`` and so on. Text
    that is printable comes back as it is, a backslash too.

    Args:
        text: Anything.
        chars_max: Of ``text``; what goes beyond is cut off, and the result then ends in ``...``. None for no limit.
    """
    is_cut = chars_max is not None and len(text) > chars_max
    shown = text[:chars_max] if is_cut else text
    if not shown.isprintable():
        shown = "".join(char if char.isprintable() else _escaped(char) for char in shown)
    return f"{shown}..." if is_cut else shown


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
