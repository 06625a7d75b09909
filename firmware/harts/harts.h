/* Several harts: how they start, what the CLINT has for each of them, and how one wakes another.
 *
 * An image that includes these sources has hart_main in place of main.
 */
#ifndef HARTS_H
#define HARTS_H

#include <stdint.h>

#include "board.h"
#include "csr.h"
#include "limits.h"

/* How many there are: the cpus of the device tree, 1 without one. Their ids are 0 to harts - 1. */
extern unsigned harts;

/* What each hart runs. The run has passed when it returns on hart 0. */
void hart_main(unsigned hart);

/* Waits for ever. */
_Noreturn void hart_park(void);

/* Everything before, to memory and devices, is done before everything after. */
static inline void fence_all(void)
{
    __asm__ volatile("fence iorw, iorw" ::: "memory");
}

static inline void wait_for_interrupt(void)
{
    __asm__ volatile("wfi" ::: "memory");
}

static inline unsigned hart_id(void)
{
    return (unsigned)csr_read(mhartid);
}

/* Sets the software interrupt of `hart`, after all stores before. */
static inline void ipi_send(unsigned hart)
{
    fence_all();
    *mmio32(CLINT_BASE + CLINT_MSIP + 4 * hart) = 1;
}

/* Clears the software interrupt of this hart, before all loads after. */
static inline void ipi_clear(void)
{
    *mmio32(CLINT_BASE + CLINT_MSIP + 4 * hart_id()) = 0;
    fence_all();
}

/* Waits for a software interrupt and clears it; it must be enabled in mie, and interrupts disabled in mstatus. */
void ipi_await(void);

/* As clint_set_mtimecmp, for the timer of `hart`. */
void timer_set(unsigned hart, uint64_t deadline);

#endif
