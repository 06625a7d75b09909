"""virtio-input: a keyboard or a tablet.

Batches of events come in by the input ``events``, one event a buffer. A batch for which the guest has
not enough buffers is dropped whole and counted, so what is delivered always makes sense. The status queue brings the
lights of the keyboard, which leave by the output ``leds``.

Source: VIRTIO 1.2, section 5.8; what the devices say of themselves is that of QEMU 7.2 but for their names,
hw/input/virtio-input-hid.c.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from minstret.devices.virtio.constants import QUEUE_SIZE_MAX, DeviceId
from minstret.devices.virtio.input_codes import (
    ABS_MAX,
    BUS_VIRTUAL,
    EVENT_SIZE,
    Abs,
    Button,
    EventType,
    Key,
    Led,
    Rel,
    named_events,
)
from minstret.devices.virtio.mmio import VirtioFunction
from minstret.devices.virtio.queue import Chain, VirtioError, Virtqueue
from minstret.emu.part import Wiring


class Config(IntEnum):
    """Offsets in the configuration space; the driver writes the first two. Section 5.8.4."""

    SELECT = 0
    SUBSEL = 1
    SIZE = 2
    UNION = 8


class Select(IntEnum):
    """What SELECT asks for; SUBSEL is the type of events for EV_BITS and the axis for ABS_INFO, else 0."""

    UNSET = 0x00
    ID_NAME = 0x01
    ID_SERIAL = 0x02
    ID_DEVIDS = 0x03
    PROP_BITS = 0x10
    EV_BITS = 0x11
    ABS_INFO = 0x12


UNION_SIZE = 128

_EVENTS, _STATUS = 0, 1
_VENDOR = 0x0627

Answers = Mapping[tuple[int, int], bytes]
"""What the union holds, by (SELECT, SUBSEL)."""


@dataclass(slots=True)
class VirtioInputState:
    """What the driver selected, the lights as a mask of Led bits, and counts of batches since power-on."""

    select: int = 0
    subsel: int = 0
    leds: int = 0
    delivered: int = 0
    dropped_no_buffer: int = 0
    dropped_not_running: int = 0


class VirtioInput(VirtioFunction):
    """A device that gives ``answers`` when asked what it is."""

    device_id = DeviceId.INPUT
    queue_sizes = (QUEUE_SIZE_MAX, QUEUE_SIZE_MAX)

    def __init__(self, name: str, answers: Answers) -> None:
        """Make a device; ``keyboard`` and ``tablet`` know the answers."""
        super().__init__(name)
        self.state: VirtioInputState = VirtioInputState()
        self._answers = answers
        self._led_mask = int.from_bytes(answers.get((Select.EV_BITS, EventType.EV_LED), b""), "little")

    def attach(self, wiring: Wiring) -> None:
        wiring.input("events", self.receive)
        self._send_leds = wiring.output("leds")

    def reset(self) -> None:
        """Forget what was selected and put the lights out; the counts go on."""
        self.state.select = self.state.subsel = 0
        self._set_leds(0)

    # ---- configuration space

    def read_config(self) -> bytes:
        state = self.state
        answer = self._answers.get((state.select, state.subsel), b"")
        header = bytes((state.select, state.subsel, len(answer))).ljust(Config.UNION, b"\0")
        return header + answer.ljust(UNION_SIZE, b"\0")

    def write_config(self, offset: int, data: bytes) -> None:
        for at, value in enumerate(data, offset):
            if at == Config.SELECT:
                self.state.select = value
            elif at == Config.SUBSEL:
                self.state.subsel = value

    # ---- host to guest

    def named_events(self, data: bytes) -> tuple[tuple[str, int], ...]:
        """A batch of events, for people: see input_codes.py."""
        return named_events(data)

    def receive(self, data: bytes) -> int:
        """Hand a batch of events to the guest, or drop it; takes it whole either way."""
        if len(data) % EVENT_SIZE:
            raise ValueError(f"{self.name}: a batch of {len(data)} bytes")
        if not self.transport.is_running:
            self.state.dropped_not_running += 1
            return len(data)
        delivered = False
        with self.transport.guarded():
            delivered = self._deliver([data[at : at + EVENT_SIZE] for at in range(0, len(data), EVENT_SIZE)])
        if delivered:
            self.state.delivered += 1
        else:
            self.state.dropped_no_buffer += 1
        return len(data)

    def _deliver(self, events: list[bytes]) -> bool:
        """Put all of ``events`` into buffers, if there are as many."""
        queue = self.transport.queue(_EVENTS)
        chains = self._take_buffers(queue, len(events))
        for chain, event in zip(chains, events, strict=False):
            queue.push(chain, chain.write(event))
        if chains:
            queue.flush()
        return bool(chains)

    def _take_buffers(self, queue: Virtqueue, count: int) -> list[Chain]:
        """``count`` buffers, or none where there are fewer; then none is taken."""
        chains: list[Chain] = []
        while len(chains) < count and (chain := queue.pop()) is not None:
            if chain.writable_size < EVENT_SIZE:
                raise VirtioError(f"{self.name}: {chain.writable_size} bytes for an event, expected {EVENT_SIZE}")
            chains.append(chain)
        if len(chains) < count:
            queue.unpop(len(chains))
            return []
        return chains

    # ---- guest to host

    def on_notify(self, queue: int) -> None:
        if queue != _STATUS:
            return
        status = self.transport.queue(_STATUS)
        for chain in status.available():
            self._on_status(chain.read(EVENT_SIZE))
            status.push(chain, 0)
        status.flush()

    def _on_status(self, event: bytes) -> None:
        """Lights that the device has are switched; all else is ignored."""
        event_type, code = int.from_bytes(event[:2], "little"), int.from_bytes(event[2:4], "little")
        bit = 1 << code & self._led_mask
        if event_type != EventType.EV_LED or len(event) < EVENT_SIZE:
            return
        is_on = any(event[4:])
        self._set_leds(self.state.leds | bit if is_on else self.state.leds & ~bit)

    def _set_leds(self, leds: int) -> None:
        if leds != self.state.leds:
            self.state.leds = leds
            self._send_leds(bytes((leds,)))


def keyboard(name: str) -> VirtioInput:
    """A keyboard with three lights; the guest repeats held keys itself."""
    return VirtioInput(
        name,
        _identity(name, "minstret Virtio Keyboard", product=1, version=1)
        | {
            (Select.EV_BITS, EventType.EV_KEY): _bitmap(Key),
            (Select.EV_BITS, EventType.EV_LED): _bitmap(Led),
            (Select.EV_BITS, EventType.EV_REP): bytes(1),
        },
    )


def tablet(name: str) -> VirtioInput:
    """A pointer with absolute coordinates, 0 to ABS_MAX on both axes, buttons and a wheel."""
    range_ = b"".join(value.to_bytes(4, "little") for value in (0, ABS_MAX, 0, 0, 0))  # min, max, fuzz, flat, res
    return VirtioInput(
        name,
        _identity(name, "minstret Virtio Tablet", product=3, version=2)
        | {
            (Select.EV_BITS, EventType.EV_KEY): _bitmap(Button),
            (Select.EV_BITS, EventType.EV_REL): _bitmap(Rel),
            (Select.EV_BITS, EventType.EV_ABS): _bitmap(Abs),
            (Select.ABS_INFO, Abs.ABS_X): range_,
            (Select.ABS_INFO, Abs.ABS_Y): range_,
        },
    )


def _identity(name: str, title: str, product: int, version: int) -> dict[tuple[int, int], bytes]:
    ids = (BUS_VIRTUAL, _VENDOR, product, version)
    return {
        (Select.ID_NAME, 0): title.encode(),
        (Select.ID_SERIAL, 0): name.encode(),
        (Select.ID_DEVIDS, 0): b"".join(value.to_bytes(2, "little") for value in ids),
    }


def _bitmap(codes: Iterable[int]) -> bytes:
    """A bit for each code, as short as may be."""
    mask = sum(1 << code for code in codes)
    return mask.to_bytes((mask.bit_length() + 7) // 8, "little")
