"""DHCP: who gets which address, for how long, and what is not answered."""

from __future__ import annotations

import pytest
from usernet_bench import Bench, lease, message_type
from usernet_exchanges import mac_number
from usernet_guest import (
    HOST,
    IP,
    MAC,
    OTHER_MAC,
    Options,
    address,
    dhcp_frame,
    dhcp_message,
    dhcp_of,
    dhcp_options,
    discover,
    parse,
    ping,
    request,
    udp4,
    udp_payload,
    v4,
)

from minstret.devices.hostside.usernet.dhcp import DECLINED_NS, LEASE_S, OFFER_NS, SLOTS, Use
from minstret.emu.units import NS_PER_S

OFFER, ACK, NAK = 2, 5, 6
LAST = "10.0.2.30"


def yiaddr(frame: bytes) -> str:
    return address(dhcp_of(frame).yiaddr)


def release(ciaddr: str = IP, **more: object) -> bytes:
    return dhcp_frame(7, [(54, v4(HOST))], ciaddr=ciaddr, dst=HOST, **more)


def decline(requested: str = IP, **more: object) -> bytes:
    return dhcp_frame(4, [(50, v4(requested)), (54, v4(HOST))], **more)


def uses(bench: Bench) -> list[str]:
    return [slot.use.value for slot in bench.state.dhcp.slots if slot.use is not Use.FREE]


# ---- how replies travel


@pytest.mark.parametrize("frame", [discover(), request(IP), request("10.0.2.99")], ids=["offer", "ack", "nak"])
def test_reply_is_a_broadcast_frame_of_590_bytes(frame: bytes) -> None:
    reply = Bench().ask(frame)

    ether = parse(reply)
    assert len(reply) == 590
    assert (ether.dst, ether.src.hex()) == (b"\xff" * 6, "52550a000202")
    assert (ether.ip.src, ether.ip.dst, ether.ip.ttl, ether.ip.tos) == (v4(HOST), b"\xff" * 4, 64, 0x10)
    assert (ether.ip.udp.sport, ether.ip.udp.dport) == (67, 68)


@pytest.mark.parametrize(("restrict", "codes"), [(True, [53, 54, 1, 51]), (False, [53, 54, 1, 3, 6, 51])])
def test_options_come_in_libslirps_order(restrict: bool, codes: list[int]) -> None:
    offer = Bench(restrict=restrict).ask(discover())

    assert [code for code, _ in dhcp_options(offer)] == codes


def test_options_have_the_networks_values() -> None:
    options = dict(dhcp_options(Bench().ask(discover())))

    assert options[54] == options[3] == v4("10.0.2.2")
    assert options[6] == v4("10.0.2.3")
    assert options[1] == v4("255.255.255.0")
    assert int.from_bytes(options[51], "big") == LEASE_S == 86_400


def test_configured_names_follow_the_lease_time_and_the_bootfile_is_a_field() -> None:
    config = {"hostname": "guest", "domainname": "lan", "tftp_server_name": "boot", "bootfile": "pxe/grub"}
    offer = Bench(restrict=True, **config).ask(discover())

    assert dhcp_options(offer)[3:] == [(51, LEASE_S.to_bytes(4, "big")), (12, b"guest"), (15, b"lan"), (66, b"boot")]
    assert dhcp_of(offer).file.rstrip(b"\0") == b"pxe/grub"


def test_acknowledgement_carries_what_the_offer_did() -> None:
    bench = Bench(hostname="guest", bootfile="b")
    offer, ack = bench.ask(discover()), bench.ask(request(IP, HOST))

    assert dhcp_options(offer)[1:] == dhcp_options(ack)[1:]
    assert dhcp_of(offer).file == dhcp_of(ack).file


def test_server_may_be_asked_directly() -> None:
    assert message_type(Bench().ask(request(ciaddr=IP, dst=HOST))) == ACK


@pytest.mark.parametrize("dst", ["10.0.2.3", "10.0.2.255", "10.0.2.4"])
def test_request_to_somewhere_else_vanishes(dst: str) -> None:
    assert Bench().send(discover(dst=dst)) == []


# ---- DISCOVER


def test_first_client_is_offered_the_first_address_and_the_next_the_second() -> None:
    bench = Bench()

    assert [yiaddr(bench.ask(discover(mac=mac))) for mac in (MAC, OTHER_MAC, MAC)] == [IP, "10.0.2.16", IP]


def test_requested_address_is_offered_if_free() -> None:
    assert yiaddr(Bench().ask(discover(LAST))) == LAST


def test_requested_address_is_offered_to_whom_it_belongs() -> None:
    bench = Bench()
    assert lease(bench, MAC, "10.0.2.20") == "10.0.2.20"

    assert yiaddr(bench.ask(discover("10.0.2.20"))) == "10.0.2.20"


@pytest.mark.parametrize("wanted", [IP, "10.0.2.14", "10.0.2.31", "192.168.0.5", "0.0.0.0"])
def test_requested_address_that_cannot_be_had_gives_way_to_the_first_free(wanted: str) -> None:
    bench = Bench()
    lease(bench, OTHER_MAC)

    assert yiaddr(bench.ask(discover(wanted))) == "10.0.2.16"


def test_first_address_that_is_free_or_the_clients_is_offered() -> None:
    bench = Bench()
    lease(bench, MAC, "10.0.2.17")

    assert yiaddr(bench.ask(discover())) == IP


def test_full_pool_is_silent_to_strangers_and_serves_its_clients() -> None:
    bench = Bench()
    for number in range(SLOTS):
        assert lease(bench, mac_number(number)) == f"10.0.2.{15 + number}"

    assert bench.send(discover()) == []
    assert yiaddr(bench.ask(discover(mac=mac_number(7)))) == "10.0.2.22"


def test_offer_is_kept_for_a_minute_and_then_forgotten() -> None:
    bench = Bench()
    bench.net.receive(discover())
    start_ns = bench.now_ns

    bench.go_to(start_ns + OFFER_NS - 1)
    assert uses(bench) == ["offered"]
    assert bench.expire_ns("lease") == start_ns + OFFER_NS
    bench.go_to(start_ns + OFFER_NS)

    assert uses(bench) == []
    assert bench.expire_ns("lease") is None


# ---- REQUEST


def test_request_of_a_free_address_is_granted_without_an_offer() -> None:
    ack = Bench().ask(request("10.0.2.25"))

    assert (message_type(ack), yiaddr(ack)) == (ACK, "10.0.2.25")


@pytest.mark.parametrize("dst", [HOST, "255.255.255.255"], ids=["renewing", "rebinding"])
def test_client_that_has_its_address_is_answered_there(dst: str) -> None:
    bench = Bench()
    lease(bench, MAC)

    ack = bench.ask(request(ciaddr=IP, dst=dst))

    ether = parse(ack)
    assert message_type(ack) == ACK
    assert (ether.dst, ether.ip.dst, ether.ip.udp.dport) == (MAC, v4(IP), 68)


@pytest.mark.parametrize(
    "frame",
    [
        request(IP, HOST), request(IP), request(IP, ciaddr="10.0.2.16"), request(ciaddr="10.0.2.99"),
        request(ciaddr=IP, giaddr="10.0.2.20"),
    ],
    ids=["selecting", "rebooting", "another ciaddr", "nak", "behind a relay"],
)  # fmt: skip
def test_all_others_are_answered_by_broadcast(frame: bytes) -> None:
    ether = parse(Bench().ask(frame))

    assert (ether.dst, ether.ip.dst) == (b"\xff" * 6, b"\xff" * 4)


def test_request_that_names_another_server_is_not_answered_and_frees_the_offer() -> None:
    bench = Bench()
    bench.ask(discover())

    assert bench.send(request("192.168.7.9", "192.168.7.1")) == []

    assert uses(bench) == []
    assert bench.expire_ns("lease") is None
    assert yiaddr(bench.ask(discover(mac=OTHER_MAC))) == IP


def test_request_that_names_another_server_leaves_leases_and_others_offers_alone() -> None:
    bench = Bench()
    lease(bench, MAC)
    bench.ask(discover(mac=OTHER_MAC))

    assert bench.send(request(IP, "10.0.2.3")) == []

    assert uses(bench) == ["leased", "offered"]


@pytest.mark.parametrize("kind", [4, 7], ids=["decline", "release"])
def test_decline_and_release_for_another_server_change_nothing(kind: int) -> None:
    bench = Bench()
    lease(bench, MAC)

    assert bench.send(dhcp_frame(kind, [(50, v4(IP)), (54, v4("192.168.7.1"))], ciaddr=IP, dst=HOST)) == []

    assert uses(bench) == ["leased"]


def test_request_without_option_50_means_ciaddr() -> None:
    ack = Bench().ask(request(ciaddr="10.0.2.25", dst=HOST))

    assert (message_type(ack), yiaddr(ack)) == (ACK, "10.0.2.25")


def test_option_50_goes_before_ciaddr() -> None:
    assert yiaddr(Bench().ask(request("10.0.2.26", ciaddr="10.0.2.25"))) == "10.0.2.26"


@pytest.mark.parametrize("wanted", ["10.0.2.16", "10.0.2.14", "10.0.2.31", "192.168.0.5", "255.255.255.255"])
@pytest.mark.parametrize("by_ciaddr", [False, True])
def test_request_of_an_address_that_cannot_be_had_gets_a_nak(wanted: str, by_ciaddr: bool) -> None:
    bench = Bench()
    bench.ask(request("10.0.2.16", mac=OTHER_MAC))

    nak = bench.ask(dhcp_nak_case(wanted, by_ciaddr))

    assert message_type(nak) == NAK
    assert dict(dhcp_options(nak))[56] == b"requested address not available"
    assert yiaddr(nak) == "0.0.0.0"


def dhcp_nak_case(wanted: str, by_ciaddr: bool) -> bytes:
    if not by_ciaddr:
        return request(wanted)
    return udp4("255.255.255.255", 67, dhcp_message(3, ciaddr=wanted), 68, "0.0.0.0")


def test_request_that_names_no_address_gets_the_clients_own_or_a_free_one() -> None:
    bench = Bench()
    lease(bench, OTHER_MAC, "10.0.2.20")

    assert yiaddr(bench.ask(request(mac=OTHER_MAC))) == "10.0.2.20"
    assert yiaddr(bench.ask(request())) == IP


def test_request_that_names_no_address_is_silent_when_the_pool_is_full() -> None:
    bench = Bench()
    for number in range(SLOTS):
        lease(bench, mac_number(number))

    assert bench.send(request()) == []


# ---- BOOTP


def bootp_without_cookie(**more: str) -> bytes:
    message = dhcp_message(None, **more)[:236] + bytes(64)
    return udp4("255.255.255.255", 67, message, 68, more.get("ciaddr", "0.0.0.0"))


@pytest.mark.parametrize(("restrict", "codes"), [(True, [1, 12, 15]), (False, [1, 3, 6, 12, 15])])
def test_bootp_client_gets_a_bootp_reply(restrict: bool, codes: list[int]) -> None:
    names = {"hostname": "guest", "domainname": "lan", "tftp_server_name": "tftp", "bootfile": "boot"}

    reply = Bench(restrict=restrict, **names).ask(dhcp_frame(None))

    assert len(udp_payload(reply)) == 300
    assert yiaddr(reply) == IP
    assert [code for code, _ in dhcp_options(reply)] == codes  # no message type, no server, no lease time
    assert dhcp_of(reply).file.rstrip(b"\0") == b"boot"
    assert address(dhcp_of(reply).siaddr) == HOST


def test_bootp_reply_leaves_out_options_that_do_not_fit() -> None:
    reply = Bench(hostname="h" * 60, domainname="lan").ask(dhcp_frame(None))

    assert len(udp_payload(reply)) == 300
    assert [code for code, _ in dhcp_options(reply)] == [1, 3, 6, 15]


def test_bootp_client_without_the_magic_cookie_gets_no_options() -> None:
    payload = udp_payload(Bench(bootfile="boot").ask(bootp_without_cookie()))

    assert payload[16:20] == v4(IP)
    assert payload[108:112] == b"boot"
    assert payload[236:] == bytes(64)


def test_bootp_client_that_knows_its_address_is_answered_there() -> None:
    bench = Bench()

    reply = bench.ask(dhcp_frame(None, ciaddr="10.0.2.77"))

    ether = parse(reply)
    assert (ether.dst, ether.ip.dst) == (MAC, v4("10.0.2.77"))
    assert (yiaddr(reply), address(dhcp_of(reply).ciaddr)) == ("10.0.2.77", "10.0.2.77")
    assert uses(bench) == []


@pytest.mark.parametrize("ciaddr", [IP, "192.168.0.5"], ids=["taken", "elsewhere"])
def test_bootp_client_with_an_address_that_is_not_its_own_gets_no_answer(ciaddr: str) -> None:
    bench = Bench()
    lease(bench, OTHER_MAC)

    assert bench.send(bootp_without_cookie(ciaddr=ciaddr)) == []


def test_bootp_client_keeps_its_address_for_good() -> None:
    bench = Bench()
    bench.ask(dhcp_frame(None))

    assert bench.expire_ns("lease") is None
    bench.go_by(s=10 * LEASE_S)

    assert uses(bench) == ["leased"]
    assert yiaddr(bench.ask(dhcp_frame(None))) == IP
    assert yiaddr(bench.ask(discover(IP, mac=OTHER_MAC))) == "10.0.2.16"


# ---- leases end


def test_lease_ends_after_a_day_unless_renewed() -> None:
    bench = Bench()
    bench.net.receive(request(IP))
    start_ns, lease_ns = bench.now_ns, LEASE_S * NS_PER_S

    bench.go_to(start_ns + lease_ns // 2)
    bench.net.receive(request(ciaddr=IP, dst=HOST))
    bench.go_to(start_ns + lease_ns)
    assert uses(bench) == ["leased"]
    bench.go_to(start_ns + lease_ns + lease_ns // 2 - 1)
    assert uses(bench) == ["leased"]
    bench.go_to(start_ns + lease_ns + lease_ns // 2)
    assert uses(bench) == []

    assert yiaddr(bench.ask(request(IP, mac=OTHER_MAC))) == IP


def test_discover_does_not_shorten_a_lease() -> None:
    bench = Bench()
    lease(bench, MAC)
    expire_ns = bench.expire_ns("lease")

    bench.ask(discover())

    assert bench.expire_ns("lease") == expire_ns


# ---- RELEASE, DECLINE, INFORM


def test_release_frees_the_address_and_is_not_answered() -> None:
    bench = Bench()
    lease(bench, MAC)

    assert bench.send(release()) == []

    assert uses(bench) == []
    assert lease(bench, OTHER_MAC) == IP


@pytest.mark.parametrize(
    "frame", [release(mac=OTHER_MAC), release("10.0.2.16"), release("10.0.2.99"), release("0.0.0.0")]
)
def test_release_of_what_is_not_the_clients_changes_nothing(frame: bytes) -> None:
    bench = Bench()
    lease(bench, MAC)

    assert bench.send(frame) == []

    assert uses(bench) == ["leased"]


def test_declined_address_is_given_to_nobody_for_ten_minutes() -> None:
    bench = Bench()
    lease(bench, MAC)
    assert bench.send(decline()) == []
    start_ns = bench.now_ns

    assert uses(bench) == ["declined"]
    assert yiaddr(bench.ask(discover())) == "10.0.2.16"
    assert yiaddr(bench.ask(discover(IP))) == "10.0.2.16"
    assert message_type(bench.ask(request(IP))) == NAK
    assert message_type(bench.ask(request(IP, mac=OTHER_MAC))) == NAK

    bench.go_to(start_ns + DECLINED_NS)
    assert yiaddr(bench.ask(discover(IP, mac=OTHER_MAC))) == IP


@pytest.mark.parametrize("frame", [decline(mac=OTHER_MAC), decline("10.0.2.16"), decline("10.0.2.99"), dhcp_frame(4)])
def test_decline_of_what_is_not_the_clients_changes_nothing(frame: bytes) -> None:
    bench = Bench()
    lease(bench, MAC)

    assert bench.send(frame) == []

    assert uses(bench) == ["leased"]


def test_inform_is_acknowledged_to_the_client_alone_and_leases_nothing() -> None:
    bench = Bench(hostname="guest")

    reply = bench.ask(dhcp_frame(8, ciaddr="10.0.2.77", dst=HOST))

    ether = parse(reply)
    assert (ether.dst, ether.ip.dst) == (MAC, v4("10.0.2.77"))
    assert [code for code, _ in dhcp_options(reply)] == [53, 54, 1, 3, 6, 12]
    assert (message_type(reply), yiaddr(reply), address(dhcp_of(reply).ciaddr)) == (ACK, "0.0.0.0", "10.0.2.77")
    assert uses(bench) == []


@pytest.mark.parametrize("ciaddr", ["0.0.0.0", HOST, "10.0.2.255", "8.8.8.8"])
def test_inform_without_an_address_of_the_network_is_dropped(ciaddr: str) -> None:
    bench = Bench()

    assert bench.send(udp4("255.255.255.255", 67, dhcp_message(8, ciaddr=ciaddr), 68, "0.0.0.0")) == []
    assert bench.state.counters.malformed == 1


@pytest.mark.parametrize("kind", [OFFER, ACK, NAK, 9, 13, 255])
def test_messages_that_no_client_sends_are_not_answered(kind: int) -> None:
    bench = Bench()

    assert bench.send(dhcp_frame(kind)) == []
    assert uses(bench) == []


def test_client_with_a_lease_can_be_reached() -> None:
    bench = Bench()
    lease(bench, OTHER_MAC)

    assert bench.ask(ping(src=IP, mac=OTHER_MAC))[:6] == OTHER_MAC


# ---- malformed


def changed(at: int, value: bytes) -> bytes:
    message = dhcp_message(1)
    return message[:at] + value + message[at + len(value) :]


@pytest.mark.parametrize(
    "message",
    [
        b"", dhcp_message(1)[:100], dhcp_message(1)[:239], changed(0, b"\2"), changed(1, b"\6"), changed(2, b"\x10"),
        changed(28, b"\xff" * 6), changed(28, bytes(6)), dhcp_message(1, [(50, b"\x0a\0\2")]),
        dhcp_message(1)[:240] + b"\x35",
    ],
)  # fmt: skip
def test_malformed_message_is_dropped(message: bytes) -> None:
    bench = Bench()

    assert bench.send(udp4("255.255.255.255", 67, message, 68, "0.0.0.0")) == []
    assert bench.state.counters.malformed == 1
    assert uses(bench) == []


@pytest.mark.parametrize("options", [b"\0" * 60, b"\x35\1\1", b"\x35\1\1\xff", b"\0\0\x35\1\1\0\xff" + b"\x35\1\3"])
def test_padding_and_a_missing_end_are_no_fault(options: bytes) -> None:
    reply = Bench().ask(udp4("255.255.255.255", 67, dhcp_message(None)[:240] + options, 68, "0.0.0.0"))

    assert dict(dhcp_options(reply)).get(53) == (bytes([OFFER]) if b"\x35" in options else None)


def test_first_of_two_options_counts() -> None:
    options: Options = [(50, v4("10.0.2.18")), (50, v4("10.0.2.19"))]

    assert yiaddr(Bench().ask(dhcp_frame(1, options))) == "10.0.2.18"


def test_reply_fills_its_message_with_zeros_after_the_end() -> None:
    payload = udp_payload(Bench().ask(discover()))

    assert len(payload) == 548
    lease_time = payload.index(b"\x33\4\0\1\x51\x80")
    assert payload[lease_time + 6 :] == b"\xff".ljust(548 - lease_time - 6, b"\0")
