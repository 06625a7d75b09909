"""Packing: what is packed comes back, small, and spoilt data is refused."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.written_traces import SHIFT, at, count_rows, end_at, page, ticks, writer_at

from minstret.emu.clock import ClockType
from minstret.emu.errors import TraceError
from minstret.emu.trace.format import (
    BLOB_GAIN_MAX,
    CHUNK_MAX,
    CLOCK_TYPES,
    DECIDED_BY_HOST,
    PAGE_SIZE,
    PART_SIZE_MAX,
)
from minstret.emu.trace.packing import (
    OpenChunk,
    Pass,
    Varints,
    pack_checkpoints,
    pack_parts,
    pack_state,
    page_packer,
    put_varint,
    unpack_checkpoints,
    unpack_page,
    unpack_part,
    unpack_state,
)
from minstret.emu.trace.reader import TraceReader


def test_regular_ticks_take_a_fraction_of_a_byte_each(path: Path) -> None:
    writer = writer_at(path)
    end = ticks(writer, 1000)
    writer.finish(end_at(end), end)

    reader = TraceReader(str(path))

    assert reader.sizes()["checkpoints"] < 50
    assert sum(1 for _ in reader.items()) == 1000
    assert count_rows(path, "checkpoints") == 1


def test_ticks_that_alternate_take_less_than_a_byte_each_too(path: Path) -> None:
    writer, position = writer_at(path), at(0)
    for number in range(2000):
        position = at(position.icount + 500 + number % 2, position.virtual_ns - 2 * position.icount + 999)
        writer.add_checkpoint(position, ClockType.VIRTUAL, 0, 0)
    writer.finish(end_at(position), position)

    assert TraceReader(str(path)).sizes()["checkpoints"] < 2000


@pytest.mark.parametrize("clock", [ClockType.VIRTUAL, ClockType.HOST])
@pytest.mark.parametrize("insns", [0, 127, 128, 1 << 40])
def test_size_of_a_checkpoint_is_told_without_writing_it(path: Path, clock: ClockType, insns: int) -> None:
    writer = writer_at(path)
    writer.add_checkpoint(at(1), ClockType.VIRTUAL, 0, 0)

    size = writer.checkpoint_size(at(1 + insns), clock)

    varint = 1 if insns < 128 else -(-insns.bit_length() // 7)
    assert size == 2 + varint
    assert writer.next_seq == 1
    writer.close()


@given(st.lists(st.integers(0, (1 << 64) - 1)))
def test_numbers_come_back(numbers: list[int]) -> None:
    out = bytearray()
    for number in numbers:
        put_varint(out, number)

    read = Varints(bytes(out))

    assert [read.next() for _ in numbers] == numbers
    assert not read


@pytest.mark.parametrize(("data", "reason"), [
    (b"", "a number without an end"), (b"\x80", "a number without an end"), (b"\xff" * 11, "a number without an end"),
    (b"\xff" * 9 + b"\x02", "a number beyond 64 bits"),
])  # fmt: skip
def test_spoilt_number_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        Varints(data).next()

    assert str(caught.value) == reason


@given(st.lists(st.tuples(
    st.builds(Pass, st.integers(0, 3), st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.integers(0, 1 << 62)),
    st.integers(1, CHUNK_MAX),
), max_size=30))  # fmt: skip
def test_runs_of_checkpoints_come_back(runs: list[tuple[Pass, int]]) -> None:
    told = [(one if CLOCK_TYPES[one.clock] in DECIDED_BY_HOST else one._replace(value=0), n) for one, n in runs]

    assert list(unpack_checkpoints(pack_checkpoints(runs))) == told


def test_copy_of_an_open_chunk_is_another() -> None:
    chunk = OpenChunk()
    chunk.add(at(100), ClockType.VIRTUAL, 0, 1, SHIFT)
    chunk.add(at(300), ClockType.VIRTUAL, 0, 2, SHIFT)
    copy = chunk.copy()

    chunk.add(at(400), ClockType.VIRTUAL, 0, 3, SHIFT)

    assert (copy.count, copy.last, copy.registers) == (2, at(300), 2)
    assert [one.insns for one, _ in unpack_checkpoints(copy.packed())] == [0, 200]
    assert [one.insns for one, _ in unpack_checkpoints(chunk.packed())] == [0, 200, 100]


@pytest.mark.parametrize("data", [b"", b"firmware" * 1000, os.urandom(1000), bytes(PART_SIZE_MAX + 5)])
def test_parts_of_a_file_come_back(data: bytes) -> None:
    sha256 = hashlib.sha256(data).digest()

    rows = list(pack_parts({sha256: data}))

    assert [(row[0], row[1]) for row in rows] == [(sha256, number) for number in range(len(rows))]
    assert b"".join(unpack_part(packed, size) for _, _, size, packed in rows) == data


def test_files_that_compress_too_well_are_stored_as_they_are() -> None:
    files = {bytes((number,)): bytes(PART_SIZE_MAX) for number in range(BLOB_GAIN_MAX // PART_SIZE_MAX + 2)}

    gain = sum(size - len(packed) for _, _, size, packed in pack_parts(files))

    assert BLOB_GAIN_MAX - 2 * PART_SIZE_MAX < gain <= BLOB_GAIN_MAX


def test_part_of_another_size_is_refused() -> None:
    ((_, _, size, packed),) = pack_parts({b"": bytes(1000)})

    for wrong in (size - 1, size + 1):
        with pytest.raises(ValueError, match=r"^a (file in it has another size|compressed part is larger than it may)"):
            unpack_part(packed, wrong)


def test_pages_come_back_from_one_packer() -> None:
    pack, pages = page_packer(), [page(1), os.urandom(PAGE_SIZE), page(1)]

    assert [unpack_page(pack(one)) for one in pages] == pages


def test_state_comes_back_and_a_huge_one_is_refused() -> None:
    state = {"deep": {"list": [1, None, True, "x"]}}
    assert unpack_state(pack_state(state)) == state

    with pytest.raises(TraceError, match=r"^the machine's state takes \d+ bytes, more than a snapshot holds$"):
        pack_state({"huge": "x" * (1 << 22)})
