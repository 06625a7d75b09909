"""Split virtqueues: chains followed and given back, notifications held back, and drivers that break the rules."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.virtio_driver import FILLER, RAM_BASE, VERSIONS, DriverQueue, Echo, OnWork, Slot, Used, descriptor

from minstret.devices.virtio.constants import (
    QUEUE_SIZE_MAX,
    ROUND_CHAINS_MAX,
    ROUND_NS,
    AvailFlag,
    DescFlag,
    Feature,
    Interrupt,
    Reg,
)
from minstret.devices.virtio.queue import VirtioError
from minstret.emu.errors import AccessFault

NEXT, WRITE, INDIRECT = DescFlag.NEXT, DescFlag.WRITE, DescFlag.INDIRECT
U64 = (1 << 64) - 1
NOWHERE = 0x1000


class Bench(Slot):
    """An echo device with both queues set up."""

    def __init__(self, version: int, *bits: int, size: int = 16, on_work: OnWork = lambda descriptors: None) -> None:
        self.echo = Echo()
        super().__init__(self.echo, version, on_work=on_work)
        self.queue, self.small = self.driver.start(*bits, sizes=(size, 8))
        self.page = self.driver.alloc(4096, align=4096)
        """Memory for hand-made buffers and tables."""

    def echoes(self, data: bytes) -> bool:
        """Whether a plain request is served."""
        before = self.queue.used_idx
        self.queue.add(data, len(data))
        self.queue.kick()
        return self.queue.used_idx == before + 1 and self.queue.collect()[-1].data == data


@pytest.fixture(params=VERSIONS, ids=["modern", "legacy"])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def bench(version: int) -> Bench:
    return Bench(version)


# ---- chains


def test_chain_of_one_readable_and_one_writable_part_comes_back_written(bench: Bench) -> None:
    head = bench.queue.add(b"hello", 8)

    bench.queue.kick()

    assert bench.queue.collect() == [Used(head, 5, b"hello")]


@pytest.mark.parametrize("indirect", [False, True])
def test_chain_cut_anywhere_is_one_buffer(version: int, indirect: bool) -> None:
    bench = Bench(version, Feature.INDIRECT_DESC)
    data = bytes(range(100, 120))

    for cut in range(1, 20):
        bench.queue.add(data[:cut], data[cut:], cut, 1, 22 - cut, 3, indirect=indirect)
        bench.queue.kick()
        [used] = bench.queue.collect()
        assert (used.written, used.data) == (20, data)


def test_readable_part_alone_comes_back_with_nothing_written(bench: Bench) -> None:
    head = bench.queue.add(b"to nowhere")

    bench.queue.kick()

    assert bench.queue.collect() == [Used(head, 0, b"")]


def test_writable_parts_beyond_what_is_written_stay_as_they_were(bench: Bench) -> None:
    bench.queue.add(b"abcdef", 4, 10)

    bench.queue.kick()

    _, _, second = bench.queue.chains[bench.queue.size - 1][1]
    assert bench.ram.peek(second.address, 10) == b"ef" + bytes([FILLER] * 8)


def test_too_little_room_is_filled_and_what_is_left_is_reported(bench: Bench) -> None:
    bench.queue.add(b"abcdef", 2, 1)

    bench.queue.kick()

    assert [used[1:] for used in bench.queue.collect()] == [(3, b"abc")]


def test_device_writes_only_where_it_may(bench: Bench) -> None:
    bench.queue.add(b"one", 3)
    bench.queue.add(b"two", 1, 1, 1)
    allowed = list(bench.queue.writable_ranges())

    bench.queue.kick()

    for address, size in bench.ram.writes:
        assert any(start <= address and address + size <= start + room for start, room in allowed)


def test_several_chains_come_back_in_the_order_offered(bench: Bench) -> None:
    heads = [bench.queue.add(bytes([number]), 1) for number in range(7)]

    bench.queue.kick()

    assert bench.queue.collect() == [Used(head, 1, bytes([number])) for number, head in enumerate(heads)]


def test_whole_queue_of_chains_is_served_by_one_kick(bench: Bench) -> None:
    for number in range(16):
        bench.queue.add(bytes([number]))

    bench.queue.kick()

    assert len(bench.queue.collect()) == 16


def test_ring_goes_round_many_times(bench: Bench) -> None:
    for number in range(100):
        assert bench.echoes(number.to_bytes(2, "big"))

    assert bench.queue.avail_idx == 100


def test_queues_do_not_mix(bench: Bench) -> None:
    bench.queue.add(b"A", 1)
    bench.small.add(b"B", 1)

    bench.small.kick()

    assert [used.data for used in bench.small.collect()] == [b"B"]
    assert bench.queue.collect() == []


def test_kick_with_nothing_offered_does_nothing(bench: Bench) -> None:
    bench.queue.kick()

    assert bench.ram.writes == []
    assert not bench.line.level


def test_queue_of_one_works(version: int) -> None:
    bench = Bench(version, size=1)

    for number in range(5):
        bench.queue.add(bytes([number]))
        bench.queue.kick()
        assert len(bench.queue.collect()) == 1


def test_indices_wrap_behind_65535(bench: Bench) -> None:
    at_queue, start = bench.device.state.queues[0], 65_530
    at_queue.next_avail = at_queue.used_idx = start
    bench.queue.avail_idx = bench.queue.seen = start
    bench.ram.poke_u16(bench.queue.used + 2, start)

    served = [b"".join(used.data for used in batch) for batch in batches(bench.queue, 20)]

    assert served == [bytes([number, number + 1, number + 2]) for number in range(20)]
    assert (bench.queue.avail_idx, bench.queue.used_idx) == ((start + 60) & 0xFFFF,) * 2
    assert not bench.driver.needs_reset


def batches(queue: DriverQueue, count: int) -> list[list[Used]]:
    """Three chains a kick, so often."""
    result = []
    for number in range(count):
        for data in range(number, number + 3):
            queue.add(bytes([data]), 1)
        queue.kick()
        result.append(queue.collect())
    return result


@pytest.mark.slow
def test_seventy_thousand_chains_go_through(bench: Bench) -> None:
    bench.queue.set_desc(3, bench.page, 2, NEXT, 9)
    bench.queue.set_desc(9, bench.page + 16, 2, WRITE)

    for number in range(70_000):
        bench.ram.poke_u16(bench.page, number)
        bench.queue.offer(3)
        bench.queue.kick()
        assert bench.ram.peek_u16(bench.page + 16) == number & 0xFFFF
        assert bench.queue.used_idx == (number + 1) & 0xFFFF


# ---- indirect tables


def test_indirect_table_may_come_behind_direct_descriptors(version: int) -> None:
    bench = Bench(version, Feature.INDIRECT_DESC)
    bench.ram.poke(bench.page, b"abcd")
    table = bench.page + 256
    bench.queue.set_desc(5, bench.page, 2, NEXT, 6)
    bench.queue.set_desc(6, table, 32, INDIRECT)
    bench.ram.poke(table, descriptor(bench.page + 2, 2, NEXT, 1) + descriptor(bench.page + 64, 4, WRITE))

    bench.queue.offer(5)
    bench.queue.kick()

    assert bench.queue.collect() == [Used(5, 4, b"")]
    assert bench.ram.peek(bench.page + 64, 4) == b"abcd"


def test_write_flag_of_a_descriptor_for_a_table_is_ignored(version: int) -> None:
    bench = Bench(version, Feature.INDIRECT_DESC)
    table = bench.page + 256
    bench.queue.set_desc(0, table, 16, INDIRECT | WRITE)
    bench.ram.poke(table, descriptor(bench.page, 4))

    bench.queue.offer(0)
    bench.queue.kick()

    assert bench.queue.collect() == [Used(0, 0, b"")]


def test_indirect_table_links_in_any_order(version: int) -> None:
    bench = Bench(version, Feature.INDIRECT_DESC)
    bench.ram.poke(bench.page, b"xyz")
    table = bench.page + 250  # it need not be aligned
    bench.queue.set_desc(0, table, 48, INDIRECT)
    bench.ram.poke(table, descriptor(bench.page, 1, NEXT, 2))
    bench.ram.poke(table + 16, descriptor(bench.page + 64, 3, WRITE))
    bench.ram.poke(table + 32, descriptor(bench.page + 1, 2, NEXT, 1))

    bench.queue.offer(0)
    bench.queue.kick()

    assert bench.ram.peek(bench.page + 64, 3) == b"xyz"


def test_indirect_chain_may_be_longer_than_the_queue_up_to_the_largest_queue(version: int) -> None:
    bench = Bench(version, Feature.INDIRECT_DESC)
    data = bytes(number & 0xFF for number in range(QUEUE_SIZE_MAX - 1))

    bench.queue.add(*(bytes([byte]) for byte in data), len(data), indirect=True, gap=0)
    bench.queue.kick()

    assert bench.queue.collect()[0].data == data


def test_direct_chain_takes_the_largest_queue_whole(version: int) -> None:
    bench = Bench(version, size=QUEUE_SIZE_MAX)
    data = bytes(number & 0xFF for number in range(QUEUE_SIZE_MAX - 1))

    bench.queue.add(*(bytes([byte]) for byte in data), len(data), gap=0)
    bench.queue.kick()

    assert bench.queue.collect()[0].data == data


# ---- interrupts and kicks held back


def test_one_kick_makes_one_interrupt_and_publishes_once(bench: Bench) -> None:
    for number in range(5):
        bench.queue.add(bytes([number]), 1)

    bench.queue.kick()

    assert bench.edges == [True]
    assert bench.driver.read(Reg.INTERRUPT_STATUS) == Interrupt.USED_BUFFER
    assert [at for at, _ in bench.ram.writes].count(bench.queue.used + 2) == 1


def test_used_entries_are_complete_before_the_index_moves(bench: Bench) -> None:
    for number in range(3):
        bench.queue.add(bytes([number]), 1)

    bench.queue.kick()

    assert bench.ram.writes[-1] == (bench.queue.used + 2, 2)


def test_interrupt_acknowledged_comes_again_with_the_next_batch(bench: Bench) -> None:
    assert bench.echoes(b"1")
    assert bench.driver.take_interrupt() == Interrupt.USED_BUFFER

    assert bench.echoes(b"2")

    assert bench.edges == [True, False, True]


def test_no_interrupt_flag_holds_the_interrupt_back_and_not_the_buffer(bench: Bench) -> None:
    bench.queue.set_avail_flags(AvailFlag.NO_INTERRUPT)
    assert bench.echoes(b"quiet")
    assert not bench.line.level

    bench.queue.set_avail_flags(0)
    assert bench.echoes(b"loud")
    assert bench.line.level


def test_used_event_is_ignored_without_event_idx(bench: Bench) -> None:
    bench.queue.set_used_event(1000)

    assert bench.echoes(b"x")

    assert bench.line.level


def test_avail_event_is_not_written_without_event_idx(bench: Bench) -> None:
    bench.ram.poke_u16(bench.queue.used + 4 + 8 * bench.queue.size, 0xBEEF)

    assert bench.echoes(b"x")

    assert bench.queue.avail_event == 0xBEEF


def test_no_interrupt_flag_is_ignored_with_event_idx(version: int) -> None:
    bench = Bench(version, Feature.EVENT_IDX)
    bench.queue.set_avail_flags(AvailFlag.NO_INTERRUPT)
    bench.queue.set_used_event(0)

    assert bench.echoes(b"x")

    assert bench.line.level


@pytest.mark.parametrize("start", [0, 7, 65_533, 65_535])
@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("distance", [-3, -1, 0, 1, 2, 4, 5, 6, 1000])
def test_interrupt_comes_exactly_when_a_batch_passes_used_event(start: int, batch: int, distance: int) -> None:
    bench = Bench(VERSIONS[0], Feature.EVENT_IDX)
    state = bench.device.state.queues[0]
    state.next_avail = state.used_idx = start
    bench.queue.avail_idx = bench.queue.seen = start
    bench.queue.set_used_event(start + distance)

    for number in range(batch):
        bench.queue.add(bytes([number]))
    bench.queue.kick()

    assert bench.line.level == (0 <= distance < batch)  # an entry with index used_event was written


def test_avail_event_asks_for_a_kick_for_the_next_buffer(version: int) -> None:
    bench = Bench(version, Feature.EVENT_IDX)

    for served in range(1, 40):
        assert bench.echoes(b"x")
        assert bench.queue.avail_event == served


def test_avail_event_is_written_by_a_kick_in_vain(version: int) -> None:
    bench = Bench(version, Feature.EVENT_IDX)
    bench.ram.poke_u16(bench.queue.used + 4 + 8 * bench.queue.size, 0xBEEF)

    bench.queue.kick()

    assert bench.queue.avail_event == 0
    assert not bench.line.level


# ---- the device's own view


def test_unpopped_chains_are_taken_again_in_order(bench: Bench) -> None:
    heads = [bench.queue.add(bytes([number]), 1) for number in range(4)]
    queue = bench.device.queue(0)
    first, second = queue.pop(), queue.pop()
    assert first is not None and second is not None

    queue.unpop(2)

    assert queue.waiting() == 4
    assert [chain.head for chain in queue.available()] == heads
    assert queue.pop() is None


def test_unpop_goes_back_over_the_wrap(bench: Bench) -> None:
    state = bench.device.state.queues[0]
    state.next_avail = bench.queue.avail_idx = 65_535
    heads = [bench.queue.add(b"x"), bench.queue.add(b"y")]
    queue = bench.device.queue(0)
    assert len(list(queue.available())) == 2

    queue.unpop(2)

    assert state.next_avail == 65_535
    assert [chain.head for chain in queue.available()] == heads


def test_chain_offered_during_a_pass_waits_for_its_own_kick(bench: Bench) -> None:
    bench.queue.add(b"1")
    queue = bench.device.queue(0)

    taken = 0
    for _ in queue.available():
        taken += 1
        bench.queue.add(b"more")

    assert taken == 1
    assert queue.waiting() == 1


def test_chain_reads_no_more_than_asked(bench: Bench) -> None:
    bench.queue.add(b"abc", b"defg")
    chain = bench.device.queue(0).pop()
    assert chain is not None

    assert [chain.read(size) for size in (0, 2, 3, 5, 7, 100)] == [b"", b"ab", b"abc", b"abcde", b"abcdefg", b"abcdefg"]
    assert (chain.readable_size, chain.writable_size) == (7, 0)


def test_size_of_a_part_beyond_ram_does_not_matter_as_long_as_nobody_touches_it(bench: Bench) -> None:
    bench.ram.poke(bench.page, b"abcd")
    bench.queue.set_desc(0, bench.page, 0xFFFF_FFFF)
    bench.queue.offer(0)
    chain = bench.device.queue(0).pop()
    assert chain is not None

    assert chain.read(4) == b"abcd"
    with pytest.raises(VirtioError, match=r"^no memory at 0x[0-9a-f]+, 4294967295 bytes$"):
        chain.read(1 << 40)


def test_part_that_nothing_is_written_to_may_be_nowhere(bench: Bench) -> None:
    bench.queue.set_desc(0, bench.page, 3, NEXT, 1)
    bench.queue.set_desc(1, bench.page + 16, 3, WRITE | NEXT, 2)
    bench.queue.set_desc(2, NOWHERE, 3, WRITE)

    bench.queue.offer(0)
    bench.queue.kick()

    assert bench.queue.collect() == [Used(0, 3, b"")]


# ---- drivers that break the rules

Breaks = Callable[[Bench], None]


def offer_chain(*descriptors: tuple[int, int, int, int], head: int = 0) -> Breaks:
    def break_it(bench: Bench) -> None:
        for index, (address, size, flags, following) in enumerate(descriptors):
            bench.queue.set_desc(index, address, size, flags, following)
        bench.queue.offer(head)

    return break_it


def offer_table(*entries: bytes, size: int | None = None, flags: int = 0, address: int | None = None) -> Breaks:
    def break_it(bench: Bench) -> None:
        raw = b"".join(entries)
        bench.ram.poke(bench.page, raw)
        bench.ram.poke(GOOD_TABLE, OK)
        bench.queue.set_desc(0, bench.page if address is None else address, len(raw) if size is None else size,
                             INDIRECT | flags, 1)  # fmt: skip
        bench.queue.set_desc(1, RAM_BASE, 4)
        bench.queue.offer(0)

    return break_it


def jump(distance: int) -> Breaks:
    def break_it(bench: Bench) -> None:
        bench.queue.set_desc(0, RAM_BASE, 4)
        bench.queue.avail_idx += distance

    return break_it


OK = descriptor(RAM_BASE, 4)
GOES_ON = descriptor(RAM_BASE, 4, NEXT, 1)
END_OF_RAM = RAM_BASE + (1 << 20)
GOOD_TABLE = END_OF_RAM - 16
LOOP = [(RAM_BASE, 1, NEXT, index + 1 & 7) for index in range(8)]
RULES: dict[str, Breaks] = {
    "readable behind writable": offer_chain((RAM_BASE, 4, WRITE | NEXT, 1), (RAM_BASE, 4, 0, 0)),
    "readable of no bytes": offer_chain((RAM_BASE, 0, 0, 0)),
    "writable of no bytes": offer_chain((RAM_BASE, 4, NEXT, 1), (RAM_BASE, 0, WRITE, 0)),
    "descriptor that is its own next": offer_chain((RAM_BASE, 1, NEXT, 0)),
    "loop of eight": offer_chain(*LOOP),
    "loop of writable ones": offer_chain((RAM_BASE, 1, WRITE | NEXT, 1), (RAM_BASE, 1, WRITE | NEXT, 0)),
    "head out of range": offer_chain((RAM_BASE, 4, 0, 0), head=16),
    "head far out of range": offer_chain((RAM_BASE, 4, 0, 0), head=0xFFFF),
    "next out of range": offer_chain((RAM_BASE, 4, NEXT, 16)),
    "readable nowhere": offer_chain((NOWHERE, 4, 0, 0)),
    "readable behind RAM": offer_chain((END_OF_RAM, 4, 0, 0)),
    "readable over the end of RAM": offer_chain((END_OF_RAM - 3, 4, 0, 0)),
    "readable before RAM": offer_chain((RAM_BASE - 1, 4, 0, 0)),
    "readable at the end of all addresses": offer_chain((U64, 1, 0, 0)),
    "readable over the end of all addresses": offer_chain((U64 - 1, 4, 0, 0)),
    "readable of 4 GiB": offer_chain((RAM_BASE, 0xFFFF_FFFF, 0, 0)),
    "writable nowhere": offer_chain((RAM_BASE, 4, NEXT, 1), (NOWHERE, 4, WRITE, 0)),
    "writable over the end of RAM": offer_chain((RAM_BASE, 4, NEXT, 1), (END_OF_RAM - 3, 4, WRITE, 0)),
    "writable over the end of all addresses": offer_chain((RAM_BASE, 4, NEXT, 1), (U64 - 1, 4, WRITE, 0)),
    "table in a table": offer_table(descriptor(GOOD_TABLE, 16, INDIRECT)),
    "table in a table behind a buffer": offer_table(GOES_ON, descriptor(GOOD_TABLE, 16, INDIRECT)),
    "table with a next": offer_table(OK, flags=NEXT),
    "table of no bytes": offer_table(size=0),
    "table of 15 bytes": offer_table(OK, size=15),
    "table of 17 bytes": offer_table(OK, OK, size=17),
    "table of 1025 entries": offer_table(OK, size=16 * (QUEUE_SIZE_MAX + 1)),
    "table of 4 GiB": offer_table(OK, size=0xFFFF_FFF0),
    "table nowhere": offer_table(size=16, address=NOWHERE),
    "table over the end of RAM": offer_table(size=16, address=END_OF_RAM - 15),
    "table over the end of all addresses": offer_table(size=16, address=U64 - 14),
    "table with a loop": offer_table(GOES_ON, descriptor(RAM_BASE, 1, NEXT, 0)),
    "next out of the table": offer_table(GOES_ON, OK, size=16),
    "next out of the table and in the queue": offer_table(descriptor(RAM_BASE, 1, NEXT, 2), OK, OK, size=32),
    "readable behind writable in a table": offer_table(descriptor(RAM_BASE, 1, WRITE | NEXT, 1), OK),
    "more available than the queue is long": jump(17),
    "index that goes back": jump(-1),
    "index half way round": jump(0x8000),
}  # fmt: skip
each_break = pytest.mark.parametrize("breaks", RULES.values(), ids=RULES.keys())


@each_break
def test_broken_rule_makes_the_device_ask_for_a_reset(version: int, breaks: Breaks) -> None:
    bench = Bench(version, Feature.INDIRECT_DESC)
    breaks(bench)

    bench.queue.kick()

    assert bench.asks_for_reset
    assert bench.queue.used_idx == 0
    assert bench.ram.accesses <= 2 * QUEUE_SIZE_MAX + 8


@each_break
def test_broken_queue_takes_no_more_kicks_until_a_reset(version: int, breaks: Breaks) -> None:
    bench = Bench(version, Feature.INDIRECT_DESC)
    breaks(bench)
    bench.queue.kick()
    bench.ram.accesses, bench.echo.state.notified = 0, []

    bench.small.add(b"x", 1)
    bench.small.kick()
    bench.queue.kick()
    assert bench.ram.accesses == 0
    assert bench.echo.state.notified == []

    bench.queue, _ = bench.driver.start(Feature.INDIRECT_DESC, sizes=(16, 8))
    assert bench.echoes(b"again")
    assert not bench.driver.needs_reset


def test_status_written_without_needs_reset_does_not_clear_it(bench: Bench) -> None:
    jump(17)(bench)
    bench.queue.kick()
    assert bench.driver.needs_reset

    for status in (0x0F, 0x0B, 0x0F):
        bench.driver.write(Reg.STATUS, status)
        assert bench.driver.needs_reset


def test_indirect_table_without_the_feature_is_refused(bench: Bench) -> None:
    offer_table(OK)(bench)

    bench.queue.kick()

    assert bench.asks_for_reset


def test_head_just_behind_the_table_is_refused_whatever_is_there() -> None:
    bench = Bench(VERSIONS[0])
    bench.queue.set_desc(16, RAM_BASE, 4)

    bench.queue.offer(16)
    bench.queue.kick()

    assert bench.asks_for_reset


def test_index_ahead_by_exactly_the_queue_size_is_a_full_queue(bench: Bench) -> None:
    jump(16)(bench)

    bench.queue.kick()

    assert bench.queue.used_idx == 16
    assert not bench.driver.needs_reset


def test_mixed_chain_longer_than_the_largest_queue_is_refused(version: int) -> None:
    bench = Bench(version, Feature.INDIRECT_DESC)
    table = bench.driver.alloc(16 * QUEUE_SIZE_MAX)
    for index in range(QUEUE_SIZE_MAX):
        is_last = index == QUEUE_SIZE_MAX - 1
        raw = descriptor(RAM_BASE, 1, 0 if is_last else NEXT, 0 if is_last else index + 1)
        bench.ram.poke(table + 16 * index, raw)
    bench.queue.set_desc(0, RAM_BASE, 1, NEXT, 1)
    bench.queue.set_desc(1, table, 16 * QUEUE_SIZE_MAX, INDIRECT)

    bench.queue.offer(0)
    bench.queue.kick()

    assert bench.asks_for_reset


@pytest.mark.parametrize("ring", ["desc", "avail", "used"])
@pytest.mark.parametrize("address", [0, NOWHERE, END_OF_RAM - 3, END_OF_RAM, U64 & ~15])
def test_ring_outside_ram_makes_the_device_ask_for_a_reset(ring: str, address: int) -> None:
    bench = Bench(VERSIONS[0])
    driver = bench.driver
    driver.write(Reg.QUEUE_SEL, 0)
    driver.write(Reg.QUEUE_READY, 0)
    low = {"desc": Reg.QUEUE_DESC_LOW, "avail": Reg.QUEUE_AVAIL_LOW, "used": Reg.QUEUE_USED_LOW}[ring]
    driver.write(low, address & 0xFFFF_FFFF)
    driver.write(low + 4, address >> 32)
    driver.write(Reg.QUEUE_READY, 1)

    bench.queue.add(b"x", 1)
    bench.queue.kick()

    assert bench.asks_for_reset


def test_used_ring_in_read_only_memory_makes_the_device_ask_for_a_reset(version: int) -> None:
    bench = Bench(version)
    bench.ram.write = refuse  # type: ignore[method-assign]

    bench.queue.add(b"x")
    bench.queue.kick()

    assert bench.asks_for_reset


def refuse(address: int, data: bytes) -> None:
    raise AccessFault(address)


# ---- rounds


def offered(bench: Bench, count: int) -> list[bytes]:
    """Offer so many requests; what is to come back."""
    texts = [b"%d" % number for number in range(count)]
    for text in texts:
        bench.queue.add(text, 8)
    return texts


def test_kick_takes_so_many_chains_and_rounds_later_in_time_take_the_rest(version: int) -> None:
    bench = Bench(version, size=512)
    texts = offered(bench, 2 * ROUND_CHAINS_MAX + 3)
    start_ns = bench.clock.now_ns()

    bench.queue.kick()
    counts, back = [], bench.queue.collect()
    while bench.next_round():
        counts.append((bench.clock.now_ns() - start_ns, len(more := bench.queue.collect())))
        back += more

    assert counts == [(ROUND_NS, ROUND_CHAINS_MAX), (2 * ROUND_NS, 3)]
    assert [used.data for used in back] == texts


def test_full_round_leaves_no_timer_where_nothing_is_left(version: int) -> None:
    bench = Bench(version, size=512)
    offered(bench, ROUND_CHAINS_MAX)

    bench.queue.kick()

    assert len(bench.queue.collect()) == ROUND_CHAINS_MAX
    assert not bench.next_round()


def test_kick_does_nothing_while_a_round_is_due(version: int) -> None:
    bench = Bench(version, size=512)
    offered(bench, 2 * ROUND_CHAINS_MAX)

    for _ in range(3):
        bench.queue.kick()

    assert bench.queue.used_idx == ROUND_CHAINS_MAX
    assert bench.next_round()
    assert bench.queue.used_idx == 2 * ROUND_CHAINS_MAX


def test_queues_have_rounds_of_their_own(version: int) -> None:
    bench = Bench(version, size=512)
    offered(bench, 2 * ROUND_CHAINS_MAX)
    bench.queue.kick()

    bench.small.add(b"x", 1)
    bench.small.kick()

    assert bench.small.used_idx == 1


@pytest.mark.parametrize("is_whole", [True, False], ids=["reset", "status 0"])
def test_reset_ends_the_rounds(version: int, is_whole: bool) -> None:
    bench = Bench(version, size=512)
    offered(bench, 2 * ROUND_CHAINS_MAX)
    bench.queue.kick()

    if is_whole:
        bench.device.reset()
    else:
        bench.driver.write(Reg.STATUS, 0)

    assert not bench.next_round()
    assert bench.device.state.unfinished == 0


def test_queue_taken_away_between_two_rounds_is_left_alone() -> None:
    bench = Bench(VERSIONS[0], size=512)
    offered(bench, 2 * ROUND_CHAINS_MAX)
    bench.queue.kick()
    bench.driver.write(Reg.QUEUE_SEL, 0)
    bench.driver.write(Reg.QUEUE_READY, 0)

    assert bench.next_round()

    assert bench.queue.used_idx == ROUND_CHAINS_MAX


def test_work_on_descriptors_is_told_even_where_they_are_refused(version: int) -> None:
    told: list[int] = []
    bench = Bench(version, on_work=told.append)
    for index in range(15):
        bench.queue.set_desc(index, bench.page, 4, NEXT, index + 1)
    bench.queue.set_desc(15, bench.page, 0)

    bench.queue.offer(0)
    bench.queue.kick()

    assert bench.asks_for_reset
    assert told == [2]  # an eighth of the 16 descriptors


def test_worst_queue_costs_a_bounded_number_of_accesses_a_round(version: int) -> None:
    """Every slot of the small queue leads to one table of the largest size, all of it used."""
    bench = Bench(version, Feature.INDIRECT_DESC)
    table = bench.driver.alloc(16 * QUEUE_SIZE_MAX)
    for index in range(QUEUE_SIZE_MAX):
        is_last = index == QUEUE_SIZE_MAX - 1
        raw = descriptor(bench.page, 1, 0 if is_last else NEXT, 0 if is_last else index + 1)
        bench.ram.poke(table + 16 * index, raw)
    bench.small.set_desc(0, table, 16 * QUEUE_SIZE_MAX, INDIRECT)
    for _ in range(8):
        bench.small.offer(0)
    bench.ram.accesses = 0

    bench.small.kick()

    per_chain = 2 + 1 + 2 * QUEUE_SIZE_MAX  # ring entries; the table's descriptor; each descriptor and its byte
    for done in range(1, 9):
        assert bench.small.used_idx == done
        assert bench.ram.accesses == per_chain + 3
        bench.ram.accesses = 0
        assert bench.next_round() == (done < 8)
