/* Trials: pieces of assembly run at a privilege level until they trap or return.
 *
 * Both handlers give up the trial at its first trap, so a trial ends exactly once and nothing needs to be resumed.
 */
#ifndef TRIAL_H
#define TRIAL_H

#include <stdbool.h>
#include <stdint.h>

enum mode { MODE_U = 0, MODE_S = 1, MODE_M = 3 };

/* A leaf function in assembly: argument and result in a0; it leaves a1, sp and the saved registers alone. */
typedef void trial(void);

struct outcome {
    char handler;       /* 'M' or 'S': who took the trap; '-' when the trial returned */
    uintptr_t cause;
    uintptr_t epc;
    uintptr_t tval;
    uintptr_t status;   /* mstatus at the end, with what the trap pushed there */
    uintptr_t vector;   /* index of the vector table entry that was used */
    uintptr_t value;    /* a0 at the end */
};

/* Bits of mstatus that the next trials start with, besides MPP. MPIE becomes MIE on entry. */
extern uintptr_t trial_status;

/* Points mtvec and stvec to the handlers; `vector_mode` is TVEC_DIRECT or TVEC_VECTORED. */
void install_handlers(uintptr_t vector_mode);

struct outcome run(enum mode mode, trial *code, uintptr_t argument);
struct outcome run_at(enum mode mode, uintptr_t pc, uintptr_t argument);

/* Where `code` is to be found from `mode`: with paging on, U-mode sees it elsewhere. */
uintptr_t code_address(enum mode mode, trial *code);

#endif
