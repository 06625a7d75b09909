"""The comparison: one instruction here for each one in Spike's log."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from capstone import CS_ARCH_RISCV, CS_MODE_RISCV32, CS_MODE_RISCV64, CS_MODE_RISCVC, Cs

from cosimulation.spike import RAM_BASE, RAM_SIZE, TRAPS_MAX, Step
from minstret.devices.board import Board
from minstret.emu.report import ABI_NAMES

RECENT = 8

ALLOWED = {
    "device": "a load from a device or the boot ROM: the boards differ; Spike's value is taken over",
    "counter": "cycle, time, instret: Spike has its own clock; its value is taken over",
    "boot": "the registers that the boot ROM hands over: taken over",
    "mstatus": "fields of mstatus for what only one of them has (UXL and SXL, VS, XS); SD follows them",
    "identity": "misa, mvendorid, marchid, mimpid: each model names itself",
    "mip": "mip: pending bits follow each board's timer",
    "tval": "mtval and stval of ebreak: PC here, 0 or PC as the specification allows",
    "nan box": "a single-precision register's upper half, which no instruction shows but FSD",
    "misaligned": "a misaligned LR, SC or AMO may fault as misaligned or as an access: Spike's cause is taken over",
    "failing sc": "a failing SC need not fault",
}
"""Differences that the specifications allow, or that come from the boards around the hart: why each is no finding."""

_CAUSES = {
    "trap_instruction_address_misaligned": 0, "trap_instruction_access_fault": 1, "trap_illegal_instruction": 2,
    "trap_breakpoint": 3, "trap_load_address_misaligned": 4, "trap_load_access_fault": 5,
    "trap_store_address_misaligned": 6, "trap_store_access_fault": 7, "trap_user_ecall": 8, "trap_supervisor_ecall": 9,
    "trap_machine_ecall": 11, "trap_instruction_page_fault": 12, "trap_load_page_fault": 13,
    "trap_store_page_fault": 15,
}  # fmt: skip
_CSRS = ("mie", "mideleg", "satp", "stval", "mtval", "medeleg", "stvec", "sepc", "scause", "mtvec", "mepc", "mcause",
         "sscratch", "mscratch")  # fmt: skip
_MSTATUS_COMMON = 0x007E_79AA
_READ_AS_SPIKE = {
    "counter": {0xC00, 0xC01, 0xC02, 0xC80, 0xC81, 0xC82, 0xB00, 0xB02, 0xB80, 0xB82},
    "identity": {0x301, 0xF11, 0xF12, 0xF13},
    "mip": {0x344, 0x144},
    "mstatus": {0x300, 0x100},
}
_WFI = 0x10500073
_EBREAK, _PRIV_M = 3, 3
_ACCESS_FAULTS = ("trap_load_access_fault", "trap_store_access_fault")
_MISALIGNED = {(4, 5), (6, 7)}


@dataclass(frozen=True, slots=True)
class Difference:
    """The first one."""

    number: int  # of the instruction, from 1
    pc: int
    insn: int
    what: str
    spike: str
    here: str


@dataclass(slots=True)
class Result:
    """How far both were the same, and why it ended."""

    insns: int = 0
    traps: int = 0
    end: str = "as many as were asked for"
    difference: Difference | None = None
    allowed: Counter[str] = field(default_factory=Counter)
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT))


class _Ends(Exception):
    """Both can't be compared any further."""


class _Differs(Exception):
    def __init__(self, what: str, spike: object, here: object) -> None:
        self.what, self.spike, self.here = what, spike, here


class Comparison:
    """A board that follows Spike's log."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._hart = board.hart
        self._xlen = board.hart.xlen
        self._mask = board.hart.xlen_mask
        mode = CS_MODE_RISCV64 if self._xlen == 64 else CS_MODE_RISCV32
        self._disassembler = Cs(CS_ARCH_RISCV, mode | CS_MODE_RISCVC)
        self.result = Result()
        while self._hart.pc != board.firmware.entry:  # through the boot ROM
            self._step()

    def run(self, steps: Iterator[Step]) -> Result:
        """Compare until the log ends, something from outside comes in, or the first difference."""
        result = self.result
        for step in steps:
            if any(trap.is_interrupt for trap in step.traps):
                result.end = "the first interrupt, which comes when a board's clock says"
                return result
            if step.insn == _WFI:
                result.end = "WFI: what wakes the hart is a board's matter"
                return result
            result.insns += 1
            try:
                self._compare(step)
            except _Ends as end:
                result.insns -= 1
                result.end = str(end)
                return result
            except _Differs as found:
                result.difference = Difference(
                    result.insns, step.pc, step.insn, found.what, _text(found.spike), _text(found.here)
                )
                result.end = "a difference"
                return result
            result.recent.append(self.describe(step.pc, step.insn))
            if self._board.machine.exit_code is not None:
                result.end = f"the guest finished with {self._board.machine.exit_code}"
                return result
        return result

    def describe(self, pc: int, insn: int) -> str:
        """The instruction, disassembled."""
        data = insn.to_bytes(4 if insn & 3 == 3 else 2, "little")
        text = next((f"{i.mnemonic} {i.op_str}".strip() for i in self._disassembler.disasm(data, pc)), "?")
        return f"{pc:#x}: {insn:0{len(data) * 2}x}  {text}"

    def _step(self) -> None:
        self._board.run_until(icount=self._board.position.icount + 1)

    def _compare(self, step: Step) -> None:
        hart, env, result = self._hart, self._hart.env, self.result
        if result.insns == 1:
            self._allow("boot")
            env.x[:] = [step.boot_x.get(number, 0) for number in range(32)]
        first = step.traps[0] if step.traps else None
        expected_pc = first.epc if first is not None else step.pc
        self._same("pc", expected_pc, hart.pc)
        if first is None:
            self._same("privilege", step.priv, int(env.priv))
        traps_before, trapping = self._trap_facts(), self._insn_at(hart.pc)
        self._step()
        if step.traps:
            result.traps += len(step.traps)
            if trapping is not None:
                result.recent.append(f"{self.describe(step.traps[0].epc, trapping)}    traps")
            self._compare_trap(step, self._trap_facts() != traps_before)
        elif self._trap_facts() != traps_before:
            trap = hart.first_trap
            assert trap is not None
            raise _Differs("a trap", "none", f"cause {trap.cause}, tval {trap.tval:#x}")
        self._take_over(step)
        for number, value in step.x.items():
            self._same(ABI_NAMES[number], value & self._mask, int(env.x[number]))
        for number, value in step.f.items():
            self._compare_float(number, value)
        self._compare_csrs(step)
        for address, size, value in step.stores:
            self._compare_store(address, size, value)

    def _insn_at(self, pc: int) -> int | None:
        data = self._hart.read_virtual(pc, 4) or self._hart.read_virtual(pc, 2)
        insn = None if data is None else int.from_bytes(data, "little")
        return insn if insn is None or insn & 3 == 3 else insn & 0xFFFF

    def _trap_facts(self) -> tuple[object, int]:
        return self._hart.first_trap, int(self._hart._shared.traps_in_place)

    def _compare_trap(self, step: Step, has_trapped: bool) -> None:
        last, ours = step.traps[-1], self._hart.first_trap
        if not has_trapped and step.traps[0].name in _ACCESS_FAULTS:
            raise _Ends("an access to a device that Spike's board lacks")
        if len(step.traps) == TRAPS_MAX:
            raise _Ends("traps without end")
        if ours is None or not has_trapped:
            raise _Differs("a trap", last.name, "none")
        cause, env = _CAUSES.get(last.name, -1), self._hart.env
        self._same("epc", last.epc, ours.epc)
        if (ours.cause, cause) in _MISALIGNED:
            self._allow("misaligned")
            if env.priv == _PRIV_M:
                env.mcause = cause
            else:
                env.scause = cause
        elif cause != ours.cause:
            raise _Differs("cause", last.name, ours.cause)
        if last.tval is not None and last.tval & self._mask != ours.tval:
            if ours.cause != _EBREAK:
                raise _Differs("tval", last.tval & self._mask, ours.tval)
            self._allow("tval")

    def _take_over(self, step: Step) -> None:
        """Where Spike's board gave another value than ours could, go on with Spike's."""
        env, kind = self._hart.env, None
        if any(not self._is_ram(address) for address in step.loads):
            kind = "device"
        elif step.insn & 0x7F == 0x73 and step.insn >> 12 & 3:
            csr = step.insn >> 20
            kind = next((kind for kind, csrs in _READ_AS_SPIKE.items() if csr in csrs), None)
        if kind is None:
            return
        for number, value in step.x.items():
            here = int(env.x[number])
            if here == value & self._mask or (kind == "mstatus" and (here ^ value) & _MSTATUS_COMMON):
                continue
            self._allow(kind)
            env.x[number] = value & self._mask

    def _is_ram(self, va: int) -> bool:
        pa = self._hart.translate(va)
        return pa is not None and RAM_BASE <= pa < RAM_BASE + RAM_SIZE

    def _compare_float(self, number: int, value: int) -> None:
        here = int(self._hart.env.f[number])
        value &= (1 << 64) - 1
        if here != value:
            if here & 0xFFFFFFFF != value & 0xFFFFFFFF or value >> 32 != 0xFFFFFFFF:
                raise _Differs(f"f{number}", value, here)
            self._allow("nan box")

    def _compare_csrs(self, step: Step) -> None:
        env = self._hart.env
        for name, value in step.csrs.items():
            if name == "mstatus":
                self._same(name, value & _MSTATUS_COMMON, int(env.mstatus) & _MSTATUS_COMMON)
                if value & self._mask != env.mstatus:
                    self._allow("mstatus")
            elif name in _CSRS:
                self._same(name, value & self._mask, int(getattr(env, name)))

    def _compare_store(self, address: int, size: int, value: int) -> None:
        if not self._is_ram(address):
            return
        data = self._hart.read_virtual(address, size)
        here = None if data is None else int.from_bytes(data, "little")
        if here != value & ((1 << 8 * size) - 1):
            raise _Differs(f"{size} bytes at {address:#x}", value, "nothing" if here is None else here)

    def _same(self, what: str, spike: object, here: object) -> None:
        if spike != here:
            raise _Differs(what, spike, here)

    def _allow(self, kind: str) -> None:
        assert kind in ALLOWED
        self.result.allowed[kind] += 1


def _text(value: object) -> str:
    return f"{value:#x}" if isinstance(value, int) else str(value)
