"""Has a replay tell what happens in it, in order and in bounded memory. The replay comes to the same all the same.

What is not asked for costs nothing: devices, harts and timers tell only while somebody listens.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

from minstret.emu.door.door import RESET_MARK, Position
from minstret.emu.door.replaying import ReplayDoor
from minstret.emu.errors import MinstretError
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.observers import TrapTaken
from minstret.emu.irq import SourceChange
from minstret.emu.machine import PAUSED, STOP_TARGET, Machine, Outcome, StopReason, stop_request
from minstret.emu.part import HasState
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
from minstret.emu.recorded import ReplaySession
from minstret.emu.serialbits import SerialFormat
from minstret.emu.session import NO_LIMITS, RunLimits
from minstret.emu.timers import Timer
from minstret.emu.trace.format import Item, Kind

STRIDE_INSNS = 250_000
"""So much is run at once; what happens in it is in memory."""
_NUMBER_BITS = 64
_HART_LINE = re.compile(r"\.(?:msip|mtip|meip|seip)(\d*)$")
_WAITED = stop_request(StopReason.WAITS_FOREVER)

Undo = Callable[[], object]


class Happenings:
    """What happens in a replay from where it is on, oldest first; going through it runs the replay, once.

    It begins with what is so there: lines that are up, harts that wait, which hart runs, the pins' values. Nobody may
    open a log of the same board meanwhile.

    Attributes:
        pins: Name and bits of each value that PinChanged may tell of.
        lines: The names of the interrupt lines.
        outcome: How the replay has ended, after that: REACHED where it was to stop, or INTERRUPTED.
    """

    def __init__(
        self, replay: ReplaySession[Any], kinds: frozenset[type[Happening]] = ALL, *, stop: RunLimits = NO_LIMITS,
        stride_insns: int = STRIDE_INSNS,
    ) -> None:  # fmt: skip
        """Make it; nothing runs yet.

        Args:
            replay: Of a trace.
            kinds: What to tell.
            stop: How far to go; by default to the end of the trace, where the replay is compared with it.
            stride_insns: How many instructions to run at once.
        """
        self._replay, self._kinds, self._stop, self._stride_insns = replay, kinds, stop, stride_insns
        self._board: Any = replay.board
        self._machine: Machine = replay.board.machine
        self._noted: list[Happening] = []
        self._names = _Names(self._board)
        self._pins = _Pins(self._board)
        self._is_waiting = [False] * len(self._machine.harts)
        self._format: SerialFormat | None = None
        self.pins = self._pins.names
        self.lines = sorted(self._machine.lines)
        self.outcome: Outcome | None = None

    @property
    def position(self) -> Position:
        """Where the replay is."""
        return self._machine.position

    def __iter__(self) -> Iterator[Happening]:
        """Go through it.

        Raises:
            MinstretError: the replay failed, after what had happened up to there: it differs from the trace, perhaps.
        """
        snapshots = self._snapshots_from(self.position)
        with ExitStack() as stack:
            for undo in self._listen():
                stack.callback(undo)
            self._note_start()
            while self.outcome is None:
                try:
                    self._advance()
                except MinstretError:
                    yield from self._drained(snapshots)
                    raise
                yield from self._drained(snapshots)
            yield from snapshots.before(Position(self.position.icount, self.position.virtual_ns + 1))

    def _advance(self) -> None:
        """Run a stride; at the end note that, and set ``outcome``."""
        replay, stop, reached = self._replay, self._stop, self._replay.reader.reached().position
        icount: int | None = self.position.icount + self._stride_insns
        if stop.icount is not None:
            icount = min(icount or 0, stop.icount)
        elif icount is not None and icount >= reached.icount:
            icount = None
        outcome = replay.run(icount=icount, virtual_ns=stop.virtual_ns)
        if replay.is_at_end:
            self._note_end(outcome)
        if outcome.reason is not StopReason.REACHED or replay.is_at_end or stop.reached(self.position) is not None:
            self.outcome = outcome

    def _drained(self, snapshots: _Snapshots) -> Iterator[Happening]:
        """What was noted, and where the trace has snapshots: behind what happened at the same position."""
        noted, self._noted = self._noted, []
        for happening in noted:
            yield from snapshots.before(happening.position)
            yield happening
        yield from snapshots.before(self.position)

    def _snapshots_from(self, position: Position) -> _Snapshots:
        if SnapshotTaken not in self._kinds:
            return _Snapshots([])
        return _Snapshots([one for one in self._replay.reader.snapshot_positions() if one[1] >= position])

    # ---- listening

    def _listen(self) -> Iterator[Undo]:
        """Begin to listen; gives what ends it."""
        yield from self._listen_to_harts()
        yield from self._listen_to_lines()
        yield from self._listen_to_streams()
        if TimerFired in self._kinds:
            for timers in (*self._machine.timers, *self._machine.more_timers):
                timers.on_fired = partial(self._fired, timers.clock.type.value)
                yield partial(setattr, timers, "on_fired", None)
        door: ReplayDoor = self._replay.door
        door.on_item = self._item_taken
        yield partial(setattr, door, "on_item", None)
        if PinChanged in self._kinds:
            for guard in self._pins.guards:
                guard.on_worked = self._device_worked
                yield partial(setattr, guard, "on_worked", None)

    def _listen_to_harts(self) -> Iterator[Undo]:
        machine = self._machine
        if self._kinds & {Trap, Interrupt, TrapReturned, HartWaits}:
            for hart in machine.harts:
                hart.observers.follow(_HartFollower(self, hart), tells_returns=TrapReturned in self._kinds)
                yield partial(hart.observers.follow, None)
        if HartSwitched in self._kinds:
            before, machine.on_switch = machine.on_switch, self._switched
            yield partial(setattr, machine, "on_switch", before)

    def _listen_to_lines(self) -> Iterator[Undo]:
        if LineChanged in self._kinds:
            for name, line in self._machine.lines.items():
                yield line.tap(partial(self._line_changed, name, _hart_of(name)))
        if SourceServed in self._kinds:
            plic = self._board.plic
            before, plic.on_change = plic.on_change, self._source_changed
            yield partial(setattr, plic, "on_change", before)

    def _listen_to_streams(self) -> Iterator[Undo]:
        for name, stream in self._board.assembly.streams.items():
            if name == self._names.console_out:
                listener: Callable[[bytes], None] | None = self._console_sent
            elif name == self._names.frames_out:
                listener = self._frame_sent if Frame in self._kinds else None
            else:
                listener = partial(self._sent, name) if Sent in self._kinds else None
            if listener is not None:
                stream.listeners.insert(0, listener)
                yield partial(stream.listeners.remove, listener)

    # ---- what is noted

    def note(self, kind: type[Happening], hart: int | None, *rest: Any) -> None:
        """Something has happened here."""
        if kind in self._kinds:
            self._noted.append(kind(*self._machine.position, hart, *rest))

    def _note_start(self) -> None:
        machine = self._machine
        if machine.schedule is not None:
            self.note(HartSwitched, machine.hart.hart_id)
        for hart in machine.harts:
            if hart.waiting:
                self.hart_waits(hart, begins=True)
        for name, line in machine.lines.items():
            if line.level:
                self.note(LineChanged, _hart_of(name), name, True)
        for change in self._pins.changed():
            self.note(PinChanged, None, *change)

    def _note_end(self, outcome: Outcome) -> None:
        end, hart = self._replay.reader.end, self._machine.hart
        reason = "killed" if end is None else outcome.reason.value
        self.note(Ended, hart.hart_id, reason, outcome.exit_code, outcome.text, hart.pc)

    def _accessing(self) -> int | None:
        """The id of the hart whose access to a device is under way, if one is."""
        hart = self._machine.hart
        return hart.hart_id if hart.is_accessing else None

    def _fired(self, clock: str, timer: Timer, deadline_ns: int) -> None:
        self.note(TimerFired, None, timer.name, clock, timer.is_external, deadline_ns)

    def hart_trapped(self, hart: Hart, taken: TrapTaken) -> None:
        """A hart has taken a trap."""
        trap = taken.trap
        kind = Interrupt if trap.is_interrupt else Trap
        self.note(kind, hart.hart_id, trap.cause, trap.tval, trap.epc, trap.priv, taken.handler, taken.priv)

    def hart_waits(self, hart: Hart, *, begins: bool) -> None:
        """A hart begins to wait, or goes on; where it is known to, that is nothing new."""
        if self._is_waiting[hart.hart_id] != begins:
            self._is_waiting[hart.hart_id] = begins
            self.note(HartWaits, hart.hart_id, begins, hart.pc)

    def _switched(self, icount: int, hart: int) -> None:
        self.note(HartSwitched, hart)

    def _line_changed(self, name: str, hart: int | None, level: bool) -> None:
        self.note(LineChanged, hart, name, level, self._accessing())

    def _source_changed(self, change: SourceChange, source: int) -> None:
        if change in (SourceChange.CLAIMED, SourceChange.COMPLETED):
            self.note(SourceServed, self._accessing(), change, source, self._board.assembly.sources.get(source, ""))

    def _device_worked(self) -> None:
        for change in self._pins.changed():
            self.note(PinChanged, self._accessing(), *change)

    def _console_sent(self, data: bytes) -> None:
        self._note_format()
        self.note(ConsoleOut, self._machine.hart.hart_id, data)

    def _note_format(self) -> None:
        if SerialSetUp not in self._kinds:
            return
        form = self._board.uart.serial_format()
        if form != self._format:
            self._format = form
            self.note(SerialSetUp, None, form)

    def _frame_sent(self, data: bytes) -> None:
        self.note(Frame, self._machine.hart.hart_id, bytes(data), True)

    def _sent(self, name: str, data: bytes) -> None:
        self.note(Sent, self._accessing(), bytes(data), name)

    def _item_taken(self, item: Item) -> None:
        if item.kind is Kind.CHECKPOINT:
            self.note(CheckpointPassed, None, item.name)
        elif item.kind is Kind.ANSWER:
            if item.name == RESET_MARK:
                self.note(Reset, None)
            else:
                self.note(Answer, self._accessing(), item.data, item.name)
        else:
            self._event_came(item.name, item.data)

    def _event_came(self, name: str, data: bytes) -> None:
        names = self._names
        if name == names.console_in:
            self._note_format()
            self.note(ConsoleIn, None, data)
        elif name == names.frames_in:
            self.note(Frame, None, data, False)
        elif name in names.inputs:
            device = names.inputs[name]
            self.note(InputEvent, None, device.name, device.named_events(data))
        elif name == STOP_TARGET and data in (PAUSED, _WAITED):
            self.note(MarkSet, None, data.decode())
        else:
            self.note(HostEvent, None, data, name)


class _HartFollower:
    """Tells ``happenings`` what one hart does."""

    def __init__(self, happenings: Happenings, hart: Hart) -> None:
        self._happenings, self._hart = happenings, hart

    def trapped(self, taken: TrapTaken) -> None:
        self._happenings.hart_trapped(self._hart, taken)

    def returned(self, is_mret: bool) -> None:
        hart = self._hart
        self._happenings.note(TrapReturned, hart.hart_id, is_mret, hart.pc, int(hart.env.priv))

    def waits(self, begins: bool) -> None:
        self._happenings.hart_waits(self._hart, begins=begins)


class _Names:
    """What goes in and out by which name of the door."""

    def __init__(self, board: Any) -> None:
        self.console_in, self.console_out = f"{board.uart.name}.rx", f"{board.uart.name}.tx"
        card = board.card
        self.frames_in = None if card is None else f"{card.name}.rx"
        self.frames_out = None if card is None else f"{card.name}.tx"
        self.inputs = {f"{device.name}.events": device for device in board.inputs.values()}


class _Pins:
    """The truth values and numbers in the states of the users' devices.

    Attributes:
        names: Name and bits of each.
        guards: What guards these devices.
    """

    def __init__(self, board: Any) -> None:
        self._parts: list[HasState] = []
        self.guards: list[Any] = []
        for part, guard in board.assembly.guarded():
            if is_dataclass(part.state):
                self._parts.append(part)
                self.guards.append(guard)
        self._values: dict[str, tuple[int, int]] = {}
        self.names = [(name, bits) for name, bits, _ in self._now()]

    def _now(self) -> Iterator[tuple[str, int, int]]:
        for part in self._parts:
            state: Any = part.state
            for field in fields(state):
                value = getattr(state, field.name)
                if isinstance(value, int):
                    bits = 1 if isinstance(value, bool) else _NUMBER_BITS
                    yield f"{part.name}.{field.name}", bits, int(value) & ((1 << bits) - 1)  # type: ignore[attr-defined]

    def changed(self) -> Iterator[tuple[str, int, int]]:
        """Those that have changed since they were last asked for; the first time all."""
        for name, bits, value in self._now():
            if self._values.get(name) != (bits, value):
                self._values[name] = (bits, value)
                yield name, bits, value


class _Snapshots:
    """Where a trace has snapshots, one after the other."""

    def __init__(self, positions: list[tuple[int, Position]]) -> None:
        self._positions = deque(positions)

    def before(self, position: Position) -> Iterator[SnapshotTaken]:
        """Those before ``position`` that were not given yet."""
        while self._positions and self._positions[0][1] < position:
            number, at = self._positions.popleft()
            yield SnapshotTaken(*at, None, number)


def _hart_of(line: str) -> int | None:
    """The hart that a line leads to, by id; None for one that leads to the PLIC."""
    found = _HART_LINE.search(line)
    return None if found is None else int(found[1] or 0)
