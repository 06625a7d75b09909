/* What is checked: instructions that compute, each on every pair of values, and programs that need them. */
#ifndef BITS_H
#define BITS_H

#include <stdbool.h>
#include <stdint.h>

typedef uintptr_t word;

struct check {
    const char *name;
    word (*compute)(word a, word b);
    uint32_t expected; /* a hash of the results */
};

/* An extension; `is_late`: not every machine has it, and its lines depend on that. */
struct group {
    const char *name;
    bool is_late;
    const struct check *checks;
    unsigned count;
};

extern const struct group groups[];
extern const unsigned group_count;

/* Whether an instruction was illegal since the last call. Illegal ones are skipped. */
bool was_illegal(void);

/* Words, strings and tables, computed by code for which the compiler uses Zba, Zbb and Zbs; the same on both widths. */
uint32_t checksum_of_programs(void);

#endif
