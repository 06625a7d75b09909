"""Devices of a user's own, for tests: those of docs/examples, and one with a mistake of each kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minstret import Device, VirtioFunction, Wiring
from minstret.devices.board.board import Setup
from minstret.devices.board.config import BoardConfig
from minstret.emu.cli.devices import load_class
from minstret.emu.hart.shared import Counting
from minstret.emu.images.loader import read_image
from minstret.emu.part import Part

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
GPIO_BASE, GPIO_IRQ = 0x1006_0000, 12

Gpio: Any = load_class(f"{EXAMPLES / 'gpio.py'}:Gpio")
PulsedGpio: Any = load_class(f"{EXAMPLES / 'pulse.py'}:PulsedGpio")
Shout: Any = load_class(f"{EXAMPLES / 'shout.py'}:Shout")


def example(name: str) -> Part:
    """A device of docs/examples: ``gpio``, which the host drives, or ``shout``."""
    made: Part = PulsedGpio(GPIO_BASE, GPIO_IRQ) if name == "gpio" else Shout()
    return made


def example_setup(name: str, counting: str = "blocks", **config: Any) -> Setup:
    """The device of that name, and the guest that uses it."""
    config = {"ram_size": 1 << 20, "counting": Counting(counting)} | config
    return Setup(BoardConfig(**config), read_image(EXAMPLES / f"{name}.hex"), devices=(example(name),))


@dataclass(slots=True)
class FlawedState:
    count: int = 0
    log: list[int] = field(default_factory=list)


class Flawed(Device):
    """Makes the mistake that ``flaw`` names."""

    def __init__(self, base: int = GPIO_BASE, irq: int | None = None, flaw: str = "", name: str = "flawed0") -> None:
        super().__init__(base, irq, name)
        self.state = FlawedState()
        self.flaw = flaw

    def _slip(self, what: str) -> None:
        if self.flaw == what:
            raise RuntimeError(f"no {what} today")

    def attach(self, wiring: Wiring) -> None:
        self._slip("attach")
        wiring.input("in", self._on_input)
        self._timer = wiring.timer("tick", self._on_tick)

    def node(self) -> Any:
        self._slip("node")
        return super().node()

    def reset(self) -> None:
        self._slip("reset")
        super().reset()

    def read(self, offset: int, size: int) -> int:
        self._slip("read")
        values: dict[str, Any] = {"text": "x", "negative": -1, "huge": 1 << 64, "none": None, "float": 1.0}
        value: int = values.get(self.flaw, 7)
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        self._slip("write")
        self._timer.arm(1000)

    def _on_tick(self, late_ns: int) -> None:
        self._slip("timer")

    def _on_input(self, data: bytes) -> None:
        self._slip("input")


class OtherFunction(VirtioFunction):
    """A virtio device whose work raises something."""

    device_id = 42

    def __init__(self, name: str = "other0") -> None:
        super().__init__(name)
        self.state = FlawedState()

    def on_notify(self, queue: int) -> None:
        raise RuntimeError("no work today")
