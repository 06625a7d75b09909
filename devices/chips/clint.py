"""CLINT: the machine's timer, and a timer and a software interrupt for each hart.

The timer is a function of virtual time: 10 MHz, as on QEMU's ``virt`` board. Where harts have Sstc, mtime is compared
with their ``stimecmp`` too, which is a CSR of theirs. Where nobody looks on, C carries out accesses to mtimecmp, on the
same registers, and ``_arm_timer`` sets the timer afterwards: see emu/hart/_chips.h.
Source: SiFive FU540-C000 Manual, "CLINT"; QEMU hw/intc/riscv_aclint.c for 8-byte accesses and writable mtime.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial

from minstret.emu.clock import NS_PER_TICK
from minstret.emu.fdt import Value
from minstret.emu.irq import IrqLine
from minstret.emu.part import Device, Wiring, cpu_intc
from minstret.emu.registers import CLINT_MTIMECMP, TIMER_NEVER, BitKeeper, ClintRegisters
from minstret.emu.timers import IDLE, Timer

_U64 = (1 << 64) - 1


class Reg(IntEnum):
    """Register offsets; those of hart 0: each hart has 4 bytes for MSIP, and 8 for MTIMECMP."""

    MSIP = 0x0000
    MTIMECMP = CLINT_MTIMECMP
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
    """The registers; raises the lines ``msip`` and ``mtip`` of each hart, and ``stip`` of those with Sstc.

    Attributes:
        stimecmp: What a hart, by its id, has in ``stimecmp``; None while that does not count.
    """

    name = "clint"
    version = 2
    size_bytes = 0x10000
    compatible = ("sifive,clint0", "riscv,clint0")

    def __init__(self, base: int = 0, harts: int = 1, *, has_sstc: bool = False) -> None:
        super().__init__(base)
        self._harts = range(harts)
        self._sstc_harts = self._harts if has_sstc else range(0)
        self.stimecmp: Callable[[int], int | None] = lambda hart: None
        self._mtimecmp_end, self._msip_end = _MTIMECMP + 8 * harts, Reg.MSIP + 4 * harts
        self._registers = ClintRegisters()
        self.state = self._initial_state()

    def _initial_state(self, mtime_delta: int = 0) -> ClintState:
        return ClintState([_U64] * len(self._harts), [False] * len(self._harts), mtime_delta)

    @property
    def state(self) -> ClintState:
        """A copy of the state; setting it loads one."""
        r, harts = self._registers, len(self._harts)
        return ClintState(r.mtimecmp[:harts], [bool(level) for level in r.msip[:harts]], r.mtime_delta)

    @state.setter
    def state(self, state: ClintState) -> None:
        r, harts = self._registers, len(self._harts)
        r.mtimecmp[:harts], r.msip[:harts], r.mtime_delta = state.mtimecmp, state.msip, state.mtime_delta
        r.is_set = r.arms = 0

    @property
    def mtime_delta(self) -> int:
        """What software added to mtime, ticks."""
        return self._registers.mtime_delta

    def attach(self, wiring: Wiring) -> None:
        self._tell_mtimecmp = [
            [wiring.cached_register(_MTIMECMP + 8 * hart + at, 4, hart) for at in (0, 4)] for hart in self._harts
        ]
        self._clock = wiring.clock
        self._msip_lines = [wiring.hart_line("msip", hart) for hart in self._harts]
        self._mtip_lines = [
            wiring.hart_line("mtip", hart, BitKeeper(self._registers, "outputs", hart)) for hart in self._harts
        ]
        self._timers = [wiring.timer(f"mtimecmp{hart or ''}", partial(self._on_change, hart)) for hart in self._harts]
        self._stip_lines = [wiring.hart_line("stip", hart) for hart in self._sstc_harts]
        self._stimecmp_timers = [
            wiring.timer(f"stimecmp{hart or ''}", partial(self._on_stimecmp_change, hart)) for hart in self._sstc_harts
        ]
        self._is_answered = wiring.answered(self._registers, self._arm_timer)

    def properties(self) -> dict[str, Value]:
        cells = ([cpu_intc(hart), _M_SOFTWARE, cpu_intc(hart), _M_TIMER] for hart in self._harts)
        return {"interrupts-extended": [cell for each in cells for cell in each]}

    def mtime(self) -> int:
        """Ticks since power-on, plus what software added."""
        return (self._clock.now_ns() // NS_PER_TICK + self._registers.mtime_delta) & _U64

    def read(self, offset: int, size: int) -> int:
        if _MTIMECMP <= offset < self._mtimecmp_end:
            return _part(self._registers.mtimecmp[offset - _MTIMECMP >> 3], offset & 7, size)
        if offset < self._msip_end:
            return _part(self._registers.msip[offset >> 2], offset & 3, size)
        if _MTIME <= offset < _MTIME + 8:
            return _part(self.mtime(), offset - _MTIME, size)
        return 0

    def write(self, offset: int, size: int, value: int) -> None:
        r = self._registers
        if _MTIMECMP <= offset < self._mtimecmp_end:
            hart, at = offset - _MTIMECMP >> 3, offset & 7
            r.mtimecmp[hart] = _with_part(r.mtimecmp[hart], at, size, value)
            if not self._is_answered:
                for half, tell in enumerate(self._tell_mtimecmp[hart]):
                    tell(_part(r.mtimecmp[hart], 4 * half, 4))
            self._schedule(hart)
        elif offset < self._msip_end and offset % 4 == 0:
            hart = offset >> 2
            r.msip[hart] = value & 1
            self._msip_lines[hart].set_level(bool(value & 1))
        elif _MTIME <= offset < _MTIME + 8:
            mtime = self.mtime()
            written = _with_part(mtime, offset - _MTIME, size, value)
            r.mtime_delta = (r.mtime_delta + written - mtime) & _U64
            for hart in self._harts:
                self._schedule(hart)
            for hart in self._sstc_harts:
                self.stimecmp_written(hart)

    def reset(self) -> None:
        """Back to power-on; mtime goes on."""
        self.state = self._initial_state(self._registers.mtime_delta)
        for hart in self._harts:
            for tell in self._tell_mtimecmp[hart]:
                tell(None)
            self._msip_lines[hart].set_level(False)
            self._schedule(hart)
        for hart in self._sstc_harts:  # the harts are reset too, and have none that counts
            self._stip_lines[hart].set_level(False)
            self._stimecmp_timers[hart].cancel()

    def stimecmp_written(self, hart: int) -> None:
        """What ``stimecmp`` gives for a hart has changed."""
        if (compare := self.stimecmp(hart)) is None:
            self._stip_lines[hart].set_level(False)
            self._stimecmp_timers[hart].cancel()
        else:
            self._follow(compare, self._stip_lines[hart], self._stimecmp_timers[hart])

    def _schedule(self, hart: int) -> None:
        self._follow(self._registers.mtimecmp[hart], self._mtip_lines[hart], self._timers[hart])

    def _follow(self, compare: int, line: IrqLine, timer: Timer) -> None:
        """Let the line follow ``mtime >= compare``, now and when that changes: at ``compare``, or where mtime wraps."""
        now_ticks = self._clock.now_ns() // NS_PER_TICK
        mtime = now_ticks + self._registers.mtime_delta & _U64
        is_due = mtime >= compare
        line.set_level(is_due)
        changes_at = _U64 + 1 if is_due else compare
        timer.arm((now_ticks + changes_at - mtime) * NS_PER_TICK)

    def _arm_timer(self) -> None:
        """Set the timer as C wants it; it takes as many serials as if it had been armed each time."""
        r = self._registers
        arms, deadline_ns, r.is_set, r.arms = r.arms, r.deadline_ns, 0, 0
        self._timers[0].was_armed(IDLE if deadline_ns == TIMER_NEVER else deadline_ns, arms)

    def _on_change(self, hart: int, late_ns: int) -> None:
        """``mtime`` has come to ``mtimecmp``, or has wrapped; maybe both, where an instruction takes many ticks."""
        if self._registers.mtime_delta:
            self._schedule(hart)
        else:  # virtual time ends before mtime wraps
            self._mtip_lines[hart].set_level(True)

    def _on_stimecmp_change(self, hart: int, late_ns: int) -> None:
        """The same of ``stimecmp``."""
        if self._registers.mtime_delta:
            self.stimecmp_written(hart)
        else:
            self._stip_lines[hart].set_level(True)


def _part(register: int, at: int, size: int) -> int:
    return register >> 8 * at & ((1 << 8 * size) - 1)


def _with_part(register: int, at: int, size: int, value: int) -> int:
    mask = ((1 << 8 * size) - 1) << 8 * at
    return (register & ~mask | value << 8 * at & mask) & _U64
