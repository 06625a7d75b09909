"""What the image ``bits`` expects is what extensions.py gives; and each kind of hart passes its checks."""

from __future__ import annotations

import os
import re
from functools import reduce
from pathlib import Path

import pytest
from support.instruction_encodings import OPERAND_VALUES

from minstret.devices.board.board import Board
from minstret.devices.board.config import BoardConfig
from minstret.emu.hart.binding import ENVIRONMENT
from minstret.emu.hart.cpu import default_cpu
from minstret.emu.hart.extensions import ROWS, ExtensionInsn, Form, compute
from minstret.emu.hart.shared import Counting
from minstret.emu.machine import StopReason
from minstret.firmware import image_path

HEADER = Path(__file__).parents[2] / "firmware" / "bits" / "expected.h"
VALUES = (0, 5, (1 << 64) - 7, *OPERAND_VALUES.values())
PROGRAMS = 0x126461A9
SHIFT = 13
NAMES = "zba", "zbb", "zbs", "zicond", "zicbom", "zicboz", "zawrs"


def expected(row: ExtensionInsn, xlen: int) -> int:
    """The hash of the results of an instruction."""
    mask = (1 << xlen) - 1
    values = [value & mask for value in VALUES]
    results = (compute(row.op, a, SHIFT if row.form is Form.SHIFT else b, xlen) for a in values for b in values)
    halves = (half for result in results for half in (result & 0xFFFF_FFFF, result >> 32))
    return reduce(lambda hash_, half: (hash_ ^ half) * 16777619 & 0xFFFF_FFFF, halves, 2166136261)


def header() -> str:
    """The text of expected.h."""
    lines = [
        "/* Made by `MINSTRET_NEW_EXPECTED=1 python -m pytest tests/firmware/test_bits.py`: don't edit. */",
        "#ifndef EXPECTED_H", "#define EXPECTED_H", "",
    ]  # fmt: skip
    for xlen in (64, 32):
        lines += [f"#{'if' if xlen == 64 else 'else'}{' __riscv_xlen == 64' if xlen == 64 else ''}"]
        values = [f"{value & (1 << xlen) - 1:#x}u{'ll' if xlen == 64 else ''}" for value in VALUES]
        lines += [
            "#define VALUES { \\",
            *(f"    {', '.join(values[at : at + 4])}, \\" for at in range(0, len(values), 4)),
            "}",
        ]
        for row in sorted(ROWS, key=lambda row: row.name):
            if row.form is not Form.OTHER and row.only_xlen in (0, xlen):
                lines.append(f"#define EXPECTED_{row.name.replace('.', '_')} {expected(row, xlen):#010x}u")
    return "\n".join([*lines, "#endif", "", f"#define EXPECTED_PROGRAMS {PROGRAMS:#010x}u", "", "#endif", ""])


def test_expected_results_are_those_of_the_table() -> None:
    if os.environ.get("MINSTRET_NEW_EXPECTED") == "1":
        HEADER.write_text(header())
    assert HEADER.read_text() == header()


@pytest.mark.parametrize(("counting", "has_helpers"), [
    (Counting.CODE, True), (Counting.BLOCKS, True), (Counting.BLOCKS, False), (Counting.INSTRUCTIONS, True),
])  # fmt: skip
@pytest.mark.parametrize("xlen", [64, 32])
def test_every_check_passes(xlen: int, counting: Counting, has_helpers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_helpers:
        monkeypatch.setenv(ENVIRONMENT, "off")
    board = Board(image_path("bits", xlen), BoardConfig(ram_size=1 << 21, counting=counting))
    outcome = board.run()
    assert (outcome.reason, outcome.exit_code) == (StopReason.FINISHED, 0)
    absent = set(re.findall(r"^t: no (\S+)$", board.console.decode(), re.MULTILINE))
    assert absent == {name for name in NAMES if not default_cpu(xlen).has(name)}
    assert b"FAIL" not in board.console


def test_extension_that_is_off_is_told_to_be_absent() -> None:
    board = Board(image_path("bits"), BoardConfig(ram_size=1 << 21, cpu="rv64,zicond=off,zawrs=off"))
    assert board.run().exit_code == 0
    assert b"t: no zicond\n" in board.console
    assert b"t: no zawrs\n" in board.console
