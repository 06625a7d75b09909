"""``minstret record``: run firmware and write a trace of the run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from minstret.devices.board.board import Setup
from minstret.devices.board.traced import Recording, lacking
from minstret.devices.hostside.timer_models import lacking_text
from minstret.emu import units
from minstret.emu.cli import exits
from minstret.emu.cli.invocation import how_to_look, invocation, with_devices
from minstret.emu.cli.lookback import in_trace
from minstret.emu.cli.options import FIRMWARE_HELP, board_options, device_errors
from minstret.emu.cli.outputs import Named, default_trace, trace_written
from minstret.emu.cli.session import HostedRun, session_options
from minstret.emu.cli.streams import is_stream
from minstret.emu.door.recording import SNAPSHOT_EVERY_INSNS, RecordOptions
from minstret.emu.errors import ConfigError
from minstret.emu.hart.shared import Counting
from minstret.emu.report import LookBack
from minstret.emu.trace.format import SUFFIX


class HostedRecording(HostedRun):
    """A live run that is written into a trace."""

    def __init__(self, options: dict[str, Any], path: str | None, overwrite: bool, record: RecordOptions) -> None:
        self.path, self._overwrite, self._record = path or default_trace(options), overwrite, record
        super().__init__(options)

    def written(self) -> tuple[Named, ...]:
        return trace_written(self.path)

    def make_session(self, setup: Setup) -> Recording:
        self._own = setup.devices
        recording = self.make_recording(setup, self.path, options=self._record, overwrite=self._overwrite)
        if lacks := lacking(setup):
            self.say(f"this recording {lacking_text(lacks)}")
        return recording

    def look_back(self) -> LookBack:
        return in_trace(self.path, Counting(self._counting), self._own)

    @property
    def keys_can_be_typed(self) -> bool:
        return not self.board.timer_model.replays_host_side


@click.command(epilog=FIRMWARE_HELP + """
\b
Examples:
  minstret record firmware.elf                      writes firmware.mst
  minstret record -o crash.mst firmware.elf; minstret replay crash.mst
  minstret record --bios u-boot --net user,restrict=on
  minstret record --keep failure --ring 4 soak.elf  keep it only if the guest fails
  minstret record --smp 2 --chaos 7 app.elf         two harts, in an order that is drawn from 7
  minstret record --gdb :1234 app.elf               gdb may connect, and go back

""" + exits.HELP)  # fmt: skip
@board_options
@session_options
@click.option("-o", "--output", metavar="FILE", help=f"The trace file. Default: the firmware's name with {SUFFIX}.")
@click.option("-f", "--force", is_flag=True, help="Overwrite an existing file.")
@click.option("--snapshot-every", metavar="N", default=str(SNAPSHOT_EVERY_INSNS), help=(
    "Save a snapshot every N instructions; 0 for none. The default, 500M, costs almost no time."))  # fmt: skip
@click.option("--keep", type=click.Choice(("always", "failure")), default="always", show_default=True, help=(
    "failure: delete the trace if the exit status is 0."))  # fmt: skip
@click.option("--ring", type=click.IntRange(0, 1000), metavar="N", default=0, help=(
    "For long runs: keep only the last N snapshots and what follows the oldest of them."))  # fmt: skip
def record(output: str | None, force: bool, snapshot_every: str, keep: str, ring: int, **options: Any) -> int:
    """Run as minstret run does, and write a trace that minstret replay plays back.

    The exit status is that of the run. If the process is killed, the trace replays up to the last second before.
    """
    record_options = RecordOptions(units.parse_count(snapshot_every, "--snapshot-every"), ring)
    if ring and not record_options.snapshot_every_insns:
        raise ConfigError("--ring: it keeps snapshots, and --snapshot-every 0 makes none; leave out one of the two")
    if output is not None and is_stream(output):
        raise ConfigError("-o -: a trace can't go to standard output; give a file's name")
    with device_errors(options["devices"], options["verbose"]):
        hosted = HostedRecording(options, output, force, record_options)
        path = Path(hosted.path)
        with hosted.session:
            outcome = hosted.run()
    status = exits.exit_status(outcome, options["idle_ok"])
    if keep == "failure" and status == 0:
        path.unlink(missing_ok=True)
        hosted.say("exit status 0: the trace is deleted (--keep failure)")
    else:
        say_recorded(hosted, hosted.path, options["devices"], status)
    return status


def say_recorded(hosted: HostedRun, path: str, devices: Sequence[str], status: int) -> None:
    """Say how large the trace is that was written, how to replay it, and after a bad end how to look at it.

    Args:
        hosted: The run that was recorded.
        path: The trace.
        devices: As given to ``--device``.
        status: The exit status.
    """
    trace = with_devices(path, [text.partition(",")[0] for text in devices])
    size = os.path.getsize(path)
    hosted.say(f"recorded {path}, {size / 1024:,.0f} KiB; to replay it: {invocation()} replay {trace}")
    if status:
        hosted.say(how_to_look(trace))
