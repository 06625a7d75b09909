/* Page faults under Sv39 or Sv32, and what the hart writes into page table entries. */

#include "check.h"
#include "csr.h"
#include "groups.h"
#include "provoke.h"

#define PTE_AD (PTE_A | PTE_D)

#define WORKS 0

/* One access to the first page of the window. A `code` of NULL fetches from there. */
struct access {
    const char *name;
    enum mode mode;
    trial *code;
    uintptr_t flags;    /* of the page, besides V, A and D */
    uintptr_t status;   /* bits of mstatus */
    uintptr_t cause;    /* of the page fault, or WORKS */
};

#define FETCH ((trial *)0)

static const struct access accesses[] = {
    {"s-load", MODE_S, load_word, PTE_R, 0, WORKS},
    {"s-store", MODE_S, store_word, PTE_R | PTE_W, 0, WORKS},
    {"s-amo", MODE_S, amo_add, PTE_R | PTE_W, 0, WORKS},
    {"s-fetch", MODE_S, FETCH, PTE_X, 0, WORKS},
    {"s-store-read-only", MODE_S, store_word, PTE_R, 0, CAUSE_STORE_PAGE},
    {"s-amo-read-only", MODE_S, amo_add, PTE_R, 0, CAUSE_STORE_PAGE},
    {"s-lr-execute-only", MODE_S, load_reserved, PTE_X, 0, CAUSE_LOAD_PAGE},
    {"s-fetch-not-executable", MODE_S, FETCH, PTE_R | PTE_W, 0, CAUSE_FETCH_PAGE},
    {"s-load-execute-only", MODE_S, load_word, PTE_X, 0, CAUSE_LOAD_PAGE},
    {"s-load-execute-only-mxr", MODE_S, load_word, PTE_X, MSTATUS_MXR, WORKS},
    {"s-load-user-page", MODE_S, load_word, PTE_U | PTE_R, 0, CAUSE_LOAD_PAGE},
    {"s-load-user-page-sum", MODE_S, load_word, PTE_U | PTE_R, MSTATUS_SUM, WORKS},
    {"s-store-user-page", MODE_S, store_word, PTE_U | PTE_R | PTE_W, 0, CAUSE_STORE_PAGE},
    {"s-store-user-page-sum", MODE_S, store_word, PTE_U | PTE_R | PTE_W, MSTATUS_SUM, WORKS},
    {"s-fetch-user-page-sum", MODE_S, FETCH, PTE_U | PTE_X, MSTATUS_SUM, CAUSE_FETCH_PAGE},
    {"s-load-reserved-flags", MODE_S, load_word, PTE_W, 0, CAUSE_LOAD_PAGE},
    {"u-load", MODE_U, load_word, PTE_U | PTE_R, 0, WORKS},
    {"u-store", MODE_U, store_word, PTE_U | PTE_R | PTE_W, 0, WORKS},
    {"u-amo", MODE_U, amo_add, PTE_U | PTE_R | PTE_W, 0, WORKS},
    {"u-fetch", MODE_U, FETCH, PTE_U | PTE_X, 0, WORKS},
    {"u-load-supervisor-page", MODE_U, load_word, PTE_R, 0, CAUSE_LOAD_PAGE},
    {"u-store-supervisor-page", MODE_U, store_word, PTE_R | PTE_W, 0, CAUSE_STORE_PAGE},
    {"u-fetch-supervisor-page", MODE_U, FETCH, PTE_X, 0, CAUSE_FETCH_PAGE},
    {"u-store-read-only", MODE_U, store_word, PTE_U | PTE_R, 0, CAUSE_STORE_PAGE},
    {"u-fetch-not-executable", MODE_U, FETCH, PTE_U | PTE_R, 0, CAUSE_FETCH_PAGE},
    {"u-load-execute-only", MODE_U, load_word, PTE_U | PTE_X, 0, CAUSE_LOAD_PAGE},
    {"u-load-execute-only-mxr", MODE_U, load_word, PTE_U | PTE_X, MSTATUS_MXR, WORKS},
};

static void write_parcel(uint8_t *where, uint16_t parcel)
{
    *(volatile uint16_t *)where = parcel;
    fence_i();
}

static uintptr_t access_pc(const struct access *access)
{
    return access->code ? code_address(access->mode, access->code) : WINDOW;
}

static void check_access(const struct access *access)
{
    /* Stores of earlier rows may have overwritten it. */
    write_parcel(scratch[0], INSTRUCTION_RET);
    map_window_page(0, scratch[0], PTE_V | PTE_AD | access->flags);
    trial_status |= access->status;
    struct outcome got = run_at(access->mode, access_pc(access), WINDOW);
    trial_status &= ~access->status;

    if (access->cause == WORKS)
        check_return(access->name, got);
    else
        check_trap(access->name, got, 'M', access->cause, access_pc(access), WINDOW);
}

/* QEMU with one hart executes an AMO as a load and then a store, and reports the load if that faults already. */
static void note_unreadable_amo(void)
{
    map_window_page(0, scratch[0], PTE_V | PTE_AD | PTE_R | PTE_W);
    note_trap("u-amo-supervisor-page", run(MODE_U, amo_add, WINDOW), 'M', CAUSE_STORE_PAGE,
              code_address(MODE_U, amo_add), WINDOW);
    map_window_page(0, scratch[0], 0);
    note_trap("s-amo-unmapped", run(MODE_S, amo_add, WINDOW), 'M', CAUSE_STORE_PAGE, (uintptr_t)amo_add, WINDOW);
}

static void check_unmapped(void)
{
    map_window_page(0, scratch[0], 0);
    check_trap("s-load-unmapped", run(MODE_S, load_word, WINDOW + 8), 'M', CAUSE_LOAD_PAGE, (uintptr_t)load_word,
               WINDOW + 8);
    check_trap("s-load-unmapped-compressed", run(MODE_S, load_word_compressed, WINDOW + 8), 'M', CAUSE_LOAD_PAGE,
               (uintptr_t)load_word_compressed, WINDOW + 8);
    check_trap("s-store-unmapped", run(MODE_S, store_word, WINDOW + 8), 'M', CAUSE_STORE_PAGE, (uintptr_t)store_word,
               WINDOW + 8);
    check_trap("s-fetch-unmapped", run(MODE_S, jump, WINDOW + 8), 'M', CAUSE_FETCH_PAGE, WINDOW + 8, WINDOW + 8);
}

static void check_superpage(void)
{
    uintptr_t where = SPARE_SUPERPAGE + 16;
    map_spare_superpage((uintptr_t)scratch >> SUPERPAGE_SHIFT << SUPERPAGE_SHIFT, PTE_V | PTE_R | PTE_AD);
    check_return("superpage", run(MODE_S, load_word, where));
    map_spare_superpage(PAGE_SIZE, PTE_V | PTE_R | PTE_AD);
    check_trap("superpage-misaligned", run(MODE_S, load_word, where), 'M', CAUSE_LOAD_PAGE, (uintptr_t)load_word,
               where);
    map_spare_superpage(0, 0);
}

#if __riscv_xlen == 64
/* Sv39: bits 63..39 must equal bit 38. */
static void check_not_canonical(void)
{
    uintptr_t where = WINDOW | 1UL << 39;
    check_trap("s-load-not-canonical", run(MODE_S, load_word, where), 'M', CAUSE_LOAD_PAGE, (uintptr_t)load_word,
               where);
}
#endif

/* The hart sets A and D itself, where the specification would also let it fault. */
static void check_accessed_and_dirty(void)
{
    uintptr_t flags = PTE_V | PTE_R | PTE_W;
    map_window_page(0, scratch[0], flags);
    check_return("load-clean-page", run(MODE_S, load_word, WINDOW));
    check_equal("load-sets-a", window_page_flags(0), flags | PTE_A);
    check_return("store-clean-page", run(MODE_S, store_word, WINDOW));
    check_equal("store-sets-d", window_page_flags(0), flags | PTE_A | PTE_D);

    map_window_page(0, scratch[0], flags);
    check_return("store-untouched-page", run(MODE_S, store_word, WINDOW));
    check_equal("store-sets-a-and-d", window_page_flags(0), flags | PTE_A | PTE_D);

    write_parcel(scratch[0], INSTRUCTION_RET);
    map_window_page(0, scratch[0], PTE_V | PTE_X);
    check_return("fetch-clean-page", run(MODE_S, jump, WINDOW));
    check_equal("fetch-sets-a", window_page_flags(0), PTE_V | PTE_X | PTE_A);
}

/* The two pages are apart in memory, so that only translation makes them neighbours. */
static void check_crossing_data(void)
{
    uintptr_t flags = PTE_V | PTE_R | PTE_W | PTE_AD;
    uintptr_t edge = WINDOW + PAGE_SIZE - 2;
    map_window_page(0, scratch[0], flags);
    map_window_page(1, scratch[2], flags);
    check_return("crossing-store", run(MODE_S, store_word, edge));
    check_return_value("crossing-load", run(MODE_S, load_word, edge), (uintptr_t)(intptr_t)(int32_t)edge);
    check_equal("crossing-store-first-page", *(uint16_t *)(scratch[0] + PAGE_SIZE - 2), edge & 0xffff);
    check_equal("crossing-store-second-page", *(uint16_t *)scratch[2], edge >> 16 & 0xffff);

    /* tval is the part that failed, not the start of the access. */
    map_window_page(1, scratch[2], 0);
    check_trap("crossing-load-fault", run(MODE_S, load_word, edge), 'M', CAUSE_LOAD_PAGE, (uintptr_t)load_word,
               WINDOW_PAGE(1));
    check_trap("crossing-store-fault", run(MODE_S, store_word, edge), 'M', CAUSE_STORE_PAGE, (uintptr_t)store_word,
               WINDOW_PAGE(1));
}

/* A 32-bit `addi a0, a0, 1` with a half in each page. */
static void check_crossing_fetch(void)
{
    uintptr_t flags = PTE_V | PTE_X | PTE_AD;
    uintptr_t edge = WINDOW + PAGE_SIZE - 2;
    write_parcel(scratch[0] + PAGE_SIZE - 2, 0x0513);
    write_parcel(scratch[2], 0x0015);
    write_parcel(scratch[2] + 2, INSTRUCTION_RET);
    map_window_page(0, scratch[0], flags);
    map_window_page(1, scratch[2], flags);
    check_return_value("crossing-fetch", run_at(MODE_S, edge, 41), 42);

    map_window_page(1, scratch[2], 0);
    check_trap("crossing-fetch-fault", run_at(MODE_S, edge, 0), 'M', CAUSE_FETCH_PAGE, edge, WINDOW_PAGE(1));
}

static void check_delegated_page_faults(void)
{
    map_window_page(0, scratch[0], 0);
    csr_write(medeleg, 1UL << CAUSE_LOAD_PAGE | 1UL << CAUSE_STORE_PAGE | 1UL << CAUSE_FETCH_PAGE);
    check_trap("delegated-load-page-fault", run(MODE_U, load_word, WINDOW), 'S', CAUSE_LOAD_PAGE,
               code_address(MODE_U, load_word), WINDOW);
    check_trap("delegated-store-page-fault", run(MODE_S, store_word, WINDOW), 'S', CAUSE_STORE_PAGE,
               (uintptr_t)store_word, WINDOW);
    check_trap("delegated-fetch-page-fault", run(MODE_U, jump, WINDOW), 'S', CAUSE_FETCH_PAGE, WINDOW, WINDOW);
    csr_write(medeleg, 0);
}

static void check_m_mode(void)
{
    map_window_page(0, scratch[0], PTE_V | PTE_R | PTE_U | PTE_AD);
    check_return("mprv-load", run(MODE_M, load_as_user, WINDOW));
    map_window_page(0, scratch[0], PTE_V | PTE_R | PTE_AD);
    check_trap("mprv-load-supervisor-page", run(MODE_M, load_as_user, WINDOW), 'M', CAUSE_LOAD_PAGE,
               (uintptr_t)load_as_user_access, WINDOW);
    check_return("m-load-ignores-paging", run(MODE_M, load_word, (uintptr_t)scratch));
}

void check_paging(void)
{
    paging_on();
    for (unsigned i = 0; i < sizeof accesses / sizeof accesses[0]; i++)
        check_access(&accesses[i]);
    note_unreadable_amo();
    check_unmapped();
    check_superpage();
#if __riscv_xlen == 64
    check_not_canonical();
#endif
    check_accessed_and_dirty();
    check_crossing_data();
    check_crossing_fetch();
    check_delegated_page_faults();
    check_m_mode();
    paging_off();
}
