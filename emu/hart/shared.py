"""What the hart and its callbacks share: one C structure, and the numbers that both use.

``_contract.h``, which the C files include, is made from this file: see contract.py.
"""

from __future__ import annotations

import ctypes
from bisect import bisect_left
from enum import Enum, IntEnum, IntFlag
from typing import Any

from minstret.emu.hart.csr_table import PMP_ENTRIES

PAGE_BITS = 12
PAGE_SIZE = 1 << PAGE_BITS
CACHED_REGISTERS = 4
TRIGGERS = 2
"""How many triggers the guest has: see triggers.py."""
STALE_PAGES_MAX = 64
"""Of so many pages a hart tells the others that it has overwritten code there; of more it tells that of all."""
WALK_LEVELS, WALKS = 2, 16
"""Levels of page tables, and tables of each, that a hart keeps in mind: see translate in _callbacks.c."""
SPECIAL_BITS = 16
SPECIAL_MASK = (1 << SPECIAL_BITS) - 1
ICOUNT_BITS = (1 << 63) - 1
"""The count in ``icount``; another thread may see the highest bit set while code runs: see _counting.h."""
DEMOTE_AFTER_WRITES = 256
NOWHERE = (1 << 64) - 1
"""No address: ``step_over`` where nothing is, ``fault_va`` where the access itself tells."""
NEVER = 1
"""An odd address: no PC ever reaches it."""
CTL_TB_REQUEST_CACHE = 8 | 2 << 26 | 3 << 30
CTL_TB_REMOVE_CACHE = 9 | 2 << 26 | 1 << 30
CTL_TB_FLUSH = 10 | 1 << 30
CTL_TLB_FLUSH = 11 | 1 << 30
"""What ``uc_ctl`` takes: command, number of arguments << 26, direction << 30."""
WORK_MAX = 5_000
"""A slice ends after this much work, in units of a call from C to Python: see ``charge`` in _callbacks.c."""
WORK_OF_INVALIDATION = 20
TRAP_LOOP_TRAPS = 1000
"""This many traps without a retired instruction is a trap loop."""
BYTES_A_CALL = 2048
"""Moving this many bytes takes about as long as a call from C to Python."""


class Counting(Enum):
    """How a hart counts the instructions it retires: always exactly; no digest can tell."""

    CODE = "code"  # the normal way: by blocks, in the code that Unicorn makes; BLOCKS where that can't be had
    BLOCKS = "blocks"  # by a callback before each block
    INSTRUCTIONS = "instructions"  # the reference
    PYTHON = "python"  # the same without a compiler

    @property
    def is_by_blocks(self) -> bool:
        """Whether whole blocks are counted, so that there is a table of them."""
        return self in (Counting.CODE, Counting.BLOCKS)


class Prot(IntFlag):
    """Rights to memory, Unicorn's numbers; MIXED where they differ within the piece asked for."""

    R = 1
    W = 2
    X = 4
    MIXED = 8


class Access(IntEnum):
    """What a TLB fill is for, Unicorn's numbers."""

    READ = 16
    WRITE = 17
    FETCH = 18


class Fault(IntEnum):
    """Why a TLB fill failed."""

    NONE = 0
    PAGE = 1
    ACCESS = 2
    CROSSING = 3  # translation of a block ran into a page that is not plainly there
    COMPANY = 4  # none: the access must be alone in its block. Only the C callbacks use it
    TRIGGER = 5  # an access to a page with a trigger of the guest's, which may fire


class Stop(IntEnum):
    """Why a callback ended the run of translated code."""

    NONE = 0
    LIMIT = 1
    INTERRUPT = 2
    SPECIAL = 3  # the hart executes the next instruction itself
    RESYNC = 4
    FAULT = 5
    EXCEPTION = 6
    ALONE = 7  # an access has to be alone in its block; `run` in _callbacks.c sees to it
    FULL = 8  # no room for another block: the same
    TRAP_LOOP = 9
    ERROR = 10  # Python raised an exception
    WAITING = 11
    BREAKPOINT = 12  # before an instruction on the list of break_pcs
    TRIGGER = 13  # before an access to a page with a trigger of the guest's


class PageFlag(IntFlag):
    """What a page of guest RAM is used for."""

    CODE = 1  # holds translated instructions
    TABLE = 2  # holds page table entries that were used
    SLOW = 4  # loads and stores are looked at one by one: see watches.py
    DIRTY = 8  # written since the flag was last cleared
    UNDECODED = 16  # holds instructions that did not decode when they were translated


class Asked(IntFlag):
    """What is asked of flow.py."""

    COUNTS = 1
    CALLS = 2
    PATH = 4


class TransferKind(IntEnum):
    """What an instruction that has retired is to who follows calls."""

    NONE = 0
    CALL = 1
    RETURN = 2
    SWAP = 3  # a return, then a call
    TRAP_RETURN = 4
    START = 5  # none: what came before is not known


U64 = ctypes.c_uint64
_PMP = U64 * PMP_ENTRIES
_CACHED = U64 * CACHED_REGISTERS

LAYOUT: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...] = (
    ("Counting. `blocks` is the table of blocks, NULL where instructions are counted one by one; `block_pc` and"
     " `block_insns` tell the block that was last started, 1 instruction when they are counted one by one.", (
        ("icount fast_limit", U64),
        ("blocks", "struct block *@"),
        ("block_pc block_insns limit mip", U64),
        ("stop_reason resync step_over in_system_view special_insn has_bogus_entry", U64),
    )),
    ("What the hart has beside the base: bits of Feature, see cpu.py. Never changes.", (("features", U64),)),
    ("The fault that ended a run.", (("fault fault_va fault_type", U64),)),
    ("Unicorn: its functions, its CPU state, and where in that state what is.", (
        ("emu_stop", "int (*@)(void *)"),
        ("ctl", "int (*@)(void *, int, ...)"),
        ("env", "uint8_t *@"),
        ("reg_write", "int (*@)(void *, int, const void *)"),
        ("xlen_bytes off_pc off_priv off_mstatus off_mie off_mideleg off_satp off_mcounteren off_scounteren", U64),
        ("off_medeleg off_mtvec off_stvec off_mepc off_sepc off_mcause off_scause off_mtval off_stval", U64),
        ("off_load_res", U64),
    )),
    ("The last exception at another instruction than the one before it, and how many came at one in a row.", (
        ("has_trapped trap_cause trap_epc trap_tval trap_priv trap_icount traps_in_place traps_icount", U64),
        ("trap_ra trap_sp trap_fp", U64),
    )),
    ("The last trap of any kind.", (
        ("has_last last_code last_is_interrupt last_epc last_tval last_priv last_icount last_ra last_sp last_fp", U64),
    )),
    ("Unicorn's exception, when a run ended with one; and whether the hart waits since a WFI.", (
        ("exception is_waiting", U64),
    )),
    ("Counters, which are functions of icount: see counter_at.", (
        ("shift warp_ns ns_per_tick time_delta mcycle_offset minstret_offset", U64),
    )),
    ("CSRs since version 1.12 of the privileged specification, and Sstc's. A counter that mcountinhibit stops has its"
     " value in its offset alone.", (("menvcfg senvcfg mcountinhibit stimecmp", U64),)),
    ("What Python does: devices, and stores that are looked at one by one.", (
        ("io_read io_write slow_read slow_write time_written access_fault", "PyObject *@"),
    )),
    ("`thread` while Python's lock is given up; `in_flight` is 1 while Python works at an access: its instruction is"
     " counted, but has not retired; `work_left` until the run ends, in units of a call to Python: see charge.", (
        ("thread", "PyThreadState *@"),
        ("in_flight work_left", U64),
    )),
    ("Registers of devices that read the same until their device says otherwise, and mtime; address 0: none.", (
        ("cached_address cached_value cached_size", _CACHED),
        ("mtime_address", U64),
    )),
    ("Guest memory. What is known of a page is the same for all harts.", (
        ("ram", "uint8_t *@"),
        ("ram_base ram_size", U64),
        ("rom", "uint8_t *@"),
        ("rom_base rom_size rom_window watch_window slow_window io_size", U64),
        ("io_pages page_flags code_bits", "uint8_t *@"),
    )),
    ("What this hart knows of memory: where its special instructions are; for each page the `generation` of its TLB in"
     " which it could store there unwatched, and how many stores to it were watched.", (
        ("special_marks", "uint8_t *@"),
        ("write_generation", "uint32_t *@"),
        ("write_count", "uint16_t *@"),
        ("generation", U64),
    )),
    ("What this hart's guest has made stale of what other harts have derived from memory, since they were last told:"
     " how often their address translations; and from which pages of RAM, by number, the code that they have"
     " translated. More of them than STALE_PAGES_MAX: all their code.", (
        ("stale_tlbs stale_page_count", U64),
        ("stale_pages", U64 * STALE_PAGES_MAX),
    )),
    ("Tables of the lowest WALK_LEVELS levels that walks went through, WALKS of each: for addresses that begin how,"
     " under which satp, and in which generation of the TLB, flushed where a table changes. C alone has them.", (
        ("walk_prefixes walk_satps walk_generations walk_tables", U64 * (WALK_LEVELS * WALKS)),
    )),
    ("PMP: [low, high) and configuration of each active entry, in order of priority.", (
        ("pmp_count", U64),
        ("pmp_low pmp_high pmp_cfg", _PMP),
    )),
    ("Statistics; and so many fills after the last flush the TLB may be too small.", (
        ("fills flushes edges watched_writes invalidations", U64),
        ("next_growth", U64),
    )),
    ("Counting by blocks. With `blocks_max` of them all are dropped; `must_forget_blocks` before the next instruction."
     " The last instruction under way when code was written. `new_entry` is the page table entry, by its offset in RAM,"
     " that was last made and not yet used.", (
        ("block_count blocks_max is_device_access must_forget_blocks", U64),
        ("rewritten_pc rewritten_icount rewritten_insn new_entry", U64),
    )),
    ("The shortened block that was asked for, `cut_insns` 0: none; and whether that was to end it before a page that is"
     " not there, so that special instructions may be in it. `next_cflags` is Unicorn's: how many instructions the next"
     " block may have.", (
        ("cut_pc cut_size cut_insns cut_is_crossing", U64),
        ("next_cflags", "uint32_t *@"),
        ("emu_start", "int (*@)(void *, uint64_t, uint64_t, uint64_t, size_t)"),
        ("alone cuts ambiguous", U64),
    )),
    ("The floating point registers as they were before an access that is left undone: see keep_floats.", (
        ("off_f has_kept_f", U64),
        ("kept_f", U64 * 32),
    )),
    ("Whether our functions stand in Unicorn's place; and for which extensions, bits of Feature, its translator then"
     " makes code: see _helpers.c.", (("has_helpers translated", U64),)),
    ("Whether blocks count themselves, in the code that Unicorn makes: see _counting.h. What that needs: the engine and"
     " its CPU, functions that tell which blocks may, and whether the access to a CSR or the return that ends one is"
     " left to Python, that read a counter there, and take an exception. How often a block called for help, and the"
     " icount that was counted when one last did.", (
        ("counts_in_code engine cpu", U64),
        ("counts_itself", "bool (*@)(void *, struct shared *, uint64_t, uint64_t, uint64_t)"),
        ("leaves_access", "bool (*@)(void *, struct shared *, uint64_t, uint64_t, uint64_t)"),
        ("leaves_return", "bool (*@)(void *, struct shared *, uint64_t)"),
        ("reads_counter", "bool (*@)(void *, struct shared *, uint64_t, uint64_t *)"),
        ("trap_at_end", "void (*@)(void *, struct shared *, uint64_t)"),
        ("looks looked_icount", U64),
    )),
    ("Fills the TLB for a load or store, where that needs no PC: see _tlb.c.", (
        ("fill_plainly", "void *@"),
    )),
    ("Addresses before which the run stops, in rising order; and the place (pc and icount) where it goes on all the"
     " same: see breakpoints.py.", (
        ("break_pcs", "const uint64_t *@"),
        ("break_count passed_pc passed_icount", U64),
    )),
    ("What somebody watches in RAM, with a margin: from and to which offset, for one range after the other, those first"
     " of which loads are watched. Accesses to the same pages that are not near need not come to Python: see"
     " watches.py.", (
        ("watch_edges", "const uint64_t *@"),
        ("watch_count watch_load_count", U64),
    )),
    ("Virtual pages, by number, on which a load or store may fire a trigger of the guest's; and the place of the"
     " instruction that goes there all the same: see triggers.py.", (
        ("trigger_page_count", U64),
        ("trigger_pages", U64 * TRIGGERS),
        ("trigger_passed_pc trigger_passed_icount", U64),
    )),
    ("Whether each trap is told to `on_trap`, once it is taken, with the privilege that data accesses had before.", (
        ("logs_traps", U64),
        ("on_trap", "PyObject *@"),
    )),
    ("Whether the hart executes each MRET and SRET itself, as somebody is told of them.", (("tells_returns", U64),)),
    ("The hart's interrupt lines that are up, and the bits of mip that the guest has written.", (
        ("lines soft_mip", U64),
    )),
    ("Registers of devices that C answers, NULL: Python does. `send_kept` and `arm_timer` are to be called before"
     " Python does anything, where C has kept what the guest sent, or set a timer: see _chips.h.", (
        ("plic", "struct plic *@"),
        ("uart", "struct uart *@"),
        ("clint", "struct clint *@"),
        ("plic_base uart_base clint_base", U64),
        ("send_kept arm_timer", "PyObject *@"),
    )),
    ("Who follows where instructions went, NULL: nobody; then `key_salt` is 0, else FLOW_KEY: see on_block.", (
        ("flow", "struct flow *@"),
        ("key_salt", U64),
    )),
)  # fmt: skip
"""The fields of the structure: groups of what they are for, names, and their type.

A type is one of ctypes, or a pointer as C declares it, ``@`` standing for the name. Counts are instructions, sizes
bytes, ``is_`` and ``has_`` are 0 or 1.
"""


def _ctype(kind: Any) -> Any:
    if not isinstance(kind, str):
        return kind
    return ctypes.py_object if kind.startswith("PyObject") else ctypes.c_void_p  # the former keeps a reference


FIELDS = tuple((name, kind) for _, group in LAYOUT for names, kind in group for name in names.split())
"""Name and type of each field, in order."""


class Shared(ctypes.Structure):
    """One hart's side of what is shared: ``struct shared`` in C."""

    icount: int
    limit: int
    features: int
    fast_limit: int
    work_left: int
    stale_tlbs: int
    stale_page_count: int
    stale_pages: Any

    _fields_ = [(name, _ctype(kind)) for name, kind in FIELDS]

    def charge(self, work: int) -> None:
        """Count ``work``, in units of a call from C to Python; the same as ``charge`` in C."""
        if self.work_left > work:
            self.work_left -= work
        else:
            self.work_left = 0
            self.end_slice()

    def code_is_stale(self, page: int) -> None:
        """The other harts have to forget the code they have translated from ``page``; the same as in C."""
        self.stale_tlbs += 1
        count = self.stale_page_count
        if count > STALE_PAGES_MAX or page in self.stale_pages[:count]:
            return
        if count < STALE_PAGES_MAX:
            self.stale_pages[count] = page
        self.stale_page_count += 1

    def all_code_is_stale(self) -> None:
        """The other harts have to forget all code they have translated."""
        self.stale_tlbs += 1
        self.stale_page_count = STALE_PAGES_MAX + 1

    def is_break_pc(self, pc: int) -> bool:
        """Whether ``pc`` is on the list of addresses before which the run stops."""
        if not self.break_count:
            return False
        pcs = (ctypes.c_uint64 * self.break_count).from_address(self.break_pcs)
        at = bisect_left(pcs, pc)
        return at < self.break_count and bool(pcs[at] == pc)

    def must_break(self, pc: int) -> bool:
        """Whether the run stops before the instruction at ``pc``, which is the next one."""
        is_passed = self.passed_pc == pc and self.passed_icount == self.icount
        return not is_passed and self.is_break_pc(pc)

    def resync_after_this_instruction(self) -> None:
        """Find the next block anew: what the current one was found by has changed."""
        self.resync, self.fast_limit = 1, 0

    def end_slice(self) -> None:
        """Let the run end before the next instruction; just after a trap, before the one after that.

        The same as ``end_run_after_this_instruction`` in C: a run that is told to stop at this icount stops before the
        trap, and what comes in there must find the same state. May be called in another thread than the run's.
        """
        icount = self.icount & ICOUNT_BITS
        has_just_trapped = self.has_last and self.last_icount == icount
        self.limit, self.fast_limit = icount + bool(has_just_trapped), 0
