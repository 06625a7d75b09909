"""Recordings and replays that breakpoints and watches stop: the guest, the trace and its replay see nothing of them."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.own_devices import PulsedGpio, example_setup
from support.random_cases import SEED_FAST, SEED_SLOW, TIMES
from support.recordings import RAM, RAM_SIZE, setup_of_image, tamper
from support.semihosting_program import MoodyFolder
from support.steady_sessions import SUBJECTS, SteadyHost, live, same_trace

from minstret.devices.board.board import Board, HostAnswers, Setup
from minstret.devices.board.traced import Recording, Replay
from minstret.emu.door.recording import RecordOptions
from minstret.emu.errors import DivergenceError, TraceError
from minstret.emu.hart.shared import Counting
from minstret.emu.hart.watches import WatchKind
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.session import Session
from minstret.emu.trace.reader import TraceReader

CASES_FAST, CASES_SLOW = 3, 5 * TIMES

STOPS = (StopReason.BREAKPOINT, StopReason.WATCH)
STOPS_MAX = 12
"""After so many stops a run goes on without breakpoints and watches."""

Place = tuple[StopReason, tuple[int, int], tuple[int, ...], str]
"""Why a run stopped, its position, pc and digest."""


class Stopper:
    """Breakpoints and watches at places that a guest comes to."""

    def __init__(self, setup: Setup, limit: int, pick: random.Random) -> None:
        self.breakpoints: set[int] = set()
        self.watches: list[tuple[WatchKind, int, int, bool]] = []
        board = live(setup).board
        for icount in sorted(pick.randrange(limit) for _ in range(6)):
            if board.run_until(icount=icount).reason is not StopReason.REACHED:
                break
            words, x = board.hart.save_state().words, board.hart.save_state().x
            handlers = {words["mtvec"] & ~3, words["stvec"] & ~3}
            self.breakpoints |= set(pick.sample([board.hart.pc, *handlers], pick.randrange(3)))
            near = [value for value in (*x, words["satp"] << 12 & (1 << 32) - 1) if RAM <= value < RAM + RAM_SIZE - 64]
            if near and pick.random() < 0.5:
                kind = pick.choice(list(WatchKind))
                sees_devices = bool(kind & WatchKind.STORE) and pick.random() < 0.5
                address = max(RAM, pick.choice(near) + pick.choice((-16, -8, 0)))
                self.watches.append((kind, address, pick.choice((1, 8, 64)), sees_devices))

    def arm(self, board: Board) -> None:
        for address in sorted(self.breakpoints):
            board.hart.breakpoints.add(address)
        for kind, address, size, sees_devices in self.watches:
            board.hart.watches.add(kind, address, size, sees_devices=sees_devices)

    @staticmethod
    def disarm(board: Board) -> None:
        board.hart.breakpoints.clear()
        board.hart.watches.clear()


def place_of(board: Board, outcome: Outcome) -> Place:
    return outcome.reason, board.position, tuple(hart.pc for hart in board.harts), board.digest()


def run_on(session: Session[Board], host: SteadyHost, limit: int, stops: int) -> tuple[list[Place], list[Any]]:
    """Run to ``limit``, with so many stops at most; where each was, and the session saved there."""
    board, places, moments = session.board, list[Place](), list[Any]()
    while True:
        if len(places) >= stops:
            Stopper.disarm(board)
        outcome = session.run(icount=limit)
        places.append(place_of(board, outcome))
        if outcome.reason not in STOPS or board.position.icount >= limit:
            return places, moments
        moments.append((session.save(), host.place))


def setup_of(subject: str, pick: random.Random) -> tuple[Setup, int]:
    setup, limit = SUBJECTS[subject][0](pick.randrange(1 << 32)), SUBJECTS[subject][1]
    countings = [Counting.CODE] * 2 + [Counting.BLOCKS] + [Counting.INSTRUCTIONS] + [Counting.PYTHON] * (limit < 5_000)
    config = replace(
        setup.config, chaos_seed=pick.choice((None, 7)), sleep=pick.random() < 0.3,
        slice_insns_max=pick.choice((1, 7, 97, 1_000_000) if limit < 5_000 else (97, 1_000_000)),
        counting=pick.choice(countings),
    )  # fmt: skip
    return replace(setup, config=config), limit


class Case:
    """One guest, what stops it, and recordings of it."""

    def __init__(self, subject: str, seed: str, folder: Path) -> None:
        self.pick = random.Random(seed)
        self.setup, limit = setup_of(subject, self.pick)
        self.own = [type(device) for device in self.setup.devices]
        self.folder = folder
        self.seed = self.pick.randrange(1 << 32)
        self.every = self.pick.choice((0, limit // 7))
        self.stopper = Stopper(self.setup, limit, self.pick)
        self.limit = limit

    def host(self) -> tuple[SteadyHost, HostAnswers]:
        host = SteadyHost(self.seed)
        return host, HostAnswers(wall_ns=host.wall_ns, entropy=bytes, files=MoodyFolder(host.moods))

    def record(self, name: str, drive: Callable[[Session[Board], SteadyHost], None]) -> str:
        path = str(self.folder / f"{name}.mst")
        host, answers = self.host()
        options = RecordOptions(self.every)
        with Recording(path, self.setup, source=host, host=answers, options=options) as session:
            drive(session, host)
        return path

    def check(self) -> None:
        straight = self.record("straight", lambda session, host: self._run(session))
        places, path = self._record_with_stops()
        if not self.setup.config.rtc_follows_host:  # that host's clock depends on how often it is read: once a turn
            assert same_trace(straight, path), "another trace with breakpoints and watches"
        self._record_up_to_a_stop(places)
        self._replay_with_stops(straight)

    def _run(self, session: Session[Board]) -> None:
        session.run(icount=self.limit)

    def _record_with_stops(self) -> tuple[list[Place], str]:
        """Stop, go back to stops, and run on again: the stops are the same."""
        found: list[Place] = []

        def drive(session: Session[Board], host: SteadyHost) -> None:
            self.stopper.arm(session.board)
            places, moments = run_on(session, host, self.limit, STOPS_MAX)
            found.extend(places)
            for number in sorted((self.pick.randrange(len(moments)) for _ in moments[:3]), reverse=True):
                self.stopper.disarm(session.board)
                session.restore(moments[number][0])
                host.place = moments[number][1]
                assert place_of(session.board, Outcome(places[number][0])) == places[number]
                self._arm_again(session.board, places, number)
                again, _ = run_on(session, host, self.limit, STOPS_MAX - number - 1)
                assert again == places[number + 1 :], (number, again, places)

        return found, self.record("stopped", drive)

    def _arm_again(self, board: Board, places: list[Place], number: int) -> None:
        """Go on from the stop of that number as it went on the first time."""
        if number + 1 < STOPS_MAX:
            self.stopper.arm(board)
            if places[number][0] is StopReason.BREAKPOINT:  # else it stops there after a restored state
                board.hart.skip_breakpoint()

    def _record_up_to_a_stop(self, places: list[Place]) -> None:
        number = self.pick.randrange(len(places))

        def drive(session: Session[Board], host: SteadyHost) -> None:
            self.stopper.arm(session.board)
            for _ in range(number + 1):
                outcome = session.run(icount=self.limit)
            assert place_of(session.board, outcome) == places[number]

        if number < STOPS_MAX and places[number][1][0] < self.limit:
            path = self.record("short", drive)
            self._check_end(path, places[number])

    def _check_end(self, path: str, place: Place) -> None:
        reader = TraceReader(path)
        try:
            snapshots = [None, *(number for number, _ in reader.snapshot_positions()[-1:])]
            for snapshot in snapshots:
                replay = Replay(
                    reader, snapshot=snapshot, counting=self.setup.config.counting, slice_insns_max=1000,
                    devices=self.own,
                )  # fmt: skip
                assert place_of(replay.board, replay.run()) == place
        finally:
            reader.close()

    def _replay_with_stops(self, path: str) -> None:
        reader = TraceReader(path)
        try:
            end = reader.end
            replay = Replay(reader, counting=self.setup.config.counting, devices=self.own)
            self.stopper.arm(replay.board)
            places, moments = run_on(replay, SteadyHost(0), self.limit, STOPS_MAX)
            assert end is not None
            assert places[-1][0].value == end["reason"]
            for number in (self.pick.randrange(len(moments)) for _ in moments[:3]):
                self.stopper.disarm(replay.board)
                replay.restore(moments[number][0])
                self._arm_again(replay.board, places, number)
                again, _ = run_on(replay, SteadyHost(0), self.limit, STOPS_MAX - number - 1)
                assert again == places[number + 1 :], (number, again, places)
        finally:
            reader.close()


def run_cases(subject: str, count: int, base: int, announce: Callable[[str], None]) -> None:
    announce(f"{count} recordings of {subject} with breakpoints and watches, seed {base}")
    for number in range(count):
        seed = f"{base}/{subject}/{number}"
        with tempfile.TemporaryDirectory() as folder:
            try:
                Case(subject, seed, Path(folder)).check()
            except Exception as error:
                error.add_note(f"seed {seed}")
                raise


@pytest.mark.parametrize("subject", SUBJECTS)
def test_breakpoints_and_watches_change_no_trace_and_no_replay(subject: str, announce: Callable[[str], None]) -> None:
    run_cases(subject, CASES_FAST, SEED_FAST, announce)


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS)
def test_many_breakpoints_and_watches_change_no_trace(subject: str, announce: Callable[[str], None]) -> None:
    run_cases(subject, CASES_SLOW, SEED_SLOW, announce)


# ---- single cases


@pytest.mark.parametrize("counting", list(Counting))
def test_recording_that_ends_before_a_trap_handler_replays(counting: Counting, tmp_path: Path) -> None:
    path = str(tmp_path / "run.mst")
    with Recording(path, setup_of_image("ticks")) as session:
        session.run(icount=5000)
        session.board.hart.breakpoints.add(session.board.registers["mtvec"] & ~3)
        outcome = session.run()
        end = place_of(session.board, outcome)
        assert session.board.hart.has_just_trapped

    replay = Replay(path, counting=counting)
    for _ in range(2):
        assert place_of(replay.board, replay.run()) == end


def test_replay_stops_at_breakpoints_and_watches_of_its_own(tmp_path: Path) -> None:
    path = str(tmp_path / "run.mst")
    with Recording(path, setup_of_image("ticks")) as session:
        session.run(icount=5000)
        pc = session.board.hart.pc
        session.run(icount=20_000)

    replay = Replay(path)
    hart = replay.board.hart
    hart.breakpoints.add(pc)
    assert replay.run().reason is StopReason.BREAKPOINT
    assert hart.pc == pc
    hart.breakpoints.clear()
    hart.watches.add(WatchKind.STORE, RAM, RAM_SIZE)
    outcome = replay.run()
    assert outcome.reason is StopReason.WATCH
    assert outcome.hits
    hart.watches.clear()
    assert replay.run().reason is StopReason.REACHED
    assert replay.board.position.icount == 20_000


@pytest.mark.parametrize("handler", [[RAM + 1, 1], [RAM], [RAM, -1], [1 << 64, 1], "x", None, [RAM, True]])
def test_end_at_a_handler_that_can_be_none_is_a_damaged_trace(handler: object, tmp_path: Path) -> None:
    path = str(tmp_path / "run.mst")
    with Recording(path, setup_of_image("ticks")) as session:
        session.run(icount=500)
    tamper(path, "UPDATE meta SET value = json_set(value, '$.handler', json(?)) WHERE key = 'end'", json.dumps(handler))

    with pytest.raises(TraceError, match="damaged trace"):
        Replay(path).run()


def test_end_at_a_handler_that_was_not_entered_is_a_divergence(tmp_path: Path) -> None:
    path = str(tmp_path / "run.mst")
    with Recording(path, setup_of_image("ticks")) as session:
        session.run(icount=500)
    tamper(path, "UPDATE meta SET value = json_set(value, '$.handler', json(?)) WHERE key = 'end'", f"[{RAM}, 1]")

    with pytest.raises(DivergenceError, match="the end at icount 500, got the guest running on"):
        Replay(path).run()


@pytest.mark.parametrize("counting", list(Counting))
def test_recording_that_ends_at_a_breakpoint_behind_wfi_replays(counting: Counting, tmp_path: Path) -> None:
    """Something has woken the hart, but until it goes on it waits: what woke it may go away before."""
    path = str(tmp_path / "run.mst")
    with Recording(path, example_setup("gpio", counting)) as session:
        hart = session.board.hart
        while not hart.waiting:
            session.run(icount=session.board.position.icount + 1)
        hart.breakpoints.add(hart.pc)
        outcome = session.run()
        assert outcome.reason is StopReason.BREAKPOINT
        end = place_of(session.board, outcome)

    replay = Replay(path, devices=[PulsedGpio])
    assert place_of(replay.board, replay.run()) == end
