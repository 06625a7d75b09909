/* The instructions that Unicorn does not know: which one it is, and what those that compute give.
 *
 * For _callbacks.c and _helpers.c. extensions.py says the same, and has the table that EXTENSION_ROWS is made of.
 */
#ifndef MINSTRET_EXTENSIONS_H
#define MINSTRET_EXTENSIONS_H

#include <stdint.h>

#include "_contract.h"

static uint8_t extension_rows_at[256 + 1]; /* by place_of: where its rows begin, which end where the next ones do */

static inline uint32_t place_of(uint32_t insn)
{
    return (insn >> 2 & 31) | (insn >> 12 & 7) << 5;
}

/* Called once, before the first look-up. */
static void index_extension_rows(void)
{
    const unsigned count = sizeof EXTENSION_ROWS / sizeof EXTENSION_ROWS[0];
    unsigned row = 0;
    for (unsigned place = 0; place <= 256; place++) {
        while (row < count && place_of(EXTENSION_ROWS[row].match) < place)
            row++;
        extension_rows_at[place] = (uint8_t)row;
    }
}

/* The row of an instruction of 32 bits, of an extension among `features`; NULL for any other instruction. */
static inline const struct extension_row *extension_insn(uint32_t insn, unsigned xlen, uint64_t features)
{
    uint32_t place = place_of(insn);
    for (unsigned i = extension_rows_at[place]; i < extension_rows_at[place + 1]; i++) {
        const struct extension_row *row = &EXTENSION_ROWS[i];
        if ((insn & row->mask) == row->match && (row->only_xlen == 0 || row->only_xlen == xlen))
            return row->feature & features ? row : NULL;
    }
    return NULL;
}

static inline uint64_t signed_low(uint64_t value, unsigned bits)
{
    return (uint64_t)((int64_t)(value << (64 - bits)) >> (64 - bits));
}

/* The low bits of `a`, so many as `bits` says, rotated. */
static inline uint64_t rotated(uint64_t a, uint64_t left, unsigned bits)
{
    a &= ~0ull >> (64 - bits);
    left &= bits - 1;
    return left == 0 ? a : (a << left | a >> (bits - left)) & ~0ull >> (64 - bits);
}

static inline uint64_t leading_zeros(uint64_t a, unsigned bits)
{
    uint64_t zeros = bits;
    for (a &= ~0ull >> (64 - bits); a != 0; a >>= 1)
        zeros--;
    return zeros;
}

static inline uint64_t trailing_zeros(uint64_t a, unsigned bits)
{
    uint64_t zeros = 0;
    while (zeros < bits && !(a >> zeros & 1))
        zeros++;
    return zeros;
}

static inline uint64_t ones(uint64_t a)
{
    uint64_t count = 0;
    for (; a != 0; a &= a - 1)
        count++;
    return count;
}

static inline uint64_t with_full_bytes(uint64_t a)
{
    uint64_t result = 0;
    for (unsigned at = 0; at < 64; at += 8)
        result |= (a >> at & 0xff) != 0 ? 0xffull << at : 0;
    return result;
}

static inline uint64_t bytes_reversed(uint64_t a, unsigned bits)
{
    uint64_t result = 0;
    for (unsigned at = 0; at < bits; at += 8)
        result |= (a >> at & 0xff) << (bits - 8 - at);
    return result;
}

/* The result of an instruction that computes, of which XLEN bits count: of `a`, the register rs1, and `b`, what it
 * computes with beside that; both have XLEN bits. */
static uint64_t compute(unsigned op, uint64_t a, uint64_t b, unsigned xlen)
{
    uint64_t low_a = a & 0xffffffffu, bit = 1ull << (b & (xlen - 1));
    int64_t signed_a = (int64_t)signed_low(a, xlen), signed_b = (int64_t)signed_low(b, xlen);
    switch (op) {
    case DO_ADD_UW: return low_a + b;
    case DO_SH1ADD: return (a << 1) + b;
    case DO_SH2ADD: return (a << 2) + b;
    case DO_SH3ADD: return (a << 3) + b;
    case DO_SH1ADD_UW: return (low_a << 1) + b;
    case DO_SH2ADD_UW: return (low_a << 2) + b;
    case DO_SH3ADD_UW: return (low_a << 3) + b;
    case DO_SLLI_UW: return low_a << b;
    case DO_ANDN: return a & ~b;
    case DO_ORN: return a | ~b;
    case DO_XNOR: return ~(a ^ b);
    case DO_CLZ: return leading_zeros(a, xlen);
    case DO_CTZ: return trailing_zeros(a, xlen);
    case DO_CPOP: return ones(a);
    case DO_CLZW: return leading_zeros(a, 32);
    case DO_CTZW: return trailing_zeros(a, 32);
    case DO_CPOPW: return ones(low_a);
    case DO_MAX: return signed_a > signed_b ? a : b;
    case DO_MAXU: return a > b ? a : b;
    case DO_MIN: return signed_a < signed_b ? a : b;
    case DO_MINU: return a < b ? a : b;
    case DO_SEXT_B: return signed_low(a, 8);
    case DO_SEXT_H: return signed_low(a, 16);
    case DO_ZEXT_H: return a & 0xffff;
    case DO_ROL: return rotated(a, b, xlen);
    case DO_ROR: return rotated(a, 0 - b, xlen);
    case DO_ROLW: return signed_low(rotated(a, b, 32), 32);
    case DO_RORW: return signed_low(rotated(a, 0 - b, 32), 32);
    case DO_ORC_B: return with_full_bytes(a);
    case DO_REV8: return bytes_reversed(a, xlen);
    case DO_BCLR: return a & ~bit;
    case DO_BEXT: return (a & bit) != 0;
    case DO_BINV: return a ^ bit;
    case DO_BSET: return a | bit;
    case DO_CZERO_EQZ: return b != 0 ? a : 0;
    case DO_CZERO_NEZ: return b == 0 ? a : 0;
    default: return 0;
    }
}

#endif
