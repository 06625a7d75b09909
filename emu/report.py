"""Reports on a guest that did not finish: where it is and its last trap; in a trap loop also registers and code.

Of several harts each has a line of its own: ``hart1: pc 0x80000044 <park>, in M-mode, in WFI for MSI; ...``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from minstret.emu.hart.hart import Hart
from minstret.emu.hart.spec import ABI_NAMES, CAUSE_TEXT, INTERRUPT_TEXT, Cause, Interrupt
from minstret.emu.hart.traps import TrapRecord
from minstret.emu.images.loader import SymbolTable
from minstret.emu.machine import Machine, Outcome, StopReason

_PRIVILEGES = {0: "U-mode", 1: "S-mode", 3: "M-mode"}
SATP_MODES = {8: "Sv39", 9: "Sv48", 10: "Sv57", 11: "Sv64"}
_BUSY_CLAIMS, _BUSIEST_MAX = 1000, 3
_NOTHING_WAKES = "and no timer or input can raise one"
_NOTHING_WAKES_ANY = "and no timer or input can raise an interrupt that they wait for"
_BYTES_BEFORE, _INSNS_BEFORE, _INSNS_AFTER = 64, 6, 2


def headline(machine: Machine, outcome: Outcome, symbols: SymbolTable) -> str:
    """How a run ended that waits forever or is in a trap loop, in one line."""
    hart, count = machine.hart, len(machine.harts)
    if outcome.reason is StopReason.WAITS_FOREVER:
        if count > 1:
            return f"guest waits forever: all {count} harts are in WFI, {_NOTHING_WAKES_ANY}"
        text = f"guest waits forever at {_place(hart.pc, symbols)}: {_wait_text(hart)}"
        return f"{text}, {_NOTHING_WAKES}" if _enabled_interrupts(hart) else text
    trap = outcome.first_trap
    loop = f"{hart.name + ': ' if count > 1 else ''}trap loop at {_place(hart.pc, symbols)}"
    if trap is None:
        return loop
    return (
        f"{loop}: the first trap was {cause_text(trap.cause)}"
        f" at pc {_place(trap.epc, symbols)}, tval {trap.tval:#x}, in {_privilege(trap.priv)}"
    )


def _enabled_interrupts(hart: Hart) -> list[str]:
    """The interrupts that mie enables: a WFI waits for one of them."""
    return [interrupt.name for interrupt in Interrupt if int(hart.env.mie) >> interrupt & 1]


def _wait_text(hart: Hart) -> str:
    """What its WFI waits for."""
    enabled = _enabled_interrupts(hart)
    return f"in WFI for {' or '.join(enabled)}" if enabled else "in WFI with no interrupt enabled in mie"


def cause_text(cause: int) -> str:
    """An exception code in words."""
    return f"{CAUSE_TEXT[Cause(cause)]} ({int(cause)})" if cause in list(Cause) else f"cause {cause}"


def trap_name(trap: TrapRecord) -> str:
    """A trap's cause in words."""
    texts = INTERRUPT_TEXT if trap.is_interrupt else CAUSE_TEXT
    return texts.get(trap.cause, "unknown interrupt" if trap.is_interrupt else "unknown exception")


def where_text(hart: Hart, symbols: SymbolTable) -> str:
    """Where a hart is: pc, symbol, privilege, and whether it waits there."""
    return f"{_pc_text(hart, symbols)}{', in WFI' if hart.waiting else ''}"


def _pc_text(hart: Hart, symbols: SymbolTable) -> str:
    return f"pc {_place(hart.pc, symbols)}, in {_privilege(int(hart.env.priv))}"


def last_trap_text(hart: Hart, icount: int, symbols: SymbolTable) -> str:
    """The last trap that a hart has taken, on one line: cause, pc, tval, how long before ``icount``."""
    trap = hart.last_trap
    if trap is None:
        return "it has taken no trap"
    ago = icount - trap.icount
    return (
        f"its last trap: {trap_name(trap)} ({trap.cause}) at pc {_place(trap.epc, symbols)}, tval {trap.tval:#x},"
        f" in {_privilege(trap.priv)}, {ago:,} instruction{'' if ago == 1 else 's'} earlier"
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
        name = hart.name + (" (ran last)" if hart is machine.hart else "")
        wait = f", {_wait_text(hart)}" if hart.waiting else ""
        lines.append(f"{name}: {_pc_text(hart, symbols)}{wait}; {last_trap_text(hart, icount, symbols)}")
    return lines


def where_facts(hart: Hart, symbols: SymbolTable) -> dict[str, Any]:
    """What ``where_text`` and ``last_trap_text`` tell, for JSON.

    Addresses and values are hexadecimal strings: many JSON readers lose 64-bit integers.
    """
    trap = hart.last_trap
    return {
        "where": {
            "pc": f"{hart.pc:#x}", "symbol": symbols.describe(hart.pc) or None,
            "privilege": _privilege(int(hart.env.priv)), "waiting": hart.waiting,
        },
        "last_trap": None if trap is None else {
            "cause": trap.cause, "interrupt": trap.is_interrupt, "name": trap_name(trap),
            "pc": f"{trap.epc:#x}", "symbol": symbols.describe(trap.epc) or None, "tval": f"{trap.tval:#x}",
            "privilege": _privilege(trap.priv), "icount": trap.icount,
        },
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


def satp_text(modes: Iterable[int]) -> str | None:
    """The modes of satp that the guest tried and this hart does not have, in words; None if there are none."""
    names = [SATP_MODES.get(mode, f"mode {mode}") for mode in sorted(modes)]
    if not names:
        return None
    return f"the guest wrote {' and '.join(names)} to satp, which has Bare and Sv39 only; the write changed nothing"


def _privilege(priv: int) -> str:
    return _PRIVILEGES.get(priv, "?")


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
    lines += _call_sites(machine, symbols)
    if recent:
        who = f"that {hart.name} has" if len(machine.harts) > 1 else "that"
        lines.append(f"  the last instructions {who} retired:")
        lines += [_row(machine, at, symbols, "  ") for at in recent]
        lines += [_row(machine, pc, symbols, "=>")] if outcome.first_trap is not None else []
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


def _call_sites(machine: Machine, symbols: SymbolTable) -> list[str]:
    ra = int(machine.hart.env.x[1])
    place = symbols.describe(ra)
    return [f"  called from {ra:#x} <{place}>"] if place else []


def disassembly(machine: Machine, pc: int, symbols: SymbolTable) -> list[str]:
    """The instructions before ``pc`` in memory and the next few, one a line; ``pc`` is marked."""
    if machine.hart.read_virtual(pc, 2) is None:
        return [f"  no memory at pc {pc:#x}"]
    before, at = [], _instruction_boundary(machine, pc, symbols)
    while at < pc:
        before.append(at)
        at += _size_at(machine, at)
    after = [pc]
    for _ in range(_INSNS_AFTER):
        after.append(after[-1] + _size_at(machine, after[-1]))
    shown = before[-_INSNS_BEFORE:] + after
    return [_row(machine, at, symbols, "=>" if at == pc else "  ") for at in shown]


def _size_at(machine: Machine, pc: int) -> int:
    first = machine.hart.read_virtual(pc, 1)
    return 4 if first is not None and first[0] & 3 == 3 else 2


def _row(machine: Machine, pc: int, symbols: SymbolTable, mark: str) -> str:
    code = machine.hart.read_virtual(pc, _size_at(machine, pc))
    if code is None:
        return f"{mark} {_place(pc, symbols)}: no memory there"
    text = _assembler(code, pc, machine.hart.xlen)
    return f"{mark} {_place(pc, symbols)}: {code[::-1].hex():>8}  {text or '(not an instruction)'}"


def _assembler(code: bytes, pc: int, xlen: int) -> str:
    import capstone  # takes a while, and most runs end well

    mode = capstone.CS_MODE_RISCV64 if xlen == 64 else capstone.CS_MODE_RISCV32
    decoder = capstone.Cs(capstone.CS_ARCH_RISCV, mode | capstone.CS_MODE_RISCVC)
    return next((f"{name} {operands}".strip() for _, _, name, operands in decoder.disasm_lite(code, pc, 1)), "")


def _instruction_boundary(machine: Machine, pc: int, symbols: SymbolTable) -> int:
    """Where to begin decoding so that it arrives at ``pc``: the start of its function, else a little before it."""
    index = next((i for i in range(len(symbols.symbols) - 1, -1, -1) if symbols.symbols[i].address <= pc), None)
    if index is not None and pc - symbols.symbols[index].address <= 4096 and symbols.describe(pc):
        return symbols.symbols[index].address
    for back in range(_BYTES_BEFORE, 0, -2):
        code = machine.hart.read_virtual(pc - back, back) if pc >= back else None
        at = 0
        while code is not None and at < back:
            at += 4 if code[at] & 3 == 3 else 2
        if code is not None and at == back:
            return pc - back
    return pc


def _place(address: int, symbols: SymbolTable) -> str:
    name = symbols.describe(address)
    return f"{address:#x}" + (f" <{name}>" if name else "")
