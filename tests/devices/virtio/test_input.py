"""virtio-input: what keyboard and tablet say of themselves, and how events and lights cross the queues."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.needs import Need
from support.virtio_driver import VERSIONS, Slot

from minstret.devices.virtio import input as virtio_input
from minstret.devices.virtio import input_codes
from minstret.devices.virtio.constants import DeviceId, Feature, Interrupt, Reg
from minstret.devices.virtio.input import Config, Select, VirtioInput, VirtioInputState, keyboard, tablet
from minstret.devices.virtio.input_codes import (
    EVENT_SIZE,
    REPORT,
    Abs,
    Button,
    EventType,
    Key,
    Led,
    pack_event,
)
from minstret.devices.virtio.mmio import MODERN
from minstret.emu.state import canonical_bytes, from_plain, to_plain

QUEUE_SIZE = 64


class Guest:
    """Drives one device: it offers buffers and looks at what comes back."""

    def __init__(self, device: VirtioInput, *, event_size: int = EVENT_SIZE, version: int = MODERN) -> None:
        self.device = device
        self.slot = Slot(device, version)
        self.driver = self.slot.driver
        self.event_size = event_size

    def start(self, *features: int, event_buffers: int = QUEUE_SIZE) -> Guest:
        self.eventq, self.statusq = self.driver.start(*features, sizes=(QUEUE_SIZE, QUEUE_SIZE))
        self.offer_events(event_buffers)
        return self

    def offer_events(self, count: int) -> None:
        for _ in range(count):
            self.eventq.add(self.event_size)
        self.eventq.kick()

    def received(self) -> list[bytes]:
        """The events that have come since the last call."""
        return [used.data for used in self.eventq.collect()]

    def send_status(self, *events: bytes) -> None:
        """Offer all of ``events``, kick once, and see them come back unwritten."""
        heads = [self.statusq.add(event) for event in events]
        self.statusq.kick()
        assert [(used.head, used.written) for used in self.statusq.collect()] == [(head, 0) for head in heads]

    def config(self, select: int, subsel: int) -> bytes:
        """What the device answers."""
        self.driver.write(Reg.CONFIG + Config.SELECT, select, 1)
        self.driver.write(Reg.CONFIG + Config.SUBSEL, subsel, 1)
        size = self.driver.read(Reg.CONFIG + Config.SIZE, 1)
        return bytes(self.driver.read(Reg.CONFIG + Config.UNION + at, 1) for at in range(size))


A_DOWN, A_UP = (pack_event(EventType.EV_KEY, Key.KEY_A, value) for value in (1, 0))
MOVE = pack_event(EventType.EV_ABS, Abs.ABS_X, 100) + pack_event(EventType.EV_ABS, Abs.ABS_Y, 0x7FFF) + REPORT


def led(code: int, value: int) -> bytes:
    return pack_event(EventType.EV_LED, code, value)


def events_of(batch: bytes) -> list[bytes]:
    return [batch[at : at + EVENT_SIZE] for at in range(0, len(batch), EVENT_SIZE)]


# ---- what they say of themselves

QEMU_KEYBOARD = {
    (Select.ID_DEVIDS, 0): "0600270601000100",
    (Select.EV_BITS, EventType.EV_KEY): "feffffffffffffffffffcf7bffffbefeffdf00f8783000000000000004",
    (Select.EV_BITS, EventType.EV_LED): "07",
    (Select.EV_BITS, EventType.EV_REP): "00",
}
QEMU_TABLET = {
    (Select.ID_DEVIDS, 0): "0600270603000200",
    (Select.EV_BITS, EventType.EV_KEY): "00" * 34 + "1f" + "00" * 7 + "03",
    (Select.EV_BITS, EventType.EV_REL): "0001",
    (Select.EV_BITS, EventType.EV_ABS): "03",
    (Select.ABS_INFO, Abs.ABS_X): "00000000ff7f0000" + "00" * 12,
    (Select.ABS_INFO, Abs.ABS_Y): "00000000ff7f0000" + "00" * 12,
}
"""Read off QEMU 7.2.22."""

Make = Callable[[str], VirtioInput]
NAMES = (Select.ID_NAME, Select.ID_SERIAL)
kinds = pytest.mark.parametrize(("make", "expected"), [(keyboard, QEMU_KEYBOARD), (tablet, QEMU_TABLET)])


@kinds
def test_device_answers_as_qemus_and_nothing_else(make: Make, expected: dict[tuple[int, int], str]) -> None:
    guest = Guest(make("input0"))

    questions = ((select, subsel) for select in range(0x20) for subsel in range(0x20))
    answers = {question: guest.config(*question).hex() for question in questions}

    assert {q: answer for q, answer in answers.items() if answer and q[0] not in NAMES} == expected


@pytest.mark.parametrize(("make", "title"), [(keyboard, "Keyboard"), (tablet, "Tablet")])
def test_names_are_plain_text_without_a_nul(make: Make, title: str) -> None:
    guest = Guest(make("input0"))

    assert guest.config(Select.ID_NAME, 0).decode() == f"minstret Virtio {title}"
    assert guest.config(Select.ID_SERIAL, 0) == b"input0"
    assert guest.config(Select.ID_NAME, 1) == b""


def test_identity_registers_are_those_of_an_input_device() -> None:
    guest = Guest(keyboard("keyboard0"))

    assert guest.driver.read(Reg.DEVICE_ID) == DeviceId.INPUT == 18
    for queue, size in ((0, 1024), (1, 1024), (2, 0)):
        guest.driver.write(Reg.QUEUE_SEL, queue)
        assert guest.driver.read(Reg.QUEUE_NUM_MAX) == size
    assert guest.driver.offered() & (1 << 24) - 1 == 0


def test_config_space_is_all_of_the_struct_and_zero_behind_the_answer() -> None:
    device = tablet("tablet0")

    device.write_config(0, bytes((Select.EV_BITS, EventType.EV_ABS)))

    assert device.read_config() == bytes((0x11, 3, 1, 0, 0, 0, 0, 0, 3)) + bytes(127)
    device.write_config(1, bytes((77,)))
    assert device.read_config() == bytes((0x11, 77)) + bytes(134)


@given(st.integers(0, 140), st.binary(max_size=8))
def test_only_select_and_subsel_can_be_written(offset: int, data: bytes) -> None:
    device = keyboard("keyboard0")

    device.write_config(offset, data)

    written = dict(enumerate(data, offset))
    assert device.state == VirtioInputState(select=written.get(0, 0), subsel=written.get(1, 0))


# ---- events


@pytest.mark.parametrize("version", VERSIONS)
def test_batch_fills_one_buffer_with_each_event_and_interrupts_once(version: int) -> None:
    guest = Guest(tablet("tablet0"), version=version).start()

    taken = guest.device.receive(MOVE)

    assert taken == len(MOVE)
    assert guest.received() == events_of(MOVE)
    assert guest.slot.edges == [True]
    assert guest.driver.take_interrupt() == Interrupt.USED_BUFFER
    assert guest.device.state.delivered == 1


def test_batches_keep_their_order_over_many_rounds_of_the_queue() -> None:
    guest = Guest(keyboard("keyboard0")).start()

    for number in range(200):
        batch = pack_event(EventType.EV_KEY, 1 + number % 100, number % 2) + REPORT
        guest.device.receive(batch)
        assert guest.received() == events_of(batch)
        guest.offer_events(2)

    assert guest.device.state.delivered == 200


def test_batch_interrupts_a_driver_with_an_event_index_when_it_reaches_it() -> None:
    guest = Guest(keyboard("keyboard0")).start(Feature.EVENT_IDX)
    guest.eventq.set_used_event(3)

    guest.device.receive(A_DOWN + REPORT)
    assert not guest.slot.line.level
    guest.device.receive(A_UP + REPORT)

    assert guest.slot.line.level
    assert guest.received() == [A_DOWN, REPORT, A_UP, REPORT]


def test_batch_without_enough_buffers_is_dropped_whole_and_the_buffers_stay() -> None:
    guest = Guest(tablet("tablet0")).start(event_buffers=2)

    taken = guest.device.receive(MOVE)

    assert taken == len(MOVE)
    assert guest.received() == []
    assert not guest.slot.line.level
    assert guest.device.state.dropped_no_buffer == 1
    guest.device.receive(A_DOWN + REPORT)
    assert guest.received() == [A_DOWN, REPORT]


def test_dropped_batch_is_gone_when_buffers_come() -> None:
    guest = Guest(keyboard("keyboard0")).start(event_buffers=0)
    guest.device.receive(A_DOWN + REPORT)

    guest.offer_events(8)
    guest.device.receive(A_UP + REPORT)

    assert guest.received() == [A_UP, REPORT]


def test_batch_before_the_driver_is_ready_is_dropped() -> None:
    guest = Guest(keyboard("keyboard0"))
    assert guest.device.receive(A_DOWN + REPORT) == 16

    guest.start()

    assert guest.received() == []
    assert guest.device.state.dropped_not_running == 1


def test_buffer_too_small_for_an_event_breaks_the_device_until_reset() -> None:
    guest = Guest(keyboard("keyboard0"), event_size=7).start()

    assert guest.device.receive(A_DOWN + REPORT) == 16

    assert guest.slot.asks_for_reset
    assert guest.device.state.dropped_no_buffer == 1
    guest.device.receive(A_UP + REPORT)
    assert guest.device.state.dropped_not_running == 1


def test_larger_buffer_takes_one_event_all_the_same() -> None:
    guest = Guest(keyboard("keyboard0"), event_size=16).start()

    guest.device.receive(A_DOWN + REPORT)

    assert guest.received() == [A_DOWN, REPORT]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), max_size=30))
def test_guest_sees_whole_batches_only(steps: list[tuple[int, int]]) -> None:
    guest = Guest(keyboard("keyboard0")).start(event_buffers=3)
    free = 3

    for number, (offered, length) in enumerate(steps):
        offered = min(offered, QUEUE_SIZE - free)
        guest.offer_events(offered)
        free += offered
        batch = pack_event(EventType.EV_KEY, 1 + number, 1) * length + REPORT
        guest.device.receive(batch)
        expected = events_of(batch) if length + 1 <= free else []
        assert guest.received() == expected
        free -= len(expected)

    state = guest.device.state
    assert state.delivered + state.dropped_no_buffer == len(steps)


# ---- lights


def test_lights_are_switched_one_by_one_and_told_to_the_host() -> None:
    guest = Guest(keyboard("keyboard0")).start()

    guest.send_status(led(Led.LED_CAPSL, 1), led(Led.LED_NUML, 1), led(Led.LED_CAPSL, 0), led(Led.LED_CAPSL, 0))

    assert guest.slot.wiring.sent["leds"] == [b"\2", b"\3", b"\1"]
    assert guest.device.state.leds == 1 << Led.LED_NUML
    assert guest.slot.line.level


@pytest.mark.parametrize(
    "event",
    [led(3, 1), led(0xFFFF, 1), A_DOWN, REPORT, led(Led.LED_NUML, 1)[:7], pack_event(EventType.EV_REP, 0, 250)],
)
def test_status_that_is_no_light_of_ours_is_ignored_and_given_back(event: bytes) -> None:
    guest = Guest(keyboard("keyboard0")).start()

    guest.send_status(event)

    assert guest.device.state.leds == 0


def test_tablet_has_no_lights() -> None:
    guest = Guest(tablet("tablet0")).start()

    guest.send_status(led(Led.LED_NUML, 1))

    assert guest.device.state.leds == 0


def test_reset_puts_the_lights_out_and_keeps_the_counts() -> None:
    guest = Guest(keyboard("keyboard0")).start()
    guest.config(Select.ID_NAME, 0)
    guest.device.receive(A_DOWN + REPORT)
    guest.send_status(led(Led.LED_SCROLLL, 1))

    guest.driver.write(Reg.STATUS, 0)

    assert guest.slot.wiring.sent["leds"] == [b"\4", b"\0"]
    assert guest.device.state == VirtioInputState(delivered=1)
    guest.device.receive(A_UP + REPORT)
    assert guest.device.state.dropped_not_running == 1


# ---- state


def test_state_comes_back_from_plain_values_on_a_fresh_device() -> None:
    guest = Guest(keyboard("keyboard0")).start()
    guest.send_status(led(Led.LED_CAPSL, 1))
    guest.config(Select.EV_BITS, EventType.EV_KEY)
    guest.device.receive(A_DOWN + REPORT)
    fresh = keyboard("keyboard0")

    fresh.state = from_plain(VirtioInputState, to_plain(guest.device.state))

    assert canonical_bytes(fresh.state) == canonical_bytes(guest.device.state)
    assert fresh.read_config() == guest.device.read_config()


# ---- the numbers

CODES_HEADER = Path("/usr/include/linux/input-event-codes.h")
INPUT_HEADER = Path("/usr/include/linux/input.h")
VIRTIO_HEADER = Path("/usr/include/linux/virtio_input.h")


def defines(path: Path) -> dict[str, int]:
    found = re.findall(r"^#define\s+(\w+)\s+(0[xX][0-9a-fA-F]+|\d+)\b", path.read_text(), re.MULTILINE)
    return {name: int(value, 0) for name, value in found}


@pytest.mark.parametrize("codes", [EventType, input_codes.Syn, input_codes.Rel, Abs, Led, Button, Key])
def test_codes_are_those_of_linux(codes: type[IntEnum], need: Need) -> None:
    need(str(CODES_HEADER), CODES_HEADER.exists())
    header = defines(CODES_HEADER)

    assert {member.name: int(member) for member in codes} == {member.name: header[member.name] for member in codes}


def test_bus_is_that_of_linux(need: Need) -> None:
    need(str(INPUT_HEADER), INPUT_HEADER.exists())

    assert defines(INPUT_HEADER)["BUS_VIRTUAL"] == input_codes.BUS_VIRTUAL


def test_selectors_are_those_of_linux(need: Need) -> None:
    need(str(VIRTIO_HEADER), VIRTIO_HEADER.exists())

    found = re.findall(r"VIRTIO_INPUT_CFG_(\w+)\s*=\s*(0x[0-9a-f]+)", VIRTIO_HEADER.read_text())

    assert {name: int(value, 0) for name, value in found} == {member.name: int(member) for member in Select}
    assert f"char string[{virtio_input.UNION_SIZE}]" in VIRTIO_HEADER.read_text()


# ---- QEMU's, side by side

QEMU = "qemu-system-riscv64"
QEMU_SLOTS = ((0x1000_8000, keyboard), (0x1000_7000, tablet))


class Qtest:
    """QEMU's board with both devices, its registers read and written from outside."""

    def __init__(self) -> None:
        devices = [argument for name in ("keyboard", "tablet") for argument in ("-device", f"virtio-{name}-device")]
        self.process = subprocess.Popen(
            [QEMU, "-M", "virt", "-S", "-bios", "none", "-display", "none", "-serial", "none", "-monitor", "none",
             "-global", "virtio-mmio.force-legacy=false", "-qtest", "stdio", "-qtest-log", "/dev/null", *devices],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def ask(self, *commands: str) -> list[str]:
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None and stdout is not None
        stdin.write("".join(command + "\n" for command in commands))
        stdin.flush()
        replies = [stdout.readline().split() for _ in commands]
        assert all(reply[0] == "OK" for reply in replies), replies
        return [reply[-1] for reply in replies]

    def config(self, base: int, select: int, subsel: int) -> bytes:
        at = base + Reg.CONFIG
        size = int(self.ask(f"writeb {at} {select}", f"writeb {at + 1} {subsel}", f"readb {at + 2}")[-1], 0)
        return bytes(int(value, 0) for value in self.ask(*(f"readb {at + 8 + index}" for index in range(size))))


@pytest.fixture
def qtest(need: Need) -> Iterator[Qtest]:
    need(QEMU, shutil.which(QEMU))
    qtest = Qtest()
    yield qtest
    qtest.process.kill()
    qtest.process.communicate()


def test_device_answers_as_the_qemu_that_is_installed(qtest: Qtest) -> None:
    for base, make in QEMU_SLOTS:
        guest = Guest(make("input0"))
        for select in (Select.ID_DEVIDS, Select.PROP_BITS, Select.EV_BITS, Select.ABS_INFO):
            for subsel in range(0x20):
                ours, theirs = guest.config(select, subsel), qtest.config(base, select, subsel)
                if (select, subsel) == (Select.EV_BITS, EventType.EV_KEY):  # newer ones have more keys and buttons
                    assert int.from_bytes(ours, "little") & ~int.from_bytes(theirs, "little") == 0
                else:
                    assert ours == theirs, f"{make.__name__}: {select.name} {subsel}"


def test_events_of_a_batch_have_names() -> None:
    pack = input_codes.pack_event
    batch = (
        pack(EventType.EV_KEY, Key.KEY_A, 1) + pack(EventType.EV_KEY, input_codes.Button.BTN_LEFT, 0)
        + pack(EventType.EV_ABS, Abs.ABS_X, 7) + pack(EventType.EV_REL, input_codes.Rel.REL_WHEEL, -1)
        + pack(EventType.EV_KEY, 0x2FF, 1) + input_codes.REPORT
    )  # fmt: skip

    assert input_codes.named_events(batch) == (
        ("KEY_A", 1), ("BTN_LEFT", 0), ("ABS_X", 7), ("REL_WHEEL", -1), ("1/767", 1),
    )  # fmt: skip
