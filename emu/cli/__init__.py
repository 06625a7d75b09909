"""The command ``minstret``: the only place that prints."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from minstret.emu.errors import Terminated

INTERRUPTED = 130
"""The exit status after Ctrl-C."""
SIGNALLED = 128
"""The exit status after a signal, less its number."""
_OURS = 125
"""That of an error of our own: Exit.OURS, where that could not be imported."""


def main(arguments: list[str] | None = None) -> None:
    """Entry point: run the command and exit with its status."""
    status = _status_of(arguments)
    for number in (*_TERMINATING, signal.SIGINT):  # what there is to end has ended
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
    sys.exit(status)


_TERMINATING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def _status_of(arguments: list[str] | None) -> int:
    try:
        for number in _TERMINATING:
            if signal.getsignal(number) == signal.SIG_DFL:  # not where whoever started us wants it ignored
                signal.signal(number, _terminate)
        from minstret.emu.cli.group import run_command  # takes a moment, in which Ctrl-C may come

        return run_command(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Terminated as error:
        return SIGNALLED + error.number
    except Exception as error:
        return _tell_bug(error)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated(number)


def _tell_bug(error: Exception) -> int:
    """An error that nobody foresaw, which is ours; nothing may be left to write it with."""
    try:
        if isinstance(error, ImportError | OSError | MemoryError):  # what a system without room says of anything
            print(f"minstret: this system refuses what is needed: {error or type(error).__name__}", file=sys.stderr)
        else:
            import traceback

            traceback.print_exception(error)
            print("minstret: an error of minstret's own: please report it, with the lines above", file=sys.stderr)
    except Exception:
        sys.stderr = None  # or Python fails at exit, with a status of its own
    return _OURS
