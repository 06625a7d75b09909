"""The last trap, and where it came from: of a jump to a wrong address, who made that address."""

from __future__ import annotations

from dataclasses import dataclass

from minstret.emu.errors import ConfigError
from minstret.emu.hart.decode import memory_access
from minstret.emu.hart.operations import OpKind, operation_of
from minstret.emu.hart.spec import ABI_NAMES, Cause
from minstret.emu.hart.traps import TrapRecord
from minstret.emu.hart.watches import WatchKind
from minstret.emu.images.image import SymbolTable
from minstret.emu.past import TraceTimeline
from minstret.emu.questions.accesses import Access, last_access
from minstret.emu.questions.registers import RegisterWrite, last_register_write
from minstret.emu.questions.targets import Target, find_target
from minstret.emu.report import callers_now, code_at
from minstret.emu.timeline import Why
from minstret.emu.trace.reader import TraceReader

_FETCHES = (Cause.FETCH_MISALIGNED, Cause.FETCH_ACCESS, Cause.FETCH_PAGE_FAULT, Cause.ILLEGAL_INSTRUCTION)


@dataclass(frozen=True, slots=True)
class TrapCause:
    """A trap and what led to it, as far as it is known.

    Attributes:
        hart: The id of the hart that took it.
        trap: The trap.
        virtual_ns: When.
        callers: Addresses of the calls that led to it, the last one first.
        jump: Where the hart came from by a jump to the address in a register: its pc and code.
        register, set_by: That register, and who wrote it last.
        target, written_by: The memory that it was loaded from, and who wrote that last.
    """

    hart: int
    trap: TrapRecord
    virtual_ns: int
    callers: tuple[int, ...] = ()
    jump: tuple[int, bytes] | None = None
    register: str = ""
    set_by: RegisterWrite | None = None
    target: Target | None = None
    written_by: Access | None = None


def last_trap(
    timeline: TraceTimeline, reader: TraceReader, symbols: SymbolTable, hart: int | None = None
) -> TrapCause | Why:  # fmt: skip
    """The last trap before where a timeline is, of a hart or of any. The timeline ends up somewhere else.

    Returns:
        It; Why.START where there was none; Why.INTERRUPTED.
    """
    board = timeline.board
    harts = board.harts if hart is None else [board.harts[hart]]
    taken = [(one.last_trap.icount, one.hart_id, one.last_trap) for one in harts if one.last_trap is not None]
    if not taken:
        return Why.START
    icount, number, trap = max(taken, key=lambda each: each[:2])
    if icount < timeline.start.icount:
        return TrapCause(number, trap, icount << board.machine.clock.shift)
    if timeline.seek(icount).why is Why.INTERRUPTED:
        return Why.INTERRUPTED
    one = timeline.board.harts[number]
    virtual_ns = timeline.position.virtual_ns
    if one.pc != trap.epc or trap.is_interrupt:
        return TrapCause(number, trap, virtual_ns)
    found = TrapCause(number, trap, virtual_ns, tuple(callers_now(one, symbols)))
    if trap.cause not in _FETCHES or timeline.step(-1, number).why is not Why.REACHED:
        return found
    return _jumped(timeline, reader, symbols, found)


def _jumped(timeline: TraceTimeline, reader: TraceReader, symbols: SymbolTable, found: TrapCause) -> TrapCause | Why:
    """What the hart did last before it was where no instruction is: the timeline is before that."""
    hart = timeline.board.harts[found.hart]
    code = code_at(hart, hart.pc)
    operation = operation_of(int.from_bytes(code, "little"), hart.xlen)
    if operation.kind is not OpKind.JUMP_REGISTER:
        return found
    name = ABI_NAMES[operation.rs1]
    jump = hart.pc, code
    set_by = last_register_write(timeline, name, found.hart, symbols) if operation.rs1 else Why.START
    if set_by is Why.INTERRUPTED:
        return set_by
    if not isinstance(set_by, RegisterWrite):
        return TrapCause(found.hart, found.trap, found.virtual_ns, found.callers, jump, name)
    target = written_by = None
    hart = timeline.board.harts[found.hart]
    load = memory_access(int.from_bytes(set_by.code, "little"), hart.xlen) if set_by.code else None
    if load is not None and not load.is_store and hart.pc == set_by.pc:
        address = int(hart.env.x[load.rs1]) + load.imm & hart.xlen_mask
        try:
            target = find_target(f"{address:#x}:{load.size}", "--trap", hart, symbols)
        except ConfigError:  # of a device
            pass
        else:
            written_by = last_access(timeline, reader, target, WatchKind.STORE, symbols)
            if written_by is None:
                return Why.INTERRUPTED
    return TrapCause(
        found.hart, found.trap, found.virtual_ns, found.callers, jump, name, set_by, target, written_by
    )  # fmt: skip
