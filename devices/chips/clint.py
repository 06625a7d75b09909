"""CLINT: the machine's timer, and a timer and a software interrupt for each hart.

The timer is a function of virtual time: 10 MHz, as on QEMU's ``virt`` board.
Source: SiFive FU540-C000 Manual, "CLINT"; QEMU hw/intc/riscv_aclint.c for 8-byte accesses and writable mtime.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial

from minstret.emu.clock import NS_PER_TICK
from minstret.emu.fdt import Value
from minstret.emu.part import Device, Wiring, cpu_intc

_U64 = (1 << 64) - 1


class Reg(IntEnum):
    """Register offsets; those of hart 0: each hart has 4 bytes for MSIP, and 8 for MTIMECMP."""

    MSIP = 0x0000
    MTIMECMP = 0x4000
    MTIME = 0xBFF8


_M_SOFTWARE, _M_TIMER = 3, 7
_MTIMECMP, _MTIME = int(Reg.MTIMECMP), int(Reg.MTIME)


@dataclass(slots=True)
class ClintState:
    """``mtimecmp`` and ``msip`` by hart. ``mtime_delta``: what software added to mtime by writing it, ticks."""

    mtimecmp: list[int] = field(default_factory=lambda: [_U64])
    msip: list[bool] = field(default_factory=lambda: [False])
    mtime_delta: int = 0


class Clint(Device):
    """The registers; raises the lines ``msip`` and ``mtip`` of each hart."""

    name = "clint"
    version = 2
    size_bytes = 0x10000
    compatible = ("sifive,clint0", "riscv,clint0")

    def __init__(self, base: int = 0, harts: int = 1) -> None:
        super().__init__(base)
        self._harts = range(harts)
        self._mtimecmp_end, self._msip_end = _MTIMECMP + 8 * harts, Reg.MSIP + 4 * harts
        self.state: ClintState = self._initial_state()

    def _initial_state(self, mtime_delta: int = 0) -> ClintState:
        return ClintState([_U64] * len(self._harts), [False] * len(self._harts), mtime_delta)

    def attach(self, wiring: Wiring) -> None:
        self._tell_mtimecmp = [
            [wiring.cached_register(_MTIMECMP + 8 * hart + at, 4, hart) for at in (0, 4)] for hart in self._harts
        ]
        self._clock = wiring.clock
        self._msip_lines = [wiring.hart_line("msip", hart) for hart in self._harts]
        self._mtip_lines = [wiring.hart_line("mtip", hart) for hart in self._harts]
        self._timers = [wiring.timer(f"mtimecmp{hart or ''}", partial(self._on_change, hart)) for hart in self._harts]

    def properties(self) -> dict[str, Value]:
        cells = ([cpu_intc(hart), _M_SOFTWARE, cpu_intc(hart), _M_TIMER] for hart in self._harts)
        return {"interrupts-extended": [cell for each in cells for cell in each]}

    def mtime(self) -> int:
        """Ticks since power-on, plus what software added."""
        return (self._clock.now_ns() // NS_PER_TICK + self.state.mtime_delta) & _U64

    def read(self, offset: int, size: int) -> int:
        if _MTIMECMP <= offset < self._mtimecmp_end:
            return _part(self.state.mtimecmp[offset - _MTIMECMP >> 3], offset & 7, size)
        if offset < self._msip_end:
            return _part(int(self.state.msip[offset >> 2]), offset & 3, size)
        if _MTIME <= offset < _MTIME + 8:
            return _part(self.mtime(), offset - _MTIME, size)
        return 0

    def write(self, offset: int, size: int, value: int) -> None:
        state = self.state
        if _MTIMECMP <= offset < self._mtimecmp_end:
            hart, at = offset - _MTIMECMP >> 3, offset & 7
            state.mtimecmp[hart] = _with_part(state.mtimecmp[hart], at, size, value)
            tell_halves = self._tell_mtimecmp[hart]
            if size == 4 and offset % 4 == 0:  # half of it, as most stores are
                tell_halves[at >> 2](value)
            else:
                for half, tell in enumerate(tell_halves):
                    tell(_part(state.mtimecmp[hart], 4 * half, 4))
            self._schedule(hart)
        elif offset < self._msip_end and offset % 4 == 0:
            hart = offset >> 2
            state.msip[hart] = bool(value & 1)
            self._msip_lines[hart].set_level(state.msip[hart])
        elif _MTIME <= offset < _MTIME + 8:
            mtime = self.mtime()
            written = _with_part(mtime, offset - _MTIME, size, value)
            state.mtime_delta = (state.mtime_delta + written - mtime) & _U64
            for hart in self._harts:
                self._schedule(hart)

    def reset(self) -> None:
        """Back to power-on; mtime goes on."""
        self.state = self._initial_state(self.state.mtime_delta)
        for hart in self._harts:
            for tell in self._tell_mtimecmp[hart]:
                tell(None)
            self._msip_lines[hart].set_level(False)
            self._schedule(hart)

    def _schedule(self, hart: int) -> None:
        """Let the line follow ``mtime >= mtimecmp``, now and when that changes: at mtimecmp, or where mtime wraps."""
        state = self.state
        now_ticks = self._clock.now_ns() // NS_PER_TICK
        mtime = now_ticks + state.mtime_delta & _U64
        is_due = mtime >= state.mtimecmp[hart]
        self._mtip_lines[hart].set_level(is_due)
        changes_at = _U64 + 1 if is_due else state.mtimecmp[hart]
        self._timers[hart].arm((now_ticks + changes_at - mtime) * NS_PER_TICK)

    def _on_change(self, hart: int, late_ns: int) -> None:
        """``mtime`` has come to ``mtimecmp``, or has wrapped; maybe both, where an instruction takes many ticks."""
        if self.state.mtime_delta:
            self._schedule(hart)
        else:  # virtual time ends before mtime wraps
            self._mtip_lines[hart].set_level(True)


def _part(register: int, at: int, size: int) -> int:
    return register >> 8 * at & ((1 << 8 * size) - 1)


def _with_part(register: int, at: int, size: int, value: int) -> int:
    mask = ((1 << 8 * size) - 1) << 8 * at
    return (register & ~mask | value << 8 * at & mask) & _U64
