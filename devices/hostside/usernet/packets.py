"""Converts frames to typed packets and back: Ethernet, IPv4, IPv6, UDP, ICMP, and their checksums.

dpkt decodes one layer at a time. By default it would decode all layers at once, and nested ones without a limit.
Everything that is wrong with a packet raises Malformed.

Source: RFC 791, 768, 792, 8200, 4443, 1071.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import dpkt
from dpkt import arp, ethernet, icmp, icmp6, ip, ip6, udp

FRAME_BYTES_MAX = 1514
"""Ethernet's header and 1500 bytes; longer frames are dropped."""
_ETHERNET_BYTES, _IPV4_BYTES, _IPV6_BYTES, _UDP_BYTES = 14, 20, 40, 8

HOP_LIMIT_MAX = 255


class Malformed(Exception):
    """A packet violates its format. Never leaves UserNetwork.receive."""


class EtherType(IntEnum):
    IPV4 = 0x0800
    ARP = 0x0806
    IPV6 = 0x86DD


class Protocol(IntEnum):
    """IP protocol numbers."""

    ICMP = 1
    TCP = 6
    UDP = 17
    ICMP6 = 58


class _Ethernet(ethernet.Ethernet):  # type: ignore[misc]  # dpkt has no types
    _typesw: dict[int, Any] = {}  # noqa: RUF012  # dpkt's table of decoders for the payload: none


class _Ipv4(ip.IP):  # type: ignore[misc]
    _protosw: dict[int, Any] = {}  # noqa: RUF012


class _Ipv6(ip6.IP6):  # type: ignore[misc]
    _protosw: dict[int, Any] = {}  # noqa: RUF012


class _Icmp(icmp.ICMP):  # type: ignore[misc]
    _typesw: dict[int, Any] = {}  # noqa: RUF012


class _Icmp6(icmp6.ICMP6):  # type: ignore[misc]
    _typesw: dict[int, Any] = {}  # noqa: RUF012


def decode(kind: Any, data: bytes) -> Any:
    """``kind(data)`` for a dpkt class.

    Raises:
        Malformed: dpkt can't decode it.
    """
    try:
        return kind(data)
    except (dpkt.Error, IndexError, ValueError, struct.error) as error:
        raise Malformed(f"{kind.__name__}: {error}") from None


# ---- checksums


def checksum(data: bytes) -> int:
    """The Internet checksum; 0 for data that includes its correct checksum."""
    return int(dpkt.in_cksum(data))


def transport_checksum(src: bytes, dst: bytes, protocol: int, payload: bytes) -> int:
    """The checksum of UDP, TCP or ICMPv6 with its pseudo header, for IPv4 and IPv6 addresses alike."""
    form = "!BBH" if len(src) == 4 else "!IBBBB"
    rest = (0, protocol, len(payload)) if len(src) == 4 else (len(payload), 0, 0, 0, protocol)
    return checksum(src + dst + struct.pack(form, *rest) + payload)


# ---- Ethernet


@dataclass(frozen=True, slots=True)
class Frame:
    dst: bytes
    src: bytes
    type: int
    payload: bytes


def parse_frame(data: bytes) -> Frame | None:
    """A frame; None if its type is unknown."""
    if not _ETHERNET_BYTES <= len(data) <= FRAME_BYTES_MAX:
        raise Malformed(f"frame of {len(data)} bytes")
    if int.from_bytes(data[12:14], "big") not in tuple(EtherType):
        return None
    frame = decode(_Ethernet, data)
    return Frame(frame.dst, frame.src, frame.type, bytes(frame.data))


def build_frame(kind: EtherType, dst: bytes, src: bytes, payload: bytes) -> bytes:
    return bytes(_Ethernet(dst=dst, src=src, type=int(kind), data=payload))


# ---- ARP


@dataclass(frozen=True, slots=True)
class ArpPacket:
    op: int
    sender_mac: bytes
    sender: bytes
    target: bytes


def parse_arp(data: bytes) -> ArpPacket:
    packet = decode(arp.ARP, data)
    if (packet.hrd, packet.pro, packet.hln, packet.pln) != (arp.ARP_HRD_ETH, arp.ARP_PRO_IP, 6, 4):
        raise Malformed("ARP for something else than IPv4 on Ethernet")
    return ArpPacket(packet.op, packet.sha, packet.spa, packet.tpa)


def build_arp(op: int, sender_mac: bytes, sender: bytes, target_mac: bytes, target: bytes) -> bytes:
    return bytes(arp.ARP(op=op, sha=sender_mac, spa=sender, tha=target_mac, tpa=target))


# ---- IPv4


@dataclass(frozen=True, slots=True)
class Ipv4Packet:
    """An IPv4 packet. ``dont_fragment`` and ``tos`` are kept because answers may copy them."""

    src: bytes
    dst: bytes
    protocol: int
    payload: bytes
    ttl: int = 64
    tos: int = 0
    dont_fragment: bool = False
    is_fragment: bool = False


def parse_ipv4(data: bytes) -> Ipv4Packet:
    packet = decode(_Ipv4, data)
    header_bytes = packet.hl * 4
    if packet.v != 4 or not header_bytes <= packet.len <= len(data):
        raise Malformed("IPv4 version or length")
    if checksum(data[:header_bytes]) != 0:
        raise Malformed("IPv4 header checksum")
    return Ipv4Packet(
        packet.src, packet.dst, packet.p, bytes(packet.data), packet.ttl, packet.tos,
        bool(packet.df), bool(packet.mf or packet.offset),
    )  # fmt: skip


def build_ipv4(packet: Ipv4Packet, ident: int) -> bytes:
    """The bytes of ``packet``; ``ident`` is its identification."""
    header = _Ipv4(
        src=packet.src, dst=packet.dst, p=packet.protocol, ttl=packet.ttl, tos=packet.tos, id=ident,
        len=_IPV4_BYTES + len(packet.payload), data=packet.payload,
    )  # fmt: skip
    header.df = int(packet.dont_fragment)
    return bytes(header)


# ---- IPv6


@dataclass(frozen=True, slots=True)
class Ipv6Packet:
    src: bytes
    dst: bytes
    protocol: int
    payload: bytes
    hop_limit: int = HOP_LIMIT_MAX


def parse_ipv6(data: bytes) -> Ipv6Packet | None:
    """A packet; None if its header is followed by something other than TCP, UDP or ICMPv6."""
    if len(data) < _IPV6_BYTES:
        raise Malformed("IPv6 header")
    if data[6] not in (Protocol.TCP, Protocol.UDP, Protocol.ICMP6):
        return None
    packet = decode(_Ipv6, data)
    if packet.v != 6 or packet.plen > len(data) - _IPV6_BYTES:
        raise Malformed("IPv6 version or length")
    return Ipv6Packet(packet.src, packet.dst, packet.nxt, data[_IPV6_BYTES : _IPV6_BYTES + packet.plen], packet.hlim)


def build_ipv6(packet: Ipv6Packet) -> bytes:
    header = ip6.IP6(
        src=packet.src, dst=packet.dst, nxt=packet.protocol, hlim=packet.hop_limit, plen=len(packet.payload)
    )
    return bytes(header.pack_hdr()) + packet.payload


# ---- UDP


@dataclass(frozen=True, slots=True)
class Datagram:
    src_port: int
    dst_port: int
    payload: bytes


def parse_udp(packet: Ipv4Packet | Ipv6Packet) -> Datagram:
    header = decode(udp.UDP, packet.payload)
    if not _UDP_BYTES <= header.ulen <= len(packet.payload):
        raise Malformed("UDP length")
    data = packet.payload[: header.ulen]
    if header.sum and transport_checksum(packet.src, packet.dst, Protocol.UDP, data) != 0:
        raise Malformed("UDP checksum")
    return Datagram(header.sport, header.dport, data[_UDP_BYTES:])


def build_udp(src: bytes, dst: bytes, datagram: Datagram) -> bytes:
    header = udp.UDP(
        sport=datagram.src_port, dport=datagram.dst_port, ulen=_UDP_BYTES + len(datagram.payload), data=datagram.payload
    )
    header.sum = transport_checksum(src, dst, Protocol.UDP, bytes(header)) or 0xFFFF
    return bytes(header)


# ---- ICMP


@dataclass(frozen=True, slots=True)
class IcmpMessage:
    """ICMP or ICMPv6; ``body`` is what follows the checksum."""

    type: int
    code: int
    body: bytes


def parse_icmp(packet: Ipv4Packet) -> IcmpMessage:
    message = decode(_Icmp, packet.payload)
    if checksum(packet.payload) != 0:
        raise Malformed("ICMP checksum")
    return IcmpMessage(message.type, message.code, bytes(message.data))


def build_icmp(message: IcmpMessage) -> bytes:
    return bytes(_Icmp(type=message.type, code=message.code, data=message.body))


def parse_icmp6(packet: Ipv6Packet) -> IcmpMessage:
    message = decode(_Icmp6, packet.payload)
    if transport_checksum(packet.src, packet.dst, Protocol.ICMP6, packet.payload) != 0:
        raise Malformed("ICMPv6 checksum")
    return IcmpMessage(message.type, message.code, bytes(message.data))


def build_icmp6(src: bytes, dst: bytes, message: IcmpMessage) -> bytes:
    packed = _Icmp6(type=message.type, code=message.code, data=message.body)
    packed.sum = transport_checksum(src, dst, Protocol.ICMP6, bytes(packed))
    return bytes(packed)
