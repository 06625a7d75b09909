"""``--log``: what happens in a run, a line each, on standard error or in a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from minstret.emu.cli.console import Console
from minstret.emu.cli.say import say
from minstret.emu.cli.streams import open_output, shown_output
from minstret.emu.errors import ConfigError
from minstret.emu.text import did_you_mean

if TYPE_CHECKING:
    from minstret.devices.board.board import Board
    from minstret.emu.logs import Log, LogEntry

KINDS = ("traps", "unmapped", "irq", "exec")
"""The values of LogKind, which is not imported before there is a log."""
LOG_FILE = "--log-file"

log_options = (
    click.option("--log", metavar="WHAT[,WHAT...]", help=(
        "Write what happens to standard error, a line each, in order: traps (exceptions and interrupts), unmapped "
        "(accesses that nothing answers), irq (interrupts, and sources of the PLIC raised, lowered, claimed, "
        "completed), exec (each instruction: some tens of thousands a second). Never visible to the guest.")),
    click.option("-D", LOG_FILE, metavar="FILE", help=(
        "Write the lines of --log to FILE; - is standard output, as for --json.")),
)  # fmt: skip


class RunLog:
    """What ``--log`` asks for, and where it goes."""

    def __init__(self, kinds: frozenset[str], path: str | None) -> None:
        """Make it; ``path`` None is standard error."""
        self._kinds, self._path = kinds, path
        self._logs: list[Log] = []
        self._file: BinaryIO | None = None

    def begin(
        self, board: Board, console: Console,
        above: Callable[[Callable[[LogEntry], None], LogEntry], None] = lambda show, entry: show(entry),
    ) -> None:  # fmt: skip
        """Log what happens on ``board`` from now on.

        Args:
            console: Where the board's console is shown: where that is the place of the log too, what was sent before
                comes before, and a line of the log never in the middle of another.
            above: Has an entry shown, above what may be drawn in the last line.
        Raises:
            ConfigError: the file can't be written.
        """
        if self._file is None and self._path is not None:
            try:
                self._file = open_output(self._path)
            except OSError as error:
                raise self._error(error) from None
        shows_hart, is_shared = len(board.harts) > 1, self._is_shared()

        def write(entry: LogEntry) -> None:
            if is_shared:
                console.begin_line()
            self._write(entry.text(board.symbols, shows_hart=shows_hart))

        self._logs.append(
            board.log(**dict.fromkeys(self._kinds, True), limit=0, on_entry=lambda entry: above(write, entry))
        )

    def _is_shared(self) -> bool:
        """Whether the lines go where standard output does."""
        with suppress(OSError, ValueError, AttributeError):  # closed, or None
            fd = sys.stderr.fileno() if self._file is None else self._file.fileno()
            return os.path.sameopenfile(fd, sys.stdout.fileno())
        return False

    def _write(self, line: str) -> None:
        if self._file is None:
            say(line)
            return
        data = f"{line}\n".encode(errors="backslashreplace")
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            raise self._error(error) from None

    def _error(self, error: OSError) -> ConfigError:
        return ConfigError(f"{LOG_FILE}: can't write {shown_output(self._path or '')}: {error.strerror}")

    def close(self) -> None:
        """Log nothing more."""
        for log in self._logs:
            log.close()
        if self._file is not None:
            self._file.close()


def wanted_log(options: dict[str, Any]) -> RunLog | None:
    """The log that the options ask for, if they do.

    Raises:
        ConfigError: there is no such log.
    """
    text, path = options["log"], options["log_file"]
    if text is not None:
        return RunLog(_parse_kinds(text), path)
    if path is not None:
        raise ConfigError(f"{LOG_FILE}: goes with --log, which says what to write: --log traps,unmapped,irq")
    return None


def _parse_kinds(text: str) -> frozenset[str]:
    kinds = [kind.strip() for kind in text.split(",")]
    for kind in kinds:
        if kind not in KINDS:
            raise ConfigError(
                f"--log: expected some of {', '.join(KINDS)}, got {kind!r:.40}{did_you_mean(kind, KINDS)}"
            )
    return frozenset(kinds)
