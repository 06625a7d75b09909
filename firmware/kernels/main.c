/* Small integer programs, as embedded code is full of them, to measure machines with. Both widths give the same checksums.
 *
 * Each works on a few KB that fit into any cache, so what is measured is code: loops, calls, branches, shifts, divisions.
 */

#include <stdint.h>

#include "print.h"

#define WORDS 1024

/* A host may patch these, to 0 too; the checksums change with them. */
volatile uint32_t crc_rounds = 1;
volatile uint32_t sieve_rounds = 1;
volatile uint32_t matrix_rounds = 1;
volatile uint32_t list_rounds = 1;
volatile uint32_t sha_rounds = 1;
volatile uint32_t modular_rounds = 1;
volatile uint32_t lexer_rounds = 1;
volatile uint32_t filter_rounds = 1;
volatile uint32_t packer_rounds = 1;
volatile uint32_t queens_rounds = 1;
volatile uint32_t strings_rounds = 1;
volatile uint32_t division_rounds = 1;

/* The kernels take turns with it. */
static union {
    uint8_t bytes[4 * WORDS];
    uint32_t words[WORDS];
    int32_t numbers[WORDS];
} work;

/* Marsaglia's xorshift32: never zero. */
static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* One step of FNV-1a, a word at a time. */
static uint32_t mix(uint32_t checksum, uint32_t word)
{
    return (checksum ^ word) * 16777619;
}

static void fill(uint32_t seed)
{
    for (uint32_t i = 0; i < WORDS; i++)
        work.words[i] = next_random(&seed);
}

/* CRC-32 of 4 KB, bit by bit. */
static uint32_t crc(uint32_t seed)
{
    fill(seed);
    uint32_t sum = ~0u;
    for (uint32_t i = 0; i < sizeof work.bytes; i++) {
        sum ^= work.bytes[i];
        for (int bit = 0; bit < 8; bit++)
            sum = sum >> 1 ^ (0xedb88320u & -(sum & 1));
    }
    return ~sum;
}

/* How many primes there are below 4096, and their sum. */
static uint32_t sieve(uint32_t seed)
{
    uint32_t checksum = seed;
    for (uint32_t i = 2; i < sizeof work.bytes; i++)
        work.bytes[i] = 1;
    for (uint32_t i = 2; i < sizeof work.bytes; i++) {
        if (!work.bytes[i])
            continue;
        checksum = mix(checksum, i);
        for (uint32_t multiple = 2 * i; multiple < sizeof work.bytes; multiple += i)
            work.bytes[multiple] = 0;
    }
    return checksum;
}

#define SIDE 18

/* A product of two small matrices. */
static uint32_t matrix(uint32_t seed)
{
    int32_t *a = work.numbers, *b = a + SIDE * SIDE, *product = b + SIDE * SIDE;
    for (uint32_t i = 0; i < 2 * SIDE * SIDE; i++)
        a[i] = (int32_t)next_random(&seed) >> 20;
    for (uint32_t row = 0; row < SIDE; row++)
        for (uint32_t column = 0; column < SIDE; column++) {
            int32_t sum = 0;
            for (uint32_t i = 0; i < SIDE; i++)
                sum += a[row * SIDE + i] * b[i * SIDE + column];
            product[row * SIDE + column] = sum;
        }
    uint32_t checksum = 0;
    for (uint32_t i = 0; i < SIDE * SIDE; i++)
        checksum = mix(checksum, (uint32_t)product[i]);
    return checksum;
}

struct node {
    struct node *next;
    uint32_t value;
};

#define NODES 200

static struct node nodes[NODES];

static struct node *merged(struct node *a, struct node *b)
{
    struct node head, *last = &head;
    while (a && b) {
        struct node **smaller = a->value <= b->value ? &a : &b;
        last = last->next = *smaller;
        *smaller = (*smaller)->next;
    }
    last->next = a ? a : b;
    return head.next;
}

static struct node *sorted(struct node *list)
{
    if (!list || !list->next)
        return list;
    struct node *middle = list;
    for (struct node *fast = list->next; fast && fast->next; fast = fast->next->next)
        middle = middle->next;
    struct node *second = middle->next;
    middle->next = 0;
    return merged(sorted(list), sorted(second));
}

/* Sorts a linked list by merging. */
static uint32_t list(uint32_t seed)
{
    for (uint32_t i = 0; i < NODES; i++)
        nodes[i] = (struct node){i + 1 < NODES ? &nodes[i + 1] : 0, next_random(&seed)};
    uint32_t checksum = 0;
    for (struct node *node = sorted(nodes); node; node = node->next)
        checksum = mix(checksum, node->value);
    return checksum;
}

static uint32_t rotated(uint32_t word, int by)
{
    return word >> by | word << (32 - by);
}

/* The compression of SHA-256, with constants of its own, on 4 KB. */
static uint32_t sha(uint32_t seed)
{
    uint32_t state[8], schedule[64];
    fill(seed);
    for (int i = 0; i < 8; i++)
        state[i] = next_random(&seed);
    for (uint32_t block = 0; block < WORDS; block += 16) {
        for (int i = 0; i < 64; i++) {
            if (i < 16) {
                schedule[i] = work.words[block + i];
                continue;
            }
            uint32_t w0 = schedule[i - 15], w1 = schedule[i - 2];
            schedule[i] = schedule[i - 16] + schedule[i - 7] + (rotated(w0, 7) ^ rotated(w0, 18) ^ w0 >> 3)
                          + (rotated(w1, 17) ^ rotated(w1, 19) ^ w1 >> 10);
        }
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
        uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
        for (int i = 0; i < 64; i++) {
            uint32_t t = h + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + (g ^ (e & (f ^ g)))
                         + 0x9e3779b9u * (uint32_t)i + schedule[i];
            uint32_t u = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + ((a & b) | (c & (a | b)));
            h = g, g = f, f = e, e = d + t, d = c, c = b, b = a, a = t + u;
        }
        state[0] += a, state[1] += b, state[2] += c, state[3] += d;
        state[4] += e, state[5] += f, state[6] += g, state[7] += h;
    }
    uint32_t checksum = 0;
    for (int i = 0; i < 8; i++)
        checksum = mix(checksum, state[i]);
    return checksum;
}

/* a * b / 2^32 modulo an odd number, by Montgomery; `inverse` times `modulus` is -1 modulo 2^32. */
static uint32_t montgomery(uint32_t a, uint32_t b, uint32_t modulus, uint32_t inverse)
{
    uint64_t product = (uint64_t)a * b;
    uint64_t multiple = (uint64_t)((uint32_t)product * inverse) * modulus;
    uint64_t sum = (product >> 32) + (multiple >> 32) + ((uint32_t)product != 0);
    return (uint32_t)(sum >= modulus ? sum - modulus : sum);
}

/* Powers modulo odd numbers, as of public keys. */
static uint32_t modular(uint32_t seed)
{
    uint32_t checksum = 0;
    for (int i = 0; i < 16; i++) {
        uint32_t modulus = (next_random(&seed) >> 1) | 1, inverse = 1;
        for (int step = 0; step < 5; step++)
            inverse *= 2 + modulus * inverse;
        uint32_t base = next_random(&seed) % modulus, power = base;
        for (uint32_t exponent = next_random(&seed); exponent; exponent >>= 1) {
            if (exponent & 1)
                power = montgomery(power, base, modulus, inverse);
            base = montgomery(base, base, modulus, inverse);
        }
        checksum = mix(checksum, power);
    }
    return checksum;
}

enum token { BLANK, NAME, NUMBER, TEXT, COMMENT, SIGN };

static const char source[] =
    "int main(void) { /* a program */ for (unsigned i = 0; i < 17; i++) print(\"%u: %x\\n\", i, table[i] ^ 0x5a); "
    "return state == READY ? 0 : -1; } /* and what follows it */ static const char *names[] = {\"one\", \"two\", 0}; ";

/* Splits a text into tokens, by a machine with a switch. */
static uint32_t lexer(uint32_t seed)
{
    uint32_t checksum = seed, length = 0;
    enum token state = BLANK;
    for (const char *at = source; *at; at++) {
        char c = *at;
        enum token before = state;
        switch (state) {
        case TEXT:
            state = c == '"' && at[-1] != '\\' ? SIGN : TEXT;
            break;
        case COMMENT:
            state = c == '/' && at[-1] == '*' ? BLANK : COMMENT;
            break;
        default:
            if (c == ' ')
                state = BLANK;
            else if (c == '"')
                state = TEXT;
            else if (c == '/' && at[1] == '*')
                state = COMMENT;
            else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_')
                state = before == NUMBER ? NUMBER : NAME;
            else if (c >= '0' && c <= '9')
                state = before == NAME ? NAME : NUMBER;
            else
                state = SIGN;
        }
        length++;
        if (state != before) {
            checksum = mix(checksum, length << 3 | before);
            length = 0;
        }
    }
    return checksum;
}

/* A filter of 24 taps over 256 samples, in fixed point. */
static uint32_t filter(uint32_t seed)
{
    int32_t *taps = work.numbers, *samples = taps + 24;
    for (int i = 0; i < 24 + 256; i++)
        taps[i] = (int32_t)next_random(&seed) >> 16;
    uint32_t checksum = 0;
    for (int at = 0; at + 24 <= 256; at++) {
        int64_t sum = 0;
        for (int tap = 0; tap < 24; tap++)
            sum += (int64_t)taps[tap] * samples[at + tap];
        checksum = mix(checksum, (uint32_t)(sum >> 15));
    }
    return checksum;
}

/* Packs 1 KB: a byte that was there before, at most 64 bytes ago, becomes a distance and a length. */
static uint32_t packer(uint32_t seed)
{
    for (uint32_t i = 0; i < 1024; i++)
        work.bytes[i] = next_random(&seed) >> 29;
    uint32_t checksum = 0;
    for (uint32_t at = 0; at < 1024;) {
        uint32_t best = 0, distance = 0;
        for (uint32_t back = 1; back <= 64 && back <= at; back++) {
            uint32_t length = 0;
            while (at + length < 1024 && length < 16 && work.bytes[at + length] == work.bytes[at + length - back])
                length++;
            if (length > best) {
                best = length;
                distance = back;
            }
        }
        checksum = mix(checksum, best > 2 ? distance << 8 | best : work.bytes[at]);
        at += best > 2 ? best : 1;
    }
    return checksum;
}

static uint32_t placed(uint32_t columns, uint32_t left, uint32_t right, uint32_t all)
{
    if (columns == all)
        return 1;
    uint32_t count = 0;
    for (uint32_t free = all & ~(columns | left | right); free;) {
        uint32_t queen = free & -free;
        free ^= queen;
        count += placed(columns | queen, (left | queen) << 1, (right | queen) >> 1, all);
    }
    return count;
}

/* How many ways there are to put seven queens on a board, by recursion. */
static uint32_t queens(uint32_t seed)
{
    return mix(seed, placed(0, 0, 0, (1u << 7) - 1));
}

/* Copies, measures and compares strings, a byte at a time. */
static uint32_t strings(uint32_t seed)
{
    uint32_t checksum = seed;
    char *copy = (char *)work.bytes;
    for (uint32_t from = 0; from < 64; from += 4) {
        const char *read = source + from;
        char *write = copy;
        while ((*write++ = *read++))
            ;
        copy[128 - from] ^= 1;
        uint32_t same = 0;
        while (copy[same] == source[from + same])
            same++;
        checksum = mix(checksum, (uint32_t)(write - copy) << 8 | same);
    }
    return checksum;
}

/* Common divisors, and numbers in decimal. */
static uint32_t division(uint32_t seed)
{
    uint32_t checksum = 0;
    for (int i = 0; i < 32; i++) {
        uint32_t a = next_random(&seed), b = next_random(&seed);
        for (uint32_t rest = a; rest; rest /= 10)
            checksum = mix(checksum, rest % 10);
        while (b) {
            uint32_t rest = a % b;
            a = b;
            b = rest;
        }
        checksum = mix(checksum, a);
    }
    return checksum;
}

static const struct kernel {
    const char *name;
    volatile uint32_t *rounds;
    uint32_t (*run)(uint32_t seed);
} kernels[] = {
    {"crc", &crc_rounds, crc},
    {"sieve", &sieve_rounds, sieve},
    {"matrix", &matrix_rounds, matrix},
    {"list", &list_rounds, list},
    {"sha", &sha_rounds, sha},
    {"modular", &modular_rounds, modular},
    {"lexer", &lexer_rounds, lexer},
    {"filter", &filter_rounds, filter},
    {"packer", &packer_rounds, packer},
    {"queens", &queens_rounds, queens},
    {"strings", &strings_rounds, strings},
    {"division", &division_rounds, division},
};

int main(void)
{
    for (unsigned i = 0; i < sizeof kernels / sizeof kernels[0]; i++) {
        uint32_t rounds = *kernels[i].rounds, checksum = 0;
        for (uint32_t round = 1; round <= rounds; round++)
            checksum = mix(checksum, kernels[i].run(round));
        if (rounds)
            print("%s: %u rounds, checksum %x\n", kernels[i].name, (unsigned)rounds, (unsigned)checksum);
    }
    return 0;
}
