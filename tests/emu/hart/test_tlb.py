"""What the TLB is spared where functions of ours stand in Unicorn's place (_tlb.c), and that nothing else changes."""

from __future__ import annotations

import pytest
from support import asm
from support.harts import RAM, board_of
from support.needs import Need

from minstret.emu.hart import helpers
from minstret.emu.hart.spec import Cause
from minstret.emu.machine import Outcome, StopReason

TURNS, PAGES, HANDLER = 200, 5, 0x800
LOCKED_NAPOT = 0x98
WIDTHS = pytest.mark.parametrize("xlen", [64, 32])


@WIDTHS
def test_sfence_forgets_no_translation(need: Need, xlen: int) -> None:
    need("our functions in Unicorn's place", not helpers.problem(xlen))
    board = board_of(
        asm.code(asm.li(asm.T0, RAM + 0x2000), asm.li(asm.S1, TURNS)),
        (0x100, asm.code(
            asm.lw(asm.A0, asm.T0, 0), asm.SFENCE_VMA, asm.addi(asm.S1, asm.S1, -1),
            asm.bne(asm.S1, asm.ZERO, -12), asm.LOOP,
        )),
        xlen=xlen,
    )  # fmt: skip
    board.run_until(icount=100)
    board.registers["pc"] = RAM + 0x100

    fills = board.machine.hart.statistics["fills"]
    board.run_until(icount=100 + 4 * TURNS)

    assert board.registers["s1"] == 0
    assert board.machine.hart.statistics["fills"] - fills < TURNS / 2


@WIDTHS
@pytest.mark.parametrize("stores", [False, True])
def test_access_that_misses_the_tlb_in_the_middle_of_a_block_traps_there(
    counting: str, xlen: int, stores: bool
) -> None:
    """Each access is the first one to its page; the last page is locked."""
    access = (asm.sw if stores else asm.lw)(asm.A0, asm.T0, 0)
    step = asm.code(access, asm.add(asm.T0, asm.T0, asm.T1), asm.addi(asm.S1, asm.S1, 1))
    locked = RAM + 0x2000 + PAGES * 0x1000
    start = asm.code(
        asm.li(asm.T0, locked >> 2 | 0x1FF), asm.csrw("pmpaddr0", asm.T0), asm.li(asm.T0, LOCKED_NAPOT),
        asm.csrw("pmpcfg0", asm.T0), asm.li(asm.T0, RAM + HANDLER), asm.csrw("mtvec", asm.T0),
        asm.li(asm.T0, RAM + 0x2000), asm.li(asm.T1, 0x1000), asm.addi(asm.S1, asm.ZERO, 0),
        asm.jal(asm.ZERO, 4),
    )  # fmt: skip
    board = board_of(start + step * (PAGES + 2), (HANDLER, asm.code(asm.LOOP)), xlen=xlen, counting=counting)

    outcome = board.run_until(pc=RAM + HANDLER, icount=10_000)

    registers = board.registers
    assert outcome == Outcome(StopReason.REACHED)
    assert registers["s1"] == PAGES
    assert registers["mepc"] == RAM + len(start) + PAGES * len(step)
    assert registers["mtval"] == locked
    assert registers["mcause"] == (Cause.STORE_ACCESS if stores else Cause.LOAD_ACCESS)
