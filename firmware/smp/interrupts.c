/* Interrupts of each hart: by another hart, by its timer, from the PLIC. */

#include "smp.h"

#include "contexts.h"
#include "print.h"

/* No hart has a software interrupt pending, and none will get one before it is sent again. */
static void settle(void)
{
    meet();
    meet_spinning();
    csr_set(mstatus, MSTATUS_MIE);
    csr_clear(mstatus, MSTATUS_MIE);
    meet_spinning();
}

static bool ipi_waits_while_disabled(void)
{
    struct hart_state *state = own_state();
    settle();
    uint32_t before = state->ipis;
    bool quiet = !(csr_read(mip) & 1UL << IRQ_MSI);
    ipi_send(hart_id());
    bool waits = csr_read(mip) & 1UL << IRQ_MSI && state->ipis == before;
    sleep_until(state->ipis != before);
    return quiet && waits && state->ipis == before + 1 && !(csr_read(mip) & 1UL << IRQ_MSI);
}

/* Each hart pings each other, which pings back. */
static bool pings_are_exact(void)
{
    struct hart_state *state = own_state();
    uint32_t first = state->pings_taken, expected = first;
    meet();
    for (unsigned from = 0; from < harts; from++) {
        for (unsigned to = 0; to < harts; to++) {
            if (from == to || (hart_id() != from && hart_id() != to))
                continue;
            if (hart_id() == from)
                ping(to, 0);
            expected++;
            sleep_until(state->pings_taken >= expected);
            if (hart_id() == to)
                ping(from, 0);
        }
        meet();
    }
    return state->pings_taken == expected && expected - first == 2 * (harts - 1);
}

#define PINGS_EACH 20

/* All ping hart 0 at once: interrupts may come together, but nothing that was asked before one may be missed. */
static bool no_ping_is_lost(void)
{
    struct hart_state *state = own_state();
    uint32_t expected = state->pings_taken + PINGS_EACH * (harts - 1);
    meet();
    for (unsigned i = 0; i < PINGS_EACH && hart_id() != 0; i++)
        ping(0, 0);
    if (hart_id() == 0)
        sleep_until(state->pings_taken >= expected);
    meet();
    return hart_id() != 0 || state->pings_taken == expected;
}

void check_ipis(void)
{
    check("a hart interrupts itself, when it lets it", ipi_waits_while_disabled());
    check("each hart interrupts each other", pings_are_exact());
    check("nothing is lost when all interrupt hart 0", no_ping_is_lost());
    if (hart_id() == 0)
        print("t: %u software interrupts on hart 0\n", states[0].ipis);
}

#define TIMER_ROUNDS 20
#define TICKS_PER_US (TIMEBASE_HZ / 1000000)

static uint64_t period_of(unsigned hart)
{
    return (50 + 17 * hart) * TICKS_PER_US;
}

/* All at once, each with its own period: 50 us and more. */
void check_timers(void)
{
    static volatile uint64_t latest[HARTS_MAX];
    struct hart_state *state = own_state();
    bool early = false;
    uint32_t rounds = 0;
    timer_set(hart_id(), CLINT_NEVER);
    state->timers = 0;
    state->timer_running = true;
    meet();
    for (uint64_t deadline = clint_mtime(); rounds < TIMER_ROUNDS && rounds == state->timers; rounds++) {
        deadline += period_of(hart_id());
        timer_set(hart_id(), deadline);
        sleep_until(state->timers > rounds);
        early = early || state->timer_seen < deadline;
        uint64_t late = state->timer_seen - deadline;
        latest[hart_id()] = late > latest[hart_id()] ? late : latest[hart_id()];
    }
    watch_start();
    check("no timer comes early", !early);
    check("each timer comes each time", state->timers == TIMER_ROUNDS && rounds == TIMER_ROUNDS);
    for (unsigned hart = 0; hart < harts && hart_id() == 0; hart++)
        print("t: hart %u: timer up to %llu ticks late\n", hart, (unsigned long long)latest[hart]);
}

#define EXTERNAL_ROUNDS 16

/* The UART has nothing to send, and says so at once: on the harts of the mask, of which one takes it. */
static void take_external(unsigned trigger)
{
    struct hart_state *state = own_state();
    uint32_t claims = state->claims, pings = state->pings_taken;
    meet();
    if (hart_id() == trigger)
        *mmio8(UART_BASE + UART_IER) = UART_IER_THRI;
    sleep_until(state->claims != claims || state->pings_taken != pings);
    if (state->claims != claims)
        ping_others(0);
    meet();
}

static uint32_t claims_of_all(void)
{
    uint32_t claims = 0;
    for (unsigned hart = 0; hart < harts; hart++)
        claims += states[hart].claims;
    return claims;
}

static void enable_external(unsigned hart, bool enable)
{
    if (enable)
        *context_enable(hart, UART_IRQ) |= 1U << UART_IRQ % 32;
    else
        *context_enable(hart, UART_IRQ) &= ~(1U << UART_IRQ % 32);
}

static bool only_one_claims(void)
{
    bool good = true;
    enable_external(hart_id(), true);
    for (unsigned round = 0; round < EXTERNAL_ROUNDS; round++) {
        uint32_t before = claims_of_all();
        take_external(round % harts);
        good = good && claims_of_all() == before + 1;
    }
    enable_external(hart_id(), false);
    return good;
}

/* Hart `hart` alone may take it, and the hart after it is the cause. */
static bool only_enabled_one_claims(void)
{
    struct hart_state *state = own_state();
    bool good = true;
    for (unsigned hart = 0; hart < harts; hart++) {
        uint32_t before = state->claims, empty = state->empty_claims;
        meet();
        if (hart_id() == hart)
            enable_external(hart, true);
        take_external((hart + 1) % harts);
        if (hart_id() == hart)
            enable_external(hart, false);
        good = good && state->claims == before + (hart_id() == hart) && state->empty_claims == empty;
    }
    return good;
}

void check_external(void)
{
    if (hart_id() == 0)
        *mmio32(PLIC_BASE + PLIC_PRIORITY(UART_IRQ)) = 1;
    context_set_threshold(hart_id(), 0);
    csr_set(mie, 1UL << IRQ_MEI);
    meet();
    check("one hart of all takes an external interrupt", only_one_claims());
    check("an external interrupt goes where it is enabled", only_enabled_one_claims());
    csr_clear(mie, 1UL << IRQ_MEI);
    for (unsigned hart = 0; hart < harts && hart_id() == 0; hart++)
        print("t: hart %u: %u taken, %u taken by another hart\n", hart, states[hart].claims,
              states[hart].empty_claims);
}
