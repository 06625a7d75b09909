"""``minstret replay``: play a trace back, and compare the run with it; or go on live where it ends."""

from __future__ import annotations

from typing import Any

import click

from minstret.devices.board.traced import Replay
from minstret.emu import units
from minstret.emu.cli import exits
from minstret.emu.cli.golive import check_no_live_options, go_live, live_options
from minstret.emu.cli.invocation import how_to_look, with_devices
from minstret.emu.cli.log import LOG_FILE, log_options, wanted_log
from minstret.emu.cli.lookback import in_trace
from minstret.emu.cli.options import (
    changed_devices_option,
    counting_option,
    device_errors,
    parse_slice_insns,
    replayed_device_option,
    replayed_devices,
)
from minstret.emu.cli.outputs import check_outputs, trace_read
from minstret.emu.cli.pcap import PcapFile
from minstret.emu.cli.player import Player
from minstret.emu.cli.say import say
from minstret.emu.cli.session import check_writable, idle_ok_option
from minstret.emu.cli.slow import say_if_slow
from minstret.emu.cli.streams import as_given, claim_stdout, reads_trace
from minstret.emu.door.door import Position
from minstret.emu.errors import ConfigError
from minstret.emu.hart.shared import Counting
from minstret.emu.machine import StopReason
from minstret.emu.session import NO_LIMITS, RunLimits
from minstret.emu.trace.reader import TraceReader


@click.command(epilog="""\b
Examples:
  minstret replay run.mst
  minstret replay --to 1000000 run.mst        stop there, and say where the guest is
  minstret replay --to 5ms run.mst            stop after 5 ms of virtual time
  minstret replay --from 5M --to 6M run.mst   start at the last snapshot before 5M
  minstret replay --pcap net.pcap run.mst     write the recorded frames to a file
  minstret replay --log traps,irq run.mst     show each trap and interrupt, though nobody looked when it was recorded
  minstret replay -q --from 5M --to 6M --log exec --log-file - run.mst
                                              list the instructions
  minstret replay --live run.mst              play it, then go on as a live run
  minstret replay --live --from 5M -o more.mst run.mst
                                              go on from a snapshot, and record that

""" + exits.HELP)  # fmt: skip
@click.argument("trace")
@click.option("--to", metavar="ICOUNT|TIME", help=(
    "Stop before this instruction, or at this virtual time: 5M, 5ms. With the trace's last icount, play it to its "
    "end."))  # fmt: skip
@click.option("--from", "from_icount", metavar="ICOUNT", help="Start at the last snapshot up to this instruction.")
@click.option("--pcap", metavar="FILE", help=(
    "Write the network card's frames to FILE, stamped with virtual time; - is standard output, as for "
    "--json."))  # fmt: skip
@log_options[0]
@log_options[1]
@click.option("--slice-insns", metavar="N", help="Run at most N instructions in one go. Never visible to the guest.")
@replayed_device_option
@changed_devices_option
@counting_option
@idle_ok_option
@click.option("-q", "--quiet", is_flag=True, help=(
    "No status line and no report on standard error. Errors are told, and an expectation that was missed."
))  # fmt: skip
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback of a --device with a mistake.")
@click.option("--json", "json_path", metavar="FILE", help=(
    "Write how the replay ended, its counts and its digest to FILE; with - (standard output) the guest's console goes "
    "to standard error."))  # fmt: skip
@live_options
@reads_trace
def replay(trace: str, from_icount: str | None, to: str | None, **options: Any) -> int:
    """Play a trace back bit for bit; with --live go on from its end as a live run.

    No other file is needed (but for devices of your own, see --device), and nothing is asked of the host. TRACE may
    be -, standard input.

    At a terminal, Ctrl-C or Ctrl-A x ends the replay; all other keys are ignored.

    The exit status is the recorded one. If the replay differs from the recording, it stops with status 122 and says
    what differed, and where.

    With --live the recorded part is shown, and then the run goes on: the host decides again, and all keys go to the
    guest as with minstret run. With --from it goes on from a snapshot, and nothing is shown of what came before. The
    exit status is then that of the live run.
    """
    start, stop = _window(from_icount, to)
    if options["live"]:
        if to is not None:
            raise ConfigError("--to: does not go with --live, which goes on from the end, or with --from a snapshot")
        return go_live(trace, start, options)
    check_no_live_options(options)
    return _play(trace, start, stop, options)


def _play(trace: str, start: int | None, stop: RunLimits, options: dict[str, Any]) -> int:
    is_quiet, idle_ok, devices = options["quiet"], options["idle_ok"], options["devices"]
    log = wanted_log(options)
    _claim_outputs(
        trace, {"--json": options["json_path"], "--pcap": options["pcap"], LOG_FILE: options["log_file"]}
    )  # fmt: skip
    slice_max = None if options["slice_insns"] is None else parse_slice_insns(options["slice_insns"])
    reader = TraceReader(trace)
    player = Player(_end_of(reader, start, stop), stop=stop, is_quiet=is_quiet, idle_ok=idle_ok)
    playing = Replay(
        reader, snapshot=None if start is None else reader.last_snapshot(start), on_console=player.show,
        slice_insns_max=slice_max, counting=Counting(options["counting"]), devices=replayed_devices(devices),
        devices_may_have_changed=options["changed_devices"],
    )  # fmt: skip
    board = playing.board
    if stop.icount is not None and stop.icount < board.position.icount:
        raise ConfigError(f"--to: {stop.icount} is before icount {board.position.icount}, where this trace begins")
    if stop.virtual_ns is not None and stop.virtual_ns < board.position.virtual_ns:
        raise ConfigError(f"--to: {stop.virtual_ns} ns is before {board.position.virtual_ns} ns, where it begins")
    frames = None if options["pcap"] is None else PcapFile(options["pcap"])
    if frames is not None:
        board.on_frame = lambda frame: frames.write(board.machine.clock.now_ns(), frame)
    if not is_quiet:
        say_if_slow(options["counting"])
    with player.signals.caught(), device_errors(devices, options["verbose"]):  # until all is written
        outcome = player.play(playing, log)
        player.write_facts(board, outcome, options["json_path"])
    look_back = in_trace(
        reader, Counting(options["counting"]), replayed_devices(devices), options["changed_devices"]
    )  # fmt: skip
    player.report(board, outcome, look_back)
    status = 0 if outcome.reason is StopReason.REACHED else exits.exit_status(outcome, idle_ok)
    if status and not player.is_quiet and as_given(trace) == trace:
        say(f"minstret: {how_to_look(with_devices(trace, devices))}")
    return status


def _window(from_icount: str | None, to: str | None) -> tuple[int | None, RunLimits]:
    """The values of --from and --to."""
    stop = NO_LIMITS if to is None else _place(to)
    start = None if from_icount is None else units.parse_count(from_icount, "--from")
    if stop.icount is not None and start is not None and stop.icount < start:
        raise ConfigError(f"--to: {stop.icount} is before --from {start}")
    return start, stop


def _place(to: str) -> RunLimits:
    """What --to names: a time if its unit says so."""
    try:
        if to.strip().lower().endswith("s"):
            return RunLimits(virtual_ns=units.parse_time_ns(to, "--to"))
        return RunLimits(icount=units.parse_count(to, "--to"))
    except ConfigError:
        raise ConfigError(f"--to: expected a count such as 1000000 or 5M, or a time such as 5ms, got {to!r}") from None


def _claim_outputs(trace: str, paths: dict[str, str | None]) -> None:
    check_outputs(paths.items(), trace_read(trace))
    claim_stdout(paths)
    if (json_path := paths["--json"]) is not None:
        check_writable("--json", json_path)


def _end_of(reader: TraceReader, start: int | None, stop: RunLimits) -> Position:
    """The last position of the trace; ConfigError if ``start`` or ``stop`` lies beyond it."""
    if reader.is_of_nothing:
        raise reader.nothing_recorded()
    end = reader.reached().position
    for option, icount in (("--from", start), ("--to", stop.icount)):
        if icount is not None and icount > end.icount:
            raise ConfigError(f"{option}: {icount} is beyond icount {end.icount}, where this trace ends")
    if stop.virtual_ns is not None and stop.virtual_ns > end.virtual_ns:
        raise ConfigError(f"--to: {stop.virtual_ns} ns is beyond {end.virtual_ns} ns, where this trace ends")
    return end
