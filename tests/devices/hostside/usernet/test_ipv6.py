"""The IPv6 side may be switched off."""

from __future__ import annotations

from dpkt import tcp
from usernet_bench import Bench
from usernet_guest import (
    HOST6,
    ping6,
    tcp6,
)


def test_ipv6_switched_off_is_silent_for_ever() -> None:
    bench = Bench(ipv6=False)

    assert bench.send(ping6(), tcp6(HOST6, tcp.TH_SYN)) == []
    assert bench.go_by(s=86_400) == []
