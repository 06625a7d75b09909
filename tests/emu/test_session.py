"""Sessions: whatever has run, a session goes back to any moment that was saved, and runs on from there as it did.

Live, recording and replaying; by the C callbacks and their Python twins.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from support import asm
from support.random_cases import SEED_FAST, SEED_SLOW, TIMES, run_cases
from support.recordings import FAIL, PASS, RAM, finish_code, setup_of_code, setup_of_image
from support.semihosting_program import MoodyFolder
from support.steady_sessions import SUBJECTS, SteadyHost, live, same_trace

from minstret.devices.board.board import Board, HostAnswers, Setup
from minstret.devices.board.traced import Recording, Replay
from minstret.emu.door.recording import RecordOptions
from minstret.emu.errors import TraceError
from minstret.emu.hart.shared import Counting
from minstret.emu.machine import Outcome
from minstret.emu.session import LiveSession, Saved, Session
from minstret.emu.trace.reader import TraceReader

CASES_FAST, CASES_SLOW = 2, 5 * TIMES


@dataclass(frozen=True)
class Seen:
    """All that can be seen of a moment."""

    outcome: str
    position: tuple[int, int]
    digest: str
    console: bytes
    frames: int
    timers: str


class Run:
    """A session with a host, and moments that were saved."""

    def __init__(self, session: Session[Board], host: SteadyHost) -> None:
        self.session, self.host = session, host
        self.board = session.board
        self.frames = 0
        self.board.on_frame = self._count
        self.saved: dict[int, tuple[Saved, Any]] = {}
        self.seen: dict[int, Seen] = {}

    def _count(self, frame: bytes) -> None:
        self.frames += 1

    def run_to(self, icount: int) -> Seen:
        outcome = self.session.run(icount=icount)
        return self.look(outcome)

    def look(self, outcome: Outcome) -> Seen:
        machine = self.board.machine
        timers = [(t.name, t.counts) for timers in machine.timers for t in timers.timers()]
        return Seen(
            str(outcome), self.board.position, self.board.digest(), bytes(self.board.console), self.frames,
            str((timers, self.board.plic.counts, machine.save_state())),
        )  # fmt: skip

    def save(self, icount: int) -> None:
        self.saved[icount] = self.session.save(), (self.host.place, self.frames)

    def restore(self, icount: int) -> None:
        saved, place = self.saved[icount]
        self.session.restore(saved)
        self.host.place, self.frames = place


@dataclass(frozen=True)
class Case:
    subject: str
    number: int
    counting: Counting
    chaos: int | None
    sleep: bool
    slice_insns: int
    every: int
    ring: int
    stops: tuple[int, ...]
    """Where the run is looked at, per mille."""
    jumps: tuple[tuple[int, int], ...]
    """Each: go back to a stop, and run on to another one; numbers of stops."""


@st.composite
def cases(draw: st.DrawFn, subject: str) -> Case:
    limit = SUBJECTS[subject][1]
    stops = sorted(draw(st.sets(st.integers(0, 1000), min_size=2, max_size=6)))
    numbers = st.integers(0, len(stops) - 1)
    countings = st.sampled_from(
        [Counting.CODE] * 3 + [Counting.BLOCKS] + [Counting.INSTRUCTIONS] + [Counting.PYTHON] * (limit < 5_000)
    )
    return Case(
        subject, draw(st.integers(0, 1 << 32)), draw(countings), draw(st.none() | st.integers(0, 1 << 16)),
        draw(st.booleans()), draw(st.sampled_from((97, 12_345, 1_000_000))),
        draw(st.sampled_from((0, limit // 3, limit // 19))), draw(st.sampled_from((0, 0, 1, 3))), tuple(stops),
        tuple((min(a, b), max(a, b)) for a, b in draw(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6))),
    )  # fmt: skip


def setup_of(case: Case) -> Setup:
    setup = SUBJECTS[case.subject][0](case.number)
    return replace(
        setup, config=replace(
            setup.config, chaos_seed=case.chaos, sleep=case.sleep, slice_insns_max=case.slice_insns,
            counting=case.counting,
        ),
    )  # fmt: skip


def host_of(case: Case) -> tuple[SteadyHost, HostAnswers]:
    host = SteadyHost(case.number)
    return host, HostAnswers(wall_ns=host.wall_ns, entropy=bytes, files=MoodyFolder(host.moods))


def first_time(run: Run, stops: list[int]) -> None:
    """Run through all stops, saving at each."""
    for stop in stops:
        run.seen[stop] = run.run_to(stop)
        run.save(stop)


def jump(run: Run, stops: list[int], jumps: tuple[tuple[int, int], ...], *, ahead: bool) -> None:
    """Go back and forth; each stop must look as it did the first time.

    ``ahead``: moments after the one that the session is at are there still.
    """
    last = len(stops) - 1  # of a short run two stops may be one
    for start, end in ((min(a, last), min(b, last)) for a, b in jumps):
        run.restore(stops[start])
        assert run.board.position == run.seen[stops[start]].position
        for stop in stops[start + 1 : end + 1]:
            assert run.run_to(stop) == run.seen[stop]
            if not ahead:
                run.save(stop)
        if not ahead:  # what comes after where it is now has to be recorded again
            for stop in stops[end + 1 :]:
                assert run.run_to(stop) == run.seen[stop]
                run.save(stop)


def check_live(case: Case) -> None:
    host, answers = host_of(case)
    setup = setup_of(case)
    session = LiveSession(lambda door: setup.make(door=door, host=answers), host)
    run = Run(session, host)
    stops = stops_of(case)
    first_time(run, stops)
    jump(run, stops, case.jumps, ahead=True)


def stops_of(case: Case) -> list[int]:
    limit = SUBJECTS[case.subject][1]
    return sorted({limit * stop // 1000 for stop in case.stops})


def check_recording(case: Case, folder_path: Path) -> None:
    stops = stops_of(case)
    paths = folder_path / "straight.mst", folder_path / "jumped.mst"
    for path in paths:
        host, answers = host_of(case)
        options = RecordOptions(case.every, case.ring if case.every else 0)
        with Recording(str(path), setup_of(case), source=host, host=answers, options=options) as session:
            run = Run(session, host)
            first_time(run, stops)
            if path == paths[1]:
                jump(run, stops, case.jumps, ahead=False)
            session.run(icount=stops[-1])  # leaving writes how the last run ended
    assert same_trace(*map(str, paths))
    check_replay(case, str(paths[1]), stops)


def check_replay(case: Case, path: str, stops: list[int]) -> None:
    """A replay jumps between moments that it saved itself, and to the snapshots of the trace."""
    reader = TraceReader(path)
    try:
        end = reader.end
        assert end is not None
        session = Replay(
            reader, counting=case.counting, slice_insns_max=case.slice_insns,
            devices=[type(device) for device in SUBJECTS[case.subject][0](case.number).devices],
        )  # fmt: skip
        first = session.board.position.icount
        stops = [stop for stop in stops if first <= stop < end["icount"]]
        run = Run(session, SteadyHost(0))
        first_time(run, stops)
        if stops:
            jump(run, stops, case.jumps, ahead=True)
        for number, position in reversed(reader.snapshot_positions()[-3:]):
            session.restore_snapshot(number)
            assert session.board.position == position
            for stop in stops:
                if stop > position.icount:
                    session.run(icount=stop)
                    assert session.board.digest() == run.seen[stop].digest
            ended = session.run()
            assert ended.reason.value == end["reason"]
            assert session.run() == ended, "it is at the end already"
            assert session.board.digest() == end["digest"]
        if stops:
            run.restore(stops[0])
        assert session.run().reason.value == end["reason"]
    finally:
        reader.close()


def check_both(case: Case) -> None:
    check_live(case)
    with tempfile.TemporaryDirectory() as folder:
        check_recording(case, Path(folder))


@pytest.mark.parametrize("subject", SUBJECTS)
def test_session_that_went_back_runs_on_as_it_did(subject: str, announce: Callable[[str], None]) -> None:
    run_cases(cases(subject), check_both, subject, CASES_FAST, SEED_FAST, announce)


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS)
def test_many_sessions_that_went_back_run_on_as_they_did(subject: str, announce: Callable[[str], None]) -> None:
    run_cases(cases(subject), check_both, subject, CASES_SLOW, SEED_SLOW, announce)


def test_replay_that_ended_with_a_missed_expectation_ends_so_again(tmp_path: Path) -> None:
    """The only snapshot is behind all stops, so it runs where the recording has missed what it expected already."""
    case = Case("talk", 0, Counting.CODE, 0, True, 97, 6666, 1, (0, 672), ((0, 0),))
    check_recording(case, tmp_path)


# ---- moments in which much is under way


@dataclass(frozen=True)
class Moment:
    """A state of a guest that a session may be saved in."""

    image: str
    is_here: Callable[[Board], bool]
    insns: int | None = 1
    """Instructions from one look to the next; None: so far in virtual time as one of 20 us goes."""


def is_between_lr_and_sc(board: Board) -> bool:
    return bool(board.hart.save_state().words["load_res"] != board.hart.xlen_mask)


def has_half_a_frame(board: Board) -> bool:
    """A frame is on its way to the guest, or in its buffers and not yet read."""
    return bool(board.machine.save_state().host["usernet"].link.frames)


MOMENTS = {
    "in WFI": Moment("ticks", lambda board: board.hart.waiting, None),
    "in a trap handler": Moment("ticks", lambda board: bool(board.hart.save_state().words["mcause"] >> 63)),
    "a frame on its way": Moment("dhcp", has_half_a_frame, 50),
    "in S-mode, paged": Moment("paging", lambda board: bool(board.hart.save_state().words["satp"]), 50),
}


@pytest.mark.parametrize("counting", [Counting.CODE, Counting.PYTHON])
@pytest.mark.parametrize("name", MOMENTS)
def test_moment_with_much_under_way_comes_back(name: str, counting: Counting) -> None:
    moment = MOMENTS[name]
    setup = setup_of_image(moment.image)
    session = live(replace(setup, config=replace(setup.config, counting=counting)))
    board = session.board
    while not moment.is_here(board):
        now = board.position
        if moment.insns is None:
            outcome = session.run(virtual_ns=now.virtual_ns + 20_011)
        else:
            outcome = session.run(icount=now.icount + moment.insns)
        assert outcome.reason.value == "reached", "never there"
    saved, before = session.save(), board.digest()
    icount = board.position.icount + 5000

    ends = []
    for _ in range(3):
        session.run(icount=icount)
        ends.append((board.position, board.digest(), bytes(board.console)))
        session.restore(saved)
        assert (board.position, board.digest()) == (saved.position, before)
    assert len(set(ends)) == 1


def test_reservation_comes_back_with_the_moment() -> None:
    """LR, then a moment is saved; SC succeeds each time it is come back to, and fails where it was not there."""
    code = asm.code(
        asm.li(asm.S0, RAM + 0x800), asm.lr_w(asm.T0, asm.S0), asm.addi(asm.T0, asm.T0, 1),
        asm.sc_w(asm.T1, asm.T0, asm.S0), asm.LOOP,
    )  # fmt: skip
    session = live(setup_of_code(code))
    board = session.board
    while not is_between_lr_and_sc(board):
        session.run(icount=board.position.icount + 1)
    saved = session.save()

    for _ in range(3):
        session.run(icount=saved.position.icount + 10)
        assert (board.registers["t1"], board.memory[RAM + 0x800 : RAM + 0x804]) == (0, b"\1\0\0\0")
        assert not is_between_lr_and_sc(board)
        session.restore(saved)
        assert board.memory[RAM + 0x800 : RAM + 0x804] == bytes(4)


def test_hundreds_of_moments_share_what_is_the_same() -> None:
    session = live(setup_of_image("ticks", ram_size=128 << 20))
    moments = []
    for icount in range(0, 30_000, 100):
        session.run(icount=icount)
        moments.append((session.save(), session.board.digest()))

    pages = {id(page) for saved, _ in moments for chunk in saved.pages.chunks if chunk for page in chunk if page}
    assert len(moments) == 300
    assert len(pages) < 3 * len(moments)
    for saved, digest in random.Random(1).sample(moments, 20):
        session.restore(saved)
        assert session.board.digest() == digest


def test_recording_that_is_finished_does_not_go_back(tmp_path: Path) -> None:
    with Recording(str(tmp_path / "run.mst"), setup_of_image("hello")) as session:
        saved = session.save()
        session.finish(session.run())
        with pytest.raises(TraceError, match="finished"):
            session.restore(saved)


def test_recording_does_not_go_to_a_moment_that_it_has_let_go_of_and_stays_where_it_is(tmp_path: Path) -> None:
    with Recording(tmp_path / "run.mst", setup_of_image("ticks")) as session:
        moments = []
        for icount in (1000, 2000, 3000):
            session.run(icount=icount)
            moments.append(session.save())
        session.restore(moments[1])
        session.release(moments[0])
        digest = session.board.digest()
        for gone in (moments[0], moments[2]):
            with pytest.raises(TraceError, match="it can't go to a moment that was released, or is after one it went"):
                session.restore(gone)
            assert session.board.digest() == digest


def test_recording_that_went_back_and_was_not_run_ends_where_it_is(tmp_path: Path) -> None:
    path = str(tmp_path / "run.mst")
    with Recording(path, setup_of_image("ticks")) as session:
        session.run(icount=5000)
        saved = session.save()
        session.run(icount=20_000)
        session.restore(saved)

    replay = Replay(path)
    assert replay.run().reason.value == "reached"
    assert replay.board.position == saved.position


ENDS: dict[str, Callable[[], Setup]] = {
    "finished": lambda: setup_of_code(finish_code(PASS)),
    "failed": lambda: setup_of_code(finish_code(FAIL | 5 << 16)),
    "trap loop": lambda: setup_of_image("crash"),
    "trap loop at power-on": lambda: setup_of_code(bytes(4)),
    "waits forever": lambda: setup_of_code(asm.code(asm.WFI, asm.LOOP)),
}


@pytest.mark.parametrize("counting", [Counting.CODE, Counting.PYTHON])
@pytest.mark.parametrize("name", ENDS)
def test_session_goes_back_from_an_end_and_to_it(name: str, counting: Counting) -> None:
    setup = ENDS[name]()
    session = live(replace(setup, config=replace(setup.config, counting=counting)))
    session.run(icount=2)
    start, before = session.save(), session.board.digest()

    found = set()
    for _ in range(3):
        outcomes = [str(session.run()), session.board.digest()]
        end = session.save()
        outcomes += [str(session.run()), session.board.digest()]
        session.restore(end)
        assert session.board.digest() == outcomes[1]
        outcomes += [str(session.run()), session.board.digest()]
        found.add(tuple(outcomes))
        session.restore(start)
        assert session.board.digest() == before
    assert len(found) == 1


@pytest.mark.parametrize("chaos", [None, 5])
@pytest.mark.parametrize("image", ["dhcp", "dhcp-wfi", "tftp"])
def test_second_clock_of_the_host_side_goes_back_too(image: str, chaos: int | None) -> None:
    session = live(setup_of_image(image, timer_model="virtual-ext", chaos_seed=chaos))
    board = session.board
    assert board.host_side is not None
    timers = board.host_side.timers

    def run_to(icount: int) -> tuple[object, ...]:
        while board.position.icount < icount:  # what a thread does otherwise
            timers.run_expired()
            if session.run(icount=min(icount, board.position.icount + 500)).reason.value != "reached":
                break
        return board.position, board.digest(), bytes(board.console), str(timers.save_state())

    for start in (60_000, 90_000):
        before, saved = run_to(start), session.save()
        ends = set()
        for _ in range(2):
            ends.add(run_to(start + 50_000))
            session.restore(saved)
            assert run_to(start) == before
        assert len(ends) == 1
