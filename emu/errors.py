"""Errors. The text of each is one line: who, where, what was expected, what came instead, what to do.

Every error that a user may see is one of these; the command line prints it without a traceback. They are imported from
``minstret``, and tracebacks call them by that name: ``minstret.ConfigError``.
"""

from __future__ import annotations

from typing import Any


class MinstretError(Exception):
    """The base of all errors that are reported to the user in one line."""


class ConfigError(MinstretError):
    """The user asked for something impossible: a wrong option, a missing or unusable file."""


class HostError(MinstretError):
    """The host can't run minstret: no memory, or a Unicorn other than the supported one."""


class TraceError(MinstretError):
    """A trace can't be written, read or replayed here."""


class DivergenceError(MinstretError):
    """A replay differs from the recording: who, where, expected, got, how to look closer."""


class ExpectationError(MinstretError, AssertionError):
    """The guest did not do what a test expects of it.

    Attributes:
        tail: What the guest has sent.
        position: Where the run is.
        pc, symbol: Where the hart that ran last is, and the name of that.
        outcome: How the run stopped.
    """

    def __init__(
        self, text: str, *, tail: str = "", position: Any = None, pc: int = 0, symbol: str = "", outcome: Any = None
    ) -> None:
        """The text is one line."""
        super().__init__(text)
        self.tail, self.position, self.pc, self.symbol, self.outcome = tail, position, pc, symbol, outcome


class TimelineError(MinstretError):
    """Something can't be done where a timeline is: what, and what to do first."""


class DeviceError(MinstretError):
    """A user's device has a mistake: which, what it did, where, and what it raised. ``__cause__`` is that, if any."""


class Terminated(BaseException):
    """A signal asks the process to end. Like KeyboardInterrupt, only the command itself catches it."""

    def __init__(self, number: int) -> None:
        """For the signal with this ``number``."""
        super().__init__(number)
        self.number = number


class GuestFault(Exception):
    """A fault of the guest, which becomes a trap. Never reaches the user as an exception."""


class AccessFault(GuestFault):
    """Nothing answers at a physical address. Becomes an access fault in the guest."""


for _error in (
    MinstretError, ConfigError, HostError, TraceError, DivergenceError, ExpectationError, TimelineError, DeviceError,
    AccessFault,
):  # fmt: skip
    _error.__module__ = "minstret"
