"""Frames are told as what they are: some by hand, and with bytes spoilt they never raise."""

from __future__ import annotations

import struct
from random import Random

import pytest
from dpkt import arp, ethernet, icmp, ip, ip6, tcp, udp
from support.invented_runs import DISCOVER

from minstret.emu.questions.page.frames import FrameReader

GUEST, GATEWAY = bytes((10, 0, 2, 15)), bytes((10, 0, 2, 2))
MAC = bytes.fromhex("525400123456")


def ethernet_frame(kind: int, payload: object) -> bytes:
    return bytes(ethernet.Ethernet(dst=b"\xff" * 6, src=MAC, type=kind, data=payload))


def ipv4(protocol: int, payload: object, src: bytes = GUEST, dst: bytes = GATEWAY) -> bytes:
    return ethernet_frame(ethernet.ETH_TYPE_IP, ip.IP(src=src, dst=dst, p=protocol, data=payload))


def udp4(sport: int, dport: int, data: bytes, src: bytes = GUEST, dst: bytes = GATEWAY) -> bytes:
    packet = udp.UDP(sport=sport, dport=dport, data=data)
    packet.ulen = len(packet)
    return ipv4(ip.IP_PROTO_UDP, packet, src, dst)


DNS_QUERY = struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + b"\7example\3org\0" + struct.pack("!2H", 28, 1)
ECHO = icmp.ICMP(type=8, data=icmp.ICMP.Echo(id=5, seq=2, data=b"x"))
NEIGHBOUR = ip6.IP6(
    src=bytes.fromhex("fec0" + "00" * 13 + "02"), dst=bytes.fromhex("ff02" + "00" * 13 + "01"), nxt=58, hlim=255,
    data=bytes((135, 0, 0, 0, 0, 0, 0, 0)) + bytes.fromhex("fec0" + "00" * 13 + "03"), plen=24,
)  # fmt: skip

KNOWN = [
    (DISCOVER, "DHCP Discover, 0.0.0.0:68 > 255.255.255.255:67"),
    (ethernet_frame(ethernet.ETH_TYPE_ARP, arp.ARP(spa=GUEST, tpa=GATEWAY)), "ARP who has 10.0.2.2? tell 10.0.2.15"),
    (
        ethernet_frame(ethernet.ETH_TYPE_ARP, arp.ARP(op=2, sha=MAC, spa=GATEWAY, tpa=GUEST)),
        "ARP 10.0.2.2 is at 52:54:00:12:34:56",
    ),
    (ipv4(ip.IP_PROTO_ICMP, ECHO), "ICMP echo request id 5 seq 2, 10.0.2.15 > 10.0.2.2"),
    (udp4(4000, 53, DNS_QUERY), "DNS query AAAA example.org, 10.0.2.15:4000 > 10.0.2.2:53"),
    (udp4(4000, 9, b"hey"), "UDP 10.0.2.15:4000 > 10.0.2.2:9, 3 bytes"),
    (
        ipv4(ip.IP_PROTO_TCP, tcp.TCP(sport=1, dport=80, flags=tcp.TH_SYN, seq=9)),
        "TCP SYN, 10.0.2.15:1 > 10.0.2.2:80, seq 9, 0 bytes",
    ),
    (
        ethernet_frame(ethernet.ETH_TYPE_IP6, NEIGHBOUR),
        "ICMPv6 neighbour solicitation of fec0::3, fec0::2 > ff02::1",
    ),
    (ethernet_frame(0x88CC, b"abc"), "ethertype 0x88cc, 52:54:00:12:34:56 > ff:ff:ff:ff:ff:ff, 17 bytes"),
    (b"short", "malformed frame of 5 bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("frame", "text"), KNOWN, ids=[text.partition(",")[0] for _, text in KNOWN])
def test_frame_is_told_in_a_line(frame: bytes, text: str) -> None:
    assert FrameReader().text(frame) == text


def test_transfer_is_followed_to_its_port() -> None:
    reader = FrameReader()

    texts = [
        reader.text(udp4(2000, 69, b"\0\1boot.img\0octet\0")),
        reader.text(udp4(3333, 2000, b"\0\3\0\1" + bytes(512), GATEWAY, GUEST)),
        reader.text(udp4(2000, 3333, b"\0\4\0\1")),
        reader.text(udp4(3333, 2000, b"\0\5\0\1not here\0", GATEWAY, GUEST)),
    ]

    assert [text.partition(", 10.")[0] for text in texts] == [
        "TFTP read request 'boot.img'", "TFTP block 1, 512 bytes", "TFTP acknowledges block 1",
        "TFTP error 1 'not here'",
    ]  # fmt: skip
    assert FrameReader().text(udp4(3333, 2000, b"\0\3\0\1", GATEWAY, GUEST)).startswith("UDP 10.0.2.2:3333")


def test_name_of_a_file_cannot_leave_its_line() -> None:
    text = FrameReader().text(udp4(2000, 69, b"\0\1a\r\n\x1b[2J\xff\0octet\0"))

    assert text.isprintable()


def test_spoilt_frames_are_told_too() -> None:
    random, reader = Random(17), FrameReader()
    for _ in range(3_000):
        frame = bytearray(random.choice(KNOWN)[0])
        for _ in range(random.randrange(1, 6)):
            frame[random.randrange(len(frame))] = random.randrange(256)
        text = reader.text(bytes(frame[: random.randrange(1, len(frame) + 1)]))
        assert text
        assert text.isprintable()
