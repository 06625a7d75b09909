"""What a terminal's bytes say about the keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minstret.devices.hostside.hostinput.keymap import CHARACTERS, parse_chord
from minstret.devices.hostside.hostinput.terminal import keys_typed
from minstret.devices.virtio.input_codes import Key


@pytest.mark.parametrize(
    ("data", "chords"),
    [
        (b"aB!", ["a", "shift-b", "shift-1"]),
        (b"\r", ["ret"]), (b"\n", ["ret"]), (b"\t", ["tab"]), (b"\x7f", ["backspace"]), (b"\x1b", ["esc"]),
        (b"\x01", ["ctrl-a"]), (b"\x03", ["ctrl-c"]), (b"\x08", ["ctrl-h"]), (b"\x1a", ["ctrl-z"]),
        (b"\x00", ["ctrl-spc"]), (b"\x1c", ["ctrl-backslash"]), (b"\x1d", ["ctrl-bracket_right"]),
        (b"\x1e", ["ctrl-6"]), (b"\x1f", ["ctrl-minus"]),
        (b"\x1b[A\x1b[B\x1b[C\x1b[D", ["up", "down", "right", "left"]),
        (b"\x1bOA\x1bOB\x1bOC\x1bOD", ["up", "down", "right", "left"]),
        (b"\x1b[H\x1b[F\x1b[1~\x1b[4~", ["home", "end", "home", "end"]),
        (b"\x1b[2~\x1b[3~\x1b[5~\x1b[6~", ["insert", "delete", "pgup", "pgdn"]),
        (b"\x1bOP\x1b[15~\x1b[24~", ["f1", "f5", "f12"]),
        (b"\x1b[Z", ["shift-tab"]),
        (b"\x1b[1;5C\x1b[1;2A\x1b[3;3~\x1b[1;8D", ["ctrl-right", "shift-up", "alt-delete", "shift-alt-ctrl-left"]),
        (b"x\x1b[Ay", ["x", "up", "y"]),
        (b"\x1bx\x1bX", ["alt-x", "alt-shift-x"]),
        (b"\x1b\x1b", ["esc", "esc"]), (b"\x1b\x1b[A", ["esc", "up"]),
        (b"\x1b[", ["alt-bracket_left"]),
    ],
)  # fmt: skip
def test_bytes_stand_for_keys(data: bytes, chords: list[str]) -> None:
    assert list(keys_typed(data)) == [parse_chord(chord, "x") for chord in chords]


@pytest.mark.parametrize(
    "data", [b"", b"\x80", b"\xff", "\xe9".encode(), b"\x1b[99~", b"\x1b[1;5K", b"\x1b[200~", b"\x1b\xe9"]
)
def test_what_no_key_stands_behind_is_left_out(data: bytes) -> None:
    assert list(keys_typed(b"a" + data + b"b")) == [(Key.KEY_A,), (Key.KEY_B,)]


@given(st.text(alphabet=sorted(CHARACTERS)))
def test_text_is_typed_as_the_us_layout_has_it(text: str) -> None:
    assert list(keys_typed(text.encode())) == [CHARACTERS[character] for character in text]


@given(st.binary(max_size=60))
def test_any_bytes_give_keys_without_repeats_in_a_chord(data: bytes) -> None:
    for chord in keys_typed(data):
        assert chord
        assert len(set(chord)) == len(chord)
