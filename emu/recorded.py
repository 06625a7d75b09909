"""Sessions with a trace: recording a run, and replaying it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any

from minstret.emu.clock import VirtualRtClockState
from minstret.emu.door.door import Door, Event, Position
from minstret.emu.door.live import Source
from minstret.emu.door.recording import RecordingDoor, RecordOptions
from minstret.emu.door.replaying import ReplayDoor, ReplayPlace, place_in_trace
from minstret.emu.errors import DivergenceError, MinstretError, TraceError
from minstret.emu.hart.traps import HandlerEntry
from minstret.emu.machine import STOP_TARGET, Machine, MachineNotes, MachineState, Outcome, StopReason, stop_request
from minstret.emu.session import NOTHING_SENT, BoardT, End, Saved, Session, end_of
from minstret.emu.timers import TimerListState
from minstret.emu.trace.cursor import OutputPlace
from minstret.emu.trace.format import Snapshot
from minstret.emu.trace.reader import TraceReader
from minstret.emu.trace.snapshot import (
    armed_external,
    does_not_fit,
    other_states,
    snapshot_pages,
    snapshot_state,
    state_versions,
)
from minstret.emu.trace.writer import TraceWriter


def saved_snapshot(
    session: Session[Any], reader: TraceReader, snapshot: Snapshot, door: Any, *, with_host: bool
) -> Saved:
    """A snapshot of a trace as a moment that ``session`` can go to.

    Args:
        session: Of a board such as the recorded one.
        reader: The trace.
        snapshot: Of the same trace.
        door: Where the session's door is then.
        with_host: Whether its host side goes there too.
    Raises:
        TraceError: it does not fit the board.
    """
    machine = session.board.machine
    state = snapshot_state(machine, reader, snapshot, with_host=with_host)
    pages = session.pages_at_power_on.changed_to(snapshot_pages(machine, reader, snapshot))
    return Saved(snapshot.position, state, None, pages, NOTHING_SENT, door)


def _without_host_side(machine: Machine, state: MachineState) -> MachineState:
    """The state of a machine as a replay has it."""
    external = armed_external(machine)
    armed = [timer for timer in state.timers.armed if timer[0] not in external]
    return replace(
        state, virtual_rt=VirtualRtClockState(), host={}, timers=TimerListState(armed, state.timers.next_serial)
    )


def _without_counts(notes: MachineNotes | None) -> MachineNotes | None:
    """Notes without statistics, and without timers that only a live run has."""
    if notes is None:
        return None
    return notes._replace(
        timers=(TimerListState(),) * len(notes.timers), timer_counts=((),) * len(notes.timer_counts), part_counts={}
    )


class RecordingSession(Session[BoardT]):
    """A live run that is recorded into a trace.

    Leaving the context writes how the last ``run`` ended, if that was not written yet, also where a test has failed
    since. If that run ended with an exception, the trace has no end: it goes up to the last turn, like that of a
    recording that was killed.

    Attributes:
        began_at: Where the run began: power-on, or with ``begin_at`` another place.
    """

    door: RecordingDoor

    def __init__(
        self, writer: TraceWriter, make: Callable[[Door], BoardT], *, source: Source | None = None,
        options: RecordOptions | None = None, realtime_ns: Callable[[], int] = lambda: 0,
    ) -> None:  # fmt: skip
        """Make the board. The trace is at its path when the board begins to run.

        Args:
            writer: Of the trace; the session closes it, also where the board can't be made.
            make: Makes the board with a given door.
            source: The host.
            options: How to record.
            realtime_ns: Paces the commits.
        """
        self.path, self._writer = writer.path, writer
        door = RecordingDoor(source, writer, options or RecordOptions(), realtime_ns)
        self._last: Outcome | None = None
        self.began_at = Position(0, 0)
        try:
            super().__init__(door, make(door))
        except BaseException:
            writer.close()
            raise
        writer.put_meta("state_versions", state_versions(self.board.machine))

    @property
    def is_repeatable(self) -> bool:
        return not self.door.has_met_host

    def begin_at(self, saved: Saved) -> None:
        """Begin where another run has come to: the trace begins with a snapshot of that, as a ring's does.

        Args:
            saved: Of a session with such a board; its ``door`` is a LivePlace.
        Raises:
            TraceError: the trace can't be written.
        """
        self._put_board(saved)
        self.began_at = saved.position
        pages = {page: saved.pages[page] or b"" for page in saved.pages.differing(self.pages_at_power_on)}
        self.door.begin_at(saved.door, pages)

    def run(
        self, *, icount: int | None = None, virtual_ns: int | None = None, hart: int | None = None,
        turns: int | None = None, passes_time: bool = False,
    ) -> Outcome:  # fmt: skip
        """Run on; see ``Machine.run``.

        Raises:
            TraceError: the recording is finished.
        """
        if self.end is not None:
            raise TraceError(f"{self.path}: this recording is finished, so it can't go on")
        self._last = None
        self._last = self.board.machine.run(
            icount=icount, virtual_ns=virtual_ns, hart=hart, turns=turns, passes_time=passes_time
        )
        return self._last

    def commit(self) -> None:
        """Put what was recorded so far into the file: a recording that nobody finishes goes up to here."""
        self.door.commit(self.board.position)

    def note_wait(self) -> None:
        """The last run has come back because the guest waits forever, and may be gone on with: the trace says so."""
        last = self._last
        self.door.post(Event(STOP_TARGET, stop_request(StopReason.WAITS_FOREVER)))
        self._last = None
        self.board.machine.run(icount=self.board.position.icount)
        self._last = last

    def restore(self, saved: Saved) -> None:
        """Go back; what was recorded since is gone from the trace, and moments saved since are not there any more.

        Raises:
            TraceError: the recording is finished, or ``saved`` is not there any more.
        """
        if self.end is not None:
            raise TraceError(f"{self.path}: this recording is finished, so it can't go back")
        if not self.door.keeps(saved.door):
            raise TraceError(f"{self.path}: it can't go to a moment that was released, or is after one it went back to")
        self._last = None
        super().restore(saved)

    def release(self, saved: Saved) -> None:
        self.door.release(saved.door)

    def reader(self) -> TraceReader:
        """The trace as it is so far, to be replayed in this process. What is recorded later is in it too, once this is
        called again."""
        return TraceReader(self.path, self._writer.rows_up_to(self.board.machine.position))

    def save_for_replay(self) -> Saved:
        """The moment here, for a replay of the trace so far: without the host side."""
        machine = self.board.machine
        seq, output = self._writer.split()
        saved = self.save_with(ReplayPlace(seq, OutputPlace(output, ()), self.door.registers))
        return replace(saved, state=_without_host_side(machine, saved.state), notes=_without_counts(saved.notes))

    def finish(self, outcome: Outcome) -> End:
        """Write how the run ended, and close the file."""
        end = end_of(self.board, outcome)
        entry = self.board.machine.handler_entry
        self.door.finish({
            "reason": outcome.reason.value, "exit_code": outcome.exit_code, "icount": end.position.icount,
            "virtual_ns": end.position.virtual_ns, "digest": end.digest, "uart_sha256": end.uart_sha256,
            **({} if entry is None else {"handler": entry}), **({"text": outcome.text} if outcome.text else {}),
        })  # fmt: skip
        self.end = end
        return end

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.end is not None:
            return
        if self._last is not None:  # what was raised since has nothing to do with the run
            self.finish(self._last)
        else:
            self.door.abandon(is_between_turns=kind is None)


class ReplaySession(Session[BoardT]):
    """A trace played back, from power-on or from one of its snapshots.

    Attributes:
        left_out: Where the trace's states are of another version than the board's: one line that says so. Then it is
            played from power-on, and all is compared but the digest, which is a hash of these states. Else None.
    """

    door: ReplayDoor

    def __init__(
        self, reader: TraceReader, make: Callable[[Door], BoardT], *, snapshot: int | None = None,
        has_host_side: bool = False,
    ) -> None:  # fmt: skip
        """Make the board, and put it where the replay begins.

        Args:
            reader: The trace.
            make: Makes the board that it was recorded on, with a given door.
            snapshot: Begin there; by default at the start: power-on, or the oldest snapshot of a ring.
            has_host_side: The board has its host side in the replay too; what that posts is thrown away.
        Raises:
            TraceError: it can't be replayed here.
        """
        self.reader = reader
        _check_reason(reader)
        if snapshot is None:
            snapshot = reader.meta.get("first_snapshot")
        start = None if snapshot is None else reader.snapshot(snapshot)
        door = ReplayDoor(reader, place_in_trace(reader, start))
        door.is_discarding = has_host_side
        super().__init__(door, make(door))
        self.left_out = _left_out(reader, other_states(reader, self.board.machine))
        if self.left_out is not None:
            start = None
            self.door.restore(place_in_trace(reader))
        self._has_host_side = has_host_side
        self._from_snapshot: Snapshot | None = None
        self._is_interrupted = False
        self._ended: Outcome | None = None
        self.is_whole = start is None
        """Whether it begins at power-on."""
        if start is not None:
            self._go_to(start)

    def restore_snapshot(self, number: int) -> None:
        """Go to a snapshot of the trace; what the guest sent before is not in ``board.console`` then.

        Raises:
            TraceError: there is none of that number, or it does not fit the board.
        """
        if self.left_out is not None:
            raise TraceError(self.left_out)
        self._go_to(self.reader.snapshot(number))

    def _go_to(self, snapshot: Snapshot) -> None:
        self._from_snapshot = snapshot
        place = place_in_trace(self.reader, snapshot)
        saved = saved_snapshot(self, self.reader, snapshot, place, with_host=self._has_host_side)
        try:
            self.restore(saved)
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
            raise does_not_fit(self.reader, snapshot, error) from None

    def run(self, *, icount: int | None = None, virtual_ns: int | None = None) -> Outcome:
        """Play to the end, or to a position before it; at the end compare everything with the recording.

        Returns:
            How the recording ended; REACHED where it was killed, or at the position; BREAKPOINT or WATCH where the
            board's hart has one that stopped it before.
        Raises:
            DivergenceError: the replay came to something else than the recording.
        """
        is_part, ended, self._ended = self._is_part(icount, virtual_ns), self._ended, None
        if ended is not None and not (is_part or self._is_interrupted or self.door.is_diverted):
            self._ended = ended  # it is there already
            return ended
        with self._blaming_snapshot():
            return self._run(icount, virtual_ns, is_part)

    def play(
        self, *, icount: int | None = None, virtual_ns: int | None = None, hart: int | None = None,
        turns: int | None = None,
    ) -> Outcome:  # fmt: skip
        """Go on to a position, or on one hart's next instruction; nothing is looked for at the end of the recording.

        In a diversion that is all there is: the guest goes on as if there were no recording.

        Raises:
            DivergenceError: the replay came to something else than the recording.
        """
        with self._blaming_snapshot():
            return self._play(icount, virtual_ns, hart, turns)

    @property
    def is_at_end(self) -> bool:
        """Whether the last ``run`` has come to the end of the recording, and found what that had there."""
        return self._ended is not None

    def restore(self, saved: Saved) -> None:
        self._ended = None
        super().restore(saved)

    @contextmanager
    def _blaming_snapshot(self) -> Iterator[None]:
        """Devices trust their state: where that came from a snapshot, an error of theirs is one of the trace."""
        try:
            yield
        except MinstretError:
            raise
        except Exception as error:
            if self._from_snapshot is None:
                raise
            raise does_not_fit(self.reader, self._from_snapshot, error) from error

    def _is_part(self, icount: int | None, virtual_ns: int | None) -> bool:
        """Whether a run to there is over before the end of the recording."""
        end = self.reader.end
        return end is not None and (
            (icount is not None and icount < end["icount"])
            or (virtual_ns is not None and virtual_ns < end["virtual_ns"])
        )

    def _run(self, icount: int | None, virtual_ns: int | None, is_part: bool) -> Outcome:
        end = self.reader.end
        if end is not None and not is_part:
            icount, virtual_ns = _limit_of_end(end), None
        outcome = self._play(icount, virtual_ns)
        if end is not None and not is_part and outcome.reason is StopReason.REACHED:
            outcome = self._breakpoint_here() or outcome
        if self._is_stopped_on_its_way(outcome):
            return outcome
        if end is None:
            if self.door.is_over(self.board.position):
                self.door.check_end("the end of what was recorded")
                self._ended = outcome
            return outcome
        if outcome.reason is StopReason.REACHED:
            if is_part:
                return outcome
            if self._waits_for_end(end):
                outcome = self._play(None, end["virtual_ns"])
            if "handler" in end and outcome.reason is StopReason.REACHED:
                outcome = self._enter_handler(HandlerEntry(*end["handler"]), end["icount"])
        if self._is_stopped_on_its_way(outcome):
            return outcome
        return self.compare_end(outcome)

    def _breakpoint_here(self) -> Outcome | None:
        """How a test's run stops at the end of the trace, for a breakpoint; None where it does not."""
        machine = self.board.machine
        if self.door.bench_run is None or machine.was_made_to_reach or machine.schedule is not None:
            return None
        if not machine.hart.is_at_breakpoint:
            return None
        outcome = self._play(self.board.position.icount + 1, None)
        assert outcome.reason is StopReason.BREAKPOINT, outcome
        return outcome

    def _is_stopped_on_its_way(self, outcome: Outcome) -> bool:
        """Whether somebody wants to look at it here, so that nothing is to be compared yet."""
        machine = self.board.machine
        is_in_between = self.door.bench_run is not None and self.door.holds_what_a_test_did
        is_asked_for = self._is_interrupted or machine.was_made_to_reach or self.door.is_at_wait or is_in_between
        return is_asked_for or outcome.reason in _STOPS_OF_HART

    def interrupt(self) -> None:
        """Make ``run`` come back soon, with INTERRUPTED. May be called by a signal's handler."""
        self._is_interrupted = True
        self.board.machine.reach()

    def _play(
        self, icount: int | None, virtual_ns: int | None, hart: int | None = None, turns: int | None = None
    ) -> Outcome:
        """Run the board. Where the host asked for an end and the recording went on all the same, go on too."""
        while not self._is_interrupted:
            outcome = self.board.machine.run(icount=icount, virtual_ns=virtual_ns, hart=hart, turns=turns)
            if self._is_interrupted:
                break
            if not self.board.machine.was_asked_to_stop or not self._goes_on(outcome):
                return outcome
            if self.door.is_at_wait:
                return outcome
        return Outcome(StopReason.INTERRUPTED)

    def _goes_on(self, outcome: Outcome) -> bool:
        end = self.reader.end
        return self.door.has_more() or (end is not None and end["reason"] != outcome.reason.value)

    def _enter_handler(self, entry: HandlerEntry, icount: int) -> Outcome:
        """Take the traps that the recording took at ``icount``, its last one, before it stopped at a breakpoint there.

        Returns:
            REACHED there, or behind it where the guest did not come there.
        """
        machine, breakpoints = self.board.machine, self.board.machine.breakpoints
        was_there = entry.pc in breakpoints
        try:
            breakpoints.add(entry.pc)
        except ValueError as error:
            raise TraceError(f"{self.reader.path}: a damaged trace: its end: {error}") from None
        try:
            while machine.handler_entry != entry:
                outcome = self._play(icount + 1, None)
                if outcome.reason is not StopReason.BREAKPOINT or machine.hart.pc != entry.pc:
                    return outcome
        finally:
            if not was_there:
                breakpoints.remove(entry.pc)
        return Outcome(StopReason.REACHED)

    def _waits_for_end(self, end: dict[str, Any]) -> bool:
        """Whether the recording ended at this icount, but later: while all harts waited."""
        position = self.board.position
        return position.icount == end["icount"] and bool(position.virtual_ns < end["virtual_ns"])

    def compare_end(self, outcome: Outcome) -> Outcome:
        """The replay has ended here: how the recording did.

        Raises:
            DivergenceError: it did in another way, or elsewhere.
        """
        end = self.reader.end
        if end is None:  # the recording was killed just before it was over
            self._ended = outcome
            return outcome
        self.door.check_end(f"the end ({outcome.reason.value})")
        got, ran_last = end_of(self.board, outcome), self.board.machine.ran_last
        reason = StopReason.REACHED.value if end["reason"] in _STOPPED_ON_THE_WAY else end["reason"]
        pairs: list[tuple[str, Any, Any]] = [
            ("reason", reason, outcome.reason.value),
            ("exit code", end["exit_code"], outcome.exit_code),
            ("icount", end["icount"], got.position.icount),
            ("virtual_ns", end["virtual_ns"], got.position.virtual_ns),
            ("register hash", end["registers"], self.door.registers_hash()),
            ("digest", end["digest"], got.digest),
        ]
        for what, expected, actual in pairs:
            if what == "digest" and self.left_out is not None:
                continue
            if expected != actual:
                raise DivergenceError(
                    f"end at icount {got.position.icount:_}{ran_last}: expected {what} {expected}, got {actual};"
                    f" look closer: minstret verify {self.reader.to_type}"
                )
        self._ended = replace(outcome, reason=StopReason(end["reason"]))
        return self._ended


_STOPPED_ON_THE_WAY = frozenset(
    reason.value
    for reason in (
        StopReason.REACHED, StopReason.MAX_INSNS, StopReason.MAX_TIME, StopReason.BREAKPOINT, StopReason.WATCH,
    )
)  # fmt: skip
"""Ends of recordings which the host side has set: the guest would have gone on."""


_STOPS_OF_HART = frozenset((StopReason.BREAKPOINT, StopReason.WATCH))
"""What stops a replay on its way because somebody wants to look at it there."""


def _limit_of_end(end: dict[str, Any]) -> int | None:
    """The icount to stop at for the end of a recording that the host side stopped; None for all others.

    Those end by themselves, some after more has happened at their last icount: the traps of a trap loop, or a wait.
    """
    return int(end["icount"]) if end["reason"] in _STOPPED_ON_THE_WAY else None


def _left_out(reader: TraceReader, others: Sequence[str]) -> str | None:
    """What to say where these states are of another version.

    Raises:
        TraceError: the trace is a ring, which begins with a snapshot.
    """
    if not others:
        return None
    names = others[0] if len(others) == 1 else f"{others[0]} and {len(others) - 1} more"
    text = f"{reader.path}: recorded by minstret {reader.meta['minstret']} with another version of the state of {names}"
    if reader.meta.get("first_snapshot") is not None:
        raise TraceError(f"{text}, and it begins with a snapshot: use that minstret to replay it")
    return f"{text}: replayed from power-on; its snapshots and its digest are left out"


def _check_reason(reader: TraceReader) -> None:
    end = reader.end
    if end is not None and end["reason"] not in {reason.value for reason in StopReason}:
        raise TraceError(f"{reader.path}: a damaged trace: its end is '{end['reason']}'")
