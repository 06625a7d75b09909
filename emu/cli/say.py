"""Lines on standard error. That nobody can read them is no reason to fail."""

from __future__ import annotations

import sys

import click


def say(text: str, *, nl: bool = True) -> None:
    """Write ``text`` there, if it can be written: the exit status tells how it went all the same."""
    try:
        click.echo(text, err=True, nl=nl)
    except (OSError, ValueError):
        sys.stderr = None  # or Python fails at exit, with a status of its own
