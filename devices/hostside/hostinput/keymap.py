"""Keys by name, and the keys to press for each character of a US keyboard.

Names are those of QEMU's ``sendkey`` (QKeyCode, qapi/ui.json), key codes those of its keyboards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from minstret.devices.virtio.input_codes import Button, Key
from minstret.emu.errors import ConfigError

Chord = tuple[Key, ...]
"""Keys that are down together, in the order in which they are pressed."""

KEYS: dict[str, Key] = {
    **{letter: Key[f"KEY_{letter.upper()}"] for letter in "abcdefghijklmnopqrstuvwxyz0123456789"},
    **{f"f{number}": Key[f"KEY_F{number}"] for number in range(1, 13)},
    **{f"kp_{digit}": Key[f"KEY_KP{digit}"] for digit in range(10)},
    "shift": Key.KEY_LEFTSHIFT,
    "shift_r": Key.KEY_RIGHTSHIFT,
    "ctrl": Key.KEY_LEFTCTRL,
    "ctrl_r": Key.KEY_RIGHTCTRL,
    "alt": Key.KEY_LEFTALT,
    "alt_r": Key.KEY_RIGHTALT,
    "meta_l": Key.KEY_LEFTMETA,
    "meta_r": Key.KEY_RIGHTMETA,
    "menu": Key.KEY_MENU,
    "compose": Key.KEY_COMPOSE,
    "esc": Key.KEY_ESC,
    "ret": Key.KEY_ENTER,
    "spc": Key.KEY_SPACE,
    "tab": Key.KEY_TAB,
    "backspace": Key.KEY_BACKSPACE,
    "minus": Key.KEY_MINUS,
    "equal": Key.KEY_EQUAL,
    "bracket_left": Key.KEY_LEFTBRACE,
    "bracket_right": Key.KEY_RIGHTBRACE,
    "semicolon": Key.KEY_SEMICOLON,
    "apostrophe": Key.KEY_APOSTROPHE,
    "grave_accent": Key.KEY_GRAVE,
    "backslash": Key.KEY_BACKSLASH,
    "comma": Key.KEY_COMMA,
    "dot": Key.KEY_DOT,
    "slash": Key.KEY_SLASH,
    "less": Key.KEY_102ND,
    "caps_lock": Key.KEY_CAPSLOCK,
    "num_lock": Key.KEY_NUMLOCK,
    "scroll_lock": Key.KEY_SCROLLLOCK,
    "print": Key.KEY_SYSRQ,
    "sysrq": Key.KEY_SYSRQ,
    "pause": Key.KEY_PAUSE,
    "insert": Key.KEY_INSERT,
    "delete": Key.KEY_DELETE,
    "home": Key.KEY_HOME,
    "end": Key.KEY_END,
    "pgup": Key.KEY_PAGEUP,
    "pgdn": Key.KEY_PAGEDOWN,
    "up": Key.KEY_UP,
    "down": Key.KEY_DOWN,
    "left": Key.KEY_LEFT,
    "right": Key.KEY_RIGHT,
    "asterisk": Key.KEY_KPASTERISK,
    "kp_multiply": Key.KEY_KPASTERISK,
    "kp_divide": Key.KEY_KPSLASH,
    "kp_subtract": Key.KEY_KPMINUS,
    "kp_add": Key.KEY_KPPLUS,
    "kp_enter": Key.KEY_KPENTER,
    "kp_decimal": Key.KEY_KPDOT,
    "kp_comma": Key.KEY_KPCOMMA,
    "kp_equals": Key.KEY_KPEQUAL,
    "stop": Key.KEY_STOP,
    "again": Key.KEY_AGAIN,
    "props": Key.KEY_PROPS,
    "undo": Key.KEY_UNDO,
    "front": Key.KEY_FRONT,
    "copy": Key.KEY_COPY,
    "open": Key.KEY_OPEN,
    "paste": Key.KEY_PASTE,
    "find": Key.KEY_FIND,
    "cut": Key.KEY_CUT,
    "lf": Key.KEY_LINEFEED,
    "help": Key.KEY_HELP,
    "ro": Key.KEY_RO,
    "yen": Key.KEY_YEN,
    "hiragana": Key.KEY_HIRAGANA,
    "henkan": Key.KEY_HENKAN,
    "muhenkan": Key.KEY_MUHENKAN,
    "katakanahiragana": Key.KEY_KATAKANAHIRAGANA,
    "lang1": Key.KEY_HANGEUL,
    "lang2": Key.KEY_HANJA,
    "power": Key.KEY_POWER,
    "sleep": Key.KEY_SLEEP,
    "wake": Key.KEY_WAKEUP,
    "audionext": Key.KEY_NEXTSONG,
    "audioprev": Key.KEY_PREVIOUSSONG,
    "audiostop": Key.KEY_STOPCD,
    "audioplay": Key.KEY_PLAYPAUSE,
    "audiomute": Key.KEY_MUTE,
    "volumeup": Key.KEY_VOLUMEUP,
    "volumedown": Key.KEY_VOLUMEDOWN,
    "mediaselect": Key.KEY_MEDIA,
    "mail": Key.KEY_MAIL,
    "calculator": Key.KEY_CALC,
    "computer": Key.KEY_COMPUTER,
    "ac_home": Key.KEY_HOMEPAGE,
    "ac_back": Key.KEY_BACK,
    "ac_forward": Key.KEY_FORWARD,
    "ac_refresh": Key.KEY_REFRESH,
    "ac_bookmarks": Key.KEY_BOOKMARKS,
}

BUTTONS: dict[str, Button] = {
    "left": Button.BTN_LEFT,
    "middle": Button.BTN_MIDDLE,
    "right": Button.BTN_RIGHT,
    "side": Button.BTN_SIDE,
    "extra": Button.BTN_EXTRA,
}

_ELSEWHERE = {
    "enter": "ret",
    "return": "ret",
    "escape": "esc",
    "space": "spc",
    "control": "ctrl",
    "del": "delete",
    "ins": "insert",
    "page_up": "pgup",
    "page_down": "pgdn",
    "period": "dot",
    "grave": "grave_accent",
    "quote": "apostrophe",
    "capslock": "caps_lock",
    "meta": "meta_l",
    "win": "meta_l",
    "super": "meta_l",
}
"""Other common names of keys, which are not accepted; used to suggest the right name."""


# ---- the US layout

_PLAIN = "abcdefghijklmnopqrstuvwxyz0123456789-=[];'`\\,./ \t\n"
_SHIFTED = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ)!@#$%^&*(_+{}:"~|<>?'
_NAMED = (
    "minus equal bracket_left bracket_right semicolon apostrophe grave_accent backslash comma dot slash spc tab ret"
).split()
_LAYOUT_KEYS = [KEYS[name] for name in (*_PLAIN[:36], *_NAMED)]

CHARACTERS: dict[str, Chord] = {
    **{character: (key,) for character, key in zip(_PLAIN, _LAYOUT_KEYS, strict=True)},
    **{character: (KEYS["shift"], key) for character, key in zip(_SHIFTED, _LAYOUT_KEYS, strict=False)},
}
"""How to type a character on a US keyboard; a newline is the Return key."""


# ---- what users write


def parse_key(text: str, what: str) -> Key:
    """The key called ``text``.

    Raises:
        ConfigError: there is none; the text begins with ``what`` and suggests the most similar name.
    """
    return KEYS[_known("key", text, KEYS, what)]


def parse_button(text: str, what: str) -> Button:
    """The button called ``text``; errors as for ``parse_key``."""
    return BUTTONS[_known("button", text, BUTTONS, what)]


def _known(kind: str, name: str, names: Iterable[str], what: str) -> str:
    known = list(names)
    if name not in known:
        raise ConfigError(f"{what}: there is no {kind} {name!r}; did you mean {_nearest(name, known)!r}?")
    return name


def _nearest(text: str, names: list[str]) -> str:
    text = text.lower()
    meant = _ELSEWHERE.get(text, text)
    if meant in names:
        return meant
    import difflib  # imported here: it takes a while, and only mistakes need it

    return difflib.get_close_matches(meant, names, n=1, cutoff=0)[0]


def parse_chord(text: str, what: str) -> Chord:
    """Keys joined by hyphens, such as ``ctrl-alt-delete``.

    Raises:
        ConfigError: a key is unknown or given twice; the text begins with ``what``.
    """
    chord = tuple(parse_key(name, what) for name in text.split("-"))
    if len(set(chord)) < len(chord):
        raise ConfigError(f"{what}: {text!r} has the same key twice")
    return chord


_TOKEN = re.compile(r"<<|<([^<>]*)>|(.)", re.DOTALL)


def parse_keys(text: str, what: str) -> list[Chord]:
    """Text to type: characters as they are, other keys in angle brackets, ``<<`` for a ``<``.

    Raises:
        ConfigError: a character is not on the keyboard, or a name in brackets is not a key; the text begins with
            ``what``.
    """
    chords = []
    for token in _TOKEN.finditer(text):
        if token[1] is not None:
            chords.append(parse_chord(token[1], what))
        elif token[0] == "<<":
            chords.append(CHARACTERS["<"])
        elif token[0] == "<":
            raise ConfigError(f"{what}: '<' begins a key such as <ret>; write << for the character")
        elif token[0] in CHARACTERS:
            chords.append(CHARACTERS[token[0]])
        else:
            raise ConfigError(f"{what}: {token[0]!r} is not on a US keyboard")
    return chords
