/* Made by `python -m minstret.emu.hart.contract`, which says what from: don't edit. */
#ifndef MINSTRET_CONTRACT_H
#define MINSTRET_CONTRACT_H

#include <stddef.h>
#include <stdint.h>

/* What a library tells: HELPERS_CONTRACT(X) and CALLBACKS_CONTRACT(X, FIELD) name each thing in order. */
#define CONTRACT_NAME(name) " " #name
#define CONTRACT_VALUE(name) (uint64_t)(name),

/* For _helpers.c: where Unicorn keeps what, in bytes. */
enum {
    ENV_IN_CPU = 296, STATUS_64 = 1537, MSTATUS_64 = 624, F_64 = 256, STATUS_32 = 937, MSTATUS_32 = 440,
    F_32 = 128
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
#define MSTATUS_BOGUS 0xc060000000ull

#define HELPERS_CONTRACT(X) \
    X(ENV_IN_CPU) X(STATUS_64) X(MSTATUS_64) X(F_64) X(STATUS_32) X(MSTATUS_32) X(F_32) X(MSTATUS_SIE) \
    X(MSTATUS_MIE) X(MSTATUS_SPIE) X(MSTATUS_MPIE) X(MSTATUS_SPP) X(MSTATUS_MPP) X(MSTATUS_FS) X(MSTATUS_MPRV) \
    X(MSTATUS_SUM) X(MSTATUS_MXR) X(MSTATUS_TVM) X(MSTATUS_TW) X(MSTATUS_TSR) X(MSTATUS_UXL) X(INSN_ECALL) \
    X(INSN_EBREAK) X(INSN_WFI) X(INSN_SRET) X(INSN_MRET) X(INSN_C_EBREAK) X(S_INTERRUPTS) X(M_INTERRUPTS) \
    X(PMP_LOCKED) X(NOWHERE) X(NEVER) X(CTL_TB_REQUEST_CACHE) X(CTL_TB_REMOVE_CACHE) X(CTL_TB_FLUSH) \
    X(CTL_TLB_FLUSH) X(CSR_FFLAGS) X(CSR_FCSR) X(CSR_SSTATUS) X(CSR_SATP) X(MSTATUS_BOGUS)

/* For _callbacks.c, after Python.h. */
#ifdef Py_PYTHON_H

enum {
    PAGE_BITS = 12, PAGE_SIZE = 4096, CACHED_REGISTERS = 4, SPECIAL_BITS = 16, SPECIAL_MASK = 65535,
    DEMOTE_AFTER_WRITES = 256, TRAP_LOOP_TRAPS = 1000, WORK_OF_INVALIDATION = 20, STALE_PAGES_MAX = 64,
    PMP_ENTRIES = 16
};
enum {
    REG_RA = 1, REG_SP = 2, REG_T0 = 5, REG_FP = 8, PRIV_U = 0, PRIV_S = 1, PRIV_M = 3, PTE_V = 1, PTE_R = 2,
    PTE_W = 4, PTE_X = 8, PTE_U = 16, PTE_A = 64, PTE_D = 128, MSTATUS_MPP_SHIFT = 11, OP_LOAD = 3,
    OP_LOAD_FP = 7, OP_STORE = 35, OP_STORE_FP = 39, OP_AMO = 47, OP_FMADD = 67, OP_FP = 83, OP_SYSTEM = 115,
    OP_JALR = 103, OP_JAL = 111, CSRRW = 1, CSRRS = 2, CSRRC = 3, AMO_LR = 2
};
enum {
    UC_RISCV_REG_PC = 190
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
    /* Whether our functions stand in Unicorn's place: see _helpers.c. */
    uint64_t has_helpers;
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
    {0x141, 0x141, OURS_WRONG_BITS, offsetof(struct shared, off_sepc), 0xfffffffffffffffeull},
    {0x144, 0x144, OURS_ALWAYS, 0, 0},
    {0x180, 0x180, OURS_ALWAYS, 0, 0},
    {0x300, 0x300, OURS_MSTATUS, 0, 0},
    {0x302, 0x302, OURS_WRONG_BITS, offsetof(struct shared, off_medeleg), 0xb3ffull},
    {0x303, 0x303, OURS_WRONG_BITS, offsetof(struct shared, off_mideleg), 0x222ull},
    {0x304, 0x304, OURS_WRONG_BITS, offsetof(struct shared, off_mie), 0xaaaull},
    {0x306, 0x306, OURS_WRONG_BITS, offsetof(struct shared, off_mcounteren), 0xffffffffull},
    {0x310, 0x310, OURS_ALWAYS, 0, 0},
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
    {0xf14, 0xf14, OURS_ALWAYS, 0, 0},
};

#define CSR_TABLE 0x4e541593u /* a CRC of CSR_ROWS */
#define SHARED_SIZE sizeof(struct shared)
#define CONTRACT_FIELD(name) \
    ((uint64_t)offsetof(struct shared, name) << 16 | sizeof(((struct shared *)0)->name)),

#define CALLBACKS_CONTRACT(X, FIELD) \
    X(PAGE_BITS) X(PAGE_SIZE) X(CACHED_REGISTERS) X(SPECIAL_BITS) X(SPECIAL_MASK) X(DEMOTE_AFTER_WRITES) \
    X(TRAP_LOOP_TRAPS) X(WORK_OF_INVALIDATION) X(STALE_PAGES_MAX) X(PMP_ENTRIES) X(REG_RA) X(REG_SP) X(REG_T0) \
    X(REG_FP) X(PRIV_U) X(PRIV_S) X(PRIV_M) X(PTE_V) X(PTE_R) X(PTE_W) X(PTE_X) X(PTE_U) X(PTE_A) X(PTE_D) \
    X(MSTATUS_MPP_SHIFT) X(OP_LOAD) X(OP_LOAD_FP) X(OP_STORE) X(OP_STORE_FP) X(OP_AMO) X(OP_FMADD) X(OP_FP) \
    X(OP_SYSTEM) X(OP_JALR) X(OP_JAL) X(CSRRW) X(CSRRS) X(CSRRC) X(AMO_LR) X(UC_RISCV_REG_PC) X(PROT_R) \
    X(PROT_W) X(PROT_X) X(PROT_MIXED) X(MEM_READ) X(MEM_WRITE) X(MEM_FETCH) X(FAULT_NONE) X(FAULT_PAGE) \
    X(FAULT_ACCESS) X(FAULT_CROSSING) X(FAULT_COMPANY) X(FAULT_TRIGGER) X(STOP_NONE) X(STOP_LIMIT) \
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
    X(TRANSFER_SWAP) X(TRANSFER_TRAP_RETURN) X(TRANSFER_START) X(MSTATUS_SIE) X(MSTATUS_MIE) X(MSTATUS_SPIE) \
    X(MSTATUS_MPIE) X(MSTATUS_SPP) X(MSTATUS_MPP) X(MSTATUS_FS) X(MSTATUS_MPRV) X(MSTATUS_SUM) X(MSTATUS_MXR) \
    X(MSTATUS_TVM) X(MSTATUS_TW) X(MSTATUS_TSR) X(MSTATUS_UXL) X(INSN_ECALL) X(INSN_EBREAK) X(INSN_WFI) \
    X(INSN_SRET) X(INSN_MRET) X(INSN_C_EBREAK) X(S_INTERRUPTS) X(M_INTERRUPTS) X(PMP_LOCKED) X(NOWHERE) X(NEVER) \
    X(CTL_TB_REQUEST_CACHE) X(CTL_TB_REMOVE_CACHE) X(CTL_TB_FLUSH) X(CTL_TLB_FLUSH) X(CSR_FFLAGS) X(CSR_FCSR) \
    X(CSR_SSTATUS) X(CSR_SATP) X(MSTATUS_BOGUS) X(CSR_TABLE) X(SHARED_SIZE) FIELD(icount) FIELD(fast_limit) \
    FIELD(blocks) FIELD(block_pc) FIELD(block_insns) FIELD(limit) FIELD(mip) FIELD(stop_reason) FIELD(resync) \
    FIELD(step_over) FIELD(in_system_view) FIELD(special_insn) FIELD(has_bogus_entry) FIELD(fault) \
    FIELD(fault_va) FIELD(fault_type) FIELD(emu_stop) FIELD(ctl) FIELD(env) FIELD(reg_write) FIELD(xlen_bytes) \
    FIELD(off_pc) FIELD(off_priv) FIELD(off_mstatus) FIELD(off_mie) FIELD(off_mideleg) FIELD(off_satp) \
    FIELD(off_mcounteren) FIELD(off_scounteren) FIELD(off_medeleg) FIELD(off_mtvec) FIELD(off_stvec) \
    FIELD(off_mepc) FIELD(off_sepc) FIELD(off_mcause) FIELD(off_scause) FIELD(off_mtval) FIELD(off_stval) \
    FIELD(off_load_res) FIELD(has_trapped) FIELD(trap_cause) FIELD(trap_epc) FIELD(trap_tval) FIELD(trap_priv) \
    FIELD(trap_icount) FIELD(traps_in_place) FIELD(traps_icount) FIELD(trap_ra) FIELD(trap_sp) FIELD(trap_fp) \
    FIELD(has_last) FIELD(last_code) FIELD(last_is_interrupt) FIELD(last_epc) FIELD(last_tval) FIELD(last_priv) \
    FIELD(last_icount) FIELD(last_ra) FIELD(last_sp) FIELD(last_fp) FIELD(exception) FIELD(is_waiting) \
    FIELD(shift) FIELD(warp_ns) FIELD(ns_per_tick) FIELD(time_delta) FIELD(mcycle_offset) FIELD(minstret_offset) \
    FIELD(io_read) FIELD(io_write) FIELD(slow_read) FIELD(slow_write) FIELD(time_written) FIELD(access_fault) \
    FIELD(thread) FIELD(in_flight) FIELD(work_left) FIELD(cached_address) FIELD(cached_value) FIELD(cached_size) \
    FIELD(mtime_address) FIELD(ram) FIELD(ram_base) FIELD(ram_size) FIELD(rom) FIELD(rom_base) FIELD(rom_size) \
    FIELD(rom_window) FIELD(watch_window) FIELD(slow_window) FIELD(io_size) FIELD(io_pages) FIELD(page_flags) \
    FIELD(code_bits) FIELD(special_marks) FIELD(write_generation) FIELD(write_count) FIELD(generation) \
    FIELD(stale_tlbs) FIELD(stale_page_count) FIELD(stale_pages) FIELD(pmp_count) FIELD(pmp_low) FIELD(pmp_high) \
    FIELD(pmp_cfg) FIELD(fills) FIELD(flushes) FIELD(edges) FIELD(watched_writes) FIELD(invalidations) \
    FIELD(next_growth) FIELD(block_count) FIELD(blocks_max) FIELD(is_device_access) FIELD(must_forget_blocks) \
    FIELD(rewritten_pc) FIELD(rewritten_icount) FIELD(rewritten_insn) FIELD(new_entry) FIELD(cut_pc) \
    FIELD(cut_size) FIELD(cut_insns) FIELD(cut_is_crossing) FIELD(next_cflags) FIELD(emu_start) FIELD(alone) \
    FIELD(cuts) FIELD(ambiguous) FIELD(off_f) FIELD(has_kept_f) FIELD(kept_f) FIELD(has_helpers) \
    FIELD(break_pcs) FIELD(break_count) FIELD(passed_pc) FIELD(passed_icount) FIELD(watch_edges) \
    FIELD(watch_count) FIELD(watch_load_count) FIELD(trigger_page_count) FIELD(trigger_pages) \
    FIELD(trigger_passed_pc) FIELD(trigger_passed_icount) FIELD(logs_traps) FIELD(on_trap) FIELD(tells_returns) \
    FIELD(flow) FIELD(key_salt)

#endif /* Py_PYTHON_H */

#endif
