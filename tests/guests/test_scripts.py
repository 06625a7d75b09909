"""Scripts that talk to the guest's console, and expectations that end a run: exact, and the same in each run."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from support.guest_boards import run_cut, setup_of, summary
from support.recordings import Hand, assert_replays, reader_code, record, setup_of_code, typed

from minstret.devices.board.board import Setup
from minstret.devices.board.golive import go_live
from minstret.devices.hostside.expectations import fail_on, until
from minstret.devices.hostside.hostinput.parsing import parse_script
from minstret.emu.errors import ConfigError
from minstret.emu.expect import Expected
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.units import NS_PER_MS

TALK = r"""
EXPECT /full stop\n/ within 1ms
SEND "hello"
EXPECT "LO"
SLEEP 5ms
SEND "bye"
EXPECT /B.E/
SEND "."
EXPECT /[0-9]+ bytes/
"""
HELLO_AT = "echo: type, end with a full stop\nHELL"
MISSED, WAITS = StopReason.EXPECTATION_MISSED, Outcome(StopReason.WAITS_FOREVER)


def talking(script: str, setup: Setup | None = None) -> Setup:
    return replace(setup or setup_of("echo"), script=tuple(parse_script(script, "s")))


# ---- the moment is exact


def test_guest_is_talked_to_the_same_in_slices_of_every_size_and_however_it_is_counted() -> None:
    seen = set()
    for slice_insns, counting in ((None, "code"), (1, "code"), (7, "blocks"), (13, "python"), (1000, "instructions")):
        board = talking(TALK, setup_of("echo", counting=counting, slice_insns_max=slice_insns)).make()
        seen.add(summary(board, board.run()))

    ((outcome, position, _, console),) = seen
    assert outcome == Outcome(StopReason.FINISHED, 0)
    assert position.virtual_ns > 5 * NS_PER_MS
    assert b"HELLOBYE" in console


def test_run_that_is_saved_anywhere_goes_on_as_if_it_had_not_been() -> None:
    setup = replace(talking(TALK), endings=until(Expected.regex("[a-z ]+interrupts")) + fail_on(Expected.text("?")))
    board = setup.make()
    straight = summary(board, board.run())
    assert straight[0] == Outcome(StopReason.UNTIL, text="/[a-z ]+interrupts/")
    end = board.position

    for first in (400, 530, 1000):
        assert run_cut(setup, list(range(first, end.icount, 301))) == straight
    assert run_cut(setup, [NS_PER_MS, 3 * NS_PER_MS], by="virtual_ns") == straight


def test_run_ends_right_behind_the_instruction_that_sent_the_last_character() -> None:
    said = replace(setup_of("echo"), script=tuple(parse_script('SEND "hello"', "s")), endings=until(Expected.text("L")))
    board = said.make()
    assert board.run().reason is StopReason.UNTIL
    assert board.console.decode().endswith(HELLO_AT[:-1])
    end = board.position.icount

    before = replace(said, endings=()).make()
    before.run_until(icount=end - 1)

    assert before.console == board.console[:-1]


@pytest.mark.parametrize("xlen", [64, 32])
def test_conversation_is_recorded_and_replayed(tmp_path: Path, xlen: int) -> None:
    recorded = record(tmp_path, talking(TALK, setup_of("echo", xlen)), every=500)

    assert recorded.end.outcome == Outcome(StopReason.FINISHED, 0)
    assert_replays(recorded)
    assert_replays(recorded, snapshot=2, slice_insns_max=7)


@pytest.mark.parametrize(
    ("script", "endings", "reason", "text"),
    [
        ('SEND "a"', until(Expected.text("A")), StopReason.UNTIL, '"A"'),
        ('SEND "a."', fail_on(Expected.regex("[0-9]+")), StopReason.FAIL_ON, '/[0-9]+/: the guest said last "1 "'),
        ('EXPECT "x" within 2ms', (), MISSED,
         's:1: EXPECT "x" within 2ms: not said: the guest waits forever; '
         'the guest said last "echo: type, end with a full stop"'),
        ('SEND "."\nEXPECT "x"', (), MISSED,
         's:2: EXPECT "x": not said: the guest has finished with 0; the guest said last '),
        ("", until(Expected.text("x")), MISSED, '--until "x": not said: the guest waits forever; '),
        ('SEND "."', until(Expected.text("x")), MISSED, '--until "x": not said: the guest has finished with 0; '),
    ],
)  # fmt: skip
def test_end_is_recorded_and_replayed_with_its_words(
    tmp_path: Path, script: str, endings: tuple[object, ...], reason: StopReason, text: str
) -> None:
    recorded = record(tmp_path, replace(talking(script), endings=endings))

    outcome = recorded.end.outcome
    assert outcome.reason is reason
    assert outcome.text.startswith(text)
    assert_replays(recorded)


# ---- who may still say something


def test_expectation_is_missed_at_its_time_where_time_goes_on() -> None:
    board = replace(setup_of("ticks"), script=tuple(parse_script('EXPECT "x" within 3ms', "s"))).make()

    outcome = board.run()

    assert (outcome.reason, board.position.virtual_ns) == (MISSED, 3 * NS_PER_MS)
    assert outcome.text == 's:1: EXPECT "x" within 3ms: not said in time; the guest has said nothing'


def test_waiting_guest_waits_for_what_the_script_will_type() -> None:
    board = talking('SLEEP 1s\nSEND "a"\nAT 3s: SEND "."').make()

    assert board.run() == Outcome(StopReason.FINISHED, 0)
    assert board.position.virtual_ns >= 3000 * NS_PER_MS


def test_guest_that_is_told_no_more_waits_forever() -> None:
    board = talking('SLEEP 1s\nSEND "a"\nSLEEP 1s').make()

    assert board.run() == WAITS
    assert board.position.virtual_ns < 1001 * NS_PER_MS


def test_guest_that_waits_in_a_call_is_told_at_once() -> None:
    """No time passes while it reads by semihosting."""
    board = talking(
        'SEND "a"\nEXPECT "a"\nSLEEP 1s\nSEND "b"\nEXPECT "b"\nSEND "."', setup_of_code(reader_code())
    ).make()

    assert board.run() == Outcome(StopReason.FINISHED, 0)
    assert board.console == b"ab"
    assert board.position.virtual_ns < NS_PER_MS


def test_failure_of_the_guest_s_own_stays_what_it_is() -> None:
    setup = replace(setup_of("crash"), endings=until(Expected.text("never")))

    assert setup.make().run().reason is StopReason.TRAP_LOOP


def test_somebody_may_type_beside_a_script(tmp_path: Path) -> None:
    setup = talking('EXPECT "ASKED"\nSEND "answer."', setup_of("echo", sleep=True))

    recorded = record(tmp_path, setup, source=Hand(typed(b"asked"), nap_of=lambda timeout_ns: timeout_ns // 2))

    assert recorded.end.outcome == Outcome(StopReason.FINISHED, 0)
    assert b"ASKEDANSWER" in recorded.console
    assert_replays(recorded)


def test_recorded_script_goes_on_live_in_the_middle_of_what_it_expects(tmp_path: Path) -> None:
    setup = talking(TALK)
    board = setup.make()
    straight = summary(board, board.run())
    recorded = record(tmp_path, setup, icount=1000)

    with go_live(recorded.path, script=setup.script) as session:
        outcome = session.run()

    assert summary(session.board, outcome) == straight


def test_console_in_a_script_goes_with_no_other_timer_model() -> None:
    setup = talking('SEND "a"', setup_of("echo", timer_model="no-attributes"))

    with pytest.raises(ConfigError, match="can't use the console with the timer model no-attributes"):
        setup.make()


# ---- scripts of all kinds


class Case(NamedTuple):
    """A script, and what must come of it: what is typed, and the number of the line whose expectation is missed."""

    script: str
    typed: str
    missed: int | None


def draw_case(pick: random.Random) -> Case:
    """A script for ``echo``, which says in capitals what is typed."""
    lines, sent, heard = list[str](), "", 0
    for number in range(1, pick.randrange(2, 9)):
        kind = pick.choice(("send", "expect", "sleep"))
        if kind == "send":
            text = "".join(pick.choices("abc", k=pick.randrange(1, 5)))
            sent += text
            lines.append(f'SEND "{text}"')
        elif kind == "sleep":
            lines.append(f"SLEEP {pick.choice((0, 1, 37, 8192, 40_000))}us".replace(" 0us", " 0"))
        else:
            text = "".join(pick.choices("ABC", k=pick.choice((1, 1, 2))))
            lines.append(pick.choice((f'EXPECT "{text}" within 1s', f"EXPECT /{text}/")))
            at = sent.upper().find(text, heard)
            if at < 0:
                return Case("\n".join(lines), sent, number)
            heard = at + len(text)
    return Case("\n".join(lines), sent, None)


def test_drawn_scripts_do_what_their_lines_say(tmp_path: Path, announce: Callable[[str], None]) -> None:
    pick, met = random.Random("scripts"), {"missed": 0, "done": 0}
    for _ in range(25):
        case = draw_case(pick)
        chaos = pick.choice((None, None, pick.randrange(100)))
        slices = pick.choice((None, 1, 50, 997))
        setup = talking(case.script, setup_of("echo", slice_insns_max=slices, chaos_seed=chaos))
        recorded = record(tmp_path, setup, every=pick.choice((0, 700)))
        outcome = recorded.end.outcome

        assert recorded.console.decode().endswith(f"full stop\n{case.typed.upper()}"), case
        if case.missed is None:
            assert outcome == WAITS, case
        else:
            assert outcome.reason is MISSED, case
            assert outcome.text.startswith(f"s:{case.missed}: EXPECT "), case
        assert_replays(recorded)
        met["done" if case.missed is None else "missed"] += 1
    announce(f"scripts: {met}")
    assert min(met.values()) > 5
