"""Attributed timers, fired in (expire_ns, serial) order.

Owns the order and the serials. Never reads host time, never touches guest memory.

An attribute is a property of a timer, not of its clock: a timer that serves the host side is ``EXTERNAL`` and stays on
the clock it needs. No checkpoint is recorded for it, and a replay does not run it.
Source: QEMU include/qemu/timer.h after the series "Introduce attributes for timers subsystem and remove
QEMU_CLOCK_VIRTUAL_EXT"; docs/timers.md gives the reasons. The interface has all that QEMU's has for these semantics,
also where nothing here calls it yet (``arm_scaled``, ``expired``, ``enabled``, deadlines over all lists).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import IntFlag
from itertools import pairwise, zip_longest

from minstret.emu.clock import VIRTUAL_NS_MAX, Clock, ClockType
from minstret.emu.errors import DeviceError

IDLE = -1
"""``expire_ns`` of a timer that is not armed, and the deadline of a list that has none."""


class TimerAttribute(IntFlag):
    """Properties of one timer."""

    NONE = 0
    EXTERNAL = 1
    """The timer serves the host side: no checkpoint is recorded for it, and a replay does not run it."""


ALL_ATTRIBUTES = TimerAttribute.EXTERNAL
_EXTERNAL = int(TimerAttribute.EXTERNAL)
_FIRED_IN_A_PASS_MAX = 100_000
_ALL = int(ALL_ATTRIBUTES)

Checkpoint = Callable[[ClockType, int], None]
"""Called with a clock and its time, ns, before the first guest-side timer of a pass fires."""


@dataclass(slots=True)
class TimerCounts:
    """How often a timer fired, and began a pass that wrote a checkpoint, or needed none. Statistics, not state."""

    fired: int = 0
    checkpoints: int = 0
    checkpoints_saved: int = 0
    bytes_saved: int = 0


class Timer:
    """One deadline on one clock."""

    __slots__ = ("_bits", "_callback", "_list", "attributes", "counts", "expire_ns", "name", "scale_ns", "serial")

    def __init__(
        self,
        name: str,
        timers: TimerList,
        callback: Callable[[int], None],
        attributes: TimerAttribute = TimerAttribute.NONE,
        scale_ns: int = 1,
    ) -> None:
        """Make an idle timer.

        Args:
            name: Unique on its list, for example ``clint.mtimecmp``; snapshots know the timer by it.
            timers: The list of the clock it follows.
            callback: Called when it fires, with how late that is, ns.
            attributes: See TimerAttribute.
            scale_ns: The unit of ``arm_scaled``: 1, 1_000 or 1_000_000.
        """
        self.name = name
        self.attributes = attributes
        self.scale_ns = scale_ns
        self.expire_ns = IDLE
        self.serial = 0
        self.counts = TimerCounts()
        self._bits = int(attributes)  # arithmetic of IntFlag is slow
        self._callback = callback
        self._list = timers
        timers._register(self)

    @property
    def pending(self) -> bool:
        return self.expire_ns != IDLE

    @property
    def is_external(self) -> bool:
        return bool(self._bits & _EXTERNAL)

    def set_attributes(self, attributes: TimerAttribute) -> None:
        """Change what the timer is, before the run begins."""
        self.attributes, self._bits = attributes, int(attributes)

    def arm(self, expire_ns: int) -> None:
        """Fire once at ``expire_ns``, behind all timers armed before for the same time.

        Negative means 0; VIRTUAL_NS_MAX or later is never, and leaves the timer idle.
        """
        self._list._arm(self, expire_ns if expire_ns > 0 else 0)

    def arm_scaled(self, expire: int) -> None:
        """``arm`` with a time in the timer's own unit."""
        self.arm(expire * self.scale_ns)

    def arm_earlier(self, expire_ns: int) -> None:
        """``arm``, but only if the timer is idle or set for later."""
        if not self.pending or max(0, expire_ns) < self.expire_ns:
            self.arm(expire_ns)

    def was_armed(self, expire_ns: int, times: int) -> None:
        """It was armed so often meanwhile, last for ``expire_ns``; IDLE: cancelled after that.

        ``on_earlier`` is not called: whoever armed it has ended the slice in time.
        """
        self._list._was_armed(self, expire_ns, times)

    def cancel(self) -> None:
        """Make idle."""
        if self.expire_ns != IDLE:
            self._list._disarm(self)

    def expired(self, now_ns: int) -> bool:
        """Whether the timer is armed for ``now_ns`` or before."""
        return self.pending and self.expire_ns <= now_ns

    def __repr__(self) -> str:
        return f"Timer({self.name!r}, expire_ns={self.expire_ns})"


@dataclass(slots=True)
class TimerListState:
    """Armed timers as (name, expire_ns, serial) in firing order."""

    armed: list[tuple[str, int, int]] = field(default_factory=list)
    next_serial: int = 0


class TimerList:
    """The timers of one clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.enabled = True
        self._hidden = 0  # attributes of timers that don't run; plain bits, as arithmetic of IntFlag is slow
        self.on_checkpoint: Checkpoint | None = None
        self.on_checkpoint_saved: Callable[[ClockType], int] | None = None
        """Called after a pass in which EXTERNAL timers alone fired; gives the bytes that its checkpoint would take."""
        self.may_run: Callable[[ClockType], bool] | None = None
        """Asked before a pass; in a replay the trace says when timers of a host's clock fire."""
        self.on_fired: Callable[[Timer, int], None] | None = None
        """Called with each timer that fires, before what it does, and with its deadline, ns."""
        self.on_earlier: Callable[[int], None] | None = None
        """Called with the nearest deadline, ns, when it has moved closer."""
        self._armed: list[tuple[int, int, Timer]] = []  # sorted; serials differ, so timers are never compared
        self._timers: dict[str, Timer] = {}
        self._next_serial = 0

    @property
    def runnable(self) -> TimerAttribute:
        """Timers with an attribute outside this mask neither fire nor count as a deadline (replay)."""
        return TimerAttribute(_ALL & ~self._hidden)

    @runnable.setter
    def runnable(self, mask: TimerAttribute) -> None:
        self._hidden = _ALL & ~int(mask)

    def _register(self, timer: Timer) -> None:
        if timer.name in self._timers:
            raise ValueError(f"two timers named {timer.name!r} on the {self.clock.type.value} clock")
        self._timers[timer.name] = timer

    def _arm(self, timer: Timer, expire_ns: int) -> None:
        if expire_ns >= VIRTUAL_NS_MAX:
            timer.cancel()
            return
        hidden, armed = self._hidden, self._armed
        nearest_ns = (armed[0][0] if armed else None) if not hidden else self._nearest_ns(hidden)
        if timer.expire_ns != IDLE:
            self._disarm(timer)
        timer.expire_ns, timer.serial = expire_ns, self._next_serial
        self._next_serial += 1
        insort(self._armed, (expire_ns, timer.serial, timer))
        is_nearer = not timer._bits & hidden and (nearest_ns is None or expire_ns < nearest_ns)
        if is_nearer and self.on_earlier is not None:
            self.on_earlier(expire_ns)

    def _was_armed(self, timer: Timer, expire_ns: int, times: int) -> None:
        if timer.expire_ns != IDLE:
            self._disarm(timer)
        self._next_serial += times
        if expire_ns != IDLE:
            timer.expire_ns, timer.serial = expire_ns, self._next_serial - 1
            insort(self._armed, (expire_ns, timer.serial, timer))

    def _disarm(self, timer: Timer) -> None:
        """Make idle a timer that is armed."""
        self._armed.remove((timer.expire_ns, timer.serial, timer))
        timer.expire_ns = IDLE

    def _nearest_ns(self, hidden: int) -> int | None:
        """When the first timer expires that has none of the ``hidden`` attributes."""
        if not hidden:
            return self._armed[0][0] if self._armed else None
        for expire_ns, _, timer in self._armed:
            if not timer._bits & hidden:
                return expire_ns
        return None

    def timers(self) -> list[Timer]:
        """All timers, armed or not, by name."""
        return [self._timers[name] for name in sorted(self._timers)]

    def armed(self) -> Iterator[Timer]:
        """Armed timers in the order in which they will fire."""
        assert all(one < other for one, other in pairwise(self._armed)), self._armed
        return (timer for _, _, timer in self._armed)

    def expire_ns(self, mask: TimerAttribute = ALL_ATTRIBUTES) -> int | None:
        """When the next timer fires that has no attribute outside ``mask``, ns; None for never."""
        if not self._armed or not self.enabled:
            return None
        if mask is ALL_ATTRIBUTES and not self._hidden:
            return self._armed[0][0]
        return self._nearest_ns(self._hidden if mask is ALL_ATTRIBUTES else self._hidden | _ALL & ~int(mask))

    @property
    def has_guests_first(self) -> bool:
        """Whether the next timer of all is the guest's."""
        return bool(self._armed) and self.enabled and not self._armed[0][2]._bits

    def deadline_ns(self, mask: TimerAttribute = ALL_ATTRIBUTES) -> int:
        """Distance to the next timer with no attribute outside ``mask``.

        Returns:
            ns; 0 when overdue, -1 when there is none or the clock is disabled.
        """
        expire_ns = self.expire_ns(mask) if self._armed else None
        return IDLE if expire_ns is None else max(0, expire_ns - self.clock.now_ns())

    def run_expired(self) -> bool:
        """Fire all timers that have expired; whether there were any.

        Reads the clock once. A callback that arms a time already past is run again in the same pass. The
        first guest-side timer is preceded by one checkpoint for the pass.

        Raises:
            DeviceError: a callback arms its timer for the past again and again.
        """
        if not self._armed or not self.enabled or not (self.may_run is None or self.may_run(self.clock.type)):
            return False
        now_ns = self.clock.now_ns()
        if self._armed[0][0] > now_ns:
            return False
        first: Timer | None = None
        left = _FIRED_IN_A_PASS_MAX
        needs_checkpoint = self.on_checkpoint is not None and self.clock.type is not ClockType.REALTIME
        while (timer := self._next_expired(now_ns)) is not None:
            first = first or timer
            if needs_checkpoint and not timer._bits & _EXTERNAL:
                needs_checkpoint = False
                assert self.on_checkpoint is not None
                self.on_checkpoint(self.clock.type, now_ns)
                timer.counts.checkpoints += 1
            late_ns = now_ns - timer.expire_ns
            self._disarm(timer)
            timer.counts.fired += 1
            left -= 1
            if not left:
                raise DeviceError(
                    f"{timer.name}: the timer arms itself for a time that is already past, again and again, so time"
                    " stands still; arm it for a later time"
                )
            if self.on_fired is not None:
                self.on_fired(timer, now_ns - late_ns)
            timer._callback(late_ns)
        if needs_checkpoint and first is not None:
            first.counts.checkpoints_saved += 1
            if self.on_checkpoint_saved is not None:
                first.counts.bytes_saved += self.on_checkpoint_saved(self.clock.type)
        return first is not None

    def _next_expired(self, now_ns: int) -> Timer | None:
        hidden = self._hidden
        for expire_ns, _, timer in self._armed:
            if expire_ns > now_ns:
                return None
            if not timer._bits & hidden:
                return timer
        return None

    def check(self) -> None:
        """Assert that what is armed is in order, and that timers and list agree; for tests, as it takes time."""
        order = [(expire_ns, serial) for expire_ns, serial, _ in self._armed]
        assert order == sorted(order), order
        assert len({serial for _, serial in order}) == len(order), order
        assert all(serial < self._next_serial and 0 <= expire_ns < VIRTUAL_NS_MAX for expire_ns, serial in order), order
        assert all(
            (timer.expire_ns, timer.serial) == one for one, (_, _, timer) in zip(order, self._armed, strict=True)
        )
        assert sum(timer.pending for timer in self._timers.values()) == len(order), order

    def copied_counts(self) -> tuple[TimerCounts, ...]:
        """The statistics of all timers, by name."""
        return tuple(replace(timer.counts) for timer in self.timers())

    def load_counts(self, counts: Sequence[TimerCounts]) -> None:
        """Put the statistics back to what ``copied_counts`` gave; to zero where there are none."""
        for timer, one in zip_longest(self.timers(), counts):
            timer.counts = TimerCounts() if one is None else replace(one)

    def save_state(self) -> TimerListState:
        return TimerListState([(t.name, t.expire_ns, t.serial) for t in self.armed()], self._next_serial)

    def load_state(self, state: TimerListState) -> None:
        """Arm exactly the timers of ``state``, with their serials; calls nothing."""
        for timer in self._timers.values():
            timer.expire_ns = IDLE
        self._armed.clear()
        for name, expire_ns, serial in state.armed:
            timer = self._timers[name]
            timer.expire_ns, timer.serial = expire_ns, serial
            insort(self._armed, (expire_ns, serial, timer))
        self._next_serial = state.next_serial


class TimerGroup:
    """One list for each clock of a machine."""

    def __init__(self, clocks: list[Clock]) -> None:
        self._lists = {clock.type: TimerList(clock) for clock in clocks}

    def __getitem__(self, clock_type: ClockType) -> TimerList:
        return self._lists[clock_type]

    def __iter__(self) -> Iterator[TimerList]:
        return iter(self._lists.values())

    def deadline_ns(self, mask: TimerAttribute = ALL_ATTRIBUTES) -> int:
        """The nearest deadline over all lists; see TimerList.deadline_ns."""
        deadlines = [d for d in (timers.deadline_ns(mask) for timers in self) if d != IDLE]
        return min(deadlines, default=IDLE)

    def run_expired(self) -> bool:
        """Fire what has expired, list by list; whether anything had."""
        has_run = False
        for timers in self._lists.values():
            if timers._armed and timers.run_expired():
                has_run = True
        return has_run
