/* The hart's callbacks: counting, exact stops, address translation, writes to watched pages.
 *
 * Unicorn calls these while the guest runs. It counts by blocks (`on_block`), or by instructions
 * (`on_instruction`), which is the reference. callbacks.py holds the latter and all else in Python, for machines
 * without a compiler, with mmu.py and special.py; tests run all three and compare. Whatever changes here changes there
 * too.
 *
 * Nothing in this file looks at host time, allocates, or keeps state of its own: all of it is in `struct shared`. That,
 * and every number that Python has too, is in _contract.h, which is made from Python's side of it. _flow.h alone keeps
 * more, for who asks where instructions went.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <fenv.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "_contract.h"
#include "_extensions.h"

#if defined(__GNUC__)
#define COLD __attribute__((noinline, cold))
#define NOINLINE __attribute__((noinline))
#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#else
#define COLD
#define NOINLINE
#define LIKELY(condition) (condition)
#endif

/* In units of a call to Python, about a microsecond or two: see charge. */
enum { WORK_OF_FORGETTING = 200, WORK_OF_LEAVING = 1, INSNS_TRANSLATED_A_UNIT = 8 };
enum { LONG_RUN_INSNS = 100000 }; /* other threads of Python may run during such a one */
enum { GROWTH_FILLS = 8192 };
enum { BLOCK_BITS = 18, BLOCK_SLOTS = 1 << BLOCK_BITS };
enum { NO_INDEX = 0xffff };
#define NO_EXCEPTION UINT64_MAX

typedef struct {
    uint64_t pc;
    uint16_t icount, size;
} uc_tb;

typedef struct {
    uint64_t paddr;
    uint32_t perms;
} uc_tlb_entry;

/* What is known of the translated blocks at one address that have one size. */
struct block {
    uint64_t key;     /* see key_of; 0: a free slot */
    uint16_t insns;   /* so many instructions, */
    uint16_t special; /* the first special one among them, by its number, */
    uint16_t io;      /* and the first that accessed a device; NO_INDEX: none */
    uint8_t is_ambiguous;
    uint8_t transfer; /* what the last one is to who follows calls; NONE while nobody does */
};

static uint64_t env_word(const struct shared *s, uint64_t offset)
{
    if (s->xlen_bytes == 8) {
        uint64_t word;
        memcpy(&word, s->env + offset, 8);
        return word;
    }
    uint32_t word;
    memcpy(&word, s->env + offset, 4);
    return word;
}

static void set_env_word(struct shared *s, uint64_t offset, uint64_t word)
{
    memcpy(s->env + offset, &word, s->xlen_bytes);
}

static uint64_t load_le(const uint8_t *at, uint64_t size)
{
    uint64_t value = 0;
    memcpy(&value, at, size);
    return value;
}

#include "_flow.h"

/* ---- TLB and translated code -------------------------------------------------------------------- */

static void flush_tlb(void *uc, struct shared *s)
{
    s->ctl(uc, (int)CTL_TLB_FLUSH);
    s->generation++;
    s->flushes++;
    s->next_growth = s->fills + GROWTH_FILLS;
}

/* Drop the translated blocks of guest RAM [offset, offset + size). Unicorn wants virtual addresses here, so
 * for the moment of the call every address translates to itself. */
static void invalidate_code(void *uc, struct shared *s, uint64_t offset, uint64_t size)
{
    s->in_system_view = 1;
    flush_tlb(uc, s);
    s->ctl(uc, (int)CTL_TB_REMOVE_CACHE, s->ram_base + offset, s->ram_base + offset + size);
    s->in_system_view = 0;
    flush_tlb(uc, s);
    s->invalidations++;
}

static void code_bits_range(struct shared *s, uint64_t offset, uint64_t size, bool set)
{
    for (uint64_t half = offset / 2; half < (offset + size + 1) / 2; half++) {
        uint8_t bit = (uint8_t)(1u << (half & 7));
        s->code_bits[half / 8] = set ? s->code_bits[half / 8] | bit : s->code_bits[half / 8] & ~bit;
    }
}

static bool code_bits_any(const struct shared *s, uint64_t offset, uint64_t size)
{
    for (uint64_t half = offset / 2; half < (offset + size + 1) / 2; half++)
        if (s->code_bits[half / 8] >> (half & 7) & 1)
            return true;
    return false;
}

static void resync_after_this_instruction(struct shared *s)
{
    s->resync = 1;
    s->fast_limit = 0;
}

/* The other harts have to forget the code they have translated from the page. */
static void code_is_stale(struct shared *s, uint64_t page)
{
    s->stale_tlbs++;
    if (s->stale_page_count > STALE_PAGES_MAX)
        return;
    for (uint64_t i = 0; i < s->stale_page_count; i++)
        if (s->stale_pages[i] == page)
            return;
    if (s->stale_page_count < STALE_PAGES_MAX)
        s->stale_pages[s->stale_page_count] = page;
    s->stale_page_count++;
}

/* The other harts have to forget all code they have translated. */
static void all_code_is_stale(struct shared *s)
{
    s->stale_tlbs++;
    s->stale_page_count = STALE_PAGES_MAX + 1;
}

/* Code in guest RAM [offset, offset + size), within one page, was written: drop the blocks made from it. An
 * instruction that does not decode is outside the bytes that Unicorn believes its block to have, so there all blocks
 * go, which can't be done while one of them runs. */
static void code_was_written(void *uc, struct shared *s, uint64_t offset, uint64_t size)
{
    uint8_t *flags = &s->page_flags[offset >> PAGE_BITS];
    if (*flags & PAGE_UNDECODED) {
        s->must_forget_blocks = 1;
        all_code_is_stale(s);
    } else {
        invalidate_code(uc, s, offset, size);
        code_is_stale(s, offset >> PAGE_BITS);
    }
    *flags &= (uint8_t)~PAGE_UNDECODED;
    resync_after_this_instruction(s);
}

/* Not between a trap and the first instruction of its handler: a run that is told to stop at this icount stops before
 * the trap, and what comes in there must find the same state. */
static void end_run_after_this_instruction(struct shared *s)
{
    bool has_just_trapped = s->has_last && s->last_icount == s->icount;
    s->limit = s->icount + has_just_trapped;
    s->fast_limit = 0;
}

/* Work that takes far more host time than plain instructions: after so much of it the run ends, since the host wants
 * a word in. Where a run ends is not seen by the guest. */
static void charge(struct shared *s, uint64_t work)
{
    if (s->work_left > work) {
        s->work_left -= work;
    } else {
        s->work_left = 0;
        end_run_after_this_instruction(s);
    }
}

static void demote_page(void *uc, struct shared *s, uint64_t page)
{
    if (s->page_flags[page] & PAGE_CODE) {
        code_was_written(uc, s, page << PAGE_BITS, PAGE_SIZE);
        code_bits_range(s, page << PAGE_BITS, PAGE_SIZE, false);
    }
    s->page_flags[page] &= (uint8_t) ~(PAGE_CODE | PAGE_TABLE);
    s->write_count[page] = 0;
    s->stale_tlbs++;
    flush_tlb(uc, s);
}

/* ---- address translation ------------------------------------------------------------------------ */

/* What PMP allows in [low, low + size) from `mode`; PROT_MIXED when an entry matches part of it, which fails an
 * access whatever the entry permits, in M-mode too.
 * Source: The RISC-V Instruction Set Manual, Volume II, "Physical Memory Protection". */
static uint32_t pmp_allows(const struct shared *s, uint64_t low, uint64_t size, int mode)
{
    for (uint64_t i = 0; i < s->pmp_count; i++) {
        if (low + size <= s->pmp_low[i] || low >= s->pmp_high[i])
            continue;
        if (low < s->pmp_low[i] || low + size > s->pmp_high[i])
            return PROT_MIXED;
        if (mode == PRIV_M && !(s->pmp_cfg[i] & PMP_LOCKED))
            return PROT_R | PROT_W | PROT_X;
        return s->pmp_cfg[i] & 7;
    }
    return mode == PRIV_M ? PROT_R | PROT_W | PROT_X : 0;
}

static void note_instruction_under_way(void *uc, struct shared *s);

/* Note that a page holds code or tables: from now on stores to it are watched. */
static void mark_page(void *uc, struct shared *s, uint64_t page, uint8_t flag)
{
    if (s->page_flags[page] & flag)
        return;
    s->page_flags[page] |= flag;
    s->stale_tlbs++;
    if (s->write_generation[page] == (uint32_t)s->generation)
        flush_tlb(uc, s);
}

/* The walk for an access to RAM at `pa_offset` is about to set A or D (one byte) in the entry at `offset`. False: it must
 * be done in a block of its own, since the entry is code as well, or may be what an AMO or SC has just read, and must
 * not read again. Where it is code all blocks go, for this may be in the middle of a translation. */
static bool may_mark(void *uc, struct shared *s, uint64_t offset, uint64_t pa_offset, int type)
{
    bool is_code = s->page_flags[offset >> PAGE_BITS] & PAGE_CODE && code_bits_any(s, offset, 1);
    bool is_itself = offset >> PAGE_BITS == pa_offset >> PAGE_BITS;
    if (type != MEM_FETCH && (is_code || is_itself) && s->block_insns != 1)
        return false;
    if (!is_code)
        return true;
    if (type != MEM_FETCH)
        note_instruction_under_way(uc, s);
    s->must_forget_blocks = 1;
    all_code_is_stale(s);
    resync_after_this_instruction(s);
    return true;
}

/* The bits of a page table entry of rv64 that must be 0. */
static uint64_t reserved_in_pte(const struct shared *s)
{
    uint64_t bits = ~0ull << 54;
    if (s->features & FEATURE_SVNAPOT)
        bits &= ~PTE_N;
    if (s->features & FEATURE_SVPBMT && s->menvcfg & MENVCFG_PBMTE)
        bits &= ~PTE_PBMT;
    return bits;
}

struct translation {
    uint64_t pa;
    uint32_t perms; /* of the page, from the tables alone */
    int fault;
};

/* The place for the table of that level that a walk for addresses that begin like this went through. */
static uint64_t walk_slot(int level, uint64_t prefix)
{
    return (uint64_t)level * WALKS + prefix % WALKS;
}

/* Walk the tables for `va`. With `quiet` nothing changes, neither guest memory nor page flags.
 * Source: the same volume, "Virtual Address Translation Process". */
static struct translation translate(void *uc, struct shared *s, uint64_t va, int type, int mode, bool quiet)
{
    struct translation page_fault = {0, 0, FAULT_PAGE}, access_fault = {0, 0, FAULT_ACCESS};
    uint64_t satp = env_word(s, s->off_satp), mstatus = env_word(s, s->off_mstatus);
    bool rv64 = s->xlen_bytes == 8;
    uint64_t satp_mode = rv64 ? satp >> SATP_MODE_SHIFT : satp >> 31;
    if (mode == PRIV_M || satp_mode == 0)
        return (struct translation){va, PROT_R | PROT_W | PROT_X, FAULT_NONE};

    int levels = !rv64 ? 2 : satp_mode == SATP_SV57 ? 5 : satp_mode == SATP_SV48 ? 4 : 3;
    int index_bits = rv64 ? 9 : 10, pte_bytes = rv64 ? 8 : 4, bits_above = 64 - PAGE_BITS - index_bits * levels;
    uint64_t table = (satp & (rv64 ? (1ull << 44) - 1 : (1ull << 22) - 1)) << PAGE_BITS;
    uint64_t reserved = rv64 ? reserved_in_pte(s) : 0;
    bool marks = !(s->features & FEATURE_SVADU) || s->menvcfg & MENVCFG_ADUE;
    if (rv64 && (uint64_t)((int64_t)(va << bits_above) >> bits_above) != va)
        return page_fault;
    int level = levels - 1;
    for (int low = 0; low < WALK_LEVELS && low < level; low++) { /* what a walk since the last flush went through */
        uint64_t prefix = va >> (PAGE_BITS + index_bits * (low + 1)), slot = walk_slot(low, prefix);
        if (s->walk_prefixes[slot] == prefix && s->walk_generations[slot] == s->generation && s->walk_satps[slot] == satp) {
            table = s->walk_tables[slot];
            level = low;
        }
    }
    for (; level >= 0; level--) {
        uint64_t index = va >> (PAGE_BITS + index_bits * level) & ((1u << index_bits) - 1);
        uint64_t pte_pa = table + index * pte_bytes, offset = pte_pa - s->ram_base;
        if (pte_pa < s->ram_base || offset >= s->ram_size)
            return access_fault;
        uint32_t allowed = pmp_allows(s, pte_pa, pte_bytes, PRIV_S);
        if (!(allowed & PROT_R))
            return access_fault;
        uint8_t *flags = &s->page_flags[offset >> PAGE_BITS];
        if (!quiet) {
            s->new_entry = NOWHERE;
            s->write_count[offset >> PAGE_BITS] = 0;
            mark_page(uc, s, offset >> PAGE_BITS, PAGE_TABLE);
        }
        uint64_t pte = load_le(s->ram + offset, pte_bytes);
        if (!(pte & PTE_V) || (pte & (PTE_R | PTE_W)) == PTE_W || pte & reserved || (pte & PTE_PBMT) == PTE_PBMT)
            return page_fault;
        uint64_t ppn = rv64 ? pte >> 10 & ((1ull << 44) - 1) : pte >> 10;
        if (!(pte & (PTE_R | PTE_X))) {
            if (pte & (PTE_U | PTE_A | PTE_D | PTE_N | PTE_PBMT))
                return page_fault;
            table = ppn << PAGE_BITS;
            if (!quiet && level != 0 && level <= WALK_LEVELS) {
                uint64_t prefix = va >> (PAGE_BITS + index_bits * level), slot = walk_slot(level - 1, prefix);
                s->walk_prefixes[slot] = prefix;
                s->walk_generations[slot] = s->generation;
                s->walk_satps[slot] = satp;
                s->walk_tables[slot] = table;
            }
            continue;
        }
        bool user = pte & PTE_U;
        bool data_ok = user ? mode == PRIV_U || (mstatus & MSTATUS_SUM) : mode == PRIV_S;
        bool fetch_ok = user ? mode == PRIV_U : mode == PRIV_S;
        bool readable = data_ok && (pte & PTE_R || (mstatus & MSTATUS_MXR && pte & PTE_X));
        bool writable = data_ok && pte & PTE_W, executable = fetch_ok && pte & PTE_X;
        if (!(type == MEM_FETCH ? executable : type == MEM_WRITE ? writable : readable))
            return page_fault;
        uint64_t offset_mask = (1ull << (index_bits * level)) - 1; /* of page numbers within the leaf */
        if (pte & PTE_N) {
            if (level != 0 || (ppn & 15) != 8)
                return page_fault;
            ppn -= 8;
            offset_mask = 15;
        }
        if (ppn & offset_mask)
            return page_fault;
        uint64_t pa = (ppn | (va >> PAGE_BITS & offset_mask)) << PAGE_BITS | (va & (PAGE_SIZE - 1));
        uint64_t marked = pte | PTE_A | (type == MEM_WRITE ? PTE_D : 0);
        if (marked != pte && !quiet) {
            if (!marks)
                return page_fault;
            if (!(allowed & PROT_W))
                return access_fault;
            if (!may_mark(uc, s, offset, pa - s->ram_base, type))
                return (struct translation){0, 0, FAULT_COMPANY};
            memcpy(s->ram + offset, &marked, pte_bytes);
            *flags |= PAGE_DIRTY;
            pte = marked;
        }
        if (quiet && !(pte & PTE_A))
            return page_fault;
        uint32_t perms = (readable ? PROT_R : 0) | (writable && pte & PTE_D ? PROT_W : 0) | (executable ? PROT_X : 0);
        return (struct translation){pa, perms, FAULT_NONE};
    }
    return page_fault;
}

static bool fault(struct shared *s, int kind, uint64_t va, int type)
{
    s->fault = (uint64_t)kind;
    s->fault_va = va;
    s->fault_type = (uint64_t)type;
    s->stop_reason = STOP_FAULT;
    return false;
}

static uint32_t prot_of(int type)
{
    return type == MEM_FETCH ? PROT_X : type == MEM_WRITE ? PROT_W : PROT_R;
}

/* Whether instructions can be fetched from the page `va`, as things are. */
static bool is_fetchable(void *uc, struct shared *s, uint64_t va, int mode)
{
    struct translation t = translate(uc, s, va, MEM_FETCH, mode, true);
    if (t.fault != FAULT_NONE)
        return false;
    uint32_t allowed = pmp_allows(s, t.pa, PAGE_SIZE, mode);
    if (t.pa >= s->ram_base && t.pa - s->ram_base < s->ram_size)
        return allowed & (PROT_X | PROT_MIXED);
    return t.pa >= s->rom_base && t.pa - s->rom_base < s->rom_size && allowed & PROT_X;
}

static bool must_be_alone(void *uc, struct shared *s, bool is_device_access);

/* Whether a load or store to the page may fire a trigger of the guest's, and is not let pass. */
static bool may_fire(const struct shared *s, uint64_t va)
{
    if (s->icount == s->trigger_passed_icount && env_word(s, s->off_pc) == s->trigger_passed_pc)
        return false;
    for (uint64_t i = 0; i < s->trigger_page_count; i++)
        if (s->trigger_pages[i] == va >> PAGE_BITS)
            return true;
    return false;
}

/* The privilege with which loads and stores are made. */
static int data_mode(const struct shared *s)
{
    uint64_t mstatus = env_word(s, s->off_mstatus), priv = env_word(s, s->off_priv);
    return (int)(priv == PRIV_M && mstatus & MSTATUS_MPRV ? mstatus >> MSTATUS_MPP_SHIFT & 3 : priv);
}

/* Say where the page `va` is and what may be done there, or fault. */
static bool fill_tlb(void *uc, uint64_t va, int type, uc_tlb_entry *entry, struct shared *s)
{
    if (++s->fills >= s->next_growth) /* Unicorn's TLB may be too small, and grows when it is flushed */
        flush_tlb(uc, s);
    int mode = type == MEM_FETCH ? (int)env_word(s, s->off_priv) : data_mode(s);
    if (s->xlen_bytes == 4)
        va &= 0xffffffffu;
    if (type == MEM_FETCH) {
        /* Translation of a block reads ahead into the next page. That must leave no trace, so unless the
         * page is plainly there the run stops before the instruction that crosses into it. */
        uint64_t pc = env_word(s, s->off_pc);
        uint64_t page = pc & ~(uint64_t)(PAGE_SIZE - 1), page_before = page - PAGE_SIZE, page_after = page + PAGE_SIZE;
        if (s->xlen_bytes == 4) {
            page_before &= 0xffffffffu;
            page_after &= 0xffffffffu;
        }
        uint64_t asked = va & ~(uint64_t)(PAGE_SIZE - 1);
        if (asked == page_before || (asked == page_after && pc == page)) {
            /* Unicorn takes a block of size 0 (an illegal instruction at the start of a page) to end on the page
             * before (at address 0 that is the last one), and asks for that when it makes the block, and for the page
             * behind when it looks for it: none of the guest's business. No block is as long as a page. */
            s->has_bogus_entry = 1;
            entry->paddr = s->ram_base;
            entry->perms = PROT_X;
            return true;
        }
        if (va >> PAGE_BITS != pc >> PAGE_BITS && (pc & (PAGE_SIZE - 1)) != PAGE_SIZE - 2
            && !is_fetchable(uc, s, va, mode))
            return fault(s, FAULT_CROSSING, va, type);
    } else if (s->trigger_page_count != 0 && may_fire(s, va)) {
        return fault(s, FAULT_TRIGGER, va, type);
    }
    struct translation t = translate(uc, s, va, type, mode, false);
    if (t.fault == FAULT_COMPANY)
        return !must_be_alone(uc, s, false);
    if (t.fault != FAULT_NONE)
        return fault(s, t.fault, va, type);

    uint32_t allowed = pmp_allows(s, t.pa, PAGE_SIZE, mode), wanted = prot_of(type);
    uint64_t page = (t.pa - s->ram_base) >> PAGE_BITS;
    if (t.pa >= s->ram_base && t.pa - s->ram_base < s->ram_size) {
        uint8_t *flags = &s->page_flags[page];
        if (allowed == PROT_MIXED) { /* rights finer than a page: look at each access */
            if (type == MEM_FETCH) {
                mark_page(uc, s, page, PAGE_CODE);
                entry->paddr = t.pa;
                entry->perms = PROT_X;
            } else {
                entry->paddr = t.pa - s->ram_base + s->slow_window;
                entry->perms = t.perms & (PROT_R | PROT_W);
            }
            return true;
        }
        uint32_t perms = t.perms & allowed;
        if (!(perms & wanted))
            return fault(s, FAULT_ACCESS, va, type);
        entry->paddr = t.pa;
        if (type == MEM_FETCH) {
            s->write_count[page] = 0;
            mark_page(uc, s, page, PAGE_CODE);
            perms &= *flags & PAGE_SLOW ? PROT_X : ~(uint32_t)PROT_W;
        } else if (*flags & PAGE_SLOW) {
            entry->paddr = t.pa - s->ram_base + s->slow_window;
            perms &= PROT_R | PROT_W;
        } else if (type == MEM_WRITE && *flags & (PAGE_CODE | PAGE_TABLE)) {
            entry->paddr = t.pa - s->ram_base + s->watch_window;
            perms = PROT_W;
        } else {
            if (type == MEM_WRITE)
                *flags |= PAGE_DIRTY;
            if (!(*flags & PAGE_CODE))
                perms &= ~(uint32_t)PROT_X;
            if (*flags & (PAGE_CODE | PAGE_TABLE) || !(*flags & PAGE_DIRTY))
                perms &= ~(uint32_t)PROT_W;
            if (perms & PROT_W)
                s->write_generation[page] = (uint32_t)s->generation;
        }
        entry->perms = perms;
        return true;
    }
    if (allowed == PROT_MIXED) /* a device or the ROM: rights finer than a page are not offered there */
        allowed = 0;
    uint32_t perms = t.perms & allowed;
    if (t.pa >= s->rom_base && t.pa - s->rom_base < s->rom_size) {
        perms &= PROT_R | PROT_X;
        entry->paddr = t.pa - s->rom_base + s->rom_window;
    } else if (t.pa < s->io_size && s->io_pages[t.pa >> PAGE_BITS]) {
        perms &= PROT_R | PROT_W;
        entry->paddr = t.pa;
    } else {
        return fault(s, FAULT_ACCESS, va, type);
    }
    if (!(perms & wanted))
        return fault(s, FAULT_ACCESS, va, type);
    entry->perms = perms;
    return true;
}

/* Whether a device, or PMP within a page, has refused a piece of the access under way. */
static bool is_refused(const struct shared *s)
{
    bool in_c = s->stop_reason == STOP_FAULT && s->fault == FAULT_ACCESS && s->fault_va == NOWHERE;
    return in_c || s->stop_reason == STOP_EXCEPTION;
}

/* UC_HOOK_TLB_FILL */
static bool on_tlb_fill(void *uc, uint64_t va, int type, uc_tlb_entry *entry, struct shared *s)
{
    if (s->in_system_view) {
        entry->paddr = va;
        entry->perms = PROT_R | PROT_X;
        return true;
    }
    if (s->stop_reason != STOP_NONE) {
        if (type != MEM_WRITE || !is_refused(s)) /* Unicorn tidying up after a run: none of the guest's business */
            return false;
        /* The rest of a store of which a device refused a piece: it must not matter what the TLB still holds. */
        uint64_t stop_reason = s->stop_reason, kind = s->fault, fault_va = s->fault_va, fault_type = s->fault_type;
        s->stop_reason = STOP_NONE;
        bool is_there = fill_tlb(uc, va, type, entry, s);
        s->stop_reason = stop_reason;
        s->fault = kind;
        s->fault_va = fault_va;
        s->fault_type = fault_type;
        if (!is_there)
            return false;
    } else if (!fill_tlb(uc, va, type, entry, s)) {
        return false;
    }
    if (env_word(s, s->off_mstatus) & MSTATUS_MPRV || s->trigger_page_count != 0)
        /* a fetch and a load may mean different things by one address, or a load may have to be seen */
        entry->perms &= type == MEM_FETCH ? PROT_X : PROT_R | PROT_W;
    return true;
}

/* The same for a load or store of which the PC is not known, where that does not matter: nothing but the TLB changes, and
 * nothing is refused. False: on_tlb_fill has to be asked. _tlb.c calls this. */
static bool fill_plainly(void *uc, struct shared *s, uint64_t va, int type, uc_tlb_entry *entry)
{
    if (s->in_system_view || s->stop_reason != STOP_NONE || s->trigger_page_count != 0
        || env_word(s, s->off_mstatus) & MSTATUS_MPRV)
        return false;
    struct translation t = translate(uc, s, va, type, (int)env_word(s, s->off_priv), true);
    if (t.fault != FAULT_NONE || !(t.perms & prot_of(type)))
        return false; /* this may set A or D, or trap */
    if (fill_tlb(uc, va, type, entry, s) && entry->perms & prot_of(type))
        return true;
    s->stop_reason = STOP_NONE;
    return false;
}

/* ---- writes to pages that hold code or page tables ---------------------------------------------- */

/* An access is about to be left undone. Unicorn loads into a floating-point register at once, before it stops. */
static void keep_floats(struct shared *s)
{
    memcpy(s->kept_f, s->env + s->off_f, sizeof s->kept_f);
    s->has_kept_f = true;
}

static void restore_floats(struct shared *s)
{
    if (s->has_kept_f)
        memcpy(s->env + s->off_f, s->kept_f, sizeof s->kept_f);
    s->has_kept_f = false;
}

/* The access under way must be alone in its block: what it causes must come before the next instruction, or its
 * PC is asked for. Leaves it undone; `run` does it again. True when it has company. */
static bool must_be_alone(void *uc, struct shared *s, bool is_device_access)
{
    if (LIKELY(s->block_insns == 1))
        return false;
    keep_floats(s);
    s->is_device_access = is_device_access;
    s->stop_reason = STOP_ALONE;
    s->emu_stop(uc);
    return true;
}

/* A store of 8 bytes comes as two of 4, low half first, and an AMO or SC must not be done again once half of it is
 * stored: so what may be a low half is alone where its high half may have to be. */
static bool high_half_may_be_special(const struct shared *s, uint64_t offset, unsigned size)
{
    uint64_t page = offset >> PAGE_BITS;
    uint8_t flags = s->page_flags[page];
    if (s->xlen_bytes != 8 || size != 4 || offset % 8 != 0)
        return false;
    if (flags & PAGE_TABLE && s->ram[offset] & PTE_V)
        return true;
    return flags & PAGE_CODE && (code_bits_any(s, offset + 4, 4) || s->write_count[page] + 2 >= DEMOTE_AFTER_WRITES);
}

static bool fetch(void *uc, struct shared *s, uint64_t va, uint32_t *insn);

/* A piece of a store is about to overwrite code or a page table entry: perhaps the very instruction, or what maps it, and
 * another piece may fault. */
static void note_instruction_under_way(void *uc, struct shared *s)
{
    uint32_t insn;
    uint64_t pc = env_word(s, s->off_pc);
    if (s->rewritten_pc == pc && s->rewritten_icount == s->icount)
        return;
    fetch(uc, s, pc, &insn);
    s->rewritten_pc = pc;
    s->rewritten_icount = s->icount;
    s->rewritten_insn = insn;
}

/* A store into the watch window: the page holds code or page tables. Do the store, and drop what was derived
 * from the old bytes: so no stale block and no stale translation ever runs. */
static void on_watched_write(void *uc, uint64_t offset, unsigned size, uint64_t value, struct shared *s)
{
    uint64_t page = offset >> PAGE_BITS, entry = offset & ~(s->xlen_bytes - 1);
    uint8_t flags = s->page_flags[page], *at = s->ram + offset;
    if (s->stop_reason == STOP_ALONE) /* it will be done again. Where a device refused a piece the rest is stored, as in */
        return;                       /* a page without marks */
    bool changes = memcmp(at, &value, size) != 0;
    bool was_valid = changes && flags & PAGE_TABLE && s->ram[entry] & PTE_V && entry != s->new_entry;
    bool was_code = changes && flags & PAGE_CODE && code_bits_any(s, offset, size);
    bool demotes = s->write_count[page] + 1 >= DEMOTE_AFTER_WRITES;
    bool is_special = was_valid || was_code || (demotes && flags & PAGE_CODE);
    if ((is_special || high_half_may_be_special(s, offset, size)) && must_be_alone(uc, s, false))
        return;
    s->watched_writes++;
    s->new_entry = flags & PAGE_TABLE && !(s->ram[entry] & PTE_V) ? entry : NOWHERE;
    s->page_flags[page] |= PAGE_DIRTY;
    if (was_code || was_valid)
        note_instruction_under_way(uc, s);
    memcpy(at, &value, size);
    if (was_valid) {
        s->stale_tlbs++;
        flush_tlb(uc, s);
        resync_after_this_instruction(s);
    }
    if (was_code) {
        code_was_written(uc, s, offset, size);
        charge(s, WORK_OF_INVALIDATION);
    }
    s->write_count[page]++;
    if (demotes)
        demote_page(uc, s, page);
}

/* Code never reads through the watch window: its entries are write-only. */
static uint64_t on_watched_read(void *uc, uint64_t offset, unsigned size, struct shared *s)
{
    (void)uc;
    return load_le(s->ram + offset, size);
}

/* ---- special instructions ----------------------------------------------------------------------- */

/* Compressed instructions that Unicorn skips where they have to trap: reserved ones, and loads and stores of
 * floating-point registers while FS is off. */
static bool is_skipped(const struct shared *s, uint32_t insn)
{
    bool rv64 = s->xlen_bytes == 8, bit12 = insn >> 12 & 1;
    uint32_t quadrant = insn & 3, funct3 = insn >> 13 & 7, funct2 = insn >> 10 & 3;
    if (quadrant == 1) /* shifts by 32 and more on rv32; what is beside C.SUBW and C.ADDW, which rv32 lacks */
        return funct3 == 4 && bit12 && (funct2 == 3 ? !rv64 || (insn >> 6 & 1) : !rv64 && funct2 <= 1);
    if (funct3 == 4)
        return quadrant == 0;
    if (funct3 == 0)
        return quadrant == 2 && bit12 && !rv64;
    bool is_float = (funct3 & 3) == 1 || ((funct3 & 3) == 3 && !rv64);
    return is_float && !(env_word(s, s->off_mstatus) & MSTATUS_FS);
}

static uint8_t csr_row_at[4096]; /* by number: 1 + the index of its row in CSR_ROWS, 0: Unicorn has it right */

static void index_csr_rows(void)
{
    for (size_t i = 0; i < sizeof CSR_ROWS / sizeof CSR_ROWS[0]; i++)
        for (uint32_t number = CSR_ROWS[i].first; number <= CSR_ROWS[i].last; number++)
            csr_row_at[number] = (uint8_t)(i + 1);
}

/* What there is to know of a CSR, NULL where Unicorn has it right. */
static const struct csr_row *csr_row(uint32_t number)
{
    return csr_row_at[number] ? &CSR_ROWS[csr_row_at[number] - 1] : NULL;
}

static bool is_fused(uint32_t insn)
{
    return (insn & 0x73) == OP_FMADD;
}

/* Floating point instructions that Unicorn has wrong: it knows no NaN boxing, and little else is wrong with double
 * precision. Its FSGNJ.D does not trap while FS is off, whoever does the rest. */
static bool is_special_floating(const struct shared *s, uint32_t insn)
{
    uint32_t operation = insn >> 27, form = insn >> 25 & 3;
    if ((insn & 0x7f) == OP_FP && form == 1 && operation == FP_SGNJ)
        return !(env_word(s, s->off_mstatus) & MSTATUS_FS);
    if (s->has_helpers || form > 1)
        return false;
    if ((insn & 0x7f) != OP_FP)
        return true;
    if (form == 0)
        return operation != FP_CLASS || (insn >> 12 & 7) != 0; /* but FMV.X.W */
    return operation == FP_MINMAX || operation == FP_FROM_FLOAT || operation == FP_COMPARE || operation == FP_TO_INT;
}

/* Instructions that the hart executes itself: environment calls, breakpoints, WFI, accesses to the CSRs that csr.py
 * owns, compressed ones that trap, floating point that Unicorn has wrong, and those that neither it nor our translation
 * knows. MRET, SRET and some of the others are among them only sometimes: see `is_ours_now`. */
static bool is_special(const struct shared *s, uint32_t insn)
{
    if ((insn & 3) != 3)
        return (insn & 0xffff) == INSN_C_EBREAK || is_skipped(s, insn);
    if ((insn & 0x7f) == OP_FP || is_fused(insn))
        return is_special_floating(s, insn);
    if (extension_insn(insn, 8 * (unsigned)s->xlen_bytes, s->features & ~s->translated) != NULL)
        return true;
    if ((insn & 0x7f) != OP_SYSTEM)
        return false;
    if ((insn >> 12 & 3) == 0)
        return insn == INSN_ECALL || insn == INSN_EBREAK || insn == INSN_WFI || insn == INSN_SRET || insn == INSN_MRET;
    const struct csr_row *row = csr_row(insn >> 20);
    bool is_read_only = insn >> 30 == 3;
    bool sets_bits = (insn >> 12 & 2) && (insn >> 15 & 31) != 0; /* none of them, perhaps: that is a write too */
    if (row == NULL)
        return is_read_only && sets_bits;
    if (row->ours == OURS_SSTATUS)
        return !s->has_helpers;
    return row->ours != OURS_FLOAT || !s->has_helpers || sets_bits;
}

/* What a CSR instruction makes of `old`, before the CSR has its say: 1 writes, 2 sets bits, 3 clears them. */
static uint64_t combined(uint64_t operation, uint64_t operand, uint64_t old)
{
    return operation == 1 ? operand : operation == 2 ? old | operand : old & ~operand;
}

static uint64_t operand_of(const struct shared *s, uint32_t insn)
{
    uint64_t rs1 = insn >> 15 & 31;
    return insn >> 14 & 1 ? rs1 : env_word(s, rs1 * s->xlen_bytes);
}

static uint64_t value_written(const struct shared *s, uint32_t insn, uint64_t old)
{
    return combined(insn >> 12 & 3, operand_of(s, insn), old);
}

static uint64_t float_register(const struct shared *s, uint32_t number)
{
    uint64_t bits;
    memcpy(&bits, s->env + 32 * s->xlen_bytes + 8 * number, 8); /* behind the integer ones */
    return bits;
}

/* Whether Unicorn has a floating point instruction that it may have wrong wrong, with the operands it has. */
static bool is_floating_ours_now(const struct shared *s, uint32_t insn)
{
    const uint64_t inf = 0x7ff0ull << 48, quiet = 1ull << 51, box = 0xffffffffull << 32;
    uint64_t a = float_register(s, insn >> 15 & 31), b = float_register(s, insn >> 20 & 31);
    uint64_t size_a = a << 1 >> 1, size_b = b << 1 >> 1;
    if ((insn >> 25 & 3) == 0)
        return true;
    if (is_fused(insn))
        return (size_a == inf && size_b == 0) || (size_a == 0 && size_b == inf);
    switch (insn >> 27) {
    case FP_MINMAX:
        return (size_a > inf && !(a & quiet)) || (size_b > inf && !(b & quiet));
    case FP_FROM_FLOAT:
        return a < box;
    case FP_COMPARE:
    case FP_TO_INT:
        return (env_word(s, s->off_mstatus) & MSTATUS_FS) != MSTATUS_FS;
    default:
        return true;
    }
}

/* Whether Unicorn would get an access to a CSR wrong that it does not always get wrong. */
static bool is_access_ours_now(const struct shared *s, const struct csr_row *row, uint64_t operation, uint64_t operand)
{
    uint64_t mstatus = env_word(s, s->off_mstatus), mie, mideleg, written;
    switch (row->ours) {
    case OURS_WRONG_BITS:
        return combined(operation, operand, env_word(s, *(const uint64_t *)((const char *)s + row->word))) & ~row->mask;
    case OURS_FLOAT:
        return mstatus & MSTATUS_FS && !(mstatus >> (8 * s->xlen_bytes - 1));
    case OURS_SSTATUS:
        return mstatus & MSTATUS_UXL;
    case OURS_SIE:
        mie = env_word(s, s->off_mie);
        mideleg = env_word(s, s->off_mideleg);
        return (combined(operation, operand, mie & mideleg) | mie) & ~mideleg & S_INTERRUPTS;
    case OURS_MSTATUS:
        written = combined(operation, operand, mstatus);
        return (written ^ mstatus) & (MSTATUS_TW | MSTATUS_TSR) || written & MSTATUS_BOGUS
               || (written >> MSTATUS_MPP_SHIFT & 3) == 2;
    default:
        return true;
    }
}

static bool is_return_ours_now(const struct shared *s, uint32_t insn)
{
    uint64_t mstatus = env_word(s, s->off_mstatus);
    return mstatus & MSTATUS_MPRV || (insn == INSN_SRET && mstatus & MSTATUS_TSR) || s->tells_returns;
}

/* What Unicorn does wrong about a special instruction is ours, and only that. It has TW and TSR at other bits of
 * mstatus, keeps MPRV, and what it allowed, when a trap handler returns, and lets all this be written: a bogus pair of
 * bits and a privilege that does not exist in mstatus, bit 0 of mepc and sepc, interrupts and exceptions of a
 * hypervisor, interrupts that are not delegated in sie, the upper half of the counter-enable registers. It does not make
 * FS Dirty when an instruction only raises flags, nor SD follow FS when a floating point CSR is written, and does not
 * show UXL in sstatus. Setting or clearing no bits by a register is no write to it. Who is told of returns is told by
 * the hart. */
static bool is_ours_now(const struct shared *s, uint32_t insn)
{
    if (insn == INSN_SRET || insn == INSN_MRET)
        return is_return_ours_now(s, insn);
    if ((insn & 0x7f) == OP_FP || is_fused(insn))
        return is_floating_ours_now(s, insn);
    const struct csr_row *row = csr_row(insn >> 20);
    if ((insn & 0x7f) != OP_SYSTEM || (insn >> 12 & 3) == 0 || row == NULL)
        return true;
    return is_access_ours_now(s, row, insn >> 12 & 3, operand_of(s, insn));
}

static const uint8_t *ram_at(void *uc, struct shared *s, uint64_t va)
{
    struct translation t = translate(uc, s, va, MEM_FETCH, (int)env_word(s, s->off_priv), true);
    if (t.fault != FAULT_NONE)
        return NULL;
    if (t.pa >= s->ram_base && t.pa - s->ram_base < s->ram_size)
        return s->ram + (t.pa - s->ram_base);
    if (t.pa >= s->rom_base && t.pa - s->rom_base < s->rom_size)
        return s->rom + (t.pa - s->rom_base);
    return NULL;
}

static bool fetch(void *uc, struct shared *s, uint64_t va, uint32_t *insn)
{
    const uint8_t *low = ram_at(uc, s, va), *high = NULL;
    *insn = 0;
    if (low == NULL)
        return false;
    uint32_t parcel = (uint32_t)load_le(low, 2);
    if ((parcel & 3) == 3 && (high = ram_at(uc, s, va + 2)) == NULL)
        return false;
    *insn = parcel | (high != NULL ? (uint32_t)load_le(high, 2) << 16 : 0);
    return true;
}

/* Whether an entry of PMP begins or ends within a page: only there rights differ within it. */
static bool has_rights_within_pages(const struct shared *s)
{
    uint64_t edges = 0;
    for (uint64_t i = 0; i < s->pmp_count; i++)
        edges |= s->pmp_low[i] | s->pmp_high[i];
    return edges & (PAGE_SIZE - 1);
}

/* Whether PMP rights to execute differ within the page of `va`. */
static bool is_mixed_page(void *uc, struct shared *s, uint64_t va)
{
    if (!has_rights_within_pages(s))
        return false;
    int mode = (int)env_word(s, s->off_priv);
    struct translation t = translate(uc, s, va, MEM_FETCH, mode, true);
    return t.fault == FAULT_NONE && pmp_allows(s, t.pa & ~(uint64_t)(PAGE_SIZE - 1), PAGE_SIZE, mode) == PROT_MIXED;
}

static bool crosses_page(uint64_t va, uint32_t insn)
{
    return (insn & 3) == 3 && (va & (PAGE_SIZE - 1)) == PAGE_SIZE - 2;
}

/* Whether PMP rights to execute differ within a page that the instruction at `va` is in: then PMP is asked about it. */
static bool in_mixed_page(void *uc, struct shared *s, uint64_t va, uint32_t insn)
{
    return is_mixed_page(uc, s, va) || (crosses_page(va, insn) && is_mixed_page(uc, s, va + 2));
}

/* The instruction at `va`, which is in the same page as those before it: `at` is where its first parcel is. */
static uint32_t fetch_at(void *uc, struct shared *s, const uint8_t *at, uint64_t va)
{
    uint32_t parcel = (uint32_t)load_le(at, 2);
    if ((parcel & 3) != 3)
        return parcel;
    const uint8_t *high = crosses_page(va, parcel) ? ram_at(uc, s, va + 2) : at + 2;
    return parcel | (high != NULL ? (uint32_t)load_le(high, 2) << 16 : 0);
}

static uint64_t size_of(uint32_t insn)
{
    return (insn & 3) == 3 ? 4 : 2;
}

static bool is_break_pc(const struct shared *s, uint64_t pc)
{
    uint64_t low = 0, high = s->break_count;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (s->break_pcs[middle] < pc)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->break_count && s->break_pcs[low] == pc;
}

/* Whether the run stops before the instruction at `pc`, which is the next one. */
static bool must_break(const struct shared *s, uint64_t pc)
{
    return s->break_count != 0 && is_break_pc(s, pc) && !(s->passed_pc == pc && s->passed_icount == s->icount);
}

static bool is_marked(const struct shared *s, uint64_t pc)
{
    return s->special_marks[(pc >> 1 & SPECIAL_MASK) / 8] >> (pc >> 1 & 7) & 1;
}

static void mark(struct shared *s, uint64_t pc)
{
    s->special_marks[(pc >> 1 & SPECIAL_MASK) / 8] |= (uint8_t)(1u << (pc >> 1 & 7));
}

/* Address and size in one word: a block is shorter than 2^12 bytes. Of an address the upper 12 bits are left out: two
 * that differ in nothing else are, like two address spaces, where blocks that differ make their key ambiguous. */
static uint64_t key_of(uint64_t pc, uint64_t size)
{
    return pc << 12 ^ size;
}

/* The key of a block that on_block must look at more closely: never equal to what key_of gives, as addresses and sizes
 * are even. */
#define SLOW_KEY 1ull
/* The same where on_followed_block may take it. */
#define FLOW_KEY (1ull << 12)

static struct block *first_slot(const struct shared *s, uint64_t pc)
{
    return &s->blocks[(pc >> 1 ^ pc >> 15) & (BLOCK_SLOTS - 1)];
}

static struct block *next_slot(const struct shared *s, struct block *b)
{
    return b + 1 < s->blocks + BLOCK_SLOTS ? b + 1 : s->blocks;
}

/* The block of that address and size, or the free slot where it would go. */
static struct block *find_block(const struct shared *s, uint64_t pc, uint64_t size)
{
    uint64_t key = key_of(pc, size) ^ s->key_salt;
    struct block *b = first_slot(s, pc);
    while (b->key != 0 && b->key != key && b->key != (key ^ SLOW_KEY))
        b = next_slot(s, b);
    return b;
}

/* Whether this is the shortened block that was asked for. It is in no table: other code may be as long as that. */
static bool is_cut(const struct shared *s, uint64_t pc, uint64_t size)
{
    return s->cut_insns != 0 && pc == s->cut_pc && size == s->cut_size;
}

/* Note what the block holds, or that another of its address and size held something else. */
static void note_block(struct shared *s, uint64_t pc, uint64_t size, const struct block *found)
{
    struct block *b = find_block(s, pc, size);
    uint64_t key = key_of(pc, size) ^ s->key_salt;
    if (b->key == 0) {
        *b = *found;
        b->key = found->special != NO_INDEX ? key ^ SLOW_KEY : key;
        b->is_ambiguous = false;
        if (++s->block_count >= s->blocks_max)
            s->fast_limit = 0;
    } else if (b->insns != found->insns || b->special != found->special || b->transfer != found->transfer) {
        s->ambiguous += !b->is_ambiguous;
        b->is_ambiguous = true;
        b->key = key ^ SLOW_KEY;
    }
}

/* Note that the parcel of an instruction became code; `decodes`: as part of the bytes of its block. */
static void note_parcel(struct shared *s, const uint8_t *at, bool decodes)
{
    uint64_t offset = (uint64_t)(at - s->ram);
    if (at == NULL || at < s->ram || offset >= s->ram_size)
        return;
    code_bits_range(s, offset, 2, true);
    if (!decodes)
        s->page_flags[offset >> PAGE_BITS] |= PAGE_UNDECODED;
}

/* Look through a translated block of so many instructions: note which bytes became code, and where it is special.
 * An instruction that does not decode is the last of its block, but its bytes are not among the block's `size`. */
static struct block look_through(void *uc, struct shared *s, uint64_t pc, uint64_t size, uint64_t insns)
{
    struct block b = {key_of(pc, size) ^ SLOW_KEY, (uint16_t)insns, NO_INDEX, NO_INDEX, true, TRANSFER_NONE};
    bool mixed = is_mixed_page(uc, s, pc);
    const uint8_t *at = ram_at(uc, s, pc);
    for (uint64_t va = pc, index = 0; index < insns && at != NULL; index++) {
        uint32_t insn = fetch_at(uc, s, at, va);
        bool decodes = va < pc + size;
        note_parcel(s, at, decodes);
        bool crosses = crosses_page(va, insn);
        if (size_of(insn) == 4)
            note_parcel(s, crosses ? ram_at(uc, s, va + 2) : at + 2, decodes);
        if (mixed || is_special(s, insn) || is_break_pc(s, va) || (crosses && is_mixed_page(uc, s, va + 2))) {
            if (s->blocks == NULL)
                mark(s, va);
            if (b.special == NO_INDEX)
                b.special = (uint16_t)index;
        }
        if (s->flow != NULL)
            b.transfer = (uint8_t)transfer_of(insn, s->xlen_bytes == 8);
        va += size_of(insn);
        at += size_of(insn);
    }
    return b;
}

/* UC_HOOK_EDGE_GENERATED: a block was translated. */
static void on_new_block(void *uc, const uc_tb *block, const uc_tb *previous, struct shared *s)
{
    (void)previous;
    s->edges++;
    charge(s, 1 + block->icount / INSNS_TRANSLATED_A_UNIT);
    struct block b = look_through(uc, s, block->pc, block->size, block->icount);
    if (s->blocks != NULL && block->size != 0 && !is_cut(s, block->pc, block->size))
        note_block(s, block->pc, block->size, &b);
}

/* ---- counters ----------------------------------------------------------------------------------- */

enum { COUNTER_CYCLE, COUNTER_TIME, COUNTER_INSTRET };

/* A counter as the instruction that is `icount` from power-on reads it. */
static uint64_t counter_at(const struct shared *s, int counter, uint64_t icount)
{
    uint64_t now_ns = (icount << s->shift) + s->warp_ns;
    bool stands_still = s->mcountinhibit >> counter & 1;
    if (counter == COUNTER_CYCLE)
        return (stands_still ? 0 : now_ns >> s->shift) + s->mcycle_offset;
    if (counter == COUNTER_TIME)
        return now_ns / s->ns_per_tick + s->time_delta;
    return (stands_still ? 0 : icount) + s->minstret_offset;
}

/* What an instruction after `icount` others reads from the counter `csr`; false: it is none, or that is not allowed. */
static bool counter_read(const struct shared *s, uint32_t csr, uint64_t icount, uint64_t *value)
{
    uint32_t counter = csr & 0x1f;
    bool is_user = (csr & ~0x9fu) == 0xc00, is_machine = (csr & ~0x9fu) == 0xb00, is_high = csr & 0x80;
    if (!(is_user || is_machine) || counter > COUNTER_INSTRET || (is_machine && counter == COUNTER_TIME) || (is_high && s->xlen_bytes == 8))
        return false;
    uint64_t priv = env_word(s, s->off_priv);
    if (priv < PRIV_M && (is_machine || !(env_word(s, s->off_mcounteren) >> counter & 1)))
        return false;
    if (priv == PRIV_U && !(env_word(s, s->off_scounteren) >> counter & 1))
        return false;
    *value = counter_at(s, (int)counter, icount) >> (is_high ? 32 : 0);
    return true;
}

static bool is_csr_read(uint32_t insn) /* csrrs rd, csr, x0 */
{
    return (insn & 0xff07f) == 0x2073;
}

/* Execute `csrr rd, counter` if that is what `insn` is and it is allowed; csr.py does all else. */
static bool execute_counter_read(void *uc, struct shared *s, uint64_t pc, uint32_t insn)
{
    uint64_t value, next = pc + 4;
    uint32_t rd = insn >> 7 & 31;
    if (in_mixed_page(uc, s, pc, insn) || !is_csr_read(insn) || !counter_read(s, insn >> 20, s->icount, &value))
        return false;
    if (s->flow != NULL)
        flow_begins(s->flow, s, pc, 4, 1, TRANSFER_NONE);
    if (rd != 0)
        memcpy(s->env + rd * s->xlen_bytes, &value, s->xlen_bytes);
    s->step_over = NOWHERE;
    s->icount++;
    s->reg_write(uc, UC_RISCV_REG_PC, &next);
    return true;
}

/* ---- accesses that Python looks at: devices, and RAM in the slow window -------------------------- */

static void stop(void *uc, struct shared *s, int reason)
{
    s->stop_reason = (uint64_t)reason;
    s->emu_stop(uc);
}

static bool may_access(void *uc, struct shared *s, bool is_device)
{
    if (s->stop_reason != STOP_NONE) /* the rest of an access that is left undone */
        return false;
    return !must_be_alone(uc, s, is_device);
}

#include "_chips.h"

/* Call Python for the access under way: `function(at, size)` to read, or with a value to write. Where it raises
 * AccessFault the access is refused; any other exception is left for `run` to raise. */
static uint64_t call(void *uc, struct shared *s, PyObject *function, int type, uint64_t at, unsigned size, uint64_t value)
{
    bool took_lock = s->thread != NULL;
    if (took_lock)
        PyEval_RestoreThread(s->thread);
    s->in_flight = 1;
    charge(s, 1);
    if (!catch_up(s)) {
        stop(uc, s, STOP_ERROR);
        s->in_flight = 0;
        if (took_lock)
            s->thread = PyEval_SaveThread();
        return 0;
    }
    PyObject *address = PyLong_FromUnsignedLongLong(at), *bytes = PyLong_FromUnsignedLong(size);
    PyObject *written = type == MEM_WRITE ? PyLong_FromUnsignedLongLong(value) : NULL;
    PyObject *result = PyObject_CallFunctionObjArgs(function, address, bytes, written, NULL);
    if (result != NULL && type == MEM_READ)
        value = PyLong_AsUnsignedLongLongMask(result);
    else if (result != NULL && function == s->io_write && at - s->mtime_address < 8) {
        Py_DECREF(result);
        result = PyObject_CallFunctionObjArgs(s->time_written, NULL);
    }
    Py_XDECREF(result);
    Py_XDECREF(written);
    Py_XDECREF(bytes);
    Py_XDECREF(address);
    if (PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(s->access_fault)) {
            PyErr_Clear();
            keep_floats(s);
            fault(s, FAULT_ACCESS, NOWHERE, type);
            s->emu_stop(uc);
        } else {
            stop(uc, s, STOP_ERROR);
        }
    }
    s->in_flight = 0;
    if (took_lock)
        s->thread = PyEval_SaveThread();
    return value;
}

/* mtime and cached registers are answered here: software that waits by polling reads nothing else. */
static uint64_t on_io_read(void *uc, uint64_t address, unsigned size, struct shared *s)
{
    uint64_t at = address - s->mtime_address;
    if (!may_access(uc, s, true))
        return 0;
    uint64_t answer;
    if (clint_read(s, address, size, &answer) || plic_read(s, address, size, &answer))
        return answer;
    for (int i = 0; i < CACHED_REGISTERS; i++)
        if (s->cached_address[i] == address && s->cached_size[i] == size)
            return s->cached_value[i];
    if (uart_read(s, address, size, &answer))
        return answer;
    if (s->mtime_address == 0 || at >= 8 || at + size > 8)
        return call(uc, s, s->io_read, MEM_READ, address, size, 0);
    uint64_t value = counter_at(s, COUNTER_TIME, s->icount - 1) >> (8 * at);
    return size == 8 ? value : value & ((1ull << (8 * size)) - 1);
}

static void on_io_write(void *uc, uint64_t address, unsigned size, uint64_t value, struct shared *s)
{
    if (may_access(uc, s, true) && !clint_write(s, address, size, value) && !plic_write(s, address, size, value)
        && !uart_write(s, address, value))
        call(uc, s, s->io_write, MEM_WRITE, address, size, value);
}

/* Whether PMP rights to data differ within the page of RAM at `offset`. */
static bool has_finer_rights(const struct shared *s, uint64_t offset)
{
    uint64_t page = s->ram_base + (offset & ~(uint64_t)(PAGE_SIZE - 1));
    return pmp_allows(s, page, PAGE_SIZE, data_mode(s)) == PROT_MIXED;
}

/* Whether Python looks at a piece of an access, and if so at all its pieces: one of them may be in a watched range. An
 * access of 8 bytes that is aligned is within one granule, so an AMO's pieces all go the same way. */
static bool is_looked_at(const struct shared *s, uint64_t offset, unsigned size, uint64_t watch_count)
{
    uint64_t low = offset & ~7ull, high = (offset + size + 7) & ~7ull;
    for (uint64_t i = 0; i < watch_count; i++)
        if (low < s->watch_edges[2 * i + 1] && high > s->watch_edges[2 * i])
            return true;
    return has_finer_rights(s, offset);
}

static uint64_t on_slow_read(void *uc, uint64_t offset, unsigned size, struct shared *s)
{
    if (!is_looked_at(s, offset, size, s->watch_load_count))
        return load_le(s->ram + offset, size);
    return may_access(uc, s, false) ? call(uc, s, s->slow_read, MEM_READ, offset, size, 0) : 0;
}

/* A store to a page without code and page tables, and not near what is watched there. */
static void store_plainly(struct shared *s, uint64_t offset, unsigned size, uint64_t value)
{
    s->page_flags[offset >> PAGE_BITS] |= PAGE_DIRTY;
    memcpy(s->ram + offset, &value, size);
}

static void on_slow_write(void *uc, uint64_t offset, unsigned size, uint64_t value, struct shared *s)
{
    bool is_looked_at_here = is_looked_at(s, offset, size, s->watch_count);
    if (!is_looked_at_here && !(s->page_flags[offset >> PAGE_BITS] & (PAGE_CODE | PAGE_TABLE)) && s->stop_reason == STOP_NONE)
        store_plainly(s, offset, size, value);
    else if (!is_looked_at_here || (is_refused(s) && !has_finer_rights(s, offset)))
        on_watched_write(uc, offset, size, value, s); /* a watch must not change what becomes of the rest of a store */
    else if (may_access(uc, s, false))
        call(uc, s, s->slow_write, MEM_WRITE, offset, size, value);
}

/* ---- traps --------------------------------------------------------------------------------------- */

/* A trap was taken: call Python, which logs it. An exception is left for `run` to raise. */
COLD static void tell_trap(struct shared *s, int data_mode)
{
    bool took_lock = s->thread != NULL;
    if (took_lock)
        PyEval_RestoreThread(s->thread);
    charge(s, 1);
    PyObject *result = catch_up(s) ? PyObject_CallFunction(s->on_trap, "i", data_mode) : NULL;
    if (result == NULL)
        s->stop_reason = STOP_ERROR;
    Py_XDECREF(result);
    if (took_lock)
        s->thread = PyEval_SaveThread();
}

/* Move the hart from PC into its trap handler: what traps.py does.
 * Source: The RISC-V Instruction Set Manual, Volume II, "Machine-Level ISA" and "Supervisor-Level ISA". */
static void enter_trap(void *uc, struct shared *s, uint64_t code, uint64_t tval, bool is_interrupt)
{
    uint64_t priv = env_word(s, s->off_priv), mstatus = env_word(s, s->off_mstatus), pc = env_word(s, s->off_pc);
    uint64_t old = mstatus, cause = code | (uint64_t)is_interrupt << (8 * s->xlen_bytes - 1);
    uint64_t delegated = priv < PRIV_M ? env_word(s, is_interrupt ? s->off_mideleg : s->off_medeleg) >> code & 1 : 0;
    if (delegated) {
        mstatus &= ~(uint64_t)(MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP);
        mstatus |= (old & MSTATUS_SIE ? MSTATUS_SPIE : 0) | (priv ? MSTATUS_SPP : 0);
    } else {
        mstatus &= ~(uint64_t)(MSTATUS_MIE | MSTATUS_MPIE | 3u << MSTATUS_MPP_SHIFT);
        mstatus |= (old & MSTATUS_MIE ? MSTATUS_MPIE : 0) | priv << MSTATUS_MPP_SHIFT;
    }
    s->has_last = true;
    s->last_code = code;
    s->last_is_interrupt = is_interrupt;
    s->last_epc = pc;
    s->last_tval = s->xlen_bytes == 8 ? tval : tval & 0xffffffffu;
    s->last_priv = priv;
    s->last_icount = s->icount;
    s->last_ra = env_word(s, REG_RA * s->xlen_bytes);
    s->last_sp = env_word(s, REG_SP * s->xlen_bytes);
    s->last_fp = env_word(s, REG_FP * s->xlen_bytes);
    set_env_word(s, delegated ? s->off_sepc : s->off_mepc, pc);
    set_env_word(s, delegated ? s->off_scause : s->off_mcause, cause);
    set_env_word(s, delegated ? s->off_stval : s->off_mtval, tval);
    set_env_word(s, s->off_mstatus, mstatus);
    set_env_word(s, s->off_priv, delegated ? PRIV_S : PRIV_M);
    set_env_word(s, s->off_load_res, UINT64_MAX);
    if (s->limit <= s->icount) /* the run was to end after this instruction: see end_run_after_this_instruction */
        s->limit = s->icount + 1;
    uint64_t vector = env_word(s, delegated ? s->off_stvec : s->off_mtvec);
    set_env_word(s, s->off_pc, (vector & ~3ull) + (is_interrupt && vector & 1 ? 4 * code : 0));
    if (old & MSTATUS_MPRV || s->trigger_page_count != 0)
        /* data accesses may go another way now, or one was let pass where a trigger is */
        flush_tlb(uc, s);
    if (s->flow != NULL)
        flow_traps(s->flow, s);
    if (s->logs_traps)
        tell_trap(s, priv == PRIV_M && old & MSTATUS_MPRV ? (int)(old >> MSTATUS_MPP_SHIFT & 3) : (int)priv);
}

static void take_exception(void *uc, struct shared *s, uint64_t cause, uint64_t tval)
{
    if (!s->has_trapped || s->trap_icount != s->icount) {
        s->has_trapped = true;
        s->trap_cause = cause;
        s->trap_epc = env_word(s, s->off_pc);
        s->trap_tval = s->xlen_bytes == 8 ? tval : tval & 0xffffffffu;
        s->trap_priv = env_word(s, s->off_priv);
        s->trap_icount = s->icount;
        s->trap_ra = env_word(s, REG_RA * s->xlen_bytes);
        s->trap_sp = env_word(s, REG_SP * s->xlen_bytes);
        s->trap_fp = env_word(s, REG_FP * s->xlen_bytes);
    }
    s->traps_in_place = s->traps_icount == s->icount ? s->traps_in_place + 1 : 1;
    s->traps_icount = s->icount;
    if (s->traps_in_place >= TRAP_LOOP_TRAPS)
        s->stop_reason = STOP_TRAP_LOOP;
    enter_trap(uc, s, cause, tval, false);
}

/* Take the interrupt that comes first: those for M-mode before those for S-mode, then by priority. */
static void take_interrupt(void *uc, struct shared *s)
{
    static const uint8_t priority[] = {MEI, MSI, MTI, SEI, SSI, STI};
    uint64_t pending = s->mip & env_word(s, s->off_mie), mideleg = env_word(s, s->off_mideleg);
    uint64_t priv = env_word(s, s->off_priv), mstatus = env_word(s, s->off_mstatus);
    uint64_t candidates = priv < PRIV_M || mstatus & MSTATUS_MIE ? pending & ~mideleg : 0;
    if (candidates == 0)
        candidates = pending & mideleg;
    for (size_t i = 0; i < sizeof priority; i++) {
        if (candidates >> priority[i] & 1) {
            enter_trap(uc, s, priority[i], 0, true);
            return;
        }
    }
}

struct access {
    uint32_t rs1;
    int32_t imm;
    bool is_store; /* an AMO counts as one */
    bool is_atomic;
};

/* The data access of `insn`: what decode.py does. */
static bool access_of(uint32_t insn, bool rv64, struct access *access)
{
    uint32_t opcode = insn & 0x7f, funct3 = insn >> 13 & 7;
    if ((insn & 3) == 3) {
        access->rs1 = insn >> 15 & 31;
        if (opcode == OP_LOAD || opcode == OP_LOAD_FP)
            *access = (struct access){access->rs1, (int32_t)insn >> 20, false};
        else if (opcode == OP_STORE || opcode == OP_STORE_FP)
            *access = (struct access){access->rs1, ((int32_t)insn >> 25 << 5) | (int32_t)(insn >> 7 & 31), true};
        else if (opcode == OP_AMO)
            *access = (struct access){access->rs1, 0, insn >> 27 != AMO_LR, true};
        else
            return false;
        return true;
    }
    if ((insn & 1) != 0 || (funct3 & 3) == 0)
        return false;
    bool is_word = (funct3 & 3) == 2 || ((funct3 & 3) == 3 && !rv64), is_store = funct3 > 4;
    uint32_t imm;
    if ((insn & 3) == 0) {
        imm = (insn >> 10 & 7) << 3 | (is_word ? (insn >> 6 & 1) << 2 | (insn >> 5 & 1) << 6 : (insn >> 5 & 3) << 6);
        *access = (struct access){8 + (insn >> 7 & 7), (int32_t)imm, is_store};
        return true;
    }
    if (is_store)
        imm = is_word ? (insn >> 9 & 15) << 2 | (insn >> 7 & 3) << 6 : (insn >> 10 & 7) << 3 | (insn >> 7 & 7) << 6;
    else
        imm = (insn >> 12 & 1) << 5
              | (is_word ? (insn >> 4 & 7) << 2 | (insn >> 2 & 3) << 6 : (insn >> 5 & 3) << 3 | (insn >> 2 & 7) << 6);
    *access = (struct access){2, (int32_t)imm, is_store};
    return true;
}

/* Take the exception that the instruction at PC met, if that can be told; Python does what is left. */
static bool take_fault(void *uc, struct shared *s)
{
    uint32_t insn;
    struct access access;
    uint64_t pc = env_word(s, s->off_pc), cause = s->exception;
    bool is_fault = s->stop_reason == STOP_FAULT, is_page_fault = s->fault == FAULT_PAGE;
    if (is_fault && s->fault_type == MEM_FETCH) {
        bool same_page = s->fault_va >> PAGE_BITS == pc >> PAGE_BITS;
        take_exception(uc, s, is_page_fault ? CAUSE_FETCH_PAGE_FAULT : CAUSE_FETCH_ACCESS, same_page ? pc : s->fault_va);
        return true;
    }
    if (s->rewritten_pc == pc && s->rewritten_icount == s->icount + 1)
        insn = (uint32_t)s->rewritten_insn; /* it has stored over itself, or its mapping, before it faulted */
    else if (!fetch(uc, s, pc, &insn))
        return false;
    if (!is_fault && cause == CAUSE_ILLEGAL_INSTRUCTION) {
        take_exception(uc, s, CAUSE_ILLEGAL_INSTRUCTION, insn);
        return true;
    }
    if ((!is_fault && cause != CAUSE_LOAD_MISALIGNED && cause != CAUSE_STORE_MISALIGNED) || !access_of(insn, s->xlen_bytes == 8, &access))
        return false;
    uint64_t tval = env_word(s, access.rs1 * s->xlen_bytes) + (uint64_t)(int64_t)access.imm;
    tval = s->xlen_bytes == 8 ? tval : tval & 0xffffffffu;
    if (!is_fault)
        cause = access.is_store ? CAUSE_STORE_MISALIGNED : CAUSE_LOAD_MISALIGNED;
    else if (is_page_fault)
        cause = access.is_store ? CAUSE_STORE_PAGE_FAULT : CAUSE_LOAD_PAGE_FAULT;
    else if (access.is_atomic && access.is_store && translate(uc, s, tval, MEM_WRITE, data_mode(s), false).fault == FAULT_PAGE)
        cause = CAUSE_STORE_PAGE_FAULT; /* Unicorn has loaded first, but an AMO is a store before all else */
    else
        cause = access.is_store ? CAUSE_STORE_ACCESS : CAUSE_LOAD_ACCESS;
    if (is_fault && s->fault_va != NOWHERE && tval >> PAGE_BITS != s->fault_va >> PAGE_BITS)
        tval = s->fault_va; /* the access began in the page before */
    take_exception(uc, s, cause, tval);
    return true;
}

/* UC_HOOK_INTR: Unicorn met an exception: PC is 4 past the instruction, whatever its size. */
static void on_exception(void *uc, uint32_t cause, struct shared *s)
{
    s->exception = cause;
    set_env_word(s, s->off_pc, env_word(s, s->off_pc) - 4);
    stop(uc, s, STOP_EXCEPTION);
}

/* ---- counting ----------------------------------------------------------------------------------- */

static bool interrupt_is_takeable(const struct shared *s)
{
    uint64_t pending = s->mip & env_word(s, s->off_mie);
    if (pending == 0)
        return false;
    uint64_t mideleg = env_word(s, s->off_mideleg), mstatus = env_word(s, s->off_mstatus);
    uint64_t priv = env_word(s, s->off_priv);
    if (pending & ~mideleg && (priv < PRIV_M || mstatus & MSTATUS_MIE))
        return true;
    return pending & mideleg && (priv < PRIV_S || (priv == PRIV_S && mstatus & MSTATUS_SIE));
}

static int stop_reason(const struct shared *s)
{
    if (s->icount >= s->limit)
        return STOP_LIMIT;
    if (s->resync)
        return STOP_RESYNC;
    if (s->mip != 0 && interrupt_is_takeable(s))
        return STOP_INTERRUPT;
    return STOP_NONE;
}

/* Drop what `fill_tlb` let Unicorn have of the page before: the guest may go there next. */
static void forget_bogus_entry(void *uc, struct shared *s)
{
    if (!s->has_bogus_entry)
        return;
    s->has_bogus_entry = false;
    flush_tlb(uc, s);
}

/* Go on at PC, which was changed, within the run. */
static void go_to_pc(void *uc, struct shared *s)
{
    uint64_t pc = env_word(s, s->off_pc);
    forget_bogus_entry(uc, s);
    s->reg_write(uc, UC_RISCV_REG_PC, &pc);
    if (s->stop_reason != STOP_NONE)
        s->emu_stop(uc);
}

/* Before an instruction: whether it may not begin, because the run ends here or an interrupt comes first. */
static bool must_not_begin(void *uc, struct shared *s)
{
    int reason = stop_reason(s);
    if (reason == STOP_NONE)
        return false;
    if (reason == STOP_INTERRUPT) {
        take_interrupt(uc, s);
        go_to_pc(uc, s);
    } else if (reason == STOP_RESYNC && s->must_forget_blocks) {
        stop(uc, s, STOP_FULL);
    } else if (reason == STOP_RESYNC && s->blocks != NULL) { /* find the block anew */
        s->resync = false;
        s->fast_limit = s->mip ? 0 : s->limit;
        go_to_pc(uc, s);
    } else {
        stop(uc, s, reason);
    }
    return true;
}

static bool has_satp_mode(const struct shared *s, uint64_t mode)
{
    return mode == 0 || mode == SATP_SV39 || (mode == SATP_SV48 && s->features & FEATURE_SV48)
           || (mode == SATP_SV57 && s->features & FEATURE_SV57);
}

/* Execute a CSR instruction on satp if it is allowed, and asks for a mode that is there; csr.py does all else. */
static bool execute_satp_access(void *uc, struct shared *s, uint64_t pc, uint32_t insn)
{
    uint32_t rd = insn >> 7 & 31, operation = insn >> 12 & 3;
    if ((insn & 0x7f) != OP_SYSTEM || operation == 0 || insn >> 20 != CSR_SATP || in_mixed_page(uc, s, pc, insn))
        return false;
    uint64_t priv = env_word(s, s->off_priv), old = env_word(s, s->off_satp), next = pc + 4;
    if (priv < PRIV_S || (priv == PRIV_S && env_word(s, s->off_mstatus) & MSTATUS_TVM))
        return false;
    if (operation == 1 || (insn >> 15 & 31) != 0) {
        uint64_t written = value_written(s, insn, old);
        if (s->xlen_bytes == 8 && !has_satp_mode(s, written >> SATP_MODE_SHIFT))
            return false;
        set_env_word(s, s->off_satp, written);
        flush_tlb(uc, s);
    }
    if (s->flow != NULL)
        flow_begins(s->flow, s, pc, 4, 1, TRANSFER_NONE);
    if (rd != 0)
        set_env_word(s, rd * s->xlen_bytes, old);
    s->step_over = NOWHERE;
    s->icount++;
    s->reg_write(uc, UC_RISCV_REG_PC, &next);
    return true;
}

/* The instruction `insn` at `pc` stores zeros to the cache block at `offset` in RAM: what was derived from that goes. */
static void drop_derived_from_block(void *uc, struct shared *s, uint64_t pc, uint32_t insn, uint64_t offset)
{
    uint64_t page = offset >> PAGE_BITS;
    uint8_t flags = s->page_flags[page];
    bool had_code = flags & PAGE_CODE && code_bits_any(s, offset, CACHE_BLOCK), had_entries = false;
    for (uint64_t at = 0; flags & PAGE_TABLE && at < CACHE_BLOCK; at += s->xlen_bytes)
        had_entries |= s->ram[offset + at] & PTE_V;
    s->watched_writes++;
    if (had_code || had_entries) {
        s->rewritten_pc = pc;
        s->rewritten_icount = s->icount + 1; /* as of a store under way, which is counted */
        s->rewritten_insn = insn;
    }
    if (had_entries) {
        s->stale_tlbs++;
        flush_tlb(uc, s);
        resync_after_this_instruction(s);
    }
    if (had_code) {
        code_was_written(uc, s, offset, CACHE_BLOCK);
        charge(s, WORK_OF_INVALIDATION);
    }
    s->new_entry = NOWHERE;
    s->write_count[page] += CACHE_BLOCK / 8;
    if (s->write_count[page] >= DEMOTE_AFTER_WRITES)
        demote_page(uc, s, page);
}

/* Store zeros to the cache block of `va` if it is in RAM that nobody watches; `insn` at `pc` does that. */
static bool zero_block(void *uc, struct shared *s, uint64_t pc, uint32_t insn, uint64_t va)
{
    int mode = (int)env_word(s, s->off_priv);
    bool is_forbidden = mode < PRIV_M && !(s->menvcfg & (mode == PRIV_U ? s->senvcfg : ENVCFG_CBZE) & ENVCFG_CBZE);
    if (is_forbidden || s->trigger_page_count != 0)
        return false;
    mode = data_mode(s);
    struct translation t = translate(uc, s, va & ~(uint64_t)(CACHE_BLOCK - 1), MEM_WRITE, mode, true);
    uint64_t offset = t.pa - s->ram_base;
    if (t.fault != FAULT_NONE || !(t.perms & PROT_W) || t.pa < s->ram_base || offset >= s->ram_size)
        return false;
    uint32_t allowed = pmp_allows(s, t.pa & ~(uint64_t)(PAGE_SIZE - 1), PAGE_SIZE, mode);
    uint8_t *flags = &s->page_flags[offset >> PAGE_BITS];
    if (!(allowed & PROT_W) || allowed & PROT_MIXED || *flags & PAGE_SLOW)
        return false;
    *flags |= PAGE_DIRTY;
    if (*flags & (PAGE_CODE | PAGE_TABLE))
        drop_derived_from_block(uc, s, pc, insn, offset);
    memset(s->ram + offset, 0, CACHE_BLOCK);
    return true;
}

/* Whether CBO.INVAL, CBO.CLEAN or CBO.FLUSH of the byte `va` plainly retires: it may load there, from RAM. */
static bool may_manage_block(void *uc, struct shared *s, uint32_t op, uint64_t va)
{
    uint64_t leave = op == DO_CBO_INVAL ? ENVCFG_CBIE : ENVCFG_CBCFE;
    int mode = (int)env_word(s, s->off_priv);
    bool is_forbidden = mode < PRIV_M && (!(s->menvcfg & leave) || (mode == PRIV_U && !(s->senvcfg & leave)));
    if (is_forbidden || s->trigger_page_count != 0)
        return false;
    mode = data_mode(s);
    struct translation t = translate(uc, s, va, MEM_READ, mode, true);
    bool is_in_ram = t.pa >= s->ram_base && t.pa - s->ram_base < s->ram_size;
    return t.fault == FAULT_NONE && is_in_ram && pmp_allows(s, t.pa, 1, mode) & PROT_R;
}

/* Carry out an instruction on a cache block, if that is easy. */
static bool execute_on_block(void *uc, struct shared *s, uint64_t pc, uint32_t insn, uint32_t op, uint64_t va)
{
    if (op == DO_CBO_ZERO)
        return zero_block(uc, s, pc, insn, va);
    return (op == DO_CBO_INVAL || op == DO_CBO_CLEAN || op == DO_CBO_FLUSH) && may_manage_block(uc, s, op, va);
}

/* Whether an instruction that computes nothing is more than a step to the next one: it may trap, or does something. */
static bool may_do_more(const struct shared *s, uint32_t op)
{
    uint64_t priv = env_word(s, s->off_priv);
    switch (op) {
    case DO_WRS_STO:
        return false;
    case DO_WRS_NTO:
        return priv < PRIV_M && env_word(s, s->off_mstatus) & MSTATUS_TW;
    case DO_SINVAL_VMA:
        return priv < PRIV_S || (priv == PRIV_S && env_word(s, s->off_mstatus) & MSTATUS_TVM);
    case DO_SFENCE_W_INVAL:
    case DO_SFENCE_INVAL_IR:
        return priv < PRIV_S;
    default:
        return true;
    }
}

/* Execute an instruction that Unicorn does not know; Python does what may trap. */
static bool execute_extension(void *uc, struct shared *s, uint64_t pc, uint32_t insn)
{
    unsigned xlen = 8 * (unsigned)s->xlen_bytes, rd = insn >> 7 & 31, number = insn >> 20 & 31;
    const struct extension_row *row = extension_insn(insn, xlen, s->features);
    if ((insn & 3) != 3 || row == NULL || in_mixed_page(uc, s, pc, insn))
        return false;
    uint64_t a = env_word(s, (insn >> 15 & 31) * s->xlen_bytes), next = pc + 4;
    uint64_t b = row->form == FORM_REGISTERS ? env_word(s, number * s->xlen_bytes) : insn >> 20 & 63;
    if (row->form == FORM_OTHER && may_do_more(s, row->op) && !execute_on_block(uc, s, pc, insn, row->op, a))
        return false;
    if (s->flow != NULL)
        flow_begins(s->flow, s, pc, 4, 1, TRANSFER_NONE);
    if (row->form != FORM_OTHER && rd != 0)
        set_env_word(s, rd * s->xlen_bytes, compute(row->op, a, b, xlen));
    s->step_over = NOWHERE;
    s->icount++;
    s->reg_write(uc, UC_RISCV_REG_PC, &next);
    return true;
}

/* Execute the special instruction at PC here if that is easy; else stop, and Python does it. */
static void execute_special(void *uc, struct shared *s, uint64_t pc)
{
    uint32_t insn = (uint32_t)s->special_insn;
    if (must_break(s, pc)) {
        stop(uc, s, STOP_BREAKPOINT);
        return;
    }
    if (execute_counter_read(uc, s, pc, insn) || execute_satp_access(uc, s, pc, insn)
        || execute_extension(uc, s, pc, insn))
        return;
    bool is_ecall = insn == INSN_ECALL, is_compressed = (insn & 3) != 3 && insn != INSN_C_EBREAK;
    if ((is_ecall || is_compressed) && !in_mixed_page(uc, s, pc, insn)) {
        set_env_word(s, s->off_pc, pc);
        if (is_ecall)
            take_exception(uc, s, CAUSE_ECALL_FROM_U + env_word(s, s->off_priv), 0);
        else
            take_exception(uc, s, CAUSE_ILLEGAL_INSTRUCTION, insn);
        s->step_over = NOWHERE;
        go_to_pc(uc, s);
        return;
    }
    uint64_t priv = env_word(s, s->off_priv);
    if (insn == INSN_WFI && (priv == PRIV_M || (priv == PRIV_S && !(env_word(s, s->off_mstatus) & MSTATUS_TW)))
        && !in_mixed_page(uc, s, pc, insn)) {
        if (s->flow != NULL)
            flow_begins(s->flow, s, pc, 4, 1, TRANSFER_NONE);
        set_env_word(s, s->off_pc, pc + 4);
        s->icount++;
        s->step_over = NOWHERE;
        s->is_waiting = !(s->mip & env_word(s, s->off_mie));
        if (s->is_waiting)
            s->stop_reason = STOP_WAITING;
        go_to_pc(uc, s);
        return;
    }
    stop(uc, s, STOP_SPECIAL);
}

/* Whether the hart executes the instruction at `pc` itself, or stops before it. It is then in `special_insn`, NOWHERE
 * if it can't be fetched: any bits may be an instruction, and 0 is one that is illegal. */
static bool is_special_at(void *uc, struct shared *s, uint64_t pc)
{
    uint32_t insn = 0;
    if (must_break(s, pc))
        return true;
    if (pc == s->step_over)
        return false;
    bool is_there = fetch(uc, s, pc, &insn);
    if (is_there && !(is_special(s, insn) && is_ours_now(s, insn)) && !in_mixed_page(uc, s, pc, insn))
        return false;
    s->special_insn = is_there ? insn : NOWHERE;
    return true;
}

/* ---- counting by instructions -------------------------------------------------------------------- */

/* Out of line, so that the hot path below needs no stack. */
COLD static void count_or_stop(void *uc, uint64_t pc, struct shared *s)
{
    if (must_not_begin(uc, s))
        return;
    if (is_marked(s, pc) && is_special_at(uc, s, pc)) {
        execute_special(uc, s, pc);
        return;
    }
    s->step_over = NOWHERE;
    s->icount++;
}

/* UC_HOOK_CODE: called before every instruction, so the first line is the hot path of the whole program. */
static void on_instruction(void *uc, uint64_t pc, uint32_t size, struct shared *s)
{
    (void)size;
    if (LIKELY(s->icount < s->fast_limit && !is_marked(s, pc)))
        s->icount++;
    else
        count_or_stop(uc, pc, s);
}

/* ---- counting by blocks --------------------------------------------------------------------------
 *
 * A block is counted as a whole before it runs. It has to be cut short where the run is to stop within it, before
 * an instruction that the hart executes itself, and so that an access to a device is alone in its block: then PC
 * and icount are exact when the device is called, and whatever the access causes comes before the next
 * instruction. Unicorn makes and keeps a shorter block when it is told how many instructions the next one may have. */

/* How many bytes the first `insns` instructions at `pc` take. */
static uint64_t bytes_of(void *uc, struct shared *s, uint64_t pc, uint64_t insns)
{
    const uint8_t *at = ram_at(uc, s, pc);
    uint64_t size = 0;
    for (; insns > 0 && at != NULL; insns--)
        size += size_of((uint32_t)load_le(at + size, 2));
    return size;
}

/* How many instructions there are from `pc` up to `end`, in one page. */
static uint64_t insns_between(void *uc, struct shared *s, uint64_t pc, uint64_t end)
{
    const uint8_t *at = ram_at(uc, s, pc);
    uint64_t insns = 0;
    for (; pc < end && at != NULL; insns++) {
        uint64_t size = size_of((uint32_t)load_le(at, 2));
        pc += size;
        at += size;
    }
    return insns;
}

/* on_block would look the short block up by its size, and may find another one: so it must not look. */
static void ask_for_short_block(void *uc, struct shared *s, uint64_t pc, uint64_t insns)
{
    s->cut_pc = pc;
    s->cut_size = bytes_of(uc, s, pc, insns);
    s->cut_insns = insns;
    s->cut_is_crossing = false;
    *s->next_cflags = (uint32_t)insns;
    s->fast_limit = 0;
    s->cuts++;
}

static void ask_for_no_short_block(struct shared *s)
{
    s->cut_insns = 0;
    *s->next_cflags = UINT32_MAX;
}

/* Tell who follows of a block that is not, or not as a whole, in the table. */
COLD static void follow_start(void *uc, struct shared *s, uint64_t pc, uint64_t insns)
{
    uint64_t before = bytes_of(uc, s, pc, insns - 1), size = before;
    const uint8_t *at = ram_at(uc, s, pc);
    uint32_t insn = at != NULL ? fetch_at(uc, s, at + before, pc + before) : 0;
    size += size_of(insn);
    flow_begins(s->flow, s, pc, size, insns, (uint64_t)transfer_of(insn, s->xlen_bytes == 8));
}

static void start_block(void *uc, struct shared *s, uint64_t pc, uint64_t insns)
{
    if (s->flow != NULL)
        follow_start(uc, s, pc, insns);
    s->icount += insns;
    s->block_pc = pc;
    s->block_insns = insns;
    s->step_over = NOWHERE;
}

/* Ask Unicorn for the block, and look at what it holds: right in every case, but slower than the table.
 * Done where a block was not announced, or where its like held something else in another address space. */
static struct block ask_for_block(void *uc, struct shared *s, uint64_t pc, uint64_t size)
{
    uc_tb tb = {0, 0, 0};
    s->ctl(uc, (int)CTL_TB_REQUEST_CACHE, pc, &tb);
    struct block b = look_through(uc, s, pc, size, tb.size == size ? tb.icount : 2);
    if (tb.size != size && b.special != 0)
        b.special = 1; /* one by one */
    return b;
}

/* MRET and SRET end their block, and whether they are ours can't change within one. */
static bool ends_in_plain_return(void *uc, struct shared *s, uint64_t pc, const struct block *b)
{
    const uint8_t *at;
    if (b->special + 1u != b->insns || (at = ram_at(uc, s, pc)) == NULL)
        return false;
    uint64_t before = bytes_of(uc, s, pc, b->special);
    uint32_t insn = fetch_at(uc, s, at + before, pc + before);
    return (insn == INSN_SRET || insn == INSN_MRET) && !is_ours_now(s, insn) && !is_break_pc(s, pc + before);
}

COLD static void look_at_block(void *uc, uint64_t pc, uint64_t size, struct shared *s)
{
    uint64_t cut_insns = is_cut(s, pc, size) ? s->cut_insns : 0;
    if (s->cut_insns != 0) {
        s->cut_insns = 0;
        s->fast_limit = s->mip || s->resync ? 0 : s->limit;
    }
    if (must_not_begin(uc, s))
        return;
    if (s->block_count >= s->blocks_max) {
        stop(uc, s, STOP_FULL);
        return;
    }
    if (cut_insns != 0 && !s->cut_is_crossing) {
        start_block(uc, s, pc, cut_insns);
        return;
    }
    if (size == 0) { /* an instruction that does not decode; whether it may be fetched at all is not yet said */
        if (is_special_at(uc, s, pc))
            execute_special(uc, s, pc);
        else
            start_block(uc, s, pc, 1);
        return;
    }
    struct block *known = find_block(s, pc, size), asked;
    if (cut_insns != 0) {
        asked = look_through(uc, s, pc, size, cut_insns);
        known = &asked;
    } else if (known->key == 0 || known->is_ambiguous) {
        asked = ask_for_block(uc, s, pc, size);
        if (known->key == 0)
            note_block(s, pc, size, &asked);
        known = &asked;
    }
    uint64_t left = s->limit - s->icount, insns = known->insns < left ? known->insns : left;
    if (known->special == 0 || known->io == 0) {
        if (known->special == 0 && is_special_at(uc, s, pc)) {
            execute_special(uc, s, pc);
            return;
        }
        insns = 1;
    } else {
        if (known->special < insns && !ends_in_plain_return(uc, s, pc, known))
            insns = known->special;
        if (known->io < insns)
            insns = known->io;
    }
    if (insns == known->insns) {
        start_block(uc, s, pc, insns);
    } else {
        ask_for_short_block(uc, s, pc, insns);
        s->reg_write(uc, UC_RISCV_REG_PC, &pc); /* leave this block, and come back with the short one */
    }
}

static inline void begin_block(struct shared *s, uint64_t pc, uint64_t insns, uint64_t icount)
{
    s->icount = icount;
    s->block_pc = pc;
    s->block_insns = insns;
}

/* The same as on_block while somebody follows where instructions went: then the keys in the table have FLOW_KEY, so
 * on_block takes none, and calls this or one of those below. */
static NOINLINE void on_followed_block(
    void *uc, uint64_t pc, uint32_t size, struct shared *s, const struct block *b)
{
    uint64_t insns = b->insns, icount = s->icount + insns;
    if (LIKELY(b->key == (key_of(pc, size) ^ FLOW_KEY) && icount <= s->fast_limit)) {
        flow_begins(s->flow, s, pc, size, insns, b->transfer);
        begin_block(s, pc, insns, icount);
    } else {
        look_at_block(uc, pc, size, s);
    }
}

/* The same where not all is asked, for what comes most often: no call, no return, no new run. */
static inline void on_block_asked(
    void *uc, uint64_t pc, uint32_t size, struct shared *s, const struct block *b, uint64_t asked)
{
    struct flow *f = s->flow;
    uint64_t insns = b->insns, icount = s->icount + insns, next = f->next;
    struct flow_run *run = asked & ASKED_COUNTS ? first_run(f, pc) : NULL;
    if (LIKELY(b->key == (key_of(pc, size) ^ FLOW_KEY) && icount <= s->fast_limit)
        && LIKELY(!(asked & ASKED_CALLS) || f->kind == TRANSFER_NONE)
        && LIKELY(!(asked & ASKED_COUNTS) || (run->pc == pc && run->shape == (insns | priv_of(s) << 16)))) {
        if (asked & ASKED_COUNTS)
            count_again(f, run, icount - insns);
        if (asked & ASKED_CALLS)
            f->kind = b->transfer;
        if (asked != ASKED_COUNTS)
            f->next = pc + size;
        begin_block(s, pc, insns, icount);
        if (asked & ASKED_PATH && pc != next)
            mix_place(f, s, pc, next);
    } else {
        on_followed_block(uc, pc, size, s, b);
    }
}

#define FOLLOWER(name, asked) \
    static void name( \
        void *uc, uint64_t pc, uint32_t size, struct shared *s, const struct block *b) \
    { \
        on_block_asked(uc, pc, size, s, b, asked); \
    }
FOLLOWER(on_counted_block, ASKED_COUNTS)
FOLLOWER(on_called_block, ASKED_CALLS)
FOLLOWER(on_profiled_block, ASKED_COUNTS | ASKED_CALLS)
FOLLOWER(on_hashed_block, ASKED_PATH)

static follower *follower_of(uint64_t asked)
{
    switch (asked) {
    case ASKED_COUNTS:
        return on_counted_block;
    case ASKED_CALLS:
        return on_called_block;
    case ASKED_COUNTS | ASKED_CALLS:
        return on_profiled_block;
    case ASKED_PATH:
        return on_hashed_block;
    default:
        return on_followed_block;
    }
}

/* UC_HOOK_BLOCK: called before every block. The first lines are the hot path of the whole program. */
static void on_block(void *uc, uint64_t pc, uint32_t size, struct shared *s)
{
    const struct block *b = first_slot(s, pc);
    uint64_t insns = b->insns, icount = s->icount + insns;
    if (LIKELY(b->key == key_of(pc, size) && icount <= s->fast_limit))
        begin_block(s, pc, insns, icount);
    else if (s->flow != NULL)
        s->flow->on_block(uc, pc, size, s, b);
    else
        look_at_block(uc, pc, size, s);
}

/* The same where the code of a block counts by itself (_counting.h), and could not: take that back. */
static void on_uncounted_block(void *uc, uint64_t pc, uint32_t size, struct shared *s)
{
    if (s->counts_in_code)
        s->icount -= s->block_insns;
    s->looks++;
    on_block(uc, pc, size, s);
    s->looked_icount = s->icount;
}

/* Whether an access to a CSR asks leaves_access first. */
static bool asks_first(const struct csr_row *row)
{
    return row != NULL && (row->ours == OURS_WRONG_BITS || row->ours == OURS_SIE || row->ours == OURS_MSTATUS);
}

/* Whether the special instruction at `index` is one that ends its block, and then asks the functions below. */
static bool asks_at_end(void *uc, struct shared *s, uint64_t pc, uint64_t insns, uint64_t index)
{
    const uint8_t *at = ram_at(uc, s, pc);
    if (index + 1 != insns || at == NULL || is_mixed_page(uc, s, pc))
        return false;
    uint64_t before = bytes_of(uc, s, pc, index), value;
    uint32_t insn = fetch_at(uc, s, at + before, pc + before);
    if (is_break_pc(s, pc + before) || (crosses_page(pc + before, insn) && is_mixed_page(uc, s, pc + before + 2)))
        return false;
    if (insn == INSN_ECALL || insn == INSN_MRET || insn == INSN_SRET)
        return true;
    if ((insn & 0x7f) != OP_SYSTEM || (insn >> 12 & 3) == 0)
        return false;
    return asks_first(csr_row(insn >> 20)) || (is_csr_read(insn) && counter_read(s, insn >> 20, 0, &value));
}

/* Whether a block, which has just been translated, may count by itself: nothing in it is special but what asks, nobody
 * follows, and it is not known to access a device. */
static bool counts_itself(void *uc, struct shared *s, uint64_t pc, uint64_t size, uint64_t insns)
{
    if (size == 0 || s->flow != NULL || ram_at(uc, s, pc) == NULL)
        return false;
    struct block found = look_through(uc, s, pc, size, insns);
    const struct block *known = find_block(s, pc, size);
    bool has_special = found.special != NO_INDEX && !asks_at_end(uc, s, pc, insns, found.special);
    return !has_special && (known->key == 0 || known->io == NO_INDEX);
}

/* The last instruction of the block that runs does not retire. */
static void take_back_last(struct shared *s)
{
    uint64_t pc = env_word(s, s->off_pc);
    s->icount--;
    if (s->flow != NULL)
        flow_cut(s->flow, s, s->block_pc, s->block_insns, s->block_insns - 1, pc);
    s->block_pc = pc;
    s->block_insns = 1;
}

/* Have Python execute the instruction at PC, which ends its block. */
COLD static bool leave_last(void *uc, struct shared *s)
{
    uint32_t insn;
    bool is_there = fetch(uc, s, env_word(s, s->off_pc), &insn);
    take_back_last(s);
    s->special_insn = is_there ? insn : NOWHERE;
    stop(uc, s, STOP_SPECIAL);
    return true;
}

/* Before Unicorn executes the access to a CSR that ends a block: whether that is left to Python. */
static bool leaves_access(void *uc, struct shared *s, uint64_t csr, uint64_t operation, uint64_t operand)
{
    const struct csr_row *row = csr_row((uint32_t)csr);
    return asks_first(row) && is_access_ours_now(s, row, operation, operand) && leave_last(uc, s);
}

/* The same before it executes MRET or SRET. */
static bool leaves_return(void *uc, struct shared *s, uint64_t insn)
{
    return is_return_ours_now(s, (uint32_t)insn) && leave_last(uc, s);
}

/* The last instruction of the block that runs reads a counter, Python does what is not allowed. */
static bool reads_counter(void *uc, struct shared *s, uint64_t csr, uint64_t *value)
{
    if (counter_read(s, (uint32_t)csr, s->icount - 1, value))
        return true;
    leave_last(uc, s);
    return false;
}

/* The last instruction of the block that runs raises an exception; Unicorn tells all ECALLs as those from U-mode. */
static void trap_at_end(void *uc, struct shared *s, uint64_t cause)
{
    uint32_t insn = 0;
    if (cause == CAUSE_ECALL_FROM_U)
        cause += env_word(s, s->off_priv);
    else
        fetch(uc, s, env_word(s, s->off_pc), &insn);
    take_back_last(s);
    take_exception(uc, s, cause, insn);
    s->step_over = NOWHERE;
    forget_bogus_entry(uc, s);
    if (s->stop_reason != STOP_NONE)
        s->emu_stop(uc);
}

/* Drop the translation of the block at `pc`: it counts by itself, and must not any more. */
static void drop_block(void *uc, struct shared *s, uint64_t pc)
{
    const uint8_t *at = ram_at(uc, s, pc);
    if (at == NULL)
        return;
    bool in_ram = at >= s->ram && at < s->ram + s->ram_size;
    invalidate_code(uc, s, in_ram ? (uint64_t)(at - s->ram) : s->rom_window - s->ram_base + (uint64_t)(at - s->rom), 1);
}

/* The block that runs accesses a device `index` instructions in: cut it there from now on. */
static void learn_access(struct shared *s, uint64_t index)
{
    for (struct block *b = first_slot(s, s->block_pc); b->key != 0; b = next_slot(s, b)) {
        uint64_t size = b->key & 0xffe;
        uint64_t key = key_of(s->block_pc, size) ^ s->key_salt;
        if (b->insns == s->block_insns && (b->key == key || b->key == (key ^ SLOW_KEY))) {
            b->key = key ^ SLOW_KEY;
            if (index < b->io)
                b->io = (uint16_t)index;
        }
    }
}

/* A block was left before its end, at an instruction that did not retire: count up to it, and `more`. */
static void settle(void *uc, struct shared *s, uint64_t more)
{
    uint64_t pc = env_word(s, s->off_pc), index = insns_between(uc, s, s->block_pc, pc);
    if (s->is_device_access) {
        learn_access(s, index);
        if (s->counts_in_code && s->looked_icount != s->icount)
            drop_block(uc, s, s->block_pc);
    }
    s->icount = s->icount - s->block_insns + index + more;
    if (s->flow != NULL)
        flow_cut(s->flow, s, s->block_pc, s->block_insns, index, pc);
    s->block_pc = pc;
    s->block_insns = 1;
    s->is_device_access = false;
}

static void forget_blocks(void *uc, struct shared *s)
{
    s->ctl(uc, (int)CTL_TB_FLUSH);
    if (s->blocks != NULL)
        memset(s->blocks, 0, BLOCK_SLOTS * sizeof *s->blocks);
    s->block_count = 0;
    s->must_forget_blocks = 0;
    charge(s, WORK_OF_FORGETTING);
}

/* What ended a run may be settled here, so that it can go on; if not, Python's turn has come. */
static bool settle_and_go_on(void *uc, struct shared *s)
{
    bool by_blocks = s->blocks != NULL;
    ask_for_no_short_block(s);
    forget_bogus_entry(uc, s);
    restore_floats(s);
    switch (s->stop_reason) {
    case STOP_ALONE:
        settle(uc, s, 0);
        ask_for_short_block(uc, s, env_word(s, s->off_pc), 1);
        s->alone++;
        return true;
    case STOP_FULL:
        forget_blocks(uc, s);
        return true;
    case STOP_FAULT:
        if (s->fault == FAULT_CROSSING) {
            uint64_t pc = env_word(s, s->off_pc), crossing_pc = (pc | (PAGE_SIZE - 1)) - 1;
            uint64_t insns = insns_between(uc, s, pc, crossing_pc);
            if (by_blocks) {
                ask_for_short_block(uc, s, pc, insns);
                s->cut_is_crossing = true;
            } else {
                *s->next_cflags = (uint32_t)insns;
            }
            return true;
        }
        if (s->fault_type != MEM_FETCH) {
            if (by_blocks)
                settle(uc, s, 0);
            else
                s->icount--;
        } else if (stop_reason(s) != STOP_NONE) {
            return s->icount < s->limit; /* what comes first comes first: the fetch will fault again */
        } else if (must_break(s, env_word(s, s->off_pc))) {
            s->stop_reason = STOP_BREAKPOINT;
            return false;
        }
        if (s->fault == FAULT_TRIGGER) {
            s->stop_reason = STOP_TRIGGER;
            return false;
        }
        return take_fault(uc, s);
    case STOP_EXCEPTION:
        if (by_blocks)
            settle(uc, s, 0);
        else
            s->icount--;
        return s->exception != NO_EXCEPTION && take_fault(uc, s);
    default:
        return false;
    }
}

/* Run translated code from PC until something wants Python's attention; Unicorn's error code. */
static int run_hart(void *uc, struct shared *s)
{
    ask_for_no_short_block(s);
    for (;;) {
        if (s->must_forget_blocks)
            forget_blocks(uc, s);
        s->exception = NO_EXCEPTION;
        s->stop_reason = s->fault = STOP_NONE;
        s->resync = 0;
        s->fast_limit = s->mip || s->cut_insns ? 0 : s->limit;
        if (s->mip != 0 && interrupt_is_takeable(s)) {
            ask_for_no_short_block(s);
            take_interrupt(uc, s);
            if (s->stop_reason == STOP_ERROR)
                return 0;
        }
        int code = s->emu_start(uc, env_word(s, s->off_pc), NEVER, 0, 0);
        bool goes_on = settle_and_go_on(uc, s);
        charge(s, WORK_OF_LEAVING);
        bool is_over = s->stop_reason == STOP_TRAP_LOOP || s->stop_reason == STOP_ERROR;
        if (!goes_on || s->icount >= s->limit || is_over)
            return code;
    }
}

/* run(shared, engine): their addresses; an exception that Python raised meanwhile is raised. */
static PyObject *run(PyObject *module, PyObject *arguments)
{
    unsigned long long shared, engine;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "KK", &shared, &engine))
        return NULL;
    struct shared *s = (struct shared *)(uintptr_t)shared;
    if (s->uart != NULL)
        s->uart->keeps_sent = 0;
    bool is_long = s->limit - s->icount >= LONG_RUN_INSNS;
    if (is_long)
        s->thread = PyEval_SaveThread();
    fenv_t host; /* floating point uses the host's, so how that rounds must not depend on who else is in the process */
    fegetenv(&host);
    fesetenv(FE_DFL_ENV);
    int code = run_hart((void *)(uintptr_t)engine, s);
    fesetenv(&host);
    if (is_long) {
        PyEval_RestoreThread(s->thread);
        s->thread = NULL;
    }
    if (!PyErr_Occurred() && !catch_up(s))
        return NULL;
    return PyErr_Occurred() ? NULL : PyLong_FromLong(code);
}

#include "_flow_module.h"

/* ---- the module --------------------------------------------------------------------------------- */

static int add_address(PyObject *module, const char *name, const void *address)
{
    PyObject *value = PyLong_FromVoidPtr((void *)address);
    if (value == NULL)
        return -1;
    int failed = PyModule_AddObjectRef(module, name, value);
    Py_DECREF(value);
    return failed;
}

/* What this was built from, for Python to compare with what it has: see contract.py. */
static int add_contract(PyObject *module)
{
    static const uint64_t values[] = {CALLBACKS_CONTRACT(CONTRACT_VALUE, CONTRACT_FIELD)};
    PyObject *packed = PyBytes_FromStringAndSize((const char *)values, sizeof values);
    if (packed == NULL)
        return -1;
    int failed = PyModule_AddObjectRef(module, "CONTRACT_VALUES", packed);
    Py_DECREF(packed);
    const char *names = CALLBACKS_CONTRACT(CONTRACT_NAME, CONTRACT_NAME);
    return failed < 0 ? failed : PyModule_AddStringConstant(module, "CONTRACT_NAMES", names + 1);
}

static PyMethodDef methods[] = {
    {"run", run, METH_VARARGS, "run(shared, engine): run translated code; Unicorn's error code."},
    FLOW_METHODS
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT, "_callbacks", "The hart's C callbacks: their addresses, and run.", -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__callbacks(void)
{
    index_csr_rows();
    index_extension_rows();
    PyObject *module = PyModule_Create(&module_def);
    if (module == NULL)
        return NULL;
    if (add_address(module, "on_instruction", (const void *)on_instruction) < 0
        || add_address(module, "on_tlb_fill", (const void *)on_tlb_fill) < 0
        || add_address(module, "on_new_block", (const void *)on_new_block) < 0
        || add_address(module, "on_watched_write", (const void *)on_watched_write) < 0
        || add_address(module, "on_watched_read", (const void *)on_watched_read) < 0
        || add_address(module, "on_io_read", (const void *)on_io_read) < 0
        || add_address(module, "on_io_write", (const void *)on_io_write) < 0
        || add_address(module, "on_slow_read", (const void *)on_slow_read) < 0
        || add_address(module, "on_slow_write", (const void *)on_slow_write) < 0
        || add_address(module, "on_block", (const void *)on_block) < 0
        || add_address(module, "on_uncounted_block", (const void *)on_uncounted_block) < 0
        || add_address(module, "counts_itself", (const void *)counts_itself) < 0
        || add_address(module, "leaves_access", (const void *)leaves_access) < 0
        || add_address(module, "leaves_return", (const void *)leaves_return) < 0
        || add_address(module, "reads_counter", (const void *)reads_counter) < 0
        || add_address(module, "trap_at_end", (const void *)trap_at_end) < 0
        || add_address(module, "fill_plainly", (const void *)fill_plainly) < 0
        || add_address(module, "on_exception", (const void *)on_exception) < 0
        || PyModule_AddIntConstant(module, "BLOCK_TABLE_BYTES", (long)(BLOCK_SLOTS * sizeof(struct block))) < 0
        || PyModule_AddIntConstant(module, "BLOCKS_MAX", BLOCK_SLOTS / 4 * 3) < 0
        || PyModule_AddObject(module, "FLOW_KEY", PyLong_FromUnsignedLongLong(FLOW_KEY)) < 0
        || add_contract(module) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
