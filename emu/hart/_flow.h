/* Where a hart's instructions went, for flow.py: how often what was executed, who called whom, a hash of the path.
 *
 * _callbacks.c tells it of each block that begins, of one that was left before its end, of instructions that the hart
 * executes itself, and of traps. flow_twin.py does the same one instruction at a time, and tests compare them. What is
 * kept is the host's: no guest can see it. Its memory is bounded by `struct flow_limits`.
 */
#ifndef MINSTRET_FLOW_H
#define MINSTRET_FLOW_H

#include <stdlib.h>

#define NO_NODE UINT32_MAX
#define NO_PLACE UINT64_MAX /* odd, so no instruction is there, and no call waits for it */
enum { FIRST_SLOTS = 1 << 12, LANES = 4 };

/* What on_block calls instead of going on itself: see follower_of in _callbacks.c. */
typedef void follower(void *uc, uint64_t pc, uint32_t size, struct shared *s, const struct block *b);

/* So many instructions from `pc` on, retired in one go. `shape` is their number, and the privilege << 16; 0: free. */
struct flow_run {
    uint64_t pc, shape, count, last_icount;
};

/* A function by one path of calls, a trap handler, or where following began: see CallNode. */
struct flow_node {
    uint64_t entry, insns, calls;
    uint32_t parent;
    uint16_t depth;
    uint8_t priv, is_trap;
};

/* An open call: where it returns to, NO_PLACE for what a trap has interrupted; and the node that goes on then. */
#define FROM_TRAP ((uint64_t)1) /* in the link of a frame: its address, which is even, is where a trap came from */
#define INSN_SIZE_MAX 4

struct flow_frame {
    uint64_t link;
    uint32_t node;
};

struct flow_limits {
    uint64_t runs, nodes, depth, frames;
};

struct flow {
    struct flow_limits max;
    uint64_t asked;
    uint64_t kind; /* of the last instruction, if calls are followed; NONE once it is known where it has led */
    uint64_t next; /* where one gets from there by going straight on */
    uint64_t lanes[LANES];
    uint64_t places;
    void (*mix_registers)(uint64_t *lanes, const uint8_t *registers, uint64_t words);
    follower *on_block;
    /* A hash table of the runs. The last run that was begun, NULL if there was no room, and its last_icount before. */
    struct flow_run *runs, *last_run;
    void *runs_memory;
    uint64_t run_slots, run_count, icount_before, lost_insns;
    /* The nodes, and a hash table of their numbers + 1. `mark`: icount when the current node became that. */
    struct flow_node *nodes;
    uint32_t *index;
    uint64_t node_room, node_count, index_slots, mark;
    uint32_t node;
    struct flow_frame *frames;
    uint64_t frame_room, frame_count;
};

/* ---- how often ---------------------------------------------------------------------------------- */

static inline struct flow_run *first_run(const struct flow *f, uint64_t pc)
{
    return &f->runs[(pc >> 1 ^ pc >> 15) & (f->run_slots - 1)];
}

static struct flow_run *next_run(const struct flow *f, struct flow_run *run)
{
    return run + 1 < f->runs + f->run_slots ? run + 1 : f->runs;
}

/* Make room for one more run; false: there is none. There is always a free slot, but before the first call. */
COLD static bool make_room_for_run(struct flow *f)
{
    if (f->run_count >= f->max.runs)
        return false;
    if (4 * (f->run_count + 1) <= 3 * f->run_slots)
        return true;
    uint64_t slots = f->run_slots != 0 ? 2 * f->run_slots : FIRST_SLOTS;
    struct flow_run *old = f->runs, *end = old + f->run_slots;
    void *old_memory = f->runs_memory, *memory = calloc(slots + 1, sizeof *old);
    if (memory == NULL)
        return f->run_count + 1 < f->run_slots;
    f->runs_memory = memory;
    f->runs = (struct flow_run *)(((uintptr_t)memory + sizeof *old - 1) & ~(sizeof *old - 1)); /* one cache line each */
    f->run_slots = slots;
    for (struct flow_run *run = old; run != end; run++) {
        struct flow_run *slot = first_run(f, run->pc);
        if (run->shape == 0)
            continue;
        while (slot->shape != 0)
            slot = next_run(f, slot);
        *slot = *run;
    }
    free(old_memory);
    return true;
}

COLD static void count_new_run(struct flow *f, uint64_t pc, uint64_t shape, uint64_t insns, uint64_t icount)
{
    f->icount_before = 0;
    f->last_run = NULL;
    if (!make_room_for_run(f)) {
        f->lost_insns += insns;
        return;
    }
    struct flow_run *run = first_run(f, pc);
    while (run->shape != 0)
        run = next_run(f, run);
    *run = (struct flow_run){pc, shape, 1, icount};
    f->run_count++;
    f->last_run = run;
}

static inline void count_again(struct flow *f, struct flow_run *run, uint64_t icount)
{
    f->icount_before = run->last_icount;
    f->last_run = run;
    run->count++;
    run->last_icount = icount;
}

static inline void count_run(struct flow *f, uint64_t pc, uint64_t insns, uint64_t priv, uint64_t icount)
{
    uint64_t shape = insns | priv << 16;
    for (struct flow_run *run = first_run(f, pc); run->shape != 0; run = next_run(f, run)) {
        if (run->pc == pc && run->shape == shape) {
            count_again(f, run, icount);
            return;
        }
    }
    count_new_run(f, pc, shape, insns, icount);
}

/* ---- who called whom ---------------------------------------------------------------------------- */

/* The current node gets what has retired since it became that. */
static void credit_node(struct flow *f, uint64_t icount)
{
    if (f->node != NO_NODE)
        f->nodes[f->node].insns += icount - f->mark;
    f->mark = icount;
}

static uint64_t first_index(const struct flow *f, uint32_t parent, uint64_t entry)
{
    return ((parent + 1) * 0x9e3779b97f4a7c15u ^ (entry >> 1) * 0xc2b2ae3d27d4eb4fu) >> 20 & (f->index_slots - 1);
}

static void index_node(struct flow *f, uint32_t number)
{
    uint64_t slot = first_index(f, f->nodes[number].parent, f->nodes[number].entry);
    while (f->index[slot] != 0)
        slot = (slot + 1) & (f->index_slots - 1);
    f->index[slot] = number + 1;
}

COLD static bool make_room_for_node(struct flow *f)
{
    if (f->node_count >= f->max.nodes)
        return false;
    if (f->node_count >= f->node_room) {
        uint64_t room = f->node_room != 0 ? 2 * f->node_room : FIRST_SLOTS / 2;
        struct flow_node *nodes = realloc(f->nodes, room * sizeof *nodes);
        if (nodes == NULL)
            return false;
        f->nodes = nodes;
        f->node_room = room;
    }
    if (2 * (f->node_count + 1) > f->index_slots) {
        uint64_t slots = f->index_slots != 0 ? 2 * f->index_slots : FIRST_SLOTS;
        uint32_t *index = calloc(slots, sizeof *index);
        if (index == NULL)
            return false;
        free(f->index);
        f->index = index;
        f->index_slots = slots;
        for (uint64_t number = 0; number < f->node_count; number++)
            index_node(f, (uint32_t)number);
    }
    return true;
}

/* The node of a call from `parent`, or of a root; `parent` itself, or the first node, if there is no room. */
static uint32_t child_of(struct flow *f, uint32_t parent, uint64_t entry, uint64_t priv, bool is_trap)
{
    uint64_t slot = f->index_slots != 0 ? first_index(f, parent, entry) : 0;
    for (; f->index_slots != 0 && f->index[slot] != 0; slot = (slot + 1) & (f->index_slots - 1)) {
        struct flow_node *n = &f->nodes[f->index[slot] - 1];
        if (n->entry == entry && n->parent == parent && n->priv == priv && n->is_trap == is_trap) {
            n->calls++;
            return f->index[slot] - 1;
        }
    }
    uint16_t depth = parent != NO_NODE ? (uint16_t)(f->nodes[parent].depth + 1) : 0;
    if (!make_room_for_node(f))
        return parent != NO_NODE || f->node_count == 0 ? parent : 0;
    f->nodes[f->node_count] = (struct flow_node){entry, 0, 1, parent, depth, (uint8_t)priv, is_trap};
    index_node(f, (uint32_t)f->node_count);
    return (uint32_t)f->node_count++;
}

COLD static bool make_room_for_frame(struct flow *f)
{
    if (f->frame_room < f->max.frames) {
        uint64_t room = f->frame_room != 0 ? 2 * f->frame_room : FIRST_SLOTS / 16;
        room = room < f->max.frames ? room : f->max.frames;
        struct flow_frame *frames = realloc(f->frames, room * sizeof *frames);
        if (frames != NULL) {
            f->frames = frames;
            f->frame_room = room;
            return true;
        }
    }
    if (f->frame_room == 0)
        return false;
    uint64_t kept = f->frame_room - f->frame_room / 2; /* the inner ones */
    memmove(f->frames, f->frames + f->frame_room / 2, kept * sizeof *f->frames);
    f->frame_count = kept;
    return true;
}

static void enter_node(struct flow *f, uint64_t entry, uint64_t priv, bool is_trap, uint64_t link)
{
    if (f->frame_count == f->frame_room && !make_room_for_frame(f))
        return;
    f->frames[f->frame_count++] = (struct flow_frame){link, f->node};
    if (f->node != NO_NODE && f->nodes[f->node].depth + 1u < f->max.depth)
        f->node = child_of(f, f->node, entry, priv, is_trap);
}

/* Back to who waits for `link`; false if nobody does. */
static bool leave_node(struct flow *f, uint64_t link)
{
    for (uint64_t at = f->frame_count; at-- > 0;) {
        if (f->frames[at].link == link) {
            f->node = f->frames[at].node;
            f->frame_count = at;
            return true;
        }
    }
    return false;
}

/* Back to what the innermost trap from `pc` has interrupted, or from an instruction before it that need not be done
 * again; false if there is none. */
static bool leave_trap(struct flow *f, uint64_t pc)
{
    for (uint64_t at = f->frame_count; at-- > 0;) {
        uint64_t link = f->frames[at].link;
        if ((link & FROM_TRAP) && pc - (link & ~FROM_TRAP) <= INSN_SIZE_MAX)
            return leave_node(f, link);
    }
    return false;
}

static void begin_root(struct flow *f, uint64_t pc, uint64_t priv)
{
    f->frame_count = 0;
    f->node = child_of(f, NO_NODE, pc, priv, false);
}

/* The last instruction was a call, a return or the like, and has led to `pc`. */
static NOINLINE void follow_transfer(struct flow *f, uint64_t pc, uint64_t priv, uint64_t icount)
{
    credit_node(f, icount);
    switch (f->kind) {
    case TRANSFER_SWAP:
        leave_node(f, pc);
        enter_node(f, pc, priv, false, f->next);
        break;
    case TRANSFER_CALL:
        enter_node(f, pc, priv, false, f->next);
        break;
    case TRANSFER_RETURN:
        if (!leave_node(f, pc))
            begin_root(f, pc, priv);
        break;
    case TRANSFER_TRAP_RETURN:
        if (!leave_trap(f, pc))
            begin_root(f, pc, priv);
        break;
    default: /* START */
        begin_root(f, pc, priv);
        break;
    }
    f->kind = TRANSFER_NONE;
}

/* What an instruction is to who follows calls.
 * Source: The RISC-V Instruction Set Manual, Volume I, "Unconditional Jumps": return-address stack hints. */
static int transfer_of(uint32_t insn, bool rv64)
{
    uint32_t rd = insn >> 7 & 31, rs1 = insn >> 15 & 31;
    if (insn == INSN_MRET || insn == INSN_SRET)
        return TRANSFER_TRAP_RETURN;
    if ((insn & 0x7f) == OP_JAL)
        return rd == REG_RA || rd == REG_T0 ? TRANSFER_CALL : TRANSFER_NONE;
    if ((insn & 0xe003) == 0x2001) /* C.JAL; on rv64 C.ADDIW */
        return rv64 ? TRANSFER_NONE : TRANSFER_CALL;
    if ((insn & 0xe07f) == 0x8002) { /* C.JR, C.JALR */
        rs1 = rd;
        rd = insn >> 12 & 1;
    } else if ((insn & 0x7f) != OP_JALR) {
        return TRANSFER_NONE;
    }
    bool pushes = rd == REG_RA || rd == REG_T0, pops = (rs1 == REG_RA || rs1 == REG_T0) && rs1 != rd;
    return pushes ? (pops ? TRANSFER_SWAP : TRANSFER_CALL) : pops ? TRANSFER_RETURN : TRANSFER_NONE;
}

/* ---- a hash of the path ------------------------------------------------------------------------- */

#if defined(__GNUC__)
typedef uint64_t vector __attribute__((vector_size(8 * LANES), aligned(8), may_alias));

/* Add the integer registers: `words` of 64 bits, 32 or 16. PathHash in flow_twin.py is the same. */
#define MIX_REGISTERS(name) \
    static NOINLINE void name(uint64_t *lanes, const uint8_t *registers, uint64_t words) \
    { \
        const vector *word = (const vector *)registers, *end = word + words / LANES; \
        vector total = {0}, weighted = {0}; \
        for (; word != end; word += 4) { \
            weighted += total += word[0]; \
            weighted += total += word[1]; \
            weighted += total += word[2]; \
            weighted += total += word[3]; \
        } \
        vector mixed = *(vector *)lanes ^ total; \
        mixed = (mixed << 13 | mixed >> 51) + weighted; \
        *(vector *)lanes = mixed ^ mixed >> 7; \
    }
#else
#define MIX_REGISTERS(name) \
    static void name(uint64_t *lanes, const uint8_t *registers, uint64_t words) \
    { \
        for (uint64_t lane = 0; lane < LANES; lane++) { \
            uint64_t total = 0, weighted = 0; \
            for (uint64_t i = lane; i < words; i += LANES) { \
                total += load_le(registers + 8 * i, 8); \
                weighted += total; \
            } \
            uint64_t mixed = lanes[lane] ^ total; \
            mixed = (mixed << 13 | mixed >> 51) + weighted; \
            lanes[lane] = mixed ^ mixed >> 7; \
        } \
    }
#endif

MIX_REGISTERS(mix_registers)
#if defined(__GNUC__) && defined(__x86_64__)
#define HAS_AVX2 __builtin_cpu_supports("avx2")
__attribute__((target("avx2"))) MIX_REGISTERS(mix_registers_avx2)
#else
#define HAS_AVX2 false
#define mix_registers_avx2 mix_registers
#endif

/* The hart has come to `pc` from elsewhere; it was to go on at `next`. */
static inline void mix_place(struct flow *f, const struct shared *s, uint64_t pc, uint64_t next)
{
    f->places = (f->places ^ pc) * 0x9e3779b97f4a7c15u;
    if (pc < next)
        f->mix_registers(f->lanes, s->env, 4 * s->xlen_bytes);
}

static uint64_t path_hash(const struct flow *f)
{
    uint64_t value = f->places;
    for (int lane = 0; lane < LANES; lane++) {
        value = (value ^ f->lanes[lane]) * 0x9e3779b97f4a7c15u;
        value ^= value >> 29;
    }
    return value;
}

/* ---- what the callbacks tell --------------------------------------------------------------------- */

static uint64_t priv_of(const struct shared *s)
{
    return s->env[s->off_priv];
}

/* The hart is at `pc`, by the instruction that has retired before. */
static inline void flow_arrives(struct flow *f, const struct shared *s, uint64_t pc, uint64_t priv)
{
    if (f->asked & ASKED_PATH && pc != f->next)
        mix_place(f, s, pc, f->next);
    if (f->kind != TRANSFER_NONE)
        follow_transfer(f, pc, priv, s->icount);
}

/* `insns` instructions, `size` bytes, begin at `pc` and will retire, or `flow_cut` follows. The last is of `kind`. To be
 * called before they are counted. */
static inline void flow_begins(struct flow *f, const struct shared *s, uint64_t pc, uint64_t size, uint64_t insns, uint64_t kind)
{
    uint64_t priv = priv_of(s);
    flow_arrives(f, s, pc, priv);
    f->next = pc + size;
    f->kind = f->asked & ASKED_CALLS ? kind : TRANSFER_NONE;
    if (f->asked & ASKED_COUNTS)
        count_run(f, pc, insns, priv, s->icount);
}

/* Of what began last only `insns` have retired, up to `pc`; they are counted. */
static void flow_cut(struct flow *f, const struct shared *s, uint64_t begin_pc, uint64_t begin_insns, uint64_t insns, uint64_t pc)
{
    f->next = pc;
    f->kind = TRANSFER_NONE;
    if (!(f->asked & ASKED_COUNTS))
        return;
    if (f->last_run != NULL) {
        f->last_run->count--;
        f->last_run->last_icount = f->icount_before;
    } else {
        f->lost_insns -= begin_insns;
    }
    if (insns != 0)
        count_run(f, begin_pc, insns, priv_of(s), s->icount - insns);
}

/* A trap was taken. */
static void flow_traps(struct flow *f, const struct shared *s)
{
    flow_arrives(f, s, s->last_epc, s->last_priv);
    f->next = NO_PLACE;
    f->kind = TRANSFER_NONE;
    if (!(f->asked & ASKED_CALLS))
        return;
    credit_node(f, s->icount);
    enter_node(f, env_word(s, s->off_pc), priv_of(s), true, s->last_epc | FROM_TRAP);
}

static follower *follower_of(uint64_t asked);

/* ---- what Python asks ---------------------------------------------------------------------------- */

/* What comes next has nothing to do with what came before, which ended at `icount`. */
static void flow_ends(struct flow *f, uint64_t icount)
{
    credit_node(f, icount);
    f->node = NO_NODE;
    f->frame_count = 0;
    f->next = NO_PLACE;
    f->kind = f->asked & ASKED_CALLS ? TRANSFER_START : TRANSFER_NONE;
}

/* Begin and end what is asked; false: there is no memory for it. */
static bool flow_ask(struct flow *f, uint64_t icount, uint64_t asked, uint64_t begin)
{
    if (begin & ASKED_CALLS || (f->asked & ~asked) & ASKED_CALLS) {
        uint64_t next = f->next;
        flow_ends(f, icount);
        f->next = next;
        f->kind = begin & ASKED_CALLS ? TRANSFER_START : TRANSFER_NONE;
    }
    f->asked = asked;
    if (begin & ASKED_COUNTS) {
        free(f->runs_memory);
        f->runs_memory = NULL;
        f->runs = f->last_run = NULL;
        f->run_slots = f->run_count = f->lost_insns = 0;
        if (!make_room_for_run(f)) {
            f->asked &= ~(uint64_t)ASKED_COUNTS;
            return false;
        }
    }
    if (begin & ASKED_CALLS) {
        f->node_count = 0;
        if (f->index != NULL)
            memset(f->index, 0, f->index_slots * sizeof *f->index);
    }
    if (begin & ASKED_PATH) {
        f->next = NO_PLACE;
        f->places = 0;
        memset(f->lanes, 0, sizeof f->lanes);
    }
    return true;
}

#endif
