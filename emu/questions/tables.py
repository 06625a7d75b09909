"""A profile as text, and as facts for JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Any

from minstret.emu.hart.spec import PRIV_NAMES
from minstret.emu.info import time_text
from minstret.emu.questions.counts import Place, Stretch
from minstret.emu.questions.profile import FunctionCount, InsnCount, LineCount, Profile
from minstret.emu.report import assembler_text


class By(Enum):
    """What the rows of a table are."""

    FUNCTION = "function"
    LINE = "line"
    INSN = "insn"


# ---- text


def table_lines(profile: Profile, by: By, top: int | None) -> Iterator[str]:
    """A head, and the first ``top`` rows, or all where it is None."""
    yield from head_lines(profile.stretch)
    yield ""
    rows = _rows(profile, by)
    whole = max(1, profile.stretch.insns)
    shown = rows[:top]
    yield from _aligned([_TITLES[by], *(_CELLS[by](row, profile, whole) for row in shown)])
    rest = rows[len(shown) :]
    if rest:
        insns = sum(map(_insns_of, rest))
        yield f"and {len(rest):,} more, with {_percent(insns, whole)} % of the instructions"


def head_lines(stretch: Stretch) -> Iterator[str]:
    """How much was executed, from where to where; by whom, and in which modes, where there are several."""
    start, end = stretch.start, stretch.end
    yield f"{stretch.insns:,} instructions, from icount {start.icount:,} to {end.icount:,}"
    whole_ns = stretch.executing_ns + stretch.waiting_ns
    yield (
        f"{time_text(whole_ns)} of virtual time: executing {time_text(stretch.executing_ns)}, waiting in WFI"
        f" {time_text(stretch.waiting_ns)} ({_percent(stretch.waiting_ns, whole_ns)} %)"
    )
    modes = {priv for hart in stretch.harts for priv in hart.by_priv()}
    several = len(stretch.harts) > 1
    for hart in stretch.harts if several or len(modes) > 1 else ():
        name = f"{hart.hart.name}: " if several else ""
        parts = (
            f"{insns:,} in {PRIV_NAMES.get(priv, '?')} ({_percent(insns, stretch.insns)} %)"
            for priv, insns in hart.by_priv().items()
        )
        yield f"{name}{', '.join(parts) or 'no instruction'}"
    lost = sum(hart.lost_insns for hart in stretch.harts)
    if lost:
        yield f"{lost:,} instructions are not in what follows: too much different code was executed"


def _rows(profile: Profile, by: By) -> Sequence[Any]:
    if by is By.FUNCTION:
        return profile.by_function()
    return profile.by_line() if by is By.LINE else profile.by_insn()


_TITLES = {
    By.FUNCTION: ("self", "%", "total", "%", "calls", "mode", "function"),
    By.LINE: ("instructions", "%", "source line"),
    By.INSN: ("count", "%", "instruction"),
}


def _function_cells(row: FunctionCount, _: Profile, whole: int) -> tuple[str, ...]:
    return (
        f"{row.own:,}", _percent(row.own, whole), f"{row.total:,}", _percent(row.total, whole), f"{row.calls:,}",
        PRIV_NAMES.get(row.function.priv, "?")[0], row.function.name,
    )  # fmt: skip


def _line_cells(row: LineCount, _: Profile, whole: int) -> tuple[str, ...]:
    return f"{row.insns:,}", _percent(row.insns, whole), "[no source line]" if row.line is None else str(row.line)


def _insn_cells(row: InsnCount, profile: Profile, whole: int) -> tuple[str, ...]:
    return f"{row.count:,}", _percent(row.count, whole), _insn_text(row, profile)


_CELLS: dict[By, Callable[[Any, Profile, int], tuple[str, ...]]] = {
    By.FUNCTION: _function_cells, By.LINE: _line_cells, By.INSN: _insn_cells,
}  # fmt: skip


def _insns_of(row: FunctionCount | LineCount | InsnCount) -> int:
    return row.own if isinstance(row, FunctionCount) else row.insns if isinstance(row, LineCount) else row.count


def _insn_text(row: InsnCount, profile: Profile) -> str:
    pc, priv = row.place
    if not row.code:
        return f"{pc:#x}: {profile.functions.at(pc, priv).name}, and what follows it"
    return f"{_place_text(row.place, profile)}: {row.code[::-1].hex():>8}  {assembler_text(row.code, pc, profile.xlen)}"


def _place_text(place: Place, profile: Profile) -> str:
    name, source = profile.name_of(place), profile.source_at(place)
    return f"{place.pc:#x}{f' <{name}>' if name else ''}{f' ({source.short})' if source is not None else ''}"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.1f}"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows of cells as lines: the last column is left as it is, the others are numbers."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for row in rows:
        numbers = (cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=False))
        yield "  ".join((*numbers, row[-1]))


# ---- JSON


def facts(profile: Profile, by: By, top: int | None) -> dict[str, Any]:
    """All that the table tells. Addresses are hexadecimal strings: many JSON readers lose 64-bit integers."""
    stretch = profile.stretch
    return {
        "from": stretch.start._asdict(), "to": stretch.end._asdict(), "insns": stretch.insns,
        "executing_ns": stretch.executing_ns, "waiting_ns": stretch.waiting_ns,
        "lost_insns": sum(hart.lost_insns for hart in stretch.harts),
        "harts": [
            {"id": hart.hart.hart_id, "insns": hart.insns,
             "modes": {PRIV_NAMES.get(priv, "?"): insns for priv, insns in hart.by_priv().items()}}
            for hart in stretch.harts
        ],
        f"{by.value}s": [_FACTS[by](row, profile) for row in _rows(profile, by)[:top]],
    }  # fmt: skip


def _function_facts(row: FunctionCount, profile: Profile) -> dict[str, Any]:
    function, source = row.function, profile.source_of(row.function)
    return {
        "function": function.name, "address": None if function.address is None else f"{function.address:#x}",
        "mode": PRIV_NAMES.get(function.priv, "?"), "source": None if source is None else str(source),
        "self": row.own, "total": row.total, "calls": row.calls,
    }  # fmt: skip


def _line_facts(row: LineCount, profile: Profile) -> dict[str, Any]:
    file, line = (None, None) if row.line is None else row.line
    return {"file": file, "line": line, "insns": row.insns}


def _insn_facts(row: InsnCount, profile: Profile) -> dict[str, Any]:
    pc, priv = row.place
    source = profile.source_at(row.place)
    return {
        "pc": f"{pc:#x}", "mode": PRIV_NAMES.get(priv, "?"), "symbol": profile.name_of(row.place) or None,
        "source": None if source is None else str(source), "count": row.count,
        "insn": f"0x{row.code[::-1].hex()}" if row.code else None,
        "assembler": assembler_text(row.code, pc, profile.xlen) if row.code else None,
    }  # fmt: skip


_FACTS: dict[By, Callable[[Any, Profile], dict[str, Any]]] = {
    By.FUNCTION: _function_facts, By.LINE: _line_facts, By.INSN: _insn_facts,
}  # fmt: skip
