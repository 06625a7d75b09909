"""The live door: order, and what happens when a device has no room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minstret.emu.ingress import Event, LiveDoor


class FakeSource:
    """A host that says what it was told to."""

    def __init__(self, *polls: list[Event]) -> None:
        self.polls = list(polls)
        self.waits: list[int | None] = []

    def poll(self, wants_input: bool = True) -> list[Event]:
        return self.polls.pop(0) if self.polls else []

    def wait(self, timeout_ns: int | None) -> int:
        self.waits.append(timeout_ns)
        return 17


class FakeSink:
    """A device with room for so many bytes; None for any number."""

    def __init__(self, room: int | None = None) -> None:
        self.room = room
        self.got = b""
        self.calls = 0

    def __call__(self, data: bytes) -> int:
        self.calls += 1
        taken = data if self.room is None else data[: self.room]
        if self.room is not None:
            self.room -= len(taken)
        self.got += taken
        return len(taken)


def door_with(source: FakeSource, **sinks: FakeSink) -> LiveDoor:
    door = LiveDoor(source)
    for target, sink in sinks.items():
        door.connect(target, sink)
    return door


def test_door_without_a_source_admits_nothing_and_never_waits() -> None:
    sink = FakeSink()
    door = LiveDoor()
    door.connect("uart", sink)

    door.admit()

    assert door.wait(1_000_000_000) == 0
    assert sink.calls == 0


def test_events_reach_their_targets_in_order() -> None:
    uart, net = FakeSink(), FakeSink()
    door = door_with(FakeSource([Event("uart", b"a"), Event("net", b"N"), Event("uart", b"b")]), uart=uart, net=net)

    door.admit()

    assert (uart.got, net.got) == (b"ab", b"N")


def test_events_are_delivered_once() -> None:
    uart = FakeSink()
    door = door_with(FakeSource([Event("uart", b"a")]), uart=uart)

    door.admit()
    door.admit()

    assert uart.got == b"a"
    assert uart.calls == 1


def test_bytes_without_room_come_at_a_later_turn() -> None:
    uart = FakeSink(room=2)
    door = door_with(FakeSource([Event("uart", b"abcde")]), uart=uart)

    door.admit()
    assert uart.got == b"ab"
    uart.room = 1
    door.admit()
    assert uart.got == b"abc"
    uart.room = 9
    door.admit()
    assert uart.got == b"abcde"


def test_blocked_target_keeps_its_order_and_does_not_block_others() -> None:
    uart, net = FakeSink(room=1), FakeSink()
    door = door_with(
        FakeSource([Event("uart", b"ab"), Event("net", b"N"), Event("uart", b"c")], [Event("uart", b"d")]),
        uart=uart, net=net,
    )  # fmt: skip

    door.admit()
    assert (uart.got, net.got) == (b"a", b"N")
    assert uart.calls == 1  # "c" was not offered before "b" was taken
    uart.room = None
    door.admit()

    assert uart.got == b"abcd"


def test_wait_is_passed_on_to_the_source() -> None:
    source = FakeSource()
    door = LiveDoor(source)

    assert door.wait(5) == 17
    assert door.wait(None) == 17
    assert source.waits == [5, None]


@given(
    st.lists(st.lists(st.tuples(st.sampled_from("ab"), st.binary(min_size=1, max_size=5)), max_size=4), max_size=6),
    st.lists(st.integers(0, 6), max_size=30),
)
def test_no_byte_is_lost_doubled_or_overtaken_whatever_the_room(
    polls: list[list[tuple[str, bytes]]], rooms: list[int]
) -> None:
    sinks = {"a": FakeSink(0), "b": FakeSink(0)}
    door = door_with(FakeSource(*([Event(*event) for event in poll] for poll in polls)), **sinks)

    for i, room in enumerate(rooms):
        sinks["ab"[i % 2]].room = room
        door.admit()
    for sink in sinks.values():
        sink.room = None
    for _ in range(len(polls) + 1):
        door.admit()

    for target, sink in sinks.items():
        assert sink.got == b"".join(data for poll in polls for name, data in poll if name == target)
