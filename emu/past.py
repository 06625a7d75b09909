"""The walk in a trace: every move back is putting back a kept moment, and playing on from there.

Moments are first arrivals at an icount (walk.py). The way to another place of that icount is the same stop again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from minstret.emu import walk
from minstret.emu.changes import changed_pieces, set_register
from minstret.emu.door.door import Event, Position
from minstret.emu.hart.watches import Watch, WatchKind
from minstret.emu.machine import Outcome
from minstret.emu.moments import Moments
from minstret.emu.recorded import ReplaySession
from minstret.emu.session import Saved
from minstret.emu.timeline import CONSOLE, HISTORY_BYTES, Stop, Why
from minstret.emu.walk import Place, PlaceKind, Walk

_LADDER_INSNS = (1 << 20, 1 << 16, 1 << 12, 1 << 8)
"""Going back to an instruction keeps moments so far before it: who steps back once does it again."""
_JUMP_INSNS = 1_000_000
"""Going forward, what lies nearer than this is not worth putting back a moment for."""
_HITS_MAX = 500
"""A stretch with more hits is cut in two: of the first part nothing is remembered until it is its turn."""


class _Hit(NamedTuple):
    """A stop on the way, and where it was."""

    stop: Stop
    place: Place

    @property
    def is_by_instruction(self) -> bool:
        """Of a watch: whether an instruction accessed, and no device at the beginning of a turn."""
        return self.place.position.icount > self.stop.hits[0].icount


class _Run(NamedTuple):
    """One hart ran from an icount up to another."""

    begin: int
    end: int
    hart: int


class _InterruptedError(Exception):
    """Somebody has called ``interrupt``."""


class TraceTimeline(Walk):
    """A walk in a trace."""

    def __init__(self, replay: ReplaySession[Any], *, history: int = HISTORY_BYTES, console: str = CONSOLE) -> None:
        """Begin where ``replay`` is: it can't go to what is before.

        Args:
            replay: The trace with its board.
            history: How much memory the kept moments may take, bytes.
            console: What takes bytes for the guest's console.
        """
        super().__init__(Moments(history))
        self.session = replay
        self.board = replay.board
        self._console = console
        self._start: Position = replay.board.position
        self._snapshots: list[tuple[int, Position]] = []
        if replay.left_out is None:
            self._snapshots = replay.reader.snapshot_positions()
        self._set_end()
        self._diverted_at: tuple[Saved, PlaceKind, Stop | None] | None = None
        self._earlier: tuple[Place, Iterator[_Hit]] | None = None
        """Where the last move back has ended, and the hits before."""
        self.moments.add(replay.save())

    def _set_end(self) -> None:
        self._end = self.session.reader.reached().position

    def renew(self, icount: int) -> None:
        """Of a recording under way, which has gone on: go to ``icount``, its end or before."""
        self._set_end()
        self._restore(self._nearest(icount))
        self._earlier = None
        self._seek(icount)

    # ---- where

    @property
    def start(self) -> Position:
        return self._start

    @property
    def end(self) -> Position:
        return self._end

    @property
    def is_diverted(self) -> bool:
        return self._diverted_at is not None

    # ---- moves

    def seek(self, icount: int) -> Stop:
        self.leave_diversion()
        return self._ended(self._seek(icount))

    def seek_place(self, place: Place) -> Stop:
        """Go to a place of this run, be it beyond the first arrival at its icount: behind a trap, or within a wait.

        Where there is no such place (another breakpoint has parted a turn there), to that arrival.
        """
        self.leave_diversion()
        stop = self._seek(place.position.icount)
        if stop is None and place.position.icount == self.position.icount:
            stop = self._go_on_to(place)
        if self.place() != place and (stop is None or stop.why is not Why.INTERRUPTED):
            stop = self._seek(place.position.icount)
        return self._ended(None if stop is None or stop.why in (Why.BREAKPOINT, Why.END) else stop)

    def _go_on_to(self, place: Place) -> Stop | None:
        """Go on within an icount until it is there, or beyond."""
        stop, until_ns = None, place.position.virtual_ns
        if until_ns > self.position.virtual_ns:
            with self._disarmed():
                stop = self._go_on(virtual_ns=until_ns)
        with self._disarmed(), self._breakpoint_at(place.pc):
            self._ignores_breakpoints = False
            while self.place() != place and (stop is None or stop.why is Why.BREAKPOINT):
                stop = self._go_on(place.position.icount + 1)
                if self.position.icount > place.position.icount:
                    break
        return stop

    def seek_ns(self, virtual_ns: int) -> Stop:
        self.leave_diversion()
        if virtual_ns <= self._start.virtual_ns:
            return self._ended(self._seek(self._start.icount))
        base = self._last_before(virtual_ns)
        if not base.position.virtual_ns <= self.position.virtual_ns < virtual_ns:
            self._restore(base)
        with self._disarmed():
            return self._ended(self._go_on(virtual_ns=virtual_ns))

    def step(self, insns: int = 1, hart: int | None = None) -> Stop:
        if insns > 0:
            return super().step(insns, hart)
        by_hart = hart is not None and len(self.board.harts) > 1
        self.leave_diversion()
        here = self.place()
        if by_hart:
            assert hart is not None
            try:
                floor = self._before_steps_of(hart, -insns)
            except _InterruptedError:
                return self._ended(self._stop(Why.INTERRUPTED))
        else:
            floor = here.position.icount + insns
        passes_others = here.position.icount - floor > 1
        if insns < -1 or self._watches or (passes_others and self._breakpoints):
            if by_hart:
                self._return_to(here)
            stop = self._ended(self._back(floor))
        else:
            reached = self._seek(floor)
            stop = self._ended(self._stop(Why.START) if floor < self._start.icount else reached)
        return stop if hart is None or stop.why in (Why.BREAKPOINT, Why.WATCH) else replace(stop, hart=hart)

    def run_back(self) -> Stop:
        self.leave_diversion()
        return self._ended(self._back(self._start.icount))

    def run_back_until(self, *, event: str | None = None, predicate: Callable[[Any], bool] | None = None) -> Stop:
        self.leave_diversion()
        if event is not None:
            return self._ended(self._back_to_event(event, predicate))
        if predicate is None or self._breakpoints or self._watches:
            return self._ended(self._back(self._start.icount, predicate))
        return self._ended(self._back_by_instruction(predicate))

    # ---- forward

    def _play(self, icount: int, virtual_ns: int | None, hart: int | None, turns: int | None) -> Outcome:
        return self.session.play(icount=icount, virtual_ns=virtual_ns, hart=hart, turns=turns)

    def _save(self) -> Saved:
        return self.session.save()

    @property
    def _keeps_moments(self) -> bool:
        return not self.is_diverted

    def _bound(self, icount: int, virtual_ns: int | None) -> int:
        if self.is_diverted or (virtual_ns is not None and virtual_ns <= self._end.virtual_ns):
            return icount
        return min(icount, max(self._end.icount, self.position.icount))

    def _at_bound(self) -> Stop | None:
        if self.is_diverted or self.position.icount < self._end.icount:
            return None
        outcome = self.session.run()  # at the last icount of the recording: let happen what happened there
        return self._is_over(outcome) if self.session.is_at_end else self._stop_of(outcome)

    def _end_of(self, outcome: Outcome) -> Outcome:
        return outcome if self.is_diverted else self.session.compare_end(outcome)

    # ---- to a moment

    def _restore(self, moment: Saved) -> None:
        self.session.restore(moment)
        self.kind, self.over = PlaceKind.ARRIVAL, None

    def _nearest(self, icount: int) -> Saved:
        """The last moment up to an icount, be it kept in memory or a snapshot of the trace."""
        kept = self.moments.at_or_before(max(icount, self._start.icount))
        assert kept is not None
        at = bisect_right(self._snapshots, icount, key=lambda snapshot: snapshot[1].icount)
        if at and self._snapshots[at - 1][1].icount >= kept.position.icount + walk.STRIDE_INSNS:
            self.session.restore_snapshot(self._snapshots[at - 1][0])
            self.kind, self.over = PlaceKind.ARRIVAL, None
            kept = self.session.save()
            self.moments.add(kept)
        return kept

    def _last_before(self, virtual_ns: int) -> Saved:
        """The last moment before a virtual time."""
        shift = self._machine.clock.shift
        icount = virtual_ns >> shift  # there at the latest
        while True:
            moment = self._nearest(icount)
            if moment.position.virtual_ns < virtual_ns or moment.position.icount <= self._start.icount:
                return moment
            icount = moment.position.icount - 1

    def _seek(self, icount: int) -> Stop | None:
        """Go to the first arrival at ``icount``, or as near as there is anything."""
        wanted = min(max(icount, self._start.icount), self._end.icount)
        now = self.position.icount
        if now > wanted or (now == wanted and self.kind is not PlaceKind.ARRIVAL):
            self._restore(self._nearest(wanted))
            climbs = True
        else:
            base = self._nearest(wanted)
            climbs = base.position.icount > now + _JUMP_INSNS
            if climbs or self.position.icount != now:
                self._restore(base)
        with self._disarmed():
            if climbs and (stop := self._climb(wanted)) is not None:
                return stop
            stop = self._go_on(wanted)
            return self._go_on() if stop is None and icount > wanted else stop

    def _climb(self, icount: int) -> Stop | None:
        """Go most of the way to ``icount``, and keep moments there."""
        for distance in _LADDER_INSNS:
            at = icount - distance
            kept = self.moments.at_or_before(at)
            if at > self.position.icount and (kept is None or at - kept.position.icount >= distance):
                stop = self._go_on(at)
                if stop is not None:
                    return stop
                self.moments.add(self.session.save())
        return None

    def _return_to(self, here: Place) -> None:
        """Go to where it was, as far as that is a first arrival."""
        self._seek(here.position.icount)

    # ---- back

    def _back(self, floor: int, predicate: Callable[[Any], bool] | None = None) -> Stop | None:
        """Go to the last hit before here at which ``predicate`` holds; where there is none, to icount ``floor``."""
        lowest = max(floor, self._start.icount)
        try:
            for hit in self._hits_before_here(lowest):
                self._go_to(hit)
                if predicate is None or predicate(self.board):
                    return hit.stop
        except _InterruptedError:
            return self._stop(Why.INTERRUPTED)
        self._earlier = None
        stop = self._seek(lowest)
        return self._stop(Why.START) if stop is None and floor <= self._start.icount else stop

    def _hits_before_here(self, lowest: int) -> Iterator[_Hit]:
        """The hits before here, from the latest back; those of the last move back need not be looked for again."""
        here = self.place()
        if self._earlier is not None and self._earlier[0] == here and lowest == self._start.icount:
            hits = self._earlier[1]
        else:
            hits = self._look_back(here, self.kind, lowest)
        self._earlier = None
        for hit in hits:
            yield hit
            if lowest == self._start.icount:
                self._earlier = self.place(), hits

    def _look_back(self, here: Place, kind: PlaceKind, lowest: int) -> Iterator[_Hit]:
        """Play stretch by stretch, each twice as long as the one behind it, and give their hits from the latest back.

        A stretch begins at a moment, at which there may be a hit, and ends before the next one.
        """
        upper, size = here.position.icount, 1
        beyond: tuple[Place, PlaceKind] | None = None if kind is PlaceKind.ARRIVAL else (here, kind)
        while beyond is not None or upper > lowest:
            base = self._nearest(max(lowest, upper - size if upper > lowest else upper))
            if base.position.icount < lowest:
                self._restore(base)
                with self._disarmed():
                    self._checked(self._go_on(lowest))
                base = self.session.save()
            yield from self._hits_within(base, upper, beyond)
            beyond = None
            size = 2 * (upper - base.position.icount) or 1
            upper = base.position.icount

    def _hits_within(self, base: Saved, upper: int, beyond: tuple[Place, PlaceKind] | None) -> Iterator[_Hit]:
        """The hits of ``_hits_of``, from the latest back. Of very many only those near the end are met one by one."""
        hits = self._hits_of(base, upper, beyond)
        while hits is None:
            middle = (self.position.icount + upper) // 2
            with self._disarmed():
                self._checked(self._go_on(middle))
            yield from self._hits_within(self.session.save(), upper, beyond)
            upper, beyond = middle, None
            hits = self._hits_of(base, upper, beyond)
        while hits:
            yield hits.pop()

    def _hits_of(self, base: Saved, upper: int, beyond: tuple[Place, PlaceKind] | None) -> list[_Hit] | None:
        """The hits from ``base`` on up to icount ``upper``, and up to a place that is ``beyond`` the arrival there.

        None where they are many: it has come to the last one that it has looked at.
        """
        hits: list[_Hit] = []
        self._restore(base)
        while (stop := self._checked(self._go_on(upper))) is not None and stop.why is not Why.END:
            hits.append(_Hit(stop, self.place()))
            if len(hits) >= _HITS_MAX and self.position.icount < upper - 1:
                return None
        if beyond is None:
            return hits
        here, kind = beyond
        if hits and hits[-1].place == here:  # a watch has stopped there, after the last instruction before
            return hits
        until_ns = here.position.virtual_ns if kind is PlaceKind.TIME else None
        with self._breakpoint_at(here.pc):
            while (stop := self._checked(self._go_on(upper + 1, virtual_ns=until_ns))) is not None:
                place = self.place()
                if stop.why is Why.END or (place == here and stop.why is Why.BREAKPOINT):
                    break
                if stop.why is Why.WATCH or place.pc in self._breakpoints:
                    hits.append(_Hit(stop, place))
                if place == here:
                    break
        return hits

    def _checked(self, stop: Stop | None) -> Stop | None:
        if stop is not None and stop.why is Why.INTERRUPTED:
            raise _InterruptedError
        return stop

    def _go_to(self, hit: _Hit) -> None:
        """Go to a hit as it is met from behind: to a breakpoint, or before an access."""
        if hit.stop.why is Why.BREAKPOINT:
            self._checked(self._seek(hit.place.position.icount))
            self._go_beyond(hit.place.pc, lambda place: place == hit.place)
            return
        first = hit.stop.hits[0]
        if not hit.is_by_instruction:
            self._go_before(hit.place.position)
            return
        self._checked(self._seek(first.icount))
        self._go_beyond(first.pc, lambda place: (place.hart, place.pc) == (first.hart, first.pc))

    def _go_beyond(self, pc: int, is_there: Callable[[Place], bool]) -> None:
        """From the first arrival at an icount to a place of the same icount, which is at ``pc``."""
        if is_there(self.place()):
            return
        icount = self.position.icount
        with self._disarmed(), self._breakpoint_at(pc):
            self._ignores_breakpoints = False
            while self._checked(self._go_on(icount + 1)) is not None:
                if is_there(self.place()):
                    return
        raise AssertionError(f"a second run did not come to pc {pc:#x} at icount {icount}")

    def _go_before(self, position: Position) -> None:
        """Go to the last arrival before what happens at the beginning of a turn."""
        self._checked(self._seek(position.icount))
        if self.position.virtual_ns >= position.virtual_ns:
            self._checked(self._seek(position.icount - 1))

    def _before_steps_of(self, hart: int, insns: int) -> int:
        """The icount before the last ``insns`` instructions of one hart of several; before the start if there were
        fewer."""
        upper, size = self.position.icount, 1
        while upper > self._start.icount:
            base = self._nearest(upper - size)
            runs = self._runs_between(base, upper)
            for run in reversed([run for run in runs if run.hart == hart]):
                if insns <= run.end - run.begin:
                    return run.end - insns
                insns -= run.end - run.begin
            size, upper = 2 * (upper - base.position.icount), base.position.icount
        return self._start.icount - 1

    def _runs_between(self, base: Saved, upper: int) -> list[_Run]:
        """Which hart ran when, in order."""
        self._restore(base)
        machine = self._machine
        begins = [(self.position.icount, machine.hart.hart_id)]
        machine.on_switch = lambda icount, hart: begins.append((icount, hart))
        try:
            with self._disarmed():
                self._checked(self._go_on(upper))
        finally:
            machine.on_switch = lambda icount, hart: None
        ends = [*(begin for begin, _ in begins[1:]), upper]
        return [_Run(begin, end, hart) for (begin, hart), end in zip(begins, ends, strict=True)]

    def _back_by_instruction(self, predicate: Callable[[Any], bool]) -> Stop | None:
        """Go to the last earlier arrival at which ``predicate`` holds."""
        upper, size = self.position.icount, 1
        while upper > self._start.icount:
            base = self._nearest(upper - size)
            self._restore(base)
            found = None
            with self._disarmed():
                self._go_on(base.position.icount)
                while self.position.icount < upper:
                    if predicate(self.board):
                        found = self.position.icount
                    stop = self._go_on(self.position.icount + 1)
                    if stop is not None and stop.why is not Why.END:
                        return stop
            if found is not None:
                return self._seek(found)
            size, upper = 2 * (upper - base.position.icount), base.position.icount
        self._seek(self._start.icount)
        return self._stop(Why.START)

    def _back_to_event(self, name: str, predicate: Callable[[Any], bool] | None) -> Stop | None:
        seq = self.session.door.next_seq
        while (found := self.session.reader.last_event(name, seq)) is not None:
            seq, position = found
            if position <= self._start:
                break
            try:
                self._go_before(position)
            except _InterruptedError:
                return self._stop(Why.INTERRUPTED)
            if predicate is None or predicate(self.board):
                return None
        self._seek(self._start.icount)
        return self._stop(Why.START)

    # ---- breakpoints and watches

    def add_breakpoint(self, address: int) -> None:
        super().add_breakpoint(address)
        self._earlier = None

    def remove_breakpoint(self, address: int) -> None:
        super().remove_breakpoint(address)
        self._earlier = None

    def add_watch(self, kind: WatchKind, address: int, size: int, *, sees_devices: bool = True) -> Watch:
        self._earlier = None
        return super().add_watch(kind, address, size, sees_devices=sees_devices)

    def adopt_watch(self, watch: Watch) -> None:
        """Stop after the accesses that another machine is watched for too."""
        self._machine.watches.add_watch(watch)
        self._watches.append(watch)
        self._earlier = None

    def remove_watch(self, watch: Watch) -> None:
        super().remove_watch(watch)
        self._earlier = None

    # ---- changing what is there

    def write_memory(self, address: int, data: bytes, hart: int | None = None) -> bool:
        one = self.board.harts[hart or 0]
        pieces = changed_pieces(one, address, data, is_physical=hart is None)
        if pieces:
            with self._diverting():
                for at, piece in pieces:
                    one.write_physical(at, piece)
        return pieces is not None

    def write_register(self, name: str, value: int, hart: int = 0) -> None:
        if self.board.registers_of(hart)[name] == value:
            return
        with self._diverting():
            set_register(self.board.harts[hart], name, value)

    def type(self, data: bytes) -> None:
        with self._diverting():
            self.session.door.post(Event(self._console, data))

    @contextmanager
    def _diverting(self) -> Iterator[None]:
        """Let the guest be changed: what follows is a diversion, unless the change fails."""
        if self.is_diverted:
            yield
            return
        self._diverted_at = self.session.save(), self.kind, self.over
        self.session.door.divert()
        self.over, self.kind = None, PlaceKind.STOP
        try:
            yield
        except BaseException:
            self._drop_diversion()
            raise
        self.on_notice(
            f"a diversion from the recording begins at icount {self.position.icount:,}; going back throws it away"
        )

    def _drop_diversion(self) -> None:
        assert self._diverted_at is not None
        saved, self.kind, self.over = self._diverted_at
        self._diverted_at = None
        self.session.restore(saved)

    def leave_diversion(self) -> None:
        """Go back to where a diversion has begun, if this is one."""
        if self.is_diverted:
            self._drop_diversion()
            self.on_notice(f"the diversion is thrown away; back in the recording at icount {self.position.icount:,}")
