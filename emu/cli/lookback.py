"""A second look at a run that got stuck: what a hart did before a trap, seen by running everything again.

That is the same run, from power-on if nothing came from the host, else from the trace.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from minstret.devices.board.board import Board
from minstret.emu.errors import HostError, MinstretError
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.shared import Counting
from minstret.emu.machine import Outcome
from minstret.emu.part import Part
from minstret.emu.report import LookBack, Past

if TYPE_CHECKING:
    from minstret.devices.board.traced import Replay
    from minstret.emu.trace.reader import TraceReader

INSNS = 8
"""How many instructions before a trap are told."""
_RUN_MAX = {
    Counting.CODE: 100_000_000, Counting.BLOCKS: 100_000_000, Counting.INSTRUCTIONS: 50_000_000,
    Counting.PYTHON: 500_000,
}  # fmt: skip
"""Instructions that are run again at most: a second."""
_SEARCHED_INSNS = 2000
"""How far back the instructions of one of several harts are looked for, in instructions of all."""


class Again(Protocol):
    """A run from its beginning: the board, and what runs it up to an icount."""

    @property
    def board(self) -> Board: ...

    def run(self, *, icount: int | None = None) -> Outcome: ...


class _LiveAgain:
    """A run to which nothing came from the host."""

    def __init__(self, board: Board) -> None:
        self.board = board

    def run(self, *, icount: int | None = None) -> Outcome:
        return self.board.run_until(icount=icount)


def nothing(hart: Hart, icount: int) -> Past | None:
    """Of a run that can't be had again."""
    return None


def in_live_run(board: Board) -> LookBack:
    """For a run to which nothing came from the host."""
    return _remembered(lambda icount: _LiveAgain(board.again()), board.hart.counting)


def in_trace(
    source: str | TraceReader, counting: Counting, devices: Sequence[type[Part] | Part] = (),
    may_have_changed: bool = False,
) -> LookBack:  # fmt: skip
    """For a recorded run.

    Args:
        source: The trace.
        counting: How to count instructions.
        devices: The users' devices in it, or their classes.
        may_have_changed: Whether their source may be another than at the recording.
    """

    from minstret.devices.board.traced import Replay  # imported here: a run that is not recorded does not need it
    from minstret.emu.trace.reader import TraceReader

    def replay(icount: int) -> Replay:
        reader = source if isinstance(source, TraceReader) else TraceReader(source)
        return Replay(
            reader, snapshot=reader.last_snapshot(icount - INSNS - 1), counting=counting, devices=devices,
            devices_may_have_changed=may_have_changed,
        )  # fmt: skip

    return _remembered(replay, counting)


def _remembered(begin: Callable[[int], Again], counting: Counting) -> LookBack:
    found: dict[tuple[int, int], Past | None] = {}

    def look_back(hart: Hart, icount: int) -> Past | None:
        key = hart.hart_id, icount
        if key not in found:
            try:
                found[key] = _before(begin(icount), hart.hart_id, icount, _RUN_MAX[counting])
            except (HostError, MemoryError, MinstretError):  # it is an extra: what can be said without it is said
                found[key] = None
        return found[key]

    return look_back


def _before(run: Again, number: int, icount: int, insns_max: int) -> Past | None:
    """A hart at ``icount``, and the PCs of its last instructions before."""
    board = run.board
    if not 0 <= icount - board.position.icount <= insns_max:  # before it: the trace begins with a snapshot
        return None
    hart = board.harts[number]
    run.run(icount=max(board.position.icount, icount - (INSNS if len(board.harts) == 1 else _SEARCHED_INSNS)))
    recent = []
    while board.position.icount < icount:
        before, pc = board.position.icount, hart.pc
        run.run(icount=before + 1)
        if board.position.icount == before:
            return None
        if board.hart is hart:
            recent.append(pc)
    return Past(hart, recent[-INSNS:])
