"""All that the user network remembers, in one dataclass."""

from __future__ import annotations

from dataclasses import dataclass, field

from minstret.devices.outside.usernet.dhcp import DhcpState
from minstret.devices.outside.usernet.link import LinkState
from minstret.devices.outside.usernet.ndp import NdpState
from minstret.devices.outside.usernet.neighbours import NeighbourState
from minstret.devices.outside.usernet.tftp import TftpState


@dataclass(slots=True)
class Counters:
    """What became of the frames. No guest sees these."""

    received: int = 0
    delivered: int = 0
    malformed: int = 0
    """Dropped: not as its protocol says, or longer than a frame may be."""
    ignored: int = 0
    """Dropped: in order, but for nobody here."""
    fragments: int = 0
    """Dropped: fragments of IPv4 packets are not put together."""
    unresolved: int = 0
    """Dropped: nobody said to which MAC address to send the answer."""
    overrun: int = 0
    """Dropped: too many frames to the guest under way."""


@dataclass(slots=True)
class UserNetState:
    """``ident``: of the next IPv4 packet."""

    ident: int = 0
    link: LinkState = field(default_factory=LinkState)
    arp: NeighbourState = field(default_factory=NeighbourState)
    dhcp: DhcpState = field(default_factory=DhcpState)
    tftp: TftpState = field(default_factory=TftpState)
    ndp: NdpState = field(default_factory=NdpState)
    neighbours6: NeighbourState = field(default_factory=NeighbourState)
    counters: Counters = field(default_factory=Counters)
