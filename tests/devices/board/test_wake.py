"""Whether the host side could end a wait: by the UART, a keyboard, or a device with a host side."""

from __future__ import annotations

import pytest
from support.harts import board_of

from minstret.devices.board.board import Board
from minstret.devices.board.map import IRQ
from minstret.devices.chips.uart16550 import Ier
from minstret.emu.hart.spec import Interrupt

SLOT = IRQ.VIRTIO0 + 7
LOOP = b"\x6f\x00\x00\x00"


def waiting(inputs: tuple[str, ...] = (), *, mie: int, sources: int, context: int = 0, ier: int = 0) -> Board:
    """A board whose guest has enabled what is given."""
    board = board_of(LOOP, inputs=inputs)
    board.hart.env.mie = mie
    board.plic.state.enable[context] = sources
    board.uart.state.ier = ier
    return board


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
    assert board.machine.host_side_can_wake()
