"""The small services of both IP versions: echo, and the refusals of TCP and DNS."""

from __future__ import annotations

import struct

import dpkt
import pytest
from dpkt import tcp
from usernet_bench import Bench, guest_bench
from usernet_guest import (
    DNS,
    DNS6,
    HOST,
    HOST6,
    IP,
    IP6,
    dns_query,
    icmpv6,
    ipv4,
    parse,
    ping,
    ping6,
    tcp4,
    tcp6,
    udp4,
    udp6,
    udp_payload,
    v4,
    v6,
)

# ---- echo


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


# ---- TCP


@pytest.mark.parametrize("restrict", [True, False])
@pytest.mark.parametrize("dst", [HOST, DNS, "10.0.2.200", "93.184.216.34"])
def test_tcp_connection_to_anywhere_is_refused(dst: str, restrict: bool) -> None:
    packet = parse(guest_bench(restrict=restrict).ask(tcp4(dst, tcp.TH_SYN, seq=0xFFFF_FFFF))).ip

    assert (packet.src, packet.dst, packet.ttl) == (v4(dst), v4(IP), 255)
    assert (packet.tcp.sport, packet.tcp.dport) == (80, 40000)
    assert (packet.tcp.flags, packet.tcp.seq, packet.tcp.ack, packet.tcp.win) == (tcp.TH_RST | tcp.TH_ACK, 0, 0, 0)


def test_tcp6_connection_is_refused() -> None:
    packet = parse(guest_bench().ask(tcp6(HOST6, tcp.TH_SYN, seq=1))).ip6

    assert (packet.src, packet.tcp.flags, packet.tcp.ack) == (v6(HOST6), tcp.TH_RST | tcp.TH_ACK, 2)


def test_tcp_segment_with_ack_is_reset_at_its_own_number() -> None:
    packet = parse(guest_bench().ask(tcp4(HOST, tcp.TH_ACK, ack=12345, data=b"data"))).ip

    assert (packet.tcp.flags, packet.tcp.seq, packet.tcp.ack) == (tcp.TH_RST, 12345, 0)


def test_tcp_data_and_fin_count_in_the_acknowledgement() -> None:
    packet = parse(guest_bench().ask(tcp4(HOST, tcp.TH_FIN, seq=100, data=b"four"))).ip

    assert packet.tcp.ack == 105


@pytest.mark.parametrize("flags", [tcp.TH_RST, tcp.TH_RST | tcp.TH_ACK])
def test_tcp_reset_is_not_answered(flags: int) -> None:
    assert guest_bench().send(tcp4(HOST, flags), tcp6(HOST6, flags)) == []


@pytest.mark.parametrize("dst", ["10.0.2.255", "255.255.255.255", "224.0.0.1", "0.0.0.0"])
def test_tcp_to_more_than_one_host_vanishes(dst: str) -> None:
    assert guest_bench().send(tcp4(dst, tcp.TH_SYN), tcp6("ff02::1", tcp.TH_SYN)) == []


def test_tcp_header_longer_than_its_packet_is_malformed() -> None:
    bench = guest_bench()
    segment = tcp.TCP(sport=1, dport=2, flags=tcp.TH_SYN)
    segment.off = 15

    assert bench.send(ipv4(6, segment, HOST)) == []
    assert bench.state.counters.malformed == 1


# ---- DNS


def test_dns_query_is_refused_with_its_question() -> None:
    query = dns_query("www.example.org", kind=28, ident=0x1234)
    reply = guest_bench().ask(udp4(DNS, 53, query, sport=5353))

    packet = parse(reply).ip
    assert (packet.src, packet.udp.sport, packet.udp.dport) == (v4(DNS), 53, 5353)
    message = dpkt.dns.DNS(udp_payload(reply))
    assert (message.id, message.qr, message.rd, message.rcode) == (0x1234, 1, 1, dpkt.dns.DNS_RCODE_REFUSED)
    assert [(question.name, question.type) for question in message.qd] == [("www.example.org", 28)]
    assert (message.an, message.ns, message.ar) == ([], [], [])


def test_dns_query_with_additional_records_is_refused_without_them() -> None:
    query = dns_query()
    opt = b"\0\0\x29\x10\0\0\0\0\0\0\0"
    reply = guest_bench().ask(udp4(DNS, 53, query[:11] + b"\1" + query[12:] + opt))

    assert udp_payload(reply)[12:] == query[12:]


@pytest.mark.parametrize(
    "query",
    [
        b"", b"short", dns_query()[:12], dns_query()[:-1], dns_query()[:11],
        dns_query()[:5] + b"\2" + dns_query()[6:],  # two questions
        dns_query()[:12] + b"\xc0\x0c\0\1\0\1",  # a name that points at itself
        dns_query()[:12] + (b"\x3f" + b"a" * 63) * 5 + b"\0\0\1\0\1",  # a name of 320 bytes
        dns_query()[:12] + b"\x3f" + b"a" * 10,
        dns_query()[:12] + b"\xc0" + b"a" * 192 + b"\0\0\1\0\1",  # a pointer, or a label of 192 bytes
    ],
)  # fmt: skip
def test_dns_query_that_is_none_is_malformed(query: bytes) -> None:
    bench = guest_bench()

    assert bench.send(udp4(DNS, 53, query)) == []
    assert bench.state.counters.malformed == 1


def test_dns_answer_is_not_answered() -> None:
    query = dns_query()

    assert guest_bench().send(udp4(DNS, 53, query[:2] + b"\x81\x80" + query[4:])) == []


def test_dns_of_a_restricted_network_is_silent() -> None:
    assert guest_bench(restrict=True).send(udp4(DNS, 53, dns_query())) == []


@pytest.mark.parametrize("restrict", [True, False])
def test_other_udp_vanishes(restrict: bool) -> None:
    bench = guest_bench(restrict=restrict)
    query = dns_query()

    assert (
        bench.send(udp4(HOST, 53, query), udp4("8.8.8.8", 53, query), udp4(HOST, 9, b"x"), udp6(DNS6, 53, query)) == []
    )
    assert bench.state.counters.ignored == 4


def test_ipv6_switched_off_is_silent_for_ever() -> None:
    bench = Bench(ipv6=False)

    assert bench.send(ping6(), tcp6(HOST6, tcp.TH_SYN)) == []
    assert bench.go_by(s=86_400) == []
