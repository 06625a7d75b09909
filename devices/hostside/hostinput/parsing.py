"""Reads scripts, line by line. What the lines do: script.py.

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
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from minstret.devices.hostside.hostinput.keymap import BUTTONS, parse_button, parse_chord, parse_key, parse_keys
from minstret.devices.hostside.hostinput.queue import PRESS_NS, Wheel
from minstret.devices.hostside.hostinput.script import EXPECT_NS, Action, Expect, ScriptLine, Send, Sleep, Step
from minstret.devices.virtio.input_codes import ABS_MAX
from minstret.emu.errors import ConfigError
from minstret.emu.expect import Expected
from minstret.emu.text import nearest
from minstret.emu.units import parse_count, parse_time_ns

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
