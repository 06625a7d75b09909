"""What is asked of QEMU's user network and of ours: the same frames in the same order.

Each scenario is one run of QEMU (data/capture.py) and one pcap in data/.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import dpkt
from dpkt import tcp
from usernet_guest import (
    DNS,
    DNS6,
    HOST,
    HOST6,
    HOST_LINK6,
    IP,
    IP6,
    LINK6,
    OTHER_MAC,
    ack,
    arp_reply,
    arp_request,
    dhcp_frame,
    discover,
    dns_query,
    ether,
    icmpv6,
    ipv4,
    lladdr_option,
    neighbour_advertisement,
    neighbour_solicitation,
    ping,
    ping6,
    request,
    router_solicitation,
    rrq,
    rrq_payload,
    tcp4,
    tcp6,
    tftp,
    udp4,
    udp6,
    v4,
)

FILES = {
    "short.txt": b"forty-two bytes of text, more or less. ok\n",
    "boot.bin": bytes(i * 7 & 0xFF for i in range(1300)),
    "even.bin": bytes(512),
    "inner/deep.txt": b"deep\n",
}
"""What both networks serve over TFTP."""


@dataclass(frozen=True)
class Scenario:
    """``exchanges``: name of each request, and its frame."""

    name: str
    qemu: str
    config: dict[str, Any]
    exchanges: list[tuple[str, bytes]] = field(default_factory=list)
    tftp: bool = True


def mac_number(number: int) -> bytes:
    return bytes.fromhex("5254000001") + bytes([number])


def broken(frame: bytes, at: int) -> bytes:
    """``frame`` with one bit flipped."""
    return frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]


def with_ip_options(frame: bytes) -> bytes:
    """``frame`` with four bytes of IP options: three no-ops and an end."""
    packet = dpkt.ip.IP(frame[14:])
    packet.hl, packet.opts, packet.sum = 6, b"\1\1\1\0", 0
    return frame[:14] + bytes(packet)


DISCOVER_AND_REQUEST = [("discover", discover()), ("request", request(IP, HOST))]

ADDRESSING = [
    ("ping before the guest's MAC is known", ping(HOST)),
    ("the guest's ARP reply", arp_reply()),
    ("ping6 before the guest's MAC is known", ping6(HOST6)),
    ("the guest's neighbour advertisement", neighbour_advertisement()),
    ("arp host", arp_request(HOST)),
    ("arp dns", arp_request(DNS)),
    ("arp unknown", arp_request("10.0.2.4")),
    ("arp own address", arp_request(IP, sender="0.0.0.0")),
    ("arp gratuitous", arp_request(IP)),
    ("arp outside", arp_request("192.168.7.2")),
]

PINGS = [
    ("ping host", ping(HOST)),
    ("ping dns", ping(DNS, seq=2)),
    ("ping host, ttl 1, tos 8", ping(HOST, ttl=1, tos=8)),
    ("ping host, don't fragment", ping(HOST, df=1)),
    ("ping host, with IP options", with_ip_options(ping(HOST))),
    ("ping host, ttl 0", ping(HOST, ttl=0)),
    ("ping host, code 1", ping(HOST, code=1)),
    ("ping host, first fragment", ping(HOST, mf=1)),
    ("ping host, no data", ping(HOST, data=b"")),
    ("ping host, odd length", ping(HOST, data=b"odd")),
    ("ping host, 1472 bytes", ping(HOST, data=bytes(1472))),
    ("ping host, wrong ICMP checksum", broken(ping(HOST), 14 + 20 + 6)),
    ("ping host, wrong IP checksum", broken(ping(HOST), 14 + 10)),
]

DHCP = [
    ("discover", discover()),
    ("discover again", discover()),
    ("request selecting", request(IP, HOST)),
    ("request init-reboot", request(IP)),
    ("request renewing", request(ciaddr=IP, dst=HOST)),
    ("request of neither option 50 nor ciaddr", request()),
    ("request outside the pool", request("10.0.2.99")),
    ("request outside the network", request("192.168.1.10")),
    ("discover with a free requested address", discover("10.0.2.20")),
    ("discover with an address outside the pool", discover("10.0.2.99")),
    ("discover by another MAC", discover(mac=OTHER_MAC)),
    ("discover of a taken address by another MAC", discover(IP, mac=OTHER_MAC)),
    ("request of a taken address by another MAC", request(IP, mac=OTHER_MAC)),
    ("discover with the broadcast flag", discover(flags=0x8000)),
    ("plain bootp", dhcp_frame(None)),
    ("request that chose another server", request(IP, "10.0.2.77")),
    ("decline", dhcp_frame(4, [(50, v4("10.0.2.17")), (54, v4(HOST))], mac=mac_number(1))),
    ("inform", dhcp_frame(8, ciaddr=IP)),
    ("release", dhcp_frame(7, [(54, v4(HOST))], ciaddr=IP, dst=HOST)),
    ("dhcp reply sent to the server", udp4("255.255.255.255", 67, b"\x02" + bytes(299), 68)),
    ("dhcp too short", udp4("255.255.255.255", 67, b"\x01" + bytes(99), 68)),
]

NOWHERE = [
    ("ping elsewhere", ping("10.0.2.99")),
    ("ping outside", ping("192.0.2.1")),
    ("udp elsewhere", udp4("192.0.2.1", 9, b"discard")),
    ("udp to the host", udp4(HOST, 9, b"discard")),
    ("dns", udp4(DNS, 53, dns_query())),
    ("tftp to dns", tftp(rrq_payload(b"short.txt"), dst=DNS)),
    ("ip of an unknown protocol", ipv4(132, b"sctp?", HOST)),
    ("ip in an unknown ethertype", ether(0x88B5, bytes(50))),
    ("udp6 elsewhere", udp6("2001:db8::1", 9, b"discard")),
    ("udp6 to the host", udp6(HOST6, 9, b"discard")),
    ("ping6 elsewhere", ping6("fec0::99")),
]

TCP = [
    ("tcp syn to the host", tcp4(HOST, tcp.TH_SYN)),
    ("tcp syn outside", tcp4("192.0.2.1", tcp.TH_SYN, dport=443)),
    ("tcp ack", tcp4(HOST, tcp.TH_ACK, seq=7, ack=99, data=b"hello")),
    ("tcp fin without ack", tcp4(HOST, tcp.TH_FIN, seq=7, data=b"bye")),
    ("tcp syn6 to the host", tcp6(HOST6, tcp.TH_SYN)),
    ("tcp syn6 outside", tcp6("2001:db8::1", tcp.TH_SYN)),
    ("tcp syn, don't fragment, tos 8", tcp4(HOST, tcp.TH_SYN, ip={"df": 1, "tos": 8})),
    ("tcp syn to a broadcast address", tcp4("10.0.2.255", tcp.TH_SYN)),
    ("tcp, wrong checksum", broken(tcp4(HOST, tcp.TH_SYN), 14 + 20 + 5)),
    ("tcp rst", tcp4(HOST, tcp.TH_RST, seq=7)),
]

IPV6 = [
    ("router solicitation", router_solicitation()),
    ("router solicitation with a MAC", router_solicitation(options=lladdr_option(1))),
    ("router solicitation without an address", router_solicitation(src="::")),
    ("router solicitation, hop limit 64", router_solicitation(hlim=64)),
    ("neighbour solicitation of fe80::2", neighbour_solicitation(HOST_LINK6)),
    ("neighbour solicitation of fec0::2", neighbour_solicitation(HOST6)),
    ("neighbour solicitation of fec0::3", neighbour_solicitation(DNS6)),
    ("neighbour solicitation of fe80::3", neighbour_solicitation("fe80::3")),
    ("neighbour solicitation from a global address", neighbour_solicitation(HOST6, src=IP6)),
    ("neighbour solicitation, unicast", neighbour_solicitation(HOST6, src=IP6, dst=HOST6)),
    ("neighbour solicitation of a stranger", neighbour_solicitation("fec0::99")),
    ("duplicate address detection", neighbour_solicitation(IP6, src="::", options=b"")),
    ("duplicate address detection of the host's", neighbour_solicitation(HOST6, src="::", options=b"")),
    ("neighbour solicitation, hop limit 64", neighbour_solicitation(HOST6, hlim=64)),
    ("ping6 fe80::2", ping6(HOST_LINK6, src=LINK6)),
    ("neighbour advertisement of the link address", neighbour_advertisement(LINK6, HOST_LINK6)),
    ("ping6 fe80::2 again", ping6(HOST_LINK6, src=LINK6)),
    ("ping6 fec0::2", ping6(HOST6)),
    ("ping6 fec0::3", ping6(DNS6)),
    ("ping6 fe80::3", ping6("fe80::3", src=LINK6)),
    ("ping6 all nodes", ping6("ff02::1", src=LINK6)),
    ("ping6, wrong checksum", broken(ping6(HOST6), 14 + 40 + 6)),
    ("multicast listener report", icmpv6(131, bytes(20), "ff02::16", LINK6, hlim=1)),
    ("dhcpv6 information request", udp6("ff02::1:2", 547, bytes.fromhex("0b123456000600020017"), 546, LINK6)),
    ("tftp over ipv6", udp6(HOST6, 69, rrq_payload(b"short.txt"))),
]

TFTP = [
    ("tftp short", rrq("short.txt")),
    ("tftp short, ack", ack(1)),
    ("tftp long", rrq("boot.bin")),
    ("tftp long, ack 1", ack(1)),
    ("tftp long, ack 2", ack(2)),
    ("tftp long, ack 3", ack(3)),
    ("tftp even", rrq("even.bin")),
    ("tftp even, ack 1", ack(1)),
    ("tftp even, ack 2", ack(2)),
    ("tftp leading slash", rrq("/inner/deep.txt")),
    ("tftp leading slash, ack", ack(1)),
    ("tftp mode in capitals", rrq("short.txt", "OCTET")),
    ("tftp mode in capitals, ack", ack(1)),
    ("tftp blksize", rrq("boot.bin", options={"blksize": "1024"})),
    ("tftp blksize, ack 0", ack(0)),
    ("tftp blksize, ack 1", ack(1)),
    ("tftp blksize, ack 2", ack(2)),
    ("tftp large blksize and tsize", rrq("boot.bin", options={"blksize": "8192", "tsize": "0"})),
    ("tftp large blksize and tsize, ack 0", ack(0)),
    ("tftp large blksize and tsize, ack 1", ack(1)),
    ("tftp tsize and blksize", rrq("boot.bin", options={"tsize": "0", "BLKSIZE": "512"})),
    ("tftp tsize and blksize, error", tftp(struct.pack("!HH", 5, 0) + b"enough\0")),
    ("tftp unknown option", rrq("short.txt", options={"windowsize": "4"})),
    ("tftp unknown option, ack", ack(1)),
    ("tftp timeout option", rrq("short.txt", options={"timeout": "3"})),
    ("tftp timeout option, ack 0", ack(0)),
    ("tftp timeout option, ack 1", ack(1)),
    ("tftp missing file", rrq("missing.txt")),
    ("tftp folder", rrq("inner")),
    ("tftp parent", rrq("../secret")),
    ("tftp parent inside", rrq("inner/../short.txt")),
    ("tftp trailing slash", rrq("inner/")),
    ("tftp netascii", rrq("short.txt", "netascii")),
    ("tftp no mode", tftp(b"\0\1short.txt\0")),
    ("tftp write", tftp(b"\0\2new.txt\0octet\0")),
    ("tftp ack without a transfer", ack(1, port=2999)),
    ("tftp data without a transfer", tftp(b"\0\3\0\1data", port=2999)),
    ("tftp unknown operation", tftp(b"\0\x09what", port=2999)),
]

POOL = [(f"discover {number}", discover(mac=mac_number(number))) for number in range(17)] + [
    ("discover by the first MAC again", discover(mac=mac_number(0)))
]

REFUSED = [("request outside the pool", request("10.0.2.99"))]
UNSERVED = [("tftp without a folder", rrq("short.txt"))]

SCENARIOS = [
    Scenario("restricted", "restrict=on", {"restrict": True}, ADDRESSING + DHCP + PINGS + NOWHERE + TCP + IPV6 + TFTP),
    Scenario("open", "restrict=off", {}, [*DISCOVER_AND_REQUEST, *ADDRESSING, *PINGS, *IPV6[:4], *REFUSED]),
    Scenario(
        "configured",
        "restrict=on,hostname=guest7,bootfile=boot.bin,tftp-server-name=tftp.example,domainname=example.org",
        {"restrict": True, "hostname": "guest7", "bootfile": "boot.bin", "tftp_server_name": "tftp.example",
         "domainname": "example.org"},
        [*DISCOVER_AND_REQUEST, *REFUSED],
    ),
    Scenario("pool", "restrict=on", {"restrict": True}, POOL),
    Scenario("no-tftp", "restrict=on", {"restrict": True}, [*DISCOVER_AND_REQUEST, *UNSERVED], tftp=False),
    Scenario("no-ipv6", "restrict=on,ipv6=off", {"restrict": True, "ipv6": False}, [*DISCOVER_AND_REQUEST, *IPV6]),
]  # fmt: skip
