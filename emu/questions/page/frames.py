"""Ethernet frames in one line, as a person reads them. What does not decode is told by its size and type.

dpkt decodes one layer at a time here: by default it would go through nested packets without a limit.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import dpkt
from dpkt import arp, dhcp, dns, ethernet, icmp, icmp6, ip, ip6, tcp, tftp, udp

from minstret.emu.text import printable

_TEXT_MAX = 160
_DHCP_PORTS, _DNS_PORT, _TFTP_PORT = {67, 68}, 53, 69
_CLIENTS_MAX = 1000
_DHCP_TYPES = ("?", "Discover", "Offer", "Request", "Decline", "ACK", "NAK", "Release", "Inform")
_TFTP_TYPES = {tftp.OP_RRQ: "read request", tftp.OP_WRQ: "write request"}
_TFTP_OPTIONS = 6
_ICMP_TYPES = {0: "echo reply", 3: "destination unreachable", 5: "redirect", 8: "echo request", 11: "time exceeded"}
_ICMP6_TYPES = {
    1: "destination unreachable", 2: "packet too big", 3: "time exceeded", 128: "echo request", 129: "echo reply",
    130: "multicast listener query", 131: "multicast listener report", 133: "router solicitation",
    134: "router advertisement", 135: "neighbour solicitation", 136: "neighbour advertisement", 137: "redirect",
    143: "multicast listener report v2",
}  # fmt: skip
_DNS_TYPES = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV"}
_TCP_FLAGS = ((tcp.TH_SYN, "SYN"), (tcp.TH_FIN, "FIN"), (tcp.TH_RST, "RST"), (tcp.TH_PUSH, "PSH"), (tcp.TH_ACK, "ACK"))
_MALFORMED = (dpkt.Error, LookupError, ValueError, struct.error, TypeError, AttributeError)
"""What dpkt raises at bytes that are no packet."""


class _Ethernet(ethernet.Ethernet):  # type: ignore[misc]  # dpkt has no types
    _typesw: dict[int, Any] = {}  # noqa: RUF012  # its table of decoders for the payload: none


class _Ipv4(ip.IP):  # type: ignore[misc]
    _protosw: dict[int, Any] = {}  # noqa: RUF012


class _Ipv6(ip6.IP6):  # type: ignore[misc]
    _protosw: dict[int, Any] = {}  # noqa: RUF012


class FrameReader:
    """Tells what frames are. It remembers who has asked for files by TFTP, whose answers come from any port."""

    def __init__(self) -> None:
        self._clients: set[tuple[str, int]] = set()

    def text(self, data: bytes) -> str:
        """A frame in one line that is safe to show."""
        try:
            text = self._frame(data)
        except _MALFORMED:
            text = f"malformed frame of {len(data)} bytes"
        return printable(text, _TEXT_MAX)

    def _frame(self, data: bytes) -> str:
        frame = _Ethernet(data)
        payload = bytes(frame.data)
        if frame.type == ethernet.ETH_TYPE_ARP:
            return _arp(payload)
        if frame.type == ethernet.ETH_TYPE_IP:
            packet = _Ipv4(payload)
            ends = str(IPv4Address(packet.src)), str(IPv4Address(packet.dst))
            if packet.offset:
                return f"IPv4 fragment at {packet.offset}, {_to(*ends)}, {len(packet.data)} bytes"
            return self._packet(packet.p, ends, bytes(packet.data), "IPv4")
        if frame.type == ethernet.ETH_TYPE_IP6:
            packet = _Ipv6(payload)
            ends = str(IPv6Address(packet.src)), str(IPv6Address(packet.dst))
            return self._packet(packet.p, ends, bytes(packet.data), "IPv6")
        return f"ethertype {frame.type:#06x}, {_mac(frame.src)} > {_mac(frame.dst)}, {len(data)} bytes"

    def _packet(self, protocol: int, ends: tuple[str, str], payload: bytes, family: str) -> str:
        inner: dict[int, Callable[[tuple[str, str], bytes], str]] = {
            ip.IP_PROTO_UDP: self._udp, ip.IP_PROTO_TCP: _tcp, ip.IP_PROTO_ICMP: _icmp, ip.IP_PROTO_ICMP6: _icmp6,
        }  # fmt: skip
        if protocol in inner:
            try:
                return inner[protocol](ends, payload)
            except _MALFORMED:
                return f"{family} {_to(*ends)}, malformed protocol {protocol}, {len(payload)} bytes"
        return f"{family} {_to(*ends)}, protocol {protocol}, {len(payload)} bytes"

    def _udp(self, ends: tuple[str, str], payload: bytes) -> str:
        packet = udp.UDP(payload)
        data, ports = bytes(packet.data), {packet.sport, packet.dport}
        (src, sport), (dst, dport) = (ends[0], packet.sport), (ends[1], packet.dport)
        way = _to(_port(src, sport), _port(dst, dport))
        is_tftp = dport == _TFTP_PORT or {(src, sport), (dst, dport)} & self._clients
        text = None
        if ports <= _DHCP_PORTS:
            text = _tried(_dhcp, data)
        elif _DNS_PORT in ports:
            text = _tried(_dns, data)
        elif is_tftp:
            text = _tried(_tftp, data)
            if dport == _TFTP_PORT and len(self._clients) < _CLIENTS_MAX:
                self._clients.add((src, sport))
        return f"UDP {way}, {len(data)} bytes" if text is None else f"{text}, {way}"


def _tried(decode: Callable[[bytes], str], data: bytes) -> str | None:
    """What ``decode`` tells; None where the data is not what the port promises."""
    try:
        return decode(data)
    except _MALFORMED:
        return None


def _arp(payload: bytes) -> str:
    packet = arp.ARP(payload)
    sender, target = IPv4Address(packet.spa), IPv4Address(packet.tpa)
    if packet.op == arp.ARP_OP_REQUEST:
        return f"ARP who has {target}? tell {sender}"
    return f"ARP {sender} is at {_mac(packet.sha)}"


def _tcp(ends: tuple[str, str], payload: bytes) -> str:
    segment = tcp.TCP(payload)
    flags = " ".join(name for bit, name in _TCP_FLAGS if segment.flags & bit) or "no flags"
    way = _to(_port(ends[0], segment.sport), _port(ends[1], segment.dport))
    return f"TCP {flags}, {way}, seq {segment.seq}, {len(segment.data)} bytes"


def _icmp(ends: tuple[str, str], payload: bytes) -> str:
    kind = icmp.ICMP(payload).type
    name = _ICMP_TYPES.get(kind, f"type {kind}")
    return f"ICMP {name}{_echo(kind, (0, 8), payload)}, {_to(*ends)}"


def _icmp6(ends: tuple[str, str], payload: bytes) -> str:
    kind = icmp6.ICMP6(payload).type
    about = f" of {IPv6Address(payload[8:24])}" if kind in (135, 136) and len(payload) >= 24 else ""
    name = _ICMP6_TYPES.get(kind, f"type {kind}")
    return f"ICMPv6 {name}{about}{_echo(kind, (128, 129), payload)}, {_to(*ends)}"


def _echo(kind: int, echoes: tuple[int, ...], payload: bytes) -> str:
    if kind not in echoes:
        return ""
    ident, number = struct.unpack_from("!HH", payload, 4)
    return f" id {ident} seq {number}"


def _dhcp(data: bytes) -> str:
    message = dhcp.DHCP(data)
    options = dict(message.opts)
    kind = options[dhcp.DHCP_OPT_MSGTYPE][0]
    name = _DHCP_TYPES[kind] if kind < len(_DHCP_TYPES) else f"message type {kind}"
    given = f" {IPv4Address(message.yiaddr)}" if message.yiaddr else ""
    return f"DHCP {name}{given}"


def _dns(data: bytes) -> str:
    """The first question alone: dpkt follows a message's pointers, as often as that says."""
    flags, questions, answers = struct.unpack_from("!HHH", data, 2)
    labels, at = [], 12
    while questions and (size := data[at]) and size < 64:
        labels.append(data[at + 1 : at + 1 + size].decode("ascii", "replace"))
        at += 1 + size
    kind = struct.unpack_from("!H", data, at + 1)[0] if questions else 0
    asked = f" {_DNS_TYPES.get(kind, kind)} {'.'.join(labels)}" if questions else ""
    if flags & dns.DNS_QR:
        return f"DNS answer{asked}, {answers} record{'' if answers == 1 else 's'}, code {flags & 15}"
    return f"DNS query{asked}"


def _tftp(data: bytes) -> str:
    """By hand: dpkt takes a request apart only where it has just a name and a mode."""
    (kind,) = struct.unpack_from("!H", data)
    if kind in _TFTP_TYPES:
        return f"TFTP {_TFTP_TYPES[kind]} {_quoted(data[2:])}"
    if kind == _TFTP_OPTIONS:
        return "TFTP option acknowledgment"
    (number,) = struct.unpack_from("!H", data, 2)
    if kind == tftp.OP_ERR:
        return f"TFTP error {number} {_quoted(data[4:])}"
    if kind == tftp.OP_DATA:
        return f"TFTP block {number}, {len(data) - 4} bytes"
    return f"TFTP acknowledges block {number}" if kind == tftp.OP_ACK else f"TFTP operation {kind}"


def _quoted(data: bytes) -> str:
    """A text that ends with NUL."""
    return repr(data.partition(b"\0")[0].decode(errors="replace"))


def _to(src: str, dst: str) -> str:
    return f"{src} > {dst}"


def _port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _mac(address: bytes) -> str:
    return address.hex(":")
