/* Bytes as they lie in packets: big-endian numbers at any address, and what to do without a C library. */
#ifndef BYTES_H
#define BYTES_H

#include <stdbool.h>
#include <stdint.h>

/* Of bytes only, so that structures of them have no gaps and may lie anywhere. */
typedef struct {
    uint8_t bytes[2];
} be16;

typedef struct {
    uint8_t bytes[4];
} be32;

static inline be16 to_be16(unsigned value)
{
    return (be16){{(uint8_t)(value >> 8), (uint8_t)value}};
}

static inline be32 to_be32(uint32_t value)
{
    return (be32){{(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value}};
}

static inline uint16_t from_be16(be16 value)
{
    return (uint16_t)(value.bytes[0] << 8 | value.bytes[1]);
}

static inline uint32_t from_be32(be32 value)
{
    return (uint32_t)value.bytes[0] << 24 | (uint32_t)value.bytes[1] << 16 | (uint32_t)value.bytes[2] << 8 |
           value.bytes[3];
}

static inline void copy_bytes(uint8_t *to, const uint8_t *from, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        to[i] = from[i];
}

static inline void clear_bytes(uint8_t *bytes, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        bytes[i] = 0;
}

static inline bool same_bytes(const uint8_t *a, const uint8_t *b, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

#endif
