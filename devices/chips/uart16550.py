"""ns16550a: the UART, with FIFOs, interrupts, loopback and modem registers.

Transmission takes no time: a byte written is out, and THR empty again, within the store. So no output depends
on a baud rate, firmware that polls LSR never spins, and no timer is needed; QEMU's does the same. What was
received waits on the host side until the FIFO has room, so a fast typist or a pipe never overruns it: see
devices/hostside/serial_line.py. Only the character timeout follows the baud rate.
Source: National Semiconductor PC16550D data sheet; QEMU hw/char/serial.c.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from minstret.emu.fdt import Value
from minstret.emu.part import Device, Wiring
from minstret.emu.serialbits import SerialFormat
from minstret.emu.units import NS_PER_S

FIFO_SIZE = 16
CLOCK_HZ = 3_686_400


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


class Ier(IntEnum):
    """Interrupt enables, bits."""

    RX_DATA = 0x01
    THR_EMPTY = 0x02
    LINE_STATUS = 0x04
    MODEM_STATUS = 0x08


class Iir(IntEnum):
    """Interrupt identification, in order of priority. Bit 0 is set where no interrupt is pending."""

    LINE_STATUS = 0x06
    RX_DATA = 0x04
    RX_TIMEOUT = 0x0C
    THR_EMPTY = 0x02
    MODEM_STATUS = 0x00
    NONE = 0x01


class Lsr(IntEnum):
    """Line status, bits."""

    DATA_READY = 0x01
    OVERRUN = 0x02
    THR_EMPTY = 0x20
    TRANSMITTER_EMPTY = 0x40


class Mcr(IntEnum):
    """Modem control, bits."""

    DTR = 0x01
    RTS = 0x02
    OUT1 = 0x04
    OUT2 = 0x08
    LOOPBACK = 0x10


class Msr(IntEnum):
    """Modem status, bits; the low half notes changes since it was last read."""

    DELTA_CTS = 0x01
    DELTA_DSR = 0x02
    TRAILING_RI = 0x04
    DELTA_DCD = 0x08
    CTS = 0x10
    DSR = 0x20
    RI = 0x40
    DCD = 0x80


_LSR_EMPTY = Lsr.THR_EMPTY | Lsr.TRANSMITTER_EMPTY
_LCR_DLAB = 0x80
_FCR_ENABLE, _FCR_CLEAR_RX = 0x01, 0x02
_IIR_FIFO_ENABLED = 0xC0
_TRIGGER_LEVELS = (1, 4, 8, 14)
_MSR_CONNECTED = Msr.DCD | Msr.DSR | Msr.CTS
_LOOPED = ((Mcr.RTS, Msr.CTS), (Mcr.DTR, Msr.DSR), (Mcr.OUT1, Msr.RI), (Mcr.OUT2, Msr.DCD))
_TIMEOUT_CHARACTERS = 4
_PARITIES = "NONEN1N0"
"""By three bits of LCR: parity or none, even, sticky."""


class Sender(Protocol):
    """What is at the other end of the receiver's line: it is told what the guest does with its UART."""

    def on_use(self) -> None:
        """The guest has looked at its receiver."""
        ...

    def on_set_up(self) -> None:
        """The guest has written a register that sets up the receiver."""
        ...

    def on_received(self, data: bytes) -> None:
        """``data`` from the host side went into the FIFO."""
        ...

    def on_looped(self) -> None:
        """A byte that the guest has sent to itself (loopback) went into the FIFO."""
        ...

    def on_read(self) -> None:
        """The guest has read the first byte of the FIFO."""
        ...

    def on_answer(self) -> None:
        """The guest has sent a byte."""
        ...

    def on_cleared(self) -> None:
        """The guest has discarded all bytes of the FIFO."""
        ...

    def on_handed_over(self) -> None:
        """All bytes of the FIFO went to semihosting or HTIF, which read the console from now on."""
        ...

    def on_reset(self) -> None:
        """The UART is as after power-on; the bytes of the FIFO are discarded."""
        ...


class NoSender:
    """Does nothing: in a replay the trace says what comes."""

    def on_use(self) -> None: ...
    def on_set_up(self) -> None: ...
    def on_received(self, data: bytes) -> None: ...
    def on_looped(self) -> None: ...
    def on_read(self) -> None: ...
    def on_answer(self) -> None: ...
    def on_cleared(self) -> None: ...
    def on_handed_over(self) -> None: ...
    def on_reset(self) -> None: ...


@dataclass(slots=True)
class UartState:
    """Registers, and the bytes received but not yet read."""

    ier: int = 0
    fcr: int = 0
    lcr: int = 0
    mcr: int = Mcr.OUT2
    scr: int = 0
    divisor: int = 12
    rx_fifo: bytes = b""
    overrun: bool = False
    msr_deltas: int = 0
    thr_empty_pending: bool = False
    rx_timeout_pending: bool = False


class Uart16550(Device):
    """Sends every byte the guest writes to ``tx``, takes bytes from ``rx``, and interrupts.

    Attributes:
        sender: What stands on the host side; a replay has none.
    """

    name = "uart0"
    node_name = "serial"
    size_bytes = 0x100
    compatible = "ns16550a"

    def __init__(self, base: int = 0, irq: int = 0) -> None:
        super().__init__(base, irq)
        self.state: UartState = UartState()
        self.sender: Sender = NoSender()

    def attach(self, wiring: Wiring) -> None:
        self._clock = wiring.clock
        self._line = wiring.irq()
        self._send = wiring.output("tx", is_message=False)
        wiring.input("rx", self.receive)
        self._on_room = wiring.room_for_input
        self._tell_line_status = wiring.cached_register(Reg.LSR, 1)
        """Called with LSR while reading it has no side effect, with None before it changes."""
        self._timer = wiring.timer("rx_timeout", self._on_rx_timeout)

    def properties(self) -> dict[str, Value]:
        return {"clock-frequency": CLOCK_HZ}

    # ---- the host side

    def receive(self, data: bytes) -> int:
        """Take the bytes there is room for; how many that were."""
        taken = data[: self.room()]
        if taken:
            self.sender.on_received(taken)
            self._put_rx(taken)
        return len(taken)

    def room(self) -> int:
        """How many bytes ``receive`` takes now; in loopback what comes from the host side waits."""
        return 0 if self.state.mcr & Mcr.LOOPBACK else self._capacity() - len(self.state.rx_fifo)

    def take_received(self) -> bytes:
        """Hand over what was received but not read: somebody else reads the console from now on."""
        self._tell_line_status(None)
        data, self.state.rx_fifo = self.state.rx_fifo, b""
        self.sender.on_handed_over()
        self.state.rx_timeout_pending = False
        self._timer.cancel()
        self._update()
        return data

    # ---- the guest

    def read(self, offset: int, size: int) -> int:
        state = self.state
        if offset == Reg.LSR:
            return self._read_lsr()
        dlab = bool(state.lcr & _LCR_DLAB)
        if offset == Reg.RBR_THR:
            return state.divisor & 0xFF if dlab else self._pop_rx()
        if offset == Reg.IER:
            return state.divisor >> 8 if dlab else state.ier
        if offset == Reg.IIR_FCR:
            return self._read_iir()
        if offset == Reg.MSR:
            return self._read_msr()
        registers: dict[int, int] = {Reg.LCR: state.lcr, Reg.MCR: state.mcr, Reg.SCR: state.scr}
        return registers.get(offset, 0)

    def write(self, offset: int, size: int, value: int) -> None:
        state, value = self.state, value & 0xFF
        dlab = bool(state.lcr & _LCR_DLAB)
        if offset == Reg.RBR_THR:
            if dlab:
                state.divisor = state.divisor & 0xFF00 | value
                self.sender.on_set_up()
            else:
                self._transmit(value)
        elif offset == Reg.IER:
            if dlab:
                state.divisor = state.divisor & 0x00FF | value << 8
                self.sender.on_set_up()
            else:
                self._write_ier(value & 0x0F)
                self.sender.on_use()
        elif offset == Reg.IIR_FCR:
            self._write_fcr(value)
        elif offset == Reg.LCR:
            state.lcr = value
            self.sender.on_set_up()
        elif offset == Reg.MCR:
            self._write_mcr(value & 0x1F)
        elif offset == Reg.SCR:
            state.scr = value
        self._update()

    def reset(self) -> None:
        self._tell_line_status(None)
        self.state = UartState()
        self.sender.on_reset()
        self._timer.cancel()
        self._update()

    # ---- receiver

    def _capacity(self) -> int:
        return FIFO_SIZE if self.state.fcr & _FCR_ENABLE else 1

    def _put_rx(self, data: bytes) -> None:
        self._tell_line_status(None)
        self.state.rx_fifo += data
        self.state.rx_timeout_pending = False
        self._start_rx_timeout()
        self._update()

    def _pop_rx(self) -> int:
        state = self.state
        if not state.rx_fifo:
            self.sender.on_use()
            return 0
        self._tell_line_status(None)
        first, state.rx_fifo = state.rx_fifo[0], state.rx_fifo[1:]
        self.sender.on_read()
        state.rx_timeout_pending = False
        self._start_rx_timeout()
        self._update()
        self._on_room()
        return first

    def _trigger_level(self) -> int:
        return _TRIGGER_LEVELS[self.state.fcr >> 6] if self.state.fcr & _FCR_ENABLE else 1

    def _start_rx_timeout(self) -> None:
        """Bytes below the trigger level interrupt too, once nothing has moved for four characters' time."""
        if 0 < len(self.state.rx_fifo) < self._trigger_level():
            self._timer.arm(self._clock.now_ns() + _TIMEOUT_CHARACTERS * self._character_ns())
        else:
            self._timer.cancel()

    def _on_rx_timeout(self, late_ns: int) -> None:
        self.state.rx_timeout_pending = bool(self.state.rx_fifo)
        self._update()

    def _character_ns(self) -> int:
        lcr = self.state.lcr
        bits = 1 + 5 + (lcr & 3) + (1 if lcr & 0x08 else 0) + (2 if lcr & 0x04 else 1)
        return bits * NS_PER_S * 16 * max(1, self.state.divisor) // CLOCK_HZ

    def serial_format(self) -> SerialFormat:
        """How characters would be on its line now: with 8 bits where the guest has never set it up."""
        lcr = self.state.lcr
        bit_ns = NS_PER_S * 16 * max(1, self.state.divisor) // CLOCK_HZ
        return SerialFormat(bit_ns, 5 + (lcr & 3) if lcr else 8, _PARITIES[lcr >> 3 & 7], 2 if lcr & 0x04 else 1)

    # ---- transmitter and modem

    def _transmit(self, value: int) -> None:
        state = self.state
        state.thr_empty_pending = True  # empty again at once
        if not state.mcr & Mcr.LOOPBACK:
            self.sender.on_answer()
            self._send(bytes((value,)))
        elif len(state.rx_fifo) < self._capacity():
            self.sender.on_looped()
            self._put_rx(bytes((value,)))
        else:
            self._tell_line_status(None)
            state.overrun = True
            if not state.fcr & _FCR_ENABLE:  # without a FIFO the new byte destroys the old one
                state.rx_fifo = bytes((value,))
                self.sender.on_cleared()
                self.sender.on_looped()

    def _write_ier(self, value: int) -> None:
        if value & Ier.THR_EMPTY and not self.state.ier & Ier.THR_EMPTY:
            self.state.thr_empty_pending = True  # enabling it while THR is empty asks at once
        self.state.ier = value

    def _write_fcr(self, value: int) -> None:
        state = self.state
        if value & _FCR_CLEAR_RX or (value ^ state.fcr) & _FCR_ENABLE:
            self._tell_line_status(None)
            state.rx_fifo = b""
            self.sender.on_cleared()
            state.rx_timeout_pending = False
            self._timer.cancel()
        state.fcr = value & 0xC1 if value & _FCR_ENABLE else 0
        self.sender.on_set_up()
        self._start_rx_timeout()
        self._on_room()

    def _modem_inputs(self) -> int:
        if not self.state.mcr & Mcr.LOOPBACK:
            return _MSR_CONNECTED
        return sum(signal for output, signal in _LOOPED if self.state.mcr & output)

    def _write_mcr(self, value: int) -> None:
        before = self._modem_inputs()
        self.state.mcr = value
        self.sender.on_set_up()
        self._on_room()  # the end of loopback
        after = self._modem_inputs()
        changed = before ^ after
        self.state.msr_deltas |= changed >> 4 & (Msr.DELTA_CTS | Msr.DELTA_DSR | Msr.DELTA_DCD)
        if before & ~after & Msr.RI:
            self.state.msr_deltas |= Msr.TRAILING_RI

    def _read_msr(self) -> int:
        value = self._modem_inputs() | self.state.msr_deltas
        self.state.msr_deltas = 0
        self._update()
        return value

    # ---- line status and interrupts

    def _read_lsr(self) -> int:
        state = self.state
        self.sender.on_use()
        value = _LSR_EMPTY
        if state.rx_fifo:
            value |= Lsr.DATA_READY
        if state.overrun:
            value |= Lsr.OVERRUN
            state.overrun = False
            self._update()
        else:
            self._tell_line_status(value)
        return value

    def _interrupt(self) -> Iir:
        state = self.state
        if state.ier & Ier.LINE_STATUS and state.overrun:
            return Iir.LINE_STATUS
        if state.ier & Ier.RX_DATA and len(state.rx_fifo) >= self._trigger_level():
            return Iir.RX_DATA
        if state.ier & Ier.RX_DATA and state.rx_timeout_pending:
            return Iir.RX_TIMEOUT
        if state.ier & Ier.THR_EMPTY and state.thr_empty_pending:
            return Iir.THR_EMPTY
        if state.ier & Ier.MODEM_STATUS and state.msr_deltas:
            return Iir.MODEM_STATUS
        return Iir.NONE

    def _read_iir(self) -> int:
        interrupt = self._interrupt()
        if interrupt is Iir.THR_EMPTY:
            self.state.thr_empty_pending = False
            self._update()
        return interrupt | (_IIR_FIFO_ENABLED if self.state.fcr & _FCR_ENABLE else 0)

    def _update(self) -> None:
        self._line.set_level(self.state.ier != 0 and self._interrupt() is not Iir.NONE)
