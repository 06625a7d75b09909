"""Translates the bytes that a terminal sends to the keys that were pressed.

Source: xterm, "XTerm Control Sequences", PC-style function keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from minstret.devices.hostside.hostinput.keymap import CHARACTERS, KEYS, Chord
from minstret.devices.virtio.input_codes import Key

_CTRL, _ALT, _SHIFT = KEYS["ctrl"], KEYS["alt"], KEYS["shift"]

_SEQUENCE = re.compile(rb"\x1b(?:\[([0-9;]*)([A-Za-z~])|O([A-Za-z]))")
_BY_FINAL = {
    "A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end",
    "P": "f1", "Q": "f2", "R": "f3", "S": "f4",
}  # fmt: skip
_BY_NUMBER = {
    "1": "home", "2": "insert", "3": "delete", "4": "end", "5": "pgup", "6": "pgdn", "7": "home", "8": "end",
    "11": "f1", "12": "f2", "13": "f3", "14": "f4", "15": "f5", "17": "f6", "18": "f7", "19": "f8", "20": "f9",
    "21": "f10", "23": "f11", "24": "f12",
}  # fmt: skip
_MODIFIERS = ((1, _SHIFT), (2, _ALT), (4, _CTRL))
"""Bits of a modifier parameter, after 1 was subtracted from it."""

_ESC = 0x1B
_BYTES: dict[int, Chord] = {
    **{ord(character): chord for character, chord in CHARACTERS.items()},
    **{byte: (_CTRL, KEYS[chr(byte | 0x60)]) for byte in range(1, 27)},
    0x00: (_CTRL, KEYS["spc"]),
    0x09: (KEYS["tab"],),
    0x0A: (KEYS["ret"],),
    0x0D: (KEYS["ret"],),
    _ESC: (KEYS["esc"],),
    0x1C: (_CTRL, KEYS["backslash"]),
    0x1D: (_CTRL, KEYS["bracket_right"]),
    0x1E: (_CTRL, KEYS["6"]),
    0x1F: (_CTRL, KEYS["minus"]),
    0x7F: (KEYS["backspace"],),
}


def keys_typed(data: bytes) -> Iterator[Chord]:
    """The keys for bytes that a terminal has sent in one piece. Bytes that are no key are skipped.

    ESC before another byte means Alt with that key; ESC at the end or before another ESC is the key Esc. A line feed is
    the Return key too, so that a file can be typed.
    """
    at = 0
    while at < len(data):
        if sequence := _SEQUENCE.match(data, at):
            at = sequence.end()
            yield from _of_sequence(sequence)
            continue
        prefix: Chord = ()
        if data[at] == _ESC and at + 1 < len(data) and data[at + 1] != _ESC:
            at, prefix = at + 1, (_ALT,)
        if chord := _BYTES.get(data[at]):
            yield prefix + chord
        at += 1


def _of_sequence(sequence: re.Match[bytes]) -> Iterator[Chord]:
    number, _, modifier = (sequence[1] or b"").decode().partition(";")
    final = (sequence[2] or sequence[3]).decode()
    if (final, number) == ("Z", ""):
        yield (_SHIFT, KEYS["tab"])
        return
    name = _BY_NUMBER.get(number) if final == "~" else _BY_FINAL.get(final)
    if name is not None:
        yield (*_modifiers(modifier), KEYS[name])


def _modifiers(parameter: str) -> list[Key]:
    bits = int(parameter) - 1 if parameter.isdecimal() and 0 < int(parameter) <= 8 else 0
    return [key for bit, key in _MODIFIERS if bits & bit]
