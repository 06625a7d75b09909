"""What a stretch of a run has executed: how often each instruction, by which calls, and how long all harts waited.

Counts are exact: each hart tells how often it executed each straight run of instructions (emu/hart/flow.py). Which
instructions are in it is read from memory as that is at the end of the stretch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from minstret.emu.door.door import Position
from minstret.emu.hart.flow import BlockCount, CallNode
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.observers import TrapTaken
from minstret.emu.hart.spec import Cause
from minstret.emu.machine import Machine
from minstret.emu.questions.code import Code

_RETIRE_NEVER = frozenset((Cause.ECALL_FROM_U, Cause.ECALL_FROM_S, Cause.ECALL_FROM_M, Cause.BREAKPOINT))
"""Exceptions of instructions that have done what they are for when they trap."""


class Place(NamedTuple):
    """Where an instruction is; code of other privileges may have the same address."""

    pc: int
    priv: int


@dataclass(frozen=True)
class HartCounts:
    """What one hart has executed.

    Attributes:
        hart: It, at the end of the stretch.
        runs: How often which straight runs of instructions.
        calls: Its calls as a tree: each node comes after its parent.
        trapped: How often ECALL and EBREAK have trapped: they never retire.
        lost_insns: So many instructions are in none of ``runs``: there was no room.
    """

    hart: Hart
    runs: Sequence[BlockCount]
    calls: Sequence[CallNode]
    trapped: Counter[Place]
    lost_insns: int

    @property
    def insns(self) -> int:
        """How many instructions it has retired, but for those lost."""
        return sum(run.insns * run.count for run in self.runs)

    def by_priv(self) -> dict[int, int]:
        """The same for each privilege, the highest first."""
        found: Counter[int] = Counter()
        for run in self.runs:
            found[run.priv] += run.insns * run.count
        return dict(sorted(found.items(), reverse=True))


@dataclass(frozen=True)
class Stretch:
    """What was executed from one position of a run to another; ``shift``: an instruction takes 1 << shift ns."""

    start: Position
    end: Position
    shift: int
    harts: tuple[HartCounts, ...]

    @property
    def insns(self) -> int:
        """How many instructions all harts have retired."""
        return self.end.icount - self.start.icount

    @property
    def executing_ns(self) -> int:
        """Virtual time in which a hart ran."""
        return self.insns << self.shift

    @property
    def waiting_ns(self) -> int:
        """Virtual time in which all harts waited in WFI."""
        return self.end.virtual_ns - self.start.virtual_ns - self.executing_ns


def measure(machine: Machine, go_on: Callable[[], object], *, calls: bool = False, traps: bool = False) -> Stretch:
    """Count what ``machine`` executes while ``go_on`` runs it.

    Args:
        machine: Between two instructions.
        go_on: Runs it forward.
        calls: Follow calls too.
        traps: Count the traps of ECALL and EBREAK too.
    """
    start = machine.position
    trapped = [Counter[Place]() for _ in machine.harts]
    for hart, found in zip(machine.harts, trapped, strict=True):
        hart.flow.count(True)
        hart.flow.follow_calls(calls)
        if traps:
            hart.observers.tell(_counting(found), None)
    try:
        go_on()
    finally:
        for hart in machine.harts:
            hart.flow.count(False)
            hart.flow.follow_calls(False)
            if traps:
                hart.observers.tell(None, None)
    harts = tuple(
        HartCounts(hart, tuple(hart.flow.blocks()), hart.flow.calls() if calls else (), found, hart.flow.lost_insns)
        for hart, found in zip(machine.harts, trapped, strict=True)
    )  # fmt: skip
    return Stretch(start, machine.position, machine.clock.shift, harts)


def _counting(found: Counter[Place]) -> Callable[[TrapTaken], None]:
    def on_trap(taken: TrapTaken) -> None:
        trap = taken.trap
        if not trap.is_interrupt and trap.cause in _RETIRE_NEVER:
            found[Place(trap.epc, trap.priv)] += 1

    return on_trap


@dataclass(frozen=True)
class InsnCounts:
    """How often each instruction has retired.

    Attributes:
        counts: By place.
        unread: Of code that is not in memory any more, or is one of several programs at the same addresses: how many
            instructions have retired in straight runs that begin there.
    """

    counts: dict[Place, int]
    unread: dict[Place, int]

    def items(self) -> list[tuple[Place, int]]:
        """Retired instructions by place: all of them."""
        return [*self.counts.items(), *self.unread.items()]


def count_insns(harts: Sequence[HartCounts]) -> InsnCounts:
    """The counts of all harts together, instruction by instruction."""
    counts: dict[Place, int] = {}
    unread: dict[Place, int] = {}
    for each in harts:
        code = Code(each.hart)
        for run in each.runs:
            pcs = code.insns_from(run.pc, run.priv, run.insns)
            for pc in pcs:
                place = Place(pc, run.priv)
                counts[place] = counts.get(place, 0) + run.count
            if len(pcs) < run.insns:
                place = Place(run.pc, run.priv)
                unread[place] = unread.get(place, 0) + run.count * (run.insns - len(pcs))
    return InsnCounts(counts, unread)
