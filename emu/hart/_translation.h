/* For _helpers.c: code for the instructions that Unicorn does not know, made with its own TCG.
 *
 * Each computes the register rd from rs1 and another operand, and can't trap, so the operations are all there is to it.
 * What they have to give is in extensions.py; helpers.py tries each with known values, the numbers below among them.
 */

/* TCG's numbers for what it has no function for, by XLEN. */
enum { ADD, SUB, AND, OR, XOR, SHL, SHR, OPERATIONS };
static const int OPCODES_64[OPERATIONS] = {78, 79, 87, 88, 89, 90, 91}, OPCODES_32[OPERATIONS] = {17, 18, 26, 27, 28, 29, 30};
enum { CONDITION_EQ = 8 };

/* Where an instruction is translated: everything has XLEN bits. */
struct site {
    const struct originals *original;
    char *tcg;
    unsigned xlen, temps;
    value temp[12]; /* freed at the end */
};

static value kept(struct site *at, value temp)
{
    return at->temp[at->temps++] = temp;
}

static value new_word(struct site *at)
{
    return kept(at, (char *)at->original->tcg_temp_new_internal(at->tcg, at->xlen == 64 ? TYPE_I64 : TYPE_I32, false) - at->tcg);
}

static value word(struct site *at, uint64_t constant)
{
    const struct originals *original = at->original;
    return kept(at, at->xlen == 64 ? original->tcg_const_i64(at->tcg, (int64_t)constant)
                                   : original->tcg_const_i32(at->tcg, (int32_t)(uint32_t)constant));
}

static value register_or_zero(struct site *at, unsigned number)
{
    return number != 0 ? at->original->x[number] : word(at, 0);
}

static void gen(struct site *at, int operation, value result, value a, value b)
{
    int opcode = at->xlen == 64 ? OPCODES_64[operation] : OPCODES_32[operation];
    at->original->tcg_gen_op3(
        at->tcg, opcode, (uintptr_t)temp_of(at->tcg, result), (uintptr_t)temp_of(at->tcg, a), (uintptr_t)temp_of(at->tcg, b));
}

typedef void (*gen_1)(char *tcg, value result, value a);
typedef void (*gen_2)(char *tcg, value result, value a, value b);
typedef void (*gen_condition)(char *tcg, int condition, value result, value a, value b, value yes, value no);

#define GEN_1(name, result, a) ((gen_1)at->original->name)(at->tcg, result, a)
#define GEN_2(name, result, a, b) ((gen_2)at->original->name)(at->tcg, result, a, b)

static value computed(struct site *at, int operation, value a, value b)
{
    value result = new_word(at);
    gen(at, operation, result, a, b);
    return result;
}

/* The low 32 bits of a register of 64. */
static value low_32(struct site *at, value a)
{
    value result = new_word(at);
    GEN_1(tcg_gen_ext32u, result, a);
    return result;
}

/* rd = (a << shift) + b */
static void gen_shifted_sum(struct site *at, value rd, unsigned shift, value a, value b)
{
    gen(at, ADD, rd, shift != 0 ? computed(at, SHL, a, word(at, shift)) : a, b);
}

/* The bit that `b` names. */
static value bit_of(struct site *at, value b)
{
    return computed(at, SHL, word(at, 1), computed(at, AND, b, word(at, at->xlen - 1)));
}

/* What 32 bits become that are rotated: twice in 64 bits, and those rotated. */
static void gen_rotation_of_32(struct site *at, value rd, bool is_left, value a, value b)
{
    value both = new_word(at), count = computed(at, AND, b, word(at, 31));
    at->original->tcg_gen_deposit_i64(at->tcg, both, a, a, 32, 32);
    if (is_left)
        GEN_2(tcg_gen_rotl, both, both, count);
    else
        GEN_2(tcg_gen_rotr, both, both, count);
    GEN_1(tcg_gen_ext32s, rd, both);
}

/* Gather each byte's bits in its lowest one, and fill the byte with that. */
static void gen_full_bytes(struct site *at, value rd, value a)
{
    value bits = a;
    for (unsigned shift = 4; shift != 0; shift /= 2)
        bits = computed(at, OR, bits, computed(at, SHR, bits, word(at, shift)));
    bits = computed(at, AND, bits, word(at, 0x0101010101010101ull));
    gen(at, SUB, rd, computed(at, SHL, bits, word(at, 8)), bits);
}

static void gen_extension(struct site *at, unsigned op, value rd, value a, value b)
{
    unsigned xlen = at->xlen;
    switch (op) {
    case DO_ADD_UW: gen_shifted_sum(at, rd, 0, low_32(at, a), b); break;
    case DO_SH1ADD: gen_shifted_sum(at, rd, 1, a, b); break;
    case DO_SH2ADD: gen_shifted_sum(at, rd, 2, a, b); break;
    case DO_SH3ADD: gen_shifted_sum(at, rd, 3, a, b); break;
    case DO_SH1ADD_UW: gen_shifted_sum(at, rd, 1, low_32(at, a), b); break;
    case DO_SH2ADD_UW: gen_shifted_sum(at, rd, 2, low_32(at, a), b); break;
    case DO_SH3ADD_UW: gen_shifted_sum(at, rd, 3, low_32(at, a), b); break;
    case DO_SLLI_UW: gen(at, SHL, rd, low_32(at, a), b); break;
    case DO_ANDN: GEN_2(tcg_gen_andc, rd, a, b); break;
    case DO_ORN: GEN_2(tcg_gen_orc, rd, a, b); break;
    case DO_XNOR: GEN_2(tcg_gen_eqv, rd, a, b); break;
    case DO_CLZ: GEN_2(tcg_gen_clz, rd, a, word(at, xlen)); break;
    case DO_CTZ: GEN_2(tcg_gen_ctz, rd, a, word(at, xlen)); break;
    case DO_CPOP: GEN_1(tcg_gen_ctpop, rd, a); break;
    case DO_CLZW: {
        value zeros = new_word(at);
        GEN_2(tcg_gen_clz, zeros, low_32(at, a), word(at, 64));
        gen(at, SUB, rd, zeros, word(at, 32));
        break;
    }
    case DO_CTZW: GEN_2(tcg_gen_ctz, rd, computed(at, OR, a, word(at, 1ull << 32)), word(at, 32)); break;
    case DO_CPOPW: GEN_1(tcg_gen_ctpop, rd, low_32(at, a)); break;
    case DO_MAX: GEN_2(tcg_gen_smax, rd, a, b); break;
    case DO_MAXU: GEN_2(tcg_gen_umax, rd, a, b); break;
    case DO_MIN: GEN_2(tcg_gen_smin, rd, a, b); break;
    case DO_MINU: GEN_2(tcg_gen_umin, rd, a, b); break;
    case DO_SEXT_B: GEN_1(tcg_gen_ext8s, rd, a); break;
    case DO_SEXT_H: GEN_1(tcg_gen_ext16s, rd, a); break;
    case DO_ZEXT_H: GEN_1(tcg_gen_ext16u, rd, a); break;
    case DO_ROL: GEN_2(tcg_gen_rotl, rd, a, computed(at, AND, b, word(at, xlen - 1))); break;
    case DO_ROR: GEN_2(tcg_gen_rotr, rd, a, computed(at, AND, b, word(at, xlen - 1))); break;
    case DO_ROLW: gen_rotation_of_32(at, rd, true, a, b); break;
    case DO_RORW: gen_rotation_of_32(at, rd, false, a, b); break;
    case DO_ORC_B: gen_full_bytes(at, rd, a); break;
    case DO_REV8: GEN_1(tcg_gen_bswap, rd, a); break;
    case DO_BCLR: GEN_2(tcg_gen_andc, rd, a, bit_of(at, b)); break;
    case DO_BEXT: gen(at, AND, rd, computed(at, SHR, a, computed(at, AND, b, word(at, xlen - 1))), word(at, 1)); break;
    case DO_BINV: gen(at, XOR, rd, a, bit_of(at, b)); break;
    case DO_BSET: gen(at, OR, rd, a, bit_of(at, b)); break;
    case DO_CZERO_EQZ:
    case DO_CZERO_NEZ: {
        value zero = word(at, 0);
        int condition = op == DO_CZERO_EQZ ? CONDITION_EQ : CONDITION_NE;
        ((gen_condition)at->original->tcg_gen_movcond)(at->tcg, condition, rd, b, zero, zero, a);
        break;
    }
    default: break;
    }
}

static void translate_extension(const struct originals *original, char *tcg, const struct extension_row *row, uint32_t insn, unsigned xlen)
{
    struct site site = {.original = original, .tcg = tcg, .xlen = xlen}, *at = &site;
    unsigned rd = insn >> 7 & 31;
    if (rd == 0)
        return;
    value a = register_or_zero(at, insn >> 15 & 31), b = 0;
    if (row->form == FORM_REGISTERS)
        b = register_or_zero(at, insn >> 20 & 31);
    else if (row->form == FORM_SHIFT)
        b = word(at, insn >> 20 & 63);
    gen_extension(at, row->op, original->x[rd], a, b);
    while (at->temps > 0)
        free_value(original, tcg, at->temp[--at->temps]);
}

/* Whether an instruction, of which these are the low 16 bits, may be of an extension. */
static bool may_be_of_extension(uint32_t low)
{
    uint32_t place = place_of(low);
    return features_translated != 0 && extension_rows_at[place] != extension_rows_at[place + 1];
}

/* What Unicorn does behind an instruction of 4 bytes: a block ends with the page that it began in. */
static void step_past(uint8_t *disas, unsigned xlen)
{
    uint64_t first = 0, next = 0;
    uint8_t *at_next = disas + (xlen == 64 ? PC_NEXT_64 : PC_NEXT_32);
    memcpy(&first, disas + PC_FIRST, xlen / 8);
    memcpy(&next, at_next, xlen / 8);
    next += 4;
    memcpy(at_next, &next, xlen / 8);
    if (next - (first & ~(uint64_t)(PAGE_SIZE - 1)) >= PAGE_SIZE) {
        uint32_t ends = DISAS_TOO_MANY;
        memcpy(disas + (xlen == 64 ? IS_JUMP_64 : IS_JUMP_32), &ends, 4);
    }
}
