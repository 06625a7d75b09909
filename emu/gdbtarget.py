"""What gdb is told of the board: its registers with their numbers, and what is where in memory.

The numbers are those that gdb has for RISC-V: x0 to x31, pc, f0 to f31, each CSR by its own number, the privilege.

Source: GDB manual, RISC-V Features, Memory Map Format; gdb/riscv-tdep.h.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from minstret.emu.hart.cpu import Cpu
from minstret.emu.hart.csr_table import csrs_by_name
from minstret.emu.hart.hart import Hart
from minstret.emu.hart.memory import GuestMemory
from minstret.emu.hart.spec import ABI_NAMES, PRIV_NAMES

PC_NUMBER, F0_NUMBER, CSR0_NUMBER, PRIV_NUMBER = 32, 33, 65, 4161
SP_NUMBER = 2
_DWARF_F0 = 32
"""f0 in debugging information; x0 is 0 there too, and pc has no number."""
_F_BITS = 64


class GdbRegister(NamedTuple):
    """A register as gdb knows it; ``name`` is also that of the board's registers."""

    number: int
    name: str
    bits: int

    @property
    def size(self) -> int:
        """How many bytes its value has."""
        return self.bits // 8


class _Feature(NamedTuple):
    name: str
    registers: tuple[GdbRegister, ...]


@cache
def _features(cpu: Cpu) -> tuple[_Feature, ...]:
    xlen = cpu.xlen
    x = (*(GdbRegister(i, name, xlen) for i, name in enumerate(ABI_NAMES)), GdbRegister(PC_NUMBER, "pc", xlen))
    f = tuple(GdbRegister(F0_NUMBER + i, f"f{i}", _F_BITS) for i in range(32))
    csrs = tuple(GdbRegister(CSR0_NUMBER + row.number, name, xlen) for name, row in csrs_by_name(cpu).items())
    return (
        _Feature("org.gnu.gdb.riscv.cpu", x),
        _Feature("org.gnu.gdb.riscv.fpu", f),
        _Feature("org.gnu.gdb.riscv.csr", csrs),
        _Feature("org.gnu.gdb.riscv.virtual", (GdbRegister(PRIV_NUMBER, "priv", xlen),)),
    )


@cache
def gdb_registers(cpu: Cpu) -> dict[int, GdbRegister]:
    """All registers by gdb's numbers."""
    return {register.number: register for feature in _features(cpu) for register in feature.registers}


GENERAL_COUNT = PC_NUMBER + 1
"""How many registers gdb gets and gives at once, from number 0 on: the integer registers and pc."""


def read_general(hart: Hart) -> bytes:
    """These registers, one after the other."""
    return bytes(hart.env.x) + hart.pc.to_bytes(hart.xlen // 8, "little")


# ---- XML

_TARGET_HEAD = '<?xml version="1.0"?>\n<!DOCTYPE target SYSTEM "gdb-target.dtd">\n'


@cache
def target_xml(cpu: Cpu) -> bytes:
    """The description of a hart: which registers it has.

    Without ``osabi`` gdb may take the guest for a Linux process, and step by breakpoints of its own making.
    """
    lines = ['<target version="1.0">', f"<architecture>riscv:rv{cpu.xlen}</architecture>", "<osabi>none</osabi>"]
    for feature in _features(cpu):
        lines.append(f'<feature name="{feature.name}">')
        lines += [_register_xml(register) for register in feature.registers]
        lines.append("</feature>")
    return (_TARGET_HEAD + "\n".join([*lines, "</target>"]) + "\n").encode()


_ROLES = {1: "ra", SP_NUMBER: "sp", 8: "fp", PC_NUMBER: "pc"}
"""What a register is for. lldb knows none by its name."""


def _register_xml(register: GdbRegister) -> str:
    number = register.number
    fields: dict[str, str | int] = {"name": register.name, "bitsize": register.bits, "regnum": number, "type": "int"}
    if number == PC_NUMBER:
        fields["type"] = "code_ptr"
    elif F0_NUMBER <= number < CSR0_NUMBER:
        fields |= {"type": "ieee_double", "group": "float"}
    elif CSR0_NUMBER <= number < PRIV_NUMBER:
        fields["group"] = "csr"
    if number < CSR0_NUMBER and number != PC_NUMBER:
        in_dwarf = number if number < PC_NUMBER else number - F0_NUMBER + _DWARF_F0
        fields |= {"dwarf_regnum": in_dwarf, "ehframe_regnum": in_dwarf}
    if number in _ROLES:
        fields["generic"] = _ROLES[number]
    return "<reg " + " ".join(f'{name}="{value}"' for name, value in fields.items()) + "/>"


_MAP_HEAD = (
    '<?xml version="1.0"?>\n<!DOCTYPE memory-map PUBLIC "+//IDN gnu.org//DTD GDB Memory Map V1.0//EN"'
    ' "http://sourceware.org/gdb/gdb-memory-map.dtd">\n'
)


def memory_map_xml(memory: GuestMemory, xlen: int) -> bytes:
    """Which addresses can't be written: those of the ROM. All others count as RAM.

    gdb holds virtual addresses against the map too, and asks for nothing that is not on it. So devices are on it, and
    what is between them.
    """
    rom, ram = memory.rom_base, memory.ram_base
    bounds = (0, rom, rom + memory.rom_size, ram, ram + memory.ram_size, 1 << xlen)
    lines = ["<memory-map>"]
    for start, end in pairwise(bounds):
        kind = "rom" if start == rom else "ram"
        lines.append(f'<memory type="{kind}" start="{start:#x}" length="{end - start:#x}"/>')
    return (_MAP_HEAD + "\n".join([*lines, "</memory-map>"]) + "\n").encode()


def thread_text(hart: Hart) -> str:
    """What a hart is at, in a list of threads."""
    return f"{PRIV_NAMES.get(int(hart.env.priv), '?')}{', in WFI' if hart.waiting else ''}"


def threads_xml(harts: Iterable[Hart]) -> bytes:
    """The harts as threads: hart 0 is thread 1."""
    lines = [f'<thread id="{hart.hart_id + 1:x}" name="{hart.name}">{thread_text(hart)}</thread>' for hart in harts]
    return "\n".join(['<?xml version="1.0"?>', "<threads>", *lines, "</threads>", ""]).encode()
