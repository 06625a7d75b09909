#include "tree.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAGIC 0xd00dfeed

/* Offsets of words in the header. */
#define STRUCTURE_OFFSET 8
#define STRINGS_OFFSET 12

/* Items of the structure, each a multiple of four bytes long. */
#define ITEM_BEGIN_NODE 1
#define ITEM_END_NODE 2
#define ITEM_PROPERTY 3
#define ITEM_NOTHING 4

static uint32_t big_endian(const uint8_t *word)
{
    return (uint32_t)word[0] << 24 | (uint32_t)word[1] << 16 | (uint32_t)word[2] << 8 | word[3];
}

static bool same(const uint8_t *text, const char *expected)
{
    while (*text && *text == (uint8_t)*expected)
        text++, expected++;
    return *text == (uint8_t)*expected;
}

static size_t padded(size_t bytes)
{
    return (bytes + 3) & ~(size_t)3;
}

static size_t name_length(const uint8_t *name)
{
    size_t length = 0;
    while (name[length])
        length++;
    return length;
}

unsigned tree_cpus(const void *tree)
{
    const uint8_t *start = tree;
    if (!start || big_endian(start) != MAGIC)
        return 0;
    const uint8_t *item = start + big_endian(start + STRUCTURE_OFFSET);
    const uint8_t *strings = start + big_endian(start + STRINGS_OFFSET);

    unsigned cpus = 0;
    for (;;) {
        uint32_t kind = big_endian(item);
        item += 4;
        if (kind == ITEM_BEGIN_NODE) {
            item += padded(name_length(item) + 1);
        } else if (kind == ITEM_PROPERTY) {
            uint32_t length = big_endian(item);
            const uint8_t *name = strings + big_endian(item + 4);
            const uint8_t *value = item + 8;
            cpus += length == sizeof "cpu" && same(name, "device_type") && same(value, "cpu");
            item = value + padded(length);
        } else if (kind != ITEM_END_NODE && kind != ITEM_NOTHING) {
            return cpus;
        }
    }
}
