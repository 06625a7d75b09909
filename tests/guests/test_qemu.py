"""QEMU's ``virt`` board prints the same text for our images, lines that hold times aside."""

from __future__ import annotations

import re

import pytest
from support.needs import Need
from support.qemu import qemu_console, without_times

from minstret.devices.board.board import Board
from minstret.devices.board.config import BoardConfig
from minstret.emu.machine import StopReason
from minstret.firmware import image_path

LATER_THAN_1_10 = {"mret-to-s-clears-mprv"}
"""What newer versions of the privileged specification added; ours is 1.10."""


@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("image", ["hello", "ticks", "traps", "clocks", "rtc", "paging", "rtos", "mix", "bits"])
def test_console_is_that_of_qemu(image: str, xlen: int, need: Need) -> None:
    status, console = qemu_console(image, xlen, need)
    board = Board(image_path(image, xlen), BoardConfig(ram_size=1 << 21))
    outcome = board.run()
    assert outcome.reason is StopReason.FINISHED
    assert outcome.exit_code == status
    assert without_times(board.console) == without_times(console)
    departures = re.findall(r"^t: (\S+) NOT as specified", board.console.decode(), re.MULTILINE)
    assert set(departures) <= LATER_THAN_1_10  # on lines left out above, as QEMU departs in places


@pytest.mark.slow
@pytest.mark.parametrize("xlen", [64, 32])
def test_bench_prints_the_checksum_qemu_prints(xlen: int, need: Need) -> None:
    status, console = qemu_console("bench", xlen, need)
    board = Board(image_path("bench", xlen), BoardConfig(ram_size=1 << 23))
    outcome = board.run()
    assert (outcome.exit_code, without_times(board.console)) == (status, without_times(console))
