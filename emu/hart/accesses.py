"""The guest's accesses that Python looks at: devices, watched RAM, and RAM where PMP allows less than a page.

Also: which access an instruction makes, found by decoding it, and how an instruction whose access is refused is left
undone.
"""

from __future__ import annotations

from collections.abc import Callable

from minstret.emu.bus import Bus
from minstret.emu.errors import AccessFault
from minstret.emu.hart.decode import MemoryAccess, memory_access
from minstret.emu.hart.engine import Engine, EngineHandlers
from minstret.emu.hart.memory import GuestMemory
from minstret.emu.hart.shared import (
    PAGE_SIZE,
    Access,
    Fault,
    Prot,
    Stop,
)
from minstret.emu.hart.watches import AccessUnderWay, Watches, WatchKind


class Accesses(EngineHandlers):
    """One hart's accesses outside plain RAM, as Unicorn makes them: piece by piece, in the middle of an instruction.

    Attributes:
        is_refused: An access was refused; its instruction is to be left undone, and trap.
        has_hit: An access has hit a watch, so that the run is to stop after its instruction.
        exception_cause: Unicorn met this exception. Only the Python callbacks leave it here.
    """

    def __init__(self, xlen: int, memory: GuestMemory, bus: Bus, time_written: Callable[[], None]) -> None:
        self.xlen = xlen
        self.xlen_mask = (1 << xlen) - 1
        self.memory = memory
        self.bus = bus
        self.time_written = time_written  # type: ignore[method-assign]
        self.is_refused = False
        self.has_hit = False
        self.exception_cause: int | None = None
        self._kept_f: list[int] = []

    def connect(self, engine: Engine, watches: Watches) -> None:
        """Say which engine makes the accesses, and which watches there are."""
        self._engine, self.watches = engine, watches
        self._shared, self._mmu, self.env = engine.shared, engine.mmu, engine.env

    def leave_undone(self) -> None:
        """The run has ended at a refused access: its instruction has changed nothing."""
        self.is_refused = False
        self.env.f[:] = self._kept_f

    def exception(self, cause: int) -> None:
        """Unicorn met an exception: PC is 4 past the instruction, whatever its size."""
        self.exception_cause = cause
        self._shared.stop_reason = Stop.EXCEPTION
        self.env.pc = (self.env.pc - 4) & self.xlen_mask
        self._engine.stop()

    def io_read(self, address: int, size: int) -> int:
        try:
            return self.bus.read(address, size) if self._begin_access() else 0
        except AccessFault:
            self._refuse_access()
            return 0
        finally:
            self._shared.in_flight = 0

    def io_write(self, address: int, size: int, value: int) -> None:
        try:
            if self._begin_access():
                self.bus.write(address, size, value)
                self.time_written()
        except AccessFault:
            self._refuse_access()
        finally:
            self._shared.in_flight = 0

    def _begin_access(self) -> bool:
        """The Python callbacks come here; C does the same itself."""
        self._shared.in_flight = 1
        self._shared.charge(1)
        return not self.is_refused

    def _refuse_access(self) -> None:
        """Leave the access undone: Unicorn stays on the instruction, and does not write its register.

        The exception is a floating-point register, which Unicorn loads before it stops; its old value is kept here.
        """
        if not self.is_refused:
            self._kept_f = list(self.env.f)
        self.is_refused = True
        self._shared.stop_reason = Stop.EXCEPTION
        self._engine.stop()

    def slow_read(self, offset: int, size: int) -> int:
        if self.is_refused or not self._pmp_allows_access(offset, size, Prot.R):
            self._refuse_access()
            return 0
        if self.watches:
            address = self.memory.ram_base + offset
            if self.watches.piece_loaded(self._access_under_way(address, size, WatchKind.LOAD), address):
                self._stop_after_access()
        return int.from_bytes(self.memory.ram[offset : offset + size], "little")

    def slow_write(self, offset: int, size: int, value: int) -> None:
        address = self.memory.ram_base + offset
        data = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        page = address & ~(PAGE_SIZE - 1)
        if self.is_refused and self._mmu.pmp_allows(page, PAGE_SIZE, self._mmu.data_mode()) != Prot.MIXED:
            self.memory.write(address, data)  # the rest of a store; a watch must not change what becomes of it
            return
        if self.is_refused or not self._pmp_allows_access(offset, size, Prot.W):
            self._refuse_access()
            return
        self.store(address, data)

    def store(self, address: int, data: bytes) -> None:
        """Store a piece that is allowed, or all, of what the instruction under way stores, at a physical address."""
        size = len(data)
        self._mmu.note_instruction_under_way()
        if not self.watches:
            self.memory.write(address, data)
            return
        access = self._access_under_way(address, size, WatchKind.STORE)
        self.watches.before_piece(access, address)
        self.memory.write(address, data)
        self._shared.in_flight = 1
        try:
            if self.watches.piece_stored(access, address, size):
                self._stop_after_access()
        finally:
            self._shared.in_flight = 0

    def _stop_after_access(self) -> None:
        self.has_hit = True
        self._shared.end_slice()

    def _access_under_way(self, address: int, size: int, kind: WatchKind) -> AccessUnderWay:
        """The watched access of the instruction at PC, of which a piece is at the physical ``address``."""
        s, pc = self._shared, int(self.env.pc)
        instruction = int(s.icount), pc, int(s.traps_icount), int(s.traps_in_place)
        return self.watches.access(instruction, lambda: self._begin_watched_access(instruction, address, size, kind))

    def _begin_watched_access(
        self, instruction: tuple[int, ...], address: int, size: int, kind: WatchKind
    ) -> AccessUnderWay:
        access, pc = self.access_of(int(self._shared.icount)), int(self.env.pc)
        if access is None:
            return AccessUnderWay(instruction, pc, kind, ((address, size),))
        va, page = access.first_byte(self.address_of(access)), address & ~(PAGE_SIZE - 1)
        first = min(access.size, PAGE_SIZE - va % PAGE_SIZE)
        parts = [(page + va % PAGE_SIZE, first)]
        if first < access.size:
            is_second = address % PAGE_SIZE < PAGE_SIZE // 2
            wanted = Access.WRITE if access.is_store else Access.READ
            other = self._mmu.translate(
                va if is_second else va + first, wanted, self._mmu.data_mode(), quiet=True, ignore_accessed=True
            )
            if is_second:
                parts = [(page, access.size - first)]
            if other.fault == Fault.NONE:
                parts.append((other.pa, first if is_second else access.size - first))
        is_amo = access.is_atomic and access.is_store and not access.is_conditional
        kind = WatchKind.ACCESS if is_amo else WatchKind.STORE if access.is_store else WatchKind.LOAD
        expected = self.env.load_val & ((1 << 8 * access.size) - 1) if access.is_conditional else None
        return AccessUnderWay(instruction, pc, kind, tuple(parts), expected)

    def has_retired(self, access: AccessUnderWay) -> bool:
        """Whether the instruction of an access before which nothing ran has retired: it has not trapped."""
        s = self._shared
        return access.instruction[2:] == (s.traps_icount, s.traps_in_place)

    def access_of(self, counted: int) -> MemoryAccess | None:
        """The access of the instruction at PC. ``counted``: icount while it is under way."""
        s, pc = self._shared, int(self.env.pc)
        is_noted = s.rewritten_pc == pc and s.rewritten_icount == counted
        return memory_access(int(s.rewritten_insn) if is_noted else self._mmu.fetch(pc) or 0, self.xlen)

    def _pmp_allows_access(self, offset: int, size: int, wanted: Prot) -> bool:
        """Whether PMP allows the access under way, of which ``[offset, offset + size)`` is a piece."""
        low, access = self.memory.ram_base + offset, self.access_of(int(self._shared.icount))
        if access is not None:
            if access.is_atomic and access.is_store:
                wanted |= Prot.R | Prot.W
            if self.address_of(access) % access.size == 0:  # aligned: matches an entry as a whole or not at all
                low, size = low & ~(access.size - 1), access.size
        allowed = self._mmu.pmp_allows(low, size, self._mmu.data_mode())
        return not allowed & Prot.MIXED and allowed & wanted == wanted

    def address_of(self, access: MemoryAccess) -> int:
        return int(self.env.x[access.rs1] + access.imm) & self.xlen_mask
