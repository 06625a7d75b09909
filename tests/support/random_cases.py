"""Cases that hypothesis draws for one subject: how many, from which seed, and what to say of a failing one."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")

TIMES = int(os.environ.get("MINSTRET_TIMES", "1"))
"""Slow tests try so many times as many random cases."""
SEED_FAST = 20181001
SEED_SLOW = int(os.environ.get("MINSTRET_SEED", random.SystemRandom().randrange(1 << 32)))
"""Another one each time, unless MINSTRET_SEED says which."""


def run_cases(
    cases: SearchStrategy[T], check: Callable[[T], None], subject: str, number: int, base: int,
    announce: Callable[[str], None],
) -> None:  # fmt: skip
    """Say what is needed to repeat it, and check this many cases with ``subject``, from the seed ``base``."""
    what = f"{number} sessions with {subject}, seed {base}"
    announce(what)

    @seed(base)
    @settings(
        max_examples=number, deadline=None, database=None, print_blob=True,
        phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(cases)
    def every_case_holds(case: T) -> None:
        check(case)

    try:
        every_case_holds()
    except BaseException as error:
        error.add_note(f"one of {what}")
        raise
