"""A minimal writer of ELF executables, and guests to put into them, for tests."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from support import asm

from minstret.devices.board.map import Base

RAM = int(Base.RAM)
UART0, FINISHER, CLINT = int(Base.UART0), int(Base.FINISHER), int(Base.CLINT)

EM_RISCV, ET_EXEC, ET_REL = 243, 2, 1
_PT_LOAD, _PT_NOTE, _RWX = 1, 4, 7
_SHT_PROGBITS, _SHT_SYMTAB, _SHT_STRTAB = 1, 2, 3
_STB_GLOBAL, _STT_FUNC, _SHN_ABS = 1, 2, 0xFFF1


@dataclass(frozen=True)
class Load:
    """A PT_LOAD segment; by default as long in memory as in the file, at its own physical address.

    ``with_headers``: the file's headers go before the data, as linkers put them there. ``is_note``: the data is a note.
    ``section``: the data is a section of that name.
    """

    vaddr: int
    data: bytes
    paddr: int | None = None
    memory_size: int | None = None
    with_headers: bool = False
    is_note: bool = False
    section: str | None = None


def elf_bytes(
    *loads: Load,
    entry: int = RAM,
    xlen: int = 64,
    machine: int = EM_RISCV,
    kind: int = ET_EXEC,
    big_endian: bool = False,
    symbols: dict[str, tuple[int, int]] | None = None,
) -> bytes:
    """An ELF file with these segments, and a symbol table for ``symbols``: name to (address, size)."""
    order, is64 = ">" if big_endian else "<", xlen == 64
    header_size, program_size, section_size = (64, 56, 64) if is64 else (52, 32, 40)
    program_count = len(loads) + sum(load.is_note for load in loads)
    at = header_size + program_size * program_count
    programs = b""
    for load in loads:
        programs += _program_header(order, is64, load, at)
        if load.is_note:
            programs += _program_header(order, is64, load, at, _PT_NOTE)
        at += len(load.data)
    body = b"".join(load.data for load in loads)
    sections, section_count, tables = b"", 0, b""
    if symbols is not None or any(load.section for load in loads):
        names, entries = _symbol_table(order, is64, symbols or {})
        symtab_size = 24 if is64 else 16
        named = b""
        where = header_size + program_size * program_count
        for load in loads:
            if load.section is not None:
                named += _section_header(order, is64, len(names), _SHT_PROGBITS, where, len(load.data))
                names += load.section.encode() + b"\0"
            where += len(load.data)
        tables = entries + names
        sections = (
            bytes(section_size)
            + _section_header(order, is64, 0, _SHT_SYMTAB, at, len(entries), link=2, info=1, entry_size=symtab_size)
            + _section_header(order, is64, 0, _SHT_STRTAB, at + len(entries), len(names))
            + named
        )
        section_count = len(sections) // section_size
    word = "Q" if is64 else "I"
    header = struct.pack(
        f"{order}4sBBBB8xHHI{word}{word}{word}IHHHHHH",
        b"\x7fELF", 2 if is64 else 1, 2 if big_endian else 1, 1, 0, kind, machine, 1, entry, header_size,
        at + len(tables) if section_count else 0, 0, header_size, program_size, program_count, section_size,
        section_count, 2 if section_count else 0,
    )  # fmt: skip
    return header + programs + body + tables + sections


def _program_header(order: str, is64: bool, load: Load, offset: int, kind: int = _PT_LOAD) -> bytes:
    paddr = load.vaddr if load.paddr is None else load.paddr
    before = offset if load.with_headers else 0
    file_size = before + len(load.data)
    size = file_size if load.memory_size is None else before + load.memory_size
    offset, vaddr, paddr = offset - before, load.vaddr - before, paddr - before
    if is64:
        return struct.pack(f"{order}IIQQQQQQ", kind, _RWX, offset, vaddr, paddr, file_size, size, 4)
    return struct.pack(f"{order}IIIIIIII", kind, offset, vaddr, paddr, file_size, size, _RWX, 4)


def _symbol_table(order: str, is64: bool, symbols: dict[str, tuple[int, int]]) -> tuple[bytes, bytes]:
    names, entries = b"\0", bytes(24 if is64 else 16)
    for name, (address, size) in symbols.items():
        info = _STB_GLOBAL << 4 | _STT_FUNC
        if is64:
            entries += struct.pack(f"{order}IBBHQQ", len(names), info, 0, _SHN_ABS, address, size)
        else:
            entries += struct.pack(f"{order}IIIBBH", len(names), address, size, info, 0, _SHN_ABS)
        names += name.encode() + b"\0"
    return names, entries


def _section_header(
    order: str, is64: bool, name: int, kind: int, offset: int, size: int, link: int = 0, info: int = 0,
    entry_size: int = 0,
) -> bytes:  # fmt: skip
    word = "Q" if is64 else "I"
    return struct.pack(
        f"{order}II{word}{word}{word}{word}II{word}{word}",
        name, kind, 0, 0, offset, size, link, info, 1, entry_size,
    )  # fmt: skip


def write_elf(path: Path, code: bytes, xlen: int = 64, symbols: dict[str, tuple[int, int]] | None = None) -> Path:
    """An executable of one segment at the start of RAM."""
    path.write_bytes(elf_bytes(Load(RAM, code), xlen=xlen, symbols=symbols))
    return path


# ---- guests


def exits_with(value: int) -> bytes:
    """Writes ``value`` to the finisher: 0x5555 passes, code << 16 | 0x3333 fails."""
    return asm.code(asm.li(asm.T0, FINISHER), asm.li(asm.T1, value), asm.sw(asm.T1, asm.T0, 0), asm.LOOP)


def fails_with(code: int) -> bytes:
    """Fails with the exit code ``code``."""
    return exits_with(code << 16 | 0x3333)


PASSES = exits_with(0x5555)


def says(text: bytes) -> bytes:
    """Sends ``text`` and continues with the code after it. Leaves the UART's address in t0."""
    sends = [word for byte in text for word in (asm.addi(asm.T1, 0, byte), asm.sb(asm.T1, asm.T0, 0))]
    return asm.code(asm.li(asm.T0, UART0), sends)


LOOPS = asm.code(asm.LOOP)
"""Runs forever."""

WAITS = asm.code(asm.WFI, asm.jal(0, -4))
"""Waits, with no interrupt enabled: forever."""

SLEEPS = asm.code(
    asm.li(asm.T0, CLINT + 0x4000), asm.addi(asm.T1, 0, 1000), asm.sw(0, asm.T0, 0), asm.sw(asm.T1, asm.T0, 4),
    asm.addi(asm.T1, 0, 128), asm.csrw("mie", asm.T1), asm.WFI, asm.LOOP,
)  # fmt: skip
"""Waits for a timer that is days away."""

CHATTERS = asm.code(
    asm.li(asm.T0, UART0),
    asm.addi(asm.T1, 0, ord("x")), asm.addi(asm.T2, 0, ord("\n")),
    asm.sb(asm.T1, asm.T0, 0),
    asm.sb(asm.T2, asm.T0, 0),
    asm.jal(0, -8),
)  # fmt: skip
"""Sends lines forever."""

ECHOES = asm.code(
    asm.li(asm.T0, UART0),
    asm.li(asm.T3, FINISHER),
    asm.li(asm.T4, 0x5555),
    asm.addi(asm.T2, 0, ord("q")),
    asm.lb(asm.T1, asm.T0, 5),  # poll: LSR
    0x00137313,  # andi t1, t1, 1: DATA_READY
    asm.beq(asm.T1, 0, -8),
    asm.lb(asm.T1, asm.T0, 0),
    asm.sb(asm.T1, asm.T0, 0),
    asm.bne(asm.T1, asm.T2, -20),
    asm.sw(asm.T4, asm.T3, 0),
    asm.LOOP,
)
"""Sends back what it receives; passes after a ``q``."""
