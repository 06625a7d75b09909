"""``minstret report``: a run as one page of HTML."""

from __future__ import annotations

import click

from minstret.emu.cli.asking import Asked, asks_traces, take_output
from minstret.emu.cli.runpage import RunPage, page_bytes, page_name, run_page
from minstret.emu.cli.say import say
from minstret.emu.cli.streams import STREAM
from minstret.emu.cli.wholefile import whole_file
from minstret.emu.errors import ConfigError
from minstret.emu.questions.page.collecting import collected
from minstret.emu.questions.page.render import Difference
from minstret.emu.text import printable


@click.command(epilog="""\b
Examples:
  minstret report run.mst                     writes run.html: open it in a browser
  minstret report run.mst -o report.html
  minstret report --symbols vmlinux linux.mst
  minstret report --diff good.mst bad.mst     both side by side, and what differs first

Exit status: 0; 122 where a replay differs from its recording; 125 for a usage error or an
unusable file.""")  # fmt: skip
@click.option("-o", "--output", metavar="FILE", help=(
    "Write the page to FILE; - is standard output. Default: the trace's name with .html, in the current "
    "folder."))  # fmt: skip
@click.option("--diff", "differs", is_flag=True, help=(
    "Of two traces: both on one page, and the first difference, as minstret diff finds it."))  # fmt: skip
@asks_traces
def report(asked: list[Asked], output: str | None, differs: bool) -> None:
    """Show a run on one page of HTML: what ended it and where, its console, and on a timeline timers, traps,
    interrupts, harts, input, frames and checkpoints.

    The page is one file that needs no network. It can be zoomed and searched; each event has its registers, its source
    line and the command that debugs there.
    """
    if differs and len(asked) != 2:
        raise ConfigError("--diff: it compares two traces")
    if not differs and len(asked) != 1:
        raise ConfigError("a page is of one trace; or add --diff to two")
    path = page_name(asked[-1].trace) if output is None else output
    take_output("-o", path, asked)
    runs = [_run(one) for one in asked]
    data = page_bytes(runs, _difference(*asked) if differs else None)
    with whole_file("-o", path) as file:
        file.write(data)
    if not asked[0].is_quiet and path != STREAM:
        say(f"minstret: wrote {printable(path)}, {len(data):,} bytes: open it in a browser")


def _run(asked: Asked) -> RunPage:
    replay = asked.new_replay()
    with asked.playing(replay, "replaying for the report"):
        went = collected(replay)
    look_back = asked.look_back(replay.board.hart.counting)
    return run_page(replay, went, asked.symbols, look_back, name=asked.name, devices=asked.devices)


def _difference(one: Asked, other: Asked) -> Difference:
    """What ``minstret diff`` says of them."""
    from minstret.emu.cli.diff import find  # imported here: most pages are of one run
    from minstret.emu.questions.diffing.side import Side
    from minstret.emu.questions.diffing.telling import difference_lines, text_lines

    def side(asked: Asked) -> Side:
        return Side(asked.name, asked.new_replay(), lambda: asked.symbols)

    answer = find(side(one), side(other), is_quiet=one.is_quiet)
    headline, *lines = text_lines(answer)
    if answer.difference is None:
        return Difference(headline, lines)
    headline, *lines = difference_lines(answer.difference)
    return Difference(headline, lines, answer.difference.icount, answer.difference.sides[0].position.virtual_ns)
