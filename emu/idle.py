"""What becomes of virtual time while all harts wait: who decides how far to skip.

Live, time goes to the next deadline, and with ``sleep=on`` the host waits as long first. In a replay the trace decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from minstret.emu.clock import ClockType, VirtualClock
from minstret.emu.door.door import Door
from minstret.emu.timers import IDLE, Timer, TimerAttribute, TimerGroup


class Idle(Protocol):
    """Skips virtual time while all harts wait."""

    def skip(self, virtual_ns: int | None, *, passes_time: bool = False) -> bool:
        """Skip to the next moment at which something happens, no further than ``virtual_ns``.

        With ``passes_time`` time goes on to ``virtual_ns`` where nothing happens before.

        Returns:
            False when there is nothing to wait for.
        """
        ...


class LiveIdle:
    """Skips to the next deadline, or waits for the host."""

    def __init__(
        self, clock: VirtualClock, timers: TimerGroup, pace: Timer, door: Door, wait: Callable[[int | None], int], *,
        sleeps: bool, input_can_wake: Callable[[], bool], host_side_can_wake: Callable[[], bool],
    ) -> None:  # fmt: skip
        """Make it.

        Args:
            clock: The virtual clock.
            timers: All of them.
            pace: A timer on VIRTUAL_RT that tells a recording when a sleep was over in the host's time.
            door: Says whether input may still come.
            wait: Lets the host pass time, see Source.wait.
            sleeps: Whether the host waits as long as the guest does.
            input_can_wake: Whether what the host sends could end a hart's wait.
            host_side_can_wake: Whether what EXTERNAL timers bring could.
        """
        self._clock = clock
        self._virtual_timers = timers[ClockType.VIRTUAL]
        self._host_timers = timers[ClockType.HOST]
        self._rt_timers = timers[ClockType.VIRTUAL_RT]
        self._pace = pace
        self._door = door
        self._wait = wait
        self._sleeps = sleeps
        self._input_can_wake, self._host_side_can_wake = input_can_wake, host_side_can_wake

    def skip(self, virtual_ns: int | None, *, passes_time: bool = False) -> bool:
        clock, timers = self._clock, self._virtual_timers
        host_ns = self._host_timers.deadline_ns()
        expire_ns = timers.expire_ns()
        if host_ns != IDLE:  # an alarm in the host's time: virtual time goes with it
            now_ns = clock.now_ns()
            waited_ns = self._wait(host_ns if expire_ns is None else min(host_ns, expire_ns - now_ns))
            clock.warp_to(earlier(now_ns + waited_ns, expire_ns))
            return True
        can_wake = self._timers_can_wake(expire_ns) or (self._door.is_open and self._input_can_wake())
        if not can_wake and not (passes_time and virtual_ns is not None):
            return False
        target_ns = virtual_ns if expire_ns is None else expire_ns
        if target_ns is None:
            self._wait(None)
            return self._door.source_is_open or self._door.has_arrivals  # what is held comes only if the guest takes it
        if virtual_ns is not None and virtual_ns < target_ns:
            target_ns = virtual_ns
        clock.warp_to(self._sleep(target_ns) if self._sleeps else target_ns)
        return True

    def _sleep(self, target_ns: int) -> int:
        """Let the host wait as long as the guest does; up to what time, as the host may cut that short.

        The timer ``pace`` goes off when the wait is over by VIRTUAL_RT, so a recording knows when that was. The virtual
        clock gets the distance to the deadline and nothing of what the host's has measured.
        """
        now_ns = self._clock.now_ns()
        self._pace.arm(self._rt_timers.clock.now_ns() + target_ns - now_ns)
        waited_ns = self._wait(target_ns - now_ns)
        self._rt_timers.run_expired()
        self._pace.cancel()
        return min(now_ns + waited_ns, target_ns)

    def _timers_can_wake(self, expire_ns: int | None) -> bool:
        """Whether some timer may end the wait: where only EXTERNAL ones are armed, what they bring must interrupt."""
        if self._virtual_timers.has_guests_first or self._virtual_timers.expire_ns(TimerAttribute.NONE) is not None:
            return True
        return expire_ns is not None and self._host_side_can_wake()


class TraceTimes(Protocol):
    """What a replay knows of times."""

    @property
    def next_ns(self) -> int | None:
        """Virtual time of the trace's next item, or of its end; None where it says nothing of what comes."""
        ...

    def may_run(self, clock_type: ClockType) -> bool:
        """Whether timers of this clock, whose time is the host's decision, fire now."""
        ...


class ReplayIdle:
    """Skips to the next guest-side deadline or the trace's next item; no further than its end."""

    def __init__(self, clock: VirtualClock, timers: TimerGroup, pace: Timer, trace: TraceTimes) -> None:
        self._clock = clock
        self._virtual_timers = timers[ClockType.VIRTUAL]
        self._rt_timers = timers[ClockType.VIRTUAL_RT]
        self._pace = pace
        self._trace = trace

    def skip(self, virtual_ns: int | None, *, passes_time: bool = False) -> bool:
        has_slept = self._trace.may_run(ClockType.VIRTUAL_RT)
        if has_slept:  # the recording, and to the end: its checkpoint says so
            self._pace.arm(0)
            self._rt_timers.run_expired()
        times_ns = (self._trace.next_ns, self._virtual_timers.expire_ns(), virtual_ns)
        target_ns = min((ns for ns in times_ns if ns is not None), default=0)
        if target_ns <= self._clock.now_ns():
            return has_slept
        self._clock.warp_to(target_ns)
        return True


def earlier(one: int, other: int | None) -> int:
    """The smaller one; ``other`` None is never."""
    return one if other is None or one <= other else other
