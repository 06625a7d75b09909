/* What compilers use these instructions for. Only the widths of the types say how wide words are. */

#include "bits.h"

static uint32_t rotated_left(uint32_t value, unsigned bits)
{
    return value << bits | value >> (32 - bits);
}

/* MurmurHash3's way to mix a word. */
static uint32_t mixed(uint32_t hash, uint32_t value)
{
    hash ^= rotated_left(value * 0xcc9e2d51u, 15) * 0x1b873593u;
    return rotated_left(hash, 13) * 5 + 0xe6546b64u;
}

static uint32_t random_word(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* The length of a text, a word at a time: ORC.B turns all bytes but zeros into ones. */
static uint32_t length_of(const char *text)
{
    const word *at = (const word *)text;
    for (;; at++) {
        word full;
        __asm__("orc.b %0, %1" : "=r"(full) : "r"(*at));
        if (~full != 0)
            return (uint32_t)((const char *)at - text) + (uint32_t)__builtin_ctzl(~full) / 8;
    }
}

#define ENTRIES 256
static int32_t table[ENTRIES];
static uint32_t set[ENTRIES / 32];
static char text[64] __attribute__((aligned(8)));

static uint32_t clamped(int32_t value, int32_t low, int32_t high)
{
    int32_t above = value < low ? low : value;
    return (uint32_t)(above > high ? high : above);
}

uint32_t checksum_of_programs(void)
{
    uint32_t state = 2463534242u, hash = 0;
    for (unsigned i = 0; i < ENTRIES; i++) {
        table[i] = (int32_t)random_word(&state);
        set[table[i] >> 5 & 7] ^= 1u << (table[i] & 31); /* BINV */
    }
    for (unsigned i = 0; i < ENTRIES; i++) {
        uint32_t value = (uint32_t)table[random_word(&state) % ENTRIES]; /* SH2ADD */
        hash = mixed(hash, (uint32_t)__builtin_popcount(value) + (uint32_t)__builtin_ctz(value | 1u << 31));
        hash = mixed(hash, (uint32_t)__builtin_clz(value | 1) ^ __builtin_bswap32(value));
        hash = mixed(hash, clamped(table[i], -1000000, 1 << 30) & ~value);
        hash = mixed(hash, (uint32_t)(int8_t)value + (uint32_t)(int16_t)(value >> 8) + (uint16_t)value);
    }
    for (unsigned i = 0; i < ENTRIES / 32; i++)
        hash = mixed(hash, set[i]);
    for (unsigned length = 0; length < sizeof text; length++) {
        text[length] = 0;
        hash = mixed(hash, length_of(text));
        text[length] = (char)('a' + length % 26);
    }
    return hash;
}
