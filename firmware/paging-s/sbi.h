/* The supervisor binary interface: what the firmware in M-mode does for S-mode. */
#ifndef SBI_H
#define SBI_H

#include <stdint.h>

#define SBI_LEGACY_PUTCHAR 1
#define SBI_EXTENSION_RESET 0x53525354
#define SBI_RESET_SHUTDOWN 0
#define SBI_REASON_NONE 0
#define SBI_REASON_FAILURE 1

/* Calls `function` of `extension`; what a legacy call returns is nothing of interest here. */
static inline void sbi_call(uintptr_t extension, uintptr_t function, uintptr_t first, uintptr_t second)
{
    register uintptr_t a0 __asm__("a0") = first;
    register uintptr_t a1 __asm__("a1") = second;
    register uintptr_t a6 __asm__("a6") = function;
    register uintptr_t a7 __asm__("a7") = extension;
    __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a6), "r"(a7) : "memory");
}

#endif
