"""``minstret debug``: walk about in a trace with gdb, forwards and backwards."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import click

from minstret.devices.board.traced import Replay, kept_images
from minstret.emu import host, units
from minstret.emu.cli import SIGNALLED
from minstret.emu.cli.ending import end_text
from minstret.emu.cli.gdb import arguments_for, gdb_command, running
from minstret.emu.cli.gdboptions import allow_remote_option, history_option, history_size_bytes
from minstret.emu.cli.gdbserver import GdbServer, Left, how_to_connect
from minstret.emu.cli.lookback import in_trace
from minstret.emu.cli.options import changed_devices_option, device_errors, replayed_device_option, replayed_devices
from minstret.emu.cli.progress import HowFar, Progress
from minstret.emu.cli.say import say
from minstret.emu.cli.streams import as_given, is_stream, reads_trace
from minstret.emu.errors import ConfigError, Terminated
from minstret.emu.gdbstub import GdbStub
from minstret.emu.hart.shared import Counting
from minstret.emu.hostserver import LOOPBACK, Address, Server, parse_address
from minstret.emu.images.loader import IMAGE_SIZE_MAX
from minstret.emu.images.packed import unpack
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.monitor import Monitor
from minstret.emu.past import TraceTimeline
from minstret.emu.text import printable
from minstret.emu.trace.reader import TraceReader

_ARGUMENTS = "minstret.gdb_arguments"
_NAME_MAX = 100
_ELF_MAGIC = b"\x7fELF"


class _WithArguments(click.Command):
    """A command that leaves what comes behind ``--`` to gdb."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        ctx.meta[_ARGUMENTS] = tuple(args[at + 1 :])
        return super().parse_args(ctx, args[:at])

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- GDB'S ARGUMENTS]"]


@click.command(cls=_WithArguments, epilog="""\b
Examples:
  minstret debug crash.mst                    gdb, where the recording ended
  minstret debug --at 50% soak.mst            half-way through it
  minstret debug run.mst -- -ex "break main" -ex continue
  minstret debug --symbols vmlinux linux.mst
  minstret debug --server :1234 run.mst       for an editor, or a gdb elsewhere

\b
In gdb:
  reverse-continue, reverse-step, reverse-next, reverse-stepi, reverse-finish
  watch VARIABLE, then reverse-continue       who wrote it last?
  monitor help                                minstret's own commands: when, seek, why

Exit status: gdb's; 125 for a usage error, an unusable file, or an error in minstret itself.""")  # fmt: skip
@click.argument("trace")
@click.option("--at", "at", metavar="ICOUNT|N%", help=(
    "Begin at this instruction, or so far through the trace; start and end are places too. Default: the end if the "
    "recording ended badly (any exit status but 0, or it was killed), else the start."))  # fmt: skip
@click.option("--symbols", metavar="FILE", multiple=True, help=(
    "An ELF file with symbols, in place of those in the trace. May be given several times; the first is gdb's "
    "program."))  # fmt: skip
@click.option("--gdb", metavar="COMMAND", help=(
    "Start this gdb. Default: gdb-multiarch, riscv64-unknown-elf-gdb and the like, or a gdb that knows "
    "RISC-V."))  # fmt: skip
@click.option("--server", metavar="HOST:PORT", help=(
    "Start no gdb, but let one connect at this address, one after the other, until Ctrl-C or gdb's kill. HOST is "
    "127.0.0.1 by default; port 0 is any that is free."))  # fmt: skip
@allow_remote_option
@history_option
@replayed_device_option
@changed_devices_option
@click.option("-q", "--quiet", is_flag=True, help="No lines of minstret's own on standard error, but errors.")
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback of a --device with a mistake.")
def debug(trace: str, **options: Any) -> int:
    """Walk about in a trace with gdb, forwards and backwards.

    gdb starts at this terminal, connected, with the ELF files in the trace as its symbols; what comes behind -- is
    given to it too. Going forward, gdb shows what the guest sends. The trace stays as it is: what is written to
    registers or memory is forgotten at the next move back.
    """
    gdb_arguments: tuple[str, ...] = click.get_current_context().meta[_ARGUMENTS]
    if options["server"] is None and is_stream(trace):
        raise ConfigError("TRACE -: gdb reads standard input; give the trace's file, or add --server HOST:PORT")
    if options["server"] is not None:
        for name, given in (("--gdb", options["gdb"] is not None), ("arguments behind --", gdb_arguments)):
            if given:
                raise ConfigError(f"--server: it starts no gdb, so {name} can't be given too")
    elif options["allow_remote"]:
        raise ConfigError("--allow-remote: goes with --server")
    status: int = _debug(trace=trace, gdb_arguments=gdb_arguments, **options)
    return status


@reads_trace
def _debug(
    trace: str, at: str | None, symbols: tuple[str, ...], gdb: str | None, server: str | None, allow_remote: bool,
    history: str | None, devices: tuple[str, ...], changed_devices: bool, quiet: bool, verbose: bool,
    gdb_arguments: tuple[str, ...],
) -> int:  # fmt: skip
    def tell(text: str) -> None:
        if not quiet:
            say(f"minstret: {printable(text)}")

    history_bytes = history_size_bytes(history)
    for path in symbols:
        _check_is_elf(path)
    command = gdb_command(gdb) if server is None else []
    reader = TraceReader(trace)
    begin = _place(reader, at)
    address = Address(LOOPBACK, 0) if server is None else parse_address(server, "--server")
    option = "--gdb" if server is None else "--server"
    with (
        device_errors(devices, verbose),
        Server(address, option=option, allows_others=allow_remote, on_refused=lambda name: debugged.tell(
            f"{name} wants to connect too, but only one can at a time")) as door,
    ):  # fmt: skip
        replay = Replay(
            reader, devices=replayed_devices(devices), devices_may_have_changed=changed_devices,
            on_console=lambda data: None if door.is_clogged else stub.on_output(data),
        )  # fmt: skip
        if replay.left_out is not None:
            tell(as_given(replay.left_out))
        timeline = TraceTimeline(replay, history=history_bytes)
        look_back = in_trace(reader, Counting.CODE, replayed_devices(devices), changed_devices)

        @cache
        def beside() -> TraceTimeline:
            another = Replay(reader, devices=replayed_devices(devices), devices_may_have_changed=changed_devices)
            walk = TraceTimeline(another)
            walk.moments = timeline.moments
            return walk

        monitor = Monitor(timeline, replay.board.symbols, read=lambda: reader, look_back=look_back, beside=beside)
        stub = GdbStub(
            timeline, symbols=replay.board.symbols, monitor=monitor, shows_output=True,
            end_text=lambda outcome: f"the trace ends here: {_how_it_ended(timeline, outcome)}",
        )  # fmt: skip
        tell(f"{as_given(trace)}: {_go(timeline, begin, is_quiet=quiet)}")
        debugged = _Debugged(timeline, stub, door, tell, is_quiet=quiet)
        if server is not None:
            return debugged.serve()
        with _symbol_files(reader, symbols) as files:
            xlen = replay.board.machine.hart.xlen
            return debugged.start([*command, *arguments_for(door.address, xlen, files), *gdb_arguments])


class _Debugged:
    """A trace that is served to gdb."""

    def __init__(
        self, timeline: TraceTimeline, stub: GdbStub, server: Server, tell: Callable[[str], None], *, is_quiet: bool
    ) -> None:
        self._signals = host.Signals()
        self._moves = Progress(self._where, is_wanted=not is_quiet)
        """Of moves, while this process has the terminal and not gdb."""
        self._timeline, self._stub, self._server, self._tell = timeline, stub, server, tell

    def serve(self) -> int:
        """Serve whoever connects, one after the other, until a signal or gdb's kill. Returns the exit status."""
        with self._signals.caught():
            served = GdbServer(
                self._server, self._stub, self._timeline, self._signals, self._tell, moving=self._moves.shown,
            )  # fmt: skip
            for line in how_to_connect(self._server):
                self._tell(line)
            while served.wait_for_client():
                self._tell(f"{self._server.client_name} has connected")
                left = served.serve()
                if left is Left.KILLED:
                    return 0
                self._tell(f"{self._server.client_name} has left")
        return SIGNALLED + (self._signals.number or 0)

    def _where(self) -> HowFar:
        """Where a move is."""
        begin, end, at = (each.icount for each in (self._timeline.start, self._timeline.end, self._timeline.position))
        return HowFar(f"at icount {at:,}", at - begin, end - begin, is_place=True)

    def tell(self, text: str) -> None:
        """Tell the user a line, also during a move."""
        self._moves.above(self._tell, text)

    def start(self, command: Sequence[str]) -> int:
        """Start gdb, and serve it until it ends. Returns its exit status."""
        with self._signals.caught(keys_are_ours=False), running(command) as child:
            served = GdbServer(
                self._server, self._stub, self._timeline, self._signals, self._tell,
                more_files=lambda: [child.ended_fd], must_end=lambda: child.has_ended,
            )  # fmt: skip
            while served.wait_for_client():
                served.serve()
            if self._signals.number is not None:
                raise Terminated(self._signals.number)
            return child.status


# ---- where to begin


class _Place(NamedTuple):
    """Where to begin: before the instruction of an icount, or at the very end."""

    icount: int
    is_end: bool


def _place(reader: TraceReader, at: str | None) -> _Place:
    """Where to begin, by ``--at`` or by how the recording ended.

    Raises:
        ConfigError: that is not in the trace.
        TraceError: nothing is.
    """
    if reader.is_of_nothing:
        raise reader.nothing_recorded()
    start, end = _first_icount(reader), reader.reached().position.icount
    if at is None:
        at = "end" if _ended_badly(reader) else "start"
    if at in ("start", "end"):
        return _Place(start if at == "start" else end, at == "end")
    part = units.parse_percent(at, "--at")
    if part is not None:
        return _Place(start + int((end - start) * part), part == 1)
    try:
        icount = units.parse_count(at, "--at")
    except ConfigError:
        raise ConfigError(
            f"--at: expected an icount such as 5M, a percentage such as 12.5%, start or end, got {at!r}"
        ) from None
    if icount > end:
        raise ConfigError(f"--at: {icount} is beyond icount {end}, where this trace ends")
    if icount < start:
        raise ConfigError(f"--at: {icount} is before icount {start}, where this trace begins")
    return _Place(icount, False)


def _first_icount(reader: TraceReader) -> int:
    """0, or the oldest snapshot of a ring."""
    number = reader.meta.get("first_snapshot")
    return 0 if number is None else reader.snapshot(number).position.icount


def _ended_badly(reader: TraceReader) -> bool:
    end = reader.end
    return end is None or end["reason"] != StopReason.FINISHED.value or end["exit_code"] != 0


def _go(timeline: TraceTimeline, place: _Place, *, is_quiet: bool) -> str:
    """Go to a place, and say in words where that is.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        Terminated: another signal that ends this process.
    """
    signals = host.Signals()

    def look() -> None:
        if signals.number is not None:
            timeline.interrupt()

    timeline.on_stride = look
    progress = Progress(lambda: _how_far(timeline, place), is_wanted=not is_quiet)
    with signals.caught(), progress.shown():
        stop = timeline.seek(place.icount)
        if place.is_end and signals.number is None:
            stop = timeline.run()
    if signals.number == host.INTERRUPT:
        raise KeyboardInterrupt
    if signals.number is not None:
        raise Terminated(signals.number)
    position = timeline.position
    where = f"icount {position.icount:,}, virtual time {position.virtual_ns / 1e9:.6f} s"
    if not place.is_end:
        return where
    assert stop.outcome is not None
    return f"at its end, {where}: {_how_it_ended(timeline, stop.outcome)}"


def _how_it_ended(timeline: TraceTimeline, outcome: Outcome) -> str:
    if outcome.reason is StopReason.REACHED:
        return "its recording was killed" if timeline.session.reader.end is None else "the guest could have gone on"
    return end_text(timeline.board, outcome)


def _how_far(timeline: TraceTimeline, place: _Place) -> HowFar:
    start, at = timeline.start.icount, timeline.position.icount
    return HowFar(f"going to icount {place.icount:,}", at - start, place.icount - start, at)


# ---- symbols


def _check_is_elf(path: str) -> None:
    try:
        with open(path, "rb") as file:
            is_elf = file.read(len(_ELF_MAGIC)) == _ELF_MAGIC
    except OSError as error:
        raise ConfigError(f"--symbols: {path}: {error.strerror}") from None
    if not is_elf:
        raise ConfigError(f"--symbols: {path}: not an ELF file, so it has no symbols")


@contextmanager
def _symbol_files(reader: TraceReader, given: Sequence[str]) -> Iterator[list[str | Path]]:
    """The files that ``--symbols`` names, or else the trace's ELF files in a temporary folder."""
    if given:
        yield list(given)
        return
    with tempfile.TemporaryDirectory(prefix="minstret-") as folder:
        files: list[str | Path] = []
        for image in kept_images(reader):
            file = unpack(image, IMAGE_SIZE_MAX)
            if file.data.startswith(_ELF_MAGIC):
                path = Path(folder, f"{len(files)}" if files else "", _safe_name(image.name))
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(file.data)
                files.append(path)
        yield files


def _safe_name(name: str) -> str:
    """A name for a file in a folder of ours: that in a trace may be anything."""
    return re.sub(r"^\W|[^\w.+-]", "_", name, flags=re.ASCII)[:_NAME_MAX] or "image"
