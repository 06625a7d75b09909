"""Instructions in the form of Spike's log, ``spike -l --log-commits``.

An instruction has two lines, one when it is fetched and one when it has retired:

    core   0: 0x0000000080000012 (0x3002a073) csrrs   mstatus, t0
    core   0: 3 0x0000000080000012 (0x3002a073) c768_mstatus 0x0000000a00002000

One that traps has the first, and the exception. The disassembly of the first line is capstone's, not Spike's; all else
is as Spike writes it. Spike also logs floating-point flags that were set already, which can't be seen here.
Source: riscv-isa-sim, riscv/execute.cc (commit_log_print_insn), riscv/processor.cc (take_trap, disasm).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from minstret.emu.hart.csr_table import CSR_OF, PMP_ENTRIES
from minstret.emu.hart.decode import insn_bytes
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.spec import INSN_MRET, INSN_SRET, Cause, Csr, Interrupt
from minstret.emu.images.image import SymbolTable
from minstret.emu.questions.steps import Step, TrapStep
from minstret.emu.report import assembler_text

_TRAP_NAMES = {
    Cause.FETCH_MISALIGNED: "instruction_address_misaligned",
    Cause.FETCH_ACCESS: "instruction_access_fault",
    Cause.ILLEGAL_INSTRUCTION: "illegal_instruction",
    Cause.BREAKPOINT: "breakpoint",
    Cause.LOAD_MISALIGNED: "load_address_misaligned",
    Cause.LOAD_ACCESS: "load_access_fault",
    Cause.STORE_MISALIGNED: "store_address_misaligned",
    Cause.STORE_ACCESS: "store_access_fault",
    Cause.ECALL_FROM_U: "user_ecall",
    Cause.ECALL_FROM_S: "supervisor_ecall",
    Cause.ECALL_FROM_M: "machine_ecall",
    Cause.FETCH_PAGE_FAULT: "instruction_page_fault",
    Cause.LOAD_PAGE_FAULT: "load_page_fault",
    Cause.STORE_PAGE_FAULT: "store_page_fault",
}
_WITHOUT_TVAL = (Cause.ECALL_FROM_U, Cause.ECALL_FROM_S, Cause.ECALL_FROM_M)
_MVIP, _SEIP = 0x309, 1 << Interrupt.SEI
_PMP_ADDRESSES, _PMP_LOCKED = range(Csr.PMPADDR0, Csr.PMPADDR0 + PMP_ENTRIES), 0x80
_KEPT = 1 << 14
"""So many instructions at so many places are not taken apart again."""


@dataclass(slots=True)
class _Fetched:
    """What the last line of a fetch of a hart was about; Spike counts those that repeat.

    On rv32 Spike extends the sign of a pc, but not of one that MRET or SRET gives: so an instruction that repeats there
    has two lines. ``pc`` is -1 - pc for the first.
    """

    pc: int = -1
    insn: int = -1
    times: int = 1


class SpikeLog:
    """Writes the lines."""

    def __init__(self, symbols: SymbolTable, *, hart: int | None = None) -> None:
        """Make it.

        Args:
            symbols: Spike has a line ``>>>>  name`` where a symbol begins.
            hart: Only of the hart of that id; None for all.
        """
        self._hart = hart
        self._names = {symbol.address: symbol.name for symbol in symbols.symbols if symbol.name}
        self._fetched: dict[int, _Fetched] = {}
        self._soft_mip: dict[int, int] = {}

    def step_lines(self, step: Step) -> list[str]:
        """An instruction that has retired."""
        hart, width = step.hart, step.hart.xlen // 4
        if self._hart is not None and hart.hart_id != self._hart:
            return []
        lines = self._fetch(hart, step.pc, step.insn)
        begin = f"{core_of(hart)} {step.priv} {step.pc:#0{2 + width}x} ({step.insn:#0{2 + 2 * step.size}x})"
        mem = [
            f"mem {access.address:#0{2 + width}x}"
            + (f" {access.value or 0:#0{2 + 2 * access.size}x}" if access.is_store else "")
            for access in step.accesses
        ]  # fmt: skip
        registers = _registers(step, self._soft_mip.get(hart.hart_id, hart.core.soft_mip))
        self._soft_mip[hart.hart_id] = hart.core.soft_mip
        return [*lines, " ".join((begin, *registers, *mem))]

    def trap_lines(self, trap: TrapStep) -> list[str]:
        """A trap, and the fetch of the instruction that raised it."""
        hart, record = trap.hart, trap.taken.trap
        if self._hart is not None and hart.hart_id != self._hart:
            return []
        core, width = core_of(hart), hart.xlen // 4
        lines = [] if trap.insn is None else self._fetch(hart, record.epc, trap.insn)
        name = f"interrupt #{record.cause}" if record.is_interrupt else f"trap_{_trap_name(record.cause)}"
        lines.append(f"{core} exception {name}, epc {record.epc:#0{2 + width}x}")
        if not record.is_interrupt and record.cause not in _WITHOUT_TVAL:
            lines.append(f"{core}           tval {record.tval:#0{2 + width}x}")
        return lines

    def _fetch(self, hart: Hart, pc: int, insn: int) -> list[str]:
        core, fetched = core_of(hart), self._fetched.setdefault(hart.hart_id, _Fetched())
        is_extended = hart.xlen == 64 or not pc >> 31 or fetched.insn not in (INSN_MRET, INSN_SRET)
        key = pc if is_extended else -1 - pc
        if (fetched.pc, fetched.insn) == (key, insn):
            fetched.times += 1
            return []
        lines = [f"{core} >>>>  {name}"] if (name := self._names.get(pc)) is not None else []
        if fetched.times != 1:
            lines.append(f"{core} Executed {fetched.times} times")
        fetched.pc, fetched.insn, fetched.times = key, insn, 1
        return [*lines, f"{core} {_fetched_text(pc, insn, hart.xlen)}"]


@lru_cache(_KEPT)
def _fetched_text(pc: int, insn: int, xlen: int) -> str:
    name, _, operands = assembler_text(insn_bytes(insn), pc, xlen).partition(" ")
    return f"{pc:#0{2 + xlen // 4}x} ({insn:#010x}) {name:<7} {operands}".rstrip()


def core_of(hart: Hart) -> str:
    """How a line of that hart begins."""
    return f"core {hart.hart_id:>3}:"


def _registers(step: Step, soft_mip: int) -> list[str]:
    """The registers that an instruction wrote. Spike sorts them by number, those of one number x, f, CSR.

    ``soft_mip``: the bits of mip that software had written before.
    """
    width, found = step.hart.xlen // 4, list[tuple[int, int, str]]()
    if step.x is not None:
        found.append((step.x[0], 0, f"x{step.x[0]:<2} {step.x[1]:#0{2 + width}x}"))
    if step.f is not None:
        found.append((step.f[0], 1, f"f{step.f[0]:<2} {step.f[1]:#018x}"))
    found += [(number, 2, f"c{number}_{name} {value:#0{2 + width}x}") for number, name, value in _csrs(step, soft_mip)]
    return [text for _, _, text in sorted(found)]


def _csrs(step: Step, soft_mip: int) -> Iterator[tuple[int, str, int]]:
    """Number, name and value of each CSR that Spike says an instruction wrote."""
    env = step.hart.env
    for number, value in step.csrs:
        if number == Csr.SSTATUS:  # a part of mstatus, and Spike shows all of that
            number, value = int(Csr.MSTATUS), int(env.mstatus)
        elif number == Csr.MIP:
            yield _MVIP, "mvip", soft_mip & ~_SEIP | value & _SEIP  # but for SEIP as it was before the write
        elif number in _PMP_ADDRESSES and _is_locked(step.hart, number - Csr.PMPADDR0):
            continue  # nothing was written
        yield number, CSR_OF[number].name, value
    if step.hart.xlen == 32 and step.insn == INSN_MRET:
        yield int(Csr.MSTATUSH), "mstatush", 0


def _is_locked(hart: Hart, entry: int) -> bool:
    """Whether an address register of PMP can't be written."""
    return bool(hart.pmp.state.cfg[entry] & _PMP_LOCKED)


def _trap_name(cause: int) -> str:
    return _TRAP_NAMES.get(Cause(cause), f"#{cause}")
