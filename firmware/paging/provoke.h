/* The trials of provoke.S: the name says the instruction. */
#ifndef PROVOKE_H
#define PROVOKE_H

#include "trial.h"

extern trial do_nothing, jump, environment_call;

/* Stores and atomics use the operand. */
extern trial load_byte, load_half, load_word, load_double, load_register;
extern trial store_byte, store_half, store_word, store_double, store_register;
extern trial load_reserved, amo_add, reserve_and_store, reserve_and_store_second;

/* Stores the operand, as a page table entry, and orders it; the code may be copied elsewhere. */
extern trial store_entry_and_fence, store_entry_and_fence_fence, store_entry_and_fence_after, store_entry_and_fence_end;

#endif
