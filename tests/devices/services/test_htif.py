"""HTIF: stores to ``tohost`` end the run or print, at the very instruction, wherever slices end."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from support import asm
from support.elf_files import RAM, Load, elf_bytes
from support.harts import ROM_INSNS
from support.htif_guests import FROMHOST, TOHOST, echo_setup, exit_with
from support.recordings import Hand, assert_replays, record, typed

from minstret.devices.board.board import Board
from minstret.devices.board.config import BoardConfig
from minstret.emu.images.loader import Firmware, Segment, Symbol, SymbolTable
from minstret.emu.machine import Outcome, StopReason

DATA = RAM + 0x2000
SLICES = [1, 7, None]


def putchar(byte: int) -> int:
    return 1 << 56 | 1 << 48 | byte


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


@pytest.mark.parametrize("value", [0, 2, 1 << 48, 2 << 56 | 1, 1 << 56, 1 << 56 | 2 << 48 | 1, 1 << 48 | 1, RAM - 64])
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


# ---- calls that are answered

BLOCK, RESULTS = RAM + 0x3000, RAM + 0x4000
FAR_FROMHOST = RAM + 0x5000
WRITE, EXIT = 64, 93


def asking(*payloads: int, fromhost: int = FROMHOST) -> bytes:
    """For each value of tohost: wait for an answer and take it, and keep what stands in the block then."""
    parts = [asm.li(asm.T0, TOHOST), asm.li(asm.T1, DATA), asm.li(asm.T2, fromhost), asm.li(asm.T3, RESULTS)]
    for index, payload in enumerate(payloads):
        wait = (asm.ld(asm.T5, asm.T2, 0), asm.beq(asm.T5, asm.ZERO, -4), asm.sd(asm.ZERO, asm.T2, 0))
        keep = (*asm.li(asm.T4, payload), asm.ld(asm.T4, asm.T4, 0), asm.sd(asm.T4, asm.T3, 16 * index))
        ask = (asm.ld(asm.T4, asm.T1, 8 * index), asm.sd(asm.T4, asm.T0, 0))
        parts.append([*ask, *wait, *keep, asm.sd(asm.T5, asm.T3, 16 * index + 8)])
    return asm.code(*parts, asm.LOOP)


def proxied(
    *calls: tuple[int, ...], text: bytes = b"", fromhost: int = FROMHOST, ram_size: int = 1 << 20, **options: Any
) -> tuple[Board, list[tuple[int, int]]]:
    """Run system calls one after another: the board, and what each block and fromhost held then, signed."""
    blocks = [BLOCK + 64 * index for index in range(len(calls))]
    code = asking(*blocks, fromhost=fromhost)
    words = b"".join(word.to_bytes(8, "little") for call in calls for word in (*call, *[0] * (8 - len(call))))
    data = b"".join(block.to_bytes(8, "little") for block in blocks)
    pieces = [(RAM, code), (DATA, data), (BLOCK, words), (TEXT, text or bytes(1))]
    symbols = SymbolTable.of([Symbol(TOHOST, 8, "tohost"), Symbol(fromhost, 8, "fromhost")])
    firmware = Firmware("test", 64, RAM, tuple(Segment(at, d, len(d)) for at, d in pieces), symbols, TOHOST)
    board = Board(firmware, BoardConfig(ram_size=ram_size, **options))
    board.run_until(icount=2000)
    raw = board.memory.read(RESULTS, 16 * len(calls))
    values = [int.from_bytes(raw[at : at + 8], "little", signed=True) for at in range(0, len(raw), 8)]
    return board, list(zip(values[::2], values[1::2], strict=True))


TEXT = RAM + 0x6000


@pytest.mark.parametrize("slice_insns", SLICES)
@pytest.mark.parametrize("fromhost", [FROMHOST, FAR_FROMHOST], ids=["beside", "on another page"])
def test_proxied_write_prints_and_is_answered(fromhost: int, slice_insns: int | None) -> None:
    calls = ((WRITE, 1, TEXT, 5), (WRITE, 2, TEXT + 5, 3), (WRITE, 1, TEXT, 0))

    board, results = proxied(*calls, text=b"hello, world", fromhost=fromhost, slice_insns_max=slice_insns)

    assert board.console == b"hello, w"
    assert results == [(5, 1), (3, 1), (0, 1)]
    assert board.memory.read(TOHOST, 8) == bytes(8)


def test_proxied_calls_that_cannot_be_give_errors() -> None:
    calls = ((WRITE, 7, TEXT, 5), (WRITE, 1, 0x4000_0000, 5), (56, 0, TEXT, 5), (63, 0, TEXT, 5))

    board, results = proxied(*calls, text=b"hello")

    assert [result for result, _ in results] == [-errno.EBADF, -errno.EFAULT, -errno.ENOSYS, -errno.ENOSYS]
    assert board.console == b""


def test_long_write_is_done_in_part() -> None:
    board, results = proxied((WRITE, 1, RAM, 3 << 20), ram_size=4 << 20)

    assert results == [(1 << 20, 1)]
    assert len(board.console) == 1 << 20


@pytest.mark.parametrize("slice_insns", SLICES)
def test_proxied_exit_ends_the_run_with_the_code(slice_insns: int | None) -> None:
    board, _ = proxied((EXIT, 7), slice_insns_max=slice_insns)

    assert board.run() == Outcome(StopReason.FINISHED, 7)
    assert board.position.icount == ROM_INSNS + 22


def test_rv32_writes_tohost_in_two_halves_in_either_order() -> None:
    """As a compiler may store 64 bits there."""
    for order in ((0, 4), (4, 0)):
        words = {0: BLOCK, 4: 0}
        stores_of = [(*asm.li(asm.T1, words[at]), asm.sw(asm.T1, asm.T0, at)) for at in order]
        code = asm.code(asm.li(asm.T0, TOHOST), *stores_of, asm.LOOP)
        block = b"".join(word.to_bytes(8, "little") for word in (WRITE, 1, TEXT, 2, 0, 0, 0, 0))
        pieces = [(RAM, code), (DATA, bytes(8)), (BLOCK, block), (TEXT, b"ok")]
        symbols = SymbolTable.of([Symbol(TOHOST, 8, "tohost"), Symbol(FROMHOST, 8, "fromhost")])
        firmware = Firmware("test", 32, RAM, tuple(Segment(at, d, len(d)) for at, d in pieces), symbols, TOHOST)
        board = Board(firmware, BoardConfig(ram_size=1 << 20))

        board.run_until(icount=100)

        assert board.console == b"ok"
        assert board.memory.read(FROMHOST, 8) == (1).to_bytes(8, "little")


def test_without_fromhost_a_write_prints_and_nothing_is_answered() -> None:
    block = b"".join(word.to_bytes(8, "little") for word in (WRITE, 1, DATA, 8, 0, 0, 0, 0))
    board = board_with(DATA + 64)
    board.memory.write(DATA + 64, block)

    board.run_until(icount=ROM_INSNS + 20)

    assert len(board.console) == 8
    assert board.memory.read(FROMHOST, 8) == bytes(8)


# ---- characters

GETCHAR = 1 << 56


@pytest.mark.parametrize("slice_insns", [1, 7, 1000])
def test_characters_typed_are_read_and_echoed_and_replay_the_same(slice_insns: int, tmp_path: Path) -> None:
    setup = echo_setup(slice_insns_max=slice_insns)
    hand = Hand(stays=True)

    def drive(board: Board) -> None:
        for icount, text in ((100, b"ab"), (150, b"c"), (700, b"d\xff."), (701, b"left")):
            board.run_until(icount=icount)
            hand.give(typed(text))

    recorded = record(tmp_path, setup, source=hand, drive=drive, every=97)

    assert recorded.end.outcome == Outcome(StopReason.FINISHED, 3)
    assert recorded.console == b"abcd\xff."
    assert_replays(recorded)
    assert_replays(recorded, slice_insns_max=1)
    for snapshot in recorded.snapshots():
        assert_replays(recorded, snapshot=snapshot, slice_insns_max=5)


def test_characters_wanted_survive_save_and_load() -> None:
    setup = echo_setup()
    board = setup.make()
    board.run_until(icount=100)
    assert board.htif is not None
    assert board.htif.state.wanted == 1
    other = setup.make()
    other.hart.write_physical(RAM, bytes(board.machine.memory.ram))
    other.machine.load_state(board.machine.save_state())

    for each in (board, other):
        each.machine.door.post(typed(b"x."))
        each.run()

    assert (other.console, other.digest()) == (board.console, board.digest()) == (b"x.", board.digest())


def test_answers_wait_for_the_last_one_to_be_taken() -> None:
    """Two characters are asked for before one comes; the second answer is there when the first was taken."""
    code = asm.code(
        asm.li(asm.T0, TOHOST), asm.li(asm.T2, 1), asm.slli(asm.T2, asm.T2, 56), asm.sd(asm.T2, asm.T0, 0),
        asm.sd(asm.T2, asm.T0, 0), asm.ld(asm.T1, asm.T0, 8), asm.beq(asm.T1, asm.ZERO, -4),
        asm.sd(asm.ZERO, asm.T0, 8), asm.ld(asm.T2, asm.T0, 8), asm.LOOP,
    )  # fmt: skip
    symbols = SymbolTable.of([Symbol(TOHOST, 8, "tohost"), Symbol(FROMHOST, 8, "fromhost")])
    board = Board(Firmware("test", 64, RAM, (Segment(RAM, code, len(code)),), symbols, TOHOST), BoardConfig())
    board.run_until(icount=100)
    board.machine.door.post(typed(b"xyz"))

    board.run_until(icount=200)

    assert board.registers["t1"] == GETCHAR | 0x100 | ord("x")
    assert board.registers["t2"] == GETCHAR | 0x100 | ord("y")
    assert board.machine.door.holds_input
