"""What random tests draw from: seeds, how many cases, and what to say of a failing one."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.internal.conjecture import providers
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")

TIMES = int(os.environ.get("MINSTRET_TIMES", "1"))
"""Slow tests try so many times as many random cases."""
SEED_FAST = 20181001
SEED_SLOW = int(os.environ.setdefault("MINSTRET_SEED", str(random.SystemRandom().randrange(1 << 32))))
"""Another one each time, unless MINSTRET_SEED says which; the processes of a run have the same."""


def let_hypothesis_draw_by_seed_alone() -> None:
    """Let no test fail because the machine is busy, and let no case depend on failures that are remembered.

    Nor on which modules are loaded: hypothesis likes to draw the constants in them, so that a test would be given other
    cases after other tests.
    """
    settings.register_profile(
        "minstret",
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
        derandomize=False,  # which hypothesis takes up where it believes to be in CI: the seed would count for nothing
    )
    settings.load_profile("minstret")
    if hasattr(providers, "_get_local_constants"):  # newer than 6.130
        none = providers.Constants()
        providers._get_local_constants = lambda: none


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
