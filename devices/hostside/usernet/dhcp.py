"""DHCP server: leases sixteen addresses to clients, which it knows by MAC address.

The choice of addresses and the layout of replies follow libslirp. Different from libslirp, and as RFC 2131 says:
DECLINE, RELEASE and INFORM are handled; leases end; a client that has an address is answered at that address; a request
that names another server is not answered; a NAK names the server and no address; ``flags`` and ``giaddr`` are copied to
the reply. A BOOTP client gets a BOOTP reply and a permanent address, as RFC 1534 says.

Source: RFC 2131 (table 3 for the fields of replies), RFC 2132, RFC 1534, RFC 951.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from ipaddress import IPv4Address

from dpkt import dhcp

from minstret.devices.hostside.usernet.addresses import (
    BROADCAST,
    DNS,
    FIRST_LEASE,
    HOST,
    NETWORK,
    UNSPECIFIED,
    is_guest,
    is_unicast_mac,
)
from minstret.devices.hostside.usernet.config import UserNetConfig
from minstret.devices.hostside.usernet.packets import Malformed, decode
from minstret.emu.units import NS_PER_S

SERVER_PORT, CLIENT_PORT = 67, 68
SLOTS = 16
LEASE_S = 86_400
OFFER_NS = 60 * NS_PER_S
"""How long an address stays reserved for the client it was offered to."""
DECLINED_NS = 600 * NS_PER_S
"""How long nobody gets an address after a client found it in use."""
MESSAGE_BYTES = 548
"""Size of every reply to a DHCP client: 236 bytes of fields, 312 for options."""
BOOTP_BYTES = 300
"""Size of every reply to a BOOTP client: 236 bytes of fields, 64 for options."""
NEVER_NS = (1 << 63) - 1
"""``expire_ns`` of a permanent address."""
NAK_MESSAGE = b"requested address not available"

_HARDWARE_ETHERNET = 1
_COOKIE = dhcp.DHCP_MAGIC.to_bytes(4, "big")


class Message(IntEnum):
    """Values of option 53, the message type. BOOTP stands for a request without that option."""

    BOOTP = 0
    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


class Option(IntEnum):
    NETMASK = 1
    ROUTER = 3
    DNS_SERVER = 6
    HOSTNAME = 12
    DOMAIN_NAME = 15
    REQUESTED_ADDRESS = 50
    LEASE_TIME = 51
    MESSAGE_TYPE = 53
    SERVER_ID = 54
    MESSAGE = 56
    TFTP_SERVER_NAME = 66


class Use(Enum):
    """What state an address is in."""

    FREE = "free"
    OFFERED = "offered"
    LEASED = "leased"
    DECLINED = "declined"


@dataclass(slots=True)
class Slot:
    """One address. ``mac``: its client, empty for none. ``expire_ns``: when its use ends; 0 while it is free, or
    NEVER_NS."""

    use: Use = Use.FREE
    mac: bytes = b""
    expire_ns: int = 0

    def is_for(self, mac: bytes) -> bool:
        """Whether the client with ``mac`` may have it."""
        return self.use is Use.FREE or self.is_of(mac)

    def is_of(self, mac: bytes) -> bool:
        return self.mac == mac


@dataclass(slots=True)
class DhcpState:
    """The addresses, starting with 10.0.2.15."""

    slots: list[Slot] = field(default_factory=lambda: [Slot() for _ in range(SLOTS)])


@dataclass(frozen=True, slots=True)
class DhcpReply:
    """A reply. ``client`` is the address that ``mac`` has from now on, None if it has none."""

    payload: bytes
    dst: bytes
    mac: bytes
    client: bytes | None


@dataclass(frozen=True, slots=True)
class _Request:
    kind: int
    mac: bytes
    ciaddr: bytes
    requested: bytes
    server: bytes
    """Option 54; UNSPECIFIED if it is missing."""
    has_cookie: bool
    """Whether the reply may have options: RFC 951's vendor area has options only with the magic cookie."""
    fields: dict[str, int]
    """Fields that every reply copies: xid, flags, giaddr."""


class DhcpServer:
    """Answers requests. All its memory is in the DhcpState that it is given."""

    def __init__(self, config: UserNetConfig) -> None:
        self._bootfile = (config.bootfile or "").encode()
        self._settings = _settings(config)
        self._names = _names(config)

    def answer(self, state: DhcpState, data: bytes, now_ns: int) -> DhcpReply | None:
        """The reply to the request ``data``; None if there is none.

        Raises:
            Malformed: ``data`` is not a request of a client on Ethernet.
        """
        request = _parse(data)
        if request.kind == Message.DISCOVER:
            return self._offer(state, request, now_ns)
        if request.kind == Message.BOOTP:
            return self._answer_bootp(state, request)
        if request.kind == Message.INFORM:
            return self._inform(request)
        if request.server not in (HOST, UNSPECIFIED):
            if request.kind == Message.REQUEST:
                _withdraw(state, request)
            return None
        if request.kind == Message.REQUEST:
            return self._assign(state, request, now_ns)
        if request.kind == Message.DECLINE:
            _decline(state, request, now_ns)
        elif request.kind == Message.RELEASE:
            _release(state, request)
        return None

    def _offer(self, state: DhcpState, request: _Request, now_ns: int) -> DhcpReply | None:
        index = _index_of(request.requested)
        if index is None or not state.slots[index].is_for(request.mac):
            index = _first_for(state, request.mac)
        if index is None:
            return None
        slot = state.slots[index]
        if slot.use is not Use.LEASED:
            state.slots[index] = Slot(Use.OFFERED, request.mac, now_ns + OFFER_NS)
        return self._grant(Message.OFFER, request, index)

    def _assign(self, state: DhcpState, request: _Request, now_ns: int) -> DhcpReply | None:
        wanted = request.requested if request.requested != UNSPECIFIED else request.ciaddr
        if wanted != UNSPECIFIED:
            index = _index_of(wanted)
            if index is None or not state.slots[index].is_for(request.mac):
                return _refuse(request)
        else:
            index = _own_or_first_for(state, request.mac)
            if index is None:
                return None
        state.slots[index] = Slot(Use.LEASED, request.mac, now_ns + LEASE_S * NS_PER_S)
        return self._grant(Message.ACK, request, index)

    def _grant(self, kind: Message, request: _Request, index: int) -> DhcpReply:
        address = _address(index)
        lease = (Option.LEASE_TIME, LEASE_S.to_bytes(4, "big"))
        options = [*_head(kind), *self._settings, lease, *self._names]
        payload = _pack(request, options, self._bootfile, yiaddr=_int(address), siaddr=_int(HOST))
        return DhcpReply(payload, _destination(request, address), request.mac, address)

    def _answer_bootp(self, state: DhcpState, request: _Request) -> DhcpReply | None:
        """Answer a BOOTP client. It keeps the address it has, or gets a permanent one, as it can't renew a lease."""
        index = _index_of(request.ciaddr)
        if request.ciaddr == UNSPECIFIED:
            index = _own_or_first_for(state, request.mac)
            if index is None:
                return None
        elif not is_guest(request.ciaddr) or (index is not None and not state.slots[index].is_for(request.mac)):
            return None
        if index is not None:
            state.slots[index] = Slot(Use.LEASED, request.mac, NEVER_NS)
        address = request.ciaddr if index is None else _address(index)
        options = _fitting([*self._settings, *self._names]) if request.has_cookie else None
        payload = _pack(
            request, options, self._bootfile, BOOTP_BYTES,
            ciaddr=_int(request.ciaddr), yiaddr=_int(address), siaddr=_int(HOST),
        )  # fmt: skip
        return DhcpReply(payload, _destination(request, address), request.mac, address)

    def _inform(self, request: _Request) -> DhcpReply | None:
        if not is_guest(request.ciaddr):
            raise Malformed("DHCPINFORM without an address of this network")
        options = [*_head(Message.ACK), *self._settings, *self._names]
        payload = _pack(request, options, self._bootfile, ciaddr=_int(request.ciaddr), siaddr=_int(HOST))
        return DhcpReply(payload, request.ciaddr, request.mac, request.ciaddr)


def expire(state: DhcpState, now_ns: int) -> None:
    """Free the addresses whose time is over."""
    for index, slot in enumerate(state.slots):
        if slot.use is not Use.FREE and slot.expire_ns <= now_ns:
            state.slots[index] = Slot()


def deadline_ns(state: DhcpState) -> int | None:
    """When ``expire`` has something to do; None for never."""
    ends = (slot.expire_ns for slot in state.slots if slot.use is not Use.FREE and slot.expire_ns != NEVER_NS)
    return min(ends, default=None)


# ---- addresses


def _address(index: int) -> bytes:
    return (FIRST_LEASE + index).packed


def _index_of(address: bytes) -> int | None:
    index = _int(address) - int(FIRST_LEASE)
    return index if 0 <= index < SLOTS else None


def _first_for(state: DhcpState, mac: bytes) -> int | None:
    return next((index for index, slot in enumerate(state.slots) if slot.is_for(mac)), None)


def _own_or_first_for(state: DhcpState, mac: bytes) -> int | None:
    own = next((index for index, slot in enumerate(state.slots) if slot.is_of(mac)), None)
    return _first_for(state, mac) if own is None else own


def _decline(state: DhcpState, request: _Request, now_ns: int) -> None:
    index = _index_of(request.requested)
    if index is not None and state.slots[index].is_of(request.mac):
        state.slots[index] = Slot(Use.DECLINED, b"", now_ns + DECLINED_NS)


def _withdraw(state: DhcpState, request: _Request) -> None:
    """Free the address we offered: the client has taken another server's offer. RFC 2131, section 3.1, step 3."""
    for index, slot in enumerate(state.slots):
        if slot.use is Use.OFFERED and slot.is_of(request.mac):
            state.slots[index] = Slot()


def _release(state: DhcpState, request: _Request) -> None:
    index = _index_of(request.ciaddr)
    if index is not None and state.slots[index].is_of(request.mac):
        state.slots[index] = Slot()


# ---- messages


def _parse(data: bytes) -> _Request:
    message = decode(dhcp.DHCP, data)
    if (message.op, message.hrd, message.hln) != (dhcp.DHCP_OP_REQUEST, _HARDWARE_ETHERNET, 6):
        raise Malformed("DHCP: no request of a client on Ethernet")
    if not is_unicast_mac(message.chaddr):
        raise Malformed("DHCP: the client's MAC address")
    has_cookie = message.magic == dhcp.DHCP_MAGIC
    options = dict(reversed(message.opts)) if has_cookie else {}
    return _Request(
        kind=int.from_bytes(options.get(Option.MESSAGE_TYPE, b"\0"), "big"),
        mac=message.chaddr,
        ciaddr=message.ciaddr.to_bytes(4, "big"),
        requested=_address_option(options.get(Option.REQUESTED_ADDRESS, UNSPECIFIED)),
        server=_address_option(options.get(Option.SERVER_ID, UNSPECIFIED)),
        has_cookie=has_cookie,
        fields={"xid": message.xid, "flags": message.flags, "giaddr": message.giaddr},
    )


def _address_option(value: bytes) -> bytes:
    if len(value) != 4:
        raise Malformed("DHCP: an option that is no address")
    return value


def _destination(request: _Request, address: bytes) -> bytes:
    """The destination of a reply with ``address``: RFC 2131, section 4.1. A client without an address, or one that uses
    a relay, is answered by broadcast, as libslirp does."""
    has_address = request.ciaddr == address and not request.fields["giaddr"]
    return address if has_address else BROADCAST


def _fitting(options: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Those of ``options`` that a BOOTP client knows and that fit between the magic cookie and the end."""
    room, fitting = BOOTP_BYTES - dhcp.DHCP.__hdr_len__ - 1, []
    for option, value in options:
        if option != Option.TFTP_SERVER_NAME and 2 + len(value) <= room:
            fitting.append((option, value))
            room -= 2 + len(value)
    return fitting


def _head(kind: Message) -> list[tuple[int, bytes]]:
    return [(Option.MESSAGE_TYPE, bytes([kind])), (Option.SERVER_ID, HOST)]


def _settings(config: UserNetConfig) -> list[tuple[int, bytes]]:
    """The options before the lease time."""
    ways_out = [] if config.restrict else [(Option.ROUTER, HOST), (Option.DNS_SERVER, DNS)]
    return [(Option.NETMASK, NETWORK.netmask.packed), *ways_out]


def _names(config: UserNetConfig) -> list[tuple[int, bytes]]:
    """The options after the lease time."""
    names = [
        (Option.HOSTNAME, config.hostname),
        (Option.DOMAIN_NAME, config.domainname),
        (Option.TFTP_SERVER_NAME, config.tftp_server_name),
    ]
    return [(option, name.encode()) for option, name in names if name]


def _refuse(request: _Request) -> DhcpReply:
    """A NAK. Table 3 of RFC 2131 allows no address in it."""
    payload = _pack(request, [*_head(Message.NAK), (Option.MESSAGE, NAK_MESSAGE)], b"")
    return DhcpReply(payload, BROADCAST, request.mac, None)


def _pack(
    request: _Request, options: list[tuple[int, bytes]] | None, bootfile: bytes, size: int = MESSAGE_BYTES,
    **addresses: int,
) -> bytes:  # fmt: skip
    """A reply of ``size`` bytes; without a magic cookie if ``options`` is None."""
    reply = dhcp.DHCP(
        op=dhcp.DHCP_OP_REPLY, chaddr=request.mac.ljust(16, b"\0"), file=bootfile.ljust(128, b"\0"),
        opts=options or [], **request.fields, **addresses,
    )  # fmt: skip
    packed = bytes(reply) if options is not None else reply.pack_hdr()[: -len(_COOKIE)]
    return packed.ljust(size, b"\0")


def _int(address: bytes) -> int:
    return int(IPv4Address(address))
