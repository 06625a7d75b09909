"""Recordings killed at random moments leave the old file, or a trace that plays as far as it says.

MINSTRET_KILLS=1000 for so many, MINSTRET_SEED=7 for the same choices again; the moments themselves are the host's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support import trace_kills
from support.random_cases import SEED_SLOW

KILLS = int(os.environ.get("MINSTRET_KILLS", "0"))


@pytest.mark.parametrize("count", [8, pytest.param(40, marks=pytest.mark.slow)])
def test_killed_recording_leaves_what_can_be_played_or_nothing(
    count: int, tmp_path: Path, announce: Callable[[str], None]
) -> None:
    kills = KILLS or count
    announce(f"{kills} kills, seed {SEED_SLOW}")

    left = trace_kills.run_kills(kills, SEED_SLOW, tmp_path)

    for line in trace_kills.text_of(left):
        announce(line)
    assert sum(sum(counts.values()) for counts in left.values()) == kills
