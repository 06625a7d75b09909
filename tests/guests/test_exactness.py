"""What no change may break: whole guests, cut and restored anywhere, are always the same run."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from support.guest_boards import RAM_SIZE, restored, run_cut, setup_of, summary
from support.harts import Typist
from support.host_load import busy_machine
from support.needs import Need
from support.random_cases import SEED_SLOW

from minstret.devices.board.board import Board, Setup
from minstret.devices.board.config import BoardConfig
from minstret.devices.board.placement import PACKAGED
from minstret.emu.door.live import LiveDoor
from minstret.emu.hart.shared import Counting
from minstret.emu.images.loader import read_image
from minstret.emu.machine import StopReason
from minstret.firmware import image_path

SHORT = ("hello", "ticks", "clocks", "crash", "rtc")
SLICES = (1, 7, 1000, None)
WIDTHS = (64, 32)
WITH_OUTSIDE = {"dhcp": 120_000, "dhcp-wfi": None, "tftp": None, "keys": None}
"""Images with input from the host side, and how far a short test runs them: past the first lease."""
ANSWERED = 70_000
"""An icount at which the guests that sleep have got their first lease."""
WINDOWS, WINDOW_SLICES = 5, 500
"""A run of many slices is cut into them within so many windows, at other places each time: see ``run_in_slices``."""


def make_board(image: str, xlen: int, *, slice_insns: int | None = None, counting: str = "code") -> Board:
    return setup_of(image, xlen, counting, slice_insns_max=slice_insns).make()


@cache
def reference(image: str, xlen: int, icount: int | None) -> tuple[object, ...]:
    """The run without any cut, with the default callbacks."""
    board = make_board(image, xlen)
    return summary(board, board.run_until(icount=icount))


def stretches_of(total: int, slice_insns: int | None, what: str) -> list[tuple[bool, int | None]]:
    """Of a run of so many instructions: whether one is cut into slices, and where it ends; None for the run's end."""
    if slice_insns is None or total // slice_insns <= WINDOWS * WINDOW_SLICES:
        return [(True, None)]
    print(f"windows of seed {SEED_SLOW}")
    size, stretches = WINDOW_SLICES * slice_insns, list[tuple[bool, int | None]]()
    for begin in [0, *sorted(random.Random(f"{SEED_SLOW}/{what}").sample(range(size, total - size), WINDOWS - 1))]:
        stretches += [(False, begin), (True, begin + size)]
    return [*stretches, (False, None)]


def run_cut_into(sliced: Setup, stretches: list[tuple[bool, int | None]], icount: int | None) -> tuple[object, ...]:
    """The run up to ``icount`` on ``sliced``, and in stretches that are not, by blocks and in one slice."""
    whole = replace(sliced, config=replace(sliced.config, counting=Counting.CODE, slice_insns_max=None))
    board, console, outcome = sliced.make(), b"", None
    for is_sliced, end in stretches:
        if end is None or end > board.position.icount:
            console += bytes(board.console)
            board = restored(board, sliced if is_sliced else whole)
            outcome = board.run_until(icount=icount if end is None else end)
    return outcome, board.position, board.digest(), console + bytes(board.console)


def run_in_slices(
    image: str, xlen: int, slice_insns: int | None, counting: str, icount: int | None = None
) -> tuple[object, ...]:
    """The run of an image up to ``icount``, with this way of counting and in slices of this size.

    Where these would be very many, windows of the run alone are made so.
    """
    total = reference(image, xlen, icount)[1].icount  # type: ignore[attr-defined]
    setup = setup_of(image, xlen, counting, slice_insns_max=slice_insns)
    return run_cut_into(setup, stretches_of(total, slice_insns, f"{image}/{xlen}/{slice_insns}/{counting}"), icount)


@pytest.mark.parametrize("xlen", WIDTHS)
@pytest.mark.parametrize("slice_insns", SLICES)
@pytest.mark.parametrize("image", SHORT)
def test_slices_of_any_size_make_the_same_run(image: str, xlen: int, slice_insns: int | None, counting: str) -> None:
    assert run_in_slices(image, xlen, slice_insns, counting) == reference(image, xlen, None)


@pytest.mark.parametrize("slice_insns", SLICES)
@pytest.mark.parametrize("xlen", WIDTHS)
@pytest.mark.parametrize("image", ["traps", "paging"])
def test_slices_of_any_size_make_the_same_checks(image: str, xlen: int, slice_insns: int | None, counting: str) -> None:
    assert run_in_slices(image, xlen, slice_insns, counting) == reference(image, xlen, None)
    assert reference(image, xlen, None)[0].exit_code == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("slice_insns", [997, 1000, None])
@pytest.mark.parametrize("xlen", WIDTHS)
def test_slices_of_any_size_make_the_same_schedule(xlen: int, slice_insns: int | None, counting: str) -> None:
    assert run_in_slices("rtos", xlen, slice_insns, counting) == reference("rtos", xlen, None)


@pytest.mark.slow
@pytest.mark.parametrize("slice_insns", [1, 7])
@pytest.mark.parametrize("xlen", WIDTHS)
def test_smallest_slices_make_the_same_schedule(xlen: int, slice_insns: int, counting: str) -> None:
    assert run_in_slices("rtos", xlen, slice_insns, counting) == reference("rtos", xlen, None)


@pytest.mark.parametrize("slice_insns", [7, 1000, None])
def test_slices_of_any_size_make_the_same_checks_under_opensbi(slice_insns: int | None, need: Need) -> None:
    opensbi = Path(PACKAGED["opensbi"][64])
    need("fw_dynamic.bin (package opensbi)", opensbi.exists())

    setup = Setup(BoardConfig(ram_size=8 << 20), read_image(opensbi), kernel=read_image(image_path("paging-s")))
    board = setup.make()
    expected = summary(board, board.run())
    assert b"178 checks, all ok" in board.console
    sliced = replace(setup, config=replace(setup.config, slice_insns_max=slice_insns))
    stretches = stretches_of(board.position.icount, slice_insns, "opensbi")
    assert run_cut_into(sliced, stretches, None) == expected


@pytest.mark.parametrize("xlen", WIDTHS)
def test_slices_of_any_size_make_the_same_work(xlen: int) -> None:
    runs = []
    for slice_insns in (997, 1000, None):
        board = make_board("bench", xlen, slice_insns=slice_insns)
        runs.append(summary(board, board.run_until(icount=3_000_000)))
    assert runs[0] == runs[1] == runs[2]


@pytest.mark.parametrize("slice_insns", [7, 1000, None])
@pytest.mark.parametrize("xlen", WIDTHS)
@pytest.mark.parametrize("image", WITH_OUTSIDE)
def test_slices_of_any_size_hear_the_same_from_outside(
    image: str, xlen: int, slice_insns: int | None, counting: str
) -> None:
    end = WITH_OUTSIDE[image]
    assert run_in_slices(image, xlen, slice_insns, counting, end) == reference(image, xlen, end)


@pytest.mark.parametrize(
    ("image", "xlen", "end"), [("dhcp-wfi", 64, ANSWERED), ("tftp", 32, ANSWERED), ("keys", 64, None)]
)
def test_slices_of_one_instruction_hear_the_same_from_outside(image: str, xlen: int, end: int | None) -> None:
    assert run_in_slices(image, xlen, 1, "code", end) == reference(image, xlen, end)


@pytest.mark.slow
@pytest.mark.parametrize("slice_insns", [1, 7])
@pytest.mark.parametrize("xlen", WIDTHS)
@pytest.mark.parametrize("image", WITH_OUTSIDE)
def test_smallest_slices_hear_the_same_from_outside(image: str, xlen: int, slice_insns: int, counting: str) -> None:
    assert run_in_slices(image, xlen, slice_insns, counting) == reference(image, xlen, None)


@pytest.mark.slow
@pytest.mark.parametrize("slice_insns", [1, 7, 1000])
def test_slices_of_one_instruction_make_the_same_work(slice_insns: int, counting: str) -> None:
    assert run_in_slices("bench", 64, slice_insns, counting, 1_000_000) == reference("bench", 64, 1_000_000)


@pytest.mark.parametrize("xlen", WIDTHS)
@pytest.mark.parametrize("image", ["ticks", "traps", "rtc", "paging", "rtos", *WITH_OUTSIDE])
def test_run_saved_and_restored_anywhere_goes_on_the_same(image: str, xlen: int) -> None:
    expected = reference(image, xlen, None)
    total = expected[1].icount  # type: ignore[attr-defined]
    seed = 20181001
    cuts = random.Random(seed).sample(range(1, total), 12)
    assert run_cut(setup_of(image, xlen), cuts) == expected, f"seed {seed}"


def test_run_saved_and_restored_while_it_waits_goes_on_the_same() -> None:
    expected = reference("ticks", 64, None)
    board, console, waits = make_board("ticks", 64), b"", 0
    for virtual_ns in range(500_000, 20_000_000, 3_333_333):  # ticks come each millisecond
        board.run_until(virtual_ns=virtual_ns)
        waits += board.hart.waiting
        console += bytes(board.console)
        board = restored(board, setup_of("ticks"))
    assert waits >= 3
    assert summary(board, board.run())[:3] == expected[:3]


def test_digest_tells_runs_apart() -> None:
    digests = {make_board("ticks", 64).digest()}
    board = make_board("ticks", 64)
    for icount in range(1, 300):
        board.run_until(icount=icount)
        digests.add(board.digest())
    assert len(digests) == 300


@pytest.mark.parametrize("image", ["ticks", "traps"])
def test_processes_under_load_with_other_hash_seeds_make_the_same_run(image: str) -> None:
    script = (
        "import sys; from minstret.devices.board.board import *; from minstret.firmware import image_path\n"
        f"b = Board(image_path({image!r}, 64)); b.run(); print(b.position, b.digest())"
    )

    def run(hash_seed: str) -> str:
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        return subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        ).stdout

    quiet = run("1")
    with busy_machine():
        assert [run("2"), run("random")] == [quiet, quiet]


def test_guests_end_as_they_should() -> None:
    ends = {image: reference(image, 64, None)[0].reason for image in (*SHORT, "traps")}  # type: ignore[attr-defined]
    assert ends == {
        "hello": StopReason.FINISHED, "ticks": StopReason.FINISHED, "clocks": StopReason.FINISHED,
        "crash": StopReason.TRAP_LOOP, "traps": StopReason.FINISHED, "rtc": StopReason.FINISHED,
    }  # fmt: skip


def echo_session(slice_insns: int | None, counting: str) -> list[object]:
    """Type two lines to the echo image; positions and digests on the way."""
    typist, found = Typist(), []
    config = BoardConfig(ram_size=RAM_SIZE, slice_insns_max=slice_insns, counting=Counting(counting))
    board = Board(image_path("echo"), config, door=LiveDoor(typist))
    board.run_until(uart="full stop\n")
    for text in ("hello there\n", "and good bye."):
        board.run_until(virtual_ns=board.position.virtual_ns + 1_000_001)
        found.append((board.position, board.digest()))
        typist.type(text)
        board.run_until(uart=text.upper()[-2:], icount=board.position.icount + 100_000)
        found.append((board.position, board.digest()))
    return [*found, board.run(), board.position, board.digest(), bytes(board.console)]


@pytest.mark.parametrize("slice_insns", SLICES)
def test_slices_of_any_size_hear_the_same_typing(slice_insns: int | None, counting: str) -> None:
    expected = echo_session(None, "code")
    assert b"HELLO THERE" in expected[-1]  # type: ignore[operator]
    assert echo_session(slice_insns, counting) == expected
