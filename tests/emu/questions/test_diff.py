"""Where two runs part: traces with and without snapshots, of other images, other input, other orders of harts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.asm import A0, LOOP, S0, T0, ZERO, addi, bne, code, jal, lb, li, sw
from support.recordings import Hand, setup_of_image, typed
from support.two_runs import live_side, setup_of_ram

from minstret.devices.board.board import Setup
from minstret.devices.board.traced import Recording, Replay
from minstret.emu.door.live import Source
from minstret.emu.door.recording import RecordOptions
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.questions.diff import Answer, Diff
from minstret.emu.questions.diffing.compared import Differs
from minstret.emu.questions.diffing.side import Side
from minstret.emu.questions.diffing.tables import InTable

RAM = 0x8000_0000
INSNS = 60_000
FINISHER, UART = 0x10_0000, 0x1000_0000


def recorded(path: Path, setup: Setup, source: Source | None = None, insns: int | None = INSNS, **options: Any) -> Path:
    with Recording(path, setup, source=source, options=RecordOptions(**options)) as recording:
        outcome = recording.run(icount=insns)
        recording.finish(Outcome(StopReason.MAX_INSNS) if outcome.reason is StopReason.REACHED else outcome)
    return path


def compared(*paths: Path, **options: Any) -> Answer:
    return Diff(*(Side(path.name, Replay(path)) for path in paths), **options).find()


def program(*last: int | bytes) -> bytes:
    """It counts for a while, then it does that."""
    count = [li(T0, 10_000), addi(T0, T0, -1), bne(T0, ZERO, -4)]
    return code(*count, *count, *last, LOOP)


@pytest.mark.parametrize("options", [{}, {"snapshot_every_insns": 7000}, {"snapshot_every_insns": 7000, "ring": 2}])
@pytest.mark.parametrize("xlen", [64, 32])
def test_changed_instruction_is_found(tmp_path: Path, options: dict[str, Any], xlen: int) -> None:
    paths = [
        recorded(tmp_path / f"{value}.mst", setup_of_ram(program(addi(A0, ZERO, value)), xlen), insns=50_000, **options)
        for value in (1, 2)
    ]
    answer = compared(*paths)
    if "ring" in options:  # it begins after that
        assert answer.difference is not None
        assert answer.difference.what is Differs.START
        assert [each[0] for each in answer.difference.registers] == ["a0"]
        return
    assert answer.difference is not None
    assert not answer.is_same
    assert answer.difference.what is Differs.INSN
    assert [side.pc for side in answer.difference.sides] == [RAM + len(program()) - 4] * 2
    assert [tuple(each) for each in answer.difference.registers] == [("a0", 1, 2)]


def test_same_recording_is_the_same_run(tmp_path: Path) -> None:
    setup = setup_of_ram(program(), 64)
    answer = compared(*(recorded(tmp_path / f"{number}.mst", setup) for number in range(2)))
    assert answer.is_same
    assert answer.end is not None
    assert answer.end.icount == INSNS


def test_other_input_is_found_where_an_instruction_reads_it(tmp_path: Path) -> None:
    paths = [
        recorded(tmp_path / f"{text}.mst", setup_of_image("echo"), Hand(*(typed(bytes([byte])) for byte in text)), None)
        for text in (b"hello.", b"hexlo.")
    ]
    answer = compared(*paths)
    assert answer.table is not None
    assert answer.table.what is InTable.ITEM
    assert answer.difference is not None
    assert answer.difference.what is Differs.EFFECT
    ((_, one, other),) = answer.difference.registers
    assert (chr(one), chr(other)) == ("l", "x")
    assert answer.difference.icount >= answer.table.position.icount
    assert "uart0.rx" in answer.difference.sides[0].events[-1]
    assert answer == compared(*paths, stride_insns_max=300)


def test_input_that_nobody_reads_differs_in_the_traces_only(tmp_path: Path) -> None:
    setup, paths = setup_of_ram(program(), 64), []
    for text in (b"a", b"b"):
        with Recording(tmp_path / f"{text!r}.mst", setup) as recording:
            recording.board.post("uart0.rx", text)
            recording.run(icount=INSNS)
        paths.append(tmp_path / f"{text!r}.mst")
    answer = compared(*paths)
    assert answer.difference is None
    assert not answer.is_same
    assert answer.table is not None
    assert answer.end is not None
    assert answer.end.icount == INSNS


def test_input_is_found_although_the_guest_forgets_it_at_once(tmp_path: Path) -> None:
    setup, paths = setup_of_ram(program(li(S0, UART), lb(A0, S0, 0), addi(A0, ZERO, 0)), 64), []
    for text in (b"a", b"b"):
        with Recording(tmp_path / f"{text!r}.mst", setup) as recording:
            recording.board.post("uart0.rx", text)
            recording.run(icount=INSNS)
        paths.append(tmp_path / f"{text!r}.mst")
    difference = compared(*paths).difference
    assert difference is not None
    assert [tuple(each) for each in difference.registers] == [("a0", ord("a"), ord("b"))]
    assert difference.icount > 20_000


def test_memory_that_is_read_before_it_is_written_is_found(tmp_path: Path) -> None:
    ram = bytearray(0x2000)
    read = program(li(S0, RAM + 0x1800), sw(T0, S0, 4), lb(A0, S0, 4), lb(A0, S0, 9))
    ram[: len(read)] = read
    other = ram[:0x1800] + b"garbage" * 20
    paths = [
        recorded(tmp_path / f"{number}.mst", setup_of_ram(bytes(data), 64)) for number, data in enumerate((ram, other))
    ]
    difference = compared(*paths).difference
    assert difference is not None
    assert difference.what is Differs.READ
    (memory,) = difference.memory
    assert (memory.is_read, memory.address, memory.one, memory.other) == (True, (RAM + 0x1809,) * 2, b"\0", b"r")


def test_harts_in_another_order_are_found(tmp_path: Path) -> None:
    paths = [
        recorded(tmp_path / f"{seed}.mst", setup_of_image("race", smp=2, chaos_seed=seed), insns=None)
        for seed in (1, 2)
    ]  # fmt: skip
    difference = compared(*paths).difference
    assert difference is not None
    assert difference.what is Differs.HART
    assert {side.hart for side in difference.sides} == {0, 1}


def test_trace_and_live_run_are_compared(tmp_path: Path) -> None:
    one, other = (setup_of_ram(program(addi(A0, ZERO, value)), 64) for value in (1, 2))
    replay = Side("a", Replay(recorded(tmp_path / "a.mst", one)))
    difference = Diff(replay, live_side("b", other, INSNS)).find().difference
    assert difference is not None
    assert difference.what is Differs.INSN
    replay = Side("a", Replay(tmp_path / "a.mst"))
    assert Diff(replay, live_side("b", one, INSNS)).find().is_same


def test_shorter_recording_differs_where_it_ends(tmp_path: Path) -> None:
    setup = setup_of_ram(program(), 64)
    paths = [recorded(tmp_path / f"{insns}.mst", setup, insns=insns) for insns in (40_000, INSNS)]
    difference = compared(*paths).difference
    assert difference is not None
    assert (difference.what, difference.icount) == (Differs.END, 40_000)
    assert [side.over is None for side in difference.sides] == [False, True]


def test_other_exit_code_is_found_in_the_store_of_it(tmp_path: Path) -> None:
    paths = []
    for value in (0, 1):
        end = program(li(S0, FINISHER), li(T0, 0x5555 if not value else 0x1_3333), sw(T0, S0, 0), jal(ZERO, 0))
        paths.append(recorded(tmp_path / f"{value}.mst", setup_of_ram(end, 64)))
    difference = compared(*paths).difference
    assert difference is not None
    assert difference.what is Differs.INSN
