/* LR, SC and AMOs on translated pages. */

#include "check.h"
#include "csr.h"
#include "groups.h"
#include "provoke.h"

static void check_amo(void)
{
    put_word(scratch[0], 40);
    map_page(0, scratch[0], PAGE_RW | PTE_U);
    map_page(1, scratch[0], PAGE_RW);
    check_value("amo-from-u", run_with(MODE_U, amo_add, WINDOW_PAGE(0), 2), 40);
    check_value("amo-from-s-through-alias", run_with(MODE_S, amo_add, WINDOW_PAGE(1), 3), 42);
    check_equal("amo-in-memory", get_word(scratch[0]), 45);
    trial_status |= MSTATUS_SUM;
    check_value("amo-with-sum", run_with(MODE_S, amo_add, WINDOW_PAGE(0), 1), 45);
    trial_status &= ~MSTATUS_SUM;
}

static void check_pair(void)
{
    put_word(scratch[0], 1);
    map_page(0, scratch[0], PTE_V | PTE_R | PTE_W);
    check_value("lr-and-sc", run_with(MODE_S, reserve_and_store, WINDOW, 77), 0);
    check_equal("lr-and-sc-in-memory", get_word(scratch[0]), 77);
    map_page(0, scratch[0], PAGE_RW | PTE_U);
    check_value("lr-and-sc-from-u", run_with(MODE_U, reserve_and_store, WINDOW, 78), 0);
    check_equal("lr-and-sc-from-u-in-memory", get_word(scratch[0]), 78);
}

/* SC is a store, also for its fault. */
static void check_pair_read_only(void)
{
    map_page(0, scratch[0], PAGE_R);
    check_trap("sc-read-only", run_with(MODE_S, reserve_and_store, WINDOW, 79), CAUSE_STORE_PAGE,
               (uintptr_t)reserve_and_store_second, WINDOW);
    check_equal("sc-read-only-in-memory", get_word(scratch[0]), 78);
}

static void check_unmapped_pair(void)
{
    map_page(0, 0, 0);
    check_fault("lr-unmapped", MODE_S, load_reserved, CAUSE_LOAD_PAGE, WINDOW);
    /* QEMU with one hart executes an AMO as a load and then a store, and reports the load. */
    note_trap("amo-unmapped", run(MODE_S, amo_add, WINDOW), CAUSE_STORE_PAGE, (uintptr_t)amo_add, WINDOW);
}

void check_atomics(void)
{
    check_amo();
    check_pair();
    check_pair_read_only();
    check_unmapped_pair();
    map_page(1, 0, 0);
}
