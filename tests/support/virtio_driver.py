"""The driver's side of virtio-mmio, for tests: RAM, queues, chains.

Rings are laid out by the specification's formulas, written again here, and in odd places where the driver may choose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from support.bench_wiring import BenchWiring

from minstret.devices.virtio.constants import DescFlag, Feature, Interrupt, Reg, Status
from minstret.devices.virtio.mmio import LEGACY, MODERN, VirtioFunction, VirtioMmio
from minstret.emu.clock import VirtualClock
from minstret.emu.errors import AccessFault
from minstret.emu.timers import TimerList

OnWork = Callable[[int], None]

RAM_BASE = 0x8000_0000
VERSIONS = (MODERN, LEGACY)
LEGACY_PAGE = 4096
FILLER = 0xA5
"""What is in memory that nobody has written."""


class Ram:
    """Guest memory. It counts what the device does: ``accesses``, and ``writes`` as (address, size)."""

    def __init__(self, size: int = 1 << 20, base: int = RAM_BASE) -> None:
        self.base = base
        self.data = bytearray([FILLER]) * size
        self.accesses = 0
        self.writes: list[tuple[int, int]] = []

    def read(self, address: int, size: int) -> bytes:
        self.accesses += 1
        return self.peek(address, size)

    def write(self, address: int, data: bytes) -> None:
        self.accesses += 1
        self.poke(address, data)
        self.writes.append((address, len(data)))

    def peek(self, address: int, size: int) -> bytes:
        """Read as the driver: not counted."""
        at = self._offset(address, size)
        return bytes(self.data[at : at + size])

    def poke(self, address: int, data: bytes) -> None:
        """Write as the driver: not counted."""
        at = self._offset(address, len(data))
        self.data[at : at + len(data)] = data

    def peek_u16(self, address: int) -> int:
        return int.from_bytes(self.peek(address, 2), "little")

    def poke_u16(self, address: int, value: int) -> None:
        self.poke(address, (value & 0xFFFF).to_bytes(2, "little"))

    def _offset(self, address: int, size: int) -> int:
        at = address - self.base
        if not 0 <= at <= len(self.data) - size:
            raise AccessFault(address)
        return at


class Part(NamedTuple):
    """A piece of a chain, bytes."""

    address: int
    size: int
    is_writable: bool


class Used(NamedTuple):
    """What came back: the chain's head, how many bytes the device says it wrote, and these bytes."""

    head: int
    written: int
    data: bytes


@dataclass
class DriverQueue:
    """One queue as its driver sees it."""

    driver: Driver
    index: int
    size: int
    desc: int
    avail: int
    used: int
    seen: int = 0
    free: list[int] = field(default_factory=list)
    chains: dict[int, tuple[list[int], list[Part]]] = field(default_factory=dict)
    """By head: the descriptors it takes, its parts."""

    def __post_init__(self) -> None:
        self.free = list(range(self.size))
        self.ram = self.driver.ram
        self.ram.poke(self.desc, bytes(16 * self.size))
        self.ram.poke(self.avail, bytes(6 + 2 * self.size))
        self.ram.poke(self.used, bytes(6 + 8 * self.size))

    # ---- the rings' fields

    @property
    def avail_idx(self) -> int:
        return self.ram.peek_u16(self.avail + 2)

    @avail_idx.setter
    def avail_idx(self, value: int) -> None:
        self.ram.poke_u16(self.avail + 2, value)

    @property
    def used_idx(self) -> int:
        return self.ram.peek_u16(self.used + 2)

    @property
    def avail_event(self) -> int:
        return self.ram.peek_u16(self.used + 4 + 8 * self.size)

    def set_avail_flags(self, value: int) -> None:
        self.ram.poke_u16(self.avail, value)

    def set_used_event(self, value: int) -> None:
        self.ram.poke_u16(self.avail + 4 + 2 * self.size, value)

    # ---- chains

    def set_desc(self, index: int, address: int, size: int, flags: int = 0, following: int = 0) -> None:
        self.ram.poke(self.desc + 16 * index, descriptor(address, size, flags, following))

    def offer(self, head: int) -> None:
        """Put ``head`` into the available ring."""
        self.ram.poke_u16(self.avail + 4 + 2 * (self.avail_idx % self.size), head)
        self.avail_idx += 1

    def add(self, *parts: bytes | int, indirect: bool = False, gap: int = 3) -> int:
        """Offer a chain and give its head: bytes are for the device to read, an int is room for it to write.

        Args:
            parts: In order, readable ones first.
            indirect: In a table of its own.
            gap: Bytes between the parts.
        """
        placed = [self._place(part, gap) for part in parts]
        indices = [self.free.pop() for _ in range(1 if indirect else len(placed))]
        if indirect:
            table = self.driver.alloc(16 * len(placed))
            for at, raw in enumerate(_linked(placed, range(len(placed)))):
                self.ram.poke(table + 16 * at, raw)
            self.set_desc(indices[0], table, 16 * len(placed), DescFlag.INDIRECT)
        else:
            for index, raw in zip(indices, _linked(placed, indices), strict=True):
                self.ram.poke(self.desc + 16 * index, raw)
        self.chains[indices[0]] = (indices, placed)
        self.offer(indices[0])
        return indices[0]

    def _place(self, part: bytes | int, gap: int) -> Part:
        size = part if isinstance(part, int) else len(part)
        address = self.driver.alloc(size, align=1, gap=gap)
        if not isinstance(part, int):
            self.ram.poke(address, part)
        return Part(address, size, isinstance(part, int))

    def kick(self) -> None:
        self.driver.write(Reg.QUEUE_NOTIFY, self.index)

    def collect(self) -> list[Used]:
        """What the device has given back since the last time."""
        back = []
        while self.seen != self.used_idx:
            raw = self.ram.peek(self.used + 4 + 8 * (self.seen % self.size), 8)
            head, written = int.from_bytes(raw[:4], "little"), int.from_bytes(raw[4:], "little")
            indices, parts = self.chains.pop(head, ([], []))
            self.free += reversed(indices)
            room = b"".join(self.ram.peek(part.address, part.size) for part in parts if part.is_writable)
            back.append(Used(head, written, room[:written]))
            self.seen = self.seen + 1 & 0xFFFF
        return back

    def writable_ranges(self) -> Iterator[tuple[int, int]]:
        """(address, size) of all that the device may write: offered parts, and the used ring."""
        yield self.used, 6 + 8 * self.size
        for _, parts in self.chains.values():
            yield from ((part.address, part.size) for part in parts if part.is_writable)


def descriptor(address: int, size: int, flags: int = 0, following: int = 0) -> bytes:
    """An entry of a descriptor table."""
    return b"".join((
        (address & (1 << 64) - 1).to_bytes(8, "little"), size.to_bytes(4, "little"),
        flags.to_bytes(2, "little"), following.to_bytes(2, "little"),
    ))  # fmt: skip


def _linked(parts: Sequence[Part], indices: Sequence[int]) -> Iterator[bytes]:
    for at, part in enumerate(parts):
        is_last = at == len(parts) - 1
        flags = (DescFlag.WRITE if part.is_writable else 0) | (0 if is_last else DescFlag.NEXT)
        yield descriptor(part.address, part.size, flags, 0 if is_last else indices[at + 1])


class Driver:
    """Programs one slot, as an operating system would."""

    def __init__(self, device: VirtioMmio, ram: Ram) -> None:
        self.device = device
        self.ram = ram
        self._next = ram.base

    def read(self, offset: int, size: int = 4) -> int:
        return self.device.read(offset, size)

    def write(self, offset: int, value: int, size: int = 4) -> None:
        self.device.write(offset, size, value)

    def alloc(self, size: int, align: int = 16, gap: int = 0) -> int:
        """The address of ``size`` fresh bytes of RAM, with so many untouched ones before them."""
        address = -(-(self._next + gap) // align) * align
        self._next = address + size
        assert self._next <= self.ram.base + len(self.ram.data), "the test needs more RAM"
        return address

    def skip_to(self, address: int) -> None:
        """Allocate from there on."""
        self._next = address

    # ---- features and status

    def offered(self) -> int:
        words = []
        for word in (0, 1):
            self.write(Reg.DEVICE_FEATURES_SEL, word)
            words.append(self.read(Reg.DEVICE_FEATURES))
        return words[1] << 32 | words[0]

    def accept(self, features: int) -> None:
        for word in (0, 1):
            self.write(Reg.DRIVER_FEATURES_SEL, word)
            self.write(Reg.DRIVER_FEATURES, features >> 32 * word & 0xFFFF_FFFF)

    @property
    def status(self) -> int:
        return self.read(Reg.STATUS)

    def add_status(self, bits: int) -> None:
        self.write(Reg.STATUS, self.status | bits)

    def negotiate(self, *bits: int) -> None:
        """From a reset to the agreed features: ``bits``, and what the version demands."""
        self.write(Reg.STATUS, 0)
        self.add_status(Status.ACKNOWLEDGE)
        self.add_status(Status.DRIVER)
        modern = self.device.interface == MODERN
        self.accept(mask(*bits, *([Feature.VERSION_1] if modern else [])))
        if modern:
            self.add_status(Status.FEATURES_OK)
            assert self.status & Status.FEATURES_OK
        else:
            self.write(Reg.GUEST_PAGE_SIZE, LEGACY_PAGE)

    def setup_queue(self, index: int, size: int) -> DriverQueue:
        self.write(Reg.QUEUE_SEL, index)
        self.write(Reg.QUEUE_NUM, size)
        if self.device.interface == LEGACY:
            return self._setup_legacy(index, size)
        used = self.alloc(6 + 8 * size, align=4, gap=4)
        avail = self.alloc(6 + 2 * size, align=2, gap=2)
        desc = self.alloc(16 * size, align=16)
        for low, address in ((Reg.QUEUE_DESC_LOW, desc), (Reg.QUEUE_AVAIL_LOW, avail), (Reg.QUEUE_USED_LOW, used)):
            self.write(low, address & 0xFFFF_FFFF)
            self.write(low + 4, address >> 32)
        queue = DriverQueue(self, index, size, desc, avail, used)
        self.write(Reg.QUEUE_READY, 1)
        return queue

    def _setup_legacy(self, index: int, size: int, align: int = LEGACY_PAGE) -> DriverQueue:
        """Source: VIRTIO 1.2, section 2.7.2, "Legacy Interfaces: A Note on Virtqueue Layout"."""
        first = -(-(16 * size + 2 * (3 + size)) // align) * align
        desc = self.alloc(first + 6 + 8 * size, align=LEGACY_PAGE)
        queue = DriverQueue(self, index, size, desc, desc + 16 * size, desc + first)
        self.write(Reg.QUEUE_ALIGN, align)
        self.write(Reg.QUEUE_PFN, desc // LEGACY_PAGE)
        return queue

    def start(self, *bits: int, sizes: Sequence[int]) -> list[DriverQueue]:
        """Negotiate, set up the queues, DRIVER_OK."""
        self.negotiate(*bits)
        queues = [self.setup_queue(index, size) for index, size in enumerate(sizes)]
        self.add_status(Status.DRIVER_OK)
        return queues

    # ---- interrupts

    def take_interrupt(self) -> int:
        """Read and acknowledge."""
        reasons = self.read(Reg.INTERRUPT_STATUS)
        self.write(Reg.INTERRUPT_ACK, reasons)
        return reasons

    @property
    def needs_reset(self) -> bool:
        return bool(self.status & Status.NEEDS_RESET)


def mask(*bits: int) -> int:
    """A number with these bits set."""
    return sum(1 << bit for bit in bits)


# ---- a device to try a transport with


@dataclass(slots=True)
class EchoState:
    """``notified``: the kicks that came through, by queue."""

    notified: list[int] = field(default_factory=list)
    config: bytearray = field(default_factory=lambda: bytearray(range(0x10, 0x1B)))
    resets: int = 0


class Echo(VirtioFunction):
    """Writes what it reads of each chain into the same chain."""

    device_id = 42
    features = 1 << 3 | 1 << 40
    queue_sizes = (1024, 8)

    def __init__(self, name: str = "echo0") -> None:
        super().__init__(name)
        self.state = EchoState()

    def read_config(self) -> bytes:
        return bytes(self.state.config)

    def write_config(self, offset: int, data: bytes) -> None:
        end = min(offset + len(data), len(self.state.config))
        self.state.config[offset:end] = data[: max(0, end - offset)]

    def on_notify(self, queue: int) -> None:
        self.state.notified.append(queue)
        virtqueue = self.transport.queue(queue)
        for chain in virtqueue.available():
            virtqueue.push(chain, chain.write(chain.read(chain.readable_size)))
        virtqueue.flush()

    def reset(self) -> None:
        self.state.resets += 1


class Slot:
    """A function in its slot, with RAM, a line whose edges are kept, and a driver."""

    def __init__(
        self, function: VirtioFunction, version: int = MODERN, ram_size: int = 1 << 20,
        on_work: OnWork = lambda descriptors: None,
    ) -> None:  # fmt: skip
        self.ram = Ram(ram_size)
        self.clock = VirtualClock(lambda: 1_000_003, 1)
        self.timers = TimerList(self.clock)
        self.device = VirtioMmio(0, 1, "virtio0", function, version)
        self.wiring = BenchWiring(self.device, self.timers, self.ram, charge=on_work)
        self.line = self.wiring.lines["irq"]
        self.edges: list[bool] = []
        self.line.connect(self.edges.append)
        self.driver = Driver(self.device, self.ram)

    def next_round(self) -> bool:
        """Let time pass until the next round over what was left; False where nothing was."""
        expire_ns = self.timers.expire_ns()
        if expire_ns is None:
            return False
        self.clock.warp_to(expire_ns)
        return self.timers.run_expired()

    @property
    def asks_for_reset(self) -> bool:
        """Whether the driver can tell: by the status, and by a configuration interrupt."""
        told = self.driver.read(Reg.INTERRUPT_STATUS) & Interrupt.CONFIG_CHANGE
        return self.driver.needs_reset and bool(told) and self.line.level
