"""Levels in time, read back by pyvcd and by GTKWave's converters."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from support.exported import exported, facts_of_recorded, happenings_of
from support.needs import Need
from support.recordings import Recorded
from vcd.reader import TokenKind, tokenize

from minstret.emu.door.door import Position
from minstret.emu.questions.exports.vcd import Vcd
from minstret.emu.questions.happenings import ConsoleOut, HartWaits, LineChanged, PinChanged, SerialSetUp, TimerFired
from minstret.emu.serialbits import SerialFormat

Changes = dict[str, list[tuple[int, int | str]]]


def changes_of(text: bytes) -> Changes:
    """(time, value) of each variable, by its name with scope; the first is the initial one."""
    names: dict[str, str] = {}
    scopes: list[str] = []
    changes: Changes = defaultdict(list)
    now = 0
    for token in tokenize(io.BytesIO(text)):
        if token.kind is TokenKind.SCOPE:
            scopes.append(token.scope.ident)
        elif token.kind is TokenKind.UPSCOPE:
            scopes.pop()
        elif token.kind is TokenKind.VAR:
            names[token.var.id_code] = ".".join((*scopes, token.var.reference))
        elif token.kind is TokenKind.CHANGE_TIME:
            assert token.time_change >= now
            now = token.time_change
        elif token.kind is TokenKind.CHANGE_SCALAR:
            value = token.scalar_change.value
            changes[names[token.scalar_change.id_code]].append((now, int(value) if value in "01" else value))
        elif token.kind is TokenKind.CHANGE_VECTOR:
            changes[names[token.vector_change.id_code]].append((now, token.vector_change.value))
    return changes


def levels(changes: Changes, name: str) -> list[tuple[int, int | str]]:
    """What a variable is in the end at each time at which it changes."""
    last = dict(changes[name])
    return [one for number, one in enumerate(last.items()) if not number or one[1] != list(last.values())[number - 1]]


def test_lines_waits_and_pins_change_when_they_did(recorded: Recorded) -> None:
    happenings, changes = happenings_of(recorded), changes_of(exported(recorded, "vcd"))

    for name in {one.name for one in happenings if isinstance(one, LineChanged)}:
        told = [(one.virtual_ns, int(one.level)) for one in happenings
                if isinstance(one, LineChanged) and one.name == name]  # fmt: skip
        assert [one for one in changes[name] if one != (0, 0)] == told
    for one in happenings:
        if isinstance(one, HartWaits):
            assert (one.virtual_ns, int(one.begins)) in changes[f"hart{one.hart}.waits"]
        elif isinstance(one, PinChanged) and one.virtual_ns:
            assert (one.virtual_ns, one.value) in changes[one.name]
        elif isinstance(one, TimerFired):
            assert (one.virtual_ns, 1) in changes[f"{one.name}_fired"]


def test_gtkwave_reads_it(need: Need, recorded: Recorded, tmp_path: Path) -> None:
    need("vcd2fst (gtkwave)", shutil.which("vcd2fst"))
    vcd, fst = tmp_path / "run.vcd", tmp_path / "run.fst"
    vcd.write_bytes(exported(recorded, "vcd"))

    subprocess.run(["vcd2fst", str(vcd), str(fst)], check=True, timeout=60, capture_output=True)
    back = subprocess.run(["fst2vcd", str(fst)], check=True, timeout=60, capture_output=True).stdout

    before, after = changes_of(vcd.read_bytes()), changes_of(back)
    wires = [name for name in before if name.endswith((".irq", "tip", "eip", "_pin", ".waits"))]
    assert wires
    for name in wires:
        assert levels(after, name) == levels(before, name)


def serial(recorded: Recorded, form: SerialFormat, *sent: tuple[int, bytes]) -> list[tuple[int, int | str]]:
    pieces: list[bytes] = []
    vcd = Vcd(facts_of_recorded(recorded), pieces.append)
    vcd.add(SerialSetUp(0, 0, None, form))
    for at, data in sent:
        vcd.add(ConsoleOut(at, at, 0, data))
    vcd.finish(Position(10, max(at for at, _ in sent)))
    return levels(changes_of(b"".join(pieces)), "uart0.tx_pin")


def test_character_is_bits_on_its_line(guest: Callable[[str], Recorded]) -> None:
    changes = serial(guest("ticks"), SerialFormat(100, 8, "N", 1), (1_000, b"\x53"))

    assert changes == [(0, 1), (1_000, 0), (1_100, 1), (1_300, 0), (1_500, 1), (1_600, 0), (1_700, 1), (1_800, 0),
                       (1_900, 1)]  # fmt: skip


@pytest.mark.parametrize("form", [SerialFormat(100, 8, "N", 1), SerialFormat(70, 7, "E", 2)])
def test_characters_that_come_faster_than_the_line_follow_each_other(
    guest: Callable[[str], Recorded], form: SerialFormat
) -> None:
    text = b"Hello, world\n"
    changes = serial(guest("ticks"), form, *((1_000 + 2 * number, text[number : number + 1]) for number in range(13)))

    def level_at(ns: int) -> int | str:
        return [level for at, level in changes if at <= ns][-1]

    heard = bytearray()
    for number in range(len(text)):
        begin = 1_000 + number * form.character_ns
        middle = [begin + form.bit_ns * bit + form.bit_ns // 2 for bit in range(1 + form.data_bits)]
        assert level_at(middle[0]) == 0
        heard.append(sum(int(level_at(at)) << bit for bit, at in enumerate(middle[1:])))
        assert level_at(begin + form.character_ns - form.bit_ns // 2) == 1
    assert bytes(heard) == text


def test_names_of_the_users_devices_never_meet_ours(guest: Callable[[str], Recorded]) -> None:
    facts = facts_of_recorded(guest("gpio"))
    strange = tuple((name, 1) for name in ("board.reset", "my device.a b", "hart0.waits"))
    pieces: list[bytes] = []

    vcd = Vcd(
        type(facts)(**{**{name: getattr(facts, name) for name in facts.__slots__}, "pins": strange}), pieces.append
    )
    vcd.finish(Position(10, 20))

    assert {"my_device.a_b"} <= set(changes_of(b"".join(pieces)))
