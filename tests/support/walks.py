"""Random walks on timelines, and what each move must lead to: that of a straight replay with the same breakpoints.

A ``Walker`` makes moves, knows where each must end, and afterwards compares what was seen at each place with a straight
replay to there.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from support.straight_runs import (
    STOPPED,
    At,
    Event,
    Place,
    Spec,
    StraightRuns,
    TooManyError,
    View,
    arm,
    facts_of,
    place_of,
    view_of,
)

from minstret.devices.board.board import Board
from minstret.devices.board.traced import Replay
from minstret.emu.door.door import Position
from minstret.emu.hart.watches import Watch, WatchKind
from minstret.emu.past import TraceTimeline
from minstret.emu.timeline import Stop, Why

# ---- where a walk is


SHORT_INSNS = 5_000
"""In a recording of no more, each instruction may be looked at."""


class Way(NamedTuple):
    """How a straight replay comes to a place: up to an icount or a virtual time, to a stop, or to the end.

    ``kind`` is ``icount``, ``ns``, ``breakpoint``, ``before`` an access, ``watch`` behind one, or ``end``.
    """

    kind: str
    to: int | Place | At | None = None
    watches: tuple[Spec, ...] = ()

    @property
    def is_before_instruction(self) -> bool:
        """Whether it is where a breakpoint would stop, or does."""
        return self.kind in ("breakpoint", "before")


class Here(NamedTuple):
    """Where a walk is."""

    place: Place
    way: Way

    @property
    def position(self) -> Position:
        return self.place.position

    @property
    def at(self) -> At:
        return At(self.position.icount, self.place.pc, self.place.hart)

    def __str__(self) -> str:
        return f"icount {self.position.icount}, {self.position.virtual_ns} ns ({self.way.kind})"


@dataclass
class Walker:
    """One walk."""

    runs: StraightRuns
    timeline: TraceTimeline
    breakpoints: set[int] = field(default_factory=set)
    watches: list[tuple[Spec, Watch]] = field(default_factory=list)
    visited: list[tuple[Way, View]] = field(default_factory=list)
    begun: dict[int, Place] = field(default_factory=dict)
    """For each hart, where it ran last when a move forward began last."""
    log: list[str] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.notices: list[str] = []
        self.timeline.on_notice = self.notices.append
        self._arrived(Way("icount", self.runs.start.icount))

    @property
    def specs(self) -> tuple[Spec, ...]:
        """What is watched."""
        return tuple(spec for spec, _ in self.watches)

    # ---- moves

    def move(self, name: str, a: int, b: int) -> None:
        """One move; ``a`` is per mille, ``b`` any number."""
        self.log.append(f"{name} {a} {b} at {self.here}")
        getattr(self, f"move_{name}")(a, b)

    def move_seek(self, a: int, b: int) -> None:
        icount = self.runs.start.icount + self.runs.insns * a // 1000 + b % 7 - 3
        self._seek_to(icount)

    def move_seek_near(self, a: int, b: int) -> None:
        self._seek_to(self.here.position.icount + b % 9 - 4)

    def _seek_to(self, icount: int) -> None:
        stop, runs = self.timeline.seek(icount), self.runs
        if icount >= runs.end.icount:
            self._at_end_or(stop, icount == runs.end.icount)
        else:
            assert stop.why in (Why.REACHED, Why.START), stop
            self._arrived_at(max(icount, runs.start.icount))

    def move_seek_ns(self, a: int, b: int) -> None:
        runs = self.runs
        virtual_ns = runs.start.virtual_ns + (runs.end.virtual_ns - runs.start.virtual_ns) * a // 1000 + b % 5 - 2
        stop = self.timeline.seek_ns(virtual_ns)
        if virtual_ns >= runs.end.virtual_ns:
            self._at_end_or(stop, is_arrival_possible=virtual_ns == runs.end.virtual_ns)
        elif virtual_ns <= runs.start.virtual_ns:
            self._arrived_at(runs.start.icount)
        elif stop.why is Why.END:  # no instruction boundary lies between
            assert virtual_ns > runs.end.virtual_ns - (1 << self.timeline.board.config.icount_shift), stop
            self._at_end_or(stop, is_arrival_possible=False)
        else:
            assert stop.why is Why.REACHED, stop
            self._arrived(Way("ns", virtual_ns))

    def move_step(self, a: int, b: int) -> None:
        insns = (1, 1, 2, 3, 10, 100, 1000)[b % 7]
        target = self.here.position.icount + insns
        self._check_forward(self.timeline.step(insns), target)

    def move_step_hart(self, a: int, b: int) -> None:
        hart, insns = b % len(self.timeline.board.harts), (1, 1, 2, 7)[b // 8 % 4]
        if len(self.timeline.board.harts) == 1:
            self._check_forward(self.timeline.step(insns, hart), self.here.position.icount + insns)
            return
        first = self.here.position.icount - self.runs.start.icount
        own = [first + n + 1 for n, each in enumerate(self.runs.retired()[first:]) if each.hart == hart][:insns]
        target = self.runs.start.icount + own[-1] if len(own) == insns else self.runs.end.icount + 1
        self._check_forward(self.timeline.step(insns, hart), target)

    def move_run(self, a: int, b: int) -> None:
        self._check_forward(self.timeline.run(), self.runs.end.icount + 1)

    def _check_forward(self, stop: Stop, target: int) -> None:
        runs, here = self.runs, self.here
        self.begun[here.place.hart] = here.place
        coming = [event for event in self._after_here() if self._is_up_to(event, target)]
        if stop.why in (Why.BREAKPOINT, Why.WATCH):
            assert coming, f"{stop}, where nothing was to stop it"
            place = place_of(self.timeline.board)
            due = [event for event in coming if event[:2] == (stop.why, place) or not self._begins_at(event)]
            assert due, f"{stop} at {place}, where nothing was to stop it"
            wanted = due[0]
            assert (stop.why, place, facts_of(stop.hits)) == wanted, f"wanted {wanted}, got {stop} at {place}"
            assert stop.hart == place.hart
            if stop.why is Why.BREAKPOINT:
                self._arrived(Way("breakpoint", place))
            else:
                self._arrived(Way("watch", place, self.specs))
            return
        passed = [event for event in coming if not self._begins_at(event)]
        assert not passed, f"{stop} at {self.timeline.position}, beyond {passed[0]}"
        if here.way.kind == "end" or target > runs.end.icount:
            self._at_end_or(stop, is_arrival_possible=False)
        elif target == runs.end.icount:
            self._at_end_or(stop, is_arrival_possible=True)
        else:
            assert stop.why is Why.REACHED, stop
            self._arrived_at(target)

    def _is_up_to(self, event: Event, target: int) -> bool:
        """Whether a move forward to ``target`` meets it."""
        if event.last_icount != target:
            return event.last_icount < target
        return event.is_by_turn and event.place.position <= self.runs.arrival(target)  # later in a wait it is not

    def _begins_at(self, event: Event) -> bool:
        """Whether it may be the breakpoint at which a move began, and its hart has not run since."""
        begun, place = self.begun.get(event.place.hart), event.place
        if event.why is not Why.BREAKPOINT or begun is None or begun.pc != place.pc:
            return False
        return not self._has_run(place.hart, begun.position.icount, place.position.icount)

    def _has_run(self, hart: int, since: int, icount: int) -> bool:
        if len(self.timeline.board.harts) == 1 or icount < since:
            return icount != since
        start = self.runs.start.icount
        return any(each.hart == hart for each in self.runs.retired()[since - start : icount - start])

    def move_step_back(self, a: int, b: int) -> None:
        insns = (1, 1, 2, 3, 10, 100, 1000)[b % 7]
        floor = self.here.position.icount - insns
        self._check_back(self.timeline.step(-insns), floor, sees_stops=self._sees_stops(floor))

    def move_step_back_hart(self, a: int, b: int) -> None:
        harts = len(self.timeline.board.harts)
        hart, insns = b % harts, (1, 1, 2, 7)[b // 8 % 4]
        floor = self.here.position.icount - insns
        if harts > 1:
            first = self.here.position.icount - self.runs.start.icount
            own = [n for n, each in enumerate(self.runs.retired()[:first]) if each.hart == hart]
            floor = self.runs.start.icount + own[-insns] if len(own) >= insns else self.runs.start.icount - 1
        self._check_back(self.timeline.step(-insns, hart), floor, sees_stops=self._sees_stops(floor))

    def _sees_stops(self, floor: int) -> bool:
        """Whether breakpoints stop a step back: not one over a single instruction, unless something is watched."""
        return bool(self.watches) or self.here.position.icount - floor > 1

    def move_run_back(self, a: int, b: int) -> None:
        for _ in range(1 + b % 3):
            self._check_back(self.timeline.run_back(), self.runs.start.icount - 1)

    def _check_back(self, stop: Stop, floor: int, *, sees_stops: bool = True) -> None:
        """Of a move back no further than to icount ``floor``."""
        before = [event for event in self._before_here() if self._ends_beyond(event, floor)]
        self._check_landing(stop, before if sees_stops else [], floor)

    def _ends_beyond(self, event: Event, floor: int) -> bool:
        icount = self.runs.before_turn(event.place.position) if event.is_by_turn else event.before.icount
        return icount >= max(floor, self.runs.start.icount)

    def _check_landing(self, stop: Stop, before: list[Event], floor: int) -> None:
        if stop.why in (Why.BREAKPOINT, Why.WATCH):
            assert before, f"{stop}, where nothing was to stop it"
            wanted = before[-1]
            if (stop.why, facts_of(stop.hits)) != (wanted.why, wanted.hits):  # two reasons at one place
                same = [event for event in before if self._landing(event) == self._landing(wanted)]
                wanted = next((event for event in same if event.why is stop.why), wanted)
            assert (stop.why, facts_of(stop.hits)) == (wanted.why, wanted.hits), f"wanted {wanted}, got {stop}"
            if wanted.is_by_turn:
                self._arrived_at(self.runs.before_turn(wanted.place.position))
                return
            place = place_of(self.timeline.board)
            assert (place.position.icount, place.pc, place.hart) == wanted.before, f"wanted {wanted}, got {place}"
            assert stop.hart == place.hart
            if wanted.why is Why.BREAKPOINT:
                assert place == wanted.place
                self._arrived(Way("breakpoint", place))
            else:
                self._arrived(Way("before", wanted.before))
            return
        assert not before, f"{stop} at {self.timeline.position}, beyond {before[-1]}"
        if floor < self.runs.start.icount:
            assert stop.why is Why.START, stop
        else:
            assert stop.why in (Why.REACHED, Why.START), stop
        self._arrived_at(max(floor, self.runs.start.icount))

    def move_back_to_event(self, a: int, b: int) -> None:
        runs = self.runs
        names = sorted({item.name for item in runs.items})
        name = (["", *names, "nothing"])[b % (len(names) + 2)]
        seq = self.here_seq
        items = [item for item in runs.items if item.seq < seq and name in ("", item.name)]
        stop = self.timeline.run_back_until(event=name)
        if not items or items[-1].position <= runs.start:
            assert stop.why is Why.START, stop
            self._arrived_at(runs.start.icount)
            return
        assert stop.why is Why.REACHED, stop
        self._arrived_at(runs.before_turn(items[-1].position))
        assert self.here_seq <= items[-1].seq

    def move_back_if(self, a: int, b: int) -> None:
        """Back to the last breakpoint at which a register is odd."""
        if not self.breakpoints or self.watches:
            return
        name, asked = f"x{1 + b % 31}", []

        def is_odd(board: Board) -> bool:
            asked.append(board.position)
            return bool(board.registers_of(board.machine.hart.hart_id)[name] & 1)

        before = self._before_here()
        stop = self.timeline.run_back_until(predicate=is_odd)
        assert asked == [event.place.position for event in reversed(before)][: len(asked)]
        if stop.why is Why.BREAKPOINT:
            self._check_landing(stop, before[: len(before) - len(asked) + 1], self.runs.start.icount - 1)
            assert is_odd(self.timeline.board)
        else:
            assert len(asked) == len(before)
            self._check_landing(stop, [], self.runs.start.icount - 1)

    def move_back_to_pc(self, a: int, b: int) -> None:
        """Without breakpoints: back to the last place at which the hart that ran last is at an address."""
        runs = self.runs
        if self.breakpoints or self.watches or runs.insns > SHORT_INSNS:
            return
        pc, start = runs.pcs[b % len(runs.pcs)], runs.start.icount
        places = [
            start + n for n, each in enumerate(runs.retired()[: self.here.position.icount - start])
            if each.pc_before == pc
        ]  # fmt: skip
        stop = self.timeline.run_back_until(predicate=lambda board: bool(board.hart.pc == pc))
        assert stop.why is (Why.REACHED if places else Why.START), stop
        self._arrived_at(places[-1] if places else start)

    # ---- breakpoints, watches

    def move_break(self, a: int, b: int) -> None:
        pcs = self.runs.pcs
        address = pcs[b % len(pcs)]
        if address in self.breakpoints:
            self.timeline.remove_breakpoint(address)
            self.breakpoints.remove(address)
        elif self._is_rare(frozenset({*self.breakpoints, address}), self.specs):
            self.timeline.add_breakpoint(address)
            self.breakpoints.add(address)

    def move_watch(self, a: int, b: int) -> None:
        addresses = self.runs.addresses
        if not addresses or (self.watches and b % 3 == 0):
            if self.watches:
                spec, watch = self.watches.pop(b % len(self.watches))
                self.timeline.remove_watch(watch)
            return
        kind = (WatchKind.STORE, WatchKind.LOAD, WatchKind.ACCESS)[b % 3]
        spec = Spec(kind, addresses[b // 3 % len(addresses)] + b % 17 - 8, (1, 2, 4, 8, 13, 64)[a % 6])
        memory = self.timeline.board.machine.memory
        if not memory.ram_base <= spec.address <= memory.ram_base + memory.ram_size - spec.size:
            return
        if spec not in self.specs and self._is_rare(frozenset(self.breakpoints), (*self.specs, spec)):
            self.watches.append((spec, self.timeline.add_watch(*spec)))

    def _is_rare(self, breakpoints: frozenset[int], watches: tuple[Spec, ...]) -> bool:
        try:
            self.runs.events(breakpoints, watches)
        except TooManyError:
            return False
        return True

    # ---- diversions

    def move_divert(self, a: int, b: int) -> None:
        """Change something, perhaps go on from there, and come back."""
        timeline, board = self.timeline, self.timeline.board
        hart = b % len(board.harts)
        if a % 4 == 0:
            timeline.write_register(f"x{1 + b % 31}", b * 0x9E37_79B9, hart)
        elif a % 4 == 1:
            timeline.write_memory(board.harts[hart].pc & ~1, bytes([b & 0xFF, b >> 8 & 0xFF]), hart)
        elif a % 4 == 2 and self.runs.addresses:
            timeline.write_memory(self.runs.addresses[b % len(self.runs.addresses)], b.to_bytes(8, "little"))
        else:
            timeline.type(bytes([b & 0xFF]) * (1 + b % 20))
        if not timeline.is_diverted:
            return
        for _ in range(b % 3):
            timeline.step((1, 10, 300)[a % 3])
            assert timeline.is_diverted
        is_told = len(self.notices)
        self.log.append(f"in a diversion at {timeline.position}")
        moves_back = (
            self.move_run_back,
            self.move_step_back,
            self.move_seek,
            self.move_seek_ns,
            self.move_back_to_event,
        )
        moves_back[b % 5](a, b)
        assert not timeline.is_diverted
        assert len(self.notices) == is_told + 1

    def move_interrupt(self, a: int, b: int) -> None:
        """A move that is interrupted at some moment, or before that ends."""
        left = b % 6

        def count_down() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                self.timeline.interrupt()

        icount = self.runs.start.icount + self.runs.insns * a // 1000
        self.timeline.on_stride = count_down
        try:
            stop = self.timeline.seek(icount) if b % 2 else self.timeline.run_back()
        finally:
            self.timeline.on_stride = lambda: None
        if stop.why is not Why.INTERRUPTED:
            self._seek_to(icount)
            return
        assert self.runs.start <= self.timeline.position <= self.runs.end
        self._seek_to(self.timeline.position.icount)

    # ---- places

    @property
    def here_seq(self) -> int:
        return int(self.timeline.session.door.next_seq)

    def _arrived_at(self, icount: int) -> None:
        self._arrived(Way("icount", icount))
        assert self.here.position.icount == icount, f"wanted icount {icount}, got {self.here.position}"

    def _at_end_or(self, stop: Stop, is_arrival_possible: bool) -> None:
        runs = self.runs
        if is_arrival_possible and stop.why is Why.REACHED:
            self._arrived(Way("icount", runs.end.icount))
            return
        assert stop.why is Why.END, stop
        assert self.timeline.is_at_end
        if not runs.was_killed:
            assert stop.outcome == runs.recorded.end.outcome
        self._arrived(Way("end"))

    def _arrived(self, way: Way) -> None:
        board = self.timeline.board
        place = place_of(board)
        self.ends[way.kind] += 1
        self.here = Here(place, way)
        assert self.timeline.position == board.position
        assert self.timeline.is_at_end is (way.kind == "end")
        self.visited.append((way, view_of(self.timeline.session)))

    def _split(self) -> tuple[list[Event], list[Event]]:
        """The stops before this place, and those behind it; a breakpoint that is this place is in neither."""
        here, way = self.here, self.here.way
        breakpoints = frozenset(self.breakpoints)
        events = list(self.runs.events(breakpoints, self.specs))
        if way.kind == "end":
            return events, []
        if way.kind == "watch":
            return self._split_at_watch(events)
        if way.is_before_instruction and any(self._is_near(event) for event in events):
            events = list(self.runs.events(breakpoints | {here.at.pc}, self.specs, events_max=None))
            at = next(n for n, event in enumerate(events) if event.why is Why.BREAKPOINT and self._is_here(event))
            own = [n for n, event in enumerate(events) if event.why is Why.WATCH or event.place.pc in breakpoints]
            return [events[n] for n in own if n < at], [events[n] for n in own if n > at]
        return self._split_by_position(events)

    def _is_here(self, event: Event) -> bool:
        return self.here.way.to in (event.place, event.before)

    def _is_near(self, event: Event) -> bool:
        """Whether its icount does not tell if it is before this stop."""
        return event.last_icount == self.here.position.icount and not event.is_by_turn

    def _split_by_position(self, events: list[Event]) -> tuple[list[Event], list[Event]]:
        icount, position = self.here.position.icount, self.here.position
        before = [
            event for event in events
            if event.last_icount < icount or (event.is_by_turn and event.place.position <= position)
        ]  # fmt: skip
        return before, events[len(before) :]

    def _split_at_watch(self, events: list[Event]) -> tuple[list[Event], list[Event]]:
        """Behind an access: also where the watch is there no more."""
        same = [n for n, event in enumerate(events) if event.why is Why.WATCH and event.place == self.here.place]
        return (events[: same[-1] + 1], events[same[-1] + 1 :]) if same else self._split_by_position(events)

    def _landing(self, event: Event) -> object:
        if event.is_by_turn:
            return self.runs.before_turn(event.place.position)
        return event.before

    def _before_here(self) -> list[Event]:
        """The stops to which going back may lead: those that are not here."""
        here = self.here
        is_arrival = here.way.kind in ("icount", "ns")
        return [
            event for event in self._split()[0]
            if not (event.is_by_turn and is_arrival and self._landing(event) == here.position.icount
                    and self.runs.arrival(here.position.icount) == here.position)
        ]  # fmt: skip

    def _after_here(self) -> list[Event]:
        return self._split()[1]

    # ---- afterwards

    def check(self) -> None:
        """Compare what was seen with what straight replays see."""
        groups: dict[object, list[tuple[Way, View]]] = defaultdict(list)
        for way, view in self.visited:
            groups[way.to.pc if isinstance(way.to, At | Place) else None, way.watches, way.kind].append((way, view))
        for group in groups.values():
            self._check_group(group, group[0][0])

    def _check_group(self, group: list[tuple[Way, View]], like: Way) -> None:
        """Of places to which one straight replay comes, all of them in the way of the first."""
        with self.runs.replay() as replay:
            if isinstance(like.to, At | Place):
                arm(replay.board, frozenset({like.to.pc}) if like.is_before_instruction else frozenset(), like.watches)
                while group and replay.run().reason in STOPPED:
                    here = Here(place_of(replay.board), like)
                    for way, view in [one for one in group if one[0].to in (here.place, here.at)]:
                        self._compare(way, view, replay)
                        group.remove((way, view))
                assert not group, f"no straight replay came to {group[0][0]}"
            elif like.kind == "end":
                replay.run()
                for way, view in group:
                    self._compare(way, view, replay)
            else:
                for way, view in sorted(group, key=_count):
                    limit = _count((way, view))
                    _ = replay.play(icount=limit) if like.kind == "icount" else replay.play(virtual_ns=limit)
                    self._compare(way, view, replay)

    def _compare(self, way: Way, view: View, replay: Replay) -> None:
        straight = view_of(replay)
        assert view == straight, f"at {way} the walk has {view}, a straight replay {straight}"


def _count(one: tuple[Way, View]) -> int:
    """The icount or the time to go to."""
    assert isinstance(one[0].to, int)
    return one[0].to


MOVES: dict[str, int] = {
    "seek": 3, "seek_near": 1, "seek_ns": 1, "step": 3, "step_hart": 1, "step_back": 3, "step_back_hart": 1, "run": 3,
    "run_back": 4, "back_to_event": 1, "back_if": 1, "back_to_pc": 1, "break": 4, "watch": 4, "divert": 2,
    "interrupt": 1,
}  # fmt: skip
"""How often each is among the moves of a walk."""

Move = tuple[str, int, int]


def draw_moves(pick: random.Random, count: int) -> list[Move]:
    """Random moves; mostly there is something to stop at first."""
    names = ["break", "break", "watch"] if pick.random() < 0.8 else []
    names += pick.choices(list(MOVES), list(MOVES.values()), k=count)
    return [(name, pick.randint(0, 1000), pick.getrandbits(16)) for name in names]


def shortened(moves: list[Move], fails: Callable[[list[Move]], bool]) -> list[Move]:
    """As few of these moves as still fail."""
    size = len(moves)
    while size:
        at = 0
        while at < len(moves):
            fewer = moves[:at] + moves[at + size :]
            if fails(fewer):
                moves = fewer
            else:
                at += size
        size //= 2
    return moves


def walk_and_compare(runs: StraightRuns, timeline: TraceTimeline, moves: Sequence[Move]) -> Counter[str]:
    """Make these moves, and compare; how often one ended where."""
    walker = Walker(runs, timeline)
    try:
        for name, a, b in moves:
            walker.move(name, a, b)
        walker.check()
    except Exception as error:
        error.add_note("\n".join(["the walk:", *walker.log]))
        raise
    return walker.ends
