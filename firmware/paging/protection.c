/* Physical memory protection below translation. Entries 0..3 are for the checks, the last one opens all memory.
 *
 * A denied access is an access fault, and tval is the virtual address.
 */

#include "protection.h"

#include "check.h"
#include "csr.h"
#include "groups.h"
#include "provoke.h"
#include "provoke_m.h"

#define PMP_RWX (PMP_R | PMP_W | PMP_X)
#define PMP_TOR 0x08UL

/* Entry 15 is the last byte of its configuration register. */
#if __riscv_xlen == 64
#define PMP_LAST_CONFIG pmpcfg2
#else
#define PMP_LAST_CONFIG pmpcfg3
#endif
#define PMP_LAST_SHIFT (__riscv_xlen - 8)

/* Page 1 of the window shows the page that the entries are about. */
#define PROTECTED scratch[1]
#define VIEW WINDOW_PAGE(1)

#define expand_csr_write(csr, value) csr_write(csr, value)

void allow_all_memory(void)
{
    csr_write(pmpaddr15, UINTPTR_MAX);
    expand_csr_write(PMP_LAST_CONFIG, (PMP_NAPOT | PMP_RWX) << PMP_LAST_SHIFT);
    fence();
}

/* Entries 0..3 share a register on both widths. The hart may keep old decisions until the fence. */
static void set_config(unsigned entry, uintptr_t config)
{
    uintptr_t all = csr_read(pmpcfg0) & ~((uintptr_t)0xff << 8 * entry);
    csr_write(pmpcfg0, all | config << 8 * entry);
    fence();
}

static uintptr_t get_config(unsigned entry)
{
    return csr_read(pmpcfg0) >> 8 * entry & 0xff;
}

/* The NAPOT encoding: the size is in the number of trailing ones. */
static uintptr_t napot(const volatile void *address, uintptr_t size)
{
    return (uintptr_t)address >> 2 | (size / 8 - 1);
}

static void map_view(void)
{
    map_page(0, scratch[0], PAGE_RW | PTE_X);
    map_page(1, PROTECTED, PAGE_RW | PTE_X);
    map_page(2, scratch[2], PAGE_RW | PTE_X);
}

static void check_page(void)
{
    put_return_of(PROTECTED, 3);
    fence_i();
    csr_write(pmpaddr1, napot(PROTECTED, PAGE_SIZE));
    set_config(1, PMP_NAPOT | PMP_R);
    check_return("pmp-r-load", run(MODE_S, load_word, VIEW));
    check_fault("pmp-r-store", MODE_S, store_word, CAUSE_STORE_ACCESS, VIEW + 8);
    check_fault("pmp-r-amo", MODE_S, amo_add, CAUSE_STORE_ACCESS, VIEW + 8);
    check_trap("pmp-r-fetch", run(MODE_S, jump, VIEW), CAUSE_FETCH_ACCESS, VIEW, VIEW);
    set_config(1, PMP_NAPOT | PMP_X);
    check_value("pmp-x-fetch", run(MODE_S, jump, VIEW), 3);
    check_fault("pmp-x-load", MODE_S, load_word, CAUSE_LOAD_ACCESS, VIEW + 8);
    /* MXR is about page table entries, not about this. */
    trial_status |= MSTATUS_MXR;
    check_fault("pmp-x-load-mxr", MODE_S, load_word, CAUSE_LOAD_ACCESS, VIEW + 8);
    trial_status &= ~MSTATUS_MXR;
    check_return("pmp-page-before", run(MODE_S, store_word, VIEW - 4));
    check_return("pmp-page-after", run(MODE_S, store_word, VIEW + PAGE_SIZE));
    check_return("pmp-not-locked-m", run(MODE_M, load_word, (uintptr_t)PROTECTED + 8));
    uintptr_t as_s = MSTATUS_MPRV | (uintptr_t)MODE_S << MSTATUS_MPP_SHIFT;
    check_trap("pmp-mprv", run_with(MODE_M, modified_load, VIEW + 8, as_s), CAUSE_LOAD_ACCESS,
               (uintptr_t)modified_load_access, VIEW + 8);
    set_config(1, 0);
}

static void check_user_page(void)
{
    map_page(1, PROTECTED, PAGE_RW | PTE_U);
    set_config(1, PMP_NAPOT);
    check_fault("pmp-none-load-from-u", MODE_U, load_word, CAUSE_LOAD_ACCESS, VIEW);
    check_fault("pmp-none-store-from-u", MODE_U, store_word, CAUSE_STORE_ACCESS, VIEW);
    set_config(1, 0);
    map_view();
}

/* Translation comes first, so its fault does too. */
static void check_order(void)
{
    set_config(1, PMP_NAPOT);
    map_page(1, PROTECTED, PTE_V | PTE_X | PTE_A);
    check_fault("pmp-page-fault-first", MODE_S, load_word, CAUSE_LOAD_PAGE, VIEW);
    set_config(1, 0);
    map_view();
}

/* What lies before and behind a hole in the middle of a page shares its translation, but not its protection. */
static void check_hole(const char *const names[4], uintptr_t hole, uintptr_t size)
{
    check_return(names[0], run(MODE_S, store_word, VIEW + hole - 4));
    check_fault(names[1], MODE_S, load_word, CAUSE_LOAD_ACCESS, VIEW + hole);
    check_fault(names[2], MODE_S, store_byte, CAUSE_STORE_ACCESS, VIEW + hole + size - 1);
    check_return(names[3], run(MODE_S, load_word, VIEW + hole + size));
}

static void check_holes(void)
{
    static const char *const na4[] = {"pmp-na4-before", "pmp-na4-first", "pmp-na4-last", "pmp-na4-after"};
    static const char *const eight[] = {"pmp-8-before", "pmp-8-first", "pmp-8-last", "pmp-8-after"};
    static const char *const half[] = {"pmp-2k-before", "pmp-2k-first", "pmp-2k-last", "pmp-2k-after"};
    csr_write(pmpaddr1, (uintptr_t)(PROTECTED + 0x804) >> 2);
    set_config(1, PMP_NA4);
    check_hole(na4, 0x804, 4);
    csr_write(pmpaddr1, napot(PROTECTED + 0x408, 8));
    set_config(1, PMP_NAPOT);
    check_hole(eight, 0x408, 8);
    csr_write(pmpaddr1, napot(PROTECTED + 0x800, 0x800));
    set_config(1, PMP_NAPOT);
    check_hole(half, 0x800, 0x800);
    set_config(1, 0);
}

#if __riscv_xlen == 64
/* An entry must match all bytes of an access or none, whatever it permits, and also for M-mode. */
static void check_partial_match(void)
{
    csr_write(pmpaddr1, (uintptr_t)(PROTECTED + 0x804) >> 2);
    set_config(1, PMP_NA4 | PMP_RWX);
    check_return("pmp-partial-word", run(MODE_S, load_word, VIEW + 0x804));
    check_fault("pmp-partial-double-s", MODE_S, load_double, CAUSE_LOAD_ACCESS, VIEW + 0x800);
    check_fault("pmp-partial-double-m", MODE_M, store_double, CAUSE_STORE_ACCESS, (uintptr_t)PROTECTED + 0x800);
    set_config(1, 0);
}
#else
static void check_partial_match(void)
{
}
#endif

static void check_top_of_range(void)
{
    uintptr_t bottom = (uintptr_t)PROTECTED + 0x10;
    uintptr_t top = bottom + 0x24;
    csr_write(pmpaddr2, bottom >> 2);
    csr_write(pmpaddr3, top >> 2);
    set_config(3, PMP_TOR | PMP_R);
    check_return("pmp-tor-below", run(MODE_S, store_word, VIEW + 0xc));
    check_return("pmp-tor-load", run(MODE_S, load_word, VIEW + 0x10));
    check_fault("pmp-tor-bottom", MODE_S, store_word, CAUSE_STORE_ACCESS, VIEW + 0x10);
    check_fault("pmp-tor-last", MODE_S, store_word, CAUSE_STORE_ACCESS, VIEW + 0x30);
    check_return("pmp-tor-top", run(MODE_S, store_word, VIEW + 0x34));

    /* An empty range matches nothing. QEMU 7.2 sees the new bottom when the configuration is written. */
    csr_write(pmpaddr2, top >> 2);
    fence();
    note_equal("pmp-tor-new-bottom", (uintptr_t)run(MODE_S, store_word, VIEW + 0x10).handler, '-');
    set_config(3, PMP_TOR | PMP_R);
    check_return("pmp-tor-empty", run(MODE_S, store_word, VIEW + 0x10));
    set_config(3, 0);
}

static void check_priority(void)
{
    csr_write(pmpaddr1, (uintptr_t)(PROTECTED + 0x40) >> 2);
    csr_write(pmpaddr2, napot(PROTECTED, PAGE_SIZE));
    set_config(1, PMP_NA4 | PMP_RWX);
    set_config(2, PMP_NAPOT);
    check_return("pmp-first-entry-decides", run(MODE_S, store_word, VIEW + 0x40));
    check_fault("pmp-second-entry-before", MODE_S, store_word, CAUSE_STORE_ACCESS, VIEW + 0x3c);
    check_fault("pmp-second-entry-behind", MODE_S, load_word, CAUSE_LOAD_ACCESS, VIEW + 0x44);
    set_config(1, 0);
    check_fault("pmp-second-entry-decides", MODE_S, store_word, CAUSE_STORE_ACCESS, VIEW + 0x40);
    set_config(2, 0);
}

/* One hole in a superpage: the rest of it stays usable. */
static void check_superpage(void)
{
    uintptr_t offset = (uintptr_t)PROTECTED % LEVEL_SIZE(1);
    uintptr_t view = superpage_address(1) + offset;
    map_superpage(1, (uintptr_t)PROTECTED - offset, PAGE_RW);
    csr_write(pmpaddr1, napot(PROTECTED, PAGE_SIZE));
    set_config(1, PMP_NAPOT);
    check_return("pmp-superpage-before", run(MODE_S, load_word, view - 4));
    check_fault("pmp-superpage-first", MODE_S, load_word, CAUSE_LOAD_ACCESS, view);
    check_fault("pmp-superpage-last", MODE_S, store_word, CAUSE_STORE_ACCESS, view + PAGE_SIZE - 4);
    check_return("pmp-superpage-after", run(MODE_S, store_word, view + PAGE_SIZE));
    set_config(1, 0);
    map_superpage(1, 0, 0);
}

/* The hart's own reads and writes of page tables are protected as well; the fault is that of the access. */
static void check_tables(void)
{
    csr_write(pmpaddr1, napot(window_table(), PAGE_SIZE));
    set_config(1, PMP_NAPOT);
    check_fault("pmp-table-load", MODE_S, load_word, CAUSE_LOAD_ACCESS, VIEW);
    check_fault("pmp-table-store", MODE_S, store_word, CAUSE_STORE_ACCESS, VIEW);
    check_trap("pmp-table-fetch", run(MODE_S, jump, VIEW), CAUSE_FETCH_ACCESS, VIEW, VIEW);

    set_config(1, PMP_NAPOT | PMP_R);
    check_return("pmp-table-read-only", run(MODE_S, load_word, VIEW));
    *page_entry(SPACE_A, 1) = make_pte((uintptr_t)PROTECTED, PTE_V | PTE_R);
    fence();
    /* QEMU sets A and D wherever it can read the entry. */
    note_trap("pmp-table-read-only-sets-a", run(MODE_S, load_word, VIEW), CAUSE_LOAD_ACCESS, (uintptr_t)load_word,
              VIEW);
    set_config(1, 0);
    map_view();
}

/* A locked entry binds M-mode too, and cannot be changed before reset. */
static void check_locked_page(void)
{
    uintptr_t page = (uintptr_t)PROTECTED;
    csr_write(pmpaddr0, napot(PROTECTED, PAGE_SIZE));
    set_config(0, PMP_LOCKED | PMP_NAPOT | PMP_R);
    check_return("pmp-locked-m-load", run(MODE_M, load_word, page));
    check_fault("pmp-locked-m-store", MODE_M, store_word, CAUSE_STORE_ACCESS, page);
    check_return("pmp-locked-s-load", run(MODE_S, load_word, VIEW));
    check_fault("pmp-locked-s-store", MODE_S, store_word, CAUSE_STORE_ACCESS, VIEW);

    set_config(0, PMP_NAPOT | PMP_RWX);
    csr_write(pmpaddr0, 0);
    fence();
    check_equal("pmp-locked-config-stays", get_config(0), PMP_LOCKED | PMP_NAPOT | PMP_R);
    check_equal("pmp-locked-address-stays", csr_read(pmpaddr0), napot(PROTECTED, PAGE_SIZE));
    check_fault("pmp-locked-still-denies", MODE_S, store_word, CAUSE_STORE_ACCESS, VIEW);
}

/* The top of a locked range locks its bottom, which is the address register before. */
static void check_locked_range(void)
{
    uintptr_t bottom = (uintptr_t)scratch[2] >> 2;
    csr_write(pmpaddr2, bottom);
    csr_write(pmpaddr3, (uintptr_t)scratch[3] >> 2);
    set_config(3, PMP_LOCKED | PMP_TOR | PMP_R);
    csr_write(pmpaddr2, 0);
    csr_write(pmpaddr3, 0);
    fence();
    check_equal("pmp-locked-bottom-stays", csr_read(pmpaddr2), bottom);
    check_equal("pmp-locked-top-stays", csr_read(pmpaddr3), (uintptr_t)scratch[3] >> 2);
    check_fault("pmp-locked-range-m", MODE_M, store_word, CAUSE_STORE_ACCESS, (uintptr_t)scratch[2]);
    check_return("pmp-locked-range-top-m", run(MODE_M, store_word, (uintptr_t)scratch[3]));
}

void check_protection(void)
{
    map_view();
    check_page();
    check_user_page();
    check_order();
    check_holes();
    check_partial_match();
    check_top_of_range();
    check_priority();
    check_superpage();
    check_tables();
    check_locked_page();
    check_locked_range();
}
