#include "paging.h"

#include "csr.h"

#define ENTRIES (PAGE_SIZE / sizeof(uintptr_t))
#define FLAGS_MASK 0x3ffUL
#define RAM_BASE 0x80000000UL

#if __riscv_xlen == 64
#define SATP_MODE (8UL << 60)
#else
#define SATP_MODE (1UL << 31)
#endif

typedef uintptr_t page_table[ENTRIES] __attribute__((aligned(4096)));

static page_table root, window;
#if __riscv_xlen == 64
static page_table window_directory;
#endif

static uintptr_t entry(uintptr_t physical, uintptr_t flags)
{
    return (physical >> 12) << 10 | flags;
}

static uintptr_t *root_entry(uintptr_t virtual)
{
    return &root[(virtual >> SUPERPAGE_SHIFT) % ENTRIES];
}

static void fence(void)
{
    __asm__ volatile("sfence.vma" ::: "memory");
}

static void fill_tables(void)
{
    uintptr_t all = PTE_V | PTE_R | PTE_W | PTE_X | PTE_A | PTE_D;
    *root_entry(RAM_BASE) = entry(RAM_BASE, all);
    *root_entry(RAM_BASE - USER_ALIAS_OFFSET) = entry(RAM_BASE, all | PTE_U);
#if __riscv_xlen == 64
    window_directory[0] = entry((uintptr_t)window, PTE_V);
    *root_entry(WINDOW) = entry((uintptr_t)window_directory, PTE_V);
#else
    *root_entry(WINDOW) = entry((uintptr_t)window, PTE_V);
#endif
}

void paging_on(void)
{
    fill_tables();
    csr_write(satp, SATP_MODE | (uintptr_t)root >> 12);
    fence();
}

void paging_off(void)
{
    csr_write(satp, 0);
    fence();
}

bool paging_is_on(void)
{
    return csr_read(satp) != 0;
}

void map_window_page(unsigned index, const void *page, uintptr_t flags)
{
    window[index] = entry((uintptr_t)page, flags);
    fence();
}

uintptr_t window_page_flags(unsigned index)
{
    return *(volatile uintptr_t *)&window[index] & FLAGS_MASK;
}

void map_spare_superpage(uintptr_t physical, uintptr_t flags)
{
    *root_entry(SPARE_SUPERPAGE) = entry(physical, flags);
    fence();
}
