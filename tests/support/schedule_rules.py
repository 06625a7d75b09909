"""Which hart runs next on a machine with several, by the rules alone: asked again before each instruction.

Shares nothing with emu/schedule.py, which chooses only where it has to.
"""

from __future__ import annotations

from support.plain_harts import PlainHart


class RulesOfRounds:
    """Rounds in which each hart may retire ``quantum`` instructions, in the order of ids, woken ones before others."""

    def __init__(self, harts: list[PlainHart], quantum: int) -> None:
        self.harts, self.quantum = harts, quantum
        self.now = 0
        self.running = harts[0]
        self._left = [quantum] * len(harts)
        self._turn = 0
        self._woken: dict[int, int] = {}
        """When harts were woken in this round."""

    def run(self, icount: int) -> None:
        """Run until all harts together have retired so many instructions. One of them never waits."""
        while self.now < icount:
            hart = self._choose()
            if hart is not self.running:
                self.running.leave()
                self.running = hart
            hart.step()
            self._left[hart.hart_id] -= 1
            self.now += 1

    def _choose(self) -> PlainHart:
        for hart in self.harts:
            if hart.waiting and hart.can_run:
                hart.waiting = False
                self._woken[hart.hart_id] = self.now
        ready = [hart.hart_id for hart in self.harts if not hart.waiting]
        able = [number for number in ready if self._left[number]]
        if not able:
            self._left = [self.quantum] * len(self.harts)
            self._woken = {}
            self._turn = (self._turn + 1) % len(self.harts)
            able = ready
        woken = [number for number in able if number in self._woken]
        if woken:  # the last one that was woken first
            return self.harts[max(woken, key=lambda number: (self._woken[number], -number))]
        self._turn = next((number for number in able if number >= self._turn), able[0])
        return self.harts[self._turn]
