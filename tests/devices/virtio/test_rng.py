"""virtio-rng: what a guest gets, where that comes from, and that it is one stream whatever it is asked in."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support import asm
from support.harts import RAM, board_of
from support.virtio_driver import VERSIONS, Driver, DriverQueue, Ram, Slot

from minstret.devices.board.board import Board
from minstret.devices.board.config import BoardConfig, HostAnswers
from minstret.devices.board.map import IRQ, virtio_base
from minstret.devices.virtio.constants import DeviceId, Interrupt, Reg
from minstret.devices.virtio.mmio import EmptySlot, VirtioMmio
from minstret.devices.virtio.rng import REQUEST_SIZE_MAX, RngState, VirtioRng
from minstret.emu.door.live import LiveDoor
from minstret.emu.errors import ConfigError
from minstret.emu.images.loader import Firmware, Segment

QUEUE_SIZE = 8
SLOT = 7
LOOPS = asm.code(asm.LOOP)

each_version = pytest.mark.parametrize("version", VERSIONS)


def counting(offset: int, size: int) -> bytes:
    """A source whose bytes tell where they are from."""
    return bytes(at & 0xFF for at in range(offset, offset + size))


class CountingRng(VirtioRng):
    def __init__(self) -> None:
        super().__init__(seed=0)

    def draw(self, offset: int, size: int) -> bytes:
        return counting(offset, size)


class MeagreRng(CountingRng):
    def draw(self, offset: int, size: int) -> bytes:
        return counting(offset, min(size, 3))


def started(rng: type[CountingRng] = CountingRng, version: int = VERSIONS[0]) -> tuple[Slot, DriverQueue]:
    slot = Slot(rng(), version)
    (queue,) = slot.driver.start(sizes=(QUEUE_SIZE,))
    return slot, queue


def ask(queue: DriverQueue, *sizes: int) -> bytes:
    """What chains with room for so many bytes come back with."""
    for size in sizes:
        queue.add(size)
    queue.kick()
    return b"".join(used.data for used in queue.collect())


# ---- the device


@each_version
def test_slot_has_an_entropy_source_with_one_queue(version: int) -> None:
    slot = Slot(CountingRng(), version)

    assert slot.driver.read(Reg.DEVICE_ID) == DeviceId.ENTROPY == 4
    for queue, size_max in ((0, 1024), (1, 0)):
        slot.driver.write(Reg.QUEUE_SEL, queue)
        assert slot.driver.read(Reg.QUEUE_NUM_MAX) == size_max
    assert slot.driver.read(Reg.CONFIG) == 0


@each_version
def test_buffer_is_filled_and_the_driver_is_told(version: int) -> None:
    slot, queue = started(version=version)
    queue.add(48)

    queue.kick()

    assert [(used.written, used.data) for used in queue.collect()] == [(48, counting(0, 48))]
    assert slot.driver.take_interrupt() == Interrupt.USED_BUFFER


def test_thousand_requests_of_one_kick_are_filled() -> None:
    slot = Slot(CountingRng())
    (queue,) = slot.driver.start(sizes=(1024,))

    data = ask(queue, *[3] * 1024)
    while slot.next_round():
        data += b"".join(used.data for used in queue.collect())

    assert data == counting(0, 3 * 1024)


def test_requests_go_on_where_the_last_one_ended() -> None:
    _, queue = started()

    first, second = ask(queue, 5), ask(queue, 300, 1)

    assert first + second == counting(0, 306)


def test_buffer_in_pieces_is_filled_in_order() -> None:
    _, queue = started()
    queue.add(3, 1, 10)

    queue.kick()

    assert [used.data for used in queue.collect()] == [counting(0, 14)]


def test_long_request_gets_a_part() -> None:
    slot, queue = started()

    first, second = ask(queue, REQUEST_SIZE_MAX + 1), ask(queue, 1)

    assert (len(first), first + second) == (REQUEST_SIZE_MAX, counting(0, REQUEST_SIZE_MAX + 1))
    assert not slot.asks_for_reset


def test_buffer_that_cannot_be_written_comes_back_empty() -> None:
    slot, queue = started()

    queue.add(b"to read only")
    queue.kick()

    assert [used.written for used in queue.collect()] == [0]
    assert not slot.asks_for_reset
    assert ask(queue, 4) == counting(0, 4)


def test_source_that_gives_less_gives_less() -> None:
    _, queue = started(MeagreRng)

    assert [len(ask(queue, 10)), ask(queue, 10)] == [3, counting(3, 3)]


def test_reset_does_not_begin_the_stream_again() -> None:
    slot, queue = started()
    first = ask(queue, 10)

    slot.device.reset()
    (queue,) = slot.driver.start(sizes=(QUEUE_SIZE,))

    assert first + ask(queue, 10) == counting(0, 20)


def test_loaded_state_goes_on_with_the_stream() -> None:
    device = CountingRng()
    device.state = RngState(given=77)
    (queue,) = Slot(device).driver.start(sizes=(QUEUE_SIZE,))

    assert ask(queue, 5) == counting(77, 5)


# ---- on a board


class BoardRam(Ram):
    """The upper half of a board's RAM, for a driver outside of the guest."""

    def __init__(self, board: Board) -> None:
        half = board.config.ram_size // 2
        super().__init__(half, RAM + half)
        self._board = board

    def peek(self, address: int, size: int) -> bytes:
        return self._board.memory.read(address, size)

    def poke(self, address: int, data: bytes) -> None:
        self._board.memory.write(address, data)


def slot_device(board: Board, slot: int) -> object:
    return next(window.device for window in board.machine.bus.windows if window.base == virtio_base(slot))


def start_driver(board: Board) -> DriverQueue:
    device = slot_device(board, SLOT)
    assert isinstance(device, VirtioMmio)
    (queue,) = Driver(device, BoardRam(board)).start(sizes=(QUEUE_SIZE,))
    return queue


def stream(board: Board, *sizes: int) -> bytes:
    queue = start_driver(board)
    return b"".join(ask(queue, size) for size in sizes)


def hosted(entropy: Callable[[int], bytes], choice: str = "host") -> Board:
    firmware = Firmware("test", 64, RAM, (Segment(RAM, LOOPS, len(LOOPS)),))
    return Board(firmware, BoardConfig(ram_size=1 << 20, entropy=choice), host=HostAnswers(entropy=entropy))


SIZES = ((4096, 904), (1,) * 40 + (4096, 864), (31, 32, 33, 64, 500, 4096, 244), (32,) * 4 + (1000,) * 4 + (872,))
"""Ways to ask for 5000 bytes."""


@pytest.mark.parametrize("sizes", SIZES)
def test_stream_is_the_same_whatever_it_is_asked_in(sizes: tuple[int, ...]) -> None:
    whole = stream(board_of(LOOPS), *SIZES[0])

    assert stream(board_of(LOOPS), *sizes) == whole
    assert len(whole) == sum(sizes) == 5000


def test_each_seed_has_a_stream_of_its_own() -> None:
    streams = [stream(board_of(LOOPS, seed=seed), 4096) for seed in (0, 1, 2, -1, 1 << 70, 0)]

    assert streams[0] == streams[-1]
    assert len(set(streams)) == 5


def test_stream_looks_random() -> None:
    data = stream(board_of(LOOPS), 4096)
    counts = [data.count(value) for value in range(256)]

    assert max(counts) < 40  # 16 are expected
    assert min(counts) > 1


def test_seed_asks_the_host_nothing() -> None:
    def ask_nobody(size: int) -> bytes:
        raise AssertionError("the host is asked")

    board = hosted(ask_nobody, "seed")

    assert stream(board, 64) == stream(board_of(LOOPS), 64)
    assert isinstance(board.machine.door, LiveDoor)
    assert not board.machine.door.has_met_host


def test_host_is_asked_for_as_much_as_the_guest_wants() -> None:
    asked: list[int] = []

    def entropy(size: int) -> bytes:
        asked.append(size)
        return bytes([len(asked)]) * size

    board = hosted(entropy)

    assert stream(board, 3, 5000, 1) == b"\1" * 3 + b"\2" * 4096 + b"\3"
    assert asked == [3, 4096, 1]
    assert isinstance(board.machine.door, LiveDoor)
    assert board.machine.door.has_met_host


@pytest.mark.parametrize(("given", "expected"), [(b"", b""), (b"ab", b"ab"), (b"abcdefgh", b"abcd")])
def test_host_that_answers_with_more_or_less_is_cut_to_size(given: bytes, expected: bytes) -> None:
    assert stream(hosted(lambda size: given), 4) == expected


def test_none_leaves_the_slot_empty() -> None:
    board = board_of(LOOPS, entropy="none")

    assert isinstance(slot_device(board, SLOT), EmptySlot)
    assert "rng0" not in board.machine.parts.guest


def test_unknown_choice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^entropy: expected seed, host, none, got 'dice'$"):
        board_of(LOOPS, entropy="dice")


def test_finished_request_interrupts() -> None:
    board = board_of(LOOPS)

    stream(board, 16)

    assert board.machine.lines["virtio7.irq"].level
    assert board.plic.state.pending >> (IRQ.VIRTIO0 + SLOT) & 1


def test_board_saved_between_two_requests_goes_on_with_the_stream() -> None:
    whole = stream(board_of(LOOPS), 100)
    board, fresh = board_of(LOOPS), board_of(LOOPS)
    first = stream(board, 60)

    fresh.memory.write(RAM, bytes(board.machine.memory.ram))
    fresh.machine.load_state(board.machine.save_state())

    assert fresh.digest() == board.digest()
    assert first + stream(fresh, 40) == whole


def test_bytes_given_are_part_of_the_digest() -> None:
    board, other = board_of(LOOPS), board_of(LOOPS)
    stream(board, 16)
    board.reset()
    other.reset()
    assert board.digest() != other.digest()  # what was given is in RAM, and counted

    board.memory.write(RAM, bytes(other.machine.memory.ram))
    assert board.digest() != other.digest()
