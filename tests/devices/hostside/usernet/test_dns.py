"""DNS: every query is refused with its question."""

from __future__ import annotations

import dpkt
import pytest
from usernet_bench import guest_bench
from usernet_guest import (
    DNS,
    dns_query,
    parse,
    udp4,
    udp_payload,
    v4,
)


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
