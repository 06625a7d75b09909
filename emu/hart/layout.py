"""Where Unicorn keeps a RISC-V hart's state, and the check that it really is there.

Unicorn's interface reads some registers as noise below their privilege and drops the reservation when
others are written. So the hart works on the CPU state in place. Its layout is private to Unicorn: it is
pinned to one version, and every offset used is tried with known values before the first instruction.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import Any, NamedTuple

from minstret.emu.errors import HostError
from minstret.emu.hart.binding import REGISTERS, Uc, unicorn_version

UNICORN_VERSION = "2.1.4"

# uc_struct.cpu and CPUState.env_ptr, in bytes, for 64-bit hosts.
_CPU_IN_ENGINE = 0x1B8
ENV_IN_CPU = 0x128
_NEXT_CFLAGS_IN_CPU = 0x18  # CPUState.cflags_next_tb
_NO_CFLAGS = 0xFFFFFFFF

_MIN_POINTER = 0x1000

# Offsets within CPURISCVState. Words have XLEN bits; f registers 64; fflags is softfloat's byte.
_OFFSETS_RV64 = {
    "x": 0x000, "f": 0x100, "pc": 0x200, "load_res": 0x208, "load_val": 0x210, "frm": 0x218,
    "priv": 0x250, "mstatus": 0x270, "mie": 0x288, "mideleg": 0x290, "satp": 0x2A0,
    "stval": 0x2A8, "mtval": 0x2B0, "medeleg": 0x2B8, "stvec": 0x2C0, "sepc": 0x2C8, "scause": 0x2D0,
    "mtvec": 0x2D8, "mepc": 0x2E0, "mcause": 0x2E8, "scounteren": 0x3B8, "mcounteren": 0x3C0,
    "sscratch": 0x3C8, "mscratch": 0x3D0, "softfloat_flags": 0x603,
}  # fmt: skip
_OFFSETS_RV32 = {
    "x": 0x000, "f": 0x080, "pc": 0x180, "load_res": 0x184, "load_val": 0x188, "frm": 0x18C,
    "priv": 0x1A8, "mstatus": 0x1B8, "mie": 0x1C8, "mideleg": 0x1CC, "satp": 0x1D4,
    "stval": 0x1D8, "mtval": 0x1DC, "medeleg": 0x1E0, "stvec": 0x1E4, "sepc": 0x1E8, "scause": 0x1EC,
    "mtvec": 0x1F0, "mepc": 0x1F4, "mcause": 0x1F8, "scounteren": 0x270, "mcounteren": 0x274,
    "sscratch": 0x278, "mscratch": 0x27C, "softfloat_flags": 0x3AB,
}  # fmt: skip
_OFFSETS = {64: _OFFSETS_RV64, 32: _OFFSETS_RV32}
FREE_WORD = {64: 0x3E8, 32: 0x290}
"""Where that state has 64 bits that Unicorn has no use for (timecmp): 0, until somebody keeps something there."""

# Registers that Unicorn's own interface can write, with a value that the register keeps.
_PROBES = (
    ("frm", 0x2),
    ("mie", 0x2AA),
    ("mideleg", 0x222),
    ("satp", 0x15A5A5),
    ("stval", 0x5A5A5A01),
    ("mtval", 0x5A5A5A02),
    ("medeleg", 0x10D),
    ("stvec", 0x5A5A5A00),
    ("sepc", 0x5A5A5A04),
    ("scause", 0x5A),
    ("mtvec", 0x5A5A5B00),
    ("mepc", 0x5A5A5A08),
    ("mcause", 0x5B),
    ("scounteren", 0x5),
    ("mcounteren", 0x6),
    ("sscratch", 0x5A5A5A09),
    ("mscratch", 0x5A5A5A0A),
    ("pc", 0x5A5A5A10),
)


def offsets(xlen: int) -> dict[str, int]:
    """Byte offsets of the fields of Unicorn's CPU state for ``xlen`` (32 or 64)."""
    return _OFFSETS[xlen]


def _env_type(xlen: int) -> type[ctypes.Structure]:
    word = ctypes.c_uint64 if xlen == 64 else ctypes.c_uint32
    fields: list[tuple[str, Any]] = []
    at = 0
    for name, offset in sorted(_OFFSETS[xlen].items(), key=lambda item: item[1]):
        if offset > at:
            fields.append((f"_gap_{at:x}", ctypes.c_uint8 * (offset - at)))
        kind: Any = {"x": word * 32, "f": ctypes.c_uint64 * 32, "softfloat_flags": ctypes.c_uint8}.get(name, word)
        fields.append((name, kind))
        at = offset + ctypes.sizeof(kind)
    return type(f"Env{xlen}", (ctypes.Structure,), {"_pack_": 1, "_layout_": "ms", "_fields_": fields})


ENV_TYPES = {xlen: _env_type(xlen) for xlen in _OFFSETS}


class LiveState(NamedTuple):
    """The hart's state inside one Unicorn engine."""

    address: int
    env: Any  # an instance of ENV_TYPES[xlen]
    cpu: int  # address of what Unicorn calls the CPU, which has it
    next_cflags: int  # address of the 32-bit word that bounds the next block's instructions


def engine_address(uc: Uc) -> int:
    """The address of Unicorn's engine, as its C interface takes it."""
    return uc.handle.value or 0


class _OwnMemory:
    """Reads our own process's memory without crashing on an address that is not mapped."""

    def __init__(self) -> None:
        try:
            self._file = os.open("/proc/self/mem", os.O_RDONLY)
        except OSError:
            self._file = -1

    def read(self, address: int, size: int) -> bytes | None:
        if self._file < 0:  # not Linux: the version pin has to do
            return ctypes.string_at(address, size)
        try:
            data = os.pread(self._file, size, address)
        except (OSError, OverflowError):
            return None
        return data if len(data) == size else None

    def pointer(self, address: int) -> int:
        data = self.read(address, 8)
        value = int.from_bytes(data, "little") if data else 0
        return value if value >= _MIN_POINTER and value % 8 == 0 else 0

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)


def refusal(what: str) -> HostError:
    """The error for a Unicorn whose state is not laid out as ours."""
    return HostError(
        f"this Unicorn ({unicorn_version()}) does not keep a RISC-V hart's state where expected ({what});"
        f" minstret needs unicorn=={UNICORN_VERSION} as built for PyPI: pip install unicorn=={UNICORN_VERSION}"
    )


def find_live_state(uc: Uc, xlen: int) -> LiveState:
    """Find the hart's state inside ``uc``, and prove with known values that it is what we think.

    Leaves the registers it tried as they were.

    Raises:
        HostError: another version of Unicorn, or a build with another layout.
    """
    if unicorn_version() != UNICORN_VERSION:
        raise refusal("wrong version")
    if ctypes.sizeof(ctypes.c_void_p) != 8 or mmap.PAGESIZE < 4096:
        raise HostError("minstret needs a 64-bit Python")
    uc.reg_write(REGISTERS["x0"] + 1, 0)  # the engine makes its CPU with the first call
    memory = _OwnMemory()
    try:
        cpu = memory.pointer(engine_address(uc) + _CPU_IN_ENGINE)
        address = memory.pointer(cpu + ENV_IN_CPU) if cpu else 0
        kind = ENV_TYPES[xlen]
        if not address or memory.read(address, ctypes.sizeof(kind)) is None:
            raise refusal("CPU pointer")
        if memory.read(cpu + _NEXT_CFLAGS_IN_CPU, 4) != _NO_CFLAGS.to_bytes(4, "little"):
            raise refusal("the next block's flags")
    finally:
        memory.close()
    env = kind.from_address(address)
    _check(uc, env, xlen)
    return LiveState(address, env, cpu, cpu + _NEXT_CFLAGS_IN_CPU)


def _check(uc: Uc, env: Any, xlen: int) -> None:
    before = bytes(env)
    if any(before[FREE_WORD[xlen] :][:8]):
        raise refusal("a free word")
    for fs in (0, 0x6000):  # ends with FS on: fflags and f registers are writable
        uc.reg_write(REGISTERS["mstatus"], fs)
        if env.mstatus & 0x6000 != fs:
            raise refusal("mstatus")
    for name, value in _PROBES:
        number = REGISTERS[name]
        uc.reg_write(number, value)
        if getattr(env, name) != value:
            raise refusal(name)
        setattr(env, name, 0)
        if uc.reg_read(number) != 0:
            raise refusal(f"{name}, written in place")
    for index in (1, 31):
        uc.reg_write(REGISTERS["x0"] + index, 0x600D0000 + index)
        uc.reg_write(REGISTERS["f0"] + index, 0x600DF000 + index)
        if env.x[index] != 0x600D0000 + index or env.f[index] != 0x600DF000 + index:
            raise refusal("registers")
    for riscv_bits in range(32):
        uc.reg_write(REGISTERS["fflags"], riscv_bits)
        if fflags_from_softfloat(env.softfloat_flags) != riscv_bits:
            raise refusal("fflags")
    if env.priv != 3:
        raise refusal("priv")
    env.priv = 1
    if uc.reg_read(REGISTERS["priv"]) != 1:
        raise refusal("priv, written in place")
    ctypes.memmove(ctypes.addressof(env), before, len(before))


# RISC-V fflags bit -> softfloat's: NX inexact, UF underflow, OF overflow, DZ divbyzero, NV invalid.
_SOFTFLOAT_BITS = (32, 16, 8, 4, 1)


def fflags_from_softfloat(flags: int) -> int:
    """RISC-V's fflags from softfloat's exception byte."""
    return sum(1 << bit for bit, mask in enumerate(_SOFTFLOAT_BITS) if flags & mask)


def softfloat_from_fflags(fflags: int) -> int:
    """Softfloat's exception byte from RISC-V's fflags."""
    return sum(mask for bit, mask in enumerate(_SOFTFLOAT_BITS) if fflags >> bit & 1)
