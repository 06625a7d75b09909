"""IPv6 neighbour discovery: advertises our router and our addresses, and asks for a guest's MAC address.

Source: RFC 4861; the values in the advertisement are libslirp's.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from enum import IntEnum

from minstret.devices.hostside.usernet.addresses import (
    ALL_NODES6,
    LINK_HOST6,
    NETWORK6,
    OURS6,
    UNSPECIFIED6,
    is_guest6,
    is_multicast6,
    mac_of,
    solicited_node,
)
from minstret.devices.hostside.usernet.packets import (
    HOP_LIMIT_MAX,
    IcmpMessage,
    Ipv6Packet,
    Malformed,
    Protocol,
    build_icmp6,
)
from minstret.emu.units import NS_PER_S

PREFIX_VALID_S, PREFIX_PREFERRED_S = 86_400, 14_400
ROUTER_LIFETIME_S = 1_800
ADVERTISED_HOP_LIMIT = 64
INTERVAL_MIN_NS, INTERVAL_MAX_NS = 200 * NS_PER_S, 600 * NS_PER_S
"""Time between two unsolicited advertisements."""

_ON_LINK_AND_AUTONOMOUS = 0xC0
_ROUTER, _SOLICITED, _OVERRIDE = 0x8000_0000, 0x4000_0000, 0x2000_0000
_ADDRESS = slice(4, 20)
"""Position of the target address in solicitations and advertisements."""


class Type(IntEnum):
    ROUTER_SOLICITATION = 133
    ROUTER_ADVERTISEMENT = 134
    NEIGHBOUR_SOLICITATION = 135
    NEIGHBOUR_ADVERTISEMENT = 136


class Option(IntEnum):
    SOURCE_MAC = 1
    TARGET_MAC = 2
    PREFIX = 3


_FIXED_BYTES = {Type.ROUTER_SOLICITATION: 4, Type.NEIGHBOUR_SOLICITATION: 20, Type.NEIGHBOUR_ADVERTISEMENT: 20}
"""Bytes of a message between the checksum and its options."""


@dataclass(slots=True)
class NdpState:
    """``draws``: how many random intervals were drawn so far."""

    draws: int = 0


@dataclass(frozen=True, slots=True)
class Sighting:
    """A neighbour's address and MAC address."""

    address: bytes
    mac: bytes


def answer(packet: Ipv6Packet, message: IcmpMessage) -> Ipv6Packet | None:
    """The advertisement that answers ``message``, which came in ``packet``; None if it asks for nothing of ours.

    Raises:
        Malformed: RFC 4861, section 6.1 or 7.1, says to discard the message.
    """
    options = _check(packet, message)
    if message.type == Type.ROUTER_SOLICITATION:
        if packet.src == UNSPECIFIED6 and Option.SOURCE_MAC in options:
            raise Malformed("NDP: a MAC address of nobody")
        return router_advertisement()
    if message.type == Type.NEIGHBOUR_SOLICITATION and message.body[_ADDRESS] in OURS6:
        return _neighbour_advertisement(packet, message.body[_ADDRESS])
    return None


def sighting(packet: Ipv6Packet, message: IcmpMessage) -> Sighting | None:
    """The guest's address and MAC address that ``message`` tells; None if it tells none.

    ``message`` must have been checked by ``answer``.
    """
    options = _options(message)
    if message.type == Type.NEIGHBOUR_ADVERTISEMENT:
        address, mac = message.body[_ADDRESS], options.get(Option.TARGET_MAC)
    else:
        address, mac = packet.src, options.get(Option.SOURCE_MAC)
    return Sighting(address, mac[:6]) if mac is not None and is_guest6(address) else None


def router_advertisement() -> Ipv6Packet:
    """The router advertisement: prefix, lifetimes and our MAC address, sent to all nodes."""
    head = struct.pack("!BBHII", ADVERTISED_HOP_LIMIT, 0, ROUTER_LIFETIME_S, 0, 0)
    prefix = struct.pack(
        "!BBBBIII", Option.PREFIX, 4, NETWORK6.prefixlen, _ON_LINK_AND_AUTONOMOUS, PREFIX_VALID_S, PREFIX_PREFERRED_S, 0
    )
    body = head + _mac_option(Option.SOURCE_MAC, LINK_HOST6) + prefix + NETWORK6.network_address.packed
    return _message(Type.ROUTER_ADVERTISEMENT, body, LINK_HOST6, ALL_NODES6)


def solicitation(address: bytes, src: bytes) -> Ipv6Packet:
    """The message that asks for the MAC address of ``address``, sent from our address ``src``."""
    body = bytes(4) + address + _mac_option(Option.SOURCE_MAC, src)
    return _message(Type.NEIGHBOUR_SOLICITATION, body, src, solicited_node(address))


def draw_interval_ns(state: NdpState, seed: int, name: str) -> int:
    """A pseudo-random time to the next unsolicited advertisement, from ``seed`` and the number of draws so far."""
    digest = hashlib.sha256(f"{seed}/{name}/{state.draws}".encode()).digest()
    state.draws += 1
    return INTERVAL_MIN_NS + int.from_bytes(digest, "big") % (INTERVAL_MAX_NS - INTERVAL_MIN_NS + 1)


def _neighbour_advertisement(packet: Ipv6Packet, target: bytes) -> Ipv6Packet:
    is_anonymous = packet.src == UNSPECIFIED6  # the guest checks whether the address is in use
    flags = _ROUTER | _OVERRIDE | (0 if is_anonymous else _SOLICITED)
    body = struct.pack("!I", flags) + target + _mac_option(Option.TARGET_MAC, target)
    return _message(Type.NEIGHBOUR_ADVERTISEMENT, body, target, ALL_NODES6 if is_anonymous else packet.src)


def _message(kind: Type, body: bytes, src: bytes, dst: bytes) -> Ipv6Packet:
    return Ipv6Packet(src, dst, Protocol.ICMP6, build_icmp6(src, dst, IcmpMessage(kind, 0, body)), HOP_LIMIT_MAX)


def _mac_option(option: Option, address: bytes) -> bytes:
    return bytes([option, 1]) + mac_of(address)


def _check(packet: Ipv6Packet, message: IcmpMessage) -> dict[int, bytes]:
    """The options of a valid message."""
    if packet.hop_limit != HOP_LIMIT_MAX or message.code != 0:
        raise Malformed("NDP: hop limit or code")
    options = _options(message)
    if message.type != Type.ROUTER_SOLICITATION and is_multicast6(message.body[_ADDRESS]):
        raise Malformed("NDP: a multicast target")
    if message.type == Type.NEIGHBOUR_SOLICITATION and packet.src == UNSPECIFIED6:
        if packet.dst != solicited_node(message.body[_ADDRESS]) or Option.SOURCE_MAC in options:
            raise Malformed("NDP: solicitation by nobody")
    return options


def _options(message: IcmpMessage) -> dict[int, bytes]:
    """The first value of each option."""
    fixed = _FIXED_BYTES[Type(message.type)]
    if len(message.body) < fixed:
        raise Malformed("NDP: length")
    rest = message.body[fixed:]
    options: dict[int, bytes] = {}
    while rest:
        size = rest[1] * 8 if len(rest) > 1 else 0
        if size == 0 or size > len(rest):
            raise Malformed("NDP: option length")
        options.setdefault(rest[0], rest[2:size])
        rest = rest[size:]
    return options
