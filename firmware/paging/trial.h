/* Trials: pieces of code run at a privilege level until they trap or return.
 *
 * Every handler gives up the trial at its first trap, so a trial ends exactly once and nothing needs to be resumed.
 */
#ifndef TRIAL_H
#define TRIAL_H

#include <stdbool.h>
#include <stdint.h>

enum mode { MODE_U = 0, MODE_S = 1, MODE_M = 3 };

/* Argument and result in a0, the operand in a2. In S-mode it may be a function in C. */
typedef void trial(void);

struct outcome {
    char handler;       /* 'M' or 'S': who took the trap; '-' when the trial returned */
    uintptr_t cause;
    uintptr_t epc;
    uintptr_t tval;
    uintptr_t status;   /* mstatus or sstatus at the end, with what the trap pushed there */
    uintptr_t vector;   /* index of the entry that was used in S-mode's vector table */
    uintptr_t value;    /* a0 at the end */
};

/* Bits of mstatus or sstatus that the next trials start with, besides MPP or SPP. */
extern uintptr_t trial_status;

/* How far S-mode's handlers are seen from where they were linked. */
extern uintptr_t s_handlers_moved_by;

/* Points the trap vector of the home level to its handler. */
void install_home_handler(void);

struct outcome run(enum mode mode, trial *code, uintptr_t argument);
struct outcome run_with(enum mode mode, trial *code, uintptr_t argument, uintptr_t operand);
struct outcome run_at(enum mode mode, uintptr_t pc, uintptr_t argument, uintptr_t operand);

/* Runs a function in S-mode. */
#define run_function(function, argument) run(MODE_S, (trial *)(function), (uintptr_t)(argument))

/* Where `code` is to be found from `mode`: with paging on, U-mode sees it elsewhere. */
uintptr_t code_address(enum mode mode, trial *code);

#endif
