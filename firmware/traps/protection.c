/* Physical memory protection. Entries 0..3 are for the checks, the last one opens all memory. */

#include "check.h"
#include "csr.h"
#include "groups.h"
#include "provoke.h"

#define PMP_RWX (PMP_R | PMP_W | PMP_X)
#define PMP_TOR 0x08UL

/* Entry 15 is the last byte of its configuration register. */
#if __riscv_xlen == 64
#define PMP_LAST_CONFIG pmpcfg2
#else
#define PMP_LAST_CONFIG pmpcfg3
#endif
#define PMP_LAST_SHIFT (__riscv_xlen - 8)

/* The hart may keep old decisions until then. */
static void fence(void)
{
    __asm__ volatile("sfence.vma" ::: "memory");
}

#define expand_csr_write(csr, value) csr_write(csr, value)

void allow_all_memory(void)
{
    csr_write(pmpaddr15, UINTPTR_MAX);
    expand_csr_write(PMP_LAST_CONFIG, (PMP_NAPOT | PMP_RWX) << PMP_LAST_SHIFT);
    fence();
}

static void deny_all_memory(void)
{
    expand_csr_write(PMP_LAST_CONFIG, 0);
    fence();
}

/* Entries 0..3 share a register on both widths. */
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

/* The NAPOT encoding of one page: its size in the number of trailing ones. */
static uintptr_t napot_page(const void *page)
{
    return (uintptr_t)page >> 2 | (PAGE_SIZE / 8 - 1);
}

static void check_denied(const char *name, enum mode mode, trial *code, uintptr_t cause, uintptr_t address)
{
    check_trap(name, run(mode, code, address), 'M', cause, (uintptr_t)code, address);
}

static void check_no_match(void)
{
    /* QEMU lets nothing leave M-mode without any entry, so there is one, elsewhere. */
    csr_write(pmpaddr1, napot_page(scratch[1]));
    set_config(1, PMP_NAPOT | PMP_RWX);
    deny_all_memory();
    uintptr_t pc = (uintptr_t)do_nothing;
    check_trap("pmp-no-match-s", run(MODE_S, do_nothing, 0), 'M', CAUSE_FETCH_ACCESS, pc, pc);
    check_trap("pmp-no-match-u", run(MODE_U, do_nothing, 0), 'M', CAUSE_FETCH_ACCESS, pc, pc);
    check_return("pmp-no-match-m", run(MODE_M, do_nothing, 0));
    allow_all_memory();
    set_config(1, 0);
}

static void check_page(void)
{
    uintptr_t page = (uintptr_t)scratch[1];
    csr_write(pmpaddr1, napot_page(scratch[1]));
    set_config(1, PMP_NAPOT | PMP_R);
    check_return("pmp-read-only-load", run(MODE_S, load_word, page));
    check_denied("pmp-read-only-store-s", MODE_S, store_word, CAUSE_STORE_ACCESS, page);
    check_denied("pmp-read-only-store-u", MODE_U, store_word, CAUSE_STORE_ACCESS, page);
    check_denied("pmp-read-only-amo", MODE_S, amo_add, CAUSE_STORE_ACCESS, page);
    check_trap("pmp-read-only-fetch", run(MODE_S, jump, page), 'M', CAUSE_FETCH_ACCESS, page, page);
    check_return("pmp-not-locked-m-store", run(MODE_M, store_word, page));
    check_return("pmp-page-before", run(MODE_S, store_word, page - 4));
    check_return("pmp-page-after", run(MODE_S, store_word, page + PAGE_SIZE));
    set_config(1, 0);
    check_return("pmp-off", run(MODE_S, store_word, page));
}

/* Four bytes in the middle of a page: their neighbours share their translation but not their protection. */
static void check_four_bytes(void)
{
    uintptr_t hole = (uintptr_t)scratch[1] + 0x804;
    csr_write(pmpaddr1, hole >> 2);
    set_config(1, PMP_NA4);
    check_return("pmp-na4-load-before", run(MODE_S, load_word, hole - 4));
    check_denied("pmp-na4-load-inside", MODE_S, load_word, CAUSE_LOAD_ACCESS, hole);
    check_return("pmp-na4-load-after", run(MODE_S, load_word, hole + 4));
    check_denied("pmp-na4-load-byte-inside", MODE_U, load_byte, CAUSE_LOAD_ACCESS, hole + 3);
    check_denied("pmp-na4-store-inside", MODE_U, store_word, CAUSE_STORE_ACCESS, hole);
    check_return("pmp-na4-store-before", run(MODE_U, store_word, hole - 4));
    check_return("pmp-na4-store-after", run(MODE_U, store_word, hole + 4));
#if __riscv_xlen == 64
    check_denied("pmp-na4-load-over-edge", MODE_S, load_double, CAUSE_LOAD_ACCESS, hole - 4);
#endif
    set_config(1, 0);
}

/* The lowest numbered entry that matches decides. */
static void check_priority(void)
{
    uintptr_t page = (uintptr_t)scratch[1];
    csr_write(pmpaddr1, napot_page(scratch[1]));
    csr_write(pmpaddr2, napot_page(scratch[1]));
    set_config(1, PMP_NAPOT | PMP_R);
    set_config(2, PMP_NAPOT);
    check_return("pmp-first-entry-decides", run(MODE_S, load_word, page));
    set_config(1, 0);
    check_denied("pmp-second-entry-decides", MODE_S, load_word, CAUSE_LOAD_ACCESS, page);
    set_config(2, 0);
}

static void check_top_of_range(void)
{
    uintptr_t bottom = (uintptr_t)scratch[1];
    uintptr_t top = bottom + PAGE_SIZE;
    csr_write(pmpaddr2, bottom >> 2);
    csr_write(pmpaddr3, top >> 2);
    set_config(3, PMP_TOR);
    check_return("pmp-tor-below", run(MODE_S, load_word, bottom - 4));
    check_denied("pmp-tor-bottom", MODE_S, load_word, CAUSE_LOAD_ACCESS, bottom);
    check_denied("pmp-tor-last", MODE_S, load_word, CAUSE_LOAD_ACCESS, top - 4);
    check_return("pmp-tor-top", run(MODE_S, load_word, top));
    set_config(3, 0);
}

/* A locked entry binds M-mode too, and cannot be changed before reset. */
static void check_locked(void)
{
    uintptr_t page = (uintptr_t)scratch[1];
    csr_write(pmpaddr0, napot_page(scratch[1]));
    set_config(0, PMP_LOCKED | PMP_NAPOT | PMP_R);
    check_return("pmp-locked-m-load", run(MODE_M, load_word, page));
    check_denied("pmp-locked-m-store", MODE_M, store_word, CAUSE_STORE_ACCESS, page);
    check_trap("pmp-locked-m-fetch", run(MODE_M, jump, page), 'M', CAUSE_FETCH_ACCESS, page, page);

    set_config(0, PMP_RWX);
    csr_write(pmpaddr0, 0);
    check_equal("pmp-locked-config-stays", get_config(0), PMP_LOCKED | PMP_NAPOT | PMP_R);
    check_equal("pmp-locked-address-stays", csr_read(pmpaddr0), napot_page(scratch[1]));
    check_denied("pmp-locked-still-denies", MODE_M, store_word, CAUSE_STORE_ACCESS, page);
}

void check_protection(void)
{
    check_no_match();
    check_page();
    check_four_bytes();
    check_priority();
    check_top_of_range();
    check_locked();
}
