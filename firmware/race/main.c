/* Three races between harts, each with a bug that only an unlucky switch from one hart to another brings out.
 *
 * Ends with pass, or with the code of the race whose bug has struck: 1 lost update, 2 ABA, 3 missed wake-up.
 */

#include "race.h"

#include "print.h"

/* Which race. A host may patch it: 0, 1 or 2. In .data, so that it is in the file and nobody clears it. */
__attribute__((section(".data"))) volatile uint32_t race_kind = 0;

/* How many shifts each hart works. A host may patch it. */
volatile uint32_t race_shifts = 40;

/* Longer than the last hart takes to fall asleep, unless an instruction takes longer than a microsecond. */
#define REST_TICKS (TIMEBASE_HZ / 1000)

/* After so many shifts the last hart to rest works alone, for about 12,000 instructions. If that is a quantum or more, a
 * round robin begins a new round meanwhile, and all others have a whole quantum for the next shifts, which take half of
 * it. What the last hart has left does not matter if it is the last again: when it works, the others rest.
 */
#define SHIFTS_A_BREAK 8
#define BREAK_ROUNDS 1500

/* Rests before the first shift, until the last hart is the one with the highest id: a round robin ends with that one. */
#define FIRST_RESTS_MAX 4

#define UNKNOWN_CODE 100

static const struct race *const races[] = {&lost_update, &aba, &missed_wakeup};

#define RACES (sizeof races / sizeof races[0])

uint32_t compute(unsigned rounds)
{
    uint32_t value = 2463534242;
    for (unsigned round = 0; round < rounds; round++) {
        value ^= value << 13;
        value ^= value >> 17;
        value ^= value << 5;
        __asm__ volatile("" : "+r"(value));
    }
    return value;
}

void race_struck(void)
{
    board_fail(race_kind + 1);
}

/* What the last hart to rest does. */
static void arrange_next_shift(uint32_t shifts)
{
    if (!races[race_kind]->is_right(shifts))
        race_struck();
    if (shifts % SHIFTS_A_BREAK == 0)
        compute(BREAK_ROUNDS);
    uint64_t deadline = clint_mtime() + REST_TICKS;
    for (unsigned hart = 0; hart < harts; hart++)
        timer_set(hart, deadline);
}

/* Sleeps until all harts rest, and a little longer; returns which was the last. No hart wakes another: the timers of all
 * expire at the same time, when all are asleep.
 */
static unsigned rest(uint32_t shifts)
{
    static uint32_t resting;
    static volatile unsigned last;
    if (__atomic_add_fetch(&resting, 1, __ATOMIC_SEQ_CST) == harts) {
        __atomic_store_n(&resting, 0, __ATOMIC_SEQ_CST);
        last = hart_id();
        arrange_next_shift(shifts);
    }
    while (!(csr_read(mip) & 1UL << IRQ_MTI))
        wait_for_interrupt();
    timer_set(hart_id(), CLINT_NEVER);
    return last;
}

static void prepare(void)
{
    if (race_kind >= RACES) {
        print("race: no race %u: race_kind is 0 to %u\n", race_kind, (unsigned)RACES - 1);
        board_fail(UNKNOWN_CODE);
    }
    print("race: rv%d, harts: %u, %s\n", __riscv_xlen, harts, races[race_kind]->name);
    races[race_kind]->prepare();
}

void hart_main(unsigned hart)
{
    timer_set(hart, CLINT_NEVER);
    csr_set(mie, 1UL << IRQ_MTI);
    if (hart == 0)
        prepare();
    for (unsigned rests = 0; rests < FIRST_RESTS_MAX && rest(0) != harts - 1; rests++)
        ;
    for (uint32_t shift = 0; shift < race_shifts; shift++) {
        races[race_kind]->work(hart, shift);
        rest(shift + 1);
    }
    if (hart == 0)
        print("race: %u shifts of each hart, all right\n", race_shifts);
}
