/* The groups of checks, and what they share. Each leaves the machine as it found it. */
#ifndef GROUPS_H
#define GROUPS_H

#include <stdint.h>

#include "tables.h"

/* Pages that hold nothing of ours: data, or code written by a check. */
#define SCRATCH_PAGES 4
extern uint8_t scratch[SCRATCH_PAGES][PAGE_SIZE];

/* Compressed `ret`, the shortest trial there is, and `li a0, value`. */
#define INSTRUCTION_RET 0x8082
#define INSTRUCTION_LI(value) (0x4501 | (value) << 2)

/* A word at the start of a page. */
static inline void put_word(uint8_t *page, uint32_t value)
{
    *(volatile uint32_t *)page = value;
}

static inline uint32_t get_word(const uint8_t *page)
{
    return *(const volatile uint32_t *)page;
}

static inline void put_parcel(uint8_t *where, uint16_t parcel)
{
    *(volatile uint16_t *)where = parcel;
}

/* Writes `li a0, value; ret`, which `fence_i` makes visible. */
static inline void put_return_of(uint8_t *where, unsigned value)
{
    put_parcel(where, (uint16_t)INSTRUCTION_LI(value));
    put_parcel(where + 2, INSTRUCTION_RET);
}

/* For S-mode as well as M-mode; they expect paging to be on. */
void check_walks(void);
void check_accessed_and_dirty(void);
void check_superpages(void);
void check_fences(void);
void check_crossing(void);
void check_aliases(void);
void check_atomics(void);
void check_address_spaces(void);

/* For M-mode only. */
void check_mprv(void);
void check_intercepts(void);
void check_delegation(void);
void check_protection(void);

#endif
