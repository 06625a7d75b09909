"""A profile says what a program executes that one can count by hand, and all of it."""

from __future__ import annotations

import pytest
from support.calling_program import DOWN_INSNS, F_INSNS, HANDLER_INSNS, SYMBOLS, calling_stretch

from minstret.emu.images.image import Symbol, SymbolTable
from minstret.emu.questions.profile import Profile


@pytest.mark.parametrize("xlen", [32, 64])
def test_functions_have_their_own_instructions_and_those_that_they_called(xlen: int) -> None:
    stretch, main_insns = calling_stretch(xlen)
    rows = {row.function.name: (row.own, row.total, row.calls) for row in Profile(stretch, SYMBOLS).by_function()}
    f_total = F_INSNS + DOWN_INSNS
    assert rows == {
        "main": (main_insns, main_insns + f_total, 1),
        "f": (F_INSNS, f_total, 2),
        "down": (DOWN_INSNS, DOWN_INSNS, 4),
        "handler": (HANDLER_INSNS, HANDLER_INSNS, 1),
    }


def test_each_view_adds_up_to_what_has_retired() -> None:
    profile = Profile(calling_stretch(64)[0], SYMBOLS)
    whole = profile.stretch.insns
    assert sum(row.own for row in profile.by_function()) == whole
    assert sum(row.insns for row in profile.by_line()) == whole
    assert sum(row.count for row in profile.by_insn()) == whole


def test_functions_are_ordered_by_their_own_instructions() -> None:
    rows = Profile(calling_stretch(64)[0], SYMBOLS).by_function()
    assert [row.own for row in rows] == sorted((row.own for row in rows), reverse=True)


def test_function_that_is_only_jumped_to_has_its_own_instructions() -> None:
    stretch, _ = calling_stretch(64)
    down = next(symbol for symbol in SYMBOLS.symbols if symbol.name == "down")
    halves = [Symbol(down.address, 20, "down"), Symbol(down.address + 20, 12, "rest")]
    rows = Profile(stretch, SymbolTable.of(halves)).by_function()
    assert next((row.own, row.total, row.calls) for row in rows if row.function.name == "rest") == (12, 12, 0)


def test_code_without_a_symbol_is_called_by_its_privilege() -> None:
    rows = Profile(calling_stretch(64)[0], SymbolTable()).by_function()
    assert [(row.function.name, row.function.address) for row in rows] == [("[machine]", None)]


def test_instructions_come_with_their_code() -> None:
    profile = Profile(calling_stretch(64)[0], SYMBOLS)
    first = profile.by_insn()[0]
    assert first.count == 4
    assert profile.name_of(first.place) == "down"
    assert first.code == bytes.fromhex("130181ff")  # addi sp, sp, -8
