"""``minstret why``: who wrote or read memory or a register, where a trap came from."""

from __future__ import annotations

import json
from typing import Any

import click

from minstret.emu.cli.asking import Asked, asks_trace
from minstret.emu.questions.told import Teller
from minstret.emu.questions.why import Question, answers
from minstret.emu.report import harts_facts
from minstret.emu.report import why as why_text


@click.command(epilog="""\b
Examples:
  minstret why run.mst                         where each hart is at the end, and its last trap
  minstret why run.mst --write queue.head      the instruction that wrote a variable last
  minstret why run.mst --write 0x80001ff8:8 --before 2250000
  minstret why run.mst --write status --all --json | jq .
  minstret why run.mst --trap                  the last trap; of a jump to a wrong address, who made that
  minstret why run.mst --reg sp --before 2250000

\b
Device writes (DMA), changes by a debugger or a test, and the images at power-on and at a reset count as writers.
Names are as in C: cfg.mode, queue.slots[3], main.c:count; NAME:16 is 16 bytes from there.

Exit status: 0 if the question is answered, also where nobody ever wrote it; 125 for a usage error, an unusable file,
or an error in minstret itself.""")  # fmt: skip
@click.option("--write", metavar="ADDR|NAME[:LEN]", help=(
    "Who last wrote any of these bytes. ADDR is virtual, as the hart sees it at --before; phys:ADDR is "
    "physical. Without LEN: the whole variable, of an address one byte."))  # fmt: skip
@click.option("--read", metavar="ADDR|NAME[:LEN]", help="Who last read any of these bytes.")
@click.option("--reg", metavar="NAME", help=(
    "Which instruction or trap last wrote a register: a0, fa0, mepc."))  # fmt: skip
@click.option("--trap", is_flag=True, help="The last trap and where it came from; of --hart, or of any.")
@click.option("--before", metavar="PLACE", help=(
    "Look back from there: an icount such as 5M, a percentage, a time such as 1.5s. Default: the end."))  # fmt: skip
@click.option(
    "--hart",
    type=click.IntRange(0),
    help="Whose address translation, register or trap. Default: the one that ran last.",
)
@click.option("--all", "is_all", is_flag=True, help="With --write or --read: all of them, in order, a line each.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: one object, with --all one a line.")
@asks_trace
def why(asked: Asked, as_json: bool, **options: Any) -> int:
    """Ask a trace who did that: who last wrote a variable, and where, and what called it.

    Without an option: where each hart is at the end, and what its last trap was.
    """
    return _answer(asked, Question(**options), as_json=as_json)


def _answer(asked: Asked, question: Question, *, as_json: bool) -> int:
    before = asked.end_icount if question.before is None else asked.place(question.before, "--before")
    timeline = asked.timeline()
    question.check_hart(len(timeline.board.harts))
    with asked.moving(timeline, f"going to icount {before:,}"):
        timeline.seek(before)
        if question.before in (None, "end", "100%"):
            timeline.run()
    if question.is_where:
        machine = timeline.board.machine
        if as_json:
            click.echo(json.dumps({"harts": harts_facts(machine, asked.symbols)}))
            return 0
        for line in why_text(machine, None, asked.symbols, asked.look_back(timeline.board.hart.counting)):
            click.echo(line)
        return 0
    symbols = asked.symbols
    teller = Teller(symbols, timeline.board.hart.cpu, asked.how_to_debug)
    with asked.moving(timeline, question.doing) as progress:
        found = answers(question, timeline, asked.reader, symbols, teller, as_json=as_json)
        if question.is_all:
            for text in found:
                progress.above(click.echo, text)
            return 0
        texts = list(found)  # shown if nobody has interrupted
    for text in texts:
        click.echo(text)
    return 0
