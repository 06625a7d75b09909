"""``minstret insns --calls``: who called whom in a stretch, as it happened, in the manner of ftrace's function graph.

A call is a JAL or JALR that links to ra or t0, a return a JALR to one of them: see flow_twin.transfer_of. A trap's
handler is below what it has interrupted, and MRET or SRET end it; where no trap is open these are jumps. A return for
which no open call waits, and a return from a trap to another stack, end all that is open: another thread runs. A jump
to another function is no call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from minstret.emu.hart.flow_twin import transfer_of
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.shared import TransferKind
from minstret.emu.hart.spec import REG_SP
from minstret.emu.images.image import SymbolTable
from minstret.emu.machine import Machine
from minstret.emu.questions.insns import trap_entry
from minstret.emu.questions.steps import Step, TrapStep

_A0, _ARGUMENTS = 10, 4
_DEPTH_MAX = 4096
"""So many calls may be open; of more the outer half is forgotten."""
_INDENTED_MAX = 60


@dataclass(slots=True)
class Frame:
    """A call, or a trap's handler, or what was running when it began.

    Attributes:
        pc: Where it was entered.
        link: Where its caller goes on; None of a trap.
        icount: At its first instruction.
        begin, children: How many instructions its hart had retired by then, and how many its children have.
        arguments: a0 to a3 there; nothing of what was running.
        trap: What has happened, of a trap.
        sp: The stack pointer at a trap.
        is_told: Whether its line has been written.
    """

    pc: int
    link: int | None
    icount: int
    begin: int
    arguments: tuple[int, ...] = ()
    trap: str = ""
    sp: int = 0
    children: int = 0
    is_told: bool = False


@dataclass(slots=True)
class Told:
    """What there is to say: that a call has begun, has ended, or both, where it called nothing.

    Attributes:
        frame: The call.
        hart, depth: Whose, and below how many others.
        begins, ends: Which.
        icount: After its last instruction, where it ends.
        insns, own: What its hart has retired in it, with and without what it called.
        value: a0 at its return; None where it has not returned.
    """

    frame: Frame
    hart: int
    depth: int
    begins: bool
    ends: bool
    icount: int = 0
    insns: int = 0
    own: int = 0
    value: int | None = None


class _Stack:
    """The open calls of one hart."""

    def __init__(self, hart: Hart) -> None:
        self._hart, self._x = hart, hart.env.x
        self._frames = [Frame(hart.pc, None, hart.icount, 0)]
        self._retired = 0
        self._icount = hart.icount

    def step(self, step: Step) -> Iterator[Told]:
        self._retired += 1
        self._icount = step.icount + 1
        kind = transfer_of(step.insn, self._hart.xlen)
        if kind is TransferKind.NONE:
            return
        pc = self._hart.pc
        if kind in (TransferKind.RETURN, TransferKind.SWAP):
            yield from self._return(pc, begins_anew=kind is TransferKind.RETURN)
        if kind in (TransferKind.CALL, TransferKind.SWAP):
            yield from self._enter(Frame(
                pc, step.pc + step.size & self._hart.xlen_mask, self._icount, self._retired,
                tuple(int(value) for value in self._x[_A0 : _A0 + _ARGUMENTS]),
            ))  # fmt: skip
        if kind is TransferKind.TRAP_RETURN:
            yield from self._leave_trap(pc)

    def trap(self, trap: TrapStep, text: str) -> Iterator[Told]:
        self._icount = trap.taken.trap.icount
        yield from self._enter(
            Frame(trap.taken.handler, None, self._icount, self._retired, trap=text, sp=trap.sp)
        )  # fmt: skip

    def _enter(self, frame: Frame) -> Iterator[Told]:
        yield from self._begin_told()
        if len(self._frames) >= _DEPTH_MAX:
            del self._frames[: _DEPTH_MAX // 2]
        self._frames.append(frame)

    def _begin_told(self) -> Iterator[Told]:
        """That the innermost call has begun, if that was not told: it will not be its only line."""
        frame = self._frames[-1]
        if not frame.is_told:
            frame.is_told = True
            yield Told(frame, self._hart.hart_id, len(self._frames) - 1, True, False)

    def _return(self, pc: int, *, begins_anew: bool) -> Iterator[Told]:
        at = next((at for at in range(len(self._frames) - 1, 0, -1) if self._frames[at].link == pc), None)
        if at is not None:
            yield from self._close(at, int(self._x[_A0]))
        elif begins_anew:
            yield from self._begin_anew(pc)

    def _leave_trap(self, pc: int) -> Iterator[Told]:
        at = next((at for at in range(len(self._frames) - 1, 0, -1) if self._frames[at].trap), None)
        if at is None:
            return  # a jump to another privilege: nothing waits for it
        if self._frames[at].sp == self._x[REG_SP]:
            yield from self._close(at, None)
        else:
            yield from self._begin_anew(pc)

    def _begin_anew(self, pc: int) -> Iterator[Told]:
        yield from self._close(0, None)
        self._frames.append(Frame(pc, None, self._icount, self._retired))

    def _close(self, at: int, value: int | None) -> Iterator[Told]:
        """End the calls from ``at`` on, the innermost first; that one has given ``value``."""
        while len(self._frames) > at:
            frame = self._frames.pop()
            insns, depth = self._retired - frame.begin, len(self._frames)
            if self._frames:
                self._frames[-1].children += insns
            if insns or frame.is_told:
                yield Told(
                    frame, self._hart.hart_id, depth, not frame.is_told, True, self._icount, insns,
                    insns - frame.children, value if depth == at else None,
                )  # fmt: skip

    def end(self) -> Iterator[Told]:
        """All that is open, as far as it has come."""
        yield from self._close(0, None)


class CallLines:
    """Says what it is told of, in lines; or, with ``facts``, as dictionaries for JSON."""

    def __init__(self, machine: Machine, symbols: SymbolTable, *, hart: int | None = None) -> None:
        """Make it where the stretch begins.

        Args:
            machine: What runs.
            symbols: Names of functions.
            hart: Only of the hart of that id; None for all.
        """
        self._machine, self._symbols = machine, symbols
        self._stacks = {one.hart_id: _Stack(one) for one in machine.harts if hart in (None, one.hart_id)}
        self._shows_hart = len(machine.harts) > 1

    def _of_step(self, step: Step) -> Iterator[Told]:
        stack = self._stacks.get(step.hart.hart_id)
        return iter(()) if stack is None else stack.step(step)

    def _of_trap(self, trap: TrapStep) -> Iterator[Told]:
        stack = self._stacks.get(trap.hart.hart_id)
        if stack is None:
            return iter(())
        entry = trap_entry(trap, self._machine.clock)
        return stack.trap(trap, f"{entry.word}: {entry.name}")

    def _at_end(self) -> Iterator[Told]:
        for stack in self._stacks.values():
            yield from stack.end()

    # ---- lines

    def head_lines(self) -> list[str]:
        """What the columns are."""
        return [f"{'icount':>14}  {'hart   ' if self._shows_hart else ''}{'insns':>11} {'self':>11}  call"]

    def step_lines(self, step: Step) -> list[str]:
        """The lines of an instruction: most have none."""
        return [self._line(told) for told in self._of_step(step)]

    def trap_lines(self, trap: TrapStep) -> list[str]:
        """The lines of a trap."""
        return [self._line(told) for told in self._of_trap(trap)]

    def end_lines(self) -> list[str]:
        """The lines of what is still open."""
        return [self._line(told) for told in self._at_end()]

    def _line(self, told: Told) -> str:
        counts = f"{told.insns:>11,} {told.own:>11,}" if told.ends else " " * 23
        icount = told.frame.icount if told.begins else told.icount
        indent = "  " * min(told.depth, _INDENTED_MAX)
        hart = f"hart{told.hart:<3}" if self._shows_hart else ""
        value = "" if told.value is None else f" = {told.value:#x}"
        if not told.begins:
            return f"{icount:>14,}  {hart}{counts}  {indent}}} {self._name(told.frame)}{value}"
        return f"{icount:>14,}  {hart}{counts}  {indent}{self._call(told.frame)}{value if told.ends else ' {'}"

    def _name(self, frame: Frame) -> str:
        return self._symbols.describe(frame.pc) or f"{frame.pc:#x}"

    def _call(self, frame: Frame) -> str:
        if frame.trap:
            return f"{self._name(frame)} [{frame.trap}]"
        return f"{self._name(frame)}({', '.join(f'{value:#x}' for value in frame.arguments) or '...'})"

    # ---- for programs

    def step_facts(self, step: Step) -> list[dict[str, Any]]:
        """The calls that ended with an instruction, for JSON: each once, with all that is known of it."""
        return self._facts(self._of_step(step))

    def trap_facts(self, trap: TrapStep) -> list[dict[str, Any]]:
        """The same of a trap, which ends none."""
        return self._facts(self._of_trap(trap))

    def end_facts(self) -> list[dict[str, Any]]:
        """The calls that are still open."""
        return self._facts(self._at_end())

    def _facts(self, all_told: Iterator[Told]) -> list[dict[str, Any]]:
        return [
            {
                "hart": told.hart, "depth": told.depth, "from": told.frame.icount, "to": told.icount,
                "insns": told.insns, "self": told.own, "pc": f"{told.frame.pc:#x}",
                "symbol": self._symbols.describe(told.frame.pc) or None, "trap": told.frame.trap or None,
                "arguments": [f"{value:#x}" for value in told.frame.arguments],
                "value": None if told.value is None else f"{told.value:#x}",
            }
            for told in all_told if told.ends
        ]  # fmt: skip
