"""The GPIO block with something on the host side: pin 0 is switched again and again."""

from __future__ import annotations

from dataclasses import dataclass

from gpio import Gpio

from minstret import HostWiring


class PulsedGpio(Gpio):
    def __init__(self, base: int, irq: int, pulse_us: int = 100, name: str = "gpio0") -> None:
        super().__init__(base, irq, name)
        self.pulse_us = pulse_us

    def host_side(self, host: HostWiring) -> Pulse:
        return Pulse(host, self.pulse_us * 1000)


@dataclass(slots=True)
class PulseState:
    level: int = 0


class Pulse:
    """A replay has none: what it did is in the trace."""

    def __init__(self, host: HostWiring, period_ns: int) -> None:
        self.state = PulseState()
        self._host, self._period_ns = host, period_ns
        self._timer = host.timer("pulse", self._on_timer)
        self._timer.arm(period_ns)

    def _on_timer(self, late_ns: int) -> None:
        self.state.level ^= 1
        self._host.post("pins", bytes((self.state.level,)))
        self._timer.arm(self._host.clock.now_ns() + self._period_ns)
