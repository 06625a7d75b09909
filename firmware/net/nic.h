/* The network card: frames out and in, one at a time. */
#ifndef NIC_H
#define NIC_H

#include <stdbool.h>
#include <stdint.h>

#define MAC_SIZE 6
#define FRAME_SIZE_MIN 60
#define FRAME_SIZE_MAX 1514

struct frame {
    uint64_t time;    /* when it was seen, in ticks */
    const uint8_t *bytes;
    unsigned size;
};

/* Finds the card and starts it; its own address goes to `mac`. Ends the run if there is none. */
void nic_start(uint8_t *mac);

/* Where the next frame to send is to be put. Waits until the card has sent the one before. */
uint8_t *nic_frame(void);

/* Sends what lies there. */
void nic_send(unsigned size);

/* Waits for a frame, which stays valid until the next call; false if the time reaches `deadline` before that. */
bool nic_receive(struct frame *frame, uint64_t deadline);

#endif
