"""Sorts what happens in a run into the lanes of a timeline, in bounded memory, and gives them as data for the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from minstret.emu.door.door import Position
from minstret.emu.images.loader import SymbolTable
from minstret.emu.questions import happenings as h
from minstret.emu.questions.page import registers
from minstret.emu.questions.page.consolelines import ConsoleLine, ConsoleLines
from minstret.emu.questions.page.frames import FrameReader
from minstret.emu.questions.page.registers import HartState
from minstret.emu.questions.page.thinning import Spans, Thinned
from minstret.emu.report import place_text
from minstret.emu.text import printable

KINDS = h.ALL - {h.TrapReturned, h.SerialSetUp}
"""What lanes show."""
ROWS_MAX, OTHERS = 32, "others"
"""Lanes of a group; what has yet another name goes into one called ``others``."""
CONSOLE_EDGE = 5000
"""Lines of the console that are kept of its beginning and of its end."""
_NAME_MAX, _TEXT_MAX = 80, 300


class Group(NamedTuple):
    """Lanes of one kind.

    Attributes:
        title: What people see.
        colour: Its name in the style sheet.
        note: What to know about them.
        on, off: Of lanes with spans, what these are.
    """

    title: str
    colour: str
    note: str = ""
    on: str = ""
    off: str = ""


GROUPS = {
    "harts": Group(
        "Harts", "harts", "Height: how much of the time a hart ran.", "runs", "waits, or another hart runs,"
    ),
    "traps": Group("Exceptions", "traps"),
    "interrupts": Group("Interrupts taken", "interrupts"),
    "lines": Group("Interrupt lines", "lines", "Height: how much of the time a line was up.", "up", "down"),
    "sources": Group("Interrupt controller", "lines", "Sources of the PLIC, claimed and completed by the guest."),
    "timers": Group("Timers", "timers", "Of the guest's side: a checkpoint in the trace says when they ran."),
    "external": Group("EXTERNAL timers", "external", (
        "Of the host's side. A replay does without them, so the trace has no checkpoints for them: what they brought is"
        " among input, frames and console.")),
    "console": Group("Console", "console"),
    "input": Group("Keyboard and tablet", "input"),
    "network": Group("Frames", "network"),
    "pins": Group("Pins and values of devices", "lines", "", "1", "0"),
    "host": Group("Host", "input", "Other decisions of the host, and answers to what the guest asked."),
    "output": Group("Other output", "console"),
    "trace": Group("Trace", "trace"),
}  # fmt: skip
"""In the order in which they are shown."""


class Event(NamedTuple):
    """An event of a lane; ``what`` tells its text when it is asked for: most are thinned out before."""

    serial: int
    icount: int
    virtual_ns: int
    hart: int | None
    what: h.Happening | ConsoleLine
    state: HartState | None


@dataclass(slots=True)
class Row:
    """A lane: events with a mark, or spans."""

    name: str
    mark: str
    events: Thinned[Event] = field(default_factory=Thinned)
    spans: Spans | None = None
    note: str = ""
    count: int | None = None
    """How often something has happened, where it is not known when."""


class Lanes:
    """Takes happenings in their order; ``data`` then gives all of it for the page."""

    def __init__(self, begin: Position, harts: int = 1) -> None:
        """For a run that begins at ``begin``."""
        self._begin, self._serial = begin, 0
        self._rows: dict[str, dict[str, Row]] = {group: {} for group in GROUPS}
        self._lines: Thinned[ConsoleLine] = Thinned(CONSOLE_EDGE, 0)
        self._console = ConsoleLines(self._line_ended)
        self._harts = [f"hart{number}" for number in range(harts)]
        self._last: h.Ended | None = None
        for number, name in enumerate(self._harts):
            self._turn("harts", name, *begin, number == 0)
        self._takers: dict[type[h.Happening], Callable[[Any, HartState | None], None]] = {
            h.HartSwitched: self._hart_switched, h.HartWaits: self._hart_waits, h.LineChanged: self._line_changed,
            h.PinChanged: self._pin_changed, h.Frame: self._frame_crossed, h.ConsoleOut: self._console_wrote,
            h.ConsoleIn: self._console_took,
        }  # fmt: skip
        for kind, (group, mark, name_of) in _MARKS.items():
            self._takers[kind] = self._marker(group, mark, name_of)

    def take(self, happening: h.Happening, state: HartState | None = None) -> None:
        """Something has happened; ``state``: of the hart that did it, or that ran, then."""
        self._serial += 1
        self._takers[type(happening)](happening, state)

    def add_timers(self, facts: Iterable[Mapping[str, Any]]) -> None:
        """What the trace says of timers: name, external, fired, checkpoints, checkpoints_saved, bytes_saved."""
        for timer in facts:
            if not timer["fired"]:
                continue
            if timer["external"]:
                row = self._row("external", str(timer["name"]), "external")
                row.count = timer["fired"]
                row.note = (
                    f"fired {timer['fired']:,} times while it was recorded; its attribute saved"
                    f" {timer['checkpoints_saved']:,} checkpoints, {timer['bytes_saved']:,} bytes"
                )
            else:
                row = self._row("timers", str(timer["name"]), "timer")
                row.note = f"fired {timer['fired']:,} times while it was recorded, {timer['checkpoints']:,} checkpoints"

    # ---- taking

    def _row(self, group: str, name: str, mark: str) -> Row:
        rows = self._rows[group]
        row = rows.get(name)
        if row is None:
            name = name if len(rows) < ROWS_MAX else OTHERS
            row = rows.setdefault(name, Row(name, mark))
        return row

    def _marker(self, group: str, mark: str, name_of: Callable[[Any], str]) -> Callable[[Any, HartState | None], None]:
        def take(happening: h.Happening, state: HartState | None) -> None:
            self._add(self._row(group, name_of(happening), mark), happening, state)

        return take

    def _add(self, row: Row, happening: h.Happening, state: HartState | None) -> None:
        row.events.add(
            Event(self._serial, happening.icount, happening.virtual_ns, happening.hart, happening, state)
        )  # fmt: skip

    def _turn(self, group: str, name: str, icount: int, virtual_ns: int, is_on: bool) -> None:
        row = self._row(group, name, "share")
        if row.spans is None:
            row.spans = Spans()
            if group != "harts" and (icount, virtual_ns) != self._begin:
                row.spans.turn(*self._begin, not is_on, 0)
        row.spans.turn(icount, virtual_ns, is_on, self._serial)

    def _hart_switched(self, happening: h.HartSwitched, state: HartState | None) -> None:
        self._runs(happening, happening.hart)

    def _hart_waits(self, happening: h.HartWaits, state: HartState | None) -> None:
        if not happening.begins:
            self._runs(happening, happening.hart)
        elif happening.hart is not None:
            self._turn("harts", f"hart{happening.hart}", happening.icount, happening.virtual_ns, False)

    def _runs(self, happening: h.Happening, hart: int | None) -> None:
        """One hart runs from here on, so no other does."""
        for number, name in enumerate(self._harts):
            self._turn("harts", name, happening.icount, happening.virtual_ns, number == hart)

    def _line_changed(self, happening: h.LineChanged, state: HartState | None) -> None:
        self._turn("lines", happening.name, happening.icount, happening.virtual_ns, happening.level)

    def _pin_changed(self, happening: h.PinChanged, state: HartState | None) -> None:
        if happening.bits == 1:
            self._turn("pins", happening.name, happening.icount, happening.virtual_ns, bool(happening.value))
        else:
            self._add(self._row("pins", happening.name, "tick"), happening, state)

    def _frame_crossed(self, happening: h.Frame, state: HartState | None) -> None:
        name = "sent" if happening.is_sent else "received"
        self._add(self._row("network", name, name), happening, state)

    def _console_wrote(self, happening: h.ConsoleOut, state: HartState | None) -> None:
        self._console.wrote(happening.icount, happening.virtual_ns, happening.data, self._serial)

    def _console_took(self, happening: h.ConsoleIn, state: HartState | None) -> None:
        self._console.took(happening.icount, happening.virtual_ns, happening.data, self._serial)
        self._add(self._row("console", "typed", "input"), happening, state)

    def _line_ended(self, line: ConsoleLine) -> None:
        self._lines.add(line)
        if not line.is_typed:
            event = Event(line.serial, line.icount, line.virtual_ns, None, line, None)
            self._row("console", "written", "text").events.add(event)

    # ---- giving

    def data(self, name: str, command: tuple[str, str], end: Position, symbols: SymbolTable) -> dict[str, Any]:
        """All of it, of plain values: see static/data.js, which reads it.

        Args:
            name: The trace's.
            command: What comes before and behind an icount in a command that debugs there.
            end: Where the run ends.
            symbols: For addresses.
        """
        self._console.finish()
        texts = _Texts(symbols)
        kept = {
            (group, row.name): [*row.events.kept()] for group, rows in self._rows.items() for row in rows.values()
        }  # fmt: skip
        states = registers.chosen([(event.serial, event.state) for event, _ in events] for events in kept.values())
        places = {serial: at for at, serial in enumerate(states)}
        groups = []
        for group, rows in self._rows.items():
            listed = [self._row_data(row, kept[group, row.name], end, texts, places) for row in rows.values()]
            if listed:
                groups.append({"id": group, **GROUPS[group]._asdict(), "rows": listed})
        return {
            "name": name, "command": list(command), "begin": list(self._begin), "end": list(end), "groups": groups,
            "console": self._console_data(), "registers": registers.packed(states.values()), "strings": texts.all,
        }  # fmt: skip

    def _row_data(
        self, row: Row, kept: Sequence[tuple[Event, int]], end: Position, texts: _Texts, places: Mapping[int, int]
    ) -> dict[str, Any]:  # fmt: skip
        data = {"name": printable(row.name, _NAME_MAX), "note": row.note, "mark": row.mark}
        if row.spans is not None:
            spans = row.spans.kept(*end)
            return data | {
                "kind": "share", "count": sum(1 + one.more for one in spans), **_places(spans),
                "more": _column(one.more for one in spans), "on_icount": [one.on_icount for one in spans],
                "on_ns": [one.on_ns for one in spans],
            }  # fmt: skip
        events = [event for event, _ in kept]
        return data | {
            "kind": "marks", "count": row.events.count if row.count is None else row.count, **_places(events),
            "more": _column(more for _, more in kept),
            "text": [texts.of_event(event) for event in events],
            "place": _column((texts.of_place(event) for event in events), -1),
            "hart": _column((-1 if event.hart is None else event.hart for event in events), -1),
            "registers": _column((places.get(event.serial, -1) for event in events), -1),
        }  # fmt: skip

    def _console_data(self) -> dict[str, Any]:
        kept = [*self._lines.kept()]
        left_out = sum(more for _, more in kept)
        at = next((index + 1 for index, (_, more) in enumerate(kept) if more), 0)
        first = sorted((line for line, _ in kept[:at]), key=lambda line: line.serial)
        lines = first + sorted((line for line, _ in kept[at:]), key=lambda line: line.serial)
        return {
            **_places(lines), "text": [line.text for line in lines],
            "typed": [index for index, line in enumerate(lines) if line.is_typed],
            "left_out": left_out, "left_out_at": at,
        }  # fmt: skip


def _fixed(name: str) -> Callable[[Any], str]:
    return lambda happening: name


_MARKS: dict[type[h.Happening], tuple[str, str, Callable[[Any], str]]] = {
    h.Trap: ("traps", "trap", lambda one: one.name),
    h.Interrupt: ("interrupts", "interrupt", lambda one: one.name),
    h.SourceServed: ("sources", "tick", lambda one: one.device or f"source {one.source}"),
    h.TimerFired: ("timers", "timer", lambda one: one.name),
    h.InputEvent: ("input", "input", lambda one: one.device),
    h.Sent: ("output", "sent", lambda one: one.name),
    h.HostEvent: ("host", "host", lambda one: one.name),
    h.Answer: ("host", "host", lambda one: f"answer: {one.name}"),
    h.CheckpointPassed: ("trace", "tick", lambda one: f"checkpoint, {one.clock}"),
    h.SnapshotTaken: ("trace", "snapshot", _fixed("snapshot")),
    h.Reset: ("trace", "end", _fixed("reset")),
    h.MarkSet: ("trace", "tick", lambda one: one.name),
    h.Ended: ("trace", "end", _fixed("end")),
}
"""Of each kind that is marked: its group, its shape, and the lane's name."""


class _Texts:
    """Texts by number: most are there many times."""

    def __init__(self, symbols: SymbolTable) -> None:
        self._symbols, self._frames = symbols, FrameReader()
        self._known: dict[str, int] = {}
        self._pcs: dict[int, int] = {}

    @property
    def all(self) -> list[str]:
        return [*self._known]

    def number(self, text: str) -> int:
        return self._known.setdefault(text, len(self._known))

    def of_event(self, event: Event) -> int:
        """What happened."""
        what = event.what
        if isinstance(what, h.Frame):
            text = self._frames.text(what.data)
        elif isinstance(what, ConsoleLine):
            text = what.text
        elif isinstance(what, h.ConsoleIn):
            text = h.shown_bytes(what.data)
        else:
            text = printable(what.text(self._symbols))
        return self.number(text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}...")

    def of_place(self, event: Event) -> int:
        """Where the hart was; -1 where that is not known."""
        pc = getattr(event.what, "epc", getattr(event.what, "pc", None if event.state is None else event.state.pc))
        if pc is None:
            return -1
        if pc not in self._pcs:
            self._pcs[pc] = self.number(printable(place_text(pc, self._symbols)))
        return self._pcs[pc]


def _places(items: Sequence[Any]) -> dict[str, list[int]]:
    """The columns that say where items are, as differences."""
    return {
        "icount": _differences(item.icount for item in items), "ns": _differences(item.virtual_ns for item in items),
        "seq": _differences(item.serial for item in items),
    }  # fmt: skip


def _differences(values: Iterable[int]) -> list[int]:
    return [after - before for before, after in pairwise(_after_zero(values))]


def _after_zero(values: Iterable[int]) -> Iterator[int]:
    yield 0
    yield from values


def _column(values: Iterable[int], default: int = 0) -> list[int] | None:
    """Them; None where all are ``default``."""
    column = [*values]
    return column if any(value != default for value in column) else None
