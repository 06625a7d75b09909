"""The search for the first difference, against a comparison of each instruction."""

from __future__ import annotations

import random

import pytest
from support.asm import A0, LOOP, S0, T0, T1, ZERO, addi, bne, code, jal, lb, li, lw, sw
from support.generated_code import generate
from support.two_runs import Row, first_difference, live_side, rows, setup_of_ram

from minstret.emu.questions.diffing.compared import Differs
from minstret.emu.questions.diffing.search import Found, Search

INSNS = 1500
RAM = 0x8000_0000


def place_to_change(pick: random.Random, seen: list[Row], size: int) -> int:
    """An offset in RAM: of an instruction that is executed, of a byte that is accessed, or any."""
    kind, row = pick.randrange(3), pick.choice(seen)
    offset = row.pc - RAM + pick.randrange(2)
    if kind == 1:
        row = pick.choice([row for row in seen if row.accessed is not None] or seen)
        offset = (row.accessed or (row.pc, b""))[0] - RAM
    if kind == 2 or not 0 <= offset < size:
        return pick.randrange(size)
    return offset


@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("case", range(5))
def test_planted_change_is_found_where_comparing_each_instruction_finds_it(case: int, xlen: int) -> None:
    seed = f"two runs {case}/{xlen}"
    pick, ram = random.Random(seed), generate(seed, xlen).image()
    setup = setup_of_ram(ram, xlen)
    ours = list(rows(setup.make(), INSNS))
    for number in range(3):
        other = bytearray(ram)
        at = place_to_change(pick, [row for row in ours if isinstance(row, Row)], len(ram))
        other[at] ^= 1 << pick.randrange(8)
        changed = setup_of_ram(bytes(other), xlen)
        expected = first_difference(ours, rows(changed.make(), INSNS))
        search = Search(
            live_side("a", setup, INSNS), live_side("b", changed, INSNS),
            stride_insns_max=pick.choice((256, 700, 1_000_000)),
        )  # fmt: skip
        found = search.first()
        assert (None if found is None else found.icount) == expected, (seed, number, hex(at), found)


DATA = 0x800
COUNT_DOWN = code(li(S0, RAM + DATA), addi(T0, ZERO, 2000), addi(T1, ZERO, 0), addi(T0, T0, -1), bne(T0, ZERO, -4))
"""A loop, so that what comes behind it is in the middle of a stride."""


def searched(*programs: bytes, data: tuple[bytes, bytes] = (b"", b""), insns: int = 20_000) -> Found | None:
    """What is found between two programs with other data at DATA; both loop where they end."""
    sides = []
    for name, program, more in zip("ab", programs * (3 - len(programs)), data, strict=False):
        ram = bytearray(0x1000)
        ram[: len(program)] = program
        ram[DATA : DATA + len(more)] = more
        sides.append(live_side(name, setup_of_ram(bytes(ram), 64), insns))
    return Search(*sides).first()


def test_load_is_found_although_its_register_is_overwritten_at_once() -> None:
    found = searched(COUNT_DOWN + code(lw(A0, S0, 0), addi(A0, ZERO, 1), LOOP), data=(b"\1", b"\2"))
    assert found is not None
    assert found.what is Differs.READ
    assert found.steps is not None
    assert [each.accessed.read for each in found.steps] == [b"\1\0\0\0", b"\2\0\0\0"]
    assert {each.insn.pc - RAM for each in found.steps if each.insn} == {len(COUNT_DOWN)}


def test_instruction_is_found_although_it_has_no_effect() -> None:
    one, other = (COUNT_DOWN + code(addi(A0, ZERO, value), addi(A0, ZERO, 1), LOOP) for value in (5, 6))
    found = searched(one, other)
    assert found is not None
    assert found.what is Differs.INSN
    assert {each.insn.pc - RAM for each in found.steps or () if each.insn} == {len(COUNT_DOWN)}


def test_instruction_that_no_run_comes_to_is_none() -> None:
    one, other = (COUNT_DOWN + code(jal(ZERO, 8), addi(A0, ZERO, value), LOOP) for value in (5, 6))
    assert searched(one, other) is None


def test_bytes_that_are_overwritten_before_they_are_read_are_none() -> None:
    store_and_load = [insn for at in range(0, 64, 4) for insn in (sw(T0, S0, at), lw(A0, S0, at))]
    garbage = bytes(range(1, 64))
    assert searched(COUNT_DOWN + code(*store_and_load, LOOP), data=(b"", garbage)) is None


def test_bytes_beside_those_that_differ_may_be_read() -> None:
    """Of many ranges those are guarded as one that are near each other."""
    sparse = bytes(value for _ in range(300) for value in (1, 0, 0, 0))
    found = searched(COUNT_DOWN + code(*[lb(A0, S0, 4 * at + 1) for at in range(50)], lb(A0, S0, 40), LOOP),
                     data=(b"", sparse))  # fmt: skip
    assert found is not None
    assert {each.insn.pc - RAM for each in found.steps or () if each.insn} == {len(COUNT_DOWN) + 200}


def test_run_that_ends_sooner_differs_at_its_end() -> None:
    program = COUNT_DOWN + code(LOOP)
    sides = [live_side(name, setup_of_ram(program, 64), insns) for name, insns in (("a", 10_000), ("b", 10_001))]
    found = Search(*sides).first()
    assert found is not None
    assert (found.what, found.icount) == (Differs.END, 10_000)


def test_harts_in_another_order_differ_where_another_one_runs() -> None:
    program = code(addi(A0, A0, 1), jal(ZERO, -4))
    sides = [live_side(name, setup_of_ram(program, 64, smp=2, quantum=quantum), 20_000)
             for name, quantum in (("a", 4000), ("b", 4100))]  # fmt: skip
    found = Search(*sides).first()
    assert found is not None
    assert (found.what, found.icount) == (Differs.HART, 4000)
    assert [each.hart for each in found.steps or ()] == [1, 0]
