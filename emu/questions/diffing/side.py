"""One of two runs that are compared: it goes on to an icount, and back to where it was."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from minstret.emu.door.door import Position
from minstret.emu.errors import DivergenceError
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.watches import WatchHit
from minstret.emu.images.image import SymbolTable
from minstret.emu.machine import Machine, Outcome, StopReason
from minstret.emu.recorded import ReplaySession
from minstret.emu.session import NO_LIMITS, RunLimits, Saved, Session

POLL_INSNS = 4_000_000
"""From one call of ``on_stride`` to the next, at most."""


@dataclass(frozen=True, slots=True)
class HartView:
    """What an instruction can see of a hart besides memory, before it runs.

    ``words`` are the CSRs and what else state.py names, ``rest`` what has no register of its own.
    """

    pc: int
    x: tuple[int, ...]
    f: tuple[int, ...]
    words: dict[str, int]
    rest: tuple[Any, ...]


class Side:
    """A run, a replay or a live one without a host.

    Attributes:
        name: What the user calls it.
        session: It.
        boots_other: Whether it is a replay of a trace with another image in it: then what it does may differ from that.
        over: How it has ended, once nothing comes after; REACHED where a recording was killed there.
        divergence: Why a replay can't go on: it does not do what was recorded.
        on_stride: Called now and then on the way.
    """

    def __init__(
        self, name: str, session: Session[Any], find_symbols: Callable[[], SymbolTable] | None = None,
        limits: RunLimits = NO_LIMITS, *, boots_other: bool = False,
    ) -> None:  # fmt: skip
        """Begin where ``session`` is.

        Args:
            name: What the user calls it.
            session: The run.
            find_symbols: Finds names of addresses when they are first needed; by default those of what it boots.
            limits: Where a live run is to end.
            boots_other: See above.
        """
        self.name, self.session, self._limits, self.boots_other = name, session, limits, boots_other
        self._find_symbols = find_symbols
        self.over: Outcome | None = None
        self.divergence: DivergenceError | None = None
        self.on_stride: Callable[[], None] = lambda: None
        self._end_icount = session.reader.reached().position.icount if isinstance(session, ReplaySession) else 0

    @cached_property
    def symbols(self) -> SymbolTable:
        """Names of addresses."""
        table: SymbolTable = self.session.board.symbols
        return table if self._find_symbols is None else self._find_symbols()

    @property
    def machine(self) -> Machine:
        machine: Machine = self.session.board.machine
        return machine

    @property
    def hart(self) -> Hart:
        """The one that ran last."""
        return self.machine.hart

    @property
    def position(self) -> Position:
        return self.machine.position

    @property
    def icount(self) -> int:
        return self.machine.position.icount

    @property
    def end_icount(self) -> int:
        """No further than there, as far as that is known: for showing how far it is."""
        limit = self._limits.icount
        return self._end_icount or (0 if limit is None else limit)

    @property
    def is_over(self) -> bool:
        return self.over is not None or self.divergence is not None

    # ---- moves

    def go_to(self, icount: int) -> tuple[WatchHit, ...]:
        """Go on to the first moment at that icount, or to the end; or to a watched access, which is returned."""
        while not self.is_over and self.icount < icount:
            self.on_stride()
            try:
                hits = self._play(min(icount, self.icount + POLL_INSNS))
            except DivergenceError as error:
                self.divergence = error
                break
            if hits:
                return hits
        return ()

    def _play(self, icount: int) -> tuple[WatchHit, ...]:
        session = self.session
        outcome = self._replay(session, icount) if isinstance(session, ReplaySession) else self._run(icount)
        return outcome.hits if outcome.reason is StopReason.WATCH else ()

    def _run(self, icount: int) -> Outcome:
        """The same in a live run; beyond its limit it is over."""
        limit, virtual_ns = self._limits
        outcome = self.session.run(icount=icount if limit is None else min(icount, limit), virtual_ns=virtual_ns)
        if outcome.reason not in (StopReason.REACHED, StopReason.WATCH):
            self.over = outcome
        elif outcome.reason is StopReason.REACHED and self.icount < icount:
            reason = self._limits.reached(self.position)
            self.over = None if reason is None else Outcome(reason)
        return outcome

    def _replay(self, session: ReplaySession[Any], icount: int) -> Outcome:
        """The same in a trace; beyond its last icount happens what happened there."""
        if self.icount < self._end_icount:
            outcome = session.play(icount=min(icount, self._end_icount))
            if outcome.reason not in (StopReason.REACHED, StopReason.WATCH):
                self.over = session.compare_end(outcome)
            return outcome
        outcome = session.run()
        if session.is_at_end or outcome.reason not in (StopReason.REACHED, StopReason.WATCH):
            self.over = outcome
        return outcome

    def save(self) -> Saved:
        """Where it is, which is not its end."""
        assert not self.is_over, self.over
        return self.session.save()

    def restore(self, saved: Saved) -> None:
        """Go back."""
        self.session.restore(saved)
        self.over = self.divergence = None

    def seek(self, icount: int) -> None:
        """Go to an icount, of a trace from its last snapshot before."""
        session = self.session
        if isinstance(session, ReplaySession) and session.left_out is None and not self.boots_other:
            snapshots = session.reader.snapshot_positions()
            at = bisect_right(snapshots, icount, key=lambda snapshot: snapshot[1].icount)
            if at and snapshots[at - 1][1].icount > self.icount:
                session.restore_snapshot(snapshots[at - 1][0])
        self.go_to(icount)

    # ---- what there is to compare

    def views(self) -> tuple[HartView, ...]:
        """What instructions can see of each hart here."""
        found = []
        for hart in self.machine.harts:
            s = hart.save_state()
            rest = (s.fflags, s.soft_mip, s.waiting, s.pmp, s.triggers)
            words = {name: word for name, word in s.words.items() if name != "pc"}
            found.append(HartView(s.words["pc"], tuple(s.x), tuple(s.f), words, rest))
        return tuple(found)
