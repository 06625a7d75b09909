"""Recorded guests, each made once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.exported import GUESTS
from support.recordings import Recorded


@pytest.fixture(scope="session")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Recorded]:
    """A recording of the guest of that name."""
    made: dict[str, Recorded] = {}

    def get(name: str) -> Recorded:
        if name not in made:
            made[name] = GUESTS[name](tmp_path_factory.mktemp(name))
        return made[name]

    return get


@pytest.fixture(params=GUESTS)
def recorded(request: pytest.FixtureRequest, guest: Callable[[str], Recorded]) -> Recorded:
    return guest(request.param)
