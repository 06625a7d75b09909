"""Which memory an instruction touches, against capstone's reading of the same bits."""

from __future__ import annotations

import random
import re

import capstone
import pytest
from support import asm

from minstret.emu.hart.decode import MemoryAccess, memory_access
from minstret.emu.hart.spec import ABI_NAMES

SIZES = {"b": 1, "h": 2, "w": 4, "d": 8}
OPERAND = re.compile(r"(?:(-?(?:0x)?[0-9a-f]+))?\((\w+)\)$")
LOAD_OR_STORE = re.compile(r"(?:c\.)?f?([ls])([bhwd])u?(sp)?$")
ATOMIC = re.compile(r"(lr|sc|amo\w+)\.([wd])(?:\.aq|\.rl|\.aqrl)?$")


def by_capstone(decoder: capstone.Cs, insn: int) -> MemoryAccess | None:
    """The same from a disassembly: None where it accesses nothing, or is no instruction."""
    code = insn.to_bytes(4 if insn & 3 == 3 else 2, "little")
    name, operands = next(((n, o) for _, _, n, o in decoder.disasm_lite(code, 0, 1)), ("", ""))
    place = OPERAND.search(operands)
    if place is None:
        return None
    rs1, imm = ABI_NAMES.index(place[2]), int(place[1] or "0", 0)
    if match := LOAD_OR_STORE.match(name):
        return MemoryAccess(rs1, imm, SIZES[match[2]], match[1] == "s", False)
    if match := ATOMIC.match(name):
        return MemoryAccess(rs1, 0, SIZES[match[2]], match[1] != "lr", True, match[1] == "sc")
    return None


@pytest.mark.parametrize("xlen", [64, 32])
def test_every_compressed_instruction_accesses_what_capstone_reads(xlen: int) -> None:
    mode = capstone.CS_MODE_RISCV64 if xlen == 64 else capstone.CS_MODE_RISCV32
    decoder = capstone.Cs(capstone.CS_ARCH_RISCV, mode | capstone.CS_MODE_RISCVC)
    compared = 0
    for insn in range(1 << 16):
        if insn & 3 != 3 and (theirs := by_capstone(decoder, insn)) is not None:
            assert memory_access(insn, xlen) == theirs, f"{insn:04x}"
            compared += 1

    assert compared > 15_000


@pytest.mark.parametrize("opcode", [0x03, 0x07, 0x23, 0x27, 0x2F])
def test_wide_instructions_access_what_capstone_reads(opcode: int) -> None:
    decoder = capstone.Cs(capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC)
    pick, compared = random.Random(opcode), 0
    for _ in range(20_000):
        insn = pick.randrange(1 << 25) << 7 | opcode
        if (theirs := by_capstone(decoder, insn)) is not None:
            assert memory_access(insn, 64) == theirs, f"{insn:08x}"
            compared += 1

    assert compared > 300


@pytest.mark.parametrize(
    "insn", [asm.NOP, asm.LOOP, asm.lui(1, 1), asm.csrr(1, "mie"), asm.add(1, 2, 3), asm.EBREAK, asm.WFI, asm.C_NOP]
)
def test_other_instructions_access_nothing(insn: int) -> None:
    assert memory_access(insn, 64) is None
