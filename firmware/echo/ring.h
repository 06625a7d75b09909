/* A queue of bytes in a ring. One reader and one writer that never interrupt each other. */
#ifndef RING_H
#define RING_H

#include <stdbool.h>
#include <stdint.h>

/* A power of two, so that the counts may wrap. */
#define RING_SIZE 64

struct ring {
    char bytes[RING_SIZE];
    volatile uint32_t put, taken;   /* how many ever */
};

static inline bool ring_is_empty(const struct ring *ring)
{
    return ring->put == ring->taken;
}

static inline bool ring_is_full(const struct ring *ring)
{
    return ring->put - ring->taken == RING_SIZE;
}

/* The ring must not be full. */
static inline void ring_put(struct ring *ring, char c)
{
    ring->bytes[ring->put % RING_SIZE] = c;
    ring->put++;
}

/* The ring must not be empty. */
static inline char ring_take(struct ring *ring)
{
    char c = ring->bytes[ring->taken % RING_SIZE];
    ring->taken++;
    return c;
}

#endif
