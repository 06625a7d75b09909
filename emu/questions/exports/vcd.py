"""Levels in time as a VCD file, for GTKWave and the like: interrupt lines, harts, pins of devices, the UART's line.

Its names are those of the parts: ``uart0.irq``, ``clint.mtip``, ``gpio0.out``. ``hart0.waits`` is up in a WFI,
``hart0.privilege`` is 0 for U-mode, 1 and 3 for S- and M-mode, and ``running`` which of several harts runs. Events tell
of timers that fire. ``plic.NAME_in_service`` is up from when a hart has claimed the source until it completes it.

Sending a character takes the UART's model no time: ``uart0.tx`` is the character at the time when it was sent, and the
event ``tx_sent`` tells of one that is the same as the last. ``tx_pin`` has its bits at the rate that the guest has set,
from that time on or when the line is free: a guest that polls sends faster than any line, so the line lags behind then,
perhaps beyond the end. ``rx_pin`` is the same.
Source: IEEE 1800-2017, section 21.7.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import IO, Any, cast

from vcd.writer import Variable, VCDWriter

from minstret.emu.door.door import Position
from minstret.emu.irq import SourceChange
from minstret.emu.questions.exports.form import RunFacts, Write
from minstret.emu.questions.happenings import (
    ConsoleIn,
    ConsoleOut,
    Happening,
    HartSwitched,
    HartWaits,
    Interrupt,
    LineChanged,
    PinChanged,
    Reset,
    SerialSetUp,
    SourceServed,
    TimerFired,
    Trap,
    TrapReturned,
)
from minstret.emu.serialbits import SerialFormat, levels

_HART_BITS, _PRIVILEGE_BITS, _CHARACTER_BITS = 8, 2, 8
_DEFAULT_FORMAT = SerialFormat(8_680, 8, "N", 1)


class Vcd:
    """Writes changes of levels."""

    KINDS = frozenset({
        LineChanged, PinChanged, HartSwitched, HartWaits, Trap, Interrupt, TrapReturned, SourceServed, TimerFired,
        ConsoleIn, ConsoleOut, SerialSetUp, Reset,
    })  # fmt: skip

    def __init__(self, run: RunFacts, write: Write) -> None:
        self._writer = writer = VCDWriter(
            cast(IO[str], _Text(write)), timescale="1 ns", date="", version=run.made_by, comment=run.name,
            init_timestamp=run.start.virtual_ns,
        )  # fmt: skip
        self._names: set[str] = set()
        harts = range(len(run.privileges))
        self._lines = {name: self._wire(name, 1, 0) for name in run.lines}
        self._pins = {name: self._wire(name, bits, "x") for name, bits in run.pins}
        self._waits = [self._wire(f"hart{hart}.waits", 1, 0) for hart in harts]
        self._privileges = [
            self._wire(f"hart{hart}.privilege", _PRIVILEGE_BITS, run.privileges[hart]) for hart in harts
        ]
        self._running = self._wire("harts.running", _HART_BITS, 0) if len(harts) > 1 else None
        self._services = {
            source: self._wire(f"plic.{name}_in_service", 1, 0) for source, name in sorted(run.sources.items())
        }
        self._timers = {timer.name: self._event(f"{timer.name}_fired") for timer in run.timers if not timer.is_external}
        self._characters = {
            kind: (self._wire(name, _CHARACTER_BITS, "x"), self._event(f"{name}_{did}"))
            for kind, name, did in (
                (ConsoleOut, f"{run.console}.tx", "sent"), (ConsoleIn, f"{run.console}.rx", "received"),
            )
        }  # fmt: skip
        self._reset = self._event("board.reset")
        self._serial = {
            kind: _SerialLine(self._wire(f"{run.console}.{name}_pin", 1, 1))
            for kind, name in ((ConsoleOut, "tx"), (ConsoleIn, "rx"))
        }
        self._format = _DEFAULT_FORMAT
        self._tell: dict[type[Happening], Callable[[Any], None]] = {
            LineChanged: lambda one: self._change(self._lines[one.name], one, int(one.level)),
            PinChanged: self._pin_changed,
            HartSwitched: self._switched,
            HartWaits: lambda one: self._change(self._waits[one.hart], one, int(one.begins)),
            Trap: self._trapped,
            Interrupt: self._trapped,
            TrapReturned: lambda one: self._change(self._privileges[one.hart], one, one.priv),
            SourceServed: self._served,
            TimerFired: self._fired,
            ConsoleOut: self._character,
            ConsoleIn: self._character,
            SerialSetUp: self._set_up,
            Reset: lambda one: self._change(self._reset, one, True),
        }
        writer.flush()

    def add(self, happening: Happening) -> None:
        self._draw_lines(happening.virtual_ns)
        self._tell[type(happening)](happening)

    def finish(self, position: Position) -> None:
        self._draw_lines(None)
        self._writer.close(max(position.virtual_ns, *(line.free_at_ns for line in self._serial.values())))

    # ---- variables

    def _wire(self, name: str, bits: int, value: int | str) -> Variable[Any]:
        return self._writer.register_var(*self._free(name), "wire" if bits == 1 else "reg", size=bits, init=value)

    def _event(self, name: str) -> Variable[Any]:
        return self._writer.register_var(*self._free(name), "event", init=True)

    def _free(self, name: str) -> tuple[str, str]:
        """Scope and name of a new variable: without spaces, and no other's."""
        name = "_".join(name.split())
        while name in self._names:
            name += "_"
        self._names.add(name)
        scope, _, name = name.rpartition(".")
        return scope, name

    def _change(self, variable: Variable[Any], happening: Happening, value: int | bool) -> None:
        self._writer.change(variable, happening.virtual_ns, value)

    # ---- what happens

    def _pin_changed(self, pin: PinChanged) -> None:
        if pin.name in self._pins:
            self._change(self._pins[pin.name], pin, pin.value)

    def _switched(self, switch: HartSwitched) -> None:
        if self._running is not None and switch.hart is not None:
            self._change(self._running, switch, switch.hart)

    def _trapped(self, trap: Trap) -> None:
        if trap.hart is not None:
            self._change(self._privileges[trap.hart], trap, trap.handler_priv)

    def _served(self, served: SourceServed) -> None:
        if served.source in self._services:
            self._change(self._services[served.source], served, int(served.change is SourceChange.CLAIMED))

    def _fired(self, timer: TimerFired) -> None:
        if timer.name in self._timers:
            self._change(self._timers[timer.name], timer, True)

    def _set_up(self, serial: SerialSetUp) -> None:
        self._format = serial.format

    def _character(self, console: ConsoleOut | ConsoleIn) -> None:
        value, event = self._characters[type(console)]
        for byte in console.data:
            self._change(value, console, byte)
            self._change(event, console, True)
            self._serial[type(console)].add(console.virtual_ns, self._format, byte)

    def _draw_lines(self, until_ns: int | None) -> None:
        """Draw what is on the serial lines before ``until_ns``; None: all of it."""
        lines = list(self._serial.values())
        while True:
            line = min(lines, key=lambda one: one.next_ns)
            if line.next_ns == _NEVER or (until_ns is not None and line.next_ns > until_ns):
                return
            self._writer.change(line.variable, line.next_ns, line.next_level)
            line.step()


_NEVER = 1 << 80


class _SerialLine:
    """Characters on a line, one after the other.

    Attributes:
        next_ns, next_level: When its level is set next, and to what.
        free_at_ns: When the last of them is over.
    """

    def __init__(self, variable: Variable[Any]) -> None:
        self.variable = variable
        self.next_ns, self.next_level = _NEVER, 1
        self.free_at_ns = 0
        self._waiting: deque[tuple[int, SerialFormat, int]] = deque()
        self._bits: Iterator[tuple[int, int]] = iter(())

    def add(self, at_ns: int, form: SerialFormat, character: int) -> None:
        """A character comes: it begins once the line is free."""
        begin_ns = max(at_ns, self.free_at_ns)
        self.free_at_ns = begin_ns + form.character_ns
        self._waiting.append((begin_ns, form, character))
        if self.next_ns == _NEVER:
            self.step()

    def step(self) -> None:
        """Go to the next change."""
        found = next(self._bits, None)
        if found is None and self._waiting:
            self._bits = _bits(*self._waiting.popleft())
            found = next(self._bits)
        self.next_ns, self.next_level = (_NEVER, 1) if found is None else found


def _bits(begin_ns: int, form: SerialFormat, character: int) -> Iterator[tuple[int, int]]:
    """When the level of a line is set, and to what, up to the first stop bit."""
    number = 0
    for number, level in enumerate(levels(form, character)):
        yield begin_ns + number * form.bit_ns, level
    yield begin_ns + (number + 1) * form.bit_ns, 1


class _Text:
    """What a writer of text needs of a file, over bytes."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def write(self, text: str) -> int:
        self._write(text.encode())
        return len(text)

    def flush(self) -> None:
        """What is written is written."""
