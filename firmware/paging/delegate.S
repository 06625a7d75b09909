/* S-mode's handlers: they keep what S-mode's registers say and end the trial by an environment call to M-mode. */

    .text

/* Entry n leaves n in a1. */
    .globl s_vectors
    .type s_vectors, @function
    .balign 256
s_vectors:
    .option push
    .option norvc
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    j       s_entry_\n
    .endr
    .option pop
    .size s_vectors, . - s_vectors
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
s_entry_\n:
    li      a1, \n
    j       s_handler_call
    .endr

    .globl s_handler_call
    .type s_handler_call, @function
s_handler_call:
    ecall
    .size s_handler_call, . - s_handler_call
