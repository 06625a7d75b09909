/* Accesses and instructions over the edge of a page. The two pages are apart in memory, so that only translation makes
 * them neighbours. */

#include "check.h"
#include "csr.h"
#include "groups.h"
#include "provoke.h"

#define EDGE WINDOW_PAGE(1)
#define FIRST scratch[0]
#define SECOND scratch[2]

static void map_both(uintptr_t flags)
{
    map_page(0, FIRST, flags);
    map_page(1, SECOND, flags);
}

/* 0x10, 0x11, ... around the edge, in both pages. */
static void fill_edge(void)
{
    for (unsigned i = 0; i < 16; i++) {
        FIRST[PAGE_SIZE - 16 + i] = (uint8_t)(0x10 + i);
        SECOND[i] = (uint8_t)(0x20 + i);
    }
}

static uintptr_t expected_at(intptr_t offset, unsigned size)
{
    uintptr_t value = 0;
    for (unsigned i = size; i-- > 0;)
        value = value << 8 | (uintptr_t)(0x20 + offset + (intptr_t)i);
    return value;
}

/* At every offset from wholly before the edge to wholly behind it. */
static void check_loads(const char *name, trial *code, unsigned size)
{
    unsigned wrong = 0;
    for (intptr_t offset = -(intptr_t)size; offset <= 0; offset++) {
        struct outcome got = run(MODE_S, code, EDGE + (uintptr_t)offset);
        wrong += got.handler != '-' || got.value != expected_at(offset, size);
    }
    check_equal(name, wrong, 0);
}

static uint8_t byte_at(intptr_t offset)
{
    return offset < 0 ? FIRST[(intptr_t)PAGE_SIZE + offset] : SECOND[offset];
}

/* The store must hit its bytes, and not the neighbours. */
static bool stored_right(intptr_t offset, unsigned size, uintptr_t value)
{
    bool good = byte_at(offset - 1) == (uint8_t)(0x20 + offset - 1);
    for (unsigned i = 0; i < size; i++)
        good &= byte_at(offset + (intptr_t)i) == (uint8_t)(value >> 8 * i);
    return good && byte_at(offset + (intptr_t)size) == (uint8_t)(0x20 + offset + (intptr_t)size);
}

static void check_stores(const char *name, trial *code, unsigned size)
{
    unsigned wrong = 0;
    uintptr_t value = (uintptr_t)0xf1e2d3c4b5a69788;
    for (intptr_t offset = -(intptr_t)size; offset <= 0; offset++) {
        fill_edge();
        struct outcome got = run_with(MODE_S, code, EDGE + (uintptr_t)offset, value);
        __asm__ volatile("" ::: "memory");
        wrong += got.handler != '-' || !stored_right(offset, size, value);
    }
    check_equal(name, wrong, 0);
}

static void check_data(void)
{
    fill_edge();
    map_both(PAGE_RW);
    check_loads("crossing-load-half", load_half, 2);
    check_loads("crossing-load-word", load_word, 4);
    check_stores("crossing-store-half", store_half, 2);
    check_stores("crossing-store-word", store_word, 4);
#if __riscv_xlen == 64
    fill_edge();
    check_loads("crossing-load-double", load_double, 8);
    check_stores("crossing-store-double", store_double, 8);
#endif
}

static void check_fault_at(const char *name, trial *code, uintptr_t cause, uintptr_t address, uintptr_t tval)
{
    check_trap(name, run(MODE_S, code, address), cause, code_address(MODE_S, code), tval);
}

/* tval is the part that failed, not the start of the access. */
static void check_data_faults(void)
{
    map_both(PAGE_RW);
    map_page(1, SECOND, 0);
    check_fault_at("crossing-load-second-absent", load_word, CAUSE_LOAD_PAGE, EDGE - 2, EDGE);
    check_fault_at("crossing-store-second-absent", store_word, CAUSE_STORE_PAGE, EDGE - 1, EDGE);
    check_return("crossing-load-up-to-the-edge", run(MODE_S, load_word, EDGE - 4));
    map_page(1, SECOND, PAGE_R);
    check_return("crossing-load-second-read-only", run(MODE_S, load_word, EDGE - 2));
    check_fault_at("crossing-store-second-read-only", store_word, CAUSE_STORE_PAGE, EDGE - 2, EDGE);

    map_both(PAGE_RW);
    map_page(0, FIRST, 0);
    check_fault_at("crossing-load-first-absent", load_word, CAUSE_LOAD_PAGE, EDGE - 2, EDGE - 2);
    check_fault_at("crossing-store-first-absent", store_word, CAUSE_STORE_PAGE, EDGE - 3, EDGE - 3);
}

/* A 32-bit `addi a0, a0, addend` (0x00050513 with 0) with a half in each page, then `ret`. */
static void put_crossing_addi(uint8_t *second, unsigned addend)
{
    put_parcel(FIRST + PAGE_SIZE - 2, 0x0513);
    put_parcel(second, (uint16_t)(addend << 4 | 0x5));
    put_parcel(second + 2, INSTRUCTION_RET);
}

static void check_fetch(void)
{
    put_crossing_addi(SECOND, 1);
    put_crossing_addi(scratch[3], 2);
    fence_i();
    map_both(PAGE_X);
    map_page(1, 0, 0);
    check_trap("crossing-fetch-second-absent", run_at(MODE_S, EDGE - 2, 40, 0), CAUSE_FETCH_PAGE, EDGE - 2, EDGE);
    map_page(1, SECOND, PAGE_X);
    check_value("crossing-fetch-then-present", run_at(MODE_S, EDGE - 2, 40, 0), 41);
    map_page(1, scratch[3], PAGE_X);
    check_value("crossing-fetch-other-second-page", run_at(MODE_S, EDGE - 2, 40, 0), 42);
    map_page(1, SECOND, PAGE_X);
    check_value("crossing-fetch-first-second-page", run_at(MODE_S, EDGE - 2, 40, 0), 41);

    map_page(1, SECOND, PAGE_R);
    check_trap("crossing-fetch-second-not-executable", run_at(MODE_S, EDGE - 2, 0, 0), CAUSE_FETCH_PAGE, EDGE - 2,
               EDGE);
    map_page(1, SECOND, PAGE_X | PTE_U);
    check_trap("crossing-fetch-second-for-u", run_at(MODE_S, EDGE - 2, 0, 0), CAUSE_FETCH_PAGE, EDGE - 2, EDGE);
    map_page(0, 0, 0);
    check_fetch_page_fault("crossing-fetch-first-absent", MODE_S, EDGE - 2);
}

static void check_fetch_from_u(void)
{
    map_both(PAGE_X | PTE_U);
    check_value("crossing-fetch-u", run_at(MODE_U, EDGE - 2, 40, 0), 41);
    map_page(1, SECOND, PAGE_X);
    check_trap("crossing-fetch-u-second-for-s", run_at(MODE_U, EDGE - 2, 40, 0), CAUSE_FETCH_PAGE, EDGE - 2, EDGE);
}

/* The clean second page of an instruction is marked as used, even if only half an instruction is there. */
static void check_fetch_sets_a(void)
{
    map_both(PTE_V | PTE_X);
    run_at(MODE_S, EDGE - 2, 40, 0);
    check_equal("crossing-fetch-sets-a-first", page_flags(0), PAGE_X);
    check_equal("crossing-fetch-sets-a-second", page_flags(1), PAGE_X);
}

/* Code that ends with the page does not need the next one; code that runs on does. */
static void check_last_in_page(void)
{
    put_return_of(FIRST + PAGE_SIZE - 4, 9);
    fence_i();
    map_both(PAGE_X);
    map_page(1, 0, 0);
    check_value("last-in-page-returns", run_at(MODE_S, EDGE - 4, 0, 0), 9);

    put_parcel(FIRST + PAGE_SIZE - 2, INSTRUCTION_LI(3));
    fence_i();
    check_trap("last-in-page-runs-on", run_at(MODE_S, EDGE - 4, 0, 0), CAUSE_FETCH_PAGE, EDGE, EDGE);
    map_page(1, SECOND, PAGE_X);
    put_parcel(SECOND, INSTRUCTION_RET);
    fence_i();
    check_value("last-in-page-runs-on-present", run_at(MODE_S, EDGE - 4, 0, 0), 3);
}

void check_crossing(void)
{
    check_data();
    check_data_faults();
    check_fetch();
    check_fetch_from_u();
    check_fetch_sets_a();
    check_last_in_page();
    map_page(0, 0, 0);
    map_page(1, 0, 0);
}
