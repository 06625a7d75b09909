/* The platform-level interrupt controller, as M-mode of hart 0 sees it (context 0). */
#ifndef PLIC_H
#define PLIC_H

#include "board.h"

#define PLIC_PRIORITY(irq) (4UL * (irq))
#define PLIC_ENABLE(irq) (0x2000UL + 4 * ((irq) / 32))
#define PLIC_THRESHOLD 0x200000UL
#define PLIC_CLAIM 0x200004UL

/* Lets `irq` through. Priority 0 would mean never, and so would a threshold at or above it. */
static inline void plic_enable(unsigned irq)
{
    *mmio32(PLIC_BASE + PLIC_PRIORITY(irq)) = 1;
    *mmio32(PLIC_BASE + PLIC_ENABLE(irq)) |= 1U << irq % 32;
    *mmio32(PLIC_BASE + PLIC_THRESHOLD) = 0;
}

/* Takes the pending interrupt; 0 if there is none. It cannot come again before plic_complete. */
static inline unsigned plic_claim(void)
{
    return *mmio32(PLIC_BASE + PLIC_CLAIM);
}

static inline void plic_complete(unsigned irq)
{
    *mmio32(PLIC_BASE + PLIC_CLAIM) = irq;
}

#endif
