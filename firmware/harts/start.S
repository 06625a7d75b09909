/* Entry of images for several harts: M-mode, a0 = hart id, a1 = device tree address or 0, on each hart.
 *
 * Hart 0 clears .bss, counts the harts and lets the others go; then all run hart_main. When hart 0 comes back from it,
 * the run has passed; the others then wait for ever.
 */

#include "limits.h"

#define MSTATUS_FS_INITIAL 0x2000

    .section .text.start, "ax"
    .globl _start
    .type _start, @function
_start:
    .option push
    .option norelax
    la      gp, __global_pointer$
    .option pop
    li      t0, MSTATUS_FS_INITIAL
    csrs    mstatus, t0

    /* The stacks of all harts lie next to each other. A hart that has none stays out of the way. */
    li      t0, HARTS_MAX
    bgeu    a0, t0, hart_park
    mv      s0, a0
    la      sp, __stack_bottom
    addi    t0, a0, 1
    slli    t0, t0, HART_STACK_SHIFT
    add     sp, sp, t0
    bnez    a0, 3f

    la      t0, __bss_start
    la      t1, __bss_end
1:  bgeu    t0, t1, 2f
    sw      zero, 0(t0)
    addi    t0, t0, 4
    j       1b
2:  mv      a0, a1
    call    harts_release
    j       4f

3:  call    hart_await_release
4:  mv      a0, s0
    call    hart_main
    bnez    s0, hart_park
    call    board_pass
    .size _start, . - _start

    .globl hart_park
    .type hart_park, @function
hart_park:
    csrw    mie, zero
1:  wfi
    j       1b
    .size hart_park, . - hart_park
