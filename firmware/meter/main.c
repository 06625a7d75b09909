/* A water meter: adds up forty pulses, and what it had counted before it lost power. Made for comparing two runs of it.
 *
 * Each pulse is a digit that is typed; where nothing was typed it is one of its own. Three places make two runs part: the
 * instruction at `calibration`, for a host to change in the image; what is typed, in `take_pulse`; and `kept_litres`,
 * which reads memory that nobody has written: a host may load something there.
 */

#include <stdint.h>

#include "board.h"
#include "print.h"

#define PULSES 40
#define FILTER_ROUNDS 2000

/* Memory that keeps what it has while there is a battery. Nobody looks whether there was one. */
#define KEPT_BASE 0x80200000UL

struct kept {
    uint32_t magic;
    uint32_t litres;
};

static const char own_pulses[] = "3141592653";

static uint32_t kept_litres(void)
{
    return ((volatile struct kept *)KEPT_BASE)->litres;
}

__attribute__((noinline)) static uint32_t take_pulse(unsigned number)
{
    if (*mmio8(UART_BASE + UART_LSR) & UART_LSR_DR)
        return *mmio8(UART_BASE + UART_RBR) - '0';
    return (uint32_t)own_pulses[number % (sizeof own_pulses - 1)] - '0';
}

/* A pulse is three litres, and one that gets lost. */
__attribute__((noinline)) static uint32_t to_litres(uint32_t pulse)
{
    uint32_t litres = 3 * pulse;
    __asm__(".option push\n.option norvc\n.globl calibration\n"
            "calibration: addi %0, %0, 1\n"
            ".option pop" : "+r"(litres));
    return litres;
}

/* Takes its time, as a filter of an analogue input would. */
static uint32_t filter(uint32_t litres)
{
    for (unsigned round = 0; round < FILTER_ROUNDS; round++)
        __asm__ volatile("" : "+r"(litres));
    return litres;
}

int main(void)
{
    uint32_t litres = 0;
    for (unsigned number = 0; number < PULSES; number++)
        litres += filter(to_litres(take_pulse(number)));
    print("meter: %u litres\n", litres);
    litres += kept_litres();
    print("meter: %u litres in all\n", litres);
    board_pass();
}
