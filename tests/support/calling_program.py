"""A program whose calls one can count by hand: main calls f twice, that calls down, which calls itself; a trap."""

from __future__ import annotations

from support import asm
from support.asm import A0, RA, S0, SP, T0, T1, ZERO
from support.harts import RAM, ROM_INSNS, board_of

from minstret.devices.board.board import Board
from minstret.emu.images.image import Symbol, SymbolTable
from minstret.emu.questions.counts import Stretch, measure

F, DOWN, HANDLER = RAM + 0x100, RAM + 0x140, RAM + 0x180
SYMBOLS = SymbolTable.of([
    Symbol(RAM, 0x80, "main"), Symbol(F, 16, "f"), Symbol(DOWN, 32, "down"), Symbol(DOWN + 20, 0, "up"),
    Symbol(HANDLER, 16, "handler"), Symbol(RAM + 0x200, 64, "table", is_object=True),
])  # fmt: skip
DOWN_INSNS = 8 + 8 + 6 + 6
"""Down calls itself twice in the first call, and not at all in the second."""
F_INSNS, HANDLER_INSNS = 2 * 4, 4


def calling_board(xlen: int) -> tuple[Board, int]:
    """It on a board that has executed the boot ROM, and how many instructions main has itself."""
    store, load = (asm.sd, asm.ld) if xlen == 64 else (asm.sw, asm.lw)
    begin = asm.code(asm.li(T0, HANDLER), asm.csrw("mtvec", T0), asm.li(SP, RAM + 0x8000), asm.li(A0, 2))
    call = F - RAM - len(begin)
    main = begin + asm.code(asm.jal(RA, call), asm.jal(RA, call - 4), asm.ECALL, asm.LOOP)
    f = asm.code(asm.addi(S0, RA, 0), asm.jal(RA, DOWN - F - 4), asm.addi(RA, S0, 0), asm.jalr(ZERO, RA, 0))
    down = asm.code(
        asm.addi(SP, SP, -8), store(RA, SP, 0), asm.beq(A0, ZERO, 12), asm.addi(A0, A0, -1), asm.jal(RA, -16),
        load(RA, SP, 0), asm.addi(SP, SP, 8), asm.jalr(ZERO, RA, 0),
    )  # fmt: skip
    handler = asm.code(asm.csrr(T1, "mepc"), asm.addi(T1, T1, 4), asm.csrw("mepc", T1), asm.MRET)
    board = board_of(main, (F - RAM, f), (DOWN - RAM, down), (HANDLER - RAM, handler), xlen=xlen)
    board.run_until(icount=ROM_INSNS)
    return board, len(begin) // 4 + 2


def calling_stretch(xlen: int) -> tuple[Stretch, int]:
    """What it executes up to its last instruction, and how many of these are main's."""
    board, own = calling_board(xlen)
    insns = own + F_INSNS + DOWN_INSNS + HANDLER_INSNS
    stretch = measure(
        board.machine, lambda: board.run_until(icount=ROM_INSNS + insns), calls=True, traps=True
    )  # fmt: skip
    return stretch, own
