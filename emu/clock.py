"""The four clock types. Only ``REALTIME`` and ``HOST`` know the host, and only through what they are given.

Virtual time is ``(icount << shift) + warp_ns`` and nothing else moves it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from minstret.emu.errors import ConfigError
from minstret.emu.units import NS_PER_S

ICOUNT_SHIFT_MAX = 10
U64_MAX = (1 << 64) - 1

TIMEBASE_HZ = 10_000_000
"""The rate of mtime and of the time CSR, as on QEMU's ``virt`` board."""
NS_PER_TICK = NS_PER_S // TIMEBASE_HZ

VIRTUAL_NS_MAX = 9_223_372_036 * NS_PER_S
"""Where virtual time ends, ns: 292 years after power-on. The run ends there, and a deadline there or later is never.

The last whole second below 2^63 ns: a trace and the C callbacks can hold every time up to here, and what the last
instruction and conversions add to it.
"""


class ClockType(Enum):
    """What a clock follows. Source: QEMU include/qemu/timer.h, QEMUClockType."""

    REALTIME = "realtime"
    """Host time; runs always; never touches the guest."""
    VIRTUAL = "virtual"
    """Guest time: a function of the instruction count."""
    HOST = "host"
    """Wall-clock time; what the guest may see of it comes through the door."""
    VIRTUAL_RT = "virtual_rt"
    """VIRTUAL plus the host time spent waiting; paces sleep=on and decides nothing else. See Machine._sleep."""


class Clock(Protocol):
    """What timers need of a clock."""

    @property
    def type(self) -> ClockType: ...

    def now_ns(self) -> int: ...


@dataclass(slots=True)
class VirtualClockState:
    """Virtual time skipped while all harts waited, ns."""

    warp_ns: int = 0


class VirtualClock:
    """Guest time: ``(icount << shift) + warp_ns``."""

    type = ClockType.VIRTUAL

    def __init__(self, icount: Callable[[], int], shift: int) -> None:
        """Follow ``icount``, each instruction lasting ``2 ** shift`` ns."""
        if not 0 <= shift <= ICOUNT_SHIFT_MAX:
            raise ConfigError(f"icount shift: expected 0..{ICOUNT_SHIFT_MAX}, got {shift}")
        self.read_icount = icount
        self.shift = shift
        self.state = VirtualClockState()

    def now_ns(self) -> int:
        return (self.read_icount() << self.shift) + self.state.warp_ns

    def ns_at(self, icount: int) -> int:
        """The time at an icount between which and now nothing was skipped."""
        return (icount << self.shift) + self.state.warp_ns

    def icount_at(self, deadline_ns: int) -> int:
        """The first icount at which ``now_ns() >= deadline_ns`` if nothing is skipped until then.

        Rounds up: to stop earlier would fire a timer before its time. For a past deadline it may be a past icount.

        Args:
            deadline_ns: Absolute virtual time, ns.
        Source: QEMU docs/devel/tcg-icount.rst.
        """
        return -(self.state.warp_ns - deadline_ns >> self.shift)

    def warp_to(self, deadline_ns: int) -> None:
        """Skip to ``deadline_ns``, or to the end of time; the past is left alone."""
        end_ns = deadline_ns if deadline_ns < VIRTUAL_NS_MAX else VIRTUAL_NS_MAX
        distance_ns = end_ns - self.now_ns()
        if distance_ns > 0:
            self.state.warp_ns += distance_ns


class HostClock:
    """A clock that reads what it was given: real time live, logged values in a replay."""

    def __init__(self, clock_type: ClockType, now_ns: Callable[[], int]) -> None:
        self.type = clock_type
        self._now_ns = now_ns

    def now_ns(self) -> int:
        return self._now_ns()


@dataclass(slots=True)
class VirtualRtClockState:
    """Host time spent waiting, ns: while the guest idles with sleep=on, and for input."""

    waited_ns: int = 0


class VirtualRtClock:
    """VIRTUAL plus the host time spent waiting."""

    type = ClockType.VIRTUAL_RT

    def __init__(self, virtual: VirtualClock) -> None:
        self._virtual = virtual
        self.state = VirtualRtClockState()

    def now_ns(self) -> int:
        return self._virtual.now_ns() + self.state.waited_ns
