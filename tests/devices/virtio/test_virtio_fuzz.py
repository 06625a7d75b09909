"""virtio under drivers that do anything at all, and under well-behaved ones that do it in any order."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.bench_wiring import BenchWiring
from support.random_cases import TIMES
from support.virtio_driver import RAM_BASE, VERSIONS, DriverQueue, Ram, Slot, descriptor

from minstret.devices.virtio.constants import QUEUE_SIZE_MAX, ROUND_NS, DescFlag, Feature, Reg, Status
from minstret.devices.virtio.mmio import LEGACY, MODERN, SlotState, VirtioMmio
from minstret.devices.virtio.net import FRAME_SIZE_MAX, NetFeature, NetState, VirtioNet
from minstret.emu.clock import VirtualClock
from minstret.emu.state import canonical_bytes, from_plain, to_plain
from minstret.emu.timers import TimerList

Announce = Callable[[str], None]


def examples(count: int) -> settings:
    """So many cases; a failing one is printed so that it can be run again."""
    return settings(max_examples=count, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))


# ---- hostile: anything in the registers, anything in memory

RAM_SIZE = 1 << 16
QUEUE_STRIDE = 0x4000
"""Where the rings of a queue are, in both versions: descriptors, the available ring behind them, 0x1000 on the used."""
FUZZ_SIZES = (8, 4)
FRAME_SIZES = [0, 1, 13, 14, 60, 300, 1514, 9000]

POINTS = [
    0, 1, 0xFFFF_FFFF, 1 << 32, (1 << 64) - 1, (1 << 64) - 16, RAM_BASE - 1, RAM_BASE, RAM_BASE + RAM_SIZE - 16,
    RAM_BASE + RAM_SIZE - 1, RAM_BASE + RAM_SIZE, RAM_BASE + 0x80, RAM_BASE + 0x1000, RAM_BASE + QUEUE_STRIDE,
    RAM_BASE + 0x8000, RAM_BASE + 0x9001,
]  # fmt: skip
SIZES = [0, 1, 10, 12, 16, 32, 48, 64, 1526, 0x1_0000, 16 * QUEUE_SIZE_MAX, 0xFFFF_FFFF]
FLAGS = [0, 1, 2, 3, 4, 5, 6, 7, 0xFFF8]
WORDS = [0, 1, 2, 4, 7, 8, 0x0B, 0x0F, 0x4F, 0x80, 256, 1024, 4096, 0xFFFF, 0x8_0000, 0x8000_0000, 0xFFFF_FFFF]
OFFSETS = [int(reg) for reg in Reg]
FEATURES = (Feature.INDIRECT_DESC, Feature.EVENT_IDX, NetFeature.MRG_RXBUF)

Action = tuple[Any, ...]


class Attacker:
    """Draws actions: those of a driver, and with ``malice``, 0 to 1, those of none."""

    def __init__(self, seed: int, malice: float) -> None:
        self._random = random.Random(seed)
        self._malice = malice

    def actions(self, count: int) -> Iterator[Action]:
        yield self.set_up()
        good = (
            self.chain,
            self.chain,
            self.chain,
            self.kick,
            self.kick,
            self.next_round,
            self.frame,
            self.frame,
            self.acknowledge,
        )
        bad = (self.register, self.descriptor, self.descriptor, self.table, self.offer, self.index, self.memory,
               self.link, self.set_up, self.reset)  # fmt: skip
        for _ in range(count):
            yield self._random.choice(bad if self._random.random() < self._malice else good)()

    def set_up(self) -> Action:
        return "set up", [feature for feature in FEATURES if self._random.random() < 0.6]

    def chain(self) -> Action:
        queue = self._queue()
        return "chain", queue, self._random.randrange(FUZZ_SIZES[queue]), self._random.randrange(12, 2000)

    def kick(self) -> Action:
        return "register", int(Reg.QUEUE_NOTIFY), 4, self._queue()

    def next_round(self) -> Action:
        return ("round",)

    def frame(self) -> Action:
        return "frame", self._random.choice(FRAME_SIZES)

    def acknowledge(self) -> Action:
        return "register", int(Reg.INTERRUPT_ACK), 4, 3

    def register(self) -> Action:
        pick = self._random
        offset = pick.choice(OFFSETS) if pick.random() < 0.9 else pick.randrange(0xFF9)
        value = pick.choice(WORDS) if pick.random() < 0.8 else pick.getrandbits(32)
        return "register", offset, pick.choice([4, 4, 4, 4, 1, 2, 8]), value

    def descriptor(self) -> Action:
        return "descriptor", self._queue(), self._random.randrange(9), self._descriptor()

    def table(self) -> Action:
        return "memory", self._address(), b"".join(self._descriptor() for _ in range(self._random.randrange(1, 5)))

    def offer(self) -> Action:
        return "offer", self._queue(), self._random.choice([*range(10), 0xFFFF])

    def index(self) -> Action:
        return "index", self._queue(), self._random.choice([*range(10), 0x8000, 0xFFFF])

    def memory(self) -> Action:
        return "memory", self._address(), self._random.randbytes(self._random.randrange(1, 64))

    def link(self) -> Action:
        return "link", self._random.random() < 0.5

    def reset(self) -> Action:
        return ("reset",)

    def _queue(self) -> int:
        return self._random.randrange(2)

    def _address(self) -> int:
        pick = self._random
        return pick.choice(POINTS) if pick.random() < 0.5 else RAM_BASE + pick.randrange(RAM_SIZE)

    def _descriptor(self) -> bytes:
        pick = self._random
        return descriptor(self._address(), pick.choice(SIZES), pick.choice(FLAGS), pick.randrange(10))


CHAIN_ACCESSES = 2 * (QUEUE_SIZE_MAX + 1) + 2
"""Of one chain: each descriptor and what it leads to, the ring entries."""


class Target:
    """A card in 64 KiB of RAM."""

    def __init__(self, version: int) -> None:
        self.ram = Ram(RAM_SIZE)
        self.ram.data[:] = bytes(RAM_SIZE)
        self.net = VirtioNet(bytes(6))
        self.clock = VirtualClock(lambda: 1_000_003, 1)
        self.timers = TimerList(self.clock)
        self.device = VirtioMmio(0, 1, "virtio0", self.net, version)
        wiring = BenchWiring(self.device, self.timers, self.ram)
        self.line, self.sent = wiring.lines["irq"], wiring.sent["tx"]

    def twin(self) -> Target:
        """Another one, its state brought over by way of plain values."""
        twin = Target(self.device.interface)
        twin.ram.data[:] = self.ram.data
        twin.line.load_level(self.line.level)
        twin.device.state = from_plain(SlotState, to_plain(self.device.state))
        twin.net.state = from_plain(NetState, to_plain(self.net.state))
        twin.clock.warp_to(self.clock.now_ns())
        twin.timers.load_state(self.timers.save_state())
        return twin

    def seen(self) -> object:
        """All that can be told from outside."""
        return self.device.state, self.net.state, self.line.level, self.ram.data, self.timers.save_state()

    def write(self, offset: int, value: int, size: int = 4) -> None:
        self.device.write(offset, size, value)

    def do(self, action: Action) -> None:
        kind, *rest = action
        getattr(self, "do_" + kind.replace(" ", "_"))(*rest)

    def do_set_up(self, features: list[int]) -> None:
        self.write(Reg.STATUS, 0)
        self.write(Reg.STATUS, 3)
        mask = sum(1 << bit for bit in features)
        for word, value in ((0, mask), (1, 1 if self.device.interface == MODERN else 0)):
            self.write(Reg.DRIVER_FEATURES_SEL, word)
            self.write(Reg.DRIVER_FEATURES, value)
        self.write(Reg.STATUS, 0x0B)
        self.write(Reg.GUEST_PAGE_SIZE, 4096)
        for queue, size in enumerate(FUZZ_SIZES):
            base = RAM_BASE + QUEUE_STRIDE * queue
            self.ram.poke(base + 16 * size, bytes(6 + 2 * size))
            self.write(Reg.QUEUE_SEL, queue)
            self.write(Reg.QUEUE_NUM, size)
            for low, address in (
                (Reg.QUEUE_DESC_LOW, base), (Reg.QUEUE_AVAIL_LOW, base + 16 * size), (Reg.QUEUE_USED_LOW, base + 0x1000)
            ):  # fmt: skip
                self.write(low, address)
            self.write(Reg.QUEUE_READY, 1)
            self.write(Reg.QUEUE_PFN, base >> 12)
        self.write(Reg.STATUS, 0x0F)

    def do_register(self, offset: int, size: int, value: int) -> None:
        assert 0 <= self.device.read(offset, size) < 1 << 8 * size
        self.write(offset, value & (1 << 8 * size) - 1, size)

    def do_descriptor(self, queue: int, index: int, raw: bytes) -> None:
        self.ram.poke(RAM_BASE + QUEUE_STRIDE * queue + 16 * index, raw)

    def do_chain(self, queue: int, index: int, size: int) -> None:
        raw = descriptor(RAM_BASE + 0xA000, size, DescFlag.WRITE if queue == 0 else 0)
        self.do_descriptor(queue, index, raw)
        self.do_offer(queue, index)

    def do_offer(self, queue: int, head: int) -> None:
        avail = RAM_BASE + QUEUE_STRIDE * queue + 16 * FUZZ_SIZES[queue]
        index = self.ram.peek_u16(avail + 2)
        self.ram.poke_u16(avail + 4 + 2 * (index % FUZZ_SIZES[queue]), head)
        self.ram.poke_u16(avail + 2, index + 1)

    def do_index(self, queue: int, index: int) -> None:
        self.ram.poke_u16(RAM_BASE + QUEUE_STRIDE * queue + 16 * FUZZ_SIZES[queue] + 2, index)

    def do_memory(self, address: int, data: bytes) -> None:
        if address >= RAM_BASE and address + len(data) <= RAM_BASE + RAM_SIZE:
            self.ram.poke(address, data)

    def do_frame(self, size: int) -> None:
        assert self.net.receive(bytes(at & 0xFF for at in range(size))) == size

    def do_link(self, is_up: bool) -> None:
        self.net.set_link(is_up)

    def do_round(self) -> None:
        self.clock.warp_to(self.clock.now_ns() + ROUND_NS)
        self.timers.run_expired()

    def do_reset(self) -> None:
        self.device.reset()


def chains_at_most(target: Target) -> int:
    """How many chains one action may take: all that fit into the ready queues."""
    return sum(queue.size for queue in target.device.state.queues if queue.is_ready) + 1


def attack(version: int, todo: Iterable[Action], split: int, reached: dict[str, int]) -> None:
    """Do it all, from ``split`` on with a twin that must not differ."""
    target, twin = Target(version), None
    for number, action in enumerate(todo):
        if number == split:
            twin = target.twin()
            assert twin.seen() == target.seen()
        target.ram.accesses = 0
        target.do(action)

        state = target.device.state
        assert target.ram.accesses <= 4 * chains_at_most(target) * CHAIN_ACCESSES + 64, action
        assert target.line.level == (state.interrupt_status != 0), action
        if twin is not None:
            twin.do(action)
            assert twin.seen() == target.seen(), action
        reached["actions"] += 1
        reached["broken"] += bool(state.status & Status.NEEDS_RESET)
    again = target.twin()
    assert again.seen() == target.seen()
    assert canonical_bytes(again.device.state) == canonical_bytes(target.device.state)
    assert all(14 <= len(frame) <= FRAME_SIZE_MAX for frame in target.sent)
    reached["cases"] += 1
    reached["sent"] += target.net.state.sent
    reached["received"] += target.net.state.received


def hostile(version: int, count: int, announce: Announce) -> dict[str, int]:
    reached = dict.fromkeys(("cases", "actions", "sent", "received", "broken"), 0)

    @examples(count)
    @given(length=st.integers(0, 60), split=st.integers(0, 60), malice=st.sampled_from([0.05, 0.3, 0.8]),
           seed=st.integers(0, (1 << 64) - 1))  # fmt: skip
    def run(length: int, split: int, malice: float, seed: int) -> None:
        attack(version, Attacker(seed, malice).actions(length), split, reached)

    run()
    announce(f"hostile virtio driver, {'legacy' if version == LEGACY else 'modern'}: {reached}")
    return reached


@pytest.mark.parametrize("version", VERSIONS, ids=["modern", "legacy"])
def test_hostile_driver_raises_nothing_ends_and_leaves_a_state_that_can_be_saved(
    version: int, announce: Announce
) -> None:
    reached = hostile(version, 400, announce)

    assert reached["cases"] >= 400
    assert min(reached.values()) > 0  # a fuzz that gets nowhere shows nothing


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS, ids=["modern", "legacy"])
def test_hostile_driver_is_survived_for_long(version: int, announce: Announce) -> None:
    hostile(version, 1000 * TIMES, announce)


# ---- well-behaved: a model says what must come of it


@dataclass
class Model:
    """A driver that keeps to the rules, and what a card must make of that."""

    version: int
    features: frozenset[int]
    sent: list[bytes] = field(default_factory=list)
    room: deque[list[int]] = field(default_factory=deque)
    """The receive buffers offered: the sizes of their parts."""
    pending: list[bytes] = field(default_factory=list)
    """Frames offered and not kicked yet."""

    def __post_init__(self) -> None:
        self.net = VirtioNet(bytes(6))
        self.slot = Slot(self.net, self.version, ram_size=1 << 19)
        self.frames = self.slot.wiring.sent["tx"]
        self.rx, self.tx = self.slot.driver.start(*self.features, sizes=(64, 64))
        self.buffers_start = self.slot.driver.alloc(0)
        self.merges = NetFeature.MRG_RXBUF in self.features
        self.header = 12 if self.version == MODERN or self.merges else 10

    def offer_frame(self, size: int, cuts: list[int], indirect: bool) -> None:
        frame = bytes(size * at + 1 & 0xFF for at in range(size))
        data = bytes(self.header) + frame
        edges = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
        parts = [data[start:end] for start, end in pairwise(edges)]
        indirect = indirect and Feature.INDIRECT_DESC in self.features
        if len(self.tx.free) >= (1 if indirect else len(parts)):
            self.tx.add(*parts, indirect=indirect)
            self.pending.append(frame)

    def offer_room(self, parts: list[int], indirect: bool) -> None:
        indirect = indirect and Feature.INDIRECT_DESC in self.features
        if len(self.rx.free) >= (1 if indirect else len(parts)):
            self.rx.add(*parts, indirect=indirect)
            self.room.append(parts)

    def kick(self) -> None:
        self._expect_interrupt(self.tx, len(self.pending), self.tx.kick)
        self.sent += self.pending
        self.pending = []
        assert self.frames == self.sent
        self.tx.collect()

    def receive(self, size: int) -> None:
        frame = bytes(size + at * 3 & 0xFF for at in range(size))
        taken = self._buffers_for(self.header + size)
        self._expect_interrupt(self.rx, len(taken), lambda: self.net.receive(frame))
        back = self.rx.collect()
        assert len(back) == len(taken)
        if taken:
            count = len(taken).to_bytes(2, "little") if self.header == 12 else b""
            assert b"".join(used.data for used in back) == bytes(10) + count + frame

    def _buffers_for(self, size: int) -> list[list[int]]:
        room, count = 0, 0
        for parts in list(self.room)[: None if self.merges else 1]:
            room, count = room + sum(parts), count + 1
            if room >= size:
                return [self.room.popleft() for _ in range(count)]
        return []

    def _expect_interrupt(self, queue: DriverQueue, added: int, act: Callable[[], object]) -> None:
        """Do it; it must write where it may, and interrupt exactly where the driver asked for it."""
        slot, before = self.slot, queue.used_idx
        allowed = list(queue.writable_ranges())
        slot.driver.take_interrupt()
        slot.ram.writes.clear()
        act()
        assert queue.used_idx == before + added & 0xFFFF
        for address, size in slot.ram.writes:
            assert any(start <= address and address + size <= start + room for start, room in allowed)
        if Feature.EVENT_IDX in self.features:
            event = queue.ram.peek_u16(queue.avail + 4 + 2 * queue.size)
            wanted = any(before + at & 0xFFFF == event for at in range(added))
            assert queue.avail_event == (
                queue.avail_idx - len(self.room) & 0xFFFF if queue is self.rx else queue.avail_idx
            )
        else:
            wanted = added > 0 and not queue.ram.peek_u16(queue.avail) & 1
        assert slot.line.level == wanted

    def ask(self, is_transmit: bool, distance: int) -> None:
        """Ask for an interrupt that many buffers from now, or for none."""
        queue = self.tx if is_transmit else self.rx
        queue.set_used_event(queue.used_idx + distance)
        queue.set_avail_flags(distance & 1 if Feature.EVENT_IDX not in self.features else 0)

    def go_on(self) -> None:
        """Use the buffers' memory again, once nothing is in it."""
        if not self.rx.chains and not self.tx.chains:
            self.slot.driver.skip_to(self.buffers_start)

    def swap(self) -> None:
        """Save, load, and go on with what was loaded."""
        device = self.slot.device
        device.state = from_plain(SlotState, to_plain(device.state))


def steps(seed: int, count: int) -> Iterator[tuple[Any, ...]]:
    """What a driver and its network do, drawn."""
    pick = random.Random(seed)
    for _ in range(count):
        kind = pick.choice("fffrrrkkkiiiias")
        if kind == "f":
            cuts = [pick.randrange(2000) for _ in range(pick.choice([0, 1, 1, 3, 6]))]
            yield "offer_frame", pick.choice([14, 60, 1514, pick.randrange(14, 1600)]), cuts, pick.random() < 0.3
        elif kind == "r":
            parts = pick.choice([[1526], [12, 1514], [64], [300], [10, 64], [1, 9, 12, 64]])
            yield "offer_room", parts, pick.random() < 0.3
        elif kind == "i":
            yield "receive", pick.choice([14, 60, 200, 1514, pick.randrange(14, 1600)])
        elif kind == "a":
            yield "ask", pick.random() < 0.5, pick.randrange(-2, 6)
        else:
            yield ("kick",) if kind == "k" else ("swap",)


def well_behaved(version: int, count: int, announce: Announce) -> dict[str, int]:
    reached = dict.fromkeys(("cases", "sent", "received", "dropped_no_buffer"), 0)

    @examples(count)
    @given(features=st.frozensets(st.sampled_from(FEATURES)), length=st.integers(0, 80),
           seed=st.integers(0, (1 << 64) - 1))  # fmt: skip
    def run(features: frozenset[int], length: int, seed: int) -> None:
        model = Model(version, features)
        for name, *rest in steps(seed, length):
            getattr(model, name)(*rest)
            model.go_on()
        assert not model.slot.driver.needs_reset
        state = model.net.state
        for name in reached:
            reached[name] += 1 if name == "cases" else getattr(state, name)

    run()
    announce(f"well-behaved virtio driver, {'legacy' if version == LEGACY else 'modern'}: {reached}")
    return reached


@pytest.mark.parametrize("version", VERSIONS, ids=["modern", "legacy"])
def test_well_behaved_driver_gets_every_frame_and_interrupt_it_should_and_no_other(
    version: int, announce: Announce
) -> None:
    reached = well_behaved(version, 200, announce)

    assert reached["cases"] >= 200
    assert min(reached.values()) > 0


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS, ids=["modern", "legacy"])
def test_well_behaved_driver_is_served_for_long(version: int, announce: Announce) -> None:
    well_behaved(version, 500 * TIMES, announce)
