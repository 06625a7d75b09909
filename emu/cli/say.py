"""Lines on standard error. A failure to write them is ignored."""

from __future__ import annotations

import sys

import click


def say(text: str, *, nl: bool = True) -> None:
    """Write ``text`` to standard error, if that is possible: the exit status must not depend on it."""
    try:
        click.echo(text, err=True, nl=nl)
    except (OSError, ValueError):
        sys.stderr = None  # otherwise Python flushes it at exit, fails and changes the exit status
