/* What harts share in memory: barriers, locks, atomic instructions, reservations. */

#include "smp.h"

#define BARRIER_ROUNDS 6

/* Each hart marks its rounds. After a barrier all marks of the round are there, and none of the one after the next. */
static bool marks_agree(void (*barrier)(void))
{
    static volatile uint32_t marks[2][HARTS_MAX];
    bool good = true;
    for (uint32_t round = 1; round <= BARRIER_ROUNDS; round++) {
        marks[round % 2][hart_id()] = round;
        barrier();
        for (unsigned hart = 0; hart < harts; hart++)
            good = good && marks[round % 2][hart] == round;
    }
    barrier();
    return good;
}

void check_barriers(void)
{
    check("barrier in a busy loop", marks_agree(meet_spinning));
    check("barrier asleep", marks_agree(meet));
}

/* A lock is one word, or two for the ticket lock; all zero when it is free. */
struct lock {
    uint32_t word;
    uint32_t serving;
};

static void swap_lock(struct lock *lock)
{
    for (;;) {
        uint32_t taken;
        __asm__ volatile("amoswap.w.aq %0, %2, (%1)" : "=r"(taken) : "r"(&lock->word), "r"(1) : "memory");
        if (!taken)
            return;
        while (*(volatile uint32_t *)&lock->word)
            ;
    }
}

static void swap_unlock(struct lock *lock)
{
    __asm__ volatile("amoswap.w.rl zero, zero, (%0)" ::"r"(&lock->word) : "memory");
}

static void reserve_lock(struct lock *lock)
{
    uint32_t value;
    __asm__ volatile("1: lr.w.aq %0, (%1)\n"
                     "   bnez %0, 1b\n"
                     "   sc.w %0, %2, (%1)\n"
                     "   bnez %0, 1b"
                     : "=&r"(value)
                     : "r"(&lock->word), "r"(1)
                     : "memory");
}

static void store_unlock(struct lock *lock)
{
    __atomic_store_n(&lock->word, 0, __ATOMIC_RELEASE);
}

static void ticket_lock(struct lock *lock)
{
    uint32_t ticket = __atomic_fetch_add(&lock->word, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != ticket)
        ;
}

static void ticket_unlock(struct lock *lock)
{
    __atomic_store_n(&lock->serving, lock->serving + 1, __ATOMIC_RELEASE);
}

struct lock_kind {
    const char *name;
    void (*take)(struct lock *lock);
    void (*give)(struct lock *lock);
    uint32_t rounds;  /* few where the next hart must run before the lock is free again */
};

static const struct lock_kind lock_kinds[] = {
    {"lock with amoswap counts right", swap_lock, swap_unlock, 500},
    {"lock with lr and sc counts right", reserve_lock, store_unlock, 500},
    {"ticket lock counts right", ticket_lock, ticket_unlock, 5},
};

#define LOCK_KINDS (sizeof lock_kinds / sizeof lock_kinds[0])

/* Plain memory: right only if one hart at a time is between take and give. */
static struct {
    struct lock lock;
    volatile unsigned owner;
    volatile uint32_t first, second;
} locked[LOCK_KINDS];

/* Counts up twice under the lock; `first` and `second` are equal when it is free. */
static bool count_locked(unsigned kind, uint32_t rounds)
{
    bool good = true;
    for (uint32_t round = 0; round < rounds; round++) {
        lock_kinds[kind].take(&locked[kind].lock);
        locked[kind].owner = hart_id();
        good = good && locked[kind].first == locked[kind].second;
        locked[kind].first++;
        locked[kind].second++;
        good = good && locked[kind].owner == hart_id();
        lock_kinds[kind].give(&locked[kind].lock);
    }
    return good;
}

void check_locks(void)
{
    for (unsigned kind = 0; kind < LOCK_KINDS; kind++) {
        uint32_t rounds = lock_kinds[kind].rounds;
        meet();
        bool good = count_locked(kind, rounds);
        meet();
        check(lock_kinds[kind].name, good && locked[kind].first == harts * rounds);
    }
}

#define ATOMIC_ROUNDS 500

/* By any other instruction between LR and SC the reservation may be lost: the loop has none. */
static void add_reserved(uint32_t *word)
{
    uint32_t value;
    __asm__ volatile("1: lr.w %0, (%1)\n"
                     "   addi %0, %0, 1\n"
                     "   sc.w %0, %0, (%1)\n"
                     "   bnez %0, 1b"
                     : "=&r"(value)
                     : "r"(word)
                     : "memory");
}

static struct {
    uintptr_t added;
    uint32_t reserved;
    uint32_t exclusive;
    uint32_t bits;
    int32_t largest, smallest;
} atomics = {.bits = 0xffffff00};

static void use_atomics(unsigned hart)
{
    int32_t limit = 0;
    for (int32_t round = 1; round <= ATOMIC_ROUNDS; round++) {
        __atomic_fetch_add(&atomics.added, hart + 1, __ATOMIC_RELAXED);
        __atomic_fetch_xor(&atomics.exclusive, 1U << hart, __ATOMIC_RELAXED);
        add_reserved(&atomics.reserved);
        limit = round * HARTS_MAX + (int32_t)hart;
        __asm__ volatile("amomax.w zero, %0, (%1)" ::"r"(limit), "r"(&atomics.largest) : "memory");
        __asm__ volatile("amomin.w zero, %0, (%1)" ::"r"(-limit), "r"(&atomics.smallest) : "memory");
    }
    __atomic_fetch_or(&atomics.bits, 1U << hart, __ATOMIC_RELAXED);
    __atomic_fetch_and(&atomics.bits, ~(0x100U << hart), __ATOMIC_RELAXED);
}

void check_atomics(void)
{
    meet();
    use_atomics(hart_id());
    meet();
    int32_t limit = ATOMIC_ROUNDS * HARTS_MAX + (int32_t)harts - 1;
    uint32_t all = (1U << harts) - 1;
    check("amoadd loses none", atomics.added == (uintptr_t)ATOMIC_ROUNDS * (harts * (harts + 1) / 2));
    check("amoxor an even number of times changes nothing", atomics.exclusive == 0);
    check("amomax and amomin keep the extremes", atomics.largest == limit && atomics.smallest == -limit);
    check("amoor and amoand change their own bits only", atomics.bits == ((0xffffff00 & ~(all << 8)) | all));
    check("sc succeeds only when nobody else stored", atomics.reserved == harts * ATOMIC_ROUNDS);
}

/* Two words: hart `hart` reserves one, the next hart stores to it, and SC must fail. */
static volatile uint32_t reserved_word, stores_done;

static bool loses_reservation(uint32_t stored)
{
    uint32_t failed;
    uint32_t before = stores_done;
    __asm__ volatile("lr.w zero, (%0)" ::"r"(&reserved_word) : "memory");
    ping((hart_id() + 1) % harts, 0);
    while (stores_done == before)
        ;
    __asm__ volatile("sc.w %0, %1, (%2)" : "=&r"(failed) : "r"(99), "r"(&reserved_word) : "memory");
    return failed && reserved_word == stored;
}

static void store_when_asked(uint32_t pings_before, uint32_t stored)
{
    struct hart_state *state = own_state();
    sleep_until(state->pings_taken != pings_before);
    reserved_word = stored;
    fence_all();
    stores_done++;
}

/* Each hart in turn; `stored` is 0, what the word has already, or another value. */
static bool reservations_end(uint32_t stored)
{
    bool good = true;
    for (unsigned hart = 0; hart < harts; hart++) {
        uint32_t pings = own_state()->pings_taken;
        reserved_word = 0;
        meet();
        if (hart_id() == hart)
            good = loses_reservation(stored);
        else if (hart_id() == (hart + 1) % harts)
            store_when_asked(pings, stored);
        meet();
    }
    return good;
}

void check_reservations(void)
{
    if (harts == 1)
        return;
    check("another hart's store ends a reservation", reservations_end(1));
    note("another hart's store of the same value ends a reservation", reservations_end(0));
}
