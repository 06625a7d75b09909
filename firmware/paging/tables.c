#include "tables.h"

#include "csr.h"

#define FLAGS_MASK 0x3ffUL

/* The level of the table whose entries point to tables of pages. */
#define POINTER_LEVEL 1

struct tables {
    page_table root, window;
#if __riscv_xlen == 64
    page_table directory;
#endif
};

static struct tables spaces[2];

uintptr_t make_pte(uintptr_t physical, uintptr_t flags)
{
    return (physical >> 12) << 10 | flags;
}

uintptr_t flags_of(uintptr_t entry)
{
    return entry & FLAGS_MASK;
}

static pte *entry_at(page_table table, unsigned level, uintptr_t virtual)
{
    return &table[virtual / LEVEL_SIZE(level) % ENTRIES];
}

/* The table with the entries of level 1. */
static pte *table_of_pointers(struct tables *tables)
{
#if __riscv_xlen == 64
    return tables->directory;
#else
    return tables->root;
#endif
}

void fence(void)
{
    __asm__ volatile("sfence.vma" ::: "memory");
}

void fence_i(void)
{
    __asm__ volatile("fence.i" ::: "memory");
}

static void fill(struct tables *tables)
{
    uintptr_t image = (uintptr_t)spaces & ~(LEVEL_SIZE(ROOT_LEVEL) - 1);
    uintptr_t all = PTE_V | PTE_R | PTE_W | PTE_X | PTE_A | PTE_D;
    *entry_at(tables->root, ROOT_LEVEL, image) = make_pte(image, all);
    *entry_at(tables->root, ROOT_LEVEL, image - USER_ALIAS_OFFSET) = make_pte(image, all | PTE_U);
#if __riscv_xlen == 64
    *entry_at(tables->root, ROOT_LEVEL, WINDOW) = make_pte((uintptr_t)tables->directory, PTE_V);
#endif
    *entry_at(table_of_pointers(tables), POINTER_LEVEL, WINDOW) = make_pte((uintptr_t)tables->window, PTE_V);
}

uintptr_t satp_of(enum space space, uintptr_t asid)
{
    return SATP_MODE_PAGED << SATP_MODE_SHIFT | asid << SATP_ASID_SHIFT | (uintptr_t)spaces[space].root >> 12;
}

void paging_on(void)
{
    fill(&spaces[SPACE_A]);
    fill(&spaces[SPACE_B]);
    fence();
    csr_write(satp, satp_of(SPACE_A, 0));
    fence();
}

void paging_off(void)
{
    csr_write(satp, 0);
    fence();
}

bool paging_is_on(void)
{
    return csr_read(satp) >> SATP_MODE_SHIFT != 0;
}

pte *page_entry(enum space space, unsigned index)
{
    return &spaces[space].window[index];
}

pte *window_pointer(void)
{
    return entry_at(table_of_pointers(&spaces[SPACE_A]), POINTER_LEVEL, WINDOW);
}

pte *window_table(void)
{
    return spaces[SPACE_A].window;
}

pte *root_table(void)
{
    return spaces[SPACE_A].root;
}

void map_page(unsigned index, const volatile void *page, uintptr_t flags)
{
    *page_entry(SPACE_A, index) = make_pte((uintptr_t)page, flags);
    fence();
}

uintptr_t page_flags(unsigned index)
{
    return flags_of(*page_entry(SPACE_A, index));
}

uintptr_t superpage_address(unsigned level)
{
    return level == ROOT_LEVEL ? ROOT_SLOT_SUPERPAGE * LEVEL_SIZE(ROOT_LEVEL) : WINDOW + LEVEL_SIZE(level);
}

pte *superpage_entry(unsigned level)
{
    struct tables *tables = &spaces[SPACE_A];
    return entry_at(level == ROOT_LEVEL ? tables->root : table_of_pointers(tables), level, superpage_address(level));
}

void map_superpage(unsigned level, uintptr_t physical, uintptr_t flags)
{
    *superpage_entry(level) = make_pte(physical, flags);
    fence();
}
