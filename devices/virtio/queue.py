"""Split virtqueues, from the device's side.

Owns where a queue stands. Everything in guest memory may be wrong or hostile: whatever can't be followed is a
VirtioError, which makes the transport ask for a reset. No chain is followed further than QUEUE_SIZE_MAX, and no round
takes more chains than were there when it began, nor more than ROUND_CHAINS_MAX and ROUND_DESCRIPTORS_MAX allow: a guest
must not keep the host busy for longer than some ms at a time.

Source: VIRTIO 1.2, section 2.7; section 2.7.4 and 4.2.4 for the legacy layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from minstret.devices.virtio.constants import (
    QUEUE_SIZE_MAX,
    ROUND_CHAINS_MAX,
    ROUND_DESCRIPTORS_MAX,
    AvailFlag,
    DescFlag,
)
from minstret.emu.errors import AccessFault
from minstret.emu.part import Dma

_DESC_SIZE = 16
_RING_HEADER_SIZE = 4  # flags, idx
_USED_ELEMENT_SIZE = 8
_U16 = 0xFFFF


class VirtioError(Exception):
    """The driver broke the rules; never leaves the transport."""


@dataclass(slots=True)
class QueueState:
    """Where one queue is and how far it got. Addresses are physical, indices free-running 16-bit counters.

    ``next_avail`` is the first entry of the available ring not taken yet, ``used_idx`` what was published last,
    ``pushed`` how many used entries wait to be published.
    """

    size: int = 0
    is_ready: bool = False
    desc_address: int = 0
    avail_address: int = 0
    used_address: int = 0
    next_avail: int = 0
    used_idx: int = 0
    pushed: int = 0


class Segment(NamedTuple):
    """A piece of guest memory, bytes."""

    address: int
    size: int


class Chain:
    """One buffer of the driver's: what the device may read, then what it may write."""

    def __init__(self, head: int, memory: Dma, readable: list[Segment], writable: list[Segment]) -> None:
        self.head = head
        self._memory = memory
        self._readable, self._writable = readable, writable
        self.readable_size = sum(segment.size for segment in readable)
        self.writable_size = sum(segment.size for segment in writable)

    def read(self, size_max: int) -> bytes:
        """The first ``size_max`` readable bytes, or all where there are fewer.

        Raises:
            VirtioError: they are not in RAM.
        """
        data = bytearray()
        for address, size in self._readable:
            take = min(size, size_max - len(data))
            if take <= 0:
                break
            data += _read(self._memory, address, take)
        return bytes(data)

    def write(self, data: bytes) -> int:
        """Fill the writable part from its start; how many bytes fitted.

        Raises:
            VirtioError: some would have gone outside RAM.
        """
        at = 0
        for address, size in self._writable:
            piece = data[at : at + size]
            if not piece:
                break
            _write(self._memory, address, piece)
            at += len(piece)
        return at


class Virtqueue:
    """One queue, as far as ``state`` says; it keeps nothing itself."""

    def __init__(
        self, memory: Dma, state: QueueState, on_interrupt: Callable[[], None], *,
        has_event_idx: bool, has_indirect: bool,
        on_work: Callable[[int], None] = lambda descriptors: None, on_more: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """Look at the queue in ``memory``.

        Args:
            memory: Where it is.
            state: How far it got.
            on_interrupt: Called when the driver wants to know of used buffers.
            has_event_idx: Whether EVENT_IDX was agreed on.
            has_indirect: Whether INDIRECT_DESC was agreed on.
            on_work: Called with how many descriptors were read for a chain.
            on_more: Called when ``available`` ends with chains left.
        """
        self._memory = memory
        self.state = state
        self._on_interrupt = on_interrupt
        self._on_work, self._on_more = on_work, on_more
        self.descriptors = 0
        """How many descriptors were read."""
        self._has_event_idx = has_event_idx
        self._has_indirect = has_indirect

    # ---- taking buffers

    def waiting(self) -> int:
        """How many chains the driver has made available that were not taken yet."""
        if not self.state.is_ready:
            return 0
        count = (_u16(self._memory, self.state.avail_address + 2) - self.state.next_avail) & _U16
        if count > self.state.size:
            raise VirtioError(f"{count} buffers available in a queue of {self.state.size}")
        return count

    def pop(self) -> Chain | None:
        """The next available chain, or None."""
        return self._take() if self.waiting() else None

    def available(self) -> Iterator[Chain]:
        """The chains available now, one after another, as many as fit into a round."""
        waiting = self.waiting()
        for taken in range(waiting):
            if taken == ROUND_CHAINS_MAX or self.descriptors >= ROUND_DESCRIPTORS_MAX:
                self._on_more()
                return
            yield self._take()

    def unpop(self, count: int = 1) -> None:
        """Give back the last ``count`` chains taken: they are available again."""
        self.state.next_avail = (self.state.next_avail - count) & _U16

    def _take(self) -> Chain:
        state = self.state
        slot = state.next_avail % state.size
        head = _u16(self._memory, state.avail_address + _RING_HEADER_SIZE + 2 * slot)
        state.next_avail = (state.next_avail + 1) & _U16
        before = self.descriptors
        try:
            return self._follow(head)
        finally:
            self._on_work(self.descriptors - before)

    def _follow(self, head: int) -> Chain:
        readable: list[Segment] = []
        writable: list[Segment] = []
        for address, size, flags in self._descriptors(head):
            if size == 0:
                raise VirtioError(f"chain {head}: a descriptor of no bytes")
            if flags & DescFlag.WRITE:
                writable.append(Segment(address, size))
            elif writable:
                raise VirtioError(f"chain {head}: a readable descriptor behind a writable one")
            else:
                readable.append(Segment(address, size))
        return Chain(head, self._memory, readable, writable)

    def _descriptors(self, head: int) -> Iterator[tuple[int, int, int]]:
        """(address, size, flags) along the chain; an indirect table is the last link."""
        table, table_len, index, is_indirect = self.state.desc_address, self.state.size, head, False
        for _ in range(QUEUE_SIZE_MAX + 1):
            if index >= table_len:
                raise VirtioError(f"chain {head}: descriptor {index} in a table of {table_len}")
            raw = _read(self._memory, table + _DESC_SIZE * index, _DESC_SIZE)
            self.descriptors += 1
            address, size = int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:12], "little")
            flags, following = int.from_bytes(raw[12:14], "little"), int.from_bytes(raw[14:], "little")
            if flags & DescFlag.INDIRECT:
                if is_indirect or not self._has_indirect or flags & DescFlag.NEXT:
                    raise VirtioError(f"chain {head}: an indirect table where none may be")
                if size == 0 or size % _DESC_SIZE or size // _DESC_SIZE > QUEUE_SIZE_MAX:
                    raise VirtioError(f"chain {head}: an indirect table of {size} bytes")
                table, table_len, index, is_indirect = address, size // _DESC_SIZE, 0, True
                continue
            yield address, size, flags
            if not flags & DescFlag.NEXT:
                return
            index = following
        raise VirtioError(f"chain {head}: it does not end")

    # ---- giving them back

    def push(self, chain: Chain, written: int) -> None:
        """Put ``chain`` into the used ring, with ``written`` bytes in it; ``flush`` shows it to the driver."""
        state = self.state
        slot = (state.used_idx + state.pushed) % state.size
        element = chain.head.to_bytes(4, "little") + written.to_bytes(4, "little")
        _write(self._memory, state.used_address + _RING_HEADER_SIZE + _USED_ELEMENT_SIZE * slot, element)
        state.pushed += 1

    def flush(self) -> None:
        """Publish what was pushed, and interrupt if the driver wants it."""
        state = self.state
        if self._has_event_idx and state.is_ready:  # kick me for the next one
            avail_event = state.used_address + _RING_HEADER_SIZE + _USED_ELEMENT_SIZE * state.size
            _write(self._memory, avail_event, state.next_avail.to_bytes(2, "little"))
        if not state.pushed:
            return
        added, state.pushed = state.pushed, 0
        state.used_idx = (state.used_idx + added) & _U16
        _write(self._memory, state.used_address + 2, state.used_idx.to_bytes(2, "little"))
        if self._should_interrupt(added):
            self._on_interrupt()

    def _should_interrupt(self, added: int) -> bool:
        """Source: VIRTIO 1.2, section 2.7.7.2 and, for the comparison, 2.7.10 (vring_need_event)."""
        state = self.state
        if not self._has_event_idx:
            return not _u16(self._memory, state.avail_address) & AvailFlag.NO_INTERRUPT
        used_event = _u16(self._memory, state.avail_address + _RING_HEADER_SIZE + 2 * state.size)
        return (state.used_idx - used_event - 1) & _U16 < added


def _u16(memory: Dma, address: int) -> int:
    return int.from_bytes(_read(memory, address, 2), "little")


def _read(memory: Dma, address: int, size: int) -> bytes:
    try:
        return memory.read(address, size)
    except AccessFault:
        raise VirtioError(f"no memory at {address:#x}, {size} bytes") from None


def _write(memory: Dma, address: int, data: bytes) -> None:
    try:
        memory.write(address, data)
    except AccessFault:
        raise VirtioError(f"no RAM at {address:#x}, {len(data)} bytes") from None
