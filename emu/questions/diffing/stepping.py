"""One instruction of a run: what it was, what came before it, what it read, and what is there after it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from minstret.emu.door.door import Position
from minstret.emu.errors import DivergenceError
from minstret.emu.hart.decode import MemoryAccess, memory_access
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.memory import by_page
from minstret.emu.hart.observers import InsnRetired, TrapTaken
from minstret.emu.machine import Outcome
from minstret.emu.questions.diffing.differing import Range
from minstret.emu.questions.diffing.side import HartView, Side

_NO_BYTES = b""


class Accessed(NamedTuple):
    """The bytes of RAM that an instruction accessed: before it if it loads, and after it. Empty ranges: none."""

    is_store: bool = False
    ranges: tuple[Range, ...] = ()
    read: bytes = _NO_BYTES
    after: bytes = _NO_BYTES


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction that has retired, and what comes with it; or how the run ended before one did.

    Attributes:
        before: Where it was, but for waits and what came in since.
        at: Where it executed; None where none has retired.
        hart: The id of the hart.
        insn: Its icount, pc and bits.
        traps: Those that were taken before it, in order.
        accessed: Its bytes of RAM.
        views: The harts after it.
        over, divergence: How the run has ended, if it has.
    """

    before: Position
    at: Position | None
    hart: int
    insn: InsnRetired | None
    traps: tuple[TrapTaken, ...]
    accessed: Accessed
    views: tuple[HartView, ...]
    over: Outcome | None
    divergence: DivergenceError | None


class _Watcher:
    """Listens to the harts of a side while one instruction runs."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self.traps: list[TrapTaken] = []
        self.retired: tuple[int, InsnRetired, Position] | None = None
        for hart in side.machine.harts:
            hart.observers.tell(self.traps.append, partial(self._on_insn, hart))

    def _on_insn(self, hart: Hart, insn: InsnRetired) -> None:
        at = Position(insn.icount, self._side.machine.clock.ns_at(insn.icount))
        self.retired = hart.hart_id, insn, at

    def close(self) -> None:
        for hart in self._side.machine.harts:
            hart.observers.tell(None, None)


def step(side: Side) -> Step:
    """Go on by one instruction, and tell about it. Nobody else may listen to the harts."""
    before, machine = side.position, side.machine
    registers = [tuple(hart.env.x) for hart in machine.harts]
    foreseen = _next_bytes(machine.hart)
    watcher = _Watcher(side)
    try:
        side.go_to(before.icount + 1)
    finally:
        watcher.close()
    if watcher.retired is None:
        return Step(
            before, None, side.hart.hart_id, None, tuple(watcher.traps), Accessed(), side.views(), side.over,
            side.divergence,
        )  # fmt: skip
    number, insn, at = watcher.retired
    hart = machine.harts[number]
    access = memory_access(insn.insn, hart.xlen)
    accessed = Accessed()
    if access is not None:
        ranges = _ranges(hart, access, registers[number])
        after = _bytes(hart, ranges)
        has_foreseen = foreseen is not None and foreseen[0] == (number, insn.pc)
        read = foreseen[1] if has_foreseen and foreseen is not None else after
        accessed = Accessed(access.is_store, ranges, _NO_BYTES if _only_stores(access) else read, after)
    return Step(
        before, at, number, insn, tuple(watcher.traps), accessed, side.views(), side.over, side.divergence
    )  # fmt: skip


def _only_stores(access: MemoryAccess) -> bool:
    return access.is_store and (not access.is_atomic or access.is_conditional)


def _next_bytes(hart: Hart) -> tuple[tuple[int, int], bytes] | None:
    """(hart, pc) of the instruction that comes next unless a trap does, and the bytes that it accesses."""
    code = hart.read_virtual(hart.pc, 4, int(hart.env.priv)) or hart.read_virtual(hart.pc, 2, int(hart.env.priv))
    access = None if code is None else memory_access(int.from_bytes(code, "little"), hart.xlen)
    if access is None:
        return None
    return (hart.hart_id, hart.pc), _bytes(hart, _ranges(hart, access, tuple(hart.env.x)))


def _ranges(hart: Hart, access: MemoryAccess, x: tuple[int, ...]) -> tuple[Range, ...]:
    """What an access touches of physical memory, as far as that is RAM or ROM."""
    found = []
    for va, size in by_page(access.first_byte(x[access.rs1] + access.imm & hart.xlen_mask), access.size):
        pa = hart.translate(va & hart.xlen_mask)
        if pa is not None and hart.memory.peek(pa, size) is not None:
            found.append(Range(pa, size))
    return tuple(found)


def _bytes(hart: Hart, ranges: tuple[Range, ...]) -> bytes:
    return b"".join(hart.memory.peek(*each) or _NO_BYTES for each in ranges)
