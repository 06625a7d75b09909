"""What a user may choose, and what is refused."""

from __future__ import annotations

import re

import pytest
from usernet_bench import Bench
from usernet_guest import dhcp_of, dhcp_options, discover

from minstret.devices.hostside.usernet.network import UserNetConfig
from minstret.emu.errors import ConfigError


def test_config_names_of_the_largest_size_fit_into_a_reply() -> None:
    names = {"hostname": "h" * 84, "domainname": "d" * 85, "tftp_server_name": "t" * 85, "bootfile": "b" * 127}
    bench = Bench(**names)

    offer = bench.ask(discover())

    assert len(offer) == 590
    options = dict(dhcp_options(offer))
    assert (options[12], options[15], options[66]) == (b"h" * 84, b"d" * 85, b"t" * 85)
    assert dhcp_of(offer).file == b"b" * 127 + b"\0"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"bootfile": "b" * 128}, "bootfile: expected at most 127 bytes"),
        ({"hostname": "h" * 256}, "hostname: expected at most 255 bytes"),
        ({"tftp_server_name": "a\0b"}, "tftp-server-name: expected at most 255 bytes without a NUL"),
        ({"hostname": "h" * 85, "domainname": "d" * 85, "tftp_server_name": "t" * 85}, "bytes in total"),
        ({"hostname": "ü" * 128}, "hostname: expected at most 255 bytes"),
        ({"link_delay_ns": -1}, "link delay: expected 0 ns or more, got -1"),
    ],
)
def test_config_that_cannot_be_is_refused(config: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        UserNetConfig(**config)  # type: ignore[arg-type]
