"""Addresses in the user network, and the MAC addresses made from them.

Source: libslirp's defaults under QEMU, as captured in tests/devices/hostside/usernet/data.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

NETWORK = IPv4Network("10.0.2.0/24")
HOST = IPv4Address("10.0.2.2").packed
DNS = IPv4Address("10.0.2.3").packed
FIRST_LEASE = IPv4Address("10.0.2.15")
UNSPECIFIED = bytes(4)
BROADCAST = b"\xff" * 4

NETWORK6 = IPv6Network("fec0::/64")
HOST6 = IPv6Address("fec0::2").packed
DNS6 = IPv6Address("fec0::3").packed
LINK_HOST6 = IPv6Address("fe80::2").packed
LINK_DNS6 = IPv6Address("fe80::3").packed
OURS6 = (HOST6, DNS6, LINK_HOST6, LINK_DNS6)
UNSPECIFIED6 = bytes(16)
ALL_NODES6 = IPv6Address("ff02::1").packed
_SOLICITED_NODE6 = IPv6Address("ff02::1:ff00:0").packed[:13]

BROADCAST_MAC = b"\xff" * 6


def mac_of(address: bytes) -> bytes:
    """The MAC address that the network uses for one of its own addresses (4 or 16 bytes)."""
    return (b"\x52\x55" if len(address) == 4 else b"\x52\x56") + address[-4:]


HOST_MAC = mac_of(HOST)


def multicast_mac(address: bytes) -> bytes:
    """The MAC address for the IPv6 multicast ``address``. Source: RFC 2464, section 7."""
    return b"\x33\x33" + address[-4:]


def solicited_node(address: bytes) -> bytes:
    """The multicast group that the owner of ``address`` listens to. Source: RFC 4291, section 2.7.1."""
    return _SOLICITED_NODE6 + address[-3:]


def is_multicast6(address: bytes) -> bool:
    return address[0] == 0xFF


def is_guest(address: bytes) -> bool:
    """Whether a guest may have this IPv4 address: it is in the network and not one of the network's own."""
    ip = IPv4Address(address)
    is_host = ip in NETWORK and ip not in (NETWORK.network_address, NETWORK.broadcast_address)
    return is_host and address not in (HOST, DNS)


def is_unicast(address: bytes) -> bool:
    """Whether this IPv4 address belongs to a single host."""
    ip = IPv4Address(address)
    return not (ip.is_multicast or ip.is_reserved or ip.is_unspecified or ip == NETWORK.broadcast_address)


def is_guest6(address: bytes) -> bool:
    """Whether a guest may have this IPv6 address."""
    return not is_multicast6(address) and address not in (*OURS6, UNSPECIFIED6, bytes(15) + b"\x01")


def is_unicast_mac(mac: bytes) -> bool:
    return not mac[0] & 1 and mac != bytes(6)
