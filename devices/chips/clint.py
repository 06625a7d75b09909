"""CLINT: the machine's timer and software interrupts, one hart.

The timer is a function of virtual time: 10 MHz, as on QEMU's ``virt`` board.
Source: SiFive FU540-C000 Manual, "CLINT"; QEMU hw/intc/riscv_aclint.c for 8-byte accesses and writable mtime.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from minstret.emu.clock import NS_PER_TICK
from minstret.emu.fdt import Value
from minstret.emu.part import Device, Phandle, Wiring

_U64 = (1 << 64) - 1


class Reg(IntEnum):
    """Register offsets, hart 0."""

    MSIP = 0x0000
    MTIMECMP = 0x4000
    MTIME = 0xBFF8


_M_SOFTWARE, _M_TIMER = 3, 7
_MTIMECMP, _MTIMECMP_END = int(Reg.MTIMECMP), Reg.MTIMECMP + 8


@dataclass(slots=True)
class ClintState:
    """``mtime_delta``: what software added to mtime by writing it, ticks."""

    mtimecmp: int = _U64
    msip: bool = False
    mtime_delta: int = 0


class Clint(Device):
    """The registers; raises the hart's lines ``msip`` and ``mtip``."""

    name = "clint"
    size_bytes = 0x10000
    compatible = ("sifive,clint0", "riscv,clint0")

    def __init__(self, base: int = 0) -> None:
        super().__init__(base)
        self.state: ClintState = ClintState()

    def attach(self, wiring: Wiring) -> None:
        self._tell_mtimecmp = [wiring.cached_register(Reg.MTIMECMP + at, 4) for at in (0, 4)]
        self._clock = wiring.clock
        self._msip_line = wiring.hart_line("msip")
        self._mtip_line = wiring.hart_line("mtip")
        self._timer = wiring.timer("mtimecmp", self._on_change)

    def properties(self) -> dict[str, Value]:
        intc = Phandle.CPU_INTC
        return {"interrupts-extended": [intc, _M_SOFTWARE, intc, _M_TIMER]}

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
            if size == 4 and offset % 4 == 0:  # half of it, as most stores are
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
        """Let the line follow ``mtime >= mtimecmp``, now and when that changes: at mtimecmp, or where mtime wraps."""
        state = self.state
        now_ticks = self._clock.now_ns() // NS_PER_TICK
        mtime = now_ticks + state.mtime_delta & _U64
        is_due = mtime >= state.mtimecmp
        self._mtip_line.set_level(is_due)
        changes_at = _U64 + 1 if is_due else state.mtimecmp
        self._timer.arm((now_ticks + changes_at - mtime) * NS_PER_TICK)

    def _on_change(self, late_ns: int) -> None:
        """``mtime`` has come to ``mtimecmp``, or has wrapped; maybe both, where an instruction takes many ticks."""
        if self.state.mtime_delta:
            self._schedule()
        else:  # virtual time ends before mtime wraps
            self._mtip_line.set_level(True)


def _part(register: int, at: int, size: int) -> int:
    return register >> 8 * at & ((1 << 8 * size) - 1)


def _with_part(register: int, at: int, size: int, value: int) -> int:
    mask = ((1 << 8 * size) - 1) << 8 * at
    return (register & ~mask | value << 8 * at & mask) & _U64
