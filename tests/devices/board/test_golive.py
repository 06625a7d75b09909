"""A board that goes on live from a trace: what it has from the trace, what is given again, and what is refused."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from support import asm
from support.recordings import (
    CTRL_C,
    PASS,
    TERMINATED,
    TIMEOUT,
    Hand,
    OneFile,
    finish_code,
    reader_code,
    record,
    setup_of_code,
    setup_of_image,
    tamper,
    typed,
)

from minstret.devices.board.board import Setup
from minstret.devices.board.golive import go_live
from minstret.devices.board.traced import Recording, Replay, live_timeline
from minstret.devices.hostside.hostinput.parsing import parse_script
from minstret.emu.door.recording import RecordOptions
from minstret.emu.errors import ConfigError, TraceError
from minstret.emu.machine import StopReason
from minstret.emu.session import LiveSession
from minstret.emu.timeline import Why
from minstret.emu.trace.reader import TraceReader

MINSTRET = f"minstret {version('minstret')}"


def refusal(*args: Any, **options: Any) -> str:
    with pytest.raises((TraceError, ConfigError)) as caught:
        go_live(*args, **options)
    return str(caught.value)


def no_more(path: str, why: str, snapshot: int | None = None) -> str:
    advice = (
        "it has no snapshot to go on from" if snapshot is None
        else f"give --from ICOUNT to go on from a snapshot before; the last one is at {snapshot}"
    )  # fmt: skip
    return f"{path}: can't go on live from its end: {why}: {advice}"


# ---- it goes on


def test_readme_like_example_goes_on_and_is_recorded(tmp_path: Path) -> None:
    path = record(tmp_path, setup_of_image("dhcp"), icount=60_000).path
    more = tmp_path / "more.mst"

    with go_live(path, output=more) as session:
        begins_at = session.board.position
        outcome = session.run()

    assert begins_at.icount == 60_000
    assert outcome.reason is StopReason.FINISHED
    replay = Replay(more)
    assert replay.board.position == begins_at
    assert replay.run() == outcome
    assert replay.board.digest() == session.board.digest()
    assert session.board.console.endswith(replay.board.console)


@pytest.mark.parametrize("stop", [CTRL_C, TIMEOUT, TERMINATED])
@pytest.mark.parametrize("sleep", [False, True])
def test_run_that_the_host_has_ended_goes_on_with_what_is_typed(stop: Any, sleep: bool, tmp_path: Path) -> None:
    setup = setup_of_code(reader_code(), sleep=sleep)
    path = record(tmp_path, setup, source=Hand(typed(b"one, "), stop, stays=True)).path

    with go_live(path, source=Hand(typed(b"two."), stays=True)) as session:
        assert session.run().reason is StopReason.FINISHED
    assert session.board.console == b"one, two"


def test_guest_that_waits_forever_goes_on_where_something_is_typed(tmp_path: Path) -> None:
    path = record(tmp_path, setup_of_image("keys")).path
    with closing(TraceReader(path)) as reader:
        assert reader.end is not None
        assert reader.end["reason"] == StopReason.WAITS_FOREVER.value
    hand = Hand(stays=True)

    assert refusal(path) == no_more(path, "the guest waits forever there, and there is no input")
    with go_live(path, source=hand) as session:
        assert session.board.host_side is not None
        session.board.host_side.input.type_bytes(b"\x1b")
        assert session.run().reason is StopReason.FINISHED
    assert b"KEY 1 press" in session.board.console


def test_input_that_found_no_room_at_the_end_is_not_lost(tmp_path: Path) -> None:
    """The end comes while semihosting has room for one byte of four; so does a snapshot."""
    setup = setup_of_code(reader_code())
    hand = Hand(typed(b"abc."), stays=True)
    whole = record(tmp_path, setup, source=hand)
    assert whole.console == b"abc"
    (taken, *_) = [item.position.icount for item in whole.items() if item.name == "uart0.rx"]

    cut = record(tmp_path, setup, source=Hand(typed(b"abc."), stays=True), icount=taken + 1, every=taken + 1)
    with cut.reader() as reader:
        host = reader.host_at_end()
        assert host is not None
        assert reader.snapshot(1).host["waiting"] == host["waiting"] == [["uart0.rx", {"hex": b"bc.".hex()}]]
    for snapshot in (None, 1):
        with go_live(cut.path, snapshot=snapshot) as session:
            assert session.run().reason is StopReason.FINISHED
        assert whole.console.endswith(session.board.console)
        assert session.board.digest() == whole.end.digest


def test_ring_goes_on_from_its_end_and_its_snapshots(tmp_path: Path) -> None:
    whole = record(tmp_path / "whole.mst", setup_of_image("dhcp-wfi"))
    ring = record(tmp_path / "ring.mst", setup_of_image("dhcp-wfi"), every=20_000, ring=2, icount=90_000)

    for snapshot in (None, *ring.snapshots()):
        with go_live(ring.path, snapshot=snapshot, output=tmp_path / "more.mst", overwrite=True) as session:
            session.run()
        assert session.board.digest() == whole.end.digest
        replay = Replay(tmp_path / "more.mst")
        assert replay.run().reason is StopReason.FINISHED
        assert replay.board.digest() == whole.end.digest


def test_recording_that_was_left_without_an_end_goes_on(tmp_path: Path) -> None:
    path, setup = tmp_path / "run.mst", setup_of_image("dhcp")
    with Recording(path, setup) as recording:
        recording.run(icount=60_000)
        saved = recording.save()
        recording.run(icount=70_000)
        recording.restore(saved)
    whole = LiveSession(lambda door: setup.make(door=door))
    whole.run()

    with closing(TraceReader(str(path))) as reader:
        assert reader.end is None
    with go_live(path) as session:
        assert session.board.position == saved.position
        session.run()
    assert session.board.digest() == whole.board.digest()


def test_new_trace_keeps_snapshots_a_ring_and_goes_back_like_any_other(tmp_path: Path) -> None:
    setup = setup_of_image("rtos")
    path, more = record(tmp_path, setup, icount=50_000).path, tmp_path / "more.mst"

    with go_live(path, output=more, options=RecordOptions(20_000, ring=3)) as session:
        session.run(icount=75_000)
        saved, digests = session.save(), []
        for _ in range(2):
            session.run(icount=200_000)
            digests.append(session.board.digest())
            session.restore(saved)
        session.release(saved)
        session.run(icount=200_000)
    assert digests == [session.board.digest()] * 2

    with closing(TraceReader(str(more))) as reader:
        numbers = [number for number, _ in reader.snapshot_positions()]
        assert [position.icount for _, position in reader.snapshot_positions()] == [160_000, 180_000, 200_000]
        for number in numbers:
            replay = Replay(reader, snapshot=number)
            replay.run()
            assert replay.board.digest() == digests[0]


def test_timeline_of_a_run_that_went_live_goes_back_to_where_it_began(tmp_path: Path) -> None:
    path = record(tmp_path, setup_of_image("rtos"), icount=50_000).path
    with go_live(path, output=tmp_path / "more.mst") as session:
        digests = [session.board.digest()]
        timeline = live_timeline(session)
        for _ in range(3):
            timeline.step(4_000)
            digests.append(timeline.board.digest())

        assert timeline.start.icount == 50_000
        for number in (1, 0, 2):
            timeline.seek(50_000 + 4_000 * number)
            assert timeline.board.digest() == digests[number]
        assert timeline.run_back().why is Why.START
        assert timeline.position == timeline.start
        assert timeline.board.digest() == digests[0]
        timeline.seek(timeline.end.icount)
        assert timeline.is_live


def test_new_trace_that_was_killed_at_once_is_good_up_to_where_it_began(tmp_path: Path) -> None:
    path, more = record(tmp_path, setup_of_image("rtos"), icount=50_000).path, tmp_path / "more.mst"
    session = go_live(path, output=more)
    digest, copy = session.board.digest(), tmp_path / "copy.mst"

    copy.write_bytes(more.read_bytes())
    session.door.abandon(is_between_turns=False)

    replay = Replay(copy)
    assert replay.run().reason is StopReason.REACHED
    assert (replay.board.position.icount, replay.board.digest()) == (50_000, digest)


def test_nothing_is_at_the_path_where_a_run_does_not_go_on(tmp_path: Path) -> None:
    path, more = record(tmp_path, setup_of_image("dhcp"), icount=60_000).path, tmp_path / "more.mst"
    tamper(path, "UPDATE outputs SET data = CAST('jello' AS BLOB) WHERE id = 1")

    with pytest.raises(Exception, match=r"^uart0\.tx at icount"):
        go_live(path, output=more)
    assert not more.exists()


# ---- what no trace has


def test_tftp_goes_on_with_the_files_that_are_given_again(tmp_path: Path) -> None:
    setup = setup_of_image("tftp")
    whole = record(tmp_path / "whole.mst", setup)
    path = record(tmp_path, setup, icount=whole.end.position.icount // 2).path
    with closing(TraceReader(path)) as reader:
        assert reader.meta["outside"] == {"tftp": True}

    with go_live(path, files=OneFile()) as session:
        session.run()
        assert session.board.digest() == whole.end.digest
    with go_live(path) as session:
        session.run()
        assert session.board.digest() != whole.end.digest


TYPING = 'AT 1ms: type "two words"\nAT 60ms: hold shift\nAT icount 114000: press b\nAT 400ms: press esc'


def test_script_that_is_given_again_goes_on_with_its_next_line(tmp_path: Path) -> None:
    setup = replace(setup_of_image("keys"), script=tuple(parse_script(TYPING, "test")))
    whole = record(tmp_path / "whole.mst", setup)
    assert whole.end.outcome.reason is StopReason.FINISHED
    path = record(tmp_path, setup, drive=lambda board: board.run_until(virtual_ns=65_000_000)).path

    with go_live(path, script=setup.script) as session:
        assert session.board.host_side is not None
        assert 0 < session.board.host_side.script.state.next_line < len(setup.script)
        session.run()
    assert session.board.digest() == whole.end.digest


def test_without_its_script_the_guest_waits_for_keys(tmp_path: Path) -> None:
    setup = replace(setup_of_image("keys"), script=tuple(parse_script(TYPING, "test")))
    path = record(tmp_path, setup, drive=lambda board: board.run_until(virtual_ns=65_000_000)).path

    with go_live(path) as session:
        assert session.run().reason is StopReason.WAITS_FOREVER


def test_script_for_a_run_that_had_none_is_played_from_its_first_line(tmp_path: Path) -> None:
    path = record(tmp_path, setup_of_image("keys")).path

    with go_live(path, source=Hand(stays=True), script=parse_script("AT 1us: press esc", "test")) as session:
        assert session.run().reason is StopReason.FINISHED


def test_files_for_a_board_without_a_card_are_refused(tmp_path: Path) -> None:
    path = record(tmp_path, setup_of_image("ticks"), icount=100).path

    assert refusal(path, files=OneFile()) == f"there is no network card in {path}, so nothing asks for files by TFTP"


# ---- what can't go on

ENDS: dict[str, tuple[Setup, str]] = {
    "finished": (setup_of_code(finish_code(PASS)), "the guest has finished there"),
    "trap loop": (setup_of_image("crash"), "the guest is in a trap loop there"),
    "waits": (setup_of_code(asm.code(asm.WFI, asm.LOOP)), "the guest waits forever there, and there is no input"),
}


@pytest.mark.parametrize("every", [0, 1])
@pytest.mark.parametrize("name", ENDS)
def test_end_after_which_nothing_comes_is_refused_with_what_to_do(name: str, every: int, tmp_path: Path) -> None:
    setup, why = ENDS[name]
    recorded = record(tmp_path, setup, every=every)
    with recorded.reader() as reader:
        last = reader.snapshot_positions()[-1][1].icount if every else None

    assert refusal(recorded.path) == no_more(recorded.path, why, last)
    if every:
        with go_live(recorded.path, snapshot=1) as session:
            assert session.run().reason is recorded.end.outcome.reason
            assert session.board.digest() == recorded.end.digest


def test_guest_that_nothing_wakes_is_refused_though_there_is_input(tmp_path: Path) -> None:
    path = record(tmp_path, ENDS["waits"][0]).path

    assert refusal(path, source=Hand(stays=True)) == no_more(path, "the guest waits forever there, whatever is typed")


def test_killed_recording_goes_on_from_a_snapshot_only(tmp_path: Path) -> None:
    whole = record(tmp_path / "whole.mst", setup_of_image("dhcp"))
    path = tmp_path / "run.mst"
    recording = Recording(path, setup_of_image("dhcp"), options=RecordOptions(25_000))
    with recording:
        recording.run(icount=60_000)
        recording.door.abandon(is_between_turns=False)
        recording.end = whole.end  # nothing more is to be written

    assert refusal(path) == no_more(
        str(path), "the host side at its end is not in it, as its recording was killed", 50_000
    )
    with go_live(path, snapshot=2) as session:
        session.run()
    assert session.board.digest() == whole.end.digest


def test_trace_of_an_older_minstret_goes_on_from_its_snapshots(tmp_path: Path) -> None:
    whole = record(tmp_path / "whole.mst", setup_of_image("dhcp"))
    path = record(tmp_path, setup_of_image("dhcp"), every=25_000, icount=60_000).path
    tamper(path, "DELETE FROM meta WHERE key = 'host_at_end'")
    change_meta(path, "state_versions", lambda versions: {k: v for k, v in versions.items() if k != "live"})
    change_host(path, lambda host: {key: value for key, value in host.items() if key != "waiting"})

    assert Replay(path).run().reason is StopReason.REACHED
    assert refusal(path) == no_more(
        path, "the host side at its end is not in it, as it is of an older minstret, or was too large", 50_000
    )
    with go_live(path, snapshot=2) as session:
        session.run()
    assert session.board.digest() == whole.end.digest


@pytest.mark.parametrize("model", ["virtual-ext", "no-attributes"])
def test_timer_models_for_comparison_are_refused(model: str, tmp_path: Path) -> None:
    path = record(tmp_path, setup_of_image("ticks", timer_model=model), icount=1000).path

    assert refusal(path) == (
        f"{path}: recorded with --timer-model {model}, which is for comparison: it replays, but can't go on live"
    )


@pytest.mark.parametrize(("section", "name"), [("core", "hart"), ("host", "usernet"), ("live", "door")])
def test_state_of_another_version_is_refused(section: str, name: str, tmp_path: Path) -> None:
    path = record(tmp_path, setup_of_image("dhcp"), every=25_000, icount=60_000).path
    change_meta(path, "state_versions", lambda versions: versions | {section: versions[section] | {name: 99}})

    for snapshot in (None, 1):
        assert refusal(path, snapshot=snapshot) == (
            f"{path}: recorded by {MINSTRET} with another version of the state of {name}: it replays, but can't"
            " go on live; use the one that recorded it"
        )


def test_trace_in_which_nothing_was_recorded_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.mst"
    with Recording(path, setup_of_image("ticks")) as recording:
        recording.door._writer.begin()
        recording.door.abandon(is_between_turns=False)
        recording.end = record(tmp_path / "other.mst", ENDS["finished"][0]).end

    assert refusal(path) == f"{path}: nothing was recorded yet: the recording was killed in its first moments"


def test_end_between_a_trap_and_its_handler_goes_on_but_is_not_recorded(tmp_path: Path) -> None:
    setup = setup_of_image("ticks")
    path, whole = tmp_path / "run.mst", record(tmp_path / "whole.mst", setup)
    with Recording(path, setup, options=RecordOptions(1000)) as recording:
        recording.run(icount=5000)
        handler = recording.board.registers["mtvec"] & ~3
        recording.board.breakpoints.add(handler)
        assert recording.run().reason is StopReason.BREAKPOINT
        assert recording.board.machine.handler_entry is not None

    with go_live(path) as session:
        assert session.board.registers["pc"] == handler
        session.run()
        assert session.board.digest() == whole.end.digest
    assert "a breakpoint between a trap and its handler" in refusal(path, output=tmp_path / "more.mst")
    assert not (tmp_path / "more.mst").exists()


# ---- what is damaged


def change_meta(path: str, key: str, change: Any) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        ((text,),) = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchall()
        db.execute("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(change(json.loads(text))), key))


def change_host(path: str, change: Any) -> None:
    """Change the host's section of each snapshot."""
    from support.trace_fuzz import zstd

    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for number, data in db.execute("SELECT id, host FROM snapshots").fetchall():
            packed = zstd.compress(json.dumps(change(json.loads(zstd.decompress(data)))).encode())
            db.execute("UPDATE snapshots SET host = ? WHERE id = ?", (packed, number))
