"""What no change may break, with several harts: a run that is cut, stopped, put back or replayed anywhere is the same.

The number of cases and the seed are printed; MINSTRET_SEED repeats a run of the slow suite, MINSTRET_TIMES=10 takes ten
times as many cases.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from support.generated_sessions import Host
from support.guest_boards import restored
from support.host_load import busy_machine
from support.random_cases import SEED_FAST, SEED_SLOW, TIMES, run_cases
from support.recordings import RAM, Recorded, cut, record, setup_of_image, typed
from support.smp_guests import BESIDE_AT, MEETING_PLACES, setup_beside, setup_of_busy, setup_of_generated

from minstret.devices.board.board import Board, Setup
from minstret.devices.board.config import HostAnswers
from minstret.devices.board.traced import Replay
from minstret.emu.hart.shared import WORK_MAX, Counting
from minstret.emu.hart.watches import WatchKind
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.session import LiveSession, Session

SLICES = (1, 2, 7, 100, 10_000, None)
QUANTA = (1, 2, 7, 100, 10_000)
STOPS_MAX = 40
"""After so many stops at breakpoints and watches all are removed: some are met each round."""
STOPS = (StopReason.BREAKPOINT, StopReason.WATCH)


@dataclass(frozen=True)
class Subject:
    """A guest: its setup by a number, width and harts; the icount a case ends at; code to set breakpoints in."""

    make: Callable[..., Setup]
    limit: int
    target: str | None = None
    code_at: int = RAM
    is_short: bool = True
    """Whether slices of one instruction, and the Python callbacks, take no long time."""


SUBJECTS = {
    "busy": Subject(
        lambda number, xlen, harts, **config: setup_of_busy(
            xlen, harts, is_pulsed=True, reset_in=number % 8 - 2, **config
        ),
        15_000, target="gpio0.pins",
    ),
    "generated": Subject(setup_of_generated, 4_000),
    "smp": Subject(
        lambda number, xlen, harts, **config: setup_of_image("smp", xlen, smp=harts, **config), 30_000, is_short=False
    ),
    "dhcp-wfi": Subject(
        lambda number, xlen, harts, **config: setup_beside("dhcp-wfi", harts, **config), 70_000,
        code_at=RAM + BESIDE_AT, is_short=False,
    ),
    "echo": Subject(
        lambda number, xlen, harts, **config: setup_beside("echo", harts, **config), 15_000, code_at=RAM + BESIDE_AT
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Guest:
    """A subject on a board; see Subject."""

    subject: str
    number: int
    xlen: int
    harts: int
    quantum: int
    chaos: int | None
    sleep: bool
    timer_model: str

    @property
    def of(self) -> Subject:
        return SUBJECTS[self.subject]

    def setup(self, way: Way) -> Setup:
        return self.of.make(
            self.number, self.xlen, self.harts, quantum=self.quantum, chaos_seed=self.chaos, sleep=self.sleep,
            timer_model=self.timer_model, slice_insns_max=way.slice_insns, counting=way.counting,
        )  # fmt: skip


@dataclass(frozen=True)
class Way:
    """How to run a guest: nothing of it may be seen. ``cuts`` per mille of the run, ``pick`` seeds what is not here."""

    counting: Counting = Counting.CODE
    slice_insns: int | None = None
    work_max: int = WORK_MAX
    breakpoints: int = 0
    watches: int = 0
    cuts: tuple[int, ...] = ()
    pick: int = 0

    def prepare(self, board: Board, guest: Guest) -> None:
        pick = random.Random(self.pick)
        for hart in board.harts:
            hart.work_max = self.work_max
        for _ in range(self.breakpoints):
            board.breakpoints.add(guest.of.code_at + 4 * pick.randrange(0x1C0))
        for _ in range(self.watches):
            board.watches.add(
                pick.choice(list(WatchKind)), guest.of.code_at + pick.choice(MEETING_PLACES), 4, sees_devices=False
            )


@st.composite
def guests(draw: st.DrawFn, subject: str) -> Guest:
    has_one_width = subject not in ("busy", "generated", "smp")
    return Guest(
        subject, draw(st.integers(0, 1 << 24)), 64 if has_one_width else draw(st.sampled_from((64, 32))),
        draw(st.sampled_from((2, 2, 3, 4, 4, 8))), draw(st.sampled_from(QUANTA)),
        draw(st.none() | st.integers(0, 1 << 16)), draw(st.booleans()),
        draw(st.sampled_from(("attributes", "attributes", "no-attributes"))),
    )  # fmt: skip


@st.composite
def ways(draw: st.DrawFn, subject: str) -> Way:
    is_short = SUBJECTS[subject].is_short
    countings = [Counting.CODE] * 2 + [Counting.BLOCKS] + [Counting.INSTRUCTIONS] * 2 + [Counting.PYTHON] * is_short
    return Way(
        draw(st.sampled_from(countings)), draw(st.sampled_from(SLICES if is_short else SLICES[3:])),
        draw(st.sampled_from((WORK_MAX, WORK_MAX, 10, 30, 100))), draw(st.sampled_from((0, 0, 3, 30))),
        draw(st.sampled_from((0, 0, 2))), tuple(sorted(draw(st.lists(st.integers(0, 1000), max_size=4)))),
        draw(st.integers(0, 1 << 16)),
    )  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """All that can be seen of a moment."""

    position: tuple[int, int]
    digest: str
    harts: tuple[tuple[int, ...], ...]
    runs: int


def look(board: Board) -> Seen:
    names = ("pc", "minstret", "mip", "mcause", *(f"x{number}" for number in range(1, 32)))
    registers = [board.registers_of(hart) for hart in range(len(board.harts))]
    running = 0 if board.machine.schedule is None else board.machine.schedule.state.running
    return Seen(board.position, board.digest(), tuple(tuple(one[name] for name in names) for one in registers), running)


class Run:
    """A session that goes past its stops, and remembers them: position and digest."""

    def __init__(self, session: Session[Board], end: tuple[int, int] | None = None) -> None:
        self.session, self.board, self.end = session, session.board, end
        self.stops: dict[tuple[int, int], str] = {}
        self.count = 0

    def to(self, icount: int | None) -> Outcome:
        while True:
            outcome = self.session.run(icount=icount)
            if outcome.reason not in STOPS:
                return outcome
            self.count += 1
            self._note(outcome)
            if self.count > STOPS_MAX or self.board.position == self.end:
                self.board.breakpoints.clear()
                self.board.watches.clear()
                if self.board.position == self.end:
                    return self.session.run(icount=icount)

    def _note(self, outcome: Outcome) -> None:
        """Not between a trap and its handler, and not where a timer is due and has not fired yet."""
        board = self.board
        expire_ns = board.machine.virtual_timers.expire_ns()
        is_due = expire_ns is not None and expire_ns <= board.position.virtual_ns
        if board.machine.handler_entry is None and not is_due:
            self.stops[board.position] = board.digest()


# ---- nothing comes from outside but what the host side sends by itself


@cache
def straight(guest: Guest) -> tuple[Outcome, Seen, bytes]:
    board = guest.setup(Way()).make()
    outcome = board.run_until(icount=guest.of.limit)
    return outcome, look(board), bytes(board.console)


def check_way(case: tuple[Guest, list[Way]]) -> None:
    guest, all_ways = case
    for way in all_ways:
        setup = guest.setup(way)
        run = Run(LiveSession(lambda door, setup=setup: setup.make(door=door)))
        way.prepare(run.board, guest)
        expected = straight(guest)
        end = expected[1].position[0]
        pick, saved = random.Random(way.pick), []
        for icount in sorted({end * at // 1000 for at in way.cuts}):
            run.to(icount)
            saved.append((run.session.save(), look(run.board)))
            if pick.random() < 0.5:
                moment, seen = pick.choice(saved)
                run.session.restore(moment)
                assert look(run.board) == seen
        outcome = run.to(guest.of.limit)
        assert (outcome, look(run.board), bytes(run.board.console)) == expected
        check_stops(guest, run)
        check_restored_anew(guest, way, expected)


def check_stops(guest: Guest, run: Run) -> None:
    """Where a run stopped, another one that did not has the same state."""
    board = guest.setup(Way()).make()
    for position, digest in sorted(run.stops.items())[:STOPS_MAX]:
        board.run_until(virtual_ns=position[1])
        assert (board.position, board.digest()) == (position, digest)


def check_restored_anew(guest: Guest, way: Way, expected: tuple[Outcome, Seen, bytes]) -> None:
    setup, end = guest.setup(way), expected[1].position[0]
    board, console = setup.make(), b""
    for icount in sorted({end * at // 1000 for at in way.cuts}):
        board.run_until(icount=icount)
        console += bytes(board.console)
        board = restored(board, setup)
    outcome = board.run_until(icount=guest.of.limit)
    assert (outcome, look(board), console + bytes(board.console)) == expected


def runs(subject: str) -> st.SearchStrategy[tuple[Guest, list[Way]]]:
    return st.tuples(guests(subject), st.lists(ways(subject), min_size=2, max_size=2))


@pytest.mark.parametrize("subject", SUBJECTS)
def test_run_is_the_same_whatever_cuts_and_stops_it(subject: str, announce: Callable[[str], None]) -> None:
    run_cases(runs(subject), check_way, subject, 3, SEED_FAST, announce)


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS)
def test_many_runs_are_the_same_whatever_cuts_and_stops_them(subject: str, announce: Callable[[str], None]) -> None:
    run_cases(runs(subject), check_way, subject, 2 * TIMES, SEED_SLOW, announce)


# ---- recordings


@dataclass(frozen=True)
class Recorder:
    """A recording: how it is run, what the host does when (per mille), and how it ends."""

    way: Way
    typing: tuple[int, ...]
    every: int
    ring: int
    stops: int | None
    """At which stop it ends, if it comes to that; None: none."""
    to: int
    """Where it ends else, per mille."""


@st.composite
def recorders(draw: st.DrawFn, subject: str) -> Recorder:
    limit = SUBJECTS[subject].limit
    return Recorder(
        draw(ways(subject)), tuple(sorted(draw(st.lists(st.integers(0, 1000), max_size=5)))),
        draw(st.sampled_from((0, 700, limit // 7, limit // 40))), draw(st.sampled_from((0, 0, 1, 3))),
        draw(st.none() | st.integers(1, STOPS_MAX)), draw(st.sampled_from((1000, 1000, 777, 333))),
    )  # fmt: skip


def recorded_by(guest: Guest, recorder: Recorder, folder: Path) -> Recorded:
    host, limit, stops = Host(random.Random(recorder.way.pick), guest.of.target), guest.of.limit, 0

    def to(board: Board, icount: int) -> Outcome:
        nonlocal stops
        while True:
            outcome = board.run_until(icount=icount)
            stops += outcome.reason in STOPS
            if outcome.reason not in STOPS or stops == recorder.stops:
                return outcome
            if stops > STOPS_MAX:
                board.breakpoints.clear()
                board.watches.clear()

    def drive(board: Board) -> Outcome:
        recorder.way.prepare(board, guest)
        for at in recorder.typing:
            outcome = to(board, limit * at // 1000)
            if outcome.reason is not StopReason.REACHED:
                return outcome
            host.give(typed(bytes([at % 256])))
            if at in recorder.way.cuts or at % 3 == 0:
                cut(board)
        return to(board, limit * recorder.to // 1000)

    return record(
        folder, guest.setup(recorder.way), source=host, host=HostAnswers(wall_ns=host.wall_ns, entropy=host.entropy),
        every=recorder.every, ring=recorder.ring if recorder.every else 0, drive=drive,
    )  # fmt: skip


def check_recording(case: tuple[Guest, Recorder, list[Way]]) -> None:
    guest, recorder, replays = case
    with tempfile.TemporaryDirectory() as folder:
        recorded = recorded_by(guest, recorder, Path(folder))
        snapshots = recorded.snapshots()
        for number, way in enumerate(replays):
            snapshot = snapshots[way.pick % len(snapshots)] if snapshots and number % 2 else None
            check_replay(guest, recorded, way, snapshot)


def check_replay(guest: Guest, recorded: Recorded, way: Way, snapshot: int | None) -> None:
    """Play, stopping on the way; from each cut again to the end."""
    own = [type(device) for device in guest.setup(way).devices]
    end = recorded.end.position
    with recorded.reader() as reader:
        replay = Replay(
            reader, snapshot=snapshot, slice_insns_max=way.slice_insns, counting=way.counting, devices=own
        )  # fmt: skip
        run = Run(replay, end)
        way.prepare(run.board, guest)
        first, saved = run.board.position.icount, []
        for icount in sorted({first + (end.icount - first) * at // 1000 for at in way.cuts}):
            if run.board.position.icount < icount < end.icount:
                assert run.to(icount) == Outcome(StopReason.REACHED)
                saved.append((replay.save(), look(run.board)))
        assert run.to(None).reason is recorded.end.outcome.reason
        assert (run.board.position, run.board.digest()) == (end, recorded.end.digest)
        assert recorded.console.endswith(run.board.console)
        for moment, seen in reversed(saved):
            replay.restore(moment)
            assert look(run.board) == seen
            run.to(None)
            assert (run.board.position, run.board.digest()) == (end, recorded.end.digest)


def recordings(subject: str) -> st.SearchStrategy[tuple[Guest, Recorder, list[Way]]]:
    return st.tuples(guests(subject), recorders(subject), st.lists(ways(subject), min_size=3, max_size=3))


@pytest.mark.parametrize("subject", SUBJECTS)
def test_recording_replays_the_same_in_every_way(subject: str, announce: Callable[[str], None]) -> None:
    run_cases(recordings(subject), check_recording, subject, 3, SEED_FAST, announce)


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS)
def test_many_recordings_replay_the_same_in_every_way(subject: str, announce: Callable[[str], None]) -> None:
    run_cases(recordings(subject), check_recording, subject, 2 * TIMES, SEED_SLOW, announce)


# ---- under load

SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from support.smp_guests import setup_of_busy
ends = set()
for _ in range(4):
    board = setup_of_busy(64, {harts}, quantum=100, rounds=20, chaos_seed={chaos}).make()
    ends.add((str(board.run()), board.position, board.digest()))
print(sorted(ends))
assert len(ends) == 1
"""


@pytest.mark.parametrize("chaos", [None, 7])
@pytest.mark.parametrize("harts", [2, 4])
def test_runs_under_load_have_one_digest(harts: int, chaos: int | None) -> None:
    """Twenty, in five processes with hash seeds of their own."""
    script = SCRIPT.format(tests=str(Path(__file__).parents[1]), harts=harts, chaos=chaos)

    def start(hash_seed: int) -> Any:
        environment = os.environ | {"PYTHONHASHSEED": str(hash_seed)}
        return subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)

    with busy_machine():
        processes = [start(hash_seed) for hash_seed in range(5)]
        ends = {process.communicate()[0] for process in processes}
    assert all(process.returncode == 0 for process in processes)
    assert len(ends) == 1
