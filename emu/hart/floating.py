"""Floating point instructions that the hart executes itself: those that Unicorn has wrong, where ours don't replace it.

Source: The RISC-V Instruction Set Manual, Volume I, "F" and "D" ("NaN Boxing of Narrower Values" among them).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from minstret.emu.hart import softfloat
from minstret.emu.hart.callbacks import MSTATUS_FS, OP_FP, FpOp
from minstret.emu.hart.csr import IllegalInstruction
from minstret.emu.hart.layout import softfloat_from_fflags
from minstret.emu.hart.softfloat import DOUBLE, SINGLE, Format, Result

if TYPE_CHECKING:
    from minstret.emu.hart.hart import Hart

_BOX = 0xFFFFFFFF << 32
_DYNAMIC = 7
_MADD, _MSUB, _NMSUB, _NMADD = 0x43, 0x47, 0x4B, 0x4F
_FORMATS = (SINGLE, DOUBLE)

_ARITHMETIC: dict[int, Callable[[int, int, Format, int], Result]] = {
    FpOp.ADD: softfloat.add, FpOp.SUB: softfloat.subtract, FpOp.MUL: softfloat.multiply, FpOp.DIV: softfloat.divide,
}  # fmt: skip
_COMPARISONS = (softfloat.less_or_equal, softfloat.less, softfloat.equal)
_MINIMUM_MAXIMUM = (softfloat.minimum, softfloat.maximum)


def execute(hart: Hart, insn: int) -> None:
    """Carry out a floating point instruction.

    Raises:
        IllegalInstruction: FS is off, the rounding mode or the instruction is none; nothing was changed.
    """
    if not hart.env.mstatus & MSTATUS_FS or insn >> 25 & 3 > 1:
        raise IllegalInstruction
    form = _FORMATS[insn >> 25 & 3]
    if insn & 0x7F == OP_FP:
        _execute_op(hart, insn, form)
    else:
        _execute_fused(hart, insn, form)


def _execute_fused(hart: Hart, insn: int, form: Format) -> None:
    env, opcode, rounding = hart.env, insn & 0x7F, _rounding(hart.env, insn)
    a, b, c = (_read(env, insn >> at & 31, form) for at in (15, 20, 27))
    if opcode in (_NMSUB, _NMADD) and not softfloat.is_nan(a, form):
        a ^= form.sign_bit
    if opcode in (_MSUB, _NMADD) and not softfloat.is_nan(c, form):
        c ^= form.sign_bit
    _write(hart, insn, form, softfloat.fused(a, b, c, form, rounding))


def _execute_op(hart: Hart, insn: int, form: Format) -> None:
    env, funct5, funct3, rs2 = hart.env, insn >> 27, insn >> 12 & 7, insn >> 20 & 31
    a, b = _read(env, insn >> 15 & 31, form), _read(env, rs2, form)
    if funct5 in _ARITHMETIC:
        _write(hart, insn, form, _ARITHMETIC[funct5](a, b, form, _rounding(env, insn)))
    elif funct5 == FpOp.SQRT and rs2 == 0:
        _write(hart, insn, form, softfloat.square_root(a, form, _rounding(env, insn)))
    elif funct5 == FpOp.SGNJ and funct3 <= 2:
        sign = (b, ~b, a ^ b)[funct3] & form.sign_bit
        _write(hart, insn, form, (a & ~form.sign_bit | sign, 0))
    elif funct5 == FpOp.MINMAX and funct3 <= 1:
        _write(hart, insn, form, _MINIMUM_MAXIMUM[funct3](a, b, form))
    elif funct5 == FpOp.COMPARE and funct3 <= 2:
        _write_x(hart, insn, _COMPARISONS[funct3](a, b, form))
    elif funct5 == FpOp.CLASS and rs2 == 0 and funct3 == 1:
        _write_x(hart, insn, (softfloat.classify(a, form), 0))
    else:
        _execute_conversion(hart, insn, form)


def _execute_conversion(hart: Hart, insn: int, form: Format) -> None:
    """Conversions and moves."""
    env, funct5, funct3, kind = hart.env, insn >> 27, insn >> 12 & 7, insn >> 20 & 31
    rs1, has_kind = insn >> 15 & 31, insn >> 20 & 31 <= (3 if hart.xlen == 64 else 1)
    bits, is_signed = 64 if kind & 2 else 32, not kind & 1
    if funct5 == FpOp.FROM_FLOAT and kind == 1 - _FORMATS.index(form):
        source = _FORMATS[kind]
        number = _read(env, rs1, source)
        _write(hart, insn, form, softfloat.convert(number, source, form, _rounding(env, insn)))
    elif funct5 == FpOp.TO_INT and has_kind:
        number = _read(env, rs1, form)
        value, flags = softfloat.to_integer(number, form, _rounding(env, insn), bits=bits, is_signed=is_signed)
        _write_x(hart, insn, ((value & (1 << bits) - 1 ^ 1 << bits - 1) - (1 << bits - 1), flags))
    elif funct5 == FpOp.FROM_INT and has_kind:
        value = int(env.x[rs1]) & (1 << bits) - 1
        if is_signed:
            value = (value ^ 1 << bits - 1) - (1 << bits - 1)
        _write(hart, insn, form, softfloat.from_integer(value, form, _rounding(env, insn)))
    elif funct5 == FpOp.MOVE_FROM_X and form is SINGLE and kind == funct3 == 0:
        _write(hart, insn, form, (int(env.x[rs1]) & 0xFFFFFFFF, 0))
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


def _write(hart: Hart, insn: int, form: Format, result: Result) -> None:
    bits, flags = result
    hart.env.f[insn >> 7 & 31] = bits if form is DOUBLE else bits | _BOX
    _raise(hart, flags)
    hart.make_fs_dirty()


def _write_x(hart: Hart, insn: int, result: Result) -> None:
    value, flags = result
    if insn >> 7 & 31:
        hart.env.x[insn >> 7 & 31] = value & hart.xlen_mask
    _raise(hart, flags)
    if flags:
        hart.make_fs_dirty()


def _raise(hart: Hart, flags: int) -> None:
    hart.env.softfloat_flags |= softfloat_from_fflags(flags)
