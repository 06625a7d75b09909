"""The user network: takes frames from the guest, and sends frames to the guest after the link's delay.

Owns the state, the link and the timers. All timers are EXTERNAL, because the network is on the host side.
"""

from __future__ import annotations

from collections.abc import Callable

from minstret.devices.hostside.usernet import link
from minstret.devices.hostside.usernet.config import Files, UserNetConfig
from minstret.devices.hostside.usernet.ipv4 import Ipv4Side
from minstret.devices.hostside.usernet.ipv6 import Ipv6Side
from minstret.devices.hostside.usernet.packets import EtherType, Frame, Malformed, parse_frame
from minstret.devices.hostside.usernet.state import UserNetState
from minstret.devices.hostside.usernet.wire import keep_armed
from minstret.emu.timers import Timer, TimerAttribute, TimerList

__all__ = ["Files", "UserNetConfig", "UserNetState", "UserNetwork"]


class UserNetwork:
    """The network at the other end of the guest's cable.

    Loading ``state`` arms no timer: the timer list restores its timers itself.
    """

    def __init__(
        self,
        name: str,
        config: UserNetConfig,
        timers: TimerList,
        deliver: Callable[[bytes], None],
        files: Files | None = None,
    ) -> None:
        """Make a network that knows no guest yet.

        Args:
            name: Prefix of its timers' names.
            config: See UserNetConfig.
            timers: The timer list of the virtual clock.
            deliver: Called from a timer with each frame that arrives at the guest's end of the cable.
            files: The files that TFTP serves; None refuses every request.
        """
        self.name = name
        self.state = UserNetState()
        self._timers = timers
        self._deliver = deliver
        self._link_delay_ns = config.link_delay_ns
        self._link_timer = self.timer("link", self._on_link)
        self._ipv4 = Ipv4Side(self, config, files)
        self._ipv6 = Ipv6Side(self, config, name)

    def receive(self, frame: bytes) -> None:
        """Take a frame that the guest sends now. Never raises, whatever the frame contains."""
        counters = self.state.counters
        counters.received += 1
        try:
            parsed = parse_frame(frame)
            if parsed is None:
                counters.ignored += 1
            else:
                self._dispatch(parsed)
        except Malformed:
            counters.malformed += 1

    def _dispatch(self, frame: Frame) -> None:
        if frame.type == EtherType.ARP:
            self._ipv4.receive_arp(frame)
        elif frame.type == EtherType.IPV4:
            self._ipv4.receive(frame)
        else:
            self._ipv6.receive(frame)

    def now_ns(self) -> int:
        return self._timers.clock.now_ns()

    def timer(self, service: str, callback: Callable[[int], None]) -> Timer:
        """A new timer, ``NAME.service``, on the virtual clock."""
        return Timer(f"{self.name}.{service}", self._timers, callback, TimerAttribute.EXTERNAL)

    def send(self, frame: bytes) -> None:
        """Put ``frame`` on the link to the guest."""
        if not link.send(self.state.link, frame, self.now_ns() + self._link_delay_ns):
            self.state.counters.overrun += 1
        keep_armed(self._link_timer, link.deadline_ns(self.state.link))

    def _on_link(self, late_ns: int) -> None:
        for frame in link.arrived(self.state.link, self.now_ns()):
            self.state.counters.delivered += 1
            self._deliver(frame)
        keep_armed(self._link_timer, link.deadline_ns(self.state.link))
