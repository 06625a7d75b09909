"""``minstret export``: what happened in a recorded run, in a form that another tool reads."""

from __future__ import annotations

from pathlib import Path

import click

from minstret.emu.cli.asking import PLACES, Asked, asks_trace, take_output
from minstret.emu.cli.wholefile import whole_file
from minstret.emu.installed import installed
from minstret.emu.questions.exports.form import facts_of
from minstret.emu.questions.exports.forms import FORMS, form_of
from minstret.emu.questions.noting import Happenings
from minstret.emu.session import NO_LIMITS, RunLimits

_FORMATS = "\n".join(f"  {name:<10} {text}" for name, (_, text) in FORMS.items())


@click.command(epilog=f"""\b
Formats:
{_FORMATS}

\b
Examples:
  minstret export run.mst --format pcapng -o net.pcapng
  minstret export run.mst --format perfetto -o run.json      open it at ui.perfetto.dev
  minstret export run.mst --format vcd --from 1s --to 1.1s -o run.vcd
  minstret export run.mst --format asciicast -o run.cast     asciinema play run.cast
  minstret export run.mst --format jsonl -o - | jq -c 'select(.kind == "trap")'

Exit status: 0; 122 where the replay differs from its recording; 125 for a usage error or an unusable
file.""")  # fmt: skip
@click.option("--format", "format_", metavar="FORMAT", required=True, type=click.Choice(tuple(FORMS)), help=(
    f"What to write: {', '.join(FORMS)}."))  # fmt: skip
@click.option("-o", "--output", metavar="FILE", required=True, help="The file to write; - is standard output.")
@click.option("--from", "from_", metavar="PLACE", default="start", help=(
    f"Where to begin: {PLACES}."))  # fmt: skip
@click.option("--to", metavar="PLACE", default="end", help="Where to end; by default where the trace does.")
@asks_trace
def export(asked: Asked, format_: str, output: str, from_: str, to: str) -> int:
    """Write what happened in a recorded run for another tool: frames, timers, interrupts, traps, the console...

    It is found out by replaying TRACE, so an old one has it too: nothing had to be switched on. Times are virtual time
    since power-on. TRACE may be -, standard input.
    """
    take_output("-o", output, [asked])
    begin, end = asked.stretch(from_, to)
    form, stop = form_of(format_), NO_LIMITS if end == asked.end_icount else RunLimits(end)
    replay = asked.replay_at(begin)
    happenings = Happenings(replay, form.KINDS, stop=stop)
    with whole_file("-o", output) as file:
        with asked.playing(replay, "exporting"):
            name, made_by = Path(asked.name).name, f"minstret {installed('minstret')}"
            facts = facts_of(replay, happenings, name=name, made_by=made_by, symbols=asked.symbols)
            writer = form(facts, file.write)
            for happening in happenings:
                writer.add(happening)
        writer.finish(happenings.position)
    return 0
