"""The command ``minstret``: the only place that prints."""

from __future__ import annotations

import signal
import sys

INTERRUPTED = 130
"""The exit status after Ctrl-C."""


def main(arguments: list[str] | None = None) -> None:
    """Entry point: run the command and exit with its status."""
    try:
        from minstret.emu.cli.group import run_command  # takes a moment, in which Ctrl-C may come

        status = run_command(arguments)
    except KeyboardInterrupt:
        status = INTERRUPTED
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what there is to end has ended
    sys.exit(status)
