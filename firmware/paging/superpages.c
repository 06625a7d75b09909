/* Leaf entries above the last level. */

#include "check.h"
#include "csr.h"
#include "groups.h"
#include "print.h"
#include "provoke.h"

/* Where the superpage of `level` shows `page`, and the physical address that it must begin at for that. */
static uintptr_t seen_at(unsigned level, const uint8_t *page)
{
    return superpage_address(level) + (uintptr_t)page % LEVEL_SIZE(level);
}

static uintptr_t superpage_of(unsigned level, const uint8_t *page)
{
    return (uintptr_t)page - (uintptr_t)page % LEVEL_SIZE(level);
}

static void check_contents(unsigned level)
{
    map_superpage(level, superpage_of(level, scratch[0]), PTE_V | PTE_R | PTE_W | PTE_X);
    put_word(scratch[0], 0x11);
    put_word(scratch[3] + 4092, 0x44);
    check_value("superpage-load-first", run(MODE_S, load_word, seen_at(level, scratch[0])), 0x11);
    check_value("superpage-load-last", run(MODE_S, load_word, seen_at(level, scratch[3]) + 4092), 0x44);
    check_equal("superpage-load-sets-a", flags_of(*superpage_entry(level)), PTE_V | PTE_R | PTE_W | PTE_X | PTE_A);

    run_with(MODE_S, store_word, seen_at(level, scratch[1]) + 4094, 0x55667788);
    check_equal("superpage-store-over-pages", get_word(scratch[2]) & 0xffff, 0x5566);
    check_equal("superpage-store-sets-d", flags_of(*superpage_entry(level)),
                PTE_V | PTE_R | PTE_W | PTE_X | PTE_A | PTE_D);

    put_return_of(scratch[0], 6);
    fence_i();
    check_value("superpage-fetch", run(MODE_S, jump, seen_at(level, scratch[0])), 6);
    check_fault("superpage-not-for-u", MODE_U, load_word, CAUSE_LOAD_PAGE, seen_at(level, scratch[0]));
}

/* Its physical address must be a multiple of its size. A and D stay as they were. */
static void check_misaligned(unsigned level)
{
    uintptr_t flags = PTE_V | PTE_R | PTE_W | PTE_X;
    uintptr_t where = seen_at(level, scratch[0]);
    for (unsigned lower = 0; lower < level; lower++) {
        map_superpage(level, superpage_of(level, scratch[0]) + LEVEL_SIZE(lower), flags);
        check_fault("misaligned-superpage-load", MODE_S, load_word, CAUSE_LOAD_PAGE, where);
        check_fault("misaligned-superpage-store", MODE_S, store_word, CAUSE_STORE_PAGE, where);
        check_fetch_page_fault("misaligned-superpage-fetch", MODE_S, where);
        check_equal("misaligned-superpage-flags", flags_of(*superpage_entry(level)), flags);
    }
}

/* A superpage gives way to a table of small pages, and comes back. */
static void check_split(void)
{
    uintptr_t where = superpage_address(1);
    uintptr_t whole = superpage_of(1, scratch[0]);
    put_word(scratch[0], 0xa);
    map_superpage(1, whole, PAGE_RW);
    run(MODE_S, load_word, seen_at(1, scratch[0]));

    *page_entry(SPACE_A, 0) = make_pte((uintptr_t)scratch[0], PAGE_RW);
    *page_entry(SPACE_A, 1) = 0;
    map_superpage(1, (uintptr_t)window_table(), PTE_V);
    check_value("split-superpage-load", run(MODE_S, load_word, where), 0xa);
    check_fault("split-superpage-hole", MODE_S, load_word, CAUSE_LOAD_PAGE, where + PAGE_SIZE);

    map_superpage(1, whole, PAGE_RW);
    check_value("joined-superpage-load", run(MODE_S, load_word, seen_at(1, scratch[0])), 0xa);
}

/* Without a leaf at the last level there is none. */
static void check_endless(void)
{
    map_page(0, scratch[0], PTE_V);
    check_fault("no-leaf-at-last-level", MODE_S, load_word, CAUSE_LOAD_PAGE, WINDOW);
}

void check_superpages(void)
{
    for (unsigned level = 1; level <= ROOT_LEVEL; level++) {
        print("superpages of level %u\n", level);
        check_contents(level);
        check_misaligned(level);
        map_superpage(level, 0, 0);
    }
    check_split();
    check_endless();
    map_superpage(1, 0, 0);
    map_page(0, 0, 0);
}
