/* The goldfish real-time clock: nanoseconds since 1970, and one alarm. */
#ifndef RTC_H
#define RTC_H

#include <stdint.h>

#include "board.h"

#define RTC_TIME_LOW 0x00
#define RTC_TIME_HIGH 0x04
#define RTC_ALARM_LOW 0x08
#define RTC_ALARM_HIGH 0x0c
#define RTC_IRQ_ENABLED 0x10
#define RTC_CLEAR_ALARM 0x14
#define RTC_ALARM_STATUS 0x18
#define RTC_CLEAR_INTERRUPT 0x1c

static inline uint32_t rtc_read(unsigned offset)
{
    return *mmio32(RTC_BASE + offset);
}

static inline void rtc_write(unsigned offset, uint32_t value)
{
    *mmio32(RTC_BASE + offset) = value;
}

/* Reading the low half latches the high half, so this order is safe. */
static inline uint64_t rtc_time(void)
{
    uint32_t low = rtc_read(RTC_TIME_LOW);
    return (uint64_t)rtc_read(RTC_TIME_HIGH) << 32 | low;
}

static inline void rtc_set_time(uint64_t time_ns)
{
    rtc_write(RTC_TIME_HIGH, (uint32_t)(time_ns >> 32));
    rtc_write(RTC_TIME_LOW, (uint32_t)time_ns);
}

static inline uint64_t rtc_alarm(void)
{
    uint32_t low = rtc_read(RTC_ALARM_LOW);
    return (uint64_t)rtc_read(RTC_ALARM_HIGH) << 32 | low;
}

/* Writing the low half sets the alarm, so the high half must be there already. */
static inline void rtc_set_alarm(uint64_t time_ns)
{
    rtc_write(RTC_ALARM_HIGH, (uint32_t)(time_ns >> 32));
    rtc_write(RTC_ALARM_LOW, (uint32_t)time_ns);
}

#endif
