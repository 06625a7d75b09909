/* What one hart changes and others have cached: code, and page tables. */

#include "smp.h"

#define PAGE_SIZE 4096
#define PAGE_WORDS (PAGE_SIZE / 4)

/* Both must be single stores, so both instructions have four bytes. */
#define INSTRUCTION_LI_A0(value) (0x00000513 | (uint32_t)(value) << 20)
#define INSTRUCTION_RET 0x00008067

#define PATCH_ROUNDS 32
#define RUNNING_ROUNDS 4

/* A page that holds data, and then code. */
static volatile uint32_t page[PAGE_WORDS] __attribute__((aligned(PAGE_SIZE)));

static unsigned call_page(void)
{
    unsigned (*function)(void) = (unsigned (*)(void))(uintptr_t)page;
    return function();
}

static void fence_i(void)
{
    __asm__ volatile("fence.i" ::: "memory");
}

/* This hart puts `value` into the function, and all others know of it. */
static void patch(unsigned value)
{
    page[0] = INSTRUCTION_LI_A0(value);
    fence_all();
    fence_i();
    ping_others(REQUEST_FENCE_I);
}

/* Each hart writes its share of the page and reads all of it. */
static bool page_holds_data(void)
{
    for (unsigned i = hart_id(); i < PAGE_WORDS; i += harts)
        page[i] = i * 0x01010101;
    meet();
    uint32_t wrong = 0;
    for (unsigned i = 0; i < PAGE_WORDS; i++)
        wrong |= page[i] ^ i * 0x01010101;
    meet();
    return wrong == 0;
}

/* Each hart patches in its turn, while the others sleep, and then all call. */
static bool patches_reach_sleeping_harts(void)
{
    struct hart_state *state = own_state();
    bool good = true;
    for (unsigned round = 1; round <= PATCH_ROUNDS; round++) {
        uint32_t before = state->pings_taken;
        meet();
        if (hart_id() == round % harts)
            patch(round);
        else
            sleep_until(state->pings_taken != before);
        good = good && call_page() == round;
        meet();
    }
    return good;
}

/* Data next to code that is run, stored by all harts at once. */
static bool data_beside_code_is_kept(void)
{
    bool good = true;
    volatile uint32_t *own = &page[PAGE_WORDS - HARTS_MAX + hart_id()];
    for (unsigned round = 1; round <= PATCH_ROUNDS; round++) {
        *own = round;
        good = good && call_page() == PATCH_ROUNDS && *own == round;
    }
    return good;
}

/* As long as it has not been interrupted, a hart may see the old value or the new one, but no other. */
static bool sees_change(unsigned old, unsigned new)
{
    struct hart_state *state = own_state();
    uint32_t before = state->pings_taken;
    bool good = true;
    meet();
    csr_set(mstatus, MSTATUS_MIE);
    while (state->pings_taken == before) {
        unsigned value = call_page();
        good = good && (value == old || value == new);
    }
    csr_clear(mstatus, MSTATUS_MIE);
    return good && call_page() == new;
}

static bool patches_reach_running_harts(void)
{
    bool good = true;
    for (unsigned round = 1; round <= RUNNING_ROUNDS; round++) {
        if (hart_id() == 0) {
            meet();
            patch(PATCH_ROUNDS + round);
        } else {
            good = sees_change(PATCH_ROUNDS + round - 1, PATCH_ROUNDS + round) && good;
        }
        meet();
    }
    return good;
}

/* From here on the page holds a function, `li a0, 0; ret`, and data at its end. */
static void make_page_code(void)
{
    if (hart_id() == 0) {
        page[0] = INSTRUCTION_LI_A0(0);
        page[1] = INSTRUCTION_RET;
    }
    meet();
    fence_i();
}

void check_patching(void)
{
    check("a page holds data of all harts", page_holds_data());
    make_page_code();
    check("the page holds code", call_page() == 0);
    check("a patch reaches harts that sleep", patches_reach_sleeping_harts());
    check("data beside code is kept", data_beside_code_is_kept());
    /* QEMU 7.2 with a thread for each hart fails this one now and then: a store may come between the translation of a
     * page and the watch on it. */
    note("a patch reaches harts that run the code", patches_reach_running_harts());
}

/* Entries of page tables: for a table, and for a page that S-mode may read, or read and write. */
#define ENTRY_TABLE 0x01UL
#define ENTRY_READ 0x43UL
#define ENTRY_WRITE 0xc7UL

#if __riscv_xlen == 64
#define TABLE_LEVELS 3
#define SATP_MODE (8UL << 60)
#else
#define TABLE_LEVELS 2
#define SATP_MODE (1UL << 31)
#endif

/* The last table maps it: the second page of the address space. */
#define VIEW PAGE_SIZE

static uintptr_t tables[TABLE_LEVELS][PAGE_SIZE / sizeof(uintptr_t)] __attribute__((aligned(PAGE_SIZE)));
static volatile uint32_t frames[2][PAGE_WORDS] __attribute__((aligned(PAGE_SIZE)));

/* What the first word of a frame holds. */
#define FRAME_MARK 0xf4a3e000U

static uintptr_t entry_for(const volatile void *address, uintptr_t flags)
{
    return (uintptr_t)address >> 12 << 10 | flags;
}

static volatile uintptr_t *view_entry(void)
{
    return &tables[TABLE_LEVELS - 1][1];
}

/* S-mode rights for the loads and stores in `access`, which is one instruction of four bytes. Interrupts are off. */
#define AS_SUPERVISOR(access) \
    "csrr   t1, mstatus\n" \
    "li     t0, %[mpp]\n" \
    "csrc   mstatus, t0\n" \
    "li     t0, %[mprv]\n" \
    "csrs   mstatus, t0\n" \
    ".option push\n" \
    ".option norvc\n" access "\n" \
    ".option pop\n" \
    "csrw   mstatus, t1\n"

#define MODES [mpp] "i"(MSTATUS_MPP), [mprv] "i"(MSTATUS_MPRV | 1UL << MSTATUS_MPP_SHIFT)

static uint32_t view_load(void)
{
    uint32_t value = 0;
    __asm__ volatile(AS_SUPERVISOR("lw %[value], 0(%[view])")
                     : [value] "+r"(value)
                     : [view] "r"((uintptr_t)VIEW), MODES
                     : "t0", "t1", "memory");
    return value;
}

static void view_store(uint32_t value)
{
    __asm__ volatile(AS_SUPERVISOR("sw %[value], 4(%[view])")
                     :
                     : [value] "r"(value), [view] "r"((uintptr_t)VIEW), MODES
                     : "t0", "t1", "memory");
}

/* What the view may be, and what a load and a store then cause. */
struct view {
    unsigned frame;
    uintptr_t flags;
    uintptr_t load_fault, store_fault;
};

static const struct view views[] = {
    {0, ENTRY_WRITE, 0, 0},
    {1, ENTRY_WRITE, 0, 0},
    {1, ENTRY_READ, 0, CAUSE_STORE_PAGE},
    {0, ENTRY_WRITE, 0, 0},
    {0, 0, CAUSE_LOAD_PAGE, CAUSE_STORE_PAGE},
    {0, ENTRY_READ, 0, CAUSE_STORE_PAGE},
    {1, 0, CAUSE_LOAD_PAGE, CAUSE_STORE_PAGE},
};

#define VIEWS (sizeof views / sizeof views[0])
#define VIEW_ROUNDS (4 * VIEWS)

static bool view_is(const struct view *view)
{
    struct hart_state *state = own_state();
    state->fault = 0;
    uint32_t value = view_load();
    bool good = state->fault == view->load_fault;
    good = good && value == (view->load_fault ? 0 : FRAME_MARK + view->frame);
    state->fault = 0;
    view_store(value);
    return good && state->fault == view->store_fault;
}

static void sfence(void)
{
    __asm__ volatile("sfence.vma" ::: "memory");
}

static void translation_start(void)
{
    if (hart_id() == 0) {
        for (unsigned level = 0; level < TABLE_LEVELS - 1; level++)
            tables[level][0] = entry_for(tables[level + 1], ENTRY_TABLE);
        for (unsigned frame = 0; frame < 2; frame++)
            frames[frame][0] = FRAME_MARK + frame;
    }
    meet();
    csr_write(pmpaddr0, UINTPTR_MAX);
    csr_write(pmpcfg0, PMP_NAPOT | PMP_R | PMP_W | PMP_X);
    csr_write(satp, SATP_MODE | (uintptr_t)tables >> 12);
    sfence();
}

/* Each hart changes the entry in its turn; before and after, all use it. */
static bool changes_reach_all(void)
{
    struct hart_state *state = own_state();
    bool good = true;
    for (unsigned round = 0; round < VIEW_ROUNDS; round++) {
        const struct view *view = &views[round % VIEWS];
        uint32_t before = state->pings_taken;
        meet();
        if (hart_id() == round % harts) {
            *view_entry() = entry_for(frames[view->frame], view->flags);
            fence_all();
            sfence();
            ping_others(REQUEST_SFENCE);
        } else {
            sleep_until(state->pings_taken != before);
        }
        good = view_is(view) && good;
        meet();
    }
    return good;
}

void check_tables(void)
{
    translation_start();
    check("a change of a page table reaches all harts", changes_reach_all());
    csr_write(satp, 0);
    sfence();
}
