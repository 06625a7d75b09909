"""Floating point instructions that the hart executes itself: those that Unicorn has wrong, where ours don't replace it.

Source: The RISC-V Instruction Set Manual, Volume I, "F" and "D" ("NaN Boxing of Narrower Values" among them).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minstret.emu.hart import softfloat
from minstret.emu.hart.core import Core
from minstret.emu.hart.csr import IllegalInstruction
from minstret.emu.hart.layout import softfloat_from_fflags
from minstret.emu.hart.softfloat import DOUBLE, SINGLE, Format, Result
from minstret.emu.hart.spec import MSTATUS_FS, OP_FMSUB, OP_FNMADD, OP_FNMSUB, OP_FP, FpOp

_BOX = 0xFFFFFFFF << 32
_DYNAMIC = 7
_FORMATS = (SINGLE, DOUBLE)

_ARITHMETIC: dict[int, Callable[[int, int, Format, int], Result]] = {
    FpOp.ADD: softfloat.add, FpOp.SUB: softfloat.subtract, FpOp.MUL: softfloat.multiply, FpOp.DIV: softfloat.divide,
}  # fmt: skip
_COMPARISONS = (softfloat.less_or_equal, softfloat.less, softfloat.equal)
_MINIMUM_MAXIMUM = (softfloat.minimum, softfloat.maximum)


def execute(core: Core, insn: int) -> None:
    """Carry out a floating point instruction.

    Raises:
        IllegalInstruction: FS is off, the rounding mode or the instruction is none; nothing was changed.
    """
    if not core.env.mstatus & MSTATUS_FS or insn >> 25 & 3 > 1:
        raise IllegalInstruction
    form = _FORMATS[insn >> 25 & 3]
    if insn & 0x7F == OP_FP:
        _execute_op(core, insn, form)
    else:
        _execute_fused(core, insn, form)


def _execute_fused(core: Core, insn: int, form: Format) -> None:
    env, opcode, rounding = core.env, insn & 0x7F, _rounding(core.env, insn)
    a, b, c = (_read(env, insn >> at & 31, form) for at in (15, 20, 27))
    if opcode in (OP_FNMSUB, OP_FNMADD) and not softfloat.is_nan(a, form):
        a ^= form.sign_bit
    if opcode in (OP_FMSUB, OP_FNMADD) and not softfloat.is_nan(c, form):
        c ^= form.sign_bit
    _write(core, insn, form, softfloat.fused(a, b, c, form, rounding))


def _execute_op(core: Core, insn: int, form: Format) -> None:
    env, funct5, funct3, rs2 = core.env, insn >> 27, insn >> 12 & 7, insn >> 20 & 31
    a, b = _read(env, insn >> 15 & 31, form), _read(env, rs2, form)
    if funct5 in _ARITHMETIC:
        _write(core, insn, form, _ARITHMETIC[funct5](a, b, form, _rounding(env, insn)))
    elif funct5 == FpOp.SQRT and rs2 == 0:
        _write(core, insn, form, softfloat.square_root(a, form, _rounding(env, insn)))
    elif funct5 == FpOp.SGNJ and funct3 <= 2:
        sign = (b, ~b, a ^ b)[funct3] & form.sign_bit
        _write(core, insn, form, (a & ~form.sign_bit | sign, 0))
    elif funct5 == FpOp.MINMAX and funct3 <= 1:
        _write(core, insn, form, _MINIMUM_MAXIMUM[funct3](a, b, form))
    elif funct5 == FpOp.COMPARE and funct3 <= 2:
        _write_x(core, insn, _COMPARISONS[funct3](a, b, form))
    elif funct5 == FpOp.CLASS and rs2 == 0 and funct3 == 1:
        _write_x(core, insn, (softfloat.classify(a, form), 0))
    else:
        _execute_conversion(core, insn, form)


def _execute_conversion(core: Core, insn: int, form: Format) -> None:
    """Conversions and moves."""
    env, funct5, funct3, kind = core.env, insn >> 27, insn >> 12 & 7, insn >> 20 & 31
    rs1, has_kind = insn >> 15 & 31, insn >> 20 & 31 <= (3 if core.xlen == 64 else 1)
    bits, is_signed = 64 if kind & 2 else 32, not kind & 1
    if funct5 == FpOp.FROM_FLOAT and kind == 1 - _FORMATS.index(form):
        source = _FORMATS[kind]
        number = _read(env, rs1, source)
        _write(core, insn, form, softfloat.convert(number, source, form, _rounding(env, insn)))
    elif funct5 == FpOp.TO_INT and has_kind:
        number = _read(env, rs1, form)
        value, flags = softfloat.to_integer(number, form, _rounding(env, insn), bits=bits, is_signed=is_signed)
        _write_x(core, insn, ((value & (1 << bits) - 1 ^ 1 << bits - 1) - (1 << bits - 1), flags))
    elif funct5 == FpOp.FROM_INT and has_kind:
        value = int(env.x[rs1]) & (1 << bits) - 1
        if is_signed:
            value = (value ^ 1 << bits - 1) - (1 << bits - 1)
        _write(core, insn, form, softfloat.from_integer(value, form, _rounding(env, insn)))
    elif funct5 == FpOp.MOVE_FROM_X and form is SINGLE and kind == funct3 == 0:
        _write(core, insn, form, (int(env.x[rs1]) & 0xFFFFFFFF, 0))
    else:
        raise IllegalInstruction


def _rounding(env: Any, insn: int) -> int:
    mode = insn >> 12 & 7
    if mode == _DYNAMIC:
        mode = int(env.frm)
    if mode > softfloat.Rounding.TIES_AWAY:
        raise IllegalInstruction
    return mode


def _read(env: Any, number: int, form: Format) -> int:
    bits = int(env.f[number])
    if form is DOUBLE:
        return bits
    return bits & 0xFFFFFFFF if bits >= _BOX else SINGLE.nan


def _write(core: Core, insn: int, form: Format, result: Result) -> None:
    bits, flags = result
    core.env.f[insn >> 7 & 31] = bits if form is DOUBLE else bits | _BOX
    _raise(core, flags)
    core.make_fs_dirty()


def _write_x(core: Core, insn: int, result: Result) -> None:
    value, flags = result
    if insn >> 7 & 31:
        core.env.x[insn >> 7 & 31] = value & core.xlen_mask
    _raise(core, flags)
    if flags:
        core.make_fs_dirty()


def _raise(core: Core, flags: int) -> None:
    core.env.softfloat_flags |= softfloat_from_fflags(flags)
