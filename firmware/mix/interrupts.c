#include "board.h"
#include "csr.h"
#include "plic.h"
#include "work.h"

static volatile uint32_t seen;

/* The only trap this image takes: everything else is a bug, and the host sees its cause as the exit code. */
__attribute__((interrupt("machine"), aligned(4))) static void on_trap(void)
{
    uintptr_t cause = csr_read(mcause);
    if (cause != (CAUSE_INTERRUPT | IRQ_MEI))
        board_fail(0x100 | (unsigned)cause);

    unsigned irq = plic_claim();
    if (irq != UART_IRQ)
        board_fail(0x200 | irq);
    *mmio8(UART_BASE + UART_IER) = 0;
    plic_complete(irq);
    seen++;
}

/* The UART has nothing to send, and says so as soon as it may. */
static void wait_for_interrupt(uint32_t count)
{
    csr_clear(mstatus, MSTATUS_MIE);
    *mmio8(UART_BASE + UART_IER) = UART_IER_THRI;
    while (seen < count) {
        __asm__ volatile("wfi");
        csr_set(mstatus, MSTATUS_MIE);
        csr_clear(mstatus, MSTATUS_MIE);
    }
}

uint32_t work_interrupts(uint32_t rounds)
{
    csr_write(mtvec, (uintptr_t)on_trap | TVEC_DIRECT);
    plic_enable(UART_IRQ);
    csr_set(mie, 1UL << IRQ_MEI);

    for (uint32_t round = 1; round <= rounds; round++)
        wait_for_interrupt(round);
    csr_clear(mie, 1UL << IRQ_MEI);
    return seen;
}
