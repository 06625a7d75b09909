"""The instructions that Unicorn does not know: each way of executing them gives what the table says, or a trap."""

from __future__ import annotations

import capstone
import pytest
from support import asm
from support.harts import board_of, run_insns
from support.instruction_encodings import OPERAND_VALUES, extension

from minstret.devices.board.board import Board
from minstret.emu.hart import extensions
from minstret.emu.hart.binding import ENVIRONMENT
from minstret.emu.hart.cpu import EXTENSIONS, Feature
from minstret.emu.hart.extensions import ROWS, TRANSLATED, Form, Op, extension_insn
from minstret.emu.hart.spec import Cause
from minstret.emu.report import assembler_text

WAYS = [("code", True), ("blocks", False), ("blocks", True), ("instructions", True), ("python", True)]
VALUES = {3: 5, 6: -7, **OPERAND_VALUES}
HANDLER = 0x8000


def board_with(
    insns: list[int], xlen: int, way: tuple[str, bool], monkeypatch: pytest.MonkeyPatch, cpu: str | None = None
) -> Board:
    """A board on which they are next, with the registers that they compute with."""
    counting, has_helpers = way
    if not has_helpers:
        monkeypatch.setenv(ENVIRONMENT, "off")
    board = board_of(asm.code(*insns, asm.LOOP), xlen=xlen, counting=counting, cpu=cpu)
    run_insns(board, 0)
    for register, value in VALUES.items():
        board.hart.env.x[register] = value & board.hart.xlen_mask
    return board


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0]}{'' if way[1] else '-bare'}")
@pytest.mark.parametrize("xlen", [64, 32])
def test_each_instruction_gives_what_the_table_says(
    xlen: int, way: tuple[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    insns = list(extension(xlen))[:: 3 if way[0] in ("code", "blocks") else 11]
    board = board_with(insns, xlen, way, monkeypatch)
    expected = list(board.hart.env.x)

    for insn in insns:
        row = extension_insn(insn, xlen)
        assert row is not None
        b = extensions.operand(row, insn, expected[insn >> 20 & 31])
        if rd := insn >> 7 & 31:
            expected[rd] = extensions.compute(row.op, expected[insn >> 15 & 31], b, xlen)
        board.run_until(icount=board.position.icount + 1)
        assert list(board.hart.env.x) == expected, f"{insn:08x} {row.name}"
    assert board.hart.last_trap is None


def test_all_at_once_give_the_same_in_each_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many in one block, and blocks across the ends of pages."""
    for xlen in (64, 32):
        insns = list(extension(xlen))[:3000]
        results = []
        for way in WAYS[:3]:
            with monkeypatch.context() as patch:
                board = board_with(insns, xlen, way, patch)
                run_insns(board, len(insns))
                results.append((board.machine.digest(), list(board.hart.env.x)))
        assert results[1:] == results[:-1]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0]}{'' if way[1] else '-bare'}")
@pytest.mark.parametrize("xlen", [64, 32])
def test_instruction_of_an_extension_that_is_off_is_illegal(
    xlen: int, way: tuple[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    for feature in dict.fromkeys(row.feature for row in ROWS):
        of_feature = [row for row in ROWS if row.feature is feature and row.only_xlen in (0, xlen)]
        rows = [*of_feature[:1], *of_feature[-1:]]
        for row in rows:
            with monkeypatch.context() as patch:
                board = board_with([row.match], xlen, way, patch, cpu=f"rv{xlen},{str(feature.name).lower()}=off")
                board.run_until(icount=board.position.icount + 1)
            trap = board.hart.first_trap
            assert trap is not None, row.name
            assert (trap.cause, trap.tval) == (Cause.ILLEGAL_INSTRUCTION, row.match), row.name


def test_pause_is_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    board = board_with([0x0100000F, asm.addi(5, 0, 1)], 64, WAYS[0], monkeypatch)
    run_insns(board, 2)
    assert (board.hart.env.x[5], board.hart.last_trap) == (1, None)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way[0]}{'' if way[1] else '-bare'}")
@pytest.mark.parametrize(("name", "priv", "tw", "traps"), [
    ("wrs.nto", 3, True, False), ("wrs.nto", 1, False, False), ("wrs.nto", 1, True, True), ("wrs.sto", 0, True, False),
])  # fmt: skip
def test_wait_for_a_reservation_is_short(
    name: str, priv: int, tw: bool, traps: bool, way: tuple[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = (row for row in ROWS if row.name == name)
    setup = asm.addi(5, 0, -1), asm.csrw("pmpaddr0", 5), asm.addi(5, 0, 0x1F), asm.csrw("pmpcfg0", 5)
    board = board_with([*setup, row.match], 64, way, monkeypatch)
    run_insns(board, len(setup))
    board.hart.env.priv = priv
    board.hart.env.mstatus |= tw << 21
    board.run_until(icount=board.position.icount + 1)
    assert (board.hart.last_trap is not None) == traps


def test_no_two_rows_are_one_instruction() -> None:
    for xlen in (64, 32):
        rows = [row for row in ROWS if row.only_xlen in (0, xlen)]
        for row in rows:
            assert [other.name for other in rows if row.match & other.mask == other.match] == [row.name]
    assert {row.op for row in ROWS} == set(Op)


def test_each_extension_with_instructions_is_one_that_can_be_switched() -> None:
    assert {row.feature for row in ROWS} <= {each.feature for each in EXTENSIONS}
    assert all((row.form is Form.OTHER) != bool(row.feature & TRANSLATED) for row in ROWS)
    assert TRANSLATED.bit_count() <= 4  # so many bits the mark of an engine has for them


def test_translator_makes_code_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    board = board_with([], 64, WAYS[0], monkeypatch, cpu="rv64,zbs=off")
    bare = board_with([], 64, WAYS[1], monkeypatch)
    assert bare.hart._shared.translated == 0
    if board.hart._shared.has_helpers:
        assert board.hart._shared.translated == TRANSLATED & ~Feature.ZBS


@pytest.mark.parametrize(("insn", "text"), [
    (0x20C5A533, "sh1add a0, a1, a2"), (0x60059513, "clz a0, a1"), (0x6035D513, "rori a0, a1, 0x3"),
    (0x0100000F, "pause"), (0x00D00073, "wrs.nto"), (0x0045200F, "cbo.zero (a0)"),
    (0x6B85D513, "rev8 a0, a1"),
])  # fmt: skip
def test_disassembly_names_them(insn: int, text: str) -> None:
    shown = assembler_text(insn.to_bytes(4, "little"), 0, 64)
    assert shown == text


def test_no_instruction_that_capstone_knows_is_renamed() -> None:
    decoder = capstone.Cs(capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64)
    for row in ROWS:
        known = next(decoder.disasm_lite(row.match.to_bytes(4, "little"), 0), None)
        assert known is None or known[2] == row.name
