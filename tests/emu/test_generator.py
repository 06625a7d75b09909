"""Random numbers that go back with the run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from minstret.emu.generator import Generator, GeneratorState

DRAWS: dict[str, Callable[[Generator], object]] = {
    "bits": lambda generator: generator.getrandbits(7),
    "many bits": lambda generator: generator.getrandbits(1000),
    "no bits": lambda generator: generator.getrandbits(0),
    "bytes": lambda generator: generator.randbytes(33),
    "a number": lambda generator: generator.random(),
    "a range": lambda generator: generator.randrange(1000),
    "a choice": lambda generator: generator.choice("abcdef"),
    "a sample": lambda generator: generator.sample(range(50), 5),
    "gauss": lambda generator: generator.gauss(0, 1),
}


@pytest.mark.parametrize("what", DRAWS)
def test_numbers_come_again_after_the_state_was_put_back(what: str) -> None:
    generator = Generator("7/gpio0")
    generator.gauss()
    before = generator.state.drawn
    first = [DRAWS[what](generator) for _ in range(5)]
    generator.state = GeneratorState(before)

    assert [DRAWS[what](generator) for _ in range(5)] == first


def test_each_seed_has_numbers_of_its_own() -> None:
    assert Generator("a").randbytes(8) == Generator("a").randbytes(8) != Generator("b").randbytes(8)


def test_numbers_are_spread_evenly() -> None:
    generator = Generator("7")
    draws = [generator.randrange(8) for _ in range(8000)]

    assert all(900 < draws.count(value) < 1100 for value in range(8))
    assert 0.49 < sum(generator.random() for _ in range(10_000)) / 10_000 < 0.51
