"""TFTP: files, options, errors, packets sent again, and bounds."""

from __future__ import annotations

import struct

import pytest
from usernet_bench import DELAY_NS, Bench, DictFiles, guest_bench
from usernet_guest import HOST, ack, arp_reply, parse, rrq, rrq_payload, tftp, udp_payload, v4

from minstret.devices.hostside.usernet.tftp import RESENDS_MAX, TRANSFERS_MAX, TftpServer, TftpState
from minstret.emu.units import NS_PER_S

LONG = bytes(number * 11 & 0xFF for number in range(5000))
FILES = {"long": LONG, "empty": b"", "even": bytes(1024), "dir/file": b"inner", "ümlaut": b"u", "a b": b"space"}


@pytest.fixture
def bench() -> Bench:
    return guest_bench(files=DictFiles(FILES), restrict=True)


def say(bench: Bench, frame: bytes) -> bytes:
    return udp_payload(bench.ask(frame))


def error(payload: bytes) -> tuple[int, bytes]:
    opcode, code = struct.unpack("!HH", payload[:4])
    assert opcode == 5 and payload.endswith(b"\0")
    return code, payload[4:-1]


def block(payload: bytes) -> tuple[int, bytes]:
    opcode, number = struct.unpack("!HH", payload[:4])
    assert opcode == 3
    return number, payload[4:]


def fetch(bench: Bench, name: str, options: dict[str, str] | None = None, port: int = 2000) -> bytes:
    """A whole file, the way a client gets it."""
    payload = say(bench, rrq(name, options=options, port=port))
    size, content = 512, b""
    if payload[:2] == b"\0\6":
        fields = payload[2:].split(b"\0")
        size = int(dict(zip(fields[::2], fields[1::2], strict=False)).get(b"blksize", b"512"))
        payload = say(bench, ack(0, port))
    for expected in range(1, 10_000):
        number, data = block(payload)
        assert number == expected
        content += data
        if len(data) < size:
            assert bench.send(ack(number, port)) == []
            return content
        payload = say(bench, ack(number, port))
    raise AssertionError("the file does not end")


# ---- files


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("options", [None, {"blksize": "8"}, {"blksize": "100", "tsize": "0"}, {"blksize": "65464"}])
def test_file_arrives_as_it_is(bench: Bench, name: str, options: dict[str, str] | None) -> None:
    assert fetch(bench, name, options) == FILES[name]
    assert bench.state.tftp.transfers == []
    assert bench.expire_ns("tftp") is None


def test_packets_come_from_port_69_with_low_delay(bench: Bench) -> None:
    packet = parse(bench.ask(rrq("long", port=3333))).ip

    assert (packet.src, packet.ttl, packet.tos, packet.udp.sport, packet.udp.dport) == (v4(HOST), 64, 0x10, 69, 3333)


@pytest.mark.parametrize("mode", ["octet", "OCTET", "Octet"])
def test_mode_octet_is_taken_in_any_case(bench: Bench, mode: str) -> None:
    assert block(say(bench, rrq("dir/file", mode))) == (1, b"inner")


@pytest.mark.parametrize("mode", ["netascii", "mail", "", "octets"])
def test_other_modes_are_illegal(bench: Bench, mode: str) -> None:
    assert error(say(bench, rrq("long", mode))) == (4, b"Unsupported transfer mode")


@pytest.mark.parametrize("name", ["/long", "//long"])
def test_leading_slash_means_the_folder(bench: Bench, name: str) -> None:
    assert block(say(bench, rrq(name)))[1] == LONG[:512]


@pytest.mark.parametrize("name", ["missing", "dir", "LONG", "dir/missing", "~"])
def test_missing_file_is_not_found(bench: Bench, name: str) -> None:
    assert error(say(bench, rrq(name))) == (1, b"File not found")


@pytest.mark.parametrize(
    "name",
    [
        b"../long", b"dir/../long", b"/../long", b"..", b"dir/..", b"", b"/", b"dir/", b"..\\long", b"dir\\file",
        b"\xff\xfe", b"long\n", b"a" * 512, b"\x1b[2J",
    ],
)  # fmt: skip
def test_name_that_might_lead_out_is_refused_before_a_file_is_looked_for(name: bytes) -> None:
    files = DictFiles(FILES)
    bench = guest_bench(files=files)

    assert error(say(bench, tftp(rrq_payload(name)))) == (2, b"Access violation")
    assert files.asked == []


def test_dots_within_a_name_are_nothing_special() -> None:
    bench = guest_bench(files={"a..b/...": b"dots"})

    assert fetch(bench, "a..b/...") == b"dots"


@pytest.mark.parametrize(
    "payload", [b"\0\1", b"\0\1\0", b"\0\1long", b"\0\1long\0", b"\0\1long\0octet", b"\0\1long\0octet\0blksize\0"]
)
def test_request_that_is_cut_is_refused(bench: Bench, payload: bytes) -> None:
    assert error(say(bench, tftp(payload))) == (2, b"Access violation")


def test_network_without_files_refuses_all() -> None:
    assert error(say(guest_bench(), rrq("long"))) == (2, b"Access violation")


# ---- options


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"blksize": "1024"}, b"blksize\x001024\0"),
        ({"blksize": "1429"}, b"blksize\x001428\0"),
        ({"blksize": "65464"}, b"blksize\x001428\0"),
        ({"blksize": "8"}, b"blksize\x008\0"),
        ({"tsize": "0"}, b"tsize\x005000\0"),
        ({"tsize": "0", "blksize": "512"}, b"tsize\x005000\0blksize\x00512\0"),
        ({"BlkSize": "600"}, b"blksize\x00600\0"),
        ({"timeout": "7"}, b"timeout\x007\0"),
        ({"windowsize": "4", "tsize": "0"}, b"tsize\x005000\0"),
    ],
)
def test_options_are_granted_in_the_order_asked(bench: Bench, options: dict[str, str], expected: bytes) -> None:
    assert say(bench, rrq("long", options=options)) == b"\0\6" + expected


@pytest.mark.parametrize("options", [{"windowsize": "4"}, {"": ""}, {"x" * 100: "y" * 100}])
def test_unknown_options_are_ignored(bench: Bench, options: dict[str, str]) -> None:
    assert block(say(bench, rrq("long", options=options))) == (1, LONG[:512])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("blksize", "7"), ("blksize", "0"), ("blksize", "65465"), ("blksize", "-8"), ("blksize", "big"),
        ("blksize", ""), ("blksize", "9" * 400), ("blksize", " 512"), ("tsize", "1"), ("tsize", "x"),
        ("timeout", "0"), ("timeout", "256"),
    ],
)  # fmt: skip
def test_option_with_an_impossible_value_is_refused(bench: Bench, option: str, value: str) -> None:
    assert error(say(bench, rrq("long", options={option: value})))[0] == 8
    assert bench.state.tftp.transfers == []


def test_data_begins_when_the_granted_options_are_acknowledged(bench: Bench) -> None:
    say(bench, rrq("long", options={"blksize": "1000"}))

    assert block(say(bench, ack(0))) == (1, LONG[:1000])


# ---- acknowledgements


def test_acknowledgement_of_another_block_is_ignored(bench: Bench) -> None:
    say(bench, rrq("long"))
    say(bench, ack(1))

    for number in (0, 1, 3, 0xFFFF):
        assert bench.send(ack(number)) == []
    assert block(say(bench, ack(2))) == (3, LONG[1024:1536])


def test_acknowledgement_without_a_number_is_malformed(bench: Bench) -> None:
    say(bench, rrq("long"))

    assert bench.send(tftp(b"\0\4\0")) == []
    assert bench.state.counters.malformed == 1
    assert len(bench.state.tftp.transfers) == 1


def test_block_numbers_wrap_in_a_large_file() -> None:
    size = 65_600 * 8
    files = DictFiles({"large": bytes(range(200)) * (size // 200)})
    server, state = TftpServer(files), TftpState()
    server.answer(state, b"\x0a\0\2\x0f", 9, rrq_payload(b"large", options={"blksize": "8"}), 0)
    number, received = 0, bytearray()
    while state.transfers:
        packet = server.answer(state, b"\x0a\0\2\x0f", 9, struct.pack("!HH", 4, number), 0)
        if packet is not None:
            number = int.from_bytes(packet[2:4], "big")
            received += packet[4:]

    assert received == files.files["large"]
    assert number == (size // 8 + 1) & 0xFFFF


def test_error_of_the_client_ends_the_transfer(bench: Bench) -> None:
    say(bench, rrq("long"))

    assert bench.send(tftp(b"\0\5\0\0enough\0")) == []

    assert bench.state.tftp.transfers == []
    assert bench.expire_ns("tftp") is None


def test_error_out_of_the_blue_is_not_answered(bench: Bench) -> None:
    assert bench.send(tftp(b"\0\5\0\5who?\0")) == []


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\0\2name\0octet\0", 2), (b"\0\3\0\1data", 5), (b"\0\4\0\1", 5), (b"\0\6blksize\x00512\0", 4),
        (b"\0\0", 4), (b"\0\7", 4), (b"\xff\xff", 4),
    ],
)  # fmt: skip
def test_packet_that_belongs_to_no_transfer_gets_an_error(bench: Bench, payload: bytes, code: int) -> None:
    assert error(say(bench, tftp(payload)))[0] == code


def test_other_port_does_not_disturb_a_transfer(bench: Bench) -> None:
    say(bench, rrq("long", port=2000))

    assert error(say(bench, ack(1, port=2001)))[0] == 5
    assert block(say(bench, ack(1, port=2000)))[0] == 2


@pytest.mark.parametrize("payload", [b"", b"\0"])
def test_packet_without_an_opcode_is_malformed(bench: Bench, payload: bytes) -> None:
    assert bench.send(tftp(payload)) == []
    assert bench.state.counters.malformed == 1


# ---- packets sent again


def test_last_packet_is_sent_again_every_second_until_acknowledged(bench: Bench) -> None:
    bench.net.receive(rrq("long"))
    start_ns = bench.now_ns
    first = bench.go_by(DELAY_NS)

    assert bench.go_to(start_ns + NS_PER_S + DELAY_NS - 1) == []
    again = bench.go_to(start_ns + NS_PER_S + DELAY_NS)
    assert [udp_payload(frame) for frame in again] == [udp_payload(first[0])]
    bench.go_to(start_ns + 3 * NS_PER_S + 2 * DELAY_NS)
    assert block(say(bench, ack(1)))[0] == 2

    assert bench.expire_ns("tftp") == bench.now_ns - DELAY_NS + NS_PER_S
    assert bench.state.tftp.transfers[0].resends == 0


def test_transfer_is_given_up_after_so_many_packets_sent_again(bench: Bench) -> None:
    bench.send(rrq("long"))

    assert len(bench.go_by(s=RESENDS_MAX + 10)) == RESENDS_MAX
    assert bench.state.tftp.transfers == []
    assert error(say(bench, ack(1)))[0] == 5


def test_timeout_that_was_granted_is_kept(bench: Bench) -> None:
    bench.net.receive(rrq("long", options={"timeout": "9"}))

    assert bench.expire_ns("tftp") == bench.now_ns + 9 * NS_PER_S
    assert len(bench.go_by(s=10)) == 2


def test_last_block_is_sent_again_too(bench: Bench) -> None:
    first = bench.send(rrq("dir/file"))

    assert [udp_payload(frame) for frame in bench.go_by(s=1)] == [udp_payload(first[0])]


def test_timer_serves_each_transfer_at_its_own_time(bench: Bench) -> None:
    start_ns = bench.now_ns
    bench.net.receive(rrq("long", port=1))
    bench.go_to(start_ns + 300_000_000)
    bench.net.receive(rrq("long", port=2))
    bench.go_to(start_ns + 900_000_000)

    ports = []
    for at_ns in (NS_PER_S, 1_300_000_000, 2 * NS_PER_S):
        ports.append([parse(frame).ip.udp.dport for frame in bench.go_to(start_ns + at_ns + DELAY_NS)])

    assert ports == [[1], [2], [1]]


def test_packet_sent_again_is_the_same_even_if_the_file_has_changed() -> None:
    files = DictFiles({"f": b"before"})
    bench = guest_bench(files=files)
    bench.send(rrq("f"))
    files.files["f"] = b"after!"

    assert block(udp_payload(bench.go_by(s=1)[0])) == (1, b"before")


# ---- bounds


def test_new_request_of_the_same_client_replaces_its_transfer(bench: Bench) -> None:
    say(bench, rrq("long"))
    say(bench, ack(1))

    assert block(say(bench, rrq("even"))) == (1, bytes(512))
    assert len(bench.state.tftp.transfers) == 1


def test_one_transfer_too_many_takes_the_place_of_the_most_silent(bench: Bench) -> None:
    for port in range(TRANSFERS_MAX):
        say(bench, rrq("long", port=port))
    say(bench, ack(1, port=0))

    say(bench, rrq("long", port=500))

    assert len(bench.state.tftp.transfers) == TRANSFERS_MAX
    assert error(say(bench, ack(1, port=1)))[0] == 5
    assert block(say(bench, ack(2, port=0)))[0] == 3


def test_refused_request_takes_no_place(bench: Bench) -> None:
    for port in range(TRANSFERS_MAX):
        say(bench, rrq("long", port=port))

    say(bench, rrq("missing", port=500))

    assert block(say(bench, ack(1, port=0)))[0] == 2


def test_clients_of_two_addresses_are_told_apart_by_more_than_the_port(bench: Bench) -> None:
    bench.send(arp_reply("10.0.2.16"))
    say(bench, rrq("long"))

    payload = say(bench, tftp(rrq_payload(b"even"), src="10.0.2.16"))

    assert block(payload) == (1, bytes(512))
    assert block(say(bench, ack(1))) == (2, LONG[512:1024])


def test_files_that_give_too_much_do_no_harm() -> None:
    class Greedy(DictFiles):
        def read(self, name: str, offset: int, size: int) -> bytes:
            return self.files[name][offset:]

    bench = guest_bench(files=Greedy({"long": LONG}))

    assert fetch(bench, "long") == LONG
