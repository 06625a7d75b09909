"""The command ``minstret``: the only place that prints."""

from __future__ import annotations

import gc
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING

from minstret.emu.errors import Terminated

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

INTERRUPTED = 130
"""The exit status after Ctrl-C."""
SIGNALLED = 128
"""The exit status after a signal is this plus the signal's number."""
_OURS = 125
"""The same as Exit.OURS, which is not imported here: the import itself may be what fails."""


def main(arguments: list[str] | None = None) -> None:
    """Entry point: run the command and exit with its status.

    While it is imported there is no garbage, and at the end there is nobody for whom to collect it: a fifth of a start.
    Where the command is not all that its process is for, there may be.
    """
    is_whole_process = arguments is None
    if is_whole_process:
        gc.disable()
    status = _status_of(arguments)
    if is_whole_process:
        gc.freeze()
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in (*_TERMINATING, signal.SIGINT):  # the command has ended: signals need no handling any more
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
    sys.exit(status)


def _notice_lost(lost: UnraisableHookArgs) -> None:
    """Called with an exception that Python drops, such as one raised while an object is deleted.

    If a signal raised it there, the signal is sent again.
    """
    if isinstance(lost.exc_value, Terminated):
        _send_soon(lost.exc_value.number)
    elif isinstance(lost.exc_value, KeyboardInterrupt):
        _send_soon(signal.SIGINT)
    else:
        sys.__unraisablehook__(lost)


_SOON_S = 0.001


def _send_soon(number: int) -> None:
    def send(alarm: int, frame: FrameType | None) -> None:
        if frame is not None and frame.f_code in (_notice_lost.__code__, _send_soon.__code__):  # it would be dropped
            signal.setitimer(signal.ITIMER_REAL, _SOON_S)
        else:
            os.kill(os.getpid(), number)

    signal.signal(signal.SIGALRM, send)
    signal.setitimer(signal.ITIMER_REAL, _SOON_S)


_TERMINATING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def _status_of(arguments: list[str] | None) -> int:
    try:
        sys.unraisablehook = _notice_lost
        for number in _TERMINATING:
            if signal.getsignal(number) == signal.SIG_DFL:  # a signal that our parent ignores stays ignored
                signal.signal(number, _terminate)
        from minstret.emu.cli.group import run_command  # imported here, so that Ctrl-C meanwhile is handled

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
    """Report an unexpected error, a bug of ours. Writing to standard error may fail as well."""
    try:
        if isinstance(error, ImportError | OSError | MemoryError):  # typical of a system that is out of resources
            print(f"minstret: the system refused what is needed: {error or type(error).__name__}", file=sys.stderr)
        else:
            import traceback

            traceback.print_exception(error)
            print("minstret: this is a bug in minstret: please report it with the lines above", file=sys.stderr)
    except Exception:
        sys.stderr = None  # otherwise Python flushes it at exit, fails and changes the exit status
    return _OURS
