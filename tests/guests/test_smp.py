"""The image ``smp`` checks several harts from the inside: on our board, however they take turns, and on QEMU's."""

from __future__ import annotations

import pytest
from support.needs import Need
from support.qemu import qemu_console, without_times
from support.recordings import setup_of_image

from minstret.devices.board.board import Board
from minstret.emu.machine import StopReason

XLENS = (64, 32)
HARTS = (1, 2, 4, 8)
INSNS_MAX = 20_000_000

each_xlen = pytest.mark.parametrize("xlen", XLENS)


def finished(xlen: int, harts: int, **config: object) -> Board:
    """A board on which all checks have passed."""
    board = setup_of_image("smp", xlen, smp=harts, **config).make()
    outcome = board.run_until(icount=INSNS_MAX)
    console = board.console.decode()
    assert (outcome.reason, outcome.exit_code) == (StopReason.FINISHED, 0), console
    assert console.startswith(f"smp: rv{xlen}, harts: {harts}\n")
    return board


@each_xlen
@pytest.mark.parametrize("harts", HARTS)
def test_console_with_several_harts_is_that_of_qemu(harts: int, xlen: int, need: Need) -> None:
    status, console = qemu_console("smp", xlen, need, harts=harts)

    assert without_times(bytes(finished(xlen, harts).console)) == without_times(console)
    assert status == 0


@each_xlen
@pytest.mark.parametrize("harts", HARTS)
def test_nothing_is_otherwise_than_this_board_has_it(harts: int, xlen: int) -> None:
    lines = finished(xlen, harts).console.decode().splitlines()

    assert "t: ok minstret counts the instructions of its own hart only" in lines
    assert not [line for line in lines if line.startswith("t: otherwise")]


@each_xlen
@pytest.mark.parametrize("quantum", [37, 100, 1009])
def test_checks_pass_with_short_quanta(quantum: int, xlen: int) -> None:
    finished(xlen, 3, quantum=quantum)


@each_xlen
@pytest.mark.parametrize("seed", range(4))
def test_checks_pass_with_chaos(seed: int, xlen: int) -> None:
    finished(xlen, 3, chaos_seed=seed)


@pytest.mark.slow
@each_xlen
@pytest.mark.parametrize("harts", [2, 4, 8])
def test_checks_pass_with_any_quantum_and_seed(harts: int, xlen: int) -> None:
    finished(xlen, harts, quantum=32)  # with less an LR and its SC may never come into one
    for seed in range(100, 110):
        finished(xlen, harts, chaos_seed=seed)
