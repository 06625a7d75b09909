"""Whether the host side could end a wait: by the UART, a keyboard, or a device with a host side."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.guest_boards import setup_of
from support.harts import board_of

from minstret.devices.board.board import Board
from minstret.devices.board.map import IRQ
from minstret.devices.chips.uart16550 import Ier
from minstret.devices.hostside.hostinput.parsing import parse_script
from minstret.emu.hart.spec import Interrupt
from minstret.emu.timers import Timer, TimerAttribute

SLOT = IRQ.VIRTIO0 + 7
LOOP = b"\x6f\x00\x00\x00"


def waiting(inputs: tuple[str, ...] = (), *, mie: int, sources: int, context: int = 0, ier: int = 0) -> Board:
    """A board whose guest has enabled what is given."""
    board = board_of(LOOP, inputs=inputs)
    board.hart.env.mie = mie
    enable(board, context, sources, ier)
    return board


def enable(board: Board, context: int, sources: int, ier: int) -> None:
    """Enable sources of the PLIC, and interrupts of the UART."""
    plic, uart = board.plic.state, board.uart.state
    plic.enable[context], uart.ier = sources, ier
    board.plic.state, board.uart.state = plic, uart


@pytest.mark.parametrize("context", [0, 1])
@pytest.mark.parametrize("interrupt", [Interrupt.MEI, Interrupt.SEI])
def test_typing_wakes_where_uart_plic_and_hart_are_enabled(interrupt: Interrupt, context: int) -> None:
    board = waiting(mie=1 << interrupt, sources=1 << IRQ.UART0, context=context, ier=Ier.RX_DATA)

    assert board.machine.input_can_wake()
    assert not board.machine.host_side_can_wake()


@pytest.mark.parametrize(
    ("mie", "sources", "ier"),
    [(0, 1 << IRQ.UART0, 1), (1 << Interrupt.MTI, 1 << IRQ.UART0, 1), (1 << Interrupt.MEI, 1 << IRQ.RTC, 1),
     (1 << Interrupt.MEI, 1 << IRQ.UART0, 0)],
    ids=["hart", "another interrupt", "plic", "uart"],
)  # fmt: skip
def test_typing_does_not_wake_where_one_of_them_is_not(mie: int, sources: int, ier: int) -> None:
    assert not waiting(mie=mie, sources=sources, ier=ier).machine.input_can_wake()


@pytest.mark.parametrize(("inputs", "wakes"), [(("keyboard",), True), (("tablet",), False), ((), False)])
def test_typing_wakes_by_a_slot_only_where_there_is_a_keyboard(inputs: tuple[str, ...], wakes: bool) -> None:
    board = waiting(inputs, mie=1 << Interrupt.MEI, sources=1 << SLOT)

    assert board.machine.input_can_wake() is wakes
    assert not board.machine.host_side_can_wake()  # nothing is on its way
    Timer("something", board.machine.virtual_timers, lambda late_ns: None, TimerAttribute.EXTERNAL).arm(100)
    assert board.machine.host_side_can_wake()


@pytest.mark.parametrize(
    ("script", "wakes"),
    [
        ('SLEEP 1s\nSEND "a"', True), ('EXPECT "Q"\nSLEEP 1s\nSEND "a"', False), ("SLEEP 1s", False),
        ('AT 1s: SEND "a"', True),
    ],
)  # fmt: skip
def test_script_wakes_by_the_uart_where_it_will_type_by_itself(script: str, wakes: bool) -> None:
    board = replace(setup_of("echo"), script=tuple(parse_script(script, "s"))).make()
    board.run_until(icount=500)
    board.hart.env.mie = 1 << Interrupt.MEI
    enable(board, 0, 1 << IRQ.UART0, Ier.RX_DATA)

    assert board.machine.host_side_can_wake() is wakes


def test_end_of_a_wait_for_the_guest_wakes_nobody() -> None:
    board = replace(setup_of("echo"), script=tuple(parse_script('EXPECT "Q"', "s"))).make()
    board.run_until(icount=500)
    board.hart.env.mie = 1 << Interrupt.MEI
    board.plic.state.enable[0] = 1 << SLOT

    assert [timer.name for timer in board.machine.virtual_timers.armed()] == ["input.script.limit"]
    assert not board.machine.host_side_can_wake()
