"""ns16550a: a UART whose transmitter is always ready and whose receiver has a 16-byte FIFO. Polled.

Transmission takes no time: the guest sees THR empty again at once, so no timer is needed and output does not
depend on a baud rate.
Source: National Semiconductor PC16550D data sheet; QEMU hw/char/serial.c.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, IntFlag

FIFO_SIZE = 16


class Reg(IntEnum):
    """Register offsets. 0 is RBR to read, THR to write; 0 and 1 are the divisor latch while LCR.DLAB is set."""

    RBR_THR = 0
    IER = 1
    IIR_FCR = 2
    LCR = 3
    MCR = 4
    LSR = 5
    MSR = 6
    SCR = 7


class Lsr(IntFlag):
    """Line status."""

    DATA_READY = 0x01
    THR_EMPTY = 0x20
    TRANSMITTER_EMPTY = 0x40


_LCR_DLAB = 0x80
_FCR_ENABLE, _FCR_CLEAR_RX = 0x01, 0x02
_IIR_NONE_PENDING, _IIR_FIFO_ENABLED = 0x01, 0xC0
_MSR_DCD_DSR_CTS = 0xB0


@dataclass(slots=True)
class UartState:
    """Registers, and the bytes received but not yet read."""

    ier: int = 0
    fcr: int = 0
    lcr: int = 0
    mcr: int = 0
    scr: int = 0
    divisor: int = 12
    rx_fifo: bytes = b""


class Uart16550:
    """Hands every byte the guest sends to ``on_tx``; ``receive`` brings bytes in."""

    size_bytes = 0x100

    def __init__(self, name: str, on_tx: Callable[[int], None]) -> None:
        self.name = name
        self.state = UartState()
        self._on_tx = on_tx

    def receive(self, data: bytes) -> int:
        """Take the bytes there is room for; how many that were."""
        taken = data[: FIFO_SIZE - len(self.state.rx_fifo)]
        self.state.rx_fifo += taken
        return len(taken)

    def read(self, offset: int, size: int) -> int:
        state = self.state
        dlab = bool(state.lcr & _LCR_DLAB)
        if offset == Reg.RBR_THR:
            return state.divisor & 0xFF if dlab else self._pop_rx()
        if offset == Reg.IER:
            return state.divisor >> 8 if dlab else state.ier
        if offset == Reg.IIR_FCR:
            return _IIR_NONE_PENDING | (_IIR_FIFO_ENABLED if state.fcr & _FCR_ENABLE else 0)
        if offset == Reg.LSR:
            return Lsr.THR_EMPTY | Lsr.TRANSMITTER_EMPTY | (Lsr.DATA_READY if state.rx_fifo else 0)
        return {Reg.LCR: state.lcr, Reg.MCR: state.mcr, Reg.MSR: _MSR_DCD_DSR_CTS, Reg.SCR: state.scr}.get(
            Reg(offset) if offset <= Reg.SCR else Reg.RBR_THR, 0
        )

    def write(self, offset: int, size: int, value: int) -> None:
        state, value = self.state, value & 0xFF
        dlab = bool(state.lcr & _LCR_DLAB)
        if offset == Reg.RBR_THR and dlab:
            state.divisor = state.divisor & 0xFF00 | value
        elif offset == Reg.RBR_THR:
            self._on_tx(value)
        elif offset == Reg.IER and dlab:
            state.divisor = state.divisor & 0x00FF | value << 8
        elif offset == Reg.IER:
            state.ier = value & 0x0F
        elif offset == Reg.IIR_FCR:
            if value & _FCR_CLEAR_RX or (value ^ state.fcr) & _FCR_ENABLE:
                state.rx_fifo = b""
            state.fcr = value & _FCR_ENABLE
        elif offset == Reg.LCR:
            state.lcr = value
        elif offset == Reg.MCR:
            state.mcr = value & 0x1F
        elif offset == Reg.SCR:
            state.scr = value

    def reset(self) -> None:
        self.state = UartState()

    def _pop_rx(self) -> int:
        if not self.state.rx_fifo:
            return 0
        first, self.state.rx_fifo = self.state.rx_fifo[0], self.state.rx_fifo[1:]
        return first
