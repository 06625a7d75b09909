"""How data is packed into the rows of a trace, and unpacked again: checkpoints, files, states, pages of RAM.

Each ``unpack`` stands behind its ``pack``. Unpacking raises ValueError where the data is not what packing makes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from minstret.emu.clock import ClockType
from minstret.emu.door.door import Position
from minstret.emu.errors import TraceError
from minstret.emu.trace.format import (
    BLOB_GAIN_MAX,
    CHUNK_MAX,
    CLOCK_TYPES,
    DECIDED_BY_HOST,
    PAGE_SIZE,
    PART_SIZE_MAX,
    Checkpoints,
    Item,
    Kind,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_PAGE_LEVEL, _STATE_LEVEL, _BLOB_LEVEL, _CHECKPOINTS_LEVEL = -1, 1, 1, 9
"""Of zstd. The guest waits while its images and pages are packed: levels that save a few per cent more take longer."""
PACKED_PAGE_MAX = 2 * PAGE_SIZE
_NUMBERED = {clock: (number, clock in DECIDED_BY_HOST) for number, clock in enumerate(CLOCK_TYPES)}
_STATE_SIZE_MAX = 1 << 22
_CHUNK_SIZE_MAX = 1 << 18
_START = Position(0, 0)


def _unpack(data: bytes, size_max: int) -> bytes:
    """Decompress one zstd frame of at most ``size_max`` bytes."""
    decompressor = zstd.ZstdDecompressor()
    try:
        out = decompressor.decompress(data, max_length=size_max + 1)
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from None
    if len(out) > size_max or not decompressor.eof or decompressor.unused_data:
        raise ValueError("a compressed part is larger than it may be, or cut short")
    return out


# ---- numbers


def put_varint(out: bytearray, value: int) -> None:
    """Append ``value`` (0 .. 2**64 - 1): seven bits a byte, the lowest first; bit 7 says that more follow."""
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


class Varints:
    """Reads numbers that ``put_varint`` has written, one after the other. False when all are read."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def next(self) -> int:
        """The next number.

        Raises:
            ValueError: there is none, or one of more than 64 bits.
        """
        value = shift = 0
        while True:
            if self._at >= len(self._data) or shift > 63:
                raise ValueError("a number without an end")
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if value >= 1 << 64:
            raise ValueError("a number beyond 64 bits")
        return value


# ---- checkpoints


class Pass(NamedTuple):
    """A checkpoint as distances from the one before: instructions, and virtual ns beyond those instructions' own.

    ``clock`` is an index of CLOCK_TYPES; ``value`` what that clock showed, 0 where the host does not decide it.
    """

    clock: int
    insns: int
    warp_ns: int
    value: int


def pack_checkpoints(passes: Sequence[tuple[Pass, int]]) -> bytes:
    """Runs of equal passes, each as varints: count * 4 + clock, instructions, warp, value; zstd where that is less.

    Args:
        passes: (pass, how often) in order.
    """
    out = bytearray()
    for one, count in passes:
        put_varint(out, count * len(CLOCK_TYPES) + one.clock)
        put_varint(out, one.insns)
        put_varint(out, one.warp_ns)
        if CLOCK_TYPES[one.clock] in DECIDED_BY_HOST:
            put_varint(out, one.value)
    packed = zstd.compress(bytes(out), _CHECKPOINTS_LEVEL)
    return b"z" + packed if len(packed) < len(out) else b"r" + bytes(out)


def unpack_checkpoints(data: bytes) -> Iterator[tuple[Pass, int]]:
    """(pass, how often) in order.

    Raises:
        ValueError: ``data`` is damaged.
    """
    raw = _unpack(data[1:], _CHUNK_SIZE_MAX) if data[:1] == b"z" else data[1:]
    numbers = Varints(raw)
    while numbers:
        count, clock = divmod(numbers.next(), len(CLOCK_TYPES))
        insns, warp_ns = numbers.next(), numbers.next()
        has_value = CLOCK_TYPES[clock] in DECIDED_BY_HOST
        yield Pass(clock, insns, warp_ns, numbers.next() if has_value else 0), count


@dataclass(slots=True)
class OpenChunk:
    """Checkpoints that will be one row: equal ones that follow each other are counted, not listed."""

    count: int = 0
    """How many there are."""
    start: Position = _START
    """Of the first."""
    last: Position = _START
    """Of the last; when the chunk is new, of the last one before."""
    registers: int = 0
    """Chained register hash with the last."""
    runs: list[tuple[Pass, int]] = field(default_factory=list)
    """(pass, how often), apart from the run that goes on."""
    one: tuple[int, int, int, int] = (0, 0, 0, 0)
    repeats: int = 0
    """The run that goes on: a pass, how often."""

    def copy(self) -> OpenChunk:
        """Another of the same content."""
        return replace(self, runs=list(self.runs))

    def add(self, position: Position, clock: ClockType, value: int, registers: int, shift: int) -> None:
        """Add a checkpoint; see TraceWriter.add_checkpoint."""
        if not self.count:
            self.start = self.last = position
        icount, virtual_ns = position
        last_icount, last_ns = self.last
        insns = icount - last_icount
        number, has_value = _NUMBERED[clock]
        one = (number, insns, virtual_ns - last_ns - (insns << shift), value if has_value else 0)
        if one == self.one:
            self.repeats += 1
        else:
            if self.repeats:
                self.runs.append((Pass(*self.one), self.repeats))
            self.one, self.repeats = one, 1
        self.count += 1
        self.last, self.registers = position, registers

    def packed(self) -> bytes:
        """All of them, see pack_checkpoints."""
        return pack_checkpoints([*self.runs, (Pass(*self.one), self.repeats)])

    def size_of(self, position: Position, clock: ClockType, shift: int) -> int:
        """Bytes that a checkpoint at ``position`` would take, before compression and without its value."""
        out = bytearray()
        insns = position.icount - self.last.icount
        put_varint(out, len(CLOCK_TYPES) + CLOCK_TYPES.index(clock))
        put_varint(out, insns)
        put_varint(out, max(0, position.virtual_ns - self.last.virtual_ns - (insns << shift)))
        return len(out)


class Chunk:
    """A row of checkpoints as it is in a trace: its runs are known, its items are not listed yet."""

    def __init__(self, seq: int, count: int, start: Position, data: bytes, registers: int, shift: int) -> None:
        """Unpack the runs.

        Args:
            seq: Number of the first.
            count: How many they are.
            start: Position of the first.
            data: As packed.
            registers: Chained register hash with the last.
            shift: The icount shift.
        Raises:
            ValueError: it is damaged.
        """
        if not 0 < count <= CHUNK_MAX:
            raise ValueError(f"{count} of them")
        self.seq, self.count, self.start = seq, count, start
        self._registers, self._shift = registers, shift
        self._runs: list[tuple[Pass, int]] = []
        left, insns, warp_ns = count, 0, 0
        for one, repeats in unpack_checkpoints(data):
            if not 0 < repeats <= left:
                raise ValueError("a run of an impossible length")
            self._runs.append((one, repeats))
            left -= repeats
            insns += one.insns * repeats
            warp_ns += one.warp_ns * repeats
        if left:
            raise ValueError(f"{count - left} where {count} are announced")
        self.last = Position(start.icount + insns, start.virtual_ns + (insns << shift) + warp_ns)

    def items(self, first_seq: int = 0) -> list[Item]:
        """Each by itself, from number ``first_seq`` on; there is at least one."""
        icount, virtual_ns = self.start
        items, seq = [], self.seq
        for one, repeats in self._runs:
            clock = CLOCK_TYPES[one.clock].value
            value = one.value.to_bytes(8, "little") if one.value else b""
            insns, step_ns = one.insns, (one.insns << self._shift) + one.warp_ns
            for _ in range(repeats):
                icount += insns
                virtual_ns += step_ns
                if seq >= first_seq:
                    items.append(Item(seq, Kind.CHECKPOINT, Position(icount, virtual_ns), clock, value, None))
                seq += 1
        items[-1] = items[-1]._replace(registers=self._registers)
        return items

    def counted(self) -> Checkpoints:
        """All of them as one."""
        one = self._runs[0][0]
        insns, step_ns = one.insns, (one.insns << self._shift) + one.warp_ns
        position = Position(self.start.icount + insns, self.start.virtual_ns + step_ns)
        value = one.value.to_bytes(8, "little") if one.value else b""
        registers = self._registers if self.count == 1 else None
        first = Item(self.seq, Kind.CHECKPOINT, position, CLOCK_TYPES[one.clock].value, value, registers)
        clocks = frozenset(CLOCK_TYPES[each.clock].value for each, _ in self._runs)
        return Checkpoints(first, self.last, self.count, clocks)


# ---- files


def pack_parts(blobs: Mapping[bytes, bytes]) -> Iterator[tuple[bytes, int, int, bytes]]:
    """The rows of files by SHA-256: hash, number of the part, its size, data.

    Each part is compressed, unless that saves nothing, or BLOB_GAIN_MAX is used up.
    """
    gain = 0
    for sha256, data in blobs.items():
        for number, at in enumerate(range(0, len(data), PART_SIZE_MAX)):
            part = data[at : at + PART_SIZE_MAX]
            packed = zstd.compress(part, _BLOB_LEVEL) if gain < BLOB_GAIN_MAX - PART_SIZE_MAX else part
            if len(packed) >= len(part):
                packed = part
            gain += len(part) - len(packed)
            yield sha256, number, len(part), packed


def unpack_part(data: bytes, size: int) -> bytes:
    """A part of a file, of ``size`` bytes.

    Raises:
        ValueError: ``data`` is damaged.
    """
    part = data if len(data) == size else _unpack(data, size)
    if len(part) != size:
        raise ValueError("a file in it has another size")
    return part


# ---- snapshots


def pack_state(state: dict[str, Any]) -> bytes:
    """A machine's state.

    Raises:
        TraceError: it is larger than a snapshot may hold.
    """
    text = json.dumps(state, sort_keys=True, separators=(",", ":")).encode()
    if len(text) > _STATE_SIZE_MAX:
        raise TraceError(f"the machine's state takes {len(text)} bytes, more than a snapshot holds")
    return zstd.compress(text, _STATE_LEVEL)


def unpack_state(data: bytes) -> Any:
    """The JSON value that ``data`` holds: of a good trace, a dict.

    Raises:
        ValueError, RecursionError: ``data`` is damaged.
    """
    return json.loads(_unpack(data, _STATE_SIZE_MAX))


def page_packer() -> Callable[[bytes | memoryview], bytes]:
    """A function that packs pages of RAM, one after the other; cheaper than to start anew for each."""
    compressor = zstd.ZstdCompressor(_PAGE_LEVEL)
    return lambda page: compressor.compress(page, zstd.ZstdCompressor.FLUSH_FRAME)


def unpack_page(data: bytes) -> bytes:
    """A page of RAM, of PAGE_SIZE bytes or less.

    Raises:
        ValueError: ``data`` is damaged.
    """
    return _unpack(data, PAGE_SIZE)
