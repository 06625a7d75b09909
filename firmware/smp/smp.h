/* The groups of checks of `smp`, and what they share. Every hart runs all of it, in the same order. */
#ifndef SMP_H
#define SMP_H

#include <stdbool.h>
#include <stdint.h>

#include "../harts/harts.h"

/* What the trap handler of a hart keeps for it. */
struct hart_state {
    uint32_t pings, requests;        /* what other harts asked for and the handler has not seen yet */
    volatile uint32_t pings_taken;
    volatile uint32_t ipis;          /* software interrupts taken: several pings may come with one, or none */
    volatile uint32_t timers;        /* timer interrupts taken since timer_running was set */
    volatile uint64_t timer_seen;    /* mtime in the last of them */
    volatile bool timer_running;     /* otherwise the timer of hart 0 is the watch */
    volatile uint32_t claims;        /* interrupts that this hart took from the PLIC */
    volatile uint32_t empty_claims;  /* external interrupts that another hart had taken before */
    volatile uintptr_t fault;        /* cause of the last page fault; it skips the instruction */
} __attribute__((aligned(64)));

extern struct hart_state states[HARTS_MAX];

static inline struct hart_state *own_state(void)
{
    return &states[hart_id()];
}

/* What a ping may ask for; the handler does it before it counts the ping. */
#define REQUEST_FENCE_I 1U
#define REQUEST_SFENCE 2U

/* Interrupts another hart, or this one, with a request or 0. None is lost, unlike an IPI to a hart that has one. */
void ping(unsigned hart, uint32_t request);
void ping_others(uint32_t request);

/* Sleeps with interrupts enabled. The condition is checked with interrupts disabled, so that none comes in between. */
#define sleep_until(condition) \
    while (!(condition)) { \
        wait_for_interrupt(); \
        csr_set(mstatus, MSTATUS_MIE); \
        csr_clear(mstatus, MSTATUS_MIE); \
    }

/* Sets up traps and the watch of this hart. */
void traps_start(void);

/* Sets the timer of this hart to what it is outside check_timers: the watch on hart 0, never on the others. */
void watch_start(void);

/* Waits until all harts are here, asleep: whoever comes last wakes the others. */
void meet(void);

/* The same in a busy loop. */
void meet_spinning(void);

/* All harts call these with what each found. One line: `ok NAME`, or `FAIL NAME on harts` and a mask of those that
 * found it wrong. */
void check(const char *name, bool good);

/* The same for what another machine may do otherwise: a `t:` line that never fails the run. */
void note(const char *name, bool good);

void check_barriers(void);
void check_locks(void);
void check_atomics(void);
void check_reservations(void);
void check_ipis(void);
void check_timers(void);
void check_external(void);
void check_patching(void);
void check_tables(void);
void check_counters(void);

#endif
