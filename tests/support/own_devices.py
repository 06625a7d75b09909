"""Devices of a user's own, for tests: those of docs/examples, and one with a mistake of each kind."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from support import asm
from support.recordings import setup_of_code

from minstret import Device, HostWiring, VirtioFunction, Wiring
from minstret.devices.board.board import Setup
from minstret.devices.board.config import BoardConfig
from minstret.devices.board.map import Base
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


def example_setup(name: str, counting: str = "code", **config: Any) -> Setup:
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


@dataclass(slots=True)
class BusyState:
    held: bytes = b""
    level: int = 0
    ticks: int = 0


class Busy(Device):
    """Uses all that a device may use: reading its registers draws, asks the host, and takes what the host gave."""

    size_bytes = 0x1000

    def __init__(self, base: int = GPIO_BASE, irq: int = GPIO_IRQ, name: str = "busy0") -> None:
        super().__init__(base, irq, name)
        self.state = BusyState()

    def attach(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._line = wiring.irq()
        self._sent = wiring.output("out")
        self._generator = wiring.generator()
        self._timer = wiring.timer("tick", self._on_tick)
        wiring.input("in", self._on_input)

    def host_side(self, host: HostWiring) -> BusyHost:
        return BusyHost(host)

    def reset(self) -> None:
        super().reset()
        self._timer.cancel()
        self._line.set_level(False)

    def read(self, offset: int, size: int) -> int:
        if offset == 0:
            return self._generator.getrandbits(8 * size)
        if offset == 4:
            return int.from_bytes(self._wiring.ask("mood", lambda: b"\5"), "little")
        if offset == 8:
            return self._wiring.host_clock.now_ns() & 0xFFFF_FFFF
        if offset == 12 and self.state.held:
            first, self.state.held = self.state.held[0], self.state.held[1:]
            self._wiring.room_for_input()
            return first
        return self.state.ticks

    def write(self, offset: int, size: int, value: int) -> None:
        if offset == 0:
            self._timer.arm(self._wiring.clock.now_ns() + value % 5000)
        elif offset == 4:
            self._sent(value.to_bytes(size, "little"))
        elif offset == 8:
            self._line.set_level(False)
        elif offset == 12:
            self._wiring.charge(value % 50)

    def _on_input(self, data: bytes) -> int:
        taken = data[: 5 - len(self.state.held)]
        self.state.held += taken
        return len(taken)

    def _on_tick(self, late_ns: int) -> None:
        self.state.ticks += 1
        self._line.set_level(True)
        self._wiring.memory.write(BUSY_BUFFER, self._generator.randbytes(8))
        self._sent(bytes((self.state.ticks & 0xFF,)))


@dataclass(slots=True)
class BusyHostState:
    heard: int = 0


class BusyHost:
    """Answers what the device sends, sometimes with more than it has room for."""

    def __init__(self, host: HostWiring) -> None:
        self.state = BusyHostState()
        self._host = host
        self._generator = host.generator()
        self._timer = host.timer("answer", self._on_timer)
        host.listen("out", self._on_sent)

    def _on_sent(self, data: bytes) -> None:
        self.state.heard += len(data)
        self._timer.arm(self._host.clock.now_ns() + self._generator.randrange(1, 3000))

    def _on_timer(self, late_ns: int) -> None:
        self._host.post("in", self._generator.randbytes(self._generator.randrange(1, 9)))


BUSY_BUFFER = 0x8000_4000


def busy_setup() -> Setup:
    """The busy device, and a guest that uses all of it and now and then waits for its interrupt."""
    s0, s1, t0, t1, t2 = asm.S0, asm.S1, asm.T0, asm.T1, asm.T2
    start = asm.code(
        asm.li(s0, GPIO_BASE), asm.li(t0, Base.PLIC + 4 * GPIO_IRQ), asm.li(t1, 1), asm.sw(t1, t0, 0),
        asm.li(t0, Base.PLIC + 0x2000), asm.li(t1, 1 << GPIO_IRQ), asm.sw(t1, t0, 0),
        asm.li(s1, Base.PLIC + 0x20_0004), asm.li(t1, 1 << 11), asm.csrw("mie", t1), asm.li(t2, BUSY_BUFFER),
    )  # fmt: skip
    body = asm.code(
        asm.lw(t0, s0, 0), asm.sw(t0, s0, 0), asm.lw(t1, s0, 4), asm.lw(t1, s0, 12), asm.sw(t1, s0, 4),
        asm.lw(t1, s0, 8), asm.sw(t1, t2, 64), asm.sw(t0, s0, 12), asm.WFI, asm.lw(t0, s1, 0), asm.sw(t0, s1, 0),
        asm.sw(t0, s0, 8), asm.lw(t1, t2, 0), asm.lw(t1, s0, 12), asm.sw(t1, t2, 68),
    )  # fmt: skip
    code = start + body + asm.code(asm.jal(asm.ZERO, -len(body)))
    return replace(setup_of_code(code), devices=(Busy(),))


class OtherFunction(VirtioFunction):
    """A virtio device whose work raises something."""

    device_id = 42

    def __init__(self, name: str = "other0") -> None:
        super().__init__(name)
        self.state = FlawedState()

    def on_notify(self, queue: int) -> None:
        raise RuntimeError("no work today")
