"""Unicorn, with our callbacks registered and its memory laid out. Knows no RISC-V beyond that.

The "physical" addresses Unicorn sees are ours to choose: RAM at its own address, then two windows of the
same size through which stores to RAM become callbacks, and devices as one MMIO region. The guest can reach
none of it but through ``on_tlb_fill``.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import cache, partial
from typing import Any

from minstret.emu.bus import Bus
from minstret.emu.errors import AccessFault, HostError
from minstret.emu.hart import binding, contract, helpers, layout
from minstret.emu.hart.binding import Uc, uclib
from minstret.emu.hart.callbacks import ON_MMIO_READ, ON_MMIO_WRITE, CallbackSet, PythonCallbacks
from minstret.emu.hart.compiled import c_callbacks
from minstret.emu.hart.cpu import Cpu
from minstret.emu.hart.memory import GuestMemory, PageNotes, address_of, area
from minstret.emu.hart.mmu import Mmu
from minstret.emu.hart.shared import (
    CTL_TB_FLUSH,
    CTL_TB_REMOVE_CACHE,
    CTL_TLB_FLUSH,
    FIELDS,
    NEVER,
    NOWHERE,
    PAGE_BITS,
    PAGE_SIZE,
    STALE_PAGES_MAX,
    WORK_MAX,
    WORK_OF_INVALIDATION,
    Counting,
    PageFlag,
    Shared,
    Stop,
)

_A0 = 10
_TRIAL = b"".join(insn.to_bytes(4, "little") for insn in (0x0040006F, 0x100522AF, 0x0000006F))
"""j .+4; lr.w t0, (a0); j ."""
_TRANSLATOR_SIZE = (1 << 30) + (64 << 20)
"""What Unicorn maps for translated code, and something for all else it needs, bytes."""
_RWX = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC

_ON_INTERRUPT = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p)

# (watch window, slow window, ROM window): on rv32 all has to fit below 4 GiB.
_WINDOWS = {32: (0x4000_0000, 0xC000_0000, 0x3FF0_0000), 64: (1 << 40, 1 << 41, 1 << 42)}
RAM_MAX = {32: 0x4000_0000, 64: 1 << 38}
IO_SIZE = 0x3FF0_0000


@cache
def _check_contract() -> None:
    """Raise HostError where the C callbacks were built from other sources than these."""
    names, values = getattr(c_callbacks, "CONTRACT_NAMES", ""), getattr(c_callbacks, "CONTRACT_VALUES", b"")
    contract.check(contract.CALLBACKS, names, values)


def _function_address(name: str) -> int:
    return ctypes.cast(getattr(uclib, name), ctypes.c_void_p).value or 0


def _check_room() -> None:
    """Map once what Unicorn will, as it ends the process, with a status of the guest's, where that is refused.

    Raises:
        HostError: it is.
    """
    try:
        mmap.mmap(-1, _TRANSLATOR_SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, _RWX).close()
    except OSError as error:
        raise HostError(
            f"no room for translated code, 1 GiB of address space: {error.strerror}; see ulimit -v"
        ) from None


class Engine:
    """One Unicorn engine for one hart."""

    def __init__(
        self,
        cpu: Cpu,
        memory: GuestMemory,
        handlers: EngineHandlers,
        *,
        counting: Counting = Counting.CODE,
    ) -> None:
        self.cpu = cpu
        self.xlen = xlen = cpu.xlen
        self.counting = counting if c_callbacks is not None else Counting.PYTHON
        self.memory = memory
        self.notes = PageNotes(memory.ram_size)
        self._has_stale_tlb = self._is_all_code_stale = False
        self._stale_pages: set[int] = set()
        _check_room()
        self._uc = Uc(xlen)
        live = layout.find_live_state(self._uc, xlen)
        self.env: Any = live.env
        self._engine_address = layout.engine_address(self._uc)
        self._uch = ctypes.c_void_p(self._engine_address)
        self.shared = Shared()
        self._error: BaseException | None = None
        self._keep: list[Any] = []
        self._fill_shared(live)
        self.mmu = Mmu(self.shared, self.env, memory, self.notes, self.flush_tlb)
        self.callbacks = self._choose_callbacks()
        if self.counting.is_by_blocks:
            self._make_block_table()
        self._map(handlers)
        self._add_hooks(handlers)
        self._warm_up()
        memory.attach(self)

    # ---- running

    def run(self) -> int:
        """Run translated code from ``env.pc`` until something wants attention; Unicorn's error code."""
        if self.counting is Counting.PYTHON:
            return self.run_until(NEVER)
        return int(c_callbacks.run(self._shared_address, self._engine_address))

    def runner(self) -> Callable[[], int]:
        """What does the same as ``run``, and takes less."""
        if self.counting is Counting.PYTHON:
            return self.run
        return partial(c_callbacks.run, self._shared_address, self._engine_address)

    def run_until(self, until: int) -> int:
        """The same, or up to the instruction at ``until``. For the Python callbacks alone."""
        code = uclib.uc_emu_start(
            self._uch, ctypes.c_uint64(self.env.pc), ctypes.c_uint64(until), ctypes.c_uint64(0), ctypes.c_size_t(0)
        )
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return int(code)

    def stop(self) -> None:
        """End the run: before the next instruction, or, within an access, leaving it undone."""
        uclib.uc_emu_stop(self._uch)

    # ---- what was derived from memory

    def flush_tlb(self) -> None:
        """Forget all address translations."""
        uclib.uc_ctl(self._uch, ctypes.c_int(CTL_TLB_FLUSH))
        self.shared.generation += 1
        self.shared.flushes += 1

    def flush_blocks(self) -> None:
        """Forget all translated blocks, and where they were special."""
        uclib.uc_ctl(self._uch, ctypes.c_int(CTL_TB_FLUSH))
        self.shared.must_forget_blocks = 0
        self.notes.special_marks[:] = bytes(len(self.notes.special_marks))
        if self.shared.block_count:
            ctypes.memset(self.shared.blocks, 0, c_callbacks.BLOCK_TABLE_BYTES)
            self.shared.block_count = 0

    def code_was_written(self, offset: int, size: int) -> None:
        """Forget the blocks made of RAM ``[offset, offset + size)``, within one page, before the next instruction."""
        flags, page = self.memory.page_flags, offset >> PAGE_BITS
        if flags[page] & PageFlag.UNDECODED:  # all blocks go, which can't be done while one of them runs
            self.shared.must_forget_blocks = 1
            self.shared.all_code_is_stale()
        else:
            self.invalidate_code(offset, size)
            self.shared.code_is_stale(page)
        flags[page] &= ~PageFlag.UNDECODED & 0xFF

    def drop_code(self, offset: int, size: int, is_undecoded: bool) -> None:
        """See DerivedFromMemory: somebody beside the guest has written."""
        if is_undecoded:
            self.shared.must_forget_blocks = 1
        else:
            self.invalidate_code(offset, size)
        self.shared.charge(WORK_OF_INVALIDATION)
        self.shared.resync_after_this_instruction()

    def drop_translations(self) -> None:
        """See DerivedFromMemory."""
        self.flush_tlb()
        self.shared.resync_after_this_instruction()

    def tell_what_is_stale(self) -> None:
        """Tell the other harts whether the guest has made stale, since the last call, what they derived from memory."""
        s = self.shared
        if s.stale_tlbs:
            count = s.stale_page_count
            self.memory.is_stale(self, s.stale_pages[:count] if count <= STALE_PAGES_MAX else None)
            s.stale_tlbs = s.stale_page_count = 0

    def became_stale(self, code_pages: Iterable[int] | None) -> None:
        """See DerivedFromMemory."""
        self._has_stale_tlb = True
        if code_pages is None:
            self._is_all_code_stale = True
        else:
            self._stale_pages.update(code_pages)

    def catch_up(self) -> None:
        """Forget what the guests of other harts have made stale."""
        self.shared.new_entry = NOWHERE
        if not self._has_stale_tlb:
            return
        if self._is_all_code_stale:
            self.flush_blocks()
        else:
            for page in sorted(self._stale_pages):
                self.invalidate_code(page << PAGE_BITS, PAGE_SIZE)
        self.flush_tlb()
        self._has_stale_tlb = self._is_all_code_stale = False
        self._stale_pages.clear()

    def invalidate_code(self, offset: int, size: int) -> None:
        """Forget the translated blocks of RAM ``[offset, offset + size)``."""
        start = self.shared.ram_base + offset
        self.shared.in_system_view = 1
        self.flush_tlb()
        uclib.uc_ctl(
            self._uch, ctypes.c_int(CTL_TB_REMOVE_CACHE), ctypes.c_uint64(start), ctypes.c_uint64(start + size)
        )
        self.shared.in_system_view = 0
        self.flush_tlb()
        self.shared.invalidations += 1

    # ---- set-up

    def _fill_shared(self, live: layout.LiveState) -> None:
        s, at = self.shared, layout.offsets(self.xlen)
        s.emu_stop, s.ctl = _function_address("uc_emu_stop"), _function_address("uc_ctl")
        s.reg_write, s.emu_start = _function_address("uc_reg_write"), _function_address("uc_emu_start")
        s.env, s.xlen_bytes, s.next_cflags = live.address, self.xlen // 8, live.next_cflags
        s.engine, s.cpu = self._engine_address, live.cpu
        for name, _ in FIELDS:
            if name.startswith("off_"):
                setattr(s, name, at[name.removeprefix("off_")])
        s.watch_window, s.slow_window, s.rom_window = _WINDOWS[self.xlen]
        s.io_size, s.generation, s.step_over, s.block_insns = IO_SIZE, 1, NOWHERE, 1
        s.new_entry, s.features = NOWHERE, self.cpu.features
        self._shared_address = ctypes.addressof(s)
        self.memory.bind(s)
        self.notes.bind(s)

    def _choose_callbacks(self) -> CallbackSet:
        if self.counting is Counting.PYTHON:
            return PythonCallbacks(self.mmu, self.stop, self.code_was_written, self._guard).callback_set()
        _check_contract()
        names = (field.name for field in fields(CallbackSet) if field.name != "keep")
        return CallbackSet(*(getattr(c_callbacks, name) for name in names))

    def _make_block_table(self) -> None:
        self._blocks = area(c_callbacks.BLOCK_TABLE_BYTES)
        self.shared.blocks = address_of(self._blocks)
        self.shared.blocks_max = c_callbacks.BLOCKS_MAX
        for name in ("counts_itself", "leaves_access", "leaves_return", "reads_counter", "trap_at_end", "fill_plainly"):
            setattr(self.shared, name, getattr(c_callbacks, name))

    def _guard(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Keep an exception for ``run`` to raise: Unicorn would drop it."""

        def guarded(*args: Any) -> Any:
            try:
                return function(*args)
            except BaseException as error:
                if self._error is None:
                    self._error = error
                self.stop()
                return 0

        return guarded

    def _map(self, handlers: EngineHandlers) -> None:
        memory, s, callbacks = self.memory, self.shared, self.callbacks
        self._map_memory(memory.ram_base, memory.ram_size, memory.ram)
        self._map_memory(s.rom_window, max(memory.rom_size, PAGE_SIZE), memory.rom)
        self._map_mmio(s.watch_window, memory.ram_size, callbacks.on_watched_read, callbacks.on_watched_write)
        if self.counting is Counting.PYTHON:
            slow = self._thunks(handlers.slow_read, handlers.slow_write)
            io = self._thunks(handlers.io_read, handlers.io_write)
        else:
            slow = callbacks.on_slow_read, callbacks.on_slow_write
            io = callbacks.on_io_read, callbacks.on_io_write
            s.access_fault, s.time_written = AccessFault, handlers.time_written
            s.io_read, s.io_write = handlers.bus.read, handlers.bus.write
            s.slow_read, s.slow_write = handlers.slow_read, handlers.slow_write
        self._map_mmio(s.slow_window, memory.ram_size, *slow)
        self._map_mmio(0, IO_SIZE, *io)

    def _thunks(self, read: Callable[[int, int], int], write: Callable[[int, int, int], None]) -> tuple[int, int]:
        on_read = ON_MMIO_READ(self._guard(lambda uc, offset, size, data: read(offset, size)))
        on_write = ON_MMIO_WRITE(self._guard(lambda uc, offset, size, value, data: write(offset, size, value)))
        self._keep += [on_read, on_write]
        return tuple(ctypes.cast(f, ctypes.c_void_p).value or 0 for f in (on_read, on_write))  # type: ignore[return-value]

    def _map_memory(self, base: int, size: int, view: memoryview) -> None:
        binding.check(
            uclib.uc_mem_map_ptr(
                self._uch, ctypes.c_uint64(base), ctypes.c_size_t(size), ctypes.c_uint32(7),
                ctypes.c_void_p(address_of(view)),
            )
        )  # fmt: skip

    def _map_mmio(self, base: int, size: int, read: int, write: int) -> None:
        shared = ctypes.byref(self.shared)
        binding.check(
            uclib.uc_mmio_map(
                self._uch, ctypes.c_uint64(base), ctypes.c_size_t(size),
                ctypes.c_void_p(read), shared, ctypes.c_void_p(write), shared,
            )
        )  # fmt: skip

    def _add_hooks(self, handlers: EngineHandlers) -> None:
        uclib.uc_ctl(self._uch, ctypes.c_int(binding.CTL_SET_TLB_MODE), ctypes.c_int(binding.TLB_VIRTUAL))
        on_exception = self.callbacks.on_exception
        if not on_exception:
            thunk = _ON_INTERRUPT(self._guard(lambda uc, cause, data: handlers.exception(cause)))
            self._keep.append(thunk)
            on_exception = ctypes.cast(thunk, ctypes.c_void_p).value or 0
        count, on_count = binding.HOOK_CODE, self.callbacks.on_instruction
        if self.counting.is_by_blocks:
            is_in_code = self.counting is Counting.CODE
            count = binding.HOOK_BLOCK
            on_count = self.callbacks.on_uncounted_block if is_in_code else self.callbacks.on_block
        for kind, address in (
            (binding.HOOK_TLB_FILL, self.callbacks.on_tlb_fill),
            (count, on_count),
            (binding.HOOK_EDGE_GENERATED, self.callbacks.on_new_block),
            (binding.HOOK_INTR, on_exception),
        ):
            handle = ctypes.c_size_t()
            binding.check(
                uclib.uc_hook_add(
                    self._uch, ctypes.byref(handle), ctypes.c_int(kind), ctypes.c_void_p(address),
                    ctypes.byref(self.shared), ctypes.c_uint64(1), ctypes.c_uint64(0),
                )
            )  # fmt: skip

    def _warm_up(self) -> None:
        """Try the engine: does it count and stop exactly, announce blocks, keep the reservation where we look?

        Unicorn announces every block but the first it ever executes, which is why this has to be done anyway.
        """
        memory, s, env = self.memory, self.shared, self.env
        kept = [(view, bytes(view[:size])) for view, size in (
            (memory.ram, PAGE_SIZE), (memory.code_bits, PAGE_SIZE // 16), (memory.page_flags, 2))]  # fmt: skip
        memory.ram[: len(_TRIAL)] = _TRIAL
        for limit in (1, 3, 2):
            env.pc = env.x[_A0] = memory.ram_base
            s.icount, s.limit, s.fast_limit, s.stop_reason = 0, limit, limit, Stop.NONE
            s.work_left = WORK_MAX
            self.flush_blocks()
            self.flush_tlb()
            self.run()
            if s.stop_reason != Stop.LIMIT or s.icount != limit:
                raise HostError("Unicorn does not count and stop exactly here")
        # Of the blocks all but the very first. By blocks the last run cuts one in two.
        if s.edges != (8 if self.counting.is_by_blocks else 6):
            raise HostError("Unicorn does not announce new blocks here")
        if env.load_res != memory.ram_base or env.load_val != int.from_bytes(_TRIAL[:4], "little"):
            raise layout.refusal("the reservation")
        if self.counting is not Counting.PYTHON:
            self.flush_blocks()
            helpers.use(self.xlen, env, s, memory.ram, self.run, translates=self.counting.is_by_blocks)
        if self.counting is Counting.CODE:
            self.flush_blocks()
            if not helpers.count_in_code(self.xlen, env, s, memory.ram, self.run, self.flush_tlb):
                self.counting = Counting.BLOCKS
        for view, before in kept:  # another hart may run on this memory already
            view[: len(before)] = before
        self.flush_blocks()
        self.flush_tlb()
        s.icount = s.looked_icount = s.looks = s.edges = s.fills = s.flushes = s.stale_tlbs = s.stale_page_count = 0
        s.stop_reason = Stop.NONE


class EngineHandlers:
    """What the engine calls back for, beside the fast callbacks. The hart implements it."""

    bus: Bus

    def io_read(self, address: int, size: int) -> int:
        raise NotImplementedError

    def io_write(self, address: int, size: int, value: int) -> None:
        raise NotImplementedError

    def slow_read(self, offset: int, size: int) -> int:
        raise NotImplementedError

    def slow_write(self, offset: int, size: int, value: int) -> None:
        raise NotImplementedError

    def time_written(self) -> None:
        """mtime may have been stored to."""
        raise NotImplementedError

    def exception(self, cause: int) -> None:
        raise NotImplementedError
