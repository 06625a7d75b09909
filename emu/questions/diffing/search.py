"""The search for the first instruction that differs: both runs side by side in strides, the last ones step by step.

After each stride all is compared that an instruction can see: registers, virtual time, and the bytes of memory, of
which those that differed before may differ still; besides these, what came to the harts meanwhile. Of the bytes that
differ guards tell whether one was read or executed. So nothing is missed that is the same again later. Where anything
differs, or may, both go back to where the stride began, and on in smaller ones.
"""

from __future__ import annotations

from typing import NamedTuple

from minstret.emu.hart.watches import WatchHit
from minstret.emu.questions.diffing.compared import Differs, compare, is_same_end
from minstret.emu.questions.diffing.differing import DifferingBytes
from minstret.emu.questions.diffing.guards import Guards
from minstret.emu.questions.diffing.inputs import Inputs
from minstret.emu.questions.diffing.side import Side
from minstret.emu.questions.diffing.stepping import Step, step
from minstret.emu.session import Saved

STRIDE_INSNS_MAX = 16_000_000
"""From one comparison to the next; it takes some tens of ms."""
_STRIDE_INSNS_MIN = 256
"""So many instructions are compared one by one."""
_SMALLER = 4
_FIRST_STEPS = 64
"""At the start, as the boot ROM has no guards: it has fewer instructions than that."""


class Found(NamedTuple):
    """The first instruction that differs, on both sides; ``steps`` is None for Differs.START."""

    what: Differs
    icount: int
    steps: tuple[Step, Step] | None


class _Base(NamedTuple):
    """Where both sides were the same."""

    one: Saved
    other: Saved
    differing: dict[int, int]


class Search:
    """Two sides that stand at the same icount.

    Attributes:
        one, other: They.
        strides, false_alarms: How many there were, for who measures.
    """

    def __init__(self, one: Side, other: Side, *, stride_insns_max: int = STRIDE_INSNS_MAX) -> None:
        assert one.icount == other.icount, (one.position, other.position)
        self.one, self.other = one, other
        self._stride_max = stride_insns_max
        self._guards = Guards(one.machine)
        self._inputs = Inputs(one.machine), Inputs(other.machine)
        self._compares_time = one.machine.clock.shift == other.machine.clock.shift
        self.strides = self.false_alarms = 0

    def first(self) -> Found | None:
        """The first instruction that differs; None where both have come to the same end.

        If it is found, both sides stand behind it.
        """
        self.differing = DifferingBytes(self.one.machine.memory, self.other.machine.memory)
        try:
            if not self.is_same_place():
                return Found(Differs.START, self.one.icount, None)
            if self.one.is_over:
                return None
            return self._step_to(self.one.icount + _FIRST_STEPS) or self._go_on()
        finally:
            self._guards.take_off()

    def go_before(self, found: Found) -> None:
        """Go back to the first moment at the icount of what ``first`` has found."""
        if found.steps is not None:
            self._restore(self._began)
            self.one.go_to(found.icount)
            self.other.go_to(found.icount)

    def _go_on(self) -> Found | None:
        stride, shrinks_until = _STRIDE_INSNS_MIN, 0
        while not (self.one.is_over and self.other.is_over):
            base, begin = self._save(), self.one.icount
            hits = self._stride(begin + stride)
            if hits is None:
                if self.one.icount >= shrinks_until:
                    stride = min(2 * stride, self._stride_max)
                continue
            self._restore(base)
            shrinks_until = max(shrinks_until, begin + stride)
            if hits and hits[0].icount > begin:
                stride = shrinks_until = hits[0].icount - begin
                shrinks_until += begin
            elif hits or stride <= _STRIDE_INSNS_MIN:
                found = self._step_to(begin + (1 if hits else stride))
                if found is not None:
                    return found
                self.false_alarms += 1
                stride, shrinks_until = _STRIDE_INSNS_MIN, 0
                for hit in hits:
                    self._guards.be_exact(hit.address)
            else:
                stride = max(_STRIDE_INSNS_MIN, stride // _SMALLER)
        return None

    def _save(self) -> _Base:
        return _Base(self.one.save(), self.other.save(), self.differing.save())

    def _restore(self, base: _Base) -> None:
        self.one.restore(base.one)
        self.other.restore(base.other)
        self.differing.restore(base.differing)

    def _stride(self, icount: int) -> tuple[WatchHit, ...] | None:
        """Go on to an icount, if nothing differs on the way; None where nothing does.

        Where something may, the accesses to bytes that differ, or nothing if it is something else.
        """
        self.strides += 1
        self._guards.put_on(self.differing.ranges())
        for inputs in self._inputs:
            inputs.forget()
            inputs.listen()
        try:
            hits = self.one.go_to(icount)
            if hits:
                return hits
            self.other.go_to(icount)
        finally:
            for inputs in self._inputs:
                inputs.ignore()
        has_more = self.differing.update()
        if has_more or self._guards.has_new_code() or self._inputs[0].told != self._inputs[1].told:
            return ()
        return None if self.is_same_place() else ()

    def is_same_place(self) -> bool:
        """Whether both sides are at the same place, with the same registers."""
        one, other = self.one, self.other
        if (one.divergence is None) != (other.divergence is None) or not is_same_end(one.over, other.over):
            return False
        ours, theirs = one.position, other.position
        if ours.icount != theirs.icount or (self._compares_time and ours.virtual_ns != theirs.virtual_ns):
            return False
        return one.hart.hart_id == other.hart.hart_id and one.views() == other.views()

    def _step_to(self, icount: int) -> Found | None:
        """Compare instruction by instruction up to an icount."""
        self._began = self._save()
        while self.one.icount < icount and not (self.one.is_over or self.other.is_over):
            found = self.step()
            if found is not None:
                return found
        self.differing.update()
        return None

    def step(self) -> Found | None:
        """Compare one instruction."""
        at = self.one.icount
        steps = step(self.one), step(self.other)
        what = compare(*steps, compares_time=self._compares_time)
        return None if what is None else Found(what, at, steps)
