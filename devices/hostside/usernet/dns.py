"""DNS: every query to 10.0.2.3 is answered with REFUSED, as there is no real server.

Messages are decoded by hand, because dpkt always decodes a whole message and follows its pointers.
Source: RFC 1035, section 4.1.
"""

from __future__ import annotations

import struct

from minstret.devices.hostside.usernet.packets import Malformed

PORT = 53
_HEADER = struct.Struct("!HHHHHH")
_RESPONSE, _OPCODE, _RECURSION_DESIRED, _REFUSED = 0x8000, 0x7800, 0x0100, 5
_NAME_BYTES_MAX, _LABEL_BYTES_MAX, _TYPE_AND_CLASS_BYTES = 255, 63, 4


def refusal(query: bytes) -> bytes | None:
    """The answer REFUSED, which repeats the question; None if ``query`` is itself an answer."""
    if len(query) < _HEADER.size:
        raise Malformed("DNS header")
    ident, flags, questions, *_ = _HEADER.unpack_from(query)
    if flags & _RESPONSE:
        return None
    if questions != 1:
        raise Malformed(f"DNS query with {questions} questions")
    flags = _RESPONSE | flags & (_OPCODE | _RECURSION_DESIRED) | _REFUSED
    return _HEADER.pack(ident, flags, 1, 0, 0, 0) + query[_HEADER.size : _question_end(query)]


def _question_end(query: bytes) -> int:
    """Offset after the question: its name, type and class."""
    at = _HEADER.size
    while at < len(query) and query[at] != 0:
        if query[at] > _LABEL_BYTES_MAX:
            raise Malformed("DNS question with a pointer")
        at += 1 + query[at]
    end = at + 1 + _TYPE_AND_CLASS_BYTES
    if end > len(query) or at - _HEADER.size >= _NAME_BYTES_MAX:
        raise Malformed("DNS question")
    return end
