"""PMP registers: which bits stay, what is locked, and which ranges the entries describe."""

from __future__ import annotations

import pytest
from support import asm
from support.harts import RAM, ROM_INSNS, board_of, run_insns

from minstret.devices.board.board import Board
from minstret.emu.hart.pmp import Pmp
from minstret.emu.hart.shared import Shared
from minstret.emu.hart.spec import PMP_LOCKED, PMP_MODE_SHIFT, PMP_NA4, PMP_NAPOT, PMP_R, PMP_TOR, PMP_W, PMP_X

TOR, NA4, NAPOT = (mode << PMP_MODE_SHIFT for mode in (PMP_TOR, PMP_NA4, PMP_NAPOT))
FETCH_ACCESS, ILLEGAL, BREAKPOINT, LOAD_ACCESS = 1, 2, 3, 5
PAGE, PLACE, HANDLER = 0x1000, 0x2000, 0x800
FORBIDDEN = 0x700
"""Offset in the page at PLACE, of bytes for which there is an entry."""


def pmp_with(*entries: tuple[int, int], xlen: int = 64) -> tuple[Pmp, Shared]:
    """Registers with (configuration, physical address >> 2) in the first entries, addresses first."""
    shared = Shared()
    pmp = Pmp(xlen, shared)
    for entry, (_, addr) in enumerate(entries):
        pmp.write_addr(entry, addr)
    for entry in range(0, len(entries), 4):
        bytes_of = bytes(cfg for cfg, _ in entries[entry : entry + 4])
        kept = pmp.read_cfg(entry // 4) if xlen == 32 else pmp.read_cfg(entry // 8 * 2)
        assert kept == 0
        pmp.write_cfg(entry // 4, int.from_bytes(bytes_of, "little"))
    return pmp, shared


def ranges(shared: Shared) -> list[tuple[int, int, int]]:
    return [(shared.pmp_low[i], shared.pmp_high[i], shared.pmp_cfg[i]) for i in range(shared.pmp_count)]


@pytest.mark.parametrize(
    ("entry", "low", "high"),
    [
        ((NA4 | PMP_R, 0x2000_0400), 0x8000_1000, 0x8000_1004),
        ((NAPOT | PMP_R, 0x2000_0400), 0x8000_1000, 0x8000_1008),
        ((NAPOT | PMP_R, 0x2000_05FF), 0x8000_1000, 0x8000_2000),
        ((NAPOT | PMP_R, (1 << 54) - 1), 0, 1 << 57),
        ((TOR | PMP_R, 0x2000_0400), 0, 0x8000_1000),
    ],
)
def test_entry_describes_its_range(entry: tuple[int, int], low: int, high: int) -> None:
    _, shared = pmp_with(entry)
    assert ranges(shared) == [(low, high, entry[0])]


def test_top_of_range_begins_where_the_entry_before_ends_even_if_that_is_off() -> None:
    _, shared = pmp_with((0, 0x100), (TOR | PMP_R, 0x200), (TOR | PMP_W | PMP_R, 0x180), (TOR | PMP_X, 0x300))
    assert ranges(shared) == [(0x400, 0x800, TOR | PMP_R), (0x600, 0xC00, TOR | PMP_X)]  # an empty one matches nothing


def test_reserved_bits_and_write_without_read_do_not_stay() -> None:
    pmp, _ = pmp_with((0, 0))
    pmp.write_cfg(0, 0x60 | NAPOT | PMP_W | PMP_X)
    assert pmp.read_cfg(0) == NAPOT | PMP_X


@pytest.mark.parametrize(("xlen", "bits"), [(32, 32), (64, 54)])
def test_address_has_as_many_bits_as_physical_addresses(xlen: int, bits: int) -> None:
    pmp, _ = pmp_with((0, (1 << xlen) - 1), xlen=xlen)
    assert pmp.state.addr[0] == (1 << bits) - 1


def test_locked_entry_stays_and_so_does_the_address_below_its_range() -> None:
    pmp, shared = pmp_with((0, 0x100), (PMP_LOCKED | TOR | PMP_R, 0x200))
    before = ranges(shared)
    for entry in (0, 1):
        pmp.write_addr(entry, 0x180)
    pmp.write_cfg(0, 0)

    assert ranges(shared) == before
    pmp.write_addr(2, 0x180)  # the next is free
    assert pmp.state.addr[2] == 0x180


@pytest.mark.parametrize(("xlen", "there"), [(32, [True] * 4), (64, [True, False, True, False])])
def test_odd_configuration_registers_are_there_on_rv32_alone(xlen: int, there: list[bool]) -> None:
    board = board_of(asm.code(asm.LOOP), xlen=xlen)
    assert [f"pmpcfg{number}" in board.registers for number in range(4)] == there


@pytest.mark.parametrize("xlen", [32, 64])
def test_guest_is_held_to_a_range_within_a_page(counting: str, xlen: int) -> None:
    """Four bytes of a page are locked against loads; those beside them are not."""
    at = RAM + 0x2000
    program = [
        *asm.li(asm.T0, at + 4 >> 2), asm.csrw("pmpaddr0", asm.T0), asm.addi(asm.T0, 0, PMP_LOCKED | NA4),
        asm.csrw("pmpcfg0", asm.T0), asm.auipc(asm.T1, 2), asm.andi(asm.T2, asm.T1, -2048),
        asm.lw(asm.A0, asm.T2, 0), asm.lw(asm.A0, asm.T2, 8), asm.lw(asm.A0, asm.T2, 4), asm.LOOP,
    ]  # fmt: skip
    board = board_of(asm.code(*program), (0x2000, b"\1\0\0\0\2\0\0\0\3\0\0\0"), xlen=xlen, counting=counting)
    run_insns(board, len(program) - 2)
    assert board.hart.first_trap is None
    assert board.registers["a0"] == 3
    board.run_until(icount=board.position.icount + 1)
    assert board.hart.first_trap is not None
    assert (board.hart.first_trap.cause, board.hart.first_trap.tval) == (LOAD_ACCESS, at + 4)


def board_with_finer_rights(
    counting: str, xlen: int, slice_insns: int | None, at: int, code: bytes, *, entry: int = FORBIDDEN,
    lock: int = PMP_LOCKED,
) -> Board:  # fmt: skip
    """At ``at`` in the page at PLACE; an entry for eight bytes there does not let M-mode execute them, if locked."""
    board = board_of(
        asm.code(asm.LOOP), (HANDLER, asm.code(asm.LOOP)), (PLACE + at, code), xlen=xlen, counting=counting,
        slice_insns=slice_insns,
    )  # fmt: skip
    run_insns(board, 0)
    hart = board.hart
    hart.pmp.write_addr(0, RAM + PLACE + entry >> 2)
    hart.pmp.write_addr(1, (1 << (54 if xlen == 64 else 32)) - 1)
    hart.pmp.write_cfg(0, (NAPOT | PMP_R | PMP_W | PMP_X) << 8 | lock | NAPOT | PMP_R)
    hart.core.pmp_changed()
    hart.env.mtvec, board.registers["pc"] = RAM + HANDLER, RAM + PLACE + at
    return board


@pytest.mark.parametrize("xlen", [32, 64])
@pytest.mark.parametrize("slice_insns", [1, None])
@pytest.mark.parametrize("at", [0, FORBIDDEN - 6])
@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize("insn", [0, asm.C_EBREAK, 0x8000, 0xFFFFFFFF])
def test_instruction_in_a_page_with_finer_rights_traps_as_elsewhere(
    counting: str, xlen: int, slice_insns: int | None, at: int, before: int, insn: int
) -> None:
    """0 is an instruction like any other: illegal, but there."""
    code = asm.code([asm.C_NOP] * before, insn)
    board = board_with_finer_rights(counting, xlen, slice_insns, at, code)
    run_insns(board, before + 2)
    trap, pc = board.hart.first_trap, RAM + PLACE + at + 2 * before
    assert trap is not None
    if at + len(code) > FORBIDDEN:
        assert (trap.cause, trap.epc, trap.tval) == (FETCH_ACCESS, pc, pc)
    elif insn == asm.C_EBREAK:
        assert (trap.cause, trap.epc, trap.tval) == (BREAKPOINT, pc, pc)
    else:
        assert (trap.cause, trap.epc, trap.tval) == (ILLEGAL, pc, insn)
    assert board.position.icount == ROM_INSNS + before + 2


@pytest.mark.parametrize("xlen", [32, 64])
@pytest.mark.parametrize("slice_insns", [1, None])
@pytest.mark.parametrize("before", [0, 1, 2])
def test_zeros_that_may_not_be_executed_are_no_illegal_instruction(
    counting: str, xlen: int, slice_insns: int | None, before: int
) -> None:
    code = asm.code([asm.C_NOP] * before, 0)
    board = board_with_finer_rights(counting, xlen, slice_insns, FORBIDDEN - 2 * before, code)
    run_insns(board, before + 2)
    trap, pc = board.hart.first_trap, RAM + PLACE + FORBIDDEN
    assert trap is not None
    assert (trap.cause, trap.epc, trap.tval) == (FETCH_ACCESS, pc, pc)


@pytest.mark.parametrize("xlen", [32, 64])
@pytest.mark.parametrize("slice_insns", [1, None])
@pytest.mark.parametrize("lock", [PMP_LOCKED, 0])
def test_instruction_that_ends_in_forbidden_bytes_of_the_next_page_faults_there(
    counting: str, xlen: int, slice_insns: int | None, lock: int
) -> None:
    """The page that it begins in is not one with finer rights."""
    code = asm.code(asm.C_NOP, asm.C_NOP, asm.addi(asm.A0, 0, 5), asm.LOOP)
    board = board_with_finer_rights(counting, xlen, slice_insns, PAGE - 6, code, entry=PAGE, lock=lock)
    run_insns(board, 4)
    trap, pc = board.hart.first_trap, RAM + PLACE + PAGE - 2
    if lock:
        assert trap is not None
        assert (trap.cause, trap.epc, trap.tval) == (FETCH_ACCESS, pc, pc + 2)
    else:
        assert (trap, board.registers["a0"], board.registers["pc"]) == (None, 5, pc + 4)


@pytest.mark.parametrize(("entry", "cause"), [(0b1100_1011, 15), (0b1100_1111, 7)], ids=["loads", "stores"])
@pytest.mark.parametrize("rights", [0, PMP_R], ids=["nothing", "loads"])
def test_amo_that_pages_and_pmp_refuse_is_a_page_fault(counting: str, entry: int, cause: int, rights: int) -> None:
    """Of an AMO, Unicorn makes the load first; but it is a store in all that it asks for."""
    handler, root, middle, last, page, amoadd = 0x100, 0x4000, 0x5000, 0x7000, 0x6000, 0x00A5_262F
    tables = (root + 8, RAM + middle >> 2 | 1), (middle, RAM + last >> 2 | 1), (last, RAM + page >> 2 | entry)
    all_else = (PMP_NAPOT << PMP_MODE_SHIFT | PMP_R | PMP_W | PMP_X) << 8
    main = asm.code(
        asm.auipc(asm.S1, 0), asm.addi(asm.T0, asm.S1, handler), asm.csrw("mtvec", asm.T0),
        asm.li(asm.T0, RAM + page >> 2), asm.csrw("pmpaddr0", asm.T0),
        asm.addi(asm.T0, asm.ZERO, -1), asm.csrw("pmpaddr1", asm.T0),
        asm.li(asm.T0, all_else | PMP_NA4 << PMP_MODE_SHIFT | rights), asm.csrw("pmpcfg0", asm.T0),
        asm.addi(asm.T1, asm.ZERO, 8), asm.slli(asm.T1, asm.T1, 60), asm.li(asm.T0, RAM + root >> 12),
        asm.add(asm.T1, asm.T1, asm.T0), asm.csrw("satp", asm.T1),
        asm.li(asm.T1, 0x2_0800), asm.csrw("mstatus", asm.T1),  # loads and stores as in S-mode
        asm.li(asm.A0, 0x4000_0000), amoadd, asm.LOOP,
    )  # fmt: skip
    board = board_of(
        main, (handler, asm.code(asm.csrr(asm.A1, "mcause"), asm.csrr(asm.A3, "mtval"), asm.LOOP)),
        *((at, pte.to_bytes(8, "little")) for at, pte in tables), counting=counting,
    )  # fmt: skip
    run_insns(board, 80)
    assert (board.registers["a1"], board.registers["a3"]) == (cause, 0x4000_0000)
