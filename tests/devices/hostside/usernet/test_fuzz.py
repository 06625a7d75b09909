"""A hostile guest: random frames, and right ones with wrong bytes, in any order and at any time."""

from __future__ import annotations

import random
from collections.abc import Callable

import dpkt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from usernet_bench import Bench
from usernet_exchanges import FILES, SCENARIOS
from usernet_guest import dns_query, tftp, udp4

from minstret.devices.hostside.usernet.dhcp import NEVER_NS, SLOTS
from minstret.devices.hostside.usernet.link import FRAMES_MAX
from minstret.devices.hostside.usernet.neighbours import ENTRIES_MAX, WAITING_MAX
from minstret.devices.hostside.usernet.network import UserNetState
from minstret.devices.hostside.usernet.packets import FRAME_BYTES_MAX, checksum
from minstret.devices.hostside.usernet.tftp import TRANSFERS_MAX
from minstret.emu.state import canonical_bytes, from_plain, to_plain
from minstret.emu.units import NS_PER_S

GOOD = [request for scenario in SCENARIOS for _, request in scenario.exchanges] + [udp4("10.0.2.3", 53, dns_query())]
HEADERS = [b"\x08\x00", b"\x08\x06", b"\x86\xdd", b"\x81\x00", b"\x00\x2e"]
STATE_BYTES_MAX = 2_500_000
"""What a full state takes as JSON, in which a byte takes two characters: mostly 256 frames of 1514 bytes, and 32
packets that wait."""

Mutation = tuple[int, int, int]
"""Position, what to do there, value."""


def mutate(frame: bytes, mutations: list[Mutation], is_repaired: bool) -> bytes:
    """``frame`` with some bytes changed, put in or taken out, and perhaps its checksums made right again."""
    data = bytearray(frame)
    for position, action, value in mutations:
        at = position % (len(data) + 1)
        if action == 0:
            data[at : at + 1] = bytes([value])
        elif action == 1:
            data[at:at] = bytes([value]) * (1 + value % 7)
        elif action == 2:
            del data[at : at + 1 + value % 7]
        else:
            del data[at:]
    return repair(bytes(data)) if is_repaired else bytes(data)


def repair(frame: bytes) -> bytes:
    """Right lengths and checksums, so that a change is not stopped by them."""
    if frame[12:14] == b"\x08\x00" and len(frame) >= 34:
        return repair_ipv4(frame)
    if frame[12:14] == b"\x86\xdd" and len(frame) >= 58 and frame[20] in (6, 58):
        return repair_ipv6(frame)
    return frame


def repair_ipv4(frame: bytes) -> bytes:
    size, protocol, header_bytes = len(frame) - 14, frame[23], (frame[14] & 15) * 4
    head = frame[14:16] + size.to_bytes(2, "big") + frame[18:24] + b"\0\0" + frame[26:34]
    options, body = frame[34 : 14 + header_bytes], frame[14 + max(20, header_bytes) :]
    if protocol == 1 and len(body) >= 4:
        body = body[:2] + b"\0\0" + body[4:]
        body = body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
    elif protocol == 17 and len(body) >= 8:
        body = body[:4] + len(body).to_bytes(2, "big") + b"\0\0" + body[8:]
    head = head[:10] + checksum(head + options).to_bytes(2, "big") + head[12:]
    return frame[:14] + head + options + body


def repair_ipv6(frame: bytes) -> bytes:
    body, at = frame[54:], 16 if frame[20] == 6 else 2
    if len(body) < at + 2:
        return frame
    body = body[:at] + b"\0\0" + body[at + 2 :]
    pseudo = frame[22:54] + len(body).to_bytes(4, "big") + b"\0\0\0" + frame[20:21]
    body = body[:at] + dpkt.in_cksum(pseudo + body).to_bytes(2, "big") + body[at + 2 :]
    return frame[:18] + len(body).to_bytes(2, "big") + frame[20:54] + body


mutations = st.lists(st.tuples(st.integers(0, 700), st.integers(0, 3), st.integers(0, 255)), max_size=4)
mutated = st.builds(mutate, st.sampled_from(GOOD), mutations, st.booleans())
noise = st.builds(
    lambda head, kind, body: head + kind + body, st.binary(min_size=12, max_size=12), st.sampled_from(HEADERS),
    st.binary(max_size=200),
)  # fmt: skip
tftp_noise = st.builds(
    lambda opcode, body: tftp(b"\0" + bytes([opcode]) + body), st.integers(0, 8), st.binary(max_size=60)
)
pauses = st.sampled_from([0, 1, 1000, 50_000, NS_PER_S // 3, NS_PER_S, 61 * NS_PER_S, 86_401 * NS_PER_S])
actions = st.lists(mutated | mutated | mutated | noise | tftp_noise | st.binary(max_size=80) | pauses, max_size=40)


def check_bounds(state: UserNetState) -> None:
    assert len(state.link.frames) <= FRAMES_MAX
    assert len(state.dhcp.slots) == SLOTS
    assert len(state.tftp.transfers) <= TRANSFERS_MAX
    for table in (state.arp, state.neighbours6):
        assert len(table.known) <= ENTRIES_MAX
        assert len(table.waiting) <= WAITING_MAX


def check_frames(frames: list[bytes]) -> None:
    for frame in frames:
        assert 42 <= len(frame) <= FRAME_BYTES_MAX
        if frame[12:14] == b"\x08\x00":
            assert dpkt.in_cksum(frame[14:34]) == 0
            assert int.from_bytes(frame[16:18], "big") == len(frame) - 14


def check_timers(bench: Bench) -> None:
    """No service with something to wait for is without a timer, and none is late."""
    state = bench.state
    expected = {
        "link": bool(state.link.frames),
        "arp": bool(state.arp.known or state.arp.waiting),
        "ndp": bool(state.neighbours6.known or state.neighbours6.waiting),
        "tftp": bool(state.tftp.transfers),
        "lease": any(0 < slot.expire_ns < NEVER_NS for slot in state.dhcp.slots),
    }
    assert {service: bench.expire_ns(service) is not None for service in expected} == expected
    assert all(timer.expire_ns >= bench.now_ns for timer in bench.timers.armed())


def check_all(bench: Bench, restrict: bool) -> None:
    """Bounds, timers, and that a network restored from here goes on in the same way."""
    check_bounds(bench.state)
    check_timers(bench)
    plain = to_plain(bench.state)
    assert to_plain(from_plain(UserNetState, plain)) == plain
    assert from_plain(UserNetState, plain) == bench.state

    other = Bench(FILES, restrict=restrict)
    other.load(bench.saved(), bench.now_ns)
    assert bench.go_by(s=700) == other.go_by(s=700)
    assert canonical_bytes(bench.state) == canonical_bytes(other.state)


def test_hostile_guest_cannot_break_or_fill_the_network(announce: Callable[[str], None]) -> None:
    cases = {"runs": 0, "frames": 0}

    @settings(max_examples=100, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
    @given(restrict=st.booleans(), todo=actions)
    def check(restrict: bool, todo: list[bytes | int]) -> None:
        bench = Bench(FILES, restrict=restrict)
        for action in todo:
            if isinstance(action, int):
                check_frames(bench.go_by(action))
            else:
                bench.net.receive(action)
        check_all(bench, restrict)
        cases["runs"] += 1
        cases["frames"] += bench.state.counters.received

    check()

    announce(f"usernet under hypothesis: {cases}")


@pytest.mark.parametrize("seed", [1, 2])
def test_long_attack_is_survived(seed: int, announce: Callable[[str], None]) -> None:
    draw = random.Random(seed)
    bench = Bench(FILES, restrict=seed % 2 == 0)
    for _ in range(3000):
        changes = [(draw.randrange(700), draw.randrange(4), draw.randrange(256)) for _ in range(draw.randrange(4))]
        bench.net.receive(mutate(draw.choice(GOOD), changes, draw.random() < 0.7))
        if draw.random() < 0.1:
            check_frames(bench.go_by(draw.choice([0, 1000, 50_000, NS_PER_S // 2, 70 * NS_PER_S])))
            check_bounds(bench.state)

    counters = bench.state.counters
    announce(f"usernet, seed {seed}: {counters}")
    check_all(bench, restrict=seed % 2 == 0)
    assert counters.malformed + counters.ignored + counters.fragments < counters.received == 3000
    assert min(counters.malformed, counters.ignored, counters.fragments, counters.delivered) > 0


def test_state_stays_small_under_a_flood() -> None:
    bench = Bench(FILES)
    for round_number in range(3):
        for number in range(400):
            address = f"10.0.2.{20 + number % 200}"
            bench.net.receive(udp4("10.0.2.2", 69, b"\0\1boot.bin\0octet\0blksize\x001428\0", 1000 + number, address))
        for frame in GOOD:
            bench.net.receive(frame)
        bench.go_by(round_number * 300)

    check_bounds(bench.state)
    assert bench.state.counters.overrun > 0
    assert len(canonical_bytes(bench.state)) < STATE_BYTES_MAX
