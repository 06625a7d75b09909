"""Our functions in Unicorn's place: whether they can be had here, and their trial.

Without them a hart does the same, slower: what Unicorn does wrong are then instructions of its own (floating.py).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any

from minstret.emu.errors import HostError
from minstret.emu.hart import contract
from minstret.emu.hart.binding import ENVIRONMENT, library, why_not
from minstret.emu.hart.shared import Shared, Stop

# f0 has a signaling NaN, f1 1.0, which is no boxed single, f2 infinity, f3 zero, f4 a quiet NaN; a6 a single, 1.0.
_TRIAL_F = (0x7FF4 << 48, 0x3FF0 << 48, 0x7FF0 << 48, 0, 0x7FF8 << 48)
_ONE_S, _FS_INITIAL = 0x3F800000, 1 << 13
_A0, _A1, _A2, _A3, _A4, _A5, _A6, _A7 = range(10, 18)
_TRIAL = (
    0x00101073,  # csrw fflags, zero: makes FS Dirty
    0x300025F3,  # csrr a1, mstatus
    0x30053073,  # csrc mstatus, a0: makes it Initial
    0xA2002653,  # feq.d a2, ft0, ft0: invalid, which makes it Dirty
    0x300026F3,  # csrr a3, mstatus
    0x00101773,  # csrrw a4, fflags, zero
    0x22310343,  # fmadd.d ft6, ft2, ft3, ft4, rne: invalid
    0x001027F3,  # csrr a5, fflags
    0x2A1002D3,  # fmin.d ft5, ft0, ft1: 1.0
    0x201083D3,  # fsgnj.s ft7, ft1, ft1: the canonical NaN, boxed
    0xF0080453,  # fmv.w.x fs0, a6: 1.0, boxed
    0x008404D3,  # fadd.s fs1, fs0, fs0, rne: 2.0, boxed
    0xE0009853,  # fclass.s a6, ft1: a quiet NaN
    0x100028F3,  # csrr a7, sstatus
)
_NV, _IS_QUIET_NAN = 1 << 4, 1 << 9
_BOX = 0xFFFFFFFF << 32
_RESULTS_F = (0x3FF0 << 48, 0x7FF8 << 48, _BOX | 0x7FC00000, _BOX | _ONE_S, _BOX | 0x40000000)  # ft5 to fs1
_DIRTY, _UXL = 3 << 13, 2 << 32


def _check() -> HostError | None:
    """What is wrong with the library, where it was built from other sources than these."""
    if library is None:
        return None
    try:
        library.minstret_contract_names.restype = library.minstret_contract_values.restype = ctypes.c_void_p
        names = ctypes.string_at(library.minstret_contract_names()).decode().strip()
        values = ctypes.string_at(library.minstret_contract_values(), 8 * len(names.split()))
        library.minstret_knows_registers.restype = ctypes.c_bool
    except AttributeError:
        names, values = "", b""
    try:
        contract.check(contract.HELPERS, names, values)
    except HostError as error:
        return error
    return None


_stale = _check()
_problem = dict.fromkeys((64, 32), "built from another version of minstret" if _stale is not None else why_not)
_tried: set[int] = set()


def problem(xlen: int) -> str:
    """Why the functions are not in use, or nothing where they are. The first engine of a width tries them."""
    if os.environ.get(ENVIRONMENT) == "off":
        return f"{ENVIRONMENT} is off"
    return _problem[xlen]


def use(xlen: int, env: Any, shared: Shared, ram: memoryview, run: Callable[[], int]) -> None:
    """Give an engine our functions, if they can be had and do what they should.

    Args:
        xlen: 32 or 64.
        env: The engine's CPU state.
        shared: Shared with the callbacks; told the outcome.
        ram: Guest RAM, whose first bytes the trial uses.
        run: Runs translated code from ``env.pc``.
    Raises:
        HostError: they were built from another version of minstret.
    """
    if _stale is not None and os.environ.get(ENVIRONMENT) != "off":
        raise _stale
    if problem(xlen):
        return
    _mark(xlen, env, shared, True)
    if xlen not in _tried:
        _tried.add(xlen)
        before = bytes(env)
        works = library.minstret_knows_registers(ctypes.c_int(xlen)) and _does_as_expected(xlen, env, shared, ram, run)
        ctypes.memmove(ctypes.addressof(env), before, len(before))
        if not works:
            _problem[xlen] = "they do not take effect in this Unicorn"
            _mark(xlen, env, shared, False)


def _mark(xlen: int, env: Any, shared: Shared, is_ours: bool) -> None:
    library.minstret_mark(ctypes.c_void_p(ctypes.addressof(env)), ctypes.c_int(xlen), ctypes.c_bool(is_ours))
    shared.has_helpers = is_ours


def _does_as_expected(xlen: int, env: Any, shared: Shared, ram: memoryview, run: Callable[[], int]) -> bool:
    program = b"".join(insn.to_bytes(4, "little") for insn in _TRIAL)
    ram[: len(program)] = program
    env.pc, env.mstatus, env.softfloat_flags = shared.ram_base, env.mstatus & ~_DIRTY | _FS_INITIAL, 0
    env.f[:5], env.x[_A0], env.x[_A6] = _TRIAL_F, _DIRTY & ~_FS_INITIAL, _ONE_S
    shared.icount, shared.limit, shared.fast_limit, shared.stop_reason = 0, len(_TRIAL), len(_TRIAL), Stop.NONE
    run()
    sd = 1 << xlen - 1
    dirty, uxl = sd | _DIRTY, _UXL if xlen == 64 else 0
    return (
        shared.icount == len(_TRIAL)
        and env.x[_A1] & dirty == env.x[_A3] & dirty == dirty
        and (env.x[_A2], env.x[_A4], env.x[_A5], env.x[_A6]) == (0, _NV, _NV, _IS_QUIET_NAN)
        and env.x[_A7] & (dirty | uxl) == dirty | uxl
        and tuple(env.f[5:10]) == _RESULTS_F
    )
