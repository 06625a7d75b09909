"""Who called: what is found is compared with the calls that were really made, and doubtful cases have no caller."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from support import asm
from support.guest_boards import setup_of
from support.harts import RAM, board_of

from minstret.devices.board.board import Board
from minstret.emu.callers import CALLERS_MAX, Callers, Frame
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.operations import OpKind, operation_of
from minstret.emu.images.image import Symbol, SymbolTable

ILLEGAL = 0xFFFF_FFFF
START, MIDDLE, LEAF = RAM, RAM + 0x40, RAM + 0x80
SYMBOLS = SymbolTable.of([Symbol(START, 0x40, "_start"), Symbol(MIDDLE, 0x40, "middle"), Symbol(LEAF, 0x40, "leaf")])
NO_HANDLERS = frozenset[int]()
CALLS_LEAF_BY_A_POINTER = [
    asm.auipc(asm.T0, 0), asm.addi(asm.T0, asm.T0, LEAF - START - 4), asm.jalr(asm.RA, asm.T0, 0)
]  # fmt: skip


def callers(hart: Hart, symbols: SymbolTable, handlers: frozenset[int] = NO_HANDLERS) -> list[int]:
    return list(Callers(symbols, hart.read_virtual, hart.xlen, handlers).of(frame_of(hart)))


def frame_of(hart: Hart) -> Frame:
    x = hart.env.x
    return Frame(hart.pc, int(x[asm.RA]), int(x[asm.SP]), int(x[asm.S0]))


def insn_at(hart: Hart, pc: int) -> int:
    code = hart.read_virtual(pc, 2)
    assert code is not None
    if code[0] & 3 == 3:
        code = hart.read_virtual(pc, 4)
        assert code is not None
    return int.from_bytes(code, "little")


def stopped_in_leaf(*, start: list[int], middle: list[int], leaf: list[int], xlen: int = 64) -> Board:
    """A board that has run into an instruction that is none, in ``leaf``, without a handler."""
    stack = [asm.auipc(asm.SP, 1)]
    board = board_of(asm.code(stack, start), (MIDDLE - RAM, asm.code(middle)), (LEAF - RAM, asm.code(leaf)), xlen=xlen)
    board.run()
    assert board.hart.first_trap is not None
    board.registers["pc"] = board.hart.first_trap.epc
    return board


def saves(xlen: int) -> int:
    return asm.sd(asm.RA, asm.SP, 8) if xlen == 64 else asm.sw(asm.RA, asm.SP, 8)


# ---- against the calls that were made


class MadeCalls:
    """The calls that a hart is in, as they were made, since the last trap if one is being handled."""

    def __init__(self, first: int) -> None:
        self._calls: list[int | None] = [first]

    def innermost(self) -> list[int]:
        found: list[int] = []
        for call in reversed(self._calls):
            if call is None:
                break
            found.append(call)
        return found

    def step(self, board: Board) -> None:
        """Run one instruction."""
        hart, pc, trap = board.hart, board.hart.pc, board.hart.last_trap
        op = operation_of(insn_at(hart, pc), hart.xlen)
        board.run_until(icount=board.position.icount + 1)
        if hart.last_trap != trap:
            self._calls.append(None)
        elif op.kind in (OpKind.JUMP, OpKind.JUMP_REGISTER) and op.rd == asm.RA:
            self._calls.append(pc)
        elif op.kind is OpKind.JUMP_REGISTER and op.rd == 0 and op.rs1 == asm.RA:
            self._calls.pop()
        elif op.kind is OpKind.TRAP_RETURN:
            while self._calls.pop() is not None:
                pass


def steps_of(image: str, xlen: int, insns: int) -> Iterator[tuple[Board, list[int]]]:
    """An image, instruction by instruction from its ``main``, with the calls that it is in."""
    board = setup_of(image, xlen=xlen).make()
    hart, main = board.hart, board.symbols.find("main") or board.symbols.find("hart_main")
    assert main is not None
    board.breakpoints.add(main.address)
    board.run()
    board.breakpoints.remove(main.address)
    (call,) = callers(hart, board.symbols)
    assert board.symbols.describe(call).startswith("_start+")
    made = MadeCalls(call)
    for _ in range(insns):
        yield board, made.innermost()
        made.step(board)
        if board.machine.exit_code is not None:
            return


@pytest.mark.parametrize("xlen", [64, 32])
@pytest.mark.parametrize("image", ["hello", "smash", "rtos"])
def test_callers_are_the_calls_that_were_made(image: str, xlen: int) -> None:
    """At every instruction: in prologues, epilogues and leaf functions, behind tail calls, in handlers."""
    compared, programs = 0, dict[int, Callers]()
    for board, made in steps_of(image, xlen, 2000):
        hart, handler = board.hart, int(board.hart.env.mtvec) & ~3
        if handler not in programs:
            programs[handler] = Callers(board.symbols, hart.read_virtual, xlen, frozenset((handler,)))
        assert list(programs[handler].of(frame_of(hart))) == made[:CALLERS_MAX], hex(hart.pc)
        compared += 1
    assert compared > 500


# ---- a return address is where the function has put it


@pytest.mark.parametrize("xlen", [64, 32])
def test_stale_ra_is_no_caller(xlen: int) -> None:
    """The function has called another since: ra points into itself, and the caller is on the stack."""
    board = stopped_in_leaf(
        start=[asm.jal(asm.RA, MIDDLE - START - 4)],
        middle=[asm.addi(asm.SP, asm.SP, -16), saves(xlen), asm.jal(asm.RA, LEAF - MIDDLE - 8), ILLEGAL],
        leaf=[asm.jalr(0, asm.RA, 0)],
        xlen=xlen,
    )

    assert board.registers["ra"] == board.registers["pc"] == MIDDLE + 12
    assert callers(board.hart, SYMBOLS) == [START + 4]


def test_stale_ra_that_was_not_saved_gives_no_caller() -> None:
    board = stopped_in_leaf(
        start=[asm.jal(asm.RA, MIDDLE - START - 4)],
        middle=[asm.jal(asm.RA, LEAF - MIDDLE), ILLEGAL],
        leaf=[asm.jalr(0, asm.RA, 0)],
    )

    assert callers(board.hart, SYMBOLS) == []


@pytest.mark.parametrize("xlen", [64, 32])
def test_leaf_without_a_frame_has_its_caller_in_ra(xlen: int) -> None:
    board = stopped_in_leaf(
        start=[asm.jal(asm.RA, MIDDLE - START - 4)],
        middle=[asm.addi(asm.SP, asm.SP, -16), saves(xlen), asm.jal(asm.RA, LEAF - MIDDLE - 8)],
        leaf=[asm.NOP, ILLEGAL],
        xlen=xlen,
    )

    assert callers(board.hart, SYMBOLS) == [MIDDLE + 8, START + 4]


def test_tail_call_is_gone_through() -> None:
    board = stopped_in_leaf(
        start=[asm.jal(asm.RA, MIDDLE - START - 4)], middle=[asm.NOP, asm.jal(0, LEAF - MIDDLE - 4)], leaf=[ILLEGAL]
    )

    assert callers(board.hart, SYMBOLS) == [START + 4]


def test_call_that_leads_elsewhere_is_no_caller() -> None:
    """As after a switch of tasks: what is in ra has nothing to do with the function."""
    board = stopped_in_leaf(
        start=[asm.jal(asm.RA, MIDDLE - START - 4)],
        middle=[asm.auipc(asm.T0, 0), asm.jalr(0, asm.T0, LEAF - MIDDLE + 4)],
        leaf=[asm.NOP, ILLEGAL],
    )

    assert callers(board.hart, SYMBOLS) == []


def test_overwritten_return_address_is_no_caller() -> None:
    board = stopped_in_leaf(
        start=[asm.jal(asm.RA, MIDDLE - START - 4)],
        middle=[asm.addi(asm.SP, asm.SP, -16), saves(64), asm.jal(asm.RA, LEAF - MIDDLE - 8), ILLEGAL],
        leaf=[asm.sd(asm.SP, asm.SP, 8), asm.jalr(0, asm.RA, 0)],
    )

    assert callers(board.hart, SYMBOLS) == []


def test_call_by_a_pointer_is_a_caller_unless_the_function_is_a_trap_handler() -> None:
    board = stopped_in_leaf(start=CALLS_LEAF_BY_A_POINTER, middle=[asm.NOP], leaf=[ILLEGAL])

    assert callers(board.hart, SYMBOLS) == [START + 12]
    assert callers(board.hart, SYMBOLS, frozenset((LEAF,))) == []


def test_function_that_returns_from_traps_has_no_caller() -> None:
    board = stopped_in_leaf(
        start=[asm.jal(asm.RA, LEAF - START - 4)], middle=[asm.NOP], leaf=[asm.beq(0, asm.SP, 8), ILLEGAL, asm.MRET]
    )

    assert callers(board.hart, SYMBOLS) == []


def test_label_without_a_size_is_not_taken_for_the_start_of_a_function() -> None:
    label = SymbolTable.of([Symbol(START, 0x40, "_start"), Symbol(LEAF, 0, "loop")])
    by_pointer = stopped_in_leaf(start=CALLS_LEAF_BY_A_POINTER, middle=[asm.NOP], leaf=[ILLEGAL])
    by_name = stopped_in_leaf(start=[asm.jal(asm.RA, LEAF - START - 4)], middle=[asm.NOP], leaf=[ILLEGAL])

    assert callers(by_pointer.hart, label) == []
    assert callers(by_name.hart, label) == [START + 4]


def test_without_symbols_or_in_no_function_there_is_no_caller() -> None:
    board = stopped_in_leaf(start=[asm.jal(asm.RA, LEAF - START - 4)], middle=[asm.NOP], leaf=[ILLEGAL])

    assert callers(board.hart, SymbolTable()) == []
    board.registers["pc"] = RAM + 0x2000
    assert callers(board.hart, SYMBOLS) == []


def test_data_is_no_function_though_it_is_executed() -> None:
    """As where somebody returns into a buffer."""
    board = stopped_in_leaf(start=[asm.jal(asm.RA, LEAF - START - 4)], middle=[asm.NOP], leaf=[ILLEGAL])
    buffer = SymbolTable.of([Symbol(START, 0x40, "_start"), Symbol(LEAF, 0x40, "buffer", is_object=True)])
    program = Callers(buffer, board.hart.read_virtual, 64, NO_HANDLERS)

    assert callers(board.hart, buffer) == []
    assert not program.knows(LEAF)
    assert program.knows(START)


def test_endless_chain_of_calls_ends() -> None:
    """A function that calls itself again and again."""
    board = stopped_in_leaf(
        start=[asm.jal(asm.RA, MIDDLE - START - 4)],
        middle=[
            asm.addi(asm.SP, asm.SP, -16), saves(64), asm.addi(asm.A0, asm.A0, 1), asm.addi(asm.T0, 0, 30),
            asm.bne(asm.A0, asm.T0, 8), ILLEGAL, asm.jal(asm.RA, -24),
        ],
        leaf=[asm.NOP],
    )  # fmt: skip

    assert callers(board.hart, SYMBOLS) == [MIDDLE + 24] * CALLERS_MAX


# ---- noise


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_as_code_end_soon(seed: int) -> None:
    pick = random.Random(seed)
    print(f"seed {seed}")
    code = pick.randbytes(4096)
    table = SymbolTable.of([Symbol(0, 4096, "noise")])
    found = Callers(table, lambda at, size: code[at : at + size] if at + size <= 4096 else None, 64, NO_HANDLERS)

    for _ in range(50):
        registers = [pick.randrange(4096) for _ in range(4)]
        assert len(list(found.of(Frame(*registers)))) <= CALLERS_MAX
