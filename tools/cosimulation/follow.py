"""A hart that follows Spike: it runs the same program, and everything around it behaves as Spike's board did."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from cosimulation.spike import COMPARED, RAM_BASE, RAM_SIZE, TRAPS_MAX, CosimError, Step, Trap
from minstret.devices.board.map import Base
from minstret.emu.errors import AccessFault
from minstret.emu.hart.cpu import NOTHING_MORE, Cpu, Feature
from minstret.emu.hart.decode import memory_access
from minstret.emu.hart.engine import IO_SIZE
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.memory import GuestMemory
from minstret.emu.hart.pagetables import ppn_of, tables_of
from minstret.emu.hart.shared import PAGE_BITS, PAGE_SIZE, Counting, PageFlag
from minstret.emu.hart.spec import Cause, Interrupt
from minstret.emu.hart.state import HartState
from minstret.emu.hart.traps import TrapRecord
from minstret.emu.images.loader import load_firmware

ALLOWED = {
    "boot": "registers that the boot ROM sets, and stimecmp: Spike's values are used",
    "device": "stores to devices have no effect here, and loads from them give what they gave Spike",
    "interrupt": "an interrupt comes when Spike takes it",
    "wfi": "WFI ends when it ends in Spike",
    "counter": "cycle, time, instret: Spike has its own clock, and its value is used",
    "mip": "mip: pending bits follow the timer of each board",
    "identity": "misa, mvendorid, marchid, mimpid: each model identifies itself",
    "medeleg": "medeleg has exceptions 0 to 9, 12, 13 and 15 here, others in Spike",
    "counteren": "mcounteren and scounteren have 32 bits here, and in Spike only those of its three counters",
    "fiom": "menvcfg and senvcfg have FIOM here, and not in Spike",
    "satp": "satp of this hart has fewer modes than Spike's, which has Sv39, Sv48 and Sv57",
    "tval": "mtval and stval of ebreak are PC here; the specification allows 0 or PC",
    "misaligned": "a misaligned LR, SC or AMO may raise a misaligned or an access fault: Spike's choice is used",
    "failing sc": "an SC that fails may raise a fault or not: Spike's choice is used",
    "partial": "a misaligned store that faults may have stored its first bytes: in Spike it has",
    "accessed": "the A bit may be set before an access, or for one that faults: Spike's bit is used",
    "unfenced table": "between a store to a page table and SFENCE.VMA the old translation may be used: what Spike does"
    " with it is used, and the A and D bits that it sets or leaves",
    "unfenced code": "between a store to code and FENCE.I the old instruction may be executed: Spike's result is used",
}
"""Differences that the specifications allow, or that come from the boards around the hart, with the reason for each."""

EXCEPTIONS = {
    "trap_instruction_address_misaligned": Cause.FETCH_MISALIGNED,
    "trap_instruction_access_fault": Cause.FETCH_ACCESS,
    "trap_illegal_instruction": Cause.ILLEGAL_INSTRUCTION,
    "trap_breakpoint": Cause.BREAKPOINT,
    "trap_load_address_misaligned": Cause.LOAD_MISALIGNED,
    "trap_load_access_fault": Cause.LOAD_ACCESS,
    "trap_store_address_misaligned": Cause.STORE_MISALIGNED,
    "trap_store_access_fault": Cause.STORE_ACCESS,
    "trap_user_ecall": Cause.ECALL_FROM_U,
    "trap_supervisor_ecall": Cause.ECALL_FROM_S,
    "trap_machine_ecall": Cause.ECALL_FROM_M,
    "trap_instruction_page_fault": Cause.FETCH_PAGE_FAULT,
    "trap_load_page_fault": Cause.LOAD_PAGE_FAULT,
    "trap_store_page_fault": Cause.STORE_PAGE_FAULT,
}
"""Causes by Spike's name for them."""

_DATA_ACCESS_FAULTS = ("trap_load_access_fault", "trap_store_access_fault")
_STORE_FAULTS = ("trap_store_page_fault", "trap_store_access_fault")
_PAGE_FAULTS = (Cause.FETCH_PAGE_FAULT, Cause.LOAD_PAGE_FAULT, Cause.STORE_PAGE_FAULT)
_MISALIGNED = {(Cause.LOAD_MISALIGNED, Cause.LOAD_ACCESS), (Cause.STORE_MISALIGNED, Cause.STORE_ACCESS)}
_AMO, _SC = 0x2F, 3
_PTE_V, _PTE_R, _PTE_X, _PTE_A, _PTE_D = 1, 2, 8, 64, 128
_FENCE_I, _FENCES_OF_TABLES, _FENCE_OF_TABLES_MASK = 0x100F, (0x12000073, 0x16000073), 0xFE007FFF
"""SFENCE.VMA, and SINVAL.VMA, after which Spike looks at the tables again."""
_NO_ROM = RAM_BASE + RAM_SIZE + 0x100_0000  # a hart needs a ROM: this address is not used
_OURS_ALONE = {"finisher": (Base.FINISHER, 0x1000), "RTC": (Base.RTC, 0x1000), "virtio": (Base.VIRTIO0, 0x8000)}


class Ends(Exception):
    """The comparison can't go on."""


class Differs(Exception):
    """A difference between the two."""

    def __init__(self, what: str, spike: object, here: object) -> None:
        self.what, self.spike, self.here = what, spike, here


class SpikeDevices:
    """A bus on which every device answers as it answered Spike in the current step."""

    def __init__(self) -> None:
        self.hart: Hart | None = None
        self.step: Step | None = None
        self.has_stored = False
        self.missing: str | None = None

    def read(self, address: int, size: int) -> int:
        step = self._unless_it_faults(address)
        value = next(iter((*step.x.values(), *step.f.values())), 0)
        if step.loads:  # a load may come in pieces; a misaligned one includes bytes before and after it
            ahead = (address - step.loads[0] + PAGE_SIZE // 2) % PAGE_SIZE - PAGE_SIZE // 2
            value = value >> 8 * ahead if ahead >= 0 else value << -8 * ahead
        return value & ((1 << 8 * size) - 1)

    def write(self, address: int, size: int, value: int) -> None:
        self._unless_it_faults(address)
        self.has_stored = True

    def _unless_it_faults(self, address: int) -> Step:
        assert self.hart is not None
        if self.step is None or any(
            trap.epc == self.hart.pc and trap.name in _DATA_ACCESS_FAULTS for trap in self.step.traps
        ):
            self.missing = next(
                (name for name, (base, size) in _OURS_ALONE.items() if base <= address < base + size), None
            )
            raise AccessFault(f"nothing answers at {address:#x} in Spike")
        return self.step


class Follower:
    """A hart with RAM only. Everything else, and everything that the specifications leave open, follows Spike."""

    def __init__(
        self, image: Path, xlen: int, counting: Counting = Counting.CODE, features: Feature = NOTHING_MORE
    ) -> None:
        """Make a hart with ``image`` in its RAM.

        Raises:
            CosimError: it is for another register width, or not for RAM.
            ConfigError: it is not an executable.
        """
        firmware = load_firmware(image, RAM_BASE)
        if firmware.xlen != xlen:
            raise CosimError(f"{image}: not an ELF file for rv{xlen}")
        self.entry = firmware.entry
        self.allowed: Counter[str] = Counter()
        self._devices = SpikeDevices()
        memory = GuestMemory(RAM_BASE, RAM_SIZE, _NO_ROM, PAGE_SIZE, io_size=IO_SIZE)
        self.hart = Hart(Cpu(xlen, COMPARED | features), memory, self._devices, counting=counting)
        self._devices.hart = self.hart
        memory.map_io(0, IO_SIZE)
        for segment in firmware.segments:
            try:
                self.hart.write_physical(segment.address, bytes(segment.data).ljust(segment.size, b"\0"))
            except AccessFault:
                raise CosimError(
                    f"{image}: the segment at {segment.address:#x} is outside RAM ({RAM_BASE:#x}, {RAM_SIZE:#x} bytes)"
                ) from None
        self.hart.reset(firmware.entry)
        self._has_begun = False
        self._unfenced_code: set[int] = set()  # pages stored to since the last FENCE.I
        self._unfenced_tables: set[int] = set()  # page tables stored to since the last SFENCE.VMA

    def allow(self, kind: str) -> None:
        """Count an allowed difference."""
        assert kind in ALLOWED
        self.allowed[kind] += 1

    def begin(self, step: Step) -> None:
        """What comes before the instruction."""
        hart = self.hart
        if not self._has_begun:
            self._has_begun = True
            self.allow("boot")
            hart.env.x[:] = [step.boot_x.get(number, 0) for number in range(32)]
            hart.core.shared.stimecmp = 0  # on rv32 the half that is written second keeps this one for a while
        if hart.waiting:
            self.allow("wfi")
            hart.waiting = False

    def step(self, step: Step) -> None:
        """Take the traps that Spike took, and execute the instruction after them.

        Raises:
            Differs: another number of traps.
            Ends: that can't be done.
        """
        hart, line = self.hart, self._line(step.traps)
        first = next((trap for trap in step.traps if trap.interrupt is None), None)
        atomic = self._atomic() if first is not None and line is None else None
        saved = hart.save_state() if atomic is not None or (self._unfenced_tables and not step.traps) else None
        before = self._trap_facts()
        self._run(step, line, first)
        if first is not None and len(step.traps) == TRAPS_MAX:
            raise Ends(f"traps without end, the first {first.name} at {first.epc:#x}")

        here = hart.first_trap if self._trap_facts() != before else None
        if here is not None and _is_across_a_border(here, step, first):
            raise Ends("an instruction across the border of PMP entries, which Spike fetches as two halves")
        if first is None and here is not None:
            self._go_on_without(here, step, saved)
        elif first is not None and atomic is not None and saved is not None:
            self._trap_as_spike(first, here, atomic, saved)
        elif first is not None and here is None:
            raise Differs("a trap", first.name, "none")

    def _run(self, step: Step, line: Interrupt | None, first: Trap | None) -> None:
        """One instruction, with ``line`` up, and with what Spike did in memory before the ``first`` exception."""
        hart, devices, pte = self.hart, self._devices, None
        if first is not None and first.tval is not None and first.name in _STORE_FAULTS:
            self._store_in_part(first.tval)
            pte = self._leaf(first.tval)
        if line is not None:
            hart.set_line(line, True)
        devices.step = step
        hart.run(hart.icount + 1)
        if line is not None:
            hart.set_line(line, False)
        if pte is not None:
            self._take_back_a(*pte)
        if devices.has_stored:
            devices.has_stored = False
            self.allow("device")
        if devices.missing is not None:
            raise Ends(f"the guest uses the {devices.missing}, which Spike's board lacks")

    def _go_on_without(self, here: TrapRecord, step: Step, saved: HartState | None) -> None:
        """A trap here that Spike did not take."""
        if saved is None or here.cause not in _PAGE_FAULTS:
            raise Differs("a trap", "none", f"cause {here.cause}, tval {here.tval:#x}")
        self._go_on_unfenced(step, saved)

    def _atomic(self) -> int | None:
        """The instruction that comes next, if it is an LR, SC or AMO."""
        insn = self.hart._mmu.fetch(self.hart.pc) or 0
        return insn if insn & 0x7F == _AMO else None

    def _trap_as_spike(self, spike: Trap, here: TrapRecord | None, insn: int, saved: HartState) -> None:
        """An LR, SC or AMO that trapped in Spike: take that trap, if it was another or none here for a good reason."""
        rd, cause = insn >> 7 & 31, EXCEPTIONS.get(spike.name, -1)
        if here is None:
            if insn >> 27 != _SC or (rd and not self.hart.env.x[rd]) or spike.name not in _STORE_FAULTS:
                raise Differs("a trap", spike.name, "none")
            self.allow("failing sc")
        elif (here.cause, cause) in _MISALIGNED:
            self.allow("misaligned")
        else:
            return
        self.hart.load_state(saved)
        self.hart._take(cause, spike.tval or 0)
        self.hart.run(self.hart.icount + 1)

    def _line(self, traps: list[Trap]) -> Interrupt | None:
        interrupts = [(at, trap.interrupt) for at, trap in enumerate(traps) if trap.interrupt is not None]
        if not interrupts:
            return None
        if len(interrupts) > 1 or interrupts[0][0] > 0:
            raise Ends("an interrupt between an exception and its handler")
        self.allow("interrupt")
        return Interrupt(interrupts[0][1])

    def _trap_facts(self) -> tuple[int, int]:
        shared = self.hart._shared
        return shared.trap_icount if shared.has_trapped else -1, shared.traps_in_place

    # ---- what specifications leave open about memory

    def end(self, step: Step) -> None:
        """Keep in mind what is stored without a fence."""
        for address, _, _ in step.stores:
            pa = self.ram_address(address)
            if pa is not None:
                self._unfenced_code.add(pa // PAGE_SIZE)
                if self._is_table(pa):
                    self._unfenced_tables.add(pa // PAGE_SIZE)
        if step.insn == _FENCE_I:
            self._unfenced_code.clear()
        elif step.insn & _FENCE_OF_TABLES_MASK in _FENCES_OF_TABLES:
            self._unfenced_tables.clear()

    def ram_address(self, va: int) -> int | None:
        """The physical address of ``va`` where that is RAM."""
        pa = self.hart.translate(va)
        return pa if pa is not None and RAM_BASE <= pa < RAM_BASE + RAM_SIZE else None

    def is_unfenced(self, step: Step, spike: int, here: int) -> bool:
        """Whether a difference may come from a store whose fence is still to come. Memory becomes as in Spike."""
        hart, size = self.hart, self.hart.xlen // 8
        pc, load = self.ram_address(step.pc), self.ram_address(step.loads[0]) if step.loads else None
        if load is not None and load // PAGE_SIZE in self._unfenced_tables and not (spike ^ here) & ~(_PTE_A | _PTE_D):
            self.allow("unfenced table")
            hart.write_physical(load & -size, spike.to_bytes(size, "little"))
            return True
        if pc is not None and pc // PAGE_SIZE in self._unfenced_code:
            data = hart.memory.peek(pc, 4 if step.insn & 3 == 3 else 2)
            if data is not None and int.from_bytes(data, "little") != step.insn:
                self.allow("unfenced code")
                return True
        return False

    def _go_on_unfenced(self, step: Step, saved: HartState) -> None:
        """Take back a page fault, and do what Spike did with the translation of before.

        The first instruction of the handler has been executed: it must not store, as those of our images don't.
        """
        hart = self.hart
        self.allow("unfenced table")
        hart.load_state(replace(saved, icount=saved.icount + 1))
        hart.env.x[:] = [step.x.get(number, value) & hart.xlen_mask for number, value in enumerate(saved.x)]
        hart.env.pc = step.pc + (4 if step.insn & 3 == 3 else 2)

    def _store_in_part(self, tval: int) -> None:
        """Store the bytes before ``tval`` of the misaligned store that is about to fault there."""
        hart = self.hart
        insn = hart._mmu.fetch(hart.pc) or 0
        access = memory_access(insn, hart.xlen)
        if access is None or not access.is_store or access.is_atomic:
            return
        address = int(hart.env.x[access.rs1]) + access.imm & hart.xlen_mask
        if not address < tval < address + access.size:
            return
        if insn & 3 == 3:
            rs2, is_float = insn >> 20 & 31, insn & 0x7F == 0x27
        else:
            rs2 = insn >> 2 & 31 if insn & 3 == 2 else 8 + (insn >> 2 & 7)
            is_float = insn >> 13 == 5 or (insn >> 13 == 7 and hart.xlen == 32)
        value = int((hart.env.f if is_float else hart.env.x)[rs2]).to_bytes(8, "little")
        self.allow("partial")
        hart.write_virtual(address, value[: tval - address], "cosimulation")

    def _leaf(self, va: int) -> tuple[int, int] | None:
        """The address and value of the page table entry for ``va``."""
        hart, size = self.hart, self.hart.xlen // 8
        tables = tables_of(int(hart.env.satp), hart.xlen)
        if tables is None:
            return None
        table = tables.root
        for level in reversed(range(tables.levels)):
            address = table + tables.index_of(va, level) * size
            data = hart.memory.peek(address, size)
            pte = 0 if data is None else int.from_bytes(data, "little")
            if pte & (_PTE_R | _PTE_X):
                return address, pte
            if not pte & _PTE_V:
                return None
            table = ppn_of(pte) << PAGE_BITS
        return None

    def is_accessed_ahead(self, va: int, spike: int, here: int) -> bool:
        """Whether a stored page table entry differs because the next instruction's fetch has set A in it."""
        pa = self.ram_address(va)
        if spike == here or here != spike | _PTE_A or pa is None or not self._is_table(pa):
            return False
        self.allow("accessed")
        return True

    def _is_table(self, pa: int) -> bool:
        return bool(self.hart.memory.page_flags[pa - RAM_BASE >> PAGE_BITS] & PageFlag.TABLE)

    def _take_back_a(self, address: int, before: int) -> None:
        """Make the page table entry what it was, if A is all that changed."""
        size = self.hart.xlen // 8
        now = int.from_bytes(self.hart.read_physical(address, size), "little")
        if now != before and now == before | _PTE_A:
            self.allow("accessed")
            self.hart.write_physical(address, before.to_bytes(size, "little"))


def _is_across_a_border(here: TrapRecord, step: Step, spike: Trap | None) -> bool:
    """Whether an instruction of which PMP entries match a half could not be fetched here as a whole. In Spike it
    retired, took another trap, or only its second half could not be fetched.
    """
    if here.cause != Cause.FETCH_ACCESS or here.tval != here.epc or here.epc & 3 != 2:
        return False
    if spike is None:
        return step.insn & 3 == 3
    cause, tval = EXCEPTIONS.get(spike.name), spike.tval or 0
    if cause == Cause.FETCH_ACCESS:
        return tval == spike.epc + 2
    return cause != Cause.ILLEGAL_INSTRUCTION or tval & 3 == 3
