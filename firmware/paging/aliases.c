/* One physical page seen at two addresses: data, code, and page tables themselves. */

#include "check.h"
#include "csr.h"
#include "groups.h"
#include "provoke.h"

/* Page 0 of the window executes what page 1 writes. */
#define CODE_VIEW WINDOW_PAGE(0)
#define DATA_VIEW WINDOW_PAGE(1)

/* Page 4 of the window is the table of the window: its entry 5 can be written there. */
#define SELF_INDEX 4
#define SELF_VIEW WINDOW_PAGE(SELF_INDEX)
#define OTHER_INDEX 5

typedef uintptr_t code_function(void);

static void check_data_alias(void)
{
    map_page(0, scratch[0], PAGE_RW);
    map_page(1, scratch[0], PAGE_RW);
    run_with(MODE_S, store_word, WINDOW_PAGE(0) + 64, 0x1357);
    check_value("alias-load", run(MODE_S, load_word, WINDOW_PAGE(1) + 64), 0x1357);
    run_with(MODE_S, store_byte, WINDOW_PAGE(1) + 65, 0x24);
    check_value("alias-load-back", run(MODE_S, load_word, WINDOW_PAGE(0) + 64), 0x2457);
    check_equal("alias-in-memory", get_word(scratch[0] + 64), 0x2457);
}

static void map_code_views(void)
{
    put_return_of(scratch[0], 1);
    fence_i();
    map_page(0, scratch[0], PAGE_X);
    map_page(1, scratch[0], PAGE_RW);
}

/* The same in one go in S-mode. Returns what the old and the new code return. */
static uintptr_t rewrite_through_alias(bool with_fence)
{
    code_function *code = (code_function *)CODE_VIEW;
    put_return_of((uint8_t *)DATA_VIEW, 1);
    fence_i();
    uintptr_t first = code();
    put_parcel((uint8_t *)DATA_VIEW, INSTRUCTION_LI(2));
    if (with_fence)
        fence_i();
    uintptr_t second = code();
    return first << 4 | second;
}

static void check_code_alias(void)
{
    map_code_views();
    check_value("code-alias-old", run(MODE_S, jump, CODE_VIEW), 1);
    run_with(MODE_S, store_half, DATA_VIEW, INSTRUCTION_LI(4));
    fence_i();
    check_value("code-alias-new", run(MODE_S, jump, CODE_VIEW), 4);
    /* One byte of the instruction is enough. */
    run_with(MODE_S, store_byte, DATA_VIEW, INSTRUCTION_LI(5) & 0xff);
    fence_i();
    check_value("code-alias-one-byte", run(MODE_S, jump, CODE_VIEW), 5);

    check_value("code-alias-in-s", run_function(rewrite_through_alias, true), 0x12);
    uintptr_t unfenced = run_function(rewrite_through_alias, false).value;
    fence_i();
    note_choice("code-alias-without-fence-i", unfenced == 0x12 ? "new code" : "old code");
}

/* A store over the edge into a page that is executed elsewhere. */
static void check_code_alias_crossing(void)
{
    map_code_views();
    map_page(1, scratch[2], PAGE_RW);
    map_page(2, scratch[0], PAGE_RW);
    check_value("code-alias-crossing-old", run(MODE_S, jump, CODE_VIEW), 1);
    run_with(MODE_S, store_word, WINDOW_PAGE(2) - 2, (uint32_t)INSTRUCTION_LI(6) << 16);
    fence_i();
    check_value("code-alias-crossing-new", run(MODE_S, jump, CODE_VIEW), 6);
    map_page(2, 0, 0);
}

/* U-mode writes what S-mode executes. */
static void check_code_alias_from_u(void)
{
    map_code_views();
    map_page(1, scratch[0], PAGE_RW | PTE_U);
    run_with(MODE_U, store_half, DATA_VIEW, INSTRUCTION_LI(8));
    fence_i();
    check_value("code-alias-from-u", run(MODE_S, jump, CODE_VIEW), 8);
}

/* Other memory at the same address: no instruction was written, so a fence for the table is enough. */
static uintptr_t swap_code_page(const uintptr_t entries[2])
{
    code_function *code = (code_function *)CODE_VIEW;
    uintptr_t results = 0;
    for (unsigned i = 0; i < 4; i++) {
        *page_entry(SPACE_A, 0) = entries[i % 2];
        fence();
        results = results << 4 | code();
    }
    return results;
}

static void check_swapped_code(void)
{
    put_return_of(scratch[0], 1);
    put_return_of(scratch[1], 2);
    fence_i();
    uintptr_t entries[2] = {make_pte((uintptr_t)scratch[0], PAGE_X), make_pte((uintptr_t)scratch[1], PAGE_X)};
    check_value("code-page-swapped", run_function(swap_code_page, entries), 0x1212);
}

/* A page table is memory like any other: a store to it through a mapping is a change of the mapping. */
static void check_self_map(void)
{
    put_word(scratch[0], 0x777);
    map_page(SELF_INDEX, window_table(), PAGE_RW);
    map_page(OTHER_INDEX, 0, 0);
    uintptr_t slot = SELF_VIEW + OTHER_INDEX * sizeof(pte);
    uintptr_t other = make_pte((uintptr_t)scratch[0], PTE_V | PTE_R);

    check_fault("self-map-before", MODE_S, load_word, CAUSE_LOAD_PAGE, WINDOW_PAGE(OTHER_INDEX));
    run_with(MODE_S, store_register, slot, other);
    fence();
    check_value("self-map-new-page", run(MODE_S, load_word, WINDOW_PAGE(OTHER_INDEX)), 0x777);
    check_value("self-map-shows-a", run(MODE_S, load_register, slot), other | PTE_A);
    run_with(MODE_S, store_byte, slot, 0);
    fence();
    check_fault("self-map-removed", MODE_S, load_word, CAUSE_LOAD_PAGE, WINDOW_PAGE(OTHER_INDEX));
}

/* The entry that maps the table, through itself: the store comes after the D bit that it sets. */
static void check_own_entry(void)
{
    uintptr_t slot = SELF_VIEW + SELF_INDEX * sizeof(pte);
    uintptr_t clean = make_pte((uintptr_t)window_table(), PTE_V | PTE_R | PTE_W);
    map_page(SELF_INDEX, window_table(), PTE_V | PTE_R | PTE_W);
    check_value("own-entry-has-a", run(MODE_S, load_register, slot), clean | PTE_A);
    run_with(MODE_S, store_register, slot, clean & ~PTE_V);
    check_equal("own-entry-as-stored", *page_entry(SPACE_A, SELF_INDEX), clean & ~PTE_V);
    fence();
    check_fault("own-entry-gone", MODE_S, load_register, CAUSE_LOAD_PAGE, slot);
}

/* The root is its own next table at ROOT_SLOT_SELF: there its entries mean what those of the next level mean. */
static void check_root_as_table(void)
{
    uintptr_t size = LEVEL_SIZE(ROOT_LEVEL - 1);
    uintptr_t offset = (uintptr_t)scratch[0] % size;
    uintptr_t nested = ROOT_SLOT_SELF * LEVEL_SIZE(ROOT_LEVEL) + ROOT_SLOT_SPARE * size + offset;
    pte *self = &root_table()[ROOT_SLOT_SELF];
    pte *spare = &root_table()[ROOT_SLOT_SPARE];
    *self = make_pte((uintptr_t)root_table(), PTE_V);
    *spare = make_pte((uintptr_t)scratch[0] - offset, PTE_V | PTE_R);
    fence();
    put_word(scratch[0], 0x4321);
    check_value("root-as-next-table", run(MODE_S, load_word, nested), 0x4321);
    check_equal("root-as-next-table-sets-a", flags_of(*spare), PTE_V | PTE_R | PTE_A);
    *self = *spare = 0;
    fence();
}

/* Code, then a page table, then data, then code again. */
static void check_page_of_many_uses(void)
{
    uint8_t *page = scratch[3];
    pte *table = (pte *)page;
    uintptr_t where = superpage_address(1);
    put_return_of(page, 5);
    fence_i();
    map_page(0, page, PAGE_X);
    check_value("page-as-code", run(MODE_S, jump, WINDOW), 5);

    for (unsigned i = 0; i < ENTRIES; i++)
        table[i] = 0;
    table[1] = make_pte((uintptr_t)scratch[0], PTE_V | PTE_R | PTE_W);
    put_word(scratch[0], 0x999);
    map_superpage(1, (uintptr_t)page, PTE_V);
    check_value("page-as-table", run(MODE_S, load_word, where + PAGE_SIZE), 0x999);
    check_equal("page-as-table-has-a", flags_of(table[1]), PTE_V | PTE_R | PTE_W | PTE_A);
    check_fault("page-as-table-hole", MODE_S, load_word, CAUSE_LOAD_PAGE, where);

    /* Used as data by S-mode while it is a table. */
    map_page(1, page, PAGE_RW);
    run_with(MODE_S, store_register, DATA_VIEW, make_pte((uintptr_t)scratch[0], PAGE_R));
    fence();
    check_value("page-as-table-and-data", run(MODE_S, load_word, where), 0x999);

    map_superpage(1, 0, 0);
    put_return_of(page, 6);
    fence_i();
    check_value("page-as-code-again", run(MODE_S, jump, WINDOW), 6);
}

void check_aliases(void)
{
    check_data_alias();
    check_code_alias();
    check_code_alias_crossing();
    check_code_alias_from_u();
    check_swapped_code();
    check_self_map();
    check_own_entry();
    check_root_as_table();
    check_page_of_many_uses();
    map_page(0, 0, 0);
    map_page(1, 0, 0);
    map_page(SELF_INDEX, 0, 0);
    map_page(OTHER_INDEX, 0, 0);
}
