"""Generated programs on boards with several harts: the schedule's rules, applied to a model, give the same."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from support.generated_code import RAM
from support.generated_smp import SmpProgram, generate
from support.interleavings import PlainSide
from support.random_cases import SEED_FAST, SEED_SLOW
from support.schedule_rules import RulesOfRounds

from minstret.devices.board.board import Board
from minstret.devices.board.config import BoardConfig
from minstret.emu.hart.shared import Counting
from minstret.emu.images.loader import Firmware, Segment
from minstret.emu.machine import StopReason

PROGRAMS = {Counting.BLOCKS: (8, 200), Counting.INSTRUCTIONS: (4, 80), Counting.PYTHON: (3, 40)}
"""So many for each width of registers, and with --slow."""
INSNS = 4000


@pytest.mark.parametrize("size", ["few", pytest.param("many", marks=pytest.mark.slow)])
@pytest.mark.parametrize("xlen", [64, 32])
def test_generated_programs_on_boards_do_what_the_model_does(
    xlen: int, size: str, counting: str, announce: Callable[[str], None]
) -> None:
    way = Counting(counting)
    number, base = (PROGRAMS[way][0], SEED_FAST) if size == "few" else (PROGRAMS[way][1], SEED_SLOW)
    announce(f"{number} programs on boards with several harts, rv{xlen}, {counting}, seed {base}")
    for case in range(number):
        difference = first_difference(f"{base}/{case}", xlen, way)
        assert difference is None, difference


def first_difference(seed: str, xlen: int, counting: Counting) -> str | None:
    """Run a program on both, and compare all harts and RAM at some icounts."""
    pick = random.Random(seed)
    harts, pages = pick.choice((2, 2, 3, 4)), pick.random() < 0.4
    program = generate(
        seed, xlen, harts, pages=pages, reads_time=True, strays=False, timers=pick.random() < 0.6
    )  # fmt: skip
    quantum = pick.choice((1, 2, 7, 50, 300, 1000))
    model = PlainSide(program)
    shift, slices = pick.choice((0, 1, 7)), pick.choice((1, 7, 100, None))
    rules = RulesOfRounds(model.harts, quantum, shift)
    board = board_of(program, quantum, counting, icount_shift=shift, slice_insns_max=slices)
    icount = 0
    while icount < INSNS:
        icount += pick.randint(1, pick.choice((1, 10, 100, 1000)))
        outcome = board.run_until(icount=icount)
        goes_on = rules.run(icount)
        what = _difference(board, model)
        if goes_on and board.position != (icount, rules.virtual_ns):
            what = f"{board.position}, {outcome}, model {icount, rules.virtual_ns}"
        if what is not None:
            return f"{program}, quantum {quantum}, at icount {icount}: {what}"
        if not goes_on:
            return None if outcome.reason is StopReason.WAITS_FOREVER else f"{outcome}, but all wait in the model"
    return None


def board_of(program: SmpProgram, quantum: int, counting: Counting, **config: object) -> Board:
    """A board whose harts begin in the program, without a boot ROM."""
    firmware = Firmware("generated", program.xlen, RAM, (Segment(RAM, program.image, len(program.image)),))
    made = BoardConfig(
        xlen=program.xlen, ram_size=1 << 20, smp=program.harts, quantum=quantum, counting=counting,
        **config,  # type: ignore[arg-type]
    )  # fmt: skip
    board = Board(firmware, made)
    for hart, entry in zip(board.harts, program.entries, strict=True):
        hart.env.pc = RAM + entry
    return board


def _difference(board: Board, model: PlainSide) -> str | None:
    for hart in model.harts:
        ours = board.harts[hart.hart_id]
        registers = board.registers_of(hart.hart_id)
        pairs = [("pc", ours.pc, hart.pc), ("minstret", registers["minstret"], hart.retired)]
        pairs += [(f"x{number}", a, b) for number, (a, b) in enumerate(zip(ours.env.x, hart.x, strict=True))]
        pairs.append(("waiting", ours.waiting and not ours.has_wake_up, not hart.can_run))
        found = [f"{name} {a:#x}, model {b:#x}" for name, a, b in pairs if a != b]
        if found:
            return f"hart {hart.hart_id}: {', '.join(found)}"
    ram, expected = board.hart.read_physical(RAM, len(model.memory.ram)), model.ram()
    if ram == expected:
        return None
    at = next(at for at, (a, b) in enumerate(zip(ram, expected, strict=True)) if a != b)
    return f"{RAM + at:#x}: {ram[at : at + 16].hex(' ', 4)}, model {expected[at : at + 16].hex(' ', 4)}"
