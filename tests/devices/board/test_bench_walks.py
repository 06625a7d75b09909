"""Random tests of firmware: what they see on a board, in a recording and in its replay is the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from support.guest_boards import setup_of
from support.random_cases import SEED_FAST, SEED_SLOW, TIMES

from minstret.devices.board.bench import Bench
from minstret.devices.board.board import Setup
from minstret.devices.board.traced import Recording, Replay
from minstret.devices.hostside.side import NetConfig
from minstret.emu.errors import ConfigError, ExpectationError
from minstret.emu.hart.shared import Counting

CASES_FAST, CASES_SLOW = 4, 12 * TIMES
FRAME = b"\xff" * 6 + bytes(6) + b"\x88\xb5" + bytes(46)


@dataclass(frozen=True)
class Subject:
    """A guest, and what a test of it may say, wait for and look at."""

    setup: Setup
    texts: tuple[str, ...]
    patterns: tuple[str, ...]
    functions: tuple[str, ...]
    variables: tuple[str, ...]
    times: tuple[str, ...] = ("3us", "100us", "1ms", "37ms", "0")


BUSY = ("3us", "20us", "100us", "0")
"""Times for a guest that never waits: the Python twins need seconds for a millisecond of it."""

SUBJECTS = {
    "thermostat": Subject(
        setup_of("thermostat"), ("get target\r", "set target 250\r", "x" * 40 + "\r", "log\r", "\r", "halt\r"),
        (r"> $", r"target = (\d+)", r"\d+", ".*\\n", "x+", "boiling"), ("main", "room_tick", "console_line"),
        ("ticks", "cfg.target", "room.is_heating", "line"),
    ),
    "echo": Subject(
        setup_of("echo"), ("hello", "12", ".", "a" * 70), ("[A-Z]+", r"\d+ bytes", r"\d+", ".+\\n"), ("main",),
        ("bytes_echoed", "overruns"),
    ),
    "keys": Subject(
        replace(setup_of("keys"), script=()), ("nobody reads this",), (r"KEY (\d+) \w+", r"\d+", "esc"), ("main",), (),
    ),
    "dhcp": Subject(
        setup_of("dhcp", net=NetConfig(user=None)), ("z",), (r"\d+", "[a-z]+", ".+\\n"), ("main",), (), BUSY,
    ),
    "smp": Subject(setup_of("smp", smp=2, quantum=1000), ("z",), (r"\d+", ".+\\n", "hart"), ("main",), (), BUSY),
}  # fmt: skip
INSNS_MAX = 30_000


def drawn_test(subject: Subject, seed: str) -> Callable[[Bench], list[Any]]:
    """A test that is drawn from ``seed``: it does the same on each bench, and tells what it has seen."""

    def act(dut: Bench, pick: random.Random) -> Any:
        board, what = dut._board, pick.choice(("send", "send", "expect", "expect", "for", "until", "until", "look"))
        time, text, pattern = pick.choice(subject.times), pick.choice(subject.texts), pick.choice(subject.patterns)
        if what == "send":
            return dut.send(text)
        if what == "expect":
            return dut.expect(pattern, within=time)[0]
        if what == "for":
            return dut.run_for(time).met
        if what == "until":
            conditions = {
                "pc": pick.choice(subject.functions), "uart": pick.choice("a1\n"), "within": time,
                **({"write": pick.choice(subject.variables)} if subject.variables else {}),
            }  # fmt: skip
            chosen = {name: conditions[name] for name in sorted(conditions) if pick.random() < 0.4}
            outcome = dut.run_until(icount=board.position.icount + pick.randrange(INSNS_MAX), **chosen)
            return outcome.reason, outcome.met, [(hit.pc, hit.new) for hit in outcome.hits]
        if subject.variables and pick.random() < 0.7:
            name = pick.choice(subject.variables)
            value = dut.read(name)
            if isinstance(value, int):
                dut.write(name, value ^ 1)
            return value, dut.read(name)
        return dut.press("a") if board.config.inputs else board.net.send(FRAME)

    def test(dut: Bench) -> list[Any]:
        pick, seen = random.Random(seed), list[Any]()
        dut.run_for("1us")
        digests = pick.random() < 0.5
        for _ in range(pick.randrange(3, 14)):
            mine = random.Random(pick.random())
            try:
                seen.append(act(dut, mine))
            except (ExpectationError, ConfigError) as error:
                seen.append((type(error), getattr(error, "pc", 0)))
            seen += [dut._board.position, bytes(dut._board.console), dut._board.digest() if digests else None]
        return seen

    return test


def check(subject: Subject, seed: str, folder: Path) -> None:
    pick = random.Random(seed)
    test, chaos = drawn_test(subject, seed), pick.choice((None, None, 1, 5))
    setup = replace(subject.setup, config=replace(subject.setup.config, chaos_seed=chaos))
    cut = {"slice_insns_max": pick.choice((7, 1000, None)), "counting": pick.choice(list(Counting))}
    seen = test(setup.make())
    assert test(replace(setup, config=replace(setup.config, **cut)).make()) == seen
    path = folder / "run.mst"
    path.unlink(missing_ok=True)
    with Recording(path, setup) as recording:
        assert test(recording) == seen
    replay = Replay(path, **cut)
    assert test(replay) == seen
    straight = Replay(path)
    straight.run()
    assert recording.end is not None and straight.board.digest() == recording.end.digest


def check_many(name: str, count: int, base: int, folder: Path, announce: Callable[[str], None]) -> None:
    for number in range(count):
        seed = f"{base}/{name}/{number}"
        try:
            check(SUBJECTS[name], seed, folder)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
    announce(f"{count} random tests of {name}, seed {base}")


@pytest.mark.parametrize("name", SUBJECTS)
def test_random_test_sees_the_same_on_a_board_in_a_recording_and_in_its_replay(
    name: str, tmp_path: Path, announce: Callable[[str], None]
) -> None:
    check_many(name, CASES_FAST, SEED_FAST, tmp_path, announce)


@pytest.mark.slow
@pytest.mark.parametrize("name", SUBJECTS)
def test_many_random_tests_see_the_same_on_a_board_in_a_recording_and_in_its_replay(
    name: str, tmp_path: Path, announce: Callable[[str], None]
) -> None:
    check_many(name, CASES_SLOW, SEED_SLOW, tmp_path, announce)
