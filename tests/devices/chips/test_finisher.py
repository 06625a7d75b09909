"""sifive_test: what ends or resets the machine, and what does not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from support import asm
from support.bench_wiring import BenchWiring
from support.elf_files import FINISHER, PASSES, UART0, exits_with, fails_with
from support.harts import RAM, ROM_INSNS, board_of

from minstret.devices.chips.finisher import Finisher
from minstret.emu.clock import VirtualClock
from minstret.emu.machine import StopReason
from minstret.emu.timers import TimerList


@dataclass
class Bench:
    def __post_init__(self) -> None:
        self.finisher = Finisher()
        self.calls = BenchWiring(self.finisher, TimerList(VirtualClock(lambda: 0, 1))).calls


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(
    ("value", "call"),
    [
        (0x5555, 0), (0x1234_5555, 0), (0x0007_3333, 7), (0x012C_3333, 300), (0xFFFF_3333, 65535), (0x0000_3333, 0),
        (0x7777, "reset"), (0x0001_7777, "reset"),
    ],
)  # fmt: skip
def test_command_is_in_the_low_half_and_the_fail_code_in_the_high_half(bench: Bench, value: int, call: object) -> None:
    bench.finisher.write(0, 4, value)

    assert bench.calls == [call]


@pytest.mark.parametrize("value", [0x5555, 0x7777])
def test_command_without_a_code_may_be_two_bytes(bench: Bench, value: int) -> None:
    bench.finisher.write(0, 2, value)

    assert len(bench.calls) == 1


@pytest.mark.parametrize(
    ("offset", "size", "value"),
    [(0, 4, 0), (0, 4, 1), (0, 4, 0x5556), (0, 4, 0x5555_0000), (4, 4, 0x5555), (0xFFC, 4, 0x5555), (0, 1, 0x55)],
)
def test_other_writes_are_ignored(bench: Bench, offset: int, size: int, value: int) -> None:
    bench.finisher.write(offset, size, value)

    assert bench.calls == []


def test_reads_give_zero_and_do_nothing(bench: Bench) -> None:
    assert [bench.finisher.read(offset, 4) for offset in (0, 4, 0xFFC)] == [0, 0, 0]
    assert bench.calls == []


# ---- on a board


@pytest.mark.parametrize("slice_insns", [1, 7, None])
@pytest.mark.parametrize(
    ("guest", "exit_code"), [(PASSES, 0), (fails_with(7), 7), (fails_with(300), 300), (fails_with(65535), 65535)]
)
def test_guest_ends_the_run_with_its_code_right_after_the_store(
    guest: bytes, exit_code: int, slice_insns: int | None
) -> None:
    board = board_of(guest, slice_insns=slice_insns)

    outcome = board.run()

    assert (outcome.reason, outcome.exit_code) == (StopReason.FINISHED, exit_code)
    assert board.position.icount == ROM_INSNS + 11  # twice li, and the store


def test_ended_run_stays_ended() -> None:
    board = board_of(fails_with(7))
    board.run()
    position = board.position

    outcome = board.run()

    assert (outcome.reason, outcome.exit_code) == (StopReason.FINISHED, 7)
    assert board.position == position


@pytest.mark.parametrize("slice_insns", [1, 7, None])
def test_reset_starts_over_while_the_count_goes_on(slice_insns: int | None) -> None:
    guest = asm.code(
        asm.li(asm.T0, UART0), asm.addi(asm.T1, 0, ord("r")), asm.sb(asm.T1, asm.T0, 0),
        asm.li(asm.T0, FINISHER), asm.li(asm.T1, 0x7777), asm.sw(asm.T1, asm.T0, 0),
        asm.LOOP,
    )  # fmt: skip
    one_round = ROM_INSNS + 18
    board = board_of(guest, slice_insns=slice_insns)

    board.run_until(icount=3 * one_round)

    assert board.console == b"rrr"
    assert board.position.icount == 3 * one_round
    assert board.registers["pc"] == 0x1000


def test_reset_puts_the_firmware_back() -> None:
    counts_up = asm.code(
        asm.auipc(asm.T2, 0), asm.lw(asm.T3, asm.T2, 0x100), asm.addi(asm.T3, asm.T3, 1), asm.sw(asm.T3, asm.T2, 0x100)
    )  # fmt: skip
    board = board_of(counts_up + exits_with(0x7777), (0x100, (41).to_bytes(4, "little")))
    one_round = ROM_INSNS + 4 + 11

    board.run_until(icount=2 * one_round + ROM_INSNS + 4)

    assert board.registers["pc"] == RAM + 4 * 4
    assert board.memory[RAM + 0x100 : RAM + 0x104] == (42).to_bytes(4, "little")
