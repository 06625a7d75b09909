"""What a test says to a board, and asks of it: live, recording and in a replay."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.commands import PATIENCE_S
from support.guest_boards import setup_of

from minstret.devices.board.bench import Bench
from minstret.devices.board.board import Board, Setup
from minstret.devices.board.traced import Recording, Replay
from minstret.devices.hostside.side import NetConfig
from minstret.emu.errors import ConfigError, ExpectationError
from minstret.emu.machine import StopReason
from minstret.emu.session import LiveSession, RunLimits

Scenario = Callable[[Bench], list[object]]


def board_of(bench: Bench) -> Board:
    return bench._board


def address_of(board: Board, name: str) -> int:
    symbol = board.symbols.find(name)
    assert symbol is not None
    return symbol.address


def on_all_three(setup: Setup, path: Path, scenario: Scenario) -> list[object]:
    """Go through it with a board, a recording and its replay: what each has seen is the same, and so is the digest."""
    board = setup.make()
    seen = [scenario(board), board.digest()]
    with Recording(path, setup) as recording:
        assert [scenario(recording), recording.board.digest()] == seen
    replay = Replay(path)
    assert [scenario(replay), replay.board.digest()] == seen
    replay.run()
    assert replay.is_at_end
    return scenario_result(seen)


def scenario_result(seen: list[object]) -> list[object]:
    (result, _) = seen
    assert isinstance(result, list)
    return result


def test_what_is_sent_and_expected_is_the_same_live_recording_and_in_a_replay(tmp_path: Path) -> None:
    def scenario(dut: Bench) -> list[object]:
        seen: list[object] = [dut.expect_exact("full stop\n")[0]]
        dut.send("hello, world\r")
        seen.append(dut.expect(r"(\w+), (\w+)").groups())
        seen.append(board_of(dut).position)
        dut.send(".")
        seen.append(dut.expect(r"(\d+) bytes", within="1s")[1])
        return seen

    assert on_all_three(setup_of("echo"), tmp_path / "run.mst", scenario)[1] == ("HELLO", "WORLD")


def test_run_for_passes_time_where_the_guest_waits_for_ever(tmp_path: Path) -> None:
    def scenario(dut: Bench) -> list[object]:
        dut.expect("full stop")
        idle = dut.run_for("5ms")
        begin_ns = board_of(dut).position.virtual_ns
        assert (idle.reason, idle.met) == (StopReason.REACHED, "virtual_ns")
        assert dut.run_for("7ms").met == "virtual_ns"
        assert board_of(dut).position.virtual_ns == begin_ns + 7_000_000
        dut.send("x")
        return [dut.expect("X")[0], board_of(dut).position]

    on_all_three(setup_of("echo"), tmp_path / "run.mst", scenario)


def test_outcome_says_which_condition_holds(tmp_path: Path) -> None:
    def scenario(dut: Bench) -> list[object]:
        at_main = dut.run_until(pc="main", uart="no", icount=10**6)
        assert board_of(dut).registers["pc"] == address_of(board_of(dut), "main")
        said = dut.run_until(uart="echo:", icount=10**6)
        dut.send("ab")
        written = dut.run_until(write="bytes_echoed")
        assert written.hits[0].new == b"\x01\0\0\0"
        read = dut.run_until(read="bytes_echoed")
        timed = dut.run_until(virtual_ns=10**6, pc="main")
        return [outcome.met for outcome in (at_main, said, written, read, timed)]

    seen = on_all_three(setup_of("echo"), tmp_path / "run.mst", scenario)
    assert seen == ["pc", "uart", "write", "read", None]
    assert list(setup_of("echo").make().breakpoints) == []


def test_limits_of_a_run_are_absolute_or_count_from_the_call() -> None:
    board = setup_of("bench").make()
    assert board.run_until(icount="1K", within="1s").met == "icount"
    assert board.position.icount == 1000
    begin_ns = board.position.virtual_ns
    assert board.run_until(within="10us", virtual_ns="1s").met == "within"
    assert board.position.virtual_ns - begin_ns in (10_000, 10_001)
    assert board.run_until(write=board.registers["sp"] - 8, within="1s").met in ("write", "within")


def test_recording_that_nobody_closes_goes_up_to_its_last_run(tmp_path: Path) -> None:
    code = """
from minstret import BoardConfig, Recording, Setup, read_image
from minstret.firmware import image_path
recording = Recording("run.mst", Setup(BoardConfig(), read_image(image_path("echo"))))
recording.expect("full stop")
print(recording.position.icount)
"""
    icount = subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path, timeout=PATIENCE_S)
    replay = Replay(tmp_path / "run.mst")
    assert replay.run().reason is StopReason.REACHED
    assert replay.position.icount == int(icount)


def test_breakpoint_and_watch_of_the_users_own_stop_a_wait_too() -> None:
    board = setup_of("echo").make()
    board.breakpoints.add(address_of(board, "_start"))
    outcome = board.run_until(pc="main", uart="echo")
    assert (outcome.reason, outcome.met) == (StopReason.BREAKPOINT, None)
    assert list(board.breakpoints) == [address_of(board, "_start")]


def test_variable_that_was_written_is_so_in_the_replay_too(tmp_path: Path) -> None:
    def scenario(dut: Bench) -> list[object]:
        dut.expect("full stop\n")
        dut.write("bytes_echoed", 41)
        seen: list[object] = [dut.read("bytes_echoed")]
        dut.send("x.")
        seen.append(dut.expect(r"(\d+) bytes")[1])
        return seen

    seen = on_all_three(setup_of("echo"), tmp_path / "run.mst", scenario)
    assert seen[0] == 41 and int(str(seen[1])) > 41


def test_variables_are_read_and_written_by_their_paths_and_types(tmp_path: Path) -> None:
    def scenario(dut: Bench) -> list[object]:
        dut.expect("> ")
        before = dut.read("cfg")
        dut.write("cfg", {"target": 250})
        dut.write("line", "typed")
        seen: list[object] = [dut.read(path) for path in ("cfg", "cfg.target", "line", "console.c:line[1]")]
        outcome = dut.run_until(write="room.log[1].is_heating", virtual_ns=3_000_000_000)
        return [before, *seen, outcome.met, dut.read("room.log[1].is_heating"), dut.read("defaults", size=4)]

    assert on_all_three(setup_of("thermostat"), tmp_path / "run.mst", scenario) == [
        {"mode": 1, "target": 210, "band": 5}, {"mode": 1, "target": 250, "band": 5}, 250,
        b"typed".ljust(32, b"\0"), ord("y"), "write", False, b"\1\0\0\0",
    ]  # fmt: skip


def test_what_is_read_before_a_write_is_what_was_there_in_the_replay_too(tmp_path: Path) -> None:
    def scenario(dut: Bench) -> list[object]:
        dut.expect("> ")
        seen: list[object] = [dut.read("cfg.target")]
        for target in (220, 220, 230):
            dut.write("cfg.target", target)
            seen.append(dut.read("cfg.target"))
        dut.run_for("20ms")
        seen.append(dut.read("cfg.mode"))
        dut.write("cfg.mode", 2)
        dut.run_until(icount=dut.position.icount + 20_000)
        seen.append(dut.read("cfg.mode"))
        dut.write("cfg", {"mode": 0})
        dut.write("cfg.band", 7)
        return [*seen, dut.read("cfg")]

    assert on_all_three(setup_of("thermostat"), tmp_path / "run.mst", scenario) == [
        210, 220, 220, 230, 1, 2, {"mode": 0, "target": 230, "band": 7},
    ]  # fmt: skip


def test_missed_expectation_says_where_the_guest_is_and_what_it_said() -> None:
    board = setup_of("echo").make()
    board.expect("type")
    with pytest.raises(ExpectationError) as caught:
        board.expect("nothing like it", within="3ms")
    error = caught.value
    assert re.fullmatch(
        r"expected /nothing like it/ within 3ms: the guest waits forever at pc 0x\w+ <main\+0x\w+> \(\S+\),"
        r" [\d,]+ instructions, 0\.\d+ s virtual; it said \", end with a full stop\\n\"",
        str(error),
    )
    assert error.tail.startswith("echo: type") and error.symbol.startswith("main+")
    assert error.outcome.reason is StopReason.WAITS_FOREVER and error.position == board.position


def test_missed_expectation_ends_at_its_time() -> None:
    board = setup_of("bench").make()
    board.run_until(icount=1001)
    begin_ns = board.position.virtual_ns
    with pytest.raises(ExpectationError, match="the guest is at pc"):
        board.expect("nothing like it", within="100us")
    assert board.position.virtual_ns - begin_ns in (100_000, 100_001)


def test_expectation_goes_on_behind_the_last_match() -> None:
    board = setup_of("hello").make()
    board.run()
    first, second = board.expect(r"\w+")[0], board.expect(r"\w+")[0]
    assert board.console.startswith(f"{first} {second}".encode()) or first != second
    with pytest.raises(ExpectationError, match="the guest finished with 0"):
        board.expect("hello again")


def test_expectation_of_a_run_that_went_back_goes_on_from_there() -> None:
    session = LiveSession(lambda door: setup_of("echo").make(door=door))
    board = session.board
    board.expect("echo: ")
    saved = session.save()
    for _ in range(2):
        assert board.expect("type, end.*\n")[0] == "type, end with a full stop\n"
        board.send("x")
        assert board.expect(r"\w+")[0] == "X"
        session.restore(saved)


def test_match_that_may_grow_waits_for_what_does_not_belong_to_it() -> None:
    board = setup_of("echo").make()
    board.expect("full stop\n")
    board.send("1234")
    assert board.expect(r"\d+")[0] == "1234"
    board.send("56x")
    assert board.expect(r"\d+")[0] == "56"
    assert board.expect("X")[0] == "X"


def test_run_that_came_back_as_the_guest_waits_does_so_in_the_replay_too(tmp_path: Path) -> None:
    def scenario(dut: Bench) -> list[object]:
        seen: list[object] = []
        for text in ("12", "3", "x4"):
            outcome = dut.run_until(uart="nothing like it")
            seen += [outcome.reason, dut.read("bytes_echoed"), board_of(dut).position]
            dut.write("bytes_echoed", 40)
            with pytest.raises(ExpectationError, match="waits forever"):
                dut.expect("nothing like it", within=None)
            dut.send(text)
            seen += [dut.expect(r"\d+")[0], board_of(dut).position]
        with pytest.raises(ExpectationError, match="waits forever"):
            dut.expect("nothing like it")
        return seen

    seen = on_all_three(setup_of("echo"), tmp_path / "run.mst", scenario)
    assert seen[0] is StopReason.WAITS_FOREVER
    assert [seen[at] for at in (3, 8, 13)] == ["12", "3", "4"]
    assert Replay(tmp_path / "run.mst").run().reason is StopReason.WAITS_FOREVER


def test_replay_says_where_its_test_sends_something_else(tmp_path: Path) -> None:
    with Recording(tmp_path / "run.mst", setup_of("echo")) as recording:
        recording.send("abc")
        recording.expect("ABC")
    replay = Replay(tmp_path / "run.mst")
    replay.send("axc")
    with pytest.raises(ExpectationError, match=r'; it was sent "axc" here, and "abc" in the recording$'):
        replay.expect("AXC")


def test_limit_is_a_failed_expectation_at_the_same_place_each_time() -> None:
    places = []
    for _ in range(2):
        board = setup_of("bench").make()
        board.limits, board.limits_shown = RunLimits(icount=12_345), "max_insns=12345"
        with pytest.raises(ExpectationError, match="the run has come to max_insns=12345"):
            board.expect("nothing like it")
        places.append(board.position)
    assert places[0] == places[1] and places[0].icount == 12_345


def test_keys_are_typed_and_pressed(tmp_path: Path) -> None:
    def scenario(dut: Bench) -> list[object]:
        dut.run_for("1ms")
        dut.type("a")
        seen = dut.expect(r"KEY \d+ press")[0]
        dut.press("esc", hold="20ms")
        return [seen, dut.expect("KEY 1 release|events", within="2s")[0]]

    seen = on_all_three(setup_of("keys"), tmp_path / "run.mst", scenario)
    assert seen[0] == "KEY 30 press"


def test_guest_that_takes_no_input_waits_for_ever_though_some_was_sent() -> None:
    board = replace(setup_of("keys"), script=()).make()
    board.send("nobody reads this")
    board.run_for("5ms")
    assert board.run_until(icount=10**9).reason is StopReason.WAITS_FOREVER


def test_stop_at_a_breakpoint_is_before_what_a_test_does_there(tmp_path: Path) -> None:
    def scenario(dut: Bench) -> list[object]:
        board = board_of(dut)
        board.breakpoints.add(address_of(board, "room_tick"))
        seen: list[object] = []
        for value in (3, 4):
            seen += [dut.run_until(virtual_ns="1s").reason, dut.read("cfg.target")]
            dut.write("cfg.target", value)
            dut.send("x")
            seen += [board.digest(), board.position, dut.read("cfg.target"), dut.step().met, board.digest()]
        board.breakpoints.remove(address_of(board, "room_tick"))
        dut.run_until(pc="room_tick")
        dut.write("cfg.target", 5)
        return seen

    seen = on_all_three(setup_of("thermostat"), tmp_path / "run.mst", scenario)
    assert seen[0] is StopReason.BREAKPOINT and seen[1] == 210 and seen[8] == 3


def test_run_that_a_test_drives_is_not_the_same_each_time() -> None:
    for act in (lambda board: board.type("a"), lambda board: board.net.send(bytes(60)), lambda board: board.send("x")):
        session = LiveSession(lambda door: setup_of("keys", net=NetConfig()).make(door=door))
        assert session.is_repeatable
        act(session.board)
        assert not session.is_repeatable


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda board: board.send("\ud800"), "is no text that can be sent; give bytes"),
        (lambda board: board.send(5), "send: expected a text or bytes, got 5"),
        (lambda board: board.expect(b"x"), "expect: expected a regular expression, got b'x'"),
        (lambda board: board.expect_exact(7), "expect_exact: expected a text, got 7"),
        (lambda board: board.run_until(uart=""), "uart: expected a text, got ''"),
        (lambda board: board.run_until(pc="bytes_echoed"), "pc: bytes_echoed is a variable, not a function"),
        (lambda board: board.run_until(write="main"), "write: main is a function"),
        (lambda board: board.run_until(pc=["main"]), "pc: expected a name or an address, got ['main']"),
        (lambda board: board.run_until(icount="many"), "icount: expected a count"),
        (lambda board: board.read(0x8000_0000), "read: how many bytes at 0x80000000? Give size="),
        (lambda board: board.step(0), "step: expected a number of instructions above 0, got 0"),
        (lambda board: board.press(5), "press: expected keys such as ctrl-c, got 5"),
        (lambda board: board.type("a"), "there is no keyboard"),
        (lambda board: board.expect("x", within="soon"), "within: expected a time such as 50us or 1.5s, got 'soon'"),
        (lambda board: board.run_for(-1), "run_for: expected a time"),
        (lambda board: board.run_until(pc="no_such"), "no_such"),
        (lambda board: board.run_until(pc=1), "pc: no instruction can be at 0x1"),
        (lambda board: board.read("no_such"), "no_such: no such variable"),
        (lambda board: board.run_until(write="__stack_top"), "write: nothing says how large __stack_top is"),
        (lambda board: board.write("bytes_echoed", 1 << 40), "bytes_echoed: an integer of 32 bits holds 0 to"),
        (lambda board: board.write_memory(0x1000, b"x"), "1 bytes at 0x1000 can't be written: not all of that is RAM"),
        (lambda board: board.net.send(bytes(60)), "there is no network card"),
    ],
)
def test_error_says_what_is_wrong_and_what_to_do(act: Callable[[Board], object], error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        act(setup_of("echo").make())
    assert error in str(caught.value)


def test_memory_is_not_changed_between_a_trap_and_its_handler() -> None:
    board = setup_of("traps").make()
    board.run_until(pc="m_vectors")
    assert board.machine.handler_entry is not None
    with pytest.raises(ConfigError, match=r"use step\(\) first"):
        board.write_memory(address_of(board, "main"), bytes(4))
    assert board.step().met == "icount"
    board.write_memory(address_of(board, "main"), bytes(4))


def test_peer_in_python_answers_the_guest(tmp_path: Path) -> None:
    def scenario(dut: Bench) -> list[object]:
        frames: list[object] = []
        board_of(dut).net.on_frame(lambda frame: frames.append(frame[12:14]))
        dut.run_for("20ms")
        board_of(dut).net.send(b"\xff" * 6 + bytes(6) + b"\x88\xb5" + bytes(46))
        dut.run_for("5ms")
        card = board_of(dut).card
        assert card is not None
        return [*frames, card.state.received]

    seen = on_all_three(setup_of("dhcp", net=NetConfig(user=None)), tmp_path / "run.mst", scenario)
    assert seen[0] == b"\x08\x00" and seen[-1] == 1
