"""Corners of the formats that no well-behaved guest reaches."""

from __future__ import annotations

import struct

import dpkt
import pytest
from usernet_bench import guest_bench
from usernet_guest import HOST, IP, ping, ping6, v4

from minstret.devices.hostside.usernet.packets import Datagram, build_udp, transport_checksum


def test_udp_checksum_that_comes_out_as_0_is_sent_as_ones() -> None:
    plain = build_udp(v4(HOST), v4(IP), Datagram(69, 2000, b"\0\0"))
    filler = struct.unpack("!H", plain[6:8])[0]

    packed = build_udp(v4(HOST), v4(IP), Datagram(69, 2000, struct.pack("!H", filler)))

    assert packed[6:8] == b"\xff\xff"
    assert transport_checksum(v4(HOST), v4(IP), 17, packed) == 0


@pytest.mark.parametrize("version", [0, 5, 6, 15])
def test_ipv4_packet_of_another_version_is_malformed(version: int) -> None:
    packet = dpkt.ip.IP(ping()[14:])
    packet.v, packet.sum = version, 0
    bench = guest_bench()

    assert bench.send(ping()[:14] + bytes(packet)) == []
    assert bench.state.counters.malformed == 1


@pytest.mark.parametrize("version", [0, 4, 7])
def test_ipv6_packet_of_another_version_is_malformed(version: int) -> None:
    frame = ping6()
    bench = guest_bench()

    assert bench.send(frame[:14] + bytes([version << 4]) + frame[15:]) == []
    assert bench.state.counters.malformed == 1


@pytest.mark.parametrize("plen", [0xFFFF, 73])
def test_ipv6_packet_longer_than_its_frame_is_malformed(plen: int) -> None:
    frame = ping6()
    bench = guest_bench()

    assert bench.send(frame[:18] + struct.pack("!H", plen) + frame[20:]) == []
    assert bench.state.counters.malformed == 1


@pytest.mark.parametrize("header_words", [0, 4, 15])
def test_ipv4_header_of_an_impossible_length_is_malformed(header_words: int) -> None:
    frame = ping(data=b"")
    bench = guest_bench()

    assert bench.send(frame[:14] + bytes([0x40 | header_words]) + frame[15:]) == []
    assert bench.state.counters.malformed == 1


@pytest.mark.parametrize("total_bytes", [0, 19, 85, 0xFFFF])
def test_ipv4_packet_of_an_impossible_length_is_malformed(total_bytes: int) -> None:
    packet = ping()[14:]
    header = packet[:2] + struct.pack("!H", total_bytes) + packet[4:10] + b"\0\0" + packet[12:20]
    header = header[:10] + struct.pack("!H", dpkt.in_cksum(header)) + header[12:]
    bench = guest_bench()

    assert bench.send(ping()[:14] + header + packet[20:]) == []
    assert bench.state.counters.malformed == 1


@pytest.mark.parametrize("following", [0, 43, 44, 50, 51, 59, 60, 132])
def test_ipv6_packet_with_an_extension_header_is_ignored(following: int) -> None:
    frame = ping6()
    bench = guest_bench()

    assert bench.send(frame[:20] + bytes([following]) + frame[21:]) == []
    assert bench.state.counters.ignored == 1
