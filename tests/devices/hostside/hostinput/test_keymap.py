"""Names of keys, the US layout, and what users write for --keys."""

from __future__ import annotations

import string
from collections.abc import Callable

import pytest
from hypothesis import event, given, note
from hypothesis import strategies as st

from minstret.devices.hostside.hostinput.keymap import (
    BUTTONS,
    CHARACTERS,
    KEYS,
    Chord,
    parse_button,
    parse_chord,
    parse_key,
    parse_keys,
)
from minstret.devices.virtio.input_codes import Button, Key
from minstret.emu.errors import ConfigError

QKEYCODES = (
    "shift shift_r alt alt_r ctrl ctrl_r menu esc 1 2 3 4 5 6 7 8 9 0 minus equal backspace tab q w e r t y u i o p "
    "bracket_left bracket_right ret a s d f g h j k l semicolon apostrophe grave_accent backslash z x c v b n m comma "
    "dot slash asterisk spc caps_lock f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 num_lock scroll_lock kp_divide kp_multiply "
    "kp_subtract kp_add kp_enter kp_decimal sysrq kp_0 kp_1 kp_2 kp_3 kp_4 kp_5 kp_6 kp_7 kp_8 kp_9 less f11 f12 print "
    "home pgup pgdn end left up down right insert delete stop again props undo front copy open paste find cut lf help "
    "meta_l meta_r compose pause ro hiragana henkan yen muhenkan katakanahiragana kp_comma kp_equals power sleep wake "
    "audionext audioprev audiostop audioplay audiomute volumeup volumedown mediaselect mail calculator computer "
    "ac_home ac_back ac_forward ac_refresh ac_bookmarks lang1 lang2"
).split()
"""QEMU 7.2, qapi/ui.json, without ``unmapped``."""

PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F))


def bracketed(chord: Chord) -> str:
    """``chord`` as --keys has it."""
    return "<" + "-".join(next(name for name, key in KEYS.items() if key is code) for code in chord) + ">"


# ---- names


def test_names_are_those_of_qemu() -> None:
    assert sorted(KEYS) == sorted(QKEYCODES)


def test_every_key_of_the_keyboard_has_a_name() -> None:
    assert set(KEYS.values()) == set(Key)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a", Key.KEY_A), ("z", Key.KEY_Z), ("0", Key.KEY_0), ("1", Key.KEY_1), ("f1", Key.KEY_F1),
        ("f12", Key.KEY_F12), ("ret", Key.KEY_ENTER), ("spc", Key.KEY_SPACE), ("less", Key.KEY_102ND),
        ("meta_l", Key.KEY_LEFTMETA), ("print", Key.KEY_SYSRQ), ("kp_9", Key.KEY_KP9), ("lang1", Key.KEY_HANGEUL),
        ("asterisk", Key.KEY_KPASTERISK), ("audioplay", Key.KEY_PLAYPAUSE), ("mediaselect", Key.KEY_MEDIA),
    ],
)  # fmt: skip
def test_name_gives_the_code_that_qemu_sends(name: str, key: Key) -> None:
    assert parse_key(name, "here") is key


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("capslock", "caps_lock"), ("enter", "ret"), ("Return", "ret"), ("CTRL", "ctrl"), ("A", "a"), ("f111", "f11"),
        ("space", "spc"), ("Escape", "esc"), ("bracketleft", "bracket_left"), ("apostrophy", "apostrophe"),
        ("semikolon", "semicolon"), ("del", "delete"),
    ],
)  # fmt: skip
def test_unknown_name_is_refused_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_key(name, "--keys")

    assert str(error.value) == f"--keys: there is no key {name!r}; did you mean {nearest!r}?"


@given(st.text(max_size=30))
def test_every_unknown_name_gets_one_line_with_a_name_that_exists(name: str) -> None:
    if name in KEYS:
        assert parse_key(name, "x") is KEYS[name]
        return
    with pytest.raises(ConfigError) as error:
        parse_key(name, "x")

    assert len(str(error.value).splitlines()) == 1
    assert str(error.value).rpartition("did you mean ")[2].strip("'?") in KEYS


def test_buttons_have_qemus_names() -> None:
    assert {name: parse_button(name, "x") for name in BUTTONS} == {
        "left": Button.BTN_LEFT, "middle": Button.BTN_MIDDLE, "right": Button.BTN_RIGHT, "side": Button.BTN_SIDE,
        "extra": Button.BTN_EXTRA,
    }  # fmt: skip
    with pytest.raises(ConfigError, match=r"^s:3: there is no button 'lef'; did you mean 'left'\?$"):
        parse_button("lef", "s:3")


def test_chord_keeps_the_order_of_its_keys() -> None:
    assert parse_chord("ctrl-alt-delete", "x") == (Key.KEY_LEFTCTRL, Key.KEY_LEFTALT, Key.KEY_DELETE)
    assert parse_chord("a", "x") == (Key.KEY_A,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ctrl-", "x: there is no key ''; did you mean "),
        ("", "x: there is no key ''; did you mean "),
        ("ctrl-ctrl", "x: 'ctrl-ctrl' has the same key twice"),
        ("print-sysrq", "x: 'print-sysrq' has the same key twice"),
        ("ctrl-q-entr", "x: there is no key 'entr'; did you mean "),
    ],
)
def test_bad_chord_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_chord(text, "x")

    assert str(error.value).startswith(message)


# ---- the US layout


def test_every_printable_character_can_be_typed_and_no_two_alike() -> None:
    assert set(CHARACTERS) == set(PRINTABLE + "\t\n")
    assert len(set(CHARACTERS.values())) == len(CHARACTERS)


@pytest.mark.parametrize(
    ("character", "names"),
    [
        ("a", "a"), ("A", "shift-a"), ("1", "1"), ("!", "shift-1"), ("@", "shift-2"), ("#", "shift-3"),
        ("$", "shift-4"), ("%", "shift-5"), ("^", "shift-6"), ("&", "shift-7"), ("*", "shift-8"), ("(", "shift-9"),
        (")", "shift-0"), ("-", "minus"), ("_", "shift-minus"), ("=", "equal"), ("+", "shift-equal"),
        ("[", "bracket_left"), ("{", "shift-bracket_left"), ("]", "bracket_right"), ("}", "shift-bracket_right"),
        (";", "semicolon"), (":", "shift-semicolon"), ("'", "apostrophe"), ('"', "shift-apostrophe"),
        ("`", "grave_accent"), ("~", "shift-grave_accent"), ("\\", "backslash"), ("|", "shift-backslash"),
        (",", "comma"), ("<", "shift-comma"), (".", "dot"), (">", "shift-dot"), ("/", "slash"), ("?", "shift-slash"),
        (" ", "spc"), ("\t", "tab"), ("\n", "ret"), ("Z", "shift-z"), ("0", "0"),
    ],
)  # fmt: skip
def test_character_is_typed_with_the_keys_of_a_us_keyboard(character: str, names: str) -> None:
    assert CHARACTERS[character] == parse_chord(names, "x")


def test_letters_and_digits_are_their_own_keys() -> None:
    for character in string.ascii_lowercase + string.digits:
        assert CHARACTERS[character] == (KEYS[character],)


# ---- --keys


@pytest.mark.parametrize(
    ("text", "chords"),
    [
        ("", []),
        ("hi<ret>", ["h", "i", "ret"]),
        ("<ctrl-c>", ["ctrl-c"]),
        ("<ctrl-alt-delete>x", ["ctrl-alt-delete", "x"]),
        ("a<<b", ["a", "shift-comma", "b"]),
        ("<<<ret>>", ["shift-comma", "ret", "shift-dot"]),
        ("<<<<", ["shift-comma", "shift-comma"]),
        ("a>b", ["a", "shift-dot", "b"]),
        ("<<ret>", ["shift-comma", "r", "e", "t", "shift-dot"]),
        ("A-b", ["shift-a", "minus", "b"]),
    ],
)
def test_keys_are_characters_and_names_in_brackets(text: str, chords: list[str]) -> None:
    assert parse_keys(text, "--keys") == [parse_chord(chord, "x") for chord in chords]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a<", "--keys: '<' begins a key such as <ret>; write << for the character"),
        ("<ret", "--keys: '<' begins a key such as <ret>; write << for the character"),
        ("<a<b>", "--keys: '<' begins a key such as <ret>; write << for the character"),
        ("caf\xe9", "--keys: '\xe9' is not on a US keyboard"),
        ("a\x1b", "--keys: '\\x1b' is not on a US keyboard"),
        ("x<entr>", "--keys: there is no key 'entr'; did you mean "),
        ("<>", "--keys: there is no key ''; did you mean "),
    ],
)
def test_bad_keys_are_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_keys(text, "--keys")

    assert str(error.value).startswith(message)
    assert len(str(error.value).splitlines()) == 1


chords = st.one_of(
    st.sampled_from(sorted(CHARACTERS)).map(lambda character: (character.replace("<", "<<"), CHARACTERS[character])),
    st.lists(st.sampled_from(list(Key)), min_size=1, max_size=4, unique=True).map(
        lambda keys: (bracketed(tuple(keys)), tuple(keys))
    ),
)


@given(st.lists(chords, max_size=20))
def test_what_was_written_is_what_is_typed(typed: list[tuple[str, Chord]]) -> None:
    text = "".join(written for written, _ in typed)
    event(f"chords: {min(len(typed), 5)}{'+' if len(typed) >= 5 else ''}")
    note(text)

    assert parse_keys(text, "--keys") == [chord for _, chord in typed]


def test_any_text_is_typed_or_refused_in_one_line(announce: Callable[[str], None]) -> None:
    cases = {"typed": 0, "refused": 0}

    @given(st.text(alphabet=st.sampled_from(PRINTABLE + "<>--\n\xe9\x00"), max_size=40))
    def check(text: str) -> None:
        try:
            chords, refusal = parse_keys(text, "--keys"), None
        except ConfigError as error:
            chords, refusal = [], str(error)
        assert all(chord and set(chord) <= set(Key) for chord in chords)
        assert refusal is None or (refusal.startswith("--keys: ") and len(refusal.splitlines()) == 1)
        cases["typed" if refusal is None else "refused"] += 1

    check()

    announce(f"{sum(cases.values())} cases: {cases}")
    assert cases["typed"] and cases["refused"]
