"""What a test needs from the machine, and what becomes of it where that is missing."""

from __future__ import annotations

import pytest

from minstret.emu.hart import helpers


class Need:
    """Skips a test that lacks something, unless nothing may be missing."""

    def __init__(self, required: bool) -> None:
        self._required = required

    def __call__(self, what: str, found: object) -> None:
        if found:
            return
        if self._required:
            pytest.fail(f"{what} is missing, and --require-guests was given")
        pytest.skip(f"{what} is missing")

    def helpers(self) -> None:
        """The library of functions that stand in Unicorn's place: see emu/hart/binding.py."""
        problem = helpers.problem(64)
        self(f"our functions in Unicorn's place ({problem})", not problem)
