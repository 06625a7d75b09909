"""Our functions in Unicorn's place: whether they can be had here, and their trial.

Without them a hart does the same, slower: what Unicorn does wrong are then instructions of its own (floating.py).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from itertools import product
from typing import Any

from minstret.emu.errors import HostError
from minstret.emu.hart import contract
from minstret.emu.hart.binding import ENVIRONMENT, library, why_not
from minstret.emu.hart.extensions import ROWS, TRANSLATED, ExtensionInsn, Form, compute, operand
from minstret.emu.hart.shared import FIELDS, PAGE_SIZE, WORK_MAX, Shared, Stop

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

_TRIED_AT, _TRIED_AT_ONCE = 0x400, 16
_TRIED_OPERANDS = {
    64: ((0x8070_0012_F05A_0380, 0x0123_4567_89AB_CDE5), (0, 0x8070_0012_F05A_0380)),
    32: ((0xF05A_0380, 0x89AB_CDE5), (0, 0xF05A_0380)),
}
_TRIED_SHIFT = 13


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


def _store(size: int, source: int, base: int, offset: int, opcode: int = 0x23) -> int:
    return offset >> 5 << 25 | source << 20 | base << 15 | size << 12 | (offset & 31) << 7 | opcode


# A loop that loads each size at a0 and stores what was there; behind it each size is stored over the instruction that
# comes next: addi a5, a5, 1 becomes addi a5, a5, 2. a3 is where the program begins.
_ADD_1, _ADD_2 = 0x00178793, 0x00278793
_TURNS, _INSNS_A_TURN, _BEHIND_LOOP = 30, 10, 11
_COUNTING = (
    0x01E00593,  # li a1, 30
    0x00050603, 0x00051603, 0x00052603, 0x00053007,  # lb, lh, lw a2, (a0); fld ft0, (a0)
    0x00C50023, 0x00C51023, 0x00C52023, 0x00053027,  # sb, sh, sw a2, (a0); fsd ft0, (a0)
    0xFFF58593, 0xFC059EE3,  # addi a1, a1, -1; bnez a1, .-36
    _store(0, _A4, _A3, 12 * 4 + 2), _ADD_1,
    _store(1, _A4, _A3, 14 * 4 + 2), _ADD_1,
    _store(2, _A6, _A3, 16 * 4), _ADD_1,
    _store(3, 1, _A3, 18 * 4, 0x27), _ADD_1,  # fsd ft1, which is the next one too
    0x0000006F,  # j .
)  # fmt: skip

# A loop that traps twice a turn, by ECALL and by a CSR that does not exist, and reads minstret. Its handler goes on
# behind the instruction that trapped, and counts in a5. At last mepc gets a bit that does not exist.
_TRAPS_AT, _HANDLER_AT, _INSNS_A_TRAPS_TURN = 0x200, 0x300, 4 + 2 * 5
_TRAPS = (
    0x01E00593,  # li a1, 30
    0x00000013, 0x00000073,  # nop; ecall
    0x7C002673, 0xB0202673,  # csrr a2, 0x7c0; csrr a2, minstret
    0xFFF58593, 0xFE0596E3,  # addi a1, a1, -1; bnez a1, .-20
    0x34171073,  # csrw mepc, a4, which is odd
)  # fmt: skip
_HANDLER = (0x34102873, 0x00480813, 0x34181073, 0x00178793, 0x30200073)  # mepc += 4, by a6; addi a5, a5, 1; mret
_OF_TRAPS = [name for name, _ in FIELDS if name.startswith(("has_trapped", "trap", "has_last", "last_"))]
_LOOKS_MAX = 40  # of blocks, where they count by themselves; fewer than the loop has turns

_stale = _check()
_problem = dict.fromkeys((64, 32), "built from another version of minstret" if _stale is not None else why_not)
_tried: set[int] = set()
_translates: dict[int, bool] = {}
_counting_problem = dict.fromkeys((64, 32), "")
_tried_counting: set[int] = set()


def problem(xlen: int) -> str:
    """Why the functions are not in use, or nothing where they are. The first engine of a width tries them."""
    if os.environ.get(ENVIRONMENT) == "off":
        return f"{ENVIRONMENT} is off"
    return _problem[xlen]


def use(
    xlen: int, env: Any, shared: Shared, ram: memoryview, run: Callable[[], int], *, translates: bool = False
) -> None:
    """Give an engine our functions, if they can be had and do what they should.

    Args:
        xlen: 32 or 64.
        env: The engine's CPU state.
        shared: Shared with the callbacks; told the outcome.
        ram: Guest RAM, whose first page the trial uses.
        run: Runs translated code from ``env.pc``.
        translates: Have Unicorn's translator make code for the instructions that it does not know, too.
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
    if translates and shared.has_helpers:
        if xlen not in _translates:
            before = bytes(env)
            _mark(xlen, env, shared, True, TRANSLATED)
            _translates[xlen] = _translates_as_expected(xlen, env, shared, ram, run)
            ctypes.memmove(ctypes.addressof(env), before, len(before))
        _mark(xlen, env, shared, True, TRANSLATED & shared.features if _translates[xlen] else 0)


def translation_problem(xlen: int) -> str:
    """Why no code is made for instructions of extensions, or nothing where it is. See ``counting_problem``."""
    return problem(xlen) or ("" if _translates.get(xlen, True) else "made code gives other results in this Unicorn")


def _mark(xlen: int, env: Any, shared: Shared, is_ours: bool, translated: int = 0) -> None:
    library.minstret_mark(
        ctypes.c_void_p(ctypes.addressof(env)), ctypes.c_int(xlen), ctypes.c_bool(is_ours), ctypes.c_uint64(translated)
    )
    shared.has_helpers, shared.translated = is_ours, translated


def _translates_as_expected(xlen: int, env: Any, shared: Shared, ram: memoryview, run: Callable[[], int]) -> bool:
    """Run each instruction that is translated, on two pairs of operands: whether the results are right.

    So many at once as there are registers for their results.
    """
    rows = [row for row in ROWS if row.feature & TRANSLATED and row.only_xlen in (0, xlen)]
    insns = [_tried_insn(row, _A2 + at % _TRIED_AT_ONCE) for at, row in enumerate(rows)]
    ram[_TRIED_AT : _TRIED_AT + 4 * len(insns)] = b"".join(insn.to_bytes(4, "little") for insn in insns)
    for first, (a, b) in product(range(0, len(rows), _TRIED_AT_ONCE), _TRIED_OPERANDS[xlen]):
        tried = list(zip(rows, insns, strict=True))[first : first + _TRIED_AT_ONCE]
        env.pc, env.x[_A0], env.x[_A1] = shared.ram_base + _TRIED_AT + 4 * first, a, b
        shared.icount, shared.limit, shared.fast_limit, shared.stop_reason = 0, len(tried), len(tried), Stop.NONE
        run()
        results = [compute(row.op, a, operand(row, insn, b), xlen) for row, insn in tried]
        if shared.icount != len(tried) or list(env.x[_A2 : _A2 + len(tried)]) != results:
            return False
    return True


def _tried_insn(row: ExtensionInsn, rd: int) -> int:
    second = {Form.REGISTERS: _A1, Form.SHIFT: _TRIED_SHIFT}.get(row.form, 0)
    return row.match | rd << 7 | _A0 << 15 | second << 20


def counting_problem(xlen: int) -> str:
    """Why blocks don't count in their code, or nothing where they do. The first engine of a width tries it."""
    return problem(xlen) or _counting_problem[xlen]


def count_in_code(
    xlen: int, env: Any, shared: Shared, ram: memoryview, run: Callable[[], int], flush_tlb: Callable[[], None]
) -> bool:
    """Have an engine that has our functions count in the code that it makes, if that is exact here; whether it is.

    Args:
        xlen: 32 or 64.
        env: The engine's CPU state.
        shared: Shared with the callbacks; told the outcome.
        ram: Guest RAM; the trial changes its first page, and stores what is there in the second.
        run: Runs translated code from ``env.pc``.
        flush_tlb: Forgets all address translations.
    """
    if counting_problem(xlen):
        return False
    _set_counting(xlen, env, shared, True)
    if xlen not in _tried_counting:
        _tried_counting.add(xlen)
        before, traps = bytes(env), {name: getattr(shared, name) for name in _OF_TRAPS}
        works = _counts_as_expected(xlen, env, shared, ram, run, flush_tlb)
        ctypes.memmove(ctypes.addressof(env), before, len(before))
        for name, value in traps.items():
            setattr(shared, name, value)
        if not works:
            _counting_problem[xlen] = "generated code does not count exactly in this Unicorn"
            _set_counting(xlen, env, shared, False)
    return bool(shared.counts_in_code)


def _set_counting(xlen: int, env: Any, shared: Shared, is_in_code: bool) -> None:
    address = ctypes.addressof(shared) if is_in_code else None
    library.minstret_count(ctypes.c_void_p(ctypes.addressof(env)), ctypes.c_int(xlen), ctypes.c_void_p(address))
    shared.counts_in_code = is_in_code


def _counts_as_expected(
    xlen: int, env: Any, shared: Shared, ram: memoryview, run: Callable[[], int], flush_tlb: Callable[[], None]
) -> bool:
    """Stop after each of the first instructions, each time with an empty TLB, then in the loop, then behind it."""
    program = b"".join(insn.to_bytes(4, "little") for insn in _COUNTING)
    ram[: len(program)] = program
    env.pc, env.mstatus = shared.ram_base, env.mstatus | _DIRTY
    env.x[_A0], env.x[_A3], env.x[_A5] = shared.ram_base + PAGE_SIZE, shared.ram_base, 0
    env.x[_A4], env.x[_A6], env.f[1] = _ADD_2 >> 16, _ADD_2, 0x6F << 32 | _ADD_2
    shared.icount = shared.looks = 0
    end = 1 + _TURNS * _INSNS_A_TURN + len(_COUNTING) - _BEHIND_LOOP
    for limit in (*range(1, _INSNS_A_TURN), 14 * _INSNS_A_TURN + 5, end):
        flush_tlb()
        looks = shared.looks
        shared.limit = shared.fast_limit = limit
        shared.stop_reason, shared.work_left = Stop.NONE, WORK_MAX
        run()
        if shared.stop_reason != Stop.LIMIT or shared.icount != limit:
            return False
        if limit == 14 * _INSNS_A_TURN + 5 and (env.x[_A1], env.pc) != (_TURNS - 14, shared.ram_base + 5 * 4):
            return False
    seen = library.minstret_accesses_seen(ctypes.c_int(xlen))
    is_right = shared.looks - looks < _LOOKS_MAX and env.x[_A5] == 8 and seen == 0xFF
    return bool(is_right and _traps_as_expected(env, shared, ram, run))


def _traps_as_expected(env: Any, shared: Shared, ram: memoryview, run: Callable[[], int]) -> bool:
    """Stop after each instruction of the first turn, then behind the loop, then at what Unicorn would get wrong."""
    for at, insns in ((_TRAPS_AT, _TRAPS), (_HANDLER_AT, _HANDLER)):
        ram[at : at + 4 * len(insns)] = b"".join(insn.to_bytes(4, "little") for insn in insns)
    begin = shared.ram_base + _TRAPS_AT
    env.pc, env.mtvec = begin, shared.ram_base + _HANDLER_AT
    env.x[_A4], env.x[_A5] = shared.ram_base + 1, 0
    shared.icount = shared.looks = 0
    end = 1 + _TURNS * _INSNS_A_TRAPS_TURN
    for limit in (*range(1, _INSNS_A_TRAPS_TURN + 2), end, end + 1):
        looks = shared.looks
        shared.limit = shared.fast_limit = limit
        shared.stop_reason, shared.work_left = Stop.NONE, WORK_MAX
        run()
        expected = Stop.LIMIT, limit
        if limit > end:
            expected = Stop.SPECIAL, end
        if (shared.stop_reason, shared.icount) != expected:
            return False
        if limit == _INSNS_A_TRAPS_TURN and env.x[_A2] != limit - 2:
            return False
        if limit == end and shared.looks - looks >= _LOOKS_MAX:
            return False
    turns = env.x[_A5], env.x[_A1], env.pc
    return bool(turns == (2 * _TURNS, 0, begin + 4 * (len(_TRAPS) - 1)))


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
