/* TVM, TW and TSR: M-mode intercepts what S-mode does with paging on. */

#include "check.h"
#include "csr.h"
#include "groups.h"
#include "provoke.h"
#include "provoke_m.h"

static void check_denied(const char *name, enum mode mode, trial *code, uintptr_t argument)
{
    check_illegal(name, run(mode, code, argument), mode, code);
}

static void check_virtual_memory(void)
{
    uintptr_t before = csr_read(satp);
    trial_status |= MSTATUS_TVM;
    check_denied("tvm-read-satp", MODE_S, read_satp, 0);
    check_denied("tvm-write-satp", MODE_S, write_satp, 0);
    check_denied("tvm-fence-all", MODE_S, fence_all, 0);
    check_denied("tvm-fence-address", MODE_S, fence_one_address, WINDOW);
    check_denied("tvm-fence-asid", MODE_S, fence_one_asid, 0);
    check_value("tvm-m-reads-satp", run(MODE_M, read_satp, 0), before);
    check_return("tvm-m-fence", run(MODE_M, fence_all, 0));
    trial_status &= ~MSTATUS_TVM;

    check_value("s-reads-satp", run(MODE_S, read_satp, 0), before);
    check_return("s-writes-satp", run(MODE_S, write_satp, before));
    check_return("s-fence", run(MODE_S, fence_all, 0));
    check_denied("u-fence", MODE_U, fence_all, 0);
    check_denied("u-reads-satp", MODE_U, read_satp, 0);
    check_equal("satp-as-before", csr_read(satp), before);
}

static void check_wait(void)
{
    trial_status |= MSTATUS_TW;
    check_denied("tw-wfi-in-s", MODE_S, wait_for_interrupt, 0);
    check_denied("tw-wfi-in-u", MODE_U, wait_for_interrupt, 0);
    trial_status &= ~MSTATUS_TW;
}

static void check_supervisor_return(void)
{
    trial_status |= MSTATUS_TSR;
    check_denied("tsr-sret-in-s", MODE_S, do_sret, 0);
    trial_status &= ~MSTATUS_TSR;
    check_denied("sret-in-u", MODE_U, do_sret, 0);
}

void check_intercepts(void)
{
    check_virtual_memory();
    check_wait();
    check_supervisor_return();
}
