"""What the questions to a trace have in common: the trace, its symbols, a walk in it, places, progress."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property, wraps
from typing import Any

import click

from minstret.devices.board.traced import Replay
from minstret.emu import host, units
from minstret.emu.cli.invocation import how_to_debug, with_devices
from minstret.emu.cli.lookback import in_trace
from minstret.emu.cli.options import changed_devices_option, device_errors, replayed_device_option, replayed_devices
from minstret.emu.cli.outputs import Named, check_outputs, trace_read
from minstret.emu.cli.progress import HowFar, Progress
from minstret.emu.cli.say import say
from minstret.emu.cli.session import check_writable
from minstret.emu.cli.streams import STREAM, as_given, claim_stdout, reads_trace, trace_to_read
from minstret.emu.errors import ConfigError, Terminated
from minstret.emu.hart.shared import Counting
from minstret.emu.images.image import SymbolTable
from minstret.emu.images.kallsyms import find_kallsyms
from minstret.emu.images.loader import load_firmware, read_image
from minstret.emu.images.systemmap import is_system_map, read_system_map
from minstret.emu.past import TraceTimeline
from minstret.emu.recorded import ReplaySession
from minstret.emu.report import LookBack
from minstret.emu.text import printable
from minstret.emu.timeline import HISTORY_BYTES, Timeline
from minstret.emu.trace.reader import TraceReader

PLACES = "an icount such as 5M, a percentage such as 12.5%, a time such as 1.5s, start or end"
_KALLSYMS = "kallsyms"
_KERNEL_AT = 0xC000_0000
"""Where Linux is on rv32; on rv64 it is higher. Firmware is below."""
_TIME = re.compile(r"[\d.]+(ns|us|ms|s)", re.ASCII | re.IGNORECASE)


def _asking_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: what all of them may be told."""
    for option in reversed((
        click.option("--symbols", metavar="FILE", multiple=True, help=(
            "A file with symbols, in place of those in the trace: an ELF file, a System.map, or what nm prints. May be "
            "given several times. kallsyms: what a Linux kernel keeps in memory; used for it anyway where there is "
            "nothing else.")),
        replayed_device_option, changed_devices_option,
        click.option("-q", "--quiet", is_flag=True, help="No lines of minstret's own on standard error, but errors."),
        click.option("-v", "--verbose", is_flag=True, help="Show the traceback of a --device with a mistake."),
    )):  # fmt: skip
        function = option(function)
    return function


def asks_trace(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """Decorator for a command that asks a trace: it gets ``asked`` in place of TRACE and the options of these."""

    @click.argument("trace")
    @_asking_options
    @reads_trace
    @wraps(function)
    def command(
        trace: str, symbols: tuple[str, ...], devices: tuple[str, ...], changed_devices: bool, quiet: bool,
        verbose: bool, **options: Any,
    ) -> int | None:  # fmt: skip
        with device_errors(devices, verbose):
            return function(asked=Asked(trace, symbols, devices, changed_devices, is_quiet=quiet), **options)

    return command


def asks_traces(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """The same for several traces: it gets a list of them."""

    @click.argument("traces", metavar="TRACE...", nargs=-1, required=True)
    @_asking_options
    @wraps(function)
    def command(
        traces: tuple[str, ...], symbols: tuple[str, ...], devices: tuple[str, ...], changed_devices: bool, quiet: bool,
        verbose: bool, **options: Any,
    ) -> int | None:  # fmt: skip
        if traces.count(STREAM) > 1:
            raise ConfigError("TRACE -: only one trace can come from standard input")
        with device_errors(devices, verbose), ExitStack() as stack:
            paths = [stack.enter_context(trace_to_read(trace)) for trace in traces]
            asked = [Asked(path, symbols, devices, changed_devices, is_quiet=quiet) for path in paths]
            return function(asked=asked, **options)

    return command


class Asked:
    """A trace that is asked.

    Attributes:
        trace: Its path.
        reader: It, opened.
        devices: The classes of the users' devices in it, as ``--device`` names them.
        is_quiet: Whether to say nothing but errors.
        files_read: The files that it is read from, and what they are.
    """

    def __init__(
        self, trace: str, symbols: Sequence[str] = (), devices: Sequence[str] = (), changed_devices: bool = False, *,
        is_quiet: bool = False,
    ) -> None:  # fmt: skip
        """Open the trace.

        Args:
            trace: Its path.
            symbols: Files whose symbols are used in place of its own; or kallsyms, the kernel's.
            devices: The classes of the users' devices in it, as ``--device`` names them.
            changed_devices: Whether their source may be another than at the recording.
            is_quiet: Say nothing but errors.
        Raises:
            ConfigError: a file of symbols can't be read, or has none.
            TraceError: it is no trace, or nothing was recorded.
        """
        self.trace, self.is_quiet = trace, is_quiet
        self.devices, self._changed_devices = devices, changed_devices
        files = [path for path in symbols if path != _KALLSYMS]
        self.files_read: tuple[Named, ...] = (*trace_read(trace), *(("--symbols", path) for path in files))
        self._given_symbols, self._wants_kallsyms = read_symbols(files) if files else None, len(files) < len(symbols)
        self.reader = TraceReader(trace)
        if self.reader.is_of_nothing:
            raise self.reader.nothing_recorded()

    # ---- what there is

    @property
    def name(self) -> str:
        """The trace as the user called it, for a terminal."""
        return printable(as_given(self.trace))

    @cached_property
    def symbols(self) -> SymbolTable:
        """Of what was booted, or of the files that the user has given; and of a Linux kernel, by its own tables.

        Raises:
            ConfigError: it was to be those of a kernel, and there are none.
        """
        given = self._given_symbols
        if given is not None and not self._wants_kallsyms and (not self._boots_kernel or _knows_kernel(given)):
            return given
        snapshots = self.reader.snapshot_positions()
        board = self.new_replay(snapshot=snapshots[-1][0] if snapshots else None).board
        table = board.symbols if given is None else given
        if not self._wants_kallsyms and (not self._boots_kernel or _knows_kernel(table)):
            return table
        found = find_kallsyms(board.machine.memory.ram, board.hart.xlen)
        if not found and self._wants_kallsyms:
            raise ConfigError(f"--symbols {_KALLSYMS}: {self.name}: there is no Linux kernel in memory that has them")
        return SymbolTable.of([*table.symbols, *found], table.lines, table.debug) if found else table

    @property
    def _boots_kernel(self) -> bool:
        """Whether there was a kernel to boot, be it Linux or not."""
        return "kernel" in self.reader.meta["images"]

    @cached_property
    def start_icount(self) -> int:
        """Where the trace begins: 0, or the oldest snapshot of a ring."""
        number = self.reader.meta.get("first_snapshot")
        return 0 if number is None else self.reader.snapshot(number).position.icount

    @property
    def end_icount(self) -> int:
        """How far the trace goes."""
        return self.reader.reached().position.icount

    def place(self, text: str, what: str) -> int:
        """The icount of a place. That of a time is found by a walk.

        Args:
            text: See PLACES.
            what: The option or argument it comes from, for messages.
        Raises:
            ConfigError: it is no place, or not in the trace.
        """
        start, end = self.start_icount, self.end_icount
        if text in ("start", "end"):
            return start if text == "start" else end
        part = units.parse_percent(text, what)
        if part is not None:
            return start + int((end - start) * part)
        if _TIME.fullmatch(text):
            return self._icount_at(units.parse_time_ns(text, what), what)
        try:
            icount = units.parse_count(text.replace(",", "_"), what)
        except ConfigError:
            raise ConfigError(f"{what}: expected {PLACES}, got {printable(text)!r}") from None
        if icount > end:
            raise ConfigError(f"{what}: {icount} is beyond icount {end}, where this trace ends")
        if icount < start:
            raise ConfigError(f"{what}: {icount} is before icount {start}, where this trace begins")
        return icount

    def stretch(self, start: str, end: str) -> tuple[int, int]:
        """The icounts of ``--from`` and ``--to``; see ``place``.

        Raises:
            ConfigError: one is no place in the trace, or they are in the wrong order.
        """
        first, last = self.place(start, "--from"), self.place(end, "--to")
        if last < first:
            raise ConfigError(f"--to: {last} is before --from {first}")
        return first, last

    def _icount_at(self, virtual_ns: int, what: str) -> int:
        end_ns = self.reader.reached().position.virtual_ns
        if virtual_ns > end_ns:
            raise ConfigError(f"{what}: {virtual_ns} ns is beyond {end_ns} ns, where this trace ends")
        timeline = self.timeline()
        with self.moving(timeline, f"going to {virtual_ns} ns"):
            timeline.seek_ns(virtual_ns)
        return timeline.position.icount

    # ---- walks

    def new_replay(
        self, *, snapshot: int | None = None, on_console: Callable[[bytes], None] | None = None
    ) -> Replay:  # fmt: skip
        """A board that replays the trace, where it begins or at a snapshot."""
        replay = Replay(
            self.reader, snapshot=snapshot, on_console=on_console, devices=replayed_devices(self.devices),
            devices_may_have_changed=self._changed_devices,
        )  # fmt: skip
        if replay.left_out is not None and not self.is_quiet:
            say(f"minstret: {as_given(replay.left_out)}")
        return replay

    def replay_at(self, icount: int) -> Replay:
        """A replay that has come to the first arrival at an icount."""
        replay = self.new_replay(snapshot=None if icount == self.start_icount else self.reader.last_snapshot(icount))
        if replay.board.position.icount < icount:
            with self.playing(replay, f"going to {icount:,}"):
                replay.play(icount=icount)
        return replay

    def timeline(self, *, history: int = HISTORY_BYTES) -> TraceTimeline:
        """A walk in the trace, at its beginning; ``history``: bytes for the moments it keeps."""
        return TraceTimeline(self.new_replay(), history=history)

    def how_to_debug(self, icount: int) -> str:
        """What to type to see the place of an icount."""
        return how_to_debug(with_devices(self.name, self.devices), icount)

    def look_back(self, counting: Counting) -> LookBack:
        """Looks at earlier moments of its run: for reports."""
        return in_trace(self.reader, counting, replayed_devices(self.devices), self._changed_devices)

    # ---- while it works

    @contextmanager
    def working(self, how_far: Callable[[], HowFar | None], stop: Callable[[], None]) -> Iterator[Progress]:
        """Show how far long work has come, and end it when a signal comes.

        Args:
            how_far: Asked in another thread, twice a second.
            stop: Called when a signal has come, by its handler: make the work come back soon.
        Raises:
            KeyboardInterrupt: Ctrl-C.
            Terminated: another signal that ends this process.
        """
        with working(how_far, stop, is_quiet=self.is_quiet) as progress:
            yield progress

    @contextmanager
    def moving(self, timeline: Timeline, text: str) -> Iterator[Progress]:
        """The same for moves of a timeline."""
        start, end = self.start_icount, self.end_icount

        def how_far() -> HowFar:
            return HowFar(text, timeline.position.icount - start, end - start, is_place=True)

        def interrupt_again() -> None:  # a move that begins after the signal ends at once, too
            if is_stopped:
                timeline.interrupt()

        def stop() -> None:
            is_stopped.append(True)
            timeline.interrupt()

        is_stopped: list[bool] = []
        timeline.on_stride = interrupt_again
        with self.working(how_far, stop) as progress:
            yield progress

    @contextmanager
    def playing(self, replay: ReplaySession[Any], text: str) -> Iterator[Progress]:
        """The same for a replay that goes forward to the trace's end."""
        start, end = self.start_icount, self.reader.reached().position

        def how_far() -> HowFar:
            icount, virtual_ns = replay.board.position  # a guest that waits executes nothing, but its time passes
            return HowFar(text, virtual_ns, end.virtual_ns, icount - start)

        with self.working(how_far, replay.interrupt) as progress:
            yield progress


@contextmanager
def working(how_far: Callable[[], HowFar | None], stop: Callable[[], None], *, is_quiet: bool) -> Iterator[Progress]:
    """Of any work; see ``Asked.working``."""
    signals, progress = host.Signals(stop), Progress(how_far, is_wanted=not is_quiet)
    with signals.caught(), progress.shown():
        yield progress
    if signals.number == host.INTERRUPT:
        raise KeyboardInterrupt
    if signals.number is not None:
        raise Terminated(signals.number)


def take_output(option: str, path: str, asked: Sequence[Asked]) -> None:
    """Check, before any work, that a file can be written for its result; standard output is kept for it.

    Raises:
        ConfigError: it can't, or something would be lost that is read.
    """
    check_outputs([(option, path)], [file for one in asked for file in one.files_read])
    claim_stdout({option: path})
    check_writable(option, path)


def read_symbols(paths: Sequence[str]) -> SymbolTable:
    tables = [_read_symbol_file(path) for path in paths]
    symbols = [symbol for table in tables for symbol in table.symbols]
    lines = tuple(lines for table in tables for lines in table.lines)
    return SymbolTable.of(symbols, lines, tuple(debug for table in tables for debug in table.debug))


def _knows_kernel(table: SymbolTable) -> bool:
    return bool(table.addresses) and table.addresses[-1] >= _KERNEL_AT


def _read_symbol_file(path: str) -> SymbolTable:
    try:
        file = read_image(path)
        is_map = is_system_map(file.data)
        symbols = SymbolTable.of(read_system_map(file)) if is_map else load_firmware(file, raw_base=0).symbols
    except ConfigError as error:
        raise ConfigError(f"--symbols: {error}") from None
    if not symbols.symbols:
        raise ConfigError(f"--symbols: {path}: it has no symbols; give an ELF file, a System.map, or what nm prints")
    return symbols
