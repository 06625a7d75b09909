"""A GPIO block: eight pins in, which the host drives, eight pins out, and an interrupt at rising edges."""

from __future__ import annotations

from dataclasses import dataclass

from minstret import Device, Wiring

IN, OUT, ENABLE, PENDING = 0x0, 0x4, 0x8, 0xC


@dataclass(slots=True)
class GpioState:
    pins: int = 0
    out: int = 0
    enable: int = 0
    pending: int = 0


class Gpio(Device):
    compatible = "example,gpio"
    state: GpioState

    def __init__(self, base: int, irq: int, name: str = "gpio0") -> None:
        super().__init__(base, irq, name)
        self.state = GpioState()

    def attach(self, wiring: Wiring) -> None:
        self._line = wiring.irq()
        self._drive = wiring.output("out")  # recorded, and compared in a replay
        wiring.input("pins", self._on_pins)  # recorded, and comes from the trace in a replay

    def reset(self) -> None:
        self.state = GpioState(pins=self.state.pins)
        self._update()

    def read(self, offset: int, size: int) -> int:
        state = self.state
        return {IN: state.pins, OUT: state.out, ENABLE: state.enable, PENDING: state.pending}.get(offset, 0)

    def write(self, offset: int, size: int, value: int) -> None:
        if offset == OUT:
            self.state.out = value & 0xFF
            self._drive(bytes((self.state.out,)))
        elif offset == ENABLE:
            self.state.enable = value & 0xFF
        elif offset == PENDING:
            self.state.pending &= ~value  # writing a one clears it
        self._update()

    def _on_pins(self, data: bytes) -> None:
        self.state.pending |= data[-1] & ~self.state.pins
        self.state.pins = data[-1]
        self._update()

    def _update(self) -> None:
        self._line.set_level(bool(self.state.pending & self.state.enable))
