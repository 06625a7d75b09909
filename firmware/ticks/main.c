/* A 1 kHz timer interrupt, waited for with WFI; reports time and jitter.
 *
 * Lines that start with `t:` hold times and differ between machines; all others are the same everywhere.
 */

#include <stdint.h>

#include "board.h"
#include "csr.h"
#include "print.h"

#define TICK_HZ 1000
#define TICK_INTERVAL (TIMEBASE_HZ / TICK_HZ)
#define REPORT_EVERY 10

/* A host may patch it to make the run longer or shorter. */
volatile uint32_t ticks_total = 100;

/* How late the handler starts after the deadline it programmed, in units of mtime. */
struct jitter {
    uint64_t min, max;
};

static volatile uint32_t ticks_seen;
static uint64_t deadline;
static struct jitter jitter = {.min = UINT64_MAX};

/* The only trap this image takes: everything else is a bug, and the host sees its cause as the exit code. */
__attribute__((interrupt("machine"), aligned(4))) static void on_trap(void)
{
    uint64_t late = clint_mtime() - deadline;
    uintptr_t cause = csr_read(mcause);
    if (cause != (CAUSE_INTERRUPT | IRQ_MTI))
        board_fail(0x100 | (unsigned)cause);

    if (late < jitter.min)
        jitter.min = late;
    if (late > jitter.max)
        jitter.max = late;

    /* The next deadline counts from this one, not from now: lateness does not add up. */
    deadline += TICK_INTERVAL;
    clint_set_mtimecmp(deadline);
    ticks_seen++;
}

static void start_timer(void)
{
    csr_write(mtvec, (uintptr_t)on_trap | TVEC_DIRECT);
    deadline = clint_mtime() + TICK_INTERVAL;
    clint_set_mtimecmp(deadline);
    csr_set(mie, 1UL << IRQ_MTI);
    csr_set(mstatus, MSTATUS_MIE);
}

static void stop_timer(void)
{
    csr_clear(mie, 1UL << IRQ_MTI);
}

/* Sleeps until `tick`. Interrupts are off between test and WFI, or a tick in between would be slept through;
 * WFI wakes up for a pending interrupt all the same. */
static void wait_for_tick(uint32_t tick)
{
    csr_clear(mstatus, MSTATUS_MIE);
    while (ticks_seen < tick) {
        __asm__ volatile("wfi");
        csr_set(mstatus, MSTATUS_MIE);
        csr_clear(mstatus, MSTATUS_MIE);
    }
    csr_set(mstatus, MSTATUS_MIE);
}

static struct jitter read_jitter(void)
{
    csr_clear(mstatus, MSTATUS_MIE);
    struct jitter copy = jitter;
    csr_set(mstatus, MSTATUS_MIE);
    return copy;
}

int main(void)
{
    start_timer();
    for (uint32_t tick = 1; tick <= ticks_total; tick++) {
        wait_for_tick(tick);
        if (tick % REPORT_EVERY)
            continue;
        uint64_t now = clint_mtime();
        struct jitter seen = read_jitter();
        print("t: tick %u time %llu jitter %llu..%llu\n", (unsigned)tick, (unsigned long long)now,
              (unsigned long long)seen.min, (unsigned long long)seen.max);
    }
    stop_timer();
    print("%u ticks\n", (unsigned)ticks_total);
    return 0;
}
