/* Exceptions that need neither translation nor protection, and accesses that must not trap. */

#include "board.h"
#include "check.h"
#include "csr.h"
#include "groups.h"
#include "provoke.h"

/* One after the other in memory; `expected[i]` is byte i. */
static void fill_pattern(uint8_t *bytes, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        bytes[i] = (uint8_t)(0x11 * i);
}

static void check_access_fault(const char *name, trial *code, uintptr_t cause)
{
    check_trap(name, run(MODE_M, code, UNMAPPED_ADDRESS), 'M', cause, (uintptr_t)code, UNMAPPED_ADDRESS);
}

static void check_access_faults(void)
{
    check_trap("fetch-access-fault", run(MODE_M, jump, UNMAPPED_ADDRESS), 'M', CAUSE_FETCH_ACCESS, UNMAPPED_ADDRESS,
               UNMAPPED_ADDRESS);
    check_access_fault("load-access-fault", load_word, CAUSE_LOAD_ACCESS);
    check_access_fault("load-access-fault-compressed", load_word_compressed, CAUSE_LOAD_ACCESS);
    check_access_fault("load-access-fault-byte", load_byte, CAUSE_LOAD_ACCESS);
    check_access_fault("store-access-fault", store_word, CAUSE_STORE_ACCESS);
    check_access_fault("store-access-fault-compressed", store_word_compressed, CAUSE_STORE_ACCESS);
    /* QEMU with one hart executes an AMO as a load and then a store, and reports the load. */
    note_trap("amo-access-fault", run(MODE_M, amo_add, UNMAPPED_ADDRESS), 'M', CAUSE_STORE_ACCESS, (uintptr_t)amo_add,
              UNMAPPED_ADDRESS);
}

static void check_instructions(void)
{
    check_illegal("illegal", run(MODE_M, illegal, 0), 'M', MODE_M, illegal);
    check_illegal("illegal-compressed", run(MODE_M, illegal_compressed, 0), 'M', MODE_M, illegal_compressed);
    check_cause("breakpoint", run(MODE_M, breakpoint, 0), 'M', CAUSE_BREAKPOINT, (uintptr_t)breakpoint);
    check_cause("breakpoint-compressed", run(MODE_M, breakpoint_compressed, 0), 'M', CAUSE_BREAKPOINT,
                (uintptr_t)breakpoint_compressed);
}

static void check_environment_calls(void)
{
    uintptr_t pc = (uintptr_t)environment_call;
    check_trap("ecall-from-u", run(MODE_U, environment_call, 0), 'M', CAUSE_ECALL_U, pc, 0);
    check_trap("ecall-from-s", run(MODE_S, environment_call, 0), 'M', CAUSE_ECALL_S, pc, 0);
    check_trap("ecall-from-m", run(MODE_M, environment_call, 0), 'M', CAUSE_ECALL_M, pc, 0);
}

/* Atomics must be aligned even where plain accesses need not be. */
static void check_misaligned_atomics(void)
{
    uintptr_t odd = (uintptr_t)scratch + 2;
    check_trap("misaligned-lr", run(MODE_M, load_reserved, odd), 'M', CAUSE_LOAD_MISALIGNED, (uintptr_t)load_reserved,
               odd);
    /* QEMU with one hart reports the load of an AMO. */
    note_trap("misaligned-amo", run(MODE_M, amo_add, odd), 'M', CAUSE_STORE_MISALIGNED, (uintptr_t)amo_add, odd);
}

static void check_misaligned_loads(void)
{
    uintptr_t base = (uintptr_t)scratch;
    fill_pattern(scratch[0], 16);
    check_return_value("misaligned-load-half", run(MODE_M, load_half, base + 1), 0x2211);
    check_return_value("misaligned-load-word", run(MODE_M, load_word, base + 3), 0x66554433);
    check_return_value("misaligned-load-word-compressed", run(MODE_M, load_word_compressed, base + 2), 0x55443322);
#if __riscv_xlen == 64
    check_return_value("misaligned-load-double", run(MODE_M, load_double, base + 1), 0x8877665544332211);
#endif
}

static uintptr_t read_back(const uint8_t *bytes, unsigned count)
{
    uintptr_t value = 0;
    while (count--)
        value = value << 8 | bytes[count];
    return value;
}

/* A store writes its own address, so that is what must be there afterwards. */
static void check_misaligned_store(const char *name, trial *code, uint8_t *where, unsigned size)
{
    uintptr_t address = (uintptr_t)where;
    uintptr_t want = size == sizeof address ? address : address & (((uintptr_t)1 << 8 * size) - 1);
    run(MODE_M, code, address);
    check_equal(name, read_back(where, size), want);
}

static void check_misaligned_stores(void)
{
    check_misaligned_store("misaligned-store-half", store_half, scratch[0] + 1, 2);
    check_misaligned_store("misaligned-store-word", store_word, scratch[0] + 3, 4);
    check_misaligned_store("misaligned-store-word-compressed", store_word_compressed, scratch[0] + 2, 4);
#if __riscv_xlen == 64
    check_misaligned_store("misaligned-store-double", store_double, scratch[0] + 5, 8);
#endif
}

/* Writes `li a0, value; ret`, both compressed, and runs it. */
static struct outcome run_written_code(unsigned value)
{
    volatile uint16_t *code = (volatile uint16_t *)scratch[0];
    code[0] = (uint16_t)(0x4501 | value << 2);
    code[1] = INSTRUCTION_RET;
    fence_i();
    return run_at(MODE_M, (uintptr_t)code, 0);
}

static void check_self_modifying_code(void)
{
    check_return_value("fence-i-first", run_written_code(1), 1);
    check_return_value("fence-i-second", run_written_code(2), 2);
}

void check_exceptions(void)
{
    check_access_faults();
    check_instructions();
    check_environment_calls();
    check_misaligned_atomics();
    check_misaligned_loads();
    check_misaligned_stores();
    check_self_modifying_code();
}
