"""Walking in a trace: wherever a move ends, the guest is what it is when played straight to there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.guest_boards import setup_of
from support.recordings import interrupt_at_stride, tamper

from minstret.devices.board.traced import Recording, Replay
from minstret.emu import past, walk
from minstret.emu.hart.watches import WatchKind
from minstret.emu.machine import StopReason
from minstret.emu.past import TraceTimeline
from minstret.emu.timeline import Stop, Why

Recorded = Callable[..., Path]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Gives the trace of a bundled image, up to an icount."""
    folder, made = tmp_path_factory.mktemp("past"), {}

    def trace_of(name: str, limit: int = 1 << 40, xlen: int = 64, **config: Any) -> Path:
        key = f"{name}-{limit}-{xlen}-{sorted(config.items())}"
        if key not in made:
            made[key] = folder / f"{len(made)}.mst"
            with Recording(made[key], setup_of(name, xlen, **config)) as recording:
                recording.run(icount=limit)
        return made[key]

    return trace_of


@pytest.fixture(autouse=True)
def small_strides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "STRIDE_INSNS", 3000)
    monkeypatch.setattr(walk, "POLL_INSNS", 1111)
    monkeypatch.setattr(past, "_JUMP_INSNS", 500)


def straight(path: Path, icount: int) -> str:
    """The digest of a replay that was played to ``icount`` in one go."""
    replay = Replay(path)
    replay.play(icount=icount)
    return replay.board.digest()


def symbol(timeline: TraceTimeline, name: str) -> int:
    found = timeline.board.symbols.find(name)
    assert found is not None
    return int(found.address)


def test_timeline_begins_at_power_on_and_knows_where_the_recording_ends(recorded: Recorded) -> None:
    timeline = TraceTimeline(Replay(recorded("hello")))
    assert timeline.position == timeline.start == (0, 0)
    assert timeline.end.icount == 640
    assert not timeline.is_at_end


def test_run_to_the_end_tells_how_the_recording_ended(recorded: Recorded) -> None:
    timeline = TraceTimeline(Replay(recorded("hello")))
    stop = timeline.run()
    assert stop.why is Why.END
    assert stop.outcome is not None
    assert (stop.outcome.reason, stop.outcome.exit_code) == (StopReason.FINISHED, 0)
    assert timeline.is_at_end
    assert timeline.run() == stop
    assert timeline.step() == stop


def test_steps_back_from_the_end_give_what_was_there(recorded: Recorded) -> None:
    path = recorded("traps")
    timeline = TraceTimeline(Replay(path))
    timeline.run()
    end = timeline.position.icount
    for back in range(1, 20):
        assert timeline.step(-1).why is Why.REACHED
        assert timeline.position.icount == end - back
        if back % 5 == 1:
            assert timeline.board.digest() == straight(path, end - back)


def test_step_back_from_the_start_stays_there(recorded: Recorded) -> None:
    timeline = TraceTimeline(Replay(recorded("hello")))
    assert timeline.step(-1).why is Why.START
    assert timeline.position.icount == 0
    timeline.seek(2)
    assert timeline.step(-5).why is Why.START


@pytest.mark.parametrize("name", ["ticks", "traps", "dhcp", "rtos"])
def test_seek_anywhere_gives_what_a_straight_replay_comes_to(recorded: Recorded, name: str) -> None:
    path = recorded(name, 120_000)
    timeline = TraceTimeline(Replay(path))
    end = timeline.end.icount
    for icount in (end // 2, end // 4, end - 3, 1, end // 3, end // 3 + 1):
        assert timeline.seek(icount).why is Why.REACHED
        assert timeline.position.icount == icount
        assert timeline.board.digest() == straight(path, icount)
    assert timeline.seek(end + 1).why is Why.END


def test_seek_to_a_virtual_time_ends_at_the_first_instruction_boundary_there(recorded: Recorded) -> None:
    path = recorded("ticks")
    timeline = TraceTimeline(Replay(path))
    for ns in (35_000_000, 2_000_000, 50_000_001):
        timeline.seek_ns(ns)
        there = timeline.position
        replay = Replay(path)
        replay.play(virtual_ns=ns)
        assert there == replay.board.position
        assert timeline.board.digest() == replay.board.digest()


def hits_forward(timeline: TraceTimeline) -> list[tuple[Stop, Any]]:
    found = []
    while (stop := timeline.run()).why is not Why.END:
        found.append((stop, timeline.position))
    return found


def test_run_back_meets_the_breakpoints_of_a_run_forward_in_reverse(recorded: Recorded) -> None:
    timeline = TraceTimeline(Replay(recorded("traps")))
    timeline.add_breakpoint(symbol(timeline, "m_handler"))
    forward = hits_forward(timeline)
    assert len(forward) > 3
    for stop, position in reversed(forward):
        assert timeline.run_back() == stop
        assert timeline.position == position
    assert timeline.run_back().why is Why.START


def test_run_back_stops_before_a_watched_store(recorded: Recorded) -> None:
    timeline = TraceTimeline(Replay(recorded("traps")))
    timeline.seek(20_000)
    address = timeline.board.registers_of(0)["sp"] - 16
    watch = timeline.add_watch(WatchKind.STORE, address, 8)
    timeline.seek(0)
    forward = hits_forward(timeline)
    assert forward
    for stop, _ in reversed(forward[-20:]):
        back = timeline.run_back()
        assert back == stop
        hit = back.hits[0]
        assert timeline.position.icount == hit.icount
        assert timeline.board.hart.pc == hit.pc
        assert timeline.board.memory.read(hit.address, hit.size) == hit.old
        again = timeline.step()
        assert (again.why, again.hits) == (Why.WATCH, back.hits)
        assert timeline.board.memory.read(hit.address, hit.size) == hit.new
        timeline.step(-1)
    timeline.remove_watch(watch)


def test_predicate_is_asked_at_each_breakpoint_from_the_latest_back(recorded: Recorded) -> None:
    timeline = TraceTimeline(Replay(recorded("traps")))
    timeline.add_breakpoint(symbol(timeline, "m_handler"))
    forward = hits_forward(timeline)
    asked: list[int] = []

    def third(board: Any) -> bool:
        asked.append(board.position.icount)
        return len(asked) == 3

    timeline.run_back_until(predicate=third)
    assert asked == [position.icount for _, position in reversed(forward[-3:])]
    assert timeline.position == forward[-3][1]


def test_predicate_without_breakpoints_is_asked_before_each_instruction(recorded: Recorded) -> None:
    timeline = TraceTimeline(Replay(recorded("hello")))
    entry = symbol(timeline, "main")
    timeline.run()
    assert timeline.run_back_until(predicate=lambda board: board.hart.pc == entry).why is Why.REACHED
    assert timeline.board.hart.pc == entry
    assert timeline.run_back_until(predicate=lambda board: board.hart.pc == 2).why is Why.START


def test_run_back_until_event_ends_just_before_it_came_in(recorded: Recorded) -> None:
    timeline = TraceTimeline(Replay(recorded("dhcp")))
    timeline.run()
    seen = []
    while timeline.run_back_until(event="net0.rx").why is Why.REACHED:
        seen.append(timeline.session.door.next_seq)
    items = [item.seq for item in timeline.session.reader.items() if item.name == "net0.rx"]
    assert seen
    assert len(seen) == len(items)
    assert timeline.position == timeline.start


def test_write_in_the_past_begins_a_diversion_that_going_back_throws_away(recorded: Recorded) -> None:
    path = recorded("traps")
    timeline = TraceTimeline(Replay(path))
    notices: list[str] = []
    timeline.on_notice = notices.append
    timeline.seek(5000)
    timeline.write_register("a0", timeline.board.registers_of(0)["a0"])
    assert not timeline.is_diverted
    timeline.write_register("a0", 0x1234)
    assert timeline.is_diverted
    assert timeline.board.registers_of(0)["a0"] == 0x1234
    timeline.step(2000)
    assert timeline.is_diverted
    timeline.step(-1)
    assert not timeline.is_diverted
    assert timeline.position.icount == 4999
    assert timeline.board.digest() == straight(path, 4999)
    assert len(notices) == 2
    timeline.seek(9000)
    assert timeline.board.digest() == straight(path, 9000)


def test_write_to_a_register_that_is_read_only_begins_nothing(recorded: Recorded) -> None:
    timeline = TraceTimeline(Replay(recorded("hello")))
    timeline.seek(100)
    with pytest.raises(KeyError):
        timeline.write_register("mhartid", 3)
    with pytest.raises(KeyError):
        timeline.write_register("nonsense", 3)
    assert not timeline.is_diverted
    assert timeline.run().why is Why.END


@pytest.mark.parametrize("hart", [None, 0])
@pytest.mark.parametrize("address", [0x1000, 0x1000_0000, 0x800F_FFFE])
def test_write_to_what_is_no_ram_begins_nothing(recorded: Recorded, address: int, hart: int | None) -> None:
    timeline = TraceTimeline(Replay(recorded("hello")))
    notices: list[str] = []
    timeline.on_notice = notices.append
    timeline.seek(100)
    digest = timeline.board.digest()
    assert timeline.write_memory(address, b"abcd", hart) is False
    assert not timeline.is_diverted
    assert timeline.board.digest() == digest
    assert notices == []


def test_what_is_typed_in_the_past_goes_to_the_diversion(recorded: Recorded) -> None:
    timeline = TraceTimeline(Replay(recorded("echo", 100_000)))
    timeline.seek(50_000)
    sent = len(timeline.board.console)
    timeline.type(b"diverted\r")
    timeline.step(400_000)
    assert b"DIVERTED" in bytes(timeline.board.console[sent:])
    timeline.seek(60_000)
    assert b"DIVERTED" not in bytes(timeline.board.console)


def test_interrupt_ends_a_move_and_the_next_one_goes_on(recorded: Recorded) -> None:
    timeline = TraceTimeline(Replay(recorded("traps")))
    interrupt_at_stride(timeline, 3)
    assert timeline.run().why is Why.INTERRUPTED
    assert 0 < timeline.position.icount < timeline.end.icount
    assert timeline.run().why is Why.END
    interrupt_at_stride(timeline, 3)
    timeline.add_breakpoint(2)
    assert timeline.run_back().why is Why.INTERRUPTED
    timeline.remove_breakpoint(2)
    assert timeline.seek(3).why is Why.REACHED


def test_interrupt_ends_a_step_back_of_one_hart(recorded: Recorded) -> None:
    timeline = TraceTimeline(Replay(recorded("smp", 60_000, smp=3)))
    timeline.seek(50_000)
    timeline.on_stride = timeline.interrupt
    assert timeline.step(-1, hart=2).why is Why.INTERRUPTED
    timeline.on_stride = lambda: None
    assert timeline.step(-1, hart=2).why is Why.REACHED


@pytest.mark.parametrize("hart", range(3))
def test_step_of_one_hart_goes_until_it_has_retired_an_instruction_and_back_undoes_it(
    recorded: Recorded, hart: int
) -> None:
    path = recorded("smp", 60_000, smp=3)
    timeline = TraceTimeline(Replay(path))
    timeline.seek(50_000)
    retired = [one.minstret for one in timeline.board.harts]
    places = []
    for _ in range(4):
        stop = timeline.step(hart=hart)
        if stop.why is not Why.REACHED:
            pytest.skip("this hart does nothing more")
        places.append(timeline.position.icount)
        retired[hart] += 1
        assert timeline.board.harts[hart].minstret == retired[hart]
    for icount in reversed(places):
        assert timeline.step(-1, hart=hart).hart == hart
        assert timeline.position.icount == icount - 1
        assert timeline.board.digest() == straight(path, icount - 1)


def test_step_of_one_hart_at_the_end_of_a_recording_that_was_cut_short_says_so(recorded: Recorded) -> None:
    timeline = TraceTimeline(Replay(recorded("smash", 20_000, smp=2)))
    timeline.seek(19_999)

    assert [timeline.step(hart=timeline.board.hart.hart_id).why for _ in range(3)] == [Why.REACHED, Why.END, Why.END]
    assert timeline.position.icount == 20_000


def test_step_back_of_one_hart_stops_where_another_one_meets_a_breakpoint(recorded: Recorded) -> None:
    timeline = TraceTimeline(Replay(recorded("smash", 20_000, smp=2)))
    timeline.add_breakpoint(symbol(timeline, "set_title"))
    met = timeline.run()
    assert (met.why, met.hart) == (Why.BREAKPOINT, 1)
    place = timeline.position
    while timeline.step(hart=0).hart != 0:
        pass

    stops = [(stop.why, stop.hart, timeline.position) for stop in (timeline.step(-1, hart=0) for _ in range(3))]

    assert [stop[:2] for stop in stops] == [(Why.REACHED, 0), (Why.BREAKPOINT, 1), (Why.REACHED, 0)]
    assert stops[0][2] > stops[1][2] == place > stops[2][2]


def test_snapshots_of_the_trace_are_places_to_begin_at(tmp_path: Path) -> None:
    from minstret.emu.door.recording import RecordOptions

    path = tmp_path / "snapshots.mst"
    with Recording(path, setup_of("bench"), options=RecordOptions(200_000)) as recording:
        recording.run(icount=1_000_000)
    timeline = TraceTimeline(Replay(path))
    timeline.seek(900_100)
    assert len(timeline.moments) < 50
    assert timeline.board.digest() == straight(path, 900_100)
    timeline.seek(350_000)
    assert timeline.board.digest() == straight(path, 350_000)


def test_history_bounds_what_is_kept(recorded: Recorded) -> None:
    timeline = TraceTimeline(Replay(recorded("traps")), history=1 << 20)
    timeline.run()
    assert timeline.moments.size_bytes <= 1 << 20
    end = timeline.position.icount
    timeline.step(-1)
    assert timeline.position.icount == end - 1


def test_recording_that_was_killed_ends_where_it_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "killed.mst"
    with Recording(path, replace(setup_of("ticks"))) as recording:
        recording.run(icount=9000)
    tamper(str(path), "DELETE FROM meta WHERE key = 'end'")
    timeline = TraceTimeline(Replay(path))
    stop = timeline.run()
    assert stop.why is Why.END
    assert timeline.position.icount == 9000
    timeline.step(-1)
    assert timeline.board.digest() == straight(path, 8999)
