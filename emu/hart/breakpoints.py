"""Breakpoints: addresses before which a hart stops.

The callbacks end a translated block before each address on a sorted list, and stop there. No byte of the guest's memory
changes, and while the list is empty nothing is slower. The guest's own triggers on the execution of an instruction
(triggers.py) are on the same list.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence

from minstret.emu.hart.shared import NOWHERE, Shared

USELESS_STOPS_MAX = 16
"""After this many stops at addresses that are on the list but no longer wanted, the list and all blocks are made anew.

Not at once: a debugger removes its breakpoints whenever the hart has stopped, and adds them again.
"""


class Breakpoints:
    """One hart's breakpoints, by virtual address. Not part of its state: the guest can't see them.

    A run comes back with ``HartStop.BREAKPOINT`` before the instruction at a breakpoint: nothing has retired, and an
    interrupt that is due comes first. The next run, if it begins where this one stopped (same pc, same icount), goes
    past. Any other arrival at that address stops again, after a restored state too.
    """

    def __init__(self, xlen: int, shared: Shared) -> None:
        self._xlen_mask = (1 << xlen) - 1
        self._shared = shared
        self._addresses: set[int] = set()
        self._trigger_pcs: set[int] = set()
        self._listed: set[int] = set()
        self._list = (ctypes.c_uint64 * 0)()
        self._reported = NOWHERE, NOWHERE
        self._useless_stops = 0
        self.forget_stop()

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._addresses))

    def __len__(self) -> int:
        return len(self._addresses)

    def __contains__(self, address: object) -> bool:
        return address in self._addresses

    def add(self, address: int) -> None:
        """Stop before the instruction at a virtual address, whatever is mapped there; adding it again does nothing.

        Raises:
            ValueError: no instruction can be there: it is odd, or out of range.
        """
        if address & 1 or not 0 <= address <= self._xlen_mask:
            raise ValueError(f"no instruction can be at {address:#x}")
        self._addresses.add(address)
        self._list_more()

    def remove(self, address: int) -> None:
        """Stop there no more.

        Raises:
            KeyError: there is no breakpoint.
        """
        self._addresses.remove(address)

    def clear(self) -> None:
        """Remove all."""
        self._addresses.clear()

    # ---- for the hart

    def set_trigger_pcs(self, addresses: set[int]) -> None:
        """Let the callbacks stop at these too, for the guest's triggers."""
        self._trigger_pcs = addresses
        self._list_more()

    def reports(self, pc: int, icount: int) -> bool:
        """Whether a run that stopped at ``pc`` comes back for a breakpoint: not where the one before it did."""
        if not self.would_report(pc, icount):
            return False
        self._reported = pc, icount
        return True

    def would_report(self, pc: int, icount: int) -> bool:
        """What ``reports`` would say, which this does not."""
        return pc in self._addresses and self._reported != (pc, icount)

    def skip(self, pc: int, icount: int) -> None:
        """Let the next run go past ``pc``, if it begins there."""
        self._reported = pc, icount

    def go_past(self, pc: int, icount: int) -> None:
        """Let the callbacks go on from ``pc``, where they have stopped."""
        self._shared.passed_pc, self._shared.passed_icount = pc, icount
        if pc not in self._addresses and pc not in self._trigger_pcs:
            self._useless_stops += 1
            if self._useless_stops >= USELESS_STOPS_MAX:
                self._publish()

    def time_passed(self, before: int, icount: int) -> None:
        """Other harts have run from ``before`` to ``icount``; this one is where it was, its last stop too."""
        pc, reported_icount = self._reported
        if reported_icount == before:
            self._reported = pc, icount

    def forget_stop(self) -> None:
        """The hart's state was replaced: the next run stops at a breakpoint it begins at."""
        self._reported = NOWHERE, NOWHERE
        self._shared.passed_pc = self._shared.passed_icount = NOWHERE

    def _list_more(self) -> None:
        if not self._addresses | self._trigger_pcs <= self._listed:
            self._publish()

    def _publish(self) -> None:
        """Give the callbacks the list. Blocks end before these addresses, so all are translated anew."""
        s = self._shared
        self._listed = self._addresses | self._trigger_pcs
        self._list = (ctypes.c_uint64 * len(self._listed))(*sorted(self._listed))
        s.break_pcs, s.break_count = ctypes.addressof(self._list), len(self._listed)
        s.must_forget_blocks = 1
        s.resync_after_this_instruction()
        self._useless_stops = 0


class SharedBreakpoints:
    """The breakpoints of several harts, which all have the same."""

    def __init__(self, of_harts: Sequence[Breakpoints]) -> None:
        self._of_harts = of_harts

    def __iter__(self) -> Iterator[int]:
        return iter(self._of_harts[0])

    def __len__(self) -> int:
        return len(self._of_harts[0])

    def __contains__(self, address: object) -> bool:
        return address in self._of_harts[0]

    def add(self, address: int) -> None:
        """See ``Breakpoints.add``."""
        for breakpoints in self._of_harts:
            breakpoints.add(address)

    def remove(self, address: int) -> None:
        """See ``Breakpoints.remove``."""
        for breakpoints in self._of_harts:
            breakpoints.remove(address)

    def clear(self) -> None:
        """Remove all."""
        for breakpoints in self._of_harts:
            breakpoints.clear()
