"""TCP: every connection is refused.

Source: RFC 9293, section 3.10.7.1 (a segment for a connection that does not exist).
"""

from __future__ import annotations

from dpkt import tcp

from minstret.devices.hostside.usernet.packets import (
    Ipv4Packet,
    Ipv6Packet,
    Malformed,
    Protocol,
    decode,
    transport_checksum,
)

_U32 = 0xFFFF_FFFF


def refusal(packet: Ipv4Packet | Ipv6Packet) -> bytes | None:
    """The RST segment that answers the segment in ``packet``; None if that is itself a RST."""
    segment = decode(tcp.TCP, packet.payload)
    if segment.off * 4 > len(packet.payload):
        raise Malformed("TCP header")
    if transport_checksum(packet.src, packet.dst, Protocol.TCP, packet.payload) != 0:
        raise Malformed("TCP checksum")
    if segment.flags & tcp.TH_RST:
        return None
    if segment.flags & tcp.TH_ACK:
        reset = tcp.TCP(seq=segment.ack, ack=0, flags=tcp.TH_RST)
    else:
        reset = tcp.TCP(seq=0, ack=segment.seq + _length(segment) & _U32, flags=tcp.TH_RST | tcp.TH_ACK)
    reset.sport, reset.dport, reset.win = segment.dport, segment.sport, 0
    reset.sum = transport_checksum(packet.dst, packet.src, Protocol.TCP, bytes(reset))
    return bytes(reset)


def _length(segment: tcp.TCP) -> int:
    """How many sequence numbers ``segment`` uses: for its data, SYN and FIN."""
    return len(segment.data) + bool(segment.flags & tcp.TH_SYN) + bool(segment.flags & tcp.TH_FIN)
