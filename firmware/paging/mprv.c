/* MPRV: M-mode's loads and stores are translated and protected as those of the mode in MPP. */

#include "check.h"
#include "csr.h"
#include "groups.h"
#include "provoke.h"
#include "provoke_m.h"

#define AS_U MSTATUS_MPRV
#define AS_S (MSTATUS_MPRV | (uintptr_t)MODE_S << MSTATUS_MPP_SHIFT)
#define AS_M (MSTATUS_MPRV | (uintptr_t)MODE_M << MSTATUS_MPP_SHIFT)

static void check_modified_fault(const char *name, trial *code, trial *access, uintptr_t bits, uintptr_t cause,
                                 uintptr_t tval)
{
    check_trap(name, run_with(MODE_M, code, WINDOW, bits), cause, (uintptr_t)access, tval);
}

static void check_supervisor_page(void)
{
    put_word(scratch[0], 0x42);
    map_page(0, scratch[0], PTE_V | PTE_R | PTE_W);
    check_value("mprv-load-as-s", run_with(MODE_M, modified_load, WINDOW, AS_S), 0x42);
    check_equal("mprv-load-sets-a", page_flags(0), PTE_V | PTE_R | PTE_W | PTE_A);
    check_return("mprv-store-as-s", run_with(MODE_M, modified_store, WINDOW, AS_S));
    check_equal("mprv-store-sets-d", page_flags(0), PAGE_RW);
    check_equal("mprv-store-in-memory", get_word(scratch[0]), (uint32_t)WINDOW);
    check_modified_fault("mprv-load-as-u", modified_load, modified_load_access, AS_U, CAUSE_LOAD_PAGE, WINDOW);
    check_modified_fault("mprv-store-as-u", modified_store, modified_store_access, AS_U, CAUSE_STORE_PAGE, WINDOW);
}

static void check_user_page(void)
{
    map_page(0, scratch[0], PAGE_RW | PTE_U);
    check_return("mprv-load-user-page-as-u", run_with(MODE_M, modified_load, WINDOW, AS_U));
    check_return("mprv-amo-user-page-as-u", run_with(MODE_M, modified_amo, WINDOW, AS_U));
    check_modified_fault("mprv-load-user-page-as-s", modified_load, modified_load_access, AS_S, CAUSE_LOAD_PAGE,
                         WINDOW);
    check_return("mprv-load-user-page-as-s-sum", run_with(MODE_M, modified_load, WINDOW, AS_S | MSTATUS_SUM));
}

static void check_execute_only_page(void)
{
    map_page(0, scratch[0], PAGE_X);
    check_modified_fault("mprv-load-execute-only", modified_load, modified_load_access, AS_S, CAUSE_LOAD_PAGE, WINDOW);
    check_return("mprv-load-execute-only-mxr", run_with(MODE_M, modified_load, WINDOW, AS_S | MSTATUS_MXR));
    check_modified_fault("mprv-store-execute-only-mxr", modified_store, modified_store_access, AS_S | MSTATUS_MXR,
                         CAUSE_STORE_PAGE, WINDOW);
}

static void check_over_the_edge(void)
{
    uintptr_t edge = WINDOW_PAGE(1) - 2;
    map_page(0, scratch[0], PAGE_RW);
    map_page(1, scratch[2], PAGE_RW);
    run_with(MODE_M, modified_store, edge, AS_S);
    check_value("mprv-crossing", run_with(MODE_M, modified_load, edge, AS_S), (uintptr_t)(intptr_t)(int32_t)edge);
    map_page(1, 0, 0);
    check_trap("mprv-crossing-second-absent", run_with(MODE_M, modified_load, edge, AS_S), CAUSE_LOAD_PAGE,
               (uintptr_t)modified_load_access, WINDOW_PAGE(1));
}

/* With M-mode in MPP it changes nothing, and in Bare mode there is nothing to translate. */
static void check_no_effect(void)
{
    put_word(scratch[0], 0x99);
    check_value("mprv-as-m", run_with(MODE_M, modified_load, (uintptr_t)scratch[0], AS_M), 0x99);
    paging_off();
    check_value("mprv-bare-as-u", run_with(MODE_M, modified_load, (uintptr_t)scratch[0], AS_U), 0x99);
    paging_on();
}

/* mret to a less privileged mode clears it; QEMU 7.2 leaves that out. Not by way of U-mode: if MPRV stayed, the home
 * handler could not use its stack. */
static void check_mret(void)
{
    trial_status |= MSTATUS_MPRV;
    uintptr_t after_s = run(MODE_S, do_nothing, 0).status;
    uintptr_t after_m = run(MODE_M, do_nothing, 0).status;
    trial_status &= ~MSTATUS_MPRV;
    note_equal("mret-to-s-clears-mprv", after_s & MSTATUS_MPRV, 0);
    check_equal("mret-to-m-keeps-mprv", after_m & MSTATUS_MPRV, MSTATUS_MPRV);
}

void check_mprv(void)
{
    check_supervisor_page();
    check_user_page();
    check_execute_only_page();
    check_over_the_edge();
    check_no_effect();
    check_mret();
    map_page(0, 0, 0);
}
