/* Sv39 or Sv32 page tables for the trials.
 *
 * RAM is mapped one to one for S-mode and, USER_ALIAS_OFFSET lower, for U-mode; a window of 4 KiB pages is for tests.
 */
#ifndef PAGING_H
#define PAGING_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE_SIZE 4096UL

#define PTE_V 0x01UL
#define PTE_R 0x02UL
#define PTE_W 0x04UL
#define PTE_X 0x08UL
#define PTE_U 0x10UL
#define PTE_A 0x40UL
#define PTE_D 0x80UL

#define USER_ALIAS_OFFSET 0x40000000UL
#define WINDOW 0xc0000000UL
#define WINDOW_PAGE(index) (WINDOW + (index) * PAGE_SIZE)

/* A slot of the root table that tests may fill with a superpage. */
#if __riscv_xlen == 64
#define SUPERPAGE_SHIFT 30
#else
#define SUPERPAGE_SHIFT 22
#endif
#define SPARE_SUPERPAGE (5UL << SUPERPAGE_SHIFT)

void paging_on(void);
void paging_off(void);
bool paging_is_on(void);

/* Sets the entry of a page of the window; `flags` are all its flags, 0 unmaps it. */
void map_window_page(unsigned index, const void *page, uintptr_t flags);

/* The flags of that entry as the hart left them. */
uintptr_t window_page_flags(unsigned index);

/* Sets the entry of SPARE_SUPERPAGE. */
void map_spare_superpage(uintptr_t physical, uintptr_t flags);

#endif
