"""The link, the timers, saving and loading, and what is dropped."""

from __future__ import annotations

import pytest
from usernet_bench import DELAY_NS, Bench, guest_bench
from usernet_exchanges import FILES, SCENARIOS
from usernet_guest import DNS, HOST, IP, MAC, ack, arp_request, discover, ether, ping, rrq, tftp, udp4

from minstret.devices.hostside.usernet.link import FRAMES_MAX
from minstret.devices.hostside.usernet.network import UserNetConfig, UserNetState, UserNetwork
from minstret.emu.clock import VirtualClock
from minstret.emu.state import canonical_bytes
from minstret.emu.timers import TimerList

# ---- the link


def test_frame_reaches_the_guest_after_exactly_the_link_delay() -> None:
    bench = Bench()
    sent_ns = bench.now_ns

    bench.net.receive(arp_request(HOST))

    assert bench.frames == []
    assert bench.go_to(sent_ns + DELAY_NS - 1) == []
    assert len(bench.go_to(sent_ns + DELAY_NS)) == 1


def test_frames_keep_their_order_and_their_distance() -> None:
    bench = Bench()
    start_ns = bench.now_ns
    for number, target in enumerate((HOST, DNS, HOST)):
        bench.go_to(start_ns + 1000 * number)
        bench.net.receive(arp_request(target))

    arrivals = []
    for number in range(3):
        frames = bench.go_to(start_ns + 1000 * number + DELAY_NS)
        arrivals.append([frame[6:12].hex() for frame in frames])

    assert arrivals == [["52550a000202"], ["52550a000203"], ["52550a000202"]]


def test_frame_without_link_delay_is_still_delivered_by_the_timer() -> None:
    bench = Bench(link_delay_ns=0)

    bench.net.receive(arp_request(HOST))

    assert bench.frames == []
    assert bench.timers.deadline_ns() == 0
    assert len(bench.go_by()) == 1


def test_guest_that_answers_within_delivery_is_served_later() -> None:
    bench = Bench()
    seen: list[bytes] = []

    def answer(frame: bytes) -> None:
        seen.append(frame)
        if len(seen) < 4:
            net.receive(arp_request(HOST))

    timers = TimerList(bench.clock)
    net = UserNetwork("net1", UserNetConfig(), timers, answer)
    net.receive(arp_request(HOST))
    for number in range(1, 4):
        bench.clock.warp_to(timers.expire_ns() or 0)
        timers.run_expired()
        assert len(seen) == number


def test_link_that_is_full_drops_what_comes_next() -> None:
    bench = Bench()

    arrived = bench.send(*[arp_request(HOST)] * (FRAMES_MAX + 5))

    assert len(arrived) == FRAMES_MAX
    assert bench.state.counters.overrun == 5
    assert len(bench.send(arp_request(HOST))) == 1


# ---- timers


def test_every_timer_is_external_and_bears_the_networks_name() -> None:
    bench = guest_bench(files=FILES)
    bench.net.receive(discover())
    bench.net.receive(rrq("short.txt"))

    armed = list(bench.timers.armed())

    assert sorted(timer.name for timer in armed) == [
        "net0.arp", "net0.lease", "net0.link", "net0.ndp", "net0.ra", "net0.tftp",
    ]  # fmt: skip
    assert all(timer.is_external for timer in armed)


def test_new_network_waits_only_for_its_own_advertisement() -> None:
    assert [timer.name for timer in Bench().timers.armed()] == ["net0.ra"]
    assert list(Bench(ipv6=False).timers.armed()) == []


def run_all(bench: Bench, step_ns: int) -> list[tuple[int, bytes]]:
    """All requests of the first scenario, 300 µs apart, with the timers run every ``step_ns`` or at a deadline."""
    seen = []
    for _, request in SCENARIOS[0].exchanges:
        bench.net.receive(request)
        end_ns = bench.now_ns + 300_000
        while bench.now_ns < end_ns:
            seen += [(bench.now_ns, frame) for frame in bench.go_to(min(end_ns, bench.now_ns + step_ns))]
    return seen


@pytest.mark.parametrize("step_ns", [1_250, 50_000, 300_000])
def test_run_in_other_slices_ends_in_the_same_state(step_ns: int) -> None:
    benches = [Bench(FILES, restrict=True) for _ in range(2)]

    frames = [
        [frame for _, frame in run_all(bench, step)] for bench, step in zip(benches, (step_ns, 10_000), strict=True)
    ]

    assert frames[0] == frames[1]
    assert canonical_bytes(benches[0].state) == canonical_bytes(benches[1].state)
    assert benches[0].timers.save_state() == benches[1].timers.save_state()


# ---- saving and loading


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_network_restored_at_any_point_goes_on_as_if_nothing_had_happened(scenario: object) -> None:
    requests = [request for _, request in scenario.exchanges]  # type: ignore[attr-defined]
    config = scenario.config  # type: ignore[attr-defined]
    plain, restored = Bench(FILES, **config), Bench(FILES, **config)
    for request in requests:
        expected = [*plain.send(request), *plain.go_by(333_333)]

        restored.net.receive(request)
        copy = Bench(FILES, **config)
        copy.load(restored.saved(), restored.now_ns)
        restored = copy

        assert [*restored.go_by(DELAY_NS), *restored.go_by(333_333)] == expected
    assert restored.saved() == plain.saved()


def test_loading_a_state_arms_no_timer_and_sends_nothing() -> None:
    busy = guest_bench(files=FILES)
    busy.net.receive(discover())
    busy.net.receive(rrq("short.txt"))
    bench = Bench(FILES)
    before = bench.timers.save_state()

    bench.net.state = busy.state

    assert bench.timers.save_state() == before
    assert bench.frames == []


def test_receiving_changes_no_attribute_but_state() -> None:
    bench = Bench(FILES)
    before = {name: id(value) for name, value in vars(bench.net).items() if name != "state"}

    run_all(bench, 50_000)

    assert {name: id(value) for name, value in vars(bench.net).items() if name != "state"} == before
    for side in (bench.net._ipv4, bench.net._ipv6):
        assert not any(isinstance(value, list | dict | bytearray) for value in vars(side).values())


def test_state_is_one_slotted_dataclass() -> None:
    assert not hasattr(Bench().state, "__dict__")
    assert isinstance(Bench().state, UserNetState)


# ---- what is dropped


@pytest.mark.parametrize("size", [0, 1, 13])
def test_frame_shorter_than_a_header_is_malformed(size: int) -> None:
    bench = Bench()

    assert bench.send(bytes(size)) == []
    assert bench.state.counters.malformed == 1


def test_frame_longer_than_ethernet_allows_is_dropped() -> None:
    bench = guest_bench()

    assert len(bench.send(ping(data=bytes(1472)))) == 1
    assert bench.send(ping(data=bytes(1473))) == []
    assert bench.state.counters.malformed == 1


def test_padding_after_an_ip_packet_is_no_part_of_it() -> None:
    plain, padded = guest_bench(), guest_bench()

    assert padded.ask(ping(data=b"x") + bytes(20)) == plain.ask(ping(data=b"x"))


@pytest.mark.parametrize("cut", range(1, 66))
def test_cut_frame_gets_no_answer(cut: int) -> None:
    request = ping(data=bytes(24))
    bench = guest_bench()
    assert len(request) == 66

    assert bench.send(request[:-cut]) == []
    counters = bench.state.counters
    assert counters.malformed + counters.ignored == 1


@pytest.mark.parametrize("fragment", [{"mf": 1}, {"offset": 1}, {"mf": 1, "offset": 185}])
def test_fragment_is_dropped_and_counted(fragment: dict[str, int]) -> None:
    bench = guest_bench()

    assert bench.send(ping(**fragment)) == []
    assert bench.state.counters.fragments == 1


@pytest.mark.parametrize(
    "src", [HOST, DNS, "10.0.2.0", "10.0.2.255", "0.0.0.0", "192.168.1.1", "224.0.0.1", "127.0.0.1"]
)
def test_packet_from_an_address_that_no_guest_can_have_vanishes(src: str) -> None:
    bench = guest_bench(files=FILES)

    assert bench.send(ping(src=src), udp4(HOST, 69, b"\0\1short.txt\0octet\0", src=src)) == []
    assert bench.state.counters.ignored == 2
    assert bench.state.arp.waiting == []


def test_unknown_ethertype_is_ignored() -> None:
    bench = Bench()

    assert bench.send(ether(0x8100, bytes(60)), ether(0x8847, bytes(60)), ether(60, bytes(60))) == []
    assert bench.state.counters.ignored == 3


def test_counters_add_up() -> None:
    bench = Bench(FILES, restrict=True)
    for _, request in SCENARIOS[0].exchanges:
        bench.send(request)

    counters = bench.state.counters
    assert counters.received == len(SCENARIOS[0].exchanges)
    assert counters.malformed > 0 and counters.ignored > 0 and counters.fragments == 1
    assert counters.delivered > 80
    assert counters.overrun == 0


def test_udp_without_a_checksum_is_taken_and_with_a_wrong_one_is_not() -> None:
    bench = guest_bench(files=FILES)
    good = rrq("short.txt")

    assert len(bench.send(good[:40] + b"\0\0" + good[42:])) == 1
    assert bench.send(good[:40] + bytes([good[40] ^ 1]) + good[41:]) == []
    assert bench.state.counters.malformed == 1


def test_udp_longer_than_its_packet_is_malformed() -> None:
    bench = guest_bench(files=FILES)
    good = rrq("short.txt")

    bench.send(good[:38] + b"\xff\xff\0\0" + good[42:], good[:38] + b"\0\7\0\0" + good[42:])

    assert bench.state.counters.malformed == 2


def test_destination_mac_does_not_matter() -> None:
    bench = guest_bench(files=FILES)

    assert len(bench.send(ping(dst_mac=bytes.fromhex("020000000001")))) == 1


def test_identification_counts_ip_packets_and_wraps() -> None:
    bench = guest_bench()
    bench.state.ident = 0xFFFF

    idents = [int.from_bytes(bench.ask(ping())[18:20], "big") for _ in range(2)]

    assert idents == [0xFFFF, 0]


def test_two_networks_on_one_clock_know_nothing_of_each_other() -> None:
    clock = VirtualClock(lambda: 0, 0)
    timers, frames = TimerList(clock), ([], [])
    one, two = (
        UserNetwork(name, UserNetConfig(), timers, out.append) for name, out in zip(("a", "b"), frames, strict=True)
    )

    one.receive(arp_request(HOST))
    clock.warp_to(DELAY_NS)
    timers.run_expired()

    assert (len(frames[0]), len(frames[1])) == (1, 0)
    assert two.state.counters.received == 0
    assert one.state.arp.known != [] and two.state.arp.known == []


# ---- restrict


def test_restricted_network_answers_its_services_and_nothing_else() -> None:
    bench = Bench(FILES, restrict=True)
    bench.introduce(IP, MAC)

    assert len(bench.send(ping(HOST), ping(DNS), rrq("short.txt"), ack(1), discover())) == 4
    assert bench.send(ping("8.8.8.8"), udp4("8.8.8.8", 53, b"q" * 20), udp4(DNS, 53, b"q" * 20)) == []
    assert bench.send(tftp(b"\0\1short.txt\0octet\0", dst=DNS), udp4(HOST, 123, bytes(48))) == []
