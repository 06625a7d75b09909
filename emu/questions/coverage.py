"""How often each source line was executed, from the lines that the debug information of an image knows.

A line counts as often as the one of its statements that was executed most: ``for (i = 0; i < 10; i++)`` eleven times.
Of a function that the compiler has put into others, or made more than one of, the copies are added up. That is what
llvm-cov does; gcov, which counts how often control comes to a line from another, tells the same of such lines. Both see
the program before it is optimized. Here a statement that was moved, or left out, counts as what became of it.

Source: geninfo(1), "Files", for the format.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from minstret.emu.images.image import SymbolTable
from minstret.emu.images.inlines import Inlined, inlined_in
from minstret.emu.images.lines import LineEntry, LineTable
from minstret.emu.questions.code import Code
from minstret.emu.questions.counts import Place, Stretch, count_insns
from minstret.emu.questions.functions import Functions


@dataclass
class FunctionCoverage:
    """Where a function begins, and how often it was called."""

    line: int
    count: int


@dataclass
class FileCoverage:
    """Of a source file: how often each line that has code was executed, and each function by name."""

    lines: dict[int, int] = field(default_factory=dict)
    functions: dict[str, FunctionCoverage] = field(default_factory=dict)


class Coverage:
    """Files by path, as the compiler has written it."""

    def __init__(self) -> None:
        self.files: defaultdict[str, FileCoverage] = defaultdict(FileCoverage)

    def count_line(self, file: str, line: int, count: int) -> None:
        """It was executed so often, and however often it was before."""
        lines = self.files[file].lines
        lines[line] = lines.get(line, 0) + count

    def count_function(self, file: str, name: str, line: int, count: int) -> None:
        """The same of a function that begins at ``line``."""
        found = self.files[file].functions.setdefault(name, FunctionCoverage(line, 0))
        found.line, found.count = min(found.line, line), found.count + count

    def lines_and_executed(self) -> tuple[int, int]:
        """How many lines have code, and how many of them were executed."""
        counts = [count for file in self.files.values() for count in file.lines.values()]
        return len(counts), sum(map(bool, counts))


def add_coverage(coverage: Coverage, stretch: Stretch, symbols: SymbolTable) -> None:
    """Add what ``stretch`` has executed of the images that ``symbols`` is of."""
    code = Code(stretch.harts[0].hart)
    executed = _executed(stretch, code)
    functions = Functions(symbols, code)
    for table in symbols.lines:
        _add_table(coverage, table, functions, executed)
    for start, name in functions.beginnings():
        source = symbols.source(start)
        if source is not None:
            coverage.count_function(source.file, name, source.line, executed(start))


def _executed(stretch: Stretch, code: Code) -> Callable[[int], int]:
    """How often the instruction at an address was executed, at whatever privilege.

    ECALL and EBREAK count, which trap and never retire. User code of an operating system does not.
    """
    counts: dict[int, int] = {}

    def count(places: Iterable[tuple[Place, int]]) -> None:
        for (pc, priv), times in places:
            if code.is_known(pc, priv):
                counts[pc] = counts.get(pc, 0) + times

    count(count_insns(stretch.harts).counts.items())
    for hart in stretch.harts:
        count(hart.trapped.items())
    return lambda pc: counts.get(pc, 0)


def _add_table(coverage: Coverage, table: LineTable, functions: Functions, executed: Callable[[int], int]) -> None:
    entries = sorted(set(table.entries()))
    inlined = list(inlined_in(table.file))
    found: dict[tuple[str, int, int], tuple[bool, int]] = {}
    for entry, copy in zip(entries, _copies(entries, inlined), strict=True):
        owner = ~(functions.start_of(entry.address) or 0) if copy is None else copy
        key = entry.file, entry.line, owner
        found[key] = max(found.get(key, (False, 0)), (entry.is_stmt, executed(entry.address)))
    for (file, line, _), (_, count) in found.items():
        coverage.count_line(file, line, count)
    _add_inlined(coverage, inlined, {key: count for key, (_, count) in found.items()}, executed)


def _add_inlined(
    coverage: Coverage, inlined: Sequence[Inlined], lines: Mapping[tuple[str, int, int], int],
    executed: Callable[[int], int],
) -> None:  # fmt: skip
    """Add the functions that are copied into others: each begins at its first line that has code of its own.

    An optimized copy need not have a first instruction that is executed once a call. Where its debug information names
    none, it was called as often as the statement of its own that was executed least, of those that were executed at
    all; where there are none, as often as that of the copies within it.
    """
    begins: dict[int, tuple[str, int]] = {}
    own: dict[int, int] = {}
    within: dict[int, int] = {}
    for (file, line, copy), count in lines.items():
        if copy >= 0:
            begins[copy] = min(begins.get(copy, (file, line)), (file, line))
        if copy >= 0 and count:
            own[copy] = min(own.get(copy, count), count)
        while copy >= 0 and count:
            within[copy] = min(within.get(copy, count), count)
            copy = inlined[copy].within
    for copy, (file, line) in begins.items():
        each = inlined[copy]
        if each.name:
            calls = executed(each.entry) if each.entry is not None else 0
            coverage.count_function(file, each.name, line, calls or own.get(copy) or within.get(copy, 0))


def _copies(entries: Sequence[LineEntry], inlined: Sequence[Inlined]) -> list[int | None]:
    """For each entry the copy that it is in, the innermost, by its place in the list; None where it is in none."""
    copies: list[int | None] = [None] * len(entries)
    for copy, each in enumerate(inlined):
        for start, end in each.ranges:
            first = bisect_left(entries, start, key=lambda entry: entry.address)
            last = bisect_left(entries, end, key=lambda entry: entry.address)
            copies[first:last] = [copy] * (last - first)
    return copies


def lcov_lines(coverage: Coverage) -> Iterator[str]:
    """The tracefile, as lcov and genhtml read it."""
    for path, file in sorted(coverage.files.items()):
        yield "TN:"
        yield f"SF:{path}"
        functions = sorted(file.functions.items(), key=lambda item: (item[1].line, item[0]))
        yield from (f"FN:{function.line},{name}" for name, function in functions)
        yield from (f"FNDA:{function.count},{name}" for name, function in functions)
        yield f"FNF:{len(functions)}"
        yield f"FNH:{sum(bool(function.count) for _, function in functions)}"
        yield from (f"DA:{line},{count}" for line, count in sorted(file.lines.items()))
        yield f"LF:{len(file.lines)}"
        yield f"LH:{sum(map(bool, file.lines.values()))}"
        yield "end_of_record"
