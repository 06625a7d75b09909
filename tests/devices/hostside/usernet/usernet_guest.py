"""A guest by hand: frames as a guest would send them. Shared by the tests and by data/capture.py.

Built with dpkt's own classes, so that what the network under test builds and parses is checked by something else.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import dpkt
from dpkt import arp, dhcp, ethernet, icmp, icmp6, ip, ip6, tcp, udp

MAC = bytes.fromhex("525400123456")
OTHER_MAC = bytes.fromhex("5254000000ff")
BROADCAST_MAC = b"\xff" * 6
SERVER_MAC = bytes.fromhex("52550a000202")

IP, HOST, DNS = "10.0.2.15", "10.0.2.2", "10.0.2.3"
IP6, HOST6, DNS6 = "fec0::5054:ff:fe12:3456", "fec0::2", "fec0::3"
LINK6, HOST_LINK6 = "fe80::5054:ff:fe12:3456", "fe80::2"
XID = 0x1234_5678

Options = list[tuple[int, bytes]]


def v4(address: str) -> bytes:
    return IPv4Address(address).packed


def v6(address: str) -> bytes:
    return IPv6Address(address).packed


# ---- ARP and IPv4


def ether(kind: int, payload: bytes, dst: bytes = SERVER_MAC, src: bytes = MAC) -> bytes:
    return bytes(dst + src + struct.pack("!H", kind) + payload)


def arp_frame(op: int, target: str, sender: str = IP, mac: bytes = MAC, target_mac: bytes = b"\0" * 6) -> bytes:
    body = arp.ARP(op=op, sha=mac, spa=v4(sender), tha=target_mac, tpa=v4(target))
    return ether(0x0806, bytes(body), BROADCAST_MAC if op == arp.ARP_OP_REQUEST else SERVER_MAC, mac)


def arp_request(target: str, sender: str = IP, mac: bytes = MAC) -> bytes:
    return arp_frame(arp.ARP_OP_REQUEST, target, sender, mac)


def arp_reply(sender: str = IP, mac: bytes = MAC) -> bytes:
    return arp_frame(arp.ARP_OP_REPLY, HOST, sender, mac, SERVER_MAC)


def ipv4(
    proto: int, body: Any, dst: str, src: str = IP, *, dst_mac: bytes = SERVER_MAC, mac: bytes = MAC, **more: Any
) -> bytes:
    flags = {name: more.pop(name) for name in ("df", "mf", "offset") if name in more}
    packet = ip.IP(p=proto, src=v4(src), dst=v4(dst), id=0x4242, data=body, **more)
    for name, value in flags.items():
        setattr(packet, name, value)
    return ether(0x0800, bytes(packet), dst_mac, mac)


def udp4(dst: str, dport: int, data: bytes, sport: int = 4000, src: str = IP, **more: Any) -> bytes:
    return ipv4(17, udp.UDP(sport=sport, dport=dport, ulen=8 + len(data), data=data), dst, src, **more)


def ping(
    dst: str = HOST, seq: int = 1, data: bytes = b"abcdefgh" * 7, src: str = IP, code: int = 0, **more: Any
) -> bytes:
    return ipv4(1, icmp.ICMP(type=8, code=code, data=icmp.ICMP.Echo(id=0x77, seq=seq, data=data)), dst, src, **more)


def segment(flags: int, seq: int = 1000, ack: int = 0, dport: int = 80, data: bytes = b"") -> tcp.TCP:
    return tcp.TCP(sport=40000, dport=dport, seq=seq, ack=ack, flags=flags, data=data)


def tcp4(dst: str, flags: int, ip: dict[str, Any] | None = None, **more: Any) -> bytes:
    return ipv4(6, segment(flags, **more), dst, **(ip or {}))


# ---- DHCP


def dhcp_message(
    kind: int | None, options: Options | None = None, *, ciaddr: str = "0.0.0.0", mac: bytes = MAC,
    xid: int = XID, flags: int = 0, giaddr: str = "0.0.0.0",
) -> bytes:  # fmt: skip
    """The UDP payload; ``kind`` None: plain BOOTP, without option 53."""
    opts = ([] if kind is None else [(53, bytes([kind]))]) + (options or [])
    message = dhcp.DHCP(
        op=1, xid=xid, flags=flags, ciaddr=int(IPv4Address(ciaddr)), giaddr=int(IPv4Address(giaddr)),
        chaddr=mac + bytes(10), opts=opts,
    )  # fmt: skip
    packed = bytes(message) if opts else message.pack_hdr() + b"\xff"
    return bytes(packed.ljust(300, b"\0"))


def dhcp_frame(kind: int | None, options: Options | None = None, *, dst: str = "255.255.255.255", **more: Any) -> bytes:
    mac = more.get("mac", MAC)
    return udp4(
        dst, 67, dhcp_message(kind, options, **more), 68, more.get("ciaddr", "0.0.0.0"),
        dst_mac=BROADCAST_MAC if dst == "255.255.255.255" else SERVER_MAC, mac=mac,
    )  # fmt: skip


def discover(requested: str | None = None, **more: Any) -> bytes:
    options = [] if requested is None else [(50, v4(requested))]
    return dhcp_frame(dhcp.DHCPDISCOVER, [*options, (55, bytes([1, 3, 6, 12, 15, 51, 54]))], **more)


def request(requested: str | None = None, server: str | None = None, **more: Any) -> bytes:
    options = [] if requested is None else [(50, v4(requested))]
    options += [] if server is None else [(54, v4(server))]
    return dhcp_frame(dhcp.DHCPREQUEST, [*options, (55, bytes([1, 3, 6, 12, 15, 51, 54]))], **more)


# ---- IPv6


def ipv6(
    proto: int, body: Any, dst: str, src: str = IP6, *, hlim: int = 64, dst_mac: bytes | None = None, mac: bytes = MAC
) -> bytes:
    data = bytes(body)
    address = v6(dst)
    if dst_mac is None:
        dst_mac = b"\x33\x33" + address[12:] if address[0] == 0xFF else b"\x52\x56" + address[12:]
    packet = ip6.IP6(nxt=proto, plen=len(data), hlim=hlim, src=v6(src), dst=address, data=body)
    packet.extension_hdrs = {}
    return ether(0x86DD, bytes(packet), dst_mac, mac)


def icmpv6(kind: int, body: bytes, dst: str, src: str = IP6, hlim: int = 255, code: int = 0, **more: Any) -> bytes:
    message = icmp6.ICMP6(type=kind, code=code, data=body)
    return ipv6(58, message, dst, src, hlim=hlim, **more)


def ping6(dst: str = HOST6, seq: int = 1, src: str = IP6, data: bytes = b"abcdefgh" * 7, **more: Any) -> bytes:
    return icmpv6(128, struct.pack("!HH", 0x77, seq) + data, dst, src, hlim=64, **more)


def lladdr_option(kind: int, mac: bytes = MAC) -> bytes:
    return bytes([kind, 1]) + mac


def router_solicitation(src: str = LINK6, options: bytes = b"", **more: Any) -> bytes:
    return icmpv6(133, bytes(4) + options, "ff02::2", src, **more)


def solicited_node(address: str) -> str:
    return str(IPv6Address(v6("ff02::1:ff00:0")[:13] + v6(address)[13:]))


def neighbour_solicitation(
    target: str, src: str = LINK6, options: bytes | None = None, dst: str | None = None, **more: Any
) -> bytes:
    options = lladdr_option(1) if options is None else options
    return icmpv6(135, bytes(4) + v6(target) + options, dst or solicited_node(target), src, **more)


def neighbour_advertisement(target: str = IP6, dst: str = HOST6, mac: bytes = MAC, **more: Any) -> bytes:
    return icmpv6(
        136, struct.pack("!I", 0x6000_0000) + v6(target) + lladdr_option(2, mac), dst, target, mac=mac, **more
    )


def udp6(dst: str, dport: int, data: bytes, sport: int = 4000, src: str = IP6) -> bytes:
    return ipv6(17, udp.UDP(sport=sport, dport=dport, ulen=8 + len(data), data=data), dst, src)


def tcp6(dst: str, flags: int, **more: Any) -> bytes:
    return ipv6(6, segment(flags, **more), dst)


# ---- TFTP and DNS


def tftp(payload: bytes, port: int = 2000, dst: str = HOST, **more: Any) -> bytes:
    return udp4(dst, 69, payload, port, **more)


def rrq_payload(name: bytes, mode: bytes = b"octet", options: dict[str, str] | None = None) -> bytes:
    fields = [name, mode, *(part.encode() for item in (options or {}).items() for part in item)]
    return struct.pack("!H", 1) + b"".join(field + b"\0" for field in fields)


def rrq(name: str, mode: str = "octet", options: dict[str, str] | None = None, port: int = 2000) -> bytes:
    return tftp(rrq_payload(name.encode(), mode.encode(), options), port)


def ack(block: int, port: int = 2000) -> bytes:
    return tftp(struct.pack("!HH", 4, block), port)


def dns_query(name: str = "example.org", kind: int = 1, ident: int = 0xBEEF) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", ident, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


# ---- reading what comes back


def parse(frame: bytes) -> ethernet.Ethernet:
    return dpkt.ethernet.Ethernet(frame)


def dhcp_options(frame: bytes) -> Options:
    return list(dhcp_of(frame).opts)


def dhcp_of(frame: bytes) -> dhcp.DHCP:
    return dhcp.DHCP(udp_payload(frame))


def udp_payload(frame: bytes) -> bytes:
    return bytes(parse(frame).data.data.data)


def address(number: int) -> str:
    return str(IPv4Address(number))
