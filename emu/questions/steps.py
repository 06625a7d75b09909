"""What each instruction did: the registers that it wrote, its accesses; and the traps between. Seen by running them.

An observer of harts (emu/hart/observers.py), so it never changes the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from minstret.emu.hart import csr
from minstret.emu.hart.csr_table import CSR_OF
from minstret.emu.hart.decode import MemoryAccess, insn_size
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.layout import fflags_from_softfloat
from minstret.emu.hart.observers import InsnRetired, TrapTaken
from minstret.emu.hart.spec import INSN_EBREAK, Cause, Csr
from minstret.emu.hart.written import Written, written

_A0 = 10
_FETCH_FAULTS = (Cause.FETCH_MISALIGNED, Cause.FETCH_ACCESS, Cause.FETCH_PAGE_FAULT)


class DataAccess(NamedTuple):
    """A load or a store of one instruction; an AMO has one of each.

    Attributes:
        is_store: Which.
        address: Virtual address.
        size: Bytes.
        value: The bytes as a little-endian number; None where nothing tells what was loaded.
    """

    is_store: bool
    address: int
    size: int
    value: int | None


@dataclass(slots=True)
class Step:
    """An instruction that has retired.

    Attributes:
        hart: Who executed it; it is just behind it now.
        icount: Before it.
        pc, insn: Where it was, and its 16 or 32 bits.
        priv: The privilege in which it was executed.
        x, f: The integer and the floating-point register that it wrote, with its value; None for none.
        csrs: The CSRs that it wrote, by number, with their values; fflags where floating-point flags have changed,
            mstatus where FS has.
        accesses: What it loaded and stored.
    """

    hart: Hart
    icount: int
    pc: int
    insn: int
    priv: int
    x: tuple[int, int] | None
    f: tuple[int, int] | None
    csrs: tuple[tuple[int, int], ...]
    accesses: tuple[DataAccess, ...]

    @property
    def size(self) -> int:
        """Of the instruction, bytes."""
        return insn_size(self.insn)


class TrapStep(NamedTuple):
    """A trap that a hart has just taken.

    Attributes:
        hart: Who; it is at the handler's first instruction.
        taken: The trap.
        insn: The bits of the instruction that raised it; None of an interrupt, and where it could not be fetched.
        sp: The stack pointer then.
    """

    hart: Hart
    taken: TrapTaken
    insn: int | None
    sp: int


class _Before(NamedTuple):
    """A hart before an instruction."""

    x: bytes
    priv: int
    fflags: int
    mstatus: int
    pc: int
    insn: int


class _HartSteps:
    """Watches one hart."""

    def __init__(
        self, hart: Hart, on_step: Callable[[Step], None], on_trap: Callable[[TrapStep], None] | None
    ) -> None:  # fmt: skip
        self._hart, self._env, self._xlen, self._word = hart, hart.env, hart.xlen, hart.xlen // 8
        self._on_step, self._on_trap = on_step, on_trap
        self._before = _Before(b"", 0, 0, 0, 0, 0)

    def next(self, pc: int, insn: int) -> None:
        env = self._env
        self._last = self._before
        self._before = _Before(bytes(env.x), env.priv, env.softfloat_flags, env.mstatus, pc, insn)

    def trapped(self, taken: TrapTaken) -> None:
        if self._on_trap is None:
            return
        trap, before = taken.trap, self._last
        has_none = trap.is_interrupt or trap.cause in _FETCH_FAULTS
        self._on_trap(TrapStep(self._hart, taken, None if has_none else before.insn, trap.sp))

    def retired(self, insn: InsnRetired) -> None:
        before, env = self._before, self._env
        what = written(insn.insn, self._xlen)
        x = what.x
        if x is None and insn.insn == INSN_EBREAK:
            x = _A0  # a semihosting call: nothing else of it retires
        self._on_step(Step(
            self._hart, insn.icount, insn.pc, insn.insn, before.priv,
            None if x is None else (x, int(env.x[x])),
            None if what.f is None else (what.f, int(env.f[what.f])),
            () if what.csr is None and what.f is None and not what.is_floating else self._csrs(what, before),
            () if what.access is None else self._accesses(what, what.access, insn.insn, before),
        ))  # fmt: skip

    def _csrs(self, what: Written, before: _Before) -> tuple[tuple[int, int], ...]:
        if what.csr is not None:
            row = CSR_OF.get(what.csr)
            return () if row is None else ((what.csr, csr.read(self._hart.core, row)),)
        found = []
        flags, mstatus = self._env.softfloat_flags, self._env.mstatus
        if flags != before.fflags:
            found.append((int(Csr.FFLAGS), fflags_from_softfloat(flags)))
        if mstatus != before.mstatus:
            found.append((int(Csr.MSTATUS), int(mstatus)))
        return tuple(found)

    def _accesses(self, what: Written, access: MemoryAccess, insn: int, before: _Before) -> tuple[DataAccess, ...]:
        address = access.first_byte(self._x_before(before, access.rs1) + access.imm & self._hart.xlen_mask)
        size, mask = access.size, (1 << 8 * access.size) - 1
        if not access.is_store:
            return (DataAccess(False, address, size, self._loaded(what, address, size)),)
        assert what.stored is not None
        stored = int(self._env.f[what.stored]) if what.stores_f else self._x_before(before, what.stored)
        stored &= mask
        if not access.is_atomic:
            return (DataAccess(True, address, size, stored),)
        if access.is_conditional:
            failed = what.x is not None and self._env.x[what.x]
            return () if failed else (DataAccess(True, address, size, stored),)
        old = self._loaded(what, address, size) if what.x is not None else None
        new = self._in_memory(address, size) if old is None else _amo(insn >> 27, old, stored, size)
        return DataAccess(False, address, size, old), DataAccess(True, address, size, new)

    def _loaded(self, what: Written, address: int, size: int) -> int | None:
        if what.x is not None:
            return int(self._env.x[what.x]) & (1 << 8 * size) - 1
        if what.f is not None:
            return int(self._env.f[what.f]) & (1 << 8 * size) - 1
        return self._in_memory(address, size)

    def _in_memory(self, address: int, size: int) -> int | None:
        data = self._hart.read_virtual(address, size)
        return None if data is None else int.from_bytes(data, "little")

    def _x_before(self, before: _Before, number: int) -> int:
        at = number * self._word
        return int.from_bytes(before.x[at : at + self._word], "little")


def _amo(operation: int, old: int, operand: int, size: int) -> int | None:
    """What an AMO stores; ``operation``: its funct5. Unsigned numbers of ``size`` bytes."""
    sign, mask = 1 << 8 * size - 1, (1 << 8 * size) - 1
    match operation:
        case 0x00:
            return old + operand & mask
        case 0x01:
            return operand
        case 0x04:
            return old ^ operand
        case 0x08:
            return old | operand
        case 0x0C:
            return old & operand
        case 0x10:
            return min(old, operand, key=lambda value: value ^ sign)
        case 0x14:
            return max(old, operand, key=lambda value: value ^ sign)
        case 0x18:
            return min(old, operand)
        case 0x1C:
            return max(old, operand)
    return None


@contextmanager
def stepping(
    harts: Sequence[Hart], on_step: Callable[[Step], None], on_trap: Callable[[TrapStep], None] | None = None
) -> Iterator[None]:
    """Meanwhile ``harts`` run one by one instruction, and tell each, and each trap, in the order of happening."""
    for hart in harts:
        steps = _HartSteps(hart, on_step, on_trap)
        hart.observers.tell(steps.trapped, steps.retired, steps.next)
    try:
        yield
    finally:
        for hart in harts:
            hart.observers.tell(None, None)
