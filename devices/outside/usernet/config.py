"""What a user may choose about the user network, and what its files are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minstret.emu.errors import ConfigError

BOOTFILE_BYTES_MAX = 127
"""DHCP's field has 128 bytes and ends with a NUL."""
_OPTION_BYTES_MAX = 255
_OPTIONS_BYTES_MAX = 260
"""What the names may take of the 312 bytes for DHCP options, each with two bytes in front."""


@dataclass(frozen=True, slots=True)
class UserNetConfig:
    """As QEMU's ``-netdev user`` has them.

    Args:
        restrict: Nothing leads out of the network; DHCP then names no router and no DNS server.
        link_delay_ns: How long each frame to the guest is under way.
        hostname, tftp_server_name, bootfile, domainname: What DHCP tells the guest.
        ipv6: Whether there is an IPv6 network too.
        seed: Of the times at which routers advertise themselves unasked.

    Raises:
        ConfigError: a name is too long for DHCP, or has a NUL in it.
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
                f"usernet: {', '.join(names)}: expected at most {_OPTIONS_BYTES_MAX} bytes together "
                f"with two for each, as they have to fit into one DHCP message; got {total}"
            )


class Files(Protocol):
    """The files that a guest may read. Neither method raises.

    Names are relative and printable, with ``/`` between folders, and no ``..`` or backslash; still, a link in the
    folder may lead out of it, which only the implementation can see.
    """

    def size(self, name: str) -> int | None:
        """Bytes in the file; None if there is no such file, or it is no plain file."""
        ...

    def read(self, name: str, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset``; fewer only at the file's end."""
        ...


def _check_name(what: str, name: str | None, bytes_max: int) -> None:
    if name is None:
        return
    if "\0" in name or len(name.encode()) > bytes_max:
        raise ConfigError(f"usernet: {what}: expected at most {bytes_max} bytes without a NUL, got {name!r}")
