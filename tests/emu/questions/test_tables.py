"""A profile as text and as JSON."""

from __future__ import annotations

import json

import pytest
from support.calling_program import SYMBOLS, calling_stretch

from minstret.emu.questions.profile import Profile
from minstret.emu.questions.tables import By, facts, table_lines


@pytest.fixture
def profile() -> Profile:
    return Profile(calling_stretch(64)[0], SYMBOLS)


def test_table_of_functions(profile: Profile) -> None:
    lines = list(table_lines(profile, By.FUNCTION, 3))
    whole = profile.stretch.insns
    main = whole - 40
    assert lines == [
        f"{whole} instructions, from icount 6 to {whole + 6}",
        f"0.{2 * whole:09} s of virtual time: executing 0.{2 * whole:09} s, waiting in WFI 0.000000000 s (0.0 %)",
        "",
        "self     %  total     %  calls  mode  function",
        f"  28  {2800 / whole:.1f}     28  {2800 / whole:.1f}      4     M  down",
        f"  {main}  {100 * main / whole:.1f}     {main + 36}  {100 * (main + 36) / whole:.1f}      1     M  main",
        f"   8  {800 / whole:.1f}     36  {3600 / whole:.1f}      2     M  f",
        f"and 1 more, with {400 / whole:.1f} % of the instructions",
    ]


@pytest.mark.parametrize("by", list(By))
def test_table_has_all_rows_where_none_are_left_out(profile: Profile, by: By) -> None:
    rows = len(facts(profile, by, None)[f"{by.value}s"])
    assert len(list(table_lines(profile, by, None))) == 4 + rows


def test_instructions_are_disassembled(profile: Profile) -> None:
    lines = list(table_lines(profile, By.INSN, 1))
    assert lines[4].endswith("0x80000140 <down>: ff810113  addi sp, sp, -8")


def test_json_tells_the_same(profile: Profile) -> None:
    found = json.loads(json.dumps(facts(profile, By.FUNCTION, 1)))
    assert found["insns"] == profile.stretch.insns
    assert found["harts"] == [{"id": 0, "insns": found["insns"], "modes": {"M-mode": found["insns"]}}]
    assert found["functions"] == [{
        "function": "down", "address": "0x80000140", "mode": "M-mode", "source": None, "self": 28, "total": 28,
        "calls": 4,
    }]  # fmt: skip
    assert json.dumps(facts(profile, By.INSN, None)).count('"assembler"') == len(profile.by_insn())
