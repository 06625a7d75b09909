/* Every instruction of Zba, Zbb, Zbs, Zicond, Zicboz, Zicbom, Zawrs and Zihintpause, and programs that need the first three.
 *
 * The results of each instruction on all pairs of values are hashed; what the hash has to be is in expected.h. Lines that
 * begin with `t:` are about extensions that a machine may lack: such as QEMU 7.2.
 */

#include "bits.h"
#include "board.h"
#include "csr.h"
#include "expected.h"
#include "print.h"

#define BLOCK_BYTES 64
#define BLOCKS 3
#define FNV_START 2166136261u
#define FNV_PRIME 16777619u
#define FILLED 0xaa

static volatile bool has_met_illegal;
static unsigned failures;
static volatile uint8_t memory[BLOCKS * BLOCK_BYTES] __attribute__((aligned(BLOCK_BYTES)));

/* All instructions here that may be illegal have four bytes. */
__attribute__((interrupt("machine"), aligned(4))) static void on_trap(void)
{
    if (csr_read(mcause) != CAUSE_ILLEGAL)
        board_fail(99);
    has_met_illegal = true;
    csr_write(mepc, csr_read(mepc) + 4);
}

bool was_illegal(void)
{
    bool met = has_met_illegal;
    has_met_illegal = false;
    return met;
}

static void check(bool is_late, const char *name, bool good)
{
    print("%s%s %s\n", is_late ? "t: " : "", good ? "ok" : "FAIL", name);
    failures += !good;
}

static uint32_t hash_of(word (*compute)(word a, word b))
{
    static const word values[] = VALUES;
    uint32_t hash = FNV_START;
    for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++) {
        for (unsigned j = 0; j < sizeof values / sizeof values[0]; j++) {
            uint64_t result = compute(values[i], values[j]);
            hash = (hash ^ (uint32_t)result) * FNV_PRIME;
            hash = (hash ^ (uint32_t)(result >> 32)) * FNV_PRIME;
        }
    }
    return hash;
}

static bool is_absent(const char *name)
{
    if (!was_illegal())
        return false;
    print("t: no %s\n", name);
    return true;
}

static void check_group(const struct group *group)
{
    group->checks[0].compute(1, 1);
    if (is_absent(group->name))
        return;
    for (unsigned i = 0; i < group->count; i++) {
        const struct check *each = &group->checks[i];
        check(group->is_late, each->name, hash_of(each->compute) == each->expected);
    }
}

static bool holds(unsigned block, uint8_t byte)
{
    for (unsigned i = 0; i < BLOCK_BYTES; i++)
        if (memory[block * BLOCK_BYTES + i] != byte)
            return false;
    return true;
}

static void check_cache_blocks(void)
{
    uintptr_t inside = (uintptr_t)memory + BLOCK_BYTES + 5;
    for (unsigned i = 0; i < sizeof memory; i++)
        memory[i] = FILLED;
    __asm__ volatile(".insn i 0x0f, 2, x0, %0, 0" ::"r"(inside) : "memory"); /* cbo.inval: there is nothing to lose */
    __asm__ volatile(".insn i 0x0f, 2, x0, %0, 1" ::"r"(inside) : "memory");
    __asm__ volatile(".insn i 0x0f, 2, x0, %0, 2" ::"r"(inside) : "memory");
    if (!is_absent("zicbom"))
        check(true, "cbo.inval cbo.clean cbo.flush", holds(0, FILLED) && holds(1, FILLED) && holds(2, FILLED));
    __asm__ volatile(".insn i 0x0f, 2, x0, %0, 4" ::"r"(inside) : "memory");
    if (!is_absent("zicboz"))
        check(true, "cbo.zero", holds(0, FILLED) && holds(1, 0) && holds(2, FILLED));
}

static void check_waits(void)
{
    uint32_t lock = 0, value;
    __asm__ volatile("lr.w %0, %1\n.insn i 0x73, 0, x0, x0, 0x01d" : "=&r"(value), "+A"(lock)); /* wrs.sto */
    if (!is_absent("zawrs"))
        check(true, "wrs.sto", value == 0);
    __asm__ volatile("fence w, 0"); /* pause */
    check(false, "pause", !was_illegal());
}

int main(void)
{
    csr_write(mtvec, (uintptr_t)on_trap);
    for (unsigned i = 0; i < group_count; i++)
        check_group(&groups[i]);
    check_cache_blocks();
    check_waits();
    uint32_t checksum = checksum_of_programs();
    print("programs: checksum %x\n", (unsigned)checksum);
    check(false, "programs", checksum == EXPECTED_PROGRAMS && !was_illegal());
    print("%u failures\n", failures);
    if (failures != 0)
        board_fail(failures);
    return 0;
}
