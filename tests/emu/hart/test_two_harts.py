"""Two harts over one memory: what belongs to a hart is its own, and what one stores is seen by the other.

No schedule decides here: the tests say which hart runs.
"""

from __future__ import annotations

import pytest
from support import asm
from support.harts import RAM

from minstret.emu.bus import DeviceBus
from minstret.emu.hart.cpu import Cpu
from minstret.emu.hart.engine import IO_SIZE
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.memory import GuestMemory
from minstret.emu.hart.shared import PAGE_SIZE, STALE_PAGES_MAX, Counting

A1 = asm.A1
LOOP_AT, SHARED_AT = 0x4000, 0x8000


def two_harts(counting: Counting, xlen: int = 64) -> tuple[Hart, Hart]:
    memory = GuestMemory(RAM, 1 << 20, 0x1000, PAGE_SIZE, io_size=IO_SIZE)
    first = Hart(Cpu(xlen), memory, DeviceBus(), counting=counting)
    memory.write(RAM, asm.code(asm.addi(asm.A0, asm.A0, 1), asm.jal(0, -4)))
    second = Hart(Cpu(xlen), memory, DeviceBus(), counting=counting, hart_id=1)
    return first, second


def run(hart: Hart, insns: int) -> None:
    """Run one of two harts that have counts of their own."""
    hart.enter(hart.icount)
    hart.run(hart.icount + insns)
    hart.tell_what_is_stale()
    hart.end_reservation()


@pytest.mark.parametrize("counting", list(Counting))
def test_a_second_hart_leaves_memory_and_the_first_as_they_are(counting: Counting) -> None:
    first, second = two_harts(counting)
    assert first.read_physical(RAM, 4) == asm.code(asm.addi(asm.A0, asm.A0, 1))
    run(first, 11)
    third = Hart(Cpu(64), first.memory, DeviceBus(), counting=counting)
    run(first, 10)

    assert first.env.x[asm.A0] == 11
    assert (second.icount, third.icount) == (0, 0)


@pytest.mark.parametrize("counting", list(Counting))
@pytest.mark.parametrize("turn", [1, 3, 100])
def test_each_hart_runs_its_own_program(counting: Counting, turn: int) -> None:
    first, second = two_harts(counting)
    first.memory.write(RAM + LOOP_AT, asm.code(asm.addi(A1, A1, 2), asm.csrr(asm.T0, "mhartid"), asm.jal(0, -8)))
    second.env.pc = RAM + LOOP_AT
    while first.icount < 600:
        run(first, turn)
        run(second, turn)

    assert (first.env.x[asm.A0], first.env.x[A1]) == ((first.icount + 1) // 2, 0)
    assert (second.env.x[asm.A0], second.env.x[A1], second.env.x[asm.T0]) == (0, 2 * ((second.icount + 2) // 3), 1)


@pytest.mark.parametrize("counting", list(Counting))
def test_code_stored_by_one_hart_is_executed_by_the_other(counting: Counting) -> None:
    """The second counts by what the first stores over its instruction, each time after it has executed it."""
    first, second = two_harts(counting)
    first.memory.write(RAM, asm.code(asm.sw(asm.A2, A1, 0), asm.LOOP))
    first.memory.write(RAM + LOOP_AT, asm.code(asm.addi(asm.A0, asm.A0, 1), asm.jal(0, -4)))
    second.env.pc, first.env.x[A1] = RAM + LOOP_AT, RAM + LOOP_AT
    expected = 0
    for step in (1, 5, 7, 7, 2):
        first.env.pc, first.env.x[asm.A2] = RAM, asm.addi(asm.A0, asm.A0, step)
        run(first, 2)
        run(second, 20)
        expected += 10 * step

    assert second.env.x[asm.A0] == expected


@pytest.mark.parametrize("counting", list(Counting))
def test_code_that_one_hart_makes_of_data_is_watched_on_the_other(counting: Counting) -> None:
    """The first stores to a page, as to any other, before the second executes it; then again."""
    first, second = two_harts(counting)
    first.memory.write(RAM, asm.code(asm.sw(asm.A2, A1, 0), asm.jal(0, -4)))
    first.env.x[A1] = second.env.pc = RAM + LOOP_AT
    first.memory.write(RAM + LOOP_AT + 4, asm.code(asm.jal(0, -4)))
    for step in (3, 4):
        first.env.x[asm.A2] = asm.addi(asm.A0, asm.A0, step)
        run(first, 4)
        run(second, 2)

    assert second.env.x[asm.A0] == 7


@pytest.mark.parametrize("counting", list(Counting))
@pytest.mark.parametrize("pages", [3, STALE_PAGES_MAX, STALE_PAGES_MAX + 1])
def test_code_stored_to_several_pages_in_one_turn_is_executed_by_the_other(pages: int, counting: Counting) -> None:
    """The second executes an instruction of each page; the first stores others over them."""
    first, second = two_harts(counting)
    start = RAM + 0x10000
    for page in range(pages):
        ends = page == pages - 1
        leave = asm.LOOP if ends else asm.jal(0, PAGE_SIZE - 4)
        first.memory.write(start + page * PAGE_SIZE, asm.code(asm.addi(asm.A0, asm.A0, 1), leave))
    store = (asm.sw(asm.A2, A1, 0), asm.add(A1, A1, asm.A3), asm.bne(A1, asm.A4, -8), asm.LOOP)
    first.memory.write(RAM, asm.code(*store))
    for register, value in ((A1, start), (asm.A3, PAGE_SIZE), (asm.A4, start + pages * PAGE_SIZE)):
        first.env.x[register] = value
    first.env.x[asm.A2] = asm.addi(asm.A0, asm.A0, 16)
    for _ in range(2):
        second.env.pc = start
        run(second, 2 * pages)
        run(first, 3 * pages)

    assert second.env.x[asm.A0] == 17 * pages


@pytest.mark.parametrize("counting", list(Counting))
def test_half_an_instruction_stored_behind_a_page_boundary_is_executed_by_the_other(counting: Counting) -> None:
    first, second = two_harts(counting)
    at = RAM + 2 * PAGE_SIZE - 2
    first.memory.write(at, asm.code(asm.addi(asm.A0, asm.A0, 1), asm.LOOP))
    first.memory.write(RAM, asm.code(asm.sh(asm.A2, A1, 0), asm.LOOP))
    first.env.x[A1], first.env.x[asm.A2] = at + 2, asm.addi(asm.A0, asm.A0, 16) >> 16
    for _ in range(2):
        second.env.pc = at
        run(second, 3)
        run(first, 2)

    assert second.env.x[asm.A0] == 17


@pytest.mark.parametrize("counting", list(Counting))
def test_code_stored_over_what_did_not_decode_is_executed_by_the_other(counting: Counting) -> None:
    first, second = two_harts(counting)
    first.memory.write(RAM + LOOP_AT, asm.code(asm.LOOP))
    first.memory.write(RAM + SHARED_AT, bytes(8))
    first.memory.write(RAM, asm.code(asm.sw(asm.A2, A1, 0), asm.LOOP))
    first.env.x[A1], first.env.x[asm.A2] = RAM + SHARED_AT, asm.addi(asm.A0, asm.A0, 16)
    second.env.mtvec = RAM + LOOP_AT
    for _ in range(2):
        second.env.pc = RAM + SHARED_AT
        run(second, 1)
        run(first, 2)

    assert second.env.x[asm.A0] == 16


@pytest.mark.parametrize("counting", list(Counting))
def test_what_others_write_is_dropped_on_every_hart(counting: Counting) -> None:
    first, second = two_harts(counting)
    second.env.pc = RAM
    run(first, 4)
    run(second, 4)
    first.memory.write(RAM, asm.code(asm.addi(asm.A0, asm.A0, 16)))
    first.run(first.icount + 2)
    second.run(second.icount + 2)

    assert (first.env.x[asm.A0], second.env.x[asm.A0]) == (18, 18)


@pytest.mark.parametrize("counting", list(Counting))
def test_page_table_changed_by_one_hart_counts_on_the_other(counting: Counting) -> None:
    """The second reads through a table; the first stores another page into its entry."""
    first, second = two_harts(counting, xlen=32)
    memory = first.memory
    table, leaf = RAM + 0x10000, 0xCF  # D A X W R V
    megapages = {RAM >> 22: RAM >> 12, 1: RAM >> 12}
    for index, ppn in megapages.items():
        memory.write(table + 4 * index, (ppn << 10 | leaf).to_bytes(4, "little"))
    memory.write(RAM + SHARED_AT, (1111).to_bytes(4, "little"))
    memory.write(RAM, asm.code(asm.sw(asm.A2, A1, 0), asm.LOOP))
    memory.write(RAM + LOOP_AT, asm.code(asm.lw(asm.A0, A1, 0), asm.jal(0, -4)))
    second.env.priv, second.env.satp, second.env.pc = 1, 1 << 31 | table >> 12, RAM + LOOP_AT
    second.core.pmp.write_addr(0, (1 << 32) - 1)
    second.core.pmp.write_cfg(0, 0x1F)
    second.env.x[A1] = 1 << 22 | SHARED_AT
    run(second, 2)
    assert second.env.x[asm.A0] == 1111
    first.env.x[A1], first.env.x[asm.A2] = table + 4, 0  # no page is there any more
    run(first, 2)
    run(second, 1)

    assert second.first_trap is not None and second.first_trap.cause == 13


@pytest.mark.parametrize("counting", list(Counting))
def test_reservation_ends_when_another_hart_has_run(counting: Counting) -> None:
    first, second = two_harts(counting)
    first.memory.write(RAM, asm.code(asm.lr_w(asm.A0, A1), asm.sc_w(asm.A0, asm.A2, A1), asm.LOOP))
    first.env.x[A1] = RAM + SHARED_AT
    second.env.pc = RAM + LOOP_AT
    first.memory.write(RAM + LOOP_AT, asm.code(asm.LOOP))
    run(first, 1)
    run(second, 1)
    run(first, 1)

    assert first.env.x[asm.A0] == 1
