#include "check.h"

#include "csr.h"
#include "print.h"

unsigned checks_done, checks_failed;

static bool report(const char *name, bool good)
{
    checks_done++;
    if (good)
        print("ok %s\n", name);
    else
        checks_failed++;
    return good;
}

/* A note prints its verdict where a check prints and counts it. */
static void note(const char *name, bool good, uintptr_t cause)
{
    print("t: %s %s cause %lx\n", name, good ? "as specified:" : "NOT as specified:", (unsigned long)cause);
}

static void print_trap(const char *label, char handler, uintptr_t cause, uintptr_t epc)
{
    print(" %s %c cause %lx epc %lx", label, handler, (unsigned long)cause, (unsigned long)epc);
}

static bool same_trap(const struct outcome *got, char handler, uintptr_t cause, uintptr_t epc)
{
    return got->handler == handler && got->cause == cause && got->epc == epc;
}

static void print_failed_trap(const char *name, const struct outcome *got, char handler, uintptr_t cause, uintptr_t epc,
                              const char *field, uintptr_t want_field, uintptr_t got_field)
{
    print("FAIL %s", name);
    print_trap("expected", handler, cause, epc);
    print(" %s %lx", field, (unsigned long)want_field);
    print_trap("got", got->handler, got->cause, got->epc);
    print(" %s %lx\n", field, (unsigned long)got_field);
}

void check_trap(const char *name, struct outcome got, char handler, uintptr_t cause, uintptr_t epc, uintptr_t tval)
{
    if (!report(name, same_trap(&got, handler, cause, epc) && got.tval == tval))
        print_failed_trap(name, &got, handler, cause, epc, "tval", tval, got.tval);
}

void note_trap(const char *name, struct outcome got, char handler, uintptr_t cause, uintptr_t epc, uintptr_t tval)
{
    note(name, same_trap(&got, handler, cause, epc) && got.tval == tval, got.cause);
}

void check_cause(const char *name, struct outcome got, char handler, uintptr_t cause, uintptr_t epc)
{
    check_trap(name, got, handler, cause, epc, got.tval);
}

static uintptr_t instruction_at(trial *code)
{
    const uint16_t *parcels = (const uint16_t *)(uintptr_t)code;
    bool compressed = (parcels[0] & 3) != 3;
    return compressed ? parcels[0] : (uint32_t)parcels[1] << 16 | parcels[0];
}

void check_illegal(const char *name, struct outcome got, char handler, enum mode mode, trial *code)
{
    uintptr_t tval = got.tval ? instruction_at(code) : 0;
    check_trap(name, got, handler, CAUSE_ILLEGAL, code_address(mode, code), tval);
}

void check_interrupt(const char *name, struct outcome got, char handler, uintptr_t irq, uintptr_t epc,
                     uintptr_t vector)
{
    uintptr_t cause = CAUSE_INTERRUPT | irq;
    if (!report(name, same_trap(&got, handler, cause, epc) && got.vector == vector))
        print_failed_trap(name, &got, handler, cause, epc, "vector", vector, got.vector);
}

void note_interrupt(const char *name, struct outcome got, char handler, uintptr_t irq, uintptr_t epc,
                    uintptr_t vector)
{
    note(name, same_trap(&got, handler, CAUSE_INTERRUPT | irq, epc) && got.vector == vector, got.cause);
}

void check_return(const char *name, struct outcome got)
{
    check_return_value(name, got, got.value);
}

void check_return_value(const char *name, struct outcome got, uintptr_t value)
{
    if (report(name, got.handler == '-' && got.value == value))
        return;
    print("FAIL %s expected return with %lx", name, (unsigned long)value);
    print_trap("got", got.handler, got.cause, got.epc);
    print(" tval %lx value %lx\n", (unsigned long)got.tval, (unsigned long)got.value);
}

void check_equal(const char *name, uintptr_t got, uintptr_t want)
{
    if (!report(name, got == want))
        print("FAIL %s expected %lx got %lx\n", name, (unsigned long)want, (unsigned long)got);
}
