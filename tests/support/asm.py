"""A small assembler for tests: a function for each instruction, which returns its 32 (or 16) bits."""

from __future__ import annotations

from collections.abc import Iterable

ZERO, RA, SP, GP, TP, T0, T1, T2, S0, S1, A0, A1, A2, A3, A4, A5 = range(16)
T3, T4, T5, T6 = 28, 29, 30, 31

CSR = {
    "fflags": 0x001, "frm": 0x002, "fcsr": 0x003, "sstatus": 0x100, "sie": 0x104, "stvec": 0x105, "scounteren": 0x106,
    "sscratch": 0x140, "sepc": 0x141, "scause": 0x142, "stval": 0x143, "sip": 0x144, "satp": 0x180, "mstatus": 0x300,
    "misa": 0x301, "medeleg": 0x302, "mideleg": 0x303, "mie": 0x304, "mtvec": 0x305, "mcounteren": 0x306,
    "mscratch": 0x340, "mepc": 0x341, "mcause": 0x342, "mtval": 0x343, "mip": 0x344, "pmpcfg0": 0x3A0,
    "tselect": 0x7A0, "tdata1": 0x7A1, "tdata2": 0x7A2, "tdata3": 0x7A3, "tinfo": 0x7A4, "tcontrol": 0x7A5,
    "pmpaddr0": 0x3B0, "pmpaddr1": 0x3B1, "pmpaddr2": 0x3B2, "pmpaddr3": 0x3B3,
    "mcycle": 0xB00, "minstret": 0xB02, "mcycleh": 0xB80,
    "minstreth": 0xB82, "cycle": 0xC00, "time": 0xC01, "instret": 0xC02, "cycleh": 0xC80, "timeh": 0xC81,
    "instreth": 0xC82, "mhartid": 0xF14, "senvcfg": 0x10A, "menvcfg": 0x30A, "menvcfgh": 0x31A, "mcountinhibit": 0x320,
    "mconfigptr": 0xF15, "mseccfg": 0x747, "stimecmp": 0x14D, "stimecmph": 0x15D,
}  # fmt: skip


def _r(op: int, f3: int, f7: int, rd: int, rs1: int, rs2: int) -> int:
    return f7 << 25 | rs2 << 20 | rs1 << 15 | f3 << 12 | rd << 7 | op


def _i(op: int, f3: int, rd: int, rs1: int, imm: int) -> int:
    return (imm & 0xFFF) << 20 | rs1 << 15 | f3 << 12 | rd << 7 | op


def _s(op: int, f3: int, rs1: int, rs2: int, imm: int) -> int:
    return (imm >> 5 & 0x7F) << 25 | rs2 << 20 | rs1 << 15 | f3 << 12 | (imm & 31) << 7 | op


def addi(rd: int, rs1: int, imm: int) -> int:
    return _i(0x13, 0, rd, rs1, imm)


def slli(rd: int, rs1: int, shamt: int) -> int:
    return _i(0x13, 1, rd, rs1, shamt)


def srli(rd: int, rs1: int, shamt: int) -> int:
    return _i(0x13, 5, rd, rs1, shamt)


def andi(rd: int, rs1: int, imm: int) -> int:
    return _i(0x13, 7, rd, rs1, imm)


def add(rd: int, rs1: int, rs2: int) -> int:
    return _r(0x33, 0, 0, rd, rs1, rs2)


def sub(rd: int, rs1: int, rs2: int) -> int:
    return _r(0x33, 0, 0x20, rd, rs1, rs2)


def sll(rd: int, rs1: int, rs2: int) -> int:
    return _r(0x33, 1, 0, rd, rs1, rs2)


def xor(rd: int, rs1: int, rs2: int) -> int:
    return _r(0x33, 4, 0, rd, rs1, rs2)


def and_(rd: int, rs1: int, rs2: int) -> int:
    return _r(0x33, 7, 0, rd, rs1, rs2)


def lui(rd: int, imm: int) -> int:
    return (imm & 0xFFFFF) << 12 | rd << 7 | 0x37


def auipc(rd: int, imm: int) -> int:
    return (imm & 0xFFFFF) << 12 | rd << 7 | 0x17


def lb(rd: int, rs1: int, imm: int) -> int:
    return _i(0x03, 0, rd, rs1, imm)


def lhu(rd: int, rs1: int, imm: int) -> int:
    return _i(0x03, 5, rd, rs1, imm)


def lw(rd: int, rs1: int, imm: int) -> int:
    return _i(0x03, 2, rd, rs1, imm)


def ld(rd: int, rs1: int, imm: int) -> int:
    return _i(0x03, 3, rd, rs1, imm)


def sb(rs2: int, rs1: int, imm: int) -> int:
    return _s(0x23, 0, rs1, rs2, imm)


def sh(rs2: int, rs1: int, imm: int) -> int:
    return _s(0x23, 1, rs1, rs2, imm)


def sw(rs2: int, rs1: int, imm: int) -> int:
    return _s(0x23, 2, rs1, rs2, imm)


def sd(rs2: int, rs1: int, imm: int) -> int:
    return _s(0x23, 3, rs1, rs2, imm)


def _branch(f3: int, rs1: int, rs2: int, offset: int) -> int:
    imm = offset & 0x1FFF
    return (
        (imm >> 12 & 1) << 31 | (imm >> 5 & 0x3F) << 25 | rs2 << 20 | rs1 << 15 | f3 << 12
        | (imm >> 1 & 15) << 8 | (imm >> 11 & 1) << 7 | 0x63
    )  # fmt: skip


def beq(rs1: int, rs2: int, offset: int) -> int:
    return _branch(0, rs1, rs2, offset)


def bne(rs1: int, rs2: int, offset: int) -> int:
    return _branch(1, rs1, rs2, offset)


def jal(rd: int, offset: int) -> int:
    imm = offset & 0x1FFFFF
    return (
        (imm >> 20 & 1) << 31 | (imm >> 1 & 0x3FF) << 21 | (imm >> 11 & 1) << 20 | (imm >> 12 & 0xFF) << 12
        | rd << 7 | 0x6F
    )  # fmt: skip


def jalr(rd: int, rs1: int, imm: int) -> int:
    return _i(0x67, 0, rd, rs1, imm)


def csrrw(rd: int, csr: str, rs1: int) -> int:
    return _i(0x73, 1, rd, rs1, CSR[csr])


def csrrs(rd: int, csr: str, rs1: int) -> int:
    return _i(0x73, 2, rd, rs1, CSR[csr])


def csrrc(rd: int, csr: str, rs1: int) -> int:
    return _i(0x73, 3, rd, rs1, CSR[csr])


def csrrwi(rd: int, csr: str, imm: int) -> int:
    return _i(0x73, 5, rd, imm, CSR[csr])


def csrrsi(rd: int, csr: str, imm: int) -> int:
    return _i(0x73, 6, rd, imm, CSR[csr])


def csrrci(rd: int, csr: str, imm: int) -> int:
    return _i(0x73, 7, rd, imm, CSR[csr])


def csrr(rd: int, csr: str) -> int:
    return csrrs(rd, csr, ZERO)


def csrw(csr: str, rs1: int) -> int:
    return csrrw(ZERO, csr, rs1)


def lr_w(rd: int, rs1: int) -> int:
    return _r(0x2F, 2, 0x02 << 2, rd, rs1, 0)


def sc_w(rd: int, rs2: int, rs1: int) -> int:
    return _r(0x2F, 2, 0x03 << 2, rd, rs1, rs2)


def amoadd_w(rd: int, rs2: int, rs1: int) -> int:
    return _r(0x2F, 2, 0, rd, rs1, rs2)


ECALL, EBREAK, WFI, MRET, SRET, FENCE_I = 0x73, 0x100073, 0x10500073, 0x30200073, 0x10200073, 0x0000100F
SFENCE_VMA = 0x12000073
NOP = addi(ZERO, ZERO, 0)
C_NOP = 0x0001
C_EBREAK = 0x9002
LOOP = jal(ZERO, 0)


def li(rd: int, value: int) -> list[int]:
    """Load a constant of up to 32 bits, zero-extended on rv64 (always 5 instructions)."""
    value &= 0xFFFFFFFF
    return [
        addi(rd, ZERO, value >> 21), slli(rd, rd, 11), addi(rd, rd, value >> 10 & 0x7FF),
        *[slli(rd, rd, 10), addi(rd, rd, value & 0x3FF)],
    ]  # fmt: skip


def code(*parts: int | Iterable[int]) -> bytes:
    """Machine code from instructions of 32 bits, or of 16 if the low two bits say so."""
    result = b""
    for part in parts:
        for word in [part] if isinstance(part, int) else part:
            result += word.to_bytes(4 if word & 3 == 3 else 2, "little")
    return result
