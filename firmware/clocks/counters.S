/* The code behind counters.h. Readings go to a0 and a1, where a struct of two words is returned. */

    .text

    .macro begin name
    .globl \name
    .type \name, @function
    .balign 4
\name:
    .endm

    .macro end name
    ret
    .size \name, . - \name
    .endm

    begin   write_mcycle
    csrw    mcycle, a0
    csrr    a1, mcycle
    end     write_mcycle

    begin   write_minstret
    csrw    minstret, a0
    csrr    a1, minstret
    end     write_minstret

    begin   count_nothing
    csrr    a0, instret
    csrr    a1, instret
    end     count_nothing

    begin   count_straight_line
    csrr    a0, instret
    .option push
    .option norvc
    .rept   100
    addi    t0, zero, 1
    .endr
    .option pop
    csrr    a1, instret
    end     count_straight_line

    begin   count_compressed
    csrr    a0, instret
    .rept   100
    c.li    t0, 1
    .endr
    csrr    a1, instret
    end     count_compressed

    begin   count_loop
    csrr    a0, instret
    li      t0, 100
1:  addi    t0, t0, -1
    bnez    t0, 1b
    csrr    a1, instret
    end     count_loop

    begin   count_memory
    csrr    a0, instret
    .rept   50
    sw      zero, -4(sp)
    lw      t0, -4(sp)
    .endr
    csrr    a1, instret
    end     count_memory

/* uintptr_t read_below(level, code): code keeps to a0, so the return address can wait in mscratch. */
    begin   read_below
    csrw    mscratch, ra
    la      t0, come_back
    csrw    mtvec, t0
    slli    a0, a0, 11
    li      t0, 0x1800
    csrc    mstatus, t0
    csrs    mstatus, a0
    csrw    mepc, a1
    mret
    .balign 4
come_back:
    csrr    ra, mscratch
    csrr    a0, mcause
    end     read_below

    .macro reader name, counter
    begin   \name
    csrr    a0, \counter
    ecall
    end     \name
    .endm

    reader  code_reads_cycle, cycle
    reader  code_reads_time, time
    reader  code_reads_instret, instret
