/* Sv39 or Sv32 page tables for the trials: two address spaces of the same shape.
 *
 * The image is mapped one to one for S-mode and, USER_ALIAS_OFFSET lower, for U-mode. A window of 4 KiB pages and one
 * superpage of each size are for the checks.
 */
#ifndef TABLES_H
#define TABLES_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE_SIZE 4096UL
#define ENTRIES (PAGE_SIZE / sizeof(uintptr_t))

#define PTE_V 0x01UL
#define PTE_R 0x02UL
#define PTE_W 0x04UL
#define PTE_X 0x08UL
#define PTE_U 0x10UL
#define PTE_G 0x20UL
#define PTE_A 0x40UL
#define PTE_D 0x80UL
#define PTE_SOFTWARE 0x300UL

/* A page that works at once, with nothing left for the hart to set. */
#define PAGE_RW (PTE_V | PTE_R | PTE_W | PTE_A | PTE_D)
#define PAGE_R (PTE_V | PTE_R | PTE_A)
#define PAGE_X (PTE_V | PTE_X | PTE_A)

#define USER_ALIAS_OFFSET 0x40000000UL
#define WINDOW 0xc0000000UL
#define WINDOW_PAGE(index) (WINDOW + (index) * PAGE_SIZE)

#if __riscv_xlen == 64
#define ROOT_LEVEL 2
#define LEVEL_BITS 9
#define SATP_MODE_SHIFT 60
#define SATP_MODE_PAGED 8UL
#define SATP_ASID_SHIFT 44
#define SATP_ASID_MAX 0xffffUL
#else
#define ROOT_LEVEL 1
#define LEVEL_BITS 10
#define SATP_MODE_SHIFT 31
#define SATP_MODE_PAGED 1UL
#define SATP_ASID_SHIFT 22
#define SATP_ASID_MAX 0x1ffUL
#endif

#define LEVEL_SIZE(level) (PAGE_SIZE << LEVEL_BITS * (level))

/* Also read by the hart's page walks, and written by them. */
typedef volatile uintptr_t pte;
typedef pte page_table[ENTRIES] __attribute__((aligned(4096)));

enum space { SPACE_A, SPACE_B };

/* Fills the tables and switches to address space A, with ASID 0. */
void paging_on(void);
void paging_off(void);
bool paging_is_on(void);

/* The value of satp for an address space. */
uintptr_t satp_of(enum space space, uintptr_t asid);

void fence(void);
void fence_i(void);

uintptr_t make_pte(uintptr_t physical, uintptr_t flags);
uintptr_t flags_of(uintptr_t entry);

/* An entry of a page of the window. */
pte *page_entry(enum space space, unsigned index);

/* The entry that points to the window's last table, and the table itself. */
pte *window_pointer(void);
pte *window_table(void);
pte *root_table(void);

/* Sets a page of the window of space A; `flags` are all its flags, 0 unmaps it. */
void map_page(unsigned index, const volatile void *page, uintptr_t flags);

/* The flags of that entry as the hart left them. */
uintptr_t page_flags(unsigned index);

/* The one superpage of each level 1..ROOT_LEVEL: its entry and where it begins. */
pte *superpage_entry(unsigned level);
uintptr_t superpage_address(unsigned level);
void map_superpage(unsigned level, uintptr_t physical, uintptr_t flags);

/* Slots of the root table that nothing else uses. */
#define ROOT_SLOT_SUPERPAGE 5
#define ROOT_SLOT_SELF 6
#define ROOT_SLOT_SPARE 7

#endif
