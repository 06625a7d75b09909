"""Router advertisements and neighbour discovery."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from usernet_bench import Bench, guest_bench
from usernet_guest import (
    DNS6,
    HOST6,
    HOST_LINK6,
    IP6,
    LINK6,
    MAC,
    OTHER_MAC,
    icmpv6,
    lladdr_option,
    neighbour_advertisement,
    neighbour_solicitation,
    parse,
    ping6,
    router_solicitation,
    v6,
)

from minstret.devices.hostside.usernet.ndp import INTERVAL_MAX_NS, INTERVAL_MIN_NS
from minstret.devices.hostside.usernet.neighbours import ENTRIES_MAX, ENTRY_LIFE_NS, WAIT_NS, WAITING_MAX
from minstret.emu.units import NS_PER_S

ANY_LINK = "fe80::1234"


def advertisement_times(bench: Bench, count: int) -> list[int]:
    times = []
    for _ in range(count):
        expire_ns = bench.expire_ns("ra")
        assert expire_ns is not None
        bench.go_to(expire_ns)
        times.append(expire_ns)
    return times


# ---- router advertisements


@pytest.mark.parametrize("restrict", [True, False])
@pytest.mark.parametrize("src", [LINK6, "::"])
def test_router_solicitation_gets_an_advertisement_to_all_nodes(src: str, restrict: bool) -> None:
    ether = parse(Bench(restrict=restrict).ask(router_solicitation(src)))

    packet = ether.ip6
    assert (ether.dst.hex(), ether.src.hex()) == ("333300000001", "525600000002")
    assert (packet.src, packet.dst, packet.hlim) == (v6(HOST_LINK6), v6("ff02::1"), 255)
    body = bytes(packet.icmp6.data)
    assert (packet.icmp6.type, packet.icmp6.code) == (134, 0)
    assert struct.unpack("!BBHII", body[:12]) == (64, 0, 1800, 0, 0)
    assert body[12:20] == bytes.fromhex("0101525600000002")
    kind, length, prefix_bits, flags, valid, preferred, _ = struct.unpack("!BBBBIII", body[20:36])
    assert (kind, length, prefix_bits, flags, valid, preferred) == (3, 4, 64, 0xC0, 86_400, 14_400)
    assert body[36:] == v6("fec0::")


def test_unasked_advertisements_come_every_200_to_600_seconds() -> None:
    bench = Bench()
    start_ns = bench.now_ns

    times = [start_ns, *advertisement_times(bench, 60)]

    distances = [later - earlier for earlier, later in pairwise(times)]
    assert all(INTERVAL_MIN_NS <= distance <= INTERVAL_MAX_NS for distance in distances)
    assert max(distances) > 500 * NS_PER_S and min(distances) < 300 * NS_PER_S
    assert len(set(distances)) == 60


def test_unasked_advertisement_is_the_asked_one() -> None:
    bench = Bench()
    asked = bench.ask(router_solicitation())

    assert bench.go_by(s=601)[:1] == [asked]


@pytest.mark.parametrize(("one", "other", "same"), [(1, 1, True), (1, 2, False)])
def test_times_of_advertisements_follow_the_seed(one: int, other: int, same: bool) -> None:
    times = [advertisement_times(Bench(seed=seed), 5) for seed in (one, other)]

    assert (times[0] == times[1]) == same


def test_times_of_advertisements_do_not_depend_on_when_the_timer_is_run() -> None:
    exact, late = Bench(), Bench()
    expected = advertisement_times(exact, 3)

    for expire_ns in expected:
        assert late.expire_ns("ra") == expire_ns
        late.clock.warp_to(expire_ns + 777)
        late.timers.run_expired()


@pytest.mark.parametrize(
    "frame",
    [
        router_solicitation(hlim=254),
        router_solicitation(code=1),
        router_solicitation("::", lladdr_option(1)),
        router_solicitation(options=b"\1\0" + bytes(6)),
        router_solicitation(options=b"\1\2" + bytes(6)),
        router_solicitation(options=b"\1"),
        icmpv6(133, bytes(3), "ff02::2", LINK6),
    ],
    ids=["hop limit", "code", "MAC of nobody", "option of length 0", "option cut", "option of a byte", "cut"],
)
def test_invalid_router_solicitation_is_malformed(frame: bytes) -> None:
    bench = Bench()

    assert bench.send(frame) == []
    assert bench.state.counters.malformed == 1


def test_advertisements_of_the_guest_and_redirects_are_ignored() -> None:
    bench = guest_bench()

    assert bench.send(icmpv6(134, bytes(12), "ff02::1", LINK6), icmpv6(137, bytes(36), HOST6, LINK6)) == []
    assert bench.state.counters.ignored == 2


# ---- neighbour solicitations


@pytest.mark.parametrize("target", [HOST6, DNS6, HOST_LINK6, "fe80::3"])
def test_solicitation_of_an_address_of_ours_is_answered(target: str) -> None:
    ether = parse(Bench().ask(neighbour_solicitation(target)))

    packet = ether.ip6
    assert (ether.dst, packet.dst, packet.src, packet.hlim) == (MAC, v6(LINK6), v6(target), 255)
    body = bytes(packet.icmp6.data)
    assert (packet.icmp6.type, body[:4].hex(), body[4:20]) == (136, "e0000000", v6(target))
    assert body[20:] == b"\2\1\x52\x56" + v6(target)[12:]
    assert ether.src == b"\x52\x56" + v6(target)[12:]


@pytest.mark.parametrize("target", ["fec0::1", "fec0::4", "fe80::1", IP6, "2001:db8::2", "fec0:0:0:1::2"])
def test_solicitation_of_another_address_is_not_answered(target: str) -> None:
    assert Bench().send(neighbour_solicitation(target)) == []


def test_duplicate_address_detection_of_ours_is_answered_to_all() -> None:
    packet = parse(Bench().ask(neighbour_solicitation(HOST6, "::", b""))).ip6

    assert packet.dst == v6("ff02::1")
    assert bytes(packet.icmp6.data)[:4].hex() == "a0000000"


@pytest.mark.parametrize(
    "frame",
    [
        neighbour_solicitation(HOST6, hlim=254),
        neighbour_solicitation(HOST6, code=1),
        neighbour_solicitation("ff02::1", dst="ff02::1"),
        neighbour_solicitation(HOST6, "::"),
        neighbour_solicitation(HOST6, "::", b"", dst=HOST6),
        neighbour_solicitation(HOST6, options=b"\1\0" + bytes(6)),
        icmpv6(135, bytes(4) + v6(HOST6)[:-1], HOST6, LINK6),
        neighbour_advertisement(hlim=64),
        icmpv6(136, bytes(4) + v6("ff02::1"), HOST6, LINK6),
    ],
)
def test_invalid_neighbour_message_is_malformed(frame: bytes) -> None:
    bench = Bench()

    assert bench.send(frame) == []
    assert bench.state.counters.malformed == 1
    assert bench.state.neighbours6.known == []


# ---- what is learned, and what waits


@pytest.mark.parametrize(
    "frame",
    [
        neighbour_solicitation(HOST_LINK6),
        router_solicitation(options=lladdr_option(1)),
        neighbour_advertisement(LINK6),
        neighbour_solicitation("fec0::77"),
    ],
    ids=["neighbour solicitation", "router solicitation", "neighbour advertisement", "solicitation of another"],
)
def test_sender_is_learned(frame: bytes) -> None:
    bench = Bench()
    bench.send(frame)

    assert bench.ask(ping6(HOST_LINK6, src=LINK6))[:6] == MAC


@pytest.mark.parametrize(
    "frame",
    [
        neighbour_solicitation(HOST_LINK6, options=b""),
        neighbour_advertisement(HOST6),
        neighbour_advertisement("fe80::2"),
        neighbour_advertisement(mac=b"\x33\x33\0\0\0\1"),
        icmpv6(136, bytes(4) + v6(IP6) + b"\2\1" + b"\xff" * 6, HOST6),
        icmpv6(136, bytes(4) + v6(IP6), HOST6),
    ],
)
def test_what_tells_no_mac_of_a_guest_is_not_learned(frame: bytes) -> None:
    bench = Bench()
    bench.net.receive(frame)

    assert bench.state.neighbours6.known == []


def test_answer_to_an_unknown_guest_waits_for_its_advertisement() -> None:
    bench = Bench()

    question = parse(bench.ask(ping6()))
    assert (question.dst.hex(), question.ip6.dst) == ("3333ff123456", v6("ff02::1:ff12:3456"))
    assert (question.ip6.src, question.ip6.hlim, question.ip6.icmp6.type) == (v6(HOST6), 255, 135)
    assert bytes(question.ip6.icmp6.data) == bytes(4) + v6(IP6) + bytes.fromhex("0101525600000002")

    reply = parse(bench.ask(neighbour_advertisement(mac=OTHER_MAC)))
    assert (reply.dst, reply.src.hex(), reply.ip6.icmp6.type) == (OTHER_MAC, "525600000002", 129)


def test_packet_that_waits_in_vain_is_dropped() -> None:
    bench = Bench()
    bench.net.receive(ping6())
    start_ns = bench.now_ns

    bench.go_to(start_ns + WAIT_NS)

    assert bench.state.neighbours6.waiting == []
    assert bench.state.counters.unresolved == 1
    assert bench.expire_ns("ndp") is None


def test_neighbours_and_waiting_packets_are_bounded() -> None:
    bench = Bench()
    for number in range(ENTRIES_MAX + 5):
        bench.net.receive(neighbour_advertisement(f"fec0::{0x1000 + number:x}"))
    for number in range(WAITING_MAX + 5):
        bench.net.receive(ping6(src=f"fec0::{0x2000 + number:x}"))

    assert len(bench.state.neighbours6.known) == ENTRIES_MAX
    assert len(bench.state.neighbours6.waiting) == WAITING_MAX
    assert bench.state.counters.unresolved == 5


def test_neighbour_is_forgotten_after_its_life() -> None:
    bench = Bench()
    bench.net.receive(neighbour_advertisement())

    bench.go_by(ENTRY_LIFE_NS - 1)
    assert len(bench.state.neighbours6.known) == 1
    bench.go_by(1)

    assert bench.state.neighbours6.known == []


def test_solicitation_from_a_new_address_of_the_guest_is_answered_there() -> None:
    reply = parse(Bench().ask(neighbour_solicitation(HOST6, ANY_LINK)))

    assert reply.ip6.dst == v6(ANY_LINK)


def test_several_packets_wait_behind_one_question_and_keep_their_order() -> None:
    bench = Bench()

    assert len(bench.send(*[ping6(seq=seq) for seq in range(4)])) == 1
    replies = bench.send(neighbour_advertisement())

    assert [bytes(parse(reply).ip6.icmp6.data)[3] for reply in replies] == [0, 1, 2, 3]
