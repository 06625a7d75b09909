/* satp: its modes, its root and its address space numbers. */

#include "check.h"
#include "csr.h"
#include "groups.h"
#include "print.h"
#include "provoke.h"

#define VALUE_A 0xaaaa
#define VALUE_B 0xbbbb

static volatile uint32_t *space_word(void)
{
    return (volatile uint32_t *)WINDOW;
}

static void map_spaces(uintptr_t flags)
{
    put_word(scratch[0], VALUE_A);
    put_word(scratch[1], VALUE_B);
    *page_entry(SPACE_A, 0) = make_pte((uintptr_t)scratch[0], flags);
    *page_entry(SPACE_B, 0) = make_pte((uintptr_t)scratch[1], flags);
    fence();
}

/* Switches to the other root and back, in S-mode. */
static uintptr_t switch_root(uintptr_t asid)
{
    csr_write(satp, satp_of(SPACE_B, asid));
    fence();
    uintptr_t seen = *space_word();
    csr_write(satp, satp_of(SPACE_A, asid));
    fence();
    return seen << 16 | *space_word();
}

static void check_roots(void)
{
    map_spaces(PAGE_RW);
    check_value("other-root", run_function(switch_root, 0), (uintptr_t)VALUE_B << 16 | VALUE_A);
}

/* Without paging, addresses are physical. Going there and back needs no fence: it takes effect at once. */
static uintptr_t leave_paging(const volatile uint32_t *where)
{
    csr_write(satp, 0);
    uintptr_t seen = *where;
    csr_write(satp, satp_of(SPACE_A, 0));
    return seen << 16 | *space_word();
}

static void check_bare(void)
{
    map_spaces(PAGE_RW);
    check_value("bare-and-back", run_function(leave_paging, scratch[1]), (uintptr_t)VALUE_B << 16 | VALUE_A);

    paging_off();
    check_value("bare-load-from-u", run(MODE_U, load_word, (uintptr_t)scratch[1]), VALUE_B);
    check_value("bare-load-from-s", run(MODE_S, load_word, (uintptr_t)scratch[0]), VALUE_A);
    put_return_of(scratch[2], 3);
    fence_i();
    check_value("bare-fetch-from-u", run(MODE_U, jump, (uintptr_t)scratch[2]), 3);
#ifndef HOME_IS_S
    /* No memory there. Not from under other firmware, which may not let us see the fault. */
    check_fault("bare-load-window", MODE_S, load_word, CAUSE_LOAD_ACCESS, WINDOW);
#endif
    paging_on();
    check_value("paged-again", run(MODE_S, load_word, WINDOW), VALUE_A);
}

#if __riscv_xlen == 64

/* Writes satp with another mode and returns what it is then; puts it back. */
static uintptr_t try_mode(uintptr_t mode)
{
    uintptr_t before = csr_read(satp);
    csr_write(satp, mode << SATP_MODE_SHIFT | (satp_of(SPACE_B, 5) & ((1UL << SATP_MODE_SHIFT) - 1)));
    uintptr_t after = csr_read(satp);
    csr_write(satp, before);
    fence();
    return after;
}

/* A mode that the hart does not have: the whole write changes nothing. */
static void check_modes(void)
{
    static const struct {
        const char *name;
        uintptr_t mode;
    } missing[] = {{"satp-mode-15", 15}, {"satp-mode-11", 11}, {"satp-mode-1", 1}, {"satp-mode-7", 7}};
    uintptr_t before = csr_read(satp);
    for (unsigned i = 0; i < sizeof missing / sizeof missing[0]; i++)
        check_value(missing[i].name, run_function(try_mode, missing[i].mode), before);

#ifndef HOME_IS_S
    /* In S-mode the next instruction could not be fetched any more. */
    note_choice("sv48", try_mode(9) == before ? "not there" : "there");
    note_choice("sv57", try_mode(10) == before ? "not there" : "there");
#endif
    check_value("still-paged", run(MODE_S, load_word, WINDOW), VALUE_A);
}

#else

static void check_modes(void)
{
}

#endif

static uintptr_t asid_mask(void)
{
    csr_write(satp, satp_of(SPACE_A, SATP_ASID_MAX));
    uintptr_t mask = csr_read(satp) >> SATP_ASID_SHIFT & SATP_ASID_MAX;
    csr_write(satp, satp_of(SPACE_A, 0));
    fence();
    return mask;
}

/* Each space has its own number, so going between them needs no fence. */
static uintptr_t alternate(unsigned rounds)
{
    uintptr_t sum = 0;
    for (unsigned i = 0; i < rounds; i++) {
        csr_write(satp, satp_of(SPACE_A, 1));
        sum += *space_word() == VALUE_A;
        csr_write(satp, satp_of(SPACE_B, 2));
        sum += *space_word() == VALUE_B;
    }
    csr_write(satp, satp_of(SPACE_A, 0));
    fence();
    return sum;
}

/* A fence for one number only: the page of that space changes. */
static uintptr_t change_in_space(uintptr_t asid)
{
    csr_write(satp, satp_of(SPACE_B, asid));
    fence();
    uintptr_t before = *space_word();
    *page_entry(SPACE_B, 0) = make_pte((uintptr_t)scratch[0], PAGE_RW);
    __asm__ volatile("sfence.vma zero, %0" ::"r"(asid) : "memory");
    uintptr_t after = *space_word();
    csr_write(satp, satp_of(SPACE_A, 0));
    fence();
    return before << 16 | after;
}

static void check_address_space_numbers(void)
{
    uintptr_t mask = asid_mask();
    print("t: asid mask %lx\n", (unsigned long)mask);
    map_spaces(PAGE_RW);
    check_value("other-root-other-asid", run_function(switch_root, mask & 3), (uintptr_t)VALUE_B << 16 | VALUE_A);
    /* With fewer than two bits the two spaces would share a number. */
    if ((mask & 3) == 3)
        check_value("asids-without-fence", run_function(alternate, 10), 20);
    check_value("fence-of-one-asid", run_function(change_in_space, mask & 2), (uintptr_t)VALUE_B << 16 | VALUE_A);

    map_spaces(PTE_V | PTE_R);
    run_function(switch_root, 0);
    check_equal("own-a-bit-of-space-a", flags_of(*page_entry(SPACE_A, 0)), PAGE_R);
    check_equal("own-a-bit-of-space-b", flags_of(*page_entry(SPACE_B, 0)), PAGE_R);
}

void check_address_spaces(void)
{
    check_roots();
    check_bare();
    check_modes();
    check_address_space_numbers();
    map_page(0, 0, 0);
}
