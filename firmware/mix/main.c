/* Work of several kinds, to measure machines with: memory, floating point, output, device interrupts. */

#include <stdint.h>

#include "print.h"
#include "work.h"

/* A host may patch these, to 0 too; the checksums change with them. */
volatile uint32_t memory_rounds = 1;
volatile uint32_t float_rounds = 50;
volatile uint32_t line_rounds = 5;
volatile uint32_t interrupt_rounds = 10;

struct part {
    const char *name;
    volatile uint32_t *rounds;
    uint32_t (*work)(uint32_t rounds);
};

static const struct part parts[] = {
    {"memory", &memory_rounds, work_memory},
    {"floats", &float_rounds, work_floats},
    {"lines", &line_rounds, work_lines},
    {"interrupts", &interrupt_rounds, work_interrupts},
};

int main(void)
{
    for (unsigned i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        uint32_t rounds = *parts[i].rounds;
        if (rounds)
            print("%s: %u rounds, checksum %x\n", parts[i].name, (unsigned)rounds, (unsigned)parts[i].work(rounds));
    }
    return 0;
}
