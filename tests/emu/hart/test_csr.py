"""CSRs by the guest's instructions: what may be accessed, which bits stay, on all ways of counting."""

from __future__ import annotations

import pytest
from support import asm
from support.harts import RAM, board_of, run_insns

from minstret.emu.hart.cpu import default_cpu
from minstret.emu.hart.csr_table import CSRS, CsrRow, Ours, Owner

ILLEGAL = 2
HANDLER = 0x800
PRESENT = {xlen: [row for row in CSRS if row.exists(default_cpu(xlen))] for xlen in (32, 64)}
_BY_NAME = {row.name: row for row in CSRS}


def access(number: int, operation: int, rd: int, rs1: int) -> int:
    return number << 20 | rs1 << 15 | operation << 12 | rd << 7 | 0x73


def all_of(xlen: int, insns: list[int], counting: str) -> list[int | None]:
    """What each CSR instruction that reads into a0 gives, None where it traps. FS is on."""
    handler = [asm.csrr(asm.T0, "mepc"), asm.addi(asm.T0, asm.T0, 4), asm.csrw("mepc", asm.T0), asm.MRET]
    begin = [
        asm.auipc(asm.T1, 0), asm.addi(asm.T1, asm.T1, 2047), asm.addi(asm.T1, asm.T1, 1), asm.csrw("mtvec", asm.T1),
        *asm.li(asm.T1, 0x6000), asm.csrrs(0, "mstatus", asm.T1),
    ]  # fmt: skip
    board = board_of(asm.code(*begin), (HANDLER, asm.code(*handler)), (0x1000, asm.code(*insns)), xlen=xlen,
                     counting=counting)  # fmt: skip
    run_insns(board, len(begin))
    results: list[int | None] = []
    for index in range(len(insns)):
        at = RAM + 0x1000 + 4 * index
        board.registers["pc"], traps = at, board.hart.last_trap
        board.run_until(icount=board.position.icount + 1)
        has_trapped = board.hart.last_trap != traps
        if has_trapped:
            assert board.hart.last_trap is not None and board.hart.last_trap.cause == ILLEGAL
        results.append(None if has_trapped else board.registers["a0"])
    return results


@pytest.mark.parametrize("xlen", [32, 64])
def test_csr_that_is_in_the_table_is_there_and_no_other(counting: str, xlen: int) -> None:
    numbers = sorted({
        *range(1, 4), *range(0x100, 0x110), *range(0x140, 0x160), 0x180, *range(0x300, 0x348), *range(0x3A0, 0x3C0),
        *range(0xB00, 0xB04), 0xB80, 0xB82, *range(0xC00, 0xC04), *range(0xC80, 0xC84), 0x747, 0x757,
        0xF11, 0xF14, 0xF15,
    })  # fmt: skip
    found = all_of(xlen, [access(number, 2, asm.A0, 0) for number in numbers], counting)
    expected = {row.number for row in PRESENT[xlen]}
    assert [number for number, value in zip(numbers, found, strict=True) if value is not None] == [
        number for number in numbers if number in expected
    ]


@pytest.mark.parametrize("xlen", [32, 64])
@pytest.mark.parametrize("value", [-1, 0, 0x5A5], ids=hex)
def test_views_and_the_guest_write_the_same_bits(counting: str, xlen: int, value: int) -> None:
    """Every CSR but those that change what the program itself may do: written by an instruction, and by name."""
    left_out = {
        "mtvec", "mepc", "pmpcfg0", "pmpcfg1", "pmpcfg2", "pmpcfg3", "mcycle", "minstret", "mcycleh", "minstreth",
        "tselect", "tdata1", "tdata2", "tdata3", "mstatus", "sstatus", "misa", "mcountinhibit",
    }  # fmt: skip
    for row in PRESENT[xlen]:
        if row.is_read_only or row.name in left_out or row.owner in (Owner.FIXED, Owner.HART_ID, Owner.COUNTER):
            continue
        by_guest = board_of(asm.code(access(row.number, 1, 0, asm.A0), asm.LOOP), xlen=xlen, counting=counting)
        by_name = board_of(asm.code(asm.NOP, asm.LOOP), xlen=xlen, counting=counting)
        for board in (by_guest, by_name):
            run_insns(board, 0)
            board.registers["mstatus"] = 0x6000
        by_guest.registers["a0"] = value
        run_insns(by_guest, 1)
        run_insns(by_name, 1)
        by_name.registers[row.name] = value
        assert by_name.registers[row.name] == by_guest.registers[row.name], row.name
        states = [board.hart.save_state() for board in (by_name, by_guest)]
        states[0].x = states[1].x
        assert states[0] == states[1], row.name


def test_mstatush_has_no_bits_and_is_not_there_on_rv64(counting: str) -> None:
    write, read = access(0x310, 1, 0, asm.T1), access(0x310, 2, asm.A0, 0)
    assert all_of(32, [write, read], counting)[1] == 0
    assert all_of(64, [write, read], counting) == [None, None]


@pytest.mark.parametrize(
    "row", [row for row in CSRS if row.is_read_only][:3] + [_BY_NAME["mhartid"]], ids=lambda r: r.name
)
def test_write_to_a_read_only_csr_traps_even_of_no_bits_by_a_register(counting: str, row: CsrRow) -> None:
    write, set_bits, set_none = (access(row.number, op, asm.A0, rs1) for op, rs1 in ((1, 0), (2, asm.T2), (2, 0)))
    first, second, third = all_of(64, [write, set_bits, set_none], counting)
    assert (first, second) == (None, None)
    assert third is not None


def test_counter_that_is_written_reads_so_in_the_next_instruction(counting: str) -> None:
    program = [
        asm.addi(asm.A1, 0, 100),
        asm.csrw("minstret", asm.A1),
        asm.csrr(asm.A0, "minstret"),
        asm.csrr(asm.A2, "instret"),
    ]
    board = board_of(asm.code(*program, asm.LOOP), counting=counting)
    run_insns(board, 4)
    assert (board.registers["a0"], board.registers["a2"]) == (100, 101)


def test_only_what_is_wrong_in_unicorn_is_ours() -> None:
    """A CSR that Unicorn has right costs no stop."""
    assert {row.name for row in CSRS if row.ours is Ours.NEVER and row.owner is not Owner.FIXED} == {
        "stvec", "sscratch", "scause", "stval", "mtvec", "mscratch", "mcause", "mtval",
    }  # fmt: skip
