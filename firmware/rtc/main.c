/* Checks the real-time clock: its time, its alarm, and the alarm's interrupt through the PLIC.
 *
 * Ends with pass, or with the number of failed checks as the code.
 */

#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "csr.h"
#include "plic.h"
#include "print.h"
#include "rtc.h"

#define NS_PER_MS 1000000ULL
#define TICKS_PER_MS (TIMEBASE_HZ / 1000)

#define ALARM_AHEAD_NS (5 * NS_PER_MS)

/* No wait is longer: an alarm that does not come is a failed check, not a hang. */
#define WAIT_MAX_MS 1000

/* What a read may lie behind the write before it, generously. */
#define WRITE_TO_READ_MAX_NS (1000 * NS_PER_MS)

static volatile uint32_t alarms_seen;
static volatile uint64_t alarm_seen_ns;
static volatile uint32_t status_seen;
static volatile bool timer_expired;

static unsigned checks_done, checks_failed;

static void check(const char *name, bool good)
{
    checks_done++;
    if (!good)
        checks_failed++;
    print("%s %s\n", good ? "ok" : "FAIL", name);
}

static void on_alarm(void)
{
    alarm_seen_ns = rtc_time();
    status_seen = rtc_read(RTC_ALARM_STATUS);
    rtc_write(RTC_CLEAR_INTERRUPT, 1);
    alarms_seen++;
}

static void on_external(void)
{
    unsigned irq = plic_claim();
    if (irq == RTC_IRQ)
        on_alarm();
    plic_complete(irq);
}

static void on_timer(void)
{
    clint_set_mtimecmp(CLINT_NEVER);
    timer_expired = true;
}

/* Any other trap is a bug, and the host sees its cause as the exit code. */
__attribute__((interrupt("machine"), aligned(4))) static void on_trap(void)
{
    uintptr_t cause = csr_read(mcause);
    switch (cause) {
    case CAUSE_INTERRUPT | IRQ_MEI: on_external(); break;
    case CAUSE_INTERRUPT | IRQ_MTI: on_timer(); break;
    default: board_fail(0x100 | (uint8_t)cause);
    }
}

/* The alarm comes only while sleep_until lets it: mstatus keeps interrupts off otherwise. */
static void start_interrupts(void)
{
    csr_write(mtvec, (uintptr_t)on_trap | TVEC_DIRECT);
    clint_set_mtimecmp(CLINT_NEVER);
    plic_enable(RTC_IRQ);
    csr_set(mie, 1UL << IRQ_MEI | 1UL << IRQ_MTI);
}

/* Sleeps until `alarms` have been seen, but not for more than `wait_max_ms`. */
static void sleep_until(uint32_t alarms, unsigned wait_max_ms)
{
    timer_expired = false;
    clint_set_mtimecmp(clint_mtime() + wait_max_ms * TICKS_PER_MS);
    while (alarms_seen != alarms && !timer_expired) {
        __asm__ volatile("wfi");
        csr_set(mstatus, MSTATUS_MIE);
        csr_clear(mstatus, MSTATUS_MIE);
    }
    clint_set_mtimecmp(CLINT_NEVER);
}

static void check_time(void)
{
    uint64_t first = rtc_time();
    uint64_t second = rtc_time();
    print("t: time %llu ns\n", (unsigned long long)first);
    check("time-is-set", first != 0);
    check("time-does-not-go-back", second >= first);

    rtc_read(RTC_TIME_LOW);
    check("time-high-is-latched", rtc_read(RTC_TIME_HIGH) == rtc_read(RTC_TIME_HIGH));
}

static void check_alarm(void)
{
    uint32_t before = alarms_seen;
    rtc_write(RTC_IRQ_ENABLED, 1);
    uint64_t deadline = rtc_time() + ALARM_AHEAD_NS;
    rtc_set_alarm(deadline);
    check("alarm-reads-back", rtc_alarm() == deadline);
    check("alarm-is-set", rtc_read(RTC_ALARM_STATUS) == 1);

    sleep_until(before + 1, WAIT_MAX_MS);
    check("alarm-comes", alarms_seen == before + 1);
    check("alarm-is-not-early", alarm_seen_ns >= deadline);
    check("alarm-is-not-set-any-more", status_seen == 0);
    print("t: alarm came %lld ns late\n", (long long)(alarm_seen_ns - deadline));
}

/* CLEAR_INTERRUPT took it back: with interrupts on, it does not come again. */
static void check_comes_once(void)
{
    uint32_t before = alarms_seen;
    sleep_until(before + 1, 1);
    check("alarm-comes-once", alarms_seen == before && timer_expired);
}

static void check_cancelled(void)
{
    uint32_t before = alarms_seen;
    rtc_set_alarm(rtc_time() + ALARM_AHEAD_NS);
    rtc_write(RTC_CLEAR_ALARM, 1);
    check("cancelled-alarm-is-not-set", rtc_read(RTC_ALARM_STATUS) == 0);
    sleep_until(before + 1, 10);
    check("cancelled-alarm-does-not-come", alarms_seen == before && timer_expired);
}

static void check_past(void)
{
    uint32_t before = alarms_seen;
    rtc_set_alarm(rtc_time() - 1);
    check("past-alarm-is-not-set", rtc_read(RTC_ALARM_STATUS) == 0);
    check("past-alarm-is-pending-at-once", csr_read(mip) & 1UL << IRQ_MEI);
    sleep_until(before + 1, WAIT_MAX_MS);
    check("past-alarm-comes", alarms_seen == before + 1);
}

/* A new alarm takes the place of the old one. */
static void check_replaced(void)
{
    uint32_t before = alarms_seen;
    uint64_t deadline = rtc_time() + ALARM_AHEAD_NS;
    rtc_set_alarm(deadline - 3 * NS_PER_MS);
    rtc_set_alarm(deadline);
    sleep_until(before + 1, WAIT_MAX_MS);
    check("replaced-alarm-comes", alarms_seen == before + 1);
    check("replaced-alarm-is-not-early", alarm_seen_ns >= deadline);
}

/* A masked alarm stays pending in the clock, and is cleared or delivered later. */
static void check_masked(void)
{
    uint32_t before = alarms_seen;
    rtc_write(RTC_IRQ_ENABLED, 0);
    rtc_set_alarm(0);
    sleep_until(before + 1, 1);
    check("masked-alarm-does-not-come", alarms_seen == before && timer_expired);
    rtc_write(RTC_IRQ_ENABLED, 1);
    sleep_until(before + 1, WAIT_MAX_MS);
    check("unmasked-alarm-comes", alarms_seen == before + 1);

    rtc_write(RTC_IRQ_ENABLED, 0);
    rtc_set_alarm(0);
    rtc_write(RTC_CLEAR_INTERRUPT, 1);
    rtc_write(RTC_IRQ_ENABLED, 1);
    sleep_until(before + 2, 1);
    check("cleared-alarm-does-not-come", alarms_seen == before + 1 && timer_expired);
}

static void check_set_time(const char *name, uint64_t time_ns)
{
    rtc_set_time(time_ns);
    uint64_t late = rtc_time() - time_ns;
    check(name, late < WRITE_TO_READ_MAX_NS);
    print("t: read back %llu ns later\n", (unsigned long long)late);
}

/* Both directions, and a carry from the low half into the high one. */
static void check_writes(void)
{
    uint64_t now = rtc_time();
    check_set_time("time-set-forward", now + (1ULL << 40));
    check_set_time("time-set-back", 1ULL << 60);
    check_set_time("time-set-before-a-carry", (1ULL << 60) - 1000);
    check_alarm();
}

int main(void)
{
    start_interrupts();
    check_time();
    check_alarm();
    check_comes_once();
    check_cancelled();
    check_past();
    check_replaced();
    check_masked();
    check_writes();

    if (checks_failed) {
        print("rtc: %u checks, %u failed\n", checks_done, checks_failed);
        board_fail(checks_failed);
    }
    print("rtc: %u checks, all ok\n", checks_done);
    return 0;
}
