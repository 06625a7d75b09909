"""What a mistyped name may have meant."""

from __future__ import annotations

import os
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean hello?``, or nothing where no known name is like it."""
    found = nearest(name, known)
    return f"; did you mean {' or '.join(found)}?" if found else ""


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Up to two of the known names that are like it, the nearest first."""
    from difflib import get_close_matches  # only where there is something to complain about

    return get_close_matches(name, sorted(set(known)), n=2, cutoff=0.6)


def file_or(name: str, known: Iterable[str], ending: str | None = None) -> str:
    """The same for what may be a file too, of the folder that ``name`` is in.

    Of names that are alike but for their endings, the one with ``ending`` is meant; by default that of ``name``.
    """
    folder, base = os.path.split(name)
    stem, own_ending = os.path.splitext(base)
    wanted = own_ending if ending is None else ending
    names_by_stem: dict[str, str] = {}
    names = [*(() if folder else known), *sorted(_files_in(folder or "."))]
    for name in sorted(names, key=lambda name: os.path.splitext(name)[1] != wanted):
        names_by_stem.setdefault(os.path.splitext(name)[0], name)  # endings are alike in themselves
    names = [names_by_stem[found] for found in nearest(stem, names_by_stem)]
    return f"; did you mean {' or '.join(os.path.join(folder, name) for name in names)}?" if names else ""


def _files_in(folder: str) -> list[str]:
    """Empty where it can't be read."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_file()]
    except (OSError, ValueError):
        return []
