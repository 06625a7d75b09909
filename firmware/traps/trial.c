#include "trial.h"

#include "csr.h"
#include "paging.h"

struct landing {
    uintptr_t value, vector;
};

struct landing enter_trial(uintptr_t pc, uintptr_t argument, uintptr_t status, uintptr_t return_pc);
extern trial trial_returned, s_handler_call, m_vectors, s_vectors;

uintptr_t trial_status = MSTATUS_FS_INITIAL;

void install_handlers(uintptr_t vector_mode)
{
    csr_write(mtvec, (uintptr_t)m_vectors | vector_mode);
    csr_write(stvec, (uintptr_t)s_vectors | vector_mode);
}

uintptr_t code_address(enum mode mode, trial *code)
{
    bool through_alias = mode == MODE_U && paging_is_on();
    return (uintptr_t)code - (through_alias ? USER_ALIAS_OFFSET : 0);
}

static bool is_environment_call(uintptr_t cause)
{
    return cause >= CAUSE_ECALL_U && cause <= CAUSE_ECALL_M;
}

/* The S-mode handler ends with an environment call, which leaves its own registers as they were. */
static void look_behind_s_handler(struct outcome *outcome)
{
    outcome->handler = 'S';
    outcome->cause = csr_read(scause);
    outcome->epc = csr_read(sepc);
    outcome->tval = csr_read(stval);
}

struct outcome run_at(enum mode mode, uintptr_t pc, uintptr_t argument)
{
    uintptr_t return_pc = code_address(mode, trial_returned);
    uintptr_t status = trial_status | (uintptr_t)mode << MSTATUS_MPP_SHIFT;
    struct landing landing = enter_trial(pc, argument, status, return_pc);
    struct outcome outcome = {
        .handler = 'M',
        .cause = csr_read(mcause),
        .epc = csr_read(mepc),
        .tval = csr_read(mtval),
        .status = csr_read(mstatus),
        .vector = landing.vector,
        .value = landing.value,
    };
    /* A trial may have left MPRV set. */
    csr_write(mstatus, MSTATUS_FS_INITIAL);

    if (is_environment_call(outcome.cause) && outcome.epc == (uintptr_t)s_handler_call)
        look_behind_s_handler(&outcome);
    if (is_environment_call(outcome.cause) && outcome.epc == return_pc)
        outcome.handler = '-';
    return outcome;
}

struct outcome run(enum mode mode, trial *code, uintptr_t argument)
{
    return run_at(mode, code_address(mode, code), argument);
}
