"""The machine: its harts, clocks, timers and devices, and the loop that runs them.

One turn: admit what came through the door, run expired timers, execute up to the next point at which
something must happen, and while all harts wait skip to that point. Where a turn ends is never visible to
the guest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from itertools import count
from typing import Any, NamedTuple

from minstret.emu import checks
from minstret.emu.bus import DeviceBus
from minstret.emu.changes import CHANGES_TARGET, apply_change
from minstret.emu.clock import (
    NS_PER_TICK,
    U64_MAX,
    VIRTUAL_NS_MAX,
    ClockType,
    HostClock,
    VirtualClock,
    VirtualClockState,
    VirtualRtClock,
    VirtualRtClockState,
)
from minstret.emu.door.door import BLOCKED_MARK, RESET_MARK, Door, Position
from minstret.emu.door.live import LiveDoor
from minstret.emu.hart.breakpoints import Breakpoints, SharedBreakpoints
from minstret.emu.hart.cpu import RV64GC, Cpu
from minstret.emu.hart.engine import IO_SIZE
from minstret.emu.hart.hart import Hart, HartStop
from minstret.emu.hart.memory import GuestMemory
from minstret.emu.hart.shared import PAGE_SIZE, Counting
from minstret.emu.hart.spec import Interrupt
from minstret.emu.hart.state import HartState
from minstret.emu.hart.traps import HandlerEntry, TrapRecord
from minstret.emu.hart.watches import SharedWatches, Watches, WatchHit
from minstret.emu.idle import Idle, LiveIdle, earlier
from minstret.emu.irq import IrqLine
from minstret.emu.part import Parts, copied_counts, copied_states, load_counts, load_states
from minstret.emu.schedule import DEFAULT_QUANTUM, ChaosSchedule, RoundRobin, Schedule, ScheduleState
from minstret.emu.state import canonical_bytes, copied
from minstret.emu.text import printable
from minstret.emu.timers import Timer, TimerCounts, TimerGroup, TimerList, TimerListState

SLICE_INSNS_MAX = 1_000_000
"""Default bound on one slice, so that the host gets a word in: it takes some ms."""
SLICE_INSNS_MAX_PYTHON = 20_000
"""The same with the Python twins of the callbacks, which are that much slower."""

STOP_TARGET = "machine.stop"
"""The door's target for reasons to end a run: see ``stop_request``."""

RESET_TARGET = "machine.reset"
"""The door's target for a reset that the host asks for; the event's data are RESET_REQUEST."""
RESET_REQUEST = b"reset"

_SIGNALS = range(1, 65)

UNLIMITED_INSNS = 1 << 62


class StopReason(Enum):
    """Why a run ended."""

    REACHED = "reached"
    FINISHED = "finished"
    WAITS_FOREVER = "waits-forever"
    TRAP_LOOP = "trap-loop"
    MAX_INSNS = "max-insns"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"
    END_OF_TIME = "end-of-time"
    """Virtual time has come to VIRTUAL_NS_MAX."""
    TERMINATED = "terminated"
    MAX_TIME = "max-time"
    UNTIL = "until"
    """The guest has said what the run was to go on until."""
    FAIL_ON = "fail-on"
    """The guest has said what it must not say."""
    EXPECTATION_MISSED = "expectation-missed"
    """The guest has not said what was expected, in time or at all."""
    BREAKPOINT = "breakpoint"
    """Before an instruction: see ``Hart.breakpoints``."""
    WATCH = "watch"
    """After an access to memory: see ``Hart.watches``."""


PAUSED = b"paused"
"""For STOP_TARGET, where a run has stopped and something comes in before the next one: it marks that in the trace."""

EXPECTATIONS = (StopReason.UNTIL, StopReason.FAIL_ON, StopReason.EXPECTATION_MISSED)
"""Ends by what the guest has said, or has not said: the host side asks for them."""
ASKED_FOR = (StopReason.TIMEOUT, StopReason.INTERRUPTED, StopReason.TERMINATED, *EXPECTATIONS)
"""Ends that the host asks for, by an event."""
STOP_TEXT_MAX = 1000
"""Characters of ``Outcome.text``."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    ``exit_code`` is the guest's, None unless it finished; ``signal`` is what terminated it; ``hits`` the accesses that
    were watched for; ``text`` says which expectation ended it; ``met`` which condition of ``run_until`` holds.
    """

    reason: StopReason
    exit_code: int | None = None
    first_trap: TrapRecord | None = None
    signal: int | None = None
    hits: tuple[WatchHit, ...] = ()
    text: str = ""
    met: str | None = field(default=None, compare=False)


def stop_request(reason: StopReason, signal: int | None = None, text: str = "") -> bytes:
    """What to send to STOP_TARGET: ``timeout``, ``interrupted``, ``terminated 15`` or, of no signal, ``terminated``.

    ``waits-forever``: a run has come back there for that, and whoever drives the guest may have gone on. Ends by an
    expectation have a text: ``until "login:"``.
    """
    what = printable(text, STOP_TEXT_MAX - len("...")) if text else str(signal or "")
    return f"{reason.value} {what}".rstrip(" ").encode()


def _asked_stop(data: bytes) -> Outcome:
    """The end that a request asks for.

    Raises:
        ValueError: the host can't ask for that.
    """
    word, _, number = data.decode().partition(" ")
    reason = StopReason(word)
    if reason not in (*ASKED_FOR, StopReason.WAITS_FOREVER):
        raise ValueError(f"the host can't ask for an end by {reason.value}")
    if reason in EXPECTATIONS:
        return Outcome(reason, text=printable(number, STOP_TEXT_MAX))
    if not number:
        return Outcome(reason)
    signal = int(number) if number.isdecimal() and len(number) < 4 else 0
    if reason is not StopReason.TERMINATED or signal not in _SIGNALS:
        raise ValueError(f"the host can't ask for an end by {word} {number[:16]}")
    return Outcome(reason, signal=signal)


@dataclass(slots=True)
class MachineState:
    """Everything but RAM. Harts in the order of their ids; devices, lines and host-side parts by name.

    ``timers`` are those in virtual time, ``host_timers`` those in the host's: alarms of its wall clock. ``virtual_rt``
    is how long the host has waited, ``host`` the state of the host side: a replay needs neither, continuing live does.
    ``schedule`` is None where there is one hart.
    """

    harts: list[HartState]
    clock: VirtualClockState
    virtual_rt: VirtualRtClockState
    timers: TimerListState
    host_timers: TimerListState
    devices: dict[str, Any]
    lines: dict[str, bool]
    exit_code: int | None
    reset_requested: bool
    host: dict[str, Any]
    schedule: ScheduleState | None = None


class MachineNotes(NamedTuple):
    """What belongs to a run beside MachineState: nothing of it is visible to a guest, and no trace has it.

    ``refused_satp_modes`` are by hart. ``timers``: the lists that are not in the state, in their order.
    ``timer_counts`` are by clock and name; they, ``part_counts`` and ``refused_satp_modes`` are statistics.
    ``hart``: the id of the one that has stopped, which may have executed nothing yet.
    """

    hart: int
    stop_requested: Outcome | None
    blocked_at: Position | None
    stopped_before_handler: bool
    timers: tuple[TimerListState, ...]
    timer_counts: tuple[tuple[TimerCounts, ...], ...]
    part_counts: dict[str, Any]
    refused_satp_modes: tuple[frozenset[int], ...]


@dataclass(slots=True)
class MachineConfig:
    """What a machine is made of. Sizes in bytes, times in ns; ``quantum`` in instructions.

    With a ``schedule_seed`` that decides which of several harts runs when, and not ``quantum``: see schedule.py.
    ``reset_ends``: a reset ends the run.
    """

    cpu: Cpu = RV64GC
    ram_base: int = 0x8000_0000
    ram_size: int = 128 << 20
    rom_base: int = 0x1000
    rom_size: int = 0x4000
    icount_shift: int = 1
    mtime_address: int = 0
    sleep: bool = False
    slice_insns_max: int | None = SLICE_INSNS_MAX
    counting: Counting = Counting.CODE
    harts: int = 1
    quantum: int = DEFAULT_QUANTUM
    schedule_seed: int | None = None
    reset_ends: bool = False


_FINISHED_WELL = Outcome(StopReason.FINISHED, 0)


def _in_64_bits(host_ns: Callable[[], int]) -> int:
    """The host's wall clock as a trace has it: no host knows better before 1970 or after 2554."""
    return min(max(0, host_ns()), U64_MAX)


class Machine:
    """One hart or several with memory, clocks and a bus; a board adds the devices.

    Attributes:
        harts: In the order of their ids.
        hart: The one that runs, or ran last.
        cpu: What runs instructions: the hart where there is one, else the schedule of several.
    """

    def __init__(
        self,
        config: MachineConfig,
        *,
        door: Door | None = None,
        realtime_ns: Callable[[], int] = lambda: 0,
        host_ns: Callable[[], int] = lambda: 0,
    ) -> None:
        """Make a machine without devices.

        Args:
            config: What it is made of.
            door: What the host decides comes through here; none without it.
            realtime_ns: The REALTIME clock.
            host_ns: The HOST clock (wall time since 1970).
        """
        self.config = config
        self.door: Door = LiveDoor() if door is None else door
        self.bus = DeviceBus()
        self.memory = GuestMemory(config.ram_base, config.ram_size, config.rom_base, config.rom_size, io_size=IO_SIZE)
        self.time_delta: Callable[[], int] = lambda: 0
        self.on_switch: Callable[[int, int], None] = lambda icount, hart: None
        """Called with the icount at which another hart, by id, begins to run; it may execute nothing there."""
        self._add_harts()
        self._add_timers(realtime_ns, partial(_in_64_bits, host_ns))
        self._slice_insns_max = config.slice_insns_max or UNLIMITED_INSNS
        if self._slice_insns_max == SLICE_INSNS_MAX and self.hart.counting is Counting.PYTHON:
            self._slice_insns_max = SLICE_INSNS_MAX_PYTHON
        self.lines: dict[str, IrqLine] = {}
        self.parts = Parts()
        self.on_reset: Callable[[], None] = lambda: None
        self.on_end_of_input: Callable[[], None] = lambda: None
        self.before_end: Callable[[Outcome], bool] = lambda outcome: False
        """Asked where the guest has finished with 0, or waits forever: whether something comes in before the end."""
        self.on_blocked: Callable[[], bool] = lambda: False
        """Asked where the guest waits in a call, in which no time passes: whether something comes in for it."""
        self.input_can_wake: Callable[[], bool] = lambda: False
        """Whether what the host sends could end a hart's wait."""
        self.host_side_can_wake: Callable[[], bool] = lambda: False
        """Whether what armed EXTERNAL timers bring could end a hart's wait."""
        self.exit_code: int | None = None
        self._reset_requested = False
        self._stop_requested: Outcome | None = None
        self._reached = self._passes_time = False
        self.is_running = False
        """Whether ``run`` is under way."""
        self.was_asked_to_stop = False
        """Whether the last run has ended because the host, or in a replay the trace, has asked for it."""
        self.has_run_out = False
        """Whether the last run has ended after so many turns: then what is due where it is has not happened yet."""
        self._blocked_at: Position | None = None
        self._stopped_before_handler = False
        self._limit = 0
        self.idle: Idle = LiveIdle(
            self.clock, self.timers, self.pace, self.door, self._wait, sleeps=config.sleep,
            input_can_wake=lambda: self.input_can_wake(), host_side_can_wake=lambda: self.host_side_can_wake(),
        )  # fmt: skip
        """Skips virtual time while all harts wait."""
        self.door.connect(STOP_TARGET, self._on_stop_event)
        self.door.connect(RESET_TARGET, self._on_reset_event)
        self.door.connect(CHANGES_TARGET, self._on_change)
        self.door.attach(self)

    def _add_harts(self) -> None:
        """Make the harts and virtual time; where there are several, also what stands for all of them."""
        config = self.config
        self.harts = [self._make_hart(number) for number in range(config.harts)]
        self.hart = self.harts[0]
        self.clock = VirtualClock(self.hart.read_icount, config.icount_shift)
        self.cpu: Hart | Schedule = self.hart
        self.schedule: Schedule | None = None
        """Where there are several harts."""
        self.breakpoints: Breakpoints | SharedBreakpoints = self.hart.breakpoints
        self.watches: Watches | SharedWatches = self.hart.watches
        if config.harts > 1:
            self.cpu = self.schedule = self._make_schedule()
            self.breakpoints = SharedBreakpoints([hart.breakpoints for hart in self.harts])
            self.watches = SharedWatches([hart.watches for hart in self.harts])

    def _make_hart(self, number: int) -> Hart:
        config = self.config
        return Hart(
            config.cpu, self.memory, self.bus, shift=config.icount_shift, ns_per_tick=NS_PER_TICK,
            skipped=lambda: (self.clock.state.warp_ns, self.time_delta()), mtime_address=config.mtime_address,
            counting=config.counting, hart_id=number,
        )  # fmt: skip

    def _make_schedule(self) -> Schedule:
        seed = self.config.schedule_seed
        if seed is None:
            return RoundRobin(self.harts, self.config.quantum, self._on_switch)
        return ChaosSchedule(self.harts, seed, self._on_switch)

    def _on_switch(self, hart: Hart) -> None:
        self.on_switch(self.clock.read_icount(), hart.hart_id)
        self.hart = hart
        self.clock.read_icount = hart.read_icount

    def _add_timers(self, realtime_ns: Callable[[], int], wall_ns: Callable[[], int]) -> None:
        """Make a list of timers for each clock. In a replay what the host's clocks show is what the trace says."""
        self.virtual_rt = VirtualRtClock(self.clock)
        realtime, wall = HostClock(ClockType.REALTIME, realtime_ns), HostClock(ClockType.HOST, wall_ns)
        self.timers = TimerGroup([realtime, self.clock, wall, self.virtual_rt])
        self.virtual_timers = self.timers[ClockType.VIRTUAL]
        self.virtual_timers.on_earlier = self._stop_at_deadline
        self.pace = Timer("idle.pace", self.timers[ClockType.VIRTUAL_RT], lambda late_ns: None)
        """Paces waits in the host's time: see LiveIdle."""
        self.more_timers: list[TimerList] = []
        """Lists that are not the machine's, but go back with it."""
        self.host_clock = HostClock(ClockType.HOST, lambda: self._ask_clock(wall_ns))
        """Wall-clock time as a device reads it for the guest: each reading is an answer of the host's."""

    def _stop_at_deadline(self, deadline_ns: int) -> None:
        """A timer was armed for before the others, perhaps while a hart runs."""
        self.cpu.stop_by(self.clock.icount_at(deadline_ns))

    def _ask_clock(self, host_ns: Callable[[], int]) -> int:
        answer = self.door.ask("clock.host", lambda: host_ns().to_bytes(8, "little"))
        return int.from_bytes(answer, "little")

    # ---- what devices and the board may ask for

    def request_exit(self, code: int) -> None:
        """End the run after this instruction, with the guest's exit code."""
        if self.exit_code is None:
            self.exit_code = code
        self.cpu.end_slice()

    def request_reset(self) -> None:
        """Reset the board after this instruction; with ``reset_ends`` end the run, with exit code 0."""
        if self.config.reset_ends:
            self.request_exit(0)
            return
        self._reset_requested = True
        self.cpu.end_slice()

    def room_for_input(self) -> None:
        """A device has room again: what the door holds enters before the next instruction."""
        if self.door.holds_input:
            self.cpu.end_slice()

    def reach(self) -> None:
        """End ``run`` after this instruction: what was waited for is here."""
        self._reached = True
        self.cpu.end_slice()

    @property
    def was_made_to_reach(self) -> bool:
        """Whether ``reach`` has ended the last run, or would end one now."""
        return self._reached

    def attend(self) -> None:
        """Have a turn after this instruction: something was posted that is to enter there."""
        self.cpu.end_slice()

    def add_line(self, line: IrqLine) -> IrqLine:
        """Make ``line`` part of the machine's state."""
        assert line.name not in self.lines
        self.lines[line.name] = line
        return line

    def set_line(self, hart: int, interrupt: Interrupt, level: bool) -> None:
        """Set the level of an interrupt line into a hart, by id, of several: if it waits, it may have to run next."""
        one = self.harts[hart]
        one.set_line(interrupt, level)
        if one.waiting and one.has_wake_up:
            self.cpu.end_slice()

    def charge(self, work: int) -> None:
        """See ``Hart.charge``, for the hart that runs."""
        self.hart.charge(work)

    def reset_harts(self, pc: int) -> None:
        """Put all harts into their reset state at ``pc``. icount goes on; of several, minstret does not."""
        if self.schedule is None:
            self.hart.reset(pc)
            return
        icount = self.hart.icount
        for hart in self.harts:
            hart.be_at(icount)
            hart.reset(pc)
            hart.minstret_offset = -icount & U64_MAX
        self.schedule.reset()

    def _on_stop_event(self, data: bytes) -> int:
        if data != PAUSED:
            self._stop_requested = _asked_stop(data)
        return len(data)

    def _on_reset_event(self, data: bytes) -> int:
        if data != RESET_REQUEST:
            raise ValueError(f"the host can't ask for a reset by {data[:16]!r}")
        self.request_reset()
        return len(data)

    def _on_change(self, data: bytes) -> int:
        apply_change(self.harts, data)
        return len(data)

    # ---- running

    @property
    def position(self) -> Position:
        icount = self.hart.read_icount()
        return Position(icount, (icount << self.clock.shift) + self.clock.state.warp_ns)

    @property
    def ran_last(self) -> str:
        """Which of several harts that is, for messages: `` (hart1 ran last)``; nothing where there is one."""
        return "" if self.schedule is None else f" ({self.hart.name} ran last)"

    @property
    def handler_entry(self) -> HandlerEntry | None:
        """Where the run has stopped at a breakpoint between a trap and its handler: which of the traps here; else None.

        No icount tells such a place from the one before the trap.
        """
        return self.hart.handler_entry if self._stopped_before_handler else None

    def registers_hash(self, previous: int) -> int:
        """A short hash of the harts' registers, chained to an earlier one."""
        for hart in self.harts:
            previous = hart.registers_hash(previous)
        return previous

    def run(
        self, *, icount: int | None = None, virtual_ns: int | None = None, hart: int | None = None,
        turns: int | None = None, passes_time: bool = False,
    ) -> Outcome:  # fmt: skip
        """Run until the position is reached, the guest finishes, or no more can happen.

        Args:
            icount: Stop when so many instructions have retired since power-on.
            virtual_ns: Stop at the first instruction boundary at or after this virtual time.
            hart: Of several harts, stop when the one of this id has retired an instruction.
            turns: Come back after so many turns, with REACHED and ``has_run_out`` set, if nothing has ended the run
                before.
            passes_time: Come to ``virtual_ns`` also where the guest waits and nothing can wake it.
        """
        self.has_run_out = self.was_asked_to_stop = False
        self._reached = False
        self._passes_time = passes_time
        if self.schedule is not None:
            self.schedule.awaited = hart
        self.is_running = True
        try:
            return self._run_turns(icount, virtual_ns, turns)
        finally:
            self.is_running = False

    def _run_turns(self, icount: int | None, virtual_ns: int | None, turns: int | None) -> Outcome:
        turn = self._checked_turn if checks.is_on else self._turn
        for _ in count() if turns is None else range(turns):
            outcome = turn(icount, virtual_ns)
            if outcome is not None:
                return outcome
        self.has_run_out = True
        return Outcome(StopReason.REACHED)

    def _checked_turn(self, icount: int | None, virtual_ns: int | None) -> Outcome | None:
        before = self.position
        outcome = self._turn(icount, virtual_ns)
        after = self.position
        assert before.icount <= after.icount <= max(self._limit, before.icount), (before, after, self._limit)
        assert after.virtual_ns - before.virtual_ns >= after.icount - before.icount << self.clock.shift, (before, after)
        for timers in self.timers:
            timers.check()
        return outcome

    def _turn(self, icount: int | None, virtual_ns: int | None) -> Outcome | None:
        door, position = self.door, self.position
        if self._stopped_before_handler:
            return self._enter_handler(position, icount, virtual_ns)
        if door.may_be_over and door.is_over(position):
            return Outcome(StopReason.REACHED)
        admitted = door.admit(position)
        self.timers.run_expired()
        if door.has_arrivals:
            return None
        if self._reset_requested:
            self._reset_requested = False
            door.mark(RESET_MARK)
            self.on_reset()
            if door.has_arrivals or door.holds_input:  # there is room again
                return None
        if self.hart.has_found and self.exit_code is None:  # a device wrote where somebody watches: before all else
            self._limit = position.icount + 1
            return self._stopped(self.cpu.run(self._limit))
        self._limit = limit = self._slice_limit(position, icount, virtual_ns)
        if limit <= position.icount or door.may_be_over or self._has_reason_to_end:
            outcome = self._outcome_now(position, icount, virtual_ns)
            if outcome is not None:
                return None if outcome == _FINISHED_WELL and self.before_end(outcome) else outcome
        stop = self.cpu.run(limit)
        if self.schedule is not None and self.schedule.has_awaited:
            self._reached = True
        if stop is HartStop.LIMIT:
            return None
        if stop is HartStop.WAITING:
            warp_ns = self.clock.state.warp_ns
            if (admitted and door.holds_input) or self.idle.skip(virtual_ns, passes_time=self._passes_time):
                if self.schedule is not None and self.clock.state.warp_ns != warp_ns:
                    self.schedule.time_was_skipped()
                return None
            outcome = Outcome(StopReason.WAITS_FOREVER)
            return None if self.before_end(outcome) else outcome
        return self._stopped(stop)

    def _enter_handler(self, position: Position, icount: int | None, virtual_ns: int | None) -> Outcome | None:
        """The last run ended between a trap and its handler, where nothing comes in: execute an instruction or more."""
        outcome = self._outcome_now(position, icount, virtual_ns)
        if outcome is not None:
            return outcome
        self._stopped_before_handler = False
        self._limit = max(self._slice_limit(position, icount, virtual_ns), position.icount + 1)
        stop = self.cpu.run(self._limit)
        return None if stop is HartStop.LIMIT else self._stopped(stop)

    def _stopped(self, stop: HartStop) -> Outcome | None:
        """What a stop before the limit, other than a wait, means for the run."""
        if stop is HartStop.TRAP_LOOP:
            return Outcome(StopReason.TRAP_LOOP, first_trap=self.hart.first_trap)
        if stop is HartStop.BLOCKED:
            self._mark_blocked()
            self._wait_for_input()
        if stop is HartStop.BREAKPOINT:
            self._stopped_before_handler = self.hart.has_just_trapped
            return Outcome(StopReason.BREAKPOINT)
        if stop is HartStop.WATCH:
            return Outcome(StopReason.WATCH, hits=self.hart.watches.hits)
        return None

    def _mark_blocked(self) -> None:
        """Once for each call that waits: what comes before it began goes elsewhere."""
        if self._blocked_at != self.position:
            self._blocked_at = self.position
            self.door.mark(BLOCKED_MARK)

    def _wait_for_input(self) -> None:
        """The guest reads and nothing is there: time stands still until something comes, or nothing more can."""
        if self.door.holds_input or self.door.has_arrivals or self.door.is_over(self.position):
            return
        if self.on_blocked():
            return
        if self.door.is_open:
            self._wait(None)
        else:
            self.on_end_of_input()

    @property
    def _has_reason_to_end(self) -> bool:
        """Whether something but the place where the run is may end it."""
        return self.exit_code is not None or self._stop_requested is not None or self._reached

    def _outcome_now(self, now: Position, icount: int | None, virtual_ns: int | None) -> Outcome | None:
        stop = self._stop_requested
        if self.exit_code is not None and (stop is None or stop.reason not in EXPECTATIONS):
            return Outcome(StopReason.FINISHED, self.exit_code)
        if stop is not None:
            self._stop_requested, self.was_asked_to_stop = None, True
            return replace(stop, exit_code=self.exit_code)
        reached_icount = icount is not None and now.icount >= icount
        reached_ns = virtual_ns is not None and now.virtual_ns >= virtual_ns
        has_reached = self._reached or reached_icount or reached_ns or self.door.is_over(now)
        if has_reached:
            return Outcome(StopReason.REACHED)
        return Outcome(StopReason.END_OF_TIME) if now.virtual_ns >= VIRTUAL_NS_MAX else None

    def _slice_limit(self, now: Position, icount: int | None, virtual_ns: int | None) -> int:
        """The icount before which nothing but the guest itself makes anything happen."""
        limit = now.icount + self._slice_insns_max
        if icount is not None and icount < limit:
            limit = icount
        next_icount = self.door.next_icount
        if next_icount is not None and next_icount < limit:
            limit = earlier(limit, self._limit_of_door(now, next_icount))
        deadline_ns = self.virtual_timers.expire_ns()
        if deadline_ns is None:
            deadline_ns = VIRTUAL_NS_MAX
        if virtual_ns is not None and virtual_ns < deadline_ns:
            deadline_ns = virtual_ns
        deadline = self.clock.icount_at(deadline_ns)
        if deadline < limit:
            limit = deadline
        return limit if limit > now.icount else now.icount

    def _limit_of_door(self, now: Position, next_icount: int) -> int:
        """Latest icount to stop at for the door's next item: its own, or, where that comes while all harts wait
        there, one more."""
        next_ns = self.door.next_ns
        if next_ns is not None and next_ns > (next_icount << self.clock.shift) + self.clock.state.warp_ns:
            next_icount += 1
        return max(next_icount, now.icount + 1)

    def _wait(self, timeout_ns: int | None) -> int:
        """Let the host pass time until something comes, at most ``timeout_ns``; how long it took, ns."""
        waited_ns = self.door.wait(timeout_ns)
        self.virtual_rt.state.waited_ns += waited_ns
        return waited_ns

    # ---- state

    def save_state(self) -> MachineState:
        """Everything but RAM, between two turns."""
        for check in self.parts.checks:
            check()
        icount = self.hart.icount
        for hart in self.harts:
            hart.be_at(icount)
        return MachineState(
            harts=[hart.save_state() for hart in self.harts],
            clock=VirtualClockState(self.clock.state.warp_ns),
            virtual_rt=VirtualRtClockState(self.virtual_rt.state.waited_ns),
            timers=self.virtual_timers.save_state(),
            host_timers=self.timers[ClockType.HOST].save_state(),
            devices=copied_states(self.parts.guest),
            lines={name: line.level for name, line in self.lines.items()},
            exit_code=self.exit_code,
            reset_requested=self._reset_requested,
            host=copied_states(self.parts.host),
            schedule=None if self.schedule is None else copied(self.schedule.state),
        )

    def save_notes(self) -> MachineNotes:
        """What belongs to the run and is not in the state, between two turns."""
        return MachineNotes(
            hart=self.hart.hart_id, stop_requested=self._stop_requested, blocked_at=self._blocked_at,
            stopped_before_handler=self._stopped_before_handler,
            timers=tuple(timers.save_state() for timers in self._unsaved_timers()),
            timer_counts=tuple(timers.copied_counts() for timers in (*self.timers, *self.more_timers)),
            part_counts=copied_counts(self.parts.guest),
            refused_satp_modes=tuple(frozenset(hart.core.refused_satp_modes) for hart in self.harts),
        )  # fmt: skip

    def _unsaved_timers(self) -> list[TimerList]:
        saved = (ClockType.VIRTUAL, ClockType.HOST)
        return [timers for timers in self.timers if timers.clock.type not in saved] + self.more_timers

    def load_state(self, state: MachineState, notes: MachineNotes | None = None) -> None:
        """Become ``state``, whatever has run here before; RAM is loaded apart, before.

        All that says where the run is gets set here. Without ``notes`` (a trace has none) what they hold is as at
        power-on.
        """
        for hart, hart_state in zip(self.harts, state.harts, strict=True):
            hart.load_state(hart_state)
        if self.schedule is not None and state.schedule is not None:
            self.schedule.load_state(state.schedule)
        self.clock.state = VirtualClockState(state.clock.warp_ns)
        self.virtual_rt.state = VirtualRtClockState(state.virtual_rt.waited_ns)
        self.virtual_timers.load_state(state.timers)
        self.timers[ClockType.HOST].load_state(state.host_timers)
        load_states(self.parts.guest, state.devices)
        for name, line in self.lines.items():
            line.load_level(state.lines[name])
        self.exit_code = state.exit_code
        self._reset_requested = state.reset_requested
        load_states({name: part for name, part in self.parts.host.items() if name in state.host}, state.host)
        self._load_notes(notes)

    def _load_notes(self, notes: MachineNotes | None) -> None:
        self._reached = False
        if self.schedule is not None and notes is not None:
            self.schedule.be_on(self.harts[notes.hart])
        self._stop_requested = None if notes is None else notes.stop_requested
        self._blocked_at = None if notes is None else notes.blocked_at
        self._stopped_before_handler = notes is not None and notes.stopped_before_handler
        for number, hart in enumerate(self.harts):
            hart.core.refused_satp_modes = set() if notes is None else set(notes.refused_satp_modes[number])
        load_counts(self.parts.guest, {} if notes is None else notes.part_counts)
        for number, timers in enumerate(self._unsaved_timers()):
            timers.load_state(TimerListState() if notes is None else notes.timers[number])
        for number, timers in enumerate((*self.timers, *self.more_timers)):
            timers.load_counts(() if notes is None else notes.timer_counts[number])

    def digest(self) -> str:
        """SHA-256, in hex, of what the guest can see.

        Covers registers, the reservation, RAM, device state, lines, and the armed guest-side timers in firing
        order; no serials, nothing of the host, nothing of Unicorn's own.
        """
        state = self.save_state()
        sha = hashlib.sha256()
        guest_timers = [(t.name, t.expire_ns) for t in self.virtual_timers.armed() if not t.is_external]
        visible: list[Any] = []
        for hart in state.harts:
            visible += (
                hart.xlen, hart.icount, hart.x, hart.f, hart.words, hart.fflags, hart.lines, hart.soft_mip,
                hart.waiting, hart.mcycle_offset, hart.minstret_offset, hart.pmp, hart.triggers,
            )  # fmt: skip
            if hart.later is not None:
                visible.append(hart.later)
        visible += (state.clock, guest_timers, state.devices, state.lines)
        if state.schedule is not None:
            visible.append(state.schedule)
        sha.update(canonical_bytes(visible))
        ram, zeros = self.memory.ram, bytes(PAGE_SIZE)
        for number in self.memory.written_pages():
            at = number * PAGE_SIZE
            page = ram[at : at + PAGE_SIZE].tobytes()
            if page != zeros:
                sha.update(at.to_bytes(8, "little"))
                sha.update(page)
        return sha.hexdigest()
