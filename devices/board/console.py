"""The console: the UART's, or semihosting's or HTIF's once the guest has read there."""

from __future__ import annotations

from functools import partial

from minstret.devices.chips.uart16550 import Uart16550
from minstret.devices.hostside.chaos import delay_ns
from minstret.devices.hostside.serial_line import SerialLine
from minstret.devices.services.htif import Htif
from minstret.devices.services.semihosting import Semihosting
from minstret.emu.machine import Machine

CONSOLE_TARGET, CONSOLE_STREAM = "uart0.rx", "uart0.tx"
"""The door's names for what is typed and what is shown."""


class Console:
    """Who reads what is typed, and the line that it comes in by.

    Attributes:
        line: On the host side; a replay has none.
        semihosting, htif: Who may read instead of the UART; the board sets them.
    """

    def __init__(self, machine: Machine, uart: Uart16550) -> None:
        self._machine = machine
        self._uart = uart
        self.line: SerialLine | None = None
        self.semihosting: Semihosting | None = None
        self.htif: Htif | None = None

    def receive(self, data: bytes) -> int:
        """Hand over what is typed; how many bytes there was room for."""
        if self._semihosting_reads():
            assert self.semihosting is not None
            return self.semihosting.receive(data)
        if self.htif is not None and self.htif.state.has_console:
            return self.htif.receive(data)
        return self._uart.receive(data)

    def _semihosting_reads(self) -> bool:
        return self.semihosting is not None and self.semihosting.state.has_console

    def room(self) -> int:
        """How many bytes who reads can take now."""
        if self.htif is not None and self.htif.state.has_console:
            return self.htif.state.wanted
        return self._uart.room()

    def call_must_wait(self) -> bool:
        """Whether something has come that a call which reads does not have yet."""
        return self._machine.door.call_must_wait or (self.line is not None and self.line.holds_input)

    def on_htif_request(self) -> None:
        """HTIF can take more."""
        if self.line is not None:
            self.line.on_room()
        self._machine.room_for_input()

    def may_interrupt(self) -> bool:
        """Whether the UART would interrupt for what comes now."""
        return self._uart.receives_by_interrupt and self._uart.room() > 0

    def add_line(self, shift: int, chaos_seed: int | None) -> SerialLine:
        """Make the line on the host side that what is typed comes in by.

        On VIRTUAL and EXTERNAL whatever the timer model: those compare what a replay can make again, and it has nothing
        of what was typed but when it entered.
        """
        uart, machine = self._uart, self._machine
        self.line = line = SerialLine(
            "uart0.line", CONSOLE_TARGET, machine.virtual_timers, shift=shift, room=self.room,
            interrupts=lambda: uart.receives_by_interrupt, post=machine.door.post,
            is_bypassed=self._semihosting_reads,
            delay_ns=None if chaos_seed is None else partial(delay_ns, chaos_seed, "console"),
        )  # fmt: skip
        machine.parts.add_host("uart0.line", line)
        uart.sender = line
        return line
