#include "sleep.h"

#include "board.h"
#include "csr.h"
#include "plic.h"

void sleep_allow(const struct virtio_device *device)
{
    plic_enable(device->irq);
    csr_set(mie, 1UL << IRQ_MEI);
}

/* Takes the interrupt back before the caller looks at the rings again: what comes after that look interrupts again. */
void sleep_for_device(void)
{
    __asm__ volatile("wfi" ::: "memory");

    unsigned irq;
    while ((irq = plic_claim())) {
        virtio_acknowledge(irq);
        plic_complete(irq);
    }
}

/* The timer is masked afterwards and not set to never: that is a deadline too, to which QEMU's sleep=off would skip. */
void sleep_until(uint64_t deadline)
{
    clint_set_mtimecmp(deadline);
    csr_set(mie, 1UL << IRQ_MTI);
    sleep_for_device();
    csr_clear(mie, 1UL << IRQ_MTI);
}
