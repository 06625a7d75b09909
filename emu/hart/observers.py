"""Who is told of each trap that a hart takes, and of each instruction that it retires. Nothing here changes a run.

Traps are taken in C and in hart.py; both tell them, while somebody asks, by one flag that trap entry looks at. Of
instructions the hart tells by running them one by one. While somebody asks for returns from traps the hart executes
MRET and SRET itself.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

from minstret.emu.hart.decode import memory_access
from minstret.emu.hart.mmu import Mmu
from minstret.emu.hart.shared import PAGE_SIZE, Access, Fault, Prot, Shared
from minstret.emu.hart.spec import CACHE_BLOCK, Cause
from minstret.emu.hart.traps import TrapRecord, last_trap

_ACCESSES = {Cause.FETCH_ACCESS: Access.FETCH, Cause.LOAD_ACCESS: Access.READ, Cause.STORE_ACCESS: Access.WRITE}
_RIGHTS = {Access.FETCH: Prot.X, Access.READ: Prot.R, Access.WRITE: Prot.W}
_PARCEL_SIZE = 2
StopT = TypeVar("StopT")


class Refusal(NamedTuple):
    """An access that ended in an access fault, and not because PMP forbids it.

    Attributes:
        access: A load, a store (an AMO counts as one) or a fetch.
        address: Virtual address of its first byte; where that is on another page, of the page that is not there.
        physical: Its physical address; None where the page tables that lead there are outside RAM.
        size: Bytes; of a fetch the 2 that were wanted first.
    """

    access: Access
    address: int
    physical: int | None
    size: int


class TrapTaken(NamedTuple):
    """A trap that was just taken: the hart is at the first instruction of its ``handler``, in the mode ``priv``."""

    trap: TrapRecord
    handler: int
    priv: int


class InsnRetired(NamedTuple):
    """An instruction that has just retired: icount before it, where it was, and its 16 or 32 bits."""

    icount: int
    pc: int
    insn: int


class Follower(Protocol):
    """Who follows what a hart does between its instructions."""

    def trapped(self, taken: TrapTaken) -> None:
        """It has taken a trap."""
        ...

    def returned(self, is_mret: bool) -> None:
        """MRET or SRET has just retired."""
        ...

    def waits(self, begins: bool) -> None:
        """A WFI has just retired and the hart waits; or it goes on. It may be told that it goes on without a wait."""
        ...


class Observers:
    """What one hart tells to whom.

    Attributes:
        on_insn: Called with each instruction that has retired.
        on_next: Called with pc and bits of the instruction that comes next; traps and a wait may come before it.
        follower: See ``follow``.
    """

    def __init__(self, xlen: int, shared: Shared, mmu: Mmu) -> None:
        self._xlen, self._s, self._mmu, self._env = xlen, shared, mmu, mmu.env
        self._on_trap: Callable[[TrapTaken], None] | None = None
        self._on_flow: Callable[[], None] | None = None
        self.on_insn: Callable[[InsnRetired], None] | None = None
        self.on_next: Callable[[int, int], None] | None = None
        self.follower: Follower | None = None
        self._pc, self._insn = 0, 0
        self._data_mode = 0

    def tell(
        self, on_trap: Callable[[TrapTaken], None] | None, on_insn: Callable[[InsnRetired], None] | None,
        on_next: Callable[[int, int], None] | None = None,
    ) -> None:  # fmt: skip
        """Call ``on_trap`` with each trap and ``on_insn`` with each instruction from now on; None for neither.

        With ``on_insn`` there may be ``on_next``, which is called before each.
        """
        self._on_trap, self.on_insn, self.on_next = on_trap, on_insn, on_next
        self._be_told()

    def tell_flow(self, on_trap: Callable[[], None] | None) -> None:
        """The same for flow_twin.py, which is told of each trap first."""
        self._on_flow = on_trap
        self._be_told()

    def follow(self, follower: Follower | None, *, tells_returns: bool = True) -> None:
        """Tell ``follower`` alone of traps, waits and, with ``tells_returns``, of returns; None: nobody."""
        self.follower = follower
        self._s.tells_returns = follower is not None and tells_returns
        self._be_told()

    def _be_told(self) -> None:
        told = (self._on_trap, self.on_insn, self._on_flow, self.follower)
        self._s.logs_traps = any(who is not None for who in told)
        self._s.on_trap = self.trapped if self._s.logs_traps else ctypes.py_object()

    def trapped(self, data_mode: int) -> None:
        """The hart has taken a trap; ``data_mode`` is the privilege that its loads and stores had before."""
        self._data_mode = data_mode
        if self._on_flow is not None:
            self._on_flow()
        if self.on_insn is not None:
            self._look_at_next()
        if self._on_trap is None and self.follower is None:
            return
        trap = last_trap(self._s)
        assert trap is not None
        taken = TrapTaken(trap, int(self._env.pc), int(self._env.priv))
        if self._on_trap is not None:
            self._on_trap(taken)
        if self.follower is not None:
            self.follower.trapped(taken)

    def returned(self, is_mret: bool) -> None:
        """The hart has executed MRET or SRET."""
        if self.follower is not None and self._s.tells_returns:
            self.follower.returned(is_mret)

    def step(self, run: Callable[[int], StopT], limit: int) -> StopT:
        """Run one instruction at most, and tell it."""
        s = self._s
        before = int(s.icount)
        self._look_at_next()
        stop = run(min(limit, before + 1))
        if s.icount > before and self.on_insn is not None:
            self.on_insn(InsnRetired(before, self._pc, self._insn))
        return stop

    def _look_at_next(self) -> None:
        """Note the instruction that comes next, before it can write over itself."""
        self._pc = int(self._env.pc)
        self._insn = self._mmu.fetch(self._pc, ignore_accessed=True) or 0
        if self.on_next is not None:
            self.on_next(self._pc, self._insn)

    def refusal_of(self, trap: TrapRecord) -> Refusal | None:
        """The access that led to the trap which was just taken; None where that is no access fault, or one by PMP."""
        access = None if trap.is_interrupt else _ACCESSES.get(Cause(trap.cause))
        if access is None:
            return None
        is_fetch = access is Access.FETCH
        mode, mmu = trap.priv if is_fetch else self._data_mode, self._mmu
        size = _PARCEL_SIZE if is_fetch else self._access_size(trap)
        t = mmu.translate(trap.tval, access, mode, quiet=True, ignore_accessed=True)
        if t.fault != Fault.NONE:
            return Refusal(access, trap.tval, None, size)
        allowed = mmu.pmp_allows(t.pa & -PAGE_SIZE, PAGE_SIZE, mode)
        if allowed & Prot.MIXED or not allowed & _RIGHTS[access]:
            return None
        return Refusal(access, trap.tval, t.pa, size)

    def _access_size(self, trap: TrapRecord) -> int:
        s = self._s
        is_noted = s.rewritten_pc == trap.epc and s.rewritten_icount == trap.icount + 1
        insn = int(s.rewritten_insn) if is_noted else self._mmu.fetch(trap.epc, trap.priv) or 0
        access = memory_access(insn, self._xlen)
        return CACHE_BLOCK if access is None else access.size  # none: an instruction on a cache block
