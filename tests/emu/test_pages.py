"""RAM at many moments: what is put back is what was saved, in any order, and only what differs is written."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from minstret.emu.hart.memory import GuestMemory
from minstret.emu.hart.shared import PAGE_SIZE
from minstret.emu.pages import PageKeeper, SavedPages

BASE, PAGES = 0x8000_0000, 200
RAM_SIZE = PAGES * PAGE_SIZE
FIRMWARE_PAGE = 2
"""This page is not zero at power-on."""


def at_power_on(page: int) -> bytes:
    return (b"\x77" if page == FIRMWARE_PAGE else b"\0") * PAGE_SIZE


def memory_with_firmware() -> GuestMemory:
    memory = GuestMemory(BASE, RAM_SIZE, 0x1000, PAGE_SIZE, io_size=1 << 16)
    memory.write(BASE + FIRMWARE_PAGE * PAGE_SIZE, at_power_on(FIRMWARE_PAGE))
    return memory


def kept(memory: GuestMemory) -> PageKeeper:
    return PageKeeper(memory, at_power_on)


def fill(memory: GuestMemory, page: int, byte: int) -> None:
    memory.write(BASE + page * PAGE_SIZE, bytes((byte,)) * PAGE_SIZE)


WRITE = st.tuples(
    st.just("write"), st.integers(0, RAM_SIZE - 3 * PAGE_SIZE), st.integers(1, 3 * PAGE_SIZE), st.integers(0, 3)
)
STEP = st.one_of(WRITE, st.tuples(st.just("save")), st.tuples(st.just("restore"), st.integers(0, 100)))


@settings(max_examples=150, deadline=None, print_blob=True)
@given(st.lists(STEP, max_size=25))
def test_any_saved_moment_comes_back_byte_for_byte(steps: list[tuple[object, ...]]) -> None:
    memory = memory_with_firmware()
    keeper = kept(memory)
    moments: list[tuple[SavedPages, bytes]] = [(keeper.power_on, bytes(memory.ram))]
    for kind, *values in steps:
        if kind == "write":
            offset, size, byte = (int(str(value)) for value in values)
            memory.write(BASE + offset, bytes((byte,)) * size)
        elif kind == "save":
            moments.append((keeper.save(), bytes(memory.ram)))
        else:
            saved, ram = moments[int(str(values[0])) % len(moments)]
            keeper.restore(saved)
            assert bytes(memory.ram) == ram
    for saved, ram in moments:
        keeper.restore(saved)
        assert bytes(memory.ram) == ram


def test_only_pages_that_differ_are_written() -> None:
    memory = memory_with_firmware()
    keeper = kept(memory)
    fill(memory, 5, 1)
    fill(memory, 150, 1)
    first = keeper.save()
    fill(memory, 150, 2)
    fill(memory, 7, 0)  # as it was already
    keeper.save()
    written = memory.dirty_pages()

    keeper.restore(first)
    assert written.take() == [150]
    keeper.restore(first)
    assert written.take() == []
    keeper.restore(keeper.power_on)
    assert written.take() == [5, 150]


def test_moments_share_pages_that_nobody_wrote() -> None:
    memory = memory_with_firmware()
    keeper = kept(memory)
    fill(memory, 5, 1)
    first = keeper.save()
    fill(memory, 150, 1)
    second = keeper.save()

    assert first[5] is second[5]
    assert list(first.differing(second)) == [150]
    assert keeper.save() is second
