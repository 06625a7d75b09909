/* Entry from other firmware: S-mode, paging off, a0 = hart id, a1 = device tree address. */

#define SSTATUS_FS_INITIAL 0x2000

    .globl LOAD_ADDRESS
    .equ LOAD_ADDRESS, 0x80200000

    .section .text.start, "ax"
    .globl _start
    .type _start, @function
_start:
    .option push
    .option norelax
    la      gp, __global_pointer$
    .option pop
    la      sp, __stack_top

    /* The compiler may use floating-point registers even for integer code. */
    li      t0, SSTATUS_FS_INITIAL
    csrs    sstatus, t0

    la      t0, __bss_start
    la      t1, __bss_end
1:  bgeu    t0, t1, 2f
    sw      zero, 0(t0)
    addi    t0, t0, 4
    j       1b

    /* a0 and a1 are still what they were. */
2:  call    main
    call    board_pass
    .size _start, . - _start
