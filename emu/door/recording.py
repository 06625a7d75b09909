"""The recording door: a live door that writes into a trace what passes, and when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from minstret.emu.clock import ClockType
from minstret.emu.door.door import Event, Position
from minstret.emu.door.live import LiveDoor, LivePlace, Source
from minstret.emu.errors import TraceError
from minstret.emu.hart.memory import DirtyPages
from minstret.emu.machine import PAUSED, STOP_TARGET, Machine
from minstret.emu.trace.format import HOST_AT_END, Kind, Snapshot
from minstret.emu.trace.packing import pack_state
from minstret.emu.trace.snapshot import host_at_end, split_state, take_snapshot
from minstret.emu.trace.writer import Mark, TraceWriter
from minstret.emu.units import NS_PER_S

COMMIT_EVERY_NS = NS_PER_S
"""Host time between two commits: a recording that is killed loses no more than this."""

SNAPSHOT_EVERY_INSNS = 500_000_000
"""Some seconds of host time, so that snapshots cost a percent or two."""


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """How to record.

    Attributes:
        snapshot_every_insns: Instructions from one snapshot to the next; 0 for none.
        ring: How many snapshots to keep, with what follows the oldest of them; 0 keeps everything.
    """

    snapshot_every_insns: int = SNAPSHOT_EVERY_INSNS
    ring: int = 0


@dataclass(frozen=True, slots=True)
class RecordingPlace:
    """Where a recording door is. ``unwritten``: the pages of RAM, by number, written since the last snapshot."""

    live: LivePlace
    registers: int
    next_snapshot: int | None
    snapshots: tuple[int, ...]
    unwritten: frozenset[int]
    mark: Mark


class RecordingDoor(LiveDoor):
    """Lets in what comes, and writes it into a trace together with what goes out."""

    def __init__(
        self, source: Source | None, writer: TraceWriter, options: RecordOptions, realtime_ns: Callable[[], int]
    ) -> None:
        """Record into ``writer``; ``realtime_ns`` paces the commits."""
        super().__init__(source)
        self._writer = writer
        self.options = options
        self._realtime_ns = realtime_ns
        self._commit_at_ns = realtime_ns() + COMMIT_EVERY_NS
        self._next_snapshot = options.snapshot_every_insns or None
        self._snapshots: list[int] = []
        self._registers = 0
        self._has_begun = self._has_marked_pause = False
        self._machine: Machine
        self._dirty: DirtyPages
        """Pages written since the last snapshot, or since the start."""

    @property
    def next_icount(self) -> int | None:
        if self.schedule is None:
            return self._next_snapshot
        planned = self.schedule.next_icount
        if planned is None or self._next_snapshot is None:
            return self._next_snapshot if planned is None else planned
        return min(planned, self._next_snapshot)

    def attach(self, machine: Machine) -> None:
        self._machine = machine
        self._dirty = machine.memory.dirty_pages()
        for timers in machine.timers:
            timers.on_checkpoint = self._checkpoint
            timers.on_checkpoint_saved = self._checkpoint_saved

    def begin_at(self, place: LivePlace, pages: Mapping[int, bytes]) -> None:
        """Begin with a snapshot of the machine as it is; ``pages`` of its RAM differ from power-on."""
        super().restore(place)
        self._has_begun = True
        self._dirty.take()
        guest, host = split_state(self._machine, place.waiting)
        position = self._machine.position
        self._writer.begin_with(Snapshot(1, 0, position, 0, guest, host), pages)
        self._snapshots = [1]
        self._plan_snapshot(position)

    # ---- in

    def admit(self, position: Position) -> bool:
        self._has_marked_pause = False
        if not self._has_begun:
            self._has_begun = True
            self._writer.begin()
            self._dirty.take()  # what was loaded comes with the images
        if self._next_snapshot is not None and position.icount >= self._next_snapshot:
            self._snapshot(position)
        elif self._realtime_ns() >= self._commit_at_ns:
            self.commit(position)
        return LiveDoor.admit(self, position)

    def _let_in(self, position: Position, target: str, data: bytes) -> int:
        registers = self._machine.registers_hash(self._registers)
        taken = super()._let_in(position, target, data)
        if taken:
            self._registers = registers
            self._writer.add_event(Kind.EVENT, position, target, data[:taken], registers)
        return taken

    def host_acts(self) -> None:
        """Between two runs: mark in the trace what was before, for a test that goes through it and stops there too."""
        super().host_acts()
        if not self._machine.is_running and not self._has_marked_pause:
            self._has_marked_pause = True
            self.post(Event(STOP_TARGET, PAUSED))

    def ask(self, name: str, live: Callable[[], bytes]) -> bytes:
        data = super().ask(name, live)
        self._registers = self._machine.registers_hash(self._registers)
        self._writer.add_event(Kind.ANSWER, self._machine.position, name, data, self._registers)
        return data

    def mark(self, name: str) -> None:
        self._registers = self._machine.registers_hash(self._registers)
        self._writer.add_event(Kind.ANSWER, self._machine.position, name, b"", self._registers)

    def _checkpoint(self, clock_type: ClockType, now_ns: int) -> None:
        machine = self._machine
        self._registers = machine.registers_hash(self._registers)
        self._writer.add_checkpoint(machine.position, clock_type, now_ns, self._registers)

    def _checkpoint_saved(self, clock_type: ClockType) -> int:
        return self._writer.checkpoint_size(self._machine.position, clock_type)

    @property
    def registers(self) -> int:
        """The chained register hash, as of the last item."""
        return self._registers

    # ---- going back

    def save(self) -> RecordingPlace:
        """Where the door is. Until ``release`` the trace keeps what it needs to come back here."""
        self._machine.memory.collect_dirty_flags()
        return RecordingPlace(
            super().save(), self._registers, self._next_snapshot, tuple(self._snapshots), frozenset(self._dirty.noted),
            self._writer.mark(),
        )  # fmt: skip

    def restore(self, saved: RecordingPlace) -> None:
        """Put the trace back too: what was written since is gone, and later places are no longer valid."""
        self._writer.rewind(saved.mark)
        super().restore(saved.live)
        self._registers, self._next_snapshot = saved.registers, saved.next_snapshot
        self._snapshots = list(saved.snapshots)
        self._machine.memory.collect_dirty_flags()
        self._dirty.noted = set(saved.unwritten)

    def keeps(self, saved: RecordingPlace) -> bool:
        """Whether it can be put back there: nobody has released that, and it is on the way to here."""
        return self._writer.is_valid(saved.mark)

    def release(self, saved: RecordingPlace) -> None:
        """Let go of a place to which nobody will come back."""
        self._writer.release(saved.mark)

    # ---- out

    def sent(self, stream: str, data: bytes, is_message: bool = False) -> None:
        if is_message or not self._writer.goes_on(stream, data):
            self._writer.add_output(stream, self._machine.position, data, is_message)

    def sent_late(self, stream: str, data: bytes, position: Callable[[int], Position]) -> None:
        done = 0
        while done < len(data):
            done += self._writer.add_some(stream, position(done), data[done:])

    # ---- the file

    def commit(self, position: Position) -> None:
        """Put everything so far into the file."""
        self._writer.put_meta("timers", timer_facts(self._machine))
        self._writer.commit(position)
        self._commit_at_ns = self._realtime_ns() + COMMIT_EVERY_NS

    def _snapshot(self, position: Position) -> None:
        self._plan_snapshot(position)
        self.commit(position)  # outputs before and behind a snapshot are apart
        number = self._snapshots[-1] + 1 if self._snapshots else 1
        snapshot, pages = take_snapshot(
            self._machine, self._dirty, number, self._writer.next_seq, self._registers, tuple(self._waiting)
        )
        self._writer.add_snapshot(snapshot, pages)
        self._snapshots.append(number)
        if self.options.ring and len(self._snapshots) > self.options.ring:
            self._snapshots = self._snapshots[-self.options.ring :]
            self._writer.drop_before(self._snapshots[0])
        self.commit(position)

    def _plan_snapshot(self, position: Position) -> None:
        """The next one comes at the next multiple of their distance."""
        every = self.options.snapshot_every_insns
        self._next_snapshot = position.icount // every * every + every if every else None

    def _keep_host_side(self) -> None:
        """For going on live from here. Where it is larger than a trace may hold, the trace does without."""
        try:
            data = pack_state(host_at_end(self._machine, tuple(self._waiting)))
        except TraceError:
            return
        self._writer.put_meta(HOST_AT_END, self._writer.add_blob(data))

    def finish(self, end: dict[str, object]) -> None:
        """Write how the run ended."""
        self._keep_host_side()
        self._writer.put_meta("timers", timer_facts(self._machine))
        self._writer.finish(end | {"registers": self._machine.registers_hash(self._registers)}, self._machine.position)

    def abandon(self, is_between_turns: bool) -> None:
        """Close the file, which then has no end: the recording can't go on.

        In the middle of a turn nothing more is committed, as a replay could not stop there.
        """
        try:
            if is_between_turns:
                self._keep_host_side()
                self._writer.commit(self._machine.position)
        except TraceError:
            pass
        finally:
            self._writer.close()


def timer_facts(machine: Machine) -> list[dict[str, object]]:
    """What each timer did, and what it cost the trace, as ``minstret timers`` tells it."""
    return [
        {
            "name": timer.name, "clock": timers.clock.type.value, "external": timer.is_external,
            "fired": timer.counts.fired, "checkpoints": timer.counts.checkpoints,
            "checkpoints_saved": timer.counts.checkpoints_saved, "bytes_saved": timer.counts.bytes_saved,
        }
        for timers in machine.timers for timer in timers.timers()
    ]  # fmt: skip
