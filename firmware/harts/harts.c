#include "harts.h"

#include "tree.h"

unsigned harts;

/* Called by start.S on hart 0, with .bss clear. */
void harts_release(const void *tree)
{
    unsigned found = tree_cpus(tree);
    harts = found < 1 ? 1 : found > HARTS_MAX ? HARTS_MAX : found;
    csr_set(mie, 1UL << IRQ_MSI);
    for (unsigned hart = 1; hart < harts; hart++)
        ipi_send(hart);
}

/* Called by start.S on the others: the interrupt itself says that all is ready. */
void hart_await_release(void)
{
    csr_set(mie, 1UL << IRQ_MSI);
    ipi_await();
}

void ipi_await(void)
{
    while (!(csr_read(mip) & 1UL << IRQ_MSI))
        wait_for_interrupt();
    ipi_clear();
}

#if __riscv_xlen == 64

void timer_set(unsigned hart, uint64_t deadline)
{
    *(volatile uint64_t *)(CLINT_BASE + CLINT_MTIMECMP + 8 * hart) = deadline;
}

#else

/* The low half passes through its maximum, so that no intermediate value lies in the past. */
void timer_set(unsigned hart, uint64_t deadline)
{
    uintptr_t mtimecmp = CLINT_BASE + CLINT_MTIMECMP + 8 * hart;
    *mmio32(mtimecmp) = UINT32_MAX;
    *mmio32(mtimecmp + 4) = (uint32_t)(deadline >> 32);
    *mmio32(mtimecmp) = (uint32_t)deadline;
}

#endif
