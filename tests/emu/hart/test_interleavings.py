"""Generated programs on several harts, in turns that are drawn: the same as on harts of an independent model.

After each turn the hart that ran has the model's registers and counters, and memory is the model's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from support.interleavings import OurSide, PlainSide, draw_case, first_difference, run_turns
from support.plain_harts import PlainHart
from support.random_cases import SEED_FAST, SEED_SLOW, TIMES

from minstret.emu.hart.shared import Counting

PROGRAMS = {
    Counting.CODE: (10, 25), Counting.BLOCKS: (5, 8), Counting.INSTRUCTIONS: (6, 10), Counting.PYTHON: (4, 5),
}  # fmt: skip
"""So many for each width of registers, and with --slow."""


@pytest.mark.parametrize("size", ["few", pytest.param("many", marks=pytest.mark.slow)])
@pytest.mark.parametrize("xlen", [64, 32])
def test_generated_programs_on_several_harts_do_what_the_model_does(
    xlen: int, size: str, counting: str, announce: Callable[[str], None]
) -> None:
    way = Counting(counting)
    number, base = (PROGRAMS[way][0], SEED_FAST) if size == "few" else (TIMES * PROGRAMS[way][1], SEED_SLOW)
    announce(f"{number} programs on several harts, rv{xlen}, {counting}, seed {base}")
    for case in range(number):
        program, turns = draw_case(f"{base}/{case}", xlen, reads_time=True)
        difference = first_difference(run_turns(OurSide(program, way), turns), run_turns(PlainSide(program), turns))
        assert difference is None, f"{program}: {difference}"


def test_difference_in_memory_is_named() -> None:
    program, turns = draw_case("named", 64)
    last = list(run_turns(PlainSide(program), turns))
    wrong = bytearray(last[7].ram)
    wrong[0x1234] ^= 1
    found = first_difference([*last[:7], last[7]._replace(ram=bytes(wrong))], last[:8])

    assert found is not None
    assert found.startswith(f"after turn 7 of hart {last[7].turn.hart} ")
    assert "0x80001234: " in found


class Noting(PlainHart):
    """A hart of the model that notes what happens, for all of them."""

    noted: Counter[str]
    executed: dict[int, int]

    def _execute(self) -> None:
        insn = self.memory.load(self.pc, 4)
        self.noted["changed instruction"] += self.executed.get(self.pc, insn) != insn
        if insn is not None:
            self.executed[self.pc] = insn
        super()._execute()

    def _enter_trap(self, cause: int, tval: int) -> None:
        self.noted["interrupt" if cause >> 30 else "exception"] += 1
        super()._enter_trap(cause, tval)

    def _store_conditional(self, rd: int, address: int, size: int, value: int) -> None:
        self.noted["success" if self.reservation == address else "failure"] += 1
        super()._store_conditional(rd, address, size, value)


def test_programs_do_what_they_are_for() -> None:
    """They execute what was stored over code, take traps, wait, win and lose reservations: all that many times."""
    noted, waits = Counter[str](), 0
    for case in range(12):
        program, turns = draw_case(f"{SEED_FAST}/{case}", 64, reads_time=True)
        side = PlainSide(program, Noting)
        executed: dict[int, int] = {}
        for hart in side.harts:
            assert isinstance(hart, Noting)
            hart.noted, hart.executed = noted, executed
        waits += sum(side.turn(turn).waiting for turn in turns)

    assert waits > 10
    assert set(noted) == {"changed instruction", "interrupt", "exception", "success", "failure"}
    assert min(noted.values()) > 20
