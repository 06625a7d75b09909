"""TFTP server: lets the guest read files, a block at a time.

The last packet of a transfer is sent again until it is acknowledged, RESENDS_MAX times at most. As libslirp does, the
server answers from port 69, supports only mode octet, and limits blocks to 1428 bytes.

Source: RFC 1350, RFC 2347 (options), RFC 2348 (blksize), RFC 2349 (timeout, tsize).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from dpkt import tftp

from minstret.devices.hostside.usernet.config import Files
from minstret.devices.hostside.usernet.packets import Malformed
from minstret.emu.units import NS_PER_S

PORT = 69
TRANSFERS_MAX = 20
"""One more replaces the transfer that has been silent longest."""
BLOCK_BYTES, BLOCK_BYTES_MIN, BLOCK_BYTES_ASKED_MAX = 512, 8, 65464
BLOCK_BYTES_MAX = 1428
"""A larger block size is reduced to this: a block has to fit into a frame."""
RESEND_S = 1
RESENDS_MAX = 5
NAME_BYTES_MAX = 511

_OPTION_ACK = 6
_OPTION_REFUSED = 8
_ILLEGAL = "Illegal TFTP operation"
_DENIED = "Access violation"


@dataclass(slots=True)
class Transfer:
    """One file on its way to one port of one guest address."""

    client: bytes
    port: int
    name: str
    block_bytes: int
    resend_ns: int
    block: int
    """Number of the block that was sent last, from 1; 0 is the answer to options."""
    packet: bytes
    """The packet that was sent last."""
    is_last: bool
    resends: int
    expire_ns: int


@dataclass(slots=True)
class TftpState:
    """The transfers; the one that has been silent longest comes first."""

    transfers: list[Transfer] = field(default_factory=list)


class _Refused(Exception):
    """The request is answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.packet = _error(code, message)


@dataclass(frozen=True, slots=True)
class _ReadRequest:
    name: str
    options: list[tuple[str, str]]


class TftpServer:
    """Answers packets. All its memory is in the TftpState that it is given."""

    def __init__(self, files: Files | None) -> None:
        self._files = files

    def answer(self, state: TftpState, client: bytes, port: int, data: bytes, now_ns: int) -> bytes | None:
        """The packet that answers ``data``, which came from ``port`` of ``client``; None if there is none.

        Raises:
            Malformed: it is not a TFTP packet.
        """
        if len(data) < 2:
            raise Malformed("TFTP opcode")
        transfer = _find(state, client, port)
        opcode = int.from_bytes(data[:2], "big")
        if opcode == tftp.OP_RRQ:
            _drop(state, transfer)
            return self._start(state, client, port, data[2:], now_ns)
        if opcode == tftp.OP_ERR:
            _drop(state, transfer)
            return None
        if opcode == tftp.OP_ACK and transfer is not None:
            return self._acknowledged(state, transfer, data[2:], now_ns)
        _drop(state, transfer)
        return _unexpected(opcode)

    def expire(self, state: TftpState, now_ns: int) -> list[tuple[bytes, int, bytes]]:
        """Give up transfers that were silent for too long. Returns what to send again: client, port, packet."""
        again = []
        for transfer in [transfer for transfer in state.transfers if transfer.expire_ns <= now_ns]:
            if transfer.resends >= RESENDS_MAX:
                _drop(state, transfer)
                continue
            transfer.resends += 1
            transfer.expire_ns = now_ns + transfer.resend_ns
            again.append((transfer.client, transfer.port, transfer.packet))
        return again

    def _start(self, state: TftpState, client: bytes, port: int, data: bytes, now_ns: int) -> bytes:
        try:
            request = _parse_request(data)
            if self._files is None:
                raise _Refused(tftp.EACCESS, _DENIED)
            size = self._files.size(request.name)
            if size is None:
                raise _Refused(tftp.ENOTFOUND, "File not found")
            agreed = _agree(request.options, size)
        except _Refused as refused:
            return refused.packet
        resend_ns = int(agreed.get("timeout", str(RESEND_S))) * NS_PER_S
        block_bytes = int(agreed.get("blksize", str(BLOCK_BYTES)))
        transfer = Transfer(client, port, request.name, block_bytes, resend_ns, 0, b"", False, 0, 0)
        state.transfers = [*state.transfers[-(TRANSFERS_MAX - 1) :], transfer]
        if agreed:
            return _sent(state, transfer, _option_ack(agreed), now_ns)
        return self._next_block(state, transfer, now_ns)

    def _acknowledged(self, state: TftpState, transfer: Transfer, data: bytes, now_ns: int) -> bytes | None:
        """Send the next block. A repeated acknowledgement is ignored, or every later block would be sent twice."""
        if len(data) < 2:
            raise Malformed("TFTP acknowledgement")
        if int.from_bytes(data[:2], "big") != transfer.block & 0xFFFF:
            return None
        if transfer.is_last:
            _drop(state, transfer)
            return None
        return self._next_block(state, transfer, now_ns)

    def _next_block(self, state: TftpState, transfer: Transfer, now_ns: int) -> bytes:
        assert self._files is not None
        size = transfer.block_bytes
        block = self._files.read(transfer.name, transfer.block * size, size)[:size]
        transfer.block += 1
        transfer.is_last = len(block) < size
        return _sent(state, transfer, struct.pack("!HH", tftp.OP_DATA, transfer.block & 0xFFFF) + block, now_ns)


def deadline_ns(state: TftpState) -> int | None:
    """When ``expire`` has something to do; None for never."""
    return min((transfer.expire_ns for transfer in state.transfers), default=None)


# ---- transfers


def _find(state: TftpState, client: bytes, port: int) -> Transfer | None:
    return next((t for t in state.transfers if t.client == client and t.port == port), None)


def _drop(state: TftpState, transfer: Transfer | None) -> None:
    state.transfers = [other for other in state.transfers if other is not transfer]


def _sent(state: TftpState, transfer: Transfer, packet: bytes, now_ns: int) -> bytes:
    """Note that ``packet`` was sent: it may have to be sent again, and its transfer moves to the end of the list."""
    _drop(state, transfer)
    state.transfers.append(transfer)
    transfer.packet, transfer.resends, transfer.expire_ns = packet, 0, now_ns + transfer.resend_ns
    return packet


# ---- requests


def _parse_request(data: bytes) -> _ReadRequest:
    """Parse a read request. Raises _Refused if it can't be granted, whatever files there are."""
    if not data.endswith(b"\0"):
        raise _Refused(tftp.EACCESS, _DENIED)
    fields = data[:-1].split(b"\0")
    if len(fields) < 2 or len(fields) % 2:
        raise _Refused(tftp.EACCESS, _DENIED)
    if fields[1].lower() != b"octet":
        raise _Refused(tftp.EBADOP, "Unsupported transfer mode")
    texts = [text.decode("ascii", "replace") for text in fields[2:]]
    return _ReadRequest(_safe_name(fields[0]), list(zip(texts[::2], texts[1::2], strict=True)))


def _safe_name(raw: bytes) -> str:
    """The name of a file, relative to the folder; a leading slash means the folder itself."""
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        raise _Refused(tftp.EACCESS, _DENIED) from None
    is_plain = name.isprintable() and "\\" not in name and len(raw) <= NAME_BYTES_MAX
    name = name.lstrip("/")
    if not is_plain or not name or name.endswith("/") or ".." in name.split("/"):
        raise _Refused(tftp.EACCESS, _DENIED)
    return name


def _agree(options: list[tuple[str, str]], size: int) -> dict[str, str]:
    """The options that are granted, in the order in which they were asked for, without unknown ones."""
    agreed: dict[str, str] = {}
    for asked, value in options:
        name = asked.lower()
        if name == "blksize":
            number = _number(name, value, BLOCK_BYTES_MIN, BLOCK_BYTES_ASKED_MAX)
            agreed[name] = str(min(number, BLOCK_BYTES_MAX))
        elif name == "tsize":
            _number(name, value, 0, 0)
            agreed[name] = str(size)
        elif name == "timeout":
            agreed[name] = str(_number(name, value, 1, 255))
    return agreed


def _number(option: str, value: str, low: int, high: int) -> int:
    if value.isdecimal() and len(value) <= 9 and low <= int(value) <= high:
        return int(value)
    raise _Refused(_OPTION_REFUSED, f"Option {option}: expected {low} to {high}")


# ---- packets


def _option_ack(agreed: dict[str, str]) -> bytes:
    fields = [text.encode() + b"\0" for item in agreed.items() for text in item]
    return struct.pack("!H", _OPTION_ACK) + b"".join(fields)


def _error(code: int, message: str) -> bytes:
    return struct.pack("!HH", tftp.OP_ERR, code) + message.encode() + b"\0"


def _unexpected(opcode: int) -> bytes:
    """The error for a packet that belongs to no transfer, or that only a client that writes files would send."""
    if opcode == tftp.OP_WRQ:
        return _error(tftp.EACCESS, _DENIED)
    if opcode in (tftp.OP_ACK, tftp.OP_DATA):
        return _error(tftp.EBADID, "Unknown transfer ID")
    return _error(tftp.EBADOP, _ILLEGAL)
