"""What instructions do, as far as one follows a function: compared with a disassembler."""

from __future__ import annotations

import os
import random
import re

import capstone

from minstret.emu.hart.operations import Op, OpKind, operation_of
from minstret.emu.hart.spec import ABI_NAMES

FOLLOWED = {
    "addi": (OpKind.ADD_IMMEDIATE, "d1i"), "c.addi": (OpKind.ADD_IMMEDIATE, "di"), "c.mv": (OpKind.ADD_IMMEDIATE, "d1"),
    "c.addi16sp": (OpKind.ADD_IMMEDIATE, "di"), "c.addi4spn": (OpKind.ADD_IMMEDIATE, "d1i"),
    "add": (OpKind.ADD, "d12"), "sub": (OpKind.SUBTRACT, "d12"), "c.li": (OpKind.CONSTANT, "di"),
    "ld": (OpKind.LOAD, "dm"), "c.ld": (OpKind.LOAD, "dm"), "c.ldsp": (OpKind.LOAD, "dm"),
    "sd": (OpKind.STORE, "2m"), "c.sd": (OpKind.STORE, "2m"), "c.sdsp": (OpKind.STORE, "2m"),
    "jal": (OpKind.JUMP, "di"), "j": (OpKind.JUMP, "i"), "c.j": (OpKind.JUMP, "i"), "jr": (OpKind.JUMP_REGISTER, "1"),
    "c.jr": (OpKind.JUMP_REGISTER, "1"), "c.jalr": (OpKind.JUMP_REGISTER, "1"), "c.beqz": (OpKind.BRANCH, "1i"),
    "c.bnez": (OpKind.BRANCH, "1i"), "beq": (OpKind.BRANCH, "12i"), "bne": (OpKind.BRANCH, "12i"),
    "bltu": (OpKind.BRANCH, "12i"), "bge": (OpKind.BRANCH, "12i"),
}  # fmt: skip
"""By the disassembler's name: the kind, and its operands: d rd, 1 rs1, 2 rs2, i imm, m imm(rs1)."""


def operands_of(op: Op, form: str) -> list[str | int]:
    found: list[str | int] = []
    for operand in form:
        registers = {"d": op.rd, "1": op.rs1, "2": op.rs2}
        if operand in registers:
            found.append(ABI_NAMES[registers[operand]])
        else:
            found += [op.imm, ABI_NAMES[op.rs1]] if operand == "m" else [op.imm]
    return found


def test_instructions_are_those_that_a_disassembler_sees() -> None:
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    pick, seen = random.Random(seed), set()
    disassembler = capstone.Cs(capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC)
    opcodes = (0x13, 0x33, 0x03, 0x23, 0x63, 0x6F, 0x67)
    for number in range(40_000):
        insn = pick.getrandbits(16)
        if number % 2 == 0:  # the masks make short forms frequent
            insn = (pick.getrandbits(25) << 7 | pick.choice(opcodes)) & pick.choice((~0, 0x41FF_FFFF, 0x000F_807F))
        if number % 2 and insn & 3 == 3:
            continue
        code = insn.to_bytes(2 if insn & 3 != 3 else 4, "little")
        _, size, name, text = next(iter(disassembler.disasm_lite(code, 0)), (0, 0, "", ""))
        if name not in FOLLOWED:
            continue
        kind, form = FOLLOWED[name]
        words = [word for word in re.split(r"[,() ]+", text) if word]
        expected = [int(word, 0) if word[0] in "-0123456789" else word for word in words]
        if name == "jal" and len(expected) == 1:  # short for a jump that links ra
            expected.insert(0, "ra")
        op = operation_of(insn, 64)
        if op.kind is OpKind.OTHER and op.rd == 0:  # it changes x0 only
            continue
        assert (op.kind, op.size, operands_of(op, form)) == (kind, size, expected), (hex(insn), name, text)
        seen.add(name)

    assert seen == set(FOLLOWED)
