"""Input scripts: what lines say, and the exact moments at which they are done."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minstret.devices.hostside.hostinput.keymap import parse_keys
from minstret.devices.hostside.hostinput.parsing import parse_script
from minstret.devices.hostside.hostinput.queue import KEYBOARD, TABLET, InputQueue, InputQueueState
from minstret.devices.hostside.hostinput.script import (
    EXPECT_NS,
    KEYS_AT_NS,
    Expect,
    InputScript,
    InputScriptState,
    ScriptLine,
    Send,
    Sleep,
    keys_line,
)
from minstret.devices.hostside.matcher import ConsoleMatcherState
from minstret.devices.virtio.input_codes import Button, Key
from minstret.emu.clock import VirtualClock
from minstret.emu.errors import ConfigError
from minstret.emu.state import from_plain, to_plain
from minstret.emu.timers import TimerAttribute, TimerList

MS = 1_000_000
SHIFT = 1
KNOWN = "expected one of press, hold, release, type, move, click, button, wheel, EXPECT, SEND, SLEEP"
EXPECT_USAGE = 'expected EXPECT "TEXT" or /RE/, perhaps with: within TIME'
A, B, C = Key.KEY_A, Key.KEY_B, Key.KEY_C


class Bench:
    """A script with a queue and a machine that does nothing but let time pass."""

    def __init__(self, *lines: str | ScriptLine) -> None:
        self.icount = 0
        self.clock = VirtualClock(lambda: self.icount, SHIFT)
        self.timers = TimerList(self.clock)
        self.out: list[tuple[int, int, int]] = []
        self.queue = InputQueue("input", self.timers, self.deliver, {KEYBOARD: "k", TABLET: "t"})
        parsed = [line if isinstance(line, ScriptLine) else parse_script(line, "s")[0] for line in lines]
        self.script = InputScript("input.script", parsed, self.queue, self.timers)
        self.sent: list[tuple[int, bytes]] = []
        self.missed: list[str] = []
        self.script.send = lambda data: self.sent.append((self.clock.now_ns(), data))
        self.script.on_missed = self.missed.append

    def deliver(self, target: str, batch: bytes) -> None:
        code, value = int.from_bytes(batch[2:4], "little"), int.from_bytes(batch[4:8], "little")
        self.out.append((self.clock.now_ns(), code, value))

    def run(self, until_icount: int) -> None:
        """As the machine does: what is due, then up to the next moment at which something is."""
        while True:
            self.script.run_due(self.icount)
            self.timers.run_expired()
            limits = [until_icount]
            if (expire_ns := self.timers.expire_ns()) is not None:
                limits.append(max(self.icount, self.clock.icount_at(expire_ns)))
            if self.script.next_icount is not None:
                limits.append(self.script.next_icount)
            if self.icount >= until_icount:
                return
            self.icount = max(self.icount, min(limits))

    @property
    def downs(self) -> list[tuple[int, int]]:
        """(ns, code) of what went down."""
        return [(at_ns, code) for at_ns, code, value in self.out if value]


# ---- running


def test_line_is_done_at_its_time_and_not_before() -> None:
    bench = Bench("AT 1.5ms: press a")
    bench.script.start()

    bench.run(749_999)
    assert bench.out == []
    bench.run(750_000)

    assert bench.out == [(1_500_000, A, 1)]


def test_line_is_done_at_its_icount_exactly() -> None:
    bench = Bench("AT icount 1000001: hold a")
    bench.script.start()
    assert bench.script.next_icount == 1_000_001
    assert list(bench.timers.armed()) == []

    bench.script.run_due(1_000_000)
    assert bench.out == []
    bench.run(2_000_000)

    assert bench.out == [(2_000_002, A, 1)]
    assert bench.script.next_icount is None


def test_lines_are_done_in_order_of_the_script_not_of_their_moments() -> None:
    bench = Bench("AT 2us: hold a", "AT 1us: hold b", "AT icount 10: hold c", "AT 3us: release a")
    bench.script.start()

    bench.run(10_000)

    assert bench.out == [(2000, A, 1), (2000, B, 1), (2000, C, 1), (3000, A, 0)]


def test_icount_line_waits_for_a_line_with_a_time() -> None:
    bench = Bench("AT 1ms: hold a", "AT icount 600000: hold b", "AT 1.3ms: hold c")
    bench.script.start()
    assert bench.script.next_icount is None

    bench.run(1_000_000)

    assert bench.out == [(1_000_000, A, 1), (1_200_000, B, 1), (1_300_000, C, 1)]


def test_line_at_0_is_done_in_the_first_turn_not_in_start() -> None:
    bench = Bench("AT 0: hold a", "AT icount 0: hold b")

    bench.script.start()
    assert bench.out == []
    bench.run(0)

    assert bench.out == [(0, A, 1)]
    bench.run(0)
    assert bench.out == [(0, A, 1), (0, B, 1)]


def test_script_that_was_not_started_does_nothing_in_time() -> None:
    bench = Bench("AT 0: hold a")

    bench.run(100)

    assert bench.out == []


def test_empty_script_waits_for_nothing() -> None:
    bench = Bench()
    bench.script.start()

    bench.script.run_due(1 << 60)

    assert bench.script.next_icount is None
    assert list(bench.timers.armed()) == []


def test_timer_is_external_and_has_the_scripts_name() -> None:
    bench = Bench("AT 5s: hold a")
    bench.script.start()

    (timer,) = bench.timers.armed()
    assert (timer.name, timer.attributes, timer.expire_ns) == ("input.script", TimerAttribute.EXTERNAL, 5_000_000_000)


def test_keys_option_types_as_soon_as_a_guest_may_listen() -> None:
    bench = Bench(keys_line(parse_keys("ab", "--keys")), "AT 1us: hold c")
    bench.script.start()

    bench.run(KEYS_AT_NS)

    assert bench.downs == [(KEYS_AT_NS, A), (KEYS_AT_NS + 20 * MS, B), (KEYS_AT_NS + 40 * MS, C)]


@pytest.mark.parametrize("cut", [0, 1, 499, 500, 501, 600, 1000, 1400, 1500, 6_000_000])
def test_restored_anywhere_the_rest_of_the_script_is_the_same(cut: int) -> None:
    lines = ("AT 1us: press a", "AT icount 600: press b", "AT 2.8us: click left", "AT 3us: hold c")
    whole, first = Bench(*lines), Bench(*lines)
    for bench in (whole, first):
        bench.script.start()
    whole.run(400 * MS)
    first.run(cut)

    second = Bench(*lines)
    second.icount = first.icount
    second.timers.load_state(first.timers.save_state())
    second.script.state = from_plain(InputScriptState, to_plain(first.script.state))
    second.queue.state = from_plain(InputQueueState, to_plain(first.queue.state))
    second.run(400 * MS)

    assert first.out + second.out == whole.out
    assert len(whole.out) == 7
    assert second.script.state == whole.script.state == InputScriptState(next_line=4)


@pytest.mark.parametrize(("lines", "expire_ns"), [
    (("AT 1us: press a", "AT 3us: hold c"), 3_000), (("AT 1us: press a", "AT 5us: hold c"), 5_000),
    (("AT 1us: press a", "AT icount 9000: hold c"), None), (("AT 1us: press a",), None), ((), None),
])  # fmt: skip
def test_script_that_goes_on_waits_for_its_own_next_line(lines: tuple[str, ...], expire_ns: int | None) -> None:
    first, second = Bench("AT 1us: press a", "AT 3us: hold c"), Bench(*lines)
    first.script.start()
    first.run(501)
    second.icount = first.icount
    second.timers.load_state(first.timers.save_state())
    second.script.state = from_plain(InputScriptState, to_plain(first.script.state))

    second.script.go_on()

    armed = {timer.name: timer.expire_ns for timer in second.timers.armed()}
    assert armed.get("input.script") == expire_ns


# ---- the console


def test_lines_without_a_moment_follow_each_other_at_once() -> None:
    bench = Bench("AT 1ms: hold a", "hold b", "SLEEP 2ms", "hold c", 'SEND "x"')
    bench.script.start()

    bench.run(5_000_000)

    assert bench.downs == [(1 * MS, A), (1 * MS, B), (3 * MS, C)]
    assert bench.sent == [(3 * MS, b"x")]


def test_send_comes_when_the_guest_has_said_what_is_expected() -> None:
    bench = Bench('EXPECT "boot: " within 5ms', 'SEND "go\\r"', "EXPECT /ok/", "hold a")
    bench.script.start()
    bench.run(500_000)
    bench.script.hear(b"boot:")
    bench.run(600_000)
    assert bench.sent == []

    bench.script.hear(b" ok")

    bench.run(600_000)
    assert bench.sent == [(1_200_000, b"go\r")]
    assert bench.downs == [(1_200_000, A)]
    assert bench.missed == []


def test_what_was_said_before_a_line_is_reached_counts_once() -> None:
    bench = Bench("SLEEP 1ms", 'EXPECT "ok"', 'SEND "1"', 'EXPECT "ok" within 1ms', 'SEND "2"')
    bench.script.start()
    bench.script.hear(b"ok")

    bench.run(2_000_000)

    assert bench.sent == [(1 * MS, b"1")]
    assert bench.missed == ['s:1: EXPECT "ok" within 1ms: not said in time']


def test_match_that_may_grow_is_taken_when_the_guest_is_quiet() -> None:
    bench = Bench("EXPECT /[0-9]+/ within 1.5ms", 'SEND "x"')
    bench.script.start()
    bench.run(0)
    bench.script.hear(b"1")
    bench.run(250_000)
    bench.script.hear(b"2")

    bench.run(1_000_000)

    assert bench.sent == [(1_500_000, b"x")]
    assert bench.missed == []


def test_script_ends_where_it_is_not_said_in_time() -> None:
    bench = Bench('EXPECT "a" within 1ms', 'SEND "x"')
    bench.script.start()
    bench.run(400_000)
    bench.script.hear(b"b")

    bench.run(2_000_000)
    bench.script.hear(b"a")
    bench.run(3_000_000)

    assert (bench.sent, bench.missed) == ([], ['s:1: EXPECT "a" within 1ms: not said in time'])
    assert bench.script.open_line() is None


def test_script_knows_whether_it_will_type_by_itself() -> None:
    bench = Bench("SLEEP 1ms", 'EXPECT "a"', 'SEND "x"', "SLEEP 1ms")
    bench.script.start()
    assert bench.script.will_send

    bench.run(600_000)
    assert not bench.script.will_send  # the guest has to say something first
    bench.script.hear(b"a")
    assert bench.script.will_send

    bench.run(600_001)
    assert bench.sent
    assert not bench.script.will_send


def test_script_in_a_hurry_waits_for_no_time() -> None:
    bench = Bench("AT 5ms: hold a", "SLEEP 1s", 'SEND "x"', "SLEEP 1ms", "hold b")
    bench.script.start()

    bench.run(0)
    while bench.script.hurry():
        bench.run(0)

    assert bench.sent == [(0, b"x")]
    assert bench.downs == [(0, A)]


def test_state_in_the_middle_of_an_expectation_goes_on_in_another_script() -> None:
    lines = ("EXPECT /[0-9]+;/ within 5ms", 'SEND "x"')
    first, second = Bench(*lines), Bench(*lines)
    first.script.start()
    first.run(0)
    first.script.hear(b"ab12")

    second.script.state = from_plain(InputScriptState, to_plain(first.script.state))
    second.script.matcher.state = from_plain(ConsoleMatcherState, to_plain(first.script.matcher.state))
    second.timers.load_state(first.timers.save_state())
    second.script.go_on()
    for each in (first, second):
        each.script.hear(b"3;")
        each.run(1_000_000)

    assert first.sent == second.sent == [(1 * MS, b"x")]


def test_line_that_has_changed_begins_anew_in_another_script() -> None:
    first, second = Bench("SLEEP 1ms", 'SEND "x"'), Bench('EXPECT "a"', 'SEND "x"')
    first.script.start()
    first.run(0)

    second.script.state = from_plain(InputScriptState, to_plain(first.script.state))
    second.timers.load_state(first.timers.save_state())
    second.script.go_on()
    second.run(1_000_000)
    assert second.sent == []
    second.script.hear(b"a")
    second.run(1_000_000)

    assert second.sent == [(2 * MS, b"x")]


# ---- parsing


def test_console_lines_say_what_and_how_long() -> None:
    text = r"""EXPECT "a\"\\\x41" within 1.5s # why
        expect /=> $/
        SEND "\r\n\t\xffé"
        Sleep 5ms
        AT 1s: send "x"
    """

    *lines, last = parse_script(text, "s")

    steps = [line.step for line in lines]
    first, second = steps[0], steps[1]
    assert isinstance(first, Expect) and isinstance(second, Expect)
    assert (first.expected.pattern.fullmatch('a"\\A') is not None, first.within_ns) == (True, 1_500_000_000)
    assert (second.expected.shown, second.within_ns) == ("/=> $/", EXPECT_NS)
    assert steps[2:] == [Send(b"\r\n\t\xff\xc3\xa9"), Sleep(5 * MS)]
    assert (last.step, last.at_ns, last.source) == (Send(b"x"), 10**9, 's:5: AT 1s: send "x"')
    assert not any(line.needs_input_device for line in lines)


def test_keywords_may_be_in_lower_case() -> None:
    (line,) = parse_script("at 1s: Press a", "s")

    assert (line.at_ns, line.needs_input_device) == (10**9, True)


def test_verbs_do_what_they_say() -> None:
    text = """
# a comment
AT 0: press ctrl-c for 20ms
  AT 0: hold shift        # behind a line
AT 0: release shift
AT 0: type "a#b<ret>"
\tAT 0:move 100 32767
AT 0: click middle
AT 0: button left down
AT 0: button left up
AT 0: wheel up
AT 0: wheel down
"""
    lines = parse_script(text, "s")
    bench = Bench(*lines)
    bench.script.start()
    bench.run(500 * MS)

    ctrl, shift, hash_ = Key.KEY_LEFTCTRL, Key.KEY_LEFTSHIFT, Key.KEY_3
    assert [(code, value) for _, code, value in bench.out] == [
        (ctrl, 1), (C, 1), (C, 0), (ctrl, 0), (shift, 1), (shift, 0), (A, 1), (A, 0), (shift, 1), (hash_, 1),
        (hash_, 0), (shift, 0), (B, 1), (B, 0), (Key.KEY_ENTER, 1), (Key.KEY_ENTER, 0), (0, 100),
        (Button.BTN_MIDDLE, 1), (Button.BTN_MIDDLE, 0), (Button.BTN_LEFT, 1), (Button.BTN_LEFT, 0), (8, 1),
        (8, 0xFFFF_FFFF),
    ]  # fmt: skip
    assert bench.out[2][0] - bench.out[1][0] == 20 * MS


@pytest.mark.parametrize(
    ("moment", "at_ns"),
    [
        ("0", 0), ("1s", 10**9), ("1.5s", 1_500_000_000), ("0.000000001s", 1), ("250ms", 250 * MS),
        ("1.000001ms", 1_000_001), ("7us", 7000), ("3ns", 3), ("123456.789s", 123_456_789_000_000),
        ("0.1s", 100 * MS), ("0.3s", 300 * MS),
    ],
)  # fmt: skip
def test_times_are_exact(moment: str, at_ns: int) -> None:
    (line,) = parse_script(f"AT {moment}: wheel up", "s")

    assert (line.at_ns, line.at_icount) == (at_ns, None)


@pytest.mark.parametrize(("moment", "icount"), [("0", 0), ("1000000", 1_000_000), ("5M", 5_000_000), ("0x10", 16)])
def test_icounts_are_counts(moment: str, icount: int) -> None:
    (line,) = parse_script(f"AT icount {moment}: wheel up", "s")

    assert (line.at_ns, line.at_icount) == (None, icount)


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        (r'"\""', ['"']), (r'"\\"', ["\\"]), ('""', []), ('"a b"', ["a", " ", "b"]), ('"<<"', ["<<"]),
        (r'"a" # "b"', ["a"]), ('"<f1>"', ["<f1>"]),
    ],
)  # fmt: skip
def test_text_is_quoted(text: str, typed: list[str]) -> None:
    bench = Bench(f"AT 0: type {text}")
    expected = Bench(keys_line(parse_keys("".join(typed), "x"), at_ns=0))

    for each in (bench, expected):
        each.script.start()
        each.run(100 * MS)

    assert bench.out == expected.out
    assert bool(bench.out) == bool(typed)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("AT 1s press a", "expected AT MOMENT: ACTION, such as AT 1.5s: press a, got 'AT 1s press a'"),
        ("AT : press a", "expected AT MOMENT: ACTION, such as AT 1.5s: press a, got 'AT : press a'"),
        ("AT 1s:", f"{KNOWN}, got ''"),
        ("AT 1s: # nothing", f"{KNOWN}, got '# nothing'"),
        ("AT 1s: reset", f"{KNOWN}, got 'reset'"),
        ("reset", f"{KNOWN}, got 'reset'"),
        ('EXPCT "x"', f"{KNOWN}, got 'EXPCT'; did you mean EXPECT?"),
        ("Pres a", f"{KNOWN}, got 'Pres'; did you mean press?"),
        ("AT 1s: \"press\" a", f"{KNOWN}, got '\"press\" a'"),
        ("AT 1.5: press a", "expected a time such as 50us or 1.5s, got '1.5'"),
        ("AT -1s: press a", "expected a time such as 50us or 1.5s, got '-1s'"),
        ("AT 1.s: press a", "expected a time such as 50us or 1.5s, got '1.s'"),
        ("AT 0.5ns: press a", "'0.5ns' is finer than a nanosecond"),
        ("AT icount: press a", "expected a time such as 50us or 1.5s, got 'icount'"),
        ("AT icount 1s: press a", "expected a count such as 1000000 or 5M, got '1s'"),
        ("AT 1s: press", "expected press KEYS [for TIME]"),
        ("AT 1s: press a b", "expected press KEYS [for TIME]"),
        ("AT 1s: press a for", "expected press KEYS [for TIME]"),
        ("AT 1s: press a to 5s", "expected press KEYS [for TIME]"),
        ("AT 1s: press \"a\"", "expected press KEYS [for TIME]"),
        ("AT 1s: press a for 5", "expected a time such as 50us or 1.5s, got '5'"),
        ("AT 1s: press entr", "there is no key 'entr'; did you mean "),
        ("AT 1s: hold ctrl-a", "there is no key 'ctrl-a'; did you mean "),
        ("AT 1s: hold", "expected hold KEY"),
        ("AT 1s: release a b", "expected release KEY"),
        ("AT 1s: type hello", 'expected type "TEXT"'),
        ("AT 1s: type", 'expected type "TEXT"'),
        ('AT 1s: type "a" "b"', 'expected type "TEXT"'),
        ('AT 1s: type "a', "can't read '\"a'"),
        ('AT 1s: type "a"b', "can't read '\"a\"b'"),
        ('AT 1s: type "\\n"', "can't read '\"\\\\n\"'"),
        ('AT 1s: type "\xe9"', "'\xe9' is not on a US keyboard"),
        ("AT 1s: move 1", "expected move X Y, both 0..32767"),
        ("AT 1s: move 1 32768", "expected move X Y, both 0..32767"),
        ("AT 1s: move -1 0", "expected move X Y, both 0..32767"),
        ("AT 1s: move 1.0 0", "expected move X Y, both 0..32767"),
        ("AT 1s: move \u0661 0", "expected move X Y, both 0..32767"),
        ("AT 1s: click", "expected click left|middle|right|side|extra"),
        ("AT 1s: click up", "there is no button 'up'; did you mean "),
        ("AT 1s: button left", "expected button left|middle|right|side|extra down|up"),
        ("AT 1s: button left press", "expected button left|middle|right|side|extra down|up"),
        ("AT 1s: wheel left", "expected wheel up|down"),
        ("EXPECT", f"{EXPECT_USAGE}, got 'EXPECT'"),
        ("EXPECT login", f"{EXPECT_USAGE}, got 'EXPECT login'"),
        ('EXPECT "a" in 5s', f"{EXPECT_USAGE}, got "),
        ('EXPECT "a" within 5', "expected a time such as 50us or 1.5s, got '5'"),
        ('EXPECT ""', "expected a text or a regular expression to wait for, got nothing"),
        ("EXPECT /(/", "/(/: not a regular expression: "),
        ("EXPECT /a*/", "/a*/: it matches where nothing was said"),
        ('EXPECT "\\xff"', "what is expected has to be UTF-8"),
        ("SEND hello", "expected SEND \"TEXT\", got 'SEND hello'"),
        ('SEND "a" "b"', "expected SEND \"TEXT\", got "),
        ('SEND "\\a"', "expected \\r \\n \\t \\xNN \\\\ or \\\", got "),
        ('SEND "\\x1"', "expected \\r \\n \\t \\xNN \\\\ or \\\", got "),
        ("SLEEP", "expected SLEEP TIME, got 'SLEEP'"),
        ("SLEEP 5", "expected a time such as 50us or 1.5s, got '5'"),
        ("SLEEP 1s 2s", "expected SLEEP TIME, got 'SLEEP 1s 2s'"),
    ],
)  # fmt: skip
def test_bad_line_is_refused_with_its_place(line: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_script(f"# first\n\nAT 0: wheel up\n{line}\nAT 1s: nonsense\n", "keys.txt")

    assert str(error.value).startswith(f"keys.txt:4: {message}")
    assert len(str(error.value).splitlines()) == 1


def test_script_of_comments_has_no_lines() -> None:
    assert parse_script("", "s") == parse_script("\n  \n# a\n   # b\n\t\n", "s") == []


PIECES = [
    "AT", "1s", ":", " ", "press", "a", "ctrl-c", "type", '"', "<ret>", "icount", "5", "move", "\n", "#", "for",
    "click", "left", "\\", "\xe9", "wheel", "up", "AT 1s: ", "AT 0: wheel up\n", 'AT 5s: type "a"\n', "EXPECT", "SEND",
    "SLEEP 1s\n", "within", "/a/", "/", 'SEND "\\r"\n', 'EXPECT "b" within 2s\n',
]  # fmt: skip


def test_any_text_is_a_script_or_refused_in_one_line(announce: Callable[[str], None]) -> None:
    cases = {"script": 0, "refused": 0}

    @given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=30))
    def check(text: str) -> None:
        try:
            lines, refusal = parse_script(text, "s"), None
        except ConfigError as error:
            lines, refusal = [], str(error)
        assert all(line.at_ns is None or line.at_icount is None for line in lines)
        assert refusal is None or (refusal.startswith("s:") and len(refusal.splitlines()) == 1)
        cases["script" if refusal is None else "refused"] += 1

    check()

    announce(f"{sum(cases.values())} cases: {cases}")
    assert cases["script"] and cases["refused"]


def test_line_numbers_are_an_editors() -> None:
    with pytest.raises(ConfigError, match=r"^s:3: "):
        parse_script("# form feed \x0c, separator \u2028\r\nAT 0: wheel up\r\nnonsense\r\n", "s")


@given(ns=st.integers(0, 10**21 - 1), digits=st.integers(0, 9))
def test_time_in_seconds_is_read_to_the_nanosecond(ns: int, digits: int) -> None:
    seconds, fraction = divmod(ns, 10**9)
    written = f"{seconds}.{fraction:09}"[: -digits or None].rstrip(".")
    kept = fraction - fraction % 10**digits if digits else fraction

    (line,) = parse_script(f"AT {written}s: wheel up", "s")

    assert line.at_ns == seconds * 10**9 + kept
