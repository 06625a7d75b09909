"""What is on a board now, as lines of text for people: devices, timers, lines, page tables, CSRs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from textwrap import wrap
from typing import Any

from minstret.emu.hart.csr_table import csrs_by_name
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.pagetables import tables_of
from minstret.emu.hart.spec import MSTATUS_MIE, MSTATUS_SIE, Interrupt
from minstret.emu.irq import SourceState
from minstret.emu.machine import Machine
from minstret.emu.part import Device, Part
from minstret.emu.text import printable
from minstret.emu.timers import Timer, TimerList
from minstret.emu.units import NS_PER_MS, NS_PER_S, NS_PER_US

RANGES_MAX = 1000
"""Ranges of the page tables that are listed."""
_STATE_SHOWN, _VALUE_SHOWN = 160, 40
_CSRS_IN_A_ROW, _WIDTH = 3, 100


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, each column as wide as its widest cell."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def time_text(ns: int) -> str:
    """A time in seconds, exactly."""
    return f"{ns // NS_PER_S:,}.{ns % NS_PER_S:09} s"


def span_text(ns: int) -> str:
    """How long something takes, in the unit that suits, exactly."""
    for unit_ns, unit in ((NS_PER_S, "s"), (NS_PER_MS, "ms"), (NS_PER_US, "us")):
        if ns >= unit_ns:
            digits = len(str(unit_ns)) - 1
            return f"{ns // unit_ns:,}.{ns % unit_ns:0{digits}}".rstrip("0").rstrip(".") + f" {unit}"
    return f"{ns} ns"


# ---- devices


def devices_text(parts: Iterable[Part]) -> list[str]:
    """The parts of a board: where their registers are, their interrupt, and of their state what is not as it began."""
    rows = [("device", "addresses", "irq", "state")]
    for part in parts:
        rows.append((printable(part.name), *_place_text(part), _state_text(part.state)))
        rows += [(f"  {printable(inner.name)}", "", "", _state_text(inner.state)) for inner in part.parts()]
    return columns(rows)


def _place_text(part: Part) -> tuple[str, str]:
    """A part's addresses, and its interrupt source."""
    if not isinstance(part, Device):
        return "-", "-"
    return f"{part.base:#x}-{part.base + part.size_bytes - 1:#x}", "-" if part.irq is None else str(part.irq)


def _state_text(state: Any) -> str:
    """The fields of a state that are not 0, or empty: those say what it is about."""
    if not is_dataclass(state):
        return "-"
    values = ((field.name, getattr(state, field.name)) for field in fields(state))
    text = ", ".join(f"{name} {_value_text(value)}" for name, value in values if _says_something(value))
    return printable(text, _STATE_SHOWN) or "-"


def _says_something(value: Any) -> bool:
    """Whether a value is anything but zeros."""
    if isinstance(value, list | tuple | bytes | bytearray):
        return any(map(_says_something, value))
    return bool(value)


def _value_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes"
    if isinstance(value, int):
        return f"{int(value):#x}" if value > 9 else str(int(value))
    if isinstance(value, list | tuple):
        shown = [_value_text(each) if _says_something(each) else "0" for each in value]
        return printable(f"[{' '.join(shown)}]", _VALUE_SHOWN)
    if isinstance(value, bytes | bytearray):
        return printable(f"{len(value)} bytes {bytes(value).hex()}", _VALUE_SHOWN)
    if is_dataclass(value):
        return printable(f"({_state_text(value)})", _VALUE_SHOWN)
    return printable(str(value), _VALUE_SHOWN)


# ---- timers


def timers_text(machine: Machine) -> list[str]:
    """The armed timers in the order in which they fire, clock by clock, and the names of the others."""
    rows: list[tuple[str, ...]] = [("timer", "clock", "expires", "at", "attributes", "fired")]
    idle: list[str] = []
    for timers in (*machine.timers, *machine.more_timers):
        rows += [_timer_row(timer, timers) for timer in timers.armed()]
        idle += [timer.name for timer in timers.timers() if not timer.pending]
    lines = columns(rows) if len(rows) > 1 else ["no timer is armed"]
    return [*lines, f"not armed: {printable(', '.join(idle))}"] if idle else lines


def _timer_row(timer: Timer, timers: TimerList) -> tuple[str, ...]:
    if timers.may_run is not None:
        expires = "when the trace says so"
    else:
        left_ns = timer.expire_ns - timers.clock.now_ns()
        expires = f"in {span_text(left_ns)}" if left_ns > 0 else "now"
    return (
        printable(timer.name), timers.clock.type.value, expires, time_text(timer.expire_ns),
        "EXTERNAL" if timer.is_external else "-", f"{timer.counts.fired:,}",
    )  # fmt: skip


# ---- interrupts


def lines_text(machine: Machine, sources: Iterable[SourceState]) -> list[str]:
    """Which interrupt lines are up, how the sources of the controller stand, and what each hart sees of it."""
    up = [name for name, line in machine.lines.items() if line.level]
    down = [name for name, line in machine.lines.items() if not line.level]
    lines = [f"{what}: {printable(', '.join(names)) or 'none'}" for what, names in (("up", up), ("down", down))]
    lines += columns([("source", "device", "level", "pending", "in service", "priority", "enabled for"),
                      *map(_source_row, sources)])  # fmt: skip
    for hart in machine.harts:
        env = hart.env
        words = (f"{name} {_interrupts_text(int(bits))}"
                 for name, bits in (("mip", hart.mip), ("mie", env.mie), ("mideleg", env.mideleg)))  # fmt: skip
        enables = f"mstatus.MIE {bool(env.mstatus & MSTATUS_MIE):d}, mstatus.SIE {bool(env.mstatus & MSTATUS_SIE):d}"
        lines.append(f"{hart.name}: {', '.join(words)}, {enables}")
    return lines


def _source_row(state: SourceState) -> tuple[str, ...]:
    flags = ("yes" if flag else "-" for flag in (state.is_pending, state.in_service))
    return (
        str(state.source), printable(state.name), "up" if state.level else "down", *flags, str(state.priority),
        ", ".join(state.enabled) or "-",
    )  # fmt: skip


def _interrupts_text(bits: int) -> str:
    names = [interrupt.name for interrupt in Interrupt if bits >> interrupt & 1]
    return f"{bits:#x} ({' '.join(names)})" if names else f"{bits:#x}"


# ---- harts


def tlb_text(hart: Hart) -> list[str]:
    """What a hart's page tables map now."""
    satp, digits = int(hart.env.satp), hart.xlen // 4
    found, tables = hart.mapped(RANGES_MAX), tables_of(satp, hart.xlen)
    if tables is None:
        return [f"{hart.name}: satp is {satp:#x}, Bare: virtual addresses are the physical ones"]
    lines = [f"{hart.name}: satp is {satp:#x}, {tables.name}"]
    for va, pa, size, flags in found.ranges:
        lines.append(f"{va:0{digits}x}-{va + size - 1:0{digits}x} -> {pa:010x}  {flags}  {_size_text(size)}")
    if not found.is_whole:
        lines.append(f"and more: these are the first {len(found.ranges)} ranges")
    elif not found.ranges:
        lines.append("nothing is mapped")
    return lines


def _size_text(size: int) -> str:
    for unit, letter in ((1 << 30, "G"), (1 << 20, "M")):
        if not size % unit:
            return f"{size // unit}{letter}"
    return f"{size >> 10}K"


def csrs_text(hart: Hart, read: Any) -> list[str]:
    """The CSRs of a hart: those that are not 0 with their values, the others by name.

    Args:
        hart: Whose.
        read: Its registers by name.
    """
    values = {name: int(read[name]) for name in csrs_by_name(hart.cpu)}
    cells = [f"{name:>12} {value:0{hart.xlen // 4}x}" for name, value in values.items() if value]
    rows = ["".join(cells[at : at + _CSRS_IN_A_ROW]) for at in range(0, len(cells), _CSRS_IN_A_ROW)]
    zeros = ", ".join(_abridged([name for name, value in values.items() if not value]))
    return [f"{hart.name}: rv{hart.xlen}, privilege {int(read['priv'])}", *rows, *wrap(f"0: {zeros}", _WIDTH)]


def _abridged(names: Sequence[str]) -> Iterator[str]:
    """Names with numbers that follow each other as one: ``pmpaddr0 to pmpaddr15``."""
    at = 0
    while at < len(names):
        last = at
        while last + 1 < len(names) and _next_name(names[last]) == names[last + 1]:
            last += 1
        yield names[at] if last == at else f"{names[at]} to {names[last]}"
        at = last + 1


def _next_name(name: str) -> str:
    """The name with the next number, where it has one."""
    end = "h" if name.endswith("h") else ""
    stem = name.removesuffix("h").rstrip("0123456789")
    number = name.removeprefix(stem).removesuffix("h")
    return f"{stem}{int(number) + 1}{end}" if number.isdecimal() else ""
