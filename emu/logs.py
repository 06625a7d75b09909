"""Logs of a run: traps, accesses that nobody answers, interrupts, and every instruction. A log never changes the run.

Owns what an entry is and how it reads in one line. Harts and the interrupt controller tell what happens, and only while
there is a log that asks. Entries come in the order of happening: what an instruction causes comes after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from types import TracebackType
from typing import Any, ClassVar, Protocol, Self

from minstret.emu.bus import BusDevice
from minstret.emu.errors import ConfigError
from minstret.emu.hart.decode import insn_bytes
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.observers import InsnRetired, TrapTaken
from minstret.emu.hart.shared import Access
from minstret.emu.hart.spec import PRIV_NAMES
from minstret.emu.hart.traps import TrapRecord
from minstret.emu.images.loader import SymbolTable
from minstret.emu.irq import SourceChange
from minstret.emu.machine import Machine
from minstret.emu.report import assembler_text, trap_name

LIMIT = 100_000
"""So many entries a log keeps by default, the newest: some tens of MB."""

_ACCESS_NAMES = {Access.READ: "load", Access.WRITE: "store", Access.FETCH: "fetch"}


class LogKind(Enum):
    """What a log can be of; the values are those of ``--log``."""

    TRAPS = "traps"
    UNMAPPED = "unmapped"
    IRQ = "irq"
    EXEC = "exec"


# ---- entries


_NO_SYMBOLS = SymbolTable()


@dataclass(frozen=True, slots=True)
class LogEntry:
    """Something that happened.

    Attributes:
        icount, virtual_ns: Where in the run. An instruction that is under way has not been counted.
        hart: The id of the hart that did it; None where no instruction did.
        pc: The address of its instruction; None where no instruction did it.
    """

    icount: int
    virtual_ns: int
    hart: int | None
    pc: int | None

    word: ClassVar[str] = ""
    """What it is, as in its line and its facts."""

    def text(self, symbols: SymbolTable = _NO_SYMBOLS, *, shows_hart: bool = True) -> str:
        """It in one line: icount, virtual time in seconds, hart, what happened; with names of functions."""
        hart = "" if not shows_hart else "         " if self.hart is None else f"hart{self.hart:<5}"
        return f"{self.icount:>14,}  {self.virtual_ns / 1e9:>14.9f}  {hart}{self.word:<9} {self.what(symbols)}"

    def facts(self, symbols: SymbolTable) -> dict[str, Any]:
        """It for JSON. Addresses and values are hexadecimal strings: many JSON readers lose 64-bit integers."""
        return {
            "icount": self.icount, "virtual_ns": self.virtual_ns, "kind": self.word, "hart": self.hart,
            **_place_facts("pc", "symbol", self.pc, symbols), **self._facts(symbols),
        }  # fmt: skip

    def what(self, symbols: SymbolTable) -> str:
        """What happened, in words, without when."""
        raise NotImplementedError

    def _facts(self, symbols: SymbolTable) -> dict[str, Any]:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class TrapEntry(LogEntry):
    """An exception that a hart has taken, at the instruction at ``pc``, which has not retired.

    Attributes:
        cause: Its code.
        tval: What goes with it: an address, an instruction, or 0.
        priv: The privilege in which it happened.
        handler, handler_priv: The first instruction of its handler, and the privilege of that.
    """

    cause: int
    tval: int
    priv: int
    handler: int
    handler_priv: int

    word: ClassVar[str] = "trap"
    is_interrupt: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Its cause in words."""
        return trap_name(self._taken.trap)

    @property
    def _taken(self) -> TrapTaken:
        trap = TrapRecord(self.cause, self.pc or 0, self.tval, self.priv, self.icount, self.is_interrupt)
        return TrapTaken(trap, self.handler, self.handler_priv)

    def what(self, symbols: SymbolTable) -> str:
        return taken_text(self._taken, symbols)

    def _facts(self, symbols: SymbolTable) -> dict[str, Any]:
        return {
            "cause": self.cause, "name": self.name, "tval": f"{self.tval:#x}", "privilege": mode_name(self.priv),
            **_place_facts("handler", "handler_symbol", self.handler, symbols),
            "handler_privilege": mode_name(self.handler_priv),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class InterruptEntry(TrapEntry):
    """An interrupt that a hart has taken, before the instruction at ``pc``."""

    word: ClassVar[str] = "interrupt"
    is_interrupt: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class UnmappedEntry(LogEntry):
    """An access that nothing answered, or that was refused by what is there. The trap that it becomes follows it.

    Attributes:
        access: ``load``, ``store`` (an AMO counts as one) or ``fetch``.
        address: Virtual address.
        physical: Physical address; None where the page tables that lead there are outside RAM.
        size: Bytes; of a fetch the 2 that were wanted first.
        device: What is there and refused it; None where nothing is.
    """

    access: str
    address: int
    physical: int | None
    size: int
    device: str | None

    word: ClassVar[str] = "unmapped"

    def what(self, symbols: SymbolTable) -> str:
        physical = "" if self.physical in (self.address, None) else f" (physical {self.physical:#x})"
        return (
            f"{self.access} of {self.size} byte{'s' * (self.size != 1)} at {self.address:#x}{physical}: {self._why()};"
            f" by {named_place(self.pc, symbols)}"
        )

    def _why(self) -> str:
        if self.physical is None:
            return "its page table is outside RAM"
        return "nothing is there" if self.device is None else f"{self.device} refuses it"

    def _facts(self, symbols: SymbolTable) -> dict[str, Any]:
        return {
            "access": self.access, "address": f"{self.address:#x}",
            "physical": None if self.physical is None else f"{self.physical:#x}", "size": self.size,
            "device": self.device,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class IrqEntry(LogEntry):
    """What happened to a source of the interrupt controller.

    Attributes:
        change: Its line was raised or lowered, or a hart has claimed or completed it.
        source: Its number.
        device: Whose it is; ``""`` where no device has it.
    """

    change: SourceChange
    source: int
    device: str

    word: ClassVar[str] = "irq"

    def what(self, symbols: SymbolTable) -> str:
        by = "" if self.pc is None else f" at {named_place(self.pc, symbols)}"
        return f"{self.device or 'no device'} (source {self.source}) {self.change.value}{by}"

    def _facts(self, symbols: SymbolTable) -> dict[str, Any]:
        return {"change": self.change.value, "source": self.source, "device": self.device or None}


@dataclass(frozen=True, slots=True)
class ExecEntry(LogEntry):
    """An instruction that has retired: its 16 or 32 bits, and for which width of registers they were read."""

    insn: int
    xlen: int

    word: ClassVar[str] = "exec"

    @property
    def assembler(self) -> str:
        """The instruction as an assembler writes it."""
        return assembler_text(insn_bytes(self.insn), self.pc or 0, self.xlen)

    def what(self, symbols: SymbolTable) -> str:
        return f"{named_place(self.pc, symbols)}: {insn_bytes(self.insn)[::-1].hex():>8}  {self.assembler}"

    def _facts(self, symbols: SymbolTable) -> dict[str, Any]:
        return {"insn": f"{self.insn:#x}", "assembler": self.assembler}


def taken_text(taken: TrapTaken, symbols: SymbolTable) -> str:
    """A trap and its handler in a few words: what, where, in which privileges."""
    trap, handler, priv = taken
    value = "" if trap.is_interrupt else f", tval {trap.tval:#x}"
    mode = "" if priv == trap.priv else f", in {mode_name(priv)}"
    return (
        f"{trap_name(trap)} ({trap.cause}) at {named_place(trap.epc, symbols)}{value}, in {mode_name(trap.priv)};"
        f" handler {named_place(handler, symbols)}{mode}"
    )


def named_place(address: int | None, symbols: SymbolTable) -> str:
    """An address and its symbol. Source lines would take long to find for each line of a log."""
    name = symbols.describe(address or 0)
    return f"{address or 0:#x}{f' <{name}>' if name else ''}"


def _place_facts(key: str, symbol: str, address: int | None, symbols: SymbolTable) -> dict[str, Any]:
    if address is None:
        return {key: None, symbol: None}
    return {key: f"{address:#x}", symbol: symbols.describe(address) or None}


def mode_name(priv: int) -> str:
    return PRIV_NAMES.get(priv, "?")


# ---- logs


class Log:
    """What has happened since it was opened, oldest first. Can be gone through again and again while the run goes on.

    Use it as a context, or ``close`` it, when no more is to be added.

    Attributes:
        kinds: What it is of.
        limit: It keeps so many entries, the newest.
        dropped: How many older ones it has let go.
    """

    def __init__(
        self, kinds: frozenset[LogKind], limit: int, on_entry: Callable[[LogEntry], None] | None,
        on_close: Callable[[Log], None],
    ) -> None:  # fmt: skip
        """Made by ``Logs.open``, which calls ``add``; ``on_close`` is told when that is to end."""
        self.kinds, self.limit, self.dropped = kinds, limit, 0
        self._entries: deque[LogEntry] = deque(maxlen=limit)
        self._on_entry, self._on_close = on_entry, on_close

    def add(self, entry: LogEntry) -> None:
        """Something has happened."""
        if len(self._entries) == self.limit:
            self.dropped += 1
        self._entries.append(entry)
        if self._on_entry is not None:
            self._on_entry(entry)

    def __iter__(self) -> Iterator[LogEntry]:
        """The entries so far."""
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def close(self) -> None:
        """Add nothing more; what is there stays."""
        self._on_close(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class InterruptSources(Protocol):
    """What logs need of an interrupt controller."""

    on_change: Callable[[SourceChange, int], None] | None


_OF_TRAPS = {LogKind.TRAPS, LogKind.UNMAPPED, LogKind.IRQ}


class Logs:
    """The open logs of one machine."""

    def __init__(self, machine: Machine, interrupts: InterruptSources, sources: Mapping[int, str]) -> None:
        """Make it, with no log; ``sources`` are the names of the devices at the sources of ``interrupts``."""
        self._machine, self._interrupts, self._sources = machine, interrupts, sources
        self._open: list[Log] = []
        self._under_way: list[LogEntry] = []
        """What the instruction under way has caused, where that instruction is logged once it has retired."""

    def open(
        self, *, traps: bool = False, unmapped: bool = False, irq: bool = False, exec: bool = False,
        limit: int | None = None, on_entry: Callable[[LogEntry], None] | None = None,
    ) -> Log:  # fmt: skip
        """Begin a log of what happens from now on.

        Args:
            traps: Exceptions and interrupts, as harts take them.
            unmapped: Accesses that nothing answers, or that a device refuses.
            irq: Interrupts as harts take them, and what happens to sources of the interrupt controller: raised,
                lowered, claimed, completed. An interrupt is one entry, however it was asked for.
            exec: Each instruction that retires. That is slow: some tens of thousands a second.
            limit: Keep so many entries, the newest; LIMIT without it.
            on_entry: Called with each entry as it is added. It must not run the machine.
        Raises:
            ConfigError: it would be a log of nothing, or there is no such limit.
        """
        wanted = (traps, unmapped, irq, exec)
        kinds = frozenset(kind for kind, is_wanted in zip(LogKind, wanted, strict=True) if is_wanted)
        if not kinds:
            raise ConfigError("log: nothing to log; ask for traps, unmapped, irq or exec")
        limit = LIMIT if limit is None else limit
        if limit < 0:
            raise ConfigError(f"log: it can't keep {limit} entries")
        log = Log(kinds, limit, on_entry, self._close)
        self._open.append(log)
        self._listen()
        return log

    def _close(self, log: Log) -> None:
        if log in self._open:
            self._open.remove(log)
            self._listen()

    def _listen(self) -> None:
        """Ask for what the open logs are of, and nothing else."""
        self._wanted = frozenset[LogKind]().union(*(log.kinds for log in self._open))
        for hart in self._machine.harts:
            hart.observers.tell(
                partial(self._trapped, hart) if self._wanted & _OF_TRAPS else None,
                partial(self._retired, hart) if LogKind.EXEC in self._wanted else None,
            )
        self._interrupts.on_change = self._source_changed if LogKind.IRQ in self._wanted else None

    def _add(self, entry: LogEntry, *kinds: LogKind) -> None:
        for log in self._open:
            if not log.kinds.isdisjoint(kinds):
                log.add(entry)

    # ---- what happens

    def _trapped(self, hart: Hart, taken: TrapTaken) -> None:
        trap = taken.trap
        place = (trap.icount, self._machine.clock.ns_at(trap.icount), hart.hart_id, trap.epc)
        self._add_what_was_caused()
        refusal = hart.observers.refusal_of(trap) if LogKind.UNMAPPED in self._wanted else None
        if refusal is not None:
            device = None if refusal.physical is None else self._device_at(refusal.physical)
            access = _ACCESS_NAMES[refusal.access]
            entry = UnmappedEntry(*place, access, refusal.address, refusal.physical, refusal.size, device)
            self._add(entry, LogKind.UNMAPPED)
        rest = (trap.cause, trap.tval, trap.priv, taken.handler, taken.priv)
        if trap.is_interrupt:
            self._add(InterruptEntry(*place, *rest), LogKind.TRAPS, LogKind.IRQ)
        else:
            self._add(TrapEntry(*place, *rest), LogKind.TRAPS)

    def _device_at(self, physical: int) -> str | None:
        memory = self._machine.memory
        if 0 <= physical - memory.rom_base < memory.rom_size:
            return "the boot ROM"
        found: BusDevice | None = next(
            (w.device for w in self._machine.bus.windows if 0 <= physical - w.base < w.size), None
        )  # fmt: skip
        return None if found is None else found.name

    def _source_changed(self, change: SourceChange, source: int) -> None:
        hart, position = self._machine.hart, self._machine.position
        who, pc = (hart.hart_id, hart.pc) if hart.is_accessing else (None, None)
        device = self._sources.get(source, "")
        entry = IrqEntry(position.icount, position.virtual_ns, who, pc, change, source, device)
        if hart.is_accessing and LogKind.EXEC in self._wanted:
            self._under_way.append(entry)
        else:
            self._add(entry, LogKind.IRQ)

    def _retired(self, hart: Hart, insn: InsnRetired) -> None:
        place = (insn.icount, self._machine.clock.ns_at(insn.icount), hart.hart_id, insn.pc)
        self._add(ExecEntry(*place, insn.insn, hart.xlen), LogKind.EXEC)
        self._add_what_was_caused()

    def _add_what_was_caused(self) -> None:
        caused, self._under_way = self._under_way, []
        for entry in caused:
            self._add(entry, LogKind.IRQ)
