#include "check.h"

#include "csr.h"
#include "home.h"
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

static void print_trap(const char *label, char handler, uintptr_t cause, uintptr_t epc, uintptr_t tval)
{
    print(" %s %c cause %lx epc %lx tval %lx", label, handler, (unsigned long)cause, (unsigned long)epc,
          (unsigned long)tval);
}

static void print_got(const struct outcome *got)
{
    print_trap("got", got->handler, got->cause, got->epc, got->tval);
    print(" value %lx\n", (unsigned long)got->value);
}

static bool same_trap(const struct outcome *got, char handler, uintptr_t cause, uintptr_t epc, uintptr_t tval)
{
    return got->handler == handler && got->cause == cause && got->epc == epc && got->tval == tval;
}

void check_trap_by(const char *name, struct outcome got, char handler, uintptr_t cause, uintptr_t epc,
                   uintptr_t tval)
{
    if (report(name, same_trap(&got, handler, cause, epc, tval)))
        return;
    print("FAIL %s", name);
    print_trap("expected", handler, cause, epc, tval);
    print_got(&got);
}

void check_trap(const char *name, struct outcome got, uintptr_t cause, uintptr_t epc, uintptr_t tval)
{
    check_trap_by(name, got, HOME_HANDLER, cause, epc, tval);
}

static const char *verdict(bool good)
{
    return good ? "as specified:" : "NOT as specified:";
}

void note_trap(const char *name, struct outcome got, uintptr_t cause, uintptr_t epc, uintptr_t tval)
{
    print("t: %s %s", name, verdict(same_trap(&got, HOME_HANDLER, cause, epc, tval)));
    print_got(&got);
}

void check_fault(const char *name, enum mode mode, trial *code, uintptr_t cause, uintptr_t address)
{
    check_trap(name, run(mode, code, address), cause, code_address(mode, code), address);
}

void check_fetch_page_fault(const char *name, enum mode mode, uintptr_t address)
{
    check_trap(name, run_at(mode, address, 0, 0), CAUSE_FETCH_PAGE, address, address);
}

static uintptr_t instruction_at(trial *code)
{
    const uint16_t *parcels = (const uint16_t *)(uintptr_t)code;
    bool compressed = (parcels[0] & 3) != 3;
    return compressed ? parcels[0] : (uint32_t)parcels[1] << 16 | parcels[0];
}

void check_illegal(const char *name, struct outcome got, enum mode mode, trial *code)
{
    uintptr_t tval = got.tval ? instruction_at(code) : 0;
    check_trap(name, got, CAUSE_ILLEGAL, code_address(mode, code), tval);
}

static void check_returned(const char *name, const struct outcome *got, uintptr_t value)
{
    if (report(name, got->handler == '-' && got->value == value))
        return;
    print("FAIL %s expected return with %lx", name, (unsigned long)value);
    print_got(got);
}

void check_return(const char *name, struct outcome got)
{
    check_returned(name, &got, got.value);
}

void check_value(const char *name, struct outcome got, uintptr_t value)
{
    check_returned(name, &got, value);
}

void check_equal(const char *name, uintptr_t got, uintptr_t want)
{
    if (!report(name, got == want))
        print("FAIL %s expected %lx got %lx\n", name, (unsigned long)want, (unsigned long)got);
}

void note_equal(const char *name, uintptr_t got, uintptr_t want)
{
    print("t: %s %s got %lx\n", name, verdict(got == want), (unsigned long)got);
}

void note_choice(const char *name, const char *choice)
{
    print("t: %s: %s\n", name, choice);
}
