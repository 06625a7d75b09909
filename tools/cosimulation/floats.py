"""Makes a program that runs every floating-point operation on special values, in every rounding mode.

It computes all cases and stores what each left behind: the result, mstatus (FS, SD, UXL, SXL) and fcsr.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

from cosimulation import spike

# ---- values

_BOX = 0xFFFFFFFF << 32
_SINGLES = (
    0x00000000, 0x80000000, 0x3F800000, 0xBF800000, 0x3FC00000, 0xC0200000, 0x3F000000, 0x7F800000, 0xFF800000,
    0x7FC00000, 0xFFC12345, 0x7F800001, 0xFFA00000, 0x00000001, 0x807FFFFF, 0x00800000, 0x80800000, 0x00800001,
    0x7F7FFFFF, 0xFF7FFFFF, 0x4EFFFFFF, 0xCF000000, 0x4F000000, 0x4F800000, 0x5F000000, 0xDF000000, 0x5F800000,
    0x33800000, 0x1E123456, 0x5F7FFFFF, 0x1F7FFFFF, 0x20000001, 0x3FFFFFFF, 0x40490FDB,
)  # fmt: skip
_DOUBLES = (
    0, 1 << 63, 0x3FF0 << 48, 0xBFF0 << 48, 0x3FF8 << 48, 0xC004 << 48, 0x3FE0 << 48, 0x7FF0 << 48, 0xFFF0 << 48,
    0x7FF8 << 48, 0xFFF8_0000_0001_2345, 0x7FF0_0000_0000_0001, 0xFFF4 << 48, 1, 0x800F_FFFF_FFFF_FFFF, 0x0010 << 48,
    0x8010 << 48, 0x0010_0000_0000_0001, 0x7FEF_FFFF_FFFF_FFFF, 0xFFEF_FFFF_FFFF_FFFF, 0x41DF_FFFF_FFC0_0000,
    0x41DF_FFFF_FFE0_0000, 0xC1E0 << 48, 0xC1E0_0000_0020_0000, 0x41EF_FFFF_FFF0_0000, 0x43E0 << 48, 0xC3E0 << 48,
    0x43F0 << 48, 0x3CA0 << 48, 0x36A0 << 48, 0x380F_FFFF_E000_0000, 0x380F_FFFF_FFFF_FFFF, 0x47EF_FFFF_E000_0000,
    0x47EF_FFFF_F000_0000, 0x2000_1234_5678_9ABC, 0x1FF0_0000_0000_0001, 0x3FFF_FFFF_FFFF_FFFF, 0x4009_21FB_5444_2D18,
)  # fmt: skip
_UNBOXED = (
    0x3FF0 << 48,
    0x3F800000,
    0xFFFFFFFE_3F800000,
    0x7FFFFFFF_3F800000,
    0x11223344_3F800000,
    0xFFFFFFFE_80000000,
)
_INTEGERS = (
    0, 1, (1 << 64) - 1, 1 << 24, (1 << 24) + 1, (1 << 25) + 3, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32,
    (1 << 53) - 1, 1 << 53, (1 << 53) + 1, (1 << 54) + 3, (1 << 63) - 1, 1 << 63, (1 << 64) - (1 << 10),
    0x3F800000, 0x1122_3344_3F80_0000, 0xFFFF_FFFF_8000_0001, 0x1234_5678_9ABC_DEF0,
)  # fmt: skip
_FEW = (0, 1, 2, 5, 7, 9, 11, 13, 15, 18)  # of them where there are three operands: zeros, infinities, NaNs, limits

# ---- instructions

_ZERO, _SP, _T0, _T1, _S0, _A0, _A1, _A2, _A3, _A4, _S2, _S3, _S4, _S5, _S6, _S7, _S11 = (
    0, 2, 5, 6, 8, 10, 11, 12, 13, 14, 18, 19, 20, 21, 22, 23, 27,
)  # fmt: skip
_F0, _F1, _F2, _F3 = 10, 11, 12, 13  # fa0 to fa3
_DYNAMIC = 7
_FCSR, _MSTATUS, _MTVEC, _MEPC = 0x003, 0x300, 0x305, 0x341
_MRET = 0x30200073


def _i(opcode: int, funct3: int, rd: int, rs1: int, immediate: int) -> int:
    return (immediate & 0xFFF) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode


def _s(opcode: int, funct3: int, rs1: int, rs2: int, immediate: int) -> int:
    return (immediate >> 5 & 0x7F) << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | (immediate & 31) << 7 | opcode


def _bne(rs1: int, rs2: int, distance: int) -> int:
    at = distance & 0x1FFF
    return (at >> 12 & 1) << 31 | (at >> 5 & 63) << 25 | rs2 << 20 | rs1 << 15 | 1 << 12 | (at >> 1 & 15) << 8 | (
        at >> 11 & 1
    ) << 7 | 0x63  # fmt: skip


def _addi(rd: int, rs1: int, immediate: int) -> int:
    return _i(0x13, 0, rd, rs1, immediate)


def _constant(xlen: int, rd: int, number: int) -> list[int]:
    """Load 32 bits."""
    low = number & 0xFFF
    code = [number + 0x800 & 0xFFFFF000 | rd << 7 | 0x37, _addi(rd, rd, low)]
    return [*code, _i(0x13, 1, rd, rd, 32), _i(0x13, 5, rd, rd, 32)] if xlen == 64 else code  # without a sign


def _op(funct5: int, form: int, rs2: int, funct3: int, rd: int, rs1: int) -> int:
    return funct5 << 27 | form << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | 0x53


@dataclass(frozen=True, slots=True)
class Operation:
    """An instruction to test.

    Attributes:
        insn: Its encoding, with a rounding mode of 0 where it has one.
        form: What its operands are: 0 singles, 1 doubles, 2 integers.
        operands: How many it has; they are in fa0 to fa2, or a4; a0 has the first one's address.
        has_rounding: Whether bits 14 to 12 are a rounding mode.
        to_x: Whether the result is in a3, not fa3.
    """

    name: str
    insn: int
    form: int
    operands: int
    has_rounding: bool = False
    to_x: bool = False


def operations(xlen: int) -> Iterator[Operation]:
    """All operations of this width, including loads, stores and moves."""
    for form, suffix in enumerate("sd"):
        for funct5, name in enumerate(("fadd", "fsub", "fmul", "fdiv")):
            yield Operation(f"{name}.{suffix}", _op(funct5, form, _F1, 0, _F3, _F0), form, 2, has_rounding=True)
        for opcode, name in zip((0x43, 0x47, 0x4B, 0x4F), ("fmadd", "fmsub", "fnmsub", "fnmadd"), strict=True):
            insn = _F2 << 27 | form << 25 | _F1 << 20 | _F0 << 15 | _F3 << 7 | opcode
            yield Operation(f"{name}.{suffix}", insn, form, 3, has_rounding=True)
        yield Operation(f"fsqrt.{suffix}", _op(0x0B, form, 0, 0, _F3, _F0), form, 1, has_rounding=True)
        for funct3, name in enumerate(("fsgnj", "fsgnjn", "fsgnjx")):
            yield Operation(f"{name}.{suffix}", _op(0x04, form, _F1, funct3, _F3, _F0), form, 2)
            yield Operation(f"{name}.{suffix} a, a", _op(0x04, form, _F0, funct3, _F3, _F0), form, 1)
            yield Operation(f"{name}.{suffix} in place", _op(0x04, form, _F3, funct3, _F3, _F0), form, 1)
        for funct3, name in enumerate(("fmin", "fmax")):
            yield Operation(f"{name}.{suffix}", _op(0x05, form, _F1, funct3, _F3, _F0), form, 2)
        for funct3, name in enumerate(("fle", "flt", "feq")):
            yield Operation(f"{name}.{suffix}", _op(0x14, form, _F1, funct3, _A3, _F0), form, 2, to_x=True)
        yield Operation(f"fclass.{suffix}", _op(0x1C, form, 0, 1, _A3, _F0), form, 1, to_x=True)
        yield Operation(
            f"fcvt.{suffix}.{'ds'[form]}", _op(0x08, form, 1 - form, 0, _F3, _F0), 1 - form, 1, has_rounding=True
        )
        for kind, name in enumerate(("w", "wu", "l", "lu")[: 4 if xlen == 64 else 2]):
            insn = _op(0x18, form, kind, 0, _A3, _F0)
            yield Operation(f"fcvt.{name}.{suffix}", insn, form, 1, has_rounding=True, to_x=True)
            yield Operation(f"fcvt.{suffix}.{name}", _op(0x1A, form, kind, 0, _F3, _A4), 2, 1, has_rounding=True)
        width = 2 + form
        yield Operation(f"fl{'wd'[form]}", _i(0x07, width, _F3, _A0, 0), form, 1)
        yield Operation(f"fs{'wd'[form]}", _s(0x27, width, _S7, _F0, 0), form, 1)
        if form == 0 or xlen == 64:
            yield Operation(f"fmv.x.{'wd'[form]}", _op(0x1C, form, 0, 0, _A3, _F0), form, 1, to_x=True)
            yield Operation(f"fmv.{'wd'[form]}.x", _op(0x1E, form, 0, 0, _F3, _A4), 2, 1)


@dataclass(frozen=True, slots=True)
class Mode:
    """The state in which an operation is executed."""

    rounding: int  # in the instruction, where it has one
    frm: int
    fflags: int
    fs_cleared: int  # bits of FS, which was Dirty
    is_brief: bool = False  # on one operand is enough


_NX = 1
_INITIAL, _CLEAN, _DIRTY, _OFF = 2, 1, 0, 3


def _modes(operation: Operation) -> Iterator[Mode]:
    roundings = range(5) if operation.has_rounding else (0,)
    for rounding in roundings:
        yield Mode(_DYNAMIC, rounding, 0, _INITIAL)
        yield Mode(_DYNAMIC, rounding, _NX, _CLEAN)
        yield Mode(rounding, (rounding + 1) % 5, _NX, _DIRTY)
    yield Mode(_DYNAMIC, 0, 0, _OFF, is_brief=True)
    if operation.has_rounding:
        for reserved in (5, 6):
            yield Mode(reserved, 0, 0, _INITIAL, is_brief=True)
            yield Mode(_DYNAMIC, reserved, _NX, _CLEAN, is_brief=True)
        yield Mode(_DYNAMIC, _DYNAMIC, _NX, _CLEAN, is_brief=True)


# ---- the program

CODE, _TABLES, RESULTS = 0x1000, 0x40_0000, 0x50_0000
"""Offsets in RAM; the trap handler is at its start."""
RECORD_BYTES = 24
"""Bytes for each case: the result (8), mstatus (XLEN), and at 16 fcsr (4)."""
_SENTINEL = 0x0123_4567_89AB_CDEF
_AT_SENTINEL, _AT_SCRATCH = 0x800, 0x808
TOHOST = 0x3F_0000


@dataclass(frozen=True, slots=True)
class _Run:
    """The cases that one loop computes."""

    operation: Operation
    mode: Mode
    values: tuple[int, ...]
    first: int  # its first record

    @property
    def count(self) -> int:
        return int(len(self.values) ** self.operation.operands)


@dataclass(slots=True)
class Sweep:
    """The program, and what each record of its results belongs to."""

    xlen: int
    image: bytearray = field(default_factory=bytearray)
    end: int = 0  # where it loops when it is done
    runs: list[_Run] = field(default_factory=list)

    @property
    def cases(self) -> int:
        return self.runs[-1].first + self.runs[-1].count

    @property
    def results_size(self) -> int:
        return self.cases * RECORD_BYTES

    def describe(self, record: int) -> str:
        """The case that has this record."""
        run = next(each for each in reversed(self.runs) if each.first <= record)
        operands = list(product(run.values, repeat=run.operation.operands))[record - run.first]
        mode = run.mode
        rounding = f", rm {mode.rounding}" if run.operation.has_rounding else ""
        return (
            f"{run.operation.name} {' '.join(f'{each:#x}' for each in operands)}{rounding}, frm {mode.frm},"
            f" fflags {mode.fflags}, FS {3 & ~mode.fs_cleared}"
        )


def make_sweep(xlen: int, *, every: int = 1, seed: int | None = None) -> Sweep:
    """The program for all cases, or for a part of its loops.

    Args:
        xlen: 32 or 64.
        every: Take every so many of the loops: each has one operation in one mode.
        seed: Take random values by this seed, not the special ones; others for each loop.
    """
    sweep, tables = Sweep(xlen), _Tables()
    pick = None if seed is None else random.Random(seed)
    code = [
        *_constant(xlen, _T0, spike.RAM_BASE), _csrw(_MTVEC, _T0),
        *_constant(xlen, _S4, 0x6000), _i(0x73, 2, _ZERO, _S4, _MSTATUS),
        *_constant(xlen, _S11, spike.RAM_BASE + RESULTS), *_constant(xlen, _S7, spike.RAM_BASE + _AT_SCRATCH),
    ]  # fmt: skip
    record = 0
    loops = [(operation, mode) for operation in operations(xlen) for mode in _modes(operation)]
    for operation, mode in loops[::every]:
        values = _values(operation, mode)
        if pick is not None:
            values = tuple(_random(pick, operation.form) for _ in values)
        sweep.runs.append(_Run(operation, mode, values, record))
        record += sweep.runs[-1].count
        code += _loop(xlen, operation, mode, tables.place(values), len(values))
    code += [*_constant(xlen, _T0, spike.RAM_BASE + TOHOST), _addi(_T1, _ZERO, 1), _s(0x23, 2, _T0, _T1, 0), 0x0000006F]
    sweep.end = spike.RAM_BASE + CODE + 4 * (len(code) - 1)
    handler = (0x34102EF3, 0x004E8E93, 0x341E9073, _MRET)  # mepc += 4, by t4
    image = bytearray(RESULTS)
    image[: 4 * len(handler)] = b"".join(word.to_bytes(4, "little") for word in handler)
    image[_AT_SENTINEL : _AT_SENTINEL + 8] = _SENTINEL.to_bytes(8, "little")
    image[CODE : CODE + 4 * len(code)] = b"".join(word.to_bytes(4, "little") for word in code)
    image[_TABLES : _TABLES + len(tables.data)] = tables.data
    assert CODE + 4 * len(code) <= TOHOST and _TABLES + len(tables.data) <= RESULTS
    assert RESULTS + record * RECORD_BYTES <= spike.RAM_SIZE - 0x1000
    sweep.image = image
    return sweep


class _Tables:
    """Tables of operands; equal tables are stored once."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._at: dict[tuple[int, ...], int] = {}

    def place(self, values: tuple[int, ...]) -> int:
        """The address of a table of them, 8 bytes each."""
        if values not in self._at:
            self._at[values] = spike.RAM_BASE + _TABLES + len(self.data)
            self.data += b"".join(value.to_bytes(8, "little") for value in values)
        return self._at[values]


def _values(operation: Operation, mode: Mode) -> tuple[int, ...]:
    if operation.form == 2:
        values: tuple[int, ...] = _INTEGERS
    elif operation.form == 1:
        values = _DOUBLES
    else:
        values = (*(_BOX | each for each in _SINGLES), *_UNBOXED)
    if mode.is_brief:
        return values[2:3]
    if operation.operands < 3:
        return values
    return (*(values[index] for index in _FEW), values[-1])


def _random(pick: random.Random, form: int) -> int:
    """A random number: often near 1 or near the limits of its format; rarely infinite, a NaN or not boxed."""
    if form == 2:
        return pick.getrandbits(64) >> pick.randrange(64) if pick.random() < 0.8 else (1 << pick.randrange(64)) - 1
    fraction_bits, exponents = ((23, 255), (52, 2047))[form]
    middle = exponents // 2
    exponent = pick.choice((
        pick.randint(middle - 3, middle + 3), pick.randint(middle - fraction_bits, middle + fraction_bits),
        pick.randint(0, exponents), pick.randint(0, fraction_bits + 2), pick.randint(exponents - 3, exponents),
        pick.choice((middle // 2, middle * 3 // 2)) + pick.randint(-2, 2),
    ))  # fmt: skip
    fraction = pick.choice((pick.getrandbits(fraction_bits), 0, (1 << fraction_bits) - 1, 1 << fraction_bits - 1))
    bits = exponent << fraction_bits | fraction
    if form == 1:
        return pick.getrandbits(1) << 63 | bits
    box = _BOX if pick.random() < 0.95 else pick.getrandbits(32) << 32
    return box | pick.getrandbits(1) << 31 | bits


def _csrw(csr: int, rs1: int) -> int:
    return _i(0x73, 1, _ZERO, rs1, csr)


def _loop(xlen: int, operation: Operation, mode: Mode, table: int, size: int) -> list[int]:
    """Go through all combinations of operands; the last changes fastest."""
    insn = operation.insn | (mode.rounding << 12 if operation.has_rounding else 0)
    word = 3 if xlen == 64 else 2
    store_result = _s(0x23, word, _S11, _A3, 0) if operation.to_x else _s(0x27, 3, _S11, _F3, 0)
    load_operand = [_i(0x03, word, _A4, _A0, 0)] if operation.form == 2 else []
    code = [
        *load_operand,
        *[_i(0x07, 3, _F0 + index, _A0 + index, 0) for index in range(operation.operands)],
        _i(0x07, 3, _F3, _S5, 0), _addi(_A3, _ZERO, 0x55),
        _csrw(_FCSR, _S2), _i(0x73, 3, _ZERO, _S3, _MSTATUS),
        insn,
        _i(0x73, 2, _T0, _ZERO, _MSTATUS), _i(0x73, 2, _ZERO, _S4, _MSTATUS), _i(0x73, 2, _T1, _ZERO, _FCSR),
        store_result, _s(0x23, word, _S11, _T0, 8), _s(0x23, 2, _S11, _T1, 16),
        *([_i(0x07, 3, _F3, _S7, 0), _s(0x27, 3, _S11, _F3, 0)] if insn & 0x7F == 0x27 else []),
        _addi(_S11, _S11, RECORD_BYTES),
    ]  # fmt: skip
    for index in reversed(range(operation.operands)):
        pointer = _A0 + index
        body = [*code, _addi(pointer, pointer, 8)]
        code = [*_constant(xlen, pointer, table), *body, _bne(pointer, _S6, -4 * len(body))]
    return [
        *_constant(xlen, _S2, mode.frm << 5 | mode.fflags), *_constant(xlen, _S3, mode.fs_cleared << 13),
        *_constant(xlen, _S5, spike.RAM_BASE + _AT_SENTINEL), *_constant(xlen, _S6, table + 8 * size), *code,
    ]  # fmt: skip
