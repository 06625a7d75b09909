"""TCP of both IP versions: every connection is refused."""

from __future__ import annotations

import pytest
from dpkt import tcp
from usernet_bench import guest_bench
from usernet_guest import (
    DNS,
    HOST,
    HOST6,
    IP,
    ipv4,
    parse,
    tcp4,
    tcp6,
    v4,
    v6,
)


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
