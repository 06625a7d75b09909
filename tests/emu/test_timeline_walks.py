"""Random walks on timelines: wherever a move ends, that is where it must, and the guest is as in a straight replay.

The number of walks and the seed are printed; MINSTRET_SEED repeats a run of the slow suite, and with MINSTRET_TIMES=10
it has ten times as many.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import asm
from support.generated_code import generate
from support.generated_sessions import Host
from support.guest_boards import setup_of
from support.random_cases import SEED_FAST, SEED_SLOW, TIMES
from support.recordings import (
    TIMEOUT,
    Recorded,
    reader_code,
    record,
    resetter_code,
    setup_of_code,
    setup_of_image,
    typed,
)
from support.semihosting_program import MoodyFolder, all_kinds
from support.smp_guests import setup_beside, setup_of_busy, setup_of_generated
from support.straight_runs import StraightRuns
from support.virtio_storms import finishing
from support.walks import SHORT_INSNS, Move, draw_moves, shortened, walk_and_compare

from minstret.devices.board.board import Board, Setup
from minstret.devices.board.config import HostAnswers
from minstret.devices.board.traced import Replay
from minstret.emu import past, walk
from minstret.emu.hart.shared import Counting
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.past import TraceTimeline
from minstret.emu.trace.reader import TraceReader

CASES_FAST, CASES_SLOW = 2, 3 * TIMES
"""Walks in each guest."""
RECORDINGS = 4
"""Recordings of each guest; several walks are in one."""


@dataclass(frozen=True)
class Subject:
    """A guest, by the number of the recording, and about how many instructions there are in a recording."""

    make: Callable[[int], Setup]
    insns: int


def program(number: int, xlen: int) -> Setup:
    made = generate(f"walk/{number}", xlen)
    return setup_of_code(made.image(), xlen=xlen, icount_shift=made.icount_shift, sleep=number % 2 == 1)


SUBJECTS: dict[str, Subject] = {
    "ticks": Subject(lambda number: setup_of("ticks", 32 + 32 * (number % 2)), 30_000),
    "traps": Subject(lambda number: setup_of("traps", 32 + 32 * (number % 2)), 120_000),
    "rtos": Subject(lambda number: setup_of("rtos", 32 + 32 * (number % 2)), 60_000),
    "clocks": Subject(lambda _: setup_of("clocks"), 60_000),
    "dhcp": Subject(lambda _: setup_of("dhcp"), 150_000),
    "dhcp-wfi": Subject(lambda _: setup_of("dhcp-wfi"), 130_000),
    "echo": Subject(lambda number: setup_of("echo", 32 + 32 * (number % 2)), 12_000),
    "rtc": Subject(lambda _: setup_of("rtc", rtc_follows_host=True), 14_000),
    "paging": Subject(lambda number: setup_of("paging", 32 + 32 * (number % 2)), 100_000),
    "program64": Subject(lambda number: program(number, 64), 2_500),
    "program32": Subject(lambda number: program(number, 32), 2_500),
    "reader": Subject(lambda _: setup_of_code(reader_code()), 1_000),
    "resetter": Subject(lambda _: setup_of_code(resetter_code()), 4_000),
    "files": Subject(lambda _: all_kinds().setup(), 2_500),
    "storm": Subject(lambda _: finishing(150, 20, 54), 60_000),
    "trap loop": Subject(lambda _: setup_of_code(asm.code(asm.NOP, asm.NOP, 0xFFFF_FFFF)), 100),
    "smp": Subject(lambda number: setup_of_image("smp", smp=2 + number % 3, quantum=1 + number * 37), 5_000),
    "race": Subject(lambda number: setup_of_image("race", smp=2 + number % 3, chaos_seed=number), 5_000),
    "busy": Subject(lambda number: setup_of_busy(32 + 32 * (number % 2), 2 + number % 3, quantum=1 << number), 4_000),
    "pulses": Subject(lambda number: setup_of_busy(64, 2, is_pulsed=True, quantum=20 + number), 3_000),
    "harts64": Subject(lambda number: setup_of_generated(number, 64, 2 + number % 3, quantum=1 + number * 7), 2_500),
    "harts32": Subject(lambda number: setup_of_generated(number, 32, 2 + number % 3, chaos_seed=number), 2_500),
    "beside": Subject(lambda number: setup_beside("dhcp-wfi", quantum=50 + number), 4_000),
}  # fmt: skip


VIRTUAL_NS_MAX = 300_000_000
"""A recording ends here: a guest may sleep for centuries."""


class _KilledError(Exception):
    """Ends a recording as if it was killed."""


@dataclass(frozen=True)
class Recipe:
    """How a recording is made: see ``make_runs``."""

    subject: str
    number: int
    is_ring: bool
    end: str


def make_runs(recipe: Recipe, folder: Path) -> StraightRuns:
    """Record it. What the host does comes from the recipe alone."""
    subject, pick = SUBJECTS[recipe.subject], random.Random(repr(recipe))
    setup = subject.make(recipe.number)
    host = Host(pick)
    limit = max(50, subject.insns * pick.randint(50, 100) // 100)
    steps = sorted(pick.randrange(limit) for _ in range(pick.randrange(4)))

    def drive(board: Board) -> Outcome | None:
        for icount in steps:
            outcome = board.run_until(icount=icount, virtual_ns=VIRTUAL_NS_MAX)
            if outcome.reason is not StopReason.REACHED:
                return outcome
            host.give(typed(bytes([pick.randrange(1, 256)])))
        outcome = board.run_until(icount=limit, virtual_ns=VIRTUAL_NS_MAX)
        if outcome.reason is not StopReason.REACHED:
            return outcome
        if recipe.end == "timeout":
            host.give(TIMEOUT)
            return board.run_until(icount=limit + 1000, virtual_ns=VIRTUAL_NS_MAX)
        if recipe.end == "killed":
            raise _KilledError
        return outcome

    path = folder / f"{len(list(folder.iterdir()))}.mst"
    every = limit // pick.choice((3, 7, 30)) if recipe.is_ring or pick.random() < 0.3 else 0
    answers = HostAnswers(wall_ns=host.wall_ns, entropy=host.entropy, files=MoodyFolder(pick))
    recorded = None
    with suppress(_KilledError):
        recorded = record(
            path, setup, source=host, host=answers, every=every, ring=2 if recipe.is_ring and every else 0, drive=drive
        )
    if recorded is None:
        recorded = Recorded(str(path), None, b"")  # type: ignore[arg-type]
    return StraightRuns(recorded, repr(recipe), [type(device) for device in setup.devices])


RunsOf = Callable[[Recipe], StraightRuns]


@pytest.fixture(scope="module")
def runs_of(tmp_path_factory: pytest.TempPathFactory) -> RunsOf:
    folder = tmp_path_factory.mktemp("walks")
    made: dict[Recipe, StraightRuns] = {}

    def get(recipe: Recipe) -> StraightRuns:
        if recipe not in made:
            made[recipe] = make_runs(recipe, folder)
        return made[recipe]

    return get


@pytest.fixture(autouse=True)
def small_strides(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that moments are kept, and found again, in runs as short as these."""
    monkeypatch.setattr(walk, "STRIDE_INSNS", 700)
    monkeypatch.setattr(walk, "POLL_INSNS", 333)
    monkeypatch.setattr(past, "_JUMP_INSNS", 100)
    monkeypatch.setattr(past, "_LADDER_INSNS", (256, 64, 16, 4))


SLICES = (None, None, 1, 97)


def check(recipe: Recipe, seed: str, moves: list[Move], runs_of: RunsOf) -> Counter[str]:
    """Walk so in that recording."""
    runs, pick = runs_of(recipe), random.Random(seed)
    is_short = runs.insns <= SHORT_INSNS
    with closing(TraceReader(runs.path)) as reader:
        replay = Replay(
            reader, slice_insns_max=pick.choice(SLICES) if is_short else None, devices=runs.devices,
            counting=pick.choice((Counting.CODE, Counting.CODE, Counting.BLOCKS) + (Counting.INSTRUCTIONS,)),
        )  # fmt: skip
        return walk_and_compare(runs, TraceTimeline(replay, history=pick.choice((1 << 18, 1 << 20, 1 << 26))), moves)


def draw_recipe(subject: str, pick: random.Random) -> Recipe:
    return Recipe(subject, pick.randrange(RECORDINGS), pick.random() < 0.3, pick.choice(("limit", "killed", "timeout")))


def run_walks(subject: str, number: int, seed: int, runs_of: RunsOf, announce: Callable[[str], None]) -> None:
    announce(f"{number} walks in {subject}, seed {seed}")
    ends: Counter[str] = Counter()
    for case in range(number):
        ends += run_walk(f"{seed}/{subject}/{case}", subject, runs_of)
    announce(f"{subject}: {', '.join(f'{count} {end}' for end, count in sorted(ends.items()))}")


def run_walk(seed: str, subject: str, runs_of: RunsOf) -> Counter[str]:
    pick = random.Random(seed)
    recipe, moves = draw_recipe(subject, pick), draw_moves(pick, pick.randint(5, 40))
    try:
        return check(recipe, seed, moves, runs_of)
    except Exception as error:
        kind = type(error)
        few = shortened(moves, lambda fewer: isinstance(failure(recipe, seed, fewer, runs_of), kind))
        error.add_note(f"walk {seed} in {recipe}; these moves are enough: {few}")
        raise


def failure(recipe: Recipe, seed: str, moves: list[Move], runs_of: RunsOf) -> Exception | None:
    """What is wrong with this walk."""
    try:
        check(recipe, seed, moves, runs_of)
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("subject", SUBJECTS)
def test_walk_ends_where_a_straight_replay_comes_to(
    subject: str, runs_of: RunsOf, announce: Callable[[str], None]
) -> None:  # fmt: skip
    run_walks(subject, CASES_FAST, SEED_FAST, runs_of, announce)


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS)
def test_many_walks_end_where_a_straight_replay_comes_to(
    subject: str, runs_of: RunsOf, announce: Callable[[str], None]
) -> None:  # fmt: skip
    run_walks(subject, CASES_SLOW, SEED_SLOW, runs_of, announce)
