/* Checks translation in depth: walks, A and D, superpages, fences, page edges, aliases, satp, MPRV, intercepts,
 * delegation, PMP. The checks run in M-mode; see `paging-s` for those that S-mode can make under other firmware.
 *
 * Ends with pass, or with the number of failed checks as the code.
 */

#include "board.h"
#include "check.h"
#include "csr.h"
#include "groups.h"
#include "print.h"
#include "protection.h"

uint8_t scratch[SCRATCH_PAGES][PAGE_SIZE] __attribute__((aligned(4096)));

static void start_quiet(void)
{
    csr_write(mie, 0);
    csr_write(mip, 0);
    csr_write(medeleg, 0);
    csr_write(mideleg, 0);
    csr_write(satp, 0);
    clint_set_msip(0);
    clint_set_mtimecmp(CLINT_NEVER);
    install_home_handler();
}

int main(void)
{
    start_quiet();
    allow_all_memory();
    paging_on();

    check_walks();
    check_accessed_and_dirty();
    check_superpages();
    check_fences();
    check_crossing();
    check_aliases();
    check_atomics();
    check_address_spaces();
    check_mprv();
    check_intercepts();
    check_delegation();
    /* Last: its locked entries stay until reset. */
    check_protection();
    paging_off();

    if (checks_failed) {
        print("paging: %u checks, %u failed\n", checks_done, checks_failed);
        board_fail(checks_failed);
    }
    print("paging: %u checks, all ok\n", checks_done);
    return 0;
}
