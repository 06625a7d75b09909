"""The virtio-mmio transport: registers and queues in front of a virtio device, or an empty slot.

Version 2 is the modern interface, version 1 the legacy one. What a kick causes happens in that register write, but for
what is too much for one round over the queue: that is done in further rounds, each some virtual time after the last.

Source: VIRTIO 1.2, section 4.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from minstret.devices.virtio.constants import (
    MAGIC,
    QUEUE_SIZE_MAX,
    ROUND_NS,
    VENDOR_ID,
    DeviceId,
    Feature,
    Interrupt,
    Reg,
    Status,
)
from minstret.devices.virtio.queue import QueueState, VirtioError, Virtqueue
from minstret.emu.part import Device, Part, Wiring

LEGACY, MODERN = 1, 2
"""Values of the Version register."""

_U32 = 0xFFFF_FFFF
_DESCRIPTORS_A_CALL = 8
"""Reading this many descriptors takes about as long as a plain access to a device."""
_RING_FEATURES = 1 << Feature.INDIRECT_DESC | 1 << Feature.EVENT_IDX
_DESC_SIZE, _LEGACY_PAGE_SIZE, _LEGACY_ALIGN = 16, 4096, 4096


class Transport(Protocol):
    """What a virtio device may ask of its transport."""

    @property
    def is_running(self) -> bool:
        """Whether the driver is ready and nothing is broken."""
        ...

    def queue(self, index: int) -> Virtqueue: ...

    def has_feature(self, bit: int) -> bool:
        """Whether driver and device agreed on feature ``bit``."""
        ...

    def config_changed(self) -> None:
        """The configuration space reads differently now: tell the driver."""
        ...

    def guarded(self) -> AbstractContextManager[None]:
        """A context for queue work outside ``on_notify``: a VirtioError in it ends there, and asks for a reset."""
        ...


class VirtioFunction(Part):
    """A virtio device behind a transport: the base of ours and of a user's.

    Attributes:
        device_id: What it is; VIRTIO 1.2, section 5.
        features: The device-specific feature bits it offers, as a mask.
        queue_sizes: The largest size of each queue, powers of two.
        transport: The slot that it is in; there before ``attach``.
    """

    device_id: int
    features: int = 0
    queue_sizes: tuple[int, ...] = (QUEUE_SIZE_MAX,)
    transport: Transport

    def __init__(self, name: str = "") -> None:
        self.name = name or self.name or f"{type(self).__name__.lower()}0"

    def read_config(self) -> bytes:
        """The whole configuration space as it reads now."""
        return b""

    def write_config(self, offset: int, data: bytes) -> None:
        """The driver writes to the configuration space; here there is nothing to write."""

    def on_notify(self, queue: int) -> None:
        """The driver has made buffers available."""


@dataclass(slots=True)
class SlotState:
    """The registers of a slot. Features are masks of 64 bits; ``page_size`` and ``queue_align``, bytes, are legacy.

    Bit ``n`` of ``unfinished``: queue ``n`` waits for its next round.
    """

    status: int = 0
    device_features_sel: int = 0
    driver_features_sel: int = 0
    driver_features: int = 0
    queue_sel: int = 0
    interrupt_status: int = 0
    config_generation: int = 0
    unfinished: int = 0
    page_size: int = _LEGACY_PAGE_SIZE
    queue_align: list[int] = field(default_factory=list)
    queues: list[QueueState] = field(default_factory=list)


class VirtioMmio(Device):
    """The registers in front of ``function``, and its interrupt.

    Attributes:
        function: The virtio device.
        interface: MODERN or LEGACY.
        features: What is offered, a mask of 64 bits.
    """

    node_name = "virtio_mmio"
    compatible = "virtio,mmio"

    def __init__(self, base: int, irq: int, name: str, function: VirtioFunction, interface: int = MODERN) -> None:
        """The slot called ``name``, for example ``virtio7``, with ``function`` in it."""
        super().__init__(base, irq, name)
        self.function = function
        self.interface = interface
        ours = 1 << Feature.VERSION_1 if interface == MODERN else 1 << Feature.ANY_LAYOUT
        self.features = function.features | _RING_FEATURES | ours
        self.state: SlotState = self._power_on_state()
        function.transport = self

    def attach(self, wiring: Wiring) -> None:
        self._memory = wiring.memory
        self._line = wiring.irq()
        self._charge = wiring.charge
        self._round_timer = wiring.timer("round", self._on_round)
        self._now_ns = wiring.clock.now_ns

    def parts(self) -> tuple[Part, ...]:
        return (self.function,)

    def _on_work(self, descriptors: int) -> None:
        """Charge for the descriptors that were read for a chain, as that takes host time."""
        self._charge(descriptors // _DESCRIPTORS_A_CALL)

    def _power_on_state(self) -> SlotState:
        count = len(self.function.queue_sizes)
        return SlotState(queue_align=[_LEGACY_ALIGN] * count, queues=[QueueState() for _ in range(count)])

    # ---- for the device

    @property
    def is_running(self) -> bool:
        return self.state.status & (Status.DRIVER_OK | Status.NEEDS_RESET) == Status.DRIVER_OK

    def has_feature(self, bit: int) -> bool:
        return bool(self.state.driver_features & self.features & 1 << bit)

    def queue(self, index: int) -> Virtqueue:
        return Virtqueue(
            self._memory, self.state.queues[index], lambda: self._interrupt(Interrupt.USED_BUFFER),
            has_event_idx=self.has_feature(Feature.EVENT_IDX), has_indirect=self.has_feature(Feature.INDIRECT_DESC),
            on_work=self._on_work, on_more=partial(self._put_off, index),
        )  # fmt: skip

    def config_changed(self) -> None:
        self.state.config_generation = self.state.config_generation + 1 & _U32
        if self.state.status & Status.DRIVER_OK:
            self._interrupt(Interrupt.CONFIG_CHANGE)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        try:
            yield
        except VirtioError:
            self._ask_for_reset()

    # ---- registers

    def read(self, offset: int, size: int) -> int:
        if offset >= Reg.CONFIG:
            config = self.function.read_config()
            return int.from_bytes(config[offset - Reg.CONFIG : offset - Reg.CONFIG + size], "little")
        if size != 4:
            return 0
        if offset == Reg.INTERRUPT_STATUS:  # read with each interrupt
            return self.state.interrupt_status
        return self._registers().get(offset, 0)

    def _registers(self) -> dict[int, int]:
        state = self.state
        values: dict[int, int] = {
            Reg.MAGIC_VALUE: MAGIC,
            Reg.VERSION: self.interface,
            Reg.DEVICE_ID: self.function.device_id,
            Reg.VENDOR_ID: VENDOR_ID,
            Reg.DEVICE_FEATURES: _word(self.features, state.device_features_sel),
            Reg.QUEUE_NUM_MAX: self._queue_num_max(),
            Reg.STATUS: state.status,
        }
        queue = self._selected()
        if self.interface == LEGACY:
            values[Reg.QUEUE_PFN] = queue.desc_address // state.page_size if queue else 0
            return values
        values |= {
            Reg.QUEUE_READY: int(queue.is_ready) if queue else 0,
            Reg.SHM_LEN_LOW: _U32,  # no such region
            Reg.SHM_LEN_HIGH: _U32,
            Reg.SHM_BASE_LOW: _U32,
            Reg.SHM_BASE_HIGH: _U32,
            Reg.CONFIG_GENERATION: state.config_generation,
        }
        return values

    def _selected(self) -> QueueState | None:
        queues = self.state.queues
        return queues[self.state.queue_sel] if self.state.queue_sel < len(queues) else None

    def _queue_num_max(self) -> int:
        sizes = self.function.queue_sizes
        return sizes[self.state.queue_sel] if self.state.queue_sel < len(sizes) else 0

    def write(self, offset: int, size: int, value: int) -> None:
        state = self.state
        if offset >= Reg.CONFIG:
            self.function.write_config(offset - Reg.CONFIG, value.to_bytes(size, "little"))
        elif size != 4:
            return
        elif offset == Reg.QUEUE_NOTIFY:
            self._notify(value)
        elif offset == Reg.INTERRUPT_ACK:
            state.interrupt_status &= ~value
            self._update()
        elif offset == Reg.STATUS:
            self._write_status(value & 0xFF)
        elif offset == Reg.DEVICE_FEATURES_SEL:
            state.device_features_sel = value
        elif offset == Reg.DRIVER_FEATURES_SEL:
            state.driver_features_sel = value
        elif offset == Reg.DRIVER_FEATURES:
            self._write_driver_features(value)
        elif offset == Reg.QUEUE_SEL:
            state.queue_sel = value
        elif self.interface == LEGACY:
            self._write_legacy(offset, value)
        else:
            self._write_modern(offset, value)

    def reset(self) -> None:
        """Back to power-on, the device too."""
        self.state = self._power_on_state()
        self._round_timer.cancel()
        self.function.reset()
        self._update()

    # ---- what a write does

    def _write_status(self, value: int) -> None:
        state = self.state
        if value == 0:
            self.reset()
            return
        was_running = self.is_running
        value |= state.status & Status.NEEDS_RESET
        if value & Status.FEATURES_OK and not state.status & Status.FEATURES_OK and not self._agrees():
            value &= ~Status.FEATURES_OK
        state.status = value
        if self.is_running and not was_running:  # kicks from before were in vain
            for index in range(len(state.queues)):
                self._notify(index)

    def _agrees(self) -> bool:
        """Whether the driver's choice of features is one the device can work with."""
        wants_modern = bool(self.state.driver_features >> Feature.VERSION_1 & 1)
        return not self.state.driver_features & ~self.features and wants_modern == (self.interface == MODERN)

    def _write_driver_features(self, value: int) -> None:
        state = self.state
        if state.driver_features_sel > 1 or state.status & Status.FEATURES_OK:
            return
        shift = 32 * state.driver_features_sel
        state.driver_features = state.driver_features & ~(_U32 << shift) | value << shift

    def _write_modern(self, offset: int, value: int) -> None:
        queue = self._selected()
        if queue is None:
            return
        if offset == Reg.QUEUE_READY:
            self._set_ready(queue, bool(value & 1))
        elif queue.is_ready:  # its registers are fixed while it is in use
            return
        elif offset == Reg.QUEUE_NUM:
            queue.size = value
        elif offset == Reg.QUEUE_DESC_LOW:
            queue.desc_address = _with_low(queue.desc_address, value)
        elif offset == Reg.QUEUE_DESC_HIGH:
            queue.desc_address = _with_high(queue.desc_address, value)
        elif offset == Reg.QUEUE_AVAIL_LOW:
            queue.avail_address = _with_low(queue.avail_address, value)
        elif offset == Reg.QUEUE_AVAIL_HIGH:
            queue.avail_address = _with_high(queue.avail_address, value)
        elif offset == Reg.QUEUE_USED_LOW:
            queue.used_address = _with_low(queue.used_address, value)
        elif offset == Reg.QUEUE_USED_HIGH:
            queue.used_address = _with_high(queue.used_address, value)

    def _write_legacy(self, offset: int, value: int) -> None:
        state, queue = self.state, self._selected()
        if offset == Reg.GUEST_PAGE_SIZE:
            state.page_size = value if _is_power_of_two(value) else _LEGACY_PAGE_SIZE
        elif queue is None:
            return
        elif offset == Reg.QUEUE_NUM and not queue.is_ready:
            queue.size = value
        elif offset == Reg.QUEUE_ALIGN and not queue.is_ready:
            state.queue_align[state.queue_sel] = value if _is_power_of_two(value) else _LEGACY_ALIGN
        elif offset == Reg.QUEUE_PFN:
            self._place_legacy(queue, value * state.page_size, state.queue_align[state.queue_sel])

    def _place_legacy(self, queue: QueueState, address: int, align: int) -> None:
        """All three parts lie behind one another; 0 takes the queue away. Source: VIRTIO 1.2, section 2.7.2."""
        self._set_ready(queue, False)
        size = queue.size
        queue.desc_address = address
        queue.avail_address = address + _DESC_SIZE * size
        queue.used_address = -(-(queue.avail_address + 6 + 2 * size) // align) * align
        if address:
            self._set_ready(queue, True)

    def _set_ready(self, queue: QueueState, is_ready: bool) -> None:
        """A queue begins at its start each time; one of an impossible size never does."""
        if is_ready and not queue.is_ready:
            queue.is_ready = _is_power_of_two(queue.size) and queue.size <= self._queue_num_max()
            queue.next_avail = queue.used_idx = queue.pushed = 0
        elif not is_ready:
            queue.is_ready = False

    def _put_off(self, index: int) -> None:
        self.state.unfinished |= 1 << index
        self._round_timer.arm_earlier(self._now_ns() + ROUND_NS)

    def _on_round(self, late_ns: int) -> None:
        unfinished, self.state.unfinished = self.state.unfinished, 0
        for index in range(len(self.state.queues)):
            if unfinished >> index & 1:
                self._notify(index)

    def _notify(self, index: int) -> None:
        """A round over a queue, unless one is due anyway."""
        queues, is_due = self.state.queues, self.state.unfinished >> index & 1
        if self.is_running and not is_due and index < len(queues) and queues[index].is_ready:
            try:
                self.function.on_notify(index)
            except VirtioError:
                self._ask_for_reset()

    def _ask_for_reset(self) -> None:
        self.state.status |= Status.NEEDS_RESET
        self._interrupt(Interrupt.CONFIG_CHANGE)

    def _interrupt(self, reason: Interrupt) -> None:
        self.state.interrupt_status |= reason
        self._update()

    def _update(self) -> None:
        self._line.set_level(self.state.interrupt_status != 0)


def _word(mask: int, index: int) -> int:
    return mask >> 32 * index & _U32 if index < 2 else 0


def _with_low(address: int, value: int) -> int:
    return address & ~_U32 | value


def _with_high(address: int, value: int) -> int:
    return address & _U32 | value << 32


def _is_power_of_two(value: int) -> bool:
    return value > 0 and value & value - 1 == 0


@dataclass(slots=True)
class EmptySlotState:
    """It remembers nothing."""


class EmptySlot(Device):
    """A slot with no device: DeviceID 0, at which a driver turns away. Its interrupt is in the device tree only."""

    node_name = "virtio_mmio"
    compatible = "virtio,mmio"

    def __init__(self, base: int, irq: int, name: str, interface: int = MODERN) -> None:
        super().__init__(base, irq, name)
        self.interface = interface
        self.state: EmptySlotState = EmptySlotState()

    def read(self, offset: int, size: int) -> int:
        registers: dict[int, int] = {
            Reg.MAGIC_VALUE: MAGIC, Reg.VERSION: self.interface, Reg.DEVICE_ID: DeviceId.NONE, Reg.VENDOR_ID: VENDOR_ID,
        }  # fmt: skip
        return registers.get(offset, 0)
