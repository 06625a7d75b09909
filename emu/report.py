"""Reports on a guest that did not finish: where it is and its last trap; in a trap loop also registers and code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from minstret.emu.hart.spec import ABI_NAMES, CAUSE_TEXT, INTERRUPT_TEXT, Cause, Interrupt
from minstret.emu.hart.traps import TrapRecord
from minstret.emu.images.loader import SymbolTable
from minstret.emu.machine import Machine, Outcome, StopReason

_PRIVILEGES = {0: "U-mode", 1: "S-mode", 3: "M-mode"}
SATP_MODES = {8: "Sv39", 9: "Sv48", 10: "Sv57", 11: "Sv64"}
_BUSY_CLAIMS, _BUSIEST_MAX = 1000, 3
_BYTES_BEFORE, _INSNS_BEFORE, _INSNS_AFTER = 64, 6, 2


def headline(machine: Machine, outcome: Outcome, symbols: SymbolTable) -> str:
    """How a run ended that waits forever or is in a trap loop, in one line."""
    hart = machine.hart
    if outcome.reason is StopReason.WAITS_FOREVER:
        return f"guest waits forever at {_place(hart.pc, symbols)}: {_awaited(machine)}"
    trap = outcome.first_trap
    if trap is None:
        return f"trap loop at {_place(hart.pc, symbols)}"
    return (
        f"trap loop at {_place(hart.pc, symbols)}: the first trap was {cause_text(trap.cause)}"
        f" at pc {_place(trap.epc, symbols)}, tval {trap.tval:#x}, in {_privilege(trap.priv)}"
    )


def _awaited(machine: Machine) -> str:
    """What the WFI waits for: the interrupts that mie enables."""
    enabled = [interrupt.name for interrupt in Interrupt if int(machine.hart.env.mie) >> interrupt & 1]
    if not enabled:
        return "in WFI with no interrupt enabled in mie"
    return f"in WFI for {' or '.join(enabled)}, and no timer or input can raise one"


def cause_text(cause: int) -> str:
    """An exception code in words."""
    return f"{CAUSE_TEXT[Cause(cause)]} ({int(cause)})" if cause in list(Cause) else f"cause {cause}"


def trap_name(trap: TrapRecord) -> str:
    """A trap's cause in words."""
    texts = INTERRUPT_TEXT if trap.is_interrupt else CAUSE_TEXT
    return texts.get(trap.cause, "unknown interrupt" if trap.is_interrupt else "unknown exception")


def where_text(machine: Machine, symbols: SymbolTable) -> str:
    """Where the guest is: pc, symbol, privilege, and whether it waits there."""
    hart = machine.hart
    state = ", in WFI" if hart.waiting else ""
    return f"pc {_place(hart.pc, symbols)}, in {_privilege(int(hart.env.priv))}{state}"


def last_trap_text(machine: Machine, symbols: SymbolTable) -> str:
    """The last trap that was taken, on one line: cause, pc, tval, how long ago."""
    trap = machine.hart.last_trap
    if trap is None:
        return "it has taken no trap"
    ago = machine.position.icount - trap.icount
    return (
        f"its last trap: {trap_name(trap)} ({trap.cause}) at pc {_place(trap.epc, symbols)}, tval {trap.tval:#x},"
        f" in {_privilege(trap.priv)}, {ago:,} instruction{'' if ago == 1 else 's'} earlier"
    )


def where_facts(machine: Machine, symbols: SymbolTable) -> dict[str, Any]:
    """The same for JSON. Addresses and values are hexadecimal strings: many JSON readers lose 64-bit integers."""
    hart, trap = machine.hart, machine.hart.last_trap
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
        recent: PCs of the last instructions, if known; otherwise the code around the PC is shown.

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
        lines.append("  the last instructions that retired:")
        lines += [_row(machine, at, symbols, "  ") for at in recent]
        lines += [_row(machine, pc, symbols, "=>")] if outcome.first_trap is not None else []
    else:
        lines += disassembly(machine, pc, symbols)
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
