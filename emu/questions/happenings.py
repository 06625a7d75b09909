"""What can happen in a run, as a replay of its trace tells it: one type for each kind. noting.py makes them.

Each has its place and who did it, reads in one line (``text``), and as plain values for JSON (``facts``).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from minstret.emu.door.door import Position
from minstret.emu.hart.observers import TrapTaken
from minstret.emu.hart.traps import TrapRecord
from minstret.emu.images.loader import SymbolTable
from minstret.emu.irq import SourceChange
from minstret.emu.logs import mode_name, named_place, taken_text
from minstret.emu.report import trap_name
from minstret.emu.serialbits import SerialFormat
from minstret.emu.text import printable

_NO_SYMBOLS = SymbolTable()
_TEXT_MAX = 60
"""Characters of bytes in a line of text."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened.

    Attributes:
        icount, virtual_ns: Where in the run. An instruction that is under way has not been counted.
        hart: The id of the hart that did it, or that it happened to; None where that is none.
    """

    icount: int
    virtual_ns: int
    hart: int | None

    kind: ClassVar[str] = ""
    """Its name: in ``kinds``, in JSON, in a line of text. It stays."""

    @property
    def position(self) -> Position:
        return Position(self.icount, self.virtual_ns)

    def text(self, symbols: SymbolTable = _NO_SYMBOLS) -> str:
        """What happened, in a few words, without its place."""
        raise NotImplementedError

    def facts(self, symbols: SymbolTable = _NO_SYMBOLS) -> dict[str, Any]:
        """It for JSON. Addresses and values of registers are hexadecimal strings; bytes are in ``hex`` and ``text``."""
        return {
            "kind": self.kind, "icount": self.icount, "virtual_ns": self.virtual_ns, "hart": self.hart,
            **self._facts(symbols),
        }  # fmt: skip

    def _facts(self, symbols: SymbolTable) -> dict[str, Any]:
        """What it has besides its place; by default its fields as they are."""
        return {field.name: getattr(self, field.name) for field in fields(self)[_PLACE_FIELDS:]}


_PLACE_FIELDS = len(fields(Happening))


# ---- timers


@dataclass(frozen=True, slots=True)
class TimerFired(Happening):
    """A timer fired.

    Attributes:
        name: The timer's, such as ``clint.mtimecmp``.
        clock: The name of the clock that it follows.
        is_external: Whether it serves the host side. A replay does without those: what they brought comes as events.
        deadline_ns: For when it was armed, on its clock.
    """

    name: str
    clock: str
    is_external: bool
    deadline_ns: int

    kind: ClassVar[str] = "timer"

    def text(self, symbols: SymbolTable = _NO_SYMBOLS) -> str:
        attribute = ", EXTERNAL" if self.is_external else ""
        return f"timer {self.name} fired ({self.clock} clock{attribute}), due at {self.deadline_ns:,} ns"


# ---- traps


@dataclass(frozen=True, slots=True)
class Trap(Happening):
    """A hart has taken an exception, at the instruction at ``epc``, which has not retired.

    Attributes:
        cause: Its code.
        tval: What goes with it: an address, an instruction, or 0.
        epc: Where the hart was.
        priv: The privilege in which it was.
        handler, handler_priv: The first instruction of its handler, and the privilege of that.
    """

    cause: int
    tval: int
    epc: int
    priv: int
    handler: int
    handler_priv: int

    kind: ClassVar[str] = "trap"
    is_interrupt: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Its cause in words."""
        return trap_name(self._taken.trap)

    @property
    def _taken(self) -> TrapTaken:
        trap = TrapRecord(self.cause, self.epc, self.tval, self.priv, self.icount, self.is_interrupt)
        return TrapTaken(trap, self.handler, self.handler_priv)

    def text(self, symbols: SymbolTable = _NO_SYMBOLS) -> str:
        return taken_text(self._taken, symbols)

    def _facts(self, symbols: SymbolTable) -> dict[str, Any]:
        return {
            "cause": self.cause, "name": self.name, "tval": f"{self.tval:#x}", "privilege": mode_name(self.priv),
            "epc": f"{self.epc:#x}", "symbol": symbols.describe(self.epc) or None,
            "handler": f"{self.handler:#x}", "handler_symbol": symbols.describe(self.handler) or None,
            "handler_privilege": mode_name(self.handler_priv),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Interrupt(Trap):
    """A hart has taken an interrupt, before the instruction at ``epc``."""

    kind: ClassVar[str] = "interrupt"
    is_interrupt: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class TrapReturned(Happening):
    """MRET or SRET has retired: the handler of a trap is left, or less privileged code begins.

    Attributes:
        is_mret: MRET, else SRET.
        pc: Where it leads.
        priv: The privilege there.
    """

    is_mret: bool
    pc: int
    priv: int

    kind: ClassVar[str] = "return"

    def text(self, symbols: SymbolTable = _NO_SYMBOLS) -> str:
        by = "mret" if self.is_mret else "sret"
        return f"returned by {by} to {named_place(self.pc, symbols)}, in {mode_name(self.priv)}"

    def _facts(self, symbols: SymbolTable) -> dict[str, Any]:
        return {
            "by": "mret" if self.is_mret else "sret", "pc": f"{self.pc:#x}",
            "symbol": symbols.describe(self.pc) or None, "privilege": mode_name(self.priv),
        }  # fmt: skip


# ---- lines and interrupt sources


@dataclass(frozen=True, slots=True)
class LineChanged(Happening):
    """An interrupt line was raised or lowered.

    Attributes:
        name: The line's: ``uart0.irq`` to the PLIC; ``clint.mtip``, ``plic.meip`` to hart 0, ``clint.mtip1`` to hart 1.
        level: What it is now.
        by: The id of the hart whose access has changed it; None where it was a timer, or something that came in.
        hart: To which hart it leads; None for those that lead to the PLIC.
    """

    name: str
    level: bool
    by: int | None = None

    kind: ClassVar[str] = "line"

    def text(self, symbols: SymbolTable = _NO_SYMBOLS) -> str:
        return f"line {self.name} {'raised' if self.level else 'lowered'}"


@dataclass(frozen=True, slots=True)
class SourceServed(Happening):
    """A hart has claimed or completed an interrupt source of the PLIC.

    Attributes:
        change: CLAIMED or COMPLETED.
        source: Its number.
        device: Whose it is; ``""`` where no device has it.
    """

    change: SourceChange
    source: int
    device: str

    kind: ClassVar[str] = "source"

    def text(self, symbols: SymbolTable = _NO_SYMBOLS) -> str:
        return f"{self.device or 'no device'} (source {self.source}) {self.change.value}"

    def _facts(self, symbols: SymbolTable) -> dict[str, Any]:
        return {"change": self.change.value, "source": self.source, "device": self.device or None}


@dataclass(frozen=True, slots=True)
class PinChanged(Happening):
    """A value in the state of a user's device has changed: a pin, a register.

    Attributes:
        name: The device's name and the field's: ``gpio0.out``.
        bits: 1 for a truth value, 64 for a number.
        value: What it is now; of a negative number its 64 bits.
    """

    name: str
    bits: int
    value: int

    kind: ClassVar[str] = "pin"

    def text(self, symbols: SymbolTable = _NO_SYMBOLS) -> str:
        return f"{self.name} is {self.value:#x}" if self.bits > 1 else f"{self.name} is {self.value}"


# ---- harts


@dataclass(frozen=True, slots=True)
class HartSwitched(Happening):
    """Of several harts ``hart`` runs from here on."""

    kind: ClassVar[str] = "switch"

    def text(self, symbols: SymbolTable = _NO_SYMBOLS) -> str:
        return f"hart{self.hart} runs"


@dataclass(frozen=True, slots=True)
class HartWaits(Happening):
    """A hart has begun to wait in WFI, or goes on.

    Attributes:
        begins: Whether it begins.
        pc: The instruction behind WFI.
    """

    begins: bool
    pc: int

    kind: ClassVar[str] = "wait"

    def text(self, symbols: SymbolTable = _NO_SYMBOLS) -> str:
        return f"{'waits' if self.begins else 'goes on'} at {named_place(self.pc, symbols)}"

    def _facts(self, symbols: SymbolTable) -> dict[str, Any]:
        return {"begins": self.begins, "pc": f"{self.pc:#x}", "symbol": symbols.describe(self.pc) or None}


# ---- what goes in and out


@dataclass(frozen=True, slots=True)
class _Bytes(Happening):
    """Bytes that went in or out."""

    data: bytes

    def text(self, symbols: SymbolTable = _NO_SYMBOLS) -> str:
        return f"{self.kind} {shown_bytes(self.data)}"

    def _facts(self, symbols: SymbolTable) -> dict[str, Any]:
        return bytes_facts(self.data)


@dataclass(frozen=True, slots=True)
class ConsoleOut(_Bytes):
    """The guest has sent bytes to its console: mostly one by one, as it stores them."""

    kind: ClassVar[str] = "console-out"


@dataclass(frozen=True, slots=True)
class ConsoleIn(_Bytes):
    """The guest's console has got bytes."""

    kind: ClassVar[str] = "console-in"


@dataclass(frozen=True, slots=True)
class SerialSetUp(Happening):
    """From here on characters of the console have another form on the UART's line; told with the first of them."""

    format: SerialFormat

    kind: ClassVar[str] = "serial"

    def text(self, symbols: SymbolTable = _NO_SYMBOLS) -> str:
        bit_ns, data_bits, parity, stop_bits = self.format
        return f"serial line: a bit is {bit_ns:,} ns, {data_bits}{parity}{stop_bits}"

    def _facts(self, symbols: SymbolTable) -> dict[str, Any]:
        return self.format._asdict()


@dataclass(frozen=True, slots=True)
class Frame(_Bytes):
    """An Ethernet frame has crossed the network card.

    Attributes:
        is_sent: The guest has sent it; else it has got it.
    """

    is_sent: bool

    kind: ClassVar[str] = "frame"

    def text(self, symbols: SymbolTable = _NO_SYMBOLS) -> str:
        return f"frame of {len(self.data)} bytes {'sent' if self.is_sent else 'received'}"

    def _facts(self, symbols: SymbolTable) -> dict[str, Any]:
        return {"direction": "sent" if self.is_sent else "received", "size": len(self.data), "hex": self.data.hex()}


@dataclass(frozen=True, slots=True)
class InputEvent(Happening):
    """Keyboard or tablet has told the guest of keys, or of the pointer.

    Attributes:
        device: Its name: ``keyboard0``.
        events: The names of what changed and the values: ``(("KEY_A", 1),)`` is a key that goes down.
    """

    device: str
    events: tuple[tuple[str, int], ...]

    kind: ClassVar[str] = "input"

    def text(self, symbols: SymbolTable = _NO_SYMBOLS) -> str:
        return f"{self.device}: " + ", ".join(f"{name} {value}" for name, value in self.events)


@dataclass(frozen=True, slots=True)
class Sent(_Bytes):
    """A device has sent something by another output than those of console and network card.

    Attributes:
        name: The output's: ``keyboard0.leds``.
    """

    name: str

    kind: ClassVar[str] = "sent"

    def text(self, symbols: SymbolTable = _NO_SYMBOLS) -> str:
        return f"{self.name} sent {shown_bytes(self.data)}"

    def _facts(self, symbols: SymbolTable) -> dict[str, Any]:
        return {"name": self.name, **bytes_facts(self.data)}


@dataclass(frozen=True, slots=True)
class HostEvent(_Bytes):
    """The host has decided something else: an event of the trace that is neither console, frame nor input.

    Attributes:
        name: Its target: ``machine.stop``.
    """

    name: str

    kind: ClassVar[str] = "event"

    def text(self, symbols: SymbolTable = _NO_SYMBOLS) -> str:
        return f"event {self.name} {shown_bytes(self.data)}"

    def _facts(self, symbols: SymbolTable) -> dict[str, Any]:
        return {"name": self.name, **bytes_facts(self.data)}


@dataclass(frozen=True, slots=True)
class Answer(HostEvent):
    """The host has answered a question that the guest caused; ``hart.blocked``: a semihosting call waits for input."""

    kind: ClassVar[str] = "answer"

    def text(self, symbols: SymbolTable = _NO_SYMBOLS) -> str:
        return f"answer to {self.name}: {shown_bytes(self.data)}"


# ---- the run


@dataclass(frozen=True, slots=True)
class CheckpointPassed(Happening):
    """Timers of the guest side ran here, of the clock of this name."""

    clock: str

    kind: ClassVar[str] = "checkpoint"

    def text(self, symbols: SymbolTable = _NO_SYMBOLS) -> str:
        return f"checkpoint of the {self.clock} clock"


@dataclass(frozen=True, slots=True)
class SnapshotTaken(Happening):
    """The trace has a snapshot of here, with this number."""

    number: int

    kind: ClassVar[str] = "snapshot"

    def text(self, symbols: SymbolTable = _NO_SYMBOLS) -> str:
        return f"snapshot {self.number}"


@dataclass(frozen=True, slots=True)
class Reset(Happening):
    """The board was reset."""

    kind: ClassVar[str] = "reset"

    def text(self, symbols: SymbolTable = _NO_SYMBOLS) -> str:
        return "reset"


@dataclass(frozen=True, slots=True)
class MarkSet(Happening):
    """A run of a test that drove the recording had stopped here.

    Attributes:
        name: ``paused``: something came in before the next one. ``waits-forever``: it had come back, as the guest waits
            forever.
    """

    name: str

    kind: ClassVar[str] = "mark"

    def text(self, symbols: SymbolTable = _NO_SYMBOLS) -> str:
        return f"mark: {self.name}"


@dataclass(frozen=True, slots=True)
class Ended(Happening):
    """The recording ends here.

    Attributes:
        reason: As in the trace: ``finished``, ``waits-forever``...; ``killed`` where the recording was killed.
        exit_code: The guest's; None unless it finished.
        note: Which expectation ended it; ``""`` for none.
        pc: Where the hart is that ran last.
    """

    reason: str
    exit_code: int | None
    note: str
    pc: int

    kind: ClassVar[str] = "end"

    def text(self, symbols: SymbolTable = _NO_SYMBOLS) -> str:
        code = "" if self.exit_code is None else f", exit code {self.exit_code}"
        return f"the recording ends: {self.reason}{code}{f' {self.note}' if self.note else ''}" + (
            f", at {named_place(self.pc, symbols)}"
        )

    def _facts(self, symbols: SymbolTable) -> dict[str, Any]:
        return {
            "reason": self.reason, "exit_code": self.exit_code, "note": self.note or None, "pc": f"{self.pc:#x}",
            "symbol": symbols.describe(self.pc) or None,
        }  # fmt: skip


# ---- kinds

TYPES: tuple[type[Happening], ...] = (
    TimerFired, Trap, Interrupt, TrapReturned, LineChanged, SourceServed, PinChanged, HartSwitched, HartWaits,
    ConsoleOut, ConsoleIn, SerialSetUp, Frame, InputEvent, Sent, HostEvent, Answer, CheckpointPassed, SnapshotTaken,
    Reset, MarkSet, Ended,
)  # fmt: skip
ALL: frozenset[type[Happening]] = frozenset(TYPES)
"""All kinds. A walk over a run notes those that are asked for; what is not asked for costs nothing."""


# ---- bytes and places


def bytes_facts(data: bytes) -> dict[str, Any]:
    """Bytes for JSON: ``hex``, and ``text`` where they can be printed, else None."""
    return {"hex": data.hex(), "text": _as_text(data)}


def shown_bytes(data: bytes) -> str:
    """Bytes in a line: as a text where they are one, else in hexadecimal; shortened."""
    text = _as_text(data)
    shown = data.hex() if text is None else printable(repr(text), 4 * _TEXT_MAX)
    return shown if len(shown) <= _TEXT_MAX else f"{shown[:_TEXT_MAX]}... {len(data)} bytes"


def _as_text(data: bytes) -> str | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if all(one.isprintable() or one in "\r\n\t\b\a\x1b" for one in text) else None
