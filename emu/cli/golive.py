"""``minstret replay --live``: play a trace to its end, or go to a snapshot, and go on from there as a live run."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from minstret.devices.board.board import Setup
from minstret.devices.board.golive import GoingLive, setup_to_go_on
from minstret.emu import host
from minstret.emu.cli import exits, lookback
from minstret.emu.cli.expectations import NO_EXPECTATIONS
from minstret.emu.cli.options import device_errors, parse_slice_insns, replayed_devices
from minstret.emu.cli.outputs import Named, trace_read, trace_written
from minstret.emu.cli.player import Player
from minstret.emu.cli.record import say_recorded
from minstret.emu.cli.session import HostedRun
from minstret.emu.cli.streams import came_from_stdin, is_stream
from minstret.emu.door.door import Position
from minstret.emu.errors import ConfigError
from minstret.emu.hart.shared import Counting
from minstret.emu.machine import Outcome
from minstret.emu.part import takes_pieces
from minstret.emu.report import LookBack
from minstret.emu.session import Session
from minstret.emu.trace.reader import TraceReader

_LIVE_OPTIONS = {
    "output": "-o", "force": "-f", "max_insns": "--max-insns", "timeout": "--timeout", "ctrl_c": "--ctrl-c",
    "no_input": "--no-input", "tftp": "--tftp", "semihosting": "--semihosting",
}  # fmt: skip

_NO_GDB = {"gdb": None, "gdb_here": False, "wait": False, "allow_remote": False, "history": None}


def live_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--live``, and what goes with it, to a command."""
    options = (
        click.option("--live", is_flag=True, help=(
            "Go on from the trace's end as a live run, with the recorded network, keys and timers; with --from go on "
            "from that snapshot.")),
        click.option("-o", "--output", metavar="FILE", help=(
            "With --live: record the live part into a new trace, which begins with a snapshot.")),
        click.option("-f", "--force", is_flag=True, help="With -o: overwrite an existing file."),
        click.option("--max-insns", metavar="N", help=(
            "With --live: stop at instruction N, counted from power-on (exit status 123).")),
        click.option("--timeout", type=float, metavar="SECONDS", help=(
            "With --live: stop after this much host time of the live part (exit status 124).")),
        click.option("--ctrl-c", type=click.Choice(("guest", "stop")), help=(
            "With --live, at a terminal: whether Ctrl-C and Ctrl-Z go to the guest (the default), or stop the run.")),
        click.option("--no-input", is_flag=True, help="With --live: don't read standard input."),
        click.option("--tftp", metavar="DIR", help=(
            "With --live: the folder of the TFTP server. No trace contains it.")),
        click.option("--semihosting", metavar="DIR", help=(
            "With --live: the folder for the firmware's files, if it was recorded with one. No trace contains it.")),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def check_no_live_options(options: dict[str, Any]) -> None:
    """Raise ConfigError where there is one of those that only ``--live`` has a use for."""
    for name, option in _LIVE_OPTIONS.items():
        if options[name] not in (None, False):
            raise ConfigError(f"{option}: goes with --live; a replay takes everything from the trace")


class HostedLive(HostedRun):
    """A live run that begins in a trace, at this process's terminal."""

    going: GoingLive

    def __init__(self, trace: str, start: int | None, options: dict[str, Any]) -> None:
        """Make the board of the trace and connect it to the host.

        Args:
            trace: Its path.
            start: Go on from the last snapshot up to this icount; None for the trace's end.
            options: Those of the command.
        Raises:
            ConfigError: an option is wrong; the text says which.
            TraceError: the run can't go on from there.
        """
        self._options = options
        self._trace, self.path = trace, options["output"]
        self._reader = TraceReader(trace)
        self._snapshot = None if start is None else _snapshot_at(self._reader, start)
        self._end = self._reader.reached().position
        self._player = Player(self._end, is_quiet=options["quiet"], idle_ok=options["idle_ok"])
        self._is_live = False
        super().__init__(_NO_GDB | NO_EXPECTATIONS | options | {"ctrl_c": options["ctrl_c"] or "guest"})
        begins_at = self._end if self._snapshot is None else _position(self._reader, self._snapshot)
        limit = self._limits.icount
        if limit is not None and limit < begins_at.icount:
            raise ConfigError(f"--max-insns: {limit} is before icount {begins_at.icount}, where it goes live")

    def read(self, options: dict[str, Any]) -> list[Named]:
        return [*trace_read(self._trace)]

    def written(self) -> tuple[Named, ...]:
        return () if self.path is None else trace_written(self.path)

    def file_from_stdin(self, options: dict[str, Any]) -> str | None:
        return "TRACE" if came_from_stdin(self._trace) else None

    def make_setup(self, options: dict[str, Any]) -> Setup:
        slice_insns = options["slice_insns"]
        setup = setup_to_go_on(
            self._reader, files=_tftp_folder(options["tftp"]), sleep=self.source.is_terminal,
            slice_insns_max=None if slice_insns is None else parse_slice_insns(slice_insns),
            counting=Counting(options["counting"]), devices=replayed_devices(options["devices"]),
            devices_may_have_changed=options["changed_devices"],
        )  # fmt: skip
        self._own = setup.devices
        if options["semihosting"] is not None and not setup.config.host_files:
            raise ConfigError("--semihosting: the run was recorded without it, so the guest has no files")
        return setup

    def make_session(self, setup: Setup) -> Session[Any]:
        self.going = GoingLive(
            self._reader, setup, snapshot=self._snapshot, output=self.path, source=self.source, host=self.host,
            on_console=self._show, overwrite=self._options["force"], realtime_ns=host.realtime_ns,
        )  # fmt: skip
        return self.going.session

    @takes_pieces
    def _show(self, data: bytes) -> None:
        if self._is_live:
            self.console.write(data)
        else:
            self._player.show(data)

    def run(self) -> Outcome:
        """Play up to the place, and go on live."""
        replay = self.going.replay
        if replay is not None:
            if self._pcap is not None:
                replay.board.on_frame = self._capture_replayed
            with self._player.signals.caught():
                outcome = self._player.play(replay, self._log)
                if self._player.was_interrupted:
                    self._player.write_facts(replay.board, outcome, self._json_path)
            if self._player.was_interrupted:
                self._player.report(replay.board, outcome, self._in_trace(self._reader))
                return outcome
            self.console.last_byte = self._player.console.last_byte
        return super().run()

    def begin(self) -> None:
        self.going.begin()
        self._is_live = True
        self._from_icount = self.board.position.icount
        self._tell_what_is_missing()
        super().begin()

    def look_back(self) -> LookBack:
        return lookback.nothing if self.path is None else self._in_trace(self.path)

    def _in_trace(self, trace: str | TraceReader) -> LookBack:
        return lookback.in_trace(trace, Counting(self._counting), self._own, may_have_changed=True)  # checked before

    def _capture_replayed(self, frame: bytes) -> None:
        assert self._pcap is not None
        assert self.going.replay is not None
        self._pcap.write(self.going.replay.board.machine.clock.now_ns(), frame)

    def _tell_what_is_missing(self) -> None:
        """Say where the live part begins, and which things of the host's, that no trace has, it does without."""
        if not self._is_quiet:
            self.console.end_line()
        self.say(f"live from instruction {self._from_icount:,}")
        if self._reader.meta.get("outside", {}).get("tftp") and self._options["tftp"] is None:
            self.say("the recorded TFTP server had a folder, which is not in the trace; --tftp DIR gives it one")
        if self.board.config.host_files and self._options["semihosting"] is None:
            self.say("the firmware's files are not in the trace; --semihosting DIR gives it a folder")
        if left := self.going.script_lines_left:
            lines = "1 line" if left == 1 else f"{left} lines"
            self.say(f"not played, as it is not in the trace: {lines} of the recorded --input-script or --keys")


def _snapshot_at(reader: TraceReader, icount: int) -> int:
    """The last snapshot up to ``icount``."""
    end = reader.reached().position
    if icount > end.icount:
        raise ConfigError(f"--from: {icount} is beyond icount {end.icount}, where this trace ends")
    found = reader.last_snapshot(icount)
    if found is None:
        first = next((position.icount for _, position in reader.snapshot_positions()), None)
        where = "it has none" if first is None else f"the first one is at {first}"
        raise ConfigError(f"--from: there is no snapshot up to {icount} in {reader.path}; {where}")
    return found


def _position(reader: TraceReader, snapshot: int) -> Position:
    return dict(reader.snapshot_positions())[snapshot]


def _tftp_folder(path: str | None) -> host.HostFolder | None:
    if path is None:
        return None
    if not os.path.isdir(path):
        raise ConfigError(f"--tftp: {path} is not a folder")
    return host.HostFolder(path)


def go_live(trace: str, start: int | None, options: dict[str, Any]) -> int:
    """Do what ``minstret replay --live`` does; the exit status."""
    output, idle_ok = options["output"], options["idle_ok"]
    if output is not None and is_stream(output):
        raise ConfigError("-o -: a trace can't go to standard output; give a file's name")
    if options["force"] and output is None:
        raise ConfigError("-f: goes with -o")
    with device_errors(options["devices"], options["verbose"]):
        hosted = HostedLive(trace, start, options)
        with hosted.going:
            outcome = hosted.run()
    status = exits.exit_status(outcome, idle_ok)
    if output is not None and hosted.going.has_begun:
        say_recorded(hosted, output, options["devices"], status)
    return status
