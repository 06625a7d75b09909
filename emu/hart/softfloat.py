"""IEEE 754 arithmetic on bit patterns, exact, by integers: what floating point instructions compute.

Every function gives a result and the flags it raises. NaN results are canonical, and tininess is detected after
rounding, as RISC-V has both. Slow: the hart uses it where Unicorn's results are wrong and our functions in its place
(_helpers.c) can't be had.

Source: IEEE 754-2019; The RISC-V Instruction Set Manual, Volume I, "F" and "D".
"""

from __future__ import annotations

from enum import IntEnum
from math import isqrt
from typing import NamedTuple

NX, UF, OF, DZ, NV = 1, 2, 4, 8, 16
"""Flags, as fflags has them."""


class Rounding(IntEnum):
    """Rounding modes, as frm has them."""

    NEAREST_EVEN = 0
    TO_ZERO = 1
    DOWN = 2
    UP = 3
    TIES_AWAY = 4


class Format(NamedTuple):
    """A binary interchange format."""

    bits: int
    fraction_bits: int

    @property
    def sign_bit(self) -> int:
        return 1 << self.bits - 1

    @property
    def infinity(self) -> int:
        return self.sign_bit - (1 << self.fraction_bits)

    @property
    def quiet_bit(self) -> int:
        return 1 << self.fraction_bits - 1

    @property
    def nan(self) -> int:
        """The canonical one."""
        return self.infinity | self.quiet_bit

    @property
    def top(self) -> int:
        """Finite numbers are below 2 ** top."""
        return 1 << self.bits - self.fraction_bits - 2

    @property
    def bottom(self) -> int:
        """The exponent of the least subnormal number."""
        return 3 - self.top - self.fraction_bits - 1


SINGLE, DOUBLE = Format(32, 23), Format(64, 52)


class Exact(NamedTuple):
    """(-1) ** sign * significand * 2 ** exponent."""

    sign: int
    significand: int
    exponent: int


Result = tuple[int, int]
"""Bits or an integer, and flags."""


def sign_of(a: int, form: Format) -> int:
    return a >> form.bits - 1 & 1


def is_nan(a: int, form: Format) -> bool:
    return a & ~form.sign_bit > form.infinity


def is_signaling(a: int, form: Format) -> bool:
    return is_nan(a, form) and not a & form.quiet_bit


def is_infinite(a: int, form: Format) -> bool:
    return a & ~form.sign_bit == form.infinity


def is_zero(a: int, form: Format) -> bool:
    return a & ~form.sign_bit == 0


def _exact(a: int, form: Format) -> Exact:
    """What a finite number is."""
    fraction, biased = a & (1 << form.fraction_bits) - 1, (a & ~form.sign_bit) >> form.fraction_bits
    if biased == 0:
        return Exact(sign_of(a, form), fraction, form.bottom)
    return Exact(sign_of(a, form), fraction | 1 << form.fraction_bits, form.bottom + biased - 1)


def _signed(sign: int, magnitude: int, form: Format) -> int:
    return magnitude | form.sign_bit if sign else magnitude


def _nan(operands: tuple[int, ...], form: Format) -> Result:
    """The result of an operation of which an operand is a NaN."""
    return form.nan, NV if any(is_signaling(a, form) for a in operands) else 0


def _increment(sign: int, whole: int, rest: int, half: int, rounding: int) -> int:
    """What to add to ``whole`` when ``rest``, below 2 * half, is dropped."""
    if rounding == Rounding.NEAREST_EVEN:
        return int(rest > half or (rest == half and whole & 1 == 1))
    if rounding == Rounding.TIES_AWAY:
        return int(rest >= half)
    if rounding == Rounding.DOWN:
        return int(sign == 1 and rest != 0)
    if rounding == Rounding.UP:
        return int(sign == 0 and rest != 0)
    return 0


def _rounded(number: Exact, unit: int, rounding: int) -> tuple[int, bool]:
    """``number`` in units of 2 ** unit, and whether that is inexact."""
    sign, significand, exponent = number
    shift = unit - exponent
    if shift <= 0:
        return significand << -shift, False
    whole, rest = significand >> shift, significand & (1 << shift) - 1
    return whole + _increment(sign, whole, rest, 1 << shift - 1, rounding), rest != 0


def _round(number: Exact, form: Format, rounding: int) -> Result:
    """The number of ``form`` that a number other than zero is rounded to."""
    precision, smallest_normal = form.fraction_bits + 1, form.bottom + form.fraction_bits
    above = number.exponent + number.significand.bit_length()  # it is below 2 ** above, and not below half of that
    unit = max(above - precision, form.bottom)
    whole, is_inexact = _rounded(number, unit, rounding)
    if whole >> precision:
        whole, unit = whole >> 1, unit + 1
    if unit + whole.bit_length() > form.top:
        away = rounding in (Rounding.NEAREST_EVEN, Rounding.TIES_AWAY) or rounding == (
            Rounding.DOWN if number.sign else Rounding.UP
        )
        return _signed(number.sign, form.infinity - (0 if away else 1), form), OF | NX
    flags = NX if is_inexact else 0
    if is_inexact and above <= smallest_normal:  # tiny, unless rounding to full precision takes it out of there
        full, _ = _rounded(number, above - precision, rounding)
        if above < smallest_normal or not full >> precision:
            flags |= UF
    biased = unit - form.bottom if whole >> form.fraction_bits else 0
    return _signed(number.sign, (biased << form.fraction_bits) + whole, form), flags


def _sum(a: Exact, b: Exact, form: Format, rounding: int) -> Result:
    exponent = min(a.exponent, b.exponent)
    total = sum((-each.significand if each.sign else each.significand) << each.exponent - exponent for each in (a, b))
    if total:
        return _round(Exact(int(total < 0), abs(total), exponent), form, rounding)
    if a.significand == b.significand == 0 and a.sign == b.sign:
        return _signed(a.sign, 0, form), 0
    return _signed(int(rounding == Rounding.DOWN), 0, form), 0


def _product(a: Exact, b: Exact) -> Exact:
    return Exact(a.sign ^ b.sign, a.significand * b.significand, a.exponent + b.exponent)


def add(a: int, b: int, form: Format, rounding: int) -> Result:
    if is_nan(a, form) or is_nan(b, form):
        return _nan((a, b), form)
    if is_infinite(a, form):
        return (form.nan, NV) if is_infinite(b, form) and a != b else (a, 0)
    if is_infinite(b, form):
        return b, 0
    return _sum(_exact(a, form), _exact(b, form), form, rounding)


def subtract(a: int, b: int, form: Format, rounding: int) -> Result:
    if is_nan(b, form):
        return _nan((a, b), form)
    return add(a, b ^ form.sign_bit, form, rounding)


def multiply(a: int, b: int, form: Format, rounding: int) -> Result:
    sign = sign_of(a ^ b, form)
    if is_nan(a, form) or is_nan(b, form):
        return _nan((a, b), form)
    if is_infinite(a, form) or is_infinite(b, form):
        return (form.nan, NV) if is_zero(a, form) or is_zero(b, form) else (_signed(sign, form.infinity, form), 0)
    if is_zero(a, form) or is_zero(b, form):
        return _signed(sign, 0, form), 0
    return _round(_product(_exact(a, form), _exact(b, form)), form, rounding)


def fused(a: int, b: int, c: int, form: Format, rounding: int) -> Result:
    """a * b + c, rounded once."""
    sign = sign_of(a ^ b, form)
    is_invalid = (is_infinite(a, form) and is_zero(b, form)) or (is_zero(a, form) and is_infinite(b, form))
    if is_nan(a, form) or is_nan(b, form) or is_nan(c, form):
        result, flags = _nan((a, b, c), form)
        return result, flags | (NV if is_invalid else 0)
    if is_invalid:
        return form.nan, NV
    if is_infinite(a, form) or is_infinite(b, form):
        product = _signed(sign, form.infinity, form)
        return (form.nan, NV) if is_infinite(c, form) and c != product else (product, 0)
    if is_infinite(c, form):
        return c, 0
    return _sum(_product(_exact(a, form), _exact(b, form)), _exact(c, form), form, rounding)


def divide(a: int, b: int, form: Format, rounding: int) -> Result:
    sign = sign_of(a ^ b, form)
    if is_nan(a, form) or is_nan(b, form):
        return _nan((a, b), form)
    if is_infinite(a, form):
        return (form.nan, NV) if is_infinite(b, form) else (_signed(sign, form.infinity, form), 0)
    if is_zero(b, form):
        return (form.nan, NV) if is_zero(a, form) else (_signed(sign, form.infinity, form), DZ)
    if is_infinite(b, form) or is_zero(a, form):
        return _signed(sign, 0, form), 0
    x, y = _exact(a, form), _exact(b, form)
    more = 2 * form.bits  # more bits than a number has: the last one stands for all that follow
    quotient, rest = divmod(x.significand << more, y.significand)
    return _round(Exact(sign, quotient << 1 | (rest != 0), x.exponent - y.exponent - more - 1), form, rounding)


def square_root(a: int, form: Format, rounding: int) -> Result:
    if is_nan(a, form):
        return _nan((a,), form)
    if is_zero(a, form):
        return a, 0
    if sign_of(a, form):
        return form.nan, NV
    if is_infinite(a, form):
        return a, 0
    x = _exact(a, form)
    more = 2 * form.bits + (x.exponent & 1)  # makes the exponent even
    radicand = x.significand << more
    root = isqrt(radicand)
    return _round(Exact(0, root << 1 | (root * root != radicand), (x.exponent - more) // 2 - 1), form, rounding)


def _order(a: int, form: Format) -> int:
    """Numbers in order of their values, -0 below +0."""
    return -(a & ~form.sign_bit) - 1 if a & form.sign_bit else a


def _lesser(a: int, b: int, form: Format, *, is_maximum: bool) -> Result:
    flags = NV if is_signaling(a, form) or is_signaling(b, form) else 0
    if is_nan(a, form):
        return form.nan if is_nan(b, form) else b, flags
    if is_nan(b, form):
        return a, flags
    low, high = sorted((a, b), key=lambda each: _order(each, form))
    return high if is_maximum else low, flags


def minimum(a: int, b: int, form: Format) -> Result:
    return _lesser(a, b, form, is_maximum=False)


def maximum(a: int, b: int, form: Format) -> Result:
    return _lesser(a, b, form, is_maximum=True)


def equal(a: int, b: int, form: Format) -> Result:
    if is_nan(a, form) or is_nan(b, form):
        return 0, _nan((a, b), form)[1]
    return int(a == b or (is_zero(a, form) and is_zero(b, form))), 0


def less(a: int, b: int, form: Format) -> Result:
    if is_nan(a, form) or is_nan(b, form):
        return 0, NV
    return int(_order(a, form) < _order(b, form) and not (is_zero(a, form) and is_zero(b, form))), 0


def less_or_equal(a: int, b: int, form: Format) -> Result:
    if is_nan(a, form) or is_nan(b, form):
        return 0, NV
    return int(_order(a, form) <= _order(b, form) or (is_zero(a, form) and is_zero(b, form))), 0


def classify(a: int, form: Format) -> int:
    """The mask that FCLASS gives."""
    if is_nan(a, form):
        return 1 << (8 if is_signaling(a, form) else 9)
    if is_infinite(a, form):
        kind = 0
    elif is_zero(a, form):
        kind = 3
    else:
        kind = 1 if a & form.infinity else 2
    return 1 << (kind if sign_of(a, form) else 7 - kind)


def to_integer(a: int, form: Format, rounding: int, *, bits: int, is_signed: bool) -> Result:
    """The integer; the nearest there is, and invalid, where it does not fit. A NaN is the largest."""
    low, high = (-1 << bits - 1, (1 << bits - 1) - 1) if is_signed else (0, (1 << bits) - 1)
    if is_nan(a, form):
        return high, NV
    if is_infinite(a, form):
        return low if sign_of(a, form) else high, NV
    number = _exact(a, form)
    magnitude, is_inexact = _rounded(number, 0, rounding)
    value = -magnitude if number.sign else magnitude
    if not low <= value <= high:
        return low if number.sign else high, NV
    return value, NX if is_inexact else 0


def from_integer(value: int, form: Format, rounding: int) -> Result:
    if value == 0:
        return 0, 0
    return _round(Exact(int(value < 0), abs(value), 0), form, rounding)


def convert(a: int, source: Format, target: Format, rounding: int) -> Result:
    """The number in another format."""
    if is_nan(a, source):
        return target.nan, _nan((a,), source)[1]
    if is_infinite(a, source):
        return _signed(sign_of(a, source), target.infinity, target), 0
    if is_zero(a, source):
        return _signed(sign_of(a, source), 0, target), 0
    return _round(_exact(a, source), target, rounding)
