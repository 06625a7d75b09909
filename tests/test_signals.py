"""Tests can end the processes that they start: no test begins with a signal that is ignored."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import PATIENCE_S

from minstret.emu.cli import main

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@pytest.fixture(scope="module")
def seen_by_a_fixture() -> list[object]:
    return [signal.getsignal(number) for number in ENDING]


@pytest.mark.parametrize("turn", [1, 2])
def test_no_signal_is_ignored_when_a_test_begins(turn: int, seen_by_a_fixture: list[object]) -> None:
    """The second shows that what the first leaves behind is gone: the command ignores Ctrl-C as its last act."""
    usual = [signal.default_int_handler, *[signal.SIG_DFL] * 3]
    assert seen_by_a_fixture == usual
    assert [signal.getsignal(number) for number in ENDING] == usual

    with pytest.raises(SystemExit):
        main(["--version"])

    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_no_signal_is_ignored_by_tests_run_in_the_background() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "when_a_test_begins"]

    def ignore() -> None:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)

    done = subprocess.run(
        command, cwd=Path(__file__).parent.parent, preexec_fn=ignore, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
