"""gdb walks at random in recordings: it is never confused, and a place has the same registers each time."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from support.gdb import debug, need_gdb
from support.needs import Need
from support.random_cases import SEED_FAST, SEED_SLOW, TIMES
from support.recordings import record, setup_of_image

MOVES = 60
INSNS_MAX = 2_000_000
CONFUSED = re.compile(r"Malformed|internal-error|Remote failure|Remote connection|Bogus|Ignoring packet|Reply contains")
"""What gdb says where the protocol is not as it expects."""


class Guest(NamedTuple):
    """An image, where its breakpoints may be, and what may be watched."""

    image: str
    functions: tuple[str, ...]
    watched: str
    harts: int = 1
    config: tuple[tuple[str, int], ...] = ()


GUESTS = (
    Guest("smash", ("set_title", "measure", "print", "survey_tank"), "surveys_done", harts=2),
    Guest("smp", ("on_trap", "check", "meet", "ticket_lock"), "*(int *) &checks_done", 3, (("quantum", 4000),)),
    Guest("race", ("compute", "rest", "print"), "*(int *) &balance", 4, (("chaos_seed", 3),)),
    Guest("rtos", ("kernel_trap", "choose", "mutex_lock", "run_fast"), "*(int *) &wakeups_seen"),
    Guest("paging", ("load_byte", "check_value", "home_handler"), "*(int *) &trial_state"),
    Guest("ticks", ("on_trap", "print"), "*(int *) &ticks_seen"),
    Guest("traps", ("print", "main"), "*(long *) $sp"),
)


@pytest.fixture(autouse=True)
def is_here(need: Need) -> None:
    need_gdb(need)


def random_move(pick: random.Random, guest: Guest) -> str:
    backward = pick.choice(("", "reverse-"))
    kinds: list[Callable[[], str]] = [
        lambda: f"{pick.choice(('break', 'tbreak'))} *{pick.choice(guest.functions)}",
        lambda: f"{pick.choice(('watch', 'rwatch', 'awatch'))} -l {guest.watched}",
        lambda: "delete",
        lambda: f"{backward}continue",
        lambda: f"{backward}stepi {pick.choice((1, 2, 7, 100))}",
        lambda: backward + pick.choice(("step", "next", "finish")),
        lambda: f"starti {pick.choice(('start', 'end', f'{pick.randint(0, 99)}.{pick.randint(0, 9)}%'))}",
        lambda: f"thread {pick.randint(1, guest.harts)}",
        lambda: "set $t3 = $t3 + 1",
    ]
    return pick.choices(kinds, weights=(5, 2, 3, 9, 9, 5, 3, 2, 1))[0]()


def walk(guest: Guest, xlen: int, seed: int, folder: Path) -> None:
    pick, path = random.Random(seed), folder / f"{guest.image}-{seed}.mst"
    setup = setup_of_image(guest.image, xlen, smp=guest.harts, **dict(guest.config))
    record(path, setup, icount=INSNS_MAX)
    moves = [random_move(pick, guest) for _ in range(MOVES)]
    look = ("monitor when", "thread apply all -s info registers")

    said = debug(path, *(word for move in moves for word in (move, *look)), options=("-q", "--at", "start"))

    assert not CONFUSED.search("\n".join(said)), [said, moves]
    assert len(said.texts) == MOVES * (1 + len(look)), said.farewell
    known: dict[str, tuple[str, int]] = {}
    for number, move in enumerate(moves):
        _, when, registers = said.texts[3 * number : 3 * number + 3]
        if "diverted" in when:
            continue
        blocks = sorted(block.strip() for block in re.split(r"^Thread .*$", registers, flags=re.MULTILINE))
        pcs = re.findall(r"^pc .*$", registers, re.MULTILINE)
        place = "\n".join([when.splitlines()[0], *sorted(pcs)])
        before, earlier = known.setdefault(place, ("\n".join(blocks), number))
        assert "\n".join(blocks) == before, f"{place}: after move {number}, {move}, not as after {earlier}: {moves}"


@pytest.mark.parametrize("guest", GUESTS[:2], ids=lambda guest: guest.image)
def test_walk_finds_each_place_as_it_was(guest: Guest, tmp_path: Path) -> None:
    walk(guest, 64, SEED_FAST, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("guest", GUESTS, ids=lambda guest: guest.image)
def test_more_walks_find_each_place_as_it_was(
    guest: Guest, xlen: int, tmp_path: Path, announce: Callable[[str], None]
) -> None:
    for seed in range(SEED_SLOW, SEED_SLOW + TIMES):
        announce(f"gdb in {guest.image}, rv{xlen}, seed {seed}")
        walk(guest, xlen, seed, tmp_path)
