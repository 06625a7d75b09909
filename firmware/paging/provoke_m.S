/* Trials that only make sense with M-mode at home. */

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

    .macro single name, instruction:vararg
    begin   \name
    .option push
    .option norvc
    \instruction
    .option pop
    end     \name
    .endm

    single  breakpoint, ebreak
    single  wait_for_interrupt, wfi
    single  do_sret, sret
    single  read_satp, csrr a0, satp
    single  write_satp, csrw satp, a0
    single  fence_all, sfence.vma
    single  fence_one_address, sfence.vma a0
    single  fence_one_asid, sfence.vma zero, a0

    /* One access by M-mode with the bits of a2 set in mstatus: MPRV, and what goes with it. */
    .macro modified name, instruction:vararg
    begin   \name
    csrs    mstatus, a2
    .globl \name\()_access
\name\()_access:
    \instruction
    csrc    mstatus, a2
    end     \name
    .endm

    .option push
    .option norvc
    modified modified_load, lw a0, 0(a0)
    modified modified_store, sw a0, 0(a0)
    modified modified_amo, amoswap.w a0, a0, (a0)
    .option pop

    /* Clears SPP, so that sret goes to U-mode, to the address in a0. */
    begin   sret_to_u
    csrw    sepc, a0
    li      t0, 0x100
    csrc    sstatus, t0
    sret
    end     sret_to_u
