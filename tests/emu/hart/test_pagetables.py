"""Sv39, Sv48 and Sv57: levels, addresses, large pages, Svnapot; and which of them satp takes."""

from __future__ import annotations

import pytest
from support import asm
from support.harts import RAM, board_of

from minstret.devices.board.board import Board
from minstret.emu.hart.cpu import NOTHING_MORE, Feature
from minstret.emu.hart.pagetables import Kind, kind_of, leaf_ppn, satp_modes, tables_of
from minstret.emu.hart.spec import PTE_A, PTE_D, PTE_N, PTE_R, PTE_U, PTE_V, PTE_W, PTE_X, Cause

TABLES, DATA = RAM + 0x10000, RAM + 0x40000
LEAF = PTE_V | PTE_R | PTE_W | PTE_A | PTE_D
LOAD, STORE, HANDLER = RAM, RAM + 8, RAM + 16
PROGRAM = asm.code(asm.lw(asm.A0, asm.T0, 0), asm.LOOP, asm.sw(asm.A0, asm.T0, 0), asm.LOOP, asm.LOOP)
MPRV_OF_S = 1 << 17 | 1 << 11
RAM_SIZE = 1 << 20
all_levels = pytest.mark.parametrize("levels", [3, 4, 5])


def paging_board(levels: int, counting: str = "code", cpu: str | None = None) -> Board:
    """A board whose M-mode program loads as S-mode from the address in t0."""
    board = board_of(PROGRAM, counting=counting, cpu=cpu)
    board.run_until(icount=10)
    registers = board.registers
    registers["pmpaddr0"], registers["pmpcfg0"] = -1, 0x1F
    registers["mtvec"], registers["mstatus"] = HANDLER, MPRV_OF_S
    registers["satp"] = levels + 5 << 60 | TABLES >> 12
    return board


def map_leaf(board: Board, levels: int, va: int, level: int, entry: int) -> None:
    """A table of each level above, and the entry in the one of that level."""
    for above in range(levels - 1, level - 1, -1):
        table = TABLES + (levels - 1 - above) * 0x1000
        pointer = (table + 0x1000 >> 12) << 10 | PTE_V
        at = table + (va >> 12 + 9 * above & 511) * 8
        board.memory[at:] = (pointer if above > level else entry).to_bytes(8, "little")


def load(board: Board, va: int) -> int | None:
    """What the guest loads from there; None where that is a page fault at that address."""
    registers = board.registers
    registers["t0"], registers["pc"], registers["mcause"], registers["mstatus"] = va, LOAD, 0, MPRV_OF_S
    board.run_until(icount=board.position.icount + 1)
    if registers["pc"] == LOAD + 4:
        return int(registers["a0"])
    assert (registers["pc"], registers["mcause"], registers["mtval"]) == (HANDLER, Cause.LOAD_PAGE_FAULT, va)
    return None


@all_levels
def test_each_level_may_have_a_leaf_and_a_misaligned_one_faults(levels: int, counting: str) -> None:
    board = paging_board(levels, counting)
    for level in range(levels):
        size = 0x1000 << 9 * level
        offset = DATA % size if level else 0
        va = (1 << 12 + 9 * levels - 2) + 5 * size + offset
        board.memory[DATA:] = (77).to_bytes(4, "little")
        base = DATA - offset

        map_leaf(board, levels, va, level, base >> 12 << 10 | LEAF)
        if RAM <= base + offset < RAM + RAM_SIZE:
            assert load(board, va) == 77, f"level {level}"
        if level:
            map_leaf(board, levels, va, level, (base >> 12) + (1 << 9 * level - 1) << 10 | LEAF)
            assert load(board, va) is None, f"level {level}"


@all_levels
def test_bits_above_the_last_translated_one_are_like_it(levels: int, counting: str) -> None:
    board, top = paging_board(levels, counting), 12 + 9 * levels
    high = (1 << 64) - (1 << top - 1)
    for va in (1 << top - 2, high):
        map_leaf(board, levels, va, 0, DATA >> 12 << 10 | LEAF)
        assert load(board, va) == 0
        for bit in range(top - 1 if va != high else top, 64):
            assert load(board, va ^ 1 << bit) is None, f"bit {bit}"


def test_sixteen_pages_of_one_entry_are_where_it_says(counting: str) -> None:
    board = paging_board(5, counting)
    entry = (DATA >> 12 | 8) << 10 | LEAF | PTE_N
    for page in range(16):
        va = 0x123_0000_0000 + page * 0x1000
        board.memory[DATA + page * 0x1000 + 8 :] = (100 + page).to_bytes(4, "little")
        map_leaf(board, 5, va, 0, entry)

        assert load(board, va + 8) == 100 + page
        map_leaf(board, 5, va, 0, entry ^ 1 << 10)
        assert load(board, va + 8) is None
    map_leaf(board, 5, 0, 1, entry)
    assert load(board, 0) is None


@pytest.mark.parametrize("cpu", ["rv64gc", "rv64,svnapot=off"])
def test_bit_of_svnapot_is_reserved_without_it(cpu: str, counting: str) -> None:
    board = paging_board(3, counting, cpu)
    map_leaf(board, 3, 0, 0, (DATA >> 12 | 8) << 10 | LEAF | PTE_N)

    assert load(board, 0) is None


PBMTE, ADUE = 1 << 62, 1 << 61


@pytest.mark.parametrize("bits", [0, 1, 2, 3])
def test_memory_types_are_taken_where_menvcfg_says_so(bits: int, counting: str) -> None:
    """They have no effect, as there are no caches."""
    board = paging_board(3, counting)
    map_leaf(board, 3, 0, 0, DATA >> 12 << 10 | LEAF | bits << 61)
    for pbmte in (0, PBMTE, 0):
        board.registers["menvcfg"] = ADUE | pbmte

        assert load(board, 0) == (0 if bits == 0 or (pbmte and bits != 3) else None)


def test_pointer_with_a_memory_type_faults() -> None:
    board = paging_board(3)
    board.registers["menvcfg"] = ADUE | PBMTE
    map_leaf(board, 3, 0, 0, DATA >> 12 << 10 | LEAF)
    assert load(board, 0) == 0
    board.memory[TABLES + 7 : TABLES + 8] = b"\x20"

    assert load(board, 0) is None


@pytest.mark.parametrize("cpu", [None, "rv64gc", "rv64,svadu=off"])
def test_accessed_and_dirty_bits_are_set_unless_menvcfg_leaves_them_to_software(cpu: str | None, counting: str) -> None:
    board = paging_board(3, counting, cpu)
    leaf = TABLES + 0x2000
    faults = cpu is None
    for flags, stores in ((PTE_R | PTE_W, False), (PTE_R | PTE_W | PTE_A, True)):
        for adue in (0, ADUE, 0):
            if cpu != "rv64gc":
                board.registers["menvcfg"] = adue
            entry = DATA >> 12 << 10 | PTE_V | flags
            map_leaf(board, 3, 0, 0, entry)
            board.registers["t0"], board.registers["pc"] = 0, STORE if stores else LOAD
            board.registers["mstatus"] = MPRV_OF_S
            board.run_until(icount=board.position.icount + 1)

            is_marked = adue != 0 or not faults
            assert (board.registers["pc"] == (STORE if stores else LOAD) + 4) is is_marked
            marked = entry | PTE_A | (PTE_D if stores else 0)
            assert board.memory[leaf : leaf + 8] == (marked if is_marked else entry).to_bytes(8, "little")


@pytest.mark.parametrize(
    ("cpu", "taken"), [("rv64", {8, 9, 10}), ("rv64,sv57=off", {8, 9}), ("rv64,sv48=off", {8}), ("rv64gc", {8})]
)
def test_satp_takes_the_modes_that_the_hart_has_and_else_stays(cpu: str, taken: set[int], counting: str) -> None:
    program = asm.code(asm.csrw("satp", asm.T0), asm.csrr(asm.A0, "satp"), asm.LOOP)
    board = board_of(program, counting=counting, cpu=cpu)
    board.run_until(icount=10)
    before = 0
    for mode in (8, 9, 10, 11, 15, 1):
        wanted = mode << 60 | 0x123 << 44 | TABLES >> 12 + mode
        board.registers["t0"], board.registers["pc"] = wanted, RAM
        board.run_until(icount=board.position.icount + 2)
        before = wanted if mode in taken else before
        assert board.registers["a0"] == before


@pytest.mark.parametrize("insn", [0x16000073, 0x16B50073, 0x18000073, 0x18100073])
def test_fences_of_svinval_may_be_used_from_s_mode_on(insn: int, counting: str) -> None:
    is_sinval, tvm = insn >> 25 == 0x0B, 1 << 20
    for cpu in (None, "rv64,svinval=off"):
        board = board_of(asm.code(asm.NOP, insn, asm.LOOP, asm.LOOP), counting=counting, cpu=cpu)
        board.run_until(icount=10)
        board.registers["pmpaddr0"], board.registers["pmpcfg0"] = -1, 0x1F
        for priv, status in ((3, tvm), (1, 0), (1, tvm), (0, 0)):
            board.registers["mtvec"], board.registers["mstatus"], board.registers["mcause"] = RAM + 12, status, 0
            board.registers["pc"], board.hart.env.priv = RAM, priv
            board.run_until(icount=board.position.icount + 2)

            is_legal = cpu is None and priv >= 1 and not (is_sinval and priv == 1 and status)
            assert board.registers["pc"] == (RAM + 8 if is_legal else RAM + 12), (priv, status)
            assert board.registers["mcause"] == (0 if is_legal else Cause.ILLEGAL_INSTRUCTION)


@pytest.mark.parametrize(
    ("mode", "name", "levels", "va", "address"),
    [
        (8, "Sv39", 3, 1 << 38, 0xFFFF_FFC0_0000_0000), (8, "Sv39", 3, 1 << 39 | 5, 5),
        (9, "Sv48", 4, 1 << 47, 0xFFFF_8000_0000_0000), (9, "Sv48", 4, 1 << 46, 1 << 46),
        (10, "Sv57", 5, 1 << 56, 0xFF00_0000_0000_0000), (10, "Sv57", 5, 1 << 55, 1 << 55),
    ],
)  # fmt: skip
def test_satp_names_tables(mode: int, name: str, levels: int, va: int, address: int) -> None:
    tables = tables_of(mode << 60 | 7 << 44 | 0x80123, 64)

    assert tables is not None
    assert (tables.name, tables.root, tables.levels) == (name, 0x8012_3000, levels)
    assert tables.address(va) == address


def test_bare_names_none_and_sv32_two_levels() -> None:
    assert tables_of(0x80123, 64) is None and tables_of(0x80123, 32) is None
    tables = tables_of(1 << 31 | 0x80123, 32)
    assert tables is not None
    assert (tables.name, tables.root, tables.levels) == ("Sv32", 0x8012_3000, 2)
    assert tables.address(0xFFFF_F000) == 0xFFFF_F000


def test_modes_follow_from_the_features() -> None:
    assert satp_modes(NOTHING_MORE) == (0, 8)
    assert satp_modes(Feature.SV48 | Feature.SV57) == (0, 8, 9, 10)


@pytest.mark.parametrize(
    ("entry", "level", "kind"),
    [
        (PTE_R, 0, Kind.FAULT), (PTE_V, 0, Kind.FAULT), (PTE_V, 1, Kind.POINTER), (PTE_V | PTE_A, 1, Kind.FAULT),
        (PTE_V | PTE_U, 2, Kind.FAULT), (PTE_V | PTE_N, 1, Kind.FAULT), (PTE_V | PTE_W, 0, Kind.FAULT),
        (PTE_V | PTE_X, 4, Kind.LEAF), (LEAF | 1 << 10, 0, Kind.LEAF), (LEAF | 1 << 10, 1, Kind.FAULT),
        (LEAF | 1 << 54, 0, Kind.FAULT), (LEAF | 1 << 61, 0, Kind.FAULT), (LEAF | PTE_N, 0, Kind.FAULT),
        (LEAF | PTE_N | 8 << 10, 0, Kind.LEAF), (LEAF | PTE_N | 8 << 10, 1, Kind.FAULT),
        (LEAF | PTE_N | 24 << 10, 0, Kind.LEAF), (LEAF | PTE_N | 4 << 10, 0, Kind.FAULT),
    ],
)  # fmt: skip
def test_entry_is_a_leaf_a_pointer_or_a_fault(entry: int, level: int, kind: Kind) -> None:
    tables = tables_of(10 << 60, 64)
    assert tables is not None

    assert kind_of(entry, level, tables, Feature.SVNAPOT) is kind


def test_leaf_leads_to_the_page_at_the_place_within_it() -> None:
    tables = tables_of(8 << 60, 64)
    assert tables is not None
    va = 0x1_2345_6789

    assert leaf_ppn(LEAF | 0x80200 << 10, 1, tables, va) == 0x80200 | 0x56 | 0x123456 & 0x100
    assert leaf_ppn(LEAF | 0x80008 << 10 | PTE_N, 0, tables, va) == 0x80006
