"""``minstret profile``: where the instructions of a run went, and which source lines were executed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import click

from minstret.emu.cli.asking import PLACES, Asked, asks_traces, take_output
from minstret.emu.cli.say import say
from minstret.emu.cli.streams import STREAM
from minstret.emu.cli.wholefile import whole_file
from minstret.emu.errors import ConfigError
from minstret.emu.questions.counts import Stretch, measure
from minstret.emu.questions.coverage import Coverage, add_coverage, lcov_lines
from minstret.emu.questions.profile import Profile
from minstret.emu.questions.stacks import collapsed_lines, speedscope_file
from minstret.emu.questions.tables import By, facts, table_lines

_TOP = 30
_STACKS = ("speedscope", "collapsed")


@click.command(epilog="""\b
Examples:
  minstret profile run.mst                    the functions that execute most
  minstret profile --by line run.mst          the source lines
  minstret profile --by insn --top 100 run.mst
  minstret profile --from 5M --to 50% run.mst
  minstret profile --format speedscope -o run.speedscope.json run.mst
                                              for https://www.speedscope.app
  minstret profile --format collapsed run.mst | flamegraph.pl >run.svg
  minstret profile --coverage all.info one.mst two.mst && genhtml -o html all.info
                                              which source lines were executed

Exit status: 0; 122 if the replay differs from the recording; 125 for a usage error or
an unusable file.""")  # fmt: skip
@click.option("--from", "start", metavar="PLACE", default="start", help=(
    f"Count from here on: {PLACES}. Default: start."))  # fmt: skip
@click.option("--to", "end", metavar="PLACE", default="end", help="Count up to here. Default: the end.")
@click.option("--by", type=click.Choice([by.value for by in By]), help=(
    "What the rows are. Default: function."))  # fmt: skip
@click.option("--top", type=click.IntRange(min=0), metavar="N", help=(
    f"Show so many rows; 0: all. Default: {_TOP}; with --format json all."))  # fmt: skip
@click.option("--format", "form", type=click.Choice(["table", "json", *_STACKS]), help=(
    "A table, the same as JSON, or stacks of calls: speedscope's JSON, or one line a stack for flamegraph.pl. "
    "Default: table."))  # fmt: skip
@click.option("-o", "--output", metavar="FILE", help="Write it to FILE. Default: -, standard output.")
@click.option("--coverage", metavar="FILE", help=(
    "Write how often each source line was executed, in place of all that: an lcov tracefile, for genhtml. Several "
    "traces are added up."))  # fmt: skip
@asks_traces
def profile(
    asked: Sequence[Asked], start: str, end: str, by: str | None, top: int | None, form: str | None, output: str | None,
    coverage: str | None,
) -> None:  # fmt: skip
    """Count what a run has executed: by function, source line or instruction. Counts are exact, not samples.

    The trace is replayed; nothing needed to be switched on when it was recorded. Self is what a function has executed
    itself, wherever it was called from; total is that with all that it called, where each instruction counts once. A
    trap's handler is called by nobody. What is jumped to at the end of a function counts, in totals and stacks, as part
    of that. Time in WFI is apart: it executes nothing.

    Instructions are shown as memory has them at the end. User code of an operating system has no symbols here: all
    of it is [user].
    """
    if coverage is not None:
        for option, given in (("--by", by), ("--top", top), ("--format", form), ("--output", output)):
            if given is not None:
                raise ConfigError(f"{option}: does not go with --coverage")
        _cover(asked, start, end, coverage)
        return
    if len(asked) > 1:
        raise ConfigError(f"expected one trace, got {len(asked)}; only --coverage takes several")
    form, output = form or "table", output or STREAM
    if form in _STACKS and (by is not None or top is not None):
        raise ConfigError(f"--format {form}: it has all stacks of functions, so --by and --top don't go with it")
    take_output("-o", output, asked)
    stretch, symbols = _measured(asked[0], start, end, calls=by in (None, By.FUNCTION.value)), asked[0].symbols
    lines = _lines(Profile(stretch, symbols), asked[0], By(by or By.FUNCTION.value), top, form)
    _write("-o", output, lines)


def _cover(asked: Sequence[Asked], start: str, end: str, path: str) -> None:
    """Write the coverage of all traces together."""
    take_output("--coverage", path, asked)
    coverage = Coverage()
    for each in asked:
        add_coverage(coverage, _measured(each, start, end, traps=True), each.symbols)
    lines, executed = coverage.lines_and_executed()
    if not lines:
        raise ConfigError("--coverage: no source lines are known: compile with -g, or give an ELF file with --symbols")
    _write("--coverage", path, lcov_lines(coverage))
    if not asked[0].is_quiet:
        say(f"minstret: {executed:,} of {lines:,} lines executed ({100 * executed / lines:.1f} %)")


def _measured(asked: Asked, start: str, end: str, *, calls: bool = False, traps: bool = False) -> Stretch:
    """Replay the trace, and count what is between two places."""
    first, last = asked.stretch(start, end)
    replay = asked.replay_at(first)

    def go_on() -> None:
        replay.run(icount=None if last == asked.end_icount else last)

    with asked.playing(replay, "counting"):
        return measure(replay.board.machine, go_on, calls=calls, traps=traps)


def _lines(profile: Profile, asked: Asked, by: By, top: int | None, form: str) -> Iterator[str]:
    if form == "speedscope":
        yield json.dumps(speedscope_file(profile, asked.name))
    elif form == "collapsed":
        yield from collapsed_lines(profile)
    elif form == "json":
        yield json.dumps(facts(profile, by, top or None), indent=2)
    else:
        yield from table_lines(profile, by, (_TOP if top is None else top) or None)


def _write(option: str, path: str, lines: Iterator[str]) -> None:
    with whole_file(option, path) as file:
        for line in lines:
            file.write(f"{line}\n".encode(errors="backslashreplace"))
