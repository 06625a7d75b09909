"""Goes through a replay and has its lanes take what happens, each with the registers that the hart had then."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from minstret.emu.machine import Outcome
from minstret.emu.questions import happenings as h
from minstret.emu.questions.noting import Happenings
from minstret.emu.questions.page.lanes import KINDS, Lanes
from minstret.emu.questions.page.registers import HartState
from minstret.emu.recorded import ReplaySession

_STRIDE_INSNS = 2_000_000
"""So much is run at once. What happens in it is in memory: at a trap each 50 instructions, 20 MB."""
_WITHOUT_STATE = frozenset({h.ConsoleOut, h.HartSwitched, h.HartWaits, h.LineChanged, h.PinChanged})
"""Lanes of these have no registers."""


class _WithStates(Happenings):
    """Also keeps where the harts were, as long as nobody has asked for what happened."""

    def __init__(self, replay: ReplaySession[Any]) -> None:
        super().__init__(replay, KINDS, stride_insns=_STRIDE_INSNS)
        self._harts = replay.board.harts
        self.states: deque[HartState | None] = deque()

    def note(self, kind: type[h.Happening], hart: int | None, *rest: Any) -> None:
        super().note(kind, hart, *rest)
        if kind not in KINDS:
            return
        if kind in _WITHOUT_STATE:
            self.states.append(None)
            return
        state = HartState.of(self._machine.hart if hart is None else self._harts[hart])
        self.states.append(state._replace(pc=rest[_EPC]) if issubclass(kind, h.Trap) else state)


_EPC = 2
"""Where a trap's epc is among what is noted of it: a hart that has just trapped is in the handler."""


class Went(NamedTuple):
    """What a replay went through, and how it ended."""

    lanes: Lanes
    outcome: Outcome


def collected(replay: ReplaySession[Any]) -> Went:
    """Run a replay to its end.

    Raises:
        DivergenceError: it differs from the trace.
    """
    lanes = Lanes(replay.board.position, len(replay.board.harts))
    happenings = _WithStates(replay)
    for happening in happenings:
        is_noted = not isinstance(happening, h.SnapshotTaken)
        lanes.take(happening, happenings.states.popleft() if is_noted else None)
    assert not happenings.states, len(happenings.states)
    assert happenings.outcome is not None
    return Went(lanes, happenings.outcome)
