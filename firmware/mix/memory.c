#include "work.h"

/* A multiple of 16. A host may patch it, to as much as there is RAM behind the image. */
volatile uint32_t memory_bytes = 16384;

/* The end of the image: behind it is nothing but RAM. */
extern char __stack_top[];

static void fill(uint32_t *words, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        words[i] = i * 2654435769u;
}

static void copy(uint64_t *to, const uint64_t *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        to[i] = from[i];
}

/* Each word that is read says where the next one is. */
static uint32_t hop(uint32_t *words, uint32_t count, uint32_t hops, uint32_t at)
{
    while (hops-- > 0) {
        uint32_t *word = &words[(uint64_t)at * count >> 32];
        at = at * 1664525 + 1013904223 + *word;
        *word = at;
    }
    return at;
}

uint32_t work_memory(uint32_t rounds)
{
    uint32_t *words = (uint32_t *)__stack_top;
    uint32_t count = memory_bytes / sizeof *words;
    uint64_t *halves = (uint64_t *)__stack_top;
    uint32_t half = memory_bytes / sizeof *halves / 2;
    fill(words, count);

    uint32_t checksum = 1;
    while (rounds-- > 0) {
        copy(halves + half, halves, half);
        checksum = hop(words, count, count / 16, checksum);
    }
    return checksum;
}
