"""Suggestions for mistyped names of files."""

from __future__ import annotations

import os
from collections.abc import Iterable

from minstret.emu.text import nearest


def file_or(name: str, known: Iterable[str], ending: str | None = None) -> str:
    """The same for a name that may also be a file: the files of its folder are suggested too.

    Args:
        name: What was typed.
        known: Names other than files.
        ending: Of files that differ only in their suffix, the one with this suffix is suggested; by default that of
            ``name``.
    """
    folder, base = os.path.split(name)
    stem, own_ending = os.path.splitext(base)
    wanted = own_ending if ending is None else ending
    names_by_stem: dict[str, str] = {}
    names = [*(() if folder else known), *sorted(_files_in(folder or "."))]
    for name in sorted(names, key=lambda name: os.path.splitext(name)[1] != wanted):
        names_by_stem.setdefault(os.path.splitext(name)[0], name)  # compared without suffixes, which are all similar
    names = [names_by_stem[found] for found in nearest(stem, names_by_stem)]
    return f"; did you mean {' or '.join(os.path.join(folder, name) for name in names)}?" if names else ""


def _files_in(folder: str) -> list[str]:
    """The names of a folder's files; none if it can't be read."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_file()]
    except (OSError, ValueError):
        return []
