"""ARP: who answers, what is learned, for how long, and what waits."""

from __future__ import annotations

import pytest
from usernet_bench import DELAY_NS, Bench, guest_bench
from usernet_guest import (
    DNS,
    HOST,
    IP,
    MAC,
    OTHER_MAC,
    arp_frame,
    arp_reply,
    arp_request,
    discover,
    parse,
    ping,
    v4,
)

from minstret.devices.hostside.usernet.neighbours import ENTRIES_MAX, ENTRY_LIFE_NS, WAIT_NS, WAITING_MAX

QUESTION = bytes.fromhex("ffffffffffff52550a00020208060001080006040001 52550a000202 0a000202 000000000000 0a00020f")


@pytest.mark.parametrize(("address", "mac"), [(HOST, "52550a000202"), (DNS, "52550a000203")])
def test_question_for_the_host_or_dns_is_answered_with_its_mac(address: str, mac: str) -> None:
    reply = parse(Bench().ask(arp_request(address)))

    assert (reply.src.hex(), reply.dst) == (mac, MAC)
    assert (reply.arp.op, reply.arp.sha.hex(), reply.arp.spa) == (2, mac, v4(address))
    assert (reply.arp.tha, reply.arp.tpa) == (MAC, v4(IP))


@pytest.mark.parametrize("address", ["10.0.2.1", "10.0.2.4", IP, "10.0.2.255", "192.168.0.1", "0.0.0.0"])
def test_question_for_anyone_else_is_not_answered(address: str) -> None:
    bench = Bench()

    assert bench.send(arp_request(address, sender="10.0.2.16")) == []
    assert bench.state.arp.known == []


@pytest.mark.parametrize(
    "frame", [arp_request(HOST), arp_request(IP), arp_reply()], ids=["question to us", "gratuitous", "answer"]
)
def test_sender_is_learned(frame: bytes) -> None:
    bench = Bench()
    bench.send(frame)

    assert bench.ask(ping())[:6] == MAC


def test_new_mac_of_a_guest_replaces_the_old() -> None:
    bench = guest_bench()

    bench.send(arp_reply(mac=OTHER_MAC))

    assert bench.ask(ping())[:6] == OTHER_MAC
    assert len(bench.state.arp.known) == 1


@pytest.mark.parametrize("sender", [HOST, DNS, "0.0.0.0", "10.0.2.255", "255.255.255.255", "10.0.3.1", "224.0.0.1"])
def test_address_that_no_guest_can_have_is_not_learned(sender: str) -> None:
    bench = Bench()

    bench.send(arp_request(HOST, sender=sender), arp_reply(sender))

    assert bench.state.arp.known == []


@pytest.mark.parametrize("mac", [b"\xff" * 6, bytes.fromhex("01005e000001"), bytes(6)])
def test_mac_that_no_nic_can_have_is_not_learned(mac: bytes) -> None:
    bench = Bench()

    bench.send(arp_frame(2, HOST, mac=mac))

    assert bench.state.arp.known == []


def test_entry_is_forgotten_after_its_life_unless_confirmed() -> None:
    bench = Bench()
    bench.net.receive(arp_reply())
    start_ns = bench.now_ns

    bench.go_to(start_ns + ENTRY_LIFE_NS - 1)
    assert bench.expire_ns("arp") == start_ns + ENTRY_LIFE_NS
    bench.net.receive(arp_reply())
    bench.go_to(start_ns + 2 * ENTRY_LIFE_NS - 2)
    assert len(bench.state.arp.known) == 1
    bench.go_to(start_ns + 2 * ENTRY_LIFE_NS - 1)

    assert bench.state.arp.known == []
    assert bench.expire_ns("arp") is None


def test_table_that_is_full_forgets_what_was_confirmed_longest_ago() -> None:
    bench = Bench()
    for number in range(ENTRIES_MAX):
        bench.net.receive(arp_reply(f"10.0.2.{100 + number}"))
    bench.net.receive(arp_reply("10.0.2.100"))

    bench.net.receive(arp_reply("10.0.2.99"))

    known = [entry.address for entry in bench.state.arp.known]
    assert len(known) == ENTRIES_MAX
    assert v4("10.0.2.101") not in known
    assert v4("10.0.2.100") in known and v4("10.0.2.99") in known


# ---- packets that wait


def test_answer_to_an_unknown_guest_waits_for_its_mac() -> None:
    bench = Bench()

    assert bench.send(ping()) == [QUESTION]
    replies = bench.send(arp_reply())

    assert [parse(reply).ip.icmp.type for reply in replies] == [0]
    assert bench.state.arp.waiting == []


def test_several_packets_wait_behind_one_question_and_keep_their_order() -> None:
    bench = Bench()

    assert bench.send(*[ping(seq=seq) for seq in range(5)]) == [QUESTION]
    replies = bench.send(arp_reply())

    assert [parse(reply).ip.icmp.data.seq for reply in replies] == list(range(5))


def test_packet_that_waits_in_vain_is_dropped_and_the_next_one_asks_again() -> None:
    bench = Bench()
    start_ns = bench.now_ns
    bench.send(ping())

    bench.go_to(start_ns + WAIT_NS - 1)
    assert len(bench.state.arp.waiting) == 1
    bench.go_to(start_ns + WAIT_NS)
    assert bench.state.arp.waiting == []
    assert bench.state.counters.unresolved == 1

    assert bench.send(arp_reply("10.0.2.16"), ping()) == [QUESTION]


def test_waiting_packets_are_bounded() -> None:
    bench = Bench()

    bench.send(*[ping(src=f"10.0.2.{20 + number}") for number in range(WAITING_MAX + 3)])

    assert len(bench.state.arp.waiting) == WAITING_MAX
    assert bench.state.counters.unresolved == 3


def test_answer_of_another_guest_frees_only_its_own_packets() -> None:
    bench = Bench()
    bench.send(ping(src="10.0.2.20"), ping(src="10.0.2.21"))

    replies = bench.send(arp_reply("10.0.2.21", OTHER_MAC))

    assert [parse(reply).ip.dst for reply in replies] == [v4("10.0.2.21")]
    assert replies[0][:6] == OTHER_MAC
    assert [waiting.address for waiting in bench.state.arp.waiting] == [v4("10.0.2.20")]


def test_guest_with_a_lease_needs_no_question() -> None:
    bench = Bench()
    bench.send(discover())

    assert bench.ask(ping())[:6] == MAC


# ---- malformed


@pytest.mark.parametrize("at", [14, 16, 18, 19])
def test_arp_for_other_hardware_or_protocols_is_malformed(at: int) -> None:
    frame = arp_request(HOST)
    bench = Bench()

    assert bench.send(frame[:at] + b"\x77" + frame[at + 1 :]) == []
    assert bench.state.counters.malformed == 1


@pytest.mark.parametrize("op", [0, 3, 4, 0xFFFF])
def test_other_arp_operations_are_ignored(op: int) -> None:
    bench = Bench()

    assert bench.send(arp_frame(op, HOST)) == []
    assert bench.state.counters.ignored == 1


def test_question_arrives_like_any_frame_after_the_link_delay() -> None:
    bench = Bench()
    bench.net.receive(ping())

    assert bench.go_by(DELAY_NS - 1) == []
    assert bench.go_by(1) == [QUESTION]


@pytest.mark.parametrize("address", [HOST, DNS])
def test_guest_that_claims_an_address_of_ours_is_not_answered_and_not_learned(address: str) -> None:
    bench = Bench()

    assert bench.send(arp_request(address, sender=address)) == []
    assert bench.state.arp.known == []
    assert bench.state.counters.ignored == 1
