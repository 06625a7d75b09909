"""How what happened reads, and what it is for JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from minstret.emu.hart.spec import PRIV_M, PRIV_U, Cause
from minstret.emu.hart.spec import Interrupt as Line
from minstret.emu.images.image import Symbol, SymbolTable
from minstret.emu.irq import SourceChange
from minstret.emu.questions.happenings import (
    ALL,
    TYPES,
    Answer,
    CheckpointPassed,
    ConsoleIn,
    ConsoleOut,
    Ended,
    Frame,
    Happening,
    HartSwitched,
    HartWaits,
    HostEvent,
    InputEvent,
    Interrupt,
    LineChanged,
    MarkSet,
    PinChanged,
    Reset,
    Sent,
    SerialSetUp,
    SnapshotTaken,
    SourceServed,
    TimerFired,
    Trap,
    TrapReturned,
)
from minstret.emu.serialbits import SerialFormat

HANDLER = 0x8000_0100

CASES: list[tuple[Happening, str, dict[str, Any]]] = [
    (
        TimerFired(7, 1_014, None, "clint.mtimecmp", "virtual", False, 1_000),
        "timer clint.mtimecmp fired (virtual clock), due at 1,000 ns",
        {"name": "clint.mtimecmp", "clock": "virtual", "is_external": False, "deadline_ns": 1_000},
    ),
    (
        TimerFired(7, 14, None, "idle.pace", "virtual_rt", True, 9),
        "timer idle.pace fired (virtual_rt clock, EXTERNAL), due at 9 ns",
        {"name": "idle.pace", "clock": "virtual_rt", "is_external": True, "deadline_ns": 9},
    ),
    (
        Trap(7, 14, 0, Cause.LOAD_ACCESS, 0x10, 0x8000_0004, PRIV_U, HANDLER, PRIV_M),
        "load access fault (5) at 0x80000004, tval 0x10, in U-mode; handler 0x80000100, in M-mode",
        {
            "cause": 5, "name": "load access fault", "tval": "0x10", "privilege": "U-mode", "epc": "0x80000004",
            "symbol": None, "handler": "0x80000100", "handler_symbol": None, "handler_privilege": "M-mode",
        },
    ),
    (
        Interrupt(7, 14, 1, Line.MTI, 0, 0x8000_0004, PRIV_M, HANDLER, PRIV_M),
        "machine timer interrupt (7) at 0x80000004, in M-mode; handler 0x80000100",
        {
            "cause": 7, "name": "machine timer interrupt", "tval": "0x0", "privilege": "M-mode", "epc": "0x80000004",
            "symbol": None, "handler": "0x80000100", "handler_symbol": None, "handler_privilege": "M-mode",
        },
    ),
    (
        TrapReturned(7, 14, 0, True, 0x8000_0004, PRIV_U),
        "returned by mret to 0x80000004, in U-mode",
        {"by": "mret", "pc": "0x80000004", "symbol": None, "privilege": "U-mode"},
    ),
    (
        LineChanged(7, 14, 0, "clint.mtip", True, 1),
        "line clint.mtip raised",
        {"name": "clint.mtip", "level": True, "by": 1},
    ),
    (
        SourceServed(7, 14, 0, SourceChange.CLAIMED, 10, "uart0"),
        "uart0 (source 10) claimed",
        {"change": "claimed", "source": 10, "device": "uart0"},
    ),
    (PinChanged(7, 14, 0, "gpio0.led", 1, 1), "gpio0.led is 1", {"name": "gpio0.led", "bits": 1, "value": 1}),
    (PinChanged(7, 14, 0, "gpio0.out", 8, 65), "gpio0.out is 0x41", {"name": "gpio0.out", "bits": 8, "value": 65}),
    (HartSwitched(7, 14, 3), "hart3 runs", {}),
    (HartWaits(7, 14, 0, True, 0x8000_0008), "waits at 0x80000008",
     {"begins": True, "pc": "0x80000008", "symbol": None}),
    (HartWaits(7, 14, 0, False, 0x8000_0008), "goes on at 0x80000008",
     {"begins": False, "pc": "0x80000008", "symbol": None}),
    (ConsoleOut(7, 14, None, b"hi\n"), r"console-out 'hi\n'", {"hex": "68690a", "text": "hi\n"}),
    (ConsoleIn(7, 14, None, b"\xff"), "console-in ff", {"hex": "ff", "text": None}),
    (
        SerialSetUp(7, 14, None, SerialFormat(8_680, 8, "N", 1)),
        "serial line: a bit is 8,680 ns, 8N1",
        {"bit_ns": 8_680, "data_bits": 8, "parity": "N", "stop_bits": 1},
    ),
    (Frame(7, 14, None, b"\1\2", True), "frame of 2 bytes sent", {"direction": "sent", "size": 2, "hex": "0102"}),
    (Frame(7, 14, None, b"\1\2", False), "frame of 2 bytes received",
     {"direction": "received", "size": 2, "hex": "0102"}),
    (
        InputEvent(7, 14, None, "keyboard0", (("KEY_A", 1),)),
        "keyboard0: KEY_A 1",
        {"device": "keyboard0", "events": (("KEY_A", 1),)},
    ),
    (Sent(7, 14, None, b"\2", "keyboard0.leds"), "keyboard0.leds sent 02",
     {"name": "keyboard0.leds", "hex": "02", "text": None}),
    (HostEvent(7, 14, None, b"reset", "machine.reset"), "event machine.reset 'reset'",
     {"name": "machine.reset", "hex": "7265736574", "text": "reset"}),
    (Answer(7, 14, None, b"\0", "clock.host"), "answer to clock.host: 00",
     {"name": "clock.host", "hex": "00", "text": None}),
    (CheckpointPassed(7, 14, None, "virtual"), "checkpoint of the virtual clock", {"clock": "virtual"}),
    (SnapshotTaken(7, 14, None, 2), "snapshot 2", {"number": 2}),
    (Reset(7, 14, None), "reset", {}),
    (MarkSet(7, 14, None, "paused"), "mark: paused", {"name": "paused"}),
    (
        Ended(7, 14, 0, "finished", 3, "", 0x8000_0004),
        "the recording ends: finished, exit code 3, at 0x80000004",
        {"reason": "finished", "exit_code": 3, "note": None, "pc": "0x80000004", "symbol": None},
    ),
    (
        Ended(7, 14, 0, "until", None, '"login:"', 0x8000_0004),
        'the recording ends: until "login:", at 0x80000004',
        {"reason": "until", "exit_code": None, "note": '"login:"', "pc": "0x80000004", "symbol": None},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("happening", "text", "facts"), CASES)
def test_happening_reads_in_a_line_and_is_plain_values(happening: Happening, text: str, facts: dict[str, Any]) -> None:
    place = {"kind": happening.kind, "icount": 7, "virtual_ns": happening.virtual_ns, "hart": happening.hart}

    assert happening.text() == text
    assert happening.facts() == place | facts
    json.dumps(happening.facts())


def test_every_kind_has_a_case_and_a_name_of_its_own() -> None:
    assert {type(happening) for happening, _, _ in CASES} == ALL == set(TYPES)
    assert len({kind.kind for kind in TYPES}) == len(TYPES)


def test_places_have_names_of_functions() -> None:
    symbols = SymbolTable.of([Symbol(0x8000_0000, 16, "main"), Symbol(HANDLER, 16, "handler")])
    trap = Trap(7, 14, 0, Cause.LOAD_ACCESS, 0x10, 0x8000_0004, PRIV_U, HANDLER, PRIV_M)

    assert "at 0x80000004 <main+0x4>" in trap.text(symbols)
    assert trap.facts(symbols)["handler_symbol"] == "handler"


def test_long_bytes_are_cut_in_a_line_and_whole_in_facts() -> None:
    sent = ConsoleOut(7, 14, None, b"a" * 1_000)

    assert sent.text().endswith("aaa... 1000 bytes")
    assert sent.facts()["text"] == "a" * 1_000


def test_what_a_terminal_would_obey_is_shown_and_not_sent() -> None:
    assert "\x1b" not in ConsoleOut(7, 14, None, b"\x1b[2J").text()
