"""The input queue: what leaves it when, in which order, and that its state is all there is to it."""

from __future__ import annotations

import copy
from dataclasses import fields

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from minstret.devices.hostside.hostinput.keymap import parse_chord, parse_keys
from minstret.devices.hostside.hostinput.queue import (
    ENTRIES_MAX,
    KEY_DELAY_NS,
    KEYBOARD,
    PRESS_NS,
    TABLET,
    InputQueue,
    InputQueueState,
    Wheel,
)
from minstret.devices.virtio.input_codes import EVENT_SIZE, REPORT, Button, EventType, Key
from minstret.emu.clock import VirtualClock
from minstret.emu.errors import ConfigError
from minstret.emu.state import canonical_bytes, from_plain, to_plain
from minstret.emu.timers import TimerAttribute, TimerList

ICOUNT, SHIFT = 1_000_003, 1
"""An odd start: a mixed-up clock shows at once."""
START_NS = ICOUNT << SHIFT
MS = 1_000_000
TARGETS = {KEYBOARD: "keyboard0.events", TABLET: "tablet0.events"}
A, B, SHIFT_KEY = Key.KEY_A, Key.KEY_B, Key.KEY_LEFTSHIFT

Change = tuple[int, int, int]
"""(ns since the start, code, value)"""


class Bench:
    """A queue, its timers, and what came out of it."""

    def __init__(self, targets: dict[str, str] | None = None) -> None:
        self.clock = VirtualClock(lambda: ICOUNT, SHIFT)
        self.timers = TimerList(self.clock)
        self.out: list[tuple[int, str, bytes]] = []
        self.queue = InputQueue("input", self.timers, self.deliver, TARGETS if targets is None else targets)

    def deliver(self, target: str, batch: bytes) -> None:
        self.out.append((self.clock.now_ns() - START_NS, target, batch))

    def run(self, until_ns: int = 1 << 62) -> None:
        """Let time pass from deadline to deadline, up to ``until_ns`` since the start."""
        while (expire_ns := self.timers.expire_ns()) is not None and expire_ns <= START_NS + until_ns:
            self.clock.warp_to(expire_ns)
            self.timers.run_expired()
        if until_ns < 1 << 62:
            self.clock.warp_to(START_NS + until_ns)

    @property
    def changes(self) -> list[Change]:
        """The events that came out, without the reports."""
        return [
            (at_ns, int.from_bytes(event[2:4], "little"), int.from_bytes(event[4:], "little"))
            for at_ns, _, batch in self.out
            for event in events_of(batch)[:-1]
        ]


def events_of(batch: bytes) -> list[bytes]:
    assert batch.endswith(REPORT)
    return [batch[at : at + EVENT_SIZE] for at in range(0, len(batch), EVENT_SIZE)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


# ---- keys


def test_typed_key_is_down_and_up_for_qemus_delay_each(bench: Bench) -> None:
    bench.queue.type(parse_keys("ab", "x"))
    assert bench.changes == [(0, A, 1)]  # at once, without any timer

    bench.run()

    assert bench.changes == [(0, A, 1), (10 * MS, A, 0), (20 * MS, B, 1), (30 * MS, B, 0)]


def test_chord_goes_up_the_other_way_round(bench: Bench) -> None:
    bench.queue.type(parse_keys("A", "x"))
    bench.run()

    assert bench.changes == [(0, SHIFT_KEY, 1), (10 * MS, A, 1), (20 * MS, A, 0), (30 * MS, SHIFT_KEY, 0)]


def test_press_holds_all_keys_together_for_its_time(bench: Bench) -> None:
    bench.queue.press(parse_chord("ctrl-a", "x"), 250 * MS)
    bench.run()

    ctrl = Key.KEY_LEFTCTRL
    assert bench.changes == [(0, ctrl, 1), (10 * MS, A, 1), (260 * MS, A, 0), (270 * MS, ctrl, 0)]


def test_press_takes_100_ms_unless_told_otherwise(bench: Bench) -> None:
    bench.queue.press([A])
    bench.run()

    assert bench.changes == [(0, A, 1), (PRESS_NS, A, 0)]
    assert (PRESS_NS, KEY_DELAY_NS) == (100 * MS, 10 * MS)


def test_every_event_is_a_batch_of_its_own_for_the_keyboards_target(bench: Bench) -> None:
    bench.queue.type(parse_keys("a", "x"))
    bench.run()

    key = EventType.EV_KEY.to_bytes(2, "little") + A.to_bytes(2, "little")
    assert [(target, batch) for _, target, batch in bench.out] == [
        ("keyboard0.events", key + b"\1\0\0\0" + REPORT),
        ("keyboard0.events", key + b"\0\0\0\0" + REPORT),
    ]


def test_what_comes_during_a_delay_waits_behind_it(bench: Bench) -> None:
    bench.queue.press([A], 50 * MS)
    bench.run(20 * MS)
    bench.queue.move(1, 2)
    bench.queue.hold(SHIFT_KEY)
    assert len(bench.out) == 1

    bench.run()

    assert bench.changes == [(0, A, 1), (50 * MS, A, 0), (60 * MS, 0, 1), (60 * MS, 1, 2), (60 * MS, SHIFT_KEY, 1)]


def test_delay_after_a_key_counts_when_nothing_waits(bench: Bench) -> None:
    bench.queue.type(parse_keys("a", "x"))
    bench.run(15 * MS)

    bench.queue.type(parse_keys("b", "x"))
    bench.run()

    assert bench.changes[2:] == [(20 * MS, B, 1), (30 * MS, B, 0)]


def test_timer_is_external_and_named_after_the_queue(bench: Bench) -> None:
    bench.queue.press([A])

    (timer,) = bench.timers.armed()
    assert (timer.name, timer.attributes) == ("input.delay", TimerAttribute.EXTERNAL)


def test_late_timer_delays_what_follows(bench: Bench) -> None:
    bench.queue.type(parse_keys("a", "x"))
    bench.clock.warp_to(START_NS + 17 * MS)
    bench.timers.run_expired()
    bench.queue.type(parse_keys("b", "x"))
    bench.run()

    assert [at_ns for at_ns, _, _ in bench.out] == [0, 17 * MS, 27 * MS, 37 * MS]


def test_terminal_bytes_are_typed(bench: Bench) -> None:
    bench.queue.type_bytes(b"a\xff\x1b[A\x03")
    bench.run()

    down = [code for _, code, value in bench.changes if value]
    assert down == [A, Key.KEY_UP, Key.KEY_LEFTCTRL, Key.KEY_C]


# ---- held keys


def test_held_key_stays_down_around_others(bench: Bench) -> None:
    bench.queue.hold(SHIFT_KEY)
    bench.queue.type(parse_keys("a", "x"))
    bench.queue.release(SHIFT_KEY)
    bench.run()

    assert [(code, value) for _, code, value in bench.changes] == [(SHIFT_KEY, 1), (A, 1), (A, 0), (SHIFT_KEY, 0)]
    assert bench.queue.state == InputQueueState()


def test_holding_twice_and_releasing_what_is_up_do_nothing(bench: Bench) -> None:
    bench.queue.release(A)
    bench.queue.hold(A)
    bench.queue.hold(A)
    bench.queue.release(A)
    bench.queue.release(A)

    assert bench.changes == [(0, A, 1), (0, A, 0)]


def test_pressing_a_held_key_lets_go_of_it(bench: Bench) -> None:
    bench.queue.hold(A)
    bench.queue.press([A])
    bench.queue.release(A)
    bench.run()

    assert [value for _, _, value in bench.changes] == [1, 1, 0]


# ---- the tablet


def test_move_is_one_batch_with_both_axes(bench: Bench) -> None:
    bench.queue.move(0, 32767)

    assert bench.changes == [(0, 0, 0), (0, 1, 32767)]
    assert [(target, len(batch)) for _, target, batch in bench.out] == [("tablet0.events", 3 * EVENT_SIZE)]


@pytest.mark.parametrize(("x", "y", "axis"), [(-1, 0, "x"), (0, 32768, "y"), (1 << 40, 0, "x")])
def test_place_off_the_tablet_is_refused(bench: Bench, x: int, y: int, axis: str) -> None:
    with pytest.raises(ConfigError, match=rf"^input: {axis}: expected 0\.\.32767, got "):
        bench.queue.move(x, y)

    assert bench.out == []


def test_click_holds_the_button_for_100_ms(bench: Bench) -> None:
    bench.queue.click(Button.BTN_RIGHT)
    bench.queue.move(5, 5)
    bench.run()

    right = Button.BTN_RIGHT
    assert bench.changes == [(0, right, 1), (100 * MS, right, 0), (110 * MS, 0, 5), (110 * MS, 1, 5)]


def test_button_stays_down_for_a_drag(bench: Bench) -> None:
    bench.queue.button(Button.BTN_LEFT, True)
    bench.queue.move(7, 8)
    bench.queue.button(Button.BTN_LEFT, False)

    left = Button.BTN_LEFT
    assert bench.changes == [(0, left, 1), (0, 0, 7), (0, 1, 8), (0, left, 0)]


def test_wheel_is_relative(bench: Bench) -> None:
    bench.queue.wheel(Wheel.UP)
    bench.queue.wheel(Wheel.DOWN)

    assert bench.changes == [(0, 8, 1), (0, 8, 0xFFFF_FFFF)]
    assert all(batch[:2] == b"\2\0" for _, _, batch in bench.out)


# ---- bounds


def test_actions_for_an_absent_device_are_counted_and_take_no_time() -> None:
    bench = Bench({KEYBOARD: "keyboard0.events"})

    bench.queue.click(Button.BTN_LEFT)
    bench.queue.move(1, 1)
    bench.queue.button(Button.BTN_LEFT, True)
    bench.queue.button(Button.BTN_LEFT, False)
    bench.queue.type(parse_keys("a", "x"))

    assert bench.changes == [(0, A, 1)]
    assert bench.queue.state.dropped_absent == 3
    assert bench.queue.state.held == []


def test_full_queue_drops_actions_whole(bench: Bench) -> None:
    typed = parse_keys("a" * (ENTRIES_MAX // 2 + 10), "x")
    bench.queue.type(typed)
    assert len(bench.queue.state.entries) <= ENTRIES_MAX
    dropped = bench.queue.state.dropped_full
    assert dropped > 0

    bench.run()

    assert len(bench.changes) == 2 * (len(typed) - dropped)
    assert [value for _, _, value in bench.changes] == [1, 0] * (len(typed) - dropped)


def test_release_finds_room_in_a_full_queue(bench: Bench) -> None:
    bench.queue.hold(SHIFT_KEY)
    while bench.queue.state.dropped_full == 0:
        bench.queue.type(parse_keys("a", "x"))
    while bench.queue.state.dropped_full == 1:
        bench.queue.move(1, 1)
    bench.queue.hold(B)

    bench.queue.release(SHIFT_KEY)
    bench.queue.release(B)

    assert bench.queue.state.dropped_full == 3
    assert len(bench.queue.state.entries) == ENTRIES_MAX + 1
    bench.run()
    assert bench.changes[-1][1:] == (SHIFT_KEY, 0)
    assert B not in [code for _, code, _ in bench.changes]


# ---- state


def test_restore_in_the_middle_of_a_held_key_goes_on_as_if_nothing_was(bench: Bench) -> None:
    bench.queue.hold(SHIFT_KEY)
    bench.queue.press([A], 50 * MS)
    bench.queue.type(parse_keys("b", "x"))
    bench.run(30 * MS)
    saved, timers = to_plain(bench.queue.state), bench.timers.save_state()

    fresh = Bench()
    fresh.clock.warp_to(bench.clock.now_ns())
    fresh.timers.load_state(timers)
    fresh.queue.state = from_plain(InputQueueState, saved)
    before = len(bench.out)
    for each in (bench, fresh):
        each.queue.release(SHIFT_KEY)
        each.run()

    assert fresh.out == bench.out[before:]
    assert [change[1:] for change in fresh.changes] == [(A, 0), (B, 1), (B, 0), (SHIFT_KEY, 0)]
    assert canonical_bytes(fresh.queue.state) == canonical_bytes(bench.queue.state)


def test_loading_state_delivers_nothing_and_arms_nothing(bench: Bench) -> None:
    bench.queue.type(parse_keys("abc", "x"))
    fresh = Bench()

    fresh.queue.state = from_plain(InputQueueState, to_plain(bench.queue.state))

    assert fresh.out == []
    assert list(fresh.timers.armed()) == []


def test_state_is_a_slotted_dataclass_and_all_that_changes(bench: Bench) -> None:
    def wiring() -> list[object]:
        return [(name, copy.copy(value) if isinstance(value, dict) else id(value))
                for name, value in vars(bench.queue).items() if name != "state"]  # fmt: skip

    before = wiring()
    bench.queue.hold(SHIFT_KEY)
    bench.queue.type(parse_keys("abc", "x"))
    bench.run(25 * MS)

    assert wiring() == before
    assert not hasattr(bench.queue.state, "__dict__")
    assert {f.name for f in fields(bench.queue.state)} == set(InputQueueState.__slots__)


step = st.one_of(
    st.tuples(st.just("type"), st.sampled_from(["a", "A", "b"])),
    st.tuples(st.sampled_from(["hold", "release", "press"]), st.sampled_from([A, B, SHIFT_KEY])),
    st.tuples(st.just("move"), st.integers(0, 3)),
    st.tuples(st.just("pass"), st.integers(0, 60 * MS)),
)


def act(bench: Bench, verb: str, argument: object) -> None:
    queue = bench.queue
    if verb == "pass":
        assert isinstance(argument, int)
        bench.run(bench.clock.now_ns() - START_NS + argument)
    elif verb == "type":
        queue.type(parse_keys(str(argument), "x"))
    elif verb == "move":
        assert isinstance(argument, int)
        queue.move(argument, argument)
    else:
        assert isinstance(argument, Key)
        {"hold": queue.hold, "release": queue.release, "press": lambda key: queue.press([key])}[verb](argument)


@given(st.lists(step, max_size=15), st.integers(0, 15))
def test_saved_anywhere_and_restored_the_rest_is_the_same(steps: list[tuple[str, object]], cut: int) -> None:
    event(f"steps: {len(steps) // 5 * 5}+")
    whole, first = Bench(), Bench()
    for each in steps:
        act(whole, *each)
    whole.run()

    for each in steps[:cut]:
        act(first, *each)
    second = Bench()
    second.clock.warp_to(first.clock.now_ns())
    second.queue.state = from_plain(InputQueueState, to_plain(first.queue.state))
    second.timers.load_state(first.timers.save_state())
    for each in steps[cut:]:
        act(second, *each)
    second.run()

    assert first.out + second.out == whole.out
    assert second.queue.state == whole.queue.state
    down = {code for _, code, value in whole.changes if value and code > 1} - {0}
    for code in down - set(whole.queue.state.held):  # nothing stays down that nobody holds
        assert [value for _, c, value in whole.changes if c == code][-1] == 0
