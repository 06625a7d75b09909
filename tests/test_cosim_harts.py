"""Several harts of Spike in turns that are drawn: ours do the same, and so does the model that other tests use."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.generated_code import RAM
from support.generated_smp import SmpProgram
from support.interleavings import AfterTurn, OurSide, PlainSide, Turn, draw_case, first_difference, run_turns
from support.needs import Need
from support.random_cases import SEED_SLOW, TIMES

from cosimulation.harts import SpikeHarts, program
from cosimulation.spike import CosimError
from minstret.emu.hart.shared import Counting

PROGRAMS = {Counting.CODE: 8, Counting.BLOCKS: 4, Counting.INSTRUCTIONS: 5, Counting.PYTHON: 3}


@pytest.fixture
def spikes_harts(need: Need) -> None:
    """Spike is installed, and the program for its harts compiled, at the first use."""
    try:
        program()
    except CosimError as error:
        need(f"harts of Spike ({error})", None)


class SpikeSide:
    """Spike's harts."""

    def __init__(self, harts: SpikeHarts, program: SmpProgram) -> None:
        self.harts = harts
        for number, entry in enumerate(program.entries):
            harts.set_pc(number, RAM + entry)

    def turn(self, turn: Turn) -> AfterTurn:
        if turn.is_woken:
            self.harts.set_msip(turn.hart, True)
        stopped = self.harts.run(turn.hart, turn.insns)
        return AfterTurn(stopped.retired, stopped.waiting, stopped.minstret, stopped.pc, stopped.x)

    def ram(self) -> bytes:
        return self.harts.memory[:]


@pytest.mark.slow
@pytest.mark.parametrize("xlen", [64, 32])
def test_the_model_of_several_harts_does_what_spike_does(
    xlen: int, announce: Callable[[str], None], spikes_harts: None
) -> None:
    number = 10 * TIMES
    announce(f"{number} programs on the model beside several harts of Spike, rv{xlen}, seed {SEED_SLOW}")
    for case in range(number):
        program, turns = draw_case(f"{SEED_SLOW}/{case}", xlen)
        with SpikeHarts(xlen, program.harts, program.image) as harts:
            model = run_turns(SpikeSide(harts, program), turns)
            difference = first_difference(run_turns(PlainSide(program), turns), model)
        assert difference is None, f"{program}: {difference}"


@pytest.mark.slow
@pytest.mark.parametrize("xlen", [64, 32])
def test_several_harts_do_what_spikes_do(
    xlen: int, counting: str, announce: Callable[[str], None], spikes_harts: None
) -> None:
    number = TIMES * PROGRAMS[Counting(counting)]
    announce(f"{number} programs beside several harts of Spike, rv{xlen}, {counting}, seed {SEED_SLOW}")
    for case in range(number):
        program, turns = draw_case(f"{SEED_SLOW}/spike {case}", xlen, insns=5000)
        with SpikeHarts(xlen, program.harts, program.image) as harts:
            model = run_turns(SpikeSide(harts, program), turns)
            difference = first_difference(run_turns(OurSide(program, Counting(counting)), turns), model)
        assert difference is None, f"{program}: {difference}"
