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

    begin   do_nothing
    end     do_nothing

    single  jump, jr a0
    single  environment_call, ecall

    /* The address is in a0, what is stored or added in a2. */
    single  load_byte, lbu a0, 0(a0)
    single  load_half, lhu a0, 0(a0)
    single  load_word, lw a0, 0(a0)
    single  store_byte, sb a2, 0(a0)
    single  store_half, sh a2, 0(a0)
    single  store_word, sw a2, 0(a0)
    single  load_reserved, lr.w a0, (a0)
    single  amo_add, amoadd.w a0, a2, (a0)
#if __riscv_xlen == 64
    single  load_double, ld a0, 0(a0)
    single  store_double, sd a2, 0(a0)
    single  load_register, ld a0, 0(a0)
    single  store_register, sd a2, 0(a0)
#else
    single  load_register, lw a0, 0(a0)
    single  store_register, sw a2, 0(a0)
#endif

    /* Returns 0 if the store was done. */
    begin   reserve_and_store
    lr.w    t0, (a0)
    .globl reserve_and_store_second
reserve_and_store_second:
    sc.w    a0, a2, (a0)
    end     reserve_and_store

    begin   store_entry_and_fence
#if __riscv_xlen == 64
    sd      a2, 0(a0)
#else
    sw      a2, 0(a0)
#endif
    .globl store_entry_and_fence_fence
store_entry_and_fence_fence:
    sfence.vma
    .globl store_entry_and_fence_after
store_entry_and_fence_after:
    li      a0, 7
    end     store_entry_and_fence
    .globl store_entry_and_fence_end
store_entry_and_fence_end:
