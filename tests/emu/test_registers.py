"""Registers that C answers: the same as in Python, wherever a run is cut, whoever listens, and in the trace."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support import asm
from support.asm import T0, T1, T2, ZERO
from support.chip_traffic import traffic
from support.random_cases import SEED_FAST, SEED_SLOW, TIMES
from support.recordings import Hand, typed

from minstret.devices.board.board import Board, Setup
from minstret.devices.board.config import BoardConfig
from minstret.devices.board.map import Base
from minstret.devices.board.traced import Recording, Replay
from minstret.emu.errors import DivergenceError
from minstret.emu.hart.shared import Counting
from minstret.emu.images.loader import ImageFile
from minstret.emu.irq import SourceChange
from minstret.emu.part import takes_pieces
from minstret.emu.registers import SENT_MAX
from minstret.emu.state import canonical_bytes
from minstret.emu.trace.reader import TraceReader

END = 6000
TYPED = b"a\nbcdefghijklmnopqrstuv\n\n"


def nobody(board: Board) -> Callable[[], None]:
    return lambda: None


def who_taps_lines(board: Board) -> Callable[[], None]:
    undo = [line.tap(lambda level: None) for line in board.machine.lines.values()]

    def end() -> None:
        for each in reversed(undo):
            each()

    return end


def who_asks_the_plic(board: Board) -> Callable[[], None]:
    changes: list[tuple[SourceChange, int]] = []
    board.plic.on_change = lambda change, source: changes.append((change, source))
    return lambda: setattr(board.plic, "on_change", None)


def who_hears_each_byte(board: Board) -> Callable[[], None]:
    hearing = board.heard_by(lambda data: None)
    hearing.__enter__()
    return lambda: hearing.__exit__(None, None, None)


LISTENERS = (nobody, who_taps_lines, who_asks_the_plic, who_hears_each_byte)


def record(path: Path, code: bytes, counting: Counting, seed: int) -> tuple[object, ...]:
    """All that may differ, of a run in ``counting`` that is cut in places drawn from ``seed``."""
    pick = random.Random(seed)
    setup = Setup(BoardConfig(xlen=64, ram_size=1 << 20, counting=counting), ImageFile("guest.bin", code))
    moments: list[object] = []
    with Recording(path, setup, source=Hand(typed(TYPED), stays=True)) as recording:
        board = recording.board
        while board.position.icount < END:
            end_listening = pick.choice(LISTENERS)(board)
            board_end = min(END, board.position.icount + pick.choice((1, 7, 100, 2000)))
            recording.run_until(icount=board_end)
            end_listening()
            state = board.machine.save_state()
            moments.append(
                (board.position, board.digest(), bytes(board.console), canonical_bytes((state.host, state.timers)))
            )
            if pick.random() < 0.2 and board_end < END:  # a recording that is left where it was put back has no end
                recording.restore(recording.save())
        moments.append(board.plic.counts)
    return *moments, [(one.stream, one.position, one.data) for one in TraceReader(str(path)).outputs()]


def sending(text: bytes) -> bytes:
    """Code that sends ``text``, without looking whether it may."""
    loop = [asm.lb(T1, T0, 0), asm.sb(T1, T2, 0), asm.addi(T0, T0, 1), asm.bne(T1, ZERO, -12), asm.LOOP]
    begin = [*asm.li(T2, Base.UART0), asm.auipc(T0, 0), asm.addi(T0, T0, 4 * (2 + len(loop)))]
    return asm.code(begin, loop) + text


def check(tmp_path: Path, seed: int) -> None:
    code = traffic(random.Random(seed), 400)
    expected = record(tmp_path / f"{seed}-py.mst", code, Counting.PYTHON, seed)
    for counting in (Counting.CODE, Counting.BLOCKS, Counting.INSTRUCTIONS):
        got = record(tmp_path / f"{seed}-{counting.value}.mst", code, counting, seed)
        for one, other in zip(got, expected, strict=True):
            assert one == other, f"{counting.value}, seed {seed}"
    replay = Replay(TraceReader(str(tmp_path / f"{seed}-py.mst")), counting=Counting.CODE)
    replay.run()
    assert replay.reader.end is not None
    assert replay.board.digest() == replay.reader.end["digest"]


@pytest.mark.parametrize("number", range(6))
def test_random_accesses_are_the_same_in_c(number: int, tmp_path: Path) -> None:
    check(tmp_path, SEED_FAST + number)


def test_divergence_in_what_was_kept_names_the_same_place(tmp_path: Path) -> None:
    path = tmp_path / "run.mst"
    code = sending(b"one line\n" * 100 + b"\0")
    setup = Setup(BoardConfig(xlen=64, ram_size=1 << 20), ImageFile("guest.bin", code))
    with Recording(path, setup) as recording:
        recording.run_until(icount=END)
    with closing(sqlite3.connect(path)) as trace:
        trace.execute("UPDATE outputs SET data = ?", (bytes(recording.board.console[:333]) + b"?" * 20,))
        trace.commit()

    said = []
    for counting in Counting:
        with pytest.raises(DivergenceError) as error:
            Replay(TraceReader(str(path)), counting=counting).run()
        said.append(str(error.value))

    assert len(set(said)) == 1
    assert "uart0.tx at icount" in said[0]


def test_listeners_that_take_pieces_hear_what_others_hear_byte_by_byte() -> None:
    text = b"0123456789abcdef" * 64 + b"\0"
    assert len(text) > 3 * SENT_MAX
    board, pieces, single = Board(ImageFile("guest.bin", sending(text)), BoardConfig(xlen=64)), [], []
    hear = takes_pieces(lambda data: pieces.append(data))
    with board.heard_by(hear):
        board.run_until(icount=END // 2)
        with board.heard_by(single.append):
            board.run_until(icount=END)

    assert b"".join(pieces) == bytes(board.console)
    assert len(board.console) == len(text)
    assert max(map(len, pieces)) == (1 if board.hart.counting is Counting.PYTHON else SENT_MAX)
    assert {len(data) for data in single} == {1}


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20 * TIMES))
def test_many_random_accesses_are_the_same_in_c(number: int, tmp_path: Path) -> None:
    check(tmp_path, SEED_SLOW + number)
