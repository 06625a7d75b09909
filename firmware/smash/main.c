/* Surveys tanks, with a planted bug: the name of one tank does not fit into its title. What that overwrites is used about
 * a million instructions later, and then the hart is nowhere: it traps, and waits for ever. A debugger that goes back
 * finds the culprit.
 *
 * With more than one hart, hart 1 writes the titles, into the stack of hart 0.
 */

#include <stdint.h>

#include "../harts/harts.h"
#include "print.h"

#define SAMPLES 70000
#define LEVELS 1000

struct tank {
    const char *name;
    uint32_t seed;  /* of its noise, not 0 */
};

struct survey {
    uint32_t samples, lowest, highest, sum;
    char title[16];
};

static const struct tank tanks[] = {
    {"north tank", 2463534242},
    {"south tank", 88675123},
    {"rain water tank behind the boiler house (south)", 521288629},
    {"east tank", 362436069},
};

#define TANKS (sizeof tanks / sizeof tanks[0])

static uint32_t surveys_done;

/* What hart 1 is asked to do; no survey if there is nothing. */
static struct {
    struct survey *volatile survey;
    const struct tank *tank;
} request;

static volatile struct {
    uintptr_t cause, pc, value;
} last_trap;

/* No trap is expected. Whoever debugs this finds the hart here. */
static __attribute__((noinline, aligned(4))) _Noreturn void on_trap(void)
{
    last_trap.cause = csr_read(mcause);
    last_trap.pc = csr_read(mepc);
    last_trap.value = csr_read(mtval);
    csr_write(mie, 0);
    for (;;)
        wait_for_interrupt();
}

/* The bug: the name may be longer than the title. Not optimized, so that a debugger knows all variables everywhere. */
static __attribute__((noinline, optnone)) void set_title(struct survey *survey, const char *name)
{
    unsigned at = 0;
    do
        survey->title[at] = name[at];
    while (name[at++]);
}

/* What hart 1 does all the time. */
static _Noreturn void write_titles(void)
{
    for (;;) {
        while (!request.survey)
            ipi_await();
        set_title(request.survey, request.tank->name);
        request.survey = 0;
        ipi_send(0);
    }
}

static void ask_for_title(struct survey *survey, const struct tank *tank)
{
    request.tank = tank;
    request.survey = survey;
    ipi_send(1);
    while (request.survey)
        ipi_await();
}

static uint32_t next_level(uint32_t *noise)
{
    *noise ^= *noise << 13;
    *noise ^= *noise >> 17;
    *noise ^= *noise << 5;
    return *noise % LEVELS;
}

static __attribute__((noinline)) void measure(struct survey *survey, uint32_t noise)
{
    survey->lowest = LEVELS;
    for (survey->samples = 0; survey->samples < SAMPLES; survey->samples++) {
        uint32_t level = next_level(&noise);
        survey->sum += level;
        if (level < survey->lowest)
            survey->lowest = level;
        if (level > survey->highest)
            survey->highest = level;
    }
}

static __attribute__((noinline)) void survey_tank(const struct tank *tank)
{
    struct survey survey = {0};
    if (harts == 1)
        set_title(&survey, tank->name);
    else
        ask_for_title(&survey, tank);
    measure(&survey, tank->seed);
    print("%s: %u to %u, mean %u\n", survey.title, survey.lowest, survey.highest, survey.sum / survey.samples);
    surveys_done++;
}

static void survey_all(void)
{
    print("smash: rv%d, harts: %u\n", __riscv_xlen, harts);
    for (unsigned i = 0; i < TANKS; i++)
        survey_tank(&tanks[i]);
    print("all %u tanks surveyed\n", surveys_done);
}

void hart_main(unsigned hart)
{
    csr_write(mtvec, (uintptr_t)on_trap | TVEC_DIRECT);
    if (hart == 0)
        survey_all();
    else if (hart == 1)
        write_titles();
}
