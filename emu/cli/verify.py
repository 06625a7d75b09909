"""``minstret verify``: is it the same run each time?"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

import click

from minstret.devices.board.traced import Replay
from minstret.emu import host
from minstret.emu.cli import exits
from minstret.emu.cli.options import FIRMWARE_HELP, board_options, check_boots_something
from minstret.emu.cli.slow import say_if_slow
from minstret.emu.cli.streams import as_given, inputs_to_repeat
from minstret.emu.clock import ClockType
from minstret.emu.errors import DivergenceError, TraceError
from minstret.emu.text import printable
from minstret.emu.trace.format import SUFFIX, Item, Kind, Output, describe
from minstret.emu.trace.reader import TraceReader
from minstret.emu.trace.untrusted import has_trace_head
from minstret.emu.units import NS_PER_S

SAME, DIFFERENT, TROUBLE = 0, 1, int(exits.Exit.OURS)


@click.command(epilog=FIRMWARE_HELP + """
\b
Examples:
  minstret verify firmware.elf                 20 recordings: all the same?
  minstret verify dhcp --net user,restrict=on --runs 100
  minstret verify run.mst                      replays, from the start and each snapshot

\b
Exit status:
  0    the same run each time
  1    not the same; the first difference is on standard output
  125  it could not be found out""")  # fmt: skip
@board_options
@click.option("--runs", type=click.IntRange(1, 100_000), default=20, show_default=True, help="How often.")
@click.option("--max-insns", metavar="N", help="Stop each run after N instructions.")
@click.option("--input-script", metavar="FILE", help="As for minstret run.")
@click.option("--keys", metavar="TEXT", help="As for minstret run.")
@click.option(
    "--timeout",
    type=float,
    metavar="SECONDS",
    default=60.0,
    show_default=True,
    help=("For each run. One that takes longer ends the comparison; --max-insns compares the start of an endless one."),
)
def verify(runs: int, timeout: float, **options: Any) -> int:
    """Run firmware, or replay a trace, several times, in processes of their own, and compare.

    Runs have no input but what the options give. Each is recorded, so the first difference can be shown.
    """
    say_if_slow(options["counting"])
    try:
        with inputs_to_repeat(options) as options:
            firmware = options["firmware"]
            if firmware is not None and _is_trace(firmware):
                return verify_trace(firmware, runs)
            check_boots_something(options)
            return _verify_runs(runs, timeout, _arguments(options))
    except DivergenceError as error:
        click.echo(f"minstret: {printable(as_given(str(error)))}")
        return DIFFERENT


def _progress(what: Callable[[], str]) -> host.Progress:
    start_ns = host.realtime_ns()
    return host.Progress(lambda: f"{what()}; {(host.realtime_ns() - start_ns) // NS_PER_S} s so far")


def _is_trace(path: str) -> bool:
    if not Path(path).exists():
        return False
    return path.endswith(SUFFIX) or (os.path.isfile(path) and has_trace_head(path))


def _arguments(options: dict[str, Any]) -> list[str]:
    """The options again, as a command line for another process."""
    context = click.get_current_context()
    own = {"runs", "timeout", "firmware"}
    arguments = [] if options["firmware"] is None else [options["firmware"]]
    for parameter in context.command.params:
        value = options.get(parameter.name or "")
        if parameter.name in own or not isinstance(parameter, click.Option) or value == parameter.default:
            continue
        if value is None or value is False:
            continue
        if isinstance(value, tuple):  # may be given several times
            arguments += [word for each in value for word in (parameter.opts[-1], each)]
            continue
        arguments += [parameter.opts[-1]] if value is True else [parameter.opts[-1], str(value)]
    return arguments


@dataclass(frozen=True, slots=True)
class Recorded:
    """One run, and the trace of it."""

    path: str
    status: int


def _verify_runs(runs: int, timeout: float, arguments: list[str]) -> int:
    number = 1
    progress = _progress(lambda: f"run {number} of {runs}, each of {timeout:g} s at most (--timeout)")
    progress.notice = (
        f"minstret: the first run has not ended yet, and {timeout:g} s (--timeout) are the limit;"
        " --max-insns N compares the start of a guest that never ends"
    )
    with tempfile.TemporaryDirectory(prefix="minstret-") as folder, progress.shown():
        first: Recorded | None = None
        for number in range(1, runs + 1):
            recorded = record_again(os.path.join(folder, f"{number}{SUFFIX}"), arguments, timeout, str(number))
            if first is None:
                first, progress.notice = recorded, ""
                continue
            difference = first_difference(first.path, recorded.path)
            if difference is not None:
                click.echo(f"minstret: run {number} is not run 1: {printable(difference)}")
                return DIFFERENT
            os.unlink(recorded.path)
        assert first is not None
        with closing(TraceReader(first.path)) as reader:
            end = reader.end
        assert end is not None
    click.echo(
        f"the same run {runs} times: {end['reason']}, {end['icount']:,} instructions,"
        f" {end['virtual_ns'] / 1e9:.6f} s virtual, digest {end['digest'][:16]}"
    )
    return SAME


def record_again(path: str, arguments: list[str], timeout: float, hash_seed: str) -> Recorded:
    """Record a run in another process, with its own hash seed.

    Raises:
        TraceError: it could not be recorded.
    """
    command = [sys.executable, "-m", "minstret.emu.cli", "record", "-q", "--no-input", "-o", path, *arguments,
               "--timeout", str(timeout)]  # fmt: skip
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
    )  # fmt: skip
    if done.returncode in (exits.Exit.OURS, exits.Exit.INTERRUPTED) or not os.path.exists(path):
        message = done.stderr.decode(errors="replace").strip().removeprefix("minstret: ")
        raise TraceError(message or f"the run ended with status {done.returncode}")
    if done.returncode < 0:
        raise TraceError(f"a run was ended by signal {-done.returncode}")
    if done.returncode == exits.Exit.TIMEOUT:
        with closing(TraceReader(path)) as reader:
            icount = reader.reached().position.icount
        raise TraceError(
            f"a run has not ended after {timeout:g} s and {icount:,} instructions; compare its start with --max-insns,"
            " or give it a longer --timeout"
        )
    return Recorded(path, done.returncode)


def first_difference(one: str, other: str) -> str | None:
    """Where two traces of what should be one run differ first, in words; None where they don't."""
    with closing(TraceReader(one)) as a, closing(TraceReader(other)) as b:
        return _first_difference(a, b)


def _first_difference(a: TraceReader, b: TraceReader) -> str | None:
    for expected, got in zip_longest(a.items(), b.items()):
        if not _is_same(expected, got):
            at = (expected or got).position
            return f"icount {at.icount:_}: {_item_text(expected)}, then {_item_text(got)}"
    for sent, sent_then in zip_longest(_sent(a), _sent(b)):
        if sent != sent_then:
            at = (sent or sent_then).position
            return f"icount {at.icount:_}: {_output_text(sent)}, then {_output_text(sent_then)}"
    for what in ("reason", "exit_code", "icount", "virtual_ns", "uart_sha256", "digest"):
        expected_end, got_end = (a.end or {}).get(what), (b.end or {}).get(what)
        if expected_end != got_end:
            return f"at the end: {what} {expected_end}, then {got_end}"
    return None


def _is_same(one: Item | None, other: Item | None) -> bool:
    """Whether two items tell the same. Which of several checkpoints keep a hash depends on when there was a commit."""
    if one is None or other is None:
        return one is other
    hashes = (one.registers, other.registers)
    if _told(one) != _told(other):
        return False
    return None in hashes or hashes[0] == hashes[1]


def _told(item: Item) -> tuple[object, ...]:
    """What an item says of the run. What VIRTUAL_RT showed is left out: how long the host took for a wait is no part of
    it."""
    is_pace = item.kind is Kind.CHECKPOINT and item.name == ClockType.VIRTUAL_RT.value
    return item.seq, item.kind, item.position, item.name, b"" if is_pace else item.data


def _sent(reader: TraceReader) -> Iterator[Output]:
    """Outputs, byte streams joined: commits cut them where host time says."""
    for stream, outputs in groupby(reader.outputs(), key=lambda output: output.stream):
        if stream == "uart0.tx":
            first = next(outputs)
            yield Output(stream, first.position, b"".join((first.data, *(output.data for output in outputs))))
        else:
            yield from outputs


def _item_text(item: Item | None) -> str:
    if item is None:
        return "nothing"
    text = str(item) if item.kind is not Kind.CHECKPOINT else f"checkpoint {item.name}"
    return f"{text} at {item.position.virtual_ns / 1e9:.9f} s"


def _output_text(output: Output | None) -> str:
    return "nothing sent" if output is None else f"{output.stream} sent {describe(output.data)}"


def verify_trace(path: str, runs: int) -> int:
    """Replay from the start so often, and once from every snapshot."""
    reader = TraceReader(path)
    if reader.is_of_nothing:
        raise reader.nothing_recorded()
    snapshots = reader.snapshot_positions()
    starts: list[int | None] = [*[None] * runs, *(number for number, _ in snapshots)]
    done = 0
    with _progress(lambda: f"replay {done + 1} of {len(starts)}").shown():
        for start in starts:
            Replay(reader, snapshot=start).run()
            done += 1
    from_snapshots = f", and from each of {len(snapshots)} snapshots" if snapshots else "; it has no snapshots"
    click.echo(f"the same run {runs} times{from_snapshots}")
    return SAME
