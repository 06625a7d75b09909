"""Constants of the RISC-V specification, in one place. The C callbacks get theirs from here: see contract.py.

Source: The RISC-V Instruction Set Manual, Volumes I and II.
"""

from __future__ import annotations

from enum import IntEnum

ABI_NAMES = (
    "zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6"
).split()
"""x0 to x31, as the calling convention names them."""

REG_RA, REG_SP, REG_T0, REG_FP = 1, 2, 5, 8
"""Numbers of the registers from which one finds the callers."""

PRIV_U, PRIV_S, PRIV_M = 0, 1, 3
PRIV_NAMES = {PRIV_U: "U-mode", PRIV_S: "S-mode", PRIV_M: "M-mode"}

MSTATUS_SIE, MSTATUS_MIE, MSTATUS_SPIE, MSTATUS_MPIE, MSTATUS_SPP = 1 << 1, 1 << 3, 1 << 5, 1 << 7, 1 << 8
MSTATUS_MPP_SHIFT = 11
MSTATUS_MPP = 3 << MSTATUS_MPP_SHIFT
MSTATUS_FS = 3 << 13
MSTATUS_MPRV, MSTATUS_SUM, MSTATUS_MXR = 1 << 17, 1 << 18, 1 << 19
MSTATUS_TVM, MSTATUS_TW, MSTATUS_TSR = 1 << 20, 1 << 21, 1 << 22
MSTATUS_UXL, MSTATUS_SXL = 3 << 32, 3 << 34
ENVCFG_FIOM, ENVCFG_CBIE, ENVCFG_CBCFE, ENVCFG_CBZE = 1, 3 << 4, 1 << 6, 1 << 7
"""Fields of menvcfg and senvcfg."""
MENVCFG_ADUE, MENVCFG_PBMTE, MENVCFG_STCE = 1 << 61, 1 << 62, 1 << 63
"""Fields of menvcfg alone."""
COUNTER_CY, COUNTER_TM, COUNTER_IR = 1, 2, 4
"""Bits of mcounteren, scounteren and mcountinhibit."""
XLEN_64 = 2
"""The value of the fields UXL and SXL that means 64 bits."""


class Csr(IntEnum):
    """CSR numbers, named as in the specification. Of a numbered row of them the first is here."""

    FFLAGS = 0x001
    FRM = 0x002
    FCSR = 0x003
    SSTATUS = 0x100
    SIE = 0x104
    STVEC = 0x105
    SCOUNTEREN = 0x106
    SENVCFG = 0x10A
    SSCRATCH = 0x140
    SEPC = 0x141
    SCAUSE = 0x142
    STVAL = 0x143
    SIP = 0x144
    STIMECMP = 0x14D
    STIMECMPH = 0x15D
    SATP = 0x180
    MSTATUS = 0x300
    MISA = 0x301
    MEDELEG = 0x302
    MIDELEG = 0x303
    MIE = 0x304
    MTVEC = 0x305
    MCOUNTEREN = 0x306
    MENVCFG = 0x30A
    MSTATUSH = 0x310
    MENVCFGH = 0x31A
    MCOUNTINHIBIT = 0x320
    MSCOUNTEREN = 0x321  # of an old version of the specification, but Unicorn has it
    MHPMEVENT3 = 0x323
    MSCRATCH = 0x340
    MEPC = 0x341
    MCAUSE = 0x342
    MTVAL = 0x343
    MIP = 0x344
    PMPCFG0 = 0x3A0
    PMPADDR0 = 0x3B0
    TSELECT = 0x7A0
    TDATA1 = 0x7A1
    TDATA2 = 0x7A2
    TDATA3 = 0x7A3
    TINFO = 0x7A4
    MCYCLE = 0xB00
    MINSTRET = 0xB02
    MHPMCOUNTER3 = 0xB03
    MCYCLEH = 0xB80
    MINSTRETH = 0xB82
    MHPMCOUNTER3H = 0xB83
    CYCLE = 0xC00
    TIME = 0xC01
    INSTRET = 0xC02
    HPMCOUNTER3 = 0xC03
    CYCLEH = 0xC80
    TIMEH = 0xC81
    INSTRETH = 0xC82
    HPMCOUNTER3H = 0xC83
    MVENDORID = 0xF11
    MARCHID = 0xF12
    MIMPID = 0xF13
    MHARTID = 0xF14
    MCONFIGPTR = 0xF15


class Cause(IntEnum):
    """Exception codes."""

    FETCH_MISALIGNED = 0
    FETCH_ACCESS = 1
    ILLEGAL_INSTRUCTION = 2
    BREAKPOINT = 3
    LOAD_MISALIGNED = 4
    LOAD_ACCESS = 5
    STORE_MISALIGNED = 6
    STORE_ACCESS = 7
    ECALL_FROM_U = 8
    ECALL_FROM_S = 9
    ECALL_FROM_M = 11
    FETCH_PAGE_FAULT = 12
    LOAD_PAGE_FAULT = 13
    STORE_PAGE_FAULT = 15


class Interrupt(IntEnum):
    """Interrupt codes, which are also bit numbers in mip and mie."""

    SSI = 1
    MSI = 3
    STI = 5
    MTI = 7
    SEI = 9
    MEI = 11


CAUSE_TEXT: dict[int, str] = {
    Cause.FETCH_MISALIGNED: "instruction address misaligned",
    Cause.FETCH_ACCESS: "instruction access fault",
    Cause.ILLEGAL_INSTRUCTION: "illegal instruction",
    Cause.BREAKPOINT: "breakpoint",
    Cause.LOAD_MISALIGNED: "load address misaligned",
    Cause.LOAD_ACCESS: "load access fault",
    Cause.STORE_MISALIGNED: "store/AMO address misaligned",
    Cause.STORE_ACCESS: "store/AMO access fault",
    Cause.ECALL_FROM_U: "environment call from U-mode",
    Cause.ECALL_FROM_S: "environment call from S-mode",
    Cause.ECALL_FROM_M: "environment call from M-mode",
    Cause.FETCH_PAGE_FAULT: "instruction page fault",
    Cause.LOAD_PAGE_FAULT: "load page fault",
    Cause.STORE_PAGE_FAULT: "store/AMO page fault",
}

INTERRUPT_TEXT: dict[int, str] = {
    Interrupt.SSI: "supervisor software interrupt",
    Interrupt.MSI: "machine software interrupt",
    Interrupt.STI: "supervisor timer interrupt",
    Interrupt.MTI: "machine timer interrupt",
    Interrupt.SEI: "supervisor external interrupt",
    Interrupt.MEI: "machine external interrupt",
}

S_INTERRUPTS = 1 << Interrupt.SSI | 1 << Interrupt.STI | 1 << Interrupt.SEI
M_INTERRUPTS = 1 << Interrupt.MSI | 1 << Interrupt.MTI | 1 << Interrupt.MEI
DELEGABLE = 0xB3FF  # exceptions 0 to 9, 12, 13, 15

PTE_V, PTE_R, PTE_W, PTE_X, PTE_U, PTE_G, PTE_A, PTE_D = 1, 2, 4, 8, 16, 32, 64, 128
PTE_PBMT, PTE_N = 3 << 61, 1 << 63
SATP_MODE_SHIFT, SATP_SV39, SATP_SV48, SATP_SV57 = 60, 8, 9, 10
"""Of rv64; Sv32 is bit 31."""

PMP_R, PMP_W, PMP_X, PMP_LOCKED = 0x01, 0x02, 0x04, 0x80
PMP_TOR, PMP_NA4, PMP_NAPOT = 1, 2, 3
PMP_MODE_SHIFT = 3

OP_LOAD, OP_LOAD_FP, OP_STORE, OP_STORE_FP, OP_AMO = 0x03, 0x07, 0x23, 0x27, 0x2F
OP_FMADD, OP_FMSUB, OP_FNMSUB, OP_FNMADD, OP_FP, OP_SYSTEM = 0x43, 0x47, 0x4B, 0x4F, 0x53, 0x73
OP_JALR, OP_JAL = 0x67, 0x6F
CSRRW, CSRRS, CSRRC = 1, 2, 3
"""What a CSR instruction does: bits 12 and 13."""
AMO_LR, AMO_SC = 0x02, 0x03
INSN_ECALL, INSN_EBREAK, INSN_WFI = 0x00000073, 0x00100073, 0x10500073
INSN_SRET, INSN_MRET = 0x10200073, 0x30200073
INSN_C_EBREAK = 0x9002
INSN_PAUSE = 0x0100000F
INSN_CBO_ZERO, INSN_SINVAL_VMA = 0x0040200F, 0x16000073
"""With x0 as their registers."""

CACHE_BLOCK = 64
"""Bytes that an instruction on a cache block is about; the device tree tells it."""


class FpOp(IntEnum):
    """What bits 31 to 27 of a floating point instruction say."""

    ADD = 0x00
    SUB = 0x01
    MUL = 0x02
    DIV = 0x03
    SGNJ = 0x04
    MINMAX = 0x05
    FROM_FLOAT = 0x08
    SQRT = 0x0B
    COMPARE = 0x14
    TO_INT = 0x18
    FROM_INT = 0x1A
    CLASS = 0x1C
    MOVE_FROM_X = 0x1E
