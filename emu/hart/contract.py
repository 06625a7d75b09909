"""What the hart's C files and Python agree on, from one source: ``_contract.h`` is made here, and compared at start.

Everything C and Python both know comes from spec.py, cpu.py, csr_table.py, extensions.py, shared.py and layout.py.
``python -m minstret.emu.hart.contract`` writes it into the header that the C files include; a test sees that it is up
to date. What was compiled tells its names, offsets, sizes and values, and ``check`` compares them with those here: a
library that was built from other sources is one clear error and never runs.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable
from enum import IntEnum, IntFlag
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any
from zlib import crc32

from minstret.emu import clock, registers
from minstret.emu.errors import HostError
from minstret.emu.hart import cpu, layout, shared, spec
from minstret.emu.hart.binding import REGISTERS
from minstret.emu.hart.csr_table import CSRS, MSTATUS_BOGUS, PMP_ENTRIES, CsrRow, Ours
from minstret.emu.hart.extensions import ROWS, TRANSLATED, Op
from minstret.emu.hart.shared import FIELDS, LAYOUT, Shared

HEADER = Path(__file__).resolve().with_name("_contract.h")
CALLBACKS, HELPERS = "callbacks", "functions in Unicorn's place"

_ENUMS: tuple[tuple[str, type[IntEnum | IntFlag]], ...] = (
    ("PROT", shared.Prot), ("MEM", shared.Access), ("FAULT", shared.Fault), ("STOP", shared.Stop),
    ("PAGE", shared.PageFlag), ("CAUSE", spec.Cause), ("", spec.Interrupt), ("OURS", Ours), ("FP", spec.FpOp),
    ("ASKED", shared.Asked), ("TRANSFER", shared.TransferKind), ("FEATURE", cpu.Feature),
    *registers.UART_ENUMS,
)  # fmt: skip
"""Enumerations that C has too, and what its names begin with."""

_NUMBERS = (
    "PAGE_BITS", "PAGE_SIZE", "CACHED_REGISTERS", "SPECIAL_BITS", "SPECIAL_MASK", "DEMOTE_AFTER_WRITES",
    "TRAP_LOOP_TRAPS", "WORK_OF_INVALIDATION", "STALE_PAGES_MAX", "WALK_LEVELS", "WALKS",
)  # fmt: skip
"""Constants of shared.py."""

_SPEC_NUMBERS = (
    "REG_RA", "REG_SP", "REG_T0", "REG_FP",
    "PRIV_U", "PRIV_S", "PRIV_M", "PTE_V", "PTE_R", "PTE_W", "PTE_X", "PTE_U", "PTE_A", "PTE_D", "MSTATUS_MPP_SHIFT",
    "SATP_MODE_SHIFT", "SATP_SV39", "SATP_SV48", "SATP_SV57",
    "OP_LOAD", "OP_LOAD_FP", "OP_STORE", "OP_STORE_FP", "OP_AMO", "OP_FMADD", "OP_FP", "OP_SYSTEM", "OP_JALR", "OP_JAL",
    "CSRRW", "CSRRS", "CSRRC", "AMO_LR", "CACHE_BLOCK",
)  # fmt: skip
_SPEC_BITS = (
    "MSTATUS_SIE", "MSTATUS_MIE", "MSTATUS_SPIE", "MSTATUS_MPIE", "MSTATUS_SPP", "MSTATUS_MPP", "MSTATUS_FS",
    "MSTATUS_MPRV", "MSTATUS_SUM", "MSTATUS_MXR", "MSTATUS_TVM", "MSTATUS_TW", "MSTATUS_TSR", "MSTATUS_UXL",
    "INSN_ECALL", "INSN_EBREAK", "INSN_WFI", "INSN_SRET", "INSN_MRET", "INSN_C_EBREAK", "S_INTERRUPTS", "M_INTERRUPTS",
    "PMP_LOCKED", "ENVCFG_CBIE", "ENVCFG_CBCFE", "ENVCFG_CBZE", "PTE_N", "PTE_PBMT", "MENVCFG_ADUE", "MENVCFG_PBMTE",
)  # fmt: skip
_SHARED_BITS = (
    "NOWHERE", "NEVER", "CTL_TB_REQUEST_CACHE", "CTL_TB_REMOVE_CACHE", "CTL_TB_FLUSH", "CTL_TLB_FLUSH",
)  # fmt: skip
_CSRS = ("FFLAGS", "FCSR", "SSTATUS", "SATP")

_TIMES = (("VIRTUAL_NS_MAX", clock.VIRTUAL_NS_MAX), ("TIMER_NEVER", registers.TIMER_NEVER))

_REGISTERS: tuple[tuple[str, type[ctypes.Structure]], ...] = (
    ("plic", registers.PlicRegisters), ("uart", registers.UartRegisters),
    ("clint", registers.ClintRegisters),
)  # fmt: skip

_STATUS_BEFORE_FLAGS = 2  # bytes from the start of softfloat's status to its flags


# ---- what is agreed


def enums() -> list[list[tuple[str, int]]]:
    """Numbers that are enumeration constants in C, in groups."""
    groups = [
        [(name, int(getattr(shared, name))) for name in _NUMBERS] + [("PMP_ENTRIES", PMP_ENTRIES)],
        [(name, int(getattr(spec, name))) for name in _SPEC_NUMBERS],
        [("UC_RISCV_REG_PC", REGISTERS["pc"])],
        [(name, int(getattr(registers, name))) for name in registers.PLIC_NUMBERS + registers.UART_NUMBERS],
    ]
    for prefix, kind in _ENUMS:
        groups.append([(f"{prefix}_{member.name}" if prefix else str(member.name), int(member)) for member in kind])
    return groups


def bit_masks() -> list[tuple[str, int]]:
    """Bits of registers, instructions, CSR numbers and other numbers that are unsigned in C."""
    bits = [(name, int(getattr(spec, name))) for name in _SPEC_BITS]
    bits += [(name, int(getattr(shared, name))) for name in _SHARED_BITS]
    bits += [(f"CSR_{name}", int(spec.Csr[name])) for name in _CSRS]
    bits += [("EXTENSIONS_TRANSLATED", int(TRANSLATED)), ("EXTENSION_TABLE", _extension_table())]
    return [*bits, ("MSTATUS_BOGUS", MSTATUS_BOGUS), *_TIMES]


def helper_offsets() -> list[tuple[str, int]]:
    """Where the helpers find Unicorn's state, and ours: offsets in bytes."""
    offsets = [("ENV_IN_CPU", layout.ENV_IN_CPU)]
    for xlen in (64, 32):
        at = layout.offsets(xlen)
        status = at["softfloat_flags"] - _STATUS_BEFORE_FLAGS
        offsets += [(f"STATUS_{xlen}", status), (f"MSTATUS_{xlen}", at["mstatus"]), (f"F_{xlen}", at["f"])]
        offsets += [(f"SHARED_{xlen}", layout.FREE_WORD[xlen]), (f"PC_{xlen}", at["pc"]), (f"PRIV_{xlen}", at["priv"])]
    in_shared = (
        "icount", "fast_limit", "block_pc", "block_insns", "engine", "cpu",
        "counts_itself", "leaves_access", "leaves_return", "reads_counter", "trap_at_end", "fill_plainly",
    )  # fmt: skip
    return offsets + [(f"{name.upper()}_IN_SHARED", getattr(Shared, name).offset) for name in in_shared]


def ours() -> list[CsrRow]:
    """The CSRs that the C callbacks must know."""
    return [row for row in CSRS if row.ours is not Ours.NEVER]


def _csr_table() -> int:
    """All that the callbacks know of CSRs, as one number."""
    return crc32(";".join(f"{row.number},{row.ours:d},{row.word},{row.mask}" for row in ours()).encode())


def _extension_table() -> int:
    """All that C knows of the instructions in extensions.py, as one number."""
    text = ";".join(f"{row.op:d},{row.feature:d},{row.form:d},{row.mask},{row.match},{row.only_xlen}" for row in ROWS)
    return crc32(text.encode())


def _registers_layout() -> int:
    """The names of the registers that C answers, and how many of each there are, as one number."""
    return crc32(_registers_structs().encode())


def _registers_structs() -> str:
    return "".join(
        f"struct {name} {{\n" + "".join(f"    {_declared(field)};\n" for field in kind._fields_) + "};\n"
        for name, kind in _REGISTERS
    )


def _declared(field: tuple[Any, ...]) -> str:
    name, kind = field[:2]
    element = getattr(kind, "_type_", None) if hasattr(kind, "_length_") else kind
    length = f"[{kind._length_}]" if hasattr(kind, "_length_") else ""
    return f"{'uint8_t' if element is ctypes.c_uint8 else 'uint64_t'} {name}{length}"


def _place(offset: int, size: int) -> int:
    """Offset and size of a field as one number; FIELD in the header makes the same."""
    return offset << 16 | size


@cache
def agreed(library: str) -> tuple[str, bytes]:
    """What a library has to tell: names, one space between two, and their values, 64 bits each."""
    if library == HELPERS:
        pairs = helper_offsets() + bit_masks()
    else:
        pairs = [pair for group in enums() for pair in group] + bit_masks()
        pairs += [("CSR_TABLE", _csr_table()), ("SHARED_SIZE", ctypes.sizeof(Shared))]
        pairs += [("REGISTERS", _registers_layout())]
        pairs += [(f"{name.upper()}_SIZE", ctypes.sizeof(kind)) for name, kind in _REGISTERS]
        for name, _ in FIELDS:
            field = getattr(Shared, name)
            pairs.append((name, _place(field.offset, field.size)))
    names, values = zip(*pairs, strict=True)
    return " ".join(names), struct.pack(f"={len(values)}Q", *values)


def check(library: str, names: str, values: bytes) -> None:
    """Compare what a library tells with what is agreed.

    Args:
        library: CALLBACKS or HELPERS.
        names: The library's names.
        values: Their values; what is behind the last one doesn't matter.
    Raises:
        HostError: it was built from other sources; the text says what differs.
    """
    expected_names, expected_values = agreed(library)
    if names == expected_names and values[: len(expected_values)] == expected_values:
        return
    raise HostError(
        f"the C {library} were built from another version of minstret ({_difference(library, names, values)}):"
        " reinstall it (pip install --force-reinstall, or pip install -e . in a clone)"
    )


def _difference(library: str, names: str, values: bytes) -> str:
    expected_names, expected_values = agreed(library)
    here = dict(
        zip(expected_names.split(), struct.unpack(f"={len(expected_values) // 8}Q", expected_values), strict=True)
    )
    count = min(len(names.split()), len(values) // 8)
    there = dict(zip(names.split()[:count], struct.unpack(f"={count}Q", values[: 8 * count]), strict=True))
    if not there:
        return "they do not say what they were built from"
    for name, value in here.items():
        if name not in there:
            return f"they have no {name}"
        if there[name] != value:
            return f"{name} is {_in_words(name, there[name])} there and {_in_words(name, value)} here"
    extra = next((name for name in there if name not in here), "")
    return f"they have {extra}, which is not here" if extra else "the order of what they have in common"


def _in_words(name: str, value: int) -> str:
    if name in dict(FIELDS):
        return f"{value & 0xFFFF} bytes at {value >> 16}"
    return str(value)


# ---- the header


def header_text() -> str:
    """The text of ``_contract.h``."""
    masks = "".join(f"#define {name} {_unsigned(value)}\n" for name, value in bit_masks())
    parts = [
        "/* Made by `python -m minstret.emu.hart.contract`, which says what from: don't edit. */\n"
        "#ifndef MINSTRET_CONTRACT_H\n#define MINSTRET_CONTRACT_H\n\n#include <stddef.h>\n#include <stdint.h>\n",
        "/* What a library tells: HELPERS_CONTRACT(X) and CALLBACKS_CONTRACT(X, FIELD) name each thing in order. */\n"
        '#define CONTRACT_NAME(name) " " #name\n'
        "#define CONTRACT_VALUE(name) (uint64_t)(name),\n",
        "/* For _helpers.c: where Unicorn keeps what, and struct shared, in bytes. */\n" + _enum(helper_offsets()),
        "/* For both: bits of registers, instructions, CSR numbers and others. */\n" + masks,
        _enum([(f"DO_{op.name}", int(op)) for op in Op]) + _extension_rows(),
        _contract("HELPERS_CONTRACT(X)", [f"X({name})" for name, _ in helper_offsets() + bit_masks()]),
        "/* For _callbacks.c, after Python.h. */\n#ifdef Py_PYTHON_H\n",
        "".join(_enum(group) for group in enums()),
        "/* Registers of devices: emu/registers.py tells more. */\n" + _registers_structs(),
        "struct block;\nstruct flow;\n\n/* One hart's side of what is shared: shared.py tells more. */\n" + _struct(),
        _csr_rows(),
        f"#define CSR_TABLE {_unsigned(_csr_table())} /* a CRC of CSR_ROWS */\n"
        "#define SHARED_SIZE sizeof(struct shared)\n"
        f"#define REGISTERS {_unsigned(_registers_layout())} /* a CRC of struct plic, struct uart, struct clint */\n"
        "#define PLIC_SIZE sizeof(struct plic)\n#define UART_SIZE sizeof(struct uart)\n"
        "#define CLINT_SIZE sizeof(struct clint)\n"
        "#define CONTRACT_FIELD(name) \\\n"
        "    ((uint64_t)offsetof(struct shared, name) << 16 | sizeof(((struct shared *)0)->name)),\n",
        _contract("CALLBACKS_CONTRACT(X, FIELD)", _callbacks_contract()),
        "#endif /* Py_PYTHON_H */\n\n#endif\n",
    ]
    return "\n".join(parts)


def _callbacks_contract() -> list[str]:
    numbers = [name for group in enums() for name, _ in group] + [name for name, _ in bit_masks()]
    listed = [
        f"X({name})"
        for name in (*numbers, "CSR_TABLE", "SHARED_SIZE", "REGISTERS", "PLIC_SIZE", "UART_SIZE", "CLINT_SIZE")
    ]
    return listed + [f"FIELD({name})" for name, _ in FIELDS]


def _unsigned(value: int) -> str:
    return f"{value:#x}u" if value < 1 << 32 else f"{value:#x}ull"


def _wrapped(items: Iterable[str], between: str = ", ", end: str = "") -> str:
    """Lines of items, which are never broken."""
    lines = [""]
    for item in items:
        if lines[-1] and len(lines[-1]) + len(between) + len(item) > 108:
            lines.append("")
        lines[-1] += (between if lines[-1] else "") + item
    return f"{between.rstrip()}{end}\n".join(f"    {line}" for line in lines)


def _enum(members: list[tuple[str, int]]) -> str:
    return "enum {\n" + _wrapped(f"{name} = {value}" for name, value in members) + "\n};\n"


def _struct() -> str:
    import textwrap  # not at each start

    lines = []
    for comment, group in LAYOUT:
        lines.append(textwrap.fill(f"/* {comment} */", 116, initial_indent="    ", subsequent_indent="     * "))
        for names, kind in group:
            if isinstance(kind, str):
                lines += [f"    {kind.replace('@', name)};" for name in names.split()]
            else:
                length = f"[{kind._length_}]" if hasattr(kind, "_length_") else ""
                declared = f"uint64_t {', '.join(name + length for name in names.split())};"
                lines.append(textwrap.fill(declared, 116, initial_indent="    ", subsequent_indent="        "))
    return "struct shared {\n" + "\n".join(lines) + "\n};\n"


def _extension_rows() -> str:
    lines = []
    for row in ROWS:
        bits = f"{row.mask:#010x}u, {row.match:#010x}u, {int(row.feature):#x}u"
        lines.append(f"    {{{bits}, DO_{row.op.name}, {row.form:d}, {row.only_xlen}}},\n")
    return (
        "/* The instructions that Unicorn does not know (extensions.py), sorted by place_of. `feature` is the bit of\n"
        " * FEATURE_..., `form` what they compute with: a register, a number, nothing, or they do not compute. */\n"
        "enum { FORM_REGISTERS, FORM_SHIFT, FORM_UNARY, FORM_OTHER };\n"
        "static const struct extension_row {\n    uint32_t mask, match, feature;\n    uint8_t op, form, only_xlen;\n"
        "} EXTENSION_ROWS[] = {\n" + "".join(lines) + "};\n"
    )


def _csr_rows() -> str:
    """The CSRs of one kind whose numbers follow each other are one row."""
    lines = []
    rows = [(row.number - i, row) for i, row in enumerate(ours())]
    for (_, kind, word, mask), group in groupby(rows, lambda pair: (pair[0], pair[1].ours, pair[1].word, pair[1].mask)):
        numbers = [row.number for _, row in group]
        at, bits = (f"offsetof(struct shared, off_{word})", f"{mask:#x}ull") if kind is Ours.WRONG_BITS else ("0", "0")
        lines.append(f"    {{{numbers[0]:#05x}, {numbers[-1]:#05x}, OURS_{kind.name}, {at}, {bits}}},")
    return (
        "/* The CSRs of which the hart executes accesses itself, and when (csr_table.py); where the callbacks find\n"
        " * the word of Unicorn's state that has their value, and which bits of it exist. */\n"
        "static const struct csr_row {\n    uint16_t first, last, ours, word;\n    uint64_t mask;\n"
        "} CSR_ROWS[] = {\n" + "\n".join(lines) + "\n};\n"
    )  # fmt: skip


def _contract(macro: str, listed: list[str]) -> str:
    """The names that a library tells, with their values, as a macro."""
    return f"#define {macro} \\\n{_wrapped(listed, ' ', chr(32) + chr(92))}\n"


def main() -> None:
    """Write the header."""
    HEADER.write_text(header_text())


if __name__ == "__main__":
    main()
