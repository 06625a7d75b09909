/* Entry from the reset vector: M-mode, a0 = hart id, a1 = device tree address or 0.
 *
 * Weak, like `print`, `board_pass` and `board_fail`: an image that does not run in M-mode brings its own.
 */

#define MSTATUS_FS_INITIAL 0x2000

    .section .text.start, "ax"
    .weak _start
    .type _start, @function
_start:
    .option push
    .option norelax
    la      gp, __global_pointer$
    .option pop
    la      sp, __stack_top

    /* The compiler may use floating-point registers even for integer code. */
    li      t0, MSTATUS_FS_INITIAL
    csrs    mstatus, t0

    la      t0, __bss_start
    la      t1, __bss_end
1:  bgeu    t0, t1, 2f
    sw      zero, 0(t0)
    addi    t0, t0, 4
    j       1b

    /* mtvec stays as reset leaves it: an image that expects traps sets its own. */
2:  call    main
    call    board_pass
    .size _start, . - _start
