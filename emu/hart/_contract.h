/* Made by `python -m minstret.emu.hart.contract`, which says what from: don't edit. */
#ifndef MINSTRET_CONTRACT_H
#define MINSTRET_CONTRACT_H

#include <stddef.h>
#include <stdint.h>

/* What a library tells: HELPERS_CONTRACT(X) and CALLBACKS_CONTRACT(X, FIELD) name each thing in order. */
#define CONTRACT_NAME(name) " " #name
#define CONTRACT_VALUE(name) (uint64_t)(name),

/* For _helpers.c: where Unicorn keeps what, and struct shared, in bytes. */
enum {
    ENV_IN_CPU = 296, STATUS_64 = 1537, MSTATUS_64 = 624, F_64 = 256, SHARED_64 = 1000, PC_64 = 512,
    PRIV_64 = 592, STATUS_32 = 937, MSTATUS_32 = 440, F_32 = 128, SHARED_32 = 656, PC_32 = 384, PRIV_32 = 424,
    ICOUNT_IN_SHARED = 0, FAST_LIMIT_IN_SHARED = 8, BLOCK_PC_IN_SHARED = 24, BLOCK_INSNS_IN_SHARED = 32,
    ENGINE_IN_SHARED = 3320, CPU_IN_SHARED = 3328, COUNTS_ITSELF_IN_SHARED = 3336,
    LEAVES_ACCESS_IN_SHARED = 3344, LEAVES_RETURN_IN_SHARED = 3352, READS_COUNTER_IN_SHARED = 3360,
    TRAP_AT_END_IN_SHARED = 3368, FILL_PLAINLY_IN_SHARED = 3392
};

/* For both: bits of registers, instructions, CSR numbers and others. */
#define MSTATUS_SIE 0x2u
#define MSTATUS_MIE 0x8u
#define MSTATUS_SPIE 0x20u
#define MSTATUS_MPIE 0x80u
#define MSTATUS_SPP 0x100u
#define MSTATUS_MPP 0x1800u
#define MSTATUS_FS 0x6000u
#define MSTATUS_MPRV 0x20000u
#define MSTATUS_SUM 0x40000u
#define MSTATUS_MXR 0x80000u
#define MSTATUS_TVM 0x100000u
#define MSTATUS_TW 0x200000u
#define MSTATUS_TSR 0x400000u
#define MSTATUS_UXL 0x300000000ull
#define INSN_ECALL 0x73u
#define INSN_EBREAK 0x100073u
#define INSN_WFI 0x10500073u
#define INSN_SRET 0x10200073u
#define INSN_MRET 0x30200073u
#define INSN_C_EBREAK 0x9002u
#define S_INTERRUPTS 0x222u
#define M_INTERRUPTS 0x888u
#define PMP_LOCKED 0x80u
#define ENVCFG_CBIE 0x30u
#define ENVCFG_CBCFE 0x40u
#define ENVCFG_CBZE 0x80u
#define PTE_N 0x8000000000000000ull
#define PTE_PBMT 0x6000000000000000ull
#define MENVCFG_ADUE 0x2000000000000000ull
#define MENVCFG_PBMTE 0x4000000000000000ull
#define NOWHERE 0xffffffffffffffffull
#define NEVER 0x1u
#define CTL_TB_REQUEST_CACHE 0xc8000008u
#define CTL_TB_REMOVE_CACHE 0x48000009u
#define CTL_TB_FLUSH 0x4000000au
#define CTL_TLB_FLUSH 0x4000000bu
#define CSR_FFLAGS 0x1u
#define CSR_FCSR 0x3u
#define CSR_SSTATUS 0x100u
#define CSR_SATP 0x180u
#define EXTENSIONS_TRANSLATED 0x2700u
#define EXTENSION_TABLE 0xd016e065u
#define MSTATUS_BOGUS 0xc060000000ull
#define VIRTUAL_NS_MAX 0x7fffffffcd0d2800ull
#define TIMER_NEVER 0x8000000000000000ull

enum {
    DO_ADD_UW = 0, DO_SH1ADD = 1, DO_SH2ADD = 2, DO_SH3ADD = 3, DO_SH1ADD_UW = 4, DO_SH2ADD_UW = 5,
    DO_SH3ADD_UW = 6, DO_SLLI_UW = 7, DO_ANDN = 8, DO_ORN = 9, DO_XNOR = 10, DO_CLZ = 11, DO_CTZ = 12,
    DO_CPOP = 13, DO_CLZW = 14, DO_CTZW = 15, DO_CPOPW = 16, DO_MAX = 17, DO_MAXU = 18, DO_MIN = 19,
    DO_MINU = 20, DO_SEXT_B = 21, DO_SEXT_H = 22, DO_ZEXT_H = 23, DO_ROL = 24, DO_ROR = 25, DO_ROLW = 26,
    DO_RORW = 27, DO_ORC_B = 28, DO_REV8 = 29, DO_BCLR = 30, DO_BEXT = 31, DO_BINV = 32, DO_BSET = 33,
    DO_CZERO_EQZ = 34, DO_CZERO_NEZ = 35, DO_CBO_INVAL = 36, DO_CBO_CLEAN = 37, DO_CBO_FLUSH = 38,
    DO_CBO_ZERO = 39, DO_WRS_NTO = 40, DO_WRS_STO = 41, DO_SINVAL_VMA = 42, DO_SFENCE_W_INVAL = 43,
    DO_SFENCE_INVAL_IR = 44
};
/* The instructions that Unicorn does not know (extensions.py), sorted by place_of. `feature` is the bit of
 * FEATURE_..., `form` what they compute with: a register, a number, nothing, or they do not compute. */
enum { FORM_REGISTERS, FORM_SHIFT, FORM_UNARY, FORM_OTHER };
static const struct extension_row {
    uint32_t mask, match, feature;
    uint8_t op, form, only_xlen;
} EXTENSION_ROWS[] = {
    {0xfe00707fu, 0x0800003bu, 0x100u, DO_ADD_UW, 0, 64},
    {0xffffffffu, 0x00d00073u, 0x8000u, DO_WRS_NTO, 3, 0},
    {0xffffffffu, 0x01d00073u, 0x8000u, DO_WRS_STO, 3, 0},
    {0xfe007fffu, 0x16000073u, 0x8u, DO_SINVAL_VMA, 3, 0},
    {0xffffffffu, 0x18000073u, 0x8u, DO_SFENCE_W_INVAL, 3, 0},
    {0xffffffffu, 0x18100073u, 0x8u, DO_SFENCE_INVAL_IR, 3, 0},
    {0xfc00707fu, 0x28001013u, 0x400u, DO_BSET, 1, 64},
    {0xfe00707fu, 0x28001013u, 0x400u, DO_BSET, 1, 32},
    {0xfc00707fu, 0x48001013u, 0x400u, DO_BCLR, 1, 64},
    {0xfe00707fu, 0x48001013u, 0x400u, DO_BCLR, 1, 32},
    {0xfff0707fu, 0x60001013u, 0x200u, DO_CLZ, 2, 0},
    {0xfff0707fu, 0x60101013u, 0x200u, DO_CTZ, 2, 0},
    {0xfff0707fu, 0x60201013u, 0x200u, DO_CPOP, 2, 0},
    {0xfff0707fu, 0x60401013u, 0x200u, DO_SEXT_B, 2, 0},
    {0xfff0707fu, 0x60501013u, 0x200u, DO_SEXT_H, 2, 0},
    {0xfc00707fu, 0x68001013u, 0x400u, DO_BINV, 1, 64},
    {0xfe00707fu, 0x68001013u, 0x400u, DO_BINV, 1, 32},
    {0xfc00707fu, 0x0800101bu, 0x100u, DO_SLLI_UW, 1, 64},
    {0xfff0707fu, 0x6000101bu, 0x200u, DO_CLZW, 2, 64},
    {0xfff0707fu, 0x6010101bu, 0x200u, DO_CTZW, 2, 64},
    {0xfff0707fu, 0x6020101bu, 0x200u, DO_CPOPW, 2, 64},
    {0xfe00707fu, 0x28001033u, 0x400u, DO_BSET, 0, 0},
    {0xfe00707fu, 0x48001033u, 0x400u, DO_BCLR, 0, 0},
    {0xfe00707fu, 0x60001033u, 0x200u, DO_ROL, 0, 0},
    {0xfe00707fu, 0x68001033u, 0x400u, DO_BINV, 0, 0},
    {0xfe00707fu, 0x6000103bu, 0x200u, DO_ROLW, 0, 64},
    {0xfff07fffu, 0x0000200fu, 0x800u, DO_CBO_INVAL, 3, 0},
    {0xfff07fffu, 0x0010200fu, 0x800u, DO_CBO_CLEAN, 3, 0},
    {0xfff07fffu, 0x0020200fu, 0x800u, DO_CBO_FLUSH, 3, 0},
    {0xfff07fffu, 0x0040200fu, 0x1000u, DO_CBO_ZERO, 3, 0},
    {0xfe00707fu, 0x20002033u, 0x100u, DO_SH1ADD, 0, 0},
    {0xfe00707fu, 0x2000203bu, 0x100u, DO_SH1ADD_UW, 0, 64},
    {0xfff0707fu, 0x08004033u, 0x200u, DO_ZEXT_H, 2, 32},
    {0xfe00707fu, 0x0a004033u, 0x200u, DO_MIN, 0, 0},
    {0xfe00707fu, 0x20004033u, 0x100u, DO_SH2ADD, 0, 0},
    {0xfe00707fu, 0x40004033u, 0x200u, DO_XNOR, 0, 0},
    {0xfff0707fu, 0x0800403bu, 0x200u, DO_ZEXT_H, 2, 64},
    {0xfe00707fu, 0x2000403bu, 0x100u, DO_SH2ADD_UW, 0, 64},
    {0xfff0707fu, 0x28705013u, 0x200u, DO_ORC_B, 2, 0},
    {0xfc00707fu, 0x48005013u, 0x400u, DO_BEXT, 1, 64},
    {0xfe00707fu, 0x48005013u, 0x400u, DO_BEXT, 1, 32},
    {0xfc00707fu, 0x60005013u, 0x200u, DO_ROR, 1, 64},
    {0xfe00707fu, 0x60005013u, 0x200u, DO_ROR, 1, 32},
    {0xfff0707fu, 0x69805013u, 0x200u, DO_REV8, 2, 32},
    {0xfff0707fu, 0x6b805013u, 0x200u, DO_REV8, 2, 64},
    {0xfe00707fu, 0x6000501bu, 0x200u, DO_RORW, 1, 64},
    {0xfe00707fu, 0x0a005033u, 0x200u, DO_MINU, 0, 0},
    {0xfe00707fu, 0x0e005033u, 0x2000u, DO_CZERO_EQZ, 0, 0},
    {0xfe00707fu, 0x48005033u, 0x400u, DO_BEXT, 0, 0},
    {0xfe00707fu, 0x60005033u, 0x200u, DO_ROR, 0, 0},
    {0xfe00707fu, 0x6000503bu, 0x200u, DO_RORW, 0, 64},
    {0xfe00707fu, 0x0a006033u, 0x200u, DO_MAX, 0, 0},
    {0xfe00707fu, 0x20006033u, 0x100u, DO_SH3ADD, 0, 0},
    {0xfe00707fu, 0x40006033u, 0x200u, DO_ORN, 0, 0},
    {0xfe00707fu, 0x2000603bu, 0x100u, DO_SH3ADD_UW, 0, 64},
    {0xfe00707fu, 0x0a007033u, 0x200u, DO_MAXU, 0, 0},
    {0xfe00707fu, 0x0e007033u, 0x2000u, DO_CZERO_NEZ, 0, 0},
    {0xfe00707fu, 0x40007033u, 0x200u, DO_ANDN, 0, 0},
};

#define HELPERS_CONTRACT(X) \
    X(ENV_IN_CPU) X(STATUS_64) X(MSTATUS_64) X(F_64) X(SHARED_64) X(PC_64) X(PRIV_64) X(STATUS_32) X(MSTATUS_32) \
    X(F_32) X(SHARED_32) X(PC_32) X(PRIV_32) X(ICOUNT_IN_SHARED) X(FAST_LIMIT_IN_SHARED) X(BLOCK_PC_IN_SHARED) \
    X(BLOCK_INSNS_IN_SHARED) X(ENGINE_IN_SHARED) X(CPU_IN_SHARED) X(COUNTS_ITSELF_IN_SHARED) \
    X(LEAVES_ACCESS_IN_SHARED) X(LEAVES_RETURN_IN_SHARED) X(READS_COUNTER_IN_SHARED) X(TRAP_AT_END_IN_SHARED) \
    X(FILL_PLAINLY_IN_SHARED) X(MSTATUS_SIE) X(MSTATUS_MIE) X(MSTATUS_SPIE) X(MSTATUS_MPIE) X(MSTATUS_SPP) \
    X(MSTATUS_MPP) X(MSTATUS_FS) X(MSTATUS_MPRV) X(MSTATUS_SUM) X(MSTATUS_MXR) X(MSTATUS_TVM) X(MSTATUS_TW) \
    X(MSTATUS_TSR) X(MSTATUS_UXL) X(INSN_ECALL) X(INSN_EBREAK) X(INSN_WFI) X(INSN_SRET) X(INSN_MRET) \
    X(INSN_C_EBREAK) X(S_INTERRUPTS) X(M_INTERRUPTS) X(PMP_LOCKED) X(ENVCFG_CBIE) X(ENVCFG_CBCFE) X(ENVCFG_CBZE) \
    X(PTE_N) X(PTE_PBMT) X(MENVCFG_ADUE) X(MENVCFG_PBMTE) X(NOWHERE) X(NEVER) X(CTL_TB_REQUEST_CACHE) \
    X(CTL_TB_REMOVE_CACHE) X(CTL_TB_FLUSH) X(CTL_TLB_FLUSH) X(CSR_FFLAGS) X(CSR_FCSR) X(CSR_SSTATUS) X(CSR_SATP) \
    X(EXTENSIONS_TRANSLATED) X(EXTENSION_TABLE) X(MSTATUS_BOGUS) X(VIRTUAL_NS_MAX) X(TIMER_NEVER)

/* For _callbacks.c, after Python.h. */
#ifdef Py_PYTHON_H

enum {
    PAGE_BITS = 12, PAGE_SIZE = 4096, CACHED_REGISTERS = 4, SPECIAL_BITS = 16, SPECIAL_MASK = 65535,
    DEMOTE_AFTER_WRITES = 256, TRAP_LOOP_TRAPS = 1000, WORK_OF_INVALIDATION = 20, STALE_PAGES_MAX = 64,
    WALK_LEVELS = 2, WALKS = 16, PMP_ENTRIES = 16
};
enum {
    REG_RA = 1, REG_SP = 2, REG_T0 = 5, REG_FP = 8, PRIV_U = 0, PRIV_S = 1, PRIV_M = 3, PTE_V = 1, PTE_R = 2,
    PTE_W = 4, PTE_X = 8, PTE_U = 16, PTE_A = 64, PTE_D = 128, MSTATUS_MPP_SHIFT = 11, SATP_MODE_SHIFT = 60,
    SATP_SV39 = 8, SATP_SV48 = 9, SATP_SV57 = 10, OP_LOAD = 3, OP_LOAD_FP = 7, OP_STORE = 35, OP_STORE_FP = 39,
    OP_AMO = 47, OP_FMADD = 67, OP_FP = 83, OP_SYSTEM = 115, OP_JALR = 103, OP_JAL = 111, CSRRW = 1, CSRRS = 2,
    CSRRC = 3, AMO_LR = 2, CACHE_BLOCK = 64
};
enum {
    UC_RISCV_REG_PC = 190
};
enum {
    PLIC_SOURCES = 53, PLIC_CONTEXTS_MAX = 16, PLIC_CONTEXT = 2097152, PLIC_CONTEXT_BITS = 12,
    PLIC_THRESHOLD = 0, PLIC_CLAIM = 4, CLINT_MTIMECMP = 16384, FIFO_SIZE = 16, LCR_DLAB = 128,
    MCR_LOOPBACK = 16, FCR_ENABLE = 1, IIR_FIFO_ENABLED = 192, UART_WINDOW = 256, SENT_MAX = 256
};
enum {
    PROT_R = 1, PROT_W = 2, PROT_X = 4, PROT_MIXED = 8
};
enum {
    MEM_READ = 16, MEM_WRITE = 17, MEM_FETCH = 18
};
enum {
    FAULT_NONE = 0, FAULT_PAGE = 1, FAULT_ACCESS = 2, FAULT_CROSSING = 3, FAULT_COMPANY = 4, FAULT_TRIGGER = 5
};
enum {
    STOP_NONE = 0, STOP_LIMIT = 1, STOP_INTERRUPT = 2, STOP_SPECIAL = 3, STOP_RESYNC = 4, STOP_FAULT = 5,
    STOP_EXCEPTION = 6, STOP_ALONE = 7, STOP_FULL = 8, STOP_TRAP_LOOP = 9, STOP_ERROR = 10, STOP_WAITING = 11,
    STOP_BREAKPOINT = 12, STOP_TRIGGER = 13
};
enum {
    PAGE_CODE = 1, PAGE_TABLE = 2, PAGE_SLOW = 4, PAGE_DIRTY = 8, PAGE_UNDECODED = 16
};
enum {
    CAUSE_FETCH_MISALIGNED = 0, CAUSE_FETCH_ACCESS = 1, CAUSE_ILLEGAL_INSTRUCTION = 2, CAUSE_BREAKPOINT = 3,
    CAUSE_LOAD_MISALIGNED = 4, CAUSE_LOAD_ACCESS = 5, CAUSE_STORE_MISALIGNED = 6, CAUSE_STORE_ACCESS = 7,
    CAUSE_ECALL_FROM_U = 8, CAUSE_ECALL_FROM_S = 9, CAUSE_ECALL_FROM_M = 11, CAUSE_FETCH_PAGE_FAULT = 12,
    CAUSE_LOAD_PAGE_FAULT = 13, CAUSE_STORE_PAGE_FAULT = 15
};
enum {
    SSI = 1, MSI = 3, STI = 5, MTI = 7, SEI = 9, MEI = 11
};
enum {
    OURS_NEVER = 0, OURS_ALWAYS = 1, OURS_WRONG_BITS = 2, OURS_FLOAT = 3, OURS_SSTATUS = 4, OURS_SIE = 5,
    OURS_MSTATUS = 6
};
enum {
    FP_ADD = 0, FP_SUB = 1, FP_MUL = 2, FP_DIV = 3, FP_SGNJ = 4, FP_MINMAX = 5, FP_FROM_FLOAT = 8, FP_SQRT = 11,
    FP_COMPARE = 20, FP_TO_INT = 24, FP_FROM_INT = 26, FP_CLASS = 28, FP_MOVE_FROM_X = 30
};
enum {
    ASKED_COUNTS = 1, ASKED_CALLS = 2, ASKED_PATH = 4
};
enum {
    TRANSFER_NONE = 0, TRANSFER_CALL = 1, TRANSFER_RETURN = 2, TRANSFER_SWAP = 3, TRANSFER_TRAP_RETURN = 4,
    TRANSFER_START = 5
};
enum {
    FEATURE_SM1P12 = 1, FEATURE_SSTC = 2, FEATURE_SVADU = 4, FEATURE_SVINVAL = 8, FEATURE_SVNAPOT = 16,
    FEATURE_SVPBMT = 32, FEATURE_SV48 = 64, FEATURE_SV57 = 128, FEATURE_ZBA = 256, FEATURE_ZBB = 512,
    FEATURE_ZBS = 1024, FEATURE_ZICBOM = 2048, FEATURE_ZICBOZ = 4096, FEATURE_ZICOND = 8192,
    FEATURE_ZIHINTPAUSE = 16384, FEATURE_ZAWRS = 32768
};
enum {
    UART_RBR_THR = 0, UART_IER = 1, UART_IIR_FCR = 2, UART_LCR = 3, UART_MCR = 4, UART_LSR = 5, UART_MSR = 6,
    UART_SCR = 7
};
enum {
    IER_RX_DATA = 1, IER_THR_EMPTY = 2, IER_LINE_STATUS = 4, IER_MODEM_STATUS = 8
};
enum {
    IIR_LINE_STATUS = 6, IIR_RX_DATA = 4, IIR_RX_TIMEOUT = 12, IIR_THR_EMPTY = 2, IIR_MODEM_STATUS = 0,
    IIR_NONE = 1
};
enum {
    LSR_DATA_READY = 1, LSR_OVERRUN = 2, LSR_THR_EMPTY = 32, LSR_TRANSMITTER_EMPTY = 64
};
enum {
    MSR_DELTA_CTS = 1, MSR_DELTA_DSR = 2, MSR_TRAILING_RI = 4, MSR_DELTA_DCD = 8, MSR_CTS = 16, MSR_DSR = 32,
    MSR_RI = 64, MSR_DCD = 128
};

/* Registers of devices: emu/registers.py tells more. */
struct plic {
    uint64_t listeners;
    uint64_t priority[54];
    uint64_t pending;
    uint64_t claimed;
    uint64_t levels;
    uint64_t enable[16];
    uint64_t threshold[16];
    uint64_t outputs;
    uint64_t claims[54];
};
struct uart {
    uint64_t source;
    uint64_t listeners;
    uint64_t is_used;
    uint64_t ier;
    uint64_t fcr;
    uint64_t lcr;
    uint64_t mcr;
    uint64_t scr;
    uint64_t divisor;
    uint64_t rx_count;
    uint64_t overrun;
    uint64_t msr_deltas;
    uint64_t thr_empty_pending;
    uint64_t rx_timeout_pending;
    uint64_t output;
    uint64_t keeps_sent;
    uint64_t sent_count;
    uint64_t sent[256];
    uint64_t sent_icount[256];
    uint64_t sent_ns;
    uint8_t rx_fifo[16];
};
struct clint {
    uint64_t listeners;
    uint64_t mtimecmp[8];
    uint64_t msip[8];
    uint64_t mtime_delta;
    uint64_t outputs;
    uint64_t arms;
    uint64_t is_set;
    uint64_t deadline_ns;
};

struct block;
struct flow;

/* One hart's side of what is shared: shared.py tells more. */
struct shared {
    /* Counting. `blocks` is the table of blocks, NULL where instructions are counted one by one; `block_pc` and
     * `block_insns` tell the block that was last started, 1 instruction when they are counted one by one. */
    uint64_t icount, fast_limit;
    struct block *blocks;
    uint64_t block_pc, block_insns, limit, mip;
    uint64_t stop_reason, resync, step_over, in_system_view, special_insn, has_bogus_entry;
    /* What the hart has beside the base: bits of Feature, see cpu.py. Never changes. */
    uint64_t features;
    /* The fault that ended a run. */
    uint64_t fault, fault_va, fault_type;
    /* Unicorn: its functions, its CPU state, and where in that state what is. */
    int (*emu_stop)(void *);
    int (*ctl)(void *, int, ...);
    uint8_t *env;
    int (*reg_write)(void *, int, const void *);
    uint64_t xlen_bytes, off_pc, off_priv, off_mstatus, off_mie, off_mideleg, off_satp, off_mcounteren,
        off_scounteren;
    uint64_t off_medeleg, off_mtvec, off_stvec, off_mepc, off_sepc, off_mcause, off_scause, off_mtval, off_stval;
    uint64_t off_load_res;
    /* The last exception at another instruction than the one before it, and how many came at one in a row. */
    uint64_t has_trapped, trap_cause, trap_epc, trap_tval, trap_priv, trap_icount, traps_in_place, traps_icount;
    uint64_t trap_ra, trap_sp, trap_fp;
    /* The last trap of any kind. */
    uint64_t has_last, last_code, last_is_interrupt, last_epc, last_tval, last_priv, last_icount, last_ra, last_sp,
        last_fp;
    /* Unicorn's exception, when a run ended with one; and whether the hart waits since a WFI. */
    uint64_t exception, is_waiting;
    /* Counters, which are functions of icount: see counter_at. */
    uint64_t shift, warp_ns, ns_per_tick, time_delta, mcycle_offset, minstret_offset;
    /* CSRs since version 1.12 of the privileged specification, and Sstc's. A counter that mcountinhibit stops has
     * its value in its offset alone. */
    uint64_t menvcfg, senvcfg, mcountinhibit, stimecmp;
    /* What Python does: devices, and stores that are looked at one by one. */
    PyObject *io_read;
    PyObject *io_write;
    PyObject *slow_read;
    PyObject *slow_write;
    PyObject *time_written;
    PyObject *access_fault;
    /* `thread` while Python's lock is given up; `in_flight` is 1 while Python works at an access: its instruction
     * is counted, but has not retired; `work_left` until the run ends, in units of a call to Python: see charge. */
    PyThreadState *thread;
    uint64_t in_flight, work_left;
    /* Registers of devices that read the same until their device says otherwise, and mtime; address 0: none. */
    uint64_t cached_address[4], cached_value[4], cached_size[4];
    uint64_t mtime_address;
    /* Guest memory. What is known of a page is the same for all harts. */
    uint8_t *ram;
    uint64_t ram_base, ram_size;
    uint8_t *rom;
    uint64_t rom_base, rom_size, rom_window, watch_window, slow_window, io_size;
    uint8_t *io_pages;
    uint8_t *page_flags;
    uint8_t *code_bits;
    /* What this hart knows of memory: where its special instructions are; for each page the `generation` of its TLB
     * in which it could store there unwatched, and how many stores to it were watched. */
    uint8_t *special_marks;
    uint32_t *write_generation;
    uint16_t *write_count;
    uint64_t generation;
    /* What this hart's guest has made stale of what other harts have derived from memory, since they were last
     * told: how often their address translations; and from which pages of RAM, by number, the code that they have
     * translated. More of them than STALE_PAGES_MAX: all their code. */
    uint64_t stale_tlbs, stale_page_count;
    uint64_t stale_pages[64];
    /* Tables of the lowest WALK_LEVELS levels that walks went through, WALKS of each: for addresses that begin how,
     * under which satp, and in which generation of the TLB, flushed where a table changes. C alone has them. */
    uint64_t walk_prefixes[32], walk_satps[32], walk_generations[32], walk_tables[32];
    /* PMP: [low, high) and configuration of each active entry, in order of priority. */
    uint64_t pmp_count;
    uint64_t pmp_low[16], pmp_high[16], pmp_cfg[16];
    /* Statistics; and so many fills after the last flush the TLB may be too small. */
    uint64_t fills, flushes, edges, watched_writes, invalidations;
    uint64_t next_growth;
    /* Counting by blocks. With `blocks_max` of them all are dropped; `must_forget_blocks` before the next
     * instruction. The last instruction under way when code was written. `new_entry` is the page table entry, by
     * its offset in RAM, that was last made and not yet used. */
    uint64_t block_count, blocks_max, is_device_access, must_forget_blocks;
    uint64_t rewritten_pc, rewritten_icount, rewritten_insn, new_entry;
    /* The shortened block that was asked for, `cut_insns` 0: none; and whether that was to end it before a page
     * that is not there, so that special instructions may be in it. `next_cflags` is Unicorn's: how many
     * instructions the next block may have. */
    uint64_t cut_pc, cut_size, cut_insns, cut_is_crossing;
    uint32_t *next_cflags;
    int (*emu_start)(void *, uint64_t, uint64_t, uint64_t, size_t);
    uint64_t alone, cuts, ambiguous;
    /* The floating point registers as they were before an access that is left undone: see keep_floats. */
    uint64_t off_f, has_kept_f;
    uint64_t kept_f[32];
    /* Whether our functions stand in Unicorn's place; and for which extensions, bits of Feature, its translator
     * then makes code: see _helpers.c. */
    uint64_t has_helpers, translated;
    /* Whether blocks count themselves, in the code that Unicorn makes: see _counting.h. What that needs: the engine
     * and its CPU, functions that tell which blocks may, and whether the access to a CSR or the return that ends
     * one is left to Python, that read a counter there, and take an exception. How often a block called for help,
     * and the icount that was counted when one last did. */
    uint64_t counts_in_code, engine, cpu;
    bool (*counts_itself)(void *, struct shared *, uint64_t, uint64_t, uint64_t);
    bool (*leaves_access)(void *, struct shared *, uint64_t, uint64_t, uint64_t);
    bool (*leaves_return)(void *, struct shared *, uint64_t);
    bool (*reads_counter)(void *, struct shared *, uint64_t, uint64_t *);
    void (*trap_at_end)(void *, struct shared *, uint64_t);
    uint64_t looks, looked_icount;
    /* Fills the TLB for a load or store, where that needs no PC: see _tlb.c. */
    void *fill_plainly;
    /* Addresses before which the run stops, in rising order; and the place (pc and icount) where it goes on all the
     * same: see breakpoints.py. */
    const uint64_t *break_pcs;
    uint64_t break_count, passed_pc, passed_icount;
    /* What somebody watches in RAM, with a margin: from and to which offset, for one range after the other, those
     * first of which loads are watched. Accesses to the same pages that are not near need not come to Python: see
     * watches.py. */
    const uint64_t *watch_edges;
    uint64_t watch_count, watch_load_count;
    /* Virtual pages, by number, on which a load or store may fire a trigger of the guest's; and the place of the
     * instruction that goes there all the same: see triggers.py. */
    uint64_t trigger_page_count;
    uint64_t trigger_pages[2];
    uint64_t trigger_passed_pc, trigger_passed_icount;
    /* Whether each trap is told to `on_trap`, once it is taken, with the privilege that data accesses had before.
     * */
    uint64_t logs_traps;
    PyObject *on_trap;
    /* Whether the hart executes each MRET and SRET itself, as somebody is told of them. */
    uint64_t tells_returns;
    /* The hart's interrupt lines that are up, and the bits of mip that the guest has written. */
    uint64_t lines, soft_mip;
    /* Registers of devices that C answers, NULL: Python does. `send_kept` and `arm_timer` are to be called before
     * Python does anything, where C has kept what the guest sent, or set a timer: see _chips.h. */
    struct plic *plic;
    struct uart *uart;
    struct clint *clint;
    uint64_t plic_base, uart_base, clint_base;
    PyObject *send_kept;
    PyObject *arm_timer;
    /* Who follows where instructions went, NULL: nobody; then `key_salt` is 0, else FLOW_KEY: see on_block. */
    struct flow *flow;
    uint64_t key_salt;
};

/* The CSRs of which the hart executes accesses itself, and when (csr_table.py); where the callbacks find
 * the word of Unicorn's state that has their value, and which bits of it exist. */
static const struct csr_row {
    uint16_t first, last, ours, word;
    uint64_t mask;
} CSR_ROWS[] = {
    {0x001, 0x003, OURS_FLOAT, 0, 0},
    {0x100, 0x100, OURS_SSTATUS, 0, 0},
    {0x104, 0x104, OURS_SIE, 0, 0},
    {0x106, 0x106, OURS_WRONG_BITS, offsetof(struct shared, off_scounteren), 0xffffffffull},
    {0x10a, 0x10a, OURS_ALWAYS, 0, 0},
    {0x141, 0x141, OURS_WRONG_BITS, offsetof(struct shared, off_sepc), 0xfffffffffffffffeull},
    {0x144, 0x144, OURS_ALWAYS, 0, 0},
    {0x14d, 0x14d, OURS_ALWAYS, 0, 0},
    {0x15d, 0x15d, OURS_ALWAYS, 0, 0},
    {0x180, 0x180, OURS_ALWAYS, 0, 0},
    {0x300, 0x300, OURS_MSTATUS, 0, 0},
    {0x301, 0x301, OURS_ALWAYS, 0, 0},
    {0x302, 0x302, OURS_WRONG_BITS, offsetof(struct shared, off_medeleg), 0xb3ffull},
    {0x303, 0x303, OURS_WRONG_BITS, offsetof(struct shared, off_mideleg), 0x222ull},
    {0x304, 0x304, OURS_WRONG_BITS, offsetof(struct shared, off_mie), 0xaaaull},
    {0x306, 0x306, OURS_WRONG_BITS, offsetof(struct shared, off_mcounteren), 0xffffffffull},
    {0x30a, 0x30a, OURS_ALWAYS, 0, 0},
    {0x310, 0x310, OURS_ALWAYS, 0, 0},
    {0x31a, 0x31a, OURS_ALWAYS, 0, 0},
    {0x320, 0x320, OURS_ALWAYS, 0, 0},
    {0x321, 0x321, OURS_ALWAYS, 0, 0},
    {0x341, 0x341, OURS_WRONG_BITS, offsetof(struct shared, off_mepc), 0xfffffffffffffffeull},
    {0x344, 0x344, OURS_ALWAYS, 0, 0},
    {0x3a0, 0x3a3, OURS_ALWAYS, 0, 0},
    {0x3b0, 0x3bf, OURS_ALWAYS, 0, 0},
    {0x7a0, 0x7a4, OURS_ALWAYS, 0, 0},
    {0xb00, 0xb1f, OURS_ALWAYS, 0, 0},
    {0xb80, 0xb9f, OURS_ALWAYS, 0, 0},
    {0xc00, 0xc1f, OURS_ALWAYS, 0, 0},
    {0xc80, 0xc9f, OURS_ALWAYS, 0, 0},
    {0xf14, 0xf15, OURS_ALWAYS, 0, 0},
};

#define CSR_TABLE 0x2b76754au /* a CRC of CSR_ROWS */
#define SHARED_SIZE sizeof(struct shared)
#define REGISTERS 0x88f2961u /* a CRC of struct plic, struct uart, struct clint */
#define PLIC_SIZE sizeof(struct plic)
#define UART_SIZE sizeof(struct uart)
#define CLINT_SIZE sizeof(struct clint)
#define CONTRACT_FIELD(name) \
    ((uint64_t)offsetof(struct shared, name) << 16 | sizeof(((struct shared *)0)->name)),

#define CALLBACKS_CONTRACT(X, FIELD) \
    X(PAGE_BITS) X(PAGE_SIZE) X(CACHED_REGISTERS) X(SPECIAL_BITS) X(SPECIAL_MASK) X(DEMOTE_AFTER_WRITES) \
    X(TRAP_LOOP_TRAPS) X(WORK_OF_INVALIDATION) X(STALE_PAGES_MAX) X(WALK_LEVELS) X(WALKS) X(PMP_ENTRIES) \
    X(REG_RA) X(REG_SP) X(REG_T0) X(REG_FP) X(PRIV_U) X(PRIV_S) X(PRIV_M) X(PTE_V) X(PTE_R) X(PTE_W) X(PTE_X) \
    X(PTE_U) X(PTE_A) X(PTE_D) X(MSTATUS_MPP_SHIFT) X(SATP_MODE_SHIFT) X(SATP_SV39) X(SATP_SV48) X(SATP_SV57) \
    X(OP_LOAD) X(OP_LOAD_FP) X(OP_STORE) X(OP_STORE_FP) X(OP_AMO) X(OP_FMADD) X(OP_FP) X(OP_SYSTEM) X(OP_JALR) \
    X(OP_JAL) X(CSRRW) X(CSRRS) X(CSRRC) X(AMO_LR) X(CACHE_BLOCK) X(UC_RISCV_REG_PC) X(PLIC_SOURCES) \
    X(PLIC_CONTEXTS_MAX) X(PLIC_CONTEXT) X(PLIC_CONTEXT_BITS) X(PLIC_THRESHOLD) X(PLIC_CLAIM) X(CLINT_MTIMECMP) \
    X(FIFO_SIZE) X(LCR_DLAB) X(MCR_LOOPBACK) X(FCR_ENABLE) X(IIR_FIFO_ENABLED) X(UART_WINDOW) X(SENT_MAX) \
    X(PROT_R) X(PROT_W) X(PROT_X) X(PROT_MIXED) X(MEM_READ) X(MEM_WRITE) X(MEM_FETCH) X(FAULT_NONE) \
    X(FAULT_PAGE) X(FAULT_ACCESS) X(FAULT_CROSSING) X(FAULT_COMPANY) X(FAULT_TRIGGER) X(STOP_NONE) X(STOP_LIMIT) \
    X(STOP_INTERRUPT) X(STOP_SPECIAL) X(STOP_RESYNC) X(STOP_FAULT) X(STOP_EXCEPTION) X(STOP_ALONE) X(STOP_FULL) \
    X(STOP_TRAP_LOOP) X(STOP_ERROR) X(STOP_WAITING) X(STOP_BREAKPOINT) X(STOP_TRIGGER) X(PAGE_CODE) \
    X(PAGE_TABLE) X(PAGE_SLOW) X(PAGE_DIRTY) X(PAGE_UNDECODED) X(CAUSE_FETCH_MISALIGNED) X(CAUSE_FETCH_ACCESS) \
    X(CAUSE_ILLEGAL_INSTRUCTION) X(CAUSE_BREAKPOINT) X(CAUSE_LOAD_MISALIGNED) X(CAUSE_LOAD_ACCESS) \
    X(CAUSE_STORE_MISALIGNED) X(CAUSE_STORE_ACCESS) X(CAUSE_ECALL_FROM_U) X(CAUSE_ECALL_FROM_S) \
    X(CAUSE_ECALL_FROM_M) X(CAUSE_FETCH_PAGE_FAULT) X(CAUSE_LOAD_PAGE_FAULT) X(CAUSE_STORE_PAGE_FAULT) X(SSI) \
    X(MSI) X(STI) X(MTI) X(SEI) X(MEI) X(OURS_NEVER) X(OURS_ALWAYS) X(OURS_WRONG_BITS) X(OURS_FLOAT) \
    X(OURS_SSTATUS) X(OURS_SIE) X(OURS_MSTATUS) X(FP_ADD) X(FP_SUB) X(FP_MUL) X(FP_DIV) X(FP_SGNJ) X(FP_MINMAX) \
    X(FP_FROM_FLOAT) X(FP_SQRT) X(FP_COMPARE) X(FP_TO_INT) X(FP_FROM_INT) X(FP_CLASS) X(FP_MOVE_FROM_X) \
    X(ASKED_COUNTS) X(ASKED_CALLS) X(ASKED_PATH) X(TRANSFER_NONE) X(TRANSFER_CALL) X(TRANSFER_RETURN) \
    X(TRANSFER_SWAP) X(TRANSFER_TRAP_RETURN) X(TRANSFER_START) X(FEATURE_SM1P12) X(FEATURE_SSTC) \
    X(FEATURE_SVADU) X(FEATURE_SVINVAL) X(FEATURE_SVNAPOT) X(FEATURE_SVPBMT) X(FEATURE_SV48) X(FEATURE_SV57) \
    X(FEATURE_ZBA) X(FEATURE_ZBB) X(FEATURE_ZBS) X(FEATURE_ZICBOM) X(FEATURE_ZICBOZ) X(FEATURE_ZICOND) \
    X(FEATURE_ZIHINTPAUSE) X(FEATURE_ZAWRS) X(UART_RBR_THR) X(UART_IER) X(UART_IIR_FCR) X(UART_LCR) X(UART_MCR) \
    X(UART_LSR) X(UART_MSR) X(UART_SCR) X(IER_RX_DATA) X(IER_THR_EMPTY) X(IER_LINE_STATUS) X(IER_MODEM_STATUS) \
    X(IIR_LINE_STATUS) X(IIR_RX_DATA) X(IIR_RX_TIMEOUT) X(IIR_THR_EMPTY) X(IIR_MODEM_STATUS) X(IIR_NONE) \
    X(LSR_DATA_READY) X(LSR_OVERRUN) X(LSR_THR_EMPTY) X(LSR_TRANSMITTER_EMPTY) X(MSR_DELTA_CTS) X(MSR_DELTA_DSR) \
    X(MSR_TRAILING_RI) X(MSR_DELTA_DCD) X(MSR_CTS) X(MSR_DSR) X(MSR_RI) X(MSR_DCD) X(MSTATUS_SIE) X(MSTATUS_MIE) \
    X(MSTATUS_SPIE) X(MSTATUS_MPIE) X(MSTATUS_SPP) X(MSTATUS_MPP) X(MSTATUS_FS) X(MSTATUS_MPRV) X(MSTATUS_SUM) \
    X(MSTATUS_MXR) X(MSTATUS_TVM) X(MSTATUS_TW) X(MSTATUS_TSR) X(MSTATUS_UXL) X(INSN_ECALL) X(INSN_EBREAK) \
    X(INSN_WFI) X(INSN_SRET) X(INSN_MRET) X(INSN_C_EBREAK) X(S_INTERRUPTS) X(M_INTERRUPTS) X(PMP_LOCKED) \
    X(ENVCFG_CBIE) X(ENVCFG_CBCFE) X(ENVCFG_CBZE) X(PTE_N) X(PTE_PBMT) X(MENVCFG_ADUE) X(MENVCFG_PBMTE) \
    X(NOWHERE) X(NEVER) X(CTL_TB_REQUEST_CACHE) X(CTL_TB_REMOVE_CACHE) X(CTL_TB_FLUSH) X(CTL_TLB_FLUSH) \
    X(CSR_FFLAGS) X(CSR_FCSR) X(CSR_SSTATUS) X(CSR_SATP) X(EXTENSIONS_TRANSLATED) X(EXTENSION_TABLE) \
    X(MSTATUS_BOGUS) X(VIRTUAL_NS_MAX) X(TIMER_NEVER) X(CSR_TABLE) X(SHARED_SIZE) X(REGISTERS) X(PLIC_SIZE) \
    X(UART_SIZE) X(CLINT_SIZE) FIELD(icount) FIELD(fast_limit) FIELD(blocks) FIELD(block_pc) FIELD(block_insns) \
    FIELD(limit) FIELD(mip) FIELD(stop_reason) FIELD(resync) FIELD(step_over) FIELD(in_system_view) \
    FIELD(special_insn) FIELD(has_bogus_entry) FIELD(features) FIELD(fault) FIELD(fault_va) FIELD(fault_type) \
    FIELD(emu_stop) FIELD(ctl) FIELD(env) FIELD(reg_write) FIELD(xlen_bytes) FIELD(off_pc) FIELD(off_priv) \
    FIELD(off_mstatus) FIELD(off_mie) FIELD(off_mideleg) FIELD(off_satp) FIELD(off_mcounteren) \
    FIELD(off_scounteren) FIELD(off_medeleg) FIELD(off_mtvec) FIELD(off_stvec) FIELD(off_mepc) FIELD(off_sepc) \
    FIELD(off_mcause) FIELD(off_scause) FIELD(off_mtval) FIELD(off_stval) FIELD(off_load_res) FIELD(has_trapped) \
    FIELD(trap_cause) FIELD(trap_epc) FIELD(trap_tval) FIELD(trap_priv) FIELD(trap_icount) FIELD(traps_in_place) \
    FIELD(traps_icount) FIELD(trap_ra) FIELD(trap_sp) FIELD(trap_fp) FIELD(has_last) FIELD(last_code) \
    FIELD(last_is_interrupt) FIELD(last_epc) FIELD(last_tval) FIELD(last_priv) FIELD(last_icount) FIELD(last_ra) \
    FIELD(last_sp) FIELD(last_fp) FIELD(exception) FIELD(is_waiting) FIELD(shift) FIELD(warp_ns) \
    FIELD(ns_per_tick) FIELD(time_delta) FIELD(mcycle_offset) FIELD(minstret_offset) FIELD(menvcfg) \
    FIELD(senvcfg) FIELD(mcountinhibit) FIELD(stimecmp) FIELD(io_read) FIELD(io_write) FIELD(slow_read) \
    FIELD(slow_write) FIELD(time_written) FIELD(access_fault) FIELD(thread) FIELD(in_flight) FIELD(work_left) \
    FIELD(cached_address) FIELD(cached_value) FIELD(cached_size) FIELD(mtime_address) FIELD(ram) FIELD(ram_base) \
    FIELD(ram_size) FIELD(rom) FIELD(rom_base) FIELD(rom_size) FIELD(rom_window) FIELD(watch_window) \
    FIELD(slow_window) FIELD(io_size) FIELD(io_pages) FIELD(page_flags) FIELD(code_bits) FIELD(special_marks) \
    FIELD(write_generation) FIELD(write_count) FIELD(generation) FIELD(stale_tlbs) FIELD(stale_page_count) \
    FIELD(stale_pages) FIELD(walk_prefixes) FIELD(walk_satps) FIELD(walk_generations) FIELD(walk_tables) \
    FIELD(pmp_count) FIELD(pmp_low) FIELD(pmp_high) FIELD(pmp_cfg) FIELD(fills) FIELD(flushes) FIELD(edges) \
    FIELD(watched_writes) FIELD(invalidations) FIELD(next_growth) FIELD(block_count) FIELD(blocks_max) \
    FIELD(is_device_access) FIELD(must_forget_blocks) FIELD(rewritten_pc) FIELD(rewritten_icount) \
    FIELD(rewritten_insn) FIELD(new_entry) FIELD(cut_pc) FIELD(cut_size) FIELD(cut_insns) FIELD(cut_is_crossing) \
    FIELD(next_cflags) FIELD(emu_start) FIELD(alone) FIELD(cuts) FIELD(ambiguous) FIELD(off_f) FIELD(has_kept_f) \
    FIELD(kept_f) FIELD(has_helpers) FIELD(translated) FIELD(counts_in_code) FIELD(engine) FIELD(cpu) \
    FIELD(counts_itself) FIELD(leaves_access) FIELD(leaves_return) FIELD(reads_counter) FIELD(trap_at_end) \
    FIELD(looks) FIELD(looked_icount) FIELD(fill_plainly) FIELD(break_pcs) FIELD(break_count) FIELD(passed_pc) \
    FIELD(passed_icount) FIELD(watch_edges) FIELD(watch_count) FIELD(watch_load_count) FIELD(trigger_page_count) \
    FIELD(trigger_pages) FIELD(trigger_passed_pc) FIELD(trigger_passed_icount) FIELD(logs_traps) FIELD(on_trap) \
    FIELD(tells_returns) FIELD(lines) FIELD(soft_mip) FIELD(plic) FIELD(uart) FIELD(clint) FIELD(plic_base) \
    FIELD(uart_base) FIELD(clint_base) FIELD(send_kept) FIELD(arm_timer) FIELD(flow) FIELD(key_salt)

#endif /* Py_PYTHON_H */

#endif
