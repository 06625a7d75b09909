"""What is said of two runs that were compared: lines of text, and plain values for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Any

from minstret.emu.hart.traps import TrapRecord
from minstret.emu.images.image import SymbolTable
from minstret.emu.machine import Outcome
from minstret.emu.questions.diff import Answer, Difference, MemoryDiffers, Moment
from minstret.emu.questions.diffing.compared import Differs
from minstret.emu.report import assembler_text, place_facts, place_text, trap_name

_WHAT = {
    Differs.START: "their registers differ where both begin",
    Differs.HART: "another hart runs",
    Differs.TRAP: "a trap is taken in one of them only, or another one",
    Differs.TIME: "it is another virtual time",
    Differs.PC: "they are at different places",
    Differs.INSN: "the instructions are different",
    Differs.READ: "the same instruction reads other bytes",
    Differs.EFFECT: "the same instruction has another effect",
    Differs.REPLAY: "one of them does what was not recorded",
    Differs.END: "one of them ends here, or in another way",
}
_SHOWN_MAX = 8
"""Registers in a text."""
_SIDES = "A", "B"


# ---- text


def text_lines(answer: Answer) -> list[str]:
    """What was found, for people; what is to be typed to look there is the command's to say."""
    names = [f"{side}: {name}" for side, name in zip(_SIDES, answer.names, strict=True)]
    difference = answer.difference
    if difference is not None:
        return [*names, *difference_lines(difference), *_table_lines(answer)]
    assert answer.end is not None
    how = " and ".join(dict.fromkeys(_end_text(over) for over in answer.ends if over is not None))
    end = f"{answer.end.icount:,} instructions, {answer.end.virtual_ns / 1e9:.6f} s virtual{how and f', {how}'}"
    if answer.table is None:
        return [f"the same run: {end}", *_unread_lines(answer)]
    return [*names, f"all instructions are the same: {end}", *_table_lines(answer), *_unread_lines(answer)]


def difference_lines(difference: Difference) -> list[str]:
    """The first instruction that differs, on both sides."""
    a, b = difference.sides
    times = dict.fromkeys(f"{side.position.virtual_ns / 1e9:.9f} s" for side in difference.sides)
    lines = [
        f"the first difference is at icount {difference.icount:,}, virtual time {' and '.join(times)}:"
        f" {_WHAT[difference.what]}",
        *_both(_place_text(a), _place_text(b)),
    ]
    lines += [f"       {line}" for line in _effect_lines(difference)]
    lines += _both(_callers_text(a), _callers_text(b))
    lines += _both(_trap_text(a), _trap_text(b))
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a.events, b.events, strict=False)))
    lines += [f"  A B  {line.strip()}" for line in a.events[:same]]
    for side, moment in zip(_SIDES, difference.sides, strict=True):
        lines += [f"  {side}    {line.strip()}" for line in moment.events[same:]]
    return lines


def _both(one: str, other: str) -> Iterator[str]:
    """One line for both sides where they say the same."""
    if one == other:
        if one:
            yield f"  A B  {one}"
        return
    for side, text in zip(_SIDES, (one, other), strict=True):
        if text:
            yield f"  {side}    {text}"


def _place_text(side: Moment) -> str:
    """Where a side is, and what it does there."""
    if side.divergence is not None:
        return side.divergence
    taken = "".join(f"takes {trap_name(trap)}, then " for trap in side.traps)
    if not side.code:
        how = "stands" if side.over is None else f"ends ({_end_text(side.over)})"
        return f"hart{side.hart} {how} at {place_text(side.pc, side.symbols)}"
    text = assembler_text(side.code, side.pc, side.xlen)
    return f"hart{side.hart} {taken}{place_text(side.pc, side.symbols)}: {text}"


def _end_text(over: Outcome) -> str:
    code = "" if over.exit_code is None else f", exit code {over.exit_code}"
    return f"{over.reason.value}{code}"


def _effect_lines(difference: Difference) -> Iterator[str]:
    for memory in difference.memory:
        one, other = memory.address
        verb = "reads" if memory.is_read else "writes"
        if one == other and one is not None:
            yield f"{verb} at {one:#x}: {_hex(memory.one)} in A, {_hex(memory.other)} in B"
            continue
        yield ", ".join(
            f"{side} {verb} {'nothing' if at is None else f'{_hex(data)} at {at:#x}'}"
            for side, at, data in zip(_SIDES, memory.address, (memory.one, memory.other), strict=True)
        )
    for name, a, b in difference.registers[:_SHOWN_MAX]:
        yield f"sets {name}: {a:#x} in A, {b:#x} in B"
    if len(difference.registers) > _SHOWN_MAX:
        yield f"and {len(difference.registers) - _SHOWN_MAX} more registers"


def _hex(data: bytes) -> str:
    return data.hex(" ") or "nothing"


def _callers_text(side: Moment) -> str:
    if not side.callers:
        return ""
    return "called from " + ", from ".join(place_text(caller, side.symbols) for caller in side.callers)


def _trap_text(side: Moment) -> str:
    trap = side.last_trap
    if trap is None:
        return ""
    return f"its last trap: {trap_name(trap)} at {place_text(trap.epc, side.symbols)}, icount {trap.icount:,}"


def _table_lines(answer: Answer) -> list[str]:
    table = answer.table
    if table is None:
        return []
    return [f"what was recorded differs first {table.where}: {table.one} in A, {table.other} in B"]


def _unread_lines(answer: Answer) -> list[str]:
    if not answer.unread:
        return []
    size = sum(size for _, size in answer.unread)
    what = "a byte of memory differs" if size == 1 else f"{size:,} bytes of memory differ"
    return [f"at the end {what} that no instruction has read, from {answer.unread[0].address:#x} on"]


# ---- for programs


def facts(answer: Answer) -> dict[str, Any]:
    """All of an answer, for JSON. Addresses and values are hexadecimal strings, and so are bytes."""
    table, end = answer.table, answer.end
    return {
        "same": answer.is_same, "a": answer.names[0], "b": answer.names[1],
        "difference": None if answer.difference is None else _difference_facts(answer.difference),
        "recorded": None if table is None else {
            "what": table.what.value, "icount": table.position.icount, "virtual_ns": table.position.virtual_ns,
            "where": table.where, "a": table.one, "b": table.other,
        },
        "end": None if end is None else {"icount": end.icount, "virtual_ns": end.virtual_ns},
        "unread": [{"address": f"{address:#x}", "size": size} for address, size in answer.unread],
    }  # fmt: skip


def _difference_facts(difference: Difference) -> dict[str, Any]:
    a, b = difference.sides
    return {
        "what": difference.what.value, "icount": difference.icount, "a": _moment_facts(a), "b": _moment_facts(b),
        "registers": [
            {"name": name, "a": f"{one:#x}", "b": f"{other:#x}"} for name, one, other in difference.registers
        ],
        "memory": [_memory_facts(memory) for memory in difference.memory],
    }  # fmt: skip


def _memory_facts(memory: MemoryDiffers) -> dict[str, Any]:
    addresses = [None if at is None else f"{at:#x}" for at in memory.address]
    return {
        "access": "read" if memory.is_read else "write", "a_address": addresses[0], "b_address": addresses[1],
        "a": memory.one.hex(), "b": memory.other.hex(),
    }  # fmt: skip


def _moment_facts(side: Moment) -> dict[str, Any]:
    over = side.over
    return {
        "virtual_ns": side.position.virtual_ns, "hart": side.hart, **place_facts(side.pc, side.symbols),
        "insn": f"{int.from_bytes(side.code, 'little'):#x}" if side.code else None,
        "assembler": assembler_text(side.code, side.pc, side.xlen) if side.code else None,
        "callers": [place_facts(caller, side.symbols) for caller in side.callers],
        "traps": _traps_facts(side.traps, side.symbols),
        "last_trap": None if side.last_trap is None else _traps_facts((side.last_trap,), side.symbols)[0],
        "events": list(side.events),
        "end": None if over is None else {"reason": over.reason.value, "exit_code": over.exit_code},
        "error": side.divergence,
    }  # fmt: skip


def _traps_facts(traps: Iterable[TrapRecord], symbols: SymbolTable) -> list[dict[str, Any]]:
    return [
        {"cause": trap.cause, "interrupt": trap.is_interrupt, "name": trap_name(trap), "icount": trap.icount,
         "tval": f"{trap.tval:#x}", **place_facts(trap.epc, symbols)}
        for trap in traps
    ]  # fmt: skip
