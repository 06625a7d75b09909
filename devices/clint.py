"""CLINT: the machine's timer and software interrupts, one hart.

The timer is a function of virtual time: 10 MHz, as on QEMU's ``virt`` board.
Source: SiFive FU540-C000 Manual, "CLINT"; QEMU hw/intc/riscv_aclint.c for 8-byte accesses and writable mtime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from minstret.emu.clock import NS_PER_TICK, Clock
from minstret.emu.irq import IrqLine
from minstret.emu.timers import Timer, TimerList

_U64 = (1 << 64) - 1
_NEVER_NS = 1 << 63
"""A deadline from here on is never: software writes all ones to mean that."""


class Reg(IntEnum):
    """Register offsets, hart 0."""

    MSIP = 0x0000
    MTIMECMP = 0x4000
    MTIME = 0xBFF8


_MTIMECMP, _MTIMECMP_END = int(Reg.MTIMECMP), Reg.MTIMECMP + 8


@dataclass(slots=True)
class ClintState:
    """``mtime_delta``: what software added to mtime by writing it, ticks."""

    mtimecmp: int = _U64
    msip: bool = False
    mtime_delta: int = 0


class Clint:
    """The registers; raises ``msip_line`` and ``mtip_line``."""

    size_bytes = 0x10000

    def __init__(
        self,
        name: str,
        clock: Clock,
        timers: TimerList,
        msip_line: IrqLine,
        mtip_line: IrqLine,
        tell_mtimecmp: Sequence[Callable[[int | None], None]] = (),
    ) -> None:
        """Make a CLINT in its reset state; ``tell_mtimecmp``: ``Hart.steady_register`` for its words, low one first."""
        self.name = name
        self._tell_mtimecmp = tell_mtimecmp
        self.state = ClintState()
        self._clock = clock
        self._msip_line = msip_line
        self._mtip_line = mtip_line
        self._timer = Timer(f"{name}.mtimecmp", timers, self._on_mtimecmp)

    def mtime(self) -> int:
        """Ticks since power-on, plus what software added."""
        return (self._clock.now_ns() // NS_PER_TICK + self.state.mtime_delta) & _U64

    def read(self, offset: int, size: int) -> int:
        if _MTIMECMP <= offset < _MTIMECMP_END:
            return _part(self.state.mtimecmp, offset - _MTIMECMP, size)
        if offset < Reg.MSIP + 4:
            return _part(int(self.state.msip), offset, size)
        if Reg.MTIME <= offset < Reg.MTIME + 8:
            return _part(self.mtime(), offset - Reg.MTIME, size)
        return 0

    def write(self, offset: int, size: int, value: int) -> None:
        state = self.state
        if _MTIMECMP <= offset < _MTIMECMP_END:
            state.mtimecmp = _with_part(state.mtimecmp, offset - _MTIMECMP, size, value)
            if self._tell_mtimecmp and size == 4 and offset % 4 == 0:  # half of it, as most stores are
                self._tell_mtimecmp[offset - _MTIMECMP >> 2](value)
            else:
                for at, tell in enumerate(self._tell_mtimecmp):
                    tell(_part(state.mtimecmp, 4 * at, 4))
            self._schedule()
        elif offset == Reg.MSIP:
            state.msip = bool(value & 1)
            self._msip_line.set_level(state.msip)
        elif Reg.MTIME <= offset < Reg.MTIME + 8:
            mtime = self.mtime()
            written = _with_part(mtime, offset - Reg.MTIME, size, value)
            state.mtime_delta = (state.mtime_delta + written - mtime) & _U64
            self._schedule()

    def reset(self) -> None:
        """Back to power-on; mtime goes on."""
        self.state = ClintState(mtime_delta=self.state.mtime_delta)
        for tell in self._tell_mtimecmp:
            tell(None)
        self._msip_line.set_level(False)
        self._schedule()

    def _schedule(self) -> None:
        state = self.state
        now_ticks = self._clock.now_ns() // NS_PER_TICK
        ticks_to_go = state.mtimecmp - (now_ticks + state.mtime_delta & _U64)
        is_due = ticks_to_go <= 0
        self._mtip_line.set_level(is_due)
        expire_ns = (now_ticks + ticks_to_go) * NS_PER_TICK
        if is_due or expire_ns >= _NEVER_NS:
            self._timer.cancel()
        else:
            self._timer.arm(expire_ns)

    def _on_mtimecmp(self, late_ns: int) -> None:
        """``mtime`` has come to ``mtimecmp``: a write of either would have armed the timer anew."""
        self._mtip_line.set_level(True)


def _part(register: int, at: int, size: int) -> int:
    return register >> 8 * at & ((1 << 8 * size) - 1)


def _with_part(register: int, at: int, size: int, value: int) -> int:
    mask = ((1 << 8 * size) - 1) << 8 * at
    return (register & ~mask | value << 8 * at & mask) & _U64
