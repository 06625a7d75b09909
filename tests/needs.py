"""What a test needs from the machine, and what becomes of it where that is missing."""

from __future__ import annotations

import pytest


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
