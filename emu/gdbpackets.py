"""The framing of gdb's remote protocol: bytes of one connection become packets, and packets become bytes.

A packet is ``$payload#cs``, where ``cs`` is the sum of the payload's bytes in two hex digits. Within a payload ``}``
escapes the next byte. Until the client turns that off, each side answers ``+`` to a good packet and ``-`` to a damaged
one, which then comes again. A byte 3 between packets is Ctrl-C.

Source: GDB manual, Remote Protocol: Overview, Packet Acknowledgment, Interrupts.
"""

from __future__ import annotations

import re
from binascii import Error as HexError
from binascii import unhexlify
from enum import Enum, auto

from minstret.emu.text import printable

PAYLOAD_SIZE_MAX = 0x4000
"""The longest payload that a client may send, bytes as they go over the line. It is told so: ``PacketSize``."""
DATA_SIZE_MAX = PAYLOAD_SIZE_MAX // 2 - 1
"""Bytes of memory or text that go into one packet, each as two hex digits or with an escape."""

_BEGIN, _ESCAPE, _AGAIN, _CTRL_C = ord("$"), ord("}"), ord("-"), 3
_ESCAPE_BIT = 0x20
_CHECKSUM_SIZE = 2
_OUTSIDE = re.compile(rb"[$\-\x03]")
_ESCAPED = re.compile(rb"\}(.)", re.DOTALL)
_TO_ESCAPE = re.compile(rb"[#$}*]")
_NUMBER = re.compile(rb"[0-9a-fA-F]{1,16}")
_IN_ERROR_TEXT = str.maketrans("#$}*", "    ")


OK, UNKNOWN = b"OK", b""
"""Replies: it is done; there is no such packet."""
BAD_REQUEST, NO_MEMORY = b"E22", b"E14"
"""Replies: the packet makes no sense, or asks for what is not there; nothing is at that address."""


class Refused(Exception):
    """A packet can't be obeyed; ``reply`` is what the client gets."""

    def __init__(self, reply: bytes = BAD_REQUEST) -> None:
        super().__init__(reply)
        self.reply = reply


class Mark(Enum):
    """What comes between packets, or in the place of one."""

    CTRL_C = auto()
    TOO_LONG = auto()  # a packet with more than PAYLOAD_SIZE_MAX


def checksum(payload: bytes) -> bytes:
    """What follows the ``#``."""
    return b"%02x" % (sum(payload) & 0xFF)


def escaped(data: bytes) -> bytes:
    """Any bytes, as a payload may have them."""
    return _TO_ESCAPE.sub(lambda found: bytes((_ESCAPE, found[0][0] ^ _ESCAPE_BIT)), data)


def unescaped(payload: bytes) -> bytes:
    """A payload's bytes as they were meant."""
    if _ESCAPE not in payload:
        return payload
    return _ESCAPED.sub(lambda found: bytes((found[1][0] ^ _ESCAPE_BIT,)), payload)


class PacketStream:
    """Both directions of one connection. What makes no sense is passed over; what is not whole yet is kept.

    Attributes:
        acks: Whether packets are acknowledged; a connection begins so.
    """

    def __init__(self) -> None:
        self.acks = True
        self._received = bytearray()
        self._passing_over = False  # the rest of a packet that is too long
        self._to_send = bytearray()
        self._last_sent = b""

    def receive(self, data: bytes) -> list[bytes | Mark]:
        """The payloads, unescaped, and marks that are whole now that ``data`` has come."""
        self._received += data
        found: list[bytes | Mark] = []
        is_going_on = True
        while is_going_on:
            is_going_on = self._in_packet(found) if self._is_in_packet() else self._between_packets(found)
        return found

    def send(self, payload: bytes) -> None:
        """Send a packet; ``payload`` may be any bytes, and is escaped."""
        payload = escaped(payload)
        self._last_sent = b"$%b#%b" % (payload, checksum(payload))
        self._to_send += self._last_sent

    def take(self) -> bytes:
        """What is to go to the client; each byte is given once."""
        data = bytes(self._to_send)
        self._to_send.clear()
        return data

    def _is_in_packet(self) -> bool:
        return self._received[:1] == b"$"

    def _between_packets(self, found: list[bytes | Mark]) -> bool:
        """Go past what comes before the next packet; whether there was anything."""
        mark = _OUTSIDE.search(self._received)
        if mark is None:
            self._received.clear()
            return False
        at = mark.start()
        byte = self._received[at]
        del self._received[: at if byte == _BEGIN else at + 1]
        if byte == _CTRL_C:
            found.append(Mark.CTRL_C)
        elif byte == _AGAIN and self.acks and not self._to_send:  # once, however often it is asked for
            self._to_send += self._last_sent
        return True

    def _in_packet(self, found: list[bytes | Mark]) -> bool:
        """Take the packet that has begun; whether it was whole."""
        received = self._received
        end = received.find(b"#")
        # A "$" within a packet begins another one: the end of the first was lost.
        begin = received.rfind(b"$", 1, end if end >= 0 else None)
        if begin > 0:
            del received[:begin]
            self._passing_over = False
            return True
        if end < 0 and len(received) > 1 + PAYLOAD_SIZE_MAX:
            self._passing_over = True
            received[:] = b"$"
        if end < 0 or len(received) < end + 1 + _CHECKSUM_SIZE:
            return False
        payload, sent_sum = bytes(received[1:end]), bytes(received[end + 1 : end + 1 + _CHECKSUM_SIZE])
        del received[: end + 1 + _CHECKSUM_SIZE]
        if self._passing_over or len(payload) > PAYLOAD_SIZE_MAX:
            self._passing_over = False
            self._acknowledge(True)  # it would be no shorter the next time
            found.append(Mark.TOO_LONG)
        elif sent_sum.lower() == checksum(payload):
            self._acknowledge(True)
            found.append(unescaped(payload))
        else:
            self._acknowledge(False)
        return True

    def _acknowledge(self, is_good: bool) -> None:
        if self.acks:
            self._to_send += b"+" if is_good else b"-"


# ---- what is within payloads


def number_of(text: bytes) -> int:
    """A number, in hex as all of them; up to 64 bits.

    Raises:
        Refused: it is none.
    """
    if not _NUMBER.fullmatch(text):
        raise Refused
    return int(text, 16)


def numbers_of(text: bytes) -> tuple[int, int]:
    """Two numbers with a comma between them: where, and how much.

    Raises:
        Refused: it is something else.
    """
    first, _, second = text.partition(b",")
    return number_of(first), number_of(second)


def bytes_of(text: bytes) -> bytes:
    """Bytes that are written as two hex digits each.

    Raises:
        Refused: it is something else.
    """
    try:
        return unhexlify(text)
    except HexError:
        raise Refused from None


def hex_of(data: bytes) -> bytes:
    """Bytes as two hex digits each."""
    return data.hex().encode()


def error_reply(text: str) -> bytes:
    """A reply that a client shows as it is, where it shows any."""
    return b"E." + printable(text).translate(_IN_ERROR_TEXT).encode("ascii", "backslashreplace")
