"""The table of MAC addresses by IP address, and the packets that wait for one; used for ARP and for NDP.

An entry is kept for a fixed time after it was last confirmed; a packet waits for a short time. Both lists are bounded.
Source: RFC 826; RFC 1122, section 2.3.2.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from minstret.devices.hostside.usernet.addresses import is_unicast_mac
from minstret.emu.units import NS_PER_S

ENTRIES_MAX = 64
"""One more replaces the entry that was confirmed longest ago."""
ENTRY_LIFE_NS = 20 * 60 * NS_PER_S
WAITING_MAX = 16
"""Packets that may wait; further ones are dropped."""
WAIT_NS = NS_PER_S
"""How long a packet waits, as in libslirp."""


@dataclass(slots=True)
class Neighbour:
    address: bytes
    mac: bytes
    expire_ns: int


@dataclass(slots=True)
class WaitingPacket:
    """An IP packet for ``address``, whose MAC address has been asked for."""

    address: bytes
    packet: bytes
    expire_ns: int


@dataclass(slots=True)
class NeighbourState:
    """Both lists are in the order in which they expire."""

    known: list[Neighbour] = field(default_factory=list)
    waiting: list[WaitingPacket] = field(default_factory=list)


def mac_for(state: NeighbourState, address: bytes) -> bytes | None:
    return next((entry.mac for entry in state.known if entry.address == address), None)


def learn(state: NeighbourState, address: bytes, mac: bytes, now_ns: int) -> list[bytes]:
    """Note that ``address`` has ``mac``. Returns the packets that waited for it, which are removed from the list."""
    if not is_unicast_mac(mac):
        return []
    others = [entry for entry in state.known if entry.address != address]
    state.known = [*others[-(ENTRIES_MAX - 1) :], Neighbour(address, mac, now_ns + ENTRY_LIFE_NS)]
    ready = [waiting.packet for waiting in state.waiting if waiting.address == address]
    state.waiting = [waiting for waiting in state.waiting if waiting.address != address]
    return ready


def is_asked(state: NeighbourState, address: bytes) -> bool:
    """Whether packets wait for the MAC address of ``address`` already."""
    return any(waiting.address == address for waiting in state.waiting)


def wait(state: NeighbourState, address: bytes, packet: bytes, now_ns: int) -> bool:
    """Let ``packet`` wait for the MAC address of ``address``; False if it was dropped."""
    if len(state.waiting) >= WAITING_MAX:
        return False
    state.waiting.append(WaitingPacket(address, packet, now_ns + WAIT_NS))
    return True


def expire(state: NeighbourState, now_ns: int) -> int:
    """Remove what is too old. Returns the number of packets whose wait ended without an answer."""
    before = len(state.waiting)
    state.known = [entry for entry in state.known if entry.expire_ns > now_ns]
    state.waiting = [waiting for waiting in state.waiting if waiting.expire_ns > now_ns]
    return before - len(state.waiting)


def deadline_ns(state: NeighbourState) -> int | None:
    """When ``expire`` has something to do; None for never."""
    known = [entry.expire_ns for entry in state.known[:1]]
    waiting = [packet.expire_ns for packet in state.waiting[:1]]
    return min(known + waiting, default=None)
