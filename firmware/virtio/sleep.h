/* Waiting for virtio devices in WFI, with no handler: interrupts are enabled in `mie` and stay off in `mstatus`.
 *
 * WFI ends when an enabled interrupt is pending, whatever mstatus.MIE says. So whoever looks at a ring and then sleeps
 * can't miss what the device does in between: its interrupt is pending then, and the sleep ends at once.
 */
#ifndef SLEEP_H
#define SLEEP_H

#include <stdint.h>

#include "virtio.h"

/* Lets the device end a sleep. */
void sleep_allow(const struct virtio_device *device);

/* Sleeps until a device interrupts, and takes the interrupt back. May wake up for nothing. */
void sleep_for_device(void);

/* The same, but not beyond `deadline` of mtime. */
void sleep_until(uint64_t deadline);

#endif
