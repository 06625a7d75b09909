"""Trees of calls: what C code does, by what its assembler says; traps; threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.asm import A0, A1, ECALL, MRET, RA, SP, T0, ZERO, addi, code, csrr, csrw, jal, jalr, li
from support.recordings import PASS, RAM, finish_code, setup_of_code, setup_of_image

from minstret.devices.board.board import Setup
from minstret.emu.questions.calls import CallLines
from minstret.emu.questions.steps import stepping

RET = jalr(ZERO, RA, 0)


def told(setup: Setup, begin: int, end: int | None = None) -> tuple[list[str], list[dict[str, Any]]]:
    """Lines and facts of a stretch."""
    lines, facts = list[str](), list[dict[str, Any]]()
    run(setup, begin, end, lambda calls: (calls.step_lines, calls.trap_lines, calls.end_lines), lines)
    run(setup, begin, end, lambda calls: (calls.step_facts, calls.trap_facts, calls.end_facts), facts)
    return lines, facts


def run(setup: Setup, begin: int, end: int | None, tellers: Callable[[CallLines], Any], told: list[Any]) -> None:
    board = setup.make()
    board.run_until(icount=begin)
    step, trap, rest = tellers(CallLines(board.machine, board.symbols))
    with stepping(board.harts, lambda what: told.extend(step(what)), lambda what: told.extend(trap(what))):
        board.run_until(icount=end)
    told += rest()


def boot_insns() -> int:
    """How many instructions the boot ROM has, before the first of the image."""
    board = setup_of_code(code(ZERO_LOOP)).make()
    while board.hart.pc != RAM:
        board.run_until(icount=board.position.icount + 1)
    return board.position.icount


ZERO_LOOP = jal(ZERO, 0)
MAIN = code(
    addi(A0, ZERO, 5), jal(RA, 0x100 - 4),  # outer
    jal(RA, 0x200 - 8),  # leaf
) + finish_code(PASS)  # fmt: skip
OUTER = code(addi(T0, RA, 0), addi(A1, T0, 0), jal(RA, 0x200 - 0x108), addi(A0, A0, 1), jalr(ZERO, A1, 0))
OUTER_RETURNS = code(addi(A1, RA, 0), jal(RA, 0x200 - 0x104), addi(A0, A0, 1), addi(RA, A1, 0), RET)
LEAF = code(addi(A0, A0, 10), RET)


def test_calls_nest_and_count() -> None:
    begin = boot_insns()
    lines, facts = told(setup_of_code(MAIN, (0x100, OUTER_RETURNS), (0x200, LEAF)), begin)

    calls = [(each["pc"], each["depth"], each["insns"], each["self"], each["value"]) for each in facts]
    assert calls[:3] == [
        (f"{RAM + 0x200:#x}", 2, 2, 2, "0xf"), (f"{RAM + 0x100:#x}", 1, 7, 5, "0x10"),
        (f"{RAM + 0x200:#x}", 1, 2, 2, "0x1a"),
    ]  # fmt: skip
    assert (facts[0]["from"], facts[0]["to"]) == (begin + 4, begin + 6)
    assert [line[41:].strip()[:14] for line in lines[:5]] == [
        "0x80000000(...", "0x80000100(0x5", "0x80000200(0x5", "} 0x80000100 =", "0x80000200(0x1"
    ]  # fmt: skip


def test_jump_to_another_register_is_no_return() -> None:
    _, facts = told(setup_of_code(MAIN, (0x100, OUTER), (0x200, LEAF)), boot_insns())

    assert facts[1]["pc"] == f"{RAM + 0x200:#x}"  # called by what it jumped to
    assert facts[1]["depth"] == 2


def test_handler_of_a_trap_is_a_level_of_its_own() -> None:
    handler = code(csrr(A0, "mepc"), addi(A0, A0, 4), csrw("mepc", A0), MRET)
    main = code(li(A0, RAM + 0x100), csrw("mtvec", A0), li(A0, 3 << 11), csrw("mstatus", A0), ECALL) + finish_code(PASS)

    lines, facts = told(setup_of_code(main, (0x100, handler)), boot_insns())

    assert (facts[0]["pc"], facts[0]["trap"]) == (f"{RAM + 0x100:#x}", "trap: environment call from M-mode")
    assert (facts[0]["insns"], facts[0]["depth"]) == (4, 1)
    assert any("[trap: environment call from M-mode]" in line for line in lines)


def test_return_that_nobody_waits_for_begins_anew() -> None:
    main = code(li(RA, RAM + 0x100), RET)
    _, facts = told(setup_of_code(main, (0x100, finish_code(PASS))), boot_insns())

    assert [(each["pc"], each["depth"]) for each in facts] == [(f"{RAM:#x}", 0), (f"{RAM + 0x100:#x}", 0)]


def test_trap_that_returns_to_another_stack_begins_anew() -> None:
    handler = code(li(SP, RAM + 0x900), csrr(A0, "mepc"), addi(A0, A0, 4), csrw("mepc", A0), MRET)
    main = code(li(A0, RAM + 0x100), csrw("mtvec", A0), ECALL) + finish_code(PASS)

    _, facts = told(setup_of_code(main, (0x100, handler)), boot_insns())

    assert [each["depth"] for each in facts] == [1, 0, 0]


def test_self_of_all_calls_is_what_has_retired() -> None:
    _, facts = told(setup_of_image("smp", smp=2), 49_000, 52_000)

    assert sum(each["self"] for each in facts) == 3_000
    assert {each["hart"] for each in facts} == {0, 1}
