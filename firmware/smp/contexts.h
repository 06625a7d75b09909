/* The PLIC as M-mode of each hart sees it: context 2 * hart; those between are for S-mode. */
#ifndef CONTEXTS_H
#define CONTEXTS_H

#include "board.h"
#include "plic.h"

#define PLIC_ENABLE_STEP 0x80UL
#define PLIC_CONTEXT_STEP 0x1000UL

static inline volatile uint32_t *context_enable(unsigned hart, unsigned irq)
{
    return mmio32(PLIC_BASE + PLIC_ENABLE(irq) + 2 * hart * PLIC_ENABLE_STEP);
}

static inline void context_set_threshold(unsigned hart, uint32_t threshold)
{
    *mmio32(PLIC_BASE + PLIC_THRESHOLD + 2 * hart * PLIC_CONTEXT_STEP) = threshold;
}

/* Takes the pending interrupt; 0 if there is none, or if another hart was first. */
static inline unsigned context_claim(unsigned hart)
{
    return *mmio32(PLIC_BASE + PLIC_CLAIM + 2 * hart * PLIC_CONTEXT_STEP);
}

static inline void context_complete(unsigned hart, unsigned irq)
{
    *mmio32(PLIC_BASE + PLIC_CLAIM + 2 * hart * PLIC_CONTEXT_STEP) = irq;
}

#endif
