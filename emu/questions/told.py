"""How answers about accesses read: lines for people, plain values for JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minstret.emu.hart.cpu import Cpu
from minstret.emu.hart.spec import PRIV_NAMES
from minstret.emu.hart.watches import WatchKind
from minstret.emu.images.image import SymbolTable
from minstret.emu.info import time_text
from minstret.emu.questions.accesses import Access, By
from minstret.emu.questions.registers import RegisterWrite
from minstret.emu.questions.targets import Target, bytes_text, decoded, value_text
from minstret.emu.questions.traps import TrapCause
from minstret.emu.report import assembler_text, lacking_text, place_facts, place_text, trap_name

_WROTE = {WatchKind.LOAD: "loaded", WatchKind.STORE: "stored", WatchKind.ACCESS: "loaded and stored"}
_KINDS = {WatchKind.LOAD: "load", WatchKind.STORE: "store", WatchKind.ACCESS: "atomic"}


class Teller:
    """Tells of one run's accesses."""

    def __init__(self, symbols: SymbolTable, cpu: Cpu, look_there: Callable[[int], str]) -> None:
        """For a run.

        Args:
            symbols: Names of addresses.
            cpu: What its harts are.
            look_there: What to type to see the place of an icount.
        """
        self._symbols, self._cpu, self._xlen, self._look_there = symbols, cpu, cpu.xlen, look_there

    # ---- for people

    def last(self, access: Access, target: Target, kind: WatchKind) -> list[str]:
        """The last access before a place."""
        if access.by in (By.INSTRUCTION, By.DEVICE):
            verb = "read" if kind is WatchKind.LOAD else "written"
            first = f"{target} was last {verb} at icount {self._when(access)}"
            lines = [first, *self._who_lines(access), f"  {self._what(access, target)}"]
        else:
            lines = [self._otherwise(access, target, kind)]
        if access.by is not By.NOBODY and access.icount:
            lines.append(f"  look there: {self._look_there(access.icount)}")
        return lines

    def _when(self, access: Access) -> str:
        return f"{access.icount:,}, virtual time {time_text(access.virtual_ns)}"

    def _who_lines(self, access: Access) -> list[str]:
        place = f"pc {place_text(access.pc or 0, self._symbols)}"
        callers = [f"    called from {place_text(caller, self._symbols)}" for caller in access.callers]
        if access.by is By.DEVICE:
            return [f"  by {access.name}, while hart{access.hart} was at {place}", *callers]
        return [f"  hart{access.hart}: {place}: {self._assembler(access)}", *callers]

    def _assembler(self, access: Access) -> str:
        return assembler_text(access.code, access.pc or 0, self._xlen)

    def _what(self, access: Access, target: Target) -> str:
        """``stored 1 byte at 0x800017ee: survey.title[14]: 0x00 -> 0x29``."""
        done = "wrote" if access.by is By.DEVICE else _WROTE[access.kind]
        where = f"{bytes_text(access.size)} at {shown_address(access, target):#x}"
        part = f"{access.part}: " if access.part else ""
        return f"{done} {where}: {part}{self._values(access)}"

    def _values(self, access: Access) -> str:
        values = [value_text(data, access.type) for data in (access.old, access.new) if data is not None]
        return " -> ".join(values)

    def _otherwise(self, access: Access, target: Target, kind: WatchKind) -> str:
        since = f"icount {access.icount:,}"
        if access.by is By.OUTSIDE:
            value = value_text(access.new or b"")
            who = "a debugger or a test"
            return f"{target} was last written at icount {self._when(access)}, from outside, by {who}: {value}"
        if access.by is By.IMAGE and (access.icount or access.virtual_ns):
            return (
                f"{target} was last written at icount {self._when(access)}, by a reset, which loads {access.name} anew"
            )
        if access.by is By.IMAGE:
            return f"{target} was not written since power-on: {access.name} was loaded there: {self._values(access)}"
        done = "read" if kind is WatchKind.LOAD else "written"
        if access.icount:
            return f"{target} was not {done} since this trace begins, at {since}"
        rest = "" if kind is WatchKind.LOAD else f": it is as at power-on, {self._values(access)}"
        return f"{target} was never {done}{rest}"

    def line(self, access: Access, target: Target) -> str:
        """One access of many."""
        place = f"{access.icount:>14,}  {access.virtual_ns / 1e9:>14.9f}"
        if access.by is By.INSTRUCTION:
            who = f"hart{access.hart}  {place_text(access.pc or 0, self._symbols)}: {self._assembler(access)}"
        elif access.by is By.DEVICE:
            who = f"{access.name}, while hart{access.hart} was at {place_text(access.pc or 0, self._symbols)}"
        else:
            what = {By.OUTSIDE: "from outside", By.IMAGE: f"{access.name} was loaded"}.get(access.by, "to begin with")
            return f"{place}  {what}{f': {values}' if (values := self._values(access)) else ''}"
        return f"{place}  {who}; {self._what(access, target)}"

    # ---- registers and traps

    def register(self, name: str, found: RegisterWrite) -> list[str]:
        """Who wrote a register last."""
        place = f"pc {place_text(found.pc, self._symbols)}"
        what = f"taking a trap: {found.trap}" if found.trap else assembler_text(found.code, found.pc, self._xlen)
        return [
            f"{name} of hart{found.hart} was last written at icount {found.icount:,}, virtual time"
            f" {time_text(found.virtual_ns)}",
            f"  hart{found.hart}: {place}: {what}",
            *(f"    called from {place_text(caller, self._symbols)}" for caller in found.callers),
            f"  wrote {found.value:#x}",
            f"  look there: {self._look_there(found.icount)}",
        ]

    def trap(self, found: TrapCause) -> list[str]:
        """The last trap and what led to it."""
        trap, symbols = found.trap, self._symbols
        value = "" if trap.is_interrupt else f", tval {trap.tval:#x}"
        lines = [
            f"hart{found.hart} took its last trap at icount {trap.icount:,}, virtual time"
            f" {time_text(found.virtual_ns)}",
            f"  {trap_name(trap)} ({trap.cause}) at pc {place_text(trap.epc, symbols)}{value}, in"
            f" {PRIV_NAMES.get(trap.priv, '?')}",
        ]
        if (lacking := lacking_text(self._cpu, trap)) is not None:
            lines.append(f"    {lacking}")
        lines += [f"    called from {place_text(caller, symbols)}" for caller in found.callers]
        if found.jump is not None:
            pc, code = found.jump
            lines.append(f"  it came from pc {place_text(pc, symbols)}: {assembler_text(code, pc, self._xlen)}")
        lines.append(f"  look there: {self._look_there(trap.icount)}")
        if found.set_by is not None:
            lines += self.register(found.register, found.set_by)
        if found.target is not None and found.written_by is not None:
            lines += self.last(found.written_by, found.target, WatchKind.STORE)
        return lines

    def register_facts(self, name: str, found: RegisterWrite) -> dict[str, Any]:
        """Who wrote a register last, for JSON."""
        return {
            "register": name, "by": "trap" if found.trap else "instruction", "trap": found.trap or None,
            "icount": found.icount, "virtual_ns": found.virtual_ns, "hart": found.hart,
            **place_facts(found.pc, self._symbols), "value": f"{found.value:#x}",
            "assembler": assembler_text(found.code, found.pc, self._xlen) if found.code else None,
            "callers": [place_facts(caller, self._symbols) for caller in found.callers],
        }  # fmt: skip

    def trap_facts(self, found: TrapCause) -> dict[str, Any]:
        """The last trap and what led to it, for JSON."""
        trap = found.trap
        written = found.target is not None and found.written_by is not None
        return {
            "hart": found.hart, "icount": trap.icount, "virtual_ns": found.virtual_ns, "cause": trap.cause,
            "interrupt": trap.is_interrupt, "name": trap_name(trap), "tval": f"{trap.tval:#x}",
            **place_facts(trap.epc, self._symbols),
            "callers": [place_facts(caller, self._symbols) for caller in found.callers],
            "jump": None if found.jump is None else place_facts(found.jump[0], self._symbols),
            "set_by": None if found.set_by is None else self.register_facts(found.register, found.set_by),
            "written_by": self.facts(found.written_by, found.target) if written else None,  # type: ignore[arg-type]
        }  # fmt: skip

    # ---- for programs

    def facts(self, access: Access, target: Target) -> dict[str, Any]:
        """An access for JSON. Addresses and bytes are hexadecimal strings; bytes are in the order of memory."""
        symbols = self._symbols
        return {
            "by": access.by.value, "icount": access.icount, "virtual_ns": access.virtual_ns,
            "access": _KINDS[access.kind], "name": access.name or None, "hart": access.hart,
            **place_facts(access.pc, symbols),
            "insn": None if not access.code else f"{int.from_bytes(access.code, 'little'):#x}",
            "assembler": self._assembler(access) if access.code else None,
            "callers": [place_facts(caller, symbols) for caller in access.callers],
            "address": f"{shown_address(access, target):#x}", "physical": f"{access.address:#x}", "size": access.size,
            "part": access.part or None, "old": _hex(access.old), "new": _hex(access.new),
            "old_value": _plain(access, access.old), "new_value": _plain(access, access.new),
        }  # fmt: skip


def target_facts(target: Target) -> dict[str, Any]:
    """What was asked for, for JSON."""
    return {
        "target": target.label, "target_address": f"{target.address:#x}", "target_size": target.size,
        "target_physical": [{"address": f"{at:#x}", "size": size} for at, size in target.pieces],
        "target_type": None if target.type is None else target.type.name,
    }  # fmt: skip


def shown_address(access: Access, target: Target) -> int:
    """Where an access is, as the target is addressed: virtually or physically."""
    offset = 0
    for at, size in target.pieces:
        if access.address < at + size and at < access.address + max(access.size, 1):
            return target.address + offset + access.address - at
        offset += size
    return access.address


def _hex(data: bytes | None) -> str | None:
    return None if data is None else data.hex()


def _plain(access: Access, data: bytes | None) -> Any:
    """A value by its type, if JSON has one like it."""
    value = None if data is None else decoded(data, access.type)
    return value if isinstance(value, int | bool) else None
