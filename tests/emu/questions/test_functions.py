"""Which function an address is in: labels within functions, several names, user code."""

from __future__ import annotations

from typing import Any

from support.harts import board_of

from minstret.emu.hart.spec import PRIV_M, PRIV_S, PRIV_U
from minstret.emu.images.image import Symbol, SymbolTable
from minstret.emu.questions.code import Code
from minstret.emu.questions.functions import Function, Functions

RAM = 0x8000_0000


def functions_of(*symbols: Symbol, code: Any = None) -> Functions:
    return Functions(SymbolTable.of(list(symbols)), code or Code(board_of(bytes(16)).hart))


def test_label_within_a_function_is_none_of_its_own() -> None:
    functions = functions_of(Symbol(RAM, 0x20, "whole"), Symbol(RAM + 8, 0, "loop"), Symbol(RAM + 0x20, 0, "next"))
    assert functions.at(RAM + 12, PRIV_M) == Function("whole", RAM, PRIV_M)
    assert functions.at(RAM + 0x24, PRIV_M) == Function("next", RAM + 0x20, PRIV_M)


def test_data_is_no_function() -> None:
    functions = functions_of(Symbol(RAM, 8, "f"), Symbol(RAM + 8, 8, "table", is_object=True))
    assert functions.at(RAM + 8, PRIV_M) == Function("[machine]", None, PRIV_M)


def test_address_behind_a_function_is_in_none() -> None:
    functions = functions_of(Symbol(RAM, 8, "f"), Symbol(RAM + 0x20, 8, "g"))
    assert functions.at(RAM + 8, PRIV_S) == Function("[supervisor]", None, PRIV_S)
    assert functions.at(RAM - 4, PRIV_M).address is None


def test_functions_of_one_name_are_told_apart() -> None:
    functions = functions_of(
        Symbol(RAM, 8, "init", file="a.c"), Symbol(RAM + 8, 8, "init", file="b.c"), Symbol(RAM + 16, 8, "init")
    )
    names = [functions.at(RAM + at, PRIV_M).name for at in (0, 8, 16)]
    assert names == ["init (a.c)", "init (b.c)", "init (0x80000010)"]


def test_name_is_safe_on_a_terminal() -> None:
    assert functions_of(Symbol(RAM, 8, "\x1b[31m")).at(RAM, PRIV_M).name == r"\x1b[31m"


def test_user_code_that_paging_puts_elsewhere_is_in_none() -> None:
    board = board_of(bytes(16))
    symbols = Symbol(RAM, 8, "f")
    assert functions_of(symbols, code=Code(board.hart)).at(RAM, PRIV_U).name == "f"
    board.hart.env.satp = 8 << 60 | RAM + 0x10000 >> 12  # no page is mapped
    functions = functions_of(symbols, code=Code(board.hart))
    assert functions.at(RAM, PRIV_U) == Function("[user]", None, PRIV_U)
    assert functions.at(RAM, PRIV_M).name == "f"
