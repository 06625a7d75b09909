"""How parts are put into a machine: each gets what it may use, and the machine gets to know each of them.

Owns the names: the input ``rx`` of ``uart0`` is the door's target ``uart0.rx``, and so are streams, timers and lines.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

from minstret.emu.clock import Clock, ClockType
from minstret.emu.door.door import Event, Position
from minstret.emu.errors import ConfigError
from minstret.emu.fdt import Node, flatten
from minstret.emu.generator import Generator
from minstret.emu.guard import Guard, GuardedDevice
from minstret.emu.hart.spec import Interrupt
from minstret.emu.irq import IrqLine, KeptLine, LevelKeeper
from minstret.emu.machine import Machine
from minstret.emu.part import Device, Dma, Part, PieceOutput, Send, Sink
from minstret.emu.registers import Registers
from minstret.emu.timers import Timer, TimerAttribute, TimerList

_HART_LINES = {
    "msip": Interrupt.MSI, "mtip": Interrupt.MTI, "meip": Interrupt.MEI, "seip": Interrupt.SEI, "stip": Interrupt.STI,
}  # fmt: skip


class InterruptController(Protocol):
    """What the lines of devices lead to."""

    def set_source(self, source: int, level: bool) -> None:
        """Set the level of an interrupt source's line."""
        ...


class Stream:
    """What one output sends: to the door first, then to the listeners."""

    __slots__ = ("_door", "_machine", "_name", "listeners", "send")

    def __init__(self, name: str, is_message: bool, machine: Machine) -> None:
        self.listeners: list[Send] = []
        self._name, self._machine, self._door = name, machine, machine.door
        self.send = _sender(name, is_message, machine.door.sent, self.listeners)

    @property
    def may_wait(self) -> bool:
        """Whether nobody minds to be told late: see PieceOutput."""
        return all(getattr(listener, "takes_pieces", False) for listener in self.listeners)

    def send_late(self, data: bytes, icounts: Sequence[int]) -> None:
        """See PieceOutput."""
        clock = self._machine.clock

        def position(at: int) -> Position:
            return Position(icounts[at], clock.ns_at(icounts[at]))

        self._door.sent_late(self._name, data, position)
        for listener in tuple(self.listeners):
            listener(data)


def _sender(
    name: str, is_message: bool, sent: Callable[[str, bytes, bool], None], listeners: list[Send]
) -> Send:  # fmt: skip
    """A function, as it is called for each byte of the console."""

    def send(data: bytes) -> None:
        sent(name, data, is_message)
        for listener in tuple(listeners):
            listener(data)

    return send


class Inlet:
    """What one input takes. Listeners are called with it first."""

    __slots__ = ("listeners", "sink")

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.listeners: list[Send] = []

    def receive(self, data: bytes) -> int:
        for listener in self.listeners:
            listener(data)
        taken = self.sink(data)
        return len(data) if taken is None else taken


class Assembly:
    """The parts of one machine, in order.

    Attributes:
        parts: Those that a reset goes over; parts within others are not among them.
        streams: What is sent, by name.
        inlets: What comes in by the door, by name.
        sources: The name of the part at each interrupt source in use.
    """

    def __init__(self, machine: Machine, interrupts: InterruptController, seed: int) -> None:
        """Put parts into ``machine``; their lines lead to ``interrupts``, which is one of them."""
        self.machine = machine
        self.parts: list[Part] = []
        self._guards: list[Guard | None] = []
        self.streams: dict[str, Stream] = {}
        self.inlets: dict[str, Inlet] = {}
        self.sources: dict[int, str] = {}
        self.interrupts = interrupts
        self._seed = seed

    def add(self, part: Part, guard: Guard | None = None) -> None:
        """Attach ``part``, and make it part of the machine's state; with a ``guard`` its mistakes are told as such."""
        self.parts.append(part)
        self._guards.append(guard)
        self._attach(part, guard)

    def _attach(self, part: Part, guard: Guard | None) -> None:
        wiring = PartWiring(self, part, guard)
        part.is_attached = True
        if guard is None:
            part.attach(wiring)
        else:
            guard.run("attach", part.attach, wiring)
        if isinstance(part, Device):
            self.machine.bus.attach(part.base, part if guard is None else GuardedDevice(part, guard))
            self.machine.memory.map_io(part.base, part.size_bytes)
        self.machine.parts.add(part.name, part)
        if guard is not None:
            self.machine.parts.checks.append(partial(guard.check_state, part, "state"))
        for inner in part.parts():
            self._attach(inner, guard)

    def make_host_sides(self, timers: TimerList, post: Callable[[Event], None]) -> None:
        """Make what parts have on the host side: it keeps time on ``timers``; ``post`` hands an event to the door."""
        for part, guard in zip(self.parts, self._guards, strict=True):
            for each in (part, *part.parts()):
                host = PartHostWiring(self, each, timers, post, guard)
                side = each.host_side(host) if guard is None else guard.run("host_side", each.host_side, host)
                if side is not None and guard is not None:
                    guard.check_state(side, "host side's state")
                    self.machine.parts.checks.append(partial(guard.check_state, side, "host side's state"))
                if side is not None:
                    self.machine.parts.add_host(f"{each.name}.host", side)

    def reset(self) -> None:
        """Reset all parts."""
        for part, guard in zip(self.parts, self._guards, strict=True):
            if guard is None:
                part.reset()
            else:
                guard.run("reset", part.reset)

    def stream(self, name: str, is_message: bool = True) -> Stream:
        """The stream of that name, made at the first call."""
        if name not in self.streams:
            self.streams[name] = Stream(name, is_message, self.machine)
        return self.streams[name]

    def connect(self, target: str, sink: Sink) -> None:
        """Let ``sink`` take what comes through the door for ``target``."""
        self.inlets[target] = inlet = Inlet(sink)
        self.machine.door.connect(target, inlet.receive)

    def line(self, name: str, on_change: Callable[[bool], None], keeper: LevelKeeper | None = None) -> IrqLine:
        """A line that is part of the machine's state; ``keeper`` has its level, if not the line.

        Raises:
            ConfigError: there is one of that name already.
        """
        if name in self.machine.lines:
            raise ConfigError(f"{name}: this line was asked for before; keep what the first call gave")
        line = self.machine.add_line(IrqLine(name) if keeper is None else KeptLine(name, keeper))
        line.connect(on_change)
        return line

    def generator(self, name: str) -> random.Random:
        """A random generator from the board's seed; each name has one of its own."""
        return random.Random(f"{self._seed}/{name}")

    def part_generator(self, name: str, is_of_host_side: bool) -> Generator:
        """A random generator for a part, whose state is part of the machine's: it goes back with the run.

        Raises:
            ConfigError: there is one of that name already.
        """
        generator, parts = Generator(f"{self._seed}/{name}"), self.machine.parts
        state_name = f"{name.rstrip('.')}.random"
        if state_name in (parts.host if is_of_host_side else parts.guest):
            raise ConfigError(f"{state_name}: this generator was asked for before; keep what the first call gave")
        if is_of_host_side:
            parts.add_host(state_name, generator)
        else:
            parts.add(state_name, generator)
        return generator

    def guarded(self) -> Iterator[tuple[Part, Guard]]:
        """The users' devices, and what is within them, with what guards them."""
        for part, guard in zip(self.parts, self._guards, strict=True):
            if guard is not None:
                yield from ((each, guard) for each in (part, *part.parts()))

    def nodes(self) -> list[Node]:
        """What stands for the parts in the device tree."""
        nodes = (
            part.node() if guard is None else guard.run("node", _checked_node, part)
            for part, guard in zip(self.parts, self._guards, strict=True)
        )  # fmt: skip
        return [node for node in nodes if node is not None]


def _checked_node(part: Part) -> Node | None:
    """Its node, which can be written into a tree."""
    node = part.node()
    if node is not None:
        flatten(node)
    return node


class PartWiring:
    """See ``Wiring``."""

    def __init__(self, assembly: Assembly, part: Part, guard: Guard | None) -> None:
        machine = assembly.machine
        self._assembly, self._part, self._guard = assembly, part, guard
        self._machine = machine
        self.clock: Clock = machine.clock
        self.host_clock: Clock = machine.host_clock
        self.memory: Dma = HartMemory(machine, next((inner.name for inner in part.parts()), part.name))
        self.harts = len(machine.harts)
        self.charge = machine.hart.charge if self.harts == 1 else machine.charge
        self.room_for_input = machine.room_for_input
        self.request_exit = machine.request_exit if guard is None else guard.exit(machine.request_exit)
        self.request_reset = machine.request_reset

    def _name(self, name: str) -> str:
        return f"{self._part.name}.{name}"

    def _guarded(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        return function if self._guard is None else self._guard.wrap(what, function)

    def timer(
        self, name: str, callback: Callable[[int], None], clock: ClockType = ClockType.VIRTUAL,
        attributes: TimerAttribute = TimerAttribute.NONE,
    ) -> Timer:  # fmt: skip
        return Timer(
            self._name(name), self._machine.timers[clock], self._guarded(f"timer {name}", callback), attributes
        )

    def irq(self, keeper: LevelKeeper | None = None) -> IrqLine:
        part = self._part
        source = part.irq if isinstance(part, Device) else None
        if source is None:
            raise ConfigError(f"{part.name}: it asks for its interrupt line, and has none: give it an irq")
        self._assembly.sources[source] = part.name
        return self._assembly.line(self._name("irq"), partial(self._assembly.interrupts.set_source, source), keeper)

    def hart_line(self, name: str, hart: int = 0, keeper: LevelKeeper | None = None) -> IrqLine:
        if name not in _HART_LINES:
            raise ConfigError(
                f"{self._part.name}: no line {name!r} leads to a hart; there are {', '.join(_HART_LINES)}"
            )
        self._check_hart(hart)
        interrupt = _HART_LINES[name]
        if self.harts == 1:
            set_line = partial(self._machine.hart.set_line, interrupt)
        else:
            set_line = partial(self._machine.set_line, hart, interrupt)
        return self._assembly.line(self._name(f"{name}{hart or ''}"), set_line, keeper)

    def _check_hart(self, hart: int) -> None:
        if not 0 <= hart < self.harts:
            raise ConfigError(f"{self._part.name}: there is no hart {hart}; the board has {self.harts}")

    def input(self, name: str, sink: Sink) -> None:
        if self._guard is not None:
            if self._name(name) in self._assembly.inlets:
                raise ConfigError(f"{self._name(name)}: two inputs of that name")
            sink = self._guard.sink(f"input {name}", sink)
        self._assembly.connect(self._name(name), sink)

    def output(self, name: str, is_message: bool = True) -> Send:
        send = self._assembly.stream(self._name(name), is_message).send
        return send if self._guard is None else self._guard.sender(f"output {name}", send)

    def output_in_pieces(self, name: str) -> PieceOutput:
        return self._assembly.stream(self._name(name), is_message=False)

    def answered(self, registers: Registers, catch_up: Callable[[], None] | None = None) -> bool:
        """Of several harts Python answers: a line may lead to one that does not run."""
        part = self._part
        if self._guard is not None or self.harts > 1 or not isinstance(part, Device):
            return False
        return self._machine.hart.answer(registers, part.base, catch_up)

    def ask(self, name: str, live: Callable[[], bytes]) -> bytes:
        guard = self._guard
        if guard is None:
            return self._machine.door.ask(self._name(name), live)
        return self._machine.door.ask(self._name(name), lambda: guard.check_bytes(f"ask {name}", live()))

    def generator(self, name: str = "") -> random.Random:
        return self._assembly.part_generator(self._name(name), is_of_host_side=False)

    def cached_register(self, offset: int, size: int, hart: int | None = None) -> Callable[[int | None], None]:
        if not isinstance(self._part, Device):
            raise ConfigError(f"{self._part.name}: only a part with registers of its own has cached registers")
        if hart is not None:
            self._check_hart(hart)
        harts = self._machine.harts if hart is None else [self._machine.harts[hart]]
        tells = [each.cached_register(self._part.base + offset, size) for each in harts]
        return tells[0] if len(tells) == 1 else partial(_tell_all, tells)


class PartHostWiring:
    """See ``HostWiring``."""

    def __init__(
        self, assembly: Assembly, part: Part, timers: TimerList, post: Callable[[Event], None], guard: Guard | None
    ) -> None:
        """For the host side of ``part``, which keeps time on ``timers``; ``post`` hands an event to the door."""
        self._assembly, self._name_of_part, self._timers, self._post = assembly, part.name, timers, post
        self._guard = guard
        self.clock: Clock = timers.clock

    def _name(self, name: str) -> str:
        return f"{self._name_of_part}.{name}"

    def timer(self, name: str, callback: Callable[[int], None]) -> Timer:
        if self._guard is not None:
            callback = self._guard.wrap(f"host side's timer {name}", callback)
        return Timer(self._name(name), self._timers, callback, TimerAttribute.EXTERNAL)

    def post(self, name: str, data: bytes) -> None:
        if self._guard is not None:
            data = self._guard.check_bytes(f"host side's post to {name}", data)
            if self._name(name) not in self._assembly.inlets:
                raise self._guard.error("host side's post", f"the device has no input {name!r}")
        self._post(Event(self._name(name), data))

    def listen(self, name: str, listener: Send) -> None:
        if self._guard is not None:
            if self._name(name) not in self._assembly.streams:
                raise self._guard.error("host side's listen", f"the device has no output {name!r}")
            listener = self._guard.wrap(f"host side's listener {name}", listener)
        self._assembly.stream(self._name(name)).listeners.append(listener)

    def generator(self, name: str = "") -> random.Random:
        return self._assembly.part_generator(self._name(f"host.{name}"), is_of_host_side=True)


def _tell_all(tells: Sequence[Callable[[int | None], None]], value: int | None) -> None:
    for tell in tells:
        tell(value)


class HartMemory:
    """Guest memory for a part that masters the bus. Watches of the hart that runs see what it writes."""

    def __init__(self, machine: Machine, part: str) -> None:
        """Of ``machine``; what writes is called ``part``."""
        self._machine, self._part = machine, part
        self.read = machine.hart.read_physical

    def write(self, address: int, data: bytes | memoryview) -> None:
        self._machine.hart.write_by_device(address, data, self._part)
