"""ARP: answers for the addresses of the host and the DNS server, and requests for a guest's MAC address.

Source: RFC 826. Frames are like libslirp's, whose answers have 64 bytes.
"""

from __future__ import annotations

from minstret.devices.hostside.usernet.addresses import BROADCAST_MAC, DNS, HOST, HOST_MAC, mac_of
from minstret.devices.hostside.usernet.packets import ArpPacket, EtherType, build_arp, build_frame

REQUEST, REPLY = 1, 2
_REPLY_BYTES = 64


def answer(packet: ArpPacket, to_mac: bytes) -> bytes | None:
    """The frame that answers ``packet``, which ``to_mac`` has sent; None if it does not ask for an address of ours."""
    if packet.op != REQUEST or packet.target not in (HOST, DNS) or packet.target == packet.sender:
        return None
    mac = mac_of(packet.target)
    body = build_arp(REPLY, mac, packet.target, packet.sender_mac, packet.sender)
    return build_frame(EtherType.ARP, to_mac, mac, body).ljust(_REPLY_BYTES, b"\0")


def tells(packet: ArpPacket) -> bool:
    """Whether to learn the sender's MAC address from ``packet``.

    That is so if the sender asks for one of our addresses, answers, or announces its own address.
    """
    if packet.op == REQUEST:
        return packet.target in (HOST, DNS) or packet.target == packet.sender
    return packet.op == REPLY


def question(address: bytes) -> bytes:
    """The frame that asks who has ``address``."""
    return build_frame(EtherType.ARP, BROADCAST_MAC, HOST_MAC, build_arp(REQUEST, HOST_MAC, HOST, bytes(6), address))
