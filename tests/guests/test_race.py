"""The image ``race`` has three bugs that never show in a round robin; chaos finds each with few seeds, for good."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from support.recordings import assert_replays, record

from benchmarks.programs import patched
from minstret.devices.board.board import Board, Setup
from minstret.devices.board.config import BoardConfig
from minstret.emu.images.loader import read_image
from minstret.emu.machine import StopReason
from minstret.emu.schedule import DEFAULT_QUANTUM

XLENS = (64, 32)
KINDS = {"lost update": 0, "ABA": 1, "missed wake-up": 2}
INSNS_MAX = 5_000_000
SEEDS_MAX = 60

each_xlen = pytest.mark.parametrize("xlen", XLENS)
each_kind = pytest.mark.parametrize("name", KINDS)


def setup_of(name: str, xlen: int, folder: Path, **config: int) -> Setup:
    image = read_image(patched("race", xlen, folder, {"race_kind": KINDS[name]}))
    return Setup(BoardConfig(ram_size=1 << 20, **config), image)  # type: ignore[arg-type]


def run(setup: Setup) -> tuple[int | None, Board]:
    """The exit code, and the board."""
    board = setup.make()
    outcome = board.run_until(icount=INSNS_MAX)
    assert outcome.reason is StopReason.FINISHED
    return outcome.exit_code, board


def first_seed_that_fails(setup: Setup) -> int:
    for seed in range(SEEDS_MAX):
        if run(replace(setup, config=replace(setup.config, chaos_seed=seed)))[0]:
            return seed
    pytest.fail(f"{SEEDS_MAX} seeds did not find it")


@each_xlen
@each_kind
@pytest.mark.parametrize("harts", [1, 2, 3, 4, 8])
def test_bug_does_not_show_in_a_round_robin(name: str, harts: int, xlen: int, tmp_path: Path) -> None:
    code, board = run(setup_of(name, xlen, tmp_path, smp=harts))

    assert code == 0
    assert board.console.decode() == (
        f"race: rv{xlen}, harts: {harts}, {name}\nrace: 40 shifts of each hart, all right\n"
    )


@pytest.mark.slow
@each_xlen
@each_kind
def test_bug_does_not_show_in_25_round_robins(name: str, xlen: int, tmp_path: Path) -> None:
    pick = random.Random(20181001)
    setup = setup_of(name, xlen, tmp_path)
    for seed in range(25):
        quantum = pick.choice((DEFAULT_QUANTUM, pick.randint(DEFAULT_QUANTUM * 3 // 4, DEFAULT_QUANTUM * 6 // 5)))
        config = replace(setup.config, smp=pick.choice((2, 3, 4)), quantum=quantum, seed=seed)
        code, board = run(replace(setup, config=config))
        assert code == 0, (quantum, board.console)


@each_xlen
@each_kind
@pytest.mark.parametrize("harts", [2, 4])
def test_chaos_finds_the_bug_and_its_recording_replays(name: str, harts: int, xlen: int, tmp_path: Path) -> None:
    setup = setup_of(name, xlen, tmp_path, smp=harts)
    seed = first_seed_that_fails(setup)

    recorded = record(tmp_path, replace(setup, config=replace(setup.config, chaos_seed=seed)))

    assert recorded.end.outcome.exit_code == KINDS[name] + 1
    assert f"race: {name}: ".encode() in recorded.console
    assert_replays(recorded)
