"""Framing of gdb's remote protocol: whatever comes in whatever pieces, whole packets are found and answered."""

from __future__ import annotations

import random

import pytest

from minstret.emu.gdbpackets import PAYLOAD_SIZE_MAX, Mark, PacketStream, checksum, escaped, unescaped


def framed(payload: bytes) -> bytes:
    return b"$" + payload + b"#" + checksum(payload)


def stream_without_acks() -> PacketStream:
    stream = PacketStream()
    stream.acks = False
    return stream


def test_good_packet_is_acknowledged_and_given() -> None:
    stream = PacketStream()
    assert stream.receive(b"$g#67") == [b"g"]
    assert stream.take() == b"+"
    assert stream.take() == b""


def test_packet_with_wrong_checksum_is_asked_for_again() -> None:
    stream = PacketStream()
    assert stream.receive(b"$g#68$g#67") == [b"g"]
    assert stream.take() == b"-+"


def test_without_acks_nothing_is_acknowledged_and_damaged_packets_are_dropped() -> None:
    stream = stream_without_acks()
    assert stream.receive(b"$g#68$?#3f") == [b"?"]
    assert stream.take() == b""


def test_checksum_may_be_in_upper_case() -> None:
    assert PacketStream().receive(b"$?#3F") == [b"?"]


def test_packets_that_come_byte_by_byte_are_the_same() -> None:
    stream = stream_without_acks()
    data = b"+" + framed(b"m80000000,4") + b"\x03" + framed(b"?")
    found = [one for byte in data for one in stream.receive(bytes([byte]))]
    assert found == [b"m80000000,4", Mark.CTRL_C, b"?"]


def test_half_a_packet_waits_for_its_rest() -> None:
    stream = PacketStream()
    assert stream.receive(b"$m80000000") == []
    assert stream.take() == b""
    assert stream.receive(b",4" + b"#" + checksum(b"m80000000,4")) == [b"m80000000,4"]


def test_packet_that_begins_within_another_is_the_one_that_counts() -> None:
    stream = PacketStream()
    assert stream.receive(b"$m8000" + framed(b"g")) == [b"g"]
    assert stream.take() == b"+"


def test_bytes_between_packets_are_passed_over() -> None:
    assert PacketStream().receive(b"GET / HTTP/1.1\r\n\r\n\xff\x00#" + framed(b"g")) == [b"g"]


def test_byte_3_is_ctrl_c_between_packets_and_data_within_one() -> None:
    payload = b"X80000000,1:\x03"
    assert PacketStream().receive(b"\x03" + framed(payload)) == [Mark.CTRL_C, payload]


def test_escaped_bytes_come_as_they_were_meant() -> None:
    every_byte = bytes(range(256))
    assert unescaped(escaped(every_byte)) == every_byte
    assert stream_without_acks().receive(framed(escaped(every_byte))) == [every_byte]


def test_escape_at_the_end_of_a_payload_stays() -> None:
    assert stream_without_acks().receive(framed(b"X}")) == [b"X}"]


def test_sent_bytes_have_no_meaning_of_the_framing() -> None:
    stream = stream_without_acks()
    stream.send(b"l<a>#$}*</a>")
    sent = stream.take()
    assert sent == framed(b"l<a>}\x03}\x04}]}\x0a</a>")


def test_packet_that_was_damaged_on_its_way_is_sent_again() -> None:
    stream = PacketStream()
    stream.send(b"OK")
    assert stream.take() == b"$OK#9a"
    assert stream.receive(b"-") == []
    assert stream.take() == b"$OK#9a"
    assert stream.receive(b"+") == []
    assert stream.take() == b""


def test_packet_is_sent_again_once_however_often_it_is_asked_for() -> None:
    stream = PacketStream()
    stream.send(b"x" * 10_000)
    stream.take()
    assert stream.receive(b"-" * 10_000) == []
    assert len(stream.take()) == 10_004


def test_longest_packet_is_taken_and_a_longer_one_is_marked() -> None:
    longest = b"X" * PAYLOAD_SIZE_MAX
    stream = PacketStream()
    assert stream.receive(framed(longest)) == [longest]
    assert stream.receive(framed(longest + b"X")) == [Mark.TOO_LONG]
    assert stream.take() == b"++"


@pytest.mark.parametrize("piece_size", [1000, PAYLOAD_SIZE_MAX, 1 << 20])
def test_endless_packet_takes_no_more_memory_than_the_longest(piece_size: int) -> None:
    stream = PacketStream()
    assert stream.receive(b"$") == []
    for _ in range(40):
        assert stream.receive(b"a" * piece_size) == []
        assert len(stream._received) <= PAYLOAD_SIZE_MAX + 1
    assert stream.receive(b"#00" + framed(b"g")) == [Mark.TOO_LONG, b"g"]


def test_random_bytes_in_random_pieces_hide_no_whole_packet() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(300):
        payloads = [rng.randbytes(rng.randrange(40)) for _ in range(rng.randrange(1, 6))]
        data = b"".join(
            bytes(byte for byte in rng.randbytes(rng.randrange(20)) if byte not in b"$\x03") + framed(escaped(payload))
            for payload in payloads
        )
        stream, found, at = PacketStream(), list[object](), 0
        while at < len(data):
            size = rng.randrange(1, 30)
            found += stream.receive(data[at : at + size])
            at += size
        assert found == payloads
