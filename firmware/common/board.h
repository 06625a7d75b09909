/* The board as the guest sees it: QEMU `virt` addresses of the devices the images use. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

#define FINISHER_BASE 0x100000UL
#define RTC_BASE 0x101000UL
#define CLINT_BASE 0x2000000UL
#define PLIC_BASE 0xc000000UL
#define UART_BASE 0x10000000UL

/* Sources of the PLIC. */
#define UART_IRQ 10
#define RTC_IRQ 11

/* In the gap between fw_cfg and the flash: no device, no memory, here or on QEMU. */
#define UNMAPPED_ADDRESS 0x1f000000UL

#define TIMEBASE_HZ 10000000UL

/* The 16550's registers are bytes, next to each other. */
#define UART_RBR 0
#define UART_THR 0
#define UART_IER 1
#define UART_IIR 2
#define UART_FCR 2
#define UART_LSR 5

#define UART_IER_RDI 0x01
#define UART_IER_THRI 0x02
#define UART_IIR_NONE 0x01
#define UART_IIR_ID 0x0f
#define UART_FCR_ENABLE 0x01
#define UART_FCR_RESET_BOTH 0x06
#define UART_LSR_DR 0x01
#define UART_LSR_OE 0x02
#define UART_LSR_THRE 0x20
#define UART_FIFO_SIZE 16

#define CLINT_MSIP 0x0
#define CLINT_MTIMECMP 0x4000
#define CLINT_MTIME 0xbff8

#define FINISHER_PASS 0x5555
#define FINISHER_FAIL 0x3333

static inline volatile uint8_t *mmio8(uintptr_t address)
{
    return (volatile uint8_t *)address;
}

static inline volatile uint32_t *mmio32(uintptr_t address)
{
    return (volatile uint32_t *)address;
}

/* Tells the host that the run succeeded; it exits with code 0. */
_Noreturn void board_pass(void);

/* Tells the host that the run failed; it exits with `code` (1..0xffff). */
_Noreturn void board_fail(unsigned code);

/* Raises or clears the software interrupt of hart 0. */
void clint_set_msip(int level);

/* Time in ticks of TIMEBASE_HZ. */
uint64_t clint_mtime(void);

/* Arms the timer interrupt: pending from `deadline` (in ticks) on. */
void clint_set_mtimecmp(uint64_t deadline);

/* A deadline that never comes. */
#define CLINT_NEVER UINT64_MAX

#endif
