/* The checks of the image `paging` that S-mode can make, under other firmware such as OpenSBI.
 *
 * Shuts down by SBI, which tells the host nothing: the last line says whether all was well.
 */

#include "../paging/check.h"
#include "../paging/groups.h"
#include "board.h"
#include "csr.h"
#include "print.h"
#include "status.h"

#define DEVICE_TREE_MAGIC 0xedfe0dd0UL    /* as a little-endian machine reads it */

uint8_t scratch[SCRATCH_PAGES][PAGE_SIZE] __attribute__((aligned(4096)));

static void start_quiet(void)
{
    csr_write(sie, 0);
    csr_write(satp, 0);
    install_home_handler();
}

int main(uintptr_t hart, const uint32_t *device_tree)
{
    start_quiet();
    print("t: hart %lu, device tree at %lx\n", (unsigned long)hart, (unsigned long)device_tree);
    check_equal("device-tree-magic", *device_tree, DEVICE_TREE_MAGIC);
    paging_on();

    check_walks();
    check_accessed_and_dirty();
    check_superpages();
    check_fences();
    check_crossing();
    check_aliases();
    check_atomics();
    check_address_spaces();
    check_status();
    paging_off();

    if (checks_failed) {
        print("paging-s: %u checks, %u failed\n", checks_done, checks_failed);
        board_fail(checks_failed);
    }
    print("paging-s: %u checks, all ok\n", checks_done);
    return 0;
}
