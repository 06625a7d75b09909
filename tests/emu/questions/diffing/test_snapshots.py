"""A replay beside the snapshots of its trace."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.asm import S0, T0, T1, T2, ZERO, add, andi, beq, code, jal, lb, lui
from support.elf_files import write_elf

from minstret.devices.board.board import Setup
from minstret.devices.board.config import BoardConfig
from minstret.devices.board.traced import Recording, Replay
from minstret.emu.door.recording import RecordOptions
from minstret.emu.images.loader import read_image
from minstret.emu.questions.diffing.side import Side
from minstret.emu.questions.diffing.snapshots import Known, beside_snapshots, known_lines

TYPED = b"ab\x01cd"
ADDS = code(
    lui(T0, 0x10000), lb(T1, T0, 5), andi(T1, T1, 1), beq(T1, ZERO, -8), lb(T2, T0, 0), add(S0, S0, T2), jal(ZERO, -20)
)
"""Adds up what is typed, and says nothing."""


@pytest.fixture
def adds(tmp_path: Path) -> Path:
    """A trace of ADDS, with a snapshot every 40 instructions."""
    path = tmp_path / "adds.mst"
    setup = Setup(BoardConfig(ram_size=4 << 20), read_image(write_elf(tmp_path / "adds.elf", ADDS)))
    with Recording(str(path), setup, options=RecordOptions(snapshot_every_insns=40)) as recording:
        for byte in TYPED:
            recording.send(bytes([byte]))
            recording.run_for("1us")
    return path


def known(path: Path) -> Known:
    return beside_snapshots(Side("", Replay(str(path))), Side("", Replay(str(path))))


def test_replay_that_is_the_recorded_run_is_the_same_at_the_last_snapshot(adds: Path) -> None:
    last = Replay(str(adds)).reader.snapshot_positions()[-1][1]

    found = known(adds)

    assert found == Known(last)
    assert list(known_lines(found)) == [f"at the snapshot at icount {last.icount:_} it was still what was recorded"]


def test_first_snapshot_behind_a_changed_event_differs(adds: Path) -> None:
    with closing(sqlite3.connect(adds, isolation_level=None)) as db:
        (icount,) = db.execute("SELECT icount FROM events WHERE data = x'01'").fetchone()
        db.execute("UPDATE events SET data = x'02' WHERE data = x'01'")
    positions = [at for _, at in Replay(str(adds)).reader.snapshot_positions()]

    found = known(adds)

    assert found.same is not None
    assert found.differs is not None
    assert found.same.icount <= icount < found.differs.at.icount
    assert positions[positions.index(found.same) + 1] == found.differs.at
    before = sum(b"ab")
    assert ("hart0", "s0", before + 1, before + 2) in found.differs.registers
    lines = list(known_lines(found))
    assert lines[1] == f"at the snapshot at icount {found.differs.at.icount:_} it is another state:"
    assert f"  hart0 s0: recorded {before + 1:#x}, got {before + 2:#x}" in lines
