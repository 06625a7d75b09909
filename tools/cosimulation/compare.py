"""The comparison: executes an instruction for each one in Spike's log, and compares."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from capstone import CS_ARCH_RISCV, CS_MODE_RISCV32, CS_MODE_RISCV64, CS_MODE_RISCVC, Cs

from cosimulation.follow import EXCEPTIONS, Differs, Ends, Follower
from cosimulation.spike import Log, Step, Stride, Trap
from minstret.emu.hart import csr
from minstret.emu.hart.csr_table import CSR_OF
from minstret.emu.hart.layout import fflags_from_softfloat
from minstret.emu.hart.pagetables import satp_modes
from minstret.emu.hart.spec import ABI_NAMES, INSN_MRET, INSN_SRET, Cause

RECENT = 8

_CSRS = ("mie", "mideleg", "satp", "stval", "mtval", "stvec", "sepc", "scause", "mtvec", "mepc", "mcause",
         "sscratch", "mscratch", "frm", "mstatus")  # fmt: skip
_PMP_CSRS = {f"pmpcfg{i}": 0x3A0 + i for i in range(4)} | {f"pmpaddr{i}": 0x3B0 + i for i in range(16)}
_LATER_CSRS = {"senvcfg": 0x10A, "menvcfg": 0x30A, "menvcfgh": 0x31A, "stimecmp": 0x14D, "stimecmph": 0x15D}
_MIP_WRITABLE, _STIP = 0x222, 0x20
_COMMON = {"medeleg": 0xB3FE, "counteren": 7, "fiom": (1 << 64) - 2}
"""Bits that both models have."""
_IN_PART = {"medeleg": "medeleg", "mcounteren": "counteren", "scounteren": "counteren"}
_READ_AS_SPIKE = {
    number: kind
    for kind, numbers in {
        "counter": (0xC00, 0xC01, 0xC02, 0xC80, 0xC81, 0xC82, 0xB00, 0xB02, 0xB80, 0xB82),
        "identity": (0x301, 0xF11, 0xF12, 0xF13),
        "mip": (0x344, 0x144),
        "medeleg": (0x302,),
        "counteren": (0x106, 0x306),
        "satp": (0x180,),
        "fiom": (0x10A, 0x30A),
    }.items()
    for number in numbers
}
_ENOUGH = "as many as were asked for"
_LOG_ENDS = "Spike's run is over, or waits for an interrupt that never comes"


@dataclass(frozen=True, slots=True)
class Difference:
    """The first difference."""

    number: int  # of the instruction, from 1
    pc: int
    insn: int
    what: str
    spike: str
    here: str
    insns: int = 1  # how many were executed at once


@dataclass(slots=True)
class Result:
    """How far both were the same, and why the comparison ended."""

    insns: int = 0
    exceptions: int = 0
    interrupts: int = 0
    end: str = ""
    difference: Difference | None = None
    allowed: Counter[str] = field(default_factory=Counter)
    not_compared: Counter[str] = field(default_factory=Counter)  # CSRs of Spike's
    recent: deque[tuple[int, int, str]] = field(default_factory=lambda: deque(maxlen=RECENT))
    """The last instructions: PC, bits, and the trap of those that did not retire."""


class Comparison:
    """Compares Spike's log with a hart that follows it."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._hart = follower.hart
        self._mask = self._hart.xlen_mask
        mode = CS_MODE_RISCV64 if self._hart.xlen == 64 else CS_MODE_RISCV32
        self._disassembler = Cs(CS_ARCH_RISCV, mode | CS_MODE_RISCVC)
        self.result = Result(allowed=follower.allowed)

    def run_in_strides(self, log: Log, pieces: Iterator[bytes], insns_max: int) -> Result:
        """Compare after each piece of the log instead of each instruction. The program must take no trap."""
        result = self.result
        result.end = _ENOUGH
        for piece in pieces:
            if result.insns >= insns_max:
                result.end = _ENOUGH
                return result
            stride = log.stride(piece)
            if stride is None:
                self.run(log.steps_of(piece), piece.count(b"\n") + 2)  # all there are
                if result.end != _LOG_ENDS:
                    return result
            elif not self._has_stridden(stride):
                return result
        result.end = _LOG_ENDS
        return result

    def _has_stridden(self, stride: Stride) -> bool:
        hart, result = self._hart, self.result
        try:
            self._same("pc", stride.pc, hart.pc)
            hart.run(hart.icount + stride.insns)
            for number, value in stride.x.items():
                self._same(ABI_NAMES[number], value & self._mask, int(hart.env.x[number]))
            for number, value in stride.f.items():
                self._compare_float(number, value)
            self._compare_memory(stride.stores)
        except Differs as found:
            result.difference = Difference(
                result.insns + 1, stride.pc, 0, found.what, _text(found.spike), _text(found.here), stride.insns
            )
            result.end = "a difference"
            return False
        result.insns += stride.insns
        return True

    def _compare_memory(self, stores: list[tuple[int, int, int]]) -> None:
        peek = self._hart.memory.peek
        last = {at: (size, value) for at, size, value in stores}
        if all(peek(at, size) == value.to_bytes(size, "little") for at, (size, value) in last.items()):
            return
        memory = {at + i: value >> 8 * i & 0xFF for at, size, value in stores for i in range(size)}  # they may overlap
        for at, byte in memory.items():
            data = peek(at, 1)
            self._same(f"the byte at {at:#x}", byte, None if data is None else data[0])

    def run(self, steps: Iterator[Step], insns_max: int) -> Result:
        """Compare up to ``insns_max`` instructions, to the end of the log, or to the first difference."""
        result = self.result
        result.end = _ENOUGH
        for _ in range(insns_max):
            step = next(steps, None)
            if step is None:
                result.end = _LOG_ENDS
                break
            try:
                self._compare(step)
            except Ends as end:
                result.end = str(end)
                break
            except Differs as found:
                result.difference = Difference(
                    result.insns + 1, step.pc, step.insn, found.what, _text(found.spike), _text(found.here)
                )
                result.end = "a difference"
                break
            result.insns += 1
            result.recent.append((step.pc, step.insn, ""))
        return result

    def describe(self, pc: int, insn: int, what: str = "") -> str:
        """The instruction, disassembled."""
        insn &= 0xFFFFFFFF if insn & 3 == 3 else 0xFFFF
        data = insn.to_bytes(4 if insn & 3 == 3 else 2, "little")
        text = next((f"{i.mnemonic} {i.op_str}".strip() for i in self._disassembler.disasm(data, pc)), "?")
        return f"{pc:#x}: {insn:0{len(data) * 2}x}  {text}" + (f"    {what}" if what else "")

    def _compare(self, step: Step) -> None:
        follower, env = self._follower, self._hart.env
        follower.begin(step)
        self._same("pc", step.traps[0].epc if step.traps else step.pc, self._hart.pc)
        if not step.traps:
            self._same("privilege", step.priv, int(env.priv))
        for trap in step.traps[:RECENT]:
            tval = "" if trap.tval is None else f", tval {trap.tval:#x}"
            self.result.recent.append((trap.epc, self._hart._mmu.fetch(trap.epc) or 0, f"{trap.name}{tval}"))
        follower.step(step)
        if step.traps:
            self._compare_last_trap(step)
            self.result.interrupts += step.traps[0].interrupt is not None
            self.result.exceptions += len(step.traps) - (step.traps[0].interrupt is not None)
        self._take_over(step)
        for number, value in step.x.items():
            here, value = int(env.x[number]), value & self._mask
            if here != value:
                if not follower.is_unfenced(step, value, here):
                    raise Differs(ABI_NAMES[number], value, here)
                env.x[number] = value
        for number, value in step.f.items():
            self._compare_float(number, value)
        for name, value in step.csrs.items():
            self._compare_csr(name, value)
        for address, size, value in step.stores:
            self._compare_store(address, size, value)
        follower.end(step)

    def _compare_last_trap(self, step: Step) -> None:
        """Compare a trap by the CSRs of the mode it led to, unless the instruction after it has changed them."""
        env, last = self._hart.env, step.traps[-1]
        if step.insn in (INSN_MRET, INSN_SRET):
            return
        self._same("privilege", step.priv, int(env.priv))
        mode = "m" if step.priv == 3 else "s"
        if not step.csrs.keys().isdisjoint((f"{mode}cause", f"{mode}epc", f"{mode}tval")):
            return
        here, cause = int(getattr(env, f"{mode}cause")), self._cause(last)
        if here != cause:
            raise Differs("cause", last.name, here)
        self._same("epc", last.epc & self._mask, int(getattr(env, f"{mode}epc")))
        tval = int(getattr(env, f"{mode}tval"))
        if last.tval is not None and last.tval & self._mask != tval:
            if cause != Cause.BREAKPOINT:
                raise Differs("tval", last.tval & self._mask, tval)
            self._follower.allow("tval")

    def _cause(self, trap: Trap) -> int:
        if trap.interrupt is not None:
            return trap.interrupt | 1 << self._hart.xlen - 1
        return EXCEPTIONS.get(trap.name, -1)

    def _take_over(self, step: Step) -> None:
        """If a CSR was read that may differ, continue with Spike's value."""
        if step.insn & 0x7F != 0x73 or not step.insn >> 12 & 3:
            return
        kind, env = _READ_AS_SPIKE.get(step.insn >> 20), self._hart.env
        if kind is None:
            return
        for number, value in step.x.items():
            here, value = int(env.x[number]), value & self._mask
            if (
                here == value
                or (kind in _COMMON and (here ^ value) & _COMMON[kind])
                or (kind == "mip" and here & ~value)  # what software has set must show
                or (kind == "satp" and value >> 60 in satp_modes(self._hart.cpu.features))
            ):
                continue
            self._follower.allow(kind)
            env.x[number] = value

    def _compare_float(self, number: int, value: int) -> None:
        here = int(self._hart.env.f[number])
        self._same(f"f{number}", value & (1 << 64) - 1, here)

    def _compare_csr(self, name: str, value: int) -> None:
        hart, env = self._hart, self._hart.env
        value &= self._mask
        if name == "satp" and hart.xlen == 64 and value >> 60 not in satp_modes(hart.cpu.features):
            self._follower.allow("satp")
        elif name in _IN_PART:
            kind, here = _IN_PART[name], int(getattr(env, name))
            self._same(name, value & _COMMON[kind], here & _COMMON[kind])
            if value != here:
                self._follower.allow(kind)
        elif name in _CSRS:
            self._same(name, value, int(getattr(env, name)))
        elif name == "fflags":
            self._same(name, value, fflags_from_softfloat(env.softfloat_flags))
        elif name in _PMP_CSRS:
            self._same(name, value, csr.read(hart.core, CSR_OF[_PMP_CSRS[name]]))
        elif name in _LATER_CSRS:
            common = _COMMON["fiom"] if name in ("menvcfg", "senvcfg") else self._mask
            here = csr.read(hart.core, CSR_OF[_LATER_CSRS[name]])
            self._same(name, value & common, here & common)
        elif name == "sie":
            self._same(name, value & env.mideleg, int(env.mie & env.mideleg))
        elif name == "mip":
            writable = _MIP_WRITABLE & ~(_STIP if hart.core.supervisor_deadline is not None else 0)
            self._same(name, value & writable, hart.core.soft_mip & writable)
        else:
            self.result.not_compared[name] += 1

    def _compare_store(self, address: int, size: int, value: int) -> None:
        if self._follower.ram_address(address) is None:
            return
        data = self._hart.read_virtual(address, size)
        here = None if data is None else int.from_bytes(data, "little")
        value &= (1 << 8 * size) - 1
        if here is not None and self._follower.is_accessed_ahead(address, value, here):
            return
        if here != value:
            raise Differs(f"{size} bytes at {address:#x}", value, "nothing" if here is None else here)

    def _same(self, what: str, spike: object, here: object) -> None:
        if spike != here:
            raise Differs(what, spike, here)


def _text(value: object) -> str:
    return f"{value:#x}" if isinstance(value, int) else str(value)
