"""Who called: the chain of callers of an instruction, found from the code of each function on the way.

Where a function keeps its return address follows from its instructions between its start and the place it is at, so no
frame pointers and no tables for unwinding are needed. What is found is checked: a call must stand before the return
address, and it must lead to the function. Where anything is in doubt the chain ends: no line is better than a wrong
one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from minstret.emu.hart.operations import Op, OpKind, operation_of, signed
from minstret.emu.hart.spec import REG_FP, REG_RA, REG_SP
from minstret.emu.images.image import Extent, SymbolTable

CALLERS_MAX = 8
_VISITS_MAX = 20_000
"""Instructions of a function that are followed at most: 0.2 s."""
_TAIL_CALLS_MAX = 3
"""How many functions in a row may have been left by a jump to the next."""
_HELPERS = ("__riscv_save_", "__riscv_restore_")
"""What functions begin and end with after -msave-restore: parts of the function that uses them."""
_T0 = 5
_CLOBBERED = (1, 5, 6, 7, *range(10, 18), *range(28, 32))
"""Registers that a call need not keep."""

ReadMemory = Callable[[int, int], bytes | None]


class Frame(NamedTuple):
    """Where a function is. ``ra`` and ``fp`` are None where they are not known."""

    pc: int
    ra: int | None
    sp: int
    fp: int | None


class Callers:
    """Finds callers in one program."""

    def __init__(
        self, symbols: SymbolTable, read: ReadMemory, xlen: int, handlers: frozenset[int], *, has_stack: bool = True
    ) -> None:
        """In a program.

        Args:
            symbols: Say where functions begin and end.
            read: Reads guest memory, None where there is none.
            xlen: 32 or 64.
            handlers: Addresses of trap handlers, which nobody calls.
            has_stack: Whether the stack is still what it was at the frames asked for.
        """
        self._symbols, self._read, self._xlen, self._handlers = symbols, read, xlen, handlers
        self._has_stack = has_stack
        self._functions: dict[int, _Function | None] = {}

    def of(self, frame: Frame) -> Iterator[int]:
        """The addresses of the calls that led to ``frame``, the last one first, as far as they are certain."""
        is_first = True
        for _ in range(CALLERS_MAX):
            caller = self._caller(frame, is_first)
            if caller is None:
                return
            yield caller.pc
            frame, is_first = caller, False

    def knows(self, pc: int) -> bool:
        """Whether an instruction of a known function is at ``pc``."""
        function = self._function(pc)
        return function is not None and pc in function.states

    def _caller(self, frame: Frame, is_first: bool) -> Frame | None:
        function = self._function(frame.pc)
        state = None if function is None else function.states.get(frame.pc)
        if function is None or state is None or function.is_handler or function.start in self._handlers:
            return None
        base = _base(state, frame)
        if base is None:
            return None
        # the call that a caller is at has overwritten ra
        back = frame.ra if is_first and state.registers.get(REG_RA) == _RA_AT_ENTRY else None
        if back is None:
            back = self._saved(state, base, _RA_AT_ENTRY)
        call = None if back is None else self._call_before(back)
        if call is None or not self._leads_to(call, function):
            return None
        fp = frame.fp if state.registers.get(REG_FP) == _FP_AT_ENTRY else self._saved(state, base, _FP_AT_ENTRY)
        return Frame(call.pc, None, base, fp)

    def _saved(self, state: _State, base: int, value: _Value) -> int | None:
        """What a register held at the entry, where it is saved on the stack."""
        at = next((slot for slot, saved in sorted(state.slots.items()) if saved == value), None)
        if at is None or not self._has_stack:
            return None
        data = self._read(base + at & self._mask, self._xlen // 8)
        return None if data is None else int.from_bytes(data, "little")

    @property
    def _mask(self) -> int:
        return (1 << self._xlen) - 1

    def _call_before(self, back: int) -> _Call | None:
        """The call that returns to ``back``."""
        wide = self._insn(back - 4)
        if wide is not None and wide & 3 == 3:
            op = operation_of(wide, self._xlen)
            if op.rd == REG_RA and op.kind is OpKind.JUMP:
                return _Call(back - 4, back - 4 + op.imm & self._mask)
            if op.rd == REG_RA and op.kind is OpKind.JUMP_REGISTER:
                return _Call(back - 4, self._far_target(back - 8, op))
        short = self._insn(back - 2)
        if short is not None and short & 3 != 3:
            op = operation_of(short & 0xFFFF, self._xlen)
            if op.rd == REG_RA and op.kind is OpKind.JUMP:
                return _Call(back - 2, back - 2 + op.imm & self._mask)
            if op.rd == REG_RA and op.kind is OpKind.JUMP_REGISTER:
                return _Call(back - 2, None)
        return None

    def _far_target(self, before: int, op: Op) -> int | None:
        """The target of a JALR after an AUIPC; None if that is not what is there."""
        insn = self._insn(before)
        first = None if insn is None or insn & 3 != 3 else operation_of(insn, self._xlen)
        if first is None or first.kind is not OpKind.PC_CONSTANT or first.rd != op.rs1:
            return None
        return before + first.imm + op.imm & self._mask

    def _leads_to(self, call: _Call, function: _Function) -> bool:
        if call.target is None:  # anywhere; a label without a size need not be the start of a function
            return function.is_certain and self.knows(call.pc)
        return self._tail_calls(call.target, function.start, _TAIL_CALLS_MAX)

    def _tail_calls(self, target: int, start: int, jumps_max: int) -> bool:
        """Whether one is at ``start`` after a call of ``target``, perhaps by jumps from one function to the next."""
        if target == start:
            return True
        function = self._function(target) if jumps_max else None
        if function is None or function.start != target:
            return False
        return any(self._tail_calls(exit_, start, jumps_max - 1) for exit_ in sorted(function.exits))

    def _function(self, pc: int) -> _Function | None:
        extent = self._symbols.extent(pc)
        if extent is None or self._symbols.describe(pc).startswith(_HELPERS):
            return None
        if extent.start not in self._functions:
            self._functions[extent.start] = _followed(extent, self._insn, self._xlen)
        return self._functions[extent.start]

    def _insn(self, at: int) -> int | None:
        """The instruction at an address: 16 bits or 32."""
        low = self._read(at & self._mask, 2)
        if low is None or low[0] & 3 != 3:
            return None if low is None else int.from_bytes(low, "little")
        data = self._read(at & self._mask, 4)
        return None if data is None else int.from_bytes(data, "little")


class _Call(NamedTuple):
    """A call instruction; ``target`` is None where a register says where it goes."""

    pc: int
    target: int | None


# ---- what a function does with ra, sp and fp


class _Origin(Enum):
    ENTRY = auto()  # what register `number` held at the entry
    STACK = auto()  # sp at the entry, plus `number`
    CONSTANT = auto()  # `number`


class _Value(NamedTuple):
    origin: _Origin
    number: int


_RA_AT_ENTRY = _Value(_Origin.ENTRY, REG_RA)
_FP_AT_ENTRY = _Value(_Origin.ENTRY, REG_FP)


@dataclass(frozen=True, slots=True)
class _State:
    """What is known before an instruction: of registers, and of words by their distance from sp at the entry."""

    registers: dict[int, _Value]
    slots: dict[int, _Value]

    def merged(self, other: _State) -> _State:
        """What holds in both."""
        return _State(
            dict(self.registers.items() & other.registers.items()), dict(self.slots.items() & other.slots.items())
        )


_AT_ENTRY = _State({REG_RA: _RA_AT_ENTRY, REG_SP: _Value(_Origin.STACK, 0), REG_FP: _FP_AT_ENTRY}, {})


@dataclass(frozen=True, slots=True)
class _Function:
    """A function that was followed.

    Attributes:
        states: Before each of its instructions.
        exits: Where it jumps to outside: calls in its place.
        is_handler: It returns from traps.
        is_certain: Its symbol says how long it is.
    """

    start: int
    states: dict[int, _State]
    exits: frozenset[int]
    is_handler: bool
    is_certain: bool


def _base(state: _State, frame: Frame) -> int | None:
    """sp at the entry."""
    for register, value in ((REG_SP, frame.sp), (REG_FP, frame.fp)):
        known = state.registers.get(register)
        if known is not None and known.origin is _Origin.STACK and value is not None:
            return value - known.number
    return None


def _followed(extent: Extent, insn_at: Callable[[int], int | None], xlen: int) -> _Function | None:
    """Follow the instructions of a function on all ways from its start; None where that takes too long."""
    follower = _Follower(extent, insn_at, xlen)
    if not follower.follow():
        return None
    exits = frozenset(follower.exits)
    return _Function(extent.start, follower.states, exits, follower.is_handler, extent.is_sized)


class _Follower:
    """Follows a function: what is known before an instruction is what holds on all ways to it."""

    def __init__(self, extent: Extent, insn_at: Callable[[int], int | None], xlen: int) -> None:
        self._start, self._end, self._insn_at, self._xlen = extent.start, extent.stop, insn_at, xlen
        self.states: dict[int, _State] = {}
        self.exits: set[int] = set()
        self.is_handler = False
        self._todo: list[int] = []
        self._anywhere: _State | None = None
        """Before the jumps by a register, as of a ``switch``: they may lead to any place that no other way leads to."""
        self._after_jumps: set[int] = set()

    def follow(self) -> bool:
        """Follow all ways; False where there are too many."""
        self._goes_to(self._start, _AT_ENTRY)
        for _ in range(_VISITS_MAX):
            if not self._todo and not self._start_after_a_jump():
                return True
            at = self._todo.pop()
            insn = self._insn_at(at)
            if insn:  # 0 is no instruction
                self._step(at, operation_of(insn, self._xlen), self.states[at])
        return False

    def _start_after_a_jump(self) -> bool:
        """Go on where only a jump by a register can lead to, if there is such a place."""
        places = sorted(place for place in self._after_jumps if place < self._end and place not in self.states)
        if self._anywhere is None or not places:
            return False
        self._goes_to(places[0], self._anywhere)
        return True

    def _goes_on(self, at: int, following: int, state: _State) -> None:
        """To the next instruction, but not from the end of the function into what is behind it."""
        if following < self._end or not self._is_inside(at):
            self._goes_to(following, state)

    def _is_inside(self, at: int) -> bool:
        return self._start <= at < self._end

    def _goes_to(self, at: int, state: _State) -> None:
        before = self.states.get(at)
        merged = state if before is None else before.merged(state)
        if merged != before:
            self.states[at] = merged
            self._todo.append(at)

    def _jumps_to(self, at: int, target: int, state: _State) -> None:
        target &= (1 << self._xlen) - 1
        if self._is_inside(target) or not self._is_inside(at):  # not inside: in a helper that saves registers
            self._goes_to(target, state)
        else:
            self.exits.add(target)

    def _step(self, at: int, op: Op, state: _State) -> None:
        following = at + op.size
        if op.kind in (OpKind.JUMP, OpKind.JUMP_REGISTER, OpKind.BRANCH, OpKind.TRAP_RETURN):
            self._branch(at, following, op, state)
        else:
            self._goes_on(at, following, _after(at, op, state))

    def _branch(self, at: int, following: int, op: Op, state: _State) -> None:
        if op.kind is OpKind.TRAP_RETURN:
            self.is_handler = True
        elif op.kind is OpKind.BRANCH:
            self._jumps_to(at, at + op.imm, state)
            self._goes_on(at, following, state)
        elif op.rd == REG_RA:
            self._goes_on(at, following, _without(state, _CLOBBERED))
        elif op.kind is OpKind.JUMP and op.rd == _T0:  # of -msave-restore: it comes back by t0, with registers saved
            linked = state.registers | {_T0: _Value(_Origin.CONSTANT, following)}
            self._goes_to(at + op.imm, _State(linked, state.slots))
        elif op.rd == 0:
            self._leave(at, op, state)
        if op.kind is not OpKind.BRANCH:
            self._after_jumps.add(following)

    def _leave(self, at: int, op: Op, state: _State) -> None:
        if op.kind is OpKind.JUMP:
            self._jumps_to(at, at + op.imm, state)
            return
        target = state.registers.get(op.rs1)
        if target is not None and target.origin is _Origin.CONSTANT:
            self._jumps_to(at, target.number + op.imm, state)
        elif op.rs1 != REG_RA and not _has_left_frame(state):  # else it calls another function in its place
            self._anywhere = state if self._anywhere is None else self._anywhere.merged(state)


def _has_left_frame(state: _State) -> bool:
    """Whether a frame in which ra was saved is given back."""
    return state.registers.get(REG_SP) == _Value(_Origin.STACK, 0) and _RA_AT_ENTRY in state.slots.values()


def _without(state: _State, registers: tuple[int, ...]) -> _State:
    return _State({number: value for number, value in state.registers.items() if number not in registers}, state.slots)


def _after(at: int, op: Op, state: _State) -> _State:
    """What is known after an instruction that does not jump."""
    registers = state.registers
    first, second = registers.get(op.rs1), registers.get(op.rs2)
    if op.kind is OpKind.STORE:
        if first is None or first.origin is not _Origin.STACK:
            return state
        slot = first.number + op.imm
        slots = {place: value for place, value in state.slots.items() if place != slot}
        return _State(registers, slots if second is None else slots | {slot: second})
    if op.rd == 0:
        return state
    value: _Value | None = None
    if op.kind in (OpKind.CONSTANT, OpKind.PC_CONSTANT):
        value = _Value(_Origin.CONSTANT, op.imm + (at if op.kind is OpKind.PC_CONSTANT else 0))
    elif op.kind is OpKind.ADD_IMMEDIATE:
        value = _plus(first if op.rs1 else _Value(_Origin.CONSTANT, 0), op.imm)
    elif op.kind is OpKind.ADD_WORD and first is not None and first.origin is _Origin.CONSTANT:
        value = _Value(_Origin.CONSTANT, signed(first.number + op.imm & 0xFFFFFFFF, 32))
    elif op.kind is OpKind.SHIFT_LEFT and first is not None and first.origin is _Origin.CONSTANT:
        value = _Value(_Origin.CONSTANT, (first.number & 0xFFFF) << op.imm) if first.number >> 16 == 0 else None
    elif op.kind is OpKind.ADD and first is not None and second is not None:
        if second.origin is _Origin.CONSTANT:
            value = _plus(first, second.number)
        elif first.origin is _Origin.CONSTANT:
            value = _plus(second, first.number)
    elif op.kind is OpKind.SUBTRACT and second is not None and second.origin is _Origin.CONSTANT:
        value = _plus(first, -second.number)
    elif op.kind is OpKind.LOAD and first is not None and first.origin is _Origin.STACK:
        value = state.slots.get(first.number + op.imm)
    others = {number: known for number, known in registers.items() if number != op.rd}
    return _State(others if value is None else others | {op.rd: value}, state.slots)


def _plus(value: _Value | None, number: int) -> _Value | None:
    if value is None or number == 0:
        return value
    return None if value.origin is _Origin.ENTRY else _Value(value.origin, value.number + number)
