"""Random walks in live runs of all kinds of guests: the run is the one that nobody walked in, and so is its past."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.random_cases import SEED_FAST, SEED_SLOW, TIMES
from support.semihosting_program import MoodyFolder
from support.steady_sessions import SUBJECTS, SteadyHost

from minstret.devices.board.board import HostAnswers, Setup
from minstret.devices.board.config import BoardConfig
from minstret.devices.board.traced import Recording, Replay, live_timeline
from minstret.emu import past, walk
from minstret.emu.errors import TimelineError
from minstret.emu.hart.watches import WatchKind
from minstret.emu.present import LiveTimeline
from minstret.emu.session import RunLimits
from minstret.emu.timeline import Stop, Why
from minstret.emu.trace.reader import TraceReader
from minstret.emu.walk import PlaceKind

CASES_FAST, CASES_SLOW = 2, 4 * TIMES
MOVES_FAST, MOVES_SLOW = 12, 25
MOVES = ("on", "on", "step", "back", "back", "seek", "run back", "run", "event", "arm", "write", "hart", "interrupt")


@pytest.fixture(autouse=True)
def small_strides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "STRIDE_INSNS", 700)
    monkeypatch.setattr(walk, "POLL_INSNS", 333)
    monkeypatch.setattr(past, "_JUMP_INSNS", 100)


class Case:
    """One guest, and walks in runs of it."""

    def __init__(self, subject: str, seed: str, folder: Path, moves: int) -> None:
        self.pick = random.Random(seed)
        self.setup: Setup
        self.setup, self.limit = SUBJECTS[subject][0](self.pick.randrange(1 << 32)), SUBJECTS[subject][1]
        self.seed, self.folder, self.moves = self.pick.randrange(1 << 32), folder, moves
        self.own = [type(device) for device in self.setup.devices]

    def recording(self, name: str) -> Recording:
        host = SteadyHost(self.seed)
        answers = HostAnswers(wall_ns=host.wall_ns, entropy=bytes, files=MoodyFolder(host.moods))
        return Recording(self.folder / name, self.setup, source=host, host=answers)

    def check(self) -> None:
        with self.recording("straight.mst") as recording:
            recording.run(icount=self.limit)
        changes = self.pick.random() < 0.4
        with self.recording("walked.mst") as recording:
            seen = self.walk(live_timeline(recording, limits=RunLimits(self.limit)), changes)
        walked = str(self.folder / "walked.mst")
        if not changes and self.setup.config == without_host_clock(self.setup.config):
            assert content(str(self.folder / "straight.mst")) == content(walked)
        replay = Replay(walked, devices=self.own)
        for icount in sorted(seen):
            replay.play(icount=icount)
            assert replay.board.digest() == seen[icount], icount
        replay.run()

    def walk(self, timeline: LiveTimeline, changes: bool) -> dict[int, str]:
        """Move about, and then on to the end; the digests at the first arrivals on the way, outside of diversions."""
        seen: dict[int, str] = {}
        for _ in range(self.moves):
            was_live = timeline.is_live
            stop = self.move(timeline, changes)
            icount = timeline.position.icount
            if stop is None and was_live:  # it may have been changed here
                seen.pop(icount, None)
            if icount < self.limit and has_arrived(timeline, stop):
                assert seen.setdefault(icount, timeline.board.digest()) == timeline.board.digest()
        for address in list(timeline._breakpoints):
            timeline.remove_breakpoint(address)
        for watch in list(timeline._watches):
            timeline.remove_watch(watch)
        timeline.seek(1 << 60)
        assert timeline.run().why is Why.END
        return seen

    def move(self, timeline: LiveTimeline, changes: bool) -> Any:
        pick, end = self.pick, timeline.end.icount
        kind = pick.choice(MOVES)
        if kind == "on":
            return timeline.step(pick.randrange(1, self.limit // 4)) if timeline.is_live else timeline.seek(end)
        if kind == "step":
            return timeline.step(pick.choice((1, 2, 50)))
        if kind == "back":
            return timeline.step(-pick.choice((1, 1, 2, 300)))
        if kind == "seek":
            return timeline.seek(pick.randrange(end + 2))
        if kind == "hart":
            return timeline.step(pick.choice((1, -1, 3)), hart=pick.randrange(len(timeline.board.harts)))
        if kind == "run back":
            return timeline.run_back()
        if kind == "interrupt":
            return self.interrupted(timeline)
        if kind == "event":
            return timeline.run_back_until(event="")
        if kind == "run":
            if not timeline._breakpoints:
                return None
            return timeline.step(500) if timeline.is_diverted else timeline.run()  # nothing has to end a diversion
        if kind == "arm":
            return self.arm(timeline)
        return self.write(timeline, changes)

    def interrupted(self, timeline: LiveTimeline) -> Any:
        """A way back that is interrupted at some moment, or ends before, and with it all interruption."""
        left, icount = self.pick.randrange(6), self.pick.randrange(timeline.end.icount + 1)

        def count_down() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                timeline.interrupt()

        timeline.on_stride = count_down
        stop = self.pick.choice((timeline.run_back, lambda: timeline.step(-2), lambda: timeline.seek(icount)))()
        timeline.on_stride = lambda: None
        assert (stop.why is Why.INTERRUPTED) is (left < 0), stop
        again = timeline.seek(timeline.position.icount)
        assert again.why is not Why.INTERRUPTED
        return again

    def arm(self, timeline: LiveTimeline) -> None:
        if self.pick.random() < 0.5:
            timeline.add_breakpoint(timeline.board.hart.pc)
            return
        address = int(timeline.board.registers["sp"]) + self.pick.choice((-16, 0))
        if timeline.board.machine.memory.has_ram(address, 8):
            timeline.add_watch(self.pick.choice(list(WatchKind)), address, 8)

    def write(self, timeline: LiveTimeline, changes: bool) -> None:
        """A register that most guests don't need, at the present only where the run may become another."""
        if timeline.is_live and not changes:
            return
        try:
            timeline.write_register(self.pick.choice(("mscratch", "ft3", "t6")), self.pick.getrandbits(31))
        except TimelineError:
            assert timeline.board.machine.handler_entry is not None or timeline.is_at_end


def content(path: str) -> tuple[Any, ...]:
    """What is in a trace, however its rows are cut."""
    reader = TraceReader(path)
    sent: dict[str, bytes] = {}
    for output in reader.outputs():
        sent[output.stream] = sent.get(output.stream, b"") + output.data
    items = [item._replace(registers=None) for item in reader.items()]  # of checkpoints the last one of a row has them
    return items, sent, reader.meta["timers"], reader.end, reader.reached()


def has_arrived(timeline: LiveTimeline, stop: Stop | None) -> bool:
    """Whether it is where a straight run would first come to this icount."""
    if stop is None or stop.why is not Why.REACHED or timeline.is_diverted:
        return False
    return not timeline.is_live or timeline.present.kind is PlaceKind.ARRIVAL  # it may wait where something stopped it


def without_host_clock(config: BoardConfig) -> BoardConfig:
    """That clock depends on how often it is read: once a turn."""
    return replace(config, rtc_follows_host=False)


def run_cases(subject: str, count: int, moves: int, base: int, announce: Callable[[str], None]) -> None:
    announce(f"{count} walks in live runs of {subject}, seed {base}")
    for number in range(count):
        seed = f"{base}/{subject}/{number}"
        with tempfile.TemporaryDirectory() as folder:
            try:
                Case(subject, seed, Path(folder), moves).check()
            except BaseException as error:
                error.add_note(f"seed {seed}")
                raise


@pytest.mark.parametrize("subject", SUBJECTS)
def test_run_is_the_one_that_nobody_walked_in(subject: str, announce: Callable[[str], None]) -> None:
    run_cases(subject, CASES_FAST, MOVES_FAST, SEED_FAST, announce)


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS)
def test_many_runs_are_those_that_nobody_walked_in(subject: str, announce: Callable[[str], None]) -> None:
    run_cases(subject, CASES_SLOW, MOVES_SLOW, SEED_SLOW, announce)
