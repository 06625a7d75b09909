"""Input scripts: lines such as ``AT 1.5s: press ctrl-c`` or ``AT icount 5M: move 100 200``.

    press KEYS [for TIME]       KEYS such as a or ctrl-alt-delete, held for TIME (100ms by default)
    hold KEY, release KEY
    type "TEXT"                 TEXT as for --keys: hello<ret>; \\" and \\\\ for " and \\
    move X Y                    0..32767 both
    click BUTTON                left, middle or right
    button BUTTON down|up
    wheel up|down

Times are virtual time since power-on. A line is done at its time, but not before the lines above it. Blank lines and
comments, which begin with #, are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from minstret.devices.hostside.hostinput.keymap import Chord, parse_button, parse_chord, parse_key, parse_keys
from minstret.devices.hostside.hostinput.queue import PRESS_NS, InputQueue, Wheel
from minstret.devices.virtio.input_codes import ABS_MAX
from minstret.emu.errors import ConfigError
from minstret.emu.timers import Timer, TimerAttribute, TimerList
from minstret.emu.units import NS_PER_MS, parse_count, parse_time_ns

Action = Callable[[InputQueue], None]

KEYS_AT_NS = 100 * NS_PER_MS
"""When ``--keys`` begins to type. Not at once: keys are lost if the guest is not ready for them."""


@dataclass(frozen=True, slots=True)
class ScriptLine:
    """An action and its moment: a virtual time or an icount, never both."""

    action: Action
    at_ns: int | None = None
    at_icount: int | None = None


def keys_line(chords: Sequence[Chord], at_ns: int = KEYS_AT_NS) -> ScriptLine:
    """A line that types ``chords``."""
    return ScriptLine(lambda queue: queue.type(chords), at_ns=at_ns)


# ---- parsing

_LINE = re.compile(r"AT\s+(icount\s+)?([^\s:]+)\s*:\s*(.*)")
_BLANK = re.compile(r"\s*(#.*)?")
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
    match = _LINE.fullmatch(line.strip())
    if match is None:
        raise ConfigError(f"{where}: expected AT MOMENT: ACTION, such as AT 1.5s: press a, got {line.strip()!r}")
    action = _parse_action(_words(match[3], where), where)
    if match[1]:
        return ScriptLine(action, at_icount=parse_count(match[2], where))
    return ScriptLine(action, at_ns=parse_time_ns(match[2], where))


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


def _parse_action(words: list[_Word], where: str) -> Action:
    verb = words[0].text if words and not words[0].is_quoted else ""
    if verb not in _VERBS:
        raise ConfigError(f"{where}: expected one of {', '.join(_VERBS)}, got {verb!r}")
    usage, parse = _VERBS[verb]
    action = None
    if all(word.is_quoted == (verb == "type") for word in words[1:]):
        action = parse([word.text for word in words[1:]], where)
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
    "click": ("left|middle|right", _click),
    "button": ("left|middle|right down|up", _button),
    "wheel": ("up|down", _wheel),
}
"""By verb: its arguments, for messages, and the function that parses them, which returns None if they don't fit."""


# ---- running


@dataclass(slots=True)
class InputScriptState:
    """The index of the next line."""

    next_line: int = 0


class InputScript:
    """Plays ``lines`` into ``queue``. A timer is armed for a line with a time; the machine asks for icounts."""

    def __init__(self, name: str, lines: Sequence[ScriptLine], queue: InputQueue, timers: TimerList) -> None:
        """Make a script that begins with ``start``. ``name`` is its timer's, which is on the virtual clock's list."""
        self.name = name
        self.state = InputScriptState()
        self._lines = tuple(lines)
        self._queue = queue
        self._timer = Timer(name, timers, self._on_time, TimerAttribute.EXTERNAL)

    def start(self) -> None:
        """Wait for the first line. Lines that are due at once are done in the machine's first turn."""
        self._await_line()

    @property
    def next_icount(self) -> int | None:
        """The icount of the next line; None if that has a time, or there is no next line."""
        line = self._line()
        return None if line is None else line.at_icount

    def run_due(self, icount: int) -> None:
        """Do the lines whose moment is ``icount`` or earlier."""
        while (next_icount := self.next_icount) is not None and next_icount <= icount:
            self._do_line()

    def _line(self) -> ScriptLine | None:
        return self._lines[self.state.next_line] if self.state.next_line < len(self._lines) else None

    def _on_time(self, late_ns: int) -> None:
        self._do_line()

    def _do_line(self) -> None:
        line = self._line()
        assert line is not None
        self.state.next_line += 1
        line.action(self._queue)
        self._await_line()

    def _await_line(self) -> None:
        line = self._line()
        if line is not None and line.at_ns is not None:
            self._timer.arm(line.at_ns)
