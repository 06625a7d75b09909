/* Race 2: harts with even ids wait for an item from the next hart, asleep. Whoever brings it sends an interrupt only to
 * a hart that says that it sleeps. An item that comes between the look for it and that saying is slept through.
 */

#include "print.h"
#include "race.h"

/* Far longer than an item takes. */
#define OVERDUE_TICKS (TIMEBASE_HZ / 10)

/* One for each hart that waits. */
static struct {
    volatile uint32_t items;
    volatile bool asleep;
} boxes[HARTS_MAX];

static void prepare(void)
{
}

/* Sleeps for an interrupt of another hart; false if none came in time. */
static bool sleep(unsigned hart)
{
    timer_set(hart, clint_mtime() + OVERDUE_TICKS);
    compute(WINDOW_ROUNDS);
    boxes[hart].asleep = true;
    fence_all();
    while (!(csr_read(mip) & (1UL << IRQ_MSI | 1UL << IRQ_MTI)))
        wait_for_interrupt();
    bool woken = csr_read(mip) & 1UL << IRQ_MSI;
    boxes[hart].asleep = false;
    ipi_clear();
    timer_set(hart, CLINT_NEVER);
    return woken;
}

/* The bug: `asleep` comes after the look at `items`, and nobody looks again. */
static void await_item(unsigned hart, uint32_t expected)
{
    if (boxes[hart].items >= expected || sleep(hart) || boxes[hart].items < expected)
        return;
    print("race: missed wake-up: hart %u slept through item %u\n", hart, expected);
    race_struck();
}

static void bring_item(unsigned hart)
{
    boxes[hart].items++;
    fence_all();
    if (boxes[hart].asleep)
        ipi_send(hart);
}

static void work(unsigned hart, uint32_t shift)
{
    compute(WORK_ROUNDS);
    if (hart % 2)
        bring_item(hart - 1);
    else if (hart + 1 < harts)
        await_item(hart, shift + 1);
    compute(WORK_ROUNDS);
}

static bool is_right(uint32_t shifts)
{
    (void)shifts;
    return true;
}

const struct race missed_wakeup = {"missed wake-up", prepare, work, is_right};
