"""Generated programs on boards with several harts: the schedule's rules, applied to a model, give the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
from support.generated_code import RAM
from support.generated_smp import SmpProgram, generate
from support.interleavings import PlainSide
from support.random_cases import SEED_FAST, SEED_SLOW, TIMES
from support.schedule_rules import NS_PER_TICK, RulesOfRounds

from minstret.devices.board.board import Board
from minstret.devices.board.config import BoardConfig
from minstret.emu.door.door import Door
from minstret.emu.hart.shared import Counting
from minstret.emu.images.loader import Firmware, Segment
from minstret.emu.machine import StopReason
from minstret.emu.schedule import DEFAULT_QUANTUM
from minstret.emu.session import LiveSession

PROGRAMS = {
    Counting.CODE: (7, 15), Counting.BLOCKS: (4, 6), Counting.INSTRUCTIONS: (4, 8), Counting.PYTHON: (3, 4),
}  # fmt: skip
"""So many for each width of registers, and with --slow."""
INSNS = 4000


@pytest.mark.parametrize("size", ["few", pytest.param("many", marks=pytest.mark.slow)])
@pytest.mark.parametrize("xlen", [64, 32])
def test_generated_programs_on_boards_do_what_the_model_does(
    xlen: int, size: str, counting: str, announce: Callable[[str], None]
) -> None:
    way = Counting(counting)
    number, base = (PROGRAMS[way][0], SEED_FAST) if size == "few" else (TIMES * PROGRAMS[way][1], SEED_SLOW)
    announce(f"{number} programs on boards with several harts, rv{xlen}, {counting}, seed {base}")
    for case in range(number):
        difference = first_difference(draw_case(f"{base}/{case}", xlen, way, timers=True))
        assert difference is None, difference


@dataclass(frozen=True, slots=True)
class Case:
    """What is drawn for one program."""

    seed: str
    xlen: int
    counting: Counting
    pick: random.Random
    program: SmpProgram
    shift: int
    slices: int | None

    def make(self, door: Door, *, quantum: int = DEFAULT_QUANTUM, chaos_seed: int | None = None) -> Board:
        """A board whose harts begin in the program, without a boot ROM."""
        program = self.program
        firmware = Firmware("generated", program.xlen, RAM, (Segment(RAM, program.image, len(program.image)),))
        config = BoardConfig(
            xlen=program.xlen, ram_size=1 << 20, smp=program.harts, quantum=quantum, counting=self.counting,
            icount_shift=self.shift, slice_insns_max=self.slices, chaos_seed=chaos_seed,
        )  # fmt: skip
        board = Board(firmware, config, door=door)
        for hart, entry in zip(board.harts, program.entries, strict=True):
            hart.env.pc = RAM + entry
        return board


def draw_case(seed: str, xlen: int, counting: Counting, *, timers: bool) -> Case:
    pick = random.Random(seed)
    harts, pages = pick.choice((2, 2, 2, 3, 3, 4, 8)), pick.random() < 0.4
    timers = timers and pick.random() < 0.6
    program = generate(seed, xlen, harts, pages=pages, reads_time=True, strays=False, timers=timers)
    return Case(seed, xlen, counting, pick, program, pick.choice((0, 1, 7)), pick.choice((1, 7, 100, None)))


def first_difference(case: Case) -> str | None:
    """Run a program on both, and compare all harts and RAM at some icounts; the board also goes back now and then."""
    pick, model = case.pick, PlainSide(case.program)
    quantum = pick.choice((1, 2, 7, 50, 300, 1000))
    rules = RulesOfRounds(model.harts, quantum, case.shift)
    with LiveSession(partial(case.make, quantum=quantum)) as session:
        board, icount = session.board, 0
        while icount < INSNS:
            if pick.random() < 0.2:
                saved = session.save()
                session.run(icount=icount + pick.choice((1, 10, 200)))
                session.restore(saved)
            icount += pick.randint(1, pick.choice((1, 10, 100, 1000)))
            outcome, goes_on = session.run(icount=icount), rules.run(icount)
            what = _difference(board, model)
            if goes_on and board.position != (icount, rules.virtual_ns):
                what = f"{board.position}, {outcome}, model {icount, rules.virtual_ns}"
            if what is not None:
                return f"{case.program}, quantum {quantum}, at icount {icount}: {what}"
            if not goes_on:
                return None if outcome.reason is StopReason.WAITS_FOREVER else f"{outcome}, but all wait in the model"
    return None


@pytest.mark.parametrize("xlen", [64, 32])
def test_with_chaos_each_hart_does_what_it_does_in_the_model(xlen: int, counting: str) -> None:
    """Who runs is seen on the board, instruction by instruction; the model follows."""
    switches = 0
    for number in range(4):
        case = draw_case(f"chaos {number}", xlen, Counting(counting), timers=False)
        model = PlainSide(case.program)
        model.memory.time = partial(_ticks, model, case.shift)
        last = model.harts[0]
        with LiveSession(partial(case.make, chaos_seed=number)) as session:
            for icount in range(1, 2500):
                session.run(icount=icount)
                hart = model.harts[session.board.hart.hart_id]
                if hart is not last:
                    last.leave()
                    last, switches = hart, switches + 1
                hart.step()
                if icount % 64 == 0:
                    assert _difference(session.board, model) is None, f"{case.program}, at icount {icount}"
    assert switches > 5


def _ticks(model: PlainSide, shift: int) -> int:
    return (model.icount() << shift) // NS_PER_TICK


def _difference(board: Board, model: PlainSide) -> str | None:
    for hart in model.harts:
        ours = board.harts[hart.hart_id]
        pairs = [("pc", ours.pc, hart.pc), ("minstret", ours.minstret, hart.minstret)]
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
