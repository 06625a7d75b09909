/* Who may do what with a page: every mix of its flags, the mode, SUM, MXR and the access, against a model. */

#include "check.h"
#include "csr.h"
#include "groups.h"
#include "home.h"
#include "print.h"
#include "provoke.h"

#define WALK_FLAGS (PTE_V | PTE_R | PTE_W | PTE_X | PTE_U)
#define WALK_DATA (WINDOW + 8)

enum access { ACCESS_LOAD, ACCESS_STORE, ACCESS_FETCH, ACCESS_RESERVE, ACCESS_AMO, ACCESS_COUNT };

static const struct {
    const char *name;
    uintptr_t cause;    /* of its page fault */
} access_traits[ACCESS_COUNT] = {
    {"walk-load", CAUSE_LOAD_PAGE},     {"walk-store", CAUSE_STORE_PAGE}, {"walk-fetch", CAUSE_FETCH_PAGE},
    {"walk-reserve", CAUSE_LOAD_PAGE},  {"walk-amo", CAUSE_STORE_PAGE},
};

/* One mix, and how the trial ended. */
struct walk {
    enum access access;
    enum mode mode;
    uintptr_t status, flags;
    struct outcome got;
    uintptr_t flags_after;
};

struct tally {
    unsigned walks, wrong;
};

static trial *access_code(enum access access)
{
    switch (access) {
    case ACCESS_LOAD: return load_word;
    case ACCESS_STORE: return store_word;
    case ACCESS_RESERVE: return load_reserved;
    case ACCESS_AMO: return amo_add;
    default: return 0;
    }
}

static bool writes(enum access access)
{
    return access == ACCESS_STORE || access == ACCESS_AMO;
}

static bool is_leaf(uintptr_t flags)
{
    bool reserved = flags & PTE_W && !(flags & PTE_R);
    return flags & PTE_V && !reserved && flags & (PTE_R | PTE_X);
}

/* S-mode uses pages of U-mode only with SUM, and never executes them. */
static bool mode_may_use(const struct walk *walk)
{
    if (walk->mode == MODE_U)
        return walk->flags & PTE_U;
    return !(walk->flags & PTE_U) || (walk->status & MSTATUS_SUM && walk->access != ACCESS_FETCH);
}

static bool flags_allow(const struct walk *walk)
{
    if (walk->access == ACCESS_FETCH)
        return walk->flags & PTE_X;
    if (writes(walk->access))
        return walk->flags & PTE_W;
    return walk->flags & PTE_R || (walk->status & MSTATUS_MXR && walk->flags & PTE_X);
}

static bool is_allowed(const struct walk *walk)
{
    return is_leaf(walk->flags) && mode_may_use(walk) && flags_allow(walk);
}

static void do_walk(struct walk *walk)
{
    map_page(0, scratch[0], walk->flags);
    trial_status |= walk->status;
    if (walk->access == ACCESS_FETCH)
        walk->got = run_at(walk->mode, WINDOW, 0, 0);
    else
        walk->got = run(walk->mode, access_code(walk->access), WALK_DATA);
    trial_status &= ~walk->status;
    walk->flags_after = page_flags(0);
}

/* A may be set for an access that then fails, as an AMO does between its load and its store; D may not. */
static bool faulted_as_specified(const struct walk *walk)
{
    const struct outcome *got = &walk->got;
    bool fetch = walk->access == ACCESS_FETCH;
    uintptr_t may_set = walk->access == ACCESS_AMO ? PTE_A : 0;
    uintptr_t epc = fetch ? WINDOW : code_address(walk->mode, access_code(walk->access));
    return got->handler == HOME_HANDLER && got->cause == access_traits[walk->access].cause && got->epc == epc &&
           got->tval == (fetch ? WINDOW : WALK_DATA) && (walk->flags_after & ~may_set) == walk->flags;
}

static bool is_as_specified(const struct walk *walk)
{
    if (!is_allowed(walk))
        return faulted_as_specified(walk);
    uintptr_t set = writes(walk->access) ? PTE_A | PTE_D : PTE_A;
    return walk->got.handler == '-' && walk->flags_after == (walk->flags | set);
}

static void print_wrong(const struct walk *walk)
{
    print("FAIL %s mode %u status %lx flags %lx allowed %u: got %c cause %lx epc %lx tval %lx flags %lx\n",
          access_traits[walk->access].name, (unsigned)walk->mode, (unsigned long)walk->status,
          (unsigned long)walk->flags, (unsigned)is_allowed(walk), walk->got.handler, (unsigned long)walk->got.cause,
          (unsigned long)walk->got.epc, (unsigned long)walk->got.tval, (unsigned long)walk->flags_after);
}

/* QEMU with one hart executes an AMO as a load and then a store: if the load faults it reports that. */
static bool qemu_differs(const struct walk *walk)
{
    return walk->access == ACCESS_AMO && !is_allowed(walk) && walk->got.handler == HOME_HANDLER;
}

static void tally_walk(const struct walk *walk, struct tally *checks, struct tally *notes)
{
    bool good = is_as_specified(walk);
    struct tally *tally = qemu_differs(walk) ? notes : checks;
    tally->walks++;
    if (good)
        return;
    tally->wrong++;
    if (tally == checks && tally->wrong == 1)
        print_wrong(walk);
}

static void check_all_walks(enum access access)
{
    static const enum mode modes[] = {MODE_U, MODE_S};
    static const uintptr_t statuses[] = {0, MSTATUS_SUM, MSTATUS_MXR, MSTATUS_SUM | MSTATUS_MXR};
    struct tally checks = {0, 0}, notes = {0, 0};
    for (unsigned i = 0; i < 2; i++)
        for (unsigned j = 0; j < 4; j++)
            for (uintptr_t flags = 0; flags <= WALK_FLAGS; flags++) {
                struct walk walk = {.access = access, .mode = modes[i], .status = statuses[j], .flags = flags};
                do_walk(&walk);
                tally_walk(&walk, &checks, &notes);
            }
    check_equal(access_traits[access].name, checks.wrong, 0);
    if (notes.walks)
        print("t: %s faults: %u as specified, %u NOT as specified\n", access_traits[access].name,
              notes.walks - notes.wrong, notes.wrong);
}

static void check_every_access(void)
{
    put_parcel(scratch[0], INSTRUCTION_RET);
    fence_i();
    for (unsigned access = 0; access < ACCESS_COUNT; access++)
        check_all_walks((enum access)access);
}

/* An entry that points to a table has no A, D and U: they are reserved there. */
static void check_pointer_flags(void)
{
    pte *pointer = window_pointer();
    uintptr_t good = *pointer;
    map_page(0, scratch[0], PAGE_RW);
    static const struct {
        const char *name;
        uintptr_t flag;
    } reserved[] = {{"pointer-with-a", PTE_A}, {"pointer-with-d", PTE_D}, {"pointer-with-u", PTE_U}};
    for (unsigned i = 0; i < 3; i++) {
        *pointer = good | reserved[i].flag;
        fence();
        check_fault(reserved[i].name, MODE_S, load_word, CAUSE_LOAD_PAGE, WINDOW);
    }
    *pointer = good & ~PTE_V;
    fence();
    check_fault("pointer-not-valid", MODE_S, store_word, CAUSE_STORE_PAGE, WINDOW);

    *pointer = good | PTE_SOFTWARE | PTE_G;
    fence();
    check_return("pointer-with-g-and-software-bits", run(MODE_S, load_word, WINDOW));
    *pointer = good;
    fence();
    check_equal("pointer-is-left-alone", *pointer, good);
}

#if __riscv_xlen == 64

/* Bits 63..39 must equal bit 38; bits 63..54 of an entry are for extensions that are not there. */
static void check_upper_bits(void)
{
    map_page(0, scratch[0], PAGE_RW);
    check_fault("not-canonical-load", MODE_S, load_word, CAUSE_LOAD_PAGE, WINDOW | 1UL << 39);
    check_fault("not-canonical-store", MODE_S, store_word, CAUSE_STORE_PAGE, WINDOW | 1UL << 63);
    check_fetch_page_fault("not-canonical-fetch", MODE_S, WINDOW | 1UL << 38);

    static const char *const names[] = {"reserved-bit-54", "reserved-bit-57", "reserved-bit-60"};
    static const unsigned bits[] = {54, 57, 60};
    for (unsigned i = 0; i < 3; i++) {
        *page_entry(SPACE_A, 0) = make_pte((uintptr_t)scratch[0], PAGE_RW) | 1UL << bits[i];
        fence();
        check_fault(names[i], MODE_S, load_word, CAUSE_LOAD_PAGE, WINDOW);
    }
}

/* The last entry of the root: addresses that are negative. */
static void check_upper_half(void)
{
    uintptr_t high = 0UL - LEVEL_SIZE(ROOT_LEVEL);
    pte *last = &root_table()[ENTRIES - 1];
    map_page(0, scratch[0], PAGE_RW);
    *last = root_table()[WINDOW / LEVEL_SIZE(ROOT_LEVEL)];
    fence();
    put_word(scratch[0], 0x1234);
    check_value("upper-half-load", run(MODE_S, load_word, high), 0x1234);
    *last = 0;
    fence();
    check_fault("upper-half-unmapped", MODE_S, load_word, CAUSE_LOAD_PAGE, high);
}

#else

/* Physical addresses have 34 bits, and there is nothing above 32: that is no page fault. */
static void check_upper_bits(void)
{
#ifndef HOME_IS_S
    *page_entry(SPACE_A, 0) = 1UL << 30 | PAGE_RW;
    fence();
    check_fault("physical-address-above-32-bits", MODE_S, load_word, CAUSE_LOAD_ACCESS, WINDOW);
#endif
}

/* The last page there is. */
static void check_upper_half(void)
{
    uintptr_t high = 0UL - PAGE_SIZE;
    pte *last = &root_table()[ENTRIES - 1];
    *page_entry(SPACE_A, ENTRIES - 1) = make_pte((uintptr_t)scratch[0], PAGE_RW);
    *last = *window_pointer();
    fence();
    put_word(scratch[0], 0x1234);
    check_value("upper-half-load", run(MODE_S, load_word, high), 0x1234);
    *last = 0;
    *page_entry(SPACE_A, ENTRIES - 1) = 0;
    fence();
    check_fault("upper-half-unmapped", MODE_S, load_word, CAUSE_LOAD_PAGE, high);
}

#endif

void check_walks(void)
{
    check_every_access();
    check_pointer_flags();
    check_upper_bits();
    check_upper_half();
    map_page(0, 0, 0);
}
