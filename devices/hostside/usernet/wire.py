"""What IPv4 and IPv6 share: the link to the guest, the time, the timers and the state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from minstret.devices.hostside.usernet.state import UserNetState
from minstret.emu.timers import Timer


class Wire(Protocol):
    """What IPv4 and IPv6 need from the network that they are part of."""

    state: UserNetState

    def now_ns(self) -> int: ...

    def send(self, frame: bytes) -> None:
        """Put ``frame`` on the link to the guest."""
        ...

    def timer(self, service: str, callback: Callable[[int], None]) -> Timer:
        """A new timer on the virtual clock; ``callback`` is told how late it is, ns."""
        ...


def keep_armed(timer: Timer, deadline_ns: int | None) -> None:
    """Arm ``timer`` for ``deadline_ns``, the earliest deadline of its service; cancel it if that is None."""
    if deadline_ns is None:
        timer.cancel()
    elif timer.expire_ns != deadline_ns:
        timer.arm(deadline_ns)
