"""No test can harm another: by signals that it ignores, by processes that it leaves, or by never ending."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import PATIENCE_S

from minstret.emu.cli import main

TESTS = Path(__file__).parent
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def outcome_of(path: Path, *options: str, first: Callable[[], None] | None = None) -> str:
    """What pytest says in the end of the tests in a file, run with the rules of this folder's."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", TESTS.parent / "pyproject.toml", "-p", "no:cacheprovider", "-q",
         *(["-p", "conftest"] if TESTS not in path.parents else []), *options, path],
        cwd=path.parent, preexec_fn=first,
        env=os.environ | {"PYTHONPATH": f"{TESTS}:{TESTS.parent / 'tools'}", "MINSTRET_SEED": "7", "COLUMNS": "200"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE_S,
        check=False,
    )  # fmt: skip
    return done.stdout


# ---- signals


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
    def ignore() -> None:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)

    assert "2 passed" in outcome_of(Path(__file__), "-k", "when_a_test_begins", first=ignore)


# ---- processes


def test_process_left_behind_is_killed_and_its_test_fails(tmp_path: Path) -> None:
    path = tmp_path / "test_it.py"
    path.write_text(
        "import subprocess\n"
        "def test_leaves_one(): print('its id is', subprocess.Popen(['sleep', '1000']).pid)\n"
        "def test_waits_for_it(): subprocess.Popen(['true']).wait()\n"
    )

    said = outcome_of(path)

    assert "left behind, and killed now: sleep 1000" in said
    assert "2 passed, 1 error" in said
    found = re.search(r"its id is (\d+)", said)
    assert found is not None
    assert b"sleep" not in command_line(found[1])


def command_line(pid: str) -> bytes:
    """Empty for a process that has ended, though nobody may have waited for it yet."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


# ---- what is drawn


def test_cases_depend_on_the_seed_alone_and_quick_ones_are_always_the_same(tmp_path: Path) -> None:
    """Not on the modules that are loaded, the constants in which hypothesis draws, and not on earlier failures."""
    path = tmp_path / "test_it.py"

    def drawn(before: str, *options: str) -> str:
        path.write_text(
            f"{before}\nfrom zlib import crc32\nfrom hypothesis import given, settings, strategies\n"
            "from support.random_cases import SEED_SLOW\n"
            "drawn = []\n"
            "@settings(max_examples=200)\n@given(strategies.integers(), strategies.text())\n"
            "def test_draws(number, text): drawn.append((number, text))\n"
            "def test_tells(): print('drawn', crc32(ascii(drawn).encode()), SEED_SLOW)\n"
        )
        (found,) = re.findall(r"drawn \d+ \d+", outcome_of(path, "-s", *options))
        return found

    (tmp_path / "other.py").write_text(f"NUMBERS = {[*range(10**9, 10**9 + 1000)]}\n")
    quick, slow = drawn(""), drawn("", "--slow")

    assert drawn("import sys\nsys.path.append('.')\nimport other") == quick
    assert slow != quick
    assert slow.endswith(" 7")


# ---- tests without an end


@pytest.mark.parametrize("processes", [1, 2])
def test_test_that_hangs_fails_by_its_name_and_the_others_go_on(processes: int, tmp_path: Path) -> None:
    """In Python, and in C where no signal is handled, as when Unicorn does not come back: there the process ends."""
    path = tmp_path / "test_it.py"
    path.write_text(
        "import itertools, pytest, time\n"
        "def test_hangs(): time.sleep(1000)\n"
        "@pytest.mark.parametrize('n', range(3))\n"
        "def test_goes_on(n): pass\n"
        "@pytest.mark.parametrize('n', range(2))\n"
        "def test_hangs_in_c(n): all(itertools.repeat(True))\n"
        "@pytest.mark.parametrize('n', range(3))\n"
        "def test_goes_on_too(n): pass\n"
    )

    options = (f"--numprocesses={processes}", "--dist=loadgroup", "-o", "timeout=1", "-o", "faulthandler_timeout=3")
    said = outcome_of(path, *options)

    assert re.search(r"FAILED \S+::test_hangs - Failed: Timeout", said), said
    for number in range(2):
        assert re.search(rf"FAILED \S+::test_hangs_in_c\[{number}\] - worker 'gw\d' crashed", said), said
    assert "3 failed, 6 passed" in said
