"""What emu/hart/flow.py tells, found by looking at each instruction: slow, and plain enough to be right."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from minstret.emu.hart.flow import BlockCount, CallNode
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.observers import InsnRetired, TrapTaken

_RA, _T0 = 1, 5
_JAL, _JALR = 0x6F, 0x67
_TRAP_RETURNS = (0x30200073, 0x10200073)


Link = int | tuple[str, int]
"""What an open call waits for: a return to an address, or from a trap to where that came from."""


@dataclass
class _Node:
    parent: int | None
    entry: int
    priv: int
    is_trap: bool
    insns: int = 0
    calls: int = 0


@dataclass
class NaiveFlow:
    """Put in the place of a hart's ``flow``.

    Attributes:
        insns: How often each instruction was executed, by pc and privilege.
        sizes: Bytes of what was executed there.
    """

    hart: Hart
    insns: Counter[tuple[int, int]] = field(default_factory=Counter)
    sizes: dict[tuple[int, int], set[int]] = field(default_factory=dict)
    lost_insns: int = 0

    def __post_init__(self) -> None:
        self._nodes: list[_Node] = []
        self._open: list[tuple[int, Link | None]] = []
        self._now: int | None = None
        self._next = ""
        self._link = 0
        self._priv = int(self.hart.env.priv)
        self._last: dict[tuple[int, int], int] = {}

    def count(self, on: bool) -> None:
        self.hart.observers.tell(self._trapped if on else None, self._retired if on else None)

    def follow_calls(self, on: bool) -> None: ...

    def blocks(self) -> list[BlockCount]:
        return [BlockCount(pc, 1, priv, count, self._last[pc, priv]) for (pc, priv), count in self.insns.items()]

    def by_priv(self) -> dict[int, int]:
        """How many instructions at each privilege, the highest first."""
        found: Counter[int] = Counter()
        for (_, priv), count in self.insns.items():
            found[priv] += count
        return dict(sorted(found.items(), reverse=True))

    def calls(self) -> list[CallNode]:
        return [CallNode(n.parent, n.entry, n.priv, n.is_trap, n.insns, n.calls) for n in self._nodes]

    # ---- what happens

    def forget_open(self) -> None:
        """What comes next has nothing to do with what came before: another state was loaded."""
        self._open.clear()
        self._now, self._next, self._priv = None, "", int(self.hart.env.priv)

    def _trapped(self, taken: TrapTaken) -> None:
        self._arrive(taken.trap.epc)
        self._enter(taken.handler, taken.priv, True, ("trap", taken.trap.epc))
        self._priv = taken.priv

    def _retired(self, retired: InsnRetired) -> None:
        self._arrive(retired.pc)
        assert self._now is not None
        self.insns[retired.pc, self._priv] += 1
        self._last[retired.pc, self._priv] = retired.icount
        self._nodes[self._now].insns += 1
        size = 4 if retired.insn & 3 == 3 else 2
        self.sizes.setdefault((retired.pc, self._priv), set()).add(size)
        self._next = _kind_of(retired.insn, self.hart.xlen)
        self._link = retired.pc + size
        self._priv = int(self.hart.env.priv)

    def _arrive(self, pc: int) -> None:
        """The last instruction has led to ``pc``."""
        kind, self._next = self._next, ""
        if self._now is None:
            self._enter(pc, self._priv, False, None)
        if kind in ("return", "swap", "trap return"):
            links = [("trap", pc - skipped) for skipped in range(5)] if kind == "trap return" else [pc]
            self._leave(links, pc, may_fail=kind == "swap")
        if kind in ("call", "swap"):
            self._enter(pc, self._priv, False, self._link)

    def _enter(self, pc: int, priv: int, is_trap: bool, link: Link | None) -> None:
        parent = self._now
        if parent is not None:
            self._open.append((parent, link))
        key = (parent, pc, priv, is_trap)
        found = (at for at, n in enumerate(self._nodes) if (n.parent, n.entry, n.priv, n.is_trap) == key)
        self._now = next(found, len(self._nodes))
        if self._now == len(self._nodes):
            self._nodes.append(_Node(*key))
        self._nodes[self._now].calls += 1

    def _leave(self, links: list[Link], pc: int, *, may_fail: bool) -> None:
        waiting = [at for at, (_, awaited) in enumerate(self._open) if awaited in links]
        if waiting:
            self._now = self._open[waiting[-1]][0]
            del self._open[waiting[-1] :]
        elif not may_fail:
            self._open.clear()
            self._now = None
            self._enter(pc, self._priv, False, None)


def _kind_of(insn: int, xlen: int) -> str:
    """What an instruction is to who follows calls."""
    if insn in _TRAP_RETURNS:
        return "trap return"
    if insn & 3 == 3:
        opcode, rd, rs1 = insn & 0x7F, insn >> 7 & 31, insn >> 15 & 31
    elif insn & 0xE07F == 0x8002 and insn >> 7 & 31:  # c.jr, c.jalr
        opcode, rd, rs1 = _JALR, _RA if insn & 0x1000 else 0, insn >> 7 & 31
    elif insn & 0xE003 == 0x2001 and xlen == 32:  # c.jal
        opcode, rd, rs1 = _JAL, _RA, 0
    else:
        return ""
    if opcode not in (_JAL, _JALR):
        return ""
    pushes = rd in (_RA, _T0)
    pops = opcode == _JALR and rs1 in (_RA, _T0) and rs1 != rd
    return ("", "call", "return", "swap")[pushes + 2 * pops]
