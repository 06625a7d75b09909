"""``minstret insns``: what ran."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import click

from minstret.devices.board.traced import Replay
from minstret.emu import units
from minstret.emu.cli.asking import PLACES, Asked, asks_trace
from minstret.emu.cli.progress import HowFar
from minstret.emu.errors import ConfigError
from minstret.emu.questions.calls import CallLines
from minstret.emu.questions.insns import InsnLines
from minstret.emu.questions.spikelog import SpikeLog
from minstret.emu.questions.steps import Step, TrapStep, stepping

_COUNT, _COUNT_OF_CALLS = 100, 10_000
_LINES_AT_ONCE = 1000


class _Teller(NamedTuple):
    """What makes lines of what happens."""

    step: Callable[[Step], Iterable[str]]
    trap: Callable[[TrapStep], Iterable[str]]
    begin: Callable[[], Iterable[str]] = lambda: ()
    end: Callable[[], Iterable[str]] = lambda: ()


@click.command(epilog="""\b
Examples:
  minstret insns run.mst                                  the last 100
  minstret insns --from 5M --count 20 --mem run.mst       with loads and stores
  minstret insns --from 5M --to 5.1M --calls run.mst      a tree of calls
  minstret insns --to end --count 1000 --json run.mst | jq .registers
  minstret insns --from start --to end --format spike run.mst >run.log

Exit status: 0; 122 if the replay differs from its recording; 125 for a usage error or an unusable
file.""")  # fmt: skip
@asks_trace
@click.option("--from", "from_place", metavar="PLACE", help=f"Begin there: {PLACES}.")
@click.option("--to", "to_place", metavar="PLACE", help="End before the instruction there.")
@click.option(
    "--count",
    metavar="N",
    help=(
        "So many instructions, of all harts together, from --from on or before --to or the end. Without --from or --to "
        f"these are {_COUNT}, with --calls {_COUNT_OF_CALLS:,}."
    ),
)
@click.option("--hart", type=int, metavar="N", help="Show only this hart's.")
@click.option("--mem", is_flag=True, help="Show loads and stores: address, value, and the device that answered.")
@click.option("--source", is_flag=True, help="Show the source line where it changes.")
@click.option(
    "--calls",
    is_flag=True,
    help=("Show calls instead: what was called by whom, with a0 to a3, and what it took; handlers of traps are in it."),
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "spike"]),
    default="text",
    help=("spike: the lines of `spike -l --log-commits`."),
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, one object a line.")
def insns(
    asked: Asked, from_place: str | None, to_place: str | None, count: str | None, hart: int | None, mem: bool,
    source: bool, calls: bool, form: str, as_json: bool,
) -> None:  # fmt: skip
    """Show the instructions that were executed: icount, hart, pc and symbol, bits, what they are, what they wrote; with
    the traps between them.

    They are executed again one by one, some tens of thousands a second. TRACE may be -, standard input.
    """
    if form == "spike" and (calls or mem or source or as_json):
        raise ConfigError("--format spike: it has a form of its own; leave out --calls, --mem, --source and --json")
    if calls and (mem or source):
        raise ConfigError("--calls: it shows calls only; leave out --mem and --source")
    begin, end = _stretch(asked, from_place, to_place, count, _COUNT_OF_CALLS if calls else _COUNT)
    replay = asked.replay_at(begin)
    if hart is not None and not 0 <= hart < len(replay.board.harts):
        raise ConfigError(f"--hart: there is no hart {hart}; the board has {len(replay.board.harts)}")
    teller = _teller(
        asked, replay, hart, calls=calls, mem=mem, source=source, is_spike=form == "spike", as_json=as_json
    )
    _tell(asked, replay, begin, end, teller)


def _stretch(
    asked: Asked, from_place: str | None, to_place: str | None, count: str | None, usual: int
) -> tuple[int, int]:  # fmt: skip
    """From which icount up to which."""
    if from_place is not None and to_place is not None:
        if count is not None:
            raise ConfigError("--count: goes with --from or with --to, not with both")
        return asked.stretch(from_place, to_place)
    insns = usual if count is None else units.parse_count(count, "--count")
    if from_place is not None:
        begin = asked.place(from_place, "--from")
        return begin, min(begin + insns, asked.end_icount)
    end = asked.end_icount if to_place is None else asked.place(to_place, "--to")
    return max(end - insns, asked.start_icount), end


def _teller(
    asked: Asked, replay: Replay, hart: int | None, *, calls: bool, mem: bool, source: bool, is_spike: bool,
    as_json: bool,
) -> _Teller:  # fmt: skip
    machine, symbols = replay.board.machine, asked.symbols
    if calls:
        tree = CallLines(machine, symbols, hart=hart)
        if as_json:
            return _Teller(
                _dumped(tree.step_facts), _dumped(tree.trap_facts), end=lambda: map(json.dumps, tree.end_facts())
            )
        return _Teller(tree.step_lines, tree.trap_lines, tree.head_lines, tree.end_lines)
    if is_spike:
        log = SpikeLog(symbols, hart=hart)
        return _Teller(log.step_lines, log.trap_lines)
    lines = InsnLines(machine, symbols, hart=hart, shows_memory=mem, shows_source=source)
    if as_json:
        return _Teller(_dumped(lines.step_facts), _dumped(lines.trap_facts))
    return _Teller(lines.step_lines, lines.trap_lines)


def _dumped(facts: Callable[[Any], list[dict[str, Any]]]) -> Callable[[Any], Iterable[str]]:
    return lambda what: [json.dumps(one) for one in facts(what)]


def _tell(asked: Asked, replay: Replay, begin: int, end: int, teller: _Teller) -> None:
    """Run on to ``end``, and write what ``teller`` says of it to standard output."""
    waiting: list[str] = []

    def write(lines: Iterable[str]) -> None:
        waiting.extend(lines)
        if len(waiting) >= _LINES_AT_ONCE:
            flush()

    def flush() -> None:
        text, waiting[:] = "\n".join(waiting), ()
        if text:
            progress.above(click.echo, text)

    def how_far() -> HowFar:
        now = replay.board.position.icount
        return HowFar("listing instructions", now - begin, end - begin, now - begin)

    with asked.working(how_far, replay.interrupt) as progress:
        try:
            write(teller.begin())
            with stepping(
                replay.board.harts, lambda step: write(teller.step(step)), lambda trap: write(teller.trap(trap))
            ):
                if end == asked.end_icount:
                    replay.run()
                elif end > begin:
                    replay.play(icount=end)
            write(teller.end())
        finally:
            flush()
