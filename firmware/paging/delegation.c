/* S-mode takes its own traps: delegated exceptions and interrupts, a vectored stvec, sret. */

#include "check.h"
#include "csr.h"
#include "groups.h"
#include "provoke.h"
#include "provoke_m.h"

#define PAGE_FAULTS (1UL << CAUSE_FETCH_PAGE | 1UL << CAUSE_LOAD_PAGE | 1UL << CAUSE_STORE_PAGE)

#define SSIP (1UL << IRQ_SSI)
#define STIP (1UL << IRQ_STI)
#define SEIP (1UL << IRQ_SEI)

extern trial s_vectors;

static void set_stvec(uintptr_t address)
{
    csr_write(stvec, address | TVEC_VECTORED);
    s_handlers_moved_by = address - (uintptr_t)s_vectors;
}

static void check_delegated(const char *name, struct outcome got, uintptr_t cause, uintptr_t epc, uintptr_t tval)
{
    check_trap_by(name, got, 'S', cause, epc, tval);
}

static void check_page_faults(void)
{
    map_page(0, 0, 0);
    struct outcome got = run(MODE_U, load_word, WINDOW);
    check_delegated("delegated-load-from-u", got, CAUSE_LOAD_PAGE, code_address(MODE_U, load_word), WINDOW);
    check_equal("delegated-exception-vector", got.vector, 0);
    check_equal("delegated-from-u-spp", got.status & MSTATUS_SPP, 0);

    got = run(MODE_S, store_word, WINDOW);
    check_delegated("delegated-store-from-s", got, CAUSE_STORE_PAGE, (uintptr_t)store_word, WINDOW);
    check_equal("delegated-from-s-spp", got.status & MSTATUS_SPP, MSTATUS_SPP);
    check_delegated("delegated-fetch-from-u", run(MODE_U, jump, WINDOW), CAUSE_FETCH_PAGE, WINDOW, WINDOW);
    check_trap("not-delegated-from-m",
               run_with(MODE_M, modified_load, WINDOW, MSTATUS_MPRV | (uintptr_t)MODE_S << MSTATUS_MPP_SHIFT),
               CAUSE_LOAD_PAGE, (uintptr_t)modified_load_access, WINDOW);
}

/* Taken before the first instruction of a trial in U-mode, which needs no enable. */
static void check_interrupt(const char *name, uintptr_t pending, uintptr_t irq)
{
    csr_set(mip, pending);
    struct outcome got = run(MODE_U, do_nothing, 0);
    check_delegated(name, got, CAUSE_INTERRUPT | irq, code_address(MODE_U, do_nothing), 0);
    check_equal("delegated-interrupt-vector", got.vector, irq);
    csr_clear(mip, pending);
}

static void check_interrupts(void)
{
    csr_write(mideleg, SSIP | STIP | SEIP);
    csr_write(mie, SSIP | STIP | SEIP);
    check_interrupt("delegated-ssi", SSIP, IRQ_SSI);
    check_interrupt("delegated-sti", STIP, IRQ_STI);
    check_interrupt("delegated-sei", SEIP, IRQ_SEI);
    csr_set(mip, SSIP);
    check_return("delegated-ssi-masked-in-s", run(MODE_S, do_nothing, 0));
    csr_clear(mip, SSIP);
    csr_write(mie, 0);
    csr_write(mideleg, 0);
}

/* The handlers are reached through a page of the window: two pages, as they may lie over an edge. */
static void check_moved_handlers(void)
{
    uintptr_t handlers = (uintptr_t)s_vectors;
    const uint8_t *page = (const uint8_t *)(handlers - handlers % PAGE_SIZE);
    map_page(2, page, PTE_V | PTE_X);
    map_page(3, page + PAGE_SIZE, PTE_V | PTE_X);
    set_stvec(WINDOW_PAGE(2) + handlers % PAGE_SIZE);
    check_delegated("moved-stvec-load", run(MODE_U, load_word, WINDOW), CAUSE_LOAD_PAGE,
                    code_address(MODE_U, load_word), WINDOW);
    check_equal("moved-stvec-sets-a", page_flags(2), PAGE_X);
    csr_write(mideleg, SSIP);
    csr_write(mie, SSIP);
    check_interrupt("moved-stvec-ssi", SSIP, IRQ_SSI);
    csr_write(mie, 0);
    csr_write(mideleg, 0);
}

/* The trap to S-mode happens, and then its handler's first instruction cannot be fetched. */
static void check_missing_handlers(void)
{
    uintptr_t handlers = csr_read(stvec) & ~TVEC_VECTORED;
    csr_write(medeleg, 1UL << CAUSE_ECALL_U);
    map_page(2, 0, 0);
    struct outcome got = run(MODE_U, environment_call, 0);
    check_trap("missing-stvec", got, CAUSE_FETCH_PAGE, handlers, handlers);
    check_equal("missing-stvec-from-s", got.status & MSTATUS_MPP, (uintptr_t)MODE_S << MSTATUS_MPP_SHIFT);
    check_equal("missing-stvec-scause", csr_read(scause), CAUSE_ECALL_U);
    check_equal("missing-stvec-sepc", csr_read(sepc), code_address(MODE_U, environment_call));
    map_page(3, 0, 0);
}

/* sret to U-mode, which comes back to S-mode at once. */
static void check_round_trip(void)
{
    uintptr_t target = code_address(MODE_U, environment_call);
    csr_write(medeleg, PAGE_FAULTS | 1UL << CAUSE_ECALL_U | 1UL << CAUSE_BREAKPOINT);
    check_delegated("sret-and-ecall", run(MODE_S, sret_to_u, target), CAUSE_ECALL_U, target, 0);
    struct outcome got = run(MODE_U, breakpoint, 0);
    check_delegated("delegated-breakpoint", got, CAUSE_BREAKPOINT, code_address(MODE_U, breakpoint), got.tval);

    /* Where S-mode sees the code, U-mode may not execute it. */
    uintptr_t private = (uintptr_t)environment_call;
    check_delegated("sret-to-supervisor-page", run(MODE_S, sret_to_u, private), CAUSE_FETCH_PAGE, private, private);
    check_delegated("sret-to-nowhere", run(MODE_S, sret_to_u, WINDOW), CAUSE_FETCH_PAGE, WINDOW, WINDOW);
}

void check_delegation(void)
{
    csr_write(medeleg, PAGE_FAULTS);
    set_stvec((uintptr_t)s_vectors);
    check_page_faults();
    check_interrupts();
    check_moved_handlers();
    check_missing_handlers();
    set_stvec((uintptr_t)s_vectors);
    check_round_trip();
    csr_write(medeleg, 0);
}
