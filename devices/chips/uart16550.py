"""ns16550a: the UART, with FIFOs, interrupts, loopback and modem registers.

Transmission takes no time: a byte written is out, and THR empty again, within the store. So no output depends
on a baud rate, firmware that polls LSR never spins, and no timer is needed; QEMU's does the same. What was
received waits on the host side until the FIFO has room, so a fast typist or a pipe never overruns it: see
devices/hostside/serial_line.py. Only the character timeout follows the baud rate.

Where nobody looks on, C answers what the host side need not know at once, on the same registers, and keeps what the
guest sends for ``_send_kept``: see emu/hart/_chips.h.
Source: National Semiconductor PC16550D data sheet; QEMU hw/char/serial.c.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from minstret.emu.fdt import Value
from minstret.emu.part import Device, Wiring
from minstret.emu.registers import (
    FCR_ENABLE,
    FIFO_SIZE,
    IIR_FIFO_ENABLED,
    LCR_DLAB,
    MCR_LOOPBACK,
    UART_WINDOW,
    BitKeeper,
    Ier,
    Iir,
    Lsr,
    Msr,
    UartRegisters,
)
from minstret.emu.registers import UartReg as Reg
from minstret.emu.serialbits import SerialFormat
from minstret.emu.units import NS_PER_S

__all__ = ["CLOCK_HZ", "FIFO_SIZE", "Ier", "Iir", "Lsr", "Mcr", "Msr", "Reg", "Sender", "Uart16550", "UartState"]

CLOCK_HZ = 3_686_400


class Mcr(IntEnum):
    """Modem control, bits."""

    DTR = 0x01
    RTS = 0x02
    OUT1 = 0x04
    OUT2 = 0x08
    LOOPBACK = MCR_LOOPBACK


_LSR_EMPTY = Lsr.THR_EMPTY | Lsr.TRANSMITTER_EMPTY
_FCR_CLEAR_RX = 0x02
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

    def on_answer(self, sent_ns: int) -> None:
        """The guest has sent something, the last byte of it at ``sent_ns``."""
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
    def on_answer(self, sent_ns: int) -> None: ...
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
    """Sends every byte the guest writes to ``tx``, takes bytes from ``rx``, and interrupts."""

    name = "uart0"
    node_name = "serial"
    size_bytes = UART_WINDOW
    compatible = "ns16550a"

    def __init__(self, base: int = 0, irq: int = 0) -> None:
        super().__init__(base, irq)
        self._registers = UartRegisters(source=irq)
        self._sender: Sender = NoSender()
        self.state = UartState()

    @property
    def state(self) -> UartState:
        """A copy of the state; setting it loads one."""
        r = self._registers
        return UartState(
            r.ier, r.fcr, r.lcr, r.mcr, r.scr, r.divisor, bytes(r.rx_fifo[: r.rx_count]), bool(r.overrun), r.msr_deltas,
            bool(r.thr_empty_pending), bool(r.rx_timeout_pending),
        )  # fmt: skip

    @state.setter
    def state(self, state: UartState) -> None:
        r = self._registers
        r.ier, r.fcr, r.lcr, r.mcr, r.scr, r.divisor = (
            state.ier, state.fcr, state.lcr, state.mcr, state.scr, state.divisor
        )  # fmt: skip
        self._set_fifo(state.rx_fifo)
        r.overrun, r.msr_deltas = state.overrun, state.msr_deltas
        r.thr_empty_pending, r.rx_timeout_pending = state.thr_empty_pending, state.rx_timeout_pending
        r.is_used = r.keeps_sent = r.sent_count = 0

    @property
    def sender(self) -> Sender:
        """What stands on the host side; a replay has none."""
        return self._sender

    @sender.setter
    def sender(self, sender: Sender) -> None:
        self._sender, self._registers.is_used = sender, 0

    @property
    def receives_by_interrupt(self) -> bool:
        """Whether it interrupts for what comes."""
        return bool(self._registers.ier & Ier.RX_DATA)

    def attach(self, wiring: Wiring) -> None:
        self._clock = wiring.clock
        self._line = wiring.irq(BitKeeper(self._registers, "output"))
        self._tx = wiring.output_in_pieces("tx")
        self._is_answered = wiring.answered(self._registers, self._send_kept)
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
        r = self._registers
        return 0 if r.mcr & MCR_LOOPBACK else self._capacity() - int(r.rx_count)

    def take_received(self) -> bytes:
        """Hand over what was received but not read: somebody else reads the console from now on."""
        self._tell_line_status(None)
        data = self._fifo()
        self._set_fifo(b"")
        self.sender.on_handed_over()
        self._registers.rx_timeout_pending = 0
        self._timer.cancel()
        self._update()
        return data

    # ---- the guest

    def read(self, offset: int, size: int) -> int:
        r = self._registers
        if offset == Reg.LSR:
            return self._read_lsr()
        dlab = bool(r.lcr & LCR_DLAB)
        if offset == Reg.RBR_THR:
            return r.divisor & 0xFF if dlab else self._pop_rx()
        if offset == Reg.IER:
            return r.divisor >> 8 if dlab else r.ier
        if offset == Reg.IIR_FCR:
            return self._read_iir()
        if offset == Reg.MSR:
            return self._read_msr()
        others: dict[int, int] = {Reg.LCR: r.lcr, Reg.MCR: r.mcr, Reg.SCR: r.scr}
        return others.get(offset, 0)

    def write(self, offset: int, size: int, value: int) -> None:
        r, value = self._registers, value & 0xFF
        dlab = bool(r.lcr & LCR_DLAB)
        if offset == Reg.RBR_THR:
            if dlab:
                r.divisor = r.divisor & 0xFF00 | value
                self.sender.on_set_up()
            else:
                self._transmit(value)
        elif offset == Reg.IER:
            if dlab:
                r.divisor = r.divisor & 0x00FF | value << 8
                self.sender.on_set_up()
            else:
                self._write_ier(value & 0x0F)
                self._use()
        elif offset == Reg.IIR_FCR:
            self._write_fcr(value)
        elif offset == Reg.LCR:
            r.lcr = value
            self.sender.on_set_up()
        elif offset == Reg.MCR:
            self._write_mcr(value & 0x1F)
        elif offset == Reg.SCR:
            r.scr = value
        self._update()

    def reset(self) -> None:
        self._tell_line_status(None)
        self.state = UartState()
        self.sender.on_reset()
        self._timer.cancel()
        self._update()

    # ---- receiver

    def _capacity(self) -> int:
        return FIFO_SIZE if self._registers.fcr & FCR_ENABLE else 1

    def _fifo(self) -> bytes:
        return bytes(self._registers.rx_fifo[: self._registers.rx_count])

    def _set_fifo(self, data: bytes) -> None:
        kept = data[:FIFO_SIZE]
        self._registers.rx_fifo[: len(kept)] = kept
        self._registers.rx_count = len(kept)

    def _use(self) -> None:
        """The guest uses its receiver: the sender is told, and wants to know it but once."""
        self.sender.on_use()
        self._registers.is_used = 1

    def _put_rx(self, data: bytes) -> None:
        self._tell_line_status(None)
        self._set_fifo(self._fifo() + data)
        self._registers.rx_timeout_pending = 0
        self._start_rx_timeout()
        self._update()

    def _pop_rx(self) -> int:
        fifo = self._fifo()
        if not fifo:
            self._use()
            return 0
        self._tell_line_status(None)
        self._set_fifo(fifo[1:])
        self.sender.on_read()
        self._registers.rx_timeout_pending = 0
        self._start_rx_timeout()
        self._update()
        self._on_room()
        return fifo[0]

    def _trigger_level(self) -> int:
        fcr = self._registers.fcr
        return _TRIGGER_LEVELS[fcr >> 6 & 3] if fcr & FCR_ENABLE else 1

    def _start_rx_timeout(self) -> None:
        """Bytes below the trigger level interrupt too, once nothing has moved for four characters' time."""
        if 0 < self._registers.rx_count < self._trigger_level():
            self._timer.arm(self._clock.now_ns() + _TIMEOUT_CHARACTERS * self._character_ns())
        else:
            self._timer.cancel()

    def _on_rx_timeout(self, late_ns: int) -> None:
        self._registers.rx_timeout_pending = self._registers.rx_count != 0
        self._update()

    def _character_ns(self) -> int:
        lcr, divisor = self._registers.lcr, int(self._registers.divisor)
        bits = 1 + 5 + (lcr & 3) + (1 if lcr & 0x08 else 0) + (2 if lcr & 0x04 else 1)
        return bits * NS_PER_S * 16 * max(1, divisor) // CLOCK_HZ

    def serial_format(self) -> SerialFormat:
        """How characters would be on its line now: with 8 bits where the guest has never set it up."""
        lcr, divisor = self._registers.lcr, int(self._registers.divisor)
        bit_ns = NS_PER_S * 16 * max(1, divisor) // CLOCK_HZ
        return SerialFormat(bit_ns, 5 + (lcr & 3) if lcr else 8, _PARITIES[lcr >> 3 & 7], 2 if lcr & 0x04 else 1)

    # ---- transmitter and modem

    def _transmit(self, value: int) -> None:
        r, data = self._registers, bytes((value,))
        r.thr_empty_pending = 1  # empty again at once
        if not r.mcr & MCR_LOOPBACK:
            self.sender.on_answer(self._clock.now_ns())
            self._tx.send(data)
            r.keeps_sent = self._is_answered and self._tx.may_wait
        elif r.rx_count < self._capacity():
            self.sender.on_looped()
            self._put_rx(data)
        else:
            self._tell_line_status(None)
            r.overrun = 1
            if not r.fcr & FCR_ENABLE:  # without a FIFO the new byte destroys the old one
                self._set_fifo(data)
                self.sender.on_cleared()
                self.sender.on_looped()

    def _send_kept(self) -> None:
        """Send what C has kept; before the next byte somebody is asked again whether it may."""
        r = self._registers
        count, r.keeps_sent, r.sent_count = int(r.sent_count), 0, 0
        if count:
            self.sender.on_answer(int(r.sent_ns))
            self._tx.send_late(bytes(r.sent[:count]), r.sent_icount[:count])

    def _write_ier(self, value: int) -> None:
        r = self._registers
        if value & Ier.THR_EMPTY and not r.ier & Ier.THR_EMPTY:
            r.thr_empty_pending = 1  # enabling it while THR is empty asks at once
        r.ier = value

    def _write_fcr(self, value: int) -> None:
        r = self._registers
        if value & _FCR_CLEAR_RX or (value ^ r.fcr) & FCR_ENABLE:
            self._tell_line_status(None)
            self._set_fifo(b"")
            self.sender.on_cleared()
            r.rx_timeout_pending = 0
            self._timer.cancel()
        r.fcr = value & 0xC1 if value & FCR_ENABLE else 0
        self.sender.on_set_up()
        self._start_rx_timeout()
        self._on_room()

    def _modem_inputs(self) -> int:
        mcr = self._registers.mcr
        if not mcr & MCR_LOOPBACK:
            return _MSR_CONNECTED
        return sum(signal for output, signal in _LOOPED if mcr & output)

    def _write_mcr(self, value: int) -> None:
        before = self._modem_inputs()
        self._registers.mcr = value
        self.sender.on_set_up()
        self._on_room()  # the end of loopback
        after = self._modem_inputs()
        changed = before ^ after
        self._registers.msr_deltas |= changed >> 4 & (Msr.DELTA_CTS | Msr.DELTA_DSR | Msr.DELTA_DCD)
        if before & ~after & Msr.RI:
            self._registers.msr_deltas |= Msr.TRAILING_RI

    def _read_msr(self) -> int:
        value = self._modem_inputs() | self._registers.msr_deltas
        self._registers.msr_deltas = 0
        self._update()
        return value

    # ---- line status and interrupts

    def _read_lsr(self) -> int:
        r = self._registers
        self._use()
        value = _LSR_EMPTY
        if r.rx_count:
            value |= Lsr.DATA_READY
        if r.overrun:
            value |= Lsr.OVERRUN
            r.overrun = 0
            self._update()
        else:
            self._tell_line_status(value)
        return value

    def _interrupt(self) -> Iir:
        r = self._registers
        ier = r.ier
        if ier & Ier.LINE_STATUS and r.overrun:
            return Iir.LINE_STATUS
        if ier & Ier.RX_DATA and r.rx_count >= self._trigger_level():
            return Iir.RX_DATA
        if ier & Ier.RX_DATA and r.rx_timeout_pending:
            return Iir.RX_TIMEOUT
        if ier & Ier.THR_EMPTY and r.thr_empty_pending:
            return Iir.THR_EMPTY
        if ier & Ier.MODEM_STATUS and r.msr_deltas:
            return Iir.MODEM_STATUS
        return Iir.NONE

    def _read_iir(self) -> int:
        interrupt, r = self._interrupt(), self._registers
        if interrupt is Iir.THR_EMPTY:
            r.thr_empty_pending = 0
            self._update()
        return interrupt | (IIR_FIFO_ENABLED if r.fcr & FCR_ENABLE else 0)

    def _update(self) -> None:
        self._line.set_level(self._registers.ier != 0 and self._interrupt() is not Iir.NONE)
