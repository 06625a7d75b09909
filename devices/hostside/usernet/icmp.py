"""ICMP echo for both IP versions. Only the addresses of the host and the DNS server answer.

Source: RFC 792, RFC 4443, section 4.
"""

from __future__ import annotations

from minstret.devices.hostside.usernet.addresses import DNS, HOST, OURS6
from minstret.devices.hostside.usernet.packets import (
    HOP_LIMIT_MAX,
    IcmpMessage,
    Ipv4Packet,
    Ipv6Packet,
    Malformed,
    Protocol,
    build_icmp,
    build_icmp6,
    parse_icmp,
)

ECHO_REPLY, ECHO = 0, 8
ECHO6, ECHO_REPLY6 = 128, 129
_ECHO_BODY_BYTES_MIN = 4
"""Identifier and sequence number."""


def answer(packet: Ipv4Packet) -> Ipv4Packet | None:
    """The echo reply to ``packet``; None if it is not an echo request to us. TOS and "don't fragment" are copied."""
    message = parse_icmp(packet)
    if message.type != ECHO or packet.dst not in (HOST, DNS):
        return None
    _check_echo(message)
    reply = build_icmp(IcmpMessage(ECHO_REPLY, message.code, message.body))
    return Ipv4Packet(
        packet.dst, packet.src, Protocol.ICMP, reply, HOP_LIMIT_MAX, packet.tos, packet.dont_fragment
    )  # fmt: skip


def answer6(packet: Ipv6Packet, message: IcmpMessage) -> Ipv6Packet | None:
    """The echo reply to ``message``, which came in ``packet``; None if it is not an echo request to us."""
    if message.type != ECHO6 or packet.dst not in OURS6:
        return None
    _check_echo(message)
    reply = build_icmp6(packet.dst, packet.src, IcmpMessage(ECHO_REPLY6, 0, message.body))
    return Ipv6Packet(packet.dst, packet.src, Protocol.ICMP6, reply)


def _check_echo(message: IcmpMessage) -> None:
    if len(message.body) < _ECHO_BODY_BYTES_MIN:
        raise Malformed("echo request")
