/* Every trap may change the task: it saves all registers on the stack of the one that runs and restores another's. */

#include "frame.h"

#if __riscv_xlen == 64
#define SAVE sd
#define RESTORE ld
#else
#define SAVE sw
#define RESTORE lw
#endif
#define WORD (__riscv_xlen / 8)

/* All but x0 and sp. */
    .macro each_register operation
    .irp n, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    \operation  x\n, \n * WORD(sp)
    .endr
    .irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    \operation  x\n, \n * WORD(sp)
    .endr
    .endm

    .macro each_float operation
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    \operation  f\n, FRAME_FLOATS + 8 * \n(sp)
    .endr
    .irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    \operation  f\n, FRAME_FLOATS + 8 * \n(sp)
    .endr
    .endm

    .text
    .globl trap_entry
    .type trap_entry, @function
    .balign 4
trap_entry:
    addi    sp, sp, -FRAME_SIZE
    each_register SAVE
    csrr    t0, mepc
    SAVE    t0, FRAME_MEPC * WORD(sp)
    csrr    t0, mstatus
    SAVE    t0, FRAME_MSTATUS * WORD(sp)
    csrr    t0, fcsr
    SAVE    t0, FRAME_FCSR(sp)
    each_float fsd

    /* The frame of the task that is to run next. */
    mv      a0, sp
    call    kernel_trap
    mv      sp, a0

    each_float fld
    RESTORE t0, FRAME_FCSR(sp)
    csrw    fcsr, t0
    RESTORE t0, FRAME_MSTATUS * WORD(sp)
    csrw    mstatus, t0
    RESTORE t0, FRAME_MEPC * WORD(sp)
    csrw    mepc, t0
    each_register RESTORE
    addi    sp, sp, FRAME_SIZE
    mret
    .size trap_entry, . - trap_entry
