/* Counters: each hart counts its own instructions, and all have the same time. */

#include "smp.h"

#include "../clocks/counters.h"
#include "time.h"

/* Longer than other harts are likely to be kept from running. */
#define LOOP_ROUNDS 12000

/* Low halves on rv32: what they tell is the difference. */
struct counted {
    uintptr_t instret, cycle;
};

/* Two instructions a round; the first reading of minstret counts itself, the second does not. */
#define LOOP_INSTRET (2 * LOOP_ROUNDS + 1)

static struct counted count_own(void)
{
    uintptr_t rounds = LOOP_ROUNDS, cycle = csr_read(mcycle), first, last;
    __asm__ volatile("   csrr %[first], minstret\n"
                     "1: addi %[rounds], %[rounds], -1\n"
                     "   bnez %[rounds], 1b\n"
                     "   csrr %[last], minstret"
                     : [rounds] "+r"(rounds), [first] "=&r"(first), [last] "=&r"(last));
    return (struct counted){last - first, csr_read(mcycle) - cycle};
}

/* Interrupts are off, so nothing but the loop is between the two readings. */
static void check_own_counts(void)
{
    meet();
    uintptr_t before = csr_read(mcycle);
    meet();
    struct counted counted = count_own();
    meet();
    uintptr_t all = csr_read(mcycle) - before;
    note("minstret counts the instructions of its own hart only", counted.instret == LOOP_INSTRET);
    note("mcycle counts at least those", counted.cycle >= counted.instret);
    note("mcycle counts those of all harts", all >= harts * LOOP_INSTRET);
}

#define LAPS 4

static bool is_later(uint64_t *last, uint64_t now)
{
    bool good = now >= *last;
    *last = now;
    return good;
}

static uint64_t cycle_now(void)
{
    return read_counter(mcycle);
}

/* The harts read a clock one after the other, each woken by the one before, lap by lap. */
static bool never_goes_back(uint64_t (*clock)(void), uint64_t *last)
{
    struct hart_state *state = own_state();
    bool good = true;
    uint32_t pings = state->pings_taken;
    meet();
    for (unsigned lap = 0; lap < LAPS; lap++) {
        if (harts > 1 && (hart_id() != 0 || lap > 0)) {
            pings++;
            sleep_until(state->pings_taken >= pings);
        }
        good = is_later(last, clock()) && good;
        if (harts > 1 && (hart_id() != harts - 1 || lap < LAPS - 1))
            ping((hart_id() + 1) % harts, 0);
    }
    meet();
    return good;
}

void check_counters(void)
{
    static uint64_t last_time, last_mtime, last_cycle;
    check_own_counts();
    check("time goes on from hart to hart", never_goes_back(time_now, &last_time));
    check("mtime goes on from hart to hart", never_goes_back(clint_mtime, &last_mtime));
    note("mcycle goes on from hart to hart", never_goes_back(cycle_now, &last_cycle));
}
