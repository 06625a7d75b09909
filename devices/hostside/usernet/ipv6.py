"""IPv6: router and neighbour discovery, echo, and TCP connections refused. There are no other services.

Packets with extension headers are dropped, as libslirp does.
"""

from __future__ import annotations

from minstret.devices.hostside.usernet import icmp, ndp, neighbours, tcp
from minstret.devices.hostside.usernet.addresses import UNSPECIFIED6, is_guest6, is_multicast6, mac_of, multicast_mac
from minstret.devices.hostside.usernet.config import UserNetConfig
from minstret.devices.hostside.usernet.packets import (
    EtherType,
    Frame,
    IcmpMessage,
    Ipv6Packet,
    Protocol,
    build_frame,
    build_ipv6,
    parse_icmp6,
    parse_ipv6,
)
from minstret.devices.hostside.usernet.wire import Wire, keep_armed

_NDP = (ndp.Type.ROUTER_SOLICITATION, ndp.Type.NEIGHBOUR_SOLICITATION, ndp.Type.NEIGHBOUR_ADVERTISEMENT)


class Ipv6Side:
    """NDP, ICMPv6 echo and TCP. All its state is in ``wire.state``."""

    def __init__(self, wire: Wire, config: UserNetConfig, name: str) -> None:
        self._wire = wire
        self._seed, self._name = config.seed, name
        self._enabled = config.ipv6
        self._ndp_timer = wire.timer("ndp", self._on_ndp)
        self._ra_timer = wire.timer("ra", self._on_ra)
        if self._enabled:
            self._ra_timer.arm(wire.now_ns() + self._draw_interval_ns())

    def receive(self, frame: Frame) -> None:
        packet = parse_ipv6(frame.payload) if self._enabled else None
        if packet is None or not self._serve(packet):
            self._wire.state.counters.ignored += 1

    # ---- services

    def _serve(self, packet: Ipv6Packet) -> bool:
        """Whether a service takes ``packet``."""
        if not is_guest6(packet.src) and packet.src != UNSPECIFIED6:
            return False
        if packet.protocol == Protocol.ICMP6:
            return self._serve_icmp(packet, parse_icmp6(packet))
        if packet.protocol == Protocol.TCP and not is_multicast6(packet.dst):
            segment = tcp.refusal(packet)
            reply = None if segment is None else Ipv6Packet(packet.dst, packet.src, Protocol.TCP, segment)
            return self._answer(reply)
        return False

    def _serve_icmp(self, packet: Ipv6Packet, message: IcmpMessage) -> bool:
        if message.type not in _NDP:
            return self._answer(icmp.answer6(packet, message))
        reply = ndp.answer(packet, message)
        seen = ndp.sighting(packet, message)
        if seen is not None:
            self._learn(seen)
        return self._answer(reply) or seen is not None

    def _answer(self, reply: Ipv6Packet | None) -> bool:
        """Send ``reply``, if there is one and it has a destination. Returns whether it was sent."""
        if reply is None or reply.dst == UNSPECIFIED6:
            return False
        self._send(reply)
        return True

    # ---- timers

    def _on_ra(self, late_ns: int) -> None:
        self._send(ndp.router_advertisement())
        self._ra_timer.arm(self._wire.now_ns() - late_ns + self._draw_interval_ns())

    def _on_ndp(self, late_ns: int) -> None:
        state = self._wire.state
        state.counters.unresolved += neighbours.expire(state.neighbours6, self._wire.now_ns())
        keep_armed(self._ndp_timer, neighbours.deadline_ns(state.neighbours6))

    def _draw_interval_ns(self) -> int:
        return ndp.draw_interval_ns(self._wire.state.ndp, self._seed, self._name)

    # ---- sending

    def _send(self, packet: Ipv6Packet) -> None:
        data, state = build_ipv6(packet), self._wire.state.neighbours6
        mac = multicast_mac(packet.dst) if is_multicast6(packet.dst) else neighbours.mac_for(state, packet.dst)
        if mac is None:
            self._ask(packet, data)
        else:
            self._send_to(mac, packet.src, data)

    def _send_to(self, mac: bytes, src: bytes, packet: bytes) -> None:
        self._wire.send(build_frame(EtherType.IPV6, mac, mac_of(src), packet))

    def _ask(self, packet: Ipv6Packet, data: bytes) -> None:
        """Ask for the MAC address that ``packet`` has to go to; meanwhile its bytes, ``data``, wait."""
        state = self._wire.state
        is_asked = neighbours.is_asked(state.neighbours6, packet.dst)
        if not neighbours.wait(state.neighbours6, packet.dst, data, self._wire.now_ns()):
            state.counters.unresolved += 1
        elif not is_asked:
            self._send(ndp.solicitation(packet.dst, packet.src))
        keep_armed(self._ndp_timer, neighbours.deadline_ns(state.neighbours6))

    def _learn(self, seen: ndp.Sighting) -> None:
        state = self._wire.state.neighbours6
        for packet in neighbours.learn(state, seen.address, seen.mac, self._wire.now_ns()):
            self._send_to(seen.mac, packet[8:24], packet)
        keep_armed(self._ndp_timer, neighbours.deadline_ns(state))
