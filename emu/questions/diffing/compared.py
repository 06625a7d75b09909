"""What differs between one instruction of two runs, which were the same up to it."""

from __future__ import annotations

from enum import Enum

from minstret.emu.hart.spec import ABI_NAMES
from minstret.emu.machine import Outcome
from minstret.emu.questions.diffing.side import HartView
from minstret.emu.questions.diffing.stepping import Step


class Differs(Enum):
    """What differs first, in the order in which it is looked for."""

    START = "start"  # registers, before any instruction that is compared
    HART = "hart"  # another hart runs
    TRAP = "trap"  # a trap is taken before it on one side only, or another one
    TIME = "time"  # it runs at another virtual time
    PC = "pc"
    INSN = "instruction"  # at the same address
    READ = "read"  # it reads other bytes of memory
    EFFECT = "effect"  # what it has done to registers or memory
    REPLAY = "replay"  # one does not do what its trace says
    END = "end"  # one ends here, or in another way


def compare(one: Step, other: Step, *, compares_time: bool) -> Differs | None:
    """What differs; None where these two are the same. ``compares_time``: instructions take the same time."""
    if one.insn is None or other.insn is None:
        return _compare_ends(one, other)
    assert one.at is not None
    assert other.at is not None
    if one.hart != other.hart:
        return Differs.HART
    if one.traps != other.traps:
        return Differs.TRAP
    if compares_time and one.at.virtual_ns != other.at.virtual_ns:
        return Differs.TIME
    if one.insn.pc != other.insn.pc:
        return Differs.PC
    if one.insn.insn != other.insn.insn:
        return Differs.INSN
    if one.accessed.read != other.accessed.read:
        return Differs.READ
    if one.views != other.views or one.accessed != other.accessed:
        return Differs.EFFECT
    return _compare_overs(one, other)


def _compare_ends(one: Step, other: Step) -> Differs | None:
    """The same where one of them, or both, retired nothing more."""
    if (one.insn is None) != (other.insn is None):
        retired = one if one.insn is not None else other
        ended = other if one.insn is not None else one
        if ended.divergence is None and ended.traps != retired.traps[: len(ended.traps)]:
            return Differs.TRAP
    elif one.traps != other.traps:
        return Differs.TRAP
    elif one.views != other.views:
        return Differs.EFFECT
    return _compare_overs(one, other)


def _compare_overs(one: Step, other: Step) -> Differs | None:
    if (one.divergence is None) != (other.divergence is None):
        return Differs.REPLAY
    return None if is_same_end(one.over, other.over) else Differs.END


def is_same_end(one: Outcome | None, other: Outcome | None) -> bool:
    """Whether two runs have ended in the same way, or not at all."""
    if one is None or other is None:
        return one is other
    return (one.reason, one.exit_code, one.signal, one.text) == (
        other.reason, other.exit_code, other.signal, other.text
    )  # fmt: skip


def differing_registers(one: HartView, other: HartView) -> list[tuple[str, int, int]]:
    """(name, value, other value) of each register that differs."""
    found = [(name, a, b) for name, a, b in zip(ABI_NAMES, one.x, other.x, strict=True) if a != b]
    found += [(f"f{i}", a, b) for i, (a, b) in enumerate(zip(one.f, other.f, strict=True)) if a != b]
    found += [(name, word, other.words[name]) for name, word in one.words.items() if word != other.words[name]]
    if one.pc != other.pc:
        found.append(("pc", one.pc, other.pc))
    found += [
        (name, int(a), int(b)) for name, a, b in zip(_REST, one.rest, other.rest, strict=False) if a != b
    ]  # fmt: skip
    return found


_REST = ("fflags", "mip", "waiting")
"""The first of ``HartView.rest``, which are numbers."""
