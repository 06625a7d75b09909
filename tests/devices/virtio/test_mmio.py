"""virtio-mmio: registers in both versions, the start of a driver, and what a slot without a device answers."""

from __future__ import annotations

import re
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest
from support import asm
from support.harts import board_of, run_insns
from support.needs import Need
from support.virtio_driver import LEGACY_PAGE, RAM_BASE, VERSIONS, Echo, EchoState, Slot, mask

from minstret.devices.board.map import VIRTIO_SLOTS, virtio_base
from minstret.devices.hostside.side import INPUTS, NetConfig
from minstret.devices.virtio import constants
from minstret.devices.virtio.constants import AvailFlag, DescFlag, DeviceId, Feature, Interrupt, Reg, Status
from minstret.devices.virtio.mmio import LEGACY, MODERN, EmptySlot, SlotState, VirtioMmio
from minstret.devices.virtio.net import NetFeature
from minstret.emu.part import Device
from minstret.emu.state import canonical_bytes, from_plain, to_plain

SLOTS = range(VIRTIO_SLOTS)
U32 = 0xFFFF_FFFF
RUNNING = Status.ACKNOWLEDGE | Status.DRIVER | Status.DRIVER_OK | Status.FEATURES_OK


class Bench(Slot):
    """An echo device."""

    def __init__(self, version: int) -> None:
        self.echo = Echo()
        super().__init__(self.echo, version)

    def read(self, offset: int, size: int = 4) -> int:
        return self.driver.read(offset, size)

    def write(self, offset: int, value: int, size: int = 4) -> None:
        self.driver.write(offset, value, size)


@pytest.fixture(params=VERSIONS, ids=["modern", "legacy"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(request.param)


@pytest.fixture
def modern() -> Bench:
    return Bench(MODERN)


@pytest.fixture
def legacy() -> Bench:
    return Bench(LEGACY)


# ---- the numbers, as Linux has them

HEADERS = Path("/usr/include/linux")


def defines(header: str) -> dict[str, int]:
    """The plain numbers that a header of Linux's defines; none where there is no such header."""
    path = HEADERS / header
    if not path.exists():
        return {}
    text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
    found = re.findall(r"^#\s*define\s+(\w+)\s+\(?(0x[0-9a-fA-F]+|\d+)(?:\s*<<\s*(\d+)\))?\s*$", text, re.MULTILINE)
    return {name: int(number, 0) << int(shift or 0) for name, number, shift in found}


@pytest.mark.parametrize(
    ("header", "prefix", "members"),
    [
        ("virtio_mmio.h", "VIRTIO_MMIO_", list(Reg)),
        ("virtio_config.h", "VIRTIO_CONFIG_S_", list(Status)),
        ("virtio_config.h", "VIRTIO_F_", [Feature.ANY_LAYOUT, Feature.VERSION_1]),
        ("virtio_ring.h", "VIRTIO_RING_F_", [Feature.INDIRECT_DESC, Feature.EVENT_IDX]),
        ("virtio_ring.h", "VRING_DESC_F_", list(DescFlag)),
        ("virtio_ring.h", "VRING_AVAIL_F_", list(AvailFlag)),
        ("virtio_net.h", "VIRTIO_NET_F_", list(NetFeature)),
        ("virtio_ids.h", "VIRTIO_ID_", [DeviceId.NET, DeviceId.INPUT]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_numbers_are_those_of_linux(need: Need, header: str, prefix: str, members: list[IntEnum]) -> None:
    linux = defines(header)
    need(f"{HEADERS / header}", linux)

    assert {member.name: linux.get(prefix + member.name) for member in members} == {
        member.name: member.value for member in members
    }


def test_interrupt_reasons_are_those_of_linux(need: Need) -> None:
    linux = defines("virtio_mmio.h")
    need(f"{HEADERS}/virtio_mmio.h", linux)

    assert linux["VIRTIO_MMIO_INT_VRING"] == Interrupt.USED_BUFFER
    assert linux["VIRTIO_MMIO_INT_CONFIG"] == Interrupt.CONFIG_CHANGE


def test_magic_and_vendor_are_text() -> None:
    assert constants.MAGIC.to_bytes(4, "little") == b"virt"
    assert constants.VENDOR_ID.to_bytes(4, "little") == b"QEMU"


# ---- an empty slot


def test_slot_is_a_device() -> None:
    slot = EmptySlot(0, 4, "virtio3")

    assert isinstance(slot, Device)
    assert (slot.name, slot.size_bytes) == ("virtio3", 0x1000)


@pytest.mark.parametrize("version", VERSIONS)
def test_slot_shows_magic_and_version_and_no_device(version: int) -> None:
    slot = EmptySlot(0, 1, "virtio0", version)

    assert slot.read(Reg.MAGIC_VALUE, 4) == 0x74726976
    assert slot.read(Reg.VERSION, 4) == version
    assert slot.read(Reg.DEVICE_ID, 4) == 0
    assert slot.read(Reg.VENDOR_ID, 4).to_bytes(4, "little") == b"QEMU"


def test_slot_is_modern_by_default() -> None:
    assert EmptySlot(0, 1, "virtio0").read(Reg.VERSION, 4) == 2


@pytest.mark.parametrize("offset", [0x010, 0x034, 0x060, 0x070, 0x0FC, 0x100, 0xFFC])
def test_other_registers_read_zero(offset: int) -> None:
    assert EmptySlot(0, 1, "virtio0").read(offset, 4) == 0


def test_writes_and_reset_change_nothing() -> None:
    slot = EmptySlot(0, 1, "virtio0")
    before = [slot.read(offset, 4) for offset in range(0, 0x1000, 4)]

    for offset in range(0, 0x1000, 4):
        slot.write(offset, 4, 0xFFFF_FFFF)
    slot.reset()

    assert [slot.read(offset, 4) for offset in range(0, 0x1000, 4)] == before


@pytest.mark.parametrize("slot", SLOTS)
def test_board_has_eight_slots_a_page_apart_behind_the_uart(slot: int) -> None:
    base = 0x1000_1000 + 0x1000 * slot
    assert virtio_base(slot) == base
    board = board_of(
        asm.code(
            asm.li(asm.T0, base), asm.sw(asm.T0, asm.T0, 0x70), asm.lw(asm.A0, asm.T0, 0), asm.lw(asm.A1, asm.T0, 8)
        ),
        entropy="none",
    )

    run_insns(board, 8)

    assert (board.registers["a0"], board.registers["a1"]) == (0x74726976, 0)


NET, ENTROPY, INPUT, NONE = 1, 4, 18, 0


@pytest.mark.parametrize(
    ("config", "ids"),
    [
        ({}, [ENTROPY]),
        ({"entropy": "none"}, []),
        ({"entropy": "host"}, [ENTROPY]),
        ({"net": NetConfig()}, [NET, ENTROPY]),
        ({"inputs": ("tablet",)}, [INPUT, ENTROPY]),
        ({"net": NetConfig(), "inputs": INPUTS, "entropy": "none"}, [NET, INPUT, INPUT]),
        ({"net": NetConfig(), "inputs": INPUTS}, [NET, INPUT, INPUT, ENTROPY]),
    ],
)
@pytest.mark.parametrize("is_legacy", [False, True], ids=["modern", "legacy"])
def test_board_fills_the_slots_from_the_last_one_down(is_legacy: bool, config: dict[str, Any], ids: list[int]) -> None:
    board = board_of(asm.code(asm.LOOP), virtio_legacy=is_legacy, **config)

    expected = ids + [NONE] * (VIRTIO_SLOTS - len(ids))
    for slot, device_id in zip(reversed(SLOTS), expected, strict=True):
        assert board.machine.bus.read(virtio_base(slot) + Reg.DEVICE_ID, 4) == device_id
        assert board.machine.bus.read(virtio_base(slot) + Reg.VERSION, 4) == (1 if is_legacy else 2)


@pytest.mark.parametrize("inputs", [("keyboard", "tablet"), ("tablet", "keyboard")])
def test_card_comes_first_then_the_input_devices_in_their_order_then_the_entropy_source(
    inputs: tuple[str, ...],
) -> None:
    net, base = NetConfig(mac=bytes.fromhex("525400abcdef")), 0x1000_8000
    board = board_of(asm.code(asm.LOOP), net=net, inputs=inputs)
    read, write = board.machine.bus.read, board.machine.bus.write

    assert read(base + Reg.CONFIG, 4).to_bytes(4, "little") == net.mac[:4]
    for slot, kind in zip((6, 5), inputs, strict=True):
        write(virtio_base(slot) + Reg.CONFIG, 1, 0x11)
        assert [other for other in inputs if board.inputs[other].state.select == 0x11] == [kind]
        write(virtio_base(slot) + Reg.CONFIG, 1, 0)
    assert read(virtio_base(4) + Reg.DEVICE_ID, 4) == ENTROPY


@pytest.mark.parametrize("slot", [7, 6, 5, 4])
def test_slot_interrupts_by_its_own_line(slot: int) -> None:
    board = board_of(asm.code(asm.LOOP), net=NetConfig(), inputs=INPUTS)

    board.machine.lines[f"virtio{slot}.irq"].set_level(True)

    assert board.plic.state.pending == 1 << 1 + slot


def test_behind_the_last_slot_nothing_answers() -> None:
    board = board_of(asm.code(asm.li(asm.T0, virtio_base(VIRTIO_SLOTS)), asm.lw(asm.A0, asm.T0, 0)))

    board.run_until(icount=100)

    assert board.hart.first_trap is not None
    assert board.hart.first_trap.tval == virtio_base(VIRTIO_SLOTS)


# ---- a slot with a device: what it is


def test_slot_with_a_device_is_a_device(bench: Bench) -> None:
    assert isinstance(bench.device, Device)
    assert (bench.device.name, bench.device.size_bytes) == ("virtio0", 0x1000)


def test_slot_says_what_is_in_it(bench: Bench) -> None:
    assert bench.read(Reg.MAGIC_VALUE) == 0x74726976
    assert bench.read(Reg.VERSION) == bench.device.interface
    assert bench.read(Reg.DEVICE_ID) == 42
    assert bench.read(Reg.VENDOR_ID) == 0x554D4551


@pytest.mark.parametrize("size", [1, 2, 8])
def test_registers_are_read_as_words_only(bench: Bench, size: int) -> None:
    assert [bench.read(offset, size) for offset in range(Reg.CONFIG)] == [0] * Reg.CONFIG


@pytest.mark.parametrize("size", [1, 2, 8])
def test_registers_are_written_as_words_only(bench: Bench, size: int) -> None:
    before = canonical_bytes(bench.device.state)

    for offset in range(0, Reg.CONFIG, 4):
        bench.write(offset, 0x0F, size)

    assert canonical_bytes(bench.device.state) == before
    assert bench.echo.state == EchoState()


KNOWN = {reg.value for reg in Reg}


def test_unknown_and_odd_offsets_read_zero(bench: Bench) -> None:
    unknown = [offset for offset in range(Reg.CONFIG) if offset not in KNOWN]

    assert [bench.read(offset) for offset in unknown] == [0] * len(unknown)


def test_writes_to_unknown_odd_and_read_only_offsets_change_nothing(bench: Bench) -> None:
    before = canonical_bytes(bench.device.state)
    read_only = [Reg.MAGIC_VALUE, Reg.VERSION, Reg.DEVICE_ID, Reg.VENDOR_ID, Reg.DEVICE_FEATURES, Reg.QUEUE_NUM_MAX,
                 Reg.INTERRUPT_STATUS, Reg.SHM_SEL, Reg.SHM_LEN_LOW, Reg.SHM_LEN_HIGH, Reg.SHM_BASE_LOW,
                 Reg.SHM_BASE_HIGH, Reg.CONFIG_GENERATION]  # fmt: skip

    for offset in [*read_only, *(offset for offset in range(Reg.CONFIG) if offset not in KNOWN)]:
        bench.write(offset, U32)

    assert canonical_bytes(bench.device.state) == before


WRITE_ONLY = [Reg.DEVICE_FEATURES_SEL, Reg.DRIVER_FEATURES, Reg.DRIVER_FEATURES_SEL, Reg.QUEUE_SEL, Reg.QUEUE_NUM,
              Reg.QUEUE_NOTIFY, Reg.INTERRUPT_ACK, Reg.QUEUE_DESC_LOW, Reg.QUEUE_DESC_HIGH, Reg.QUEUE_AVAIL_LOW,
              Reg.QUEUE_AVAIL_HIGH, Reg.QUEUE_USED_LOW, Reg.QUEUE_USED_HIGH, Reg.SHM_SEL, Reg.GUEST_PAGE_SIZE,
              Reg.QUEUE_ALIGN]  # fmt: skip


@pytest.mark.parametrize("reg", WRITE_ONLY)
def test_write_only_registers_read_zero(bench: Bench, reg: Reg) -> None:
    bench.write(reg, 1)

    assert bench.read(reg) == 0


def test_registers_of_the_other_version_are_not_there(modern: Bench, legacy: Bench) -> None:
    for reg in (Reg.GUEST_PAGE_SIZE, Reg.QUEUE_ALIGN, Reg.QUEUE_PFN):
        modern.write(reg, 4096)
    assert modern.device.state == Bench(MODERN).device.state
    assert modern.read(Reg.QUEUE_PFN) == 0

    for reg in (Reg.QUEUE_READY, Reg.QUEUE_DESC_LOW, Reg.QUEUE_AVAIL_HIGH, Reg.QUEUE_USED_LOW):
        legacy.write(reg, 1)
    assert legacy.device.state == Bench(LEGACY).device.state
    assert [legacy.read(reg) for reg in (Reg.QUEUE_READY, Reg.CONFIG_GENERATION, Reg.SHM_LEN_LOW)] == [0, 0, 0]


@pytest.mark.parametrize("region", [0, 1, 255, U32])
def test_shared_memory_has_no_region(modern: Bench, region: int) -> None:
    modern.write(Reg.SHM_SEL, region)

    shm = (Reg.SHM_LEN_LOW, Reg.SHM_LEN_HIGH, Reg.SHM_BASE_LOW, Reg.SHM_BASE_HIGH)
    assert [modern.read(reg) for reg in shm] == [U32] * 4


# ---- features


def test_offered_features_are_the_devices_the_rings_and_the_versions(modern: Bench, legacy: Bench) -> None:
    rings = mask(3, 40, Feature.INDIRECT_DESC, Feature.EVENT_IDX)

    assert modern.driver.offered() == rings | mask(Feature.VERSION_1)
    assert legacy.driver.offered() == rings | mask(Feature.ANY_LAYOUT)


@pytest.mark.parametrize("word", [2, 3, 0x8000_0000, U32])
def test_feature_words_beyond_the_second_are_empty(bench: Bench, word: int) -> None:
    bench.write(Reg.DEVICE_FEATURES_SEL, word)
    assert bench.read(Reg.DEVICE_FEATURES) == 0

    bench.write(Reg.DRIVER_FEATURES_SEL, word)
    bench.write(Reg.DRIVER_FEATURES, U32)
    assert bench.device.state.driver_features == 0


def test_feature_words_are_kept_apart(bench: Bench) -> None:
    bench.driver.accept(mask(3, 40))
    assert (bench.device.has_feature(3), bench.device.has_feature(40)) == (True, True)

    bench.write(Reg.DRIVER_FEATURES_SEL, 0)
    bench.write(Reg.DRIVER_FEATURES, 0)

    assert (bench.device.has_feature(3), bench.device.has_feature(40)) == (False, True)


def test_feature_not_offered_is_never_agreed(bench: Bench) -> None:
    bench.driver.accept(mask(4, 41))

    assert not bench.device.has_feature(4)
    assert not bench.device.has_feature(41)


@pytest.mark.parametrize("extra", [(), (3,), (40,), (3, 40, Feature.INDIRECT_DESC, Feature.EVENT_IDX)])
def test_offered_features_are_agreed_to(modern: Bench, extra: tuple[int, ...]) -> None:
    modern.driver.accept(mask(Feature.VERSION_1, *extra))

    modern.write(Reg.STATUS, 0x0B)

    assert modern.read(Reg.STATUS) == 0x0B


V1 = mask(Feature.VERSION_1)


@pytest.mark.parametrize("features", [0, mask(3), V1 | mask(4), V1 | mask(41), V1 | mask(33), (1 << 64) - 1], ids=hex)
def test_features_not_offered_or_without_version_1_are_not_agreed_to(modern: Bench, features: int) -> None:
    modern.driver.accept(features)

    modern.write(Reg.STATUS, 0x0B)

    assert modern.read(Reg.STATUS) == 0x03


def test_driver_may_think_again_after_features_were_refused(modern: Bench) -> None:
    modern.driver.accept(mask(3))
    modern.write(Reg.STATUS, 0x0B)

    modern.driver.accept(mask(3, Feature.VERSION_1))
    modern.write(Reg.STATUS, 0x0B)

    assert modern.read(Reg.STATUS) == 0x0B


def test_features_are_fixed_once_agreed(modern: Bench) -> None:
    modern.driver.negotiate(3)

    modern.driver.accept(mask(40))

    assert (modern.device.has_feature(3), modern.device.has_feature(40)) == (True, False)


def test_legacy_driver_needs_no_features_ok(legacy: Bench) -> None:
    legacy.driver.accept(mask(3))

    legacy.write(Reg.STATUS, 7)

    assert legacy.device.is_running
    assert legacy.device.has_feature(3)


def test_legacy_device_refuses_version_1(legacy: Bench) -> None:
    legacy.driver.accept(mask(Feature.VERSION_1))

    legacy.write(Reg.STATUS, 0x0B)

    assert legacy.read(Reg.STATUS) == 0x03
    assert not legacy.device.has_feature(Feature.VERSION_1)


# ---- status and reset


def test_status_reads_back_and_has_eight_bits(bench: Bench) -> None:
    for status in (1, 3, 0x83):
        bench.write(Reg.STATUS, status)
        assert bench.read(Reg.STATUS) == status

    bench.write(Reg.STATUS, 0xFFFF_FF03)
    assert bench.read(Reg.STATUS) == 3


def test_status_of_zero_resets_everything_the_driver_set(bench: Bench) -> None:
    [queue, _] = bench.driver.start(3, sizes=(8, 8))
    queue.add(b"x", 1)
    queue.kick()
    bench.device.config_changed()
    for reg in (Reg.QUEUE_SEL, Reg.DEVICE_FEATURES_SEL, Reg.DRIVER_FEATURES_SEL):
        bench.write(reg, 1)
    assert bench.line.level

    bench.write(Reg.STATUS, 0)

    assert bench.device.state == Bench(bench.device.interface).device.state
    assert not bench.line.level
    assert bench.read(Reg.INTERRUPT_STATUS) == 0
    assert bench.echo.state.resets == 2  # negotiation begins with one


def test_reset_of_the_board_is_one_of_the_device(bench: Bench) -> None:
    [queue, _] = bench.driver.start(sizes=(8, 8))
    queue.add(b"x", 1)
    queue.kick()

    bench.device.reset()

    assert bench.device.state == Bench(bench.device.interface).device.state
    assert not bench.line.level
    assert bench.echo.state.resets == 2


def test_device_runs_from_driver_ok_until_reset(bench: Bench) -> None:
    bench.driver.negotiate()
    assert not bench.device.is_running

    bench.driver.add_status(Status.DRIVER_OK)
    assert bench.device.is_running

    bench.write(Reg.STATUS, 0)
    assert not bench.device.is_running


def test_kick_before_driver_ok_takes_effect_at_driver_ok_and_once(bench: Bench) -> None:
    bench.driver.negotiate()
    queue = bench.driver.setup_queue(0, 8)
    queue.add(b"early", 5)
    queue.kick()
    assert bench.ram.accesses == 0
    assert bench.echo.state.notified == []

    bench.driver.add_status(Status.DRIVER_OK)
    assert [used.data for used in queue.collect()] == [b"early"]
    assert bench.line.level
    assert bench.echo.state.notified == [0]

    bench.driver.add_status(Status.DRIVER_OK)
    assert bench.echo.state.notified == [0]


def test_queue_made_ready_while_running_works(bench: Bench) -> None:
    bench.driver.start(sizes=())

    queue = bench.driver.setup_queue(1, 4)
    queue.add(b"late", 4)
    queue.kick()

    assert [used.data for used in queue.collect()] == [b"late"]


# ---- queues


def test_queue_sizes_are_shown_by_queue(bench: Bench) -> None:
    shown = []
    for index in (0, 1, 2, 1023, 0x1_0000, U32):
        bench.write(Reg.QUEUE_SEL, index)
        shown.append(bench.read(Reg.QUEUE_NUM_MAX))

    assert shown == [1024, 8, 0, 0, 0, 0]


@pytest.mark.parametrize("index", [2, 0x1_0000, U32])
def test_queue_that_is_not_there_takes_nothing(bench: Bench, index: int) -> None:
    before = to_plain(bench.device.state) | {"queue_sel": index}
    bench.write(Reg.QUEUE_SEL, index)

    for offset in range(Reg.QUEUE_NUM, Reg.INTERRUPT_STATUS, 4):
        bench.write(offset, 8)
    for offset in range(Reg.QUEUE_DESC_LOW, Reg.SHM_SEL, 4):
        bench.write(offset, 8)

    assert to_plain(bench.device.state) == before
    assert (bench.read(Reg.QUEUE_READY), bench.read(Reg.QUEUE_PFN)) == (0, 0)


@pytest.mark.parametrize("index", [2, 3, 0xFFFF, 0x1_0000, 0x1_0001, U32])
def test_kick_of_a_queue_that_is_not_there_does_nothing(bench: Bench, index: int) -> None:
    bench.driver.start(sizes=(8, 8))
    bench.echo.state.notified = []

    bench.write(Reg.QUEUE_NOTIFY, index)

    assert bench.echo.state.notified == []


def test_kick_of_a_queue_that_is_not_ready_does_nothing(bench: Bench) -> None:
    bench.driver.start(sizes=(8,))
    bench.echo.state.notified = []

    bench.write(Reg.QUEUE_NOTIFY, 1)

    assert bench.echo.state.notified == []


@pytest.mark.parametrize(
    ("index", "size"), [(0, 0), (0, 3), (0, 1023), (0, 2048), (0, U32), (0, 0x8000_0000), (1, 16), (1, 6), (1, 0)]
)
def test_queue_of_an_impossible_size_never_gets_ready(bench: Bench, index: int, size: int) -> None:
    bench.driver.negotiate()
    bench.write(Reg.QUEUE_SEL, index)
    bench.write(Reg.QUEUE_NUM, size)

    bench.write(Reg.QUEUE_READY, 1)
    bench.write(Reg.QUEUE_PFN, RAM_BASE // LEGACY_PAGE)
    bench.driver.add_status(Status.DRIVER_OK)
    bench.write(Reg.QUEUE_NOTIFY, index)

    assert bench.read(Reg.QUEUE_READY) == 0
    assert not bench.device.state.queues[index].is_ready
    assert bench.ram.accesses == 0


@pytest.mark.parametrize(("index", "size"), [(0, 1), (0, 2), (0, 512), (0, 1024), (1, 8)])
def test_queue_of_a_power_of_two_gets_ready(modern: Bench, index: int, size: int) -> None:
    modern.driver.negotiate()

    modern.driver.setup_queue(index, size)

    assert modern.read(Reg.QUEUE_READY) == 1


def test_queue_ready_is_bit_0(modern: Bench) -> None:
    modern.driver.negotiate()
    modern.write(Reg.QUEUE_NUM, 8)

    modern.write(Reg.QUEUE_READY, 2)
    assert modern.read(Reg.QUEUE_READY) == 0

    modern.write(Reg.QUEUE_READY, U32)
    assert modern.read(Reg.QUEUE_READY) == 1


def test_registers_of_a_ready_queue_are_fixed(modern: Bench) -> None:
    [queue, _] = modern.driver.start(sizes=(8, 8))
    modern.write(Reg.QUEUE_SEL, 0)
    before = canonical_bytes(modern.device.state)

    for offset in (Reg.QUEUE_NUM, *range(Reg.QUEUE_DESC_LOW, Reg.SHM_SEL, 4), Reg.QUEUE_READY):
        modern.write(offset, 1)

    assert canonical_bytes(modern.device.state) == before
    queue.add(b"x", 1)
    queue.kick()
    assert len(queue.collect()) == 1


def test_size_and_alignment_of_a_placed_legacy_queue_are_fixed(legacy: Bench) -> None:
    [queue, _] = legacy.driver.start(sizes=(8, 8))
    legacy.write(Reg.QUEUE_SEL, 0)
    before = canonical_bytes(legacy.device.state)

    legacy.write(Reg.QUEUE_NUM, 4)
    legacy.write(Reg.QUEUE_ALIGN, 64)

    assert canonical_bytes(legacy.device.state) == before
    queue.add(b"x", 1)
    queue.kick()
    assert len(queue.collect()) == 1


def test_ring_addresses_have_64_bits_written_in_any_order(modern: Bench) -> None:
    modern.write(Reg.QUEUE_DESC_HIGH, 0x1111_2222)
    modern.write(Reg.QUEUE_DESC_LOW, 0x3333_4440)
    modern.write(Reg.QUEUE_AVAIL_LOW, 0x7777_8880)
    modern.write(Reg.QUEUE_AVAIL_HIGH, 0x5555_6666)
    modern.write(Reg.QUEUE_USED_HIGH, U32)
    modern.write(Reg.QUEUE_USED_LOW, 0xCCCC_DDD0)
    modern.write(Reg.QUEUE_USED_HIGH, 0x9999_AAAA)

    queue = modern.device.state.queues[0]
    assert queue.desc_address == 0x1111_2222_3333_4440
    assert queue.avail_address == 0x5555_6666_7777_8880
    assert queue.used_address == 0x9999_AAAA_CCCC_DDD0


def test_queue_taken_away_is_not_served_and_begins_anew_when_set_up_again(bench: Bench) -> None:
    [queue, other] = bench.driver.start(sizes=(8, 8))
    for number in range(3):
        queue.add(bytes([number]), 1)
    queue.kick()
    assert len(queue.collect()) == 3

    bench.write(Reg.QUEUE_SEL, 0)
    bench.write(Reg.QUEUE_READY, 0)
    bench.write(Reg.QUEUE_PFN, 0)
    queue.add(b"x", 1)
    queue.kick()
    assert queue.collect() == []

    again = bench.driver.setup_queue(0, 16)
    assert bench.read(Reg.QUEUE_READY) == (1 if bench.device.interface == MODERN else 0)
    again.add(b"y", 1)
    again.kick()
    assert [used.data for used in again.collect()] == [b"y"]
    other.add(b"z", 1)
    other.kick()
    assert [used.data for used in other.collect()] == [b"z"]


# ---- the legacy layout


def test_legacy_frame_number_reads_back_and_goes_with_zero(legacy: Bench) -> None:
    legacy.driver.negotiate()
    legacy.driver.setup_queue(0, 8)
    pfn = legacy.device.state.queues[0].desc_address // LEGACY_PAGE
    assert (legacy.read(Reg.QUEUE_PFN), pfn) == (pfn, RAM_BASE // LEGACY_PAGE)

    legacy.write(Reg.QUEUE_SEL, 1)
    assert legacy.read(Reg.QUEUE_PFN) == 0

    legacy.write(Reg.QUEUE_SEL, 0)
    legacy.write(Reg.QUEUE_PFN, 0)
    assert legacy.read(Reg.QUEUE_PFN) == 0
    assert not legacy.device.state.queues[0].is_ready


@pytest.mark.parametrize(
    ("size", "align", "avail", "used"),
    [
        # 16 bytes a descriptor; then 2 * (3 + size); then up to the next multiple of the alignment
        (8, 4096, 0x80, 0x1000),
        (256, 4096, 0x1000, 0x2000),
        (1024, 4096, 0x4000, 0x5000),
        (128, 4096, 0x800, 0x1000),
        (8, 64, 0x80, 0xC0),
        (8, 4, 0x80, 0x98),
        (16, 2, 0x100, 0x126),
        (1, 1, 0x10, 0x18),
        (512, 1 << 31, 0x2000, 0x8000_0000 - 0x4000),
    ],
)
def test_legacy_parts_lie_where_the_specification_says(
    legacy: Bench, size: int, align: int, avail: int, used: int
) -> None:
    base = 0x4000 if align == 1 << 31 else RAM_BASE
    legacy.write(Reg.GUEST_PAGE_SIZE, 4096)
    legacy.write(Reg.QUEUE_NUM, size)
    legacy.write(Reg.QUEUE_ALIGN, align)

    legacy.write(Reg.QUEUE_PFN, base // 4096)

    queue = legacy.device.state.queues[0]
    assert queue.is_ready
    assert (queue.desc_address, queue.avail_address - base, queue.used_address - base) == (base, avail, used)


@pytest.mark.parametrize("page_size", [1, 256, 4096, 65536, 1 << 31])
def test_legacy_page_size_scales_the_frame_number(legacy: Bench, page_size: int) -> None:
    legacy.write(Reg.GUEST_PAGE_SIZE, page_size)
    legacy.write(Reg.QUEUE_NUM, 8)

    legacy.write(Reg.QUEUE_PFN, 0xFFFF_FFFF)

    assert legacy.device.state.queues[0].desc_address == 0xFFFF_FFFF * page_size
    assert legacy.read(Reg.QUEUE_PFN) == 0xFFFF_FFFF


@pytest.mark.parametrize("garbage", [0, 3, 4095, 0xFFFF_FFFF])
def test_legacy_page_size_and_alignment_of_no_power_of_two_are_4096(legacy: Bench, garbage: int) -> None:
    legacy.write(Reg.GUEST_PAGE_SIZE, garbage)
    legacy.write(Reg.QUEUE_ALIGN, garbage)
    legacy.write(Reg.QUEUE_NUM, 8)

    legacy.write(Reg.QUEUE_PFN, RAM_BASE // 4096)

    queue = legacy.device.state.queues[0]
    assert (queue.desc_address, queue.used_address) == (RAM_BASE, RAM_BASE + 4096)


def test_legacy_alignment_is_each_queues_own(legacy: Bench) -> None:
    for index, align in ((0, 64), (1, 8192)):
        legacy.write(Reg.QUEUE_SEL, index)
        legacy.write(Reg.QUEUE_NUM, 8)
        legacy.write(Reg.QUEUE_ALIGN, align)
    for index in (0, 1):
        legacy.write(Reg.QUEUE_SEL, index)
        legacy.write(Reg.QUEUE_PFN, 0x8_0000)

    assert [queue.used_address & 0xFFFF for queue in legacy.device.state.queues] == [0xC0, 8192]


# ---- configuration space


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_configuration_is_read_in_any_size_anywhere_and_zero_behind_its_end(bench: Bench, size: int) -> None:
    expected = bytes(range(0x10, 0x1B)) + bytes(20)

    for at in range(20):
        assert bench.read(Reg.CONFIG + at, size) == int.from_bytes(expected[at : at + size], "little")


def test_configuration_reads_zero_at_the_end_of_the_window(bench: Bench) -> None:
    assert [bench.read(0x1000 - size, size) for size in (1, 2, 4, 8)] == [0, 0, 0, 0]


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_configuration_is_written_in_any_size_and_not_behind_its_end(bench: Bench, size: int) -> None:
    value = int.from_bytes(bytes(range(0xE0, 0xE0 + size)), "little")

    bench.write(Reg.CONFIG + 1, value, size)
    bench.write(Reg.CONFIG + 10, value, size)
    bench.write(0x1000 - size, value, size)

    expected = bytearray(range(0x10, 0x1B))
    expected[1 : 1 + size] = range(0xE0, 0xE0 + size)
    expected[10] = 0xE0
    assert bench.echo.state.config == expected


def test_configuration_change_is_told_by_generation_and_interrupt(modern: Bench) -> None:
    modern.driver.start(sizes=(8, 8))
    before = modern.read(Reg.CONFIG_GENERATION)

    modern.device.config_changed()

    assert modern.read(Reg.CONFIG_GENERATION) != before
    assert modern.read(Reg.INTERRUPT_STATUS) == Interrupt.CONFIG_CHANGE
    assert modern.line.level


def test_configuration_change_before_driver_ok_is_told_by_generation_only(modern: Bench) -> None:
    modern.driver.negotiate()
    before = modern.read(Reg.CONFIG_GENERATION)

    modern.device.config_changed()

    assert modern.read(Reg.CONFIG_GENERATION) != before
    assert modern.read(Reg.INTERRUPT_STATUS) == 0
    assert not modern.line.level


def test_generation_goes_round(modern: Bench) -> None:
    modern.device.state.config_generation = U32

    modern.device.config_changed()

    assert modern.read(Reg.CONFIG_GENERATION) == 0


def test_generation_stays_while_nothing_changes(modern: Bench) -> None:
    [queue, _] = modern.driver.start(sizes=(8, 8))
    before = modern.read(Reg.CONFIG_GENERATION)

    queue.add(b"x", 1)
    queue.kick()

    assert modern.read(Reg.CONFIG_GENERATION) == before


# ---- interrupts


def test_acknowledging_one_reason_keeps_the_line_up_for_the_other(bench: Bench) -> None:
    [queue, _] = bench.driver.start(sizes=(8, 8))
    queue.add(b"x", 1)
    queue.kick()
    bench.device.config_changed()
    assert bench.read(Reg.INTERRUPT_STATUS) == Interrupt.USED_BUFFER | Interrupt.CONFIG_CHANGE

    bench.write(Reg.INTERRUPT_ACK, Interrupt.USED_BUFFER)
    assert bench.read(Reg.INTERRUPT_STATUS) == Interrupt.CONFIG_CHANGE
    assert bench.line.level

    bench.write(Reg.INTERRUPT_ACK, U32)
    assert bench.read(Reg.INTERRUPT_STATUS) == 0
    assert bench.edges == [True, False]


@pytest.mark.parametrize("value", [0, 2, 0xFFFF_FFFE])
def test_acknowledging_something_else_changes_nothing(bench: Bench, value: int) -> None:
    [queue, _] = bench.driver.start(sizes=(8, 8))
    queue.add(b"x", 1)
    queue.kick()

    bench.write(Reg.INTERRUPT_ACK, value)

    assert bench.read(Reg.INTERRUPT_STATUS) == Interrupt.USED_BUFFER
    assert bench.line.level


def test_reading_changes_nothing(bench: Bench) -> None:
    [queue, _] = bench.driver.start(sizes=(8, 8))
    queue.add(b"x", 1)
    queue.kick()
    before = canonical_bytes([bench.device.state, bench.echo.state])

    first = [bench.read(offset) for offset in range(0, 0x200, 4)]

    assert [bench.read(offset) for offset in range(0, 0x200, 4)] == first
    assert canonical_bytes([bench.device.state, bench.echo.state]) == before
    assert bench.line.level


# ---- state


def test_state_comes_back_from_plain_values_in_the_middle_of_work(bench: Bench) -> None:
    [queue, _] = bench.driver.start(3, Feature.EVENT_IDX, sizes=(16, 8))
    for number in range(5):
        queue.add(bytes([number]), 1)
    queue.kick()
    queue.add(b"not kicked", 10)
    bench.device.config_changed()
    saved = to_plain(bench.device.state)

    again = Bench(bench.device.interface)
    again.device.state = from_plain(SlotState, saved)
    again.ram.data[:] = bench.ram.data
    assert not again.line.level  # loading moves no line
    for each in (bench, again):
        each.write(Reg.QUEUE_NOTIFY, 0)

    assert again.ram.data == bench.ram.data
    assert canonical_bytes(again.device.state) == canonical_bytes(bench.device.state)
    assert [again.read(offset) for offset in range(0, 0x100, 4)] == [
        bench.read(offset) for offset in range(0, 0x100, 4)
    ]


def test_slot_has_no_attribute_that_changes_but_state(bench: Bench) -> None:
    before = {name: id(value) for name, value in vars(bench.device).items() if name != "state"}
    assert not hasattr(bench.device.state, "__dict__")

    [queue, _] = bench.driver.start(sizes=(8, 8))
    queue.add(b"x", 1)
    queue.kick()

    assert {name: id(value) for name, value in vars(bench.device).items() if name != "state"} == before
    assert isinstance(bench.device, VirtioMmio)
