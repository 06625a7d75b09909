"""Piped text: a guest gets all of it, at positions that follow from the guest alone, whatever its driver does.

The number of cases and the seed are printed; MINSTRET_SEED repeats a run of the slow suite, MINSTRET_TIMES=10 makes it
ten times as many.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from support.guest_boards import load
from support.random_cases import SEED_FAST, SEED_SLOW, TIMES
from support.recordings import Recorded, assert_replays, cut, record, setup_of_code, typed
from support.serial_drivers import STOP, TEXT_MAX, Driver, draw_driver, received

from minstret.devices.board.board import Setup
from minstret.devices.board.console import CONSOLE_TARGET
from minstret.emu.door.door import Event
from minstret.emu.door.live import LiveDoor
from minstret.emu.hart.shared import Counting
from minstret.emu.machine import Outcome, StopReason

CASES_FAST, CASES_SLOW = 25, 75 * TIMES
PASSED = Outcome(StopReason.FINISHED, 0)
INSNS_MAX = 6_000_000
SHIFT_OF_CHAOS = 10
"""A delay of 20 ms is 20,000 instructions: a guest that polls gets through it."""
PYTHON_INSNS_MAX = 300_000
FAST_COUNTINGS = Counting.CODE, Counting.BLOCKS, Counting.INSTRUCTIONS
SLICES = (31, 997, 12_345, None)


class Pipe:
    """A host that has piped ``text``, and gives it in pieces when asked."""

    def __init__(self, text: bytes, piece: int = 4096) -> None:
        self._text, self._piece = text, piece
        self.is_open = True

    def poll(self, wants_input: bool) -> list[Event]:
        if not wants_input or not self.is_open:
            return []
        piece, self._text = self._text[: self._piece], self._text[self._piece :]
        self.is_open = bool(piece)
        return [typed(piece)] if piece else []

    def wait(self, timeout_ns: int | None) -> int:
        assert timeout_ns is not None, "the guest waits for more than there is"
        return timeout_ns


def draw_case(seed: str, is_polling: bool | None = None) -> tuple[Driver, bytes]:
    pick = random.Random(seed)
    letters = [byte for byte in range(256) if byte != STOP[0]]
    text = bytes(pick.choices(letters, k=pick.randrange(TEXT_MAX)))
    for _ in range(pick.choice((0, 0, 1, 3))):
        at = pick.randint(0, len(text))
        text = text[:at] + pick.choice((b"\r", b"\n", b"\r\n")) + text[at:]
    text += STOP
    return draw_driver(pick, text, is_polling), text


def run(setup: Setup, text: bytes, piece: int = 4096) -> tuple[object, ...]:
    board = setup.make(door=LiveDoor(Pipe(text, piece)))
    outcome = board.run_until(icount=INSNS_MAX)
    return outcome, received(board.machine.memory.ram, len(text)), board.position, board.digest()


def run_in_pieces(setup: Setup, text: bytes, cuts: list[int], pick: random.Random) -> tuple[object, ...]:
    """As ``run``, but the state is saved at ``cuts``, icounts, and put back: into a new board, or the same one."""
    pipe = Pipe(text, pick.choice((1, 7, 4096)))
    board = setup.make(door=LiveDoor(pipe))
    for at in cuts:
        assert board.run_until(icount=at).reason is StopReason.REACHED
        if pick.random() < 0.5:
            cut(board)
        else:
            state, ram = board.machine.save_state(), bytes(board.machine.memory.ram)
            board = setup.make(door=LiveDoor(pipe))
            load(board.machine, state, ram)
    outcome = board.run_until(icount=INSNS_MAX)
    return outcome, received(board.machine.memory.ram, len(text)), board.position, board.digest()


def entered(recorded: Recorded) -> list[tuple[int, bytes]]:
    """When each character came in, virtual ns, and which."""
    return [(item.position.virtual_ns, item.data) for item in recorded.items() if item.name == CONSOLE_TARGET]


def check(seed: str, folder: Path) -> None:
    """One driver: all of the text, the same run each way, and a replay of it."""
    pick = random.Random(f"{seed}/ways")
    driver, text = draw_case(seed)
    chaos = pick.choice((None, pick.randrange(1 << 16)))
    shift = pick.choice((0, 1, 1, 3, 10)) if chaos is None else SHIFT_OF_CHAOS
    config = {"chaos_seed": chaos, "icount_shift": shift}
    whole = run(setup_of_code(driver.code, **config), text)
    assert whole[:2] == (PASSED, text), driver.description

    counting = pick.choice(list(Counting) if whole[2].icount < PYTHON_INSNS_MAX else FAST_COUNTINGS)
    other = setup_of_code(driver.code, **config, slice_insns_max=pick.choice(SLICES), counting=counting)
    assert run(other, text, pick.choice((1, 7, 4096))) == whole, driver.description

    end = whole[2].icount  # type: ignore[attr-defined]
    setup, cuts = setup_of_code(driver.code, **config), sorted(pick.sample(range(1, end), 4))
    assert run_in_pieces(setup, text, cuts, pick) == whole, (driver.description, cuts)

    every = pick.choice((0, end // 3, end // 17))
    recorded = record(folder / "run.mst", setup_of_code(driver.code, **config), source=Pipe(text), every=every)
    assert (recorded.end.position, recorded.end.digest) == whole[2:], driver.description
    assert_replays(recorded, slice_insns_max=pick.choice(SLICES[1:]))
    for number in recorded.snapshots()[:: pick.choice((1, -1))][:1]:
        assert_replays(recorded, snapshot=number)


def check_cases(number: int, base: int, folder: Path, announce: Callable[[str], None]) -> None:
    announce(f"{number} drivers, seed {base}")
    for case in range(number):
        seed = f"{base}/{case}"
        try:
            check(seed, folder)
        except BaseException as error:
            error.add_note(f"the driver with seed {seed!r}: {draw_case(seed)[0].description}")
            raise


def test_every_driver_gets_the_whole_text(tmp_path: Path, announce: Callable[[str], None]) -> None:
    check_cases(CASES_FAST, SEED_FAST, tmp_path, announce)


@pytest.mark.slow
def test_many_drivers_get_the_whole_text(tmp_path: Path, announce: Callable[[str], None]) -> None:
    check_cases(CASES_SLOW, SEED_SLOW, tmp_path, announce)


@pytest.mark.parametrize("case", range(4))
def test_chaos_moves_every_character(case: int, tmp_path: Path) -> None:
    """No two seeds let any one of them in at the same time; each seed is the same run again."""
    driver, text = draw_case(f"chaos/{case}", is_polling=False)
    times = []
    for number, seed in enumerate((None, 1, 2, 2)):
        setup = setup_of_code(driver.code, chaos_seed=seed)
        recorded = record(tmp_path / f"{number}.mst", setup, source=Pipe(text))
        assert recorded.end.outcome == PASSED
        times.append([when_ns for when_ns, _ in entered(recorded)])
        assert_replays(recorded)

    assert times[2] == times[3]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not any(a == b for a, b in zip(times[one], times[other], strict=False))
