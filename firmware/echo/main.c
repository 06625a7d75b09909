/* Echoes what is typed, in upper case, until a full stop or Ctrl-D.
 *
 * The UART interrupts through the PLIC for every byte that comes in and whenever it can take more to send; between
 * interrupts the hart sleeps.
 */

#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "csr.h"
#include "plic.h"
#include "print.h"
#include "ring.h"

#define CTRL_D 0x04

/* What the 16550 wants, most urgent first: the low bits of IIR. */
#define WANTS_LINE_STATUS 0x06
#define WANTS_READ 0x04
#define WANTS_READ_TIMEOUT 0x0c
#define WANTS_WRITE 0x02

/* Only the handler writes these once interrupts are on. */
static struct ring output;
static volatile bool ended;
static uint32_t bytes_echoed, overruns;
static uint32_t read_interrupts, write_interrupts;

static uint8_t uart_read(unsigned offset)
{
    return *mmio8(UART_BASE + offset);
}

static void uart_write(unsigned offset, uint8_t value)
{
    *mmio8(UART_BASE + offset) = value;
}

/* Reading LSR clears its error bits, so every read must look at them. */
static uint8_t line_status(void)
{
    uint8_t status = uart_read(UART_LSR);
    if (status & UART_LSR_OE)
        overruns++;
    return status;
}

/* A full ring stops reading until there is room again; an empty one has nothing to be told about. */
static void choose_interrupts(void)
{
    uint8_t enable = 0;
    if (!ring_is_full(&output) && !ended)
        enable |= UART_IER_RDI;
    if (!ring_is_empty(&output))
        enable |= UART_IER_THRI;
    uart_write(UART_IER, enable);
}

static char upper_case(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static void take_byte(char c)
{
    if (c == '.' || c == CTRL_D) {
        ended = true;
        return;
    }
    ring_put(&output, upper_case(c));
    bytes_echoed++;
}

static void read_bytes(void)
{
    read_interrupts++;
    while (!ended && !ring_is_full(&output) && line_status() & UART_LSR_DR)
        take_byte((char)uart_read(UART_RBR));
}

/* THRE says that the whole FIFO is empty. */
static void write_bytes(void)
{
    write_interrupts++;
    for (unsigned room = UART_FIFO_SIZE; room && !ring_is_empty(&output); room--)
        uart_write(UART_THR, (uint8_t)ring_take(&output));
}

/* Serves all reasons there are: the PLIC need not see the line rise again while it stays up. */
static void on_uart(void)
{
    uint8_t reason;
    while (!((reason = uart_read(UART_IIR)) & UART_IIR_NONE)) {
        switch (reason & UART_IIR_ID) {
        case WANTS_LINE_STATUS: line_status(); break;
        case WANTS_READ:
        case WANTS_READ_TIMEOUT: read_bytes(); break;
        case WANTS_WRITE: write_bytes(); break;
        default: board_fail(0x200 | reason);
        }
        choose_interrupts();
    }
}

/* The UART is the only source; any other trap is a bug, and the host sees its cause as the exit code. */
__attribute__((interrupt("machine"), aligned(4))) static void on_trap(void)
{
    uintptr_t cause = csr_read(mcause);
    if (cause != (CAUSE_INTERRUPT | IRQ_MEI))
        board_fail(0x100 | (uint8_t)cause);

    unsigned irq = plic_claim();
    if (irq == UART_IRQ)
        on_uart();
    plic_complete(irq);
}

/* Takes what came before: switching the FIFO on clears it. Its trigger level stays at 1, an interrupt for each byte. */
static void start_fifo(void)
{
    while (!ended && line_status() & UART_LSR_DR)
        take_byte((char)uart_read(UART_RBR));
    uart_write(UART_FCR, UART_FCR_ENABLE);
}

static void start_interrupts(void)
{
    csr_write(mtvec, (uintptr_t)on_trap | TVEC_DIRECT);
    plic_enable(UART_IRQ);
    choose_interrupts();
    csr_set(mie, 1UL << IRQ_MEI);
}

static bool all_is_sent(void)
{
    return ended && ring_is_empty(&output);
}

/* Interrupts are off between test and WFI, or one in between would be slept through; WFI wakes up all the same. */
static void sleep_until_all_is_sent(void)
{
    while (!all_is_sent()) {
        __asm__ volatile("wfi");
        csr_set(mstatus, MSTATUS_MIE);
        csr_clear(mstatus, MSTATUS_MIE);
    }
}

int main(void)
{
    start_fifo();
    print("echo: type, end with a full stop\n");
    start_interrupts();
    sleep_until_all_is_sent();
    csr_clear(mie, 1UL << IRQ_MEI);

    print("\n%u bytes\n", (unsigned)bytes_echoed);
    print("t: %u read interrupts, %u write interrupts\n", (unsigned)read_interrupts, (unsigned)write_interrupts);
    if (overruns) {
        print("FAIL %u overruns\n", (unsigned)overruns);
        board_fail(1);
    }
    return 0;
}
