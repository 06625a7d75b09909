"""What the hart and its callbacks share: one C structure, field by field that of ``_callbacks.c``."""

from __future__ import annotations

import ctypes
from enum import Enum, IntEnum, IntFlag

from minstret.emu.hart.csr_table import PMP_ENTRIES

PAGE_BITS = 12
PAGE_SIZE = 1 << PAGE_BITS
CACHED_REGISTERS = 4
SPECIAL_BITS = 16
SPECIAL_MASK = (1 << SPECIAL_BITS) - 1
DEMOTE_AFTER_WRITES = 256
NOWHERE = (1 << 64) - 1
WORK_MAX = 5_000
"""A slice ends after so much work, in units of a call from C to Python: see ``charge`` in _callbacks.c."""
WORK_OF_INVALIDATION = 20
BYTES_A_CALL = 2048
"""Moving so many takes about as long as a call from C to Python."""


class Counting(Enum):
    """How a hart counts the instructions it retires: always exactly; no digest can tell."""

    BLOCKS = "blocks"  # the normal way
    INSTRUCTIONS = "instructions"  # the reference
    PYTHON = "python"  # the same without a compiler


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


class PageFlag(IntFlag):
    """What a page of guest RAM is used for."""

    CODE = 1  # holds translated instructions
    TABLE = 2  # holds page table entries that were used
    SLOW = 4  # stores are looked at one by one in Python
    DIRTY = 8  # written since the flag was last cleared
    UNDECODED = 16  # holds instructions that did not decode when they were translated


_u64 = ctypes.c_uint64
_pointer = ctypes.c_void_p
_object = ctypes.py_object  # a reference that the structure keeps


class Shared(ctypes.Structure):
    """See ``struct shared`` in _callbacks.c. Counts are instructions, sizes bytes."""

    icount: int
    limit: int
    fast_limit: int
    work_left: int

    _fields_ = (
        ("icount", _u64), ("fast_limit", _u64), ("blocks", _pointer), ("block_pc", _u64), ("block_insns", _u64),
        ("limit", _u64), ("mip", _u64),
        ("stop_reason", _u64), ("resync", _u64), ("step_over", _u64), ("in_system_view", _u64), ("special_insn", _u64),
        ("has_bogus_entry", _u64),
        ("fault", _u64), ("fault_va", _u64), ("fault_type", _u64),
        ("emu_stop", _pointer), ("ctl", _pointer), ("env", _pointer), ("reg_write", _pointer),
        ("xlen_bytes", _u64), ("off_pc", _u64), ("off_priv", _u64), ("off_mstatus", _u64),
        ("off_mie", _u64), ("off_mideleg", _u64), ("off_satp", _u64),
        ("off_mcounteren", _u64), ("off_scounteren", _u64),
        ("off_medeleg", _u64), ("off_mtvec", _u64), ("off_stvec", _u64), ("off_mepc", _u64), ("off_sepc", _u64),
        ("off_mcause", _u64), ("off_scause", _u64), ("off_mtval", _u64), ("off_stval", _u64), ("off_load_res", _u64),
        ("has_trapped", _u64), ("trap_cause", _u64), ("trap_epc", _u64), ("trap_tval", _u64), ("trap_priv", _u64),
        ("trap_icount", _u64), ("traps_in_place", _u64), ("traps_icount", _u64),
        ("has_last", _u64), ("last_code", _u64), ("last_is_interrupt", _u64), ("last_epc", _u64), ("last_tval", _u64),
        ("last_priv", _u64), ("last_icount", _u64), ("exception", _u64),
        ("is_waiting", _u64),
        ("shift", _u64), ("warp_ns", _u64), ("ns_per_tick", _u64), ("time_delta", _u64),
        ("mcycle_offset", _u64), ("minstret_offset", _u64),
        ("io_read", _object), ("io_write", _object), ("slow_read", _object), ("slow_write", _object),
        ("time_written", _object), ("access_fault", _object), ("thread", _pointer),
        ("in_flight", _u64), ("work_left", _u64),
        ("cached_address", _u64 * CACHED_REGISTERS), ("cached_value", _u64 * CACHED_REGISTERS),
        ("cached_size", _u64 * CACHED_REGISTERS),
        ("mtime_address", _u64),
        ("ram", _pointer), ("ram_base", _u64), ("ram_size", _u64),
        ("rom", _pointer), ("rom_base", _u64), ("rom_size", _u64), ("rom_window", _u64),
        ("watch_window", _u64), ("slow_window", _u64), ("io_size", _u64),
        ("io_pages", _pointer), ("page_flags", _pointer), ("code_bits", _pointer), ("special_marks", _pointer),
        ("write_generation", _pointer), ("write_count", _pointer), ("generation", _u64),
        ("pmp_count", _u64), ("pmp_low", _u64 * PMP_ENTRIES),
        ("pmp_high", _u64 * PMP_ENTRIES), ("pmp_cfg", _u64 * PMP_ENTRIES),
        ("fills", _u64), ("flushes", _u64), ("edges", _u64), ("watched_writes", _u64),
        ("invalidations", _u64), ("next_growth", _u64),
        ("block_count", _u64), ("blocks_max", _u64), ("is_device_access", _u64),
        ("must_forget_blocks", _u64),
        ("rewritten_pc", _u64), ("rewritten_icount", _u64), ("rewritten_insn", _u64), ("new_entry", _u64),
        ("cut_pc", _u64), ("cut_size", _u64), ("cut_insns", _u64), ("cut_is_crossing", _u64),
        ("next_cflags", _pointer), ("emu_start", _pointer),
        ("alone", _u64), ("cuts", _u64), ("ambiguous", _u64),
        ("off_f", _u64), ("has_kept_f", _u64), ("kept_f", _u64 * 32),
        ("has_helpers", _u64),
    )  # fmt: skip

    def charge(self, work: int) -> None:
        """Count ``work``, in units of a call from C to Python; the same as ``charge`` in C."""
        if self.work_left > work:
            self.work_left -= work
        else:
            self.work_left = 0
            self.end_slice()

    def resync_after_this_instruction(self) -> None:
        """Find the next block anew: what the current one was found by has changed."""
        self.resync, self.fast_limit = 1, 0

    def end_slice(self) -> None:
        """Let the run end before the next instruction; just after a trap, before the one after that.

        The same as ``end_run_after_this_instruction`` in C: a run that is told to stop at this icount stops before the
        trap, and what comes in there must find the same state.
        """
        has_just_trapped = self.has_last and self.last_icount == self.icount
        self.limit, self.fast_limit = self.icount + bool(has_just_trapped), 0
