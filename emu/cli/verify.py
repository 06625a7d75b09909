"""``minstret verify``: check that a run, or a replay, is the same each time."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

import click

from minstret.devices.board.traced import Replay
from minstret.emu import host
from minstret.emu.cli import exits
from minstret.emu.cli.options import (
    FIRMWARE_HELP,
    board_options,
    changed_devices_option,
    check_boots_something,
    replayed_devices,
)
from minstret.emu.cli.say import say
from minstret.emu.cli.slow import say_if_slow
from minstret.emu.cli.streams import as_given, inputs_to_repeat
from minstret.emu.clock import ClockType
from minstret.emu.errors import DivergenceError, TraceError
from minstret.emu.text import printable
from minstret.emu.trace.format import SUFFIX, Item, Kind, Output, describe
from minstret.emu.trace.reader import TraceReader
from minstret.emu.trace.untrusted import has_trace_head
from minstret.emu.units import NS_PER_S

_SHOWN_BYTES = 16
SAME, DIFFERENT, TROUBLE = 0, 1, int(exits.Exit.OURS)


@click.command(epilog=FIRMWARE_HELP + """
\b
Examples:
  minstret verify firmware.elf                 record 20 runs and compare them
  minstret verify dhcp --net user,restrict=on --runs 100
  minstret verify run.mst                      replay 20 times, and from each snapshot

\b
Exit status:
  0    the same run each time
  1    not the same; standard output says what differs first
  125  no result: a usage error, or a run that failed or took too long""")  # fmt: skip
@board_options
@click.option(
    "--runs", type=click.IntRange(1, 100_000), default=20, show_default=True, help="Number of runs or replays."
)
@changed_devices_option
@click.option("--max-insns", metavar="N", help="Stop each run after N instructions.")
@click.option("--input-script", metavar="FILE", help="As for minstret run.")
@click.option("--keys", metavar="TEXT", help="As for minstret run.")
@click.option(
    "--timeout",
    type=float,
    metavar="SECONDS",
    default=60.0,
    show_default=True,
    help=(
        "Host time for each run. A run that takes longer ends the comparison; for a guest that never ends use "
        "--max-insns."
    ),
)
def verify(runs: int, timeout: float, **options: Any) -> int:
    """Run firmware, or replay a trace, several times, and check that it is the same run each time.

    Each run is recorded in a process of its own, so that the first difference can be shown. Its only input is what the
    options give. FIRMWARE may be a trace: it is replayed from its start and from each of its snapshots.
    """
    say_if_slow(options["counting"])
    try:
        with inputs_to_repeat(options) as options:
            firmware = options["firmware"]
            if firmware is not None and _is_trace(firmware):
                return verify_trace(firmware, runs, options["devices"], options["changed_devices"])
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
    own = {"runs", "timeout", "firmware", "changed_devices"}
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
        f"minstret: the first run has not ended yet; it may take {timeout:g} s (--timeout)."
        " For a guest that never ends, give --max-insns N"
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
                click.echo(f"minstret: run {number} differs from run 1: {printable(difference)}")
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
        message = message.replace("; -v shows its traceback", "; minstret run -v shows its traceback")
        raise TraceError(message or f"the run ended with status {done.returncode}")
    if done.returncode < 0:
        raise TraceError(f"a run was killed by signal {-done.returncode}")
    if done.returncode == exits.Exit.TIMEOUT:
        with closing(TraceReader(path)) as reader:
            icount = reader.reached().position.icount
        raise TraceError(
            f"a run has not ended after {timeout:g} s and {icount:,} instructions; compare its start with --max-insns,"
            " or give a longer --timeout"
        )
    return Recorded(path, done.returncode)


def first_difference(one: str, other: str) -> str | None:
    """The first difference between two traces of what should be the same run, in words; None if there is none."""
    with closing(TraceReader(one)) as a, closing(TraceReader(other)) as b:
        return _first_difference(a, b)


def _first_difference(a: TraceReader, b: TraceReader) -> str | None:
    for expected, got in zip_longest(a.items(), b.items()):
        if not _is_same(expected, got):
            at = (expected or got).position
            return f"at icount {at.icount:_}: expected {_item_text(expected)}, got {_item_text(got)}"
    for sent, sent_then in zip_longest(_sent(a), _sent(b)):
        if sent != sent_then:
            at = (sent or sent_then).position
            if sent is not None and sent_then is not None and sent.stream == sent_then.stream:
                return f"{sent.stream}, sent from icount {at.icount:_} on: {_difference_text(sent, sent_then)}"
            return f"at icount {at.icount:_}: expected {_output_text(sent)}, got {_output_text(sent_then)}"
    for what in ("reason", "exit_code", "icount", "virtual_ns", "uart_sha256", "digest"):
        expected_end, got_end = (a.end or {}).get(what), (b.end or {}).get(what)
        if expected_end != got_end:
            return f"at the end: expected {what} {expected_end}, got {got_end}"
    return None


def _is_same(one: Item | None, other: Item | None) -> bool:
    """Whether two items are the same. Which checkpoints have a register hash depends on the times of commits."""
    if one is None or other is None:
        return one is other
    hashes = (one.registers, other.registers)
    if _told(one) != _told(other):
        return False
    return None in hashes or hashes[0] == hashes[1]


def _told(item: Item) -> tuple[object, ...]:
    """What an item says about the run. The value of VIRTUAL_RT is left out: it is how long the host took for a wait."""
    is_pace = item.kind is Kind.CHECKPOINT and item.name == ClockType.VIRTUAL_RT.value
    return item.seq, item.kind, item.position, item.name, b"" if is_pace else item.data


def _sent(reader: TraceReader) -> Iterator[Output]:
    """Outputs. Console bytes are joined, because commits, which follow host time, cut them into pieces."""
    for stream, outputs in groupby(reader.outputs(), key=lambda output: output.stream):
        if stream == "uart0.tx":
            first = next(outputs)
            yield Output(stream, first.position, b"".join((first.data, *(output.data for output in outputs))))
        else:
            yield from outputs


def _difference_text(one: Output, other: Output) -> str:
    """How what was sent by one stream differs: from the first byte that is another on, or in when it was sent."""
    if one.data == other.data:
        (_, ns), (icount_then, ns_then) = one.position, other.position
        return f"expected at {ns} ns, got at icount {icount_then:_} and {ns_then} ns"
    pairs = zip(one.data, other.data, strict=False)
    same = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one.data), len(other.data)))
    expected, got = (_bytes_text(each.data[same : same + _SHOWN_BYTES]) for each in (one, other))
    return f"at byte {same} expected {expected}, got {got}"


def _bytes_text(data: bytes) -> str:
    """As a string where it is text, as hex where not."""
    return repr(data.decode()) if data.isascii() else f"0x{data.hex()}"


def _item_text(item: Item | None) -> str:
    if item is None:
        return "nothing"
    text = str(item) if item.kind is not Kind.CHECKPOINT else f"checkpoint {item.name}"
    return f"{text} at {item.position.virtual_ns / 1e9:.9f} s"


def _output_text(output: Output | None) -> str:
    return "nothing sent" if output is None else f"{output.stream} sent {describe(output.data)}"


def verify_trace(path: str, runs: int, devices: Sequence[str] = (), changed_devices: bool = False) -> int:
    """Replay ``runs`` times from the start, and once from every snapshot."""
    reader = TraceReader(path)
    if reader.is_of_nothing:
        raise reader.nothing_recorded()
    snapshots = reader.snapshot_positions()
    starts: list[int | None] = [*[None] * runs, *(number for number, _ in snapshots)]
    done, left_out = 0, None
    with _progress(lambda: f"replay {done + 1} of {len(starts)}").shown():
        for start in starts:
            if start is not None and left_out is not None:
                break
            replay = Replay(
                reader, snapshot=start, devices=replayed_devices(devices), devices_may_have_changed=changed_devices
            )
            replay.run()
            left_out = replay.left_out
            done += 1
    if left_out is not None:
        say(f"minstret: {as_given(left_out)}")
        snapshots = []
    none = "it has no snapshots" if left_out is None else "its snapshots are left out"
    from_snapshots = f", and from each of {len(snapshots)} snapshots" if snapshots else f"; {none}"
    click.echo(f"the same run {runs} times{from_snapshots}")
    return SAME
