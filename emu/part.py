"""What a part of a board is: a device or a service with one typed state, and what it may use once it is attached.

A part says itself what it is called, where its registers are, which interrupt it raises, what stands for it in the
device tree, what it takes from the host and what it sends. A device never imports a hart, the machine or a door:
``attach`` gives it a ``Wiring``, which has all that it may use. Services, which harts call, get the harts or the
machine too. docs/devices.md shows how to write a device.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any, Protocol, Self, TypeVar

from minstret.emu.clock import Clock, ClockType
from minstret.emu.fdt import Node, Value, u64
from minstret.emu.irq import IrqLine, LevelKeeper
from minstret.emu.registers import Registers
from minstret.emu.state import copied
from minstret.emu.timers import Timer, TimerAttribute

Sink = Callable[[bytes], "int | None"]
"""Takes bytes and says how many it had room for; None: all of them."""

Send = Callable[[bytes], None]

S = TypeVar("S", bound=Callable[..., None])


def takes_pieces(listener: S) -> S:
    """Mark a function that hears what a device sends: it need not hear each byte at the instruction that sends it."""
    listener.takes_pieces = True  # type: ignore[attr-defined]
    return listener


class PieceOutput(Protocol):
    """What a device has that sends byte by byte, and may be late in telling it."""

    @property
    def may_wait(self) -> bool:
        """Whether nobody who listens minds, until Python's turn comes next."""
        ...

    def send(self, data: bytes) -> None:
        """Send now."""
        ...

    def send_late(self, data: bytes, icounts: Sequence[int]) -> None:
        """Send what the instructions before which ``icounts`` had retired have sent, a byte each."""
        ...


class HasState(Protocol):
    """A device, or another part with one typed state."""

    state: Any


class Dma(Protocol):
    """Guest memory as a device that masters the bus sees it: physical addresses, bytes."""

    def read(self, address: int, size: int) -> bytes:
        """``size`` bytes.

        Raises:
            AccessFault: some of them are not in memory.
        """
        ...

    def write(self, address: int, data: bytes) -> None:
        """Store ``data``.

        Raises:
            AccessFault: some of it would be outside RAM; nothing is written then.
        """
        ...


class Phandle(IntEnum):
    """Numbers by which nodes of the device tree refer to one another; CPU and CPU_INTC are those of hart 0."""

    CPU = 1
    CPU_INTC = 2
    PLIC = 3
    TEST = 4


_CPU1 = 17
"""The phandle of hart 1: each further hart has two numbers from here on, which are nobody else's."""


def cpu_phandle(hart: int) -> int:
    """The phandle of a hart, by id."""
    return int(Phandle.CPU) if hart == 0 else _CPU1 + 2 * (hart - 1)


def cpu_intc(hart: int) -> int:
    """The phandle of a hart's own interrupt controller."""
    return cpu_phandle(hart) + Phandle.CPU_INTC - Phandle.CPU


class Wiring(Protocol):
    """What a part may use. Names are the part's own: the machine knows ``rx`` of ``uart0`` as ``uart0.rx``."""

    @property
    def clock(self) -> Clock:
        """Virtual time."""
        ...

    @property
    def host_clock(self) -> Clock:
        """The host's wall clock. Each reading is an answer of the host's: recorded, and repeated in a replay."""
        ...

    @property
    def memory(self) -> Dma:
        """Guest memory."""
        ...

    def timer(
        self, name: str, callback: Callable[[int], None], clock: ClockType = ClockType.VIRTUAL,
        attributes: TimerAttribute = TimerAttribute.NONE,
    ) -> Timer:  # fmt: skip
        """An idle timer; ``callback`` is told how late it fires, ns."""
        ...

    def irq(self, keeper: LevelKeeper | None = None) -> IrqLine:
        """The line to the PLIC's source number ``irq`` of the device; to be asked for once.

        Args:
            keeper: Where its level is, if not in the line.
        Raises:
            ConfigError: the device has no ``irq``, or has asked before.
        """
        ...

    @property
    def harts(self) -> int:
        """How many harts the board has."""
        ...

    def hart_line(self, name: str, hart: int = 0, keeper: LevelKeeper | None = None) -> IrqLine:
        """A line straight to a hart, by id: ``msip``, ``mtip``, ``meip``, ``seip`` or ``stip``.

        Args:
            name: Which one.
            hart: Its id.
            keeper: Where its level is, if not in the line.
        Raises:
            ConfigError: there is no such line, or no such hart.
        """
        ...

    def input(self, name: str, sink: Sink) -> None:
        """Let ``sink`` take what the host gives for this name. It is recorded, and comes from the trace in a replay."""
        ...

    def output(self, name: str, is_message: bool = True) -> Send:
        """What to call with what the device sends. It is recorded, and compared in a replay.

        Args:
            name: Of the stream.
            is_message: Each call sends a whole, such as a frame; False: bytes of a stream, however they are cut.
        """
        ...

    def output_in_pieces(self, name: str) -> PieceOutput:
        """The same for bytes of a stream, some of which may be told late, with where they were sent."""
        ...

    def answered(self, registers: Registers, catch_up: Callable[[], None] | None = None) -> bool:
        """Let C answer accesses to these registers, if it can; whether it can.

        ``catch_up`` is called before Python does anything else, where C has left something to it.
        """
        ...

    def ask(self, name: str, live: Callable[[], bytes]) -> bytes:
        """What the host answers to a question that the guest brought up: ``live()``, or in a replay what it was."""
        ...

    def generator(self, name: str = "") -> random.Random:
        """A random generator of the part's own, from the board's seed.

        It goes back with the run, and a reset leaves it alone. Ask for it once, in ``attach``: its state is part of the
        machine's from then on.

        Raises:
            ConfigError: there is one of that name already.
        """
        ...

    def cached_register(self, offset: int, size: int, hart: int | None = None) -> Callable[[int | None], None]:
        """Tell every hart, or one by its id, the value of a register that is read often: see Hart.cached_register.

        Raises:
            ConfigError: the board has as many as there can be, one for users' devices; or there is no such hart.
        """
        ...

    def charge(self, work: int) -> None:
        """Count ``work`` that an access has caused, in units of a plain access: much of it ends a slice early."""
        ...

    def room_for_input(self) -> None:
        """A sink that had no room has some again."""
        ...

    def request_exit(self, code: int) -> None:
        """End the run after this instruction, with the guest's exit code."""
        ...

    def request_reset(self) -> None:
        """Reset the board after this instruction."""
        ...


class HostWiring(Protocol):
    """What the host side of a part may use. It exists where there is a live host, and never in a replay."""

    @property
    def clock(self) -> Clock:
        """Virtual time."""
        ...

    def timer(self, name: str, callback: Callable[[int], None]) -> Timer:
        """An idle EXTERNAL timer in virtual time."""
        ...

    def post(self, name: str, data: bytes) -> None:
        """Give ``data`` to the part's input of this name: it enters at the next turn, and a recording has it."""
        ...

    def listen(self, name: str, listener: Send) -> None:
        """Call ``listener`` with what the part sends by the output of this name."""
        ...

    def generator(self, name: str = "") -> random.Random:
        """A random generator of this host side's own, from the board's seed; see ``Wiring.generator``."""
        ...


class Part:
    """The base of all parts. ``state`` has every field that changes, in one slotted dataclass of plain values.

    Loading ``state`` arms no timer and moves no line: timers and line levels are saved by their owners.

    Attributes:
        name: Unique on its board; states, timers, lines, inputs and outputs are called after it.
        version: Of the state: change it when the meaning or the fields of ``state`` change.
    """

    name: str = ""
    version: int = 1
    state: Any
    made_with: tuple[tuple[Any, ...], dict[str, Any]]
    """The arguments it was made with: another one like it can be made with them."""
    is_attached: bool = False

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Keep the arguments."""
        part = super().__new__(cls)
        part.made_with = (args, options)
        return part

    def attach(self, wiring: Wiring) -> None:
        """Take what the part needs of ``wiring``, once, before the first instruction."""

    def reset(self) -> None:
        """Go back to the state after power-on; a part that holds lines or timers sets these too."""
        self.state = type(self.state)()

    def parts(self) -> Sequence[Part]:
        """Parts within this one, which resets them itself."""
        return ()

    def host_side(self, host: HostWiring) -> HasState | None:
        """What stands on the host side for this part, if anything does."""
        return None

    def node(self) -> Node | None:
        """What stands for it in the device tree, below ``/soc``."""
        return None


class Device(Part):
    """A part with registers. It knows offsets within its own window, never addresses, a hart, or the host.

    Attributes:
        base: Physical address of its first register.
        size_bytes: How long its window is.
        irq: Its interrupt source at the PLIC, 1 to 53; None for none.
        compatible: What the device tree says it is; the best match first.
        node_name: Its kind in the device tree; by default its name without the number.
    """

    size_bytes: int = 0x1000
    compatible: str | Sequence[str] = ""
    node_name: str = ""

    def __init__(self, base: int = 0, irq: int | None = None, name: str = "") -> None:
        self.base = int(base)
        self.irq = None if irq is None else int(irq)
        self.name = name or self.name or f"{type(self).__name__.lower()}0"

    def read(self, offset: int, size: int) -> int:
        """The ``size`` (1, 2 or 4) bytes at ``offset``, as an unsigned number; what it has beyond is cut off.

        Raises:
            AccessFault: nothing answers there; the guest gets a load access fault.
        """
        return 0

    def write(self, offset: int, size: int, value: int) -> None:
        """Store ``size`` bytes at ``offset``.

        Raises:
            AccessFault: nothing answers there; the guest gets a store access fault.
        """

    def properties(self) -> dict[str, Value]:
        """What its node in the device tree has besides ``compatible``, ``reg`` and ``interrupts``."""
        return {}

    def node(self) -> Node | None:
        kind = self.node_name or self.name.rstrip("0123456789")
        node = Node(f"{kind}@{self.base:x}")
        node.properties["compatible"] = self.compatible or f"minstret,{kind}"
        node.properties["reg"] = u64(self.base, self.size_bytes)
        node.properties |= self.properties()
        if self.irq is not None:
            node.properties |= {"interrupt-parent": Phandle.PLIC, "interrupts": self.irq}
        return node


class Parts:
    """Every part of a machine by its name: reset, snapshots, digests and reports go over these.

    Attributes:
        guest: What the guest can see: devices and services.
        host: What stands on the host side; a replay has none.
    """

    def __init__(self) -> None:
        self.guest: dict[str, HasState] = {}
        self.host: dict[str, HasState] = {}
        self.checks: list[Callable[[], None]] = []
        """Called before states are saved; each raises where that can't be done."""

    def add(self, name: str, part: HasState) -> None:
        """Make ``part`` one of those that the guest can see."""
        assert name not in self.guest, name
        self.guest[name] = part

    def add_host(self, name: str, part: HasState) -> None:
        """Make ``part`` one of those on the host side."""
        assert name not in self.host, name
        self.host[name] = part


def state_types(parts: Mapping[str, HasState]) -> dict[str, type]:
    """What the states of these parts are made of, by name."""
    return {name: type(part.state) for name, part in parts.items()}


def copied_states(parts: Mapping[str, HasState]) -> dict[str, Any]:
    """A copy of each part's state, by name."""
    return {name: copied(part.state) for name, part in parts.items()}


def load_states(parts: Mapping[str, HasState], states: Mapping[str, Any]) -> None:
    """Give each part a copy of its state of ``states``."""
    for name, part in parts.items():
        part.state = copied(states[name])


def copied_counts(parts: Mapping[str, HasState]) -> dict[str, Any]:
    """A copy of the statistics of those parts that have ``counts``, a dataclass that can be made without arguments."""
    return {name: copied(part.counts) for name, part in parts.items() if hasattr(part, "counts")}


def load_counts(parts: Mapping[str, HasState], counts: Mapping[str, Any]) -> None:
    """Put the statistics back to what ``copied_counts`` gave; those that are not there begin anew."""
    for name, part in parts.items():
        if hasattr(part, "counts"):
            part.counts = copied(counts[name]) if name in counts else type(part.counts)()
