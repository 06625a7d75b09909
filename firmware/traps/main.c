/* Exercises every exception and interrupt the board has, and checks what the handler sees.
 *
 * Ends with pass, or with the number of failed checks as the code.
 */

#include "board.h"
#include "check.h"
#include "csr.h"
#include "groups.h"
#include "print.h"

uint8_t scratch[SCRATCH_PAGES][PAGE_SIZE] __attribute__((aligned(4096)));

/* From handlers.S: a trap with no trial running, so a bug in this image. */
_Noreturn void stray_trap(void)
{
    print("FAIL trap outside a trial: cause %lx epc %lx tval %lx\n", (unsigned long)csr_read(mcause),
          (unsigned long)csr_read(mepc), (unsigned long)csr_read(mtval));
    board_fail(0xffff);
}

static void start_quiet(void)
{
    csr_write(mscratch, 0);
    csr_write(mie, 0);
    csr_write(mip, 0);
    csr_write(medeleg, 0);
    csr_write(mideleg, 0);
    csr_write(satp, 0);
    clint_set_msip(0);
    clint_set_mtimecmp(CLINT_NEVER);
    install_handlers(TVEC_DIRECT);
}

int main(void)
{
    start_quiet();
    allow_all_memory();

    check_exceptions();
    check_privilege();
    check_delegation();
    check_interrupts();
    check_paging();
    /* Last: its locked entry stays until reset. */
    check_protection();

    if (checks_failed) {
        print("traps: %u checks, %u failed\n", checks_done, checks_failed);
        board_fail(checks_failed);
    }
    print("traps: %u checks, all ok\n", checks_done);
    return 0;
}
