"""Kept moments: found by icount, dense near the present, bounded in what they take."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from support.guest_boards import setup_of

from minstret.emu.door.live import LiveDoor
from minstret.emu.moments import STATE_BYTES, Moments
from minstret.emu.session import LiveSession, Saved


@pytest.fixture(scope="module")
def saved() -> list[Saved]:
    """A run of an image, saved each 100 instructions."""
    session = LiveSession(lambda door: setup_of("traps").make(door=door))
    assert isinstance(session.door, LiveDoor)
    moments = []
    for icount in range(0, 30_000, 100):
        session.run(icount=icount)
        moments.append(session.save())
    return moments


def icounts(moments: Moments) -> list[int]:
    return [moment.position.icount for moment in moments]


def test_moment_is_found_at_its_icount_and_up_to_the_next(saved: list[Saved]) -> None:
    moments = Moments(1 << 30)
    for moment in random.Random(1).sample(saved[1:], 50):
        moments.add(moment)
    assert icounts(moments) == sorted(icounts(moments))
    first, second = list(moments)[:2]
    assert moments.at_or_before(first.position.icount - 1) is None
    assert moments.at_or_before(first.position.icount) is first
    assert moments.at_or_before(second.position.icount - 1) is first


def test_second_moment_of_an_icount_is_not_kept(saved: list[Saved]) -> None:
    moments = Moments(1 << 30)
    moments.add(saved[3])
    moments.add(saved[3])
    assert len(moments) == 1


def test_pages_that_moments_share_count_once(saved: list[Saved]) -> None:
    moments = Moments(1 << 30)
    for moment in saved[:100]:
        moments.add(moment)
    changed = [b.pages.differing(a.pages) for a, b in pairwise(saved[:100])]
    assert moments.size_bytes == 100 * STATE_BYTES + sum(4096 * len(list(pages)) for pages in changed)


@pytest.mark.parametrize("order", ["forwards", "backwards", "anyhow"])
def test_limit_thins_out_what_is_far_and_keeps_the_first(saved: list[Saved], order: str) -> None:
    limit = 60 * STATE_BYTES
    moments = Moments(limit)
    moments.add(saved[0])
    rest = saved[1:]
    if order == "backwards":
        rest.reverse()
    elif order == "anyhow":
        random.Random(7).shuffle(rest)
    for moment in rest:
        moments.add(moment)
        assert moments.size_bytes <= limit
    kept = icounts(moments)
    assert kept[0] == 0
    assert rest[-1].position.icount in kept
    if order == "forwards":
        gaps = [b - a for a, b in pairwise(kept)]
        assert sum(gaps[: len(gaps) // 2]) > 2 * sum(gaps[len(gaps) // 2 :])
