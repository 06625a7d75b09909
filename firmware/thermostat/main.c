/* A thermostat with a command line on its UART: a small product, to show how one is tested (tests/support/product).
 *
 * Every 10 ms the timer measures the room and switches the heater; bytes come by interrupt, and main carries out one
 * line after the other. There is a planted bug in `console.c`: one test of the product's finds it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "console.h"
#include "csr.h"
#include "plic.h"
#include "print.h"
#include "room.h"
#include "text.h"

#define TICK (TIMEBASE_HZ / 100)

volatile uint32_t ticks;

/* ---- interrupts */

static void on_timer(void)
{
    ticks++;
    clint_set_mtimecmp((ticks + 1) * TICK);
    room_tick(&cfg, ticks * 10);
}

static void on_external(void)
{
    unsigned irq = plic_claim();
    if (irq == UART_IRQ)
        console_receive();
    plic_complete(irq);
}

/* Whoever looks at a crash finds the hart here, with the registers' values in mepc, mcause and mtval. */
static __attribute__((noinline)) _Noreturn void on_fault(void)
{
    uintptr_t cause = csr_read(mcause);
    print("\nfault %u at 0x%lx, value 0x%lx\n", (unsigned)cause, (unsigned long)csr_read(mepc),
          (unsigned long)csr_read(mtval));
    board_fail(100 + (unsigned)cause);
}

static __attribute__((interrupt("machine"), aligned(4))) void on_trap(void)
{
    switch (csr_read(mcause)) {
    case CAUSE_INTERRUPT | IRQ_MTI: on_timer(); break;
    case CAUSE_INTERRUPT | IRQ_MEI: on_external(); break;
    default: on_fault();
    }
}

static void start_interrupts(void)
{
    csr_write(mtvec, (uintptr_t)on_trap | TVEC_DIRECT);
    clint_set_mtimecmp(TICK);
    plic_enable(UART_IRQ);
    csr_set(mie, 1UL << IRQ_MTI | 1UL << IRQ_MEI);
    csr_set(mstatus, MSTATUS_MIE);
}

/* ---- commands */

static void say_help(void)
{
    print("help  get NAME  set NAME VALUE  temp  log  uptime  reset  crash  halt\n");
    print("names: mode (0 off, 1 automatic, 2 on), target and band (tenths of a degree)\n");
}

static uint32_t *setting(const char *name)
{
    if (text_equals(name, "mode"))
        return &cfg.mode;
    if (text_equals(name, "target"))
        return &cfg.target;
    return text_equals(name, "band") ? &cfg.band : 0;
}

static void get(const char *name)
{
    const uint32_t *value = setting(name);
    if (value)
        print("%s = %u\n", name, (unsigned)*value);
    else
        print("no setting '%s'\n", name);
}

static void set(const char *name, const char *text)
{
    uint32_t *value = setting(name), number;
    if (!value)
        print("no setting '%s'\n", name);
    else if (!text_number(text, &number) || (value == &cfg.mode && number > MODE_ON))
        print("no value '%s' for %s\n", text, name);
    else
        *value = number;
}

static void say_temperature(void)
{
    uint32_t now = room.temperature;
    print("%u.%u C, heater %s\n", (unsigned)(now / 10), (unsigned)(now % 10), room.is_heating ? "on" : "off");
}

static void say_log(void)
{
    uint32_t switches = room.switches;
    for (uint32_t i = switches > LOG_SIZE ? switches - LOG_SIZE : 0; i < switches; i++) {
        struct entry entry = room.log[i % LOG_SIZE];
        print("%u ms: %s at %u\n", (unsigned)entry.ms, entry.is_heating ? "on" : "off", (unsigned)entry.temperature);
    }
}

/* Nothing is there: an access fault. */
static __attribute__((noinline)) void crash(void)
{
    *mmio32(UNMAPPED_ADDRESS) = 1;
}

static void carry_out(char *line)
{
    const char *command = text_word(&line), *name = text_word(&line), *value = text_word(&line);
    if (text_equals(command, "help"))
        say_help();
    else if (text_equals(command, "get"))
        get(name);
    else if (text_equals(command, "set"))
        set(name, value);
    else if (text_equals(command, "temp"))
        say_temperature();
    else if (text_equals(command, "log"))
        say_log();
    else if (text_equals(command, "uptime"))
        print("%u ms\n", (unsigned)(ticks * 10));
    else if (text_equals(command, "reset"))
        cfg = defaults;
    else if (text_equals(command, "crash"))
        crash();
    else if (text_equals(command, "halt"))
        board_pass();
    else if (*command)
        print("'%s'? try help\n", command);
}

int main(void)
{
    cfg = defaults;
    room_start();
    console_start();
    start_interrupts();
    print("thermostat, rv%d\n", __riscv_xlen);
    for (;;) {
        print("> ");
        carry_out(console_line());
    }
}
