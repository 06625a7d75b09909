"""One hart changes the page tables that another one uses, where it is easy to miss: beside the model."""

from __future__ import annotations

import pytest
from support import asm
from support.asm import A0, A1, A2, RA, T0, T1
from support.generated_code import RAM
from support.generated_smp import SmpProgram
from support.interleavings import OurSide, PlainSide, Turn, first_difference, run_turns

from minstret.emu.hart.shared import Counting

WINDOW = 0x1000_0000
"""The virtual address of the page that the table's first entry maps."""
ROOT, TABLE, PAGES = 0x10000, 0x11000, 0x20000
LEAF, DIRTY, JALR = 0xCF, 0x80, 0x67
SATP = 0x180
READS = asm.code(asm.lw(A0, A1, 0), asm.jal(0, -4))


def entry(offset: int, flags: int) -> int:
    """A page table entry that points there in RAM."""
    return RAM + offset >> 12 << 10 | flags


def two_sides(
    counting: str, *programs: bytes, supervisor: int, flags: int = LEAF & ~DIRTY
) -> tuple[OurSide, PlainSide]:
    """Each hart with its program; one of them in supervisor mode, with a page at WINDOW that is not dirty yet.

    a1 is WINDOW, a2 the address of that page's entry; t0 and t1 are entries for the next two pages. The pages hold
    111, 222 and 333.
    """
    image = bytearray(1 << 18)
    for number, program in enumerate(programs):
        image[0x1000 * number : 0x1000 * number + len(program)] = program
    entries = {
        ROOT + 4 * (RAM >> 22): entry(0, LEAF), ROOT + 4 * (WINDOW >> 22): entry(TABLE, 1), TABLE: entry(PAGES, flags),
        PAGES: 111, PAGES + 0x1000: 222, PAGES + 0x2000: 333,
    }  # fmt: skip
    for at, word in entries.items():
        image[at : at + 4] = word.to_bytes(4, "little")
    program = SmpProgram(
        "by hand", 32, len(programs), bytes(image), [0x1000 * number for number in range(len(programs))]
    )
    ours, plain = OurSide(program, Counting(counting)), PlainSide(program)
    for hart, model in zip(ours.harts, plain.harts, strict=True):
        others = [entry(PAGES + 0x1000 * number, LEAF) for number in (1, 2)]
        for register, value in zip((A1, A2, T0, T1), (WINDOW, RAM + TABLE, *others), strict=True):
            hart.env.x[register] = model.x[register] = value
    hart, model = ours.harts[supervisor], plain.harts[supervisor]
    hart.core.pmp.write_addr(0, (1 << 32) - 1)
    hart.core.pmp.write_cfg(0, 0x1F)
    hart.env.priv = model.privilege = 1
    hart.env.satp = model.csrs[SATP] = 1 << 31 | RAM + ROOT >> 12
    return ours, plain


@pytest.mark.parametrize("turn", [1, 7, 2000])
def test_table_that_was_stored_to_very_often_still_counts_when_it_changes(counting: str, turn: int) -> None:
    """Hart 1 reads through a table. Hart 0 stores to other entries until the table is not watched; then to that one."""
    stores = asm.code(
        asm.addi(T1, 0, 300), asm.sw(0, A2, 1024), asm.addi(T1, T1, -1), asm.bne(T1, 0, -8),
        asm.sw(T0, A2, 0), asm.LOOP,
    )  # fmt: skip
    ours, plain = two_sides(counting, stores, READS, supervisor=1)
    sweep = [Turn(0, turn)] * (1000 // turn + 1)
    turns = [Turn(0, 4), Turn(1, 2), *sweep, Turn(1, 2)]
    difference = first_difference(run_turns(ours, turns), run_turns(plain, turns))

    assert difference is None
    assert plain.harts[1].x[A0] == 222


def test_entry_that_another_hart_used_as_soon_as_it_was_made_still_counts_when_it_changes(counting: str) -> None:
    """Hart 0 takes a page away, maps another, and a third; hart 1 reads after the second and the third store."""
    stores = asm.code(asm.sw(0, A2, 0), asm.sw(T0, A2, 0), asm.sw(T1, A2, 0), asm.LOOP)
    ours, plain = two_sides(counting, stores, READS, supervisor=1)
    turns, seen = [Turn(1, 2), Turn(0, 2), Turn(1, 2), Turn(0, 1), Turn(1, 2)], []
    for turn in turns:
        assert first_difference(run_turns(ours, [turn]), run_turns(plain, [turn])) is None
        seen.append(ours.harts[1].env.x[A0])

    assert seen == [111, 111, 222, 222, 333]


def test_page_table_entry_that_is_executed_changes_with_its_dirty_bit(counting: str) -> None:
    """The entry is also an instruction, which hart 1 executes again and again: JALR x0, 512(x1), and with D JALR x1."""
    calls = asm.code(
        asm.auipc(RA, 0), asm.addi(RA, RA, 0x10 - 0x200), asm.addi(T1, RA, 0), asm.jalr(0, A2, 0),
        asm.sub(A0, RA, T1), asm.jal(0, -20),
    )  # fmt: skip
    stores = asm.code(asm.lw(A0, A1, 0), asm.sw(A1, A1, 4), asm.LOOP)
    ours, plain = two_sides(counting, stores, calls, supervisor=0, flags=JALR)
    turns = [Turn(0, 1), Turn(1, 14), Turn(0, 1), Turn(1, 7)]
    difference = first_difference(run_turns(ours, turns), run_turns(plain, turns))

    assert difference is None
    assert plain.harts[1].x[RA] == RAM + TABLE + 4
