"""Where a replay was still the run that was recorded: its state beside the snapshots of its trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from minstret.emu.door.door import Position
from minstret.emu.questions.diffing.compared import differing_registers
from minstret.emu.questions.diffing.differing import DifferingBytes, Range
from minstret.emu.questions.diffing.side import Side
from minstret.emu.recorded import ReplaySession

_SHOWN_MAX = 6


@dataclass(frozen=True, slots=True)
class SnapshotDiffers:
    """What is another state than at a snapshot.

    Attributes:
        at: The snapshot's position.
        got: Where the replay was there.
        registers: (hart's name, register, recorded value, value) of each that differs.
        memory: The bytes of physical memory that differ.
    """

    at: Position
    got: Position
    registers: tuple[tuple[str, str, int, int], ...]
    memory: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What the snapshots say of a replay that came to something else than was recorded.

    Attributes:
        same: The last snapshot up to which it was the same; None if it was so at none.
        differs: The first at which it was not; None if it came to no more.
    """

    same: Position | None = None
    differs: SnapshotDiffers | None = None


def beside_snapshots(played: Side, recorded: Side) -> Known:
    """Compare a replay with the snapshots of its trace, up to the first that differs or as far as it comes.

    Args:
        played: At the trace's beginning.
        recorded: Another replay of it, which is put where the snapshots are.
    """
    same, session = None, recorded.session
    assert isinstance(session, ReplaySession)
    for number, at in session.reader.snapshot_positions():
        if at.icount <= played.icount:  # where it began
            continue
        played.go_to(at.icount)
        if played.icount < at.icount:
            break
        session.restore_snapshot(number)
        differs = _differs(played, recorded, at)
        if differs is not None:
            return Known(same, differs)
        same = at
    return Known(same)


def _differs(played: Side, recorded: Side, at: Position) -> SnapshotDiffers | None:
    registers = tuple(
        (hart.name, *differs)
        for hart, theirs, ours in zip(played.machine.harts, recorded.views(), played.views(), strict=True)
        for differs in differing_registers(theirs, ours)
    )
    memory = tuple(DifferingBytes(recorded.machine.memory, played.machine.memory).ranges())
    if not registers and not memory and played.position == at:
        return None
    return SnapshotDiffers(at, played.position, registers, memory)


def known_lines(known: Known) -> Iterator[str]:
    """What to tell of it."""
    if known.same is not None:
        yield f"at the snapshot at icount {known.same.icount:_} it was still what was recorded"
    if (differs := known.differs) is None:
        return
    yield f"at the snapshot at icount {differs.at.icount:_} it is another state:"
    if differs.got.virtual_ns != differs.at.virtual_ns:
        yield f"  virtual time: recorded {differs.at.virtual_ns:,} ns, got {differs.got.virtual_ns:,} ns"
    for hart, name, recorded, got in islice(differs.registers, _SHOWN_MAX):
        yield f"  {hart} {name}: recorded {recorded:#x}, got {got:#x}"
    if len(differs.registers) > _SHOWN_MAX:
        yield f"  and {len(differs.registers) - _SHOWN_MAX} more registers"
    if differs.memory:
        size = sum(each.size for each in differs.memory)
        yield f"  {size:,} bytes of memory, the first at {differs.memory[0].address:#x}"
