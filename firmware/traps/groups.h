/* The groups of checks, and what they share. Each leaves the machine as it found it. */
#ifndef GROUPS_H
#define GROUPS_H

#include <stdint.h>

#include "paging.h"

/* Pages that hold nothing of ours: data, or code written by a check. */
#define SCRATCH_PAGES 3
extern uint8_t scratch[SCRATCH_PAGES][PAGE_SIZE];

/* Compressed `ret`, the shortest trial there is. */
#define INSTRUCTION_RET 0x8082

/* Makes code just written visible to instruction fetch. */
static inline void fence_i(void)
{
    __asm__ volatile("fence.i" ::: "memory");
}

/* One PMP entry, the last, that lets S-mode and U-mode use all memory. */
void allow_all_memory(void);

void check_exceptions(void);
void check_privilege(void);
void check_delegation(void);
void check_interrupts(void);
void check_paging(void);
void check_protection(void);

#endif
