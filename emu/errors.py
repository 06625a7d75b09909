"""Errors. The text of each is one line: who, where, what was expected, what came instead, what to do.

Every error that a user may see is one of these; the command line prints it without a traceback.
"""

from __future__ import annotations


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
