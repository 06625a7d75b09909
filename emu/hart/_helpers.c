/* Functions of ours in Unicorn's place: floating point and status CSRs as the specification has them.
 *
 * This library is loaded before Unicorn, and defines functions of the same names as some that Unicorn calls inside
 * itself. The dynamic linker binds the first definition it finds, so Unicorn calls these. (ELF alone works like that;
 * binding.py loads the library, and helpers.py tries with known values whether it took effect.) What it changes:
 *
 * - single precision is NaN-boxed: results are boxed, and an operand that is not counts as the canonical NaN;
 * - FMIN and FMAX ignore a signaling NaN, as IEEE 754-2019 has it; infinity times zero plus a quiet NaN is invalid;
 * - instructions that only raise flags make FS Dirty; SD follows FS; sstatus shows UXL;
 * - and it is faster: where the result is certain to be what the host's processor computes, that computes it.
 *
 * Only in engines that are marked, in a byte of softfloat's status that RISC-V has no use for. In all others, and for
 * operands that need care, the originals do the work. softfloat.py and floating.py say the same in Python; whatever
 * changes here changes there too, and the tests compare them.
 *
 * Nothing in this file looks at host time, allocates, or keeps state of a guest.
 */
#include <dlfcn.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "_contract.h"
#include "_extensions.h"

#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define EXPORT __attribute__((visibility("default")))

/* Where Unicorn keeps what of a block while it translates: the first PC, the next one, whether the block ends, how many
 * instructions it has. Where it keeps the rest is in _contract.h. */
enum { PC_FIRST = 8, PC_NEXT_64 = 16, PC_NEXT_32 = 12, IS_JUMP_64 = 24, IS_JUMP_32 = 16, INSNS_64 = 28, INSNS_32 = 20 };

/* Softfloat's status, byte by byte, and its numbers. */
enum { AT_ROUNDING = 1, AT_FLAGS = 2, AT_MARK = 3 };
enum { MARK = 0x40, MARK_MASK = 0xf0 }; /* the other bits: extensions that are translated, see features_of */
enum { INVALID = 1, INEXACT = 32 };
enum { NEAREST_EVEN, DOWN, UP, TO_ZERO, TIES_AWAY };

#define BOX 0xffffffff00000000ull
#define NAN_S 0x7fc00000u
#define NAN_D 0x7ff8000000000000ull
#define INF_S 0x7f800000u
#define INF_D 0x7ff0000000000000ull
#define SIGN_S 0x80000000u
#define SIGN_D 0x8000000000000000ull

/* ---- the originals ------------------------------------------------------------------------------- */

#define EACH_OF_1(X) X(fsqrt_s) X(fsqrt_d) X(fcvt_s_d) X(fcvt_d_s)
#define EACH_OF_2(X) \
    X(fadd_s) X(fsub_s) X(fmul_s) X(fdiv_s) X(fmin_s) X(fmax_s) \
    X(fadd_d) X(fsub_d) X(fmul_d) X(fdiv_d) X(fmin_d) X(fmax_d)
#define EACH_OF_3(X) \
    X(fmadd_s) X(fmsub_s) X(fnmsub_s) X(fnmadd_s) X(fmadd_d) X(fmsub_d) X(fnmsub_d) X(fnmadd_d)
#define EACH_COMPARISON(X) X(fle_s) X(flt_s) X(feq_s) X(fle_d) X(flt_d) X(feq_d)
#define EACH_TO_INT(X) X(fcvt_w_s) X(fcvt_wu_s) X(fcvt_w_d) X(fcvt_wu_d)
#define EACH_FROM_INT(X) X(fcvt_s_w) X(fcvt_s_wu) X(fcvt_d_w) X(fcvt_d_wu)
#define EACH_TO_INT_64(X) X(fcvt_l_s) X(fcvt_lu_s) X(fcvt_l_d) X(fcvt_lu_d)
#define EACH_FROM_INT_64(X) X(fcvt_s_l) X(fcvt_s_lu) X(fcvt_d_l) X(fcvt_d_lu)
#define EACH(X) EACH_OF_1(X) EACH_OF_2(X) EACH_OF_3(X) EACH_COMPARISON(X) EACH_TO_INT(X) EACH_FROM_INT(X)
#define EACH_64(X) EACH_TO_INT_64(X) EACH_FROM_INT_64(X)

/* What TCG has for words of XLEN bits, of one operand and of two: names without _i64 or _i32. */
#define EACH_WORD_1(X) X(tcg_gen_ctpop) X(tcg_gen_ext8s) X(tcg_gen_ext16s) X(tcg_gen_ext16u)
#define EACH_WORD_2(X) \
    X(tcg_gen_andc) X(tcg_gen_orc) X(tcg_gen_eqv) X(tcg_gen_clz) X(tcg_gen_ctz) X(tcg_gen_rotl) X(tcg_gen_rotr) \
    X(tcg_gen_smax) X(tcg_gen_umax) X(tcg_gen_smin) X(tcg_gen_umin)

typedef uint64_t (*op1)(uint8_t *env, uint64_t a);
typedef uint64_t (*op2)(uint8_t *env, uint64_t a, uint64_t b);
typedef uint64_t (*op3)(uint8_t *env, uint64_t a, uint64_t b, uint64_t c);

/* TCG: a value is named by the distance of its TCGTemp from the context, and constants are values too. */
typedef intptr_t value;

struct originals {
    void (*translator_loop)(const void *ops, uint8_t *disas, uint8_t *cpu, void *block, int max_insns);
    void *(*tcg_global_mem_new_internal)(char *tcg, int type, value base, intptr_t offset, const char *name);
    void (*tcg_func_start)(char *tcg);
    void (*tcg_gen_callN)(char *tcg, void *function, void *result, int count, void **operands);
    value (*tcg_const_i32)(char *tcg, int32_t constant);
    void *(*tcg_temp_new_internal)(char *tcg, int type, bool is_local);
    void (*tcg_temp_free_internal)(char *tcg, void *temp);
    value (*tcg_const_i64)(char *tcg, int64_t constant);
    void (*tcg_gen_ori_i64)(char *tcg, value result, value a, int64_t b);
    void (*tcg_gen_andi_i64)(char *tcg, value result, value a, int64_t b);
    void (*tcg_gen_xori_i64)(char *tcg, value result, value a, int64_t b);
    void (*tcg_gen_deposit_i64)(char *tcg, value result, value a, value b, unsigned at, unsigned bits);
    void (*tcg_gen_movcond_i64)(char *tcg, int condition, value result, value a, value b, value yes, value no);
    void (*tcg_gen_op3)(char *tcg, int opcode, uintptr_t result, uintptr_t a, uintptr_t b);
#define MEMBER(name) void *name;
    EACH_WORD_1(MEMBER)
    EACH_WORD_2(MEMBER)
    void *tcg_gen_movcond, *tcg_gen_bswap, *tcg_gen_ext32u, *tcg_gen_ext32s;
    uint32_t (*cpu_lduw_code)(uint8_t *env, uint64_t pc);
    int (*riscv_csrrw)(uint8_t *env, int csr, void *old, uint64_t written, uint64_t mask); /* words of XLEN bits */
    char *(*tcg_emit_op)(char *tcg, int operation);
    void (*tcg_gen_op1)(char *tcg, int operation, uint64_t a);
    void *(*gen_new_label)(char *tcg);
    void (*tcg_gen_brcond_i64)(char *tcg, int condition, value a, value b, void *label);
    void (*check_exit_request)(void *uc, uint32_t is_in_delay_slot);
    void *(*lookup_tb_ptr)(uint8_t *env);
    void (*tcg_gen_exit_tb)(char *tcg, void *block, unsigned number);
    void (*tcg_gen_lookup_and_goto_ptr)(char *tcg);
    bool (*cpu_restore_state)(void *cpu, uintptr_t at, bool is_leaving);
    void (*cpu_loop_exit_noexc)(void *cpu);
    void (*riscv_raise_exception)(uint8_t *env, uint32_t exception, uintptr_t at);
    void (*raise_exception)(uint8_t *env, uint32_t exception);
    void *mret, *sret; /* of words of XLEN bits */
    uintptr_t (*ret_ldub)(uint8_t *env, uint64_t address, uint32_t description, uintptr_t at);
    uintptr_t (*le_lduw)(uint8_t *env, uint64_t address, uint32_t description, uintptr_t at);
    uintptr_t (*le_ldul)(uint8_t *env, uint64_t address, uint32_t description, uintptr_t at);
    uint64_t (*le_ldq)(uint8_t *env, uint64_t address, uint32_t description, uintptr_t at);
    void (*ret_stb)(uint8_t *env, uint64_t address, uint8_t stored, uint32_t description, uintptr_t at);
    void (*le_stw)(uint8_t *env, uint64_t address, uint16_t stored, uint32_t description, uintptr_t at);
    void (*le_stl)(uint8_t *env, uint64_t address, uint32_t stored, uint32_t description, uintptr_t at);
    void (*le_stq)(uint8_t *env, uint64_t address, uint64_t stored, uint32_t description, uintptr_t at);
    EACH(MEMBER)
    EACH_64(MEMBER)
    value x[32], f[32]; /* the registers, as TCG knows them; 0: not seen yet */
};

static struct originals original_64, original_32;

/* ---- what is common to all ------------------------------------------------------------------------ */

static inline bool is_ours(const uint8_t *status)
{
    return (status[AT_MARK] & MARK_MASK) == MARK;
}

/* The extensions that are translated here, of an engine with this mark: bits of FEATURE_.... */
static inline uint64_t features_of(uint8_t mark)
{
    uint64_t features = 0;
    unsigned at = 0;
    for (uint64_t left = EXTENSIONS_TRANSLATED; left != 0; left &= left - 1)
        features |= mark >> at++ & 1 ? left & (0 - left) : 0;
    return features;
}

/* The other way round. */
static uint8_t mark_of(uint64_t features)
{
    uint8_t mark = MARK, bit = 1;
    for (uint64_t left = EXTENSIONS_TRANSLATED; left != 0; left &= left - 1, bit <<= 1)
        mark |= features & left & (0 - left) ? bit : 0;
    return mark;
}

/* The flags that an operation raises besides inexact are told by its operands or its result where both are normal
 * numbers; and inexact is raised already, and rounding is the host's: then the host may compute. */
static inline bool may_use_host(const uint8_t *status)
{
    uint32_t word;
    memcpy(&word, status, 4);
    return FLT_EVAL_METHOD == 0 && LIKELY((word & 0xf020ffffu) == ((uint32_t)MARK << 24 | INEXACT << 16 | NEAREST_EVEN << 8));
}

static inline void make_fs_dirty(uint8_t *env, int xlen)
{
    if (xlen == 64) {
        uint64_t mstatus;
        memcpy(&mstatus, env + MSTATUS_64, 8);
        mstatus |= MSTATUS_FS | 1ull << 63;
        memcpy(env + MSTATUS_64, &mstatus, 8);
    } else {
        uint32_t mstatus;
        memcpy(&mstatus, env + MSTATUS_32, 4);
        mstatus |= MSTATUS_FS | 1u << 31;
        memcpy(env + MSTATUS_32, &mstatus, 4);
    }
}

/* Raise flags in an instruction that writes no floating point register. */
static inline void raise_flags(uint8_t *env, uint8_t *status, int xlen, uint8_t flags)
{
    status[AT_FLAGS] |= flags;
    if (flags != 0)
        make_fs_dirty(env, xlen);
}

static inline double double_of(uint64_t bits)
{
    double number;
    memcpy(&number, &bits, 8);
    return number;
}

static inline uint64_t bits_of(double number)
{
    uint64_t bits;
    memcpy(&bits, &number, 8);
    return bits;
}

static inline float float_of(uint64_t bits)
{
    uint32_t low = (uint32_t)bits;
    float number;
    memcpy(&number, &low, 4);
    return number;
}

static inline uint32_t bits_of_float(float number)
{
    uint32_t bits;
    memcpy(&bits, &number, 4);
    return bits;
}

static inline uint32_t unboxed(uint64_t a)
{
    return LIKELY(a >= BOX) ? (uint32_t)a : NAN_S;
}

static inline bool is_zero_d(uint64_t a) { return a << 1 == 0; }
static inline bool is_zero_s(uint32_t a) { return a << 1 == 0; }
static inline bool is_nan_d(uint64_t a) { return a << 1 > INF_D << 1; }
static inline bool is_nan_s(uint32_t a) { return a << 1 > INF_S << 1; }
static inline bool is_signaling_d(uint64_t a) { return is_nan_d(a) && !(a & 1ull << 51); }
static inline bool is_signaling_s(uint32_t a) { return is_nan_s(a) && !(a & 1u << 22); }
static inline bool is_inf_d(uint64_t a) { return a << 1 == INF_D << 1; }
static inline bool is_inf_s(uint32_t a) { return a << 1 == INF_S << 1; }
static inline bool is_normal_d(uint64_t a) { return (((a >> 52) + 1) & 0x7ff) >= 2; }
static inline bool is_normal_s(uint32_t a) { return (((a >> 23) + 1) & 0xff) >= 2; }
static inline bool is_plain_d(uint64_t a) { return LIKELY(is_normal_d(a)) || is_zero_d(a); }
static inline bool is_plain_s(uint32_t a) { return LIKELY(is_normal_s(a)) || is_zero_s(a); }

/* A result above the smallest normal number and below infinity: it neither overflowed nor was tiny. */
static inline bool is_certain_d(uint64_t r) { return LIKELY((r << 1) - (2ull << 52) - 1 < (INF_D << 1) - (2ull << 52) - 1); }
static inline bool is_certain_s(uint32_t r) { return LIKELY((r << 1) - (2u << 23) - 1 < (INF_S << 1) - (2u << 23) - 1); }

/* ---- arithmetic ----------------------------------------------------------------------------------- */

/* `is_exact_zero` tells when a zero result is exact. */
#define ARITHMETIC_D(name, operator, is_usable, is_exact_zero) \
    static inline uint64_t name(uint8_t *env, uint8_t *status, op2 original, uint64_t a, uint64_t b) \
    { \
        if (may_use_host(status) && (is_usable)) { \
            uint64_t r = bits_of(double_of(a) operator double_of(b)); \
            if (is_certain_d(r) || (is_zero_d(r) && (is_exact_zero))) \
                return r; \
        } \
        return original(env, a, b); \
    }

#define ARITHMETIC_S(name, operator, is_usable, is_exact_zero) \
    static inline uint64_t name(uint8_t *env, uint8_t *status, op2 original, uint64_t boxed_a, uint64_t boxed_b) \
    { \
        uint32_t a = unboxed(boxed_a), b = unboxed(boxed_b); \
        if (may_use_host(status) && (is_usable)) { \
            uint32_t r = bits_of_float(float_of(a) operator float_of(b)); \
            if (is_certain_s(r) || (is_zero_s(r) && (is_exact_zero))) \
                return r | BOX; \
        } \
        return is_ours(status) ? original(env, a, b) | BOX : original(env, boxed_a, boxed_b); \
    }

ARITHMETIC_D(fadd_d, +, is_plain_d(a) && is_plain_d(b), (a ^ b) << 1 == 0)
ARITHMETIC_D(fsub_d, -, is_plain_d(a) && is_plain_d(b), (a ^ b) << 1 == 0)
ARITHMETIC_D(fmul_d, *, is_plain_d(a) && is_plain_d(b), is_zero_d(a) || is_zero_d(b))
ARITHMETIC_D(fdiv_d, /, is_plain_d(a) && is_normal_d(b), is_zero_d(a))
ARITHMETIC_S(fadd_s, +, is_plain_s(a) && is_plain_s(b), (a ^ b) << 1 == 0)
ARITHMETIC_S(fsub_s, -, is_plain_s(a) && is_plain_s(b), (a ^ b) << 1 == 0)
ARITHMETIC_S(fmul_s, *, is_plain_s(a) && is_plain_s(b), is_zero_s(a) || is_zero_s(b))
ARITHMETIC_S(fdiv_s, /, is_plain_s(a) && is_normal_s(b), is_zero_s(a))

static inline uint64_t fsqrt_d(uint8_t *env, uint8_t *status, op1 original, uint64_t a)
{
    if (may_use_host(status) && is_normal_d(a) && a < SIGN_D)
        return bits_of(__builtin_sqrt(double_of(a)));
    return original(env, a);
}

static inline uint64_t fsqrt_s(uint8_t *env, uint8_t *status, op1 original, uint64_t boxed)
{
    uint32_t a = unboxed(boxed);
    if (may_use_host(status) && is_normal_s(a) && a < SIGN_S)
        return bits_of_float(__builtin_sqrtf(float_of(a))) | BOX;
    return is_ours(status) ? original(env, a) | BOX : original(env, boxed);
}

/* (a * b) + c with the signs of the product and of c changed, or not. */
#define FUSED(name_d, name_s, sign_of_product, sign_of_c) \
    static inline uint64_t name_d(uint8_t *env, uint8_t *status, op3 original, uint64_t a, uint64_t b, uint64_t c) \
    { \
        if (may_use_host(status) && is_plain_d(a) && is_plain_d(b) && is_plain_d(c)) { \
            uint64_t r = bits_of(fma(sign_of_product double_of(a), double_of(b), sign_of_c double_of(c))); \
            if (is_certain_d(r)) \
                return r; \
        } \
        if (is_ours(status) && ((is_inf_d(a) && is_zero_d(b)) || (is_zero_d(a) && is_inf_d(b)))) \
            status[AT_FLAGS] |= INVALID; \
        return original(env, a, b, c); \
    } \
    static inline uint64_t name_s(uint8_t *env, uint8_t *status, op3 original, uint64_t boxed_a, uint64_t boxed_b, uint64_t boxed_c) \
    { \
        uint32_t a = unboxed(boxed_a), b = unboxed(boxed_b), c = unboxed(boxed_c); \
        if (may_use_host(status) && is_plain_s(a) && is_plain_s(b) && is_plain_s(c)) { \
            uint32_t r = bits_of_float(fmaf(sign_of_product float_of(a), float_of(b), sign_of_c float_of(c))); \
            if (is_certain_s(r)) \
                return r | BOX; \
        } \
        if (!is_ours(status)) \
            return original(env, boxed_a, boxed_b, boxed_c); \
        if ((is_inf_s(a) && is_zero_s(b)) || (is_zero_s(a) && is_inf_s(b))) \
            status[AT_FLAGS] |= INVALID; \
        return original(env, a, b, c) | BOX; \
    }

FUSED(fmadd_d, fmadd_s, +, +)
FUSED(fmsub_d, fmsub_s, +, -)
FUSED(fnmsub_d, fnmsub_s, -, +)
FUSED(fnmadd_d, fnmadd_s, -, -)

/* ---- comparisons ---------------------------------------------------------------------------------- */

/* Numbers in order of their values as integers, -0 below +0. */
static inline int64_t order_d(uint64_t a) { return (int64_t)a < 0 ? (int64_t)~(a & ~SIGN_D) : (int64_t)a; }
static inline int32_t order_s(uint32_t a) { return (int32_t)a < 0 ? (int32_t)~(a & ~SIGN_S) : (int32_t)a; }

#define MINIMUM(name_d, name_s, operator) \
    static inline uint64_t name_d(uint8_t *env, uint8_t *status, op2 original, uint64_t a, uint64_t b) \
    { \
        if (!is_ours(status)) \
            return original(env, a, b); \
        if (is_signaling_d(a) || is_signaling_d(b)) \
            status[AT_FLAGS] |= INVALID; \
        if (is_nan_d(a)) \
            return is_nan_d(b) ? NAN_D : b; \
        return is_nan_d(b) || order_d(a) operator order_d(b) ? a : b; \
    } \
    static inline uint64_t name_s(uint8_t *env, uint8_t *status, op2 original, uint64_t boxed_a, uint64_t boxed_b) \
    { \
        uint32_t a = unboxed(boxed_a), b = unboxed(boxed_b); \
        if (!is_ours(status)) \
            return original(env, boxed_a, boxed_b); \
        if (is_signaling_s(a) || is_signaling_s(b)) \
            status[AT_FLAGS] |= INVALID; \
        if (is_nan_s(a)) \
            return (is_nan_s(b) ? NAN_S : b) | BOX; \
        return (is_nan_s(b) || order_s(a) operator order_s(b) ? a : b) | BOX; \
    }

MINIMUM(fmin_d, fmin_s, <)
MINIMUM(fmax_d, fmax_s, >)

#define COMPARISON(name_d, name_s, operator, are_equal, is_invalid_d, is_invalid_s) \
    static inline uint64_t name_d(uint8_t *env, uint8_t *status, op2 original, uint64_t a, uint64_t b, int xlen) \
    { \
        if (!is_ours(status)) \
            return original(env, a, b); \
        if (is_nan_d(a) || is_nan_d(b)) { \
            raise_flags(env, status, xlen, is_invalid_d(a) || is_invalid_d(b) ? INVALID : 0); \
            return 0; \
        } \
        return is_zero_d(a | b) ? are_equal : order_d(a) operator order_d(b); \
    } \
    static inline uint64_t name_s(uint8_t *env, uint8_t *status, op2 original, uint64_t boxed_a, uint64_t boxed_b, int xlen) \
    { \
        uint32_t a = unboxed(boxed_a), b = unboxed(boxed_b); \
        if (!is_ours(status)) \
            return original(env, boxed_a, boxed_b); \
        if (is_nan_s(a) || is_nan_s(b)) { \
            raise_flags(env, status, xlen, is_invalid_s(a) || is_invalid_s(b) ? INVALID : 0); \
            return 0; \
        } \
        return is_zero_s(a | b) ? are_equal : order_s(a) operator order_s(b); \
    }

COMPARISON(feq_d, feq_s, ==, 1, is_signaling_d, is_signaling_s)
COMPARISON(flt_d, flt_s, <, 0, is_nan_d, is_nan_s)
COMPARISON(fle_d, fle_s, <=, 1, is_nan_d, is_nan_s)

/* ---- conversions ---------------------------------------------------------------------------------- */

/* What to add to the integer below a number: `rest` is what lies between, in units of which `half` is a half. */
static inline uint64_t round_up(int rounding, bool is_negative, uint64_t whole, uint64_t rest, uint64_t half)
{
    switch (rounding) {
    case NEAREST_EVEN:
        return rest > half || (rest == half && whole & 1);
    case TIES_AWAY:
        return rest >= half;
    case DOWN:
        return is_negative && rest != 0;
    case UP:
        return !is_negative && rest != 0;
    default:
        return 0;
    }
}

/* The number `a` (a double) as an integer of so many bits; where it does not fit, the nearest that does. */
static inline uint64_t to_int(uint8_t *env, uint8_t *status, uint64_t a, int bits, bool is_signed, int xlen)
{
    bool is_negative = a >> 63;
    int exponent = (int)(a >> 52 & 0x7ff);
    uint64_t max = is_signed ? (1ull << (bits - 1)) - 1 : ~0ull >> (64 - bits), min = is_signed ? ~max : 0;
    uint64_t fraction = a & ((1ull << 52) - 1), whole = 0, rest = 0, half = 2;
    if (is_nan_d(a)) {
        raise_flags(env, status, xlen, INVALID);
        return max;
    }
    if (exponent != 0)
        fraction |= 1ull << 52;
    int shift = (exponent != 0 ? exponent : 1) - 1075; /* the number is fraction * 2^shift */
    if (shift > 11) {
        raise_flags(env, status, xlen, INVALID); /* 2^64 or more, or infinity */
        return is_negative ? min : max;
    }
    if (shift >= 0) {
        whole = fraction << shift;
    } else if (shift > -54) {
        half = 1ull << (-shift - 1);
        whole = fraction >> -shift;
        rest = fraction & (2 * half - 1);
    } else {
        rest = fraction != 0; /* less than a half */
    }
    whole += round_up((int8_t)status[AT_ROUNDING], is_negative, whole, rest, half);
    if (is_negative ? whole > 0 - min : whole > max) {
        raise_flags(env, status, xlen, INVALID);
        return is_negative ? min : max;
    }
    raise_flags(env, status, xlen, rest != 0 ? INEXACT : 0);
    return is_negative ? 0 - whole : whole;
}

/* A single as the double of the same value; NaNs stay NaNs. */
static inline uint64_t widened(uint32_t a)
{
    if (LIKELY(is_plain_s(a)))
        return bits_of((double)float_of(a));
    if (is_nan_s(a) || is_inf_s(a))
        return (uint64_t)(a & SIGN_S) << 32 | INF_D | (uint64_t)(a & 0x7fffff) << 29;
    uint32_t fraction = a & 0x7fffff;
    int shift = __builtin_clz(fraction) - 8; /* the host may flush subnormal numbers, so by hand */
    return (uint64_t)(a & SIGN_S) << 32 | (uint64_t)(897 - shift) << 52 | ((uint64_t)fraction << (shift + 29) & ((1ull << 52) - 1));
}

#define TO_INT(name, bits, is_signed, type) \
    static inline uint64_t name##_d(uint8_t *env, uint8_t *status, op1 original, uint64_t a, int xlen) \
    { \
        return is_ours(status) ? (uint64_t)(type)to_int(env, status, a, bits, is_signed, xlen) : original(env, a); \
    } \
    static inline uint64_t name##_s(uint8_t *env, uint8_t *status, op1 original, uint64_t a, int xlen) \
    { \
        return is_ours(status) ? (uint64_t)(type)to_int(env, status, widened(unboxed(a)), bits, is_signed, xlen) : original(env, a); \
    }

TO_INT(fcvt_w, 32, true, int32_t)
TO_INT(fcvt_wu, 32, false, int32_t)
TO_INT(fcvt_l, 64, true, uint64_t)
TO_INT(fcvt_lu, 64, false, uint64_t)

#define FROM_INT(name_d, name_s, type, is_short_d, is_short_s) \
    static inline uint64_t name_d(uint8_t *env, uint8_t *status, op1 original, uint64_t x) \
    { \
        type a = (type)x; \
        return is_ours(status) && (is_short_d) ? bits_of((double)a) : original(env, x); \
    } \
    static inline uint64_t name_s(uint8_t *env, uint8_t *status, op1 original, uint64_t x) \
    { \
        type a = (type)x; \
        if (may_use_host(status) || (is_ours(status) && (is_short_s))) \
            return bits_of_float((float)a) | BOX; \
        return is_ours(status) ? original(env, x) | BOX : original(env, x); \
    }

/* Integers so short that their numbers are exact. */
FROM_INT(fcvt_d_w, fcvt_s_w, int32_t, true, a >= -0x1000000 && a <= 0x1000000)
FROM_INT(fcvt_d_wu, fcvt_s_wu, uint32_t, true, a <= 0x1000000)
FROM_INT(fcvt_d_l, fcvt_s_l, int64_t, a >= -(1ll << 53) && a <= 1ll << 53, a >= -0x1000000 && a <= 0x1000000)
FROM_INT(fcvt_d_lu, fcvt_s_lu, uint64_t, a <= 1ull << 53, a <= 0x1000000)

static inline uint64_t fcvt_s_d(uint8_t *env, uint8_t *status, op1 original, uint64_t a)
{
    if (may_use_host(status) && is_plain_d(a)) {
        uint32_t r = bits_of_float((float)double_of(a));
        if (is_certain_s(r) || is_zero_d(a))
            return r | BOX;
    }
    return is_ours(status) ? original(env, a) | BOX : original(env, a);
}

static inline uint64_t fcvt_d_s(uint8_t *env, uint8_t *status, op1 original, uint64_t boxed)
{
    uint32_t a = unboxed(boxed);
    if (!is_ours(status))
        return original(env, boxed);
    return LIKELY(is_plain_s(a)) ? widened(a) : original(env, a);
}

/* ---- the functions in Unicorn's place --------------------------------------------------------------- */

#define DEFINE_1(name, xlen) \
    EXPORT uint64_t helper_##name##_riscv##xlen(uint8_t *env, uint64_t a) \
    { \
        return name(env, env + STATUS_##xlen, (op1)original_##xlen.name, a); \
    }
#define DEFINE_2(name, xlen) \
    EXPORT uint64_t helper_##name##_riscv##xlen(uint8_t *env, uint64_t a, uint64_t b) \
    { \
        return name(env, env + STATUS_##xlen, (op2)original_##xlen.name, a, b); \
    }
#define DEFINE_3(name, xlen) \
    EXPORT uint64_t helper_##name##_riscv##xlen(uint8_t *env, uint64_t a, uint64_t b, uint64_t c) \
    { \
        return name(env, env + STATUS_##xlen, (op3)original_##xlen.name, a, b, c); \
    }
#define DEFINE_COMPARISON(name, xlen) \
    EXPORT uint64_t helper_##name##_riscv##xlen(uint8_t *env, uint64_t a, uint64_t b) \
    { \
        return name(env, env + STATUS_##xlen, (op2)original_##xlen.name, a, b, xlen); \
    }
#define DEFINE_TO_INT(name, xlen) \
    EXPORT uint64_t helper_##name##_riscv##xlen(uint8_t *env, uint64_t a) \
    { \
        return name(env, env + STATUS_##xlen, (op1)original_##xlen.name, a, xlen); \
    }
#define DEFINE_1_64(name) DEFINE_1(name, 64)
#define DEFINE_1_32(name) DEFINE_1(name, 32)
#define DEFINE_2_64(name) DEFINE_2(name, 64)
#define DEFINE_2_32(name) DEFINE_2(name, 32)
#define DEFINE_3_64(name) DEFINE_3(name, 64)
#define DEFINE_3_32(name) DEFINE_3(name, 32)
#define DEFINE_COMPARISON_64(name) DEFINE_COMPARISON(name, 64)
#define DEFINE_COMPARISON_32(name) DEFINE_COMPARISON(name, 32)
#define DEFINE_TO_INT_64(name) DEFINE_TO_INT(name, 64)
#define DEFINE_TO_INT_32(name) DEFINE_TO_INT(name, 32)

EACH_OF_1(DEFINE_1_64)
EACH_OF_1(DEFINE_1_32)
EACH_OF_2(DEFINE_2_64)
EACH_OF_2(DEFINE_2_32)
EACH_OF_3(DEFINE_3_64)
EACH_OF_3(DEFINE_3_32)
EACH_COMPARISON(DEFINE_COMPARISON_64)
EACH_COMPARISON(DEFINE_COMPARISON_32)
EACH_TO_INT(DEFINE_TO_INT_64)
EACH_TO_INT(DEFINE_TO_INT_32)
EACH_TO_INT_64(DEFINE_TO_INT_64)
EACH_FROM_INT(DEFINE_1_64)
EACH_FROM_INT(DEFINE_1_32)
EACH_FROM_INT_64(DEFINE_1_64)

/* A CSR instruction. What Unicorn does is right but for SD after a write to a floating point CSR, and for UXL in
 * sstatus. */
#define DEFINE_CSRRW(xlen, word, uxl) \
    EXPORT int riscv_csrrw_riscv##xlen(uint8_t *env, int csr, word *old, word written, word mask) \
    { \
        int failed = original_##xlen.riscv_csrrw(env, csr, old, written, mask); \
        if (failed < 0 || !is_ours(env + STATUS_##xlen)) \
            return failed; \
        if (csr == CSR_SSTATUS && old != NULL) \
            *old |= (uxl); \
        else if (csr >= CSR_FFLAGS && csr <= CSR_FCSR && mask != 0) \
            make_fs_dirty(env, xlen); \
        return failed; \
    }

DEFINE_CSRRW(64, uint64_t, 2ull << 32)
DEFINE_CSRRW(32, uint32_t, 0)

/* ---- instructions that are translated in place ------------------------------------------------------
 *
 * Unicorn translates a few single precision instructions without a helper: FSGNJ, FSGNJN, FSGNJX and FMV.W.X. Its
 * translation is left as it is, since it also sees to FS and to whatever is hooked, and the right result is put over it. */

enum { TYPE_I32 = 0, TYPE_I64 = 1 };
enum { CONDITION_NE = 9, CONDITION_GEU = 5 };
enum { OPCODE_MASK = 0x7f, OP_FP = 0x53, OP_AMO = 0x2f };
enum { PAGE_SIZE = 4096, DISAS_TOO_MANY = 1 };
#define FSGNJ_S_MASK 0xfe00007fu
#define FSGNJ_S 0x20000053u
#define FMV_W_X_MASK 0xfff0707fu
#define FMV_W_X 0xf0000053u

static __thread char *current_tcg;
static __thread bool is_translating_ours;
static __thread uint64_t features_translated;

typedef void (*translate)(uint8_t *disas, uint8_t *cpu);

struct translator_ops {
    void *init_disas_context;
    translate tb_start;
    void *insn_start, *breakpoint_check;
    translate translate_insn, tb_stop, pc_sync;
};

static void *temp_of(char *tcg, value v)
{
    return tcg + v;
}

/* A value that outlives the end of a basic block, which a hook before the instruction may bring. */
static value new_value(const struct originals *original, char *tcg)
{
    return (char *)original->tcg_temp_new_internal(tcg, TYPE_I64, true) - tcg;
}

static void free_value(const struct originals *original, char *tcg, value v)
{
    original->tcg_temp_free_internal(tcg, temp_of(tcg, v));
}

/* result = boxed, if it is boxed; else the canonical NaN, boxed. */
static void gen_unbox(const struct originals *original, char *tcg, value result, value boxed)
{
    value box = original->tcg_const_i64(tcg, (int64_t)BOX), nan = original->tcg_const_i64(tcg, (int64_t)(BOX | NAN_S));
    original->tcg_gen_movcond_i64(tcg, CONDITION_GEU, result, boxed, box, boxed, nan);
    free_value(original, tcg, nan);
    free_value(original, tcg, box);
}

/* f[rd] = a with the sign of b (kind 0), the other one (1), or the product of both signs (2); both are boxed. */
static void gen_sign(const struct originals *original, char *tcg, unsigned kind, value rd, value a, value b)
{
    if (kind == 0) {
        original->tcg_gen_deposit_i64(tcg, rd, b, a, 0, 31);
    } else if (kind == 1) {
        original->tcg_gen_xori_i64(tcg, b, b, SIGN_S);
        original->tcg_gen_deposit_i64(tcg, rd, b, a, 0, 31);
    } else {
        value zero = original->tcg_const_i64(tcg, 0);
        original->tcg_gen_andi_i64(tcg, b, b, SIGN_S);
        original->tcg_gen_xori_i64(tcg, rd, a, SIGN_S);
        original->tcg_gen_movcond_i64(tcg, CONDITION_NE, rd, b, zero, rd, a);
        free_value(original, tcg, zero);
    }
}

static void translate_sign(const struct originals *original, translate real, uint8_t *disas, uint8_t *cpu, uint32_t insn)
{
    char *tcg = current_tcg;
    value rd = original->f[insn >> 7 & 31], rs1 = original->f[insn >> 15 & 31], rs2 = original->f[insn >> 20 & 31];
    value a = new_value(original, tcg), b = new_value(original, tcg);
    gen_unbox(original, tcg, a, rs1);
    gen_unbox(original, tcg, b, rs2);
    real(disas, cpu); /* traps where FS is Off: then what follows is never reached */
    gen_sign(original, tcg, insn >> 12 & 7, rd, a, b);
    free_value(original, tcg, b);
    free_value(original, tcg, a);
}

#include "_counting.h"
#include "_translation.h"

static inline void translate_insn(const struct originals *original, translate real, uint8_t *disas, uint8_t *cpu, uint64_t pc, unsigned xlen)
{
    uint8_t *env;
    memcpy(&env, cpu + ENV_IN_CPU, 8);
    uint32_t insn = original->cpu_lduw_code(env, pc); /* as Unicorn is about to do, with the same faults */
    counted.may_ask = (insn & OPCODE_MASK) == OP_AMO;
    if ((insn & 3) != 3 || ((insn & OPCODE_MASK) != OP_FP && !may_be_of_extension(insn))) {
        real(disas, cpu);
        return;
    }
    insn |= original->cpu_lduw_code(env, pc + 2) << 16;
    const struct extension_row *row = extension_insn(insn, xlen, features_translated);
    if (row != NULL) {
        translate_extension(original, current_tcg, row, insn, xlen);
        step_past(disas, xlen);
    } else if ((insn & FSGNJ_S_MASK) == FSGNJ_S && (insn >> 12 & 7) <= 2) {
        translate_sign(original, real, disas, cpu, insn);
    } else if ((insn & FMV_W_X_MASK) == FMV_W_X) {
        value rd = original->f[insn >> 7 & 31];
        real(disas, cpu);
        original->tcg_gen_ori_i64(current_tcg, rd, rd, (int64_t)BOX);
    } else {
        real(disas, cpu);
    }
}

/* FCLASS.S is not told which engine it is for, so its operand is seen to where it is translated. */
static bool is_fclass_s(const void *function);

#define DEFINE_TRANSLATION(xlen, word) \
    static struct translator_ops real_ops_##xlen; \
    static word pc_at_##xlen(const uint8_t *disas, int offset) \
    { \
        word pc; \
        memcpy(&pc, disas + offset, sizeof pc); \
        return pc; \
    } \
    static void translate_insn_##xlen(uint8_t *disas, uint8_t *cpu) \
    { \
        word pc = pc_at_##xlen(disas, PC_NEXT_##xlen); \
        translate_insn(&original_##xlen, real_ops_##xlen.translate_insn, disas, cpu, pc, xlen); \
    } \
    static void pc_sync_##xlen(uint8_t *disas, uint8_t *cpu) \
    { \
        real_ops_##xlen.pc_sync(disas, cpu); \
        begin_counting(&original_##xlen, current_tcg, pc_at_##xlen(disas, PC_FIRST)); \
    } \
    static void tb_start_##xlen(uint8_t *disas, uint8_t *cpu) \
    { \
        begin_body(&original_##xlen, current_tcg); \
        real_ops_##xlen.tb_start(disas, cpu); \
    } \
    static void tb_stop_##xlen(uint8_t *disas, uint8_t *cpu) \
    { \
        word pc = pc_at_##xlen(disas, PC_FIRST), size = pc_at_##xlen(disas, PC_NEXT_##xlen) - pc; \
        int insns; \
        memcpy(&insns, disas + INSNS_##xlen, sizeof insns); \
        end_counting(pc, size, (uint64_t)insns); \
        real_ops_##xlen.tb_stop(disas, cpu); \
    } \
    EXPORT void translator_loop_riscv##xlen(const struct translator_ops *ops, uint8_t *disas, uint8_t *cpu, void *block, int max_insns) \
    { \
        struct translator_ops ours; \
        uint8_t *env; \
        memcpy(&env, cpu + ENV_IN_CPU, 8); \
        is_translating_ours = is_ours(env + STATUS_##xlen); \
        counted.shared = is_translating_ours ? shared_of(env, xlen) : NULL; \
        counted.may_ask = false; \
        if (is_translating_ours) { \
            real_ops_##xlen = ours = *ops; \
            ours.translate_insn = translate_insn_##xlen; \
            ops = &ours; \
        } \
        features_translated = is_translating_ours ? features_of((env + STATUS_##xlen)[AT_MARK]) : 0; \
        if (counted.shared != NULL) { \
            ours.pc_sync = pc_sync_##xlen; \
            ours.tb_start = tb_start_##xlen; \
            ours.tb_stop = tb_stop_##xlen; \
            counted.begun = counted.insns = NULL; \
        } \
        original_##xlen.translator_loop(ops, disas, cpu, block, max_insns); \
        counted.shared = NULL; \
    } \
    EXPORT void tcg_func_start_riscv##xlen(char *tcg) \
    { \
        current_tcg = tcg; \
        original_##xlen.tcg_func_start(tcg); \
    } \
    EXPORT void *tcg_global_mem_new_internal_riscv##xlen(char *tcg, int type, value base, intptr_t offset, const char *name) \
    { \
        char *temp = original_##xlen.tcg_global_mem_new_internal(tcg, type, base, offset, name); \
        if (type == (xlen == 64 ? TYPE_I64 : TYPE_I32) && offset > 0 && offset < 32 * xlen / 8 && offset % (xlen / 8) == 0) \
            original_##xlen.x[offset / (xlen / 8)] = temp - tcg; \
        else if (type == TYPE_I64 && offset >= F_##xlen && offset < F_##xlen + 32 * 8 && offset % 8 == 0) \
            original_##xlen.f[(offset - F_##xlen) / 8] = temp - tcg; \
        return temp; \
    } \
    /* Unicorn leaves its code behind a block whose end may change anything: that needs a look for the next one, no more. */ \
    EXPORT void tcg_gen_exit_tb_riscv##xlen(char *tcg, void *block, unsigned number) \
    { \
        if (counted.shared != NULL && block == NULL) \
            original_##xlen.tcg_gen_lookup_and_goto_ptr(tcg); \
        else \
            original_##xlen.tcg_gen_exit_tb(tcg, block, number); \
    } \
    EXPORT void tcg_gen_callN_riscv##xlen(char *tcg, void *function, void *result, int count, void **operands) \
    { \
        if (is_needless(&original_##xlen, function)) { \
            return; \
        } else if (is_translating_ours && is_fclass_s(function)) { \
            value a = new_value(&original_##xlen, tcg); \
            void *operand = temp_of(tcg, a); \
            gen_unbox(&original_##xlen, tcg, a, (char *)operands[0] - tcg); \
            original_##xlen.tcg_gen_callN(tcg, function, result, count, &operand); \
            free_value(&original_##xlen, tcg, a); \
        } else { \
            original_##xlen.tcg_gen_callN(tcg, function, result, count, operands); \
        } \
    }

DEFINE_TRANSLATION(64, uint64_t)
DEFINE_TRANSLATION(32, uint32_t)

/* ---- binding ---------------------------------------------------------------------------------------- */

static void *fclass_s_64, *fclass_s_32;

static bool is_fclass_s(const void *function)
{
    return function == fclass_s_64 || function == fclass_s_32;
}

static void *found(void *unicorn, const char *name, bool *is_missing)
{
    void *function = dlsym(unicorn, name);
    *is_missing |= function == NULL;
    return function;
}

/* Learn where the originals are: `unicorn` is the library's handle. False: one is missing, and no engine may be marked. */
EXPORT bool minstret_bind(void *unicorn)
{
    bool is_missing = false;
    index_extension_rows();
#define BIND_64(name) original_64.name = found(unicorn, "helper_" #name "_riscv64", &is_missing);
#define BIND_32(name) original_32.name = found(unicorn, "helper_" #name "_riscv32", &is_missing);
#define BIND_BOTH(name) \
    original_64.name = found(unicorn, #name "_riscv64", &is_missing); \
    original_32.name = found(unicorn, #name "_riscv32", &is_missing);
    EACH(BIND_64)
    EACH_64(BIND_64)
    EACH(BIND_32)
    BIND_BOTH(translator_loop)
    BIND_BOTH(tcg_global_mem_new_internal)
    BIND_BOTH(tcg_func_start)
    BIND_BOTH(tcg_gen_callN)
    BIND_BOTH(tcg_temp_new_internal)
    BIND_BOTH(tcg_temp_free_internal)
    BIND_BOTH(tcg_const_i64)
    BIND_BOTH(tcg_const_i32)
    BIND_BOTH(tcg_gen_op3)
#define BIND_WORD(name) \
    original_64.name = found(unicorn, #name "_i64_riscv64", &is_missing); \
    original_32.name = found(unicorn, #name "_i32_riscv32", &is_missing);
    EACH_WORD_1(BIND_WORD)
    EACH_WORD_2(BIND_WORD)
    BIND_WORD(tcg_gen_movcond)
    original_64.tcg_gen_bswap = found(unicorn, "tcg_gen_bswap64_i64_riscv64", &is_missing);
    original_32.tcg_gen_bswap = found(unicorn, "tcg_gen_bswap32_i32_riscv32", &is_missing);
    original_64.tcg_gen_ext32u = found(unicorn, "tcg_gen_ext32u_i64_riscv64", &is_missing);
    original_64.tcg_gen_ext32s = found(unicorn, "tcg_gen_ext32s_i64_riscv64", &is_missing);
    BIND_BOTH(tcg_gen_ori_i64)
    BIND_BOTH(tcg_gen_andi_i64)
    BIND_BOTH(tcg_gen_xori_i64)
    BIND_BOTH(tcg_gen_deposit_i64)
    BIND_BOTH(tcg_gen_movcond_i64)
    BIND_BOTH(cpu_lduw_code)
    BIND_BOTH(riscv_csrrw)
    BIND_BOTH(tcg_emit_op)
    BIND_BOTH(tcg_gen_op1)
    BIND_BOTH(gen_new_label)
    BIND_BOTH(tcg_gen_brcond_i64)
    BIND_BOTH(cpu_restore_state)
    BIND_BOTH(cpu_loop_exit_noexc)
    BIND_BOTH(tcg_gen_exit_tb)
    BIND_BOTH(tcg_gen_lookup_and_goto_ptr)
    BIND_BOTH(riscv_raise_exception)
#define BIND_HELPER(name, function) \
    original_64.name = found(unicorn, "helper_" #function "_riscv64", &is_missing); \
    original_32.name = found(unicorn, "helper_" #function "_riscv32", &is_missing);
    BIND_HELPER(check_exit_request, check_exit_request)
    BIND_HELPER(lookup_tb_ptr, lookup_tb_ptr)
    BIND_HELPER(raise_exception, raise_exception)
    BIND_HELPER(mret, mret)
    BIND_HELPER(sret, sret)
    BIND_HELPER(ret_ldub, ret_ldub_mmu)
    BIND_HELPER(le_lduw, le_lduw_mmu)
    BIND_HELPER(le_ldul, le_ldul_mmu)
    BIND_HELPER(le_ldq, le_ldq_mmu)
    BIND_HELPER(ret_stb, ret_stb_mmu)
    BIND_HELPER(le_stw, le_stw_mmu)
    BIND_HELPER(le_stl, le_stl_mmu)
    BIND_HELPER(le_stq, le_stq_mmu)
    fclass_s_64 = found(unicorn, "helper_fclass_s_riscv64", &is_missing);
    fclass_s_32 = found(unicorn, "helper_fclass_s_riscv32", &is_missing);
    return !is_missing;
}

/* What this was built from, for Python to compare with what it has: see contract.py. */
EXPORT const char *minstret_contract_names(void)
{
    return HELPERS_CONTRACT(CONTRACT_NAME);
}

EXPORT const uint64_t *minstret_contract_values(void)
{
    static const uint64_t values[] = {HELPERS_CONTRACT(CONTRACT_VALUE)};
    return values;
}

/* Mark an engine, by its CPU state: it gets our functions, and code for these extensions, from its next block on. */
EXPORT void minstret_mark(uint8_t *env, int xlen, bool is_ours_now, uint64_t features)
{
    env[(xlen == 64 ? STATUS_64 : STATUS_32) + AT_MARK] = is_ours_now ? mark_of(features) : 0;
}

/* Have an engine that is marked count in its code, or no longer: `shared` is its struct shared, or NULL. Whatever it has
 * translated has to go. */
EXPORT void minstret_count(uint8_t *env, int xlen, void *shared)
{
    memcpy(env + (xlen == 64 ? SHARED_64 : SHARED_32), &shared, sizeof shared);
}

/* Which accesses of an engine have come to our functions, a bit each: loads of 1, 2, 4 and 8 bytes, and stores. */
EXPORT int minstret_accesses_seen(int xlen)
{
    return xlen == 64 ? accesses_seen_64 : accesses_seen_32;
}

/* Whether TCG's names for all registers were seen. */
EXPORT bool minstret_knows_registers(int xlen)
{
    const struct originals *original = xlen == 64 ? &original_64 : &original_32;
    for (int i = 0; i < 32; i++)
        if (original->f[i] == 0 || (i != 0 && original->x[i] == 0))
            return false;
    return true;
}
