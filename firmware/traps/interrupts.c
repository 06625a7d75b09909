/* Interrupts: sources, masks, delegation, priority, vectors and WFI. */

#include "board.h"
#include "check.h"
#include "csr.h"
#include "groups.h"
#include "provoke.h"

#define SSIP (1UL << IRQ_SSI)
#define MSIP (1UL << IRQ_MSI)
#define STIP (1UL << IRQ_STI)
#define MTIP (1UL << IRQ_MTI)
#define SEIP (1UL << IRQ_SEI)

/* 100 us: long enough that WFI is reached first. */
#define SHORT_SLEEP (TIMEBASE_HZ / 10000)

static void raise_timer(void)
{
    clint_set_mtimecmp(0);
}

static void lower_timer(void)
{
    clint_set_mtimecmp(CLINT_NEVER);
}

/* Runs a trial with the global enable of `mode` set; lower levels need none. */
static struct outcome run_enabled(enum mode mode, trial *code)
{
    uintptr_t enable = mode == MODE_M ? MSTATUS_MPIE : MSTATUS_SIE;
    trial_status |= enable;
    struct outcome outcome = run(mode, code, 0);
    trial_status &= ~enable;
    return outcome;
}

/* What is pending is taken before the trial's first instruction. */
static void check_taken(const char *name, enum mode mode, char handler, uintptr_t irq, uintptr_t vector)
{
    check_interrupt(name, run_enabled(mode, do_nothing), handler, irq, (uintptr_t)do_nothing, vector);
}

/* For the specified order MEI, MSI, MTI, SEI, SSI, STI where it is not that of the bit numbers, which QEMU follows. */
static void note_taken(const char *name, enum mode mode, char handler, uintptr_t irq)
{
    note_interrupt(name, run_enabled(mode, do_nothing), handler, irq, (uintptr_t)do_nothing, irq);
}

static void check_direct(void)
{
    csr_write(mie, MSIP | MTIP);
    clint_set_msip(1);
    check_taken("msi-direct", MODE_M, 'M', IRQ_MSI, 0);
    clint_set_msip(0);
    raise_timer();
    check_taken("mti-direct", MODE_M, 'M', IRQ_MTI, 0);
    lower_timer();
    check_return("nothing-pending", run_enabled(MODE_M, do_nothing));
}

static void check_masks(void)
{
    clint_set_msip(1);
    csr_write(mie, MTIP);
    check_return("msi-masked-by-mie", run_enabled(MODE_M, do_nothing));
    csr_write(mie, MSIP);
    check_return("msi-masked-by-mstatus", run(MODE_M, do_nothing, 0));
    check_interrupt("msi-not-masked-in-s", run(MODE_S, do_nothing, 0), 'M', IRQ_MSI, (uintptr_t)do_nothing, 0);
    check_interrupt("msi-not-masked-in-u", run(MODE_U, do_nothing, 0), 'M', IRQ_MSI, (uintptr_t)do_nothing, 0);
    clint_set_msip(0);
}

static void check_timer_fires_later(void)
{
    csr_write(mie, MTIP);
    clint_set_mtimecmp(clint_mtime() + SHORT_SLEEP);
    struct outcome got = run_enabled(MODE_M, spin);
    check_interrupt("mti-later", got, 'M', IRQ_MTI, (uintptr_t)spin, 0);
    lower_timer();
}

static void check_vectored(void)
{
    install_handlers(TVEC_VECTORED);
    check_illegal("vectored-exception", run(MODE_M, illegal, 0), 'M', MODE_M, illegal);

    csr_write(mie, MSIP | MTIP | SSIP);
    raise_timer();
    check_taken("mti-vectored", MODE_M, 'M', IRQ_MTI, IRQ_MTI);
    clint_set_msip(1);
    check_taken("msi-before-mti", MODE_M, 'M', IRQ_MSI, IRQ_MSI);
    csr_set(mip, SSIP);
    note_taken("msi-before-ssi", MODE_M, 'M', IRQ_MSI);
    clint_set_msip(0);
    note_taken("mti-before-ssi", MODE_M, 'M', IRQ_MTI);
    lower_timer();
    check_taken("ssi-not-delegated", MODE_M, 'M', IRQ_SSI, IRQ_SSI);
    csr_clear(mip, SSIP);
}

static void check_delegated(void)
{
    csr_write(mideleg, SSIP | STIP | SEIP);
    csr_write(mie, SSIP | STIP | SEIP | MTIP);

    csr_set(mip, STIP);
    check_taken("sti-delegated", MODE_S, 'S', IRQ_STI, IRQ_STI);
    csr_set(mip, SSIP);
    check_taken("ssi-before-sti", MODE_S, 'S', IRQ_SSI, IRQ_SSI);
    check_interrupt("delegated-in-u", run(MODE_U, do_nothing, 0), 'S', IRQ_SSI, (uintptr_t)do_nothing, IRQ_SSI);
    check_return("delegated-masked-by-sstatus", run(MODE_S, do_nothing, 0));
    check_return("delegated-not-taken-in-m", run_enabled(MODE_M, do_nothing));

    raise_timer();
    check_taken("m-before-s", MODE_S, 'M', IRQ_MTI, IRQ_MTI);
    lower_timer();

    csr_set(mip, SEIP);
    note_taken("sei-before-ssi", MODE_S, 'S', IRQ_SEI);
    csr_clear(mip, SSIP | STIP);
    check_taken("sei-delegated", MODE_S, 'S', IRQ_SEI, IRQ_SEI);
    csr_clear(mip, SEIP);
    csr_write(mideleg, 0);
    install_handlers(TVEC_DIRECT);
}

/* WFI ends when an interrupt enabled in mie is pending, even if mstatus keeps it from being taken. */
static void check_wait_for_interrupt(void)
{
    csr_write(mie, MSIP);
    clint_set_msip(1);
    check_return_value("wfi-pending-already", run(MODE_M, sleep_in_m, 0), MSIP);
    clint_set_msip(0);

    csr_write(mie, MTIP);
    clint_set_mtimecmp(clint_mtime() + SHORT_SLEEP);
    check_return_value("wfi-until-timer", run(MODE_M, sleep_in_m, 0), MTIP);
    lower_timer();

    csr_write(mideleg, SSIP);
    csr_write(mie, SSIP);
    csr_set(mip, SSIP);
    check_return_value("wfi-in-s", run(MODE_S, sleep_in_s, 0), SSIP);
    csr_clear(mip, SSIP);
    csr_write(mideleg, 0);
}

void check_interrupts(void)
{
    check_direct();
    check_masks();
    check_timer_fires_later();
    check_vectored();
    check_delegated();
    check_wait_for_interrupt();
    csr_write(mie, 0);
}
