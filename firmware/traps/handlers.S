/* Entering a trial and coming back from it by a trap. */

    .text

/* struct landing enter_trial(pc, argument, status, return_pc)
 *
 * Returns when the M-mode handler is reached. A trial leaves sp and the saved registers alone, so the return address
 * is all there is to keep.
 */
    .globl enter_trial
    .type enter_trial, @function
enter_trial:
    csrw    mscratch, ra
    csrw    mepc, a0
    csrw    mstatus, a2
    mv      ra, a3
    mv      a0, a1
    li      a1, 0
    mret
    .size enter_trial, . - enter_trial

/* A trial that returns comes here, still at its own privilege. */
    .globl trial_returned
    .type trial_returned, @function
trial_returned:
    ecall
    .size trial_returned, . - trial_returned

/* Vector tables: entry n leaves n in a1. Entry 0 of M-mode, where exceptions go, keeps a1: it is 0 from enter_trial,
 * or what the S-mode handler left there.
 */
    .macro vector_table name, common
    .globl \name
    .type \name, @function
    .balign 256
\name:
    .option push
    .option norvc
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    j       \name\()_entry_\n
    .endr
    .option pop
    .size \name, . - \name
    .irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
\name\()_entry_\n:
    li      a1, \n
    j       \common
    .endr
    .endm

    vector_table m_vectors, m_handler
m_vectors_entry_0:
m_handler:
    csrrw   ra, mscratch, zero
    beqz    ra, stray_trap
    ret

    vector_table s_vectors, s_handler_call
s_vectors_entry_0:
    li      a1, 0
    .globl s_handler_call
    .type s_handler_call, @function
s_handler_call:
    ecall
    .size s_handler_call, . - s_handler_call
