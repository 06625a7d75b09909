"""Going live: a run goes on where a recording has ended, or at one of its snapshots, with the recorded host side.

The guest side at the end is what a replay comes to by itself. The host side is in the trace: its parts and timers, and
what stood before the door. What comes then is a run like any other: the host decides again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from minstret.emu.door.live import LivePlace
from minstret.emu.errors import MinstretError, TraceError
from minstret.emu.machine import MachineNotes, Outcome, StopReason
from minstret.emu.recorded import RecordingSession, ReplaySession, saved_snapshot
from minstret.emu.session import BoardT, Saved, Session
from minstret.emu.trace.reader import TraceReader
from minstret.emu.trace.snapshot import (
    host_does_not_fit,
    other_host_states,
    other_states,
    state_at_end,
    waiting_events,
)

_ADVICE = "give --from ICOUNT to go on from a snapshot before"
_OVER = {
    StopReason.FINISHED.value: "the guest has finished there",
    StopReason.TRAP_LOOP.value: "the guest is in a trap loop there",
    StopReason.END_OF_TIME.value: "virtual time is over there",
}
"""Ends after which nothing comes, whatever the host does."""


class GoneLive(Session[BoardT]):
    """A live session, or a recording, that begins where a trace says. Mixed into one of these."""

    origin: TraceReader
    """The trace that it came from."""

    def run(self, *, icount: int | None = None, virtual_ns: int | None = None, **more: Any) -> Outcome:
        """Run on, see Session.run, and for a recording RecordingSession.run.

        Raises:
            TraceError: the host side of the trace was no good: its parts trust their state.
        """
        try:
            return super().run(icount=icount, virtual_ns=virtual_ns, **more)
        except MinstretError:
            raise
        except Exception as error:
            raise host_does_not_fit(self.origin, error) from error

    def go_to(self, moment: Saved, meet_host: Callable[[], None]) -> None:
        """Begin at a moment of ``origin``.

        Args:
            moment: See ``moment_at_end`` and ``moment_at_snapshot``.
            meet_host: Called then: the host may be another than it was there.
        Raises:
            TraceError: it does not fit the board, or the trace that is recorded can't be written.
        """
        try:
            if isinstance(self, RecordingSession):
                self.begin_at(moment)
            else:
                self.restore(moment)
            meet_host()
        except MinstretError:
            raise
        except Exception as error:
            raise host_does_not_fit(self.origin, error) from error


def check_can_go_on(reader: TraceReader, snapshot: int | None, *, input_may_come: bool) -> None:
    """Check, before anything runs, that a run can go on from a snapshot, or where that is None from the end.

    Args:
        input_may_come: Whether the host may type something: a guest that waits forever may get it.
    Raises:
        TraceError: it can't; the text says what to do.
    """
    if reader.is_of_nothing:
        raise reader.nothing_recorded()
    if snapshot is not None:
        return
    reason = None if reader.end is None else reader.end["reason"]
    if reason in _OVER:
        raise _no_more(reader, _OVER[reason])
    if reason == StopReason.WAITS_FOREVER.value and not input_may_come:
        raise _no_more(reader, "the guest waits forever there, and there is no input")
    if reader.host_at_end() is None:
        why = "its recording was killed" if reader.end is None else "it is of an older minstret, or was too large"
        raise _no_more(reader, f"the host side at its end is not in it, as {why}")


def _no_more(reader: TraceReader, why: str) -> TraceError:
    snapshots = reader.snapshot_positions()
    advice = "it has no snapshot to go on from"
    if snapshots:
        advice = f"{_ADVICE}; the last one is at {snapshots[-1][1].icount}"
    return TraceError(f"{reader.path}: can't go on live from its end: {why}: {advice}")


def moment_at_snapshot(session: Session[Any], reader: TraceReader, number: int) -> Saved:
    """A snapshot of the trace as a moment for ``session``, which has a host side.

    Raises:
        TraceError: there is no such snapshot, or it does not fit the board.
    """
    check_versions(session, reader)
    snapshot = reader.snapshot(number)
    place = LivePlace(waiting_events(reader, snapshot.host), has_met_host=True)
    return saved_snapshot(session, reader, snapshot, place, with_host=True)


def moment_at_end(session: Session[Any], replay: ReplaySession[Any]) -> Saved:
    """Where ``replay`` is, the end of its trace, as a moment for ``session``, which has a host side.

    Raises:
        TraceError: the trace has no host side there, or it does not fit the board.
    """
    reader, machine = replay.reader, session.board.machine
    check_versions(session, reader)
    host = reader.host_at_end()
    if host is None or replay.board.position != reader.reached().position:
        raise TraceError(f"{reader.path}: the host side at {replay.board.position} is not in it")
    waits = reader.end is not None and reader.end["reason"] == StopReason.WAITS_FOREVER.value
    if waits and not (session.door.source_is_open and replay.board.machine.input_can_wake()):
        raise _no_more(reader, "the guest waits forever there, whatever is typed")
    moment = replay.save()
    assert moment.notes is not None
    if isinstance(session, RecordingSession) and moment.notes.stopped_before_handler:
        raise _no_more(reader, "it ended at a breakpoint between a trap and its handler, where no recording can begin")
    return replace(
        moment, state=state_at_end(machine, reader, host, moment.state), notes=_notes(session, moment.notes),
        door=LivePlace(waiting_events(reader, host), has_met_host=True),
    )  # fmt: skip


def check_versions(session: Session[Any], reader: TraceReader) -> None:
    """Check that what the trace has of a board means the same here.

    Raises:
        TraceError: it does not.
    """
    machine = session.board.machine
    if others := [*other_states(reader, machine), *other_host_states(reader, machine)]:
        raise TraceError(
            f"{reader.path}: recorded by minstret {reader.meta['minstret']} with another version of the state of"
            f" {others[0]}: it replays, but can't go on live; use the one that recorded it"
        )


def _notes(session: Session[Any], notes: MachineNotes) -> MachineNotes:
    """Those of a replay for a board that has more timers, and whose trace, if there is one, begins here."""
    ours = session.board.machine.save_notes()
    return notes._replace(blocked_at=None, timers=ours.timers, timer_counts=ours.timer_counts)
