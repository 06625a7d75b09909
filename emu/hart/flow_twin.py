"""What _flow.h does, in Python: one instruction at a time, for hosts without a C compiler and as the reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from minstret.emu.hart.mmu import Mmu
from minstret.emu.hart.observers import Observers
from minstret.emu.hart.operations import OpKind, operation_of
from minstret.emu.hart.shared import NOWHERE, Asked, Shared, TransferKind
from minstret.emu.hart.spec import REG_RA, REG_T0

_U64 = (1 << 64) - 1
_LINKS = (REG_RA, REG_T0)
_LANES = 4
_FACTOR = 0x9E37_79B9_7F4A_7C15
_FROM_TRAP, _INSN_SIZE_MAX = 1, 4
"""The first is in the link of a frame: its address, which is even, is where a trap came from."""
_TRANSFERS = (TransferKind.NONE, TransferKind.CALL, TransferKind.RETURN, TransferKind.SWAP)
StopT = TypeVar("StopT")


def transfer_of(insn: int, xlen: int) -> TransferKind:
    """What an instruction is to who follows calls.

    Source: The RISC-V Instruction Set Manual, Volume I, "Unconditional Jumps": return-address stack hints.
    """
    op = operation_of(insn, xlen)
    if op.kind is OpKind.TRAP_RETURN:
        return TransferKind.TRAP_RETURN
    if op.kind not in (OpKind.JUMP, OpKind.JUMP_REGISTER):
        return TransferKind.NONE
    pushes = op.rd in _LINKS
    pops = op.kind is OpKind.JUMP_REGISTER and op.rs1 in _LINKS and op.rs1 != op.rd
    return _TRANSFERS[pushes + 2 * pops]


class CallTree:
    """Nodes, and the calls that are open."""

    def __init__(self, nodes_max: int, depth_max: int, frames_max: int) -> None:
        self._nodes_max, self._depth_max, self._frames_max = nodes_max, depth_max, frames_max
        self.nodes: list[list[int]] = []
        self._depths: list[int] = []
        self._index: dict[tuple[int, int, int, int], int] = {}
        self._frames: list[tuple[int, int]] = []
        self._now: int | None = None

    def retire(self) -> None:
        """An instruction retires in the current node."""
        assert self._now is not None
        self.nodes[self._now][4] += 1

    def arrive(self, kind: TransferKind, pc: int, priv: int, link: int) -> None:
        """An instruction of ``kind``, followed by ``link``, has led to ``pc``."""
        if kind is TransferKind.START:
            self._begin_root(pc, priv)
        elif kind is TransferKind.CALL:
            self._enter(pc, priv, False, link)
        elif kind is TransferKind.RETURN:
            if not self._leave(pc):
                self._begin_root(pc, priv)
        elif kind is TransferKind.SWAP:
            self._leave(pc)
            self._enter(pc, priv, False, link)
        elif kind is TransferKind.TRAP_RETURN and not self._leave_trap(pc):
            self._begin_root(pc, priv)

    def trap(self, epc: int, handler: int, priv: int) -> None:
        """A trap has led from ``epc`` to ``handler``."""
        self._enter(handler, priv, True, epc | _FROM_TRAP)

    def _enter(self, pc: int, priv: int, is_trap: bool, link: int) -> None:
        assert self._now is not None
        if len(self._frames) >= self._frames_max:
            del self._frames[: self._frames_max // 2]
        self._frames.append((self._now, link))
        if self._depths[self._now] + 1 < self._depth_max:
            self._now = self._child(self._now, pc, priv, is_trap)

    def _leave(self, link: int) -> bool:
        """Go back to the caller that waits for ``link``."""
        for at in range(len(self._frames) - 1, -1, -1):
            if self._frames[at][1] == link:
                self._now = self._frames[at][0]
                del self._frames[at:]
                return True
        return False

    def _leave_trap(self, pc: int) -> bool:
        """Go back to what the innermost trap from ``pc`` has interrupted, or from an instruction before it."""
        links = (link for _, link in reversed(self._frames) if link & _FROM_TRAP)
        return any(0 <= pc - (link & ~_FROM_TRAP) <= _INSN_SIZE_MAX and self._leave(link) for link in links)

    def _begin_root(self, pc: int, priv: int) -> None:
        self._frames.clear()
        self._now = self._child(-1, pc, priv, False)

    def _child(self, parent: int, pc: int, priv: int, is_trap: bool) -> int:
        key = parent, pc, priv, int(is_trap)
        at = self._index.get(key)
        if at is None:
            if len(self.nodes) >= self._nodes_max:
                return max(parent, 0)
            at = self._index[key] = len(self.nodes)
            self.nodes.append([*key, 0, 0])
            self._depths.append(self._depths[parent] + 1 if parent >= 0 else 0)
        self.nodes[at][5] += 1
        return at


class PathHash:
    """The hash: one of places, and four lanes of registers, 64 bits each."""

    def __init__(self) -> None:
        self._places = 0
        self._lanes = [0] * _LANES

    def mix(self, pc: int, following: int, words: list[int]) -> None:
        """The hart has come to ``pc`` and not to the ``following`` place.

        Args:
            words: The integer registers, as words of 64 bits, as they are in memory.
        """
        self._places = (self._places ^ pc) * _FACTOR & _U64
        if pc > following:
            return
        for lane in range(_LANES):
            total = weighted = 0
            for word in words[lane::_LANES]:
                total = total + word & _U64
                weighted = weighted + total & _U64
            mixed = self._lanes[lane] ^ total
            mixed = (mixed << 13 | mixed >> 51) & _U64
            mixed = mixed + weighted & _U64
            self._lanes[lane] = mixed ^ mixed >> 7

    def value(self) -> int:
        """The hash."""
        value = self._places
        for lane in self._lanes:
            value = ((value ^ lane) * _FACTOR) & _U64
            value ^= value >> 29
        return value


class FlowTwin:
    """The Backend for a hart that runs its instructions one by one."""

    def __init__(
        self, xlen: int, shared: Shared, mmu: Mmu, observers: Observers, *, runs_max: int, nodes_max: int,
        depth_max: int, frames_max: int,
    ) -> None:  # fmt: skip
        self._xlen, self._s, self._mmu, self._env, self._observers = xlen, shared, mmu, mmu.env, observers
        self._runs_max = runs_max
        self._tree_limits = nodes_max, depth_max, frames_max
        self._asked = Asked(0)
        self._counts: dict[tuple[int, int], list[int]] = {}
        self._lost_insns = 0
        self._tree = CallTree(*self._tree_limits)
        self._hash = PathHash()
        self._kind = TransferKind.START
        self._next = NOWHERE
        self._link = 0
        self._pc, self._insn, self._priv = 0, 0, 0
        self._words: list[int] = []

    def ask(self, asked: Asked, begin: Asked) -> None:
        self._asked = asked
        self._observers.tell_flow(self._trapped if asked else None)
        if begin & Asked.COUNTS:
            self._counts.clear()
            self._lost_insns = 0
        if begin & Asked.CALLS:
            self._tree = CallTree(*self._tree_limits)
            self._kind = TransferKind.START
        if begin & Asked.PATH:
            self._hash = PathHash()
            self._next = NOWHERE

    def runs(self) -> Iterator[tuple[int, int, int, int, int]]:
        return ((pc, 1, priv, count, last) for (pc, priv), (count, last) in self._counts.items())

    def nodes(self) -> Iterator[tuple[int, int, int, int, int, int]]:
        return (tuple(node) for node in self._tree.nodes)  # type: ignore[misc]

    def lost_insns(self) -> int:
        return self._lost_insns

    def path_hash(self) -> int:
        return self._hash.value()

    # ---- what happens

    def step(self, run: Callable[[int], StopT], limit: int) -> StopT:
        """Run one instruction at most."""
        before = int(self._s.icount)
        self._look_at_next()
        stop = run(min(limit, before + 1))
        if self._s.icount > before:
            self._arrive(self._pc, self._priv, self._words)
            self._retire(before)
        return stop

    def _look_at_next(self) -> None:
        """Note the instruction that comes next, before it can write over itself, and what it finds."""
        env = self._env
        self._pc, self._priv = int(env.pc), int(env.priv)
        self._insn = self._mmu.fetch(self._pc, ignore_accessed=True) or 0
        self._words = self._registers() if self._asked & Asked.PATH else []

    def _registers(self) -> list[int]:
        x = list(self._env.x)
        if self._xlen == 64:
            return x
        return [low | high << 32 for low, high in zip(x[::2], x[1::2], strict=True)]

    def _retire(self, icount: int) -> None:
        if self._asked & Asked.COUNTS:
            key = self._pc, self._priv
            run = self._counts.get(key)
            if run is None and len(self._counts) >= self._runs_max:
                self._lost_insns += 1
            else:
                self._counts[key] = [run[0] + 1 if run is not None else 1, icount]
        if self._asked & Asked.CALLS:
            self._tree.retire()
        self._kind = transfer_of(self._insn, self._xlen)
        self._next = self._link = self._pc + (4 if self._insn & 3 == 3 else 2) & _U64

    def _arrive(self, pc: int, priv: int, words: list[int]) -> None:
        """The hart is at ``pc``, by the instruction that has retired before."""
        if self._asked & Asked.PATH and pc != self._next:
            self._hash.mix(pc, self._next, words)
            self._next = pc
        if self._asked & Asked.CALLS:
            self._tree.arrive(self._kind, pc, priv, self._link)
        self._kind = TransferKind.NONE

    def _trapped(self) -> None:
        self._arrive(int(self._s.last_epc), int(self._s.last_priv), self._registers())
        self._next = NOWHERE
        if self._asked & Asked.CALLS:
            self._tree.trap(int(self._s.last_epc), int(self._env.pc), int(self._env.priv))
        self._look_at_next()

    def traps(self) -> None:
        """The observers tell."""

    def arrives(self) -> None:
        """``step`` sees that, and the next."""

    def retires(self, kind: TransferKind) -> None: ...

    def moved(self, before: int) -> None:
        self._kind, self._next = TransferKind.START, NOWHERE

    def time_passed(self, insns: int) -> None:
        """Only what this hart does counts here."""
