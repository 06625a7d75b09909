"""Instructions as lines and as facts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from support.asm import A0, A1, ECALL, MRET, code, csrw, li, sb, sw
from support.recordings import PASS, RAM, UART, finish_code, setup_of_code, setup_of_image

from minstret.devices.board.board import Setup
from minstret.emu.questions.insns import InsnLines
from minstret.emu.questions.steps import stepping

HANDLER = RAM + 0x100
DATA = RAM + 0x800
TRAPPING = setup_of_code(
    code(li(A0, HANDLER), csrw("mtvec", A0), ECALL),
    (0x100, code(li(A0, RAM + 0x200), csrw("mepc", A0), MRET)), (0x200, finish_code(PASS)),
)  # fmt: skip
STORING = setup_of_code(code(li(A0, DATA), li(A1, UART), sw(A1, A0, 4), sb(A0, A1, 0)) + finish_code(PASS))


def lines_of(setup: Setup, icount: int | None = None, **options: Any) -> list[str]:
    board, found = setup.make(), list[str]()
    lines = InsnLines(board.machine, board.symbols, **options)
    with stepping(
        board.harts,
        lambda step: found.extend(lines.step_lines(step)),
        lambda trap: found.extend(lines.trap_lines(trap)),
    ):
        board.run_until(icount=icount)
    return found


def facts_of(setup: Setup, icount: int | None = None, **options: Any) -> list[dict[str, Any]]:
    board, found = setup.make(), list[dict[str, Any]]()
    lines = InsnLines(board.machine, board.symbols, **options)
    with stepping(
        board.harts,
        lambda step: found.extend(lines.step_facts(step)),
        lambda trap: found.extend(lines.trap_facts(trap)),
    ):
        board.run_until(icount=icount)
    return found


def test_trap_is_between_its_instruction_and_its_handler() -> None:
    lines = lines_of(TRAPPING)

    (at,) = (at for at, line in enumerate(lines) if "--" in line)
    assert lines[at].split(maxsplit=1)[1] == (
        f"-- trap: environment call from M-mode (11) at {RAM + 0x18:#x}, tval 0x0, in M-mode; handler {HANDLER:#x}"
    )
    assert f"{RAM + 0x14:#x}: 30551073  csrw mtvec, a0" in lines[at - 1]
    assert lines[at - 1].endswith(f"mtvec={HANDLER:#x}")
    assert f"  {HANDLER:#x}: " in lines[at + 1]


def test_return_from_a_trap_tells_the_privilege() -> None:
    (line,) = (line for line in lines_of(TRAPPING) if "mret" in line)

    assert line.endswith(("  in U-mode", "  in M-mode"))


def test_accesses_are_told_with_the_device_that_answers() -> None:
    lines = lines_of(STORING, shows_memory=True)

    assert any(line.endswith(f"[{DATA + 4:#x}] := 0x{UART:08x}") for line in lines)
    assert any(line.endswith(f"[{UART:#x} <uart0>] := 0x00") for line in lines)


def test_facts_have_what_lines_have() -> None:
    facts = facts_of(TRAPPING, shows_memory=True)

    assert [each["kind"] for each in facts].count("trap") == 1
    (ecall,) = (each for each in facts if each["kind"] == "trap")
    assert ecall["name"] == "environment call from M-mode"
    (mtvec,) = (each for each in facts if each["kind"] == "exec" and "mtvec" in each["registers"])
    assert mtvec["registers"] == {"mtvec": f"{HANDLER:#x}"}
    assert facts[-1]["memory"] == [] or facts[-1]["memory"][0]["device"] == "finisher"


def test_only_one_hart_of_several() -> None:
    setup = setup_of_image("smp", smp=2, quantum=1000)
    both = lines_of(setup, 12_000)

    first, second = (lines_of(setup, 12_000, hart=number) for number in (0, 1))

    assert first == [line for line in both if "  hart0 " in line]
    assert second == [line for line in both if "  hart1 " in line]
    assert first
    assert second


def test_sources_are_told_where_they_change() -> None:
    lines = lines_of(setup_of_image("hello"), 200, shows_source=True)

    sources = [line.strip() for line in lines if line.startswith(" " * 16)]
    assert any(line.endswith(":") and ".c:" in line for line in sources)
    assert all(one != other for one, other in pairwise(sources))


@pytest.mark.parametrize("xlen", [64, 32])
def test_lines_have_names_and_values(xlen: int) -> None:
    lines = lines_of(setup_of_image("hello", xlen), 300)

    assert any("<_start" in line and "auipc gp" in line and "  gp=0x8" in line for line in lines)
