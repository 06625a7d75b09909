"""What page tables map, against the walk of the hart itself."""

from __future__ import annotations

import random

import pytest
from support.harts import RAM, board_of

from minstret.devices.board.board import Board
from minstret.emu.hart.mappings import Mapping
from minstret.emu.hart.shared import Access, Fault
from minstret.emu.hart.spec import PRIV_S, PTE_A, PTE_D, PTE_G, PTE_R, PTE_U, PTE_V, PTE_W, PTE_X

TABLES, TABLE_COUNT = RAM + 0x10000, 6
LEAF = PTE_V | PTE_R | PTE_W | PTE_X | PTE_A | PTE_D
SUM, MXR = 1 << 18, 1 << 19
PAGE = 0x1000
TREES = pytest.mark.parametrize(("xlen", "levels"), [(64, 3), (64, 4), (64, 5), (32, 2)])


def paging_board(xlen: int, levels: int, table: int = TABLES) -> Board:
    """A board with that root table, which PMP allows to read."""
    board = board_of(b"", xlen=xlen)
    board.registers["pmpaddr0"], board.registers["pmpcfg0"] = -1, 0x1F
    board.registers["mstatus"] = SUM | MXR
    board.registers["satp"] = (levels + 5 << 60 if xlen == 64 else 1 << 31) | table >> 12
    return board


def shape(xlen: int) -> tuple[int, int]:
    """The bits of an index, and the bytes of an entry."""
    return (9, 8) if xlen == 64 else (10, 4)


def put(board: Board, table: int, index: int, entry: int) -> None:
    size = shape(board.hart.xlen)[1]
    board.memory[table + index * size :] = entry.to_bytes(size, "little")


def as_seen(board: Board, va: int) -> int | None:
    """Where the hart's own walk leads, for what a leaf of any kind lets be read."""
    found = board.hart._mmu.translate(va, Access.READ, PRIV_S, quiet=True, ignore_accessed=True)
    return found.pa if found.fault == Fault.NONE else None


def as_listed(ranges: list[Mapping], va: int) -> int | None:
    return next((each.pa + va - each.va for each in ranges if each.va <= va < each.va + each.size), None)


def random_entry(chance: random.Random, xlen: int) -> int:
    kind = chance.random()
    if kind < 0.4:
        return (TABLES >> 12) + chance.randrange(TABLE_COUNT) << 10 | PTE_V
    page = chance.choice((0x80000, 0x80001, 0x80200, 0x80400, 0x80000 | chance.getrandbits(10), 0xC0000))
    entry = page << 10 | chance.choice((LEAF, LEAF, LEAF, LEAF | PTE_U, LEAF & ~PTE_R, chance.getrandbits(8)))
    if kind > 0.9 and xlen == 64:
        return (entry | 8 << 10) & ~(7 << 10) | 1 << 63  # perhaps 16 pages
    return entry | chance.getrandbits(64) << 54 & (1 << xlen) - 1 if kind > 0.85 else entry


@TREES
@pytest.mark.parametrize("case", range(12))
def test_ranges_lead_where_the_walk_of_the_hart_leads(xlen: int, levels: int, case: int) -> None:
    chance = random.Random(f"mappings/{levels}/{case}")
    bits, _ = shape(xlen)
    board = paging_board(xlen, levels)
    used = [0, 1, 2, (1 << bits) // 2 - 1, (1 << bits) // 2, (1 << bits) - 1]
    for table in range(TABLE_COUNT):
        for index in used:
            put(board, TABLES + table * PAGE, index, random_entry(chance, xlen))

    ranges, is_whole = board.hart.mapped(100_000)

    assert is_whole
    assert ranges == sorted(ranges)
    places = [va for each in ranges for va in (each.va, each.va - 1, each.va + each.size - 1, each.va + each.size)]
    for _ in range(500):
        va = 0
        for _ in range(levels):
            va = va << bits | chance.choice([*used, 3])
        va, top = va << 12 | chance.randrange(PAGE), 12 + bits * levels
        places.append(va | -1 << top if xlen == 64 and va >> top - 1 else va)
    for va in (place & (1 << xlen) - 1 for place in places):
        assert as_listed(ranges, va) == as_seen(board, va), f"{va:#x}, case {case}"


@TREES
def test_pages_that_follow_each_other_are_one_range_and_flags_divide(xlen: int, levels: int) -> None:
    board = paging_board(xlen, levels)
    for level in range(levels - 1):
        put(board, TABLES + level * PAGE, 0, TABLES + (level + 1) * PAGE >> 12 << 10 | PTE_V)
    leaves = TABLES + (levels - 1) * PAGE
    for index, flags in ((4, LEAF), (5, LEAF), (6, PTE_V | PTE_X | PTE_U | PTE_G), (9, PTE_V | PTE_R)):
        put(board, leaves, index, (RAM >> 12) + index << 10 | flags)

    assert board.hart.mapped(10).ranges == [
        Mapping(0x4000, RAM + 0x4000, 0x2000, "rwx--ad"),
        Mapping(0x6000, RAM + 0x6000, 0x1000, "--xug--"),
        Mapping(0x9000, RAM + 0x9000, 0x1000, "r------"),
    ]
    assert board.hart.mapped(2) == (board.hart.mapped(10).ranges[:2], False)


@TREES
def test_table_that_is_in_itself_is_walked_for_a_while_only(xlen: int, levels: int) -> None:
    board = paging_board(xlen, levels)
    bits, _ = shape(xlen)
    for index in range(1 << bits):
        put(board, TABLES, index, TABLES >> 12 << 10 | PTE_V)

    ranges, is_whole = board.hart.mapped(10)

    assert ranges == []
    assert is_whole is (levels == 2)  # 1024 tables and one are few


def test_bare_maps_nothing_and_a_table_out_of_ram_is_none() -> None:
    board = paging_board(64, 3, 0x1000)
    assert board.hart.mapped(10) == ([], True)
    board.registers["satp"] = 0
    assert board.hart.mapped(10) == ([], True)


@TREES
def test_table_that_pmp_keeps_from_the_hart_is_not_there(xlen: int, levels: int) -> None:
    board = paging_board(xlen, levels)
    put(board, TABLES, 1, LEAF | (1 << 36 if xlen == 64 else 1 << 20) << 10)
    assert len(board.hart.mapped(10).ranges) == 1

    board.registers["pmpcfg0"] = 0x18

    assert board.hart.mapped(10) == ([], True)
