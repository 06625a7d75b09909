"""Guests at keyboard and tablet: what is typed and pointed at is what they see, and the same run each time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.guest_boards import KEYS_SCRIPT, KEYS_SEEN, restored, run_cut, setup_of, summary

from minstret.devices.board.board import Board, Setup
from minstret.devices.hostside.hostinput.keymap import parse_keys
from minstret.devices.hostside.hostinput.parsing import parse_script
from minstret.devices.hostside.hostinput.queue import KEY_DELAY_NS
from minstret.devices.hostside.hostinput.script import KEYS_AT_NS, keys_line
from minstret.devices.hostside.side import KEYBOARD, TABLET
from minstret.devices.virtio.input_codes import Button, Key, Led
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.units import NS_PER_MS

PASSED = Outcome(StopReason.FINISHED, 0)
LISTENING = "keys: type, end with Esc"
SLICES = (7, 1000, None)

each_width = pytest.mark.parametrize("xlen", [64, 32])


def with_script(text: str, xlen: int = 64, **config: object) -> Setup:
    return replace(setup_of("keys", xlen, **config), script=tuple(parse_script(text, "script")))


def typing(text: str) -> Setup:
    """A board at which somebody types ``text``, as ``--keys`` does."""
    return replace(setup_of("keys"), script=(keys_line(parse_keys(text, "--keys")),))


def seen(board: Board) -> list[str]:
    """What the guest prints of input, to its end."""
    lines = board.console.decode().splitlines()
    return lines[lines.index(LISTENING) + 1 :]


def presses(board: Board) -> list[int]:
    return [int(line.split()[2]) for line in seen(board) if line.startswith("keyboard: KEY") and "press" in line]


# ---- what guests see


@each_width
@pytest.mark.parametrize("is_legacy", [False, True], ids=["modern", "legacy"])
def test_script_is_seen_in_its_order(is_legacy: bool, xlen: int) -> None:
    board = with_script(KEYS_SCRIPT, xlen, virtio_legacy=is_legacy).make()

    assert board.run() == PASSED

    assert seen(board) == list(KEYS_SEEN)


def test_typed_text_is_seen_key_by_key_with_shift_where_needed() -> None:
    board = typing("Hi 2!<ret><ctrl-c><esc>").make()

    assert board.run() == PASSED

    assert presses(board) == [
        Key.KEY_LEFTSHIFT, Key.KEY_H, Key.KEY_I, Key.KEY_SPACE, Key.KEY_2, Key.KEY_LEFTSHIFT, Key.KEY_1,
        Key.KEY_ENTER, Key.KEY_LEFTCTRL, Key.KEY_C, Key.KEY_ESC,
    ]  # fmt: skip


def test_typing_begins_at_its_time_and_keeps_its_pace() -> None:
    board = typing("ab<esc>").make()
    keyboard = board.inputs[KEYBOARD]
    expected = {KEYS_AT_NS + step * KEY_DELAY_NS: step + 1 for step in range(5)}  # a down, a up, b down, b up, Esc down

    for at_ns, batches in expected.items():
        board.run_until(virtual_ns=at_ns - 1)
        assert keyboard.state.delivered == batches - 1
        board.run_until(virtual_ns=at_ns)
        assert keyboard.state.delivered == batches

    assert board.run() == PASSED


@pytest.mark.parametrize("slice_insns", [7, 1000, None])
def test_line_for_an_icount_acts_at_exactly_that_one(slice_insns: int | None) -> None:
    icount = 113_377  # the guest is at work on the first key
    script = f"AT 1ms: hold a\nAT icount {icount}: hold b\nAT 9ms: press esc"
    board = with_script(script, slice_insns_max=slice_insns).make()
    keyboard = board.inputs[KEYBOARD]

    board.run_until(virtual_ns=NS_PER_MS - 1)
    assert (board.hart.waiting, keyboard.state.delivered) == (True, 0)
    board.run_until(icount=icount - 1)
    assert keyboard.state.delivered == 1
    board.run_until(icount=icount)
    assert keyboard.state.delivered == 2

    assert board.run() == PASSED
    assert presses(board) == [Key.KEY_A, Key.KEY_B, Key.KEY_ESC]


def test_line_for_an_icount_that_is_past_acts_after_the_lines_before_it() -> None:
    board = with_script("AT 2ms: hold a\nAT icount 5: hold b\nAT 1ms: press esc").make()

    assert board.run() == PASSED

    assert presses(board) == [Key.KEY_A, Key.KEY_B, Key.KEY_ESC]
    assert 2 * NS_PER_MS < board.position.virtual_ns < 3 * NS_PER_MS


def test_key_pressed_before_the_guest_listens_is_lost() -> None:
    board = with_script("AT icount 10: hold a\nAT 1ms: press esc").make()

    assert board.run() == PASSED

    assert presses(board) == [Key.KEY_ESC]
    assert board.inputs[KEYBOARD].state.dropped_not_running == 1


def test_pointer_moves_over_the_whole_tablet() -> None:
    moves = [(0, 0), (32767, 32767), (1, 32766)]
    script = [f"AT {at}ms: move {x} {y}" for at, (x, y) in enumerate(moves, 1)]
    board = with_script("\n".join([*script, "AT 9ms: wheel up", "AT 10ms: press esc"])).make()

    assert board.run() == PASSED

    axes = [line for x, y in moves for line in (f"tablet: ABS x {x}", f"tablet: ABS y {y}")]
    assert seen(board)[:-3] == [*axes, "tablet: REL wheel 1"]


def test_each_button_has_its_code() -> None:
    clicks = "\n".join(f"AT {at}s: click {name}" for at, name in enumerate(("left", "middle", "right"), 1))
    board = with_script(clicks + "\nAT 9s: press esc").make()

    assert board.run() == PASSED

    codes = (Button.BTN_LEFT, Button.BTN_MIDDLE, Button.BTN_RIGHT)
    expected = [f"tablet: KEY {code} {action}" for code in codes for action in ("press", "release")]
    assert seen(board)[: len(expected)] == expected


def test_batches_for_which_the_guest_has_no_buffers_are_dropped_whole() -> None:
    script = [f"AT 1ms: move {at} {at}" for at in range(60)]
    board = with_script("\n".join([*script, "AT 5ms: press esc"])).make()

    assert board.run() == PASSED

    state = board.inputs[TABLET].state
    assert state.dropped_no_buffer > 0
    assert state.delivered + state.dropped_no_buffer == 60
    assert seen(board)[: 2 * state.delivered] == [
        f"tablet: ABS {axis} {at}" for at in range(state.delivered) for axis in ("x", "y")
    ]


@pytest.mark.parametrize("kind", [KEYBOARD, TABLET])
def test_guest_finds_the_one_device_there_is(kind: str) -> None:
    board = with_script("AT 1ms: move 1 2\nAT 2ms: press esc", inputs=(kind,)).make()

    board.run_until(virtual_ns=5 * NS_PER_MS)

    assert {name for name in (KEYBOARD, TABLET) if f"{name} found" in board.console.decode()} == {kind}
    assert board.host_side is not None
    assert board.host_side.input.state.dropped_absent == 1


def test_guest_without_input_devices_says_so() -> None:
    board = with_script("", inputs=()).make()

    assert board.run() == Outcome(StopReason.FINISHED, 2)
    assert b"no input device" in board.console


def test_guest_waits_forever_where_nothing_will_be_typed() -> None:
    board = with_script("AT 1ms: press a").make()

    assert board.run().reason is StopReason.WAITS_FOREVER
    assert presses(board) == [Key.KEY_A]


# ---- lights


@each_width
def test_guest_switches_the_light_at_each_press(xlen: int) -> None:
    board = with_script(KEYS_SCRIPT, xlen).make()
    masks: list[int] = []
    board.assembly.stream("keyboard0.leds").listeners.append(lambda mask: masks.append(mask[0]))

    board.run()

    caps_lock = 1 << Led.LED_CAPSL
    assert masks == [caps_lock, 0, caps_lock]
    assert board.inputs[KEYBOARD].state.leds == caps_lock


def test_reset_of_the_board_puts_the_light_out() -> None:
    board = with_script(KEYS_SCRIPT).make()
    board.run()

    board.reset()

    assert board.inputs[KEYBOARD].state.leds == 0


# ---- one run, however it is cut


@pytest.mark.parametrize("slice_insns", SLICES)
def test_typed_text_in_slices_of_any_size_is_the_same_run(slice_insns: int | None) -> None:
    whole, cut = typing("aB<esc>"), typing("aB<esc>")
    cut = replace(cut, config=replace(cut.config, slice_insns_max=slice_insns))
    boards = [setup.make() for setup in (whole, cut)]

    runs = [summary(board, board.run()) for board in boards]

    assert runs[0] == runs[1]
    assert runs[0][0] == PASSED


def expected_of(setup: Setup) -> tuple[object, ...]:
    board = setup.make()
    return summary(board, board.run())


@each_width
def test_run_saved_with_keys_held_goes_on_the_same(xlen: int) -> None:
    setup = with_script(KEYS_SCRIPT, xlen)
    held: list[list[int]] = []
    leds: list[int] = []

    def look(board: Board) -> None:
        held.append(board.machine.save_state().host["input"].held)
        leds.append(board.inputs[KEYBOARD].state.leds)

    cuts = [NS_PER_MS + 500_000, 3 * NS_PER_MS, 120 * NS_PER_MS + 500_000]
    got = run_cut(setup, cuts, look, by="virtual_ns")

    assert got == expected_of(setup)
    assert held == [[Key.KEY_A], [Key.KEY_A, Key.KEY_LEFTSHIFT], [Key.KEY_LEFTSHIFT]]
    assert leds == [1 << Led.LED_CAPSL, 0, 0]


@each_width
def test_run_saved_with_a_button_down_for_a_while_goes_on_the_same(xlen: int) -> None:
    setup = with_script(KEYS_SCRIPT, xlen)
    waiting: list[int] = []

    got = run_cut(
        setup, [50 * NS_PER_MS], lambda board: waiting.append(len(board.machine.save_state().host["input"].entries)),
        by="virtual_ns",
    )  # fmt: skip

    assert got == expected_of(setup)
    assert waiting == [1]  # its release


def test_run_saved_in_the_middle_of_typed_text_goes_on_the_same() -> None:
    setup = typing("Hello<esc>")
    cuts = [KEYS_AT_NS + step * KEY_DELAY_NS + offset for step in range(12) for offset in (-1, 0, 4_000)]
    waiting: list[int] = []

    got = run_cut(
        setup, cuts, lambda board: waiting.append(len(board.machine.save_state().host["input"].entries)),
        by="virtual_ns",
    )  # fmt: skip

    assert got == expected_of(setup)
    assert waiting == [0, *(14 - (at + 2) // 3 for at in range(1, len(cuts)))]


def test_run_saved_between_lines_of_a_script_plays_each_once() -> None:
    setup = with_script(KEYS_SCRIPT)
    icounts = [113_499, 113_500, 113_501]
    lines: list[int] = []

    got = run_cut(setup, icounts, lambda board: lines.append(board.machine.save_state().host["input.script"].next_line))

    assert got == expected_of(setup)
    assert lines == [1, 2, 2]


def test_run_saved_with_an_event_not_yet_read_goes_on_the_same() -> None:
    setup = with_script(KEYS_SCRIPT)
    board = setup.make()
    board.run_until(virtual_ns=NS_PER_MS)
    assert board.machine.lines["virtio7.irq"].level

    board = restored(board, setup)

    assert summary(board, board.run())[:3] == expected_of(setup)[:3]
