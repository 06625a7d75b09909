/* Functions of ours in Unicorn's place for its TLB: part of the library of _helpers.c, which says how that works.
 *
 * The hart has an MMU of its own, whose marks on pages keep the TLB in step with the tables (docs/hart.md). So some of
 * what Unicorn does for its TLB is needless in engines that are marked:
 *
 * - SFENCE.VMA forgets nothing. It only traps where it must.
 * - No entry through which a page can be written plainly is there once code is translated from the page: nothing has to
 *   look for one.
 * - A load or store whose page is not in the TLB takes no search for its PC. The callback needs that only where it
 *   changes more than the TLB, or refuses: then it is asked again in Unicorn's way. Only where blocks count by
 *   themselves, as the hart's `struct shared` is known there.
 *
 * Nothing here changes what a guest sees. */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "_contract.h"

#define EXPORT __attribute__((visibility("default")))

enum { AT_MARK = 3, MARK = 0x40, MARK_MASK = 0xf0 }; /* as in _helpers.c */
enum { PRIVILEGE_S = 1, PRIVILEGE_M = 3 };
enum { LOAD = 0, STORE = 1 };             /* what Unicorn calls them */
enum { HOOK_LOAD = 16, HOOK_STORE = 17 }; /* and what it tells its hooks */
enum { PAGE = 4096 };

struct entry { /* uc_tlb_entry */
    uint64_t paddr;
    uint32_t perms;
};

typedef bool (*fill_plainly)(void *uc, char *shared, uint64_t va, int type, struct entry *entry);

static struct {
    void (*helper_tlb_flush)(uint8_t *env);
    void (*reset_dirty)(uint8_t *cpu, uint64_t start, uint64_t size); /* numbers of XLEN bits, also below */
    bool (*fill)(uint8_t *cpu, uint64_t address, int size, int access, int mmu_index, bool probes, uintptr_t at);
    void (*set_page)(uint8_t *cpu, uint64_t va, uint64_t pa, int perms, int mmu_index, uint64_t size);
} original_64, original_32;

static uint8_t *env_of(const uint8_t *cpu)
{
    uint8_t *env;
    memcpy(&env, cpu + ENV_IN_CPU, sizeof env);
    return env;
}

static void *pointer_at(const char *at)
{
    void *pointer;
    memcpy(&pointer, at, sizeof pointer);
    return pointer;
}

#define DEFINE_TLB(xlen, word) \
    static bool is_ours_##xlen(const uint8_t *env) \
    { \
        return (env[STATUS_##xlen + AT_MARK] & MARK_MASK) == MARK; \
    } \
    EXPORT void helper_tlb_flush_riscv##xlen(uint8_t *env) /* SFENCE.VMA */ \
    { \
        word privilege, mstatus; \
        memcpy(&privilege, env + PRIV_##xlen, sizeof privilege); \
        memcpy(&mstatus, env + MSTATUS_##xlen, sizeof mstatus); \
        bool is_allowed = privilege == PRIVILEGE_M || (privilege == PRIVILEGE_S && !(mstatus & MSTATUS_TVM)); \
        if (!is_ours_##xlen(env) || !is_allowed) \
            original_##xlen.helper_tlb_flush(env); \
    } \
    EXPORT void tlb_reset_dirty_by_vaddr_riscv##xlen(uint8_t *cpu, word start, word size) \
    { \
        if (!is_ours_##xlen(env_of(cpu))) \
            original_##xlen.reset_dirty(cpu, start, size); \
    } \
    EXPORT bool unicorn_fill_tlb_riscv##xlen( \
        uint8_t *cpu, uint64_t address, int size, int access, int mmu_index, bool probes, uintptr_t at) \
    { \
        char *shared = pointer_at((char *)env_of(cpu) + SHARED_##xlen); \
        if (shared != NULL && (access == LOAD || access == STORE) && !probes) { \
            struct entry entry; \
            uint64_t va = address & ~(uint64_t)(PAGE - 1); \
            void *uc = pointer_at(shared + ENGINE_IN_SHARED); \
            fill_plainly ask = (fill_plainly)pointer_at(shared + FILL_PLAINLY_IN_SHARED); \
            if (ask(uc, shared, va, access == LOAD ? HOOK_LOAD : HOOK_STORE, &entry)) { \
                uint64_t pa = entry.paddr & ~(uint64_t)(PAGE - 1); \
                original_##xlen.set_page(cpu, (word)va, pa, (int)entry.perms, mmu_index, PAGE); \
                return true; \
            } \
        } \
        return original_##xlen.fill(cpu, address, size, access, mmu_index, probes, at); \
    }

DEFINE_TLB(64, uint64_t)
DEFINE_TLB(32, uint32_t)

/* Learn where the originals are: `unicorn` is the library's handle. False: one is missing. */
EXPORT bool minstret_bind_tlb(void *unicorn)
{
#define BIND(xlen) \
    *(void **)&original_##xlen.helper_tlb_flush = dlsym(unicorn, "helper_tlb_flush_riscv" #xlen); \
    *(void **)&original_##xlen.reset_dirty = dlsym(unicorn, "tlb_reset_dirty_by_vaddr_riscv" #xlen); \
    *(void **)&original_##xlen.fill = dlsym(unicorn, "unicorn_fill_tlb_riscv" #xlen); \
    *(void **)&original_##xlen.set_page = dlsym(unicorn, "tlb_set_page_riscv" #xlen); \
    bool has_all_##xlen = original_##xlen.helper_tlb_flush != NULL && original_##xlen.reset_dirty != NULL \
                          && original_##xlen.fill != NULL && original_##xlen.set_page != NULL;
    BIND(64)
    BIND(32)
    return has_all_64 && has_all_32;
}
