/* A driver for virtio devices behind virtio-mmio: both versions of the transport, split virtqueues.
 *
 * Whoever uses it includes virtio.c into a file of its own. A device that misbehaves ends the run with VIRTIO_FAILED.
 *
 * Source: VIRTIO 1.2, sections 2.7 and 4.2.
 */
#ifndef VIRTIO_H
#define VIRTIO_H

#include <stdbool.h>
#include <stdint.h>

/* Eight slots; the interrupt of the first is the PLIC's source 1. */
#define VIRTIO_BASE 0x10001000UL
#define VIRTIO_STRIDE 0x1000UL
#define VIRTIO_SLOTS 8
#define VIRTIO_IRQ 1

#define VIRTIO_NET 1
#define VIRTIO_INPUT 18

/* Exit codes of the images. */
#define VIRTIO_NOT_FOUND 2
#define VIRTIO_FAILED 4

/* A power of two that no device of ours finds too large. */
#define VIRTQ_SIZE 64

/* Of the used ring: the legacy transport lets the driver choose. */
#define VIRTQ_ALIGN 64

#define VIRTQ_DESC_WRITE 2

struct virtq_desc {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};

struct virtq_avail {
    uint16_t flags;
    volatile uint16_t index;
    uint16_t ring[VIRTQ_SIZE];
    uint16_t used_event;
};

struct virtq_used {
    uint16_t flags;
    volatile uint16_t index;
    struct {
        uint32_t id, length;
    } ring[VIRTQ_SIZE];
    uint16_t avail_event;
};

/* Laid out as the legacy transport wants it: the start on a page, one part behind the other. */
struct virtq_rings {
    struct virtq_desc desc[VIRTQ_SIZE];
    struct virtq_avail avail;
    struct virtq_used used __attribute__((aligned(VIRTQ_ALIGN)));
} __attribute__((aligned(4096)));

struct virtio_device {
    uintptr_t base;
    unsigned irq;
    uint32_t version;
};

struct virtq {
    struct virtq_rings rings;
    const struct virtio_device *device;
    unsigned number;
    uint16_t used_seen;
};

/* A buffer that the device is done with: the number it was offered under, and how many bytes the device wrote. */
struct virtq_done {
    unsigned id;
    uint32_t written;
};

/* The highest slot below `below` with such a device in it, or -1: QEMU fills the slots from the last one down. */
int virtio_find(uint32_t device_id, int below);

/* Resets the device and agrees with it on those of `features` (bits 0 to 31) that it offers; returns them. */
uint32_t virtio_start(struct virtio_device *device, int slot, uint32_t features);

/* The modern interface, whose structures may differ from the legacy one's. */
bool virtio_is_modern(const struct virtio_device *device);

/* Hands an empty queue to the device, between virtio_start and virtio_run. */
void virtio_add_queue(const struct virtio_device *device, unsigned number, struct virtq *queue);

/* The device may use its queues from now on. */
void virtio_run(const struct virtio_device *device);

/* A byte of the device's configuration. */
volatile uint8_t *virtio_config(const struct virtio_device *device, unsigned offset);

/* Takes back the interrupt of the slot with interrupt `irq`. */
void virtio_acknowledge(unsigned irq);

/* Offers a buffer as number `id` (below VIRTQ_SIZE), for the device to write to or to read. */
void virtq_offer(struct virtq *queue, unsigned id, void *data, uint32_t size, bool device_writes);

/* Tells the device that there are new buffers. */
void virtq_notify(const struct virtq *queue);

/* Whether the device is done with a buffer that virtq_take has not returned yet. */
static inline bool virtq_has_used(const struct virtq *queue)
{
    return queue->rings.used.index != queue->used_seen;
}

/* The next such buffer; there must be one. */
struct virtq_done virtq_take(struct virtq *queue);

#endif
