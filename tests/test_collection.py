"""Tests have the same names in every process: several of them share the work, and a name must lead to a test again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import PATIENCE_S

TOP = Path(__file__).parent.parent

COLLECTS = """
import sys, time
later_s, then = float(sys.argv[1]), time.time
time.time = lambda: then() + later_s
time.time_ns = lambda: int(time.time() * 1e9)
import pytest
sys.exit(pytest.main(["--collect-only", "--slow", "-q", "-p", "no:cacheprovider", "tests"]))
"""


def names_of_tests(hash_seed: int, later_s: float) -> list[str]:
    """The names of all tests in a process with this hash seed and a clock that is ahead."""
    done = subprocess.run(
        [sys.executable, "-c", COLLECTS, str(later_s)], cwd=TOP, capture_output=True, text=True, timeout=PATIENCE_S,
        env=os.environ | {"PYTHONHASHSEED": str(hash_seed)}, check=True,
    )  # fmt: skip
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_names_depend_on_no_hash_seed_and_no_time_of_day(request: pytest.FixtureRequest) -> None:
    """Those in this process, be they all or a few, are those of another one."""
    names = names_of_tests(2, 100_000.0)
    here = {item.nodeid for item in request.session.items}

    assert len(names) > 1000
    assert len(set(names)) == len(names)
    assert here <= set(names)
