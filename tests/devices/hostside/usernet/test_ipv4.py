"""The IP sides: UDP that nobody serves vanishes."""

from __future__ import annotations

import pytest
from usernet_bench import guest_bench
from usernet_guest import (
    DNS6,
    HOST,
    dns_query,
    udp4,
    udp6,
)


@pytest.mark.parametrize("restrict", [True, False])
def test_other_udp_vanishes(restrict: bool) -> None:
    bench = guest_bench(restrict=restrict)
    query = dns_query()

    assert (
        bench.send(udp4(HOST, 53, query), udp4("8.8.8.8", 53, query), udp4(HOST, 9, b"x"), udp6(DNS6, 53, query)) == []
    )
    assert bench.state.counters.ignored == 4
