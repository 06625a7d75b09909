"""Generated programs, recorded and replayed: whole, to an icount, from a snapshot, cut and counted in any way.

The seed is printed; MINSTRET_SEED repeats a run, MINSTRET_SESSIONS says how many sessions the slow test takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.generated_sessions import Sessions
from support.needs import Need
from support.random_cases import SEED_FAST, SEED_SLOW

from minstret.emu.hart.compiled import c_callbacks

FAST, SLOW = 25, int(os.environ.get("MINSTRET_SESSIONS", 75))


@pytest.fixture(autouse=True)
def _needs_c(need: Need) -> None:
    need("the C extension (a C compiler at install time)", c_callbacks)


def run(number: int, seed: int, folder: Path, announce: Callable[[str], None]) -> None:
    sessions = Sessions(folder)
    announce(f"{number} sessions with generated programs, seed {seed}")
    for session in range(number):
        sessions.run(f"{seed}/{session}")
    announce(str(sessions))


def test_sessions_with_generated_programs_replay_the_same(tmp_path: Path, announce: Callable[[str], None]) -> None:
    run(FAST, SEED_FAST, tmp_path, announce)


@pytest.mark.slow
def test_many_sessions_with_generated_programs_replay_the_same(tmp_path: Path, announce: Callable[[str], None]) -> None:
    run(SLOW, SEED_SLOW, tmp_path, announce)
