"""A live run in which one can go back: the past is its recording, and the present goes on from where it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.guest_boards import setup_of
from support.recordings import TIMEOUT, Hand, interrupt_at_stride, setup_of_code, typed

from minstret.devices.board.traced import Recording, Replay, live_timeline
from minstret.emu import walk
from minstret.emu.door.recording import RecordOptions
from minstret.emu.errors import ConfigError, TimelineError
from minstret.emu.hart.watches import WatchKind
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.present import LiveTimeline
from minstret.emu.session import RunLimits
from minstret.emu.timeline import Why


@pytest.fixture(autouse=True)
def small_strides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "STRIDE_INSNS", 3000)
    monkeypatch.setattr(walk, "POLL_INSNS", 1111)


@contextmanager
def live(name: str, path: Path | None = None, source: Any = None, **options: Any) -> Iterator[LiveTimeline]:
    config = {key: options.pop(key) for key in ("smp", "xlen") if key in options}
    with Recording(path, setup_of(name, **config), source=source) as recording:
        yield live_timeline(recording, **options)


def straight(name: str, icount: int, **config: Any) -> str:
    board = setup_of(name, **config).make()
    board.run_until(icount=icount)
    return board.digest()


def test_step_back_in_a_live_run_gives_what_was_there_and_the_present_waits() -> None:
    with live("traps") as timeline:
        timeline.step(20_000)
        assert timeline.is_live
        assert timeline.step(-1).why is Why.REACHED
        assert not timeline.is_live
        assert timeline.position.icount == 19_999
        assert timeline.board.digest() == straight("traps", 19_999)
        assert timeline.end.icount == 20_000
        assert timeline.step(2).why is Why.REACHED
        assert timeline.is_live
        assert timeline.position.icount == 20_001
        assert timeline.board.digest() == straight("traps", 20_001)


def test_run_goes_from_the_past_through_the_present_to_the_end() -> None:
    with live("traps") as timeline:
        timeline.step(30_000)
        timeline.seek(12_345)
        assert timeline.board.digest() == straight("traps", 12_345)
        stop = timeline.run()
        assert stop.why is Why.END
        assert stop.outcome == Outcome(StopReason.FINISHED, 0)
        assert timeline.is_at_end
        timeline.step(-1)
        assert not timeline.is_at_end
        assert timeline.run() == stop


def test_breakpoint_at_the_present_stops_who_comes_from_the_past_there() -> None:
    with live("traps") as timeline:
        handler = timeline.board.symbols.find("m_handler").address
        timeline.add_breakpoint(handler)
        for _ in range(5):
            assert timeline.run().why is Why.BREAKPOINT
        there = timeline.position
        places = [there]
        while timeline.run_back().why is Why.BREAKPOINT:
            places.append(timeline.position)
        assert len(places) == 5
        assert timeline.position == timeline.start
        for place in reversed(places):
            assert timeline.run().why is Why.BREAKPOINT
            assert timeline.position == place
        assert timeline.is_live
        assert timeline.run().why is Why.BREAKPOINT
        assert timeline.position > there


def test_watch_finds_the_last_store_in_the_past_of_a_live_run() -> None:
    with live("traps") as timeline:
        timeline.step(60_000)
        address = timeline.board.registers_of(0)["sp"] - 16
        timeline.add_watch(WatchKind.STORE, address, 8)
        assert timeline.run_back().why is Why.WATCH
        back = timeline.position
        stop = timeline.step()
        assert stop.why is Why.WATCH
        assert stop.hits[0].icount == back.icount


def test_input_comes_once_and_the_past_has_it() -> None:
    hand = Hand(typed(b"one\r"), typed(b"two\r"))
    with live("echo", source=hand) as timeline:
        stop = timeline.run()
        assert stop.why is Why.END
        both = bytes(timeline.board.console)
        assert b"ONE" in both
        assert b"TWO" in both
        assert hand.is_empty
        while b"TW" in bytes(timeline.board.console):
            assert timeline.run_back_until(event="uart0.rx").why is Why.REACHED
        assert b"ONE" in bytes(timeline.board.console)
        assert timeline.run() == stop
        assert bytes(timeline.board.console) == both


def test_what_is_written_at_the_present_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "changed.mst"
    with live("traps", path) as timeline:
        timeline.step(5000)
        address = timeline.board.registers_of(0)["sp"] - 64
        timeline.write_register("a5", 0x1234)
        assert timeline.write_memory(address, b"changed!")
        assert timeline.write_memory(address, b"CH", hart=0)
        assert timeline.board.registers_of(0)["a5"] == 0x1234
        assert timeline.board.memory.read(address, 8) == b"CHanged!"
        assert timeline.is_live
        assert not timeline.is_diverted
        timeline.step(100)
        digest = timeline.board.digest()
        timeline.step(-50)
        timeline.step(50)
        timeline.step(-100)
        assert timeline.board.memory.read(address, 8) == b"CHanged!"
        timeline.run()
    replay = Replay(path)
    replay.play(icount=5100)
    assert replay.board.digest() == digest
    replay.run()


def test_end_that_the_host_wants_comes_also_while_something_is_written(tmp_path: Path) -> None:
    host, path = Hand(stays=True), tmp_path / "run.mst"
    with live("traps", path, host) as timeline:
        timeline.step(20_000)
        host.give(TIMEOUT)
        timeline.write_register("a0", 5)
        assert timeline.is_at_end
        stop = timeline.run()
        assert stop.outcome == Outcome(StopReason.TIMEOUT)
        assert timeline.position.icount == 20_000
    assert Replay(path).run() == Outcome(StopReason.TIMEOUT)


def test_bad_writes_at_the_present_change_nothing() -> None:
    with live("hello") as timeline:
        timeline.step(100)
        before = timeline.board.digest()
        assert not timeline.write_memory(0x10, b"x")
        assert not timeline.write_memory(0x10, b"x", hart=0)
        for name in ("mhartid", "priv", "nonsense"):
            with pytest.raises(KeyError):
                timeline.write_register(name, 1)
        assert timeline.board.digest() == before
        timeline.run()
        with pytest.raises(TimelineError, match="the run is over"):
            timeline.write_register("a0", 77)


def test_write_in_the_past_of_a_live_run_is_a_diversion_and_the_present_stays() -> None:
    with live("traps") as timeline:
        timeline.step(20_000)
        present = timeline.board.digest()
        timeline.step(-10_000)
        timeline.write_register("a0", 99)
        timeline.step(50)
        assert timeline.is_diverted
        timeline.seek(1 << 60)
        assert timeline.is_live
        assert timeline.board.digest() == present
        timeline.step(1)
        assert timeline.board.digest() == straight("traps", 20_001)


def test_limit_ends_the_run() -> None:
    with live("bench", limits=RunLimits(10_000)) as timeline:
        stop = timeline.run()
        assert stop.outcome == Outcome(StopReason.MAX_INSNS)
        assert timeline.position.icount == 10_000
        timeline.step(-1)
        assert timeline.position.icount == 9_999
        assert timeline.run() == stop


def test_interrupted_live_run_goes_on() -> None:
    with live("bench") as timeline:
        interrupt_at_stride(timeline, 3)
        assert timeline.run().why is Why.INTERRUPTED
        at = timeline.position.icount
        timeline.step(-1)
        assert timeline.board.digest() == straight("bench", at - 1)
        assert timeline.step(10).why is Why.REACHED
        assert timeline.position.icount == at + 9


def test_interrupt_during_the_way_into_the_past_ends_the_move_and_no_later_one() -> None:
    with live("traps") as timeline:
        timeline.step(20_000)
        interrupt_at_stride(timeline, 1)
        assert timeline.run_back().why is Why.INTERRUPTED
        timeline.seek(20_000)
        assert timeline.step(10).why is Why.REACHED
        assert timeline.board.digest() == straight("traps", 20_010)


@pytest.mark.parametrize("hart", range(2))
def test_steps_of_one_hart_go_through_the_present(hart: int) -> None:
    with live("smp", smp=2) as timeline:
        timeline.step(150_000)
        retired = timeline.board.harts[hart].minstret
        timeline.step(-2, hart=hart)
        assert timeline.board.harts[hart].minstret == retired - 2
        timeline.step(4, hart=hart)
        assert timeline.board.harts[hart].minstret == retired + 2
        assert timeline.is_live


def test_recording_on_disk_is_whole_after_a_walk(tmp_path: Path) -> None:
    path = tmp_path / "walked.mst"
    with live("dhcp", path) as timeline:
        timeline.step(100_000)
        timeline.seek(50_000)
        timeline.step(-1)
        timeline.run()
    replay = Replay(path)
    assert replay.run() == Outcome(StopReason.FINISHED, 0)


def test_run_that_forgets_its_beginning_or_can_not_be_replayed_is_refused() -> None:
    with (
        Recording(None, setup_of("hello"), options=RecordOptions(1000, ring=2)) as recording,
        pytest.raises(ConfigError, match="--ring"),
    ):
        live_timeline(recording)
    with (
        Recording(None, setup_of("dhcp", timer_model="no-attributes")) as recording,
        pytest.raises(ConfigError, match="--timer-model"),
    ):
        live_timeline(recording)


def test_history_bounds_the_moments_of_a_live_run() -> None:
    with live("traps", history=1 << 20) as timeline:
        timeline.run()
        timeline.seek(7000)
        assert timeline.present.moments.size_bytes <= 1 << 20


def test_run_that_ended_in_a_trap_loop_can_be_walked() -> None:
    with Recording(None, setup_of_code(bytes(4))) as recording:
        timeline = live_timeline(recording)
        stop = timeline.run()
        assert stop.outcome is not None
        assert stop.outcome.reason is StopReason.TRAP_LOOP
        at = timeline.position.icount
        timeline.step(-1)
        assert timeline.position.icount == at - 1
        assert timeline.step(5) == stop
