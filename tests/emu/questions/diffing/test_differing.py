"""Which bytes differ between two memories: found once, and kept up to date by what is written."""

from __future__ import annotations

import random

from minstret.emu.hart.memory import GuestMemory
from minstret.emu.hart.shared import PAGE_SIZE
from minstret.emu.questions.diffing.differing import DifferingBytes, Range

BASE, SIZE = 0x8000_0000, 6 * PAGE_SIZE


def memories(*, other_size: int = SIZE) -> tuple[GuestMemory, GuestMemory]:
    one, other = (GuestMemory(BASE, size, 0x1000, PAGE_SIZE, io_size=PAGE_SIZE) for size in (SIZE, other_size))
    return one, other


def plain_ranges(one: GuestMemory, other: GuestMemory) -> list[Range]:
    """The same, byte by byte."""
    found: list[Range] = []
    for at, (a, b) in enumerate(zip(one.ram, other.ram, strict=False), start=BASE):
        if a == b:
            continue
        if found and sum(found[-1]) == at:
            found[-1] = Range(found[-1].address, found[-1].size + 1)
        else:
            found.append(Range(at, 1))
    return found


def test_ranges_go_across_pages() -> None:
    one, other = memories()
    one.write(BASE + PAGE_SIZE - 2, b"\1\2\3")
    other.write(BASE + 5, b"\7")
    assert DifferingBytes(one, other).ranges() == [Range(BASE + 5, 1), Range(BASE + PAGE_SIZE - 2, 3)]


def test_update_tells_whether_more_differs_and_follows_what_is_written() -> None:
    pick = random.Random("differing bytes")
    one, other = memories()
    differing = DifferingBytes(one, other)
    for _ in range(100):
        before = bytes(a ^ b for a, b in zip(one.ram[:SIZE], other.ram[:SIZE], strict=True))
        for memory in pick.choice(((one,), (other,), (one, other))):
            memory.write(BASE + pick.randrange(3 * PAGE_SIZE - 8), pick.randbytes(pick.randint(1, 8)))
        after = bytes(a ^ b for a, b in zip(one.ram[:SIZE], other.ram[:SIZE], strict=True))
        assert differing.update() == any(now not in (0, was) for was, now in zip(before, after, strict=True))
        assert differing.ranges() == plain_ranges(one, other)


def test_what_only_one_of_them_has_is_not_compared() -> None:
    one, other = memories(other_size=SIZE // 2)
    one.write(BASE + SIZE // 2, b"\1")
    differing = DifferingBytes(one, other)
    one.write(BASE + SIZE - 1, b"\1")
    assert not differing.update()
    assert differing.ranges() == []


def test_restore_takes_back_what_differed() -> None:
    one, other = memories()
    one.write(BASE, b"\1")
    differing = DifferingBytes(one, other)
    saved = differing.save()
    one.write(BASE, b"\0")
    assert not differing.update()
    one.write(BASE, b"\1")
    differing.restore(saved)
    assert differing.ranges() == [Range(BASE, 1)]
    assert not differing.update()
