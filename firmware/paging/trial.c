#include "trial.h"

#include "board.h"
#include "csr.h"
#include "home.h"
#include "print.h"
#include "tables.h"

#define home_read(csr) csr_read(csr)
#define home_write(csr, value) csr_write(csr, value)

struct landing {
    uintptr_t value, vector;
};

struct landing enter_trial(uintptr_t pc, uintptr_t argument, uintptr_t status, uintptr_t return_pc, uintptr_t operand);
extern trial trial_returned, home_handler;

uintptr_t trial_status = MSTATUS_FS_INITIAL;
uintptr_t s_handlers_moved_by;

/* From handlers.S: a trap with no trial running, so a bug in this image. */
_Noreturn void stray_trap(void)
{
    print("FAIL trap outside a trial: cause %lx epc %lx tval %lx\n", (unsigned long)home_read(HOME_CAUSE),
          (unsigned long)home_read(HOME_EPC), (unsigned long)home_read(HOME_TVAL));
    board_fail(0xffff);
}

void install_home_handler(void)
{
    home_write(HOME_SCRATCH, 0);
    home_write(HOME_TVEC, (uintptr_t)home_handler | TVEC_DIRECT);
}

uintptr_t code_address(enum mode mode, trial *code)
{
    bool through_alias = mode == MODE_U && paging_is_on();
    return (uintptr_t)code - (through_alias ? USER_ALIAS_OFFSET : 0);
}

#ifdef HOME_IS_S

static uintptr_t previous_mode(enum mode mode)
{
    return mode == MODE_S ? MSTATUS_SPP : 0;
}

static void look_behind_s_handler(struct outcome *outcome)
{
    (void)outcome;
}

#else

extern trial s_handler_call;

static uintptr_t previous_mode(enum mode mode)
{
    return (uintptr_t)mode << MSTATUS_MPP_SHIFT;
}

/* S-mode's handler ends with an environment call, which leaves S-mode's own registers as they were. */
static void look_behind_s_handler(struct outcome *outcome)
{
    if (outcome->cause != CAUSE_ECALL_S || outcome->epc != (uintptr_t)s_handler_call + s_handlers_moved_by)
        return;
    outcome->handler = 'S';
    outcome->cause = csr_read(scause);
    outcome->epc = csr_read(sepc);
    outcome->tval = csr_read(stval);
}

#endif

struct outcome run_at(enum mode mode, uintptr_t pc, uintptr_t argument, uintptr_t operand)
{
    uintptr_t return_pc = code_address(mode, trial_returned);
    struct landing landing = enter_trial(pc, argument, trial_status | previous_mode(mode), return_pc, operand);
    struct outcome outcome = {
        .handler = HOME_HANDLER,
        .cause = home_read(HOME_CAUSE),
        .epc = home_read(HOME_EPC),
        .tval = home_read(HOME_TVAL),
        .status = home_read(HOME_STATUS),
        .vector = landing.vector,
        .value = landing.value,
    };
    /* A trial may have left MPRV or SUM set. */
    home_write(HOME_STATUS, MSTATUS_FS_INITIAL);

    look_behind_s_handler(&outcome);
    if (outcome.cause == CAUSE_BREAKPOINT && outcome.epc == return_pc)
        outcome.handler = '-';
    return outcome;
}

struct outcome run_with(enum mode mode, trial *code, uintptr_t argument, uintptr_t operand)
{
    return run_at(mode, code_address(mode, code), argument, operand);
}

struct outcome run(enum mode mode, trial *code, uintptr_t argument)
{
    return run_with(mode, code, argument, 0);
}
