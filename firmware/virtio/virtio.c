#include "virtio.h"

#include <stddef.h>

#include "board.h"
#include "print.h"

/* Registers. */
#define MAGIC_VALUE 0x000
#define VERSION 0x004
#define DEVICE_ID 0x008
#define DEVICE_FEATURES 0x010
#define DEVICE_FEATURES_SEL 0x014
#define DRIVER_FEATURES 0x020
#define DRIVER_FEATURES_SEL 0x024
#define GUEST_PAGE_SIZE 0x028
#define QUEUE_SEL 0x030
#define QUEUE_NUM_MAX 0x034
#define QUEUE_NUM 0x038
#define QUEUE_ALIGN 0x03c
#define QUEUE_PFN 0x040
#define QUEUE_READY 0x044
#define QUEUE_NOTIFY 0x050
#define INTERRUPT_STATUS 0x060
#define INTERRUPT_ACK 0x064
#define STATUS 0x070
#define QUEUE_DESC 0x080
#define QUEUE_AVAIL 0x090
#define QUEUE_USED 0x0a0
#define CONFIG 0x100

#define MAGIC 0x74726976
#define LEGACY 1
#define MODERN 2

#define STATUS_ACKNOWLEDGE 1
#define STATUS_DRIVER 2
#define STATUS_DRIVER_OK 4
#define STATUS_FEATURES_OK 8

/* Legacy only: what a buffer holds may be in one piece. */
#define FEATURE_ANY_LAYOUT (1U << 27)

/* Bit 32: bit 0 of the second word. */
#define FEATURE_VERSION_1 1U

#define PAGE_SIZE 4096

_Static_assert(offsetof(struct virtq_rings, avail) == VIRTQ_SIZE * sizeof(struct virtq_desc), "no gap in between");

static uintptr_t slot_base(int slot)
{
    return VIRTIO_BASE + (uintptr_t)slot * VIRTIO_STRIDE;
}

static uint32_t get(const struct virtio_device *device, unsigned offset)
{
    return *mmio32(device->base + offset);
}

static void set(const struct virtio_device *device, unsigned offset, uint32_t value)
{
    *mmio32(device->base + offset) = value;
}

static void set_address(const struct virtio_device *device, unsigned offset, const void *address)
{
    set(device, offset, (uint32_t)(uintptr_t)address);
    set(device, offset + 4, (uint32_t)((uint64_t)(uintptr_t)address >> 32));
}

static _Noreturn void fail(const struct virtio_device *device, const char *what)
{
    print("virtio at %lx: %s\n", (unsigned long)device->base, what);
    board_fail(VIRTIO_FAILED);
}

int virtio_find(uint32_t device_id, int below)
{
    for (int slot = below - 1; slot >= 0; slot--) {
        uintptr_t base = slot_base(slot);
        if (*mmio32(base + MAGIC_VALUE) == MAGIC && *mmio32(base + DEVICE_ID) == device_id)
            return slot;
    }
    return -1;
}

static uint32_t offered_features(const struct virtio_device *device, unsigned word)
{
    set(device, DEVICE_FEATURES_SEL, word);
    return get(device, DEVICE_FEATURES);
}

static void choose_features(const struct virtio_device *device, unsigned word, uint32_t features)
{
    set(device, DRIVER_FEATURES_SEL, word);
    set(device, DRIVER_FEATURES, features);
}

static void agree_on_version_1(const struct virtio_device *device)
{
    if (!(offered_features(device, 1) & FEATURE_VERSION_1))
        fail(device, "a modern transport without VERSION_1");
    choose_features(device, 1, FEATURE_VERSION_1);
    set(device, STATUS, get(device, STATUS) | STATUS_FEATURES_OK);
    if (!(get(device, STATUS) & STATUS_FEATURES_OK))
        fail(device, "our choice of features is refused");
}

uint32_t virtio_start(struct virtio_device *device, int slot, uint32_t features)
{
    device->base = slot_base(slot);
    device->irq = VIRTIO_IRQ + (unsigned)slot;
    device->version = get(device, VERSION);
    if (device->version != LEGACY && device->version != MODERN)
        fail(device, "unknown version of the transport");

    set(device, STATUS, 0);
    set(device, STATUS, STATUS_ACKNOWLEDGE);
    set(device, STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);

    if (device->version == LEGACY)
        features |= FEATURE_ANY_LAYOUT;
    features &= offered_features(device, 0);
    choose_features(device, 0, features);
    if (device->version == MODERN)
        agree_on_version_1(device);
    else
        set(device, GUEST_PAGE_SIZE, PAGE_SIZE);
    return features;
}

bool virtio_is_modern(const struct virtio_device *device)
{
    return device->version == MODERN;
}

void virtio_add_queue(const struct virtio_device *device, unsigned number, struct virtq *queue)
{
    queue->device = device;
    queue->number = number;
    set(device, QUEUE_SEL, number);
    if (get(device, QUEUE_NUM_MAX) < VIRTQ_SIZE)
        fail(device, "a queue is too small");
    set(device, QUEUE_NUM, VIRTQ_SIZE);

    struct virtq_rings *rings = &queue->rings;
    if (device->version == LEGACY) {
        set(device, QUEUE_ALIGN, VIRTQ_ALIGN);
        set(device, QUEUE_PFN, (uint32_t)((uintptr_t)rings / PAGE_SIZE));
        return;
    }
    set_address(device, QUEUE_DESC, rings->desc);
    set_address(device, QUEUE_AVAIL, &rings->avail);
    set_address(device, QUEUE_USED, &rings->used);
    set(device, QUEUE_READY, 1);
}

void virtio_run(const struct virtio_device *device)
{
    set(device, STATUS, get(device, STATUS) | STATUS_DRIVER_OK);
}

volatile uint8_t *virtio_config(const struct virtio_device *device, unsigned offset)
{
    return mmio8(device->base + CONFIG + offset);
}

void virtio_acknowledge(unsigned irq)
{
    uintptr_t base = slot_base((int)(irq - VIRTIO_IRQ));
    *mmio32(base + INTERRUPT_ACK) = *mmio32(base + INTERRUPT_STATUS);
}

/* The device must see the buffer before the index that covers it. */
void virtq_offer(struct virtq *queue, unsigned id, void *data, uint32_t size, bool device_writes)
{
    struct virtq_desc *desc = &queue->rings.desc[id];
    desc->address = (uintptr_t)data;
    desc->length = size;
    desc->flags = device_writes ? VIRTQ_DESC_WRITE : 0;

    struct virtq_avail *avail = &queue->rings.avail;
    avail->ring[avail->index % VIRTQ_SIZE] = (uint16_t)id;
    __asm__ volatile("fence rw, w" ::: "memory");
    avail->index++;
}

void virtq_notify(const struct virtq *queue)
{
    __asm__ volatile("fence rw, o" ::: "memory");
    set(queue->device, QUEUE_NOTIFY, queue->number);
}

/* What the index covers must not be read before the index. */
struct virtq_done virtq_take(struct virtq *queue)
{
    __asm__ volatile("fence r, rw" ::: "memory");
    const struct virtq_used *used = &queue->rings.used;
    unsigned at = queue->used_seen++ % VIRTQ_SIZE;
    if (used->ring[at].id >= VIRTQ_SIZE)
        fail(queue->device, "it used a buffer that does not exist");
    return (struct virtq_done){.id = used->ring[at].id, .written = used->ring[at].length};
}
