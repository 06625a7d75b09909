"""Contents of RAM, saved and put back: pages are shared between moments, and what is the same is left alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minstret.emu.hart.engine import IO_SIZE
from minstret.emu.hart.memory import GuestMemory
from minstret.emu.hart.shared import PAGE_SIZE
from minstret.emu.pages import PageKeeper

RAM_BASE, PAGES = 0x8000_0000, 200


def power_on(page: int) -> bytes:
    """An image lies in the first two pages."""
    return bytes([page + 1]) * PAGE_SIZE if page < 2 else bytes(PAGE_SIZE)


class CountingMemory(GuestMemory):
    """RAM that counts what is written by ``write``."""

    writes = 0

    def write(self, address: int, data: bytes | memoryview) -> None:
        self.writes += 1
        super().write(address, data)


def memory_at_power_on() -> CountingMemory:
    memory = CountingMemory(RAM_BASE, PAGES * PAGE_SIZE, 0x1000, 0x1000, io_size=IO_SIZE)
    for page in range(2):
        memory.write(RAM_BASE + page * PAGE_SIZE, power_on(page))
    return memory


def fill(memory: GuestMemory, page: int, value: int) -> None:
    memory.write(RAM_BASE + page * PAGE_SIZE, bytes([value]) * PAGE_SIZE)


def test_page_that_nobody_writes_is_kept_once_for_all_moments() -> None:
    memory = memory_at_power_on()
    keeper = PageKeeper(memory, power_on)
    fill(memory, 7, 1)
    one = keeper.save()
    fill(memory, 150, 2)
    other = keeper.save()

    assert one[7] is other[7]
    assert one.chunks[0] is other.chunks[0]
    assert (one[150], other[150]) == (None, b"\2" * PAGE_SIZE)
    assert keeper.save() is other


def test_page_written_with_what_it_had_is_still_the_same_page() -> None:
    memory = memory_at_power_on()
    keeper = PageKeeper(memory, power_on)
    fill(memory, 7, 1)
    one = keeper.save()
    fill(memory, 7, 1)

    assert keeper.save() is one


def test_going_back_writes_the_pages_that_differ_and_no_others() -> None:
    memory = memory_at_power_on()
    keeper = PageKeeper(memory, power_on)
    for page in range(100):
        fill(memory, page, 9)
    saved = keeper.save()
    fill(memory, 3, 1)
    fill(memory, 4, 9)
    memory.writes = 0

    keeper.restore(saved)

    assert memory.writes == 1
    assert bytes(memory.ram[3 * PAGE_SIZE : 4 * PAGE_SIZE]) == b"\x09" * PAGE_SIZE


def test_power_on_is_a_moment_too() -> None:
    memory = memory_at_power_on()
    keeper = PageKeeper(memory, power_on)
    before = bytes(memory.ram)
    for page in (0, 1, 2, 199):
        fill(memory, page, 77)

    keeper.restore(keeper.power_on)

    assert bytes(memory.ram) == before


writes = st.lists(st.tuples(st.integers(0, PAGES - 1), st.integers(0, 2)), max_size=5)


@given(st.lists(st.tuples(writes, st.none() | st.integers(0, 9)), min_size=1, max_size=10))
def test_any_moment_comes_back_whole(steps: list[tuple[list[tuple[int, int]], int | None]]) -> None:
    memory = memory_at_power_on()
    keeper = PageKeeper(memory, power_on)
    moments = [(keeper.save(), bytes(memory.ram))]
    for written, back_to in steps:
        for page, value in written:
            fill(memory, page, value)
        if back_to is None:
            moments.append((keeper.save(), bytes(memory.ram)))
        else:
            saved, content = moments[back_to % len(moments)]
            keeper.restore(saved)
            assert bytes(memory.ram) == content
