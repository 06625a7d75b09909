"""IPv4: gives each packet to its service, and sends the answers.

Silently dropped are packets from addresses that no guest can have, packets to unknown services or addresses, and
fragments.
"""

from __future__ import annotations

from minstret.devices.hostside.usernet import arp, dhcp, dns, icmp, neighbours, tcp, tftp
from minstret.devices.hostside.usernet.addresses import (
    BROADCAST,
    BROADCAST_MAC,
    DNS,
    HOST,
    HOST_MAC,
    is_guest,
    is_unicast,
)
from minstret.devices.hostside.usernet.config import Files, UserNetConfig
from minstret.devices.hostside.usernet.packets import (
    HOP_LIMIT_MAX,
    Datagram,
    EtherType,
    Frame,
    Ipv4Packet,
    Protocol,
    build_frame,
    build_ipv4,
    build_udp,
    parse_arp,
    parse_ipv4,
    parse_udp,
)
from minstret.devices.hostside.usernet.wire import Wire, keep_armed

_LOW_DELAY = 0x10
"""The TOS of packets that DHCP and TFTP send."""


class Ipv4Side:
    """ARP, ICMP, DHCP, TFTP, DNS and TCP. All its state is in ``wire.state``."""

    def __init__(self, wire: Wire, config: UserNetConfig, files: Files | None) -> None:
        self._wire = wire
        self._restrict = config.restrict
        self._dhcp = dhcp.DhcpServer(config)
        self._tftp = tftp.TftpServer(files)
        self._arp_timer = wire.timer("arp", self._on_arp)
        self._lease_timer = wire.timer("lease", self._on_lease)
        self._tftp_timer = wire.timer("tftp", self._on_tftp)

    def receive_arp(self, frame: Frame) -> None:
        packet = parse_arp(frame.payload)
        reply = arp.answer(packet, frame.src)
        if reply is not None:
            self._wire.send(reply)
        if arp.tells(packet) and is_guest(packet.sender):
            self._learn(packet.sender, packet.sender_mac)
        elif reply is None:
            self._wire.state.counters.ignored += 1

    def receive(self, frame: Frame) -> None:
        packet = parse_ipv4(frame.payload)
        counters = self._wire.state.counters
        if packet.is_fragment:
            counters.fragments += 1
        elif not self._serve(packet):
            counters.ignored += 1

    # ---- services

    def _serve(self, packet: Ipv4Packet) -> bool:
        """Whether a service takes ``packet``."""
        if packet.protocol == Protocol.UDP:
            return self._serve_udp(packet, parse_udp(packet))
        if not is_guest(packet.src):
            return False
        reply = None
        if packet.protocol == Protocol.ICMP:
            reply = icmp.answer(packet)
        elif packet.protocol == Protocol.TCP and is_unicast(packet.dst):
            segment = tcp.refusal(packet)
            if segment is not None:
                reply = Ipv4Packet(packet.dst, packet.src, Protocol.TCP, segment, HOP_LIMIT_MAX)
        if reply is None:
            return False
        self._send(reply)
        return True

    def _serve_udp(self, packet: Ipv4Packet, datagram: Datagram) -> bool:
        if datagram.dst_port == dhcp.SERVER_PORT and packet.dst in (HOST, BROADCAST):
            self._serve_dhcp(datagram.payload)
        elif not is_guest(packet.src):
            return False
        elif datagram.dst_port == tftp.PORT and packet.dst == HOST:
            self._serve_tftp(packet.src, datagram)
        elif datagram.dst_port == dns.PORT and packet.dst == DNS and not self._restrict:
            self._serve_dns(packet.src, datagram)
        else:
            return False
        return True

    def _serve_dhcp(self, data: bytes) -> None:
        state, now_ns = self._wire.state.dhcp, self._wire.now_ns()
        reply = self._dhcp.answer(state, data, now_ns)
        keep_armed(self._lease_timer, dhcp.deadline_ns(state))
        if reply is None:
            return
        if reply.client is not None:
            self._learn(reply.client, reply.mac)
        self._send_udp(HOST, reply.dst, Datagram(dhcp.SERVER_PORT, dhcp.CLIENT_PORT, reply.payload), _LOW_DELAY)

    def _serve_tftp(self, client: bytes, datagram: Datagram) -> None:
        state, now_ns = self._wire.state.tftp, self._wire.now_ns()
        reply = self._tftp.answer(state, client, datagram.src_port, datagram.payload, now_ns)
        keep_armed(self._tftp_timer, tftp.deadline_ns(state))
        if reply is not None:
            self._send_udp(HOST, client, Datagram(tftp.PORT, datagram.src_port, reply), _LOW_DELAY)

    def _serve_dns(self, client: bytes, datagram: Datagram) -> None:
        reply = dns.refusal(datagram.payload)
        if reply is not None:
            self._send_udp(DNS, client, Datagram(dns.PORT, datagram.src_port, reply))

    # ---- timers

    def _on_lease(self, late_ns: int) -> None:
        state = self._wire.state.dhcp
        dhcp.expire(state, self._wire.now_ns())
        keep_armed(self._lease_timer, dhcp.deadline_ns(state))

    def _on_tftp(self, late_ns: int) -> None:
        state = self._wire.state.tftp
        for client, port, packet in self._tftp.expire(state, self._wire.now_ns()):
            self._send_udp(HOST, client, Datagram(tftp.PORT, port, packet), _LOW_DELAY)
        keep_armed(self._tftp_timer, tftp.deadline_ns(state))

    def _on_arp(self, late_ns: int) -> None:
        state = self._wire.state.arp
        self._wire.state.counters.unresolved += neighbours.expire(state, self._wire.now_ns())
        keep_armed(self._arp_timer, neighbours.deadline_ns(state))

    # ---- sending

    def _send_udp(self, src: bytes, dst: bytes, datagram: Datagram, tos: int = 0) -> None:
        self._send(Ipv4Packet(src, dst, Protocol.UDP, build_udp(src, dst, datagram), tos=tos))

    def _send(self, packet: Ipv4Packet) -> None:
        state = self._wire.state
        data = build_ipv4(packet, state.ident)
        state.ident = (state.ident + 1) & 0xFFFF
        mac = BROADCAST_MAC if packet.dst == BROADCAST else neighbours.mac_for(state.arp, packet.dst)
        if mac is None:
            self._ask(packet.dst, data)
        else:
            self._send_to(mac, data)

    def _send_to(self, mac: bytes, packet: bytes) -> None:
        self._wire.send(build_frame(EtherType.IPV4, mac, HOST_MAC, packet))

    def _ask(self, address: bytes, packet: bytes) -> None:
        """Ask who has ``address``; ``packet`` waits for the answer."""
        state = self._wire.state
        is_asked = neighbours.is_asked(state.arp, address)
        if not neighbours.wait(state.arp, address, packet, self._wire.now_ns()):
            state.counters.unresolved += 1
        elif not is_asked:
            self._wire.send(arp.question(address))
        keep_armed(self._arp_timer, neighbours.deadline_ns(state.arp))

    def _learn(self, address: bytes, mac: bytes) -> None:
        state = self._wire.state.arp
        for packet in neighbours.learn(state, address, mac, self._wire.now_ns()):
            self._send_to(mac, packet)
        keep_armed(self._arp_timer, neighbours.deadline_ns(state))
