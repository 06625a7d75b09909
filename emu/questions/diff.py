"""Where do two runs part? The first instruction that is not the same in both, and what was there on either side.

The first one that differs is the first that runs on another hart, after another trap, at another virtual time or
another pc; that has other bits; that reads bytes of memory which differ; or after which registers or memory differ that
did not. Memory that differs is no difference until an instruction reads or executes it: so two images may be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from minstret.emu.door.door import Position
from minstret.emu.errors import ConfigError, TraceError
from minstret.emu.hart.decode import insn_bytes
from minstret.emu.hart.traps import TrapRecord
from minstret.emu.images.image import SymbolTable
from minstret.emu.machine import Outcome
from minstret.emu.questions.diffing.compared import Differs, differing_registers
from minstret.emu.questions.diffing.differing import Range
from minstret.emu.questions.diffing.search import STRIDE_INSNS_MAX, Found, Search
from minstret.emu.questions.diffing.side import HartView, Side
from minstret.emu.questions.diffing.stepping import Step
from minstret.emu.questions.diffing.tables import TableDifference, first_difference
from minstret.emu.recorded import ReplaySession
from minstret.emu.report import callers_now
from minstret.emu.trace.listing import group_line
from minstret.emu.trace.reader import TraceReader

_EVENTS_SHOWN = 3
_BOARD = ("config", "images", "devices", "first_snapshot")
"""What a trace says of what its run began as."""


class RegisterDiffers(NamedTuple):
    """A register, by its name, and its value on both sides after the instruction."""

    name: str
    one: int
    other: int


class MemoryDiffers(NamedTuple):
    """Bytes of physical memory that an instruction has read or written, where they differ.

    ``address`` is None on a side that has not accessed any.
    """

    is_read: bool
    address: tuple[int | None, int | None]
    one: bytes
    other: bytes


@dataclass(frozen=True, slots=True)
class Moment:
    """One side at the first difference.

    Attributes:
        name: What the user calls that run.
        position: Where: that of the instruction, else of the end.
        hart: The id of the hart.
        pc: Of the instruction, or where the hart is at the end.
        code: Its bytes; none where the run has ended.
        callers: Return addresses, the nearest first.
        traps: Those taken just before it, since the instruction before.
        last_trap: The last trap of the hart before that.
        events: Lines about the last items of its trace before.
        over: How the run has ended here, if it has.
        divergence: Why its trace can't be followed any more, if it can't.
    """

    name: str
    symbols: SymbolTable
    xlen: int
    position: Position
    hart: int
    pc: int
    code: bytes
    callers: tuple[int, ...]
    traps: tuple[TrapRecord, ...]
    last_trap: TrapRecord | None
    events: tuple[str, ...]
    over: Outcome | None
    divergence: str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """The first instruction that differs."""

    what: Differs
    icount: int
    sides: tuple[Moment, Moment]
    registers: tuple[RegisterDiffers, ...]
    memory: tuple[MemoryDiffers, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came out of a comparison.

    Attributes:
        names: Of both sides.
        difference: The first instruction that differs, if there is one.
        table: The first difference in what their traces say; None also where these were not compared.
        end: Where both ended, if no instruction differs.
        ends: How.
        unread: Memory that differs at the end, and that nobody has read.
    """

    names: tuple[str, str]
    difference: Difference | None = None
    table: TableDifference | None = None
    end: Position | None = None
    ends: tuple[Outcome | None, Outcome | None] = (None, None)
    unread: tuple[Range, ...] = ()

    @property
    def is_same(self) -> bool:
        """Whether they are the same run."""
        return self.difference is None and self.table is None


class Diff:
    """A comparison of two runs, each where it begins."""

    def __init__(self, one: Side, other: Side, *, stride_insns_max: int = STRIDE_INSNS_MAX) -> None:
        self.one, self.other = one, other
        self._stride_max = stride_insns_max

    def find(self) -> Answer:
        """Look for the first difference.

        Raises:
            TraceError: a trace is damaged, or can't be followed here to where they differ.
            ConfigError: they are of another width.
        """
        names = self.one.name, self.other.name
        widths = self.one.hart.xlen, self.other.hart.xlen
        if widths[0] != widths[1]:
            ours, theirs = (f"{name} is for rv{width}" for name, width in zip(names, widths, strict=True))
            raise ConfigError(f"{ours}, {theirs}: runs of different widths can't be compared")
        table, is_same_board = self._table_difference()
        if table is None and is_same_board:
            end = self._reader(self.one).reached().position
            return Answer(names, end=end)
        search = self._search(None if table is None else table.same_icount)
        found = search.first()
        if found is not None:
            if found.what is Differs.REPLAY:
                self._check_replays()
            return Answer(names, self._difference(search, found), table)
        self._check_replays()
        return Answer(
            names, None, table, self.one.position, (self.one.over, self.other.over), tuple(search.differing.ranges())
        )  # fmt: skip

    def _reader(self, side: Side) -> TraceReader:
        assert isinstance(side.session, ReplaySession)
        return side.session.reader

    def _table_difference(self) -> tuple[TableDifference | None, bool]:
        """What differs in the traces, and whether they are of the same board and beginning: else it says nothing."""
        one, other = self.one.session, self.other.session
        if not (isinstance(one, ReplaySession) and isinstance(other, ReplaySession)):
            return None, False
        if self.one.boots_other or self.other.boots_other:
            return None, False
        if one.reader.path != other.reader.path and self.one.icount != self.other.icount:
            return None, False
        if any(one.reader.meta.get(name) != other.reader.meta.get(name) for name in _BOARD):
            return None, False
        return first_difference(one.reader, other.reader), True

    def _search(self, same_icount: int | None) -> Search:
        """Both at a place where they are the same, as near to the difference as is known; else where both begin."""
        start = max(self.one.icount, self.other.icount)
        sides = self.one, self.other
        begins = [side.save() for side in sides]
        if same_icount is not None and same_icount > start:
            for side in sides:
                side.seek(same_icount)
            search = Search(*sides, stride_insns_max=self._stride_max) if self._is_at(same_icount) else None
            if search is not None and search.is_same_place():
                return search
            for side, begin in zip(sides, begins, strict=True):
                side.restore(begin)
        for side in sides:
            side.seek(start)
        self._check_replays()
        return Search(*sides, stride_insns_max=self._stride_max)

    def _is_at(self, icount: int) -> bool:
        return all(not side.is_over and side.icount == icount for side in (self.one, self.other))

    def _check_replays(self) -> None:
        """Raise what keeps a trace from being followed."""
        for side in (self.one, self.other):
            if side.divergence is not None and not side.boots_other:
                raise TraceError(f"{side.name}: it can't be followed here: {side.divergence}")

    # ---- what was there

    def _difference(self, search: Search, found: Found) -> Difference:
        one, other = found.steps if found.steps is not None else (None, None)
        registers: list[RegisterDiffers] = []
        memory: tuple[MemoryDiffers, ...] = ()
        if one is None or other is None:
            registers = _registers(self.one, self.one.views(), self.other.views(), self.one.hart.hart_id)
        elif found.what in (Differs.INSN, Differs.READ, Differs.EFFECT):
            registers = _registers(self.one, one.views, other.views, one.hart)
            memory = _memory(one, other)
        search.go_before(found)
        sides = _moment(self.one, one), _moment(self.other, other)
        return Difference(found.what, found.icount, sides, tuple(registers), memory)


def _registers(
    side: Side, views: tuple[HartView, ...], others: tuple[HartView, ...], hart: int
) -> list[RegisterDiffers]:  # fmt: skip
    found = differing_registers(views[hart], others[hart])
    return [RegisterDiffers(*each) for each in found]


def _memory(one: Step, other: Step) -> tuple[MemoryDiffers, ...]:
    """The bytes that an instruction has accessed on both sides, where they or their places differ."""
    ours, theirs = one.accessed, other.accessed
    at = tuple(each.ranges[0].address if each.ranges else None for each in (ours, theirs))
    address = at[0], at[1]
    found = []
    if ours.read != theirs.read:
        found.append(MemoryDiffers(True, address, ours.read, theirs.read))
    if ours.is_store != theirs.is_store or ours.is_store:
        written = (ours.after if ours.is_store else b""), (theirs.after if theirs.is_store else b"")
        if written[0] != written[1] or ours.ranges != theirs.ranges:
            found.append(MemoryDiffers(False, address, *written))
    return tuple(found)


def _moment(side: Side, step: Step | None) -> Moment:
    """What is to be told of a side that stands before its instruction."""
    number = side.hart.hart_id if step is None else step.hart
    hart = side.machine.harts[number]
    insn = None if step is None else step.insn
    code = b"" if insn is None else insn_bytes(insn.insn)
    at = side.position if step is None or step.at is None else step.at
    divergence = None if step is None or step.divergence is None else str(step.divergence)
    return Moment(
        side.name, side.symbols, hart.xlen, at, number, hart.pc if insn is None else insn.pc, code,
        tuple(callers_now(hart, side.symbols)), () if step is None else tuple(taken.trap for taken in step.traps),
        hart.last_trap, _events(side), None if step is None else step.over, divergence,
    )  # fmt: skip


def _events(side: Side) -> tuple[str, ...]:
    session = side.session
    if not isinstance(session, ReplaySession):
        return ()
    groups = session.reader.groups_before(session.door.next_seq, _EVENTS_SHOWN)
    return tuple(group_line(group) for group in groups)
