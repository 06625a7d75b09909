"""``minstret insns``: instructions, each with what it wrote, and the traps between, as lines or facts."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from minstret.emu.clock import VirtualClock
from minstret.emu.hart.csr_table import CSR_OF
from minstret.emu.hart.decode import insn_bytes
from minstret.emu.hart.spec import ABI_NAMES, INSN_MRET, INSN_SRET, PRIV_NAMES
from minstret.emu.hart.views import F_ABI_NAMES
from minstret.emu.images.image import SymbolTable
from minstret.emu.logs import ExecEntry, InterruptEntry, TrapEntry
from minstret.emu.machine import Machine
from minstret.emu.questions.steps import DataAccess, Step, TrapStep
from minstret.emu.report import assembler_text

_KEPT = 1 << 14
"""So many instructions at so many places are not taken apart again."""
_EFFECTS_AT = 72
"""The column at which what an instruction wrote begins, if it is not too long."""


class InsnLines:
    """Says what it is told of, in lines; or, with ``facts``, as dictionaries for JSON."""

    def __init__(
        self, machine: Machine, symbols: SymbolTable, *, hart: int | None = None, shows_memory: bool = False,
        shows_source: bool = False,
    ) -> None:  # fmt: skip
        """Make it.

        Args:
            machine: What runs.
            symbols: Names and source lines.
            hart: Only of the hart of that id; None for all.
            shows_memory: Whether to tell the accesses, and what answered them.
            shows_source: Whether to tell the source line, in a line of its own where it is another than before.
        """
        self._machine, self._symbols, self._hart = machine, symbols, hart
        self._shows_memory, self._shows_source = shows_memory, shows_source
        self._shows_hart = len(machine.harts) > 1
        self._xlen = machine.hart.xlen
        self._source = ""
        self._place = lru_cache(_KEPT)(self._place_text)
        self._assembler = lru_cache(_KEPT)(self._assembler_text)
        self._facts_at = lru_cache(_KEPT)(self._insn_facts)
        self._source_at = lru_cache(_KEPT)(self._source_text)

    # ---- lines

    def step_lines(self, step: Step) -> list[str]:
        """An instruction in one line; with sources perhaps one more before it."""
        if self._hart is not None and step.hart.hart_id != self._hart:
            return []
        line = f"{self._begin(step.icount, step.hart.hart_id)}{self._assembler(step.pc, step.insn)}"
        effects = "  ".join((*self.registers(step), *self._memory_texts(step)))
        lines = [f"{line:<{_EFFECTS_AT}}  {effects}" if effects else line]
        if self._shows_source and (source := self._source_at(step.pc)) != self._source:
            self._source = source
            if source:
                lines.insert(0, f"{'':16}{source}:")
        return lines

    def trap_lines(self, trap: TrapStep) -> list[str]:
        """A trap in one line."""
        if self._hart is not None and trap.hart.hart_id != self._hart:
            return []
        entry = trap_entry(trap, self._machine.clock)
        return [f"{self._begin(entry.icount, trap.hart.hart_id)}-- {entry.word}: {entry.what(self._symbols)}"]

    def _begin(self, icount: int, hart: int) -> str:
        return f"{icount:>14,}  {f'hart{hart:<3}' if self._shows_hart else ''}"

    def registers(self, step: Step) -> tuple[str, ...]:
        """What it wrote, as ``name=value``, and the privilege where it returned from a trap."""
        texts = [f"{name}={value:#x}" for name, value in written_registers(step)]
        if step.insn in (INSN_MRET, INSN_SRET):
            texts.append(f"in {PRIV_NAMES.get(int(step.hart.env.priv), '?')}")
        return tuple(texts)

    def _memory_texts(self, step: Step) -> list[str]:
        if not self._shows_memory:
            return []
        return [self._memory_text(step, access) for access in step.accesses]

    def _memory_text(self, step: Step, access: DataAccess) -> str:
        physical, device = self._target(step, access.address)
        where = f"{access.address:#x}" + ("" if physical in (access.address, None) else f" (physical {physical:#x})")
        name = device or self._symbols.describe(access.address)
        value = "?" if access.value is None else f"{access.value:#0{2 + 2 * access.size}x}"
        text = f"{where}{f' <{name}>' if name else ''}"
        return f"[{text}] := {value}" if access.is_store else f"[{text}] = {value}"

    def _target(self, step: Step, address: int) -> tuple[int | None, str | None]:
        """The physical address of an access, and the device there; None for RAM."""
        physical = step.hart.translate(address)
        if physical is None:
            return None, None
        windows = self._machine.bus.windows
        return physical, next((w.device.name for w in windows if 0 <= physical - w.base < w.size), None)

    # ---- for programs

    def step_facts(self, step: Step) -> list[dict[str, Any]]:
        """An instruction for JSON. Addresses and values are hexadecimal strings, as in ``--log``."""
        if self._hart is not None and step.hart.hart_id != self._hart:
            return []
        facts: dict[str, Any] = {
            "icount": step.icount, "virtual_ns": self._machine.clock.ns_at(step.icount), "kind": ExecEntry.word,
            "hart": step.hart.hart_id, **self._facts_at(step.pc, step.insn),
        }  # fmt: skip
        facts["privilege"] = PRIV_NAMES.get(step.priv, "?")
        facts["registers"] = {name: f"{value:#x}" for name, value in written_registers(step)}
        if self._shows_memory:
            facts["memory"] = [self._memory_facts(step, access) for access in step.accesses]
        if self._shows_source:
            facts["source"] = self._source_at(step.pc) or None
        return [facts]

    def _memory_facts(self, step: Step, access: DataAccess) -> dict[str, Any]:
        physical, device = self._target(step, access.address)
        return {
            "access": "store" if access.is_store else "load", "address": f"{access.address:#x}",
            "physical": None if physical is None else f"{physical:#x}", "size": access.size,
            "value": None if access.value is None else f"{access.value:#x}", "device": device,
        }  # fmt: skip

    def trap_facts(self, trap: TrapStep) -> list[dict[str, Any]]:
        """A trap for JSON, as in ``--log``."""
        if self._hart is not None and trap.hart.hart_id != self._hart:
            return []
        return [trap_entry(trap, self._machine.clock).facts(self._symbols)]

    # ---- what is the same each time

    def _place_text(self, pc: int) -> str:
        name = self._symbols.describe(pc)
        return f"{pc:#x}{f' <{name}>' if name else ''}"

    def _assembler_text(self, pc: int, insn: int) -> str:
        code = insn_bytes(insn)
        return f"{self._place(pc)}: {code[::-1].hex():>8}  {assembler_text(code, pc, self._xlen)}"

    def _insn_facts(self, pc: int, insn: int) -> dict[str, Any]:
        code = insn_bytes(insn)
        return {
            "pc": f"{pc:#x}", "symbol": self._symbols.describe(pc) or None, "insn": f"{insn:#x}",
            "assembler": assembler_text(code, pc, self._xlen),
        }  # fmt: skip

    def _source_text(self, pc: int) -> str:
        source = self._symbols.source(pc)
        return "" if source is None else source.short


def written_registers(step: Step) -> list[tuple[str, int]]:
    """Name and value of each register that an instruction wrote, by the names of the calling convention."""
    found = [] if step.x is None else [(ABI_NAMES[step.x[0]], step.x[1])]
    if step.f is not None:
        found.append((F_ABI_NAMES[step.f[0]], step.f[1]))
    found += [(CSR_OF[number].name, value) for number, value in step.csrs]
    return found


def trap_entry(trap: TrapStep, clock: VirtualClock) -> TrapEntry:
    """A trap as logs have it."""
    taken = trap.taken
    record = taken.trap
    kind = InterruptEntry if record.is_interrupt else TrapEntry
    return kind(
        record.icount, clock.ns_at(record.icount), trap.hart.hart_id, record.epc, record.cause, record.tval,
        record.priv, taken.handler, taken.priv,
    )  # fmt: skip
