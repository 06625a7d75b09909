"""Who wrote these bytes, or read them: the last one before a place, or all in order.

An instruction, a device or a service, a change from outside, an image at power-on or at a reset. Bits that a hart sets
in its page tables as it walks them are nobody's here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from typing import Any

from minstret.emu.changes import CHANGES_TARGET
from minstret.emu.door.door import RESET_MARK, Position
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.watches import WatchHit, WatchKind
from minstret.emu.images.image import SymbolTable
from minstret.emu.images.types import CType
from minstret.emu.questions.targets import Target, part_of
from minstret.emu.report import callers_now, code_at
from minstret.emu.timeline import Stop, Timeline, Why
from minstret.emu.trace.format import Item, Kind
from minstret.emu.trace.reader import TraceReader

_VALUE_MAX = 256
"""Bytes of a value that is shown as one."""


class By(Enum):
    """Who accessed; the values are those in JSON."""

    INSTRUCTION = "instruction"
    DEVICE = "device"
    OUTSIDE = "outside"  # a debugger or a test
    IMAGE = "image"  # what was loaded at power-on or at a reset
    NOBODY = "nobody"  # since power-on, or since the trace begins


@dataclass(frozen=True, slots=True)
class Access:
    """Somebody accessed some of the bytes that were asked for.

    Attributes:
        by: Who.
        icount, virtual_ns: Where. An instruction that accesses has not been counted.
        kind: LOAD, STORE, or for an AMO ACCESS.
        name: Of the device or service, or of the images.
        hart, pc: Of the instruction; of a device, where the hart was that ran.
        code: The instruction.
        callers: Addresses of the calls that led there, the last one first; only where they were asked for.
        address: Physical address of the access, and its ``size``, bytes.
        part: What ``old`` and ``new`` are of: the part of the variable, or ``""``, what was accessed.
        type: That part's type.
        old, new: What was there before and is after; ``old`` is what was read. None: not known.
    """

    by: By
    icount: int
    virtual_ns: int
    kind: WatchKind = WatchKind.STORE
    name: str = ""
    hart: int | None = None
    pc: int | None = None
    code: bytes = b""
    callers: tuple[int, ...] = ()
    address: int = 0
    size: int = 0
    part: str = ""
    type: CType | None = None
    old: bytes | None = None
    new: bytes | None = None

    @property
    def order(self) -> tuple[int, int, bool]:
        """What comes later is greater. What comes in at an icount does so before the instruction there."""
        return self.icount, self.virtual_ns, self.by in (By.INSTRUCTION, By.DEVICE)


def last_access(
    timeline: Timeline, reader: TraceReader, target: Target, kind: WatchKind, symbols: SymbolTable
) -> Access | None:  # fmt: skip
    """The last access to any of a target's bytes before where a timeline is. The timeline ends up somewhere else.

    Args:
        timeline: The walk.
        reader: Of the recording that it is of.
        target: The bytes.
        kind: STORE or LOAD.
        symbols: To find callers by.
    Returns:
        Who it was; None where the move was interrupted.
    """
    here = timeline.position
    with _watched(timeline, target, kind):
        stop = timeline.run_back()
    if stop.why is Why.INTERRUPTED:
        return None
    found = _of_hits(timeline, stop, target, symbols) if stop.why is Why.WATCH else _beginning(timeline, reader, target)
    if kind is WatchKind.LOAD:
        return found if stop.why is Why.WATCH else replace(found, by=By.NOBODY, name="", new=None)
    from_outside = _from_outside(timeline, reader, target, here)
    return max((found, *from_outside), key=lambda access: access.order)


def all_accesses(timeline: Timeline, reader: TraceReader, target: Target, kind: WatchKind) -> Iterator[Access]:
    """All accesses to any of a target's bytes before where a timeline is, in order; of writes first what was there to
    begin with.

    It ends early where the move is interrupted.
    """
    before = timeline.position
    timeline.seek(timeline.start.icount)
    is_of_writes = kind is WatchKind.STORE
    begin = _beginning(timeline, reader, target)
    outside: Iterator[Access] = iter(())
    if is_of_writes:
        yield begin
        outside = _all_from_outside(timeline.board, reader, target, timeline.position, before)
    waiting = next(outside, None)
    with _watched(timeline, target, kind):
        while True:
            stop = timeline.step(before.icount - timeline.position.icount or 1)  # 1: what comes in during a wait there
            if stop.why is not Why.WATCH or timeline.position > before:
                break
            for access in _accesses_of(timeline, stop.hits, target, is_over=True):
                while waiting is not None and waiting.order < access.order:
                    yield waiting
                    waiting = next(outside, None)
                yield access
    while waiting is not None:
        yield waiting
        waiting = next(outside, None)


@contextmanager
def _watched(timeline: Timeline, target: Target, kind: WatchKind) -> Iterator[None]:
    watches = [timeline.add_watch(kind, at, size) for at, size in target.pieces]
    try:
        yield
    finally:
        for watch in watches:
            timeline.remove_watch(watch)


# ---- hits


def _of_hits(timeline: Timeline, stop: Stop, target: Target, symbols: SymbolTable) -> Access:
    """The last of the accesses that a move back has come to; it stands before them."""
    access = _accesses_of(timeline, stop.hits, target, is_over=False)[-1]
    if access.hart is None:
        return access
    return replace(access, callers=tuple(callers_now(timeline.board.harts[access.hart], symbols)))


def _accesses_of(timeline: Timeline, hits: Sequence[WatchHit], target: Target, *, is_over: bool) -> list[Access]:
    """What the hits of one stop are; ``is_over``: memory has their new values, else the old ones."""
    board, found = timeline.board, list[Access]()
    for hit in hits:
        access = _access_of(board, hit, target, is_over=is_over)
        if found and access.by is By.INSTRUCTION and found[-1].address + found[-1].size == access.address:
            access = _across_pages(found.pop(), access)
        found.append(access)
    return found


def _across_pages(first: Access, second: Access) -> Access:
    """The two parts of an access, one in each page, as one."""
    if first.type is not None or second.type is not None:
        return replace(second, address=first.address, size=first.size + second.size)
    old = (first.old or b"") + (second.old or b"")
    written = None if second.new is None else (first.new or b"") + second.new
    return replace(second, address=first.address, size=first.size + second.size, old=old, new=written)


def _access_of(board: Any, hit: WatchHit, target: Target, *, is_over: bool) -> Access:
    hart = board.harts[hit.hart]
    by_instruction = not hit.is_by_device
    now = board.position
    is_inside = by_instruction or hit.icount < now.icount  # a device that an instruction has made write
    virtual_ns = board.machine.clock.ns_at(hit.icount) if is_inside else now.virtual_ns
    access = Access(
        By.INSTRUCTION if by_instruction else By.DEVICE, hit.icount, virtual_ns, hit.kind, hit.device, hit.hart, hit.pc,
        code_at(hart, hit.pc), (), hit.address, hit.size,
    )  # fmt: skip
    return _with_values(access, board.hart, hit, target, is_over=is_over)


def _with_values(access: Access, hart: Hart, hit: WatchHit, target: Target, *, is_over: bool) -> Access:
    """With the values before and after: of the part of the variable where that is known, else of what was accessed."""
    start = max(hit.address, hit.watch.address)
    size = min(hit.address + hit.size, hit.watch.address + hit.watch.size) - start
    offset = target.offset_of(start)
    if target.type is None or offset is None:
        old = hart.read_physical(hit.address, hit.size) if hit.old is None else hit.old
        return replace(access, old=old, new=hit.new)
    part, kind, begin = part_of(target.type, target.label, offset, size)
    shown = 0 < kind.size <= _VALUE_MAX
    if not shown:
        return replace(access, old=hit.old, new=hit.new)
    now = target.read(hart)[begin : begin + kind.size]
    at = offset - begin - (start - hit.address)
    old = now if hit.old is None or not is_over else _overlaid(now, at, hit.old)
    new = None if hit.new is None else _overlaid(now, at, hit.new)
    return replace(access, part=part, type=kind, old=old, new=new)


def _overlaid(data: bytes, at: int, piece: bytes) -> bytes:
    """``data`` with ``piece`` over it, as far as that is within."""
    begin, end = max(at, 0), min(at + len(piece), len(data))
    return data[:begin] + piece[begin - at : end - at] + data[end:] if begin < end else data


# ---- what is no hit


def _beginning(timeline: Timeline, reader: TraceReader, target: Target) -> Access:
    """What was there where the trace begins, which is where the timeline is."""
    start = timeline.start
    old = target.read(timeline.board.hart)
    is_whole = start.icount == 0 and reader.meta.get("first_snapshot") is None
    names = _images_in(timeline.board, target) if is_whole else ()
    by = By.IMAGE if names else By.NOBODY
    address, size = target.pieces[0]
    return Access(
        by, start.icount, start.virtual_ns, name=", ".join(names), address=address, size=size, new=old,
        type=target.type if len(old) <= _VALUE_MAX else None, part=target.label if target.type is not None else "",
    )  # fmt: skip


def _images_in(board: Any, target: Target) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for at, size in target.pieces for name in board.images_in(at, size)))


def _from_outside(timeline: Timeline, reader: TraceReader, target: Target, here: Position) -> list[Access]:
    """What was written from outside and by resets up to here: the last of each."""
    changes = (_change_of(next(reader.items(seq)), target) for seq, _ in _items_back(reader, CHANGES_TARGET, here))
    change = next((change for change in changes if change is not None), None)
    found = [] if change is None else [change]
    names = _images_in(timeline.board, target)
    if names:
        resets = _items_back(reader, RESET_MARK, here, Kind.ANSWER)
        found += [_reset(at, names, target) for _, at in islice(resets, 1)]
    return found


def _items_back(
    reader: TraceReader, name: str, here: Position, kind: Kind = Kind.EVENT
) -> Iterator[tuple[int, Position]]:
    """Number and position of each item of a name up to here, from the last one back."""
    seq = reader.reached().seq + 1
    while (found := reader.last_event(name, seq, kind)) is not None:
        seq, position = found
        if position <= here:
            yield seq, position


def _reset(at: Position, names: Sequence[str], target: Target) -> Access:
    return Access(By.IMAGE, at.icount, at.virtual_ns, name=", ".join(names), address=target.pieces[0][0])


def _change_of(item: Item, target: Target) -> Access | None:
    """The access that a change from outside is, if it writes any of the bytes."""
    words = item.data.decode(errors="replace").split(" ")
    try:
        address, data = int(words[1], 16), bytes.fromhex(words[2])
    except (IndexError, ValueError):  # of a register
        return None
    if words[0] != "memory" or not target.overlaps(address, len(data)):
        return None
    at = item.position
    return Access(By.OUTSIDE, at.icount, at.virtual_ns, address=address, size=len(data), new=data)


def _all_from_outside(
    board: Any, reader: TraceReader, target: Target, after: Position, before: Position
) -> Iterator[Access]:
    """All changes from outside and all resets that write any of the bytes, in order."""
    names = _images_in(board, target)
    for item in reader.items():
        if item.position > before:
            return
        if item.position < after:
            continue
        if item.name == CHANGES_TARGET:
            change = _change_of(item, target)
            if change is not None:
                yield change
        if names and item.name == RESET_MARK:
            yield _reset(item.position, names, target)
