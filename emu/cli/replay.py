"""``minstret replay``: play a trace back, and compare the run with it."""

from __future__ import annotations

import click

from minstret.devices.board.traced import Replay
from minstret.emu import host, units
from minstret.emu.cli import exits
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
from minstret.emu.cli.say import say
from minstret.emu.cli.session import (
    Console,
    Stopwatch,
    check_writable,
    end_facts,
    idle_ok_option,
    show_end,
    write_json,
)
from minstret.emu.cli.slow import say_if_slow
from minstret.emu.cli.streams import as_given, claim_stdout, reads_trace
from minstret.emu.door.door import Position
from minstret.emu.errors import ConfigError
from minstret.emu.hart.shared import Counting
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.trace.reader import TraceReader

_KILLED = "the trace ends here: its recording was killed"


@click.command(epilog="""\b
Examples:
  minstret replay run.mst
  minstret replay --to 1000000 run.mst        stop there, and say where the guest is
  minstret replay --from 5M --to 6M run.mst   start at the last snapshot before 5M
  minstret replay --pcap net.pcap run.mst     write the recorded frames to a file

""" + exits.HELP)  # fmt: skip
@click.argument("trace")
@click.option("--to", "to_icount", metavar="ICOUNT", help=(
    "Stop before this instruction. With the trace's last icount, play it to its end."))  # fmt: skip
@click.option("--from", "from_icount", metavar="ICOUNT", help="Start at the last snapshot up to this instruction.")
@click.option("--pcap", metavar="FILE", help=(
    "Write the network card's frames to FILE, stamped with virtual time; - is standard output, as for "
    "--json."))  # fmt: skip
@click.option("--slice-insns", metavar="N", help="Run at most N instructions in one go. Never visible to the guest.")
@replayed_device_option
@changed_devices_option
@counting_option
@idle_ok_option
@click.option("-q", "--quiet", is_flag=True, help="No status line and no report on standard error.")
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback of a --device with a mistake.")
@click.option("--json", "json_path", metavar="FILE", help=(
    "Write how the replay ended, its counts and its digest to FILE; with - (standard output) the guest's console goes "
    "to standard error."))  # fmt: skip
@reads_trace
def replay(
    trace: str, to_icount: str | None, from_icount: str | None, pcap: str | None, slice_insns: str | None,
    devices: tuple[str, ...], changed_devices: bool, counting: str, idle_ok: bool, quiet: bool, verbose: bool,
    json_path: str | None,
) -> int:  # fmt: skip
    """Play a trace back bit for bit.

    No other file is needed (but for devices of your own, see --device), and nothing is asked of the host. TRACE may
    be -, standard input.

    At a terminal, Ctrl-C or Ctrl-A x ends the replay; all other keys are ignored.

    The exit status is the recorded one. If the replay differs from the recording, it stops with status 122 and says
    what differed, and where.
    """
    start, stop = _window(from_icount, to_icount)
    _claim_outputs(trace, json_path, pcap)
    slice_max = None if slice_insns is None else parse_slice_insns(slice_insns)
    signals = host.Signals(lambda: playing.interrupt())
    console = Console(host.Output(signals))

    def show(data: bytes) -> None:
        progress.hide()
        console.write(data)
        if console.failed is not None:
            playing.interrupt()

    progress = host.Progress(
        lambda: _how_far(playing.board.position, end, stop) if console.is_at_line_start else "", is_wanted=not quiet
    )
    reader = TraceReader(trace)
    end = _end_of(reader, start, stop)
    playing = Replay(
        reader, snapshot=None if start is None else snapshot_before(reader, start), on_console=show,
        slice_insns_max=slice_max, counting=Counting(counting), devices=replayed_devices(devices),
        devices_may_have_changed=changed_devices,
    )  # fmt: skip
    board = playing.board
    if stop is not None and stop < board.position.icount:
        raise ConfigError(f"--to: {stop} is before icount {board.position.icount}, where this trace begins")
    frames = None if pcap is None else PcapFile(pcap)
    if frames is not None:
        board.on_frame = lambda frame: frames.write(board.machine.clock.now_ns(), frame)
    if not quiet:
        say_if_slow(counting)
        if playing.left_out is not None:
            say(f"minstret: {as_given(playing.left_out)}")
    stopwatch, began_at = Stopwatch(), board.position.icount
    try:
        with (
            device_errors(devices, verbose), signals.caught(), host.keys_dropped(), progress.shown(),
            console.line_ended_for_errors(quiet),
        ):  # fmt: skip
            outcome = playing.run(icount=stop)
    finally:
        console.output.is_ending = signals.number is not None
        console.flush()
    outcome = _as_asked(outcome, signals.number, console)
    figures, digest = stopwatch.figures(), board.digest()
    output_error = console.failed if outcome.signal != host.HANG_UP else None
    if not quiet and output_error is None:
        console.end_line()
        text = _KILLED if outcome.reason is StopReason.REACHED and stop is None else None
        show_end(board, outcome, figures, digest, is_repeatable=False, from_icount=began_at, text=text, idle_ok=idle_ok)
    if json_path is not None:
        write_json(json_path, end_facts(board, outcome, figures, digest))
    if output_error is not None:
        raise output_error
    return 0 if outcome.reason is StopReason.REACHED else exits.exit_status(outcome, idle_ok)


def _window(from_icount: str | None, to_icount: str | None) -> tuple[int | None, int | None]:
    """The values of --from and --to."""
    stop = None if to_icount is None else units.parse_count(to_icount, "--to")
    start = None if from_icount is None else units.parse_count(from_icount, "--from")
    if stop is not None and start is not None and stop < start:
        raise ConfigError(f"--to: {stop} is before --from {start}")
    return start, stop


def _claim_outputs(trace: str, json_path: str | None, pcap: str | None) -> None:
    check_outputs([("--json", json_path), ("--pcap", pcap)], trace_read(trace))
    claim_stdout({"--json": json_path, "--pcap": pcap})
    if json_path is not None:
        check_writable("--json", json_path)


def _end_of(reader: TraceReader, start: int | None, stop: int | None) -> Position:
    """The last position of the trace; ConfigError if ``start`` or ``stop`` lies beyond it."""
    if reader.is_of_nothing:
        raise reader.nothing_recorded()
    end = reader.reached().position
    for option, icount in (("--from", start), ("--to", stop)):
        if icount is not None and icount > end.icount:
            raise ConfigError(f"{option}: {icount} is beyond icount {end.icount}, where this trace ends")
    return end


def _how_far(position: Position, end: Position, stop: int | None) -> str:
    """How much of the trace has been played, in words."""
    if stop is not None and stop < end.icount:
        done, whole = position.icount, stop
    else:  # a guest that waits executes no instructions, but its time passes
        done, whole = position.virtual_ns, end.virtual_ns
    return f"replaying: {100 * done // max(1, whole)} %, {position.icount:,} instructions"


def _as_asked(outcome: Outcome, number: int | None, console: Console) -> Outcome:
    """The outcome; for a replay that was interrupted, with the signal or the error that did it."""
    if outcome.reason is not StopReason.INTERRUPTED:
        return outcome
    if number is None and console.failed is not None:
        number = host.failed_by(console.failed)
    if number is None or number == host.INTERRUPT:
        return outcome
    return Outcome(StopReason.TERMINATED, signal=number or None)


def snapshot_before(reader: TraceReader, icount: int) -> int | None:
    """The last snapshot up to ``icount``, None for power-on."""
    numbers = [number for number, position in reader.snapshot_positions() if position.icount <= icount]
    return numbers[-1] if numbers else None
