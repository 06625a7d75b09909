"""Where the instructions of a run went: by function, source line and instruction, and by stacks of calls."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from minstret.emu.hart.flow import CallNode
from minstret.emu.images.image import SymbolTable
from minstret.emu.images.lines import SourceLine
from minstret.emu.questions.code import Code
from minstret.emu.questions.counts import InsnCounts, Place, Stretch, count_insns
from minstret.emu.questions.functions import Function, Functions


@dataclass
class FunctionCount:
    """What a function has executed.

    Attributes:
        own: Instructions of its own, wherever the call came from.
        total: The same with those of the functions that it called; each counts once, however deep it calls itself.
        calls: How often it was called, or entered by a trap.
    """

    function: Function
    own: int = 0
    total: int = 0
    calls: int = 0


class LineCount(NamedTuple):
    """How many instructions of a source line have retired; ``line`` is None of all code with no line."""

    line: SourceLine | None
    insns: int


@dataclass(frozen=True)
class InsnCount:
    """How often an instruction has retired, and its bytes as memory has them now.

    Without bytes: how many instructions have retired in code that begins there and can't be read.
    """

    place: Place
    count: int
    code: bytes


def caller_of(node: CallNode) -> int | None:
    """The place in the list of who called it. Nobody calls a trap's handler: what it executes is its own."""
    return None if node.is_trap else node.parent


class Profile:
    """What a stretch of a run has executed, looked at in several ways. All of them add up to ``stretch.insns``.

    Attributes:
        stretch: It.
        functions: Tells which function an instruction is in.
        xlen: Of the harts.
    """

    def __init__(self, stretch: Stretch, symbols: SymbolTable) -> None:
        self.stretch, self.xlen = stretch, stretch.harts[0].hart.xlen
        self._symbols = symbols
        self._code = Code(stretch.harts[0].hart)
        self.functions = Functions(symbols, self._code)
        self._counted: InsnCounts | None = None

    @property
    def insns(self) -> InsnCounts:
        """How often each instruction has retired."""
        if self._counted is None:
            self._counted = count_insns(self.stretch.harts)
        return self._counted

    def by_function(self) -> list[FunctionCount]:
        """The functions, those with the most instructions of their own first."""
        rows: dict[Function, FunctionCount] = {}

        def row(function: Function) -> FunctionCount:
            return rows.setdefault(function, FunctionCount(function))

        for place, insns in self.insns.items():
            row(self.functions.at(*place)).own += insns
        for hart in self.stretch.harts:
            tree = [self.functions.at(node.entry, node.priv) for node in hart.calls]
            for function, total in _totals(hart.calls, tree).items():
                row(function).total += total
            for node, function in zip(hart.calls, tree, strict=True):
                row(function).calls += node.calls
        for each in rows.values():
            each.total = max(each.total, each.own)  # what was jumped to counts as part of who jumped
        return sorted(rows.values(), key=lambda each: (-each.own, -each.total, each.function.name))

    def by_line(self) -> list[LineCount]:
        """The source lines, those with the most instructions first."""
        counts: Counter[SourceLine | None] = Counter()
        for place, insns in self.insns.items():
            counts[self.source_at(place)] += insns
        found = sorted(counts.items(), key=lambda item: (-item[1], item[0] or ("", 0)))
        return [LineCount(line, insns) for line, insns in found]

    def by_insn(self) -> list[InsnCount]:
        """The instructions, those that have retired most often first."""
        read = [InsnCount(place, count, self._code.insn_at(*place)) for place, count in self.insns.counts.items()]
        unread = [InsnCount(place, count, b"") for place, count in self.insns.unread.items()]
        return sorted(read + unread, key=lambda each: (-each.count, each.place))

    def name_of(self, place: Place) -> str:
        """The symbol of an instruction, such as ``main+0x12``; nothing where there is none."""
        return self._symbols.describe(place.pc) if self._code.is_known(*place) else ""

    def source_at(self, place: Place) -> SourceLine | None:
        """The source line of an instruction."""
        return self._symbols.source(place.pc) if self._code.is_known(*place) else None

    def source_of(self, function: Function) -> SourceLine | None:
        """The source line at which a function begins."""
        return None if function.address is None else self._symbols.source(function.address)


def _totals(nodes: Sequence[CallNode], functions: Sequence[Function]) -> Counter[Function]:
    """What each function has executed with those it called, once where it called itself."""
    below = [node.insns for node in nodes]
    callers = [caller_of(node) for node in nodes]
    called: defaultdict[int | None, list[int]] = defaultdict(list)
    for at in range(len(nodes) - 1, -1, -1):
        caller = callers[at]
        called[caller].append(at)
        if caller is not None:
            below[caller] += below[at]
    totals, active = Counter[Function](), Counter[Function]()
    ahead = called[None]
    while ahead:
        at = ahead.pop()
        if at < 0:
            active[functions[~at]] -= 1
            continue
        function = functions[at]
        totals[function] += 0 if active[function] else below[at]
        active[function] += 1
        ahead.append(~at)
        ahead += called.get(at, ())
    return totals
