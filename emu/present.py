"""The timeline of a live run, which is recorded: forward it goes on live, back it goes in a replay of its recording.

There are two boards. The present stays as it is while somebody walks in the past, with all that belongs to the host; a
second board replays the recording so far. Who walks forward comes back to the present, and from there the run goes on.
Moments are kept while the run goes on, and the second board begins at them; so does a third one, for questions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minstret.emu.changes import CHANGES_TARGET, changed_pieces, memory_change, register_change
from minstret.emu.door.door import Event, Position
from minstret.emu.errors import TimelineError
from minstret.emu.hart.watches import Watch, WatchKind
from minstret.emu.idle import earlier
from minstret.emu.machine import Outcome, StopReason
from minstret.emu.moments import Moments
from minstret.emu.past import TraceTimeline
from minstret.emu.recorded import RecordingSession, ReplaySession
from minstret.emu.session import NO_LIMITS, RunLimits, Saved
from minstret.emu.timeline import CONSOLE, HISTORY_BYTES, Stop, Timeline, Why
from minstret.emu.trace.reader import TraceReader
from minstret.emu.walk import Walk


class Present(Walk):
    """Forward in a run that is being recorded."""

    def __init__(
        self, recording: RecordingSession[Any], moments: Moments, limits: RunLimits,
        on_limit: Callable[[StopReason], Outcome],
    ) -> None:  # fmt: skip
        """Go on with ``recording``, up to ``limits``; ``on_limit`` says how the run ends there."""
        super().__init__(moments)
        self.recording = recording
        self.board = recording.board
        self._limits, self._on_limit = limits, on_limit

    @property
    def start(self) -> Position:
        return self.recording.began_at

    @property
    def end(self) -> Position:
        return self.position

    def _play(self, icount: int, virtual_ns: int | None, hart: int | None, turns: int | None) -> Outcome:
        if self._limits.virtual_ns is not None:
            virtual_ns = earlier(self._limits.virtual_ns, virtual_ns)
        return self.recording.run(icount=icount, virtual_ns=virtual_ns, hart=hart, turns=turns)

    def _save(self) -> Saved:
        return self.recording.save_for_replay()

    def _bound(self, icount: int, virtual_ns: int | None) -> int:
        return earlier(icount, self._limits.icount)

    def _at_bound(self) -> Stop | None:
        reason = self._limits.reached(self.position)
        return None if reason is None else self._is_over(self._on_limit(reason))

    def _end_of(self, outcome: Outcome) -> Outcome:
        return outcome

    def change(self, event: Event) -> None:
        """Let an event in here, before the next instruction."""
        if self._machine.handler_entry is not None:
            raise TimelineError("it can't be changed between a trap and its handler; step one instruction first")
        if self.over is not None:
            raise TimelineError("the run is over, so it can't be changed; go back first: there it is a diversion")
        self.recording.door.post(event)
        outcome = self.recording.run(icount=self.position.icount)
        if outcome.reason is not StopReason.REACHED:  # the host wants the end, and has come in with it
            self._is_over(outcome)

    def comes_from_past(self) -> None:
        """A breakpoint here stops the next move, as it would one that came here live."""
        self._machine.hart.breakpoints.forget_stop()

    def go_on(self, icount: int | None = None, hart: int | None = None) -> Stop:
        """The rest of a move that has begun in the past."""
        return self._ended(self._go_on(icount, hart=hart))


class LiveTimeline(Timeline):
    """A walk in a live run.

    Attributes:
        present: Where the run is.
    """

    def __init__(
        self, recording: RecordingSession[Any], make_replay: Callable[[TraceReader], ReplaySession[Any]], *,
        history: int = HISTORY_BYTES, console: str = CONSOLE, limits: RunLimits = NO_LIMITS,
        on_limit: Callable[[StopReason], Outcome] = Outcome,
    ) -> None:  # fmt: skip
        """Begin where the recording begins.

        Args:
            recording: Of the run; nothing has run yet.
            make_replay: Makes a board that replays it, when somebody first goes back.
            history: How much memory the kept moments may take, bytes.
            console: What takes bytes for the guest's console.
            limits: Where the run ends.
            on_limit: Called where it has come to a limit; says how it ends there.
        """
        super().__init__()
        self.present = Present(recording, Moments(history), limits, on_limit)
        self.present.on_stride = lambda: self.on_stride()
        self._make_replay, self._console = make_replay, console
        self._past: TraceTimeline | None = None
        self._beside: TraceTimeline | None = None
        self._is_in_past = False
        self.present.moments.add(recording.save_for_replay())

    # ---- where

    @property
    def _here(self) -> Walk:
        return self._past if self._past is not None and self._is_in_past else self.present

    @property
    def board(self) -> Any:
        return self._here.board

    @property
    def position(self) -> Position:
        return self._here.position

    @property
    def start(self) -> Position:
        return self.present.start

    @property
    def end(self) -> Position:
        return self.present.position

    @property
    def is_at_end(self) -> bool:
        return not self._is_in_past and self.present.is_at_end

    @property
    def is_live(self) -> bool:
        return not self._is_in_past and not self.present.is_at_end

    @property
    def is_diverted(self) -> bool:
        return self._here.is_diverted

    def beside(self) -> TraceTimeline:
        """A walk of the recording so far on a third board, for questions: this timeline stays where it is."""
        reader = self.present.recording.reader()
        if self._beside is None:
            self._beside = TraceTimeline(self._make_replay(reader), console=self._console)
            self._beside.moments = self.present.moments
        self._beside.renew(self.end.icount)
        return self._beside

    # ---- moves

    def run(self) -> Stop:
        return self._forward(lambda here: here.run(), lambda: self.present.go_on())

    def step(self, insns: int = 1, hart: int | None = None) -> Stop:
        if insns < 0:
            return self._back(lambda past: past.step(insns, hart))
        for_hart = hart if len(self.board.harts) > 1 else None
        if for_hart is None:
            wanted = self.position.icount + insns
            return self._forward(lambda here: here.step(insns), lambda: self.present.go_on(wanted))
        stop = Stop(Why.REACHED, for_hart)
        for _ in range(insns):
            stop = self._forward(
                lambda here: here.step(1, for_hart), lambda: self.present.go_on(hart=for_hart)
            )  # fmt: skip
            if stop.why is not Why.REACHED:
                break
        return stop

    def seek(self, icount: int) -> Stop:
        if icount >= self.end.icount:
            return self._to_present()
        return self._back(lambda past: past.seek(icount))

    def seek_ns(self, virtual_ns: int) -> Stop:
        if virtual_ns >= self.end.virtual_ns:
            return self._to_present()
        return self._back(lambda past: past.seek_ns(virtual_ns))

    def run_back(self) -> Stop:
        return self._back(lambda past: past.run_back())

    def run_back_until(self, *, event: str | None = None, predicate: Callable[[Any], bool] | None = None) -> Stop:
        return self._back(lambda past: past.run_back_until(event=event, predicate=predicate))

    def interrupt(self) -> None:
        self._here.interrupt()

    def _forward(self, move: Callable[[Walk], Stop], rest: Callable[[], Stop]) -> Stop:
        """Make a move forward; where it comes from the past to the present, ``rest`` is made there."""
        past = self._past
        if past is None or not self._is_in_past or past.is_diverted:
            return move(self._here)
        stop = move(past)
        if past.position < self.present.position or stop.why in (Why.BREAKPOINT, Why.WATCH, Why.INTERRUPTED):
            return stop
        self._enter_present()
        return rest() if stop.why is Why.END else stop

    def _back(self, move: Callable[[TraceTimeline], Stop]) -> Stop:
        return move(self._enter_past())

    def _to_present(self) -> Stop:
        if self._past is not None and self._is_in_past:
            self._past.leave_diversion()
            self._enter_present()
        return Stop(Why.REACHED, self.board.hart.hart_id) if self.present.over is None else self.present.over

    def _enter_present(self) -> None:
        self._is_in_past = False
        self.present.comes_from_past()

    def _enter_past(self) -> TraceTimeline:
        """Have the second board where the run is, if it is not in the past already."""
        if self._past is None:
            self._past = self._make_past()
        past = self._past
        if not self._is_in_past:
            self.present.recording.reader()  # writes what is not in its tables yet
            self._is_in_past = True  # it moves from now on, and may be interrupted
            try:
                past.renew(self.present.position.icount)
            except BaseException:
                self._is_in_past = False
                raise
        return past

    def _make_past(self) -> TraceTimeline:
        recording = self.present.recording
        past = TraceTimeline(self._make_replay(recording.reader()), console=self._console)
        past.moments = self.present.moments
        past.on_notice = lambda text: self.on_notice(text)
        past.on_stride = lambda: self.on_stride()
        for address in self._breakpoints:
            past.add_breakpoint(address)
        for watch in self._watches:
            past.adopt_watch(watch)
        return past

    # ---- breakpoints and watches: on both boards

    def add_breakpoint(self, address: int) -> None:
        self.present.add_breakpoint(address)
        self._breakpoints.add(address)
        if self._past is not None:
            self._past.add_breakpoint(address)

    def remove_breakpoint(self, address: int) -> None:
        self._breakpoints.remove(address)
        self.present.remove_breakpoint(address)
        if self._past is not None:
            self._past.remove_breakpoint(address)

    def add_watch(self, kind: WatchKind, address: int, size: int, *, sees_devices: bool = True) -> Watch:
        watch = self.present.add_watch(kind, address, size, sees_devices=sees_devices)
        self._watches.append(watch)
        if self._past is not None:
            self._past.adopt_watch(watch)
        return watch

    def remove_watch(self, watch: Watch) -> None:
        self._watches.remove(watch)
        self.present.remove_watch(watch)
        if self._past is not None:
            self._past.remove_watch(watch)

    # ---- changing what is there

    def write_memory(self, address: int, data: bytes, hart: int | None = None) -> bool:
        if self._past is not None and self._is_in_past:
            return self._past.write_memory(address, data, hart)
        pieces = changed_pieces(self.board.harts[hart or 0], address, data, is_physical=hart is None)
        for at, piece in pieces or ():
            self.present.change(Event(CHANGES_TARGET, memory_change(at, piece)))
        return pieces is not None

    def write_register(self, name: str, value: int, hart: int = 0) -> None:
        if self._past is not None and self._is_in_past:
            self._past.write_register(name, value, hart)
            return
        registers = self.board.registers_of(hart)
        if registers[name] != value:
            registers.check_writable(name)
            self.present.change(Event(CHANGES_TARGET, register_change(hart, name, value)))

    def type(self, data: bytes) -> None:
        if self._past is not None and self._is_in_past:
            self._past.type(data)
        elif data:
            self.present.recording.door.post(Event(self._console, data))
