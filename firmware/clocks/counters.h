/* Reading 64-bit counters, and code whose instructions are counted one by one. */
#ifndef COUNTERS_H
#define COUNTERS_H

#include <stdint.h>

#include "csr.h"

/* `counter` is the name of the register with the low half on rv32, of the whole on rv64. */
#if __riscv_xlen == 64
#define read_counter(counter) ((uint64_t)csr_read(counter))
#else
#define read_counter(counter) \
    ({ \
        uintptr_t high_, low_; \
        do { \
            high_ = csr_read(counter##h); \
            low_ = csr_read(counter); \
        } while (csr_read(counter##h) != high_); \
        (uint64_t)high_ << 32 | low_; \
    })
#endif

/* Two readings, or what was written and what was read; low halves on rv32. */
struct count_pair {
    uintptr_t before, after;
};

/* Write the low half and read it back with the very next instruction. The upper half of rv32 stays as it is. */
struct count_pair write_mcycle(uintptr_t value);
struct count_pair write_minstret(uintptr_t value);

/* instret before and after; the first reading counts itself, the second does not. */
struct count_pair count_nothing(void);
struct count_pair count_straight_line(void);
struct count_pair count_compressed(void);
struct count_pair count_loop(void);
struct count_pair count_memory(void);

enum level { LEVEL_U = 0, LEVEL_S = 1 };

/* Runs `code` at `level` and returns the cause of the trap that ended it: the code's own ecall if all went well. */
uintptr_t read_below(enum level level, void (*code)(void));

void code_reads_cycle(void);
void code_reads_time(void);
void code_reads_instret(void);

#endif
