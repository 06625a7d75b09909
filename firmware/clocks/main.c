/* Every clock and counter a guest can read, how they relate, and who may read them.
 *
 * Lines that start with `t:` hold values that depend on the machine: on this board, where every instruction counts
 * one, those of the instruction counts are exact; on QEMU they are host time.
 */

#include <stdbool.h>

#include "board.h"
#include "counters.h"
#include "csr.h"
#include "print.h"

#define ALL_COUNTERS (COUNTEREN_CY | COUNTEREN_TM | COUNTEREN_IR)

static unsigned failures;

static void check(const char *name, bool good)
{
    print("%s %s\n", good ? "ok" : "FAIL", name);
    failures += !good;
}

struct clock {
    const char *name;
    const char *monotonic;  /* name of that check */
    uint64_t (*read)(void);
};

static uint64_t get_cycle(void) { return read_counter(cycle); }
static uint64_t get_time(void) { return read_counter(time); }
static uint64_t get_instret(void) { return read_counter(instret); }
static uint64_t get_mcycle(void) { return read_counter(mcycle); }
static uint64_t get_minstret(void) { return read_counter(minstret); }

static const struct clock clocks[] = {
    {"cycle", "cycle never goes back", get_cycle},
    {"time", "time never goes back", get_time},
    {"instret", "instret never goes back", get_instret},
    {"mcycle", "mcycle never goes back", get_mcycle},
    {"minstret", "minstret never goes back", get_minstret},
    {"mtime", "mtime never goes back", clint_mtime},
};

#define CLOCKS (sizeof clocks / sizeof clocks[0])

static void show_values(void)
{
    for (unsigned i = 0; i < CLOCKS; i++)
        print("t: %s %llu\n", clocks[i].name, (unsigned long long)clocks[i].read());
}

static void show_halves(void)
{
#if __riscv_xlen == 32
    print("t: cycleh %lu timeh %lu instreth %lu\n", (unsigned long)csr_read(cycleh), (unsigned long)csr_read(timeh),
          (unsigned long)csr_read(instreth));
    print("t: mcycleh %lu minstreth %lu\n", (unsigned long)csr_read(mcycleh), (unsigned long)csr_read(minstreth));
#endif
}

static bool is_monotonic(const struct clock *clock)
{
    uint64_t last = clock->read();
    for (int i = 0; i < 1000; i++) {
        uint64_t now = clock->read();
        if (now < last)
            return false;
        last = now;
    }
    return true;
}

static void check_monotonic(void)
{
    for (unsigned i = 0; i < CLOCKS; i++)
        check(clocks[i].monotonic, is_monotonic(&clocks[i]));
}

/* Two names of one clock: a reading of the one lies between two of the other. */
static void check_same(const char *name, uint64_t (*outer)(void), uint64_t (*inner)(void))
{
    uint64_t before = outer();
    uint64_t between = inner();
    uint64_t after = outer();
    check(name, before <= between && between <= after);
}

static void check_shadows(void)
{
    check_same("cycle is mcycle", get_mcycle, get_cycle);
    check_same("instret is minstret", get_minstret, get_instret);
    check_same("time is mtime", clint_mtime, get_time);
}

static void check_progress(void)
{
    uint64_t start = clint_mtime();
    uint64_t instret_start = get_instret();
    while (clint_mtime() - start < TIMEBASE_HZ / 1000)
        ;
    check("instret advances within a millisecond", get_instret() > instret_start);
    print("t: instructions in a millisecond %llu\n", (unsigned long long)(get_instret() - instret_start));
}

/* The write replaces the increment of the writing instruction, and a read sees what came before it: a counter of
 * instructions reads back as written. */
static void show_write(const char *name, struct count_pair pair)
{
    print("t: %s written %llu read %llu\n", name, (unsigned long long)pair.before, (unsigned long long)pair.after);
}

static void show_writes(void)
{
    show_write("mcycle", write_mcycle(0x12345678));
    show_write("minstret", write_minstret(0x12345678));
    /* The carry into the upper half: one instruction later it has happened. */
    show_write("minstret", write_minstret(0xffffffff));
    print("t: minstret after the carry %llu\n", (unsigned long long)get_minstret());
}

static void show_count(const char *name, uintptr_t expected, struct count_pair pair)
{
    print("t: instret over %s: expected %lu counted %lu\n", name, (unsigned long)expected,
          (unsigned long)(pair.after - pair.before));
}

static void show_counts(void)
{
    show_count("nothing", 1, count_nothing());
    show_count("100 instructions", 101, count_straight_line());
    show_count("100 compressed instructions", 101, count_compressed());
    show_count("a loop of 100 rounds", 202, count_loop());
    show_count("100 loads and stores", 101, count_memory());
}

static void check_enable(const char *name, uintptr_t for_s, uintptr_t for_u, enum level level, bool allowed)
{
    csr_write(mcounteren, for_s);
    csr_write(scounteren, for_u);
    uintptr_t call = level == LEVEL_S ? CAUSE_ECALL_S : CAUSE_ECALL_U;
    uintptr_t want = allowed ? call : CAUSE_ILLEGAL;
    bool good = read_below(level, code_reads_cycle) == want && read_below(level, code_reads_time) == want &&
                read_below(level, code_reads_instret) == want;
    check(name, good);
}

static void check_enables(void)
{
    csr_write(pmpaddr0, UINTPTR_MAX);
    csr_write(pmpcfg0, PMP_NAPOT | PMP_R | PMP_W | PMP_X);
    check_enable("S-mode reads no counter that mcounteren disables", 0, ALL_COUNTERS, LEVEL_S, false);
    check_enable("S-mode reads counters that mcounteren enables", ALL_COUNTERS, 0, LEVEL_S, true);
    check_enable("U-mode reads no counter that mcounteren disables", 0, ALL_COUNTERS, LEVEL_U, false);
    check_enable("U-mode reads no counter that scounteren disables", ALL_COUNTERS, 0, LEVEL_U, false);
    check_enable("U-mode reads counters that both enable", ALL_COUNTERS, ALL_COUNTERS, LEVEL_U, true);
}

int main(void)
{
    show_values();
    show_halves();
    check_monotonic();
    check_shadows();
    check_progress();
    check_enables();
    show_counts();
    show_writes();
    if (failures)
        board_fail(failures);
    print("clocks: all ok\n");
    return 0;
}
