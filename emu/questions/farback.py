"""Which instruction of a long stretch was the last to do something: found by counting what ran, with little stepping.

A hart's flow tells each straight run of instructions and when it was executed last. The code is read where the stretch
begins and where it ends; in between it is the same where no FENCE.I was executed, which the specification asks for
after code has changed. Whatever is not sure is looked at in halves, and in the end one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from minstret.emu.hart.flow import BlockCount
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.spec import OP_SYSTEM, Csr
from minstret.emu.past import TraceTimeline
from minstret.emu.timeline import Why

STEPPED_MAX = 1 << 12
"""Stretches up to so many instructions are executed one by one."""
_FENCE_I, _FENCE_I_MASK = 0x100F, 0x707F
_SFENCE_VMA, _SFENCE_VMA_MASK = 0x1200_0073, 0xFE00_7FFF
FoundT = TypeVar("FoundT")
Code = tuple[int, ...] | None
"""The instructions of a run; None where they can't be read."""


def last_in(
    timeline: TraceTimeline, hart: int, lower: int, upper: int, does: Callable[[int], bool],
    step: Callable[[int, int], FoundT | Why], *, stepped_max: int | None = None,
) -> FoundT | Why:  # fmt: skip
    """What ``step`` finds last between two icounts.

    Args:
        timeline: The walk.
        hart: The id of the hart whose instructions count.
        lower, upper: Between these icounts.
        does: Whether an instruction of these bits does it.
        step: Executes one by one between two icounts; Why.REACHED where nothing is found.
        stepped_max: For what is no longer than this ``step`` is enough.
    """
    stepped_max = STEPPED_MAX if stepped_max is None else stepped_max
    if upper - lower <= stepped_max:
        return step(lower, upper)
    best = _best(timeline, hart, lower, upper, does)
    if best is None or isinstance(best, Why):
        return Why.REACHED if best is None else best
    if best is not _UNSURE:
        found = step(best.last_icount, min(upper, best.last_icount + best.insns))
        if found is not Why.REACHED:
            return found
    middle = (lower + upper) // 2
    half = partial(last_in, timeline, hart, does=does, step=step, stepped_max=stepped_max)
    found = half(lower=middle, upper=upper)
    return half(lower=lower, upper=middle) if found is Why.REACHED else found


_UNSURE = BlockCount(0, 0, 0, 0, 0)


def _best(
    timeline: TraceTimeline, number: int, lower: int, upper: int, does: Callable[[int], bool]
) -> BlockCount | Why | None:  # fmt: skip
    """The run in which it was done last, if it was done; None where it was not; _UNSURE; Why.INTERRUPTED."""
    if timeline.seek(lower).why is Why.INTERRUPTED:
        return Why.INTERRUPTED
    hart = timeline.board.harts[number]
    hart.flow.count(True)
    try:
        stop = timeline.step(upper - lower)
        runs, lost = list(hart.flow.blocks()), hart.flow.lost_insns
    finally:
        hart.flow.count(False)
    if stop.why is Why.INTERRUPTED:
        return Why.INTERRUPTED
    at_end = [_code(hart, run) for run in runs]
    if timeline.seek(lower).why is Why.INTERRUPTED:
        return Why.INTERRUPTED
    at_begin = [_code(hart, run) for run in runs]
    insns = tuple(dict.fromkeys(insn for code in at_begin if code is not None for insn in code))
    if lost or any(insn & _FENCE_I_MASK == _FENCE_I for insn in insns):
        return _UNSURE
    doing = frozenset(filter(does, insns))
    is_translation_fixed = not any(map(_changes_translation, insns))
    possible = [
        run for run, code, later in zip(runs, at_begin, at_end, strict=True)
        if code is None or code != later or not (is_translation_fixed or run.priv) or not doing.isdisjoint(code)
    ]  # fmt: skip
    return max(possible, key=lambda run: run.last_icount, default=None)


def _code(hart: Hart, run: BlockCount) -> Code:
    insns, pc = list[int](), run.pc
    data = hart.read_virtual(pc, 4 * run.insns, run.priv) or b""
    at = 0
    for _ in range(run.insns):
        if not data:
            piece = hart.read_virtual(pc + at & hart.xlen_mask, 2, run.priv) or b""
            if piece and piece[0] & 3 == 3:
                piece = hart.read_virtual(pc + at & hart.xlen_mask, 4, run.priv) or b""
        else:
            piece = data[at : at + (4 if data[at] & 3 == 3 else 2)]
        if not piece:
            return None
        insns.append(int.from_bytes(piece, "little"))
        at += len(piece)
    return tuple(insns)


def _changes_translation(insn: int) -> bool:
    return insn & _SFENCE_VMA_MASK == _SFENCE_VMA or (
        insn & 0x7F == OP_SYSTEM and bool(insn >> 12 & 3) and insn >> 20 == Csr.SATP
    )
