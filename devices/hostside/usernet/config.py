"""The options of the user network, and the interface of the files that it serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minstret.emu.errors import ConfigError

BOOTFILE_BYTES_MAX = 127
"""DHCP's field has 128 bytes and ends with a NUL."""
_OPTION_BYTES_MAX = 255
_OPTIONS_BYTES_MAX = 260
"""Bytes that the names may use of the 312 for DHCP options; each name needs two bytes more than its length."""


@dataclass(frozen=True, slots=True)
class UserNetConfig:
    """Options, named like those of QEMU's ``-netdev user``.

    Args:
        restrict: DHCP names no router and no DNS server, and DNS does not answer.
        link_delay_ns: How long each frame to the guest travels, in virtual time.
        hostname, tftp_server_name, bootfile, domainname: What DHCP tells the guest.
        ipv6: Whether there is an IPv6 network too.
        seed: Seed for the times at which the router advertises itself without being asked.

    Raises:
        ConfigError: a name is too long for DHCP, or contains a NUL.
    """

    restrict: bool = False
    link_delay_ns: int = 50_000
    hostname: str | None = None
    tftp_server_name: str | None = None
    bootfile: str | None = None
    domainname: str | None = None
    ipv6: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.link_delay_ns < 0:
            raise ConfigError(f"usernet: link delay: expected 0 ns or more, got {self.link_delay_ns}")
        _check_name("bootfile", self.bootfile, BOOTFILE_BYTES_MAX)
        names = {"hostname": self.hostname, "tftp-server-name": self.tftp_server_name, "domainname": self.domainname}
        for what, name in names.items():
            _check_name(what, name, _OPTION_BYTES_MAX)
        total = sum(2 + len(name.encode()) for name in names.values() if name)
        if total > _OPTIONS_BYTES_MAX:
            raise ConfigError(
                f"usernet: {', '.join(names)}: expected at most {_OPTIONS_BYTES_MAX} bytes in total, counting two more "
                f"for each, so that they fit into one DHCP message; got {total}"
            )


class Files(Protocol):
    """The files that a guest may read. The methods never raise.

    Names are relative and printable, with ``/`` between folders, and without ``..`` or backslashes. The implementation
    has to refuse links that lead out of the folder.
    """

    def size(self, name: str) -> int | None:
        """The file's size in bytes; None if there is no such regular file."""
        ...

    def read(self, name: str, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset``; fewer only at the file's end."""
        ...


def _check_name(what: str, name: str | None, bytes_max: int) -> None:
    if name is None:
        return
    if "\0" in name or len(name.encode()) > bytes_max:
        raise ConfigError(f"usernet: {what}: expected at most {bytes_max} bytes without a NUL, got {name!r}")
