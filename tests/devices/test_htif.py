"""HTIF: stores to ``tohost`` end the run or print, at the very instruction, wherever slices end."""

from __future__ import annotations

import asm
import pytest
from elf_files import RAM, Load, elf_bytes
from harts import ROM_INSNS

from minstret.devices.board import Board, BoardConfig
from minstret.emu.loader import Firmware, Segment, Symbol, SymbolTable
from minstret.emu.machine import StopReason

TOHOST, DATA = RAM + 0x1000, RAM + 0x2000
SLICES = [1, 7, None]


def putchar(byte: int) -> int:
    return 1 << 56 | 1 << 48 | byte


def exit_with(code: int) -> int:
    return code << 1 | 1


def stores(*values: int) -> bytes:
    """rv64: stores each value to tohost, 8 bytes at once. Two instructions a value, behind 10."""
    loads = [(asm.ld(asm.T2, asm.T1, 8 * i), asm.sd(asm.T2, asm.T0, 0)) for i in range(len(values))]
    return asm.code(asm.li(asm.T0, TOHOST), asm.li(asm.T1, DATA), *loads, asm.LOOP)


def board_with(*values: int, code: bytes | None = None, xlen: int = 64, slice_insns: int | None = None) -> Board:
    data = b"".join(value.to_bytes(8, "little") for value in values)
    guest = stores(*values) if code is None else code
    segments = [Segment(RAM, guest, len(guest)), Segment(DATA, data, max(8, len(data)))]
    firmware = Firmware("test", xlen, RAM, tuple(segments), SymbolTable.of([Symbol(TOHOST, 8, "tohost")]), TOHOST)
    return Board(firmware, BoardConfig(ram_size=1 << 20, slice_insns_max=slice_insns))


@pytest.mark.parametrize("slice_insns", SLICES)
@pytest.mark.parametrize("code", [0, 1, 7, 300, (1 << 47) - 1])
def test_exit_ends_the_run_right_after_the_store_with_the_code(code: int, slice_insns: int | None) -> None:
    board = board_with(exit_with(code), slice_insns=slice_insns)

    outcome = board.run()

    assert (outcome.reason, outcome.exit_code) == (StopReason.FINISHED, code)
    assert board.position.icount == ROM_INSNS + 12


@pytest.mark.parametrize("slice_insns", SLICES)
def test_characters_are_printed_in_order_and_tohost_is_cleared_for_the_next(slice_insns: int | None) -> None:
    board = board_with(*map(putchar, b"Hello\n\xff"), slice_insns=slice_insns)

    board.run_until(icount=ROM_INSNS + 10 + 2 * 7)

    assert board.console == b"Hello\n\xff"
    assert board.memory[TOHOST : TOHOST + 8] == bytes(8)


@pytest.mark.parametrize("slice_insns", SLICES)
def test_eight_byte_store_is_not_seen_half_way(slice_insns: int | None) -> None:
    board = board_with(putchar(ord("A")), exit_with(3), slice_insns=slice_insns)  # "A" is odd: its low half says exit

    outcome = board.run()

    assert outcome.exit_code == 3
    assert board.console == b"A"


def test_runs_agree_for_all_slice_limits() -> None:
    ends = set()
    for slice_insns in SLICES:
        board = board_with(*map(putchar, b"abc"), exit_with(0), slice_insns=slice_insns)
        board.run()
        ends.add((board.position, board.digest(), bytes(board.console)))

    assert len(ends) == 1


@pytest.mark.parametrize("value", [0, 2, 1 << 48, 2 << 56 | 1, 1 << 56, 1 << 56 | 2 << 48 | 1, 1 << 48 | 1])
def test_other_values_do_nothing_and_stay(value: int) -> None:
    board = board_with(value)

    outcome = board.run_until(icount=ROM_INSNS + 20)

    assert outcome.reason is StopReason.REACHED
    assert board.console == b""
    assert board.memory[TOHOST : TOHOST + 8] == value.to_bytes(8, "little")


@pytest.mark.parametrize("distance", [-8, 8, 0x100])
def test_stores_beside_tohost_do_nothing(distance: int) -> None:
    code = asm.code(
        asm.li(asm.T0, TOHOST), asm.addi(asm.T1, 0, 1), asm.sd(asm.T1, asm.T0, distance), asm.LOOP
    )  # fmt: skip
    board = board_with(code=code)

    outcome = board.run_until(icount=ROM_INSNS + 20)

    assert outcome.reason is StopReason.REACHED
    assert board.memory[TOHOST + distance : TOHOST + distance + 8] == (1).to_bytes(8, "little")


@pytest.mark.parametrize("slice_insns", SLICES)
def test_rv32_exits_with_one_word(slice_insns: int | None) -> None:
    code = asm.code(
        asm.li(asm.T0, TOHOST), asm.addi(asm.T1, 0, exit_with(9)), asm.sw(asm.T1, asm.T0, 0), asm.LOOP
    )  # fmt: skip
    board = board_with(code=code, xlen=32, slice_insns=slice_insns)

    outcome = board.run()

    assert (outcome.reason, outcome.exit_code) == (StopReason.FINISHED, 9)
    assert board.position.icount == ROM_INSNS + 7


def test_elf_with_a_tohost_symbol_gets_htif_and_one_without_does_not(tmp_path: object) -> None:
    code = asm.code(
        asm.li(asm.T0, TOHOST), asm.addi(asm.T1, 0, exit_with(5)), asm.sd(asm.T1, asm.T0, 0), asm.LOOP
    )  # fmt: skip
    reasons = []
    for symbols in ({"tohost": (TOHOST, 8)}, {"other": (TOHOST, 8)}):
        file = tmp_path / "firmware.elf"  # type: ignore[operator]
        file.write_bytes(elf_bytes(Load(RAM, code), symbols=symbols))
        reasons.append(Board(file, BoardConfig(ram_size=1 << 20)).run_until(icount=100).reason)

    assert reasons == [StopReason.FINISHED, StopReason.REACHED]
