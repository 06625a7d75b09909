"""Random sessions: whatever is typed, pressed and cut where, a replay of it is the same run.

The number of cases and the seed are printed; MINSTRET_SEED repeats a run of the slow suite, and with MINSTRET_TIMES=10
it has ten times as many.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import event
from hypothesis import strategies as st
from support.generated_code import generate
from support.htif_guests import echo_setup
from support.random_cases import SEED_FAST, SEED_SLOW, TIMES, run_cases
from support.recordings import (
    CTRL_C,
    Hand,
    Recorded,
    assert_replays,
    cut,
    reader_code,
    record,
    resetter_code,
    setup_of_code,
    setup_of_image,
    typed,
)
from support.semihosting_program import MoodyFolder, all_kinds
from support.smp_guests import setup_of_busy
from support.virtio_storms import finishing

from minstret.devices.board.board import Board, Setup
from minstret.devices.board.config import HostAnswers
from minstret.devices.board.traced import Replay
from minstret.devices.hostside.hostinput.keymap import CHARACTERS, KEYS
from minstret.devices.hostside.timer_models import TIMER_MODELS
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.units import NS_PER_MS


def setup_of_program(number: int, xlen: int) -> Setup:
    """A generated program: it changes its own code and page tables, and sets times near and far."""
    program = generate(f"session/{number}", xlen)
    return setup_of_code(program.image(), xlen=xlen, icount_shift=program.icount_shift)


CASES_FAST, CASES_SLOW = 4, 12 * TIMES
"""Sessions with each guest."""

SUBJECTS: dict[str, tuple[Callable[[int], Setup], int]] = {
    "echo": (lambda _: setup_of_image("echo"), 20_000),
    "keys": (lambda _: setup_of_image("keys"), 130_000),
    "dhcp": (lambda _: setup_of_image("dhcp"), 120_000),
    "dhcp-wfi": (lambda _: setup_of_image("dhcp-wfi"), 130_000),
    "ticks": (lambda _: setup_of_image("ticks", inputs=("keyboard",)), 30_000),
    "rtos": (lambda _: setup_of_image("rtos"), 60_000),
    "rtc": (lambda _: setup_of_image("rtc", rtc_follows_host=True), 14_000),
    "resetter": (lambda _: setup_of_code(resetter_code()), 4_000),
    "reader": (lambda _: setup_of_code(reader_code()), 4_000),
    "program64": (lambda number: setup_of_program(number, 64), 2_500),
    "program32": (lambda number: setup_of_program(number, 32), 2_500),
    "files": (lambda _: all_kinds().setup(), 2_500),
    "htif": (lambda _: echo_setup(), 4_000),
    "storm": (lambda _: finishing(150, 20, 54), 60_000),
    "harts": (lambda number: setup_of_busy(64, 2 + number % 3, quantum=1 << number % 10), 8_000),
    "reading harts": (lambda number: setup_of_code(reader_code(), smp=3, quantum=1 + number % 30), 4_000),
    "resetting harts": (lambda number: setup_of_code(resetter_code(), smp=2, quantum=1 + number % 30), 4_000),
}
"""Guests, given the session's number, and after how many instructions a session with one ends at the latest."""

SLICES = (1, 7, 97, 1000, 12_345, 1_000_000)
SLICES_OF = dict.fromkeys(("dhcp", "rtos", "keys", "dhcp-wfi", "storm"), SLICES[2:]) | dict.fromkeys(
    ("ticks", "rtc"), SLICES[1:]
)
"""Slices of one instruction take long in longer runs."""
TEXTS = (b"a", b"b.", b"r", b"rr", b"some words", b"more than a FIFO of sixteen has room for", bytes(range(1, 30)))
CHORDS = ("a", "z", "ret", "shift", "esc", "ctrl")


@dataclass(frozen=True)
class Step:
    """At about ``at`` per mille of the session: ``what`` is one of type, keys, cut."""

    at: int
    what: str
    data: bytes = b""


@dataclass(frozen=True)
class Session:
    """What a host does. ``naps`` seeds how long it waits where the guest sleeps, and its wall clock."""

    subject: str
    number: int
    timer_model: str
    steps: tuple[Step, ...]
    planned: tuple[bytes, ...]
    naps: int
    sleep: bool
    chaos: int | None
    slice_insns: int
    every: int
    ring: int


@dataclass(frozen=True)
class Way:
    """How to replay. ``cuts`` in per mille of the session, ``to`` in per mille of the recording, ``snapshot`` of those
    that there are."""

    slice_insns: int
    cuts: tuple[int, ...]
    snapshot: int | None
    to: int


per_mille = st.integers(0, 1000)
steps = st.one_of(
    st.builds(Step, per_mille, st.just("type"), st.sampled_from(TEXTS)),
    st.builds(Step, per_mille, st.just("keys"), st.sampled_from([chord.encode() for chord in CHORDS])),
    st.builds(Step, per_mille, st.just("cut")),
)


@st.composite
def sessions(draw: st.DrawFn, subject: str) -> tuple[Session, Way]:
    slices = st.sampled_from(SLICES_OF.get(subject, SLICES))
    limit = SUBJECTS[subject][1]
    session = Session(
        subject,
        draw(st.integers(0, 1 << 32)),
        draw(st.sampled_from(TIMER_MODELS)),
        tuple(sorted(draw(st.lists(steps, max_size=8)), key=lambda step: step.at)),
        tuple(draw(st.lists(st.sampled_from(TEXTS), max_size=4))),
        naps=draw(st.integers(0, 1 << 16)),
        sleep=draw(st.booleans()),
        chaos=draw(st.none() | st.integers(0, 1 << 16)),
        slice_insns=draw(slices),
        every=draw(st.sampled_from((0, limit // 3, limit // 7, limit // 97))),
        ring=draw(st.sampled_from((0, 0, 1, 3))),
    )
    cuts = tuple(sorted(draw(st.lists(per_mille, max_size=3))))
    way = Way(draw(slices), cuts, draw(st.none() | per_mille), draw(per_mille))
    return session, way


PIECES = 100
"""The second clock's timers are run so often."""


class Moody(Hand):
    """A host that wakes a sleeping guest at any time, with a wall clock that goes by fits and starts.

    It presses Ctrl-C where the guest waits for what it can't have.
    """

    def __init__(self, planned: Iterator[bytes], moods: random.Random) -> None:
        super().__init__(*[typed(text) for text in planned])
        self._moods = moods
        self._wall_ns = 10**18

    def wall_ns(self) -> int:
        self._wall_ns += self._moods.choice((0, 1, 999, 54_321))
        return self._wall_ns

    def wait(self, timeout_ns: int | None) -> int:
        if timeout_ns is None:
            if self.is_empty:  # the guest has no use for what is typed
                self.give(CTRL_C)
                return 0
            return super().wait(None)
        if self._moods.random() < 0.3:
            super().wait(timeout_ns)
        waited_ns = self._moods.choice((timeout_ns, timeout_ns + 1, self._moods.randrange(timeout_ns + 1)))
        self._wall_ns += waited_ns
        return waited_ns


def run_session(session: Session, path: Path) -> Recorded:
    make, limit = SUBJECTS[session.subject]
    setup = make(session.number)
    setup = replace(
        setup, config=replace(
            setup.config, sleep=session.sleep, chaos_seed=session.chaos, slice_insns_max=session.slice_insns,
            timer_model=session.timer_model,
        ),
    )  # fmt: skip
    host = Moody(iter(session.planned), random.Random(session.naps))

    def drive(board: Board) -> Outcome | None:
        for step in session.steps:
            run_beside_second_clock(board, limit * step.at // 1000, step.at * NS_PER_MS)
            if step.what == "type":
                host.give(typed(step.data))
            elif step.what == "keys" and session.timer_model == "no-attributes":
                pass  # a replay would have to press them again
            elif step.what == "keys":
                assert board.host_side is not None
                name = step.data.decode()
                board.host_side.input.type([CHARACTERS[name] if name in CHARACTERS else (KEYS[name],)])
            else:
                cut(board)
        return run_beside_second_clock(board, limit)

    answers = HostAnswers(wall_ns=host.wall_ns, files=MoodyFolder(random.Random(session.naps)))
    ring = session.ring if session.every else 0
    return record(path, setup, source=host, host=answers, every=session.every, ring=ring, drive=drive)


def run_beside_second_clock(board: Board, icount: int, virtual_ns: int | None = None) -> Outcome:
    """Run up to there; where there is a second clock its timers are run now and then, as its thread would."""
    has_second_clock = board.timer_model.has_second_clock and board.host_side is not None
    timers = board.host_side.timers if has_second_clock else None
    for _ in range(0 if timers is None else PIECES):
        assert timers is not None
        at = board.position
        if at.icount >= icount or (virtual_ns is not None and at.virtual_ns >= virtual_ns):
            break
        outcome = board.run_until(
            icount=min(icount, at.icount + icount // PIECES + 1), virtual_ns=at.virtual_ns + NS_PER_MS
        )
        has_run = timers.run_expired()
        if outcome.reason is not StopReason.REACHED and not has_run:
            return outcome
    return board.run_until(icount=icount, virtual_ns=virtual_ns)


def check(case: tuple[Session, Way]) -> None:
    session, way = case
    with tempfile.TemporaryDirectory() as folder:
        recorded = run_session(session, Path(folder))
        event(f"{session.subject}: {recorded.end.outcome.reason.value}")
        limit = SUBJECTS[session.subject][1]

        def drive(board: Board) -> None:
            cuts = [limit * at // 1000 for at in way.cuts]
            for icount in (icount for icount in cuts if board.position.icount < icount < recorded.end.position.icount):
                board.run_until(icount=icount)
                cut(board)

        assert_replays(recorded, slice_insns_max=way.slice_insns, drive=drive)
        end_icount = recorded.end.position.icount
        assert_replays(recorded, slice_insns_max=way.slice_insns, to_icount=end_icount)
        assert_stops_at(recorded, end_icount * way.to // 1001)
        snapshots = recorded.snapshots()
        if way.snapshot is not None and snapshots:
            snapshot = snapshots[len(snapshots) * way.snapshot // 1001]
            assert_replays(recorded, snapshot=snapshot, slice_insns_max=way.slice_insns)


def assert_stops_at(recorded: Recorded, icount: int) -> None:
    """A replay up to an instruction stops there, and goes on from there to the same end."""
    with recorded.reader() as reader:
        replay = Replay(reader)
        icount = max(icount, replay.board.position.icount)  # where a ring begins
        if icount < recorded.end.position.icount:
            assert replay.run(icount=icount) == Outcome(StopReason.REACHED)
            assert replay.board.position.icount == icount
        assert replay.run() == recorded.end.outcome
        assert replay.board.digest() == recorded.end.digest


@pytest.mark.parametrize("subject", SUBJECTS)
def test_random_sessions_replay_the_same(subject: str, announce: Callable[[str], None]) -> None:
    run_cases(sessions(subject), check, subject, CASES_FAST, SEED_FAST, announce)


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS)
def test_many_random_sessions_replay_the_same(subject: str, announce: Callable[[str], None]) -> None:
    run_cases(sessions(subject), check, subject, CASES_SLOW, SEED_SLOW, announce)
