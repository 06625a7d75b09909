"""Goldfish RTC: wall-clock time in ns, with an alarm.

Source: QEMU hw/rtc/goldfish_rtc.c; Android Goldfish "RTC" documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from minstret.emu.clock import ClockType
from minstret.emu.part import Device, Wiring

_U64 = (1 << 64) - 1


class Reg(IntEnum):
    """Register offsets. Reading TIME_LOW latches TIME_HIGH; writing ALARM_LOW sets the alarm."""

    TIME_LOW = 0x00
    TIME_HIGH = 0x04
    ALARM_LOW = 0x08
    ALARM_HIGH = 0x0C
    IRQ_ENABLED = 0x10
    CLEAR_ALARM = 0x14
    ALARM_STATUS = 0x18
    CLEAR_INTERRUPT = 0x1C


@dataclass(slots=True)
class RtcState:
    """``offset_ns``: what has to be added to the clock to get what software set."""

    offset_ns: int = 0
    time_high: int = 0
    alarm_ns: int = 0
    alarm_is_set: bool = False
    irq_enabled: bool = False
    irq_pending: bool = False


class GoldfishRtc(Device):
    """The registers, and the alarm's interrupt."""

    name = "rtc"
    compatible = "google,goldfish-rtc"

    def __init__(self, base: int = 0, irq: int = 0, start_ns: int | None = 0) -> None:
        """An RTC that shows ``start_ns`` plus virtual time, ns since 1970; None: the host's time."""
        super().__init__(base, irq)
        self.state: RtcState = RtcState()
        self._start_ns = start_ns

    def attach(self, wiring: Wiring) -> None:
        is_virtual = self._start_ns is not None
        self._clock = wiring.clock if is_virtual else wiring.host_clock
        self._line = wiring.irq()
        self._timer = wiring.timer("alarm", self._on_alarm, ClockType.VIRTUAL if is_virtual else ClockType.HOST)

    def time_ns(self) -> int:
        """What software reads, ns since 1970."""
        return (self._clock.now_ns() + (self._start_ns or 0) + self.state.offset_ns) & _U64

    def read(self, offset: int, size: int) -> int:
        state = self.state
        if offset == Reg.TIME_LOW:
            now_ns = self.time_ns()
            state.time_high = now_ns >> 32
            return now_ns & 0xFFFFFFFF
        registers: dict[int, int] = {
            Reg.TIME_HIGH: state.time_high,
            Reg.ALARM_LOW: state.alarm_ns & 0xFFFFFFFF,
            Reg.ALARM_HIGH: state.alarm_ns >> 32,
            Reg.IRQ_ENABLED: int(state.irq_enabled),
            Reg.ALARM_STATUS: int(state.alarm_is_set),
        }
        return registers.get(offset, 0)

    def write(self, offset: int, size: int, value: int) -> None:
        state = self.state
        if offset == Reg.TIME_LOW:
            self._set_time(self.time_ns() & ~0xFFFFFFFF | value)
        elif offset == Reg.TIME_HIGH:
            self._set_time(self.time_ns() & 0xFFFFFFFF | value << 32)
        elif offset == Reg.ALARM_LOW:
            state.alarm_ns = state.alarm_ns & ~0xFFFFFFFF | value
            self._set_alarm()
        elif offset == Reg.ALARM_HIGH:
            state.alarm_ns = state.alarm_ns & 0xFFFFFFFF | value << 32
        elif offset == Reg.IRQ_ENABLED:
            state.irq_enabled = bool(value & 1)
        elif offset == Reg.CLEAR_ALARM:
            state.alarm_is_set = False
            self._timer.cancel()
        elif offset == Reg.CLEAR_INTERRUPT:
            state.irq_pending = False
        self._update()

    def reset(self) -> None:
        """Back to power-on; the time goes on."""
        self.state = RtcState(offset_ns=self.state.offset_ns)
        self._timer.cancel()
        self._update()

    def _set_time(self, time_ns: int) -> None:
        self.state.offset_ns += (time_ns & _U64) - self.time_ns()
        if self.state.alarm_is_set:
            self._set_alarm()

    def _set_alarm(self) -> None:
        state = self.state
        if state.alarm_ns <= self.time_ns():
            self._timer.cancel()
            self._on_alarm(0)
        else:
            state.alarm_is_set = True
            self._timer.arm(self._clock.now_ns() + state.alarm_ns - self.time_ns())

    def _on_alarm(self, late_ns: int) -> None:
        self.state.alarm_is_set = False
        self.state.irq_pending = True
        self._update()

    def _update(self) -> None:
        self._line.set_level(self.state.irq_pending and self.state.irq_enabled)
