"""The user network beside QEMU's: the same requests, compared frame by frame with captures of QEMU's answers.

data/README.md tells how the captures were made. Each intended difference is in one of the tables below, with its
reason; a difference that is not, or that is none any more, fails.

Two things are set aside everywhere: IP identification, because it counts the frames sent before, and the zeros that
bring a frame to 60 bytes, because QEMU adds them only for NICs other than virtio-net.
"""

from __future__ import annotations

import functools
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import dpkt
import pytest
from usernet_bench import Bench
from usernet_exchanges import FILES, SCENARIOS, Scenario
from usernet_guest import IP, MAC, dhcp_of, parse, v4

DATA = Path(__file__).parent / "data"
GUEST_PREFIX = MAC[:2]
IDENT, IP_SUM, IP_BYTES, UDP_SUM = 18, 24, slice(14, 34), 40

Frames = list[bytes]


# ---- intended differences

ANSWERED_ONLY_BY_QEMU = {
    "request that chose another server": "RFC 2131, 3.1: it declines our offer",
    "tcp rst": "RFC 9293, 3.5.2: a reset is never answered by a reset",
    "tcp syn to a broadcast address": "RFC 9293, 3.9.2.3: a segment to a broadcast address is discarded",
}

ANSWERED_ONLY_HERE = {
    "inform": "RFC 2131, 4.3.5: DHCPINFORM gets a DHCPACK",
    "tftp write": "RFC 1350: a request that is refused gets an error",
    "tftp ack without a transfer": "RFC 1350, 4: a packet from an unknown TID gets error 5",
    "tftp data without a transfer": "RFC 1350, 4: a packet from an unknown TID gets error 5",
    "tftp unknown operation": "RFC 1350: error 4",
    "tftp timeout option, ack 0": "after the answer to the option (below) the data comes with this packet",
}


def no_address_in_a_nak(frame: bytes) -> bytes:
    """Yiaddr and siaddr 0, and option 54 before the message."""
    message = dhcp_of(frame)
    message.yiaddr = message.siaddr = 0
    kind, text = message.opts
    message.opts, message.data = [kind, (54, b"\x0a\x00\x02\x02"), text], b""
    return with_udp_payload(frame, bytes(message).ljust(548, b"\0"))


def to_ciaddr(frame: bytes) -> bytes:
    packet = parse(frame).data
    packet.dst = v4(IP)
    packet.data.sum = packet.sum = 0
    return MAC + frame[6:14] + bytes(packet)


def bootp_reply(frame: bytes) -> bytes:
    """No options that only DHCP has, and 300 bytes."""
    message = dhcp_of(frame)
    message.opts = [(code, value) for code, value in message.opts if code not in (51, 53, 54)]
    message.data = b""
    return with_udp_payload(frame, bytes(message).ljust(300, b"\0"))


def broadcast_flag(frame: bytes) -> bytes:
    message = dhcp_of(frame)
    message.flags = 0x8000
    return with_udp_payload(frame, bytes(message))


def error_1_from_port_69(frame: bytes) -> bytes:
    frame = frame[:34] + struct.pack("!H", 69) + frame[36:]
    return with_udp_payload(frame, b"\0\5\0\1File not found\0")


def option_ack_of_timeout(frame: bytes) -> bytes:
    return with_udp_payload(frame, b"\0\6timeout\x003\0")


def fin_counted(frame: bytes) -> bytes:
    packet = parse(frame).data
    packet.data.ack += 1
    packet.data.sum = packet.sum = 0
    return frame[:14] + bytes(packet)


def echo_reply_to_what_is_quoted(frame: bytes) -> bytes:
    """QEMU says "time exceeded" and quotes the request."""
    packet = dpkt.ip.IP(frame[14 + 20 + 8 :])
    packet.src, packet.dst, packet.ttl, packet.sum = packet.dst, packet.src, 255, 0
    packet.data.type, packet.data.sum = 0, 0
    return frame[:14] + bytes(packet)


CHANGED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "request outside the pool": (no_address_in_a_nak, "RFC 2131, table 3"),
    "request outside the network": (no_address_in_a_nak, "RFC 2131, table 3"),
    "request of a taken address by another MAC": (no_address_in_a_nak, "RFC 2131, table 3"),
    "request renewing": (to_ciaddr, "RFC 2131, 4.1: a client that has an address is answered there"),
    "plain bootp": (bootp_reply, "RFC 1534, 2"),
    "discover with the broadcast flag": (broadcast_flag, "RFC 2131, table 3: flags are the client's"),
    "ping host, ttl 0": (echo_reply_to_what_is_quoted, "RFC 1122, 3.2.1.7: a host takes what has arrived"),
    "tftp folder": (error_1_from_port_69, "QEMU opens the folder, fails to read it, and answers from port 0"),
    "tftp timeout option": (option_ack_of_timeout, "RFC 2349: timeout is granted"),
    "tcp fin without ack": (fin_counted, "RFC 9293, 3.4: FIN takes a sequence number"),
}


# ---- what both said


def with_udp_payload(frame: bytes, payload: bytes) -> bytes:
    """``frame`` with other UDP data, and lengths and checksums to match."""
    packet = parse(frame).data
    packet.data.data, packet.data.ulen = payload, 8 + len(payload)
    packet.data.sum = packet.sum = 0
    return frame[:14] + bytes(packet)


def comparable(frame: bytes) -> bytes:
    """``frame`` without identification, and with QEMU's padding."""
    if frame[12:14] == b"\x08\x00":
        header = frame[14:IDENT] + b"\0\0" + frame[IDENT + 2 : IP_SUM] + b"\0\0" + frame[IP_SUM + 2 : 34]
        assert dpkt.in_cksum(frame[IP_BYTES]) == 0
        frame = frame[:14] + header + frame[34:]
    return frame.ljust(60, b"\0")


def from_guest(frame: bytes) -> bool:
    return frame[6:8] == GUEST_PREFIX


def captured(scenario: Scenario) -> list[tuple[bytes, Frames]]:
    """Each request and what QEMU answered."""
    with (DATA / f"{scenario.name}.pcap").open("rb") as file:
        frames = [frame for _, frame in dpkt.pcap.Reader(file)]
    exchanges: list[tuple[bytes, Frames]] = []
    for frame in frames:
        if from_guest(frame):
            exchanges.append((frame, []))
        else:
            exchanges[-1][1].append(frame)
    return exchanges


@functools.cache
def answers(scenario_name: str) -> dict[str, tuple[Frames, Frames]]:
    """QEMU's answers and ours, by the name of the exchange."""
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == scenario_name)
    bench = Bench(FILES if scenario.tftp else None, **scenario.config)
    both = {}
    for (name, request), (_, theirs) in zip(scenario.exchanges, captured(scenario), strict=True):
        both[name] = ([comparable(f) for f in theirs], [comparable(f) for f in bench.send(request)])
    return both


ALL = [(scenario.name, name) for scenario in SCENARIOS for name, _ in scenario.exchanges]


# ---- tests


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_capture_holds_the_requests_of_today(scenario: Scenario) -> None:
    names = [name for name, _ in scenario.exchanges]

    assert len(set(names)) == len(names)
    assert [request for request, _ in captured(scenario)] == [request for _, request in scenario.exchanges]


@pytest.mark.parametrize(("scenario", "name"), ALL, ids=[f"{scenario}: {name}" for scenario, name in ALL])
def test_exchange_is_answered_as_by_qemu_or_as_intended(scenario: str, name: str) -> None:
    theirs, ours = answers(scenario)[name]

    if name in ANSWERED_ONLY_BY_QEMU:
        assert theirs and not ours
    elif name in ANSWERED_ONLY_HERE:
        assert ours and not theirs
    elif name in CHANGED:
        change = CHANGED[name][0]
        assert ours == [comparable(change(frame)) for frame in theirs]
        assert ours != theirs
    else:
        assert ours == theirs


def test_every_listed_difference_is_asked_for() -> None:
    listed = {*ANSWERED_ONLY_BY_QEMU, *ANSWERED_ONLY_HERE, *CHANGED}

    assert listed <= {name for _, name in ALL}


def test_most_exchanges_have_an_answer() -> None:
    answered = [name for scenario, name in ALL if answers(scenario)[name][0]]

    assert len(answered) > 100


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_qemu_here_answers_as_captured(scenario: Scenario, need: Callable[[str, object], None]) -> None:
    need("qemu-system-riscv64", shutil.which("qemu-system-riscv64"))
    sys.path.insert(0, str(DATA))
    from capture import capture

    now = [comparable(frame) for frame in capture(scenario) if not from_guest(frame)]

    assert now == [comparable(frame) for _, replies in captured(scenario) for frame in replies]
