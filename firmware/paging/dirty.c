/* The A and D bits, which the hart sets itself where the specification would also let it fault. */

#include "check.h"
#include "csr.h"
#include "groups.h"
#include "provoke.h"

#define CLEAN (PTE_V | PTE_R | PTE_W)

/* Runs a trial on a clean page and looks at what it set. */
static void check_sets(const char *name, trial *code, uintptr_t want)
{
    map_page(0, scratch[0], CLEAN);
    run_with(MODE_S, code, WINDOW, 1);
    check_equal(name, page_flags(0), CLEAN | want);
}

static void check_each_access(void)
{
    check_sets("load-sets-a", load_word, PTE_A);
    check_sets("store-sets-a-and-d", store_word, PTE_A | PTE_D);
    check_sets("lr-sets-a", load_reserved, PTE_A);
    check_sets("lr-and-sc-set-a-and-d", reserve_and_store, PTE_A | PTE_D);
    check_sets("amo-sets-a-and-d", amo_add, PTE_A | PTE_D);

    put_parcel(scratch[0], INSTRUCTION_RET);
    fence_i();
    map_page(0, scratch[0], PTE_V | PTE_X);
    check_return("fetch-clean-page", run(MODE_S, jump, WINDOW));
    check_equal("fetch-sets-a", page_flags(0), PTE_V | PTE_X | PTE_A);
}

/* What the first access left in the TLB must not keep the second from setting its bit. */
static void check_one_after_the_other(void)
{
    map_page(0, scratch[0], CLEAN | PTE_X);
    put_parcel(scratch[0], INSTRUCTION_RET);
    fence_i();
    run(MODE_S, jump, WINDOW);
    check_equal("fetch-first", page_flags(0), CLEAN | PTE_X | PTE_A);
    run(MODE_S, load_word, WINDOW);
    check_equal("then-load", page_flags(0), CLEAN | PTE_X | PTE_A);
    run(MODE_S, store_word, WINDOW + 8);
    check_equal("then-store", page_flags(0), CLEAN | PTE_X | PTE_A | PTE_D);
}

/* The same without a trap in between, in S-mode. Returns the flags after load and store. */
static uintptr_t load_then_store(volatile uint32_t *where)
{
    (void)*where;
    uintptr_t after_load = page_flags(0);
    *where = 5;
    return after_load << 16 | page_flags(0);
}

static void check_within_one_run(void)
{
    map_page(0, scratch[0], CLEAN);
    check_value("load-then-store-in-s", run_function(load_then_store, WINDOW),
                (CLEAN | PTE_A) << 16 | CLEAN | PTE_A | PTE_D);
}

static void clear_flags(uintptr_t flags)
{
    *page_entry(SPACE_A, 0) &= ~flags;
}

static void check_cleared(void)
{
    map_page(0, scratch[0], CLEAN | PTE_A | PTE_D);
    run(MODE_S, store_word, WINDOW);
    clear_flags(PTE_A | PTE_D);
    fence();
    run(MODE_S, load_word, WINDOW);
    check_equal("cleared-a-is-set-again", page_flags(0), CLEAN | PTE_A);

    run(MODE_S, store_word, WINDOW);
    clear_flags(PTE_D);
    fence();
    run(MODE_S, load_word, WINDOW);
    check_equal("cleared-d-stays-clear-on-load", page_flags(0), CLEAN | PTE_A);
    run(MODE_S, store_word, WINDOW);
    check_equal("cleared-d-is-set-again", page_flags(0), CLEAN | PTE_A | PTE_D);
}

/* Returns the flags after an access to a page whose bits were cleared, with and without a fence. */
static uintptr_t clear_and_store(bool with_fence)
{
    volatile uint32_t *where = (volatile uint32_t *)WINDOW;
    *where = 1;
    clear_flags(PTE_A | PTE_D);
    if (with_fence)
        fence();
    *where = 2;
    return page_flags(0);
}

static void check_cleared_in_one_run(void)
{
    map_page(0, scratch[0], CLEAN);
    check_value("cleared-in-s-with-fence", run_function(clear_and_store, true), CLEAN | PTE_A | PTE_D);
    bool set = run_function(clear_and_store, false).value == (CLEAN | PTE_A | PTE_D);
    note_choice("cleared-in-s-without-fence", set ? "set again" : "not set before the next fence");
}

/* No access, no bits; and other bits are not touched. */
static void check_left_alone(void)
{
    map_page(0, scratch[0], PTE_V | PTE_R);
    check_fault("store-read-only", MODE_S, store_word, CAUSE_STORE_PAGE, WINDOW);
    check_equal("fault-sets-nothing", page_flags(0), PTE_V | PTE_R);

    map_page(0, scratch[0], CLEAN | PTE_G | PTE_SOFTWARE);
    run(MODE_S, store_word, WINDOW);
    check_equal("other-bits-stay", page_flags(0), CLEAN | PTE_G | PTE_SOFTWARE | PTE_A | PTE_D);
}

/* An access over the edge uses both pages. */
static void check_both_pages(void)
{
    uintptr_t edge = WINDOW_PAGE(1) - 2;
    map_page(0, scratch[0], CLEAN);
    map_page(1, scratch[2], CLEAN);
    run(MODE_S, load_word, edge);
    check_equal("crossing-load-sets-a-first", page_flags(0), CLEAN | PTE_A);
    check_equal("crossing-load-sets-a-second", page_flags(1), CLEAN | PTE_A);
    run(MODE_S, store_word, edge);
    check_equal("crossing-store-sets-d-first", page_flags(0), CLEAN | PTE_A | PTE_D);
    check_equal("crossing-store-sets-d-second", page_flags(1), CLEAN | PTE_A | PTE_D);
    map_page(1, 0, 0);
}

void check_accessed_and_dirty(void)
{
    check_each_access();
    check_one_after_the_other();
    check_within_one_run();
    check_cleared();
    check_cleared_in_one_run();
    check_left_alone();
    check_both_pages();
    map_page(0, 0, 0);
}
