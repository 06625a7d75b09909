/* What each privilege level may execute: registers, counters, privileged instructions and their traps in mstatus. */

#include "check.h"
#include "csr.h"
#include "groups.h"
#include "provoke.h"

#define ALL_COUNTERS (COUNTEREN_CY | COUNTEREN_TM | COUNTEREN_IR)

static void check_denied(const char *name, enum mode mode, trial *code)
{
    check_illegal(name, run(mode, code, 0), 'M', mode, code);
}

static void check_registers(void)
{
    check_denied("u-reads-mstatus", MODE_U, read_mstatus);
    check_denied("s-reads-mstatus", MODE_S, read_mstatus);
    check_denied("u-reads-sstatus", MODE_U, read_sstatus);
    check_denied("u-reads-satp", MODE_U, read_satp);
    check_denied("m-writes-cycle", MODE_M, write_cycle);
    check_denied("m-reads-missing-csr", MODE_M, read_missing);
    check_return("s-reads-sstatus", run(MODE_S, read_sstatus, 0));
    check_return("s-reads-satp", run(MODE_S, read_satp, 0));
    check_return("m-reads-cycle", run(MODE_M, read_cycle, 0));
}

static void enable_counters(uintptr_t for_s, uintptr_t for_u)
{
    csr_write(mcounteren, for_s);
    csr_write(scounteren, for_u);
}

static void check_counters(void)
{
    enable_counters(0, ALL_COUNTERS);
    check_denied("s-reads-cycle-disabled", MODE_S, read_cycle);
    check_denied("s-reads-time-disabled", MODE_S, read_time);
    check_denied("s-reads-instret-disabled", MODE_S, read_instret);
    check_denied("u-reads-cycle-disabled-by-m", MODE_U, read_cycle);

    enable_counters(ALL_COUNTERS, 0);
    check_return("s-reads-cycle", run(MODE_S, read_cycle, 0));
    check_return("s-reads-time", run(MODE_S, read_time, 0));
    check_return("s-reads-instret", run(MODE_S, read_instret, 0));
    check_denied("u-reads-cycle-disabled-by-s", MODE_U, read_cycle);
    check_denied("u-reads-time-disabled-by-s", MODE_U, read_time);
    check_denied("u-reads-instret-disabled-by-s", MODE_U, read_instret);

    enable_counters(ALL_COUNTERS, ALL_COUNTERS);
    check_return("u-reads-cycle", run(MODE_U, read_cycle, 0));
    check_return("u-reads-time", run(MODE_U, read_time, 0));
    check_return("u-reads-instret", run(MODE_U, read_instret, 0));
}

static void check_instructions_by_level(void)
{
    check_denied("s-mret", MODE_S, do_mret);
    check_denied("u-mret", MODE_U, do_mret);
    check_denied("u-sret", MODE_U, do_sret);
    check_denied("u-sfence-vma", MODE_U, do_sfence_vma);
    check_return("s-sfence-vma", run(MODE_S, do_sfence_vma, 0));
}

/* TVM, TW and TSR let M-mode intercept what S-mode may do otherwise. */
static void check_intercepts(void)
{
    trial_status |= MSTATUS_TVM;
    check_denied("tvm-read-satp", MODE_S, read_satp);
    check_denied("tvm-write-satp", MODE_S, write_satp);
    check_denied("tvm-sfence-vma", MODE_S, do_sfence_vma);
    trial_status &= ~MSTATUS_TVM;

    trial_status |= MSTATUS_TW;
    check_denied("tw-wfi", MODE_S, wait_for_interrupt);
    trial_status &= ~MSTATUS_TW;

    trial_status |= MSTATUS_TSR;
    check_denied("tsr-sret", MODE_S, do_sret);
    trial_status &= ~MSTATUS_TSR;
}

static void check_bits(const char *name, struct outcome got, uintptr_t mask, uintptr_t want)
{
    check_equal(name, got.status & mask, want);
}

static void check_mret(void)
{
    struct outcome got = run(MODE_S, environment_call, 0);
    check_bits("trap-from-s-pushes-mpp", got, MSTATUS_MPP | MSTATUS_MPIE, (uintptr_t)MODE_S << MSTATUS_MPP_SHIFT);

    /* mret moved MPIE to MIE, the trap moved it back and cleared MIE. */
    trial_status |= MSTATUS_MPIE;
    got = run(MODE_U, environment_call, 0);
    trial_status &= ~MSTATUS_MPIE;
    check_bits("trap-from-u-pushes-mpie", got, MSTATUS_MPP | MSTATUS_MPIE | MSTATUS_MIE, MSTATUS_MPIE);
}

static void check_sret(void)
{
    uintptr_t stack = MSTATUS_SPP | MSTATUS_SPIE | MSTATUS_SIE;
    uintptr_t target = (uintptr_t)environment_call;

    struct outcome got = run(MODE_S, sret_to_u, target);
    check_trap("sret-to-u", got, 'M', CAUSE_ECALL_U, target, 0);
    check_bits("sret-pops-sie-clear", got, stack, MSTATUS_SPIE);

    trial_status |= MSTATUS_SPIE;
    got = run(MODE_S, sret_to_s, target);
    trial_status &= ~MSTATUS_SPIE;
    check_trap("sret-to-s", got, 'M', CAUSE_ECALL_S, target, 0);
    check_bits("sret-pops-sie-set", got, stack, MSTATUS_SPIE | MSTATUS_SIE);
}

static void check_floating_point(void)
{
    trial_status &= ~MSTATUS_FS;
    check_denied("fs-off", MODE_M, move_to_float);
    trial_status |= MSTATUS_FS_INITIAL;
    struct outcome got = run(MODE_M, move_to_float, 0);
    check_return("fs-initial", got);
    check_bits("fs-becomes-dirty", got, MSTATUS_FS, MSTATUS_FS);
}

void check_privilege(void)
{
    check_registers();
    check_counters();
    check_instructions_by_level();
    check_intercepts();
    check_mret();
    check_sret();
    check_floating_point();
}
