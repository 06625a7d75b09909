#include "console.h"

#include "../echo/ring.h"
#include "board.h"
#include "csr.h"
#include "print.h"

#define BACKSPACE '\b'
#define DELETE 0x7f

char line[LINE_SIZE];
struct config cfg;

static struct ring received;
uint32_t rx_count, rx_lost;

void console_receive(void)
{
    while (*mmio8(UART_BASE + UART_LSR) & UART_LSR_DR) {
        char c = (char)*mmio8(UART_BASE + UART_RBR);
        rx_count++;
        if (ring_is_full(&received))
            rx_lost++;
        else
            ring_put(&received, c);
    }
}

/* Takes what came before: switching the FIFO on clears it. */
void console_start(void)
{
    console_receive();
    *mmio8(UART_BASE + UART_FCR) = UART_FCR_ENABLE;
    *mmio8(UART_BASE + UART_IER) = UART_IER_RDI;
}

/* Interrupts are off between test and WFI, or one in between would be slept through; WFI wakes up all the same. */
static char next_char(void)
{
    csr_clear(mstatus, MSTATUS_MIE);
    while (ring_is_empty(&received)) {
        __asm__ volatile("wfi");
        csr_set(mstatus, MSTATUS_MIE);
        csr_clear(mstatus, MSTATUS_MIE);
    }
    char c = ring_take(&received);
    csr_set(mstatus, MSTATUS_MIE);
    return c;
}

/* The planted bug: a line of LINE_SIZE characters fits, but not the zero at its end. That goes to the setting that
 * happens to be next in memory. */
static __attribute__((noinline)) void end_line(unsigned length)
{
    line[length] = '\0';
}

static void erase(unsigned *length)
{
    if (*length) {
        --*length;
        print("\b \b");
    }
}

char *console_line(void)
{
    unsigned length = 0;
    for (;;) {
        char c = next_char();
        if (c == '\r' || c == '\n')
            break;
        if (c == BACKSPACE || c == DELETE)
            erase(&length);
        else if (length < LINE_SIZE) {
            line[length++] = c;
            print("%c", c);
        }
    }
    end_line(length);
    print("\n");
    return line;
}
