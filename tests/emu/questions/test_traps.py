"""The last trap, and what led to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.guest_boards import setup_of
from support.recordings import record

from minstret.devices.board.traced import Replay
from minstret.emu.past import TraceTimeline
from minstret.emu.questions.traps import TrapCause, last_trap
from minstret.emu.timeline import Why


def asked(path: Path, hart: int | None = None, before: int | None = None) -> TrapCause | Why:
    replay = Replay(path)
    timeline = TraceTimeline(replay)
    if before is None:
        timeline.run()
    else:
        timeline.seek(before)
    return last_trap(timeline, replay.reader, replay.board.symbols, hart)


@pytest.mark.parametrize("xlen", [32, 64])
@pytest.mark.parametrize("harts", [1, 2])
def test_return_to_a_wrong_address_leads_to_who_overwrote_the_right_one(tmp_path: Path, xlen: int, harts: int) -> None:
    record(tmp_path, setup_of("smash", xlen, smp=harts))
    found = asked(tmp_path / "run.mst", 0)
    assert isinstance(found, TrapCause)
    symbols = Replay(tmp_path / "run.mst").board.symbols
    assert found.jump is not None
    assert symbols.describe(found.jump[0]).startswith("survey_tank+")
    assert (found.register, found.set_by is not None) == ("ra", True)
    written = found.written_by
    assert written is not None
    assert written.hart == harts - 1
    assert written.pc is not None
    assert symbols.describe(written.pc).startswith("set_title+")


def test_trap_of_an_access_has_its_callers(tmp_path: Path) -> None:
    record(tmp_path, setup_of("crash"), icount=245)
    found = asked(tmp_path / "run.mst", before=245)
    if isinstance(found, TrapCause):
        assert found.trap.icount <= 245
    assert asked(tmp_path / "run.mst", before=100) is Why.START
