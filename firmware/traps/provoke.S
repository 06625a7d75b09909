/* The trials. What is meant to trap is the first instruction, so that its address is that of the trial. */

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

/* One instruction, not compressed, then return. */
    .macro single name, instruction:vararg
    begin   \name
    .option push
    .option norvc
    \instruction
    .option pop
    end     \name
    .endm

/* One compressed instruction, then return. */
    .macro single_compressed name, instruction:vararg
    begin   \name
    \instruction
    end     \name
    .endm

    begin   do_nothing
    end     do_nothing

    /* Memory: the address is in a0. Stores write the low bits of the address. */
    single              load_byte, lbu a0, 0(a0)
    single              load_half, lhu a0, 0(a0)
    single              load_word, lw a0, 0(a0)
    single_compressed   load_word_compressed, c.lw a0, 0(a0)
    single              store_half, sh a0, 0(a0)
    single              store_word, sw a0, 0(a0)
    single_compressed   store_word_compressed, c.sw a0, 0(a0)
    single              load_reserved, lr.w a0, (a0)
    single              amo_add, amoadd.w a0, a0, (a0)
#if __riscv_xlen == 64
    single              load_double, ld a0, 0(a0)
    single              store_double, sd a0, 0(a0)
#endif

    /* Control flow */
    single              jump, jr a0
    single              spin, j .
    single              environment_call, ecall
    single              breakpoint, ebreak
    single_compressed   breakpoint_compressed, c.ebreak
    single              illegal, .word 0xffffffff
    single_compressed   illegal_compressed, .half 0

    /* Privileged instructions */
    single              wait_for_interrupt, wfi
    single              do_mret, mret
    single              do_sret, sret
    single              do_sfence_vma, sfence.vma

    /* Registers */
    single              read_mstatus, csrr a0, mstatus
    single              read_sstatus, csrr a0, sstatus
    single              read_satp, csrr a0, satp
    single              write_satp, csrw satp, a0
    single              read_cycle, csrr a0, cycle
    single              read_time, csrr a0, time
    single              read_instret, csrr a0, instret
    single              write_cycle, csrw 0xc00, a0
    single              read_missing, csrr a0, 0x8ff
    single              move_to_float, fmv.w.x ft0, a0

    /* Clears SPP, so that sret goes to U-mode, to the address in a0; with SPP set, to S-mode. */
    begin   sret_to_u
    csrw    sepc, a0
    li      t0, 0x100
    csrc    sstatus, t0
    sret
    end     sret_to_u

    begin   sret_to_s
    csrw    sepc, a0
    li      t0, 0x100
    csrs    sstatus, t0
    sret
    end     sret_to_s

    /* A load by M-mode with the privilege of U-mode, which mret left in MPP. */
    begin   load_as_user
    li      t0, 0x20000
    csrs    mstatus, t0
    .globl load_as_user_access
load_as_user_access:
    lw      a0, 0(a0)
    csrc    mstatus, t0
    end     load_as_user

    /* Sleeps with interrupts disabled in mstatus; returns with mip. */
    begin   sleep_in_m
    wfi
    csrr    a0, mip
    end     sleep_in_m

    begin   sleep_in_s
    wfi
    csrr    a0, sip
    end     sleep_in_s
