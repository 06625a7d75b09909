/* The `time` register: what the CLINT's mtime reads, without leaving the hart. */
#ifndef TIME_H
#define TIME_H

#include <stdint.h>

#include "board.h"
#include "csr.h"

#define NS_PER_TICK (1000000000UL / TIMEBASE_HZ)

#if __riscv_xlen == 64

/* In ticks of TIMEBASE_HZ. */
static inline uint64_t time_now(void)
{
    return csr_read(time);
}

#else

/* In ticks of TIMEBASE_HZ. Retries when the low half wrapped between two reads. */
static inline uint64_t time_now(void)
{
    for (;;) {
        uint32_t high = csr_read(timeh);
        uint32_t low = csr_read(time);
        if (high == csr_read(timeh))
            return (uint64_t)high << 32 | low;
    }
}

#endif

static inline unsigned long long ticks_to_ns(uint64_t ticks)
{
    return ticks * NS_PER_TICK;
}

#endif
