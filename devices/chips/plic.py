"""PLIC: routes up to 53 interrupt sources to two contexts a hart: 2 * hart for M-mode, 2 * hart + 1 for S-mode.

Source: RISC-V Platform-Level Interrupt Controller Specification 1.0. As it says: a request once pending stays
until it is claimed, even if the line drops; at completion a line that is still up becomes pending again;
claiming does not look at the threshold.

Where nobody looks on, C carries out claim and complete, on the same registers: see emu/hart/_chips.h.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from minstret.emu.fdt import Value
from minstret.emu.irq import SourceChange, SourceState
from minstret.emu.part import Device, Phandle, Wiring, cpu_intc
from minstret.emu.registers import (
    PLIC_CLAIM,
    PLIC_CONTEXT,
    PLIC_CONTEXT_BITS,
    PLIC_SOURCES,
    PLIC_THRESHOLD,
    BitKeeper,
    PlicRegisters,
)

SOURCES = PLIC_SOURCES
PRIORITY_MAX = 7

_M_EXTERNAL, _S_EXTERNAL = 11, 9
_WORDS = (SOURCES + 32) // 32
_ALL_SOURCES = ((1 << (SOURCES + 1)) - 1) & ~1


class Base(IntEnum):
    """Where the register arrays begin."""

    PRIORITY = 0x000000
    PENDING = 0x001000
    ENABLE = 0x002000
    CONTEXT = PLIC_CONTEXT


_ENABLE_STRIDE = 0x80
_CONTEXT_STRIDE = 1 << PLIC_CONTEXT_BITS


@dataclass(slots=True)
class PlicCounts:
    """How often each source was claimed since the start. Statistics, not state."""

    claimed: list[int] = field(default_factory=lambda: [0] * (SOURCES + 1))


@dataclass(slots=True)
class PlicState:
    """Bit ``n`` of ``pending``, ``claimed``, ``levels`` and of each ``enable`` is source ``n``.

    ``enable`` and ``threshold`` are by context.
    """

    priority: list[int] = field(default_factory=lambda: [0] * (SOURCES + 1))
    pending: int = 0
    claimed: int = 0
    levels: int = 0
    enable: list[int] = field(default_factory=list)
    threshold: list[int] = field(default_factory=list)


class Plic(Device):
    """The registers; raises one line for each context."""

    name = "plic"
    size_bytes = 0x600000
    compatible = ("sifive,plic-1.0.0", "riscv,plic0")

    def __init__(self, base: int = 0, harts: int = 1) -> None:
        super().__init__(base)
        self._harts = range(harts)
        self._contexts = 2 * harts
        self._registers = PlicRegisters()
        self._on_change: Callable[[SourceChange, int], None] | None = None

    def _initial_state(self, levels: int = 0) -> PlicState:
        contexts = self._contexts
        return PlicState(levels=levels, pending=levels, enable=[0] * contexts, threshold=[0] * contexts)

    @property
    def state(self) -> PlicState:
        """A copy of the state; setting it loads one."""
        registers, contexts = self._registers, self._contexts
        return PlicState(
            list(registers.priority), registers.pending, registers.claimed, registers.levels,
            registers.enable[:contexts], registers.threshold[:contexts],
        )  # fmt: skip

    @state.setter
    def state(self, state: PlicState) -> None:
        registers, contexts = self._registers, self._contexts
        registers.pending, registers.claimed = state.pending & _ALL_SOURCES, state.claimed & _ALL_SOURCES
        registers.levels = state.levels & _ALL_SOURCES
        registers.priority[:] = state.priority
        registers.enable[:contexts], registers.threshold[:contexts] = state.enable, state.threshold

    @property
    def counts(self) -> PlicCounts:
        """A copy of the statistics; setting it loads them."""
        return PlicCounts(list(self._registers.claims))

    @counts.setter
    def counts(self, counts: PlicCounts) -> None:
        self._registers.claims[:] = counts.claimed

    @property
    def on_change(self) -> Callable[[SourceChange, int], None] | None:
        """Told what happens to which source, if anybody asks."""
        return self._on_change

    @on_change.setter
    def on_change(self, on_change: Callable[[SourceChange, int], None] | None) -> None:
        self._registers.listeners += (on_change is not None) - (self._on_change is not None)
        self._on_change = on_change

    def attach(self, wiring: Wiring) -> None:
        registers = self._registers
        self._context_lines = [
            wiring.hart_line(line, hart, BitKeeper(registers, "outputs", 2 * hart + mode))
            for hart in self._harts for mode, line in enumerate(("meip", "seip"))
        ]  # fmt: skip
        wiring.answered(registers)

    def properties(self) -> dict[str, Value]:
        cells = ([cpu_intc(hart), _M_EXTERNAL, cpu_intc(hart), _S_EXTERNAL] for hart in self._harts)
        return {
            "interrupt-controller": None, "#interrupt-cells": 1, "#address-cells": 0, "riscv,ndev": SOURCES,
            "interrupts-extended": [cell for each in cells for cell in each], "phandle": Phandle.PLIC,
        }  # fmt: skip

    def set_source(self, source: int, level: bool) -> None:
        """Set the level of an interrupt source's line."""
        registers, bit = self._registers, 1 << source
        if self._on_change is not None:
            self._on_change(SourceChange.RAISED if level else SourceChange.LOWERED, source)
        if level:
            registers.levels |= bit
            if not registers.claimed & bit:
                registers.pending |= bit
        else:
            registers.levels &= ~bit
        self._update()

    def read(self, offset: int, size: int) -> int:
        if offset % 4 or size != 4:
            return 0
        registers = self._registers
        if offset >= Base.CONTEXT:
            context, register = divmod(offset - Base.CONTEXT, _CONTEXT_STRIDE)
            if context >= self._contexts:
                return 0
            if register == PLIC_CLAIM:
                return self._claim(context)
            return int(registers.threshold[context]) if register == PLIC_THRESHOLD else 0
        index = offset % _ENABLE_STRIDE // 4
        if offset <= Base.PRIORITY + 4 * SOURCES:
            return int(registers.priority[offset // 4])
        if Base.PENDING <= offset < Base.PENDING + 4 * _WORDS:
            return registers.pending >> 32 * index
        if Base.ENABLE <= offset < Base.ENABLE + self._contexts * _ENABLE_STRIDE:
            return int(registers.enable[(offset - Base.ENABLE) // _ENABLE_STRIDE]) >> 32 * index
        return 0

    def write(self, offset: int, size: int, value: int) -> None:
        registers = self._registers
        if offset % 4 or size != 4:
            return
        if offset >= Base.CONTEXT:
            context, register = divmod(offset - Base.CONTEXT, _CONTEXT_STRIDE)
            if context >= self._contexts:
                return
            if register == PLIC_CLAIM:
                self._complete(context, value)
            elif register == PLIC_THRESHOLD:
                registers.threshold[context] = value & PRIORITY_MAX
        elif Base.PRIORITY < offset <= Base.PRIORITY + 4 * SOURCES:
            registers.priority[offset // 4] = value & PRIORITY_MAX
        elif Base.ENABLE <= offset < Base.ENABLE + self._contexts * _ENABLE_STRIDE:
            context, register = divmod(offset - Base.ENABLE, _ENABLE_STRIDE)
            shift = 32 * (register // 4)
            enable = registers.enable[context] & ~(0xFFFFFFFF << shift) | value << shift
            registers.enable[context] = enable & _ALL_SOURCES
        self._update()

    def reset(self) -> None:
        """Back to power-on. The levels of the sources stay: one that is up is pending again."""
        self.state = self._initial_state(self._registers.levels)
        self._update()

    def source_state(self, source: int, name: str) -> SourceState:
        """How an interrupt source stands; ``name`` is that of its device."""
        state, bit = self.state, 1 << source
        contexts = [f"hart{hart} {mode}" for hart in self._harts for mode in ("M", "S")]
        return SourceState(
            source, name, bool(state.levels & bit), bool(state.pending & bit), bool(state.claimed & bit),
            state.priority[source],
            tuple(who for who, enable in zip(contexts, state.enable, strict=True) if enable & bit),
        )  # fmt: skip

    def enabled(self, context: int) -> int:
        """The sources that may interrupt a context, as bits."""
        return int(self._registers.enable[context])

    def _best(self, context: int, above: int) -> int:
        """The pending, enabled source of highest priority over ``above``; the lowest number among equals."""
        registers = self._registers
        candidates = registers.pending & registers.enable[context]
        best, best_priority = 0, above
        while candidates:
            source = (candidates & -candidates).bit_length() - 1
            if registers.priority[source] > best_priority:
                best, best_priority = source, registers.priority[source]
            candidates &= candidates - 1
        return best

    def _claim(self, context: int) -> int:
        source = self._best(context, above=0)
        if source:
            self._registers.pending &= ~(1 << source)
            self._registers.claimed |= 1 << source
            self._registers.claims[source] += 1
            if self._on_change is not None:
                self._on_change(SourceChange.CLAIMED, source)
            self._update()
        return source

    def _complete(self, context: int, source: int) -> None:
        registers, bit = self._registers, 1 << source if 0 < source <= SOURCES else 0
        if bit & registers.enable[context] & registers.claimed:
            registers.claimed &= ~bit
            registers.pending |= bit & registers.levels
            if self._on_change is not None:
                self._on_change(SourceChange.COMPLETED, source)

    def _update(self) -> None:
        registers = self._registers
        for context, line in enumerate(self._context_lines):
            has_any = registers.pending & registers.enable[context]
            line.set_level(has_any != 0 and self._best(context, above=registers.threshold[context]) != 0)
