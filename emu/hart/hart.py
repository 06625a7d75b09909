"""One RISC-V hart: runs to an exact instruction count, takes traps, waits, saves and loads its state.

Unicorn executes ordinary instructions between two points; everything else happens here. The interface is small on
purpose: ``run(limit)``, levels of interrupt lines, physical reads and writes, state.
"""

from __future__ import annotations

from collections.abc import Callable
from ctypes import addressof
from enum import Enum
from typing import Any
from zlib import crc32

from minstret.emu.bus import Bus
from minstret.emu.errors import AccessFault, ConfigError
from minstret.emu.hart import cacheblocks, csr, extensions, traps
from minstret.emu.hart.accesses import Accesses
from minstret.emu.hart.breakpoints import Breakpoints
from minstret.emu.hart.core import Core
from minstret.emu.hart.cpu import Cpu, Feature
from minstret.emu.hart.decode import memory_access
from minstret.emu.hart.engine import Engine
from minstret.emu.hart.extensions import Form, Op, extension_insn, operand
from minstret.emu.hart.flow import Flow
from minstret.emu.hart.layout import fflags_from_softfloat, softfloat_from_fflags
from minstret.emu.hart.mappings import Mapped, mapped
from minstret.emu.hart.memory import GuestMemory, by_page
from minstret.emu.hart.observers import Observers
from minstret.emu.hart.pmp import PmpState
from minstret.emu.hart.shared import (
    CACHED_REGISTERS,
    ICOUNT_BITS,
    NOWHERE,
    PAGE_BITS,
    PAGE_SIZE,
    TRAP_LOOP_TRAPS,
    WORK_MAX,
    Access,
    Counting,
    Fault,
    Prot,
    Shared,
    Stop,
    TransferKind,
)
from minstret.emu.hart.spec import (
    COUNTER_IR,
    INSN_C_EBREAK,
    INSN_EBREAK,
    INSN_ECALL,
    INSN_MRET,
    INSN_SRET,
    INSN_WFI,
    MSTATUS_MPRV,
    MSTATUS_SXL,
    MSTATUS_TSR,
    MSTATUS_TVM,
    MSTATUS_TW,
    MSTATUS_UXL,
    PRIV_M,
    PRIV_S,
    PRIV_U,
    REG_FP,
    REG_RA,
    REG_SP,
    XLEN_64,
    Cause,
    Interrupt,
)
from minstret.emu.hart.special import is_floating, is_of_extension, is_ours_now, is_special
from minstret.emu.hart.state import WORDS, HartState, LaterCsrs, later_csrs
from minstret.emu.hart.traps import HandlerEntry, TrapRecord, interrupt_is_takeable, last_trap
from minstret.emu.hart.triggers import McontrolBit, Triggers
from minstret.emu.hart.watches import Watches
from minstret.emu.registers import PlicRegisters, Registers, UartRegisters
from minstret.emu.state import copied

_SEMIHOSTING_BEFORE, _SEMIHOSTING_AFTER = 0x01F01013, 0x40705013  # slli x0, x0, 0x1f; srai x0, x0, 7
_A0, _A1 = 10, 11
_MINSTRET = 2
_U64 = (1 << 64) - 1
_MSTATUS_XLEN_64 = (MSTATUS_SXL & -MSTATUS_SXL | MSTATUS_UXL & -MSTATUS_UXL) * XLEN_64


_NO_LATER = LaterCsrs()
_LEFT_TO_PYTHON = frozenset(map(int, (Stop.NONE, Stop.SPECIAL, Stop.BREAKPOINT, Stop.TRIGGER)))


class HartStop(Enum):
    """Why ``run`` came back."""

    LIMIT = "limit"
    WAITING = "waiting"
    TRAP_LOOP = "trap loop"
    BLOCKED = "blocked"  # a semihosting call waits for input
    BREAKPOINT = "breakpoint"  # before an instruction: see breakpoints.py
    WATCH = "watch"  # after an access: see watches.py


class Hart:
    """A hart on ``memory`` and ``bus``."""

    def __init__(
        self,
        cpu: Cpu,
        memory: GuestMemory,
        bus: Bus,
        *,
        shift: int = 0,
        ns_per_tick: int = 100,
        skipped: Callable[[], tuple[int, int]] = lambda: (0, 0),
        mtime_address: int = 0,
        counting: Counting = Counting.CODE,
        hart_id: int = 0,
    ) -> None:
        """Make a hart in its reset state.

        Args:
            cpu: Its width and extensions.
            memory: RAM and ROM.
            bus: Everything else.
            shift: An instruction takes ``2 ** shift`` ns.
            ns_per_tick: The period of the time CSR.
            skipped: What time is ahead of icount by: virtual time skipped in waits, ns, and what software added to
                mtime, ticks, modulo 2^64. Asked at each run and after each store to mtime.
            mtime_address: Where the bus has mtime; loads from there are answered by the hart. 0: nowhere.
            counting: How to count; where the C callbacks or functions were not built it is what can be had.
            hart_id: What mhartid reads.
        """
        self.cpu = cpu
        self.xlen = xlen = cpu.xlen
        self.xlen_mask = (1 << xlen) - 1
        self.hart_id = hart_id
        self.memory = memory
        self._skipped = skipped
        self.bus = bus
        self._accesses = Accesses(xlen, memory, bus, self.time_written)
        self._engine = Engine(cpu, memory, self._accesses, counting=counting)
        self._shared = self._engine.shared
        self._mmu = self._engine.mmu
        self.env: Any = self._engine.env
        self._x = self.env.x  # the registers themselves; asking for them is slow
        self._shared.shift, self._shared.ns_per_tick = shift, ns_per_tick
        self.read_icount = _icount_reader(self._shared)
        """What gives ``icount``, and faster."""
        self._in_python = self._engine.counting is Counting.PYTHON
        self._shared.mtime_address = mtime_address
        self.breakpoints = Breakpoints(xlen, self._shared)
        self.watches = Watches(memory, self._shared, hart_id)
        self._accesses.connect(self._engine, self.watches)
        self.triggers = Triggers(xlen, self._shared, self.env, self.breakpoints, self._engine.flush_tlb)
        self.core = Core(
            cpu, self.env, self._shared,
            flush_tlb=self._engine.flush_tlb, flush_blocks=self._engine.flush_blocks, triggers=self.triggers,
            hart_id=hart_id,
        )  # fmt: skip
        self.pmp = self.core.pmp
        self.observers = Observers(xlen, self._shared, self._mmu)
        """Who is told of each trap, and of each instruction."""
        self.flow = Flow(self._engine, self.observers)
        """Where its instructions went, for who asks."""
        self.on_semihosting: Callable[[int, int], int | None] | None = None
        """Called with a0 and a1 of a semihosting call; gives a0, or None to be called again later."""
        self.work_max = WORK_MAX
        """How much work ends a slice: see Shared.charge. With less than ten an instruction may never get through."""
        self._stop: HartStop | None = None
        self._passes_trigger = False
        self._woke_icount = NOWHERE
        self._cached_registers = 0
        self._answered = (0, 0, 0)
        self._run_engine = self._engine.runner()
        self.reset(memory.ram_base)

    @property
    def name(self) -> str:
        """What it is called in messages: ``hart0``."""
        return f"hart{self.hart_id}"

    @property
    def counting(self) -> Counting:
        """How it counts."""
        return self._engine.counting

    @property
    def icount(self) -> int:
        """Instructions retired since power-on. Within an access: before the accessing instruction."""
        return self.read_icount()

    @property
    def is_accessing(self) -> bool:
        """Whether a device, or who looks at an access, works at one of the instruction at ``pc``."""
        return bool(self._shared.in_flight)

    @property
    def pc(self) -> int:
        return int(self.env.pc)

    @property
    def waiting(self) -> bool:
        """Whether a WFI has retired and the hart has not gone on since; see ``has_wake_up``."""
        return bool(self._shared.is_waiting)

    @waiting.setter
    def waiting(self, waiting: bool) -> None:
        self._shared.is_waiting = waiting

    @property
    def mcycle_offset(self) -> int:
        """What software added to mcycle by writing it, modulo 2^64."""
        return int(self._shared.mcycle_offset)

    @mcycle_offset.setter
    def mcycle_offset(self, offset: int) -> None:
        self._shared.mcycle_offset = offset

    @property
    def minstret_offset(self) -> int:
        """What software added to minstret by writing it, modulo 2^64."""
        return int(self._shared.minstret_offset)

    @minstret_offset.setter
    def minstret_offset(self, offset: int) -> None:
        self._shared.minstret_offset = offset

    @property
    def minstret(self) -> int:
        """Instructions that this hart has retired, and what software added, modulo 2^64; on rv32 too."""
        return self.core.count_of(_MINSTRET) + self.minstret_offset & _U64

    def time_written(self) -> None:
        """Ask again how time follows from icount."""
        s = self._shared
        s.warp_ns, s.time_delta = self._skipped()

    @property
    def mip(self) -> int:
        """Pending interrupts: the lines, and the bits that the guest wrote."""
        return self.core.mip

    @property
    def statistics(self) -> dict[str, int]:
        """How often the callbacks did what, since the start. Not guest state."""
        names = ("fills", "flushes", "edges", "watched_writes", "invalidations", "alone", "cuts", "ambiguous", "looks")
        return {name: int(getattr(self._shared, name)) for name in names}

    # ---- reset and state

    def reset(self, pc: int) -> None:
        """Put the hart into its reset state at ``pc``. icount goes on: power-on alone starts it at 0."""
        words = dict.fromkeys(WORDS, 0) | {"pc": pc, "priv": PRIV_M, "load_res": self.xlen_mask}
        if self.xlen == 64:
            words["mstatus"] = _MSTATUS_XLEN_64
        self.load_state(
            HartState(
                xlen=self.xlen, icount=self.icount, x=[0] * 32, f=[0] * 32, words=words, fflags=0,
                lines=self.core.lines, soft_mip=0, waiting=False, mcycle_offset=0, minstret_offset=0,
                traps_in_place=0, traps_icount=0, later=later_csrs(self.cpu),
            )
        )  # fmt: skip

    def save_state(self) -> HartState:
        """The state between two instructions."""
        env = self.env
        return HartState(
            xlen=self.xlen, icount=self.icount, x=list(env.x), f=list(env.f),
            words={name: int(getattr(env, name)) for name in WORDS},
            fflags=fflags_from_softfloat(env.softfloat_flags), lines=self.core.lines, soft_mip=self.core.soft_mip,
            waiting=self.waiting, mcycle_offset=self.mcycle_offset, minstret_offset=self.minstret_offset,
            traps_in_place=int(self._shared.traps_in_place), traps_icount=int(self._shared.traps_icount),
            last_trap=self.last_trap, first_trap=self.first_trap,
            pmp=PmpState(list(self.pmp.state.cfg), list(self.pmp.state.addr)), triggers=copied(self.triggers.state),
            later=self._later_csrs(),
        )  # fmt: skip

    def _later_csrs(self) -> LaterCsrs | None:
        s = self._shared
        if not self.cpu.has("sm1p12"):
            return None
        return LaterCsrs(int(s.menvcfg), int(s.senvcfg), int(s.mcountinhibit), int(s.stimecmp))

    def load_state(self, state: HartState) -> None:
        """Become ``state``. RAM is not part of it: see GuestMemory.write.

        Translated code stays, but for a change of PMP: it follows from RAM, whose writer drops what changes, and from
        the privilege, FS and the page tables, which a guest changes all the time too.
        """
        env, before = self.env, int(self._shared.icount)
        env.x[:], env.f[:] = state.x, state.f
        for name, value in state.words.items():
            setattr(env, name, value)
        env.softfloat_flags = softfloat_from_fflags(state.fflags)
        self._shared.icount = state.icount
        self.core.lines, self.core.soft_mip, self.waiting = state.lines, state.soft_mip, state.waiting
        self.mcycle_offset, self.minstret_offset = state.mcycle_offset, state.minstret_offset
        for name in LaterCsrs.__slots__:
            setattr(self._shared, name, getattr(state.later or _NO_LATER, name))
        self._shared.traps_in_place, self._shared.traps_icount = state.traps_in_place, state.traps_icount
        self.last_trap, self.first_trap = state.last_trap, state.first_trap
        if self.pmp.state != state.pmp:
            self._engine.flush_blocks()
        self.pmp.state = PmpState(list(state.pmp.cfg), list(state.pmp.addr))
        self.pmp.publish()
        self.triggers.state = copied(state.triggers)
        self.triggers.publish()
        self.core.publish_mip()
        self._shared.cached_address[:] = [0] * CACHED_REGISTERS
        self._stop = None
        self._shared.rewritten_pc = self._shared.new_entry = self._shared.step_over = NOWHERE
        self._woke_icount = NOWHERE
        self.breakpoints.forget_stop()
        self.watches.forget_access()
        self.flow.moved(before)
        self._engine.flush_tlb()

    def registers_hash(self, previous: int) -> int:
        """CRC-32 of pc and the integer registers, chained to ``previous``."""
        return crc32(self._x, previous ^ int(self.env.pc) & 0xFFFF_FFFF)

    # ---- running

    def run(self, limit: int) -> HartStop:
        """Run until ``icount == limit``, or sooner: when the hart waits, loops in traps, or ``end_slice``.

        Stops before the instruction at ``limit``; an interrupt that is due there is taken by the next run. Where
        somebody is told of each instruction it comes back after one.
        """
        if self.observers.on_insn is None and self.flow.step is None:
            return self._run(limit)
        if self.observers.on_insn is not None:
            return self.observers.step(self._run_and_follow, limit)
        return self._run_and_follow(limit)

    def _run_and_follow(self, limit: int) -> HartStop:
        step = self.flow.step
        return self._run(limit) if step is None else step(self._run, limit)

    def _run(self, limit: int) -> HartStop:
        s, env = self._shared, self.env
        s.limit = limit
        s.work_left = self.work_max
        s.warp_ns, s.time_delta = self._skipped()
        if self._stop is not None and s.icount < s.limit:  # a device has written since the last run
            stop, self._stop = self._stop, None
            if self.watches.have_hit(self._accesses.has_retired):
                return stop
        while s.icount < s.limit:
            if s.is_waiting:
                if not s.mip & env.mie:
                    return HartStop.WAITING
                self.wake()
            if self._in_python:
                self._prepare_run()
            self._run_engine()
            if self._in_python or self._accesses.is_refused or s.stop_reason in _LEFT_TO_PYTHON:
                self._after_run()
            while self._passes_trigger:
                self._pass_trigger()
            if self.observers.follower is not None and s.is_waiting:
                self.observers.follower.waits(True)
            if s.work_left > 1:
                s.work_left -= 1
            else:
                self.charge(1)
            if self._accesses.has_hit:
                self._accesses.has_hit = False
                self._stop = self._stop or HartStop.WATCH
            if self._stop is not None:
                stop, self._stop = self._stop, None
                if stop is not HartStop.WATCH or self.watches.have_hit(self._accesses.has_retired):
                    return stop
            if s.traps_in_place >= TRAP_LOOP_TRAPS:
                return HartStop.TRAP_LOOP
        return HartStop.LIMIT

    def _prepare_run(self) -> None:
        s = self._shared
        if s.must_forget_blocks:
            self._engine.flush_blocks()
        if s.mip and interrupt_is_takeable(s.mip, self.env):
            interrupt = traps.highest_interrupt(s.mip, self.env)
            assert interrupt is not None
            self._take(interrupt, 0, is_interrupt=True)
        s.fast_limit = 0 if s.mip else s.limit
        s.stop_reason = s.resync = s.fault = 0

    def charge(self, work: int) -> None:
        """Count ``work`` of the guest's, in units of a call to Python: after ``work_max`` of it the slice ends."""
        self._shared.charge(work)

    def stop_by(self, icount: int) -> None:
        """Make ``run`` come back before the instruction at ``icount``, or before the next one if that is later."""
        s = self._shared
        if icount < s.limit:
            s.limit = limit = icount if icount > s.icount else s.icount
            if limit < s.fast_limit:
                s.fast_limit = limit

    def end_slice(self) -> None:
        """Make ``run`` come back before the next instruction: something it must know has changed."""
        self._shared.end_slice()

    def _after_run(self) -> None:
        """Do what the callbacks left to Python: with the C callbacks, refused accesses and special instructions."""
        s = self._shared
        if self._in_python:
            self._settle()
        elif self._accesses.is_refused:
            self._accesses.leave_undone()
            self._data_fault(Fault.ACCESS, None)
        reason = s.stop_reason
        if reason not in _LEFT_TO_PYTHON:
            return
        if reason == Stop.SPECIAL:
            self._execute_special()
        elif reason == Stop.BREAKPOINT:
            self._meet_breakpoint()
        elif reason == Stop.TRIGGER:
            self._meet_trigger()
        elif s.icount < s.limit:
            raise AssertionError(f"Unicorn stopped at pc {self.env.pc:#x} for no reason we know")

    def _settle(self) -> None:
        s = self._shared
        if s.has_bogus_entry:
            s.has_bogus_entry = 0
            self._engine.flush_tlb()
        if self._accesses.exception_cause is not None:
            cause, self._accesses.exception_cause = self._accesses.exception_cause, None
            s.icount -= 1
            self._raise_unicorn_exception(cause)
        elif self._accesses.is_refused:
            self._accesses.leave_undone()
            s.icount -= 1
            self._data_fault(Fault.ACCESS, None)
        elif s.fault == Fault.CROSSING:
            self._run_to_crossing()
        elif s.fault and s.fault_type != Access.FETCH:
            s.icount -= 1
            if s.fault == Fault.TRIGGER:
                s.stop_reason = Stop.TRIGGER
                return
            self._data_fault(Fault(s.fault), int(s.fault_va))
        elif s.fault and s.icount < s.limit and not (s.mip and interrupt_is_takeable(s.mip, self.env)):
            if s.must_break(self.env.pc):
                s.stop_reason = Stop.BREAKPOINT
                return
            cause = Cause.FETCH_PAGE_FAULT if s.fault == Fault.PAGE else Cause.FETCH_ACCESS
            same_page = s.fault_va >> PAGE_BITS == self.env.pc >> PAGE_BITS
            self._take(cause, self.env.pc if same_page else s.fault_va)

    def _take(self, code: int, tval: int, *, is_interrupt: bool = False) -> None:
        s, env = self._shared, self.env
        icount = int(s.icount)
        if not is_interrupt:
            if not s.has_trapped or s.trap_icount != icount:
                s.has_trapped, s.trap_icount, s.trap_cause = 1, icount, code
                s.trap_epc, s.trap_tval, s.trap_priv = int(env.pc), tval & self.xlen_mask, int(env.priv)
                s.trap_ra, s.trap_sp, s.trap_fp = self._x[REG_RA], self._x[REG_SP], self._x[REG_FP]
            s.traps_in_place = s.traps_in_place + 1 if s.traps_icount == icount else 1
            s.traps_icount = icount
        self.last_trap = TrapRecord(
            code, int(env.pc), tval & self.xlen_mask, int(env.priv), icount, is_interrupt,
            int(self._x[REG_RA]), int(self._x[REG_SP]), int(self._x[REG_FP]),
        )  # fmt: skip
        s.limit = max(int(s.limit), icount + 1)  # where the run was to end after this instruction: see Shared.end_slice
        flushes = env.mstatus & MSTATUS_MPRV or s.trigger_page_count
        data_mode = self._mmu.data_mode() if s.logs_traps else 0
        traps.enter_trap(env, self.xlen, code, tval, is_interrupt=is_interrupt)
        if flushes:  # data accesses may go another way now, or one was let pass where a trigger is
            self._engine.flush_tlb()
        self.flow.traps()
        if s.logs_traps:
            self.charge(1)
            self.observers.trapped(data_mode)

    @property
    def first_trap(self) -> TrapRecord | None:
        """The last exception, or the first of those that came in a row at one place; None since a reset."""
        s = self._shared
        if not s.has_trapped:
            return None
        return TrapRecord(
            int(s.trap_cause), int(s.trap_epc), int(s.trap_tval), int(s.trap_priv), int(s.trap_icount), False,
            int(s.trap_ra), int(s.trap_sp), int(s.trap_fp),
        )  # fmt: skip

    @first_trap.setter
    def first_trap(self, trap: TrapRecord | None) -> None:
        s = self._shared
        s.has_trapped = trap is not None
        if trap is not None:
            s.trap_cause, s.trap_epc, s.trap_tval, s.trap_priv = trap.cause, trap.epc, trap.tval, trap.priv
            s.trap_icount, s.trap_ra, s.trap_sp, s.trap_fp = trap.icount, trap.ra, trap.sp, trap.fp

    @property
    def last_trap(self) -> TrapRecord | None:
        """The last trap that was taken, be it an exception or an interrupt; None since a reset."""
        return last_trap(self._shared)

    @last_trap.setter
    def last_trap(self, trap: TrapRecord | None) -> None:
        s = self._shared
        s.has_last = trap is not None
        if trap is not None:
            s.last_code, s.last_epc, s.last_tval, s.last_priv = trap.cause, trap.epc, trap.tval, trap.priv
            s.last_icount, s.last_is_interrupt = trap.icount, trap.is_interrupt
            s.last_ra, s.last_sp, s.last_fp = trap.ra, trap.sp, trap.fp

    @property
    def has_just_trapped(self) -> bool:
        """Whether the next instruction is the first of a trap handler."""
        return bool(self._shared.has_last and self._shared.last_icount == self._shared.icount)

    @property
    def handler_entry(self) -> HandlerEntry:
        """Where it is, if it is at the first instruction of a trap handler."""
        s = self._shared
        return HandlerEntry(self.pc, int(s.traps_in_place) if s.traps_icount == s.icount else 0)

    # ---- beside other harts

    # Another hart runs next: tell_what_is_stale on this one, enter on the other, and, once that has executed anything,
    # end_reservation on this one.

    def tell_what_is_stale(self) -> None:
        """Let the other harts know what this one's guest has made stale since the last call."""
        self._engine.tell_what_is_stale()

    def end_reservation(self) -> None:
        """Another hart has run, and may have stored between an LR and its SC."""
        self.env.load_res = self.xlen_mask

    def enter(self, icount: int) -> None:
        """Prepare to run, now that the machine's count has come to ``icount``: forget what other harts made stale."""
        self.be_at(icount)
        self._engine.catch_up()
        self._shared.step_over = NOWHERE  # another instruction may be there now

    def be_at(self, icount: int) -> None:
        """Go with the machine's count, which other harts have moved on to ``icount``; minstret stays."""
        s = self._shared
        before = int(s.icount)
        if before != icount:
            if not s.mcountinhibit & COUNTER_IR:
                s.minstret_offset = s.minstret_offset + before - icount & _U64
            s.icount = icount
            self.breakpoints.time_passed(before, icount)
            self.flow.time_passed(icount - before)

    @property
    def has_wake_up(self) -> bool:
        """Whether an interrupt is pending that ends a wait."""
        return bool(self._shared.mip & self.env.mie)

    def wake(self) -> None:
        """The wait is over."""
        self._shared.is_waiting = 0
        self._woke_icount = int(self._shared.icount)
        if self.observers.follower is not None:
            self.observers.follower.waits(False)

    @property
    def has_found(self) -> bool:
        """Whether the next run comes back at once, as a device has written where somebody watches."""
        return self._stop is not None

    # ---- exceptions that Unicorn leaves to us

    def _raise_unicorn_exception(self, cause: int) -> None:
        insn = self._mmu.fetch(self.env.pc) or 0
        if cause == Cause.ILLEGAL_INSTRUCTION:
            self._take(Cause.ILLEGAL_INSTRUCTION, insn)
            return
        access = memory_access(insn, self.xlen)
        if cause in (Cause.LOAD_MISALIGNED, Cause.STORE_MISALIGNED) and access is not None:
            is_store = access.is_store
            self._take(Cause.STORE_MISALIGNED if is_store else Cause.LOAD_MISALIGNED, self._accesses.address_of(access))
            return
        raise AssertionError(f"Unicorn raised exception {cause} at pc {self.env.pc:#x}")

    def _data_fault(self, kind: Fault, page_va: int | None) -> None:
        """A load or store faulted: ``page_va`` is the page that did, None if the access itself tells."""
        access = self._accesses.access_of(int(self._shared.icount) + 1)
        assert access is not None, f"no memory access at pc {self.env.pc:#x}"
        tval = self._accesses.address_of(access)
        if kind == Fault.ACCESS and access.is_atomic and access.is_store:
            # Unicorn has loaded first, but an AMO is a store before all else
            stored = self._mmu.translate(tval, Access.WRITE, self._mmu.data_mode(), quiet=False)
            kind = Fault.PAGE if stored.fault == Fault.PAGE else kind
        if page_va is not None and tval >> PAGE_BITS != page_va >> PAGE_BITS:
            tval = page_va  # the access began in the page before
        if kind == Fault.PAGE:
            self._take(Cause.STORE_PAGE_FAULT if access.is_store else Cause.LOAD_PAGE_FAULT, tval)
        else:
            self._take(Cause.STORE_ACCESS if access.is_store else Cause.LOAD_ACCESS, tval)

    def _run_to_crossing(self) -> None:
        """Run exactly up to the instruction that crosses into the page which is not plainly there."""
        s = self._shared
        crossing_pc = (int(s.fault_va) & ~(PAGE_SIZE - 1)) - 2 & self.xlen_mask
        start_pa = self._mmu.translate(self.env.pc, Access.FETCH, int(self.env.priv), quiet=True).pa
        s.fault = s.stop_reason = 0
        self._engine.run_until(crossing_pc)
        start = (start_pa & ~(PAGE_SIZE - 1)) - s.ram_base
        if 0 <= start < s.ram_size:  # the blocks made now end at crossing_pc for no reason of the guest's
            self._engine.invalidate_code(start, PAGE_SIZE)
        else:
            self._engine.flush_blocks()
        stopped = self._accesses.exception_cause is not None or self._accesses.is_refused or s.stop_reason
        if stopped or self.env.pc != crossing_pc:
            self._settle()
        else:
            s.stop_reason = Stop.RESYNC  # go on from here

    # ---- breakpoints

    @property
    def is_at_breakpoint(self) -> bool:
        """Whether a run from here on would stop at once for one."""
        s = self._shared
        if self.waiting or (s.mip and interrupt_is_takeable(s.mip, self.env)):
            return False
        return self.breakpoints.would_report(self.pc, self.icount)

    def skip_breakpoint(self) -> None:
        """Let the next run go past a breakpoint where the hart is, as if a run had just stopped for it."""
        self.breakpoints.skip(self.pc, self.icount)

    def _meet_breakpoint(self) -> None:
        pc, icount = self.pc, self.icount
        if self.breakpoints.reports(pc, icount):
            self._stop = HartStop.BREAKPOINT
            if self._woke_icount == icount and not self.has_just_trapped:
                self.waiting = True  # as it is without a breakpoint until it goes on: what woke it may go away
        elif self.triggers.fires(McontrolBit.EXECUTE, pc):
            self._take(Cause.BREAKPOINT, pc)
        else:
            self.breakpoints.go_past(pc, icount)

    # ---- the guest's triggers

    def _meet_trigger(self) -> None:
        """An access to a page with a trigger on it is next: raise the exception, or let it pass."""
        access = self._accesses.access_of(int(self._shared.icount) + 1)
        assert access is not None, f"no memory access at pc {self.env.pc:#x}"
        kinds = McontrolBit.STORE if access.is_store else McontrolBit.LOAD
        if access.is_atomic and access.is_store and not access.is_conditional:
            kinds |= McontrolBit.LOAD
        address = self._accesses.address_of(access)
        if self.triggers.fires(kinds, address):
            self._take(Cause.BREAKPOINT, address)
        else:
            self._passes_trigger = True

    def _pass_trigger(self) -> None:
        """Run the instruction at PC alone, whatever triggers are on the pages it accesses. It ends the slice."""
        s = self._shared
        self._passes_trigger = False
        s.trigger_passed_pc, s.trigger_passed_icount = self.pc, s.icount + 1
        s.step_over = self.pc  # whether the hart executes it itself has been decided
        s.limit = s.icount + 1
        if self._in_python:
            self._prepare_run()
        self._engine.run()
        s.trigger_passed_pc = s.trigger_passed_icount = NOWHERE
        self._engine.flush_tlb()
        self._after_run()

    # ---- instructions that are ours

    def _execute_special(self) -> None:
        s, env = self._shared, self.env
        insn = int(s.special_insn)
        self.flow.arrives()
        forbidden = env.pc if insn == NOWHERE else self._forbidden_by_pmp(2 if insn & 3 != 3 else 4)
        if forbidden is not None:
            self._take(Cause.FETCH_ACCESS, forbidden)
        elif not is_special(env, self.xlen, insn, s.features) or not is_ours_now(
            env, insn, tells_returns=s.tells_returns
        ):
            s.step_over = env.pc
        elif insn in (INSN_SRET, INSN_MRET):
            self._return_from_trap(insn)
        elif insn == INSN_ECALL:
            self._take(Cause.ECALL_FROM_U + env.priv, 0)
        elif insn == INSN_EBREAK and self.on_semihosting is not None and self._is_semihosting_call():
            self._call_semihosting()
        elif insn in (INSN_EBREAK, INSN_C_EBREAK):
            self._take(Cause.BREAKPOINT, env.pc)
        elif insn & 3 != 3:
            self._take(Cause.ILLEGAL_INSTRUCTION, insn)
        elif insn == INSN_WFI:
            if env.priv == PRIV_U or (env.priv == PRIV_S and env.mstatus & MSTATUS_TW):
                self._take(Cause.ILLEGAL_INSTRUCTION, insn)
            else:
                self._retire_special()
                self.waiting = not self.mip & env.mie
        else:
            try:
                if is_floating(insn):
                    from minstret.emu.hart import floating  # where our functions stand in Unicorn's place, never

                    floating.execute(self.core, insn)
                elif is_of_extension(self.xlen, insn, s.features):
                    self._execute_extension(insn)
                    return
                else:
                    csr.execute(self.core, insn)
            except csr.IllegalInstruction:
                self._take(Cause.ILLEGAL_INSTRUCTION, insn)
            else:
                self._retire_special()

    def _execute_extension(self, insn: int) -> None:
        """An instruction that Unicorn does not know: see extensions.py.

        Raises:
            IllegalInstruction: it may not be used here.
        """
        env, x, row = self.env, self._x, extension_insn(insn, self.xlen)
        assert row is not None
        rd, rs1 = insn >> 7 & 31, int(x[insn >> 15 & 31])
        trap = None
        if row.form is not Form.OTHER:
            result = extensions.compute(row.op, rs1, operand(row, insn, int(x[insn >> 20 & 31])), self.xlen)
            if rd:
                x[rd] = result
        elif row.op is Op.WRS_NTO:
            if env.priv < PRIV_M and env.mstatus & MSTATUS_TW:
                raise csr.IllegalInstruction
        elif row.feature is Feature.SVINVAL:  # translations follow the tables at once, so there is nothing to do
            is_trapped = row.op is Op.SINVAL_VMA and env.priv == PRIV_S and env.mstatus & MSTATUS_TVM
            if env.priv < PRIV_S or is_trapped:
                raise csr.IllegalInstruction
        elif row.op is not Op.WRS_STO:
            trap = cacheblocks.execute(self.core, self._mmu, self._accesses, row.op, rs1)
        if trap is None:
            self._retire_special()
        else:
            self._take(*trap)

    def _return_from_trap(self, insn: int) -> None:
        env, is_mret = self.env, insn == INSN_MRET
        if env.priv < (PRIV_M if is_mret else PRIV_S) or (
            not is_mret and env.priv == PRIV_S and env.mstatus & MSTATUS_TSR
        ):
            self._take(Cause.ILLEGAL_INSTRUCTION, insn)
            return
        self.flow.retires(TransferKind.TRAP_RETURN)
        traps.leave_trap(env, self.xlen, is_mret=is_mret)
        self._engine.flush_tlb()
        self._shared.icount += 1
        self._shared.step_over = NOWHERE
        self.observers.returned(is_mret)

    def _is_semihosting_call(self) -> bool:
        pc = int(self.env.pc)
        around = self._mmu.fetch(pc - 4 & self.xlen_mask), self._mmu.fetch(pc + 4 & self.xlen_mask)
        return around == (_SEMIHOSTING_BEFORE, _SEMIHOSTING_AFTER)

    def _call_semihosting(self) -> None:
        assert self.on_semihosting is not None
        x = self.env.x
        result = self.on_semihosting(int(x[_A0]), int(x[_A1]))
        if result is None:
            self._stop = HartStop.BLOCKED
        else:
            x[_A0] = result & self.xlen_mask
            self._retire_special()

    def _retire_special(self) -> None:
        self.flow.retires()
        self.env.pc = (self.env.pc + 4) & self.xlen_mask
        self._shared.icount += 1
        self._shared.step_over = NOWHERE

    def _forbidden_by_pmp(self, size: int) -> int | None:
        """Where PMP does not let the instruction at PC be fetched; each page that it is in is another access.

        Asks only where rights differ within the page: elsewhere the fetch has shown it.
        """
        mmu, mode = self._mmu, int(self.env.priv)
        for at, length in by_page(int(self.env.pc), size):
            if mmu.is_mixed_page(at):
                pa = mmu.translate(at, Access.FETCH, mode, quiet=True).pa
                if mmu.pmp_allows(pa, length, mode) & (Prot.X | Prot.MIXED) != Prot.X:
                    return at & self.xlen_mask
        return None

    # ---- interrupts

    def set_line(self, interrupt: Interrupt, level: bool) -> None:
        """Set the level of an interrupt line into the hart."""
        s, bit = self._shared, 1 << interrupt
        s.lines = s.lines | bit if level else s.lines & ~bit
        self.core.publish_mip()

    # ---- memory, for everybody but the guest

    def read_physical(self, address: int, size: int) -> bytes:
        """Bytes of RAM or ROM.

        Raises:
            AccessFault: some of it is neither.
        """
        data = self.memory.peek(address, size)
        if data is None:
            raise AccessFault(address)
        return data

    def write_physical(self, address: int, data: bytes | memoryview) -> None:
        """Write RAM: the one way in for loader, devices, debugger and restore.

        Drops the translated code and the address translations that came from the old bytes.

        Raises:
            AccessFault: some of it is not RAM.
        """
        self.memory.write(address, data)

    def write_by_device(self, address: int, data: bytes | memoryview, device: str) -> None:
        """The same for a device that masters the bus, or a service: watches that see devices are told.

        Raises:
            AccessFault: some of it is not RAM; nothing was written.
        """
        if self.watches.see_devices and 0 <= address - self.memory.ram_base <= self.memory.ram_size - len(data):
            if self.watches.device_writes(address, data, self.pc, self.icount, device):
                self._stop = HartStop.WATCH
                self.end_slice()
        self.memory.write(address, data)

    def translate(self, va: int, priv: int | None = None) -> int | None:
        """The physical address of ``va`` as loads see it now, for debuggers; None where there is none.

        Args:
            va: Virtual address.
            priv: As loads in that mode see it; by default those that the hart would do next.
        """
        mode = self._mmu.data_mode() if priv is None else priv
        t = self._mmu.translate(va, Access.READ, mode, quiet=True, ignore_accessed=True)
        return t.pa if t.fault == Fault.NONE else None

    def mapped(self, ranges_max: int) -> Mapped:
        """What satp maps, for debuggers: at most so many ranges."""
        return mapped(self._mmu, ranges_max)

    def read_virtual(self, va: int, size: int, priv: int | None = None) -> bytes | None:
        """``size`` bytes at ``va`` as the guest sees them now, or None where some are not there; see ``translate``."""
        data = bytearray()
        for at, length in by_page(va, size):
            pa = self.translate(at & self.xlen_mask, priv)
            piece = None if pa is None else self.memory.peek(pa, length)
            if piece is None:
                return None
            data += piece
        return bytes(data)

    def write_virtual(self, va: int, data: bytes, service: str) -> bool:
        """Write for a service as the guest would store, page by page; False, and no more written, where it may not."""
        mode = self._mmu.data_mode()
        for at, length in by_page(va, len(data)):
            t = self._mmu.translate(at & self.xlen_mask, Access.WRITE, mode, quiet=False)
            if t.fault != Fault.NONE or self.memory.peek(t.pa, length) is None or t.pa < self.memory.ram_base:
                return False
            self.write_by_device(t.pa, data[at - va : at - va + length], service)
        return True

    def answer(self, registers: Registers, base: int, catch_up: Callable[[], None] | None) -> bool:
        """Let C answer accesses to a device's registers at ``base``; whether there is C.

        ``catch_up`` is called before Python does anything else, where C has left something to it.
        """
        if self._in_python:
            return False
        s, address = self._shared, addressof(registers)
        if isinstance(registers, PlicRegisters):
            s.plic, s.plic_base = address, base
        elif isinstance(registers, UartRegisters):
            s.uart, s.uart_base, s.send_kept = address, base, catch_up
        else:
            s.clint, s.clint_base, s.arm_timer = address, base, catch_up
        self._answered = int(s.plic or 0), int(s.uart or 0), int(s.clint or 0)
        return True

    def answers_devices(self, answers: bool) -> None:
        """Whether C answers what it can, as it does but for who must see each access. Between two runs."""
        s = self._shared
        s.plic, s.uart, s.clint = self._answered if answers else (0, 0, 0)

    def cached_register(self, address: int, size: int) -> Callable[[int | None], None]:
        """Let the hart answer reads of a device's register from a value that the device has told it.

        Call what this returns with the value, while reading has no side effect and gives that value each time, and
        with None before that ends. A reset or a restored state does the latter too.

        Args:
            address: Physical address of the register.
            size: Its size, bytes; reads of another size go to the device.
        Raises:
            ConfigError: CACHED_REGISTERS of them exist already.
        """
        s, slot = self._shared, self._cached_registers
        if slot >= CACHED_REGISTERS:
            raise ConfigError(f"there can be {CACHED_REGISTERS} cached registers on a board, and all are in use")
        self._cached_registers += 1
        s.cached_size[slot] = size

        def tell(value: int | None) -> None:
            s.cached_value[slot] = value or 0
            s.cached_address[slot] = 0 if value is None else address

        return tell


def _icount_reader(s: Shared) -> Callable[[], int]:
    """Other threads may read it while code runs."""
    return lambda: (s.icount & ICOUNT_BITS) - s.in_flight
