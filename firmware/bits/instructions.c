/* Every instruction of Zba, Zbb, Zbs and Zicond that computes, as a function. */

#include "bits.h"
#include "expected.h"

#define REGISTERS(function, insn) \
    static word function(word a, word b) \
    { \
        word result; \
        __asm__ volatile(insn " %0, %1, %2" : "=r"(result) : "r"(a), "r"(b)); \
        return result; \
    }
#define NUMBER(function, insn, number) \
    static word function(word a, word b) \
    { \
        word result; \
        (void)b; \
        __asm__ volatile(insn " %0, %1, %2" : "=r"(result) : "r"(a), "i"(number)); \
        return result; \
    }
#define UNARY(function, insn) \
    static word function(word a, word b) \
    { \
        word result; \
        (void)b; \
        __asm__ volatile(insn " %0, %1" : "=r"(result) : "r"(a)); \
        return result; \
    }

REGISTERS(sh1add, "sh1add")
REGISTERS(sh2add, "sh2add")
REGISTERS(sh3add, "sh3add")
REGISTERS(andn, "andn")
REGISTERS(orn, "orn")
REGISTERS(xnor, "xnor")
UNARY(clz, "clz")
UNARY(ctz, "ctz")
UNARY(cpop, "cpop")
REGISTERS(max, "max")
REGISTERS(maxu, "maxu")
REGISTERS(min, "min")
REGISTERS(minu, "minu")
UNARY(sext_b, "sext.b")
UNARY(sext_h, "sext.h")
UNARY(zext_h, "zext.h")
REGISTERS(rol, "rol")
REGISTERS(ror, "ror")
NUMBER(rori, "rori", 13)
UNARY(orc_b, "orc.b")
UNARY(rev8, "rev8")
REGISTERS(bclr, "bclr")
REGISTERS(bext, "bext")
REGISTERS(binv, "binv")
REGISTERS(bset, "bset")
NUMBER(bclri, "bclri", 13)
NUMBER(bexti, "bexti", 13)
NUMBER(binvi, "binvi", 13)
NUMBER(bseti, "bseti", 13)
REGISTERS(czero_eqz, ".insn r 0x33, 5, 7,")
REGISTERS(czero_nez, ".insn r 0x33, 7, 7,")
#if __riscv_xlen == 64
REGISTERS(add_uw, "add.uw")
REGISTERS(sh1add_uw, "sh1add.uw")
REGISTERS(sh2add_uw, "sh2add.uw")
REGISTERS(sh3add_uw, "sh3add.uw")
NUMBER(slli_uw, "slli.uw", 13)
UNARY(clzw, "clzw")
UNARY(ctzw, "ctzw")
UNARY(cpopw, "cpopw")
REGISTERS(rolw, "rolw")
REGISTERS(rorw, "rorw")
NUMBER(roriw, "roriw", 13)
#endif

#define CHECK(name, function) {name, function, EXPECTED_##function},

static const struct check zba[] = {
    CHECK("sh1add", sh1add) CHECK("sh2add", sh2add) CHECK("sh3add", sh3add)
#if __riscv_xlen == 64
    CHECK("add.uw", add_uw) CHECK("sh1add.uw", sh1add_uw) CHECK("sh2add.uw", sh2add_uw)
    CHECK("sh3add.uw", sh3add_uw) CHECK("slli.uw", slli_uw)
#endif
};

static const struct check zbb[] = {
    CHECK("andn", andn) CHECK("orn", orn) CHECK("xnor", xnor) CHECK("clz", clz) CHECK("ctz", ctz) CHECK("cpop", cpop)
    CHECK("max", max) CHECK("maxu", maxu) CHECK("min", min) CHECK("minu", minu) CHECK("sext.b", sext_b)
    CHECK("sext.h", sext_h) CHECK("zext.h", zext_h) CHECK("rol", rol) CHECK("ror", ror) CHECK("rori", rori)
    CHECK("orc.b", orc_b) CHECK("rev8", rev8)
#if __riscv_xlen == 64
    CHECK("clzw", clzw) CHECK("ctzw", ctzw) CHECK("cpopw", cpopw) CHECK("rolw", rolw) CHECK("rorw", rorw)
    CHECK("roriw", roriw)
#endif
};

static const struct check zbs[] = {
    CHECK("bclr", bclr) CHECK("bext", bext) CHECK("binv", binv) CHECK("bset", bset) CHECK("bclri", bclri)
    CHECK("bexti", bexti) CHECK("binvi", binvi) CHECK("bseti", bseti)
};

static const struct check zicond[] = {
    CHECK("czero.eqz", czero_eqz) CHECK("czero.nez", czero_nez)
};

#define GROUP(name, is_late) {#name, is_late, name, sizeof name / sizeof name[0]}

const struct group groups[] = {GROUP(zba, false), GROUP(zbb, false), GROUP(zbs, false), GROUP(zicond, true)};
const unsigned group_count = sizeof groups / sizeof groups[0];
