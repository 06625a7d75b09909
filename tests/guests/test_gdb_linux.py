"""gdb on a recording of Debian's Linux: to any part of it, steps back there, back to an address of the kernel."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.gdb import Answers, debug, icount_in, need_gdb
from support.linux_guest import WHAT, is_here, linux_setup
from support.needs import Need
from support.recordings import record

pytestmark = pytest.mark.slow

PARTS = (25, 50, 75)
FLUSH = "maintenance flush register-cache"
"""gdb does not notice by itself that monitor has moved it."""


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A boot to a script that powers off at once: more than a billion instructions."""
    path = tmp_path_factory.mktemp("linux") / "linux.mst"
    record(path, linux_setup("minstret.script=poweroff"), every=200_000_000)
    return path


@pytest.fixture(autouse=True)
def is_all_here(need: Need) -> None:
    need_gdb(need)
    need(WHAT, is_here())


def debug_from_start(trace: Path, *commands: str) -> Answers:
    return debug(trace, *commands, options=("-q", "--at", "start"))


def test_step_back_and_forward_again_at_each_quarter_is_exact(trace: Path) -> None:
    look = (FLUSH, "info registers", "print $priv", "monitor when")
    commands = [
        command for part in PARTS
        for command in (f"monitor seek {part}%", *look, "reverse-stepi", *look, "stepi", *look)
    ]  # fmt: skip
    said = debug_from_start(trace, *commands, "monitor seek end", "monitor when").texts

    end, size = icount_in(said[-1]), 3 * (1 + len(look))
    for number, part in enumerate(PARTS):
        there, back, again = (said[at + 2 : at + 1 + len(look)] for at in range(number * size, (number + 1) * size, 5))
        assert abs(icount_in(there[2]) - end * part // 100) <= 1
        assert icount_in(back[2]) == icount_in(there[2]) - 1
        assert back[0] != there[0]
        assert (again[0], again[2]) == (there[0], there[2])


def test_reverse_continue_comes_to_the_last_time_at_an_address_of_the_kernel(trace: Path) -> None:
    at, _, where, *_, hit, pc, when, before, earlier = debug_from_start(
        trace, "monitor seek 75%", FLUSH, "print/x $pc", "set $there = $pc", "monitor seek 80%", FLUSH, "break *$there",
        "reverse-continue", "print/x $pc", "monitor when", "reverse-continue", "monitor when",
    )  # fmt: skip

    address = re.search(r"= (0xffff\w+)", where)
    assert address, f"{at}: {where} is no address of the kernel"
    assert "Breakpoint 1" in hit
    assert pc.endswith(address[1])
    assert "S-mode" in when
    assert icount_in(earlier) < icount_in(when)
    assert icount_in(at) <= icount_in(when)
    assert "Breakpoint 1" in before


def test_word_of_the_kernel_s_stack_is_watched_going_back(trace: Path) -> None:
    said = debug_from_start(
        trace, "monitor seek 75%", FLUSH, "watch -l *(unsigned long *) $sp", "reverse-continue", "monitor when",
        "x/i $pc", "delete", "stepi", "monitor when",
    )  # fmt: skip

    assert "Hardware watchpoint 1" in said[2]
    assert "Old value = " in said[3]
    assert re.search(r"\ts[bdhw]\s|\tc\.s|\tamo|\tsc\.", said[5])
    assert icount_in(said[8]) == icount_in(said[4]) + 1
