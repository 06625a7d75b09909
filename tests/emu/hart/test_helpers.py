"""Our functions in Unicorn's place: who gets them, and what is without them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.asm import code
from support.needs import Need

from minstret.devices.board.board import Board
from minstret.devices.board.config import BoardConfig
from minstret.emu.hart import helpers
from minstret.emu.hart.shared import Counting
from minstret.firmware import image_path

RAM = 0x8000_0000
FADD_S, FMIN_D, FCLASS_S, FSGNJ_S = 0x00B57653, 0x2AB50653, 0xE0051553, 0x20B50653  # fa2 or a0, of fa0 and fa1
BARE = """
import unicorn
from unicorn import riscv_const as reg
uc = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV64)
uc.mem_map(0x80000000, 0x1000)
uc.reg_write(reg.UC_RISCV_REG_MSTATUS, 0x6000)
def after(insn, a, b):
    uc.mem_write(0x80000000, insn.to_bytes(4, "little"))
    uc.ctl_remove_cache(0x80000000, 0x80000004)
    uc.reg_write(reg.UC_RISCV_REG_F10, a)
    uc.reg_write(reg.UC_RISCV_REG_F11, b)
    uc.emu_start(0x80000000, 0x80000004)
    return hex(uc.reg_read(reg.UC_RISCV_REG_F12)), hex(uc.reg_read(reg.UC_RISCV_REG_A0))
"""


def printed(program: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(autouse=True)
def _needs_helpers(need: Need) -> None:
    need.helpers()


@pytest.mark.parametrize(
    ("insn", "a", "b"),
    [(FADD_S, 0x3F800000, 0x40000000), (FMIN_D, 0x7FF4 << 48, 0x3FF0 << 48), (FCLASS_S, 0x3F800000, 0),
     (FSGNJ_S, 0x3F800000, 0xBF800000)],
)  # fmt: skip
@pytest.mark.parametrize("first", ["import minstret.emu.hart.layout", "import minstret.emu.hart.hart"])
def test_another_user_of_unicorn_does_not_notice(insn: int, a: int, b: int, first: str) -> None:
    """Its engines are as they are without minstret."""
    ask = f"print(*after({insn}, {a}, {b}))"
    assert printed(first + BARE + ask) == printed(BARE + ask)


def test_unicorn_that_was_there_before_is_left_alone() -> None:
    ask = "from minstret.emu.hart import helpers; print(helpers.problem(64))"
    assert printed("import unicorn; " + ask) == "unicorn was imported before minstret\n"
    assert printed(ask) == "\n"
    assert printed(ask, MINSTRET_HELPERS="off") == "MINSTRET_HELPERS is off\n"


@pytest.mark.parametrize("way", ["import unicorn", "import os; os.environ['MINSTRET_HELPERS'] = 'off'"])
def test_run_is_the_same_with_and_without(way: str) -> None:
    program = f"""
{way}
import sys
sys.path.insert(0, {os.path.dirname(os.path.dirname(os.path.dirname(__file__)))!r})
from support.harts import board_of, run_insns
board = board_of({code(0x300022F3, 0x000062B7, 0x3002A073, 0xD0028553, FADD_S, FSGNJ_S, FCLASS_S, 0x10002373)!r})
run_insns(board, 8)
print(board.digest(), board.registers["a0"], hex(board.registers["t1"]))
"""
    assert printed(program).split()[1:] == ["64", "0x8000000200006000"]
    assert printed(program) == printed(program.replace(way, "", 1))


def after_a_run(xlen: int) -> tuple[Board, tuple[object, ...]]:
    board = Board(image_path("bits", xlen), BoardConfig(ram_size=1 << 21))
    outcome = board.run()
    return board, (outcome.exit_code, board.position, board.digest(), bytes(board.console))


@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize(("trial", "counting", "has_helpers", "translates"), [
    ("_counts_as_expected", Counting.BLOCKS, True, True), ("_translates_as_expected", Counting.CODE, True, False),
    ("_does_as_expected", Counting.BLOCKS, False, False),
])  # fmt: skip
def test_run_is_the_same_where_a_trial_fails(
    trial: str, counting: Counting, has_helpers: bool, translates: bool, xlen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What failed is left off, by the engine that tried it and by the next one, and ``doctor`` can say why."""
    _, expected = after_a_run(xlen)
    for name in ("_problem", "_counting_problem"):
        monkeypatch.setattr(helpers, name, dict.fromkeys((64, 32), ""))
    for name in ("_tried", "_tried_counting"):
        monkeypatch.setattr(helpers, name, set())
    monkeypatch.setattr(helpers, "_translates", {})
    monkeypatch.setattr(helpers, trial, lambda *arguments: False)

    for _ in range(2):
        board, got = after_a_run(xlen)
        shared = board.hart._shared
        assert got == expected
        assert (board.hart.counting, bool(shared.has_helpers), bool(shared.translated)) == (
            counting, has_helpers, translates
        )  # fmt: skip
    problems = helpers.problem(xlen), helpers.translation_problem(xlen), helpers.counting_problem(xlen)
    assert [not problem for problem in problems] == [has_helpers, translates, counting is Counting.CODE]
