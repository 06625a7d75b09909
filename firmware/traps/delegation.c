/* Exceptions that medeleg hands to S-mode. */

#include "board.h"
#include "check.h"
#include "csr.h"
#include "groups.h"
#include "provoke.h"

#define SSTATUS_STACK (MSTATUS_SPP | MSTATUS_SPIE | MSTATUS_SIE)

static void check_stack(const char *name, struct outcome got, uintptr_t want)
{
    check_equal(name, got.status & SSTATUS_STACK, want);
}

static void check_from_u(void)
{
    struct outcome got = run(MODE_U, environment_call, 0);
    check_trap("delegated-ecall-from-u", got, 'S', CAUSE_ECALL_U, (uintptr_t)environment_call, 0);
    check_stack("delegated-from-u-clears-spp", got, 0);
    check_trap("delegated-load-access-fault", run(MODE_U, load_word, UNMAPPED_ADDRESS), 'S', CAUSE_LOAD_ACCESS,
               (uintptr_t)load_word, UNMAPPED_ADDRESS);
    check_cause("delegated-breakpoint", run(MODE_U, breakpoint, 0), 'S', CAUSE_BREAKPOINT, (uintptr_t)breakpoint);
}

static void check_from_s(void)
{
    trial_status |= MSTATUS_SIE;
    struct outcome got = run(MODE_S, illegal, 0);
    trial_status &= ~MSTATUS_SIE;
    check_illegal("delegated-illegal-from-s", got, 'S', MODE_S, illegal);
    check_stack("delegated-from-s-sets-spp-and-spie", got, MSTATUS_SPP | MSTATUS_SPIE);
}

/* A trap never goes to a less privileged level than it came from. */
static void check_from_m(void)
{
    check_illegal("not-delegated-from-m", run(MODE_M, illegal, 0), 'M', MODE_M, illegal);
}

static void check_not_delegated(void)
{
    check_trap("not-delegated-store", run(MODE_U, store_word, UNMAPPED_ADDRESS), 'M', CAUSE_STORE_ACCESS,
               (uintptr_t)store_word, UNMAPPED_ADDRESS);
}

void check_delegation(void)
{
    csr_write(medeleg,
              1UL << CAUSE_ECALL_U | 1UL << CAUSE_ILLEGAL | 1UL << CAUSE_LOAD_ACCESS | 1UL << CAUSE_BREAKPOINT);
    check_from_u();
    check_from_s();
    check_from_m();
    check_not_delegated();
    csr_write(medeleg, 0);
}
