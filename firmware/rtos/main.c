/* Four tasks under a small preemptive scheduler, for 42 ms.
 *
 * `fast` and `slow` sleep, with periods of 3 and 7 ms. `adder` and `mixer` compute, with integers and with floating
 * point, and share the hart in slices. fast sends a number to adder at each wake-up, while adder sleeps at first, so
 * that the queue fills up. slow, adder and mixer keep a ledger under a mutex. Nothing is printed before the end, as
 * printing takes time.
 *
 * Lines that start with `t:` hold times and differ between machines; all others are the same everywhere. Ends with
 * pass, or with the number of failed checks as the code.
 */

#include "board.h"
#include "kernel.h"
#include "print.h"
#include "sync.h"

#define TICKS_PER_MS (TIMEBASE_HZ / 1000)
#define TICKS_PER_US (TIMEBASE_HZ / 1000000)

#define FAST_MS 3
#define FAST_WAKEUPS 14
#define SLOW_MS 7
#define SLOW_WAKEUPS 6
#define WAKEUPS (FAST_WAKEUPS + SLOW_WAKEUPS)

/* Both computing tasks go on until they have shared the hart for this long, however fast it is. */
#define SLICES_WANTED 3

/* adder receives nothing before: QUEUE_SIZE numbers are waiting by then, and fast with the next. */
#define ADDER_STARTS_MS 16

#define CHUNK_ROUNDS 2000

/* adder makes one for each number, and each of the two one before. */
#define LEDGER_ENTRIES_BY_MIXER 10
#define LEDGER_ENTRIES (FAST_WAKEUPS + SLOW_WAKEUPS + LEDGER_ENTRIES_BY_MIXER + 2)

struct wakeup {
    const struct task *task;
    uint32_t due_ms;
    uint64_t due, seen;     /* in ticks */
};

/* Two numbers that are equal whenever nobody is changing them. */
struct ledger {
    volatile uint32_t debit, credit;
};

static void run_fast(void);
static void run_slow(void);
static void run_adder(void);
static void run_mixer(void);

static struct task fast = {.name = "fast", .priority = PRIORITY_HIGH};
static struct task slow = {.name = "slow", .priority = PRIORITY_HIGH};
static struct task adder = {.name = "adder", .priority = PRIORITY_NORMAL};
static struct task mixer = {.name = "mixer", .priority = PRIORITY_NORMAL};

static uintptr_t stacks[4][STACK_SIZE / sizeof(uintptr_t)] __attribute__((aligned(16)));

static uint64_t start;
static struct wakeup wakeups[WAKEUPS];
static uint32_t wakeups_seen;

static struct queue numbers;
static struct mutex ledger_mutex;
static struct ledger ledger;
static uint32_t ledger_torn;

static uint32_t numbers_sum, numbers_out_of_order;
static uint32_t chunks_added, chunks_mixed, chunks_wrong;

static unsigned checks_done, checks_failed;

/* ---- the sleeping tasks */

static void sleep_to_wakeup(uint32_t due_ms)
{
    uint64_t due = start + due_ms * TICKS_PER_MS;
    sleep_until(due);
    uint64_t seen = clint_mtime();
    uintptr_t before = interrupts_off();
    wakeups[wakeups_seen++] = (struct wakeup){.task = current, .due_ms = due_ms, .due = due, .seen = seen};
    interrupts_restore(before);
}

static void run_fast(void)
{
    for (uint32_t i = 1; i <= FAST_WAKEUPS; i++) {
        sleep_to_wakeup(i * FAST_MS);
        queue_send(&numbers, i);
    }
}

/* The two halves of an entry, with `work` in between, where others would look in if they could. */
static void enter_in_ledger(void (*work)(void))
{
    mutex_lock(&ledger_mutex);
    ledger_torn += ledger.debit != ledger.credit;
    ledger.debit++;
    if (work)
        work();
    ledger.credit++;
    mutex_unlock(&ledger_mutex);
}

static void run_slow(void)
{
    for (uint32_t i = 1; i <= SLOW_WAKEUPS; i++) {
        sleep_to_wakeup(i * SLOW_MS);
        enter_in_ledger(0);
    }
}

/* ---- the computing tasks: the same chunk of work over and over, with a known result */

static uint32_t add_chunk(void)
{
    uint32_t x = 1, sum = 0;
    for (unsigned i = 0; i < CHUNK_ROUNDS; i++) {
        x = x * 1664525 + 1013904223;
        sum += x >> 16;
    }
    return sum;
}

/* Multiplies and adds; every step is rounded in the same way everywhere. */
static double mix_chunk(void)
{
    double x = 0.5;
    for (unsigned i = 0; i < CHUNK_ROUNDS; i++)
        x = 3.75 * x * (1.0 - x);
    return x;
}

static void add_and_check(void)
{
    static uint32_t expected;
    uint32_t sum = add_chunk();
    if (!chunks_added++)
        expected = sum;
    chunks_wrong += sum != expected;
}

static void mix_and_check(void)
{
    static double expected;
    double mixed = mix_chunk();
    if (!chunks_mixed++)
        expected = mixed;
    chunks_wrong += mixed != expected;
}

static void work_for_some_slices(void (*work)(void))
{
    while (adder.slices_used_up < SLICES_WANTED || mixer.slices_used_up < SLICES_WANTED)
        work();
}

static void mix_until_others_wait(void)
{
    while (!ledger_mutex.contended)
        mix_and_check();
}

/* mixer holds the ledger by the time both have used up their slices. */
static void run_adder(void)
{
    work_for_some_slices(add_and_check);
    enter_in_ledger(add_and_check);
    sleep_until(start + ADDER_STARTS_MS * TICKS_PER_MS);
    for (uint32_t i = 1; i <= FAST_WAKEUPS; i++) {
        uint32_t number = queue_receive(&numbers);
        numbers_sum += number;
        numbers_out_of_order += number != i;
        enter_in_ledger(add_and_check);
    }
}

static void run_mixer(void)
{
    enter_in_ledger(mix_until_others_wait);
    work_for_some_slices(mix_and_check);
    for (uint32_t i = 1; i <= LEDGER_ENTRIES_BY_MIXER; i++)
        enter_in_ledger(mix_and_check);
}

/* ---- what happened */

static void check(const char *name, bool good)
{
    checks_done++;
    if (!good)
        checks_failed++;
    print("%s %s\n", good ? "ok" : "FAIL", name);
}

/* A machine that stood still for some ms may have run the tasks in another order than they were due. */
static bool seen_as_due(void)
{
    bool in_order = true;
    for (uint32_t i = 1; i < wakeups_seen; i++)
        in_order &= wakeups[i - 1].due <= wakeups[i].due;
    return in_order;
}

static void print_wakeup(const struct wakeup *wakeup)
{
    print("%u ms %s\n", (unsigned)wakeup->due_ms, wakeup->task->name);
    print("t: late by %llu ticks\n", (unsigned long long)(wakeup->seen - wakeup->due));
}

/* By due time, and for equal times fast first: an order that does not depend on the machine. */
static void print_wakeups(void)
{
    for (uint32_t ms = 1; ms <= FAST_MS * FAST_WAKEUPS; ms++)
        for (const struct task *const *task = (const struct task *const[]){&fast, &slow, 0}; *task; task++)
            for (uint32_t i = 0; i < wakeups_seen; i++)
                if (wakeups[i].due_ms == ms && wakeups[i].task == *task)
                    print_wakeup(&wakeups[i]);
    print("t: seen in the order they were due: %s\n", seen_as_due() ? "yes" : "no");
}

/* Each wake-up of `task` is there once, one period after the one before, and not early. */
static bool kept_its_period(const struct task *task, uint32_t period_ms, uint32_t count)
{
    uint32_t seen = 0;
    bool good = true;
    for (uint32_t i = 0; i < wakeups_seen; i++) {
        if (wakeups[i].task != task)
            continue;
        seen++;
        good &= wakeups[i].due_ms == seen * period_ms && wakeups[i].seen >= wakeups[i].due;
    }
    return good && seen == count;
}

static void check_times(void)
{
    check("fast-lost-no-wakeup", kept_its_period(&fast, FAST_MS, FAST_WAKEUPS));
    check("slow-lost-no-wakeup", kept_its_period(&slow, SLOW_MS, SLOW_WAKEUPS));
    check("timers-in-order", timers_in_order);
    check("no-interrupt-without-reason", kernel_counts.interrupts_without_reason == 0);
}

static void check_results(void)
{
    check("every-number-received", numbers_sum == FAST_WAKEUPS * (FAST_WAKEUPS + 1) / 2);
    check("numbers-in-order", numbers_out_of_order == 0);
    check("sender-waited", numbers.full > 0);
    check("mutex-waited-for", ledger_mutex.contended > 0);
    check("ledger-complete", ledger.credit == LEDGER_ENTRIES);
    check("ledger-never-torn", ledger_torn == 0 && ledger.debit == ledger.credit);
    check("work-undisturbed", chunks_wrong == 0);
    check("slices-shared", adder.slices_used_up >= SLICES_WANTED && mixer.slices_used_up >= SLICES_WANTED);
    check("stacks-intact", stacks_intact);
    print("a chunk adds up to %u\n", (unsigned)add_chunk());
}

static void print_counts(void)
{
    static const struct task *const tasks[] = {&fast, &slow, &adder, &mixer};
    for (unsigned i = 0; i < sizeof tasks / sizeof tasks[0]; i++)
        print("t: %s used up %u slices, was preempted %u times\n", tasks[i]->name, (unsigned)tasks[i]->slices_used_up,
              (unsigned)tasks[i]->preempted);
    print("t: %u switches, %u timer interrupts, %u sleeps in idle\n", (unsigned)kernel_counts.switches,
          (unsigned)kernel_counts.timer_interrupts, (unsigned)kernel_counts.idle_sleeps);
    print("t: %u and %u chunks, mutex contended %u times, queue full %u times\n", (unsigned)chunks_added,
          (unsigned)chunks_mixed, (unsigned)ledger_mutex.contended, (unsigned)numbers.full);
    print("t: all took %llu us\n", (unsigned long long)(clint_mtime() - start) / TICKS_PER_US);
}

int main(void)
{
    kernel_start();
    start = clint_mtime();
    task_create(&fast, stacks[0], run_fast);
    task_create(&slow, stacks[1], run_slow);
    task_create(&adder, stacks[2], run_adder);
    task_create(&mixer, stacks[3], run_mixer);
    idle_until_all_ended();

    print_counts();
    print_wakeups();
    check_times();
    check_results();
    if (checks_failed) {
        print("rtos: %u checks, %u failed\n", checks_done, checks_failed);
        board_fail(checks_failed);
    }
    print("rtos: %u checks, all ok\n", checks_done);
    return 0;
}
