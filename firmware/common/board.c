#include "board.h"

static _Noreturn void finish(uint32_t command)
{
    *mmio32(FINISHER_BASE) = command;
    for (;;)
        __asm__ volatile("wfi");
}

__attribute__((weak)) _Noreturn void board_pass(void)
{
    finish(FINISHER_PASS);
}

__attribute__((weak)) _Noreturn void board_fail(unsigned code)
{
    finish(FINISHER_FAIL | (uint32_t)code << 16);
}

void clint_set_msip(int level)
{
    *mmio32(CLINT_BASE + CLINT_MSIP) = level != 0;
}

#if __riscv_xlen == 64

uint64_t clint_mtime(void)
{
    return *(volatile uint64_t *)(CLINT_BASE + CLINT_MTIME);
}

void clint_set_mtimecmp(uint64_t deadline)
{
    *(volatile uint64_t *)(CLINT_BASE + CLINT_MTIMECMP) = deadline;
}

#else

/* Two 32-bit reads are not one 64-bit read: retry when the low half wrapped in between. */
uint64_t clint_mtime(void)
{
    for (;;) {
        uint32_t high = *mmio32(CLINT_BASE + CLINT_MTIME + 4);
        uint32_t low = *mmio32(CLINT_BASE + CLINT_MTIME);
        if (high == *mmio32(CLINT_BASE + CLINT_MTIME + 4))
            return (uint64_t)high << 32 | low;
    }
}

/* The low half passes through its maximum, so that no intermediate value lies in the past. */
void clint_set_mtimecmp(uint64_t deadline)
{
    *mmio32(CLINT_BASE + CLINT_MTIMECMP) = UINT32_MAX;
    *mmio32(CLINT_BASE + CLINT_MTIMECMP + 4) = (uint32_t)(deadline >> 32);
    *mmio32(CLINT_BASE + CLINT_MTIMECMP) = (uint32_t)deadline;
}

#endif
