"""What can go wrong, told in one line: who, where, expected, got, what to do.

Every error a user may see is one of these; the command line prints it without a traceback.
"""

from __future__ import annotations


class MinstretError(Exception):
    """The base of all errors that are told to the user in one line."""


class ConfigError(MinstretError):
    """The user asked for something that cannot be: a bad option, a missing or unfit file."""


class HostError(MinstretError):
    """The machine we run on cannot do it: another Unicorn than the one measured, no memory."""


class TraceError(MinstretError):
    """A trace that can't be written, read, or replayed here."""


class DivergenceError(MinstretError):
    """A replay came to something else than the recording: who, where, expected, got, how to look closer."""


class DeviceError(MinstretError):
    """A user's device has a mistake: which, what it did, where, and what it raised. ``__cause__`` is that, if any."""


class Terminated(BaseException):
    """A signal asks the process to end. Like KeyboardInterrupt it is nobody's to catch but the command's."""

    def __init__(self, number: int) -> None:
        """Make it for a signal's ``number``."""
        super().__init__(number)
        self.number = number


class GuestFault(Exception):
    """The guest did it: becomes a trap. Never reaches the user as an exception."""


class AccessFault(GuestFault):
    """Nothing answers at a physical address: becomes an access fault of the guest."""
