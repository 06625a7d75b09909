"""Exit statuses of the command."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from minstret.emu.cli import INTERRUPTED, SIGNALLED

if TYPE_CHECKING:
    from minstret.emu.machine import Outcome

GUEST_MAX = 119
"""The guest's own codes up to this are passed on; larger ones become this (256 must not turn into 0)."""


class Exit(IntEnum):
    """Statuses that are not the guest's."""

    GUEST_IDLE = 120  # waits forever
    GUEST_STUCK = 121  # crash, trap loop
    DIVERGED = 122
    MAX_INSNS = 123
    TIMEOUT = 124
    OURS = 125  # an error of usage or of our own
    INTERRUPTED = INTERRUPTED


_OUTPUT_LOST = (None, 13)
"""What stops a run whose console can't be written: nothing that has a number, or SIGPIPE."""

HELP = f"""\b
Exit status:
  0-{GUEST_MAX}  the guest's own (larger ones become {GUEST_MAX}; --json has the true one)
  120    the guest waits forever; 0 with --idle-ok
  121    the guest crashed into a trap loop
  122    a replay diverged
  123    --max-insns reached, or the end of virtual time (292 years)
  124    --timeout reached
  125    usage error, or an error of minstret's own
  128+N  ended by signal N: 130 Ctrl-C (SIGINT), 129 SIGHUP, 131 SIGQUIT, 143 SIGTERM"""


def exit_status(outcome: Outcome, idle_ok: bool = False) -> int:
    """The process's exit status for the end of a run; with ``idle_ok`` to wait forever is a good end."""
    from minstret.emu.machine import StopReason  # help texts need no machine

    if outcome.reason is StopReason.FINISHED:
        return min(outcome.exit_code or 0, GUEST_MAX)
    if outcome.reason is StopReason.TERMINATED:
        return Exit.OURS if outcome.signal in _OUTPUT_LOST else SIGNALLED + (outcome.signal or 0)
    return {
        StopReason.WAITS_FOREVER: 0 if idle_ok else Exit.GUEST_IDLE,
        StopReason.REACHED: Exit.MAX_INSNS,
        StopReason.MAX_INSNS: Exit.MAX_INSNS,
        StopReason.END_OF_TIME: Exit.MAX_INSNS,
        StopReason.TIMEOUT: Exit.TIMEOUT,
        StopReason.INTERRUPTED: Exit.INTERRUPTED,
    }.get(outcome.reason, Exit.GUEST_STUCK)
