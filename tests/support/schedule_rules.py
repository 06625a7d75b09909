"""Which hart runs next on a machine with several, by the rules alone: asked again before each instruction.

Shares nothing with emu/schedule.py, which chooses only where it has to.
"""

from __future__ import annotations

from support.plain_harts import PlainHart

NS_PER_TICK = 100
NEVER = 1 << 40
"""Ticks: a timer set that far is one that is off, or was written in part."""


class RulesOfRounds:
    """Rounds in which each hart may retire ``quantum`` instructions, in the order of ids, woken ones before others.

    An instruction takes ``2 ** shift`` ns. While all harts wait, time is skipped to what the next timer says.
    """

    def __init__(self, harts: list[PlainHart], quantum: int, shift: int) -> None:
        self.harts, self.quantum, self.shift = harts, quantum, shift
        self.memory = harts[0].memory
        self.memory.time = lambda: self.virtual_ns // NS_PER_TICK
        for hart in harts:
            hart.clock = lambda: self.virtual_ns >> shift  # cycles go on while all wait
        self.icount = self.warp_ns = 0
        self.running = harts[0]
        self._left = [quantum] * len(harts)
        self._turn = 0
        self._woken: dict[int, int] = {}
        """When harts were woken in this round."""

    @property
    def virtual_ns(self) -> int:
        return (self.icount << self.shift) + self.warp_ns

    def run(self, icount: int) -> bool:
        """Run until all harts together have retired so many instructions; False if they wait for ever before."""
        while self.icount < icount:
            hart = self._choose()
            if hart is None:
                if not self._skip_time():
                    return False
                continue
            if hart is not self.running:
                self.running.leave()
                self.running = hart
            hart.step()
            self._left[hart.hart_id] -= 1
            self.icount += 1
        return True

    def _skip_time(self) -> bool:
        """To the next timer that is to come, whether or not it ends a wait; False if there is none."""
        ahead = [ticks for ticks in self.memory.mtimecmp if self.memory.time() < ticks < NEVER]
        if ahead:
            self.warp_ns += min(ahead) * NS_PER_TICK - self.virtual_ns
            self._begin_round()
        return bool(ahead)

    def _begin_round(self) -> None:
        self._left = [self.quantum] * len(self.harts)
        self._woken = {}

    def _choose(self) -> PlainHart | None:
        for hart in self.harts:
            if hart.waiting and hart.can_run:
                hart.waiting = False
                self._woken[hart.hart_id] = self.icount
        ready = [hart.hart_id for hart in self.harts if not hart.waiting]
        if not ready:
            return None
        able = [number for number in ready if self._left[number]]
        if not able:
            self._begin_round()
            self._turn = (self._turn + 1) % len(self.harts)
            able = ready
        woken = [number for number in able if number in self._woken]
        if woken:  # the last one that was woken first
            return self.harts[max(woken, key=lambda number: (self._woken[number], -number))]
        self._turn = next((number for number in able if number >= self._turn), able[0])
        return self.harts[self._turn]
