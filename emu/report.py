"""Reports on a guest that did not finish: where it is, its last trap, who called; of a trap loop registers and code.

Of several harts each has a line of its own: ``hart1: pc 0x80000044 <park>, in M-mode, in WFI for MSI; ...``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from minstret.emu.hart.cpu import Cpu, feature_names
from minstret.emu.hart.csr_table import CSR_OF
from minstret.emu.hart.decode import insn_size
from minstret.emu.hart.extensions import assembler, extension_insn
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.pagetables import SATP_MODES, satp_modes
from minstret.emu.hart.spec import (
    ABI_NAMES,
    CAUSE_TEXT,
    INTERRUPT_TEXT,
    MSTATUS_FS,
    MSTATUS_MPP_SHIFT,
    MSTATUS_SPP,
    OP_SYSTEM,
    PRIV_M,
    PRIV_NAMES,
    PRIV_S,
    PRIV_U,
    REG_FP,
    REG_RA,
    REG_SP,
    Cause,
    Interrupt,
)
from minstret.emu.hart.special import needs_floating
from minstret.emu.hart.traps import TrapRecord
from minstret.emu.images.loader import SymbolTable
from minstret.emu.machine import Machine, Outcome, StopReason

if TYPE_CHECKING:
    from minstret.emu.callers import Callers

_ENVIRONMENT_CALLS = (Cause.ECALL_FROM_U, Cause.ECALL_FROM_S, Cause.ECALL_FROM_M)
_BUSY_CLAIMS, _BUSIEST_MAX = 1000, 3
_NOTHING_WAKES = "and no timer or input can raise one"
_NOTHING_WAKES_ANY = "and no timer or input can raise an interrupt that they wait for"
_BYTES_BEFORE, _INSNS_BEFORE, _INSNS_AFTER = 64, 6, 2


def headline(machine: Machine, outcome: Outcome, symbols: SymbolTable) -> str:
    """How a run ended that waits forever or is in a trap loop, in one line."""
    hart, count = machine.hart, len(machine.harts)
    if outcome.reason is StopReason.WAITS_FOREVER:
        if count > 1:
            faults = [(one.name, fault) for one in machine.harts if (fault := handled_fault(one)) is not None]
            after = "".join(f"; {name} after {_trap_text(fault, symbols)}" for name, fault in faults)
            return f"guest waits forever: all {count} harts are in WFI, {_NOTHING_WAKES_ANY}{after}"
        wait = f"{_wait_text(hart)}, {_NOTHING_WAKES}" if _enabled_interrupts(hart) else _wait_text(hart)
        fault, where = handled_fault(hart), place_text(hart.pc, symbols)
        if fault is not None:
            return f"guest waits forever after {_trap_text(fault, symbols)}; its handler is at {where}, {wait}"
        return f"guest waits forever at {where}: {wait}"
    trap = outcome.first_trap
    loop = f"{hart.name + ': ' if count > 1 else ''}trap loop at {place_text(hart.pc, symbols)}"
    return loop if trap is None else f"{loop}: the first trap was {_trap_text(trap, symbols)}"


def _enabled_interrupts(hart: Hart) -> list[str]:
    """The interrupts that mie enables: a WFI waits for one of them."""
    return [interrupt.name for interrupt in Interrupt if int(hart.env.mie) >> interrupt & 1]


def _wait_text(hart: Hart) -> str:
    """What its WFI waits for."""
    enabled = _enabled_interrupts(hart)
    return f"in WFI for {' or '.join(enabled)}" if enabled else "in WFI with no interrupt enabled in mie"


def trap_name(trap: TrapRecord) -> str:
    """A trap's cause in words."""
    texts = INTERRUPT_TEXT if trap.is_interrupt else CAUSE_TEXT
    return texts.get(trap.cause, "unknown interrupt" if trap.is_interrupt else "unknown exception")


def _trap_text(trap: TrapRecord, symbols: SymbolTable) -> str:
    """A trap in a few words: what and where, and the value of an exception."""
    value = "" if trap.is_interrupt else f", tval {trap.tval:#x}"
    cause = f"{trap_name(trap)} ({trap.cause})"
    return f"{cause} at pc {place_text(trap.epc, symbols)}{value}, in {_privilege(trap.priv)}"


def lacking_text(cpu: Cpu, trap: TrapRecord) -> str | None:
    """What an illegal instruction is that was one only because such a hart lacks an extension; else None."""
    if trap.is_interrupt or trap.cause != Cause.ILLEGAL_INSTRUCTION:
        return None
    insn = trap.tval
    is_csr_access = insn & 0x7F == OP_SYSTEM and insn >> 12 & 3 != 0
    row, csr = extension_insn(insn, cpu.xlen), CSR_OF.get(insn >> 20) if is_csr_access else None
    if row is not None and row.feature not in cpu.features:
        what, lacked = assembler(insn, cpu.xlen), row.feature
    elif csr is not None and csr.only_xlen in (0, cpu.xlen) and csr.needs not in cpu.features:
        what, lacked = f"an access to {csr.name}", csr.needs
    else:
        return None
    return f"that is {what}, of {feature_names(lacked)}, which this hart lacks (--cpu)"


def where_text(hart: Hart, symbols: SymbolTable) -> str:
    """Where a hart is: pc, symbol, source line, privilege, and whether it waits there."""
    return f"{_pc_text(hart, symbols)}{', in WFI' if hart.waiting else ''}"


def _pc_text(hart: Hart, symbols: SymbolTable) -> str:
    return f"pc {place_text(hart.pc, symbols)}, in {_privilege(int(hart.env.priv))}"


def last_trap_text(hart: Hart, icount: int, symbols: SymbolTable) -> str:
    """The last trap that a hart has taken, on one line: cause, pc, tval, how long before ``icount``."""
    trap = hart.last_trap
    return "it has taken no trap" if trap is None else f"its last trap: {_trap_and_age(trap, icount, symbols)}"


def _trap_and_age(trap: TrapRecord, icount: int, symbols: SymbolTable) -> str:
    ago = icount - trap.icount
    return (
        f"{_trap_text(trap, symbols)}, {ago:,} instruction{'' if ago == 1 else 's'} earlier, at icount {trap.icount:,}"
    )


def harts_text(machine: Machine, symbols: SymbolTable, others_only: bool = False) -> list[str]:
    """Where each hart is, what it waits for there, and its last trap: one line each.

    Args:
        others_only: Leave out the one that ran last.
    """
    icount, lines = machine.position.icount, []
    for hart in machine.harts:
        if hart is machine.hart and others_only:
            continue
        name = _name(machine, hart)
        wait = f", {_wait_text(hart)}" if hart.waiting else ""
        lines.append(f"{name}: {_pc_text(hart, symbols)}{wait}; {_traps_text(hart, icount, symbols)}")
    return lines


def _name(machine: Machine, hart: Hart) -> str:
    return hart.name + (" (ran last)" if hart is machine.hart and len(machine.harts) > 1 else "")


def _traps_text(hart: Hart, icount: int, symbols: SymbolTable) -> str:
    """A hart's last trap, and the last fault where that was another one; with who called the code that had it."""
    text, fault = last_trap_text(hart, icount, symbols), last_fault(hart)
    if fault is None:
        return text
    if fault != hart.last_trap:
        text += f"; its last exception: {_trap_and_age(fault, icount, symbols)}"
    callers = callers_of_trap(hart, fault, symbols)
    return f"{text}, called from {place_text(callers[0], symbols)}" if callers else text


# ---- faults, and who called


def last_fault(hart: Hart) -> TrapRecord | None:
    """The last exception that a hart has taken, whatever interrupts came after. Environment calls are no faults."""
    trap = hart.last_trap if hart.last_trap is not None and not hart.last_trap.is_interrupt else hart.first_trap
    return None if trap is None or trap.cause in _ENVIRONMENT_CALLS else trap


def handled_fault(hart: Hart) -> TrapRecord | None:
    """The last fault, if the hart is still in its handler."""
    fault = last_fault(hart)
    return fault if fault is not None and fault == hart.last_trap and _is_in_handler(hart, fault) else None


def fatal_faults(machine: Machine, outcome: Outcome) -> list[tuple[Hart, TrapRecord]]:
    """The faults in whose handlers harts are where the guest has finished with a failure; the hart that ran last first.

    So a panic handler ends a run: its exit code tells nothing of the cause.
    """
    if outcome.reason is not StopReason.FINISHED or not outcome.exit_code:
        return []
    harts = sorted(machine.harts, key=lambda hart: hart is not machine.hart)
    return [(hart, fault) for hart in harts if (fault := handled_fault(hart)) is not None]


def _is_in_handler(hart: Hart, trap: TrapRecord) -> bool:
    """Whether the hart has not come back from its last trap: the CSRs are then as the trap has left them."""
    env, priv, mstatus = hart.env, int(hart.env.priv), int(hart.env.mstatus)
    if priv == PRIV_M:
        there = int(env.mepc), int(env.mcause), mstatus >> MSTATUS_MPP_SHIFT & 3
    else:
        there = int(env.sepc), int(env.scause), int(bool(mstatus & MSTATUS_SPP))
    return priv in (PRIV_M, PRIV_S) and there == (trap.epc, trap.cause, trap.priv)


def callers_now(hart: Hart, symbols: SymbolTable) -> list[int]:
    """The addresses of the calls that have led to where a hart is, the last one first: those that are certain."""
    from minstret.emu.callers import Frame  # imported here: most runs end well

    x = hart.env.x
    frame = Frame(hart.pc, int(x[REG_RA]), int(x[REG_SP]), int(x[REG_FP]))
    return list(_program(hart, symbols, int(hart.env.priv)).of(frame))


def callers_of_trap(hart: Hart, trap: TrapRecord, symbols: SymbolTable) -> list[int]:
    """The same for where a trap came from.

    After the handler the stack may have changed: then it is the last caller at most, and only if it was in ra.
    """
    from minstret.emu.callers import Frame

    program = _program(hart, symbols, trap.priv, has_stack=_has_stack(hart, trap))
    return list(program.of(Frame(trap.epc, trap.ra, trap.sp, trap.fp)))


def _has_stack(hart: Hart, trap: TrapRecord) -> bool:
    """Whether the stack is still what it was at a trap: in a trap loop, or in the handler."""
    return hart.icount == trap.icount or (trap == hart.last_trap and _is_in_handler(hart, trap))


def _program(hart: Hart, symbols: SymbolTable, priv: int, *, has_stack: bool = True) -> Callers:
    from minstret.emu.callers import Callers

    def read(address: int, size: int) -> bytes | None:
        return hart.read_virtual(address, size, priv)

    handlers = frozenset(int(vector) & ~3 for vector in (hart.env.mtvec, hart.env.stvec))
    return Callers(symbols, read, hart.xlen, handlers, has_stack=has_stack)


def _caller_lines(callers: Iterable[int], symbols: SymbolTable) -> list[str]:
    return [f"  called from {place_text(caller, symbols)}" for caller in callers]


class Past(NamedTuple):
    """A moment of the same run, in another machine: a hart just before it took a trap.

    ``recent`` are the PCs of the instructions that it executed before, the last one at the end.
    """

    hart: Hart
    recent: Sequence[int]


LookBack = Callable[[Hart, int], Past | None]
"""Called with a hart and the icount of a trap that it took; gives the moment before, or None if it can't be had."""


def why(
    machine: Machine, outcome: Outcome | None, symbols: SymbolTable, look_back: LookBack | None = None
) -> list[str]:
    """Where each hart is and who called, and where its last trap came from: what one looks for a cause by.

    Args:
        machine: At any moment between two instructions.
        outcome: How its run has just ended, where it has. Its ``headline`` is not repeated. Of a guest that finished
            only its ``fatal_faults`` are told.
        symbols: Names of addresses, and source lines.
        look_back: Asked where the present does not tell where a trap came from.
    """
    if outcome is not None and outcome.reason is StopReason.FINISHED:
        return _fatal_lines(machine, outcome, symbols, look_back)
    several, lines = len(machine.harts) > 1, list[str]()
    is_told = outcome is not None and outcome.reason is StopReason.WAITS_FOREVER and not several
    is_stuck = outcome is not None and outcome.reason in (StopReason.WAITS_FOREVER, StopReason.TRAP_LOOP)
    for hart in machine.harts:
        looks = look_back if is_stuck or handled_fault(hart) is not None else None  # else the fault is long over
        traps = _trap_lines(hart, machine.position.icount, symbols, looks, is_told=is_told)
        if is_told and handled_fault(hart) is not None:
            return traps
        who = "the guest was at " if outcome is not None and not several else f"{_name(machine, hart)}: "
        wait = f", {_wait_text(hart)}" if hart.waiting else ""
        where = [] if is_told else [f"{who}{_pc_text(hart, symbols)}{wait}"]
        callers = _caller_lines(callers_now(hart, symbols), symbols)
        if where and not callers and len(traps) == 1:
            lines.append(f"{where[0]}; {traps[0]}")
        else:
            lines += where + callers + [f"{'  ' * several}{line}" for line in traps]
    return lines


def _fatal_lines(
    machine: Machine, outcome: Outcome, symbols: SymbolTable, look_back: LookBack | None
) -> list[str]:  # fmt: skip
    lines = list[str]()
    for hart, fault in fatal_faults(machine, outcome):
        who = f"{hart.name}: " if len(machine.harts) > 1 else ""
        lines.append(f"{who}its last exception: {_trap_and_age(fault, machine.position.icount, symbols)}")
        lines += _origin_lines(hart, fault, symbols, look_back)
    return lines


def _trap_lines(
    hart: Hart, icount: int, symbols: SymbolTable, look_back: LookBack | None, *, is_told: bool
) -> list[str]:
    """A hart's last trap, and its last fault with where that came from; ``is_told``: the headline has that fault."""
    fault = last_fault(hart)
    if is_told and fault is not None and fault == handled_fault(hart):
        return _origin_lines(hart, fault, symbols, look_back)
    lines = [last_trap_text(hart, icount, symbols)]
    if fault is None:
        return lines
    if fault != hart.last_trap:
        lines.append(f"its last exception: {_trap_and_age(fault, icount, symbols)}")
    return lines + _origin_lines(hart, fault, symbols, look_back)


def _origin_lines(hart: Hart, trap: TrapRecord, symbols: SymbolTable, look_back: LookBack | None) -> list[str]:
    """What it lacks; who called the code that has trapped; where that is no known code, how the hart came there."""
    return _lacking_lines(hart, trap) + _way_there(hart, trap, symbols, look_back)


def _lacking_lines(hart: Hart, trap: TrapRecord) -> list[str]:
    text = lacking_text(hart.cpu, trap) or _floating_text(hart, trap)
    return [] if text is None else [f"  {text}"]


def _floating_text(hart: Hart, trap: TrapRecord) -> str | None:
    """What an illegal instruction is that was one because floating point was off, and is still; else None."""
    insn = trap.tval
    if trap.is_interrupt or trap.cause != Cause.ILLEGAL_INSTRUCTION or not needs_floating(insn, hart.xlen):
        return None
    if hart.env.mstatus & MSTATUS_FS or not (hart.icount == trap.icount or _is_in_handler(hart, trap)):
        return None
    text = assembler_text(insn.to_bytes(4, "little"), trap.epc, hart.xlen)
    return f"that is {text}, while mstatus.FS is Off: floating point has to be switched on first"


def _way_there(hart: Hart, trap: TrapRecord, symbols: SymbolTable, look_back: LookBack | None) -> list[str]:
    callers = callers_of_trap(hart, trap, symbols)
    if callers and _has_stack(hart, trap):
        return _caller_lines(callers, symbols)
    past = None if look_back is None or trap.priv == PRIV_U else look_back(hart, trap.icount)
    if callers or _program(hart, symbols, trap.priv).knows(trap.epc):
        return _caller_lines(callers if past is None else callers_now(past.hart, symbols), symbols)
    return _way_lines(hart, trap, symbols, () if past is None else past.recent)


def _way_lines(hart: Hart, trap: TrapRecord, symbols: SymbolTable, recent: Sequence[int]) -> list[str]:
    """How a hart came to where no known code is."""
    is_return = trap.ra & ~1 == trap.epc
    lines = ["  ra has this address too: a function has returned to a wrong address"] if is_return else []
    if recent:
        lines.append(f"  it came from {place_text(recent[-1], symbols)}: {_insn_text(hart, recent[-1])}")
    elif not is_return and symbols.describe(trap.ra):
        lines.append(f"  ra is {place_text(trap.ra, symbols)}")
    return lines


# ---- for programs


def where_facts(hart: Hart, symbols: SymbolTable) -> dict[str, Any]:
    """What ``where_text`` and ``last_trap_text`` tell, for JSON.

    Addresses and values are hexadecimal strings: many JSON readers lose 64-bit integers.
    """
    return {
        "where": {
            **place_facts(hart.pc, symbols), "privilege": _privilege(int(hart.env.priv)), "waiting": hart.waiting,
            "callers": [place_facts(caller, symbols) for caller in callers_now(hart, symbols)],
        },
        "last_trap": _trap_facts(hart, hart.last_trap, symbols),
        "last_exception": _trap_facts(hart, hart.first_trap, symbols),
    }  # fmt: skip


def fatal_facts(machine: Machine, outcome: Outcome, symbols: SymbolTable) -> dict[str, Any]:
    """The first of the ``fatal_faults`` as ``last_exception``, for JSON; nothing if there is none."""
    faults = fatal_faults(machine, outcome)
    return {"last_exception": _trap_facts(*faults[0], symbols)} if faults else {}


def _trap_facts(hart: Hart, trap: TrapRecord | None, symbols: SymbolTable) -> dict[str, Any] | None:
    if trap is None:
        return None
    return {
        "cause": trap.cause, "interrupt": trap.is_interrupt, "name": trap_name(trap),
        **place_facts(trap.epc, symbols), "tval": f"{trap.tval:#x}", "privilege": _privilege(trap.priv),
        "icount": trap.icount,
        "callers": [place_facts(caller, symbols) for caller in callers_of_trap(hart, trap, symbols)],
    }  # fmt: skip


def place_facts(address: int | None, symbols: SymbolTable) -> dict[str, Any]:
    """A pc, its symbol and source line, for JSON; None where it is not known."""
    if address is None:
        return {"pc": None, "symbol": None, "source": None}
    source = symbols.source(address)
    return {
        "pc": f"{address:#x}", "symbol": symbols.describe(address) or None,
        "source": None if source is None else str(source),
    }  # fmt: skip


def harts_facts(machine: Machine, symbols: SymbolTable) -> list[dict[str, Any]]:
    """What ``where_facts`` gives for each hart, and what it waits for, and its minstret.

    That is how many instructions it has retired since a reset, unless software has written it.
    """
    return [
        {
            "id": hart.hart_id,
            **where_facts(hart, symbols),
            "waits_for": _enabled_interrupts(hart) if hart.waiting else None,
            "minstret": hart.minstret,
        }
        for hart in machine.harts
    ]


class InterruptCount(NamedTuple):
    """How often an interrupt source of the PLIC was claimed, and whether it is still raised."""

    source: int
    name: str
    claimed: int
    is_raised: bool


def busiest_text(counts: Sequence[InterruptCount]) -> str | None:
    """The interrupt sources that were claimed most often; None if none was claimed very often."""
    busy = sorted((c for c in counts if c.claimed >= _BUSY_CLAIMS), key=lambda c: (-c.claimed, c.source))[:_BUSIEST_MAX]
    texts = (
        f"interrupt {count.source} {count.name}: claimed {count.claimed:,} times{', still raised' * count.is_raised}"
        for count in busy
    )
    return "; ".join(texts) or None


def interrupt_facts(counts: Sequence[InterruptCount]) -> list[dict[str, Any]]:
    """All interrupt sources that were claimed, for JSON."""
    return [
        {"source": count.source, "name": count.name, "claimed": count.claimed, "raised": count.is_raised}
        for count in counts if count.claimed
    ]  # fmt: skip


def satp_text(modes: Iterable[int], features: int = 0) -> str | None:
    """The modes of satp that the guest tried and this hart does not have, in words; None if there are none."""
    names = [SATP_MODES.get(mode, f"mode {mode}") for mode in sorted(modes)]
    if not names:
        return None
    *most, last = (SATP_MODES[mode] for mode in satp_modes(features))
    has = f"{', '.join(most)} and {last}"
    return f"the guest wrote {' and '.join(names)} to satp, which has {has} only; the write changed nothing"


def _privilege(priv: int) -> str:
    return PRIV_NAMES.get(priv, "?")


def report(machine: Machine, outcome: Outcome, symbols: SymbolTable, recent: Sequence[int] = ()) -> str:
    """The crash report, several lines.

    Args:
        recent: PCs of the last instructions of the hart that ran last, if known; otherwise the code around the PC is
            shown.

    The registers are those at the end. Nothing retires in a trap loop, so the general registers are also those of its
    first trap.
    """
    hart, position = machine.hart, machine.position
    pc = outcome.first_trap.epc if outcome.first_trap is not None else hart.pc
    lines = [
        headline(machine, outcome, symbols),
        *([] if outcome.first_trap is None else _lacking_lines(hart, outcome.first_trap)),
        f"  icount {position.icount:_}, virtual time {position.virtual_ns:_} ns, {_privilege(int(hart.env.priv))}",
        *_missing_handler(machine),
    ]
    env, digits = hart.env, hart.xlen // 4
    for names in (("mepc", "mcause", "mtval", "mtvec"), ("sepc", "scause", "stval", "stvec"),
                  ("mstatus", "mie", "mideleg", "medeleg")):  # fmt: skip
        lines.append("  " + "  ".join(f"{name:>7} {int(getattr(env, name)):0{digits}x}" for name in names))
    for row in range(0, 32, 4):
        cells = (f"{ABI_NAMES[i]:>7} {env.x[i]:0{digits}x}" for i in range(row, row + 4))
        lines.append("  " + "  ".join(cells))
    lines += _call_sites(hart, outcome, symbols, recent)
    if recent:
        who = f"that {hart.name} has" if len(machine.harts) > 1 else "that"
        lines.append(f"  the last instructions {who} retired:")
        lines += [_row(hart, at, symbols, "  ") for at in recent]
        lines += [_row(hart, pc, symbols, "=>")] if outcome.first_trap is not None else []
    else:
        lines += disassembly(machine, pc, symbols)
    lines += [f"  {line}" for line in harts_text(machine, symbols, others_only=True)]
    return "\n".join(lines)


def _missing_handler(machine: Machine) -> list[str]:
    """A hint if mtvec is 0: it was never set, or every write of it was ignored."""
    hart = machine.hart
    if hart.pc or hart.env.mtvec:
        return []
    return [
        "  no trap handler is set: mtvec is 0 (it ignores an address that is not a multiple of 4: align the handler)"
    ]


def _call_sites(hart: Hart, outcome: Outcome, symbols: SymbolTable, recent: Sequence[int]) -> list[str]:
    trap = outcome.first_trap
    callers = callers_now(hart, symbols) if trap is None else callers_of_trap(hart, trap, symbols)
    if trap is None or callers or _program(hart, symbols, trap.priv).knows(trap.epc):
        return _caller_lines(callers, symbols)
    return _way_lines(hart, trap, symbols, recent)


def disassembly(machine: Machine, pc: int, symbols: SymbolTable) -> list[str]:
    """The instructions before ``pc`` in memory and the next few, one a line; ``pc`` is marked."""
    hart = machine.hart
    if hart.read_virtual(pc, 2) is None:
        return [f"  no memory at pc {pc:#x}"]
    before, at = [], _instruction_boundary(machine, pc, symbols)
    while at < pc:
        before.append(at)
        at += _size_at(hart, at)
    after = [pc]
    for _ in range(_INSNS_AFTER):
        after.append(after[-1] + _size_at(hart, after[-1]))
    shown = before[-_INSNS_BEFORE:] + after
    return [_row(hart, at, symbols, "=>" if at == pc else "  ") for at in shown]


def _size_at(hart: Hart, pc: int) -> int:
    first = hart.read_virtual(pc, 1)
    return 2 if first is None else insn_size(first[0])


def code_at(hart: Hart, pc: int) -> bytes:
    """The instruction at an address as memory has it now; nothing where there is none."""
    return hart.read_virtual(pc, _size_at(hart, pc)) or b""


def _row(hart: Hart, pc: int, symbols: SymbolTable, mark: str) -> str:
    code = code_at(hart, pc)
    if not code:
        return f"{mark} {place_text(pc, symbols)}: no memory there"
    return f"{mark} {place_text(pc, symbols)}: {code[::-1].hex():>8}  {_insn_text(hart, pc)}"


def _insn_text(hart: Hart, pc: int) -> str:
    """The instruction at an address, as an assembler writes it."""
    return assembler_text(code_at(hart, pc), pc, hart.xlen)


def assembler_text(code: bytes, pc: int, xlen: int) -> str:
    """The instruction that these bytes are, as an assembler writes it."""
    if text := assembler(int.from_bytes(code, "little"), xlen):
        return text
    found = next((f"{name} {operands}" for _, _, name, operands in _decoder(xlen).disasm_lite(code, pc, 1)), "")
    return found.strip() or "(not an instruction)"


@cache
def _decoder(xlen: int) -> Any:
    import capstone  # takes a while, and most runs end well

    mode = capstone.CS_MODE_RISCV64 if xlen == 64 else capstone.CS_MODE_RISCV32
    return capstone.Cs(capstone.CS_ARCH_RISCV, mode | capstone.CS_MODE_RISCVC)


def _instruction_boundary(machine: Machine, pc: int, symbols: SymbolTable) -> int:
    """Where to begin decoding so that it arrives at ``pc``: the start of its function, else a little before it."""
    index = next((i for i in range(len(symbols.symbols) - 1, -1, -1) if symbols.symbols[i].address <= pc), None)
    if index is not None and pc - symbols.symbols[index].address <= 4096 and symbols.describe(pc):
        return symbols.symbols[index].address
    for back in range(_BYTES_BEFORE, 0, -2):
        code = machine.hart.read_virtual(pc - back, back) if pc >= back else None
        at = 0
        while code is not None and at < back:
            at += insn_size(code[at])
        if code is not None and at == back:
            return pc - back
    return pc


def place_text(address: int, symbols: SymbolTable) -> str:
    """An address, its symbol and source line, as far as they are known: ``0x800004ae <main+0x8> (src/app.c:31)``."""
    name, source = symbols.describe(address), symbols.source(address)
    return f"{address:#x}{f' <{name}>' if name else ''}{f' ({source.short})' if source is not None else ''}"
