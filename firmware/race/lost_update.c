/* Race 0: all harts pay into one account, without a lock. Who pays between the load and the store of another loses. */

#include "print.h"
#include "race.h"

static volatile uint32_t balance;

static void prepare(void)
{
}

/* The bug: `balance` is not this hart's alone while it computes. */
static void pay_one(void)
{
    uint32_t before = balance;
    compute(WINDOW_ROUNDS);
    balance = before + 1;
}

static void work(unsigned hart, uint32_t shift)
{
    (void)hart, (void)shift;
    compute(WORK_ROUNDS);
    pay_one();
    compute(WORK_ROUNDS);
}

static bool is_right(uint32_t shifts)
{
    if (balance == harts * shifts)
        return true;
    print("race: lost update: %u paid in, the balance is %u\n", harts * shifts, balance);
    return false;
}

const struct race lost_update = {"lost update", prepare, work, is_right};
