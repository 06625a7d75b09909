"""Where a hart's instructions went: how often each was executed, who called whom, and a hash of the path.

Nothing of it is part of the hart's state, and no guest can tell that it is on. While nothing is asked for, nothing is
slower. Where the hart counts by blocks, C does it (_flow.h); else flow_twin.py does, one instruction at a time.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, TypeVar

from minstret.emu.hart.compiled import c_callbacks
from minstret.emu.hart.engine import Engine
from minstret.emu.hart.observers import Observers
from minstret.emu.hart.shared import Asked, TransferKind

RUNS_MAX = 1 << 20
"""So many different runs of instructions are counted; those of others are in ``lost_insns``."""
NODES_MAX = 1 << 20
"""So many nodes a call tree may have; beyond that calls count as part of their caller."""
DEPTH_MAX = 1024
"""So deep a call tree may be; deeper calls count as part of their caller."""
FRAMES_MAX = 1 << 16
"""So many calls may be open; of more, the outer half is forgotten."""
_U64 = (1 << 64) - 1
StopT = TypeVar("StopT")


class BlockCount(NamedTuple):
    """A straight run of ``insns`` instructions from ``pc`` on, executed ``count`` times at privilege ``priv``.

    Attributes:
        pc: Virtual address of the first.
        insns: Each retired, ``count`` times.
        priv: 0, 1, 3: U, S, M.
        count: How often.
        last_icount: The machine's icount before the first, the last time.
    """

    pc: int
    insns: int
    priv: int
    count: int  # type: ignore[assignment]  # a tuple has a method of that name
    last_icount: int


class CallNode(NamedTuple):
    """A function as it was called by one path of calls; or a trap handler; or a place where following began.

    Attributes:
        parent: Its caller's place in the list, which is before its own; None for a root.
        entry: Where it was entered: the target of the call, the handler. Of a root the first pc that was seen.
        priv: The privilege there.
        is_trap: Whether it is a trap handler: the parent is what was interrupted, or has trapped.
        insns: Instructions that retired in it, without those of its children.
        calls: How often it was entered.
    """

    parent: int | None
    entry: int
    priv: int
    is_trap: bool
    insns: int
    calls: int


class Backend(Protocol):
    """Who does the work."""

    def ask(self, asked: Asked, begin: Asked) -> None:
        """Do ``asked`` from now on, and begin anew with what is in ``begin``."""

    def runs(self) -> Iterator[tuple[int, int, int, int, int]]:
        """The fields of BlockCount."""

    def nodes(self) -> Iterator[tuple[int, int, int, int, int, int]]:
        """The fields of CallNode; the parent of a root is -1."""

    def lost_insns(self) -> int: ...

    def path_hash(self) -> int: ...

    def arrives(self) -> None:
        """The hart executes the instruction at PC itself."""

    def retires(self, kind: TransferKind) -> None:
        """That instruction, which has 4 bytes and is still at PC, retires."""

    def traps(self) -> None:
        """The hart has entered a trap's handler, in Python; C sees those that it enters."""

    def moved(self, before: int) -> None:
        """Another state was loaded; icount was ``before``."""

    def time_passed(self, insns: int) -> None:
        """Other harts have retired so many instructions."""


class Flow:
    """What one hart's instructions did. Each of the three is on its own; all are off at first.

    A state that is loaded (a restore, a step back, a reset) ends the calls that are open; counts and hash go on.
    """

    def __init__(self, engine: Engine, observers: Observers) -> None:
        self._engine, self._observers = engine, observers
        self._asked = Asked(0)
        self._backend: Backend | None = None
        self._step: Any = None

    # ---- how often

    def count(self, on: bool) -> None:
        """Begin to count executed instructions, from 0; or end that. What was counted stays until it begins again."""
        self._ask(Asked.COUNTS, on)

    def blocks(self) -> Iterator[BlockCount]:
        """What was executed, in no order. Runs may overlap: the count of one instruction is the sum over its runs.

        ``sum(block.insns * block.count)`` is what the hart has retired, but for ``lost_insns``.
        """
        return map(BlockCount._make, self._backend.runs()) if self._backend is not None else iter(())

    @property
    def lost_insns(self) -> int:
        """Instructions that were not counted: in runs that came when there were RUNS_MAX others."""
        return self._backend.lost_insns() if self._backend is not None else 0

    # ---- who called whom

    def follow_calls(self, on: bool) -> None:
        """Begin to follow calls, from an empty tree; or end that, and keep the tree.

        A call is a JAL or JALR that links to ra or t0, a return a JALR to one of them, as the specification's hints for
        return address stacks say. A trap's handler is below what it interrupted; MRET or SRET to there, or behind the
        instruction there, end it. A return to an address that no open call or trap waits for begins a new root:
        another thread's stack, a longjmp. A jump to another
        function is none: its instructions are the caller's.
        """
        self._ask(Asked.CALLS, on)

    def calls(self) -> list[CallNode]:
        """The nodes of the tree, in the order in which they came; the sum of their ``insns`` is what has retired."""
        if self._backend is None:
            return []
        return [
            CallNode(None if parent < 0 else parent, entry, priv, bool(is_trap), insns, calls)
            for parent, entry, priv, is_trap, insns, calls in self._backend.nodes()
        ]

    # ---- a hash

    def hash_path(self, on: bool) -> None:
        """Begin to hash the path, from 0; or end that, and keep the hash."""
        self._ask(Asked.PATH, on)

    @property
    def path_hash(self) -> int:
        """64 bits, over each pc that the hart did not come to by going straight on, and, where it went back, registers.

        Such a place is the target of a jump or branch that was taken, a trap's handler, the target of its return; and
        the first after hashing began or a state was loaded. The integer registers are added where it is at a lower
        address than that straight on, and after traps: no loop, return or handler is without. Where runs end and slices
        are cut does not matter: runs that are the same have the same hash, however they were driven and counted. Runs
        whose hashes differ have parted. Of runs with the same hash memory may differ, and registers since the last such
        place; or a register has differed in between and left no trace in one.
        """
        return self._backend.path_hash() if self._backend is not None else 0

    # ---- for the hart

    @property
    def is_on(self) -> bool:
        """Whether the hart has to tell what it does."""
        return bool(self._asked)

    @property
    def step(self) -> Callable[[Callable[[int], StopT], int], StopT] | None:
        """What runs one instruction at most, by a function that runs to a limit; None where that is not needed."""
        return self._step if self._asked else None

    def arrives(self) -> None:
        """The hart executes the instruction at PC in Python."""
        if self._asked and self._backend is not None:
            self._backend.arrives()

    def retires(self, kind: TransferKind = TransferKind.NONE) -> None:
        """That instruction, which is still at PC, retires."""
        if self._asked and self._backend is not None:
            self._backend.retires(kind)

    def traps(self) -> None:
        """The hart has entered a trap's handler in Python."""
        if self._asked and self._backend is not None:
            self._backend.traps()

    def moved(self, before: int) -> None:
        """Another state was loaded; icount was ``before``."""
        if self._asked and self._backend is not None:
            self._backend.moved(before)

    def time_passed(self, insns: int) -> None:
        """Other harts have retired so many instructions."""
        if self._asked and self._backend is not None:
            self._backend.time_passed(insns)

    def _ask(self, one: Asked, on: bool) -> None:
        if self._backend is None:
            if not on:
                return
            self._backend = self._new_backend()
        asked = self._asked | one if on else self._asked & ~one
        self._backend.ask(asked, one if on else Asked(0))
        self._asked = asked

    def _new_backend(self) -> Backend:
        if self._engine.counting.is_by_blocks:
            return _InC(self._engine)
        from minstret.emu.hart.flow_twin import FlowTwin  # seldom needed

        twin = FlowTwin(
            self._engine.xlen, self._engine.shared, self._engine.mmu, self._observers,
            runs_max=RUNS_MAX, nodes_max=NODES_MAX, depth_max=DEPTH_MAX, frames_max=FRAMES_MAX,
        )  # fmt: skip
        self._step = twin.step
        return twin


class _InC:
    """The Backend that _flow.h is."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._flow = c_callbacks.flow_new(RUNS_MAX, NODES_MAX, DEPTH_MAX, FRAMES_MAX)
        self._hart = self._flow, ctypes.addressof(engine.shared)
        self._asked = Asked(0)

    def ask(self, asked: Asked, begin: Asked) -> None:
        c_callbacks.flow_ask(*self._hart, int(asked), int(begin))
        if bool(asked) != bool(self._asked):  # what is known of blocks has to be found anew
            self._engine.flush_blocks()
            self._engine.shared.key_salt = c_callbacks.FLOW_KEY if asked else 0
        self._asked = asked

    def runs(self) -> Iterator[tuple[int, int, int, int, int]]:
        for pc, shape, count, last_icount in struct.iter_unpack("=4Q", c_callbacks.flow_runs(*self._hart)):
            yield pc, shape & 0xFFFF, shape >> 16, count, last_icount

    def nodes(self) -> Iterator[tuple[int, int, int, int, int, int]]:
        for parent, entry, kind, insns, calls in struct.iter_unpack("=q4Q", c_callbacks.flow_nodes(*self._hart)):
            yield parent, entry, kind & 0xFF, kind >> 8, insns, calls

    def lost_insns(self) -> int:
        return int(c_callbacks.flow_sums(*self._hart)[0])

    def path_hash(self) -> int:
        return int(c_callbacks.flow_sums(*self._hart)[1])

    def arrives(self) -> None:
        c_callbacks.flow_arrives(*self._hart)

    def retires(self, kind: TransferKind) -> None:
        c_callbacks.flow_retires(*self._hart, int(kind))

    def traps(self) -> None:
        c_callbacks.flow_traps(*self._hart)

    def moved(self, before: int) -> None:
        c_callbacks.flow_moved(*self._hart, before)

    def time_passed(self, insns: int) -> None:
        c_callbacks.flow_time_passed(*self._hart, insns & _U64)
