/* S-mode's own registers around a trap: sstatus, scause, sepc, stval, sip. */

#include "status.h"

#include "../paging/check.h"
#include "../paging/groups.h"
#include "../paging/provoke.h"
#include "csr.h"

#define STATUS_STACK (MSTATUS_SPP | MSTATUS_SPIE | MSTATUS_SIE)
#define SSIP (1UL << IRQ_SSI)

static void check_traps(void)
{
    struct outcome got = run(MODE_U, environment_call, 0);
    check_trap("ecall-from-u", got, CAUSE_ECALL_U, code_address(MODE_U, environment_call), 0);
    check_equal("ecall-from-u-stack", got.status & STATUS_STACK, 0);

    /* sret moved SPIE to SIE, the trap moved it back and cleared SIE. */
    trial_status |= MSTATUS_SPIE;
    got = run(MODE_S, do_nothing, 0);
    trial_status &= ~MSTATUS_SPIE;
    check_return("breakpoint-from-s", got);
    check_equal("breakpoint-from-s-stack", got.status & STATUS_STACK, MSTATUS_SPP | MSTATUS_SPIE);
}

/* A trap changes nothing else. */
static void check_sum_and_mxr(void)
{
    uintptr_t both = MSTATUS_SUM | MSTATUS_MXR;
    trial_status |= both;
    uintptr_t status = run(MODE_U, environment_call, 0).status;
    trial_status &= ~both;
    check_equal("sum-and-mxr-stay", status & both, both);
}

/* Compressed instructions are there, so bit 1 counts; bit 0 never does, but QEMU 7.2 keeps it. */
static void check_exception_pc(void)
{
    csr_write(sepc, 3);
    note_equal("sepc-has-no-bit-0", csr_read(sepc), 2);
    csr_write(stval, UINTPTR_MAX);
    check_equal("stval-has-all-bits", csr_read(stval), UINTPTR_MAX);
}

static void check_software_interrupt(void)
{
    csr_write(sie, SSIP);
    csr_set(sip, SSIP);
    check_trap("ssi-from-u", run(MODE_U, do_nothing, 0), CAUSE_INTERRUPT | IRQ_SSI, code_address(MODE_U, do_nothing),
               0);
    check_return("ssi-masked-in-s", run(MODE_S, do_nothing, 0));
    trial_status |= MSTATUS_SPIE;
    check_trap("ssi-from-s", run(MODE_S, do_nothing, 0), CAUSE_INTERRUPT | IRQ_SSI, (uintptr_t)do_nothing, 0);
    trial_status &= ~MSTATUS_SPIE;
    csr_clear(sip, SSIP);
    csr_write(sie, 0);
}

void check_status(void)
{
    check_traps();
    check_sum_and_mxr();
    check_exception_pc();
    check_software_interrupt();
}
