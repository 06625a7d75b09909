"""Instructions on cache blocks: zeros are stored, rights are checked, as each way of counting does it."""

from __future__ import annotations

import pytest
from support import asm
from support.harts import RAM, ROM_INSNS, board_of, run_insns

from minstret.devices.board.board import Board
from minstret.emu.hart import cacheblocks
from minstret.emu.hart.csr import IllegalInstruction
from minstret.emu.hart.extensions import Op
from minstret.emu.hart.spec import CACHE_BLOCK, INSN_CBO_ZERO, PRIV_M, PRIV_S, PRIV_U, Cause
from minstret.emu.hart.watches import WatchKind

DATA = 0x4000
FUNCTION, HANDLER = 0x400, 0x800
CBZE, CBCFE, CBIE = 1 << 7, 1 << 6, 3 << 4


def board_with_data() -> Board:
    board = board_of(asm.code(asm.LOOP), (DATA, bytes([0xAA] * 256)))
    run_insns(board, 0)
    return board


def execute(board: Board, op: Op, va: int) -> tuple[Cause, int] | None:
    hart = board.hart
    return cacheblocks.execute(hart.core, hart._mmu, hart._accesses, op, va)


@pytest.mark.parametrize("inside", [0, 1, 40, 63])
def test_zero_clears_the_block_around_its_address(inside: int) -> None:
    board = board_with_data()

    assert execute(board, Op.CBO_ZERO, RAM + DATA + CACHE_BLOCK + inside) is None

    data = board.hart.read_physical(RAM + DATA, 3 * CACHE_BLOCK)
    assert data == b"\xaa" * CACHE_BLOCK + bytes(CACHE_BLOCK) + b"\xaa" * CACHE_BLOCK


@pytest.mark.parametrize("op", [Op.CBO_INVAL, Op.CBO_CLEAN, Op.CBO_FLUSH])
def test_others_change_nothing(op: Op) -> None:
    board = board_with_data()

    assert execute(board, op, RAM + DATA) is None

    assert board.hart.read_physical(RAM + DATA, 256) == b"\xaa" * 256


@pytest.mark.parametrize("op", [Op.CBO_ZERO, Op.CBO_CLEAN])
@pytest.mark.parametrize("address", [0x1000_0000, 0x1000, 0x4000_0000])
def test_block_that_is_not_in_ram_is_an_access_fault(op: Op, address: int) -> None:
    tval = address if op is Op.CBO_ZERO else address + 5
    assert execute(board_with_data(), op, address + 5) == (Cause.STORE_ACCESS, tval)


@pytest.mark.parametrize(
    ("op", "bits"), [(Op.CBO_ZERO, CBZE), (Op.CBO_CLEAN, CBCFE), (Op.CBO_FLUSH, CBCFE), (Op.CBO_INVAL, CBIE)]
)
@pytest.mark.parametrize(("priv", "of_machine", "of_supervisor", "may"), [
    (PRIV_M, False, False, True), (PRIV_S, False, True, False), (PRIV_S, True, False, True),
    (PRIV_U, True, False, False), (PRIV_U, False, True, False), (PRIV_U, True, True, True),
])  # fmt: skip
def test_lower_privileges_need_leave(
    op: Op, bits: int, priv: int, of_machine: bool, of_supervisor: bool, may: bool
) -> None:
    board = board_with_data()
    shared = board.hart._shared
    shared.menvcfg, shared.senvcfg = bits * of_machine, bits * of_supervisor
    board.hart.env.priv = priv

    if may:
        trap = None if priv == PRIV_M else (Cause.STORE_ACCESS, RAM + DATA)  # PMP allows nothing
        assert execute(board, op, RAM + DATA) == trap
    else:
        with pytest.raises(IllegalInstruction):
            execute(board, op, RAM + DATA)


def test_watch_is_told_of_the_whole_block() -> None:
    board, told = board_with_data(), []
    board.hart.watches.add(
        WatchKind.STORE, RAM + DATA + 8, 4, lambda address, size: told.append((address, size, board.position.icount))
    )
    icount = board.position.icount

    execute(board, Op.CBO_ZERO, RAM + DATA + 5)

    assert told == [(RAM + DATA, CACHE_BLOCK, icount)]


def cbo_zero(register: int) -> int:
    return INSN_CBO_ZERO | register << 15


def zeroing_board(counting: str) -> Board:
    """A board whose guest zeroes the block in the middle of its data, and is about to."""
    program = asm.code(asm.auipc(asm.T0, 0), *asm.li(asm.T1, DATA + 70), asm.add(asm.T0, asm.T0, asm.T1))
    insns = len(program) // 4
    board = board_of(program + asm.code(cbo_zero(asm.T0), asm.LOOP), (DATA, bytes([0xAA] * 256)), counting=counting)
    run_insns(board, insns)
    return board


def test_watch_is_told_when_the_guest_zeroes(counting: str) -> None:
    board, told = zeroing_board(counting), []
    board.hart.watches.add(WatchKind.STORE, RAM + DATA + 100, 4, lambda address, size: told.append((address, size)))
    board.run_until(icount=board.position.icount + 5)

    assert told == [(RAM + DATA + CACHE_BLOCK, CACHE_BLOCK)]
    assert board.memory[RAM + DATA + CACHE_BLOCK : RAM + DATA + 2 * CACHE_BLOCK] == bytes(CACHE_BLOCK)


def test_trigger_in_the_block_fires_before_the_guest_zeroes(counting: str) -> None:
    board = zeroing_board(counting)
    board.registers["tdata1"] = 2 << 60 | 1 << 6 | 1 << 1  # mcontrol: stores in M-mode
    board.registers["tdata2"] = RAM + DATA + 100
    board.registers["mstatus"] |= 1 << 3  # MIE, without which none fires in M-mode
    board.run_until(icount=board.position.icount + 1)
    trap = board.hart.first_trap

    assert trap is not None
    assert (trap.cause, trap.tval) == (Cause.BREAKPOINT, RAM + DATA + CACHE_BLOCK)
    assert board.memory[RAM + DATA + CACHE_BLOCK : RAM + DATA + 2 * CACHE_BLOCK] == b"\xaa" * CACHE_BLOCK


def trap_in(board: Board, priv: int, *, menvcfg: int, pmpcfg0: int) -> tuple[Cause, int]:
    """The trap that the guest takes instead, in that privilege. PMP entry 0 is 8 bytes in the block, entry 1 is all."""
    registers = board.registers
    registers["pmpaddr0"], registers["pmpaddr1"], registers["pmpcfg0"] = (
        (RAM + DATA + CACHE_BLOCK + 32) >> 2,
        -1,
        pmpcfg0,
    )
    registers["menvcfg"], board.hart.env.priv = menvcfg, priv
    board.run_until(icount=board.position.icount + 1)
    trap = board.hart.first_trap
    assert trap is not None
    return Cause(trap.cause), trap.tval


@pytest.mark.parametrize(("priv", "menvcfg"), [(PRIV_S, 0), (PRIV_U, 0), (PRIV_U, CBZE)])
def test_guest_without_leave_zeroes_nothing(priv: int, menvcfg: int, counting: str) -> None:
    board = zeroing_board(counting)

    trap = trap_in(board, priv, menvcfg=menvcfg, pmpcfg0=0x1F00)

    assert trap == (Cause.ILLEGAL_INSTRUCTION, cbo_zero(asm.T0))
    assert board.memory[RAM + DATA : RAM + DATA + 256] == b"\xaa" * 256


@pytest.mark.parametrize(("pmpcfg0", "zeroed"), [(0x1D00, 0), (0x1F19, 32)], ids=["all", "finer"])
def test_guest_zeroes_as_far_as_pmp_lets_it(pmpcfg0: int, zeroed: int, counting: str) -> None:
    board, block = zeroing_board(counting), RAM + DATA + CACHE_BLOCK

    assert trap_in(board, PRIV_S, menvcfg=CBZE, pmpcfg0=pmpcfg0) == (Cause.STORE_ACCESS, block + zeroed)
    assert board.memory[block : block + CACHE_BLOCK] == bytes(zeroed) + b"\xaa" * (CACHE_BLOCK - zeroed)


def test_page_with_a_zeroed_block_is_a_written_one(counting: str) -> None:
    board = zeroing_board(counting)
    written = board.machine.memory.dirty_pages()
    board.run_until(icount=board.position.icount + 1)

    assert written.take() == [DATA >> 12]


# ---- what was derived from a block that is zeroed


def trap_after(board: Board, insns: int) -> tuple[int, int, int]:
    """The first trap, which the instruction after so many takes.

    The run goes on far behind it: near its end blocks would be cut short, and so be made anew.
    """
    run_insns(board, insns + 100)
    trap = board.hart.first_trap
    assert trap is not None
    assert trap.icount == ROM_INSNS + insns
    return trap.cause, trap.epc, trap.tval


def test_code_that_has_run_and_is_zeroed_is_illegal(counting: str) -> None:
    call = asm.jalr(asm.RA, asm.T0, 0)
    main = [asm.auipc(asm.T0, 0), asm.addi(asm.T0, asm.T0, FUNCTION), call, call, cbo_zero(asm.T0), call]
    function = asm.code(asm.addi(asm.A0, asm.A0, 1), asm.jalr(asm.ZERO, asm.RA, 0))
    board = board_of(asm.code(main), (FUNCTION, function), (HANDLER, asm.code(asm.LOOP)), counting=counting)
    board.registers["mtvec"] = RAM + HANDLER

    assert trap_after(board, len(main) + 2 * 2) == (Cause.ILLEGAL_INSTRUCTION, RAM + FUNCTION, 0)
    assert board.registers["a0"] == 2


def test_instruction_behind_the_one_that_zeroes_it_is_illegal(counting: str) -> None:
    program = [asm.auipc(asm.T0, 0), asm.NOP, cbo_zero(asm.T0), asm.addi(asm.A0, asm.A0, 1), asm.LOOP]
    board = board_of(asm.code(program), (HANDLER, asm.code(asm.LOOP)), counting=counting)
    board.registers["mtvec"] = RAM + HANDLER

    assert trap_after(board, 3) == (Cause.ILLEGAL_INSTRUCTION, RAM + 12, 0)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_table_that_a_walk_went_through_and_that_is_zeroed_maps_nothing(level: int, counting: str) -> None:
    """An entry of the root that is not in that block is for all of RAM, the code among it."""
    root, pointer, leaf, all_rights = RAM + 0x10000, 0x01, 0xC7, 0xCF
    load = asm.lw(asm.A0, asm.T0, 0)
    board = board_of(
        asm.code(load, cbo_zero(asm.T1), load, asm.LOOP), (DATA, b"data"), (HANDLER, asm.code(asm.LOOP)),
        counting=counting,
    )  # fmt: skip
    run_insns(board, 0)
    for at, entry in (
        (root, (root + 0x1000) >> 2 | pointer), (root + 8 * 510, RAM >> 2 | all_rights),
        (root + 0x1000, (root + 0x2000) >> 2 | pointer), (root + 0x2000 + 8, (RAM + DATA) >> 2 | leaf),
    ):  # fmt: skip
        board.memory[at:] = entry.to_bytes(8, "little")
    high, registers = (1 << 64) - (2 << 30), board.registers
    registers["pmpaddr0"], registers["pmpcfg0"], registers["mtvec"] = -1, 0x1F, RAM + HANDLER
    registers["satp"], registers["menvcfg"] = 8 << 60 | root >> 12, registers["menvcfg"] | CBZE
    registers["pc"], registers["t0"], registers["t1"] = high, 0x1000, high + 0x10000 + 0x1000 * (2 - level)
    board.hart.env.priv = PRIV_S

    assert trap_after(board, 2) == (Cause.LOAD_PAGE_FAULT, high + 8, 0x1000)
    assert registers["a0"] == int.from_bytes(b"data", "little")
