/* How an image waits for its network card: in a busy loop (wait_busy.c) or asleep (wait_wfi.c). */
#ifndef WAIT_H
#define WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "../virtio/virtio.h"

/* Before the first wait. */
void wait_prepare(const struct virtio_device *device);

/* Waits until the device is done with a buffer of `queue`; false if the time reaches `deadline` before that. */
bool wait_for_used(const struct virtq *queue, uint64_t deadline);

#endif
