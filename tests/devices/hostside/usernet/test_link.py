"""The link to the guest: order, delay, and how many frames it holds."""

from __future__ import annotations

from minstret.devices.hostside.usernet.link import FRAMES_MAX, LinkState, arrived, deadline_ns, send


def test_frames_arrive_in_order_each_at_its_time() -> None:
    state = LinkState()
    for number, when_ns in enumerate((100, 100, 250)):
        assert send(state, b"%d" % number, when_ns)

    assert deadline_ns(state) == 100
    assert arrived(state, 99) == []
    assert arrived(state, 100) == [b"0", b"1"]
    assert deadline_ns(state) == 250
    assert arrived(state, 10_000) == [b"2"]
    assert arrived(state, 10_000) == []
    assert deadline_ns(state) is None


def test_full_link_drops_what_comes_then_and_takes_more_when_there_is_room() -> None:
    state = LinkState()
    assert all(send(state, b"x", number) for number in range(FRAMES_MAX))

    assert not send(state, b"dropped", FRAMES_MAX)
    assert arrived(state, 0) == [b"x"]
    assert send(state, b"taken", FRAMES_MAX)
    assert arrived(state, FRAMES_MAX)[-1] == b"taken"
