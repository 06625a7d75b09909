"""``minstret info``, ``log`` and ``timers``: what is in a trace."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from heapq import merge
from itertools import takewhile
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from minstret.emu import units
from minstret.emu.cli.say import say
from minstret.emu.cli.streams import as_given, reads_trace
from minstret.emu.door.door import Position
from minstret.emu.errors import ConfigError, TraceError
from minstret.emu.text import printable
from minstret.emu.trace.format import Item, Output
from minstret.emu.trace.listing import entry_line, group_line
from minstret.emu.trace.reader import TraceReader

_SHOWN_NAME = 100
_SHOWN_TEXT = 1000


def _table(*columns: str, numbers: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", no_wrap=True)
    return table


def show_table(table: Table) -> None:
    """Print a table without changing its cells; without a terminal it may be up to 200 columns wide."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 200
    console.print(table)


@click.command(epilog="""\b
Examples:
  minstret info run.mst
  minstret info --json run.mst | jq .sizes""")  # fmt: skip
@click.argument("trace")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@reads_trace
def info(trace: str, as_json: bool) -> None:
    """Show what was recorded: board, images, how it ended, and how large the parts of the trace are.

    TRACE may be -, standard input.
    """
    reader = TraceReader(trace)
    facts = trace_facts(reader)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    end = facts["end"]
    config = facts["config"]
    click.echo(
        f"{printable(as_given(trace))}: format {facts['format']}, recorded by minstret {facts['minstret']},"
        f" unicorn {facts['unicorn']}"
    )
    for role, image in sorted(facts["images"].items()):
        if role in ("bios", "kernel", "initrd") or re.fullmatch(r"load\d+", role):
            click.echo(f"  {role:<10} {printable(image['name'], _SHOWN_NAME)}  sha256 {image['sha256'][:16]}")
    click.echo(f"  board      {_board_text(config)}")
    if isinstance(config.get("cpu"), str):
        click.echo(f"  cpu        {printable(config['cpu'], _SHOWN_TEXT).replace('=on', '').replace(',', ' ')}")
    for device in facts.get("devices", []):
        click.echo(f"  device     {_device_text(device)}")
    if reader.is_of_nothing:
        click.echo("  end        none: the recording was killed before anything was recorded")
    elif end is None:
        click.echo("  end        none: the recording was killed; it replays up to the position below")
    else:
        code = "" if end["exit_code"] is None else f" with {end['exit_code']}"
        text = f", {printable(end['text'], _SHOWN_TEXT)}" if "text" in end else ""
        click.echo(f"  end        {end['reason']}{code}{text}, digest {end['digest'][:16]}")
    reached = facts["reached"]
    click.echo(f"  reached    {reached['icount']:,} instructions, {reached['virtual_ns'] / 1e9:.6f} s virtual")
    counts = facts["counts"]
    click.echo(f"  items      {counts['events']:,} events, {counts['answers']:,} answers,"
               f" {counts['checkpoints']:,} checkpoints")  # fmt: skip
    click.echo(f"  snapshots  {len(facts['snapshots'])}")
    click.echo("  bytes      " + ", ".join(f"{name} {size:,}" for name, size in facts["sizes"].items()))


def _board_text(config: dict[str, Any]) -> str:
    xlen, ram_size, seed = (config.get(key) for key in ("xlen", "ram_size", "seed"))
    width = f"rv{xlen}" if xlen in (32, 64) else "rv as the image"
    size = f"{ram_size >> 20} MiB" if isinstance(ram_size, int) else "no RAM"
    sleep = "on" if config.get("sleep") else "off"
    seed_text = seed if _is_int(seed) else "none"
    return f"{width}{_harts_text(config)}, {size}, shift {config['icount_shift']}, sleep {sleep}, seed {seed_text}"


def _harts_text(config: dict[str, Any]) -> str:
    """How many harts, if several, and their quantum."""
    smp, quantum = config.get("smp", 1), config.get("quantum")
    if smp == 1:
        return ""
    return f", {smp} harts, quantum {quantum:,}" if _is_int(smp) and _is_int(quantum) else ", harts unknown"


def _device_text(facts: Any) -> str:
    """A device of the user's; a stranger's trace may say anything."""
    if not isinstance(facts, dict) or not isinstance(facts.get("options"), dict):
        return "not readable"
    options = facts["options"]
    if _is_int(options.get("base")):
        options = options | {"base": hex(options["base"])}
    text = ",".join(f"{key}={value}" for key, value in options.items() if key != "name")
    name, kind, version = (facts.get(key) for key in ("name", "class", "version"))
    return printable(f"{name}  {kind}  version {version}, {text}", 2 * _SHOWN_NAME)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def trace_facts(reader: TraceReader) -> dict[str, Any]:
    """The content of ``minstret info --json``. Items are counted without reading them: there may be billions."""
    counts = reader.counts()
    reached = reader.reached()
    devices = reader.meta.get("devices")
    return {
        **({"devices": devices} if isinstance(devices, list) else {}),
        "format": reader.meta.get("format"), "minstret": reader.meta["minstret"], "unicorn": reader.meta["unicorn"],
        "config": reader.meta["config"], "images": reader.meta["images"], "end": reader.end,
        "reached": {"seq": reached.seq, **_position_facts(reached.position)}, "counts": counts,
        "snapshots": [{"id": number, **_position_facts(at)} for number, at in reader.snapshot_positions()],
        "sizes": reader.sizes(),
    }  # fmt: skip


def _position_facts(position: Position) -> dict[str, int]:
    return {"icount": position.icount, "virtual_ns": position.virtual_ns}


@click.command(epilog="""\b
Examples:
  minstret log run.mst
  minstret log --all --from 5M --to 6M run.mst     all items between two instructions
  minstret log --json run.mst | jq .name           one JSON object a line""")  # fmt: skip
@click.argument("trace")
@click.option("--from", "from_icount", metavar="ICOUNT", default="0", help="Start at this instruction.")
@click.option("--to", "to_icount", metavar="ICOUNT", help="End at this instruction.")
@click.option("--all", "show_all", is_flag=True, help="List also what the guest sent, and each checkpoint by itself.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one object a line; implies --all.")
@reads_trace
def log(trace: str, from_icount: str, to_icount: str | None, show_all: bool, as_json: bool) -> None:
    """List the items of a trace in order: events, answers and checkpoints; with --all also what the guest sent.

    Each line has the item's number, the icount, the virtual time in seconds, and the item: <- is an event (host to
    guest), <? an answer to the guest, -> an output of the guest. TRACE may be -, standard input.
    """
    reader = TraceReader(trace)
    first = units.parse_count(from_icount, "--from")
    last = None if to_icount is None else units.parse_count(to_icount, "--to")
    if last is not None and last < first:
        raise ConfigError(f"--to: {last} is before --from {first}")
    end_icount = reader.reached().position.icount
    if first > end_icount:
        raise ConfigError(f"--from: {first} is beyond icount {end_icount}, where this trace ends")
    if not as_json and not show_all:
        is_empty = True
        for group in reader.groups(first, last):
            click.echo(group_line(group))
            is_empty = False
        if is_empty:
            say(f"minstret: {_NOTHING}")
        return
    up_to_last = takewhile(lambda item: _is_up_to(item, last), reader.items())
    items = (item for item in up_to_last if first <= item.position.icount)
    for entry in _entries(items, reader, first, last):
        click.echo(json.dumps(_entry_facts(entry)) if as_json else entry_line(entry))


_NOTHING = "nothing to list: no host input and no timers here; --all shows what the guest sent"


def _is_up_to(entry: Item | Output, last: int | None) -> bool:
    return last is None or entry.position.icount <= last


def _entries(items: Iterator[Item], reader: TraceReader, first: int, last: int | None) -> Iterator[Item | Output]:
    """Items and outputs by position. At equal positions items come first: they enter before the instruction runs."""
    outputs = takewhile(lambda output: _is_up_to(output, last), reader.outputs(first))
    return merge(items, outputs, key=lambda entry: (entry.position.icount, isinstance(entry, Output)))


def _entry_facts(entry: Item | Output) -> dict[str, Any]:
    if isinstance(entry, Output):
        return {"kind": "output", **_position_facts(entry.position), "name": entry.stream, "data": entry.data.hex()}
    return {
        "seq": entry.seq, "kind": entry.kind.name.lower(), **_position_facts(entry.position), "name": entry.name,
        "data": entry.data.hex(),
    }  # fmt: skip


@click.command(epilog="""\b
Examples:
  minstret timers run.mst
  minstret timers --json run.mst""")  # fmt: skip
@click.argument("trace")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@reads_trace
def timers(trace: str, as_json: bool) -> None:
    """Show what each timer did in a recording: how often it fired, the checkpoints it caused, and those that the
    attribute EXTERNAL saved.

    TRACE may be -, standard input.
    """
    facts = timer_table_facts(TraceReader(trace))
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    show_table(timer_table(facts))


def timer_table_facts(reader: TraceReader) -> list[dict[str, Any]]:
    """What the trace says about each timer."""
    facts = reader.meta.get("timers", [])
    if not isinstance(facts, list) or not all(_is_timer_row(row) for row in facts):
        raise TraceError(f"{reader.path}: a damaged trace: its list of timers is malformed")
    return facts


_COUNTS = ("fired", "checkpoints", "checkpoints_saved", "bytes_saved")


def _is_timer_row(row: object) -> bool:
    if not isinstance(row, dict) or set(row) != {"name", "clock", "external", *_COUNTS}:
        return False
    texts = (row["name"], row["clock"])
    return all(isinstance(t, str) and t.isprintable() for t in texts) and all(_is_int(row[key]) for key in _COUNTS)


def timer_table(facts: list[dict[str, Any]]) -> Table:
    """A table of the timers that fired."""
    counts = ("fired", "checkpoints written", "checkpoints saved", "bytes saved")
    table = _table("timer", "clock", "attributes", *counts, numbers=counts)
    for row in facts:
        if row["fired"]:
            table.add_row(
                str(row["name"]), str(row["clock"]), "EXTERNAL" if row["external"] else "-",
                *(f"{row[key]:,}" for key in _COUNTS),
            )  # fmt: skip
    return table
