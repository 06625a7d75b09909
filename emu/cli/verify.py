"""``minstret verify``: check that a run, or a replay, is the same each time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from minstret.devices.board.traced import Replay
from minstret.emu import host
from minstret.emu.cli import exits
from minstret.emu.cli.expectations import expectation_options, limits_of
from minstret.emu.cli.options import (
    FIRMWARE_HELP,
    board_options,
    changed_devices_option,
    check_boots_something,
    replayed_devices,
)
from minstret.emu.cli.progress import HowFar, Progress
from minstret.emu.cli.say import say
from minstret.emu.cli.slow import say_if_slow
from minstret.emu.cli.streams import as_given, inputs_to_repeat
from minstret.emu.door.door import Position
from minstret.emu.errors import DivergenceError, MinstretError, Terminated, TraceError
from minstret.emu.machine import StopReason
from minstret.emu.questions.diff import Diff
from minstret.emu.questions.diffing import tables
from minstret.emu.questions.diffing.side import Side
from minstret.emu.questions.diffing.snapshots import beside_snapshots, known_lines
from minstret.emu.questions.diffing.telling import difference_lines
from minstret.emu.session import RunLimits
from minstret.emu.text import printable
from minstret.emu.trace.format import SUFFIX
from minstret.emu.trace.reader import TraceReader, reached_so_far
from minstret.emu.trace.untrusted import has_trace_head

_SHOWN_BYTES = 16
_MAX_INSNS, _MAX_TIME = "1G", "60s"
"""Of a guest that never ends. Both take a few seconds of host time: the first of one that works, the second of one that
mostly waits."""
_PARTS = 1000
"""Of a run, as far as its progress is shown."""
_CUT = {StopReason.MAX_INSNS.value: "--max-insns", StopReason.MAX_TIME.value: "--max-time"}
SAME, DIFFERENT, TROUBLE = 0, 1, int(exits.Exit.OURS)


@click.command(epilog=FIRMWARE_HELP + """
\b
Examples:
  minstret verify firmware.elf                 record 20 runs and compare them
  minstret verify dhcp --net user,restrict=on --runs 100
  minstret verify --max-insns 10G --max-time 1000s linux.elf
                                               a guest that never ends: compare so much of it
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
@click.option("--max-insns", metavar="N", default=_MAX_INSNS, show_default=True, help=(
    "Stop each run after N instructions, and compare what was until then."))  # fmt: skip
@click.option("--input-script", metavar="FILE", help="As for minstret run.")
@click.option("--keys", metavar="TEXT", help="As for minstret run.")
@click.option("--no-input", is_flag=True, expose_value=False, help=(
    "As for minstret run, where it matters: here no run reads standard input."))  # fmt: skip
@expectation_options
@click.option(
    "--timeout",
    type=float,
    metavar="SECONDS",
    default=60.0,
    show_default=True,
    help="Host time for each run. A run that takes longer ends the comparison.",
)
def verify(runs: int, timeout: float, **options: Any) -> int:
    """Run firmware, or replay a trace, several times, and check that it is the same run each time.

    Each run is recorded in a process of its own, so that the first difference can be shown. Its only input is what the
    options give. A guest that never ends is compared up to --max-insns, or 60 s of virtual time (--max-time). FIRMWARE
    may be a trace: it is replayed from its start and from each of its snapshots.
    """
    say_if_slow(options["counting"])
    try:
        with inputs_to_repeat(options) as options:
            firmware = options["firmware"]
            if firmware is not None and is_trace(firmware):
                return verify_trace(firmware, runs, options["devices"], options["changed_devices"])
            check_boots_something(options)
            limits = limits_of(options | {"max_time": options["max_time"] or _MAX_TIME})
            return _verify_runs(runs, timeout, limits, _arguments(options), options["devices"])
    except DivergenceError as error:
        _tell([as_given(str(error)), *getattr(error, "__notes__", ())])
        return DIFFERENT


def _tell(lines: Sequence[str]) -> None:
    click.echo("\n".join((f"minstret: {printable(lines[0])}", *map(printable, lines[1:]))))


def is_trace(path: str) -> bool:
    """Whether a file is a trace, or is called one."""
    if not Path(path).exists():
        return False
    return path.endswith(SUFFIX) or (os.path.isfile(path) and has_trace_head(path))


def _arguments(options: dict[str, Any]) -> list[str]:
    """The options again, as a command line for another process."""
    context = click.get_current_context()
    own = {"runs", "timeout", "firmware", "changed_devices", "max_insns", "max_time"}
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


@contextmanager
def _stop_told(what: Callable[[], str]) -> Iterator[None]:
    """Where a signal ends the command meanwhile, say so, and during what."""
    try:
        yield
        return
    except KeyboardInterrupt:
        number, by = int(signal.SIGINT), "Ctrl-C"
    except Terminated as error:
        number, by = error.number, host.signal_name(error.number)
    if host.takes_text(sys.stderr):  # told to end, so it waits for nobody
        say(f"minstret: stopped by {by} during {what()}")
    raise Terminated(number)


class _Comparison:
    """Several recordings, each compared with the first."""

    def __init__(
        self, folder: str, runs: int, timeout: float, limits: RunLimits, arguments: list[str], devices: Sequence[str]
    ) -> None:  # fmt: skip
        """Make it.

        Args:
            folder: For the traces.
            runs: How many recordings.
            timeout: Host time for each, seconds.
            limits: Instructions and virtual time for each.
            arguments: More for ``minstret record``.
            devices: As given to ``--device``.
        """
        self._folder, self._runs, self._timeout, self._devices = folder, runs, timeout, devices
        insns, time_ns = limits
        assert insns is not None
        assert time_ns is not None
        self._arguments = [*arguments, "--max-insns", str(insns), "--max-time", f"{time_ns}ns"]
        self._number, self._is_comparing = 1, False
        self._whole = Position(max(1, insns), max(1, time_ns))  # of a run: of the first one that is its limits
        self._progress = Progress(self._how_far, notice=(
            f"minstret: the first run has not ended yet; it ends after {insns:,} instructions or {time_ns / 1e9:g} s"
            f" virtual at the latest (--max-insns, --max-time), and may take {timeout:g} s (--timeout)"))  # fmt: skip

    def _how_far(self) -> HowFar:
        what, number = "comparing run" if self._is_comparing else "run", self._number
        (icount, virtual_ns), whole = reached_so_far(self._path(number)) or Position(0, 0), self._whole
        part = min(_PARTS, max(icount * _PARTS // whole.icount, virtual_ns * _PARTS // whole.virtual_ns))
        before = (number - 1) * whole.icount
        return HowFar(
            f"{what} {number} of {self._runs}", (number - 1) * _PARTS + part, self._runs * _PARTS, before + icount
        )

    def run(self) -> str | None:
        """Which run differs and where, in words; None if none does."""
        with _stop_told(self._stopped_text), self._progress.shown():
            first = self._record()
            self._progress.notice = ""
            with closing(TraceReader(first.path)) as reader:
                icount, virtual_ns = reader.reached().position
            self._whole = Position(max(1, icount), max(1, virtual_ns))
            for number in range(2, self._runs + 1):
                self._number = number
                recorded = self._record()
                self._is_comparing = True
                difference = first_difference(first.path, recorded.path)
                self._is_comparing = False
                if difference is not None:
                    lines = first_instruction(first.path, recorded.path, self._devices)
                    if lines:
                        lines[0] = f"A: run 1, B: run {number}: {lines[0]}"
                    return "\n".join((f"run {number} differs from run 1: {difference}", *lines))
                os.unlink(recorded.path)
        return None

    def _stopped_text(self) -> str:
        same = self._number - 1
        return f"run {self._number} of {self._runs}" + (f"; the {same} before were the same run" if same > 1 else "")

    def _record(self) -> Recorded:
        return record_again(self._path(self._number), self._arguments, self._timeout, str(self._number))

    def _path(self, number: int) -> str:
        return os.path.join(self._folder, f"{number}{SUFFIX}")

    def end_text(self) -> str:
        """How the first run ended."""
        with closing(TraceReader(self._path(1))) as reader:
            end = reader.end
        assert end is not None
        how = f"compared up to {_CUT[end['reason']]}" if end["reason"] in _CUT else end["reason"]
        return (
            f"{how}, {end['icount']:,} instructions, {end['virtual_ns'] / 1e9:.6f} s virtual,"
            f" digest {end['digest'][:16]}"
        )


def _verify_runs(
    runs: int, timeout: float, limits: RunLimits, arguments: list[str], devices: Sequence[str]
) -> int:  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="minstret-") as folder:
        comparison = _Comparison(folder, runs, timeout, limits, arguments, devices)
        difference = comparison.run()
        if difference is not None:
            _tell(difference.splitlines())
            return DIFFERENT
        click.echo(f"the same run {runs} times: {comparison.end_text()}")
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
        difference = tables.first_difference(a, b)
    return None if difference is None else difference.text


def first_instruction(one: str, other: str, devices: Sequence[str]) -> list[str]:
    """Lines on the first instruction that differs in two recordings; none where that is not to be found.

    Args:
        one: A trace of the first run, which is A there.
        other: One of the other run.
        devices: As given to ``--device`` for them.
    """
    classes = replayed_devices([text.partition(",")[0] for text in devices])
    sides = [Side(path, Replay(path, devices=classes)) for path in (one, other)]
    try:
        difference = Diff(*sides).find().difference
    except MinstretError:  # such as where what a device does is not the same each time
        return []
    return [] if difference is None else difference_lines(difference)


def verify_trace(path: str, runs: int, devices: Sequence[str] = (), changed_devices: bool = False) -> int:
    """Replay ``runs`` times from the start, and once from every snapshot."""
    reader = TraceReader(path)
    if reader.is_of_nothing:
        raise reader.nothing_recorded()
    snapshots = reader.snapshot_positions()
    starts: list[int | None] = [*[None] * runs, *(number for number, _ in snapshots)]
    how_far = _HowFarReplayed(reader, len(starts))
    left_out = None

    def new_replay(start: int | None) -> Replay:
        classes = replayed_devices(devices)
        return Replay(reader, snapshot=start, devices=classes, devices_may_have_changed=changed_devices)

    with _stop_told(how_far.stopped_text), Progress(how_far).shown():
        for start in starts:
            if start is not None and left_out is not None:
                break
            replay = new_replay(start)
            how_far.begin(replay)
            try:
                replay.run()
            except DivergenceError as error:
                for line in _beside_snapshots(new_replay, start) if replay.left_out is None else ():
                    error.add_note(line)
                raise
            left_out = replay.left_out
    if left_out is not None:
        say(f"minstret: {as_given(left_out)}")
        snapshots = []
    none = "it has no snapshots" if left_out is None else "its snapshots are left out"
    from_snapshots = f", and from each of {len(snapshots)} snapshots" if snapshots else f"; {none}"
    click.echo(f"the same run {runs} times{from_snapshots}")
    return SAME


def _beside_snapshots(new_replay: Callable[[int | None], Replay], start: int | None) -> list[str]:
    """Lines on where the replay from ``start`` was still as recorded, and on the first snapshot that differs."""
    try:
        return list(known_lines(beside_snapshots(Side("", new_replay(start)), Side("", new_replay(start)))))
    except MinstretError:
        return []


class _HowFarReplayed:
    """How far several replays of one trace are, by virtual time, which passes where a guest waits too."""

    def __init__(self, reader: TraceReader, count: int) -> None:
        """Of so many replays."""
        self._count, self._number = count, 0
        self._end_ns = reader.reached().position.virtual_ns
        self._replay: Replay | None = None
        self._insns_before = self._begin_icount = 0

    def begin(self, replay: Replay) -> None:
        """The next one begins."""
        if self._replay is not None:
            self._insns_before += self._replay.board.position.icount - self._begin_icount
        self._begin_icount = replay.board.position.icount
        self._replay, self._number = replay, self._number + 1

    def stopped_text(self) -> str:
        """What was under way, for messages, and what is known of those before."""
        same = max(0, self._number - 1)
        known = f"; the {same} before {'was' if same == 1 else 'were'} as recorded" if same else ""
        return f"replay {same + 1} of {self._count}{known}"

    def __call__(self) -> HowFar | None:
        if self._replay is None:
            return None
        (icount, virtual_ns), whole_ns = self._replay.board.position, max(1, self._end_ns)
        return HowFar(
            f"replay {self._number} of {self._count}", (self._number - 1) * whole_ns + virtual_ns,
            self._count * whole_ns, self._insns_before + icount - self._begin_icount,
        )  # fmt: skip
