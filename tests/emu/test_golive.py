"""Going live: a run that goes on from a trace is the run that was never cut, with all that was under way."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.random_cases import SEED_FAST, SEED_SLOW, TIMES
from support.semihosting_program import MoodyFolder
from support.steady_sessions import SUBJECTS, SteadyHost

from minstret.devices.board.board import Board, HostAnswers, Setup
from minstret.devices.board.golive import go_live
from minstret.devices.board.traced import Recording, Replay
from minstret.emu.door.door import Position
from minstret.emu.door.recording import RecordOptions
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.session import LiveSession, Session
from minstret.emu.trace.reader import TraceReader

CUTS_FAST, CUTS_SLOW = 3, 6 * TIMES


class NotingHost(SteadyHost):
    """Where it has a board, notes its place whenever it is asked at a position for the first time, and its clock shows
    virtual time, however often it is read.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.board: Board | None = None
        self.places: dict[Position, Any] = {}

    def poll(self, wants_input: bool) -> Any:
        if self.board is not None:
            self.places.setdefault(self.board.position, self.place)
        return super().poll(wants_input)

    def wall_ns(self) -> int:
        return super().wall_ns() if self.board is None else 10**18 + self.board.position.virtual_ns

    def answers(self) -> HostAnswers:
        return HostAnswers(wall_ns=self.wall_ns, entropy=bytes, files=MoodyFolder(self.moods))


def look(board: Board, outcome: Outcome) -> tuple[Any, ...]:
    """All that can be seen of a moment, the host side's state and the order of all timers too."""
    machine = board.machine
    timers = [(timer.name, timer.expire_ns) for timer in machine.virtual_timers.armed()]
    state = machine.save_state()
    return outcome, board.position, board.digest(), timers, state.host, state.virtual_rt


def drawn(subject: str, pick: random.Random) -> tuple[Setup, int]:
    """A guest and how long it runs."""
    make, limit = SUBJECTS[subject]
    setup = make(pick.randrange(1 << 16))
    config = replace(
        setup.config, chaos_seed=pick.choice((None, None, 7)), sleep=pick.random() < 0.3,
        slice_insns_max=None if setup.config.rtc_follows_host else pick.choice((97, 12_345, None)),
    )  # fmt: skip  # this host's clock goes on each time that it is read, which each slice does
    return replace(setup, config=config), limit


def run_to(session: Session[Board], limits: list[dict[str, int]]) -> Outcome:
    outcome = None
    for limit in limits:
        outcome = session.run(**limit)
    assert outcome is not None
    return outcome


def check_cut(subject: str, pick: random.Random, folder: Path) -> None:
    """Cut a run somewhere, and go on from the trace; then from the trace of that."""
    setup, limit = drawn(subject, pick)
    number = pick.randrange(1 << 16)
    first = {"icount": pick.randrange(limit)} if pick.random() < 0.7 else {"virtual_ns": pick.randrange(2 * limit)}
    second = {"icount": pick.randrange(limit, 2 * limit)}

    host = NotingHost(number)
    whole = LiveSession(lambda door: setup.make(door=door, host=host.answers()), host)
    outcome = run_to(whole, [first])
    waits = outcome.reason is StopReason.WAITS_FOREVER and not whole.board.machine.input_can_wake()
    is_over = whole.board.machine.exit_code is not None or outcome.reason is StopReason.END_OF_TIME
    if whole.board.position.icount >= limit or is_over or waits:
        return  # it was over before
    middle = look(whole.board, Outcome(StopReason.REACHED))
    seen = look(whole.board, run_to(whole, [second]))

    host, paths = NotingHost(number), [folder / "cut.mst", folder / "more.mst", folder / "most.mst"]
    answers = host.answers()
    with Recording(paths[0], setup, source=host, host=answers, overwrite=True) as recording:
        recording.finish(recording.run(**first))
    devices = [type(device) for device in setup.devices]
    gone = {"files": setup.files, "script": setup.script, "devices": devices, "sleep": setup.config.sleep}
    place = host.place
    for output in (None, paths[1]):
        host.place = place
        with go_live(paths[0], source=host, host=answers, output=output, overwrite=True, **gone) as session:
            assert look(session.board, Outcome(StopReason.REACHED)) == middle
            outcome = run_to(session, [second])
            assert look(session.board, outcome) == seen
            assert session.board.console == whole.board.console
    replay = Replay(paths[1], devices=devices)
    assert str(replay.run().reason) == str(seen[0].reason)
    assert (replay.board.position, replay.board.digest()) == seen[1:3]
    if seen[0].reason is StopReason.REACHED:  # the trace of a run that went on goes on again, with nothing lost
        with go_live(paths[1], source=host, host=answers, output=paths[2], overwrite=True, **gone) as session:
            assert look(session.board, Outcome(StopReason.REACHED))[1:] == seen[1:]
            assert session.run(icount=seen[1].icount).reason is StopReason.REACHED


@pytest.mark.parametrize("subject", SUBJECTS)
def test_run_that_goes_on_from_the_end_is_the_run_that_was_never_cut(
    subject: str, tmp_path: Path, announce: Callable[[str], None]
) -> None:
    check_many(subject, CUTS_FAST, SEED_FAST, tmp_path, announce)


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS)
def test_many_runs_that_go_on_are_the_runs_that_were_never_cut(
    subject: str, tmp_path: Path, announce: Callable[[str], None]
) -> None:
    check_many(subject, CUTS_SLOW, SEED_SLOW, tmp_path, announce)


def check_many(subject: str, count: int, base: int, folder: Path, announce: Callable[[str], None]) -> None:
    for number in range(count):
        seed = f"{base}/{subject}/{number}"
        print(f"seed {seed}")
        check_cut(subject, random.Random(seed), folder)
    announce(f"{count} runs of {subject} that go on from a trace, seeds {base}/{subject}/...")


# ---- from snapshots


def check_snapshots(subject: str, pick: random.Random, folder: Path) -> None:
    """Record with snapshots, and go on from some of them."""
    setup, limit = drawn(subject, pick)
    host, path = NotingHost(pick.randrange(1 << 16)), folder / "run.mst"
    options = RecordOptions(max(1, limit // pick.choice((3, 7, 19))))
    with Recording(path, setup, source=host, host=host.answers(), options=options, overwrite=True) as recording:
        host.board = recording.board
        recording.run(icount=limit)
    seen, console = look(recording.board, Outcome(StopReason.REACHED))[1:], bytes(recording.board.console)
    reader, places = TraceReader(str(path)), host.places
    positions = reader.snapshot_positions()
    for number, position in pick.sample(positions, min(3, len(positions))):
        host.place = places[position]
        output = pick.choice((None, folder / "more.mst"))
        with go_live(
            reader, snapshot=number, output=output, source=host, host=host.answers(), files=setup.files,
            script=setup.script, devices=[type(device) for device in setup.devices], sleep=setup.config.sleep,
            overwrite=True,
        ) as session:  # fmt: skip
            host.board = session.board
            assert session.board.position == position
            outcome = session.run(icount=limit)
            assert look(session.board, outcome)[1:] == seen
            assert console.endswith(session.board.console)
        if output is not None:
            replay = Replay(output, devices=[type(device) for device in setup.devices])
            assert replay.run().reason is outcome.reason
            assert replay.board.digest() == seen[1]


@pytest.mark.parametrize("subject", SUBJECTS)
def test_run_that_goes_on_from_a_snapshot_is_the_run_that_was_recorded(subject: str, tmp_path: Path) -> None:
    check_snapshots(subject, random.Random(f"{SEED_FAST}/{subject}"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS)
def test_many_runs_that_go_on_from_snapshots_are_the_recorded_ones(subject: str, tmp_path: Path) -> None:
    for number in range(CUTS_SLOW):
        seed = f"{SEED_SLOW}/{subject}/{number}"
        print(f"seed {seed}")
        check_snapshots(subject, random.Random(seed), tmp_path)
