#include "nic.h"

#include "board.h"
#include "bytes.h"
#include "print.h"
#include "time.h"
#include "wait.h"

#define RECEIVE_QUEUE 0
#define TRANSMIT_QUEUE 1

#define FEATURE_MAC (1U << 5)

/* In front of each frame, all zeros: the modern one counts buffers too. */
#define HEADER_SIZE 12
#define HEADER_SIZE_LEGACY 10

#define RECEIVE_BUFFERS 16

/* A frame that takes longer to send never will be. */
#define SEND_TICKS_MAX (uint64_t)TIMEBASE_HZ

/* For a card that has no address: locally administered. */
static const uint8_t default_mac[MAC_SIZE] = {0x02, 0x00, 0x00, 0x00, 0x00, 0x01};

struct buffer {
    uint8_t bytes[HEADER_SIZE + FRAME_SIZE_MAX];
};

static struct virtio_device nic;
static struct virtq receive_queue, transmit_queue;
static struct buffer receive_buffers[RECEIVE_BUFFERS], transmit_buffer;
static unsigned header_size;
static bool sending;

/* The received frame that the caller still has. */
static bool lent;
static unsigned lent_id;

static void read_mac(uint8_t *mac, bool has_mac)
{
    for (unsigned i = 0; i < MAC_SIZE; i++)
        mac[i] = has_mac ? *virtio_config(&nic, i) : default_mac[i];
}

static void offer_receive_buffer(unsigned id)
{
    virtq_offer(&receive_queue, id, &receive_buffers[id], sizeof receive_buffers[id], true);
}

void nic_start(uint8_t *mac)
{
    int slot = virtio_find(VIRTIO_NET, VIRTIO_SLOTS);
    if (slot < 0) {
        print("no network card: none of the virtio slots has one\n");
        board_fail(VIRTIO_NOT_FOUND);
    }
    uint32_t features = virtio_start(&nic, slot, FEATURE_MAC);
    header_size = virtio_is_modern(&nic) ? HEADER_SIZE : HEADER_SIZE_LEGACY;
    read_mac(mac, features & FEATURE_MAC);
    print("t: network card in slot %d, virtio-mmio version %u\n", slot, (unsigned)nic.version);

    virtio_add_queue(&nic, RECEIVE_QUEUE, &receive_queue);
    virtio_add_queue(&nic, TRANSMIT_QUEUE, &transmit_queue);
    for (unsigned id = 0; id < RECEIVE_BUFFERS; id++)
        offer_receive_buffer(id);
    wait_prepare(&nic);
    virtio_run(&nic);
    virtq_notify(&receive_queue);
}

uint8_t *nic_frame(void)
{
    if (sending) {
        if (!wait_for_used(&transmit_queue, time_now() + SEND_TICKS_MAX)) {
            print("the network card does not send\n");
            board_fail(VIRTIO_FAILED);
        }
        virtq_take(&transmit_queue);
        sending = false;
    }
    return transmit_buffer.bytes + header_size;
}

void nic_send(unsigned size)
{
    if (size < FRAME_SIZE_MIN) {
        clear_bytes(transmit_buffer.bytes + header_size + size, FRAME_SIZE_MIN - size);
        size = FRAME_SIZE_MIN;
    }
    sending = true;
    virtq_offer(&transmit_queue, 0, &transmit_buffer, header_size + size, false);
    virtq_notify(&transmit_queue);
}

static void give_back(void)
{
    if (!lent)
        return;
    lent = false;
    offer_receive_buffer(lent_id);
    virtq_notify(&receive_queue);
}

bool nic_receive(struct frame *frame, uint64_t deadline)
{
    give_back();
    if (!wait_for_used(&receive_queue, deadline))
        return false;
    frame->time = time_now();
    struct virtq_done done = virtq_take(&receive_queue);
    lent = true;
    lent_id = done.id;
    frame->bytes = receive_buffers[done.id].bytes + header_size;
    frame->size = done.written > header_size ? done.written - header_size : 0;
    return true;
}
