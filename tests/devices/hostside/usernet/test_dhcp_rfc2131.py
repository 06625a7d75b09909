"""Each DHCP reply, field by field and option by option, beside RFC 2131, table 3 (what DHCP servers send)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from dpkt import dhcp
from usernet_bench import Bench
from usernet_guest import HOST, IP, MAC, dhcp_frame, dhcp_message, dhcp_of, discover, request, udp4, udp_payload, v4

XID, FLAGS, GIADDR = 0xCAFE_0001, 0x8000, "10.0.2.200"
ASKED = {"xid": XID, "flags": FLAGS, "giaddr": GIADDR}
CONFIG = {"hostname": "guest", "domainname": "lan", "tftp_server_name": "tftp", "bootfile": "boot"}
CLIENT_OPTIONS = [(12, b"mine"), (57, b"\x05\xdc"), (60, b"vendor"), (61, b"\1" + MAC), (55, bytes([1, 3, 6, 51]))]

NETMASK, ROUTER, DNS, REQUESTED, LEASE, OVERLOAD, KIND = 1, 3, 6, 50, 51, 52, 53
SERVER_ID, PARAMETERS, MESSAGE, SIZE_MAX, CLIENT_ID = 54, 55, 56, 57, 61


@dataclass(frozen=True)
class Reply:
    column: str
    message: dhcp.DHCP
    options: dict[int, bytes]
    payload: bytes


def inform() -> bytes:
    return dhcp_frame(8, CLIENT_OPTIONS, ciaddr=IP, dst=HOST, **ASKED)


FRAMES: dict[str, Callable[[], bytes]] = {
    "OFFER": lambda: discover(IP, **ASKED),
    "ACK": lambda: request(IP, HOST, **ASKED),
    "ACK renewing": lambda: request(ciaddr=IP, dst=HOST, **ASKED),
    "ACK inform": inform,
    "NAK": lambda: request("10.0.2.99", **ASKED),
    "OFFER, many client options": lambda: dhcp_frame(1, CLIENT_OPTIONS, **ASKED),
    "ACK, many client options": lambda: dhcp_frame(3, [(REQUESTED, v4(IP)), *CLIENT_OPTIONS], **ASKED),
    "NAK, many client options": lambda: dhcp_frame(3, [(REQUESTED, v4("10.0.2.99")), *CLIENT_OPTIONS], **ASKED),
}


@pytest.fixture(params=[(name, restrict) for name in FRAMES for restrict in (False, True)], ids=str)
def reply(request: pytest.FixtureRequest) -> Reply:
    name, restrict = request.param
    frame = Bench(restrict=restrict, **CONFIG).ask(FRAMES[name]())
    message = dhcp_of(frame)
    return Reply(name.split(",")[0], message, dict(message.opts), udp_payload(frame))


def test_op_htype_hlen_hops_and_secs(reply: Reply) -> None:
    assert (reply.message.op, reply.message.hrd, reply.message.hln) == (2, 1, 6)
    assert (reply.message.hops, reply.message.secs) == (0, 0)


def test_xid_is_the_clients(reply: Reply) -> None:
    assert reply.message.xid == XID


def test_ciaddr_is_the_clients_or_0_and_0_in_offer_and_nak(reply: Reply) -> None:
    allowed = {0} if reply.column in ("OFFER", "NAK", "ACK") else {0, int.from_bytes(v4(IP), "big")}

    assert reply.message.ciaddr in allowed


def test_yiaddr_is_the_address_in_offer_and_ack_and_0_in_nak_and_answers_to_inform(reply: Reply) -> None:
    expected = 0 if reply.column in ("NAK", "ACK inform") else int.from_bytes(v4(IP), "big")

    assert reply.message.yiaddr == expected


def test_siaddr_is_the_next_server_and_0_in_nak(reply: Reply) -> None:
    assert reply.message.siaddr == (0 if reply.column == "NAK" else int.from_bytes(v4(HOST), "big"))


def test_flags_and_giaddr_are_the_clients(reply: Reply) -> None:
    assert reply.message.flags == FLAGS
    assert reply.message.giaddr == int.from_bytes(v4(GIADDR), "big")


def test_chaddr_is_the_clients(reply: Reply) -> None:
    assert reply.payload[28:44] == MAC + bytes(10)


def test_sname_and_file_are_unused_in_nak(reply: Reply) -> None:
    assert reply.message.sname == bytes(64)
    assert reply.message.file == (b"" if reply.column == "NAK" else b"boot").ljust(128, b"\0")


def test_options_begin_with_the_magic_cookie_and_end_with_255(reply: Reply) -> None:
    assert reply.payload[236:240] == bytes([99, 130, 83, 99])
    assert b"\xff" in reply.payload[240:]


def test_message_type_comes_first(reply: Reply) -> None:
    expected = {"OFFER": 2, "ACK": 5, "NAK": 6}[reply.column.split()[0]]

    assert reply.message.opts[0] == (KIND, bytes([expected]))


def test_server_identifier_must_be_there(reply: Reply) -> None:
    assert reply.options[SERVER_ID] == v4(HOST)


def test_lease_time_must_be_in_offer_and_ack_and_must_not_in_nak_and_answers_to_inform(reply: Reply) -> None:
    assert (LEASE in reply.options) == (reply.column not in ("NAK", "ACK inform"))


def test_what_a_server_must_not_send_is_absent(reply: Reply) -> None:
    assert not {REQUESTED, PARAMETERS, CLIENT_ID, SIZE_MAX} & set(reply.options)


def test_overload_is_not_used(reply: Reply) -> None:
    assert OVERLOAD not in reply.options


def test_message_should_be_in_nak(reply: Reply) -> None:
    assert (MESSAGE in reply.options) == (reply.column == "NAK")


def test_nak_has_no_other_options(reply: Reply) -> None:
    if reply.column == "NAK":
        assert list(reply.options) == [KIND, SERVER_ID, MESSAGE]
    else:
        assert NETMASK in reply.options


def test_router_comes_after_the_netmask(reply: Reply) -> None:
    """RFC 2132, section 3.3."""
    codes = list(reply.options)

    assert ROUTER not in codes or codes.index(NETMASK) < codes.index(ROUTER)


def test_no_option_comes_twice(reply: Reply) -> None:
    assert len(reply.message.opts) == len(reply.options)


def test_request_whose_options_are_cut_is_no_reason_to_answer() -> None:
    assert Bench().send(udp4("255.255.255.255", 67, dhcp_message(1)[:241], 68, "0.0.0.0")) == []
