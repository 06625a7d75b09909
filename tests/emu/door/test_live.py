"""The live door: order, and what happens when a device has no room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minstret.emu.door.door import Event, Position
from minstret.emu.door.live import LiveDoor

START = Position(0, 0)


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

    door.admit(START)

    assert door.wait(1_000_000_000) == 1_000_000_000  # at once: nobody could cut the wait short
    assert sink.calls == 0


def test_events_reach_their_targets_in_order() -> None:
    uart, net = FakeSink(), FakeSink()
    door = door_with(FakeSource([Event("uart", b"a"), Event("net", b"N"), Event("uart", b"b")]), uart=uart, net=net)

    door.admit(START)

    assert (uart.got, net.got) == (b"ab", b"N")


def test_events_are_delivered_once() -> None:
    uart = FakeSink()
    door = door_with(FakeSource([Event("uart", b"a")]), uart=uart)

    door.admit(START)
    door.admit(START)

    assert uart.got == b"a"
    assert uart.calls == 1


def test_bytes_without_room_come_at_a_later_turn() -> None:
    uart = FakeSink(room=2)
    door = door_with(FakeSource([Event("uart", b"abcde")]), uart=uart)

    door.admit(START)
    assert uart.got == b"ab"
    uart.room = 1
    door.admit(START)
    assert uart.got == b"abc"
    uart.room = 9
    door.admit(START)
    assert uart.got == b"abcde"


def test_blocked_target_keeps_its_order_and_does_not_block_others() -> None:
    uart, net = FakeSink(room=1), FakeSink()
    door = door_with(
        FakeSource([Event("uart", b"ab"), Event("net", b"N"), Event("uart", b"c")], [Event("uart", b"d")]),
        uart=uart, net=net,
    )  # fmt: skip

    door.admit(START)
    assert (uart.got, net.got) == (b"a", b"N")
    assert uart.calls == 1  # "c" was not offered before "b" was taken
    uart.room = None
    door.admit(START)

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
        door.admit(START)
    for sink in sinks.values():
        sink.room = None
    for _ in range(len(polls) + 1):
        door.admit(START)

    for target, sink in sinks.items():
        assert sink.got == b"".join(data for poll in polls for name, data in poll if name == target)


def test_posted_event_arrives_at_the_next_turn() -> None:
    sink = FakeSink()
    door = door_with(FakeSource(), net=sink)

    door.post(Event("net", b"frame"))
    arrived = door.has_arrivals
    admitted = door.admit(START)

    assert (arrived, admitted, sink.got) == (True, True, b"frame")
    assert not door.has_arrivals
    assert not door.has_met_host


def test_schedule_runs_at_its_icount_and_what_it_posts_enters_at_once() -> None:
    class Script:
        next_icount: int | None = 100

        def run_due(self, icount: int) -> None:
            if self.next_icount is not None and icount >= self.next_icount:
                self.next_icount = None
                door.post(Event("keys", b"a"))

    sink = FakeSink()
    door = door_with(FakeSource(), keys=sink)
    door.schedule = Script()

    door.admit(Position(99, 198))
    before = (door.next_icount, sink.got)
    door.admit(Position(100, 200))

    assert before == (100, b"")
    assert (door.next_icount, sink.got) == (None, b"a")
