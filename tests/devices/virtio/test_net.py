"""The network card: frames out, frames in, and what happens to those that don't fit."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import pytest
from support.virtio_driver import FILLER, RAM_BASE, VERSIONS, DriverQueue, Slot, Used, descriptor

from minstret.devices.virtio.constants import QUEUE_SIZE_MAX, DescFlag, DeviceId, Feature, Interrupt, Reg, Status
from minstret.devices.virtio.mmio import LEGACY, MODERN, SlotState
from minstret.devices.virtio.net import DEFAULT_MAC, FRAME_SIZE_MAX, NetFeature, NetState, VirtioNet
from minstret.emu.state import canonical_bytes, from_plain, to_plain

MAC = bytes.fromhex("525400abcdef")
MERGES = NetFeature.MRG_RXBUF


def frame_of(size: int, seed: int = 0) -> bytes:
    """A frame whose bytes tell where they belong."""
    return bytes((seed + at * 7 + (at >> 8)) & 0xFF for at in range(size))


class Bench(Slot):
    """A card; ``sent`` has the frames it has put on the wire."""

    def __init__(
        self, version: int = MODERN, *bits: int, sizes: Sequence[int] = (256, 256), start: bool = True
    ) -> None:
        self.net = VirtioNet(MAC)
        super().__init__(self.net, version, ram_size=1 << 21)
        self.sent = self.wiring.sent["tx"]
        self.header = 12 if version == MODERN or MERGES in bits else 10
        self.rx: DriverQueue
        self.tx: DriverQueue
        if start:
            self.rx, self.tx = self.driver.start(*bits, sizes=sizes)

    def send(self, *parts: bytes) -> None:
        self.tx.add(*parts)
        self.tx.kick()

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Sent, received, dropped for want of a buffer, dropped for their size."""
        state = self.net.state
        return state.sent, state.received, state.dropped_no_buffer, state.dropped_bad_size


@pytest.fixture(params=VERSIONS, ids=["modern", "legacy"])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def bench(version: int) -> Bench:
    return Bench(version)


# ---- what it is


def test_card_says_what_it_is(bench: Bench) -> None:
    assert bench.driver.read(Reg.DEVICE_ID) == DeviceId.NET == 1
    assert bench.driver.offered() & 0xFF_FFFF == 1 << 5 | 1 << 15 | 1 << 16  # MAC, MRG_RXBUF, STATUS
    for queue, size in ((0, 1024), (1, 1024), (2, 0)):
        bench.driver.write(Reg.QUEUE_SEL, queue)
        assert bench.driver.read(Reg.QUEUE_NUM_MAX) == size


def test_frame_scattered_over_too_many_descriptors_makes_the_card_ask_for_a_reset() -> None:
    """Each buffer has room for one byte, at the end of a long table."""
    bench = Bench(MODERN, NetFeature.MRG_RXBUF, Feature.INDIRECT_DESC)
    table = bench.driver.alloc(16 * 256)
    for index in range(256):
        flags = DescFlag.WRITE if index == 255 else DescFlag.NEXT
        bench.ram.poke(table + 16 * index, descriptor(RAM_BASE, 1, flags, index + 1))
    bench.rx.set_desc(0, table, 16 * 256, DescFlag.INDIRECT)
    for _ in range(256):
        bench.rx.offer(0)
    bench.ram.accesses = 0

    bench.net.receive(bytes(60))

    assert bench.asks_for_reset
    assert bench.ram.accesses < 2 * QUEUE_SIZE_MAX


def test_default_mac_is_qemus_first() -> None:
    assert DEFAULT_MAC.hex(":") == "52:54:00:12:34:56"


def test_configuration_has_mac_and_link(bench: Bench) -> None:
    assert bytes(bench.driver.read(Reg.CONFIG + at, 1) for at in range(6)) == MAC
    assert bench.driver.read(Reg.CONFIG + 6, 2) == 1
    assert bench.driver.read(Reg.CONFIG + 8, 4) == 0


def test_configuration_can_not_be_written(bench: Bench) -> None:
    for at in range(12):
        bench.driver.write(Reg.CONFIG + at, 0, size=1)

    assert bench.net.read_config() == MAC + b"\1\0"


# ---- frames out


@pytest.mark.parametrize("size", [14, 15, 60, 64, 590, 1514, 1518, 4096, 65_535, FRAME_SIZE_MAX])
def test_frame_goes_out_with_its_header_in_a_descriptor_of_its_own(bench: Bench, size: int) -> None:
    bench.send(bytes(bench.header), frame_of(size))

    assert bench.sent == [frame_of(size)]
    assert [used[1:] for used in bench.tx.collect()] == [(0, b"")]
    assert bench.driver.take_interrupt() == Interrupt.USED_BUFFER
    assert bench.counts == (1, 0, 0, 0)


@pytest.mark.parametrize("size", [14, 60, 1514])
def test_frame_goes_out_in_one_descriptor_with_its_header(bench: Bench, size: int) -> None:
    bench.send(bytes(bench.header) + frame_of(size))

    assert bench.sent == [frame_of(size)]


@pytest.mark.parametrize("cut", [1, 5, 9, 10, 11, 12, 13, 40, 71])
def test_frame_goes_out_cut_anywhere(bench: Bench, cut: int) -> None:
    data = bytes(bench.header) + frame_of(60)

    bench.send(data[:cut], data[cut:] or b"\0")

    assert bench.sent == [frame_of(60) + (b"" if data[cut:] else b"\0")]


def test_frame_goes_out_in_single_bytes(bench: Bench) -> None:
    data = bytes(bench.header) + frame_of(64)

    bench.send(*(bytes([byte]) for byte in data))

    assert bench.sent == [frame_of(64)]


def test_frame_goes_out_from_an_indirect_table(version: int) -> None:
    bench = Bench(version, Feature.INDIRECT_DESC)

    bench.tx.add(bytes(bench.header), frame_of(20), frame_of(30, 1), indirect=True)
    bench.tx.kick()

    assert bench.sent == [frame_of(20) + frame_of(30, 1)]


@pytest.mark.parametrize(
    ("version", "bits", "header"),
    [(MODERN, (), 12), (MODERN, (MERGES,), 12), (LEGACY, (), 10), (LEGACY, (MERGES,), 12)],
)
def test_header_has_10_bytes_only_in_legacy_without_merging(version: int, bits: tuple[int, ...], header: int) -> None:
    bench = Bench(version, *bits)

    bench.send(b"\0" * header + frame_of(60))

    assert bench.sent == [frame_of(60)]


def test_header_is_not_looked_at(bench: Bench) -> None:
    bench.send(b"\xff" * bench.header, frame_of(60))

    assert bench.sent == [frame_of(60)]


def test_frames_of_one_kick_go_out_in_order_with_one_interrupt(bench: Bench) -> None:
    for number in range(20):
        bench.tx.add(bytes(bench.header), frame_of(60 + number, number))

    bench.tx.kick()

    assert bench.sent == [frame_of(60 + number, number) for number in range(20)]
    assert len(bench.tx.collect()) == 20
    assert bench.edges == [True]


@pytest.mark.parametrize("size", [0, 1, 13, FRAME_SIZE_MAX + 1, FRAME_SIZE_MAX + 1000])
def test_frame_of_an_impossible_size_is_counted_and_its_buffer_given_back(bench: Bench, size: int) -> None:
    bench.send(bytes(bench.header), *([frame_of(size)] if size else []))

    assert bench.sent == []
    assert len(bench.tx.collect()) == 1
    assert bench.counts == (0, 0, 0, 1)
    assert not bench.driver.needs_reset


@pytest.mark.parametrize("size", [1, 9])
def test_buffer_shorter_than_its_header_is_counted_and_given_back(bench: Bench, size: int) -> None:
    bench.send(bytes(size))

    assert len(bench.tx.collect()) == 1
    assert bench.counts == (0, 0, 0, 1)


def test_buffer_with_nothing_to_read_is_counted_and_given_back(bench: Bench) -> None:
    bench.tx.add(100)
    bench.tx.kick()

    assert [used[1:] for used in bench.tx.collect()] == [(0, b"")]
    assert bench.counts == (0, 0, 0, 1)


def test_room_behind_a_frame_is_not_written(bench: Bench) -> None:
    bench.tx.add(bytes(bench.header) + frame_of(60), 16)
    [(_, (_, [_, room]))] = bench.tx.chains.items()

    bench.tx.kick()

    assert bench.ram.peek(room.address, 16) == bytes([FILLER]) * 16
    assert bench.sent == [frame_of(60)]


def test_descriptor_of_4_gib_is_read_no_further_than_the_longest_frame(bench: Bench) -> None:
    bench.tx.set_desc(0, bench.ram.base, 0xFFFF_FFFF)
    bench.tx.offer(0)

    bench.tx.kick()

    assert bench.counts == (0, 0, 0, 1)
    assert not bench.driver.needs_reset


def test_frames_before_a_broken_chain_go_out_and_those_behind_it_do_not(bench: Bench) -> None:
    bench.tx.add(bytes(bench.header), frame_of(60))
    bench.tx.set_desc(0, 0, 64)
    bench.tx.offer(0)
    bench.tx.add(bytes(bench.header), frame_of(61))

    bench.tx.kick()

    assert bench.sent == [frame_of(60)]
    assert bench.asks_for_reset


def test_frames_queued_before_driver_ok_go_out_at_driver_ok(version: int) -> None:
    bench = Bench(version, start=False)
    bench.driver.negotiate()
    bench.tx = bench.driver.setup_queue(1, 64)
    bench.send(bytes(bench.header), frame_of(60))
    assert bench.sent == []

    bench.driver.add_status(Status.DRIVER_OK)

    assert bench.sent == [frame_of(60)]


# ---- frames in


def header_of(bench: Bench, buffers: int = 1) -> bytes:
    return bytes(10) + (buffers.to_bytes(2, "little") if bench.header == 12 else b"")


@pytest.mark.parametrize("size", [14, 60, 590, 1514])
def test_frame_comes_in_behind_its_header(bench: Bench, size: int) -> None:
    head = bench.rx.add(1526)

    assert bench.net.receive(frame_of(size)) == size

    assert bench.rx.collect() == [Used(head, bench.header + size, header_of(bench) + frame_of(size))]
    assert bench.driver.take_interrupt() == Interrupt.USED_BUFFER
    assert bench.counts == (0, 1, 0, 0)


def test_frame_comes_in_through_parts_of_any_size(bench: Bench) -> None:
    for parts in ([bench.header, 1514], [1, 1, 1, 200], [11, 300], [13, 300], [1] * 72):
        bench.rx.add(*parts)

        bench.net.receive(frame_of(60))

        assert [used.data for used in bench.rx.collect()] == [header_of(bench) + frame_of(60)]


def test_frame_comes_in_through_an_indirect_table(version: int) -> None:
    bench = Bench(version, Feature.INDIRECT_DESC)
    bench.rx.add(bench.header, 20, 100, indirect=True)

    bench.net.receive(frame_of(60))

    assert [used.data for used in bench.rx.collect()] == [header_of(bench) + frame_of(60)]


def test_room_that_fits_exactly_is_enough_and_a_byte_less_is_not(bench: Bench) -> None:
    bench.rx.add(bench.header + 60)

    bench.net.receive(frame_of(61))
    assert bench.rx.collect() == []
    bench.net.receive(frame_of(60))

    assert [used.data for used in bench.rx.collect()] == [header_of(bench) + frame_of(60)]
    assert bench.counts == (0, 1, 1, 0)


def test_frame_without_a_buffer_is_dropped_and_counted(bench: Bench) -> None:
    assert bench.net.receive(frame_of(60)) == 60

    assert bench.counts == (0, 0, 1, 0)
    assert not bench.line.level


def test_buffer_too_small_without_merging_waits_for_a_frame_that_fits(bench: Bench) -> None:
    small, large = bench.rx.add(100), bench.rx.add(1526)

    bench.net.receive(frame_of(1000))
    assert bench.counts == (0, 0, 1, 0)
    assert not bench.line.level

    for number in range(2):
        bench.net.receive(frame_of(60, number))
    assert [(used.head, used.data[bench.header :]) for used in bench.rx.collect()] == [
        (small, frame_of(60)),
        (large, frame_of(60, 1)),
    ]


def test_buffers_are_filled_in_the_order_offered(bench: Bench) -> None:
    heads = [bench.rx.add(200) for _ in range(5)]

    for number in range(5):
        bench.net.receive(frame_of(60 + number))

    assert [(used.head, used.written) for used in bench.rx.collect()] == [
        (head, bench.header + 60 + number) for number, head in enumerate(heads)
    ]


def test_frame_comes_in_only_where_the_driver_allows(bench: Bench) -> None:
    bench.rx.add(20, 30, 50)
    allowed = list(bench.rx.writable_ranges())

    bench.net.receive(frame_of(60))

    for address, size in bench.ram.writes:
        assert any(start <= address and address + size <= start + room for start, room in allowed)


def test_readable_part_of_a_receive_buffer_is_left_alone(bench: Bench) -> None:
    bench.rx.add(b"mine", 200)

    bench.net.receive(frame_of(60))

    [used] = bench.rx.collect()
    assert used.data == header_of(bench) + frame_of(60)


def test_kick_of_the_receive_queue_does_nothing(bench: Bench) -> None:
    bench.rx.add(200)
    bench.ram.accesses = 0

    bench.rx.kick()

    assert bench.ram.accesses == 0


def test_broken_receive_buffer_makes_the_card_ask_for_a_reset_and_drop(bench: Bench) -> None:
    bench.rx.set_desc(0, 0, 200, DescFlag.WRITE)
    bench.rx.offer(0)

    assert bench.net.receive(frame_of(60)) == 60
    assert bench.asks_for_reset
    assert bench.net.receive(frame_of(60)) == 60
    assert bench.counts == (0, 0, 2, 0)
    assert bench.rx.used_idx == 0


# ---- merged buffers


@pytest.mark.parametrize(("frame", "buffers"), [(14, 1), (52, 1), (53, 2), (116, 2), (117, 3), (300, 5), (1514, 24)])
def test_frame_spreads_over_as_many_buffers_as_it_needs(version: int, frame: int, buffers: int) -> None:
    bench = Bench(version, MERGES)
    heads = [bench.rx.add(64) for _ in range(30)]

    bench.net.receive(frame_of(frame))

    back = bench.rx.collect()
    assert [used.head for used in back] == heads[:buffers]
    assert b"".join(used.data for used in back) == header_of(bench, buffers) + frame_of(frame)
    assert [used.written for used in back] == [64] * (buffers - 1) + [12 + frame - 64 * (buffers - 1)]
    assert bench.edges == [True]


def test_buffers_of_different_sizes_and_parts_merge(version: int) -> None:
    bench = Bench(version, MERGES)
    for parts in ([5], [1, 1, 1], [4, 6], [100]):
        bench.rx.add(*parts)

    bench.net.receive(frame_of(60))

    assert b"".join(used.data for used in bench.rx.collect()) == header_of(bench, 4) + frame_of(60)


def test_merged_buffers_are_published_all_at_once(version: int) -> None:
    bench = Bench(version, MERGES)
    for _ in range(8):
        bench.rx.add(64)

    bench.net.receive(frame_of(300))

    assert [at for at, _ in bench.ram.writes].count(bench.rx.used + 2) == 1
    assert bench.ram.writes[-1] == (bench.rx.used + 2, 2)


def test_too_few_buffers_to_merge_drop_the_frame_and_stay_available(version: int) -> None:
    bench = Bench(version, MERGES)
    heads = [bench.rx.add(64) for _ in range(4)]

    bench.net.receive(frame_of(300))
    assert bench.counts == (0, 0, 1, 0)
    assert bench.rx.collect() == []
    assert bench.ram.writes == []
    assert not bench.line.level

    heads.append(bench.rx.add(64))
    bench.net.receive(frame_of(300))
    assert [used.head for used in bench.rx.collect()] == heads
    assert bench.counts == (0, 1, 1, 0)


def test_longest_frame_fills_a_whole_queue_of_pages(version: int) -> None:
    bench = Bench(version, MERGES)
    for _ in range(20):
        bench.rx.add(4096)

    bench.net.receive(frame_of(FRAME_SIZE_MAX))

    back = bench.rx.collect()
    assert len(back) == 17
    assert b"".join(used.data for used in back) == header_of(bench, 17) + frame_of(FRAME_SIZE_MAX)


def test_modern_header_counts_one_buffer_without_merging() -> None:
    bench = Bench(MODERN)
    bench.rx.add(200)

    bench.net.receive(frame_of(60))

    assert bench.rx.collect()[0].data[:12] == bytes(10) + b"\1\0"


# ---- notifications


def test_dropped_frame_moves_avail_event_to_the_next_buffer(version: int) -> None:
    bench = Bench(version, Feature.EVENT_IDX, MERGES)
    bench.rx.add(64)
    bench.net.receive(frame_of(40))

    bench.net.receive(frame_of(40))

    assert bench.rx.avail_event == 1


def test_used_event_holds_back_interrupts_until_the_frame_asked_for(version: int) -> None:
    bench = Bench(version, Feature.EVENT_IDX)
    bench.rx.set_used_event(3)
    for _ in range(5):
        bench.rx.add(200)

    levels = []
    for _ in range(5):
        bench.net.receive(frame_of(60))
        levels.append(bench.line.level)

    assert levels == [False, False, False, True, True]


def test_merged_frame_that_passes_used_event_interrupts(version: int) -> None:
    bench = Bench(version, Feature.EVENT_IDX, MERGES)
    bench.rx.set_used_event(2)
    for _ in range(8):
        bench.rx.add(64)

    bench.net.receive(frame_of(300))  # entries 0 to 4

    assert bench.line.level


# ---- link and life


def test_pulled_cable_shows_in_configuration_and_interrupts(bench: Bench) -> None:
    generation = bench.driver.read(Reg.CONFIG_GENERATION)

    bench.net.set_link(False)

    assert bench.driver.read(Reg.CONFIG + 6, 2) == 0
    assert bench.driver.take_interrupt() == Interrupt.CONFIG_CHANGE
    assert bench.driver.read(Reg.CONFIG_GENERATION) != generation or bench.device.interface == LEGACY


def test_link_set_to_what_it_is_tells_nobody(bench: Bench) -> None:
    bench.net.set_link(True)

    assert not bench.line.level
    assert bench.driver.read(Reg.CONFIG_GENERATION) == 0


def test_nothing_passes_while_the_cable_is_out(bench: Bench) -> None:
    bench.net.set_link(False)
    bench.rx.add(200)

    bench.send(bytes(bench.header), frame_of(60))
    bench.net.receive(frame_of(60))
    assert bench.sent == []
    assert len(bench.tx.collect()) == 1
    assert bench.rx.collect() == []
    assert bench.counts == (0, 0, 1, 0)

    bench.net.set_link(True)
    bench.send(bytes(bench.header), frame_of(61))
    bench.net.receive(frame_of(62))
    assert bench.sent == [frame_of(61)]
    assert bench.rx.collect()[0].data[bench.header :] == frame_of(62)


@pytest.mark.parametrize("status", [0, Status.ACKNOWLEDGE, Status.ACKNOWLEDGE | Status.DRIVER])
def test_frame_before_driver_ok_is_dropped_and_counted(version: int, status: int) -> None:
    bench = Bench(version, start=False)
    bench.driver.write(Reg.STATUS, status)
    rx = bench.driver.setup_queue(0, 8)
    rx.add(200)
    bench.ram.accesses = 0

    assert bench.net.receive(frame_of(60)) == 60

    assert bench.ram.accesses == 0
    assert bench.counts == (0, 0, 1, 0)


def test_frame_for_a_receive_queue_that_is_not_set_up_is_dropped(version: int) -> None:
    for bits in ((), (Feature.EVENT_IDX,)):
        bench = Bench(version, start=False)
        bench.driver.start(*bits, sizes=())

        assert bench.net.receive(frame_of(60)) == 60

        assert bench.counts == (0, 0, 1, 0)
        assert not bench.driver.needs_reset


def test_reset_keeps_link_and_counts(bench: Bench) -> None:
    bench.send(bytes(bench.header), frame_of(60))
    bench.net.set_link(False)

    bench.driver.write(Reg.STATUS, 0)

    assert bench.net.state == NetState(link_up=False, sent=1)
    assert not bench.line.level


def test_card_set_up_again_after_a_reset_works(bench: Bench) -> None:
    bench.rx.add(200)
    bench.net.receive(frame_of(60))

    bench.rx, bench.tx = bench.driver.start(sizes=(8, 8))
    bench.rx.add(200)
    bench.net.receive(frame_of(61))
    bench.send(bytes(bench.header), frame_of(62))

    assert bench.rx.collect()[0].data[bench.header :] == frame_of(61)
    assert bench.sent == [frame_of(62)]


# ---- state


def half_way(version: int, *bits: int) -> Bench:
    """A card with frames gone both ways, buffers left over, a frame not kicked and one dropped."""
    bench = Bench(version, *bits, sizes=(16, 16))
    for _ in range(9):
        bench.rx.add(64)
    for number in range(3):
        bench.send(bytes(bench.header), frame_of(60, number))
    bench.net.receive(frame_of(40))
    bench.net.receive(frame_of(200, 1))
    bench.net.receive(frame_of(2000, 2))
    bench.tx.add(bytes(bench.header), frame_of(80, 9))
    return bench


def goes_on(bench: Bench) -> Iterator[object]:
    """What can be seen of it from then on."""
    bench.driver.write(Reg.QUEUE_NOTIFY, 1)
    for size in (40, 150, 700, 30):
        bench.net.receive(frame_of(size, size))
        yield bytes(bench.ram.data), bench.counts, bench.line.level
        yield [bench.driver.read(offset) for offset in range(0, 0x108, 4)]
        bench.driver.take_interrupt()
    yield canonical_bytes([bench.device.state, bench.net.state])


@pytest.mark.parametrize("bits", [(), (MERGES,), (MERGES, Feature.EVENT_IDX)])
@pytest.mark.parametrize("way", ["deepcopy", "plain values"])
def test_card_loaded_half_way_goes_on_as_if_nothing_had_happened(version: int, bits: tuple[int, ...], way: str) -> None:
    first = half_way(version, *bits)
    sent_before = len(first.sent)
    again = Bench(version, start=False)

    if way == "deepcopy":
        again.device.state, again.net.state = copy.deepcopy(first.device.state), copy.deepcopy(first.net.state)
    else:
        again.device.state = from_plain(SlotState, to_plain(first.device.state))
        again.net.state = from_plain(NetState, to_plain(first.net.state))
    again.ram.data[:] = first.ram.data
    assert again.edges == []
    again.line.load_level(first.line.level)

    assert list(goes_on(again)) == list(goes_on(first))
    assert again.sent == first.sent[sent_before:] == [frame_of(80, 9)]


def test_card_has_no_attribute_that_changes_but_state(bench: Bench) -> None:
    before = {name: id(value) for name, value in vars(bench.net).items() if name != "state"}
    assert not hasattr(bench.net.state, "__dict__")

    bench.send(bytes(bench.header), frame_of(60))
    bench.net.receive(frame_of(60))
    bench.net.set_link(False)

    assert {name: id(value) for name, value in vars(bench.net).items() if name != "state"} == before
