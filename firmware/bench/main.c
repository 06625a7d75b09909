/* Fixed integer work over a few hundred KB: about 1 G instructions on rv64. Both widths give the same checksums.
 *
 * Lines that start with `t:` depend on the machine.
 */

#include <stdint.h>

#include "board.h"
#include "csr.h"
#include "print.h"

/* Rounds of every phase. A host may patch it to shorten the run; the checksums change with it. */
volatile uint32_t bench_rounds = 16;

#define SORT_ITEMS 65536
#define TABLE_SLOTS 65536
#define TABLE_KEYS (TABLE_SLOTS / 2)
#define TABLE_LOOKUPS 1000000
#define MATRIX_SIZE 128

/* The phases take turns: one working set is all of RAM this image needs. */
static union {
    uint32_t items[SORT_ITEMS];
    uint32_t table[TABLE_SLOTS];
    uint32_t matrices[3][MATRIX_SIZE][MATRIX_SIZE];
} work;

/* Marsaglia's xorshift32: never zero. */
static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* One step of FNV-1a, a word at a time. */
static uint32_t mix(uint32_t checksum, uint32_t word)
{
    return (checksum ^ word) * 16777619;
}

/* Restores the heap property of items[0..count) below `root`. */
static void sift_down(uint32_t *items, uint32_t root, uint32_t count)
{
    uint32_t item = items[root];
    for (;;) {
        uint32_t child = 2 * root + 1;
        if (child >= count)
            break;
        if (child + 1 < count && items[child] < items[child + 1])
            child++;
        if (item >= items[child])
            break;
        items[root] = items[child];
        root = child;
    }
    items[root] = item;
}

static void heap_sort(uint32_t *items, uint32_t count)
{
    for (uint32_t root = count / 2; root-- > 0;)
        sift_down(items, root, count);
    while (--count > 0) {
        uint32_t largest = items[0];
        items[0] = items[count];
        items[count] = largest;
        sift_down(items, 0, count);
    }
}

static uint32_t sort_round(uint32_t seed)
{
    for (uint32_t i = 0; i < SORT_ITEMS; i++)
        work.items[i] = next_random(&seed);
    heap_sort(work.items, SORT_ITEMS);

    uint32_t checksum = 0;
    for (uint32_t i = 0; i < SORT_ITEMS; i++)
        checksum = mix(checksum, work.items[i]);
    return checksum;
}

/* The slot that holds `key`, or the free one where it belongs; 0 marks a free slot. */
static uint32_t find_slot(uint32_t key)
{
    uint32_t slot = key * 2654435769u >> 16;
    while (work.table[slot] && work.table[slot] != key)
        slot = (slot + 1) % TABLE_SLOTS;
    return slot;
}

static uint32_t hash_round(uint32_t seed)
{
    for (uint32_t i = 0; i < TABLE_SLOTS; i++)
        work.table[i] = 0;

    /* Keys of 17 bits: about half of what is looked up below is there. */
    for (uint32_t i = 0; i < TABLE_KEYS; i++) {
        uint32_t key = (next_random(&seed) >> 15) + 1;
        work.table[find_slot(key)] = key;
    }
    uint32_t checksum = 0;
    for (uint32_t i = 0; i < TABLE_LOOKUPS; i++) {
        uint32_t key = (next_random(&seed) >> 15) + 1;
        uint32_t slot = find_slot(key);
        checksum += work.table[slot] ? slot : 1;
    }
    return checksum;
}

static uint32_t matrix_cell(uint32_t row, uint32_t column)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < MATRIX_SIZE; i++)
        sum += work.matrices[0][row][i] * work.matrices[1][i][column];
    return sum;
}

static uint32_t matrix_round(uint32_t seed)
{
    for (uint32_t row = 0; row < MATRIX_SIZE; row++)
        for (uint32_t column = 0; column < MATRIX_SIZE; column++) {
            work.matrices[0][row][column] = next_random(&seed);
            work.matrices[1][row][column] = next_random(&seed);
        }
    for (uint32_t row = 0; row < MATRIX_SIZE; row++)
        for (uint32_t column = 0; column < MATRIX_SIZE; column++)
            work.matrices[2][row][column] = matrix_cell(row, column);

    uint32_t checksum = 0;
    for (uint32_t row = 0; row < MATRIX_SIZE; row++)
        for (uint32_t column = 0; column < MATRIX_SIZE; column++)
            checksum = mix(checksum, work.matrices[2][row][column]);
    return checksum;
}

struct phase {
    const char *name;
    uint32_t (*run_round)(uint32_t seed);
};

static const struct phase phases[] = {
    {"sort", sort_round},
    {"hash", hash_round},
    {"matrix", matrix_round},
};

static uint32_t run_phase(const struct phase *phase)
{
    uint32_t instret_start = (uint32_t)csr_read(minstret);
    uint64_t time_start = clint_mtime();
    uint32_t checksum = 0;
    for (uint32_t round = 1; round <= bench_rounds; round++)
        checksum = mix(checksum, phase->run_round(round));

    uint32_t insns = (uint32_t)csr_read(minstret) - instret_start;
    print("%s: %u rounds, checksum %x\n", phase->name, (unsigned)bench_rounds, (unsigned)checksum);
    print("t: %s: %u instructions, %llu ticks of mtime\n", phase->name, (unsigned)insns,
          (unsigned long long)(clint_mtime() - time_start));
    return checksum;
}

int main(void)
{
    uint32_t checksum = 0;
    for (unsigned i = 0; i < sizeof phases / sizeof phases[0]; i++)
        checksum = mix(checksum, run_phase(&phases[i]));
    print("bench: checksum %x\n", (unsigned)checksum);
    return 0;
}
