/* The trials of provoke_m.S. */
#ifndef PROVOKE_M_H
#define PROVOKE_M_H

#include "trial.h"

extern trial breakpoint, wait_for_interrupt, do_sret, sret_to_u;
extern trial read_satp, write_satp, fence_all, fence_one_address, fence_one_asid;

/* The operand is what to set in mstatus for the access. */
extern trial modified_load, modified_load_access, modified_store, modified_store_access, modified_amo,
    modified_amo_access;

#endif
