"""The instructions that Unicorn does not know: their encodings, and what each does. The one table of them.

Zba, Zbb and Zbs (bits), Zicond, Zicbom and Zicboz (cache blocks), Zawrs, Svinval. PAUSE of Zihintpause is no row: it
is a FENCE, which Unicorn knows. Those of an extension that the hart lacks are illegal, as they are to Unicorn.
``_contract.h`` gets the table from here, and _extensions.h has ``compute`` in C; _helpers.c has Unicorn's translator
make code for them.

Source: The RISC-V Instruction Set Manual, Volume I, "B", "Zicond", "Zawrs" and "CMO"; Volume II, "Svinval".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum, auto
from functools import lru_cache
from typing import NamedTuple

from minstret.emu.hart.cpu import Feature
from minstret.emu.hart.spec import ABI_NAMES, INSN_PAUSE, INSN_SINVAL_VMA


class Form(IntEnum):
    """What an instruction computes with beside the register rs1."""

    REGISTERS = 0  # the register rs2
    SHIFT = 1  # a number, of 6 bits or 5
    UNARY = 2  # nothing
    OTHER = 3  # it computes nothing


class Op(IntEnum):
    """What an instruction does; an immediate form does what its register form does."""

    ADD_UW = 0
    SH1ADD = auto()
    SH2ADD = auto()
    SH3ADD = auto()
    SH1ADD_UW = auto()
    SH2ADD_UW = auto()
    SH3ADD_UW = auto()
    SLLI_UW = auto()
    ANDN = auto()
    ORN = auto()
    XNOR = auto()
    CLZ = auto()
    CTZ = auto()
    CPOP = auto()
    CLZW = auto()
    CTZW = auto()
    CPOPW = auto()
    MAX = auto()
    MAXU = auto()
    MIN = auto()
    MINU = auto()
    SEXT_B = auto()
    SEXT_H = auto()
    ZEXT_H = auto()
    ROL = auto()
    ROR = auto()
    ROLW = auto()
    RORW = auto()
    ORC_B = auto()
    REV8 = auto()
    BCLR = auto()
    BEXT = auto()
    BINV = auto()
    BSET = auto()
    CZERO_EQZ = auto()
    CZERO_NEZ = auto()
    CBO_INVAL = auto()
    CBO_CLEAN = auto()
    CBO_FLUSH = auto()
    CBO_ZERO = auto()
    WRS_NTO = auto()
    WRS_STO = auto()
    SINVAL_VMA = auto()
    SFENCE_W_INVAL = auto()
    SFENCE_INVAL_IR = auto()


class ExtensionInsn(NamedTuple):
    """An encoding: an instruction is this one if ``insn & mask == match`` and the hart has the feature."""

    name: str
    op: Op
    feature: Feature
    form: Form
    mask: int
    match: int
    only_xlen: int = 0


_IMM, _REG, _IMM_W, _REG_W, _FENCE, _SYSTEM = 0x13, 0x33, 0x1B, 0x3B, 0x0F, 0x73


def _row(
    name: str, feature: Feature, form: Form, opcode: int, funct3: int, high: int,
    *, op: Op | None = None, only_xlen: int = 0, shamt_bits: int = 0,
) -> ExtensionInsn:  # fmt: skip
    """An encoding; ``high`` is what stands above rs2, or above the number of bits to shift by, or above rs1."""
    at = {Form.REGISTERS: 25, Form.SHIFT: 20 + shamt_bits, Form.UNARY: 20, Form.OTHER: 20}[form]
    mask = 0x707F | (1 << 32) - (1 << at)
    if form is Form.OTHER:
        mask |= 31 << 7 | (31 << 15 if opcode == _SYSTEM else 0)
    kind = Op[name.upper().replace(".", "_")] if op is None else op
    return ExtensionInsn(name, kind, feature, form, mask, opcode | funct3 << 12 | high << at, only_xlen)


def _shift(name: str, feature: Feature, funct3: int, high: int, op: Op) -> Iterator[ExtensionInsn]:
    """A shift by a number below XLEN; ``high`` is bits 31 to 26."""
    yield _row(name, feature, Form.SHIFT, _IMM, funct3, high, op=op, only_xlen=64, shamt_bits=6)
    yield _row(name, feature, Form.SHIFT, _IMM, funct3, high << 1, op=op, only_xlen=32, shamt_bits=5)


def _rows() -> Iterator[ExtensionInsn]:
    zba, zbb, zbs, two, one = Feature.ZBA, Feature.ZBB, Feature.ZBS, Form.REGISTERS, Form.UNARY
    yield _row("add.uw", zba, two, _REG_W, 0, 0x04, only_xlen=64)
    for n in (1, 2, 3):
        yield _row(f"sh{n}add", zba, two, _REG, 2 * n, 0x10)
        yield _row(f"sh{n}add.uw", zba, two, _REG_W, 2 * n, 0x10, only_xlen=64)
    yield _row("slli.uw", zba, Form.SHIFT, _IMM_W, 1, 0x02, only_xlen=64, shamt_bits=6)
    yield _row("andn", zbb, two, _REG, 7, 0x20)
    yield _row("orn", zbb, two, _REG, 6, 0x20)
    yield _row("xnor", zbb, two, _REG, 4, 0x20)
    for n, name in enumerate(("clz", "ctz", "cpop")):
        yield _row(name, zbb, one, _IMM, 1, 0x600 + n)
        yield _row(f"{name}w", zbb, one, _IMM_W, 1, 0x600 + n, only_xlen=64)
    for funct3, name in enumerate(("min", "minu", "max", "maxu"), 4):
        yield _row(name, zbb, two, _REG, funct3, 0x05)
    yield _row("sext.b", zbb, one, _IMM, 1, 0x604)
    yield _row("sext.h", zbb, one, _IMM, 1, 0x605)
    yield _row("zext.h", zbb, one, _REG_W, 4, 0x080, only_xlen=64)
    yield _row("zext.h", zbb, one, _REG, 4, 0x080, only_xlen=32)
    yield _row("rol", zbb, two, _REG, 1, 0x30)
    yield _row("ror", zbb, two, _REG, 5, 0x30)
    yield _row("rolw", zbb, two, _REG_W, 1, 0x30, only_xlen=64)
    yield _row("rorw", zbb, two, _REG_W, 5, 0x30, only_xlen=64)
    yield from _shift("rori", zbb, 5, 0x18, Op.ROR)
    yield _row("roriw", zbb, Form.SHIFT, _IMM_W, 5, 0x30, op=Op.RORW, only_xlen=64, shamt_bits=5)
    yield _row("orc.b", zbb, one, _IMM, 5, 0x287)
    yield _row("rev8", zbb, one, _IMM, 5, 0x6B8, only_xlen=64)
    yield _row("rev8", zbb, one, _IMM, 5, 0x698, only_xlen=32)
    for name, funct3, high in (("bclr", 1, 0x24), ("bext", 5, 0x24), ("binv", 1, 0x34), ("bset", 1, 0x14)):
        yield _row(name, zbs, two, _REG, funct3, high)
        yield from _shift(f"{name}i", zbs, funct3, high >> 1, Op[name.upper()])
    yield _row("czero.eqz", Feature.ZICOND, two, _REG, 5, 0x07)
    yield _row("czero.nez", Feature.ZICOND, two, _REG, 7, 0x07)
    for high, name in enumerate(("cbo.inval", "cbo.clean", "cbo.flush")):
        yield _row(name, Feature.ZICBOM, Form.OTHER, _FENCE, 2, high)
    yield _row("cbo.zero", Feature.ZICBOZ, Form.OTHER, _FENCE, 2, 4)
    yield _row("wrs.nto", Feature.ZAWRS, Form.OTHER, _SYSTEM, 0, 0x00D)
    yield _row("wrs.sto", Feature.ZAWRS, Form.OTHER, _SYSTEM, 0, 0x01D)
    yield ExtensionInsn("sinval.vma", Op.SINVAL_VMA, Feature.SVINVAL, Form.OTHER, 0xFE007FFF, INSN_SINVAL_VMA)
    yield _row("sfence.w.inval", Feature.SVINVAL, Form.OTHER, _SYSTEM, 0, 0x180)
    yield _row("sfence.inval.ir", Feature.SVINVAL, Form.OTHER, _SYSTEM, 0, 0x181)


def place_of(insn: int) -> int:
    """Opcode and funct3 as one number below 256: rows are sorted by it, and found by it."""
    return insn >> 2 & 31 | (insn >> 12 & 7) << 5


ROWS = tuple(sorted(_rows(), key=lambda row: (place_of(row.match), row.match, row.mask)))
"""All encodings, sorted by ``place_of``."""

TRANSLATED = Feature.ZBA | Feature.ZBB | Feature.ZBS | Feature.ZICOND
"""Those that compute, for which Unicorn's translator can make code: see _helpers.c."""


@lru_cache(maxsize=1 << 14)
def extension_insn(insn: int, xlen: int) -> ExtensionInsn | None:
    """The row of an instruction, whether or not the hart has its extension; None for any other instruction."""
    if insn & 3 != 3:
        return None
    return next((row for row in ROWS if insn & row.mask == row.match and row.only_xlen in (0, xlen)), None)


def operand(row: ExtensionInsn, insn: int, rs2: int) -> int:
    """What it computes with beside rs1, where the register that is rs2 holds ``rs2``."""
    return rs2 if row.form is Form.REGISTERS else insn >> 20 & 63


def assembler(insn: int, xlen: int) -> str:
    """The instruction as an assembler writes it; nothing where it is not one of these."""
    row = extension_insn(insn, xlen)
    if row is None:
        return "pause" if insn == INSN_PAUSE else ""
    rd, rs1, rs2 = (ABI_NAMES[insn >> at & 31] for at in (7, 15, 20))
    if row.op is Op.SINVAL_VMA:
        return f"{row.name} {rs1}, {rs2}"
    if row.feature in (Feature.ZAWRS, Feature.SVINVAL):
        return row.name
    if row.form is Form.OTHER:
        return f"{row.name} ({rs1})"
    more = {Form.REGISTERS: f", {rs2}", Form.SHIFT: f", {insn >> 20 & 63:#x}"}.get(row.form, "")
    return f"{row.name} {rd}, {rs1}{more}"


# ---- what those that compute give


_LOW_32 = (1 << 32) - 1


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def _leading_zeros(a: int, bits: int) -> int:
    return bits - (a & (1 << bits) - 1).bit_length()


def _trailing_zeros(a: int, bits: int) -> int:
    a &= (1 << bits) - 1
    return (a & -a).bit_length() - 1 if a else bits


def _rotated(a: int, left: int, bits: int) -> int:
    a, left = a & (1 << bits) - 1, left % bits
    return a << left | a >> bits - left


def _with_full_bytes(a: int, bits: int) -> int:
    return sum(0xFF << at for at in range(0, bits, 8) if a >> at & 0xFF)


def _bit(b: int, bits: int) -> int:
    return 1 << b % bits


_COMPUTE: dict[Op, Callable[[int, int, int], int]] = {
    Op.ADD_UW: lambda a, b, bits: (a & _LOW_32) + b,
    Op.SH1ADD: lambda a, b, bits: (a << 1) + b,
    Op.SH2ADD: lambda a, b, bits: (a << 2) + b,
    Op.SH3ADD: lambda a, b, bits: (a << 3) + b,
    Op.SH1ADD_UW: lambda a, b, bits: ((a & _LOW_32) << 1) + b,
    Op.SH2ADD_UW: lambda a, b, bits: ((a & _LOW_32) << 2) + b,
    Op.SH3ADD_UW: lambda a, b, bits: ((a & _LOW_32) << 3) + b,
    Op.SLLI_UW: lambda a, b, bits: (a & _LOW_32) << b,
    Op.ANDN: lambda a, b, bits: a & ~b,
    Op.ORN: lambda a, b, bits: a | ~b,
    Op.XNOR: lambda a, b, bits: ~(a ^ b),
    Op.CLZ: lambda a, b, bits: _leading_zeros(a, bits),
    Op.CTZ: lambda a, b, bits: _trailing_zeros(a, bits),
    Op.CPOP: lambda a, b, bits: a.bit_count(),
    Op.CLZW: lambda a, b, bits: _leading_zeros(a, 32),
    Op.CTZW: lambda a, b, bits: _trailing_zeros(a, 32),
    Op.CPOPW: lambda a, b, bits: (a & _LOW_32).bit_count(),
    Op.MAX: lambda a, b, bits: max(_signed(a, bits), _signed(b, bits)),
    Op.MAXU: lambda a, b, bits: max(a, b),
    Op.MIN: lambda a, b, bits: min(_signed(a, bits), _signed(b, bits)),
    Op.MINU: lambda a, b, bits: min(a, b),
    Op.SEXT_B: lambda a, b, bits: _signed(a, 8),
    Op.SEXT_H: lambda a, b, bits: _signed(a, 16),
    Op.ZEXT_H: lambda a, b, bits: a & 0xFFFF,
    Op.ROL: lambda a, b, bits: _rotated(a, b, bits),
    Op.ROR: lambda a, b, bits: _rotated(a, -b, bits),
    Op.ROLW: lambda a, b, bits: _signed(_rotated(a, b, 32), 32),
    Op.RORW: lambda a, b, bits: _signed(_rotated(a, -b, 32), 32),
    Op.ORC_B: lambda a, b, bits: _with_full_bytes(a, bits),
    Op.REV8: lambda a, b, bits: int.from_bytes(a.to_bytes(bits // 8, "little"), "big"),
    Op.BCLR: lambda a, b, bits: a & ~_bit(b, bits),
    Op.BEXT: lambda a, b, bits: a >> b % bits & 1,
    Op.BINV: lambda a, b, bits: a ^ _bit(b, bits),
    Op.BSET: lambda a, b, bits: a | _bit(b, bits),
    Op.CZERO_EQZ: lambda a, b, bits: a if b else 0,
    Op.CZERO_NEZ: lambda a, b, bits: 0 if b else a,
}


def compute(op: Op, a: int, b: int, xlen: int) -> int:
    """The result of an instruction that computes; ``compute`` in _extensions.h is the same.

    Args:
        op: What it does.
        a: The register rs1, ``xlen`` bits.
        b: What ``operand`` gives.
        xlen: 32 or 64.
    """
    return _COMPUTE[op](a, b, xlen) & (1 << xlen) - 1
