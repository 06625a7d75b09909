"""ICMP echo, of both IP versions: host and DNS server answer, nobody else does."""

from __future__ import annotations

import struct

import dpkt
import pytest
from usernet_bench import guest_bench
from usernet_guest import (
    DNS,
    DNS6,
    HOST,
    HOST6,
    IP,
    IP6,
    icmpv6,
    ipv4,
    parse,
    ping,
    ping6,
    v4,
    v6,
)


@pytest.mark.parametrize("restrict", [True, False])
@pytest.mark.parametrize("dst", [HOST, DNS])
def test_ping_of_the_host_or_dns_is_answered(dst: str, restrict: bool) -> None:
    packet = parse(guest_bench(restrict=restrict).ask(ping(dst, seq=7, data=b"payload"))).ip

    assert (packet.src, packet.dst, packet.ttl) == (v4(dst), v4(IP), 255)
    assert (packet.icmp.type, packet.icmp.data.id, packet.icmp.data.seq, packet.icmp.data.data) == (
        0,
        0x77,
        7,
        b"payload",
    )
    assert dpkt.in_cksum(bytes(packet.icmp)) == 0


@pytest.mark.parametrize("restrict", [True, False])
@pytest.mark.parametrize("dst", ["10.0.2.1", "10.0.2.255", "255.255.255.255", "8.8.8.8", "127.0.0.1", IP])
def test_ping_of_anyone_else_vanishes(dst: str, restrict: bool) -> None:
    bench = guest_bench(restrict=restrict)

    assert bench.send(ping(dst)) == []
    assert bench.state.counters.ignored == 1


@pytest.mark.parametrize("kind", [0, 3, 5, 11, 13, 17])
def test_other_icmp_vanishes(kind: int) -> None:
    bench = guest_bench()

    assert bench.send(ipv4(1, dpkt.icmp.ICMP(type=kind, data=bytes(28)), HOST)) == []


def test_echo_request_without_identifier_is_malformed() -> None:
    bench = guest_bench()

    assert bench.send(ipv4(1, dpkt.icmp.ICMP(type=8, data=b"\0\1\0"), HOST)) == []
    assert bench.state.counters.malformed == 1


@pytest.mark.parametrize("dst", [HOST6, DNS6, "fe80::2", "fe80::3"])
def test_ping6_of_the_host_or_dns_is_answered(dst: str) -> None:
    packet = parse(guest_bench(restrict=True).ask(ping6(dst, seq=7, data=b"payload"))).ip6

    assert (packet.src, packet.dst, packet.hlim) == (v6(dst), v6(IP6), 255)
    assert (packet.icmp6.type, bytes(packet.icmp6.data)) == (129, struct.pack("!HH", 0x77, 7) + b"payload")


@pytest.mark.parametrize("dst", ["fec0::1", "ff02::1", "2001:db8::1", "::1", IP6])
def test_ping6_of_anyone_else_vanishes(dst: str) -> None:
    assert guest_bench().send(ping6(dst)) == []


@pytest.mark.parametrize("src", [HOST6, "fe80::2", "::", "ff02::1", "::1"])
def test_ping6_from_an_address_that_no_guest_can_have_vanishes(src: str) -> None:
    bench = guest_bench()

    assert bench.send(ping6(src=src)) == []
    assert bench.state.neighbours6.waiting == []


def test_echo6_request_without_identifier_is_malformed() -> None:
    bench = guest_bench()

    assert bench.send(icmpv6(128, b"\0\1\0", HOST6)) == []
    assert bench.state.counters.malformed == 1
