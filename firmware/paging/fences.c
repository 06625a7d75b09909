/* Changing page tables and ordering that with each form of sfence.vma. */

#include "check.h"
#include "csr.h"
#include "groups.h"
#include "provoke.h"

typedef void fence_form(uintptr_t address);

/* ASID 0 is the current one. */
static void fence_everything(uintptr_t address)
{
    (void)address;
    __asm__ volatile("sfence.vma" ::: "memory");
}

static void fence_address(uintptr_t address)
{
    __asm__ volatile("sfence.vma %0" ::"r"(address) : "memory");
}

static void fence_asid(uintptr_t address)
{
    (void)address;
    uintptr_t asid = 0;
    __asm__ volatile("sfence.vma zero, %0" ::"r"(asid) : "memory");
}

static void fence_address_and_asid(uintptr_t address)
{
    uintptr_t asid = 0;
    __asm__ volatile("sfence.vma %0, %1" ::"r"(address), "r"(asid) : "memory");
}

/* What a change of the first page of the window is made of. The old entry is used first. */
struct change {
    fence_form *fence;
    uintptr_t old, new;
};

static volatile uint32_t *window_word(void)
{
    return (volatile uint32_t *)WINDOW;
}

/* In S-mode, with no trap on the way. */
static uintptr_t change_and_load(const struct change *change)
{
    *page_entry(SPACE_A, 0) = change->old;
    fence();
    (void)*window_word();
    *page_entry(SPACE_A, 0) = change->new;
    change->fence(WINDOW);
    return *window_word();
}

static uintptr_t change_and_store(const struct change *change)
{
    *page_entry(SPACE_A, 0) = change->old;
    fence();
    *window_word() = 1;
    *page_entry(SPACE_A, 0) = change->new;
    change->fence(WINDOW);
    *window_word() = 2;
    return 0;
}

/* Expects a page fault that came from S-mode, somewhere in the functions above. */
static void check_change_faults(const char *name, struct outcome got, uintptr_t cause)
{
    check_trap(name, got, cause, got.epc, WINDOW);
}

static void check_form(const char *const names[3], fence_form *form)
{
    uintptr_t first = make_pte((uintptr_t)scratch[0], PAGE_RW);
    put_word(scratch[0], 0xaaaa);
    put_word(scratch[1], 0xbbbb);

    struct change remap = {form, first, make_pte((uintptr_t)scratch[1], PAGE_RW)};
    check_value(names[0], run_function(change_and_load, &remap), 0xbbbb);
    struct change unmap = {form, first, 0};
    check_change_faults(names[1], run_function(change_and_load, &unmap), CAUSE_LOAD_PAGE);
    struct change protect = {form, first, make_pte((uintptr_t)scratch[0], PAGE_R)};
    check_change_faults(names[2], run_function(change_and_store, &protect), CAUSE_STORE_PAGE);
}

static void check_forms(void)
{
    static const char *const everything[] = {"fence-all-remap", "fence-all-unmap", "fence-all-protect"};
    static const char *const address[] = {"fence-address-remap", "fence-address-unmap", "fence-address-protect"};
    static const char *const asid[] = {"fence-asid-remap", "fence-asid-unmap", "fence-asid-protect"};
    static const char *const both[] = {"fence-both-remap", "fence-both-unmap", "fence-both-protect"};
    check_form(everything, fence_everything);
    check_form(address, fence_address);
    check_form(asid, fence_asid);
    check_form(both, fence_address_and_asid);
}

/* A fence for an address reaches the whole superpage that the address is in. */
static uintptr_t change_superpage(uintptr_t *seen)
{
    uintptr_t where = superpage_address(1) + (uintptr_t)scratch % LEVEL_SIZE(1);
    uintptr_t whole = (uintptr_t)scratch - (uintptr_t)scratch % LEVEL_SIZE(1);
    *superpage_entry(1) = make_pte(whole, PAGE_RW);
    fence();
    *seen = *(volatile uint32_t *)where;
    *superpage_entry(1) = 0;
    fence_address(superpage_address(1) + PAGE_SIZE);
    return *(volatile uint32_t *)where;
}

static void check_superpage_fence(void)
{
    uintptr_t seen = 0;
    uintptr_t where = superpage_address(1) + (uintptr_t)scratch % LEVEL_SIZE(1);
    put_word(scratch[0], 0xaaaa);
    struct outcome got = run_function(change_superpage, &seen);
    check_equal("fence-superpage-before", seen, 0xaaaa);
    check_trap("fence-superpage-unmap", got, CAUSE_LOAD_PAGE, got.epc, where);
}

/* A global page needs a fence without an ASID. */
static void check_global(void)
{
    struct change remap = {fence_everything, make_pte((uintptr_t)scratch[0], PAGE_RW | PTE_G),
                           make_pte((uintptr_t)scratch[1], PAGE_RW | PTE_G)};
    check_value("fence-all-global", run_function(change_and_load, &remap), 0xbbbb);
    remap.fence = fence_address;
    check_value("fence-address-global", run_function(change_and_load, &remap), 0xbbbb);
}

/* An entry may be cached while it is not valid, so even a new page needs a fence. */
static uintptr_t map_without_fence(uintptr_t entry)
{
    *page_entry(SPACE_A, 0) = entry;
    return *window_word();
}

static void note_missing_fences(void)
{
    map_page(0, 0, 0);
    run(MODE_S, load_word, WINDOW);
    struct outcome got = run_function(map_without_fence, make_pte((uintptr_t)scratch[0], PAGE_RW));
    note_choice("mapped-without-fence", got.handler == '-' ? "seen at once" : "still faults");
}

/* The code under the PC goes away: the instruction after the fence is not there any more, and maybe not even the fence.
 * QEMU finishes the block that it has translated. */
static void check_unmap_own_code(void)
{
    uintptr_t size = (uintptr_t)store_entry_and_fence_end - (uintptr_t)store_entry_and_fence;
    uintptr_t own_fence = WINDOW + ((uintptr_t)store_entry_and_fence_fence - (uintptr_t)store_entry_and_fence);
    uintptr_t after = WINDOW + ((uintptr_t)store_entry_and_fence_after - (uintptr_t)store_entry_and_fence);
    for (uintptr_t i = 0; i < size; i += 2)
        put_parcel(scratch[0] + i, *(const uint16_t *)((uintptr_t)store_entry_and_fence + i));
    fence_i();
    map_page(0, scratch[0], PAGE_X);
    uintptr_t entry = (uintptr_t)page_entry(SPACE_A, 0);
    check_value("own-code-stays", run_at(MODE_S, WINDOW, entry, *page_entry(SPACE_A, 0)), 7);
    struct outcome got = run_at(MODE_S, WINDOW, entry, 0);
    uintptr_t where = got.epc == own_fence ? own_fence : after;
    note_trap("own-code-unmapped", got, CAUSE_FETCH_PAGE, where, where);
}

void check_fences(void)
{
    check_forms();
    check_superpage_fence();
    check_global();
    note_missing_fences();
    check_unmap_own_code();
    map_page(0, 0, 0);
}
