"""How a run ends by what the guest says: the events that ask for it, and their words."""

from __future__ import annotations

import pytest

from minstret.devices.hostside.expectations import Ending, Expectations, fail_on, last_said, until
from minstret.devices.hostside.hostinput.parsing import parse_script
from minstret.devices.hostside.hostinput.queue import InputQueue
from minstret.devices.hostside.hostinput.script import InputScript
from minstret.emu.clock import VirtualClock
from minstret.emu.door.door import Event
from minstret.emu.expect import Expected
from minstret.emu.machine import STOP_TARGET, Outcome, StopReason
from minstret.emu.timers import TimerList

A, B = Expected.text("a"), Expected.text("b")
FINISHED, WAITS = Outcome(StopReason.FINISHED, 0), Outcome(StopReason.WAITS_FOREVER)


class Run:
    """Expectations, and a guest of which a test says what it says."""

    def __init__(self, *endings: Ending, script: str = "") -> None:
        self.events: list[str] = []
        self.timers = TimerList(VirtualClock(lambda: 0, 0))
        self.console = bytearray()
        queue = InputQueue("input", self.timers, lambda target, batch: None, {})
        self.script = InputScript("script", parse_script(script, "s"), queue, self.timers)
        self.expectations = Expectations(endings, self.script, self.timers, self._post, self.console)
        self.script.start()
        self.timers.run_expired()

    def _post(self, event: Event) -> None:
        assert event.target == STOP_TARGET
        self.events.append(event.data.decode())

    def says(self, data: bytes) -> None:
        self.console += data
        self.script.hear(data)
        self.expectations.hear(data)
        self.timers.run_expired()


def test_run_ends_once_by_what_comes_first() -> None:
    run = Run(*until(B), *fail_on(A))

    run.says(b"xab")
    run.says(b"b")

    assert run.events == ['fail-on "a": the guest said last "xab"']


@pytest.mark.parametrize("outcome", [FINISHED, WAITS])
def test_end_is_as_it_is_where_nothing_was_expected_or_all_of_it_was_said(outcome: Outcome) -> None:
    assert not Run(*fail_on(A)).expectations.before_end(outcome)
    run = Run(script='EXPECT "a"')
    run.says(b"a")
    assert not run.expectations.before_end(outcome)


@pytest.mark.parametrize(
    ("outcome", "why"), [(FINISHED, "the guest has finished with 0"), (WAITS, "the guest waits forever")]
)
def test_end_misses_what_was_not_said(outcome: Outcome, why: str) -> None:
    run = Run(*until(A, B), script='EXPECT "c"')

    assert run.expectations.before_end(outcome)
    run.says(b"c")
    assert run.expectations.before_end(outcome)

    assert run.events == [
        f'expectation-missed s:1: EXPECT "c": not said: {why}; the guest has said nothing',
        f'expectation-missed --until "a": not said: {why}; the guest said last "c"',
    ]


def test_end_settles_what_could_have_grown() -> None:
    run = Run(*until(Expected.regex("a+")))
    run.says(b"aa")
    assert run.events == []

    assert run.expectations.before_end(FINISHED)
    run.timers.run_expired()

    assert run.events == ["until /a+/"]


def test_words_are_one_line_of_printable_text_and_not_too_long() -> None:
    run = Run(*fail_on(Expected.text("\x1b[0m\r\n" + "y" * 400)))

    run.says(b"\xff\x1b[0m\r\n" + b"y" * 400)

    (text,) = run.events
    assert text.startswith(r'fail-on "\x1b[0m\r\nyyyy')
    assert text.isprintable()
    assert len(text) < 300


@pytest.mark.parametrize(
    ("console", "said"),
    [
        (b"", "the guest has said nothing"), (b"\r\n \n", "the guest has said nothing"),
        (b"one\r\ntwo\r\n\r\n", 'the guest said last "two"'), (b"one\n=> ", 'the guest said last "=> "'),
        (b'a "b" \x07', r'the guest said last "a \"b\" \x07"'), (b"x" * 100, f'the guest said last "{"x" * 60}"'),
    ],
)  # fmt: skip
def test_last_line_is_told(console: bytes, said: str) -> None:
    assert last_said(console) == said
