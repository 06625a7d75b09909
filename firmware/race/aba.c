/* Race 1: a free list without a lock. A hart reads the first node and the one after it, and then takes the first if it
 * still is the first. It may have been taken and given back meanwhile, and the one after it is another.
 */

#include <stddef.h>

#include "print.h"
#include "race.h"

#define NODES_MAX (2 * HARTS_MAX + 2)
#define NOBODY UINT32_MAX

struct node {
    struct node *volatile next;
    volatile uint32_t owner;
};

static struct node nodes[NODES_MAX];
static struct node *volatile first;

/* What each hart takes in an even shift and gives back in the next. */
static struct node *kept[HARTS_MAX];

#if __riscv_xlen == 64
#define LR "lr.d.aqrl"
#define SC "sc.d.aqrl"
#else
#define LR "lr.w.aqrl"
#define SC "sc.w.aqrl"
#endif

/* Stores `new` to `first` if it is `old`. */
static bool replace_first(struct node *old, struct node *new)
{
    uintptr_t failed;
    __asm__ volatile("1: " LR " %0, (%1)\n"
                     "   bne %0, %2, 2f\n"
                     "   " SC " %0, %3, (%1)\n"
                     "   bnez %0, 1b\n"
                     "   j 3f\n"
                     "2: li %0, 1\n"
                     "3:"
                     : "=&r"(failed)
                     : "r"(&first), "r"(old), "r"(new)
                     : "memory");
    return !failed;
}

/* The bug: `next` is that of the time when it was read, though `first` is the same again. */
static struct node *take(unsigned hart)
{
    struct node *node, *next;
    do {
        node = first;
        next = node->next;
        compute(WINDOW_ROUNDS);
    } while (!replace_first(node, next));

    if (node->owner != NOBODY) {
        print("race: ABA: hart %u was given node %u, which hart %u has\n", hart, (unsigned)(node - nodes), node->owner);
        race_struck();
    }
    node->owner = hart;
    return node;
}

static void give(struct node *node)
{
    node->owner = NOBODY;
    do
        node->next = first;
    while (!replace_first(node->next, node));
}

static unsigned node_count(void)
{
    return 2 * harts + 2;
}

static void prepare(void)
{
    for (unsigned i = 0; i < node_count(); i++)
        give(&nodes[i]);
}

static void work(unsigned hart, uint32_t shift)
{
    compute(WORK_ROUNDS);
    if (shift % 2 == 0) {
        struct node *node = take(hart);
        kept[hart] = take(hart);
        give(node);
    } else {
        give(kept[hart]);
    }
    compute(WORK_ROUNDS);
}

/* Nobody has a node that is in the list, and none is missing. After an odd number of shifts each hart has one. */
static bool is_right(uint32_t shifts)
{
    unsigned expected = node_count() - (shifts % 2 ? harts : 0);
    unsigned found = 0;
    for (struct node *node = first; node && found <= expected; node = node->next, found++) {
        if (node->owner == NOBODY)
            continue;
        print("race: ABA: node %u is free, but hart %u has it\n", (unsigned)(node - nodes), node->owner);
        return false;
    }
    if (found == expected)
        return true;
    print("race: ABA: %u nodes are free, not %u\n", found, expected);
    return false;
}

const struct race aba = {"ABA", prepare, work, is_right};
