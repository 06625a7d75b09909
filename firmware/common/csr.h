/* Control and status registers: access macros and the fields the images use. */
#ifndef CSR_H
#define CSR_H

#include <stdint.h>

/* `csr` is a name the assembler knows, or a number. All of these are barriers for the compiler. */
#define csr_read(csr) \
    ({ \
        uintptr_t value_; \
        __asm__ volatile("csrr %0, " #csr : "=r"(value_)::"memory"); \
        value_; \
    })
#define csr_write(csr, value) __asm__ volatile("csrw " #csr ", %0" ::"rK"((uintptr_t)(value)) : "memory")
#define csr_set(csr, bits) __asm__ volatile("csrs " #csr ", %0" ::"rK"((uintptr_t)(bits)) : "memory")
#define csr_clear(csr, bits) __asm__ volatile("csrc " #csr ", %0" ::"rK"((uintptr_t)(bits)) : "memory")

#define MSTATUS_SIE 0x2UL
#define MSTATUS_MIE 0x8UL
#define MSTATUS_SPIE 0x20UL
#define MSTATUS_MPIE 0x80UL
#define MSTATUS_SPP 0x100UL
#define MSTATUS_MPP 0x1800UL
#define MSTATUS_MPP_SHIFT 11
#define MSTATUS_FS 0x6000UL
#define MSTATUS_FS_INITIAL 0x2000UL
#define MSTATUS_MPRV 0x20000UL
#define MSTATUS_SUM 0x40000UL
#define MSTATUS_MXR 0x80000UL
#define MSTATUS_TVM 0x100000UL
#define MSTATUS_TW 0x200000UL
#define MSTATUS_TSR 0x400000UL

#define COUNTEREN_CY 0x1UL
#define COUNTEREN_TM 0x2UL
#define COUNTEREN_IR 0x4UL

#define TVEC_DIRECT 0UL
#define TVEC_VECTORED 1UL

/* Exceptions */
#define CAUSE_FETCH_ACCESS 1UL
#define CAUSE_ILLEGAL 2UL
#define CAUSE_BREAKPOINT 3UL
#define CAUSE_LOAD_MISALIGNED 4UL
#define CAUSE_LOAD_ACCESS 5UL
#define CAUSE_STORE_MISALIGNED 6UL
#define CAUSE_STORE_ACCESS 7UL
#define CAUSE_ECALL_U 8UL
#define CAUSE_ECALL_S 9UL
#define CAUSE_ECALL_M 11UL
#define CAUSE_FETCH_PAGE 12UL
#define CAUSE_LOAD_PAGE 13UL
#define CAUSE_STORE_PAGE 15UL

/* Interrupts, also the bit numbers of mip, mie and mideleg */
#define IRQ_SSI 1UL
#define IRQ_MSI 3UL
#define IRQ_STI 5UL
#define IRQ_MTI 7UL
#define IRQ_SEI 9UL
#define IRQ_MEI 11UL
#define CAUSE_INTERRUPT (1UL << (__riscv_xlen - 1))

#define PMP_R 0x1UL
#define PMP_W 0x2UL
#define PMP_X 0x4UL
#define PMP_NA4 0x10UL
#define PMP_NAPOT 0x18UL
#define PMP_LOCKED 0x80UL

#endif
