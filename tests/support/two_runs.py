"""Two runs compared the plain way: each instruction, from the first on, and all that one can see at it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from minstret.devices.board.board import Board, Setup
from minstret.devices.board.config import BoardConfig
from minstret.emu.hart.decode import memory_access
from minstret.emu.hart.observers import InsnRetired, TrapTaken
from minstret.emu.images.loader import ImageFile
from minstret.emu.machine import StopReason
from minstret.emu.questions.diffing.side import Side
from minstret.emu.session import LiveSession, RunLimits

_NAMES = (
    "mstatus", "mepc", "mcause", "mtval", "mtvec", "mie", "mideleg", "medeleg", "mscratch", "satp", "sepc", "scause",
    "stval", "stvec", "sscratch", "scounteren", "mcounteren", "pmpcfg0", "pmpaddr0", "pmpaddr1", "pmpaddr2", "priv",
    "pc", "fcsr",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """An instruction as it was executed; ``accessed`` its bytes of memory: (address, before a load, after)."""

    hart: int
    pc: int
    insn: int
    warp_ns: int
    traps: tuple[TrapTaken, ...]
    accessed: tuple[int, bytes] | None
    registers: tuple[tuple[int, ...], ...]


class Ended(NamedTuple):
    """How a run ended."""

    reason: StopReason
    exit_code: int | None


def rows(board: Board, limit: int) -> Iterator[Row | Ended]:
    """Run step by step to an icount, or to the end."""
    traps: list[TrapTaken] = []
    retired: list[tuple[int, InsnRetired]] = []
    for hart in board.harts:
        hart.observers.tell(traps.append, lambda insn, hart=hart: retired.append((hart.hart_id, insn)))  # type: ignore
    while board.position.icount < limit:
        before = [list(hart.env.x) for hart in board.harts]
        traps.clear()
        retired.clear()
        outcome = board.machine.run(icount=board.position.icount + 1)
        if retired:
            ((number, insn),) = retired
            yield Row(
                number, insn.pc, insn.insn, board.machine.clock.state.warp_ns, tuple(traps),
                _accessed(board, number, insn.insn, before[number]),
                tuple(_registers(board, hart.hart_id) for hart in board.harts),
            )  # fmt: skip
        if outcome.reason is not StopReason.REACHED:
            yield Ended(outcome.reason, outcome.exit_code)
            return


def _accessed(board: Board, number: int, insn: int, x: list[int]) -> tuple[int, bytes] | None:
    hart = board.harts[number]
    access = memory_access(insn, hart.xlen)
    if access is None:
        return None
    data = b""
    for at in range(access.size):
        pa = hart.translate(x[access.rs1] + access.imm + at & hart.xlen_mask)
        data += b"" if pa is None else hart.memory.peek(pa, 1) or b""
    return x[access.rs1] + access.imm & hart.xlen_mask, data


def _registers(board: Board, number: int) -> tuple[int, ...]:
    hart, registers = board.harts[number], board.registers_of(number)
    return (*hart.env.x, *hart.env.f, *(registers[name] for name in _NAMES))


def first_difference(one: list[Row | Ended], other: Iterator[Row | Ended]) -> int | None:
    """The icount of the first row that differs, from the same icount on."""
    at = -1
    for at, row in enumerate(other):
        if at >= len(one) or one[at] != row:
            return at
    return None if at + 1 == len(one) else at + 1


def setup_of_ram(ram: bytes, xlen: int, **config: object) -> Setup:
    """A board that begins with these bytes."""
    return Setup(BoardConfig(ram_size=1 << 20, xlen=xlen, **config), ImageFile("ram.bin", ram))  # type: ignore[arg-type]


def live_side(name: str, setup: Setup, insns: int) -> Side:
    """A live run of so many instructions at most."""
    return Side(name, LiveSession(lambda door: setup.make(door=door)), limits=RunLimits(insns))
