"""``minstret run``: boot firmware, show its console, say how it ended."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from minstret.devices.board import CONSOLE_TARGET, Board, HostClocks
from minstret.emu import host, units
from minstret.emu.cli import exits
from minstret.emu.cli.options import FIRMWARE_HELP, board_options, make_board
from minstret.emu.errors import ConfigError
from minstret.emu.ingress import Event, LiveDoor
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.report import headline

_NEWLINE = 0x0A
_STUCK = (StopReason.WAITS_FOREVER, StopReason.TRAP_LOOP)
_DIGEST_SHOWN = 16
_RETRACED_INSNS = 8
_RETRACE_RUN_MAX = 100_000_000
"""Runs up to this are repeated to tell the last instructions before they got stuck: a second at most."""


class Console:
    """The guest's console on standard output: whole lines at a time, nothing held back while it waits."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self.last_byte = _NEWLINE

    def write(self, data: bytes) -> None:
        self._pending += data
        if data.endswith(b"\n"):
            self.flush()

    def flush(self) -> None:
        if self._pending:
            self.last_byte = self._pending[-1]
            data, self._pending = bytes(self._pending), bytearray()
            if sys.stdout is None:  # closed by whoever started us
                return
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()


class ConsoleSource(host.HostSource):
    """The host's input; shows pending output whenever it is asked for input."""

    def __init__(self, console: Console, *, console_target: str | None, timeout_ns: int | None) -> None:
        super().__init__(console_target=console_target, timeout_ns=timeout_ns)
        self._console = console

    def poll(self, wants_input: bool) -> Iterable[Event]:
        self._console.flush()
        return super().poll(wants_input)

    def wait(self, timeout_ns: int | None) -> int:
        self._console.flush()
        return super().wait(timeout_ns)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run took. Times in ns."""

    wall_ns: int
    user_ns: int

    def mips(self, icount: int) -> float:
        return icount * 1e3 / self.user_ns if self.user_ns else 0.0


@click.command(epilog=FIRMWARE_HELP + """
\b
Examples:
  minstret run firmware.elf
  minstret run hello                        an image that comes along
  minstret run --max-insns 10M --json out.json -q firmware.elf
  minstret run --icount shift=3,sleep=on app.bin --cpu rv32
  minstret run --bios u-boot
  minstret run --kernel Image --initrd initrd.gz --append console=ttyS0

""" + exits.HELP)  # fmt: skip
@board_options
@click.option("--max-insns", metavar="N", help="Stop after N instructions (exit status 123): 1000000, 5M, 2G.")
@click.option("--timeout", type=float, metavar="SECONDS", help="Stop after so much host time (exit status 124).")
@click.option("--no-input", is_flag=True, help="Leave standard input alone.")
@click.option("-q", "--quiet", is_flag=True, help="No status line and no report on standard error.")
@click.option("--json", "json_path", metavar="FILE", help="Write how the run ended, its counts and digest.")
def run(
    max_insns: str | None, timeout: float | None, no_input: bool, quiet: bool, json_path: str | None,
    **options: Any,
) -> int:  # fmt: skip
    """Boot firmware, or a kernel under firmware.

    The guest's console is on standard output and takes standard input; everything else is on standard error.
    At a terminal Ctrl-A x ends the run, Ctrl-A h lists the keys; Ctrl-C ends it too.
    """
    limit = None if max_insns is None else units.parse_count(max_insns, "--max-insns")
    if timeout is not None and not 0 < timeout < 1e9:
        raise ConfigError(f"--timeout: expected a number of seconds above 0, got {timeout:g}")
    if json_path is not None:
        _check_writable(json_path)
    console = Console()
    source = ConsoleSource(
        console,
        console_target=CONSOLE_TARGET if _has_input(no_input) else None,
        timeout_ns=None if timeout is None else int(timeout * units.NS_PER_S),
    )
    door = LiveDoor(source)
    board = make_board(
        options, on_console=console.write, door=door, host=HostClocks(host.realtime_ns, host.wall_ns),
        sleep_by_default=source.is_terminal,
    )  # fmt: skip
    source.on_command = lambda key: _obey(key, board)
    wall_ns, user_ns = host.realtime_ns(), host.user_ns()
    with source.listening():
        outcome = board.run_until(icount=limit)
        console.flush()
    figures = Figures(host.realtime_ns() - wall_ns, host.user_ns() - user_ns)
    if outcome.reason is StopReason.REACHED:
        outcome = Outcome(StopReason.MAX_INSNS)
    digest = board.digest()
    if not quiet:
        if console.last_byte != _NEWLINE:
            click.echo("", err=True)
        _show_end(board, outcome, figures, digest, is_repeatable=door.events_admitted == 0)
    if json_path is not None:
        _write_json(json_path, board, outcome, figures, digest)
    return exits.exit_status(outcome)


def _obey(key: str, board: Board) -> None:
    """A key after Ctrl-A."""
    if key != "c":
        click.echo(f"\n{host.ESCAPE_HELP}", err=True, nl=False)
        return
    position, pc = board.position, board.hart.pc
    name = board.symbols.describe(pc)
    state = "waits" if board.hart.waiting else "runs"
    click.echo(
        f"\nminstret: the guest {state} at pc {pc:#x}{f' <{name}>' if name else ''},"
        f" {position.icount:,} instructions, {position.virtual_ns / 1e9:.6f} s virtual",
        err=True,
    )


def _has_input(no_input: bool) -> bool:
    if no_input or sys.stdin is None or sys.stdin.closed:
        return False
    try:
        sys.stdin.fileno()
    except (OSError, ValueError):
        return False
    return True


def _check_writable(path: str) -> None:
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path) or not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise ConfigError(f"--json: can't write {path}")


def end_text(board: Board, outcome: Outcome) -> str:
    """How a run ended, in a few words."""
    if outcome.reason is StopReason.FINISHED:
        return f"guest finished with {outcome.exit_code}"
    if outcome.reason in _STUCK:
        return headline(board.machine, outcome, board.symbols)
    return {
        StopReason.MAX_INSNS: "stopped by --max-insns",
        StopReason.TIMEOUT: "stopped by --timeout",
        StopReason.INTERRUPTED: "stopped by Ctrl-C",
    }[outcome.reason]


def _show_end(board: Board, outcome: Outcome, figures: Figures, digest: str, is_repeatable: bool) -> None:
    position = board.position
    if outcome.reason in _STUCK:
        is_short = position.icount <= _RETRACE_RUN_MAX
        recent = board.retrace(_RETRACED_INSNS) if is_repeatable and is_short else ()
        click.echo("minstret: " + board.report(outcome, recent), err=True)
    else:
        click.echo("minstret: " + end_text(board, outcome), err=True)
    click.echo(
        f"minstret: {position.icount:,} instructions, {position.virtual_ns / 1e9:.6f} s virtual,"
        f" {figures.wall_ns / 1e9:.2f} s here ({figures.mips(position.icount):.0f} MIPS),"
        f" digest {digest[:_DIGEST_SHOWN]}",
        err=True,
    )


def _write_json(path: str, board: Board, outcome: Outcome, figures: Figures, digest: str) -> None:
    position = board.position
    result = {
        "exit_code": outcome.exit_code,
        "stop_reason": outcome.reason.value,
        "icount": position.icount,
        "virtual_ns": position.virtual_ns,
        "digest": digest,
        "uart_sha256": hashlib.sha256(board.console).hexdigest(),
        "wall_s": figures.wall_ns / 1e9,
        "user_s": figures.user_ns / 1e9,
        "mips": round(figures.mips(position.icount), 1),
        "counter": board.hart.callbacks_kind,
        "message": end_text(board, outcome),
    }
    try:
        Path(path).write_text(json.dumps(result, indent=2) + "\n")
    except OSError as error:
        raise ConfigError(f"--json: {path}: {error.strerror}") from None
