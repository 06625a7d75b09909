"""What happened as tracks in Chrome's JSON, for ui.perfetto.dev: harts, timers, lines, sources, what goes in and out.

A hart's track has a slice for each handler of a trap and for each wait, one within the other. A line is a slice while
it is up, a source from its claim to its completion; all else lasts a nanosecond. Arrows lead from what began it, such
as a timer that fired or a frame that came in, over the lines that rose to the interrupt that a hart took for it, and
from there to the source that its handler claimed.

An arrow is written once it is whole, so its beginnings are in the file behind what came later; a reader sorts by time.
Source: Google, "Trace Event Format"; https://perfetto.dev/docs/getting-started/other-formats.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from minstret.emu.door.door import Position
from minstret.emu.hart.spec import PRIV_U
from minstret.emu.hart.spec import Interrupt as Line
from minstret.emu.irq import SourceChange
from minstret.emu.questions.exports.form import RunFacts, TimerFacts, Write
from minstret.emu.questions.exports.lines import ConsoleLines
from minstret.emu.questions.happenings import (
    ALL,
    Answer,
    CheckpointPassed,
    ConsoleIn,
    ConsoleOut,
    Ended,
    Frame,
    Happening,
    HartSwitched,
    HartWaits,
    HostEvent,
    InputEvent,
    Interrupt,
    LineChanged,
    MarkSet,
    PinChanged,
    Reset,
    Sent,
    SerialSetUp,
    SnapshotTaken,
    SourceServed,
    TimerFired,
    Trap,
    TrapReturned,
)
from minstret.emu.text import printable

_HARTS, _TIMERS, _LINES, _SOURCES, _IN_AND_OUT, _PINS, _TRACE = range(1, 8)
_GROUPS = {
    _HARTS: "harts", _TIMERS: "timers", _LINES: "interrupt lines", _SOURCES: "sources of the PLIC in service",
    _IN_AND_OUT: "in and out", _PINS: "pins", _TRACE: "trace",
}  # fmt: skip
_MOMENT_NS = 1
_DEPTH_MAX = 32
"""Slices within another on one track; traps deeper than that never return."""
_HEX_MAX = 64
_LINES_OF = {Line.MSI: "msip", Line.MTI: "mtip", Line.MEI: "meip", Line.SEI: "seip"}


class Track(NamedTuple):
    """Where a slice is: group and number."""

    pid: int
    tid: int


class Point(NamedTuple):
    """A slice that an arrow may touch: its track, and when it began, ns."""

    track: Track
    ns: int


@dataclass(slots=True)
class _Open:
    """A slice that has not ended; ``priv`` is where the hart was before a trap, None of a wait."""

    priv: int | None
    handler_priv: int = 0


@dataclass(slots=True)
class _Hart:
    """What is open on a hart's track, and which interrupts it took last: of S-mode's timer, and of the PLIC."""

    track: Track
    stack: list[_Open] = field(default_factory=list)
    timer: Point | None = None
    external: Point | None = None


class Perfetto:
    """Writes events as they come."""

    KINDS = ALL - {SerialSetUp}

    def __init__(self, run: RunFacts, write: Write) -> None:
        self._run, self._write = run, write
        self._write(b'{"displayTimeUnit": "ns", "otherData": ')
        self._write(json.dumps({"trace": run.name, "made by": run.made_by}).encode())
        self._write(b', "traceEvents": [\n')
        self._is_first = True
        self._flows = 0
        self._groups: set[int] = set()
        self._tracks: dict[tuple[int, str], Track] = {}
        self._raised: dict[str, tuple[Point, ...]] = {}
        """The lines that are up: how that came, from what began it to the line itself."""
        self._origin: tuple[Position, Point] | None = None
        self._under_way: tuple[Position, tuple[Point, ...]] | None = None
        self._in_service: set[str] = set()
        self._running: Track | None = None
        self._console = ConsoleLines(self._said)
        self._harts = [_Hart(self._track(_HARTS, f"hart{hart}")) for hart in range(len(run.privileges))]
        for timer in run.timers:
            self._begin_timer(timer)
        for name in run.lines:
            self._track(_LINES, name)
        self._tell: dict[type[Happening], Callable[[Any], object]] = {
            TimerFired: self._fired, Trap: self._trapped, Interrupt: self._trapped, TrapReturned: self._returned,
            LineChanged: self._line_changed, SourceServed: self._served, PinChanged: self._pin_changed,
            HartSwitched: self._switched, HartWaits: self._waited, ConsoleOut: self._sent_to_console,
            ConsoleIn: self._came("console in"), Frame: self._frame, InputEvent: self._came("input"),
            Sent: self._on(_IN_AND_OUT, "sent"), HostEvent: self._came("events"), Answer: self._on(_TRACE, "answers"),
            CheckpointPassed: self._on(_TRACE, "checkpoints"), SnapshotTaken: self._on(_TRACE, "snapshots"),
            Reset: self._was_reset, MarkSet: self._on(_TRACE, "marks"), Ended: self._on(_TRACE, "end"),
        }  # fmt: skip

    def add(self, happening: Happening) -> None:
        self._tell[type(happening)](happening)

    def finish(self, position: Position) -> None:
        self._console.flush()
        for hart in self._harts:
            self._close(hart, position.virtual_ns)
        for name in self._raised:
            self._end(self._track(_LINES, name), position.virtual_ns)
        for name in sorted(self._in_service):
            self._end(self._track(_SOURCES, name), position.virtual_ns)
        if self._running is not None:
            self._end(self._running, position.virtual_ns)
        self._write(b"\n]}\n")

    # ---- events

    def _event(self, phase: str, track: Track, ns: int, **rest: Any) -> None:
        begin = "" if self._is_first else ",\n"
        self._is_first = False
        rest_text = json.dumps(rest)[1:-1]
        us, part = divmod(ns, 1000)
        self._write(
            f'{begin}{{"ph": "{phase}", "pid": {track.pid}, "tid": {track.tid}, "ts": {us}.{part:03d}'
            f"{', ' if rest_text else ''}{rest_text}}}".encode()
        )

    def _track(self, group: int, name: str) -> Track:
        """The track of that name, made at the first call."""
        found = self._tracks.get((group, name))
        if found is not None:
            return found
        self._name_group(group)
        track = self._tracks[group, name] = Track(group, len(self._tracks) + 1)
        self._named("thread", track, printable(name))
        return track

    def _name_group(self, group: int) -> None:
        if group not in self._groups:
            self._groups.add(group)
            self._named("process", Track(group, 0), _GROUPS[group])

    def _named(self, what: str, track: Track, name: str) -> None:
        at = self._run.start.virtual_ns
        self._event("M", track, at, name=f"{what}_name", args={"name": name})
        self._event("M", track, at, name=f"{what}_sort_index", args={"sort_index": track.tid or track.pid})

    def _begin(self, track: Track, ns: int, name: str, **args: Any) -> Point:
        self._event("B", track, ns, name=name, args=args)
        return Point(track, ns)

    def _end(self, track: Track, ns: int) -> None:
        self._event("E", track, ns)

    def _moment(self, track: Track, ns: int, name: str, **args: Any) -> Point:
        """A slice that is as short as can be."""
        self._begin(track, ns, name, **args)
        self._end(track, ns + _MOMENT_NS)
        return Point(track, ns)

    def _arrow(self, *points: Point) -> None:
        """An arrow from the first slice over others to the last; none where there is one."""
        if len(points) < 2:
            return
        self._flows += 1
        for number, point in enumerate(points):
            phase = "s" if number == 0 else "f" if number == len(points) - 1 else "t"
            rest = {"bp": "e"} if phase == "f" else {}
            self._event(phase, point.track, point.ns, id=self._flows, cat="cause", name="cause", **rest)

    # ---- what begins something

    def _began(self, happening: Happening, point: Point) -> None:
        """What the lines that change at once follow from."""
        self._origin = happening.position, point

    def _begin_timer(self, timer: TimerFacts) -> None:
        attribute = "EXTERNAL" if timer.is_external else "none"
        track = self._track(_TIMERS, _timer_name(timer.name, timer.clock, timer.is_external))
        facts = {} if timer.fired is None else {"fired in the recording": timer.fired}
        if timer.is_external:
            facts |= {"checkpoints that its attribute has saved": timer.saved}
        self._moment(
            track, self._run.start.virtual_ns, timer.name, clock=timer.clock, attribute=attribute, **facts
        )  # fmt: skip

    def _fired(self, timer: TimerFired) -> None:
        track = self._track(_TIMERS, _timer_name(timer.name, timer.clock, timer.is_external))
        attribute = "EXTERNAL" if timer.is_external else "none"
        self._began(timer, self._moment(
            track, timer.virtual_ns, f"{timer.name} fires", clock=timer.clock, attribute=attribute,
            deadline_ns=timer.deadline_ns, icount=timer.icount,
        ))  # fmt: skip

    def _came(self, name: str) -> Callable[[Any], None]:
        tell = self._on(_IN_AND_OUT, name)
        return lambda happening: self._began(happening, tell(happening))

    def _frame(self, frame: Frame) -> None:
        track = self._track(_IN_AND_OUT, "frames sent" if frame.is_sent else "frames received")
        point = self._moment(
            track, frame.virtual_ns, frame.text(), size=len(frame.data), hex=frame.data[:_HEX_MAX].hex(),
            icount=frame.icount,
        )  # fmt: skip
        if not frame.is_sent:
            self._began(frame, point)

    # ---- lines and sources

    def _line_changed(self, line: LineChanged) -> None:
        track = self._track(_LINES, line.name)
        if not line.level:
            if self._raised.pop(line.name, None) is not None:
                self._end(track, line.virtual_ns)
            return
        point = self._begin(track, line.virtual_ns, line.name, icount=line.icount)
        self._raised[line.name] = (*self._causes(line), point)
        self._under_way = line.position, self._raised[line.name]

    def _causes(self, line: LineChanged) -> tuple[Point, ...]:
        """What a line has risen for: another line that has risen just now, or what began something just now."""
        if line.hart is not None and self._under_way is not None and self._under_way[0] == line.position:
            risen, self._under_way = self._under_way[1], None
            if risen[-1].track in (self._track(_LINES, name) for name in self._raised if not _is_of_hart(name)):
                return risen
        if line.by is None and self._origin is not None and self._origin[0] == line.position:
            return (self._origin[1],)
        return ()

    def _served(self, served: SourceServed) -> None:
        name = f"{served.device or 'source'} ({served.source})"
        track = self._track(_SOURCES, name)
        if served.change is SourceChange.CLAIMED:
            if name in self._in_service:
                return
            self._in_service.add(name)
            point = self._begin(track, served.virtual_ns, name, hart=served.hart, icount=served.icount)
            hart = None if served.hart is None else self._harts[served.hart]
            if hart is not None and hart.external is not None:
                self._arrow(hart.external, point)
                hart.external = None
        elif name in self._in_service:
            self._in_service.remove(name)
            self._end(track, served.virtual_ns)

    # ---- harts

    def _trapped(self, trap: Trap) -> None:
        assert trap.hart is not None
        hart, symbols = self._harts[trap.hart], self._run.symbols
        if len(hart.stack) >= _DEPTH_MAX:
            self._close(hart, trap.virtual_ns)
        point = self._begin(
            hart.track, trap.virtual_ns, trap.name, what=trap.text(symbols), cause=trap.cause, tval=f"{trap.tval:#x}",
            epc=f"{trap.epc:#x}", handler=symbols.describe(trap.handler) or f"{trap.handler:#x}", icount=trap.icount,
        )  # fmt: skip
        hart.stack.append(_Open(trap.priv, trap.handler_priv))
        if isinstance(trap, Interrupt):
            self._interrupted(hart, trap, point)

    def _interrupted(self, hart: _Hart, trap: Interrupt, point: Point) -> None:
        if trap.cause == Line.STI and hart.timer is not None:  # firmware has passed it on
            self._arrow(hart.timer, point)
            hart.timer = None
        if trap.cause == Line.MTI:
            hart.timer = point
        if trap.cause in (Line.MEI, Line.SEI):
            hart.external = point
        kind = _LINES_OF.get(Line(trap.cause)) if trap.cause in Line._value2member_map_ else None
        for name, causes in self._raised.items():
            if kind is not None and name.endswith(f".{kind}{trap.hart or ''}"):
                self._arrow(*causes, point)
                self._raised[name] = causes[-1:]  # each cause has one arrow; the line may interrupt again
                break

    def _returned(self, returned: TrapReturned) -> None:
        """Close the handlers that are left: in U-mode all, else up to one that was entered from there."""
        assert returned.hart is not None
        hart, priv = self._harts[returned.hart], returned.priv
        depth = len(hart.stack)
        if priv == PRIV_U:
            depth = 0
        elif (entered := [at for at, one in enumerate(hart.stack) if one.priv == priv]) != []:
            depth = entered[-1]
        else:
            while depth and hart.stack[depth - 1].handler_priv > priv:
                depth -= 1
        self._close(hart, returned.virtual_ns, depth)

    def _waited(self, wait: HartWaits) -> None:
        assert wait.hart is not None
        hart = self._harts[wait.hart]
        if wait.begins:
            self._begin(hart.track, wait.virtual_ns, "WFI", at=self._run.symbols.describe(wait.pc), icount=wait.icount)
            hart.stack.append(_Open(None))
        elif hart.stack and hart.stack[-1].priv is None:
            self._close(hart, wait.virtual_ns, len(hart.stack) - 1)

    def _close(self, hart: _Hart, ns: int, depth: int = 0) -> None:
        """End the slices of a hart's track but the first ``depth``."""
        for _ in hart.stack[depth:]:
            self._end(hart.track, ns)
        del hart.stack[depth:]

    def _switched(self, switch: HartSwitched) -> None:
        if self._running is not None:
            self._end(self._running, switch.virtual_ns)
        self._running = self._track(_HARTS, f"hart{switch.hart} runs")
        self._begin(self._running, switch.virtual_ns, "runs", icount=switch.icount)

    # ---- all else

    def _sent_to_console(self, console: ConsoleOut) -> None:
        self._console.add(console.virtual_ns, console.data)

    def _said(self, virtual_ns: int, line: str) -> None:
        self._moment(self._track(_IN_AND_OUT, "console out"), virtual_ns, printable(line) or " ")

    def _pin_changed(self, pin: PinChanged) -> None:
        self._name_group(_PINS)
        self._event("C", Track(_PINS, 0), pin.virtual_ns, name=pin.name, args={"value": pin.value})

    def _on(self, group: int, name: str) -> Callable[[Any], Point]:
        """What puts a happening on a track, as a moment."""

        def tell(happening: Happening) -> Point:
            text = happening.text(self._run.symbols)
            return self._moment(self._track(group, name), happening.virtual_ns, text, icount=happening.icount)

        return tell

    def _was_reset(self, reset: Reset) -> None:
        for hart in self._harts:
            self._close(hart, reset.virtual_ns)
            hart.timer = hart.external = None
        self._on(_TRACE, "resets")(reset)


def _timer_name(name: str, clock: str, is_external: bool) -> str:
    return f"{name} ({clock}{', EXTERNAL' if is_external else ''})"


def _is_of_hart(line: str) -> bool:
    """Whether a line leads to a hart."""
    return any(kind in line.rpartition(".")[2] for kind in _LINES_OF.values())
