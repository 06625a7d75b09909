/* Entering a trial and coming home from it by a trap. */

#include "home.h"

#if __riscv_xlen == 64
#define SAVE sd
#define RESTORE ld
#else
#define SAVE sw
#define RESTORE lw
#endif
#define WORD (__riscv_xlen / 8)

/* ra, s0..s11, gp, tp, and one word to keep the stack aligned. */
#define FRAME (16 * WORD)

    .macro each_saved operation
    \operation  ra, 0 * WORD(sp)
    \operation  gp, 1 * WORD(sp)
    \operation  tp, 2 * WORD(sp)
    .set offset, 3 * WORD
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    \operation  s\n, offset(sp)
    .set offset, offset + WORD
    .endr
    .endm

    .text

/* struct landing enter_trial(pc, argument, status, return_pc, operand)
 *
 * Returns when the handler is reached, whatever the trial did to the registers: a trial may be a function in C that is
 * left in the middle.
 */
    .globl enter_trial
    .type enter_trial, @function
enter_trial:
    addi    sp, sp, -FRAME
    each_saved SAVE
    csrw    HOME_SCRATCH, sp
    csrw    HOME_EPC, a0
    csrw    HOME_STATUS, a2
    mv      ra, a3
    mv      a0, a1
    li      a1, 0
    mv      a2, a4
    HOME_RET
    .size enter_trial, . - enter_trial

/* A trial that returns comes here, still at its own privilege. Not by an environment call: in S-mode that would be
 * one to the firmware below.
 */
    .globl trial_returned
    .type trial_returned, @function
trial_returned:
    .option push
    .option norvc
    ebreak
    .option pop
    .size trial_returned, . - trial_returned

    .globl home_handler
    .type home_handler, @function
    .balign 4
home_handler:
    csrrw   sp, HOME_SCRATCH, zero
    beqz    sp, 1f
    each_saved RESTORE
    addi    sp, sp, FRAME
    ret
1:  la      sp, __stack_top
    j       stray_trap
    .size home_handler, . - home_handler
