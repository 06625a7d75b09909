"""Exit statuses of the command."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from minstret.emu.cli import INTERRUPTED, SIGNALLED

if TYPE_CHECKING:
    from minstret.emu.machine import Outcome

GUEST_MAX = 119
"""Exit codes of the guest up to this are passed on; larger ones become this (256 would turn into 0)."""


class Exit(IntEnum):
    """Statuses that are not the guest's."""

    GUEST_IDLE = 120  # waits forever
    GUEST_STUCK = 121  # trap loop
    DIVERGED = 122
    MAX_INSNS = 123
    TIMEOUT = 124
    OURS = 125  # a usage error, or one of minstret itself
    EXPECTATION = 126  # not said, or said though it must not be
    INTERRUPTED = INTERRUPTED


_OUTPUT_LOST = (None, 13)
"""Signals of a run that stopped because the console can't be written: none, or SIGPIPE."""

HELP = f"""\b
Exit status:
  0-{GUEST_MAX}  the guest's exit code (a larger one becomes {GUEST_MAX}; --json has it exactly)
  120    the guest waits forever; with --idle-ok this is status 0
  121    the guest crashed: it is in a trap loop
  122    a replay differs from its recording
  123    --max-insns or --max-time reached, or the end of virtual time (292 years)
  124    --timeout reached
  125    usage error, unusable file, or an error in minstret itself
  126    the guest has not said what was expected (--until, EXPECT in a script), or has
         said what it must not say (--fail-on)
  128+N  ended by signal N: 130 Ctrl-C (SIGINT), 129 SIGHUP, 131 SIGQUIT, 143 SIGTERM"""


def exit_status(outcome: Outcome, idle_ok: bool = False) -> int:
    """The process's exit status for the end of a run. With ``idle_ok`` a guest that waits forever gives 0."""
    from minstret.emu.machine import StopReason  # imported here, so that --help starts faster

    if outcome.reason is StopReason.FINISHED:
        return min(outcome.exit_code or 0, GUEST_MAX)
    if outcome.reason is StopReason.TERMINATED:
        return Exit.OURS if outcome.signal in _OUTPUT_LOST else SIGNALLED + (outcome.signal or 0)
    return {
        StopReason.WAITS_FOREVER: 0 if idle_ok else Exit.GUEST_IDLE,
        StopReason.REACHED: Exit.MAX_INSNS,
        StopReason.MAX_INSNS: Exit.MAX_INSNS,
        StopReason.MAX_TIME: Exit.MAX_INSNS,
        StopReason.UNTIL: 0,
        StopReason.FAIL_ON: Exit.EXPECTATION,
        StopReason.EXPECTATION_MISSED: Exit.EXPECTATION,
        StopReason.BREAKPOINT: Exit.MAX_INSNS,
        StopReason.WATCH: Exit.MAX_INSNS,
        StopReason.END_OF_TIME: Exit.MAX_INSNS,
        StopReason.TIMEOUT: Exit.TIMEOUT,
        StopReason.INTERRUPTED: Exit.INTERRUPTED,
    }.get(outcome.reason, Exit.GUEST_STUCK)
