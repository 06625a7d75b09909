/* Counting in the code that Unicorn makes: the part of _helpers.c that gives each block its own count.
 *
 * A block then begins with: icount += its instructions; if that passes fast_limit, call on_uncounted_block (_callbacks.c),
 * which takes it back and looks at the block as if nothing had been counted. A block that must be looked at each time
 * (it has special instructions but as its last, or accesses a device) adds so much that this always happens. Whether a
 * block is plain is asked once, when it has been translated: counts_itself in _callbacks.c. So plain blocks call nothing
 * and need no table.
 *
 * Unicorn also has generated code ask after each load and store whether the run is to end, by a call for which TCG has to
 * give up what it holds in registers. Only the slow paths of loads and stores can ask for an end, so these are asked
 * instead, by functions in place of Unicorn's own; the rest of the calls is left out. (But in atomic instructions: LR writes
 * a register of Unicorn's before the run ends.)
 *
 * The engine's `struct shared` is found by a word of Unicorn's state that has no use there (SHARED_64, SHARED_32). */

/* Unicorn's operations, its conditions, and where an operation has its arguments. */
enum { OP_SET_LABEL = 1, OP_MOVI_I64 = 64, OP_LD_I64 = 73, OP_ST_I64 = 77, OP_ADD_I64 = 78 };
enum { CONDITION_LEU = 12 };
enum { ARGS_IN_OP = 24 };

/* Added for a block that is looked at each time: more than any limit. */
#define NEVER_FAST (1ull << 63)

/* Where Unicorn keeps, before the CPU's state, whether somebody wants the run to end; negative: yes. */
enum { EXIT_BEFORE_ENV = 16 };
/* What describes an access tells its size, 0 is a byte, and whether it must be aligned, as of atomic instructions alone. */
enum { ACCESS_SIZE_SHIFT = 4, ACCESS_SIZE_MASK = 3, ACCESS_MUST_BE_ALIGNED = 7 << 8 };

typedef bool (*counts_itself)(void *uc, char *shared, uint64_t pc, uint64_t size, uint64_t insns);

/* The block that is being translated. */
static __thread struct {
    char *shared;    /* of an engine that counts like this; else NULL, and nothing of it is done */
    uint64_t *insns; /* the constant that will be the block's count, in the operation that has it */
    void *begun;     /* the label behind the slow path, until it has its place */
    bool may_ask;    /* whether what is being made asks by itself if the run is to end */
} counted;

static inline char *shared_of(const uint8_t *env, int xlen)
{
    char *shared;
    memcpy(&shared, env + (xlen == 64 ? SHARED_64 : SHARED_32), sizeof shared);
    return shared;
}

static inline uint64_t shared_word(const char *shared, int offset)
{
    uint64_t word;
    memcpy(&word, shared + offset, sizeof word);
    return word;
}

/* `result` = a constant; where that is in the operation, to change it. */
static uint64_t *gen_constant(const struct originals *original, char *tcg, value result, uint64_t constant)
{
    uint64_t *args = (uint64_t *)(original->tcg_emit_op(tcg, OP_MOVI_I64) + ARGS_IN_OP);
    args[0] = (uintptr_t)(tcg + result);
    args[1] = constant;
    return &args[1];
}

static void gen_load(const struct originals *original, char *tcg, value result, value base, uint64_t offset)
{
    original->tcg_gen_op3(tcg, OP_LD_I64, (uintptr_t)(tcg + result), (uintptr_t)(tcg + base), offset);
}

static void gen_store(const struct originals *original, char *tcg, value stored, value base, uint64_t offset)
{
    original->tcg_gen_op3(tcg, OP_ST_I64, (uintptr_t)(tcg + stored), (uintptr_t)(tcg + base), offset);
}

static value new_short_value(const struct originals *original, char *tcg)
{
    return (char *)original->tcg_temp_new_internal(tcg, TYPE_I64, false) - tcg;
}

/* The block's start. Unicorn makes its call of the block's hook next, which so becomes the slow path. */
static void begin_counting(const struct originals *original, char *tcg, uint64_t pc)
{
    value base = new_short_value(original, tcg), insns = new_short_value(original, tcg);
    value icount = new_short_value(original, tcg), other = new_short_value(original, tcg);
    gen_constant(original, tcg, base, (uintptr_t)counted.shared);
    gen_load(original, tcg, icount, base, ICOUNT_IN_SHARED);
    counted.insns = gen_constant(original, tcg, insns, NEVER_FAST);
    original->tcg_gen_op3(
        tcg, OP_ADD_I64, (uintptr_t)(tcg + icount), (uintptr_t)(tcg + icount), (uintptr_t)(tcg + insns));
    gen_store(original, tcg, icount, base, ICOUNT_IN_SHARED);
    gen_constant(original, tcg, other, pc);
    gen_store(original, tcg, other, base, BLOCK_PC_IN_SHARED);
    gen_store(original, tcg, insns, base, BLOCK_INSNS_IN_SHARED);
    gen_load(original, tcg, other, base, FAST_LIMIT_IN_SHARED);
    counted.begun = original->gen_new_label(tcg);
    original->tcg_gen_brcond_i64(tcg, CONDITION_LEU, icount, other, counted.begun);
    free_value(original, tcg, other);
    free_value(original, tcg, icount);
    free_value(original, tcg, insns);
    free_value(original, tcg, base);
    counted.may_ask = true;
}

/* Behind the slow path. */
static void begin_body(const struct originals *original, char *tcg)
{
    counted.may_ask = false;
    if (counted.begun == NULL)
        return;
    *(uint32_t *)counted.begun |= 1; /* it has its place */
    original->tcg_gen_op1(tcg, OP_SET_LABEL, (uintptr_t)counted.begun);
    counted.begun = NULL;
}

/* The block's end: its count is known. */
static void end_counting(uint64_t pc, uint64_t size, uint64_t insns)
{
    void *uc = (void *)(uintptr_t)shared_word(counted.shared, ENGINE_IN_SHARED);
    counts_itself ask = (counts_itself)(uintptr_t)shared_word(counted.shared, COUNTS_ITSELF_IN_SHARED);
    if (counted.insns != NULL && ask(uc, counted.shared, pc, size, insns))
        *counted.insns = insns;
    counted.insns = NULL;
}

/* Whether a call that is about to be made asks if the run is to end, where that is not needed. */
static bool is_needless(const struct originals *original, const void *function)
{
    return counted.shared != NULL && !counted.may_ask && function == original->check_exit_request;
}

/* ---- loads and stores --------------------------------------------------------------------------------- */

/* The slow path of a load or store is over, and somebody wants the run to end: it ends here, at this instruction. */
static __attribute__((noinline, cold)) void leave(
    const struct originals *original, uint8_t *env, int xlen, uint32_t description, uintptr_t at)
{
    char *shared = shared_of(env, xlen);
    if (shared == NULL || description & ACCESS_MUST_BE_ALIGNED)
        return; /* the code asks by itself */
    original->cpu_restore_state((void *)(uintptr_t)shared_word(shared, CPU_IN_SHARED), at, false);
    original->check_exit_request((void *)(uintptr_t)shared_word(shared, ENGINE_IN_SHARED), 0);
}

static inline bool is_exit_wanted(const uint8_t *env)
{
    int32_t wanted;
    memcpy(&wanted, env - EXIT_BEFORE_ENV, sizeof wanted);
    return !LIKELY(wanted >= 0);
}

static inline unsigned size_of_access(uint32_t description)
{
    return description >> ACCESS_SIZE_SHIFT & ACCESS_SIZE_MASK;
}

static uint8_t accesses_seen_64, accesses_seen_32; /* for the trial at start: which of the functions below were called */

#define DEFINE_LOAD(name, xlen, word, result, size) \
    EXPORT result helper_##name##_mmu_riscv##xlen(uint8_t *env, word address, uint32_t description, uintptr_t at) \
    { \
        accesses_seen_##xlen |= 1u << (size); \
        result loaded = original_##xlen.name(env, address, description, at); \
        if (is_exit_wanted(env)) \
            leave(&original_##xlen, env, xlen, description, at); \
        return loaded; \
    }

/* A store that is not aligned is made byte by byte, with the description of the whole: then only the whole may end. */
#define DEFINE_STORE(name, xlen, word, type, size) \
    EXPORT void helper_##name##_mmu_riscv##xlen( \
        uint8_t *env, word address, type stored, uint32_t description, uintptr_t at) \
    { \
        accesses_seen_##xlen |= 16u << (size); \
        original_##xlen.name(env, address, stored, description, at); \
        if (is_exit_wanted(env) && size_of_access(description) == (size)) \
            leave(&original_##xlen, env, xlen, description, at); \
    }

#define DEFINE_ACCESSES(xlen, word) \
    DEFINE_LOAD(ret_ldub, xlen, word, uintptr_t, 0) \
    DEFINE_LOAD(le_lduw, xlen, word, uintptr_t, 1) \
    DEFINE_LOAD(le_ldul, xlen, word, uintptr_t, 2) \
    DEFINE_LOAD(le_ldq, xlen, word, uint64_t, 3) \
    DEFINE_STORE(ret_stb, xlen, word, uint8_t, 0) \
    DEFINE_STORE(le_stw, xlen, word, uint16_t, 1) \
    DEFINE_STORE(le_stl, xlen, word, uint32_t, 2) \
    DEFINE_STORE(le_stq, xlen, word, uint64_t, 3)

DEFINE_ACCESSES(64, uint64_t)
DEFINE_ACCESSES(32, uint32_t)

/* ---- indirect jumps ----------------------------------------------------------------------------------- */

/* Where Unicorn keeps, before the CPU's state, its cache of blocks by PC, and what a block must have in common with the
 * CPU; and in a block its flags, what it must have in common, and where its code is (a word further where words are long). */
enum { CACHE_BEFORE_64 = 0x8bd8, TRACED_BEFORE_64 = 0xb88, CLUSTER_BEFORE_64 = 0xb7c };
enum { CACHE_BEFORE_32 = 0x8bb8, TRACED_BEFORE_32 = 0xb68, CLUSTER_BEFORE_32 = 0xb5c };
enum { FLAGS_IN_BLOCK_64 = 16, FLAGS_IN_BLOCK_32 = 8 };
enum { KIND_AFTER_FLAGS = 8, CODE_AFTER_FLAGS = 16 };
#define KIND_MASK 0xffffffffff0effffull /* the low half is the kind; the high half tells what is traced */

enum { LOOKUPS_TRIED = 16 };
static int8_t lookups_to_try_64 = LOOKUPS_TRIED, lookups_to_try_32 = LOOKUPS_TRIED; /* -1: one was wrong */

static inline uint64_t word_at(const uint8_t *at, size_t size)
{
    uint64_t word = 0;
    memcpy(&word, at, size);
    return word;
}

/* The code of the block at PC: Unicorn's function does the same with more calls, and is asked where the block is not in
 * the cache, and the first times, to see whether it is of one mind with this. */
#define DEFINE_LOOKUP(xlen, word) \
    static inline void *cached_code_##xlen(const uint8_t *env) \
    { \
        uint64_t pc = word_at(env + PC_##xlen, sizeof(word)), mixed = pc ^ pc >> 6; \
        uint64_t at = word_at(env - CACHE_BEFORE_##xlen + 8 * ((mixed & 0x3f) | (mixed >> 6 & 0xfc0)), 8); \
        const uint8_t *block = (const uint8_t *)(uintptr_t)at, *described = block + FLAGS_IN_BLOCK_##xlen; \
        if (block == NULL) \
            return NULL; \
        uint64_t flags = word_at(env + PRIV_##xlen, 4) | (word_at(env + MSTATUS_##xlen, 4) & MSTATUS_FS); \
        uint64_t kind = word_at(env - CLUSTER_BEFORE_##xlen, 1) << 24 | word_at(env - TRACED_BEFORE_##xlen, 4) << 32; \
        uint64_t differs = (word_at(block, sizeof(word)) ^ pc) | word_at(block + sizeof(word), sizeof(word)) \
                           | (word_at(described, 4) ^ flags) \
                           | ((word_at(described + KIND_AFTER_FLAGS, 8) & KIND_MASK) ^ kind); \
        return differs == 0 ? (void *)(uintptr_t)word_at(described + CODE_AFTER_FLAGS, 8) : NULL; \
    } \
    static __attribute__((noinline, cold)) void *looked_up_##xlen(uint8_t *env) \
    { \
        bool is_trial = shared_of(env, xlen) != NULL && lookups_to_try_##xlen > 0; \
        void *made = is_trial ? cached_code_##xlen(env) : NULL, *there = original_##xlen.lookup_tb_ptr(env); \
        if (made != NULL) \
            lookups_to_try_##xlen = made == there ? lookups_to_try_##xlen - 1 : -1; \
        return there; \
    } \
    EXPORT void *helper_lookup_tb_ptr_riscv##xlen(uint8_t *env) \
    { \
        void *made = NULL; \
        if (LIKELY(shared_of(env, xlen) != NULL && lookups_to_try_##xlen == 0)) \
            made = cached_code_##xlen(env); \
        return LIKELY(made != NULL) ? made : looked_up_##xlen(env); \
    }

DEFINE_LOOKUP(64, uint64_t)
DEFINE_LOOKUP(32, uint32_t)

/* ---- what ends a block ------------------------------------------------------------------------------------
 *
 * ECALL, MRET, SRET and accesses to CSRs end their block, and PC is on them when their functions are called. Those that
 * Unicorn gets wrong only sometimes ask here whether it does now (leaves_access and leaves_return in _callbacks.c), so
 * that the block may count by itself; counters are read here, and exceptions are taken within the run. In other engines
 * these functions do what Unicorn's do. */

typedef bool (*leaves_access)(void *uc, char *shared, uint64_t csr, uint64_t operation, uint64_t operand);
typedef bool (*leaves_return)(void *uc, char *shared, uint64_t insn);
typedef bool (*reads_counter)(void *uc, char *shared, uint64_t csr, uint64_t *value);
typedef void (*trap_at_end)(void *uc, char *shared, uint64_t cause);

enum { EXCEPTION_ILLEGAL = 2, EXCEPTION_ECALL = 8 };
enum { CSR_READ, CSR_WRITE, CSR_SET, CSR_CLEAR };

/* CYCLE, TIME and INSTRET, in M-mode too, and their upper halves. */
static inline bool is_counter(uint64_t csr)
{
    return (csr & 0x1f) <= 2 && ((csr & ~0x9full) == 0xc00 || (csr & ~0x9full) == 0xb00);
}

/* Leave the block for what is at PC now, or for the end of the run if somebody wants that. It does not come back. */
static __attribute__((noinline)) void leave_block(const struct originals *original, const char *shared)
{
    original->cpu_loop_exit_noexc((void *)(uintptr_t)shared_word(shared, CPU_IN_SHARED));
}

static __attribute__((noinline)) void take_exception(const struct originals *original, char *shared, uint64_t cause)
{
    trap_at_end trap = (trap_at_end)(uintptr_t)shared_word(shared, TRAP_AT_END_IN_SHARED);
    trap((void *)(uintptr_t)shared_word(shared, ENGINE_IN_SHARED), shared, cause);
    leave_block(original, shared);
}

static inline bool is_left_access(char *shared, uint64_t csr, uint64_t operation, uint64_t operand)
{
    leaves_access ask = (leaves_access)(uintptr_t)shared_word(shared, LEAVES_ACCESS_IN_SHARED);
    return ask((void *)(uintptr_t)shared_word(shared, ENGINE_IN_SHARED), shared, csr, operation, operand);
}

static inline bool is_left_return(char *shared, uint64_t insn)
{
    leaves_return ask = (leaves_return)(uintptr_t)shared_word(shared, LEAVES_RETURN_IN_SHARED);
    return ask((void *)(uintptr_t)shared_word(shared, ENGINE_IN_SHARED), shared, insn);
}

static uint64_t read_counter(const struct originals *original, char *shared, uint64_t csr)
{
    uint64_t value = 0;
    reads_counter read = (reads_counter)(uintptr_t)shared_word(shared, READS_COUNTER_IN_SHARED);
    if (!read((void *)(uintptr_t)shared_word(shared, ENGINE_IN_SHARED), shared, csr, &value))
        leave_block(original, shared);
    return value;
}

#define DEFINE_RETURN(name, insn, lowest_priv, xlen, word) \
    EXPORT word helper_##name##_riscv##xlen(uint8_t *env, word pc) \
    { \
        char *shared = shared_of(env, xlen); \
        word priv; \
        memcpy(&priv, env + PRIV_##xlen, sizeof priv); \
        if (shared != NULL && is_left_return(shared, insn)) \
            leave_block(&original_##xlen, shared); \
        if (shared != NULL && priv < (lowest_priv)) \
            take_exception(&original_##xlen, shared, EXCEPTION_ILLEGAL); \
        return ((word (*)(uint8_t *, word))original_##xlen.name)(env, pc); \
    }

/* An access as the instruction has it, `operation` and `operand`; and as Unicorn has all: write these bits of `written`. */
#define DEFINE_ENDS(xlen, word) \
    static inline word access_csr_##xlen( \
        uint8_t *env, word csr, uint64_t operation, word operand, word written, word mask, uintptr_t at) \
    { \
        char *shared = shared_of(env, xlen); \
        word old = 0; \
        if (shared != NULL && operation == CSR_READ && is_counter(csr)) \
            return (word)read_counter(&original_##xlen, shared, csr); \
        if (shared != NULL && is_left_access(shared, csr, operation, operand)) \
            leave_block(&original_##xlen, shared); \
        if (riscv_csrrw_riscv##xlen(env, (int)csr, &old, written, mask) < 0) { \
            if (shared != NULL) \
                take_exception(&original_##xlen, shared, EXCEPTION_ILLEGAL); \
            original_##xlen.riscv_raise_exception(env, EXCEPTION_ILLEGAL, at); \
        } \
        return old; \
    } \
    EXPORT word helper_csrrw_riscv##xlen(uint8_t *env, word operand, word csr) \
    { \
        return access_csr_##xlen( \
            env, csr, CSR_WRITE, operand, operand, (word)-1, (uintptr_t)__builtin_return_address(0)); \
    } \
    EXPORT word helper_csrrs_riscv##xlen(uint8_t *env, word operand, word csr, word rs1) \
    { \
        word mask = rs1 != 0 ? operand : 0; \
        uint64_t operation = rs1 != 0 ? CSR_SET : CSR_READ; \
        return access_csr_##xlen(env, csr, operation, mask, (word)-1, mask, (uintptr_t)__builtin_return_address(0)); \
    } \
    EXPORT word helper_csrrc_riscv##xlen(uint8_t *env, word operand, word csr, word rs1) \
    { \
        word mask = rs1 != 0 ? operand : 0; \
        return access_csr_##xlen(env, csr, CSR_CLEAR, mask, 0, mask, (uintptr_t)__builtin_return_address(0)); \
    } \
    DEFINE_RETURN(mret, INSN_MRET, 3, xlen, word) \
    DEFINE_RETURN(sret, INSN_SRET, 1, xlen, word) \
    EXPORT void helper_raise_exception_riscv##xlen(uint8_t *env, uint32_t exception) \
    { \
        char *shared = shared_of(env, xlen); \
        if (shared != NULL && exception == EXCEPTION_ECALL) \
            take_exception(&original_##xlen, shared, exception); \
        original_##xlen.raise_exception(env, exception); \
    }

DEFINE_ENDS(64, uint64_t)
DEFINE_ENDS(32, uint32_t)
