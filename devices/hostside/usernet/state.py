"""The whole state of the user network, in one dataclass."""

from __future__ import annotations

from dataclasses import dataclass, field

from minstret.devices.hostside.usernet.dhcp import DhcpState
from minstret.devices.hostside.usernet.link import LinkState
from minstret.devices.hostside.usernet.ndp import NdpState
from minstret.devices.hostside.usernet.neighbours import NeighbourState
from minstret.devices.hostside.usernet.tftp import TftpState


@dataclass(slots=True)
class Counters:
    """What happened to the frames. The guest can't see these counters."""

    received: int = 0
    delivered: int = 0
    malformed: int = 0
    """Dropped: violates its protocol, or is too long."""
    ignored: int = 0
    """Dropped: correct, but no service here takes it."""
    fragments: int = 0
    """Dropped: fragments of IPv4 packets are not reassembled."""
    unresolved: int = 0
    """Dropped: the MAC address to send to is not known."""
    overrun: int = 0
    """Dropped: too many frames are on their way to the guest."""


@dataclass(slots=True)
class UserNetState:
    """``ident`` is the identification of the next IPv4 packet."""

    ident: int = 0
    link: LinkState = field(default_factory=LinkState)
    arp: NeighbourState = field(default_factory=NeighbourState)
    dhcp: DhcpState = field(default_factory=DhcpState)
    tftp: TftpState = field(default_factory=TftpState)
    ndp: NdpState = field(default_factory=NdpState)
    neighbours6: NeighbourState = field(default_factory=NeighbourState)
    counters: Counters = field(default_factory=Counters)
