"""No stale code: whatever changes an instruction, the next fetch sees the new one, however the run is sliced."""

from __future__ import annotations

import pytest
from support.asm import (
    A0,
    A1,
    FENCE_I,
    LOOP,
    MRET,
    NOP,
    RA,
    S0,
    T0,
    T1,
    T3,
    ZERO,
    add,
    addi,
    auipc,
    bne,
    code,
    csrr,
    csrw,
    jalr,
    ld,
    lui,
    lw,
    sd,
    sh,
    slli,
    sw,
)
from support.harts import RAM, board_of, run_insns

from minstret.devices.board.board import Board

SLICES = [1, 3, None]
S10, S11 = 26, 27


@pytest.mark.parametrize("slice_insns", SLICES)
def test_store_to_the_next_instruction_takes_effect_at_once(counting: str, slice_insns: int | None) -> None:
    program = code(auipc(T0, 0), lw(T1, T0, 64), sw(T1, T0, 12), addi(A0, ZERO, 1), LOOP)
    board = board_of(program, (64, code(addi(A0, ZERO, 2))), counting=counting, slice_insns=slice_insns)
    run_insns(board, 5)
    assert board.registers["a0"] == 2


@pytest.mark.parametrize("slice_insns", SLICES)
def test_loop_that_patches_itself_runs_each_version(counting: str, slice_insns: int | None) -> None:
    # each round adds the immediate of the patched instruction, then replaces that with one larger by one
    patched = addi(A0, A0, 1)
    program = code(
        auipc(T0, 0), addi(5 + 2, ZERO, 20),
        patched, lw(T1, T0, 8), auipc(28, 256), addi(29, ZERO, 1), slli(29, 29, 20),
        (0x00 << 25 | 29 << 20 | T1 << 15 | 0 << 12 | T1 << 7 | 0x33),  # add t1, t1, t4
        sw(T1, T0, 8), addi(7, 7, -1), bne(7, ZERO, -32), LOOP,
    )  # fmt: skip
    board = board_of(program, counting=counting, slice_insns=slice_insns, ram_size=4 << 20)
    run_insns(board, 2 + 20 * 9)
    assert board.registers["a0"] == sum(range(1, 21))


def test_data_beside_code_keeps_the_code_translated(counting: str) -> None:
    rounds = 300  # more than enough writes to make the page change its role
    program = code(
        auipc(T0, 0), addi(T1, ZERO, rounds),
        sd(T1, T0, 512), ld(A0, T0, 512), addi(T1, T1, -1), bne(T1, ZERO, -12), LOOP,
    )  # fmt: skip
    board = board_of(program, counting=counting)
    run_insns(board, 2 + 4 * rounds)
    assert board.registers["a0"] == 1
    assert board.registers["pc"] == RAM + 24
    assert board.hart.statistics["invalidations"] <= 3


def test_host_write_to_code_is_seen_by_the_next_fetch(counting: str) -> None:
    board = board_of(code([NOP, NOP, addi(A0, ZERO, 1), addi(T0, T0, 1), LOOP]), counting=counting)
    run_insns(board, 1)
    board.memory.write(RAM + 8, code(addi(A0, ZERO, 7)))
    run_insns(board, 4)
    assert board.registers["a0"] == 7


ILLEGAL = [0x00000000, 0xFFFFFFFF, 0x0000000B, 0x7C002573, 0x00003057]
SLOT, HANDLER = 0x3000, 0x400


def board_with_slot(slot: bytes, patch: int, at: int, counting: str, *, slice_insns: int | None, fence: bool) -> Board:
    """Calls ``slot`` at SLOT, stores ``patch`` ``at`` bytes into it, calls it again, and stays. s11 counts traps."""
    program = code(
        auipc(T0, 0), addi(T0, T0, HANDLER), csrw("mtvec", T0), auipc(S0, SLOT >> 12), addi(S0, S0, -12),
        jalr(RA, S0, 0), lui(T1, patch + 0x800 >> 12), addi(T1, T1, patch), sw(T1, S0, at),
        FENCE_I if fence else NOP, add(S10, S11, ZERO), jalr(RA, S0, 0), LOOP,
    )  # fmt: skip
    handler = code(addi(S11, S11, 1), csrr(T3, "mepc"), addi(T3, T3, 4), csrw("mepc", T3), MRET)
    return board_of(program, (HANDLER, handler), (SLOT, slot), counting=counting, slice_insns=slice_insns)


@pytest.mark.parametrize("slice_insns", SLICES)
@pytest.mark.parametrize("fence", [False, True])
@pytest.mark.parametrize("before", [0, 1, 3])
@pytest.mark.parametrize("illegal", ILLEGAL)
def test_illegal_instruction_overwritten_by_a_legal_one_traps_no_more(
    counting: str, illegal: int, before: int, fence: bool, slice_insns: int | None
) -> None:
    words = [addi(A1, A1, 1)] * before
    slot = code(words) + illegal.to_bytes(4, "little") + code(jalr(ZERO, RA, 0))
    board = board_with_slot(
        slot, addi(A0, ZERO, 7), 4 * before, counting, slice_insns=slice_insns, fence=fence
    )  # fmt: skip
    run_insns(board, 60)
    assert (board.registers["s10"], board.registers["s11"], board.registers["a0"]) == (1, 1, 7)


@pytest.mark.parametrize("illegal", ILLEGAL[1:])
def test_legal_instruction_overwritten_by_an_illegal_one_traps(counting: str, illegal: int) -> None:
    slot = code(addi(A0, A0, 1), jalr(ZERO, RA, 0))
    board = board_with_slot(slot, illegal, 0, counting, slice_insns=None, fence=False)
    run_insns(board, 60)
    assert (board.registers["s10"], board.registers["s11"], board.registers["a0"]) == (0, 1, 1)


def test_second_parcel_of_an_illegal_instruction_on_another_page_is_code(counting: str) -> None:
    # its first parcel is the last of a page: overwriting the second one, on the next page, makes it legal
    at, illegal = 2 * 4096 - 2, 0x0000_400B
    legal = illegal & 0xFFFF | 0x0010_0000  # still a custom opcode: it stays illegal, but the trap value differs
    program = code(
        auipc(T0, 0), addi(T0, T0, HANDLER), csrw("mtvec", T0), auipc(S0, 2), addi(S0, S0, -14),
        jalr(RA, S0, 0), addi(T1, ZERO, legal >> 16), sh(T1, S0, 2), jalr(RA, S0, 0), LOOP,
    )  # fmt: skip
    handler = code(csrr(A0, "mtval"), csrw("mepc", RA), MRET)
    board = board_of(program, (HANDLER, handler), (at, illegal.to_bytes(4, "little")), counting=counting)
    run_insns(board, 40)
    assert board.registers["a0"] == legal


@pytest.mark.parametrize("slice_insns", SLICES)
def test_host_write_over_an_illegal_instruction_is_seen(counting: str, slice_insns: int | None) -> None:
    slot = bytes(4) + code(jalr(ZERO, RA, 0))
    board = board_with_slot(slot, NOP, 64, counting, slice_insns=slice_insns, fence=False)
    run_insns(board, 9)
    assert board.registers["s11"] == 1
    board.memory.write(RAM + SLOT, code(addi(A0, ZERO, 9)))
    run_insns(board, 40)
    assert (board.registers["s11"], board.registers["a0"]) == (1, 9)


def test_zeroed_memory_without_x_in_a_page_of_finer_rights_is_an_access_fault(counting: str) -> None:
    # 0x0000 does not decode, but whether it may be fetched comes first
    program = code(jalr(RA, S0, 0), LOOP)
    board = board_of(program, (HANDLER, code(LOOP)), counting=counting)
    run_insns(board, 0)
    hart = board.hart
    hart.env.mtvec, hart.env.priv = RAM + HANDLER, 0
    board.registers["s0"] = RAM + SLOT + 64
    for number, (address, config) in enumerate(
        ((RAM + SLOT + 64 >> 2 | 7, 0x1B), ((1 << 54) - 1, 0x1F)),  # 64 bytes: read and write; all else: everything
    ):
        hart.pmp.write_addr(number, address)
        hart.pmp.write_cfg(0, hart.pmp.read_cfg(0) | config << 8 * number)
    hart.core.pmp_changed()
    run_insns(board, 4)
    assert (hart.env.mcause, hart.env.mepc, hart.env.mtval) == (1, RAM + SLOT + 64, RAM + SLOT + 64)


TABLES = 0x10000


def leaves_at(xlen: int) -> int:
    """Where the entries for the first pages of RAM are, from its start."""
    return TABLES + (0x2000 if xlen == 64 else 0x1000)


def begin_as_supervisor(board: Board, xlen: int) -> None:
    """Let the program begin in S-mode, under tables that map the start of RAM where it is; traps go to RAM."""
    write, size, leaves = board.memory.write, xlen // 8, leaves_at(xlen)
    if xlen == 64:
        write(RAM + TABLES + 2 * 8, (RAM + TABLES + 0x1000 >> 2 | 1).to_bytes(8, "little"))
        write(RAM + TABLES + 0x1000, (RAM + leaves >> 2 | 1).to_bytes(8, "little"))
    else:
        write(RAM + TABLES + (RAM >> 22) * 4, (RAM + leaves >> 2 | 1).to_bytes(4, "little"))
    for number in range(0x20):
        write(RAM + leaves + number * size, (RAM + number * 0x1000 >> 2 | 0xCF).to_bytes(size, "little"))
    run_insns(board, 0)
    hart = board.hart
    hart.env.satp, hart.env.priv = (8 << 60 if xlen == 64 else 1 << 31) | RAM + TABLES >> 12, 1
    hart.env.mtvec = RAM
    hart.pmp.write_addr(0, (1 << (54 if xlen == 64 else 32)) - 1)
    hart.pmp.write_cfg(0, 0x1F)
    hart.core.pmp_changed()


@pytest.mark.parametrize("slice_insns", SLICES)
@pytest.mark.parametrize("access", [lw(A0, T1, 0), sw(A0, T1, 0), jalr(ZERO, T1, 0)])
@pytest.mark.parametrize("xlen", [64, 32])
def test_accessed_bit_set_in_an_entry_that_is_code_takes_effect_at_once(
    counting: str, xlen: int, access: int, slice_insns: int | None
) -> None:
    # a page table entry reads as a fence; with its bit A it is FNMADD.S, which traps while FS is off
    page, size, index = 0x20000, xlen // 8, 100
    at = leaves_at(xlen) + index * size
    entry = (RAM + page >> 2) | 0x0F
    before = code(NOP, access) if xlen == 64 else code(access)
    board = board_of(code(LOOP), (page, code(jalr(ZERO, RA, 0))), xlen=xlen, counting=counting, slice_insns=slice_insns)
    begin_as_supervisor(board, xlen)
    board.memory.write(RAM + at - len(before), before + entry.to_bytes(size, "little"))
    hart = board.hart
    registers = board.registers
    registers["pc"], registers["t1"], registers["ra"] = RAM + at - len(before), RAM + index * 0x1000, RAM + at
    run_insns(board, 5)
    is_store = access == sw(A0, T1, 0)
    assert (hart.env.mcause, hart.env.mepc) == (2, RAM + at)
    assert hart.env.mtval == entry | (0xC0 if is_store else 0x40)


@pytest.mark.parametrize("slice_insns", SLICES)
@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("is_reserved", [False, True])
def test_atomic_on_the_entry_that_maps_it_is_done_once(
    counting: str, xlen: int, is_reserved: bool, slice_insns: int | None
) -> None:
    # the walk for its store sets D in what its load has read: done again, it would read another value
    leaves, size = leaves_at(xlen), xlen // 8
    at = leaves + (leaves >> 12) * size
    amoadd = size // 4 + 1 << 12 | T3 << 20 | T0 << 15 | A0 << 7 | 0x2F
    reserve, condition = (2 << 27 | amoadd) & ~(31 << 20), 3 << 27 | amoadd & ~(31 << 7 | 31 << 20) | A0 << 20 | A1 << 7
    program = [NOP, reserve, condition] if is_reserved else [NOP, NOP, amoadd]
    board = board_of(code(LOOP), (0x100, code(program, LOOP)), xlen=xlen, counting=counting, slice_insns=slice_insns)
    begin_as_supervisor(board, xlen)
    entry = (RAM + leaves >> 2) | 0x4F
    board.memory.write(RAM + at, entry.to_bytes(size, "little"))
    registers = board.registers
    registers["pc"], registers["t0"], registers["t3"], registers["a1"] = RAM + 0x100, RAM + at, 0x100, 7
    run_insns(board, 3)
    left = int.from_bytes(board.memory.read(RAM + at, size), "little")
    assert registers["a0"] == entry
    assert (left, registers["a1"]) == ((entry, 0) if is_reserved else (entry + 0x100, 7))


@pytest.mark.parametrize("slice_insns", SLICES)
@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("is_code", [False, True])
def test_rest_of_a_store_that_a_device_refuses_is_stored_in_a_page_with_code_too(
    counting: str, xlen: int, is_code: bool, slice_insns: int | None
) -> None:
    # marks are nothing that a guest may see: they are in no snapshot
    page, size, index = 0x8000, xlen // 8, 100
    call = [jalr(RA, A1, 0)] if is_code else [NOP]
    program = code(call, sw(T3, T0, 0), LOOP)
    board = board_of(
        (0, code(LOOP)), (0x100, program), (page, code(jalr(ZERO, RA, 0))), xlen=xlen, counting=counting,
        slice_insns=slice_insns,
    )  # fmt: skip
    begin_as_supervisor(board, xlen)
    for number, entry in enumerate((0x1000_0000 >> 2 | 0xC7, RAM + page >> 2 | 0xCF)):
        board.memory.write(RAM + leaves_at(xlen) + (index + number) * size, entry.to_bytes(size, "little"))
    registers = board.registers
    registers["pc"], registers["t0"] = RAM + 0x100, RAM + (index + 1) * 0x1000 - 3
    registers["a1"] = RAM + page
    registers["t3"] = 0x55 << 24
    run_insns(board, 4)
    assert (board.hart.env.mcause, board.hart.env.mepc) == (7, RAM + 0x104)
    assert board.memory.read(RAM + page, 1) == b"\x55"


@pytest.mark.parametrize("slice_insns", SLICES)
@pytest.mark.parametrize("xlen", [64, 32])
def test_rest_of_a_store_that_a_device_refuses_is_stored_in_a_page_table_too(
    counting: str, xlen: int, slice_insns: int | None
) -> None:
    # its first byte changes a valid entry, for which the TLB is flushed: the others are stored all the same
    size, index = xlen // 8, 100
    store = sd if xlen == 64 else sw
    board = board_of(
        (0, code(LOOP)), (0x100, code(store(T3, T0, 0), LOOP)), xlen=xlen, counting=counting, slice_insns=slice_insns
    )
    begin_as_supervisor(board, xlen)
    for number, entry in enumerate((0x1000_0000 >> 2 | 0xC7, RAM + leaves_at(xlen) >> 2 | 0xC7)):
        board.memory.write(RAM + leaves_at(xlen) + (index + number) * size, entry.to_bytes(size, "little"))
    registers = board.registers
    registers["pc"], registers["t0"] = RAM + 0x100, RAM + (index + 1) * 0x1000 - 1
    value = bytes(range(0x81, 0x81 + size))
    registers["t3"] = int.from_bytes(value, "little")
    run_insns(board, 3)
    assert (board.hart.env.mcause, board.hart.env.mepc) == (7, RAM + 0x100)
    assert board.memory.read(RAM + leaves_at(xlen), size - 1) == value[1:]
