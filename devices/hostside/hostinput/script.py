"""Scripts: what is typed, pressed and pointed at when, and what the guest is expected to say.

    press KEYS [for TIME]       KEYS such as a or ctrl-alt-delete, held for TIME (100ms by default)
    hold KEY, release KEY
    type "TEXT"                 TEXT as for --keys: hello<ret>; \\" and \\\\ for " and \\
    move X Y                    0..32767 both
    click BUTTON                left, middle, right, side or extra
    button BUTTON down|up
    wheel up|down
    SEND "TEXT"                 typed at the console; \\r \\n \\t \\xNN \\\\ \\" as in C
    EXPECT "TEXT" [within TIME] the guest sends this to its console, in 10 s if there is no TIME
    EXPECT /RE/ [within TIME]   the same for a regular expression
    SLEEP TIME

A line is done as soon as the one above it is. ``AT 1.5s:`` or ``AT icount 5M:`` before it names an earliest moment:
virtual time since power-on, or a count of instructions. EXPECT looks at what the guest has sent since the match before,
so nothing that comes early is missed. Blank lines and comments, which begin with #, are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from minstret.devices.hostside.hostinput.keymap import (
    BUTTONS,
    Chord,
    parse_button,
    parse_chord,
    parse_key,
    parse_keys,
)
from minstret.devices.hostside.hostinput.queue import PRESS_NS, InputQueue, Wheel
from minstret.devices.hostside.matcher import ConsoleMatcher
from minstret.devices.virtio.input_codes import ABS_MAX
from minstret.emu.errors import ConfigError
from minstret.emu.expect import Expected
from minstret.emu.text import nearest
from minstret.emu.timers import Timer, TimerAttribute, TimerList
from minstret.emu.units import NS_PER_MS, NS_PER_S, parse_count, parse_time_ns

EXPECT_NS = 10 * NS_PER_S
"""How long EXPECT waits where the line does not say it."""

Action = Callable[[InputQueue], None]


@dataclass(frozen=True, slots=True)
class Send:
    """Type this at the console."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Expect:
    """Wait until the guest has sent this, but no longer than so many ns."""

    expected: Expected
    within_ns: int = EXPECT_NS


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait for so many ns."""

    ns: int


Step = Action | Send | Expect | Sleep

KEYS_AT_NS = 100 * NS_PER_MS
"""When ``--keys`` begins to type. Not at once: keys are lost if the guest is not ready for them."""


@dataclass(frozen=True, slots=True)
class ScriptLine:
    """What is done, and the earliest moment for it: a virtual time or an icount, never both; neither: at once.

    ``source`` says where the line is, and what is there, for messages.
    """

    step: Step
    at_ns: int | None = None
    at_icount: int | None = None
    source: str = ""

    @property
    def needs_input_device(self) -> bool:
        """Whether a board without a keyboard or tablet has no use for it."""
        return not isinstance(self.step, Send | Expect | Sleep)


def keys_line(chords: Sequence[Chord], at_ns: int = KEYS_AT_NS) -> ScriptLine:
    """A line that types ``chords``."""
    return ScriptLine(lambda queue: queue.type(chords), at_ns=at_ns, source="--keys")


# ---- parsing

_MOMENT = re.compile(r"AT\s+(icount\s+)?([^\s:]+)\s*:\s*(.*)", re.IGNORECASE)
_VERB = re.compile(r"(\w+)\s*(.*)", re.ASCII)
_BLANK = re.compile(r"\s*(#.*)?")
_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_END = r"\s*(?:#.*)?"
_EXPECT = re.compile(rf"(?:{_QUOTED}|/((?:[^/\\]|\\.)+)/)(?:\s+within\s+([^\s#]+))?{_END}", re.IGNORECASE)
_SEND = re.compile(_QUOTED + _END)
_SLEEP = re.compile(rf"([^\s#]+){_END}")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|(.))", re.ASCII)
_ESCAPED = {"r": b"\r", "n": b"\n", "t": b"\t", "\\": b"\\", '"': b'"'}
_WORD = re.compile(r'\s*(?:(#.*)|"((?:[^"\\]|\\["\\])*)"(?!\S)|([^\s"#]\S*))\s*')


def parse_script(text: str, where: str) -> list[ScriptLine]:
    """Parse a script.

    Args:
        text: The script.
        where: The file's name, for errors.
    Raises:
        ConfigError: a line is wrong; the text begins with the file's name and the line number.
    """
    lines = enumerate(text.split("\n"), 1)
    return [_parse_line(line, f"{where}:{number}") for number, line in lines if not _BLANK.fullmatch(line)]


def _parse_line(line: str, where: str) -> ScriptLine:
    line = line.strip()
    make = partial(ScriptLine, source=f"{where}: {line}")
    match = _MOMENT.fullmatch(line)
    if match is None:
        return make(_parse_step(line, where))
    step = _parse_step(match[3], where)
    if match[1]:
        return make(step, at_icount=parse_count(match[2], where))
    return make(step, at_ns=parse_time_ns(match[2], where))


def _parse_step(text: str, where: str) -> Step:
    match = _VERB.fullmatch(text)
    word, rest = ("", text) if match is None else (match[1], match[2])
    verb = word.lower()
    if verb == "at":
        raise ConfigError(f"{where}: expected AT MOMENT: ACTION, such as AT 1.5s: press a, got {text!r}")
    if verb in _CONSOLE_VERBS:
        usage, parse_rest = _CONSOLE_VERBS[verb]
        step = parse_rest(rest, where)
        if step is None:
            raise ConfigError(f"{where}: expected {verb.upper()} {usage}, got {text!r}")
        return step
    if verb not in _VERBS:
        known = {name: name for name in _VERBS} | {name: name.upper() for name in _CONSOLE_VERBS}
        meant = " or ".join(known[name] for name in nearest(verb, known))
        hint = f"; did you mean {meant}?" if meant else ""
        raise ConfigError(f"{where}: expected one of {', '.join(known.values())}, got {word or text!r}{hint}")
    return _parse_action(verb, _words(rest, where), where)


def _parse_expect(text: str, where: str) -> Expect | None:
    match = _EXPECT.fullmatch(text)
    if match is None:
        return None
    try:
        expected = Expected.regex(match[2]) if match[1] is None else Expected.text(_unescaped(match[1], where).decode())
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: what is expected has to be UTF-8") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {str(error).removeprefix(f'{where}: ')}") from None
    return Expect(expected, EXPECT_NS if match[3] is None else parse_time_ns(match[3], where))


def _parse_send(text: str, where: str) -> Send | None:
    match = _SEND.fullmatch(text)
    return None if match is None else Send(_unescaped(match[1], where))


def _parse_sleep(text: str, where: str) -> Sleep | None:
    match = _SLEEP.fullmatch(text)
    return None if match is None else Sleep(parse_time_ns(match[1], where))


_CONSOLE_VERBS: dict[str, tuple[str, Callable[[str, str], Step | None]]] = {
    "expect": ('"TEXT" or /RE/, perhaps with: within TIME', _parse_expect),
    "send": ('"TEXT"', _parse_send),
    "sleep": ("TIME", _parse_sleep),
}
"""By verb: its arguments, for messages, and the function that parses them, which returns None if they don't fit."""


def _unescaped(text: str, where: str) -> bytes:
    """What a text in quotes stands for."""
    pieces, at = [], 0
    for match in _ESCAPE.finditer(text):
        pieces.append(text[at : match.start()].encode())
        if match[1] is None and match[2] not in _ESCAPED:
            raise ConfigError(f'{where}: expected \\r \\n \\t \\xNN \\\\ or \\", got {match[0]!r}')
        pieces.append(_ESCAPED[match[2]] if match[1] is None else bytes.fromhex(match[1]))
        at = match.end()
    return b"".join((*pieces, text[at:].encode()))


class _Word(NamedTuple):
    """A word of a line; ``is_quoted`` if it stood in quotes."""

    text: str
    is_quoted: bool = False


def _words(text: str, where: str) -> list[_Word]:
    words, at = [], 0
    while at < len(text):
        match = _WORD.match(text, at)
        if match is None:
            raise ConfigError(f"{where}: can't read {text[at:].strip()!r}")
        at = match.end()
        if match[2] is not None:
            words.append(_Word(re.sub(r"\\(.)", r"\1", match[2]), is_quoted=True))
        elif match[3] is not None:
            words.append(_Word(match[3]))
    return words


def _parse_action(verb: str, words: list[_Word], where: str) -> Action:
    usage, parse = _VERBS[verb]
    action = None
    if all(word.is_quoted == (verb == "type") for word in words):
        action = parse([word.text for word in words], where)
    if action is None:
        raise ConfigError(f"{where}: expected {verb} {usage}")
    return action


def _press(words: list[str], where: str) -> Action | None:
    if len(words) not in (1, 3) or words[1:2] not in ([], ["for"]):
        return None
    keys = parse_chord(words[0], where)
    hold_ns = parse_time_ns(words[2], where) if len(words) == 3 else PRESS_NS
    return lambda queue: queue.press(keys, hold_ns)


def _hold(words: list[str], where: str) -> Action | None:
    if len(words) != 1:
        return None
    key = parse_key(words[0], where)
    return lambda queue: queue.hold(key)


def _release(words: list[str], where: str) -> Action | None:
    if len(words) != 1:
        return None
    key = parse_key(words[0], where)
    return lambda queue: queue.release(key)


def _type(words: list[str], where: str) -> Action | None:
    if len(words) != 1:
        return None
    chords = parse_keys(words[0], where)
    return lambda queue: queue.type(chords)


def _move(words: list[str], where: str) -> Action | None:
    if len(words) != 2 or not all(re.fullmatch(r"[0-9]{1,5}", word) and int(word) <= ABS_MAX for word in words):
        return None
    x, y = int(words[0]), int(words[1])
    return lambda queue: queue.move(x, y)


def _click(words: list[str], where: str) -> Action | None:
    if len(words) != 1:
        return None
    button = parse_button(words[0], where)
    return lambda queue: queue.click(button)


def _button(words: list[str], where: str) -> Action | None:
    if len(words) != 2 or words[1] not in ("down", "up"):
        return None
    button, is_down = parse_button(words[0], where), words[1] == "down"
    return lambda queue: queue.button(button, is_down)


def _wheel(words: list[str], where: str) -> Action | None:
    if words not in (["up"], ["down"]):
        return None
    direction = Wheel[words[0].upper()]
    return lambda queue: queue.wheel(direction)


_VERBS: dict[str, tuple[str, Callable[[list[str], str], Action | None]]] = {
    "press": ("KEYS [for TIME]", _press),
    "hold": ("KEY", _hold),
    "release": ("KEY", _release),
    "type": ('"TEXT"', _type),
    "move": (f"X Y, both 0..{ABS_MAX}", _move),
    "click": ("|".join(BUTTONS), _click),
    "button": (f"{'|'.join(BUTTONS)} down|up", _button),
    "wheel": ("up|down", _wheel),
}
"""By verb: its arguments, for messages, and the function that parses them, which returns None if they don't fit."""


# ---- running


@dataclass(slots=True)
class InputScriptState:
    """The index of the line that comes next, or that is under way: a SLEEP or an EXPECT has begun."""

    next_line: int = 0
    is_under_way: bool = False


class InputScript:
    """Plays ``lines``. A timer is armed for a line with a time; the machine asks for icounts.

    Attributes:
        matcher: Looks for what is expected, in all that the guest sends to its console.
        limit: The timer of the time in which that has to come.
    """

    version = 2

    def __init__(self, name: str, lines: Sequence[ScriptLine], queue: InputQueue, timers: TimerList) -> None:
        """Make a script that begins with ``start``. ``name`` is its timer's, which is on the virtual clock's list."""
        self.name = name
        self.state = InputScriptState()
        self.send: Callable[[bytes], None] = lambda data: None
        """Types at the console."""
        self.on_missed: Callable[[str], None] = lambda text: None
        """Called where what is expected has not come, with a text that says so. No further line is done."""
        self._lines = tuple(lines)
        self._last_expect = self._last(Expect)
        self._last_send = self._last(Send)
        self._queue = queue
        self._timers = timers
        self._timer = Timer(name, timers, self._on_time, TimerAttribute.EXTERNAL)
        self.limit = Timer(f"{name}.limit", timers, self._on_limit, TimerAttribute.EXTERNAL)
        self.matcher = ConsoleMatcher(f"{name}.match", timers, self._wanted, lambda number: self._end_line())

    def _last(self, kind: type) -> int:
        """The index of the last line of a kind; -1 if there is none."""
        return max((n for n, line in enumerate(self._lines) if isinstance(line.step, kind)), default=-1)

    def start(self) -> None:
        """Wait for the first line. Lines that are due at once are done in the machine's first turn."""
        self._await_line()

    def go_on(self) -> None:
        """Wait for the next line, after a state was loaded whose script may have been another one."""
        line = self._line()
        kind, under_way = (Sleep, self._timer) if self._timer.pending else (Expect, self.limit)
        if self.state.is_under_way and line is not None and isinstance(line.step, kind) and under_way.pending:
            return
        self.state.is_under_way = False
        self.limit.cancel()
        self.matcher.stop()
        at_ns = None if line is None else self._moment_ns(line)
        if at_ns is None:
            self._timer.cancel()
        elif self._timer.expire_ns != at_ns:
            self._timer.arm(at_ns)

    @property
    def next_icount(self) -> int | None:
        """The icount of the next line; None if that has a time, or there is no next line."""
        line = self._line()
        return None if line is None or self.state.is_under_way else line.at_icount

    def run_due(self, icount: int) -> None:
        """Do the lines whose moment is ``icount`` or earlier."""
        while (next_icount := self.next_icount) is not None and next_icount <= icount:
            self._begin_line()

    def hear(self, data: bytes) -> None:
        """The guest has sent ``data`` to its console."""
        if self.state.next_line <= self._last_expect:
            self.matcher.hear(data)

    # ---- what may still come of it

    @property
    def uses_console(self) -> bool:
        """Whether it has a line that types at the console, or waits for it."""
        return not all(line.needs_input_device for line in self._lines)

    @property
    def expects(self) -> bool:
        """Whether it has a line that expects something."""
        return self._last_expect >= 0

    @property
    def will_send(self) -> bool:
        """Whether it goes on at a known time, and something is to be typed at the console then or later."""
        return self.state.next_line <= self._last_send and (self._timer.pending or self.matcher.is_due)

    def hurry(self) -> bool:
        """The guest waits for its console in a call, in which no time passes: go on at once to what is to be typed.

        Returns:
            Whether there is something.
        """
        if not self.will_send:
            return False
        if self._timer.pending:
            self._timer.arm(self._timers.clock.now_ns())
        self.matcher.settle()
        return True

    def settle(self) -> bool:
        """The guest sends no more. Whether it has sent what was expected: then the script goes on."""
        return self.matcher.settle()

    def open_line(self) -> str | None:
        """The first line that still expects something, for messages."""
        lines = (line for line in self._lines[self.state.next_line :] if isinstance(line.step, Expect))
        return next((line.source for line in lines), None)

    # ---- line by line

    def _line(self) -> ScriptLine | None:
        return self._lines[self.state.next_line] if self.state.next_line < len(self._lines) else None

    def _wanted(self) -> tuple[Expected, ...]:
        line = self._line()
        return (line.step.expected,) if line is not None and isinstance(line.step, Expect) else ()

    def _moment_ns(self, line: ScriptLine) -> int | None:
        """When it begins; None where it is not time that says that."""
        if line.at_icount is not None:
            return None
        return self._timers.clock.now_ns() if line.at_ns is None else line.at_ns

    def _on_time(self, late_ns: int) -> None:
        if self.state.is_under_way:
            self._end_line()
        else:
            self._begin_line()

    def _begin_line(self) -> None:
        line = self._line()
        assert line is not None
        step = line.step
        if isinstance(step, Sleep):
            self.state.is_under_way = True
            self._timer.arm(self._timers.clock.now_ns() + step.ns)
        elif isinstance(step, Expect):
            self.state.is_under_way = True
            self.limit.arm(self._timers.clock.now_ns() + step.within_ns)
            self.matcher.start()
        else:
            self._end_line()
            if isinstance(step, Send):
                self.send(step.data)
            else:
                step(self._queue)

    def _end_line(self) -> None:
        self.state.next_line += 1
        self.state.is_under_way = False
        self.limit.cancel()
        self._await_line()

    def _await_line(self) -> None:
        line = self._line()
        at_ns = None if line is None else self._moment_ns(line)
        if at_ns is not None:
            self._timer.arm(at_ns)

    def _on_limit(self, late_ns: int) -> None:
        line = self._line()
        if line is None or not isinstance(line.step, Expect) or self.matcher.settle():
            return
        self.matcher.stop()
        self.state = InputScriptState(len(self._lines))
        self.on_missed(f"{line.source}: not said in time")
