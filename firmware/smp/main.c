/* Several harts, 1 to 8: barriers, locks, atomics, interrupts of each hart, code and page tables that another hart
 * changes, counters. All harts run the same checks at the same time; hart 0 prints.
 *
 * Lines that start with `t:` depend on the machine. Ends with pass, or with the number of failed checks as the code.
 */

#include "smp.h"

#include "print.h"

static unsigned checks_done, checks_failed;

/* By turns, as a fast hart may be at the next check before hart 0 has read these. */
static volatile bool good_on[2][HARTS_MAX];

/* Collects what all harts found, on hart 0 as a mask of those that found it wrong. */
static unsigned collect(bool good)
{
    static unsigned turns[HARTS_MAX];
    unsigned hart = hart_id();
    unsigned turn = turns[hart]++ % 2;
    good_on[turn][hart] = good;
    meet();

    unsigned wrong = 0;
    for (unsigned i = 0; i < harts; i++)
        wrong |= !good_on[turn][i] << i;
    return wrong;
}

void check(const char *name, bool good)
{
    unsigned wrong = collect(good);
    if (hart_id() != 0)
        return;
    checks_done++;
    checks_failed += wrong != 0;
    if (wrong)
        print("FAIL %s on harts 0x%x\n", name, wrong);
    else
        print("ok %s\n", name);
}

void note(const char *name, bool good)
{
    unsigned wrong = collect(good);
    if (hart_id() == 0)
        print("t: %s %s\n", wrong ? "otherwise" : "ok", name);
}

static void check_start(unsigned hart)
{
    static uint32_t started;
    __atomic_fetch_add(&started, 1U << hart, __ATOMIC_SEQ_CST);
    meet();
    check("each hart starts once", __atomic_load_n(&started, __ATOMIC_SEQ_CST) == (1U << harts) - 1);
    check("a0 is the hart id", hart == hart_id());
}

static void finish(void)
{
    if (checks_failed) {
        print("smp: %u of %u checks failed\n", checks_failed, checks_done);
        board_fail(checks_failed);
    }
    print("smp: all %u checks ok\n", checks_done);
}

void hart_main(unsigned hart)
{
    traps_start();
    if (hart == 0)
        print("smp: rv%d, harts: %u\n", __riscv_xlen, harts);
    check_start(hart);
    check_barriers();
    check_locks();
    check_atomics();
    check_reservations();
    check_ipis();
    check_timers();
    check_external();
    check_patching();
    check_tables();
    check_counters();
    if (hart == 0)
        finish();
}
