"""The matcher: when what is waited for is told, in whatever pieces the guest sends it."""

from __future__ import annotations

import random

from minstret.devices.hostside.matcher import ConsoleMatcher, ConsoleMatcherState
from minstret.emu.clock import VirtualClock
from minstret.emu.expect import SETTLE_NS, WINDOW, Expected
from minstret.emu.state import from_plain, to_plain
from minstret.emu.timers import TimerAttribute, TimerList


class Listener:
    """A matcher on a clock that a test sets."""

    def __init__(self, *wanted: Expected) -> None:
        self.icount = 0
        self.timers = TimerList(VirtualClock(lambda: self.icount, 0))
        self.told: list[tuple[int, int]] = []
        self.matcher = ConsoleMatcher("m", self.timers, lambda: wanted, self._tell)
        self.matcher.start()

    def _tell(self, number: int) -> None:
        self.told.append((self.icount, number))

    def hear(self, data: bytes, at: int) -> None:
        self.icount = at
        self.timers.run_expired()
        self.matcher.hear(data)

    def run(self, to: int) -> None:
        while (expire_ns := self.timers.expire_ns()) is not None and expire_ns <= to:
            self.icount = max(self.icount, expire_ns)
            self.timers.run_expired()
        self.icount = to


def heard(listener: Listener) -> bytes:
    """What was heard and not matched."""
    return listener.matcher.state.heard + listener.matcher.state.more


def test_match_is_told_behind_the_instruction_that_sent_it() -> None:
    listener = Listener(Expected.text("ab"), Expected.text("b"))

    listener.hear(b"a", 10)
    listener.hear(b"b", 20)
    assert listener.told == []
    listener.run(21)

    assert listener.told == [(20, 0)]
    assert [timer.attributes for timer in listener.timers.timers()] == [TimerAttribute.EXTERNAL]


def test_first_one_that_is_said_counts() -> None:
    listener = Listener(Expected.text("late"), Expected.text("soon"))

    listener.hear(b"soon, not late", 5)
    listener.run(10)
    listener.hear(b"late", 20)
    listener.run(30)

    assert listener.told == [(5, 1)]


def test_match_that_may_grow_is_told_when_it_has_been_quiet_or_at_the_next_character() -> None:
    quiet, goes_on = Listener(Expected.regex("[0-9]+")), Listener(Expected.regex("[0-9]+"))

    for listener in (quiet, goes_on):
        listener.hear(b"1", 0)
        listener.hear(b"2", 1000)
    goes_on.hear(b";3", 2000)
    for listener in (quiet, goes_on):
        listener.run(2 * SETTLE_NS)

    assert quiet.told == [(1000 + SETTLE_NS, 0)]
    assert goes_on.told == [(2000, 0)]
    assert heard(goes_on) == b";3"


def test_rest_of_what_was_heard_is_looked_at_by_the_next_search() -> None:
    listener = Listener(Expected.text("ok\n"))
    listener.hear(b"ok\nok\nno", 5)
    listener.run(6)

    listener.matcher.start()
    listener.run(7)
    listener.matcher.start()
    listener.run(8)

    assert listener.told == [(5, 0), (6, 0)]
    assert heard(listener) == b"no"


def test_nothing_is_told_after_stop() -> None:
    listener = Listener(Expected.regex("[0-9]+"))
    listener.hear(b"1", 5)

    listener.matcher.stop()
    listener.hear(b"2;", 6)
    listener.run(2 * SETTLE_NS)

    assert listener.told == []


def test_end_settles_what_may_grow() -> None:
    listener = Listener(Expected.regex("[0-9]+"))
    assert not listener.matcher.settle()
    listener.hear(b"1", 5)

    assert listener.matcher.settle()
    listener.run(6)

    assert listener.told == [(5, 0)]


def test_saved_anywhere_and_cut_in_any_pieces_it_is_told_at_the_same_moment() -> None:
    pick = random.Random("matcher")
    for _ in range(30):
        wanted: tuple[Expected, ...] = (Expected.regex("ab*c?"), Expected.regex("b(a|c)+b"), Expected.text("ccc"))
        said = [(bytes(pick.choices(b"abcd\n", k=pick.randrange(1, 4))), 300_000 * n) for n in range(12)]
        wanted = wanted[pick.randrange(3) :]
        straight, moved = Listener(*wanted), Listener(*wanted)
        for data, at in said:
            straight.hear(data, at)
            for byte in data:
                fresh = Listener(*wanted)
                fresh.icount, fresh.told = moved.icount, moved.told
                fresh.matcher.state = from_plain(ConsoleMatcherState, to_plain(moved.matcher.state))
                fresh.timers.load_state(moved.timers.save_state())
                moved = fresh
                moved.hear(bytes((byte,)), at)
            for listener in (straight, moved):
                listener.run(at)
        for listener in (straight, moved):
            listener.run(1 << 40)
        assert straight.told == moved.told
        assert heard(straight) == heard(moved)


def test_talkative_guest_is_not_kept_whole() -> None:
    listener = Listener(Expected.text("end of it"))
    for at in range(5):
        listener.hear(b"x" * WINDOW, at)
    assert len(heard(listener)) <= 4 * WINDOW

    listener.hear(b"the end", 6)
    listener.hear(b" of it", 7)
    listener.run(8)

    assert listener.told == [(7, 0)]
