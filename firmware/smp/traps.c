/* The trap handler of all harts, and how they wait for each other. */

#include "smp.h"

#include "contexts.h"
#include "print.h"

/* No wait is longer: a hart that does not come is a failure, not a hang. */
#define WATCH_TICKS (60 * TIMEBASE_HZ)
#define WATCH_CODE 99

struct hart_state states[HARTS_MAX];

void ping(unsigned hart, uint32_t request)
{
    __atomic_fetch_or(&states[hart].requests, request, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&states[hart].pings, 1, __ATOMIC_SEQ_CST);
    ipi_send(hart);
}

void ping_others(uint32_t request)
{
    for (unsigned hart = 0; hart < harts; hart++)
        if (hart != hart_id())
            ping(hart, request);
}

/* Takes pings before requests, as they are sent in the other order: no ping is counted before its request is done. */
static void on_ipi(struct hart_state *state)
{
    ipi_clear();
    uint32_t pings = __atomic_exchange_n(&state->pings, 0, __ATOMIC_SEQ_CST);
    uint32_t requests = __atomic_exchange_n(&state->requests, 0, __ATOMIC_SEQ_CST);
    if (requests & REQUEST_FENCE_I)
        __asm__ volatile("fence.i" ::: "memory");
    if (requests & REQUEST_SFENCE)
        __asm__ volatile("sfence.vma" ::: "memory");
    state->pings_taken += pings;
    state->ipis++;
}

static _Noreturn void on_watch(void)
{
    print("FAIL the harts wait for each other\n");
    board_fail(WATCH_CODE);
}

static void on_timer(struct hart_state *state)
{
    if (!state->timer_running)
        on_watch();
    state->timer_seen = clint_mtime();
    timer_set(hart_id(), CLINT_NEVER);
    state->timers++;
}

static void on_external(struct hart_state *state)
{
    unsigned irq = context_claim(hart_id());
    if (irq == 0) {
        state->empty_claims++;
        return;
    }
    *mmio8(UART_BASE + UART_IER) = 0;
    context_complete(hart_id(), irq);
    state->claims++;
}

/* The instructions that may fault are all four bytes long. */
static void on_page_fault(struct hart_state *state, uintptr_t cause)
{
    state->fault = cause;
    csr_write(mepc, csr_read(mepc) + 4);
}

/* Any other trap is a bug, and the host sees its cause as the exit code. */
__attribute__((interrupt("machine"), aligned(4))) static void on_trap(void)
{
    struct hart_state *state = own_state();
    uintptr_t cause = csr_read(mcause);
    switch (cause) {
    case CAUSE_INTERRUPT | IRQ_MSI: on_ipi(state); break;
    case CAUSE_INTERRUPT | IRQ_MTI: on_timer(state); break;
    case CAUSE_INTERRUPT | IRQ_MEI: on_external(state); break;
    case CAUSE_LOAD_PAGE:
    case CAUSE_STORE_PAGE: on_page_fault(state, cause); break;
    default: board_fail(0x100 | (uint8_t)cause);
    }
}

void traps_start(void)
{
    csr_write(mtvec, (uintptr_t)on_trap | TVEC_DIRECT);
    watch_start();
    csr_set(mie, 1UL << IRQ_MSI | 1UL << IRQ_MTI);
}

void watch_start(void)
{
    own_state()->timer_running = false;
    timer_set(hart_id(), hart_id() == 0 ? clint_mtime() + WATCH_TICKS : CLINT_NEVER);
}

struct barrier {
    uint32_t arrived;
    volatile bool sense;  /* what it becomes tells one meeting from the next */
};

/* Whether this hart is the last to arrive, so that it has opened the barrier. */
static bool arrive(struct barrier *barrier, bool sense)
{
    if (__atomic_add_fetch(&barrier->arrived, 1, __ATOMIC_SEQ_CST) != harts)
        return false;
    barrier->arrived = 0;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    barrier->sense = sense;
    return true;
}

void meet(void)
{
    static struct barrier barrier;
    bool sense = !barrier.sense;
    if (arrive(&barrier, sense)) {
        for (unsigned hart = 0; hart < harts; hart++)
            if (hart != hart_id())
                ipi_send(hart);
    }
    sleep_until(barrier.sense == sense);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void meet_spinning(void)
{
    static struct barrier barrier;
    bool sense = !barrier.sense;
    arrive(&barrier, sense);
    while (barrier.sense != sense)
        ;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
